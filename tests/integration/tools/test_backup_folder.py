"""Backup and restore of the folder of a `make run`: tools/backup.py as its user starts it."""

import fcntl
import json
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from support.shared import ROOT


def backup(*words: str | Path) -> subprocess.CompletedProcess[str]:
    # The system's Python: whoever has no virtual environment has a backup all the same.
    return subprocess.run(
        ["python3", ROOT / "tools/backup.py", *words], check=False, capture_output=True, text=True
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / ".run"
    (folder / "secrets").mkdir(parents=True)
    (folder / "settings.json").write_text('{"version": 1}')
    (folder / "secrets/front").write_text("secret")
    (folder / "secrets/front").chmod(0o600)
    (folder / "lock").touch()
    (folder / "supervisord.pid").write_text("1")
    return folder


def test_a_folder_is_what_it_was_and_the_present_one_is_kept(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "there/box.tar.gz"
    done = backup("backup", file, "--folder", state)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (state / "settings.json").write_text("later")
    (state / "more").write_text("later")
    (tmp_path / ".run.new").mkdir()  # of a restore that was broken off
    (tmp_path / ".run.new/half").touch()
    done = backup("restore", file, "--folder", state)
    assert done.returncode == 0, done.stderr
    assert (state / "settings.json").read_text() == '{"version": 1}'
    assert not (state / "more").exists()
    assert not (state / "half").exists()
    assert not (state / "supervisord.pid").exists()
    assert stat.S_IMODE((state / "secrets/front").stat().st_mode) == 0o600
    (kept,) = tmp_path.glob(".run.before-restore-*")
    assert (kept / "settings.json").read_text() == "later"
    assert str(kept) in done.stderr


@pytest.mark.parametrize("task", ["backup", "restore"])
def test_a_folder_in_use_is_left_alone(state: Path, tmp_path: Path, task: str) -> None:
    file = tmp_path / "box.tar.gz"
    assert backup("backup", file, "--folder", state).returncode == 0
    before = file.read_bytes()
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = backup(task, file, "--folder", state)
    assert done.returncode == 1
    assert "Stop it with Ctrl-C" in done.stderr
    assert file.read_bytes() == before
    assert (state / "settings.json").read_text() == '{"version": 1}'
    assert not list(tmp_path.glob(".run.*"))


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"version": "99.0.0"}, "Upgrade first"),
        ({"version": "0.10.0"}, "Upgrade first"),
        ({"format": 2}, "Upgrade first"),
        ({"kind": "compose"}, "make restore"),
    ],
)
def test_what_does_not_fit_is_refused(
    state: Path, tmp_path: Path, about: dict[str, object], told: str
) -> None:
    own = {"format": 1, "kind": "folder", "version": "0.1.0", "made": "now"} | about
    (tmp_path / "backup.json").write_text(json.dumps(own))
    with tarfile.open(tmp_path / "box.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "backup.json", "backup.json")
    done = backup("restore", tmp_path / "box.tar.gz", "--folder", state)
    assert done.returncode == 1
    assert told in done.stderr
    assert (state / "settings.json").read_text() == '{"version": 1}'


@pytest.mark.parametrize("name", ["folder/../../outside", "/outside"])
def test_what_would_be_written_elsewhere_is_refused(state: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "box.tar.gz"
    assert backup("backup", file, "--folder", state).returncode == 0
    with tarfile.open(file) as before, tarfile.open(tmp_path / "other.tar.gz", "w:gz") as other:
        for member in before:
            other.addfile(member, before.extractfile(member) if member.isreg() else None)
        other.addfile(tarfile.TarInfo(name))
    done = backup("restore", tmp_path / "other.tar.gz", "--folder", state)
    assert done.returncode == 1
    assert f"it would write to {name}" in done.stderr
    assert not list(tmp_path.glob(".run.*"))


def test_a_damaged_file_is_refused(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "box.tar.gz"
    assert backup("backup", file, "--folder", state).returncode == 0
    file.write_bytes(file.read_bytes()[:-10])
    done = backup("restore", file, "--folder", state)
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert (state / "settings.json").exists()


def test_a_missing_file_or_folder_is_told(state: Path, tmp_path: Path) -> None:
    done = backup("restore", tmp_path / "none.tar.gz", "--folder", state)
    assert (done.returncode, "There is no file" in done.stderr) == (1, True)
    done = backup("backup", tmp_path / "box.tar.gz", "--folder", tmp_path / "none")
    assert (done.returncode, "There is no folder" in done.stderr) == (1, True)
    assert not (tmp_path / "box.tar.gz").exists()
    assert backup("restore").returncode == 2
