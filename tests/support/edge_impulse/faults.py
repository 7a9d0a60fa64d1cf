"""What goes wrong on demand, on the socket and not in a mock.

    emulator.faults.add(Fault("*/downloads", Reply(503), count=3))
    emulator.faults.add(Fault("POST /api/*/files", LoseAnswer(after_files=2)))

A route is a shell pattern for the path, or for method and path; `*` reaches over slashes.
"""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TypeAlias

from aiohttp import web

LOOK_EVERY_S = 0.01
BLOCK = b"\x00" * 65536

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Reply:
    """Another answer than the real one."""

    status: int = 500
    body: str | bytes = ""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CutShort:
    """The real answer with its real Content-Length, but only the first bytes of it."""

    after: int
    reset: bool = False
    """Whether the connection is reset, instead of closed."""


@dataclass(frozen=True)
class ResetWhileReceiving:
    """The connection is reset once some bytes of the request's body arrived."""

    after: int = 0


@dataclass(frozen=True)
class LoseAnswer:
    """The connection is reset before the answer, but the work is done.

    Of an upload only the first files are stored, if `after_files` is given.
    """

    after_files: int | None = None


@dataclass(frozen=True)
class Endless:
    """A body made while it is sent, `size` bytes or until the client had enough."""

    size: int | None = None
    start: bytes = b""
    """Its first bytes, such as those of a true model."""
    announced: bool = False
    """Whether a Content-Length says `size`."""
    content_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Redirect:
    """Go there."""

    to: str
    status: int = 302


@dataclass(frozen=True)
class Trickle:
    """The real answer, a few bytes at a time."""

    every_s: float = 1.0
    at_once: int = 1


@dataclass(frozen=True)
class Hang:
    """No answer, until the event is set (then the real one) or the client leaves."""

    until: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Delay:
    """The real answer, later."""

    seconds: float


Action: TypeAlias = (
    Reply
    | CutShort
    | ResetWhileReceiving
    | LoseAnswer
    | Endless
    | Redirect
    | Trickle
    | Hang
    | Delay
)


def refusal(status: int, error: str) -> Reply:
    """Return Studio's own words for no."""
    return Reply(status, json.dumps({"success": False, "error": error}))


def unsuccessful(error: str = "Something went wrong") -> Reply:
    """Return HTTP 200 that means no."""
    return refusal(200, error)


def too_many(retry_after: str) -> Reply:
    """Return a 429; `retry_after` in seconds or as an HTTP date."""
    body = json.dumps({"success": False, "error": "Too many requests"})
    return Reply(429, body, headers={"Retry-After": retry_after})


def captive_portal() -> Reply:
    """Return what a hotel's network answers in Studio's place."""
    page = "<!doctype html><html><title>Welcome</title><p>Please log in.</p></html>\n"
    return Reply(200, page, "text/html")


@dataclass(frozen=True)
class Fault:
    """What shall happen to which requests."""

    route: str
    does: Action
    count: int | None = 1
    """How many requests; None: all of them."""
    after: int = 0
    """How many are spared first."""

    def matches(self, method: str, path: str) -> bool:
        return fnmatchcase(f"{method} {path}" if " " in self.route else path, self.route)


class Faults:
    """The faults that are due, the oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: list[tuple[Fault, list[int]]] = []

    def add(self, fault: Fault) -> Fault:
        """Let something go wrong from now on."""
        with self._lock:
            self._due.append((fault, [0]))
            return fault

    def clear(self) -> None:
        """Let everything be well again, also what hangs."""
        with self._lock:
            for fault, _ in self._due:
                if isinstance(fault.does, Hang):
                    fault.does.until.set()
            self._due.clear()

    def seen(self, fault: Fault) -> int:
        """Return how many requests a fault matched, spared ones too."""
        with self._lock:
            return sum(count[0] for known, count in self._due if known is fault)

    def take(self, method: str, path: str) -> Action | None:
        """Return what shall happen to a request that just came."""
        with self._lock:
            for fault, seen in self._due:
                if not fault.matches(method, path):
                    continue
                last = None if fault.count is None else fault.after + fault.count
                if last is not None and seen[0] >= last:
                    continue
                seen[0] += 1
                if seen[0] > fault.after:
                    return fault.does
            return None


def reset(request: web.Request) -> web.Response:
    """Reset the connection; the answer is what aiohttp will fail to send."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def perform(  # noqa: C901, PLR0911 - one for each kind
    action: Action, request: web.Request, handler: Handler, stopping: asyncio.Event
) -> web.StreamResponse:
    """Do what a fault says to one request."""
    match action:
        case Reply():
            await _swallow(request)
            return _reply(action)
        case Redirect():
            await _swallow(request)
            return web.Response(status=action.status, headers={"Location": action.to})
        case CutShort():
            return await _cut_short(action, request, await handler(request))
        case ResetWhileReceiving():
            await _swallow(request, action.after)
            return reset(request)
        case LoseAnswer():
            request["files to store"] = action.after_files
            await handler(request)
            return reset(request)
        case Endless():
            return await _endless(action, request, stopping)
        case Trickle():
            return await _trickle(action, request, await handler(request), stopping)
        case Hang():
            while not action.until.is_set() and await _wait(request, stopping, LOOK_EVERY_S):
                pass
            return await handler(request)
        case Delay():
            await _wait(request, stopping, action.seconds)
            return await handler(request)


def _reply(action: Reply) -> web.Response:
    body = action.body if isinstance(action.body, bytes) else action.body.encode()
    headers = {"Content-Type": action.content_type, **action.headers}
    return web.Response(status=action.status, body=body, headers=headers)


async def _swallow(request: web.Request, up_to: int | None = None) -> None:
    """Take in the body without keeping it."""
    if up_to == 0:
        return
    async for block in request.content.iter_any():
        if up_to is not None:
            up_to -= len(block)
            if up_to <= 0:
                return


async def _cut_short(
    action: CutShort, request: web.Request, real: web.StreamResponse
) -> web.StreamResponse:
    body = _body(real)
    answer = web.StreamResponse(status=real.status, headers=_headers_with_length(real, len(body)))
    await answer.prepare(request)
    await answer.write(body[: action.after])
    if action.reset:
        reset(request)
    elif request.transport is not None:
        request.transport.close()
    return answer


async def _trickle(
    action: Trickle, request: web.Request, real: web.StreamResponse, stopping: asyncio.Event
) -> web.StreamResponse:
    body = _body(real)
    answer = web.StreamResponse(status=real.status, headers=_headers_with_length(real, len(body)))
    await answer.prepare(request)
    for at in range(0, len(body), action.at_once):
        if not await _wait(request, stopping, action.every_s):
            break
        await answer.write(body[at : at + action.at_once])
    return answer


async def _endless(
    action: Endless, request: web.Request, stopping: asyncio.Event
) -> web.StreamResponse:
    await _swallow(request)
    answer = web.StreamResponse(headers={"Content-Type": action.content_type})
    if action.announced:
        answer.content_length = action.size
    await answer.prepare(request)
    await answer.write(action.start)
    left = None if action.size is None else action.size - len(action.start)
    while (left is None or left > 0) and not stopping.is_set():
        block = BLOCK if left is None else BLOCK[:left]
        try:
            await answer.write(block)
        except ConnectionError:
            break
        left = None if left is None else left - len(block)
    return answer


def _body(answer: web.StreamResponse) -> bytes:
    assert isinstance(answer, web.Response)
    assert isinstance(answer.body, bytes | bytearray)
    return bytes(answer.body)


def _headers_with_length(real: web.StreamResponse, length: int) -> dict[str, str]:
    return {**real.headers, "Content-Length": str(length)}


async def _wait(request: web.Request, stopping: asyncio.Event, seconds: float) -> bool:
    """Wait; return whether there still is somebody to answer to."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        gone = request.transport is None or request.transport.is_closing()
        if gone or stopping.is_set():
            return False
        left = end - loop.time()
        if left <= 0:
            return True
        await asyncio.sleep(min(left, LOOK_EVERY_S))
