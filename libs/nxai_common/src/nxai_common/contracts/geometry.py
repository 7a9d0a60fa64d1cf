"""Places in a picture, as people draw them."""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field

from nxai_common.contracts.collecting import Fraction

Polygon = Annotated[tuple[tuple[Fraction, Fraction], ...], Field(min_length=3, max_length=200)]
"""Corners x, y in 0..1 of the picture."""

Corners = Sequence[tuple[float, float]]
"""x, y in 0..1 of the original picture."""

ON_EDGE: Final = 1e-9
"""A point so close to an edge lies on it: rounding moves one that was meant to by 1e-16, and no
picture has a million pixels a side."""


def holds(corners: Corners, x: float, y: float) -> bool:
    """Tell whether a point lies in a polygon or on its edge.

    Counts the edges to the right of it (Shimrat, "Algorithm 112", CACM 1962): an odd number is
    inside.
    """
    inside = False
    x1, y1 = corners[-1]
    for x2, y2 in corners:
        along_x, along_y = x2 - x1, y2 - y1
        across = along_x * (y - y1) - along_y * (x - x1)
        if (
            across * across <= ON_EDGE * ON_EDGE * (along_x * along_x + along_y * along_y)
            and min(x1, x2) - ON_EDGE <= x <= max(x1, x2) + ON_EDGE
            and min(y1, y2) - ON_EDGE <= y <= max(y1, y2) + ON_EDGE
        ):
            return True
        if (y1 > y) != (y2 > y) and (across > 0) == (along_y > 0):
            inside = not inside
        x1, y1 = x2, y2
    return inside
