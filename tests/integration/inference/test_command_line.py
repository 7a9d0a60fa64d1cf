"""The command line as a person uses it: a process, its output, its exit code."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from nxai_inference.__main__ import main
from support.shared import shared

pytestmark = pytest.mark.integration

FOMO = "models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite"
YOLO = "models/ei_yolov5n_320x320x3_2cls_fp16w.tflite"
SSD = "models/ei_mobilenet_ssd_320x320x3_2cls_i8.tflite"
NUT = "models/ei_fomo_mnv2_035_96x96x3_m5_nut_i8.tflite"


class Run(Protocol):
    """Runs a command in this process, which spares the imports."""

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(n) for n in arguments]
        try:
            code = main(words)
        except SystemExit as error:
            code = int(str(error.code))
        written = capfd.readouterr()
        return subprocess.CompletedProcess(words, code, written.out, written.err)

    return call


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nxai_inference", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def json_lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def golden(model: str) -> list[dict[str, Any]]:
    listed = json.loads(shared("golden/model_golden.json").read_text())["cases"]
    return [case for case in listed if case["model"] == Path(model).name]


@pytest.mark.parametrize("engine", ["auto", "litert", "onnx"])
@pytest.mark.parametrize(("model", "labels"), [(FOMO, "beer,can"), (YOLO, "class0,class1")])
def test_golden_pictures_as_json(run: Run, model: str, labels: str, engine: str) -> None:
    cases = golden(model)
    pictures = [shared(f"golden/{case['image']}") for case in cases]
    done = run("detect", *pictures, "--model", shared(model), "--labels", labels, "--json",
               "--threshold", "0.3", "--engine", engine)  # fmt: skip
    lines = json_lines(done)
    assert [line["image"] for line in lines] == [str(p) for p in pictures]
    names = {"coffee": "class0", "lamp": "class1"}
    for line, case in zip(lines, cases, strict=True):
        assert line["model"] == str(shared(model))
        assert line["timing_ms"] > 0
        expected = case["expected_boxes_by_threshold"]["0.3"]
        assert [
            (d["label"], d["x"], d["y"], d["width"], d["height"]) for d in line["detections"]
        ] == [
            (names.get(b["label"], b["label"]), b["x"], b["y"], b["width"], b["height"])
            for b in expected
        ]
        for found, box in zip(line["detections"], expected, strict=True):
            assert found["confidence"] == pytest.approx(box["value"], abs=1e-4)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A golden picture of 96x96, enlarged four times, in the middle of one of 640x384."""
    case = golden(FOMO)[0]
    picture = Image.open(shared(f"golden/{case['image']}")).convert("RGB")
    wide = Image.new("RGB", (640, 384), "white")
    wide.paste(picture.resize((384, 384), Image.Resampling.BICUBIC), (128, 0))
    path = tmp_path / "wide.png"
    wide.save(path)
    return path


def test_boxes_are_in_pixels_of_the_original_picture(run: Run, wide: Path) -> None:
    arguments = ("--model", shared(FOMO), "--labels", "beer,can", "--json")
    (line,) = json_lines(run("detect", wide, *arguments, "--resize-mode", "fit-short"))
    (found,) = line["detections"]
    # 64, 72, 8, 8 in the model; 4 times as large, 128 pixels cut off at the left
    assert found["label"] == "can"
    assert (found["x"], found["y"], found["width"], found["height"]) == (384, 288, 32, 32)


def test_a_table_and_drawn_pictures(run: Run, wide: Path, tmp_path: Path) -> None:
    save = tmp_path / "drawn" / "here"
    arguments = ("--model", shared(FOMO), "--labels", "beer,can", "--resize-mode", "fit-short")
    done = run("detect", wide, wide, *arguments, "--save", save)
    assert done.returncode == 0, done.stderr
    first, header, row = done.stdout.splitlines()[:3]
    assert first.startswith(f"{wide}  640x384  1 detection  ")
    assert header.split() == ["label", "confidence", "x", "y", "width", "height"]
    assert row.split()[0] == "can"
    assert row.split()[2:] == ["384.0", "288.0", "32.0", "32.0"]
    assert sorted(p.name for p in save.iterdir()) == ["wide-2.png", "wide.png"]
    before = np.asarray(Image.open(wide).convert("RGB")).astype(int)
    after = np.asarray(Image.open(save / "wide.png").convert("RGB")).astype(int)
    changed = np.argwhere(np.abs(after - before).max(axis=2) > 0)
    assert len(changed) > 20
    assert np.abs(changed - [304, 400]).max() < 80, "drawn around the centre of the can"


def test_pictures_that_cannot_be_read_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    good = shared(f"golden/{golden(FOMO)[0]['image']}")
    text, cut = tmp_path / "text.png", tmp_path / "cut.png"
    text.write_text("no picture")
    cut.write_bytes(good.read_bytes()[:800])
    done = process("detect", text, good, tmp_path / "gone.png", cut, "--json",
               "--model", shared(FOMO), "--labels", "beer,can")  # fmt: skip
    assert done.returncode == 1
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == [str(good)]
    complaints = done.stderr.splitlines()
    assert len(complaints) == 3
    for path, complaint in zip((text, tmp_path / "gone.png", cut), complaints, strict=True):
        assert complaint.startswith(f"nxai-inference: {path}: ")


@pytest.mark.parametrize("command", ["detect", "inspect"])
@pytest.mark.parametrize(
    ("content", "name", "labels", "reason"),
    [
        (None, "gone.tflite", "a", "No such file"),
        (b"", "m.tflite", "a", "the file is empty"),
        (b"\0\0\0\0WRNG" + bytes(99), "m.tflite", "a", "b'WRNG' instead of b'TFL3'"),
        (FOMO, "m.tflite", "a,b,c,d", "4 labels are given (a, b, c, d)"),
    ],
)
def test_models_that_cannot_be_used(
    run: Run,
    tmp_path: Path,
    command: str,
    content: bytes | str | None,
    name: str,
    labels: str,
    reason: str,
) -> None:
    model = tmp_path / name
    if content is not None:
        model.write_bytes(content if isinstance(content, bytes) else shared(content).read_bytes())
    pictures = [tmp_path / "x.png"] if command == "detect" else []
    done = run(command, *pictures, "--model", model, "--labels", labels)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"nxai-inference: {model}: ")
    assert reason in done.stderr


def test_a_truncated_model_is_refused(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(shared(FOMO).read_bytes()[:20_000])
    done = run("inspect", "--model", model)
    assert done.returncode == 2
    said = "the TensorFlow Lite model is truncated or damaged (20000 bytes); download it again"
    assert done.stderr == f"nxai-inference: {model}: {said}\n"
    done = run("convert", model, tmp_path / "m.onnx")
    assert done.stderr == f"nxai-inference: {model}: {said}\n"


def test_a_file_where_a_folder_is_needed(run: Run, tmp_path: Path) -> None:
    picture = shared(f"golden/{golden(FOMO)[0]['image']}")
    save = tmp_path / "n.png"
    save.write_bytes(b"x")
    done = run("detect", picture, "--model", shared(FOMO), "--labels", "a,b", "--save", save)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{save}: this is a file; --save needs a folder" in done.stderr


def test_detectors_need_labels(run: Run) -> None:
    done = run("detect", "x.png", "--model", shared(FOMO))
    assert done.returncode == 2
    assert "the model has no labels; name 2 labels in tensor order" in done.stderr


def test_inspect_says_what_it_is() -> None:
    done = process("inspect", "--model", shared(NUT))
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert "task:          fomo" in text
    assert "labels:        class 0  (numbered: the file has no names; give --labels)" in text
    assert "input:         96x96x3\n" in text
    assert "StatefulPartitionedCall:0  int8 [1, 12, 12, 2]" in text
    assert "self-test:     passed" in text
    assert "litert: " in text
    assert "onnx:CPUExecutionProvider: " in text
    assert text.count("(used)") == 1


def test_inspect_as_json_says_why_an_engine_is_left_out(run: Run) -> None:
    (found,) = json_lines(
        run("inspect", "--model", shared(SSD), "--labels", "lamp,coffee", "--json")
    )
    assert found["task"] == "mobilenet-ssd"
    assert found["labels"] == ["lamp", "coffee"]
    assert found["engine"] == "litert"
    litert, runtime = found["engines"]
    assert litert["ms"] > 0
    assert runtime["ms"] is None
    assert "TFLite_Detection_PostProcess" in runtime["reason"]


def test_inspect_tells_what_is_assumed_from_what_is_said(run: Run, tmp_path: Path) -> None:
    text = run("inspect", "--model", shared(NUT), "--threshold", "0.25").stdout
    assumed = "(assumed: the file does not say; set"
    assert f"resize mode:   squash  {assumed} resize_mode, here --resize-mode)" in text
    assert f"input scaling: 0..1  {assumed} input_scaling, here --input-scaling)" in text
    assert "threshold:     0.25\n" in text
    assert text.count("assumed") == 2
    (tmp_path / "a.tflite").write_bytes(shared(NUT).read_bytes())
    (tmp_path / "manifest.json").write_text('{"labels": ["nut"], "resize_mode": "squash"}')
    (found,) = json_lines(run("inspect", "--model", tmp_path, "--json"))
    assert (found["resize_mode"], found["input_scaling"], found["threshold"]) == (
        "squash",
        "0..1",
        0.5,
    )
    assert found["assumed"] == ["input_scaling", "threshold"]


def test_a_misspelt_key_of_a_package_is_seen(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(shared(NUT).read_bytes())
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"labels": ["nut"], "resize_mod": "fit-short"}')
    done = run("inspect", "--model", tmp_path)
    said = f"{manifest}: unknown key 'resize_mod' is ignored; did you mean 'resize_mode'?"
    assert f"warning:       {said}\n" in done.stdout
    picture = shared(f"golden/{golden(FOMO)[0]['image']}")
    assert f"warning: {said}\n" in run("detect", picture, "--model", tmp_path).stderr


@pytest.mark.parametrize("labels", ["lamp", "lamp,coffee,cup"])
def test_the_labels_of_an_ssd_are_counted(run: Run, labels: str) -> None:
    done = run("inspect", "--model", shared(SSD), "--labels", labels)
    assert done.returncode == 2
    assert f"labels are given ({labels.replace(',', ', ')})" in done.stderr
    assert "of a mobilenet-ssd model with 2" in done.stderr


def test_an_ssd_says_how_many_labels_it_has(run: Run) -> None:
    done = run("detect", "x.png", "--model", shared(SSD))
    assert done.returncode == 2
    assert "the model has no labels; name 2 labels in tensor order" in done.stderr
    (found,) = json_lines(run("inspect", "--model", shared(SSD), "--json"))
    assert (found["labels"], found["labels_are_named"]) == (["class 0", "class 1"], False)


def test_a_detector_that_does_not_say_how_many_labels_it_has(run: Run, tmp_path: Path) -> None:
    shapes = {"scores": (1, 4), "boxes": (1, 4, 4), "count": (1,), "classes": (1, 4)}
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"{name} in"], [name]) for name in shapes],
        "main",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        [numpy_helper.from_array(np.zeros(s, np.float32), f"{n} in") for n, s in shapes.items()],
    )
    model = tmp_path / "ssd.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), model
    )
    done = run("inspect", "--model", model)
    assert done.returncode == 0, done.stderr
    assert "labels:        unknown  (the file does not say how many; give --labels)" in done.stdout
    (found,) = json_lines(run("inspect", "--model", model, "--json"))
    assert (found["labels"], found["labels_are_named"]) == ([], False)


def test_convert(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "nut.onnx"
    done = run("convert", shared(NUT), target)
    assert done.returncode == 0, done.stderr
    onnx.checker.check_model(str(target), full_check=True)
    (found,) = json_lines(run("inspect", "--model", target, "--labels", "m5_nut", "--json"))
    assert found["task"] == "fomo"
    assert found["outputs"][0]["scale"] == 0.00390625
    assert found["outputs"][0]["zero_point"] == -128


def test_convert_refuses_by_name(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "ssd.onnx"
    done = run("convert", shared(SSD), target)
    assert done.returncode == 2
    assert "custom operator TFLite_Detection_PostProcess (index 156" in done.stderr
    assert not target.exists()
    onnx_file = tmp_path / "x.onnx"
    onnx_file.write_bytes(b"x")
    done = run("convert", onnx_file, target)
    assert (done.returncode, "only .tflite files" in done.stderr) == (2, True)
    done = run("convert", shared(NUT), tmp_path / "no" / "such.onnx")
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True)


@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
def test_convert_never_overwrites_the_model(run: Run, tmp_path: Path, link: str) -> None:
    source = tmp_path / "a.onnx"  # a .tflite file by its content, whatever its name
    source.write_bytes(shared(NUT).read_bytes())
    target = tmp_path / "b.onnx" if link else source
    if link == "symbolic":
        target.symlink_to(source)
    elif link == "hard":
        target.hardlink_to(source)
    done = run("convert", source, target)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{target}: this is the model itself ({source})" in done.stderr
    assert source.read_bytes() == target.read_bytes() == shared(NUT).read_bytes()


@pytest.mark.parametrize("name", ["a.tflite", "b.tflite", "b", "b.bin"])
def test_convert_writes_only_onnx_files(run: Run, tmp_path: Path, name: str) -> None:
    source = tmp_path / "a.tflite"
    source.write_bytes(shared(NUT).read_bytes())
    done = run("convert", source, tmp_path / name)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path / name}: the converted model is an ONNX file" in done.stderr
    assert "ends in .onnx" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.tflite"]
    assert source.read_bytes() == shared(NUT).read_bytes()


def test_package_and_use_it(run: Run, tmp_path: Path) -> None:
    done = run("package", shared(NUT), "--id", "m5-nut", "--labels", "m5_nut", "--to", tmp_path,
               "--resize-mode", "fit-short", "--threshold", "0.4")  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "m5-nut" / "manifest.json").read_text())
    assert manifest["labels"] == ["m5_nut"]
    assert manifest["resize_mode"] == "fit-short"
    assert manifest["threshold"] == 0.4
    photograph = shared("media/conveyor-photographs/empty.bmp")
    (line,) = json_lines(run("detect", photograph, "--model", tmp_path / "m5-nut", "--json"))
    assert line["detections"] == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--id", "M5 Nut", "--labels", "m5_nut"), "model id 'M5 Nut' cannot be used in a topic"),
        (("--id", "m5-nut", "--labels", "a,b"), "2 labels are given (a, b)"),
    ],
)
def test_package_refuses_what_would_not_run(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    done = run("package", shared(NUT), *arguments, "--to", tmp_path)
    assert done.returncode == 2
    assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--threshold", "abc", "'abc' is not a number between 0 and 1"),
        ("--threshold", "1.5", "'1.5' is not a number between 0 and 1"),
        ("--threshold", "nan", "'nan' is not a number between 0 and 1"),
        (
            "--resize-mode",
            "fitshort",
            r"'fitshort' \(choose from '?squash'?, '?fit-short'?, '?fit-l",
        ),
        ("--input-scaling", "0-1", r"'0-1' \(choose from '?0\.\.1'?, '?-1\.\.1'?, "),
        ("--task", "yolo", r"'yolo' \(choose from '?fomo'?, '?yolov5'?, "),
        ("--engine", "tflite", r"'tflite' \(choose from '?auto'?, '?onnx'?, '?litert'?\)"),
    ],
)
def test_a_wrong_option_is_answered_with_what_can_be_typed(
    run: Run, option: str, value: str, said: str
) -> None:
    done = run("inspect", "--model", "m.tflite", option, value)
    assert done.returncode == 2
    assert re.search(f"error: argument {option}: .*{said}", done.stderr)


def test_an_input_scaling_with_a_minus(run: Run) -> None:
    done = run("inspect", "--model", shared(NUT), "--input-scaling=-1..1")
    assert "input scaling: -1..1\n" in done.stdout


@pytest.mark.parametrize("command", ["detect", "inspect", "package"])
def test_every_option_has_a_help_text(run: Run, command: str) -> None:
    listed = run(command, "--help").stdout.split("options:\n")[1]
    entries = re.split(r"^  (?=-)", listed, flags=re.MULTILINE)[1:]
    assert len(entries) > 6
    for entry in entries:
        # The text stands behind two spaces, or on the next line.
        assert re.search(r"\S(  +|\n +)\S", entry), f"no help: {entry}"


def test_a_missing_provider_is_a_warning(run: Run) -> None:
    picture = shared(f"golden/{golden(FOMO)[0]['image']}")
    done = run("detect", picture, "--model", shared(FOMO), "--labels", "beer,can",
               "--engine", "onnx", "--provider", "openvino")  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.startswith("nxai-inference: warning: OpenVINOExecutionProvider is not part")
