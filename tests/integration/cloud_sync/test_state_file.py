"""One JSON file: what outlives a crash, a full disk, and people who edit it."""

import contextlib
import logging
import os
from pathlib import Path

import pytest

from nxai_cloud_sync.adapters.state_file import DAMAGED, StateFile
from nxai_cloud_sync.core.deploying import Deployed, Trial
from nxai_cloud_sync.deployer import RECORDS
from nxai_cloud_sync.linked_project import LINK
from nxai_cloud_sync.ports import Link, Remembered, StorageUnavailable
from nxai_cloud_sync.trainer import TRAINING, TrainingUnderWay
from support.cloud_sync import TEXT
from support.killed import KilledWork
from support.samples import small_disk

LARGE = "x" * 3_000_000
"""More than the small disk of a test holds."""

RECORD = Deployed(
    model="nuts",
    name="Nuts",
    cameras=("front",),
    digest="a" * 64,
    since_us=1,
    trial=Trial("b" * 64),
)
PROJECT = Link(
    project=7,
    name="Pärcels",
    role="admin",
    impulse=1,
    learn_block=3,
    learn_block_type="keras-object-detection",
    learn_block_title="Object detection",
    impulse_name="Impulse #1",
    studio="https://studio.example/v1",
    ingestion="https://ingestion.example",
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_remembers(tmp_path: Path) -> None:
    state: Remembered[str] = StateFile(tmp_path / "deep" / "state.json", TEXT)
    assert state.read() is None
    state.forget()  # nothing is nothing
    state.write("ä")
    assert state.read() == "ä"
    state.write("b")
    assert StateFile(tmp_path / "deep" / "state.json", TEXT).read() == "b"
    assert names(tmp_path / "deep") == ["state.json"]
    state.forget()
    assert state.read() is None
    assert names(tmp_path / "deep") == []


def test_what_the_service_keeps_comes_back_as_it_was(tmp_path: Path) -> None:
    records = StateFile(tmp_path / "deployments.json", RECORDS)
    records.write((RECORD,))
    assert records.read() == (RECORD,)
    link = StateFile(tmp_path / "link.json", LINK)
    link.write(PROJECT)
    assert link.read() == PROJECT
    training = StateFile(tmp_path / "training.json", TRAINING)
    training.write(TrainingUnderWay(7, 42, ours=False))
    assert training.read() == TrainingUnderWay(7, 42, ours=False)


@pytest.mark.parametrize("content", [b"", b"{", b'"a"x', b"\xff\xfe", b"7", b'{"job": 1}'])
def test_a_damaged_file_is_moved_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    state = StateFile(path, TEXT)
    assert state.read() is None
    aside = path.with_name(path.name + DAMAGED)
    assert aside.read_bytes() == content
    assert f"{path} is damaged; moved to {aside}, going on without it" in caplog.text
    assert state.read() is None
    state.write("new")
    assert state.read() == "new"
    path.write_bytes(b"?")  # a second one takes the place of the first
    assert state.read() is None
    assert names(tmp_path) == [aside.name]


def test_what_a_damaged_file_holds_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state.json").write_text("password")
    with caplog.at_level(logging.DEBUG):
        assert StateFile(tmp_path / "state.json", TEXT).read() is None
    assert "password" not in caplog.text


def test_a_damaged_file_that_cannot_be_moved_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    path.write_text("?")
    (tmp_path / f"state.json{DAMAGED}").mkdir()
    assert StateFile(path, TEXT).read() is None
    assert f"{path} is damaged, and stays where it is" in caplog.text
    assert path.read_text() == "?"


def test_what_cannot_be_read_is_not_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.mkdir()
    state = StateFile(path, TEXT)
    with pytest.raises(StorageUnavailable, match=r"state\.json cannot be read: Is a directory"):
        state.read()
    with pytest.raises(StorageUnavailable, match=r"state\.json cannot be removed"):
        state.forget()
    with pytest.raises(StorageUnavailable, match=r"state\.json cannot be written"):
        state.write("new")
    assert names(tmp_path) == ["state.json"]


def test_a_full_disk_leaves_what_was_kept(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        state = StateFile(disk.path / "state.json", TEXT)
        state.write("old")
        with pytest.raises(StorageUnavailable) as caught:
            state.write(LARGE)
        assert "cannot be written: No space left on device; make room" in str(caught.value)
        assert state.read() == "old"
        assert names(disk.path) == ["state.json"]
        disk.resize("8m")
        state.write(LARGE)
        assert state.read() == LARGE


def test_on_a_disk_without_any_room_it_can_still_be_forgotten(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        state = StateFile(disk.path / "state.json", TEXT)
        state.write("old")
        with contextlib.suppress(OSError):
            (disk.path / "large").write_bytes(bytes(2_000_000))
        state.forget()
        assert state.read() is None


def test_a_disk_that_became_read_only_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        state = StateFile(disk.path / "state.json", TEXT)
        state.write("old")
        disk.read_only()
        with pytest.raises(StorageUnavailable, match="Read-only file system"):
            state.write("new")
        with pytest.raises(StorageUnavailable, match="cannot be removed: Read-only file system"):
            state.forget()
        assert state.read() == "old"


@pytest.mark.parametrize("before", [None, "old"])
def test_whenever_it_is_killed_there_is_the_old_or_the_new(
    tmp_path: Path, before: str | None
) -> None:
    found = []
    with KilledWork("support.cloud_sync:keep_text") as work:
        for at in range(1, 20):
            folder = tmp_path / str(at)
            folder.mkdir()
            state = StateFile(folder / "state.json", TEXT)
            if before is not None:
                state.write(before)
            killed = work.run(at, path=str(folder / "state.json"), text="new")
            found.append(state.read())
            state.write("next")  # over what the crash left
            assert names(folder) == ["state.json"]
            if not killed:
                break
    assert len(found) > 2  # the new file, its renaming
    assert found == [before] * (len(found) - 1) + ["new"]


def test_the_content_is_on_the_disk_before_its_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be caused here: what it would leave follows from this order."""
    state = StateFile(tmp_path / "state.json", TEXT)
    flushed = []
    flush = os.fsync

    def spy(descriptor: int) -> None:
        flush(descriptor)
        flushed.append((Path(f"/proc/self/fd/{descriptor}").readlink(), names(tmp_path)))

    monkeypatch.setattr(os, "fsync", spy)
    state.write("new")
    assert flushed == [
        (tmp_path / ".state.json.new", [".state.json.new"]),
        (tmp_path, ["state.json"]),
    ]
    flushed.clear()
    state.forget()
    assert flushed == [(tmp_path, [])]
