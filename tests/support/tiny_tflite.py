"""Writes tiny TensorFlow Lite models of one operator or a few, with the schema's own object API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

TYPES: Mapping[str, int] = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
}


@dataclass(frozen=True)
class Tensor:
    shape: Sequence[int]
    dtype: str = "float32"
    data: NDArray[Any] | None = None
    scale: float | Sequence[float] | None = None
    zero_point: int | Sequence[int] = 0
    axis: int = 0
    name: str = ""
    signature: Sequence[int] | None = None
    is_variable: bool = False
    is_sparse: bool = False
    offset: int = 0
    buffer: int | None = None
    """Index that the file shall state; None: the right one."""


@dataclass(frozen=True)
class Operator:
    name: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the options table named by its kind under the key ``kind``; for a custom operator
    the bytes under the key ``custom``."""
    code: int | None = None
    """Index into the operator codes that the file shall state; None: the right one."""


def constant(data: Any, dtype: str = "float32", **rest: Any) -> Tensor:
    value = np.asarray(data, dtype=dtype)
    return Tensor(value.shape, dtype, value, **rest)


def build(
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    subgraphs: int = 1,
    version: int = 3,
) -> bytes:
    """Return the bytes of a model file."""
    model = schema.ModelT()
    model.version = version
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(model, tensor, index) for index, tensor in enumerate(tensors)]
    model.operatorCodes = []
    graph.operators = [_operator(model, operator) for operator in operators]
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    model.subgraphs = [graph] * subgraphs
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def one(
    name: str,
    inputs: Sequence[Tensor | None],
    output: Tensor,
    **options: Any,
) -> bytes:
    """Return a model of one operator; its inputs without data are the model's, None is left out."""
    tensors = [tensor for tensor in inputs if tensor is not None]
    indexes = []
    count = 0
    for tensor in inputs:
        indexes.append(-1 if tensor is None else count)
        count += tensor is not None
    fed = [i for i, tensor in enumerate(tensors) if tensor.data is None]
    operator = Operator(name, indexes, [len(tensors)], options)
    return build([*tensors, output], [operator], fed, [len(tensors)])


def _tensor(model: Any, tensor: Tensor, index: int) -> Any:
    made = schema.TensorT()
    made.name = (tensor.name or f"t{index}").encode()
    made.shape = list(tensor.shape)
    made.type = TYPES[tensor.dtype]
    made.isVariable = tensor.is_variable
    made.hasRank = True
    if tensor.signature is not None:
        made.shapeSignature = list(tensor.signature)
    if tensor.is_sparse:
        made.sparsity = schema.SparsityParametersT()
    if tensor.scale is not None:
        quantisation = schema.QuantizationParametersT()
        quantisation.scale = list(np.atleast_1d(np.asarray(tensor.scale, dtype=np.float32)))
        quantisation.zeroPoint = [int(n) for n in np.atleast_1d(tensor.zero_point)]
        quantisation.quantizedDimension = tensor.axis
        made.quantization = quantisation
    made.buffer = 0
    if tensor.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), dtype=np.uint8)
        buffer.offset = tensor.offset
        model.buffers.append(buffer)
        made.buffer = len(model.buffers) - 1
    if tensor.buffer is not None:
        made.buffer = tensor.buffer
    return made


def _operator(model: Any, operator: Operator) -> Any:
    code = schema.OperatorCodeT()
    number = getattr(schema.BuiltinOperator, operator.name, None)
    if number is None:
        number = schema.BuiltinOperator.CUSTOM
        code.customCode = operator.name.encode()
    code.builtinCode = number
    code.deprecatedBuiltinCode = min(number, 127)
    code.version = 1
    model.operatorCodes.append(code)
    made = schema.OperatorT()
    made.opcodeIndex = len(model.operatorCodes) - 1 if operator.code is None else operator.code
    made.inputs, made.outputs = list(operator.inputs), list(operator.outputs)
    fields = dict(operator.options)
    custom = fields.pop("custom", None)
    if custom is not None:
        made.customOptions = np.frombuffer(custom, dtype=np.uint8)
    kind = fields.pop("kind", None)
    if kind is not None:
        table = getattr(schema, f"{kind}T")()
        for name, value in fields.items():
            assert hasattr(table, name), f"{kind} has no field {name}"
            setattr(table, name, value)
        made.builtinOptions = table
        made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
    return made
