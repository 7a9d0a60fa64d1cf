"""What an endpoint of the REST interface is, and how a request becomes a call of its handler.

An endpoint is a value: method, path, who may call it, and the pydantic models of what comes in and
what goes out. The OpenAPI document is made of the same values (`web/openapi.py`), so that it cannot
say anything else than what is checked here.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from nxai_manager.core.accounts import Scope, Who
from nxai_manager.web.answer import FieldProblem, Refused

if TYPE_CHECKING:
    from nxai_manager.web.box import Box

log = logging.getLogger(__name__)

API: Final = "/api/v1"
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""Of JSON: twice the largest settings file. Files are read as they come (`raw_body`)."""
BODY_S: Final = 60.0
"""So long a body may take."""


class Form(BaseModel):
    """Base of what comes in: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def too_slow() -> Refused:
    """Return what becomes of a body that does not come."""
    return Refused(HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {BODY_S:g} s")


ASKER: Final = web.RequestKey("asker", Who)
"""Under which a request carries who asks, once that is known."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked."""

    request: web.Request
    box: "Box"
    who: Who | None
    path: Any = None
    query: Any = None
    body: Any = None

    @property
    def asker(self) -> Who:
        """Who asks, of an endpoint that has a scope."""
        assert self.who is not None  # noqa: S101 - the scope was checked
        return self.who


Handler = Callable[[Call], Awaitable[object]]


HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
LARGEST_BODY: Final = {None: 16 * 1024, Scope.READ: 16 * 1024, Scope.OPERATE: 1024 * 1024}
"""Of JSON, in bytes, by who may send it: the less that is, the less work it makes."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path below `/api/v1`.

    The handler returns `answer`, or None for an empty one (204), or a response of its own.
    """

    method: str
    path: str
    handler: Handler
    scope: Scope | None
    """What who asks must be allowed; None: nobody need have logged in."""
    answer: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    path_model: type[BaseModel] | None = None
    status: int = HTTPStatus.OK
    raw_body: str = ""
    """Media type of a body that the handler reads as it comes."""
    raw_answer: str = ""
    """Media type of an answer that is no JSON."""
    errors: tuple[int, ...] = ()
    """Besides those that every endpoint has."""
    tag: str = ""

    @property
    def changes(self) -> bool:
        """Whether it may change anything."""
        return self.method not in (HTTPMethod.GET, HTTPMethod.HEAD)


def served(
    endpoint: Endpoint, box: "Box"
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the endpoint as aiohttp calls it."""

    async def serve(request: web.Request) -> web.StreamResponse:
        who = request.get(ASKER)
        check_scope(endpoint.scope, who)
        call = Call(
            request=request,
            box=box,
            who=who,
            path=_path(endpoint, request),
            query=_query(endpoint, request),
            body=await _body(endpoint, request),
        )
        result = await endpoint.handler(call)
        if isinstance(result, web.StreamResponse):
            return result
        if isinstance(result, BaseModel):
            return web.Response(
                status=endpoint.status,
                body=result.model_dump_json(by_alias=True).encode(),
                content_type="application/json",
            )
        return web.Response(status=HTTPStatus.NO_CONTENT)

    return serve


def check_scope(scope: Scope | None, who: Who | None) -> None:
    """Raise Refused when who asks may not do this."""
    if scope is None:
        return
    if who is None:
        raise Refused(HTTPStatus.UNAUTHORIZED, "log in first")
    if scope not in who.scopes:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            f"{who.name} ({who.role.value}) may not do this: it needs the right to {scope.value}; "
            "an administrator can give it",
        )


def _path(endpoint: Endpoint, request: web.Request) -> BaseModel | None:
    if endpoint.path_model is None:
        return None
    try:
        return endpoint.path_model.model_validate(dict(request.match_info))
    except ValidationError as error:
        # A name that cannot be is a name of nothing.
        raise Refused(
            HTTPStatus.NOT_FOUND, "there is nothing of this name", problems_of(error)
        ) from None


def _query(endpoint: Endpoint, request: web.Request) -> BaseModel | None:
    given = dict(request.query)
    if endpoint.query is None:
        if given:
            name = next(iter(given))
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "this takes no parameters",
                (FieldProblem(where=name[:100], reason="is not known here"),),
            )
        return None
    return _checked(endpoint.query, given, "the parameters of the URL do not do")


async def _body(endpoint: Endpoint, request: web.Request) -> BaseModel | None:
    if endpoint.body is None:
        return None
    if request.content_type != "application/json":
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON, with Content-Type: application/json"
        )
    body = await _read(endpoint, request)
    try:
        value = json.loads(body)
        if HALF.search(body):  # of a pair, perhaps; no service takes one without the other
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(
            HTTPStatus.BAD_REQUEST, "the body holds half a character (\\ud800 to \\udfff)"
        ) from None
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            "the body is not JSON",
            (FieldProblem(reason="not JSON from here on", line=line),) if line else (),
        ) from None
    return _checked(endpoint.body, value, "what was sent does not do")


async def _read(endpoint: Endpoint, request: web.Request) -> bytes:
    largest = LARGEST_BODY.get(endpoint.scope, request.client_max_size)
    request = request.clone(client_max_size=min(largest, request.client_max_size))
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        raise too_slow() from None


def _checked(model: type[BaseModel], value: object, what: str) -> BaseModel:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = problems_of(error)
        first = f"{problems[0].where}: " if problems[0].where else ""
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{what}: {first}{problems[0].reason}", problems
        ) from None


def problems_of(error: ValidationError) -> tuple[FieldProblem, ...]:
    """Say what is wrong, without the values: one of them may be a password."""
    return tuple(
        FieldProblem(
            where=".".join(str(step) for step in item["loc"]),
            reason=_reason(item["msg"]),
        )
        for item in error.errors(include_url=False, include_input=False, include_context=False)[:50]
    )


def _reason(message: str) -> str:
    text = message.removeprefix("Value error, ").replace("Input should", "must")
    text = {"Field required": "is missing", "Extra inputs are not permitted": "is not known"}.get(
        text, text
    )
    return text[0].lower() + text[1:]
