"""Studio's REST API: each route, who may use it, and what it does.

A handler is a plain function that runs under the emulator's lock. Paths and parameters have the
names of the official API description.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from aiohttp import web

from support.edge_impulse import answers
from support.edge_impulse.answers import Json
from support.edge_impulse.pictures import resized
from support.edge_impulse.project import (
    ApiKey,
    Box,
    Deployment,
    Emulator,
    Impulse,
    Job,
    Project,
    RefusedError,
    Sample,
)

READ: Final = frozenset({"admin", "readonly"})
WRITE: Final = frozenset({"admin"})
DEPLOYMENTS: Final = frozenset({"admin", "readonly", "ingestion_deployment"})
BUILD: Final = frozenset({"admin", "ingestion_deployment"})
ANY: Final = frozenset({"admin", "readonly", "ingestiononly", "ingestion_deployment"})

STDOUT_KEPT = 1000
"""Studio keeps the last thousand lines."""


@dataclass(frozen=True)
class File:
    """An answer that is no JSON."""

    data: bytes
    name: str
    content_type: str = "application/octet-stream"


Answer: TypeAlias = Json | File


@dataclass(frozen=True)
class Call:
    """One request, as handlers see it."""

    emulator: Emulator
    project: Project
    key: ApiKey
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    studio: str

    def number(self, name: str) -> int:
        """Return an id of the path."""
        return int(self.path[name])

    def count(self, name: str, default: int) -> int:
        """Return a number of the query."""
        return int(self.query.get(name, default))

    def flag(self, name: str) -> bool:
        """Return a yes or no of the query."""
        return self.query.get(name, "").lower() == "true"

    @property
    def impulse_id(self) -> int | None:
        """The impulse the client means; None: the default one."""
        text = self.query.get("impulseId")
        return None if text is None else int(text)

    @property
    def impulse(self) -> Impulse:
        """The same, or a refusal."""
        return self.project.impulse(self.impulse_id)

    @property
    def labels(self) -> list[str]:
        """All labels of the data."""
        return answers.labels_of(self.project.samples.values())


@dataclass(frozen=True)
class Route:
    """One operation."""

    method: str
    path: str
    """Without the /v1 in front."""
    roles: frozenset[str]
    handler: Callable[[Call], Answer] = field(compare=False)

    @property
    def pattern(self) -> str:
        """The same for aiohttp: ids are numbers, except that of a download."""
        numbers = re.sub(r"\{((?!modelDownload)\w+Id|deploymentVersion)\}", r"{\1:\\d+}", self.path)
        return f"/v1{numbers}"


ROUTES: list[Route] = []


def _route(
    method: str, path: str, roles: frozenset[str] = READ
) -> Callable[[Callable[[Call], Answer]], Callable[[Call], Answer]]:
    def register(handler: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        ROUTES.append(Route(method, path, roles, handler))
        return handler

    return register


# -- Key and project ------------------------------------------------------------------------------


@_route("GET", "/api/projects/api-key-info", ANY)
def _key_info(call: Call) -> Json:
    return {"apiKeyId": call.key.id, "projectId": call.project.id, "role": call.key.role}


@_route("GET", "/api/projects", DEPLOYMENTS)
def _projects(call: Call) -> Json:
    return {"projects": [answers.project(call.project)]}


@_route("GET", "/api/{projectId}")
def _project(call: Call) -> Json:
    impulse = call.impulse if call.project.impulses else None
    return answers.project_info(call.project, impulse, call.studio)


@_route("GET", "/api/{projectId}/public-info", DEPLOYMENTS)
def _public_info(call: Call) -> Json:
    return {
        "id": call.project.id,
        "owner": call.project.owner,
        "name": call.project.name,
        "studioUrl": f"{call.studio}/studio/{call.project.id}",
        "viewCount": 0,
        "cloneCount": 0,
    }


@_route("GET", "/api/{projectId}/last-modification", DEPLOYMENTS)
def _last_modification(call: Call) -> Json:
    answer = {"lastModificationDate": answers.date(call.project.last_modified)}
    if call.project.last_version is not None:
        answer["lastVersionDate"] = answers.date(call.project.last_version)
    return answer


@_route("GET", "/api/{projectId}/data-summary")
def _data_summary(call: Call) -> Json:
    samples = [each for each in call.project.samples.values() if each.category == "training"]
    summary = answers.data_summary(samples)
    del summary["totalLengthMs"]
    return {"dataSummary": {**summary, "hasTimeseriesDataWithMultipleLabels": False}}


@_route("GET", "/api/{projectId}/model-variants")
def _model_variants(call: Call) -> Json:
    enabled = {name for block in call.impulse.learn for name in block.available_model_types}
    return {
        "modelVariants": [
            {
                "variant": variant,
                "isReferenceVariant": variant == "float32",
                "isEnabled": variant in enabled,
                "isSelected": variant == "int8",
            }
            for variant in ("float32", "int8")
        ]
    }


@_route("GET", "/api/{projectId}/versions")
def _versions(call: Call) -> Json:
    made = call.project.last_version
    versions = [] if made is None else [_version(call.project.id, made)]
    return {
        "nextVersion": len(versions) + 1,
        "versions": versions,
        "customLearnBlocks": [],
        "runModelTestingWhileVersioning": False,
    }


def _version(project_id: int, made: datetime) -> Json:
    return {
        "id": 1,
        "version": 1,
        "description": "First version",
        "bucket": {"path": f"{project_id}/versions/1"},
        "created": answers.date(made),
    }


@_route("GET", "/api/{projectId}/devkeys")
def _devkeys(_call: Call) -> Json:
    return {}  # nothing for a key; only for a person who is logged in


@_route("GET", "/api/{projectId}/apikeys", WRITE)
def _apikeys(call: Call) -> Json:
    made = call.project.created
    return {"apiKeys": [answers.api_key(key, made) for key in call.project.keys]}


@_route("GET", "/api/{projectId}/socket-token")
def _socket_token(call: Call) -> Json:
    expires = call.emulator.clock() + timedelta(minutes=10)
    return {"token": {"socketToken": f"socket-{call.key.id}", "expires": answers.date(expires)}}


# -- Impulses -------------------------------------------------------------------------------------


@_route("GET", "/api/{projectId}/impulses")
def _impulses(call: Call) -> Json:
    impulses = [answers.impulse(impulse) for impulse in call.project.impulses]
    return {"impulses": impulses, "maxImpulseCount": 50}


@_route("GET", "/api/{projectId}/impulse")
def _impulse(call: Call) -> Json:
    if not call.project.impulses and call.impulse_id is None:
        return {}
    return {"impulse": answers.impulse(call.impulse)}


@_route("GET", "/api/{projectId}/impulse/all")
def _impulse_all(call: Call) -> Answer:
    return _impulse(call)


@_route("GET", "/api/{projectId}/impulses-detailed")
def _impulses_detailed(call: Call) -> Json:
    return {
        "impulses": [answers.detailed_impulse(each, call.labels) for each in call.project.impulses],
        "metricKeysByCategory": [],
        "extraTableColumns": [],
    }


@_route("POST", "/api/{projectId}/impulse/{impulseId}/set-thresholds", WRITE)
def _set_thresholds(call: Call) -> Json:
    impulse = call.project.impulse(call.number("impulseId"))
    wanted = {(each["blockId"], each["key"]): each["value"] for each in call.body["thresholds"]}
    for block in impulse.learn:
        block.thresholds = tuple(
            replace(known, value=wanted.get((block.id, known.key), known.value))
            for known in block.thresholds
        )
    call.project.touch()
    return {"hadModelTestingResults": False, "regenerateModelTestingStatus": "not_regenerated"}


@_route("GET", "/api/{projectId}/dsp/{dspId}")
def _dsp(call: Call) -> Json:
    for impulse in call.project.impulses:
        for block in impulse.dsp:
            if block.id == call.number("dspId"):
                return answers.dsp_config(impulse, block, call.labels)
    raise RefusedError(f"No DSP block found with ID {call.path['dspId']}")


# -- Networks and their files ---------------------------------------------------------------------


@_route("GET", "/api/{projectId}/training/keras/{learnId}")
def _keras(call: Call) -> Json:
    return answers.keras(*call.project.learn_block(call.number("learnId")))


@_route("GET", "/api/{projectId}/training/keras/{learnId}/metadata")
def _keras_metadata(call: Call) -> Json:
    _, block = call.project.learn_block(call.number("learnId"))
    labels = [] if call.flag("excludeLabels") else call.labels
    return answers.keras_metadata(block, labels)


@_route("GET", "/api/{projectId}/downloads")
def _downloads(call: Call) -> Json:
    impulse, pid = call.impulse, call.project.id
    models = [
        answers.download(pid, impulse, block, artefact)
        for block in impulse.learn
        for artefact in block.artefacts
    ]
    windows = len(call.project.samples)
    return {"downloads": [*answers.features_downloads(pid, impulse, windows), *models]}


@_route("GET", "/api/{projectId}/learn-data/{learnId}/model/{modelDownloadId}")
def _model(call: Call) -> File:
    _, block = call.project.learn_block(call.number("learnId"))
    for artefact in block.artefacts:
        if artefact.id == call.path["modelDownloadId"]:
            words = slug(f"{artefact.name} {artefact.type}").removesuffix("-model")
            words = words.replace("object-detection-model-", "object-detection-")
            name = f"ei-{slug(call.project.name)}-{words}-model.{block.id}.{artefact.ending}"
            return File(artefact.data, name)
    raise RefusedError(f"No model found with ID {call.path['modelDownloadId']}")


def slug(text: str) -> str:
    """Return a text as it stands in file names."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


@_route("GET", "/api/{projectId}/dsp-data/{dspId}/x/{category}")
def _dsp_features(call: Call) -> File:
    return File(EMPTY_NPY, f"features.{call.path['dspId']}.npy")


@_route("GET", "/api/{projectId}/dsp-data/{dspId}/y/{category}")
def _dsp_labels(call: Call) -> File:
    return File(EMPTY_NPY, f"labels.{call.path['dspId']}.npy")


EMPTY_NPY = base64.b64decode(
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDAsKSwgfSAg"
    "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAo="
)


# -- Jobs -----------------------------------------------------------------------------------------


@_route("POST", "/api/{projectId}/jobs/retrain", WRITE)
def _retrain(call: Call) -> Json:
    return {"id": call.project.retrain(call.impulse_id).id}


@_route("POST", "/api/{projectId}/jobs/generate-features", WRITE)
def _generate_features(call: Call) -> Json:
    lines = ("Creating windows from files...", f"DSP block {call.body['dspId']} done")
    return {"id": call.project.start("generate-features", "Generating features", lines).id}


@_route("POST", "/api/{projectId}/jobs/train/keras/{learnId}", WRITE)
def _train(call: Call) -> Json:
    impulse, block = call.project.learn_block(call.number("learnId"))
    return {"id": call.project.retrain(impulse.id, block.id).id}


@_route("POST", "/api/{projectId}/jobs/build-ondevice-model", BUILD)
def _build(call: Call) -> Json:
    project, impulse = call.project, call.impulse
    version = 1 + max((each.version for each in project.deployments), default=0)

    def done() -> None:
        project.deployments.append(
            Deployment(
                version,
                call.query["type"],
                call.body["engine"],
                b"PK\x05\x06" + bytes(18),  # an empty zip
                project.emulator.clock(),
                call.body.get("modelType"),
                impulse.id,
            )
        )

    job = project.start("build", "Building model", ("Building...", "Done"), done=done)
    return {"id": job.id, "deploymentVersion": version}


def _job_of(call: Call) -> Job:
    return call.project.job(call.number("jobId"))


@_route("GET", "/api/{projectId}/jobs/{jobId}/status", DEPLOYMENTS)
def _job_status(call: Call) -> Json:
    job = _job_of(call)
    call.project.polled(job)
    return {"job": answers.job(job)}


@_route("GET", "/api/{projectId}/jobs/{jobId}/stdout", DEPLOYMENTS)
def _job_stdout(call: Call) -> Json:
    job = _job_of(call)
    call.project.advance_by_clock()
    kept = job.said[-STDOUT_KEPT:][::-1]
    return {
        "stdout": [
            {"created": answers.date(moment), "data": line, "logLevel": "info"}
            for moment, line in kept[: call.count("limit", STDOUT_KEPT)]
        ],
        "totalCount": len(job.said),
    }


@_route("GET", "/api/{projectId}/jobs/{jobId}/stdout/download", DEPLOYMENTS)
def _job_log(call: Call) -> File:
    job = _job_of(call)
    call.project.advance_by_clock()
    text = "".join(line for _, line in job.said)
    return File(text.encode(), f"job-{job.id}.txt", "text/plain")


@_route("POST", "/api/{projectId}/jobs/{jobId}/cancel", WRITE)
def _job_cancel(call: Call) -> Json:
    call.project.cancel(_job_of(call))
    return {}


def _list_of_jobs(call: Call, jobs: list[Job]) -> Json:
    at = call.count("offset", 0)
    some = jobs[::-1][at : at + call.count("limit", len(jobs))]
    return {"jobs": [answers.job(job) for job in some], "totalJobCount": len(jobs)}


@_route("GET", "/api/{projectId}/jobs")
def _jobs(call: Call) -> Json:
    call.project.advance_by_clock()
    return _list_of_jobs(call, [job for job in call.project.jobs if job.active])


@_route("GET", "/api/{projectId}/jobs/all")
def _jobs_all(call: Call) -> Json:
    call.project.advance_by_clock()
    return _list_of_jobs(call, list(call.project.jobs))


@_route("GET", "/api/{projectId}/jobs/history")
def _jobs_history(call: Call) -> Json:
    call.project.advance_by_clock()
    return _list_of_jobs(call, [job for job in call.project.jobs if not job.active])


# -- Deployments ----------------------------------------------------------------------------------

TARGETS: Final = (
    ("zip", "C++ library"),
    ("runner-linux-x86_64", "Linux (x86)"),
    ("runner-linux-aarch64", "Linux (AARCH64)"),
)


def _targets() -> list[Json]:
    return [answers.deployment_target(*target) for target in TARGETS]


def _targets_of_no_project() -> list[Json]:
    only = ("recommendedForProject", "disabledForProject")
    return [{k: v for k, v in target.items() if k not in only} for target in _targets()]


@_route("GET", "/api/deployment/targets", DEPLOYMENTS)
def _all_targets(_call: Call) -> Json:
    return {"targets": _targets_of_no_project()}


@_route("GET", "/api/{projectId}/deployment/targets", DEPLOYMENTS)
def _project_targets(_call: Call) -> Json:
    return {"targets": _targets()}


@_route("GET", "/api/{projectId}/deployment/targets/data-sources", DEPLOYMENTS)
def _data_source_targets(_call: Call) -> Json:
    return {"targets": _targets_of_no_project()}


@_route("GET", "/api/{projectId}/deployment", DEPLOYMENTS)
def _has_deployment(call: Call) -> Json:
    found = [each for each in call.project.deployments if each.format == call.query["type"]]
    if not found:
        return {"hasDeployment": False}
    return {"hasDeployment": True, "version": found[-1].version}


@_route("GET", "/api/{projectId}/deployment/history", DEPLOYMENTS)
def _deployment_history(call: Call) -> Json:
    newest = call.project.deployments[::-1]
    wanted = call.query.get("deploymentFormat")
    found = [each for each in newest if wanted in (None, each.format)]
    at = call.count("offset", 0)
    some = found[at : at + call.count("limit", len(found))]
    return {
        "deployments": [answers.deployment(each, call.project) for each in some],
        "totalDeploymentCount": len(found),
    }


def _deployment_of(call: Call) -> Deployment:
    for each in call.project.deployments:
        if each.version == call.number("deploymentVersion"):
            return each
    raise RefusedError(f"No deployment found with version {call.path['deploymentVersion']}")


@_route("GET", "/api/{projectId}/deployment/history/{deploymentVersion}", DEPLOYMENTS)
def _deployment(call: Call) -> Json:
    return {"deployment": answers.deployment(_deployment_of(call), call.project)}


@_route("GET", "/api/{projectId}/deployment/history/{deploymentVersion}/download", DEPLOYMENTS)
def _deployment_download(call: Call) -> File:
    found = _deployment_of(call)
    name = f"{slug(call.project.name)}-{found.format}-v{found.version}.zip"
    return File(found.data, name)


# -- Data -----------------------------------------------------------------------------------------


def _sample_of(call: Call) -> Sample:
    return call.project.sample(call.number("sampleId"))


def _wanted(call: Call) -> list[Sample]:
    """Return the samples a query asks for, the newest first."""
    query = call.query
    category = query["category"]
    labels = json.loads(query.get("labels", "null"))
    filters = json.loads(query.get("metadata", "[]"))
    part, search = query.get("filename", ""), query.get("search", "")
    first, end = call.count("minId", 0), call.count("maxId", 1 << 62)

    def fits(sample: Sample) -> bool:
        names = {sample.label, *(box.label for box in sample.boxes)}
        return (
            category in ("all", sample.category)
            and (labels is None or not names.isdisjoint(labels))
            and part in sample.filename
            and (search in sample.filename or search in sample.label)
            and first <= sample.id < end
            and all(_has(sample, each) for each in filters)
            and _within(sample, query)
        )

    return [sample for sample in reversed(call.project.samples.values()) if fits(sample)]


def _has(sample: Sample, wanted: Json) -> bool:
    if "key" not in wanted:
        return not (wanted.get("no_metadata") and sample.metadata)
    value = sample.metadata.get(wanted["key"])
    found = value is not None and value in (wanted.get("values") or [value])
    positive: bool = wanted.get("op", "eq") == "eq"
    return found == positive


def _within(sample: Sample, query: Mapping[str, str]) -> bool:
    since, until = query.get("minDate"), query.get("maxDate")
    return (since is None or sample.added >= datetime.fromisoformat(since)) and (
        until is None or sample.added < datetime.fromisoformat(until)
    )


@_route("GET", "/api/{projectId}/raw-data")
def _samples(call: Call) -> Json:
    found = _wanted(call)
    at = call.count("offset", 0)
    some = found[at : at + call.count("limit", 12)]
    return {
        "samples": [answers.sample(each, call.project) for each in some],
        "totalCount": len(found),
    }


@_route("GET", "/api/{projectId}/raw-data/count")
def _count(call: Call) -> Json:
    return {"count": len(_wanted(call))}


@_route("GET", "/api/{projectId}/raw-data/{sampleId}")
def _sample(call: Call) -> Json:
    return answers.sample_with_payload(_sample_of(call), call.project)


@_route("DELETE", "/api/{projectId}/raw-data/{sampleId}", WRITE)
def _delete_sample(call: Call) -> Json:
    call.project.remove(_sample_of(call))
    return {}


@_route("POST", "/api/{projectId}/raw-data/delete-all", WRITE)
def _delete_all(call: Call) -> Json:
    for sample in list(call.project.samples.values()):
        call.project.remove(sample)
    return {}


@_route("POST", "/api/{projectId}/raw-data/delete-all/{category}", WRITE)
def _delete_category(call: Call) -> Json:
    for sample in list(call.project.samples.values()):
        if sample.category == call.path["category"]:
            call.project.remove(sample)
    return {}


@_route("GET", "/api/{projectId}/raw-data/{sampleId}/image")
def _image(call: Call) -> File:
    sample = _sample_of(call)
    if sample.data is None or sample.width is None:
        raise RefusedError("Sample is not an image")
    if call.flag("afterInputBlock"):
        block = call.impulse.inputs[0]
        made = resized(sample.data, (block.width, block.height), block.resize_mode)
        return File(made, "image.png", "image/png")
    kind = "image/png" if sample.data.startswith(b"\x89PNG") else "image/jpeg"
    return File(sample.data, sample.filename, kind)


@_route("POST", "/api/{projectId}/raw-data/{sampleId}/bounding-boxes", WRITE)
def _set_boxes(call: Call) -> Json:
    sample = _sample_of(call)
    sample.boxes = tuple(Box(**each) for each in call.body["boundingBoxes"])
    call.project.touch()
    return {}


@_route("POST", "/api/{projectId}/raw-data/{sampleId}/edit-label", WRITE)
def _edit_label(call: Call) -> Json:
    _sample_of(call).label = call.body["label"]
    call.project.touch()
    return {}


@_route("POST", "/api/{projectId}/raw-data/{sampleId}/metadata", WRITE)
def _set_metadata(call: Call) -> Json:
    _sample_of(call).metadata = dict(call.body.get("metadata") or {})
    call.project.touch()
    return {}


@_route("POST", "/api/{projectId}/raw-data/{sampleId}/move", WRITE)
def _move(call: Call) -> Json:
    _sample_of(call).category = call.body["newCategory"]
    call.project.touch()
    return {}


def _queue(project: Project) -> list[Sample]:
    """Return what waits for somebody to draw boxes."""
    return [each for each in project.samples.values() if not each.boxes and not each.label]


@_route("GET", "/api/{projectId}/raw-data/label-object-detection-queue")
def _label_queue(call: Call) -> Json:
    return {"samples": [{"id": each.id} for each in _queue(call.project)]}


@_route("GET", "/api/{projectId}/raw-data/label-object-detection-queue/count")
def _label_queue_count(call: Call) -> Json:
    return {"samplesCount": len(_queue(call.project))}


# -- On the wire ----------------------------------------------------------------------------------


def refusal(refused: RefusedError) -> web.Response:
    """Return a no as it goes out."""
    body = {"success": False, "error": refused.error}
    return web.json_response(body, status=refused.status)


def admit(
    emulator: Emulator, request: web.Request, roles: frozenset[str]
) -> tuple[Project, ApiKey]:
    """Return whose key a request has, if that may do what it wants."""
    found = emulator.who(request.headers.get("x-api-key", ""))
    if found is None:
        raise RefusedError("Invalid API key", 401)
    project, key = found
    if request.match_info.get("projectId", str(project.id)) != str(project.id):
        raise RefusedError("You do not have access to this project", 403)
    if key.role not in roles:
        raise RefusedError(f"An API key with the role '{key.role}' does not have permission", 403)
    return project, key


def add_routes(app: web.Application, emulator: Emulator) -> None:
    """Serve everything above."""
    for route in ROUTES:
        app.router.add_route(route.method, route.pattern, _serving(emulator, route))


def _serving(emulator: Emulator, route: Route) -> Callable[[web.Request], Any]:
    async def serve(request: web.Request) -> web.Response:
        text = await request.read()
        with emulator.lock:
            try:
                project, key = admit(emulator, request, route.roles)
                body = json.loads(text) if text else {}
                studio = str(request.url.origin())
                call = Call(emulator, project, key, request.match_info, request.query, body, studio)
                return _sent(route.handler(call))
            except RefusedError as refused:
                return refusal(refused)
            except (KeyError, TypeError, ValueError) as error:
                return refusal(RefusedError(f"Invalid request: {error!r}"))

    return serve


def _sent(answer: Answer) -> web.Response:
    if isinstance(answer, File):
        headers = {
            "Content-Type": answer.content_type,
            "Content-Disposition": f'attachment; filename="{answer.name}"',
        }
        return web.Response(body=answer.data, headers=headers)
    return web.json_response(answers.with_success(answer))
