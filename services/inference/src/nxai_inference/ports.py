"""What the inference service needs from outside: an engine, and a source of models."""

from collections.abc import Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import InputSpec, ModelManifest, TensorInfo
from nxai_inference.core.engine_trial import EngineTrial
from nxai_inference.core.tensors import RawOutput


class Engine(Protocol):
    """Runs one model on one thread at a time."""

    @property
    def name(self) -> str:
        """What runs the model, for a person: ``litert`` or ``onnx:CPUExecutionProvider``."""
        ...

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Input tensors in graph order (an image model has one)."""
        ...

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Output tensors in graph order, with the shapes that a run really gives."""
        ...

    def run(self, pixels: NDArray[np.uint8]) -> list[RawOutput]:
        """Run the model on one picture.

        Args:
            pixels: uint8 (height, width, channels), RGB or gray, of the model's input size.
                Scaling and quantisation happen inside.

        Returns:
            One output per output tensor, in graph order. The arrays belong to the caller: a
            later run does not change them.

        Raises:
            RejectedError: the pixels do not have the model's input shape, or the run failed.
        """
        ...

    def close(self) -> None:
        """Free the model's memory; `run` must not be called afterwards."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that passed its self-test, with the engine chosen for this machine."""

    manifest: ModelManifest
    engine: Engine
    warnings: tuple[str, ...] = ()
    """What a person should know although the model runs: a missing provider, engines that
    disagree, and the like."""
    trials: tuple[EngineTrial, ...] = ()
    """How each engine did, the chosen one among them."""


@dataclass(frozen=True, slots=True)
class FittedPicture:
    """A picture as a model reads it."""

    pixels: NDArray[np.uint8]
    """(height, width, channels) of the model's input."""
    transform: Transform
    """Back to the picture."""
    width: int
    """Of the picture, turned as its EXIF orientation says."""
    height: int


class PictureReader(Protocol):
    """Reads pictures that somebody sends. Implemented by `adapters.sent_picture`."""

    def read(self, content: bytes, wanted: InputSpec) -> FittedPicture:
        """Decode a picture and fit it to the input of a model.

        Takes up to a second or two; called from another thread than the one that runs models.

        Args:
            content: JPEG or PNG, from anybody.
            wanted: The input.

        Raises:
            RejectedError: broken, too large or something else; says what is wrong with it.
        """
        ...


class ModelSource(Protocol):
    """Turns a desired model into a running one. Implemented by `adapters.model_folder`."""

    def load(self, desired: DesiredModel, *, anew: bool = False) -> LoadedModel:
        """Read, cross-check, build the engine, self-test and time the model.

        Takes up to a few seconds; safe to call from another thread than the one that runs models.

        Args:
            desired: The model.
            anew: Convert, compare and time even when the engine for this file is known already.

        Raises:
            ConfigurationError: the file is missing, broken or does not fit its labels or digest;
                the message names the file, the value and what to do.
        """
        ...

    def stamp(self, desired: DesiredModel) -> Hashable:
        """Return what differs once the files of a model were replaced; None: there are none.

        Reads no more than a manifest: it is asked for every few seconds.
        """
        ...
