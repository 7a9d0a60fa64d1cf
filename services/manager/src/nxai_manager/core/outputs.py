"""What types cannot say of the outputs: addresses, templates and rules that work, no secrets."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from jinja2 import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nxai_common.contracts.alarms import AlarmRule
from nxai_common.contracts.configuration import HomeAssistantOptions
from nxai_common.contracts.destinations import (
    Destination,
    FileDestination,
    HttpDestination,
    MqttDestination,
    SocketDestination,
)
from nxai_common.contracts.processors import ProcessorOptions
from nxai_manager.core.consistency import (
    BULLET,
    ON_ONE_LINE,
    PLACEHOLDER,
    has_inside,
    nearest,
)
from nxai_manager.core.document import Outputs
from nxai_manager.core.json_text import Path
from nxai_manager.core.secret_names import secret_name

WEB: Final = ("http", "https")
MQTT: Final = ("mqtt", "mqtts")
LONGEST_SOCKET_PATH: Final = 107
"""Bytes that Linux has room for (`sun_path`)."""
MADE_BY_REQUEST: Final = frozenset({"content-length", "host", "transfer-encoding", "connection"})
"""Headers that belong to the request itself."""

_TEMPLATES: Final = ImmutableSandboxedEnvironment()
"""As the publisher reads them."""
_IN_BRACES = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_OF_ONE_RESULT = re.compile(r"\{\{(?!-?\s*secret\.)")
_SECRET_IN_TEMPLATE = re.compile(r"\{\{-?\s*secret\.")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}")


def output_inconsistencies(
    outputs: Outputs, cameras: Collection[str]
) -> Iterator[tuple[Path, str]]:
    """Yield where and why the outputs do not fit together, below `outputs`.

    Args:
        outputs: Valid by type.
        cameras: Ids of the cameras.
    """
    for what in ("alarms", "destinations", "processors"):
        for path, reason in _references(getattr(outputs, what), what, cameras):
            yield (what, *path), reason
    for index, rule in enumerate(outputs.alarms):
        for path, reason in _alarm(rule):
            yield ("alarms", index, *path), reason
    for index, destination in enumerate(outputs.destinations):
        for path, reason in (*_what(destination, outputs), *_destination(destination)):
            yield ("destinations", index, *path), reason
    for index, reason in _same_files(outputs.destinations):
        yield ("destinations", index, "path"), reason
    for path, reason in _home_assistant(outputs.home_assistant):
        yield ("home_assistant", *path), reason


def _references(
    parts: Sequence[AlarmRule | Destination | ProcessorOptions], what: str, cameras: Collection[str]
) -> Iterator[tuple[Path, str]]:
    seen = set()
    for index, part in enumerate(parts):
        if part.id in seen:
            yield (index, "id"), f"{part.id!r} is the id of another of the {what} already"
        seen.add(part.id)
        for number, camera in enumerate(part.cameras):
            if camera not in cameras:
                reason = f"there is no camera {camera!r}; {nearest(camera, cameras)}"
                yield (index, "cameras", number), reason


def _same_files(destinations: Sequence[Destination]) -> Iterator[tuple[int, str]]:
    files: dict[str, str] = {}
    for index, destination in enumerate(destinations):
        if isinstance(destination, FileDestination):
            other = files.setdefault(destination.path, destination.id)
            if other != destination.id:
                yield index, f"destination {other!r} writes to this file already; take another"


def address_problem(url: str, schemes: Sequence[str], *, path: bool = True) -> str:
    """Return what is wrong with an address, or ''. Never repeats more than its scheme.

    Args:
        url: May hold templates behind the host.
        schemes: Those that are possible.
        path: Whether anything may stand behind host and port.
    """
    scheme, separator, rest = url.partition("://")
    wanted = " or ".join(f"{known}://" for known in schemes)
    if not separator or not _SCHEME.fullmatch(scheme):
        return f"must begin with {wanted}"
    if scheme.lower() not in schemes:
        return f"unknown scheme {scheme + '://'!r}; it needs {wanted}"
    if "@" in re.split(r"[?{]", rest)[0]:
        return (
            'user and password do not belong in the address; write "username" and '
            '"password_secret" beside it (an @ elsewhere is written %40)'
        )
    if "{" in re.split("[/?]", rest)[0]:
        return "the host and the port cannot be a template; write them out"
    return _part_problem(_IN_BRACES.sub("x", url), schemes[0], path=path) or _secret_in_query(url)


def _part_problem(plain: str, scheme: str, *, path: bool) -> str:
    try:
        parts = urlsplit(plain)
        port = parts.port
    except ValueError:
        return "is not an address: the host or the port is malformed"
    if not parts.hostname or any(c.isspace() for c in plain):
        return f"has no host, or a space in it; write {scheme}://HOST/..."
    if port == 0:
        return "has port 0"
    if not path and (parts.path.strip("/") or parts.query or parts.fragment):
        return f"ends behind the port: {scheme}://HOST:PORT"
    return ""


def _secret_in_query(url: str) -> str:
    for field in re.split("[&#]", url.partition("?")[2]):
        key, _, value = field.partition("=")
        if value and secret_name(unquote(key)) and not _SECRET_IN_TEMPLATE.match(value):
            return (
                "a secret in the address would be readable by others; keep it as a secret and "
                "write {{ secret.NAME }} there"
            )
    return ""


def _alarm(rule: AlarmRule) -> Iterator[tuple[Path, str]]:
    if rule.compare == "at-least" and rule.count == 0:
        yield (
            ("count",),
            'at least 0 is always true; write 1 or more, or "compare": "at-most"',
        )
    if rule.area is not None and not has_inside(rule.area):
        yield ("area",), f"{ON_ONE_LINE}: no object is ever in it"
    if 0 < rule.again_every_s < 1:
        yield ("again_every_s",), "at least 1, or 0: only at the start and at the end"


def _what(destination: Destination, outputs: Outputs) -> Iterator[tuple[Path, str]]:
    if not destination.what:
        yield ("what",), 'is empty: nothing would be sent; write ["detections"], for one'
    made = {
        "detections": ("detections", outputs.detections),
        "nx-output": ("nx_output.enabled", outputs.nx_output.enabled),
        "events": ("events.enabled", outputs.events.enabled),
    }
    for index, content in enumerate(destination.what):
        if content in destination.what[:index]:
            yield ("what", index), f"{content!r} is listed twice; keep one"
        key, on = made.get(content, ("", True))
        if not on:
            yield ("what", index), f'there is none of it: "outputs.{key}" is false'


def _destination(destination: Destination) -> Iterator[tuple[Path, str]]:
    match destination:
        case HttpDestination():
            yield from _http(destination)
        case SocketDestination(path=path):
            if not path.startswith("/") or len(path.encode()) > LONGEST_SOCKET_PATH:
                reason = (
                    "must be the whole path of a Unix socket, such as /sockets/output.sock, "
                    f"of {LONGEST_SOCKET_PATH} bytes at most"
                )
                yield ("path",), reason
        case FileDestination(path=path):
            parts = PurePosixPath(path)
            if parts.is_absolute() or ".." in parts.parts or not parts.name or path[-1:] in "/ ":
                reason = (
                    "must be the name of a file below the publisher's folder of files, such as "
                    "results.jsonl or line1/results.jsonl"
                )
                yield ("path",), reason
        case MqttDestination():
            yield from _broker(destination)
        case _:  # InfluxDB
            problem = address_problem(destination.url, WEB, path=False)
            if problem:
                yield ("url",), problem


def _http(destination: HttpDestination) -> Iterator[tuple[Path, str]]:
    problem = address_problem(destination.url, WEB)
    if problem:
        yield ("url",), problem
    elif destination.gather != "each" and _OF_ONE_RESULT.search(destination.url):
        yield ("url",), 'holds a template of one result, and "gather" sends several at once'
    yield from _login(destination.username, destination.password_secret)
    if ":" in destination.username:
        yield ("username",), "a user name cannot hold a colon"
    if destination.picture and "alarms" not in destination.what:
        yield ("picture",), 'only alarms carry a picture; add "alarms" to "what"'
    for name, value in destination.headers.items():
        for reason in _header(name, value):
            yield ("headers", name), reason
    yield from _templates(destination)


def _login(username: str, password_secret: str) -> Iterator[tuple[Path, str]]:
    if password_secret and not username:
        yield ("password_secret",), 'a password needs a "username"'


def _templates(destination: HttpDestination) -> Iterator[tuple[Path, str]]:
    headers = ((("headers", name), value) for name, value in destination.headers.items())
    for path, text in ((("url",), destination.url), (("body",), destination.body), *headers):
        if PLACEHOLDER in text:
            yield path, f"{PLACEHOLDER} stands for what the page hides; write it out here"
        elif reason := template_problem(text):
            yield path, reason


def _header(name: str, value: str) -> Iterator[str]:
    if not _HEADER.fullmatch(name):
        yield "is not the name of a header"
    elif name.lower() in MADE_BY_REQUEST:
        yield "is made by the request itself; leave it out"
    if "\n" in value or "\r" in value:
        yield "cannot hold a line break"
    if secret_name(name) and BULLET not in value and not _SECRET_IN_TEMPLATE.search(value):
        yield (
            "a secret here would be readable by others; keep it as a secret and write "
            "{{ secret.NAME }}"
        )


def template_problem(text: str) -> str:
    """Return why a template cannot be read, or ''."""
    try:
        _TEMPLATES.parse(text)
    except TemplateSyntaxError as error:
        return f"line {error.lineno} of this template: {error.message}"
    return ""


def _broker(destination: MqttDestination) -> Iterator[tuple[Path, str]]:
    problem = address_problem(destination.url, MQTT, path=False)
    if problem:
        yield ("url",), problem
    yield from _login(destination.username, destination.password_secret)
    if destination.authority and destination.url.lower().startswith("mqtt:"):
        yield ("authority",), "only mqtts:// has certificates"
    if destination.root.endswith("/") or "//" in destination.root:
        yield ("root",), "has an empty level; write it without the extra /"


def _home_assistant(options: HomeAssistantOptions) -> Iterator[tuple[Path, str]]:
    if options.page:
        problem = address_problem(options.page, WEB)
        if problem:
            yield ("page",), problem
    broker = options.broker
    if broker is None:
        return
    problem = address_problem(broker.url, MQTT, path=False)
    if problem:
        yield ("broker", "url"), problem
    for path, reason in _login(broker.username, broker.password_secret):
        yield ("broker", *path), reason
    if broker.authority and broker.url.lower().startswith("mqtt:"):
        yield ("broker", "authority"), "only mqtts:// has certificates"
