"""From model pixels to the original picture."""

from collections.abc import Sequence

from nxai_common.contracts.frames import Transform


def to_original(
    box: Sequence[int], transform: Transform, width: int, height: int
) -> tuple[float, float, float, float]:
    """Return a box in pixels of the original picture, clamped to it, not rounded.

    Plain floats: a picture has a handful of boxes, and for those numpy costs more than it saves.

    Args:
        box: x, y, width, height in model pixels.
        transform: Of the frame: ``original = model * scale + offset``.
        width: Of the original picture.
        height: Of the original picture.
    """
    x, y, w, h = box
    left = min(max(x * transform.scale_x + transform.offset_x, 0.0), width)
    top = min(max(y * transform.scale_y + transform.offset_y, 0.0), height)
    right = min(max((x + w) * transform.scale_x + transform.offset_x, 0.0), width)
    bottom = min(max((y + h) * transform.scale_y + transform.offset_y, 0.0), height)
    return left, top, right - left, bottom - top
