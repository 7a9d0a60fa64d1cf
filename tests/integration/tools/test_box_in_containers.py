"""Backup, restore and upgrade of containers, with a stand-in for the engine.

With a real one: tests/containers/test_safekeeping.py.
"""

import json
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.shared import ROOT

SETTINGS = "volumes/manager/settings.json"
BEFORE = "of before"


class Box:
    """A folder with the tools, volumes, and a `docker` that notes what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tools").mkdir(parents=True)
        for name in ("backup.py", "containers.py", "upgrade.py"):
            shutil.copy(ROOT / "tools" / name, folder / "tools")
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / "volumes/manager").mkdir(parents=True)
        (folder / SETTINGS).write_text(BEFORE)
        (folder / ".env").write_text("# of this box\nCOMPOSE_PROJECT_NAME='line-3'\n")
        (folder / "bin").mkdir()
        docker = folder / "bin/docker"
        docker.write_text(
            f"#!{sys.executable} -S\n{(ROOT / 'tests/support/docker_stand_in.py').read_text()}"
        )
        docker.chmod(0o755)
        (folder / "bin/docker-compose").symlink_to("/bin/false")

    def run(self, tool: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        (self.folder / "calls.jsonl").unlink(missing_ok=True)
        return subprocess.run(
            ["python3", self.folder / "tools" / tool, *words],
            env={"PATH": f"{self.folder}/bin:/usr/bin:/bin"},
            check=False,
            capture_output=True,
            text=True,
        )

    @property
    def calls(self) -> list[str]:
        """What the engine was told."""
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [" ".join(json.loads(line)) for line in lines]

    def told(self, *beginnings: str) -> list[str]:
        """Return which of these it was told, in order."""
        return [b for call in self.calls for b in beginnings if call.startswith(b)]

    @property
    def settings(self) -> str:
        return (self.folder / SETTINGS).read_text()


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "Box 1")


UP, DOWN = (f"compose --project-name line-3 {what}" for what in ("up", "down"))
TAG = "tag nxai-manager nxai-manager:before-upgrade"
TAG_BACK = "tag nxai-manager:before-upgrade nxai-manager"


def test_all_stands_still_while_it_is_copied(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "box.tar.gz"
    done = box.run("backup.py", "backup", file)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as archive:
        assert {"backup.json", "env", SETTINGS} <= set(archive.getnames())
    retained = "kill --signal USR1 1"  # the broker writes what is retained
    order = (retained, "pause 1", "pause 2", "run --rm", "unpause 1", "unpause 2")
    assert box.told(*order) == list(order)


def test_a_copy_that_fails_leaves_no_half_file_and_nothing_standing(
    box: Box, tmp_path: Path
) -> None:
    (box.folder / "fails").write_text("run --rm")
    done = box.run("backup.py", "backup", tmp_path / "box.tar.gz")
    assert done.returncode == 1
    assert "the volumes cannot be read" in done.stderr
    assert box.told("unpause") == ["unpause"] * 2
    assert not list(tmp_path.glob("box.tar.gz*"))


def test_restored_it_is_what_it_was_and_what_was_there_is_kept(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "box.tar.gz"
    env = box.folder / ".env"
    before = env.read_text()
    assert box.run("backup.py", "backup", file).returncode == 0
    (box.folder / SETTINGS).write_text("later")
    (box.folder / "volumes/manager/more").write_text("later")
    env.write_text(f"{before}LATER=1\n")
    done = box.run("backup.py", "restore", file)
    assert done.returncode == 0, done.stderr
    assert (box.settings, env.read_text()) == (BEFORE, before)
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert not (box.folder / "volumes/manager/more").exists()
    (kept,) = (box.folder / "backups").iterdir()
    with tarfile.open(kept) as archive:
        assert "volumes/manager/more" in archive.getnames()
    (other,) = box.folder.glob(".env.before-restore-*")
    assert "LATER=1" in other.read_text()
    assert box.told(DOWN, UP) == [DOWN, UP]
    assert box.run("backup.py", "restore", file).returncode == 0
    assert list(box.folder.glob(".env.before-restore-*")) == [other]  # it says the same


def test_an_upgrade_that_does_not_get_well_is_taken_back(box: Box) -> None:
    done = box.run("upgrade.py", "--patience", "0", "--build", "touch ill")
    assert done.returncode == 1
    assert "not well: box_mosquitto_1 (running, unhealthy)" in done.stderr
    assert "The box runs as before." in done.stderr
    assert box.settings == BEFORE
    assert box.told(TAG, TAG_BACK, DOWN, UP) == [TAG, DOWN, UP, DOWN, TAG_BACK, DOWN, UP]


def test_an_upgrade_that_cannot_be_built_changes_nothing(box: Box) -> None:
    done = box.run("upgrade.py", "--build", "false")
    assert done.returncode == 1
    assert "`false` failed; nothing was changed" in done.stderr
    assert box.told(TAG, TAG_BACK, DOWN, UP) == [TAG, TAG_BACK]


def test_an_upgrade(box: Box) -> None:
    (box.folder / "volumes/broker").mkdir()
    done = box.run("upgrade.py", "--build", "true")
    assert done.returncode == 0, done.stderr
    assert len(list((box.folder / "backups").iterdir())) == 1
    given = "run --rm --network none --user 0 --volume broker:/volume --entrypoint chown"
    assert box.told(TAG, TAG_BACK, DOWN, given, UP) == [TAG, DOWN, given, UP]


def test_without_a_name_the_project_is_called_as_its_folder(box: Box, tmp_path: Path) -> None:
    (box.folder / ".env").unlink()
    assert box.run("backup.py", "backup", tmp_path / "box.tar.gz").returncode == 0
    assert any("com.docker.compose.project=box1" in call for call in box.calls)


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        ("info", "No Docker engine answers"),
        ("image", "make images"),
        ("compose version", "Neither `docker compose` nor `docker-compose`"),
    ],
)
def test_what_is_missing_is_told(box: Box, tmp_path: Path, fails: str, told: str) -> None:
    (box.folder / "fails").write_text(fails)
    done = box.run("backup.py", "backup", tmp_path / "box.tar.gz")
    assert (done.returncode, told in done.stderr) == (1, True)
    assert not (tmp_path / "box.tar.gz").exists()
