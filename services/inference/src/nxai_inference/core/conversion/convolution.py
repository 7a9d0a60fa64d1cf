"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED: weights, bias and explicit padding."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nxai_inference.core.conversion.builder import (
    QUANTISED,
    RANK_OF_PICTURES,
    GraphBuilder,
    Layout,
    check_steps,
    refuse,
)
from nxai_inference.core.conversion.reader import TfliteOperator, TfliteTensor

_SAME: Final = 0
_VALID: Final = 1

_LONGEST: Final = 1 << 16
"""Of a window, a stride, a dilation: far beyond any picture a model reads."""

_BIAS_TOLERANCE: Final = 0.02
"""TensorFlow Lite's own bound on how far a bias scale may be from input x weight scale, as a
fraction of the output scale (kernel_util.cc, PopulateConvolutionQuantizationParams)."""


def lower_conv_2d(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Weights OHWI become OIHW."""
    (source,), output = builder.activations(operator)
    weights = builder.tensor(operator, 1)
    kernel = _weights(operator, builder, weights, RANK_OF_PICTURES)
    out_channels, kernel_h, kernel_w, in_channels = kernel.shape
    channels = picture_channels(operator, source)
    if in_channels != channels:
        raise refuse(operator, f"{weights} reads {in_channels} channels, {source} has {channels}")
    pads, size = window(operator, source, (kernel_h, kernel_w))
    builder.check_shape(operator, output, (source.shape[0], *size, out_channels))
    builder.emit_real(
        "Conv",
        [
            builder.real(operator, source, Layout.NCHW),
            _weights_value(operator, builder, weights, kernel.transpose(0, 3, 1, 2), (0, 0)),
            *_bias(operator, builder, (source, weights, output), out_channels),
        ],
        output,
        Layout.NCHW,
        activation=builder.activation(operator),
        kernel_shape=[kernel_h, kernel_w],
        strides=pair(operator, "Stride"),
        dilations=pair(operator, "Dilation"),
        pads=pads,
    )


def lower_depthwise_conv_2d(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Weights 1HWC become C1HW with one group per input channel."""
    (source,), output = builder.activations(operator)
    weights = builder.tensor(operator, 1)
    kernel = _weights(operator, builder, weights, RANK_OF_PICTURES)
    first, kernel_h, kernel_w, out_channels = kernel.shape
    channels = picture_channels(operator, source)
    multiplier = positive(operator, "DepthMultiplier")
    if first != 1 or out_channels != channels * multiplier:
        raise refuse(
            operator,
            f"{weights} does not fit {source} with a depth multiplier of {multiplier}",
        )
    pads, size = window(operator, source, (kernel_h, kernel_w))
    builder.check_shape(operator, output, (source.shape[0], *size, out_channels))
    builder.emit_real(
        "Conv",
        [
            builder.real(operator, source, Layout.NCHW),
            _weights_value(operator, builder, weights, kernel.transpose(3, 0, 1, 2), (3, 0)),
            *_bias(operator, builder, (source, weights, output), out_channels),
        ],
        output,
        Layout.NCHW,
        activation=builder.activation(operator),
        group=channels,
        kernel_shape=[kernel_h, kernel_w],
        strides=pair(operator, "Stride"),
        dilations=pair(operator, "Dilation"),
        pads=pads,
    )


def lower_fully_connected(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Weights (outputs, inputs), the input flattened in NHWC order to rows of that length."""
    (source,), output = builder.activations(operator)
    if operator.integer("WeightsFormat") != 0:
        raise refuse(operator, "shuffled weights are not understood")
    weights = builder.tensor(operator, 1)
    matrix = _weights(operator, builder, weights, 2)
    outputs, inputs = matrix.shape
    elements = math.prod(source.shape)
    if elements % inputs:
        raise refuse(operator, f"{source} cannot be cut into rows of {inputs}")
    rows = elements // inputs
    given = (rows, outputs)
    if operator.integer("KeepNumDims"):
        if source.shape[-1:] != (inputs,):
            raise refuse(operator, f"{source} keeps its dimensions but is not {inputs} wide")
        builder.check_shape(operator, output, (*source.shape[:-1], outputs))
    else:
        builder.check_shape(operator, output, given)
    value = builder.real(operator, source)
    if source.shape != (rows, inputs):
        shaped = builder.fresh("rows")
        builder.node("Reshape", [value, _shape(builder, (rows, inputs))], [shaped])
        value = shaped
    operands = [
        value,
        _weights_value(operator, builder, weights, matrix, (0, 0)),
        *_bias(operator, builder, (source, weights, output), outputs),
    ]
    activation = builder.activation(operator)
    if output.shape == given:
        builder.emit_real("Gemm", operands, output, activation=activation, transB=1)
        return
    product = builder.fresh("product")
    builder.node("Gemm", operands, [product], transB=1)
    builder.emit_real(
        "Reshape", [product, _shape(builder, output.shape)], output, activation=activation
    )


def picture_channels(operator: TfliteOperator, source: TfliteTensor) -> int:
    """Return the channels of a four-dimensional NHWC tensor, or refuse any other rank."""
    if len(source.shape) != RANK_OF_PICTURES:
        raise refuse(operator, f"{source} should have four dimensions")
    return source.shape[-1]


def window(
    operator: TfliteOperator, source: TfliteTensor, kernel: tuple[int, int]
) -> tuple[list[int], tuple[int, int]]:
    """Work out the padding of a sliding window.

    TensorFlow's SAME is not symmetrical: when the total is odd, the extra row goes to the end.

    Returns:
        ONNX ``pads`` (top, left, bottom, right), and the output's (height, width).
    """
    strides = pair(operator, "Stride")
    dilations = pair(operator, "Dilation")
    padding = operator.integer("Padding")
    begins, ends, sizes = [], [], []
    for length, taps, stride, dilation in zip(
        source.shape[1:3], kernel, strides, dilations, strict=True
    ):
        reach = (taps - 1) * dilation + 1
        if padding == _SAME:
            size = -(-length // stride)
            total = max((size - 1) * stride + reach - length, 0)
        elif padding == _VALID:
            size = -(-(length - reach + 1) // stride)
            total = 0
        else:
            raise refuse(operator, f"padding {padding} is not understood")
        if size < 1:
            raise refuse(operator, f"a window of {taps} does not fit into {source}")
        begins.append(total // 2)
        ends.append(total - total // 2)
        sizes.append(size)
    return [*begins, *ends], (sizes[0], sizes[1])


def positive(operator: TfliteOperator, option: str) -> int:
    """Return a whole-number option that must be at least 1."""
    value = operator.integer(option)
    if not 1 <= value <= _LONGEST:
        raise refuse(operator, f"{option} is {value}, which is not understood")
    return value


def pair(operator: TfliteOperator, kind: str) -> list[int]:
    """Return an option that exists along height and width: Stride or Dilation (1 for pools)."""
    suffix = "Factor" if kind == "Dilation" else ""
    if kind == "Dilation" and "DilationHFactor" not in operator.options:
        return [1, 1]
    return [positive(operator, f"{kind}{axis}{suffix}") for axis in "HW"]


def _shape(builder: GraphBuilder, shape: tuple[int, ...]) -> str:
    return builder.initializer(np.array(shape, dtype=np.int64))


def _weights(
    operator: TfliteOperator, builder: GraphBuilder, weights: TfliteTensor, rank: int
) -> NDArray[Any]:
    """Return the constant weights, float32 or quantised just as the input is."""
    source = builder.tensor(operator, 0)
    kernel = builder.constant_value(operator, weights)
    if kernel.ndim != rank:
        raise refuse(operator, f"{weights} should have {rank} dimensions")
    if weights.is_sparse:
        raise refuse(operator, f"{weights} is sparse")
    quantised = str(kernel.dtype) in QUANTISED
    if quantised != (source.dtype in QUANTISED) or not (quantised or kernel.dtype == np.float32):
        raise refuse(
            operator,
            f"{weights} does not fit {source}: only float32 with float32, or 8-bit with 8-bit "
            "(weights alone quantised, 'dynamic range', is not understood)",
        )
    return kernel


def _weights_value(
    operator: TfliteOperator,
    builder: GraphBuilder,
    weights: TfliteTensor,
    kernel: NDArray[Any],
    axes: tuple[int, int],
) -> str:
    """Return the name of the weights' real values.

    Args:
        operator: Who reads them.
        builder: The graph.
        weights: The tensor of the file.
        kernel: Its values in ONNX order.
        axes: Dimension of the output channel in the file and in ONNX.
    """
    if weights.dtype not in QUANTISED:
        return builder.initializer(kernel)
    found = weights.quantisation
    if found is None:
        raise refuse(operator, f"{weights} has no quantisation")
    check_steps(operator, weights)
    stored = builder.initializer(kernel)
    real = builder.fresh("weights")
    if found.scales.size == 1:
        builder.node("DequantizeLinear", [stored, *builder.steps(weights)], [real])
        return real
    in_file, in_onnx = axes
    if found.axis != in_file or found.scales.size != kernel.shape[in_onnx]:
        raise refuse(
            operator,
            f"{weights} has {found.scales.size} scales along dimension {found.axis}, "
            f"expected one for each of {kernel.shape[in_onnx]} outputs along {in_file}",
        )
    scales = builder.initializer(found.scales)
    zeros = builder.initializer(found.zero_points.astype(weights.dtype))
    builder.node("DequantizeLinear", [stored, scales, zeros], [real], axis=in_onnx)
    return real


def _bias(
    operator: TfliteOperator,
    builder: GraphBuilder,
    tensors: tuple[TfliteTensor, TfliteTensor, TfliteTensor],
    outputs: int,
) -> list[str]:
    """Return the name of the bias's real values in a list, or an empty list without a bias."""
    bias = builder.optional_tensor(operator, 2)
    if bias is None:
        return []
    source, weights, output = tensors
    value = builder.constant_value(operator, bias)
    if value.shape != (outputs,):
        raise refuse(operator, f"{bias} should have shape ({outputs},)")
    if source.dtype not in QUANTISED:
        if value.dtype != np.float32:
            raise refuse(operator, f"{bias} should be float32")
        return [builder.initializer(value)]
    if value.dtype != np.int32:
        raise refuse(operator, f"{bias} should be int32")
    # TensorFlow Lite adds the stored bias to an accumulator that counts in these steps,
    # whatever scale the bias itself states; it only checks that the two are close.
    assert source.quantisation is not None  # noqa: S101 - for mypy; both were checked
    assert weights.quantisation is not None  # noqa: S101 - for mypy, as above
    assert output.quantisation is not None  # noqa: S101 - for mypy, as above
    with np.errstate(over="ignore", under="ignore"):
        scales = np.float32(source.quantisation.scale) * weights.quantisation.scales
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise refuse(operator, f"{weights} and {source} have scales too far from 1")
    if bias.quantisation is not None:
        stated = bias.quantisation.scales.astype(np.float64)
        apart = np.abs(stated - scales) if stated.size in (1, scales.size) else np.inf
        if not np.all(apart / output.quantisation.scale <= _BIAS_TOLERANCE):
            raise refuse(operator, f"{bias} has a scale that is not input scale x weight scale")
    stored = builder.initializer(value)
    real = builder.fresh("bias")
    if scales.size == 1:
        scalar = builder.initializer(scales.reshape(()))
        builder.node("DequantizeLinear", [stored, scalar], [real])
    else:
        builder.node("DequantizeLinear", [stored, builder.initializer(scales)], [real], axis=0)
    return [real]
