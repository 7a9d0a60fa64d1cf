"""Pixels to input tensors: every scaling, type and layout, against the formula written out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nxai_common.contracts.models import InputScaling, TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.core.model_facts import input_geometry
from nxai_inference.core.scaling import InputScaler

pytestmark = pytest.mark.unit

RANDOM = np.random.default_rng(3)
UNIT = 0.003921568859368563
"""1/255 as Edge Impulse's quantised exports store it."""


def info(
    dtype: str = "float32",
    *,
    channels: int = 3,
    scale: float = 0.0,
    zero_point: int = 0,
    first: bool = False,
) -> TensorInfo:
    shape = (1, channels, 4, 5) if first else (1, 4, 5, channels)
    return TensorInfo(name="x", shape=shape, dtype=dtype, scale=scale, zero_point=zero_point)


def pixels(channels: int = 3) -> NDArray[np.uint8]:
    """All extremes and some between."""
    made = RANDOM.integers(0, 256, (4, 5, channels), dtype=np.uint8)
    made[0, :2] = [[0] * channels, [255] * channels]
    return made


def scaler(scaling: InputScaling, tensor: TensorInfo) -> InputScaler:
    return InputScaler(scaling, tensor, input_geometry([tensor]))


def expected(scaling: InputScaling, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The formulas of the SDK in float64."""
    v = picture.astype(np.float64) / 255
    match scaling:
        case InputScaling.ZERO_TO_ONE:
            return v
        case InputScaling.MINUS_ONE_TO_ONE:
            return v * 2 - 1
        case InputScaling.MINUS_128_TO_127:
            return v * 255 - 128
        case InputScaling.ZERO_TO_255:
            return v * 255
        case InputScaling.TORCH:
            return (v - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        case InputScaling.BGR_SUBTRACT_IMAGENET_MEAN:
            return (v * 255)[:, :, ::-1] - [103.939, 116.779, 123.68]


@pytest.mark.parametrize("scaling", InputScaling)
@pytest.mark.parametrize("first", [False, True])
def test_every_scaling_in_both_layouts(scaling: InputScaling, first: bool) -> None:
    picture = pixels()
    wanted = expected(scaling, picture)
    found = scaler(scaling, info(first=first)).scale(picture)
    assert found.dtype == np.float32
    assert found.shape == ((1, 3, 4, 5) if first else (1, 4, 5, 3))
    back = found[0].transpose(1, 2, 0) if first else found[0]
    np.testing.assert_allclose(back, wanted, rtol=1e-6, atol=3e-5)


@pytest.mark.parametrize(
    "scaling",
    [s for s in InputScaling if s not in (InputScaling.TORCH, "bgr-subtract-imagenet-mean")],
)
def test_gray(scaling: InputScaling) -> None:
    picture = pixels(1)
    found = scaler(scaling, info(channels=1)).scale(picture)
    np.testing.assert_allclose(found[0], expected(scaling, picture), rtol=1e-6, atol=3e-5)


def test_zero_to_one_is_the_float32_quotient_to_the_last_bit() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(4, 64, 1)
    tensor = TensorInfo(name="x", shape=(1, 4, 64, 1), dtype="float32")
    found = scaler(InputScaling.ZERO_TO_ONE, tensor).scale(every)
    assert (found.ravel() == np.arange(256, dtype=np.float32) / np.float32(255)).all()


def test_int8_of_edge_impulse_is_byte_minus_128() -> None:
    picture = pixels()
    found = scaler(InputScaling.ZERO_TO_ONE, info("int8", scale=UNIT, zero_point=-128)).scale(
        picture
    )
    assert found.dtype == np.int8
    assert (found[0] == picture.astype(int) - 128).all()


def test_uint8_is_the_byte() -> None:
    picture = pixels()
    found = scaler(InputScaling.ZERO_TO_ONE, info("uint8", scale=UNIT)).scale(picture)
    assert found.dtype == np.uint8
    assert (found[0] == picture).all()


@pytest.mark.parametrize("scaling", [InputScaling.TORCH, InputScaling.MINUS_ONE_TO_ONE])
@pytest.mark.parametrize("first", [False, True])
def test_other_quantisations_round_half_away_and_saturate(
    scaling: InputScaling, first: bool
) -> None:
    picture = pixels()
    tensor = info("int8", scale=0.006, zero_point=5, first=first)
    found = scaler(scaling, tensor).scale(picture)[0]
    back = found.transpose(1, 2, 0) if first else found
    steps = expected(scaling, picture) / np.float64(np.float32(0.006))
    wanted = np.clip(np.trunc(steps + np.copysign(0.5, steps)) + 5, -128, 127)
    assert (back == wanted).all()
    assert {back.min(), back.max()} & {-128, 127}


def test_halves_are_rounded_away_from_zero() -> None:
    tensor = TensorInfo(name="x", shape=(1, 1, 2, 1), dtype="int8", scale=2.0, zero_point=0)
    picture = np.array([[[127], [129]]], dtype=np.uint8)  # -1 and 1: half a step each
    found = scaler(InputScaling.MINUS_128_TO_127, tensor).scale(picture)
    assert found.ravel().tolist() == [-1, 1]


def test_integers_without_quantisation_take_whole_values_only() -> None:
    picture = pixels()
    found = scaler(InputScaling.ZERO_TO_255, info("uint8")).scale(picture)
    assert (found[0] == picture).all()
    with pytest.raises(ConfigurationError, match=r"int8 without a quantisation.*'0\.\.255'"):
        scaler(InputScaling.ZERO_TO_ONE, info("int8"))


def test_half_floats() -> None:
    found = scaler(InputScaling.ZERO_TO_ONE, info("float16")).scale(pixels())
    assert found.dtype == np.float16


@pytest.mark.parametrize("scaling", [InputScaling.TORCH, InputScaling.BGR_SUBTRACT_IMAGENET_MEAN])
def test_a_mean_for_each_colour_needs_colours(scaling: InputScaling) -> None:
    with pytest.raises(ConfigurationError, match="reads gray pictures"):
        scaler(scaling, info(channels=1))


def test_other_types_cannot_be_fed() -> None:
    with pytest.raises(ConfigurationError, match="input 'x' is of type int64"):
        scaler(InputScaling.ZERO_TO_ONE, info("int64"))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((5, 4, 3), np.uint8),
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 1), np.uint8),
        np.zeros((4, 5, 3), np.float32),
    ],
)
def test_pixels_of_another_shape_are_refused(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(RejectedError, match=r"do not fit a model that reads \(4, 5, 3\)"):
        scaler(InputScaling.ZERO_TO_ONE, info()).scale(picture)


def test_pixels_need_not_be_contiguous() -> None:
    picture = pixels()
    turned = np.asfortranarray(picture)
    for scaling in (InputScaling.ZERO_TO_ONE, InputScaling.TORCH):
        one = scaler(scaling, info())
        assert (one.scale(turned) == one.scale(picture)).all()
