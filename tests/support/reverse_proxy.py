"""A reverse proxy that serves the page below a path, as Home Assistant's Ingress does."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
from aiohttp import WSMsgType, web

from support.broker import free_port
from support.waiting import wait_for

HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "host"})
"""Headers of one connection, not of the message."""


@contextmanager
def below(target: str, prefix: str) -> Iterator[str]:
    """Serve `target` (a URL) below `prefix` (`/ingress/a1`), and yield where."""
    port = free_port()
    loop = asyncio.new_event_loop()
    ready, stopping = threading.Event(), asyncio.Event()
    failures: list[str] = []
    thread = threading.Thread(
        target=loop.run_until_complete,
        args=(_serve(target, prefix, port, ready, stopping, failures),),
        name="reverse proxy",
    )
    thread.start()
    wait_for(ready.is_set, 10, "the proxy serves")
    try:
        yield f"http://127.0.0.1:{port}{prefix}"
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()
    assert not failures, failures


async def _serve(
    target: str,
    prefix: str,
    port: int,
    ready: threading.Event,
    stopping: asyncio.Event,
    failures: list[str],
) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            path = request.match_info["rest"]
            url = f"{target}/{path}" + (f"?{request.query_string}" if request.query_string else "")
            headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP}
            headers["X-Forwarded-Host"] = request.headers.get("Host", "")
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await _join(session, request, url, headers)
            async with session.request(
                request.method,
                url,
                headers=headers,
                data=await request.read(),
                allow_redirects=False,
            ) as answer:
                kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in HOP]
                body = await answer.read()
                response = web.Response(status=answer.status, body=body)
                for name, value in kept:
                    if name.lower() not in ("content-length", "content-type"):
                        response.headers.add(name, value)
                if "Content-Type" in answer.headers:
                    response.headers["Content-Type"] = answer.headers["Content-Type"]
                return response

        async def outside(request: web.Request) -> web.StreamResponse:
            if request.path != "/favicon.ico":  # browsers ask for it by themselves
                failures.append(f"{request.path} is outside of {prefix}")
            raise web.HTTPNotFound

        app = web.Application()
        app.router.add_route("*", prefix + "/{rest:.*}", forward)
        app.router.add_route("*", "/{rest:.*}", outside)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ready.set()
        await stopping.wait()
        await runner.cleanup()


async def _join(
    session: aiohttp.ClientSession, request: web.Request, url: str, headers: dict[str, str]
) -> web.StreamResponse:
    """Pass on a WebSocket, both ways."""
    wanted = {k: v for k, v in headers.items() if not k.lower().startswith("sec-websocket")}
    async with session.ws_connect(url, headers=wanted, max_msg_size=0) as far:
        near = web.WebSocketResponse(max_msg_size=0)
        await near.prepare(request)

        async def back() -> None:
            async for message in far:
                if message.type is WSMsgType.BINARY:
                    await near.send_bytes(message.data)
                elif message.type is WSMsgType.TEXT:
                    await near.send_str(message.data)
            await near.close()

        task = asyncio.create_task(back(), name="from the box")
        async for message in near:
            if message.type is WSMsgType.TEXT:
                await far.send_str(message.data)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await task
        return near
