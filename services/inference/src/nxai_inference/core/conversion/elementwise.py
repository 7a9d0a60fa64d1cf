"""ADD, SUB, MUL, LOGISTIC, RELU, RELU6, SOFTMAX, QUANTIZE, DEQUANTIZE."""

import numpy as np

from nxai_inference.core.conversion.builder import (
    QUANTISED,
    RANK_OF_PICTURES,
    GraphBuilder,
    Layout,
    refuse,
)
from nxai_inference.core.conversion.movement import same_steps
from nxai_inference.core.conversion.reader import TfliteOperator, TfliteTensor


def lower_add(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Sum, with broadcasting."""
    _binary(operator, builder, "Add")


def lower_sub(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Difference, with broadcasting."""
    _binary(operator, builder, "Sub")


def lower_mul(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Product, with broadcasting."""
    _binary(operator, builder, "Mul")


def _binary(operator: TfliteOperator, builder: GraphBuilder, kind: str) -> None:
    sources, output = builder.activations(operator, inputs=(0, 1))
    try:
        expected = np.broadcast_shapes(*(source.shape for source in sources))
    except ValueError as error:
        raise refuse(operator, f"{sources[0]} and {sources[1]} do not fit together") from error
    builder.check_shape(operator, output, expected)
    layout = _layout(builder, sources)
    builder.emit_real(
        kind,
        [_operand(operator, builder, source, layout) for source in sources],
        output,
        layout,
        activation=builder.activation(operator),
    )


def _layout(builder: GraphBuilder, sources: list[TfliteTensor]) -> Layout:
    """Choose NCHW when that spares a transpose and every computed input can follow."""
    computed = [source for source in sources if builder.value_of(source) is None]
    if any(len(source.shape) != RANK_OF_PICTURES for source in computed):
        return Layout.NHWC
    if any(builder.has_layout(source, Layout.NCHW) for source in computed):
        return Layout.NCHW
    return Layout.NHWC


def _operand(
    operator: TfliteOperator, builder: GraphBuilder, source: TfliteTensor, layout: Layout
) -> str:
    """Return real values in `layout`; a constant of lower rank is first padded with ones."""
    rank = len(source.shape)
    if layout is Layout.NHWC or rank == RANK_OF_PICTURES:
        return builder.real(operator, source, layout)
    value = builder.real(operator, source)
    if rank == 0:
        return value
    # Right-aligned in NHWC: (C), (W, C) or (H, W, C); in NCHW its channels stand before H, W.
    height, width, channels = (*(1,) * (3 - rank), *source.shape)
    shaped = builder.fresh("broadcast")
    shape = builder.initializer(np.array([1, height, width, channels], dtype=np.int64))
    builder.node("Reshape", [value, shape], [shaped])
    if (height, width) == (1, 1):
        return _channels_first(builder, shaped, channels)
    turned = builder.fresh("broadcast")
    builder.node("Transpose", [shaped], [turned], perm=[0, 3, 1, 2])
    return turned


def _channels_first(builder: GraphBuilder, value: str, channels: int) -> str:
    turned = builder.fresh("broadcast")
    shape = builder.initializer(np.array([1, channels, 1, 1], dtype=np.int64))
    builder.node("Reshape", [value, shape], [turned])
    return turned


def lower_logistic(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Sigmoid."""
    _unary(operator, builder, "Sigmoid")


def lower_relu(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Negative values become 0."""
    _unary(operator, builder, "Relu")


def lower_relu6(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Clamp to 0..6."""
    limits = [builder.initializer(np.array(n, dtype=np.float32)) for n in (0.0, 6.0)]
    _unary(operator, builder, "Clip", *limits)


def _unary(operator: TfliteOperator, builder: GraphBuilder, kind: str, *operands: str) -> None:
    (source,), output = builder.activations(operator)
    builder.check_shape(operator, output, source.shape)
    layout = _layout(builder, [source])
    builder.emit_real(kind, [builder.real(operator, source, layout), *operands], output, layout)


def lower_softmax(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Over the last dimension of the file's layout: a picture is brought back to NHWC first."""
    (source,), output = builder.activations(operator)
    builder.check_shape(operator, output, source.shape)
    if not source.shape:
        raise refuse(operator, f"{source} has no dimension to work along")
    if operator.options["Beta"] != 1.0:
        raise refuse(operator, f"beta {operator.options['Beta']} is not understood, only 1")
    builder.emit_real("Softmax", [builder.real(operator, source)], output, axis=-1)


def lower_quantize(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """From real values to stored ones, or from one quantisation to another."""
    (source,), output = builder.activations(operator)
    builder.check_shape(operator, output, source.shape)
    if output.dtype not in QUANTISED:
        raise refuse(operator, f"{output} is not quantised")
    layout = _layout(builder, [source])
    value = builder.real(operator, source, layout)
    if source.dtype == output.dtype and same_steps(source, output):
        value = builder.stored(operator, source, layout)
        builder.emit_stored("Identity", [value], output, layout)
        return
    builder.emit_stored("QuantizeLinear", [value, *builder.steps(output)], output, layout)


def lower_dequantize(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """From stored values to real ones; a float16 constant becomes a float32 one at conversion."""
    if builder.fold_dequantize(operator):
        return
    (source,), output = builder.activations(operator)
    builder.check_shape(operator, output, source.shape)
    if source.dtype not in QUANTISED or output.dtype != "float32":
        raise refuse(operator, f"from {source} to {output} is not understood")
    layout = _layout(builder, [source])
    value = builder.stored(operator, source, layout)
    builder.emit_stored("DequantizeLinear", [value, *builder.steps(source)], output, layout)
