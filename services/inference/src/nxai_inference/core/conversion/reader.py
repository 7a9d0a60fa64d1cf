"""Reads the flatbuffer of a TensorFlow Lite model into plain, checked values.

Nothing in the file is trusted: a flatbuffer is a web of offsets, and one flipped bit points
anywhere. Every length is compared with the size of the file before it is walked, every index
with the list it points into, and every constant with its shape.
"""

import contextlib
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tflite
from flatbuffers import flexbuffers
from numpy.typing import NDArray

from nxai_common.errors import RejectedError

MAGIC: Final = b"TFL3"
"""File identifier of the schema, bytes 4 to 8."""

MAX_ELEMENTS: Final = 1 << 28
"""1 GiB of float32: beyond any model for an edge box; a shape above it is a broken file."""

DTYPES: Final[Mapping[int, str]] = {
    value: name.lower() for name, value in vars(tflite.TensorType).items() if isinstance(value, int)
}
_OPERATOR_NAMES: Final[Mapping[int, str]] = {
    value: name
    for name, value in vars(tflite.BuiltinOperator).items()
    if isinstance(value, int) and name != "PLACEHOLDER_FOR_GREATER_OP_CODES"
}
_NUMPY_DTYPES: Final = ("float32", "float16", "int8", "uint8", "int32", "int64")
"""Types of constants that some operator here reads; others are named when they are used."""

_BROKEN = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    OverflowError,
    AttributeError,
    MemoryError,
)
"""What the flatbuffers package raises on offsets that point outside the file."""

_Table = Any
"""An accessor generated from the schema; the package has no type information."""
_Vector = Any
"""A numpy array, or the number 0 where the file has none."""

DETECTION: Final = "TFLite_Detection_PostProcess"
"""The custom operator that ends a MobileNet-SSD: suppression, and the four outputs."""
MAX_CLASSES: Final = 10_000
"""More classes than any detector has; a larger number is a broken file."""

OptionValue = int | float | bool | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Quantisation:
    """``real = (stored - zero_point) * scale``, for the whole tensor or along `axis`."""

    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int

    @property
    def scale(self) -> float:
        """Scale of a tensor that has only one."""
        return float(self.scales[0])

    @property
    def zero_point(self) -> int:
        """Zero point of a tensor that has only one."""
        return int(self.zero_points[0])


@dataclass(frozen=True, slots=True)
class TfliteTensor:
    """One tensor as the file states it."""

    index: int
    name: str
    shape: tuple[int, ...]
    """Dimensions; a dynamic batch is 1 (what LiteRT runs when nobody resizes it), any other
    dynamic dimension is -1."""
    dtype: str
    """Lower-case TFLite type: ``float32``, ``int8``, ``int4`` ..."""
    quantisation: Quantisation | None
    data: NDArray[Any] | None
    """Value of a constant, of `shape`; None for what is computed."""
    is_variable: bool
    is_sparse: bool

    def __str__(self) -> str:
        shape = "x".join(str(n) for n in self.shape) or "scalar"
        return f"tensor {self.index} {self.name!r} ({self.dtype} {shape})"


@dataclass(frozen=True, slots=True)
class TfliteOperator:
    """One node of the graph."""

    index: int
    name: str
    """``CONV_2D``; for a custom operator the name its author gave it."""
    is_custom: bool
    inputs: tuple[int, ...]
    """Tensor indexes; -1 for an optional input that is left out."""
    outputs: tuple[int, ...]
    options: Mapping[str, OptionValue]
    """Fields of the options table by their schema names; empty when the operator has none."""

    def integer(self, option: str) -> int:
        """Return a whole-number option."""
        value = self.options[option]
        if not isinstance(value, int):
            raise RejectedError(f"{self}: option {option} is {value}, not a whole number")
        return int(value)

    def __str__(self) -> str:
        return f"operator {self.index} {self.name}"


@dataclass(frozen=True, slots=True)
class TfliteGraph:
    """The main subgraph of a model."""

    tensors: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraph_count: int
    """More than one means control flow, or functions called from the main one."""

    @property
    def class_count(self) -> int | None:
        """Classes of a detector that says so, without background; None: it says nothing."""
        for operator in self.operators:
            if "num_classes" in operator.options:
                return operator.integer("num_classes")
        return None


@dataclass(frozen=True, slots=True)
class _OptionTable:
    """Where an operator's options are: a member of the schema's BuiltinOptions union."""

    kind: str
    fields: tuple[str, ...]
    required: bool = True
    """False: LiteRT itself runs the operator without the table, with every field at zero."""


_WINDOW: Final = ("Padding", "StrideW", "StrideH", "FusedActivationFunction")
_CONVOLUTION: Final = (*_WINDOW, "DilationWFactor", "DilationHFactor")
_POOL: Final = (*_WINDOW, "FilterWidth", "FilterHeight")
_OPTIONS: Final[Mapping[str, _OptionTable]] = {
    "CONV_2D": _OptionTable(
        "Conv2DOptions",
        _CONVOLUTION,
    ),
    "DEPTHWISE_CONV_2D": _OptionTable(
        "DepthwiseConv2DOptions",
        (*_CONVOLUTION, "DepthMultiplier"),
    ),
    "MAX_POOL_2D": _OptionTable("Pool2DOptions", _POOL),
    "AVERAGE_POOL_2D": _OptionTable("Pool2DOptions", _POOL),
    "FULLY_CONNECTED": _OptionTable(
        "FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat", "KeepNumDims")
    ),
    "ADD": _OptionTable("AddOptions", ("FusedActivationFunction",)),
    "SUB": _OptionTable("SubOptions", ("FusedActivationFunction",)),
    "MUL": _OptionTable("MulOptions", ("FusedActivationFunction",)),
    "SOFTMAX": _OptionTable("SoftmaxOptions", ("Beta",)),
    "CONCATENATION": _OptionTable("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "MEAN": _OptionTable("ReducerOptions", ("KeepDims",)),
    "STRIDED_SLICE": _OptionTable(
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset"),
    ),
    "RESIZE_NEAREST_NEIGHBOR": _OptionTable(
        "ResizeNearestNeighborOptions", ("AlignCorners", "HalfPixelCenters"), required=False
    ),
}


def read(content: bytes) -> TfliteGraph:
    """Read a model.

    Args:
        content: The whole file.

    Raises:
        RejectedError: not a TensorFlow Lite model, truncated or damaged; says where.
    """
    try:
        return _read(content)
    except RejectedError as error:
        raise RejectedError(f"{error}; download it again") from error


def _read(content: bytes) -> TfliteGraph:
    if len(content) < 8:  # noqa: PLR2004 - the root offset and the magic
        raise RejectedError(f"not a TensorFlow Lite model: {len(content)} bytes only")
    if content[4:8] != MAGIC:
        raise RejectedError(
            f"not a TensorFlow Lite model: bytes 4 to 8 are {content[4:8]!r}, not {MAGIC!r}"
        )
    try:
        return _Reader(content).graph()
    except _BROKEN as error:  # its text speaks of offsets and buffers
        raise RejectedError(
            f"the TensorFlow Lite model is truncated or damaged ({len(content)} bytes)"
        ) from error


class _Reader:
    """Holds the file while it is read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._model = tflite.Model.GetRootAs(content, 0)

    def graph(self) -> TfliteGraph:
        model = self._model
        if model.Version() != 3:  # noqa: PLR2004 - the only schema version there ever was in TFL3
            raise RejectedError(f"schema version {model.Version()} of the model is not 3")
        subgraphs = self._count(model.SubgraphsLength(), "subgraphs")
        if subgraphs < 1:
            raise RejectedError("the model has no subgraph")
        subgraph = model.Subgraphs(0)
        tensor_count = self._count(subgraph.TensorsLength(), "tensors")
        tensors = tuple(self._tensor(subgraph.Tensors(i), i) for i in range(tensor_count))
        names = self._operator_names()
        operator_count = self._count(subgraph.OperatorsLength(), "operators")
        operators = tuple(
            self._operator(subgraph.Operators(i), i, names, tensor_count)
            for i in range(operator_count)
        )
        inputs = _indexes(subgraph.InputsAsNumpy(), tensor_count, "input of the model")
        outputs = _indexes(subgraph.OutputsAsNumpy(), tensor_count, "output of the model")
        for what, found in (("inputs", inputs), ("outputs", outputs)):
            if not found:
                raise RejectedError(f"the model has no {what}")
            if len(set(found)) != len(found) or -1 in found:
                raise RejectedError(f"the {what} of the model are {found}: one is named twice")
        return TfliteGraph(tensors, operators, inputs, outputs, subgraphs)

    def _count(self, length: int, what: str) -> int:
        """Return `length`, unless that many offsets of four bytes do not fit in the file."""
        if length * 4 > len(self._content):
            raise RejectedError(
                f"the TensorFlow Lite model is truncated or damaged: it claims {length} {what} "
                f"in {len(self._content)} bytes"
            )
        return length

    def _operator_names(self) -> list[tuple[str, bool]]:
        names: list[tuple[str, bool]] = []
        for i in range(self._count(self._model.OperatorCodesLength(), "operator codes")):
            code = self._model.OperatorCodes(i)
            # Files older than the wider field have the number only in the deprecated one.
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            name = _OPERATOR_NAMES.get(number, f"builtin operator {number}")
            if name == "CUSTOM":
                names.append((_text(code.CustomCode()) or "CUSTOM", True))
            else:
                names.append((name, False))
        return names

    def _operator(
        self, operator: _Table, index: int, names: list[tuple[str, bool]], tensor_count: int
    ) -> TfliteOperator:
        code = operator.OpcodeIndex()
        if not 0 <= code < len(names):
            raise RejectedError(f"operator {index} has code {code}, but there are {len(names)}")
        name, is_custom = names[code]
        where = f"operator {index} {name}"
        return TfliteOperator(
            index=index,
            name=name,
            is_custom=is_custom,
            inputs=_indexes(operator.InputsAsNumpy(), tensor_count, f"input of {where}"),
            outputs=_indexes(operator.OutputsAsNumpy(), tensor_count, f"output of {where}"),
            options=_custom_options(operator, name)
            if is_custom
            else _options(operator, name, where),
        )

    def _tensor(self, tensor: _Table, index: int) -> TfliteTensor:
        name = _text(tensor.Name()) or f"tensor_{index}"
        number = tensor.Type()
        dtype = DTYPES.get(number, f"type {number}")
        signature = tuple(int(n) for n in _vector(tensor.ShapeSignatureAsNumpy()))
        shape = tuple(int(n) for n in _vector(tensor.ShapeAsNumpy()))
        if signature:
            if len(signature) != len(shape):
                raise RejectedError(
                    f"tensor {index} {name!r} has shape {shape} and signature {signature}"
                )
            # Keras exports leave the batch open; LiteRT runs the stated shape, batch 1.
            shape = tuple(
                -1 if says == -1 and (axis > 0 or stated != 1) else stated
                for axis, (says, stated) in enumerate(zip(signature, shape, strict=True))
            )
        elements = math.prod(max(n, 1) for n in shape)
        if elements > MAX_ELEMENTS:
            raise RejectedError(
                f"tensor {index} {name!r} of shape {shape} has more than {MAX_ELEMENTS} elements"
            )
        return TfliteTensor(
            index=index,
            name=name,
            shape=shape,
            dtype=dtype,
            quantisation=_quantisation(tensor.Quantization(), f"tensor {index} {name!r}"),
            data=self._constant(tensor.Buffer(), shape, dtype, f"tensor {index} {name!r}"),
            is_variable=bool(tensor.IsVariable()),
            is_sparse=tensor.Sparsity() is not None,
        )

    def _constant(
        self, number: int, shape: tuple[int, ...], dtype: str, where: str
    ) -> NDArray[Any] | None:
        count = self._count(self._model.BuffersLength(), "buffers")
        if not 0 <= number < count:
            raise RejectedError(f"{where} is in buffer {number}, but there are {count}")
        buffer = self._model.Buffers(number)
        if buffer.Offset() > 1:
            raise RejectedError(f"{where} lies behind the flatbuffer; such files are over 2 GB")
        if buffer.DataLength() == 0:
            return None
        raw = buffer.DataAsNumpy()
        if dtype not in _NUMPY_DTYPES:
            return np.asarray(raw)  # of no use here: whatever reads it refuses the type by name
        expected = math.prod(shape) * np.dtype(dtype).itemsize
        if raw.nbytes != expected or min(shape, default=1) < 1:
            raise RejectedError(
                f"{where} of shape {shape} and type {dtype} should hold {expected} bytes "
                f"but has {raw.nbytes}"
            )
        return np.frombuffer(raw.tobytes(), dtype=np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _vector(found: _Vector) -> NDArray[Any]:
    """Return a numpy vector; the generated code gives the number 0 for one that is absent."""
    return found if isinstance(found, np.ndarray) else np.zeros(0, dtype=np.int64)


def _text(found: bytes | None) -> str:
    return found.decode("utf-8", errors="replace") if found else ""


def _indexes(found: _Vector, tensor_count: int, what: str) -> tuple[int, ...]:
    indexes = tuple(int(n) for n in _vector(found))
    for index in indexes:
        if not -1 <= index < tensor_count:
            raise RejectedError(f"{what} is tensor {index}, but there are {tensor_count}")
    return indexes


def _quantisation(found: _Table, where: str) -> Quantisation | None:
    if found is None or found.ScaleLength() == 0:
        return None
    scales = _vector(found.ScaleAsNumpy()).astype(np.float32)
    zero_points = _vector(found.ZeroPointAsNumpy()).astype(np.int64)
    if zero_points.size != scales.size:  # LiteRT refuses it too
        raise RejectedError(f"{where} has {scales.size} scales and {zero_points.size} zero points")
    return Quantisation(scales, zero_points, int(found.QuantizedDimension()))


def _options(operator: _Table, name: str, where: str) -> dict[str, OptionValue]:
    """Return the option fields that the converter reads; {} for operators without any."""
    if name == "RESHAPE":
        return _reshape_options(operator, where)
    wanted = _OPTIONS.get(name)
    if wanted is None:
        return {}
    table = _option_table(operator, wanted.kind, where)
    if table is None:
        if wanted.required:
            raise RejectedError(f"{where} has no {wanted.kind}; it cannot be understood without")
        return dict.fromkeys(wanted.fields, 0)
    return {field: _field(table, field) for field in wanted.fields}


def _custom_options(operator: _Table, name: str) -> dict[str, OptionValue]:
    """Return how many classes a detector has, where it says so; nothing else is read."""
    if name == DETECTION:
        # LiteRT judges the options; here they only tell a person what labels are missing.
        with contextlib.suppress(*_BROKEN, LookupError):
            packed = _vector(operator.CustomOptionsAsNumpy()).tobytes()
            stated = flexbuffers.GetRoot(packed).AsMap["num_classes"]
            if stated.IsInt and 0 < stated.AsInt <= MAX_CLASSES:
                return {"num_classes": int(stated.AsInt)}
    return {}


def _field(table: _Table, field: str) -> OptionValue:
    read_field: Callable[[], OptionValue] = getattr(table, field)
    return read_field()


def _reshape_options(operator: _Table, where: str) -> dict[str, OptionValue]:
    table = _option_table(operator, "ReshapeOptions", where)
    if table is None or table.NewShapeLength() == 0:
        return {}
    return {"NewShape": tuple(int(n) for n in _vector(table.NewShapeAsNumpy()))}


def _option_table(operator: _Table, kind: str, where: str) -> _Table:
    """Return the operator's options as table `kind`, or None when it has none."""
    stated = operator.BuiltinOptionsType()
    union = operator.BuiltinOptions()
    if stated == 0 or union is None:
        return None
    if stated != getattr(tflite.BuiltinOptions, kind):
        raise RejectedError(f"{where} has options of type {stated}, not {kind}")
    table = getattr(tflite, kind)()
    table.Init(union.Bytes, union.Pos)
    return table
