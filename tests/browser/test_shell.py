"""What is around every page: addresses, focus, theme, language, menus, health."""

import pytest
from playwright.sync_api import Browser, expect

from support.browser import THEMES, Size, Theme, visit
from support.page import PASSWORD, USER, PageBox
from support.waiting import wait_for

FIRST_VIEW_BYTES = 150_000
TABS = ["Model", "Input", "Output", "Run", "Data", "Settings"]


def name_of(box: PageBox) -> str:
    device: dict[str, str] = box.call("GET", "/session")["device"]
    return device["name"] or device["id"]


def test_tabs_keep_the_names_that_people_know(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo) as person:
        person.go("reference")
        tabs = person.page.get_by_role("navigation", name="Pages").get_by_role("link")
        expect(tabs).to_have_text(TABS)


def test_an_address_without_a_page_says_so(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo) as person:
        person.page.goto(f"{demo.url}/#/nowhere/at-all")
        expect(person.page.get_by_text("There is no page at this address")).to_be_visible()
        expect(person.page.get_by_text("#/nowhere/at-all")).to_be_visible()
        expect(person.page).to_have_title(f"Page not found · {name_of(demo)}")
        assert person.barriers() == []


def test_a_new_page_gets_focus_and_title_and_back_its_place(
    browser: Browser, demo: PageBox
) -> None:
    with visit(browser, demo) as person:
        page = person.page
        person.go("reference")
        page.get_by_text("/cameras/{camera}/still").wait_for()
        page.evaluate("scrollTo(0, 400)")
        page.goto(f"{demo.url}/#/start")
        expect(person.heading()).to_have_text("Getting started")
        expect(person.heading()).to_be_focused()
        expect(page).to_have_title(f"Getting started · {name_of(demo)}")
        assert page.evaluate("scrollY") == 0

        page.go_back()
        expect(person.heading()).to_have_text("API reference")
        expect(person.heading()).to_be_focused()
        wait_for(lambda: page.evaluate("scrollY") == 400, 5, "the place where the reader was")


def test_the_place_is_found_again_when_the_page_fills_late(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo) as person:
        page = person.page
        person.go("reference")
        page.get_by_text("/cameras/{camera}/still").wait_for()
        page.evaluate("scrollTo(0, 400)")
        person.go("start")
        main = page.get_by_role("main")
        main.evaluate("main => Object.assign(main.style, {height: '9px', overflow: 'hidden'})")
        page.go_back()
        expect(person.heading()).to_have_text("API reference")
        expect(person.heading()).to_be_focused()
        assert page.evaluate("scrollY") < 400
        main.evaluate("main => Object.assign(main.style, {height: '', overflow: ''})")
        wait_for(lambda: page.evaluate("scrollY") == 400, what="the place where the reader was")


@pytest.mark.parametrize("system", THEMES)
def test_theme_follows_the_system_until_somebody_chooses(
    browser: Browser, demo: PageBox, system: Theme
) -> None:
    other: Theme = "light" if system == "dark" else "dark"
    script = "getComputedStyle(document.documentElement).backgroundColor"
    grounds = {"light": "rgb(243, 245, 247)", "dark": "rgb(14, 19, 23)"}
    with visit(browser, demo, theme=system) as person:
        page = person.page

        def shows(theme: Theme) -> None:
            wait_for(lambda: page.evaluate(script) == grounds[theme], 5, f"{theme} colours")

        person.go("start")
        shows(system)
        page.get_by_role("button", name=f"Menu of {USER}").click()
        page.get_by_role("menuitemradio", name=other.title()).click()
        shows(other)

        page.reload()
        person.heading().wait_for()
        shows(other)

        page.get_by_role("button", name=f"Menu of {USER}").click()
        page.get_by_role("menuitemradio", name="As the system").click()
        shows(system)


def test_german(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo, language="de-DE") as person:
        page = person.page
        person.go("start")
        expect(person.heading()).to_have_text("Erste Schritte")
        assert page.evaluate("document.documentElement.lang") == "de"

        page.get_by_role("button", name=f"Menü von {USER}").click()
        page.get_by_role("menuitemradio", name="English").click()
        expect(person.heading()).to_have_text("Getting started")
        assert page.evaluate("document.documentElement.lang") == "en"


def test_menu_by_keyboard(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo) as person:
        page = person.page
        person.go("start")
        button = page.get_by_role("button", name=f"Menu of {USER}")
        button.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("menuitem", name="Change password")).to_be_focused()
        assert person.barriers() == []
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("menuitem", name="API reference")).to_be_focused()
        page.keyboard.press("End")
        expect(page.get_by_role("menuitem", name="Log out")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("menu")).to_have_count(0)
        expect(button).to_be_focused()


def test_a_dialog_keeps_the_focus_and_gives_it_back(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo) as person:
        page = person.page
        person.go("start")
        page.get_by_role("button", name=f"Menu of {USER}").click()
        page.get_by_role("menuitem", name="Change password").click()
        dialog = page.get_by_role("dialog", name="Change password")
        expect(dialog.get_by_label("Password now")).to_be_focused()
        assert person.barriers() == []
        for _ in range(12):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.closest('dialog, body').tagName") in (
                "DIALOG",
                "BODY",  # the browser's own bar comes between last and first
            )
        person.excuse(r"\d+ PUT .*/session/password")
        dialog.get_by_label("Password now").fill("not this one")
        dialog.get_by_label("New password").fill(PASSWORD + "x")
        dialog.get_by_role("button", name="Change password").click()
        expect(dialog.locator(".field__error").first).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(page.get_by_role("button", name=f"Menu of {USER}")).to_be_focused()


def test_skip_link(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo) as person:
        page = person.page
        person.go("start")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
        assert page.url.endswith("#/start")


def test_health_names_every_service(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo) as person:
        page = person.page
        person.go("start")
        page.get_by_role("button", name="Health: All well").click()
        panel = page.get_by_role("group", name="Health")
        for service in ("capture", "inference", "publisher", "cloud-sync", "manager"):
            expect(panel.get_by_text(service, exact=True)).to_be_visible()
        assert person.barriers() == []
        page.keyboard.press("Escape")
        expect(panel).to_have_count(0)


@pytest.mark.parametrize("place", ["start", "reference"])
@pytest.mark.parametrize("size", ["narrow", "phone", "desk", "wall"])
def test_nothing_is_wider_than_the_window(
    browser: Browser, demo: PageBox, place: str, size: Size
) -> None:
    with visit(browser, demo, size=size) as person:
        person.go(place)
        person.page.wait_for_load_state("networkidle")
        assert person.overflow() == 0


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", ["phone", "desk"])
@pytest.mark.parametrize("place", ["start", "reference", "reference/post_cameras_probe"])
def test_nobody_is_shut_out(
    browser: Browser, demo: PageBox, place: str, size: Size, theme: Theme
) -> None:
    with visit(browser, demo, size=size, theme=theme) as person:
        person.go(place)
        assert person.barriers() == []


def test_all_comes_from_the_box_and_the_first_view_is_small(
    browser: Browser, demo: PageBox
) -> None:
    asked: list[str] = []
    with visit(browser, demo) as person:
        person.excuse(r"404 GET .*/snapshot")  # of a camera that has had no event yet
        person.page.on("request", lambda request: asked.append(request.url))
        person.go("run")
        person.page.wait_for_load_state("load")
        sizes = person.page.evaluate(
            """() => performance.getEntries()
                .filter(({ entryType, name }) => ["resource", "navigation"].includes(entryType)
                    && !name.includes("/api/"))
                .map(({ name, encodedBodySize }) => [name, encodedBodySize])"""
        )
    assert sum(size for _, size in sizes) < FIRST_VIEW_BYTES, sizes
    assert {url for url in asked if not url.startswith((demo.url, "blob:", "data:"))} == set()


def test_a_notice_is_seen_and_closed_above_a_dialog(browser: Browser, demo: PageBox) -> None:
    with visit(browser, demo) as person:
        page = person.page
        person.go("start")
        page.get_by_role("button", name=f"Menu of {USER}").click()
        page.get_by_role("menuitem", name="Change password").click()
        page.get_by_label("Password now").wait_for()
        page.evaluate(
            """async () => {
                const { toast } = await import(new URL("js/components/toast.js", document.baseURI));
                toast("It did not work.", { tone: "bad" });
            }"""
        )
        notice = page.get_by_role("alert").filter(has_text="It did not work.")
        expect(notice).to_be_visible()
        assert person.barriers() == []
        notice.get_by_role("button", name="Close").click()  # not where a dialog covers it
        expect(notice).to_have_count(0)

        page.evaluate(
            """async () => {
                const { toast } = await import(new URL("js/components/toast.js", document.baseURI));
                toast("It stays.", { tone: "bad" });
            }"""
        )
        page.keyboard.press("Escape")
        page.get_by_role("alert").get_by_role("button", name="Close").click()
        expect(page.get_by_text("It stays.")).to_have_count(0)


def test_who_asks_for_a_list_gets_what_is_there_from_then_on(
    browser: Browser, demo: PageBox
) -> None:
    """An older question under way may be answered with what was before."""
    with visit(browser, demo) as person:
        person.go("input")
        asked: list[str] = []
        person.page.on("request", lambda request: asked.append(request.url))
        shared = person.page.evaluate(
            """async () => {
                const { cameras } = await import("./js/store.js");
                await cameras.load();
                const [first, second, third] = [cameras.load(), cameras.load(), cameras.load()];
                await Promise.all([first, second, third]);
                return [first === second, second === third];
            }"""
        )
        assert shared == [False, True]
        assert sum(url.endswith("/api/v1/cameras") for url in asked) == 3
