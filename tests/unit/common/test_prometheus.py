"""A status as Prometheus's metrics, read back by prometheus_client's own parser."""

import math
from collections.abc import Iterable
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from nxai_common.contracts.status import (
    CameraStatus,
    LinkState,
    ModelStatus,
    Problem,
    ServiceState,
    Status,
)
from nxai_common.prometheus import (
    CAMERA_COUNTS,
    MODEL_COUNTS,
    StatusCollector,
    metric_name,
)
from nxai_common.scrapes import Seen
from support import golden

Key = tuple[str, tuple[tuple[str, str], ...]]

CAMERA = CameraStatus(
    camera="front",
    state=LinkState.RUNNING,
    since=golden.AT - timedelta(minutes=1),
    width=640,
    height=480,
    fps=15,
    last_picture_at=golden.AT + timedelta(seconds=1),
    decoded=7,
    sent=6,
    dropped=1,
)
MODEL = ModelStatus(
    model="m5-nut", state="ready", digest="00", engine="litert", engine_ms=2.5, processed=3
)


def status(**fields: object) -> Status:
    example = golden.example(Status)
    assert isinstance(example, Status)
    return example.model_copy(update=fields)


def seen(of: Status, **fields: float) -> Seen:
    return Seen(
        of,
        age_s=fields.get("age_s", 0.5),
        heartbeat_age_s=fields.get("heartbeat_age_s", 0.25),
        connected=True,
    )


def text(of: Seen) -> str:
    registry = CollectorRegistry()
    registry.register(StatusCollector(lambda: of, "box"))
    return generate_latest(registry).decode()


def values(families: Iterable[Metric]) -> dict[Key, float]:
    """Return each sample by its name and its labels but the common ones, which are checked."""
    found: dict[Key, float] = {}
    for family in families:
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("device") == "box"
            assert labels.pop("service") == labels.pop("role") in {"capture", "publisher"}
            key = (sample.name, tuple(sorted(labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def scraped(of: Seen) -> dict[Key, float]:
    return values(text_string_to_metric_families(text(of)))


@pytest.mark.parametrize(
    ("name", "metric", "factor"),
    [
        ("results", "nxai_results", 1),
        ("memory_mb", "nxai_memory_bytes", 1024 * 1024),
        ("latency_ms", "nxai_latency_seconds", 0.001),
        ("waited_s", "nxai_waited_seconds", 1),
        ("log_rows", "nxai_log_rows", 1),
        ("Odd name-of", "nxai_odd_name_of", 1),
    ],
)
def test_names_and_units_are_those_of_prometheus(name: str, metric: str, factor: float) -> None:
    assert metric_name(name) == (metric, factor)


def test_counters_and_gauges_of_a_status() -> None:
    found = scraped(
        seen(
            status(
                counters={"bus_published": 24_013},
                gauges={"memory_mb": 81.5, "disk_free_mb": 15_210},
                cameras=(),
                models=(),
            )
        )
    )
    assert found["nxai_bus_published_total", ()] == 24_013
    assert found["nxai_memory_bytes", ()] == 81.5 * 1024 * 1024
    assert found["nxai_disk_free_bytes", ()] == 15_210 * 1024 * 1024


def test_state_problems_and_ages() -> None:
    of = status(
        state=ServiceState.DEGRADED,
        problems=(
            Problem(about="disk", reason="password hunter2"),
            Problem(about="camera front", reason="401"),
            Problem(about="disk", reason="another"),
        ),
    )
    found = scraped(seen(of, age_s=0.75, heartbeat_age_s=0.125))
    states = {s: found["nxai_service_state", (("state", s.value),)] for s in ServiceState}
    assert states == {s: float(s is ServiceState.DEGRADED) for s in ServiceState}
    assert found["nxai_problems", ()] == 3
    assert found["nxai_problem", (("about", "disk"),)] == 1
    assert found["nxai_problem", (("about", "camera front"),)] == 1
    assert found["nxai_heartbeat_age_seconds", ()] == 0.125
    assert found["nxai_status_age_seconds", ()] == 0.75
    assert found["nxai_broker_connected", ()] == 1
    assert of.configuration_revision
    assert found["nxai_configuration_info", (("revision", of.configuration_revision),)] == 1
    assert found["nxai_start_time_seconds", ()] == of.started_at.timestamp()
    assert "hunter2" not in text(seen(of))


def test_before_the_first_heartbeat_there_is_no_age_of_one() -> None:
    found = scraped(seen(status(), heartbeat_age_s=math.inf))
    assert ("nxai_heartbeat_age_seconds", ()) not in found


def test_a_camera() -> None:
    found = scraped(seen(status(cameras=(CAMERA,))))
    camera = ("camera", "front")
    assert found["nxai_camera_state", (camera, ("state", "running"))] == 1
    assert found["nxai_camera_state", (camera, ("state", "waiting"))] == 0
    assert found["nxai_camera_frames_per_second", (camera,)] == 15
    assert found["nxai_camera_width_pixels", (camera,)] == 640
    assert found["nxai_camera_height_pixels", (camera,)] == 480
    since = found["nxai_camera_state_since_timestamp_seconds", (camera,)]
    assert since == CAMERA.since.timestamp()
    at = CAMERA.last_picture_at
    assert at is not None
    assert found["nxai_camera_last_picture_timestamp_seconds", (camera,)] == at.timestamp()
    counts = {name: found[f"nxai_camera_{name}_total", (camera,)] for name in CAMERA_COUNTS}
    assert counts == {name: getattr(CAMERA, name) for name in CAMERA_COUNTS}


def test_a_camera_that_never_gave_a_picture_says_nothing_of_one() -> None:
    camera = CameraStatus(camera="front", state=LinkState.CONNECTING, since=golden.AT)
    names = {name for name, _ in scraped(seen(status(cameras=(camera,))))}
    assert "nxai_camera_state" in names
    assert not {n for n in names if "last_picture" in n or "pixels" in n}


def test_a_model() -> None:
    found = scraped(seen(status(models=(MODEL,))))
    model = ("model", "m5-nut")
    assert found["nxai_model_state", (model, ("state", "ready"))] == 1
    assert found["nxai_model_state", (model, ("state", "failed"))] == 0
    assert found["nxai_model_engine_seconds", (model,)] == 0.0025
    assert found["nxai_model_processed_total", (model,)] == 3
    assert found["nxai_model_info", (("digest", "00"), ("engine", "litert"), model)] == 1


def test_a_model_of_another_state_has_that_one() -> None:
    model = MODEL.model_copy(update={"state": "resting", "engine_ms": None})
    found = scraped(seen(status(models=(model,))))
    assert found["nxai_model_state", (("model", "m5-nut"), ("state", "resting"))] == 1
    assert not [name for name, _ in found if name == "nxai_model_engine_seconds"]


@pytest.mark.parametrize(
    ("kind", "told"), [(CameraStatus, CAMERA_COUNTS), (ModelStatus, MODEL_COUNTS)]
)
def test_every_count_of_a_part_is_told(
    kind: type[CameraStatus | ModelStatus], told: dict[str, str]
) -> None:
    counts = {n for n, field in kind.model_fields.items() if field.annotation is int}
    assert counts == set(told)


def test_several_cameras_and_models_are_told_apart() -> None:
    back = CAMERA.model_copy(update={"camera": "back", "decoded": 9})
    found = scraped(seen(status(cameras=(CAMERA, back))))
    assert found["nxai_camera_decoded_total", (("camera", "front"),)] == 7
    assert found["nxai_camera_decoded_total", (("camera", "back"),)] == 9


def test_a_destination_is_a_label() -> None:
    found = scraped(
        seen(
            status(
                service="publisher",
                role="publisher",
                counters={"sent_shop": 5, "failed_shop": 2, "sent_b-2": 1, "outbox_stored": 6},
                gauges={"queued_shop": 3, "queued_kb_shop": 1.5, "oldest_s_shop": 12.5},
            )
        )
    )
    shop = (("destination", "shop"),)
    assert found["nxai_destination_sent_total", shop] == 5
    assert found["nxai_destination_sent_total", (("destination", "b-2"),)] == 1
    assert found["nxai_destination_failed_total", shop] == 2
    assert found["nxai_destination_queued", shop] == 3
    assert found["nxai_destination_queued_bytes", shop] == 1500
    assert found["nxai_destination_oldest_seconds", shop] == 12.5
    assert found["nxai_outbox_stored_total", ()] == 6


def test_a_destination_is_one_of_the_publisher_alone() -> None:
    found = scraped(seen(status(counters={"sent_shop": 5}, gauges={"queued_shop": 3})))
    assert found["nxai_sent_shop_total", ()] == 5
    assert found["nxai_queued_shop", ()] == 3


def test_openmetrics_has_the_same_values() -> None:
    of = seen(status(cameras=(CAMERA,), models=(MODEL,)))
    registry = CollectorRegistry()
    registry.register(StatusCollector(lambda: of, "box"))
    strict = values(parse_openmetrics(generate_openmetrics(registry).decode()))
    assert strict == scraped(of)


def test_a_name_that_is_counter_and_gauge_is_a_gauge() -> None:
    found = scraped(seen(status(counters={"same": 1}, gauges={"same": 2}, cameras=(), models=())))
    assert found["nxai_same", ()] == 2
    assert ("nxai_same_total", ()) not in found
