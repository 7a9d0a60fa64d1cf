"""The official AsyncAPI parser (npm), as pinned in tools/asyncapi/package-lock.json."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final, TypedDict

from support import npm
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
    npm.install(PINNED, INSTALLED, INSTALL_S)
    shutil.copy(PINNED / "check.mjs", INSTALLED / "check.mjs")
    return INSTALLED
