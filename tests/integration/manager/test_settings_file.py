"""settings.json as editors treat it."""

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nxai_common.errors import ConfigurationError, TransientError
from nxai_manager.adapters.settings_file import MAX_BYTES, SettingsFile
from support.samples import small_disk
from support.waiting import wait_for


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def rename_over(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + "~")
    fresh.write_text(text)
    fresh.replace(path)


def remove_and_create(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def move_link(path: Path, text: str) -> None:
    """As Kubernetes and some deployment tools do."""
    target = path.with_name("target-2")
    target.write_text(text)
    link = path.with_name("link")
    link.symlink_to(target)
    link.replace(path)


@contextlib.contextmanager
def watched(path: Path) -> Iterator[tuple[SettingsFile, threading.Event]]:
    """Watch a file that holds "one": nothing is noticed yet, and whatever comes will be."""
    file, noticed = SettingsFile(path), threading.Event()

    def sees() -> bool:
        path.write_text("one")
        return noticed.wait(0.3)

    with file.watch(noticed.set):
        wait_for(sees)  # a watch takes a moment to begin
        while noticed.wait(0.5):  # and tells of a few writes at once
            noticed.clear()
        file.read()
        file.changed()
        yield file, noticed


@pytest.mark.parametrize("edit", [rewrite, rename_over, remove_and_create, move_link])
def test_every_way_of_saving_is_noticed(tmp_path: Path, edit: Callable[[Path, str], None]) -> None:
    path = tmp_path / "settings.json"
    with watched(path) as (file, noticed):
        assert not file.changed()
        edit(path, "three")
        found = ""
        while found != "three":
            assert noticed.wait(15)
            noticed.clear()
            assert file.changed()
            found = file.read() or ""


def test_notice_is_a_change_though_nothing_else_tells_of_it(tmp_path: Path) -> None:
    """A file saved twice within one tick of the file system's clock looks the same."""
    path = tmp_path / "settings.json"
    with watched(path) as (file, noticed):
        path.write_text("two")
        assert noticed.wait(15)
        file.read()  # its signature is known now
        assert file.changed()


def test_change_without_a_notice_is_found_by_looking(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("one")
    file = SettingsFile(path)  # nobody watches
    file.read()
    assert not file.changed()
    path.write_text("three")
    assert file.changed()
    path.unlink()
    file.read()
    assert not file.changed()
    path.write_text("four")
    assert file.changed()


def test_rights_that_were_put_right_are_found_by_looking(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("one")
    path.chmod(0o000)
    file = SettingsFile(path)  # nobody watches
    with contextlib.suppress(ConfigurationError):  # root can read it all the same
        file.read()
    assert not file.changed()

    def put_right() -> bool:
        path.chmod(0o600)
        return file.changed()

    wait_for(put_right)  # more than once: a file system's clock stands still for milliseconds


def test_neighbours_in_the_folder_are_not_changes(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    with watched(path) as (file, noticed):
        (tmp_path / "settings.json.swp").write_text("x")
        file.keep_last_good("one")
        assert not noticed.wait(1)
        assert not file.changed()


def test_last_good_is_kept_beside_the_file_or_in_the_state_folder(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    assert SettingsFile(path).read_last_good() is None
    SettingsFile(path).keep_last_good("text")
    assert (tmp_path / "settings.json.last-good").read_text() == "text"
    state = tmp_path / "state"
    SettingsFile(path, state).keep_last_good("other")
    assert (state / "settings.json.last-good").read_text() == "other"
    assert SettingsFile(path, state).read_last_good() == "other"


def test_last_good_counts_as_kept_unless_it_surely_is_not(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    kept = tmp_path / "settings.json.last-good"
    assert SettingsFile(path).kept() is None
    kept.mkdir()  # cannot be read, but is there
    assert SettingsFile(path).kept() == str(kept)
    (tmp_path / "file").write_text("")
    assert SettingsFile(path, tmp_path / "file").kept() is None
    loop = tmp_path / "loop"
    loop.symlink_to(loop)  # stands for a folder that this user may not enter
    assert SettingsFile(path, loop).kept() == str(loop / kept.name)


def test_files_with_passwords_are_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.json"
    file = SettingsFile(path)
    file.create("text")
    file.keep_last_good("text")
    for written in path.parent.iterdir():
        assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_missing_file_is_none_and_a_mark_of_windows_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    assert SettingsFile(path).read() is None
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert SettingsFile(path).read() == "{}"


def test_file_that_cannot_be_read_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "settings.json"
    path.mkdir()  # what Docker makes of a mount whose file is missing
    with pytest.raises(ConfigurationError, match=r"settings\.json cannot be read: Is a directory"):
        SettingsFile(path).read()
    path.rmdir()
    path.write_bytes(b"{\n\xff}")
    with pytest.raises(ConfigurationError, match="line 2: not UTF-8 text"):
        SettingsFile(path).read()
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(ConfigurationError, match="is it another file"):
        SettingsFile(path).read()
    (tmp_path / "settings.json.last-good").mkdir()
    assert SettingsFile(path).read_last_good() is None
    assert "cannot be read" in caplog.text


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    file = SettingsFile(tmp_path / "file" / "settings.json")
    for write in (file.create, file.keep_last_good):
        with pytest.raises(TransientError, match=r"settings\.json.* cannot be written"):
            write("text")


def test_folder_that_cannot_be_watched_is_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    file = SettingsFile(tmp_path / "file" / "folder" / "settings.json")
    with file.watch(lambda: None):
        assert not file.changed()
        wait_for(lambda: "looking every second" in caplog.text)
    assert "looking every second" in caplog.text
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - names are the point


def test_text_is_replaced_only_where_it_is_the_one_that_was_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    file = SettingsFile(path)
    assert file.replace(None, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not file.replace(None, "two")
    assert not file.replace("other", "two")
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["settings.json"]  # noqa: PTH208 - names are the point
    path.chmod(0o644)
    assert file.replace("one", "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        file.replace("two", "three")
    assert os.listdir(tmp_path) == ["settings.json"]  # noqa: PTH208 - names are the point


def test_replacing_is_a_change_and_wakes_who_watches(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("one")
    file, woken = SettingsFile(path), threading.Event()
    file.read()
    assert file.replace("one", "two")  # nobody watches
    assert file.changed()
    assert file.read() == "two"
    with file.watch(woken.set):
        woken.clear()
        assert file.replace("two", "three")
        assert woken.is_set()  # at once, without the notice of the folder
        assert file.changed()


def test_glance_leaves_a_change_one(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    file = SettingsFile(path)
    assert file.glance() is None
    assert file.written_at() is None
    path.write_text("one")
    assert file.glance() == "one"
    assert file.changed()
    written = file.written_at()
    assert written is not None
    assert written.timestamp() == pytest.approx(path.stat().st_mtime, abs=1e-3)


def test_replacing_keeps_a_link(tmp_path: Path) -> None:
    target = tmp_path / "target.json"
    target.write_text("one")
    link = tmp_path / "settings.json"
    link.symlink_to(target)
    assert SettingsFile(link).replace("one", "two")
    assert link.is_symlink()
    assert target.read_text() == "two"


def test_disk_that_is_full_leaves_the_old_text(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "64k") as disk:
        path = disk.path / "settings.json"
        path.write_text("one")
        (disk.path / "filler").write_bytes(b"x" * disk.free)
        with pytest.raises(TransientError, match="cannot be written: No space left on device"):
            SettingsFile(path).replace("one", "two" * 4000)
        assert path.read_text() == "one"
        disk.read_only()
        with pytest.raises(TransientError, match="cannot be written: Read-only file system"):
            SettingsFile(path).replace("one", "two")
