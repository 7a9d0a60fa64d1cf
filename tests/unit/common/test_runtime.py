"""The life of a service: start, heartbeat, status, signals, exit codes."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from nxai_common import runtime
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.status import (
    CameraStatus,
    LinkState,
    ModelStatus,
    Problem,
    ServiceState,
    Status,
)
from nxai_common.errors import ConfigurationError
from nxai_common.runtime import (
    HeartbeatFile,
    Report,
    Stop,
    healthy,
    heartbeat_path,
    serve,
    version_of,
)
from nxai_common.settings import ServiceSettings
from support.shared import ROOT
from support.waiting import wait_for


class ProbeSettings(ServiceSettings):
    role: ClassVar[str] = "capture"


def settings_in(folder: Path, heartbeat_s: float = 3600) -> ProbeSettings:
    return ProbeSettings(run_dir=folder / "run", heartbeat_s=heartbeat_s)


# -- stop ---------------------------------------------------------------------------------------


def test_stop_wakes_every_waiting_thread() -> None:
    stop = Stop()
    assert not stop.wait(0)
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(stop.wait(30))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert not stop.is_set()
    stop.set()
    for thread in threads:
        thread.join(30)
    assert woken == [True] * 3
    assert stop.is_set()
    assert stop.wait(0)


def test_stop_may_be_set_by_a_signal_while_the_same_thread_waits() -> None:
    stop = Stop()
    with runtime.signals_set(stop):
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        assert stop.wait(30)
        timer.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# -- heartbeat file ------------------------------------------------------------------------------


def test_fresh_heartbeat_is_healthy_and_removed_one_is_not(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert "No such file" in healthy(settings)
    heartbeat = HeartbeatFile(settings)
    heartbeat.beat()
    assert healthy(settings) == ""
    heartbeat.remove()
    assert "No such file" in healthy(settings)


def test_heartbeat_is_never_from_the_future(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    now = 1000.0006  # rounded to milliseconds it would lie ahead
    HeartbeatFile(settings, lambda: now).beat()
    monkeypatch.setattr("nxai_common.runtime.time.monotonic", lambda: now)
    assert healthy(settings) == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is not a heartbeat file"),
        ("soon 1", "is not a heartbeat file"),
        ("-100000 1", r"last heartbeat \d+ s ago \(limit 15 s\)"),
        ("99999999999 1", "no heartbeat since this machine started"),
    ],
)
def test_heartbeat_that_proves_nothing(tmp_path: Path, content: str, reason: str) -> None:
    settings = settings_in(tmp_path, heartbeat_s=5)
    path = heartbeat_path(settings)
    path.parent.mkdir()
    path.write_text(content)
    assert re.search(reason, healthy(settings))


def test_heartbeat_is_written_at_most_once_a_second(tmp_path: Path) -> None:
    now = [100.0]
    settings = settings_in(tmp_path)
    heartbeat = HeartbeatFile(settings, clock=lambda: now[0])
    written = []
    for step in (0, 0.4, 0.5, 0.2, 1.0):
        now[0] += step
        heartbeat.beat()
        written.append(heartbeat_path(settings).read_text().split()[0])
    assert written == ["100.000", "100.000", "100.000", "101.100", "102.100"]


def test_beat_of_two_threads_does_not_wait(tmp_path: Path) -> None:
    heartbeat = HeartbeatFile(settings_in(tmp_path))
    with heartbeat._lock:
        heartbeat.beat()
    assert not heartbeat_path(settings_in(tmp_path)).exists()


def test_heartbeat_that_cannot_be_written_is_told_once_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_in(tmp_path)
    settings.run_dir.write_text("a file where the folder should be")
    monkeypatch.setattr(runtime, "BEAT_INTERVAL_S", 0)
    heartbeat = HeartbeatFile(settings)
    with caplog.at_level("INFO", "nxai_common"):
        for _ in range(3):
            heartbeat.beat()
        assert "NXAI_RUN_DIR" in str(heartbeat.problem)
        assert len(caplog.records) == 1
        settings.run_dir.unlink()
        heartbeat.beat()
        heartbeat.beat()
    assert str(heartbeat.problem) == "None"
    assert len(caplog.records) == 2
    heartbeat.remove()


# -- serve ---------------------------------------------------------------------------------------


class Probe:
    """Runs until stopped; says what it is told to say."""

    def __init__(self, fate: BaseException | None = None) -> None:
        self.now = Report()
        self._fate = fate

    def run(self, stop: Stop) -> None:
        if self._fate is not None:
            raise self._fate
        assert stop.wait(60)

    def report(self) -> Report:
        return self.now


@contextlib.contextmanager
def running(
    settings: ProbeSettings, probe: Probe
) -> Iterator[tuple[Callable[[], Status], Callable[[], None]]]:
    """Yield a way to receive the next status, and one to stop."""
    broker = MemoryBroker()
    stop = Stop()
    with MemoryBus(broker) as bus, MemoryBus(broker) as outside:
        inbox = outside.subscribe(Subscription(Status))

        def next_status() -> Status:
            delivery = inbox.receive(30)
            assert delivery is not None, "no status came"
            assert isinstance(delivery.message, Status)
            return delivery.message

        thread = threading.Thread(
            target=serve, args=(settings, bus, lambda _s, _b, _beat: probe, stop)
        )
        thread.start()

        def end() -> None:
            stop.set()
            thread.join(30)

        try:
            yield next_status, end
        finally:
            end()


def test_status_tells_the_life_of_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "LOOK_INTERVAL_S", 0.01)
    settings = settings_in(tmp_path)
    probe = Probe()
    with running(settings, probe) as (next_status, end):
        seen = [wait_for_state(next_status, ServiceState.RUNNING)]
        assert healthy(settings) == ""
        trouble = Problem(about="model m5-nut", reason="no labels")
        probe.now = Report(problems=(trouble,), counters={"frames": 3})
        seen.append(next_status())
        probe.now = Report(configuration_revision="r2")
        seen.append(next_status())
        camera = CameraStatus(camera="front", state=LinkState.RUNNING, since=datetime.now(UTC))
        probe.now = Report(configuration_revision="r2", cameras=(camera,))
        seen.append(next_status())
        model = ModelStatus(model="m5-nut", state="ready")
        probe.now = Report(configuration_revision="r2", cameras=(camera,), models=(model,))
        seen.append(next_status())
        # A count alone is not worth a message before the heartbeat is due.
        probe.now = Report(
            counters={"frames": 4},
            configuration_revision="r2",
            cameras=(camera.model_copy(update={"decoded": 9}),),
            models=(model,),
        )
        end()
        seen.append(next_status())
    assert [status.state for status in seen] == [
        ServiceState.RUNNING,
        ServiceState.DEGRADED,
        ServiceState.RUNNING,
        ServiceState.RUNNING,
        ServiceState.RUNNING,
        ServiceState.STOPPED,
    ]
    assert seen[1].problems == (trouble,)
    assert seen[1].counters["frames"] == 3
    assert "bus_published" in seen[1].counters
    assert [s.configuration_revision for s in seen] == ["", "", "r2", "r2", "r2", "r2"]
    assert (seen[4].cameras, seen[4].models) == ((camera,), (model,))
    assert {(s.service, s.role, s.pid) for s in seen} == {("capture", "capture", os.getpid())}
    assert not heartbeat_path(settings).exists()


def test_status_says_how_the_process_does_and_the_service_may_know_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "LOOK_INTERVAL_S", 0.01)
    probe = Probe()
    probe.now = Report(gauges={"open_files": -1, "jobs": 2})
    with running(settings_in(tmp_path), probe) as (next_status, _):
        gauges = wait_for_state(next_status, ServiceState.RUNNING).gauges
        assert gauges["memory_mb"] > 1
        assert gauges["threads"] >= 3
        assert gauges["bus_waiting"] == 0
        assert (gauges["open_files"], gauges["jobs"]) == (-1, 2)
        assert gauges["disk_size_mb"] >= gauges["disk_free_mb"] > 0
        # A gauge alone is not worth a message; a folder that is on no disk has no size.
        probe.now = Report(folder=Path("/proc/self"), configuration_revision="r2")
        assert next_status().gauges["disk_size_mb"] == 0


ILL: Final = Report(
    problems=(Problem(about="disk", reason="full"),),
    configuration_revision="r1",
    cameras=(CameraStatus(camera="front", state=LinkState.RUNNING, since=datetime.now(UTC)),),
    models=(ModelStatus(model="m5-nut", state="ready"),),
)


@pytest.mark.parametrize(
    "change",
    [
        {"problems": (Problem(about="disk", reason="worn out"),)},
        {"configuration_revision": "r2"},
        {"cameras": (ILL.cameras[0].model_copy(update={"state": LinkState.WAITING}),)},
        {"cameras": (ILL.cameras[0].model_copy(update={"reason": "no pictures"}),)},
        {"models": (ILL.models[0].model_copy(update={"state": "failed"}),)},
        {"models": (ILL.models[0].model_copy(update={"reason": "no labels"}),)},
    ],
)
def test_each_change_is_told_before_the_heartbeat_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(runtime, "LOOK_INTERVAL_S", 0.01)
    probe = Probe()
    probe.now = ILL
    with running(settings_in(tmp_path), probe) as (next_status, _):
        wait_for_state(next_status, ServiceState.DEGRADED)
        probe.now = replace(ILL, **change)
        told = next_status()
    assert {name: getattr(told, name) for name in change} == change


def wait_for_state(next_status: Callable[[], Status], wanted: ServiceState) -> Status:
    """Return the first status of that state; a slow reader may have missed `starting`."""
    status = next_status()
    while status.state is ServiceState.STARTING:
        status = next_status()
    assert status.state is wanted
    return status


def test_status_comes_again_as_a_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "LOOK_INTERVAL_S", 0.01)
    with running(settings_in(tmp_path, heartbeat_s=0.1), Probe()) as (next_status, _):
        first = wait_for_state(next_status, ServiceState.RUNNING)
        second = next_status()
    assert second.state is ServiceState.RUNNING
    assert second.at > first.at
    assert second.started_at == first.started_at


def test_heartbeat_file_on_a_full_disk_degrades_the_service(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.run_dir.write_text("a file where the folder should be")
    with running(settings, Probe()) as (next_status, _):
        status = wait_for_state(next_status, ServiceState.DEGRADED)
    assert [problem.about for problem in status.problems] == ["disk"]


def test_service_that_cannot_report_goes_on_and_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "LOOK_INTERVAL_S", 0.01)

    class Speechless(Probe):
        asked = 0
        speechless = True

        def report(self) -> Report:
            self.asked += 1
            if self.speechless:
                raise KeyError("hunter2")
            return Report()

    probe = Speechless()
    with running(settings_in(tmp_path), probe) as (next_status, _):
        degraded = wait_for_state(next_status, ServiceState.DEGRADED)
        assert degraded.problems[0].reason == "no report: KeyError; see the log of capture"
        wait_for(lambda: probe.asked >= 10)
        probe.speechless = False
        assert next_status().state is ServiceState.RUNNING
    assert [record.message for record in caplog.records] == ["capture cannot report"]


@pytest.mark.parametrize(
    ("fate", "state", "reason"),
    [
        (ConfigurationError("set labels"), ServiceState.STOPPED, "set labels"),
        (RuntimeError("hunter2"), ServiceState.OFFLINE, "crashed: RuntimeError; see the log"),
    ],
)
def test_last_status_says_why_a_service_ended(
    tmp_path: Path, fate: Exception, state: ServiceState, reason: str
) -> None:
    broker = MemoryBroker()
    with MemoryBus(broker) as bus:
        with pytest.raises(type(fate)):
            serve(settings_in(tmp_path), bus, lambda _s, _b, _beat: Probe(fate), Stop())
        delivery = bus.subscribe(Subscription(Status)).receive(30)
    assert delivery is not None
    assert isinstance(delivery.message, Status)
    assert delivery.message.state is state
    assert reason in delivery.message.problems[0].reason
    assert "hunter2" not in delivery.message.model_dump_json()


def test_what_build_opened_is_closed(tmp_path: Path) -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def build(_settings: object, _bus: object, _beat: object) -> Iterator[Probe]:
        events.append("open")
        yield Probe(RuntimeError("x"))

    @contextlib.contextmanager
    def closing(_settings: object, _bus: object, _beat: object) -> Iterator[Probe]:
        try:
            yield Probe(RuntimeError("x"))
        finally:
            events.append("close")

    for builder in (build, closing):
        with MemoryBus(MemoryBroker()) as bus, pytest.raises(RuntimeError):
            serve(settings_in(tmp_path), bus, builder, Stop())
    assert events == ["open", "close"]


def test_version_of_what_is_not_installed_is_empty() -> None:
    assert version_of("nothing") == ""
    assert version_of("capture") != ""


# -- the process ---------------------------------------------------------------------------------

NO_BROKER = {"NXAI_BROKER": "mqtt://127.0.0.1:9"}
"""The discard port: nobody answers."""


def environment(folder: Path, **variables: str) -> dict[str, str]:
    kept = {"PATH": os.defpath, "PYTHONWARNINGS": "error"}
    return kept | NO_BROKER | {"NXAI_RUN_DIR": str(folder)} | variables


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "support.probe_service", *arguments],
        cwd=ROOT / "tests",
        env=environment(folder, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_check_prints_the_settings_with_secrets_masked(tmp_path: Path) -> None:
    code, out, err = finish(start(tmp_path, "--check", NXAI_BROKER_PASSWORD="hunter2"))
    assert (code, err) == (0, "")
    assert "NXAI_BROKER_PASSWORD=***" in out
    assert "NXAI_CAPTURE_FATE=live" in out
    assert "hunter2" not in out


@pytest.mark.parametrize("arguments", [(), ("--check",), ("--healthy",)])
def test_wrong_setting_ends_with_2_and_says_what_to_change(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    code, out, err = finish(start(tmp_path, *arguments, NXAI_CAPTURE_FAT="live"))
    assert (code, out) == (2, "")
    assert err == (
        "nxai-capture: NXAI_CAPTURE_FAT: no such setting; did you mean NXAI_CAPTURE_FATE?\n"
    )


def test_broker_url_that_is_none_ends_with_2(tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path, "--check", NXAI_BROKER="mqtt://joe:hunter2@box:x"))
    assert code == 2
    assert "NXAI_BROKER_USERNAME" in err
    assert "hunter2" not in err


def test_help_lists_the_settings(tmp_path: Path) -> None:
    code, out, _ = finish(start(tmp_path, "--help"))
    assert code == 0
    assert "A service for tests of the runtime." in out
    assert "NXAI_CAPTURE_FATE (default live)\n      How it ends." in out


def test_service_is_healthy_while_it_runs_and_stops_on_a_signal(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(tmp_path, NXAI_LOG_FORMAT="json")
        with process:
            wait_for((tmp_path / "capture.heartbeat").exists, 60)
            assert finish(start(tmp_path, "--healthy")) == (0, "", "")
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "")
        assert '"message": "capture stopped"' in err
        code, _, why = finish(start(tmp_path, "--healthy"))
        assert code == 1
        assert "no heartbeat" in why


def test_second_signal_ends_at_once_what_does_not_stop(tmp_path: Path) -> None:
    stopping = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: stopping.set())
    try:
        with start(tmp_path, NXAI_CAPTURE_FATE="hang") as process:
            wait_for((tmp_path / "capture.heartbeat").exists, 60)
            process.send_signal(signal.SIGTERM)
            wait_for(stopping.is_set, 60)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert process.returncode == 128 + signal.SIGTERM
    assert "second signal: ending at once" in err


@pytest.mark.parametrize(
    ("fate", "code", "text"),
    [("crash", 1, "RuntimeError: password *** is wrong"), ("misconfigured", 2, "has no labels")],
)
def test_end_of_a_service_that_fails(tmp_path: Path, fate: str, code: int, text: str) -> None:
    ended, _, err = finish(start(tmp_path, NXAI_CAPTURE_FATE=fate, NXAI_BROKER_PASSWORD="hunter2"))
    assert ended == code
    assert text in err
    assert "hunter2" not in err
    assert ("Traceback" in err) == (fate == "crash")
