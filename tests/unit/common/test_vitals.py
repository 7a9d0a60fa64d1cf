"""What the machine knows of a process."""

import mmap
import os
import resource
import threading
from pathlib import Path

import pytest

from nxai_common.vitals import MIB, vitals

pytestmark = pytest.mark.unit


def test_memory_that_is_touched_is_seen_and_goes_again(tmp_path: Path) -> None:
    before = vitals(tmp_path)["memory_mb"]
    with mmap.mmap(-1, 64 * MIB) as block:
        for page in range(0, len(block), resource.getpagesize()):
            block[page] = 1
        assert vitals(tmp_path)["memory_mb"] - before > 60
    assert vitals(tmp_path)["memory_mb"] - before < 60


def test_threads_and_files_are_counted_while_they_are_open(tmp_path: Path) -> None:
    ended = threading.Event()
    before = vitals(tmp_path)
    assert before["open_files"] == len(list(Path("/proc/self/fd").iterdir())) - 1
    thread = threading.Thread(target=ended.wait, args=(30,))
    thread.start()
    with (tmp_path / "open").open("w"):
        now = vitals(tmp_path)
    ended.set()
    thread.join()
    assert now["threads"] == before["threads"] + 1
    assert now["open_files"] == before["open_files"] + 1


def test_the_disk_of_a_folder_that_is_not_made_yet_is_that_of_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = os.statvfs(tmp_path)
    for folder in (tmp_path, tmp_path / "run" / "capture"):
        seen = vitals(folder)
        assert seen["disk_size_mb"] == room.f_blocks * room.f_frsize // MIB
        assert seen["disk_size_mb"] >= seen["disk_free_mb"] > 0
    monkeypatch.chdir(tmp_path)
    assert vitals(Path(".run"))["disk_size_mb"] == room.f_blocks * room.f_frsize // MIB


def test_where_nobody_can_be_asked_there_are_zeros(tmp_path: Path) -> None:
    for broken in ("", "many pages", "1"):
        (tmp_path / "statm").write_text(broken)
        (tmp_path / "file").touch()
        # A file where a folder should be: the disk cannot be asked either.
        seen = vitals(tmp_path / "file" / "below", process=tmp_path)
        assert seen == {
            "memory_mb": 0,
            "threads": threading.active_count(),
            "open_files": 0,
            "disk_free_mb": 0,
            "disk_size_mb": 0,
        }
