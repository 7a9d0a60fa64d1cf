"""What is imported: from what a project or a file says of a model to its package and record."""

import enum
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Final, Literal

from nxai_cloud_sync.core.catalogue import CatalogueVersion, Origin, VersionState
from nxai_cloud_sync.core.project import ProjectInfo, Selection, TrainedModel
from nxai_common.contracts.commands import ImportModel
from nxai_common.contracts.models import (
    InputScaling,
    ModelManifest,
    PackageManifest,
    ResizeMode,
    Task,
)
from nxai_common.errors import ConfigurationError, RejectedError

MAX_MODEL_BYTES: Final = 512 * 1024 * 1024
"""As the inference service has it: no model for an edge box is larger."""
HEAD_BYTES: Final = 512
"""Enough to see what a file is."""
MOST_UNANSWERED: Final = 3
"""Tests without an answer; one more model that ends the inference service again is one too many."""
REQUIRES_RETRAIN: Final = "requiresRetrain"

_LONGEST_ID: Final = 48
"""Shorter than a topic level: a candidate gets a suffix."""
_LONGEST_VERSION: Final = 40
_SHOWN: Final = 12

Format = Literal["tflite", "onnx"]


@dataclass(frozen=True, slots=True)
class Stated:
    """What is said of a model before it was tested; empty, zero and None: not known."""

    title: str = ""
    labels: tuple[str, ...] | None = None
    """In tensor order, without FOMO's background."""
    task: Task | None = None
    width: int = 0
    height: int = 0
    resize_mode: ResizeMode | None = None
    input_scaling: InputScaling | None = None
    threshold: float | None = None
    nms_iou: float | None = None
    version: str = ""
    source: str = ""
    """For a person: a project, a file."""
    origin: Origin = field(default_factory=Origin)
    metrics: tuple[tuple[str, float], ...] = ()
    variant: str = ""
    notes: tuple[str, ...] = ()


# -- from a project -----------------------------------------------------------------------------


def trained_or_refused(trained: TrainedModel | None, selection: Selection) -> TrainedModel:
    """Return what was trained.

    Raises:
        RejectedError: nothing, or not since the impulse was edited.
    """
    block = f"learn block {selection.block.title!r} of impulse {selection.impulse.name!r}"
    if trained is None:
        raise RejectedError(f"{block} has no trained model yet: train it in Studio")
    if REQUIRES_RETRAIN in trained.available:
        raise RejectedError(
            f"{block} was changed after its last training, or its training did not end: train it "
            "again, here or in Studio"
        )
    return trained


def describe(
    project: ProjectInfo, selection: Selection, trained: TrainedModel, artefact: str
) -> Stated:
    """Return what a project says of its trained model."""
    impulse = selection.impulse
    return Stated(
        title=project.name,
        labels=trained.labels,
        task=trained.task,
        width=impulse.width,
        height=impulse.height,
        resize_mode=impulse.resize_mode,
        input_scaling=trained.input_scaling,
        threshold=trained.threshold,
        version=version_text(trained.created_at, artefact),
        source=f"Edge Impulse project {project.name} ({project.id})",
        origin=Origin(
            project=project.id,
            project_name=project.name,
            impulse=impulse.id,
            learn_block=selection.block.id,
            created_at=trained.created_at,
            artefact=artefact,
        ),
        metrics=tuple((metric.name, metric.value) for metric in trained.metrics_of(artefact)),
        variant=trained.variant,
        notes=impulse.warnings,
    )


def version_text(created_at: str, artefact: str) -> str:
    """Return the name of a version for a person: `2026-11-28 14:02` (UTC), ` int8` behind it."""
    try:
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        text = created_at[:_LONGEST_VERSION]
    else:
        text = f"{moment:%Y-%m-%d %H:%M}"
    return f"{text} int8".strip() if artefact == "int8" else text


# -- from a person ------------------------------------------------------------------------------


def said(command: ImportModel) -> Stated:
    """Return what a person says of a file."""
    return Stated(
        title=command.title,
        labels=command.labels,
        task=command.task,
        resize_mode=command.resize_mode,
        input_scaling=command.input_scaling,
        threshold=command.threshold,
    )


def over(found: Stated, by_person: Stated) -> Stated:
    """Return what was found in a file, with what a person says instead of it."""
    empty = Stated()
    changes = {
        each.name: getattr(by_person, each.name)
        for each in fields(Stated)
        if getattr(by_person, each.name) != getattr(empty, each.name)
    }
    return replace(found, **changes)


# -- to the catalogue ---------------------------------------------------------------------------


def manifest_of(stated: Stated) -> PackageManifest:
    """Return the manifest of a package; its file and digest are set where it is written."""
    return PackageManifest(
        name=stated.title,
        labels=stated.labels or None,
        task=stated.task,
        resize_mode=stated.resize_mode,
        input_scaling=stated.input_scaling,
        threshold=stated.threshold,
        nms_iou=stated.nms_iou,
        version=stated.version,
        source=stated.source,
    )


def version_of(
    stated: Stated, *, model: str, digest: str, size: int, now_us: int
) -> CatalogueVersion:
    """Return the record of a version that was not tested yet."""
    return CatalogueVersion(
        digest=digest,
        model=model,
        title=stated.title,
        documentation="",
        version=stated.version or digest[:_SHOWN],
        labels=stated.labels or (),
        task=stated.task.value if stated.task else "",
        width=stated.width,
        height=stated.height,
        channels=0,
        size=size,
        state=VersionState.FETCHED,
        origin=stated.origin,
        metrics=stated.metrics,
        variant=stated.variant,
        imported_at_us=now_us,
        threshold=stated.threshold,
        resize_mode=stated.resize_mode.value if stated.resize_mode else "",
        notes=stated.notes,
    )


_WHAT_IS_TESTED: Final = (
    "labels",
    "task",
    "resize_mode",
    "input_scaling",
    "threshold",
    "nms_iou",
)
"""Of a manifest: a change of any other field needs no new test."""


class Again(enum.Enum):
    """What a file that is in the catalogue already needs when it is imported again."""

    NOTHING = enum.auto()
    """The same is said of it."""
    RECORD = enum.auto()
    """Something else is said of it, that no test depends on: its date, its source."""
    TEST = enum.auto()


def again(
    before: tuple[CatalogueVersion, PackageManifest],
    after: tuple[CatalogueVersion, PackageManifest],
) -> Again:
    """Tell what importing a file again changes.

    Args:
        before: Record and manifest that the catalogue has.
        after: What is said now, of the same digest.
    """
    (old, was), (new, manifest) = before, after
    other_size = 0 not in (new.width, new.height) and (old.width, old.height) != (
        new.width,
        new.height,
    )
    told = any(getattr(was, name) != getattr(manifest, name) for name in _WHAT_IS_TESTED)
    if told or other_size or old.state is not VersionState.READY:
        return Again.TEST
    same_names = (was.name, was.version, was.source) == (
        manifest.name,
        manifest.version,
        manifest.source,
    )
    same_origin = (old.origin, old.metrics, old.variant, old.notes) == (
        new.origin,
        new.metrics,
        new.variant,
        new.notes,
    )
    return Again.NOTHING if same_names and same_origin else Again.RECORD


def with_the_test_of(new: CatalogueVersion, old: CatalogueVersion) -> CatalogueVersion:
    """Return a new record of a file with what its test found out before."""
    return replace(
        new,
        labels=old.labels,
        task=old.task,
        width=old.width,
        height=old.height,
        channels=old.channels,
        state=old.state,
        engine=old.engine,
        engine_ms=old.engine_ms,
        trials=old.trials,
        warnings=old.warnings,
    )


def stated_by(manifest: PackageManifest) -> Stated:
    """Return what a package says of its model."""
    return Stated(
        title=manifest.name,
        labels=manifest.labels,
        task=manifest.task,
        resize_mode=manifest.resize_mode,
        input_scaling=manifest.input_scaling,
        threshold=manifest.threshold,
        nms_iou=manifest.nms_iou,
        version=manifest.version,
        source=manifest.source,
    )


def with_the_persons_words(
    version: CatalogueVersion, before: CatalogueVersion | None, given: str
) -> CatalogueVersion:
    """Return a version with the title and documentation that a person gave the one before.

    Args:
        version: Newly imported.
        before: The one before, or the same file as it was imported first.
        given: Title that `before` got when it was imported: another one is a person's.
    """
    if before is None:
        return version
    return replace(
        version,
        title=before.title if before.title not in ("", given) else version.title,
        documentation=version.documentation or before.documentation,
    )


def model_id(name: str, taken: Collection[str]) -> str:
    """Return a topic level made of a name, that is none of those taken: `Beer & Can` -> `beer-can`.

    Letters lose their accents; a name without a Latin letter or digit becomes `model`.
    """
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    level = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:_LONGEST_ID].strip("-_") or "model"
    number = 2
    unique = level
    while unique in taken:
        unique = f"{level}-{number}"
        number += 1
    return unique


def choose_model(
    wanted: str | None,
    stated: Stated,
    versions: Sequence[CatalogueVersion],
    settings: Collection[str],
    fallback: str,
) -> str:
    """Return the name in topics under which a version belongs.

    Args:
        wanted: What a person or the link says; None: nobody did.
        stated: Of the version.
        versions: The catalogue.
        settings: Names of models that do not come from the catalogue.
        fallback: What the name is made of when there is no title.

    Raises:
        ConfigurationError: the wanted name is taken by a model of the settings.
    """
    if wanted:
        if wanted in settings:
            raise ConfigurationError(
                f"model {wanted!r} is in the settings already; import under another name"
            )
        return wanted
    origin = stated.origin
    for version in versions:
        there = version.origin
        if version.model and origin.project and there.project == origin.project:
            same_block = (there.impulse, there.learn_block) == (origin.impulse, origin.learn_block)
            if same_block or 0 in (there.learn_block, origin.learn_block):
                return version.model
    taken = {version.model for version in versions} | set(settings)
    return model_id(stated.title or fallback, taken)


# -- the file itself ----------------------------------------------------------------------------


def model_format(head: bytes, what: str) -> Format:
    """Tell what a model file is.

    Args:
        head: Its first bytes (`HEAD_BYTES` are enough).
        what: Names it in messages.

    Raises:
        RejectedError: no model; says what it is instead.
    """
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.lstrip()[:1] == b"<":
        raise RejectedError(
            f"{what} is a web page instead of a model: a login page or a proxy answered; try again "
            "from another network"
        )
    if _ONNX.match(head):
        return "onnx"
    for magic, name in _OTHER_FILES:
        if head.startswith(magic):
            raise RejectedError(f"{what} is {name}, no model file; {_CHOOSE}")
    if not head:
        raise RejectedError(f"{what} is empty; {_CHOOSE}")
    raise RejectedError(
        f"{what} is neither TensorFlow Lite nor ONNX (it begins with {head[:8].hex(' ')}); "
        f"{_CHOOSE}"
    )


_ONNX: Final = re.compile(rb"\x08[\x01-\x1f]")
"""Its IR version comes first: protocol buffer field 1, a small number."""


_CHOOSE: Final = (
    "download 'TensorFlow Lite (float32)' from the Dashboard of the project, or build the "
    "deployment 'C++ library' with the engine TensorFlow Lite"
)
_OTHER_FILES: Final = (
    (
        b"\x7fELF",
        "an executable (.eim), which runs on one kind of machine alone and is not executed here",
    ),
    (b"\xcf\xfa\xed\xfe", "an executable for macOS (.eim)"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "a Keras model (.h5)"),
    (b"\x93NUMPY", "NumPy data (.npy)"),
    (b"{", "a JSON file"),
)


# -- after the test -----------------------------------------------------------------------------


def check_against(version: CatalogueVersion, manifest: ModelManifest) -> None:
    """See that a model is what was said of it.

    Args:
        version: What was said.
        manifest: What the inference service found in the file.

    Raises:
        RejectedError: it is not; says each difference with both values.
    """
    differences = []
    size = (version.width, version.height)
    if 0 not in size and size != (manifest.width, manifest.height):
        differences.append(
            f"an input of {version.width}x{version.height} pixels is stated, but the model file "
            f"reads {manifest.width}x{manifest.height}"
        )
    if version.labels and len(version.labels) != len(manifest.labels):
        differences.append(
            f"{len(version.labels)} labels are stated ({', '.join(version.labels)}), but the model "
            f"has {len(manifest.labels)} ({', '.join(manifest.labels)})"
        )
    if version.task and version.task != manifest.task.value:
        differences.append(f"{version.task} is stated, but the model is {manifest.task.value}")
    if manifest.digest != version.digest:
        differences.append(
            f"the file with SHA-256 {version.digest[:_SHOWN]} was to be tested, but "
            f"{manifest.digest[:_SHOWN]} was"
        )
    if differences:
        hint = "; train the impulse again, so that both are of one version"
        raise RejectedError("; ".join(differences) + (hint if version.origin.created_at else ""))


def passed(
    version: CatalogueVersion,
    manifest: ModelManifest,
    trials: tuple[tuple[str, float], ...] = (),
    warnings: tuple[str, ...] = (),
) -> CatalogueVersion:
    """Return the record of a version that passed its test."""
    return replace(
        version,
        labels=manifest.labels,
        task=manifest.task.value,
        width=manifest.width,
        height=manifest.height,
        channels=manifest.channels,
        state=VersionState.READY,
        reason="",
        engine=manifest.engine,
        engine_ms=manifest.engine_ms,
        trials=trials,
        warnings=warnings,
        unanswered=0,
    )


def refused(version: CatalogueVersion, reason: str) -> CatalogueVersion:
    """Return the record of a version that failed its test."""
    return replace(version, state=VersionState.REFUSED, reason=reason, unanswered=0)


def unanswered(version: CatalogueVersion) -> CatalogueVersion:
    """Return the record of a version after a test without an answer."""
    times = version.unanswered + 1
    if times < MOST_UNANSWERED:
        return replace(version, unanswered=times)
    return refused(
        version,
        f"the inference service fell silent {times} times while it tested this model: it may be "
        "too large for this box, or end the service; see the log of nxai-inference",
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """How a version differs from the one before."""

    text: str
    """For a person; empty: in nothing that is told here."""
    compatible: bool
    """Whoever reads its results need not know: the same labels, the same task."""


def changes(before: CatalogueVersion | None, after: CatalogueVersion) -> Changes:
    """Say how a version differs from the one before."""
    if before is None:
        return Changes("", compatible=True)
    told = []
    added = [label for label in after.labels if label not in before.labels]
    removed = [label for label in before.labels if label not in after.labels]
    for names, one, more in (
        (added, "is new", "are new"),
        (removed, "is gone", "are gone"),
    ):
        if names:
            told.append(f"{_labels(names)} {one if len(names) == 1 else more}")
    if not added and not removed and before.labels != after.labels:
        told.append(f"the labels are in another order: {', '.join(after.labels)}")
    told += [
        f"{name}: {one} -> {other}"
        for name, one, other in (
            ("task", before.task, after.task),
            ("input", _size(before), _size(after)),
            ("resize mode", before.resize_mode or "squash", after.resize_mode or "squash"),
            ("threshold", _threshold(before), _threshold(after)),
        )
        if one != other
    ]
    same = not added and not removed and before.task == after.task
    return Changes("; ".join(told), compatible=same)


def _labels(names: Iterable[str]) -> str:
    quoted = [repr(name) for name in names]
    return ("label " if len(quoted) == 1 else "labels ") + ", ".join(quoted)


def _size(version: CatalogueVersion) -> str:
    return f"{version.width}x{version.height}x{version.channels}"


def _threshold(version: CatalogueVersion) -> str:
    return "as the box says" if version.threshold is None else f"{version.threshold:g}"
