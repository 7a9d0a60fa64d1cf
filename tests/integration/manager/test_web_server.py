"""The web server itself: who connects and asks nothing, and parts of it that fail."""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_manager.adapters.output_secrets import OutputSecrets
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.core.accounts import Role, Scope, Who
from nxai_manager.settings import ManagerSettings
from nxai_manager.web import connections, hub, server
from nxai_manager.web.box import Box
from nxai_manager.web.hub import Hub
from nxai_manager.web.server import Door, WebServer
from support.waiting import wait_for

pytestmark = pytest.mark.integration


class Gate:
    """Lets in whoever has any token at all."""

    def by_session(self, secret: str) -> Who | None:
        assert secret
        return None

    def by_token(self, secret: str) -> Who | None:
        return Who(secret, Role.VIEWER, frozenset({Scope.READ}), "token")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "RECEIVE_S", 0.02)  # the hub ends no sooner than its wait does
    monkeypatch.setattr(server, "RENEW_S", 0.02)


@contextmanager
def served(folder: Path, *doors: Door) -> Iterator[WebServer]:
    with (
        MemoryBus(MemoryBroker()) as bus,
        Hub(bus) as heard,
        ThreadPoolExecutor(2) as pool,
    ):
        box = Box(
            bus=bus,
            hub=heard,
            desk=cast("Any", None),
            gate=cast("Any", Gate()),
            settings=ManagerSettings(state_dir=folder),
            version="1.2.3",
            secrets=SecretsDirectory(folder),
            output_secrets=OutputSecrets(folder / "output-secrets"),
            handover=None,
            pool=pool,
        )
        with WebServer(box, doors or [Door("127.0.0.1", 0)]) as made:
            yield made


def port(made: WebServer) -> int:
    return next(iter(made.ports.values()))


def connect(made: WebServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port(made)), timeout=30)


def test_who_asks_nothing_is_shown_out_and_who_asks_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path) as made, connect(made) as asks:
        asks.sendall(b"GET /nothing HTTP/1.1\r\nHost: box\r\n\r\n")
        assert asks.recv(9) == b"HTTP/1.1 "
        monkeypatch.setattr(connections, "QUIET_S", 0.05)
        with connect(made) as quiet, connect(made) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: b")
            assert quiet.recv(1) == b""
            assert slow.recv(1) == b""
        asks.sendall(b"GET /nothing HTTP/1.1\r\nHost: box\r\n\r\n")
        wait_for(lambda: asks.recv(4096).count(b"HTTP/1.1 404") == 1, what="it is answered still")


def test_where_many_are_connected_nobody_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MANY", 3)
    with served(tmp_path) as made, ExitStack() as closing:
        quiet = [closing.enter_context(connect(made)) for _ in range(5)]
        assert all(each.recv(1) == b"" for each in quiet)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        (
            b"POST /api/v1/session HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"
        ),
        (
            b"POST /api/v1/session HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\n"
            b"Content-Encoding: gzip\r\nContent-Length: 4\r\nConnection: close\r\n\r\nabcd"
        ),
    ],
)
def test_what_is_no_http_is_refused_and_does_not_fill_the_log(
    tmp_path: Path, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with served(tmp_path) as made, connect(made) as asks:
        asks.sendall(request_)
        assert asks.makefile("rb").readline().split()[1] == b"400"
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_description_is_made_once_and_tells_the_version_to_who_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server._described.cache_clear()
    made = []

    def openapi(*_: object) -> dict[str, Any]:
        made.append(1)
        return {"info": {"version": _[1]}}

    monkeypatch.setattr(server, "openapi", openapi)
    try:
        with served(tmp_path) as web:
            url = f"http://127.0.0.1:{port(web)}/api/v1/openapi.json"
            outside = [httpx.get(url).json()["info"]["version"] for _ in range(3)]
            inside = [
                httpx.get(url, headers={"Authorization": "Bearer x"}).json()["info"]["version"]
                for _ in range(3)
            ]
    finally:
        server._described.cache_clear()
    assert (outside, inside) == ([""] * 3, ["1.2.3"] * 3)
    assert len(made) == 2


def test_pictures_are_asked_for_again_after_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def renew(_self: Hub) -> None:
        tried.append(1)
        if len(tried) == 1:
            raise ZeroDivisionError

    monkeypatch.setattr(Hub, "renew", renew)
    with served(tmp_path):
        wait_for(lambda: len(tried) > 2, what="it goes on")


def test_door_that_fails_in_an_unknown_way_is_told_and_tried_again(tmp_path: Path) -> None:
    again = threading.Event()

    def context() -> ssl.SSLContext:
        if not again.is_set():
            raise ZeroDivisionError
        return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    with served(tmp_path, Door("127.0.0.1", 0, context)) as made:
        (problem,) = made.problems()
        assert "https://127.0.0.1:0 cannot be opened: ZeroDivisionError" in problem.reason
        again.set()
        wait_for(lambda: not made.problems(), what="it is open")


def test_page_that_has_ended_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def application(_box: Box) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(server, "application", application)
    with served(tmp_path) as made:
        (problem,) = made.problems()
        assert problem.about == "page"
        assert "the page is served no more; a mistake of nxai-edge" in problem.reason


def test_page_that_hears_nothing_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(Hub, "_read_always", lambda _self: ended.wait(30))
    with served(tmp_path) as made:
        assert made.problems() == ()
        ended.set()
        wait_for(lambda: made.problems() != (), what="it is told")
        assert "the page hears nothing of the other services any more" in str(made.problems())
