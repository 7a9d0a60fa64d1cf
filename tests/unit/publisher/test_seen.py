from nxai_publisher.core.seen import SeenResults


def test_a_result_is_new_once() -> None:
    seen = SeenResults()
    assert seen.admit("run-1", 5)
    assert not seen.admit("run-1", 5)
    assert seen.admit("run-1", 6)


def test_workers_may_overtake_each_other() -> None:
    seen = SeenResults()
    assert seen.admit("run-1", 6)
    assert seen.admit("run-1", 5)
    assert not seen.is_newest("run-1", 5)
    assert seen.is_newest("run-1", 6)
    assert not seen.is_newest("run-2", 7)


def test_what_is_older_than_the_memory_is_old() -> None:
    seen = SeenResults(window=3)
    for sequence in (1, 3, 4, 5):
        assert seen.admit("run-1", sequence)
    assert not seen.admit("run-1", 1)
    assert not seen.admit("run-1", 0)
    assert seen.admit("run-1", 2)


def test_a_new_run_of_the_camera_counts_anew_and_the_one_before_is_old() -> None:
    seen = SeenResults()
    assert seen.admit("run-1", 100)
    assert seen.admit("run-2", 0)
    assert seen.is_newest("run-2", 0)
    assert not seen.admit("run-1", 101)
    assert seen.admit("run-2", 1)
