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
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO
from urllib.parse import quote, quote_plus

MASK: Final = "***"

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
        self._forms: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.register(secret)

    def register(self, secret: str) -> None:
        """Star `secret` from now on. An empty one is ignored."""
        if not secret:
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


class _Formatter(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def _message(self, record: logging.LogRecord) -> str:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            # Arguments that do not fit: logging would print them to stderr past the redaction.
            text = f"{record.msg} {record.args!r}"
        return self._redactor.redact(text)

    def _extra(self, record: logging.LogRecord) -> dict[str, Any]:
        return {
            name: self._redactor.redact_value(value)
            for name, value in record.__dict__.items()
            if name not in _STANDARD
        }

    def _trace(self, record: logging.LogRecord) -> str:
        parts = []
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return self._redactor.redact("\n".join(parts))

    @staticmethod
    def _time(record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(_Formatter):
    """One line for people: time, level, where, message, fields; a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Control characters are escaped: a message cannot forge a line."""
        words = [
            self._time(record),
            f"{record.levelname:<7}",
            record.name.removeprefix("nxai_"),
            _one_line(self._message(record)),
        ]
        for name, value in self._extra(record).items():
            text = _as_text(value)
            words.append(f"{name}={text if _PLAIN.match(text) else _quoted(text)}")
        trace = self._trace(record)
        return " ".join(words) + (f"\n{trace}" if trace else "")


class JsonFormatter(_Formatter):
    """One JSON object a line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "at": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        for name, value in self._extra(record).items():
            line[name if name not in line else f"{name}_"] = value
        trace = self._trace(record)
        if trace:
            line["trace"] = trace
        return json.dumps(line)


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
) -> None:
    """Send the log of this process to `stream` (None: standard error).

    Args:
        level: Least important level of our own `packages`. Libraries say warnings only: httpx
            logs a URL per request, and a still picture is fetched every second.
        style: For people or for machines.
        packages: Top names of our own loggers, such as `nxai_capture`.
        stream: Where to.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(_process) if style == "text" else JsonFormatter(_process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
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
