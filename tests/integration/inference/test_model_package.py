"""Packages and the models folder: read, cross-checked, refused, written in one step."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import InputScaling, PackageManifest, ResizeMode, Task
from nxai_common.errors import ConfigurationError
from nxai_inference.adapters import model_package
from nxai_inference.adapters.engines import EngineOptions, ModelFile
from nxai_inference.adapters.model_folder import ModelFolder, model_id
from nxai_inference.adapters.model_package import (
    MANIFEST,
    read_model_file,
    read_package,
    replace_file,
    write_package,
)
from nxai_inference.ports import LoadedModel
from support.tiny_tflite import Operator, Tensor, build, constant, one

pytestmark = pytest.mark.integration


def tiny_fomo(classes: int = 3) -> bytes:
    """16x16 RGB to 2x2 cells: a convolution of stride 8 and a softmax."""
    random = np.random.default_rng(4)
    return build(
        [
            Tensor((1, 16, 16, 3), name="serving_default_x:0"),
            constant(random.normal(0, 0.2, (classes, 8, 8, 3))),
            constant(np.zeros(classes)),
            Tensor((1, 2, 2, classes)),
            Tensor((1, 2, 2, classes), name="StatefulPartitionedCall:0"),
        ],
        [
            Operator(
                "CONV_2D", [0, 1, 2], [3], {"kind": "Conv2DOptions", "strideH": 8, "strideW": 8}
            ),
            Operator("SOFTMAX", [3], [4], {"kind": "SoftmaxOptions", "beta": 1.0}),
        ],
        [0],
        [4],
    )


def tiny_classifier() -> bytes:
    return one(
        "MEAN", [Tensor((1, 16, 16, 3)), constant([1, 2], "int32")], Tensor((1, 3)),
        kind="ReducerOptions",
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fomo.tflite").write_bytes(tiny_fomo())
    (tmp_path / "classifier.lite").write_bytes(tiny_classifier())
    return tmp_path


def load(folder: Path, path: str, **rest: Any) -> LoadedModel:
    desired = DesiredModel.model_validate({"id": "m", "path": path, **rest})
    loaded = ModelFolder(folder, EngineOptions()).load(desired)
    loaded.engine.close()
    return loaded


def test_a_stamp_differs_once_the_files_were_replaced(folder: Path) -> None:
    source = ModelFolder(folder, EngineOptions())
    file = DesiredModel(id="m", path="fomo.tflite")
    package = DesiredModel(id="m", path="package")
    (folder / "package").mkdir()
    (folder / "package" / "manifest.json").write_text("{}")
    for wanted, changed in ((file, "fomo.tflite"), (package, "package/manifest.json")):
        before = source.stamp(wanted)
        assert before is not None
        assert source.stamp(wanted) == before
        copy = folder / "copy"
        copy.write_bytes((folder / changed).read_bytes())  # even the same bytes: another file
        copy.replace(folder / changed)
        assert source.stamp(wanted) not in (None, before)
    for nowhere in ("missing.tflite", "a\0b", "a\ud800b"):
        assert source.stamp(DesiredModel.model_construct(id="m", path=nowhere)) is None


def test_only_the_files_that_are_read_count_for_a_stamp(folder: Path) -> None:
    """Notes beside a package, a second file of the converter, a new package half-way."""
    source = ModelFolder(folder, EngineOptions())
    wanted = DesiredModel(id="m", path="package")
    package = folder / "package"
    package.mkdir()
    (package / "manifest.json").write_text('{"file": "fomo.bin", "somebody": "wrote this"}')
    (package / "fomo.bin").write_bytes(tiny_fomo())
    before = source.stamp(wanted)
    for other in ("about.json", "README.md", "fomo.onnx", ".fomo.bin.new"):
        (package / other).write_text("of no account")
        assert source.stamp(wanted) == before
    (package / "fomo.bin").write_bytes(tiny_fomo() + b"\0")
    assert source.stamp(wanted) not in (None, before)


@pytest.mark.parametrize("manifest", ["", "{", "{}", '{"file": "../fomo.tflite"}'])
def test_a_package_that_became_unusable_has_another_stamp(folder: Path, manifest: str) -> None:
    """So that a person is told."""
    source = ModelFolder(folder, EngineOptions())
    wanted = DesiredModel(id="m", path="package")
    write_package(
        folder / "package",
        read_model_file(folder / "fomo.tflite"),
        PackageManifest(labels=("beer", "can")),
    )
    before = source.stamp(wanted)
    (folder / "package" / "second.onnx").write_bytes(b"")
    assert source.stamp(wanted) == before
    (folder / "package" / "manifest.json").write_text(manifest)
    assert source.stamp(wanted) not in (None, before)


def test_a_package_without_its_model_has_another_stamp_and_an_empty_folder_none(
    folder: Path,
) -> None:
    source = ModelFolder(folder, EngineOptions())
    wanted = DesiredModel(id="m", path="package")
    manifest = write_package(
        folder / "package", read_model_file(folder / "fomo.tflite"), PackageManifest()
    )
    before = source.stamp(wanted)
    (model,) = manifest.parent.glob("model-*")
    model.unlink()
    assert source.stamp(wanted) not in (None, before)
    manifest.unlink()
    assert source.stamp(wanted) is None


def test_a_bare_file_with_labels(folder: Path) -> None:
    about = load(folder, "fomo.tflite", labels=("beer", "can")).manifest
    content = (folder / "fomo.tflite").read_bytes()
    assert about.model == about.name == "m"
    assert (about.task, about.labels) == (Task.FOMO, ("beer", "can"))
    assert (about.width, about.height, about.channels) == (16, 16, 3)
    assert (about.threshold, about.nms_iou) == (0.5, 0.2)
    assert about.digest == hashlib.sha256(content).hexdigest()
    assert about.version == about.digest[:12]
    assert about.source == "fomo.tflite"
    assert about.engine in ("litert", "onnx:CPUExecutionProvider")
    assert about.engine_ms is not None
    assert [t.name for t in about.outputs] == ["StatefulPartitionedCall:0"]


def test_an_absolute_path_is_taken_as_it_is(folder: Path) -> None:
    about = load(Path("/nowhere"), str(folder / "fomo.tflite"), labels=("a", "b")).manifest
    assert about.task is Task.FOMO


def test_a_classifier_without_labels_is_numbered(folder: Path) -> None:
    about = load(folder, "classifier.lite").manifest
    assert (about.task, about.labels) == (Task.CLASSIFICATION, ("class 0", "class 1", "class 2"))


def test_a_package_and_what_overrides_it(folder: Path) -> None:
    file = ModelFile("x", tiny_fomo(), "tflite")
    said = PackageManifest(
        name="Cans",
        labels=("beer", "can"),
        resize_mode=ResizeMode.FIT_SHORT,
        threshold=0.0,
        version="7",
        source="project 1",
    )
    write_package(folder / "cans", file, said)
    about = load(folder, "cans").manifest
    assert (about.name, about.version, about.source) == ("Cans", "7", "project 1")
    assert (about.labels, about.threshold) == (("beer", "can"), 0.0)
    assert about.resize_mode is ResizeMode.FIT_SHORT
    over = load(
        folder,
        "cans",
        name="Mine",
        labels=("a", "b"),
        threshold=0.9,
        nms_iou=0.5,
        resize_mode="fit-long",
        input_scaling="-1..1",
        engine="onnx",
    ).manifest
    assert (over.name, over.labels, over.threshold, over.nms_iou) == ("Mine", ("a", "b"), 0.9, 0.5)
    assert over.resize_mode is ResizeMode.FIT_LONG
    assert over.input_scaling is InputScaling.MINUS_ONE_TO_ONE
    assert over.engine.startswith("onnx:")


def test_a_published_manifest_beside_the_only_model_file_is_a_package(folder: Path) -> None:
    """What `models/{model}` carries on the bus can be kept as a package as it is."""
    about = load(folder, "fomo.tflite", labels=("beer", "can")).manifest
    package = folder / "kept"
    package.mkdir()
    (package / "whatever.tflite").write_bytes(tiny_fomo())
    (package / MANIFEST).write_text(about.model_dump_json())
    kept = load(folder, "kept")
    assert kept.manifest.labels == ("beer", "can")
    assert kept.warnings == ()


def test_a_package_is_replaced_in_one_step_and_leaves_nothing(folder: Path) -> None:
    package = folder / "p"
    first = ModelFile("x", tiny_fomo(), "tflite")
    second = ModelFile("x", tiny_fomo(4), "tflite")
    write_package(package, first, PackageManifest(labels=("a", "b")))
    write_package(package, second, PackageManifest(labels=("a", "b", "c")))
    names = sorted(n.name for n in package.iterdir())
    assert names == [MANIFEST, f"model-{second.digest[:12]}.tflite"]
    found = read_package(package)
    assert found.file.content == second.content
    assert found.manifest.digest == second.digest
    assert (package / MANIFEST).stat().st_mode & 0o777 == 0o644


def test_replacing_a_package_removes_no_file_of_anybody_else(folder: Path) -> None:
    package = folder / "p"
    write_package(package, ModelFile("x", tiny_fomo(), "tflite"), PackageManifest())
    for name in ("model-card.md", "model-0123456789ab.tflite.txt", "model-ABCDEF012345.onnx"):
        (package / name).write_text("of somebody else")
    (package / "model-images").mkdir()
    (package / "model-0123456789ab.onnx").mkdir()
    others = {n.name for n in package.iterdir() if n.suffix != ".tflite"}
    newer = ModelFile("x", tiny_fomo(4), "tflite")
    write_package(package, newer, PackageManifest())
    assert {n.name for n in package.iterdir()} == others | {f"model-{newer.digest[:12]}.tflite"}


def test_a_reader_between_the_steps_sees_the_new_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that the old manifest names goes away after the manifest was read."""
    package = folder / "p"
    write_package(package, ModelFile("x", tiny_fomo(), "tflite"), PackageManifest())
    old = model_package._read_manifest(package / MANIFEST)
    newer = ModelFile("x", tiny_fomo(4), "tflite")
    write_package(package, newer, PackageManifest())
    read = model_package._read_manifest
    answers = iter([old])
    monkeypatch.setattr(
        model_package, "_read_manifest", lambda path: next(answers, None) or read(path)
    )
    assert read_package(package).file.content == newer.content


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    target = tmp_path / "busy"
    target.mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(OSError, match="busy"):
        replace_file(target, b"x")
    assert [n.name for n in tmp_path.iterdir()] == ["busy"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    file = ModelFile("x", tiny_fomo(), "tflite")
    with pytest.raises(ConfigurationError, match=r"file/p: the package cannot be written"):
        write_package(tmp_path / "file" / "p", file, PackageManifest())


def nan_model() -> bytes:
    weights = numpy_helper.from_array(np.full((1, 3), np.nan, np.float32), "w")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Add", ["mean", "w"], ["out"]),
        ],
        "main",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, (1, 3))],
        [weights],
    )
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()
    return content


def not_softmax() -> bytes:
    return one(
        "AVERAGE_POOL_2D",
        [Tensor((1, 16, 16, 3))],
        Tensor((1, 2, 2, 3)),
        kind="Pool2DOptions",
        strideH=8,
        strideW=8,
        filterHeight=8,
        filterWidth=8,
    )


OPEN = one(
    "RELU",
    [Tensor((1, 16, 16, 3), signature=(1, -1, -1, 3))],
    Tensor((1, 16, 16, 3), signature=(1, -1, -1, 3)),
)


LARGE = one("RELU", [Tensor((1, 2400, 2400, 3))], Tensor((1, 2400, 2400, 3)))


@pytest.mark.parametrize(
    ("name", "content", "rest", "reason"),
    [
        ("a.tflite", b"", {}, "a.tflite: the file is empty"),
        ("a.tflite", tiny_fomo()[:300], {}, "a.tflite: the TensorFlow Lite model is truncated"),
        ("a.tflite", b"\x1c\0\0\0TFL2" + bytes(50), {}, r"4 to 8 are b'TFL2' instead of b'TFL3'"),
        ("a.tflite", b"<!DOCTYPE html>", {}, "not a TensorFlow Lite model.*download it again"),
        ("a.onnx", b"<!DOCTYPE html>", {}, "a.onnx: not an ONNX model, or truncated"),
        ("a.eim", b"\x7fELF" + bytes(50), {}, "neither TensorFlow Lite .* nor ONNX"),
        ("a.tflite", tiny_fomo(), {}, "a.tflite: the model has no labels; name 2 labels"),
        ("a.tflite", tiny_fomo(), {"labels": ("a",)}, "1 labels are given .* with 2"),
        ("a.tflite", tiny_fomo(), {"labels": ("a", "b"), "task": "yolov5"}, "said to be yolov5"),
        ("a.tflite", tiny_fomo(), {"digest": "0" * 64}, "the configuration wants 0000"),
        ("a.tflite", OPEN, {}, r"dynamic or empty dimension"),
        ("a.onnx", nan_model(), {}, "a.onnx: self-test failed on onnx.*not finite"),
        ("a.tflite", LARGE, {}, r"a.tflite: the model reads pictures of 2400x2400x3 = 17280000"),
        ("a.tflite", not_softmax(), {"labels": ("a", "b")}, "a.tflite: self-test.*sum to 0"),
        ("a.tflite", tiny_fomo(), {"engine": "onnx", "input_scaling": "torch", "labels": ("a",)},
         "1 labels are given"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_by_name(
    tmp_path: Path, name: str, content: bytes, rest: dict[str, Any], reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        load(tmp_path, name, **rest)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (None, r"manifest\.json: No such file"),
        ("{", r"manifest\.json: payload: Invalid JSON"),
        ('{"labels": 3}', r"manifest\.json: labels: .* \(got 3\)"),
        ('{"threshold": 7}', r"manifest\.json: threshold: .* less than or equal to 1"),
        ('{"file": "../fomo.tflite"}', "must be a plain file name"),
        ('{"file": "/etc/passwd"}', "must be a plain file name"),
        ('{"file": "gone.tflite"}', r"gone\.tflite: No such file"),
        ("{}", r"has 2 model files \(a\.tflite, b\.onnx\); say in manifest\.json"),
        ('{"file": "a.tflite", "digest": "ff"}', r"manifest\.json wants ff"),
    ],
)
def test_bad_packages_are_refused(folder: Path, manifest: str | None, reason: str) -> None:
    package = folder / "p"
    package.mkdir()
    (package / "a.tflite").write_bytes(tiny_fomo())
    (package / "b.onnx").write_bytes(b"x")
    if manifest is not None:
        (package / MANIFEST).write_text(manifest)
    with pytest.raises(ConfigurationError, match=reason):
        load(folder, "p")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("resize_mod", "did you mean 'resize_mode'?"),
        ("Labels", "did you mean 'labels'?"),
        ("quantisation_table", "known: digest, file, input_scaling, labels, name, "),
        ("k" * 99, "known: digest, "),
    ],
)
def test_an_unknown_key_of_a_package_is_a_warning(folder: Path, key: str, hint: str) -> None:
    package = folder / "p"
    package.mkdir()
    (package / "a.tflite").write_bytes(tiny_fomo())
    (package / MANIFEST).write_text(json.dumps({"labels": ["a", "b"], key: "fit-short"}))
    loaded = load(folder, "p")
    assert loaded.manifest.labels == ("a", "b")
    [warning] = loaded.warnings
    assert warning.startswith(f"{package / MANIFEST}: unknown key '{key[:60]}' is ignored; {hint}")


def test_remarks_in_a_package_are_no_mistakes(folder: Path) -> None:
    package = folder / "p"
    package.mkdir()
    (package / "a.tflite").write_bytes(tiny_fomo())
    said = {"$schema": "x", "_comment": "y", "labels": ["a", "b"]}
    (package / MANIFEST).write_text(json.dumps(said))
    assert load(folder, "p").warnings == ()


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nope\.tflite: No such file or directory"):
        load(folder, "nope.tflite")


def test_a_file_that_is_too_large_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_package, "MAX_MODEL_BYTES", 100)
    with pytest.raises(ConfigurationError, match="larger than 100 bytes"):
        load(folder, "fomo.tflite")


def test_the_written_manifest_is_for_people(folder: Path) -> None:
    file = ModelFile("x", tiny_fomo(), "tflite")
    path = write_package(folder / "p", file, PackageManifest(labels=("a", "b")))
    text = path.read_text()
    assert json.loads(text)["labels"] == ["a", "b"]
    assert "null" not in text
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Beer & Can.tflite", "beer-can"),
        ("ei_fomo.lite", "ei_fomo"),
        ("--.onnx", "model"),
        ("x" * 80 + ".onnx", "x" * 64),
    ],
)
def test_a_name_is_made_of_the_file(path: str, name: str) -> None:
    assert model_id(Path(path)) == name
