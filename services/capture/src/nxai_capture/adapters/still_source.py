"""Cameras that show one picture at a URL: it is fetched again and again."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

import httpx

from nxai_capture.adapters.encoded_picture import LARGEST_FILE_BYTES, codec_of, decode_picture
from nxai_capture.adapters.http_camera import HttpCamera
from nxai_capture.adapters.system_clock import WaitingClock
from nxai_capture.core.picture import Picture
from nxai_capture.ports import Credentials, SourceInfo
from nxai_common.contracts.configuration import StillSource
from nxai_common.errors import CameraUnavailable, ConfigurationError, InvalidPayload

SLICE_S: Final = 0.2
"""A wait for the next fetch looks so often whether it is still wanted."""


class StillConnection:
    """Fetches a picture each interval; a `Connection` for `LiveSource`.

    A camera that answers 304 (not modified) is spared the transfer; its picture counts again.
    """

    def __init__(
        self,
        source: StillSource,
        credentials: Credentials | None,
        *,
        open_timeout_s: float,
        read_timeout_s: float,
        clock: WaitingClock,
    ) -> None:
        self._camera = HttpCamera(
            source.url,
            credentials,
            open_timeout_s=open_timeout_s,
            read_timeout_s=read_timeout_s,
            certificate=source.certificate,
        )
        self._interval_s = source.interval_ms / 1000
        self._clock = clock
        self._never = threading.Event()
        self._conditions: dict[str, str] = {}
        self._last: Picture | None = None
        self._info = SourceInfo(codec="", nominal_fps=1 / self._interval_s)

    @property
    def info(self) -> SourceInfo:
        """Kind of picture and wished rate."""
        return self._info

    @property
    def broken(self) -> int:
        """None: what is no picture ends the connection, with the reason."""
        return 0

    @property
    def why_blind(self) -> str:
        """What is no picture ends the connection: this one takes its time."""
        return "the picture takes too long to come: choose a smaller one"

    def hang_up(self) -> None:
        """From another thread: make a blocked read return soon."""
        self._camera.hang_up()

    def __enter__(self) -> Self:
        """Connect nothing yet: the first picture does."""
        self._camera.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._camera.__exit__(kind, error, trace)

    def pictures(self, heard: Callable[[], None]) -> Iterator[Picture]:
        """Yield a picture each interval, the time of fetching included.

        Raises:
            CameraUnavailable: worth trying again.
            ConfigurationError: only a person can mend it.
        """
        due = self._clock.monotonic()
        while True:
            picture = self._fetch(heard)
            yield picture
            # Slower than the interval: no queue of missed fetches.
            due = max(due + self._interval_s, self._clock.monotonic())
            while (left := due - self._clock.monotonic()) > 0:
                self._clock.wait(self._never, min(left, SLICE_S))
                heard()

    def _fetch(self, heard: Callable[[], None]) -> Picture:
        with self._camera.get(self._conditions) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED and self._last is not None:
                self._last = dataclasses.replace(
                    self._last, captured_at_us=int(self._clock.unix() * 1e6)
                )
                return self._last
            data = bytearray()
            for chunk in response.iter_raw():
                heard()
                data += chunk
                if len(data) > LARGEST_FILE_BYTES:
                    raise CameraUnavailable(
                        f"the picture has more than {LARGEST_FILE_BYTES // 10**6} MB: "
                        "if the URL gives a stream, use the camera type mjpeg"
                    )
            headers = response.headers
        content_type = headers.get("content-type", "").partition(";")[0][:60]
        try:
            picture = decode_picture(bytes(data), int(self._clock.unix() * 1e6))
        except InvalidPayload as error:
            if content_type.startswith(("text/", "application/json")):
                raise ConfigurationError(
                    f"the URL gives {content_type!r}, not a picture: check the path of the URL"
                ) from None
            raise CameraUnavailable(f"the camera sent no picture: {error}") from None
        self._conditions = {
            condition: headers[name]
            for condition, name in (
                ("If-None-Match", "etag"),
                ("If-Modified-Since", "last-modified"),
            )
            if name in headers
        }
        self._info = dataclasses.replace(self._info, codec=codec_of(bytes(data[:16])) or "")
        self._last = picture
        return picture
