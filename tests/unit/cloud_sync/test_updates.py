"""Whether the project has news, and when it is looked at."""

import contextlib
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from nxai_cloud_sync.core.catalogue import CatalogueVersion, Origin, VersionState
from nxai_cloud_sync.core.importing import describe
from nxai_cloud_sync.core.project import Download, Impulse, LearnBlock, TrainedModel
from nxai_cloud_sync.core.updates import (
    LEAST_S,
    Finding,
    Offer,
    OfferKey,
    Pace,
    Sight,
    failed,
    key_of,
    offer,
    see,
    went_well,
)
from nxai_cloud_sync.ports import Catalogue, Link, Studio
from nxai_cloud_sync.updates import Found, UpdateWatch
from nxai_common.contracts.collecting import UpdateOptions
from nxai_common.errors import CloudRejected, CloudUnavailable, NxaiError
from support.models_for_import import IMPULSE, PROJECT, SELECTION, trained, version

FLOAT32 = Download("model", "TensorFlow Lite (float32)", "/v1/api/89078/learn-data/3/model/f")
INT8 = Download("model", "TensorFlow Lite (int8 quantized)", "/v1/api/89078/learn-data/3/model/i")
KEY = OfferKey(89078, 3, "2026-11-28T14:02:31.000Z", "float32", 0.5)
HERE = version(origin=describe(PROJECT, SELECTION, trained(), "float32").origin, threshold=0.5)
LINK = Link(
    project=89078,
    name="Beers vs cans",
    role="admin",
    impulse=1,
    learn_block=3,
    learn_block_type="keras-object-detection",
    learn_block_title="Object detection",
    impulse_name="Impulse #1",
    studio="",
    ingestion="",
)


def sight(
    model: TrainedModel | None = trained(),  # noqa: B008 - an immutable value
    downloads: tuple[Download, ...] = (FLOAT32, INT8),
    versions: tuple[CatalogueVersion, ...] = (),
    artefact: str = "float32",
) -> Sight:
    return see(89078, SELECTION, model, downloads, artefact, versions)


# -- what is news ---------------------------------------------------------------------------------


def test_a_trained_project_has_a_model() -> None:
    assert sight() == Sight(
        Finding.MODEL, "the project's model is of 2026-11-28 14:02", KEY, "2026-11-28 14:02"
    )
    assert sight(artefact="int8").version == "2026-11-28 14:02 int8"


def test_an_untrained_project_has_none() -> None:
    assert sight(None).finding is Finding.NOT_TRAINED
    assert offer(sight(None), ()) == Offer("the project has no trained model yet")


def test_an_edited_impulse_has_no_model_of_what_it_is_now() -> None:
    edited = sight(trained(available=("requiresRetrain",)), versions=(HERE,))
    assert edited.finding is Finding.EDITED
    assert offer(edited, (HERE,)).offered == ""


def test_trained_again_but_not_built_is_told() -> None:
    later = trained(created_at="2026-11-29T10:00:00Z")
    found = sight(later, (), (HERE,))
    assert found.finding is Finding.NOT_BUILT
    assert "trained (2026-11-29 10:00), but its model cannot be had yet" in found.text
    unfinished = replace(later, available=("requiresRetrain",))
    assert sight(unfinished, (), (HERE,)).finding is Finding.NOT_BUILT
    assert offer(found, (HERE,)).key is None


def test_an_old_model_that_cannot_be_downloaded_any_more_is_no_news() -> None:
    assert offer(sight(downloads=(), versions=(HERE,)), (HERE,)).offered == ""


def test_what_the_box_has_is_not_offered() -> None:
    assert key_of(HERE) == KEY
    assert offer(sight(), (HERE,)) == Offer("version 2026-11-28 14:02 is here")


def test_what_was_refused_is_not_offered_again() -> None:
    bad = replace(HERE, state=VersionState.REFUSED, reason="it is none")
    assert offer(sight(), (bad,)).text.endswith("is here; it was refused: it is none")
    assert offer(sight(), (bad,)).offered == ""


@pytest.mark.parametrize(
    ("model", "artefact"),
    [
        (trained(created_at="2026-11-29T10:00:00Z"), "float32"),
        (trained(), "int8"),
    ],
)
def test_another_training_or_kind_is_offered(model: TrainedModel, artefact: str) -> None:
    found = offer(sight(model, artefact=artefact), (HERE,))
    assert found.offered == sight(model, artefact=artefact).version
    assert found.text.endswith("which is new")
    assert found.key is not None


def test_another_threshold_is_offered() -> None:
    found = offer(sight(trained(threshold=0.6)), (HERE, version()))
    assert found.text.endswith("with another threshold")
    assert found.offered == "2026-11-28 14:02"
    assert found.key == replace(KEY, threshold=0.6)


def test_what_a_person_deleted_is_not_offered() -> None:
    assert offer(sight(), (), (KEY,)) == Offer(
        "version 2026-11-28 14:02 was deleted here, and is fetched again when a person asks"
    )
    assert offer(sight(trained(created_at="2026-11-29T10:00:00Z")), (), (KEY,)).offered
    assert offer(sight(), (HERE,), (KEY,)).text == "version 2026-11-28 14:02 is here"


def test_a_training_without_a_date_has_a_name_all_the_same() -> None:
    assert offer(sight(trained(created_at="")), ()).offered == "a new model"


# -- when -----------------------------------------------------------------------------------------


def test_looks_are_spread_and_never_closer_than_a_minute() -> None:
    rng = random.Random(1)  # noqa: S311 - reproducible
    dues = [went_well(1000, rng).due_at(300) - 1000 for _ in range(200)]
    assert 270 <= min(dues) < 280
    assert 320 < max(dues) <= 330
    assert min(went_well(0, rng).due_at(60) for _ in range(200)) == LEAST_S


def test_a_shorter_interval_counts_at_once() -> None:
    pace = Pace(1000)
    assert pace.due_at(86_400) == 87_400
    assert pace.due_at(60) == 1060


def test_failures_put_the_next_look_off() -> None:
    rng = random.Random(1)  # noqa: S311 - reproducible
    pace = None
    pauses = []
    for _ in range(40):
        pace = failed(pace, 0, None, rng)
        pauses.append(pace.due_at(60))
    assert min(pauses) >= LEAST_S
    assert 1800 < max(pauses) <= 3600
    assert pauses[0] <= 120


def test_a_server_may_ask_for_a_pause() -> None:
    rng = random.Random(1)  # noqa: S311 - reproducible
    assert failed(None, 5, 700.0, rng).due_at(60) == 705
    assert failed(None, 0, 1e9, rng).due_at(60) == 86_400


# -- the watch ------------------------------------------------------------------------------------


@dataclass
class Cloud:
    """A project as the watch sees it; counts what it is asked for."""

    model: TrainedModel | None = field(default_factory=trained)
    listed: tuple[Download, ...] = (FLOAT32, INT8)
    changed: str = "1"
    error: NxaiError | None = None
    asked: list[str] = field(default_factory=list)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    def last_modification(self, _project: int) -> str:
        self._ask("changed")
        return self.changed

    def impulses(self, _project: int) -> tuple[Impulse, ...]:
        self._ask("impulses")
        return (IMPULSE,)

    def trained_model(
        self, _project: int, _impulse: int, _block: LearnBlock
    ) -> TrainedModel | None:
        self._ask("model")
        return self.model

    def downloads(self, _project: int, _impulse: int) -> tuple[Download, ...]:
        self._ask("downloads")
        return self.listed


@dataclass
class Shelf:
    """The catalogue as the watch sees it."""

    held: tuple[CatalogueVersion, ...] = ()

    def versions(self) -> tuple[CatalogueVersion, ...]:
        return self.held


@dataclass
class World:
    cloud: Cloud = field(default_factory=Cloud)
    shelf: Shelf = field(default_factory=Shelf)
    now: float = 0.0
    policy: str = "offer"

    def __post_init__(self) -> None:
        self.watch = UpdateWatch(
            cast("Catalogue", self.shelf),
            lambda: self.now,
            random.Random(1),  # noqa: S311 - reproducible
        )

    def options(self, **rest: Any) -> UpdateOptions:
        return UpdateOptions.model_validate({"policy": self.policy, **rest})

    def due(self, *, metered: bool = False, **rest: Any) -> bool:
        return self.watch.due(self.options(**rest), metered=metered)

    def look(self, artefact: str = "float32") -> Found:
        self.cloud.asked.clear()
        return self.watch.look(cast("Studio", self.cloud), LINK, artefact)


def test_a_box_that_starts_looks_at_once_and_then_in_time() -> None:
    world = World()
    assert world.due()
    world.look()
    assert not world.due()
    world.now = 269
    assert not world.due()
    world.now = 331
    assert world.due()


def test_nobody_looks_when_switched_off_or_metered() -> None:
    assert not World(policy="off").due()
    assert not World().due(metered=True)


def test_an_unchanged_project_is_asked_one_question() -> None:
    world = World()
    first = world.look()
    assert world.cloud.asked == ["changed", "impulses", "model", "downloads"]
    assert first == Found(first.text, "2026-11-28 14:02", take=True)
    again = world.look()
    assert world.cloud.asked == ["changed"]
    assert (again.text, again.offered, again.take) == (first.text, first.offered, False)


def test_an_edited_project_is_looked_at_and_is_no_update() -> None:
    world = World(shelf=Shelf((HERE,)))
    world.look()
    world.cloud.changed = "2"
    found = world.look()
    assert len(world.cloud.asked) == 4
    assert (found.offered, found.take) == ("", False)


def test_what_was_imported_is_no_longer_offered() -> None:
    world = World()
    assert world.look().offered
    world.shelf.held = (HERE,)
    assert world.look() == Found("version 2026-11-28 14:02 is here", "", take=False)


def test_another_kind_is_looked_at_closely() -> None:
    world = World()
    world.look()
    world.look("int8")
    assert len(world.cloud.asked) == 4


def test_what_is_not_built_is_looked_at_until_it_is() -> None:
    world = World(Cloud(listed=()))
    for _ in range(3):
        assert "cannot be had yet" in world.look().text
        assert len(world.cloud.asked) == 4
    world.cloud.listed = (FLOAT32,)  # building it did not count as a change
    assert world.look().take


def test_who_is_in_a_hurry_looks_closely() -> None:
    world = World()
    world.look()
    world.watch.hurry()
    assert world.due()
    assert world.look().take  # a person asked: it may be fetched once more
    assert len(world.cloud.asked) == 4


def test_an_offer_that_cannot_be_fetched_is_tried_again_later_and_later() -> None:
    world = World()
    takes = []
    for minute in range(0, 3 * 24 * 60, 5):
        world.now = minute * 60.0
        if world.look().take:
            takes.append(world.now)
    assert takes[0] == 0
    assert takes[1] >= 60
    assert len(takes) < 25
    world.cloud.model = trained(created_at="2026-11-29T10:00:00Z")
    world.cloud.changed = "2"
    assert world.look().take


@pytest.mark.parametrize("error", [CloudUnavailable("away"), CloudRejected("no project")])
def test_a_failure_is_handed_on_and_puts_off(error: NxaiError) -> None:
    world = World(Cloud(error=error))
    with pytest.raises(type(error)):
        world.look()
    world.now = 59
    assert not world.due(poll_s=60)
    world.now = 121
    assert world.due(poll_s=60)


def test_the_pause_of_the_server_is_kept() -> None:
    error = CloudUnavailable("busy")
    error.retry_after_s = 5000
    world = World(Cloud(error=error))
    with pytest.raises(CloudUnavailable):
        world.look()
    world.now = 4999
    assert not world.due()
    world.now = 5000
    assert world.due()


@dataclass
class Week:
    """What was asked in a week, in numbers."""

    cheap: int = 0
    close: int = 0
    least_gap_s: float = 1e9
    grown: list[int] = field(default_factory=list)


def a_week(world: World, each_minute: Callable[[int], None]) -> Week:
    """Let a week pass, five seconds at a time."""
    week = Week()
    before = -1e9
    for second in range(0, 7 * 86_400, 5):
        world.now = float(second)
        if second % 60 == 0:
            each_minute(second // 60)
        if second % 86_400 == 86_395:
            week.grown.append(tracemalloc.get_traced_memory()[0])
        if world.due(poll_s=60):
            with contextlib.suppress(CloudUnavailable):
                world.look()
            week.cheap += "changed" in world.cloud.asked
            week.close += "model" in world.cloud.asked
            week.least_gap_s = min(week.least_gap_s, world.now - before)
            before = world.now
    return week


def test_a_week_asks_once_a_minute_at_most_and_keeps_nothing() -> None:
    world = World(shelf=Shelf((HERE,)))

    def each_minute(minute: int) -> None:
        day, of_day = divmod(minute, 1440)
        world.cloud.error = CloudUnavailable("away") if of_day < 120 else None  # each night
        if of_day == 600:
            world.cloud.changed = f"edited on day {day}"
        if of_day == 700:
            world.cloud.changed = f"trained on day {day}"
            world.cloud.model = trained(created_at=f"2026-12-{day + 1:02}T10:00:00Z")
        if of_day == 720:
            origin = Origin(89078, "", 1, 3, f"2026-12-{day + 1:02}T10:00:00Z", "float32")
            world.shelf.held = (replace(HERE, origin=origin),)

    tracemalloc.start()
    try:
        week = a_week(world, each_minute)
    finally:
        tracemalloc.stop()
    assert week.least_gap_s >= LEAST_S
    assert 6 * 1000 < week.cheap <= 7 * 1440
    assert week.close == 1 + 2 * 7  # at the start, and after each change
    assert week.grown[-1] - week.grown[0] < 20_000
