"""The table of operators, and the whole conversion."""

from collections.abc import Callable, Mapping
from typing import Final

import onnx
from onnx import helper

from nxai_common.errors import RejectedError
from nxai_inference.core.conversion import convolution, elementwise, movement, pooling
from nxai_inference.core.conversion.builder import QUANTISED, GraphBuilder
from nxai_inference.core.conversion.reader import TfliteGraph, TfliteOperator, read

OPSET: Final = 13
"""First with per-channel DequantizeLinear; every execution provider in use knows it."""
IR_VERSION: Final = 8
"""Of the same age: runtimes refuse models with a newer one than theirs."""

QUANTISATION_KEY: Final = "quantisation of "
"""Metadata key, followed by a tensor's name; the value is scale, space, zero point."""

Lowering = Callable[[TfliteOperator, GraphBuilder], None]

LOWERINGS: Final[Mapping[str, Lowering]] = {
    "ADD": elementwise.lower_add,
    "AVERAGE_POOL_2D": pooling.lower_average_pool_2d,
    "CONCATENATION": movement.lower_concatenation,
    "CONV_2D": convolution.lower_conv_2d,
    "DEPTHWISE_CONV_2D": convolution.lower_depthwise_conv_2d,
    "DEQUANTIZE": elementwise.lower_dequantize,
    "FULLY_CONNECTED": convolution.lower_fully_connected,
    "LOGISTIC": elementwise.lower_logistic,
    "MAX_POOL_2D": pooling.lower_max_pool_2d,
    "MEAN": pooling.lower_mean,
    "MUL": elementwise.lower_mul,
    "PAD": movement.lower_pad,
    "QUANTIZE": elementwise.lower_quantize,
    "RELU": elementwise.lower_relu,
    "RELU6": elementwise.lower_relu6,
    "RESHAPE": movement.lower_reshape,
    "RESIZE_NEAREST_NEIGHBOR": pooling.lower_resize_nearest_neighbor,
    "SOFTMAX": elementwise.lower_softmax,
    "STRIDED_SLICE": movement.lower_strided_slice,
    "SUB": elementwise.lower_sub,
    "TRANSPOSE": movement.lower_transpose,
}


def convert(content: bytes) -> bytes:
    """Convert a TensorFlow Lite model to ONNX (opset 13).

    Inputs and outputs keep their names, their NHWC layout, their types and their order.

    Args:
        content: The whole .tflite file.

    Returns:
        The whole .onnx file.

    Raises:
        RejectedError: broken, or something in it is not understood; names the operator, its
            index and the tensor. Nothing is ever guessed.
    """
    graph = read(content)
    _check_operators(graph)
    if graph.subgraph_count != 1:
        raise RejectedError(
            f"the model has {graph.subgraph_count} subgraphs; only models with exactly one can be "
            "converted (no control flow)"
        )
    builder = GraphBuilder(graph)
    for operator in graph.operators:
        LOWERINGS[operator.name](operator, builder)
    inputs, outputs = builder.inputs(), builder.outputs()
    model = helper.make_model(
        helper.make_graph(
            builder.nodes,
            "main",
            inputs,
            outputs,
            initializer=list(builder.initializers.values()),
        ),
        producer_name="nxai-inference",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    for tensor in (graph.tensors[index] for index in (*graph.inputs, *graph.outputs)):
        if tensor.dtype in QUANTISED and tensor.quantisation is not None:
            # ONNX has no place for the quantisation of a graph's own input or output.
            entry = model.metadata_props.add()
            entry.key = f"{QUANTISATION_KEY}{tensor.name}"
            entry.value = f"{tensor.quantisation.scale!r} {tensor.quantisation.zero_point}"
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise RejectedError(f"the converted model is not valid ONNX: {error}") from error
    converted: bytes = model.SerializeToString()
    return converted


def _check_operators(graph: TfliteGraph) -> None:
    """Refuse the model with the names of all operators that are not understood."""
    unknown: dict[str, list[TfliteOperator]] = {}
    for operator in graph.operators:
        if operator.is_custom or operator.name not in LOWERINGS:
            unknown.setdefault(operator.name, []).append(operator)
    if not unknown:
        return
    parts = []
    for name, found in unknown.items():
        first = found[0]
        makes = next((graph.tensors[i] for i in first.outputs if i >= 0), None)
        kind = "custom operator" if first.is_custom else "operator"
        times = f", {len(found)} times" if len(found) > 1 else ""
        parts.append(f"{kind} {name} (index {first.index}, makes {makes}{times})")
    raise RejectedError(f"cannot be converted to ONNX: {'; '.join(parts)} not understood")
