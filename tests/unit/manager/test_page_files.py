"""What the page's files promise without a browser: libraries, texts, colours, first view."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from support.shared import ROOT

PAGE = ROOT / "services/manager/src/nxai_manager/page"
CSS = (PAGE / "css/tokens.css").read_text()
THEMES = ("light", "dark")


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# -- libraries ----------------------------------------------------------------------------------


def test_libraries_are_as_pinned() -> None:
    assert tool("vendor").differences() == []


def test_a_library_changed_by_hand_is_told(tmp_path: Path) -> None:
    vendor = tool("vendor")
    for path in (PAGE / "vendor").rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(PAGE / "vendor")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (tmp_path / "htm.js").write_text("changed")
    (tmp_path / "licences/preact.txt").unlink()
    (tmp_path / "other.js").write_text("")

    assert vendor.differences(tmp_path) == [
        "licences/preact.txt: missing",
        "htm.js: changed by hand",
        "other.js: belongs to no library",
    ]


def test_libraries_name_nothing_outside() -> None:
    for script in (PAGE / "vendor").glob("*.js"):
        text = script.read_text()
        assert "sourceMappingURL" not in text
        for imported in re.findall(r'from"([^"]+)"', text):
            assert (script.parent / imported).is_file(), f"{script.name} imports {imported}"


def test_every_icon_is_in_the_sprite() -> None:
    sprite = (PAGE / "vendor/icons.svg").read_text()
    there = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    named = re.compile(r'\bicon(?:End)?(?:=|: )"([a-z0-9-]+)"|<\$\{Icon\} name="([a-z0-9-]+)"')
    for script in (PAGE / "js").rglob("*.js"):
        for found in named.findall(script.read_text()):
            name = found[0] or found[1]
            assert name in there, f"{script.name}: {name} is not in tools/vendor.py"


# -- texts --------------------------------------------------------------------------------------


def test_every_text_is_translated() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/page_texts.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_texts_are_found() -> None:
    texts = tool("page_texts")
    source = """
        // t("not this one")
        t("Add a camera"); t("{n} of {all}", { n, all });
        tn(cameras.length, "{n} camera", "{n} cameras")
    """
    assert texts.texts_of(texts.without_comments(source)) == {
        "Add a camera": "Add a camera",
        "{n} of {all}": "{n} of {all}",
        "{n} cameras": {"one": "{n} camera", "other": "{n} cameras"},
    }
    assert texts.not_literal('t("fine")\nt(reason)\ntn(n, one, "others")') == [2, 3]


def test_a_translation_without_its_variable_is_told() -> None:
    untranslated = tool("page_texts").untranslated
    assert untranslated({"{name} is empty.": "Leer."}) == ["{name} is empty."]
    assert untranslated({"{n} cameras": {"one": "eine Kamera", "other": "{n} Kameras"}}) == []
    assert untranslated({"Run": ""}) == ["Run"]


# -- what is loaded -----------------------------------------------------------------------------


def static_imports(script: Path) -> set[Path]:
    imports = re.findall(
        r'^(?:import|export)\s(?:[^"();]*?from\s*)?"(\.[^"]+)";?$', script.read_text(), re.MULTILINE
    )
    imports += re.findall(r'from"(\./[^"]+)"', script.read_text())
    return {(script.parent / name).resolve() for name in imports}


def test_the_first_view_is_asked_for_at_once() -> None:
    wanted = {PAGE / "js/main.js"}
    waiting = list(wanted)
    while waiting:
        fresh = static_imports(waiting.pop()) - wanted
        wanted |= fresh
        waiting += fresh
    index = (PAGE / "index.html").read_text()
    named = set(re.findall(r'rel="modulepreload" href="([^"]+)"', index)) | {"js/main.js"}
    assert named == {path.relative_to(PAGE).as_posix() for path in wanted}


def test_nothing_is_inline() -> None:
    index = (PAGE / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", index) == []
    assert re.findall(r"https?://", index) == []


# -- colours ------------------------------------------------------------------------------------


def colours() -> dict[str, tuple[str, str]]:
    one = r"#[0-9a-f]{6}"
    found = re.findall(rf"--([\w-]+):\s*(?:light-dark\()?({one})(?:, ({one})\))?", CSS)
    return {name: (light, dark or light) for name, light, dark in found}


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


SURFACES = ("canvas", "surface", "raised", "sunken", "hover")
TEXTS = ("text", "text-soft", "text-faint")
TONES = ("ok", "warn", "bad", "idle", "info")
READ = 4.5
"""Text (WCAG 1.4.3)."""
SEEN = 3.0
"""Edges, signs and lines (WCAG 1.4.11)."""


@pytest.mark.parametrize("theme", THEMES)
def test_contrasts(theme: str) -> None:
    known = colours()
    at = THEMES.index(theme)
    promised = [
        *(
            (text, ground, READ)
            for text in ("text", "text-soft", "text-faint")
            for ground in SURFACES
        ),
        *(("accent-text", ground, READ) for ground in (*SURFACES, "accent-soft")),
        *(
            (f"{tone}-text", ground, READ)
            for tone in TONES
            for ground in (*SURFACES, f"{tone}-soft")
        ),
        *(("accent-ink", f"accent{state}", READ) for state in ("", "-hover", "-pressed")),
        *((tone, ground, SEEN) for tone in TONES for ground in SURFACES[:3]),
        *(("line-strong", ground, SEEN) for ground in SURFACES[:4]),
        *(("focus", ground, SEEN) for ground in SURFACES),
        *((f"series-{n}", ground, SEEN) for n in range(1, 9) for ground in ("surface", "canvas")),
        *(("box-ink", f"box-{n}", READ) for n in range(1, 13)),
    ]
    broken = [
        f"{one} on {other}: {contrast(known[one][at], known[other][at]):.2f} < {least}"
        for one, other, least in promised
        if contrast(known[one][at], known[other][at]) < least
    ]
    assert broken == []


def test_only_tokens_name_colours() -> None:
    named = re.compile(r"#[0-9a-f]{3,8}\b", re.IGNORECASE)
    elsewhere = {
        sheet.name: found
        for sheet in (PAGE / "css").rglob("*.css")
        if sheet.name != "tokens.css" and (found := named.findall(sheet.read_text()))
    }
    assert elsewhere == {}
