"""The running product with its page: every service, a broker, and a person who has set it up."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from support.broker import free_port
from support.stack import Stack
from support.waiting import wait_for

SERVICES = ("capture", "inference", "publisher", "manager", "cloud-sync")
USER = "admin"
PASSWORD = 'p@ss:/#?%"word-1'
"""With all that a URL, a log line or a shell could trip over."""
CSRF = "X-CSRF-Token"


@dataclass
class PageBox:
    """A box whose page is open."""

    stack: Stack
    url: str
    """Of the page, without a slash at its end."""
    client: httpx.Client = field(repr=False)

    def call(self, method: str, path: str, *, status: int | None = None, **options: Any) -> Any:
        """Ask the REST interface as who is logged in; return the JSON of its answer."""
        answer = self.client.request(method, f"{self.url}/api/v1{path}", **options)
        wanted = (200, 201, 204) if status is None else (status,)
        assert answer.status_code in wanted, f"{method} {path}: {answer.status_code} {answer.text}"
        kind = answer.headers.get("Content-Type", "")
        return answer.json() if "json" in kind else answer.content

    def set_up(self, name: str = "Test box") -> None:
        """Make the first user, and log in as such."""
        told = self.call(
            "POST",
            "/setup",
            json={"username": USER, "password": PASSWORD, "device_name": name},
        )
        self.client.headers[CSRF] = told["csrf"]

    def log_in(self, user: str = USER, password: str = PASSWORD) -> None:
        """Log in as somebody."""
        self.client.cookies.clear()
        self.client.headers.pop(CSRF, None)
        told = self.call("POST", "/session", json={"username": user, "password": password})
        self.client.headers[CSRF] = told["csrf"]

    def write_settings(self, settings: Mapping[str, Any] | str) -> None:
        """Edit settings.json by hand."""
        text = settings if isinstance(settings, str) else json.dumps(settings, indent=2)
        fresh = self.stack.folder / "settings.json~"
        fresh.write_text(text)
        fresh.replace(self.stack.folder / "settings.json")


@contextmanager
def page_box(
    folder: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    services: tuple[str, ...] = SERVICES,
    set_up: bool = True,
) -> Iterator[PageBox]:
    """Start everything; without `settings` the demo runs."""
    port = free_port()
    if settings is not None:
        (folder / "settings.json").write_text(json.dumps(settings, indent=2))
    stack = Stack(
        folder,
        services=services,
        environment={
            "NXAI_MANAGER_HOST": "127.0.0.1",
            "NXAI_MANAGER_PORT": str(port),
            **(environment or {}),
        },
    )
    url = f"http://127.0.0.1:{port}"
    with stack, httpx.Client(timeout=30) as client:
        wait_for(lambda: _answers(url), 120, "the page answers")
        stack.wait_running(180)
        box = PageBox(stack, url, client)
        if set_up:
            box.set_up()
        yield box


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/session", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
