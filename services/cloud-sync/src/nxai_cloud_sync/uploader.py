"""Sends collected pictures to Edge Impulse: one job, from the first picture to the last.

Nothing is lost and nothing doubled, wherever it breaks off: a picture counts as uploaded when the
far side said so, and what it has already it recognises by its content.
"""

import contextlib
import logging
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Final, Protocol

from nxai_cloud_sync.core.sample import SampleFilter, SampleState, StoredSample
from nxai_cloud_sync.core.upload_window import allowance, day_start_us
from nxai_cloud_sync.core.uploading import FileOutcome, UploadBatch, UploadSummary, batches
from nxai_cloud_sync.ports import Ingestion, SampleStore, Studio
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.errors import (
    CloudRejected,
    CloudUnavailable,
    KeyRefused,
    NxaiError,
    RejectedError,
)
from nxai_common.retry import RetryPolicy

log = logging.getLogger(__name__)

AT_ONCE: Final = 2
"""Requests under way: one travels while the far side stores the pictures of the other."""
BEGUN_AT_ONCE: Final = 100
"""Pictures that are marked as being uploaded in one go: a commit each would cost as much as
sending, where each picture is a request of its own."""
BEGUN_FOR_S: Final = 2.0
"""No more are marked than travel in that time, at the pace so far: a person cannot discard them
meanwhile."""
BEGUN_AT_FIRST: Final = 1_000_000
"""Bytes of them, while the pace is not known, or is slow."""
NOTED_AT_ONCE: Final = 250
"""Pictures that are noted as uploaded in one go, at the most."""
NOTED_EVERY_S: Final = 1.0
"""What was uploaded is noted at least so often; after a crash the rest is sent again, and the far
side has it already."""
TAKEN_AT_ONCE: Final = 200
"""Pictures whose records are held and sorted into requests together; some kB each."""
MOST_TRIES: Final = 6
"""That come to nothing, one after the other, before the job gives up; with `RETRY` after a minute,
on average."""
RETRY: Final = RetryPolicy(first_s=4.0, factor=2.0, longest_s=60.0)
LONGEST_WAIT_S: Final = 300.0
"""What a server asks to wait beyond that is not for a job: it ends, and a later one goes on."""
MOST_REFUSED: Final = 5
"""Requests refused as a whole, one after the other, before the job ends: it is not the pictures,
and each of them would be marked as failed."""
MOST_LOOKUPS: Final = 200
"""Of ids of pictures that the far side had already: two questions each, for a link in a list."""


class Course(Protocol):
    """Is told how the job goes, and ends it when somebody asks for it. `jobs.Job` is one."""

    def step(self, text: str, done: int = 0, total: int | None = 0) -> None:
        """Say what happens now; raise to stop."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait between two tries; raise to stop."""
        ...


@dataclass(frozen=True, slots=True)
class UploadOrder:
    """What shall be sent."""

    by_itself: bool = False
    """Not asked for by a person: within window, daily bytes and mode of the configuration."""
    samples: tuple[str, ...] = ()
    """These alone; empty: all that wait."""
    include_new: bool = False
    """Also those that nobody has looked at; by itself the mode says so."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where pictures go to."""

    ingestion: Ingestion
    studio: Studio | None = None
    """Finds the ids of pictures that were there before; None: they stay unknown."""
    project: int = 0


class Uploader:
    """Runs upload jobs over one store, one at a time."""

    def __init__(  # noqa: PLR0913 - its collaborators, named by keyword
        self,
        store: SampleStore,
        configuration: Callable[[], CloudSyncConfiguration],
        *,
        device: str,
        clock: Callable[[], float] = time.monotonic,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        zone: tzinfo | None = None,
        retry: RetryPolicy = RETRY,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare.

        Args:
            store: The pictures.
            configuration: Returns what is wanted now; asked before every request, as a person may
                forbid a camera's pictures to leave at any moment.
            device: Name of this box, for the metadata.
            clock: Monotonic seconds.
            wall_us: Unix microseconds.
            zone: Of window and day; None: this machine's.
            retry: How long to wait after a failure.
            rng: For the jitter of retries.
        """
        self.store = store
        self.configuration = configuration
        self.device = device
        self.clock = clock
        self.wall_us = wall_us
        self.zone = zone
        self._retry = retry
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._running = threading.Lock()

    def run(
        self,
        order: UploadOrder,
        course: Course,
        destination: Destination,
        note: Callable[[UploadSummary], None] = lambda _summary: None,
    ) -> UploadSummary:
        """Send pictures until none is left, or no more may go.

        Pictures of cameras whose `collect.upload` is never, or that are not configured, stay here
        whatever is asked for. Whatever this raises, pictures that were not sent are as before.

        Args:
            order: What to send.
            course: Told of each request; what it raises ends the job.
            destination: Where to.
            note: Called with what was done so far, at the last with what is returned.

        Raises:
            KeyRefused: a person must act.
            CloudRejected: the far side takes no picture at all.
            CloudUnavailable: not now; it was tried as often as makes sense.
            RejectedError: another upload is under way.
            StorageUnavailable: the disk or the database does not do.
        """
        if not self._running.acquire(blocking=False):
            raise RejectedError("an upload is under way; wait for its end, or cancel it")
        try:
            self.store.release_uploads()  # what a crash left behind: nothing is in a request now
            upload = _Upload(self, order, course, destination, note)
            try:
                return upload.run()
            finally:
                note(upload.summary)
        finally:
            self._running.release()

    def delay_s(self, attempt: int, error: CloudUnavailable) -> float:
        """Return how long to wait after a failure: what the server said, and some jitter."""
        return (error.retry_after_s or 0.0) + self._retry.delay(attempt, self._rng)


class _RefusedTogetherError(Exception):
    """A request of several pictures was refused as a whole: one of them may be the reason."""


class _Upload:
    """One job: plan requests, send them, and plan anew after each failure."""

    def __init__(
        self,
        uploader: Uploader,
        order: UploadOrder,
        course: Course,
        destination: Destination,
        note: Callable[[UploadSummary], None],
    ) -> None:
        self._uploader = uploader
        self._store = uploader.store
        self._order = order
        self._course = course
        self._to = destination
        self._tell = note
        self._summary = UploadSummary()
        self._ended: set[str] = set()
        """Pictures that this job is done with, whatever became of them."""
        self._alone: set[str] = set()
        """Pictures that go in requests of their own."""
        self._names: deque[str] = deque()
        """Of named pictures, those that were not looked at yet."""
        self._planned: deque[UploadBatch] = deque()
        """Requests whose pictures are as they were."""
        self._begun: deque[UploadBatch] = deque()
        """Requests whose pictures are marked as being uploaded."""
        self._under_way = _UnderWay(destination.ingestion, self._store)
        self._unsent = False
        """Whether pictures were marked as being uploaded that are not sent after all."""
        self._landed: list[FileOutcome] = []
        """What the store was not told yet."""
        self._landed_bytes = 0
        self._started_at = uploader.clock()
        self._noted_at = float("-inf")
        self._total = 0
        self._failures = 0
        """Tries that came to nothing, since a request did not."""
        self._refused_in_a_row = 0
        self._lookups_left = MOST_LOOKUPS if destination.studio else 0

    def run(self) -> UploadSummary:
        while True:
            try:
                self._send_all()
            except CloudUnavailable as error:
                self._pause(error)
            except _RefusedTogetherError as error:
                log.warning("upload: %s; sending these pictures singly", error)
            else:
                return self._summary

    @property
    def summary(self) -> UploadSummary:
        """What was done so far."""
        return self._summary

    def _stopped(self) -> bool:
        """Whether what is left has to stay for now."""
        return bool(self._summary.left)

    @property
    def _progress(self) -> tuple[int, int]:
        return len(self._ended), self._total

    # -- what to send -------------------------------------------------------------------------

    def _plan(self) -> None:
        """Plan requests for the next pictures, if there are any."""
        self._course.step("looking for pictures to upload", *self._progress)
        configuration = self._uploader.configuration()
        options = configuration.upload
        wanted = self._wanted(configuration)
        alone = [sample for sample in wanted if sample.id in self._alone]
        together = [sample for sample in wanted if sample.id not in self._alone]
        for samples, size in ((together, options.batch), (alone, 1)):
            self._planned += batches(
                samples,
                device=self._uploader.device,
                category=options.category,
                size=size,
                predictions=options.predictions,
            )

    def _wanted(self, configuration: CloudSyncConfiguration) -> Sequence[StoredSample]:
        """Return the next pictures to send, and count how many there are in all."""
        cameras = _may_leave(configuration)
        include_new = self._order.include_new
        if self._order.by_itself:
            include_new = configuration.upload.mode == "automatic"
            if self._room(configuration) == 0:
                return ()
        limit = max(TAKEN_AT_ONCE, configuration.upload.batch)
        if self._order.samples:
            return self._named(cameras, limit, include_new=include_new)
        if not (self._order.by_itself or self._ended):
            self._tell_who_stays(cameras)
        found = self._store.to_upload(cameras, limit, include_new=include_new)
        states = (SampleState.APPROVED, *((SampleState.NEW,) if include_new else ()))
        waiting = sum(self._count(state, cameras) for state in states)
        marked = sum(len(batch.samples) for batch in self._begun) + self._under_way.pictures
        self._total = len(self._ended) + marked + waiting
        return [sample for sample in found if sample.id not in self._ended]

    def _tell_who_stays(self, cameras: Sequence[str]) -> None:
        """Count approved pictures of cameras that never send."""
        approved = SampleState.APPROVED
        everywhere = self._store.page(SampleFilter(state=approved), 1, 0).total
        stay = everywhere - self._count(approved, cameras)
        self._summary = replace(self._summary, kept_back=stay)

    def _count(self, state: SampleState, cameras: Sequence[str]) -> int:
        """Return how many pictures of cameras are in a state."""
        filters = (SampleFilter(state=state, camera=camera) for camera in cameras)
        return sum(self._store.page(wanted, 1, 0).total for wanted in filters)

    def _named(
        self, cameras: Sequence[str], limit: int, *, include_new: bool
    ) -> Sequence[StoredSample]:
        """Return the next named pictures that can be sent; others are kept back."""
        states = {SampleState.APPROVED, SampleState.FAILED}
        if include_new:
            states.add(SampleState.NEW)
        wanted: list[StoredSample] = []
        while self._names and len(wanted) < limit:
            name = self._names.popleft()
            sample = self._store.get(name)
            if sample is not None and sample.camera in cameras and sample.state in states:
                wanted.append(sample)
            else:
                self._keep_back(name)
        return wanted

    def _keep_back(self, sample: str) -> None:
        self._ended.add(sample)
        self._summary = replace(self._summary, kept_back=self._summary.kept_back + 1)

    def _room(self, configuration: CloudSyncConfiguration) -> int | None:
        """Return the bytes that may go by themselves (None: any number); note why none may."""
        now_us, zone = self._uploader.wall_us(), self._uploader.zone
        sent = self._store.uploaded_bytes_since(day_start_us(now_us, zone))
        allowed = allowance(configuration.upload, now_us, zone, sent)
        if allowed.reason:
            self._summary = replace(self._summary, left=allowed.reason)
        return allowed.bytes

    def _permitted(self, batch: UploadBatch, bytes_under_way: int) -> UploadBatch:
        """Return what of a batch may go at this moment."""
        configuration = self._uploader.configuration()
        cameras = _may_leave(configuration)
        samples = [sample for sample in batch.samples if sample.camera in cameras]
        room = self._room(configuration) if self._order.by_itself else None
        if room is not None:
            room -= bytes_under_way
            fitting: list[StoredSample] = []
            for sample in samples:
                room -= sample.bytes
                if room < 0:
                    left = f"no more fits into the {configuration.upload.mb_per_day} MB of today"
                    self._summary = replace(self._summary, left=self._summary.left or left)
                    break
                fitting.append(sample)
            samples = fitting
        self._unsent = self._unsent or len(samples) < len(batch.samples)
        return replace(batch, samples=tuple(samples))

    # -- sending ------------------------------------------------------------------------------

    def _send_all(self) -> None:
        """Send all there is, a few requests at a time, until one fails.

        Then the others that are under way are waited for, and what was not sent is as before.
        """
        self._planned.clear()
        self._begun.clear()
        self._unsent = False
        named = dict.fromkeys(self._order.samples)
        self._names = deque(name for name in named if name not in self._ended)
        self._total = len(named) or self._total
        try:
            while self._fill():
                self._note(at_last=False)
                self._land(self._under_way.wait())
            self._note()
            if self._begun or self._unsent:
                self._store.release_uploads()
        except BaseException:
            while self._under_way.count:
                with contextlib.suppress(Exception):  # the first one is told
                    self._land(self._under_way.wait())
            with contextlib.suppress(NxaiError):  # else they are sent again, which does no harm
                self._note()
            with contextlib.suppress(NxaiError):  # else the next job does it
                self._store.release_uploads()
            raise

    def _fill(self) -> bool:
        """Keep requests under way; return whether there are any."""
        while self._under_way.count < AT_ONCE and not self._stopped() and self._begin():
            self._course.step("uploading pictures", *self._progress)
            size = self._under_way.bytes + self._landed_bytes
            batch = self._permitted(self._begun.popleft(), size)
            if batch.samples:
                self._under_way.send(batch)
        if self._under_way.count and not self._stopped():
            self._begin()  # the next ones now, while these travel
        return self._under_way.count > 0

    def _begin(self) -> bool:
        """Mark pictures as being uploaded, unless some are; return whether there are any."""
        while not self._begun:
            if not self._planned:
                self._plan()
            taken: list[UploadBatch] = []
            count = size = 0
            most = max(BEGUN_AT_FIRST, self._pace() * BEGUN_FOR_S)
            while self._planned and count < BEGUN_AT_ONCE and size < most:
                taken.append(self._planned.popleft())
                count += len(taken[-1].samples)
                size += _bytes_of(taken[-1])
            if not taken:
                return False
            wanted = [sample.id for batch in taken for sample in batch.samples]
            may = self._store.begin_upload(wanted)
            for sample in wanted:
                if sample not in may:
                    self._keep_back(sample)
            for batch in taken:
                samples = tuple(sample for sample in batch.samples if sample.id in may)
                if samples:
                    self._begun.append(replace(batch, samples=samples))
        return True

    def _pace(self) -> float:
        """Return bytes a second, pauses included."""
        seconds = self._uploader.clock() - self._started_at
        return self._summary.bytes / seconds if seconds > 0 else 0.0

    def _land(self, landed: "_Landed") -> None:
        """Count what became of a request."""
        batch, error = landed.batch, landed.error
        if isinstance(error, CloudRejected) and not isinstance(error, KeyRefused):
            self._refuse(batch, error)
        elif error is not None:
            raise error
        else:
            self._failures = self._refused_in_a_row = 0
            self._end(batch, tuple(map(self._with_id, landed.outcomes, batch.samples)))

    def _refuse(self, batch: UploadBatch, error: CloudRejected) -> None:
        """Mark a picture that was refused alone; let several be sent singly."""
        if len(batch.samples) > 1:
            self._alone.update(sample.id for sample in batch.samples)
            raise _RefusedTogetherError(str(error)) from None
        (sample,) = batch.samples
        self._end(batch, (FileOutcome(sample.id, accepted=False, reason=str(error)),))
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= MOST_REFUSED:
            raise error

    def _pause(self, error: CloudUnavailable) -> None:
        self._failures += 1
        if self._failures >= MOST_TRIES or (error.retry_after_s or 0.0) > LONGEST_WAIT_S:
            raise error
        seconds = self._uploader.delay_s(self._failures, error)
        log.info("upload: %s; trying again in %.0f s", error, seconds)
        self._course.step(f"trying again in {seconds:.0f} s: {error}", *self._progress)
        self._course.wait(seconds)

    def _with_id(self, outcome: FileOutcome, sample: StoredSample) -> FileOutcome:
        """Find the id of a picture that was there before, best effort."""
        studio = self._to.studio
        known = not outcome.accepted or outcome.remote_id is not None
        if known or studio is None or self._lookups_left <= 0:
            return outcome
        self._lookups_left -= 1
        try:
            found = studio.find_sample(self._to.project, sample.file_name)
        except (CloudUnavailable, CloudRejected) as error:
            self._lookups_left = 0
            log.info("ids of pictures that were there before stay unknown: %s", error)
            return outcome
        return replace(outcome, remote_id=found)

    def _end(self, batch: UploadBatch, outcomes: Sequence[FileOutcome]) -> None:
        """Count what became of pictures; `_note` tells the store."""
        sizes = {sample.id: sample.bytes for sample in batch.samples}
        models = {sample.id: sample.model for sample in batch.samples}
        accepted = [outcome for outcome in outcomes if outcome.accepted]
        before = self._summary
        self._summary = replace(
            before,
            uploaded=before.uploaded + len(accepted),
            duplicates=before.duplicates + sum(outcome.duplicate for outcome in accepted),
            failed=before.failed + len(outcomes) - len(accepted),
            bytes=before.bytes + sum(sizes[outcome.sample] for outcome in accepted),
            models=tuple(sorted({*before.models, *(models[each.sample] for each in accepted)})),
        )
        self._tell(self._summary)
        self._ended.update(outcome.sample for outcome in outcomes)
        self._landed += outcomes
        self._landed_bytes += _bytes_of(batch)

    def _note(self, *, at_last: bool = True) -> None:
        """Tell the store what became of pictures, unless that can wait."""
        now = self._uploader.clock()
        due = len(self._landed) >= NOTED_AT_ONCE or now - self._noted_at >= NOTED_EVERY_S
        if self._landed and (due or at_last):
            self._store.end_upload(self._landed, self._uploader.wall_us())
            self._landed, self._landed_bytes, self._noted_at = [], 0, now


@dataclass(frozen=True, slots=True)
class _Landed:
    """A request that is over."""

    batch: UploadBatch
    outcomes: tuple[FileOutcome, ...] = ()
    error: BaseException | None = None


class _UnderWay:
    """Requests that are being sent, each by a thread of its own.

    The threads end with the process, however long a request still takes: nothing is lost by that.
    """

    def __init__(self, ingestion: Ingestion, store: SampleStore) -> None:
        self._ingestion = ingestion
        self._store = store
        self._landed: queue.SimpleQueue[_Landed] = queue.SimpleQueue()
        self.count = 0
        self.pictures = 0
        self.bytes = 0

    def send(self, batch: UploadBatch) -> None:
        """Begin to send."""
        self.count += 1
        self.pictures += len(batch.samples)
        self.bytes += _bytes_of(batch)
        threading.Thread(target=self._send, args=(batch,), name="upload", daemon=True).start()

    def wait(self) -> _Landed:
        """Return the next one that is over."""
        landed = self._landed.get()
        self.count -= 1
        self.pictures -= len(landed.batch.samples)
        self.bytes -= _bytes_of(landed.batch)
        return landed

    def _send(self, batch: UploadBatch) -> None:
        try:
            landed = _Landed(batch, self._ingestion.send(batch, self._store.picture))
        except BaseException as error:  # noqa: BLE001 - raised again by the job's own thread
            landed = _Landed(batch, error=error)
        self._landed.put(landed)


def _bytes_of(batch: UploadBatch) -> int:
    return sum(sample.bytes for sample in batch.samples)


def _may_leave(configuration: CloudSyncConfiguration) -> tuple[str, ...]:
    """Return the cameras whose pictures may leave the box."""
    return tuple(camera.id for camera in configuration.cameras if camera.collect.upload != "never")
