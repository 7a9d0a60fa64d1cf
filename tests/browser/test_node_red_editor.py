"""The flows of deploy/node-red, imported by hand in Node-RED's editor, one file after the other."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from support.broker import free_port
from support.browser import PATIENCE_MS
from support.node_red import FILES, FLOWS, NodeRed, flow

pytestmark = [pytest.mark.timeout(300)]

TABS = "() => { let count = 0; RED.nodes.eachWorkspace(() => { count += 1; }); return count; }"


def test_all_files_can_be_imported_and_share_one_broker(browser: Browser, tmp_path: Path) -> None:
    home = tmp_path / "node-red" / "home"
    home.mkdir(parents=True)
    (home / "flows.json").write_text("[]")
    nobody = str(free_port())
    with NodeRed(tmp_path / "node-red", NXAI_MQTT_PORT=nobody) as node_red:
        assert node_red.nodes() == []
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(node_red.url)
        page.wait_for_function("() => window.RED?.nodes?.getWorkspaceOrder().length > 0")
        page.locator("#red-ui-palette .red-ui-palette-node").first.wait_for()
        empty = page.evaluate(TABS)
        for number, name in enumerate(FILES, start=1):
            import_file(page, (FLOWS / name).read_text(), again=number > 1)
            page.wait_for_function(f"({TABS})() === {empty + number}")
        page.locator("#red-ui-header-button-deploy").click()
        page.get_by_text("Successfully deployed").wait_for()
        context.close()
        assert problems == []

        imported = node_red.nodes()
    types = [node["type"] for node in imported]
    assert types.count("mqtt-broker") == 1
    labels = {node["label"] for node in imported if node["type"] == "tab"}
    for name in FILES:
        nodes = flow(name)
        tab = next(node for node in nodes if node["type"] == "tab")
        assert tab["label"] in labels
        theirs = next(n["id"] for n in imported if n.get("label") == tab["label"])
        for node in nodes:
            if node.get("z") == tab["id"]:
                (found,) = (
                    other
                    for other in imported
                    if other.get("z") == theirs
                    and (other["x"], other["y"]) == (node["x"], node["y"])
                )
                kept = {"func", "initialize", "outputs", "topic", "rap", "rh", "datatype", "libs"}
                assert {k: v for k, v in found.items() if k in kept} == {
                    k: v for k, v in node.items() if k in kept
                }


def import_file(page: Page, text: str, *, again: bool) -> None:
    """Import as a person does."""
    page.keyboard.press("Control+i")
    area = page.locator("#red-ui-clipboard-dialog-import-text")
    expect(area).to_be_focused()
    area.fill(text)
    area.press("End")  # a key makes the editor look at what was put in
    page.locator("#red-ui-clipboard-dialog-ok").click()
    if again and '"mqtt-broker"' in text:
        page.get_by_role("button", name="Import copy").last.click()
