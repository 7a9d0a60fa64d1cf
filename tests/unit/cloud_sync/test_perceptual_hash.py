import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nxai_cloud_sync.core.perceptual_hash import BITS, COLUMNS, ROWS, difference_hash, distance

HASH = st.integers(0, 2**64 - 1)


def test_one_bit_for_each_pixel_that_is_darker_than_its_right_neighbour() -> None:
    gray = np.zeros((ROWS, COLUMNS), np.uint8)
    assert difference_hash(gray) == 0
    gray[0, 1] = 9  # left of it: darker; right of it: brighter
    assert difference_hash(gray) == 1 << (BITS - 1)
    gray[-1, -1] = 9
    assert difference_hash(gray) == 1 << (BITS - 1) | 1


def test_a_ramp_has_all_bits() -> None:
    ramp = np.tile(np.arange(COLUMNS, dtype=np.uint8), (ROWS, 1))
    assert difference_hash(ramp) == 2**BITS - 1
    assert difference_hash(ramp[:, ::-1]) == 0


@given(arrays.arrays(np.uint8, (ROWS, COLUMNS), elements=st.integers(0, 127)), st.integers(0, 128))
def test_brightness_does_not_matter(gray: np.ndarray, brighter: int) -> None:
    assert difference_hash(gray + np.uint8(brighter)) == difference_hash(gray)


@pytest.mark.parametrize("shape", [(COLUMNS, ROWS), (ROWS, COLUMNS, 1), (8, 8)])
def test_another_shape_is_a_mistake(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not"):
        difference_hash(np.zeros(shape, np.uint8))


@given(HASH, HASH, HASH)
def test_the_distance_is_one(a: int, b: int, c: int) -> None:
    assert distance(a, a) == 0
    assert distance(a, b) == distance(b, a) == f"{a ^ b:b}".count("1")
    assert distance(a, c) <= distance(a, b) + distance(b, c)
