"""Says what is wrong with a settings.json, where, and what to do.

Nothing here ever repeats a password: no value below `username`, `password` or an unknown key,
and no URL that holds one, is shown.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nxai_common.contracts.topics import LEVEL_PATTERN
from nxai_common.errors import ConfigurationError
from nxai_manager.core.consistency import inconsistencies, nearest
from nxai_manager.core.document import Settings
from nxai_manager.core.json_text import BadJson, JsonText, Path, read_json
from nxai_manager.core.outputs import output_inconsistencies
from nxai_manager.core.schema import TAGS, keys_at
from nxai_manager.core.secret_names import secret_name

FORMS: Final[dict[str | int, str]] = {
    "window": 'two local times, such as "22:00-06:00", or empty for always',
    "password_secret": "the name of a secret: a-z, 0-9 and _, starting with a letter",
    "token_secret": "the name of a secret: a-z, 0-9 and _, starting with a letter",
    "root": "what topics begin with, such as plant/7; no spaces, + or #",
    "prefix": "the discovery prefix of Home Assistant, such as homeassistant",
}
"""What texts with a pattern of their own look like."""
SHOWN_CHARACTERS: Final = 60
"""Of a wrong value or key: enough to find it."""

TYPES: Final = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
    "tuple": "a list [...]",
    "model": "an object {...}",
    "model_attributes": "an object {...}",
}
"""Pydantic's names, in the words of JSON."""

AXES: Final = ("x", "y")
POINT: Final = "a point is two numbers [x, y], each in 0..1 of the picture"
LINKED: Final = "does not belong here; nxai-cloud-sync link takes the project and its key"
KEPT_APART: Final = 'does not belong here; keep it as a secret, and name that in "{}"'
ELSEWHERE: Final = {
    ("cameras", "samples"): 'is no more; write "collect": true',
    ("outputs", "password"): KEPT_APART.format("password_secret"),
    ("outputs", "token"): KEPT_APART.format("token_secret"),
    ("edge_impulse", "api_key"): LINKED,
    ("edge_impulse", "key"): LINKED,
    ("edge_impulse", "project"): LINKED,
    ("edge_impulse", "project_id"): LINKED,
}
"""Keys that a person may look for, by the first and the last step of their paths."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    line: int
    """From 1; 0: of no line."""
    where: str
    """Path with ids instead of indexes: `cameras.front.source.url`; empty: the text itself."""
    reason: str

    def __str__(self) -> str:
        """One line for a person."""
        line = f"line {self.line}: " if self.line else ""
        return f"{line}{self.where + ': ' if self.where else ''}{self.reason}"


class RefusedSettings(ConfigurationError):  # noqa: N818 - named for the thing refused
    """The settings cannot be used; all problems found, in order of their lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.line, p.where)))
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def summary(self) -> str:
        """One line: the first problem, and how many more there are."""
        more = len(self.problems) - 1
        return f"{self.problems[0]}" + (f" (and {more} more)" if more else "")


def check_settings(text: str) -> Settings:
    """Return the settings in the text of a settings.json.

    Raises:
        RefusedSettings: with every problem found.
    """
    try:
        document = read_json(text)
    except BadJson as error:
        raise RefusedSettings([Problem(error.line, "", error.reason)]) from None
    try:
        settings = Settings.model_validate_json(
            json.dumps(document.value), strict=True, extra="forbid"
        )
    except ValidationError as error:
        raise RefusedSettings(
            [_invalid(document, item) for item in _telling(error.errors(include_url=False))]
        ) from None  # pydantic's own text would show the values
    cameras = {camera.id for camera in settings.cameras}
    problems = [
        Problem(document.line(path), shown_path(document.value, path), reason)
        for path, reason in (
            *inconsistencies(settings),
            *(
                (("outputs", *path), reason)
                for path, reason in output_inconsistencies(settings.outputs, cameras)
            ),
        )
    ]
    if problems:
        raise RefusedSettings(problems)
    return settings


def _telling(items: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors without those that others bring: a polygon lacks its wrong points."""
    places = [item["loc"] for item in items]
    return [
        item
        for item in items
        if item["type"] != "too_short"
        or not any(
            len(loc) > len(item["loc"]) and loc[: len(item["loc"])] == item["loc"] for loc in places
        )
    ]


def _invalid(document: JsonText, item: ErrorDetails) -> Problem:
    path = _path(document.value, item["loc"])
    return Problem(document.line(path), shown_path(document.value, path), _reason(path, item))


def _path(value: Any, location: tuple[str | int, ...]) -> Path:  # noqa: ANN401 - any JSON
    """Return the path in the document: pydantic's location without its names of union members."""
    path: list[str | int] = []
    for step in location:
        if isinstance(value, dict):
            if step not in value and step in (value.get(tag) for tag in TAGS):
                continue
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            break  # inside a text that stands for an object, {"id": text}; a point without its y
        path.append(step)
    return tuple(path)


def shown_path(value: Any, path: Path) -> str:  # noqa: ANN401 - any JSON
    """Return the path with the id of a camera or model in place of its index."""
    shown = []
    for step in path:
        value = value.get(step) if isinstance(value, dict) else value[int(step)]
        name = value.get("id") if isinstance(value, dict) and isinstance(step, int) else None
        shown.append(one_line(name if isinstance(name, str) and name else str(step)))
    return ".".join(shown)


def _reason(path: Path, item: ErrorDetails) -> str:
    match item["type"]:
        case "missing" | "too_short" | "too_long" | "region":
            return _incomplete(item)
        case "extra_forbidden":
            elsewhere = ELSEWHERE.get((str(path[0]), str(path[-1])))
            return elsewhere or f"unknown key; {nearest(str(path[-1]), keys_at(item['loc'][:-1]))}"
        case "union_tag_not_found":
            key = item["ctx"]["discriminator"].strip("'")
            return f'needs a "{key}", such as "{TAGS[key]}"; docs/settings.md lists them'
        case "union_tag_invalid":
            key = item["ctx"]["discriminator"].strip("'")
            tag, known = item["ctx"]["tag"], item["ctx"]["expected_tags"].strip("'").split("', '")
            return f"unknown {key} {_shown(tag)}; {nearest(tag, known)}"
    hidden = any(isinstance(step, str) and _says_who(step) for step in path)
    got = "" if hidden else f", not {_shown(item['input'])}"
    return f"{_wanted(item)}{got}"


def _says_who(key: str) -> bool:
    """Return whether what stands under a key is of nobody's business."""
    return key == "username" or secret_name(key)


def _incomplete(item: ErrorDetails) -> str:
    """Say what a thing needs of which no value is worth showing: a key, a polygon, a point."""
    match item["type"]:
        case "missing":
            return POINT if isinstance(item["loc"][-1], int) else "is missing"
        case "too_short":
            return f"a polygon needs at least {item['ctx']['min_length']} corners"
        case "too_long" if item["ctx"]["field_type"] == "Dictionary":
            return f"may have at most {item['ctx']['max_length']} entries"
        case "too_long":
            most = item["ctx"]["max_length"]
            return POINT if most == len(AXES) else f"a polygon may have at most {most} corners"
    return _wanted(item)


def _wanted(item: ErrorDetails) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if context.get("pattern") == LEVEL_PATTERN:
        return "must be 1 to 64 of a-z, 0-9, '_' and '-', starting with a letter or digit"
    if kind == "string_pattern_mismatch" and item["loc"][-1] in FORMS:
        return f"must be {FORMS[item['loc'][-1]]}"
    name = kind.removesuffix("_type").removesuffix("_from_float")
    if name in TYPES:
        return f"must be {TYPES[name]}"
    message = item["msg"].replace("Input should", "must").replace("Tuple should", "must")
    return message[0].lower() + message[1:]


def _shown(value: object) -> str:
    """Return a value as it stands in the file, cut to a line; objects and URLs only by kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    if "@" in text or "://" in text:
        return "this text"
    return one_line(text)


def one_line(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return the text without line breaks and the like, cut."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)
