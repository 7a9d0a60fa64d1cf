from nxai_publisher.core.seen import SeenResults


def test_a_result_is_new_once() -> None:
    seen = SeenResults()
    assert seen.admit("run-1", 5, 0)
    assert not seen.admit("run-1", 5, 0)
    assert seen.admit("run-1", 6, 0)


def test_workers_may_overtake_each_other() -> None:
    seen = SeenResults()
    assert seen.admit("run-1", 6, 0)
    assert seen.admit("run-1", 5, 0)
    assert not seen.is_newest("run-1", 5)
    assert seen.is_newest("run-1", 6)
    assert not seen.is_newest("run-2", 7)


def test_what_is_older_than_the_memory_is_old() -> None:
    seen = SeenResults(window=3)
    for sequence in (1, 3, 4, 5):
        assert seen.admit("run-1", sequence, 0)
    assert not seen.admit("run-1", 1, 0)
    assert not seen.admit("run-1", 0, 0)
    assert seen.admit("run-1", 2, 0)


def test_a_new_run_of_the_camera_counts_anew_and_the_one_before_is_old() -> None:
    seen = SeenResults()
    assert seen.admit("run-1", 100, 0)
    assert seen.admit("run-2", 0, 0)
    assert seen.is_newest("run-2", 0)
    assert not seen.admit("run-1", 101, 0)
    assert seen.admit("run-2", 1, 0)


def test_a_late_result_of_a_run_however_long_ago_does_not_stop_the_one_of_now() -> None:
    seen = SeenResults()
    for run in range(1000):
        assert seen.admit(f"run-{run}", 0, run)
    for run in (0, 900, 998):
        assert not seen.admit(f"run-{run}", 7, run)
    assert not seen.admit("run-998", 8, 5000)  # nor one whose clock was ahead
    assert seen.admit("run-999", 1, 1000)
    assert not seen.admit("nobody-knows", 0, 999)
    assert seen.admit("run-999", 2, 998)  # within a run they may overtake each other
    assert seen.admit("run-1000", 0, 1000)


def test_after_a_silence_a_new_run_may_have_an_earlier_time() -> None:
    seen = SeenResults()
    assert seen.admit("run-1", 0, 1000)
    assert not seen.admit("run-2", 0, 500)
    seen.rest()
    assert not seen.admit("run-1", 0, 1000)
    assert seen.admit("run-2", 1, 501)
    assert not seen.admit("run-1", 1, 1001)
