"""Model: the Edge Impulse project is linked, deployed, updated beside the old one, rolled back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from support.browser import THEMES, Theme, Visit, visit
from support.edge_impulse import Emulator, Impulse, Project, Training, downloads, fomo, running
from support.edge_impulse.server import Urls
from support.loop import KEY
from support.page import PageBox, page_box
from support.retrained import retrained
from support.shared import shared
from support.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

NUTS = "models/ei_fomo_mnv2_035_96x96x3_m5_nut_i8.tflite"
LONG_MS = 90_000
"""Converting and timing a model on a machine that does other work."""


@dataclass
class World:
    """A box, and the cloud."""

    box: PageBox
    project: Project
    urls: Urls


def impulse() -> Impulse:
    return fomo(("m5_nut",), size=(96, 96), channels="RGB", int8=shared(NUTS).read_bytes())


def settings() -> dict[str, object]:
    clip = str(shared("media/conveyor.mp4"))
    return {
        "version": 1,
        "cameras": [
            {"id": "belt", "name": "Belt", "source": {"type": "file", "path": clip}},
            {"id": "demo", "name": "Demo belt", "source": {"type": "demo"}},
        ],
        "edge_impulse": {
            "updates": {"policy": "offer", "artefact": "int8"},
            "shadow": {"frames": 60, "minutes": 5},
        },
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    emulator = Emulator()
    project = emulator.add_project("Conveyor nuts", key=KEY)
    project.add_impulse(impulse())
    folder = tmp_path_factory.mktemp("box")
    with running(emulator) as urls, page_box(folder, settings=settings()) as box:
        yield World(box, project, urls)
        said = "".join(process.text() for process in box.stack.processes.values())
        assert KEY not in said, "the API key is in a log"
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("edge-impulse-key", "mosquitto.log"):
            assert KEY.encode() not in path.read_bytes(), f"the API key is in {path.name}"


@pytest.fixture
def person(browser: Browser, world: World) -> Iterator[Visit]:
    with visit(browser, world.box) as window:
        yield window


def button(where: Visit | Locator, name: str) -> Locator:
    scope = where.page if isinstance(where, Visit) else where
    return scope.get_by_role("button", name=name, exact=True)


def test_project_is_linked_deployed_updated_with_a_trial_and_rolled_back(  # noqa: PLR0915 - one walk
    world: World, person: Visit
) -> None:
    page = person.page
    person.go("model")

    # A wrong key is told in words, and nothing is linked.
    button(person, "Link Edge Impulse").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("API key").fill("ei_wrong")
    dialog.get_by_text("Another server").click()
    dialog.get_by_label("Studio API").fill(world.urls.studio)
    dialog.get_by_label("Ingestion API").fill(world.urls.ingestion)
    button(dialog, "Link model").click()
    expect(dialog.get_by_role("alert")).to_contain_text("key")
    assert world.box.call("GET", "/project")["link"] is None

    # The right one links the project, fetches its model and shows it.
    dialog.get_by_label("API key").fill(KEY)
    dialog.get_by_label("Project ID").fill(str(world.project.id))
    button(dialog, "Link model").click()
    expect(person.heading()).to_have_text("Conveyor nuts", timeout=LONG_MS)
    assert world.box.call("GET", "/project")["link"]["name"] == "Conveyor nuts"
    assert KEY not in page.content()

    # Deployed on one camera, it runs.
    button(person, "Deploy").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Belt", exact=True).check()
    button(dialog, "Deploy").click()
    expect(page.get_by_text("Running", exact=True).first).to_be_visible(timeout=LONG_MS)

    # The project is trained again, which is noticed.
    world.project.next_training = Training(
        downloads(int8=retrained(shared(NUTS).read_bytes())), log=("Epoch 1/1",)
    )
    person.go("model")
    button(person, "Train again").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("compute minutes")
    button(dialog, "Train").click()
    expect(page.get_by_text("Update available")).to_be_visible(timeout=LONG_MS)
    page.get_by_role("link", name="Conveyor nuts", exact=True).click()
    button(person, "Fetch it").click()
    begin = button(person, "Try it beside the one in force")
    begin.click(timeout=LONG_MS)
    button(page.get_by_role("dialog"), "Begin the trial").click()

    # Both look at the same frames; then the new one is put in force.
    trial = page.get_by_role("region", name="A new version on trial")
    expect(trial.get_by_text("Same result")).to_be_visible(timeout=LONG_MS)
    expect(trial).to_contain_text("100%", timeout=LONG_MS)
    trial = page.get_by_role("region", name="The trial is over: what shall run?")
    expect(trial).to_contain_text("its outcome keeps the rules", timeout=LONG_MS)
    before = world.box.call("GET", "/models")["models"][0]["deployment"]["installed"]["digest"]
    trial.get_by_role("button", name="Put version").click()

    def installed() -> str:
        told = world.box.call("GET", "/models")["models"]
        (one,) = [model for model in told if model["deployment"]]
        return str(one["deployment"]["installed"]["digest"])

    page.get_by_role("link", name="Versions").click()
    expect(page.get_by_text("In force", exact=True)).to_be_visible()
    wait_for(lambda: installed() != before, 60, "the new version is in force")

    # And back.
    button(person, "Roll back").click()
    button(page.get_by_role("dialog"), "Roll back").click()
    expect(page.get_by_text("goes in force again")).to_be_visible(timeout=LONG_MS)
    wait_for(lambda: installed() == before, 60, "the old version is in force again")


def test_version_is_deleted_unless_it_is_in_use_and_with_the_last_its_model(
    world: World, person: Visit, tmp_path: Path
) -> None:
    page = person.page
    told = world.box.call("GET", "/models")
    (family,) = [model for model in told["models"] if model["deployment"]]
    in_force = family["deployment"]["installed"]["digest"]
    person.go(f"model/{family['model']}/versions")
    used = page.get_by_role("listitem").filter(has_text=in_force[:12])
    expect(used.get_by_role("button", name="Delete version")).to_be_disabled()

    model = tmp_path / "Short lived.tflite"
    model.write_bytes(shared("models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite").read_bytes())
    person.go("model")
    button(person, "Add a file").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(str(model))
    dialog.get_by_label("Labels").fill("beer, can")
    button(dialog, "Add").click()
    expect(person.heading()).to_have_text("Short lived", timeout=LONG_MS)

    def digests() -> set[str]:
        return {one["digest"] for one in world.box.call("GET", "/models")["versions"]}

    before = {one["digest"] for one in told["versions"]}
    (added,) = digests() - before
    page.get_by_role("link", name="Versions").click()
    page.get_by_role("button", name="Delete version").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It is the only one")
    button(dialog, "Cancel").click()
    assert added in digests()
    page.get_by_role("button", name="Delete version").click()
    button(page.get_by_role("dialog"), "Delete").click()
    expect(person.heading()).to_have_text("Model")
    expect(page.get_by_text("Short lived")).to_have_count(0)
    assert digests() == before


def test_file_is_added_by_dropping_it_and_tried_on_a_picture(person: Visit, tmp_path: Path) -> None:
    page = person.page
    person.go("model")
    button(person, "Add a file").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no model"}
    )
    expect(dialog).to_contain_text(".tflite")  # says what is taken
    model = tmp_path / "Beer & cans.tflite"
    model.write_bytes(shared("models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite").read_bytes())
    dialog.locator("input[type=file]").set_input_files(str(model))
    dialog.get_by_label("Labels").fill("beer, can")
    button(dialog, "Add").click()
    expect(person.heading()).to_have_text("Beer & cans", timeout=LONG_MS)

    page.get_by_role("link", name="Try a picture").click()
    page.locator("input[type=file]").set_input_files(
        {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8 no picture"}
    )
    person.excuse(r"409 POST .*/models/detect")
    expect(page.get_by_role("alert")).to_be_visible()
    button(person, "From Belt").click()
    expect(page.get_by_role("img", name="The picture, with")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_text("One run", exact=True).first).to_be_visible()


def test_version_is_edited_and_its_documentation_cannot_run_a_script(
    world: World, person: Visit
) -> None:
    page = person.page
    name = world.box.call("GET", "/models")["versions"][0]["model"]
    person.go(f"model/{name}")
    button(person, "Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Documentation").fill(
        "# Nuts\n\n**Evening light** <img src=x onerror=\"document.title='bad'\"> "
        "[look](javascript:alert(1))"
    )
    button(dialog, "Save").click()
    expect(page.get_by_role("heading", name="Nuts", exact=True)).to_be_visible()
    expect(page.locator("strong", has_text="Evening light")).to_be_visible()
    expect(page.get_by_text("<img src=x")).to_be_visible()  # as it was typed
    assert page.title() != "bad"
    assert page.locator("a[href^='javascript']").count() == 0


@pytest.mark.parametrize("theme", THEMES)
def test_nobody_is_shut_out(browser: Browser, world: World, theme: Theme) -> None:
    name = world.box.call("GET", "/models")["versions"][0]["model"]
    with visit(browser, world.box, theme=theme) as window:
        for place in ("model", f"model/{name}", f"model/{name}/versions", f"model/{name}/try"):
            window.go(place)
            assert window.barriers() == []
    with visit(browser, world.box, theme=theme, size="narrow") as window:
        for place in ("model", f"model/{name}", f"model/{name}/versions"):
            window.go(place)
            assert window.overflow() == 0, json.dumps(place)
