"""Settings: forms and text are one, mistakes are told and taken back, who may what."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from support.browser import THEMES, Theme, Visit, visit
from support.page import PASSWORD, PageBox, page_box
from support.waiting import wait_for

pytestmark = pytest.mark.browser

CAMERA_PASSWORD = 'c@m:/#?%"era'
SETTINGS = {
    "version": 1,
    "cameras": [
        {"id": "demo", "name": "Demo belt", "source": {"type": "demo"}, "models": ["demo-parts"]},
        {
            "id": "gate",
            "name": "Gate",
            "enabled": False,
            "source": {"type": "rtsp", "url": "rtsp://192.0.2.17/stream1"},
            "username": "joe",
            "password": CAMERA_PASSWORD,
        },
    ],
    "models": [{"id": "demo-parts", "path": "demo-parts"}],
}
VIEWER = ("vera", "vera looks on 1")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBox]:
    with page_box(tmp_path_factory.mktemp("box"), settings=SETTINGS) as running:
        running.call(
            "POST",
            "/users",
            json={"name": VIEWER[0], "role": "viewer", "password": VIEWER[1]},
        )
        yield running


@pytest.fixture
def person(browser: Browser, box: PageBox) -> Iterator[Visit]:
    with visit(browser, box) as window:
        yield window


def text(person: Visit) -> Locator:
    return person.page.get_by_role("textbox", name="settings.json")


def holds(part: str) -> re.Pattern[str]:
    return re.compile(re.escape(part))


def saved(box: PageBox) -> dict[str, object]:
    document: dict[str, object] = json.loads((box.stack.folder / "settings.json").read_text())
    return document


def test_forms_and_text_are_one_draft(box: PageBox, person: Visit) -> None:
    page = person.page
    person.go("settings")
    assert CAMERA_PASSWORD not in page.content()
    assert CAMERA_PASSWORD not in text(person).input_value()

    # A form writes into the text, the text into the form.
    page.get_by_label("Name", exact=True).fill("Hall 7")
    page.get_by_label("Name", exact=True).blur()
    expect(text(person)).to_have_value(holds('"name": "Hall 7"'))
    text(person).fill(text(person).input_value().replace("Hall 7", "Hall 8"))
    expect(page.get_by_label("Name", exact=True)).to_have_value("Hall 8")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved, and in force.")).to_be_visible()
    expect(page.get_by_role("banner")).to_contain_text("Hall 8")
    document = saved(box)
    assert document["device"] == {"name": "Hall 8"}
    assert json.dumps(CAMERA_PASSWORD) in json.dumps(document)


def test_mistake_is_told_at_its_line_and_cannot_be_saved(person: Visit) -> None:
    page = person.page
    person.go("settings")
    good = text(person).input_value()
    text(person).fill(good.replace('"demo-parts"]', '"demo-prats"]'))
    problems = page.get_by_label("settings.json as text").get_by_role("listitem")
    expect(problems.first).to_contain_text("demo-prats")
    line = good[: good.index('"demo-parts"]')].count("\n") + 1
    expect(problems.first).to_contain_text(f"Line {line}")
    expect(page.get_by_role("button", name="Save", exact=True)).to_have_attribute(
        "aria-disabled", "true"
    )
    page.get_by_role("button", name=f"Line {line}").click()
    expect(text(person)).to_be_focused()
    text(person).fill("{")
    expect(page.get_by_text("The text is no JSON.")).to_be_visible()
    page.get_by_role("button", name="Undo all").click()
    expect(text(person)).to_have_value(good)


def test_settings_broken_by_hand_are_refused_and_restored(box: PageBox, person: Visit) -> None:
    page = person.page
    person.go("settings")
    good = (box.stack.folder / "settings.json").read_text()
    box.write_settings(good.replace('"type": "demo"', '"type": "dmeo"'))
    note = page.get_by_role("alert").filter(has_text="has a mistake, and was not taken")
    expect(note).to_be_visible()
    expect(note).to_contain_text("dmeo")
    expect(page.get_by_role("banner")).not_to_contain_text("All well")
    assert box.call("GET", "/cameras")["cameras"][0]["status"]["state"] == "running"

    note.get_by_role("button", name="Restore the last good ones").click()
    page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_text("The last good settings are back.")).to_be_visible()
    expect(note).to_have_count(0)
    assert (box.stack.folder / "settings.json").read_text() == good

    # What was broken is kept, too.
    person.go("settings/history")
    expect(page.get_by_text("never in force").first).to_be_visible()
    assert CAMERA_PASSWORD not in page.content()


def test_hand_edit_meanwhile_is_told_and_nothing_is_overwritten(
    box: PageBox, person: Visit
) -> None:
    page = person.page
    person.go("settings")
    text(person).fill(text(person).input_value().replace("Demo belt", "Mine"))
    document = saved(box)
    document["run"] = False
    box.write_settings(document)
    expect(page.get_by_text("Somebody else has changed the settings meanwhile.")).to_be_visible()
    page.get_by_role("button", name="Take theirs").click()
    expect(text(person)).to_have_value(holds('"run": false'))
    assert "Mine" not in text(person).input_value()
    box.call("PUT", "/run", json={"running": True})


def test_setting_of_before_is_brought_back(box: PageBox, person: Visit) -> None:
    page = person.page
    before = box.call("GET", "/settings")["revision"]
    box.call("PATCH", "/settings", json={"changes": {"logger": {"keep_days": 3}}})
    person.go("settings/history")
    expect(page.get_by_text('{"keep_days": 3}', exact=True)).to_be_visible()
    entries = page.get_by_label("Settings of before").get_by_role("link")
    entries.nth(1).click()
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_text("The settings of before are back.")).to_be_visible()
    assert box.call("GET", "/settings")["revision"] == before


def test_file_of_the_closed_manager_is_translated_and_opened(person: Visit, tmp_path: Path) -> None:
    page = person.page
    nx = {
        "settings": {"DeviceName": "Old box", "LogLevel": 3},
        "module": {
            "InputDriver": "VIDEO",
            "GeneralFrameRate": 200,
            "InputCamera1Location": "rtsp://192.0.2.20/main",
            "InputCamera1Name": "Dock",
            "InputCamera1Username": "admin",
            "InputCamera1Pass": "0ld#secret",
            "InputCamera1AspectRatio": 1,
        },
    }
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(nx))
    person.go("settings/bring")
    page.locator("input[type=file]").set_input_files(str(file))
    table = page.get_by_role("table", name="What became of each key")
    expect(table).to_contain_text("InputCamera1Location")
    expect(table).to_contain_text("Translated")
    expect(table).to_contain_text("Says nothing here")
    assert "0ld#secret" not in page.content()
    page.get_by_role("button", name="Open in the editor").click()
    expect(page.get_by_text("This text was imported and is not saved yet.")).to_be_visible()
    expect(text(person)).to_have_value(holds("rtsp://192.0.2.20/main"))
    page.get_by_role("button", name="Undo all").click()


def test_log_of_a_service_is_read_and_filtered(person: Visit) -> None:
    page = person.page
    person.go("settings/logs/manager")
    log = page.get_by_role("log")
    expect(log).to_contain_text("manager starts")
    page.get_by_label("Contains").fill("the page is at")
    expect(log.locator(".logs__line")).to_have_count(1)
    page.get_by_label("Contains").fill("no such words")
    expect(page.get_by_text("Nothing was said.")).to_be_visible()
    assert PASSWORD not in page.content()


def test_user_is_added_and_a_token_is_shown_once(box: PageBox, person: Visit) -> None:
    page = person.page
    person.go("settings/accounts")
    page.get_by_role("button", name="Add a user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("otto")
    dialog.get_by_label("Password", exact=True).fill("short")
    person.excuse("422 POST .*/users")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_label("Password", exact=True)).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Password", exact=True).fill("otto packs boxes")
    dialog.get_by_label("Operator").check()
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("table", name="Users")).to_contain_text("otto")

    page.get_by_role("button", name="Make a token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("What is it for?").fill("wall clock")
    dialog.get_by_role("button", name="Make", exact=True).click()
    secret = page.get_by_role("dialog").locator("code").inner_text()
    assert secret.startswith("nxai_")
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_role("table", name="Tokens")).to_contain_text("wall clock")
    assert secret not in page.content()
    answer = box.client.get(
        f"{box.url}/api/v1/health", headers={"Authorization": f"Bearer {secret}"}
    )
    assert answer.status_code == 200


def test_viewer_sees_and_cannot_change(browser: Browser, box: PageBox) -> None:
    before = (box.stack.folder / "settings.json").read_text()
    with visit(browser, box, user=VIEWER) as window:
        page = window.page
        window.go("settings")
        expect(text(window)).to_have_js_property("readOnly", value=True)
        assert "joe" not in text(window).input_value()
        expect(page.get_by_role("link", name="Logs")).to_have_count(0)
        for place in ("settings/health", "settings/history", "settings/bring", "output", "model"):
            window.go(place)
            for name in ("Save", "Restore", "Diagnostics", "Link Edge Impulse", "Add a file"):
                found = page.get_by_role("button", name=name, exact=True)
                for each in found.all():
                    expect(each).to_have_attribute("aria-disabled", "true")
        window.go("output")
        for switch in page.get_by_role("switch").all():
            expect(switch).to_be_disabled()
    assert (box.stack.folder / "settings.json").read_text() == before


@pytest.mark.parametrize("theme", THEMES)
def test_nobody_is_shut_out(browser: Browser, box: PageBox, theme: Theme) -> None:
    places: tuple[str, ...] = ("settings", "settings/history", "settings/bring")
    places += ("settings/health", "settings/logs", "settings/accounts")
    with visit(browser, box, theme=theme) as window:
        for place in places:
            window.go(place)
            window.page.wait_for_load_state("networkidle")
            assert window.barriers() == [], place
    with visit(browser, box, theme=theme, size="narrow") as window:
        for place in places:
            window.go(place)
            assert window.overflow() == 0, place


def test_archive_for_help_holds_no_secret(box: PageBox) -> None:
    wait_for(lambda: len(box.call("GET", "/health")["services"]) >= 5, 30, "all services told")
    archive = zipfile.ZipFile(io.BytesIO(box.call("GET", "/diagnostics")))
    names = set(archive.namelist())
    assert {"health.json", "settings.json", "logs/manager.txt", "logs/capture.txt"} <= names
    everything = b"".join(archive.read(name) for name in names)
    for secret in (CAMERA_PASSWORD, PASSWORD, VIEWER[1], box.stack.broker.password):
        for form in (secret, json.dumps(secret)[1:-1]):
            assert form.encode() not in everything
