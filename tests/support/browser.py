"""A person in front of the page: Debian's Chromium, driven by Playwright."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Response,
    sync_playwright,
)

from support.page import PASSWORD, USER, PageBox

Theme = Literal["light", "dark"]
Size = Literal["desk", "phone", "narrow", "wall"]
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")
SIZES: Final[dict[Size, tuple[int, int]]] = {
    "desk": (1440, 900),
    "phone": (390, 844),
    "narrow": (320, 700),
    "wall": (2560, 1440),
}
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS: Final = 20_000
"""A machine that does other work at the same time is slow; nothing here waits for so long."""
GRAVE: Final = ("serious", "critical")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium.

    Raises:
        AssertionError: there is none.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program, "no Chromium: deploy/local/packages.sh test installs it"
    with sync_playwright() as playwright:
        # Root in a container has no sandbox; what is shown comes from this machine alone.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One person's window, and all that went wrong in it."""

    page: Page
    url: str
    expected: list[str] = field(default_factory=list)
    """Patterns of what may be said on the console, because the test causes it."""
    complaints: list[str] = field(default_factory=list)

    @property
    def context(self) -> BrowserContext:
        """Cookies and storage of this person."""
        return self.page.context

    def go(self, place: str) -> None:
        """Show a place: `input/front`; wait until its page is there."""
        self.page.goto(f"{self.url}/#/{place}")
        self.heading().wait_for()

    def heading(self) -> Locator:
        """Return the heading of the page that is shown."""
        return self.page.get_by_role("heading", level=1)

    def excuse(self, pattern: str) -> None:
        """Expect a complaint of the browser that the test causes."""
        self.expected.append(pattern)

    def unexpected(self) -> list[str]:
        """Return what the browser complained about."""
        return [
            text
            for text in self.complaints
            if not any(re.search(pattern, text) for pattern in self.expected)
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        wide: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide

    def barriers(self) -> list[str]:
        """Return what axe finds that shuts somebody out (serious and critical)."""
        found: dict[str, Any] = Axe().run(self.page).response
        return [
            f"{rule['impact']} {rule['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for rule in found["violations"]
            if rule["impact"] in GRAVE
            for node in rule["nodes"]
        ]


@contextmanager
def visit(
    browser: Browser,
    box: PageBox,
    *,
    size: Size = "desk",
    theme: Theme = "light",
    language: str = "en-GB",
    user: tuple[str, str] | None = (USER, PASSWORD),
    url: str = "",
) -> Iterator[Visit]:
    """Open a window; without `user` nobody is logged in.

    Leaving fails when the browser complained: an exception, a blocked script, an answer >= 400.

    Args:
        browser: Of `chromium`.
        box: Whose page is looked at.
        size: Of the window.
        theme: What the system prefers.
        language: Of the browser.
        user: Who logs in: name and password.
        url: In place of the box's own, for a reverse proxy.
    """
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,
        locale=language,
        timezone_id="Europe/Berlin",
        has_touch=size in ("phone", "narrow"),
        is_mobile=size in ("phone", "narrow"),
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    url = url or box.url
    if user is not None:
        name, password = user
        answer = context.request.post(
            f"{url}/api/v1/session", data={"username": name, "password": password}
        )
        assert answer.ok, answer.text()
    page = context.new_page()
    window = Visit(page, url)
    page.on("pageerror", lambda error: window.complaints.append(f"exception: {error}"))
    page.on("console", lambda message: _hear(window, message))
    page.on("response", lambda response: _note(window, response))
    try:
        yield window
        assert not window.unexpected(), "\n".join(window.unexpected())
    finally:
        context.close()


def _hear(window: Visit, message: ConsoleMessage) -> None:
    # A failed request is told with its address by `_note`.
    if message.type == "error" and "Failed to load resource" not in message.text:
        window.complaints.append(f"console: {message.text}")


def _note(window: Visit, response: Response) -> None:
    if response.status >= 400:
        window.complaints.append(f"{response.status} {response.request.method} {response.url}")
