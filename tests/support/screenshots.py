"""Pictures of every page, as people see them: both themes, two widths.

``make screenshots`` writes those in docs/; a test takes them anew and holds docs/ to the same list.
"""

import io
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page

from nxai_common.contracts.processors import ProcessorManifest
from support import browser as browsers
from support.browser import THEMES, Size, Theme, visit
from support.page import PageBox, page_box
from support.receiver import receiver
from support.shared import ROOT
from support.waiting import wait_for

KEPT: Final = ROOT / "docs" / "screenshots"
MOST_BYTES: Final = 3_000_000
"""Of all of them; a clone should not grow by pictures."""
SIZES: Final[tuple[Size, ...]] = ("desk", "phone")
QUALITY: Final = 62
"""Of WebP: letters stay sharp, a picture of a desk has 40 kB."""
PICTURES: Final = 6
"""Collected before the gallery is shown."""

PLACES: Final[Mapping[str, str]] = {
    "run": "run",
    "model": "model",
    "model-about": "model/demo-parts",
    "input": "input",
    "camera": "input/demo",
    "areas": "input/demo/areas",
    "seen": "input/demo/models",
    "output": "output",
    "destinations": "output/destinations",
    "alarms": "output/alarms",
    "home-assistant": "output/home-assistant",
    "data": "data",
    "gallery": "data/samples",
    "settings": "settings",
    "history": "settings/history",
    "health": "settings/health",
    "logs": "settings/logs/manager",
    "accounts": "settings/accounts",
    "reference": "reference",
}
"""Name of the picture, and the place that it shows."""
EDITORS: Final[Mapping[str, tuple[str, str]]] = {
    "destination": ("output/destinations", "Edit Line control"),
    "alarm": ("output/alarms", "Edit Jam on the belt"),
}
"""Name of the picture, the place, and the button there that opens what it shows."""

SETTINGS: Final[dict[str, Any]] = {
    "version": 1,
    "device": {"name": "Hall 2, packing"},
    "cameras": [
        {
            "id": "demo",
            "name": "Belt 1",
            "source": {"type": "demo"},
            "models": ["demo-parts"],
            "masks": [[[0.0, 0.0], [0.22, 0.0], [0.22, 0.18], [0.0, 0.18]]],
            "areas": {"exclude": [[[0.8, 0.0], [1.0, 0.0], [1.0, 1.0], [0.8, 1.0]]]},
            "collect": {
                "enabled": True,
                "strategies": [{"strategy": "interval", "every_s": 1}],
                "min_gap_s": 0,
                "near_duplicate_bits": 0,
            },
        },
        {
            "id": "belt-2",
            "name": "Belt 2",
            "source": {"type": "demo", "seed": 7},
            "models": ["demo-parts"],
        },
        {
            "id": "dock",
            "name": "Loading dock",
            "source": {"type": "rtsp", "url": "rtsp://127.0.0.1:9/stream1"},
            "models": ["demo-parts"],
        },
    ],
    "models": [{"id": "demo-parts", "path": "demo-parts", "name": "Screws and nuts"}],
}


PROCESSOR: Final = ProcessorManifest(
    processor="pairs",
    name="Pairs",
    version="1.2",
    description="Finds screws with their nuts",
    labels=("pair",),
)


def outputs(control: str) -> dict[str, Any]:
    """Return outputs of which one fares well, one not, and one is a file.

    Args:
        control: Address of a server that takes what comes.
    """
    return {
        "destinations": [
            {
                "id": "control",
                "name": "Line control",
                "type": "http",
                "url": f"{control}/results",
                "what": ["events", "alarms"],
                "headers": {"Authorization": "Bearer {{ secret.control_token }}"},
            },
            {
                "id": "plant",
                "name": "Plant broker",
                "type": "mqtt",
                "url": "mqtt://127.0.0.1:9",
                "what": ["state"],
                "cameras": ["demo"],
            },
            {"id": "lines", "name": "Archive", "type": "file", "path": "results.jsonl"},
        ],
        "alarms": [
            {
                "id": "jam",
                "name": "Jam on the belt",
                "cameras": ["demo"],
                "area": [[0.3, 0.15], [0.78, 0.15], [0.78, 0.85], [0.3, 0.85]],
                "clear_after_s": 10,
            },
            {"id": "empty", "name": "Belt empty", "compare": "at-most", "count": 0, "for_s": 60},
        ],
    }


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture."""

    name: str
    png: bytes

    @property
    def file(self) -> str:
        """Name of its file in docs."""
        return f"{self.name}.webp"


@contextmanager
def world(folder: Path) -> Iterator[PageBox]:
    """Run a box that has something to show."""
    environment = {
        "NXAI_PUBLISHER_SECRETS_DIR": str(folder / "output-secrets"),
        "NXAI_PUBLISHER_FILES_DIR": str(folder / "files"),
    }
    with (
        receiver() as control,
        page_box(
            folder,
            settings={**SETTINGS, "outputs": outputs(control.url)},
            environment=environment,
            set_up=False,
        ) as box,
    ):
        box.set_up("Hall 2, packing")
        secret = {"value": "only shown to its host", "hosts": ["127.0.0.1"]}
        box.call("PUT", "/secrets/control_token", json=secret)
        box.stack.bus.publish(PROCESSOR)
        wait_for(
            lambda: box.call("GET", "/samples/counts")["pictures"] >= PICTURES,
            120,
            "pictures were collected",
        )
        yield box


def take(browser: Browser, box: PageBox, theme: Theme, size: Size) -> Iterator[Shot]:
    """Yield a picture of every page."""
    with visit(browser, box, theme=theme, size=size) as window:
        for name, place in PLACES.items():
            window.go(place)
            settle(window.page)
            yield Shot(f"{name}-{size}-{theme}", window.page.screenshot())
        for name, (place, button) in EDITORS.items():
            window.go(place)
            settle(window.page)
            window.page.get_by_role("button", name=button).click()
            dialog = window.page.get_by_role("dialog")
            dialog.wait_for()
            if name == "alarm":
                dialog.locator(".areas__stage img").wait_for()
            window.page.wait_for_load_state("networkidle")
            yield Shot(f"{name}-{size}-{theme}", window.page.screenshot())
            dialog.get_by_role("button", name="Cancel").click()
        # The dock's camera is away, which the pages say as they should.
        window.complaints.clear()
    with visit(browser, box, theme=theme, size=size, user=None) as window:
        window.page.goto(f"{box.url}/#/run")
        window.page.get_by_label("Password", exact=True).wait_for()
        yield Shot(f"login-{size}-{theme}", window.page.screenshot())


def settle(page: Page) -> None:
    """Wait until nothing loads any more and pictures are there."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        """() => [...document.images].every((image) => image.complete)
            && !document.querySelector('.skeleton')"""
    )
    if page.locator(".still").count():  # fetched once the page is there
        page.locator(".still img").first.wait_for()
        page.wait_for_load_state("networkidle")
    if page.locator("canvas[data-exact]").count():
        page.wait_for_function("() => document.querySelector('canvas[data-exact=true]')")


def names() -> set[str]:
    """Return the files that docs must hold."""
    pages = (*PLACES, *EDITORS, "login")
    return {f"{name}-{size}-{theme}.webp" for name in pages for size in SIZES for theme in THEMES}


def webp(png: bytes) -> bytes:
    """Return the picture as it is kept."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(out, "WEBP", quality=QUALITY, method=6)
    return out.getvalue()


def write() -> None:
    """Write all of them anew."""
    KEPT.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        world(Path(folder)) as box,
        browsers.chromium() as browser,
    ):
        found = {
            shot.file: webp(shot.png)
            for theme in THEMES
            for size in SIZES
            for shot in take(browser, box, theme, size)
        }
    for old in KEPT.glob("*.webp"):
        if old.name not in found:
            old.unlink()
    for name, content in found.items():
        (KEPT / name).write_bytes(content)
    total = sum(map(len, found.values()))
    sys.stdout.write(f"wrote {len(found)} pictures, {total / 1000:.0f} kB\n")


if __name__ == "__main__":
    write()
