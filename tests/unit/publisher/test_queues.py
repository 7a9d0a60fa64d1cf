"""Every entry that a destination wants is queued, sent, refused or dropped: once, in order."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nxai_publisher.core.entries import Entry, Wanted
from nxai_publisher.core.queues import Queue, Tally, finished

pytestmark = pytest.mark.unit

EVENTS = Wanted("shop", frozenset({"events"}))


def entry(number: int) -> Entry:
    return Entry(number, "events", "front", "m5", number, f"e{number}", b"{}", size_of(number))


def size_of(number: int) -> int:
    return 100 + number


class OneDestination(RuleBasedStateMachine):
    """The queue beside a plain list of what there is; the sender behaves as `sending.Sender`."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(EVENTS, 0, 0)
        self.here: list[tuple[int, bool]] = []
        """Number of each entry, and whether it is wanted."""
        self.end = 0
        self.dropped_to = 0
        self.hand: list[Entry] = []
        self.sent: list[int] = []
        self.refused: list[int] = []
        self.dropped: set[int] = set()
        self.wanted: set[int] = set()

    @rule(wanted=st.lists(st.booleans(), min_size=1, max_size=5))
    def store(self, wanted: list[bool]) -> None:
        for is_wanted in wanted:
            self.end += 1
            self.here.append((self.end, is_wanted))
            if is_wanted:
                self.wanted.add(self.end)
                self.queue.stored(self.end, size_of(self.end))

    @rule(limit=st.integers(1, 4))
    def fetch(self, limit: int) -> None:
        found = [n for n, wanted in self.here if wanted and n > self.queue.fetched][:limit]
        upto = found[-1] if len(found) == limit else self.end
        self.queue.fetch(upto, holding=bool(self.hand or found))
        self.hand += [entry(n) for n in found]

    @precondition(lambda self: self.hand)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.hand)))
        bad = data.draw(st.integers(0, count))
        group, self.hand = self.hand[:count], self.hand[count:]
        self.queue.done(group, bad, holding=bool(self.hand))
        self.refused += [one.number for one in group[:bad]]
        self.sent += [one.number for one in group[bad:]]

    @rule()
    def fail(self) -> None:
        self.queue.put_back(self.hand, self.dropped_to)
        self.dropped |= {one.number for one in self.hand if one.number <= self.dropped_to}
        self.hand.clear()

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def reach_a_limit(self, data: st.DataObject) -> None:
        last = data.draw(st.integers(self.here[0][0], self.end))
        gone = {n for n, wanted in self.here if wanted and self.queue.fetched < n <= last}
        self.queue.drop(len(gone), sum(map(size_of, gone)))
        self.dropped |= gone
        self.dropped_to = last
        self.here = [(n, wanted) for n, wanted in self.here if n > last]

    @precondition(lambda self: self.here)
    @rule()
    def tidy_up(self) -> None:
        floor = finished([self.queue], self.end)
        assert not [n for n, wanted in self.here if wanted and n <= floor and n in self.queued]
        self.here = [(n, wanted) for n, wanted in self.here if n > floor]

    @property
    def queued(self) -> set[int]:
        return self.wanted - set(self.sent) - set(self.refused) - self.dropped

    @invariant()
    def each_is_counted_once(self) -> None:
        assert self.queue.tally == Tally(
            len(self.sent),
            len(self.refused),
            len(self.dropped),
            len(self.queued),
            sum(map(size_of, self.queued)),
        )
        assert len(self.sent) == len(set(self.sent))
        assert self.sent == sorted(self.sent)
        assert not set(self.sent) & self.dropped

    @invariant()
    def nothing_is_passed_over(self) -> None:
        assert all(n > self.queue.cursor for n in self.queued)
        held = {one.number for one in self.hand}
        assert all(n > self.queue.fetched for n in self.queued - held)


TestOneDestination = OneDestination.TestCase


def test_what_was_there_before_is_not_counted() -> None:
    queue = Queue(EVENTS, 5, 5)
    queue.stored(5, 100)
    assert queue.tally == Tally()


def test_counts_are_taken_anew() -> None:
    queue = Queue(EVENTS, 0, 0)
    queue.recount(7, 700)
    assert (queue.tally.queued, queue.tally.queued_bytes) == (7, 700)


def test_the_slowest_decides_what_may_go() -> None:
    queues = [Queue(EVENTS, 5, 9), Queue(EVENTS, 3, 9)]
    assert finished(queues, 20) == 3
    assert finished([], 20) == 20
