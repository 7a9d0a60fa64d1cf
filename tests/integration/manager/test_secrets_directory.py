"""Passwords on disk: private, whole, and with a revision that tells nothing."""

import json
import os
import stat
from pathlib import Path

import pytest

from nxai_common.errors import TransientError
from nxai_manager.adapters.secrets_directory import SecretsDirectory, write_private
from nxai_manager.core.compile import Login

JOE = Login("joe", 'p"w\\d ä\n')


def content(folder: Path, camera: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / f"camera-{camera}.json").read_text())
    return found


def test_secret_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    revisions = SecretsDirectory(folder).store({"camera-front": JOE})
    assert content(folder, "front") == {
        "username": JOE.username,
        "password": JOE.password,
        "revision": revisions["camera-front"],
    }
    assert stat.S_IMODE((folder / "camera-front.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_revision_stays_with_the_secret_over_a_restart_and_changes_with_it(tmp_path: Path) -> None:
    first = SecretsDirectory(tmp_path).store({"camera-a": JOE, "camera-b": JOE})
    again = SecretsDirectory(tmp_path).store({"camera-a": JOE, "camera-b": Login("joe", "new")})
    assert again["camera-a"] == first["camera-a"]
    assert again["camera-b"] != first["camera-b"]
    assert first["camera-a"] != first["camera-b"]  # the same password cannot be told by it


def test_revision_of_a_password_set_back_is_new(tmp_path: Path) -> None:
    directory = SecretsDirectory(tmp_path)
    seen = {
        directory.store({"camera-a": login})["camera-a"] for login in (JOE, Login("x", "y"), JOE)
    }
    assert len(seen) == 3


def test_stale_secrets_are_removed_and_foreign_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "broker.txt").write_text("mine")
    SecretsDirectory(tmp_path).store({"camera-a": JOE, "camera-b": JOE})
    SecretsDirectory(tmp_path).store({"camera-b": JOE})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broker.txt", "camera-b.json"]


@pytest.mark.parametrize("damage", ["", "{", '{"username": "joe"}', "[]"])
def test_damaged_file_is_written_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / "camera-a.json").write_text(damage)
    SecretsDirectory(tmp_path).store({"camera-a": JOE})
    assert content(tmp_path, "a")["password"] == JOE.password


def test_file_that_somebody_opened_up_is_closed_again(tmp_path: Path) -> None:
    directory = SecretsDirectory(tmp_path)
    before = directory.store({"camera-a": JOE})
    (tmp_path / "camera-a.json").chmod(0o644)
    assert directory.store({"camera-a": JOE}) == before
    assert stat.S_IMODE((tmp_path / "camera-a.json").stat().st_mode) == 0o600


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file where the folder should be")
    with pytest.raises(TransientError, match=r"secrets: File exists.*NXAI_MANAGER_SECRETS_DIR"):
        SecretsDirectory(tmp_path / "secrets").store({"camera-a": JOE})


def test_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - names are the point
