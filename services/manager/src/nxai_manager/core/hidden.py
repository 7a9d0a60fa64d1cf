"""Takes the passwords out of settings that leave for a page, and puts them back in.

A page gets eight bullets in place of each password. In what comes back they stand for the password
that is kept for the camera of that name, as long as the address of its source is the same: else
whoever may write settings could have the password of a camera sent to a machine of his own.
"""

import contextlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_plus, urlsplit

from nxai_manager.core.consistency import BULLET, PASSWORD_PLACE, PLACEHOLDER, USERNAME_PLACE
from nxai_manager.core.json_text import BadJson, Path, read_json
from nxai_manager.core.loose_json import Leaf, read_loosely
from nxai_manager.core.problems import Problem, shown_path
from nxai_manager.core.secret_names import LONGEST_KEY, secret_name

SHORTEST_KNOWN: Final = 4
"""A shorter secret stands in any text."""
LONGEST_URL: Final = 4096
"""A longer one is hidden unread."""

PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}://")
_EQUALS = re.compile("=|%3[dD]")
_NAME_BEFORE = re.compile(r"[\w%.\[\]+-]*\Z")
_PLACE = re.compile(rf"({re.escape(PASSWORD_PLACE)}|{re.escape(USERNAME_PLACE)})(?![^\W_])")
_REFERENCES: Final = {
    "password_secret": re.compile(r"[a-z][a-z0-9_]{0,63}"),
    "token_secret": re.compile(r"[a-z][a-z0-9_]{0,63}"),
    "authority": re.compile(r"/[^\x00-\x1f]{1,1000}"),
}
"""Keys of destinations that sound like secrets, and how what they refer to is written."""
_IN_TEMPLATE = re.compile(
    r"(?:[A-Za-z]{0,20} ?|[A-Za-z0-9-]{1,20}=)\{\{ *secret\.[a-z][a-z0-9_]{0,63} *\}\}"
)
"""``Bearer {{ secret.shop }}``, ``sha1={{ secret.shop }}``: nothing of the secret itself."""
_CONFUSING = re.compile(r"[\x00-\x20\x7f\\@#]")
"""Programs do not agree on what these mean in a URL."""
_PLAIN_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]+")

TYPE_AGAIN: Final = "type the password again: the camera's address changed"
NONE_KEPT: Final = (
    f"{PLACEHOLDER} stands for a password that is kept here, and none is kept for this camera; "
    "type the password"
)
WHOLE: Final = (
    f"type the whole password: {PLACEHOLDER} stands for the one that is kept, and nothing can be "
    "added to it"
)
SEVERAL_KEPT: Final = "type the password again: more than one camera of before could be meant"
URL_AGAIN: Final = (
    f"{PLACEHOLDER} stands for a part that is kept here, and the rest of the URL changed; type "
    "the whole URL again"
)


# -- out ------------------------------------------------------------------------------------------


def hide(text: str, *, usernames: bool = False, known: Collection[str] = ()) -> str:
    """Return a settings text without its secrets, and otherwise as it is.

    Of a text that is not JSON, what may be of a secret is hidden as well: each line that makes no
    sense is, as a whole. Should one of the known secrets still be there, nothing is shown at all.

    Args:
        text: As it stands in the file.
        usernames: Hide the user names at the cameras, too.
        known: Passwords that the text is likely to hold.
    """
    loose = read_loosely(text)
    broken = not _is_json(text)
    spans = [(start, end, _indent(text[start:end]) + PLACEHOLDER) for start, end in loose.gaps]
    lost = False  # whether the key of a secret was passed over
    for leaf in loose.leaves:
        lost = broken and not leaf.is_key and (lost or _names_secret(leaf.value))
        shown = PLACEHOLDER if lost else _shown(leaf, usernames=usernames)
        if shown is not None:
            spans.append((leaf.start, leaf.end, json.dumps(shown, ensure_ascii=False)))
    found = _replaced(text, spans)
    return PLACEHOLDER if broken and any(_is_in(secret, found) for secret in known) else found


def _is_in(secret: str, text: str) -> bool:
    forms = (secret, *(json.dumps(secret, ensure_ascii=a)[1:-1] for a in (True, False)))
    return len(secret) >= SHORTEST_KNOWN and any(form in text for form in forms)


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except BadJson:
        return False
    return True


def _names_secret(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_KEY and secret_name(value)


def hide_value(value: Any, path: Path = (), *, usernames: bool = False) -> Any:  # noqa: ANN401 - any JSON
    """Return a part of the settings (a camera, or all of them) without its secrets.

    Args:
        value: Any JSON.
        path: Where it stands; what matters are the names of the keys.
        usernames: Hide the user names at the cameras, too.
    """
    if isinstance(value, dict):
        return {k: hide_value(v, (*path, k), usernames=usernames) for k, v in value.items()}
    if isinstance(value, list):
        return [hide_value(v, (*path, i), usernames=usernames) for i, v in enumerate(value)]
    if value is None or value == "":
        return value
    named = usernames and path and path[-1] == "username"
    if named or (_secret_path(path) and not _refers(value, path)):
        return PLACEHOLDER
    if isinstance(value, str) and _may_be_url(value, path):
        shown = _without_secrets(value)
        return value if shown == value else shown
    return value


def secrets_of(text: str) -> frozenset[str]:
    """Return the texts that `hide` takes out of a text, whole."""
    return frozenset(
        leaf.value
        for leaf in read_loosely(text).leaves
        if isinstance(leaf.value, str) and _shown(leaf, usernames=False) == PLACEHOLDER
    )


def _shown(leaf: Leaf, *, usernames: bool) -> str | None:
    """Return what is shown instead of a leaf, or None when it may be seen."""
    if leaf.is_key:
        below = leaf.path[:-1]
        return PLACEHOLDER if _secret_path(below) or not leaf.sure else None
    if not leaf.sure:
        return PLACEHOLDER
    shown: str | None = hide_value(leaf.value, leaf.path, usernames=usernames)
    return None if shown is leaf.value else shown


def _secret_path(path: Path) -> bool:
    return any(map(_is_secret, path))


def _refers(value: Any, path: Path) -> bool:  # noqa: ANN401 - any JSON
    """Return whether what stands under the name of a secret only names it, or a file."""
    if not isinstance(value, str) or path[0] != "outputs":
        return False
    form = _REFERENCES.get(str(path[-1]), _IN_TEMPLATE)
    return form.fullmatch(value) is not None and not any(map(_is_secret, path[:-1]))


def _is_secret(step: str | int) -> bool:
    return isinstance(step, str) and secret_name(step)


def _may_be_url(value: str, path: Path) -> bool:
    return "://" in value or (bool(path) and path[-1] == "url")


def _without_secrets(url: str) -> str:
    """Return a URL without user and password in it: wherever they stand, and rather too much."""
    if len(url) > LONGEST_URL:
        return PLACEHOLDER
    scheme = _SCHEME.match(url)
    head = scheme.group() if scheme is not None else ""
    rest = url[len(head) :]
    # A password before the host may hold any of / ? #, so that its end is the last @.
    login = rest.rfind("@")
    for equals in _EQUALS.finditer(rest):
        at = equals.end()
        # Looked for backwards from here: a pattern for both would try every beginning of a name.
        before = _NAME_BEFORE.search(rest[max(0, equals.start() - LONGEST_KEY) : equals.start()])
        name = unquote_plus(before.group()) if before is not None else ""
        if at < len(rest) and secret_name(name) and not _is_place(rest, at):
            if at <= login:  # which of them the @ is a part of cannot be told
                return head + PLACEHOLDER
            rest = rest[:at] + PLACEHOLDER
            break
    return head + (rest if login < 0 else PLACEHOLDER + rest[login:])


def _is_place(text: str, at: int) -> bool:
    """Return whether no secret stands here, but where capture puts it; or nothing at all."""
    return _PLACE.match(text, at) is not None or text[at : at + 1] in ("&", "#")


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


# -- in -------------------------------------------------------------------------------------------


def reveal(text: str, kept: Sequence[Any]) -> tuple[str, tuple[Problem, ...]]:
    """Return a text that came from a page with its passwords, and what could not be put back.

    Args:
        text: As it came; one that is not JSON comes back as it is.
        kept: Settings whose passwords are known, as JSON values; the first that can tell a
            password decides.
    """
    try:
        document = read_json(text)
    except BadJson:
        return text, ()
    spans: list[tuple[int, int, str]] = []
    problems = []
    for leaf in read_loosely(text).leaves:
        if leaf.is_key or not isinstance(leaf.value, str) or BULLET not in leaf.value:
            continue
        if _is_password(leaf.path):
            found, reason = _password(leaf, document.value["cameras"], kept)
        elif PLACEHOLDER in leaf.value and _may_be_url(leaf.value, leaf.path):
            found, reason = _url(leaf, document.value, kept)
        else:
            continue
        if reason:
            where = shown_path(document.value, leaf.path)
            problems.append(Problem(document.line(leaf.path), where, reason))
        else:
            spans.append((leaf.start, leaf.end, json.dumps(found, ensure_ascii=False)))
    return _replaced(text, spans), tuple(problems)


def _is_password(path: Path) -> bool:
    return path[:1] == ("cameras",) and path[2:] == ("password",) and isinstance(path[1], int)


def _password(leaf: Leaf, cameras: list[Any], kept: Sequence[Any]) -> tuple[str, str]:
    """Return the password that a placeholder stands for, or else why there is none."""
    if leaf.value != PLACEHOLDER:
        whole = PLACEHOLDER not in leaf.value and leaf.value.strip(BULLET)
        return (leaf.value, "") if whole else ("", WHOLE)
    index = int(leaf.path[1])
    camera = cameras[index]
    reason = NONE_KEPT
    for document in kept:
        before = _with_password(document)
        same = [found for found in before if found[1].get("id") == camera.get("id")]
        if same:
            meant = [f for f in same if _address(f[1]) == _address(camera)]
            reason = reason if meant else TYPE_AGAIN
        else:
            now = [c.get("id") for c in cameras if isinstance(c, dict)]
            meant = [f for f in before if f[1].get("id") not in now and _renamed(f[1], camera)]
        passwords = {password for _, _, password in meant}
        passwords_there = {password for at, _, password in meant if at == index}
        if len(passwords) > 1 and len(passwords_there) != 1:
            return "", SEVERAL_KEPT
        if passwords:
            return (passwords_there or passwords).pop(), ""
    return "", reason


def _with_password(document: Any) -> list[tuple[int, dict[str, Any], str]]:  # noqa: ANN401 - any JSON
    """Return index, camera and password of each camera that has one."""
    cameras = document.get("cameras") if isinstance(document, dict) else None
    found = []
    for index, camera in enumerate(cameras if isinstance(cameras, list) else ()):
        secrets = [
            value
            for key, value in (camera.items() if isinstance(camera, dict) else ())
            if isinstance(value, str) and value not in ("", PLACEHOLDER) and secret_name(key)
        ]
        if secrets and camera.get("password") in secrets:
            found.append((index, camera, camera["password"]))
        elif len(secrets) == 1:  # the key was mistyped
            found.append((index, camera, secrets[0]))
    return found


def _renamed(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether two cameras differ in their ids alone."""
    return bool(hide_value({**before, "id": ""}) == hide_value({**now, "id": ""}))


def _address(camera: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what decides to whom a password goes."""
    source = camera.get("source")
    if not isinstance(source, dict):
        return ("none", repr(source))
    url = source.get("url")
    if not isinstance(url, str):
        return ("local", source.get("type"), source.get("device"), source.get("path"))
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme)
        if not _CONFUSING.search(url) and _PLAIN_HOST.fullmatch(parts.netloc):
            return ("network", parts.scheme, parts.hostname, port)
    return ("url", _without_secrets(url))


def _url(leaf: Leaf, document: Any, kept: Sequence[Any]) -> tuple[str, str]:  # noqa: ANN401 - any JSON
    """Return the URL (or other text) of which a placeholder hides a part, or else why not."""
    here = shown_path(document, leaf.path)
    for before in kept:
        there: dict[str, list[str]] = {}
        for path, value in _texts(before, ()):
            if _shape(path) == _shape(leaf.path) and hide_value(value, path) == leaf.value:
                there.setdefault(value, []).append(shown_path(before, path))
        meant = [value for value, places in there.items() if here in places] or list(there)
        if len(meant) == 1:
            return meant[0], ""
    return "", URL_AGAIN


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _texts(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _texts(below, (*path, index))
    elif isinstance(value, str):
        yield path, value


def _shape(path: Path) -> tuple[str | None, ...]:
    """Return the path without its indexes."""
    return tuple(step if isinstance(step, str) else None for step in path)


def _replaced(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    parts = []
    at = 0
    for start, end, new in sorted(spans):
        parts += [text[at:start], new]
        at = end
    return "".join((*parts, text[at:]))
