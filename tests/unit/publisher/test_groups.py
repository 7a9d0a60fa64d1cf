from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_common.contracts.destinations import Content
from nxai_publisher.core.entries import Entry
from nxai_publisher.core.groups import MICROSECONDS, Grouping

pytestmark = pytest.mark.unit

LATE = 1e9


def entries(*cameras: str, every_s: float = 0.1) -> list[Entry]:
    return [
        Entry(n, "detections", camera, "m5", int(n * every_s * MICROSECONDS), f"d{n}", b"{}", 2)
        for n, camera in enumerate(cameras)
    ]


def groups(grouping: Grouping, waiting: Sequence[Entry], now_us: int, waited_s: float) -> list[str]:
    """Return the cameras of each group, until one is not complete."""
    found = []
    waiting = list(waiting)
    while count := grouping.take(waiting, now_us, waited_s):
        found.append("".join(entry.camera for entry in waiting[:count]))
        del waiting[:count]
    return found


def test_each_by_itself() -> None:
    grouping = Grouping()
    assert grouping.most == 1
    assert groups(grouping, entries(*"aab"), 0, 0) == ["a", "a", "b"]


def test_what_waits_together() -> None:
    grouping = Grouping("batch", 3)
    assert grouping.most == 3
    assert groups(grouping, entries(*"aabba"), 0, 0) == ["aab", "ba"]


def test_a_batch_that_is_not_full_waits_as_long_as_it_may() -> None:
    grouping = Grouping("batch", 3, 5.0)
    assert grouping.take(entries(*"aa"), 0, 4.9) == 0
    assert grouping.pause_s(4.0) == pytest.approx(1.0)
    assert grouping.pause_s(7.0) == 0.0
    assert grouping.take(entries(*"aa"), 0, 5.0) == 2
    assert grouping.take(entries(*"aaaa"), 0, 0.0) == 3


def test_one_of_each_camera() -> None:
    grouping = Grouping("loop", 1000, 10.0)
    # The first round ends where a camera comes again; then it is known who belongs to it.
    assert groups(grouping, entries(*"abcabcab"), 0, 0) == ["abc", "abc"]


def test_a_camera_that_comes_or_goes_changes_the_round() -> None:
    grouping = Grouping("loop", 1000, 10.0)
    found = groups(grouping, entries(*"ababcabcabababa"), 0, 0)
    assert found == ["ab", "ab", "cab", "cab", "ab", "ab"]
    assert groups(grouping, entries(*"abab"), 0, 0) == ["ab", "ab"]


def test_two_models_of_a_camera_are_two() -> None:
    pair = [
        Entry(n, "detections", "a", model, n, f"d{n}", b"{}", 2)
        for n, model in enumerate(["m5", "m6", "m5", "m6"])
    ]
    assert groups(Grouping("loop", 1000, 10.0), pair, 0, 0) == ["aa", "aa"]


def test_results_and_events_of_a_camera_are_two() -> None:
    both: tuple[Content, ...] = ("detections", "events")
    pair = [
        Entry(n, content, "a", "m5", n, f"d{n}", b"{}", 2) for n, content in enumerate(both * 2)
    ]
    assert groups(Grouping("loop", 1000, 10.0), pair, 0, 0) == ["aa", "aa"]


def test_a_round_does_not_wait_for_ever() -> None:
    grouping = Grouping("loop", 1000, 10.0)
    assert grouping.take(entries(*"ab"), 0, 9.9) == 0
    assert grouping.take(entries(*"ab"), 0, 10.0) == 2
    assert grouping.take(entries(*"a"), 0, 0) == 0
    assert groups(Grouping("loop", 2, 10.0), entries(*"abcd"), 0, 0) == ["ab", "cd"]


def test_those_of_some_seconds() -> None:
    grouping = Grouping("interval", 1000, 0.3)
    waiting = entries(*"abcdefg")
    assert groups(grouping, waiting, 600_000, 0) == ["abc", "def"]
    assert groups(grouping, waiting, 900_000, 0) == ["abc", "def", "g"]
    assert groups(Grouping("interval", 2, 0.3), waiting, 0, 0) == ["ab", "cd", "ef"]


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    grouping = Grouping("interval", 1000, 10.0)
    early = [Entry(9, "events", "b", "", -1_000_000, "e", b"", 0)]
    assert grouping.take(entries(*"aa"), -(10**15), 9.0) == 0
    assert grouping.take(entries(*"aa"), -(10**15), 10.0) == 2
    assert grouping.take([*entries(*"aa"), *early], 0, 0) == 2


def test_an_interval_of_nothing_is_one_by_one() -> None:
    assert groups(Grouping("interval", 10, 1e-9), entries(*"abc"), 10**9, 0) == ["a", "b", "c"]


@given(
    st.sampled_from(["each", "batch", "loop", "interval"]),
    st.integers(1, 7),
    st.floats(0, 5),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-10, 10_000_000)), max_size=30),
    st.integers(0, 20_000_000),
)
def test_groups_are_never_empty_nor_too_large_and_nobody_waits_for_ever(
    kind: str, size: int, patience_s: float, said: list[tuple[str, int]], now_us: int
) -> None:
    grouping = Grouping(kind, size if kind != "each" else 1, patience_s)  # type: ignore[arg-type] # one of them
    waiting = [
        Entry(n, "detections", camera, "m5", at_us, f"d{n}", b"", 0)
        for n, (camera, at_us) in enumerate(said)
    ]
    left = list(waiting)
    for waited_s in (0.0, LATE):
        while count := grouping.take(left, now_us, waited_s):
            assert 1 <= count <= grouping.size
            del left[:count]
    assert left == []
