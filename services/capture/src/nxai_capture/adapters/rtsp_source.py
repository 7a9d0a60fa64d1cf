"""Network cameras and recorders over RTSP, with PyAV (FFmpeg)."""

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

import av
import av.error
from av.container import InputContainer

from nxai_capture.adapters.camera_url import parse_camera_url
from nxai_capture.adapters.libav_log import last_refusal, listen
from nxai_capture.adapters.pyav_decoding import VideoDecoder
from nxai_capture.adapters.pyav_picture import FrameConverter
from nxai_capture.adapters.reasons import connection_error, os_error, status_error
from nxai_capture.core.picture import Picture
from nxai_capture.ports import Clock, Credentials, SourceInfo
from nxai_common.contracts.configuration import RtspSource
from nxai_common.errors import CameraUnavailable, ConfigurationError, NxaiError

Transport: TypeAlias = Literal["tcp", "udp"]

PROBE_US: Final = 1_000_000
"""How long FFmpeg may look at the stream to guess its frame rate. Its default of 5 s delays the
first picture of cameras that do not announce one; at 0 some H.265 cameras show no size."""

LONGEST_USERINFO: Final = 127
"""FFmpeg keeps `user:password`, percent-encoded, in `char auth[128]` (libavformat/rtsp.h) and
cuts off the rest without a word."""

STATUS_OF: Final[dict[type[av.error.FFmpegError], int]] = {
    av.error.HTTPBadRequestError: 400,
    av.error.HTTPUnauthorizedError: 401,
    av.error.HTTPForbiddenError: 403,
    av.error.HTTPNotFoundError: 404,
    av.error.HTTPTooManyRequestsError: 429,
}
"""Where libav's error says which status it was; of all others only its log does."""

UNSUPPORTED_TRANSPORT: Final = 461

ABOUT_THE_STREAM: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
)
"""Another transport would get the same answer; a wrong password sent twice locks accounts twice
as soon."""

CHECK_S: Final = 2.0
"""To find out why opening failed: longer than a lost SYN's first repetition (1 s)."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a connection could not be opened."""

    error: av.error.FFmpegError
    """To be looked at, never to be raised: its text holds the password."""
    status: int | None
    """What the camera answered; None: nothing, or nothing that is RTSP."""
    about_transport: bool
    """Another transport may do better."""


class TransportMemory:
    """Which transport a camera should be tried with first. Kept over reconnects."""

    def __init__(self) -> None:
        self._first: Transport = "tcp"

    def order(self) -> tuple[Transport, Transport]:
        """Return what to try, best first."""
        return ("tcp", "udp") if self._first == "tcp" else ("udp", "tcp")

    def worked(self, transport: Transport) -> None:
        """Begin with it the next time."""
        self._first = transport

    def silent(self, transport: Transport) -> None:
        """Begin with the other one: this one was agreed on, but no data came (firewalls)."""
        self._first = "udp" if transport == "tcp" else "tcp"


class RtspConnection:
    """One RTSP session; a `Connection` for `LiveSource`.

    Args:
        source: URL and wished transport.
        credentials: Put into the URL only while opening.
        open_timeout_s: For all attempts together.
        read_timeout_s: Between two packets.
        transports: Memory of this camera.
        clock: Stamps pictures.
    """

    def __init__(
        self,
        source: RtspSource,
        credentials: Credentials | None,
        *,
        open_timeout_s: float,
        read_timeout_s: float,
        transports: TransportMemory,
        clock: Clock,
    ) -> None:
        self._url = parse_camera_url(source.url, ("rtsp", "rtsps"))
        self._transports: tuple[Transport, ...] = (
            transports.order() if source.transport == "auto" else (source.transport,)
        )
        self._credentials = credentials
        self._open_timeout_s = open_timeout_s
        self._read_timeout_s = read_timeout_s
        self._memory = transports
        self._clock = clock
        self._decoder: VideoDecoder | None = None
        self._transport: Transport = self._transports[0]
        self._info = SourceInfo(codec="")
        userinfo = self._url.with_credentials(credentials).partition("://")[2].rpartition("@")[0]
        if len(userinfo) > LONGEST_USERINFO:
            raise ConfigurationError(
                f"user and password together take {len(userinfo)} characters in an RTSP URL "
                f"(others than letters and digits count three times); {LONGEST_USERINFO} fit: "
                "give the camera a shorter password"
            )

    @property
    def info(self) -> SourceInfo:
        """Codec, transport and frame rate."""
        return self._info

    @property
    def broken(self) -> int:
        """Packets that could not be decoded."""
        return 0 if self._decoder is None else self._decoder.broken

    @property
    def why_blind(self) -> str:
        """What to do when there is no picture."""
        return "shorten its key frame interval, or choose H.264 and switch off its 'smart' codec"

    def hang_up(self) -> None:
        """Nothing: FFmpeg cannot be woken; it ends at its time-out."""

    def __enter__(self) -> Self:
        """Connect, over TCP first, unless the camera was seen to refuse it.

        Raises:
            CameraUnavailable: with the reason.
            ConfigurationError: wrong password, or no video in the stream.
        """
        deadline = time.monotonic() + self._open_timeout_s
        failure: NxaiError | None = None
        for transport in self._transports:
            left_s = max(1.0, deadline - time.monotonic())
            opened = self._open(transport, left_s)
            if isinstance(opened, InputContainer):
                self._use(opened, transport)
                return self
            if opened.status is None:
                unreachable = connection_error(self._url.host, self._url.port, CHECK_S)
                if unreachable is not None:
                    failure = unreachable
                    break
            if failure is None or opened.status != UNSUPPORTED_TRANSPORT:
                failure = self._explain(opened)  # else the answer to the other one says more
            if isinstance(opened.error, av.error.ExitError):
                # It may be the transport (a firewall) or the camera: next time the other way.
                self._memory.silent(transport)
            if not opened.about_transport:
                break
        raise failure or CameraUnavailable("no transport to try")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say goodbye to the camera."""
        if self._decoder is not None:
            self._decoder.close()

    def pictures(self, heard: Callable[[], None]) -> Iterator[Picture]:
        """Yield pictures from the first key frame on.

        Raises:
            CameraUnavailable: the stream ended or broke.
        """
        if self._decoder is None:
            raise RuntimeError("pictures() before entering")
        converter = FrameConverter()
        failure: av.error.FFmpegError | None = None
        first = True
        try:
            for frame, corrupt in self._decoder.frames(heard):
                if first:
                    self._memory.worked(self._transport)
                    first = False
                yield converter.picture(frame, int(self._clock.unix() * 1e6), corrupt)
        except av.error.FFmpegError as error:
            # With its traceback it would make a circle with this frame, and keep the decoder alive.
            failure = error.with_traceback(None)
        if failure is None:
            raise CameraUnavailable("the camera ended the stream")
        if isinstance(failure, av.error.ExitError):
            if first:
                self._memory.silent(self._transport)
            raise CameraUnavailable(f"the camera sent nothing for {self._read_timeout_s:g} s")
        raise self._translate(failure)

    def _open(self, transport: Transport, timeout_s: float) -> InputContainer | _Failure:
        """Return the opened container, or why not."""
        with listen() as said:
            try:
                return av.open(
                    self._url.with_credentials(self._credentials),
                    options={
                        "rtsp_transport": transport,
                        "allowed_media_types": "video",
                        "analyzeduration": str(PROBE_US),
                        # Not "fflags nobuffer": it throws away the key frame that was read to
                        # probe the stream. The stale second of pictures is skipped by LiveSource.
                    },
                    timeout=(timeout_s, self._read_timeout_s),
                    metadata_errors="replace",  # titles need not be UTF-8, and are not used
                )
            except av.error.FFmpegError as error:
                failure = error.with_traceback(None)
        refusal = last_refusal(said)
        status = _status_of(failure) if refusal is None else refusal.status
        about_transport = (
            not isinstance(failure, av.error.ExitError)
            and status not in ABOUT_THE_STREAM
            and (refusal is None or refusal.method == "SETUP")
        )
        return _Failure(failure, status, about_transport)

    def _use(self, container: InputContainer, transport: Transport) -> None:
        self._transport = transport
        self._decoder = VideoDecoder(container, live=True)
        self._info = self._decoder.info(transport=transport)

    def _explain(self, failure: _Failure) -> NxaiError:
        """Return our own error for what kept a connection from being opened."""
        if failure.status is None:
            return self._translate(failure.error)
        if failure.status == UNSUPPORTED_TRANSPORT and len(self._transports) > 1:
            return CameraUnavailable(
                f"{failure.status}: the camera refuses TCP and UDP alike: allow one of them in its "
                "settings, or check the path of the URL"
            )
        return status_error(failure.status, with_credentials=self._credentials is not None)

    def _translate(self, error: av.error.FFmpegError) -> NxaiError:
        """Return our own error: the library's text holds the URL with the password."""
        if isinstance(error, OSError) and error.errno != errno.EIO:
            return os_error(error, self._url.host, self._url.port)
        if isinstance(error, av.error.ExitError):
            return CameraUnavailable(f"timed out: {self._url.place} opened no stream in time")
        return CameraUnavailable(
            f"{self._url.place} does not answer as an RTSP camera should "
            f"({type(error).__name__}): check the port and path of the URL"
        )


def _status_of(error: av.error.FFmpegError) -> int | None:
    if error.errno == errno.EPROTONOSUPPORT:  # what FFmpeg makes of a 461 to SETUP
        return UNSUPPORTED_TRANSPORT
    return next((status for kind, status in STATUS_OF.items() if isinstance(error, kind)), None)
