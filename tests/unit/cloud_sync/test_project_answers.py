"""Studio's JSON, whole, with more in it, with less in it, and with other things in it."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_cloud_sync.core import project_answers as answers
from nxai_cloud_sync.core.project import (
    BlockKind,
    KeyInfo,
    LogLine,
    Metric,
    ProjectInfo,
    Role,
    TrainingJob,
    TrainingState,
)
from nxai_common.contracts.models import InputScaling, ResizeMode, Task
from nxai_common.errors import CloudRejected

ASKED = "GET /api/1/thing"

# -- key and project ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "read"),
    [
        ("admin", Role.ADMIN),
        ("readonly", Role.READ_ONLY),
        ("ingestiononly", Role.INGESTION_ONLY),
        ("ingestion_deployment", Role.INGESTION_DEPLOYMENT),
        ("of a later version", Role.UNKNOWN),
    ],
)
def test_key_info(role: str, read: Role) -> None:
    answer = {"success": True, "apiKeyId": 4, "projectId": 12, "role": role, "expires": "2027"}
    assert answers.key_info(answer, ASKED) == KeyInfo(12, read)


def test_key_info_of_an_older_server_is_its_one_project() -> None:
    one = {"projects": [{"id": 12, "name": "Parcels", "labelingMethod": "object_detection"}]}
    assert answers.key_info_of_projects(one, ASKED) == KeyInfo(12, Role.UNKNOWN)


@pytest.mark.parametrize("count", [0, 2])
def test_a_key_that_is_not_one_projects_is_refused(count: int) -> None:
    projects = [{"id": number, "name": f"P{number}"} for number in range(count)]
    with pytest.raises(CloudRejected, match=f"shows {count} projects"):
        answers.key_info_of_projects({"projects": projects}, ASKED)


def test_project() -> None:
    answer = {
        "project": {"id": 12, "name": "Parcels", "description": "d", "owner": "o", "tier": "x"},
        "computeTime": {"timeLeftMs": 1_200_000.5, "timeUsedMs": 3},
        "performance": {"jobLimitM": 20, "gpu": False},
        "studioUrl": "https://studio/12",
    }
    assert answers.project(answer, ASKED) == ProjectInfo(
        12, "Parcels", "d", "o", 1_200_000, 20, "https://studio/12"
    )


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"computeTime": None, "performance": None, "studioUrl": None},
        {"computeTime": {}, "performance": {"jobLimitM": None}},
        {"computeTime": {"timeLeftMs": float("inf")}},
    ],
)
def test_project_needs_no_more_than_its_name(more: dict[str, Any]) -> None:
    answer = {"project": {"id": 12, "name": "Parcels", "description": None}, **more}
    assert answers.project(answer, ASKED) == ProjectInfo(12, "Parcels")


def test_public_project() -> None:
    answer = {"id": 12, "name": "Parcels", "owner": "o", "studioUrl": "u", "viewCount": 0}
    assert answers.public_project(answer, ASKED) == ProjectInfo(
        12, "Parcels", owner="o", studio_url="u"
    )


def test_last_modification_changes_with_either_date() -> None:
    dates = [
        {"lastModificationDate": "a"},
        {"lastModificationDate": "b"},
        {"lastModificationDate": "b", "lastVersionDate": "c"},
        {"lastVersionDate": "c"},
    ]
    read = [answers.last_modification(each, ASKED) for each in dates]
    assert len(set(read)) == len(dates)
    with pytest.raises(CloudRejected, match="GET /api/1/thing lacks lastModificationDate"):
        answers.last_modification({}, ASKED)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"success": True}, r"GET /api/1/thing.*projectId: Field required"),
        ({"projectId": "box"}, r"projectId.*valid integer.*'box'"),
        ([], "valid dictionary"),
        (None, "valid dictionary"),
    ],
)
def test_what_is_missing_is_named(answer: object, says: str) -> None:
    with pytest.raises(CloudRejected, match=says):
        answers.key_info(answer, ASKED)


# -- impulses -------------------------------------------------------------------------------------


def impulse(number: int = 1, **changes: Any) -> dict[str, Any]:
    block = {
        "id": 2,
        "type": "image",
        "imageWidth": 96,
        "imageHeight": 64,
        "resizeMode": "fit-short",
        "resizeMethod": "lanczos3",
        "cropAnchor": "middle-center",
        **changes,
    }
    learn = [{"id": 3, "type": "keras-object-detection", "title": "Objects", "dsp": [5]}]
    return {
        "id": number,
        "name": f"Impulse #{number}",
        "type": "default",
        "inputBlocks": [block],
        "learnBlocks": learn,
    }


def test_impulses() -> None:
    first, second = answers.impulses({"impulses": [impulse(1), impulse(2)]}, ASKED, 2)
    assert (first.id, first.default, second.id, second.default) == (2, True, 1, False)
    assert (first.width, first.height, first.resize_mode) == (96, 64, ResizeMode.FIT_SHORT)
    assert (first.name, first.crop_anchor, first.warnings) == ("Impulse #2", "middle-center", ())
    (block,) = first.learn_blocks
    assert (block.id, block.kind, block.title, block.type) == (
        3,
        BlockKind.OBJECT_DETECTION,
        "Objects",
        "keras-object-detection",
    )


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("keras-object-detection", BlockKind.OBJECT_DETECTION),
        ("keras-akida-object-detection", BlockKind.OBJECT_DETECTION),
        ("keras-transfer-image", BlockKind.CLASSIFICATION),
        ("keras", BlockKind.CLASSIFICATION),
        ("keras-visual-anomaly", BlockKind.OTHER),
        ("vlm", BlockKind.OTHER),
        ("of a later version", BlockKind.OTHER),
    ],
)
def test_kinds_of_learn_blocks(kind: str, read: BlockKind) -> None:
    answer = impulse()
    answer["learnBlocks"] = [{"id": 3, "type": kind}]
    (found,) = answers.impulses({"impulses": [answer]}, ASKED, None)
    assert found.learn_blocks[0].kind is read
    assert found.learn_blocks[0].title == kind


def test_impulses_that_read_something_else_are_left_out() -> None:
    sound = impulse(1, type="time-series", imageWidth=None)
    empty = {"id": 3, "name": None}
    (found,) = answers.impulses({"impulses": [sound, impulse(2), empty]}, ASKED, 1)
    assert (found.id, found.default) == (2, False)


def test_of_several_inputs_the_image_is_taken() -> None:
    answer = impulse()
    answer["inputBlocks"].insert(0, {"id": 1, "type": "time-series"})
    assert answers.impulses({"impulses": [answer]}, ASKED, 1)[0].width == 96


@pytest.mark.parametrize(
    ("changes", "mode", "warns"),
    [
        ({"resizeMode": "squash", "cropAnchor": "top-left"}, ResizeMode.SQUASH, None),
        ({"resizeMode": "fit-long"}, ResizeMode.FIT_LONG, None),
        ({"resizeMode": None, "cropAnchor": None}, ResizeMode.SQUASH, None),
        ({"resizeMode": "crop"}, ResizeMode.SQUASH, "'crop'.*squashed"),
        ({"resizeMode": "of a later version"}, ResizeMode.SQUASH, "'of a later version'"),
        ({"cropAnchor": "top-left"}, ResizeMode.FIT_SHORT, "around 'top-left'.*centre"),
        ({"resizeMethod": "nearest"}, ResizeMode.FIT_SHORT, "'nearest'.*Lanczos"),
    ],
)
def test_what_is_done_otherwise_here_is_said(
    changes: dict[str, Any], mode: ResizeMode, warns: str | None
) -> None:
    (found,) = answers.impulses({"impulses": [impulse(1, **changes)]}, ASKED, 1)
    assert found.resize_mode is mode
    if warns is None:
        assert found.warnings == ()
    else:
        (warning,) = found.warnings
        assert re.search(warns, warning)


@pytest.mark.parametrize("width", [None, 0, -1])
def test_an_impulse_without_a_size_says_what_to_set(width: int | None) -> None:
    with pytest.raises(CloudRejected, match=f"impulse 7 imageWidth {width}"):
        answers.impulses({"impulses": [impulse(7, imageWidth=width)]}, ASKED, 1)


def test_the_default_impulse() -> None:
    assert answers.default_impulse({"success": True, "impulse": impulse(4)}, ASKED) == 4
    assert answers.default_impulse({"success": True}, ASKED) is None


def test_the_one_impulse_of_an_older_server() -> None:
    (found,) = answers.impulses_of_one({"impulse": impulse(4)}, ASKED)
    assert (found.id, found.default) == (4, True)
    assert answers.impulses_of_one({"success": True}, ASKED) == ()


# -- trained models -------------------------------------------------------------------------------


def metadata(**changes: Any) -> dict[str, Any]:
    return {
        "success": True,
        "created": "2026-11-28T14:02:00.000Z",
        "classNames": ["nut", "bolt"],
        "labels": ["nut", "bolt", "washer"],
        "mode": "object-detection",
        "objectDetectionLastLayer": "fomo",
        "imageInputScaling": "0..1",
        "availableModelTypes": ["int8", "float32"],
        "recommendedModelType": "int8",
        "hasTrainedModel": True,
        "thresholds": [
            {"key": "other", "value": 0.9},
            {"key": "min_score", "value": 0.55, "description": "Score"},
        ],
        "modelValidationMetrics": [
            {
                "type": "float32",
                "loss": 0.12,
                "accuracy": 0.93,
                "report": {"weighted avg": {"f1-score": 0.5}},
                "predictions": [{"sampleId": 1}] * 1000,
                "additionalMetrics": [
                    {"name": "F1 score", "value": "0.91", "fullPrecisionValue": 0.9123},
                    {"name": "Recall", "value": "81.5%"},
                    {"name": "Comment", "value": "good"},
                    {"name": "Nothing", "value": None},
                ],
            },
            {"type": "int8", "loss": float("nan"), "report": {"macro avg": {"f1-score": 0.8}}},
        ],
        **changes,
    }


def test_a_trained_model() -> None:
    found = answers.trained_model(metadata(), ASKED, ("fomo_mobilenet_v2_a35", "dropout"))
    assert found is not None
    assert found.created_at == "2026-11-28T14:02:00.000Z"
    assert found.labels == ("nut", "bolt")
    assert (found.task, found.input_scaling) == (Task.FOMO, InputScaling.ZERO_TO_ONE)
    assert (found.threshold, found.available) == (0.55, ("int8", "float32"))
    assert found.variant == "FOMO MobileNetV2 0.35"
    assert found.metrics_of("float32") == (
        Metric("accuracy", 0.93, "float32"),
        Metric("loss", 0.12, "float32"),
        Metric("F1 score", 0.9123, "float32"),
        Metric("Recall", 0.815, "float32"),
    )
    assert found.metrics_of("int8") == (Metric("f1", 0.8, "int8"),)


@pytest.mark.parametrize(
    ("mode", "layer", "visual", "task"),
    [
        ("object-detection", "fomo", (), Task.FOMO),
        ("object-detection", "yolov5", ("transfer_organization",), Task.YOLOV5),
        ("object-detection", "yolov5v5-drpai", (), Task.YOLOV5_V5),
        ("object-detection", "mobilenet-ssd", (), Task.MOBILENET_SSD),
        ("object-detection", None, ("dropout", "fomo_mobilenet_v2_a01"), Task.FOMO),
        ("object-detection", None, ("fomo_akidanet_a50",), Task.FOMO),
        (
            "object-detection",
            None,
            ("object_ssd_mobilenet_v2_fpnlite_320x320",),
            Task.MOBILENET_SSD,
        ),
        ("classification", None, (), Task.CLASSIFICATION),
    ],
)
def test_tasks(mode: str, layer: str | None, visual: tuple[str, ...], task: Task) -> None:
    found = answers.trained_model(
        metadata(mode=mode, objectDetectionLastLayer=layer), ASKED, visual
    )
    assert found is not None
    assert found.task is task


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objectDetectionLastLayer": "yolox"}, r"'yolox'.*supported are fomo, yolov5"),
        ({"objectDetectionLastLayer": "yolo-pro"}, "'yolo-pro'"),
        ({"objectDetectionLastLayer": "classification"}, "'classification'"),
        ({"objectDetectionLastLayer": None}, r"does not say.*supported are fomo"),
        ({"mode": "visual-anomaly"}, "'visual-anomaly'.*supported are"),
        ({"mode": "regression", "objectDetectionLastLayer": None}, "'regression'"),
        ({"imageInputScaling": "0..2"}, r"'0..2'.*imageInputScaling"),
        ({"classNames": []}, "no classNames"),
        ({"classNames": None}, "classNames"),
        ({"created": None}, "created"),
    ],
)
def test_what_nothing_here_decodes_is_refused_by_name(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CloudRejected, match=says):
        answers.trained_model(metadata(**changes), ASKED, ("fomo_ad_gmm",))


def test_a_missing_field_is_named_with_the_request() -> None:
    answer = metadata()
    del answer["mode"]
    with pytest.raises(CloudRejected, match=r"GET /api/1/thing.*mode: Field required"):
        answers.trained_model(answer, ASKED, ())


def test_not_trained_is_none() -> None:
    assert answers.trained_model({"hasTrainedModel": False}, ASKED, ()) is None
    assert answers.trained_model(metadata(hasTrainedModel=None), ASKED, ()) is not None


@pytest.mark.parametrize(
    ("thresholds", "read"),
    [
        (None, None),
        ([], None),
        ([{"key": "min_score", "value": "0.4"}], 0.4),
        ([{"key": "min_score", "value": 40}], None),
        ([{"key": "min_score", "value": "high"}], None),
        ([{"key": "min_score", "value": None}], None),
    ],
)
def test_thresholds(thresholds: object, read: float | None) -> None:
    found = answers.trained_model(metadata(thresholds=thresholds), ASKED, ())
    assert found is not None
    assert found.threshold == read


def test_what_is_optional_may_be_missing() -> None:
    bare = {
        "created": "2026",
        "classNames": ["a"],
        "mode": "object-detection",
        "objectDetectionLastLayer": "fomo",
    }
    found = answers.trained_model(bare, ASKED, ("of_a_later_version",))
    assert found is not None
    assert (found.metrics, found.threshold, found.available, found.variant) == ((), None, (), "")
    assert found.input_scaling is InputScaling.ZERO_TO_ONE


@pytest.mark.parametrize(
    ("report", "metrics"),
    [
        (None, ()),
        ("text", ()),
        ({}, ()),
        ({"weighted avg": 3}, ()),
        ({"weighted avg": {}}, ()),
        ({"weighted avg": {"f1-score": 0.7}}, (Metric("f1", 0.7, "int8"),)),
    ],
)
def test_reports(report: object, metrics: tuple[Metric, ...]) -> None:
    found = answers.trained_model(
        metadata(modelValidationMetrics=[{"type": "int8", "report": report}]), ASKED, ()
    )
    assert found is not None
    assert found.metrics == metrics


def test_metrics_are_bounded() -> None:
    many = [{"name": f"label {n}" * 100, "value": n} for n in range(1000)]
    found = answers.trained_model(
        metadata(modelValidationMetrics=[{"type": "int8", "additionalMetrics": many}]), ASKED, ()
    )
    assert found is not None
    assert len(found.metrics) <= answers.MOST_METRICS
    assert max(len(metric.name) for metric in found.metrics) <= 100


def test_visual_layers() -> None:
    layers = [{"type": "fomo_mobilenet_v2_a01"}, {}, {"type": "dropout", "dropoutRate": 0.1}]
    assert answers.visual_layers({"trained": True, "visualLayers": layers}, ASKED) == (
        True,
        ("fomo_mobilenet_v2_a01", "dropout"),
    )
    assert answers.visual_layers({"trained": False}, ASKED) == (False, ())
    assert answers.visual_layers({}, ASKED) == (True, ())


# -- downloads ------------------------------------------------------------------------------------


def test_downloads() -> None:
    found = answers.downloads(
        {
            "downloads": [
                {"id": 7, "name": "N", "type": "T", "size": 57_000, "link": "/v1/a"},
                {"type": "T", "size": "57 KB", "link": "/v1/b", "impulseId": 1},
            ]
        },
        ASKED,
    )
    assert [(each.id, each.name, each.size, each.link) for each in found] == [
        ("7", "N", 57_000, "/v1/a"),
        ("", "T", None, "/v1/b"),
    ]
    with pytest.raises(CloudRejected, match=r"downloads.0.link: Field required"):
        answers.downloads({"downloads": [{"type": "T"}]}, ASKED)


# -- jobs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, TrainingState.QUEUED),
        ({"started": None, "finished": None}, TrainingState.QUEUED),
        ({"started": "2026"}, TrainingState.RUNNING),
        ({"started": "2026", "finishedSuccessful": True}, TrainingState.SUCCEEDED),
        (
            {"started": "2026", "finished": "2026", "finishedSuccessful": False},
            TrainingState.FAILED,
        ),
        ({"finished": "2026"}, TrainingState.FAILED),
    ],
)
def test_states_of_jobs(fields: dict[str, Any], state: TrainingState) -> None:
    answer = {"job": {"id": 5, "category": "Training model", **fields}}
    assert answers.job(answer, ASKED) == TrainingJob(5, state, "Training model")


def test_started_job() -> None:
    assert answers.started_job({"success": True, "id": 5}, ASKED) == 5


@pytest.mark.parametrize(
    ("fields", "is_training"),
    [
        ({"category": "Retraining model", "key": "retrain"}, True),
        ({"category": "x", "categoryKey": "learn-train-studio-wrapper"}, True),
        ({"category": "Building model", "key": "build"}, False),
        ({"category": "Generating features", "key": "dsp-4"}, False),
        ({"category": "Retraining model", "finishedSuccessful": False}, False),
        ({}, False),
    ],
)
def test_active_training(fields: dict[str, Any], *, is_training: bool) -> None:
    found = answers.active_training({"jobs": [{"id": 4}, {"id": 5, **fields}]}, ASKED)
    assert (found is not None) is is_training
    assert found is None or found.id == 5


def test_log_lines_are_oldest_first() -> None:
    answer = {
        "stdout": [
            {"created": "2026-11-28T14:02:02Z", "data": "third\n"},
            {"created": "2026-11-28T14:02:01", "data": "first\n\nsecond\r\n"},
            {"created": "no date", "data": None},
        ],
        "totalCount": 3,
    }
    assert answers.log_lines(answer, ASKED) == (
        LogLine(datetime(2026, 11, 28, 14, 2, 1, tzinfo=UTC), "first"),
        LogLine(datetime(2026, 11, 28, 14, 2, 1, tzinfo=UTC), "second"),
        LogLine(datetime(2026, 11, 28, 14, 2, 2, tzinfo=UTC), "third"),
    )
    undated = {"stdout": [{"created": None, "data": "x"}, {"created": "then", "data": "y"}]}
    assert [line.at for line in answers.log_lines(undated, ASKED)] == [None, None]


# -- samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_name", "found"),
    [
        ("a-1.jpg", 1),
        ("a-2.jpg", 2),
        ("a-3.jpg", 3),
        ("a-4.jpg", None),
        ("a.jpg", None),
        ("a-1", 1),
    ],
)
def test_sample_by_name(file_name: str, found: int | None) -> None:
    samples = [
        {"id": 9, "filename": None},
        {"id": 4, "filename": "a-40.jpg"},
        {"id": 1, "filename": "a-1.jpg", "boundingBoxes": []},
        {"id": 2, "filename": "a-2"},
        {"id": 3, "filename": "a-3.4f2e.jpg"},
    ]
    assert answers.sample({"samples": samples}, ASKED, file_name) == found


# -- anything at all ------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "impulses",
                    "impulse",
                    "id",
                    "inputBlocks",
                    "type",
                    "jobs",
                    "job",
                    "stdout",
                    "samples",
                    "downloads",
                    "projects",
                    "project",
                    "thresholds",
                    "modelValidationMetrics",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


READERS: tuple[Callable[[object], object], ...] = (
    lambda answer: answers.key_info(answer, ASKED),
    lambda answer: answers.key_info_of_projects(answer, ASKED),
    lambda answer: answers.project(answer, ASKED),
    lambda answer: answers.public_project(answer, ASKED),
    lambda answer: answers.last_modification(answer, ASKED),
    lambda answer: answers.default_impulse(answer, ASKED),
    lambda answer: answers.impulses_of_one(answer, ASKED),
    lambda answer: answers.impulses(answer, ASKED, 1),
    lambda answer: answers.visual_layers(answer, ASKED),
    lambda answer: answers.trained_model(answer, ASKED, ()),
    lambda answer: answers.downloads(answer, ASKED),
    lambda answer: answers.started_job(answer, ASKED),
    lambda answer: answers.job(answer, ASKED),
    lambda answer: answers.active_training(answer, ASKED),
    lambda answer: answers.log_lines(answer, ASKED),
    lambda answer: answers.sample(answer, ASKED, "a.jpg"),
)


@given(st.sampled_from(READERS), JSON)
def test_whatever_comes_is_read_or_refused(
    read: Callable[[object], object], answer: object
) -> None:
    with suppress(CloudRejected):
        read(answer)


@given(st.sampled_from(sorted(metadata())), JSON)
def test_metadata_with_anything_in_one_place(field: str, value: object) -> None:
    with suppress(CloudRejected):
        answers.trained_model(metadata(**{field: value}), ASKED, ())


def test_answers_may_hold_megabytes_of_predictions() -> None:
    answer = metadata()
    answer["modelValidationMetrics"][0]["predictions"] = [{"sampleId": n} for n in range(100_000)]
    found = answers.trained_model(json.loads(json.dumps(answer)), ASKED, ())
    assert found is not None
