"""Waiting longer and longer, but not for ever, and never in step."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_common.retry import RetryPolicy


class Extreme(random.Random):
    """Draws one end of the range."""

    def __init__(self, *, high: bool) -> None:
        super().__init__()
        self._high = high

    def uniform(self, a: float, b: float) -> float:
        return b if self._high else a


def test_ceiling_grows_by_the_factor_up_to_the_longest() -> None:
    policy = RetryPolicy(first_s=1, factor=2, longest_s=10)
    delays = [policy.delay(attempt, Extreme(high=True)) for attempt in range(1, 7)]
    assert delays == [1, 2, 4, 8, 10, 10]


def test_unlucky_draw_is_not_a_busy_loop() -> None:
    assert RetryPolicy(floor_s=0.25).delay(1, Extreme(high=False)) == 0.25


@given(attempt=st.integers(1, 10**6), seed=st.integers())
def test_every_delay_lies_between_floor_and_longest(attempt: int, seed: int) -> None:
    policy = RetryPolicy(first_s=0.5, factor=3, longest_s=30)
    rng = random.Random(seed)  # noqa: S311 - jitter, not a secret
    assert policy.floor_s <= policy.delay(attempt, rng) <= policy.longest_s


def test_jitter_spreads_those_who_failed_together() -> None:
    policy = RetryPolicy()
    draws = [random.Random(seed) for seed in range(20)]  # noqa: S311 - jitter, not a secret
    assert len({policy.delay(5, rng) for rng in draws}) == 20


@pytest.mark.parametrize(
    ("first_s", "factor", "longest_s"), [(0, 2, 60), (-1, 2, 60), (1, 0.5, 60), (10, 2, 5)]
)
def test_policy_that_does_not_back_off_is_refused(
    first_s: float, factor: float, longest_s: float
) -> None:
    with pytest.raises(ValueError, match="does not back off"):
        RetryPolicy(first_s=first_s, factor=factor, longest_s=longest_s)
