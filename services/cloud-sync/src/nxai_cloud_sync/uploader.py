"""Sends collected pictures to Edge Impulse: one job, from the first picture to the last.

Nothing is lost and nothing doubled, wherever it breaks off: a picture counts as uploaded when the
far side said so, and what it has already it recognises by its content.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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

TAKEN_AT_ONCE: Final = 500
"""Pictures whose records are held and sorted into requests together; some kB each."""
MOST_TRIES: Final = 6
"""Of one request before the job gives up; with `RETRY` after a minute of trying, on average."""
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

    def __init__(
        self,
        store: SampleStore,
        configuration: Callable[[], CloudSyncConfiguration],
        *,
        device: str,
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
            wall_us: Unix microseconds.
            zone: Of window and day; None: this machine's.
            retry: How long to wait after a failure.
            rng: For the jitter of retries.
        """
        self.store = store
        self.configuration = configuration
        self.device = device
        self.wall_us = wall_us
        self.zone = zone
        self._retry = retry
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._running = threading.Lock()

    def run(self, order: UploadOrder, course: Course, destination: Destination) -> UploadSummary:
        """Send pictures until none is left, or no more may go.

        Pictures of cameras whose `collect.upload` is never, or that are not configured, stay here
        whatever is asked for. Whatever this raises, pictures that were not sent are as before.

        Args:
            order: What to send.
            course: Told of each request; what it raises ends the job.
            destination: Where to.

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
            return _Upload(self, order, course, destination).run()
        finally:
            self._running.release()

    def delay_s(self, attempt: int, error: CloudUnavailable) -> float:
        """Return how long to wait after a failure: what the server said, and some jitter."""
        return (error.retry_after_s or 0.0) + self._retry.delay(attempt, self._rng)


class _Upload:
    """One job."""

    def __init__(
        self, uploader: Uploader, order: UploadOrder, course: Course, destination: Destination
    ) -> None:
        self._uploader = uploader
        self._store = uploader.store
        self._order = order
        self._course = course
        self._to = destination
        self._summary = UploadSummary()
        self._ended: set[str] = set()
        """Pictures that this job is done with, whatever became of them."""
        self._total = 0
        self._refused_in_a_row = 0
        self._lookups_left = MOST_LOOKUPS if destination.studio else 0

    def run(self) -> UploadSummary:
        while not self._stopped():
            self._course.step("looking for pictures to upload", *self._progress)
            wanted = self._wanted()
            if not wanted:
                break
            configuration = self._uploader.configuration()
            options = configuration.upload
            for batch in batches(
                wanted,
                device=self._uploader.device,
                category=options.category,
                size=options.batch,
                predictions=options.predictions,
            ):
                self._send(batch)
                if self._stopped():
                    break
        return self._summary

    def _stopped(self) -> bool:
        """Whether what is left has to stay for now."""
        return bool(self._summary.left)

    # -- what to send -------------------------------------------------------------------------

    def _wanted(self) -> tuple[StoredSample, ...]:
        """Return the next pictures to send, and count how many there are in all."""
        configuration = self._uploader.configuration()
        cameras = _may_leave(configuration)
        include_new = self._order.include_new
        if self._order.by_itself:
            include_new = configuration.upload.mode == "automatic"
            if self._room(configuration) == 0:
                return ()
        if self._order.samples:
            return self._named(cameras, include_new=include_new)
        found = self._store.to_upload(cameras, TAKEN_AT_ONCE, include_new=include_new)
        wanted = tuple(sample for sample in found if sample.id not in self._ended)
        states = (SampleState.APPROVED, *((SampleState.NEW,) if include_new else ()))
        waiting = sum(
            self._store.page(SampleFilter(state=state, camera=camera), 1, 0).total
            for camera in cameras
            for state in states
        )
        self._total = len(self._ended) + max(waiting, len(wanted))
        return wanted

    def _named(self, cameras: Sequence[str], *, include_new: bool) -> tuple[StoredSample, ...]:
        """Return those of the named pictures that can be sent; the others are kept back."""
        self._total = len(self._order.samples)
        states = {SampleState.APPROVED, SampleState.FAILED}
        if include_new:
            states.add(SampleState.NEW)
        wanted: list[StoredSample] = []
        for name in self._order.samples:
            if name in self._ended:
                continue
            sample = self._store.get(name)
            if sample is not None and sample.camera in cameras and sample.state in states:
                wanted.append(sample)
                if len(wanted) == TAKEN_AT_ONCE:
                    break
            else:
                self._keep_back(name)
        return tuple(wanted)

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

    def _permitted(self, batch: UploadBatch) -> UploadBatch:
        """Return what of a batch may go at this moment."""
        configuration = self._uploader.configuration()
        cameras = _may_leave(configuration)
        samples = [sample for sample in batch.samples if sample.camera in cameras]
        room = self._room(configuration) if self._order.by_itself else None
        if room is not None and samples:
            fitting: list[StoredSample] = []
            for sample in samples:
                room -= sample.bytes
                if room < 0:
                    break
                fitting.append(sample)
            if not fitting and not self._stopped():
                left = f"the next picture is beyond the {configuration.upload.mb_per_day} MB a day"
                self._summary = replace(self._summary, left=left)
            samples = fitting
        return replace(batch, samples=tuple(samples))

    # -- sending ------------------------------------------------------------------------------

    def _send(self, batch: UploadBatch) -> None:
        """Send a batch, again and again if need be."""
        attempt = 0
        while (going := self._permitted(batch)).samples:
            self._course.step("uploading pictures", *self._progress)
            try:
                self._request(going)
            except CloudUnavailable as error:
                attempt += 1
                self._pause(attempt, error)
            else:
                return

    def _pause(self, attempt: int, error: CloudUnavailable) -> None:
        if attempt >= MOST_TRIES or (error.retry_after_s or 0.0) > LONGEST_WAIT_S:
            raise error
        seconds = self._uploader.delay_s(attempt, error)
        log.info("upload: %s; trying again in %.0f s", error, seconds)
        self._course.step(f"trying again in {seconds:.0f} s: {error}", *self._progress)
        self._course.wait(seconds)

    @property
    def _progress(self) -> tuple[int, int]:
        return len(self._ended), self._total

    def _request(self, batch: UploadBatch) -> None:
        may = self._store.begin_upload([sample.id for sample in batch.samples])
        for sample in batch.samples:
            if sample.id not in may:
                self._keep_back(sample.id)
        going = replace(batch, samples=tuple(s for s in batch.samples if s.id in may))
        if not going.samples:
            return
        refused: CloudRejected | None = None
        with self._given_back_on_failure():
            try:
                outcomes = self._to.ingestion.send(going, self._store.picture)
            except KeyRefused:
                raise
            except CloudRejected as error:
                refused = error
                if len(going.samples) > 1:
                    self._store.release_uploads()
                else:
                    self._refuse(going.samples[0], error)
            else:
                self._refused_in_a_row = 0
                self._end(going, tuple(map(self._with_id, outcomes, going.samples)))
        if refused is not None and len(going.samples) > 1:
            log.warning("upload: %s; sending %d pictures singly", refused, len(going.samples))
            for sample in going.samples:
                self._send(replace(going, samples=(sample,)))

    @contextlib.contextmanager
    def _given_back_on_failure(self) -> Iterator[None]:
        """Make what is in a request what it was before when there is no answer to it."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(NxaiError):  # the next start does it
                self._store.release_uploads()
            raise

    def _refuse(self, sample: StoredSample, error: CloudRejected) -> None:
        """Mark a picture that was refused alone."""
        self._refused_in_a_row += 1
        batch = UploadBatch((sample,), (), "", labelled=False)
        self._end(batch, (FileOutcome(sample.id, accepted=False, reason=str(error)),))
        if self._refused_in_a_row >= MOST_REFUSED:
            raise error

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
        self._store.end_upload(outcomes, self._uploader.wall_us())
        sizes = {sample.id: sample.bytes for sample in batch.samples}
        accepted = [outcome for outcome in outcomes if outcome.accepted]
        before = self._summary
        self._summary = replace(
            before,
            uploaded=before.uploaded + len(accepted),
            duplicates=before.duplicates + sum(outcome.duplicate for outcome in accepted),
            failed=before.failed + len(outcomes) - len(accepted),
            bytes=before.bytes + sum(sizes[outcome.sample] for outcome in accepted),
        )
        self._ended.update(outcome.sample for outcome in outcomes)


def _may_leave(configuration: CloudSyncConfiguration) -> tuple[str, ...]:
    """Return the cameras whose pictures may leave the box."""
    return tuple(camera.id for camera in configuration.cameras if camera.collect.upload != "never")
