"""Which pictures go up together, with what is said of them, and what the answer means."""

from collections.abc import Sequence
from dataclasses import dataclass

from nxai_cloud_sync.core.sample import StoredSample


@dataclass(frozen=True, slots=True)
class UploadBatch:
    """Pictures of one request: they share the metadata, as the API has one header for all."""

    samples: tuple[StoredSample, ...]
    metadata: tuple[tuple[str, str], ...]
    category: str
    """`split`, `training`, `testing`."""
    labelled: bool
    """Their boxes were confirmed by a person and go along as labels."""


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one picture."""

    sample: str
    accepted: bool
    remote_id: int | None = None
    duplicate: bool = False
    """The far side had it already: as good as accepted."""
    reason: str = ""
    """Why it was refused."""


def batches(
    samples: Sequence[StoredSample], *, device: str, category: str, size: int, predictions: bool
) -> tuple[UploadBatch, ...]:
    """Return the requests that send these pictures, in their order as far as possible."""
    raise NotImplementedError


def metadata_of(
    sample: StoredSample, *, device: str, predictions: bool
) -> tuple[tuple[str, str], ...]:
    """Return what is said of a picture, text to text, sorted."""
    raise NotImplementedError


def read_answer(batch: UploadBatch, answer: object) -> tuple[FileOutcome, ...]:
    """Return what an answer of the ingestion API says, one outcome a picture in their order.

    The API answers per file, in the order of the parts; HTTP 200 can hold refused ones. Where
    names are given they are used. "An item with this hash already exists" is as good as accepted.

    Raises:
        CloudUnavailable: the answer is none of the API's: it is not known what was stored, and
            sending again does no harm.
        CloudRejected: the request as a whole was refused.
    """
    raise NotImplementedError
