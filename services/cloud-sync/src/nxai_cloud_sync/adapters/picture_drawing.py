"""Draws boxes with their labels on a JPEG, with Pillow."""

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from nxai_cloud_sync.core.sample import LabelledBox
from nxai_common.errors import RejectedError

_COLOURS: Final = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324")
_QUALITY: Final = 92
"""Thin coloured lines would smear at less."""
_SMALLEST_TEXT: Final = 12
_TEXT_SHARE: Final = 40
"""Of the picture's shorter side: read at any size, 27 pixels at 1080 lines."""
_LINE_SHARE: Final = 240
"""As above: 2 pixels at 480 lines, 9 at 4K."""


def draw_boxes(jpeg: bytes, boxes: Sequence[LabelledBox], labels: Sequence[str] = ()) -> bytes:
    """Return a JPEG with rectangles on it, each with its label and, of a prediction, how sure.

    Args:
        jpeg: A picture; without a box it comes back as it is.
        boxes: In pixels of the picture.
        labels: All there are: a label has the same colour on each picture.

    Raises:
        RejectedError: it is no picture that can be read.
    """
    if not boxes:
        return jpeg
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as opened:
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RejectedError(
            f"the boxes cannot be drawn, as the picture cannot be read: {error}"
        ) from None
    pen = ImageDraw.Draw(picture)
    side = min(picture.size)
    font = ImageFont.load_default(max(_SMALLEST_TEXT, side // _TEXT_SHARE))
    known = list(dict.fromkeys((*labels, *(box.label for box in boxes))))
    # All plates after all frames: no line may cross a text.
    for box in boxes:
        right, bottom = box.x + box.width, box.y + box.height
        colour = _COLOURS[known.index(box.label) % len(_COLOURS)]
        width = max(2, side // _LINE_SHARE)
        pen.rectangle((box.x, box.y, right, bottom), outline=colour, width=width)
    for box in boxes:
        colour = _COLOURS[known.index(box.label) % len(_COLOURS)]
        _draw_plate(pen, font, box, colour, picture.width)
    drawn = io.BytesIO()
    picture.save(drawn, "JPEG", quality=_QUALITY, subsampling=0)
    return drawn.getvalue()


def _draw_plate(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    box: LabelledBox,
    colour: str,
    picture_width: int,
) -> None:
    """Draw a label on its colour: above its box, or within where there is no room above."""
    sure = "" if box.confidence is None else f" {box.confidence:.2f}"
    text = f"{box.label}{sure}"
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x = max(0.0, min(box.x, picture_width - right))
    y = box.y - bottom
    if y < 0:
        y = box.y
    pen.rectangle((x + left - 1, y + top - 1, x + right + 1, y + bottom + 1), fill=colour)
    pen.text((x, y), text, font=font, fill="white")
