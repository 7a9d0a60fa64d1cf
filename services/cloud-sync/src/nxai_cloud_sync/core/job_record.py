"""What people are told of a job: while it goes on, and long after it ended."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nxai_common.contracts.progress import JobState

Details = Mapping[str, str | int | float | bool | None]

BROKEN_OFF: Final = "the service ended in the middle of it"
"""Why a job failed that was under way when the process was killed or the box switched off."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands at a moment. Times are Unix microseconds."""

    job: str
    command: str
    started_at_us: int
    """When it was asked for; it may have waited behind another one."""
    at_us: int
    """When it said the last."""
    what: str = ""
    """What it was about, for a person; empty: the command says all."""
    state: JobState = JobState.WAITING
    text: str = ""
    done: int = 0
    total: int = 0
    """0: not known."""
    ended_at_us: int | None = None
    """None: not yet, or nobody knows when."""
    details: Details = field(default_factory=dict)


def newest(
    under_way: Sequence[JobRecord], ended: Iterable[JobRecord], command: str, limit: int
) -> tuple[JobRecord, ...]:
    """Return the jobs of a command (empty: of all), each once, newest first.

    Args:
        under_way: Those that wait or run, in the order in which they were asked for.
        ended: The others, newest first; what is in `under_way`, too, is left out.
        command: Their command.
        limit: So many at most.
    """
    by_name: dict[str, JobRecord] = {}
    for record in (*reversed(under_way), *ended):
        if command in ("", record.command):
            by_name.setdefault(record.job, record)
    return tuple(by_name.values())[:limit]


def told(record: JobRecord) -> dict[str, Any]:
    """Return a job as JSON has it; times as ISO 8601 in UTC, or null."""
    return {
        "job": record.job,
        "command": record.command,
        "what": record.what,
        "state": record.state.value,
        "text": record.text,
        "done": record.done,
        "total": record.total,
        "started_at": _time(record.started_at_us),
        "at": _time(record.at_us),
        "ended_at": None if record.ended_at_us is None else _time(record.ended_at_us),
        "details": dict(record.details),
    }


def _time(us: int) -> str:
    return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="milliseconds")
