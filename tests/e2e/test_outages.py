"""Far sides are away for a while, under load: every result arrives as often as was promised."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from nxai_common.contracts.configuration import (
    CaptureCamera,
    DemoSource,
    DesiredModel,
    PublisherCamera,
    PublisherConfiguration,
)
from nxai_common.contracts.destinations import HttpDestination, MqttDestination
from nxai_common.contracts.outputs import Detections
from nxai_common.contracts.results import InferenceResult
from support.broker import PASSWORD, USERNAME, Broker
from support.postgres import Postgres
from support.receiver import Receiver, receiver
from support.recorder import Recorder
from support.stack import Stack
from support.waiting import wait_for

pytestmark = pytest.mark.e2e

CAMERAS = ("north", "south", "west")
LOAD = 150
"""Results that come while a far side is away."""
PATIENCE_S = 90

Key = tuple[str, str, int]
"""Camera, stream and sequence of a result."""


class FarSubscriber:
    """Somebody at the second broker, with a session that survives its restarts."""

    def __init__(self, broker: Broker) -> None:
        self.came: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="far", protocol=paho.MQTTv5
        )
        self._client.username_pw_set(USERNAME, PASSWORD)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._take
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        self._client.connect(broker.host, broker.port, clean_start=False, properties=session)
        self._client.loop_start()
        self._client.subscribe("plant/7/+/cameras/+/detections", qos=1)
        wait_for(lambda: "plant/7" in broker.said, 15, "a subscription at the second broker")

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        with self._lock:
            self.came.append(orjson.loads(message.payload))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class World:
    """The box under load, and all far sides of it."""

    def __init__(
        self, stack: Stack, web: Receiver, far: Broker, postgres: Postgres, database: str
    ) -> None:
        self.stack, self.web, self.far, self.postgres = stack, web, far, postgres
        self.database = database
        self.subscriber = FarSubscriber(far)

    def run(self, truth: Recorder) -> None:
        """Let the cameras run once the publisher knows its destinations."""
        self.truth = truth
        publisher = PublisherConfiguration(
            revision="1",
            cameras=tuple(PublisherCamera(id=c, index=n) for n, c in enumerate(CAMERAS)),
            destinations=(
                HttpDestination(id="web", url=f"{self.web.url}/results", gather="batch"),
                HttpDestination(id="one", url=f"{self.web.url}/one", cameras=("north",)),
                MqttDestination(
                    id="far",
                    url=self.far.url,
                    username=USERNAME,
                    password_secret="far",
                    root="plant/7",
                ),
            ),
        )
        self.stack.bus.publish(publisher)
        wait_for(
            lambda: self.stack.status("publisher").configuration_revision == "1",
            PATIENCE_S,
            "the publisher's configuration",
        )
        self.stack.configure(
            [
                CaptureCamera(id=name, source=DemoSource(seed=n), models=("demo-parts",))
                for n, name in enumerate(CAMERAS)
            ],
            [DesiredModel(id="demo-parts", path="demo-parts")],
            publisher=publisher.model_dump(exclude={"revision", "cameras"}),
        )

    def results(self) -> set[Key]:
        """Return what inference has given so far."""
        return {
            (m.camera, m.stream, m.sequence)
            for m in self.truth.messages()
            if isinstance(m, InferenceResult)
        }

    def more(self, count: int = LOAD) -> None:
        """Let so many results come."""
        before = len(self.results())
        wait_for(lambda: len(self.results()) >= before + count, PATIENCE_S, f"{count} results")

    def shown(self) -> int:
        """Return how many results somebody here has seen live."""
        return sum(isinstance(m, Detections) for m in self.truth.messages())

    def at_web(self) -> list[dict[str, Any]]:
        """Return the results that the web server got, in order, copies too."""
        return [
            one
            for request in list(self.web.requests)
            if request.path == "/results"
            for one in request.json
        ]

    def one_by_one(self) -> list[dict[str, Any]]:
        """Return those it got each by itself."""
        return [r.json for r in list(self.web.requests) if r.path == "/one"]

    def stored(self) -> list[Key]:
        """Return what the data logger holds."""
        with self.postgres.connect(self.database) as connection:
            rows = connection.execute("SELECT camera, stream, sequence FROM results").fetchall()
        return [(str(camera), str(stream), int(sequence)) for camera, stream, sequence in rows]

    def summed(self) -> int:
        """Return how many results the sums of the data logger tell."""
        with self.postgres.connect(self.database) as connection:
            row = connection.execute("SELECT sum(results) FROM result_minutes").fetchone()
        return int(row[0]) if row and row[0] is not None else 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    for name in ("far", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "secrets" / "far").write_text(PASSWORD)
    with (
        Postgres() as postgres,
        Broker(tmp_path / "far") as far,
        receiver() as web,
    ):
        url = postgres.create_database()
        environment = {
            "NXAI_PUBLISHER_DATABASE_URL": url,
            "NXAI_PUBLISHER_SECRETS_DIR": str(tmp_path / "secrets"),
        }
        with Stack(tmp_path / "box", environment=environment) as stack:
            stack.wait_running()
            there = World(stack, web, far, postgres, unquote(urlsplit(url).path[1:]))
            try:
                yield there
            finally:
                there.subscriber.close()


def keys(messages: Iterable[dict[str, Any]]) -> list[Key]:
    return [(m["camera"], m["stream"], m["sequence"]) for m in messages]


def assert_in_order(messages: Iterable[dict[str, Any]]) -> None:
    """Check that of each camera what came for the first time came in order."""
    last: dict[tuple[str, str], int] = {}
    seen: set[Key] = set()
    for key in keys(messages):
        if key in seen:
            continue
        seen.add(key)
        camera, stream, sequence = key
        assert sequence > last.get((camera, stream), -1), key
        last[camera, stream] = sequence


def wait_until_all_are(wanted: set[Key], found: Callable[[], list[Key]], what: str) -> None:
    wait_for(lambda: wanted <= set(found()), PATIENCE_S, f"all {what}")


def test_every_result_arrives_as_often_as_promised(world: World) -> None:
    broker = world.stack.broker
    with Recorder(
        broker.port, broker.username, broker.password, (InferenceResult, Detections)
    ) as truth:
        world.run(truth)
        wait_for(lambda: world.at_web() and world.stored(), PATIENCE_S, "the first results")

        # All far sides at once, and the publisher is killed meanwhile.
        world.web.stop()
        world.far.stop()
        world.postgres.stop()
        shown = world.shown()
        world.more()
        assert world.shown() > shown + LOAD / 2, "live results go on"
        world.stack.processes["publisher"].kill()
        world.more()
        world.stack.start("publisher", "publisher")
        world.more()
        world.postgres.start()
        world.far.start()
        world.web.start()
        world.more()

        # One after the other, and the web server takes requests without answering.
        world.web.hold.clear()
        world.more()
        world.web.hold.set()
        world.far.kill()
        world.more()
        world.far.start()
        world.more()

        world.stack.processes.pop("capture").stop()
        inference = world.stack.processes["inference"]
        assert inference.process.poll() is None
        wanted = world.results()
        for what, found in (
            ("at the web server", lambda: keys(world.at_web())),
            ("at the second broker", lambda: keys(world.subscriber.came)),
            ("in PostgreSQL", world.stored),
        ):
            wait_until_all_are(wanted, found, what)
        wanted = world.results()
        north = {key for key in wanted if key[0] == "north"}
        wait_for(lambda: north <= set(keys(world.one_by_one())), PATIENCE_S, "all of north")

    # At least once, in order, and nothing that never was.
    for messages in (world.at_web(), world.one_by_one(), world.subscriber.came):
        assert set(keys(messages)) <= wanted
        assert_in_order(messages)
    ids = Counter(r.key for r in world.web.requests if r.path == "/one")
    assert len(ids) == len(set(keys(world.one_by_one()))), "copies have the same id, others not"
    # Exactly once, in rows and sums.
    assert sorted(world.stored()) == sorted(wanted)
    assert world.summed() == len(wanted)
