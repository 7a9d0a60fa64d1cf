"""docker-compose.yml as a running box, for tests: up, down, faults, and clients outside."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, TypeVar

import httpx

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.outputs import Detections
from support.broker import free_port
from support.shared import ROOT
from support.waiting import wait_for

SERVICES: Final = ("mosquitto", "capture", "inference", "publisher", "manager", "cloud-sync")
CLEAR_LINE: Final = "\x1b[2K"
"""Compose 2.26 writes it before each line, to a pipe as well."""
M = TypeVar("M", bound=Message)
PASSWORD: Final = "of the compose test"
PATIENCE_S: Final = 120.0
"""For what takes seconds; two cores that build images at the same time are slow."""


class ComposeBox:
    """One Compose project, gone with its volumes at the end (context manager)."""

    def __init__(self, project: str, **variables: str) -> None:
        """Choose ports.

        Args:
            project: Name of the Compose project.
            variables: What .env would say.
        """
        self.project = project
        self.mqtt_port = free_port()
        self.page = f"http://127.0.0.1:{(page_port := free_port())}"
        self.https = f"https://127.0.0.1:{(https_port := free_port())}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if "NXAI" not in name},  # noqa: TID251 - handed on
            "COMPOSE_PROJECT_NAME": project,
            "MQTT_PORT": str(self.mqtt_port),
            "PAGE_PORT": str(page_port),
            "PAGE_HTTPS_PORT": str(https_port),
            "HTTPS_PORT": "8443",
            **variables,
        }
        self._compose = ["docker-compose"] if _version() == "v1" else ["docker", "compose"]

    def __enter__(self) -> Self:
        self.destroy()  # of a run that was cut off
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.destroy()

    # -- the containers ---------------------------------------------------------------------------

    def compose(
        self, *words: str, check: bool = True, variables: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """Run a command of Compose; return what it prints on stdout.

        Args:
            words: The command.
            check: Whether it must succeed.
            variables: What .env would say, beside what it says for this box.
        """
        environment = {**self.environment, **variables}
        done = _run([*self._compose, *words], check=check, environment=environment)
        return done.stdout

    def up(self, *words: str, **variables: str) -> None:
        """Start what is not running."""
        self.compose("up", "--detach", "--no-build", *words, variables=variables)

    def destroy(self) -> None:
        """Take everything down, with volumes, of all profiles."""
        all_of_them = {"COMPOSE_PROFILES": "demo,edge-impulse-emulator,postgres,observability"}
        self.compose("down", "--volumes", "--timeout", "10", variables=all_of_them)
        left = docker("ps", "--all", "--quiet", "--filter", self._filter()).split()
        if left:
            docker("rm", "--force", *left)
        volumes = docker("volume", "ls", "--quiet", "--filter", self._filter()).split()
        if volumes:
            docker("volume", "rm", "--force", *volumes)

    def exec(self, service: str, *words: str, check: bool = True) -> str:
        """Run a command in a service's container; return what it prints on stdout."""
        return self.compose("exec", "-T", service, *words, check=check)

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """Return what the engine knows of the project's containers, or of one service's."""
        words = ["--filter", f"label=com.docker.compose.service={service}"] if service else []
        ids = docker("ps", "--all", "--quiet", "--filter", self._filter(), *words).split()
        if not ids:
            return []
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids))
        return found

    def container(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's one container."""
        (found,) = self.containers(service)
        return found

    def health(self) -> dict[str, str]:
        """Return the health of each container; its state where it has no health check."""
        return {
            each["Config"]["Labels"]["com.docker.compose.service"]
            + each["Config"]["Labels"]["com.docker.compose.container-number"]: each["State"]
            .get("Health", {})
            .get("Status", each["State"]["Status"])
            for each in self.containers()
        }

    def wait_healthy(self) -> None:
        """Wait until every container says that it is."""
        wait_for(
            lambda: (now := self.health()) and set(now.values()) <= {"healthy", "running"},
            PATIENCE_S,
            "healthy containers",
        )

    def logs(self, service: str) -> str:
        """Return what a service's containers said."""
        said = self.compose("logs", "--no-color", "--no-log-prefix", service)
        return said.replace(CLEAR_LINE, "")

    def _filter(self) -> str:
        return f"label=com.docker.compose.project={self.project}"

    # -- outside ----------------------------------------------------------------------------------

    def password(self, account: str) -> str:
        """Return the password of an account for programs outside."""
        listed = self.exec("mosquitto", "passwords").splitlines()
        return dict(line.split() for line in listed)[account]

    def inner_password(self, service: str) -> str:
        """Return the password of a service."""
        return self.exec("mosquitto", "cat", f"/mosquitto/secrets/{service}/password").strip()

    @contextmanager
    def outside(self, *kinds: type[Message]) -> Iterator["Reader"]:
        """Connect as `viewer` from outside, and hear these kinds of message."""
        bus = MqttBus(
            "box",
            f"mqtt://127.0.0.1:{self.mqtt_port}",
            "outside",
            "viewer",
            self.password("viewer"),
        )
        with bus:
            reader = Reader(bus, kinds)
            try:
                yield reader
            finally:
                reader.close()

    def wait_detections(self, number: int = 3) -> list[Detections]:
        """Wait until a client outside got so many detections that show something."""
        with self.outside(Detections) as reader:
            return [reader.next(lambda m: bool(m.objects), Detections) for _ in range(number)]

    @contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        """Open the page and log in; the first one sets the password."""
        with httpx.Client(base_url=self.page, timeout=60) as client:
            wait_for(lambda: _answers(client), PATIENCE_S, "the page")
            state = client.get("/api/v1/session").json()["state"]
            path = "/api/v1/setup" if state == "setup" else "/api/v1/session"
            done = client.post(path, json={"username": "admin", "password": PASSWORD})
            assert done.is_success, done.text
            client.headers["X-CSRF-Token"] = done.json()["csrf"]
            yield client

    def stored(self) -> int:
        """Return how many results the data logger has (SQLite)."""
        look = "import sqlite3; print(sqlite3.connect('nxai.db').execute({!r}).fetchone()[0])"
        query = "SELECT count(*) FROM results"
        return int(self.exec("publisher", "/opt/nxai/bin/python", "-c", look.format(query)))


class Reader:
    """Hears messages as a program outside does."""

    def __init__(self, bus: MqttBus, kinds: tuple[type[Message], ...]) -> None:
        self._inbox = bus.subscribe(*(Subscription(kind) for kind in kinds), volatile=True)

    def next(self, fits: Callable[[M], bool], kind: type[M]) -> M:
        """Return the next message of a kind that fits."""

        def look() -> M | None:
            delivery = self._inbox.receive(1)
            if delivery is None or not isinstance(delivery.message, kind):
                return None
            return delivery.message if fits(delivery.message) else None

        found = wait_for(look, PATIENCE_S, kind.__name__)
        assert found is not None
        return found

    def close(self) -> None:
        self._inbox.close()


def docker(*words: str, check: bool = True, given: bytes = b"") -> str:
    """Return what a command of the engine prints on stdout.

    Args:
        words: The command.
        check: Whether it must succeed.
        given: What it reads from stdin.
    """
    return _run(["docker", *words], check=check, given=given).stdout


def kill(container: Mapping[str, Any]) -> None:
    """Kill the first process of a container; `docker kill` would count as a wish to stop it."""
    subprocess.run(["kill", "-9", str(container["State"]["Pid"])], check=True)


def tool(box: ComposeBox, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of tools/ for a box, with the system's Python and nothing installed."""
    return _run(["python3", *map(str, words)], check=False, environment=box.environment)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/v1/session").is_success
    except httpx.HTTPError:
        return False


def _version() -> str:
    """Return which Compose to use, v1 or v2: the one that was asked for, or is there."""
    asked = os.environ.get("NXAI_TEST_COMPOSE", "")  # noqa: TID251 - a switch
    there = _run(["docker", "compose", "version"], check=False).returncode == 0
    return asked or ("v2" if there else "v1")


def _run(
    command: list[str],
    *,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    given: bytes = b"",
) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        input=given,
        capture_output=True,
        check=False,
        timeout=600,
    )
    done = subprocess.CompletedProcess(
        command, ended.returncode, ended.stdout.decode(), ended.stderr.decode()
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done
