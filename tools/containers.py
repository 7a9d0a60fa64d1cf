"""The box in containers, as the command line tools beside this file see it.

Only the standard library: whoever runs the containers needs no virtual environment.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SERVICES: Final = ("mosquitto", "capture", "inference", "publisher", "manager", "cloud-sync")
HELPER_IMAGE: Final = "nxai-mosquitto"
"""For work in volumes: every box has it, with a shell and tar."""
LABEL: Final = "com.docker.compose"
LOOK_EVERY_S: Final = 1.0


class Trouble(Exception):  # noqa: N818 - what a person is told
    """Something did not work; the text says what, and what to do."""


class Box:
    """A Compose project."""

    def __init__(self, root: Path = ROOT) -> None:
        """Find the commands.

        Args:
            root: Where docker-compose.yml and .env are.

        Raises:
            Trouble: no Docker engine, or no Compose.
        """
        self.root = root
        self.env_file = root / ".env"
        self._environment: Mapping[str, str] = os.environ  # noqa: TID251 - handed on to docker
        if run(["docker", "info"]).returncode:
            raise Trouble("No Docker engine answers (docker info). Start it, and try again.")
        self._compose = ["docker", "compose"]
        if run([*self._compose, "version"]).returncode:
            self._compose = ["docker-compose"]
            if run([*self._compose, "version"]).returncode:
                raise Trouble("Neither `docker compose` nor `docker-compose` is installed.")
        self.project = self._project_name()

    def _project_name(self) -> str:
        """Return the name as Compose derives it: environment, .env, or the folder's name."""
        given = self._environment.get("COMPOSE_PROJECT_NAME") or self.variables().get(
            "COMPOSE_PROJECT_NAME"
        )
        if given:
            return given
        return re.sub("[^a-z0-9_-]", "", self.root.name.lower()).lstrip("_-")

    def variables(self) -> dict[str, str]:
        """Return what .env says."""
        if not self.env_file.is_file():
            return {}
        lines = (line.strip() for line in self.env_file.read_text().splitlines())
        pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
        return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}

    def compose(self, *words: str, told: bool = False) -> None:
        """Run a command of Compose; with `told` its output goes to the terminal.

        Raises:
            Trouble: it failed; with its last words.
        """
        command = [*self._compose, "--project-name", self.project, *words]
        done = run(command, cwd=self.root, captured=not told)
        if done.returncode:
            raise Trouble(f"`{' '.join(command)}` failed\n{last_words(done)}")

    def volumes(self) -> dict[str, str]:
        """Return the engine's name of each volume there is, by the name in docker-compose.yml."""
        listed = docker("volume", "ls", "--quiet", "--filter", self._filter()).split()
        if not listed:
            return {}
        about = json.loads(docker("volume", "inspect", *listed))
        return {each["Labels"][f"{LABEL}.volume"]: each["Name"] for each in about}

    def ensure_volumes(self, names: Iterable[str]) -> dict[str, str]:
        """Make those volumes that are missing, as Compose would; return all of these."""
        there = self.volumes()
        for name in names:
            if name not in there:
                there[name] = docker(
                    *("volume", "create", "--label", f"{LABEL}.project={self.project}"),
                    *("--label", f"{LABEL}.volume={name}", f"{self.project}_{name}"),
                ).strip()
        return there

    def containers(self, *, running: bool = False) -> dict[str, str]:
        """Return the name of each container, by id."""
        words = ["ps", "--no-trunc", "--filter", self._filter(), "--format", "{{.ID}} {{.Names}}"]
        listed = docker(*words, *([] if running else ["--all"])).splitlines()
        return dict(line.split(" ", 1) for line in listed)

    def check_images(self) -> None:
        """See that the image is there by which volumes are read and written.

        Raises:
            Trouble: it is not.
        """
        if run(["docker", "image", "inspect", HELPER_IMAGE]).returncode:
            raise Trouble("The images are not built here yet: make images")

    def images(self) -> tuple[str, ...]:
        """Return those images of our services that are there."""
        names = (f"nxai-{service}" for service in SERVICES)
        return tuple(n for n in names if run(["docker", "image", "inspect", n]).returncode == 0)

    def wait_healthy(self, patience_s: float, ids: AbstractSet[str] | None = None) -> None:
        """Wait until all containers run, and are healthy where they have a health check.

        Args:
            patience_s: How long.
            ids: Only these containers.

        Raises:
            Trouble: some are not; names them.
        """
        until = time.monotonic() + patience_s
        while bad := [said for each, said in self.unwell().items() if ids is None or each in ids]:
            if time.monotonic() > until:
                raise Trouble(f"after {patience_s:.0f} s not well: {', '.join(bad)}")
            time.sleep(LOOK_EVERY_S)

    def unwell(self) -> dict[str, str]:
        """Return what to say of each container that does not run, or is not healthy; by its id."""
        containers = self.containers()
        if not containers:
            return {"": "no container is there"}
        found = {}
        for each in json.loads(docker("inspect", *containers)):
            state = each["State"]
            health = state.get("Health", {}).get("Status", "healthy")
            if state["Status"] != "running" or health != "healthy":
                found[each["Id"]] = f"{each['Name'].lstrip('/')} ({state['Status']}, {health})"
        return found

    def _filter(self) -> str:
        return f"label={LABEL}.project={self.project}"


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, captured: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    stream = subprocess.PIPE if captured else None
    try:
        return subprocess.run(
            command, cwd=cwd, stdout=stream, stderr=stream, text=True, check=False
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} is not installed")


def docker(*words: str) -> str:
    """Return what a command of the engine prints.

    Raises:
        Trouble: it failed.
    """
    done = run(["docker", *words])
    if done.returncode:
        raise Trouble(f"`docker {' '.join(words[:3])} ...` failed\n{last_words(done)}")
    return done.stdout


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the end of what a command said."""
    return "\n".join(f"{done.stdout or ''}{done.stderr or ''}".strip().splitlines()[-15:])


def version(root: Path = ROOT) -> str:
    """Return the version of this tree."""
    found = re.search(r'^version = "([^"]+)"', (root / "pyproject.toml").read_text(), re.MULTILINE)
    return found[1] if found else "0"


def numbers_of(text: str) -> tuple[int, ...]:
    """Return a version as numbers that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, file=sys.stderr, flush=True)
