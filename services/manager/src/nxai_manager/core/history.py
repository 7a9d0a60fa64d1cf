"""The settings of before: who changed what, which are kept, and how two differ."""

import difflib
import enum
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field, NonNegativeInt

from nxai_common.contracts.base import Value
from nxai_common.errors import RejectedError
from nxai_manager.core.editing import written
from nxai_manager.core.hidden import hide, hide_value
from nxai_manager.core.json_text import BadJson, Path, read_json
from nxai_manager.core.loose_json import read_loosely
from nxai_manager.core.problems import one_line

REVISION_BYTES: Final = 6
MOST_ENTRIES: Final = 200
MOST_BYTES: Final = 20 * 1024 * 1024
MOST_OF_RUN: Final = 50
"""Entries in which somebody ran or stopped something and changed nothing else. Who may do no more
than that must not push what others did out of the history."""
SHOWN_CHANGES: Final = 5
"""Of an entry, in lists."""
SHOWN_CHARACTERS: Final = 200
"""Of a value in a difference."""
MOST_LINES: Final = 20_000
"""Beyond, comparing line by line takes minutes."""

_OF_RUN: Final = re.compile(r"run|cameras\.[a-z0-9_-]+\.run")
ENTRY_PATTERN: Final = r"^[0-9]{9}-[0-9a-f]{12}$"
EntryId = Annotated[str, Field(pattern=ENTRY_PATTERN)]


class NoSuchEntry(RejectedError):  # noqa: N818 - named for what is missing
    """The history has no entry of this id."""


class How(enum.StrEnum):
    """By which way a change came."""

    PAGE = "page"
    """Somebody with a session or a token."""
    COMMAND = "command"
    """The command `run` over MQTT."""
    FILE = "file"
    """The file was written by hand, or by another program."""
    IMPORT = "import"
    RESTORE = "restore"
    FIRST_START = "first-start"


class Author(Value):
    """Who made a change."""

    how: How
    who: str = ""
    """User of the page, where it came from there."""
    of: str = ""
    """The entry that was restored."""

    def __str__(self) -> str:
        """As a person says it."""
        by = f" by {self.who}" if self.who else ""
        match self.how:
            case How.PAGE:
                return self.who or "the page"
            case How.FILE:
                return "the file, by hand"
            case How.COMMAND:
                return "a command over MQTT"
            case How.RESTORE:
                return f"restore of {self.of}{by}"
            case How.IMPORT:
                return f"import{by}"
        return "first start"


class Entry(Value):
    """One settings text that is kept; the text itself lies beside it."""

    id: EntryId
    """Its number, and its revision."""
    at: datetime
    """When it came into force, or was put aside."""
    revision: str
    author: Author
    used: bool = True
    """Whether it came into force; else it was a hand edit with mistakes that was replaced."""
    changes: tuple[str, ...] = ()
    """What differs from the entry before, the first few."""
    more_changes: NonNegativeInt = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs."""

    where: str
    """Path with ids instead of indexes: `cameras.front.inference_limit_ms`."""
    before: str | None
    """As JSON, cut, secrets as dots; None: it was not there."""
    after: str | None

    def __str__(self) -> str:
        """One line for a person."""
        if self.before is None:
            return f"{self.where}: {self.after} (new)"
        if self.after is None:
            return f"{self.where}: removed"
        if self.before == self.after:  # only what is hidden differs
            return f"{self.where}: changed"
        return f"{self.where}: {self.before} -> {self.after}"


def revision_of(text: str | None, key: bytes) -> str:
    """Return what tells a text apart from others; '' for none.

    With the key of the box: else who sees a revision could try out which password makes it.
    """
    if text is None:
        return ""
    return hashlib.blake2b(text.encode(), digest_size=REVISION_BYTES, key=key).hexdigest()


def entry_id(newest: str | None, revision: str) -> str:
    """Return the id of the entry after `newest`. A number, as clocks of small boxes jump."""
    number = 0 if newest is None else int(newest.partition("-")[0])
    return f"{number + 1:09d}-{revision}"


def is_of_run(entry: Entry) -> bool:
    """Tell whether somebody ran or stopped something there, and changed nothing else."""
    if not entry.used or not entry.changes or entry.more_changes:
        return False
    return all(_OF_RUN.fullmatch(change) for change in entry.changes)


def superfluous(sizes: Sequence[tuple[str, int]], of_run: Collection[str] = ()) -> list[str]:
    """Return the ids of the entries that have no room.

    Args:
        sizes: Id and bytes of each, newest first. The newest one always has room.
        of_run: Ids of those that are `is_of_run`.
    """
    used = 0
    gone = [name for name, _ in sizes if name in of_run][MOST_OF_RUN:]
    left = [(name, size) for name, size in sizes if name not in gone]
    for place, (name, size) in enumerate(left):
        used += size
        if place and (place >= MOST_ENTRIES or used > MOST_BYTES):
            gone.append(name)
    return gone


# -- differences ----------------------------------------------------------------------------------


def differences(
    before: str | None, after: str | None, *, usernames: bool = False
) -> tuple[Difference, ...]:
    """Return what differs between two texts, in the order of the newer one.

    Of a text that is not JSON, as much as can be read is compared.

    Args:
        before: The older text; None: there was none.
        after: The newer one.
        usernames: Hide the user names at the cameras, too.
    """
    old, new = (_loosely(text) for text in (before, after))
    return tuple(
        Difference(where, *(_shown(value, path, usernames=usernames) for value in (was, now)))
        for path, where, was, now in _differences(old, new, (), "")
    )


def line_difference(before: str, after: str, *, usernames: bool = False) -> str:
    """Return a unified diff of two texts without secrets; '' when nothing that is shown differs.

    Where both are JSON, both are written alike first: other spaces are no difference.

    Args:
        before: The older text.
        after: The newer one.
        usernames: Hide the user names at the cameras, too.
    """
    documents = [_object(text) for text in (before, after)]
    if None in documents:
        texts = [hide(text, usernames=usernames) for text in (before, after)]
    else:
        texts = [written(hide_value(value, usernames=usernames)) for value in documents]
    old, new = (text.splitlines() for text in texts)
    if len(old) + len(new) > MOST_LINES:
        return f"more than {MOST_LINES} lines are not compared"
    return "\n".join(difflib.unified_diff(old, new, "before", "after", lineterm=""))


def _loosely(text: str | None) -> dict[str, Any]:
    value = None if text is None else read_loosely(text).value
    return value if isinstance(value, dict) else {}


def _object(text: str) -> dict[str, Any] | None:
    """Return the document in a text, or None when it is not JSON."""
    try:
        value = read_json(text).value
    except BadJson:
        return None
    return value if isinstance(value, dict) else None


_MISSING: Final = object()
"""No value at all: JSON's null is one."""


def _differences(
    before: object, after: object, path: Path, where: str
) -> Iterator[tuple[Path, str, object, object]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*after, *before)):
            below = f"{where}.{one_line(key)}" if where else one_line(key)
            old, new = (value.get(key, _MISSING) for value in (before, after))
            yield from _differences(old, new, (*path, key), below)
        return
    old_items, new_items = _by_id(before), _by_id(after)
    if old_items is not None and new_items is not None:
        yield from _differences(old_items, new_items, path, where)
        old_order = [name for name in old_items if name in new_items]
        new_order = [name for name in new_items if name in old_items]
        if old_order != new_order:
            yield path, f"{where} (order)", old_order, new_order
    elif _as_json(before) != _as_json(after):
        yield path, where, before, after


def _by_id(value: object) -> dict[str, Any] | None:
    """Return the items of a list by their ids, or None when they have none."""
    if not isinstance(value, list):
        return None
    found = {item["id"]: item for item in value if isinstance(item, dict) and _has_name(item)}
    return found if len(found) == len(value) else None


def _has_name(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("id"), str)


def _shown(value: object, path: Path, *, usernames: bool) -> str | None:
    if value is _MISSING:
        return None
    text = json.dumps(hide_value(value, path, usernames=usernames), ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def _as_json(value: object) -> str:
    return "" if value is _MISSING else json.dumps(value, sort_keys=True)
