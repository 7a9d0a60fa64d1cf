"""Which pictures go up together, with what is said of them, and what the answer means."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nxai_cloud_sync.core.sample import LabelledBox, StoredSample
from nxai_common.errors import CloudRejected, CloudUnavailable

LARGEST_REQUEST: Final = 32_000_000
"""Bytes of pictures in one request (one larger picture goes alone): what a broken connection costs
at most."""

LARGEST_METADATA: Final = 6_000
"""Bytes of the header that carries the metadata: servers on the way take 8 kB of headers."""
_LONGEST_VALUE: Final = 600
"""Bytes of one text in there, as it is sent."""

LABELS_FILE: Final = "bounding_boxes.labels"
"""Name of the part of a request that holds the boxes of its pictures."""

_DUPLICATE: Final = re.compile(r"\bhash already exists\b|\bduplicate\b", re.IGNORECASE)
_IDS: Final = re.compile(r"\bids?:?\s*(\d{1,18})\b", re.IGNORECASE)
"""Of the samples that a duplicate is the same as."""

_LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class UploadBatch:
    """Pictures of one request: they share the metadata, as the API has one header for all."""

    samples: tuple[StoredSample, ...]
    metadata: tuple[tuple[str, str], ...]
    category: str
    """`split`, `training`, `testing`."""
    labelled: bool
    """Their boxes were confirmed by a person and go along as labels."""
    label: str = ""
    """The class that a person chose for each of them as a whole; empty: nobody did."""


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


@dataclass(frozen=True, slots=True)
class UploadSummary:
    """What an upload did."""

    uploaded: int = 0
    """Duplicates too."""
    duplicates: int = 0
    failed: int = 0
    """Refused for good, each with a reason of its own."""
    kept_back: int = 0
    """Asked for, but not to be sent: of a camera that never uploads, discarded, sent before."""
    bytes: int = 0
    """Of what was uploaded."""
    left: str = ""
    """Why pictures were left for later; empty: none were."""
    models: tuple[str, ...] = ()
    """Those whose pictures were uploaded, sorted."""


def batches(
    samples: Sequence[StoredSample], *, device: str, category: str, size: int, predictions: bool
) -> tuple[UploadBatch, ...]:
    """Return the requests that send these pictures, in their order as far as possible.

    Args:
        samples: Pictures, the most valuable first.
        device: Name of this box.
        category: `split`, `training`, `testing`.
        size: Most pictures of a request.
        predictions: Whether what the model saw goes along.
    """
    alike: dict[tuple[tuple[tuple[str, str], ...], bool, str], list[list[StoredSample]]] = {}
    for sample in samples:
        metadata = metadata_of(sample, device=device, predictions=predictions)
        kind = (metadata, sample.boxes is not None, class_of(sample))
        requests = alike.setdefault(kind, [])
        if not requests or not _has_room(requests[-1], sample, size):
            requests.append([])
        requests[-1].append(sample)
    place = {sample.id: number for number, sample in enumerate(samples)}
    made = [
        UploadBatch(tuple(request), metadata, category, labelled, label)
        for (metadata, labelled, label), requests in alike.items()
        for request in requests
    ]
    return tuple(sorted(made, key=lambda batch: place[batch.samples[0].id]))


def class_of(sample: StoredSample) -> str:
    """Return the class that a person chose for a picture of a classifier; empty: nobody did.

    It was told as one box around all of the picture.
    """
    if not sample.scores or sample.boxes is None or len(sample.boxes) != 1:
        return ""
    (box,) = sample.boxes
    whole = box.x == box.y == 0 and box.width == sample.width and box.height == sample.height
    return box.label if whole else ""


def _has_room(request: Sequence[StoredSample], sample: StoredSample, size: int) -> bool:
    held = sum(each.bytes for each in request)
    return len(request) < size and held + sample.bytes <= LARGEST_REQUEST


# -- what goes along ------------------------------------------------------------------------------


def metadata_of(
    sample: StoredSample, *, device: str, predictions: bool
) -> tuple[tuple[str, str], ...]:
    """Return what is said of a picture, text to text, sorted.

    Without `predictions` nothing of the single picture is in there (its time is in its name), so
    that many can share a request. With them, what the model saw and why the picture was kept goes
    along; as many predictions as fit, the surest first.
    """
    said = {
        "device": device,
        "camera": sample.camera,
        "model": sample.model,
        "model_version": sample.model_version,
        "model_digest": sample.model_digest,
        "strategy": sample.strategy,
    }
    if sample.boxes is not None:
        # Studio knows no "empty, and that is right"; with this such pictures can be filtered.
        confirmed = "class confirmed" if class_of(sample) else "boxes confirmed"
        said["review"] = confirmed if sample.boxes else "nothing is on it"
    if predictions:
        said["reason"] = sample.reason
    said = {name: _cut(text) for name, text in said.items() if text}
    if predictions:
        said |= _seen(sample, LARGEST_METADATA - len(metadata_header(tuple(said.items()))))
    return tuple(sorted(said.items()))


def metadata_header(metadata: Sequence[tuple[str, str]]) -> str:
    """Return the value of the header: JSON in ASCII."""
    return json.dumps(dict(metadata), separators=(",", ":"))


def _seen(sample: StoredSample, room: int) -> dict[str, str]:
    """Return what the model saw, in no more than `room` bytes of the header."""
    boxes = sorted(sample.predictions, key=lambda box: -(box.confidence or 0.0))
    scores = sorted(sample.scores, key=lambda score: -score[1])
    items: list[object] = [_box_of(box) for box in boxes]
    name = "predictions"
    if scores and not items:
        items = [{"label": label, "confidence": round(value, 4)} for label, value in scores]
        name = "scores"
    # Bytes that one item takes within a text within the header.
    lengths = [len(json.dumps(_compact(item))) - 2 + 1 for item in items]
    room -= len(f',"{name}":"[]","{name}_left_out":"{len(items)}"')
    kept = 0
    while kept < len(items) and lengths[kept] <= room:
        room -= lengths[kept]
        kept += 1
    if not items:
        return {}
    made = {name: _compact(items[:kept])}
    if kept < len(items):
        made[f"{name}_left_out"] = str(len(items) - kept)
    return made


def _box_of(box: LabelledBox) -> dict[str, object]:
    made: dict[str, object] = {
        "label": box.label,
        "x": round(box.x, 1),
        "y": round(box.y, 1),
        "width": round(box.width, 1),
        "height": round(box.height, 1),
    }
    if box.confidence is not None:
        made["confidence"] = round(box.confidence, 4)
    return made


def _compact(made: object) -> str:
    return json.dumps(made, separators=(",", ":"), ensure_ascii=False)


def _cut(text: str) -> str:
    """Return a text that takes no more than `_LONGEST_VALUE` bytes in the header."""
    while len(json.dumps(text)) > _LONGEST_VALUE:
        text = f"{text.removesuffix('...')[: len(text) * 3 // 4 - 3]}..."
    return text


def labels_file(batch: UploadBatch) -> bytes:
    """Return the part that holds the confirmed boxes, in whole pixels within their pictures.

    A picture on which nothing is has an empty list. (What Studio makes of that is not documented:
    such a picture has no boxes either way, and may have to be confirmed in its labeling queue; see
    `review` in the metadata.)
    """
    boxes = {
        sample.file_name: [
            made for box in sample.boxes or () if (made := _whole(box, sample)) is not None
        ]
        for sample in batch.samples
    }
    made = {"version": 1, "type": "bounding-box-labels", "boundingBoxes": boxes}
    return json.dumps(made, separators=(",", ":")).encode()


def _whole(box: LabelledBox, sample: StoredSample) -> dict[str, object] | None:
    """Return a box in whole pixels that are in the picture; None: nothing of it is."""
    edges = (box.x, box.y, box.x + box.width, box.y + box.height)
    if not all(map(math.isfinite, edges)) or box.width <= 0 or box.height <= 0:
        return None
    left, right = (min(max(round(edge), 0), sample.width) for edge in edges[::2])
    top, bottom = (min(max(round(edge), 0), sample.height) for edge in edges[1::2])
    # One that is thinner than a pixel has one, where there is one to have.
    right = max(right, min(left + 1, sample.width))
    bottom = max(bottom, min(top + 1, sample.height))
    outside = box.x >= sample.width or box.y >= sample.height or edges[2] <= 0 or edges[3] <= 0
    if outside or right <= left or bottom <= top:
        return None
    return {
        "label": box.label,
        "x": left,
        "y": top,
        "width": right - left,
        "height": bottom - top,
    }


# -- what comes back ------------------------------------------------------------------------------


def read_answer(batch: UploadBatch, answer: object) -> tuple[FileOutcome, ...]:
    """Return what an answer of the ingestion API says, one outcome a picture in their order.

    The API answers per file, in the order of the parts; HTTP 200 can hold refused ones. Where
    names are given they are used. "An item with this hash already exists" is as good as accepted.

    Raises:
        CloudUnavailable: the answer is none of the API's: it is not known what was stored, and
            sending again does no harm.
        CloudRejected: the request as a whole was refused.
    """
    if not isinstance(answer, Mapping):
        raise CloudUnavailable("Edge Impulse answered the upload with something unknown")
    files = answer.get("files")
    if not isinstance(files, Sequence) or isinstance(files, str):
        if answer.get("success") is False:
            raise CloudRejected(f"Edge Impulse refused the upload: {_reason(answer)}")
        raise CloudUnavailable("Edge Impulse did not say what became of the pictures")
    entries = [each for each in files if isinstance(each, Mapping) and not _is_labels(each)]
    if len(entries) != len(batch.samples):
        raise CloudUnavailable(
            f"Edge Impulse spoke of {len(entries)} pictures after an upload of {len(batch.samples)}"
        )
    return tuple(
        _outcome(sample, entry)
        for sample, entry in zip(batch.samples, _in_order(batch, entries), strict=True)
    )


def _is_labels(entry: Mapping[str, Any]) -> bool:
    return entry.get("fileName") == LABELS_FILE


def _in_order(
    batch: UploadBatch, entries: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """Return one entry a picture: that of its name, else the next one without a known name."""
    named: dict[str, Mapping[str, Any]] = {}
    rest: list[Mapping[str, Any]] = []
    known = {sample.id for sample in batch.samples}
    for entry in entries:
        # Names may come back without the ending, or with an id before it.
        stem = str(entry.get("fileName") or "").partition(".")[0]
        if stem in named:
            raise CloudUnavailable(f"Edge Impulse spoke twice of {stem}, and not of another one")
        if stem in known:
            named[stem] = entry
        else:
            rest.append(entry)
    left = iter(rest)
    return tuple(named[sample.id] if sample.id in named else next(left) for sample in batch.samples)


def _outcome(sample: StoredSample, entry: Mapping[str, Any]) -> FileOutcome:
    if entry.get("success") is True:
        return FileOutcome(sample.id, accepted=True, remote_id=_id(entry.get("sampleId")))
    if entry.get("success") is not False:
        raise CloudUnavailable(f"Edge Impulse did not say what became of {sample.file_name}")
    reason = _reason(entry)
    if _DUPLICATE.search(reason):
        found = _IDS.search(reason)
        remote = None if found is None else int(found[1])
        return FileOutcome(sample.id, accepted=True, remote_id=remote, duplicate=True)
    return FileOutcome(sample.id, accepted=False, reason=reason)


def _id(value: object) -> int | None:
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else None


def _reason(said: Mapping[str, Any]) -> str:
    words = " ".join(str(said.get("error") or "no reason given").split())
    return words if len(words) <= _LONGEST_REASON else f"{words[: _LONGEST_REASON - 3]}..."
