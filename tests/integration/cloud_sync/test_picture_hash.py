import io
import random

import numpy as np
import pytest
from PIL import Image

from nxai_cloud_sync.adapters.picture_hash import JpegHasher
from nxai_cloud_sync.core.perceptual_hash import difference_hash, distance
from nxai_common.errors import RejectedError
from support.samples import HEIGHT, WIDTH, jpeg

HASHER = JpegHasher()


def encoded(pixels: np.ndarray, *, quality: int = 90, mode: str | None = None) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def scene(shift: int = 0, *, noise: float = 0.0, light: float = 1.0) -> np.ndarray:
    """Return a 1280x720 scene of soft blobs; `shift` moves them."""
    rng = np.random.default_rng(5)
    coarse = Image.fromarray(np.roll(rng.integers(30, 220, (6, 12), np.uint8), shift, 1))
    pixels = np.asarray(coarse.resize((1280, 720), Image.Resampling.BICUBIC), np.float64)
    grain = np.random.default_rng(1).normal(0, noise, pixels.shape)
    return (pixels * light + grain).clip(0, 255).astype(np.uint8)


def hash_of(data: bytes, width: int = 1280, height: int = 720) -> int:
    return HASHER.hash_of(data, width, height)


def test_the_hash_is_that_of_the_whole_picture() -> None:
    picture = scene()
    small = np.asarray(Image.fromarray(picture).resize((9, 8), Image.Resampling.BOX))
    assert distance(hash_of(encoded(picture)), difference_hash(small)) <= 3


def test_noise_quality_and_light_move_few_bits_and_another_scene_many() -> None:
    first = hash_of(encoded(scene()))
    for same in (
        encoded(scene(noise=6)),
        encoded(scene(), quality=60),
        encoded(scene(light=0.8)),
        encoded(scene(), mode="RGB"),
        encoded(scene(), mode="CMYK"),
    ):
        assert distance(first, hash_of(same)) <= 3
    for shift in range(1, 12):
        assert distance(first, hash_of(encoded(scene(shift)))) > 10


@pytest.mark.parametrize("size", [(1, 1), (8, 3), (9, 8), (17, 640), (1280, 720)])
def test_pictures_of_any_size(size: tuple[int, int]) -> None:
    data = encoded(np.full((size[1], size[0]), 90, np.uint8))
    assert HASHER.hash_of(data, *size) == 0


def test_another_size_than_the_message_says_is_refused() -> None:
    with pytest.raises(RejectedError, match="the JPEG is 64 x 48, but its message says 48 x 64"):
        HASHER.hash_of(jpeg(), HEIGHT, WIDTH)


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(RejectedError, match="80,000,000 pixels"):
        HASHER.hash_of(b"", 16_384, 16_384)


def test_a_small_file_that_claims_to_be_huge_is_refused() -> None:
    claims = bytearray(jpeg())
    at = claims.index(b"\xff\xc0") + 5
    claims[at : at + 4] = (65_000).to_bytes(2, "big") * 2
    with pytest.raises(RejectedError):
        HASHER.hash_of(bytes(claims), WIDTH, HEIGHT)


def test_a_jpeg_that_was_cut_short_is_refused() -> None:
    data = encoded(scene(noise=3))
    for length in (0, 1, 2, 100, len(data) // 2, len(data) - 1000, len(data) - 1):
        with pytest.raises(RejectedError, match="no whole JPEG"):
            hash_of(data[:length])


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_other_kinds_of_pictures_are_refused(kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(scene()).save(file, kind)
    with pytest.raises(RejectedError, match="no whole JPEG"):
        hash_of(file.getvalue())


def test_damage_of_any_kind_is_refused_or_does_not_matter() -> None:
    whole = jpeg(3)
    rng = random.Random(7)  # noqa: S311 - the same damage every time
    refused = 0
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            assert 0 <= HASHER.hash_of(bytes(damaged), WIDTH, HEIGHT) < 2**64
        except RejectedError:
            refused += 1
    assert refused > 300
