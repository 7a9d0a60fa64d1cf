"""From a doubtful picture to a labelled one at Edge Impulse, by the page alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support.browser import visit
from support.edge_impulse import Emulator, Impulse, Project, running
from support.loop import KEY
from support.page import PageBox, page_box
from support.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LONG_MS = 60_000
SURE_OF_NOTHING = "1"
"""Of all blocks of a picture some is always below a probability of one."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[PageBox, Project]]:
    emulator = Emulator()
    project = emulator.add_project("Screws", key=KEY)
    project.add_impulse(Impulse())
    with running(emulator) as urls, page_box(tmp_path) as box:
        started = box.call(
            "PUT",
            "/project",
            json={"key": KEY, "studio": urls.studio, "ingestion": urls.ingestion},
        )
        assert started["job"]
        wait_for(lambda: box.call("GET", "/project")["link"], 60, "the project is linked")
        yield box, project


def test_doubtful_picture_is_kept_corrected_and_sent(
    browser: Browser, world: tuple[PageBox, Project]
) -> None:
    box, project = world
    with visit(browser, box) as person:
        page = person.page

        # Switched on, and said in words.
        person.go("output")
        card = page.get_by_role("region", name="Upload images with low certainty")
        card.get_by_role("radio", name="Yes").check()
        card.get_by_role("spinbutton", name="Probability threshold").fill(SURE_OF_NOTHING)
        card.get_by_role("button", name="Save").click()
        wait_for(lambda: box.call("GET", "/samples/counts")["pictures"] > 0, 60, "one was kept")

        # Looked at: why it was kept; a box is added by keyboard and the picture approved.
        card.get_by_role("link", name="Open the gallery").click()
        page.get_by_role("link", name=re.compile("^Demo belt")).first.click(timeout=LONG_MS)
        stage = page.get_by_role("group", name=re.compile("^Picture of Demo belt"))
        stage.wait_for()
        name = re.split("[?/]", page.url.partition("data/samples/")[2])[0]
        before = box.call("GET", f"/samples/{name}")["sample"]
        assert before["strategy"] == "uncertain"
        expect(page.get_by_role("main")).to_contain_text(before["reason"], ignore_case=True)
        boxes = stage.get_by_role("button", name=re.compile("^Box "))
        expect(boxes).to_have_count(len(before["predictions"]))
        page.keyboard.press("b")
        expect(boxes).to_have_count(len(before["predictions"]) + 1)
        page.keyboard.press("a")
        wait_for(
            lambda: box.call("GET", f"/samples/{name}")["sample"]["state"] == "approved",
            30,
            "it was approved",
        )
        kept = box.call("GET", f"/samples/{name}")["sample"]
        assert len(kept["boxes"]) == len(before["predictions"]) + 1

        expect(stage).to_have_count(0)  # it was the last one: back in the gallery

        # Sent, and in the history.
        person.go("data/uploads")
        page.get_by_role("button", name="Upload to Edge Impulse").first.click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Screws")
        dialog.get_by_role("button", name="Send 1 picture").click()
        table = page.get_by_role("table", name="Uploads, newest first")
        expect(table).to_contain_text("Done", timeout=LONG_MS)

    (arrived,) = project.uploaded()
    assert arrived.filename == f"{name}.jpg"
    assert len(arrived.boxes) == len(kept["boxes"])
    assert box.call("GET", f"/samples/{name}")["sample"]["state"] == "uploaded"
