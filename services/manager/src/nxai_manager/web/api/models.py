"""Models: the catalogue, what runs where, new ones from files, and trying one on a picture."""

import asyncio
import re
import secrets
from http import HTTPStatus
from pathlib import PurePath
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field, StringConstraints

from nxai_common.contracts import commands as c
from nxai_common.contracts.base import MAX_PAYLOAD_BYTES
from nxai_common.contracts.collecting import Fraction
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.models import (
    CATALOGUE,
    Digest,
    InputScaling,
    ModelManifest,
    ResizeMode,
    Task,
)
from nxai_common.contracts.status import ModelStatus
from nxai_common.contracts.topics import Level
from nxai_manager.core.accounts import Scope
from nxai_manager.web import endpoint
from nxai_manager.web.answer import Answer, FieldProblem, Refused
from nxai_manager.web.box import Box
from nxai_manager.web.endpoint import Call, Endpoint, Form

TAG: Final = "models"
PART_BYTES: Final = 1024 * 1024
"""Of a file on its way to cloud-sync: a broker carries it in milliseconds, between two frames."""
PICTURE_BYTES: Final = MAX_PAYLOAD_BYTES - 65_536
TEST_S: Final = 60.0
"""Loading, converting and timing a large model on a small box."""
SUFFIXES: Final = (".tflite", ".lite", ".onnx", ".zip")
MODEL_FILE: Final = "application/octet-stream"


class ModelName(Form):
    """Which model."""

    model: Level
    """Its name in topics."""


class VersionName(Form):
    """Which version."""

    digest: Digest


class ModelAnswer(Answer):
    """One model that can run, or runs, on cameras."""

    model: Level
    name: str
    source: str
    """`settings` or `imported`."""
    cameras: tuple[Level, ...] = ()
    """On which it is used."""
    manifest: ModelManifest | None = None
    """As inference offers it; null: it does not."""
    status: ModelStatus | None = None
    """As inference sees it."""
    deployment: Deployment | None = None
    """Of an imported model that is deployed."""
    shadow_of: str = ""
    """It is a version that is tried beside this model."""


class ModelList(Answer):
    """All models."""

    models: tuple[ModelAnswer, ...]
    versions: tuple[dict[str, Any], ...]
    """The catalogue of imported versions, newest first; see docs of cloud-sync's `models`."""
    catalogue_trouble: str = ""
    """Why the catalogue cannot be told; empty: it is complete."""


class EditVersion(Form):
    """What people read of a version."""

    title: Annotated[str, StringConstraints(max_length=200)] | None = None
    documentation: Annotated[str, StringConstraints(max_length=100_000)] | None = None
    """Markdown."""


class FileName(Form):
    """How the file is called."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]


class ReceivedFile(Answer):
    """A file that waits to be imported."""

    file: str
    """What `POST /models/import` calls it."""
    bytes: int


class ImportFile(Form):
    """Import a file that was received."""

    file: str
    model: Level | None = None
    """Name in topics; left out: made of the file's name."""
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    labels: Annotated[tuple[str, ...], Field(max_length=1000)] | None = None
    """In the order of the tensor; needed where the file does not tell them."""
    task: Task | None = None
    resize_mode: ResizeMode | None = None
    input_scaling: InputScaling | None = None
    threshold: Fraction | None = None


class JobStarted(Answer):
    """A job that tells how it goes over the live WebSocket (`progress`) and `GET /jobs`."""

    job: str
    reason: str = ""


class DeployVersion(Form):
    """Where a model shall run."""

    digest: Digest | None = None
    """Left out: the newest version that passed its test."""
    cameras: Annotated[tuple[Level, ...], Field(max_length=1000)] | None = None
    """Left out: those it has."""
    threshold: Fraction | None = None
    how: Annotated[str, Field(pattern="^(shadow|at-once)$")] = "shadow"
    """How another version takes over from one that runs: tried beside it first, or at once."""


class TakeAway(Form):
    """From where a model shall be taken away."""

    cameras: Annotated[tuple[Level, ...], Field(max_length=1000)] | None = None
    """Left out: from all."""


class Done(Answer):
    """It was done."""

    reason: str = ""
    """What happens now."""


class DetectWith(Form):
    """Which model shall look."""

    model: Level | None = None
    """One that inference offers."""
    digest: Digest | None = None
    """Or an imported version, whether it runs or not."""
    threshold: Fraction | None = None


class DetectAnswer(Answer):
    """What a model found in a picture."""

    result: dict[str, Any]
    """An `InferenceResult` (docs/messages.md), without tensors."""


async def list_models(call: Call) -> ModelList:
    """Return the models that run or can run, and the catalogue of imported versions.

    Where cloud-sync does not answer, the models that inference offers are told all the same.
    """
    box = call.box
    trouble, catalogue = "", {}
    try:
        catalogue = await box.ask_json(c.ListModels())
    except Refused as refusal:
        trouble = refusal.detail
    versions = tuple(catalogue.get("versions", ()))
    return ModelList(
        models=tuple(known_models(box, versions)), versions=versions, catalogue_trouble=trouble
    )


def known_models(box: Box, versions: tuple[dict[str, Any], ...]) -> list[ModelAnswer]:
    """Return each model by its name in topics: of the settings, deployed, or only imported."""
    manifests, deployments = box.hub.manifests(), box.hub.deployments()
    statuses = {m.model: m for s in box.hub.statuses().values() for m in s.models}
    settings = box.desk.settings
    own = {m.id: m for m in settings.models} if settings is not None else {}
    used: dict[str, list[str]] = {}
    for camera in settings.cameras if settings is not None else ():
        for use in camera.models:
            used.setdefault(use.id, []).append(camera.id)
    titles = {v["model"]: v.get("title", "") for v in reversed(versions) if v.get("model")}
    names = dict.fromkeys((*own, *deployments, *manifests, *titles))
    told = []
    for name in names:
        manifest, deployment = manifests.get(name), deployments.get(name)
        candidate = next(
            (
                d.model
                for d in deployments.values()
                if d.candidate is not None
                and manifest is not None
                and d.model != name
                and d.candidate.digest == manifest.digest
                and name not in own
            ),
            "",
        )
        title = (
            (own[name].name if name in own else None)
            or (deployment.name if deployment is not None else "")
            or titles.get(name)
            or (manifest.name if manifest is not None else "")
            or name
        )
        told.append(
            ModelAnswer(
                model=name,
                name=title,
                source="settings" if name in own else "imported",
                cameras=tuple(used.get(name, ()))
                if name in own
                else (deployment.cameras if deployment is not None else ()),
                manifest=manifest,
                status=statuses.get(name),
                deployment=deployment,
                shadow_of=candidate,
            )
        )
    return told


async def edit_version(call: Call) -> None:
    """Change the title or the documentation of an imported version."""
    edit: EditVersion = call.body
    await call.box.ask(
        c.EditModel(digest=call.path.digest, title=edit.title, documentation=edit.documentation)
    )


async def delete_version(call: Call) -> None:
    """Delete an imported version that is not in use."""
    await call.box.ask(c.DeleteModel(digest=call.path.digest))


async def receive_file(call: Call) -> ReceivedFile:
    """Take a model file (.tflite, .onnx) or an archive (.zip) as it comes, for an import.

    Send the bytes as the body. What was received is thrown away when the sender goes away, or
    when nobody imports it.
    """
    name = _file_name(call.query.name)
    request, box = call.request, call.box
    announced = request.content_length
    if announced is not None and announced > c.MAX_INCOMING_BYTES:
        raise _too_large()
    try:
        size = await _hand_on(request, box, name)
    except BaseException:  # a sender who went away, too: it must not fill the disk of the box
        box.bus.publish(c.DiscardFile(file=name))
        raise
    return ReceivedFile(file=name, bytes=size)


async def _hand_on(request: web.Request, box: Box, name: str) -> int:
    """Hand a file on to cloud-sync, part by part; return its size."""
    size = 0
    while part := await _next_part(request):
        if size + len(part) > c.MAX_INCOMING_BYTES:
            raise _too_large()
        await box.ask(c.ReceiveFile(file=name, offset=size, attachment=part), 30)
        size += len(part)
    if not size:
        raise Refused(HTTPStatus.BAD_REQUEST, "the file is empty")
    return size


async def _next_part(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(endpoint.BODY_S):  # of each: a large file may take its time
            return await _part(request)
    except TimeoutError:
        raise endpoint.too_slow() from None


async def _part(request: web.Request) -> bytes:
    chunks, size = [], 0
    while size < PART_BYTES:
        chunk = await request.content.read(PART_BYTES - size)
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _too_large() -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the file is larger than {c.MAX_INCOMING_BYTES // 1024**2} MB; no model for a box is",
    )


def _file_name(given: str) -> str:
    """Return a name for the incoming file: safe on any disk, and that of no other upload."""
    path = PurePath(given.replace("\\", "/"))
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"{given[:100]!r} is no model: take a .tflite, .lite or .onnx file, or the .zip that "
            "Edge Impulse or Teachable Machine gives",
            (FieldProblem(where="name", reason="must end with " + ", ".join(SUFFIXES)),),
        )
    stem = re.sub(r"[^A-Za-z0-9._ ()-]+", "-", path.stem).strip(". -")[:80] or "model"
    return f"{stem.lstrip('._ ()-') or 'model'}.{secrets.token_hex(3)}{suffix}"


async def import_file(call: Call) -> JobStarted:
    """Import a file that was received: it is converted, tested and timed (a job)."""
    order: ImportFile = call.body
    title = order.title
    reply = await call.box.ask(c.ImportModel(**order.model_dump(exclude={"title"}), title=title))
    return _started(reply)


def _started(reply: c.Reply) -> JobStarted:
    return JobStarted(job=str(reply.details.get("job", "")), reason=reply.reason)


async def deploy(call: Call) -> Done:
    """Let a model run on cameras; another version than the one in force is tried first."""
    order: DeployVersion = call.body
    return await _done(
        call,
        c.DeployModel.model_validate(
            {"model": call.path.model, **order.model_dump(exclude_none=True)}
        ),
    )


async def undeploy(call: Call) -> Done:
    """Take a model from all cameras, or from some."""
    return await _done(call, c.UndeployModel(model=call.path.model, cameras=call.body.cameras))


async def promote(call: Call) -> Done:
    """Put the version that is tried beside the model in force."""
    return await _done(call, c.PromoteModel(model=call.path.model))


async def end_trial(call: Call) -> Done:
    """End a trial; the model in force stays."""
    return await _done(call, c.EndShadow(model=call.path.model))


async def roll_back(call: Call) -> Done:
    """Put the version before in force again."""
    return await _done(call, c.RollBackModel(model=call.path.model))


async def _done(call: Call, command: c.Command) -> Done:
    reply = await call.box.ask(command)
    return Done(reason=reply.reason)


async def detect(call: Call) -> DetectAnswer:
    """Look at a picture (JPEG or PNG, the body) with a model, as with a frame of a camera."""
    wanted: DetectWith = call.query
    if (wanted.model is None) == (wanted.digest is None):
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "say either `model` or `digest`")
    picture = await read_up_to(call, PICTURE_BYTES, "the picture")
    desired = None
    if wanted.digest is not None:
        desired = DesiredModel(id="tried", path=f"{CATALOGUE}{wanted.digest}")
    command = c.DetectPicture(
        model=wanted.model, desired=desired, threshold=wanted.threshold, attachment=picture
    )
    return DetectAnswer(result=await call.box.ask_json(command, TEST_S))


async def read_up_to(call: Call, limit: int, what: str) -> bytes:
    """Return the body, which is no JSON.

    Raises:
        Refused: it is empty or larger, or does not come.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(endpoint.BODY_S):
            async for chunk in call.request.content.iter_chunked(256 * 1024):
                body += chunk
                if len(body) > limit:
                    raise Refused(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        f"{what} is larger than {limit // 1024**2} MB",
                    )
    except TimeoutError:
        raise endpoint.too_slow() from None
    if not body:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{what} is empty: send its bytes as the body")
    return bytes(body)


ENDPOINTS: Final = (
    Endpoint("GET", "/models", list_models, Scope.READ, ModelList, tag=TAG),
    Endpoint(
        "PATCH",
        "/models/versions/{digest}",
        edit_version,
        Scope.CONFIGURE,
        body=EditVersion,
        path_model=VersionName,
        tag=TAG,
    ),
    Endpoint(
        "DELETE",
        "/models/versions/{digest}",
        delete_version,
        Scope.CONFIGURE,
        path_model=VersionName,
        tag=TAG,
    ),
    Endpoint(
        "POST",
        "/models/files",
        receive_file,
        Scope.CONFIGURE,
        ReceivedFile,
        query=FileName,
        raw_body=MODEL_FILE,
        tag=TAG,
    ),
    Endpoint(
        "POST", "/models/import", import_file, Scope.CONFIGURE, JobStarted, body=ImportFile, tag=TAG
    ),
    Endpoint(
        "POST",
        "/models/{model}/deploy",
        deploy,
        Scope.CONFIGURE,
        Done,
        body=DeployVersion,
        path_model=ModelName,
        tag=TAG,
    ),
    Endpoint(
        "POST",
        "/models/{model}/undeploy",
        undeploy,
        Scope.CONFIGURE,
        Done,
        body=TakeAway,
        path_model=ModelName,
        tag=TAG,
    ),
    *(
        Endpoint(
            "POST",
            f"/models/{{model}}/{name}",
            handler,
            Scope.OPERATE,
            Done,
            path_model=ModelName,
            tag=TAG,
        )
        for name, handler in (
            ("promote", promote),
            ("end-trial", end_trial),
            ("roll-back", roll_back),
        )
    ),
    Endpoint(
        "POST",
        "/models/detect",
        detect,
        Scope.OPERATE,
        DetectAnswer,
        query=DetectWith,
        raw_body="application/octet-stream",
        tag=TAG,
    ),
)
