"""Below a reverse proxy, without the box, and back again."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from support.browser import visit
from support.page import PASSWORD, USER, PageBox, page_box
from support.reverse_proxy import below

STARTS_MS = 60_000
"""A service that starts while the machine does other work."""


def test_the_page_works_below_any_path(browser: Browser, demo: PageBox) -> None:
    with (
        below(demo.url, "/api/hassio_ingress/a1b2") as url,
        visit(browser, demo, user=None, url=url) as person,
    ):
        page = person.page
        page.goto(f"{url}/")
        page.get_by_label("User").fill(USER)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.keyboard.press("Enter")
        page.goto(f"{url}/#/reference")
        expect(person.heading()).to_have_text("API reference")
        # Statuses came over the WebSocket, icons and the document over HTTP: all below the path.
        expect(page.get_by_role("button", name="Health: All well")).to_be_visible()
        expect(page.get_by_text(f"{url}/api/v1/", exact=True)).to_be_visible()


def test_what_is_gone_is_told_and_found_again(browser: Browser, tmp_path: Path) -> None:
    with page_box(tmp_path) as box, visit(browser, box) as person:
        page = person.page
        well = page.get_by_role("button", name="Health: All well")
        person.go("reference")
        expect(well).to_be_visible(timeout=STARTS_MS)
        # Its libraries come late, and have to be there before nobody serves them any more.
        expect(page.locator(".prose:not(.prose--plain)").first).to_be_visible()

        person.excuse("WebSocket connection")
        box.stack.processes["manager"].kill()
        expect(page.get_by_text("What is shown may be old.")).to_be_visible()
        expect(page.get_by_role("button", name="Health: No connection")).to_be_visible()
        assert person.barriers() == []

        box.stack.start("manager", "manager")
        expect(page.get_by_text("What is shown may be old.")).to_have_count(0, timeout=STARTS_MS)
        expect(well).to_be_visible(timeout=STARTS_MS)

        box.stack.processes["publisher"].kill()
        pill = page.get_by_role("button", name="Health: publisher is down")
        expect(pill).to_be_visible(timeout=STARTS_MS)
        pill.click()
        first = page.get_by_role("group", name="Health").get_by_role("listitem").first
        expect(first).to_contain_text("publisher")
        expect(first).to_contain_text("Offline")
        page.keyboard.press("Escape")

        box.stack.start("publisher", "publisher")
        expect(well).to_be_visible(timeout=STARTS_MS)


def test_an_alarm_that_holds_is_known_after_the_manager_was_away(
    browser: Browser, tmp_path: Path
) -> None:
    with page_box(tmp_path) as box, visit(browser, box) as person:
        page = person.page
        rule = {"id": "any", "name": "Belt is not empty", "clear_after_s": 3600}
        box.call("PATCH", "/settings", json={"changes": {"outputs": {"alarms": [rule]}}})
        alarms = page.get_by_role("region", name="Alarms", exact=True)
        person.go("run")
        expect(alarms).to_contain_text("holds for", timeout=STARTS_MS)

        person.excuse("WebSocket connection")
        box.stack.processes["manager"].kill()
        expect(page.get_by_text("What is shown may be old.")).to_be_visible()
        box.stack.start("manager", "manager")
        expect(page.get_by_text("What is shown may be old.")).to_have_count(0, timeout=STARTS_MS)
        expect(alarms).to_contain_text("Belt is not empty", timeout=STARTS_MS)
        expect(alarms).to_contain_text("holds for")
        person.go("output/alarms")
        expect(page.get_by_text("Holds now", exact=True)).to_be_visible()

        box.call("PATCH", "/settings", json={"changes": {"outputs": {"alarms": []}}})
        person.go("run")
        expect(page.get_by_role("main")).not_to_contain_text("holds for")
