from datetime import timedelta

from nxai_common.contracts.outputs import CameraState, HeldAlarm
from nxai_publisher.core.detections import utc
from nxai_publisher.core.state import FORGET_AFTER, LATENCIES, CameraView
from support.results import SECOND_US, START_US

EVERY_S = 10.0
NUT = {"nut": 1, "bolt": 0}
NONE = {"nut": 0, "bolt": 0}


def tell(view: CameraView, now: float) -> CameraState:
    return view.tell(
        now,
        START_US + round(now * SECOND_US),
        every_s=EVERY_S,
        device="box",
        camera_name="Front door",
    )


def held(rule: str, model: str) -> HeldAlarm:
    return HeldAlarm(id=f"{rule}-1", rule=rule, model=model, started_at=utc(START_US))


def observe(view: CameraView, *, found: bool = True, uncertain: bool = False) -> None:
    view.observe(START_US, latency_ms=4.0, uncertain=uncertain, found=found)


def test_the_first_state_is_due_at_once_and_says_zero() -> None:
    view = CameraView("front", 0.0, labels=("nut",))
    assert view.due(0.0, EVERY_S)
    state = tell(view, 0.0)
    assert (state.device, state.camera, state.camera_name) == ("box", "front", "Front door")
    assert (state.count, state.counts, state.present) == (0, {"nut": 0}, {"nut": False})
    assert (state.last_detection, state.fps, state.latency_ms, state.uncertain) == (None, 0, 0, 0)
    assert state.timestamp == utc(START_US)
    assert not view.due(0.1, EVERY_S)


def test_a_change_of_counts_or_presence_is_due_soon_and_only_once() -> None:
    view = CameraView("front", 0.0)
    tell(view, 0.0)
    view.show("m", NUT, frozenset())
    assert not view.due(0.1, EVERY_S)  # five states a second are enough
    assert view.due(0.2, EVERY_S)
    state = tell(view, 0.2)
    assert (state.count, state.counts) == (1, NUT)
    assert state.present == {"nut": False, "bolt": False}
    view.show("m", NUT, frozenset())
    assert not view.due(5.0, EVERY_S)
    view.show("m", NUT, frozenset({"nut"}))
    assert view.due(5.0, EVERY_S)
    assert tell(view, 5.0).present == {"nut": True, "bolt": False}


def test_alarms_that_hold_are_told_when_they_change() -> None:
    view = CameraView("front", 0.0)
    tell(view, 0.0)
    first, second = held("busy", "m"), held("empty", "n")
    view.hold("m", (first,))
    assert view.due(0.2, EVERY_S)
    assert tell(view, 0.2).alarms == (first,)
    view.hold("m", (first,))
    view.hold("n", ())
    assert not view.due(5.0, EVERY_S)
    view.hold("n", (second,))
    assert tell(view, 5.0).alarms == (first, second)
    view.hold("m", ())
    assert view.due(6.0, EVERY_S)
    assert tell(view, 6.0).alarms == (second,)


def test_the_heartbeat_is_due_without_any_change() -> None:
    view = CameraView("front", 0.0)
    tell(view, 0.0)
    assert not view.due(9.9, EVERY_S)
    assert view.due(10.0, EVERY_S)
    tell(view, 10.0)
    assert not view.due(19.9, EVERY_S)
    assert view.due(20.0, EVERY_S)


def test_latency_is_told_as_mean_and_percentiles_of_the_last_ones() -> None:
    view = CameraView("front", 0.0)
    for number in range(LATENCIES + 100):
        view.observe(START_US, latency_ms=max(0, number - 99), uncertain=False, found=True)
    state = tell(view, EVERY_S)
    assert (state.latency_ms, state.latency_p50_ms, state.latency_p95_ms) == (1000.5, 1001, 1900)
    view.observe(START_US, latency_ms=7.0, uncertain=False, found=True)
    state = tell(view, 2 * EVERY_S)
    assert (state.latency_ms, state.latency_p50_ms, state.latency_p95_ms) == (7.0, 7.0, 7.0)


def test_fps_and_latency_are_those_of_the_last_heartbeat() -> None:
    view = CameraView("front", 0.0)
    for _ in range(50):
        observe(view)
    state = tell(view, 10.0)
    assert (state.fps, state.latency_ms) == (5.0, 4.0)
    observe(view)
    view.show("m", NUT, frozenset())
    assert tell(view, 10.5).fps == 5.0  # half a second says nothing yet
    view.show("m", NONE, frozenset())
    assert tell(view, 12.0).fps == 0.5
    state = tell(view, 30.0)
    assert state.fps == 0.05
    state = tell(view, 40.0)
    assert (state.fps, state.latency_ms) == (0.0, 4.0)


def test_a_heartbeat_of_no_length_divides_nothing() -> None:
    view = CameraView("front", 5.0)
    observe(view)
    state = view.tell(5.0, START_US, every_s=0.0, device="box", camera_name="")
    assert state.fps == 0.0


def test_two_models_see_the_same_object_once() -> None:
    view = CameraView("front", 0.0)
    view.show("a", {"person": 2, "car": 0}, frozenset({"person"}))
    view.show("b", {"person": 1, "dog": 1}, frozenset({"dog"}))
    state = tell(view, 1.0)
    assert state.counts == {"person": 2, "car": 0, "dog": 1}
    assert state.count == 3
    assert state.present == {"person": True, "car": False, "dog": True}


def test_a_silent_model_shows_zero_of_its_labels() -> None:
    view = CameraView("front", 0.0)
    view.show("m", NUT, frozenset({"nut"}))
    tell(view, 1.0)
    view.fall_silent("m")
    assert view.due(2.0, EVERY_S)
    state = tell(view, 2.0)
    assert (state.counts, state.present) == (NONE, {"nut": False, "bolt": False})
    view.fall_silent("m")
    assert not view.due(3.0, EVERY_S)


def test_silence_of_a_model_that_showed_nothing_is_no_news() -> None:
    view = CameraView("front", 0.0)
    view.show("m", NONE, frozenset())
    tell(view, 1.0)
    view.fall_silent("m")
    assert not view.due(2.0, EVERY_S)


def test_labels_of_a_replaced_model_go_when_the_new_one_speaks() -> None:
    view = CameraView("front", 0.0)
    view.show("m", NUT, frozenset())
    view.show("m", {"screw": 1}, frozenset())
    assert tell(view, 1.0).counts == {"screw": 1}


def test_a_model_that_stays_silent_while_another_speaks_is_forgotten() -> None:
    view = CameraView("front", 0.0)
    view.show("old", NUT, frozenset())
    view.show("new", {"dog": 1}, frozenset())
    view.fall_silent("old")
    for beat in range(1, FORGET_AFTER):
        assert view.knows("old")
        assert tell(view, beat * EVERY_S).counts == {**NONE, "dog": 1}
    view.fall_silent("old")  # as when the camera is looked at again: nothing new
    assert tell(view, FORGET_AFTER * EVERY_S).counts == {"dog": 1}
    assert not view.knows("old")
    assert view.knows("new")


def test_a_model_that_speaks_again_is_not_forgotten() -> None:
    view = CameraView("front", 0.0)
    view.show("new", {"dog": 1}, frozenset())
    for beat in range(1, 3 * FORGET_AFTER):
        if beat % (FORGET_AFTER - 1) == 1:
            view.show("old", NUT, frozenset())
            view.fall_silent("old")
        assert tell(view, beat * EVERY_S).counts == {"dog": 1, **NONE}


def test_nothing_is_forgotten_while_all_models_are_silent() -> None:
    view = CameraView("front", 0.0)
    for model, labels in (("old", NUT), ("new", {"dog": 1})):
        view.show(model, labels, frozenset())
        view.fall_silent(model)
    for beat in range(1, 3 * FORGET_AFTER):
        assert tell(view, beat * EVERY_S).counts == {**NONE, "dog": 0}
    assert view.knows("old")


def test_remembered_labels_stay_until_all_models_had_the_time_to_speak() -> None:
    view = CameraView("front", 0.0)
    tell(view, 0.0)
    view.remember(("person",))
    assert view.due(1.0, EVERY_S)
    assert tell(view, 1.0).counts == {"person": 0}
    view.remember(("person",))
    assert not view.due(2.0, EVERY_S)
    view.show("m", NUT, frozenset())
    view.remember(("cat",))  # too late
    assert tell(view, 2.0).counts == {"person": 0, **NUT}
    tell(view, 12.0)
    assert tell(view, 13.0).counts == NUT


def test_what_was_seen_last_and_how_often_in_doubt() -> None:
    view = CameraView("front", 0.0)
    observe(view, uncertain=True)
    observe(view, found=False)
    state = tell(view, 1.0)
    assert state.uncertain == 1
    assert state.last_detection == utc(START_US)
    assert state.timestamp - utc(START_US) == timedelta(seconds=1)
