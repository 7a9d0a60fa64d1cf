"""Which impulse, which learn block, which file."""

import pytest

from nxai_cloud_sync.core.project import (
    BlockKind,
    Download,
    Impulse,
    LearnBlock,
    Metric,
    Role,
    TrainedModel,
    TrainingState,
    choose,
    choose_download,
)
from nxai_common.contracts.models import InputScaling, ResizeMode, Task
from nxai_common.errors import ConfigurationError, RejectedError

DETECT, CLASSIFY, OTHER = BlockKind.OBJECT_DETECTION, BlockKind.CLASSIFICATION, BlockKind.OTHER


def block(number: int, kind: BlockKind = DETECT, title: str = "Detector") -> LearnBlock:
    return LearnBlock(number, kind, title, f"keras-{kind}")


def impulse(number: int, *blocks: LearnBlock, default: bool = False) -> Impulse:
    return Impulse(
        number, f"Impulse {number}", 96, 96, ResizeMode.SQUASH, "middle-center", blocks, default
    )


def test_the_first_detector_of_the_default_impulse_is_chosen() -> None:
    impulses = [
        impulse(1, block(11)),
        impulse(2, block(21, CLASSIFY), block(22), block(23), default=True),
    ]
    chosen = choose(impulses)
    assert (chosen.impulse.id, chosen.block.id) == (2, 22)


def test_without_a_detector_a_classifier_is_chosen() -> None:
    chosen = choose([impulse(1, block(11, OTHER), block(12, CLASSIFY))])
    assert chosen.block.id == 12


def test_a_detector_of_another_impulse_is_preferred_to_a_classifier() -> None:
    chosen = choose([impulse(1, block(11, CLASSIFY), default=True), impulse(2, block(21))])
    assert chosen.block.id == 21


@pytest.mark.parametrize(
    ("wanted", "found"),
    [((1, None), (1, 11)), ((1, 12), (1, 12)), ((None, 21), (2, 21)), ((2, None), (2, 21))],
)
def test_what_a_person_names_is_taken(
    wanted: tuple[int | None, int | None], found: tuple[int, int]
) -> None:
    impulses = [impulse(1, block(11), block(12, CLASSIFY)), impulse(2, block(21), default=True)]
    chosen = choose(impulses, *wanted)
    assert (chosen.impulse.id, chosen.block.id) == found


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ((9, None), "no impulse 9"),
        ((None, 99), "no learn block 99"),
        ((1, 21), "no learn block 21"),
        ((None, 12), r"learn block 12 \(keras-other\) neither"),
        ((3, None), "no learn block detects"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    wanted: tuple[int | None, int | None], says: str
) -> None:
    impulses = [
        impulse(1, block(11, title="Nuts"), block(12, OTHER)),
        impulse(2, block(21)),
        impulse(3),
    ]
    with pytest.raises(ConfigurationError, match=says) as caught:
        choose(impulses, *wanted)
    text = str(caught.value)
    assert ("no learn block" in text) if wanted[0] == 3 else ("11 'Nuts'" in text)


def test_a_project_without_an_image_impulse_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="create one in Edge Impulse Studio"):
        choose([])


def test_a_project_with_other_blocks_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no learn block detects"):
        choose([impulse(1, block(11, OTHER))])


# -- downloads ------------------------------------------------------------------------------------

FLOAT = "TensorFlow Lite (float32)"
INT8 = "TensorFlow Lite (int8 quantized)"
MIXED = "TensorFlow Lite (int8 quantized with float32 input and output)"


def listed(*types: str) -> list[Download]:
    return [Download("Model", each, f"/v1/{place}") for place, each in enumerate(types)]


@pytest.mark.parametrize(
    ("types", "artefact", "found"),
    [
        (("NPY file", INT8, FLOAT), "float32", 2),
        (("NPY file", FLOAT, INT8), "int8", 2),
        ((MIXED, FLOAT), "float32", 1),
        ((MIXED, INT8), "int8", 1),
        ((MIXED, FLOAT), "int8", 0),
        (("tensorflow lite FLOAT32",), "float32", 0),
        (("ONNX model", FLOAT), "float32", 1),
        (("Keras", "ONNX model"), "float32", 1),
        ((INT8, "ONNX (int8)", "onnx"), "float32", 2),
    ],
)
def test_the_file_of_a_kind_is_found(types: tuple[str, ...], artefact: str, found: int) -> None:
    assert choose_download(listed(*types), artefact).link == f"/v1/{found}"


@pytest.mark.parametrize(
    ("types", "artefact", "says"),
    [
        ((), "float32", "no model to download: train"),
        (("TensorFlow SavedModel", "NPY file"), "int8", "no model to download: train"),
        ((INT8,), "float32", r"no float32 .*it has TensorFlow Lite \(int8 quantized\)"),
        ((FLOAT, "ONNX"), "int8", r"no int8 .*it has TensorFlow Lite \(float32\), ONNX"),
        (("TensorFlow Lite (float16)",), "float32", r"it has TensorFlow Lite \(float16\)"),
    ],
)
def test_what_is_not_listed_is_refused_with_what_is(
    types: tuple[str, ...], artefact: str, says: str
) -> None:
    with pytest.raises(RejectedError, match=says):
        choose_download(listed(*types), artefact)


def test_of_two_learn_blocks_each_has_its_own_file() -> None:
    downloads = [
        Download("A", FLOAT, "/v1/api/1/learn-data/7/model/tflite-float"),
        Download("B", FLOAT, "/v1/api/1/learn-data/8/model/tflite-float"),
    ]
    assert choose_download(downloads, "float32", 8).name == "B"
    assert choose_download(downloads, "float32").name == "A"
    with pytest.raises(RejectedError, match="no model"):
        choose_download(downloads, "float32", 9)
    downloads[0] = Download("A", FLOAT, "/v1/anywhere")
    assert choose_download(downloads, "float32", 8).name == "A"  # nobody says whose it is


# -- small things ---------------------------------------------------------------------------------


def test_metrics_are_those_of_the_artefact_or_of_another() -> None:
    both = (Metric("f1", 0.9, "float32"), Metric("f1", 0.8, "int8"), Metric("loss", 1, "int8"))

    def model(*metrics: Metric) -> TrainedModel:
        return TrainedModel(
            "2026", ("a",), Task.FOMO, InputScaling.ZERO_TO_ONE, 0.5, ("int8",), metrics=metrics
        )

    assert model(*both).metrics_of("int8") == both[1:]
    assert model(*both[1:]).metrics_of("float32") == both[1:]
    assert model().metrics_of("float32") == ()


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.ADMIN, (True, True, True)),
        (Role.READ_ONLY, (True, False, False)),
        (Role.INGESTION_ONLY, (False, True, False)),
        (Role.INGESTION_DEPLOYMENT, (True, True, False)),
        (Role.UNKNOWN, (True, True, True)),
    ],
)
def test_roles(role: Role, may: tuple[bool, bool, bool]) -> None:
    assert (role.reads_models, role.uploads, role.trains) == may


def test_only_ends_are_ends() -> None:
    assert [state for state in TrainingState if state.ended] == [
        TrainingState.SUCCEEDED,
        TrainingState.FAILED,
    ]
