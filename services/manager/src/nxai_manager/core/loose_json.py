"""Reads what can be read of a text that ought to be JSON and may be none.

`json_text` says why a text is no JSON and stops there. This reader goes on, so that a settings file
whose edit by hand went wrong can still be shown without its passwords, and its passwords be found.
Of JSON it finds exactly what is in it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from nxai_manager.core.json_text import MAX_DEPTH, Path

MAX_CHARACTERS_OF_A_NUMBER: Final = 400

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
    (?P<mark>[{}\[\]:,])
    |(?P<text>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")
    |(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![\w.+-])
    |(?P<word>true|false|null)(?![\w.+-])
    )""",
    re.VERBOSE,
)
_NO_SPACE = re.compile(r"[^ \t\r\n]")
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}
_OPENS: Final = {"}": "{", "]": "["}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A text, number or word, or a key."""

    start: int
    end: int
    """Where it stands in the text: `text[start:end]`, quotes included."""
    value: Any = field(repr=False)
    """None as well for a number that is too long to be one."""
    path: Path
    """Of the value, or of the one that the key is of."""
    is_key: bool = False
    sure: bool = True
    """Whether it is known to stand at `path`; else it may be of anything."""


@dataclass(frozen=True, slots=True)
class LooseJson:
    """What was found in a text."""

    value: Any = field(repr=False)
    """The document, as far as it could be read."""
    leaves: tuple[Leaf, ...] = field(repr=False)
    """In the order of the text."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Start and end of the lines that are no JSON at all."""


@dataclass(slots=True)
class _Token:
    kind: str
    start: int
    end: int
    text: str


@dataclass(slots=True)
class _Open:
    """An object or list that is not closed yet."""

    mark: str
    found: Any
    path: Path
    sure: bool
    key: str | None = None
    """Of an object: the one whose value comes next."""
    expects: bool = True
    """Of a list: whether a value may come next."""


def read_loosely(text: str) -> LooseJson:
    """Return what can be read of `text`; never fails."""
    return _Reader().read(text)


class _Reader:
    def __init__(self) -> None:
        self._root: list[Any] = []
        self._stack: list[_Open] = []
        self._leaves: list[Leaf] = []
        self._doubt = False
        """Something was passed over, and no key came since: who knows what a value is of."""
        self._after_key = False
        self._stray = False
        """The last token is a value where none may be; a key behind it may be half of one."""

    def read(self, text: str) -> LooseJson:
        tokens = list(_tokens(text))
        for token, after in pairwise([*tokens, _Token("end", len(text), len(text), "")]):
            if token.kind == "mark":
                if not self._mark(token):  # deeper than any settings
                    return LooseJson(None, (), ((0, len(text)),))
            elif token.kind == "gap":
                self._doubt = True
            elif token.kind == "text" and after.text == ":":
                self._key(token)
            else:
                self._value(token)
        gaps = tuple((token.start, token.end) for token in tokens if token.kind == "gap")
        return LooseJson(self._root[0] if self._root else None, tuple(self._leaves), gaps)

    @property
    def _inside(self) -> _Open | None:
        return self._stack[-1] if self._stack else None

    def _mark(self, token: _Token) -> bool:
        mark, inside = token.text, self._inside
        if mark == ":" and not self._after_key:
            self._doubt = True  # what comes may be of a key that was passed over
        self._stray = self._after_key = False
        if mark in "{[":
            path, sure = self._place()
            self._open(mark, path, sure=sure)
            return len(self._stack) <= MAX_DEPTH + 1
        if mark in "}]":
            while self._stack and any(o.mark == _OPENS[mark] for o in self._stack):
                if self._stack.pop().mark == _OPENS[mark]:
                    break
        elif mark == "," and inside is not None:
            inside.key, inside.expects = None, True
        return True

    def _key(self, token: _Token) -> None:
        """Take a text with a colon behind it: it is of the nearest object."""
        while self._stack and self._stack[-1].mark == "[":
            self._stack.pop()
        if not self._stack:  # the bracket before it is missing
            self._open("{", (), sure=True)
        inside = self._stack[-1]
        inside.key = json.loads(token.text)
        path = (*inside.path, inside.key)
        self._leaves.append(
            Leaf(token.start, token.end, inside.key, path, is_key=True, sure=inside.sure)
        )
        self._doubt, self._stray, self._after_key = self._stray, False, True

    def _value(self, token: _Token) -> None:
        path, sure = self._place()
        value: Any = None
        if token.kind == "word":
            value = _WORDS[token.text]
        elif token.kind == "text" or len(token.text) <= MAX_CHARACTERS_OF_A_NUMBER:
            value = json.loads(token.text)
        self._stray = not sure
        sure = sure and not self._doubt
        self._leaves.append(Leaf(token.start, token.end, value, path, sure=sure))
        self._put(value)

    def _open(self, mark: str, path: Path, *, sure: bool) -> None:
        found: Any = {} if mark == "{" else []
        self._put(found)
        self._stack.append(_Open(mark, found, path, sure))

    def _place(self) -> tuple[Path, bool]:
        """Return the path of a value that comes now, and whether one is to come there."""
        inside = self._inside
        if inside is None:
            return (), not self._root
        if inside.mark == "[":
            return (*inside.path, len(inside.found)), inside.sure and inside.expects
        if inside.key is None:
            return inside.path, False
        return (*inside.path, inside.key), inside.sure

    def _put(self, value: Any) -> None:  # noqa: ANN401 - any JSON
        inside = self._inside
        if inside is None:
            self._root.append(value)
        elif inside.mark == "[":
            inside.found.append(value)
            inside.expects = False
        elif inside.key is not None:
            inside.found[inside.key] = value
            inside.key = None


def _tokens(text: str) -> Iterator[_Token]:
    """Yield what the text consists of. A line with anything else in it is one gap."""
    line: list[_Token] = []
    at = 0
    while (begin_of_next := _NO_SPACE.search(text, at)) is not None:
        start = begin_of_next.start()
        match = _TOKEN.match(text, at)
        if match is None:
            begin = text.rfind("\n", 0, start) + 1
            end = text.find("\n", start)
            end = len(text) if end < 0 else end
            yield from (token for token in line if token.end <= begin)
            line = []
            yield _Token("gap", begin, end, "")
            at = end
            continue
        if "\n" in text[at:start]:
            yield from line
            line = []
        kind = match.lastgroup or ""
        line.append(_Token(kind, match.start(kind), match.end(), match[kind]))
        at = match.end()
    yield from line
