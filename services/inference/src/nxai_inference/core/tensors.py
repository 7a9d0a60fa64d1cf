"""Raw outputs of an engine, before a decoder reads them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.models import TensorInfo


@dataclass(frozen=True, slots=True)
class RawOutput:
    """One output tensor of one run."""

    info: TensorInfo
    """Name, shape and quantisation as the model file states them."""
    values: NDArray[Any]
    """As the engine gives them, of `info.shape`: float32, or the stored int8 / uint8."""

    @property
    def float32(self) -> NDArray[np.float32]:
        """Real values: ``(stored - zero_point) * scale`` in float32, as Edge Impulse's SDK does."""
        if self.info.scale == 0.0:
            return np.asarray(self.values, dtype=np.float32)
        shifted = self.values.astype(np.int32) - self.info.zero_point
        return shifted.astype(np.float32) * np.float32(self.info.scale)
