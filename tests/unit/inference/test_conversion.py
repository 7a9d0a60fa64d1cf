"""Every operator that converts, against LiteRT; every reason to refuse, by its words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nxai_common.errors import RejectedError
from nxai_inference.core.conversion import convert
from nxai_inference.core.conversion.convert import IR_VERSION, LOWERINGS, OPSET
from nxai_inference.core.conversion.reader import MAX_CLASSES, TfliteOperator, read
from support.tiny_tflite import Operator, Tensor, build, constant, one

pytestmark = pytest.mark.unit

RANDOM = np.random.default_rng(7)
SAME, VALID = 0, 1
RELU, RELU_N1_TO_1, RELU6, TANH = 1, 2, 3, 4

CONV = {"kind": "Conv2DOptions", "strideH": 1, "strideW": 1}
DEPTHWISE = {"kind": "DepthwiseConv2DOptions", "strideH": 1, "strideW": 1, "depthMultiplier": 1}
POOL = {
    "kind": "Pool2DOptions",
    "strideH": 2,
    "strideW": 2,
    "filterHeight": 3,
    "filterWidth": 3,
}
SLICE = {"kind": "StridedSliceOptions"}


def weights(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(0, 0.5, shape).astype(np.float32)


def bytes_between(low: int, high: int, *shape: int) -> NDArray[Any]:
    return RANDOM.integers(low, high, shape)


def q(*shape: int, scale: float = 0.05, zero: int = 3, dtype: str = "int8") -> Tensor:
    """A quantised activation."""
    return Tensor(shape, dtype, scale=scale, zero_point=zero)


def random_inputs(model: bytes) -> list[NDArray[Any]]:
    values: list[NDArray[Any]] = []
    for info in Interpreter(model_content=model).get_input_details():
        dtype, shape = np.dtype(info["dtype"]), tuple(info["shape"])
        if dtype.kind == "f":
            values.append(RANDOM.normal(0, 2, shape).astype(dtype))
        else:
            limits = np.iinfo(dtype)
            values.append(RANDOM.integers(limits.min, limits.max + 1, shape).astype(dtype))
    return values


def run_litert(model: bytes, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    for info, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(info["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(n["index"]) for n in interpreter.get_output_details()]


def run_onnx(converted: bytes, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(converted, providers=["CPUExecutionProvider"])
    names = [n.name for n in session.get_inputs()]
    found: list[NDArray[Any]] = session.run(None, dict(zip(names, inputs, strict=True)))
    return found


def assert_equal_to_litert(model: bytes, steps: int = 1) -> None:
    """float32 within 1e-5; stored integers within `steps` quantisation steps."""
    converted = convert(model)
    inputs = random_inputs(model)
    for expected, actual in zip(
        run_litert(model, inputs), run_onnx(converted, inputs), strict=True
    ):
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
        else:
            apart = np.abs(actual.astype(int) - expected.astype(int))
            assert apart.max() <= steps
            assert len(np.unique(expected)) > 1, "a constant output proves nothing"


def conv_output(size: int, taps: int, stride: int, padding: int, dilation: int = 1) -> int:
    reach = (taps - 1) * dilation + 1
    return -(-size // stride) if padding == SAME else -(-(size - reach + 1) // stride)


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("activation", [0, RELU, RELU_N1_TO_1, RELU6])
@pytest.mark.parametrize(("size", "taps", "stride"), [(8, 3, 2), (7, 3, 2), (8, 2, 1), (9, 5, 3)])
def test_convolution(padding: int, activation: int, size: int, taps: int, stride: int) -> None:
    out = conv_output(size, taps, stride, padding)
    model = one(
        "CONV_2D",
        [Tensor((1, size, size, 3)), constant(weights(4, taps, taps, 3)), constant(weights(4))],
        Tensor((1, out, out, 4)),
        **{**CONV, "strideH": stride, "strideW": stride, "padding": padding},
        fusedActivationFunction=activation,
    )
    assert_equal_to_litert(model)


def test_convolution_with_unequal_sides_strides_and_dilations() -> None:
    options = {**CONV, "strideH": 1, "strideW": 2, "padding": SAME}
    model = one(
        "CONV_2D",
        [Tensor((1, 6, 11, 2)), constant(weights(3, 1, 3, 2)), constant(weights(3))],
        Tensor((1, 6, 6, 3)),
        **options,
    )
    assert_equal_to_litert(model)
    dilated = one(
        "CONV_2D",
        [Tensor((1, 9, 9, 2)), constant(weights(3, 3, 3, 2)), constant(weights(3))],
        Tensor((1, 5, 7, 3)),
        **{**CONV, "padding": VALID, "dilationHFactor": 2, "dilationWFactor": 1},
    )
    assert_equal_to_litert(dilated)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution(multiplier: int, stride: int) -> None:
    out = conv_output(8, 3, stride, SAME)
    model = one(
        "DEPTHWISE_CONV_2D",
        [
            Tensor((1, 8, 8, 3)),
            constant(weights(1, 3, 3, 3 * multiplier)),
            constant(weights(3 * multiplier)),
        ],
        Tensor((1, out, out, 3 * multiplier)),
        **{**DEPTHWISE, "strideH": stride, "strideW": stride, "depthMultiplier": multiplier},
        fusedActivationFunction=RELU6,
    )
    assert_equal_to_litert(model)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_quantised_convolution(kind: str, per_channel: bool) -> None:
    shape = (4, 3, 3, 4) if kind == "CONV_2D" else (1, 3, 3, 4)
    scales: Any = [0.01, 0.02, 0.015, 0.005] if per_channel else 0.01
    kernel = constant(
        bytes_between(-127, 128, *shape),
        "int8",
        scale=scales,
        zero_point=[0] * 4 if per_channel else 0,
        axis=0 if kind == "CONV_2D" else 3,
    )
    bias = constant(
        bytes_between(-500, 500, 4),
        "int32",
        scale=[0.05 * n for n in scales] if per_channel else 0.05 * scales,
        zero_point=[0] * 4 if per_channel else 0,
    )
    options = CONV if kind == "CONV_2D" else DEPTHWISE
    model = one(
        kind,
        [q(1, 8, 8, 4), kernel, bias],
        q(1, 8, 8, 4, scale=0.1, zero=-20),
        **options,
        fusedActivationFunction=RELU,
    )
    assert_equal_to_litert(model)


def test_old_uint8_convolution_with_a_weight_zero_point() -> None:
    kernel = constant(bytes_between(0, 256, 4, 3, 3, 2), "uint8", scale=0.01, zero_point=120)
    bias = constant(bytes_between(-500, 500, 4), "int32", scale=0.0005)
    model = one(
        "CONV_2D",
        [q(1, 6, 6, 2, zero=128, dtype="uint8"), kernel, bias],
        q(1, 6, 6, 4, scale=0.1, zero=128, dtype="uint8"),
        **CONV,
    )
    assert_equal_to_litert(model)


@pytest.mark.parametrize("source", [(2, 6), (1, 2, 3), (1, 2, 2, 3)])
def test_fully_connected(source: tuple[int, ...]) -> None:
    rows, inputs = (2, 6) if source == (2, 6) else (1, int(np.prod(source)))
    model = one(
        "FULLY_CONNECTED",
        [Tensor(source), constant(weights(5, inputs)), constant(weights(5))],
        Tensor((rows, 5)),
        kind="FullyConnectedOptions",
        fusedActivationFunction=RELU,
    )
    assert_equal_to_litert(model)


def test_fully_connected_that_keeps_its_dimensions() -> None:
    model = one(
        "FULLY_CONNECTED",
        [Tensor((1, 4, 6)), constant(weights(5, 6)), None],
        Tensor((1, 4, 5)),
        kind="FullyConnectedOptions",
        keepNumDims=True,
    )
    assert_equal_to_litert(model)


def test_quantised_fully_connected() -> None:
    matrix = constant(bytes_between(-127, 128, 5, 8), "int8", scale=0.01)
    bias = constant(bytes_between(-500, 500, 5), "int32", scale=0.0005)
    model = one(
        "FULLY_CONNECTED",
        [q(1, 8), matrix, bias],
        q(1, 5, scale=0.1),
        kind="FullyConnectedOptions",
    )
    assert_equal_to_litert(model)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize(
    "other",
    [(1, 4, 5, 3), (3,), (5, 3), (4, 5, 3), (4, 1, 3), (), (1,), (1, 1, 1, 3)],
)
def test_arithmetic_with_a_constant_in_both_layouts(kind: str, other: tuple[int, ...]) -> None:
    table = {"kind": f"{kind.capitalize()}Options", "fusedActivationFunction": RELU}
    second = constant(weights(*other))
    plain = one(kind, [Tensor((1, 4, 5, 3)), second], Tensor((1, 4, 5, 3)), **table)
    assert_equal_to_litert(plain)
    # behind a convolution the value lives in the other layout
    behind = build(
        [
            Tensor((1, 4, 5, 2)),
            constant(weights(3, 1, 1, 2)),
            Tensor((1, 4, 5, 3)),
            second,
            Tensor((1, 4, 5, 3)),
            constant(weights(3)),
        ],
        [Operator("CONV_2D", [0, 1, 5], [2], CONV), Operator(kind, [2, 3], [4], table)],
        [0],
        [4],
    )
    assert_equal_to_litert(behind)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
def test_quantised_arithmetic_of_two_inputs(kind: str) -> None:
    model = one(
        kind,
        [q(1, 4, 4, 3), q(1, 4, 4, 3, scale=0.02, zero=-7)],
        q(1, 4, 4, 3, scale=0.2),
        kind=f"{kind.capitalize()}Options",
    )
    assert_equal_to_litert(model)


def test_arithmetic_of_ranks_that_have_no_second_layout() -> None:
    model = one("ADD", [Tensor((1, 6)), Tensor((1, 6))], Tensor((1, 6)), kind="AddOptions")
    assert_equal_to_litert(model)


@pytest.mark.parametrize("kind", ["MAX_POOL_2D", "AVERAGE_POOL_2D"])
@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("activation", [0, RELU])
@pytest.mark.parametrize("quantised", [False, True])
def test_pooling(kind: str, padding: int, activation: int, quantised: bool) -> None:
    out = conv_output(8, 3, 2, padding)
    source, result = Tensor((1, 8, 8, 2)), Tensor((1, out, out, 2))
    if quantised:
        source, result = q(1, 8, 8, 2), q(1, out, out, 2)
    options = {**POOL, "padding": padding, "fusedActivationFunction": activation}
    assert_equal_to_litert(one(kind, [source], result, **options))


@pytest.mark.parametrize(
    ("axes", "keep", "shape"),
    [
        ([1, 2], True, (1, 1, 1, 3)),
        ([1, 2], False, (1, 3)),
        ([-2, 1], False, (1, 3)),
        ([3], True, (1, 4, 5, 1)),
        ([3], False, (1, 4, 5)),
    ],
)
def test_mean(axes: list[int], keep: bool, shape: tuple[int, ...]) -> None:
    options = {"kind": "ReducerOptions", "keepDims": keep}
    source = Tensor((1, 4, 5, 3))
    assert_equal_to_litert(one("MEAN", [source, constant(axes, "int32")], Tensor(shape), **options))


@pytest.mark.parametrize("half_pixels", [False, True])
def test_nearest_neighbour_enlargement(half_pixels: bool) -> None:
    options = {"kind": "ResizeNearestNeighborOptions", "halfPixelCenters": half_pixels}
    size = constant([8, 15], "int32")
    source = Tensor((1, 4, 5, 3))
    model = one("RESIZE_NEAREST_NEIGHBOR", [source, size], Tensor((1, 8, 15, 3)), **options)
    assert_equal_to_litert(model)
    stored = one("RESIZE_NEAREST_NEIGHBOR", [q(1, 4, 5, 3), size], q(1, 8, 15, 3), **options)
    assert_equal_to_litert(stored, steps=0)


@pytest.mark.parametrize("kind", ["LOGISTIC", "RELU", "RELU6"])
def test_activations(kind: str) -> None:
    assert_equal_to_litert(one(kind, [Tensor((1, 4, 4, 3))], Tensor((1, 4, 4, 3))))
    stored = q(1, 4, 4, 3, scale=1 / 256, zero=-128) if kind == "LOGISTIC" else q(1, 4, 4, 3)
    assert_equal_to_litert(one(kind, [q(1, 4, 4, 3)], stored))


def test_softmax_works_along_the_last_dimension_of_the_files_layout() -> None:
    options = {"kind": "SoftmaxOptions", "beta": 1.0}
    behind = build(
        [
            Tensor((1, 4, 5, 2)),
            constant(weights(3, 1, 1, 2)),
            Tensor((1, 4, 5, 3)),
            Tensor((1, 4, 5, 3)),
            constant(weights(3)),
        ],
        [Operator("CONV_2D", [0, 1, 4], [2], CONV), Operator("SOFTMAX", [2], [3], options)],
        [0],
        [3],
    )
    assert_equal_to_litert(behind)
    stored = one("SOFTMAX", [q(1, 4, 4, 3)], q(1, 4, 4, 3, scale=1 / 256, zero=-128), **options)
    assert_equal_to_litert(stored)


def test_quantising_back_and_to_other_steps() -> None:
    shape = (1, 4, 4, 3)
    assert_equal_to_litert(one("QUANTIZE", [Tensor(shape)], q(*shape)))
    assert_equal_to_litert(one("DEQUANTIZE", [q(*shape)], Tensor(shape)))
    assert_equal_to_litert(one("QUANTIZE", [q(*shape)], q(*shape, scale=0.1, zero=-9)))
    shifted = q(*shape, scale=0.05, zero=131, dtype="uint8")
    assert_equal_to_litert(one("QUANTIZE", [q(*shape)], shifted))
    assert_equal_to_litert(one("QUANTIZE", [q(*shape)], q(*shape)), steps=0)


def test_half_float_weights_become_constants() -> None:
    half = constant(weights(4, 3, 3, 2).astype(np.float16), "float16")
    model = build(
        [
            half,
            Tensor((4, 3, 3, 2)),
            Tensor((1, 6, 6, 2)),
            Tensor((1, 6, 6, 4)),
            constant(weights(4)),
        ],
        [Operator("DEQUANTIZE", [0], [1]), Operator("CONV_2D", [2, 1, 4], [3], CONV)],
        [2],
        [3],
    )
    assert_equal_to_litert(model)
    assert [n.op_type for n in onnx.load_model_from_string(convert(model)).graph.node] == [
        "Transpose",
        "Conv",
        "Transpose",
    ]


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("behind_convolution", [False, True])
def test_padding(quantised: bool, behind_convolution: bool) -> None:
    amounts = constant([[0, 0], [1, 2], [0, 3], [0, 0]], "int32")
    source = q(1, 4, 4, 3) if quantised else Tensor((1, 4, 4, 3))
    result = q(1, 7, 7, 3) if quantised else Tensor((1, 7, 7, 3))
    model = one("PAD", [source, amounts], result)
    if behind_convolution:
        model = build(
            [source, source, result, amounts],
            [
                Operator("MAX_POOL_2D", [0], [1], {**POOL, "strideH": 1, "strideW": 1}),
                Operator("PAD", [1, 3], [2]),
            ],
            [0],
            [2],
        )
    assert_equal_to_litert(model, steps=0)


@pytest.mark.parametrize("way", ["input", "option", "open"])
def test_reshape(way: str) -> None:
    source, result = Tensor((1, 4, 3, 2)), Tensor((1, 12, 2))
    shape = (1, -1, 2) if way == "open" else (1, 12, 2)
    if way == "option":
        model = one("RESHAPE", [source], result, kind="ReshapeOptions", newShape=list(shape))
    else:
        model = one("RESHAPE", [source, constant(shape, "int32")], result)
    assert_equal_to_litert(model)


def test_transpose() -> None:
    order = constant([0, 2, 3, 1], "int32")
    assert_equal_to_litert(one("TRANSPOSE", [Tensor((1, 4, 3, 2)), order], Tensor((1, 3, 2, 4))))


@pytest.mark.parametrize(
    ("begin", "end", "step", "masks", "shape"),
    [
        ([0, 1, 0, 0], [1, 3, 4, 2], [1, 1, 1, 1], {}, (1, 2, 4, 2)),
        ([0, 0, 0, 0], [1, 5, 4, 2], [1, 2, 3, 1], {}, (1, 3, 2, 2)),
        (
            [0, 9, 9, 0],
            [0, 9, 2, 1],
            [1, 1, 1, 1],
            {"beginMask": 6, "endMask": 3},
            (1, 5, 2, 1),
        ),
        ([0, -2, 0, 0], [1, -1, 4, 2], [1, 1, 1, 1], {}, (1, 1, 4, 2)),
        ([0, 0, 0, -1], [1, 5, 4, 0], [1, 1, 1, 1], {"shrinkAxisMask": 8}, (1, 5, 4)),
        ([0, 2], [1, 4], [1, 1], {}, (1, 2, 4, 2)),
    ],
)
def test_strided_slice(
    begin: list[int],
    end: list[int],
    step: list[int],
    masks: dict[str, int],
    shape: tuple[int, ...],
) -> None:
    bounds = [constant(n, "int32") for n in (begin, end, step)]
    model = one("STRIDED_SLICE", [Tensor((1, 5, 4, 2)), *bounds], Tensor(shape), **SLICE, **masks)
    assert_equal_to_litert(model)


@pytest.mark.parametrize("axis", [1, 3, -1])
@pytest.mark.parametrize("behind_pooling", [False, True])
def test_concatenation(axis: int, behind_pooling: bool) -> None:
    shape = [1, 4, 4, 2]
    joined = list(shape)
    joined[axis] *= 2
    options = {"kind": "ConcatenationOptions", "axis": axis}
    model = one("CONCATENATION", [Tensor(shape), Tensor(shape)], Tensor(joined), **options)
    if behind_pooling:
        pool = {**POOL, "strideH": 1, "strideW": 1}
        model = build(
            [Tensor(shape), Tensor(shape), Tensor(joined)],
            [
                Operator("MAX_POOL_2D", [0], [1], pool),
                Operator("CONCATENATION", [0, 1], [2], options),
            ],
            [0],
            [2],
        )
    assert_equal_to_litert(model)


def test_concatenation_of_other_steps_is_requantised() -> None:
    options = {"kind": "ConcatenationOptions", "axis": 2}
    parts = [
        q(1, 3, 4, zero=100, dtype="uint8"),
        q(1, 3, 4, scale=0.02, zero=50, dtype="uint8"),
    ]
    whole = q(1, 3, 8, scale=0.05, zero=100, dtype="uint8")
    assert_equal_to_litert(one("CONCATENATION", parts, whole, **options))


def test_a_value_in_both_layouts_is_transposed_once() -> None:
    """Two convolutions read the same input: one Transpose feeds both."""
    model = build(
        [
            Tensor((1, 4, 4, 2), name="in"),
            constant(weights(3, 1, 1, 2)),
            Tensor((1, 4, 4, 3)),
            Tensor((1, 4, 4, 3)),
            Tensor((1, 4, 4, 3), name="out"),
            constant(weights(3)),
        ],
        [
            Operator("CONV_2D", [0, 1, 5], [2], CONV),
            Operator("CONV_2D", [0, 1, 5], [3], CONV),
            Operator("ADD", [2, 3], [4], {"kind": "AddOptions"}),
        ],
        [0],
        [4],
    )
    assert_equal_to_litert(model)
    kinds = [n.op_type for n in onnx.load_model_from_string(convert(model)).graph.node]
    assert kinds == ["Transpose", "Conv", "Conv", "Add", "Transpose"]


def test_names_layout_types_and_quantisation_of_the_edges_are_kept() -> None:
    model = build(
        [
            replaced(q(1, 4, 4, 3), "serving_default_x:0"),
            replaced(q(1, 4, 4, 3), "same"),
            replaced(q(1, 4, 4, 3, scale=0.25, zero=-3), "StatefulPartitionedCall:0"),
        ],
        [Operator("RELU", [0], [1]), Operator("RELU6", [1], [2])],
        [0],
        [2],
    )
    found = onnx.load_model_from_string(convert(model))
    assert [n.name for n in found.graph.input] == ["serving_default_x:0"]
    assert [n.name for n in found.graph.output] == ["StatefulPartitionedCall:0"]
    assert found.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.INT8
    assert found.ir_version == IR_VERSION
    assert [(n.domain, n.version) for n in found.opset_import] == [("", OPSET)]
    stated = {n.key: n.value for n in found.metadata_props}
    assert stated["quantisation of StatefulPartitionedCall:0"] == "0.25 -3"


def replaced(tensor: Tensor, name: str) -> Tensor:
    return Tensor(
        tensor.shape, tensor.dtype, tensor.data, tensor.scale, tensor.zero_point, name=name
    )


def test_equal_names_inside_the_file_are_kept_apart() -> None:
    model = build(
        [
            Tensor((1, 4), name="x"),
            Tensor((1, 4), name="y"),
            Tensor((1, 4), name="y#1"),
            Tensor((1, 4), name="y"),
        ],
        [Operator("RELU", [0], [1]), Operator("RELU6", [1], [2]), Operator("LOGISTIC", [2], [3])],
        [0],
        [3],
    )
    assert_equal_to_litert(model)


def test_names_that_look_like_ours_are_kept_apart() -> None:
    names = ["y#3", "y", "y#3#", "y", "z"]
    model = build(
        [Tensor((1, 4), name=name) for name in names],
        [Operator("RELU", [index], [index + 1]) for index in range(4)],
        [0],
        [4],
    )
    assert_equal_to_litert(model)


def test_a_quantised_value_is_made_real_once() -> None:
    source = q(1, 4, 4, 3)
    model = build(
        [source, q(1, 4, 4, 3, scale=0.1)],
        [Operator("ADD", [0, 0], [1], {"kind": "AddOptions"})],
        [0],
        [1],
    )
    assert_equal_to_litert(model)
    kinds = [n.op_type for n in onnx.load_model_from_string(convert(model)).graph.node]
    assert kinds == ["DequantizeLinear", "Add", "QuantizeLinear"]


def test_scales_without_as_many_zero_points_are_refused() -> None:
    source = Tensor((1, 4), "int8", scale=0.05, zero_point=())
    with pytest.raises(RejectedError, match="tensor 0 't0' has 1 scales and 0 zero points"):
        convert(one("RELU", [source], q(1, 4)))


def test_a_bias_need_not_state_its_scale() -> None:
    parts = [q(1, 8, 8, 3), INT8_KERNEL, constant([1] * 4, "int32")]
    assert convert(one("CONV_2D", parts, q(1, 8, 8, 4), **CONV))


def test_an_invalid_result_would_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No known model reaches this; the checker is made to complain."""

    def complain(*_: object, **__: object) -> None:
        raise onnx.checker.ValidationError("made up")

    monkeypatch.setattr(onnx.checker, "check_model", complain)
    with pytest.raises(RejectedError, match="not valid ONNX: made up"):
        convert(one("RELU", [P], RESULT))


def test_an_option_of_another_kind_is_refused() -> None:
    operator = TfliteOperator(0, "SOFTMAX", False, (0,), (1,), {"Beta": 1.5})
    with pytest.raises(RejectedError, match=r"option Beta is 1\.5"):
        operator.integer("Beta")


def test_an_open_batch_is_one() -> None:
    source = Tensor((1, 4, 4, 3), signature=(-1, 4, 4, 3))
    assert_equal_to_litert(one("RELU", [source], Tensor((1, 4, 4, 3))))


# --- Refusals -----------------------------------------------------------------------------------

P = Tensor((1, 8, 8, 3))
KERNEL = constant(weights(4, 3, 3, 3))
OUT = Tensor((1, 8, 8, 4))
RESULT = Tensor((1, 8, 8, 3))
SIZE = constant([16, 16], "int32")
BIG = Tensor((1, 16, 16, 3))
NEAREST = {"kind": "ResizeNearestNeighborOptions"}
CONNECTED = {"kind": "FullyConnectedOptions"}
INT8_KERNEL = constant(bytes_between(-9, 9, 4, 3, 3, 3), "int8", scale=0.01)


REFUSALS: list[tuple[str, bytes, str]] = [
    ("unknown operator", one("TANH", [P], RESULT), r"operator TANH \(index 0, makes tensor 1"),
    (
        "custom operator",
        one("TFLite_Detection_PostProcess", [P], RESULT),
        r"custom operator TFLite_Detection_PostProcess \(index 0",
    ),
    (
        "custom operator that is called like a known one",
        build([P, RESULT], [Operator("add", [0], [1])], [0], [1]),
        "custom operator add",
    ),
    ("two subgraphs", build([P, RESULT], [Operator("RELU", [0], [1])], [0], [1], subgraphs=2),
     "2 subgraphs"),
    ("no subgraph", build([P, RESULT], [], [0], [1], subgraphs=0), "no subgraph"),
    ("old schema", build([P, RESULT], [], [0], [1], version=2), "schema version 2"),
    ("no inputs", build([P, RESULT], [Operator("RELU", [0], [1])], [], [1]), "no inputs"),
    ("no outputs", build([P, RESULT], [Operator("RELU", [0], [1])], [0], []), "no outputs"),
    ("output twice", build([P, RESULT], [Operator("RELU", [0], [1])], [0], [1, 1]), "named twice"),
    ("input out of range", build([P, RESULT], [], [7], [1]), "is tensor 7, but there are 2"),
    ("operand out of range", build([P, RESULT], [Operator("RELU", [9], [1])], [0], [1]),
     "input of operator 0 RELU is tensor 9"),
    ("edges of one name", build([Tensor((1,), name="a"), Tensor((1,), name="a")],
     [Operator("RELU", [0], [1])], [0], [1]), "are called 'a'"),
    ("input is a constant", build([KERNEL, RESULT], [Operator("RELU", [0], [1])], [0], [1]),
     "is a constant"),
    ("output not computed", build([P, RESULT, RESULT], [Operator("RELU", [0], [1])], [0], [2]),
     "is not computed by any operator"),
    ("output is the input", build([P, RESULT], [Operator("RELU", [0], [1])], [0], [0]),
     "is not computed by any operator"),
    ("input of an unknown type", one("RELU", [Tensor((1, 4), "int32")], Tensor((1, 4), "int32")),
     "input tensor 0 't0' .int32 1x4. is of a type that is not understood"),
    ("output of an unknown type", one("RELU", [Tensor((1, 4))], Tensor((1, 4), "int16")),
     "int16 1x4. is of a type that is not understood"),
    ("dynamic input", one("RELU", [Tensor((1, 4, 4, 3), signature=(1, -1, -1, 3))], RESULT),
     "1x-1x-1x3. has a dynamic or empty dimension"),
    ("empty input", one("RELU", [Tensor((1, 0, 4, 3))], RESULT), "dynamic or empty dimension"),
    ("empty inside", build([P, Tensor((0,)), RESULT], [Operator("RELU", [0], [1]),
     Operator("RELU", [1], [2])], [0], [2]), "dynamic or empty dimension"),
    ("signature of another rank", one("RELU", [Tensor((1, 4), signature=(1, 4, 4))], RESULT),
     "has shape .1, 4. and signature .1, 4, 4."),
    ("too large", one("RELU", [Tensor((1, 65536, 65536, 3))], RESULT), "more than 268435456"),
    ("variable", one("RELU", [Tensor((1, 4), is_variable=True)], Tensor((1, 4))), "a variable"),
    ("sparse", one("RELU", [Tensor((1, 4), is_sparse=True)], Tensor((1, 4))), "is sparse"),
    ("reads what nobody wrote", build([P, P, RESULT], [Operator("RELU", [1], [2])], [0], [2]),
     "before any operator wrote it"),
    ("written twice", build([P, RESULT], [Operator("RELU", [0], [1]), Operator("RELU", [0], [1])],
     [0], [1]), "already has a value"),
    ("two outputs", build([P, RESULT, RESULT], [Operator("RELU", [0], [1, 2])], [0], [1]),
     "has 2 outputs"),
    ("no operand", build([P, RESULT], [Operator("RELU", [], [1])], [0], [1]),
     "input 0 is missing"),
    ("mixed types", one("RELU", [q(1, 4)], Tensor((1, 4))), "mixes float32 and quantised"),
    ("no quantisation", one("RELU", [Tensor((1, 4), "int8")], q(1, 4)), "has no quantisation"),
    ("two scales", one("RELU", [Tensor((1, 2), "int8", scale=[1, 2], zero_point=[0, 0])], q(1, 2)),
     "has 2 scales"),
    ("negative scale", one("RELU", [q(1, 4, scale=-1)], q(1, 4)), "not a positive number"),
    ("infinite scale", one("RELU", [q(1, 4, scale=float("inf"))], q(1, 4)), "not a positive"),
    ("zero point", one("RELU", [q(1, 4, zero=300)], q(1, 4)), "outside -128..127"),
    ("other shape", one("RELU", [Tensor((1, 4))], Tensor((1, 5))),
     r"gives shape \(1, 4\), but the file states \(1, 5\)"),
    ("constant of the wrong size", one("ADD", [P, Tensor((1, 9), data=np.zeros(3, "f"))], P),
     "should hold 36 bytes but has 12"),
    ("data behind the file", one("ADD", [P, Tensor((3,), data=weights(3), offset=4096)], P),
     "lies behind the flatbuffer"),
    (
        "operator code",
        build([P, RESULT], [Operator("RELU", [0], [1], code=9)], [0], [1]),
        "operator 0 has code 9, but there are 1",
    ),
    (
        "buffer",
        one("RELU", [Tensor((1, 4), buffer=99)], Tensor((1, 4))),
        "is in buffer 99, but there are 1",
    ),
    (
        "truth values",
        one("ADD", [P, constant([True], "bool")], P, kind="AddOptions"),
        "is of a type that is not understood",
    ),
    (
        "bias scales of another number",
        one(
            "CONV_2D",
            [
                q(1, 8, 8, 3),
                INT8_KERNEL,
                constant([1] * 4, "int32", scale=[1, 2], zero_point=[0, 0]),
            ],
            q(1, 8, 8, 4),
            **CONV,
        ),
        "not input scale x weight scale",
    ),
    (
        "scales that overflow",
        one(
            "CONV_2D",
            [
                q(1, 8, 8, 3, scale=1e30),
                constant(np.ones((4, 3, 3, 3)), "int8", scale=1e30),
                constant([1] * 4, "int32"),
            ],
            q(1, 8, 8, 4),
            **CONV,
        ),
        "scales too far from 1",
    ),
    (
        "padding to another type",
        one(
            "PAD",
            [q(1, 4), constant([[0, 0], [0, 1]], "int32")],
            q(1, 5, dtype="uint8"),
        ),
        "different types or quantisations",
    ),
    # options
    ("no options", one("CONV_2D", [P, KERNEL], OUT), "has no Conv2DOptions"),
    ("options of another kind", one("CONV_2D", [P, KERNEL], OUT, kind="Pool2DOptions"),
     "has options of type 5, not Conv2DOptions"),
    ("fused activation", one("CONV_2D", [P, KERNEL], OUT, **CONV, fusedActivationFunction=TANH),
     "operator 0 CONV_2D: fused activation TANH is not understood"),
    ("unheard-of activation", one("CONV_2D", [P, KERNEL], OUT, **CONV, fusedActivationFunction=77),
     "fused activation 77"),
    ("padding", one("CONV_2D", [P, KERNEL], OUT, **CONV, padding=5), "padding 5"),
    ("stride", one("CONV_2D", [P, KERNEL], OUT, **{**CONV, "strideH": 0}), "StrideH is 0"),
    ("dilation", one("CONV_2D", [P, KERNEL], OUT, **CONV, dilationWFactor=-1),
     "DilationWFactor is -1"),
    # convolutions
    ("weights that are computed", one("CONV_2D", [P, Tensor((4, 3, 3, 3))], OUT, **CONV),
     "must be a constant"),
    ("rank of weights", one("CONV_2D", [P, constant(weights(4, 3, 3))], OUT, **CONV),
     "should have 4 dimensions"),
    ("sparse weights", one("CONV_2D", [P, Tensor((4, 3, 3, 3), data=weights(4, 3, 3, 3),
     is_sparse=True)], OUT, **CONV), "is sparse"),
    ("channels", one("CONV_2D", [P, constant(weights(4, 3, 3, 5))], OUT, **CONV),
     "reads 5 channels"),
    ("rank", one("CONV_2D", [Tensor((8, 8, 3)), KERNEL], OUT, **CONV), "four dimensions"),
    ("window", one("CONV_2D", [P, constant(weights(4, 9, 9, 3))], OUT, **CONV, padding=VALID),
     "a window of 9 does not fit"),
    ("dynamic range", one("CONV_2D", [P, INT8_KERNEL], OUT, **CONV), "'dynamic range'"),
    ("integer weights", one("CONV_2D", [P, constant(np.zeros((4, 3, 3, 3)), "int32")], OUT, **CONV),
     "does not fit"),
    ("weights without scale", one("CONV_2D", [q(1, 8, 8, 3), constant(np.ones((4, 3, 3, 3)),
     "int8")], q(1, 8, 8, 4), **CONV), "has no quantisation"),
    ("scales along another dimension", one("CONV_2D", [q(1, 8, 8, 3), constant(
        np.ones((4, 3, 3, 3)), "int8", scale=[1, 2, 3], zero_point=[0] * 3, axis=3)],
     q(1, 8, 8, 4), **CONV), "has 3 scales along dimension 3"),
    ("bias of another length", one("CONV_2D", [P, KERNEL, constant(weights(5))], OUT, **CONV),
     r"should have shape \(4,\)"),
    ("integer bias", one("CONV_2D", [P, KERNEL, constant([1] * 4, "int32")], OUT, **CONV),
     "should be float32"),
    ("float bias", one("CONV_2D", [q(1, 8, 8, 3), INT8_KERNEL, constant(weights(4))],
     q(1, 8, 8, 4), **CONV), "should be int32"),
    ("bias scale", one("CONV_2D", [q(1, 8, 8, 3), INT8_KERNEL, constant([1] * 4, "int32",
     scale=0.5)], q(1, 8, 8, 4), **CONV), "not input scale x weight scale"),
    ("multiplier", one("DEPTHWISE_CONV_2D", [P, constant(weights(1, 3, 3, 4))], OUT, **DEPTHWISE),
     "depth multiplier of 1"),
    ("shuffled weights", one("FULLY_CONNECTED", [Tensor((1, 4)), constant(weights(2, 4))],
     Tensor((1, 2)), **CONNECTED, weightsFormat=1), "shuffled"),
    ("rows", one("FULLY_CONNECTED", [Tensor((1, 5)), constant(weights(2, 4))], Tensor((1, 2)),
     **CONNECTED), "rows of 4"),
    ("kept dimensions", one("FULLY_CONNECTED", [Tensor((1, 2, 2)), constant(weights(2, 4))],
     Tensor((1, 2)), **CONNECTED, keepNumDims=True), "is not 4 wide"),
    # the others
    ("broadcast", one("ADD", [P, constant(weights(2))], P, kind="AddOptions"),
     "do not fit together"),
    ("beta", one("SOFTMAX", [P], RESULT, kind="SoftmaxOptions", beta=2.0), "beta 2.0"),
    ("softmax of a number", one("SOFTMAX", [Tensor(())], Tensor(()), kind="SoftmaxOptions",
     beta=1.0), "no dimension"),
    ("quantise to float", one("QUANTIZE", [P], RESULT), "is not quantised"),
    ("dequantise to integer", one("DEQUANTIZE", [q(1, 4)], q(1, 4)), "is not understood"),
    ("half float that is computed", one("DEQUANTIZE", [Tensor((1, 4), "float16")], Tensor((1, 4))),
     "float16"),
    ("half float to integer", build([P, constant([1.0], "float16"), q(1), RESULT],
     [Operator("DEQUANTIZE", [1], [2]), Operator("RELU", [0], [3])], [0], [3]),
     "is not understood"),
    ("half float to two", build([P, constant([1.0], "float16"), Tensor((1,)), Tensor((1,))],
     [Operator("DEQUANTIZE", [1], [2, 3])], [0], [3]), "has 2 outputs"),
    ("half float is the output", build([P, constant([1.0], "float16"), Tensor((1,))],
     [Operator("DEQUANTIZE", [1], [2])], [0], [2]), "is not computed"),
    ("paddings", one("PAD", [P, constant([1, 2], "int32")], P), "paddings .1, 2. are not"),
    ("negative padding", one("PAD", [P, constant([[0, 0], [-1, 0], [0, 0], [0, 0]], "int32")], P),
     "are not understood"),
    ("padding to other steps", one("PAD", [q(1, 4), constant([[0, 0], [0, 1]], "int32")],
     q(1, 5, scale=0.5)), "different types or quantisations"),
    ("paddings of a strange type", one("PAD", [P, constant(np.zeros((4, 2)), "int8")], P),
     "should be int32 or int64"),
    ("no shape", one("RESHAPE", [P], Tensor((192,))), "no shape is given"),
    ("shape with two holes", one("RESHAPE", [P, constant([-1, -1], "int32")], Tensor((192, 1))),
     "is not understood"),
    ("shape of another size", one("RESHAPE", [P, constant([191], "int32")], Tensor((191,))),
     "is not understood"),
    ("shape with too few", one("RESHAPE", [P, constant([96], "int32")], Tensor((96,))),
     "has 192 elements"),
    ("order", one("TRANSPOSE", [P, constant([0, 1, 1, 2], "int32")], P), "order"),
    ("ellipsis", one("STRIDED_SLICE", [P, SIZE, SIZE, SIZE], P, **SLICE, ellipsisMask=1),
     "EllipsisMask = 1"),
    ("offset", one("STRIDED_SLICE", [P, SIZE, SIZE, SIZE], P, **SLICE, offset=True), "Offset"),
    ("slice bounds", one("STRIDED_SLICE", [P, SIZE, SIZE, constant([1], "int32")], P, **SLICE),
     "do not fit"),
    ("backwards", one("STRIDED_SLICE", [P, SIZE, SIZE, constant([1, -1], "int32")], P, **SLICE),
     "step -1"),
    ("index outside", one("STRIDED_SLICE", [P, SIZE, SIZE, constant([1, 1], "int32")], P, **SLICE,
     shrinkAxisMask=1), "index 16"),
    ("axis", one("CONCATENATION", [P, P], P, kind="ConcatenationOptions", axis=4), "axis 4"),
    ("parts", one("CONCATENATION", [P, BIG], P, kind="ConcatenationOptions", axis=3),
     "does not fit tensor 0"),
    ("pool", one("MAX_POOL_2D", [P], P, **{**POOL, "filterWidth": 0}), "FilterWidth is 0"),
    ("mean axes", one("MEAN", [P, constant([4], "int32")], P, kind="ReducerOptions"), "axes .4."),
    ("align corners", one("RESIZE_NEAREST_NEIGHBOR", [P, SIZE], BIG, **NEAREST, alignCorners=True),
     "align_corners"),
    ("enlargement", one("RESIZE_NEAREST_NEIGHBOR", [P, constant([12, 12], "int32")],
     Tensor((1, 12, 12, 3)), **NEAREST), "from 8 to 12"),
    ("size", one("RESIZE_NEAREST_NEIGHBOR", [P, constant([16], "int32")], BIG, **NEAREST),
     "size .16. is not"),
    ("resize to other steps", one("RESIZE_NEAREST_NEIGHBOR", [q(1, 8, 8, 3), SIZE],
     q(1, 16, 16, 3, scale=0.5), **NEAREST), "quantised differently"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "reason"),
    [pytest.param(model, reason, id=name) for name, model, reason in REFUSALS],
)
def test_refused_with_the_reason(model: bytes, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        convert(model)


def test_an_open_option_table_stands_for_zeros_where_litert_says_so() -> None:
    model = one("RESIZE_NEAREST_NEIGHBOR", [P, SIZE], BIG)
    assert onnx.load_model_from_string(convert(model)).graph.node


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes only"),
        (b"TFL3", "4 bytes only"),
        (b"\0\0\0\0ONNX" + bytes(100), "not b'TFL3'"),
        (
            b"\xff\xff\xff\xffTFL3" + bytes(100),
            r"^the .* model is truncated or damaged \(108 bytes\); download it again$",
        ),
    ],
)
def test_what_is_no_model_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        convert(content)


def test_counts_that_cannot_fit_in_the_file_are_not_walked() -> None:
    """A vector length of four thousand million must not become a loop."""
    model = bytearray(one("RELU", [P], RESULT))
    for place in range(len(model) - 4):
        damaged = bytearray(model)
        damaged[place : place + 4] = b"\xff\xff\xff\xf0"
        try:
            convert(bytes(damaged))
        except RejectedError:
            continue


def detector(options: bytes | None, name: str = "TFLite_Detection_PostProcess") -> bytes:
    return one(name, [Tensor((1, 10, 4))], Tensor((1, 10, 4)), custom=options)


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (detector(flexbuffers.Dumps({"max_detections": 10, "num_classes": 2})), 2),
        (detector(flexbuffers.Dumps({"num_classes": 10_000})), 10_000),
        (detector(flexbuffers.Dumps({"num_classes": 10_001})), None),
        (detector(flexbuffers.Dumps({"num_classes": 0})), None),
        (detector(flexbuffers.Dumps({"num_classes": -2})), None),
        (detector(flexbuffers.Dumps({"num_classes": "many"})), None),
        (detector(flexbuffers.Dumps({"max_detections": 10})), None),
        (detector(flexbuffers.Dumps(7)), None),
        (detector(flexbuffers.Dumps({"num_classes": 2})[:3]), None),
        (detector(b""), None),
        (detector(None), None),
        (detector(flexbuffers.Dumps({"num_classes": 2}), "Another_PostProcess"), None),
        (one("RELU", [Tensor((1, 4))], Tensor((1, 4))), None),
    ],
)
def test_a_detector_says_how_many_classes_it_has(content: bytes, count: int | None) -> None:
    assert read(content).class_count == count


@given(options=st.binary(max_size=64))
def test_no_options_of_a_detector_break_the_reader(options: bytes) -> None:
    count = read(detector(options)).class_count
    assert count is None or 0 < count <= MAX_CLASSES


def test_every_lowering_is_named_after_a_builtin_operator() -> None:
    assert len(LOWERINGS) == 21
