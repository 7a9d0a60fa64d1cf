"""Results to a second, real broker."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from nxai_common.contracts.destinations import MqttDestination
from nxai_publisher.adapters import mqtt_destination
from nxai_publisher.adapters.mqtt_destination import MqttOutlet
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.adapters.sqlite_outbox import SqliteOutbox
from nxai_publisher.core.drafts import Posted, occasional
from nxai_publisher.core.entries import Entry
from nxai_publisher.core.state import CameraView
from nxai_publisher.ports import DestinationUnavailable, SecretUnavailable
from support.broker import PASSWORD, USERNAME, Broker, tls_broker
from support.outbox import destination, opened, posted
from support.waiting import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "site").write_text(PASSWORD)
    return tmp_path


def outlet(broker: Broker, folder: Path, **fields: Any) -> MqttOutlet:
    values = {
        "id": "site", "url": broker.url, "username": USERNAME, "password_secret": "site", **fields
    }  # fmt: skip
    return MqttOutlet(MqttDestination(**values), "box", SecretsDirectory(folder / "secrets"))


def entries(folder: Path, *items: Posted) -> list[Entry]:
    """Return what an outbox makes of it."""
    contents = ("detections", "nx-output", "state")
    with opened(folder / "outbox.db", destination("site", what=contents)) as outbox:
        outbox.write(items)
        return outbox.fetch("site", 1000, holding=False)


def state() -> Posted:
    told = CameraView("front", 0.0).tell(0, 0, every_s=10, device="box", camera_name="")
    draft = occasional(told, 0, lambda _c, _k, *, objects: objects)
    assert draft is not None
    return Posted(("state",), (draft,))


@pytest.fixture
def ear(broker: Broker) -> Iterator[list[paho.MQTTMessage]]:
    heard: list[paho.MQTTMessage] = []

    def subscribe(client: paho.Client, *_: object) -> None:
        client.subscribe("plant/#", qos=1)

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.username_pw_set(USERNAME, PASSWORD)
    client.on_message = lambda _c, _d, message: heard.append(message)
    client.on_connect = subscribe
    client.connect(broker.host, broker.port)
    client.loop_start()
    wait_for(lambda: "plant/#" in broker.said)
    yield heard
    client.disconnect()
    client.loop_stop()


def test_the_same_topics_below_another_root(
    broker: Broker, folder: Path, ear: list[paho.MQTTMessage]
) -> None:
    sent = entries(
        folder, *(posted(n, what=("detections", "nx-output")) for n in range(50)), state()
    )
    way = outlet(broker, folder, root="plant/line-1")
    assert list(way.send(sent)) == []
    wait_for(lambda: len(ear) == 101)
    way.close()
    assert [message.payload for message in ear] == [entry.payload for entry in sent]
    first, second, *_, last = ear
    assert first.topic == "plant/line-1/box/cameras/front/detections"
    assert second.topic == "plant/line-1/box/cameras/front/output"
    told = dict(first.properties.UserProperty)  # type: ignore[union-attr] # it has some
    assert told["id"] == "detections-run-1-0-m5-nut"
    assert told["type"] == "io.nxai-edge.detections.v1"
    assert told["source"] == "/nxai/v1/box/cameras/front"
    assert dict(second.properties.UserProperty)["id"] == sent[1].id  # type: ignore[union-attr] # it has some
    assert last.topic.endswith("/state")
    assert (first.qos, last.qos) == (1, 1)


def test_a_state_is_kept_there(broker: Broker, folder: Path) -> None:
    way = outlet(broker, folder, root="plant")
    way.send(entries(folder, state(), posted(1)))
    way.close()
    with broker.bus("x"):
        kept = subprocess.run(
            ["mosquitto_sub", "-p", str(broker.port), "-u", USERNAME, "-P", PASSWORD,
             "-t", "plant/#", "-C", "1", "-W", "60", "-F", "%r %t"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    assert kept.stdout == "1 plant/box/cameras/front/state\n"


def test_quality_0_leaves_and_is_not_waited_for(
    broker: Broker, folder: Path, ear: list[paho.MQTTMessage]
) -> None:
    way = outlet(broker, folder, root="plant", qos=0)
    way.send(entries(folder, posted(1)))
    wait_for(lambda: ear)
    way.close()
    assert ear[0].qos == 0
    assert orjson.loads(ear[0].payload)["sequence"] == 1


def test_a_broker_that_is_away(
    broker: Broker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_destination, "PATIENCE_S", 0.3)
    broker.stop()
    way = outlet(broker, folder)
    with pytest.raises(DestinationUnavailable, match="nothing listens there"):
        way.send(entries(folder, posted(1)))
    way.close()
    broker.start()


def test_what_is_not_acknowledged_comes_again(
    broker: Broker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_destination, "PATIENCE_S", 0.5)
    way = outlet(broker, folder)
    way.send(entries(folder, posted(1)))
    subprocess.run(["kill", "-STOP", str(broker.pid)], check=True)
    with pytest.raises(DestinationUnavailable, match="no acknowledgement"):
        way.send(entries(folder, posted(2)))
    subprocess.run(["kill", "-CONT", str(broker.pid)], check=True)
    way.close()


def test_what_the_broker_refuses_is_told_one_by_one(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "broker").mkdir()
    with Broker(tmp_path / "broker") as broker:
        acl = tmp_path / "acl"
        acl.write_text(f"user {USERNAME}\ntopic write plant/box/cameras/front/detections\n")
        with (tmp_path / "broker" / "mosquitto.conf").open("a") as file:
            file.write(f"acl_file {acl}\n")
        broker.stop()
        broker.start()
        way = outlet(broker, folder, root="plant")
        sent = entries(folder, posted(1), posted(2, camera="back"), posted(3))
        (refused,) = way.send(sent)
        way.close()
    assert refused.entry is sent[1]
    assert "Not authorized" in refused.reason


def test_over_tls_it_trusts_what_it_shall(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "broker").mkdir()
    with tls_broker(tmp_path / "broker") as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        sent = entries(folder, posted(1))
        authority = str(tmp_path / "broker/certificate.pem")
        for trusted in ({"certificate": "any"}, {"authority": authority}):
            way = outlet(broker, folder, url=url, **trusted)
            assert list(way.send(sent)) == []
            way.close()


def test_two_at_one_broker_do_not_disturb_one_another(broker: Broker, folder: Path) -> None:
    ways = [outlet(broker, folder, id=name) for name in ("site", "other")]
    sent = entries(folder, posted(1))
    for way in (*ways, *ways):
        assert list(way.send(sent)) == []
    assert [way._broker.connections for way in ways] == [1, 1]
    for way in ways:
        way.close()


def test_a_send_can_be_interrupted(
    broker: Broker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_destination, "PATIENCE_S", 3600.0)
    broker.stop()
    way = outlet(broker, folder)
    way.interrupt()
    with pytest.raises(DestinationUnavailable):
        way.send(entries(folder, posted(1)))
    broker.start()


def test_a_password_that_is_not_there(broker: Broker, folder: Path) -> None:
    with pytest.raises(SecretUnavailable, match="there is no secret 'other'"):
        outlet(broker, folder, password_secret="other")
    for name, host in (("ours", broker.host), ("theirs", "other.example")):
        secret = {"value": PASSWORD, "hosts": [host]}
        (folder / "secrets" / f"{name}.json").write_bytes(orjson.dumps(secret))
    outlet(broker, folder, password_secret="ours").close()
    with pytest.raises(SecretUnavailable, match=f"'theirs' is not for '{broker.host}'"):
        outlet(broker, folder, password_secret="theirs")
    open_broker = outlet(broker, folder, password_secret="", username="")
    open_broker.close()


def test_the_outbox_is_of_this_test(folder: Path) -> None:
    """The helper above takes each entry once."""
    assert len(entries(folder, posted(1), posted(2))) == 2
    assert isinstance(SqliteOutbox(folder / "x", device="box").exists, bool)
