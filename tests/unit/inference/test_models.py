"""Which files are loaded when, and what others read of it meanwhile."""

import itertools
import random
from collections.abc import Iterator

import pytest

from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.status import ModelStatus
from nxai_inference.models import Failure, Model, Models
from nxai_inference.service import TICK_S
from support.inference import Clock, ScriptedSource, nothing
from support.waiting import wait_for

pytestmark = pytest.mark.unit

M = DesiredModel(id="m", path="v1")
BROKEN = M.model_copy(update={"path": "v2"})
THIRD = M.model_copy(update={"path": "v3"})


class Longest(random.Random):
    """Draws the longest wait that may come: no load is tried again within a tick."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class Folder:
    """Files v1, v2 and v3, of which v2 is broken, and the models of a configuration."""

    def __init__(self, source: ScriptedSource, models: Models, clock: Clock) -> None:
        self.source = source
        self.models = models
        self.clock = clock

    def configure(self, wanted: DesiredModel) -> ModelStatus:
        self.models.configure([wanted])
        return self.settle()

    def settle(self) -> ModelStatus:
        while not self.models.settled:
            wait_for(self.models.collect)
        return self.status

    def look(self) -> None:
        """Let the files be looked at more than twice, and what was seen be done."""
        looks = self.source.looks
        wait_for(lambda: self.source.looks >= looks + 5)
        self.clock.advance(TICK_S)
        self.models.try_again()

    @property
    def model(self) -> Model:
        (model,) = self.models.all()
        return model

    @property
    def status(self) -> ModelStatus:
        return self.model.status()

    @property
    def loads(self) -> list[str]:
        return [desired.path for desired in self.source.loads]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    monkeypatch.setattr("nxai_inference.models.LOOK_S", 0.01)
    source, clock = ScriptedSource(), Clock()
    source.put("v1")
    source.put("v3")
    source.stamps = {path: f"files of {path}" for path in ("v1", "v2", "v3")}
    with Models(source, nothing, clock, Longest()) as models:
        yield Folder(source, models, clock)


def test_a_version_that_cannot_be_loaded_is_not_taken_for_a_replaced_file(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder.configure(M)
    assert folder.configure(BROKEN).failed == "v2: no such file"
    folder.look()
    assert folder.models.settled
    assert folder.loads == ["v1", "v2"], "not at each look, but with back-off"
    assert "changed" not in caplog.text


def test_a_roll_back_to_the_version_in_memory_loads_nothing(folder: Folder) -> None:
    folder.configure(M)
    folder.configure(BROKEN)
    folder.look()
    folder.models.configure([M])
    assert (folder.status.state, folder.status.path, folder.status.failed) == ("ready", "v1", "")
    folder.look()
    assert folder.models.settled
    assert folder.loads == ["v1", "v2"]


def test_what_became_of_the_files_meanwhile_is_seen_after_a_roll_back(folder: Folder) -> None:
    folder.configure(M)
    folder.configure(BROKEN)
    folder.source.stamps["v1"] = "replaced"
    folder.configure(M)
    folder.look()
    assert folder.settle().state == "ready"
    assert folder.loads == ["v1", "v2", "v1"]


def test_a_broken_version_that_is_mended_is_loaded_at_once(folder: Folder) -> None:
    folder.configure(M)
    folder.configure(BROKEN)
    folder.source.put("v2")
    folder.source.stamps["v2"] = "mended"
    folder.look()
    assert not folder.models.settled
    assert folder.settle().path == "v2"


def test_a_replaced_file_is_nothing_to_a_version_that_came_since(folder: Folder) -> None:
    folder.configure(M)
    folder.source.stamps["v1"] = "replaced"
    wait_for(lambda: folder.models._replaced)
    folder.configure(THIRD)
    folder.look()
    assert folder.models.settled
    assert folder.loads == ["v1", "v3"]


def test_at_no_step_of_a_change_is_another_version_said_to_have_failed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat may come between any two of them; cloud-sync rolls back what failed."""
    folder.configure(M)
    assert folder.configure(BROKEN).failed
    known, read = folder.model, []

    def step(model: Model, name: str, value: object) -> None:
        object.__setattr__(model, name, value)
        if model is known:
            read.append(model.status())

    monkeypatch.setattr(Model, "__setattr__", step)
    for wanted in (M, BROKEN, THIRD, BROKEN, M):
        folder.configure(wanted)
    assert {status.wanted for status in read} == {"v1", "v2", "v3"}
    assert {status.wanted for status in read if status.failed} == {"v2"}
    assert not any(status.state == "failed" for status in read)


@pytest.mark.parametrize("at", range(12))
def test_a_change_in_the_midst_of_a_heartbeat_lets_no_other_version_fail(
    at: int, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(M)
    folder.configure(BROKEN)
    model, reads = folder.model, itertools.count()

    def read(asked: Model, name: str) -> object:
        if next(reads) == at:
            folder.models.configure([M])
        return object.__getattribute__(asked, name)

    with monkeypatch.context() as during:
        during.setattr(Model, "__getattribute__", read)
        status = model.status()
    assert (status.wanted, status.failed) in {("v1", ""), ("v2", ""), ("v2", "v2: no such file")}


@pytest.mark.parametrize("at", range(12))
def test_a_load_that_ends_well_in_the_midst_of_a_heartbeat_did_not_fail(
    at: int, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(M)
    folder.configure(BROKEN)
    folder.source.put("v2")
    model, steps = folder.model, itertools.count()

    def read(asked: Model, name: str) -> object:
        if next(steps) == at:
            folder.configure(BROKEN)
        return object.__getattribute__(asked, name)

    with monkeypatch.context() as during:
        during.setattr(Model, "__getattribute__", read)
        status = model.status()
    assert (status.path, status.failed) in {
        ("v1", "v2: no such file"),
        ("v1", ""),
        ("v2", ""),
    }


def test_a_new_model_is_loading_until_its_load_has_ended(folder: Folder) -> None:
    model = Model(M)
    assert model.status().state == "loading"
    model.fail(Failure(M, "no such file", None), 0, random.Random(1))  # noqa: S311 - not a secret
    assert (model.status().state, model.status().reason) == ("failed", "no such file")
    assert folder.models.settled
