"""The live WebSocket as somebody meets it who asks for more than a page does."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts.commands import WatchCamera
from nxai_manager.adapters.output_secrets import OutputSecrets
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.core.accounts import Role, Scope, Who
from nxai_manager.core.document import Settings
from nxai_manager.settings import ManagerSettings
from nxai_manager.web import hub, live
from nxai_manager.web.box import Box
from nxai_manager.web.hub import Hub
from nxai_manager.web.server import Door, WebServer
from support.waiting import wait_for

pytestmark = pytest.mark.integration


class Gate:
    """Lets in whoever has any token at all, under its name."""

    def by_session(self, secret: str) -> Who | None:
        assert secret
        return None

    def by_token(self, secret: str) -> Who | None:
        return Who(secret, Role.VIEWER, frozenset({Scope.READ}), "token")

    def holds(self, who: Who) -> bool:
        return bool(who.name)


class Desk:
    """Settings with one camera."""

    settings = Settings.model_validate({"cameras": [{"id": "front", "source": {"type": "demo"}}]})


@dataclass
class World:
    asked: Inbox
    """What capture is asked."""
    url: str
    heard: Hub

    def play(self, scene: Callable[[ClientSession], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with asyncio.timeout(30), ClientSession(self.url) as session:
                await scene(session)

        asyncio.run(whole())

    def watches(self) -> list[str]:
        """Return the cameras whose pictures capture was asked for since."""
        found = []
        while (delivery := self.asked.receive(0.2)) is not None:
            found.append(cast("WatchCamera", delivery.message).camera)
        return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(hub, "RECEIVE_S", 0.02)  # the hub ends no sooner than its wait does
    broker = MemoryBroker()
    with (
        MemoryBus(broker) as capture,
        MemoryBus(broker) as bus,
        Hub(bus) as heard,
        ThreadPoolExecutor(2) as pool,
    ):
        box = Box(
            bus=bus,
            hub=heard,
            desk=cast("Any", Desk()),
            gate=cast("Any", Gate()),
            settings=ManagerSettings(state_dir=tmp_path),
            version="1",
            secrets=SecretsDirectory(tmp_path),
            output_secrets=OutputSecrets(tmp_path / "output-secrets"),
            handover=None,
            pool=pool,
        )
        asked = capture.subscribe(Subscription(WatchCamera), volatile=True)
        with WebServer(box, [Door("127.0.0.1", 0)]) as server:
            (port,) = server.ports.values()
            yield World(asked, f"http://127.0.0.1:{port}", heard)


def of(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


def watch(*cameras: str) -> dict[str, Any]:
    return {"type": "watch", "cameras": cameras}


def test_cameras_that_are_none_are_not_asked_for(world: World) -> None:
    async def scene(session: ClientSession) -> None:
        async with session.ws_connect("/api/v1/live", headers=of("ann")) as socket:
            await socket.send_json(watch("front", *(f"none-{n}" for n in range(63))))
            await socket.send_json({"type": "listen", "to": ["settings"]})
            kinds = [(await socket.receive_json())["type"] for _ in range(2)]
            assert kinds == ["hello", "settings"]

    world.play(scene)
    assert set(world.watches()) == {"front"}


def test_who_says_a_thousand_words_is_heard_as_fast_as_a_page_speaks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WORDS_AT_ONCE", 5)
    monkeypatch.setattr(live, "WORD_EVERY_S", 2.0)

    async def scene(session: ClientSession) -> None:
        async with session.ws_connect("/api/v1/live", headers=of("ann")) as flood:
            for _ in range(1000):
                await flood.send_json(watch("front"))
            async with session.ws_connect("/api/v1/live", headers=of("ben")) as other:
                await other.send_json({"type": "listen", "to": ["settings"]})
                kinds = [(await other.receive_json())["type"] for _ in range(2)]
                assert kinds == ["hello", "settings"]  # nobody else has to wait
            assert not flood.closed

    world.play(scene)
    wait_for(lambda: not world.heard.viewers, what="who is gone is forgotten")
    assert 1 <= len(world.watches()) < 100  # five at once, some later, and the renewals


def test_one_person_leaves_room_for_the_pages_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_OF_ONE", 2)

    async def scene(session: ClientSession) -> None:
        first = await session.ws_connect("/api/v1/live", headers=of("ann"))
        second = await session.ws_connect("/api/v1/live", headers=of("ann"))
        with pytest.raises(WSServerHandshakeError, match="503"):
            await session.ws_connect("/api/v1/live", headers=of("ann"))
        other = await session.ws_connect("/api/v1/live", headers=of("ben"))
        assert (await other.receive()).type is WSMsgType.TEXT
        for socket in (first, second, other):
            await socket.close()
        again = await session.ws_connect("/api/v1/live", headers=of("ann"))
        await again.close()

    world.play(scene)
