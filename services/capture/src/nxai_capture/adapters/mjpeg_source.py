"""Cameras that send an endless HTTP answer of JPEG pictures."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.message import Message
from types import TracebackType
from typing import Final, Self

import httpx

from nxai_capture.adapters.encoded_picture import LARGEST_FILE_BYTES, codec_of, decode_picture
from nxai_capture.adapters.http_camera import HttpCamera
from nxai_capture.core.multipart import MultipartPictures
from nxai_capture.core.picture import Picture
from nxai_capture.ports import Clock, Credentials, SourceInfo
from nxai_common.contracts.configuration import MjpegSource
from nxai_common.errors import CameraUnavailable, ConfigurationError, InvalidPayload

logger = logging.getLogger(__name__)

LOG_EVERY: Final = 100


class MjpegConnection:
    """One answer that does not end; a `Connection` for `LiveSource`.

    Attributes:
        broken: Parts that were no picture.
        why_blind: What the last of them was instead.
    """

    def __init__(
        self,
        source: MjpegSource,
        credentials: Credentials | None,
        *,
        open_timeout_s: float,
        read_timeout_s: float,
        clock: Clock,
    ) -> None:
        self._camera = HttpCamera(
            source.url,
            credentials,
            open_timeout_s=open_timeout_s,
            read_timeout_s=read_timeout_s,
            certificate=source.certificate,
        )
        self._clock = clock
        self._open = ExitStack()
        self._response: httpx.Response | None = None
        self.broken = 0
        self.why_blind = "no part of the MJPEG stream has come to its end"

    @property
    def info(self) -> SourceInfo:
        """Always JPEG; such a stream does not say how fast it is."""
        return SourceInfo(codec="mjpeg")

    def hang_up(self) -> None:
        """From another thread: make a blocked read return soon."""
        self._camera.hang_up()

    def __enter__(self) -> Self:
        """Ask for the stream.

        Raises:
            CameraUnavailable: worth trying again.
            ConfigurationError: wrong password, or what is there is no MJPEG.
        """
        with self._open as opened:
            opened.enter_context(self._camera)
            self._response = opened.enter_context(self._camera.get())
            self._open = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        self._open.close()

    def pictures(self, heard: Callable[[], None]) -> Iterator[Picture]:
        """Yield pictures. Parts that are no picture are counted and skipped.

        Raises:
            CameraUnavailable: the stream broke or ended.
            ConfigurationError: what comes is no MJPEG.
        """
        if self._response is None:
            raise RuntimeError("pictures() before entering")
        content_type = self._response.headers.get("content-type", "")
        parser = MultipartPictures(_boundary_of(content_type), LARGEST_FILE_BYTES)
        pictured = False
        for chunk in self._chunks(self._response, content_type):
            heard()
            try:
                parts = parser.feed(chunk)
            except InvalidPayload as error:
                if pictured:
                    raise CameraUnavailable(f"the MJPEG stream is broken: {error}") from None
                raise _not_mjpeg(content_type) from None
            for part in parts:
                picture = self._decode(part)
                if picture is not None:
                    pictured = True
                    yield picture
        raise CameraUnavailable("the camera ended the stream")

    def _chunks(self, response: httpx.Response, content_type: str) -> Iterator[bytes]:
        """Yield bytes as they come, after a look at the first ones."""
        # Read outside of `HttpCamera.get`'s own block: it translates errors that pass through it
        # only while it is on the stack, and a generator's consumer is not.
        with self._camera.translated():
            first = True
            for chunk in response.iter_raw():
                if first and codec_of(chunk) is not None:
                    raise ConfigurationError(
                        f"the URL gives one {content_type or 'picture'}, not a stream: "
                        "use the camera type still"
                    )
                first = False
                yield chunk

    def _decode(self, part: bytes) -> Picture | None:
        try:
            return decode_picture(part, int(self._clock.unix() * 1e6))
        except InvalidPayload as error:
            self.broken += 1
            self.why_blind = str(error)
            if self.broken % LOG_EVERY == 1:
                logger.warning(
                    "a part of an MJPEG stream is no picture: %s",
                    error,
                    extra={"broken": self.broken},
                )
            return None


def _boundary_of(content_type: str) -> str | None:
    """Return the boundary parameter."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    return boundary if isinstance(boundary, str) else None


def _not_mjpeg(content_type: str) -> ConfigurationError:
    kind = content_type.partition(";")[0][:60] or "something without a content type"
    return ConfigurationError(
        f"the URL gives {kind!r}, not MJPEG (multipart/x-mixed-replace): check the path of the URL"
    )
