"""deploy/mosquitto: listeners for services and for programs outside, certificates, passwords."""

import getpass
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support.broker import NOBODY, free_port
from support.shared import ROOT
from support.waiting import wait_for

FOLDER = ROOT / "deploy/mosquitto"
TIMEOUT_S = 10
RESULT = "nxai/v1/box/cameras/front/result"
INSIDE = ("capture", "inference", "publisher", "manager", "cloud-sync")
OUTSIDE = ("viewer", "operator", "home-assistant", "processor", "pusher")


def prepare(state: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FOLDER / "prepare.sh", state, *words],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables},
        check=False,
        capture_output=True,
        text=True,
    )


def password_of(state: Path, account: str) -> str:
    return (state / "secrets" / account / "password").read_text().strip()


@contextmanager
def mosquitto(state: Path, port: int) -> Iterator[None]:
    command = ["/usr/sbin/mosquitto", "-c", str(state / "mosquitto.conf")]
    with (state / "log").open("ab") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            wait_for(lambda: _answers(port), TIMEOUT_S, "mosquitto")
            yield
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    asked = subprocess.run(
        ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port} && cat >&3 && head -c 1 <&3"],
        input=NOBODY,
        check=False,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    return bool(asked.stdout)


class Client:
    """An MQTT 5 connection, whose session lasts."""

    def __init__(self, port: int, account: str, password: str, name: str = "") -> None:
        self.connected: SimpleQueue[bool] = SimpleQueue()
        self.gone: SimpleQueue[bool] = SimpleQueue()
        self.done: SimpleQueue[int] = SimpleQueue()
        self.received: SimpleQueue[bytes] = SimpleQueue()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        self.paho.username_pw_set(account, password)
        self.paho.on_connect = lambda _c, _u, _f, why, _p: self.connected.put(not why.is_failure)
        self.paho.on_disconnect = lambda *_: self.gone.put(True)
        self.paho.on_subscribe = lambda _c, _u, mid, _r, _p: self.done.put(mid)
        self.paho.on_publish = lambda _c, _u, mid, _r, _p: self.done.put(mid)
        self.paho.on_message = lambda _c, _u, message: self.received.put(bytes(message.payload))
        lasting = Properties(PacketTypes.CONNECT)
        lasting.SessionExpiryInterval = 60
        self.paho.connect("127.0.0.1", port, clean_start=False, properties=lasting)
        self.paho.loop_start()
        self.accepted = self.connected.get(timeout=TIMEOUT_S)

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


@contextmanager
def client(port: int, account: str, password: str, name: str = "") -> Iterator[Client]:
    opened = Client(port, account, password, name)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def state(tmp_path: Path, ports: tuple[int, int]) -> Path:
    inside, outside = (f"{port} 127.0.0.1" for port in ports)
    assert prepare(tmp_path, inside, getpass.getuser(), outside).returncode == 0
    return tmp_path


def test_each_account_comes_in_at_its_own_listener_alone(
    state: Path, ports: tuple[int, int]
) -> None:
    with mosquitto(state, ports[0]):
        for accounts, (entry, elsewhere) in ((INSIDE, ports), (OUTSIDE, ports[::-1])):
            for account in accounts:
                password = password_of(state, account)
                with client(entry, account, password) as there:
                    assert there.accepted, account
                with client(elsewhere, account, password) as there:
                    assert not there.accepted, account


def test_one_listener_takes_all_and_a_second_one_can_come_later(tmp_path: Path) -> None:
    one, two = free_port(), free_port()
    user = getpass.getuser()
    assert prepare(tmp_path, f"{one} 127.0.0.1", user).returncode == 0
    before = {account: password_of(tmp_path, account) for account in (*INSIDE, *OUTSIDE)}
    with mosquitto(tmp_path, one):
        for account, password in before.items():
            with client(one, account, password) as there:
                assert there.accepted, account
    assert prepare(tmp_path, f"{one} 127.0.0.1", user, f"{two} 127.0.0.1").returncode == 0
    assert {account: password_of(tmp_path, account) for account in before} == before
    with mosquitto(tmp_path, one), client(one, "viewer", before["viewer"]) as there:
        assert not there.accepted


@pytest.mark.parametrize("restart", [False, True])
def test_what_comes_while_a_session_is_away_is_kept(
    state: Path, ports: tuple[int, int], restart: bool
) -> None:
    """With listeners apart, a broker that lost a session's listener would deny it everything."""
    publisher, inference = (password_of(state, name) for name in ("publisher", "inference"))

    def write() -> None:
        with client(ports[0], "inference", inference, "i") as writer:
            writer.paho.publish(RESULT, b"while away", qos=1)
            writer.done.get(timeout=TIMEOUT_S)

    with mosquitto(state, ports[0]):
        with client(ports[0], "publisher", publisher, "p") as reader:
            reader.paho.subscribe(RESULT, qos=1)
            reader.done.get(timeout=TIMEOUT_S)
        if not restart:
            write()
            with client(ports[0], "publisher", publisher, "p") as reader:
                assert reader.received.get(timeout=TIMEOUT_S) == b"while away"
    if restart:
        with mosquitto(state, ports[0]):
            write()
        with (
            mosquitto(state, ports[0]),
            client(ports[0], "publisher", publisher, "p") as reader,
        ):
            assert reader.received.get(timeout=TIMEOUT_S) == b"while away"


def test_a_new_password_closes_the_connection_with_the_old_one(
    state: Path, ports: tuple[int, int]
) -> None:
    _, outside = ports
    old = {account: password_of(state, account) for account in OUTSIDE}
    with (
        mosquitto(state, outside),
        client(outside, "viewer", old["viewer"]) as viewer,
        client(outside, "operator", old["operator"]) as operator,
    ):
        done = subprocess.run(
            [FOLDER / "accounts.sh", state, "rotate", "viewer"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert viewer.gone.get(timeout=TIMEOUT_S)
        new = password_of(state, "viewer")
        assert done.stdout.split() == ["viewer", new]
        assert new != old["viewer"]
        with client(outside, "viewer", new) as again:
            assert again.accepted
        with client(outside, "viewer", old["viewer"]) as again:
            assert not again.accepted
        assert operator.gone.empty()
        assert password_of(state, "operator") == old["operator"]


@pytest.mark.parametrize("account", ["manager", "nobody", ""])
def test_only_accounts_of_programs_outside_get_a_new_password(state: Path, account: str) -> None:
    before = {each: password_of(state, each) for each in INSIDE}
    done = subprocess.run(
        [FOLDER / "accounts.sh", state, "rotate", account],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "viewer operator home-assistant processor pusher" in done.stderr
    assert {each: password_of(state, each) for each in INSIDE} == before


def test_show_lists_the_accounts_of_programs_outside(state: Path) -> None:
    done = subprocess.run(
        [FOLDER / "accounts.sh", state, "show"], check=True, capture_output=True, text=True
    )
    shown = dict(line.split() for line in done.stdout.splitlines())
    assert shown == {account: password_of(state, account) for account in OUTSIDE}


# -- certificates -----------------------------------------------------------------------------


def certificate(folder: Path, names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FOLDER / "certificate.sh", folder, names], check=False, capture_output=True, text=True
    )


def told_of(path: Path, *words: str) -> str:
    return subprocess.run(
        ["openssl", "x509", "-in", path, "-noout", *words],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_a_certificate_is_kept_until_its_names_change(tmp_path: Path) -> None:
    assert certificate(tmp_path, "box.local,192.168.1.20,fd00::1").returncode == 0
    names = told_of(tmp_path / "server.crt", "-ext", "subjectAltName")
    assert "DNS:box.local, IP Address:192.168.1.20, IP Address:FD00:0:0:0:0:0:0:1" in names
    authority, first = (tmp_path / "ca.crt").read_text(), (tmp_path / "server.crt").read_text()
    assert certificate(tmp_path, "box.local,192.168.1.20,fd00::1").returncode == 0
    assert (tmp_path / "server.crt").read_text() == first
    assert certificate(tmp_path, "other.local").returncode == 0
    assert "DNS:other.local" in told_of(tmp_path / "server.crt", "-ext", "subjectAltName")
    assert (tmp_path / "ca.crt").read_text() == authority
    checked = ["openssl", "verify", "-CAfile", "ca.crt", "server.crt"]
    subprocess.run(checked, cwd=tmp_path, check=True, capture_output=True)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_a_certificate_that_ends_within_a_year_is_made_again(tmp_path: Path) -> None:
    assert certificate(tmp_path, "localhost").returncode == 0
    first = told_of(tmp_path / "server.crt", "-serial")
    later = [f"faketime 500days {FOLDER / 'certificate.sh'} {tmp_path} localhost"]
    subprocess.run(["sh", "-c", *later], check=True, capture_output=True)
    assert told_of(tmp_path / "server.crt", "-serial") != first


@pytest.mark.parametrize("name", ["a b$(id)", "*;id", 'x"'])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    done = certificate(tmp_path, name)
    assert done.returncode == 1
    assert "neither a host name nor an IP address" in done.stderr
    assert not (tmp_path / "server.crt").exists()


def test_your_own_certificate_is_taken(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    assert certificate(theirs, "box.example").returncode == 0
    (theirs / "server.crt").rename(theirs / "fullchain.pem")
    (theirs / "server.key").rename(theirs / "privkey.pem")
    state = tmp_path / "state"
    ports = free_port(), free_port(), free_port()
    inside, outside, tls = (f"{port} 127.0.0.1" for port in ports)
    variables = {"TLS_LISTENER": tls, "CERTIFICATE_FOLDER": str(theirs)}
    assert prepare(state, inside, getpass.getuser(), outside, **variables).returncode == 0
    with mosquitto(state, ports[0]):
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{ports[2]}"],
            input="",
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    assert "box.example" in shown.stdout
    with suppress(FileNotFoundError):
        pytest.fail(f"one was made: {(state / 'tls/server.crt').read_text()}")
