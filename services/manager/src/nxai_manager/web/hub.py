"""What the box says now, and who looks at it: one reader of the bus, many viewers.

Threads read the bus; viewers live in the event loop. Between them lies a bounded hand-over: of
pictures and detections the newest of each camera, of events and steps of jobs the last few
hundred. A viewer who is slow misses pictures, never holds up another one or the line.
"""

import asyncio
import contextlib
import enum
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

from nxai_common.bus.ports import Bus, Cleared, Inbox, Subscription
from nxai_common.contracts.alarms import Alarm, AlarmPhase
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import WatchCamera
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.frames import Preview
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.outputs import CameraState, Detections, Event, Output, Rehearsal
from nxai_common.contracts.processors import ProcessorManifest
from nxai_common.contracts.progress import Progress
from nxai_common.contracts.status import Status

M = TypeVar("M", bound=Message)

RECEIVE_S: Final = 1.0
"""Longest wait for a message; how soon the threads end."""
BATCH: Final = 64
WATCH_S: Final = 10.0
"""Capture sends previews for so long after each request ..."""
RENEW_S: Final = 4.0
"""... which is repeated twice within that time, so that a lost one does no harm."""
EVENTS_KEPT: Final = 200
"""For who comes later: a screenful, and some."""
ALARMS_KEPT: Final = 200
"""Alarms, not what is told of them: one that is told again every second is kept once."""
JOBS_KEPT: Final = 100
MOST_KNOWN: Final = 1000
"""Services, cameras, models: what is more was told by names that come and go, such as those of
containers. What was told of longest ago is forgotten."""
QUEUE: Final = 500
"""Events and steps waiting for one viewer; a browser that far behind hangs."""
MOST_FPS: Final = 15.0
MOST_WIDTH: Final = 1920


class Kind(enum.StrEnum):
    """What a viewer may listen to."""

    STATUS = "status"
    STATES = "states"
    MODELS = "models"
    DEPLOYMENTS = "deployments"
    EVENTS = "events"
    ALARMS = "alarms"
    PROCESSORS = "processors"
    PROGRESS = "progress"
    SETTINGS = "settings"
    DETECTIONS = "detections"
    OUTPUT = "output"
    REHEARSAL = "rehearsal"


WORDS: Final = {
    Kind.STATUS: "status",
    Kind.STATES: "state",
    Kind.MODELS: "model",
    Kind.DEPLOYMENTS: "deployment",
    Kind.EVENTS: "event",
    Kind.ALARMS: "alarm",
    Kind.PROCESSORS: "processor",
    Kind.PROGRESS: "progress",
    Kind.SETTINGS: "settings",
    Kind.DETECTIONS: "detections",
    Kind.OUTPUT: "output",
    Kind.REHEARSAL: "rehearsal",
}
"""`type` of the messages of each kind."""

ALWAYS: Final = (
    Subscription(Status),
    Subscription(CameraState, cleared=True),
    Subscription(ModelManifest, cleared=True),
    Subscription(Deployment, cleared=True),
    Subscription(Event),
    Subscription(Alarm),
    Subscription(ProcessorManifest, cleared=True),
    Subscription(Progress),
    Subscription(Rehearsal),
)
"""Small and seldom: read whether anybody looks or not."""
KEPT: Final[Mapping[type[Message], tuple[Kind, str]]] = {
    Status: (Kind.STATUS, "service"),
    CameraState: (Kind.STATES, "camera"),
    ModelManifest: (Kind.MODELS, "model"),
    Deployment: (Kind.DEPLOYMENTS, "model"),
    Alarm: (Kind.ALARMS, "id"),
    ProcessorManifest: (Kind.PROCESSORS, "processor"),
    Progress: (Kind.PROGRESS, "job"),
}
"""Of which the last of each key is known to who comes later, and the name of the key."""
ON_DEMAND: Final[Mapping[Kind, type[Message]]] = {
    Kind.DETECTIONS: Detections,
    Kind.OUTPUT: Output,
}
QUEUED: Final = frozenset({Kind.EVENTS, Kind.ALARMS, Kind.PROGRESS, Kind.REHEARSAL})
"""Each one matters to a viewer; of the others the newest of each key does."""
MOST: Final[Mapping[Kind, int]] = {Kind.ALARMS: ALARMS_KEPT, Kind.PROGRESS: JOBS_KEPT}
"""Of which fewer than `MOST_KNOWN` are kept."""


@dataclass(frozen=True, slots=True)
class Told:
    """One message, ready for a socket."""

    kind: Kind | None
    """None: a preview."""
    key: str
    """Camera, service, job, or camera and model that it is about."""
    payload: str | bytes


class Viewer:
    """One who looks. Used in the event loop alone.

    Args:
        name: Whose page it is.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.kinds: frozenset[Kind] = frozenset()
        self.cameras: frozenset[str] = frozenset()
        self.fps = 0.0
        self.width = 0
        self.dropped = 0
        """Events and steps that were not taken in time."""
        self.skipped = 0
        """Pictures and the like that a newer one replaced."""
        self._newest: dict[tuple[Kind | None, str], Told] = {}
        self._queue: deque[Told] = deque()
        self._previewed: dict[str, float] = {}
        self._wake = asyncio.Event()

    def offer(self, told: Told, now: float) -> None:
        """Take a message, if it is of a kind that is listened to."""
        if told.kind is None:
            if told.key not in self.cameras or not self._due(told.key, now):
                return
        elif told.kind not in self.kinds:
            return
        if told.kind in QUEUED:
            if len(self._queue) >= QUEUE:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(told)
        else:
            slot = (told.kind, told.key)
            if slot in self._newest:
                self.skipped += 1
                del self._newest[slot]  # else what comes often would always go first
            self._newest[slot] = told
        self._wake.set()

    async def next(self) -> Told:
        """Return the next message, waiting for one."""
        while True:
            if self._queue:
                return self._queue.popleft()
            if self._newest:
                return self._newest.pop(next(iter(self._newest)))
            self._wake.clear()
            await self._wake.wait()

    def _due(self, camera: str, now: float) -> bool:
        """Tell whether a picture is due: others may want more of this camera in a second."""
        interval = 1 / self.fps
        last = self._previewed.get(camera)
        if last is not None and now - last < interval * 0.8:
            return False
        # Kept on the grid of the asked rate, so that 7 a second out of 10 are 7, not 5.
        behind = last is None or now - last > 2 * interval
        self._previewed[camera] = now if behind else (last or now) + interval
        return True


class Hub:
    """Knows what the box says, and tells who looks.

    Args:
        bus: Where it is said.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()
        """Guards what is known and what is handed over."""
        self._known: dict[Kind, dict[str, Message]] = {kind: {} for kind, _ in KEPT.values()}
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._settings = "{}"
        self._pending_newest: dict[tuple[Kind | None, str], Told] = {}
        self._pending_queue: deque[Told] = deque(maxlen=QUEUE)
        self._scheduled = False
        self._wanted: frozenset[tuple[Kind | None, str]] = frozenset()
        self._wanted_changed = threading.Event()
        self._live_inbox: Inbox | None = None
        self._waiters: list[Callable[[Message], None]] = []
        self.viewers: set[Viewer] = set()
        """In the event loop alone."""
        self._threads = (
            threading.Thread(target=self._read_always, name="hub", daemon=True),
            threading.Thread(target=self._read_on_demand, name="hub-live", daemon=True),
        )

    def __enter__(self) -> Self:
        """Begin to read."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop reading."""
        self._closed.set()
        self._wanted_changed.set()
        if self._live_inbox is not None:
            self._live_inbox.wake()
        for thread in self._threads:
            thread.join()

    @property
    def is_deaf(self) -> bool:
        """Whether it has ceased to read though nobody told it to."""
        ended = any(each.ident is not None and not each.is_alive() for each in self._threads)
        return ended and not self._closed.is_set()

    # -- what is known ------------------------------------------------------------------------

    def statuses(self) -> dict[str, Status]:
        """Return the last status of each service instance."""
        return self._copy(Kind.STATUS, Status)

    def states(self) -> dict[str, CameraState]:
        """Return what each camera sees."""
        return self._copy(Kind.STATES, CameraState)

    def manifests(self) -> dict[str, ModelManifest]:
        """Return the models that inference offers."""
        return self._copy(Kind.MODELS, ModelManifest)

    def deployments(self) -> dict[str, Deployment]:
        """Return how the imported models fare."""
        return self._copy(Kind.DEPLOYMENTS, Deployment)

    def events(self) -> tuple[Event, ...]:
        """Return the last events, oldest first."""
        with self._lock:
            return tuple(self._events)

    def _copy(self, kind: Kind, of: type[M]) -> dict[str, M]:
        with self._lock:
            return {k: v for k, v in self._known[kind].items() if isinstance(v, of)}

    def tell_settings(self, text: str) -> None:
        """Say what holds of the settings now (JSON). From any thread."""
        with self._lock:
            self._settings = text
        self._hand_over([Told(Kind.SETTINGS, "", _wrapped(Kind.SETTINGS, text))])

    @contextlib.contextmanager
    def hearing(self, hear: Callable[[Message], None]) -> Iterator[None]:
        """Call `hear`, on the reading thread, with each message of those that are always read."""
        with self._lock:
            self._waiters.append(hear)
        try:
            yield
        finally:
            with self._lock:
                self._waiters.remove(hear)

    # -- viewers, in the event loop -----------------------------------------------------------

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell viewers in this loop from now on."""
        self._loop = loop

    def detach(self) -> None:
        """The loop ends."""
        self._loop = None

    def join(self, viewer: Viewer) -> None:
        """Let a viewer look."""
        self.viewers.add(viewer)

    def leave(self, viewer: Viewer) -> None:
        """A viewer is gone."""
        self.viewers.discard(viewer)
        self._look_again()

    def listen(self, viewer: Viewer, kinds: Iterable[Kind]) -> None:
        """Let a viewer hear these kinds alone; what is known of new ones comes at once."""
        before, viewer.kinds = viewer.kinds, frozenset(kinds)
        for told in self._current(viewer.kinds - before):
            viewer.offer(told, 0.0)
        self._look_again()

    def watch(self, viewer: Viewer, cameras: Iterable[str], fps: float, width: int) -> None:
        """Let a viewer see pictures of these cameras alone."""
        viewer.cameras = frozenset(cameras)
        viewer.fps = min(fps, MOST_FPS)
        viewer.width = min(width, MOST_WIDTH)
        self._look_again()
        self.renew(viewer.cameras)

    def renew(self, cameras: Iterable[str] | None = None) -> None:
        """Ask capture to go on showing what is watched."""
        watched = {camera for viewer in self.viewers for camera in viewer.cameras}
        for camera in watched if cameras is None else watched & set(cameras):
            lookers = [viewer for viewer in self.viewers if camera in viewer.cameras]
            self._bus.publish(
                WatchCamera(
                    camera=camera,
                    seconds=WATCH_S,
                    fps=max(viewer.fps for viewer in lookers),
                    max_width=max(viewer.width for viewer in lookers),
                )
            )

    def _look_again(self) -> None:
        wanted: set[tuple[Kind | None, str]] = set()
        for viewer in self.viewers:
            wanted |= {(None, camera) for camera in viewer.cameras}
            wanted |= {(kind, "") for kind in viewer.kinds if kind in ON_DEMAND}
        if wanted != self._wanted:
            self._wanted = frozenset(wanted)
            self._wanted_changed.set()
            inbox = self._live_inbox
            if inbox is not None:
                inbox.wake()

    def _current(self, kinds: Iterable[Kind]) -> list[Told]:
        with self._lock:
            told = [
                _told(kind, key, message)
                for kind in kinds
                for key, message in self._known.get(kind, {}).items()
            ]
            if Kind.EVENTS in kinds:
                told += [_told(Kind.EVENTS, event.camera, event) for event in self._events]
            if Kind.SETTINGS in kinds:
                told.append(Told(Kind.SETTINGS, "", _wrapped(Kind.SETTINGS, self._settings)))
        return told

    # -- reading, on threads ------------------------------------------------------------------

    def _read_always(self) -> None:
        inbox = self._bus.subscribe(*ALWAYS, volatile=True, bound=QUEUE)
        with contextlib.closing(inbox):
            while not self._closed.is_set():
                for delivery in inbox.receive_many(BATCH, RECEIVE_S):
                    self._note(delivery.message)

    def _note(self, message: Message) -> None:
        with self._lock:
            told = self._remember(message)
            waiters = tuple(self._waiters)
        for hear in waiters:
            hear(message)
        self._hand_over([told] if told is not None else [])

    def _remember(self, message: Message) -> Told | None:
        match message:
            case Cleared():
                return self._forget(message)
            case Event():
                self._events.append(message)
                return _told(Kind.EVENTS, message.camera, message)
            case Rehearsal():
                return _told(Kind.REHEARSAL, message.camera, message)
        if type(message) not in KEPT:
            return None
        kind, name = KEPT[type(message)]
        key: str = getattr(message, name)
        known = self._known[kind]
        known.pop(key, None)
        known[key] = message
        if len(known) > MOST.get(kind, MOST_KNOWN):
            del known[_least(known)]
        return _told(kind, key, message)

    def _forget(self, cleared: Cleared) -> Told | None:
        if cleared.kind not in KEPT:
            return None
        kind, level = KEPT[cleared.kind]
        key = cleared.levels[level]
        self._known[kind].pop(key, None)
        gone = f'{{"type":"{WORDS[kind]}","gone":"{key}"}}'
        return Told(kind, key, gone)

    def _read_on_demand(self) -> None:
        have: frozenset[tuple[Kind | None, str]] = frozenset()
        while not self._closed.is_set():
            self._wanted_changed.clear()
            wanted, inbox = self._wanted, self._live_inbox
            if wanted != have:
                fresh = self._subscribe(wanted)
                self._live_inbox = fresh
                if inbox is not None:
                    inbox.close()
                inbox, have = fresh, wanted
            if inbox is None:
                self._wanted_changed.wait(RECEIVE_S)
                continue
            told = [
                _told_live(delivery.message) for delivery in inbox.receive_many(BATCH, RECEIVE_S)
            ]
            self._hand_over([each for each in told if each is not None])
        if self._live_inbox is not None:
            self._live_inbox.close()

    def _subscribe(self, wanted: frozenset[tuple[Kind | None, str]]) -> Inbox | None:
        subscriptions: list[Subscription[Message]] = [
            Subscription(ON_DEMAND[kind])
            if kind is not None
            else Subscription(Preview, {"camera": camera})
            for kind, camera in wanted
        ]
        return self._bus.subscribe(*subscriptions, volatile=True, bound=QUEUE) if wanted else None

    def _hand_over(self, told: Iterable[Told]) -> None:
        """Let the event loop know, once for all that came before it looked."""
        loop = self._loop
        with self._lock:
            if loop is None:
                return
            for each in told:
                if each.kind in QUEUED:
                    self._pending_queue.append(each)
                else:
                    self._pending_newest[each.kind, each.key] = each
            if self._scheduled or not (self._pending_queue or self._pending_newest):
                return
            self._scheduled = True
        try:
            loop.call_soon_threadsafe(self._spread)
        except RuntimeError:  # the loop has just been closed
            self._loop = None

    def _spread(self) -> None:
        with self._lock:
            self._scheduled = False
            told = [*self._pending_queue, *self._pending_newest.values()]
            self._pending_queue.clear()
            self._pending_newest.clear()
        now = asyncio.get_running_loop().time()
        for viewer in self.viewers:
            for each in told:
                viewer.offer(each, now)


def _least(known: Mapping[str, Message]) -> str:
    """Return which one matters least: the oldest, but of alarms first one that is over."""
    ended = (
        key
        for key, message in known.items()
        if isinstance(message, Alarm) and message.alarm is AlarmPhase.END
    )
    return next(ended, next(iter(known)))


def _told(kind: Kind, key: str, message: Message) -> Told:
    return Told(kind, key, _wrapped(kind, message.model_dump_json()))


def _wrapped(kind: Kind, data: str) -> str:
    return f'{{"type":"{WORDS[kind]}","data":{data}}}'


def _told_live(message: Message) -> Told | None:
    match message:
        case Preview(camera=camera, attachment=jpeg):
            name = camera.encode()
            return Told(None, camera, b"".join((bytes([len(name)]), name, jpeg)))
        case Detections(camera=camera, model=model):
            # Two models that look at one frame say it at once: neither replaces the other.
            return _told(Kind.DETECTIONS, f"{camera}/{model}", message)
        case Output(camera=camera):
            data = f'{{"camera":"{camera}","output":{message.encode().decode()}}}'
            return Told(Kind.OUTPUT, camera, _wrapped(Kind.OUTPUT, data))
        case _:
            return None
