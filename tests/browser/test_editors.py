"""Areas and boxes on a picture, drawn and corrected by pointer and by keyboard."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import Visit, visit
from support.page import PageBox

PICTURE = (
    "data:image/svg+xml,"
    "<svg xmlns='http://www.w3.org/2000/svg' width='800' height='600'>"
    "<rect width='800' height='600' fill='gray'/></svg>"
)
KINDS = ["include", "exclude", "mask", "roi"]
SQUARE = [[0.2, 0.2], [0.4, 0.2], [0.4, 0.4], [0.2, 0.4]]
MOUNT = """
async ({ module, name, property, value, rest }) => {
    const load = (file) => import(new URL(`js/${file}.js`, document.baseURI));
    const { html, render, signal } = await load("view");
    const { [name]: Editor } = await load(`components/${module}`);
    window.held = signal(value);
    const Host = () => html`<main class="page"><h1>Editor</h1><${Editor} ...${rest}
        ...${{ [property]: held.value, onInput: (next) => (held.value = next) }} /></main>`;
    const root = document.createElement("div");
    document.body.replaceChildren(root);
    render(html`<${Host} />`, root);
}
"""


@contextmanager
def editor(
    browser: Browser, demo: PageBox, module: str, name: str, values: dict[str, Any]
) -> Iterator[Visit]:
    """Show one editor alone, on the page's own stylesheets."""
    property_, value = values.pop("edits")
    with visit(browser, demo, user=None) as person:
        person.page.goto(demo.url)
        person.heading().wait_for()
        person.page.evaluate(
            MOUNT,
            {
                "module": module,
                "name": name,
                "property": property_,
                "value": value,
                "rest": {"picture": PICTURE, **values},
            },
        )
        expect(person.heading()).to_have_text("Editor")
        yield person


def held(page: Page) -> Any:
    return json.loads(page.evaluate("JSON.stringify(held.value)"))


def areas(browser: Browser, demo: PageBox, *given: dict[str, Any], **more: Any) -> Any:
    values = {
        "edits": ("areas", list(given)),
        "kinds": ["include", "exclude", "mask", "roi"],
        **more,
    }
    return editor(browser, demo, "polygon_editor", "PolygonEditor", values)


def boxes(browser: Browser, demo: PageBox, *given: dict[str, Any], **more: Any) -> Any:
    values = {"edits": ("boxes", list(given)), "labels": ["bolt", "nut", "washer"], **more}
    return editor(browser, demo, "box_editor", "BoxEditor", values)


def at(page: Page, stage: str, x: float, y: float) -> tuple[float, float]:
    """Return the pixel of a place on the picture (0..1)."""
    found = page.locator(stage).bounding_box()
    assert found is not None
    return found["x"] + x * found["width"], found["y"] + y * found["height"]


def drag(page: Page, stage: str, *way: tuple[float, float]) -> None:
    page.mouse.move(*at(page, stage, *way[0]))
    page.mouse.down()
    for point in way[1:]:
        page.mouse.move(*at(page, stage, *point), steps=4)
    page.mouse.up()


def near(points: Any, wanted: Any) -> bool:
    flat = [value for point in points for value in point]
    return flat == pytest.approx([v for point in wanted for v in point], abs=0.006)


# -- areas --------------------------------------------------------------------------------------


def test_an_area_is_drawn_corner_by_corner(browser: Browser, demo: PageBox) -> None:
    with areas(browser, demo) as person:
        page = person.page
        page.get_by_role("button", name="Privacy mask", exact=True).click()
        for corner in ((0.1, 0.1), (0.5, 0.1), (0.3, 0.6)):
            page.mouse.click(*at(page, ".areas__stage", *corner))
        page.mouse.click(*at(page, ".areas__stage", 0.1, 0.1))  # the first one closes it
        [mask] = held(page)
        assert mask["kind"] == "mask"
        assert near(mask["points"], [[0.1, 0.1], [0.5, 0.1], [0.3, 0.6]])
        assert person.barriers() == []


def test_drawing_is_given_up_with_escape_and_one_corner_taken_back(
    browser: Browser, demo: PageBox
) -> None:
    with areas(browser, demo) as person:
        page = person.page
        page.get_by_role("button", name="Do not look here", exact=True).click()
        for corner in ((0.1, 0.1), (0.5, 0.1), (0.9, 0.9), (0.3, 0.6)):
            page.mouse.click(*at(page, ".areas__stage", *corner))
        page.keyboard.press("Backspace")
        page.keyboard.press("Enter")
        [area] = held(page)
        assert near(area["points"], [[0.1, 0.1], [0.5, 0.1], [0.9, 0.9]])

        page.get_by_role("button", name="Do not look here", exact=True).click()
        page.mouse.click(*at(page, ".areas__stage", 0.2, 0.8))
        page.keyboard.press("Escape")
        assert len(held(page)) == 1


def test_an_area_by_keyboard_alone(browser: Browser, demo: PageBox) -> None:
    with areas(browser, demo) as person:
        page = person.page
        page.get_by_role("button", name="Privacy mask: put one into the middle").focus()
        page.keyboard.press("Enter")
        corner = page.get_by_role("button", name="Privacy mask 1, corner 1 of 4")
        expect(corner).to_be_focused()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
        assert held(page)[0]["points"][0] == [0.295, 0.25]

        page.keyboard.press("+")
        expect(page.get_by_role("button", name="corner 2 of 5")).to_be_visible()
        page.keyboard.press("Alt+ArrowRight")
        assert held(page)[0]["points"][0] == [0.3, 0.25]

        page.get_by_role("button", name="corner 2 of 5").focus()
        page.keyboard.press("Delete")
        assert len(held(page)[0]["points"]) == 4
        page.get_by_role("button", name="Remove Privacy mask 1").focus()
        page.keyboard.press("Enter")
        assert held(page) == []


def test_corners_and_areas_are_dragged_and_stay_in_the_picture(
    browser: Browser, demo: PageBox
) -> None:
    with areas(browser, demo, {"kind": "include", "points": SQUARE}) as person:
        page = person.page
        drag(page, ".areas__stage", (0.4, 0.4), (0.6, 0.7))
        assert near(held(page)[0]["points"], [*SQUARE[:2], [0.6, 0.7], SQUARE[3]])
        drag(page, ".areas__stage", (0.3, 0.3), (1.4, 0.3))
        assert max(x for x, _ in held(page)[0]["points"]) == 1.0
        widths = [x for x, _ in held(page)[0]["points"]]
        assert max(widths) - min(widths) == pytest.approx(0.4, abs=0.01)


def test_the_region_of_interest_stays_a_rectangle_and_alone(
    browser: Browser, demo: PageBox
) -> None:
    with areas(browser, demo) as person:
        page = person.page
        page.get_by_role("button", name="Region of interest", exact=True).click()
        drag(page, ".areas__stage", (0.8, 0.9), (0.2, 0.1))
        assert near(held(page)[0]["points"], [[0.2, 0.1], [0.8, 0.1], [0.8, 0.9], [0.2, 0.9]])
        drag(page, ".areas__stage", (0.8, 0.1), (0.7, 0.3))
        assert near(held(page)[0]["points"], [[0.2, 0.3], [0.7, 0.3], [0.7, 0.9], [0.2, 0.9]])
        expect(page.get_by_role("button", name="Region of interest", exact=True)).to_be_disabled()


# -- boxes --------------------------------------------------------------------------------------

BOLT = {"label": "bolt", "x": 0.2, "y": 0.2, "width": 0.2, "height": 0.2, "confidence": 0.61}


def corners(box: dict[str, float]) -> list[list[float]]:
    return [[box["x"], box["y"]], [box["width"], box["height"]]]


def test_a_box_is_drawn_moved_and_resized(browser: Browser, demo: PageBox) -> None:
    with boxes(browser, demo) as person:
        page = person.page
        page.get_by_role("button", name="nut 2").click()
        drag(page, ".boxes__stage", (0.5, 0.5), (0.3, 0.2))
        [box] = held(page)
        assert box["label"] == "nut"
        assert near(corners(box), [[0.3, 0.2], [0.2, 0.3]])

        drag(page, ".boxes__stage", (0.4, 0.35), (0.6, 0.45))
        assert near(corners(held(page)[0]), [[0.5, 0.3], [0.2, 0.3]])
        drag(page, ".boxes__stage", (0.7, 0.6), (0.9, 0.9))
        assert near(corners(held(page)[0]), [[0.5, 0.3], [0.4, 0.6]])
        assert person.barriers() == []


def test_a_click_beside_a_box_makes_none(browser: Browser, demo: PageBox) -> None:
    with boxes(browser, demo, BOLT) as person:
        person.page.mouse.click(*at(person.page, ".boxes__stage", 0.8, 0.8))
        assert held(person.page) == [BOLT]


def test_boxes_by_keyboard_alone(browser: Browser, demo: PageBox) -> None:
    with boxes(browser, demo, BOLT) as person:
        page = person.page
        page.get_by_role("button", name="Box 1").focus()
        page.keyboard.press("2")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowDown")
        [box] = held(page)
        assert box["label"] == "nut"
        assert near(corners(box), [[0.205, 0.2], [0.2, 0.205]])

        page.keyboard.press("b")
        expect(page.get_by_role("button", name="Box 2")).to_be_focused()
        assert [one["label"] for one in held(page)] == ["nut", "nut"]
        page.keyboard.press("3")
        page.keyboard.press("Delete")
        expect(page.get_by_role("button", name="Box 1")).to_be_focused()
        page.keyboard.press("Delete")
        assert held(page) == []


def test_nothing_is_changed_where_nothing_may_be(browser: Browser, demo: PageBox) -> None:
    with boxes(browser, demo, BOLT, disabled=True) as person:
        page = person.page
        drag(page, ".boxes__stage", (0.3, 0.3), (0.6, 0.6))
        page.get_by_role("button", name="Box 1").focus()
        for key in ("Delete", "ArrowRight", "2", "b"):
            page.keyboard.press(key)
        assert held(page) == [BOLT]
