"""Input: cameras are tried, added, put right, masked, given models, and taken away again."""

import io
import json
import re
import socket
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import cv2
import numpy as np
import numpy.typing as npt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, Locator, Page, WebSocket, expect

from nxai_common.contracts.outputs import Detections
from support.browser import PATIENCE_MS, THEMES, Theme, Visit, visit
from support.clips import clip, jpeg
from support.http_cameras import Camera, http_camera
from support.onvif_device import discoverable, onvif_camera, probe_match
from support.page import PageBox, page_box
from support.rtsp import rtsp_camera
from support.stack import listening
from support.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)

VIEWER = ("vera", "vera looks on 1")
SECRET = 'c@m:/#?%"era-1'
"""Of a camera, with all that a URL, a log line or a file could trip over."""
PASSWORD_FIELD = re.compile("^Password")
"""Not the button that shows it."""


def demo(name: str, title: str, *, models: bool) -> dict[str, Any]:
    return {
        "id": name,
        "name": title,
        "source": {"type": "demo", "width": 320, "height": 240, "fps": 4},
        "models": ["demo-parts"] if models else [],
    }


SETTINGS: dict[str, Any] = {
    "version": 1,
    "cameras": [
        demo("belt", "Belt", models=True),
        demo("dock", "Dock", models=True),
        demo("yard", "Yard", models=False),
        {
            "id": "gate",
            "name": "Gate with a name that is much longer than any card is wide",
            "source": {"type": "rtsp", "url": "rtsp://127.0.0.1:1/stream"},
            "username": "guard",
            "password": "not shown",
        },
        {"id": "off", "enabled": False, "source": {"type": "v4l2", "device": "/dev/video63"}},
    ],
    "models": [{"id": "demo-parts", "path": "demo-parts"}],
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBox]:
    with page_box(tmp_path_factory.mktemp("input"), settings=SETTINGS) as running:
        user = {"name": VIEWER[0], "role": "viewer", "password": VIEWER[1]}
        running.call("POST", "/users", json=user)
        yield running


@pytest.fixture
def person(browser: Browser, box: PageBox) -> Iterator[Visit]:
    with visit(browser, box) as window:
        yield window


def button(scope: Page | Locator, name: str) -> Locator:
    return scope.get_by_role("button", name=name, exact=True)


def saved(box: PageBox, camera: str) -> dict[str, Any]:
    """Return a camera as it stands in the file."""
    document = json.loads((box.stack.folder / "settings.json").read_text())
    found: dict[str, Any] = next(one for one in document["cameras"] if one["id"] == camera)
    return found


LEAVE_WHEN_SAVED: Final = """() => {
    const look = new MutationObserver(() => {
        if (!document.body.textContent.includes("Saved, and in force.")) return;
        look.disconnect();
        const leave = () => { location.hash = location.hash.replace("options", "areas"); };
        requestAnimationFrame(() => setTimeout(() => setTimeout(leave)));
    });
    look.observe(document.body, { childList: true, subtree: true, characterData: true });
}"""
"""Two tasks after a frame: what the page does once it has drawn was done, and not yet drawn."""


def told(page: Page) -> Locator:
    return page.get_by_text("Saved, and in force.")


def close_notices(page: Page) -> None:
    while told(page).count():
        page.get_by_role("region", name="Notices").get_by_role("button", name="Close").first.click()


def save(page: Page) -> None:
    """Save, and wait for this very answer."""
    close_notices(page)
    button(page, "Save").click()
    expect(told(page)).to_be_visible()


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name))


def state(person: Visit) -> Locator:
    """Return the head of a camera's page: its name and state."""
    return person.page.locator("header.page__head")


def add_dialog(person: Visit) -> Locator:
    person.go("input")
    person.page.get_by_role("link", name="Add a camera").click()
    return person.page.get_by_role("dialog")


# -- added, and put right --------------------------------------------------------------------------


@contextmanager
def mqtt_heard(box: PageBox) -> Iterator[list[bytes]]:
    """Hear all that passes the broker: topics and payloads."""
    broker = box.stack.broker
    heard: list[bytes] = []
    ready = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, "auditor", protocol=paho.MQTTv5)
    client.username_pw_set(broker.username, broker.password)
    client.on_message = lambda *call: heard.append(call[2].topic.encode() + call[2].payload)
    client.on_subscribe = lambda *_: ready.set()
    client.connect(broker.host, broker.port)
    client.subscribe("nxai/v1/#")
    client.loop_start()
    try:
        assert ready.wait(10)
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def spellings(secret: str) -> set[bytes]:
    """Return a secret as texts, JSON and addresses would hold it."""
    return {secret.encode(), json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode()}


def test_camera_with_a_wrong_password_is_added_told_of_and_put_right(
    box: PageBox, person: Visit
) -> None:
    page = person.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with http_camera([jpeg(5, 320, 240)]) as camera, mqtt_heard(box) as heard:
        camera.user, camera.password, camera.auth = "joe", SECRET, "digest"
        add_with_a_wrong_password(person, camera)

        # The right one is typed in its place.
        page.get_by_role("link", name="Settings of Tür & Tor").click()
        password = page.get_by_label(PASSWORD_FIELD)
        expect(password).to_have_value("•" * 8)
        password.click()
        password.press_sequentially(SECRET)  # in place of the dots, which are selected
        button(page, "Test the connection").click()
        expect(page.get_by_text("It works.")).to_be_visible()
        expect(page.get_by_alt_text("First picture of the camera")).to_be_visible()
        save(page)
        expect(state(person)).to_contain_text("Running")
        expect(page.get_by_alt_text("Picture of Tür & Tor")).to_be_visible()

        # Another change keeps it; another address would have it sent elsewhere.
        page.get_by_label("Name", exact=True).fill("Tor")
        save(page)
        assert saved(box, "tur-tor")["password"] == SECRET
        page.get_by_label("Address (URL)").fill("http://127.0.0.2:9/still")
        person.excuse(r"422 PATCH .*/cameras/tur-tor")
        button(page, "Save").click()
        expect(password).to_be_focused()
        expect(page.get_by_text("Type the password again: the camera's address")).to_be_visible()
        button(page, "Undo").click()

        # Live, it moves.
        page.get_by_role("link", name="All cameras").click()
        button(card(page, "Tor"), "Live picture of Tor").click()
        canvas = page.get_by_role("img", name="Live picture of Tor")
        expect(canvas).to_have_attribute("data-sequence", re.compile(r"\d"))
        first = canvas.get_attribute("data-sequence")
        expect(canvas).not_to_have_attribute("data-sequence", first or "")

        seen = seen_of(box, page, camera) | {
            "MQTT": b"\n".join(heard),
            "addresses": "\n".join(asked).encode(),
        }
        assert len(heard) > 20
        for where, text in seen.items():
            for spelling in spellings(SECRET):  # the wrong one begins with it
                assert spelling not in text, f"a password is in {where}"
    box.call("DELETE", "/cameras/tur-tor")


def add_with_a_wrong_password(person: Visit, camera: Camera) -> None:
    page = person.page
    dialog = add_dialog(person)
    dialog.get_by_label("Name", exact=True).fill("Tür & Tor")
    expect(dialog).to_contain_text("Name in topics: tur-tor")
    dialog.get_by_label("Kind").select_option(label="Still picture behind a URL")

    # What is missing is told at its field, and nothing is asked of the box.
    button(dialog, "Add").click()
    address = dialog.get_by_label("Address (URL)")
    expect(address).to_be_focused()
    expect(address).to_have_attribute("aria-invalid", "true")
    expect(dialog).to_contain_text("Type the camera's address.")

    address.fill(f"{camera.url}/still")
    dialog.get_by_label("Every (ms)").fill("200")
    dialog.get_by_label("User").fill("joe")
    dialog.get_by_label(PASSWORD_FIELD).fill(SECRET + "x")
    person.excuse(r"409 POST .*/cameras/probe")
    button(dialog, "Test the connection").click()
    alert = dialog.get_by_role("alert")
    expect(alert).to_contain_text("It does not work yet.")
    expect(alert).to_contain_text("401: check user and password")

    # It may be added all the same, and goes on telling why it fails.
    button(dialog, "Add").click()
    question = page.get_by_role("dialog", name="Add it although it does not work?")
    button(question, "Add it").click()
    expect(person.heading()).to_have_text("Tür & Tor")
    expect(page.get_by_role("note")).to_contain_text("401: check user and password")
    page.get_by_role("link", name="All cameras").click()
    expect(card(page, "Tür & Tor")).to_contain_text("401: check user and password")


def seen_of(box: PageBox, page: Page, camera: Camera) -> dict[str, bytes]:
    """Return all that can be seen of a camera, by where it is."""
    archive = zipfile.ZipFile(io.BytesIO(box.call("GET", "/diagnostics")))
    requests = [path + json.dumps(headers) for path, headers in camera.requests]
    assert any("digest" in text.lower() for text in requests)
    texts = {
        "logs": "".join(one.text() for one in box.stack.processes.values()),
        "page": page.content(),
        "the camera's own log": "\n".join(requests),
        **{
            address: json.dumps(box.call("GET", address), ensure_ascii=False)
            for address in ("/cameras", "/settings", "/settings/history")
        },
    }
    files = {name: archive.read(name) for name in archive.namelist()}
    return {where: text.encode() for where, text in texts.items()} | files


def test_address_with_a_login_in_it_is_taken_apart(
    box: PageBox, person: Visit, tmp_path: Path
) -> None:
    video = clip(tmp_path / "a.mp4", frames=60)
    with rtsp_camera(video, user="joe", password="p:1%") as url:
        dialog = add_dialog(person)
        dialog.get_by_label("Name", exact=True).fill("Belt")
        expect(dialog).to_contain_text("Name in topics: belt-2")  # there is a belt
        address = dialog.get_by_label("Address (URL)")
        address.fill(url.replace("rtsp://", "rtsp://joe:p:1%25@"))
        address.press("Tab")
        expect(address).to_have_value(url)
        expect(dialog).to_contain_text("moved out of the address")
        expect(dialog.get_by_label(PASSWORD_FIELD)).to_have_value("p:1%")
        dialog.get_by_label("Demo parts").check()
        button(dialog, "Test the connection").click()
        expect(dialog.get_by_text("It works.")).to_be_visible()
        expect(dialog.get_by_text(re.compile("^640 . 480$"))).to_be_visible()

        # An id that is taken, or none at all, is told at its field.
        dialog.get_by_text("Name in topics: belt-2").click()
        name = dialog.get_by_label("Name in topics", exact=True)
        name.fill("belt")
        button(dialog, "Add").click()
        expect(dialog).to_contain_text("There is a camera of this name in topics already.")
        expect(name).to_be_focused()
        name.fill("Belt Two")
        person.excuse(r"422 POST .*/cameras$")
        button(dialog, "Add").click()
        expect(dialog).to_contain_text("Must be 1 to 64 of a-z")
        name.fill("belt-two")
        button(dialog, "Add").click()
        expect(person.heading()).to_have_text("Belt")
        assert saved(box, "belt-two")["models"] == ["demo-parts"]
        assert saved(box, "belt-two")["source"] == {"type": "rtsp", "url": url}
        expect(state(person)).to_contain_text("Running")
        box.call("DELETE", "/cameras/belt-two")


def reached_at() -> str:
    """Return an address of this machine that is not the loopback's, or skip the test."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))  # sends nothing
        return str(probe.getsockname()[0])
    pytest.skip("this machine has no network to look for cameras in")


def test_cameras_on_the_network_are_found_and_asked(person: Visit) -> None:
    here = reached_at()
    dialog = add_dialog(person)
    with onvif_camera() as camera:
        camera.user, camera.password = "joe", SECRET
        with discoverable(lambda _: [probe_match(camera.address)], here):
            button(dialog, "Find cameras on the network").click()
            found = dialog.get_by_role("list", name="Cameras that were found")
            expect(found).to_contain_text("Front door")
        ask = button(found, "Its streams: Front door")
        person.excuse(r"409 POST .*/cameras/streams")
        ask.click()
        expect(dialog.get_by_role("alert")).to_contain_text("401: the camera asks for user")
        dialog.get_by_label("User").fill("joe")
        dialog.get_by_label(PASSWORD_FIELD).fill(SECRET)
        ask.click()
        streams = dialog.get_by_role("list", name="Streams of Front door")
        expect(streams.get_by_role("listitem")).to_have_count(2)
        expect(dialog.get_by_role("alert")).to_have_count(0)
        streams.get_by_role("button").last.click()
        expect(dialog.get_by_label("Address (URL)")).to_have_value("rtsp://127.0.0.1:554/low")
        expect(dialog.get_by_label("Name", exact=True)).to_have_value("Front door")
        expect(dialog.get_by_label(PASSWORD_FIELD)).to_have_value(SECRET)
        assert person.barriers() == []

    # Once it is gone, that is told, with what to do.
    button(dialog, "Find cameras on the network").click()
    told = dialog.get_by_role("note").filter(has_text="Type the camera's address instead")
    expect(told).to_be_visible()  # beside networks that cannot be searched, such as a container's


# -- areas -----------------------------------------------------------------------------------------

Grey = npt.NDArray[np.uint8]
LEFT = (0.06, 0.1, 0.34, 0.9)
"""x0, y0, x1, y1 of the mask that is drawn with the mouse."""
RIGHT = (0.55, 0.3, 0.95, 0.7)
"""And of the one that is made with the keyboard."""


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    found = page.locator(".areas__stage").bounding_box()
    assert found is not None
    return found["x"] + x * found["width"], found["y"] + y * found["height"]


def draw(page: Page, kind: str, x0: float, y0: float, x1: float, y1: float) -> None:
    """Draw a rectangle: corner by corner, or by dragging the region."""
    button(page, kind).click()
    if kind == "Region of interest":
        page.mouse.move(*at(page, x0, y0))
        page.mouse.down()
        page.mouse.move(*at(page, x1, y1), steps=4)
        page.mouse.up()
        return
    for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)):
        page.mouse.click(*at(page, *corner))
    page.keyboard.press("Enter")


def grey(data: bytes) -> Grey:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def part(picture: Grey, x0: float, y0: float, x1: float, y1: float) -> Grey:
    """Return the inside of a rectangle, without its edge, which JPEG blurs."""
    height, width = picture.shape
    columns = slice(round((x0 + 0.02) * width), round((x1 - 0.02) * width))
    return picture[round((y0 + 0.03) * height) : round((y1 - 0.03) * height), columns]


def masked(picture: Grey) -> bool:
    """Whether both masks are black to the last pixel, and the rest is not."""
    between = part(picture, LEFT[2], 0.2, RIGHT[0], 0.8)
    inside = max(part(picture, *LEFT).max(), part(picture, *RIGHT).max())
    return int(inside) < 24 and float(between.mean()) > 40  # JPEG's ringing at the edge: up to 20


def test_masks_are_drawn_and_burned_in(box: PageBox, person: Visit) -> None:
    page = person.page

    def still() -> Grey:
        return grey(box.call("GET", "/cameras/belt/still"))

    def seen() -> Grey:
        return grey(box.call("GET", "/cameras/belt/as-model?model=demo-parts"))

    assert not masked(still())
    assert seen().mean() > 40

    person.go("input/belt/areas")
    draw(page, "Privacy mask", *LEFT)
    page.get_by_role("button", name="Privacy mask: put one into the middle").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Privacy mask 2, corner 1 of 4")).to_be_focused()
    for _ in range(5):
        page.keyboard.press("Alt+Shift+ArrowRight")
    save(page)
    masks = saved(box, "belt")["masks"]
    assert [len(mask) for mask in masks] == [4, 4]
    assert masks[1][0] == pytest.approx([RIGHT[0], RIGHT[1]])
    wait_for(lambda: masked(still()), 20, "both masks in the still")
    expect(page.get_by_role("region", name="What leaves the camera now")).to_be_visible()

    # The live picture has them, too.
    came: list[bytes | str] = []

    def keep(payload: bytes | str) -> None:
        came.append(payload)

    def listen(opened: WebSocket) -> None:
        opened.on("framereceived", keep)

    page.on("websocket", listen)
    person.go("input")
    page.reload()
    button(card(page, "Belt"), "Live picture of Belt").click()
    canvas = page.get_by_role("img", name="Live picture of Belt")
    expect(canvas).to_have_attribute("data-exact", "true")
    previews = [one for one in came if isinstance(one, bytes)]
    assert previews
    assert all(masked(picture_of(one)) for one in previews)

    # The region of interest is what models see: here, nothing but the mask.
    person.go("input/belt/areas")
    draw(page, "Region of interest", LEFT[0] + 0.02, 0.15, LEFT[2] - 0.02, 0.85)
    save(page)
    region = saved(box, "belt")["region"]
    assert region["width"] == pytest.approx(LEFT[2] - LEFT[0] - 0.04, abs=0.01)
    wait_for(lambda: int(seen().max()) < 24, 20, "the model sees the mask alone")
    person.go("input/belt/models")
    expect(page.get_by_text("The camera, and the region that models see")).to_be_visible()

    # All of it goes again.
    person.go("input/belt/areas")
    for name in ("Region of interest 3", "Privacy mask 2", "Privacy mask 1"):
        button(page, f"Remove {name}").click()
    save(page)
    assert not {"masks", "region"} & saved(box, "belt").keys()
    wait_for(lambda: seen().mean() > 40 and not masked(still()), 20, "nothing is masked")


def picture_of(payload: bytes) -> Grey:
    """Return the picture of a preview as it comes over the WebSocket: name, then JPEG."""
    return grey(payload[1 + payload[0] :])


def test_objects_in_an_excluded_area_do_not_count(box: PageBox, person: Visit) -> None:
    page = person.page
    with listening(box.stack, Detections) as listener:

        def dock() -> Detections:
            found = listener.find(
                lambda one: isinstance(one, Detections) and one.camera == "dock", 20, "a result"
            )
            assert isinstance(found, Detections)
            return found

        wait_for(lambda: dock().objects, 20, "something on the belt")
        person.go("input/dock/areas")
        draw(page, "Do not look here", 0.01, 0.01, 0.99, 0.99)
        save(page)
        wait_for(lambda: not any(dock().objects for _ in range(8)), 30, "eight frames of nothing")
        # So close to the edge, the edge is meant.
        assert saved(box, "dock")["areas"]["exclude"] == [[[0, 0], [1, 0], [1, 1], [0, 1]]]
        button(page, "Remove Do not look here 1").click()
        save(page)
        assert "areas" not in saved(box, "dock")
        wait_for(lambda: dock().objects, 30, "something on the belt again")


# -- models and options ----------------------------------------------------------------------------


def test_model_is_assigned_with_a_threshold_and_shown_what_it_sees(
    box: PageBox, person: Visit
) -> None:
    page = person.page
    person.go("input/yard/models")
    model = page.get_by_label("Demo parts")
    expect(model).not_to_be_checked()
    expect(page.get_by_alt_text("What Demo parts sees")).to_have_count(0)
    model.check()
    picture = page.get_by_alt_text("What Demo parts sees")
    expect(picture).to_be_visible()
    expect(page.get_by_alt_text("Picture of Yard")).to_be_visible()
    assert saved(box, "yard")["models"] == ["demo-parts"]

    page.get_by_label("Own threshold on this camera").check()
    slider = page.get_by_role("spinbutton", name="Lowest confidence")
    expect(slider).to_have_value("0.5")
    slider.fill("0.9")
    slider.blur()
    wait_for(
        lambda: saved(box, "yard")["models"] == [{"id": "demo-parts", "threshold": 0.9}],
        what="the threshold is saved",
    )
    # Not uncheck(): the switch shows what is in force, and that is so once it is saved.
    page.get_by_label("Own threshold on this camera").click()
    wait_for(lambda: saved(box, "yard")["models"] == ["demo-parts"], what="it is gone")

    before = picture.get_attribute("src")
    page.get_by_label("Resize mode").select_option(label="Whole, with black bars")
    expect(picture).not_to_have_attribute("src", before or "")
    save(page)
    assert saved(box, "yard")["resize_mode"] == "fit-long"
    page.get_by_label("Resize mode").select_option(index=0)
    save(page)
    assert "resize_mode" not in saved(box, "yard")
    model.uncheck()
    expect(picture).to_have_count(0)
    wait_for(lambda: not saved(box, "yard").get("models"), what="no model is left")


def limit(page: Page) -> Locator:
    return page.get_by_label("At least between two looks (ms)")


def test_options_are_saved_and_mistakes_told_at_their_field(box: PageBox, person: Visit) -> None:
    page = person.page
    person.go("input/yard/options")
    limit(page).fill("500")
    page.get_by_label("Look only when the picture changes").check()
    pixel = page.get_by_label("Change of a pixel (of 255)")
    pixel.fill("1000")
    person.excuse(r"422 PATCH .*/cameras/yard")
    button(page, "Save").click()
    expect(pixel).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("Must be less than or equal to 255, not 1000")).to_be_visible()
    assert "inference_limit_ms" not in saved(box, "yard")
    pixel.fill("30")
    save(page)
    assert saved(box, "yard")["inference_limit_ms"] == 500
    assert saved(box, "yard")["on_change"] == {"enabled": True, "pixel_threshold": 30}

    # What is emptied is as ever again.
    pixel.fill("")
    limit(page).fill("")
    save(page)
    assert saved(box, "yard")["on_change"] == {"enabled": True}
    assert "inference_limit_ms" not in saved(box, "yard")
    page.get_by_label("Look only when the picture changes").uncheck()
    save(page)


def test_hand_edit_meanwhile_is_told_and_overwrites_nothing(box: PageBox, person: Visit) -> None:
    page = person.page
    person.go("input/dock/options")
    limit(page).fill("100")
    limit(page).blur()

    # Of another camera, or another part of this one: nothing is lost, and nobody is asked.
    document = json.loads((box.stack.folder / "settings.json").read_text())
    by_id = {one["id"]: one for one in document["cameras"]}
    by_id["dock"]["name"] = "Dock 1"
    by_id["yard"]["name"] = "Yard 1"
    box.write_settings(document)
    expect(person.heading()).to_have_text("Dock 1")
    expect(limit(page)).to_have_value("100")
    save(page)
    assert saved(box, "dock")["inference_limit_ms"] == 100
    assert saved(box, "dock")["name"] == "Dock 1"

    # Of the same one: it is told, and whose it shall be is asked.
    limit(page).fill("200")
    limit(page).blur()
    document = json.loads((box.stack.folder / "settings.json").read_text())
    by_id = {one["id"]: one for one in document["cameras"]}
    by_id["dock"]["inference_limit_ms"] = 300
    box.write_settings(document)
    note = page.get_by_role("note").filter(has_text="Somebody else has changed it meanwhile.")
    expect(note).to_be_visible()
    expect(button(page, "Save")).to_have_attribute("aria-disabled", "true")
    button(note, "Keep mine").click()
    expect(note).to_have_count(0)
    save(page)
    assert saved(box, "dock")["inference_limit_ms"] == 200

    limit(page).fill("250")
    limit(page).blur()
    by_id["dock"]["inference_limit_ms"] = 400
    box.write_settings(document)
    button(note, "Take theirs").click()
    expect(limit(page)).to_have_value("400")

    box.write_settings(SETTINGS)
    expect(person.heading()).to_have_text("Dock")


def test_leaving_asks_only_while_something_is_unsaved(box: PageBox, person: Visit) -> None:
    page = person.page
    person.go("input/dock/options")

    # The moment it was saved it does not ask, even before the page has drawn again.
    limit(page).fill("350")
    limit(page).blur()
    close_notices(page)
    page.evaluate(LEAVE_WHEN_SAVED)
    button(page, "Save").click()
    expect(page.get_by_role("heading", name="Draw on the picture")).to_be_visible()
    page.get_by_role("link", name="Options", exact=True).click()
    expect(limit(page)).to_have_value("350")

    # With something unsaved it does.
    limit(page).fill("1")
    limit(page).blur()
    page.get_by_role("link", name="Areas", exact=True).click()
    question = page.get_by_role("dialog", name="Leave without saving?")
    button(question, "Stay").click()
    expect(limit(page)).to_have_value("1")
    page.get_by_role("link", name="Areas", exact=True).click()
    button(question, "Leave").click()
    expect(page.get_by_role("heading", name="Draw on the picture")).to_be_visible()
    assert saved(box, "dock")["inference_limit_ms"] == 350
    box.write_settings(SETTINGS)
    expect(person.heading()).to_have_text("Dock")


def test_camera_is_deleted_after_a_question_that_says_what_stays(
    box: PageBox, person: Visit
) -> None:
    page = person.page
    box.call("POST", "/cameras", json=demo("attic", "Attic", models=True))
    person.go("input/attic")
    expect(page.get_by_alt_text("Picture of Attic")).to_be_visible()
    page.get_by_label("Switched on").uncheck()
    expect(page.get_by_text("Switched off").first).to_be_visible()
    assert saved(box, "attic")["enabled"] is False
    page.get_by_label("Name", exact=True).fill("Typed, and not saved")

    button(page, "Delete the camera").click()
    question = page.get_by_role("dialog", name="Delete Attic?")
    expect(question).to_contain_text("Models, collected pictures and logged results stay.")
    button(question, "Cancel").click()
    assert saved(box, "attic")
    button(page, "Delete the camera").click()
    button(question, "Delete the camera").click()
    expect(page.get_by_text("its rows in the data logger are kept")).to_be_visible()
    expect(person.heading()).to_have_text("Input")
    expect(card(page, "Attic")).to_have_count(0)
    assert "attic" not in [one["id"] for one in box.call("GET", "/cameras")["cameras"]]
    person.go("input/attic")
    expect(page.get_by_text("There is no camera attic.")).to_be_visible()


# -- for everybody ---------------------------------------------------------------------------------

PLACES = ("input", "input/gate", "input/belt/areas", "input/belt/models", "input/belt/options")


def shown(person: Visit, place: str) -> None:
    """Show a place with all that comes late."""
    person.go(place)
    page = person.page
    if place == "input":
        expect(card(page, "Belt").get_by_role("img", name="Picture of Belt")).to_be_visible()
        expect(card(page, "Gate")).to_contain_text("Nothing listens at 127.0.0.1:1")
    elif place.endswith("areas"):
        expect(page.get_by_role("group", name="Picture of Belt")).to_be_visible()
    elif place.endswith("models"):
        expect(page.get_by_alt_text("What Demo parts sees")).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
def test_nobody_is_shut_out(browser: Browser, box: PageBox, theme: Theme) -> None:
    with visit(browser, box, theme=theme) as person:
        hosts = set[str]()
        person.page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        for place in PLACES:
            shown(person, place)
            assert person.barriers() == [], place
        dialog = add_dialog(person)
        button(dialog, "Add").click()
        assert person.barriers() == []
        assert hosts == {box.url.split("/")[2]}


def test_fits_a_small_phone(browser: Browser, box: PageBox) -> None:
    with visit(browser, box, size="narrow", language="de-DE") as person:
        for place in PLACES:
            person.go(place)
            assert person.overflow() == 0, place
        person.go("input?add=")
        dialog = person.page.get_by_role("dialog", name="Kamera hinzufügen")
        button(dialog, "Kameras im Netz suchen").scroll_into_view_if_needed()
        wide: int = dialog.evaluate("(one) => one.scrollWidth - one.clientWidth")
        assert wide == 0
        assert person.overflow() == 0


def test_viewer_sees_all_and_can_change_nothing(browser: Browser, box: PageBox) -> None:
    before = (box.stack.folder / "settings.json").read_text()
    with visit(browser, box, user=VIEWER) as person:
        page = person.page
        for place in PLACES:
            shown(person, place)
            expect(page.get_by_role("link", name="Add a camera")).to_have_count(0)
            for control in page.locator("main").locator("input, select, textarea").all():
                expect(control).to_be_disabled()
            if place.endswith("areas"):
                mask = button(page, "Privacy mask")
                expect(mask).to_have_attribute("aria-disabled", "true")
            if place != "input":
                expect(button(page, "Save")).to_have_attribute("aria-disabled", "true")
                reason = "Only an administrator can change this."
                expect(button(page, "Save")).to_have_attribute("title", reason)
                button(page, "Save").click(force=True)
        person.go("input/gate")
        assert "guard" not in page.content()
        expect(button(page, "Delete the camera")).to_have_count(0)
        expect(button(page, "Test the connection")).to_have_count(0)
        expect(button(page, "Find cameras on the network")).to_have_count(0)
        person.go("input?add=")
        expect(page.get_by_role("dialog")).to_have_count(0)
        person.go("input")
        button(card(page, "Belt"), "Live picture of Belt").click()
        expect(page.get_by_role("img", name="Live picture of Belt")).to_have_attribute(
            "data-exact", "true"
        )
    assert (box.stack.folder / "settings.json").read_text() == before
