"""What a strategy may look at, of one frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nxai_inference.core.areas import Ground
from nxai_inference.core.decoding import Decoded
from nxai_inference.core.tensors import RawOutput

COUNTS_FROM: Final = 0.5
"""A classifier's label counts as seen when it has at least half of the probability; the
publisher counts in the same way."""


@dataclass(frozen=True, slots=True)
class Look:
    """One frame, as the model saw it."""

    outputs: Sequence[RawOutput]
    decoded: Decoded
    uncertain: str
    """What the documented rule says of it; empty when it says nothing."""
    at_us: int
    """When the picture was taken, Unix microseconds: strategies have no other clock."""
    stream: str
    """Names one start of the camera."""
    ground: Ground | None = None
    """Where objects count; `decoded` holds no others. None: everywhere."""

    def seen(self) -> list[int]:
        """Return the label of each object that was found, in no order."""
        labels = self.decoded.labels
        if self.decoded.boxes is None:
            labels = labels[self.decoded.scores >= COUNTS_FROM]
        found: list[int] = labels.tolist()
        return found
