"""The first run, and logging in and out."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import THEMES, Theme, visit
from support.page import PASSWORD, USER, PageBox, page_box


def set_password(page: Page, password: str, again: str | None = None) -> None:
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("Password again").fill(password if again is None else again)


def test_from_a_bare_box_to_a_running_picture(browser: Browser, tmp_path: Path) -> None:
    with page_box(tmp_path, set_up=False) as box, visit(browser, box, user=None) as person:
        page = person.page
        page.goto(box.url)
        expect(page.get_by_role("heading", name="Set a password")).to_be_visible()
        assert person.barriers() == []

        page.get_by_label("Name of this box").fill("Hall 2, packing")
        set_password(page, "short")
        page.get_by_role("button", name="Set up this box").click()
        expect(page.get_by_text("At least 10 characters.")).to_be_visible()

        set_password(page, "nxai-edge-2024!", "nxai-edge-2023!")
        expect(page.get_by_text("The two are not the same.")).to_be_visible()

        person.excuse(r"422 POST .*/setup")
        set_password(page, "password1234")
        page.get_by_role("button", name="Set up this box").click()
        field = page.get_by_label("Password", exact=True)
        expect(field).to_have_attribute("aria-invalid", "true")

        set_password(page, PASSWORD)
        expect(page.get_by_text("Strong", exact=True)).to_be_visible()
        page.get_by_role("button", name="Set up this box").click()  # the first click

        expect(person.heading()).to_have_text("Getting started")
        expect(page.get_by_role("banner")).to_contain_text("Hall 2, packing")
        assert person.barriers() == []
        page.get_by_role("button", name="Run the demo").click()  # the second

        expect(person.heading()).to_have_text("Run")
        picture = page.get_by_role("img", name="Live picture of Demo belt")
        expect(picture).to_have_attribute("data-exact", "true")
        expect(page).to_have_title("Run · Hall 2, packing")


@pytest.mark.parametrize("theme", THEMES)
def test_login(browser: Browser, demo: PageBox, theme: Theme) -> None:
    with visit(browser, demo, user=None, theme=theme) as person:
        page = person.page
        page.goto(f"{demo.url}/#/reference")
        name = page.get_by_label("User")
        expect(name).to_be_focused()
        assert person.barriers() == []

        person.excuse(r"401 POST .*/session")
        name.fill(USER)
        page.get_by_label("Password", exact=True).fill("not this one")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("password")
        expect(page.get_by_label("Password", exact=True)).to_be_focused()
        expect(page.get_by_label("Password", exact=True)).to_have_value("")
        assert person.barriers() == []

        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(person.heading()).to_have_text("API reference")
        assert page.url.endswith("/#/reference")
        assert page.evaluate("document.cookie") == ""

        page.get_by_role("button", name=f"Menu of {USER}").click()
        page.get_by_role("menuitem", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_session_that_ends_elsewhere_says_so_and_keeps_the_place(
    browser: Browser, demo: PageBox
) -> None:
    with visit(browser, demo) as person:
        person.go("reference")
        csrf = person.context.request.get(f"{demo.url}/api/v1/session").json()["csrf"]
        person.context.request.delete(f"{demo.url}/api/v1/session", headers={"X-CSRF-Token": csrf})

        expect(person.page.get_by_text("Your session has ended.")).to_be_visible()
        assert person.page.url.endswith("/#/reference")


def test_the_password_is_shown_on_demand(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo, user=None) as person:
        page = person.page
        page.goto(demo.url)
        field = page.get_by_label("Password", exact=True)
        field.fill("secret")
        page.get_by_role("button", name="Show password").click()
        expect(field).to_have_attribute("type", "text")
        page.get_by_role("button", name="Hide password").click()
        expect(field).to_have_attribute("type", "password")
