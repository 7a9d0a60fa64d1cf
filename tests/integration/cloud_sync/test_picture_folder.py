import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nxai_cloud_sync.adapters.picture_folder import UNFINISHED, PictureFolder
from nxai_cloud_sync.ports import StorageUnavailable
from support.samples import SmallDisk, small_disk

ID = "front-20261122t100000000-0000abcd"


@pytest.fixture
def folder(tmp_path: Path) -> PictureFolder:
    made = PictureFolder(tmp_path / "pictures")
    made.make()
    return made


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "1m") as disk:
        yield disk


def test_a_picture_lies_in_one_of_256_folders(folder: PictureFolder) -> None:
    folder.put(ID, b"jpeg")
    assert folder.path(ID) == folder.root / "cd" / f"{ID}.jpg"
    assert folder.path(ID).read_bytes() == b"jpeg"
    assert folder.shards() == {"cd"}
    assert folder.in_shard("cd") == {ID}
    assert folder.in_shard("ef") == frozenset()


def test_pictures_are_for_this_user_alone(folder: PictureFolder) -> None:
    assert folder.root.stat().st_mode & 0o777 == 0o700
    folder.put(ID, b"jpeg")
    folder.make()  # once more changes nothing
    assert folder.path(ID).exists()


def test_a_picture_is_on_the_disk_before_it_has_its_name_and_the_name_after(
    folder: PictureFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be caused here; what it takes to survive one can be seen."""
    folder.put(ID, b"jpeg")
    done: list[tuple[str, str]] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        done.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        sync(descriptor)

    def note_replace(path: Path, target: Path) -> Path:
        done.append(("name", target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    folder.put(ID, b"jpeg")
    assert done == [("sync", f"{ID}{UNFINISHED}"), ("name", f"{ID}.jpg"), ("sync", "cd")]
    done.clear()
    folder.put(f"{ID}ef", b"jpeg")
    assert done[0] == ("sync", "pictures")  # the new folder has its name, too


def test_putting_again_replaces(folder: PictureFolder) -> None:
    folder.put(ID, b"jpeg")
    folder.put(ID, b"jpeg 2")
    assert folder.path(ID).read_bytes() == b"jpeg 2"


def test_removing_what_is_not_there_is_fine(folder: PictureFolder) -> None:
    folder.put(ID, b"jpeg")
    folder.remove(ID)
    folder.remove(ID)
    assert folder.in_shard("cd") == frozenset()


def test_what_was_left_unfinished_is_deleted(folder: PictureFolder) -> None:
    folder.put(ID, b"jpeg")
    left = folder.path(ID).with_suffix(UNFINISHED)
    left.write_bytes(b"jp")
    note = left.with_name("note.txt")
    note.write_text("somebody's")
    assert folder.in_shard("cd") == {ID}
    assert not left.exists()
    assert note.exists()


def test_a_picture_for_which_there_is_no_room_leaves_nothing(disk: SmallDisk) -> None:
    folder = PictureFolder(disk.path / "pictures")
    folder.make()
    with pytest.raises(StorageUnavailable, match="the disk is full; make room there"):
        folder.put(ID, b"x" * 3_000_000)
    assert list((folder.root / "cd").iterdir()) == []
    disk.resize("8m")
    folder.put(ID, b"x" * 3_000_000)
    assert folder.path(ID).stat().st_size == 3_000_000


def test_a_disk_that_cannot_be_written_says_so(disk: SmallDisk) -> None:
    folder = PictureFolder(disk.path / "pictures")
    folder.make()
    folder.put(ID, b"jpeg")
    disk.read_only()
    with pytest.raises(StorageUnavailable, match=r"pictures: it may not be written; check"):
        folder.put(f"{ID}ef", b"jpeg")
    with pytest.raises(StorageUnavailable, match="may not be written"):
        folder.remove(ID)
    with pytest.raises(StorageUnavailable, match="may not be written"):
        PictureFolder(disk.path / "others").make()
    assert folder.path(ID).read_bytes() == b"jpeg"


def test_a_file_in_the_way_says_so(folder: PictureFolder) -> None:
    (folder.root / "cd").write_text("in the way")
    with pytest.raises(StorageUnavailable, match=str(folder.root)):
        folder.put(ID, b"jpeg")
