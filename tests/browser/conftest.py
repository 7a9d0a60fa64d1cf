"""One browser for all tests; one box for those that leave it as it was."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from support import browser as browsers
from support.page import PageBox, page_box


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with browsers.chromium() as running:
        yield running


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBox]:
    """The demo, set up and running. Tests leave it as they found it."""
    with page_box(tmp_path_factory.mktemp("demo")) as box:
        yield box
