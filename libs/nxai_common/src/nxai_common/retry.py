"""How long to wait before trying again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter.

    Jitter, because ten cameras that lost the same switch must not all come back in the same
    instant. (Brooker, "Exponential backoff and jitter", 2015: full jitter finishes soonest.)
    """

    first_s: float = 1.0
    factor: float = 2.0
    longest_s: float = 60.0
    floor_s: float = 0.1
    """Never less, so that an unlucky draw of zero is not a busy loop."""

    def __post_init__(self) -> None:
        """Refuse a policy that would not back off."""
        if self.first_s <= 0 or self.factor < 1 or self.longest_s < self.first_s:
            raise ValueError(f"{self!r} does not back off")

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Return seconds to wait before try number `attempt` (1: the first one after a failure)."""
        exponent = min(attempt - 1, 64)  # 2.0 ** 1100 overflows a float
        ceiling = min(self.longest_s, self.first_s * self.factor**exponent)
        return max(self.floor_s, rng.uniform(0, ceiling))
