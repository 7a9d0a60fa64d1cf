"""The box in containers. Those that need a Docker engine run in `make compose-test` alone."""

import os
from collections.abc import Generator, Iterator

import pytest

from support.compose_box import ComposeBox

VARIABLE = "NXAI_TEST_COMPOSE"
collect_ignore_glob = [] if VARIABLE in os.environ else ["test_*.py"]  # noqa: TID251 - a switch


@pytest.fixture(scope="session")
def box() -> Iterator[ComposeBox]:
    """The box as `docker compose up` brings it up, with nothing configured."""
    with ComposeBox("nxai-test") as box:
        box.up()
        yield box


@pytest.fixture
def well(box: ComposeBox) -> ComposeBox:
    """The same, and all of it runs."""
    box.up("--scale", "inference=1")
    box.wait_healthy()
    return box


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say what the containers said when a test failed."""
    report = yield
    box = item.funcargs.get("box") if isinstance(item, pytest.Function) else None
    if report.failed and isinstance(box, ComposeBox):
        report.sections.append(("containers", box.compose("ps", check=False)))
        logs = box.compose("logs", "--no-color", "--tail", "30", check=False)
        report.sections.append(("logs", logs))
    return report
