"""The part for Home Assistant at a real broker: what it keeps there, and what it clears.

Home Assistant itself is in tests/home_assistant.
"""

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import SecretStr

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.outside import OutsideBroker, Received
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.alarms import AlarmPhase
from nxai_common.contracts.base import Message
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.outputs import EventPhase, Snapshot
from nxai_common.contracts.progress import JobState
from nxai_publisher import home_assistant
from nxai_publisher.adapters import home_link
from nxai_publisher.adapters.home_link import HomeBroker, HomeLink
from nxai_publisher.core.home_assistant.discovery import NOTHING
from nxai_publisher.core.home_assistant.known import Box
from nxai_publisher.core.home_assistant.states import Shown, states_of
from nxai_publisher.home_assistant import HomeAssistant
from nxai_publisher.ports import SecretUnavailable
from nxai_publisher.settings import PublisherSettings
from support.broker import PASSWORD, USERNAME, Broker
from support.known_box import (
    NEW,
    alarm,
    capture,
    cloud_sync,
    deployment,
    event,
    inference,
    link,
    manifest,
    publisher,
    seen,
    status,
    step,
)
from support.waiting import wait_for

BOX = "homeassistant/device/nxai-box/_box/config"
FRONT = "homeassistant/device/nxai-box/front/config"
HERE = "nxai/v1/box/home-assistant"
ONLINE = f"{HERE}/_box/availability"
STATE = f"{HERE}/front/state"
PICTURE = f"{HERE}/front/picture"
EVENT = f"{HERE}/front/event"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what gives Home Assistant time: nobody is there to need it."""
    monkeypatch.setattr(home_link, "READ_BACK_S", 0.5)
    monkeypatch.setattr(home_assistant, "READ_BACK_S", 0.5)
    monkeypatch.setattr(home_assistant, "ANSWER_S", 1.0)
    monkeypatch.setattr(home_assistant, "TRY_AGAIN_S", 0.5)
    monkeypatch.setattr(home_assistant, "PATIENCE_S", 0.2)
    monkeypatch.setattr(home_link, "PAUSE_S", 0.2)
    monkeypatch.setattr(home_link, "SETTLE_S", 0.1)
    monkeypatch.setattr(home_link, "BIRTH_S", (0.05, 0.1))
    monkeypatch.setattr(home_link, "STATES_AFTER_S", 0.2)


class Onlooker:
    """Sees everything at a broker, as it comes."""

    def __init__(self, broker: Broker) -> None:
        self._outside = OutsideBroker(broker.url, "onlooker", USERNAME, PASSWORD)
        self.heard: list[Received] = []
        self.kept: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self._outside.__enter__()
        assert self._outside.wait_connected(10)
        for filter_ in ("homeassistant/#", "other/#", f"{HERE}/#"):
            self._outside.subscribe(filter_, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._outside.close()

    def look(self) -> None:
        while (received := self._outside.receive(0)) is not None:
            self.heard.append(received)
            self.kept[received.topic] = received.payload
            if not received.payload:
                del self.kept[received.topic]

    def wait(self, fits: Callable[[], bool], what: str = "", deadline: float = 15) -> None:
        def now() -> bool:
            self.look()
            return fits()

        try:
            wait_for(now, deadline, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; kept: {sorted(self.kept)}") from None

    def wait_kept(self, *topics: str) -> None:
        self.wait(lambda: all(topic in self.kept for topic in topics), f"kept: {topics}")

    def json(self, topic: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kept[topic])
        return found

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._outside.publish(topic, payload, retain=retain).wait(10)

    def topics(self) -> list[str]:
        self.look()
        return [received.topic for received in self.heard]


class World:
    """A box on a bus of its own, and Home Assistant's broker."""

    def __init__(self, bus: MemoryBus, onlooker: Onlooker, part: HomeAssistant) -> None:
        self.bus = bus
        self.onlooker = onlooker
        self.part = part

    def tell(self, *messages: Message) -> None:
        for message in messages:
            self.bus.publish(message)

    def settled(self) -> None:
        self.onlooker.wait_kept(BOX, FRONT, STATE, ONLINE)


def settings(broker: Broker, folder: Path) -> PublisherSettings:
    return PublisherSettings(
        broker=broker.url,
        broker_username=USERNAME,
        broker_password=SecretStr(PASSWORD),
        run_dir=folder,
    )


def no_secret(name: str, host: str) -> str:
    raise SecretUnavailable(f"there is no secret {name!r} for {host!r}")


@pytest.fixture
def onlooker(broker: Broker) -> Iterator[Onlooker]:
    with Onlooker(broker) as found:
        yield found


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    with MemoryBus(MemoryBroker(), "box") as found:
        for message in (
            publisher(),
            capture("parts"),
            inference(models=[{"id": "parts", "path": "parts"}]),
            cloud_sync(collect=True),
            manifest(),
            deployment(),
            status("publisher"),
            status("inference"),
            status("capture", cameras=[link()]),
            seen(),
            Snapshot(camera="front", attachment=b"\xff\xd8 a picture"),
        ):
            found.publish(message)
        yield found


@contextmanager
def running(
    broker: Broker,
    bus: MemoryBus,
    onlooker: Onlooker,
    folder: Path,
    secret: Callable[[str, str], str] = no_secret,
) -> Iterator[World]:
    rng = random.Random(1)  # noqa: S311 - for delays
    part = HomeAssistant(settings(broker, folder), bus, secret, rng=rng)
    with part:
        yield World(bus, onlooker, part)


@pytest.fixture
def world(broker: Broker, bus: MemoryBus, onlooker: Onlooker, tmp_path: Path) -> Iterator[World]:
    with running(broker, bus, onlooker, tmp_path) as found:
        yield found


@contextmanager
def answering(
    bus: MemoryBus,
    kind: type[c.Command],
    *replies: c.Reply,
    first: Callable[[], object] = lambda: None,
) -> Iterator[list[c.Command]]:
    """Answer commands as a service does, each with the next reply."""
    levels = {"service": "publisher"} if kind is c.RestartService else {}
    inbox: Inbox = bus.subscribe(Subscription(kind, levels))
    asked: list[c.Command] = []

    def answer() -> None:
        for reply in replies:
            delivery = inbox.receive()
            if delivery is None:
                return
            assert isinstance(delivery.message, c.Command)
            asked.append(delivery.message)
            first()
            delivery.reply(reply)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield asked
    finally:
        inbox.close()
        thread.join()


# -- what is there ------------------------------------------------------------------------------


def test_states_are_there_before_the_entities_and_the_box_before_its_cameras(world: World) -> None:
    world.settled()
    order = world.onlooker.topics()
    assert order.index(STATE) < order.index(BOX) < order.index(FRONT)
    assert world.onlooker.kept[ONLINE] == b"online"
    assert world.onlooker.json(STATE)["counts"]["nut"] == 2
    assert world.onlooker.kept[PICTURE] == b"\xff\xd8 a picture"
    assert world.part.problems == ()
    assert world.part.counters["ha_published"] >= 6


def test_goodbye_is_said_and_the_entities_stay(
    broker: Broker, bus: MemoryBus, onlooker: Onlooker, tmp_path: Path
) -> None:
    with running(broker, bus, onlooker, tmp_path) as world:
        world.settled()
    onlooker.wait(lambda: onlooker.kept[ONLINE] == b"offline")
    assert {BOX, FRONT, STATE} <= set(onlooker.kept)


def test_counts_are_told_as_they_change_and_what_stays_the_same_is_not(world: World) -> None:
    world.settled()
    world.onlooker.heard.clear()
    world.tell(seen({"nut": 5}))
    world.onlooker.wait(lambda: world.onlooker.json(STATE)["count"] == 5)
    assert set(world.onlooker.topics()) == {STATE}


def test_states_are_told_again_before_they_expire(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settled()
    monkeypatch.setattr(home_link, "HEARTBEAT_S", 0.3)
    world.onlooker.heard.clear()
    world.onlooker.wait(lambda: world.onlooker.topics().count(STATE) > 3)
    assert PICTURE not in world.onlooker.topics()
    assert BOX not in world.onlooker.topics()


def test_home_assistant_that_starts_is_told_all_and_states_last(world: World) -> None:
    world.settled()
    world.onlooker.heard.clear()
    world.onlooker.say("homeassistant/status", b"offline")
    world.onlooker.say("homeassistant/status", b"online")
    world.onlooker.wait(lambda: world.onlooker.topics().count(STATE) > 0)
    order = world.onlooker.topics()
    assert order.index(BOX) < order.index(FRONT) < order.index(STATE)
    assert ONLINE in order
    assert PICTURE not in order


def test_what_happened_is_told_once_and_not_kept(world: World) -> None:
    world.settled()
    world.tell(event(EventPhase.START), alarm(AlarmPhase.START), event(EventPhase.UPDATE))
    world.onlooker.wait(lambda: world.onlooker.topics().count(EVENT) == 2)
    kinds = [json.loads(r.payload)["event_type"] for r in world.onlooker.heard if r.topic == EVENT]
    assert sorted(kinds) == ["alarm", "appeared"]
    wait_for(lambda: world.part.counters["ha_events"] == 2)
    world.onlooker.wait(lambda: world.onlooker.json(STATE)["alarms"]["busy"] == "ON")


def test_a_model_with_other_labels(world: World) -> None:
    world.settled()
    world.tell(manifest(labels=("nut", "ring")))
    world.onlooker.wait(
        lambda: (
            {key for key in world.onlooker.json(FRONT)["components"] if "count-" in key}
            == {"count-nut", "count-ring"}
        )
    )
    said = [json.loads(r.payload) for r in world.onlooker.heard if r.topic == FRONT]
    assert any(
        part == {"platform": "sensor"} for whole in said for part in whole["components"].values()
    )


def test_a_camera_that_is_gone_leaves_nothing(world: World) -> None:
    world.settled()
    world.tell(publisher(cameras=("back",)))
    world.onlooker.wait(
        lambda: not any("front" in topic for topic in world.onlooker.kept), "nothing is left"
    )
    world.onlooker.wait_kept(FRONT.replace("front", "back"))


def test_a_model_that_is_taken_away(world: World) -> None:
    world.settled()
    assert "model-nuts" in world.onlooker.json(BOX)["components"]
    world.bus.clear(Deployment, model="nuts")
    world.onlooker.wait(lambda: "model-nuts" not in world.onlooker.json(BOX)["components"])


# -- what was there before ------------------------------------------------------------------------


def test_ghosts_are_cleared_and_what_is_not_ours_stays(
    broker: Broker, bus: MemoryBus, onlooker: Onlooker, tmp_path: Path
) -> None:
    ghosts = (
        "homeassistant/device/nxai-box/gone/config",
        "homeassistant/sensor/nxai-box/gone-Count/config",
        f"{HERE}/gone/state",
        f"{HERE}/gone/picture",
        f"{HERE}/gone/availability",
    )
    others = (
        "homeassistant/device/nxai-box-2/front/config",
        "homeassistant/device/lamp/config",
        "homeassistant/sensor/nxai/box/config",
    )
    for topic in (*ghosts, *others):
        onlooker.say(topic, b'{"unique_id": "a"}', retain=True)
    with running(broker, bus, onlooker, tmp_path) as world:
        world.settled()
        onlooker.wait(lambda: not set(ghosts) & set(onlooker.kept), "ghosts are gone")
        assert set(others) <= set(onlooker.kept)


def test_what_the_broker_has_is_not_sent_again(
    broker: Broker, bus: MemoryBus, onlooker: Onlooker, tmp_path: Path
) -> None:
    with running(broker, bus, onlooker, tmp_path) as world:
        world.settled()
        onlooker.wait_kept(PICTURE)
    onlooker.heard.clear()
    with running(broker, bus, onlooker, tmp_path):
        onlooker.wait(lambda: onlooker.kept[ONLINE] == b"online")
        onlooker.wait(lambda: onlooker.topics().count(STATE) > 0)
        bus.publish(seen({"nut": 7}))
        onlooker.wait(lambda: onlooker.json(STATE)["count"] == 7)
    assert not {BOX, FRONT, PICTURE} & set(onlooker.topics())


def test_a_broker_that_lost_its_store_is_told_all_again(world: World, broker: Broker) -> None:
    world.settled()
    world.onlooker.wait_kept(PICTURE)
    broker.kill()
    for file in broker.folder.glob("*.db"):
        file.unlink()
    world.tell(event(EventPhase.END))
    wait_for(lambda: world.part.counters["ha_dropped"] == 1)
    wait_for(lambda: world.part.problems, what="it is told")
    world.onlooker.kept.clear()
    world.onlooker.heard.clear()
    broker.start()
    world.settled()
    world.onlooker.wait_kept(PICTURE)
    assert world.part.problems == ()


# -- settings -------------------------------------------------------------------------------------


def test_from_one_message_an_entity_to_one_a_device(world: World) -> None:
    world.tell(publisher(home_assistant={"mode": "single"}))
    single = "homeassistant/sensor/nxai-box/front-Count-nut/config"
    world.onlooker.wait_kept(single)
    world.tell(publisher())
    world.onlooker.wait(lambda: single not in world.onlooker.kept, "the old form is gone")
    said = [r.payload for r in world.onlooker.heard if r.topic == single]
    assert said[-2:] == [b'{"migrate_discovery":true}', b""]
    assert {BOX, FRONT} <= set(world.onlooker.kept)


def test_another_prefix_leaves_nothing_below_the_first(world: World) -> None:
    world.settled()
    world.tell(publisher(home_assistant={"prefix": "other"}))
    moved = BOX.replace("homeassistant", "other")
    world.onlooker.wait_kept(moved)
    world.onlooker.wait(lambda: BOX not in world.onlooker.kept)
    world.onlooker.heard.clear()
    world.onlooker.say("other/status", b"online")
    world.onlooker.wait(lambda: moved in world.onlooker.topics())


def test_a_prefix_that_an_earlier_run_had_is_cleared(
    broker: Broker, bus: MemoryBus, onlooker: Onlooker, tmp_path: Path
) -> None:
    bus.publish(publisher(home_assistant={"prefix": "other"}))
    with running(broker, bus, onlooker, tmp_path):
        onlooker.wait_kept("other/device/nxai-box/front/config")
    bus.publish(publisher())
    with running(broker, bus, onlooker, tmp_path) as world:
        world.settled()
        onlooker.wait(lambda: not any(topic.startswith("other/") for topic in onlooker.kept))
        announced = f"{HERE}/_box/announced"
        onlooker.wait(lambda: onlooker.json(announced) == {"prefixes": ["homeassistant"]})


def test_switched_off_nothing_is_left(world: World) -> None:
    world.settled()
    world.tell(publisher(home_assistant={"mode": "off"}))
    world.onlooker.wait(lambda: not world.onlooker.kept, "nothing is left")
    world.tell(publisher())
    world.settled()


def test_switched_off_at_the_start_what_was_there_is_cleared(
    broker: Broker, bus: MemoryBus, onlooker: Onlooker, tmp_path: Path
) -> None:
    with running(broker, bus, onlooker, tmp_path) as world:
        world.settled()
    bus.publish(publisher(home_assistant={"mode": "off"}))
    with running(broker, bus, onlooker, tmp_path) as world:
        onlooker.wait(lambda: not onlooker.kept, "nothing is left")
        world.tell(event(EventPhase.START))
    assert EVENT not in onlooker.topics()
    assert world.part.problems == ()


def test_another_broker(
    broker: Broker,
    bus: MemoryBus,
    onlooker: Onlooker,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    secrets: dict[str, str] = {}

    def secret(name: str, host: str) -> str:
        assert host == "127.0.0.1"
        return secrets.get(name) or no_secret(name, host)

    with (
        Broker(tmp_path_factory.mktemp("other")) as other,
        Onlooker(other) as there,
        running(broker, bus, onlooker, tmp_path, secret) as world,
    ):
        world.settled()
        options = {"url": other.url, "username": USERNAME, "password_secret": "home"}
        world.tell(publisher(home_assistant={"broker": options}))
        wait_for(lambda: world.part.problems, what="the secret is missed")
        assert "'home'" in world.part.problems[0].reason
        assert BOX in onlooker.kept
        secrets["home"] = "wrong"
        wait_for(
            lambda: any("user and password" in p.reason for p in world.part.problems),
            what="the password is refused",
        )
        onlooker.wait(lambda: not onlooker.kept, "the first broker is left tidy")
        secrets["home"] = PASSWORD
        there.wait_kept(BOX, FRONT, STATE)
        assert PASSWORD not in repr(HomeBroker(other.url, USERNAME, PASSWORD))
        wait_for(lambda: world.part.problems == ())


@pytest.mark.parametrize("url", ["mqtt://[", "http://home", "mqtt://user:secret@home"])
def test_an_address_that_is_none_is_told_without_its_password(world: World, url: str) -> None:
    world.settled()
    world.tell(publisher(home_assistant={"broker": {"url": url}}))
    wait_for(lambda: world.part.problems, what="it is told")
    assert "outputs.home_assistant.broker" in world.part.problems[0].reason
    assert "secret" not in world.part.problems[0].reason
    world.tell(publisher())
    wait_for(lambda: world.part.problems == ())


def test_a_page_that_is_none_is_told(world: World) -> None:
    world.tell(publisher(home_assistant={"page": "box:8081"}))
    wait_for(lambda: world.part.problems, what="it is told")
    assert "'box:8081'" in world.part.problems[0].reason
    world.settled()


# -- orders ---------------------------------------------------------------------------------------


def answer_of(world: World) -> str:
    world.onlooker.look()
    answer = world.onlooker.json(f"{HERE}/_box/state")["answer"]
    return str(answer.get("text", ""))


def test_an_order_is_done_and_its_answer_told(world: World) -> None:
    world.settled()
    with answering(
        world.bus, c.AdjustCamera, c.Reply(ok=True, details={"box_runs": False})
    ) as asked:
        world.onlooker.say(f"{HERE}/front/run/set", b"ON")
        world.onlooker.wait(lambda: "box is off" in answer_of(world))
    assert asked == [c.AdjustCamera(camera="front", run=True)]
    assert (world.part.counters["ha_commands"], world.part.counters["ha_refused"]) == (1, 0)


@pytest.mark.parametrize(
    ("topic", "payload", "told"),
    [
        (f"{HERE}/front/run/set", b"maybe", "neither ON nor OFF"),
        (f"{HERE}/_box/run/set", b"ON", "no answer"),
    ],
)
def test_why_an_order_was_not_done_is_told(
    world: World, topic: str, payload: bytes, told: str
) -> None:
    world.settled()
    world.onlooker.say(topic, payload)
    world.onlooker.wait(lambda: told in answer_of(world))
    assert world.part.counters["ha_refused"] == 1


def test_a_service_that_refuses_says_why(world: World) -> None:
    world.settled()
    with answering(world.bus, c.RunCameras, c.Reply(ok=False, reason="the settings are broken")):
        world.onlooker.say(f"{HERE}/_box/run/set", b"OFF")
        world.onlooker.wait(lambda: answer_of(world) == "Detection off: the settings are broken")


def test_too_much_at_once_is_refused(world: World) -> None:
    world.settled()
    for _ in range(home_assistant.ASKED + 4):
        world.onlooker.say(f"{HERE}/_box/run/set", b"ON")  # nobody answers: each takes a second
    world.onlooker.wait(lambda: "too much" in answer_of(world))


def test_a_model_is_fetched_and_then_installed(world: World) -> None:
    world.settled()
    world.tell(deployment(offered="2026-11-22"))
    with (
        answering(world.bus, c.PullModel, c.Reply(ok=True, details={"job": "job-1"})),
        answering(world.bus, c.DeployModel, c.Reply(ok=True, reason="goes in force")) as deployed,
    ):
        world.onlooker.say(f"{HERE}/_box/install/set", b"nuts")
        models = f"{HERE}/_box/state"
        world.onlooker.wait(lambda: world.onlooker.json(models)["models"]["nuts"]["in_progress"])
        world.tell(step(JobState.RUNNING, done=1, total=2))
        world.onlooker.wait(
            lambda: world.onlooker.json(models)["models"]["nuts"]["update_percentage"] == 50
        )
        world.tell(step(JobState.DONE, details={"model": "nuts", "digest": NEW}))
        world.onlooker.wait(lambda: "goes in force" in answer_of(world))
    assert deployed == [c.DeployModel(model="nuts", digest=NEW, how="at-once")]


def test_an_update_is_not_over_before_it_began(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What becomes of an order can be told before it is answered."""
    told = threading.Event()

    def with_the_old_one_alone(box: Box, now: float) -> dict[str, Shown]:
        if not box.deployments["nuts"].offered:
            told.set()
        return states_of(box, now)

    def before_the_answer() -> None:
        world.tell(deployment())
        assert told.wait(10)

    def latest() -> str:
        shown = world.onlooker.json(f"{HERE}/_box/state")["models"]["nuts"]["latest_version"]
        return str(shown)

    world.settled()
    world.tell(deployment(offered="2026-11-22"))
    world.onlooker.wait(lambda: latest() == "2026-11-22")
    monkeypatch.setattr(home_assistant, "ANSWER_S", 10.0)
    monkeypatch.setattr(home_assistant, "states_of", with_the_old_one_alone)
    refusal = c.Reply(ok=False, reason="the disk is full")
    with answering(world.bus, c.PullModel, refusal, first=before_the_answer):
        world.onlooker.say(f"{HERE}/_box/install/set", b"nuts")
        world.onlooker.wait(lambda: latest() != "2026-11-22")
        assert answer_of(world) == "Install Nuts: the disk is full"


def test_why_a_model_could_not_be_fetched_is_told(world: World) -> None:
    world.settled()
    world.tell(deployment(offered="2026-11-22"))
    for number in range(home_assistant.ENDED + 1):
        world.tell(step(JobState.DONE, f"other-{number}"))
    with answering(world.bus, c.PullModel, c.Reply(ok=True, details={"job": "job-1"})):
        world.onlooker.say(f"{HERE}/_box/install/set", b"nuts")
        world.tell(step(JobState.FAILED, text="the disk is full"))
        world.onlooker.wait(lambda: answer_of(world) == "Install nuts: the disk is full")


def test_more_orders_than_a_person_gives_are_dropped(broker: Broker, onlooker: Onlooker) -> None:
    """Asked for by nobody, for a while."""
    rng = random.Random(1)  # noqa: S311 - for delays
    found = HomeLink("box", HomeBroker(broker.url, USERNAME, PASSWORD), "homeassistant", rng)
    try:

        def too_many() -> bool:
            onlooker.say(f"{HERE}/_box/run/set", b"ON")
            found.turn(0.0, "homeassistant", NOTHING, {})
            return found.dropped >= 3

        wait_for(too_many)
        assert len(found.orders()) == home_link.ORDERS
    finally:
        found.close(goodbye=False)


# -- how it fails ---------------------------------------------------------------------------------


def test_a_fault_is_told_and_survived(
    broker: Broker,
    bus: MemoryBus,
    onlooker: Onlooker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults = [RuntimeError("a mistake")]

    def faulty(box: Box, now: float) -> dict[str, Shown]:
        if faults:
            raise faults.pop()
        return states_of(box, now)

    monkeypatch.setattr(home_assistant, "states_of", faulty)
    with running(broker, bus, onlooker, tmp_path) as world:
        wait_for(lambda: world.part.problems, what="the fault is told")
        assert "fault of this program" in world.part.problems[0].reason
        world.settled()
        wait_for(lambda: world.part.problems == ())


def test_without_settings_nothing_is_said(
    broker: Broker, onlooker: Onlooker, tmp_path: Path
) -> None:
    with (
        MemoryBus(MemoryBroker(), "box") as bus,
        running(broker, bus, onlooker, tmp_path) as world,
    ):
        bus.publish(deployment(latest={"digest": NEW}))
        bus.publish(event(EventPhase.START))
        bus.publish(publisher())
        onlooker.wait_kept(BOX)
        assert EVENT not in onlooker.topics()
        assert world.part.problems == ()
