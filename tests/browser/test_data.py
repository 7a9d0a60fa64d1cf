"""Data: charts, results and downloads; the gallery, the review of a picture, and uploads."""

import csv
import io
import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from nxai_common.contracts.models import Task
from nxai_common.contracts.results import Classification
from support.browser import PATIENCE_MS, THEMES, Size, Theme, Visit, visit
from support.edge_impulse import Emulator, Impulse, Project, running
from support.edge_impulse.server import Urls
from support.page import PASSWORD, PageBox, page_box
from support.results import detection, result
from support.samples import jpeg, message
from support.waiting import wait_for

expect.set_options(timeout=PATIENCE_MS)
KEY = "ei_0123456789abcdef0123456789abcdef"
VIEWER = "victor"
WIDTH, HEIGHT = 640, 480
RESULTS = 240
"""Of each version of the model, four a minute, so that the hour of the charts has both."""
SETTINGS: dict[str, Any] = {
    "version": 1,
    "cameras": [
        {
            "id": "front",
            "name": "Front door",
            "source": {"type": "demo", "fps": 1},
            "models": ["demo-parts"],
            "run": False,
            "collect": {
                "enabled": True,
                "min_gap_s": 0,
                "near_duplicate_bits": 0,
                "quotas": {"per_minute": 0, "per_hour": 0, "per_day": 0, "label_per_day": 0},
            },
        }
    ],
    "models": [{"id": "demo-parts", "path": "demo-parts"}],
}


@dataclass
class Desk:
    """A box that has data, and what tests do with it."""

    box: PageBox
    project: Project
    urls: Urls
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def log_results(self) -> None:
        """Let the data logger have an hour: an unsure version, then a surer one."""
        now_us = int(time.time() * 1e6)
        step_us = 14_000_000
        for number in range(RESULTS):
            old = number < RESULTS // 2
            at_us = now_us - (RESULTS - number) * step_us
            found = [] if number % 4 == 0 else [detection("nut", 0.62 if old else 0.91)]
            if number % 4 == 2:
                found.append(detection("washer", 0.77, (300.0, 200.0, 60.0, 40.0)))
            self.box.stack.bus.publish(
                result(
                    number,
                    found,
                    model="demo-parts",
                    model_version="1" if old else "2",
                    labels=("nut", "washer"),
                    captured_at_us=at_us,
                    uncertain=number % (3 if old else 30) == 0,
                )
            )
        wait_for(
            lambda: self.box.call("GET", "/data/logger")["rows"] >= RESULTS, 30, "all are stored"
        )

    def keep(self, label: str, count: int, **changes: Any) -> list[str]:
        """Have pictures that show a label of the test's own; return their names, newest first."""
        for _ in range(count):
            number = next(self.numbers)
            fields = {
                "width": WIDTH,
                "height": HEIGHT,
                "attachment": jpeg(number, WIDTH, HEIGHT),
                "captured_at_us": int(time.time() * 1e6) + number * 1000,
                "model": "demo-parts",
                "labels": ("bolt", label),
                "detections": (detection(label, 0.41, (80, 80, 160, 120)),),
                **changes,
            }
            self.box.stack.bus.publish(message(number, **fields))
        wait_for(lambda: len(self.samples(label)) == count, 30, f"{count} pictures of {label}")
        return [sample["id"] for sample in self.samples(label)]

    def samples(self, label: str) -> list[dict[str, Any]]:
        told = self.box.call("GET", "/samples", params={"label": label})
        found: list[dict[str, Any]] = told["samples"]
        return found

    def sample(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.box.call("GET", f"/samples/{name}")["sample"]
        return found

    def link(self) -> None:
        """Link the project, unless that was done."""
        if self.box.call("GET", "/project")["link"] is None:
            link = {"key": KEY, "studio": self.urls.studio, "ingestion": self.urls.ingestion}
            self.box.call("PUT", "/project", json=link)
        wait_for(lambda: self.box.call("GET", "/project")["link"], 30, "the project is linked")

    def state(self, name: str) -> str:
        return str(self.sample(name)["state"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    emulator = Emulator()
    project = emulator.add_project("Conveyor nuts", key=KEY)
    project.add_impulse(Impulse())
    folder = tmp_path_factory.mktemp("data")
    with running(emulator) as urls, page_box(folder, settings=SETTINGS) as box:
        box.call("POST", "/users", json={"name": VIEWER, "role": "viewer", "password": PASSWORD})
        wait_for(
            lambda: box.call("GET", "/samples/counts")["limits"]["per_day"] == {"front": 0},
            30,
            "pictures of the camera are kept",
        )
        made = Desk(box, project, urls)
        made.log_results()
        yield made


def chart(page: Page, title: str) -> Locator:
    return page.locator("figure").filter(has=page.get_by_role("heading", name=title))


def results(page: Page) -> Locator:
    return page.get_by_role("region", name="Results", exact=True)


def picture_links(page: Page) -> Locator:
    return page.get_by_role("list", name="Pictures").get_by_role("link")


def open_first(person: Visit, label: str) -> None:
    """Review the first picture of a label."""
    person.go(f"data/samples?label={label}")
    picture_links(person.page).first.click()
    expect(person.page.get_by_role("group", name="Decision")).to_be_visible()


def shows(page: Page, name: str, place: str) -> None:
    """Wait until a picture is reviewed."""
    expect(page).to_have_url(re.compile(f"samples/{name}"))
    expect(page.get_by_text(place, exact=True)).to_be_visible()


# -- charts and results ----------------------------------------------------------------------------


def test_charts_say_whether_retraining_helped(browser: Browser, desk: Desk) -> None:
    with visit(browser, desk.box) as person:
        page = person.page
        person.go("data")
        card = page.get_by_role("region", name="Low certainty per model version")
        expect(card.get_by_text("Retraining helped")).to_be_visible()
        expect(
            card.get_by_text(
                re.compile(r"Version 2 of demo-parts is unsure in 3.3% .* version 1 was in 33.3%")
            )
        ).to_be_visible()

        counted = chart(page, "Objects counted")
        expect(counted.locator("canvas")).to_be_visible()
        nut = counted.get_by_role("button", name=re.compile("^nut"))
        expect(nut).to_have_attribute("aria-pressed", "true")
        nut.click()
        expect(nut).to_have_attribute("aria-pressed", "false")

        counted.get_by_role("button", name="As a table").click()
        table = counted.get_by_role("table", name="Objects counted")
        expect(table.get_by_role("columnheader")).to_have_text(
            ["Time", "nut, mean", "nut, most", "washer, mean", "washer, most"]
        )


def test_dragging_in_a_chart_zooms_and_back_undoes_it(browser: Browser, desk: Desk) -> None:
    with visit(browser, desk.box) as person:
        page = person.page
        person.go("data")
        plot = chart(page, "Objects counted").locator(".u-over")
        box = plot.bounding_box()
        assert box
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.25, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, y, steps=4)
        page.mouse.up()
        expect(page).to_have_url(re.compile("since=.*until="))
        expect(page.get_by_role("radio", name="Custom")).to_be_checked()
        expect(page.get_by_label("From", exact=True)).to_be_visible()
        page.go_back()
        expect(page.get_by_role("radio", name="1 hour")).to_be_checked()


def test_results_are_filtered_read_and_loaded_further(browser: Browser, desk: Desk) -> None:
    with visit(browser, desk.box) as person:
        page = person.page
        person.go("data")
        rows = results(page).locator("tbody tr")
        expect(rows).to_have_count(50)
        results(page).get_by_role("button", name="Load more").click()
        expect(rows).to_have_count(100)

        results(page).get_by_label("Certainty").select_option(label="Only unsure")
        unsure = results(page).locator("tbody tr").filter(has_text="unsure")
        expect(rows).to_have_count(RESULTS // 6 + RESULTS // 60)
        expect(unsure).to_have_count(RESULTS // 6 + RESULTS // 60)
        results(page).get_by_label("Found").select_option(label="Nothing found")
        expect(rows.first).to_contain_text("nothing")

        results(page).get_by_label("Certainty").select_option(label="Sure and unsure")
        page.get_by_role("region", name="What is shown").get_by_label("Label").select_option(
            "washer"
        )
        results(page).get_by_label("Found").select_option(label="Something found")
        expect(page).to_have_url(re.compile("label=washer"))
        expect(rows.first).to_contain_text("washer")
        rows.first.get_by_role("button", name=re.compile("^Details")).click()
        dialog = page.get_by_role("dialog", name=re.compile("^Result of"))
        table = dialog.get_by_role("table", name="Objects")
        expect(table.get_by_role("row").nth(2)).to_contain_text("washer")
        assert person.barriers() == []
        dialog.get_by_role("button", name="Show JSON").click()
        expect(dialog.get_by_text('"picture_width"')).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


def test_downloads_hold_what_is_shown(browser: Browser, desk: Desk) -> None:
    with visit(browser, desk.box) as person:
        page = person.page
        person.go("data?label=washer")
        results(page).get_by_role("button", name="Download").click()
        expect(page.get_by_text(f"among about {RESULTS} in this time")).to_be_visible()
        assert person.barriers() == []
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile("a line for each object")).click()
        lines = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
        assert {line["label"] for line in lines} == {"washer"}
        assert len(lines) == RESULTS // 4
        assert download.value.suggested_filename.endswith(".csv")


# -- gallery ---------------------------------------------------------------------------------------


def test_pictures_are_chosen_and_decided_by_keyboard(browser: Browser, desk: Desk) -> None:
    names = desk.keep("rivet", 5)
    with visit(browser, desk.box) as person:
        page = person.page
        person.go("data/samples?label=rivet")
        links = picture_links(page)
        expect(links).to_have_count(5)
        expect(links.first).to_have_accessible_name(
            re.compile(r"Front door, .*: rivet\. New\. Nut 0\.41 is below 0\.5")
        )
        links.first.focus()
        page.keyboard.press("Space")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        bar = page.get_by_role("toolbar", name="Chosen pictures")
        expect(bar).to_contain_text("3 chosen")
        assert person.barriers() == []
        page.keyboard.press("d")
        expect(page.get_by_text("3 pictures discarded.")).to_be_visible()
        assert [desk.state(name) for name in names] == ["discarded"] * 3 + ["new"] * 2

        page.keyboard.press("u")
        expect(page.get_by_text("Taken back.")).to_be_visible()
        assert [desk.state(name) for name in names] == ["new"] * 5

        page.keyboard.press("Control+a")
        expect(bar).to_contain_text("5 chosen")
        bar.get_by_role("button", name="Approve").click()
        expect(page.get_by_text("5 pictures approved.")).to_be_visible()
        for name in names:
            sample = desk.sample(name)
            assert sample["state"] == "approved"
            assert [box["label"] for box in sample["boxes"]] == ["rivet"]


def test_what_was_decided_leaves_the_list_of_its_state(browser: Browser, desk: Desk) -> None:
    (name,) = desk.keep("spring", 1)
    with visit(browser, desk.box) as person:
        page = person.page
        person.go("data/samples?label=spring&state=new")
        expect(picture_links(page)).to_have_count(1)
        page.get_by_role("checkbox", name=re.compile("^Choose the picture")).check()
        page.get_by_role("button", name="More to do with the chosen").click()
        page.get_by_role("menuitem", name=re.compile("^Without labels")).click()
        expect(page.get_by_text("No picture fits")).to_be_visible()
        assert desk.sample(name)["boxes"] is None
        page.get_by_role("navigation", name="Pictures by state").get_by_role(
            "link", name=re.compile("^Approved")
        ).click()
        expect(picture_links(page)).to_have_count(1)


# -- review ----------------------------------------------------------------------------------------


def test_a_person_looks_through_pictures_by_keyboard_alone(browser: Browser, desk: Desk) -> None:
    first, second, third, fourth = desk.keep("bracket", 4)
    with visit(browser, desk.box) as person:
        page = person.page
        open_first(person, "bracket")
        shows(page, first, "1 of 4")
        page.keyboard.press("a")
        shows(page, second, "2 of 4")
        page.keyboard.press("n")
        shows(page, third, "3 of 4")
        page.keyboard.press("d")
        shows(page, fourth, "4 of 4")
        page.keyboard.press("u")  # the discarded one is new again, and shown
        shows(page, third, "3 of 4")
        page.keyboard.press("j")
        shows(page, fourth, "4 of 4")
        page.keyboard.press("ArrowLeft")
        shows(page, third, "3 of 4")
        page.keyboard.press("Escape")
        expect(picture_links(page)).to_have_count(4)
        expect(picture_links(page).nth(2)).to_be_focused()  # where it was left

    (box,) = desk.sample(first)["boxes"]
    assert (box["label"], box["x"], box["width"]) == ("bracket", 80, 160)
    assert desk.sample(second)["boxes"] == []
    assert desk.state(third) == desk.state(fourth) == "new"


def test_boxes_are_corrected_and_not_lost(browser: Browser, desk: Desk) -> None:
    first, second = desk.keep("hinge", 2)
    with visit(browser, desk.box) as person:
        page = person.page
        open_first(person, "hinge")
        stage = page.get_by_role("group", name=re.compile("^Picture of Front door"))
        area = stage.bounding_box()
        assert area
        assert area["width"] / area["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.01)

        def at(x: float, y: float) -> tuple[float, float]:
            return area["x"] + x * area["width"], area["y"] + y * area["height"]

        page.mouse.move(*at(0.6, 0.6))
        page.mouse.down()
        page.mouse.move(*at(0.8, 0.9), steps=4)
        page.mouse.up()
        page.keyboard.press("1")  # the new one is a bolt
        boxes = page.get_by_role("list").filter(has=page.get_by_label("Label of box 1"))
        expect(boxes.get_by_role("listitem")).to_have_count(2)
        expect(page.get_by_label("Label of box 2").locator("option:checked")).to_have_text("bolt")
        stage.get_by_role("button", name=re.compile("^Box 1")).focus()
        page.keyboard.press("Alt+ArrowRight")  # 5 % to the right

        page.keyboard.press("j")
        dialog = page.get_by_role("dialog", name="Leave without keeping the boxes?")
        expect(dialog).to_be_visible()
        dialog.get_by_role("button", name="Stay").click()
        shows(page, first, "1 of 2")
        page.get_by_role("button", name="Approve with your 2 boxes").click()
        expect(page).to_have_url(re.compile(second))

    moved, drawn = desk.sample(first)["boxes"]
    assert (moved["label"], drawn["label"]) == ("hinge", "bolt")
    assert moved["x"] == pytest.approx(80 + 0.05 * WIDTH, abs=0.5)
    assert drawn["x"] == pytest.approx(0.6 * WIDTH, abs=3)
    assert drawn["height"] == pytest.approx(0.3 * HEIGHT, abs=3)


def test_boxes_are_relabelled_removed_and_brought_back(browser: Browser, desk: Desk) -> None:
    (name,) = desk.keep("clamp", 1)
    with visit(browser, desk.box) as person:
        page = person.page
        open_first(person, "clamp")
        page.get_by_role("button", name=re.compile("^Remove box 1")).click()
        expect(page.get_by_role("button", name="Approve: nothing on it")).to_be_visible()
        page.keyboard.press("Control+z")
        page.get_by_label("Label of box 1").select_option("bolt")
        page.get_by_label("A label that the model does not have").fill("clip")
        page.keyboard.press("Enter")
        page.get_by_label("Label of box 1").select_option("clip")
        page.get_by_role("button", name="Approve with your box").click()
        expect(page.get_by_text("That was the last one.")).to_be_visible()
    assert [box["label"] for box in desk.sample(name)["boxes"]] == ["clip"]


def test_a_class_is_chosen_by_its_key(browser: Browser, desk: Desk) -> None:
    (name,) = desk.keep(
        "scratched",
        1,
        task=Task.CLASSIFICATION,
        labels=("ok", "scratched"),
        detections=(),
        classifications=(
            Classification(label="scratched", confidence=0.52),
            Classification(label="ok", confidence=0.48),
        ),
    )
    with visit(browser, desk.box) as person:
        page = person.page
        open_first(person, "scratched")
        expect(page.get_by_role("radio", name=re.compile("scratched"))).to_be_checked()
        page.keyboard.press("1")
        expect(page.get_by_role("radio", name=re.compile("^ok"))).to_be_checked()
        assert person.barriers() == []
        page.keyboard.press("Enter")
        expect(page.get_by_text("That was the last one.")).to_be_visible()
    (box,) = desk.sample(name)["boxes"]
    assert (box["label"], box["width"], box["height"]) == ("ok", WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "name",
    ["front-20200101t000000000-0a0a0a0a", "front-20209999t000000000-0a0a0a0a", "front", "0"],
)
def test_a_name_that_no_picture_has(desk: Desk, name: str) -> None:
    told = desk.box.call("GET", f"/samples/{name}", status=404)
    assert told["detail"] == f"there is no picture {name!r}"


def test_a_picture_that_is_gone(browser: Browser, desk: Desk) -> None:
    with visit(browser, desk.box) as person:
        person.excuse("404 GET .*/samples/")
        person.page.goto(f"{desk.box.url}/#/data/samples/front-20200101t000000000-0a0a0a0a")
        expect(person.page.get_by_text("This picture is not there any more")).to_be_visible()
        person.page.get_by_role("link", name="To all pictures").click()
        expect(person.heading()).to_have_text("Data")


# -- uploads ---------------------------------------------------------------------------------------


def test_approved_pictures_go_up_and_the_history_says_so(browser: Browser, desk: Desk) -> None:
    names = desk.keep("gasket", 3)
    box = desk.box
    box.call(
        "POST",
        "/samples/review",
        json={"samples": names[:2], "decision": "approved", "confirm_predictions": True},
    )
    with visit(browser, box) as person:
        page = person.page
        person.go("data/uploads")
        page.get_by_role("button", name="Upload to Edge Impulse").click()
        dialog = page.get_by_role("dialog", name="Upload to Edge Impulse")
        expect(dialog.get_by_text("No Edge Impulse project is linked")).to_be_visible()
        expect(dialog.get_by_role("link", name="Link a project")).to_have_attribute(
            "href", "#/model"
        )
        page.keyboard.press("Escape")

        desk.link()
        person.go("data/samples?label=gasket")
        checks = page.get_by_role("checkbox", name=re.compile("^Choose the picture"))
        for number in range(2):
            checks.nth(number).check()
        page.get_by_role("button", name="Upload to Edge Impulse").click()
        expect(dialog).to_contain_text("To project Conveyor nuts")
        dialog.get_by_role("radio", name=re.compile("Only the 2 chosen")).check()
        assert person.barriers() == []
        dialog.get_by_role("button", name="Send 2 pictures").click()
        expect(page.get_by_text("2 pictures were uploaded")).to_be_visible()
        expect(picture_links(page).first).to_have_accessible_name(re.compile("Uploaded"))

        page.get_by_role("link", name="Uploads").click()
        row = page.get_by_role("table", name="Uploads, newest first").get_by_role("row").nth(1)
        expect(row).to_contain_text("demo-parts")
        expect(row).to_contain_text("Done")
        expect(row.get_by_role("cell").nth(3)).to_have_text("2")
    at_edge_impulse = {sample.filename.removesuffix(".jpg") for sample in desk.project.uploaded()}
    assert at_edge_impulse == set(names[:2])


def test_an_upload_that_fails_says_why(browser: Browser, desk: Desk) -> None:
    names = desk.keep("grommet", 1)
    box = desk.box
    box.call("POST", "/samples/review", json={"samples": names, "decision": "approved"})
    desk.link()
    try:
        with visit(browser, box) as person:
            page = person.page
            person.go("data/samples?label=grommet")
            page.get_by_role("button", name="Upload to Edge Impulse").click()
            send = page.get_by_role("dialog").get_by_role("button", name=re.compile("^Send"))
            expect(send).to_be_enabled()
            # Only now: of a key that is known to be refused the dialog would warn.
            desk.project.revoke(KEY)
            send.click()
            alert = page.get_by_role("alert").filter(has_text="The upload did not get through")
            expect(alert).to_contain_text("key")
            alert.get_by_role("button", name="Close").click()
            expect(alert).to_have_count(0)
            person.go("data/uploads")
            row = page.get_by_role("table", name="Uploads, newest first").get_by_role("row").nth(1)
            expect(row).to_contain_text("Failed")
    finally:
        desk.project.add_key(KEY)
    assert desk.state(names[0]) == "approved"


# -- for everybody ---------------------------------------------------------------------------------


def test_a_viewer_looks_but_decides_nothing(browser: Browser, desk: Desk) -> None:
    (name,) = desk.keep("plate", 1)
    with visit(browser, desk.box, user=(VIEWER, PASSWORD)) as person:
        page = person.page
        open_first(person, "plate")
        expect(page.get_by_role("button", name=re.compile("^Discard"))).to_have_attribute(
            "aria-disabled", "true"
        )
        expect(page.get_by_text("Viewers cannot approve or discard pictures.")).to_be_visible()
        page.keyboard.press("d")
        page.keyboard.press("Escape")
        expect(picture_links(page)).to_have_count(1)
        expect(page.get_by_role("button", name="Upload to Edge Impulse")).to_have_attribute(
            "aria-disabled", "true"
        )
    assert desk.state(name) == "new"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", ["narrow", "desk"])
def test_nobody_is_shut_out_and_nothing_is_too_wide(
    browser: Browser, desk: Desk, size: Size, theme: Theme
) -> None:
    name = (desk.samples("panel") or [{"id": ""}])[0]["id"] or desk.keep("panel", 1)[0]
    asked: list[str] = []
    with visit(browser, desk.box, size=size, theme=theme) as person:
        page = person.page
        page.on("request", lambda request: asked.append(request.url))
        for where, what in (
            ("data", chart(page, "Latency and inference").locator("canvas")),
            ("data/samples", picture_links(page).first),
            (f"data/samples/{name}", page.get_by_role("group", name="Decision")),
            ("data/uploads", page.get_by_role("heading", level=1)),
        ):
            person.go(where)
            expect(what).to_be_visible()
            assert person.barriers() == [], where
            assert person.overflow() == 0, where
    here = (desk.box.url, "blob:", "data:", desk.box.url.replace("http", "ws"))
    assert [url for url in asked if not url.startswith(here)] == []


def test_boxes_are_moved_by_touch(browser: Browser, desk: Desk) -> None:
    (name,) = desk.keep("lever", 1)
    with visit(browser, desk.box, size="phone") as person:
        page = person.page
        open_first(person, "lever")
        box = page.get_by_role("button", name=re.compile("^Box 1"))
        area = box.bounding_box()
        assert area
        x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
        touch = person.context.new_cdp_session(page)
        for kind, points in (
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": x + 30, "y": y}]),
            ("touchMove", [{"x": x + 60, "y": y + 20}]),
            ("touchEnd", []),
        ):
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.get_by_role("button", name="Approve with your box").click()
        expect(page.get_by_text("That was the last one.")).to_be_visible()
    (moved,) = desk.sample(name)["boxes"]
    assert moved["x"] > 80 + 60
    assert moved["width"] == pytest.approx(160, abs=0.1)


def test_a_logger_that_is_off_is_said(browser: Browser, desk: Desk) -> None:
    def logger(*, enabled: bool) -> None:
        desk.box.write_settings({**SETTINGS, "logger": {"enabled": enabled}})
        wait_for(lambda: desk.box.call("GET", "/data/logger")["enabled"] is enabled, 30, "it is so")

    logger(enabled=False)
    try:
        with visit(browser, desk.box) as person:
            person.go("data")
            note = person.page.get_by_role("note").filter(has_text="is switched off")
            expect(note).to_be_visible()
            expect(note.get_by_role("link", name="Open Output")).to_have_attribute(
                "href", "#/output"
            )
            expect(results(person.page).locator("tbody tr").first).to_be_visible()
    finally:
        logger(enabled=True)
