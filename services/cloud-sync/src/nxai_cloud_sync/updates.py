"""Looks now and then whether the project has a new model: cheaply first, closer when it changed."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from nxai_cloud_sync.core.project import choose
from nxai_cloud_sync.core.updates import (
    TAKE_AGAIN,
    Finding,
    OfferKey,
    Pace,
    Sight,
    failed,
    offer,
    see,
    went_well,
)
from nxai_cloud_sync.ports import Catalogue, Link, Studio
from nxai_common.contracts.collecting import UpdateOptions
from nxai_common.errors import CloudUnavailable, NxaiError


@dataclass(frozen=True, slots=True)
class Found:
    """What a look showed."""

    text: str
    """For a person."""
    offered: str
    """Name of a version that the project has and the box has not; empty: there is none."""
    take: bool
    """Whether it may be fetched by itself now: each time it is offered, but not again at once."""


class UpdateWatch:
    """Decides when to look, and looks. From any thread, one look at a time."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._lock = threading.Lock()
        self._pace: Pace | None = None
        """None: look at once."""
        self._seen: tuple[object, ...] = ()
        """What was linked and when the project was changed last, as of `_sight`."""
        self._sight: Sight | None = None
        self._taken: OfferKey | None = None
        self._takes = 0
        self._take_at = 0.0

    def due(self, options: UpdateOptions, *, metered: bool) -> bool:
        """Tell whether it is time to look.

        Args:
            options: What is wanted.
            metered: The link costs money: nobody looks.
        """
        if options.policy == "off" or metered:
            return False
        with self._lock:
            return self._pace is None or self._clock() >= self._pace.due_at(options.poll_s)

    def hurry(self) -> None:
        """Look at once and closely: a person asked, or a training has ended."""
        with self._lock:
            self._pace = None
            self._seen = ()
            self._take_at = self._clock()

    def look(self, studio: Studio, link: Link, artefact: str) -> Found:
        """Look whether the project has a new model.

        Args:
            studio: Of the linked project.
            link: Which impulse and learn block.
            artefact: `float32` or `int8`.

        Raises:
            NxaiError: it could not be found out; the next look is put off.
        """
        try:
            sight = self._look(studio, link, artefact)
            versions = self._catalogue.versions()
        except NxaiError as error:
            after = error.retry_after_s if isinstance(error, CloudUnavailable) else None
            with self._lock:
                self._pace = failed(self._pace, self._clock(), after, self._rng)
            raise
        found = offer(sight, versions, link.deleted)
        with self._lock:
            self._pace = went_well(self._clock(), self._rng)
            return Found(found.text, found.offered, self._may_take(found.key))

    def _look(self, studio: Studio, link: Link, artefact: str) -> Sight:
        changed = studio.last_modification(link.project)
        mark = (link.project, link.impulse, link.learn_block, artefact, changed)
        with self._lock:
            if self._sight is not None and self._seen == mark:
                return self._sight
        selection = choose(studio.impulses(link.project), link.impulse, link.learn_block)
        impulse = selection.impulse.id
        sight = see(
            link.project,
            selection,
            studio.trained_model(link.project, impulse, selection.block),
            studio.downloads(link.project, impulse),
            artefact,
            self._catalogue.versions(),
        )
        with self._lock:
            self._sight = sight
            # Whether building the model counts as a change of the project is not documented.
            self._seen = () if sight.finding is Finding.NOT_BUILT else mark
        return sight

    def _may_take(self, key: OfferKey | None) -> bool:
        if key is None:
            return False
        now = self._clock()
        if key != self._taken:
            self._taken, self._takes = key, 0
        elif now < self._take_at:
            return False
        self._takes += 1
        self._take_at = now + TAKE_AGAIN.delay(self._takes, self._rng)
        return True
