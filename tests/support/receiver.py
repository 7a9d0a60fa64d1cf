"""An HTTP server that takes what destinations send, on a thread of the test process."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web


@dataclass(frozen=True)
class Request:
    """What came."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body, read."""
        return orjson.loads(self.body)

    @property
    def key(self) -> str:
        """Return what tells it from all others, of copies the same."""
        return self.headers["idempotency-key"]


@dataclass
class Say:
    """What to answer."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: bool = False
    """Take the request, and hang up instead of answering."""


Answer = Callable[[Request], Say]


class Receiver:
    """Remembers what came; answers as it is told. The port stays the same over restarts."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.answer: Answer = lambda _: Say()
        self.hold = threading.Event()
        """While it is clear, nobody is answered."""
        self.hold.set()
        self.port = 0
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[Any]:
        """Return all bodies, read."""
        return [request.json for request in list(self.requests)]

    def start(self) -> None:
        """Listen."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        """Hang up on everybody, and listen no more."""
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)

    async def _serve(self, ready: threading.Event) -> None:
        self._over = asyncio.Event()
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(
            runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True
        )
        await site.start()
        self.port = runner.addresses[0][1]
        self._loop = asyncio.get_running_loop()
        ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        came = Request(request.method, request.path_qs, headers, body)
        await asyncio.to_thread(self.hold.wait)
        said = self.answer(came)
        self.requests.append(came)
        if said.reset:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=said.status, headers=said.headers, body=said.body)


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run one on a free port."""
    server = Receiver(tls)
    server.start()
    try:
        yield server
    finally:
        server.hold.set()
        server.stop()
