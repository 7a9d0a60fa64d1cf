"""Reads JSON and remembers on which line each value stands.

The standard library reads JSON but forgets the places, and its messages speak of delimiters.
This reader accepts the same grammar (RFC 8259), refuses a key that stands twice, and names the
three slips that people make by hand: a comma too many, a comma too few, a comment.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

Path = tuple[str | int, ...]
"""Keys and indexes from the root of the document to a value."""

MAX_CHARACTERS: Final = 4 * 1024 * 1024
"""A settings file of a thousand cameras has half of that."""
MAX_DEPTH: Final = 32
"""The deepest settings are 7 deep (a point of a mask); far from Python's recursion limit."""
MAX_DIGITS: Final = 400
"""Any float fits; far below the 4,300 at which Python refuses to read an integer."""

SHOWN_CHARACTERS: Final = 60
"""Of a key: enough to find it."""

_SPACE: Final = frozenset(" \t\n\r")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}


class BadJson(Exception):  # noqa: N818 - named for the thing refused
    """The text is not JSON. Says nothing of the text but keys and single characters."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class JsonText:
    """A JSON value and the lines of its parts."""

    value: Any
    lines: dict[Path, int] = field(repr=False)
    """Line (from 1) on which each part begins: at its key, where it has one."""

    def line(self, path: Path) -> int:
        """Return the line of the part at `path`, or of the nearest one around it."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def read_json(text: str) -> JsonText:
    """Return the value in `text` with the lines of its parts.

    Raises:
        BadJson: not JSON, a key twice in one object, a number too large, or nested too deeply.
    """
    if len(text) > MAX_CHARACTERS:
        raise BadJson(1, f"{len(text)} characters are too many; at most {MAX_CHARACTERS} are read")
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._counted_to = 0
        self._line = 1

    def document(self) -> JsonText:
        self._skip_space()
        if not self._peek():
            raise BadJson(
                1,
                "the file is empty; README.md has an example, and where there is no file the "
                "manager writes one that runs the demo",
            )
        value = self._value((), self._line_here())
        self._skip_space()
        if self._at < len(self._text):
            raise self._bad("there is more text after the end of the document")
        return JsonText(value, self._lines)

    def _value(self, path: Path, line: int) -> Any:  # noqa: ANN401 - whatever JSON holds
        if len(path) > MAX_DEPTH:
            raise self._bad(f"nested more than {MAX_DEPTH} deep")
        self._lines[path] = line
        match self._peek():
            case "{":
                return self._object(path)
            case "[":
                return self._array(path)
            case '"':
                return self._string("text")
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            return self._number(number)
        word = _WORD.match(self._text, self._at)
        if word is not None and word.group() in _WORDS:
            self._at = word.end()
            return _WORDS[word.group()]
        raise self._bad(self._why_no_value())

    def _object(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in self._items("}"):
            line = self._line_here()
            if self._peek() != '"':
                raise self._bad(self._why_no_value("a key in double quotes"))
            key = self._string("key")
            if key in found:
                raise BadJson(line, f"{_shown(key)} stands twice in one object; keep one")
            self._skip_space()
            if self._peek() != ":":
                raise self._bad(f"a colon is missing after the key {_shown(key)}")
            self._at += 1
            self._skip_space()
            found[key] = self._value((*path, key), line)
        return found

    def _array(self, path: Path) -> list[Any]:
        found: list[Any] = []
        for _ in self._items("]"):
            found.append(self._value((*path, len(found)), self._line_here()))
        return found

    def _items(self, end: str) -> Iterator[None]:
        """Step from item to item, and over the brackets and commas around them."""
        self._at += 1
        self._skip_space()
        if self._peek() == end:
            self._at += 1
            return
        while True:
            yield
            self._skip_space()
            here = self._peek()
            if here == end:
                self._at += 1
                return
            if here != ",":
                raise self._bad(self._why_no_comma(end))
            comma = self._at
            self._at += 1
            self._skip_space()
            if self._peek() == end:
                self._at = comma
                raise self._bad(f"there is a comma before the closing {end}; remove it")

    def _string(self, what: str) -> str:
        match = _STRING.match(self._text, self._at)
        if match is None:
            raise self._bad(
                f"this {what} has no closing quote on its line, or a wrong backslash "
                "(write \\\\ for a backslash)"
            )
        self._at = match.end()
        string: str = json.loads(match.group())
        if _LONE_SURROGATE.search(string):
            raise self._bad(f"this {what} has half a character (\\ud800 to \\udfff)")
        return string

    def _number(self, match: re.Match[str]) -> int | float:
        digits = match.group()
        self._at = match.end()
        if len(digits) <= MAX_DIGITS:
            if match.group(1) is None and match.group(2) is None:
                return int(digits)
            number = float(digits)
            if math.isfinite(number):
                return number
        raise self._bad("this number is too large")

    def _why_no_value(self, wanted: str = "a value") -> str:
        here = self._peek()
        if not here:
            return f"the text ends where {wanted} should be; is a closing bracket missing?"
        if here in "/#":
            return "comments are not allowed in JSON"
        if here in "'`\u201c\u201d":
            return 'text and keys stand in straight double quotes: "..."'
        word = _WORD.match(self._text, self._at)
        if word is not None and word.group().lower() in _WORDS:
            return f"write {word.group().lower()} in small letters"
        return f"{wanted} should be here, not {here!r}"

    def _why_no_comma(self, end: str) -> str:
        here = self._peek()
        if not here:
            return f"the text ends before the closing {end}"
        if here in "/#":
            return "comments are not allowed in JSON"
        return f"a comma or the closing {end} is missing before {here!r}"

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip_space(self) -> None:
        while self._peek() in _SPACE:
            self._at += 1

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line

    def _bad(self, reason: str) -> BadJson:
        return BadJson(self._text.count("\n", 0, self._at) + 1, reason)


def _shown(key: str) -> str:
    short = key if len(key) <= SHOWN_CHARACTERS else key[: SHOWN_CHARACTERS - 3] + "..."
    return json.dumps(short)
