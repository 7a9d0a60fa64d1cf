"""What the publisher needs of the world outside, besides the bus."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from nxai_common.bus.ports import Delivery
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import LoggerOptions
from nxai_common.contracts.status import Problem
from nxai_common.errors import RejectedError, TransientError
from nxai_publisher.core.charts import Span
from nxai_publisher.core.drafts import Posted
from nxai_publisher.core.entries import Entry, Keeping, Refused, Wanted
from nxai_publisher.core.groups import Grouping
from nxai_publisher.core.questions import ResultQuery, Step
from nxai_publisher.core.queues import Tally
from nxai_publisher.core.rows import LoggedResult, Row


class StorageUnavailable(TransientError):  # noqa: N818 - named for the state, as its siblings
    """A database of ours takes nothing for now; the message says why and what to do."""


class DestinationUnavailable(TransientError):  # noqa: N818 - named for the state, as its siblings
    """A destination takes nothing for now; the message says why and what to do."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        """Say why.

        Args:
            reason: For a person.
            retry_after_s: Set when it said how long to wait.
        """
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class EntriesRefused(RejectedError):  # noqa: N818 - named for the thing refused
    """A destination will never take what it was given together."""


class SecretUnavailable(DestinationUnavailable):
    """A secret cannot be read, or is not for this destination."""


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
    """How much the data logger holds, or the outbox."""

    rows: int
    """Results (of the data logger at most a minute's of each camera too many)."""
    size_mb: float
    """Room that it takes on the disk, in millions of bytes."""


class Keyed(Protocol):
    """What is stored together, once."""

    @property
    def key(self) -> tuple[object, ...]:
        """Identity; what is delivered again has the same."""
        ...


class Switch(Protocol):
    """Options of a store."""

    @property
    def enabled(self) -> bool:
        """Whether anything is to be stored."""
        ...


Item_contra = TypeVar("Item_contra", bound=Keyed, contravariant=True)
Options_contra = TypeVar("Options_contra", bound=Switch, contravariant=True)


class Store(Protocol[Item_contra, Options_contra]):
    """Keeps things for good. Written to by one thread.

    Life: `open` (again after each StorageUnavailable), `write`, `prune` and `measure` any number
    of times, `close`.
    """

    def open(self) -> None:
        """Connect, and bring the tables up to date.

        Raises:
            StorageUnavailable: not now.
        """
        ...

    def write(self, items: Sequence[Item_contra], /) -> Written:
        """Store all in one transaction; when it returns they survive a crash of this process.

        What is stored already is left alone (a result is not counted twice in the roll-ups).

        Raises:
            StorageUnavailable: nothing, or everything, was stored. Writing the same again is
                harmless.
        """
        ...

    def prune(self, options: Options_contra, now_us: int) -> Pruned:
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


ResultStore: TypeAlias = Store[LoggedResult, LoggerOptions]


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """Ever-growing counts of the data logger, or of the outbox."""

    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    """Never stored: the database will not take them."""
    left_out: int = 0
    """Not taken because too many were held; the broker delivers them again after a reconnect."""
    pruned: int = 0
    failures: int = 0


class Log(Protocol[Item_contra, Options_contra]):
    """Stores things in the background and acknowledges them when they are safe."""

    def offer(self, item: Item_contra, delivery: Delivery[Message], /) -> bool:
        """Take an item; it is acknowledged once it is stored. False when too many are held."""
        ...

    def configure(self, options: Options_contra, *, prune: bool = True) -> None:
        """Change retention, start or stop storing.

        Args:
            options: What is wanted.
            prune: False: delete nothing, for nobody has said yet how long to keep it.
        """
        ...

    @property
    def problem(self) -> Problem | None:
        """Why nothing is stored now, if so."""
        ...

    @property
    def held(self) -> int:
        """Items that wait to be stored."""
        ...

    @property
    def statistics(self) -> LogStatistics:
        """Counts since the start."""
        ...

    @property
    def enabled(self) -> bool:
        """Whether anything is to be stored."""
        ...

    @property
    def holding(self) -> Holding | None:
        """How much is stored, as it was after the last round of retention; None: not known yet."""
        ...


ResultLog: TypeAlias = Log[LoggedResult, LoggerOptions]
OutboxLog: TypeAlias = Log[Posted, Keeping]


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


class Besides(Protocol):
    """What works beside the loop, from a thread of its own."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What a person should know."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """Ever-growing counts."""
        ...


class Outbox(Protocol):
    """What waits for destinations. Used by several threads."""

    @property
    def exists(self) -> bool:
        """Whether there is anything of it, also of an earlier run."""
        ...

    def choose(self, wanted: Sequence[Wanted]) -> None:
        """Say who wants what from now on.

        Who is new begins with what comes next; of who is left out nothing is known any more.
        """
        ...

    def fetch(self, destination: str, limit: int, *, holding: bool) -> list[Entry]:
        """Return the next entries for a destination, oldest first.

        Only a part of the outbox is looked through; where it has none, and there is more, `wait`
        returns at once.

        Args:
            destination: For whom.
            limit: So many at most.
            holding: Whether its sender has any in hand.

        Raises:
            StorageUnavailable: not now.
        """
        ...

    def done(
        self,
        destination: str,
        entries: Sequence[Entry],
        refused: Sequence[Refused] = (),
        *,
        holding: bool,
        now_us: int = 0,
    ) -> None:
        """Say that entries were sent, but for those refused.

        Args:
            destination: Of whom.
            entries: In order, from the first that was fetched.
            refused: Those of them that it will never take.
            holding: Whether its sender has more of what it fetched.
            now_us: Unix microseconds.
        """
        ...

    def put_back(self, destination: str, entries: Sequence[Entry]) -> None:
        """Say that entries, all that were fetched and are not done, could not be sent."""
        ...

    def wait(self, destination: str, timeout: float, unless: Callable[[], bool]) -> None:
        """Return when there may be something to fetch, or after `timeout` seconds.

        Args:
            destination: For whom.
            timeout: Seconds.
            unless: Asked before the wait; what becomes true later must be followed by `rouse`.
        """
        ...

    def rouse(self) -> None:
        """Let whoever waits look again."""
        ...

    def tally(self, destination: str) -> Tally:
        """Return the counts of a destination."""
        ...


class Outlet(Protocol):
    """The way to one destination. Used by one thread, but for `interrupt`."""

    @property
    def grouping(self) -> Grouping:
        """What leaves together."""
        ...

    def send(self, entries: Sequence[Entry], /) -> Sequence[Refused]:
        """Hand over; return those that will never be taken.

        Raises:
            DestinationUnavailable: nobody knows what arrived; the same is to be sent again.
            EntriesRefused: none was taken, and all together never will be.
        """
        ...

    def interrupt(self) -> None:
        """Let a `send` that is under way end soon, from another thread."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...
