"""The flows of deploy/node-red in a real Node-RED, against the running product."""

import json
import re
import statistics
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nxai_common.bus.ports import Subscription
from nxai_common.contracts.alarms import Alarm
from nxai_common.contracts.base import Message
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.outputs import CameraState, Detections, Event, EventPhase, Snapshot
from nxai_common.contracts.progress import Progress
from support.broker import free_port
from support.edge_impulse import Emulator, fomo, running
from support.guarded_stack import GuardedStack
from support.loop import KEEP_ALL, KEY, SERVICES, Loop
from support.node_red import NodeRed, all_flows, node_of, with_settings
from support.recorder import Recorder
from support.waiting import wait_for

pytestmark = [pytest.mark.timeout(400)]

PATIENCE = 60.0
TOKEN = "a token of the test"
ALERT, COUNT, DISK = "alert-on-label.json", "people-counter.json", "snapshot-to-disk.json"
CHANGE, REVIEW = "change-threshold.json", "review-and-upload-samples.json"
WEBHOOK, HTTP = "alarm-webhook.json", "read-results-over-http.json"
QUIET_S, PERIOD_S, KEEP = 15, 4, 5
LEAST = 0.01
"""Pictures without a nut have 0."""
HEARD = (CameraState, Detections, Event, Alarm, Snapshot)


def settings(node_red_port: int) -> dict[str, Any]:
    return {
        "version": 1,
        "cameras": [
            {
                "id": "demo",
                "name": "Demo belt",
                "source": {"type": "demo", "width": 320, "height": 240, "fps": 20},
                "models": ["demo-parts"],
                "collect": {**KEEP_ALL, "strategies": [{"strategy": "interval", "every_s": 1}]},
            }
        ],
        "models": [{"id": "demo-parts", "path": "demo-parts"}],
        "outputs": {
            "events": {"start_after": 1, "end_after_s": 0.3},
            "state_every_s": 2,
            "alarms": [{"id": "washer-there", "labels": ["washer"], "clear_after_s": 0.3}],
            "destinations": [
                {
                    "id": "node-red",
                    "type": "http",
                    "url": f"http://127.0.0.1:{node_red_port}/nxai/results",
                    "what": ["detections", "events"],
                    "gather": "interval",
                    "interval_s": 1,
                }
            ],
        },
    }


class Hook(ThreadingHTTPServer):
    """A web server that takes alarms; the first request finds it busy."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        """Header `Authorization`, and the body."""
        self.refused = 0
        super().__init__(("127.0.0.1", 0), HookRequest)


class HookRequest(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.refused == 0:
            self.server.refused += 1
            self.send_response(503)
        else:
            self.server.taken.append((self.headers.get("Authorization", ""), body))
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Heard:
    """What another subscriber heard, in order, from before the flows ran.

    All that Node-RED can have heard by then: it may be faster.
    """

    recorder: Recorder

    def so_far(self) -> list[Message]:
        return self.recorder.up_to_now()

    def starts(self, label: str) -> list[Event]:
        return [
            message
            for message in self.so_far()
            if isinstance(message, Event)
            and message.event is EventPhase.START
            and message.label == label
        ]

    def pictures(self) -> set[bytes]:
        return {bytes(m.attachment) for m in self.so_far() if isinstance(m, Snapshot)}

    def detections(self) -> list[Detections]:
        return [m for m in self.so_far() if isinstance(m, Detections)]


@dataclass
class World:
    """The box, the cloud, Node-RED, and who listens beside it."""

    loop: Loop
    node_red: NodeRed
    heard: Heard
    hook: Hook
    pictures: Path
    flows: list[dict[str, Any]]
    operator: str
    """Password of the account that Node-RED uses."""

    def wait_shown(self, name: str, called: str, count: int = 1) -> list[Any]:
        def enough() -> list[Any] | None:
            self.loop.stack.check_alive()
            shown = self.node_red.shown(name, called)
            return shown if len(shown) >= count else None

        found = wait_for(enough, PATIENCE, f"{count} of {called!r}; said: {self.node_red.said}")
        assert found is not None
        return found


@contextmanager
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, name="hook")
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("node-red")
    port = free_port()
    emulator = Emulator()
    project = emulator.add_project("Demo parts", key=KEY)
    project.add_impulse(fomo(("bolt", "nut", "washer"), size=(96, 96), channels="RGB"))
    (folder / "box").mkdir()
    (folder / "box" / "settings.json").write_text(json.dumps(settings(port)))
    with ExitStack() as stack:
        urls = stack.enter_context(running(emulator))
        box = stack.enter_context(GuardedStack(folder / "box", services=SERVICES))
        box.wait_running()
        walk = Loop(
            box,
            emulator,
            project,
            urls,
            stack.enter_context(closing(box.bus.subscribe(Subscription(Progress)))),
            stack.enter_context(closing(box.bus.subscribe(Subscription(Deployment)))),
        )
        walk.link()
        server = stack.enter_context(hook())
        viewer = box.broker.password_file("viewer").read_text().strip()
        recorder = Recorder(box.broker.port, "viewer", viewer, HEARD)
        heard = Heard(stack.enter_context(recorder))
        node_red = stack.enter_context(
            NodeRed(
                folder / "node-red",
                port,
                NXAI_MQTT_HOST=box.broker.host,
                NXAI_MQTT_PORT=str(box.broker.port),
                NXAI_MQTT_PASSWORD_FILE=str(box.broker.password_file("operator")),
            )
        )
        as_imported = node_red.nodes()
        assert {node["id"] for node in as_imported} == {node["id"] for node in all_flows()}
        connected = f"Connected to broker: mqtt://{box.broker.host}"
        wait_for(lambda: connected in node_red.said, PATIENCE, "the account of the first start")
        (folder / "pictures").mkdir()
        flows = all_flows()
        tried: dict[str, dict[str, str | float]] = {
            ALERT: {"QUIET_S": QUIET_S, "PICTURE_S": PATIENCE},
            COUNT: {"PERIOD_S": PERIOD_S},
            DISK: {"FOLDER": str(folder / "pictures"), "KEEP": KEEP, "LABEL": "nut"},
            CHANGE: {"TOKEN": TOKEN, "THRESHOLD": 0.5},
            WEBHOOK: {"URL": f"http://127.0.0.1:{server.server_port}/alarms", "TOKEN": TOKEN},
        }
        for name, values in tried.items():
            flows = with_settings(flows, name, **values)
        node_red.deploy(flows)
        operator = box.broker.password_file("operator").read_text().strip()
        yield World(walk, node_red, heard, server, folder / "pictures", flows, operator)


def test_the_first_start_has_all_flows_and_is_let_in_as_operator(world: World) -> None:
    assert "[error]" not in world.node_red.said
    assert {node["id"] for node in world.node_red.nodes()} == {n["id"] for n in all_flows()}
    assert "unknown" not in world.node_red.said


def test_a_node_red_of_ones_own_finds_the_account_in_its_own_settings(
    world: World, tmp_path: Path
) -> None:
    """As typed into Settings > Environment of the editor, the password as a credential."""
    broker = world.loop.stack.broker
    typed = {"HOST": broker.host, "PORT": str(broker.port), "USER": "operator"}
    password = "NXAI_MQTT_PASSWORD"
    environment = {
        "id": "0123456789abcdef",
        "type": "global-config",
        "env": [
            *({"name": f"NXAI_MQTT_{k}", "value": v, "type": "str"} for k, v in typed.items()),
            {"name": password, "value": "", "type": "cred"},
        ],
        "credentials": {"map": {password: world.operator, f"has_{password}": True}},
    }
    with NodeRed(tmp_path / "own", NXAI_MQTT_PORT=str(free_port())) as own:
        own.deploy([environment, *world.flows])
        connected = f"Connected to broker: mqtt://{broker.host}:{broker.port}"
        wait_for(lambda: connected in own.said, PATIENCE, f"it is let in: {own.said}")


def test_an_alert_comes_with_its_picture_and_then_it_is_quiet(world: World) -> None:
    def two_and_one_left_out() -> list[Any] | None:
        alerts = world.node_red.shown(ALERT, "Alert")
        if len(alerts) < 2:
            return None
        between = alerts[0]["event"]["timestamp_ms"], alerts[1]["event"]["timestamp_ms"]
        inside = [e for e in world.heard.starts("nut") if between[0] < e.timestamp_ms < between[1]]
        return alerts if inside or len(alerts) >= 5 else None

    alerts = wait_for(two_and_one_left_out, PATIENCE, "two alerts")
    assert alerts is not None
    starts = world.heard.starts("nut")
    said = [alert["event"]["id"] for alert in alerts]
    first = next(i for i, event in enumerate(starts) if event.id == said[0])
    expected, last_ms = [], float("-inf")
    for event in starts[first:]:
        if event.timestamp_ms - last_ms >= QUIET_S * 1000:
            expected.append(event.id)
            last_ms = event.timestamp_ms
    assert said == expected[: len(said)]
    assert len(starts) - first > len(expected), "none was left out; the quiet time proved nothing"
    for alert in alerts:
        assert alert["topic"] == "nut at Demo belt"
        assert alert["payload"].startswith("nut at Demo belt, ")
        picture = as_bytes(alert["picture"])
        assert picture in world.heard.pictures()
        (attached,) = alert["attachments"]
        assert attached["filename"] == "demo-nut.jpg"
        assert as_bytes(attached["content"]) == picture


def as_bytes(shown: Mapping[str, Any]) -> bytes:
    """Return a Buffer as the sidebar shows it."""
    assert shown["type"] == "Buffer"
    return bytes(shown["data"])


def test_counts_are_those_that_another_subscriber_counts(world: World) -> None:
    labels = ("bolt", "nut", "washer")
    rows = [json.loads(r) if isinstance(r, str) else r for r in world.wait_shown(COUNT, "Row", 12)]
    expected = counted(world.heard.so_far())
    by_label: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    assert sorted(by_label) == sorted(labels)
    compared = 0
    for label, mine in by_label.items():
        # The first row's period began before the flow ran.
        for before, row in pairwise(mine):
            theirs = expected[label, row["timestamp_ms"]]
            assert row["mean"] == pytest.approx(theirs.pop("mean"), abs=0.001)
            assert {key: row[key] for key in theirs} == theirs
            assert (row["device"], row["camera"], row["period_s"]) == ("box", "demo", PERIOD_S)
            assert timestamp_ms(row["timestamp"]) == row["timestamp_ms"]
            for total, same in (("events_hour", "%Y-%m-%d %H"), ("events_day", "%Y-%m-%d")):
                day, day_before = (local(r["timestamp_ms"] - 1, same) for r in (row, before))
                assert row[total] == row["events"] + (before[total] if day == day_before else 0)
            compared += 1
    assert compared >= 6
    assert sum(row["events"] for row in rows) > 0
    assert max(row["max"] for row in rows) > 0


def timestamp_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def local(time_ms: int, form: str) -> str:
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime(form)


def counted(messages: Sequence[Message]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return what the rows have to say, per label and end of the period (Unix ms)."""
    period = PERIOD_S * 1000
    values: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    """Count, and for how many ms."""
    events: dict[tuple[str, int], int] = defaultdict(int)
    counts: Mapping[str, int] = {}
    at = 0
    ends: set[int] = set()
    for message in messages:
        if not isinstance(message, CameraState | Event):
            continue
        now = max(message.timestamp_ms, at)
        while counts and at < now:
            end = min(now, (at // period + 1) * period)
            for label, count in counts.items():
                values[label, (at // period + 1) * period].append((count, end - at))
            at = end
        at = now
        end = (at // period + 1) * period
        ends.add(end)
        if isinstance(message, CameraState):
            counts = message.counts
            for label, count in counts.items():
                values[label, end].append((count, 0))
        elif message.event is EventPhase.START:
            events[message.label, end] += 1
    return {
        (label, end): {
            "min": min(count for count, _ in held),
            "max": max(count for count, _ in held),
            "mean": sum(count * ms for count, ms in held) / max(1, sum(ms for _, ms in held)),
            "events": events[label, end],
        }
        for (label, end), held in values.items()
    }


def test_pictures_lie_on_the_disk_and_the_oldest_go(world: World) -> None:
    foreign = world.pictures / "holiday.jpg"
    foreign.write_bytes(b"mine")

    def reasons() -> set[str]:
        written = world.wait_shown(DISK, "Written", KEEP + 3)
        return {Path(one["file"]).stem.rpartition("_")[2] for one in written}

    wait_for(lambda: reasons() == {"nut", "washer-there"}, PATIENCE, "pictures for both reasons")

    def settled() -> list[Path] | None:
        """Return what is there when nothing is being written or removed."""
        try:
            files = {p: p.read_bytes() for p in world.pictures.iterdir() if p != foreign}
        except FileNotFoundError:
            return None
        whole = set(files.values()) <= world.heard.pictures()
        return sorted(files) if whole and len(files) == KEEP else None

    files = wait_for(settled, PATIENCE, f"{KEEP} pictures, each as it was published")
    assert files is not None
    times = {
        (re.sub(r"[^A-Za-z0-9-]", "-", text), what)
        for message in world.heard.so_far()
        for text, what in moments(message)
    }
    for path in files:
        match = re.fullmatch(r"demo_(\d{4}-\d\d-\d\dT[0-9-]+Z)_(nut|washer-there)\.jpg", path.name)
        assert match is not None, path.name
        assert (match[1], match[2]) in times
    assert foreign.read_bytes() == b"mine"


def moments(message: Message) -> Iterator[tuple[str, str]]:
    if isinstance(message, Event) and message.event is EventPhase.START:
        yield json.loads(message.encode())["timestamp"], message.label
    if isinstance(message, Alarm) and message.alarm == "start":
        yield json.loads(message.encode())["timestamp"], message.rule


def test_alarms_reach_a_web_server_that_was_busy_at_first(world: World) -> None:
    alarms = wait_for(lambda: len(world.hook.taken) >= 4 and world.hook.taken, PATIENCE)
    assert alarms
    assert world.hook.refused == 1
    sent = {
        (m.id, str(m.alarm)): json.loads(m.encode())
        for m in world.heard.so_far()
        if isinstance(m, Alarm)
    }
    for authorization, body in alarms:
        assert authorization == f"Bearer {TOKEN}"
        assert body == sent[body["id"], body["alarm"]]
    assert {body["alarm"] for _, body in alarms} >= {"start", "end"}
    wait_for(
        lambda: {one["tried"] for one in world.node_red.shown(WEBHOOK, "Sent")} == {1, 2},
        PATIENCE,
        "the one that was refused came again",
    )


def test_the_threshold_changes_in_the_settings_and_in_the_results(world: World) -> None:
    found = wait_for(lambda: len(s := confidences(world.heard.detections())) >= 50 and s, PATIENCE)
    assert found
    wanted = statistics.median(found)
    post = world.node_red.http.post
    authorized = {"Authorization": f"Bearer {TOKEN}"}
    try:
        answer = post("/nxai/threshold", json={"threshold": wanted}, headers=authorized)
        assert answer.status_code == 200, answer.text
        assert threshold_of(world) == wanted
        assert answer.json()["revision"]
        wait_for(lambda: answer.json() in world.node_red.shown(CHANGE, "Answer"), PATIENCE)

        def obeyed() -> bool:
            later = world.heard.detections()[-20:]
            seen = confidences(later)
            return len(seen) >= 5 and min(seen) >= wanted

        wait_for(obeyed, PATIENCE, f"nothing below {wanted} in twenty frames")

        # What the box refuses, and what never reaches it.
        unknown = post(
            "/nxai/threshold", json={"camera": "nobody", "threshold": 0.5}, headers=authorized
        )
        assert unknown.status_code == 409
        assert "nobody" in unknown.json()["error"]
        wait_for(
            lambda: unknown.json()["error"] in world.node_red.shown(CHANGE, "Refusal"), PATIENCE
        )
        for body, headers, status in (
            ({"threshold": 7}, authorized, 400),
            ({"threshold": "high"}, authorized, 400),
            ({"threshold": 0.1}, {}, 401),
        ):
            assert post("/nxai/threshold", json=body, headers=headers).status_code == status
        assert threshold_of(world) == wanted
    finally:
        world.node_red.press(node_of(CHANGE, "Change it"))
    wait_for(lambda: threshold_of(world) == 0.5, PATIENCE, "the button's threshold")


def confidences(detections: Sequence[Detections]) -> list[float]:
    return [found.confidence for message in detections for found in message.objects]


def threshold_of(world: World) -> float | None:
    document = json.loads((world.loop.stack.folder / "settings.json").read_text())
    threshold: float | None = document["cameras"][0].get("threshold")
    return threshold


def test_a_box_that_does_not_answer_is_told_of(world: World) -> None:
    deaf = with_settings(world.flows, CHANGE, DEVICE="elsewhere", TOKEN="")
    ask = next(n for n in deaf if n["id"] == node_of(CHANGE, "Ask the box")["id"])
    ask["env"] = [{"name": "ANSWER_S", "type": "num", "value": "0.5"}]
    world.node_red.deploy(deaf)
    try:
        answer = world.node_red.http.post("/nxai/threshold", json={"threshold": 0.5})
        assert answer.status_code == 504
        assert "manager of elsewhere did not answer adjust in 0.5 s" in answer.json()["error"]
    finally:
        world.node_red.deploy(world.flows)


def test_samples_are_chosen_approved_and_uploaded(world: World) -> None:
    def enough() -> list[dict[str, Any]] | None:
        samples = world.loop.samples(state="new")
        return samples if len({surest(s) for s in samples if surest(s) > LEAST}) >= 6 else None

    before = wait_for(enough, PATIENCE, "pictures with a nut, more and less sure ones")
    assert before is not None
    most = statistics.median_low(surest(s) for s in before if surest(s) > LEAST)
    chosen = with_settings(world.flows, REVIEW, LABEL="nut", FROM=LEAST, TO=most, CONFIRM=True)
    world.node_red.deploy(chosen)
    world.node_red.press(node_of(REVIEW, "Look now"))

    def last_step() -> dict[str, Any] | None:
        world.loop.stack.check_alive()
        assert not world.node_red.shown(REVIEW, "Refusal")
        steps = world.node_red.shown(REVIEW, "Progress")
        return next((step for step in steps if step["state"] in ("done", "failed")), None)

    step = wait_for(last_step, PATIENCE, "the end of the upload")
    assert step is not None
    assert step["state"] == "done", step
    uploaded = world.loop.samples(state="uploaded")
    expected = {s["id"] for s in before if LEAST <= surest(s) <= most}
    assert expected <= {s["id"] for s in uploaded}
    assert all(LEAST <= surest(s) <= most for s in uploaded)
    arrived = {s.filename: s for s in world.loop.project.samples.values()}
    assert set(arrived) == {f"{s['id']}.jpg" for s in uploaded}
    assert all(sample.boxes for sample in arrived.values()), "confirmed boxes are the labels"

    nothing = with_settings(world.flows, REVIEW, LABEL="unicorn")
    world.node_red.deploy(nothing)
    world.node_red.press(node_of(REVIEW, "Look now"))
    wait_for(
        lambda: world.node_red.shown(REVIEW, "Progress")[-1]["state"] == "nothing to do", PATIENCE
    )


def surest(sample: Mapping[str, Any]) -> float:
    return max((b["confidence"] for b in sample["predictions"] if b["label"] == "nut"), default=0.0)


def test_results_come_over_http(world: World) -> None:
    def compared() -> list[tuple[Any, Any]]:
        heard = {(m.stream, m.sequence): json.loads(m.encode()) for m in world.heard.detections()}
        frames = [found for found in world.node_red.shown(HTTP, "Result") if "sequence" in found]
        # The box sends what was there before anybody listened, too.
        keys = [(frame["stream"], frame["sequence"]) for frame in frames]
        return [(f, heard[k]) for f, k in zip(frames, keys, strict=True) if k in heard]

    wait_for(lambda: len(compared()) >= 20, PATIENCE, "results over HTTP and over MQTT")
    assert all(over_http == over_mqtt for over_http, over_mqtt in compared())
    wait_for(
        lambda: any("event" in found for found in world.node_red.shown(HTTP, "Result")), PATIENCE
    )


def test_a_result_is_told_apart_and_a_wrong_body_refused(world: World) -> None:
    guarded = with_settings(world.flows, HTTP, TOKEN=TOKEN)
    world.node_red.deploy(guarded)
    try:
        authorized = {"Authorization": f"Bearer {TOKEN}"}
        post = world.node_red.http.post
        one = {"sequence": -1, "picture_width": 1}
        assert post("/nxai/results", json=one).status_code == 401
        assert post("/nxai/results", content="hello", headers=authorized).status_code == 400
        assert post("/nxai/results", json=[one, one], headers=authorized).status_code == 204
        wait_for(lambda: world.node_red.shown(HTTP, "Result").count(one) == 2, PATIENCE)
    finally:
        world.node_red.deploy(world.flows)


def test_no_password_is_in_the_log_or_in_what_node_red_keeps(world: World) -> None:
    secret = world.operator
    assert secret not in world.node_red.said
    assert TOKEN not in world.node_red.said
    kept = [path for path in (world.node_red.folder / "home").rglob("*") if path.is_file()]
    assert "flows_cred.json" in {path.name for path in kept}
    assert [path.name for path in kept if secret in path.read_text()] == []
