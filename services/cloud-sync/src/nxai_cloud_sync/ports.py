"""What cloud-sync needs of the world."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nxai_cloud_sync.core.catalogue import CatalogueVersion
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
    SampleFilter,
    SamplePage,
    SampleState,
    StoredSample,
    Usage,
)
from nxai_cloud_sync.core.uploading import FileOutcome, UploadBatch
from nxai_common.contracts.collecting import SampleLimits
from nxai_common.contracts.models import PackageManifest
from nxai_common.errors import TransientError


class StorageUnavailable(TransientError):  # noqa: N818 - named for the state
    """The disk is full or the database is locked; the message says what to do."""


OnBytes = Callable[[int, int | None], None]
"""Called now and then with bytes done and bytes in all (None: not known); may raise to stop."""


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

    Raises as `Studio` does.
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
        """Delete it."""
        ...


class SampleStore(Protocol):
    """Pictures on disk. Implemented by `adapters.sql_samples`; safe from several threads.

    Every method raises StorageUnavailable when the disk or the database does not do.
    """

    def add(self, sample: NewSample) -> StoredSample | None:
        """Keep a picture: on the disk when this returns. None: it was kept before already."""
        ...

    def recent_hashes(self, camera: str, count: int) -> tuple[int, ...]:
        """Return the perceptual hashes of the newest pictures of a camera."""
        ...

    def count_since(self, camera: str, since_us: int) -> int:
        """Return how many pictures of a camera were stored since; dropped ones count."""
        ...

    def label_counts_since(self, camera: str, since_us: int) -> dict[str, int]:
        """Return how many of them show each label ("" for none)."""
        ...

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

    def begin_upload(self, samples: Sequence[str]) -> None:
        """Note that they are in a request now."""
        ...

    def end_upload(self, outcomes: Sequence[FileOutcome], at_us: int) -> None:
        """Note what became of them."""
        ...

    def release_uploads(self) -> int:
        """Make what was left in `uploading` by a crash `approved` again; return how many."""
        ...

    def uploaded_bytes_since(self, since_us: int) -> int:
        """Return the bytes of pictures uploaded since."""
        ...

    def prune(self, limits: SampleLimits, now_us: int) -> int:
        """Remove what is beyond the limits, what is worth least first; return how many."""
        ...

    def usage(self) -> Usage:
        """Return what is held."""
        ...


class Catalogue(Protocol):
    """Imported models on disk. Implemented by `adapters.model_catalogue`."""

    def store(self, file: Path, manifest: PackageManifest, version: CatalogueVersion) -> None:
        """Keep a version: a package folder named by its digest, whole or not at all.

        `file` is moved there. Storing a digest again replaces what is said of it.
        """
        ...

    def versions(self) -> tuple[CatalogueVersion, ...]:
        """Return all, newest first."""
        ...

    def get(self, digest: str) -> CatalogueVersion | None:
        """Return one."""
        ...

    def update(self, version: CatalogueVersion) -> None:
        """Change what is said of one (title, state ...)."""
        ...

    def delete(self, digest: str) -> None:
        """Remove one and its files."""
        ...
