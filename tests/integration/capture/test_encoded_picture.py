"""JPEG files as they are, and what is left of them on bad cables and disks."""

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from nxai_capture.adapters.encoded_picture import END_OF_JPEG, decode_picture
from nxai_capture.core.picture import Bytes

WIDTH, HEIGHT = 203, 151


def scene(channels: int = 3) -> Bytes:
    """Return soft noise: pixels that differ wherever a decoder goes astray."""
    noise = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)
    return np.asarray(
        cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX),  # type: ignore[call-overload]  # None is allowed
        np.uint8,
    )


def of_opencv(*options: int, pixels: Bytes | None = None) -> bytes:
    done, data = cv2.imencode(".jpg", scene() if pixels is None else pixels, options)
    assert done
    return data.tobytes()


def of_pillow(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "jpeg", **options)
    return file.getvalue()


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return of_pillow(Image.fromarray(scene()), exif=exif)


def in_the_middle(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: data[: len(data) // 2] + change(data[len(data) // 2 :])


def flipped(data: bytes) -> bytes:
    return bytes(byte ^ 0x55 for byte in data[:64]).replace(b"\xff", b"\0") + data[64:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a hole": in_the_middle(lambda data: data[1500:]),
    "flipped bits": in_the_middle(flipped),
    "cut off": lambda data: data[: len(data) // 2],
    "cut off, then an end": lambda data: data[: len(data) // 2] + END_OF_JPEG,
    "no end": lambda data: data[:-2],
    "the rest of another picture": lambda data: data[:-2] + data[-402:],
}


def reference(data: bytes) -> Bytes:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels.astype(np.uint8)


SUBSAMPLINGS = {
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}
SOUND = {
    **{
        f"{name}{' progressive' if progressive else ''}": of_opencv(
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            factor,
            cv2.IMWRITE_JPEG_PROGRESSIVE,
            progressive,
        )
        for name, factor in SUBSAMPLINGS.items()
        for progressive in (0, 1)
    },
    "restart markers": of_opencv(cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
    "gray": of_opencv(pixels=scene(1)),
    "RGB": of_pillow(Image.fromarray(scene()), keep_rgb=True),
    "CMYK": of_pillow(Image.frombytes("CMYK", (WIDTH, HEIGHT), scene(4).tobytes())),
    "colour profile": of_pillow(Image.fromarray(scene()), icc_profile=bytes(100)),
    **{f"orientation {n}": with_orientation(n) for n in range(1, 9)},
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
def test_a_sound_jpeg_has_the_pixels_that_opencv_gives(data: bytes) -> None:
    picture = decode_picture(data, 7)
    assert not picture.corrupt
    assert np.array_equal(picture.to_bgr(), reference(data))
    assert (picture.height, picture.width) == reference(data).shape[:2]
    assert picture.captured_at_us == 7


@pytest.mark.parametrize(
    "data", [SOUND["4:2:0"], SOUND["orientation 6"]], ids=["upright", "turned"]
)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_jpeg_is_marked_and_shown(damage: Callable[[bytes], bytes], data: bytes) -> None:
    picture = decode_picture(damage(data), 0)
    assert picture.corrupt
    assert picture.to_bgr().shape == reference(data).shape
    assert picture.to_bgr().any()


@pytest.mark.parametrize(
    "data",
    [
        of_opencv()[:-2] + bytes(40) + END_OF_JPEG,
        of_opencv()[:-2] + b"\xff\x00" * 20 + END_OF_JPEG,
        of_opencv()[:-2] + b"\xff" * 40 + END_OF_JPEG,
        of_opencv() + bytes(40),
        of_opencv() + bytes(4000),
        of_opencv() + END_OF_JPEG,
        of_opencv() + b"a maker's own data" * 100,
        of_opencv().replace(b"JFIF\0\1", b"JFIF\0\7"),
        SOUND["colour profile"].replace(b"ICC_PROFILE\0\1\1", b"ICC_PROFILE\0\2\1"),
        SOUND["CMYK"].replace(b"Adobe\0\x64", b"Adobe\0\x65"),
    ],
)
def test_what_cameras_do_beside_the_pixels_is_no_damage(data: bytes) -> None:
    assert not decode_picture(data, 0).corrupt


def test_samplings_that_only_opencv_knows_are_no_damage() -> None:
    data = bytearray(of_opencv(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SUBSAMPLINGS["4:4:4"]))
    frame = data.index(b"\xff\xc0")
    data[frame + 17] = 0x21  # only one of the colours is finer across
    picture = decode_picture(bytes(data), 0)
    assert picture.to_bgr().shape == (HEIGHT, WIDTH, 3)
    assert not picture.corrupt
