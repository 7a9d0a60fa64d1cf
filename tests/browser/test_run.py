"""Run: what is seen live belongs together, starting and stopping, the test, and who may do what."""

import json
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from nxai_common.contracts.outputs import Detections
from support.browser import PATIENCE_MS, THEMES, Size, Theme, Visit, visit
from support.page import PASSWORD, PageBox, page_box
from support.stack import listening
from support.waiting import wait_for

expect.set_options(timeout=PATIENCE_MS)
VIEWER = "victor"
SETTINGS: dict[str, Any] = {
    "version": 1,
    "device": {"name": "Hall 2"},
    "cameras": [
        {
            "id": "belt",
            "name": "Belt",
            "source": {"type": "demo", "width": 640, "height": 360, "fps": 10},
            "models": ["demo-parts"],
        },
        {
            "id": "gate",
            "name": "Gate with a name that is much longer than any tile is wide",
            "source": {"type": "rtsp", "url": "rtsp://127.0.0.1:1/stream"},
            "models": ["demo-parts"],
        },
        {
            "id": "yard",
            "name": "Yard",
            "source": {"type": "demo", "width": 320, "height": 180, "fps": 2, "seed": 3},
            "models": [],
        },
    ],
    "models": [{"id": "demo-parts", "path": "demo-parts"}],
}
KEEP_DRAWN = """
    window.drawn = [];
    addEventListener("nxai:drawn", ({ detail }) => window.drawn.push(detail));
"""
"""Keep what tiles tell of each drawing."""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBox]:
    with page_box(tmp_path_factory.mktemp("run"), settings=SETTINGS) as made:
        made.call("POST", "/users", json={"name": VIEWER, "role": "viewer", "password": PASSWORD})
        yield made


def picture(page: Page, name: str) -> Locator:
    return page.get_by_role("img", name=f"Live picture of {name}")


def tile(page: Page, name: str) -> Locator:
    return page.get_by_role("listitem").filter(has=picture(page, name))


def control(page: Page) -> Locator:
    return page.get_by_role("region", name="Run and stop")


def is_live(page: Page, name: str) -> None:
    expect(picture(page, name)).to_have_attribute("data-exact", "true")


# -- live ------------------------------------------------------------------------------------------


def test_boxes_belong_to_the_very_picture_that_is_shown(browser: Browser, box: PageBox) -> None:
    found: dict[tuple[str, int], Detections] = {}
    with visit(browser, box) as person, listening(box.stack, Detections) as listener:
        person.page.add_init_script(KEEP_DRAWN)
        person.go("run")
        is_live(person.page, "Belt")

        def drawn() -> list[dict[str, Any]]:
            while (message := listener.try_next(0.05)) is not None and len(found) < 2000:
                assert isinstance(message, Detections)
                found[message.stream, message.sequence] = message
            told: list[dict[str, Any]] = person.page.evaluate("window.drawn")
            return [
                one
                for one in told
                if one["camera"] == "belt"
                and one["exact"]
                and (one["stream"], one["sequence"]) in found
            ]

        wait_for(lambda: len(drawn()) >= 20, 30, "twenty pictures with their boxes")
        for one in drawn():
            message = found[one["stream"], one["sequence"]]
            assert one["boxes"] == len(message.objects)
            told_ms = message.timestamp_ms + message.latency_ms
            assert one["result_ms"] == pytest.approx(told_ms)
            assert one["drawn_ms"] >= told_ms


MATCH = """async () => {
    const { FrameMatcher } = await import(new URL("js/components/live_tile.js", document.baseURI));
    const result = (sequence, more) => ({
        model: "m", stream: "s", sequence, timestamp_ms: sequence * 100, latency_ms: 5, ...more });
    const frame = (sequence, stream = "s") => ({
        stream, sequence, captured_at_us: sequence * 100_000 });
    const tell = ({ found, exact, waits }) => ({
        found: found.map(({ model, sequence }) => `${model}${sequence}`), exact, waits });
    const one = new FrameMatcher();
    const out = { nothing: tell(one.match(frame(1))) };
    one.add(result(1), 0);
    one.add(result(3), 10);
    out.exact = tell(one.match(frame(3)));
    out.older = tell(one.match(frame(5)));
    out.never = tell(one.match(frame(2)));
    out.tooOld = tell(one.match(frame(9)));
    out.silent = tell(one.match(frame(60)));
    out.otherRun = tell(one.match(frame(4, "t")));
    out.unknown = tell(one.match({}, 20));
    out.unknownLate = tell(one.match({}, 2000));
    one.add(result(5, { model: "n" }), 20);
    out.oneOfTwo = tell(one.match(frame(5)));
    one.add(result(5), 30);
    out.both = tell(one.match(frame(5)));
    for (let sequence = 6; sequence < 100; sequence += 1) one.add(result(sequence), 40);
    out.kept = one.results.get("m").length;
    return out;
}"""


def test_results_are_matched_to_their_frame(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        person.go("run")
        told = person.page.evaluate(MATCH)
    assert told["nothing"] == {"found": [], "exact": False, "waits": False}
    assert told["exact"] == {"found": ["m3"], "exact": True, "waits": False}
    # Drawn with what was found just before, until its own result comes ...
    assert told["older"] == {"found": ["m3"], "exact": False, "waits": True}
    # ... which never does once a later frame's has come ...
    assert told["never"] == {"found": ["m1"], "exact": False, "waits": False}
    # ... and half a second is the limit; a model that finds nothing any more is not waited for.
    assert told["tooOld"] == {"found": [], "exact": False, "waits": True}
    assert told["silent"] == {"found": [], "exact": False, "waits": False}
    assert told["otherRun"] == {"found": [], "exact": False, "waits": False}
    # A picture that does not say which frame it is has the newest.
    assert told["unknown"] == {"found": ["m3"], "exact": False, "waits": False}
    assert told["unknownLate"]["found"] == []
    assert told["oneOfTwo"] == {"found": ["m3", "n5"], "exact": False, "waits": True}
    assert told["both"] == {"found": ["m5", "n5"], "exact": True, "waits": False}
    assert told["kept"] == 30


DRAW = """async () => {
    const at = (path) => import(new URL(path, document.baseURI));
    const { drawFound } = await at("js/components/overlay.js");
    const { manifests } = await at("js/live.js");
    manifests.value = new Map([
        ["dots", { model: "dots", task: "fomo", labels: ["a"] }],
        ["boxes", { model: "boxes", task: "yolov5", labels: ["a"] }]]);
    const object = { label: "a", confidence: 0.9, x: 0.2, y: 0.2, width: 0.6, height: 0.6 };
    const draw = (model, more) => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 200, height: 200 });
        const context = canvas.getContext("2d");
        const area = { x: 0, y: 0, width: 200, height: 200 };
        const found = [{ model, objects: [object], counts: { a: 1 }, scores: {} }];
        const count = drawFound(context, area, 1, found, { labels: false, ...more });
        const shown = (x, y) => context.getImageData(x, y, 1, 1).data[3] > 0;
        return { count, middle: shown(100, 100), edge: shown(40, 100) };
    };
    return {
        dots: draw("dots"), boxes: draw("boxes"),
        off: draw("boxes", { boxes: false }), sure: draw("boxes", { threshold: 0.95 }) };
}"""


def test_fomo_is_drawn_as_centroids_and_detectors_as_boxes(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        person.go("start")
        told = person.page.evaluate(DRAW)
    assert told["dots"] == {"count": 1, "middle": True, "edge": False}
    assert told["boxes"] == {"count": 1, "middle": False, "edge": True}
    assert told["off"] == told["sure"] == {"count": 0, "middle": False, "edge": False}


def test_tile_counts_and_says_how_it_runs(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        is_live(page, "Belt")
        belt = tile(page, "Belt")
        counts = belt.get_by_role("list", name="Counts now").get_by_role("listitem")
        expect(counts).to_have_count(3)
        expect(counts.nth(0)).to_contain_text("bolt")
        expect(belt.get_by_text("fps")).to_be_visible()
        expect(control(page)).to_contain_text("1 of 3")

        boxes = page.get_by_role("button", name="Boxes")
        expect(boxes).to_have_attribute("aria-pressed", "true")
        boxes.click()
        expect(picture(page, "Belt")).to_have_attribute("data-boxes", "0")
        page.reload()  # kept in this browser
        expect(boxes).to_have_attribute("aria-pressed", "false")
        expect(picture(page, "Belt")).to_have_attribute("data-boxes", "0")


def test_camera_trouble_says_why_and_where_to_go(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        gate = tile(page, "Gate")
        expect(gate.get_by_text("No picture")).to_be_visible()
        expect(gate.get_by_text("127.0.0.1:1")).to_be_visible()
        link = gate.get_by_role("link", name="To the camera's settings")
        expect(link).to_have_attribute("href", "#/input/gate")
        yard = tile(page, "Yard")
        expect(yard.get_by_text("No model looks at this camera.")).to_be_visible()
        link = yard.get_by_role("link", name="Choose one")
        expect(link).to_have_attribute("href", "#/input/yard")


def test_old_picture_is_unmistakable(browser: Browser, box: PageBox) -> None:
    capture = box.stack.processes["capture"].process
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        is_live(page, "Belt")
        old = tile(page, "Belt").get_by_text("No new picture")
        expect(old).to_have_count(0)
        capture.send_signal(signal.SIGSTOP)
        try:
            expect(old).to_be_visible()
            expect(tile(page, "Belt").get_by_text("Stale")).to_be_visible()
        finally:
            capture.send_signal(signal.SIGCONT)
        expect(old).to_have_count(0)
        is_live(page, "Belt")


# -- run and stop ----------------------------------------------------------------------------------


def test_box_is_stopped_and_started(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        is_live(page, "Belt")
        control(page).get_by_role("button", name="Stop all cameras").click()
        dialog = page.get_by_role("dialog", name="Stop all cameras?")
        expect(dialog).to_contain_text("nothing is sent")
        assert person.barriers() == []
        dialog.get_by_role("button", name="Cancel").click()
        expect(control(page)).to_contain_text("Running")

        control(page).get_by_role("button", name="Stop all cameras").click()
        dialog.get_by_role("button", name="Stop").click()
        expect(control(page)).to_contain_text("Stopped")
        expect(control(page)).to_contain_text("nothing is counted, sent or logged")
        expect(tile(page, "Belt").get_by_text("The box is stopped")).to_be_visible()
        expect(picture(page, "Belt")).to_have_attribute("data-boxes", "0")
        assert box.call("GET", "/run")["running"] is False
        expect(page.get_by_text("so far")).to_have_count(0)  # nobody knows what is there

        control(page).get_by_role("button", name="Run all cameras").click()
        expect(control(page)).to_contain_text("Running")
        is_live(page, "Belt")
        assert box.call("GET", "/run")["running"] is True


def test_one_camera_is_stopped_and_the_mistake_undone(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        is_live(page, "Belt")
        belt = tile(page, "Belt")
        belt.get_by_role("button", name="Belt: more").click()
        page.get_by_role("menuitem", name="Stop this camera").click()
        expect(belt.get_by_text("Camera stopped")).to_be_visible()
        expect(control(page)).to_contain_text("0 of 3")
        page.get_by_role("button", name="Undo").click()
        expect(belt.get_by_text("Camera stopped")).to_have_count(0)
        is_live(page, "Belt")


# -- the test --------------------------------------------------------------------------------------


def test_test_shows_exactly_what_would_be_sent(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        with page.expect_response("**/api/v1/test") as answered:
            page.get_by_role("button", name="Test", exact=True).click()
        dialog = page.get_by_role("dialog", name="Test of one picture each")
        expect(dialog.get_by_role("img", name="The picture that was tested")).to_be_visible()
        tested = {one["camera"]: one for one in answered.value.json()["cameras"]}
        (result,) = tested["belt"]["results"]
        assert result["messages"]
        for message in result["messages"]:
            shown = dialog.get_by_role("region", name=f"Message on {message['topic']}")
            first = json.loads(message["payload"])
            key = next(iter(first[0] if isinstance(first, list) else first))
            expect(shown).to_contain_text(f'"{key}"')
            expect(dialog.get_by_text(message["topic"], exact=True)).to_be_visible()
        assert person.barriers() == []

        dialog.get_by_role("tab", name="Gate").click()
        expect(dialog.get_by_text(tested["gate"]["error"])).to_be_visible()
        assert person.barriers() == []
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


def test_what_the_test_shows_is_copied_letter_for_letter(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.context.grant_permissions(["clipboard-read", "clipboard-write"])
        person.go("run/belt")
        with page.expect_response("**/api/v1/test") as answered:
            page.get_by_role("button", name="Test", exact=True).click()
        messages = answered.value.json()["cameras"][0]["results"][0]["messages"]
        flat = next(one for one in messages if one["topic"].endswith("/detections"))
        page.get_by_role("button", name=f"Copy Message on {flat['topic']}").click()
        copied = "navigator.clipboard.readText()"
        wait_for(lambda: page.evaluate(copied) == flat["payload"], 10, "the very letters")


# -- events ----------------------------------------------------------------------------------------


def test_events_come_with_their_picture_and_are_filtered(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        listed = page.get_by_role("region", name="List of events").get_by_role("listitem")
        expect(listed.first).to_be_visible()
        expect(listed.locator("img").first).to_be_visible()
        labels = page.get_by_label("All labels").or_(page.get_by_label("Label"))
        labels.select_option("nut")
        expect(listed.first).to_contain_text("nut")
        expect(listed.filter(has_text="bolt")).to_have_count(0)
        page.get_by_label("Camera", exact=True).select_option("Yard")
        expect(page.get_by_text("No event yet")).to_be_visible()


# -- large, wall, and by keyboard ------------------------------------------------------------------


def test_camera_is_shown_large_and_left_by_keyboard(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        picture(page, "Belt").click()
        expect(person.heading()).to_have_text("Belt")
        is_live(page, "Belt")
        expect(page).to_have_title(re.compile("^Belt · "))
        counts = page.get_by_role("table", name="Objects of each label")
        expect(counts.get_by_role("row")).to_have_count(4)
        page.keyboard.press("ArrowRight")
        expect(person.heading()).to_contain_text("Gate")
        page.keyboard.press("ArrowLeft")
        expect(person.heading()).to_have_text("Belt")
        page.keyboard.press("Escape")
        expect(person.heading()).to_have_text("Run")
        expect(page).to_have_title(re.compile("^Run · "))
        person.go("run/nowhere")
        expect(page.get_by_text("There is no camera nowhere")).to_be_visible()


def test_wall_shows_cameras_and_nothing_else(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        page.get_by_role("button", name="Wall display").click()
        wall = page.get_by_role("dialog", name="Wall display")
        expect(wall.get_by_role("img", name="Live picture")).to_have_count(3)
        expect(wall).to_be_focused()
        is_live(page, "Belt")
        assert person.barriers() == []
        page.keyboard.press("Tab")
        expect(wall.get_by_role("button", name="Leave the wall display")).to_be_focused()
        page.keyboard.press("Enter")
        expect(wall).to_have_count(0)
        expect(person.heading()).to_have_text("Run")
        person.page.goto(f"{box.url}/#/run?view=wall")  # as a kiosk opens it
        expect(wall).to_be_visible()
        page.keyboard.press("Escape")
        expect(wall).to_have_count(0)
        columns = page.evaluate(
            """async () => {
                const at = new URL("js/pages/run/wall.js", document.baseURI);
                const { columnsFor } = await import(at);
                return [columnsFor(1, 1920, 1080), columnsFor(4, 1920, 1080),
                        columnsFor(5, 1920, 1080), columnsFor(2, 1080, 1920),
                        columnsFor(16, 3840, 2160)];
            }"""
        )
        assert columns == [1, 2, 3, 1, 4]


# -- who may do what -------------------------------------------------------------------------------


def test_viewer_sees_all_and_starts_nothing(browser: Browser, box: PageBox) -> None:
    with visit(browser, box, user=(VIEWER, PASSWORD)) as person:
        page = person.page
        person.go("run")
        is_live(page, "Belt")
        stop = control(page).get_by_role("button", name="Stop all cameras")
        expect(stop).to_have_attribute("aria-disabled", "true")
        expect(control(page)).to_contain_text("Viewers cannot start or stop cameras.")
        stop.click(force=True)
        expect(page.get_by_role("dialog")).to_have_count(0)
        test = page.get_by_role("button", name="Test", exact=True)
        expect(test).to_have_attribute("aria-disabled", "true")
        expect(test).to_have_attribute("title", "Viewers cannot run a test.")
        tile(page, "Belt").get_by_role("button", name="Belt: more").click()
        item = page.get_by_role("menuitem", name="Stop this camera")
        expect(item).to_have_attribute("aria-disabled", "true")
        assert person.barriers() == []


# -- for everybody, everywhere ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theme", "size"), [(THEMES[0], "desk"), (THEMES[1], "desk"), (THEMES[0], "narrow")]
)
def test_nobody_is_shut_out(browser: Browser, box: PageBox, theme: Theme, size: Size) -> None:
    with visit(browser, box, theme=theme, size=size) as person:
        hosts = set[str]()
        person.page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        for place in ("run", "run/belt"):
            person.go(place)
            is_live(person.page, "Belt")
            shuts_nobody_out(person)
        assert hosts == {box.url.split("/")[2]}


def shuts_nobody_out(person: Visit) -> None:
    assert person.barriers() == []
    assert person.overflow() == 0


def test_box_without_cameras_or_models_says_what_to_do(browser: Browser, box: PageBox) -> None:
    with visit(browser, box) as person:
        page = person.page
        person.go("run")
        is_live(page, "Belt")
        try:
            bare = [{**one, "models": []} for one in SETTINGS["cameras"]]
            box.write_settings({**SETTINGS, "cameras": bare, "models": []})
            note = page.get_by_role("note").filter(has_text="There is no model yet")
            expect(note.get_by_role("link", name="Add a model")).to_be_visible()
            box.write_settings({**SETTINGS, "cameras": []})
            expect(page.get_by_role("heading", name="No camera yet")).to_be_visible()
            link = page.get_by_role("link", name="Add a camera")
            expect(link).to_have_attribute("href", "#/input")
            assert person.barriers() == []
        finally:
            box.write_settings(SETTINGS)
        is_live(page, "Belt")


def test_speaks_german(browser: Browser, box: PageBox) -> None:
    with visit(browser, box, language="de-DE") as person:
        person.go("run")
        expect(person.heading()).to_have_text("Betrieb")
        expect(person.page.get_by_role("button", name="Wandanzeige")).to_be_visible()
        assert person.overflow() == 0
