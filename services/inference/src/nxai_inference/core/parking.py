"""Frames that wait for a model which is being loaded for the first time."""

from dataclasses import dataclass
from typing import Final

from nxai_common.contracts.frames import Frame

PATIENCE_S: Final = 5.0
"""A model loads in a few seconds; a picture older than this is of no use to anybody live."""


@dataclass(slots=True)
class Debt:
    """The credit of a frame whose models all wait: the last answer returns it."""

    answers: int

    def settle(self) -> bool:
        """Count one answer; return whether it was the last one."""
        self.answers -= 1
        return self.answers == 0


@dataclass(frozen=True, slots=True)
class ParkedFrame:
    """A frame and the model it waits for."""

    frame: Frame
    model: str
    until: float
    debt: Debt | None
    """None: another model of the frame has returned the credit."""


class Parking:
    """One place for each model and camera; the newest frame takes it."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], ParkedFrame] = {}

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._places)

    def park(self, parked: ParkedFrame) -> ParkedFrame | None:
        """Let a frame wait; return the one that had its place."""
        place = (parked.model, parked.frame.camera)
        replaced = self._places.get(place)
        self._places[place] = parked
        return replaced

    def release(self, model: str) -> list[ParkedFrame]:
        """Return the frames that waited for `model`, oldest first."""
        return self._remove([place for place in self._places if place[0] == model])

    def expired(self, now: float) -> list[ParkedFrame]:
        """Return the frames whose time is over."""
        return self._remove([p for p, parked in self._places.items() if parked.until <= now])

    def _remove(self, places: list[tuple[str, str]]) -> list[ParkedFrame]:
        return [self._places.pop(place) for place in places]
