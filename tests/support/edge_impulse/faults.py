"""What goes wrong on demand, on the socket and not in a mock.

    emulator.faults.add(Fault("*/downloads", Reply(503), count=3))
    emulator.faults.add(Fault("POST /api/*/files", LoseAnswer(after_files=2)))

A route is a shell pattern for the path, or for method and path; `*` reaches over slashes. Studio's
paths start with /v1/api, those of ingestion with /api.
"""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol, TypeAlias

from aiohttp import web

LOOK_EVERY_S = 0.01
BLOCK = bytes(65536)

FILES_TO_STORE: web.RequestKey[int] = web.RequestKey("files_to_store", int)
"""Set on a request whose answer gets lost: how many of its files are stored."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Exchange:
    """One request that something happens to."""

    request: web.Request
    handler: Handler
    stopping: asyncio.Event

    async def answer(self) -> web.StreamResponse:
        """Do the work, and return the real answer."""
        return await self.handler(self.request)

    async def real(self) -> tuple[bytes, web.StreamResponse]:
        """Return the body of the real answer, and its head for sending it in another way."""
        answer = await self.answer()
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes | bytearray)
        body = bytes(answer.body)
        headers = {**answer.headers, "Content-Length": str(len(body))}
        return body, web.StreamResponse(status=answer.status, headers=headers)

    async def swallow(self, up_to: int | None = None) -> None:
        """Take in the body, or its beginning, without keeping it."""
        while up_to is None or self.request.content.total_bytes < up_to:
            if not await self.request.content.readany():
                return

    async def wait(self, seconds: float) -> bool:
        """Wait; return whether there still is somebody to answer to."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.connected and loop.time() < end:  # noqa: ASYNC110 - a transport has no event
            await asyncio.sleep(min(LOOK_EVERY_S, max(0.0, end - loop.time())))
        return self.connected

    @property
    def connected(self) -> bool:
        """Whether the client is there, and the server is to stay."""
        transport = self.request.transport
        return transport is not None and not transport.is_closing() and not self.stopping.is_set()

    def close(self) -> None:
        """Close the connection once everything was sent."""
        if self.request.transport is not None:
            self.request.transport.close()

    def reset(self) -> web.Response:
        """Reset the connection; the answer is what aiohttp will fail to send."""
        transport = self.request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return web.Response()


class Action(Protocol):
    """What happens to a request."""

    async def perform(self, exchange: Exchange) -> web.StreamResponse: ...


@dataclass(frozen=True)
class Reply:
    """Another answer than the real one."""

    status: int = 500
    body: str | bytes = ""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    async def perform(self, exchange: Exchange) -> web.StreamResponse:
        await exchange.swallow()
        body = self.body if isinstance(self.body, bytes) else self.body.encode()
        headers = {"Content-Type": self.content_type, **self.headers}
        return web.Response(status=self.status, body=body, headers=headers)


@dataclass(frozen=True)
class Redirect:
    """Go there."""

    to: str
    status: int = 302

    async def perform(self, exchange: Exchange) -> web.StreamResponse:
        await exchange.swallow()
        return web.Response(status=self.status, headers={"Location": self.to})


@dataclass(frozen=True)
class CutShort:
    """The real answer with its real Content-Length, but only the first bytes of it."""

    after: int
    reset: bool = False
    """Whether the connection is reset, instead of closed."""

    async def perform(self, exchange: Exchange) -> web.StreamResponse:
        body, answer = await exchange.real()
        await answer.prepare(exchange.request)
        await answer.write(body[: self.after])
        if self.reset:
            exchange.reset()
        else:
            exchange.close()
        return answer


@dataclass(frozen=True)
class ResetWhileReceiving:
    """The connection is reset once some bytes of the request's body arrived; nothing is stored."""

    after: int = 0

    async def perform(self, exchange: Exchange) -> web.StreamResponse:
        await exchange.swallow(self.after)
        return exchange.reset()


@dataclass(frozen=True)
class LoseAnswer:
    """The connection is reset before the answer, but the work is done.

    Of an upload only the first files are stored, if `after_files` is given.
    """

    after_files: int | None = None

    async def perform(self, exchange: Exchange) -> web.StreamResponse:
        if self.after_files is not None:
            exchange.request[FILES_TO_STORE] = self.after_files
        await exchange.answer()
        return exchange.reset()


@dataclass(frozen=True)
class Endless:
    """A body made while it is sent, of `size` bytes or until the client had enough."""

    size: int | None = None
    start: bytes = b""
    """Its first bytes, such as those of a true model."""
    announced: bool = False
    """Whether a Content-Length says `size`."""
    content_type: str = "application/octet-stream"

    async def perform(self, exchange: Exchange) -> web.StreamResponse:
        await exchange.swallow()
        answer = web.StreamResponse(headers={"Content-Type": self.content_type})
        if self.announced:
            answer.content_length = self.size
        await answer.prepare(exchange.request)
        await answer.write(self.start)
        sent = len(self.start)
        while exchange.connected and (self.size is None or sent < self.size):
            block = BLOCK if self.size is None else BLOCK[: self.size - sent]
            try:
                await answer.write(block)
            except ConnectionError:
                break
            sent += len(block)
        return answer


@dataclass(frozen=True)
class Trickle:
    """The real answer, a few bytes at a time."""

    every_s: float = 1.0
    at_once: int = 1

    async def perform(self, exchange: Exchange) -> web.StreamResponse:
        body, answer = await exchange.real()
        await answer.prepare(exchange.request)
        for at in range(0, len(body), self.at_once):
            if not await exchange.wait(self.every_s):
                break
            await answer.write(body[at : at + self.at_once])
        return answer


@dataclass(frozen=True)
class Hang:
    """No answer, until the event is set (then the real one) or the client leaves."""

    until: threading.Event = field(default_factory=threading.Event)

    async def perform(self, exchange: Exchange) -> web.StreamResponse:
        while not self.until.is_set() and await exchange.wait(LOOK_EVERY_S):
            pass
        return await exchange.answer() if exchange.connected else web.Response()


@dataclass(frozen=True)
class Delay:
    """The real answer, later."""

    seconds: float

    async def perform(self, exchange: Exchange) -> web.StreamResponse:
        await exchange.wait(self.seconds)
        return await exchange.answer()


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
    return Reply(200, page, "text/html; charset=utf-8")


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


@dataclass
class _Due:
    fault: Fault
    seen: int = 0
    """Requests it matched, spared ones too."""

    @property
    def used_up(self) -> bool:
        fault = self.fault
        return fault.count is not None and self.seen >= fault.after + fault.count


class Faults:
    """The faults that are due, the oldest first: the next one sees what the one before let pass."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: list[_Due] = []

    def add(self, fault: Fault) -> Fault:
        """Let something go wrong from now on."""
        with self._lock:
            self._due.append(_Due(fault))
            return fault

    def clear(self) -> None:
        """Let everything be well again, also what hangs."""
        with self._lock:
            for due in self._due:
                if isinstance(due.fault.does, Hang):
                    due.fault.does.until.set()
            self._due.clear()

    def left(self) -> list[Fault]:
        """Return the faults that have not happened yet as often as they shall."""
        with self._lock:
            return [due.fault for due in self._due if not due.used_up]

    def take(self, method: str, path: str) -> Action | None:
        """Return what shall happen to a request that just came."""
        with self._lock:
            for due in self._due:
                if due.fault.matches(method, path) and not due.used_up:
                    due.seen += 1
                    if due.seen > due.fault.after:
                        return due.fault.does
            return None
