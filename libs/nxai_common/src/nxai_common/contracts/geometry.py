"""Places in a picture, as people draw them."""

from typing import Annotated

from pydantic import Field

from nxai_common.contracts.collecting import Fraction

Polygon = Annotated[tuple[tuple[Fraction, Fraction], ...], Field(min_length=3, max_length=200)]
"""Corners x, y in 0..1 of the picture."""
