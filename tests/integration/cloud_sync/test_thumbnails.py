"""Small copies of real JPEGs."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nxai_cloud_sync.adapters.thumbnails import PillowThumbnails
from nxai_cloud_sync.ports import Thumbnails
from nxai_common.errors import RejectedError

pytestmark = pytest.mark.integration


def picture(path: Path, width: int = 1920, height: int = 1080, **options: Any) -> Path:
    """Write a picture of which the left half is red and the right half is blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    Image.fromarray(pixels).save(path, "JPEG", quality=90, **options)
    return path


def opened(jpeg: bytes) -> Image.Image:
    made = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
    made.load()
    return made


@pytest.mark.parametrize(
    ("size", "max_width", "expected"),
    [
        ((1920, 1080), 320, (320, 180)),
        ((1920, 1080), 1919, (1919, 1079)),
        ((640, 480), 100, (100, 75)),
        ((3000, 10), 100, (100, 1)),
        ((101, 1000), 100, (100, 990)),
        ((64, 48), 1, (1, 1)),
    ],
)
def test_a_picture_is_scaled_down_with_its_shape(
    tmp_path: Path, size: tuple[int, int], max_width: int, expected: tuple[int, int]
) -> None:
    thumbnails: Thumbnails = PillowThumbnails()
    made = opened(thumbnails.of(picture(tmp_path / "a.jpg", *size), max_width))
    assert made.size == expected
    if max_width >= 100 and expected[1] > 10:
        left = made.getpixel((expected[0] // 4, expected[1] // 2))
        right = made.getpixel((3 * expected[0] // 4, expected[1] // 2))
        assert isinstance(left, tuple)
        assert isinstance(right, tuple)
        assert (left[0] > 200, left[2] < 50) == (True, True), "red"
        assert (right[2] > 200, right[0] < 50) == (True, True), "blue"


def test_a_picture_that_is_small_enough_comes_as_it_is(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg", 320, 240)
    for width in (320, 5000):
        assert PillowThumbnails().of(path, width) == path.read_bytes()


def test_a_grey_picture_is_scaled_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("L", (640, 480), 200).save(path, "JPEG")
    assert opened(PillowThumbnails().of(path, 320)).size == (320, 240)


def test_nothing_but_pixels_is_in_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where it was"
    path = picture(tmp_path / "a.jpg", exif=exif, comment=b"who it was", icc_profile=b"profile")
    whole = path.read_bytes()
    assert b"where it was" in whole
    assert b"who it was" in whole
    made = PillowThumbnails().of(path, 320)
    for secret in (b"where it was", b"who it was", b"profile", b"Exif"):
        assert secret not in made
    assert dict(opened(made).getexif()) == {}


def test_it_is_made_once(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg")
    thumbnails = PillowThumbnails()
    made = thumbnails.of(path, 320)
    path.write_bytes(b"gone")
    assert thumbnails.of(path, 320) is made
    with pytest.raises(RejectedError):
        thumbnails.of(path, 160)


def test_what_is_kept_in_memory_is_bounded(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{number}.jpg", 640, 480) for number in range(6)]
    size = len(PillowThumbnails().of(paths[0], 100))
    thumbnails = PillowThumbnails(most_bytes=3 * size)
    first, second, third, *rest = paths
    for path in (first, second, third, first):  # the second is the one that was asked for last
        thumbnails.of(path, 100)
    thumbnails.of(rest[0], 100)
    for path in paths:
        path.write_bytes(b"gone")
    for path in (first, third, rest[0]):
        assert len(thumbnails.of(path, 100)) == size
    with pytest.raises(RejectedError):
        thumbnails.of(second, 100)
    assert thumbnails._bytes == 3 * size == sum(map(len, thumbnails._kept.values()))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0 broken"])
def test_what_is_no_picture_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(RejectedError, match="the picture cannot be read: "):
        PillowThumbnails().of(path, 320)


def test_a_picture_that_was_cut_short_says_so(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RejectedError, match="the picture cannot be read: "):
        PillowThumbnails().of(path, 320)


def test_a_picture_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="cannot be read: No such file or directory"):
        PillowThumbnails().of(tmp_path / "a.jpg", 320)
