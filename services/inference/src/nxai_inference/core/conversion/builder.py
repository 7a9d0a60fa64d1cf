"""The ONNX graph under construction.

Two questions are asked of every tensor again and again, and both are answered here alone:

*Layout.* TensorFlow Lite keeps pictures NHWC, ONNX convolutions want NCHW. The graph's own
inputs and outputs stay NHWC; in between a tensor lives in the layout in which it was made and
is transposed when somebody first asks for the other one (once, the result is remembered).
Only tensors of four dimensions have two layouts.

*Number type.* A quantised tensor exists as the *stored* integers and as the *real* float32
values. Operators that compute are lowered in real numbers between DequantizeLinear and
QuantizeLinear (QDQ, which ONNX Runtime fuses back into integer kernels); operators that only
move values work on the stored ones.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from nxai_common.errors import RejectedError
from nxai_inference.core.conversion.reader import TfliteGraph, TfliteOperator, TfliteTensor


class Layout(enum.Enum):
    """Order of the dimensions of a four-dimensional tensor."""

    NHWC = "nhwc"
    NCHW = "nchw"


TO_NCHW: Final = (0, 3, 1, 2)
TO_NHWC: Final = (0, 2, 3, 1)
RANK_OF_PICTURES: Final = 4

NodeOption = int | str | Sequence[int]
"""Value of an attribute of an ONNX node."""

QUANTISED: Final = ("int8", "uint8")
_ONNX_TYPES: Final[Mapping[str, int]] = {
    "float32": TensorProto.FLOAT,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
}
_ACTIVATIONS: Final = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH"}
_CLIPS: Final = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}


def refuse(operator: TfliteOperator, reason: str) -> RejectedError:
    """Return the error that names the operator; the caller raises it."""
    return RejectedError(f"{operator}: {reason}")


class GraphBuilder:
    """Collects nodes and constants, and knows in which forms each tensor is there."""

    def __init__(self, graph: TfliteGraph) -> None:
        self.graph = graph
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}
        self._names = _unique_names(graph)
        self._taken = set(self._names)
        self._forms: dict[tuple[int, Layout], str] = {}
        self._folded: dict[int, NDArray[Any]] = {}
        self._stored: dict[tuple[int, Layout], str] = {}
        self._real: dict[tuple[int, Layout], str] = {}
        self._fresh = 0
        for index in graph.inputs:
            tensor = graph.tensors[index]
            _check_io(tensor, "input")
            self._stored[index, Layout.NHWC] = self._names[index]

    # --- Looking at tensors ---------------------------------------------------------------

    def tensor(self, operator: TfliteOperator, position: int) -> TfliteTensor:
        """Return input number `position` of an operator, which must have it."""
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        if index < 0:
            raise refuse(operator, f"input {position} is missing")
        return self.graph.tensors[index]

    def optional_tensor(self, operator: TfliteOperator, position: int) -> TfliteTensor | None:
        """Return input number `position` of an operator, or None when it is left out."""
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        return self.graph.tensors[index] if index >= 0 else None

    def activations(
        self, operator: TfliteOperator, *, inputs: Sequence[int] = (0,)
    ) -> tuple[list[TfliteTensor], TfliteTensor]:
        """Return the tensors at `inputs` and the one output, all of types that can be computed.

        Raises:
            RejectedError: an unknown shape or type, float32 and integers mixed, or a
                quantisation that is not one positive step for the whole tensor.
        """
        if len(operator.outputs) != 1 or operator.outputs[0] < 0:
            raise refuse(operator, f"has {len(operator.outputs)} outputs, 1 is understood")
        output = self.graph.tensors[operator.outputs[0]]
        found = [self.tensor(operator, position) for position in inputs]
        for tensor in (*found, output):
            self._check_activation(operator, tensor)
        kinds = {tensor.dtype in QUANTISED for tensor in (*found, output)}
        if len(kinds) != 1 and operator.name not in ("QUANTIZE", "DEQUANTIZE"):
            named = ", ".join(str(tensor) for tensor in (*found, output))
            raise refuse(operator, f"mixes float32 and quantised tensors: {named}")
        if output.data is not None or self._known(output):
            raise refuse(operator, f"writes {output}, which already has a value")
        return found, output

    def _check_activation(self, operator: TfliteOperator, tensor: TfliteTensor) -> None:
        if tensor.dtype not in _ONNX_TYPES:
            raise refuse(
                operator,
                f"{tensor} is of a type that is not understood "
                f"(only {', '.join(_ONNX_TYPES)} can be computed)",
            )
        if min(tensor.shape, default=1) < 1:
            raise refuse(operator, f"{tensor} has a dynamic or empty dimension")
        if tensor.is_variable:
            raise refuse(operator, f"{tensor} is a variable; models with a memory are refused")
        if tensor.is_sparse:
            raise refuse(operator, f"{tensor} is sparse")
        if tensor.dtype in QUANTISED:
            self._check_quantisation(operator, tensor)

    def _check_quantisation(self, operator: TfliteOperator, tensor: TfliteTensor) -> None:
        found = tensor.quantisation
        if found is None:
            raise refuse(operator, f"{tensor} has no quantisation")
        if found.scales.size != 1 or found.zero_points.size != 1:
            raise refuse(operator, f"{tensor} has {found.scales.size} scales, 1 is understood")
        check_steps(operator, tensor)

    def constant(self, operator: TfliteOperator, position: int) -> NDArray[Any]:
        """Return the value of an input that must be known at conversion.

        Raises:
            RejectedError: it is computed while the model runs.
        """
        return self.constant_value(operator, self.tensor(operator, position))

    def constant_value(self, operator: TfliteOperator, tensor: TfliteTensor) -> NDArray[Any]:
        """Return the value of a tensor that must be known at conversion.

        Raises:
            RejectedError: it is computed while the model runs.
        """
        value = self.value_of(tensor)
        if value is None:
            raise refuse(operator, f"{tensor} must be a constant")
        return value

    def value_of(self, tensor: TfliteTensor) -> NDArray[Any] | None:
        """Return a tensor's value when it is known at conversion, otherwise None."""
        return self._folded.get(tensor.index, tensor.data)

    def fold_dequantize(self, operator: TfliteOperator) -> bool:
        """Turn a DEQUANTIZE of a float16 constant into a float32 constant, if it is one.

        Such files store their weights in half the space and compute in float32.
        """
        source = self.tensor(operator, 0)
        if source.dtype != "float16" or source.data is None:
            return False
        if len(operator.outputs) != 1 or operator.outputs[0] < 0:
            raise refuse(operator, f"has {len(operator.outputs)} outputs, 1 is understood")
        output = self.graph.tensors[operator.outputs[0]]
        if output.dtype != "float32" or output.data is not None or self._known(output):
            raise refuse(operator, f"from {source} to {output} is not understood")
        self.check_shape(operator, output, source.shape)
        self._folded[output.index] = source.data.astype(np.float32)
        return True

    def integers(self, operator: TfliteOperator, position: int) -> list[int]:
        """Return a constant list of whole numbers (axes, paddings, shapes), flattened."""
        value = self.constant(operator, position)
        if value.dtype.kind != "i" or value.dtype.itemsize < 4:  # noqa: PLR2004 - int32, int64
            raise refuse(operator, f"{self.tensor(operator, position)} should be int32 or int64")
        return [int(n) for n in value.ravel()]

    def activation(self, operator: TfliteOperator) -> str:
        """Return the name of the activation fused into an operator, if it is understood."""
        number = operator.integer("FusedActivationFunction")
        name = _ACTIVATIONS.get(number, str(number))
        if name not in ("NONE", "RELU", *_CLIPS):
            raise refuse(operator, f"fused activation {name} is not understood")
        return name

    def check_shape(
        self, operator: TfliteOperator, tensor: TfliteTensor, expected: Sequence[int]
    ) -> None:
        """Refuse a file whose stated output shape is not what the operator gives."""
        if tensor.shape != tuple(expected):
            raise refuse(
                operator, f"gives shape {tuple(expected)}, but the file states {tensor.shape}"
            )

    # --- Getting values -------------------------------------------------------------------

    def has_layout(self, tensor: TfliteTensor, layout: Layout) -> bool:
        """Whether a computed tensor is already there in `layout`."""
        return (tensor.index, layout) in self._stored

    def _known(self, tensor: TfliteTensor) -> bool:
        return tensor.index in self._folded or any(self.has_layout(tensor, n) for n in Layout)

    def stored(
        self, operator: TfliteOperator, tensor: TfliteTensor, layout: Layout = Layout.NHWC
    ) -> str:
        """Return the ONNX name of a tensor's stored values in `layout`."""
        if len(tensor.shape) != RANK_OF_PICTURES:
            layout = Layout.NHWC
        key = (tensor.index, layout)
        if key in self._stored:
            return self._stored[key]
        value = self.value_of(tensor)
        if value is not None:
            turned = value.transpose(TO_NCHW) if layout is Layout.NCHW else value
            self._stored[key] = self.initializer(turned, self._form(tensor, layout))
            return self._stored[key]
        other = Layout.NHWC if layout is Layout.NCHW else Layout.NCHW
        source = self._stored.get((tensor.index, other))
        if source is None:
            raise refuse(operator, f"reads {tensor} before any operator wrote it")
        name = self._form(tensor, layout)
        self.node("Transpose", [source], [name], perm=TO_NCHW if layout is Layout.NCHW else TO_NHWC)
        self._stored[key] = name
        return name

    def real(
        self, operator: TfliteOperator, tensor: TfliteTensor, layout: Layout = Layout.NHWC
    ) -> str:
        """Return the ONNX name of a tensor's float32 values in `layout`."""
        stored = self.stored(operator, tensor, layout)
        if tensor.dtype not in QUANTISED:
            return stored
        if len(tensor.shape) != RANK_OF_PICTURES:
            layout = Layout.NHWC
        key = (tensor.index, layout)
        if key not in self._real:
            name = self.fresh(f"{self._form(tensor, layout)}/real")
            self.node("DequantizeLinear", [stored, *self.steps(tensor)], [name])
            self._real[key] = name
        return self._real[key]

    # --- Making values --------------------------------------------------------------------

    def node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **options: NodeOption
    ) -> None:
        """Append one ONNX node."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, **options))

    def fresh(self, hint: str) -> str:
        """Return a name that no tensor of the file can have taken."""
        name = hint
        while name in self._taken:
            self._fresh += 1
            name = f"{hint}/{self._fresh}"
        self._taken.add(name)
        return name

    def initializer(self, value: NDArray[Any], name: str | None = None) -> str:
        """Add a constant and return its name."""
        name = name if name is not None else self.fresh("constant")
        # not ascontiguousarray: that one turns a scalar into a list of one
        self.initializers[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def steps(self, tensor: TfliteTensor) -> tuple[str, str]:
        """Return the names of a quantised tensor's scale and zero point (scalars)."""
        found = tensor.quantisation
        assert found is not None  # noqa: S101 - for mypy; `activations` has looked
        return (
            self.initializer(np.array(found.scale, dtype=np.float32)),
            self.initializer(np.array(found.zero_point, dtype=tensor.dtype)),
        )

    def emit_stored(
        self,
        kind: str,
        inputs: Sequence[str],
        output: TfliteTensor,
        layout: Layout = Layout.NHWC,
        **options: NodeOption,
    ) -> None:
        """Append a node that gives the stored values of `output`."""
        name = self._form(output, layout)
        self.node(kind, inputs, [name], **options)
        self._stored[output.index, layout] = name

    def emit_real(
        self,
        kind: str,
        inputs: Sequence[str],
        output: TfliteTensor,
        layout: Layout = Layout.NHWC,
        *,
        activation: str = "NONE",
        **options: NodeOption,
    ) -> None:
        """Append a node that gives the float32 values of `output`, its activation, its storing."""
        final = self._form(output, layout)
        quantised = output.dtype in QUANTISED
        computed = self.fresh(final) if quantised else final
        if activation == "NONE":
            self.node(kind, inputs, [computed], **options)
        else:
            before = self.fresh(final)
            self.node(kind, inputs, [before], **options)
            self._activate(before, computed, activation)
        if quantised:
            self.node("QuantizeLinear", [computed, *self.steps(output)], [final])
        self._stored[output.index, layout] = final

    def _activate(self, source: str, target: str, activation: str) -> None:
        if activation == "RELU":
            self.node("Relu", [source], [target])
            return
        low, high = _CLIPS[activation]
        limits = [self.initializer(np.array(n, dtype=np.float32)) for n in (low, high)]
        self.node("Clip", [source, *limits], [target])

    def _form(self, tensor: TfliteTensor, layout: Layout) -> str:
        name = self._names[tensor.index]
        if layout is Layout.NHWC:
            return name
        key = (tensor.index, layout)
        if key not in self._forms:
            self._forms[key] = self.fresh(f"{name}/nchw")
        return self._forms[key]

    # --- The graph's edges ----------------------------------------------------------------

    def inputs(self) -> list[ValueInfoProto]:
        """Return the graph's inputs, NHWC, under the names of the file."""
        return [self._io(index) for index in self.graph.inputs]

    def outputs(self) -> list[ValueInfoProto]:
        """Return the graph's outputs, NHWC, under the names of the file, transposed if need be."""
        for index in self.graph.outputs:
            tensor = self.graph.tensors[index]
            _check_io(tensor, "output")
            writer = next((op for op in self.graph.operators if index in op.outputs), None)
            if writer is None or index in self.graph.inputs or index in self._folded:
                raise RejectedError(f"the model's output {tensor} is not computed by any operator")
            self.stored(writer, tensor, Layout.NHWC)
        return [self._io(index) for index in self.graph.outputs]

    def _io(self, index: int) -> ValueInfoProto:
        tensor = self.graph.tensors[index]
        return helper.make_tensor_value_info(
            self._names[index], _ONNX_TYPES[tensor.dtype], tensor.shape
        )


def check_steps(operator: TfliteOperator, tensor: TfliteTensor) -> None:
    """Refuse scales that are not positive numbers and zero points that do not fit the type."""
    found = tensor.quantisation
    assert found is not None  # noqa: S101 - for mypy; the callers have looked
    if not (np.isfinite(found.scales).all() and (found.scales > 0).all()):
        raise refuse(operator, f"{tensor} has a scale that is not a positive number")
    limits = np.iinfo(tensor.dtype)
    if found.zero_points.min() < limits.min or found.zero_points.max() > limits.max:
        raise refuse(operator, f"{tensor} has a zero point outside {limits.min}..{limits.max}")


def _check_io(tensor: TfliteTensor, what: str) -> None:
    if tensor.dtype not in _ONNX_TYPES:
        raise RejectedError(
            f"the model's {what} {tensor} is of a type that is not understood "
            f"(only {', '.join(_ONNX_TYPES)})"
        )
    if min(tensor.shape, default=1) < 1:
        raise RejectedError(f"the model's {what} {tensor} has a dynamic or empty dimension")
    if tensor.data is not None:
        raise RejectedError(f"the model's {what} {tensor} is a constant")


def _unique_names(graph: TfliteGraph) -> list[str]:
    """Return a name for every tensor; inputs and outputs keep theirs whatever else is called so."""
    edges = (*graph.inputs, *graph.outputs)
    taken: dict[str, int] = {}
    for index in edges:
        name = graph.tensors[index].name
        if taken.setdefault(name, index) != index:
            raise RejectedError(f"two inputs or outputs of the model are called {name!r}")
    names = []
    for tensor in graph.tensors:
        free = taken.setdefault(tensor.name, tensor.index) == tensor.index
        name = tensor.name if free else f"{tensor.name}#{tensor.index}"
        while taken.setdefault(name, tensor.index) != tensor.index:
            name += "#"
        names.append(name)
    return names
