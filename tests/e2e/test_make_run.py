"""`make run` as a person types it: in a terminal, ended with Ctrl-C."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.outputs import Detections
from nxai_common.contracts.status import ServiceState, Status
from support.broker import free_port
from support.waiting import wait_for

ROOT = Path(__file__).parents[2]
SERVICES = {"capture", "inference", "publisher", "manager", "cloud-sync"}
WITHIN_S = 60.0


def environment(state: Path) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - handed on to make
        if not name.startswith(("NXAI_", "COV", "PYTEST", "PYTHON", "MAKE"))
    }
    return inherited | {"NXAI_RUN_DIR": str(state)}


class Run:
    """`make run` in a terminal of its own (`script` makes one)."""

    def __init__(self, state: Path, port: int, settings: Mapping[str, str]) -> None:
        self.state = state
        self.port = port
        self.log = state.parent / "terminal.log"
        self.process = subprocess.Popen(
            ["script", "--quiet", "--return", "--flush", "-c", f"make run PORT={port}", self.log],
            cwd=ROOT,
            env={**environment(state), **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def press_ctrl_c(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\x03")
        self.process.stdin.flush()

    def printed(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def processes(self) -> dict[int, str]:
        """Return pid and command of all that this run started and that still lives."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                mine = f"NXAI_RUN_DIR={self.state}\0".encode() in (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # ended meanwhile, or somebody else's
            if mine and command:
                found[int(folder.name)] = command
        return found

    def bus(self) -> MqttBus:
        """Return a client from outside, with the account made for such."""
        password = (self.state / "mosquitto/secrets/viewer/password").read_text().strip()
        return MqttBus(
            "box", f"mqtt://127.0.0.1:{self.port}", f"test-{self.port}", "viewer", password
        )


@contextmanager
def make_run(state: Path, **settings: str) -> Iterator[Run]:
    run = Run(state, free_port(), settings)
    try:
        yield run
    except BaseException:
        sys.stdout.write(run.printed())
        raise
    finally:
        for pid in run.processes():
            os.kill(pid, signal.SIGKILL)
        run.process.wait(10)
        assert run.process.stdin is not None
        run.process.stdin.close()


@pytest.fixture(scope="module", autouse=True)
def _set_up() -> None:
    """What a first `make run` installs is here, so that the minute is spent on starting."""
    subprocess.run(["make", "env-run"], cwd=ROOT, check=True, capture_output=True)


def test_detections_come_a_crash_is_mended_and_ctrl_c_ends_all(tmp_path: Path) -> None:
    with make_run(tmp_path / "state") as run:
        password = run.state / "mosquitto/secrets/viewer/password"
        wait_for(password.exists, WITHIN_S, "the viewer's password")
        with (
            run.bus() as bus,
            closing(bus.subscribe(Subscription(Detections), volatile=True)) as results,
            closing(bus.subscribe(Subscription(Status), volatile=True)) as statuses,
        ):
            seen = 0

            def something_found() -> bool:
                nonlocal seen
                delivery = results.receive(1)
                if delivery is None or not isinstance(delivery.message, Detections):
                    return False
                assert delivery.message.camera == "demo"
                seen += delivery.message.count
                return seen >= 10

            wait_for(something_found, WITHIN_S, "ten objects of the demo camera")
            wait_for(lambda: " x " in run.printed(), WITHIN_S, "a line on the terminal")

            states: dict[str, ServiceState] = {}

            def all_run() -> bool:
                delivery = statuses.receive(1)
                if delivery is not None and isinstance(delivery.message, Status):
                    states[delivery.message.service] = delivery.message.state
                return states == dict.fromkeys(SERVICES, ServiceState.RUNNING)

            wait_for(all_run, WITHIN_S, f"all services running: {states}")

            (manager,) = [p for p, c in run.processes().items() if "bin/nxai-manager" in c]
            told = Path(f"/proc/{manager}/environ").read_bytes().split(b"\0")
            assert f"NXAI_MANAGER_MQTT_PORT={run.port}".encode() in told

            asked = nxai(run.state, "cloud-sync", "show")
            assert (asked.returncode, asked.stdout.strip()) == (0, "no project is linked")

            (victim,) = [p for p, c in run.processes().items() if "bin/nxai-inference" in c]
            os.kill(victim, signal.SIGKILL)
            wait_for(
                lambda: [
                    p
                    for p, c in run.processes().items()
                    if "bin/nxai-inference" in c and p != victim
                ],
                WITHIN_S,
                "another inference process",
            )
            # What was under way is drained first: only then a result proves the new process.
            while results.receive(0) is not None:
                pass
            seen = 0
            wait_for(something_found, WITHIN_S, "objects found by the new process")

        run.press_ctrl_c()
        assert run.process.wait(30) == 0, run.printed()
        assert run.processes() == {}
        assert "Traceback" not in run.printed()
        assert "Error" not in run.printed()


def nxai(state: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Type `tools/nxai ...` in another terminal, and in another folder."""
    return subprocess.run(
        [ROOT / "tools/nxai", *words],
        cwd="/",
        env=environment(state),
        check=False,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )


def test_who_asks_before_anything_runs_is_told_what_to_do(tmp_path: Path) -> None:
    asked = nxai(tmp_path, "cloud-sync", "show")
    assert asked.returncode == 1
    assert "run `make run` first" in asked.stderr
    assert nxai(tmp_path, "clod-sync", "show").returncode == 2


def test_a_broker_of_ones_own_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As when NXAI_BROKER of an earlier run is still set in this terminal."""
    url = f"mqtt://127.0.0.1:{free_port()}"
    done = subprocess.run(
        ["make", "run"],
        cwd=ROOT,
        env=environment(tmp_path) | {"NXAI_BROKER": url},
        check=False,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.returncode != 0
    assert f"NXAI_BROKER={url} is set" in done.stderr
    assert "unset NXAI_BROKER && make run" in done.stderr


def test_a_hang_up_of_the_terminal_ends_all(tmp_path: Path) -> None:
    with make_run(tmp_path / "state") as run:
        wait_for(
            lambda: len([c for c in run.processes().values() if "bin/nxai-" in c]) == len(SERVICES),
            WITHIN_S,
            "all services",
        )
        run.process.kill()  # the terminal is gone, and says so to what runs in it
        wait_for(lambda: run.processes() == {}, 30, f"the end of {run.processes()}")


def test_what_only_a_person_can_mend_is_said_once(tmp_path: Path) -> None:
    with make_run(tmp_path / "state", NXAI_MANAGER_SETTTINGS="x", NXAI_HEARTBEAT_S="1") as run:
        password = run.state / "mosquitto/secrets/viewer/password"
        wait_for(password.exists, WITHIN_S, "the viewer's password")
        wait_for(lambda: "NXAI_MANAGER_SETTTINGS" in run.printed(), WITHIN_S, "the mistake is told")
        with (
            run.bus() as bus,
            closing(bus.subscribe(Subscription(Status), volatile=True)) as statuses,
        ):
            beats = 0

            def capture_beats() -> bool:
                nonlocal beats
                delivery = statuses.receive(1)
                if delivery is not None and isinstance(delivery.message, Status):
                    beats += delivery.message.service == "capture"
                return beats >= 10  # supervisor would have started the manager again by then

            wait_for(capture_beats, WITHIN_S, "the others work")
        assert run.printed().count("NXAI_MANAGER_SETTTINGS: no such setting") == 1, run.printed()
        assert not [c for c in run.processes().values() if "nxai-manager" in c]


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            ["make", "run", f"PORT={port}"],
            cwd=ROOT,
            env=environment(tmp_path),
            check=False,
            capture_output=True,
            text=True,
        )
    assert done.returncode != 0
    assert f"Port {port} is taken" in done.stderr
    assert f"make run PORT={port + 1}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_settings_file_that_is_not_there_is_named_and_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    done = subprocess.run(
        ["make", "run", f"SETTINGS={tmp_path}/setings.json", f"PORT={free_port()}"],
        cwd=ROOT,
        env=environment(tmp_path / "state"),
        check=False,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.returncode != 0
    assert f"did you mean {tmp_path}/settings.json?" in done.stderr
    assert not (tmp_path / "setings.json").exists()
    assert not (tmp_path / "state").exists()


def test_a_second_run_in_the_same_folder_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "run", f"PORT={free_port()}"],
            cwd=ROOT,
            env=environment(tmp_path),
            check=False,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
        )
    assert done.returncode != 0
    assert f"Another `make run` works in {tmp_path}" in done.stderr
    assert "NXAI_RUN_DIR" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "mosquitto").exists(), "nothing of the first one was touched"
