"""The settings file of the closed Nx AI Manager, in the words of this one.

Its keys are those that are publicly documented: a default file of 2023, whose copy is cut, so that
nobody knows what its output keys are called. Where nothing says what a value means, nothing is
guessed: the key is listed for a person.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from nxai_common.contracts.configuration import DAY_S, ROUNDING
from nxai_manager.core.consistency import MIN_CORNERS, PLACEHOLDER, SCHEMES, has_inside, url_problem
from nxai_manager.core.editing import Document, changed
from nxai_manager.core.hidden import hide_value
from nxai_manager.core.problems import one_line

SHOWN_CHARACTERS: Final = 200
MOST_CORNERS: Final = 200
"""As `Polygon` allows."""
LONGEST_ID: Final = 40

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".tga", ".bmp", ".gif"})
VIDEOS: Final = frozenset({".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm", ".ts"})

_CAMERA_KEY = re.compile(r"InputCamera([0-9]{1,3})([A-Za-z][A-Za-z0-9]*)")
_SECRETS: Final = frozenset({"LicenseKey", "RefreshToken", "Pass"})


class Outcome(StrEnum):
    """What became of a key."""

    TRANSLATED = "translated"
    NOT_APPLICABLE = "not-applicable"
    """It says nothing here: the thing is done otherwise, or nothing was set."""
    NEEDS_YOU = "needs-you"
    """Only a person can say what it shall be, or has to look at what it became."""
    UNKNOWN = "unknown"
    """Nothing documents what it means."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one value."""

    outcome: Outcome
    note: str
    """What it became, why not, or what to do."""
    where: str = ""
    """Path in the settings: `cameras.front.source`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One key of the file."""

    key: str
    """Path in the file: `module.InputCamera1Location`."""
    value: str
    """As JSON, cut, secrets as dots."""
    outcome: Outcome
    where: str
    note: str


@dataclass(frozen=True, slots=True)
class Translated:
    """What a file became."""

    document: Document = field(repr=False)
    rows: tuple[Row, ...]
    """One for each key of the file, in its order."""


def is_nx_settings(value: Mapping[str, Any]) -> bool:
    """Return whether these are settings of the closed manager."""
    if "cameras" in value:
        return False
    sections = [value.get(name) for name in ("settings", "module")]
    return any(isinstance(section, dict) for section in sections) or any(
        _CAMERA_KEY.fullmatch(key) for key in value
    )


def translate(value: Mapping[str, Any], base: Document) -> Translated:
    """Return the settings that a file of the closed manager asks for.

    Args:
        value: Of the file.
        base: The settings of this box; what the file says nothing of, such as the models, is
            kept. Its cameras are not.
    """
    keys = list(_keys(value))
    file = {name: found for _, name, found in keys}
    models = _models(file)
    effects = {name: _effect(name, found) for name, found in file.items()}
    for_all = {k: v for effect in effects.values() for k, v in effect.camera.items()}
    cameras: list[Document] = []
    for number, fields in _cameras(file).items():
        camera = _camera(number, fields, file, models, {c["id"] for c in cameras})
        for suffix, fate in camera.fates.items():
            effects[f"InputCamera{number}{suffix}"] = _Effect(fate)
        if camera.document:
            cameras.append(camera.document | for_all)
    document = {"version": 1} | base
    for effect in effects.values():
        document = changed(document, effect.patch)
    return Translated(
        changed(document, {"cameras": cameras}),
        tuple(_row(key, name, found, effects[name].fate) for key, name, found in keys),
    )


def _keys(value: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield path, name and value of each key; those of the assigned models one by one."""
    for section, below in value.items():
        inside = section in ("settings", "module") and isinstance(below, dict)
        for name, found in below.items() if inside else ((section, below),):
            begin = f"{section}." if inside else ""
            yield from ((begin + path, part, told) for path, part, told in _parts(name, found))


def _parts(name: str, value: object) -> Iterator[tuple[str, str, Any]]:
    """Yield path and value of what is told of one key, and its name in the documentation."""
    if name != "AssignedModels" or not isinstance(value, list) or not value:
        match = _CAMERA_KEY.fullmatch(name)
        yield name, f"InputCamera{int(match[1])}{match[2]}" if match is not None else name, value
        return
    for index, model in enumerate(value):
        here = f"{name}[{index}]"
        if not isinstance(model, dict):
            yield here, here, model
        else:
            yield from ((f"{here}.{part}", f"{here}.{part}", told) for part, told in model.items())


def _row(key: str, name: str, value: object, fate: Fate) -> Row:
    match = _CAMERA_KEY.fullmatch(name)
    short = match[2] if match is not None else name.rpartition(".")[2]
    shown: Any = value
    if short in _SECRETS:
        shown = PLACEHOLDER if value else value
    else:
        shown = hide_value(
            value, ("url",) if fate.outcome is not Outcome.UNKNOWN else ("url", short)
        )
    text = json.dumps(shown, ensure_ascii=False)
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
    return Row(one_line(key, SHOWN_CHARACTERS), cut, fate.outcome, fate.where, fate.note)


# -- fates ----------------------------------------------------------------------------------------


def _done(where: str, note: str = "") -> Fate:
    return Fate(Outcome.TRANSLATED, note, where)


def _not_here(note: str) -> Fate:
    return Fate(Outcome.NOT_APPLICABLE, note)


def _look(note: str, where: str = "") -> Fate:
    return Fate(Outcome.NEEDS_YOU, note, where)


def _unknown(note: str) -> Fate:
    return Fate(Outcome.UNKNOWN, note)


_EMPTY: Final = _not_here("nothing was set")
_CLOUD: Final = _not_here("there is no cloud of the maker here")
_SOCKETS: Final = _not_here("services talk over MQTT here")
_IN_MODEL: Final = _not_here("the model's own file says so")


# -- keys that are not of a camera ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Effect:
    fate: Fate
    patch: Document = field(default_factory=dict)
    """Of the settings."""
    camera: Document = field(default_factory=dict)
    """Of each camera."""


_WHATEVER: Final[dict[str, Fate]] = {
    "AdminLocation": _CLOUD,
    "AuthenticationUrl": _CLOUD,
    "DeviceApiUrl": _CLOUD,
    "RefreshToken": _CLOUD,
    "LicenseKey": _not_here("there is no licence"),
    "DeamonSocketName": _SOCKETS,
    "DaemonSocketName": _SOCKETS,
    "ModuleSocketName": _SOCKETS,
    "OutputDistributorPort": _SOCKETS,
    "DeviceType": _not_here("the start-up settings of inference say which hardware is used"),
    "LogLevel": _not_here("set at the start, for each service: NXAI_LOG_LEVEL"),
    "SettingsSection": _not_here("only numbers the section"),
    "Clients": _unknown("documented by its name alone"),
    "EnableLocalPassword": _not_here("the page always asks for a password"),
    "ImageEndpoint": _not_here("the page shows pictures to whoever has logged in"),
    "AssignedInputC": _IN_MODEL,
    "AssignedInputO": _IN_MODEL,
    "AssignedInputMeans": _IN_MODEL,
    "AssignedInputVars": _IN_MODEL,
    "AssignedModelInput": _IN_MODEL,
    "AssignedModelNamedInput": _IN_MODEL,
    "AssignedInputW": _not_here("the model's own file says so; used to place areas"),
    "AssignedInputH": _not_here("the model's own file says so; used to place areas"),
    "AssignedModelCFID": _CLOUD,
    "AssignedModelDetails": _CLOUD,
    "AssignedModelLastModified": _CLOUD,
    "AssignedModelFileName": _not_here("compiled for the other program, and of no use here"),
}
"""Keys whose value makes no difference."""

_HINTS: Final = (
    ("Output", "what is sent is set in Output; results are on MQTT already"),
    ("Upload", "collecting doubtful pictures is set in Output"),
    ("Alarm", "events begin and end on MQTT; see Output"),
    ("Trigger", "triggering on change is set in Input"),
    ("InputCamera", "see Input"),
)


def _effect(name: str, value: object) -> _Effect:
    short = name.rpartition(".")[2]
    if short in _WHATEVER:
        return _Effect(_WHATEVER[short])
    if short in _ACTS:
        return _ACTS[short](value)
    if short == "AssignedModelName":
        return _Effect(
            _look(
                "get this model here (Model: link its Edge Impulse project, or add its .tflite or "
                ".onnx file), then put it on the cameras that it looked at"
            )
        )
    if name == "AssignedModels":
        return _Effect(_EMPTY if not value else _unknown("is not the list that is documented"))
    hint = next((hint for begin, hint in _HINTS if name.startswith(begin)), "")
    return _Effect(_unknown("not documented" + (f"; {hint}" if hint else "")))


def _device_name(value: object) -> _Effect:
    name = _text(value)
    if not name:
        return _Effect(_EMPTY)
    most = 100
    if len(name) > most:
        return _Effect(_look(f"is longer than {most} characters; choose another name"))
    return _Effect(_done("device.name"), {"device": {"name": name}})


def _serial(value: object) -> _Effect:
    serial = _text(value)
    if not serial:
        return _Effect(_EMPTY)
    return _Effect(
        _done("outputs.nx_output.device_id", "programs that read the output know the box by it"),
        {"outputs": {"nx_output": {"device_id": serial}}},
    )


def _device_id(value: object) -> _Effect:
    return _Effect(_not_here("results are named after the serial number") if value else _EMPTY)


def _offline(value: object) -> _Effect:
    if not _number(value):
        return _Effect(_not_here("nothing leaves this box but what you link"))
    return _Effect(
        _done("edge_impulse.updates.policy", "nobody looks for new models"),
        {"edge_impulse": {"updates": {"policy": "off"}}},
    )


def _trigger(value: object) -> _Effect:
    if not _number(value):
        return _Effect(_EMPTY)
    note = "cameras are open and send a frame when the command `trigger` asks for one"
    return _Effect(_done("cameras.*.run", note), camera={"run": False})


def _frame_rate(value: object) -> _Effect:
    limit = _number(value)
    if limit is None or not 0 <= limit <= DAY_S * 1000:
        return _Effect(_look("is no number of milliseconds up to a day"))
    if not limit:
        return _Effect(_not_here("as fast as possible, as it is here"))
    note = "taken for the milliseconds between two frames, as the page of the other program shows"
    number = int(limit) if limit == int(limit) else limit
    return _Effect(
        _done("cameras.*.inference_limit_ms", note), camera={"inference_limit_ms": number}
    )


def _driver(value: object) -> _Effect:
    match _text(value).upper():
        case "VIDEO" | "":
            return _Effect(_done("cameras.*.source", "each source says its type"))
        case "SOCKET":
            return _Effect(_look(_PUSH, "cameras.*.source"))
    return _Effect(_unknown("only VIDEO and SOCKET are documented"))


def _email(value: object) -> _Effect:
    note = "no e-mail is sent from here: Home Assistant or Node-RED can, when an event begins"
    return _Effect(_look(note) if value and value != "0" else _EMPTY)


def _port(known: int, variable: str) -> Callable[[object], _Effect]:
    def port(value: object) -> _Effect:
        note = f"the page's port is set at the start: {variable}"
        return _Effect(_not_here(note) if _number(value) == known else _look(note))

    return port


def _processors(value: object) -> _Effect:
    note = "a program of your own reads the results over MQTT: topics `detections` and `result`"
    return _Effect(_look(note) if value else _EMPTY)


_ACTS: Final[dict[str, Callable[[object], _Effect]]] = {
    "DeviceName": _device_name,
    "DeviceSerial": _serial,
    "DeviceId": _device_id,
    "AlwaysOffline": _offline,
    "ExternalTrigger": _trigger,
    "GeneralFrameRate": _frame_rate,
    "InputDriver": _driver,
    "EmailOnAlarm": _email,
    "WebPort": _port(8081, "NXAI_MANAGER_PORT"),
    "WebPortSecure": _port(8443, "NXAI_MANAGER_HTTPS_PORT"),
    "AssignedModelPostProcessors": _processors,
    "externalPostprocessors": _processors,
}


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    width: float
    height: float


def _models(file: Mapping[str, Any]) -> list[_Model]:
    """Return the assigned models, by their numbers."""
    parts: dict[int, dict[str, Any]] = {}
    for key, value in file.items():
        match = re.fullmatch(r"AssignedModels\[([0-9]+)\]\.(.+)", key)
        if match is not None:
            parts.setdefault(int(match[1]), {})[match[2]] = value
    return [
        _Model(
            name=_text(about.get("AssignedModelName")) or f"model {number}",
            width=_number(about.get("AssignedInputW")) or 0,
            height=_number(about.get("AssignedInputH")) or 0,
        )
        for number, about in sorted(parts.items())
    ]


# -- cameras --------------------------------------------------------------------------------------

Fields = Mapping[str, Any]
Fates = dict[str, Fate]

_PUSH: Final = (
    "this way of input is not read here; a program that has the pictures can push them over MQTT "
    "(type `push`)"
)


@dataclass(frozen=True, slots=True)
class _Camera:
    document: Document = field(default_factory=dict)
    fates: Fates = field(default_factory=dict)
    """Of its keys, by what stands behind `InputCameraN`."""


def _cameras(file: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Return the keys of each camera, by its number."""
    found: dict[int, dict[str, Any]] = {}
    for key, value in file.items():
        match = _CAMERA_KEY.fullmatch(key)
        if match is not None:
            found.setdefault(int(match[1]), {})[match[2]] = value
    return dict(sorted(found.items()))


def _camera(
    number: int,
    fields: Fields,
    file: Mapping[str, Any],
    models: list[_Model],
    taken: set[str],
) -> _Camera:
    known = [suffix for suffix in fields if suffix in CAMERA_KEYS]
    socket = _text(file.get("InputDriver")).upper() == "SOCKET"
    if not _text(fields.get("Location")) and not _text(fields.get("IP")) and not socket:
        return _Camera(fates=dict.fromkeys(known, _not_here(f"input {number} has no address")))
    name = _text(fields.get("Name"))
    slug = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_ID].strip("-")
    identity = slug if slug and slug not in taken else f"camera-{number}"
    place = f"cameras.{identity}"
    chosen = _chosen(fields, models)
    document: Document = {"id": identity}
    fates: Fates = {"Name": _done(f"{place}.name") if name else _EMPTY}
    if name:
        document["name"] = name
    for part, told in (
        _source(fields, place, socket=socket),
        _resize(fields, place),
        _areas(fields, place, chosen),
        _region(fields, place),
        ({}, _routing(chosen)),
        ({}, _left_out(fields)),
    ):
        document |= part
        fates |= told
    return _Camera(document, {suffix: fates[suffix] for suffix in known})


def _chosen(fields: Fields, models: list[_Model]) -> list[_Model]:
    """Return the models that look at a camera."""
    numbers = fields.get("AssignedModels")
    if not isinstance(numbers, list):
        return []
    wanted = map(_number, numbers)
    return [models[int(n)] for n in wanted if n is not None and n in range(len(models))]


def _source(fields: Fields, place: str, *, socket: bool) -> tuple[Document, Fates]:
    """Return source, user name and password."""
    location, address = _text(fields.get("Location")), _text(fields.get("IP"))
    kind = _text(fields.get("Format")).lower()
    where = f"{place}.source"
    url, user, password = _without_login(location or f"rtsp://{address}/")
    source, note = ({"type": "push"}, _PUSH) if socket else _source_of(url, kind)
    if not location and not socket:
        note = "only an address was set: write the whole URL of the camera's stream"
    elif "url" in source:
        note = note or url_problem(source["url"], SCHEMES[source["type"]])
    fate = _look(note, where) if note else _done(where)
    fates = {
        "Location": fate if location else _EMPTY,
        "IP": fate if address and not location else _not_here("the location says it"),
        "Format": fate if kind and "url" in source else _not_here("the location says it"),
    }
    part: Document = {"source": source}
    login = (
        ("Username", "username", _text(fields.get("Username")) or user),
        ("Pass", "password", _string(fields.get("Pass")) or password),
    )
    for suffix, key, value in login:
        if not value:
            fates[suffix] = _EMPTY
        elif "url" not in source:
            fates[suffix] = _not_here("this type of source has no user and password")
        else:
            part[key] = value
            fates[suffix] = _done(f"{place}.{key}")
    if part.get("password") and not part.get("username"):
        fates["Pass"] = _look("a password needs a user name", f"{place}.username")
    return part, fates


def _without_login(url: str) -> tuple[str, str, str]:
    """Return a URL without user and password, and the two."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, "", ""
    login, at, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    if not at or not parts.scheme:
        return url, "", ""
    return parts._replace(netloc=host).geturl(), unquote(user), unquote(password)


def _source_of(location: str, kind: str) -> tuple[Document, str]:
    """Return the source at a location, and what a person has to see to ('': nothing)."""
    scheme, separator, rest = location.partition("://")
    path = PurePosixPath(rest.partition("?")[0] if separator else location)
    ending = path.suffix.lower()
    match scheme.lower() if separator else "":
        case "rtsp" | "rtsps":
            return {"type": "rtsp", "url": location}, ""
        case "http" | "https":
            return _http_source(location, kind, ending)
        case "file" | "" if str(path).startswith("/dev/"):
            return {"type": "v4l2", "device": str(path)}, ""
        case "file" | "" if ending in VIDEOS:
            return {"type": "file", "path": str(path)}, ""
        case "file" | "" if ending in PICTURES:
            note = f"put {path.name!r} alone into a folder: all pictures in the folder are read"
            return {"type": "folder", "path": str(path.parent)}, note
    return {"type": "push"}, _PUSH


def _http_source(url: str, kind: str, ending: str) -> tuple[Document, str]:
    if kind in ("mjpeg", "mjpg", "mjpe"):
        return {"type": "mjpeg", "url": url}, ""
    if kind.removeprefix(".") in {p.removeprefix(".") for p in PICTURES} or ending in PICTURES:
        return {"type": "still", "url": url}, ""
    note = "taken for a picture that is fetched again and again; of a stream the type is `mjpeg`"
    return {"type": "still", "url": url}, note


def _resize(fields: Fields, place: str) -> tuple[Document, Fates]:
    where = f"{place}.resize_mode"
    value = fields.get("AspectRatio")
    if _number(value) != 1:
        note = (
            "what this number means is not documented: choose as the model was trained, or "
            "nothing, and each model's own file decides"
        )
        return {}, {"AspectRatio": _look(note, where)}
    note = (
        "its default, which cut the sides off (centre crop); take it out, and each model's own "
        "file decides"
    )
    return {"resize_mode": "fit-short"}, {"AspectRatio": _done(where, note)}


def _areas(fields: Fields, place: str, models: list[_Model]) -> tuple[Document, Fates]:
    """Return the detection areas: there, too, an object is where the middle of its foot is."""
    if not _has_mask(fields.get("Mask")):
        return {}, {"Mask": _EMPTY, "MaskInvert": _EMPTY}
    kind = "exclude" if _number(fields.get("MaskInvert")) else "include"
    where = f"{place}.areas.{kind}"
    if not models or not models[0].width or not models[0].height:
        fate = _look(
            "is in pixels of the model, whose size is not in the file; draw it again", where
        )
        return {}, {"Mask": fate, "MaskInvert": fate}
    polygons = _polygons(fields["Mask"], models[0].width, models[0].height)
    if not polygons:
        fate = _look("is not the list of polygons that is documented; draw it again", where)
        return {}, {"Mask": fate, "MaskInvert": fate}
    fate = _look(
        "was drawn on what the model saw, which may be a part of the picture only; look at it in "
        "Input",
        where,
    )
    return {"areas": {kind: polygons}}, {"Mask": fate, "MaskInvert": fate}


def _has_mask(value: object) -> bool:
    return bool(value) and value != {"masks": []}


def _polygons(value: object, width: float, height: float) -> list[list[list[float]]]:
    """Return the polygons of a mask in 0..1, or none when one cannot be understood."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    flat = value.get("masks") if isinstance(value, dict) else value
    found = []
    for numbers in flat if isinstance(flat, list) else [None]:
        points = [_number(n) for n in numbers] if isinstance(numbers, list) else []
        corners = [
            [_share(x, width), _share(y, height)]
            for x, y in zip(points[::2], points[1::2], strict=False)
            if x is not None and y is not None
        ]
        whole = 2 * len(corners) == len(points) and MIN_CORNERS <= len(corners) <= MOST_CORNERS
        if not whole or not has_inside([(x, y) for x, y in corners]):
            return []
        found.append(corners)
    return found


def _share(pixel: float, size: float) -> float:
    return round(min(max(pixel / size, 0.0), 1.0), 6)


_ROI: Final = ("RoiX", "RoiY", "RoiW", "RoiH")


def _region(fields: Fields, place: str) -> tuple[Document, Fates]:
    x, y, width, height = (_number(fields.get(suffix, 0)) or 0 for suffix in _ROI)
    where = f"{place}.region"
    if not width or not height:
        return {}, dict.fromkeys(_ROI, _EMPTY)
    if min(x, y, width, height) < 0 or max(x + width, y + height) > 1 + ROUNDING:
        note = "is in pixels of a picture whose size is not in the file; draw it again in Input"
        return {}, dict.fromkeys(_ROI, _look(note, where))
    region = {"x": x, "y": y, "width": width, "height": height}
    return {"region": region}, dict.fromkeys(_ROI, _done(where))


def _routing(models: list[_Model]) -> Fates:
    if not models:
        return {"AssignedModels": _EMPTY}
    names = ", ".join(repr(one_line(model.name)) for model in models)
    note = f"{names} looked at this camera: put it on this camera once it is here (Model)"
    return {"AssignedModels": _look(note)}


_LINE: Final = tuple(f"LineCrossing{end}" for end in ("X1", "Y1", "X2", "Y2"))
_LINE_OPTIONS: Final = tuple(
    f"LineCrossing{option}"
    for option in (
        "DistanceThreshold",
        "KeepTrackOfCentroidWhenDisappearedStep",
        "MaxFollowPathOfOneCentroidStep",
        "MaxNoCentroidsFollowingAtSameTime",
        "TopBottomMarginsOfThreshold",
    )
)
_SHM: Final = ("ShmW", "ShmH", "ShmF")


def _left_out(fields: Fields) -> Fates:
    """Return the fates of what is not done here."""
    crossing = "objects that cross a line are not counted here; areas tell where an object is"
    used = any(_number(fields.get(suffix)) for suffix in _LINE)
    fate = _look(crossing) if used else _not_here(crossing)
    return {
        **dict.fromkeys((*_LINE, *_LINE_OPTIONS), fate),
        **dict.fromkeys(_SHM, _not_here("pictures in shared memory are not read here")),
    }


CAMERA_KEYS: Final = frozenset(
    (
        "AspectRatio",
        "AssignedModels",
        "Format",
        "IP",
        "Location",
        "Mask",
        "MaskInvert",
        "Name",
        "Pass",
        "Username",
        *_ROI,
        *_LINE,
        *_LINE_OPTIONS,
        *_SHM,
    )
)
"""What is documented behind `InputCameraN`."""


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _string(value: object) -> str:
    """Return a text as it is: a password may begin with a space."""
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """Return a number, which may stand in quotes; None: it is none, or beyond all bounds."""
    try:
        number = float(value if isinstance(value, int | float) else _text(value))
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
