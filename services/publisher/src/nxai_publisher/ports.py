"""What the publisher needs of the world outside, besides the bus."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from nxai_common.bus.ports import Delivery
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import LoggerOptions
from nxai_common.contracts.status import Problem
from nxai_common.errors import RejectedError, TransientError
from nxai_publisher.core.charts import Span
from nxai_publisher.core.questions import ResultQuery, Step
from nxai_publisher.core.rows import LoggedResult, Row


class StorageUnavailable(TransientError):  # noqa: N818 - named for the state, as its siblings
    """The data logger's database takes nothing for now; the message says why and what to do."""


class QuestionTooLarge(RejectedError):  # noqa: N818 - named for the thing refused
    """A question took too long and was stopped; the message says what to ask instead."""


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


@dataclass(frozen=True, slots=True)
class Holding:
    """How much the data logger holds."""

    rows: int
    """Results; at most a minute's of each camera too many."""
    size_mb: float
    """Room that it takes on the disk, in millions of bytes."""


class ResultStore(Protocol):
    """Keeps results for good. Used by one thread.

    Life: `open` (again after each StorageUnavailable), `write`, `prune` and `measure` any number
    of times, `close`.
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

    def measure(self) -> Holding:
        """Return how much is stored; a few milliseconds.

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

    @property
    def enabled(self) -> bool:
        """Whether results are to be stored."""
        ...

    @property
    def holding(self) -> Holding | None:
        """How much is stored, as it was a minute ago; None: not known yet."""
        ...


@dataclass(frozen=True, slots=True)
class Overview:
    """What the data logger holds."""

    database: str
    """``sqlite`` or ``postgresql``."""
    rows: int
    """Results; at most a minute's of each camera too many."""
    oldest_us: int | None
    newest_us: int | None
    """Captured, in Unix microseconds; None: there is no result."""
    size_mb: float
    cameras: tuple[str, ...]
    """Of which results are stored."""
    versions: tuple[tuple[str, str], ...]
    """Model and version, in order."""
    labels: tuple[str, ...]


class Archive(Protocol):
    """Reads what is stored, from several threads at once.

    Every method raises StorageUnavailable when the database cannot be read now, and
    QuestionTooLarge when it took too long. What yields does so while one takes from it.
    """

    def walk(self, query: ResultQuery) -> Generator[Step]:
        """Yield results in the order asked for, and places up to which all was looked at.

        Close it: it holds a connection.
        """
        ...

    def counts(
        self,
        since_us: int,
        until_us: int,
        camera: str | None = None,
        label: str | None = None,
        model: str | None = None,
    ) -> Generator[Row]:
        """Yield sums per minute, camera, model and label in the order of time. Close it, too."""
        ...

    def result_sums(
        self, span: Span, by: Sequence[str], camera: str | None = None, model: str | None = None
    ) -> list[Row]:
        """Return sums of results per step (`at_s`) and the columns in `by`.

        Several may be of the same step and columns: they are to be added up.
        """
        ...

    def label_sums(
        self,
        span: Span,
        camera: str | None = None,
        model: str | None = None,
        label: str | None = None,
    ) -> list[Row]:
        """Return sums of objects per step (`at_s`), camera, model and label."""
        ...

    def confidence_sums(
        self,
        span: Span,
        camera: str | None = None,
        model: str | None = None,
        label: str | None = None,
    ) -> list[Row]:
        """Return sums and histogram of confidence per label, over a whole span."""
        ...

    def overview(self) -> Overview:
        """Return what is stored."""
        ...


class Desk(Protocol):
    """Answers questions to the data logger in the background."""

    def ask(self, delivery: Delivery[Message]) -> None:
        """Take a question; it is answered soon, if only with "busy"."""
        ...

    @property
    def waiting(self) -> int:
        """Questions that wait for their turn, or are looked into."""
        ...

    @property
    def answered(self) -> int:
        """Questions looked into since the start."""
        ...

    @property
    def refused(self) -> int:
        """Questions not looked into, because too many waited."""
        ...
