"""Cameras as they are now: state, pictures, tests; finding and probing new ones."""

import asyncio
import base64
import contextlib
import secrets
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field, SecretStr, StringConstraints

from nxai_common import logs
from nxai_common.bus.ports import Bus, Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.base import Message
from nxai_common.contracts.collecting import Fraction
from nxai_common.contracts.configuration import (
    CameraSource,
    RegionOfInterest,
    Watchdog,
)
from nxai_common.contracts.geometry import Polygon
from nxai_common.contracts.models import InputSpec, ResizeMode, ResizeQuality
from nxai_common.contracts.outputs import CameraState, Rehearsal, Snapshot
from nxai_common.contracts.status import CameraStatus
from nxai_common.contracts.topics import Level
from nxai_manager.core.accounts import Scope
from nxai_manager.core.compile import Login
from nxai_manager.web.answer import Answer, Refused
from nxai_manager.web.box import Box
from nxai_manager.web.endpoint import Call, Endpoint, Form

TAG: Final = "cameras"
STILL_S: Final = 5.0
TEST_S: Final = 15.0
"""A frame needs milliseconds, a model that was never used seconds."""
RETAINED_S: Final = 1.0
"""A broker tells what it retains in milliseconds."""
PROBE_S: Final = 40.0
"""Above what capture allows itself (30 s)."""


class CameraName(Form):
    """Which camera."""

    camera: Level


class CameraAnswer(Answer):
    """One camera: what is asked of it, and how it fares."""

    id: Level
    name: str
    enabled: bool
    run: bool
    """Whether its pictures go to inference, as it says itself (the box may be stopped)."""
    settings: dict[str, Any]
    """As in settings.json, with dots for a password; without the user name for viewers."""
    status: CameraStatus | None = None
    """As capture sees it; null: it does not know it (yet)."""
    state: CameraState | None = None
    """What it shows; null: no result yet."""
    models: tuple[Level, ...] = ()
    """That look at it, imported ones too."""


class CameraList(Answer):
    """All cameras, in the order of settings.json."""

    running: bool
    """Whether inference runs on this box."""
    revision: str
    """Of the settings; changes are made to one."""
    cameras: tuple[CameraAnswer, ...]


class StillSize(Form):
    """How large."""

    width: Annotated[int, Field(ge=16, le=8192)] | None = None
    """Scaled down to it; left out: full size."""


class AsModel(Form):
    """For which input; what is left out is as the camera has it."""

    model: Level
    resize_mode: ResizeMode | None = None
    x: Fraction | None = None
    y: Fraction | None = None
    width: Annotated[float, Field(gt=0, le=1)] | None = None
    height: Annotated[float, Field(gt=0, le=1)] | None = None
    """x, y, width, height: a region of interest in 0..1 of the picture, all or none."""


class ProbeCamera(Form):
    """A source that is to be tried."""

    source: CameraSource
    username: Annotated[str, StringConstraints(max_length=200)] = ""
    password: SecretStr = SecretStr("")
    """Dots stand for the password that `camera` has, if its address is the same."""
    camera: Level | None = None
    """The one that is being edited."""
    masks: tuple[Polygon, ...] = ()
    watchdog: Watchdog = Watchdog()


class Probed(Answer):
    """It works: the first picture."""

    width: int
    height: int
    codec: str = ""
    fps: float | None = None
    transport: str = ""
    seconds: float
    picture: str
    """The picture: `data:image/jpeg;base64,...`."""


class FindCameras(Form):
    """How long to look."""

    seconds: Annotated[float, Field(ge=1, le=15)] = 4


class Found(Answer):
    """Cameras that were found."""

    network: tuple[dict[str, Any], ...]
    usb: tuple[dict[str, Any], ...]
    problems: tuple[str, ...] = ()


class AskStreams(Form):
    """Which camera on the network, and who asks."""

    address: Annotated[str, StringConstraints(pattern=r"^https?://[^\s@]{1,500}$")]
    username: Annotated[str, StringConstraints(max_length=200)] = ""
    password: SecretStr = SecretStr("")


class Streams(Answer):
    """What a camera offers."""

    streams: tuple[dict[str, Any], ...]


class TestCameras(Form):
    """Which cameras; left out: all that are enabled."""

    __test__ = False  # pytest would take it for a test

    cameras: Annotated[tuple[Level, ...], Field(max_length=64)] | None = None


class Tested(Answer):
    """What came of one frame of a camera."""

    camera: Level
    error: str = ""
    """Why there is nothing; empty: it worked."""
    results: tuple[Rehearsal, ...] = ()
    """Of each model: the messages exactly as they would be sent."""
    picture: str | None = None
    """The picture that was looked at: `data:image/jpeg;base64,...`; null: it is gone."""


class TestAnswer(Answer):
    """What came of a test."""

    __test__ = False  # pytest would take it for a test

    test: str
    cameras: tuple[Tested, ...]


async def list_cameras(call: Call) -> CameraList:
    """Return all cameras: settings, connection, what they see."""
    box = call.box
    view = box.desk.current()
    settings = box.desk.settings
    statuses = {s.camera: s for status in box.hub.statuses().values() for s in status.cameras}
    states = box.hub.states()
    sees = Scope.CONFIGURE in call.asker.scopes
    told = []
    for camera in settings.cameras if settings is not None else ():
        status = statuses.get(camera.id)
        document = dict(view.cameras.get(camera.id, {}))
        if not sees:
            document.pop("username", None)
            document.pop("password", None)
        told.append(
            CameraAnswer(
                id=camera.id,
                name=camera.name or camera.id,
                enabled=camera.enabled,
                run=camera.run,
                settings=document,
                status=status,
                state=states.get(camera.id),
                models=models_on(box, camera.id),
            )
        )
    return CameraList(
        running=settings.run if settings is not None else False,
        revision=view.revision,
        cameras=tuple(told),
    )


def models_on(box: Box, camera: str) -> tuple[str, ...]:
    """Return the models that look at a camera, those of the settings and imported ones."""
    settings = box.desk.settings
    own = [
        use.id
        for each in (settings.cameras if settings is not None else ())
        if each.id == camera
        for use in each.models
    ]
    imported = [d.model for d in box.hub.deployments().values() if camera in d.cameras]
    return tuple(dict.fromkeys((*own, *imported)))


async def show_still(call: Call) -> web.Response:
    """Return the newest picture of a camera (JPEG), masks burned in."""
    reply = await call.box.ask(
        c.TakeSnapshot(camera=call.path.camera, max_width=call.query.width), STILL_S
    )
    return _picture(bytes(reply.attachment), "image/jpeg", reply)


async def show_as_model(call: Call) -> web.Response:
    """Return what a model sees of the newest picture (PNG), by the very resizer of its frames."""
    wanted: AsModel = call.query
    manifest = call.box.hub.manifests().get(wanted.model)
    if manifest is None:
        raise Refused(
            HTTPStatus.CONFLICT,
            f"inference does not offer model {wanted.model} now, so its input is not known",
        )
    region = None
    parts = (wanted.x, wanted.y, wanted.width, wanted.height)
    if any(part is not None for part in parts):
        if None in parts:
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY, "a region needs all of x, y, width and height"
            )
        region = _region(*parts)
    camera = next(
        (each for each in _cameras(call.box) if each.id == call.path.camera),
        None,
    )
    mode = wanted.resize_mode or (camera.resize_mode if camera is not None else None)
    spec = InputSpec(
        width=manifest.width,
        height=manifest.height,
        channels=manifest.channels,
        resize_mode=mode or manifest.resize_mode,
        resize_quality=camera.resize_quality if camera is not None else ResizeQuality.EXACT,
    )
    reply = await call.box.ask(
        c.TakeSnapshot(camera=call.path.camera, as_input=spec, region=region), STILL_S
    )
    return _picture(bytes(reply.attachment), "image/png", reply)


async def show_snapshot(call: Call) -> web.Response:
    """Return the picture that was taken at the last event of a camera (JPEG), masks burned in.

    The broker keeps it for a day.
    """
    box = call.box
    if not box.bus.connected:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the MQTT broker is away, and it has them")
    found = await box.in_turn(_kept_snapshot, box.bus, call.path.camera)
    if found is None:
        raise Refused(
            HTTPStatus.NOT_FOUND,
            f"there is no picture of an event of camera {call.path.camera} in the last day",
        )
    return web.Response(
        body=bytes(found.attachment),
        content_type="image/jpeg",
        headers={"Cache-Control": "no-store"},
    )


def _kept_snapshot(bus: Bus, camera: str) -> Snapshot | None:
    """Return what the broker retains; it tells that at once to who subscribes."""
    subscription = Subscription(Snapshot, {"camera": camera})
    with contextlib.closing(bus.subscribe(subscription, volatile=True, aside=True)) as inbox:
        delivery = inbox.receive(RETAINED_S)
    message = None if delivery is None else delivery.message
    return message if isinstance(message, Snapshot) else None


def _cameras(box: Box) -> tuple[Any, ...]:
    settings = box.desk.settings
    return () if settings is None else settings.cameras


def _region(*parts: Any) -> RegionOfInterest:  # noqa: ANN401 - four numbers
    x, y, width, height = parts
    try:
        return RegionOfInterest(x=x, y=y, width=width, height=height)
    except ValueError:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "the region must lie within the picture"
        ) from None


def _picture(data: bytes, media_type: str, reply: c.Reply) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    captured = reply.details.get("captured_at_us")
    if captured is not None:
        headers["X-Captured-At-Us"] = str(captured)
    return web.Response(body=data, content_type=media_type, headers=headers)


async def probe(call: Call) -> Probed:
    """Open a source that no camera uses yet, and return its first picture, or say why not."""
    order: ProbeCamera = call.body
    password = order.password.get_secret_value()
    if order.camera is not None:
        password = call.box.desk.password_meant(order.camera, order.source, password)
    async with _lent(call.box, order.username, password) as name:
        reply = await call.box.ask(
            c.ProbeSource(
                source=order.source, credentials=name, masks=order.masks, watchdog=order.watchdog
            ),
            PROBE_S,
        )
    details = {k: v for k, v in reply.details.items() if k in Probed.model_fields}
    return Probed.model_validate({**details, "picture": _data_url(reply)})


@contextlib.asynccontextmanager
async def _lent(box: Box, username: str, password: str) -> AsyncIterator[str | None]:
    """Let capture read a login for a while; yield the name of the file it lies in."""
    if not username and not password:
        yield None
        return
    logs.register_secret(password)
    lent = box.secrets.lend(Login(username, password))
    name = await box.in_thread(lent.__enter__)
    try:
        yield name
    finally:
        await box.in_thread(lent.__exit__, None, None, None)


def _data_url(reply: c.Reply) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(bytes(reply.attachment)).decode()


async def find(call: Call) -> Found:
    """Look for cameras on the network (ONVIF) and on USB."""
    seconds = call.body.seconds
    told = await call.box.ask_json(c.FindCameras(seconds=seconds), seconds + 10)
    return Found(**told)


async def list_streams(call: Call) -> Streams:
    """Ask a camera on the network for the addresses of its streams (ONVIF)."""
    order: AskStreams = call.body
    async with _lent(call.box, order.username, order.password.get_secret_value()) as name:
        told = await call.box.ask_json(c.ListStreams(address=order.address, credentials=name), 30)
    return Streams(**told)


async def test(call: Call) -> TestAnswer:
    """Run one frame of each camera through its models, and return what would be sent.

    The frame takes the way of every other one; only the last step is left out: nothing is
    published, logged or counted. Works while inference is stopped, too.
    """
    box, settings = call.box, call.box.desk.settings
    known = [camera.id for camera in settings.cameras if camera.enabled] if settings else []
    wanted = call.body.cameras or tuple(known)
    if not wanted:
        raise Refused(HTTPStatus.CONFLICT, "there is no camera that is enabled; add one first")
    number = secrets.token_hex(6)
    results: dict[str, dict[str, Rehearsal]] = {camera: {} for camera in wanted}
    news = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hear(message: Message) -> None:
        if isinstance(message, Rehearsal) and message.test == number and message.camera in results:
            results[message.camera][message.model] = message
            loop.call_soon_threadsafe(news.set)

    with box.hub.hearing(hear):
        refusals = await asyncio.gather(*(_trigger(box, camera, number) for camera in wanted))
        refused = {camera: why for camera, why in zip(wanted, refusals, strict=True) if why}
        expected = {
            camera: set(models_on(box, camera)) for camera in wanted if camera not in refused
        }
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TEST_S):
                while any(missing - results[camera].keys() for camera, missing in expected.items()):
                    await news.wait()
                    news.clear()
    tested = [
        await _tested(box, camera, refused.get(camera, ""), tuple(results[camera].values()))
        for camera in wanted
    ]
    return TestAnswer(test=number, cameras=tuple(tested))


async def _trigger(box: Box, camera: str, number: str) -> str:
    """Ask for a frame; return why there will be none."""
    try:
        reply = await box.ask_anyway(c.TriggerCamera(camera=camera, test=number), STILL_S)
    except Refused as refusal:
        return refusal.detail
    return "" if reply.ok else reply.reason


async def _tested(box: Box, camera: str, error: str, results: tuple[Rehearsal, ...]) -> Tested:
    if not results:
        return Tested(
            camera=camera,
            error=error
            or f"no result came within {TEST_S:g} s: is inference running, and the model ready? "
            "Settings > Health shows it",
        )
    first = results[0]
    picture = None
    with contextlib.suppress(Refused):
        reply = await box.ask(
            c.TakeSnapshot(
                camera=camera, stream=first.stream, sequence=first.sequence, max_width=1280
            ),
            STILL_S,
        )
        picture = _data_url(reply)
    return Tested(camera=camera, results=results, picture=picture)


ENDPOINTS: Final = (
    Endpoint("GET", "/cameras", list_cameras, Scope.READ, CameraList, tag=TAG),
    Endpoint(
        "GET",
        "/cameras/{camera}/still",
        show_still,
        Scope.READ,
        query=StillSize,
        path_model=CameraName,
        raw_answer="image/jpeg",
        errors=(409,),
        tag=TAG,
    ),
    Endpoint(
        "GET",
        "/cameras/{camera}/as-model",
        show_as_model,
        Scope.READ,
        query=AsModel,
        path_model=CameraName,
        raw_answer="image/png",
        errors=(409,),
        tag=TAG,
    ),
    Endpoint(
        "GET",
        "/cameras/{camera}/snapshot",
        show_snapshot,
        Scope.READ,
        path_model=CameraName,
        raw_answer="image/jpeg",
        errors=(404,),
        tag=TAG,
    ),
    Endpoint("POST", "/cameras/probe", probe, Scope.CONFIGURE, Probed, body=ProbeCamera, tag=TAG),
    Endpoint("POST", "/cameras/find", find, Scope.CONFIGURE, Found, body=FindCameras, tag=TAG),
    Endpoint(
        "POST", "/cameras/streams", list_streams, Scope.CONFIGURE, Streams, body=AskStreams, tag=TAG
    ),
    Endpoint("POST", "/test", test, Scope.OPERATE, TestAnswer, body=TestCameras, tag="run"),
)
