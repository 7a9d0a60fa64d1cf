"""What capture needs from the outside, as narrow as it can be."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from pydantic import SecretStr

from nxai_capture.core.onvif import Stream
from nxai_capture.core.picture import Bytes, Picture
from nxai_capture.core.ws_discovery import NetworkCamera
from nxai_common.contracts.commands import Reply
from nxai_common.contracts.configuration import CaptureCamera
from nxai_common.errors import CameraUnavailable


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password of a camera; printed as stars."""

    username: str
    password: SecretStr


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What an opened source turned out to be."""

    codec: str
    """`h264`, `mjpeg`, `raw` ..."""
    transport: str = ""
    """`tcp` or `udp` for RTSP, else empty."""
    lossless: bool = False
    """True: reading waits for the line instead of dropping pictures (a file read fast)."""
    nominal_fps: float | None = None
    """Pictures a second as the source announces them; None when it does not say."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What never became a picture that was read, ever-growing while a source is open."""

    damaged: int = 0
    """Packets, files and payloads that gave no picture, and videos that ended early."""
    replaced: int = 0
    """Pictures that a newer one replaced before they were read."""

    def __add__(self, other: "Losses") -> "Losses":
        """Return both together."""
        return Losses(self.damaged + other.damaged, self.replaced + other.replaced)


class NoPictureYet(CameraUnavailable):
    """Nothing is wrong with the source, it only has no picture for now; the message says why."""


class Source(Protocol):
    """One opened camera: a context manager that gives pictures.

    Lifecycle: built by `OpenSource` (cheap, touches nothing), entered (connects, at most the
    open time-out), `read` again and again on the same thread, left (closes everything).
    """

    @property
    def info(self) -> SourceInfo:
        """What was found; complete after the first picture."""
        ...

    @property
    def losses(self) -> Losses:
        """What was lost so far; asked for from any thread."""
        ...

    def read(self) -> Picture | None:
        """Return the next picture; None at the end of a file or folder played once.

        Blocks at most the read time-out.

        Raises:
            NoPictureYet: read again.
            CameraUnavailable: with the reason in plain words; worth opening again.
            ConfigurationError: only a person can mend it (a missing file, a wrong password).
        """
        ...

    def interrupt(self) -> None:
        """From another thread: make a blocked `read` or entering return soon, with an error."""
        ...

    def __enter__(self) -> Self:
        """Connect; raises as `read` does."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close everything."""
        ...


OpenSource: TypeAlias = Callable[[CaptureCamera, Credentials | None], Source]
"""Builds the source of a camera, not yet connected."""

ReadCredentials: TypeAlias = Callable[[str], Credentials]
"""Returns the credentials of that name; raises ConfigurationError when there are none."""


class EncodePicture(Protocol):
    """Makes JPEGs."""

    def __call__(
        self, picture: Picture, *, max_width: int | None = None, comment: bytes = b""
    ) -> bytes:
        """Return a JPEG of `picture`, scaled down to `max_width` when it is wider.

        `comment`, where there is one, is its first comment.
        """
        ...


EncodePixels: TypeAlias = Callable[[Bytes], bytes]
"""Makes a PNG of pixels (height, width, 1 or 3) uint8, gray or RGB."""


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """What a USB camera can give."""

    name: str
    """Four letters: `MJPG`, `YUYV`, `H264` ..."""
    sizes: tuple[tuple[int, int], ...]
    """Width and height of each."""


@dataclass(frozen=True, slots=True)
class UsbCamera:
    """A camera at this machine."""

    device: str
    """For `V4l2Source.device`; survives unplugging where the system knows such a name."""
    name: str
    formats: tuple[PictureFormat, ...]


Answer: TypeAlias = Callable[[Reply], None]
"""Takes the answer to a command; returns at once."""

FindOnNetwork: TypeAlias = Callable[[float], tuple[list[NetworkCamera], list[str]]]
"""Takes seconds; returns who answered within them, and what a person should know."""

FindOnUsb: TypeAlias = Callable[[], tuple[list[UsbCamera], list[str]]]
"""Returns the cameras at this machine, and what a person should know."""

AskForStreams: TypeAlias = Callable[[str, Credentials | None], list[Stream]]
"""Returns the streams of the camera whose device service has this address; raises as
`Source.read` does."""


class Clock(Protocol):
    """Time, so that a test can turn its hands."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    def unix(self) -> float:
        """Seconds since 1970 UTC."""
        ...


__all__ = [
    "Answer",
    "AskForStreams",
    "Bytes",
    "Clock",
    "Credentials",
    "EncodePicture",
    "EncodePixels",
    "FindOnNetwork",
    "FindOnUsb",
    "Losses",
    "NetworkCamera",
    "NoPictureYet",
    "OpenSource",
    "Picture",
    "PictureFormat",
    "ReadCredentials",
    "Source",
    "SourceInfo",
    "Stream",
    "UsbCamera",
]
