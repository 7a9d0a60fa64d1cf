"""A real Home Assistant of PyPI, in a Debian of its own (tools/home_assistant/install.sh).

Set up as a person would, but over its API: a first user, a token, the MQTT integration with the
account `home-assistant` of deploy/mosquitto.
"""

import asyncio
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import httpx
import pytest

from support.broker import free_port
from support.shared import ROOT
from support.waiting import wait_for

INSTALL: Final = ROOT / "tools" / "home_assistant" / "install.sh"
INSTALL_S: Final = 560
"""A minute where packages are near; once a machine."""
START_S: Final = 120.0
STOP_S: Final = 40.0
ANSWER_S: Final = 30.0
CLIENT: Final = "http://home-assistant.test/"
PASSWORD: Final = "for this test alone"

CONFIGURATION: Final = """\
homeassistant:
  name: Home
  time_zone: UTC
http:
  server_host: 127.0.0.1
  server_port: {port}
logger:
  default: warning
  logs:
    homeassistant.components.mqtt: info
    homeassistant.components.mqtt.discovery: debug
api:
config:
automation: !include automations.yaml
"""

START: Final = """\
mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --bind "$2" "$1/config"
exec chroot "$1" env -i PATH=/opt/ha/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=/config \\
    /opt/ha/bin/python -m homeassistant --config /config --skip-pip --log-no-color
"""
"""In mounts of its own, which go with it."""

T = TypeVar("T")
Data = dict[str, Any]


def installed() -> Path:
    """Return the Debian with Home Assistant; made when it is missing."""
    for program in ("debootstrap", "unshare", "chroot"):
        if shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
            pytest.fail(f"{program} is missing: make home-assistant-test says how to get it")
    run = subprocess.run([INSTALL], check=False, capture_output=True, text=True, timeout=INSTALL_S)
    assert run.returncode == 0, run.stderr
    return Path(run.stdout.strip())


def complaints_of_schemas(messages: str) -> list[str]:
    """Return what Home Assistant's schemas have against messages; see home_assistant_schemas."""
    script = (ROOT / "tests/support/home_assistant_schemas.py").read_text()
    run = subprocess.run(
        ["chroot", installed(), "/opt/ha/bin/python", "-c", script],
        input=messages,
        capture_output=True,
        text=True,
        check=False,
        timeout=ANSWER_S,
    )
    assert run.returncode == 0, run.stderr
    found: list[str] = json.loads(run.stdout)
    return found


class HomeAssistant:
    """One instance; its settings stay over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        automations: str = "[]\n",
        blueprints: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._root = installed()
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=ANSWER_S)
        self._socket: _Socket | None = None
        self._refresh = self._token = ""
        self._address = f"http://127.0.0.1:{self.port}/api/websocket"
        folder.mkdir(parents=True)
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=self.port))
        (folder / "automations.yaml").write_text(automations)
        for name, text in blueprints.items():
            file = folder / "blueprints" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    # -- life -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        self._onboard()
        self._log_in()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._http.close()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "output.log").open("ab") as output:
            apart = ("unshare", "-m", "--propagation", "private")
            self._process = subprocess.Popen(
                [*apart, "sh", "-euc", START, "sh", self._root, self.folder],
                stdout=output,
                stderr=output,
            )
        wait_for(self._answers, START_S, f"Home Assistant answers; see {self.folder}/output.log")

    def stop(self) -> None:
        """End it; it writes down what it knows."""
        assert self._process is not None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(STOP_S)

    def restart(self) -> None:
        """End it and start it again."""
        self.stop()
        self.start()
        self._log_in()

    def said(self) -> str:
        """Return what it logged."""
        return (self.folder / "output.log").read_text(errors="replace")

    def complaints(self, *about: str) -> list[str]:
        """Return the warnings and errors of its log about something."""
        return [
            line
            for line in self.said().splitlines()
            if (" WARNING " in line or " ERROR " in line) and any(word in line for word in about)
        ]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.said()[-4000:]
        with suppress(httpx.TransportError):
            return self._http.get("/api/onboarding").status_code in (200, 404)
        return False

    def _onboard(self) -> None:
        answer = self._http.post(
            "/api/onboarding/users",
            json={
                "client_id": CLIENT,
                "name": "Test",
                "username": "test",
                "password": PASSWORD,
                "language": "en",
            },
        )
        answer.raise_for_status()
        tokens = self._http.post(
            "/auth/token",
            data={
                "grant_type": "authorization_code",
                "code": answer.json()["auth_code"],
                "client_id": CLIENT,
            },
        )
        tokens.raise_for_status()
        self._refresh = tokens.json()["refresh_token"]

    def _log_in(self) -> None:
        answer = self._http.post(
            "/auth/token",
            data={
                "grant_type": "refresh_token",
                "refresh_token": self._refresh,
                "client_id": CLIENT,
            },
        )
        answer.raise_for_status()
        self._token = answer.json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {self._token}"
        self._socket = _Socket(self._address, self._token)

    # -- asking ---------------------------------------------------------------------------------

    def get(self, path: str) -> httpx.Response:
        """Return the answer of the REST API."""
        answer = self._http.get(path)
        answer.raise_for_status()
        return answer

    def post(self, path: str, body: Data) -> Data:
        """Return the answer of the REST API."""
        answer = self._http.post(path, json=body)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        found: Data = answer.json()
        return found

    def ask(self, kind: str, **fields: Any) -> Any:
        """Return the result of a command of the WebSocket API."""
        assert self._socket is not None
        return self._socket.ask({"type": kind, **fields})

    def add_broker(self, host: str, port: int, username: str, password: str) -> str:
        """Add the MQTT integration; return its id."""
        flow = self.post("/api/config/config_entries/flow", {"handler": "mqtt"})
        entry = self.post(
            f"/api/config/config_entries/flow/{flow['flow_id']}",
            {"broker": host, "port": port, "username": username, "password": password},
        )
        assert entry["type"] == "create_entry", entry
        result: str = entry["result"]["entry_id"]
        return result

    def states(self) -> dict[str, Data]:
        """Return all states of entities of MQTT, by entity."""
        ours = self.entities()
        return {
            state["entity_id"]: state
            for state in self.ask("get_states")
            if state["entity_id"] in ours
        }

    def entities(self) -> dict[str, Data]:
        """Return the registry's entities of MQTT, by entity."""
        return {
            entity["entity_id"]: entity
            for entity in self.ask("config/entity_registry/list")
            if entity["platform"] == "mqtt"
        }

    def devices(self) -> dict[str, Data]:
        """Return the registry's devices of MQTT, by name."""
        return {
            device["name"]: device
            for device in self.ask("config/device_registry/list")
            if any(identifier[0] == "mqtt" for identifier in device["identifiers"])
        }

    def state(self, entity: str) -> str:
        """Return what an entity shows; empty: there is none."""
        answer = self._http.get(f"/api/states/{entity}")
        return str(answer.json()["state"]) if answer.is_success else ""

    def attributes(self, entity: str) -> Data:
        """Return the attributes of an entity."""
        found: Data = self.get(f"/api/states/{entity}").json()["attributes"]
        return found

    def call(self, domain: str, service: str, entity: str, **data: Any) -> None:
        """Do with an entity what a person may do."""
        self.ask(
            "call_service",
            domain=domain,
            service=service,
            service_data=data,
            target={"entity_id": entity},
        )

    @contextmanager
    def happened(self, kind: str) -> Iterator[Callable[[], Data]]:
        """Listen to events of one kind; yields what returns the data of the next one."""
        listener = _Socket(self._address, self._token)
        listener.ask({"type": "subscribe_events", "event_type": kind})
        try:
            yield listener.next_event
        finally:
            listener.close()

    def wait_state(
        self, entity: str, fits: str | Callable[[str], bool], deadline: float = 30
    ) -> str:
        """Wait until an entity shows something."""
        shown = ""

        def fit() -> bool:
            nonlocal shown
            shown = self.state(entity)
            return shown == fits if isinstance(fits, str) else fits(shown)

        try:
            wait_for(fit, deadline, entity)
        except AssertionError as error:
            raise AssertionError(f"{entity} shows {shown!r}: {error}") from None
        return shown

    def wait_entities(self, expected: Iterable[str], deadline: float = 60) -> None:
        """Wait until there are exactly these entities, each with a state if it is enabled."""
        wanted = set(expected)

        def difference() -> tuple[set[str], set[str], set[str]]:
            found = self.entities()
            enabled = {name for name, entity in found.items() if not entity["disabled_by"]}
            stateless = enabled - set(self.states())
            return wanted - set(found), set(found) - wanted, stateless

        try:
            wait_for(lambda: not any(difference()), deadline)
        except AssertionError:
            missing, more, stateless = difference()
            raise AssertionError(
                f"missing: {sorted(missing)}; too many: {sorted(more)}; "
                f"without a state: {sorted(stateless)}"
            ) from None


class _Socket:
    """The WebSocket API, asked from a test that has no event loop."""

    def __init__(self, url: str, token: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._number = 0
        self._do(self._connect(url, token))

    def ask(self, command: Data) -> Any:
        return self._do(self._ask(command))

    def next_event(self) -> Data:
        return self._do(self._next_event())

    def close(self) -> None:
        with suppress(TimeoutError, aiohttp.ClientError):
            self._do(self._disconnect())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(ANSWER_S)

    async def _connect(self, url: str, token: str) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        await self._socket.receive_json()
        await self._socket.send_json({"type": "auth", "access_token": token})
        answer = await self._socket.receive_json()
        assert answer["type"] == "auth_ok", answer

    async def _ask(self, command: Data) -> Any:
        self._number += 1
        await self._socket.send_json({"id": self._number, **command})
        while True:
            answer = json.loads(await self._socket.receive_str())
            if answer.get("id") == self._number and answer["type"] == "result":
                assert answer["success"], f"{command}: {answer['error']}"
                return answer["result"]

    async def _next_event(self) -> Data:
        while True:
            message = json.loads(await self._socket.receive_str())
            if message["type"] == "event":
                found: Data = message["event"]["data"]
                return found

    async def _disconnect(self) -> None:
        await self._socket.close()
        await self._session.close()
