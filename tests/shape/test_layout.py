"""The shape of the tree: who may import whom, and what a service consists of."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.shared import ROOT

SERVICES = sorted(path for path in (ROOT / "services").iterdir() if path.is_dir())
SOURCES = sorted(
    path for part in ("libs", "services") for path in (ROOT / part).glob("*/src/**/*.py")
)
SERVICE_FILES = [
    "README.md",
    "pyproject.toml",
    "src/{package}/__main__.py",
    "src/{package}/adapters/__init__.py",
    "src/{package}/core/__init__.py",
    "src/{package}/ports.py",
    "src/{package}/py.typed",
    "src/{package}/service.py",
    "src/{package}/settings.py",
]
CONTRACTS = [
    "Services never import one another",
    "nxai_common imports no service",
    "core is pure: no bus, no adapter, no I/O",
    "core knows nothing of the service around it",
    "contracts stand at the bottom",
    "paho lives in nxai_common.bus alone",
]
NOTHING_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_look_at() -> None:
    assert [path.name for path in SERVICES] == [
        "capture",
        "cloud-sync",
        "inference",
        "manager",
        "publisher",
    ]
    assert len(SOURCES) > 50


def test_imports_keep_their_contracts() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
    assert [line.removesuffix(" KEPT") for line in run.stdout.splitlines() if "KEPT" in line] == (
        CONTRACTS
    )


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_every_service_has_the_same_files(service: Path) -> None:
    package = f"nxai_{service.name.replace('-', '_')}"
    missing = [
        file
        for file in (file.format(package=package) for file in SERVICE_FILES)
        if not (service / file).is_file()
    ]
    assert missing == []


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_readme_of_a_service_fits_on_half_a_page_and_says_how_it_fails(service: Path) -> None:
    text = (service / "README.md").read_text()
    assert len(text.splitlines()) <= 60
    assert re.search("fail", text, re.IGNORECASE)


def plain_strings(path: Path) -> Iterator[str]:
    """Yield the texts of a module that are not documentation."""
    tree = ast.parse(path.read_text())
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_topics_are_written_in_one_place() -> None:
    elsewhere = [path for path in SOURCES if path.parts[-2:] != ("contracts", "topics.py")]
    assert len(elsewhere) == len(SOURCES) - 1
    found = [
        f"{name(path)}: {text}"
        for path in elsewhere
        for text in plain_strings(path)
        if re.search(r"nxai/v1|(cameras|services|models)/[{+]", text)
        and not text.startswith("/")  # a path of the REST interface
    ]
    assert found == []


def test_names_say_what_a_thing_is() -> None:
    assert [name(path) for path in SOURCES if path.stem in NOTHING_NAMES] == []
    classes = [
        f"{name(path)}: {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and re.search("(Manager|Helper|Utils?)$", node.name)
    ]
    assert classes == []


def test_environment_is_read_in_settings_alone() -> None:
    readers = {
        name(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    }
    assert readers == {"libs/nxai_common/src/nxai_common/settings.py"}


def test_every_exemption_says_why() -> None:
    exemption = re.compile(r"#\s*(noqa|type:\s*ignore)")
    with_reason = re.compile(
        r"#\s*(noqa:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*\s*-|type:\s*ignore\[[a-z, -]+\]\s*#)\s*\S+"
    )
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if exemption.search(line) and not with_reason.search(line)
    ]
    assert found == []


def test_sources_name_no_path_of_the_machine_they_were_written_on() -> None:
    bad = re.compile(r"/(home|root|work)/[a-z]")
    assert [name(path) for path in SOURCES if bad.search(path.read_text())] == []
