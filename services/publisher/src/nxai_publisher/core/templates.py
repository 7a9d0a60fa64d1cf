"""Templates of requests: what a person wrote, filled with a result and with secrets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from nxai_common.errors import NxaiError, RejectedError
from nxai_publisher.core.sandbox import FILE, LARGEST, Budget, LimitReached, compiled


class BadTemplate(RejectedError):  # noqa: N818 - named for the thing refused
    """A template cannot be read, or not be filled with this result; says line and why."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a template became."""

    text: str
    secrets: frozenset[str]
    """Names of those that were asked for."""


class Filling:
    """One template, read."""

    def __init__(self, text: str, what: str) -> None:
        """Read it.

        Args:
            text: As a person wrote it.
            what: Such as ``the body``, for what is said of mistakes.

        Raises:
            BadTemplate: it is none.
        """
        self._what = what
        self._plain = text if "{" not in text else None
        try:
            self._template = compiled(text)
        except TemplateSyntaxError as error:
            raise BadTemplate(f"{what}, line {error.lineno}: {error.message}") from None

    def fill(self, variables: Mapping[str, Any], secret: Callable[[str], str]) -> Filled:
        """Return the text.

        Args:
            variables: By name; nothing in them is changed.
            secret: Returns the secret of a name; what it raises comes through.

        Raises:
            BadTemplate: this result does not fit it, or a limit was reached.
        """
        if self._plain is not None:
            return Filled(self._plain, frozenset())
        secrets = _Secrets(secret)
        parts: list[str] = []
        size = 0
        try:
            with Budget():
                for part in self._template.generate({**variables, "secret": secrets}):
                    size += len(part)
                    if size > LARGEST:
                        raise LimitReached(f"makes more than {LARGEST} characters")
                    parts.append(part)
        except (TemplateError, *_ORDINARY) as error:
            if secrets.trouble is not None:
                raise secrets.trouble from None
            line = _line(error.__traceback__)
            raise BadTemplate(f"{self._what}, line {line}: {_reason(error)}") from None
        return Filled("".join(parts), frozenset(secrets.used))


_ORDINARY: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What an expression may raise."""


class _Secrets(Mapping[str, str]):
    """``secret.NAME``: each is read when it is asked for, and none is listed."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self._read = read
        self.used: set[str] = set()
        self.trouble: NxaiError | None = None

    def __getitem__(self, name: object) -> str:
        if not isinstance(name, str):
            raise TypeError(HOW_TO_ASK)
        try:
            found = self._read(name)
        except NxaiError as error:
            self.trouble = error
            raise ValueError from None  # ends the template, whose fault it is not
        self.used.add(name)
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        raise TypeError(HOW_TO_ASK)

    def __len__(self) -> int:
        raise TypeError(HOW_TO_ASK)

    def __str__(self) -> str:
        raise TypeError(HOW_TO_ASK)


HOW_TO_ASK: Final = "write {{ secret.NAME }}"


def _line(trace: TracebackType | None) -> int:
    line = 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split())[:LONGEST_REASON]
    return words or type(error).__name__


LONGEST_REASON: Final = 200
"""More is no message for a person."""
