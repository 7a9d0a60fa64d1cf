"""`/metrics` of a real process at a real broker."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import ClassVar

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from nxai_common.metrics import metrics_served
from nxai_common.runtime import blank_status
from nxai_common.scrapes import Seen
from nxai_common.settings import ServiceSettings
from support.broker import Broker, free_port
from support.shared import ROOT
from support.waiting import wait_for

PATIENCE_S = 30.0


class Settings(ServiceSettings):
    role: ClassVar[str] = "capture"


@contextmanager
def probe(folder: Path, broker: Broker, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run the probe service; it is killed when the block ends."""
    environment = {
        "PATH": os.defpath,
        "NXAI_RUN_DIR": str(folder),
        "NXAI_HEARTBEAT_S": "0.5",
    } | broker.environment
    process = subprocess.Popen(
        [sys.executable, "-m", "support.probe_service"],
        cwd=ROOT / "tests",
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def get(port: int, path: str = "/metrics", accept: str = "") -> tuple[int, str, str]:
    """Return status, content type and body; raises OSError while nobody listens."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        body = answer.read()
        assert int(answer.headers["Content-Length"]) == len(body)
        assert answer.headers["Server"] == "nxai"  # no versions for strangers
        return answer.status, answer.headers["Content-Type"], body.decode()
    finally:
        connection.close()


def scrape(port: int) -> dict[str, float]:
    """Return name and value of what is told once; empty while nobody listens."""
    try:
        _, _, body = get(port)
    except OSError:
        return {}
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if sample.labels.get("state", "running") == "running"
    }


def blank(settings: ServiceSettings) -> Seen:
    """Return what is seen of a service that has not started yet."""
    return Seen(blank_status(settings), 0.0, 0.0, connected=False)


def running(port: int) -> dict[str, float]:
    """Return what a service tells once it runs and has a broker."""
    found = scrape(port)
    runs = found.get("nxai_service_state") == 1 and found["nxai_broker_connected"] == 1
    return found if runs else {}


def test_a_process_tells_what_its_status_tells(tmp_path: Path, broker: Broker) -> None:
    port = free_port()
    with probe(tmp_path, broker, NXAI_METRICS_PORT=str(port), NXAI_DEVICE="line-3") as process:
        found = wait_for(lambda: running(port), PATIENCE_S)
        assert found["nxai_turns_total"] == 1
        assert found["nxai_problems"] == 0
        assert found["nxai_memory_bytes"] > 10e6
        assert found["process_resident_memory_bytes"] > 10e6
        assert found["nxai_heartbeat_age_seconds"] < 60
        code, kind, body = get(port)
        assert code == 200
        assert kind.startswith("text/plain; version=")
        assert 'nxai_problems{device="line-3",role="capture",service="capture"} 0.0' in body
        assert broker.password not in body
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, log
    assert "GET /metrics" not in log
    with pytest.raises(ConnectionRefusedError):
        get(port)


def test_openmetrics_is_told_to_whoever_asks_for_it(tmp_path: Path, broker: Broker) -> None:
    port = free_port()
    with probe(tmp_path, broker, NXAI_METRICS_PORT=str(port)):
        wait_for(lambda: scrape(port), PATIENCE_S)
        _, kind, body = get(port, accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert "nxai_problems" in {family.name for family in parse_openmetrics(body)}


def test_any_other_page_is_not_there(tmp_path: Path, broker: Broker) -> None:
    port = free_port()
    with probe(tmp_path, broker, NXAI_METRICS_PORT=str(port)):
        wait_for(lambda: scrape(port), PATIENCE_S)
        assert get(port, "/")[0] == 404
        assert get(port, "/metrics?name[]=up")[0] == 200


def test_a_second_worker_on_one_port_says_what_to_do(tmp_path: Path, broker: Broker) -> None:
    port = free_port()
    with probe(tmp_path, broker, NXAI_METRICS_PORT=str(port)):
        wait_for(lambda: scrape(port), PATIENCE_S)
        with probe(
            tmp_path, broker, NXAI_METRICS_PORT=str(port), NXAI_INSTANCE="capture-2"
        ) as second:
            _, log = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 2
    assert f"NXAI_METRICS_PORT={port}" in log
    assert "needs a port of its own" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"NXAI_METRICS_PORT": "99999"}, "NXAI_METRICS_PORT=99999: Input should be less than"),
        ({"NXAI_METRICS_PORT": "one"}, "NXAI_METRICS_PORT=one: Input should be a valid integer"),
        (
            {"NXAI_METRICS_PORT": "9100", "NXAI_METRICS_ADDRESS": "192.0.2.1"},
            "no listening on 192.0.2.1",
        ),
        (
            {"NXAI_METRICS_PORT": "9100", "NXAI_METRICS_ADDRESS": "not an address"},
            "no listening on not an address",
        ),
    ],
)
def test_where_nobody_can_listen_is_said(
    tmp_path: Path, broker: Broker, variables: dict[str, str], reason: str
) -> None:
    with probe(tmp_path, broker, **variables) as process:
        _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert reason in log
    assert "Traceback" not in log


def test_a_service_that_hangs_is_seen_to_hang(tmp_path: Path, broker: Broker) -> None:
    port = free_port()
    with probe(tmp_path, broker, NXAI_METRICS_PORT=str(port), NXAI_CAPTURE_FATE="hang"):
        wait_for(
            lambda: scrape(port).get("nxai_heartbeat_age_seconds", 0) > 2,
            PATIENCE_S,
            "the age grows while the loop stands still",
        )
        assert scrape(port)["nxai_status_age_seconds"] < PATIENCE_S


def test_whoever_says_nothing_holds_nobody_up(tmp_path: Path, broker: Broker) -> None:
    port = free_port()
    with probe(tmp_path, broker, NXAI_METRICS_PORT=str(port)) as process:
        wait_for(lambda: scrape(port), PATIENCE_S)
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(b"GET /metr")
            assert scrape(port)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, log


def test_the_port_is_free_again_behind_it() -> None:
    settings = Settings(metrics_port=free_port())
    for _ in range(2):
        with metrics_served(settings, lambda: blank(settings)):
            assert get(settings.metrics_port)[0] == 200


def test_no_name_server_is_asked_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(_name: str = "") -> str:
        raise AssertionError

    monkeypatch.setattr(socket, "getfqdn", asked)
    settings = Settings(metrics_port=free_port())
    with metrics_served(settings, lambda: blank(settings)):
        assert get(settings.metrics_port)[0] == 200


def test_without_a_port_nothing_is_loaded_and_nobody_listens() -> None:
    """What a box without Prometheus need not pay for."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, nxai_common.runtime; print('prometheus_client' in sys.modules)",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n"
