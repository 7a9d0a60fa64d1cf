"""Looking for a new model, through the real client, at an Edge Impulse of our own."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nxai_cloud_sync.adapters.model_catalogue import ModelCatalogue
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.core.catalogue import VersionState
from nxai_cloud_sync.importer import Importer
from nxai_cloud_sync.updates import Found, UpdateWatch
from nxai_common.contracts.collecting import UpdateOptions
from nxai_common.errors import CloudUnavailable, ConfigurationError, KeyRefused
from support.edge_impulse import (
    Emulator,
    Fault,
    Project,
    Reply,
    Threshold,
    Training,
    Urls,
    downloads,
    fomo,
    running,
    too_many,
)
from support.import_work import KEY, AgreeingTrial, link
from support.models_for_import import Told, noise

LABELS = ("beer", "can")


@dataclass
class Box:
    """A box that watches a project; its clock is a test's."""

    folder: Path
    emulator: Emulator
    project: Project
    urls: Urls
    now: float = 0.0
    options: UpdateOptions = field(default_factory=UpdateOptions)

    def __post_init__(self) -> None:
        self.catalogue = ModelCatalogue(self.folder)
        self.catalogue.open()
        self.importer = Importer(self.catalogue, AgreeingTrial())
        rng = random.Random(1)  # noqa: S311 - reproducible
        self.watch = UpdateWatch(self.catalogue, lambda: self.now, rng)

    def look(self, **where: Any) -> Found:
        studio = StudioHttp(self.urls.studio, KEY)
        try:
            return self.watch.look(studio, link(self.project.id, **where), "float32")
        finally:
            studio.close()

    def pull(self) -> None:
        studio = StudioHttp(self.urls.studio, KEY)
        try:
            done = self.importer.pull(Told(), studio, link(self.project.id), "float32")
            assert done.version.state is VersionState.READY
        finally:
            studio.close()

    def asked(self) -> list[str]:
        """Return what Studio was asked since the last time."""
        with self.emulator.lock:
            paths = [request.path.partition("?")[0] for request in self.emulator.requests]
            self.emulator.requests.clear()
        return [path.removeprefix(f"/v1/api/{self.project.id}/") for path in paths]

    def due(self) -> bool:
        return self.watch.due(self.options, metered=False)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    emulator = Emulator()
    project = emulator.add_project("Beers vs cans", key=KEY)
    project.add_impulse(fomo(LABELS, float32=noise(1), int8=noise(2)))
    with running(emulator) as urls:
        yield Box(tmp_path / "catalogue", emulator, project, urls)


def train(box: Box, number: int, **rest: Any) -> None:
    created = datetime(2026, 12, number, 8, 30, tzinfo=UTC)
    box.project.train(Training(artefacts=downloads(noise(number)), created=created, **rest))


def test_from_the_first_model_to_the_next(box: Box) -> None:
    assert box.due()
    assert box.look() == Found(
        "the project's model is of 2026-01-05 08:30, which is new", "2026-01-05 08:30", take=True
    )
    box.pull()
    box.asked()
    assert box.look() == Found("version 2026-01-05 08:30 is here", "", take=False)
    assert box.asked() == ["last-modification"]
    train(box, 10)
    assert box.look().offered == "2026-12-10 08:30"
    assert "downloads" in box.asked()
    box.pull()
    assert box.look().offered == ""


def test_an_edit_is_no_update(box: Box) -> None:
    box.pull()
    box.look()
    box.project.touch()  # a picture was added, a note was written
    assert box.look() == Found("version 2026-01-05 08:30 is here", "", take=False)
    box.project.edit()
    found = box.look()
    assert (found.offered, found.take) == ("", False)
    assert "was changed after its last training" in found.text


def test_an_update_that_is_not_built_yet(box: Box) -> None:
    box.pull()
    train(box, 10, built=False)
    for _ in range(2):
        assert "trained (2026-12-10 08:30), but its model cannot be had yet" in box.look().text
    with box.emulator.lock:  # the build does not count as a change of the project
        block = box.project.impulse().learn[0]
        block.artefacts, block.model_types = downloads(noise(10)), None
    assert box.look().take


def test_a_project_that_is_not_trained(box: Box) -> None:
    with box.emulator.lock:
        box.project.impulse().learn[0].artefacts = ()
    assert box.look().offered == ""


def test_a_threshold_that_was_moved(box: Box) -> None:
    box.pull()
    box.look()
    with box.emulator.lock:
        box.project.impulse().learn[0].thresholds = (Threshold(value=0.7),)
    box.project.touch()
    assert box.look().text.endswith("with another threshold")
    box.pull()
    assert box.look().offered == ""


def test_outages_put_the_next_look_off(box: Box) -> None:
    box.emulator.faults.add(Fault("*/last-modification", Reply(503)))
    with pytest.raises(CloudUnavailable):
        box.look()
    box.now = 59
    assert not box.due()
    box.now = 3600
    assert box.due()
    box.emulator.faults.add(Fault("*/last-modification", too_many("7000")))
    with pytest.raises(CloudUnavailable):
        box.look()
    box.now = 3600 + 6999
    assert not box.due()
    box.now = 3600 + 7000
    assert box.due()
    box.look()
    assert not box.due()


def test_an_outage_half_way_is_no_look(box: Box) -> None:
    box.emulator.faults.add(Fault("*/downloads", Reply(503)))
    with pytest.raises(CloudUnavailable):
        box.look()
    box.asked()
    assert box.look().take
    assert "downloads" in box.asked()


def test_what_a_person_must_see_to(box: Box) -> None:
    with pytest.raises(ConfigurationError, match="no impulse 9"):
        box.look(impulse=9)
    assert not box.due()
    box.watch.hurry()
    assert box.due()
    box.project.revoke(KEY)
    with pytest.raises(KeyRefused):
        box.look()
    assert not box.due()


def test_a_week_keeps_the_disk_bounded(tmp_path: Path, box: Box) -> None:
    """A project that is trained again and again, imported by itself."""
    box.importer = Importer(box.catalogue, AgreeingTrial(), in_use=dict)
    for hour in range(0, 7 * 24, 4):
        created = datetime(2026, 12, 1 + hour // 24, hour % 24, tzinfo=UTC)
        box.project.train(Training(artefacts=downloads(noise(hour)), created=created))
        for minute in range(0, 240, 30):
            box.now = hour * 3600.0 + minute * 60
            if box.due() and box.look().take:
                box.pull()
    assert len(box.catalogue.versions()) == 10
    assert len(list(box.folder.iterdir())) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["catalogue"]
    assert box.asked().count("downloads") <= 2 * 42
