"""A request becomes a call, or an answer that says what is wrong with it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from nxai_common.contracts.topics import Level
from nxai_common.errors import CloudUnavailable, RejectedError
from nxai_manager.core.accounts import Role, Scope, Who
from nxai_manager.web.answer import Answer, Refused
from nxai_manager.web.api import models
from nxai_manager.web.box import Box
from nxai_manager.web.endpoint import ASKER, Call, Endpoint, Form, served
from nxai_manager.web.security import explain

pytestmark = pytest.mark.unit


class Wanted(Form):
    size: int
    name: str = ""
    password: SecretStr = SecretStr("")


class Place(Form):
    place: Level


class Told(Answer):
    heard: dict[str, Any]


async def echo(call: Call) -> Told:
    """Say it again."""
    parts = {"path": call.path, "query": call.query, "body": call.body}
    return Told(heard={k: v.model_dump(mode="json") for k, v in parts.items() if v is not None})


Ask = Callable[[ClientSession, str], Awaitable[tuple[int, dict[str, str], Any]]]


def serve(
    endpoint: Endpoint, ask: Ask, who: Who | None = None, largest: int = 1000
) -> tuple[int, Any, Any]:
    """Serve one endpoint, and return what came of a request: status, headers, JSON."""

    async def play() -> tuple[int, Any, Any]:
        @web.middleware
        async def known(request: web.Request, handler: Any) -> Any:
            if who is not None:
                request[ASKER] = who
            return await handler(request)

        app = web.Application(middlewares=[explain, known], client_max_size=largest)
        box = cast("Box", None)  # no handler here asks it
        app.router.add_route(endpoint.method, endpoint.path, served(endpoint, box))
        async with TestServer(app) as server, ClientSession() as session:
            return await ask(session, str(server.make_url("")).rstrip("/"))

    return asyncio.run(play())


def request(method: str, path: str, **options: Any) -> Ask:
    async def ask(session: ClientSession, base: str) -> tuple[int, dict[str, str], Any]:
        async with session.request(method, base + path, **options) as answer:
            text = await answer.text()
            return answer.status, dict(answer.headers), json.loads(text) if text else None

    return ask


def test_path_query_and_body_are_checked_and_handed_over() -> None:
    endpoint = Endpoint(
        "POST",
        "/at/{place}",
        echo,
        None,
        Told,
        query=Wanted,
        body=Wanted,
        path_model=Place,
        status=201,
    )
    status, headers, told = serve(
        endpoint, request("POST", "/at/front?size=3", json={"size": 4, "name": "x"})
    )
    assert status == 201
    assert headers["Content-Type"].startswith("application/json")
    assert told["heard"]["path"] == {"place": "front"}
    assert told["heard"]["query"]["size"] == 3
    assert told["heard"]["body"]["name"] == "x"


JSON = {"Content-Type": "application/json"}
BODY = Endpoint("POST", "/x", echo, None, Told, body=Wanted)


@pytest.mark.parametrize(
    ("options", "status", "detail", "problems"),
    [
        ({"json": {}}, 422, "size: is missing", [("size", "is missing")]),
        ({"json": {"size": 1, "siz": 2}}, 422, "siz: is not known", [("siz", "is not known")]),
        ({"json": {"size": "many"}}, 422, "must be a valid integer", [("size", None)]),
        ({"json": [1]}, 422, "what was sent does not do", [("", None)]),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "not JSON", None),
        ({"data": b"[" * 900, "headers": {"Content-Type": "application/json"}}, 400, "JSON", None),
        ({"data": b"\xff", "headers": {"Content-Type": "application/json"}}, 400, "not JSON", []),
        ({"data": b'{"size": 1, "password": "\\ud800"}', "headers": JSON}, 400, "half a char", []),
        ({"data": b'{"size": 1, "\\uDfff": 2}', "headers": JSON}, 400, "half a character", []),
        ({"data": b"size=3"}, 415, "Content-Type: application/json", []),
        ({"json": {"name": "x" * 2000}}, 413, "more than may be sent", []),
    ],
)
def test_wrong_body_is_told_by_field(
    options: Any, status: int, detail: str, problems: list[tuple[str, str | None]] | None
) -> None:
    code, headers, told = serve(BODY, request("POST", "/x", **options))
    assert code == status == told["status"]
    assert headers["Content-Type"].startswith("application/problem+json")
    assert detail in told["detail"]
    if problems is not None:
        assert [p["where"] for p in told["problems"]] == [where for where, _ in problems]
        assert all(
            reason is None or told["problems"][n]["reason"] == reason
            for n, (_, reason) in enumerate(problems)
        )


def dripped(path: str) -> Ask:
    """Ask with a body of which the end never comes."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"size": '
        await asyncio.sleep(30)

    async def ask(session: ClientSession, base: str) -> tuple[int, dict[str, str], Any]:
        async with session.post(base + path, data=body(), headers=JSON) as answer:
            return answer.status, dict(answer.headers), json.loads(await answer.text())

    return ask


async def weigh(call: Call) -> Told:
    """Say how much came."""
    return Told(heard={"bytes": len(await models.read_up_to(call, 100, "the picture"))})


async def cut(call: Call) -> Told:
    """Say what the first part is."""
    return Told(heard={"bytes": len(await models._next_part(call.request))})


@pytest.mark.parametrize(
    "endpoint",
    [
        BODY,
        Endpoint("POST", "/x", weigh, None, Told, raw_body="image/jpeg"),
        Endpoint("POST", "/x", cut, None, Told, raw_body="image/jpeg"),
    ],
    ids=["json", "picture", "file"],
)
def test_body_that_does_not_come_is_not_waited_for(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nxai_manager.web.endpoint.BODY_S", 0.05)
    status, _, told = serve(endpoint, dripped("/x"))
    assert status == 408
    assert told["detail"] == "the body did not come within 0.05 s"


@pytest.mark.parametrize(
    ("scope", "largest"),
    [(None, 16_384), (Scope.READ, 16_384), (Scope.OPERATE, 1_048_576), (Scope.CONFIGURE, 4**11)],
)
def test_who_may_less_may_send_less(scope: Scope | None, largest: int) -> None:
    endpoint = Endpoint("POST", "/x", echo, scope, Told, body=Wanted)
    whole = len(json.dumps({"size": 1, "name": ""}))
    for more, status in ((0, 200), (1, 413)):
        body = json.dumps({"size": 1, "name": "x" * (largest - whole + more)}).encode()
        assert len(body) == largest + more
        ask = request("POST", "/x", data=io.BytesIO(body), headers=JSON)
        code, _, _ = serve(endpoint, ask, who(Role.ADMIN), largest=4**11)
        assert code == status


def test_characters_of_two_halves_are_taken() -> None:
    data = b'{"size": 1, "name": "\\ud83d\\ude00"}'
    status, _, told = serve(BODY, request("POST", "/x", data=data, headers=JSON))
    assert (status, told["heard"]["body"]["name"]) == (200, "\U0001f600")


def test_line_of_a_mistake_in_json_is_told() -> None:
    data = b'{"size": 1,\n "name": }'
    headers = {"Content-Type": "application/json"}
    _, _, told = serve(BODY, request("POST", "/x", data=data, headers=headers))
    assert told["problems"] == [{"where": "", "reason": "not JSON from here on", "line": 2}]


def test_wrong_value_is_never_repeated() -> None:
    secret = 'p@ss:/#?%"word'
    body = {"size": secret, "password": {"x": secret}, secret: 1}
    _, _, told = serve(BODY, request("POST", "/x", json=body))
    assert secret not in json.dumps({**told, "problems": [p["reason"] for p in told["problems"]]})


def test_name_that_cannot_be_is_not_found() -> None:
    endpoint = Endpoint("GET", "/at/{place}", echo, None, Told, path_model=Place)
    status, _, told = serve(endpoint, request("GET", "/at/Front%20Door"))
    assert status == 404
    assert told["detail"] == "there is nothing of this name"


def test_parameter_nobody_asked_for_is_named() -> None:
    endpoint = Endpoint("GET", "/x", echo, None, Told)
    status, _, told = serve(endpoint, request("GET", "/x?limt=3"))
    assert status == 422
    assert told["problems"] == [{"where": "limt", "reason": "is not known here", "line": None}]


def test_nothing_to_say_is_204() -> None:
    async def forget(_call: Call) -> None:
        """Forget."""

    status, _, told = serve(Endpoint("DELETE", "/x", forget, None), request("DELETE", "/x"))
    assert (status, told) == (204, None)


def who(role: Role) -> Who:
    return Who(name="ann", role=role, scopes=role.scopes, how="session")


@pytest.mark.parametrize(
    ("asker", "status"),
    [(None, 401), (Role.VIEWER, 403), (Role.OPERATOR, 403), (Role.ADMIN, 200)],
)
def test_who_may_not_is_told_so(asker: Role | None, status: int) -> None:
    endpoint = Endpoint("GET", "/x", echo, Scope.CONFIGURE, Told)
    code, _, told = serve(endpoint, request("GET", "/x"), None if asker is None else who(asker))
    assert code == status
    if code == 403:
        assert "ann (" in told["detail"]
        assert "configure" in told["detail"]


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (Refused(409, "not now", headers={"Retry-After": "3"}), 409, "not now"),
        (CloudUnavailable("the cloud is away"), 503, "the cloud is away"),
        (RejectedError("it is in use"), 409, "it is in use"),
        (web.HTTPNotFound(), 404, "there is nothing at /x"),
    ],
)
def test_what_goes_wrong_is_told(error: Exception, status: int, detail: str) -> None:
    async def fail(_call: Call) -> None:
        """Fail."""
        raise error

    code, headers, told = serve(Endpoint("GET", "/x", fail, None), request("GET", "/x"))
    assert (code, told["detail"]) == (status, detail)
    if status == 409 and isinstance(error, Refused):
        assert headers["Retry-After"] == "3"


def test_mistake_of_ours_is_logged_under_a_number_and_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(_call: Call) -> None:
        """Fail."""
        raise ZeroDivisionError("inner matters")

    code, _, told = serve(Endpoint("GET", "/x", fail, None), request("GET", "/x"))
    assert code == 500
    assert "inner matters" not in json.dumps(told)
    number = told["detail"].rpartition(" ")[2]
    assert number in caplog.text
    assert "inner matters" in caplog.text


def test_wrong_method_says_which_are_possible() -> None:
    code, headers, told = serve(Endpoint("GET", "/x", echo, None, Told), request("POST", "/x"))
    assert (code, told["detail"]) == (405, "POST is not possible here")
    assert headers["Allow"] == "GET"
