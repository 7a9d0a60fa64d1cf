"""The loop a user would write by hand: one process, cv2, one engine, json.

Uses nothing of the services but the decoder (there is no other exact one to be had) and, for
the `exact` quality, the same resampler, fed with the BGR picture that cv2 gives.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from nxai_capture.core.picture import Bgr, Picture
from nxai_capture.core.resizing import Resizer
from nxai_common.contracts.models import (
    InputSpec,
    ModelManifest,
    ResizeMode,
    ResizeQuality,
    Task,
    TensorInfo,
)
from nxai_inference.core.decoding import decoder_for
from nxai_inference.core.tensors import RawOutput

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A model as both sides use it."""

    id: str
    path: Path
    labels: tuple[str, ...]
    task: str
    width: int
    height: int
    channels: int
    resize_mode: ResizeMode
    threshold: float = 0.5


@dataclass
class Run:
    """What a loop did."""

    frames: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    rss_mb: float = 0.0

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds


def open_clip(clip: Path) -> cv2.VideoCapture:
    """Open with one decoding thread, as a careful user does on a small box."""
    capture = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise RuntimeError(f"cv2 cannot open {clip}")
    return capture


def resizer(model: BenchModel, quality: ResizeQuality) -> Callable[[Pixels], Pixels]:
    """Return the hand-written resize (INTER_AREA), or the exact one on cv2's picture."""
    if quality is ResizeQuality.FAST:
        return lambda picture: _area(picture, model)
    spec = InputSpec(
        width=model.width,
        height=model.height,
        channels=3 if model.channels == 3 else 1,
        resize_mode=model.resize_mode,
        resize_quality=quality,
    )
    cache: dict[tuple[int, int], Resizer] = {}

    def exact(picture: Pixels) -> Pixels:
        height, width = picture.shape[:2]
        if (width, height) not in cache:
            cache[(width, height)] = Resizer(spec, width, height)
        return cache[(width, height)](Picture(Bgr(picture), width, height, captured_at_us=0))

    return exact


def _area(picture: Pixels, model: BenchModel) -> Pixels:
    if model.resize_mode is ResizeMode.FIT_SHORT:
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[top : top + side, left : left + side]
    small = cv2.resize(picture, (model.width, model.height), interpolation=cv2.INTER_AREA)
    code = cv2.COLOR_BGR2RGB if model.channels == 3 else cv2.COLOR_BGR2GRAY
    return np.asarray(cv2.cvtColor(small, code), np.uint8)


class Engine:
    """The faster of the two engines by hand: LiteRT as it comes, or ONNX Runtime."""

    def __init__(self, model: BenchModel) -> None:
        self._model = model
        if model.path.suffix == ".onnx":
            import onnxruntime  # noqa: PLC0415 - only where it is measured

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.inter_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(
                str(model.path), options, providers=["CPUExecutionProvider"]
            )
            self._name = self._session.get_inputs()[0].name
            self._interpreter = None
            return
        self._interpreter = Interpreter(str(model.path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]

    def __call__(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return the raw output, dequantised."""
        batch = pixels.reshape(1, self._model.height, self._model.width, self._model.channels)
        if self._interpreter is None:
            scaled = batch.astype(np.float32) / np.float32(255)
            return np.asarray(self._session.run(None, {self._name: scaled})[0], np.float32)
        if self._input["dtype"] == np.int8:
            tensor: NDArray[Any] = (batch.astype(np.int16) - 128).astype(np.int8)
        else:
            tensor = batch.astype(np.float32) / np.float32(255)
        self._interpreter.set_tensor(self._input["index"], tensor)
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._output["index"])
        scale, zero = self._output["quantization"]
        if raw.dtype == np.float32:
            return np.asarray(raw)
        return np.asarray((raw.astype(np.float32) - zero) * scale, np.float32)


class Findings:
    """Decodes raw outputs to plain values, as the last line of a hand-written loop does."""

    def __init__(self, model: BenchModel, shape: tuple[int, ...]) -> None:
        manifest = ModelManifest(
            model="bench",
            task=Task(model.task),
            labels=model.labels,
            width=model.width,
            height=model.height,
            channels=3 if model.channels == 3 else 1,
            digest="",
        )
        self._info = TensorInfo(name="output", shape=shape, dtype="float32")
        self._decoder = decoder_for(manifest, (self._info,))
        self._model = model

    def __call__(self, raw: NDArray[np.float32]) -> list[dict[str, Any]]:
        """Return the detections in model pixels."""
        decoded = self._decoder.decode([RawOutput(self._info, raw)], self._model.threshold)
        boxes = [] if decoded.boxes is None else decoded.boxes.tolist()
        return [
            {"label": self._model.labels[index], "value": float(score), "box": box}
            for index, score, box in zip(
                decoded.labels.tolist(), decoded.scores.tolist(), boxes, strict=True
            )
        ]


class Loop:
    """Picture in, JSON out."""

    def __init__(self, model: BenchModel, quality: ResizeQuality) -> None:
        cv2.setNumThreads(1)
        self._engine, self._resize = Engine(model), resizer(model, quality)
        blank = np.zeros((model.height, model.width, model.channels), np.uint8)
        self._findings = Findings(model, self._engine(blank).shape)

    def __call__(self, picture: Pixels) -> str:
        """Return what was found as JSON."""
        found = self._findings(self._engine(self._resize(picture)))
        return json.dumps({"at": time.time(), "boxes": found})


def pictures(clip: Path) -> Iterator[Pixels]:
    """Yield the clip's pictures for ever."""
    while True:
        capture = open_clip(clip)
        while True:
            ok, picture = capture.read()
            if not ok:
                break
            yield np.asarray(picture, np.uint8)
        capture.release()


def as_fast_as_possible(clip: Path, model: BenchModel, quality: ResizeQuality, s: float) -> Run:
    """Run the loop for `s` seconds after a warm-up."""
    loop, run = Loop(model, quality), Run()
    source = pictures(clip)
    for _ in range(30):
        loop(next(source))
    started, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < s:
        picture = next(source)
        at = time.perf_counter()
        loop(picture)
        run.latencies_ms.append((time.perf_counter() - at) * 1000)
        run.frames += 1
    run.seconds = time.perf_counter() - started
    run.cpu_s = time.process_time() - cpu
    return run


def paced(
    clips: list[Path], model: BenchModel, quality: ResizeQuality, fps: float, s: float
) -> Run:
    """Read several cameras in turn, each at `fps`, staggered; sleep in between."""
    loop, run = Loop(model, quality), Run()
    sources = [pictures(clip) for clip in clips]
    for source in sources:
        loop(next(source))
    started, cpu = time.perf_counter(), time.process_time()
    step = 1.0 / fps / len(sources)
    number = 0
    while (due := started + number * step) < started + s:
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        picture = next(sources[number % len(sources)])
        at = time.perf_counter()
        loop(picture)
        run.latencies_ms.append((time.perf_counter() - at) * 1000)
        run.frames += 1
        number += 1
    run.seconds = time.perf_counter() - started
    run.cpu_s = time.process_time() - cpu
    return run
