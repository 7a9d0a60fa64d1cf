"""Video files over PyAV: at their own speed or as fast as possible, once or for ever."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import av.error
from av import VideoFrame
from av.container import InputContainer

from nxai_capture.adapters.pyav_decoding import VideoDecoder
from nxai_capture.adapters.pyav_picture import FrameConverter
from nxai_capture.adapters.system_clock import WaitingClock
from nxai_capture.core.picture import Picture
from nxai_capture.ports import Losses, SourceInfo
from nxai_common.contracts.configuration import FileSource
from nxai_common.errors import CameraUnavailable, ConfigurationError

logger = logging.getLogger(__name__)

ASSUMED_FPS: Final = 25.0
"""For the files (raw H.264) whose pictures carry no time."""
LATE_S: Final = 1.0
"""Behind by more: the machine is too slow for this file or was asleep. Time starts again from
here, instead of racing to make up for it."""
EARLY_END_S: Final = 1.0
"""Ended so much before the announced length: worth telling. Less is rounding in the header."""


class VideoFileSource:
    """Reads a video file; implements `nxai_capture.ports.Source`.

    A truncated file plays as far as it goes. The announced number of frames is never believed
    (headers of AVI files lie).
    """

    def __init__(self, source: FileSource, clock: WaitingClock, read_timeout_s: float) -> None:
        self._path = Path(source.path)
        self._paced = source.pace == "realtime"
        self._loop = source.loop
        self._clock = clock
        self._timeout_s = read_timeout_s
        self._interrupted = threading.Event()
        self._converter = FrameConverter()
        self._container: InputContainer | None = None
        self._decoder: VideoDecoder | None = None
        self._frames: Iterator[tuple[VideoFrame, bool]] = iter(())
        self._info = SourceInfo(codec="", lossless=not self._paced)
        self._played = 0
        self._early_ends = 0
        self._broken_before = 0
        self._step_s = 1 / ASSUMED_FPS
        self._began_at: float | None = None  # of the clock, where media time is 0
        self._pass_began_s = 0.0  # media time at which this pass began
        self._first_pts_s: float | None = None
        self._media_s = 0.0  # media time of the picture read last

    @property
    def info(self) -> SourceInfo:
        """Codec, frame rate, and whether reading waits for the line."""
        return self._info

    @property
    def losses(self) -> Losses:
        """Passes that ended early plus packets that could not be decoded."""
        broken = self._decoder.broken if self._decoder else 0
        return Losses(damaged=self._early_ends + self._broken_before + broken)

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            ConfigurationError: missing, not readable, or not a video.
        """
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._close()

    def read(self) -> Picture | None:
        """Return the next picture (when its time has come), None after the last one.

        Raises:
            CameraUnavailable: interrupted, or the disk failed.
            ConfigurationError: no picture of the file can be decoded.
        """
        if self._interrupted.is_set():
            raise CameraUnavailable("interrupted")
        found = self._next_frame()
        if found is None:
            return None
        frame, corrupt = found
        self._advance(frame)
        if self._paced:
            self._wait_until_due()
        return self._converter.picture(frame, int(self._clock.unix() * 1e6), corrupt)

    def interrupt(self) -> None:
        """From another thread: make a waiting `read` return soon, with an error."""
        self._interrupted.set()

    def _next_frame(self) -> tuple[VideoFrame, bool] | None:
        while True:
            try:
                frame = next(self._frames, None)
            except av.error.InvalidDataError:
                frame = None  # as at the end of a truncated file
            except av.error.FFmpegError as error:
                raise CameraUnavailable(
                    f"reading {str(self._path)!r} failed: {error.strerror}"
                ) from error
            if frame is not None:
                self._played += 1
                return frame
            self._judge_end()
            if not self._loop:
                return None
            self._rewind()

    def _judge_end(self) -> None:
        """Count a pass that ended before its time; refuse a file that has no pictures."""
        if self._played == 0:
            raise ConfigurationError(
                f"no picture of {str(self._path)!r} can be decoded: the file is damaged"
            )
        announced_us = self._container.duration if self._container else None
        if announced_us and self._media_s + EARLY_END_S < self._pass_began_s + announced_us / 1e6:
            self._early_ends += 1
            logger.warning(
                "the video ends early: the file is truncated",
                extra={
                    "path": str(self._path),
                    "pictures": self._played,
                    "announced_s": announced_us / 1e6,
                },
            )

    def _rewind(self) -> None:
        """Start the next pass; media time goes on."""
        self._pass_began_s = self._media_s + self._step_s
        self._first_pts_s = None
        self._played = 0
        if self._container is None or self._decoder is None:
            raise RuntimeError("read() before entering")
        try:
            stream = self._decoder.stream
            self._container.seek(stream.start_time or 0, stream=stream)
            self._frames = self._decoder.frames()
        except av.error.FFmpegError:  # formats without an index cannot seek: open them again
            self._broken_before += self._decoder.broken
            self._close()
            self._open()

    def _advance(self, frame: VideoFrame) -> None:
        """Take the media time of `frame`.

        Where the file's time jumps (joined recordings, damage) the next picture comes after one
        step: nobody waits for an hour that a broken number claims.
        """
        before = self._media_s
        pts_s = frame.time if frame.pts is not None else None
        if pts_s is None:
            self._media_s = self._pass_began_s + (self._played - 1) * self._step_s
            return
        if self._first_pts_s is None:
            self._first_pts_s = pts_s
        self._media_s = self._pass_began_s + pts_s - self._first_pts_s
        if self._played > 1 and not 0 <= self._media_s - before <= self._timeout_s / 2:
            self._pass_began_s += before + self._step_s - self._media_s
            self._media_s = before + self._step_s

    def _wait_until_due(self) -> None:
        now = self._clock.monotonic()
        if self._began_at is None:
            self._began_at = now - self._media_s
        due = self._began_at + self._media_s
        if now - due > LATE_S:
            self._began_at += now - due
        elif self._clock.wait(self._interrupted, due - now):
            raise CameraUnavailable("interrupted")

    def _open(self) -> None:
        path = self._path
        if not path.is_file():
            kind = "is a folder, not a video file" if path.is_dir() else "does not exist"
            raise ConfigurationError(f"video file {str(path)!r} {kind}")
        try:
            # "file:" and the whitelist: a name such as "concat:..." or a playlist inside the file
            # must not reach other files or the network.
            self._container = av.open(
                f"file:{path.resolve()}",
                options={"protocol_whitelist": "file"},
                timeout=(self._timeout_s, self._timeout_s),
                metadata_errors="replace",  # titles need not be UTF-8, and are not used
            )
            self._decoder = VideoDecoder(self._container, live=False)
        except av.error.PermissionError as error:
            raise ConfigurationError(
                f"video file {str(path)!r} may not be read by this service: change its rights"
            ) from error
        except (av.error.FFmpegError, ConfigurationError) as error:
            self._close()
            why = "is empty" if path.stat().st_size == 0 else "is not a video, or truncated"
            raise ConfigurationError(f"{str(path)!r} {why}") from error
        self._info = self._decoder.info(lossless=not self._paced)
        self._step_s = 1 / (self._info.nominal_fps or ASSUMED_FPS)
        self._frames = self._decoder.frames()

    def _close(self) -> None:
        self._frames = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None
