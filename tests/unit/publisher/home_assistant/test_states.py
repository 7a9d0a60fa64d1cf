import json
from typing import Any

import pytest

from nxai_common.contracts.alarms import AlarmPhase
from nxai_common.contracts.deployments import Phase, ShadowReport, Version
from nxai_common.contracts.outputs import EventPhase, Snapshot
from nxai_common.contracts.status import LinkState, ServiceState, Status
from nxai_publisher.core.home_assistant.known import Answer, Box, Installation
from nxai_publisher.core.home_assistant.states import (
    alarm_told,
    box_state,
    camera_state,
    event_told,
    states_of,
    update_state,
    version_text,
)
from support.known_box import (
    NEW,
    OLD,
    START,
    alarm,
    capture,
    deployment,
    event,
    known_box,
    link,
    problem,
    publisher,
    status,
)

NOW = 101.0
NUT, SIZE = "nut", "grosse_2-152a455316"
HERE = "nxai/v1/box/home-assistant"


def front(box: Box, now: float = NOW) -> dict[str, Any]:
    return camera_state(box, box.cameras[0], now)


def told(answer: tuple[str, bytes] | None) -> tuple[str, dict[str, Any]]:
    assert answer is not None
    return answer[0], json.loads(answer[1])


def test_a_camera_shows_what_it_sees() -> None:
    assert front(known_box()) == {
        "count": 2,
        "counts": {NUT: 2, SIZE: 0},
        "present": {NUT: "ON", SIZE: "OFF"},
        "last-detection": START.isoformat(),
        "alarms": {"busy": "OFF"},
        "fps": 12.5,
        "latency-p50": 42.0,
        "latency-p95": 80.0,
        "connection": {
            "connected": "ON",
            "about": {
                "state": "running",
                "reason": "",
                "since": START.isoformat(),
                "width": 640,
                "height": 480,
                "reconnects": 0,
            },
        },
        "enabled": "ON",
        "run": "ON",
        "collect": "ON",
        "threshold": 0.5,
        "uncertain": 0.0,
    }


def test_before_anybody_looked_all_counts_are_zero() -> None:
    box = known_box()
    box.states.clear()
    state = front(box)
    assert (state["count"], state["counts"]) == (0, {NUT: 0, SIZE: 0})
    assert state["present"] == {NUT: "OFF", SIZE: "OFF"}
    assert [state[key] for key in ("last-detection", "fps", "latency-p50")] == [None] * 3


def test_why_there_is_no_picture_is_told() -> None:
    box = known_box()
    box.learn(status("capture", cameras=[link(LinkState.WAITING, "401: check user")]), NOW)
    connection = front(box)["connection"]
    assert (connection["connected"], connection["about"]["reason"]) == ("OFF", "401: check user")
    box.learn(status("capture", ServiceState.OFFLINE), NOW)
    assert front(box)["connection"] == {"connected": "OFF", "about": {"reason": "it is offline"}}


def test_what_nobody_knows_of_a_camera_is_unknown() -> None:
    box = known_box()
    box.capture = box.cloud_sync = box.inference = None
    box.manifests.clear()
    state = front(box)
    assert [state[key] for key in ("run", "collect", "threshold", "uncertain")] == [None] * 4


def test_a_paused_camera_is_off_and_an_alarm_on() -> None:
    box = known_box()
    box.learn(capture("parts", paused=True), NOW)
    box.learn(alarm(AlarmPhase.START), NOW)
    assert front(box)["run"] == "OFF"
    assert front(box)["alarms"] == {"busy": "ON"}


def test_the_box_shows_how_it_is() -> None:
    box = known_box()
    box.learn(status("inference", ServiceState.DEGRADED, problems=[problem("x" * 2000)]), NOW)
    state = box_state(box)
    assert state["services"]["capture"] == {
        "problem": "OFF",
        "about": {"reason": "", "state": "running", "version": "1.2.3"},
    }
    slow = state["services"]["inference"]
    assert slow["problem"] == "ON"
    assert slow["about"]["reason"].startswith("disk: xxx")
    assert len(slow["about"]["reason"]) == 1000
    assert [state[key] for key in ("samples-new", "samples-approved")] == [4, 3]
    assert (state["disk-free"], state["memory"], state["run"]) == (900, 450, "ON")
    assert state["answer"] == {}


def test_a_box_of_which_nothing_is_known_shows_nothing() -> None:
    state = box_state(Box("box"))
    assert state["services"]["capture"]["about"] == {
        "reason": "capture: it has not said anything yet"
    }
    unknown = ("samples-new", "samples-approved", "disk-free", "memory", "run")
    assert [state[key] for key in unknown] == [None] * 5


@pytest.mark.parametrize(
    ("ok", "reason", "text"),
    [
        (True, "", "Upload: done"),
        (False, "", "Upload: refused"),
        (False, "no project is linked", "Upload: no project is linked"),
    ],
)
def test_what_came_of_an_order_is_told(ok: bool, reason: str, text: str) -> None:
    box = known_box()
    box.answer = Answer("Upload", ok, reason, START)
    answer = box_state(box)["answer"]
    assert answer["text"] == text
    assert answer["about"]["ok"] is ok


def test_a_long_answer_is_cut_and_whole_among_the_attributes() -> None:
    box = known_box()
    box.answer = Answer("Upload", ok=False, reason="x" * 400, at=START)
    answer = box_state(box)["answer"]
    assert len(answer["text"]) == 255
    assert answer["about"]["reason"] == "x" * 400


def test_a_model_shows_its_versions() -> None:
    box = known_box()
    assert update_state(box, deployment()) == {
        "installed_version": f"2026-11-01 ({OLD[:8]})",
        "latest_version": f"2026-11-01 ({OLD[:8]})",
        "title": "Nuts",
        "release_summary": "",
        "in_progress": False,
        "update_percentage": None,
    }
    newer = update_state(box, deployment(latest=Version(digest=NEW)))
    assert newer["latest_version"] == NEW[:8]
    offered = update_state(box, deployment(offered="2026-11-22", name=""))
    assert (offered["latest_version"], offered["title"]) == ("2026-11-22", "nuts")


def test_versions_that_are_called_alike_are_told_apart() -> None:
    assert version_text(Version(digest=OLD, version="1")) != version_text(
        Version(digest=NEW, version="1")
    )
    assert version_text(Version(digest=OLD, version=OLD[:12])) == OLD[:8]


def test_an_update_under_way_is_shown() -> None:
    box = known_box()
    starting = update_state(box, deployment(phase=Phase.STARTING))
    assert (starting["in_progress"], starting["update_percentage"]) == (True, None)
    box.installations["nuts"] = Installation("job-1", "4", 25)
    shown = update_state(box, deployment())
    assert (shown["update_percentage"], shown["latest_version"]) == (25, "4")
    assert update_state(box, deployment(offered="5"))["latest_version"] == "5"


def test_a_trial_and_a_reason_are_summed_up() -> None:
    box = known_box()
    trial = deployment(phase=Phase.SHADOW, report=ShadowReport(frames=200, agreeing=150))
    assert update_state(box, trial)["release_summary"] == (
        "A new version is tried beside it: 200 frames, 75% the same"
    )
    back = deployment(reason="rolled back: " + "x" * 300)
    assert len(update_state(box, back)["release_summary"]) == 255


def test_all_topics_are_told() -> None:
    box = known_box()
    states = states_of(box, NOW)
    assert list(states) == [
        f"{HERE}/front/availability",
        f"{HERE}/front/state",
        f"{HERE}/front/picture",
        f"{HERE}/_box/state",
    ]
    assert states[f"{HERE}/front/availability"].payload == b"online"
    picture = states[f"{HERE}/front/picture"]
    assert (picture.payload, picture.is_picture) == (b"\xff\xd8 a picture", True)
    assert json.loads(states[f"{HERE}/front/state"].payload)["count"] == 2
    assert json.loads(states[f"{HERE}/_box/state"].payload)["run"] == "ON"


def test_a_camera_that_does_not_look_is_offline() -> None:
    box = known_box()
    box.forget(Status, {"service": "capture"})
    assert states_of(box, NOW)[f"{HERE}/front/availability"].payload == b"offline"


def test_pictures_are_shown_if_they_shall() -> None:
    box = known_box()
    box.learn(publisher(home_assistant={"pictures": False}), NOW)
    assert f"{HERE}/front/picture" not in states_of(box, NOW)
    empty = known_box()
    empty.learn(Snapshot(camera="front", attachment=b""), NOW)
    assert f"{HERE}/front/picture" not in states_of(empty, NOW)


def test_what_appeared_and_left_is_told() -> None:
    box = known_box()
    topic, first = told(event_told(box, event(EventPhase.START, label="Größe\x00")))
    assert topic == f"{HERE}/front/event"
    assert first == {
        "event_type": "appeared",
        "label": "Größe\x00",
        "id": "front-parts-nut-1",
        "model": "parts",
        "count": 1,
        "max_count": 2,
        "confidence": 0.988,
        "started_at": START.isoformat(),
        "duration_s": 1.2,
    }
    _, last = told(event_told(box, event(EventPhase.END)))
    assert last["event_type"] == "left"


def test_steps_between_and_cameras_that_are_gone_are_not_told() -> None:
    box = known_box()
    assert event_told(box, event(EventPhase.UPDATE)) is None
    assert event_told(box, event(EventPhase.START, "gone")) is None
    assert alarm_told(box, alarm(AlarmPhase.START, "gone")) is None


@pytest.mark.parametrize(
    ("phase", "kind"),
    [
        (AlarmPhase.START, "alarm"),
        (AlarmPhase.AGAIN, "alarm_again"),
        (AlarmPhase.END, "alarm_ended"),
    ],
)
def test_alarms_are_told(phase: AlarmPhase, kind: str) -> None:
    topic, found = told(alarm_told(known_box(), alarm(phase)))
    assert topic == f"{HERE}/front/event"
    assert (found["event_type"], found["rule"], found["rule_name"]) == (kind, "busy", "busy")
    _, called = told(alarm_told(known_box(), alarm(phase, name="Busy")))
    assert called["rule_name"] == "Busy"
