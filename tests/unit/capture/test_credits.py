"""Credit window."""

import pytest

from nxai_capture.core.credits import LOSSLESS_WINDOW, CreditWindow, FrameKey


def key(sequence: int) -> FrameKey:
    return FrameKey("a", sequence)


def test_two_frames_then_none_until_a_result_comes() -> None:
    window = CreditWindow(None)
    assert window.expires_at() is None
    for sequence in range(2):
        assert window.available
        window.take(key(sequence), 0.0)
    assert [window.available, window.in_flight] == [False, 2]
    assert window.give_back(key(0), "w", 0.1)
    assert [window.available, window.in_flight] == [True, 1]


def test_a_result_counts_once_and_only_when_it_is_ours() -> None:
    window = CreditWindow(1)
    window.take(key(7), 0.0)
    assert not window.give_back(FrameKey("b", 7), "w", 0.1)
    assert window.give_back(key(7), "w", 0.1)
    assert not window.give_back(key(7), "w", 0.1)


def test_the_window_grows_with_the_workers_and_shrinks_when_they_go() -> None:
    window = CreditWindow(None)
    assert window.size == 2
    for number, worker in enumerate(("a", "b", "c")):
        window.take(key(number), 0.0)
        window.give_back(key(number), worker, 0.1)
    assert window.size == 6
    window.take(key(9), 20.0)
    window.give_back(key(9), "a", 20.1)
    assert window.size == 2


def flight(window: CreditWindow, seconds: float, run_s: float) -> int:
    window.take(key(0), 0.0)
    window.give_back(key(0), "w", seconds, run_s)
    return window.size


def test_where_other_cameras_crowd_the_workers_one_frame_is_enough() -> None:
    window = CreditWindow(None)
    assert flight(window, 0.096, 0.012) == 1, "waited for seven other frames"
    assert flight(window, 0.048, 0.012) == 1, "three others: still crowded, no swinging"
    assert flight(window, 0.014, 0.012) == 2, "nobody else any more"
    assert flight(window, 0.048, 0.012) == 2, "not crowded enough to change"


def test_one_camera_alone_and_a_short_hiccup_do_not_count_as_a_crowd() -> None:
    window = CreditWindow(None)
    assert flight(window, 0.200, 0.100) == 2, "a slow model, one frame of our own before it"
    assert flight(window, 0.025, 0.0003) == 2, "a fast model, a busy box"
    window.lossless = True
    assert flight(window, 0.5, 0.012) == LOSSLESS_WINDOW, "nothing grows stale there"


def test_all_models_that_look_at_a_frame_run_one_after_the_other() -> None:
    window = CreditWindow(None)
    for number in range(3):
        window.take(key(number), number * 0.041)
        window.ran(key(number), 0.040)
        assert window.give_back(key(number), "w", (number + 2) * 0.041, 0.001)
        assert window.size == 2, "it waited for the frame of our own before it, one run of both"
    window.ran(key(2), 0.040)  # loaded late: its answer comes after the credit
    window.take(key(2), 10.0)
    window.give_back(key(2), "w", 10.041, 0.001)
    assert window.size == 1, "40 ms of others, each frame for itself"


def test_a_model_that_failed_last_does_not_hide_those_that_ran() -> None:
    window = CreditWindow(None)
    window.take(key(0), 0.0)
    window.ran(key(0), 0.012)
    window.give_back(key(0), "w", 0.096, 0.0)
    assert window.size == 1


def test_what_ran_on_a_frame_that_was_given_up_is_forgotten() -> None:
    window = CreditWindow(None)
    window.take(key(0), 0.0)
    window.ran(key(0), 0.050)
    window.expire(100.0)
    window.take(key(0), 200.0)
    window.give_back(key(0), "w", 200.041, 0.001)
    assert window.size == 1


def test_a_configured_size_rules() -> None:
    window = CreditWindow(5, lossless=True)
    assert window.size == 5


def test_lossless_sources_fill_the_line() -> None:
    window = CreditWindow(None, lossless=True)
    assert window.size == LOSSLESS_WINDOW
    window.lossless = False
    assert window.size == 2


def test_overdue_credits_come_back_and_are_counted() -> None:
    window = CreditWindow(2)
    window.take(key(0), 10.0)
    window.take(key(1), 11.0)
    assert window.expires_at() == 12.0
    assert window.expire(11.9) == 0
    assert window.expire(12.0) == 1
    assert window.available
    assert window.lost == 1
    assert not window.give_back(key(0), "w", 12.5), "too late"


def test_slow_models_get_more_time() -> None:
    window = CreditWindow(1)
    for sequence in range(20):
        window.take(key(sequence), 0.0)
        window.give_back(key(sequence), "w", 0.8)
    assert window.timeout_s == pytest.approx(8.0)


def test_a_frame_that_could_not_be_sent_costs_nothing() -> None:
    window = CreditWindow(1)
    window.take(key(0), 0.0)
    window.cancel(key(0))
    window.cancel(key(0))
    assert window.available
    assert window.expire(100.0) == 0
