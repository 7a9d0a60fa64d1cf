"""Bring the containers to this tree's version, and back to where they were if they do not start.

Backs up, builds, starts, and waits until every container is healthy. If one is not, images and
data are those of before: a newer version may have changed the data logger's tables.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from backup import back_up, examine, fill, new_file
from containers import HELPER_IMAGE, Box, Trouble, docker, run, say, version

BEFORE: Final = "before-upgrade"
"""Tag of the images that ran before."""
USER: Final = "10001:10001"
OWNED: Final = "broker"
"""Volume that belonged to another user before 0.2, when the broker began as root."""


def main() -> int:
    """Upgrade; return 0 when the new version runs, 1 when it does not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", default="", help="command that builds the images")
    parser.add_argument(
        "--patience", type=float, default=300.0, help="seconds until all is healthy"
    )
    options = parser.parse_args()
    try:
        return upgrade(Box(), options.build, options.patience)
    except Trouble as trouble:
        say(str(trouble))
        return 1


def upgrade(box: Box, build: str, patience_s: float) -> int:
    """Upgrade, or go back.

    Raises:
        Trouble: nothing was changed (backup or build failed), or the way back failed, too.
    """
    before = box.images()
    kept: Path | None = None
    if box.volumes():
        say("1. Backup")
        kept = new_file("before-upgrade")
        back_up(box, kept)
    for image in before:
        docker("tag", image, f"{image}:{BEFORE}")
    say("2. Build")
    try:
        build_images(box, build)
    except Trouble:
        tag_back(before)
        raise
    say("3. Start")
    try:
        if kept is not None:
            box.compose("down", "--timeout", "30")
            give_to_user(box)
        box.compose("up", "--detach", "--no-build")
        box.wait_healthy(patience_s)
    except Trouble as trouble:
        say(f"The new version does not start: {trouble}")
        if kept is None or not before:
            raise Trouble("There is no earlier version to go back to.") from trouble
        box.compose("logs", "--tail", "20", told=True)
        say("4. Back to what ran before")
        box.compose("down", "--timeout", "30")
        tag_back(before)
        fill(box, kept, examine(kept, "compose"))
        box.compose("up", "--detach", "--no-build")
        box.wait_healthy(patience_s)
        say("The box runs as before.")
        return 1
    say(f"The box runs version {version()}.")
    return 0


def build_images(box: Box, build: str) -> None:
    """Build all images.

    Raises:
        Trouble: that failed.
    """
    if not build:
        box.compose("build", told=True)
    elif run(["sh", "-c", build], cwd=box.root, captured=False).returncode:
        raise Trouble(f"`{build}` failed; nothing was changed")


def tag_back(images: tuple[str, ...]) -> None:
    """Give the images of before their names again."""
    for image in images:
        docker("tag", f"{image}:{BEFORE}", image)


def give_to_user(box: Box) -> None:
    """Give the broker's volume to the user it runs as."""
    volume = box.volumes().get(OWNED)
    if volume is not None:
        docker(
            *("run", "--rm", "--network", "none", "--user", "0", "--volume", f"{volume}:/volume"),
            *("--entrypoint", "chown", HELPER_IMAGE, "-R", USER, "/volume"),
        )


if __name__ == "__main__":
    sys.exit(main())
