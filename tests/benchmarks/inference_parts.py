"""Where the time of one frame goes in the inference service, engine apart.

``cd tests && python -m benchmarks.inference_parts`` prints microseconds of CPU for each part of
a FOMO frame of 96x96 with one detection, the best of several rounds: the floor of this machine,
with no broker in between.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from nxai_common.bus.mailbox import Mailbox, Parcel
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.contracts.configuration import DesiredModel, InferenceConfiguration
from nxai_common.contracts.frames import Frame
from nxai_common.contracts.models import Task
from nxai_inference.adapters.sent_picture import PillowReader
from nxai_inference.core.answer import Answer, timing
from nxai_inference.core.decoding import decoder_for
from nxai_inference.service import InferenceService
from support.decoding import manifest
from support.inference import ScriptedEngine, ScriptedSource, fomo_map, frame, nothing

SIDE = 96
ROUNDS, RUNS = 7, 1500


def cpu_us(work: Callable[[], object]) -> float:
    """Return microseconds of CPU of one call, the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(RUNS):
            work()
        best = min(best, time.process_time() - began)
    return best / RUNS * 1e6


def parts() -> dict[str, float]:
    """Return microseconds for each part and for a whole turn of the loop."""
    engine = ScriptedEngine([fomo_map((4, 5, 1, 0.75), side=SIDE)], side=SIDE)
    about = manifest(Task.FOMO, 2, SIDE, SIDE)
    decoder = decoder_for(about, engine.outputs)
    wish = DesiredModel(id="m", path="v1")
    sent = frame(5, side=SIDE)
    topic, payload = sent.topic("box"), sent.encode()
    outputs = engine.run(np.zeros((SIDE, SIDE, 3), np.uint8))
    decoded = decoder.decode(outputs, 0.5)
    answer = Answer.build(about, wish, None, engine.outputs, "inference", sent)
    spent = timing(1.234, 0.171, 0.02)

    def build() -> object:
        return answer.result(sent, outputs, decoded, spent=spent, returns_credit=True)

    result = answer.result(sent, outputs, decoded, spent=spent, returns_credit=True)
    found = {
        "frame: bytes to message": cpu_us(lambda: Frame.decode(topic, payload)),
        "tensor to detections": cpu_us(lambda: decoder.decode(outputs, 0.5)),
        "tensor to nothing found": cpu_us(lambda: decoder.decode(outputs, 0.99)),
        "detections to result": cpu_us(build),
        "result: message to bytes": cpu_us(result.encode),
    }
    with MemoryBus(MemoryBroker()) as bus:
        source = ScriptedSource()
        source.put("v1", engine, side=SIDE)
        service = InferenceService(
            bus, source, nothing, worker="inference", pictures=PillowReader()
        )
        with service._models:
            bus.publish(InferenceConfiguration(revision="1", models=(wish,)))
            while not service.report().configuration_revision:
                service.turn(0.1)
            inbox = service._inbox
            assert isinstance(inbox, Mailbox)

            def turn() -> None:
                inbox.put(Parcel(topic, payload, Frame, 0.0))
                service.turn(0)

            found["whole turn, bus in memory"] = cpu_us(turn)
    return found


def main() -> int:
    """Print the table."""
    for part, microseconds in parts().items():
        sys.stdout.write(f"{part:28} {microseconds:6.1f} us\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
