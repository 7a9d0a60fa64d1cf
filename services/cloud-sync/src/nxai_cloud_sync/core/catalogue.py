"""Imported versions of models, as the catalogue keeps them."""

import enum
import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from nxai_common.contracts.base import explain
from nxai_common.contracts.models import PackageManifest
from nxai_common.errors import InvalidPayload


class VersionState(enum.StrEnum):
    """Whether a version can be used."""

    FETCHED = "fetched"
    """On the disk, not tested yet."""
    READY = "ready"
    """The inference service loaded and tested it."""
    REFUSED = "refused"
    """It failed its test; the reason says why."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from; zero and empty for a local file."""

    project: int = 0
    project_name: str = ""
    impulse: int = 0
    learn_block: int = 0
    created_at: str = ""
    """When Edge Impulse trained it (ISO 8601)."""
    artefact: str = ""
    """`float32`, `int8`."""


@dataclass(frozen=True, slots=True)
class CatalogueVersion:
    """One version of one model."""

    digest: str
    """SHA-256 of the model file, hex."""
    model: str
    """Name in topics that all its versions share; empty when its record is damaged."""
    title: str
    documentation: str
    version: str
    """For a person: `2026-11-28 14:02`, or what a local file's maker said."""
    labels: tuple[str, ...]
    """In tensor order; empty: not known before the test."""
    task: str
    """Empty: not known before the test, as with the numbers below and 0."""
    width: int
    height: int
    channels: int
    size: int
    """Bytes of the file."""
    state: VersionState
    reason: str = ""
    engine: str = ""
    engine_ms: float | None = None
    origin: Origin = field(default_factory=Origin)
    metrics: tuple[tuple[str, float], ...] = ()
    variant: str = ""
    imported_at_us: int = 0
    threshold: float | None = None
    """What the project (or a person) says; None: nobody did."""
    resize_mode: str = ""
    """Empty: nobody said, `squash` is taken."""
    trials: tuple[tuple[str, float], ...] = ()
    """Engines that were timed, each with its milliseconds of a run."""
    notes: tuple[str, ...] = ()
    """What a person should know although it works: what was not said, and was assumed."""
    warnings: tuple[str, ...] = ()
    """What the test found, although it works."""
    unanswered: int = 0
    """Tests in a row under which the inference service fell silent."""
    to_try: bool = False
    """It came by itself, and its trial has not begun yet."""


_VERSION: Final = TypeAdapter(CatalogueVersion)
_MANIFEST: Final = "manifest"


def to_json(version: CatalogueVersion, manifest: PackageManifest) -> bytes:
    """Return what `about.json` holds: the version, and its package's manifest to mend that by."""
    content = _VERSION.dump_python(version, mode="json")
    content[_MANIFEST] = manifest.model_dump(mode="json", exclude_none=True)
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


def from_json(content: bytes) -> tuple[CatalogueVersion, PackageManifest]:
    """Return what `to_json` wrote, of this version of the program or another one.

    Raises:
        InvalidPayload: damaged; names the field.
    """
    try:
        version = _VERSION.validate_json(content)
        return version, PackageManifest.model_validate(json.loads(content).get(_MANIFEST, {}))
    except ValidationError as error:
        raise InvalidPayload(explain(error)) from None


def damaged(digest: str, reason: str) -> CatalogueVersion:
    """Return what stands in the list for a version whose record cannot be read."""
    return CatalogueVersion(
        digest=digest,
        model="",
        title="",
        documentation="",
        version="",
        labels=(),
        task="",
        width=0,
        height=0,
        channels=0,
        size=0,
        state=VersionState.REFUSED,
        reason=reason,
    )


def newest_first(versions: Iterable[CatalogueVersion]) -> tuple[CatalogueVersion, ...]:
    """Return versions in the order of their import; damaged records come last."""
    return tuple(sorted(versions, key=lambda v: (-v.imported_at_us, v.digest)))


def superfluous(
    versions: Iterable[CatalogueVersion], keep_per_model: int, in_use: Collection[str]
) -> tuple[CatalogueVersion, ...]:
    """Return the versions that may go, oldest last.

    The newest `keep_per_model` of each model stay, and as many refused ones (a row of failures
    must not push out what works), and all that is in use. Damaged records stay for a person.
    """
    seen: dict[tuple[str, bool], int] = defaultdict(int)
    going = []
    for version in newest_first(versions):
        if not version.model:
            continue
        group = (version.model, version.state is VersionState.REFUSED)
        seen[group] += 1
        if seen[group] > keep_per_model and version.digest not in in_use:
            going.append(version)
    return tuple(going)
