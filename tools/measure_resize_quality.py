"""Measure what the quality of resizing does to detections (docs/decisions/resize-quality.md).

Runs the models beside the checkout over the conveyor clip and its photographs, on pixels made
by libvips lanczos3 (Edge Impulse Studio's resampler), by `exact` and by `fast`.

    .venv/bin/python tools/measure_resize_quality.py
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pyvips

from nxai_capture.adapters.pyav_picture import FrameConverter
from nxai_capture.adapters.thread_pools import one_thread_each
from nxai_capture.core.picture import Bgr, Bytes, Picture
from nxai_capture.core.resizing import Resizer, fit
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import InputSpec, ResizeMode, ResizeQuality
from nxai_inference.adapters.engines import EngineOptions
from nxai_inference.adapters.model_folder import open_model
from nxai_inference.core.decoding import decoder_for

SHARED = Path(__file__).resolve().parents[2] / "shared"
MARGIN_PX = 12
VISIBLE = 0.6

Resize = Callable[[Picture], Bytes]
Found = list[tuple[int, tuple[int, ...], float]]
"""Label, box in model pixels, confidence."""


def clip(path: Path) -> Iterator[Picture]:
    """Yield the pictures of a video as capture decodes them."""
    with av.open(str(path)) as container:
        converter = FrameConverter()
        for frame in container.decode(video=0):
            yield converter.picture(frame, 0, corrupt=False)


def photographs() -> list[Picture]:
    """Return the photographs of the empty conveyor."""
    files = sorted((SHARED / "media/conveyor-photographs").glob("empty*.bmp"))
    pixels = [np.asarray(cv2.imread(str(path)), np.uint8) for path in files]
    return [Picture(Bgr(p), p.shape[1], p.shape[0], 0) for p in pixels]


def by_libvips(spec: InputSpec) -> Resize:
    """Return a function that resizes as Edge Impulse Studio's libvips does."""

    def resize(picture: Picture) -> Bytes:
        size = (picture.width, picture.height)
        part = fit(spec.resize_mode, size, (spec.width, spec.height))
        small = (
            pyvips.Image.new_from_array(picture.to_rgb())
            .crop(part.left, part.top, part.width, part.height)
            .resize(
                part.target_width / part.width,
                vscale=part.target_height / part.height,
                kernel="lanczos3",
            )
            .numpy()
        )
        pixels = np.zeros((spec.height, spec.width, 3), np.uint8)
        top, left = part.target_top, part.target_left
        pixels[top : top + part.target_height, left : left + part.target_width] = small
        return pixels

    return resize


def by_capture(spec: InputSpec) -> Resize:
    """Return a function that resizes as capture does."""
    resizers: dict[tuple[int, int], Resizer] = {}

    def resize(picture: Picture) -> Bytes:
        size = (picture.width, picture.height)
        if size not in resizers:
            resizers[size] = Resizer(spec, *size)
        return resizers[size](picture)

    return resize


class Model:
    """A model of the shared folder, run as inference runs it."""

    def __init__(self, name: str, labels: tuple[str, ...] | None, threshold: float) -> None:
        desired = DesiredModel(
            id="m", path=str(SHARED / "models" / name), labels=labels, engine="litert"
        )
        self._loaded = open_model(Path(), desired, EngineOptions()).loaded
        self._decoder = decoder_for(self._loaded.manifest, self._loaded.engine.outputs)
        self._threshold = threshold

    def spec(self, mode: ResizeMode, quality: ResizeQuality) -> InputSpec:
        """Return the input of the model."""
        manifest = self._loaded.manifest
        return InputSpec(
            width=manifest.width,
            height=manifest.height,
            channels=manifest.channels,
            resize_mode=mode,
            resize_quality=quality,
        )

    def __call__(self, pixels: Bytes) -> Found:
        """Return what the model finds."""
        decoded = self._decoder.decode(self._loaded.engine.run(pixels), self._threshold)
        assert decoded.boxes is not None  # noqa: S101 - only detectors are measured here
        return [
            (label, tuple(box), score)
            for label, box, score in zip(
                decoded.labels.tolist(),
                decoded.boxes.tolist(),
                decoded.scores.tolist(),
                strict=True,
            )
        ]


def against_truth(found: list[Found], back: Transform) -> str:
    """Return recall, false positives and doubles against the clip's ground truth."""
    truth = json.loads((SHARED / "media/conveyor.truth.json").read_text())["boxes"]
    wanted = hit = false = doubles = 0
    for nuts, detections in zip(truth, found, strict=True):
        hits: dict[int, int] = {}
        for _, (x, y, width, height), _ in detections:
            centre_x = (x + width / 2) * back.scale_x + back.offset_x
            centre_y = (y + height / 2) * back.scale_y + back.offset_y
            inside = [
                nut["id"]
                for nut in nuts
                if nut["xyxy"][0] - MARGIN_PX <= centre_x <= nut["xyxy"][2] + MARGIN_PX
                and nut["xyxy"][1] - MARGIN_PX <= centre_y <= nut["xyxy"][3] + MARGIN_PX
            ]
            false += not inside
            for identity in inside[:1]:
                hits[identity] = hits.get(identity, 0) + 1
        doubles += sum(count - 1 for count in hits.values())
        visible = [nut["id"] for nut in nuts if nut["visible"] >= VISIBLE]
        wanted += len(visible)
        hit += sum(identity in hits for identity in visible)
    return f"recall {hit}/{wanted}, false {false}, doubles {doubles}"


def against_libvips(found: list[Found], reference: list[Found]) -> str:
    """Return how many detections have a twin of equal label and box, and how scores differ."""
    same, differences = 0, []
    total = max(sum(map(len, found)), sum(map(len, reference)))
    for mine, theirs in zip(found, reference, strict=True):
        scores = {(label, box): score for label, box, score in theirs}
        for label, box, score in mine:
            if (label, box) in scores:
                same += 1
                differences.append(abs(score - scores[label, box]))
    mean = float(np.mean(differences)) if differences else 0.0
    worst = max(differences, default=0.0)
    return f"equal boxes {same}/{total}, confidence differs by {mean:.4f} (at most {worst:.3f})"


def measure(title: str, model: Model, mode: ResizeMode, pictures: list[Picture]) -> None:
    """Print one row for each resampler."""
    print(f"\n{title}, {mode}, {len(pictures)} pictures")
    reference_spec = model.spec(mode, ResizeQuality.EXACT)
    reference_pixels = [by_libvips(reference_spec)(picture) for picture in pictures]
    reference = [model(pixels) for pixels in reference_pixels]
    ways: list[tuple[str, Resize | None]] = [("libvips", None)]
    ways += [(quality.value, by_capture(model.spec(mode, quality))) for quality in ResizeQuality]
    first = pictures[0]
    back = Resizer(reference_spec, first.width, first.height).transform
    for name, resize in ways:
        pixels, times = reference_pixels, [0.0]
        if resize is not None:
            pixels, times = [], []
            for picture in pictures:
                before = time.perf_counter()
                pixels.append(resize(picture))
                times.append(time.perf_counter() - before)
        found = [model(one) for one in pixels]
        difference = np.mean(
            [
                np.abs(a.astype(int) - b).mean()
                for a, b in zip(pixels, reference_pixels, strict=True)
            ]
        )
        line = f"  {name:8} pixels differ by {difference:.2f}; {against_libvips(found, reference)}"
        if len(pictures) == 600:  # noqa: PLR2004 - the whole clip, whose truth is known
            line += f"; {against_truth(found, back)}"
        print(f"{line}; {1000 * float(np.median(times)):.2f} ms")


def main() -> int:
    """Measure all."""
    one_thread_each()
    conveyor = list(clip(SHARED / "media/conveyor.mp4"))
    nuts = Model("ei_fomo_mnv2_035_96x96x3_m5_nut_i8.tflite", ("m5_nut",), 0.5)
    measure("FOMO 0.35 m5_nut", nuts, ResizeMode.FIT_SHORT, conveyor)
    measure("FOMO 0.35 m5_nut", nuts, ResizeMode.SQUASH, conveyor)
    measure("FOMO 0.35 m5_nut", nuts, ResizeMode.FIT_SHORT, photographs())
    yolo = Model("ei_yolov5n_320x320x3_2cls_fp16w.tflite", ("a", "b"), 0.1)
    measure("YOLOv5n (threshold 0.1)", yolo, ResizeMode.FIT_SHORT, conveyor[::10])
    measure("YOLOv5n (threshold 0.1)", yolo, ResizeMode.FIT_LONG, conveyor[::10])
    return 0


if __name__ == "__main__":
    sys.exit(main())
