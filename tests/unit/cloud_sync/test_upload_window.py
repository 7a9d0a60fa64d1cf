"""When pictures may go up by themselves: windows, days, summer time, clocks that are set."""

from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_cloud_sync.core.upload_window import allowance, day_start_us, in_window
from nxai_common.contracts.collecting import UploadOptions

BERLIN = ZoneInfo("Europe/Berlin")
UTC = ZoneInfo("UTC")
US = 1_000_000
HOUR_US = 3600 * US
MB = 1_000_000


def us(text: str, zone: tzinfo = BERLIN, fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    return int(moment.timestamp() * US)


@pytest.mark.parametrize(
    ("window", "time", "inside"),
    [
        ("", "03:00", True),
        ("22:00-06:00", "21:59:59", False),
        ("22:00-06:00", "22:00", True),
        ("22:00-06:00", "00:00", True),
        ("22:00-06:00", "05:59:59", True),
        ("22:00-06:00", "06:00", False),
        ("22:00-06:00", "12:00", False),
        ("08:30-17:00", "08:29", False),
        ("08:30-17:00", "08:30", True),
        ("08:30-17:00", "16:59", True),
        ("08:30-17:00", "17:00", False),
        ("22:00-00:00", "23:59", True),
        ("22:00-00:00", "00:00", False),
        ("00:00-06:00", "00:00", True),
        ("07:00-07:00", "12:00", True),
    ],
)
def test_windows(window: str, time: str, *, inside: bool) -> None:
    assert in_window(window, us(f"2026-11-28T{time}"), BERLIN) is inside


def test_a_window_is_in_local_time() -> None:
    noon_utc = us("2026-07-01T12:00", UTC)
    assert in_window("13:30-14:30", noon_utc, BERLIN)
    assert not in_window("13:30-14:30", noon_utc, UTC)


def test_without_a_zone_it_is_that_of_the_machine() -> None:
    now_us = us("2026-07-01T12:00", UTC)
    local = datetime.fromtimestamp(now_us / US)  # noqa: DTZ006 - the machine's own time is the point
    window = f"{local:%H:%M}-{local + timedelta(minutes=1):%H:%M}"
    assert in_window(window, now_us, None)
    assert not in_window(window, now_us + 2 * 60 * US, None)


def test_the_hour_that_comes_twice_is_open_twice() -> None:
    # On 2026-10-25 Berlin's clocks go from 03:00 back to 02:00.
    first, second = us("2026-10-25T02:30"), us("2026-10-25T02:30", fold=1)
    assert second - first == HOUR_US
    assert in_window("02:15-02:45", first, BERLIN)
    assert in_window("02:15-02:45", second, BERLIN)
    assert not in_window("02:15-02:45", first + HOUR_US // 2, BERLIN)


def test_the_hour_that_is_missing_is_not_open() -> None:
    # On 2026-03-29 they go from 02:00 to 03:00.
    before = us("2026-03-29T01:59")
    minutes = [before + minute * 60 * US for minute in range(120)]
    assert not any(in_window("02:00-03:00", minute, BERLIN) for minute in minutes)
    assert sum(in_window("01:30-03:30", minute, BERLIN) for minute in minutes) == 31


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-28", 24)]
)
def test_days_begin_at_midnight_and_have_their_own_length(day: str, hours: int) -> None:
    start = us(f"{day}T00:00")
    for hour in range(hours):
        assert day_start_us(start + hour * HOUR_US, BERLIN) == start
    assert day_start_us(start - 1, BERLIN) < start
    assert day_start_us(start + hours * HOUR_US, BERLIN) == start + hours * HOUR_US


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.sampled_from([BERLIN, UTC]))  # noqa: DTZ001 - hypothesis adds none
def test_the_day_of_any_moment_began_before_it(moment: datetime, zone: ZoneInfo) -> None:
    now_us = int(moment.replace(tzinfo=zone).timestamp() * US)
    start = day_start_us(now_us, zone)
    assert 0 <= now_us - start < 25 * HOUR_US
    assert datetime.fromtimestamp(start / US, zone).time().isoformat() == "00:00:00"


# -- all rules together ---------------------------------------------------------------------------

NOON = us("2026-11-28T12:00")


def options(**changes: object) -> UploadOptions:
    return UploadOptions.model_validate({"mode": "approved", "mb_per_day": 5, **changes})


@pytest.mark.parametrize(
    ("changes", "sent", "left"),
    [
        ({}, 0, 5 * MB),
        ({}, 4 * MB, MB),
        ({}, 5 * MB - 1, 1),
        ({"mode": "automatic"}, MB, 4 * MB),
        ({"mb_per_day": 0}, 10**15, None),
        ({"window": "11:00-13:00"}, 0, 5 * MB),
    ],
)
def test_what_may_go(changes: dict[str, object], sent: int, left: int | None) -> None:
    found = allowance(options(**changes), NOON, BERLIN, sent)
    assert (found.bytes, found.reason) == (left, "")


@pytest.mark.parametrize(
    ("changes", "sent", "says"),
    [
        ({"mode": "manual"}, 0, "a person says so"),
        ({"metered": True}, 0, "metered"),
        ({"metered": True, "mb_per_day": 0}, 0, "metered"),
        ({"window": "13:00-14:00"}, 0, "13:00-14:00"),
        ({}, 5 * MB, "the 5 MB of today are used up"),
        ({}, 50 * MB, "used up"),
    ],
)
def test_why_nothing_may_go(changes: dict[str, object], sent: int, says: str) -> None:
    found = allowance(options(**changes), NOON, BERLIN, sent)
    assert found.bytes == 0
    assert says in found.reason


def test_a_clock_that_is_not_set_yet_is_no_error() -> None:
    assert allowance(options(window="22:00-06:00"), 0, UTC, 0).bytes == 5 * MB
    assert day_start_us(0, UTC) == 0
