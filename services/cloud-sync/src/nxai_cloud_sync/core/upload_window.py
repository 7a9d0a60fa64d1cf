"""Whether pictures may go up by themselves now, and how many bytes of them.

All is worked out anew from the clock each time, so that a clock that is set, a change to summer
time or a restart need no thought: nothing is remembered but the bytes that were sent.
"""

from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from typing import Final

from nxai_common.contracts.collecting import UploadOptions

BYTES_PER_MB: Final = 1_000_000
_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may go up by itself."""

    bytes: int | None
    """So many; None: any number."""
    reason: str = ""
    """Why nothing may, in plain words; empty: something may."""


def allowance(
    options: UploadOptions, now_us: int, zone: tzinfo | None, sent_today: int
) -> Allowance:
    """Return what may go up by itself.

    Args:
        options: As configured.
        now_us: Unix microseconds.
        zone: Of the window and of the day; None: this machine's.
        sent_today: Bytes sent since `day_start_us`.
    """
    reason = ""
    if options.mode == "manual":
        reason = "pictures go up when a person says so (upload mode manual)"
    elif options.metered:
        reason = "the link is metered: nothing goes up by itself"
    elif not in_window(options.window, now_us, zone):
        reason = f"outside of the upload window {options.window}"
    if reason:
        return Allowance(0, reason)
    if not options.mb_per_day:
        return Allowance(None)
    left = options.mb_per_day * BYTES_PER_MB - sent_today
    if left <= 0:
        return Allowance(0, f"the {options.mb_per_day} MB of today are used up")
    return Allowance(left)


def in_window(window: str, now_us: int, zone: tzinfo | None) -> bool:
    """Return whether local time is within "22:00-06:00"; the end is outside, empty is always.

    When clocks are put back, an hour of the window comes twice; when they are put forward, it may
    be missing.
    """
    first, _, last = window.partition("-")
    if first == last:  # a whole day, or no window
        return True
    now = datetime.fromtimestamp(now_us / _US, zone).time()
    start, end = time.fromisoformat(first), time.fromisoformat(last)
    if start < end:
        return start <= now < end
    return now >= start or now < end


def day_start_us(now_us: int, zone: tzinfo | None) -> int:
    """Return when the local day began, in Unix microseconds."""
    today = datetime.fromtimestamp(now_us / _US, zone).date()
    return int(datetime.combine(today, time(), zone).timestamp() * _US)
