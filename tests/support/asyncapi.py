"""The official AsyncAPI parser (npm), as pinned in tools/asyncapi/package-lock.json."""

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final, TypedDict

import pytest

from support.shared import ROOT

PINNED: Final = ROOT / "tools" / "asyncapi"
INSTALLED: Final = ROOT / ".tools" / "asyncapi"
INSTALL_S: Final = 150
"""170 small packages; seconds where the registry is near."""
PARSE_S: Final = 60


class Diagnostic(TypedDict):
    """One thing that the parser says."""

    severity: int
    """0: error, 1: warning, 2: information, 3: hint."""
    code: str
    message: str
    where: str


def diagnostics_of(document: Path) -> list[Diagnostic]:
    """Return all that the parser has to say of a document."""
    parser = _installed()
    command = ["node", str(parser / "check.mjs"), str(document)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PARSE_S, check=False)
    found: list[Diagnostic] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode != 0) == bool(found), done.stderr
    return found


def _installed() -> Path:
    """Return the folder of the parser; installs it where it is not, or is another version."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not installed: apt-get install nodejs npm")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = INSTALLED / "installed.json"
        wanted = (PINNED / "package-lock.json").read_bytes()
        if not stamp.exists() or stamp.read_bytes() != wanted:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(PINNED / name, INSTALLED / name)
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=INSTALLED,
                check=True,
                timeout=INSTALL_S,
                stdout=subprocess.DEVNULL,
            )
            stamp.write_bytes(wanted)
        shutil.copy(PINNED / "check.mjs", INSTALLED / "check.mjs")
    return INSTALLED
