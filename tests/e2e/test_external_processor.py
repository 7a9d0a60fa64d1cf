"""The example processor as a process of its own, with its own account, beside the real services."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nxai_common.contracts.configuration import CaptureCamera, DemoSource, DesiredModel
from nxai_common.contracts.outputs import Detections, ObjectFound
from nxai_common.contracts.processors import Done, ProcessedObject, ProcessorManifest, Work
from support.guarded_stack import GuardedStack
from support.recorder import Recorder
from support.shared import ROOT
from support.waiting import wait_for

pytestmark = [pytest.mark.timeout(300)]

PROGRAM = ROOT / "examples" / "processor" / "merge_close.py"
PATIENCE = 60.0
SETTINGS = {"distance": 0.5, "smallest": 0.05}
"""So far apart that boxes of the demo belt melt."""


@dataclass
class Processor:
    """The example, as a process."""

    stack: GuardedStack
    log: Path

    def start(self) -> "subprocess.Popen[bytes]":
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("NXAI_")}  # noqa: TID251 - a child's PATH
        broker = self.stack.broker
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, PROGRAM],
                stdout=log,
                stderr=log,
                env={
                    **inherited,
                    "NXAI_MQTT_HOST": broker.host,
                    "NXAI_MQTT_PORT": str(broker.port),
                    "NXAI_MQTT_PASSWORD_FILE": str(broker.password_file("processor")),
                },
            )


@dataclass
class Line:
    """A camera whose results go through the processor."""

    stack: GuardedStack
    recorder: Recorder
    processor: Processor

    def of(self, kind: type) -> list[object]:
        return [message for message in self.recorder.messages() if isinstance(message, kind)]

    def frames(self) -> list[Detections]:
        return [m for m in self.recorder.messages() if isinstance(m, Detections)]

    def problem(self) -> str:
        self.stack.check_alive()
        problems = self.stack.status("publisher").problems
        return "; ".join(p.reason for p in problems if p.about == "processor merge-close")

    def wait_problem(self, words: str) -> None:
        wait_for(lambda: words in self.problem(), PATIENCE, f"the publisher says: {words}")

    def wait_processed(self) -> None:
        """Wait until results say what the processor made of them."""
        before = len(self.of(Done))
        wait_for(lambda: len(self.of(Done)) >= before + 10, PATIENCE, "ten answers")
        wait_for(lambda: self.problem() == "", PATIENCE, "the publisher has nothing to say")

    def wait_frames(self, count: int) -> list[Detections]:
        """Return the next frames."""
        before = len(self.frames())
        wait_for(lambda: len(self.frames()) >= before + count, PATIENCE, f"{count} frames")
        return self.frames()[before:]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with GuardedStack(tmp_path / "box") as stack:
        stack.wait_running()
        broker = stack.broker
        kinds = (Work, Done, Detections, ProcessorManifest)
        with Recorder(broker.port, broker.username, broker.password, kinds) as recorder:
            stack.configure(
                [
                    CaptureCamera(
                        id="belt",
                        source=DemoSource(width=320, height=240, fps=10),
                        models=("demo",),
                    )
                ],
                [DesiredModel(id="demo", path="demo-parts")],
                publisher={
                    "processors": [{"id": "merge-close", "timeout_ms": 400, "settings": SETTINGS}]
                },
            )
            yield Line(stack, recorder, Processor(stack, tmp_path / "processor.log"))


def test_results_are_what_the_processor_makes_of_them(line: Line) -> None:
    line.wait_problem("is not there")
    process = line.processor.start()
    try:
        line.wait_processed()
        compared = wait_for(lambda: merged_frames(line), PATIENCE, "boxes that melt")
        for work, done, frame in compared or ():
            assert done.objects is not None
            assert same(done.objects, frame.objects)
            assert same(expected(work.objects), frame.objects)
        (manifest,) = line.of(ProcessorManifest)
        assert isinstance(manifest, ProcessorManifest)
        assert manifest.settings == {"distance": 0.02, "smallest": 0.01}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, line.processor.log.read_text()
    line.wait_problem("is not there")  # it took its manifest back
    assert line.processor.log.read_text() == ""


def merged_frames(line: Line) -> list[tuple[Work, Done, Detections]]:
    """Return all that was answered in time, once boxes became fewer in one of them.

    An answer that came too late left its frame as it was.
    """
    messages = line.recorder.messages()
    done = {message.id: message for message in messages if isinstance(message, Done)}
    works = {(m.stream, m.sequence): m for m in messages if isinstance(m, Work)}
    found = []
    for frame in line.frames():
        work = works.get((frame.stream, frame.sequence))
        answer = done.get(work.id) if work is not None else None
        if work is not None and answer is not None and len(answer.objects or ()) == frame.count:
            found.append((work, answer, frame))
    return found if any(len(w.objects) > f.count for w, _, f in found) else []


def expected(objects: Sequence[ObjectFound]) -> list[ProcessedObject]:
    """Return what merging is to give: groups of what is close, each with the box around it."""
    gap = SETTINGS["distance"]
    boxes = [ProcessedObject.model_validate(o.model_dump()) for o in objects]
    again = True
    while again:
        again = False
        for a in boxes:
            for b in boxes:
                apart_x = max(a.x - (b.x + b.width), b.x - (a.x + a.width))
                apart_y = max(a.y - (b.y + b.height), b.y - (a.y + a.height))
                if a is b or a.label != b.label or max(apart_x, apart_y) > gap:
                    continue
                boxes = [other for other in boxes if other is not a and other is not b]
                x, y = min(a.x, b.x), min(a.y, b.y)
                boxes.append(
                    ProcessedObject(
                        label=a.label,
                        confidence=max(a.confidence, b.confidence),
                        x=x,
                        y=y,
                        width=min(1, max(a.x + a.width, b.x + b.width)) - x,
                        height=min(1, max(a.y + a.height, b.y + b.height)) - y,
                    )
                )
                again = True
                break
            if again:
                break
    return [box for box in boxes if max(box.width, box.height) >= SETTINGS["smallest"]]


def same(mine: Sequence[ProcessedObject], theirs: Sequence[ObjectFound]) -> bool:
    """Tell whether the same boxes are in both, to a pixel's fraction."""

    def numbers(
        boxes: Sequence[ProcessedObject] | Sequence[ObjectFound],
    ) -> list[tuple[str, float, float, float, float]]:
        return sorted((o.label, o.x, o.y, o.width, o.height) for o in boxes)

    return all(
        a[0] == b[0]
        and all(math.isclose(x, y, abs_tol=0.002) for x, y in zip(a[1:], b[1:], strict=True))
        for a, b in zip(numbers(mine), numbers(theirs), strict=True)
    )


def test_results_go_on_when_it_is_killed(line: Line) -> None:
    process = line.processor.start()
    line.wait_processed()
    process.kill()
    process.wait(PATIENCE)
    line.wait_problem("is not there")  # its will has cleared the manifest
    frames = line.wait_frames(10)
    last = line.of(Work)[-1]
    assert isinstance(last, Work)
    assert last.sequence < frames[0].sequence, "nobody is asked any more"
    numbers = [frame.sequence for frame in line.frames()]
    assert numbers == sorted(set(numbers)), "in order, and each once"


def test_results_go_on_when_it_hangs_and_it_is_asked_again_when_it_does_not(line: Line) -> None:
    process = line.processor.start()
    try:
        line.wait_processed()
        process.send_signal(signal.SIGSTOP)
        line.wait_problem("did not answer within 400 ms, 3 times in a row")
        assert len(line.wait_frames(10)) == 10
        process.send_signal(signal.SIGCONT)
        line.wait_processed()
        numbers = [frame.sequence for frame in line.frames()]
        assert numbers == sorted(set(numbers)), "in order, and each once"
    finally:
        process.kill()
        process.wait(PATIENCE)
