"""The last full-size pictures of a camera, by the frame that was made of them."""

from collections import OrderedDict
from typing import Final

from nxai_capture.core.credits import FrameKey
from nxai_capture.core.picture import Picture

MOST_BYTES: Final = 64 * 1024 * 1024
"""45 pictures of 1280 x 720, 5 of 3840 x 2160. Four cameras stay well under the memory of a
small box even when all are 4K."""


class PictureRing:
    """Bounded by count and by bytes; the newest picture is always kept. Not thread-safe."""

    def __init__(self, count: int, most_bytes: int = MOST_BYTES) -> None:
        self.count = count
        self._most_bytes = most_bytes
        self._pictures: OrderedDict[FrameKey, Picture] = OrderedDict()
        self._bytes = 0

    def put(self, key: FrameKey, picture: Picture) -> None:
        """Keep a picture; the oldest go."""
        if key in self._pictures:
            return
        self._pictures[key] = picture
        self._bytes += picture.nbytes
        while len(self._pictures) > 1 and (
            len(self._pictures) > self.count or self._bytes > self._most_bytes
        ):
            _, oldest = self._pictures.popitem(last=False)
            self._bytes -= oldest.nbytes

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
