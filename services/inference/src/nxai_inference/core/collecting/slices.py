"""Random slices: of all frames, and of those in which nothing was found."""

import random
from dataclasses import dataclass
from typing import Final

from nxai_common.contracts.results import CollectReason
from nxai_inference.core.collecting.look import Look

UNSELECTED: Final = 0.25
"""Value of a picture that was taken whatever is on it: it may show what the model is sure of and
wrong about, which no doubt ever tells, so it outlives what is hardly doubtful."""


@dataclass(frozen=True, slots=True)
class RandomSlice:
    """Wants a random slice of the frames that no strategy before it wanted."""

    fraction: float
    rng: random.Random

    def judge(self, look: Look) -> CollectReason | None:  # noqa: ARG002 - chance looks at nothing
        """Return why the frame is wanted, or None."""
        if self.rng.random() >= self.fraction:
            return None
        return CollectReason(
            strategy="random",
            reason=f"drawn at random: {_share(self.fraction)} of all frames",
            value=UNSELECTED,
        )


@dataclass(frozen=True, slots=True)
class NothingFoundSlice:
    """Wants a random slice of the frames in which nothing was found."""

    fraction: float
    rng: random.Random

    def judge(self, look: Look) -> CollectReason | None:
        """Return why the frame is wanted, or None."""
        if look.seen() or self.rng.random() >= self.fraction:
            return None
        return CollectReason(
            strategy="nothing-found",
            reason=f"nothing was found; drawn at random: {_share(self.fraction)} of such frames",
            value=UNSELECTED,
        )


def _share(fraction: float) -> str:
    return f"{fraction * 100:.4g} %"
