"""What each destination has still to get: places in the outbox, and exact counts.

Every entry that a destination wants is in one of four states, and is counted in one: queued,
sent, refused, dropped. Numbers grow; each destination gets them in order.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nxai_publisher.core.entries import Entry, Wanted


@dataclass(frozen=True, slots=True)
class Tally:
    """Ever-growing counts of one destination, and what waits for it."""

    sent: int = 0
    refused: int = 0
    dropped: int = 0
    """Went because of a limit before they were sent."""
    queued: int = 0
    queued_bytes: int = 0


@dataclass(slots=True)
class Queue:
    """One destination's."""

    wanted: Wanted
    cursor: int
    """Up to here all is sent or refused."""
    fetched: int
    """Up to here its sender has it in hand."""
    entries: int = 0
    """Wanted, and neither sent nor refused nor dropped."""
    size: int = 0
    """Bytes of those."""
    sent: int = 0
    refused: int = 0
    dropped: int = 0

    def stored(self, number: int, size: int) -> None:
        """Take note of a new entry that it wants."""
        if number > self.cursor:
            self.entries += 1
            self.size += size

    def fetch(self, upto: int, *, holding: bool) -> None:
        """Take note that its sender has all that it wants up to a number.

        Args:
            upto: Last number that was looked at.
            holding: Whether anything is in the sender's hands now.
        """
        self.fetched = max(self.fetched, upto)
        if not holding:
            self.cursor = self.fetched

    def done(self, entries: Iterable[Entry], refused: int = 0, *, holding: bool) -> None:
        """Move the place behind entries that were sent, but for a number of refused ones."""
        count = size = last = 0
        for entry in entries:
            count, size, last = count + 1, size + entry.size, entry.number
        self.cursor = max(self.cursor, last if holding else self.fetched)
        self.sent += count - refused
        self.refused += refused
        self._less(count, size)

    def put_back(self, entries: Iterable[Entry], dropped_to: int) -> None:
        """Take back what its sender could not send; what went meanwhile is dropped now."""
        gone = [entry.size for entry in entries if entry.number <= dropped_to]
        self.fetched = self.cursor
        self.drop(len(gone), sum(gone))

    def drop(self, count: int, size: int) -> None:
        """Take note that entries went that it never got."""
        self.dropped += count
        self._less(count, size)

    def recount(self, count: int, size: int) -> None:
        """Take the counts of what waits anew: what it wants has changed, or the outbox."""
        self.entries, self.size = count, size

    @property
    def tally(self) -> Tally:
        """The counts now."""
        return Tally(self.sent, self.refused, self.dropped, self.entries, self.size)

    def _less(self, count: int, size: int) -> None:
        self.entries = max(0, self.entries - count)
        self.size = max(0, self.size - size)


def finished(queues: Iterable[Queue], end: int) -> int:
    """Return the number up to which no destination needs anything any more."""
    return min((queue.cursor for queue in queues), default=end)
