"""Pictures on disk: read, fitted to a model's input with Pillow, drawn on, saved.

The command line fits pictures itself, with Pillow's LANCZOS: of all resamplers that come with
Python it is the closest to what Edge Impulse Studio trained on (libvips lanczos3), 0.3 of 255
on average.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import ResizeMode
from nxai_common.errors import RejectedError

_REDUCING_GAP: Final = 2.0
"""Shrink by a whole number with a box filter first, while twice the target remains: libvips does
the same, and it takes a fifth of the time."""
_COLOURS: Final = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324")
_KEPT_FORMATS: Final = (".png", ".jpg", ".jpeg")

_WHITE_16: Final = 65_535
_STEP_16: Final = 257
"""65535 / 255: white stays white."""
_SAVE_AS: Final = "save it as PNG or JPEG with 8 bits a channel"

_SENT_FORMATS: Final = ("JPEG", "PNG")
MOST_PIXELS: Final = 50_000_000
"""Of a picture that somebody sends: 8K has 33 million, and as RGB this many take 150 MB."""
MOST_SCANS: Final = 100
"""A progressive JPEG has about ten. Each goes over the whole picture and may have 75 bytes: 16 MB
of them would take hours."""

_JPEG: Final = b"\xff\xd8"
_SCAN: Final = b"\xff\xda"
_END: Final = b"\xff\xd9"
_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""Of a segment; not what stands for a 255, a restart, or fills up."""

_FAILURES: Final = (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError)
"""What Pillow raises for files that are missing, truncated, no pictures, or absurdly large;
its PNG reader reports a broken chunk as SyntaxError."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What to draw for one detection, in pixels of the picture."""

    label: str
    colour: int
    """Index of the label: equal labels have equal colours."""
    x: float
    y: float
    width: float
    height: float
    is_centroid: bool
    """FOMO: the box only says which cells fired; a circle at its centre is drawn."""


def read_picture(path: Path) -> Image.Image:
    """Return a picture as RGB, turned as its EXIF orientation says.

    Raises:
        RejectedError: missing, not a picture, truncated; names the file.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            return _as_rgb(ImageOps.exif_transpose(opened))
    except FileNotFoundError as error:
        raise RejectedError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise RejectedError(f"{path}: this is a folder; name the pictures in it") from error
    except UnidentifiedImageError as error:  # its own text has the path once more
        raise RejectedError(
            f"{path}: not a picture that can be read; use JPEG or PNG, or one of the kinds that "
            "Pillow reads"
        ) from error
    except _FAILURES as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RejectedError(f"{path}: not a picture that can be read: {reason}") from error


def decode_picture(content: bytes) -> Image.Image:
    """Return a picture that somebody sent as RGB, turned as its EXIF orientation says.

    Raises:
        RejectedError: neither JPEG nor PNG, broken, or more than this box should take.
    """
    if _scans(content) > MOST_SCANS:
        raise RejectedError(
            f"the picture is a JPEG of more than {MOST_SCANS} scans, which would take minutes; "
            "save it again, without 'progressive'"
        )
    try:
        with Image.open(io.BytesIO(content), formats=_SENT_FORMATS) as opened:
            _check_size(*opened.size)
            opened.load()
            return _as_rgb(ImageOps.exif_transpose(opened))
    except RejectedError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RejectedError(_too_large("more")) from error
    except UnidentifiedImageError as error:  # its own text names a buffer in memory
        begins = content[:8].hex(" ") or "nothing"
        raise RejectedError(
            f"the picture is neither JPEG nor PNG, or broken at its very beginning ({begins})"
        ) from error
    except Exception as error:
        # The parsers behind Pillow fail in more ways than are told: struct.error, KeyError ...
        raise RejectedError(
            f"the picture is broken: {str(error) or type(error).__name__}"
        ) from error


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise RejectedError(_too_large(f"{width}x{height}"))


def _too_large(size: str) -> str:
    return (
        f"the picture has {size} pixels; at most {MOST_PIXELS // 1_000_000} million are taken: "
        "make it smaller"
    )


def _scans(content: bytes) -> int:
    """Return how many scans a JPEG has, counted until there are too many; 0: it is none."""
    at, scans = len(_JPEG), 0
    while content.startswith(_JPEG) and scans <= MOST_SCANS:
        found = _MARKER.search(content, at)
        if found is None or found.group() == _END:
            break
        # A segment begins with its length; what looks like markers within it is none.
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
        scans += found.group() == _SCAN
    return scans


def _as_rgb(picture: Image.Image) -> Image.Image:
    """Return a picture as RGB. Pillow's own `convert` cuts off what is above 255."""
    if picture.mode == "F":
        raise ValueError(f"its values are floating point (mode 'F') without a white; {_SAVE_AS}")
    if not picture.mode.startswith("I"):
        return picture.convert("RGB")
    values = np.asarray(picture)
    for value in (int(values.min()), int(values.max())):
        if not 0 <= value <= _WHITE_16:
            raise ValueError(f"it holds {value}, gray of 16 bits 0 to {_WHITE_16}; {_SAVE_AS}")
    gray = (values.astype(np.uint32) + _STEP_16 // 2) // _STEP_16
    return Image.fromarray(gray.astype(np.uint8)).convert("RGB")


def fit_picture(
    picture: Image.Image, size: tuple[int, int], channels: int, mode: ResizeMode
) -> tuple[NDArray[np.uint8], Transform]:
    """Fit a picture to a model's input.

    Args:
        picture: RGB.
        size: Width and height of the model's input.
        channels: 1 for gray, 3 for RGB.
        mode: squash, fit-short (centre crop) or fit-long (black bars).

    Returns:
        uint8 pixels (height, width, channels), and the transform back to the picture.
    """
    width, height = size
    source_width, source_height = picture.size
    box = (0, 0, source_width, source_height)
    left, top, inner_width, inner_height = 0, 0, width, height
    if mode is ResizeMode.FIT_SHORT:  # whole pixels, truncated as in Edge Impulse's Python SDK
        crop_width = min(source_width, max(1, source_height * width // height))
        crop_height = min(source_height, max(1, source_width * height // width))
        x, y = (source_width - crop_width) // 2, (source_height - crop_height) // 2
        box = (x, y, x + crop_width, y + crop_height)
    elif mode is ResizeMode.FIT_LONG:  # the other side floored, as in Edge Impulse's C++ SDK
        inner_width = min(width, max(1, source_width * height // source_height))
        inner_height = min(height, max(1, source_height * width // source_width))
        left, top = (width - inner_width) // 2, (height - inner_height) // 2
    fitted = picture
    if box != (0, 0, inner_width, inner_height) or picture.size != (inner_width, inner_height):
        fitted = picture.resize(
            (inner_width, inner_height),
            Image.Resampling.LANCZOS,
            box=box,
            reducing_gap=_REDUCING_GAP,
        )
    if channels == 1:
        fitted = fitted.convert("L")
    pixels = np.zeros((height, width, channels), dtype=np.uint8)
    inner = np.asarray(fitted).reshape(inner_height, inner_width, channels)
    pixels[top : top + inner_height, left : left + inner_width] = inner
    scale_x, scale_y = (box[2] - box[0]) / inner_width, (box[3] - box[1]) / inner_height
    transform = Transform(
        scale_x=scale_x,
        scale_y=scale_y,
        offset_x=box[0] - left * scale_x,
        offset_y=box[1] - top * scale_y,
    )
    return pixels, transform


def draw(picture: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """Return a copy of a picture with boxes, or circles for centroids, and their labels."""
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    thick = max(2, round(min(picture.size) / 240))  # seen at any size: 2 at 480 lines, 9 at 4K
    for mark in marks:
        colour = _COLOURS[mark.colour % len(_COLOURS)]
        right, bottom = mark.x + mark.width, mark.y + mark.height
        if mark.is_centroid:
            x, y = (mark.x + right) / 2, (mark.y + bottom) / 2
            radius = max(4 * thick, 4)
            corners = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(corners, outline=colour, width=thick)
            anchor = (x + radius, y - radius)
        else:
            pen.rectangle((mark.x, mark.y, right, bottom), outline=colour, width=thick)
            anchor = (mark.x + thick, mark.y + thick)
        pen.text(anchor, mark.label, fill=colour, stroke_width=1, stroke_fill="white")
    return drawn


def save_picture(picture: Image.Image, source: Path, folder: Path) -> Path:
    """Save a drawn picture under the name of its source; an existing file is not overwritten.

    Raises:
        RejectedError: the folder cannot be written.
    """
    suffix = source.suffix.lower() if source.suffix.lower() in _KEPT_FORMATS else ".png"
    target = folder / f"{source.stem}{suffix}"
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{source.stem}-{number}{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(target)
    except OSError as error:
        raise RejectedError(f"{target}: cannot be written: {error.strerror or error}") from error
    return target
