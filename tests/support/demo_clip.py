"""Clips of the demo camera as a network camera would send them, with their truth.

For tests and benchmarks; from a shell (the path of `tests` on PYTHONPATH):

    python -m support.demo_clip belt.mp4 --width 1280 --height 720 --fps 30 --seconds 20
"""

import argparse
import json
from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from nxai_capture.core.demo_scene import DemoScene

GOP: Final = 30
"""Pictures from one key frame to the next: a second or two, as cameras come set."""


def demo_clip(path: Path, width: int, height: int, fps: int, seconds: float, seed: int) -> None:
    """Write an H.264 clip (x264 veryfast, 4:2:0) and its truth.

    The truth goes beside it, to `truth_path(path)`: width, height, fps, frames, and for each
    picture a list of ``{"label", "xyxy": [left, top, right, bottom], "visible"}``. Picture n of
    the clip is picture n of `DemoScene(width, height, seed)`.

    Args:
        path: Its ending names the container: .mp4, .mkv, .ts ...
        width: Even, as 4:2:0 needs it.
        height: Even.
        fps: Pictures a second.
        seconds: Length.
        seed: Of the scene.
    """
    scene = DemoScene(width, height, seed)
    frames = round(fps * seconds)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = GOP
        stream.thread_count = 1
        # No B frames, as cameras send it; one thread, so that the bytes are the same everywhere.
        stream.options = {"preset": "veryfast", "crf": "20", "bf": "0"}
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(scene.draw(index), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    boxes = [
        [
            {
                "label": part.label,
                "xyxy": [part.x, part.y, part.x + part.width, part.y + part.height],
                "visible": round(part.visible, 3),
            }
            for part in scene.truth(index)
        ]
        for index in range(frames)
    ]
    document = {"width": width, "height": height, "fps": fps, "frames": frames, "boxes": boxes}
    truth_path(path).write_text(json.dumps(document, separators=(",", ":")))


def truth_path(path: Path) -> Path:
    """Return where `demo_clip` puts the truth of a clip."""
    return path.with_suffix(".truth.json")


def main() -> None:
    """Write one clip."""
    parser = argparse.ArgumentParser(description="Write a clip of the demo camera and its truth.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    demo_clip(
        options.path, options.width, options.height, options.fps, options.seconds, options.seed
    )


if __name__ == "__main__":
    main()
