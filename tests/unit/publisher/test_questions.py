from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from nxai_publisher.core.places import Place
from nxai_publisher.core.questions import (
    Minutes,
    ResultQuery,
    Step,
    fill,
    fill_minutes,
    in_microseconds,
    together,
)


def row(number: int) -> dict[str, Any]:
    return {
        "captured_at_us": number,
        "camera": "a",
        "model": "m",
        "stream": "s",
        "sequence": number,
    }


def text(row: dict[str, Any]) -> bytes:
    return b"%d" % row["sequence"]


def never() -> bool:
    return False


@pytest.mark.parametrize(
    ("moment", "us"),
    [
        (datetime(2026, 11, 22, 10, tzinfo=UTC), 1_795_341_600_000_000),
        (datetime(2026, 11, 22, 10), 1_795_341_600_000_000),  # noqa: DTZ001 - the case
        (datetime(2026, 11, 22, 11, tzinfo=timezone(timedelta(hours=1))), 1_795_341_600_000_000),
        (datetime(2100, 1, 1, microsecond=123_457, tzinfo=UTC), 4_102_444_800_123_457),
        (datetime(1969, 1, 1, tzinfo=UTC), 0),
    ],
)
def test_moments_are_exact_and_utc(moment: datetime, us: int) -> None:
    assert in_microseconds(moment) == us


@pytest.mark.parametrize(
    ("only", "selective"),
    [
        ({}, False),
        ({"camera": "a"}, False),
        ({"model": "m"}, True),
        ({"label": "nut"}, True),
        ({"uncertain": False}, True),
        ({"with_objects": False}, True),
    ],
)
def test_a_query_that_leaves_out_most_is_selective(only: dict[str, Any], selective: bool) -> None:
    assert ResultQuery(0, 1, **only).selective == selective


def test_minutes_that_follow_on_one_another_come_together() -> None:
    minutes = [(0, "b", 3), (0, "a", 3), (60, "a", 3), (180, "a", 3)]
    assert list(together(minutes, 100, newest_first=False)) == [
        Minutes(0, 120, ("a", "b")),
        Minutes(180, 240, ("a",)),
    ]
    minutes.reverse()
    assert list(together(minutes, 100, newest_first=True)) == [
        Minutes(180, 240, ("a",)),
        Minutes(0, 120, ("a", "b")),
    ]
    assert list(together([], 100, newest_first=True)) == []


def test_no_more_minutes_come_together_than_have_so_many_results() -> None:
    minutes = [(60 * n, "a", 5) for n in range(5)]
    found = list(together(minutes, 10, newest_first=False))
    assert [(m.start_s, m.end_s) for m in found] == [(0, 120), (120, 240), (240, 300)]
    found = list(together(reversed(minutes), 10, newest_first=True))
    assert [(m.start_s, m.end_s) for m in found] == [(180, 300), (60, 180), (0, 60)]


def test_a_page_ends_when_it_is_full_and_says_where_to_go_on() -> None:
    page = fill(map(row, range(5)), text, limit=2, room=100, late=never)
    assert (page.pieces, page.next) == ([b"0", b"1"], Place(1, "a", "m", "s", 1))
    assert page.searched_to_us is None


def test_a_page_with_all_there_is_leads_nowhere() -> None:
    page = fill(map(row, range(2)), text, limit=2, room=100, late=never)
    assert (page.pieces, page.next) == ([b"0", b"1"], None)


def test_a_page_has_no_more_bytes_than_there_is_room() -> None:
    page = fill(map(row, range(5)), lambda _: b"xxxx", limit=5, room=10, late=never)
    assert (page.size, page.next) == (8, Place(1, "a", "m", "s", 1))
    page = fill(map(row, range(5)), lambda _: b"x" * 20, limit=5, room=10, late=never)
    assert (page.size, page.next) == (20, Place(0, "a", "m", "s", 0))


def test_what_is_not_wanted_after_all_does_not_count() -> None:
    page = fill(
        map(row, range(6)),
        lambda one: b"" if one["sequence"] % 2 else text(one),
        limit=2,
        room=9,
        late=never,
    )
    assert (page.pieces, page.next) == ([b"0", b"2"], Place(3, "a", "m", "s", 3))


def test_a_page_that_is_late_leads_on_from_what_was_looked_at() -> None:
    steps: list[Step] = [row(0), Place(50), Place(60), row(70)]
    looks = iter([False, True])
    page = fill(steps, text, limit=9, room=99, late=lambda: next(looks))
    assert (page.pieces, page.next, page.searched_to_us) == ([b"0"], Place(60), 60)
    page = fill(steps, text, limit=9, room=99, late=lambda: True)
    assert (page.pieces, page.next, page.searched_to_us) == ([b"0"], Place(50), 50)


def test_a_page_that_is_late_has_some_results_all_the_same() -> None:
    page = fill(map(row, range(500)), text, limit=300, room=10**6, late=lambda: True)
    assert len(page.pieces) == 100
    assert (page.next, page.searched_to_us) == (Place(99, "a", "m", "s", 99), 99)
    page = fill(map(row, range(500)), text, limit=300, room=10**6, late=never)
    assert len(page.pieces) == 300


def test_places_in_time_are_passed_by() -> None:
    page = fill([Place(5), row(6), Place(9)], text, limit=1, room=99, late=never)
    assert (page.pieces, page.next) == ([b"6"], None)


def sums(*minutes: int) -> list[dict[str, Any]]:
    return [{"minute_s": minute, "text": f"{minute};"} for minute in minutes]


@pytest.mark.parametrize(
    ("limit", "room", "expected", "leads_to"),
    [
        (10, 99, "0;0;60;60;60;120;", None),
        (5, 99, "0;0;60;60;60;", 120),
        (4, 99, "0;0;", 60),
        (1, 99, "0;0;", 60),
        (10, 12, "0;0;", 60),
        (10, 1, "0;0;", 60),
    ],
)
def test_a_part_of_counts_has_whole_minutes(
    limit: int, room: int, expected: str, leads_to: int | None
) -> None:
    render: Callable[[dict[str, Any]], bytes] = lambda one: one["text"].encode()  # noqa: E731 - typed
    page = fill_minutes(sums(0, 0, 60, 60, 60, 120), render, limit=limit, room=room)
    assert b"".join(page.pieces).decode() == expected
    assert page.next == (None if leads_to is None else Place(leads_to * 1_000_000))
