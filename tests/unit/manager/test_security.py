"""Who asks, from where, and what a page of somebody else's cannot make a browser do."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer, make_mocked_request

from nxai_manager.core.accounts import Role, Who
from nxai_manager.web.answer import Refused
from nxai_manager.web.endpoint import ASKER
from nxai_manager.web.security import (
    HEADERS,
    OF_DOCUMENTS,
    add_headers,
    address_of,
    explain,
    identifier,
    is_secure,
    networks,
    refuse_public_name,
)

pytestmark = pytest.mark.unit

SESSION = Who(name="ann", role=Role.ADMIN, scopes=Role.ADMIN.scopes, how="session", csrf="c5rf")
TOKEN = Who(name="script", role=Role.VIEWER, scopes=Role.VIEWER.scopes, how="token")


class Doors:
    """One session and one token (implements `Gate`)."""

    def by_session(self, secret: str) -> Who | None:
        return SESSION if secret == "good" else None

    def by_token(self, secret: str) -> Who | None:
        return TOKEN if secret == "nxai_good" else None

    def holds(self, who: Who) -> bool:
        return who in (SESSION, TOKEN)


@dataclass
class Answered:
    status: int
    text: str
    headers: Mapping[str, str] = field(repr=False)


def ask(method: str = "GET", **headers: str) -> Answered:
    """Send one request to a server that says who asks."""

    async def who(request: web.Request) -> web.Response:
        asker = request.get(ASKER)
        return web.Response(text="nobody" if asker is None else asker.name)

    async def play() -> Answered:
        app = web.Application(middlewares=[explain, identifier(Doors(), "nxai_session_box")])
        app.on_response_prepare.append(add_headers)
        app.router.add_route("*", "/api/v1/x", who)
        async with TestServer(app) as server, ClientSession() as session:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            named = {k: v.replace("SELF", f"127.0.0.1:{server.port}") for k, v in named.items()}
            async with session.request(method, server.make_url("/api/v1/x"), headers=named) as got:
                return Answered(got.status, await got.text(), dict(got.headers))

    return asyncio.run(play())


GOOD = "nxai_session_box=good"


def test_session_and_token_tell_who_asks() -> None:
    assert ask().text == "nobody"
    assert ask(Cookie=GOOD).text == "ann"
    assert ask(Cookie="nxai_session_box=bad").text == "nobody"
    assert ask(Cookie="nxai_session_other=good").text == "nobody"
    assert ask(Authorization="Bearer nxai_good").text == "script"


def test_unknown_token_is_refused_even_beside_a_session() -> None:
    answer = ask(Authorization="Bearer nxai_bad", Cookie=GOOD)
    assert answer.status == 401
    assert "this token is not known" in answer.text
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "nxai_bad" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_change_by_a_session_needs_its_csrf_token(method: str) -> None:
    assert ask(method, Cookie=GOOD).status == 403
    assert ask(method, Cookie=GOOD, X_CSRF_Token="wrong").status == 403
    assert ask(method, Cookie=GOOD, X_CSRF_Token="c5rf").text == "ann"


def test_change_by_a_token_needs_none() -> None:
    assert ask("POST", Authorization="Bearer nxai_good").text == "script"


def test_change_without_a_session_must_come_from_this_page() -> None:
    assert ask("POST").status == 200  # no browser sends a POST without an origin
    assert ask("POST", Origin="http://SELF").status == 200
    assert ask("POST", Origin="https://box.example", X_Forwarded_Host="box.example").status == 200
    foreign = ask("POST", Origin="http://evil.example")
    assert foreign.status == 403
    assert "evil.example" in foreign.text
    assert ask("POST", Origin="null").status == 403


def test_origin_that_is_no_text_is_refused_like_any_other() -> None:
    asked = asyncio.run(
        sent(b"POST /api/v1/x HTTP/1.1\r\nHost: box\r\nOrigin: http://\xff\xfe\r\n\r\n")
    )
    assert b" 403 " in asked
    assert b"this came from a page of http://??" in asked


def test_body_that_is_broken_is_a_mistake_of_who_sends_it() -> None:
    asked = asyncio.run(
        sent(
            b"POST /api/v1/read HTTP/1.1\r\nHost: box\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: 4\r\n\r\nabcd"
        )
    )
    assert b" 400 " in asked
    assert b"the body does not come as HTTP asks" in asked


async def sent(request: bytes) -> bytes:
    """Send bytes to a server; return what comes back at once."""

    async def read(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application(middlewares=[explain, identifier(Doors(), "nxai_session_box")])
    app.router.add_post("/api/v1/{what}", read)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        answer = await reader.readuntil(b"}")
        writer.close()
        await writer.wait_closed()
        return answer


@pytest.mark.parametrize(
    "host",
    [
        *("", "192.0.2.7", "192.0.2.7:8081", "[fd00::1]", "[fd00::1]:8081", "localhost:8081"),
        *("box", "Box.Local.", "box.local:80", "nx.lan", "a.home.arpa", "a.b.internal"),
        socket.gethostname(),
    ],
)
def test_name_that_nobody_else_owns_may_set_up(host: str) -> None:
    refuse_public_name(make_mocked_request("POST", "/", headers={"Host": host} if host else {}))


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8081", "192.0.2.7.evil.example", "local.evil.example"),
        *("evil.example.", "192.0.2.7@evil.example", "notlan.example", "[evil.example]:80"),
    ],
)
def test_name_that_anybody_may_own_may_not(host: str) -> None:
    with pytest.raises(Refused, match="set the box up at its address") as refusal:
        refuse_public_name(make_mocked_request("POST", "/", headers={"Host": host}))
    assert refusal.value.status == 403


def test_every_answer_carries_the_headers() -> None:
    for answer in (ask(), ask("POST", Origin="http://evil.example")):
        for name, value in (HEADERS | OF_DOCUMENTS).items():
            assert answer.headers[name] == value
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "nxai-edge"


def test_policy_lets_no_script_in() -> None:
    policy = dict(
        part.strip().split(" ", 1) for part in OF_DOCUMENTS["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'self'"
    assert "unsafe" not in OF_DOCUMENTS["Content-Security-Policy"]
    assert policy["object-src"] == policy["base-uri"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"


def request_from(remote: str, **headers: str) -> web.Request:
    class Transport:
        @staticmethod
        def get_extra_info(name: str, default: Any = None) -> Any:
            return (remote, 1234) if name == "peername" else default

        @staticmethod
        def is_closing() -> bool:
            return False

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("GET", "/", headers=named, transport=Transport())


PROXIES = networks(("10.0.0.0/8", "::1"))


@pytest.mark.parametrize(
    ("remote", "said", "address"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "203.0.113.9", "192.0.2.7"),  # not one of our proxies: it may lie
        ("10.0.0.2", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.2", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # what the viewer himself sent
        ("10.0.0.2", "203.0.113.9, 10.0.0.3", "203.0.113.9"),
        ("10.0.0.2", "rubbish", "10.0.0.2"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("::1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_viewers_address_is_believed_of_own_proxies_alone(
    remote: str, said: str, address: str
) -> None:
    headers = {"X_Forwarded_For": said} if said else {}
    assert address_of(request_from(remote, **headers), PROXIES) == address


def test_https_is_believed_of_own_proxies_alone() -> None:
    assert is_secure(request_from("10.0.0.2", X_Forwarded_Proto="https"), PROXIES)
    assert not is_secure(request_from("192.0.2.7", X_Forwarded_Proto="https"), PROXIES)
    assert not is_secure(request_from("10.0.0.2", X_Forwarded_Proto="http"), PROXIES)
    assert not is_secure(request_from("10.0.0.2"), PROXIES)


def test_wrong_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0"):
        networks(("10.0.0.999",))
