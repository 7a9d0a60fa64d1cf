"""The files that tell Prometheus, Grafana and Telegraf what to read, and how to read them."""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

import yaml

from support.shared import ROOT

PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
GRAFANA: Final = ROOT / "deploy" / "grafana"
TELEGRAF: Final = ROOT / "deploy" / "telegraf" / "telegraf.conf"

METRIC: Final = re.compile(r"\b(?:nxai|process)_[a-z0-9_]+\b|\bup\b")
METRICS: Final = "nxai-metrics"
DETECTIONS: Final = "nxai-detections"


def alerts() -> list[dict[str, Any]]:
    """Return the alert rules."""
    whole = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    return [rule for group in whole["groups"] for rule in group["rules"]]


def dashboard(name: str) -> dict[str, Any]:
    """Return one dashboard."""
    found: dict[str, Any] = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text())
    return found


def queries(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield title and query of every panel, and of every variable."""
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target.get("expr") or target["query"]
    for variable in board["templating"]["list"]:
        yield variable["name"], variable["query"]["query"]


def telegraf() -> dict[str, Any]:
    """Return telegraf.conf."""
    return tomllib.loads(TELEGRAF.read_text())
