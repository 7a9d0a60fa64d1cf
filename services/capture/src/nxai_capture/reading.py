"""Reads one camera for ever: connects, reads, reports, reconnects, and is replaced when stuck."""

import itertools
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from nxai_capture.core.picture import Picture, check_size
from nxai_capture.core.watchdog import OBEY_S, FrozenPicture, patience_with
from nxai_capture.ports import (
    Clock,
    Losses,
    NoPictureYet,
    OpenSource,
    ReadCredentials,
    Source,
    SourceInfo,
)
from nxai_capture.stuck import StuckThreads
from nxai_common.contracts.configuration import CaptureCamera
from nxai_common.contracts.status import LinkState
from nxai_common.errors import CameraUnavailable, ConfigurationError
from nxai_common.retry import RetryPolicy

log = logging.getLogger(__name__)

RECONNECT: Final = RetryPolicy(first_s=1, factor=2, longest_s=60)
MEND: Final = RetryPolicy(first_s=60, factor=2, longest_s=300, floor_s=10)
"""After what only a person can mend. Not for ever: the file may be copied there a minute later,
and nobody should have to tell us. Not often: cameras lock accounts after a few wrong passwords."""
LOCAL: Final = frozenset({"file", "folder", "v4l2"})
"""A look at the own disk locks no account, and somebody who copies a missing file waits for it."""
LOCAL_MEND_S: Final = 15
STEADY_S: Final = 10.0
"""A connection that gave pictures for so long was good: the next failure starts afresh."""
PREDECESSOR_S: Final = 5.0
"""A USB camera can be opened once only, so the thread before gets time to close it."""
MOST_STUCK: Final = 2
"""Threads of one camera left behind that still hang: a second try shows whether the first one was
bad luck. A third would hang like them, with another 30 MB of decoder."""


@dataclass(frozen=True, slots=True)
class Captured:
    """A picture with its name: (camera, stream, sequence) is unique for ever."""

    stream: str
    sequence: int
    picture: Picture
    lossless: bool


@dataclass(frozen=True, slots=True)
class Link:
    """How the connection is."""

    state: LinkState
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read so far."""

    link: Link
    info: SourceInfo | None
    width: int | None
    height: int | None
    last_picture_at: datetime | None
    decoded: int
    reconnects: int
    stalls: int
    abandoned: int
    losses: Losses


class _Superseded(Exception):  # noqa: N818 - not an error: it unwinds a thread nobody listens to
    """This thread was stopped or replaced."""


class CameraReader:
    """Owns the source of one camera and the thread that reads it.

    Args:
        camera: What to read.
        open_source: Builds the source.
        read_credentials: Looks up user and password.
        deliver: Takes each picture; returns False when nobody wants it any more. May block
            for lossless sources.
        clock: Time.
        retry: How long to wait before connecting again.
        mend: The same after what only a person can mend.
        stuck: The threads of this camera that hang, those of earlier readers too.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, named by keyword
        self,
        camera: CaptureCamera,
        *,
        open_source: OpenSource,
        read_credentials: ReadCredentials,
        deliver: Callable[[Captured], bool],
        clock: Clock,
        retry: RetryPolicy = RECONNECT,
        mend: RetryPolicy = MEND,
        stuck: StuckThreads | None = None,
    ) -> None:
        self._camera = camera
        self._open_source = open_source
        self._read_credentials = read_credentials
        self._deliver = deliver
        self._clock = clock
        self._retry = retry
        self._mend = (
            replace(
                mend,
                first_s=min(mend.first_s, 2),
                longest_s=min(mend.longest_s, LOCAL_MEND_S),
                floor_s=min(mend.floor_s, 0.5),
            )
            if camera.source.type in LOCAL
            else mend
        )
        self._stuck = StuckThreads() if stuck is None else stuck
        self._given_up = False
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self._lock = threading.Lock()
        self._ended = threading.Event()  # ends waiting; a new one for each generation
        self._generation = 0
        self._thread: threading.Thread | None = None
        self._source: Source | None = None
        self._blocked_since: float | None = None
        self._allowed_s = 0.0
        self._interrupted_at: float | None = None
        self._good_s = 0.0  # from the first to the last picture of this connection
        self._link = Link(LinkState.CONNECTING, "", self._now())
        self._info: SourceInfo | None = None
        self._size: tuple[int, int] | None = None
        self._last_picture_us: int | None = None
        self._losses_before = Losses()  # of sources closed by now
        self._decoded = self._reconnects = self._stalls = self._abandoned = 0

    @property
    def thread(self) -> threading.Thread | None:
        """The thread that reads."""
        return self._thread

    def start(self, after: "CameraReader | None" = None) -> None:
        """Begin to read, once the reader that had this camera before has closed it."""
        self._begin(None if after is None else after.thread)

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        with self._lock:
            self._generation += 1
            self._ended.set()
            source = self._source
        if source is not None:
            source.interrupt()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def supervise(self) -> None:
        """Interrupt a source that takes too long; replace the thread of one that ignores it."""
        if self._given_up:
            if self._stuck.alive() < MOST_STUCK:
                self._begin(None)
            return
        now = self._clock.monotonic()
        source: Source | None = None
        with self._lock:
            if self._blocked_since is None or now - self._blocked_since < self._allowed_s:
                return
            if self._interrupted_at is None:
                self._interrupted_at = now
                self._stalls += 1
                source = self._source
            elif now - self._interrupted_at < OBEY_S:
                return
        if source is not None:
            log.warning("camera %s does not answer: interrupting it", self._camera.id)
            source.interrupt()
            return
        self._leave_thread_behind()
        if not self._given_up:
            self._begin(None)

    def _leave_thread_behind(self) -> None:
        log.error("camera %s hangs: its thread is left behind", self._camera.id)
        with self._lock:
            if self._thread is not None:
                self._stuck.add(self._thread)
            self._given_up = self._stuck.alive() >= MOST_STUCK
            reason = "the camera hangs; it is being opened again"
            if self._given_up:
                reason = (
                    f"{MOST_STUCK} attempts to read it hang: is what it is read from still there "
                    "(a network share)? It is tried again when one of them ends"
                )
            self._supersede()
            self._abandoned += 1
            self._reconnects += 1
            self._set_link(LinkState.WAITING, reason)

    def reading(self) -> Reading:
        """Return what was read so far."""
        with self._lock:
            width, height = self._size or (None, None)
            last = self._last_picture_us
            losses = self._losses_before
            if self._source is not None:
                losses += self._source.losses
            return Reading(
                link=self._link,
                info=self._info,
                width=width,
                height=height,
                last_picture_at=None if last is None else datetime.fromtimestamp(last / 1e6, UTC),
                decoded=self._decoded,
                reconnects=self._reconnects,
                stalls=self._stalls,
                abandoned=self._abandoned,
                losses=losses,
            )

    # -- on the reading thread --------------------------------------------------------------

    def _begin(self, predecessor: threading.Thread | None) -> None:
        with self._lock:
            self._supersede()
            self._given_up = False
            self._ended = threading.Event()
            self._thread = threading.Thread(
                target=self._run,
                args=(self._generation, self._ended, predecessor),
                name=f"read-{self._camera.id}",
                daemon=True,  # a stuck one must not keep the process from ending
            )
            self._thread.start()

    def _run(
        self, generation: int, ended: threading.Event, predecessor: threading.Thread | None
    ) -> None:
        if predecessor is not None:
            self._outwait(predecessor)
        attempt = 0
        while True:
            try:
                self._read(generation)
            except _Superseded:
                return
            except CameraUnavailable as error:
                reason, policy = str(error), self._retry
            except ConfigurationError as error:
                reason, policy = str(error), self._mend
            except Exception as error:
                # A library's surprise must not end this camera for good; it is logged whole and
                # shown, and the camera is tried again.
                log.exception("camera %s failed in an unexpected way", self._camera.id)
                reason, policy = f"unexpected {type(error).__name__}; see the log", self._retry
            else:
                self._enter(generation, LinkState.ENDED, "played to its end")
                return
            attempt = 1 if self._good_s >= STEADY_S else attempt + 1
            if not self._enter(generation, LinkState.WAITING, reason):
                return
            log.warning("camera %s: %s", self._camera.id, reason, extra={"attempt": attempt})
            if ended.wait(policy.delay(attempt, self._random)):
                return
            with self._lock:
                self._reconnects += 1

    def _outwait(self, predecessor: threading.Thread) -> None:
        predecessor.join(PREDECESSOR_S)
        if predecessor.is_alive():
            self._stuck.add(predecessor)

    def _read(self, generation: int) -> None:
        """Connect and read to the end of a source that has one."""
        with self._lock:
            self._check(generation)
            self._set_link(LinkState.CONNECTING, self._link.reason)
            self._good_s = 0.0
        camera = self._camera
        name = camera.credentials
        credentials = None if name is None else self._read_credentials(name)
        opened = self._open_source(camera, credentials)
        with self._lock:
            self._check(generation)
            self._source = opened
            self._allowed_s = patience_with(camera, None).to_open_s
            self._blocked_since = self._clock.monotonic()
        try:
            with opened as source:
                self._read_pictures(generation, source)
        finally:
            with self._lock:
                if generation == self._generation:
                    self._let_go()

    def _read_pictures(self, generation: int, source: Source) -> None:
        stream = f"{int(self._clock.unix() * 1e6):x}"
        frozen = FrozenPicture(self._camera.watchdog.frozen_timeout_s)
        size: tuple[int, int] | None = None
        lossless = False
        first_at: float | None = None
        for sequence in itertools.count():
            picture = self._next_picture(generation, source)
            if picture is None:
                return
            if size != (picture.width, picture.height):
                check_size(picture.width, picture.height)
                size = (picture.width, picture.height)
                info = source.info
                lossless = info.lossless
                allowed_s = patience_with(self._camera, info.nominal_fps).to_read_s
                with self._lock:
                    self._info, self._size, self._allowed_s = info, size, allowed_s
                    self._set_link(LinkState.RUNNING, "")
            now = self._clock.monotonic()
            if first_at is None:
                first_at = now
            with self._lock:
                self._decoded += 1
                self._last_picture_us = picture.captured_at_us
                self._good_s = now - first_at
                if self._link.reason:
                    self._set_link(LinkState.RUNNING, "")
            if frozen.frozen(picture, now):
                raise CameraUnavailable(
                    f"the very same picture for {frozen.timeout_s:g} s: the camera hangs "
                    "(a still scene? then set watchdog.frozen_timeout_s to 0)"
                )
            if not self._deliver(Captured(stream, sequence, picture, lossless)):
                raise _Superseded

    def _next_picture(self, generation: int, source: Source) -> Picture | None:
        """Return what `read` gives, however long a source that is well has no picture."""
        while True:
            with self._lock:
                self._check(generation)
                if self._blocked_since is None:  # else this is the first one: opening goes on
                    self._blocked_since = self._clock.monotonic()
            try:
                picture = source.read()
            except NoPictureYet as pause:
                picture, reason = None, str(pause)
            else:
                reason = ""
            with self._lock:
                self._check(generation)
                self._unblock()
                if not reason:
                    return picture
                self._set_link(self._link.state, reason)

    def _check(self, generation: int) -> None:
        if generation != self._generation:
            raise _Superseded

    def _supersede(self) -> None:
        """Take what the thread works with away from it."""
        self._generation += 1
        self._ended.set()
        self._let_go()

    def _let_go(self) -> None:
        if self._source is not None:
            self._losses_before += self._source.losses
            self._source = None
        self._unblock()

    def _unblock(self) -> None:
        self._blocked_since = self._interrupted_at = None

    def _enter(self, generation: int, state: LinkState, reason: str) -> bool:
        with self._lock:
            if generation != self._generation:
                return False
            self._set_link(state, reason)
            return True

    def _set_link(self, state: LinkState, reason: str) -> None:
        if (state, reason) != (self._link.state, self._link.reason):
            self._link = Link(state, reason, self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.unix(), UTC)
