"""The last full-size pictures of a camera, by the frame that was made of them."""

from collections.abc import Callable
from typing import Final

from nxai_capture.core.credits import FrameKey
from nxai_capture.core.picture import Picture

MOST_BYTES: Final = 64 * 1024 * 1024
"""45 pictures of 1280 x 720, 5 of 3840 x 2160. Four cameras stay well under the memory of a
small box even when all are 4K."""


class PictureRing:
    """Bounded by count and by bytes; the newest picture is always kept. Not thread-safe.

    Args:
        count: Pictures at most whose frame is not in flight.
        in_flight: Whether the result of a frame is still to come. Its picture goes last, and only
            for want of bytes.
        most_bytes: Of all pictures.
    """

    def __init__(
        self,
        count: int,
        in_flight: Callable[[FrameKey], bool],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._count = count
        self._in_flight = in_flight
        self._most_bytes = most_bytes
        self._pictures: dict[FrameKey, Picture] = {}  # in the order they were put
        self._bytes = 0

    def put(self, key: FrameKey, picture: Picture) -> None:
        """Keep a picture; the oldest go."""
        if key in self._pictures:
            return
        self._pictures[key] = picture
        self._bytes += picture.nbytes
        landed = [kept for kept in self._pictures if not self._in_flight(kept)]
        surplus = max(0, len(landed) - self._count)
        flying = [kept for kept in self._pictures if kept not in landed]
        for kept in landed[:surplus]:
            self._drop(kept)
        for kept in landed[surplus:] + flying:
            if self._bytes <= self._most_bytes:
                break
            if kept != key:
                self._drop(kept)

    def has_room(self, key: FrameKey, picture: Picture) -> bool:
        """Return whether a picture can be kept with none in flight having to go."""
        if key in self._pictures:
            return True
        flying = [p.nbytes for kept, p in self._pictures.items() if self._in_flight(kept)]
        return not flying or sum(flying) + picture.nbytes <= self._most_bytes

    def _drop(self, key: FrameKey) -> None:
        self._bytes -= self._pictures.pop(key).nbytes

    def clear(self) -> None:
        """Keep none of them any longer."""
        self._pictures.clear()
        self._bytes = 0

    def get(self, key: FrameKey) -> Picture | None:
        """Return the picture of a frame; None when it is gone."""
        return self._pictures.get(key)

    @property
    def newest(self) -> Picture | None:
        """The last one put."""
        return next(reversed(self._pictures.values()), None)
