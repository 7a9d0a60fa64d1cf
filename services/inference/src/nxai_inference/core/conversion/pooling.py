"""MAX_POOL_2D, AVERAGE_POOL_2D, MEAN over a picture, RESIZE_NEAREST_NEIGHBOR."""

import numpy as np

from nxai_inference.core.conversion.builder import (
    RANK_OF_PICTURES,
    GraphBuilder,
    Layout,
    refuse,
)
from nxai_inference.core.conversion.convolution import pair, picture_channels, positive, window
from nxai_inference.core.conversion.movement import same_steps
from nxai_inference.core.conversion.reader import TfliteOperator, TfliteTensor


def lower_max_pool_2d(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Padding never wins the maximum, in either format."""
    _pool(operator, builder, "MaxPool")


def lower_average_pool_2d(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Padding is not counted in the average, in either format."""
    _pool(operator, builder, "AveragePool")


def _pool(operator: TfliteOperator, builder: GraphBuilder, kind: str) -> None:
    (source,), output = builder.activations(operator)
    channels = picture_channels(operator, source)
    height, width = (positive(operator, f"Filter{side}") for side in ("Height", "Width"))
    pads, size = window(operator, source, (height, width))
    builder.check_shape(operator, output, (source.shape[0], *size, channels))
    activation = builder.activation(operator)
    shape = {"kernel_shape": [height, width], "strides": pair(operator, "Stride"), "pads": pads}
    if kind == "MaxPool" and activation == "NONE" and same_steps(source, output):
        value = builder.stored(operator, source, Layout.NCHW)
        builder.emit_stored(kind, [value], output, Layout.NCHW, **shape)
        return
    value = builder.real(operator, source, Layout.NCHW)
    builder.emit_real(kind, [value], output, Layout.NCHW, activation=activation, **shape)


def lower_mean(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Average over constant axes; over height and width in the layout that is at hand."""
    (source,), output = builder.activations(operator)
    rank = len(source.shape)
    axes = builder.integers(operator, 1)
    if not axes or any(not -rank <= axis < rank for axis in axes):
        raise refuse(operator, f"axes {axes} are not understood for {source}")
    wanted = sorted({axis % rank for axis in axes})
    keep = bool(operator.integer("KeepDims"))
    kept = [1 if axis in wanted else n for axis, n in enumerate(source.shape)]
    left = kept if keep else [n for axis, n in enumerate(source.shape) if axis not in wanted]
    builder.check_shape(operator, output, left)
    over_picture = rank == RANK_OF_PICTURES and wanted == [1, 2]
    if over_picture:
        value, onnx_axes = builder.real(operator, source, Layout.NCHW), [2, 3]
    else:
        value, onnx_axes = builder.real(operator, source), wanted
    layout = Layout.NCHW if over_picture and keep else Layout.NHWC
    builder.emit_real(
        "ReduceMean", [value], output, layout, axes=onnx_axes, keepdims=1 if keep else 0
    )


def lower_resize_nearest_neighbor(operator: TfliteOperator, builder: GraphBuilder) -> None:
    """Whole-number enlargement; there every rule of rounding copies the same pixels."""
    (source,), output = builder.activations(operator)
    channels = picture_channels(operator, source)
    size = builder.integers(operator, 1)
    if len(size) != 2 or min(size) < 1:  # noqa: PLR2004 - height and width
        raise refuse(operator, f"size {size} is not understood")
    builder.check_shape(operator, output, (source.shape[0], *size, channels))
    if operator.integer("AlignCorners"):
        raise refuse(operator, "option align_corners is not understood")
    factors = [_whole_factor(operator, source, axis, size[axis - 1]) for axis in (1, 2)]
    if not same_steps(source, output):
        raise refuse(operator, f"{source} and {output} are quantised differently")
    scales = builder.initializer(np.array([1, 1, *factors], dtype=np.float32))
    builder.emit_stored(
        "Resize",
        [builder.stored(operator, source, Layout.NCHW), "", scales],
        output,
        Layout.NCHW,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _whole_factor(operator: TfliteOperator, source: TfliteTensor, axis: int, size: int) -> int:
    length = source.shape[axis]
    if size % length:
        raise refuse(operator, f"from {length} to {size} is not a whole-number enlargement")
    return size // length
