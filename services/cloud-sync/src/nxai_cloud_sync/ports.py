"""What cloud-sync needs of the world."""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from nxai_cloud_sync.core.catalogue import CatalogueVersion
from nxai_cloud_sync.core.collecting import KeptPicture
from nxai_cloud_sync.core.job_record import JobRecord
from nxai_cloud_sync.core.project import (
    Download,
    Impulse,
    KeyInfo,
    LearnBlock,
    LogLine,
    ProjectInfo,
    TrainedModel,
    TrainingJob,
)
from nxai_cloud_sync.core.sample import (
    LabelledBox,
    NewSample,
    SampleCounts,
    SampleFilter,
    SamplePage,
    SampleState,
    StoredSample,
    Usage,
)
from nxai_cloud_sync.core.updates import OfferKey
from nxai_cloud_sync.core.uploading import FileOutcome, UploadBatch
from nxai_common.contracts.collecting import SampleLimits
from nxai_common.contracts.models import ModelManifest, PackageManifest
from nxai_common.errors import TransientError


class StorageUnavailable(TransientError):  # noqa: N818 - named for the state
    """The disk is full or the database is locked; the message says what to do."""


OnBytes = Callable[[int, int | None], None]
"""Called now and then with bytes done and bytes in all (None: not known); may raise to stop."""


T = TypeVar("T")


class Remembered(Protocol[T]):
    """One value that outlives the process. Implemented by `adapters.state_file`.

    Every method raises StorageUnavailable when the disk does not do.
    """

    def read(self) -> T | None:
        """Return what was kept, or None."""
        ...

    def write(self, value: T) -> None:
        """Keep a value: on the disk when this returns."""
        ...

    def forget(self) -> None:
        """Keep nothing."""
        ...


class Studio(Protocol):
    """Edge Impulse's Studio API, for one key. Implemented by `adapters.studio_http`.

    Every method raises:
        CloudUnavailable: no answer, 429 or 5xx, not JSON, a captive portal: may pass; carries
            `retry_after_s` when the server named a time.
        KeyRefused: 401 or 403: nothing will work until a person acts.
        CloudRejected: this very request will never succeed (404, success:false, ...).
    The messages say what was asked for in plain words, and never show the key.
    """

    def key_info(self) -> KeyInfo:
        """Return what the key belongs to."""
        ...

    def project(self, project: int) -> ProjectInfo:
        """Return a project."""
        ...

    def impulses(self, project: int) -> tuple[Impulse, ...]:
        """Return the impulses that read images, the default one first."""
        ...

    def trained_model(self, project: int, impulse: int, block: LearnBlock) -> TrainedModel | None:
        """Return what a learn block was trained to, or None when it is not trained."""
        ...

    def downloads(self, project: int, impulse: int) -> tuple[Download, ...]:
        """Return what can be downloaded."""
        ...

    def fetch(self, download: Download, target: Path, limit: int, on_bytes: OnBytes) -> None:
        """Stream a download to a file that must not exist; nothing is left behind on failure.

        Raises:
            CloudRejected: larger than `limit` bytes, or an HTML page instead of a file.
            CloudUnavailable: cut short (fewer bytes than announced), too slow.
            StorageUnavailable: the disk does not take it.
        """
        ...

    def last_modification(self, project: int) -> str:
        """Return a text that changes whenever anything in the project does."""
        ...

    def start_training(self, project: int, impulse: int) -> int:
        """Retrain with the last parameters; return the job."""
        ...

    def active_training(self, project: int) -> TrainingJob | None:
        """Return a training that runs or waits, whoever started it."""
        ...

    def training(self, project: int, job: int) -> TrainingJob:
        """Return how a job stands."""
        ...

    def training_log(self, project: int, job: int) -> tuple[LogLine, ...]:
        """Return the lines that a job printed (the last 1000), oldest first."""
        ...

    def cancel_training(self, project: int, job: int) -> None:
        """Stop a job."""
        ...

    def find_sample(self, project: int, file_name: str) -> int | None:
        """Return the id of an uploaded picture, or None."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class Ingestion(Protocol):
    """Edge Impulse's ingestion API, for one key. Implemented by `adapters.ingestion_http`.

    Raises as `Studio` does. Safe from several threads.
    """

    def send(
        self, batch: UploadBatch, picture: Callable[[StoredSample], Path]
    ) -> tuple[FileOutcome, ...]:
        """Upload a batch in one request; return one outcome a picture, in the same order."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


@dataclass(frozen=True, slots=True)
class Link:
    """The linked project. The key is not in here."""

    project: int
    name: str
    role: str
    impulse: int
    learn_block: int
    learn_block_type: str
    learn_block_title: str
    impulse_name: str
    studio: str
    ingestion: str
    model: str = ""
    """Name of its models in topics; empty before the first import."""
    key_revision: str = ""
    """Of the key with which it was linked (see `core.keys`): it goes to no other host."""
    impulses: tuple[Impulse, ...] = ()
    """Of the project, when it was linked."""
    deleted: tuple[OfferKey, ...] = ()
    """Models of the project that a person removed from the box: they do not come again by
    themselves."""


class KeyStore(Protocol):
    """Where the API key lies. Implemented by `adapters.key_file`."""

    def read(self) -> str | None:
        """Return the key, or None when there is none.

        Raises:
            ConfigurationError: it is there but cannot be read or is no key; never shows it.
        """
        ...

    def write(self, key: str) -> None:
        """Keep a key, readable by this user alone.

        Raises:
            ConfigurationError: no key of Edge Impulse, or the file cannot be replaced.
        """
        ...

    def forget(self) -> None:
        """Delete it, and one that was prepared."""
        ...

    def prepare(self, key: str) -> None:
        """Put a key beside the one in use; it takes its place with `adopt`.

        Raises:
            ConfigurationError: as `write`.
        """
        ...

    def prepared(self) -> str | None:
        """Return the key that lies beside the one in use, or None.

        Raises:
            ConfigurationError: it is there but cannot be read or is no key.
        """
        ...

    def adopt(self) -> None:
        """Let the prepared key be the one in use: all of it or nothing.

        Raises:
            StorageUnavailable: the file cannot be replaced; the key in use stays.
        """
        ...

    def drop(self) -> None:
        """Delete the prepared key, if there is one.

        Raises:
            StorageUnavailable: it cannot be deleted.
        """
        ...


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one slice of retention did."""

    pictures: int
    more: bool
    """Whether there is more to do at once."""


class SampleStore(Protocol):
    """Pictures on disk. Implemented by `adapters.sql_samples`; safe from several threads.

    Every method raises StorageUnavailable when the disk or the database does not do.
    """

    def get(self, sample: str) -> StoredSample | None:
        """Return one picture's record."""
        ...

    def page(
        self, wanted: SampleFilter, limit: int, offset: int, *, by_value: bool = False
    ) -> SamplePage:
        """Return a part of the list, newest (or most valuable) first."""
        ...

    def picture(self, sample: StoredSample) -> Path:
        """Return where the JPEG lies."""
        ...

    def review(
        self,
        samples: Sequence[str],
        state: SampleState,
        boxes: tuple[LabelledBox, ...] | None = None,
        *,
        confirm_predictions: bool = False,
    ) -> dict[str, str]:
        """Approve, discard or reopen; return why not, for those where it cannot be."""
        ...

    def to_upload(
        self, cameras: Iterable[str], limit: int, *, include_new: bool = False
    ) -> tuple[StoredSample, ...]:
        """Return approved (and new) pictures of cameras, the most valuable first."""
        ...

    def begin_upload(self, samples: Sequence[str]) -> frozenset[str]:
        """Note that they are in a request now; return those that may be sent.

        The others were sent already, are in another request, or a person discarded them meanwhile.
        """
        ...

    def end_upload(self, outcomes: Sequence[FileOutcome], at_us: int) -> None:
        """Note what became of them."""
        ...

    def release_uploads(self) -> int:
        """Make what was left in `uploading` what it was before; return how many.

        After a crash, or when a request came to nothing.
        """
        ...

    def uploaded_bytes_since(self, since_us: int) -> int:
        """Return the bytes of pictures sent since, of removed ones too."""
        ...

    def usage(self) -> Usage:
        """Return what is held."""
        ...

    def counts(self, day_us: int, today_us: int, now_us: int) -> SampleCounts:
        """Return how many pictures there are of what.

        Args:
            day_us: When the last 24 hours began, in Unix microseconds.
            today_us: When today began.
            now_us: Now: what a clock that was wrong put after it is of no day.
        """
        ...


class JobHistory(Protocol):
    """Jobs, also those of processes before this one. Implemented by `adapters.sql_jobs`.

    Safe from several threads. Every method raises StorageUnavailable when the disk or the database
    does not do.
    """

    def keep(self, record: JobRecord) -> None:
        """Write a job down, or what became of it: on the disk when this returns."""
        ...

    def forget(self, job: str) -> None:
        """Remove a job that nobody will look for."""
        ...

    def newest(self, command: str, limit: int) -> tuple[JobRecord, ...]:
        """Return the jobs of a command (empty: of all) that were written down last.

        Newest first; those that an end of the process broke off have failed.
        """
        ...


class Thumbnails(Protocol):
    """Small copies of pictures. Implemented by `adapters.thumbnails`; for several threads."""

    def of(self, picture: Path, max_width: int) -> bytes:
        """Return a JPEG no wider than this, without anything but pixels where it was scaled.

        Raises:
            RejectedError: there is no picture that can be read.
        """
        ...


class HandedKey(Protocol):
    """Where the manager leaves an API key. Implemented by `adapters.key_handover`."""

    def open(self) -> None:
        """Make the folder; remove what nobody took in time.

        Raises:
            StorageUnavailable: the disk does not do.
        """
        ...

    def take(self) -> str | None:
        """Return the key that was left lately, or None; it lies there no more.

        Raises:
            ConfigurationError: what lies there is no key, or cannot be read or removed; never
                shows it.
        """
        ...

    def sweep(self) -> None:
        """Remove what nobody took in time.

        Raises:
            StorageUnavailable: the disk does not do.
        """
        ...


class SampleIntake(Protocol):
    """What collecting needs of the store. Implemented by `adapters.sql_samples`.

    Every method raises StorageUnavailable, as those of `SampleStore`.
    """

    def holds(self, camera: str, stream: str, sequence: int, model: str) -> bool:
        """Return whether a picture was kept before, and is still."""
        ...

    def add(self, sample: NewSample) -> StoredSample | None:
        """Keep a picture: on the disk when this returns. None: it was kept before already."""
        ...

    def kept_lately(self, camera: str, count: int) -> tuple[KeptPicture, ...]:
        """Return what was kept of a camera last, oldest first; what was removed since, too."""
        ...

    def prune(self, limits: SampleLimits, now_us: int | None) -> Pruned:
        """Remove one slice of what is beyond the limits, what is worth least first.

        Uploaded ones go first, then discarded, failed, new and approved ones; one that is being
        uploaded stays. None for `now_us`: the time is not known, and nothing goes for its age.
        """
        ...

    def usage(self) -> Usage:
        """Return what is held."""
        ...


class PictureHasher(Protocol):
    """Looks into a JPEG. Implemented by `adapters.picture_hash`."""

    def hash_of(self, jpeg: bytes, width: int, height: int) -> int:
        """Return the 64-bit perceptual hash of a picture that shall have this size.

        Raises:
            RejectedError: it is no whole JPEG, or has another size.
        """
        ...


class Catalogue(Protocol):
    """Imported models on disk. Implemented by `adapters.model_catalogue`; for several threads.

    Every method raises StorageUnavailable when the disk does not do.
    """

    def open(self) -> None:
        """Make the folder; finish or undo what a crash broke off. Needed once, first."""
        ...

    def incoming(self) -> AbstractContextManager[Path]:
        """Give an empty folder on the catalogue's disk; it goes with what is left in it."""
        ...

    def store(self, file: Path, manifest: PackageManifest, version: CatalogueVersion) -> None:
        """Keep a version: a package folder named by its digest, whole or not at all.

        `file` (.tflite or .onnx, best in an `incoming` folder) is moved there. Storing a digest
        again replaces what is said of it.
        """
        ...

    def versions(self) -> tuple[CatalogueVersion, ...]:
        """Return all, newest first."""
        ...

    def get(self, digest: str) -> CatalogueVersion | None:
        """Return one."""
        ...

    def manifest(self, digest: str) -> PackageManifest | None:
        """Return the manifest of its package; None: it is not there, or its record is damaged."""
        ...

    def update(self, version: CatalogueVersion) -> None:
        """Change what is said of one (title, state ...), but for its package's manifest.

        Raises:
            RejectedError: it is not there, or its record is damaged.
        """
        ...

    def delete(self, digest: str) -> None:
        """Remove one and its files, if it is there."""
        ...

    def prune(self, keep_per_model: int, in_use: Collection[str]) -> tuple[CatalogueVersion, ...]:
        """Remove old versions, but for the newest of each model and those in use."""
        ...


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """A model that passed its test."""

    manifest: ModelManifest
    trials: tuple[tuple[str, float], ...] = ()
    """Engines that were timed, each with its milliseconds of a run."""
    warnings: tuple[str, ...] = ()
    """What a person should know although it works."""


class TrialUnanswered(TransientError):  # noqa: N818 - named for what happened
    """The inference service was there, and fell silent under the test."""


class ModelTrial(Protocol):
    """Tests a model of the catalogue. Implemented by `adapters.model_trial`."""

    def run(self, model: str, digest: str, manifest: PackageManifest) -> TrialOutcome:
        """Let the inference service load, test and time a model; takes up to minutes.

        Args:
            model: Its name in topics.
            digest: Which version.
            manifest: What is said of it, whatever the catalogue says.

        Raises:
            RejectedError: it failed; the message says why.
            TrialUnanswered: no answer came. Tried again it may succeed, or end the service again.
            BrokerUnavailable: the inference service is not there, or has no time now.
        """
        ...
