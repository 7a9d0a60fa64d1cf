"""When a silent camera counts as stuck. Pure functions of times, in monotonic seconds."""

import zlib
from dataclasses import dataclass
from typing import Final

from nxai_capture.core.picture import Picture, Yuv420
from nxai_common.contracts.configuration import (
    CaptureCamera,
    FileSource,
    FolderSource,
    RtspSource,
    StillSource,
)

GRACE_S: Final = 3.0
"""A source's own time-outs get this much longer: they know the better reason."""
OBEY_S: Final = 5.0
"""An interrupted source that has not come back after so long never will."""
ROW_STEP: Final = 8
"""Every eighth row tells one picture from another and costs 0.05 ms at 1280 x 720."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a source may take, in seconds."""

    to_open_s: float
    to_read_s: float


def patience_with(camera: CaptureCamera, nominal_fps: float | None) -> Patience:
    """Return how long opening and reading may take before the source counts as stuck.

    Its own time-outs, twice for opening where TCP and UDP are tried in turn, and the pause that
    the source makes on purpose between two pictures.
    """
    source, watchdog = camera.source, camera.watchdog
    attempts = 2 if isinstance(source, RtspSource) and source.transport == "auto" else 1
    pause_s = 0.0
    if isinstance(source, StillSource | FolderSource):
        pause_s = source.interval_ms / 1000
    elif isinstance(source, FileSource) and nominal_fps:
        pause_s = 1 / nominal_fps
    silence_s = max(watchdog.read_timeout_s, watchdog.picture_timeout_s)
    return Patience(
        to_open_s=attempts * watchdog.open_timeout_s + silence_s + GRACE_S,
        to_read_s=silence_s + pause_s + GRACE_S,
    )


def fingerprint(picture: Picture) -> int:
    """Return a number that is equal for equal pictures, and hardly ever for others."""
    planes = picture.planes
    rows = planes.y if isinstance(planes, Yuv420) else planes.pixels
    return zlib.crc32(rows[::ROW_STEP].tobytes())


class FrozenPicture:
    """Notices that the very same picture comes again and again.

    Args:
        timeout_s: For how long; 0: never.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._last: int | None = None
        self._since = 0.0

    def frozen(self, picture: Picture, now: float) -> bool:
        """Take note of a picture; True when it has been the same one for too long."""
        if self.timeout_s == 0:
            return False
        number = fingerprint(picture)
        if number != self._last:
            self._last, self._since = number, now
            return False
        return now - self._since >= self.timeout_s
