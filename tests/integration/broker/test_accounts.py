"""The accounts of deploy/mosquitto, on a real broker: each may do its work and nothing else."""

import getpass
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from nxai_capture.__main__ import build as build_capture
from nxai_capture.settings import CaptureSettings
from nxai_cloud_sync.composition import build as build_cloud_sync
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.bus.routing import filter_of
from nxai_common.contracts import topics
from nxai_common.contracts.base import MAX_PAYLOAD_BYTES, Message
from nxai_common.log_answers import log_answered
from nxai_common.logs import RecentLines
from nxai_common.restarts import restart_answered
from nxai_common.runtime import Stop
from nxai_common.settings import ServiceSettings, load
from nxai_inference.__main__ import build as build_inference
from nxai_inference.settings import InferenceSettings
from nxai_manager.composition import build as build_manager
from nxai_manager.settings import ManagerSettings
from nxai_publisher.__main__ import build as build_publisher
from nxai_publisher.settings import PublisherSettings
from support.broker import free_port
from support.waiting import wait_for

ROOT = Path(__file__).parents[3]
PREPARE = ROOT / "deploy/mosquitto/prepare.sh"
TIMEOUT_S = 10
AUDITOR = "auditor"
"""An account that this test adds: it may do everything, and so sees what the others did."""

SERVICES = ("capture", "inference", "publisher", "manager", "cloud-sync")
TOPICS = {
    "frame": topics.FRAME.build("box", camera="front", input="96x96x3"),
    "result": topics.RESULT.build("box", camera="front"),
    "sample": topics.SAMPLE.build("box", camera="front"),
    "preview": topics.PREVIEW.build("box", camera="front"),
    "picture": topics.PICTURE.build("box", camera="front"),
    "output": topics.OUTPUT.build("box", camera="front"),
    "detections": topics.DETECTIONS.build("box", camera="front"),
    "state": topics.STATE.build("box", camera="front"),
    "event": topics.EVENT.build("box", camera="front"),
    "alarm": topics.ALARM.build("box", camera="front"),
    "manifest": topics.PROCESSOR.build("box", processor="plates"),
    "work": topics.WORK.build("box", processor="plates"),
    "done": topics.DONE.build("box", processor="plates"),
    "test": topics.TEST.build("box", camera="front"),
    "snapshot": topics.SNAPSHOT.build("box", camera="front"),
    "model": topics.MODEL.build("box", model="nut"),
    "deployments": topics.DEPLOYMENTS.build("box", service="cloud-sync"),
    "deployment": topics.DEPLOYMENT.build("box", model="nut"),
    "progress": topics.PROGRESS.build("box", service="cloud-sync"),
    "try": topics.COMMAND.build("box", service="inference", name="try"),
    "log of a worker": topics.COMMAND.build("box", service="inference-2", name="log"),
    "command to a worker": topics.COMMAND.build("box", service="inference-2", name="try"),
    "restart": topics.COMMAND.build("box", service="capture", name="restart"),
    "adjust": topics.COMMAND.build("box", service="manager", name="adjust"),
    "snapshot command": topics.COMMAND.build("box", service="capture", name="snapshot"),
    "upload": topics.COMMAND.build("box", service="cloud-sync", name="upload"),
    "review": topics.COMMAND.build("box", service="cloud-sync", name="review"),
    "unlink": topics.COMMAND.build("box", service="cloud-sync", name="unlink"),
    "discovery": "homeassistant/device/nxai_box/config",
    "entity": "nxai/v1/box/home-assistant/front/state",
    "press": "nxai/v1/box/home-assistant/front/run/set",
    "answer": "nxai-replies/nxai-box-manager-1234abcd",
    **{f"status of {s}": topics.STATUS.build("box", service=s) for s in SERVICES},
    **{f"configuration of {s}": topics.CONFIGURATION.build("box", service=s) for s in SERVICES},
    **{f"command to {s}": topics.COMMAND.build("box", service=s, name="do") for s in SERVICES},
}


def of_all(what: str) -> set[str]:
    return {f"{what} {service}" for service in SERVICES}


TO_CAPTURE = {"command to capture", "restart", "snapshot command"}
TO_CLOUD_SYNC = {"command to cloud-sync", "upload", "review", "unlink"}
TO_MANAGER = {"command to manager", "adjust"}

WRITES = {
    "capture": {"frame", "sample", "preview", "snapshot", "status of capture", "answer"},
    "inference": {"result", "model", "answer"} | of_all("status of"),
    "publisher": {"output", "detections", "state", "event", "alarm", "test", "answer"}
    | {"status of publisher", "work", "restart", "adjust", "snapshot command", "upload"}
    | {"discovery", "entity", "press"},
    "manager": {"status of manager", "answer", "try", "log of a worker", "command to a worker"}
    | TO_CAPTURE
    | TO_CLOUD_SYNC
    | TO_MANAGER
    | of_all("configuration of")
    | of_all("command to"),
    "cloud-sync": {"deployments", "deployment", "progress", "try", "answer"}
    | {"status of cloud-sync"}
    | TO_CLOUD_SYNC,
    "viewer": set[str](),
    "operator": {"command to publisher", "log of a worker", "answer", "upload", "review"}
    | TO_CAPTURE
    | TO_MANAGER,
    "home-assistant": {"discovery", "press"},
    "processor": {"manifest", "done"},
    "pusher": {"picture"},
}
SHOWN = (
    {"result", "output", "detections", "state", "event", "alarm", "snapshot", "preview", "sample"}
    | {"model", "manifest", "deployments", "deployment", "progress"}
    | of_all("status of")
    | of_all("configuration of")
)
READS = {
    "capture": {"result", "event", "alarm", "picture", "model", "configuration of capture"}
    | TO_CAPTURE
    | of_all("status of"),
    "inference": {"frame", "model", "configuration of inference", "command to inference", "try"}
    | {"log of a worker", "restart"},
    "publisher": {"result", "state", "event", "model", "snapshot", "deployment", "progress"}
    | {"command to publisher", "answer", "manifest", "done", "discovery", "entity", "press"}
    | {"alarm"}
    | of_all("status of")
    | of_all("configuration of"),
    "manager": {"preview", "snapshot", "detections", "output", "state", "event", "alarm", "test"}
    | {"model", "manifest", "answer", "deployments", "deployment", "progress"}
    | TO_MANAGER
    | of_all("status of")
    | of_all("configuration of"),
    "cloud-sync": {"result", "sample", "deployments", "deployment", "progress", "answer"}
    | {"configuration of cloud-sync"}
    | TO_CLOUD_SYNC
    | of_all("status of"),
    "viewer": SHOWN,
    "operator": SHOWN | {"answer"},
    "home-assistant": {"discovery", "entity", "press"},
    "processor": {"manifest", "work"},
    "pusher": set[str](),
}

STARTS: dict[str, tuple[type[ServiceSettings], Callable[..., Any]]] = {
    "capture": (CaptureSettings, build_capture),
    "inference": (InferenceSettings, build_inference),
    "publisher": (PublisherSettings, build_publisher),
    "manager": (ManagerSettings, build_manager),
    "cloud-sync": (CloudSyncSettings, build_cloud_sync),
}

Connect = Callable[[str], "Client"]


class Client:
    """One MQTT 5 connection: what was received, what was refused."""

    def __init__(self, port: int, username: str, password: str) -> None:
        self.received: SimpleQueue[str] = SimpleQueue()
        self.answers: SimpleQueue[tuple[int, ReasonCode]] = SimpleQueue()
        self.connected: SimpleQueue[ReasonCode] = SimpleQueue()
        self.subscribed: SimpleQueue[int] = SimpleQueue()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.paho.username_pw_set(username, password)
        self.paho.on_connect = lambda _c, _u, _f, reason, _p: self.connected.put(reason)
        self.paho.on_publish = lambda _c, _u, mid, reason, _p: self.answers.put((mid, reason))
        self.paho.on_subscribe = lambda _c, _u, mid, _r, _p: self.subscribed.put(mid)
        self.paho.on_message = lambda _c, _u, message: self.received.put(message.topic)
        self.paho.connect("127.0.0.1", port)
        self.paho.loop_start()

    def publish(self, topic: str) -> bool:
        """Publish and tell whether the broker allowed it."""
        sent = self.paho.publish(topic, b"x", qos=1)
        mid, reason = self.answers.get(timeout=TIMEOUT_S)
        assert mid == sent.mid
        return not reason.is_failure

    def subscribe(self, topic: str) -> None:
        self.paho.subscribe(topic, qos=1)
        self.subscribed.get(timeout=TIMEOUT_S)

    def read_until(self, last: str) -> set[str]:
        """Return the topics received before `last` came."""
        seen = set()
        while (topic := self.received.get(timeout=TIMEOUT_S)) != last:
            seen.add(topic)
        return seen

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


def prepare(state: Path, port: int) -> None:
    subprocess.run([PREPARE, state, f"{port} 127.0.0.1", getpass.getuser()], check=True)


def password_of(state: Path, account: str) -> str:
    return (state / "secrets" / account / "password").read_text().strip()


@contextmanager
def mosquitto(state: Path, port: int) -> Iterator[None]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program is not None, "mosquitto is not installed: apt-get install mosquitto"
    log = state / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [program, "-c", state / "mosquitto.conf"], stdout=out, stderr=out
        ) as process,
    ):
        try:
            wait_for(
                lambda: (
                    subprocess.run(
                        ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"],
                        check=False,
                        capture_output=True,
                    ).returncode
                    == 0
                ),
                TIMEOUT_S,
                f"mosquitto on port {port}: {log.read_text()}",
            )
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    state = tmp_path_factory.mktemp("mosquitto")
    port = free_port()
    prepare(state, port)
    subprocess.run(
        ["mosquitto_passwd", "-b", state / "passwords", AUDITOR, AUDITOR],
        check=True,
        capture_output=True,
    )
    rules = f"\nuser {AUDITOR}\ntopic readwrite #\npattern read last/%u\n"
    with (state / "acl").open("a") as acl:
        acl.write(rules)
    opened = []
    with mosquitto(state, port):

        def connect(account: str) -> Client:
            password = AUDITOR if account == AUDITOR else password_of(state, account)
            client = Client(port, account, password)
            opened.append(client)
            assert not client.connected.get(timeout=TIMEOUT_S).is_failure
            return client

        yield connect
        for client in opened:
            client.close()


@pytest.mark.parametrize("account", WRITES)
def test_account_writes_its_own_topics_and_no_others(connect: Connect, account: str) -> None:
    client = connect(account)
    allowed = {what for what, topic in TOPICS.items() if client.publish(topic)}
    assert allowed == WRITES[account]


@pytest.mark.parametrize("account", READS)
def test_account_reads_what_it_needs_and_no_more(connect: Connect, account: str) -> None:
    client, auditor = connect(account), connect(AUDITOR)
    client.subscribe("#")
    last = f"last/{account}"
    for topic in (*TOPICS.values(), last):
        assert auditor.publish(topic)
    seen = client.read_until(last)
    assert {what for what, topic in TOPICS.items() if topic in seen} == READS[account]


class NotingBus(MemoryBus):
    """Writes down what is subscribed to."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.filters: list[str] = []

    def subscribe(
        self,
        *subscriptions: Subscription[Message],
        volatile: bool = False,
        bound: int = 10_000,
        aside: bool = False,
    ) -> Inbox:
        self.filters += [filter_of(s, self.device, volatile=volatile).text for s in subscriptions]
        return super().subscribe(*subscriptions, volatile=volatile, bound=bound, aside=aside)


def subscriptions_of(service: str, folder: Path, instance: str) -> list[str]:
    """Return the filters that a service asks for between its start and its end."""
    settings_class, build = STARTS[service]
    environment = {
        "NXAI_INSTANCE": instance,
        "NXAI_RUN_DIR": str(folder),
        "NXAI_MANAGER_PORT": "0",
        "NXAI_MANAGER_SETTINGS": str(folder / "settings.json"),
        "NXAI_MANAGER_SECRETS_DIR": str(folder / "secrets"),
        "NXAI_CLOUD_SYNC_STATE_DIR": str(folder / "cloud-sync"),
        "NXAI_CLOUD_SYNC_CATALOGUE_DIR": str(folder / "catalogue"),
    }
    stop = Stop()
    stop.set()
    settings = load(settings_class, environment)
    with (
        NotingBus() as bus,
        log_answered(bus, settings.instance, RecentLines()),
        restart_answered(bus, settings.instance, stop.set),
    ):
        built = build(settings, bus, lambda: None)
        with built if isinstance(built, AbstractContextManager) else nullcontext(built) as ready:
            ready.run(stop)
    return bus.filters


@pytest.mark.parametrize(
    ("service", "instance"), [*((service, "") for service in STARTS), ("inference", "inference-2")]
)
def test_account_reads_all_that_its_service_subscribes_to(
    connect: Connect, service: str, instance: str, tmp_path: Path
) -> None:
    filters = subscriptions_of(service, tmp_path, instance)
    for name in ("log", "restart"):
        assert topics.COMMAND.build("box", service=instance or service, name=name) in filters
    client, auditor = connect(service), connect(AUDITOR)
    last = f"last/{service}"
    asked = {text.replace("+", "any") for text in filters}
    for text in (*filters, last):
        client.subscribe(text)
    for topic in (*asked, last):
        assert auditor.publish(topic)
    assert client.read_until(last) == asked


def test_a_shared_subscription_reads_no_more_than_a_plain_one(connect: Connect) -> None:
    viewer, auditor = connect("viewer"), connect(AUDITOR)
    viewer.subscribe("$share/thieves/nxai/v1/+/cameras/+/frame/+")
    viewer.subscribe("last/viewer")
    assert auditor.publish(TOPICS["frame"])
    assert auditor.publish("last/viewer")
    assert viewer.read_until("last/viewer") == set()


def test_nobody_comes_in_without_an_account_or_with_a_wrong_password(tmp_path: Path) -> None:
    port = free_port()
    prepare(tmp_path, port)
    with mosquitto(tmp_path, port):
        for username, password in (("", ""), ("viewer", "wrong"), ("root", "")):
            client = Client(port, username, password)
            assert client.connected.get(timeout=TIMEOUT_S).is_failure
            client.close()


def test_health_check_of_the_container_shows_no_password(tmp_path: Path) -> None:
    recipe = (ROOT / "deploy/docker/mosquitto.Dockerfile").read_text()
    stated = re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", recipe, re.MULTILINE)
    assert stated is not None
    # A list, so that no shell puts into it what `ps` would show.
    command = json.loads(stated[1])
    assert command[0] == "env"
    here = [word.replace("/mosquitto/", f"{tmp_path}/") for word in command]
    port = free_port()
    prepare(tmp_path, port)
    with mosquitto(tmp_path, port):
        asked = subprocess.run(
            [*here, "-p", str(port)], check=False, capture_output=True, text=True, timeout=30
        )
    assert asked.returncode == 0, asked.stderr
    assert "seconds" in asked.stdout


def test_passwords_are_private_and_survive_a_second_start(tmp_path: Path) -> None:
    prepare(tmp_path, 1)
    before = {account: password_of(tmp_path, account) for account in WRITES}
    assert len(set(before.values())) == len(before)
    assert min(map(len, before.values())) >= 32
    private = [*tmp_path.glob("secrets/*/*"), tmp_path / "passwords"]
    assert {path.stat().st_mode & 0o077 for path in private} == {0}
    assert not set(before.values()) & set((tmp_path / "passwords").read_text().split(":"))
    prepare(tmp_path, 2)
    assert {account: password_of(tmp_path, account) for account in WRITES} == before
    assert "listener 2 127.0.0.1" in (tmp_path / "mosquitto.conf").read_text()


def test_the_largest_message_passes_and_what_is_retained_survives_a_restart(tmp_path: Path) -> None:
    port = free_port()
    prepare(tmp_path, port)
    topic = TOPICS["configuration of capture"]
    with mosquitto(tmp_path, port):
        manager = Client(port, "manager", password_of(tmp_path, "manager"))
        manager.paho.publish(topic, bytes(MAX_PAYLOAD_BYTES), qos=1, retain=True)
        _, reason = manager.answers.get(timeout=TIMEOUT_S)
        assert not reason.is_failure
        manager.close()
    sizes: SimpleQueue[int] = SimpleQueue()
    with mosquitto(tmp_path, port):
        capture = Client(port, "capture", password_of(tmp_path, "capture"))
        capture.paho.on_message = lambda _c, _u, message: sizes.put(len(message.payload))
        capture.subscribe(topic)
        assert sizes.get(timeout=TIMEOUT_S) == MAX_PAYLOAD_BYTES
        capture.close()
