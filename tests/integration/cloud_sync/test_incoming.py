"""Files that are received part by part, on a real disk."""

import os
import time
from pathlib import Path

import pytest

from nxai_cloud_sync import incoming
from nxai_cloud_sync.incoming import GIVEN_UP_S, LEFT_OVER_S, MOST_FILES, GapError, Incoming
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_common.contracts.commands import MAX_INCOMING_BYTES
from nxai_common.errors import RejectedError
from support.samples import small_disk

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "incoming"


@pytest.fixture
def here(folder: Path) -> Incoming:
    return Incoming(folder)


def lie(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# -- receiving ------------------------------------------------------------------------------------


def test_parts_become_a_file_that_only_this_user_reads(here: Incoming, folder: Path) -> None:
    before = os.umask(0)
    try:
        assert here.receive("a.tflite", 0, b"one") == 3
        assert here.receive("a.tflite", 3, b"two") == 6
    finally:
        os.umask(before)
    assert lie(folder) == {".received/a.tflite": b"onetwo"}
    path = here.take("a.tflite", by=1)
    assert (path.name, path.read_bytes()) == ("a.tflite", b"onetwo")
    assert path.stat().st_mode & 0o777 == 0o600
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o700}
    here.release(path)
    assert lie(folder) == {}


def test_a_part_that_was_sent_before_does_no_harm(here: Incoming, folder: Path) -> None:
    for offset in (0, 3, 6):
        for _ in range(2):
            assert here.receive("a", offset, b"abc") == offset + 3
    assert here.receive("a", 3, b"abc") == 9, "also a late one"
    assert here.receive("a", 9, b"") == 9
    assert here.receive("a", 7, b"bcd") == 10
    assert lie(folder) == {".received/a": b"abcabcabcd"}


def test_the_first_part_begins_anew(here: Incoming, folder: Path) -> None:
    here.receive("a", 0, b"old and long")
    assert here.receive("a", 0, b"new") == 3
    assert lie(folder) == {".received/a": b"new"}
    assert here.receive("a", 0, b"") == 0


def test_a_gap_is_refused_with_the_size(here: Incoming, folder: Path) -> None:
    here.receive("a", 0, b"12345")
    with pytest.raises(GapError) as caught:
        here.receive("a", 6, b"x")
    assert caught.value.size == 5
    with pytest.raises(GapError) as caught:
        here.receive("b", 1, b"x")
    assert caught.value.size == 0
    assert lie(folder) == {".received/a": b"12345"}


def test_no_file_is_larger_than_a_model(here: Incoming, folder: Path) -> None:
    with pytest.raises(RejectedError, match="'a' has more than 300 MiB, which no model has"):
        here.receive("a", MAX_INCOMING_BYTES - 1, b"xx")
    assert not folder.exists()


def test_no_more_files_are_received_than_people_send(here: Incoming, folder: Path) -> None:
    for number in range(MOST_FILES):
        here.receive(f"{number}", 0, b"x")
    with pytest.raises(RejectedError, match=f"{MOST_FILES} files are being received already"):
        here.receive("one-too-many", 0, b"x")
    assert here.receive("3", 1, b"y") == 2
    here.discard("5")
    here.receive("another", 0, b"x")
    assert len(lie(folder)) == MOST_FILES


def test_what_a_person_put_there_is_another_file(here: Incoming, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"by hand")
    here.receive("a", 0, b"received")
    path = here.take("a", by=1)
    assert path.read_bytes() == b"received"
    here.release(path)
    assert lie(folder) == {"a": b"by hand"}
    by_hand = here.take("a", by=2)
    assert by_hand == folder / "a"
    here.discard("a")
    here.release(by_hand)
    assert lie(folder) == {}


# -- what nobody may reach ------------------------------------------------------------------------


def test_no_link_is_followed(here: Incoming, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    here.receive("b", 0, b"x")
    for link in (folder / ".received/a", folder / "c"):
        link.symlink_to(secret)
    with pytest.raises(StorageUnavailable, match="cannot be used: Too many levels of symbolic"):
        here.receive("a", 0, b"x")
    with pytest.raises(GapError):
        here.receive("a", 3, b"x")
    for name in ("a", "c"):
        with pytest.raises(RejectedError, match=f"there is no file '{name}'"):
            here.take(name, by=1)
    here.discard("a")
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize("name", ["", ".", "..", "../a", ".received", ".received/a", "/etc/passwd"])
def test_no_name_leads_elsewhere(here: Incoming, folder: Path, name: str) -> None:
    here.receive("a", 0, b"x")
    (folder.parent / "a").write_bytes(b"x")
    with pytest.raises(RejectedError, match="there is no file"):
        here.take(name, by=1)


# -- importing ------------------------------------------------------------------------------------


def test_a_file_that_is_imported_is_not_overwritten(here: Incoming, folder: Path) -> None:
    here.receive("a", 0, b"first")
    path = here.take("a", by="one")
    assert here.take("a", by="one") == path
    with pytest.raises(RejectedError, match="'a' is being imported already; wait for its end"):
        here.take("a", by="another")
    with pytest.raises(RejectedError, match="'a' is being imported; wait for its end, or use"):
        here.receive("a", 0, b"second")
    here.discard("a")
    assert lie(folder) == {".importing/a": b"first"}
    here.put_back(path)
    assert lie(folder) == {".received/a": b"first"}
    assert here.receive("a", 5, b" and second") == 16
    here.release(here.take("a", by="another"))
    assert lie(folder) == {}


def test_a_file_of_a_person_stays_where_it_is_when_it_is_not_imported(
    here: Incoming, folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"x")
    here.put_back(here.take("a", by=1))
    assert here.take("a", by=2) == folder / "a"


def test_what_is_given_up_goes(
    here: Incoming, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.receive("under way", 0, b"x")
    here.receive("imported", 0, b"x")
    path = here.take("imported", by=1)
    (folder / "by hand").write_bytes(b"x")
    (folder / "held").write_bytes(b"x")
    here.take("held", by=2)
    born = time.time()
    here.sweep()
    assert len(lie(folder)) == 4
    monkeypatch.setattr(time, "time", lambda: born + GIVEN_UP_S + 1)
    here.sweep()
    assert set(lie(folder)) == {".importing/imported", "by hand", "held"}
    monkeypatch.setattr(time, "time", lambda: born + LEFT_OVER_S + 1)
    here.sweep()
    assert set(lie(folder)) == {".importing/imported", "held"}
    Incoming(folder).sweep()  # of another process: nothing is imported now
    assert lie(folder) == {}
    here.release(path)
    Incoming(folder / "none").sweep()


def test_what_cannot_be_removed_is_told_and_left(
    here: Incoming, caplog: pytest.LogCaptureFixture
) -> None:
    here.receive("a", 0, b"x")
    path = here.take("a", by=1)
    path.unlink()
    path.mkdir()
    here.release(path)
    assert f"{path} cannot be removed" in caplog.text


# -- the disk -------------------------------------------------------------------------------------


def test_some_of_the_disk_stays_free(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "68m") as disk:
        here = Incoming(disk.path / "incoming")
        mb = b"x" * 1_000_000
        size = 0
        while disk.free > 65_500_000:
            size = here.receive("a", size, mb)
        assert size > 1_000_000
        with pytest.raises(StorageUnavailable) as caught:
            here.receive("a", size, b"x" * 2_000_000)
        assert str(caught.value) == (
            f"the disk of {disk.path / 'incoming'} has 65 MB left, and 64 MB stay free for what "
            "the box does: make room, or delete models that are not used"
        )
        disk.resize("100m")
        assert here.receive("a", size, mb) == size + 1_000_000


def test_what_was_received_stays_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "STAYS_FREE_BYTES", -10_000_000)  # somebody else was faster
    with small_disk(tmp_path / "disk", "1m") as disk:
        here = Incoming(disk.path / "incoming")
        first = b"1" * 500_000
        here.receive("a", 0, first)
        with pytest.raises(StorageUnavailable, match="is full; make room"):
            here.receive("a", 500_000, b"2" * 900_000)
        assert lie(disk.path) == {"incoming/.received/a": first}
        disk.resize("4m")
        assert here.receive("a", 500_000, b"2" * 900_000) == 1_400_000
        disk.read_only()
        with pytest.raises(StorageUnavailable, match="Read-only file system"):
            here.receive("a", 1_400_000, b"3")
        with pytest.raises(StorageUnavailable, match="Read-only file system"):
            here.take("a", by=1)
