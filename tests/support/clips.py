"""Small videos and pictures whose number can be read from their pixels."""

import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from nxai_capture.core.picture import Picture, Yuv420

BITS = 8
"""Numbers 0..255, one block of the top row for each bit."""


def draw(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return (height, width, 3) RGB: a soft background, blocks on top that spell `number`."""
    rows = np.linspace(60, 180, height)[:, None]
    columns = np.linspace(0, 40, width)[None, :]
    picture = np.repeat((rows + columns)[:, :, None], 3, axis=2).astype(np.uint8)
    picture[height // 2 :, : width // 3] = (200, 40, 40)
    picture[height // 2 :, width // 3 : 2 * width // 3] = (40, 200, 40)
    picture[height // 2 :, 2 * width // 3 :] = (40, 40, 200)
    block = width // BITS
    for bit in range(BITS):
        picture[: height // 4, bit * block : (bit + 1) * block] = 235 if number >> bit & 1 else 20
    return picture


def number_of(picture: Picture) -> int:
    """Return the number drawn into a picture."""
    planes = picture.planes
    gray = planes.y if isinstance(planes, Yuv420) else picture.to_rgb()[:, :, 1]
    block = picture.width // BITS
    quarter = picture.height // 4
    return sum(
        1 << bit
        for bit in range(BITS)
        if gray[
            quarter // 4 : quarter * 3 // 4,
            bit * block + block // 4 : (bit + 1) * block - block // 4,
        ].mean()
        > 127
    )


def jpeg(number: int, width: int = 64, height: int = 48) -> bytes:
    """Return a JPEG of `draw`."""
    return encoded(".jpg", number, width, height)


def encoded(suffix: str, number: int, width: int = 64, height: int = 48) -> bytes:
    """Return a picture file of `draw`."""
    done, data = cv2.imencode(suffix, cv2.cvtColor(draw(number, width, height), cv2.COLOR_RGB2BGR))
    assert done
    return bytes(data)


def clip(  # noqa: PLR0913 - each has a default; a builder would hide what a test asks for
    path: Path,
    *,
    frames: int = 30,
    width: int = 640,
    height: int = 480,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    first: int = 0,
    fps: int = 30,
    gop: int = 10,
    first_pts: int = 0,
    metadata: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a video of `frames` numbered pictures; the suffix of `path` chooses the container."""
    pictures = (draw((first + i) % 256, width, height) for i in range(frames))
    return write_video(
        path,
        pictures,
        codec=codec,
        pixel_format=pixel_format,
        fps=fps,
        gop=gop,
        first_pts=first_pts,
        metadata=metadata or {},
        container_options=container_options or {},
    )


def write_video(  # noqa: PLR0913 - see clip
    path: Path,
    pictures: Iterable[npt.NDArray[np.uint8]],
    *,
    codec: str,
    pixel_format: str,
    fps: int,
    gop: int,
    first_pts: int = 0,
    metadata: dict[str, str] | None = None,
    container_options: dict[str, str],
) -> Path:
    """Encode RGB pictures of one size."""
    with av.open(str(path), "w", container_options=container_options) as container:
        container.metadata.update(metadata or {})
        stream: Any = None
        for number, rgb in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(fps))
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt = pixel_format
                stream.codec_context.gop_size = gop
                stream.codec_context.thread_count = 1
                if codec == "libx264":
                    stream.codec_context.options = {"preset": "ultrafast", "crf": "18"}
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts = first_pts + number
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def truncated(path: Path, share: float) -> Path:
    """Cut a file in place to a share of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def resolution_change(folder: Path) -> Path:
    """Return an MPEG-TS that goes from 10 pictures of 320x240 to 10 of 640x480."""
    path = folder / "change.ts"
    small = clip(folder / "small.ts", frames=10, width=320, height=240)
    large = clip(folder / "large.ts", frames=10, width=640, height=480, first=10)
    path.write_bytes(small.read_bytes() + large.read_bytes())
    return path


def lying_avi(folder: Path, frames: int, claimed: int) -> Path:
    """Return an MJPEG AVI whose headers claim another number of frames."""
    path = clip(folder / "lying.avi", frames=frames, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, claimed)  # dwTotalFrames
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, claimed)  # dwLength
    path.write_bytes(data)
    return path


def jpegs(count: int, width: int = 64, height: int = 48) -> Iterator[bytes]:
    """Yield numbered JPEGs from 0."""
    return (jpeg(number, width, height) for number in range(count))
