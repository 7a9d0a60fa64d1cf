"""The part of a picture that models look at, in whole pixels."""

from dataclasses import dataclass

from nxai_common.contracts.configuration import RegionOfInterest


@dataclass(frozen=True, slots=True)
class PixelBox:
    """A part of a picture, in pixels from its top left corner."""

    left: int
    top: int
    width: int
    height: int


def pixel_box(region: RegionOfInterest | None, width: int, height: int) -> PixelBox:
    """Return the region of a picture of this size: each edge at the nearest one of a pixel.

    At least one pixel, however small the region; None: the whole picture.
    """
    if region is None:
        return PixelBox(0, 0, width, height)
    left, across = _span(region.x, region.width, width)
    top, down = _span(region.y, region.height, height)
    return PixelBox(left, top, across, down)


def _span(start: float, length: float, size: int) -> tuple[int, int]:
    first = min(size - 1, round(start * size))
    end = min(size, round((start + length) * size))
    return first, max(1, end - first)
