"""The ingestion service: files in a multipart body, one answer for each.

The bytes of a request are taken in as they come; what is stored appears in Studio's raw data.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, get_args
from urllib.parse import unquote

from aiohttp import web
from aiohttp.helpers import parse_mimetype

from support.edge_impulse.faults import FILES_TO_STORE
from support.edge_impulse.multipart import BrokenMultipartError, Part, parts
from support.edge_impulse.pictures import BrokenPictureError, size_of
from support.edge_impulse.project import Box, Category, Emulator, Project, RefusedError, Sample
from support.edge_impulse.studio import admit, refusal

UPLOAD: Final = frozenset({"admin", "ingestiononly", "ingestion_deployment"})
CATEGORIES: Final = (*get_args(Category), "split", "anomaly")
PATHS: Final = (("POST", "/api/{category}/files"), ("POST", "/api/{category}/data"))

MOST_FILES = 1000
LARGEST_FILE = 100 * 1024 * 1024

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png"})
OTHERS: Final = frozenset({".json", ".cbor", ".csv", ".wav", ".mp4", ".avi", ".txt", ".parquet"})

TRAINING_SHARE = 0.8
"""Of "split"; Studio's default."""


class _BrokenError(Exception):
    """One file is not stored; the others are."""


@dataclass
class _Labels:
    """What the extra parts say about files, by their names."""

    boxes: dict[str, tuple[Box, ...]] = field(default_factory=dict)
    structured: dict[str, tuple[dict[str, object], ...]] = field(default_factory=dict)
    label: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    category: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Headers:
    """What the headers say about all files."""

    label: str | None
    """None: taken from the name of the file."""
    disallow_duplicates: bool
    add_date_id: bool
    metadata: dict[str, str]
    boxes: tuple[Box, ...]
    source: str

    @classmethod
    def of(cls, request: web.Request) -> "_Headers":
        sent = request.headers
        label = sent.get("x-label")
        unlabelled = sent.get("x-no-label") == "1" or label == ""
        return cls(
            label="" if unlabelled else None if label is None else unquote(label),
            disallow_duplicates=sent.get("x-disallow-duplicates") in ("1", "true"),
            add_date_id=sent.get("x-add-date-id") in ("1", "true"),
            metadata=_metadata(sent.get("x-metadata", "{}")),
            boxes=_boxes(_json("x-bounding-boxes", sent.get("x-bounding-boxes", "[]"))),
            source=sent.get("x-upload-source", ""),
        )


def _json(name: str, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise RefusedError(f"Invalid JSON in {name}", 400) from None


def _metadata(text: str) -> dict[str, str]:
    made = _json("x-metadata", text)
    if not isinstance(made, dict) or not all(isinstance(value, str) for value in made.values()):
        raise RefusedError("x-metadata should be an object with string values", 400)
    return made


def _boxes(made: Any) -> tuple[Box, ...]:
    try:
        boxes = tuple(Box(**each) for each in made)
    except TypeError:
        raise RefusedError("A bounding box needs label, x, y, width and height", 400) from None
    for box in boxes:
        sides = (box.x, box.y, box.width, box.height)
        if not all(isinstance(side, int) for side in sides) or min(sides[2:]) <= 0:
            raise RefusedError("A bounding box is in whole pixels, width and height above 0", 400)
    return boxes


def add_routes(app: web.Application, emulator: Emulator) -> None:
    """Serve both ways to upload."""
    app.router.add_post(PATHS[0][1], _answering(emulator, _files))
    app.router.add_post(PATHS[1][1], _answering(emulator, _legacy))


def _answering(
    emulator: Emulator, upload: Callable[[Emulator, web.Request, Project], Any]
) -> Callable[[web.Request], Any]:
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            with emulator.lock:
                project, _ = admit(emulator, request, UPLOAD)
            _check_category(request.match_info["category"], project)
            answer: web.StreamResponse = await upload(emulator, request, project)
        except RefusedError as refused:
            async for _ in request.content.iter_any():
                pass  # else the client may not see the answer
            return refusal(refused)
        return answer

    return serve


def _check_category(category: str, project: Project) -> None:
    if category not in CATEGORIES:
        raise RefusedError(f"Invalid category '{category}'", 400)
    if category == "validation" and not project.explicit_validation:
        raise RefusedError("This project has no explicit validation set", 400)


async def _files(emulator: Emulator, request: web.Request, project: Project) -> web.StreamResponse:
    headers = _Headers.of(request)
    files, labels = await _received(request)
    lose_after: int | None = request.get(FILES_TO_STORE)
    category = request.match_info["category"]
    answers = []
    for file in files[:lose_after]:
        with emulator.lock:
            answers.append(_store(emulator, project, category, headers, labels, file))
    return web.json_response({"success": True, "files": answers})


async def _received(request: web.Request) -> tuple[list[Part], _Labels]:
    content = parse_mimetype(request.headers.get("Content-Type", ""))
    if content.type != "multipart" or "boundary" not in content.parameters:
        raise RefusedError("Expected multipart/form-data", 400)
    files: list[Part] = []
    labels = _Labels()
    try:
        async for part in parts(request.content, content.parameters["boundary"], LARGEST_FILE):
            if part.name != "data" or not part.filename:
                raise RefusedError("Files should have the name 'data'", 400)
            if part.filename.endswith(".labels"):
                _read_labels(labels, part.filename, part.data)
            elif len(files) == MOST_FILES:
                raise RefusedError(f"More than {MOST_FILES} files in one request", 400)
            else:
                files.append(part)
    except BrokenMultipartError as error:
        raise RefusedError(f"Invalid multipart body: {error}", 400) from None
    if not files:
        raise RefusedError("No files in this request", 400)
    return files, labels


def _read_labels(labels: _Labels, filename: str, text: bytes) -> None:
    made = _json(filename, text)
    try:
        _take_labels(labels, filename, made)
    except (AttributeError, KeyError, TypeError):
        raise RefusedError(f"Invalid structure of {filename}", 400) from None


def _take_labels(labels: _Labels, filename: str, made: Any) -> None:
    match filename:
        case "bounding_boxes.labels":
            for name, boxes in made["boundingBoxes"].items():
                labels.boxes[name] = _boxes(boxes)
        case "structured_labels.labels":
            for name, spans in made["structuredLabels"].items():
                labels.structured[name] = tuple(spans)
        case "info.labels":
            for each in made["files"]:
                name = each.get("name") or PurePosixPath(each["path"]).name
                labels.boxes[name] = _boxes(each.get("boundingBoxes", []))
                labels.label[name] = each["label"].get("label", "")
                labels.structured[name] = tuple(each["label"].get("labels", ()))
                labels.metadata[name] = each.get("metadata") or {}
                labels.category[name] = each["category"]


def _store(
    emulator: Emulator,
    project: Project,
    category: str,
    headers: _Headers,
    labels: _Labels,
    file: Part,
) -> dict[str, Any]:
    name = file.filename
    try:
        width, height = _checked(file)
        if headers.disallow_duplicates:
            _check_new(project, file.sha256)
    except _BrokenError as broken:
        return {"success": False, "error": str(broken), "fileName": name}
    number = emulator.number()
    label = labels.label.get(name, headers.label)
    sample = Sample(
        id=number,
        filename=_with_id(name, number) if headers.add_date_id else name,
        sha256=file.sha256,
        size=file.size,
        category=_stored_in(labels.category.get(name, category), file.sha256),
        label=name.split(".", 1)[0] if label is None else label,
        added=emulator.clock(),
        data=file.data if emulator.keep_bytes else None,
        metadata={**headers.metadata, **labels.metadata.get(name, {})},
        boxes=labels.boxes.get(name) or headers.boxes,
        structured_labels=labels.structured.get(name, ()),
        width=width,
        height=height,
        source=headers.source,
    )
    project.keep(sample)
    return {
        "success": True,
        "projectId": project.id,
        "sampleId": number,
        "fileName": sample.filename,
    }


def _check_new(project: Project, sha256: str) -> None:
    if twins := project.with_hash(sha256):
        ids = ", ".join(map(str, twins))
        raise _BrokenError(f"An item with this hash already exists (ids: {ids})")


def _checked(file: Part) -> tuple[int | None, int | None]:
    """Return the size of a picture; of other files nothing is known."""
    if file.size > LARGEST_FILE:
        raise _BrokenError(f"File is larger than {LARGEST_FILE} bytes")
    ending = PurePosixPath(file.filename.lower()).suffix
    if ending in OTHERS:
        return None, None
    if ending not in PICTURES:
        raise _BrokenError(f"Unsupported file type '{ending}'")
    try:
        return size_of(file.data)
    except BrokenPictureError as error:
        raise _BrokenError(str(error)) from None


def _stored_in(category: str, sha256: str) -> Category:
    if category == "split":
        return "training" if int(sha256[:8], 16) / (1 << 32) < TRAINING_SHARE else "testing"
    known: tuple[Category, ...] = get_args(Category)
    for each in known:
        if category == each:
            return each
    return "training"  # anomalies are training data with a label of their own


def _with_id(filename: str, number: int) -> str:
    stem, dot, ending = filename.rpartition(".")
    return f"{stem}.{number:x}{dot}{ending}" if dot else f"{filename}.{number:x}"


async def _legacy(emulator: Emulator, request: web.Request, project: Project) -> web.StreamResponse:
    filename = request.headers.get("x-file-name")
    if not filename:
        raise RefusedError("Missing header x-file-name", 422)
    data = bytearray()
    async for block in request.content.iter_any():
        data += block
    file = Part("data", filename, bytes(data), hashlib.sha256(data).hexdigest(), len(data))
    headers, category = _Headers.of(request), request.match_info["category"]
    with emulator.lock:
        answer = _store(emulator, project, category, headers, _Labels(), file)
    if not answer["success"]:
        raise RefusedError(answer["error"], 400)
    return web.Response(text=answer["fileName"])
