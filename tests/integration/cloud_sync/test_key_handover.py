"""The folder in which the manager leaves an API key: what is taken, what is removed."""

import os
import time
from pathlib import Path

import pytest

from nxai_cloud_sync.adapters.key_handover import LONGEST_S, NAME, KeyHandover
from nxai_cloud_sync.ports import HandedKey, StorageUnavailable
from nxai_common import logs
from nxai_common.errors import ConfigurationError

pytestmark = pytest.mark.integration

KEY = "ei_" + "0123456789abcdef" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def here(folder: Path) -> KeyHandover:
    made = KeyHandover(folder)
    made.open()
    return made


def leave(folder: Path, content: str = KEY, age_s: float = 0.0) -> Path:
    path = folder / NAME
    path.write_text(content)
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_a_key_is_taken_once(here: HandedKey, folder: Path) -> None:
    assert here.take() is None
    path = leave(folder, f"{KEY}\n")
    assert here.take() == KEY
    assert not path.exists()
    assert here.take() is None
    assert KEY not in logs.redact(f"a log line with {KEY}")


def test_the_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state/handover"
    before = os.umask(0)
    try:
        KeyHandover(folder).open()
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    KeyHandover(folder).open()


@pytest.mark.parametrize("content", ["", "\n", "password", "ei_", f"{KEY} {KEY}", "x" * 100_000])
def test_what_is_no_key_goes_and_is_not_shown(
    here: KeyHandover, folder: Path, content: str
) -> None:
    path = leave(folder, content)
    with pytest.raises(ConfigurationError, match="holds no API key of Edge Impulse") as caught:
        here.take()
    assert not path.exists()
    assert not any(word in str(caught.value) for word in content.split() if word != "ei_")


def test_no_link_and_no_pipe_is_read(here: KeyHandover, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(KEY)
    path = folder / NAME
    path.symlink_to(other)
    with pytest.raises(ConfigurationError, match="cannot be read: Too many levels of symbolic"):
        here.take()
    assert not path.is_symlink()
    assert other.read_text() == KEY
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="holds no API key"):
        here.take()
    assert not path.exists()


@pytest.mark.parametrize("age_s", [LONGEST_S + 5, -LONGEST_S - 5])
def test_what_was_left_for_another_command_is_not_taken(
    here: KeyHandover, folder: Path, age_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave(folder, age_s=age_s)
    assert here.take() is None
    assert not path.exists()
    assert f"an API key that nobody took in time was removed from {path}" in caplog.text
    assert KEY not in caplog.text


def test_only_what_nobody_took_in_time_is_swept(here: KeyHandover, folder: Path) -> None:
    (folder / "other").write_text("of somebody else")
    os.utime(folder / "other", (0, 0))
    path = leave(folder, age_s=LONGEST_S - 30)
    here.sweep()
    assert path.exists()
    unfinished = folder / f".{NAME}.1234.new"
    unfinished.write_text(KEY)
    os.utime(unfinished, (0, 0))
    leave(folder, age_s=LONGEST_S + 5)
    here.sweep()
    assert [left.name for left in folder.iterdir()] == ["other"]
    KeyHandover(folder / "none").sweep()


def test_a_key_that_cannot_be_removed_is_not_used(here: KeyHandover, folder: Path) -> None:
    """Else it would lie there for good; a folder of its name is as far as root comes here."""
    (folder / NAME).mkdir()
    with pytest.raises(ConfigurationError, match="cannot be deleted: Is a directory; delete it"):
        here.take()


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="cannot be used"):
        KeyHandover(tmp_path / "file" / "handover").open()
