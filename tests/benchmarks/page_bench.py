"""The page: how large and soon the first view is, what live pictures cost, and twenty viewers."""

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import psutil
from playwright.sync_api import Browser, Page

from nxai_common.bus.ports import Subscription
from nxai_common.contracts.outputs import Detections
from support.browser import visit
from support.page import PageBox, page_box

CAMERAS: Final = ("north", "east", "south", "west")
FPS: Final = 10
SAMPLE_S: Final = 5.0
MB: Final = 1024 * 1024


def settings() -> dict[str, Any]:
    """Return four demo cameras that one model looks at."""
    return {
        "version": 1,
        "cameras": [
            {
                "id": name,
                "source": {"type": "demo", "seed": number, "fps": FPS},
                "models": ["demo-parts"],
            }
            for number, name in enumerate(CAMERAS, 1)
        ],
        "models": [{"id": "demo-parts", "path": "demo-parts"}],
    }


@contextmanager
def running(folder: Path) -> Iterator[PageBox]:
    """Run a box whose cameras have all given results."""
    folder.mkdir(parents=True, exist_ok=True)
    with page_box(folder, settings=settings()) as box:
        seen: set[str] = set()
        inbox = box.stack.bus.subscribe(Subscription(Detections), bound=10_000)
        while len(seen) < len(CAMERAS):
            delivery = inbox.receive(30)
            assert delivery is not None, "no detections"
            assert isinstance(delivery.message, Detections)
            seen.add(delivery.message.camera)
        inbox.close()
        yield box


# -- the first view ---------------------------------------------------------------------------


@dataclass
class FirstView:
    """What a browser with an empty cache fetched before the page could be used.

    Pictures of cameras are not counted: they are what one came to see, and as many as there
    are cameras.
    """

    kilobytes: float
    seconds: float
    requests: int


def first_view(browser: Browser, box: PageBox, rounds: int) -> FirstView:
    """Open the Run page with an empty cache, some times; return the middle."""
    found = []
    for _ in range(rounds):
        with visit(browser, box) as window:
            page = window.page
            sizes: dict[str, float] = {}
            pictures: set[str] = set()
            protocol = page.context.new_cdp_session(page)
            protocol.send("Network.enable")
            protocol.on(
                "Network.loadingFinished",
                lambda told, sizes=sizes: sizes.update(
                    {told["requestId"]: told["encodedDataLength"]}
                ),
            )
            protocol.on(
                "Network.responseReceived",
                lambda told, pictures=pictures: (
                    pictures.add(told["requestId"])
                    if told["response"]["mimeType"] == "image/jpeg"
                    else None
                ),
            )
            page.goto(f"{box.url}/#/run", wait_until="commit")
            page.get_by_role("button", name="Stop all cameras").first.wait_for()
            seconds = page.evaluate("performance.now()") / 1000
            fetched = {name: size for name, size in sizes.items() if name not in pictures}
            found.append(FirstView(sum(fetched.values()) / 1000, seconds, len(fetched)))
    return FirstView(
        statistics.median(one.kilobytes for one in found),
        statistics.median(one.seconds for one in found),
        round(statistics.median(one.requests for one in found)),
    )


# -- live pictures ----------------------------------------------------------------------------


@dataclass
class Viewers:
    """Viewers without a browser: they ask for pictures and detections, and count them."""

    box: PageBox
    count: int
    pictures: int = 0
    detections: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._look()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(20)

    async def _look(self) -> None:
        cookies = {k.name: k.value or "" for k in self.box.client.cookies.jar}
        async with aiohttp.ClientSession(cookies=cookies) as session:
            await asyncio.gather(*(self._one(session) for _ in range(self.count)))

    async def _one(self, session: aiohttp.ClientSession) -> None:
        url = f"{self.box.url}/api/v1/live"
        async with session.ws_connect(url, max_msg_size=0) as socket:
            await socket.send_json({"type": "listen", "to": ["detections", "status", "events"]})
            await socket.send_json(
                {"type": "watch", "cameras": list(CAMERAS), "fps": FPS, "width": 640}
            )
            while not self._stop.is_set():
                try:
                    message = await socket.receive(timeout=1)
                except TimeoutError:
                    continue
                if message.type is aiohttp.WSMsgType.BINARY:
                    self.pictures += 1
                elif message.type is aiohttp.WSMsgType.TEXT:
                    self.detections += '"detections"' in message.data[:32]
                else:
                    return


@dataclass
class Cost:
    """What the manager used."""

    cpu_percent: float
    """Of one core."""
    rss_mb: float
    growth_mb: float
    """From the first minute to the last."""


def cost_of_manager(box: PageBox, seconds: float) -> Cost:
    """Measure the manager for a while."""
    process = psutil.Process(box.stack.processes["manager"].process.pid)
    before, started = process.cpu_times(), time.monotonic()
    sizes = []
    while time.monotonic() - started < seconds:
        time.sleep(min(SAMPLE_S, max(0.1, seconds - (time.monotonic() - started))))
        sizes.append(process.memory_info().rss / MB)
    after, took = process.cpu_times(), time.monotonic() - started
    used = after.user + after.system - before.user - before.system
    part = max(1, len(sizes) // 5)
    growth = statistics.mean(sizes[-part:]) - statistics.mean(sizes[:part])
    return Cost(100 * used / took, sizes[-1], growth)


DRAWN: Final = """() => {
    window.drawn = [];
    document.addEventListener("nxai:drawn", ({detail}) => {
        if (!detail.exact || detail.result_ms === null) return;
        window.drawn.push(detail.drawn_ms - detail.result_ms);
    });
}"""


def box_latencies_ms(page: Page, seconds: float) -> list[float]:
    """Return the time from each result to the box drawn on its own picture."""
    page.evaluate(DRAWN)
    page.wait_for_timeout(seconds * 1000)
    drawn: list[float] = page.evaluate("window.drawn")
    return drawn


def latency_in_browser(browser: Browser, box: PageBox, seconds: float) -> list[float]:
    """Look at all cameras in Chromium for a while."""
    with visit(browser, box) as window:
        window.go("run")
        window.page.wait_for_function(
            "() => document.querySelectorAll('canvas[data-exact=true]').length >= 1"
        )
        return box_latencies_ms(window.page, seconds)


# -- twenty viewers ---------------------------------------------------------------------------


def results_a_second(box: PageBox, seconds: float) -> float:
    """Count the detections of all cameras."""
    with box.stack.broker.bus(f"counter-{time.monotonic_ns()}") as bus:
        assert bus.wait_connected(10)
        inbox = bus.subscribe(Subscription(Detections), bound=100_000)
        end, count = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            count += len(inbox.receive_many(256, left))
        return count / seconds


def rate_with_viewers(box: PageBox, viewers: int, seconds: float, rounds: int) -> dict[str, float]:
    """Return the results a second with and without viewers, measured by turns."""
    alone, watched, pictures = [], [], []
    for _ in range(rounds):
        alone.append(results_a_second(box, seconds))
        with Viewers(box, viewers) as looking:
            time.sleep(2)
            before = looking.pictures
            watched.append(results_a_second(box, seconds))
            pictures.append((looking.pictures - before) / seconds / viewers)
    return {
        "alone": statistics.median(alone),
        "watched": statistics.median(watched),
        "ratio": statistics.median(w / a for w, a in zip(watched, alone, strict=True)),
        "pictures_a_viewer": statistics.median(pictures),
    }
