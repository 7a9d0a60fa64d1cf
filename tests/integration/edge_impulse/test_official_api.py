"""Every answer of the emulator, called for and parsed by Edge Impulse's own client.

The client builds its models without checking them, so `complaints` holds each answer against the
client's own description of it: fields that are missing, unknown, or of another kind.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import edgeimpulse_api
import pytest
from edgeimpulse_api import exceptions, models
from pydantic import v1 as pydantic_v1

from support.edge_impulse import (
    Artefact,
    Box,
    Deployment,
    Emulator,
    Project,
    Threshold,
    Training,
    fomo,
    running,
    tflite_like,
)
from support.edge_impulse.pictures import jpeg
from support.edge_impulse.studio import ROUTES

CLIENT_BUG = "Multiple matches found when deserializing"
"""Version 1.96.3 takes each number for a number and for a text, and raises: it can read no
threshold, the emulator's nor Studio's."""

FLOAT32, INT8 = tflite_like(1), tflite_like(2)
ARCHIVE = b"PK\x05\x06" + bytes(18)


@dataclass
class World:
    """A project with something of everything, and the official client for it."""

    project: Project
    client: Any
    sample: int
    job: int
    """One that was started and is queued."""

    def __post_init__(self) -> None:
        self.projects = edgeimpulse_api.ProjectsApi(self.client)
        self.impulse = edgeimpulse_api.ImpulseApi(self.client)
        self.learn = edgeimpulse_api.LearnApi(self.client)
        self.dsp = edgeimpulse_api.DSPApi(self.client)
        self.jobs = edgeimpulse_api.JobsApi(self.client)
        self.deployment = edgeimpulse_api.DeploymentApi(self.client)
        self.raw_data = edgeimpulse_api.RawDataApi(self.client)

    def rest(self) -> None:
        """End the job, so that another may start."""
        self.project.cancel(self.project.job(self.job))


def official_client(url: str, key: str) -> Any:
    configuration = edgeimpulse_api.Configuration(host=url)
    configuration.api_key["ApiKeyAuthentication"] = key
    return edgeimpulse_api.ApiClient(configuration)


@pytest.fixture
def world(emulator: Emulator) -> Iterator[World]:
    project = emulator.add_project("Parcels", key="ei_admin")
    impulse = fomo(("box", "bag"), float32=FLOAT32, int8=INT8)
    impulse.learn[0].organization_model_id = 7
    impulse.learn[0].thresholds = ()  # see CLIENT_BUG
    project.add_impulse(impulse)
    project.last_version = project.created
    sample = project.add_sample(
        "a.jpg", jpeg(0), boxes=[Box("box", 1, 2, 3, 4)], metadata={"camera": "gate"}
    )
    project.add_sample("b.jpg", jpeg(9), "testing", label="bag")
    project.add_sample("c.csv", b"1,2", label="bag").structured_labels = (
        {"startIndex": 0, "endIndex": 1, "label": "bag"},
    )
    project.deployments.append(Deployment(1, "zip", "tflite-eon", ARCHIVE))
    job = project.retrain(None)
    project.advance(job, 2)
    with running(emulator) as urls:
        client = official_client(urls.studio, "ei_admin")
        yield World(project, client, sample.id, job.id)
        client.rest_client.pool_manager.clear()


Answer = Callable[[World, int], Any]


def started(call: Callable[[World, int], Any]) -> Answer:
    def after_a_rest(world: World, pid: int) -> Any:
        world.rest()
        return call(world, pid)

    return after_a_rest


PARSED: dict[tuple[str, str], Answer] = {
    ("GET", "/api/projects/api-key-info"): lambda w, _: w.projects.get_current_api_key_info(),
    ("GET", "/api/projects"): lambda w, _: w.projects.list_projects(),
    ("GET", "/api/{projectId}"): lambda w, p: w.projects.get_project_info(p, impulse_id=1),
    ("GET", "/api/{projectId}/public-info"): lambda w, p: w.projects.get_project_info_summary(p),
    ("GET", "/api/{projectId}/last-modification"): lambda w, p: (
        w.projects.get_project_last_modification_date(p)
    ),
    ("GET", "/api/{projectId}/data-summary"): lambda w, p: (
        w.projects.get_project_training_data_summary(p)
    ),
    ("GET", "/api/{projectId}/model-variants"): lambda w, p: w.projects.get_model_variants(p),
    ("GET", "/api/{projectId}/versions"): lambda w, p: w.projects.list_versions(p),
    ("GET", "/api/{projectId}/devkeys"): lambda w, p: w.projects.list_devkeys(p),
    ("GET", "/api/{projectId}/apikeys"): lambda w, p: w.projects.list_project_api_keys(p),
    ("GET", "/api/{projectId}/socket-token"): lambda w, p: w.projects.get_socket_token(p),
    ("GET", "/api/{projectId}/downloads"): lambda w, p: w.projects.list_downloads(p),
    ("GET", "/api/{projectId}/impulses"): lambda w, p: w.impulse.get_all_impulses(p),
    ("GET", "/api/{projectId}/impulse"): lambda w, p: w.impulse.get_impulse(p, impulse_id=1),
    ("GET", "/api/{projectId}/impulse/all"): lambda w, p: w.impulse.get_impulse_all(p),
    ("GET", "/api/{projectId}/impulses-detailed"): lambda w, p: w.impulse.get_all_detailed_impulses(
        p
    ),
    ("POST", "/api/{projectId}/impulse/{impulseId}/set-thresholds"): lambda w, p: (
        w.client.call_api(  # as its method does, which cannot write numbers: see CLIENT_BUG
            "/api/{projectId}/impulse/{impulseId}/set-thresholds",
            "POST",
            path_params={"projectId": p, "impulseId": 1},
            header_params={"Content-Type": "application/json"},
            body={
                "thresholds": [{"blockId": 3, "key": "min_score", "value": 0.7}],
                "allowCreatingRegenerateModelTestingJobs": False,
            },
            response_types_map={"200": "SetImpulseThresholdsResponse"},
            auth_settings=["ApiKeyAuthentication"],
            _return_http_data_only=True,
        )
    ),
    ("GET", "/api/{projectId}/dsp/{dspId}"): lambda w, p: w.dsp.get_dsp_config(p, 2),
    ("GET", "/api/{projectId}/training/keras/{learnId}"): lambda w, p: w.learn.get_keras(p, 3),
    ("GET", "/api/{projectId}/training/keras/{learnId}/metadata"): lambda w, p: (
        w.learn.get_keras_metadata(p, 3)
    ),
    ("POST", "/api/{projectId}/jobs/retrain"): started(lambda w, p: w.jobs.start_retrain_job(p)),
    ("POST", "/api/{projectId}/jobs/generate-features"): started(
        lambda w, p: w.jobs.generate_features_job(p, models.GenerateFeaturesRequest(dspId=2))
    ),
    ("POST", "/api/{projectId}/jobs/train/keras/{learnId}"): started(
        lambda w, p: w.jobs.train_keras_job(p, 3, models.SetKerasParameterRequest(mode="visual"))
    ),
    ("POST", "/api/{projectId}/jobs/build-ondevice-model"): started(
        lambda w, p: w.jobs.build_on_device_model_job(
            p, "zip", models.BuildOnDeviceModelRequest(engine="tflite-eon", modelType="int8")
        )
    ),
    ("GET", "/api/{projectId}/jobs/{jobId}/status"): lambda w, p: w.jobs.get_job_status(p, w.job),
    ("GET", "/api/{projectId}/jobs/{jobId}/stdout"): lambda w, p: w.jobs.get_jobs_logs(
        p, w.job, limit=5
    ),
    ("POST", "/api/{projectId}/jobs/{jobId}/cancel"): lambda w, p: w.jobs.cancel_job(
        p, w.job, force_cancel="true"
    ),
    ("GET", "/api/{projectId}/jobs"): lambda w, p: w.jobs.list_active_jobs(p),
    ("GET", "/api/{projectId}/jobs/all"): lambda w, p: w.jobs.list_all_jobs(p, limit=5),
    ("GET", "/api/{projectId}/jobs/history"): started(lambda w, p: w.jobs.list_finished_jobs(p)),
    ("GET", "/api/deployment/targets"): lambda w, _: w.deployment.list_all_deployment_targets(),
    ("GET", "/api/{projectId}/deployment/targets"): lambda w, p: (
        w.deployment.list_deployment_targets_for_project(p)
    ),
    ("GET", "/api/{projectId}/deployment/targets/data-sources"): lambda w, p: (
        w.deployment.list_deployment_targets_for_project_data_sources(p)
    ),
    ("GET", "/api/{projectId}/deployment"): lambda w, p: w.deployment.get_deployment(p, "zip"),
    ("GET", "/api/{projectId}/deployment/history"): lambda w, p: (
        w.deployment.list_deployment_history(p, impulse_id=1)
    ),
    ("GET", "/api/{projectId}/deployment/history/{deploymentVersion}"): lambda w, p: (
        w.deployment.get_historic_deployment(p, 1)
    ),
    ("GET", "/api/{projectId}/raw-data"): lambda w, p: w.raw_data.list_samples(p, "all", limit=9),
    ("GET", "/api/{projectId}/raw-data/count"): lambda w, p: w.raw_data.count_samples(p, "all"),
    ("GET", "/api/{projectId}/raw-data/{sampleId}"): lambda w, p: w.raw_data.get_sample(
        p, w.sample
    ),
    ("DELETE", "/api/{projectId}/raw-data/{sampleId}"): lambda w, p: w.raw_data.delete_sample(
        p, w.sample
    ),
    ("POST", "/api/{projectId}/raw-data/delete-all"): lambda w, p: w.raw_data.delete_all_samples(p),
    ("POST", "/api/{projectId}/raw-data/delete-all/{category}"): lambda w, p: (
        w.raw_data.delete_all_samples_by_category(p, "training")
    ),
    ("POST", "/api/{projectId}/raw-data/{sampleId}/bounding-boxes"): lambda w, p: (
        w.raw_data.set_sample_bounding_boxes(
            p,
            w.sample,
            models.SampleBoundingBoxesRequest.from_dict(
                {"boundingBoxes": [{"label": "bag", "x": 1, "y": 1, "width": 2, "height": 2}]}
            ),
        )
    ),
    ("POST", "/api/{projectId}/raw-data/{sampleId}/edit-label"): lambda w, p: w.raw_data.edit_label(
        p, w.sample, models.EditSampleLabelRequest(label="new")
    ),
    ("POST", "/api/{projectId}/raw-data/{sampleId}/metadata"): lambda w, p: (
        w.raw_data.set_sample_metadata(
            p, w.sample, models.SetSampleMetadataRequest(metadata={"camera": "door"})
        )
    ),
    ("POST", "/api/{projectId}/raw-data/{sampleId}/move"): lambda w, p: w.raw_data.move_sample(
        p, w.sample, models.MoveRawDataRequest(newCategory="testing")
    ),
    ("GET", "/api/{projectId}/raw-data/label-object-detection-queue"): lambda w, p: (
        w.raw_data.get_object_detection_label_queue(p)
    ),
    ("GET", "/api/{projectId}/raw-data/label-object-detection-queue/count"): lambda w, p: (
        w.raw_data.get_object_detection_label_queue_count(p)
    ),
}
"""What the client turns into one of its models."""

AS_THEY_ARE: dict[tuple[str, str], tuple[Answer, bytes]] = {
    ("GET", "/api/{projectId}/learn-data/{learnId}/model/{modelDownloadId}"): (
        lambda w, p: w.learn.download_learn_model(p, 3, "tflite-int8", _preload_content=False),
        INT8,
    ),
    ("GET", "/api/{projectId}/dsp-data/{dspId}/x/{category}"): (
        lambda w, p: w.dsp.download_dsp_data(p, 2, "training", _preload_content=False),
        b"\x93NUMPY",
    ),
    ("GET", "/api/{projectId}/dsp-data/{dspId}/y/{category}"): (
        lambda w, p: w.dsp.download_dsp_labels(p, 2, "training", _preload_content=False),
        b"\x93NUMPY",
    ),
    ("GET", "/api/{projectId}/jobs/{jobId}/stdout/download"): (
        lambda w, p: w.jobs.download_jobs_logs(p, w.job, _preload_content=False),
        b"Creating job... OK\nTraining model...\n",
    ),
    ("GET", "/api/{projectId}/deployment/history/{deploymentVersion}/download"): (
        lambda w, p: w.deployment.download_historic_deployment(p, 1, _preload_content=False),
        ARCHIVE,
    ),
    ("GET", "/api/{projectId}/raw-data/{sampleId}/image"): (
        lambda w, p: w.raw_data.get_sample_as_image(p, w.sample, _preload_content=False),
        jpeg(0),
    ),
}
"""Bytes; the client would decode them as text if it were let."""


def complaints(model: type[Any], value: Any, where: str = "") -> list[str]:
    """Return how a value differs from the client's description of it."""
    if "actual_instance" in model.__fields__:  # one of several kinds, none of which is a model
        kinds = [each for name, each in model.__fields__.items() if name.startswith("oneof_")]
        fits = any(kind.validate(value, {}, loc=where)[1] is None for kind in kinds)
        return [] if fits else [f"{where}: {value!r} is none of its kinds"]
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no {model.__name__}"]
    fields = {field.alias: field for field in model.__fields__.values()}
    found = [f"{where}.{name} is unknown" for name in value.keys() - fields.keys()]
    for name, field in fields.items():
        at = f"{where}.{name}"
        if name not in value:
            if field.required:
                found.append(f"{at} is missing")
        elif isinstance(field.type_, type) and issubclass(field.type_, pydantic_v1.BaseModel):
            several = value[name] if isinstance(value[name], list) else [value[name]]
            for each in several:
                found += complaints(field.type_, each, at)
        else:
            _, error = field.validate(value[name], {}, loc=name)
            if error:
                found.append(f"{at}: {error}")
    return found


@pytest.mark.parametrize("route", PARSED, ids=" ".join)
def test_the_official_client_parses_each_answer(
    world: World, emulator: Emulator, route: tuple[str, str]
) -> None:
    parsed = PARSED[route](world, world.project.id)
    asked = emulator.requests[-1]
    assert (asked.method, re.sub(r"\?.*", "", asked.path)) == (route[0], filled(route[1], world))
    answer = json.loads(world.client.last_response.data)
    assert parsed.success is True
    assert complaints(type(parsed), answer) == []
    assert sum(len(json.dumps(each)) for each in answer.values()) >= len("true")


@pytest.mark.parametrize("route", AS_THEY_ARE, ids=" ".join)
def test_the_official_client_downloads_each_file(
    world: World, emulator: Emulator, route: tuple[str, str]
) -> None:
    call, start = AS_THEY_ARE[route]
    answer = call(world, world.project.id)
    assert emulator.requests[-1].path == filled(route[1], world)
    assert answer.status == 200
    assert answer.data.startswith(start)


def filled(path: str, world: World) -> str:
    """Return a path of the table with the ids of this world."""
    ids = {
        "projectId": world.project.id,
        "impulseId": 1,
        "dspId": 2,
        "learnId": 3,
        "jobId": world.job,
        "sampleId": world.sample,
        "deploymentVersion": 1,
        "category": "training",
        "modelDownloadId": "tflite-int8",
    }
    return "/v1" + re.sub(r"\{(\w+)\}", lambda found: str(ids[found[1]]), path)


def test_no_route_is_left_out() -> None:
    served = {(route.method, route.path) for route in ROUTES}
    assert served == PARSED.keys() | AS_THEY_ARE.keys()


def test_complaints_find_what_is_wrong() -> None:
    wrong = {"success": "yes", "deployments": [{"engine": "steam"}], "more": 1}
    found = "\n".join(complaints(models.ListDeploymentHistoryResponse, wrong))
    for part in (
        ".success: ",
        ".more is unknown",
        ".totalDeploymentCount is missing",
        ".deployments.engine: ",
        ".deployments.created is missing",
    ):
        assert part in found


def test_thresholds_are_as_the_official_client_describes_them(world: World) -> None:
    pid = world.project.id
    world.project.impulses[0].learn[0].thresholds = (Threshold(), Threshold("nms", 0.2, "Overlap"))
    PARSED["POST", "/api/{projectId}/impulse/{impulseId}/set-thresholds"](world, pid)
    for call, arguments, model in (
        (world.learn.get_keras, (pid, 3), models.KerasResponse),
        (world.learn.get_keras_metadata, (pid, 3), models.KerasModelMetadataResponse),
        (
            world.impulse.get_all_detailed_impulses,
            (pid,),
            models.GetAllDetailedImpulsesResponse,
        ),
    ):
        text = call(*arguments, _preload_content=False).data
        assert complaints(model, json.loads(text)) == []
        assert re.findall(rb'"value": (0\.\d)', text)[:2] == [b"0.7", b"0.2"]
        with pytest.raises(ValueError, match=CLIENT_BUG):
            call(*arguments)


def test_the_official_client_sees_changes(world: World) -> None:
    pid = world.project.id
    for path in ("bounding-boxes", "edit-label", "metadata", "move"):
        PARSED["POST", f"/api/{{projectId}}/raw-data/{{sampleId}}/{path}"](world, pid)
    sample = world.raw_data.get_sample(pid, world.sample).sample
    assert [box.to_dict() for box in sample.bounding_boxes] == [
        {"label": "bag", "x": 1, "y": 1, "width": 2, "height": 2}
    ]
    assert (sample.label, sample.metadata, sample.category) == (
        "new",
        {"camera": "door"},
        "testing",
    )


def test_an_untrained_project_is_parsed_too(world: World, emulator: Emulator) -> None:
    world.project.keys.clear()
    empty = emulator.add_project("Empty", key="ei_admin")
    impulse = world.impulse.get_impulse(empty.id)
    assert (impulse.success, impulse.impulse) == (True, None)
    info = world.projects.get_project_info(empty.id)
    assert complaints(type(info), json.loads(world.client.last_response.data)) == []
    assert (info.impulse.created, info.default_impulse_id) == (False, None)
    block = empty.add_impulse(fomo(())).learn[0]
    block.artefacts, block.thresholds = (), ()
    metadata = world.learn.get_keras_metadata(empty.id, 3)
    assert complaints(type(metadata), json.loads(world.client.last_response.data)) == []
    assert (metadata.has_trained_model, metadata.recommended_model_type) == (
        False,
        "requiresRetrain",
    )
    empty.train(Training((Artefact("float", "TensorFlow Lite (float32)", FLOAT32),), ("box",)))
    assert world.learn.get_keras_metadata(empty.id, 3).available_model_types == ["float32"]


@pytest.mark.parametrize(
    ("key", "raised"),
    [
        ("ei_wrong", exceptions.UnauthorizedException),
        ("ei_other", exceptions.ForbiddenException),
        ("ei_uploader", exceptions.ForbiddenException),
    ],
)
def test_refusals_are_what_the_official_client_expects(
    world: World, emulator: Emulator, key: str, raised: Any
) -> None:
    emulator.add_project("Other", key="ei_other")
    world.project.add_key("ei_uploader", "ingestiononly")
    world.client.configuration.api_key["ApiKeyAuthentication"] = key
    with pytest.raises(raised) as caught:
        world.projects.get_project_info(world.project.id)
    assert json.loads(caught.value.body)["success"] is False


def test_a_no_with_status_200_is_raised_by_the_official_client(world: World) -> None:
    with pytest.raises(Exception, match=r"^No sample found with ID 5$"):
        world.raw_data.get_sample(world.project.id, 5)
    with pytest.raises(Exception, match=r"^Unknown job ID 5$"):
        world.jobs.get_job_status(world.project.id, 5)
    with pytest.raises(Exception, match="already running"):
        world.jobs.start_retrain_job(world.project.id)
