"""Imported versions of models, as the catalogue keeps them."""

import enum
from dataclasses import dataclass, field


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
    """Name in topics that all its versions share."""
    title: str
    documentation: str
    version: str
    """For a person: `2026-11-28 14:02`, or what a local file's maker said."""
    labels: tuple[str, ...]
    task: str
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
