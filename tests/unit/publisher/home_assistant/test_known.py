import pytest

from nxai_common.contracts.alarms import AlarmPhase
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.outputs import CameraState, EventPhase
from nxai_common.contracts.progress import JobState
from nxai_common.contracts.status import LinkState, ServiceState, Status
from nxai_publisher.core.home_assistant.known import ROLES, Box, Installation
from support.known_box import (
    LABELS,
    alarm,
    capture,
    cloud_sync,
    deployment,
    event,
    inference,
    known_box,
    link,
    manifest,
    problem,
    publisher,
    seen,
    status,
    step,
)

NOW = 101.0


def test_of_a_box_that_says_nothing_nothing_is_known() -> None:
    box = Box("box")
    assert (box.name, box.version, box.cameras, box.rules) == ("box", "", (), ())
    assert box.options.mode == "device"
    assert box.services == ROLES
    assert box.problems_of("capture")[0].reason == "it has not said anything yet"
    assert box.runs is None
    assert box.labels_of("front") == ()
    assert box.models_of("front") == ()
    assert (box.threshold_of("front"), box.uncertain_of("front"), box.collects("front")) == (
        None,
        None,
        None,
    )
    assert box.link_of("front") is None
    assert box.state_of("front", NOW) is None


def test_a_box_that_works_is_known() -> None:
    box = known_box()
    assert (box.name, box.version) == ("Workshop", "1.2.3")
    assert box.problems_of("capture") == ()
    assert box.runs is True
    assert box.labels_of("front") == LABELS
    assert box.collects("front") is True
    assert box.looks(box.cameras[0], NOW)
    assert box.pictures == {"front": b"\xff\xd8 a picture"}


def test_what_it_does_not_read_changes_nothing() -> None:
    box = known_box()
    before = known_box()
    box.learn(event(EventPhase.START), NOW)
    assert box == before


def test_labels_are_those_of_the_models_in_force() -> None:
    box = known_box()
    box.learn(manifest("more", ("nut", "bolt")), NOW)
    box.learn(manifest("tried", ("secret",)), NOW)
    box.learn(capture("parts", "more", "tried", shadows=("tried",)), NOW)
    assert box.labels_of("front") == (*LABELS, "bolt")


def test_until_a_model_is_loaded_its_labels_are_those_that_the_camera_tells_of() -> None:
    box = known_box()
    box.learn(capture("parts", "more"), NOW)
    box.learn(seen({"nut": 0, "screw": 1}), NOW)
    assert box.labels_of("front") == (*LABELS, "screw")
    box.states.clear()
    assert box.labels_of("front") == LABELS


def test_a_model_that_is_loaded_anew_keeps_its_labels() -> None:
    box = known_box()
    box.forget(type(manifest()), {"model": "parts"})
    assert box.labels_of("front") == LABELS


def test_a_state_grows_old() -> None:
    box = known_box()
    assert box.state_of("front", 134.9) is not None
    assert box.state_of("front", 135.1) is None
    assert not box.looks(box.cameras[0], 135.1)


@pytest.mark.parametrize(
    "trouble",
    [
        status("capture", ServiceState.OFFLINE, cameras=[link()]),
        status("capture", cameras=[link(LinkState.WAITING, "no route")]),
        status("capture"),
        status("inference", ServiceState.STOPPED),
    ],
    ids=["capture is gone", "no picture", "not known", "inference is gone"],
)
def test_a_camera_does_not_look_while_anything_is_missing(trouble: Status) -> None:
    box = known_box()
    box.learn(trouble, NOW)
    assert not box.looks(box.cameras[0], NOW)


def test_a_camera_that_is_off_does_not_look() -> None:
    box = known_box()
    off = publisher()
    off = off.model_copy(
        update={"cameras": (off.cameras[0].model_copy(update={"enabled": False}),)}
    )
    box.learn(off, NOW)
    assert not box.looks(box.cameras[0], NOW)


def test_a_camera_without_models_needs_no_inference() -> None:
    box = known_box()
    box.learn(capture(), NOW)
    box.forget(Status, {"service": "inference"})
    assert box.looks(box.cameras[0], NOW)


def test_services_that_are_stopped_are_missed_but_further_workers_are_not() -> None:
    box = known_box()
    box.learn(status("inference-2", ServiceState.DEGRADED, problems=[problem("slow")]), NOW)
    assert list(box.services) == [*ROLES, "inference-2"]
    assert box.problems_of("inference-2") == (problem("slow"),)
    box.learn(status("inference-2", ServiceState.STOPPED), NOW)
    assert list(box.services) == list(ROLES)
    box.learn(status("capture", ServiceState.STOPPED), NOW)
    assert box.problems_of("capture")[0].reason == "it is stopped"
    box.learn(status("capture", ServiceState.OFFLINE, problems=[problem("full")]), NOW)
    assert [p.reason for p in box.problems_of("capture")] == ["it is offline", "full"]


def test_thresholds_come_from_whoever_says_them_first() -> None:
    box = known_box()
    assert box.threshold_of("front") == 0.5
    model = {"id": "parts", "path": "p", "threshold": 0.4, "uncertain": {"threshold": 0.3}}
    box.learn(inference(models=[model]), NOW)
    assert (box.threshold_of("front"), box.uncertain_of("front")) == (0.4, 0.3)
    use = {"camera": "front", "model": "parts", "threshold": 0.7, "uncertain": {"threshold": 0.6}}
    box.learn(inference(models=[model], assignments=[use]), NOW)
    assert (box.threshold_of("front"), box.uncertain_of("front")) == (0.7, 0.6)
    box.learn(capture("unheard-of", "parts"), NOW)
    assert (box.threshold_of("front"), box.uncertain_of("front")) == (0.7, 0.6)
    box.learn(inference(assignments=[{"camera": "front", "model": "parts"}]), NOW)
    assert (box.threshold_of("front"), box.uncertain_of("front")) == (0.5, None)


def test_the_box_runs_while_one_camera_does() -> None:
    box = known_box()
    box.learn(capture("parts", paused=True), NOW)
    assert box.runs is False
    box.learn(cloud_sync(collect=False), NOW)
    assert box.collects("front") is False


def test_alarms_hold_from_start_to_end() -> None:
    box = known_box()
    box.learn(alarm(AlarmPhase.START), NOW)
    box.learn(alarm(AlarmPhase.AGAIN), NOW)
    assert box.alarms == {("front", "busy")}
    box.learn(alarm(AlarmPhase.END), NOW)
    assert box.alarms == set()


def test_rules_watch_their_cameras_and_those_that_are_off_none() -> None:
    box = known_box()
    rules = [
        {"id": "all"},
        {"id": "one", "cameras": ["front"]},
        {"id": "other", "cameras": ["back"]},
        {"id": "off", "enabled": False},
    ]
    box.learn(publisher(alarms=rules), NOW)
    assert [rule.id for rule in box.rules_of("front")] == ["all", "one"]


def test_cameras_that_are_gone_are_forgotten() -> None:
    box = known_box()
    box.learn(alarm(AlarmPhase.START), NOW)
    box.learn(publisher(cameras=("back",)), NOW)
    assert (box.states, box.pictures, box.alarms) == ({}, {}, set())


def test_what_is_taken_back_is_forgotten() -> None:
    box = known_box()
    box.forget(Deployment, {"model": "nuts"})
    box.forget(Status, {"service": "capture"})
    box.forget(CameraState, {"camera": "front"})
    assert box.deployments == {}
    assert "capture" not in box.statuses
    assert box.states


def test_a_download_is_followed_to_its_end() -> None:
    box = known_box()
    box.learn(deployment(), NOW)
    box.installations["bolts"] = Installation("job-0")
    box.installations["nuts"] = Installation("job-1")
    box.learn(step(JobState.RUNNING, done=1, total=4), NOW)
    assert box.installations["nuts"] == Installation("job-1", percentage=25)
    box.learn(step(JobState.RUNNING, done=9, total=4), NOW)
    assert box.installations["nuts"] == Installation("job-1", percentage=100)
    box.learn(step(JobState.RUNNING), NOW)
    assert box.installations["nuts"] == Installation("job-1")
    assert box.installed_by(step(JobState.RUNNING)) == ""
    assert box.installed_by(step(JobState.DONE, "another")) == ""
    assert box.installed_by(step(JobState.DONE)) == "nuts"
    assert "nuts" in box.installations, "until it is in force"
    assert box.installed_by(step(JobState.FAILED)) == "nuts"
    assert box.installations == {"bolts": Installation("job-0")}


def test_a_download_ends_with_the_process_that_did_it() -> None:
    box = known_box()
    box.installations["nuts"] = Installation("job-1")
    box.learn(status("cloud-sync"), NOW)
    assert list(box.installations) == ["nuts"]
    box.learn(status("cloud-sync", started_at="2027-01-01T00:00:00Z"), NOW)
    assert list(box.installations) == []
