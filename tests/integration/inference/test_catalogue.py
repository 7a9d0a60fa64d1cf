"""Imported models by their digest, and engines that need not be found out twice."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import InputScaling, PackageManifest
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.adapters import engines
from nxai_inference.adapters.engines import (
    EngineChoice,
    EngineOptions,
    ModelFile,
    choose_engine,
    proven_engine,
)
from nxai_inference.adapters.model_folder import ModelFolder
from nxai_inference.adapters.model_package import MANIFEST, write_package
from nxai_inference.adapters.proven_engines import Proof, ProvenEngines
from nxai_inference.ports import LoadedModel
from support.tiny_tflite import Tensor, constant, one

pytestmark = pytest.mark.integration

UNIT = InputScaling.ZERO_TO_ONE
CONTENT = one(
    "MEAN",
    [Tensor((1, 16, 16, 3), name="in"), constant([1, 2], "int32")],
    Tensor((1, 3), name="out"),
    kind="ReducerOptions",
)
FILE = ModelFile("mean.tflite", CONTENT, "tflite")
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LABELS = ("red", "green", "blue")
WANTED = DesiredModel(id="m", path=f"catalogue:{DIGEST}")


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """A catalogue as cloud-sync keeps it, with one model."""
    folder = tmp_path / "catalogue"
    write_package(folder / DIGEST, FILE, PackageManifest(name="Colours", labels=LABELS))
    return folder


@pytest.fixture
def source(tmp_path: Path, catalogue: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models", EngineOptions(), catalogue)


def load(source: ModelFolder, desired: DesiredModel = WANTED, *, anew: bool = False) -> LoadedModel:
    loaded = source.load(desired, anew=anew)
    loaded.engine.close()
    return loaded


def test_a_model_of_the_catalogue_is_found_by_its_digest(source: ModelFolder) -> None:
    loaded = load(source)
    about = loaded.manifest
    assert (about.model, about.name, about.labels, about.digest) == ("m", "Colours", LABELS, DIGEST)
    assert source.stamp(WANTED) is not None


def test_a_model_of_the_catalogue_that_was_replaced_has_another_stamp(
    source: ModelFolder, catalogue: Path
) -> None:
    before = source.stamp(WANTED)
    write_package(catalogue / DIGEST, FILE, PackageManifest(labels=LABELS))
    assert source.stamp(WANTED) not in (None, before)


def test_what_is_said_of_a_version_makes_no_other_model_of_it(
    source: ModelFolder, catalogue: Path
) -> None:
    """A person gave it another title."""
    about = catalogue / DIGEST / "about.json"
    about.write_text('{"title": "nuts"}')
    before = source.stamp(WANTED)
    fresh = about.with_name(".about.json.new")
    fresh.write_text('{"title": "bolts"}')
    assert source.stamp(WANTED) == before
    fresh.replace(about)
    assert source.stamp(WANTED) == before


@pytest.mark.parametrize(
    "digest",
    ["", "abc", DIGEST.upper(), DIGEST + "\n", f"../catalogue/{DIGEST}", f"{DIGEST}/", "." * 64],
)
def test_what_is_no_digest_names_no_model(source: ModelFolder, digest: str) -> None:
    wanted = WANTED.model_copy(update={"path": f"catalogue:{digest}"})
    with pytest.raises(ConfigurationError, match="the SHA-256 of its file, 64 of 0-9 and a-f"):
        source.load(wanted)
    assert source.stamp(wanted) is None


def test_a_model_that_was_never_imported(source: ModelFolder, catalogue: Path) -> None:
    wanted = WANTED.model_copy(update={"path": f"catalogue:{'0' * 64}"})
    with pytest.raises(ConfigurationError) as refused:
        source.load(wanted)
    assert str(refused.value) == (
        f"catalogue:{'0' * 64}: no such model in the catalogue {catalogue}; import it again"
    )
    assert source.stamp(wanted) is None


def test_another_file_under_the_digest_is_refused(source: ModelFolder, catalogue: Path) -> None:
    (catalogue / DIGEST / MANIFEST).write_text('{"labels": ["red", "green", "blue"]}')
    (model,) = (catalogue / DIGEST).glob("*.tflite")
    content = model.read_bytes()
    model.write_bytes(content + b"\0")
    with pytest.raises(ConfigurationError, match=f"but the configuration wants {DIGEST}"):
        source.load(WANTED)


def test_two_digests_that_contradict_each_other_are_refused(source: ModelFolder) -> None:
    load(source, WANTED.model_copy(update={"digest": DIGEST}))
    wanted = WANTED.model_copy(update={"digest": "0" * 64})
    with pytest.raises(ConfigurationError, match="also wants SHA-256 0000"):
        source.load(wanted)


# -- engines that are known -----------------------------------------------------------------------


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what takes long."""
    done: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            done[name] += 1
            return function(*given)

        return call

    for name in ("convert", "_time", "_difference"):
        monkeypatch.setattr(engines, name, counted(name, getattr(engines, name)))
    return done


@pytest.mark.parametrize("choice", ["auto", "onnx", "litert"])
def test_a_model_that_was_tried_is_deployed_without_finding_out_again(
    source: ModelFolder, work: Counter[str], choice: EngineChoice
) -> None:
    wanted = WANTED.model_copy(update={"engine": choice})
    tried = load(source, wanted, anew=True)
    before = Counter(work)
    assert before["_time"] == 1

    deployed = source.load(wanted.model_copy(update={"name": "Paint", "threshold": 0.75}))

    assert work == before
    assert deployed.manifest == tried.manifest.model_copy(
        update={"name": "Paint", "threshold": 0.75}
    )
    assert (deployed.trials, deployed.warnings) == (tried.trials, tried.warnings)
    assert deployed.engine is not tried.engine
    with deployed.engine as engine:  # of its own: the one that was tried is closed
        (output,) = engine.run(np.full((16, 16, 3), 51, np.uint8))
    np.testing.assert_allclose(output.float32, [[0.2, 0.2, 0.2]], atol=1e-6)


def test_what_is_asked_for_anew_is_found_out_anew(source: ModelFolder, work: Counter[str]) -> None:
    load(source)
    load(source)
    assert work["_time"] == 1
    load(source, anew=True)
    assert work["_time"] == 2
    assert work["convert"] == 2


@pytest.mark.parametrize(
    "changes", [{"engine": "litert"}, {"input_scaling": InputScaling.MINUS_ONE_TO_ONE}]
)
def test_other_options_are_another_question(
    source: ModelFolder, work: Counter[str], changes: dict[str, object]
) -> None:
    load(source)
    load(source, WANTED.model_copy(update=changes))
    assert work["_time"] == 2


def test_another_file_is_another_question(
    source: ModelFolder, catalogue: Path, work: Counter[str]
) -> None:
    load(source)
    other = ModelFile("x.tflite", CONTENT + b"\0", "tflite")
    write_package(catalogue / other.digest, other, PackageManifest(labels=LABELS))
    load(source, WANTED.model_copy(update={"path": f"catalogue:{other.digest}"}))
    assert work["_time"] == 2


def known(proven: ProvenEngines) -> Proof:
    """Find out about the file; return what is remembered."""
    choose_engine(FILE, UNIT, "onnx", EngineOptions(), proven).engine.close()
    (proof,) = proven._proofs.values()
    return proof


@pytest.mark.parametrize(
    "changed",
    [
        lambda proof: replace(proof, engine="onnx:CUDAExecutionProvider"),
        lambda proof: replace(proof, content=b"not a model any more"),
    ],
)
def test_an_engine_that_does_not_start_as_it_did_is_forgotten(
    changed: Callable[[Proof], Proof],
) -> None:
    proven = ProvenEngines()
    key = (FILE.digest, UNIT, "onnx", EngineOptions().providers, 1)
    proven.put(key, changed(known(proven)))
    assert proven_engine(FILE, UNIT, "onnx", EngineOptions(), proven) is None
    assert len(proven) == 0
    known(proven)
    found = proven_engine(FILE, UNIT, "onnx", EngineOptions(), proven)
    assert found is not None
    found.engine.close()


def test_nothing_is_known_of_a_file_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_content: bytes) -> bytes:
        raise RejectedError("made up")

    monkeypatch.setattr(engines, "convert", fail)
    proven = ProvenEngines()
    with pytest.raises(ConfigurationError, match="made up"):
        choose_engine(FILE, UNIT, "onnx", EngineOptions(), proven)
    assert len(proven) == 0


def proof(size: int = 0) -> Proof:
    return Proof("onnx", "onnx:CPUExecutionProvider", 1.0, (), (), bytes(size) or None)


def test_what_was_not_asked_for_the_longest_is_forgotten_first() -> None:
    proven = ProvenEngines(most_models=3)
    for name in "abc":
        proven.put(name, proof())
    assert proven.get("a") is not None
    proven.put("d", proof())
    assert [name for name in "abcd" if proven.get(name)] == ["a", "c", "d"]
    proven.put("c", proof())  # again: still three
    assert len(proven) == 3


def test_conversions_take_no_more_room_than_they_may() -> None:
    proven = ProvenEngines(most_bytes=100)
    proven.put("a", proof(60))
    proven.put("b", proof(40))
    assert len(proven) == 2
    proven.put("c", proof(1))
    assert [name for name in "abc" if proven.get(name)] == ["b", "c"]
    proven.put("d", proof(101))  # never fits: the others need not go for it
    assert [name for name in "bcd" if proven.get(name)] == ["b", "c"]
    proven.put("c", proof(101))
    assert [name for name in "bcd" if proven.get(name)] == ["b"]
