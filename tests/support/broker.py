"""A real Mosquitto for one test, with authentication and the limits of our deployment.

Started from the system's `mosquitto`, or, where a Docker engine answers and
``NXAI_TEST_MOSQUITTO_IMAGE`` names an image that has one, through testcontainers.
"""

import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import pytest

from nxai_common.bus.mqtt import MqttBus
from nxai_common.contracts.base import Message
from support.raw_server import self_signed
from support.waiting import wait_for

USERNAME = "nxai"
PASSWORD = "pa ss:w@rd/ä%41"
"""With every kind of character that a careless URL or shell would break on."""

UNASSIGNED_PORTS = (20_000, 32_000)
"""Below Linux's range for outgoing connections (32768 and up)."""

IMAGE_VARIABLE = "NXAI_TEST_MOSQUITTO_IMAGE"

NOBODY = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0f\x00\x00"
"""A CONNECT without a name, for an answer of any kind. Mosquitto listens before its loop runs, and
forgets a SIGTERM that comes in between."""

RUNS = b" running"
"""Ends what the broker logs once it listens."""
CONFIGURATION = """\
listener {port} {address}
allow_anonymous false
password_file {folder}/passwords
persistence true
persistence_location {folder}/
autosave_interval 0
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 10000
max_packet_size 20000000
log_dest stderr
log_type all
user {user}
"""


class _Engine(Protocol):
    """How a broker is run."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def alive(self) -> bool: ...
    def said(self) -> bytes: ...
    def pid(self) -> int: ...
    def close(self) -> None: ...


class Broker:
    """A Mosquitto on a port of its own; the port stays the same over restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = free_port()
        self.username = USERNAME
        self.password = PASSWORD
        image = os.environ.get(IMAGE_VARIABLE, "")  # noqa: TID251 - test support, not a service
        self.log = folder / "mosquitto.log"
        engine: type[_Process | _Container] = _Container if image else _Process
        self._engine: _Engine = engine(self, image)

    @property
    def said(self) -> str:
        """What it logged so far."""
        return self._engine.said().decode(errors="replace")

    @property
    def url(self) -> str:
        """Address for `MqttBus`."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a service that shall use this broker."""
        return {
            "NXAI_BROKER": self.url,
            "NXAI_BROKER_USERNAME": self.username,
            "NXAI_BROKER_PASSWORD": self.password,
        }

    @property
    def pid(self) -> int:
        """Process id of the broker, for measuring it."""
        return self._engine.pid()

    def bus(self, client_id: str, device: str = "box", will: Message | None = None) -> MqttBus:
        """Return a bus that connects here once entered."""
        return MqttBus(device, self.url, client_id, self.username, self.password, will)

    def start(self) -> None:
        """Start and wait until it answers."""
        self._engine.start()
        wait_for(self._answers, 20, f"mosquitto on port {self.port}, see {self.log}")

    def stop(self) -> None:
        """End it properly: sessions and retained messages are kept for the next start."""
        self._engine.stop()

    def kill(self) -> None:
        """End it as a power cut would: what it did not write is lost."""
        self._engine.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.close()

    def _answers(self) -> bool:
        if not self._engine.alive():
            raise AssertionError(f"mosquitto ended: {self.log.read_text(errors='replace')}")
        with (
            suppress(OSError),
            socket.create_connection((self.host, self.port), timeout=1) as connection,
        ):
            connection.sendall(NOBODY)
            with suppress(ConnectionResetError):  # a listener for TLS hangs up: an answer too
                connection.recv(1)
            return True
        return False


class _Process:
    def __init__(self, broker: Broker, _image: str) -> None:
        program = shutil.which("mosquitto", path=f"{os.defpath}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.fail("mosquitto is not installed: apt-get install mosquitto")
        self._program = program
        self._broker = broker
        self._process: subprocess.Popen[bytes] | None = None
        _write_configuration(broker, broker.port, broker.host, broker.folder)

    def start(self) -> None:
        with self._broker.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self._broker.folder / "mosquitto.conf")],
                stdout=log,
                stderr=log,
            )

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def said(self) -> bytes:
        return self._broker.log.read_bytes()

    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def close(self) -> None:
        self.kill()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(timeout=10)
        self._process = None


class _Container:
    INSIDE = Path("/broker")

    def __init__(self, broker: Broker, image: str) -> None:
        # Slow to import, and only here when an image is named.
        from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - as above
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - as above

        testcontainers_config.ryuk_disabled = True  # needs an image from the internet; we clean up
        self._broker = broker
        _write_configuration(broker, 1883, "0.0.0.0", self.INSIDE)  # noqa: S104 - in the container
        self._container = (
            DockerContainer(image)
            .with_command(f"mosquitto -c {self.INSIDE}/mosquitto.conf")
            .with_volume_mapping(str(broker.folder), str(self.INSIDE), "rw")
            .with_bind_ports(1883, broker.port)
            .with_kwargs(user="0")  # pytest's folder is nobody else's
        )
        self._created = False

    def start(self) -> None:
        before = self.said().count(RUNS) if self._created else 0
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True
        # Docker's proxy answers before the broker does, and hangs up.
        wait_for(lambda: self.said().count(RUNS) > before or not self.alive(), 20)

    def alive(self) -> bool:
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return str(wrapped.status) in {"created", "running"}

    def said(self) -> bytes:
        return b"\n".join(self._container.get_logs())

    def pid(self) -> int:
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return int(wrapped.attrs["State"]["Pid"])

    def stop(self) -> None:
        self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def close(self) -> None:
        if self._created:
            self._broker.log.write_bytes(self.said())
            self._container.stop()


def _write_configuration(broker: Broker, port: int, address: str, seen_as: Path) -> None:
    passwords = broker.folder / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(
        ["mosquitto_passwd", "-b", str(passwords), broker.username, broker.password],
        check=True,
        capture_output=True,
    )
    # Started by root, mosquitto would become a user that cannot read pytest's folder.
    user = "root" if seen_as != broker.folder else getpass.getuser()
    (broker.folder / "mosquitto.conf").write_text(
        CONFIGURATION.format(port=port, address=address, folder=seen_as, user=user)
    )


def free_port() -> int:
    """Return a TCP port that is free, and stays so while its server restarts.

    Not one that the kernel picks: it lies in the range for outgoing connections, and one of those
    may take it while the server is down for a moment.
    """
    while True:
        port = random.randint(*UNASSIGNED_PORTS)  # noqa: S311 - a port, not a secret
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def tls_broker(folder: Path) -> Broker:
    """Return a broker that speaks TLS, with a certificate that nobody trusts."""
    broker = Broker(folder)
    self_signed(folder)
    with (folder / "mosquitto.conf").open("a") as file:
        file.write(f"certfile {folder}/certificate.pem\nkeyfile {folder}/key.pem\n")
    (folder / "key.pem").chmod(0o644)
    return broker
