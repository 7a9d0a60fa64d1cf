"""ONNX Runtime: runs .onnx files, and .tflite files after conversion in memory."""

import contextlib
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from nxai_common.contracts.models import InputScaling, TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.adapters.quiet_onnxruntime import (
    onnxruntime,
    onnxruntime_pybind11_state,
)
from nxai_inference.core.conversion import QUANTISATION_KEY
from nxai_inference.core.model_facts import check_dimensions, input_geometry
from nxai_inference.core.scaling import InputScaler
from nxai_inference.core.tensors import RawOutput

_FAILURES: Final[tuple[type[BaseException], ...]] = (
    *(
        found
        for found in vars(onnxruntime_pybind11_state).values()
        if isinstance(found, type) and issubclass(found, Exception)
    ),
    RuntimeError,
    ValueError,
    TypeError,
    MemoryError,
)
"""What ONNX Runtime raises: Fail, InvalidGraph, NotImplemented ... have no common base of their
own, so all of them are listed."""

_NUMPY_TYPES: Final = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
}
_LOG_NOTHING: Final = 4
"""Its log would repeat on stderr what the exceptions say."""


CPU: Final = "CPUExecutionProvider"

_SHORT_NAMES: Final = {
    "cpu": (CPU,),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
    "openvino": ("OpenVINOExecutionProvider",),
}
"""TensorRT leaves nodes that it cannot run to CUDA."""


def execution_providers(names: Sequence[str]) -> tuple[str, ...]:
    """Return ONNX Runtime's names for the hardware to use, the CPU last.

    Args:
        names: Best first: ``cuda``, ``tensorrt``, ``openvino``, ``cpu``, or ONNX Runtime's own
            names such as ``CUDAExecutionProvider``.

    Raises:
        ConfigurationError: an unknown name.
    """
    known = onnxruntime.get_all_providers()
    wanted: list[str] = []
    for name in names:
        found = _SHORT_NAMES.get(name.lower(), (name,))
        for provider in found:
            if provider not in known:
                raise ConfigurationError(
                    f"execution provider {name!r} is not known; use {', '.join(_SHORT_NAMES)} or "
                    f"one of ONNX Runtime's names ({', '.join(known)})"
                )
            if provider not in wanted:
                wanted.append(provider)
    return (*(name for name in wanted if name != CPU), CPU)


class OnnxEngine:
    """One inference session. Not safe for two threads at a time."""

    def __init__(
        self,
        content: bytes,
        *,
        scaling: InputScaling,
        providers: Sequence[str] = (CPU,),
        threads: int = 1,
    ) -> None:
        """Load the model and run it once on zeros, which also settles its output shapes.

        Args:
            content: The whole .onnx file.
            scaling: What the model expects of a pixel.
            providers: Hardware to use, from `execution_providers`; what is not there is left out
                (see `warnings`).
            threads: Of one operator. One: the box shares its cores among processes.

        Raises:
            ConfigurationError: ONNX Runtime cannot load or run the file, or it reads no picture.
        """
        quantisation = _quantisation(content)
        self.warnings: tuple[str, ...] = ()
        """Why another provider than the one asked for is in use."""
        session = self._open(content, providers, threads)
        self._inputs = tuple(_info(n, quantisation) for n in session.get_inputs())
        geometry = input_geometry(self._inputs)
        batched = self._inputs[0].model_copy(update={"shape": (1, *self._inputs[0].shape[1:])})
        self._inputs = (batched,)
        self._scaler = InputScaler(scaling, batched, geometry)
        self._input_name = batched.name
        self._output_names = [n.name for n in session.get_outputs()]
        stated = [_info(n, quantisation) for n in session.get_outputs()]
        black = np.zeros((geometry.height, geometry.width, geometry.channels), np.uint8)
        try:
            values = session.run(self._output_names, {self._input_name: self._scaler.scale(black)})
        except _FAILURES as error:
            raise ConfigurationError(f"ONNX Runtime cannot run it: {_first_line(error)}") from error
        self._outputs = tuple(
            info.model_copy(update={"shape": tuple(int(n) for n in value.shape)})
            for info, value in zip(stated, values, strict=True)
        )
        for tensor in self._outputs:
            check_dimensions(tensor, "output")
        self._session: onnxruntime.InferenceSession | None = session
        self._name = f"onnx:{session.get_providers()[0]}"

    def _open(
        self, content: bytes, providers: Sequence[str], threads: int
    ) -> onnxruntime.InferenceSession:
        available = onnxruntime.get_available_providers()
        usable = [name for name in providers if name in available]
        missing = [name for name in providers if name not in available]
        if missing:
            warning = (
                f"{', '.join(missing)} is not part of the installed ONNX Runtime (it has "
                f"{', '.join(available)}); it runs on {usable[0]}"
            )
            self.warnings = (warning,)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _LOG_NOTHING
        try:
            session = onnxruntime.InferenceSession(content, options, providers=usable)
        except _FAILURES as error:
            if usable == [CPU]:
                raise ConfigurationError(
                    f"ONNX Runtime cannot load it: {_first_line(error)}"
                ) from error
            self.warnings = (f"{usable[0]} failed ({_first_line(error)}); it runs on the CPU",)
            return self._open_on_cpu(content, options)
        if session.get_providers()[0] != usable[0]:
            self.warnings = (f"{usable[0]} did not start; it runs on {session.get_providers()[0]}",)
        return session

    def _open_on_cpu(
        self, content: bytes, options: onnxruntime.SessionOptions
    ) -> onnxruntime.InferenceSession:
        try:
            return onnxruntime.InferenceSession(content, options, providers=[CPU])
        except _FAILURES as error:
            raise ConfigurationError(
                f"ONNX Runtime cannot load it: {_first_line(error)}"
            ) from error

    @property
    def name(self) -> str:
        """``onnx:`` and the execution provider in use."""
        return self._name

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Input tensors in graph order."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Output tensors in graph order."""
        return self._outputs

    def run(self, pixels: NDArray[np.uint8]) -> list[RawOutput]:
        """Run the model; see `ports.Engine.run`."""
        session = self._session
        if session is None:
            raise RejectedError("the ONNX engine is closed")
        scaled = self._scaler.scale(pixels)
        try:
            values = session.run(self._output_names, {self._input_name: scaled})
        except _FAILURES as error:
            raise RejectedError(
                f"ONNX Runtime failed on a picture: {_first_line(error)}"
            ) from error
        return [RawOutput(info, value) for info, value in zip(self._outputs, values, strict=True)]

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _info(found: onnxruntime.NodeArg, quantisation: dict[str, tuple[float, int]]) -> TensorInfo:
    """Translate ONNX Runtime's description; an open batch is 1, other open dimensions are -1."""
    dims = [n if isinstance(n, int) else -1 for n in found.shape]
    if dims and dims[0] == -1:
        dims[0] = 1
    scale, zero_point = quantisation.get(found.name, (0.0, 0))
    return TensorInfo(
        name=found.name,
        shape=tuple(dims),
        dtype=_NUMPY_TYPES.get(found.type, found.type),
        scale=scale,
        zero_point=zero_point,
    )


def _quantisation(content: bytes) -> dict[str, tuple[float, int]]:
    """Return scale and zero point of the graph's quantised inputs and outputs, by name.

    From the metadata that our own conversion writes, otherwise from the DequantizeLinear behind
    an input and the QuantizeLinear before an output.
    """
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise ConfigurationError(
            f"not an ONNX model, or truncated ({len(content)} bytes): {_first_line(error)}"
        ) from error
    graph = model.graph
    if not graph.node:
        raise ConfigurationError("not an ONNX model: it has no graph")
    if any(tensor.data_location for tensor in graph.initializer):
        raise ConfigurationError("its weights lie in another file; export the model as one file")
    constants = {tensor.name: tensor for tensor in graph.initializer}
    found: dict[str, tuple[float, int]] = {}
    for node in graph.node:
        edge = {"DequantizeLinear": node.input[:1], "QuantizeLinear": node.output[:1]}.get(
            node.op_type
        )
        if edge and len(node.input) == 3 and all(n in constants for n in node.input[1:]):  # noqa: PLR2004 - value, scale, zero point
            scale, zero = (numpy_helper.to_array(constants[n]) for n in node.input[1:])
            if scale.size == zero.size == 1:
                found[edge[0]] = (float(scale.ravel()[0]), int(zero.ravel()[0]))
    found.update(_stated_quantisation(model.metadata_props))
    return found


def _stated_quantisation(
    properties: Iterable[onnx.StringStringEntryProto],
) -> dict[str, tuple[float, int]]:
    stated: dict[str, tuple[float, int]] = {}
    for entry in properties:
        if entry.key.startswith(QUANTISATION_KEY):
            with contextlib.suppress(ValueError):  # somebody else's metadata of the same name
                scale, zero_point = entry.value.split()
                stated[entry.key.removeprefix(QUANTISATION_KEY)] = (float(scale), int(zero_point))
    return stated


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
