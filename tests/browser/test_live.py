"""What a page asks of the live WebSocket: what is shown, together; nothing while it is hidden."""

import json
from typing import Any

from playwright.sync_api import Browser, WebSocket, expect

from support.browser import Visit, visit
from support.page import PageBox
from support.waiting import wait_for

HIDDEN = """
(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}
"""


def words(person: Visit) -> list[dict[str, Any]]:
    """Return the list to which all that the page says over its WebSockets is added."""
    said: list[dict[str, Any]] = []

    def hear(socket: WebSocket) -> None:
        socket.on("framesent", lambda payload: said.append(json.loads(payload)))

    person.page.on("websocket", hear)
    return said


def last(person: Visit, said: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    person.page.evaluate("1")  # Playwright hands over events only while it is asked something
    return next((word for word in reversed(said) if word["type"] == kind), {})


def test_cameras_are_watched_only_where_and_while_they_are_seen(
    browser: Browser, demo: PageBox
) -> None:
    with visit(browser, demo) as person:
        person.excuse(r"404 GET .*/snapshot")
        said = words(person)

        def watched(*cameras: str) -> None:
            wait_for(
                lambda: last(person, said, "watch").get("cameras") == list(cameras),
                15,
                f"{cameras} are watched, of {said}",
            )

        person.go("run")
        watched("demo")
        person.page.evaluate(HIDDEN, arg=True)
        watched()
        assert "detections" not in last(person, said, "listen")["to"]
        assert "status" in last(person, said, "listen")["to"]
        person.page.evaluate(HIDDEN, arg=False)
        watched("demo")
        assert "detections" in last(person, said, "listen")["to"]

        person.page.get_by_role("link", name="Settings").click()
        watched()


def test_watchers_share_what_they_want(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo) as person:
        said = words(person)
        person.go("reference")
        expect(person.page.get_by_role("button", name="Health: All well")).to_be_visible()
        person.page.evaluate(
            """async () => {
                const { watch } = await import(new URL("js/live.js", document.baseURI));
                window.first = watch({ cameras: ["demo"], fps: 2, width: 320 });
                window.second = watch({ cameras: ["other", "demo"], fps: 30, width: 4000 });
            }"""
        )

        def asked(cameras: list[str], fps: float, width: int) -> None:
            wanted = {"type": "watch", "cameras": cameras, "fps": fps, "width": width}
            wait_for(lambda: last(person, said, "watch") == wanted, 10, f"{wanted}, not {said}")

        asked(["demo", "other"], 15, 1920)  # what the box takes at most
        person.page.evaluate("second()")
        asked(["demo"], 2, 320)
        person.page.evaluate("first()")
        asked([], 1, 64)
