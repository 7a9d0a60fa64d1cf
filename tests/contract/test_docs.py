"""The generated pages are those of this code."""

import importlib.util
import json
import re
from types import ModuleType

import pytest

from nxai_common.contracts.base import AttachedMessage, RawMessage
from support import golden
from support.shared import ROOT


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = ROOT / "tools" / "generate_docs.py"
    spec = importlib.util.spec_from_file_location("generate_docs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date(
    generator: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    code = generator.main(["--check"])
    assert code == 0, f"run `make docs`:\n{capsys.readouterr().out}"


def test_every_message_has_a_section_an_example_and_a_schema(generator: ModuleType) -> None:
    pages = dict(generator.documents())
    sections = re.split(r"^## ", pages["messages.md"], flags=re.MULTILINE)
    titled = {section.splitlines()[0]: section for section in sections[1:]}
    for kind in golden.message_classes():
        section = titled[kind.__name__]
        if issubclass(kind, RawMessage):
            continue
        assert "```json" in section
        properties = json.loads(pages[f"schemas/{kind.__name__}.json"]).get("properties", {})
        assert "attachment" not in properties
        head = golden.example(kind).encode()
        if issubclass(kind, AttachedMessage):
            head = head.partition(b"\n")[0]
        if kind.__name__ != "Output":  # an array
            assert set(json.loads(head)) <= set(properties)


def test_out_of_date_pages_are_named_and_written(
    generator: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("docs")
    monkeypatch.setattr(generator, "ROOT", folder)
    monkeypatch.setattr(generator, "DOCS", folder / "docs")
    (folder / "docs" / "schemas").mkdir(parents=True)
    (folder / "docs" / "schemas" / "Gone.json").write_text("{}")
    assert generator.main(["--check"]) == 1
    assert "docs/messages.md is out of date" in capsys.readouterr().out
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    assert not (folder / "docs" / "schemas" / "Gone.json").exists()
