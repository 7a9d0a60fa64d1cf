"""The picture of a camera's last event, as the page asks for it over HTTP."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.commands import Reply, ShowSample
from nxai_common.contracts.outputs import Snapshot
from nxai_common.contracts.status import ServiceState, Status
from nxai_manager.adapters.output_secrets import OutputSecrets
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.core.accounts import Role, Scope, Who
from nxai_manager.settings import ManagerSettings
from nxai_manager.web import hub
from nxai_manager.web.api import cameras
from nxai_manager.web.box import Box
from nxai_manager.web.hub import Hub
from nxai_manager.web.server import Door, WebServer
from support import golden
from support.waiting import wait_for

pytestmark = pytest.mark.integration
VIEWER = Who("anna", Role.VIEWER, frozenset({Scope.READ}), "token")


class Gate:
    """Lets in whoever has any token at all."""

    def by_session(self, secret: str) -> Who | None:
        assert secret
        return None

    def by_token(self, secret: str) -> Who | None:
        return VIEWER if secret else None

    def holds(self, who: Who) -> bool:
        return who is VIEWER


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "RECEIVE_S", 0.02)  # the hub ends no sooner than its wait does
    monkeypatch.setattr(cameras, "RETAINED_S", 0.2)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[tuple[MemoryBus, httpx.Client]]:
    broker = MemoryBroker()
    with (
        MemoryBus(broker) as capture,
        MemoryBus(broker) as bus,
        Hub(bus) as heard,
        ThreadPoolExecutor(2) as pool,
    ):
        made = Box(
            bus=bus,
            hub=heard,
            desk=cast("Any", None),
            gate=cast("Any", Gate()),
            settings=ManagerSettings(state_dir=tmp_path),
            version="1",
            secrets=SecretsDirectory(tmp_path),
            output_secrets=OutputSecrets(tmp_path / "output-secrets"),
            handover=None,
            pool=pool,
        )
        with WebServer(made, [Door("127.0.0.1", 0)]) as server:
            (port,) = server.ports.values()
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}/api/v1",
                headers={"Authorization": "Bearer any"},
            ) as client:
                yield capture, client


def test_snapshot_of_the_last_event_is_shown(box: tuple[MemoryBus, httpx.Client]) -> None:
    capture, client = box
    capture.publish(Snapshot(camera="front", attachment=golden.JPEG))
    answer = client.get("/cameras/front/snapshot")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.content == golden.JPEG


def test_camera_without_an_event_has_no_snapshot(box: tuple[MemoryBus, httpx.Client]) -> None:
    capture, client = box
    capture.publish(Snapshot(camera="front", attachment=golden.JPEG))
    answer = client.get("/cameras/back/snapshot")
    assert answer.status_code == 404
    assert "no picture of an event of camera back" in answer.json()["detail"]


def test_picture_in_the_cache_of_a_browser_is_for_who_was_logged_in(
    box: tuple[MemoryBus, httpx.Client],
) -> None:
    sync, client = box
    status = golden.example(Status)
    about = {"service": "cloud-sync", "role": "cloud-sync", "state": ServiceState.RUNNING}
    with closing(sync.subscribe(Subscription(ShowSample))) as asked, ThreadPoolExecutor(1) as pool:
        sync.publish(status.model_copy(update=about))
        wait_for(
            lambda: "cloud-sync has not been" not in client.get("/health").text, what="it came"
        )
        answer = pool.submit(client.get, "/samples/front-1/picture")
        delivery = asked.receive(10)
        assert delivery is not None
        delivery.reply(Reply(ok=True, attachment=golden.JPEG))
        told = answer.result()
    assert told.content == golden.JPEG
    assert told.headers["Cache-Control"] == "private, max-age=3600"
    assert told.headers["Vary"] == "Cookie, Authorization"


def test_who_asks_for_more_than_fits_is_told_to_come_again(
    box: tuple[MemoryBus, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = box
    monkeypatch.setattr("nxai_manager.web.box.ASKING", 2)
    monkeypatch.setattr("nxai_manager.web.box.WAITING", 1)
    told = threading.Event()
    monkeypatch.setattr(cameras, "_kept_snapshot", lambda *_: told.wait(30) and None)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.get, "/cameras/front/snapshot") for _ in range(8)]
        try:
            wait_for(lambda: sum(each.done() for each in asked) == 5, what="five are refused")
        finally:
            told.set()
        found = sorted(each.result().status_code for each in asked)
    assert found == [404] * 3 + [503] * 5
    assert client.get("/cameras/front/snapshot").status_code == 404
