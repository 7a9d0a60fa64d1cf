"""A service process at a real broker: what the world sees of its life and death."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.commands import ReadLog, RestartService
from nxai_common.contracts.status import ServiceState, Status
from nxai_common.runtime import EXIT_RESTART
from support.broker import Broker
from support.shared import ROOT
from support.waiting import wait_for


@pytest.fixture
def outside(broker: Broker) -> Iterator[MqttBus]:
    with broker.bus("outside") as bus:
        yield bus


PROBE: Final = ("-m", "support.probe_service")
PATIENT_PROBE: Final = (
    "-c",
    """\
import sys
from nxai_common import runtime
from support import probe_service
runtime.LAST_WORDS_S = 60
sys.exit(runtime.run_service(probe_service.ProbeSettings, probe_service.build))
""",
)
"""A broker on a busy machine needs its time to start."""


def start(
    folder: Path, broker: Broker, program: tuple[str, str] = PROBE, **variables: str
) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.defpath,
        "NXAI_RUN_DIR": str(folder),
        "NXAI_HEARTBEAT_S": "0.5",
    } | broker.environment
    return subprocess.Popen(
        [sys.executable, *program],
        cwd=ROOT / "tests",
        env=environment | variables,
        stderr=subprocess.PIPE,
        text=True,
    )


def states_until(bus: MqttBus, last: ServiceState, folder: Path) -> Iterator[Status]:
    """Yield the states of the probe up to the wanted one, each time it changes."""
    inbox = bus.subscribe(Subscription(Status, {"service": "capture"}))
    before = None
    while before is not last:
        delivery = inbox.receive(60)
        assert delivery is not None, f"no {last} came; run folder: {list(folder.iterdir())}"
        assert isinstance(delivery.message, Status)
        if delivery.message.state is not before:
            yield delivery.message
        before = delivery.message.state


def test_goodbye_is_told_and_kept(tmp_path: Path, broker: Broker, outside: MqttBus) -> None:
    with start(tmp_path, broker) as process:
        running = list(states_until(outside, ServiceState.RUNNING, tmp_path))[-1]
        assert running.pid == process.pid
        assert running.configuration_revision == "r1"
        process.terminate()
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    with broker.bus("later") as later:
        kept = list(states_until(later, ServiceState.STOPPED, tmp_path))
    assert [status.pid for status in kept] == [process.pid]


def test_death_is_told_by_the_broker(tmp_path: Path, broker: Broker, outside: MqttBus) -> None:
    with start(tmp_path, broker) as process:
        list(states_until(outside, ServiceState.RUNNING, tmp_path))
        process.send_signal(signal.SIGKILL)
        offline = list(states_until(outside, ServiceState.OFFLINE, tmp_path))[-1]
        process.communicate(timeout=60)
    assert offline.pid == process.pid
    assert offline.problems == ()


def test_crash_is_told_with_the_kind_of_error_and_no_secret(
    tmp_path: Path, broker: Broker, outside: MqttBus
) -> None:
    with start(tmp_path, broker, PATIENT_PROBE, NXAI_CAPTURE_FATE="crash") as process:
        offline = list(states_until(outside, ServiceState.OFFLINE, tmp_path))[-1]
        _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert offline.problems[0].reason.startswith("crashed: RuntimeError; see the log")
    assert broker.password not in log


def test_crash_before_the_broker_answered_is_told(tmp_path: Path, broker: Broker) -> None:
    broker.stop()
    with start(tmp_path, broker, PATIENT_PROBE, NXAI_CAPTURE_FATE="crash") as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "no connection to the broker" in line)
        broker.start()
        process.communicate(timeout=60)
    assert process.returncode == 1
    with broker.bus("later") as later:
        (offline,) = states_until(later, ServiceState.OFFLINE, tmp_path)
    assert offline.problems[0].reason.startswith("crashed: RuntimeError; see the log")


@pytest.mark.parametrize("instance", ["capture", "capture-2"])
def test_a_process_tells_what_it_logged_without_its_password(
    tmp_path: Path, broker: Broker, outside: MqttBus, instance: str
) -> None:
    with start(tmp_path, broker, NXAI_INSTANCE=instance, NXAI_LOG_LEVEL="debug") as process:
        running = outside.subscribe(Subscription(Status, {"service": instance}))
        while (delivery := running.receive(60)) is not None:
            assert isinstance(delivery.message, Status)
            if delivery.message.state is ServiceState.RUNNING:
                break
        reply = outside.request(ReadLog(service=instance), 60)
        answer = json.loads(bytes(reply.attachment))
        assert f"{instance} starts" in [line["message"] for line in answer["lines"]]
        assert broker.password not in str(answer)
        later = outside.request(ReadLog(service=instance, after=answer["next"]), 60)
        assert json.loads(bytes(later.attachment)) == {"lines": [], "next": answer["next"]}
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_process_ends_when_it_is_asked_to_be_started_anew(
    tmp_path: Path, broker: Broker, outside: MqttBus
) -> None:
    with start(tmp_path, broker) as process:
        list(states_until(outside, ServiceState.RUNNING, tmp_path))
        assert outside.request(RestartService(service="capture"), 60).ok
        process.communicate(timeout=60)
    assert process.returncode == EXIT_RESTART


def test_a_process_that_hangs_still_tells_what_it_logged(
    tmp_path: Path, broker: Broker, outside: MqttBus
) -> None:
    stopping = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: stopping.set())
    try:
        with start(tmp_path, broker, NXAI_CAPTURE_FATE="hang") as process:
            list(states_until(outside, ServiceState.RUNNING, tmp_path))
            process.terminate()
            wait_for(stopping.is_set, 60, "it hangs")
            reply = outside.request(ReadLog(service="capture"), 60)
            assert b"capture starts" in bytes(reply.attachment)
            process.kill()
            process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_broker_that_comes_late_or_with_another_password_is_waited_for(
    tmp_path: Path, broker: Broker
) -> None:
    broker.stop()
    with start(tmp_path, broker, NXAI_BROKER_PASSWORD="wr0ng") as process:
        assert process.stderr is not None
        lines = iter(process.stderr)
        next(line for line in lines if "WARNING" in line and "refused" in line.lower())
        broker.start()
        told = next(line for line in lines if "password" in line)
        assert "wr0ng" not in told
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
