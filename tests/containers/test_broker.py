"""The broker in its container: who comes in where, and what they may."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Literal

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from support.broker import free_port
from support.compose_box import ComposeBox
from support.waiting import wait_for

TIMEOUT_S = 20
FRAMES = "nxai/v1/+/cameras/+/frame/+"
DETECTIONS = "nxai/v1/+/cameras/+/detections"
OUTSIDE = ("viewer", "operator", "home-assistant", "processor", "pusher")
INSIDE = ("capture", "inference", "publisher", "manager", "cloud-sync")


class Client:
    """An MQTT 5 client that knows nothing of this project."""

    def __init__(
        self,
        address: tuple[str, int],
        account: str,
        password: str,
        *,
        transport: Literal["tcp", "websockets"] = "tcp",
        authority: str | None = None,
    ) -> None:
        self.connected: SimpleQueue[bool] = SimpleQueue()
        self.gone: SimpleQueue[bool] = SimpleQueue()
        self.granted: SimpleQueue[bool] = SimpleQueue()
        self.received: SimpleQueue[str] = SimpleQueue()
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, transport=transport
        )
        self.paho.username_pw_set(account, password)
        if authority is not None:
            self.paho.tls_set(ca_certs=authority)
        self.paho.on_connect = lambda _c, _u, _f, why, _p: self.connected.put(not why.is_failure)
        self.paho.on_disconnect = lambda *_: self.gone.put(True)
        self.paho.on_subscribe = lambda _c, _u, _m, why, _p: self.granted.put(not why[0].is_failure)
        self.paho.on_message = lambda _c, _u, message: self.received.put(message.topic)
        self.paho.connect(*address)
        self.paho.loop_start()

    def hears(self, topic: str) -> bool:
        self.paho.subscribe(topic)
        return self.granted.get(timeout=TIMEOUT_S) and bool(self.received.get(timeout=TIMEOUT_S))


@contextmanager
def client(address: tuple[str, int], account: str, password: str, **how: Any) -> Iterator[Client]:
    opened = Client(address, account, password, **how)
    try:
        yield opened
    finally:
        opened.paho.disconnect()
        opened.paho.loop_stop()


def comes_in(address: tuple[str, int], account: str, password: str) -> bool:
    with client(address, account, password) as opened:
        return opened.connected.get(timeout=TIMEOUT_S)


def outside(box: ComposeBox) -> tuple[str, int]:
    return "127.0.0.1", box.mqtt_port


def inside(box: ComposeBox) -> tuple[str, int]:
    """Return the services' listener, which this machine can reach, and no other."""
    (network,) = box.container("mosquitto")["NetworkSettings"]["Networks"].values()
    return network["IPAddress"], 1883


def test_each_account_comes_in_at_its_own_listener_alone(well: ComposeBox) -> None:
    for account in OUTSIDE:
        password = well.password(account)
        assert comes_in(outside(well), account, password), account
        assert not comes_in(inside(well), account, password), account
    for account in INSIDE:
        password = well.inner_password(account)
        assert not comes_in(outside(well), account, password), account
        assert comes_in(inside(well), account, password), account


def test_the_services_listener_is_not_published(well: ComposeBox) -> None:
    ports = well.container("mosquitto")["NetworkSettings"]["Ports"]
    assert not ports["1883/tcp"]
    published = [each for bound in ports.values() for each in bound or ()]
    assert {each["HostIp"] for each in published} == {"127.0.0.1"}


def test_a_program_outside_reads_detections_and_no_frames(well: ComposeBox) -> None:
    for topic in (FRAMES, f"$share/thieves/{FRAMES}"):
        with client(outside(well), "operator", well.password("operator")) as reader:
            reader.paho.subscribe(topic)
            reader.granted.get(timeout=TIMEOUT_S)
            # Detections come from frames: when they are there, frames would have been.
            for _ in range(3):
                assert reader.hears(DETECTIONS)
            heard = {reader.received.get_nowait() for _ in range(reader.received.qsize())}
            assert not [each for each in heard if "/frame/" in each]


def test_the_publisher_cannot_write_frames(well: ComposeBox) -> None:
    password = well.inner_password("publisher")
    script = """
        printf -- '-u publisher\\n-P %s\\n' "$1" > /tmp/mosquitto_pub
        XDG_CONFIG_HOME=/tmp mosquitto_pub -V 5 -q 1 -t "$2" -m x 2>&1; rm /tmp/mosquitto_pub"""
    for topic, refused in (
        ("nxai/v1/box/cameras/demo/frame/96x96x3", True),
        ("nxai/v1/box/cameras/demo/test", False),
    ):
        told = well.exec("mosquitto", "sh", "-c", script, "sh", password, topic)
        assert ("Not authorized" in told) == refused, told


def test_a_new_password_is_in_force_at_once(well: ComposeBox) -> None:
    before = well.password("processor")
    with client(outside(well), "processor", before) as connected:
        assert connected.connected.get(timeout=TIMEOUT_S)
        well.exec("mosquitto", "passwords", "rotate", "processor")
        assert connected.gone.get(timeout=TIMEOUT_S)
    after = well.password("processor")
    assert after != before
    wait_for(lambda: comes_in(outside(well), "processor", after), 20, "the new password")
    assert not comes_in(outside(well), "processor", before)
    well.wait_detections(1)


@pytest.fixture
def with_tls(well: ComposeBox) -> Iterator[dict[str, int]]:
    """The box with a listener for TLS and one for WebSockets; their ports."""
    tls, websockets = free_port(), free_port()
    variables = {
        "MQTT_TLS_PORT": str(tls),
        "MQTT_TLS_NAMES": "box.example,localhost",
        "MQTT_WEBSOCKETS_PORT": str(websockets),
    }
    well.up(**variables)
    well.wait_healthy()
    yield {"tcp": tls, "websockets": websockets}
    well.up()
    well.wait_healthy()


def test_tls_with_the_authority_of_the_box(
    well: ComposeBox, with_tls: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = tmp_path_factory.mktemp("tls") / "ca.crt"
    authority.write_text(well.exec("mosquitto", "cat", "/mosquitto/tls/ca.crt"))
    password = well.password("viewer")
    for transport, port in with_tls.items():
        address = ("localhost", port)
        how = {"transport": transport, "authority": str(authority)}
        with client(address, "viewer", password, **how) as reader:
            assert reader.connected.get(timeout=TIMEOUT_S), transport
            assert reader.hears(DETECTIONS), transport
        with client(address, "capture", well.inner_password("capture"), **how) as service:
            assert not service.connected.get(timeout=TIMEOUT_S), transport
    # A name that the certificate does not have.
    checking = ssl.create_default_context(cafile=str(authority))
    address = ("127.0.0.1", with_tls["tcp"])
    with (
        socket.create_connection(address, timeout=TIMEOUT_S) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"),
    ):
        checking.wrap_socket(plain, server_hostname="127.0.0.1")
