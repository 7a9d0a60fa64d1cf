from datetime import UTC, datetime

from nxai_common.contracts.outputs import Detections
from nxai_publisher.core.detections import detections_of
from nxai_publisher.core.observation import observe
from support.results import START_US, classified, detection, result


def flat(item: object, now_us: int = START_US + 12_345) -> Detections:
    return detections_of(
        item,  # type: ignore[arg-type] # a result; the callers below are checked
        observe(item),  # type: ignore[arg-type] # as above
        device="box",
        camera_name="Front door",
        now_us=now_us,
    )


def test_boxes_are_0_to_1_with_pixels_beside_them() -> None:
    (found,) = flat(result(0, [detection(box=(64, 48, 32, 24))])).objects
    assert (found.x, found.y, found.width, found.height) == (0.1, 0.1, 0.05, 0.05)
    assert (found.x_px, found.y_px, found.width_px, found.height_px) == (64, 48, 32, 24)


def test_pixels_end_where_the_object_does_and_inside_the_picture() -> None:
    first, second = flat(
        result(0, [detection(box=(10.4, 10.6, 10.2, 10.2)), detection(box=(-5, 470, 700, 20))])
    ).objects
    assert (first.x_px, first.y_px, first.width_px, first.height_px) == (10, 11, 11, 10)
    assert (second.x_px, second.y_px, second.width_px, second.height_px) == (0, 470, 640, 10)


def test_everything_about_the_frame_is_there() -> None:
    message = flat(result(7, [detection(), detection("bolt")], uncertain=True), START_US + 700_250)
    assert message.timestamp == datetime(2026, 11, 22, 10, 0, 0, 700_000, UTC)
    assert message.timestamp_ms == START_US // 1000 + 700
    assert (message.device, message.camera, message.camera_name) == ("box", "front", "Front door")
    assert (message.model, message.model_name, message.model_version) == ("m5-nut", "M5 nut", "3")
    assert (message.stream, message.sequence) == ("run-1", 7)
    assert (message.picture_width, message.picture_height) == (640, 480)
    assert (message.count, message.counts) == (2, {"nut": 1, "bolt": 1})
    assert message.uncertain
    assert message.latency_ms == 0.25
    assert message.inference_ms == 0.75
    assert Detections.decode(message.topic("box"), message.encode()) == message


def test_nothing_found_is_told_as_zero() -> None:
    message = flat(result(0, []))
    assert (message.count, message.counts, message.objects) == (0, {"nut": 0, "bolt": 0}, ())


def test_a_classifier_has_scores() -> None:
    message = flat(classified(cat=0.8, dog=0.2))
    assert (message.scores, message.count) == ({"cat": 0.8, "dog": 0.2}, 1)


def test_a_clock_that_was_set_back_gives_no_negative_latency() -> None:
    assert flat(result(0), START_US - 1).latency_ms == 0
