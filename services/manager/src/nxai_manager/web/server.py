"""The web server: aiohttp in a thread of its own, beside the loop that publishes configurations."""

import asyncio
import contextlib
import functools
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from nxai_common.contracts.status import Problem
from nxai_common.errors import ConfigurationError
from nxai_common.retry import RetryPolicy
from nxai_manager.web import security
from nxai_manager.web.answer import Answer
from nxai_manager.web.api import every_endpoint
from nxai_manager.web.box import Box
from nxai_manager.web.connections import Quiet, http_log
from nxai_manager.web.endpoint import API, MAX_BODY_BYTES, Call, Endpoint, served
from nxai_manager.web.hub import RENEW_S
from nxai_manager.web.openapi import openapi
from nxai_manager.web.static import Page

log = logging.getLogger(__name__)

PAGE: Final = Path(__file__).resolve().parent.parent / "page"
RETRY: Final = RetryPolicy(first_s=1, factor=2, longest_s=30)
MISTAKE: Final = "a mistake of nxai-edge, which the log of the manager shows: restart it"
START_S: Final = 10.0
"""The page is there in a fraction of a second; a port that is taken is not waited for."""
GOODBYE_S: Final = 3.0
"""Requests under way may end; viewers are closed at once."""
KEEP_S: Final = 75.0
"""A connection waits so long for the next question."""
MakeContext = Callable[[], ssl.SSLContext]


@dataclass(frozen=True, slots=True)
class Door:
    """One address that the page is served on."""

    host: str
    port: int
    context: MakeContext | None = None
    """Makes what HTTPS needs; None: HTTP."""

    @property
    def name(self) -> str:
        """As a person writes it."""
        host = "localhost" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104 - compared
        return f"http{'s' if self.context else ''}://{host}:{self.port}"


class WebServer:
    """Serves page, REST and live data while its context is open.

    A door that cannot be opened (the port is taken, the certificate is wrong) is a problem in the
    status and tried again; the rest of the manager does its work all the same.
    """

    def __init__(self, box: Box, doors: Iterable[Door]) -> None:
        self._box = box
        self._doors = tuple(doors)
        self._problems: dict[str, str] = {}
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self.ports: dict[str, int] = {}
        """Where each door is open: its name, and the port (for one that was asked for as 0)."""
        self._quiet = Quiet()

    def __enter__(self) -> Self:
        """Begin to serve; returns once each door is open or has failed for the first time."""
        self._thread.start()
        self._ready.wait(START_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all doors."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # it ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def problems(self) -> tuple[Problem, ...]:
        """Return why the page cannot be reached, or shows nothing new."""
        reasons = list(self._problems.values())
        if self._box.hub.is_deaf:
            reasons.append(f"the page hears nothing of the other services any more; {MISTAKE}")
        return tuple(Problem(about="page", reason=reason) for reason in reasons)

    def gauges(self) -> dict[str, int | float]:
        """Return how many look."""
        return {"viewers": len(self._box.hub.viewers)}

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            log.exception("the page has ended")
            self._problems["all"] = f"the page is served no more; {MISTAKE}"
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = application(self._box)
        app.middlewares.insert(0, self._quiet.middleware())
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=GOODBYE_S,
            keepalive_timeout=KEEP_S,
            logger=http_log(),
        )
        await runner.setup()
        self._box.hub.attach(self._loop)
        tasks = [
            asyncio.create_task(self._open(runner, door), name=f"door {door.port}")
            for door in self._doors
        ]
        tasks.append(asyncio.create_task(self._renew(runner), name="renew"))
        try:
            await self._stopping.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._box.hub.detach()
            await runner.cleanup()

    async def _open(self, runner: web.AppRunner, door: Door) -> None:
        """Open a door, as often as it takes."""
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        attempt = 0
        while True:
            try:
                context = None if door.context is None else door.context()
                site = web.TCPSite(
                    runner, door.host, door.port, ssl_context=context, reuse_address=True
                )
                await site.start()
            except Exception as error:  # noqa: BLE001 - a door that stays closed must be told of
                attempt += 1
                self._refuse(door, error, first=attempt == 1)
                self._count(door)
                await asyncio.sleep(RETRY.delay(attempt, rng))
                continue
            port = runner.addresses[-1][1]
            log.info("the page is at %s", door.name if door.port else f"port {port}")
            self._problems.pop(door.name, None)
            self.ports[door.name] = port
            self._count(door)
            return

    def _refuse(self, door: Door, error: Exception, *, first: bool) -> None:
        reason = (
            f"{door.name} cannot be opened: {error.strerror or error}; stop the other program "
            "there, or set NXAI_MANAGER_PORT (NXAI_MANAGER_HTTPS_PORT) to another port"
            if isinstance(error, OSError)
            else f"{door.name} cannot be opened: {str(error) or type(error).__name__}"
        )
        self._problems[door.name] = reason
        if first:
            known = isinstance(error, OSError | ConfigurationError)
            log.warning("%s", reason, exc_info=None if known else error)

    def _count(self, door: Door) -> None:
        tried = {*self.ports, *self._problems}
        if all(each.name in tried for each in self._doors) or door is self._doors[-1]:
            self._ready.set()

    async def _renew(self, runner: web.AppRunner) -> None:
        if not self._doors:
            self._ready.set()
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                self._box.hub.renew()
            except Exception:  # the next time must still come: pictures end without it
                log.exception("pictures could not be asked for")
            server = runner.server
            if server is not None:
                self._quiet.end(server.connections, time.monotonic())


class OpenApi(Answer, extra="allow"):
    """An OpenAPI 3.1 document."""


def application(box: Box) -> web.Application:
    """Return the application with all endpoints and the page."""
    cookie = security.session_cookie(box.settings.device)
    app = web.Application(
        middlewares=[security.explain, security.identifier(box.gate, cookie)],
        client_max_size=MAX_BODY_BYTES,
    )
    app.on_response_prepare.append(security.add_headers)
    endpoints = (*every_endpoint(), *_about_itself())
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, API + endpoint.path, served(endpoint, box))
    page = Page(PAGE)
    app.router.add_get("/", page.serve)
    app.router.add_get("/{file:.+}", page.serve)
    return app


def _about_itself() -> tuple[Endpoint, ...]:
    async def describe(call: Call) -> web.Response:
        """The description of this interface.

        OpenAPI 3.1, made of what the server checks. It names the version to who has logged in.
        """
        version = "" if call.who is None else call.box.version
        document = await call.box.in_thread(_described, version)
        return web.Response(body=document, content_type="application/json")

    return (Endpoint("GET", "/openapi.json", describe, None, OpenApi, tag="interface"),)


@functools.cache  # half a second of a small box, which anybody could ask for again and again
def _described(version: str) -> bytes:
    return OpenApi.model_validate(openapi(listed(), version)).model_dump_json().encode()


def listed() -> tuple[Endpoint, ...]:
    """Return the endpoints that the description names: all but the WebSocket, which is no HTTP."""
    every = (*every_endpoint(), *_about_itself())
    return tuple(endpoint for endpoint in every if endpoint.path != "/live")
