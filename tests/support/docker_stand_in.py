"""What tools/backup.py and tools/upgrade.py need of `docker`; run as a program of that name.

Volumes are folders beside it, in `volumes/`. It notes each command in `calls.jsonl`. While there
is a file `ill`, no container gets well; the tag of the images of before takes it away.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(sys.argv[0]).absolute().parent.parent
VOLUMES: Final = HERE / "volumes"
ILL: Final = HERE / "ill"
FAILS: Final = HERE / "fails"
"""Beginning of the command that fails."""
CONTAINERS: Final = {"1": "box_mosquitto_1", "2": "box_manager_1"}


def main(words: Sequence[str]) -> int:
    """Do what the command line says."""
    with (HERE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if FAILS.exists() and " ".join(words).startswith(FAILS.read_text()):
        sys.stderr.write("that failed")
        return 1
    match words:
        case ["volume", "ls", *_]:
            sys.stdout.write("\n".join(path.name for path in VOLUMES.iterdir()))
        case ["volume", "inspect", *names]:
            sys.stdout.write(json.dumps([volume(name) for name in names]))
        case ["ps", *_]:
            sys.stdout.write("\n".join(f"{one} {name}" for one, name in CONTAINERS.items()))
        case ["inspect", *ids]:
            sys.stdout.write(json.dumps([container(one) for one in ids]))
        case ["tag", before, _] if before.endswith(":before-upgrade"):
            ILL.unlink(missing_ok=True)
        case ["compose", _, _, "up", *_] if ILL.exists():
            (VOLUMES / "manager/settings.json").write_text("of the new version")
        case ["run", *_] if "tar" in words:
            subprocess.run(["tar", "--create", "--directory", HERE, "volumes"], check=True)
        case ["run", *_] if "sh" in words:
            command = words[-1].replace("/box", ".")
            subprocess.run(["sh", "-c", command], cwd=HERE, check=True)
    return 0


def volume(name: str) -> dict[str, Any]:
    """Return what the engine says of a volume."""
    return {"Name": name, "Labels": {"com.docker.compose.volume": name}}


def container(one: str) -> dict[str, Any]:
    """Return what the engine says of a container; the first one has a health check."""
    state: dict[str, Any] = {"Status": "running"}
    if one == "1":
        state["Health"] = {"Status": "unhealthy" if ILL.exists() else "healthy"}
    return {"Id": one, "Name": f"/{CONTAINERS[one]}", "State": state}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
