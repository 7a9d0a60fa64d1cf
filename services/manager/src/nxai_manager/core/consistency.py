"""What the types cannot say: ids that meet, references that lead somewhere, URLs that work."""

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote, unquote_plus, urlsplit

from nxai_common.contracts.collecting import Quotas
from nxai_common.contracts.configuration import (
    ROUNDING,
    CameraSource,
    DesiredModel,
    FileSource,
    FolderSource,
    MjpegSource,
    RtspSource,
    StillSource,
    V4l2Source,
)
from nxai_manager.core.document import Camera, Settings
from nxai_manager.core.doubt import NEVER, collects_uncertain, rule_of_use
from nxai_manager.core.json_text import Path

SCHEMES: Final = {
    "rtsp": ("rtsp", "rtsps"),
    "mjpeg": ("http", "https"),
    "still": ("http", "https"),
}
"""URL schemes of each type of source."""

PASSWORD_KEYS: Final = frozenset({"password", "passwd", "pwd", "pass", "loginpas"})
"""How cameras call a password in their URLs."""

USERNAME_PLACE: Final = "{username}"
PASSWORD_PLACE: Final = "{password}"  # noqa: S105 - where one goes, not one itself
"""Capture fills them in from the secret file when it opens the camera."""

BULLET: Final = "\u2022"
PLACEHOLDER: Final = BULLET * 8
"""Stands for a secret on the page. Its length says nothing of the secret's."""

_PASSWORD = re.compile(
    rf"(?:^|[^\w.-])({'|'.join(sorted(PASSWORD_KEYS))})=(.*)",  # a whole key: "passage" is none
    re.IGNORECASE | re.DOTALL,
)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}")

SHOWN_CHARACTERS: Final = 60
"""Of a label: enough to find it."""

MIN_CORNERS: Final = 3
"""Of a polygon with an inside."""

NetworkSource = RtspSource | MjpegSource | StillSource


def inconsistencies(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yield where and why valid parts do not fit together."""
    yield from _twice("cameras", (camera.id for camera in settings.cameras))
    yield from _twice("models", (model.id for model in settings.models))
    known = {model.id: model for model in settings.models}
    for index, model in enumerate(settings.models):
        for path, reason in _model(model):
            yield ("models", index, *path), reason
    for index, camera in enumerate(settings.cameras):
        for path, reason in (
            *_references(camera, known),
            *_source(camera),
            *_masks(camera),
            *_areas(camera),
            *_collect(camera, known),
        ):
            yield ("cameras", index, *path), reason
    begin, _, end = settings.edge_impulse.upload.window.partition("-")
    if begin and begin == end:
        yield (
            ("edge_impulse", "upload", "window"),
            "ends when it begins; write another time, or leave it empty for always",
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint: the known word that `word` may have been meant to be, or all of them."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(words)}" if words else "none is known"


def url_problem(url: str, schemes: tuple[str, ...]) -> str:
    """Return what is wrong with the URL of a camera, or ''. Never repeats more than its scheme."""
    scheme, separator, rest = url.partition("://")
    wanted = " or ".join(f"{known}://" for known in schemes)
    if not separator:
        return f"must begin with {wanted}"
    if scheme.lower() not in schemes:
        # What is no scheme may be anything, a password included.
        named = f" {scheme + '://'!r}" if _SCHEME.fullmatch(scheme) else ""
        return f"unknown scheme{named}; this type of source needs {wanted}"
    # An unescaped / or # in a password ends the part that urlsplit takes for the host: look for
    # the @ in all that stands before the query.
    if "@" in rest.partition("?")[0]:
        return (
            'user and password do not belong in the URL; put them into "username" and '
            '"password" beside "source" (an @ elsewhere is written %40)'
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL: the host or the port is malformed"
    if not parts.hostname:
        return f"has no host; write {schemes[0]}://HOST/..."
    return "has port 0" if port == 0 else _password_problem(rest)


def _password_problem(rest: str) -> str:
    key = next(_passwords(rest), None)
    if key is None:
        return ""
    return (
        f"a password in the URL would be readable by others; write {key}={PASSWORD_PLACE} "
        f'there, {USERNAME_PLACE} for the user, and both into "username" and "password" beside '
        '"source"'
    )


def _passwords(rest: str) -> Iterator[str]:
    """Find passwords that stand in a URL; yield how each is called there.

    What separates fields is looked for before percent-encoding is undone: encoded, it belongs to
    the password.
    """
    path, _, query = rest.partition("?")
    for field in re.split("[/&;,#]", path):
        for part in _parts(unquote(field)):
            found = _PASSWORD.search(part)
            if found and not re.fullmatch(rf"({re.escape(PASSWORD_PLACE)}(\.\w+)?)?", found[2]):
                yield found[1]
    for field in re.split("[&#]", query):
        whole = unquote_plus(field)
        for part in (whole, *_parts(whole)[1:]):
            found = _PASSWORD.search(part)
            if found and found[2] not in ("", PASSWORD_PLACE):
                yield found[1]


def _parts(field: str) -> list[str]:
    """Split what XiongMai's cameras part by "_": ``user=admin_password=secret_channel=1``."""
    first, *others = re.split(r"_(?=[A-Za-z]+=)", field)
    # "no_pass=1" is one key: such fields begin behind a value only.
    return [first, *others] if "=" in first else [field]


def _twice(what: str, ids: Iterable[str]) -> Iterator[tuple[Path, str]]:
    seen = set()
    for index, name in enumerate(ids):
        if name in seen:
            yield (what, index, "id"), f"{name!r} is the id of another of the {what} already"
        seen.add(name)


def _references(camera: Camera, known: Mapping[str, DesiredModel]) -> Iterator[tuple[Path, str]]:
    seen = set()
    for index, use in enumerate(camera.models):
        if use.id not in known:
            yield ("models", index), f"there is no model {use.id!r}; {nearest(use.id, known)}"
        if use.id in seen:
            yield ("models", index), f"model {use.id!r} is listed twice for this camera"
        seen.add(use.id)


def _model(model: DesiredModel) -> Iterator[tuple[Path, str]]:
    if not model.path.strip():
        yield ("path",), "is empty; write the name of a model file or package in the models folder"
    seen = set()
    for index, label in enumerate(model.labels or ()):
        if not label.strip():
            yield ("labels", index), "is empty; each class of the model needs a name"
        elif label in seen:
            shown = repr(label[:SHOWN_CHARACTERS])
            yield ("labels", index), f"{shown} stands twice; give each class a name of its own"
        seen.add(label)


def _local_source(source: CameraSource) -> Iterator[tuple[Path, str]]:
    match source:
        case FileSource() | FolderSource() if not source.path.strip():
            what = "a video file" if source.type == "file" else "a folder of pictures"
            yield ("path",), f"is empty; write the path of {what}"
        case V4l2Source():
            if not source.device.startswith("/"):
                yield ("device",), "must be the path of a camera, such as /dev/v4l/by-id/..."
            if (source.width is None) != (source.height is None):
                given, left_out = (
                    ("height", "width") if source.width is None else ("width", "height")
                )
                yield (given,), f"is of no use alone; add {left_out!r}, or remove it"


def _source(camera: Camera) -> Iterator[tuple[Path, str]]:
    source = camera.source
    for path, reason in _local_source(source):
        yield ("source", *path), reason
    password = camera.password.get_secret_value()
    for path, value in (
        (("username",), camera.username),
        (("password",), password),
        (("source", "url"), source.url if isinstance(source, NetworkSource) else ""),
    ):
        if PLACEHOLDER in value:
            yield path, f"{PLACEHOLDER} stands for what the page hides; write it out here"
    if isinstance(source, NetworkSource):
        problem = url_problem(source.url, SCHEMES[source.type])
        if source.url[:1].isspace():
            yield ("source", "url"), "begins with a space; remove it"
        elif problem:
            yield ("source", "url"), problem
        if password and not camera.username:
            yield ("password",), 'a password needs a "username"'
        if ":" in camera.username:
            # HTTP's and RTSP's basic authentication join the two with a colon.
            yield ("username",), "a user name cannot hold a colon"
    elif camera.username or password:
        key = "username" if camera.username else "password"
        yield (key,), f'a source of type "{source.type}" has no user and password; remove them'


def _masks(camera: Camera) -> Iterator[tuple[Path, str]]:
    for index, polygon in enumerate(camera.masks):
        if len(polygon) < MIN_CORNERS:
            yield ("masks", index), f"a polygon needs at least {MIN_CORNERS} corners"
        elif not has_inside(polygon):
            yield ("masks", index), f"{ON_ONE_LINE}: nothing would be masked"


def _areas(camera: Camera) -> Iterator[tuple[Path, str]]:
    for kind in ("include", "exclude"):
        for index, polygon in enumerate(getattr(camera.areas, kind)):
            if not has_inside(polygon):
                yield ("areas", kind, index), f"{ON_ONE_LINE}: no object is ever in it"


ON_ONE_LINE: Final = "its corners lie on one line"


def has_inside(polygon: Sequence[tuple[float, float]]) -> bool:
    """Return whether the corners do not all lie on one line."""
    x, y = polygon[0]
    far_x, far_y = max(polygon, key=lambda corner: math.dist(corner, (x, y)))
    return any(abs((far_x - x) * (b - y) - (far_y - y) * (a - x)) > ROUNDING**2 for a, b in polygon)


def _collect(camera: Camera, known: Mapping[str, DesiredModel]) -> Iterator[tuple[Path, str]]:
    policy = camera.collect
    if "collect" in camera.model_fields_set and "enabled" not in policy.model_fields_set:
        yield ("collect",), 'does not say whether to collect; add "enabled": true, or false'
    if policy.enabled and not policy.strategies:
        reason = 'is empty: nothing would ever be collected; write ["uncertain"], or leave it out'
        yield ("collect", "strategies"), reason
    seen = set()
    for index, strategy in enumerate(s.strategy for s in policy.strategies):
        if strategy in seen:
            yield ("collect", "strategies", index), f"{strategy!r} is listed twice; keep one"
        seen.add(strategy)
    for path, reason in _quotas(policy.quotas):
        yield ("collect", "quotas", *path), reason
    if collects_uncertain(camera) and _never_uncertain(camera, known):
        reason = (
            'strategy "uncertain" would never collect anything: the "uncertain" threshold of this '
            "camera and of every model of it is 0, which means never; write another one, or "
            "leave it out, and one that fits is chosen"
        )
        yield ("collect",), reason


def _never_uncertain(camera: Camera, known: Mapping[str, DesiredModel]) -> bool:
    """Return whether no model can give a doubtful result.

    An imported one, of which the settings know nothing, follows the camera.
    """
    rules = (rule_of_use(camera, use, known[use.id]) for use in camera.models if use.id in known)
    return camera.uncertain == NEVER and all(rule == NEVER for rule in rules)


def _quotas(quotas: Quotas) -> Iterator[tuple[Path, str]]:
    """Yield what cannot be reached because less is allowed in a longer time; 0 is no limit."""
    for name, longer in (
        ("per_minute", ("per_hour", "per_day")),
        ("per_hour", ("per_day",)),
        ("label_per_day", ("per_day",)),
    ):
        allowed = getattr(quotas, name)
        less = next((other for other in longer if 0 < getattr(quotas, other) < allowed), None)
        if name in quotas.model_fields_set and less is not None:
            reason = (
                f"{allowed} are never reached: {less!r} allows {getattr(quotas, less)}; make that "
                "larger or this smaller (0: no limit)"
            )
            yield (name,), reason
