"""What a service says on standard error: one line an event, for people or for machines.

Code says ``log.info("camera runs", extra={"camera": "front"})``; the fields given in `extra`
come out as ``camera=front`` in text and as keys in JSON. No registered secret ever comes out,
wherever it hides: message, arguments, extra fields, exception texts.
"""

import json
import logging
import math
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO
from urllib.parse import quote, quote_plus

MASK: Final = "***"

MOST_LINES: Final = 2000
"""Kept to be read over the bus: hours of a box that is well, minutes of one that is not."""
MOST_CHARACTERS: Final = 2 * 1024 * 1024
"""Of all those lines, as JSON. Stars make a secret of one character three: a message of 16 MiB
takes even that."""
LONGEST_LINE: Final = 32 * 1024
"""Of one of them, as JSON; a longer one is cut."""
LONGEST_TEXT: Final = 4 * 1024

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
}
"""Attributes every record has; all others came from `extra`."""

_PLAIN_BEFORE_A_HOST: Final = "!$&'()*+,;=-._~"
"""What a password in `scheme://user:password@host` need not quote (RFC 3986 section 3.2.1)."""

_PLAIN = re.compile(r"^[^\s\"'=\\]+$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Redactor:
    """Replaces registered secrets by stars, also where they are quoted or percent-encoded."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._forms: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.register(secret)

    def register(self, secret: str) -> None:
        """Star `secret` from now on. An empty one is ignored; a known one costs nothing."""
        if not secret or secret in self._known:
            return
        forms = {
            secret,
            repr(secret)[1:-1],
            ascii(secret)[1:-1],
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            quote(secret, safe="", errors="replace"),
            quote(secret, errors="replace"),
            quote_plus(secret, errors="replace"),
            quote(secret, safe=_PLAIN_BEFORE_A_HOST, errors="replace"),
        }
        with self._lock:
            self._forms |= forms
            # Longest first, else a short secret would leave the rest of a longer one visible.
            longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
            self._known.add(secret)  # last: what is known is starred

    def redact(self, text: str) -> str:
        """Return `text` with stars in place of secrets."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MASK, text)

    def redact_value(self, value: Any) -> Any:  # noqa: ANN401 - whatever `extra` holds
        """Return `value` fit for JSON, with stars in every text inside it."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and math.isfinite(value):
            return value if self.redact(str(value)) == str(value) else MASK
        if isinstance(value, dict):
            return {self.redact(str(k)): self.redact_value(v) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.redact_value(item) for item in value]
        return self.redact(str(value))


_process = Redactor()


def register_secret(secret: str) -> None:
    """Star `secret` in everything that this process logs from now on."""
    _process.register(secret)


def redact(text: str) -> str:
    """Return `text` with stars in place of every secret that was registered."""
    return _process.redact(text)


@dataclass(frozen=True, slots=True)
class Line:
    """What a record says, with stars in place of secrets."""

    at: str
    """UTC, ISO 8601 with milliseconds."""
    level: str
    """As logging names it: `WARNING`."""
    logger: str
    message: str
    fields: dict[str, Any]
    """What `extra` gave, fit for JSON."""
    trace: str
    """Traceback and stack; empty: none."""


class _Formatter(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def line(self, record: logging.LogRecord) -> Line:
        """Return what a record says."""
        return Line(
            at=_time(record),
            level=record.levelname,
            logger=record.name,
            message=self._redactor.redact(_message(record)),
            fields={
                name: self._redactor.redact_value(value)
                for name, value in record.__dict__.items()
                if name not in _STANDARD
            },
            trace=self._trace(record),
        )

    def _trace(self, record: logging.LogRecord) -> str:
        parts = []
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return self._redactor.redact("\n".join(parts))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # Arguments that do not fit: logging would print them to stderr past the redaction.
        return f"{record.msg} {record.args!r}"


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(_Formatter):
    """One line for people: time, level, where, message, fields; a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Control characters are escaped: a message cannot forge a line."""
        line = self.line(record)
        words = [
            line.at,
            f"{line.level:<7}",
            line.logger.removeprefix("nxai_"),
            _one_line(line.message),
        ]
        for name, value in line.fields.items():
            text = _as_text(value)
            words.append(f"{name}={text if _PLAIN.match(text) else _quoted(text)}")
        return " ".join(words) + (f"\n{line.trace}" if line.trace else "")


class JsonFormatter(_Formatter):
    """One JSON object a line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = self.line(record)
        written: dict[str, Any] = {
            "at": line.at,
            "level": line.level.lower(),
            "logger": line.logger,
            "message": line.message,
        }
        for name, value in line.fields.items():
            written[name if name not in written else f"{name}_"] = value
        if line.trace:
            written["trace"] = line.trace
        return json.dumps(written)


@dataclass(frozen=True, slots=True)
class Recent:
    """A part of what was logged lately."""

    lines: list[dict[str, Any]]
    """Oldest first: number, at, level, logger, message, fields, trace; fit for JSON."""
    next: int
    """Number after which to go on reading."""


class RecentLines(logging.Handler):
    """Keeps what was logged lately, to be read over the bus.

    Numbers begin with the time of the start in milliseconds: who goes on reading after a restart
    misses nothing, because no process logs a thousand lines a second all its life.
    """

    def __init__(self, redactor: Redactor | None = None, first: int | None = None) -> None:
        super().__init__()
        self._redactor = redactor or _process
        self._reader = _Formatter(self._redactor)
        self._newest = (time.time_ns() // 1_000_000 if first is None else first) - 1
        self._kept: deque[_Kept] = deque()
        self._size = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; the oldest go for it."""
        try:
            line = self._reader.line(record)
            told = {
                "at": line.at,
                "level": line.level.lower(),
                "logger": line.logger,
                "message": line.message,
                "fields": line.fields,
                "trace": line.trace,
            }
            size = len(json.dumps(told))
            if size > LONGEST_LINE:
                told |= {"message": _cut(line.message), "fields": {}, "trace": _cut(line.trace)}
                size = len(json.dumps(told))
        except Exception:  # noqa: BLE001 - a field that cannot be written: stderr complains of it
            return
        self._newest += 1
        self._kept.append(_Kept(self._newest, record.levelno, size, told))
        self._size += size
        while len(self._kept) > MOST_LINES or self._size > MOST_CHARACTERS:
            self._size -= self._kept.popleft().size

    def read(self, after: int = 0, level: str = "debug", limit: int = MOST_LINES) -> Recent:
        """Return what was kept.

        Args:
            after: Only lines with a higher number. One that is yet to come was another process's:
                then all are told.
            level: Least important level.
            limit: So many lines at most, the newest.
        """
        least = logging.getLevelNamesMapping()[level.upper()]
        self.acquire()
        try:
            kept, newest = list(self._kept), self._newest
        finally:
            self.release()
        if after > newest:
            after = 0
        wanted = [line for line in kept if line.number > after and line.level >= least]
        lines = [{"number": line.number, **self._again(line.told)} for line in wanted[-limit:]]
        return Recent(lines, newest)

    def _again(self, told: dict[str, Any]) -> dict[str, Any]:
        """Star what has become known as a secret since."""
        redact = self._redactor.redact
        return told | {
            "message": redact(told["message"]),
            "fields": self._redactor.redact_value(told["fields"]),
            "trace": redact(told["trace"]),
        }


@dataclass(frozen=True, slots=True)
class _Kept:
    number: int
    level: int
    size: int
    told: dict[str, Any]


def _cut(text: str) -> str:
    """Keep the beginning and, as of a traceback, the end."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]}\n[...]\n{text[-half:]}"


def _as_text(value: Any) -> str:  # noqa: ANN401 - whatever `extra` holds
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return _CONTROL.sub(lambda match: repr(match.group())[1:-1], text)


def _quoted(text: str) -> str:
    return _one_line(json.dumps(text, ensure_ascii=False))


def set_up(
    *,
    level: str,
    style: Literal["text", "json"],
    packages: Iterable[str],
    stream: TextIO | None = None,
    recent: RecentLines | None = None,
) -> None:
    """Send the log of this process to `stream` (None: standard error).

    Args:
        level: Least important level of our own `packages`. Libraries say warnings only: httpx
            logs a URL per request, and a still picture is fetched every second.
        style: For people or for machines.
        packages: Top names of our own loggers, such as `nxai_capture`.
        stream: Where to.
        recent: Keeps it, too.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(_process) if style == "text" else JsonFormatter(_process))
    root = logging.getLogger()
    root.handlers[:] = [handler] if recent is None else [handler, recent]
    root.setLevel(max(threshold, logging.WARNING))
    for name in packages:
        logging.getLogger(name).setLevel(threshold)
    logging.captureWarnings(capture=True)
    # What nobody caught must not bypass the redaction.
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(
        args.exc_type,
        args.exc_value or args.exc_type(),
        args.exc_traceback,
        args.thread.name if args.thread else "",
    )


def _log_uncaught(
    kind: type[BaseException],
    error: BaseException,
    trace: Any,  # noqa: ANN401 - the types of a traceback differ between the two hooks
    thread: str = "MainThread",
) -> None:
    logging.getLogger("nxai_common").critical(
        "uncaught %s", kind.__name__, exc_info=(kind, error, trace), extra={"in_thread": thread}
    )
