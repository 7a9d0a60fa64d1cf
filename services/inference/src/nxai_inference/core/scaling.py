"""From uint8 pixels to the numbers a model's input tensor wants.

A pixel has 256 values, so everything (scaling, normalisation, quantisation) is worked out once
into a table and looked up from then on: exact, and as fast as one multiplication.

Formulas: Edge Impulse SDK v1.93, ei_run_classifier.h 717-815 (`imageInputScaling`), float32
step by step; quantisation rounds half away from zero as its `pre_cast_quantize` does.
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.models import InputScaling, TensorInfo
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.core.model_facts import InputGeometry

_TORCH_MEAN: Final = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_TORCH_STD: Final = np.array([0.229, 0.224, 0.225], dtype=np.float32)
_IMAGENET_MEAN_BGR: Final = np.array([103.939, 116.779, 123.68], dtype=np.float32)
_FLOATS: Final = ("float32", "float16")
_INTEGERS: Final = ("int8", "uint8")
_RGB: Final = 3


class InputScaler:
    """Turns pixels into the input tensor of one model."""

    def __init__(self, scaling: InputScaling, info: TensorInfo, geometry: InputGeometry) -> None:
        """Work out the table.

        Args:
            scaling: What the exported model expects of a pixel.
            info: The input tensor.
            geometry: Its picture.

        Raises:
            ConfigurationError: the scaling does not fit the channels or the tensor's type.
        """
        self._shape = (geometry.height, geometry.width, geometry.channels)
        self._channels_first = geometry.channels_first
        self._tensor_shape = info.shape
        self._swap = scaling is InputScaling.BGR_SUBTRACT_IMAGENET_MEAN
        table = quantise(real_values(scaling, geometry.channels), info)
        one = table[:, 0]
        self._same_channels = bool((table == one[:, None]).all())
        levels = np.arange(256)
        self._is_identity = (
            self._same_channels and table.dtype == np.uint8 and bool((one == levels).all())
        )
        self._is_shift = (
            self._same_channels and table.dtype == np.int8 and bool((one == levels - 128).all())
        )
        # cv2.LUT takes a table of 256 x 1, with one channel for all or one for each.
        self._table = np.ascontiguousarray(one if self._same_channels else table[:, None, :])

    def scale(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the input tensor, of the model's shape and type.

        Args:
            pixels: uint8 (height, width, channels), RGB or gray.

        Raises:
            RejectedError: another shape or type.
        """
        if pixels.shape != self._shape or pixels.dtype != np.uint8:
            raise RejectedError(
                f"pixels of shape {pixels.shape} and type {pixels.dtype} do not fit a model that "
                f"reads {self._shape} uint8 (height, width, channels)"
            )
        if self._swap:
            pixels = pixels[:, :, ::-1]
        if self._channels_first:
            pixels = pixels.transpose(2, 0, 1)
        return self._look_up(np.ascontiguousarray(pixels)).reshape(self._tensor_shape)

    def _look_up(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        if self._is_identity:
            return pixels
        if self._is_shift:
            return np.bitwise_xor(pixels, np.uint8(128)).view(np.int8)  # byte - 128, six times LUT
        if self._same_channels:
            return np.asarray(cv2.LUT(pixels.reshape(1, -1), self._table))
        if self._channels_first:
            planes = [
                cv2.LUT(plane, np.ascontiguousarray(self._table[:, 0, channel]))
                for channel, plane in enumerate(pixels)
            ]
            return np.stack([np.asarray(plane) for plane in planes])
        return np.asarray(cv2.LUT(pixels, self._table))


def real_values(scaling: InputScaling, channels: int) -> NDArray[np.float32]:
    """Return what the model expects for each byte: float32 (256, channels).

    For ``bgr-subtract-imagenet-mean`` the channels of the table are blue, green, red.

    Raises:
        ConfigurationError: a scaling with one mean per colour, for a gray model.
    """
    byte = np.arange(256, dtype=np.float32)[:, None]
    value = np.repeat(byte / np.float32(255), channels, axis=1)
    if scaling is InputScaling.ZERO_TO_ONE:
        return value
    if scaling is InputScaling.MINUS_ONE_TO_ONE:
        return value * np.float32(2) - np.float32(1)
    if scaling is InputScaling.MINUS_128_TO_127:
        return value * np.float32(255) - np.float32(128)
    if scaling is InputScaling.ZERO_TO_255:
        return value * np.float32(255)
    if channels != _RGB:
        raise ConfigurationError(
            f"input scaling {scaling.value!r} has one mean per colour, but the model reads gray "
            "pictures; use another input scaling"
        )
    if scaling is InputScaling.TORCH:
        return (value - _TORCH_MEAN) / _TORCH_STD
    return value * np.float32(255) - _IMAGENET_MEAN_BGR


def quantise(values: NDArray[np.float32], info: TensorInfo) -> NDArray[Any]:
    """Return real values as the tensor stores them.

    Args:
        values: Any shape, float32.
        info: The input tensor: its type and quantisation.

    Raises:
        ConfigurationError: a type that no picture is fed as, or integers without a scale.
    """
    if info.dtype in _FLOATS:
        return values.astype(info.dtype)
    if info.dtype not in _INTEGERS:
        raise ConfigurationError(
            f"input {info.name!r} is of type {info.dtype}; "
            f"only {', '.join((*_FLOATS, *_INTEGERS))} can be fed with pixels"
        )
    scale, zero_point = info.scale, info.zero_point
    if scale == 0.0:
        whole = np.array_equal(values, np.rint(values))
        if not whole:
            raise ConfigurationError(
                f"input {info.name!r} is {info.dtype} without a quantisation; it can only be fed "
                "with input scaling '0..255' or '-128..127'"
            )
        scale, zero_point = 1.0, 0
    steps = values / np.float32(scale)
    rounded = np.trunc(steps + np.copysign(np.float32(0.5), steps))
    limits = np.iinfo(info.dtype)
    stored: NDArray[Any] = np.clip(rounded + zero_point, limits.min, limits.max).astype(info.dtype)
    return stored
