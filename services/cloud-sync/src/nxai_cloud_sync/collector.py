"""The collector's thread: decides which pictures are kept, stores them, then acknowledges them.

While the store takes nothing, or nobody has said yet what shall be kept, pictures are held
unacknowledged; the store is tried again with back-off. When too many are held, those that are
worth least are left out: what is neither held nor acknowledged would take the place of another one
at the broker until the connection breaks, and in the end nothing would come any more.
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from nxai_cloud_sync.core.collecting import (
    CameraHistory,
    ClockWatch,
    KeptPicture,
    LeftOut,
    left_out,
    near_duplicate,
)
from nxai_cloud_sync.core.sample import NewSample, SampleState, Usage, new_sample, shown_labels
from nxai_cloud_sync.ports import PictureHasher, SampleIntake, StorageUnavailable
from nxai_common.bus.ports import Delivery
from nxai_common.contracts.base import Message
from nxai_common.contracts.collecting import MOST_A_DAY, CollectPolicy, SampleLimits
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import Problem
from nxai_common.errors import RejectedError
from nxai_common.retry import RetryPolicy

log = logging.getLogger(__name__)

MOST_HELD: Final = 256
"""Pictures that wait at most. The broker hands out few before an acknowledgement
(`CloudSyncSettings.receive_maximum`), but Mosquitto 2.0 does not keep to it in a session that was
resumed: there, hundreds come at once."""
MOST_HELD_BYTES: Final = 64_000_000
"""Of them: 200 of 1080p, and at least one of any size."""
WAIT_FOR_ROOM_S: Final = 1.0
"""How long who offers a picture is held up while the store works: it takes a hundred a second."""
PRUNE_EVERY_S: Final = 60.0
"""Between two rounds of retention: a minute's pictures are nothing against a day or 2 GB."""
RETRY: Final = RetryPolicy(first_s=0.5, factor=2.0, longest_s=30.0)
"""A full disk is back within half a minute of having room again."""
GOODBYE_S: Final = 10.0
"""For the last pictures when the service stops."""
ABOUT: Final = "collected pictures"
"""What the problem is about."""
COMPLAIN_EVERY_S: Final = 10.0
"""A sender of broken pictures must not fill the disk with log lines."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from."""

    monotonic: Callable[[], float] = time.monotonic
    wall_us: Callable[[], int] = lambda: time.time_ns() // 1000


_Key = tuple[str, str, int, str]


@dataclass(slots=True)
class _Held:
    sample: Sample
    delivery: Delivery[Message]

    @property
    def key(self) -> _Key:
        sample = self.sample
        return sample.camera, sample.stream, sample.sequence, sample.model


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the configuration says of collecting."""

    policies: Mapping[str, CollectPolicy]
    limits: SampleLimits


@dataclass(slots=True)
class _Waiting:
    """Pictures in order of arrival, each once. Used under the collector's lock."""

    held: dict[_Key, _Held] = field(default_factory=dict)
    bytes: int = 0

    def has_room(self, sample: Sample) -> bool:
        """Tell whether one more may wait."""
        more = self.bytes + len(sample.attachment)
        return not self.held or (len(self.held) < MOST_HELD and more <= MOST_HELD_BYTES)

    @property
    def too_much(self) -> bool:
        """Whether more wait than may."""
        beyond = len(self.held) > MOST_HELD or self.bytes > MOST_HELD_BYTES
        return beyond and len(self.held) > 1

    def least(self, in_hand: _Held | None) -> _Held:
        """Return the one that is worth least, of those the oldest; but for one that is in hand."""
        return min(
            (held for held in self.held.values() if in_hand is None or held.key != in_hand.key),
            key=lambda held: held.sample.value,
        )

    def put(self, new: _Held) -> None:
        """Keep one delivery of each picture: the newest of those that the broker waits for."""
        old = self.held.get(new.key)
        if old is not None and not new.delivery.owed:
            return
        self.held[new.key] = new
        self.bytes += len(new.sample.attachment)
        if old is not None:
            self.bytes -= len(old.sample.attachment)
            # The broker keeps the newer one. After a reconnect this says nothing; within one
            # connection (sent twice) it would wait for both.
            old.delivery.acknowledge()

    def first(self) -> _Held:
        """Return the one that has waited longest; it stays."""
        return next(iter(self.held.values()))

    def remove(self, done: _Held) -> _Held:
        """Take one out; return the delivery that the broker waits for by now."""
        newest = self.held.pop(done.key)
        self.bytes -= len(newest.sample.attachment)
        return newest


class Collector:
    """Decides on pictures and stores them, from one thread of its own (context manager)."""

    def __init__(
        self,
        store: SampleIntake,
        hasher: PictureHasher,
        *,
        rng: random.Random | None = None,
        clock: Clock = Clock(),
    ) -> None:
        """Prepare; the thread starts on entering.

        Args:
            store: Where pictures go.
            hasher: Looks into them.
            rng: For the jitter of retries.
            clock: Where time comes from.
        """
        self._store = store
        self._hasher = hasher
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._clock = clock
        self._watch = ClockWatch(clock.monotonic(), clock.wall_us())
        self._histories: dict[str, CameraHistory] = {}
        self._condition = threading.Condition()
        self._wanted: _Wanted | None = None
        self._waiting = _Waiting()
        self._in_hand: _Held | None = None
        """What the thread decides on now."""
        self._closing = False
        self._end_by = float("inf")
        self._prune_at = 0.0
        self._problem: Problem | None = None
        self._attempts = 0
        self._counts: Counter[str] = Counter()
        self._usage = Usage(0, 0, {}, 0)
        self._complained_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Store what waits (one attempt), and stop; what is not stored stays with the broker."""
        with self._condition:
            self._closing = True
            self._end_by = time.monotonic() + GOODBYE_S
            self._condition.notify_all()
        self._thread.join(2 * GOODBYE_S)  # what is under way at the end of that time may finish

    def offer(self, delivery: Delivery[Message]) -> None:
        """Take a `Sample`; it is acknowledged once it is stored, or decided against.

        When too many are held, waits for a moment if that helps; then the one that is worth least
        is left out, which may be this one.
        """
        sample = delivery.message
        if not isinstance(sample, Sample):
            raise TypeError(f"a {type(sample).__name__} is no picture to collect")
        held = _Held(sample, delivery)
        left_out: list[_Held] = []
        with self._condition:
            if held.key not in self._waiting.held:
                self._condition.wait_for(
                    lambda: self._waiting.has_room(sample) or not self._at_work, WAIT_FOR_ROOM_S
                )
            self._waiting.put(held)
            while self._waiting.too_much:
                least = self._waiting.least(self._in_hand)
                left_out.append(self._waiting.remove(least))
                self._counts[LeftOut.NO_ROOM] += 1
            self._condition.notify_all()
        for one in left_out:
            one.delivery.acknowledge()

    def configure(self, configuration: CloudSyncConfiguration) -> None:
        """Change what is kept, from the next picture on."""
        off = CollectPolicy(enabled=False)
        wanted = _Wanted(
            {
                camera.id: camera.collect if camera.enabled else off
                for camera in configuration.cameras
            },
            configuration.limits,
        )
        with self._condition:
            self._wanted = wanted
            self._prune_at = 0.0
            self._condition.notify_all()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why nothing is stored now, if so."""
        return () if self._problem is None else (self._problem,)

    @property
    def counters(self) -> dict[str, int]:
        """Ever-growing counts since the start."""
        with self._condition:
            counts = self._counts.copy()
        return {
            **{f"samples_{name}": counts[name] for name in _COUNTED},
            **{f"samples_left_out_{_word(why)}": counts[why.value] for why in LeftOut},
            "samples_dropped": self._usage.dropped,
        }

    @property
    def gauges(self) -> dict[str, int]:
        """What waits to be stored, and what is: a minute old at most."""
        usage = self._usage
        with self._condition:
            held = len(self._waiting.held)
        states = (SampleState.NEW, SampleState.APPROVED)
        return {
            "samples_held": held,
            "samples_bytes": usage.bytes,
            "samples_pictures": usage.pictures,
            **{f"samples_{state}": usage.by_state.get(state, 0) for state in states},
        }

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (wanted := self._await_work()) is not None:
                try:
                    self._work(wanted)
                except StorageUnavailable as error:
                    self._fail(error)
                    self._pause(RETRY.delay(self._attempts, self._rng))
        except BaseException:
            self._problem = Problem(
                about=ABOUT, reason="stopped by a fault of this program; see its log"
            )
            log.exception("the collector stopped")
            raise

    def _await_work(self) -> _Wanted | None:
        """Wait until there is something to do for a configuration; None when it is time to end."""
        with self._condition:
            while not self._closing and not self._due():
                known = self._wanted is not None
                self._condition.wait(self._prune_at - self._clock.monotonic() if known else None)
            if not self._closing:
                return self._wanted
            # After a failure there is no time for another try: the broker keeps the pictures.
            goes_on = (
                bool(self._waiting.held)
                and self._problem is None
                and time.monotonic() < self._end_by
            )
            return self._wanted if goes_on else None

    @property
    def _at_work(self) -> bool:
        """Whether what waits becomes less."""
        return self._wanted is not None and self._problem is None and not self._closing

    def _due(self) -> bool:
        if self._wanted is None:  # nobody has said yet what shall be kept
            return False
        return bool(self._waiting.held) or self._clock.monotonic() >= self._prune_at

    def _work(self, wanted: _Wanted) -> None:
        """Remove a slice of what is too much when it is time, and decide on one picture."""
        with self._condition:
            held = self._in_hand = self._waiting.first() if self._waiting.held else None
            closing = self._closing
        policy = None if held is None else wanted.policies.get(held.sample.camera)
        if held is not None and (policy is None or not policy.enabled):
            self._histories.pop(held.sample.camera, None)
            self._finish(held, LeftOut.UNKNOWN_CAMERA if policy is None else LeftOut.SWITCHED_OFF)
            return
        if not closing and self._clock.monotonic() >= self._prune_at:
            # First, so that a disk gets room that is too full for another picture.
            self._prune(wanted)
        if held is not None and policy is not None:
            self._finish(held, self._decide(held.sample, policy))
        if self._problem is not None:
            log.info("pictures are stored again; %d wait", len(self._waiting.held))
            self._problem = None
            self._attempts = 0

    def _finish(self, held: _Held, outcome: str) -> None:
        """Count what became of a picture, and acknowledge it."""
        with self._condition:
            self._counts[outcome] += 1
            newest = self._waiting.remove(held)
            self._in_hand = None
            self._condition.notify_all()
        newest.delivery.acknowledge()

    def _decide(self, sample: Sample, policy: CollectPolicy) -> str:
        """Keep a picture or leave it out; return under which name that counts."""
        try:
            new = new_sample(
                sample,
                self._hasher.hash_of(bytes(sample.attachment), sample.width, sample.height),
                self._clock.wall_us(),
            )
        except RejectedError as error:
            self._complain(sample, error)
            return "refused"
        if self._store.holds(new.camera, new.stream, new.sequence, new.model):
            return "duplicates"
        return self._keep(new, policy)

    def _keep(self, new: NewSample, policy: CollectPolicy) -> str:
        now_s = self._clock.monotonic()
        history = self._histories.get(new.camera)
        if history is None:
            earlier = self._store.kept_lately(new.camera, MOST_A_DAY)
            history = self._histories[new.camera] = CameraHistory(earlier, now_s)
        labels = shown_labels(new.predictions, new.scores)
        why = left_out(policy, history, new.captured_at_us, labels, now_s)
        if why is None:
            why = near_duplicate(policy, history, new.hash)
        if why is not None:
            return why.value
        if self._store.add(new) is None:
            return "duplicates"
        history.note(KeptPicture(new.captured_at_us, labels, new.hash), now_s)
        return "stored"

    def _prune(self, wanted: _Wanted) -> None:
        """Remove one slice; the next comes after a picture that waits, or in a minute."""
        now_s = self._clock.monotonic()
        pruned = self._store.prune(wanted.limits, self._watch.known(now_s, self._clock.wall_us()))
        self._usage = self._store.usage()
        with self._condition:
            self._counts["removed"] += pruned.pictures
            if not pruned.more and wanted is self._wanted:
                self._prune_at = now_s + PRUNE_EVERY_S

    def _complain(self, sample: Sample, error: RejectedError) -> None:
        now_s = time.monotonic()
        if now_s - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now_s
            log.warning(
                "refused picture %d of camera %s: %s (%d refused before)",
                sample.sequence,
                sample.camera,
                error,
                self._counts["refused"],
            )

    def _fail(self, error: StorageUnavailable) -> None:
        self._attempts += 1
        with self._condition:
            self._counts["failures"] += 1
        reason = str(error)
        if self._problem is None or self._problem.reason != reason:
            log.warning("no picture is stored: %s", reason)
        self._problem = Problem(about=ABOUT, reason=reason)

    def _pause(self, seconds: float) -> None:
        """Wait before the next try, or until the configuration changes."""
        deadline = time.monotonic() + seconds
        with self._condition:
            before = self._wanted
            while (
                not self._closing
                and self._wanted is before
                and (left := deadline - time.monotonic()) > 0
            ):
                self._condition.wait(left)


_COUNTED: Final = ("stored", "duplicates", "refused", "failures", "removed")


def _word(why: LeftOut) -> str:
    return why.value.replace("-", "_")
