"""The settings of before on disk."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nxai_common.errors import TransientError
from nxai_manager.adapters.history_folder import HistoryFolder
from nxai_manager.core import history
from nxai_manager.core.history import Author, Entry, How, NoSuchEntry
from support.samples import small_disk

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ANNA = Author(how=How.PAGE, who="anna")


def folder(path: Path) -> HistoryFolder:
    return HistoryFolder(path / "settings.json")


def add(kept: HistoryFolder, text: str, *, used: bool = True) -> Entry:
    return kept.add(text, AT, ANNA, used=used, changes=("run",), more_changes=2)


def test_entry_is_read_as_it_was_added(tmp_path: Path) -> None:
    kept = folder(tmp_path)
    assert kept.entries() == ()
    text = '{\n"a": "\u00e4 \U0001f511\\n"\r\n}\n\n'
    first = add(kept, text)
    second = add(kept, "", used=False)
    assert kept.entries() == (second, first)
    assert kept.read(first.id) == (first, text)
    assert kept.read(second.id) == (second, "")
    assert (first.at, first.author, first.used, first.changes, first.more_changes) == (
        AT,
        ANNA,
        True,
        ("run",),
        2,
    )
    assert first.revision == kept.revision(text)
    assert [entry.id.partition("-")[0] for entry in kept.entries()] == ["000000002", "000000001"]
    assert folder(tmp_path).entries() == (second, first)


def test_folder_and_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    kept = HistoryFolder(tmp_path / "settings.json", tmp_path / "state")
    add(kept, "text")
    inside = tmp_path / "state" / "settings.json.history"
    assert stat.S_IMODE(inside.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in inside.iterdir()] == [0o600, 0o600]


def test_revision_stays_the_same_over_restarts_and_differs_between_boxes(tmp_path: Path) -> None:
    first = folder(tmp_path / "a").revision("text")
    assert folder(tmp_path / "a").revision("text") == first
    assert folder(tmp_path / "b").revision("text") != first
    (tmp_path / "a" / "settings.json.history" / "revision.key").write_text("damaged")
    other = folder(tmp_path / "a").revision("text")
    assert other != first
    assert folder(tmp_path / "a").revision("text") == other


def test_revision_works_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "settings.json.history").write_text("a file")
    kept = folder(tmp_path)
    assert kept.revision("text") == kept.revision("text") != ""


def test_oldest_entries_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_ENTRIES", 3)
    kept = folder(tmp_path)
    added = [add(kept, str(number)) for number in range(5)]
    assert kept.entries() == tuple(reversed(added[2:]))
    with pytest.raises(NoSuchEntry, match="the oldest ones are let go of"):
        kept.read(added[0].id)


def test_oldest_entries_go_when_they_take_too_much_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_BYTES", 3000)
    kept = folder(tmp_path)
    added = [add(kept, str(number) * 1000) for number in range(4)]
    assert kept.entries() == (added[3], added[2])


def test_who_only_runs_and_stops_leaves_what_others_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_ENTRIES", 5)
    monkeypatch.setattr(history, "MOST_OF_RUN", 2)
    kept = folder(tmp_path)
    done = [add(kept, f"text {number}") for number in range(2)]
    toggled = [
        kept.add(f"run {number}", AT, ANNA, used=True, changes=("run",), more_changes=0)
        for number in range(9)
    ]
    assert kept.entries() == (toggled[8], toggled[7], done[1], done[0])


def test_damaged_entry_is_left_out_and_its_number_is_not_used_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = folder(tmp_path)
    first, second = add(kept, "one"), add(kept, "two")
    path = tmp_path / "settings.json.history" / f"{second.id}.entry"
    path.write_bytes(b'{"id": \n\xff')
    (path.parent / "note.entry").write_text("of a person")
    (path.parent / "000000009.txt").write_text("of a person")
    assert kept.entries() == (first,)
    assert "is damaged" in caplog.text
    with pytest.raises(NoSuchEntry):
        kept.read(second.id)
    assert add(kept, "three").id.startswith("000000003-")
    path = path.with_name(f"{first.id}.entry")
    path.write_bytes(path.read_bytes() + b"\xff")  # the text below a good head
    with pytest.raises(NoSuchEntry):
        kept.read(first.id)


@pytest.mark.parametrize("name", ["", "..", "../settings", "000000001-000000000000", "x\0y", "*"])
def test_name_of_nothing_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "settings.entry").write_text("{}")
    with pytest.raises(NoSuchEntry):
        folder(tmp_path).read(name)


def test_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.json.history").write_text("a file")
    with pytest.raises(TransientError, match=r"settings\.json\.history cannot be read"):
        add(folder(tmp_path), "text")
    with pytest.raises(TransientError, match=r"settings\.json\.history cannot be read"):
        folder(tmp_path).entries()


def test_entry_that_has_no_room_on_the_disk_is_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "256k") as disk:
        kept = folder(disk.path)
        first = add(kept, "one")
        (disk.path / "filler").write_bytes(b"x" * disk.free)
        with pytest.raises(
            TransientError, match=r"cannot be written to .*: No space left on device"
        ):
            add(kept, "two" * 4000)
        assert kept.entries() == (first,)
