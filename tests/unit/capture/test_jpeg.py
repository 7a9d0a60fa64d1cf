"""Comments in JPEGs."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from nxai_capture.core.jpeg import LONGEST_COMMENT, with_comment


def jpeg(**more: object) -> bytes:
    """Return one as Pillow writes it."""
    written = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(written, "JPEG", **more)
    return written.getvalue()


def pixels_of(data: bytes) -> bytes:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)).tobytes()


@pytest.mark.parametrize("comment", [b"{}", b'{"sequence": 7}', b"\xff\xd9" * 9, bytes(65_533)])
def test_a_comment_is_found_and_the_picture_stays_as_it_was(comment: bytes) -> None:
    plain = jpeg()
    data = with_comment(plain, comment)
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        assert opened.info["comment"] == comment
        assert opened.info["jfif_version"] == (1, 1)
    assert data[2:4] == b"\xff\xe0", "JFIF stays the first"
    assert pixels_of(data) == pixels_of(plain)


def test_ours_is_the_first_comment() -> None:
    data = with_comment(jpeg(comment=b"another"), b"ours")
    assert data.index(b"ours") < data.index(b"another")


def test_a_jpeg_without_jfif_gets_its_comment_first_of_all() -> None:
    plain = jpeg()
    length = int.from_bytes(plain[4:6], "big")
    without = plain[:2] + plain[4 + length :]
    data = with_comment(without, b"ours")
    assert data.startswith(b"\xff\xd8\xff\xfe\x00\x06ours")
    assert pixels_of(data) == pixels_of(plain)


def test_what_is_no_jpeg_or_too_long_a_comment_is_refused() -> None:
    with pytest.raises(ValueError, match="5 bytes that are no JPEG"):
        with_comment(b"hello", b"ours")
    with pytest.raises(ValueError, match=f"{LONGEST_COMMENT + 1} bytes; 65533 fit"):
        with_comment(jpeg(), bytes(LONGEST_COMMENT + 1))
