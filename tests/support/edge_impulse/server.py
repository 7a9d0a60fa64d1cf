"""The emulator on sockets of its own, in a thread of the test's process."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Middleware

from support.edge_impulse import ingestion, studio
from support.edge_impulse.faults import Exchange, Handler
from support.edge_impulse.project import Emulator, Request

HERE = "127.0.0.1"
ELSEWHERE = "127.0.0.2"
"""Another host, as far as a client can tell."""

BACKLOG = 128
"""Clients that may wait for a connection; more than any test starts."""

STORED = b"from another host"


@dataclass(frozen=True)
class Urls:
    """Where the servers are."""

    studio: str
    """With /v1, as in EI_API_ENDPOINT; links of downloads start at its host."""
    ingestion: str
    elsewhere: str
    """A third server for redirects; it takes everything and notes it in `requests`."""


@contextmanager
def running(
    emulator: Emulator, *, studio_port: int = 0, ingestion_port: int = 0, host: str = HERE
) -> Iterator[Urls]:
    """Serve until the end of the block, on free ports unless told which."""
    server = _Server(emulator)
    ready = threading.Event()
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(address, backlog=BACKLOG))
            for address in ((host, studio_port), (host, ingestion_port), (ELSEWHERE, 0))
        ]
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets, ready)), name="edge-impulse"
        )
        thread.start()
        try:
            ready.wait()
            urls = [f"http://{host}:{port}" for host, port in (s.getsockname() for s in sockets)]
            yield Urls(f"{urls[0]}/v1", urls[1], urls[2])
        finally:
            server.stop()
            thread.join()


class _Server:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it ended by itself, with an error that pytest reports
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def serve(self, sockets: list[socket.socket], ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        runners = []
        try:
            for app, listening in zip(self._apps(), sockets, strict=True):
                runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
                await runner.setup()
                runners.append(runner)
                await web.SockSite(runner, listening).start()
            ready.set()
            await self._stopping.wait()
        finally:
            ready.set()
            for runner in runners:
                await runner.cleanup()

    def _apps(self) -> tuple[web.Application, ...]:
        studio_app = web.Application(middlewares=[self._watched("studio")])
        studio.add_routes(studio_app, self._emulator)
        ingestion_app = web.Application(middlewares=[self._watched("ingestion")])
        ingestion.add_routes(ingestion_app, self._emulator)
        other_app = web.Application(middlewares=[self._watched("elsewhere")])
        other_app.router.add_route("*", "/{path:.*}", _stored)
        return studio_app, ingestion_app, other_app

    def _watched(self, name: Literal["studio", "ingestion", "elsewhere"]) -> Middleware:
        emulator = self._emulator

        @web.middleware
        async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
            headers = {key.lower(): value for key, value in request.headers.items()}
            noted = Request(name, request.method, request.path_qs, headers)
            with emulator.lock:
                emulator.requests.append(noted)
            action = emulator.faults.take(request.method, request.path)
            try:
                if action is None:
                    return await handler(request)
                return await action.perform(Exchange(request, handler, self._stopping))
            except ConnectionError:
                return web.Response()  # to nobody
            finally:
                noted.size = request.content.total_bytes

        return watched


async def _stored(request: web.Request) -> web.Response:
    async for _ in request.content.iter_any():
        pass
    return web.Response(body=STORED)
