"""Output: what leaves the box is seen, chosen, and said in words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from support.browser import THEMES, Theme, Visit, visit
from support.page import PageBox, page_box
from support.waiting import wait_for

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBox]:
    with page_box(tmp_path_factory.mktemp("box")) as running:
        yield running


@pytest.fixture
def person(browser: Browser, box: PageBox) -> Iterator[Visit]:
    with visit(browser, box) as window:
        yield window


def test_topic_is_copied_and_its_last_message_shown(person: Visit) -> None:
    page = person.page
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    person.go("output")
    topic = "nxai/v1/box/cameras/demo/detections"
    page.get_by_role("button", name=f"Copy topic {topic}").click()
    assert page.evaluate("navigator.clipboard.readText()") == topic
    row = page.get_by_role("listitem").filter(has_text=topic)
    row.get_by_role("button", name="Last message").click()
    message = row.get_by_role("region", name="Last message")
    expect(message).to_contain_text('"camera"')
    expect(message).to_contain_text('"demo"')


def test_message_is_switched_off_and_on(box: PageBox, person: Visit) -> None:
    page = person.page
    person.go("output")
    switch = page.get_by_role("switch", name="Nx AI Manager output")
    switch.uncheck()
    wait_for(lambda: settings(box).get("outputs") == {"nx_output": {"enabled": False}}, 20)
    expect(page.get_by_label("Gather results for")).to_have_count(0)
    switch.check()
    wait_for(lambda: settings(box)["outputs"]["nx_output"] == {"enabled": True}, 20)


def settings(box: PageBox) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((box.stack.folder / "settings.json").read_text())
    return document


def test_wrong_number_is_told_beside_its_field_and_not_kept(box: PageBox, person: Visit) -> None:
    page = person.page
    person.excuse("422 PATCH .*/settings")
    person.go("output")
    days = page.get_by_label("For", exact=True)
    days.fill("-3")
    days.blur()
    expect(days).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("must be greater than 0").first).to_be_visible()
    assert "keep_days" not in (box.stack.folder / "settings.json").read_text()
    days.fill("7")
    days.blur()
    wait_for(lambda: '"keep_days": 7' in (box.stack.folder / "settings.json").read_text(), 20)


def test_pictures_with_low_certainty_are_asked_for_in_words(box: PageBox, person: Visit) -> None:
    page = person.page
    person.go("output")
    card = page.get_by_role("region", name="Upload images with low certainty")
    card.get_by_role("radio", name="Yes").check()
    card.get_by_role("spinbutton", name="Probability threshold").fill("0.8")
    words = card.get_by_role("note")
    expect(words).to_contain_text("at most 300 a day")
    expect(words).to_contain_text("any block or detection is below 0.80")
    expect(words).to_contain_text("masks are burned in")
    expect(words).to_contain_text("only when somebody presses Upload")
    card.get_by_text("More reasons to keep a picture").click()
    card.get_by_label("A few at random").check()
    card.get_by_label("Number of: A few at random").fill("5")
    expect(words).to_contain_text("A few at random")
    card.get_by_role("radio", name="Never").check()
    expect(words).to_contain_text("never leave this box")
    card.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Pictures are collected from now on.")).to_be_visible()

    (camera,) = json.loads((box.stack.folder / "settings.json").read_text())["cameras"]
    assert camera["uncertain"] == {"threshold": 0.8}
    assert camera["collect"]["enabled"] is True
    assert camera["collect"]["upload"] == "never"
    assert {s["strategy"] for s in camera["collect"]["strategies"]} == {"uncertain", "random"}
    (random,) = (s for s in camera["collect"]["strategies"] if s["strategy"] == "random")
    assert random["fraction"] == pytest.approx(0.05)
    wait_for(
        lambda: box.call("GET", "/samples/counts")["pictures"] > 0, 60, "a picture was collected"
    )


@pytest.mark.parametrize("theme", THEMES)
def test_nobody_is_shut_out(browser: Browser, box: PageBox, theme: Theme) -> None:
    with visit(browser, box, theme=theme) as window:
        window.go("output")
        window.page.get_by_text("Open the gallery").wait_for()
        assert window.barriers() == []
    with visit(browser, box, theme=theme, size="narrow") as window:
        window.go("output")
        window.page.get_by_text("Open the gallery").wait_for()
        assert window.overflow() == 0
