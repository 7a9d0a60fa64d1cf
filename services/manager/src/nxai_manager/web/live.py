"""The live WebSocket: what a viewer asks to hear and see, and sends nothing else."""

import asyncio
import contextlib
import json
import time
from http import HTTPStatus
from typing import Annotated, Final, Literal

from aiohttp import WSMsgType, web
from pydantic import Field, TypeAdapter, ValidationError

from nxai_common.contracts.topics import Level
from nxai_manager.core.accounts import Scope
from nxai_manager.web.answer import Refused
from nxai_manager.web.endpoint import Call, Endpoint, Form
from nxai_manager.web.hub import MOST_FPS, MOST_WIDTH, Kind, Viewer
from nxai_manager.web.security import refuse_foreign

MOST_VIEWERS: Final = 100
"""A box has tens; a page that opens sockets without end must not fill its memory."""
MOST_OF_ONE: Final = 50
"""Of one person: the rest is for others."""
LARGEST_WORD: Final = 16_384
"""Bytes of one message of a viewer."""
WORDS_AT_ONCE: Final = 30
"""A page that opens, or is clicked through, says some in a row, and waits for none of them ..."""
WORD_EVERY_S: Final = 0.25
"""... but in the long run it says less than this. Each word asks capture, which has pictures to
take, or is answered with all that holds; who says more is read no faster."""
PING_S: Final = 20.0
"""A viewer who vanished is noticed after one and a half of it."""
DROPPED_EVERY_S: Final = 5.0
GUARD_S: Final = 3.0
"""How soon a session that has ended ends the pictures, too."""


class Watch(Form):
    """See pictures of these cameras, and of no others any more."""

    type: Literal["watch"]
    cameras: Annotated[tuple[Level, ...], Field(max_length=64)] = ()
    fps: Annotated[float, Field(ge=0.1, le=MOST_FPS)] = 5
    width: Annotated[int, Field(ge=64, le=MOST_WIDTH)] = 640


class Listen(Form):
    """Hear these kinds of messages, and no others any more."""

    type: Literal["listen"]
    to: tuple[Kind, ...] = ()


WORD: Final = TypeAdapter[Watch | Listen](Annotated[Watch | Listen, Field(discriminator="type")])


async def live(call: Call) -> web.WebSocketResponse:
    """Live pictures, detections and news over a WebSocket."""
    hub, request, name = call.box.hub, call.request, call.asker.name
    refuse_foreign(request)
    if len(hub.viewers) >= MOST_VIEWERS:
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{MOST_VIEWERS} pages look already; close some",
            headers={"Retry-After": "10"},
        )
    if sum(viewer.name == name for viewer in hub.viewers) >= MOST_OF_ONE:
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{name} looks with {MOST_OF_ONE} pages already; close some",
            headers={"Retry-After": "10"},
        )
    socket = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=LARGEST_WORD, compress=False)
    if not socket.can_prepare(request).ok:
        raise Refused(
            HTTPStatus.UPGRADE_REQUIRED, "this is a WebSocket", headers={"Upgrade": "websocket"}
        )
    await socket.prepare(request)
    viewer, pace = Viewer(name), Pace()
    hub.join(viewer)
    tasks = (
        asyncio.create_task(_send(socket, viewer), name="viewer"),
        asyncio.create_task(_guard(socket, call), name="viewer-guard"),
    )
    try:
        await socket.send_json({"type": "hello", "now_ms": int(time.time() * 1000)})
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            await asyncio.sleep(pace.wait_s(time.monotonic()))
            if request.transport is None:  # gone; what was said before is of no use to anybody
                break
            reason = _obey(call, viewer, message.data)
            if reason:
                await socket.send_json({"type": "refused", "reason": reason})
    finally:
        hub.leave(viewer)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return socket


class Pace:
    """How fast a viewer may speak: some words at once, then one now and then."""

    def __init__(self) -> None:
        self._ahead_until = float("-inf")

    def wait_s(self, now: float) -> float:
        """Return how long the word that has come at `now` has to wait."""
        self._ahead_until = max(self._ahead_until, now) + WORD_EVERY_S
        return max(0.0, self._ahead_until - WORDS_AT_ONCE * WORD_EVERY_S - now)


def _obey(call: Call, viewer: Viewer, text: str) -> str:
    """Do what a viewer asks; return why not, or nothing."""
    hub, settings = call.box.hub, call.box.desk.settings
    try:
        word = WORD.validate_json(text)
    except ValidationError as error:
        item = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
    if isinstance(word, Listen):
        hub.listen(viewer, word.to)
    else:  # of what was deleted a moment ago a page may not know yet: there is just no picture
        known = {camera.id for camera in settings.cameras} if settings is not None else set()
        hub.watch(viewer, known.intersection(word.cameras), word.fps, word.width)
    return ""


async def _guard(socket: web.WebSocketResponse, call: Call) -> None:
    """Show a viewer out who has logged out elsewhere, or may not look any more."""
    while call.box.gate.holds(call.asker):  # noqa: ASYNC110 - an end by time sends no event
        await asyncio.sleep(GUARD_S)
    with contextlib.suppress(ConnectionError):
        await socket.send_json({"type": "bye", "reason": "the session has ended; log in again"})
    await socket.close()


async def _send(socket: web.WebSocketResponse, viewer: Viewer) -> None:
    """Send what comes, as fast as the viewer takes it, until the socket is closed."""
    told, told_at = 0, 0.0
    while not socket.closed:
        message = await viewer.next()
        try:
            if isinstance(message.payload, bytes):
                await socket.send_bytes(message.payload)
            else:
                await socket.send_str(message.payload)
            now = time.monotonic()
            if viewer.dropped > told and now - told_at > DROPPED_EVERY_S:
                told, told_at = viewer.dropped, now
                await socket.send_str(json.dumps({"type": "dropped", "count": told}))
        except ConnectionError:
            return


ENDPOINTS: Final = (
    Endpoint("GET", "/live", live, Scope.READ, status=HTTPStatus.SWITCHING_PROTOCOLS, tag="live"),
)
