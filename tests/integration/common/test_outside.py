"""The client of another broker, with a real one: versions, TLS, acknowledgements, breaks."""

import gc
import socket
import ssl
import subprocess
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from nxai_common.bus import outside
from nxai_common.bus.outside import LastWord, OutsideBroker, Received
from nxai_common.errors import BrokerUnavailable, ConfigurationError, RejectedError
from nxai_common.retry import RetryPolicy
from support.broker import PASSWORD, USERNAME, Broker, tls_broker
from support.raw_server import raw_server
from support.waiting import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "RECONNECT", RetryPolicy(0.02, 2.0, 0.2, 0.01))


def client(broker: Broker, name: str = "us", **options: Any) -> OutsideBroker:
    return OutsideBroker(broker.url, name, USERNAME, PASSWORD, **options)


@contextmanager
def connected(broker: Broker, name: str = "us", **options: Any) -> Iterator[OutsideBroker]:
    with client(broker, name, **options) as link:
        assert link.wait_connected(20), link.problem
        yield link


def heard(link: OutsideBroker) -> Received:
    found = link.receive(15)
    assert found is not None
    return found


@contextmanager
def protocol_4(broker: Broker) -> Iterator[str]:
    """A broker of before MQTT 5: it refuses that version, and hands the rest on to a real one."""

    def talk(connection: socket.socket, _over: threading.Event) -> None:
        first = connection.recv(1 << 16)
        if first[8] == 5:  # the version, behind length and name
            connection.sendall(b"\x20\x02\x00\x01")
            return
        with socket.create_connection((broker.host, broker.port)) as upstream:
            upstream.sendall(first)
            back = threading.Thread(target=partial(pass_on, upstream, connection))
            back.start()
            pass_on(connection, upstream)
            back.join()

    with raw_server(talk) as (host, port):
        yield f"mqtt://{host}:{port}"


def pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_what_is_published_is_acknowledged_and_heard(broker: Broker) -> None:
    with connected(broker) as link, connected(broker, "other") as other:
        other.subscribe("site/#", 1)
        wait_for(lambda: "site/#" in broker.said)
        receipts = [link.publish("site/a", b"%d" % n) for n in range(200)]
        for receipt in receipts:
            receipt.wait(15)
        assert [heard(other).payload for _ in range(200)] == [b"%d" % n for n in range(200)]
        link.publish("site/b", b"kept", retain=True).wait(15)
        link.publish("site/c", b"once", qos=0).wait(15)
        assert [heard(other).topic for _ in range(2)] == ["site/b", "site/c"]
        other.subscribe("site/b")
        assert heard(other) == Received("site/b", b"kept", retained=True)
        assert link.problem == ""


def test_what_is_asked_for_no_longer_does_not_come(broker: Broker) -> None:
    link = client(broker)
    link.subscribe("site/a")
    link.subscribe("site/b")
    link.unsubscribe("site/b")  # before there is a connection
    with link:
        assert link.wait_connected(20)
        wait_for(lambda: "site/a" in broker.said)
        link.publish("site/b", b"1").wait(15)
        link.publish("site/a", b"2").wait(15)
        assert heard(link).payload == b"2"
        link.unsubscribe("site/a")
        wait_for(lambda: "UNSUBSCRIBE" in broker.said)
        link.publish("site/a", b"3").wait(15)
        assert link.receive(0) is None


def test_an_acknowledgement_may_come_before_the_number_is_noted(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(broker) as link:
        way = link._link
        assert way is not None
        publish = way.client.publish

        def slowly(*arguments: Any) -> paho.MQTTMessageInfo:
            info = publish(*arguments)
            wait_for(lambda: info.mid in way.early)
            return info

        monkeypatch.setattr(way.client, "publish", slowly)
        link.publish("site/a", b"x").wait(0)
        assert way.early == {}


def test_a_connection_may_end_before_the_number_is_noted(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(broker) as link:
        way = link._link
        assert way is not None
        publish = way.client.publish

        def slowly(*arguments: Any) -> paho.MQTTMessageInfo:
            broker.kill()
            assert way.over.wait(10)
            return publish(*arguments)

        monkeypatch.setattr(way.client, "publish", slowly)
        with pytest.raises(BrokerUnavailable):
            link.publish("site/a", b"x").wait(0)
        broker.start()


def test_user_properties_travel(broker: Broker) -> None:
    told: list[Any] = []
    ear = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    ear.username_pw_set(USERNAME, PASSWORD)
    ear.on_message = lambda _c, _d, message: told.append(
        message.properties.UserProperty  # type: ignore[union-attr] # MQTT 5 has properties
    )
    ear.connect(broker.host, broker.port)
    ear.loop_start()
    ear.subscribe("site/a")
    wait_for(lambda: "site/a" in broker.said)
    with connected(broker) as link:
        link.publish("site/a", b"x", properties=[("id", "7"), ("type", "t")]).wait(15)
        wait_for(lambda: told)
    ear.disconnect()
    ear.loop_stop()
    assert told == [[("id", "7"), ("type", "t")]]


def test_a_broker_that_goes_and_comes_back(broker: Broker, caplog: Any) -> None:
    with caplog.at_level("INFO"), connected(broker) as link:
        link.subscribe("site/#")
        broker.kill()
        wait_for(lambda: not link.connected)
        assert "lost the connection" in link.problem or "listens there" in link.problem
        with pytest.raises(BrokerUnavailable):
            link.publish("site/a", b"x").wait(5)
        broker.start()
        assert link.wait_connected(20)
        assert link.connections == 2
        link.publish("site/a", b"x").wait(15)
        assert heard(link).payload == b"x"
    assert "again" in caplog.text


def test_what_was_on_its_way_fails_with_the_connection(broker: Broker) -> None:
    with connected(broker) as link:
        subprocess.run(["kill", "-STOP", str(broker.pid)], check=True)
        receipt = link.publish("site/a", b"x")
        with pytest.raises(BrokerUnavailable, match=r"no acknowledgement within 0\.1 s"):
            receipt.wait(0.1)
        broker.kill()
        with pytest.raises(BrokerUnavailable, match="lost the connection"):
            receipt.wait(15)
        broker.start()


def test_the_last_word_is_said_by_the_broker(broker: Broker) -> None:
    word = LastWord("site/status", b"offline")
    with connected(broker, "other") as other:
        other.subscribe("site/status", 1)
        wait_for(lambda: "site/status" in broker.said)
        with connected(broker, "us", last_word=word), connected(broker, "us"):
            assert heard(other) == Received("site/status", b"offline", retained=False)
        other.subscribe("site/status", 1)
        assert heard(other) == Received("site/status", b"offline", retained=True)


def test_a_broker_of_before_version_5(broker: Broker) -> None:
    with (
        protocol_4(broker) as url,
        OutsideBroker(url, "us", USERNAME, PASSWORD) as link,
        connected(broker, "other") as other,
    ):
        other.subscribe("site/a", 1)
        wait_for(lambda: "site/a" in broker.said)
        assert link.wait_connected(20), link.problem
        link.publish("site/a", b"x", properties=[("id", "7")]).wait(15)
        assert heard(other).payload == b"x"


def test_one_that_hangs_up_is_asked_in_both_versions() -> None:
    versions: list[int] = []

    def talk(connection: socket.socket, _over: threading.Event) -> None:
        versions.append(connection.recv(1 << 16)[8])

    with raw_server(talk) as (host, port), OutsideBroker(f"mqtt://{host}:{port}", "us") as link:
        wait_for(lambda: {4, 5} <= set(versions[1:]))
        assert "hung up without an answer; is it a broker?" in link.problem


def test_a_wrong_password_is_told(broker: Broker) -> None:
    with OutsideBroker(broker.url, "us", USERNAME, "wr0ng") as link:
        wait_for(lambda: "check user and password" in link.problem)
        assert "wr0ng" not in link.problem


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with OutsideBroker(f"mqtt://127.0.0.1:{port}", "us") as link:
        wait_for(lambda: "nothing listens there" in link.problem)
        assert not link.connected
        with pytest.raises(BrokerUnavailable, match="nothing listens there"):
            link.publish("a", b"x").wait(5)


def test_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with OutsideBroker(f"mqtt://127.0.0.1:{port}", "us") as link:
            wait_for(lambda: "no answer; check address" in link.problem)
        for one in waiting:
            one.close()


def test_a_message_that_the_broker_refuses(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        acl = tmp_path / "acl"
        acl.write_text(f"user {USERNAME}\ntopic write site/open\n")
        with (tmp_path / "mosquitto.conf").open("a") as file:
            file.write(f"acl_file {acl}\n")
        broker.stop()
        broker.start()
        with connected(broker) as link:
            with pytest.raises(RejectedError, match="refused the message: Not authorized"):
                link.publish("site/closed", b"x").wait(15)
            link.publish("site/open", b"x").wait(15)


def test_a_message_that_is_too_large(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        configuration = tmp_path / "mosquitto.conf"
        limited = configuration.read_text().replace("max_packet_size 20000000", "")
        configuration.write_text(f"{limited}max_packet_size 2000\n")
        broker.stop()
        broker.start()
        with connected(broker) as link:
            with pytest.raises(RejectedError, match="larger than the 2000 that it takes"):
                link.publish("site/a", b"x" * 3000).wait(15)
            link.publish("site/a", b"x" * 100).wait(15)


def test_what_nobody_takes_is_dropped_and_counted(broker: Broker) -> None:
    with connected(broker, bound=10) as link:
        link.subscribe("site/#", 1)
        for n in range(30):
            link.publish("site/a", b"%d" % n)
        wait_for(lambda: link.dropped == 20)
        assert [heard(link).payload for _ in range(10)] == [b"%d" % n for n in range(20, 30)]
        assert link.receive(0) is None


def test_over_tls_its_certificate_is_checked_unless_it_shall_not(tmp_path: Path) -> None:
    with tls_broker(tmp_path) as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        with OutsideBroker(url, "us", USERNAME, PASSWORD) as link:
            wait_for(lambda: "its certificate is not trusted" in link.problem)
        authority = str(tmp_path / "certificate.pem")
        for options in ({"certificate": "any"}, {"authority": authority}):
            with OutsideBroker(url, "us", USERNAME, PASSWORD, **options) as link:  # type: ignore[arg-type] # one or the other
                assert link.wait_connected(20), link.problem
                link.publish("site/a", b"x").wait(15)
        by_name = url.replace("127.0.0.1", "localhost")  # its certificate names the address alone
        with OutsideBroker(by_name, "us", USERNAME, PASSWORD, authority=authority) as link:
            wait_for(lambda: "Hostname mismatch" in link.problem)


def test_tls_where_there_is_none(broker: Broker) -> None:
    url = broker.url.replace("mqtt:", "mqtts:")
    with OutsideBroker(url, "us", certificate="any") as link:
        wait_for(lambda: link.problem.partition(": ")[2] not in ("", "not connected yet"))
        assert not link.connected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mqtt://me:pw@host", "do not belong in the URL"),
        ("http://host", "is not an address"),
        ("mqtt://", "is not an address"),
    ],
)
def test_an_address_that_is_none(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        OutsideBroker(url, "us")
    assert "pw" not in str(caught.value)


def test_an_authority_that_is_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("none")
    for path, reason in ((empty, "holds no certificate"), (tmp_path / "no", "No such file")):
        with pytest.raises(ConfigurationError, match=reason):
            OutsideBroker("mqtts://host", "us", authority=str(path))


def test_closing_does_not_wait_for_a_broker_that_hangs(broker: Broker) -> None:
    with connected(broker) as link:
        subprocess.run(["kill", "-STOP", str(broker.pid)], check=True)
        receipt = link.publish("site/a", b"x")
        link.close()
        subprocess.run(["kill", "-CONT", str(broker.pid)], check=True)
        with pytest.raises(BrokerUnavailable):
            receipt.wait(0)


def test_one_that_is_closed_while_it_connects_leaves(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects, closed = threading.Event(), threading.Event()
    connect = paho.Client.connect

    def slowly(*arguments: Any) -> Any:
        connects.set()
        assert closed.wait(20)
        return connect(*arguments)

    monkeypatch.setattr(paho.Client, "connect", slowly)
    monkeypatch.setattr(outside, "GOODBYE_S", 0.0)
    with client(broker) as link:
        assert connects.wait(20)
    closed.set()
    link._thread.join(20)
    assert not link._thread.is_alive()


def test_nothing_of_a_connection_is_left_for_the_garbage_collector(broker: Broker) -> None:
    gc.disable()  # else it may come by chance
    try:
        with connected(broker) as link:
            way = link._link
            assert way is not None
            paho_client = weakref.ref(way.client)  # holds sockets open while it lives
            del way
        wait_for(lambda: paho_client() is None)
    finally:
        gc.enable()


def test_the_context_trusts_what_it_shall() -> None:
    checked = outside._context("verify", "")
    unchecked = outside._context("any", "")
    assert checked.verify_mode is ssl.CERT_REQUIRED
    assert unchecked.verify_mode is ssl.CERT_NONE
