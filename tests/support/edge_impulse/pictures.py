"""What Edge Impulse does with pictures: it looks whether they are any, and resizes them."""

import io

import numpy as np
from PIL import Image, ImageOps

END_OF_JPEG = b"\xff\xd9"
TAIL = 64
"""How far before the end of a file cameras may put it."""


class BrokenPictureError(Exception):
    """Bytes that are no picture."""


def size_of(data: bytes) -> tuple[int, int]:
    """Return width and height, once the file was looked over (not decoded: that would be slow)."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            size = picture.size
            picture.verify()
            cut = picture.format == "JPEG" and END_OF_JPEG not in data[-TAIL:]
    except Exception as error:  # noqa: BLE001 - Pillow raises many for what is no picture
        raise BrokenPictureError(f"Could not read image: {error}") from None
    if cut:
        raise BrokenPictureError("Could not read image: it ends too early")
    return size


def resized(data: bytes, size: tuple[int, int], mode: str) -> bytes:
    """Return a picture as an input block makes it, as a PNG."""
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    lanczos = Image.Resampling.LANCZOS
    match mode:
        case "squash":
            picture = picture.resize(size, lanczos)
        case "fit-long":
            picture = ImageOps.pad(picture, size, lanczos, color="black")
        case _:
            picture = ImageOps.fit(picture, size, lanczos)
    made = io.BytesIO()
    picture.save(made, "PNG")
    return made.getvalue()


def jpeg(seed: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """Return a small JPEG that differs from that of each other seed."""
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    made = io.BytesIO()
    Image.fromarray(noise).save(made, "JPEG")
    return made.getvalue()
