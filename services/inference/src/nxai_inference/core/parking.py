"""Frames that wait for a model, or for the version of their size, that is being loaded."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from nxai_common.contracts.frames import Frame

PATIENCE_S: Final = 5.0
"""A model loads in a few seconds; a picture older than this is of no use to anybody live."""

PLACES: Final = Frame.depth
"""As many as may wait in the mailbox: with fewer, a file that is read without loss would lose
frames while the model of one of several workers is still loading."""

LIMIT: Final = 256
"""Of all cameras together: 16 cameras of full rows, 80 MB of 320 x 320 pixels at the most."""


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
    """A row of places for each model and camera; when it is full, the newest frame wins."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], deque[ParkedFrame]] = {}

    def __len__(self) -> int:
        """Return how many frames wait. May be called from another thread."""
        return sum(map(len, list(self._rows.values())))

    def park(self, parked: ParkedFrame) -> ParkedFrame | None:
        """Let a frame wait; return the one that had to go for it, which may be itself."""
        if len(self) >= LIMIT:
            return parked
        row = self._rows.setdefault((parked.model, parked.frame.camera), deque())
        row.append(parked)
        return row.popleft() if len(row) > PLACES else None

    def release(self, model: str) -> list[ParkedFrame]:
        """Return the frames that waited for `model`, in the order of each camera."""
        places = [place for place in self._rows if place[0] == model]
        return [parked for place in places for parked in self._rows.pop(place)]

    def expired(self, now: float) -> list[ParkedFrame]:
        """Return the frames whose time is over."""
        over = []
        for row in self._rows.values():
            while row and row[0].until <= now:
                over.append(row.popleft())
        self._rows = {place: row for place, row in self._rows.items() if row}
        return over
