"""From what a project or a file says of a model to its package and its record."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_cloud_sync.core.catalogue import CatalogueVersion, Origin, VersionState
from nxai_cloud_sync.core.importing import (
    MOST_UNANSWERED,
    Again,
    Stated,
    again,
    changes,
    check_against,
    choose_model,
    describe,
    manifest_of,
    model_format,
    model_id,
    over,
    passed,
    refused,
    said,
    stated_by,
    trained_or_refused,
    unanswered,
    version_of,
    version_text,
    with_the_persons_words,
    with_the_test_of,
)
from nxai_cloud_sync.core.project import Metric
from nxai_common.contracts.commands import ImportModel
from nxai_common.contracts.models import InputScaling, PackageManifest, ResizeMode, Task
from nxai_common.contracts.topics import check_level
from nxai_common.errors import ConfigurationError, RejectedError
from support.models_for_import import (
    IMPULSE,
    PROJECT,
    SELECTION,
    model_manifest,
    trained,
    version,
)

STATED = describe(PROJECT, SELECTION, trained(), "float32")


def record(stated: Stated = STATED, **rest: Any) -> CatalogueVersion:
    made = version_of(stated, model="beers", digest="a" * 64, size=48392, now_us=7)
    return replace(made, **rest)


# -- from a project -----------------------------------------------------------------------------


def test_what_a_project_says_becomes_a_package_and_a_record() -> None:
    model = trained(
        variant="FOMO 0.1",
        metrics=(Metric("f1", 0.91, "float32"), Metric("f1", 0.8, "int8")),
        threshold=0.55,
    )
    stated = describe(PROJECT, SELECTION, model, "float32")
    assert manifest_of(stated) == PackageManifest(
        name="Beers vs cans",
        labels=("beer", "can"),
        task=Task.FOMO,
        resize_mode=ResizeMode.FIT_SHORT,
        input_scaling=InputScaling.ZERO_TO_ONE,
        threshold=0.55,
        version="2026-11-28 14:02",
        source="Edge Impulse project Beers vs cans (89078)",
    )
    made = record(stated)
    assert made.origin == Origin(
        89078, "Beers vs cans", 1, 3, "2026-11-28T14:02:31.000Z", "float32"
    )
    assert (made.state, made.channels, made.width, made.height) == (VersionState.FETCHED, 0, 96, 96)
    assert (made.metrics, made.variant, made.threshold) == ((("f1", 0.91),), "FOMO 0.1", 0.55)
    assert made.resize_mode == "fit-short"


def test_how_pictures_are_prepared_otherwise_here_is_told() -> None:
    impulse = replace(IMPULSE, warnings=("crops at top-left",))
    stated = describe(PROJECT, replace(SELECTION, impulse=impulse), trained(), "float32")
    assert record(stated).notes == ("crops at top-left",)


def test_an_untrained_project_says_what_to_do() -> None:
    with pytest.raises(RejectedError, match="no trained model yet: train it in Studio"):
        trained_or_refused(None, SELECTION)


def test_an_impulse_that_was_edited_has_to_be_trained_again() -> None:
    with pytest.raises(RejectedError, match="changed after its last training"):
        trained_or_refused(trained(available=("requiresRetrain",)), SELECTION)
    assert trained_or_refused(trained(), SELECTION) == trained()


@pytest.mark.parametrize(
    ("created", "artefact", "text"),
    [
        ("2026-11-28T14:02:31.000Z", "float32", "2026-11-28 14:02"),
        ("2026-11-28T23:30:00+02:00", "float32", "2026-11-28 21:30"),
        ("2026-11-28T14:02:31", "int8", "2026-11-28 14:02 int8"),
        ("", "float32", ""),
        ("", "int8", "int8"),
        ("last week", "float32", "last week"),
        ("x" * 100, "float32", "x" * 40),
        ("0001-01-01T00:00:00+14:00", "float32", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_version_is_named_by_its_training(created: str, artefact: str, text: str) -> None:
    assert version_text(created, artefact) == text


# -- from a person ------------------------------------------------------------------------------


def test_what_a_person_says_stands_over_what_a_file_says() -> None:
    found = Stated(labels=("a", "b"), task=Task.FOMO, threshold=0.5, title="found", width=96)
    command = ImportModel(file="x", labels=("c", "d"), threshold=0.0, title="mine")
    both = over(found, said(command))
    assert (both.labels, both.title, both.threshold) == (("c", "d"), "mine", 0.0)
    assert (both.task, both.width) == (Task.FOMO, 96)


def test_a_package_says_what_its_manifest_says() -> None:
    manifest = manifest_of(replace(STATED, nms_iou=0.3))
    assert manifest_of(stated_by(manifest)) == manifest


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("Beer & Can", "beer-can"),
        ("Flaschenzähler Größe", "flaschenzahler-groe"),
        ("检测", "model"),
        ("", "model"),
        ("  --_", "model"),
        ("x" * 200, "x" * 48),
        ("a" * 47 + "--b", "a" * 47),
        ("v1.2 (final)", "v1-2-final"),
    ],
)
def test_a_model_is_named_by_its_project(name: str, level: str) -> None:
    assert model_id(name, ()) == level


@given(st.text(max_size=80), st.sets(st.sampled_from(["model", "model-2", "a", "a-2", "b"])))
def test_a_name_is_a_topic_level_that_nobody_has(name: str, taken: set[str]) -> None:
    level = model_id(name, taken)
    assert level not in taken
    assert check_level(level, "model") == level


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert model_id("Beer", {"beer", "beer-2"}) == "beer-3"


def test_a_project_keeps_the_name_of_its_models() -> None:
    there = version(model="old-name", origin=STATED.origin)
    assert choose_model(None, STATED, [there], (), "x") == "old-name"
    library = Stated(title="Beers vs cans", origin=Origin(project=89078))
    assert choose_model(None, library, [there], (), "x") == "old-name"


@pytest.mark.parametrize(
    "origin", [replace(STATED.origin, learn_block=9), Origin(), Origin(project=5)]
)
def test_another_block_or_project_gets_a_name_of_its_own(origin: Origin) -> None:
    there = version(model="beers-vs-cans", origin=STATED.origin)
    assert choose_model(None, replace(STATED, origin=origin), [there], (), "x") == "beers-vs-cans-2"


def test_a_wanted_name_is_taken_unless_the_settings_have_it() -> None:
    assert choose_model("mine", STATED, [], ("other",), "x") == "mine"
    with pytest.raises(ConfigurationError, match="'mine' is in the settings"):
        choose_model("mine", STATED, [], ("mine",), "x")


def test_a_name_of_the_settings_is_not_taken() -> None:
    assert choose_model(None, STATED, [], ("beers-vs-cans",), "x") == "beers-vs-cans-2"
    assert choose_model(None, Stated(), [], (), "abcd") == "abcd"


def test_a_damaged_record_gives_no_name() -> None:
    there = version(model="", origin=STATED.origin)
    assert choose_model(None, STATED, [there], (), "x") == "beers-vs-cans"


def test_what_a_person_called_a_version_stays() -> None:
    before = version(title="Dosen", documentation="am Band")
    after = with_the_persons_words(record(), before, "Beers vs cans")
    assert (after.title, after.documentation) == ("Dosen", "am Band")
    as_given = replace(before, title="Beers vs cans")
    renamed = record(title="The project's new name")
    assert with_the_persons_words(renamed, as_given, "Beers vs cans").title == renamed.title
    assert with_the_persons_words(record(), None, "") == record()


# -- the file -----------------------------------------------------------------------------------


def test_models_are_known_by_their_bytes() -> None:
    assert model_format(b"\x1c\0\0\0TFL3rest", "x") == "tflite"
    assert model_format(b"\x08\x08\x12\x07pytorch", "x") == "onnx"


@pytest.mark.parametrize(
    ("head", "said_of_it"),
    [
        (b"\n <!DOCTYPE html><html>", "web page"),
        (b"\x7fELF\x02", r"executable \(.eim\)"),
        (b"\xcf\xfa\xed\xfe", "macOS"),
        (b"PK\x03\x04", "zip"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x89HDF\r\n", "Keras"),
        (b"\x93NUMPY", "NumPy"),
        (b'{"success": false}', "JSON"),
        (b"", "empty"),
        (b"\x08", "begins with 08"),
        (b"\x08\x20", "begins with 08 20"),
        (b"\xff\xd8\xff\xe0JFIF", "begins with ff d8 ff e0"),
    ],
)
def test_what_is_no_model_is_called_by_its_name(head: bytes, said_of_it: str) -> None:
    with pytest.raises(RejectedError, match=f"^model.bin (is|is .*|is neither.*) ?{said_of_it}"):
        model_format(head, "model.bin")


# -- once more ----------------------------------------------------------------------------------

READY = passed(record(), model_manifest())
MANIFEST = manifest_of(STATED)


def test_the_same_again_needs_nothing() -> None:
    with_file = MANIFEST.model_copy(update={"file": "model-a.tflite", "digest": "a" * 64})
    assert again((READY, with_file), (record(), MANIFEST)) is Again.NOTHING


def test_another_date_of_the_same_file_changes_the_record_alone() -> None:
    later = replace(STATED.origin, created_at="2026-11-29T10:00:00Z")
    assert again((READY, MANIFEST), (record(origin=later), MANIFEST)) is Again.RECORD
    renamed = MANIFEST.model_copy(update={"version": "another"})
    assert again((READY, MANIFEST), (record(), renamed)) is Again.RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ("beer", "tin")},
        {"task": Task.YOLOV5},
        {"resize_mode": ResizeMode.SQUASH},
        {"input_scaling": InputScaling.TORCH},
        {"threshold": 0.6},
        {"nms_iou": 0.4},
    ],
)
def test_what_a_test_depends_on_is_tested_again(change: dict[str, Any]) -> None:
    changed = MANIFEST.model_copy(update=change)
    assert again((READY, MANIFEST), (record(), changed)) is Again.TEST


def test_another_size_or_an_untested_one_is_tested() -> None:
    assert again((READY, MANIFEST), (record(width=160), MANIFEST)) is Again.TEST
    assert again((READY, MANIFEST), (record(width=0, height=0), MANIFEST)) is Again.NOTHING
    untested = refused(READY, "why")
    assert again((untested, MANIFEST), (record(), MANIFEST)) is Again.TEST


def test_what_was_found_out_of_a_file_stays() -> None:
    later = record(origin=replace(STATED.origin, created_at="2026-11-29T10:00:00Z"))
    kept = with_the_test_of(later, READY)
    assert kept == replace(READY, origin=later.origin)


# -- after the test -----------------------------------------------------------------------------


def test_a_model_that_is_what_was_said_passes() -> None:
    check_against(record(), model_manifest())
    check_against(
        record(Stated()), model_manifest(labels=("x",), width=5, task=Task.CLASSIFICATION)
    )


@pytest.mark.parametrize(
    ("manifest", "both"),
    [
        ({"width": 160, "height": 120}, "96x96 .* 160x120"),
        ({"height": 120}, "96x96 .* 96x120"),
        ({"labels": ("beer", "can", "tin")}, r"2 labels .*beer, can.* has 3 \(beer, can, tin\)"),
        ({"task": Task.YOLOV5}, "fomo is stated, but the model is yolov5"),
        ({"digest": "b" * 64}, "aaaaaaaaaaaa was to be tested, but bbbbbbbbbbbb was"),
    ],
)
def test_a_difference_is_told_with_both_values(manifest: dict[str, Any], both: str) -> None:
    with pytest.raises(RejectedError, match=f"{both}.*; train the impulse again"):
        check_against(record(), model_manifest(**manifest))


def test_all_differences_of_a_file_are_told() -> None:
    stated = replace(STATED, origin=Origin())
    with pytest.raises(RejectedError, match=r"reads 160x160; fomo is stated, .* yolov5$"):
        check_against(record(stated), model_manifest(width=160, height=160, task=Task.YOLOV5))


def test_what_the_test_found_is_kept() -> None:
    ready = passed(record(Stated()), model_manifest(), (("litert", 0.2),), ("they disagree",))
    assert (ready.labels, ready.task, ready.width, ready.channels) == (
        ("beer", "can"),
        "fomo",
        96,
        1,
    )
    assert (ready.state, ready.engine, ready.engine_ms) == (VersionState.READY, "litert", 0.17)
    assert (ready.trials, ready.warnings) == ((("litert", 0.2),), ("they disagree",))


def test_silence_is_forgiven_twice() -> None:
    waiting = record()
    for times in range(1, MOST_UNANSWERED):
        waiting = unanswered(waiting)
        assert (waiting.state, waiting.unanswered) == (VersionState.FETCHED, times)
    given_up = unanswered(waiting)
    assert given_up.state is VersionState.REFUSED
    assert "fell silent 3 times" in given_up.reason


# -- against the version before -----------------------------------------------------------------


def test_the_first_version_changes_nothing() -> None:
    assert changes(None, version()).text == ""
    assert changes(version(), version("b" * 64)) == changes(None, version())


@pytest.mark.parametrize(
    ("change", "text", "compatible"),
    [
        ({"labels": ("beer", "can", "cork")}, "label 'cork' is new", False),
        ({"labels": ("beer",)}, "label 'can' is gone", False),
        (
            {"labels": ("cork", "tin")},
            "labels 'cork', 'tin' are new; labels 'beer', 'can' are gone",
            False,
        ),
        ({"labels": ("can", "beer")}, "the labels are in another order: can, beer", True),
        ({"width": 160, "height": 160}, "input: 96x96x1 -> 160x160x1", True),
        ({"channels": 3}, "input: 96x96x1 -> 96x96x3", True),
        ({"task": "yolov5"}, "task: fomo -> yolov5", False),
        ({"threshold": 0.6}, "threshold: as the box says -> 0.6", True),
        ({"resize_mode": "fit-long"}, "resize mode: squash -> fit-long", True),
        ({"resize_mode": "squash"}, "", True),
    ],
)
def test_changes_are_told(change: dict[str, Any], text: str, compatible: bool) -> None:
    found = changes(version(), version("b" * 64, **change))
    assert (found.text, found.compatible) == (text, compatible)
