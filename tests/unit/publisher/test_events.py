import pytest

from nxai_common.contracts.configuration import EventOptions
from nxai_common.contracts.outputs import EventPhase
from nxai_publisher.core.events import EventChange, EventTracker, base36, event_id
from support.results import SECOND_US, START_US

START, UPDATE, END = EventPhase.START, EventPhase.UPDATE, EventPhase.END
OPTIONS = EventOptions(start_after=2, end_after_s=2.0, update_every_s=1.0)


def at(seconds: float) -> int:
    return START_US + round(seconds * SECOND_US)


class Line:
    """A tracker with shorter words."""

    def __init__(self) -> None:
        self.tracker = EventTracker("front", "m5-nut")

    def see(
        self, seconds: float, count: int, confidence: float = 0.5, options: EventOptions = OPTIONS
    ) -> list[EventChange]:
        confidences = {"nut": confidence} if count else {}
        return self.tracker.observe(at(seconds), {"nut": count, "bolt": 0}, confidences, options)


def test_one_result_is_a_flicker() -> None:
    line = Line()
    assert line.see(0, 1) == []
    assert line.see(0.1, 0) == []
    assert line.see(0.2, 1) == []
    assert line.tracker.present == frozenset()


def test_event_starts_with_the_first_of_the_results_in_a_row() -> None:
    line = Line()
    line.see(0, 1, 0.6)
    (change,) = line.see(0.1, 3, 0.5)
    assert change == EventChange(
        phase=START,
        id=event_id("front", "m5-nut", "nut", at(0)),
        label="nut",
        at_us=at(0.1),
        started_at_us=at(0),
        seen_at_us=at(0.1),
        count=3,
        max_count=3,
        confidence=0.6,
    )
    assert change.duration_s == 0.1
    assert line.tracker.present == {"nut"}


def test_event_ends_after_the_label_was_away_for_long_enough() -> None:
    line = Line()
    line.see(0, 1)
    (start,) = line.see(0.1, 2, 0.9)
    assert line.see(1.0, 0) == []
    assert line.tracker.present == {"nut"}
    (end,) = line.see(2.1, 0)
    assert (end.phase, end.id, end.count, end.max_count) == (END, start.id, 0, 2)
    assert (end.at_us, end.duration_s, end.confidence) == (at(2.1), 0.1, 0.9)
    assert line.tracker.present == frozenset()
    assert line.see(2.2, 0) == []


def test_a_gap_shorter_than_the_patience_does_not_end_it() -> None:
    line = Line()
    line.see(0, 1)
    line.see(0.1, 1)
    line.see(2.0, 0)
    line.see(2.05, 1)
    assert line.see(3.9, 0) == []
    assert [c.phase for c in line.see(4.1, 0)] == [END]


def test_updates_come_only_with_news_and_not_too_often() -> None:
    line = Line()
    line.see(0, 1, 0.5)
    line.see(0.1, 1, 0.5)
    assert line.see(0.5, 2, 0.5) == []  # too soon
    (update,) = line.see(1.1, 2, 0.5)
    assert (update.phase, update.count) == (UPDATE, 2)
    assert line.see(2.5, 2, 0.5) == []  # no news
    (update,) = line.see(2.6, 2, 0.8)
    assert update.confidence == 0.8
    assert line.see(4.0, 2, 0.6) == []  # the best stays the best


def test_a_new_event_has_a_new_id() -> None:
    line = Line()
    ids = []
    for base in (0, 10):
        line.see(base, 1)
        ids += [c.id for c in line.see(base + 0.1, 1)]
        ids += [c.id for c in line.see(base + 3, 0)]
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_labels_have_events_of_their_own() -> None:
    tracker = EventTracker("front", "m5-nut")
    both = {"nut": 1, "bolt": 1}
    tracker.observe(at(0), both, {}, OPTIONS)
    changes = tracker.observe(at(0.1), both, {}, OPTIONS)
    assert [c.label for c in changes] == ["nut", "bolt"]
    # A label that the model no longer knows counts as away.
    changes = tracker.observe(at(3), {"nut": 1}, {}, OPTIONS)
    assert [(c.phase, c.label) for c in changes] == [(END, "bolt")]


def test_start_after_one_starts_at_once() -> None:
    (change,) = Line().see(0, 1, options=EventOptions(start_after=1))
    assert change.phase is START
    assert change.duration_s == 0


def test_silence_ends_all_and_forgets_flickers() -> None:
    line = Line()
    line.see(0, 1)
    assert line.tracker.end_all(at(20)) == []
    line.see(21, 1)
    assert line.see(21.1, 1) != []
    (end,) = line.tracker.end_all(at(40))
    assert (end.phase, end.at_us, end.duration_s) == (END, at(40), 0.1)
    assert line.tracker.end_all(at(41)) == []


def test_a_clock_that_is_set_back_neither_blocks_the_end_nor_gives_a_negative_duration() -> None:
    line = Line()
    line.see(0, 1)
    line.see(0.1, 1)
    assert line.see(-3600, 0) == []
    (end,) = line.see(-3597.9, 0)
    assert (end.phase, end.duration_s) == (END, 0)


def test_a_clock_that_is_set_back_does_not_block_updates() -> None:
    line = Line()
    line.see(0, 1)
    line.see(0.1, 1)
    line.see(-3600, 2)
    assert [c.phase for c in line.see(-3598.9, 2)] == [UPDATE]


def test_patience_follows_the_rhythm_of_a_slow_camera_up_to_a_minute() -> None:
    line = Line()
    assert line.tracker.patience_us(OPTIONS, 10) == 10 * SECOND_US
    line.see(0, 0)
    line.see(0.1, 0)
    assert line.tracker.patience_us(OPTIONS, 1) == 2 * SECOND_US
    line.see(30, 0)
    assert line.tracker.patience_us(OPTIONS, 10) == pytest.approx(89.7 * SECOND_US)
    line.see(4000, 0)
    assert line.tracker.patience_us(OPTIONS, 10) == 180 * SECOND_US


def test_ids_are_plain_and_labels_stay_apart() -> None:
    assert event_id("front", "m", "nut", 0) == "front-m-nut-0"
    assert event_id("front", "m", "nut", START_US).endswith("-" + base36(START_US // 1000))
    ids = {event_id("front", "m", label, 0) for label in ("nut", "Nut", "n ut", "螺母", "", "-")}
    assert len(ids) == 6
    for name in ids:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


@pytest.mark.parametrize("number", [0, 1, 35, 36, 1_795_341_600_000])
def test_base36_is_read_back_by_python(number: int) -> None:
    assert int(base36(number), 36) == number
