"""Image classification: one value a label, for the whole picture, as the model gives it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from nxai_common.contracts.models import TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.core.decoding.decoded import Decoded
from nxai_inference.core.tensors import RawOutput


@dataclass(frozen=True, slots=True)
class ClassificationDecoder:
    """Decodes one output of as many values as there are labels."""

    labels: int

    @classmethod
    def build(cls, outputs: Sequence[TensorInfo], *, labels: int) -> Self:
        """Return the decoder for a model.

        Raises:
            ConfigurationError: the output does not hold one value for each label.
        """
        values = int(np.prod(outputs[0].shape)) if outputs else 0
        if len(outputs) != 1 or values != labels:
            raise ConfigurationError(
                f"a classification model has one output of one value a label; this one has "
                f"{[info.shape for info in outputs]} for {labels} labels; give one label for each "
                "class, in the model's order, or choose another task"
            )
        return cls(labels)

    def decode(self, outputs: Sequence[RawOutput], threshold: float) -> Decoded:  # noqa: ARG002 - part of the port; the SDK reports every label
        """Return every label with its value, in the order of the labels."""
        values = outputs[0].float32.reshape(-1)
        if values.size != self.labels:
            raise RejectedError(f"the model gave {values.size} values for {self.labels} labels")
        return Decoded(np.arange(self.labels), values, None)
