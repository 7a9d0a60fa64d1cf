"""Pictures in a folder, in the order of their names."""

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nxai_capture.adapters.encoded_picture import LARGEST_FILE_BYTES, codec_of, decode_picture
from nxai_capture.adapters.system_clock import WaitingClock
from nxai_capture.core.picture import Picture
from nxai_capture.ports import Losses, SourceInfo
from nxai_common.contracts.configuration import FolderSource
from nxai_common.errors import CameraUnavailable, ConfigurationError, InvalidPayload

logger = logging.getLogger(__name__)

LOG_EVERY: Final = 100
"""A folder is played again and again, its unreadable pictures with it."""
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


class PictureFolderSource:
    """Reads the pictures of a folder; implements `nxai_capture.ports.Source`.

    The folder is listed again for each round, so that new pictures join.
    """

    def __init__(self, source: FolderSource, clock: WaitingClock) -> None:
        self._path = Path(source.path)
        self._interval_s = source.interval_ms / 1000
        self._loop = source.loop
        self._clock = clock
        self._interrupted = threading.Event()
        self._waiting: list[Path] = []
        self._good_in_round = 0
        self._due: float | None = None
        self._codec = ""
        self._unreadable = 0

    @property
    def info(self) -> SourceInfo:
        """Kind of the last picture, and whether reading waits for the line."""
        return SourceInfo(
            codec=self._codec,
            lossless=self._interval_s == 0,
            nominal_fps=1 / self._interval_s if self._interval_s else None,
        )

    @property
    def losses(self) -> Losses:
        """Files that were skipped."""
        return Losses(damaged=self._unreadable)

    def __enter__(self) -> Self:
        """List the folder.

        Raises:
            ConfigurationError: it does not exist or holds no pictures.
        """
        self._list()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is open between two pictures."""

    def read(self) -> Picture | None:
        """Return the next picture when its time has come, None after the last one.

        Raises:
            CameraUnavailable: interrupted.
            ConfigurationError: no file of the folder is a readable picture.
        """
        waited = False
        while not self._interrupted.is_set():
            if not self._waiting:
                if self._good_in_round == 0:
                    raise ConfigurationError(
                        f"no file in folder {str(self._path)!r} is a readable picture"
                    )
                if not self._loop:
                    return None
                self._list()
            if not waited:
                self._wait()  # before it is read: from then on the picture ages
                waited = True
            picture = self._load(self._waiting.pop())
            if picture is not None:
                self._good_in_round += 1
                return picture
        raise CameraUnavailable("interrupted")

    def interrupt(self) -> None:
        """From another thread: make a waiting `read` return soon, with an error."""
        self._interrupted.set()

    def _list(self) -> None:
        if not self._path.is_dir():
            raise ConfigurationError(f"picture folder {str(self._path)!r} does not exist")
        found = [path for path in self._path.iterdir() if path.suffix.lower() in SUFFIXES]
        if not found:
            raise ConfigurationError(
                f"no pictures ({', '.join(sorted(SUFFIXES))}) in folder {str(self._path)!r}"
            )
        self._waiting = sorted(found, reverse=True)  # taken from the end
        self._good_in_round = 0

    def _load(self, path: Path) -> Picture | None:
        try:
            data = _read(path)
            picture = decode_picture(data, int(self._clock.unix() * 1e6))
        except (OSError, InvalidPayload, CameraUnavailable) as error:
            self._unreadable += 1
            if self._unreadable % LOG_EVERY == 1:
                logger.warning(
                    "picture %r is skipped: %s",
                    path.name,
                    error,
                    extra={"unreadable": self._unreadable},
                )
            return None
        self._codec = codec_of(data[:16]) or ""
        return picture

    def _wait(self) -> None:
        if self._interval_s == 0:
            return
        now = self._clock.monotonic()
        due = now if self._due is None else max(self._due + self._interval_s, now)
        self._due = due
        if self._clock.wait(self._interrupted, due - now):
            raise CameraUnavailable("interrupted")


def _read(path: Path) -> bytes:
    """Return the bytes of a file that is not absurdly large."""
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise InvalidPayload(f"more than {LARGEST_FILE_BYTES // 10**6} MB")
    return path.read_bytes()
