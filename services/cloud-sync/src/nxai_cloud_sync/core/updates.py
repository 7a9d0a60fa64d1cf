"""Whether the project has a model that the box has not, and when to look again."""

import enum
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nxai_cloud_sync.core.catalogue import CatalogueVersion
from nxai_cloud_sync.core.importing import REQUIRES_RETRAIN, version_text
from nxai_cloud_sync.core.project import Download, Selection, TrainedModel, choose_download
from nxai_common.errors import RejectedError
from nxai_common.retry import RetryPolicy

LEAST_S: Final = 60.0
"""Between two looks that nobody asked for; Edge Impulse names no limit, this is a polite one."""
SPREAD: Final = 0.1
"""Looks come so much earlier or later, so that the boxes of a site do not come together."""
AWAY: Final = RetryPolicy(first_s=120, factor=2, longest_s=3600, floor_s=LEAST_S)
"""An outage of the link is over in minutes or lasts for hours."""
TAKE_AGAIN: Final = RetryPolicy(first_s=600, factor=2, longest_s=86_400, floor_s=LEAST_S)
"""An offered model that cannot be fetched is a download each time."""
LONGEST_S: Final = 86_400.0
"""No answer of a server makes the box wait longer."""


class Finding(enum.StrEnum):
    """What a look at the project showed."""

    MODEL = "model"
    NOT_TRAINED = "not trained"
    EDITED = "edited"
    """The impulse was changed after its training: there is no model of what it is now."""
    NOT_BUILT = "not built"
    """It was trained again, but the model cannot be downloaded yet."""


@dataclass(frozen=True, slots=True)
class OfferKey:
    """What tells two models of projects apart without downloading them."""

    project: int
    learn_block: int
    created_at: str
    artefact: str
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Sight:
    """What the project had when it was looked at."""

    finding: Finding
    text: str
    """For a person."""
    key: OfferKey | None = None
    version: str = ""


def key_of(version: CatalogueVersion) -> OfferKey:
    """Return which model of a project a version of the catalogue is."""
    origin = version.origin
    return OfferKey(
        origin.project, origin.learn_block, origin.created_at, origin.artefact, version.threshold
    )


def see(
    project: int,
    selection: Selection,
    trained: TrainedModel | None,
    downloads: Sequence[Download],
    artefact: str,
    versions: Iterable[CatalogueVersion],
) -> Sight:
    """Say what a project has.

    Args:
        project: Its number.
        selection: The impulse and the learn block that are linked.
        trained: What was trained.
        downloads: What can be downloaded.
        artefact: `float32`, `int8`.
        versions: The catalogue: an old model that cannot be downloaded is not news.
    """
    if trained is None:
        return Sight(Finding.NOT_TRAINED, "the project has no trained model yet")
    block = selection.block.id
    key = OfferKey(project, block, trained.created_at, artefact, trained.threshold)
    version = version_text(trained.created_at, artefact)
    try:
        choose_download(downloads, artefact, block)
    except RejectedError as error:
        if all(key_of(known).created_at != trained.created_at for known in versions):
            return Sight(
                Finding.NOT_BUILT,
                f"the project was trained ({version}), but its model cannot be had yet: {error}",
            )
    if REQUIRES_RETRAIN in trained.available:
        return Sight(
            Finding.EDITED, "the impulse was changed after its last training and has no model yet"
        )
    return Sight(Finding.MODEL, f"the project's model is of {version}", key, version)


@dataclass(frozen=True, slots=True)
class Offer:
    """What comes of a look."""

    text: str
    """For a person."""
    offered: str = ""
    """Name of a version that the project has and the box has not; empty: there is none."""
    key: OfferKey | None = None


def offer(
    sight: Sight, versions: Iterable[CatalogueVersion], deleted: Collection[OfferKey] = ()
) -> Offer:
    """Say whether what the project has is news.

    Args:
        sight: What it has.
        versions: The catalogue.
        deleted: What a person removed from it.
    """
    if sight.key is None:
        return Offer(sight.text)
    same_model = [version for version in versions if _same_training(key_of(version), sight.key)]
    for version in same_model:
        if key_of(version) == sight.key:
            refused = f"; it was refused: {version.reason}" if version.reason else ""
            return Offer(f"version {sight.version} is here{refused}")
    if sight.key in deleted:
        return Offer(
            f"version {sight.version} was deleted here, and is fetched again when a person asks"
        )
    name = sight.version or "a new model"
    if same_model:
        return Offer(f"{sight.text}, with another threshold", name, sight.key)
    return Offer(f"{sight.text}, which is new", name, sight.key)


def _same_training(one: OfferKey, other: OfferKey) -> bool:
    return (one.project, one.learn_block, one.created_at, one.artefact) == (
        other.project,
        other.learn_block,
        other.created_at,
        other.artefact,
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """When the last look was, and how the next one is put off."""

    looked_at: float
    """Seconds of a monotonic clock."""
    stretch: float = 1.0
    """Of the usual time between two looks."""
    failures: int = 0
    """In a row."""
    pause_s: float = 0.0
    """After a failure, instead of the usual time."""

    def due_at(self, poll_s: float) -> float:
        """Return the moment of the next look."""
        usual = max(LEAST_S, poll_s * self.stretch)
        return self.looked_at + (self.pause_s if self.failures else usual)


def went_well(now: float, rng: random.Random) -> Pace:
    """Return the pace after a look."""
    return Pace(now, stretch=1 + rng.uniform(-SPREAD, SPREAD))


def failed(pace: Pace | None, now: float, retry_after_s: float | None, rng: random.Random) -> Pace:
    """Return the pace after a look that could not be had.

    Args:
        pace: Before; None: it was the first look.
        now: Seconds of a monotonic clock.
        retry_after_s: What the server asked for.
        rng: For the jitter.
    """
    failures = 1 if pace is None else pace.failures + 1
    asked = min(retry_after_s or 0.0, LONGEST_S)
    return Pace(now, failures=failures, pause_s=max(AWAY.delay(failures, rng), asked))
