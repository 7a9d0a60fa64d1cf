"""Both engines on files made here: choice, agreement, fallback, what they refuse."""

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nxai_common.contracts.models import InputScaling, TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.adapters import engines
from nxai_inference.adapters.engines import (
    Choice,
    EngineChoice,
    EngineOptions,
    ModelFile,
    choose_engine,
)
from nxai_inference.adapters.litert_engine import LitertEngine
from nxai_inference.adapters.onnx_engine import OnnxEngine, execution_providers
from nxai_inference.core.conversion import convert
from support.tiny_tflite import Operator, Tensor, build, constant, one

pytestmark = pytest.mark.integration

UNIT = InputScaling.ZERO_TO_ONE
PICTURE = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def tiny(dtype: str = "float32") -> bytes:
    """Average pooling of 8x8 to 4x4: something every engine can do."""
    rest: dict[str, Any] = {} if dtype == "float32" else {"scale": 1 / 255, "zero_point": -128}
    return one(
        "AVERAGE_POOL_2D",
        [Tensor((1, 8, 8, 3), dtype, name="in", **rest)],
        Tensor((1, 4, 4, 3), dtype, name="out", **rest),
        kind="Pool2DOptions",
        strideH=2,
        strideW=2,
        filterHeight=2,
        filterWidth=2,
    )


def onnx_model(
    shape: Sequence[int | str] = (1, 3, 8, 8),
    out: Sequence[int | str] | None = None,
    kind: int = TensorProto.FLOAT,
    nodes: Sequence[onnx.NodeProto] | None = None,
    initializers: Sequence[TensorProto] = (),
) -> bytes:
    """A model in the style of Ultralytics: NCHW, input `images`."""
    made = nodes or [helper.make_node("Identity", ["images"], ["output0"])]
    graph = helper.make_graph(
        made,
        "main",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("output0", kind, out or shape)],
        list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def choose(content: bytes, form: str, choice: EngineChoice = "auto", **rest: Any) -> Choice:
    file = ModelFile(f"tiny.{form}", content, form)  # type: ignore[arg-type]  # tflite, onnx
    return choose_engine(file, UNIT, choice, EngineOptions(**rest))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_both_engines_give_the_same(dtype: str) -> None:
    content = tiny(dtype)
    with (
        LitertEngine(content, scaling=UNIT) as litert,
        OnnxEngine(convert(content), scaling=UNIT) as runtime,
    ):
        assert litert.name == "litert"
        assert runtime.name == "onnx:CPUExecutionProvider"
        assert litert.inputs == runtime.inputs
        assert litert.outputs == runtime.outputs
        expected = PICTURE.reshape(4, 2, 4, 2, 3).mean((1, 3)) / 255
        for engine in (litert, runtime):
            (output,) = engine.run(PICTURE)
            assert output.values.shape == (1, 4, 4, 3)
            np.testing.assert_allclose(output.float32[0], expected, atol=1 / 255)


@pytest.mark.parametrize("which", [LitertEngine, OnnxEngine])
def test_outputs_belong_to_the_caller(which: type[LitertEngine] | type[OnnxEngine]) -> None:
    content = tiny()
    with which(convert(content) if which is OnnxEngine else content, scaling=UNIT) as engine:
        first = engine.run(PICTURE)[0].values
        before = first.copy()
        engine.run(np.zeros_like(PICTURE))
        assert (first == before).all()


@pytest.mark.parametrize("which", [LitertEngine, OnnxEngine])
def test_wrong_pixels_and_closed_engines_are_refused(
    which: type[LitertEngine] | type[OnnxEngine],
) -> None:
    content = tiny()
    engine = which(convert(content) if which is OnnxEngine else content, scaling=UNIT)
    with pytest.raises(RejectedError, match="do not fit"):
        engine.run(PICTURE[:4])
    engine.close()
    with pytest.raises(RejectedError, match="is closed"):
        engine.run(PICTURE)


def test_nchw_input_is_turned() -> None:
    with OnnxEngine(onnx_model(), scaling=UNIT) as engine:
        (output,) = engine.run(PICTURE)
    np.testing.assert_array_equal(
        output.values[0], (PICTURE.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)
    )


def test_an_open_batch_is_one() -> None:
    with OnnxEngine(onnx_model(("batch", 3, 8, 8)), scaling=UNIT) as engine:
        assert engine.inputs[0].shape == (1, 3, 8, 8)
        assert engine.outputs[0].shape == (1, 3, 8, 8)


def test_quantisation_of_a_foreign_onnx_is_read_from_its_nodes() -> None:
    steps = [
        numpy_helper.from_array(np.array(0.5, np.float32), "scale"),
        numpy_helper.from_array(np.array(-3, np.int8), "zero"),
        numpy_helper.from_array(np.array([0.1, 0.2], np.float32), "many"),
        numpy_helper.from_array(np.array([1, 2], np.int8), "zeros"),
        numpy_helper.from_array(np.array([1, 2], np.int8), "weights"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["weights", "many", "zeros"], ["w"], axis=0),
        helper.make_node("DequantizeLinear", ["images", "scale", "zero"], ["real"]),
        helper.make_node("QuantizeLinear", ["real", "scale", "zero"], ["output0"]),
    ]
    content = onnx_model(kind=TensorProto.INT8, nodes=nodes, initializers=steps)
    with OnnxEngine(content, scaling=InputScaling.MINUS_ONE_TO_ONE) as engine:
        assert (engine.inputs[0].scale, engine.inputs[0].zero_point) == (0.5, -3)
        assert (engine.outputs[0].scale, engine.outputs[0].zero_point) == (0.5, -3)


def with_metadata(content: bytes, value: str) -> bytes:
    model = onnx.load_model_from_string(content)
    entry = model.metadata_props.add()
    entry.key, entry.value = "quantisation of output0", value
    changed: bytes = model.SerializeToString()
    return changed


def test_metadata_that_is_not_ours_is_passed_over() -> None:
    content = with_metadata(onnx_model(), "see the manual")
    with OnnxEngine(content, scaling=UNIT) as engine:
        assert engine.outputs[0].scale == 0.0


def external() -> bytes:
    weights = numpy_helper.from_array(np.zeros((1, 3, 8, 8), np.float32), "w")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    nodes = [helper.make_node("Add", ["images", "w"], ["output0"])]
    return onnx_model(nodes=nodes, initializers=[weights])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>not found</html>", "not an ONNX model, or truncated"),
        (onnx_model()[:-40], "not an ONNX model, or truncated"),
        (b"\x08\x08", "it has no graph"),
        (external(), "its weights lie in another file"),
        (onnx_model((1, 3, "h", "w")), r"shape \[1, 3, \?, \?\] with a dynamic or empty"),
        (onnx_model((1, 3, 0, 8)), "dynamic or empty"),
        (onnx_model((1, 5, 8, 8)), "a picture is"),
        (onnx_model(kind=TensorProto.INT64), r"of type tensor\(int64\)"),
        (
            onnx_model(nodes=[helper.make_node("NoSuchThing", ["images"], ["output0"])]),
            "cannot load it",
        ),
        (
            onnx_model(
                ("n", 3, 8, 8),
                nodes=[helper.make_node("Reshape", ["images", "shape"], ["output0"])],
                out=("a", "b"),
                initializers=[numpy_helper.from_array(np.array([7, -1]), "shape")],
            ),
            "cannot run it",
        ),
    ],
)
def test_onnx_files_that_cannot_be_used(content: bytes, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        choose(content, "onnx")


def test_two_inputs_are_refused() -> None:
    content = build(
        [Tensor((1, 8, 8, 3)), Tensor((1, 8, 8, 3)), Tensor((1, 8, 8, 3))],
        [Operator("ADD", [0, 1], [2], {"kind": "AddOptions"})],
        [0, 1],
        [2],
    )
    for choice in ("litert", "onnx"):
        with pytest.raises(ConfigurationError, match="2 inputs"):
            choose(content, "tflite", choice)


def test_a_damaged_tflite_is_refused_by_litert() -> None:
    with pytest.raises(ConfigurationError, match=r"tiny\.tflite: LiteRT cannot run it"):
        choose(tiny()[:200], "tflite", "litert")


def test_auto_times_both_and_keeps_the_faster() -> None:
    with choose(tiny(), "tflite").engine as engine:
        assert engine.name in ("litert", "onnx:CPUExecutionProvider")
    choice = choose(tiny(), "tflite")
    choice.engine.close()
    times = {trial.engine: trial.milliseconds for trial in choice.trials}
    assert set(times) == {"litert", "onnx:CPUExecutionProvider"}
    assert choice.milliseconds == min(t for t in times.values() if t is not None)
    assert times[choice.engine.name] == choice.milliseconds
    assert choice.warnings == ()


class ScriptedClock:
    """Advances by a script: LiteRT takes `litert`, ONNX Runtime `onnx` seconds a run."""

    def __init__(self, litert: float, onnx: float) -> None:
        # one call at the start; before and after each engine's run, then one for the budget
        self._steps = itertools.chain([0.0], itertools.cycle([0.0, litert, 0.0, onnx, 0.0]))
        self._now = 0.0

    def __call__(self) -> float:
        self._now += next(self._steps)
        return self._now


@pytest.mark.parametrize(
    ("litert", "runtime", "faster"),
    [(0.001, 0.002, "litert"), (0.002, 0.001, "onnx:CPUExecutionProvider")],
)
def test_the_faster_one_is_kept(litert: float, runtime: float, faster: str) -> None:
    choice = choose(tiny(), "tflite", clock=ScriptedClock(litert, runtime))
    choice.engine.close()
    assert choice.engine.name == faster
    assert [t.milliseconds for t in choice.trials] == [
        pytest.approx(litert * 1000),
        pytest.approx(runtime * 1000),
    ]


def test_slow_models_are_timed_twice_and_no_more() -> None:
    clock = ScriptedClock(10.0, 20.0)
    choice = choose(tiny(), "tflite", clock=clock)
    choice.engine.close()
    assert clock() == pytest.approx(60.0)  # two rounds


@pytest.mark.parametrize("choice", ["litert", "onnx"])
def test_one_engine_can_be_forced(choice: EngineChoice) -> None:
    found = choose(tiny(), "tflite", choice)
    found.engine.close()
    assert found.engine.name.startswith(choice)
    assert len(found.trials) == 1


def test_litert_cannot_be_forced_on_onnx() -> None:
    with pytest.raises(ConfigurationError, match=r"tiny\.onnx: LiteRT cannot run \.onnx files"):
        choose(onnx_model(), "onnx", "litert")


UNKNOWN = one("TANH", [Tensor((1, 8, 8, 3))], Tensor((1, 8, 8, 3)))


def test_what_cannot_be_converted_runs_on_litert() -> None:
    found = choose(UNKNOWN, "tflite")
    found.engine.close()
    assert found.engine.name == "litert"
    assert [(t.engine, "operator TANH" in t.reason) for t in found.trials] == [
        ("litert", False),
        ("onnx", True),
    ]
    assert found.warnings == ()
    with pytest.raises(ConfigurationError, match="operator TANH"):
        choose(UNKNOWN, "tflite", "onnx")


def test_an_accelerator_that_cannot_be_used_is_a_warning() -> None:
    found = choose(UNKNOWN, "tflite", providers=execution_providers(["cuda"]))
    found.engine.close()
    assert any("CUDAExecutionProvider is not used: " in w for w in found.warnings)
    assert any("operator TANH" in w for w in found.warnings)


@pytest.mark.parametrize("name", ["cuda", "tensorrt", "openvino"])
def test_a_missing_provider_falls_back_to_the_cpu_with_a_warning(name: str) -> None:
    found = choose(onnx_model(), "onnx", providers=execution_providers([name]))
    with found.engine as engine:
        if engine.name != "onnx:CPUExecutionProvider":
            pytest.skip(f"this machine has {name}")
        assert "is not part of the installed ONNX Runtime" in found.warnings[0]
        assert "it runs on CPUExecutionProvider" in found.warnings[0]
        assert engine.run(PICTURE)


def test_provider_names() -> None:
    cpu = "CPUExecutionProvider"
    assert execution_providers([]) == (cpu,)
    assert execution_providers(["cpu"]) == (cpu,)
    assert execution_providers(["CUDAExecutionProvider"]) == ("CUDAExecutionProvider", cpu)
    assert execution_providers(["tensorrt", "cuda"]) == (
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        cpu,
    )
    with pytest.raises(ConfigurationError, match="'gpu' is not known; use cpu, cuda"):
        execution_providers(["gpu"])


def test_engines_that_disagree_leave_litert_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is known on which they disagree so far; the converter is made to be wrong."""
    other = one(
        "MAX_POOL_2D",
        [Tensor((1, 8, 8, 3), name="in")],
        Tensor((1, 4, 4, 3), name="out"),
        kind="Pool2DOptions",
        strideH=2,
        strideW=2,
        filterHeight=2,
        filterWidth=2,
    )
    wrong = convert(other)
    monkeypatch.setattr(engines, "convert", lambda _: wrong)
    found = choose(tiny(), "tflite", clock=ScriptedClock(0.001, 0.002))
    found.engine.close()
    assert found.engine.name == "litert"
    assert "disagrees with litert: output 'out' is up to" in found.warnings[0]
    assert found.warnings[0].endswith("litert is used")
    assert [t.milliseconds is None for t in found.trials] == [False, True]


def test_an_error_while_comparing_closes_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = LitertEngine.close

    def note(self: LitertEngine) -> None:
        closed.append(self)
        close(self)

    def fail(*_: object) -> str:
        raise RejectedError("made up")

    monkeypatch.setattr(LitertEngine, "close", note)
    monkeypatch.setattr(engines, "compare", fail)
    with pytest.raises(RejectedError, match="made up"):
        choose(tiny(), "tflite")
    assert closed


def test_output_shapes_are_those_of_a_run() -> None:
    """The file may leave an output's shape open; LiteRT knows it after a run."""
    model = build(
        [Tensor((1, 8, 8, 3)), constant([1, -1], "int32"), Tensor((1, 192))],
        [Operator("RESHAPE", [0, 1], [2])],
        [0],
        [2],
    )
    with LitertEngine(model, scaling=UNIT) as engine:
        assert engine.outputs == (TensorInfo(name="t2", shape=(1, 192), dtype="float32"),)


def test_an_empty_output_is_refused() -> None:
    nodes = [helper.make_node("Slice", ["images", "zero", "zero", "one"], ["output0"])]
    zero = numpy_helper.from_array(np.array([0]), "zero")
    first = numpy_helper.from_array(np.array([1]), "one")
    content = onnx_model(nodes=nodes, out=(1, "n", 8, 8), initializers=[zero, first])
    with pytest.raises(ConfigurationError, match="output 'output0' has shape"):
        choose(content, "onnx")


ASK = """
import sys
from nxai_inference.settings import InferenceSettings
assert "onnxruntime" not in sys.modules
import ctypes
import nxai_inference.adapters.onnx_engine
getenv = ctypes.CDLL(None).getenv  # as the library asks
getenv.restype = ctypes.c_char_p
print(getenv(b"ORT_DISABLE_TELEMETRY").decode())
"""


def test_onnx_runtime_is_told_to_keep_what_happens_here_to_itself() -> None:
    # In a process of its own: here it has been loaded long ago.
    told = subprocess.run(
        [sys.executable, "-c", ASK],
        env={k: v for k, v in os.environ.items() if not k.startswith("ORT_")},  # noqa: TID251 - a child's
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "1"
