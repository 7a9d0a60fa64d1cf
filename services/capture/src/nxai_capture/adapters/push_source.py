"""Pictures that other programs publish on the camera's own topic."""

import logging
import threading
from types import TracebackType
from typing import Final, Protocol, Self

from nxai_capture.adapters.encoded_picture import codec_of, decode_picture
from nxai_capture.core.picture import Picture
from nxai_capture.ports import Clock, Losses, NoPictureYet, SourceInfo
from nxai_common.errors import CameraUnavailable, InvalidPayload

logger = logging.getLogger(__name__)

LOG_EVERY: Final = 100


class PushedPictures(Protocol):
    """Where pushed pictures wait, filled from the bus."""

    @property
    def dropped(self) -> int:
        """Pictures replaced before they were taken."""
        ...

    def take(self, timeout: float) -> bytes | None:
        """Return the newest picture, waiting for it; None after `timeout` seconds or `wake`."""
        ...

    def wake(self) -> None:
        """Make a waiting `take` return None at once, from any thread."""
        ...


class NewestPushed:
    """One slot: the newest pushed picture wins.

    Attributes:
        dropped: Pictures replaced before they were taken.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: bytes | None = None
        self._woken = False
        self.dropped = 0

    def put(self, data: bytes) -> None:
        """Offer a picture; never blocks."""
        with self._changed:
            if self._newest is not None:
                self.dropped += 1
            self._newest = data
            self._changed.notify()

    def take(self, timeout: float) -> bytes | None:
        """Return the newest picture, waiting for it; None after `timeout` seconds or `wake`."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._woken, timeout)
            self._woken = False
            data, self._newest = self._newest, None
            return data

    def wake(self) -> None:
        """Make a waiting `take` return None at once, from any thread."""
        with self._changed:
            self._woken = True
            self._changed.notify()


class PushSource:
    """Decodes what is pushed; implements `nxai_capture.ports.Source`."""

    def __init__(self, pushed: PushedPictures, clock: Clock, read_timeout_s: float) -> None:
        self._pushed = pushed
        self._clock = clock
        self._timeout_s = read_timeout_s
        self._interrupted = False
        self._codec = ""
        self._replaced_before = pushed.dropped
        self._broken = 0
        self._refused = ""  # why the last payload was no picture

    @property
    def info(self) -> SourceInfo:
        """Kind of the last picture."""
        return SourceInfo(codec=self._codec)

    @property
    def losses(self) -> Losses:
        """Payloads that were no picture, and pictures replaced by newer ones."""
        return Losses(self._broken, self._pushed.dropped - self._replaced_before)

    def __enter__(self) -> Self:
        """Nothing to open: the bus is."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""

    def read(self) -> Picture | None:
        """Return the newest picture; never None. What is no picture is counted and skipped.

        Raises:
            NoPictureYet: nothing was pushed for the read time-out.
            CameraUnavailable: interrupted.
        """
        deadline = self._clock.monotonic() + self._timeout_s
        while not self._interrupted:
            data = self._pushed.take(max(0.0, deadline - self._clock.monotonic()))
            if data is not None:
                picture = self._decode(data)
                if picture is not None:
                    return picture
            if self._clock.monotonic() >= deadline and not self._interrupted:
                if self._refused:
                    raise NoPictureYet(
                        f"no picture for {self._timeout_s:g} s; what was pushed last is none: "
                        f"{self._refused}"
                    )
                raise NoPictureYet(
                    f"nobody pushed a picture for {self._timeout_s:g} s: "
                    "publish JPEG or PNG on this camera's topic `picture`"
                )
        raise CameraUnavailable("interrupted")

    def interrupt(self) -> None:
        """From another thread: make a waiting `read` return soon, with an error."""
        self._interrupted = True
        self._pushed.wake()

    def _decode(self, data: bytes) -> Picture | None:
        try:
            picture = decode_picture(data, int(self._clock.unix() * 1e6))
        except (InvalidPayload, CameraUnavailable) as error:
            self._broken += 1
            self._refused = str(error)
            if self._broken % LOG_EVERY == 1:
                logger.warning(
                    "a pushed payload is no picture: %s", error, extra={"broken": self._broken}
                )
            return None
        self._codec, self._refused = codec_of(data[:16]) or "", ""
        return picture
