"""Gathers the results of a camera, to be sent as one array (`NxOutputOptions.every_s`)."""

from typing import Final

from nxai_common.contracts.outputs import NxOutput

MOST_ENTRIES: Final = 1000
"""A minute of 15 a second. What is longer than one can read is sent in parts."""
MOST_BYTES: Final = 4_000_000
"""Of one array, about: a quarter of what the bus carries."""
_BYTES_OF_FIELDS: Final = 700
_BYTES_OF_A_VALUE: Final = 12
"""Of a float32 as JSON; most are shorter."""


class Gathered:
    """What was gathered of one camera since the last array left. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._entries: list[NxOutput] = []
        self._bytes = 0
        self._since = 0.0

    def fits(self, entry: NxOutput) -> bool:
        """Tell whether an entry may join the others, or they must be sent before."""
        return not self._entries or (
            len(self._entries) < MOST_ENTRIES and self._bytes + _size_of(entry) <= MOST_BYTES
        )

    def add(self, entry: NxOutput, now: float) -> None:
        """Take the next result, in the order in which they shall be sent."""
        if not self._entries:
            self._since = now
        self._entries.append(entry)
        self._bytes += _size_of(entry)

    def due(self, now: float, every_s: float) -> bool:
        """Tell whether the first one was gathered so long ago."""
        return bool(self._entries) and now - self._since >= every_s

    def take(self) -> tuple[NxOutput, ...]:
        """Return what was gathered, and begin anew."""
        entries = tuple(self._entries)
        self._entries.clear()
        self._bytes = 0
        return entries


def _size_of(entry: NxOutput) -> int:
    """Return about how many bytes of JSON an entry becomes."""
    named = entry.output
    values = named.values() if isinstance(named, dict) else named
    names = sum(map(len, named)) if isinstance(named, dict) else 0
    numbers = sum(len(value) for value in values)
    return _BYTES_OF_FIELDS + len(entry.baseRGB) + names + _BYTES_OF_A_VALUE * numbers
