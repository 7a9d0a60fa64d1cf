"""PAD, RESHAPE, TRANSPOSE, STRIDED_SLICE, CONCATENATION: values move, nothing is computed.

All work on the stored values, so that nothing is rounded.
"""

import math
from typing import Final

import numpy as np

from nxai_inference.core.conversion.builder import (
    QUANTISED,
    RANK_OF_PICTURES,
    GraphBuilder,
    Layout,
    refuse,
)
from nxai_inference.core.conversion.reader import TfliteOperator, TfliteTensor

_NCHW_AXIS: Final = (0, 2, 3, 1)
"""Where each NHWC dimension is found in NCHW."""


def same_steps(first: TfliteTensor, second: TfliteTensor) -> bool:
    """Whether equal stored values mean equal real ones."""
    if first.dtype != second.dtype:
        return False
    if first.dtype not in QUANTISED:
        return True
    one, other = first.quantisation, second.quantisation
    return (
        one is not None
        and other is not None
        and (one.scale, one.zero_point) == (other.scale, other.zero_point)
    )


def _movable(operator: TfliteOperator, source: TfliteTensor, output: TfliteTensor) -> None:
    if not same_steps(source, output):
        raise refuse(operator, f"{source} and {output} are of different types or quantisations")


def _at_hand(builder: GraphBuilder, sources: list[TfliteTensor]) -> Layout:
    """NCHW when every input is a picture and one of them is already there so."""
    if any(len(source.shape) != RANK_OF_PICTURES for source in sources):
        return Layout.NHWC
    if any(builder.has_layout(source, Layout.NCHW) for source in sources):
        return Layout.NCHW
    return Layout.NHWC


def lower_pad(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Pad with the real value 0, which a quantised tensor stores as its zero point."""
    (source,), output = builder.activations(operator)
    _movable(operator, source, output)
    rank = len(source.shape)
    amounts = builder.integers(operator, 1)
    if len(amounts) != 2 * rank or min(amounts, default=0) < 0:
        raise refuse(operator, f"paddings {amounts} are not understood for {source}")
    begins, ends = amounts[0::2], amounts[1::2]
    builder.check_shape(
        operator,
        output,
        [n + a + b for n, a, b in zip(source.shape, begins, ends, strict=True)],
    )
    layout = _at_hand(builder, [source])
    order = (0, 3, 1, 2) if layout is Layout.NCHW else range(rank)
    pads = np.array([*(begins[i] for i in order), *(ends[i] for i in order)], dtype=np.int64)
    zero = (
        source.quantisation.zero_point if source.dtype in QUANTISED and source.quantisation else 0
    )
    builder.emit_stored(
        "Pad",
        [
            builder.stored(operator, source, layout),
            builder.initializer(pads),
            builder.initializer(np.array(zero, dtype=source.dtype)),
        ],
        output,
        layout,
        mode="constant",
    )


def lower_reshape(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """The stated output shape rules; the shape asked for must agree with it."""
    (source,), output = builder.activations(operator)
    _movable(operator, source, output)
    wanted = operator.options.get("NewShape")
    asked = builder.optional_tensor(operator, 1)
    if asked is not None:
        wanted = tuple(builder.integers(operator, 1))
    if not isinstance(wanted, tuple):
        raise refuse(operator, "no shape is given")
    free = wanted.count(-1)
    known = math.prod(n for n in wanted if n != -1)
    elements = math.prod(source.shape)
    if free > 1 or min(wanted, default=1) < -1 or known < 1 or elements % known:
        raise refuse(operator, f"shape {wanted} is not understood for {source}")
    builder.check_shape(operator, output, [elements // known if n == -1 else n for n in wanted])
    if math.prod(output.shape) != elements:
        raise refuse(operator, f"{source} has {elements} elements, {output} has others")
    shape = builder.initializer(np.array(output.shape, dtype=np.int64))
    builder.emit_stored("Reshape", [builder.stored(operator, source), shape], output)


def lower_transpose(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Constant order of the dimensions, in the file's layout."""
    (source,), output = builder.activations(operator)
    _movable(operator, source, output)
    order = builder.integers(operator, 1)
    if sorted(order) != list(range(len(source.shape))):
        raise refuse(operator, f"order {order} is not understood for {source}")
    builder.check_shape(operator, output, [source.shape[axis] for axis in order])
    builder.emit_stored("Transpose", [builder.stored(operator, source)], output, perm=order)


def lower_strided_slice(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Constant begin, end and step, with the masks that leave an end open or drop a dimension."""
    (source,), output = builder.activations(operator)
    _movable(operator, source, output)
    for name in ("EllipsisMask", "NewAxisMask", "Offset"):
        if operator.integer(name):
            raise refuse(operator, f"option {name} = {operator.integer(name)} is not understood")
    begins, ends, steps = (builder.integers(operator, position) for position in (1, 2, 3))
    if not len(begins) == len(ends) == len(steps) <= len(source.shape):
        raise refuse(operator, f"begin {begins}, end {ends} and step {steps} do not fit {source}")
    dropped = operator.integer("ShrinkAxisMask")
    bounds = [(0, length, 1) for length in source.shape]
    for axis in range(len(begins)):
        wanted = (begins[axis], ends[axis], steps[axis])
        bounds[axis] = _slice_bounds(operator, source, axis, wanted)
    builder.check_shape(
        operator,
        output,
        [len(range(*bound)) for axis, bound in enumerate(bounds) if not dropped >> axis & 1],
    )
    first, last, step = (
        builder.initializer(np.array(column, dtype=np.int64))
        for column in zip(*bounds, strict=True)
    )
    axes = builder.initializer(np.arange(len(bounds), dtype=np.int64))
    operands = [builder.stored(operator, source), first, last, axes, step]
    if len(output.shape) == len(bounds):
        builder.emit_stored("Slice", operands, output)
        return
    sliced = builder.fresh("slice")
    builder.node("Slice", operands, [sliced])
    shape = builder.initializer(np.array(output.shape, dtype=np.int64))
    builder.emit_stored("Reshape", [sliced, shape], output)


def _slice_bounds(
    operator: TfliteOperator, source: TfliteTensor, axis: int, wanted: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Return begin, end and step along one dimension, none negative."""
    begin, end, step = wanted
    length = source.shape[axis]
    open_begin, open_end, dropped = (
        operator.integer(f"{name}Mask") >> axis & 1 for name in ("Begin", "End", "ShrinkAxis")
    )
    if step < 1:
        raise refuse(operator, f"step {step} is not understood")
    if dropped:
        at = begin + (length if begin < 0 else 0)
        if open_begin or open_end or not 0 <= at < length:
            raise refuse(operator, f"index {begin} with open ends is not understood for {source}")
        return at, at + 1, 1
    start, stop, _ = slice(None if open_begin else begin, None if open_end else end).indices(length)
    return start, stop, step


def lower_concatenation(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Joined along one axis; inputs with other quantisation steps are re-quantised."""
    sources, output = builder.activations(operator, inputs=range(len(operator.inputs)))
    rank = len(output.shape)
    axis = operator.integer("Axis")
    if not sources or not -rank <= axis < rank:
        raise refuse(operator, f"axis {axis} is not understood for {output}")
    axis %= rank
    for source in sources:
        if len(source.shape) != rank or any(
            source.shape[i] != sources[0].shape[i] for i in range(rank) if i != axis
        ):
            raise refuse(operator, f"{source} does not fit {sources[0]}")
    joined = list(sources[0].shape)
    joined[axis] = sum(source.shape[axis] for source in sources)
    builder.check_shape(operator, output, joined)
    layout = _at_hand(builder, sources)
    onnx_axis = _NCHW_AXIS[axis] if layout is Layout.NCHW else axis
    activation = builder.activation(operator)
    if activation == "NONE" and all(same_steps(source, output) for source in sources):
        values = [builder.stored(operator, source, layout) for source in sources]
        builder.emit_stored("Concat", values, output, layout, axis=onnx_axis)
        return
    values = [builder.real(operator, source, layout) for source in sources]
    builder.emit_real("Concat", values, output, layout, activation=activation, axis=onnx_axis)
