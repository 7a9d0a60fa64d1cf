"""Models on their way: from an Edge Impulse of our own and from files, to real engines."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nxai_cloud_sync import importer as importer_module
from nxai_cloud_sync.adapters.edge_impulse_http import HttpLimits
from nxai_cloud_sync.adapters.model_catalogue import ModelCatalogue
from nxai_cloud_sync.adapters.model_trial import BusModelTrial
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.core.catalogue import VersionState
from nxai_cloud_sync.importer import KEEP_PER_MODEL, Imported, Importer, Outcome
from nxai_cloud_sync.ports import StorageUnavailable, TrialOutcome, TrialUnanswered
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.commands import ImportModel, Reply, TryModel
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import PackageManifest, Task
from nxai_common.errors import (
    BrokerUnavailable,
    CloudRejected,
    CloudUnavailable,
    ConfigurationError,
    KeyRefused,
    RejectedError,
)
from nxai_inference.adapters.model_package import read_package
from support.archives import Export, openmv, zipped
from support.broker import Broker
from support.edge_impulse import (
    CutShort,
    Emulator,
    Endless,
    Fault,
    Project,
    Threshold,
    Training,
    Urls,
    captive_portal,
    downloads,
    fomo,
    running,
)
from support.edge_impulse import (
    Reply as Answer,
)
from support.import_work import KEY, link, pull
from support.killed import KilledWork
from support.models_for_import import (
    EngineTrial,
    StoppedError,
    Told,
    digest_of,
    left_over,
    model_manifest,
    noise,
)
from support.probing import in_force
from support.retrained import retrained
from support.samples import small_disk
from support.shared import shared
from support.stack import Stack

FLOAT32 = "models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite"
INT8 = "models/ei_fomo_mnv2_010_96x96x1_beer_can_i8.tflite"
YOLOV5 = "models/ei_yolov5n_320x320x3_2cls_fp16w.tflite"
SSD = "models/ei_mobilenet_ssd_320x320x3_2cls_i8.tflite"
LABELS = ("beer", "can")
A_MODEL = "/v1/api/*/learn-data/*"


def float32(number: int = 0) -> bytes:
    content = shared(FLOAT32).read_bytes()
    return retrained(content, number) if number else content


@dataclass
class World:
    """An Edge Impulse, a catalogue, and real engines."""

    folder: Path
    emulator: Emulator
    project: Project
    urls: Urls
    names: tuple[str, ...] = ()
    in_use: dict[str, str] | None = None
    job: Told = field(default_factory=Told)
    link: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.catalogue = ModelCatalogue(self.folder)
        self.catalogue.open()
        self.trial = EngineTrial(self.folder)
        self.importer = Importer(
            self.catalogue,
            self.trial,
            names=lambda: self.names,
            in_use=None if self.in_use is None else lambda: self.in_use or {},
            now_us=iter(range(10**9)).__next__,
        )

    def pull(self, artefact: str = "float32", model: str | None = None, key: str = KEY) -> Imported:
        self.job.steps.clear()
        studio = StudioHttp(self.urls.studio, key, HttpLimits(silence_s=5))
        try:
            where = link(self.project.id, **self.link)
            return self.importer.pull(self.job, studio, where, artefact, model)
        finally:
            studio.close()

    def take(self, path: Path, **said: Any) -> Imported:
        return self.importer.import_file(self.job, path, ImportModel(file=path.name, **said))

    def train(self, content: bytes | None = None, day: int = 10, **rest: Any) -> None:
        """Let somebody train in Studio."""
        artefacts = None if content is None else downloads(content)
        created = datetime(2026, 12, day, 8, 30, tzinfo=UTC)
        self.project.train(Training(artefacts=artefacts, created=created, **rest))

    @property
    def block(self) -> Any:
        return self.project.impulse().learn[0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    emulator = Emulator()
    project = emulator.add_project("Beers vs cans", key=KEY)
    project.add_impulse(fomo(LABELS, float32=float32(), int8=shared(INT8).read_bytes()))
    with running(emulator) as urls:
        made = World(tmp_path / "catalogue", emulator, project, urls)
        yield made
    assert left_over(made.folder) == []


# -- what comes -----------------------------------------------------------------------------------


def test_a_model_is_imported_with_all_that_the_project_says(world: World) -> None:
    done = world.pull()
    version = done.version
    assert (done.outcome, version.state, version.reason) == (Outcome.NEW, VersionState.READY, "")
    assert (version.model, version.title, version.version) == (
        "beers-vs-cans",
        "Beers vs cans",
        "2026-01-05 08:30",
    )
    assert (version.digest, version.size) == (digest_of(float32()), len(float32()))
    assert (version.labels, version.task, version.width, version.channels) == (
        LABELS,
        "fomo",
        96,
        1,
    )
    assert (version.origin.project, version.origin.learn_block) == (world.project.id, 3)
    assert (version.engine, version.trials) == ("litert", (("litert", 1.0),))
    assert version.threshold == 0.5
    assert ("F1 score", 0.91) in version.metrics
    assert "is ready (litert, " in done.text
    package = read_package(world.folder / version.digest)
    assert package.file.content == float32()
    assert (package.manifest.resize_mode, package.manifest.labels) == ("fit-short", LABELS)
    assert f"project Beers vs cans ({world.project.id})" in package.manifest.source
    assert world.catalogue.versions() == (version,)
    assert [step for step in world.job.steps if not step.startswith("downloading")] == [
        "checking the key",
        "reading the project",
        "testing Beers vs cans on this box",
    ]


def test_the_same_again_is_nothing_new(world: World) -> None:
    first = world.pull()
    tested = len(world.trial.asked)
    again = world.pull()
    assert (again.outcome, again.version) == (Outcome.UNCHANGED, first.version)
    assert again.text == "nothing new: version 2026-01-05 08:30 is here already"
    assert len(world.trial.asked) == tested
    assert len(world.catalogue.versions()) == 1


def test_int8_is_a_version_of_the_same_model(world: World) -> None:
    one, two = world.pull(), world.pull("int8")
    assert two.version.model == one.version.model
    assert two.version.version == "2026-01-05 08:30 int8"
    assert two.outcome is Outcome.NEW
    assert world.catalogue.versions() == (two.version, one.version)


def test_a_retrained_model_is_a_new_version(world: World) -> None:
    first = world.pull()
    world.train(float32(1))
    second = world.pull()
    assert second.outcome is Outcome.NEW
    assert (second.changes.text, second.changes.compatible) == ("", True)
    assert second.version.version == "2026-12-10 08:30"
    assert world.catalogue.versions() == (second.version, first.version)


def test_changed_labels_are_told(world: World) -> None:
    world.pull()
    world.train(float32(1), labels=("beer", "cork"))
    done = world.pull()
    assert done.changes.text == "label 'cork' is new; label 'can' is gone"
    assert not done.changes.compatible
    assert done.text.endswith("label 'cork' is new; label 'can' is gone")
    assert done.version.labels == ("beer", "cork")


def test_a_threshold_that_was_moved_in_studio(world: World) -> None:
    world.pull()
    world.block.thresholds = (Threshold(value=0.65),)
    done = world.pull()
    assert (done.outcome, done.version.threshold) == (Outcome.CHANGED, 0.65)
    assert done.text == "version 2026-01-05 08:30: threshold: 0.5 -> 0.65"
    assert read_package(world.folder / done.version.digest).manifest.threshold == 0.65
    assert world.catalogue.versions() == (done.version,)
    assert world.pull().outcome is Outcome.UNCHANGED


def test_a_training_that_gave_the_same_again(world: World) -> None:
    world.pull()
    world.train(day=11)
    tested = len(world.trial.asked)
    done = world.pull()
    assert (done.outcome, done.version.version) == (Outcome.CHANGED, "2026-12-11 08:30")
    assert done.text == "version 2026-12-11 08:30: its description changed"
    assert done.version.state is VersionState.READY
    assert len(world.trial.asked) == tested
    assert world.catalogue.versions() == (done.version,)


def test_a_key_that_may_read_will_do(world: World) -> None:
    world.project.add_key("ei_reader", "readonly")
    assert world.pull(key="ei_reader").version.state is VersionState.READY


def test_names_in_topics(world: World) -> None:
    world.names = ("beers-vs-cans",)
    assert world.pull().version.model == "beers-vs-cans-2"
    world.train(float32(1))
    assert world.pull().version.model == "beers-vs-cans-2"  # as before
    world.train(float32(2))
    world.names = ("nuts",)
    with pytest.raises(ConfigurationError, match="'nuts' is in the settings already"):
        world.pull(model="nuts")
    world.link = {"model": "linked"}
    assert world.pull().version.model == "linked"
    world.train(float32(3))
    assert world.pull(model="asked-for").version.model == "asked-for"


def test_what_a_person_wrote_stays(world: World) -> None:
    first = world.pull().version
    world.importer.rename(first.digest, title="Dosen", documentation=None)
    world.importer.rename(first.digest, title=None, documentation="am Band")
    world.block.thresholds = (Threshold(value=0.7),)
    assert world.pull().version.title == "Dosen"
    world.train(float32(1))
    second = world.pull().version
    assert (second.title, second.documentation) == ("Dosen", "am Band")
    world.importer.delete(first.digest)
    assert world.catalogue.versions() == (second,)
    with pytest.raises(RejectedError, match=f"no version {first.digest[:12]}"):
        world.importer.delete(first.digest)
    with pytest.raises(RejectedError, match="no version"):
        world.importer.rename(first.digest, title="x", documentation=None)


def test_what_a_person_writes_during_the_test_stays(world: World) -> None:
    def write() -> None:
        world.importer.rename(digest_of(float32()), title="Dosen", documentation="x")

    world.trial.before = write
    assert world.pull().version.title == "Dosen"


def test_a_version_that_is_deleted_during_the_test(world: World) -> None:
    world.trial.before = lambda: world.importer.delete(digest_of(float32()))
    with pytest.raises(RejectedError, match="no version"):
        world.pull()
    assert world.catalogue.versions() == ()


def test_old_versions_go(world: World) -> None:
    kept = world.pull().version
    several = World(
        world.folder, world.emulator, world.project, world.urls, in_use={kept.digest: "it runs"}
    )
    for number in range(1, KEEP_PER_MODEL + 3):
        world.train(float32(number), day=number)
        several.pull()
    assert len(world.catalogue.versions()) == KEEP_PER_MODEL + 1
    assert world.catalogue.get(kept.digest) is not None


# -- what does not come ---------------------------------------------------------------------------


def untrained(world: World) -> None:
    world.block.artefacts = ()


def not_built(world: World) -> None:
    world.train(built=False)


@pytest.mark.parametrize(
    ("prepare", "error", "reason"),
    [
        (untrained, RejectedError, "no trained model yet: train it in Studio"),
        (lambda world: world.project.edit(), RejectedError, "changed after its last training"),
        (not_built, RejectedError, "no trained model yet|changed after its last training"),
        (lambda world: world.project.revoke(KEY), KeyRefused, "key"),
        (
            lambda world: setattr(world.block, "last_layer", "yolox"),
            CloudRejected,
            "yolox",
        ),
        (
            lambda world: world.train(float32(1), labels=None),
            RejectedError,
            "no int8 TensorFlow Lite model",
        ),
        (
            lambda world: world.project.impulses.clear(),
            ConfigurationError,
            "no impulse",
        ),
    ],
)
def test_a_project_without_a_model_says_what_to_do(
    world: World, prepare: Callable[[World], object], error: type[Exception], reason: str
) -> None:
    prepare(world)
    with pytest.raises(error, match=reason):
        world.pull("int8")
    assert world.catalogue.versions() == ()


def test_keys_that_cannot_read_models(world: World) -> None:
    world.project.add_key("ei_uploads", "ingestiononly")
    with pytest.raises(KeyRefused, match="'ingestiononly' cannot read models; use one with role"):
        world.pull(key="ei_uploads")
    other = world.emulator.add_project("Other", key="ei_other")
    with pytest.raises(KeyRefused, match=f"belongs to project {other.id}, but project"):
        world.pull(key="ei_other")


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        (captive_portal(), (CloudRejected, CloudUnavailable), "page|HTML"),
        (Answer(200, "<!doctype html>", "application/octet-stream"), RejectedError, "page|HTML"),
        (CutShort(20_000), CloudUnavailable, "broke off|cut|bytes"),
        (CutShort(20_000, reset=True), CloudUnavailable, "file"),
        (Answer(404, "{}"), CloudRejected, "404"),
        (Answer(503), CloudUnavailable, "503"),
        (Endless(2 * 1024**3, announced=True), CloudRejected, "larger than"),
        (Answer(200, b"PK\x03\x04zip", "application/zip"), RejectedError, "zip archive, no model"),
        (Answer(200, b"", "application/octet-stream"), RejectedError, "empty"),
    ],
)
def test_what_is_no_model_leaves_nothing(
    world: World, fault: Any, error: type[Exception], reason: str
) -> None:
    world.emulator.faults.add(Fault(A_MODEL, fault))
    with pytest.raises(error, match=reason):
        world.pull()
    assert list(world.folder.iterdir()) == []
    assert world.pull().version.state is VersionState.READY


def test_a_file_without_end_is_cut_at_the_limit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer_module, "MAX_MODEL_BYTES", 3_000_000)
    world.emulator.faults.add(Fault(A_MODEL, Endless(start=float32())))
    with pytest.raises(CloudRejected, match="larger than 3,000,000 bytes"):
        world.pull()
    assert list(world.folder.iterdir()) == []


def test_a_model_that_fails_its_test_is_kept_with_the_reason(world: World) -> None:
    world.train(noise(1))
    done = world.pull()
    assert (done.outcome, done.version.state) == (Outcome.NEW, VersionState.REFUSED)
    assert done.version.reason.startswith("the TensorFlow Lite model is truncated"), "no path"
    assert done.text.endswith(f"was refused: {done.version.reason}")
    world.pull()  # a person asks again: tested again
    assert len(world.trial.asked) == 2
    assert len(world.catalogue.versions()) == 1


def test_an_input_size_that_the_file_does_not_have(world: World) -> None:
    world.train(float32(1), input_size=(160, 120))
    done = world.pull()
    assert done.version.state is VersionState.REFUSED
    assert "160x120 pixels is stated, but the model file reads 96x96" in done.version.reason
    assert (done.version.width, done.version.height) == (160, 120)
    world.train(float32(1), day=12, input_size=(96, 96))
    mended = world.pull()
    assert (mended.version.state, mended.version.reason) == (VersionState.READY, "")
    assert mended.version.unanswered == 0


def test_labels_that_the_file_does_not_have(world: World) -> None:
    world.train(float32(1), labels=("beer", "can", "cork"))
    done = world.pull()
    assert done.version.state is VersionState.REFUSED
    assert "3 labels are given (beer, can, cork)" in done.version.reason


def test_a_version_in_force_is_not_hurt_by_what_does_not_fit(world: World) -> None:
    before = world.pull().version
    package = read_package(world.folder / before.digest)
    world.train(labels=("beer", "can", "cork"))
    with pytest.raises(RejectedError, match=r"does not fit the model.*stays as it was"):
        world.pull()
    world.trial.failures.append(BrokerUnavailable("inference is away"))
    world.block.labels = ("beer", "cork")
    with pytest.raises(BrokerUnavailable):
        world.pull()
    assert world.catalogue.versions() == (before,)
    assert read_package(world.folder / before.digest) == package


def test_a_file_of_another_model_keeps_its_name(world: World, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(float32())
    mine = world.take(path, labels=LABELS, model="mine").version
    world.link = {"model": "linked"}
    with pytest.raises(ConfigurationError, match=r"this very file .* of model 'mine'; import it"):
        world.pull()
    world.link = {}
    done = world.pull()  # nobody named it otherwise: it is the same model
    assert (done.version.model, done.outcome) == ("mine", Outcome.CHANGED)
    assert done.version.origin.project == world.project.id
    assert mine.digest == done.version.digest


def test_what_runs_keeps_its_labels(world: World, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(float32())
    before = world.take(path, labels=LABELS, model="mine").version
    world.in_use = {before.digest: "model 'mine' runs it on front"}
    runs = World(world.folder, world.emulator, world.project, world.urls, in_use=world.in_use)
    with pytest.raises(
        RejectedError,
        match=r"with the labels 'beer', 'can', and model 'mine' runs it on front: other labels "
        r"\('a', 'b'\) would count from now on; take model 'mine' from its cameras first",
    ):
        runs.take(path, labels=("a", "b"))
    assert runs.catalogue.versions() == (before,)
    assert runs.take(path, labels=LABELS).outcome is Outcome.UNCHANGED
    assert world.take(path, labels=("a", "b")).version.labels == ("a", "b"), "it runs nowhere"


def test_what_was_refused_under_another_name_blocks_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(float32())
    refused = world.take(path, labels=("one",), model="mine").version
    assert refused.state is VersionState.REFUSED
    world.link = {"model": "linked"}
    done = world.pull()
    assert (done.version.model, done.version.state) == ("linked", VersionState.READY)
    assert world.catalogue.versions() == (done.version,)


# -- the inference service is away ----------------------------------------------------------------


def test_a_model_waits_for_its_test(world: World) -> None:
    world.trial.failures = [BrokerUnavailable("inference is away")] * 2
    done = world.pull()
    assert done.version.state is VersionState.FETCHED
    assert done.text.endswith("waits for its test: inference is away")
    with pytest.raises(BrokerUnavailable):
        world.importer.test_pending(world.job)
    assert world.importer.test_pending(world.job) == {"tested": 1, "ready": 1}
    (version,) = world.catalogue.versions()
    assert (version.state, version.engine) == (VersionState.READY, "litert")
    assert world.importer.test_pending(world.job) == {"tested": 0, "ready": 0}


def test_what_waits_may_turn_out_to_be_bad(world: World) -> None:
    world.train(float32(1), input_size=(160, 160))
    world.trial.failures = [BrokerUnavailable("inference is away")]
    world.pull()
    assert world.importer.test_pending(world.job) == {"tested": 1, "ready": 0}
    (version,) = world.catalogue.versions()
    assert "160x160" in version.reason


def test_a_model_that_ends_the_inference_service_is_given_up(world: World) -> None:
    world.trial.failures = [TrialUnanswered("silence") for _ in range(3)]
    assert world.pull().version.unanswered == 1
    for _ in range(2):
        with pytest.raises(TrialUnanswered):
            world.importer.test_pending(world.job)
    (version,) = world.catalogue.versions()
    assert version.state is VersionState.REFUSED
    assert "fell silent 3 times" in version.reason
    assert world.importer.test_pending(world.job) == {"tested": 0, "ready": 0}


def test_a_version_deleted_while_it_waited(world: World) -> None:
    world.trial.failures = [BrokerUnavailable("away")]
    waiting = world.pull().version
    (listed,) = world.catalogue.versions()
    world.catalogue.delete(waiting.digest)
    world.importer._test(listed)
    assert world.catalogue.versions() == ()


# -- stopped --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop_at", "left"),
    [("checking", 0), ("reading the project", 0), ("downloading", 0), ("testing", 1)],
)
def test_a_job_can_be_cancelled_at_any_step(world: World, stop_at: str, left: int) -> None:
    world.job.stop_at = stop_at
    with pytest.raises(StoppedError):
        world.pull()
    world.catalogue.open()
    listed = world.catalogue.versions()
    assert [each.state for each in listed] == [VersionState.FETCHED] * left
    assert len(list(world.folder.iterdir())) == left
    world.job.stop_at = ""
    assert world.pull().version.state is VersionState.READY
    assert len(world.catalogue.versions()) == 1


@pytest.mark.parametrize("size", ["64k", "92k"])  # in the download, in the record
def test_a_full_disk_during_the_import(tmp_path: Path, world: World, size: str) -> None:
    with small_disk(tmp_path / "small", size) as disk:
        small = World(tmp_path / "small" / "catalogue", world.emulator, world.project, world.urls)
        (tmp_path / "small" / "filler").write_bytes(bytes(40_000))
        with pytest.raises(StorageUnavailable, match="make room"):
            small.pull()
        assert list(small.folder.iterdir()) == []
        disk.resize("2m")
        assert small.pull().version.state is VersionState.READY
        assert left_over(small.folder) == []


# -- kill -9 --------------------------------------------------------------------------------------


def consistent(folder: Path) -> ModelCatalogue:
    """Open a catalogue after a crash, and see that it holds whole versions alone."""
    catalogue = ModelCatalogue(folder)
    catalogue.open()
    assert left_over(folder) == []
    for version in catalogue.versions():
        assert version.state in (VersionState.FETCHED, VersionState.READY)
        package = read_package(folder / version.digest)
        assert package.manifest.threshold == version.threshold
        assert package.manifest == catalogue.manifest(version.digest)
    return catalogue


def killed_everywhere(
    function: str, folder: Path, arguments: dict[str, Any], before: Callable[[Path], None]
) -> tuple[int, set[int]]:
    """Kill some work at each change of a file; return how often, and how many versions it left."""
    kills = 0
    left = set()
    with KilledWork(function) as work:
        while True:
            place = folder / str(kills)
            before(place)
            killed = work.run(kills + 1, folder=str(place), **arguments)
            catalogue = consistent(place)
            left.add(len(catalogue.versions()))
            if not killed:
                return kills, left
            kills += 1
            assert not work.run(0, folder=str(place), **arguments)  # the next one mends it
            (version,) = consistent(place).versions()
            assert version.state is VersionState.READY


def test_a_pull_may_be_killed_anywhere(tmp_path: Path, world: World) -> None:
    arguments: dict[str, Any] = {"studio": world.urls.studio, "project": world.project.id}
    kills, left = killed_everywhere(
        "support.import_work:pull", tmp_path / "killed", arguments, lambda _place: None
    )
    assert kills >= 25
    assert left == {0, 1}


def test_a_change_of_a_version_in_force_may_be_killed_anywhere(
    tmp_path: Path, world: World
) -> None:
    arguments: dict[str, Any] = {"studio": world.urls.studio, "project": world.project.id}

    def before(place: Path) -> None:
        world.block.thresholds = (Threshold(value=0.5),)
        assert pull(str(place), **arguments) is Outcome.NEW
        world.block.thresholds = (Threshold(value=0.7),)

    kills, left = killed_everywhere(
        "support.import_work:pull", tmp_path / "killed", arguments, before
    )
    assert kills >= 20
    assert left == {1}


def test_the_import_of_an_archive_may_be_killed_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "library.zip"
    path.write_bytes(zipped(Export().library(noise(1), "array")))
    kills, left = killed_everywhere(
        "support.import_work:import_archive",
        tmp_path / "killed",
        {"file": str(path)},
        lambda _place: None,
    )
    assert kills >= 20
    assert left == {0, 1}


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path: Path) -> World:
    """A box without a cloud."""
    emulator = Emulator()
    return World(tmp_path / "catalogue", emulator, emulator.add_project(), Urls("", "", ""))


@pytest.mark.parametrize("form", ["file", "array"])
@pytest.mark.parametrize("folder", ["", "src/"])
@pytest.mark.parametrize("model", [FLOAT32, INT8])
def test_libraries_of_edge_impulse_run(
    box: World, tmp_path: Path, form: Any, folder: str, model: str
) -> None:
    path = tmp_path / "beers-v56.zip"
    path.write_bytes(zipped(Export().library(shared(model).read_bytes(), form, folder)))
    done = box.take(path)
    assert done.version.state is VersionState.READY, done.text
    assert (done.version.model, done.version.labels) == ("beers-vs-cans", LABELS)
    assert done.version.version == "deployment 56"
    assert box.take(path).outcome is Outcome.UNCHANGED


def test_openmv_runs(box: World, tmp_path: Path) -> None:
    path = tmp_path / "Dosen am Band.zip"
    path.write_bytes(zipped(openmv(shared(INT8).read_bytes(), LABELS)))
    done = box.take(path)
    assert (done.version.state, done.version.model) == (VersionState.READY, "dosen-am-band")
    assert "'background'" in done.text


@pytest.mark.parametrize(
    ("model", "labels", "task"),
    [(YOLOV5, ("coffee", "lamp"), Task.YOLOV5), (SSD, ("one", "two"), Task.MOBILENET_SSD)],
)
def test_downloads_of_the_dashboard_run_with_labels(
    box: World, tmp_path: Path, model: str, labels: tuple[str, ...], task: Task
) -> None:
    path = tmp_path / "ei-project-object-detection.lite"
    path.write_bytes(shared(model).read_bytes())
    without = box.take(path)
    assert without.version.state is VersionState.REFUSED
    assert "label" in without.version.reason
    done = box.take(path, labels=labels, threshold=0.4, title="Lampen")
    assert (done.version.state, done.version.task) == (VersionState.READY, task.value)
    assert (done.version.labels, done.version.width) == (labels, 320)
    assert (done.version.title, done.version.threshold) == ("Lampen", 0.4)
    assert done.version.model == "ei-project-object-detection"
    assert box.take(path).outcome is Outcome.UNCHANGED  # what was said need not be said again
    changed = box.take(path, threshold=0.6)
    assert changed.text.endswith("threshold: 0.4 -> 0.6")
    assert changed.version.labels == labels


def test_a_title_that_is_said_stands_over_all(box: World, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(float32())
    first = box.take(path, labels=LABELS, title="First").version
    box.importer.rename(first.digest, title="Second", documentation=None)
    assert box.take(path).version.title == "Second"
    assert box.take(path, title="Third").version.title == "Third"
    assert box.catalogue.versions()[0].title == "Third"


def test_importing_again_mends_a_damaged_record(box: World, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(float32())
    first = box.take(path, labels=LABELS).version
    (box.folder / first.digest / "about.json").write_text("{")
    assert box.take(path, labels=LABELS).version.state is VersionState.READY
    assert [each.model for each in box.catalogue.versions()] == ["m"]


def test_a_package_of_another_box_runs(box: World, tmp_path: Path) -> None:
    manifest = PackageManifest(labels=LABELS, name="Dosen", version="7", threshold=0.3)
    path = tmp_path / "package.zip"
    files = {"manifest.json": manifest.model_dump_json().encode(), "m.tflite": float32()}
    path.write_bytes(zipped(files))
    version = box.take(path).version
    assert (version.state, version.title, version.version) == (VersionState.READY, "Dosen", "7")


def test_a_library_that_says_something_else_than_its_model(box: World, tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    path.write_bytes(zipped(replace(Export(), width=160).library(float32())))
    done = box.take(path)
    assert done.version.reason.startswith("an input of 160x96 pixels is stated")
    assert "train" not in done.version.reason


def test_no_model_is_no_import(box: World, tmp_path: Path) -> None:
    path = tmp_path / "model.eim"
    path.write_bytes(b"\x7fELF" + os.urandom(100))
    with pytest.raises(RejectedError, match=r"executable .*not executed here"):
        box.take(path)
    assert list(box.folder.iterdir()) == []


# -- over the bus ---------------------------------------------------------------------------------


def test_the_real_inference_service_tests_models(tmp_path: Path, world: World) -> None:
    environment = {"NXAI_INFERENCE_CATALOGUE_DIR": str(world.folder)}
    with Stack(tmp_path / "stack", ("inference",), environment=environment) as stack:
        stack.wait_running()
        over_the_bus = Importer(world.catalogue, BusModelTrial(stack.bus, lambda: True))
        studio = StudioHttp(world.urls.studio, KEY)
        try:
            where = link(world.project.id)
            done = over_the_bus.pull(world.job, studio, where, "float32")
            assert done.version.state is VersionState.READY, done.text
            assert {name.split(":")[0] for name, _ in done.version.trials} == {"litert", "onnx"}
            assert done.version.engine_ms == min(ms for _, ms in done.version.trials)
            world.train(float32(1), day=11, labels=("beer", "can", "cork"))
            done = over_the_bus.pull(world.job, studio, where, "float32")
            assert done.version.state is VersionState.REFUSED
            assert "3 labels are given" in done.version.reason
            world.train(noise(5), day=12, labels=LABELS)
            done = over_the_bus.pull(world.job, studio, where, "float32")
            assert "truncated or damaged" in done.version.reason
            stack.processes["inference"].kill()
            hasty = Importer(world.catalogue, BusModelTrial(stack.bus, lambda: True, 0.5))
            world.train(float32(3), day=13)
            done = hasty.pull(world.job, studio, where, "float32")
            assert (done.version.state, done.version.unanswered) == (VersionState.FETCHED, 1)
            stack.start("inference", "inference")
            stack.wait_running()
            assert over_the_bus.test_pending(world.job) == {"tested": 1, "ready": 1}
        finally:
            studio.close()
    assert len(world.catalogue.versions()) == 4


def answered(broker: Broker, reply: Reply | None, timeout_s: float = 5) -> TrialOutcome:
    """Ask for a test of somebody who answers so; None: with nothing."""
    with (
        broker.bus("inference") as there,
        broker.bus("cloud-sync") as here,
        ThreadPoolExecutor(1) as pool,
    ):
        assert there.wait_connected(10)
        assert here.wait_connected(10)
        inbox = there.subscribe(Subscription(TryModel))
        in_force(here, inbox, lambda n: TryModel(desired=DesiredModel(id=f"probe-{n}", path="p")))
        trial = BusModelTrial(here, lambda: True, timeout_s)
        outcome = pool.submit(trial.run, "beers", "a" * 64, PackageManifest(labels=LABELS))
        delivery = inbox.receive(5)
        assert delivery is not None
        assert isinstance(delivery.message, TryModel)
        assert delivery.message.desired.path == "catalogue:" + "a" * 64
        assert delivery.message.desired.labels == LABELS
        if reply is not None:
            delivery.reply(reply)
        return outcome.result()


def test_what_the_inference_service_says_is_read(broker: Broker) -> None:
    told = model_manifest()
    reply = Reply(
        ok=True,
        details={
            "trials": '[{"engine": "litert", "ms": 0.2}, {"engine": "onnx", "ms": null}]',
            "warnings": "onnx disagrees",
        },
        attachment=told.model_dump_json().encode(),
    )
    expected = TrialOutcome(told, (("litert", 0.2),), ("onnx disagrees",))
    assert answered(broker, reply) == expected
    plain = Reply(ok=True, attachment=told.model_dump_json().encode())
    assert answered(broker, plain) == TrialOutcome(told)


@pytest.mark.parametrize(
    ("reply", "error", "reason"),
    [
        (Reply(ok=False, reason="it is none"), RejectedError, "^it is none$"),
        (Reply(ok=False), RejectedError, "without a reason"),
        (Reply(ok=False, reason="later", details={"busy": True}), BrokerUnavailable, "later"),
        (Reply(ok=True, attachment=b"{}"), TrialUnanswered, "cannot be read: model.*one version"),
        (
            Reply(
                ok=True,
                details={"trials": "x"},
                attachment=model_manifest().model_dump_json().encode(),
            ),
            TrialUnanswered,
            "cannot be read",
        ),
    ],
)
def test_other_answers_than_yes(
    broker: Broker, reply: Reply, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        answered(broker, reply)


def test_silence_of_a_service_that_runs(broker: Broker) -> None:
    with pytest.raises(TrialUnanswered, match="did not say within 1 s whether"):
        answered(broker, None, 1)


def test_nobody_is_asked_who_is_not_there(broker: Broker) -> None:
    manifest = PackageManifest()
    with broker.bus("cloud-sync") as here:
        assert here.wait_connected(10)
        with pytest.raises(BrokerUnavailable, match="does not run"):
            BusModelTrial(here, lambda: False).run("beers", "a" * 64, manifest)
        runs = iter((True, False))  # it ends while it is asked
        with pytest.raises(BrokerUnavailable) as caught:
            BusModelTrial(here, lambda: next(runs), 0.2).run("beers", "a" * 64, manifest)
        assert not isinstance(caught.value, TrialUnanswered)
