"""Containers that die, are restarted, taken down, multiplied."""

import json
from collections import Counter
from functools import partial

import pytest

from nxai_common.contracts.outputs import Detections
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.status import ServiceState, Status
from support.compose_box import PATIENCE_S, SERVICES, ComposeBox, kill
from support.waiting import wait_for

WORKERS = {"inference", "inference-2", "inference-3"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_container_comes_back_and_detections_flow(box: ComposeBox, service: str) -> None:
    box.wait_detections(1)
    before = box.container(service)
    kill(before)

    def is_back() -> bool:
        now = box.container(service)
        return bool(now["RestartCount"] > before["RestartCount"] and now["State"]["Running"])

    wait_for(is_back, PATIENCE_S, f"{service} again")
    with box.outside(Status) as reader:
        for role in set(SERVICES) - {"mosquitto"}:
            reader.next(partial(runs, role), Status)
    newest = box.wait_detections(1)[0]
    with box.outside(Detections) as reader:
        reader.next(lambda m: m.timestamp_ms > newest.timestamp_ms, Detections)


def test_three_workers_share_the_frames(well: ComposeBox) -> None:
    well.up("--scale", "inference=3")
    try:
        with well.outside(InferenceResult) as reader:
            seen: Counter[str] = Counter()
            while set(seen) != WORKERS or min(seen.values()) < 10:
                seen[reader.next(lambda _: True, InferenceResult).worker] += 1
            # Whoever dies takes its share of frames along, and nothing else.
            kill(well.containers("inference")[0])
            after: Counter[str] = Counter()
            while sum(after.values()) < 60:
                result = reader.next(lambda _: True, InferenceResult)
                assert not result.error
                after[result.worker] += 1
            assert len(after) >= 2
        well.wait_healthy()
        # Its successor takes the name that became free: no status is left of one that is no more.
        with well.outside(Status) as reader:
            for name in WORKERS:
                reader.next(partial(runs, name), Status)
    finally:
        well.up("--scale", "inference=1")


def test_a_restart_and_down_and_up_keep_everything(well: ComposeBox) -> None:
    with well.browser() as page:
        settings = page.get("/api/v1/settings").json()
        changed = json.loads(settings["text"])
        changed["cameras"][0]["name"] = "Kept"
        done = page.put(
            "/api/v1/settings",
            json={"text": json.dumps(changed), "revision": settings["revision"]},
        )
        assert done.is_success, done.text
    password = well.password("viewer")
    for words in (("restart", "--timeout", "20"), ("down", "--timeout", "20")):
        stored = well.stored()
        well.compose(*words)
        well.up()
        well.wait_healthy()
        assert well.wait_detections(1)[0].camera_name == "Kept"
        assert well.password("viewer") == password
        wait_for(partial(has_more_than, well, stored), PATIENCE_S, "more results than before")
        with well.browser() as page:
            assert page.get("/api/v1/session").json()["state"] == "in"


def runs(name: str, status: Status) -> bool:
    """Return whether a status says of this role or worker that it works."""
    return name in (status.role, status.service) and status.state is ServiceState.RUNNING


def has_more_than(box: ComposeBox, stored: int) -> bool:
    """Return whether the data logger has more results than so many."""
    return box.stored() > stored
