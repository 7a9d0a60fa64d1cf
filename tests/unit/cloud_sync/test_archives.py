"""What Edge Impulse's archives say, in the forms of all years, and in forms that nobody knows."""

import re
import time
from dataclasses import replace
from typing import Any

import pytest

from nxai_cloud_sync.core.archives import (
    LONGEST_LABEL,
    MAX_LABELS,
    Contents,
    look_through,
    only,
    read_array,
    read_export,
    read_labels,
)
from nxai_cloud_sync.core.catalogue import Origin
from nxai_cloud_sync.core.importing import Stated
from nxai_common.contracts.models import InputScaling, ResizeMode, Task
from nxai_common.errors import RejectedError
from support.archives import Export, Form, c_array, openmv
from support.models_for_import import noise

MODEL = noise(1, 500)
EXPORT = Export()


def read(export: Export) -> Stated:
    return read_export(export.metadata(), export.variables())


# -- which files matter ---------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "src/", "beers_inferencing/src/"])
@pytest.mark.parametrize("form", ["file", "array"])
def test_a_library_is_known_by_its_folders(folder: str, form: Form) -> None:
    found = look_through(list(EXPORT.library(MODEL, form, folder)))
    stem = f"{folder}tflite-model/{EXPORT.stem}"
    assert found == Contents(
        models=(f"{stem}.tflite",) if form == "file" else (),
        sources=(f"{stem}.h",),
        metadata=f"{folder}model-parameters/model_metadata.h",
        variables=f"{folder}model-parameters/model_variables.h",
    )


def test_a_library_may_lack_one_of_its_headers() -> None:
    names = [name for name in EXPORT.library(MODEL) if not name.endswith("variables.h")]
    assert look_through(names).variables == ""
    assert look_through(names).metadata == "model-parameters/model_metadata.h"


def test_a_compiled_library_has_no_model() -> None:
    with pytest.raises(RejectedError, match=r"EON Compiler.*engine 'TensorFlow Lite'"):
        look_through(list(EXPORT.library(MODEL, "eon")))


def test_a_library_for_a_chip_has_no_model() -> None:
    names = ["model-parameters/model_metadata.h", "Model/network.c"]
    with pytest.raises(RejectedError, match=r"tflite-model has no model file.*one kind of chip"):
        look_through(names)


def test_openmv_and_loose_models() -> None:
    assert look_through(list(openmv(MODEL, ["a"]))) == Contents(
        models=("trained.tflite",), labels="labels.txt", detects=True
    )
    assert look_through(list(openmv(MODEL, ["a"], detects=False))).detects is False
    assert look_through(["a/b/model.LITE"]) == Contents(models=("a/b/model.LITE",))


def test_a_package_comes_before_all_else() -> None:
    names = [*EXPORT.library(MODEL), "beers/manifest.json", "beers/model.onnx", "manifest.json"]
    assert look_through(names) == Contents(
        models=("beers/model.onnx",), manifest="beers/manifest.json"
    )


def test_what_the_finder_of_a_mac_adds_is_passed_over() -> None:
    names = ["__MACOSX/._trained.tflite", "trained.tflite", "folder/"]
    assert look_through(names).models == ("trained.tflite",)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["model.eim"], "executable"),
        (["inner.zip", "readme.txt"], "another archive in it .inner.zip."),
        (["saved_model/saved_model.pb"], "SavedModel"),
        ([f"{n}.txt" for n in range(9)], "it has: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt;"),
        ([], "it has: nothing"),
        (["folder/"], "it has: nothing"),
    ],
)
def test_what_has_no_model_says_what_to_choose(names: list[str], said: str) -> None:
    with pytest.raises(RejectedError, match=f"{said}.*Dashboard|{said}.*unpack it"):
        look_through(names)


def test_one_model_is_taken_or_the_preferred_one() -> None:
    assert only(["a/x.tflite"]) == "a/x.tflite"
    assert only(["b.tflite", "a/trained.tflite"], "trained.tflite") == "a/trained.tflite"
    with pytest.raises(RejectedError, match=r"2 model files \(a.tflite, b.lite\)"):
        only(["a.tflite", "b.lite"], "trained.tflite")
    with pytest.raises(RejectedError, match="2 model files"):
        only(["a/trained.tflite", "b/trained.tflite"], "trained.tflite")


# -- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "detects", "labels"),
    [
        ("beer\ncan\n", True, ("beer", "can")),
        ("\ufeffbeer\r\n can \r\n\r\n", None, ("beer", "can")),
        ("background\nbeer\ncan", True, ("beer", "can")),
        ("Background\nbeer", None, ("beer",)),
        ("background\nbeer", False, ("background", "beer")),
        ("background", True, ("background",)),
    ],
)
def test_labels_stand_one_a_line(text: str, detects: bool | None, labels: tuple[str, ...]) -> None:
    stated = read_labels(text, detects=detects)
    assert stated.labels == labels
    assert bool(stated.notes) == (len(labels) < len(text.split()))


@pytest.mark.parametrize("text", ["", " \n\n", "a\n\nb", "x" * (LONGEST_LABEL + 1)])
def test_a_text_that_is_no_list_of_labels(text: str) -> None:
    with pytest.raises(RejectedError, match="labels is"):
        read_labels(text, detects=True)
    with pytest.raises(RejectedError, match="more than"):
        read_labels("x\n" * (MAX_LABELS + 1), detects=True)


# -- headers --------------------------------------------------------------------------------------


def test_a_library_says_nearly_all() -> None:
    assert read(EXPORT) == Stated(
        title="Beers vs cans",
        labels=("beer", "can"),
        task=Task.FOMO,
        width=96,
        height=96,
        resize_mode=ResizeMode.FIT_SHORT,
        input_scaling=InputScaling.ZERO_TO_ONE,
        threshold=0.55,
        nms_iou=0.2,
        version="deployment 56",
        source="Edge Impulse project Beers vs cans (89078), deployment 56",
        origin=Origin(project=89078, project_name="Beers vs cans", artefact="float32"),
    )


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"resize_mode": "FIT_LONGEST"}, "resize_mode", ResizeMode.FIT_LONG),
        ({"resize_mode": "SQUASH"}, "resize_mode", ResizeMode.SQUASH),
        ({"resize_mode": "NONE"}, "resize_mode", ResizeMode.SQUASH),
        ({"last_layer": "YOLOV5"}, "task", Task.YOLOV5),
        ({"last_layer": "YOLOV5_V5_DRPAI"}, "task", Task.YOLOV5_V5),
        ({"last_layer": "SSD"}, "task", Task.MOBILENET_SSD),
        ({"last_layer": "UNKNOWN"}, "task", None),
        ({"detects": False, "last_layer": "UNKNOWN"}, "task", Task.CLASSIFICATION),
        ({"scaling": "TORCH"}, "input_scaling", InputScaling.TORCH),
        ({"scaling": "MIN128_127"}, "input_scaling", InputScaling.MINUS_128_TO_127),
        ({"scaling": "MIN1_1"}, "input_scaling", InputScaling.MINUS_ONE_TO_ONE),
        ({"scaling": "0_255"}, "input_scaling", InputScaling.ZERO_TO_255),
        (
            {"scaling": "BGR_SUBTRACT_IMAGENET_MEAN"},
            "input_scaling",
            InputScaling.BGR_SUBTRACT_IMAGENET_MEAN,
        ),
        ({"labels": ["Größe", 'a "b"'.replace('"', '\\"')]}, "labels", ("Größe", 'a "b"')),
        ({"labels": ["a\\nb", "c, d } e"]}, "labels", ("a\nb", "c, d } e")),
        ({"datatype": "INT8"}, "origin", replace(read(EXPORT).origin, artefact="int8")),
        ({"datatype": "UINT8"}, "origin", replace(read(EXPORT).origin, artefact="int8")),
        ({"datatype": "BFLOAT"}, "origin", replace(read(EXPORT).origin, artefact="")),
    ],
)
def test_each_thing_that_is_said(change: dict[str, Any], name: str, value: object) -> None:
    assert getattr(read(replace(EXPORT, **change)), name) == value


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"resize_mode": None}, "how pictures are resized"),
        ({"resize_mode": "OF_TOMORROW"}, "how pictures are resized"),
        ({"threshold": None}, "threshold"),
        ({"scaling": None}, "how pixels are scaled"),
        ({"scaling": "OF_TOMORROW"}, "how pixels are scaled"),
        ({"labels": []}, "labels"),
    ],
)
def test_what_is_not_said_is_told(change: dict[str, Any], note: str) -> None:
    (told,) = read(replace(EXPORT, **change)).notes
    assert note in told
    assert read(EXPORT).notes == ()


def test_a_classifier_needs_no_threshold() -> None:
    classifier = replace(EXPORT, detects=False, last_layer="UNKNOWN", threshold=None)
    assert read(classifier).notes == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sensor": "MICROPHONE"}, "another kind of sensor .*MICROPHONE"),
        ({"frames": 4}, "several pictures"),
        ({"visual_anomaly": 1}, "visual anomalies"),
        ({"last_layer": "YOLOX"}, "kind YOLOX; FOMO"),
    ],
)
def test_what_cannot_be_run_here_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        read(replace(EXPORT, **change))


def test_headers_of_2021_say_less() -> None:
    metadata = """\
#define EI_CLASSIFIER_PROJECT_ID                 1
#define EI_CLASSIFIER_INPUT_WIDTH                48
#define EI_CLASSIFIER_INPUT_HEIGHT               (48)
#define EI_CLASSIFIER_OBJECT_DETECTION_THRESHOLD 0.5
"""
    variables = """\
const char* ei_classifier_inferencing_categories[] = {
    "face"
};
    .project_name = "Face detection",
    .object_detection_threshold = 0,
    .object_detection_last_layer = EI_CLASSIFIER_LAST_LAYER_FOMO,
"""
    stated = read_export(metadata, variables)
    assert (stated.labels, stated.task, stated.threshold) == (("face",), Task.FOMO, 0.5)
    assert (stated.width, stated.height, stated.title) == (48, 48, "Face detection")
    assert (stated.version, stated.source) == ("", "Edge Impulse project Face detection (1)")
    assert len(stated.notes) == 2


def test_headers_that_say_nothing() -> None:
    stated = read_export("", "")
    assert stated == Stated(source="Edge Impulse", notes=stated.notes)
    assert len(stated.notes) == 4


def test_numbers_that_are_none_are_not_known() -> None:
    metadata = EXPORT.metadata().replace("_WIDTH                96", "_WIDTH SIDE")
    variables = EXPORT.variables().replace("= 0.55,", "= 55,").replace("0.2f", "2.0f")
    stated = read_export(metadata.replace("0.55", "(0.25f)"), variables)
    assert (stated.width, stated.threshold, stated.nms_iou) == (0, 0.25, None)


def test_too_many_labels_are_refused() -> None:
    with pytest.raises(RejectedError, match="more than"):
        read(replace(EXPORT, labels=["x"] * (MAX_LABELS + 1)))


# -- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 11, 12, 100_000])
def test_a_model_is_read_from_a_c_array(size: int) -> None:
    assert read_array(c_array("tflite_learn_5", noise(2, size)), "x.h") == noise(2, size)


@pytest.mark.parametrize(
    "text",
    [
        "const unsigned char trained_tflite[] = {0x1c,0,0,0,0x54,0x46,0x4c,0x33,0X7F, 127 ,\n1,};",
        "unsigned char a[10] = {28, 0, 0, 0, 84, 70, 76, 51, 127, 127, 1};",
    ],
)
def test_arrays_of_other_writers_are_read(text: str) -> None:
    assert read_array(text.encode(), "x.h") == b"\x1c\0\0\0TFL3\x7f\x7f\x01"


def test_a_source_without_a_model_has_none() -> None:
    other = b"const int32_t tensor_data2[2] = { 45004, -48449, };\nint x = {1};"
    assert read_array(other, "x.cpp") is None
    assert read_array(b"", "x.cpp") is None
    assert read_array(other * 500 + c_array("a", MODEL), "x.cpp") is None  # far too many arrays


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (c_array("a", MODEL)[:1500], "cut off within its array"),
        (c_array("a", MODEL).replace(b", 0x54", b"} 0x54", 1), "damaged at the beginning"),
        (c_array("a", MODEL).replace(b"_len = 508", b"_len = 509"), "508 bytes.* 509"),
        (c_array("a", MODEL) + c_array("b", MODEL), "2 models"),
        (c_array("a", MODEL).replace(b"0x33,", b"0x33, 0x100,"), "not written as Edge Impulse"),
        (c_array("a", MODEL).replace(b"0x33,", b"0x33, 0xzz,"), "not written as Edge Impulse"),
        (c_array("a", MODEL).replace(b"0x33,", b"0x33, 0x\xe4\xe4,"), "not written as Edge"),
        (c_array("a", MODEL).replace(b"0x33,", b"0x33, -1,"), "not written as Edge Impulse"),
        (b"a[] = {0x1c,0,0,0,84,70,76,51" + b",0" * 5_000_000 + b"}", "not written as Edge"),
    ],
)
def test_a_damaged_array_is_refused(source: bytes, reason: str) -> None:
    with pytest.raises(RejectedError, match=f"^x.h holds? .*{reason}|^x.h .*{reason}"):
        read_array(source, "x.h")


# -- texts that were made to hang a reader --------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        " " * 2_000_000,
        "\n" * 2_000_000,
        "#define EI_A " * 150_000,
        "#" + " " * 2_000_000,
        'ei_classifier_inferencing_categories[] = {"' + "x" * 2_000_000,
        "ei_classifier_inferencing_categories[" * 50_000,
        "ei_classifier_inferencing_categories" + " " * 2_000_000,
        '.project_name = "' * 100_000,
        "9" * 2_000_000,
        "." * 2_000_000,
        ".threshold = " + "1" * 2_000_000,
        ".threshold = 1.0f    " * 80_000,
        '"' + "\\" * 2_000_000,
        "EI_CLASSIFIER_IMAGE_SCALING_" * 70_000,
    ],
    ids=lambda text: re.sub(r"\s+", " ", text[:30]),
)
def test_no_text_is_searched_for_long(text: str) -> None:
    began = time.monotonic()
    read_export(text, text)
    assert time.monotonic() - began < 20  # a second at most on an idle machine


@pytest.mark.parametrize("text", [b"{", b"{0", b"{ ", b"a", b"0x1c, ", b"a[]={"])
def test_no_source_is_searched_for_long(text: bytes) -> None:
    began = time.monotonic()
    assert read_array(text * (20_000_000 // len(text)), "x.cpp") is None
    assert time.monotonic() - began < 20
