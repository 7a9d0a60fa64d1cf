"""LiteRT (formerly TensorFlow Lite): runs a .tflite file just as Edge Impulse exports it."""

from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from nxai_common.contracts.models import InputScaling, TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.core.model_facts import check_dimensions, input_geometry
from nxai_inference.core.scaling import InputScaler
from nxai_inference.core.tensors import RawOutput

_FAILURES: Final = (ValueError, RuntimeError, MemoryError, TypeError)
"""What the interpreter raises: ValueError for a broken file, RuntimeError from its kernels."""


class LitertEngine:
    """One interpreter with XNNPACK. Not safe for two threads at a time."""

    def __init__(self, content: bytes, *, scaling: InputScaling, threads: int = 1) -> None:
        """Load the model and run it once on zeros, which also settles its output shapes.

        Args:
            content: The whole .tflite file.
            scaling: What the model expects of a pixel.
            threads: Of the interpreter.

        Raises:
            ConfigurationError: LiteRT cannot load or run the file, or it reads no picture.
        """
        try:
            # From bytes, not from the path: only then LiteRT verifies the flatbuffer.
            interpreter = Interpreter(model_content=content, num_threads=threads)
            inputs = tuple(_info(n) for n in interpreter.get_input_details())
            geometry = input_geometry(inputs)
            interpreter.allocate_tensors()
            interpreter.invoke()
            found = interpreter.get_output_details()  # some shapes are known only after a run
        except _FAILURES as error:
            raise ConfigurationError(f"LiteRT cannot run it: {_first_line(error)}") from error
        self._inputs = inputs
        self._outputs = tuple(_info(n) for n in found)
        for tensor in self._outputs:
            check_dimensions(tensor, "output")
        self._scaler = InputScaler(scaling, inputs[0], geometry)
        self._interpreter: Interpreter | None = interpreter
        self._input = interpreter.tensor(interpreter.get_input_details()[0]["index"])
        self._output_indexes = [n["index"] for n in found]

    @property
    def name(self) -> str:
        """Always ``litert``."""
        return "litert"

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
        interpreter = self._interpreter
        if interpreter is None:
            raise RejectedError("the LiteRT engine is closed")
        scaled = self._scaler.scale(pixels)
        try:
            # The view must not outlive this line: invoke() refuses to run while one is held.
            np.copyto(self._input(), scaled)
            interpreter.invoke()
            values = [interpreter.get_tensor(index) for index in self._output_indexes]  # copies
        except _FAILURES as error:
            raise RejectedError(f"LiteRT failed on a picture: {_first_line(error)}") from error
        return [RawOutput(info, value) for info, value in zip(self._outputs, values, strict=True)]

    def close(self) -> None:
        """Free the interpreter."""
        self._interpreter = None
        self._input = _closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _closed() -> NDArray[Any]:
    raise RejectedError("the LiteRT engine is closed")


def _info(details: dict[str, Any]) -> TensorInfo:
    """Translate LiteRT's description; a shape signature of -1 beyond the batch is dynamic."""
    shape = [int(n) for n in details["shape"]]
    signature = [int(n) for n in details.get("shape_signature", ())]
    if len(signature) == len(shape):
        shape = [
            -1 if says < 0 and (axis > 0 or stated != 1) else stated
            for axis, (says, stated) in enumerate(zip(signature, shape, strict=True))
        ]
    scales = details["quantization_parameters"]["scales"]
    per_tensor = len(scales) == 1
    return TensorInfo(
        name=str(details["name"]),
        shape=tuple(shape),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scales[0]) if per_tensor else 0.0,
        zero_point=int(details["quantization_parameters"]["zero_points"][0]) if per_tensor else 0,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
