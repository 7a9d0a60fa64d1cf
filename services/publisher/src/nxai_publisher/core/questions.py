"""What is asked of the data logger, in its own terms."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from nxai_publisher.core.places import LARGEST, Place
from nxai_publisher.core.rows import MINUTE_S, Row

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

AT_LEAST: Final = 100
"""Pieces between two looks at the clock."""

Step = Row | Place
"""Of a walk over stored results: a result, or a place up to which all were looked at."""


@dataclass(frozen=True, slots=True)
class ResultQuery:
    """Which stored results, and in which order."""

    since_us: int
    until_us: int
    camera: str | None = None
    model: str | None = None
    label: str | None = None
    uncertain: bool | None = None
    with_objects: bool | None = None
    newest_first: bool = False
    after: Place | None = None
    limit: int | None = None
    """No more than so many are wanted; more may come."""
    scores_too: bool = False
    """With a label: also results of a classifier that gives it any probability, and not only
    those that show it."""

    @property
    def selective(self) -> bool:
        """Whether most results may be left out, so that looking at each would take too long."""
        return (self.model, self.label, self.uncertain, self.with_objects) != (None,) * 4


@dataclass(frozen=True, slots=True)
class Minutes:
    """Minutes in a row that may hold what is wanted, and the cameras that have it."""

    start_s: int
    end_s: int
    cameras: tuple[str, ...]


def in_microseconds(moment: datetime) -> int:
    """Return Unix microseconds, exactly; a moment without an offset is UTC; before 1970 is 0."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, (moment - _EPOCH) // _MICROSECOND)


def together(
    minutes: Iterable[tuple[int, str, int]], at_once: int, *, newest_first: bool
) -> Iterator[Minutes]:
    """Yield minutes that follow on one another as one, up to `at_once` results.

    Args:
        minutes: Start, camera, results; in the order of time, newest first if so.
        at_once: A minute that has more comes by itself.
        newest_first: Their order.
    """
    start_s = end_s = results = 0
    cameras: set[str] = set()
    for minute_s, found in groupby(minutes, key=lambda item: item[0]):
        next_to = minute_s + MINUTE_S == start_s if newest_first else minute_s == end_s
        if cameras and (not next_to or results >= at_once):
            yield Minutes(start_s, end_s, tuple(sorted(cameras)))
            cameras, results = set(), 0
        if not cameras:
            start_s, end_s = minute_s, minute_s + MINUTE_S
        start_s, end_s = min(start_s, minute_s), max(end_s, minute_s + MINUTE_S)
        for _, camera, count in found:
            cameras.add(camera)
            results += count
    if cameras:
        yield Minutes(start_s, end_s, tuple(sorted(cameras)))


@dataclass(slots=True)
class Filled:
    """A page, or part of an export."""

    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    """Bytes of all pieces."""
    next: Place | None = None
    """None: there is no more."""
    searched_to_us: int | None = None
    """Time ran out before the page was full; up to this moment all was looked at."""


def fill(
    steps: Iterable[Step],
    render: Callable[[Row], bytes],
    *,
    limit: int,
    room: int,
    late: Callable[[], bool],
) -> Filled:
    """Fill a page from a walk until it is full or time runs out.

    Args:
        steps: Results, and places up to which all was looked at.
        render: Piece of the page for a result; empty: it is not wanted after all.
        limit: Pieces at most.
        room: Bytes at most; a first piece that is larger is taken all the same.
        late: Whether it is time to answer. Asked after something was looked at, so that a
            page always leads on, and not after each piece: on a busy box it would have but one.
    """
    page = Filled()
    behind: Place | None = None
    for step in steps:
        if isinstance(step, Place):
            if late():
                page.next, page.searched_to_us = step, step.at_us
                return page
            continue
        piece = render(step)
        if piece:
            if len(page.pieces) == limit or (page.pieces and page.size + len(piece) > room):
                page.next = behind
                return page
            page.pieces.append(piece)
            page.size += len(piece)
        behind = Place.behind(step)
        if piece and len(page.pieces) % AT_LEAST == 0 and late():
            page.next, page.searched_to_us = behind, behind.at_us
            return page
    return page


def fill_minutes(
    rows: Iterable[Row], render: Callable[[Row], bytes], *, limit: int, room: int
) -> Filled:
    """Fill a part of an export of sums with whole minutes: as many as fit, and one at least.

    Args:
        rows: In order of `minute_s`.
        render: Piece of the part for a row.
        limit: Rows at most, unless one minute has more.
        room: Bytes at most, unless one minute has more.
    """
    page = Filled()
    for minute_s, found in groupby(rows, key=lambda row: int(row["minute_s"])):
        pieces = [render(row) for row in found]
        size = sum(map(len, pieces))
        if page.pieces and (len(page.pieces) + len(pieces) > limit or page.size + size > room):
            page.next = Place(min(minute_s * 1_000_000, LARGEST))
            return page
        page.pieces += pieces
        page.size += size
    return page
