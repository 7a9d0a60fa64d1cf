"""The real services, scraped by us and by a real Prometheus with the files that we ship."""

import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from nxai_manager.core.document import DEFAULT_TEXT
from support.broker import free_port
from support.monitoring import GRAFANA, METRIC, METRICS, PROMETHEUS, alerts, dashboard, queries
from support.stack import Stack
from support.waiting import wait_for

SERVICES = ("manager", "capture", "inference", "publisher", "cloud-sync")
PATIENCE_S = 90.0
DETECTED = re.compile(r"^nxai_detections_total\{.*\} [1-9]", re.MULTILINE)
OWN = {"up"}
"""Made by Prometheus itself."""


def get(port: int, path: str) -> str:
    """Return a page, or '' while nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
    except OSError:
        return ""
    finally:
        connection.close()
    return body if answer.status == 200 else ""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Run all services with the demo camera and one that is not there; yield where to scrape."""
    ports = {service: free_port() for service in SERVICES}
    environment: dict[str, str] = {}
    folder = tmp_path_factory.mktemp("stack")
    settings = json.loads(DEFAULT_TEXT)
    settings["cameras"].append({"id": "gone", "source": {"type": "file", "path": "/no/such.mp4"}})
    settings["models"].append({"id": "none", "path": "no-such.tflite"})
    nobody = {"id": "shop", "type": "http", "url": "http://127.0.0.1:1/"}
    settings["outputs"] = {"destinations": [nobody]}
    (folder / "settings.json").write_text(json.dumps(settings))
    with Stack(folder, services=(), environment=environment) as stack:
        for service, port in ports.items():
            environment["NXAI_METRICS_PORT"] = str(port)
            stack.start(service, service)
        wait_for(
            lambda: DETECTED.search(metrics_at(ports["publisher"])),
            PATIENCE_S,
            f"the demo camera is seen; logs in {folder}",
        )
        for service, name in (
            ("capture", "nxai_camera_last_picture_timestamp"),
            ("capture", 'nxai_problem{about="camera gone"'),
            ("publisher", "nxai_outbox_entries"),
        ):
            wait_for(partial(tells, ports[service], name), PATIENCE_S, name)
        yield ports


def tells(port: int, name: str) -> bool:
    return name in metrics_at(port)


def metrics_at(port: int) -> str:
    return get(port, "/metrics")


@pytest.fixture(scope="module")
def exported(ports: dict[str, int]) -> dict[str, set[str]]:
    """Return the names that the services really export, and the labels of each."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for port in ports.values():
        for family in text_string_to_metric_families(metrics_at(port)):
            for sample in family.samples:
                found[sample.name] |= set(sample.labels)
    return dict(found)


def test_every_service_tells_of_itself(ports: dict[str, int]) -> None:
    for service, port in ports.items():
        body = metrics_at(port)
        labels = f'device="box",role="{service}",service="{service}"'
        assert f"nxai_problems{{{labels}}}" in body
        assert f'nxai_service_state{{{labels},state="running"}}' in body


def test_no_two_values_of_a_service_have_one_name(ports: dict[str, int]) -> None:
    for port in ports.values():
        found = [
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in text_string_to_metric_families(metrics_at(port))
            for sample in family.samples
        ]
        assert len(found) == len(set(found))


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_name_in_an_alert_is_exported(
    rule: dict[str, Any], exported: dict[str, set[str]]
) -> None:
    names = set(METRIC.findall(rule["expr"]))
    assert names
    assert names - OWN <= set(exported)
    told = " ".join(rule["annotations"].values())
    available = {"instance", "job"}.union(*(exported.get(name, set()) for name in names))
    assert set(re.findall(r"\$labels\.(\w+)", told)) <= available


@pytest.mark.parametrize(
    ("title", "query"), list(queries(dashboard(METRICS))), ids=lambda text: str(text)[:30]
)
def test_every_name_in_the_dashboard_is_exported(
    title: str, query: str, exported: dict[str, set[str]]
) -> None:
    names = set(METRIC.findall(query))
    assert names, title
    assert names - OWN <= set(exported)


def test_the_files_are_good_to_prometheus() -> None:
    subprocess.run(
        [program("promtool"), "check", "config", "prometheus.yml"], cwd=PROMETHEUS, check=True
    )
    subprocess.run(
        [program("promtool"), "check", "rules", "alerts.yml"], cwd=PROMETHEUS, check=True
    )


def test_the_files_name_every_service() -> None:
    [job] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    [targets] = job["static_configs"]
    assert set(targets["targets"]) == {f"{service}:9100" for service in SERVICES}


def test_grafana_finds_its_sources() -> None:
    text = (GRAFANA / "provisioning" / "datasources" / "nxai.yaml").read_text()
    sources = {source["uid"] for source in yaml.safe_load(text)["datasources"]}
    for path in (GRAFANA / "dashboards").glob("*.json"):
        board = json.loads(path.read_text())
        used = {panel["datasource"]["uid"] for panel in board["panels"]}
        assert used <= sources
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        assert board["uid"] == path.stem
    [provider] = yaml.safe_load(
        (GRAFANA / "provisioning" / "dashboards" / "nxai.yaml").read_text()
    )["providers"]
    assert provider["type"] == "file"


# -- a real Prometheus ------------------------------------------------------------------------


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is not installed: apt-get install prometheus")
    return path


class Prometheus:
    """A Prometheus with our rules, at a port of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def api(self, path: str) -> Any:
        """Return the data of an answer; None while there is none."""
        body = get(self.port, f"/api/v1/{path}")
        return json.loads(body)["data"] if body else None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression is now."""
        data = self.api(f"query?query={quote(expression)}")
        return [] if data is None else list(data["result"])


@contextmanager
def running(folder: Path, ports: dict[str, int]) -> Iterator[Prometheus]:
    """Run it on the files that we ship, with other addresses and less time between scrapes."""
    shipped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    shipped["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    [job] = shipped["scrape_configs"]
    [static] = job["static_configs"]
    static["targets"] = [
        target.replace(f"{target.split(':')[0]}:9100", f"127.0.0.1:{ports[target.split(':')[0]]}")
        for target in static["targets"]
    ]
    del job["relabel_configs"]  # here the ports tell them apart, and not the names
    (folder / "prometheus.yml").write_text(yaml.safe_dump(shipped))
    shutil.copy(PROMETHEUS / "alerts.yml", folder / "alerts.yml")
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
            env={"PATH": os.defpath},
        )
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_real_prometheus_scrapes_all_and_its_rules_hold(
    ports: dict[str, int], tmp_path: Path
) -> None:
    with running(tmp_path, ports) as prometheus:
        wait_for(
            lambda: len(prometheus.query('up{job="nxai"} == 1')) == len(SERVICES),
            PATIENCE_S,
            "all are scraped",
        )
        [detections] = wait_for(
            lambda: prometheus.query("nxai_detections_total > 0"), PATIENCE_S, "a value comes"
        )
        assert detections["metric"]["service"] == "publisher"
        # Two scrapes make a rate; the demo camera goes on.
        wait_for(lambda: prometheus.query("rate(nxai_detections_total[1m]) > 0"), PATIENCE_S)

        def evaluated() -> list[dict[str, Any]]:
            data = prometheus.api("rules")
            rules = [rule for group in data["groups"] for rule in group["rules"]]
            states = {rule["name"]: rule["state"] for rule in rules}
            wanted = {"pending", "firing"}
            done = (
                all(rule["health"] == "ok" for rule in rules)
                and {states["CameraDown"], states["ModelFailed"]} <= wanted
            )
            return rules if done else []

        rules = wait_for(evaluated, PATIENCE_S, "the rules are evaluated, and see what is wrong")
        assert {rule["name"] for rule in rules} == {rule["alert"] for rule in alerts()}
        raised = {rule["name"]: rule["alerts"] for rule in rules if rule["state"] != "inactive"}
        assert [a["labels"]["camera"] for a in raised["CameraDown"]] == ["gone"]
        assert [a["labels"]["model"] for a in raised["ModelFailed"]] == ["none"]
        assert not raised.keys() & {"ServiceDown", "ServiceHangs", "BrokerAway", "NoDetections"}
        for title, query in queries(dashboard(METRICS)):
            if not query.startswith("label_values"):
                asked = query.replace("$device", ".*")
                assert prometheus.api(f"query?query={quote(asked)}") is not None, title
