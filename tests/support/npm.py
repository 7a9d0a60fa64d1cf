"""Programs from npm, each as pinned in a folder of tools/."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest


def install(pinned: Path, folder: Path, timeout_s: float) -> None:
    """Install what a folder pins into another one, where it is not, or is another version.

    Args:
        pinned: Has package.json and package-lock.json.
        folder: Gets node_modules; who comes meanwhile waits.
        timeout_s: How long npm may take.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not installed: apt-get install nodejs npm")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "installed.json"
        wanted = (pinned / "package-lock.json").read_bytes()
        if not stamp.exists() or stamp.read_bytes() != wanted:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(pinned / name, folder / name)
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=folder,
                check=True,
                timeout=timeout_s,
                stdout=subprocess.DEVNULL,
            )
            stamp.write_bytes(wanted)
