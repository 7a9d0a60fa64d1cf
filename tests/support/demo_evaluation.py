"""How well a FOMO model finds the demo camera's parts, measured through the real pipeline.

Pictures are resized by capture's own code, run in ONNX Runtime and decoded by inference's own
decoder; boxes go back to the original picture by the frame's transform.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from nxai_capture.core.demo_scene import LABELS, DemoPart, DemoScene
from nxai_capture.core.picture import Picture, Rgb
from nxai_capture.core.resizing import Resizer
from nxai_common.contracts.models import InputSpec, ResizeMode, ResizeQuality, TensorInfo
from nxai_inference.core.decoding.fomo import FomoDecoder
from nxai_inference.core.geometry import to_original
from nxai_inference.core.tensors import RawOutput

REQUIRED_VISIBLE: Final = 0.6
"""Parts less visible than this may be found or not: neither hit, miss nor false alarm."""
MARGIN: Final = 12 / 480
"""A detection's centre lies inside the part's box grown by so many picture heights."""

Found = tuple[str, float, float]
"""Label and centre of a detection, in pixels of the picture."""
Detector = Callable[[NDArray[np.uint8]], list[Found]]


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over all pictures."""

    pictures: int = 0
    found: int = 0
    missed: int = 0
    false: int = 0
    """Wrong label, nothing there, or a second detection of one part."""

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.found / (2 * self.found + self.missed + self.false)

    def add(self, other: "Score") -> "Score":
        """Return the sum of both."""
        return replace(
            self,
            pictures=self.pictures + other.pictures,
            found=self.found + other.found,
            missed=self.missed + other.missed,
            false=self.false + other.false,
        )


def judge(truth: Sequence[DemoPart], detections: Iterable[Found], height: int) -> Score:
    """Compare the detections of one picture with its parts."""
    margin = MARGIN * height
    required = {n for n, part in enumerate(truth) if part.visible >= REQUIRED_VISIBLE}
    hit: set[int] = set()
    false = 0
    for label, x, y in detections:
        under = {
            n
            for n, part in enumerate(truth)
            if part.x - margin <= x <= part.x + part.width + margin
            and part.y - margin <= y <= part.y + part.height + margin
        }
        new = {n for n in under & required if truth[n].label == label} - hit
        if new:
            hit.add(min(new))
        elif not under - required:
            false += 1
    return Score(1, len(hit), len(required) - len(hit), false)


def onnx_detector(
    model: Path, spec: InputSpec, size: tuple[int, int], threshold: float = 0.5
) -> Detector:
    """Return a function from an RGB picture of `size` (width, height) to its detections."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    source, result = session.get_inputs()[0], session.get_outputs()[0]
    info = TensorInfo(name=result.name, shape=tuple(result.shape), dtype="float32")
    decoder = FomoDecoder.build([info], labels=len(LABELS), width=spec.width)
    resizer = Resizer(spec, *size)

    def detect(pixels: NDArray[np.uint8]) -> list[Found]:
        small = resizer(Picture(Rgb(pixels), *size, captured_at_us=0))
        features = (small.astype(np.float32) / np.float32(255))[None]
        (values,) = session.run([result.name], {source.name: features})
        decoded = decoder.decode([RawOutput(info, values)], threshold)
        assert decoded.boxes is not None
        found = []
        for label, box in zip(decoded.labels.tolist(), decoded.boxes.tolist(), strict=True):
            x, y, width, height = to_original(box, resizer.transform, *size)
            found.append((LABELS[label], x + width / 2, y + height / 2))
        return found

    return detect


def evaluate(
    model: Path,
    size: tuple[int, int],
    seeds: Iterable[int],
    frames: Sequence[int],
    *,
    quality: ResizeQuality = ResizeQuality.EXACT,
    mode: ResizeMode = ResizeMode.SQUASH,
    spoil: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = lambda pixels: pixels,
) -> Score:
    """Score a model on pictures of the demo camera.

    Args:
        model: ONNX file, input 96 x 96 RGB.
        size: Of the pictures: width, height.
        seeds: Of the scenes.
        frames: Picture numbers drawn of each scene.
        quality: Of the resizing.
        mode: Of the resizing; with fit-short the detector cannot see all the truth.
        spoil: Changes a picture before the detector sees it (compression, brightness ...).
    """
    spec = InputSpec(width=96, height=96, channels=3, resize_mode=mode, resize_quality=quality)
    detect = onnx_detector(model, spec, size)
    score = Score()
    for seed in seeds:
        scene = DemoScene(*size, seed)
        for frame in frames:
            detections = detect(spoil(scene.draw(frame)))
            score = score.add(judge(scene.truth(frame), detections, size[1]))
    return score
