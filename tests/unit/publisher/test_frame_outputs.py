import json

from nxai_common.contracts.configuration import (
    NxOutputOptions,
    PublisherCamera,
    PublisherConfiguration,
)
from nxai_publisher.core.frame_outputs import frame_detections, frame_output, rehearsal_of
from nxai_publisher.core.observation import observe
from support.results import START_US, result

CAMERA = PublisherCamera(id="front", name="Front door", index=4)
ALL = PublisherConfiguration(revision="1")
NOTHING = PublisherConfiguration(
    revision="1", detections=False, nx_output=NxOutputOptions(enabled=False)
)


def test_outputs_are_made_as_they_are_wanted() -> None:
    item = result(0)
    seen = observe(item)
    flat = frame_detections(item, seen, ALL, CAMERA, device="box", now_us=START_US)
    assert flat is not None
    assert flat.camera_name == "Front door"
    output = frame_output(item, ALL, CAMERA, device="box")
    assert output is not None
    assert output.entries[0].sourceId == "input-4"
    assert frame_detections(item, seen, NOTHING, CAMERA, device="box", now_us=0) is None
    assert frame_output(item, NOTHING, CAMERA, device="box") is None


def test_a_rehearsal_has_topics_and_payloads_letter_for_letter() -> None:
    item = result(3, test="t-1")
    flat = frame_detections(item, observe(item), ALL, CAMERA, device="box", now_us=START_US)
    output = frame_output(item, ALL, CAMERA, device="box")
    assert flat is not None
    assert output is not None
    told = rehearsal_of(item, (flat, output), device="box", now_us=item.captured_at_us + 12_500)
    assert [(one.topic, one.payload.encode()) for one in told.messages] == [
        (flat.topic("box"), flat.encode()),
        (output.topic("box"), output.encode()),
    ]
    assert told.messages[1].topic.endswith("front/output")
    assert json.loads(told.messages[1].payload)[0]["sourceName"] == "Front door"
    assert (told.test, told.model, told.stream, told.sequence) == ("t-1", "m5-nut", "run-1", 3)
    assert (told.picture_width, told.picture_height) == (640, 480)
    assert (told.latency_ms, told.inference_ms, told.error) == (12.5, 0.75, "")


def test_a_rehearsal_says_why_there_is_nothing() -> None:
    failed = result(0, [], error="the model is gone", test="t")
    assert rehearsal_of(failed, (), device="box", now_us=0).error == "the model is gone"
    assert rehearsal_of(failed, (), device="box", now_us=0, error="why").error == "why"
