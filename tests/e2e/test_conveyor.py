"""Edge Impulse's own conveyor clip through the running services: every nut, nothing else."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nxai_common.contracts.configuration import (
    CameraSource,
    CaptureCamera,
    DesiredModel,
    FileSource,
    RtspSource,
)
from nxai_common.contracts.models import ResizeMode, ResizeQuality
from nxai_common.contracts.outputs import Detections
from support.rtsp import rtsp_camera
from support.shared import shared
from support.stack import Listener, Stack, listening

MARGIN_PX = 12
FRAMES = 600
CLIP_S = 20.0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as running:
        running.wait_running()
        yield running


def nut_model() -> DesiredModel:
    return DesiredModel(
        id="m5-nut",
        path=str(shared("models/ei_fomo_mnv2_035_96x96x3_m5_nut_i8.tflite")),
        labels=("m5_nut",),
        resize_mode=ResizeMode.FIT_SHORT,
    )


def camera(source: CameraSource, quality: ResizeQuality) -> CaptureCamera:
    return CaptureCamera(id="belt", source=source, models=("m5-nut",), resize_quality=quality)


def collect(listener: Listener, frames: int) -> dict[int, Detections]:
    """Return the detections of the first stream by sequence, until its last frame came."""
    found: dict[int, Detections] = {}
    while len(found) < frames:
        message = listener.next(30)
        assert isinstance(message, Detections)
        found.setdefault(message.sequence, message)
    return found


def judge(found: dict[int, Detections], truth: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Compare with the ground truth, frame by frame."""
    missed, false, doubles = [], [], []
    for index, nuts in enumerate(truth):
        centres = [
            (o.x_px + o.width_px / 2, o.y_px + o.height_px / 2) for o in found[index].objects
        ]
        hits: dict[int, int] = {}
        for x, y in centres:
            inside = [n["id"] for n in nuts if _inside(x, y, n["xyxy"])]
            if not inside:
                false.append((index, x, y))
            for identity in inside[:1]:
                hits[identity] = hits.get(identity, 0) + 1
        doubles += [(index, identity) for identity, count in hits.items() if count > 1]
        missed += [(index, n["id"]) for n in nuts if n["visible"] >= 0.6 and n["id"] not in hits]
    return {"missed": missed, "false": false, "doubles": doubles}


def _inside(x: float, y: float, box: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = box
    return left - MARGIN_PX <= x <= right + MARGIN_PX and top - MARGIN_PX <= y <= bottom + MARGIN_PX


@pytest.mark.parametrize("quality", list(ResizeQuality))
def test_every_nut_is_found_in_the_file(stack: Stack, quality: ResizeQuality) -> None:
    truth = json.loads(shared("media/conveyor.truth.json").read_text())["boxes"]
    clip = shared("media/conveyor.mp4")
    with listening(stack, Detections) as listener:
        source = FileSource(path=str(clip), pace="fast", loop=False)
        stack.configure([camera(source, quality)], [nut_model()])
        found = collect(listener, FRAMES)
    assert sorted(found) == list(range(FRAMES))
    assert judge(found, truth) == {"missed": [], "false": [], "doubles": []}


def test_the_same_clip_over_rtsp_gives_the_same_detections(stack: Stack) -> None:
    clip = shared("media/conveyor.mp4")
    with listening(stack, Detections) as listener:
        source = FileSource(path=str(clip), pace="fast", loop=False)
        stack.configure([camera(source, ResizeQuality.EXACT)], [nut_model()])
        by_file = [seen(found) for found in in_order(collect(listener, FRAMES))]
    with rtsp_camera(clip) as url, listening(stack, Detections) as listener:
        live, began = RtspSource(url=url), time.monotonic()
        stack.configure([camera(live, ResizeQuality.EXACT)], [nut_model()], revision="2")
        by_rtsp: list[tuple[tuple[object, ...], ...]] = []
        while len(by_rtsp) < FRAMES // 2:
            message = listener.next(30)
            assert isinstance(message, Detections)
            by_rtsp.append(seen(message))
        # Played again and again, from the first viewer on: a slow machine may take more than one.
        plays = 1 + int((time.monotonic() - began) / CLIP_S)
    assert_runs_inside(by_rtsp, by_file * plays)


def in_order(found: dict[int, Detections]) -> list[Detections]:
    return [found[sequence] for sequence in sorted(found)]


def seen(message: Detections) -> tuple[tuple[object, ...], ...]:
    return tuple(
        (o.label, round(o.confidence, 6), o.x_px, o.y_px, o.width_px, o.height_px)
        for o in message.objects
    )


def assert_runs_inside(part: list[Any], whole: list[Any]) -> None:
    """Every answer of the live stream is one of the file's, in the same order."""
    position = 0
    for number, answer in enumerate(part):
        while position < len(whole) and whole[position] != answer:
            position += 1
        assert position < len(whole), f"answer {number} over RTSP is none of the file's: {answer}"
        position += 1
