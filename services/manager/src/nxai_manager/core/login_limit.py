"""How often a password may be guessed.

Whoever guesses must wait, and nobody else: the wait belongs to a place and begins with the last
attempt from that very place. A place is an address, or the mark of a browser in which the user was
logged in before (`sessions.mark_of`): behind a proxy that nobody told of, all have one address,
and whoever hammers from there must not keep the others out.

A name that is being guessed from many places at once loses its free attempts: then every place
has one attempt, and each further one only after a wait. The right password is taken at the first.

Clock: monotonic seconds, passed in.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FREE_ATTEMPTS: Final = 5
"""A person who mistypes needs a few."""
FREE_OF_A_NAME: Final = 20
"""From all places together: a family that mistypes needs fewer."""
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
"""1,440 guesses a day from an address: the ten thousand commonest passwords, of which the worst
are refused, take a week. Longer would rather punish whoever shares the address."""
FORGOTTEN_AFTER_S: Final = 15 * 60.0
"""Without an attempt: longer than the longest wait, so that waiting pays no better than guessing
on (5 attempts in 15 minutes, instead of 15)."""
MOST_PLACES: Final = 2000
MOST_NAMES: Final = 500
"""Together some hundred kilobytes. The one that was quiet longest is forgotten first."""
MOST_NEIGHBOURS: Final = 16
"""Addresses of one IPv6 network that are told apart. All of a house are in one network, so that it
must not be counted as one place; and whoever has one of its addresses can have 2**64, so that not
each may be a place either. More than these share one."""
_V6_NETWORK: Final = 64


@dataclass(slots=True)
class _Count:
    attempts: int = 0
    last: float = float("-inf")
    network: str = ""
    """Of an IPv6 address."""


class LoginLimit:
    """Counts attempts that were wrong, or whose end is not known yet."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, _Count] = OrderedDict()
        self._names: OrderedDict[str, _Count] = OrderedDict()

    def admit(self, place: str, name: str, now: float) -> float:
        """Count an attempt.

        It counts as wrong until `succeeded` says otherwise, so that a hundred at once are no more
        than a hundred one after the other.

        Args:
            place: Address, or mark of a browser.
            name: Of the user, known or not: that must make no difference.
            now: Of the clock.

        Returns:
            0: go on. Else seconds until the next attempt from this place; this one did not
            count, and must not be looked at.
        """
        place, of_network = self._own(place, now)
        here = _recall(self._places, place, now, of_network)
        of_name = _recall(self._names, name, now)
        wait = max(
            wait_after(here.attempts - FREE_ATTEMPTS),
            wait_after(of_name.attempts - FREE_OF_A_NAME),
        )
        left = here.last + wait - now  # of a new place, the last was endlessly long ago
        if left > 0:
            return left
        _note(self._places, place, here, now, MOST_PLACES)
        _note(self._names, name, of_name, now, MOST_NAMES)
        return 0.0

    def succeeded(self, place: str, name: str) -> None:
        """Take the last attempt back: it was right.

        Only that one. Somebody with a password of his own must not win free attempts at those of
        others with it.
        """
        address, of_network = place_of(place)
        own = address if address in self._places else of_network
        for counts, key in ((self._places, own), (self._names, name)):
            count = counts.get(key)
            if count is not None:
                count.attempts = max(0, count.attempts - 1)

    def _own(self, place: str, now: float) -> tuple[str, str]:
        """Return as what a place is counted, and its IPv6 network."""
        address, of_network = place_of(place)
        if not of_network or _is_known(self._places.get(address), now):
            return address, of_network
        neighbours = sum(
            count.network == of_network and _is_known(count, now) for count in self._places.values()
        )
        return (address if neighbours < MOST_NEIGHBOURS else of_network), of_network


def wait_after(wrong: int) -> float:
    """Return the wait after so many attempts beyond the free ones, in seconds."""
    if wrong < 0:
        return 0.0
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(wrong, 16))


def place_of(place: str) -> tuple[str, str]:
    """Return a place in its one spelling, and the network of an IPv6 address ('': of others)."""
    try:
        parsed = ipaddress.ip_address(place.partition("%")[0])
    except ValueError:  # the mark of a browser
        return place, ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed), ""
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped), ""
    return str(parsed), str(ipaddress.ip_network((parsed, _V6_NETWORK), strict=False))


def _is_known(count: _Count | None, now: float) -> bool:
    return count is not None and now - count.last < FORGOTTEN_AFTER_S


def _recall(counts: OrderedDict[str, _Count], key: str, now: float, of_network: str = "") -> _Count:
    count = counts.get(key)
    if count is None or not _is_known(count, now):
        return _Count(network=of_network)
    return count


def _note(counts: OrderedDict[str, _Count], key: str, count: _Count, now: float, most: int) -> None:
    count.attempts += 1
    count.last = now
    counts[key] = count
    counts.move_to_end(key)
    if len(counts) > most:
        counts.popitem(last=False)
