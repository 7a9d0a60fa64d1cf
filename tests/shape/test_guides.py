"""What the guides say is true: links lead somewhere, examples are taken, commands exist."""

import importlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from nxai_common.contracts import topics
from nxai_common.contracts.topics import ROOT as TOPIC_ROOT
from nxai_common.settings import ServiceSettings, variables
from nxai_manager.core.document import Camera, Outputs, Settings
from nxai_manager.core.problems import check_settings
from support.shared import ROOT

DOCS: Final = ROOT / "docs"
PAGES: Final = [ROOT / "README.md", *sorted(DOCS.glob("guides/*.md")), DOCS / "index.md"]
BLOCK: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LANGUAGES: Final = {"", "json", "python", "sh", "yaml", "text", "toml", "jinja", "javascript"}
FOREIGN: Final = frozenset(
    {"cat", "cd", "cp", "curl", "docker", "echo", "export", "git", "openssl", "sudo"}
)
"""Programs whose arguments are not looked at (docker is, below)."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str
    line: int

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            indent, language, body = match.groups()
            body = "".join(line[len(indent) :] for line in body.splitlines(keepends=True))
            line = text.count("\n", 0, match.start()) + 1
            if language in languages or not languages:
                found.append(Block(page, language, body, line))
    return found


def by_name(block: Block) -> str:
    return block.name


def test_the_site_builds_and_no_link_leads_nowhere(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    built = subprocess.run(
        [Path(sys.executable).with_name("zensical"), "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert (tmp_path / "site/guides/first-box.html").is_file()


def test_every_guide_is_in_the_table_of_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text()
    assert [p.name for p in DOCS.glob("guides/*.md") if f"guides/{p.name}" not in contents] == []


def test_blocks_say_what_they_are() -> None:
    assert {block.language for block in blocks()} <= LANGUAGES


@pytest.mark.parametrize("block", blocks("json"), ids=by_name)
def test_an_example_of_settings_is_taken(block: Block) -> None:
    document = as_settings(read(block.text))
    check_settings(json.dumps(document))


def read(text: str) -> dict[str, Any]:
    """Return the object in a block; some show a key and its value alone."""
    whole: dict[str, Any] = json.loads(text if text.startswith("{") else f"{{{text}}}")
    return whole


def as_settings(part: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that an example is a part of, with what it refers to."""
    settings = completed(part)
    cameras = settings.setdefault("cameras", [])
    models = settings.setdefault("models", [])
    outputs = settings.get("outputs", {})
    items = [i for kind in ("alarms", "destinations", "processors") for i in outputs.get(kind, [])]
    for name in {name for item in items for name in item.get("cameras", [])}:
        if name not in {camera["id"] for camera in cameras}:
            cameras.append({"id": name})
    for camera in cameras:
        camera.setdefault("source", {"type": "demo"})
    uses = [use for camera in cameras for use in camera.get("models", [])]
    for name in dict.fromkeys(use if isinstance(use, str) else use["id"] for use in uses):
        if name not in {model["id"] for model in models}:
            models.append({"id": name, "path": name})
    return settings


def completed(part: dict[str, Any]) -> dict[str, Any]:
    """Return whole settings that hold a part of them."""
    if "source" in part:
        return {"cameras": [part]}
    if {"type", "id"} <= part.keys():
        return {"outputs": {"destinations": [part]}}
    if part.keys() <= Outputs.model_fields.keys():
        return {"outputs": part}
    if part.keys() <= Settings.model_fields.keys() | {"$schema"}:
        return part
    unknown = part.keys() - Camera.model_fields.keys()
    assert not unknown, f"neither settings nor a part of them: {unknown}"
    return {"cameras": [{"id": "front"} | part]}


@pytest.mark.parametrize("block", blocks("python"), ids=by_name)
def test_an_example_of_python_runs(block: Block) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("block", blocks("yaml"), ids=by_name)
def test_an_example_of_yaml_can_be_read(block: Block) -> None:
    class Loader(yaml.SafeLoader):
        """Home Assistant's tags are left alone."""

    Loader.add_multi_constructor("!", lambda _loader, tag, _node: tag)
    yaml.load(block.text, Loader=Loader)  # noqa: S506 - a safe one


@pytest.mark.parametrize("block", blocks("sh"), ids=by_name)
def test_a_command_exists(block: Block) -> None:
    text = block.text.replace("\\\n", " ")
    for line in filter(None, (line.partition(" #")[0].strip() for line in text.splitlines())):
        if not line.startswith("#"):
            check_command(line)


def check_command(line: str) -> None:
    """Look at one command line: what it starts must be there."""
    words = line.split()
    while words and re.fullmatch(r"[A-Z][A-Z0-9_]*=\S*", words[0]):
        variable = words.pop(0).partition("=")[0]
        if variable.startswith("NXAI_"):
            assert variable in known_variables(), f"{variable} is not known: {line}"
    if not words:
        return
    program = words[0]
    if program == "make":
        goals = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
        assert not [goal for goal in goals if f"\n{goal}:" not in MAKEFILE], line
    elif program in {"docker", "docker-compose"} and "compose" in line:
        check_compose(words, line)
    elif program in {"mosquitto_sub", "mosquitto_pub"}:
        check_topics(line)
    elif program.startswith((".venv/bin/nxai-", "nxai-", "tools/nxai")):
        pass  # the command lines have tests of their own
    else:
        assert program in FOREIGN, f"what is {program!r}? {line}"


MAKEFILE: Final = "\n" + (ROOT / "Makefile").read_text()


def known_variables() -> set[str]:
    for role in ("capture", "inference", "publisher", "manager", "cloud_sync"):
        importlib.import_module(f"nxai_{role}.settings")
    return {v.name for kind in ServiceSettings.__subclasses__() for v in variables(kind)}


def check_compose(words: list[str], line: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    profiles = {p for service in compose["services"].values() for p in service.get("profiles", [])}
    for option, name in itertools.pairwise(words):
        if option == "--profile":
            assert name in profiles, line
        if option == "-f":
            assert (ROOT / name).is_file(), line
        if option == "--scale":
            assert name.partition("=")[0] in compose["services"], line
    for verb in ("exec", "logs", "restart"):
        if verb in words:
            rest = [w for w in words[words.index(verb) + 1 :] if not w.startswith("-")]
            assert rest[0] in compose["services"], line


def check_topics(line: str) -> None:
    found = re.findall(r"-t '?([^' ]+)", line)
    assert found, line
    for topic in found:
        parts = topic.split("/")
        ours = "/".join(parts[:2]) == TOPIC_ROOT
        assert ours or topic.startswith(("$SYS/", "homeassistant/")), line
        if ours and "#" not in topic:
            assert any(fits(parts[3:], template.text) for template in TEMPLATES), line


TEMPLATES: Final = [v for v in vars(topics).values() if isinstance(v, topics.TopicTemplate)]


def fits(parts: list[str], template: str) -> bool:
    wanted = template.split("/")
    return len(parts) == len(wanted) and all(
        want.startswith("{") or part in ("+", want)
        for part, want in zip(parts, wanted, strict=True)
    )
