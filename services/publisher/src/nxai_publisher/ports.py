"""What the publisher needs of the world outside, besides the bus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nxai_common.bus.ports import Delivery
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import LoggerOptions
from nxai_common.contracts.status import Problem
from nxai_common.errors import TransientError
from nxai_publisher.core.rows import LoggedResult


class StorageUnavailable(TransientError):  # noqa: N818 - named for the state, as its siblings
    """The data logger's database takes nothing for now; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch."""

    stored: int
    duplicates: int
    """Were there before: delivered again after a break."""
    refused: int = 0
    """Rows that the database will never take; each is logged."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one slice of retention did."""

    rows: int
    more: bool
    """Whether there is more to do at once."""


class ResultStore(Protocol):
    """Keeps results for good. Used by one thread.

    Life: `open` (again after each StorageUnavailable), `write` and `prune` any number of times,
    `close`.
    """

    def open(self) -> None:
        """Connect, and bring the tables up to date.

        Raises:
            StorageUnavailable: not now.
        """
        ...

    def write(self, results: Sequence[LoggedResult]) -> Written:
        """Store all in one transaction; when it returns they survive a crash of this process.

        A result that is stored already is left alone and not counted twice in the roll-ups.

        Raises:
            StorageUnavailable: nothing, or everything, was stored. Writing the same again is
                harmless.
        """
        ...

    def prune(self, options: LoggerOptions, now_us: int) -> Pruned:
        """Delete one slice of what is too old or too much, oldest first.

        Takes tens of milliseconds, so that live results never wait long.

        Raises:
            StorageUnavailable: not now.
        """
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """Ever-growing counts of the data logger."""

    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    """Never stored: the database will not take them."""
    left_out: int = 0
    """Not taken because too many were held; the broker delivers them again after a reconnect."""
    pruned: int = 0
    failures: int = 0


class ResultLog(Protocol):
    """Stores results in the background and acknowledges them when they are safe."""

    def offer(self, result: LoggedResult, delivery: Delivery[Message]) -> bool:
        """Take a result; it is acknowledged once it is stored. False when too many are held."""
        ...

    def configure(self, options: LoggerOptions, *, prune: bool = True) -> None:
        """Change retention, start or stop storing.

        Args:
            options: What is wanted.
            prune: False: delete nothing, for nobody has said yet how long results are kept.
        """
        ...

    @property
    def problem(self) -> Problem | None:
        """Why nothing is stored now, if so."""
        ...

    @property
    def held(self) -> int:
        """Results that wait to be stored."""
        ...

    @property
    def statistics(self) -> LogStatistics:
        """Counts since the start."""
        ...
