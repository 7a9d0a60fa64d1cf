"""USB and built-in cameras through Video4Linux, with PyAV (FFmpeg's own V4L2 input)."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import av.error

from nxai_capture.adapters.pyav_decoding import VideoDecoder
from nxai_capture.adapters.pyav_picture import FrameConverter
from nxai_capture.core.picture import Picture
from nxai_capture.ports import Clock, SourceInfo
from nxai_common.contracts.configuration import V4l2Source
from nxai_common.errors import CameraUnavailable, ConfigurationError, NxaiError

DEVICES: Final = Path("/dev")


class V4l2Connection:
    """One opened device; a `Connection` for `LiveSource`.

    Args:
        source: Device and wished size and rate. Without a size the driver's own is used.
        open_timeout_s: For opening.
        read_timeout_s: Between two pictures.
        clock: Stamps pictures.
        devices: Where device files are; another folder in tests.
    """

    def __init__(
        self,
        source: V4l2Source,
        *,
        open_timeout_s: float,
        read_timeout_s: float,
        clock: Clock,
        devices: Path = DEVICES,
    ) -> None:
        self._source = source
        self._timeout = (open_timeout_s, read_timeout_s)
        self._clock = clock
        self._devices = devices
        self._decoder: VideoDecoder | None = None
        self._info = SourceInfo(codec="")

    @property
    def info(self) -> SourceInfo:
        """Codec and frame rate."""
        return self._info

    @property
    def broken(self) -> int:
        """Packets that could not be decoded."""
        return 0 if self._decoder is None else self._decoder.broken

    @property
    def why_blind(self) -> str:
        """What to do when there is no picture."""
        return "set another size or rate: `v4l2-ctl --list-formats-ext` shows what it has"

    def hang_up(self) -> None:
        """Nothing: the driver cannot be woken."""

    def __enter__(self) -> Self:
        """Open the device.

        Raises:
            CameraUnavailable: not plugged in, or in use.
            ConfigurationError: no camera, no right to use it, or a size it does not have.
        """
        device = Path(self._source.device)
        if not device.is_relative_to(self._devices):
            raise ConfigurationError(
                f"{self._source.device!r} is no device: use a path such as "
                "/dev/v4l/by-id/usb-...-video-index0"
            )
        # Resolved at each attempt: after replugging, the stable name may lead elsewhere.
        node = device.resolve()
        if not node.exists():
            raise CameraUnavailable(
                f"no camera at {self._source.device!r}; plugged in now: {self._present()}"
            )
        if not node.is_char_device():
            raise ConfigurationError(
                f"{self._source.device!r} is no camera; plugged in now: {self._present()}"
            )
        try:
            container = av.open(
                str(node), format="v4l2", options=self._options(), timeout=self._timeout
            )
        except av.error.FFmpegError as error:
            raise self._translate(error) from error
        self._decoder = VideoDecoder(container, live=True)
        self._info = self._decoder.info()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the device."""
        if self._decoder is not None:
            self._decoder.close()

    def pictures(self, heard: Callable[[], None]) -> Iterator[Picture]:
        """Yield pictures.

        Raises:
            CameraUnavailable: unplugged, or silent.
        """
        if self._decoder is None:
            raise RuntimeError("pictures() before entering")
        converter = FrameConverter()
        try:
            for frame, corrupt in self._decoder.frames(heard):
                yield converter.picture(frame, int(self._clock.unix() * 1e6), corrupt)
        except av.error.FFmpegError as error:
            raise self._translate(error) from error

    def _options(self) -> dict[str, str]:
        options: dict[str, str] = {}
        if self._source.width is not None and self._source.height is not None:
            options["video_size"] = f"{self._source.width}x{self._source.height}"
        if self._source.fps is not None:
            options["framerate"] = f"{self._source.fps:g}"
        return options

    def _translate(self, error: av.error.FFmpegError) -> NxaiError:
        device = repr(self._source.device)
        code = error.errno
        if code in (errno.EACCES, errno.EPERM):
            return ConfigurationError(
                f"{device} may not be used by this service: add its user to the group video"
            )
        if code in (errno.ENOTTY, errno.EINVAL):
            asked = ", ".join(f"{k} {v}" for k, v in self._options().items()) or "no size asked"
            return ConfigurationError(
                f"{device} is no camera, or has no such size or rate ({asked}): "
                "`v4l2-ctl --list-formats-ext` shows what it has"
            )
        if code == errno.EBUSY:
            return CameraUnavailable(f"{device} is in use by another program")
        if code in (errno.ENODEV, errno.ENXIO, errno.ENOENT):
            return CameraUnavailable(f"{device} was unplugged; plugged in now: {self._present()}")
        return CameraUnavailable(f"{device} failed: {error.strerror}")

    def _present(self) -> str:
        """Return the stable names of the devices there are, else the bare ones."""
        stable = sorted((self._devices / "v4l" / "by-id").glob("*"))
        found = stable or sorted(self._devices.glob("video*"))
        return ", ".join(str(path) for path in found) or "no camera at all"
