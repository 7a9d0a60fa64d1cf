"""Who is logged in: sessions that end when they are not used, and at last.

Times are seconds since 1970. The box may have no battery clock: when it hears the time at last,
sessions from before are ended by it, and none that has ended comes back.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from nxai_manager.core.accounts import encoded

IDLE_S: Final = 12 * 3600.0
"""A session that nobody used for so long has ended."""
LONGEST_S: Final = 30 * 24 * 3600.0
"""However much it is used."""
MOST_SESSIONS: Final = 200
MOST_OF_A_USER: Final = 25
"""Else somebody who may only look could end the session of an admin by logging in 200 times."""
KEEP_EVERY_S: Final = 1800.0
"""How exact the last use is on the disk: after a power cut a session ends this much early."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser in which somebody is logged in."""

    digest: str
    """SHA-256 of its secret, which the browser alone has."""
    user: str
    generation: str
    """Of the user's password. With another one, the session has ended."""
    created_at: float
    seen_at: float

    def has_ended(self, now: float) -> bool:
        """Return whether it is over."""
        return now - self.seen_at >= IDLE_S or now - self.created_at >= LONGEST_S


@dataclass(frozen=True, slots=True)
class Kept:
    """What goes on after a restart."""

    key: bytes
    """Random, of this box: for the marks of browsers."""
    sessions: tuple[Session, ...] = ()


def csrf_of(secret: str) -> str:
    """Return what state changes of a session must carry.

    Made of the session's secret, so that it needs no keeping; and the secret cannot be had of it.
    """
    return hashlib.sha256(b"csrf:" + encoded(secret)).hexdigest()


def mark_of(key: bytes, user: str, generation: str) -> str:
    """Return what a browser keeps after the session: the user was logged in here.

    It opens nothing. It only tells this browser from somebody who guesses at the same address.

    Args:
        key: Random, of this box.
        user: Name.
        generation: Of the user's password.
    """
    return hmac.new(key, f"{user} {generation}".encode(), hashlib.sha256).hexdigest()


class Sessions:
    """The sessions of a box, at most `MOST_SESSIONS`: the one that was not used longest goes."""

    def __init__(self, sessions: Iterable[Session] = ()) -> None:
        self._all = {session.digest: session for session in sessions}
        self._kept = dict(self._all)
        """As they are on the disk."""

    def __len__(self) -> int:
        return len(self._all)

    def open(self, digest: str, user: str, generation: str, now: float) -> Session:
        """Begin one."""
        session = Session(digest, user, generation, created_at=now, seen_at=now)
        self._all[digest] = session
        self._limit([s for s in self._all.values() if s.user == user], MOST_OF_A_USER)
        self._limit(list(self._all.values()), MOST_SESSIONS)
        return session

    def see(self, digest: str, now: float) -> Session | None:
        """Return the session and count it as used now; None: there is none, or it has ended."""
        session = self._all.get(digest)
        if session is None:
            return None
        if session.has_ended(now):
            del self._all[digest]
            return None
        # Never back: the clock of a box may be put right in either direction.
        seen = replace(session, seen_at=max(session.seen_at, now))
        self._all[digest] = seen
        return seen

    def end(self, digest: str) -> None:
        """End one; one that is not there has ended."""
        self._all.pop(digest, None)

    def keep_only(self, wanted: Callable[[Session], bool]) -> None:
        """End all others."""
        self._all = {digest: s for digest, s in self._all.items() if wanted(s)}

    def to_keep(self, now: float, every_s: float = KEEP_EVERY_S) -> tuple[Session, ...] | None:
        """Return all that go on, when they are to be written down; None: what is kept will do.

        Args:
            now: Of the clock.
            every_s: A last use that is newer by no more than this is not worth it.
        """
        self.keep_only(lambda session: not session.has_ended(now))
        if self._all.keys() == self._kept.keys() and all(
            session.seen_at - self._kept[digest].seen_at <= every_s
            for digest, session in self._all.items()
        ):
            return None
        return tuple(self._all.values())

    def kept(self, sessions: Iterable[Session]) -> None:
        """Take note that these were written down."""
        self._kept = {session.digest: session for session in sessions}

    def _limit(self, some: list[Session], most: int) -> None:
        oldest = sorted(some, key=lambda session: session.seen_at)
        for session in oldest[: max(0, len(some) - most)]:
            del self._all[session.digest]
