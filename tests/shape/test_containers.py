"""What the files of the containers promise one another, without a Docker engine."""

import re
import tomllib
from typing import Any

import pytest

from support.shared import ROOT

COMPOSE = [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy/compose").glob("*.yml"))]
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")
EXAMPLE = re.compile(r"^#([A-Z_]+)=(.*)$", re.MULTILINE)
OF_COMPOSE = {"COMPOSE_FILE", "COMPOSE_PROFILES"}
PYTHONS = ("cp311", "cp312", "cp313")
ARCHITECTURES = ("x86_64", "aarch64")
RECIPES = sorted((ROOT / "deploy/docker").glob("*Dockerfile"))


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def test_the_example_has_every_variable_with_its_default() -> None:
    used: dict[str, set[str]] = {}
    for path in COMPOSE:
        for name, default in VARIABLE.findall(without_comments(path.read_text())):
            used.setdefault(name, set()).add(default)
    shown = dict(EXAMPLE.findall((ROOT / ".env.example").read_text()))
    assert shown.keys() == used.keys() | OF_COMPOSE
    wrong = {
        name: (shown[name], defaults)
        for name, defaults in used.items()
        # Where there is no default, the example shows one that does something.
        if defaults != {""} and not (shown[name] in defaults and len(defaults - {""}) == 1)
    }
    # cloud-sync's demo database is the file in its volume; the example leads to PostgreSQL.
    assert wrong.keys() == {"DATABASE_URL"}


def locked() -> dict[str, dict[str, Any]]:
    """Return the packages of uv.lock; of several versions of one, the wheels of all."""
    found: dict[str, dict[str, Any]] = {}
    with (ROOT / "uv.lock").open("rb") as file:
        for package in tomllib.load(file)["package"]:
            wheels = found.get(package["name"], {}).get("wheels", [])
            found[package["name"]] = package | {"wheels": [*wheels, *package.get("wheels", [])]}
    return found


def runtime_packages(packages: dict[str, dict[str, Any]]) -> set[str]:
    """Return what the images install: our services with their extras, and what those need."""
    wanted = [(name, "") for name in packages if name.startswith("nxai-") and name != "nxai-edge"]
    wanted += [
        (name, e) for name, _ in wanted for e in packages[name].get("optional-dependencies", {})
    ]
    seen: set[tuple[str, str]] = set()
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        package = packages[name]
        needs = package.get("optional-dependencies", {}).get(extra, []) if extra else []
        for need in (*package.get("dependencies", []), *needs):
            if "win32" in need.get("marker", "") or "darwin" in need.get("marker", ""):
                continue
            wanted += [(need["name"], ""), *((need["name"], e) for e in need.get("extra", []))]
    return {name for name, _ in seen if not name.startswith("nxai-")}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_dependency_has_a_wheel_for(architecture: str) -> None:
    packages = locked()
    needed = runtime_packages(packages)
    assert {"numpy", "onnxruntime", "ai-edge-litert", "psycopg-binary", "av"} <= needed
    missing = {
        name: python
        for name in sorted(needed)
        for python in PYTHONS
        if not any(
            fits(wheel["url"].rsplit("/", 1)[-1], python, architecture)
            for wheel in packages[name]["wheels"]
        )
    }
    assert missing == {}


def fits(wheel: str, python: str, architecture: str) -> bool:
    """Return whether a wheel is for a Python and a machine with glibc."""
    *_, tag, abi, platform = wheel.removesuffix(".whl").split("-")
    stable = abi == "abi3" and tag.startswith("cp3") and int(tag[3:]) <= int(python[3:])
    right_python = python in tag.split(".") or stable or "py3" in tag.split(".")
    here = platform == "any" or ("manylinux" in platform and architecture in platform)
    return right_python and here


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_an_image_is_for_every_architecture(path: Any) -> None:
    words = without_comments(path.read_text()).lower()
    assert not re.search(r"amd64|x86|aarch64|arm64|--platform", words)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_an_image_runs_as_a_user_by_number(path: Any) -> None:
    users = re.findall(r"^USER (.+)$", path.read_text(), re.MULTILINE)
    assert users == ["10001:10001"]


def test_the_image_knows_every_member_of_the_workspace() -> None:
    recipe = (ROOT / "deploy/docker/Dockerfile").read_text()
    members = {str(p.parent.relative_to(ROOT)) for p in ROOT.glob("services/*/pyproject.toml")}
    copied = set(re.findall(r"^COPY (services/\S+)/pyproject\.toml", recipe, re.MULTILINE))
    assert copied == members
