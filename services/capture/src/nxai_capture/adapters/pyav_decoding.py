"""Demuxing and decoding with PyAV, the same for cameras, files and devices."""

import logging
from collections.abc import Callable, Iterator
from typing import Final

import av.error
from av import CodecContext, Packet, VideoFrame
from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from nxai_capture.ports import SourceInfo
from nxai_common.errors import ConfigurationError

logger = logging.getLogger(__name__)

LOG_EVERY: Final = 100
"""Broken packets come in hundreds; the first and each hundredth is told."""
MJPEG: Final = "mjpeg"


class VideoDecoder:
    """Decodes the best video stream of an opened container, on the calling thread.

    One thread a camera: with many cameras more threads only cost (measured with OpenCV's
    default: 25 to 36 % more CPU for the same pictures).

    Args:
        container: Belongs to the decoder from now on, which closes it if it has no video.
        live: A camera, not a file.

    Attributes:
        broken: Packets that could not be decoded, ever.

    Raises:
        ConfigurationError: there is no video in it.
    """

    def __init__(self, container: InputContainer, *, live: bool) -> None:
        try:
            self._stream = _video_of(container, live=live)
        except BaseException:
            container.close()
            raise
        self.broken = 0
        self._container = container
        self._needs_key_frame = live
        self._damaged = False
        self._lenient: VideoCodecContext | None = None

    def close(self) -> None:
        """Close the container."""
        self._container.close()

    @property
    def stream(self) -> VideoStream:
        """The stream that is decoded."""
        return self._stream

    def info(self, *, transport: str = "", lossless: bool = False) -> SourceInfo:
        """Return what the stream says about itself."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return SourceInfo(
            codec=self._stream.codec_context.name,
            transport=transport,
            lossless=lossless,
            nominal_fps=float(rate) if rate else None,
        )

    def frames(self, heard: Callable[[], None] | None = None) -> Iterator[tuple[VideoFrame, bool]]:
        """Yield decoded frames and whether they are damaged, to the end of the stream.

        A live stream begins in the middle of something: nothing is shown before the first key
        frame. After a packet that cannot be decoded and after a damaged frame, frames count as
        damaged until the next one: each is built on those before it. Of a damaged JPEG, which is
        built on none, what can be made of it is shown.

        Args:
            heard: Called for each packet.

        Raises:
            av.error.FFmpegError: reading failed. Translate it: its text holds the URL.
        """
        for packet in self._container.demux(self._stream):
            if heard is not None:
                heard()
            damaged_packet = packet.is_corrupt
            try:
                frames = packet.decode()
            except av.error.FFmpegError:  # decoding touches nothing outside: it is the packet
                frames = self._decode_jpeg_anyhow(packet)
                damaged_packet = True
                if not frames:
                    self.broken += 1
                    self._damaged = True
                    if self.broken % LOG_EVERY == 1:
                        logger.warning("packets cannot be decoded", extra={"broken": self.broken})
                    continue
            for frame in frames:
                if frame.key_frame:
                    self._needs_key_frame = False
                    self._damaged = False
                elif self._needs_key_frame:
                    continue
                if damaged_packet or frame.is_corrupt:
                    self._damaged = True
                yield frame, self._damaged

    def _decode_jpeg_anyhow(self, packet: "Packet[VideoStream]") -> list[VideoFrame]:
        """Return what can be made of a packet that the strict decoder refused."""
        if self._stream.codec_context.name != MJPEG:
            return []
        if self._lenient is None:
            self._lenient = CodecContext.create(MJPEG, "r")
            self._lenient.extradata = self._stream.codec_context.extradata
            _on_this_thread(self._lenient)
        try:
            return self._lenient.decode(packet)
        except av.error.FFmpegError:
            return []


def _on_this_thread(codec: VideoCodecContext) -> None:
    codec.thread_type = "NONE"
    codec.thread_count = 1


def _video_of(container: InputContainer, *, live: bool) -> VideoStream:
    """Return the best video stream, ready to be decoded on one thread."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        raise ConfigurationError("there is no video in it that can be decoded")
    _on_this_thread(stream.codec_context)
    if stream.codec_context.name == MJPEG:
        # FFmpeg says nothing of damage inside a JPEG, unless it shall refuse such ones.
        stream.codec_context.options = {"err_detect": "explode"}
    if live:
        stream.codec_context.flags |= Flags.low_delay
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    return stream
