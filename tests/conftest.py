"""Fixtures of all suites, and the marker of each suite from its folder."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nxai_common import logs
from support.broker import Broker
from support.shared import ROOT

MARKERS = {
    "unit": "unit",
    "contract": "contract",
    "shape": "shape",
    "integration": "integration",
    "e2e": "e2e",
    "browser": "browser",
    "benchmarks": "bench",
    "fuzz": "fuzz",
}

# Who starts the tests in the background of a script lets them ignore Ctrl-C, and the processes that
# they start as well: those of which a test asks what they do then.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Never gate on wall-clock speed.
settings.register_profile("box", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("box")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their folder; leave benchmarks out unless somebody asks for them.

    Those with a browser come last: Playwright's event loop runs in the main thread from the first
    of them to the end, and no other test could run one there.
    """
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in MARKERS:
            item.add_marker(MARKERS[folder])
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
    asked = "bench" in str(config.getoption("markexpr")) or any(
        "benchmarks" in argument for argument in config.args
    )
    if not asked:
        left_out = [item for item in items if item.get_closest_marker("bench")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("bench")]


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Mosquitto with authentication, on a port of its own."""
    folder: Path = tmp_path_factory.mktemp("broker")
    with Broker(folder) as running:
        yield running


@pytest.fixture(autouse=True)
def _own_redaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets of other tests: their passwords may be words of this one's log."""
    monkeypatch.setattr(logs, "_process", logs.Redactor())
