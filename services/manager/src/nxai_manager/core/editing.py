"""Changes of a settings document, and how it is written.

A document is good settings as `read_json` gives them, and never changed in place: each function
returns another one. Keys keep the order in which a person wrote them.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from nxai_common.errors import RejectedError
from nxai_manager.core.consistency import nearest
from nxai_manager.core.document import Camera, Settings

Document = dict[str, Any]

LINE_CHARACTERS: Final = 100
INDENT: Final = "  "


class NoSuchCamera(RejectedError):  # noqa: N818 - named for what is missing
    """The settings have no camera of this id."""


class CameraExists(RejectedError):  # noqa: N818 - named for the state
    """The settings have a camera of this id already."""


def changed(document: Document, patch: Mapping[str, Any]) -> Document:
    """Return the document with a merge patch (RFC 7396) applied: null takes a key away."""
    return _in_order(merged(document, patch), document, _order(Settings))


def with_camera(document: Document, camera: Document) -> Document:
    """Return the document with one more camera.

    Raises:
        CameraExists: there is one of this id.
    """
    cameras = _cameras(document)
    if camera.get("id") in [known["id"] for known in cameras]:
        raise CameraExists(
            f"there is a camera {camera['id']!r} already; give the new one another id"
        )
    return changed(document, {"cameras": [*cameras, camera]})


def with_camera_replaced(document: Document, name: str, camera: Document) -> Document:
    """Return the document with another camera in the place of one.

    Raises:
        NoSuchCamera: there is none of this id.
    """
    return _with_each(document, [name], lambda before: arranged(camera, before))


def with_camera_changed(document: Document, name: str, patch: Mapping[str, Any]) -> Document:
    """Return the document with a merge patch applied to one camera.

    Raises:
        NoSuchCamera: there is none of this id.
    """

    def change(camera: Document) -> Document:
        if isinstance(camera.get("collect"), bool) and isinstance(patch.get("collect"), Mapping):
            camera = camera | {"collect": {"enabled": camera["collect"]}}  # its long form
        return _in_order(merged(camera, patch), camera, _order(Camera))

    return _with_each(document, [name], change)


def without_camera(document: Document, name: str) -> Document:
    """Return the document without one camera.

    Raises:
        NoSuchCamera: there is none of this id.
    """
    _check_known(document, [name])
    return document | {"cameras": [c for c in _cameras(document) if c["id"] != name]}


def with_run(document: Document, *, running: bool, cameras: Collection[str] | None) -> Document:
    """Return the document with the whole box (None) or some of its cameras run or stopped.

    Raises:
        NoSuchCamera: one of them is not in it.
    """

    def running_as_asked(part: Document) -> Document:
        return part if part.get("run", True) == running else part | {"run": running}

    if cameras is None:
        return _in_order(running_as_asked(document), document, _order(Settings))
    return _with_each(
        document,
        cameras,
        lambda camera: _in_order(running_as_asked(camera), camera, _order(Camera)),
    )


def with_camera_adjusted(
    document: Document,
    name: str,
    *,
    enabled: bool | None = None,
    run: bool | None = None,
    collect: bool | None = None,
    threshold: float | None = None,
    uncertain: float | None = None,
) -> Document:
    """Return the document with what people change often of a camera; None: as it is.

    What models have of their own on this camera gives way, or nothing would change.

    Raises:
        NoSuchCamera: there is none of this id.
    """
    patch: Document = {}
    for key, wanted in (("enabled", enabled), ("run", run), ("threshold", threshold)):
        if wanted is not None:
            patch[key] = wanted
    if collect is not None:
        patch["collect"] = {"enabled": collect}
    if uncertain is not None:
        patch["uncertain"] = {"threshold": uncertain}
    gone = {"threshold", "uncertain"} & patch.keys()
    # A model's own rule goes before the camera's (`core.doubt`): it is overruled where it is used.
    models = document.get("models", []) if "uncertain" in gone else []
    ruled = {model["id"] for model in models if "uncertain" in model}

    def adjusted(use: Any) -> Any:  # noqa: ANN401 - a name or an object
        whole = {"id": use} if isinstance(use, str) else use
        kept = {key: value for key, value in whole.items() if key not in gone}
        if whole["id"] in ruled:
            kept["uncertain"] = patch["uncertain"]
        return use if kept == whole or (isinstance(use, str) and len(kept) == 1) else kept

    def change(camera: Document) -> Document:
        uses = [adjusted(use) for use in camera.get("models", [])]
        return camera | {"models": uses} if uses else camera

    return _with_each(with_camera_changed(document, name, patch), [name], change)


def merged(value: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return `value` with a JSON merge patch (RFC 7396) applied."""
    if not isinstance(patch, Mapping):
        return patch
    found = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), change)
    return found


def arranged(value: Any, like: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return `value` with the keys of its objects in the order that they have in `like`."""
    if not isinstance(value, dict) or not isinstance(like, dict):
        return value
    keys = [*(key for key in like if key in value), *(key for key in value if key not in like)]
    return {key: arranged(value[key], like.get(key)) for key in keys}


def _cameras(document: Document) -> list[Document]:
    found: list[Document] = document.get("cameras", [])
    return found


def _check_known(document: Document, names: Collection[str]) -> None:
    known = [camera["id"] for camera in _cameras(document)]
    for name in names:
        if name not in known:
            raise NoSuchCamera(f"there is no camera {name!r}; {nearest(name, known)}")


def _with_each(
    document: Document, names: Collection[str], change: Callable[[Document], Document]
) -> Document:
    _check_known(document, names)
    cameras = [change(c) if c["id"] in names else c for c in _cameras(document)]
    return document | {"cameras": cameras}


def _order(model: type[Settings] | type[Camera]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _in_order(document: Document, before: Document, order: list[str]) -> Document:
    """Return the document with the keys that are new in it where the documentation has them."""
    keys = [key for key in document if key in before]
    for key in document:
        if key not in before:
            rank = order.index(key) if key in order else len(order)
            earlier = [keys.index(k) for k in order[:rank] if k in keys]
            keys.insert(max(earlier, default=-1) + 1 if rank < len(order) else len(keys), key)
    return {key: document[key] for key in keys}


# -- how it is written ----------------------------------------------------------------------------


def written(document: Document) -> str:
    """Return the text of a document: what fits on a line and is simple stands on one."""
    return "".join(_written(document, "", top=True)) + "\n"


def _written(value: Any, indent: str, *, top: bool = False, room: int = 0) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield the parts of a value.

    Args:
        value: Any JSON.
        indent: Of the line that it begins on.
        top: The document itself, which is never on one line.
        room: Characters on that line that are taken by something else.
    """
    line = json.dumps(value, ensure_ascii=False)
    simple = _is_simple(value) and not top
    if (
        not isinstance(value, dict | list)
        or not value
        or (simple and len(indent) + room + len(line) <= LINE_CHARACTERS)
    ):
        yield line
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner = indent + INDENT
    yield opening
    if simple and isinstance(value, list):  # a long polygon, or many numbers
        yield from _packed([json.dumps(item, ensure_ascii=False) for item in value], inner)
    else:
        items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
        for number, (key, item) in enumerate(items):
            name = "" if key is None else f"{json.dumps(key, ensure_ascii=False)}: "
            yield (",\n" if number else "\n") + inner + name
            yield from _written(item, inner, room=len(name) + 1)
    yield "\n" + indent + closing


def _packed(items: list[str], indent: str) -> Iterator[str]:
    """Yield short items, as many on a line as it holds."""
    used = LINE_CHARACTERS
    for number, item in enumerate(items):
        comma = "," if number else ""
        if used + len(item) + 3 <= LINE_CHARACTERS:
            yield f"{comma} {item}"
            used += len(item) + 2
        else:
            yield f"{comma}\n{indent}{item}"
            used = len(indent) + len(item)


def _is_simple(value: Any) -> bool:  # noqa: ANN401 - any JSON
    """Return whether a value is easy to read on one line: no objects in it, points at most."""
    if isinstance(value, dict):
        return not any(isinstance(item, dict | list) and item for item in value.values())
    if isinstance(value, list):
        return all(
            not isinstance(item, dict)
            and (not isinstance(item, list) or not any(isinstance(i, dict | list) for i in item))
            for item in value
        )
    return True
