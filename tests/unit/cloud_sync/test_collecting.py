from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_cloud_sync.core import collecting
from nxai_cloud_sync.core.collecting import (
    DAY_S,
    EARLIEST_US,
    HASHES,
    HOUR_S,
    MINUTE_S,
    STEP_S,
    TRUST_AFTER_S,
    CameraHistory,
    ClockWatch,
    KeptPicture,
    LeftOut,
    left_out,
    near_duplicate,
)
from nxai_common.contracts.collecting import CollectPolicy, Quotas
from support.results import SECOND_US, START_US

NO_QUOTAS = Quotas(per_minute=0, per_hour=0, per_day=0, label_per_day=0)


def policy(gap_s: float = 0.0, **quotas: int) -> CollectPolicy:
    return CollectPolicy(enabled=True, min_gap_s=gap_s, quotas=NO_QUOTAS.model_copy(update=quotas))


def kept(at_s: float = 0.0, *labels: str, hash_: int = 0) -> KeptPicture:
    return KeptPicture(START_US + int(at_s * SECOND_US), labels, hash_)


class Camera:
    """A camera whose pictures are kept as the policy says; both clocks go evenly."""

    def __init__(self, wanted: CollectPolicy | None, earlier: Sequence[KeptPicture] = ()) -> None:
        self.policy = wanted
        self.history = CameraHistory(earlier, now_s=0.0)

    def see(self, captured_s: float, *labels: str, now_s: float | None = None) -> LeftOut | None:
        now = captured_s if now_s is None else now_s
        captured_us = START_US + int(captured_s * SECOND_US)
        why = left_out(self.policy, self.history, captured_us, labels, now)
        if why is None:
            self.history.note(KeptPicture(captured_us, labels, 0), now)
        return why


def test_a_camera_that_is_not_known_or_switched_off_keeps_nothing() -> None:
    assert Camera(None).see(0) is LeftOut.UNKNOWN_CAMERA
    assert Camera(CollectPolicy(enabled=False)).see(0) is LeftOut.SWITCHED_OFF


def test_without_limits_all_is_kept() -> None:
    camera = Camera(policy())
    assert [camera.see(n / 100, "nut") for n in range(1000)] == [None] * 1000


def test_pictures_keep_a_gap() -> None:
    camera = Camera(policy(gap_s=5.0))
    assert [camera.see(t) for t in (0, 4.999, 5, 9, 10.5, 12)] == [
        None,
        LeftOut.TOO_SOON,
        None,
        LeftOut.TOO_SOON,
        None,
        LeftOut.TOO_SOON,
    ]


def test_two_models_on_one_frame_give_one_picture() -> None:
    camera = Camera(policy(gap_s=5.0))
    assert camera.see(0) is None
    assert camera.see(0) is LeftOut.TOO_SOON


@pytest.mark.parametrize(
    ("name", "window_s", "why"),
    [
        ("per_minute", MINUTE_S, LeftOut.PER_MINUTE),
        ("per_hour", HOUR_S, LeftOut.PER_HOUR),
        ("per_day", DAY_S, LeftOut.PER_DAY),
        ("label_per_day", DAY_S, LeftOut.LABEL_PER_DAY),
    ],
)
def test_quotas_slide(name: str, window_s: float, why: LeftOut) -> None:
    camera = Camera(policy(**{name: 3}))
    assert [camera.see(t, "nut") for t in (0, 10, 20, 30)] == [None, None, None, why]
    assert camera.see(window_s - 1, "nut") is why
    assert camera.see(window_s, "nut") is None  # the first has left the window
    assert camera.see(window_s + 5, "nut") is why
    assert camera.see(window_s + 10, "nut") is None


def test_the_shortest_quota_is_named() -> None:
    camera = Camera(policy(per_minute=1, per_hour=1, per_day=1))
    assert camera.see(0) is None
    assert camera.see(1) is LeftOut.PER_MINUTE
    assert camera.see(100) is LeftOut.PER_HOUR
    assert camera.see(4000) is LeftOut.PER_DAY


def test_rare_labels_are_not_crowded_out() -> None:
    camera = Camera(policy(label_per_day=2))
    assert [camera.see(t, "nut") for t in range(3)] == [None, None, LeftOut.LABEL_PER_DAY]
    assert camera.see(3, "nut", "bolt") is None
    assert camera.see(4, "bolt", "nut") is None
    assert camera.see(5, "nut", "bolt") is LeftOut.LABEL_PER_DAY
    assert camera.see(6, "washer") is None


def test_pictures_without_a_label_count_as_one() -> None:
    camera = Camera(policy(label_per_day=2))
    assert [camera.see(t) for t in range(3)] == [None, None, LeftOut.LABEL_PER_DAY]
    assert camera.see(3, "nut") is None


def test_what_was_kept_before_a_start_counts() -> None:
    earlier = [kept(-2 * DAY_S), kept(-DAY_S / 2), kept(-30), kept(-3)]
    assert Camera(policy(gap_s=5), earlier).see(0) is LeftOut.TOO_SOON
    assert Camera(policy(per_minute=2), earlier).see(0) is LeftOut.PER_MINUTE
    assert Camera(policy(per_minute=3), earlier).see(0) is None
    assert Camera(policy(per_day=3), earlier).see(0) is LeftOut.PER_DAY
    assert Camera(policy(per_day=4), earlier).see(0) is None


def test_what_waited_while_the_service_was_away_is_judged_by_when_it_was_captured() -> None:
    camera = Camera(policy(gap_s=5, per_minute=4))
    # All come within a second.
    seen = [camera.see(n * 10.0, now_s=n / 100) for n in range(60)]
    assert seen.count(None) == 40
    assert seen[:6] == [None, None, None, None, LeftOut.PER_MINUTE, LeftOut.PER_MINUTE]


def test_pictures_that_come_out_of_order_keep_the_gap() -> None:
    camera = Camera(policy(gap_s=5))
    assert camera.see(10, now_s=0) is None
    assert camera.see(7, now_s=0.1) is LeftOut.TOO_SOON
    assert camera.see(4, now_s=0.2) is None


STEPS_S = [-10 * 365 * DAY_S, -DAY_S, -HOUR_S, -10.0, 10.0, HOUR_S, 10 * 365 * DAY_S]


@pytest.mark.parametrize("step_s", STEPS_S)
def test_a_step_of_the_clock_locks_nothing_out_and_gives_one_quota_at_most(step_s: float) -> None:
    camera = Camera(policy(gap_s=5, per_hour=6))
    before = [camera.see(t) for t in range(0, 3600, 100)]
    assert before.count(None) == 6
    after = [camera.see(t + step_s, now_s=t) for t in range(3600, 2 * 3600, 100)]
    assert 5 <= after.count(None) <= 12
    later = [camera.see(t + step_s, now_s=t) for t in range(2 * 3600, 10 * 3600, 100)]
    assert later.count(None) == pytest.approx(8 * 6, abs=2)


def test_a_box_without_a_clock_keeps_collecting_and_counts_again_with_one() -> None:
    earlier = [kept(-n * 60) for n in range(10, 0, -1)]
    camera = Camera(policy(per_day=10), earlier)
    in_1970 = -START_US / SECOND_US + 20
    assert camera.see(in_1970, now_s=1) is None
    assert camera.see(30, now_s=30) is LeftOut.PER_DAY  # the network told the time
    # Never for longer than a day of this process, whatever its pictures say.
    assert camera.see(31, now_s=DAY_S + 1) is None


SECONDS = st.integers(0, 3 * int(DAY_S))
ANY_SECOND = st.integers(-400 * int(DAY_S), 400 * int(DAY_S))


@given(st.lists(st.tuples(SECONDS, ANY_SECOND), max_size=30), ANY_SECOND)
def test_a_day_after_the_last_picture_any_is_kept(
    moments: list[tuple[int, int]], captured_s: int
) -> None:
    camera = Camera(policy(gap_s=DAY_S, per_minute=1, per_hour=1, per_day=1, label_per_day=1))
    last = 0
    for now_s, at_s in sorted(moments):
        if camera.see(at_s, "nut", now_s=now_s) is None:
            last = now_s
    assert camera.see(captured_s, "nut", now_s=last + DAY_S) is None


def test_no_more_is_remembered_than_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MOST_A_DAY", 10)
    camera = Camera(policy())
    for n in range(50):
        camera.see(n)
    assert len(camera.history._noted) == 10
    camera.see(DAY_S + 100)
    assert len(camera.history._noted) == 1


# -- near duplicates --------------------------------------------------------------------------


def test_near_duplicates_differ_in_few_bits() -> None:
    history = CameraHistory([kept(hash_=0), kept(hash_=2**64 - 1)])
    wanted = policy().model_copy(update={"near_duplicate_bits": 6})
    assert near_duplicate(wanted, history, 0b111111) is LeftOut.NEAR_DUPLICATE
    assert near_duplicate(wanted, history, 0b1111111) is None
    assert near_duplicate(wanted, history, 2**64 - 1 - 0b111) is LeftOut.NEAR_DUPLICATE
    same_only = policy().model_copy(update={"near_duplicate_bits": 0})
    assert near_duplicate(same_only, history, 1) is None
    assert near_duplicate(same_only, history, 0) is LeftOut.NEAR_DUPLICATE


def test_the_first_picture_is_no_duplicate() -> None:
    assert near_duplicate(policy(), CameraHistory(), 0) is None


def test_pictures_are_compared_with_the_last_ones_only() -> None:
    wanted = policy().model_copy(update={"near_duplicate_bits": 0})
    history = CameraHistory()
    history.note(kept(hash_=0), 0.0)
    for n in range(1, HASHES):
        history.note(kept(hash_=n), 0.0)
    assert near_duplicate(wanted, history, 0) is LeftOut.NEAR_DUPLICATE
    history.note(kept(hash_=HASHES), 0.0)
    assert near_duplicate(wanted, history, 0) is None
    assert near_duplicate(wanted, history, 1) is LeftOut.NEAR_DUPLICATE


# -- the clock --------------------------------------------------------------------------------


def walk(watch: ClockWatch, minutes: int, from_s: float, offset_us: int) -> list[int | None]:
    return [
        watch.known(from_s + n * 60, offset_us + int((from_s + n * 60) * SECOND_US))
        for n in range(minutes)
    ]


def test_the_time_is_known_after_an_hour_without_a_step() -> None:
    watch = ClockWatch(0.0, START_US)
    known = walk(watch, 61, 0.0, START_US)
    assert known[:60] == [None] * 60
    assert known[60] == START_US + int(TRUST_AFTER_S) * SECOND_US


@pytest.mark.parametrize("step_s", [STEP_S + 1, -STEP_S - 1, 12 * 365 * DAY_S])
def test_after_a_step_the_time_is_not_known_for_an_hour(step_s: float) -> None:
    watch = ClockWatch(0.0, START_US)
    assert walk(watch, 61, 0.0, START_US)[-1] is not None
    after = walk(watch, 61, 61 * 60.0, START_US + int(step_s * SECOND_US))
    assert after[:60] == [None] * 60
    assert after[60] is not None


def test_a_clock_that_is_adjusted_is_trusted_all_the_while() -> None:
    watch = ClockWatch(0.0, START_US)
    walk(watch, 61, 0.0, START_US)
    assert watch.known(3660.0, START_US + int((3660 + STEP_S - 1) * SECOND_US)) is not None


def test_a_time_before_this_program_was_written_is_no_time() -> None:
    watch = ClockWatch(0.0, 0)
    assert walk(watch, 200, 0.0, 0)[-1] is None
    assert EARLIEST_US < START_US
