import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from nxai_cloud_sync.adapters import sql_database, sql_samples
from nxai_cloud_sync.adapters.disk_reserve import RESERVE_BYTES, DiskReserve
from nxai_cloud_sync.adapters.sql_samples import GONE, SqlSamples
from nxai_cloud_sync.core.sample import SampleFilter, SampleState
from nxai_cloud_sync.core.uploading import FileOutcome
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_common.contracts.collecting import SampleLimits
from support.results import START_US
from support.sample_killing import Forks, Journal, forks, look_over
from support.samples import (
    SmallDisk,
    files_of,
    kept,
    sample,
    small_disk,
    totals_are_true,
)
from support.waiting import wait_for

NOW_US = START_US + 86_400_000_000
ROOMY = SampleLimits(keep_mb=1_000_000, keep_pictures=1_000_000, keep_days=36_500)
ALL = SampleFilter()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "samples"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "8m") as disk:
        yield disk


def opened(folder: Path) -> SqlSamples:
    return SqlSamples(folder, wall_us=lambda: NOW_US)


def states(store: SqlSamples) -> dict[str, str]:
    return {one.id: one.state.value for one in store.page(ALL, 1000, 0).samples}


# -- a database that does not do ----------------------------------------------------------------


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"\0" * 8192])
def test_a_file_that_is_no_database_is_reported_and_left_alone(
    folder: Path, content: bytes
) -> None:
    folder.mkdir()
    path = folder / "samples.db"
    path.write_bytes(content)
    with opened(folder) as store:
        for call in (
            lambda: store.add(sample()),
            lambda: store.page(ALL, 1, 0),
            store.usage,
            store.release_uploads,
        ):
            with pytest.raises(StorageUnavailable, match=r"samples\.db: .*move it away"):
                call()
        assert path.read_bytes() == content
        path.unlink()
        assert store.add(sample()) is not None


def test_a_damaged_database_is_reported_and_its_pictures_stay(folder: Path) -> None:
    with opened(folder) as store:
        for number in range(30):
            kept(store, number, "nut")
    path = folder / "samples.db"
    good = path.read_bytes()
    damaged = bytearray(good)
    damaged[4096:] = b"\xff" * (len(damaged) - 4096)
    path.write_bytes(damaged)
    pictures = files_of(folder)
    with opened(folder) as store:
        with pytest.raises(StorageUnavailable, match="damaged; move it away"):
            store.add(sample(30))
        assert path.read_bytes() == damaged
        # A person does what the message says, and the service goes on with a new one ...
        for file in folder.glob("samples.db*"):
            file.rename(folder / f"old-{file.name}")
        assert store.usage().pictures == 0
        kept(store, 31)
        assert pictures.items() < files_of(folder).items()
    # ... or restores a backup: nothing was taken from it.
    path.write_bytes(good)
    with opened(folder) as store:
        assert store.usage().pictures == 30
        assert set(states(store).values()) == {"new"}


def test_a_database_of_a_newer_version_is_refused(folder: Path) -> None:
    with opened(folder) as store:
        kept(store, 1)
    with closing(sqlite3.connect(folder / "samples.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = (folder / "samples.db").read_bytes()
    with opened(folder) as store:
        with pytest.raises(StorageUnavailable, match="a newer version of this program wrote it"):
            store.usage()
        assert (folder / "samples.db").read_bytes() == before
        assert len(files_of(folder)) == 1


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_database_that_another_process_locks_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_database, "BUSY_TIMEOUT_S", 0.05)
    with opened(folder) as store:
        kept(store, 1)
        with subprocess.Popen(
            [sys.executable, "-c", LOCKER, str(folder / "samples.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            with pytest.raises(StorageUnavailable, match="another program holds it locked"):
                store.add(sample(2))
            assert len(files_of(folder)) == 1
            assert store.usage().pictures == 1  # who reads is not held up
            other.communicate()
        assert store.add(sample(2)) is not None


def test_one_process_at_a_time_keeps_pictures_in_a_folder(folder: Path) -> None:
    with opened(folder) as store:
        kept(store, 1)
        with opened(folder) as second:
            with pytest.raises(StorageUnavailable, match="another process keeps pictures there"):
                second.add(sample(2))
            store.close()
            assert second.add(sample(2)) is not None


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_that_was_moved_away_takes_nothing_more(
    folder: Path, tmp_path: Path, replaced: bool
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    with opened(folder) as store:
        kept(store, 1)
        for file in folder.glob("samples.db*"):
            file.rename(moved / file.name)
        if replaced:
            (folder / "samples.db").touch()
        with pytest.raises(StorageUnavailable, match="moved or deleted; it is opened anew"):
            store.add(sample(2))
        kept(store, 3)
        assert store.usage().pictures == 1
    with closing(sqlite3.connect(moved / "samples.db")) as connection:
        assert connection.execute("SELECT sequence FROM samples").fetchall() == [(1,)]


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        opened(tmp_path / "file" / "samples") as store,
        pytest.raises(StorageUnavailable, match="file/samples"),
    ):
        store.usage()


# -- a disk that does not do ----------------------------------------------------------------------


def fill(store: SqlSamples, size: int) -> int:
    """Keep pictures until there is no room; return how many."""
    for number in itertools.count():
        try:
            store.add(sample(number, "nut", jpeg=number.to_bytes(4, "big") * (size // 4)))
        except StorageUnavailable as error:
            assert "the disk is full; make room there" in str(error)  # noqa: PT017 - the reason counts
            return number
    raise AssertionError


@pytest.mark.parametrize("size", [100, 20_000, 300_000])
def test_a_full_disk_loses_nothing_and_works_again_with_room(disk: SmallDisk, size: int) -> None:
    folder = disk.path / "samples"
    with opened(folder) as store:
        count = fill(store, size)
        assert count > 0
        assert store.usage().pictures == count
        assert len(files_of(folder)) == count
        assert store.add(sample(0, jpeg=b"again")) is None
        disk.resize("64m")
        kept(store, count)
    with opened(folder) as store:
        assert store.usage().pictures == count + 1
        assert {one.state for one in store.page(ALL, 10_000, 0).samples} == {SampleState.NEW}
        for one in store.page(ALL, 10_000, 1).samples:
            number = (one.captured_at_us - START_US) // 1_000_000
            assert store.picture(one).read_bytes() == number.to_bytes(4, "big") * (size // 4)


@pytest.mark.parametrize("size", ["4m", "5m", "6m", "8m", "13m"])
def test_a_full_disk_can_be_emptied_by_lower_limits(disk: SmallDisk, size: str) -> None:
    disk.resize(size)
    with opened(disk.path / "samples") as store:
        count = fill(store, 20_000)
        lower = ROOMY.model_copy(update={"keep_pictures": count // 2})
        removed = 0
        while (slice_ := store.prune(lower, NOW_US)).more:
            removed += slice_.pictures
        assert removed + slice_.pictures == count - count // 2
        assert store.usage().pictures == count // 2
        kept(store, count)


def test_a_full_disk_can_be_opened(disk: SmallDisk) -> None:
    folder = disk.path / "samples"
    with opened(folder) as store:
        count = fill(store, 20_000)
    ballast = disk.path / "others"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with opened(folder) as store:
        assert store.usage().pictures == count
        lower = ROOMY.model_copy(update={"keep_pictures": count // 2})
        assert store.prune(lower, NOW_US).pictures > 0


def test_a_full_disk_without_a_reserve_says_so(disk: SmallDisk) -> None:
    disk.resize("3m")  # the log cannot grow to its usual 4 MB, and each write makes it larger
    folder = disk.path / "samples"
    with opened(folder) as store:
        store.usage()
        (folder / "samples.reserve").unlink()
        count = fill(store, 20_000)
        with suppress(OSError), (disk.path / "others").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        lower = ROOMY.model_copy(update={"keep_pictures": count // 2})
        with pytest.raises(StorageUnavailable, match="the disk is full"):
            store.prune(lower, NOW_US)
        assert store.usage().pictures == count
        assert len(files_of(folder)) == count
        disk.resize("8m")
        assert store.prune(lower, NOW_US).pictures == count - count // 2


def test_there_is_a_reserve_only_where_there_is_room(disk: SmallDisk) -> None:
    disk.resize("1m")
    reserve = DiskReserve(disk.path / "reserve")
    reserve.take()
    assert list(disk.path.iterdir()) == []
    assert not reserve.give_up()
    disk.resize("8m")
    reserve.take()
    reserve.take()
    assert (disk.path / "reserve").stat().st_blocks * 512 >= RESERVE_BYTES
    assert reserve.give_up()
    assert list(disk.path.iterdir()) == []


def test_a_new_store_on_a_full_disk_says_so(disk: SmallDisk) -> None:
    disk.resize("16k")
    with (
        opened(disk.path / "samples") as store,
        pytest.raises(StorageUnavailable, match="the disk is full"),
    ):
        store.add(sample())


def test_a_disk_that_cannot_be_written_says_so(disk: SmallDisk) -> None:
    folder = disk.path / "samples"
    with opened(folder) as store:
        one = kept(store, 1)
    disk.read_only()
    with opened(folder) as store:
        for call in (store.usage, lambda: store.add(sample(2)), lambda: store.picture(one)):
            with pytest.raises(StorageUnavailable, match="it may not be written; check"):
                call()
    assert files_of(folder) == {one.id: b"picture 1"}


# -- what a kill or a person leaves --------------------------------------------------------------


def test_pictures_without_a_record_are_removed_at_the_start(folder: Path) -> None:
    with opened(folder) as store:
        one = kept(store, 1)
        path = store.picture(one)
    same_folder = path.with_name(f"other-{path.name}")
    same_folder.write_bytes(b"left")
    another = path.parents[1] / "zz" / "other-zz.jpg"
    another.parent.mkdir()
    another.write_bytes(b"left")
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(b"half of it")
    for odd in ("odd.part", "odd.jpg"):  # somebody's: they cannot be deleted as files
        (path.parent / odd / "kept").mkdir(parents=True)
    with opened(folder) as store:
        assert store.usage().pictures == 1
    for odd in ("odd.part", "odd.jpg"):
        (path.parent / odd / "kept").rmdir()
        (path.parent / odd).rmdir()
    assert files_of(folder) == {one.id: b"picture 1"}


def test_many_pictures_without_a_record_are_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder) as store:
        kept(store, 1)
    backup = (folder / "samples.db").read_bytes()
    with opened(folder) as store:
        for number in range(2, 8):
            kept(store, number)
    (folder / "samples.db").write_bytes(backup)
    monkeypatch.setattr(sql_samples, "MOST_LEFT_OVER", 5)
    with opened(folder) as store:
        assert store.usage().pictures == 1
        assert len(files_of(folder)) == 7
    assert "the database may be an older copy; nothing was deleted" in caplog.text


def test_a_picture_whose_file_is_gone_fails_and_is_itself_again_with_it(folder: Path) -> None:
    with opened(folder) as store:
        names = {}
        for number, state in enumerate(SampleState):
            one = kept(store, number)
            names[state] = one.id
            if state is SampleState.DISCARDED:
                store.review([one.id], state)
            elif state is not SampleState.NEW:
                store.review([one.id], SampleState.APPROVED)
            if state in (SampleState.UPLOADING, SampleState.UPLOADED, SampleState.FAILED):
                store.begin_upload([one.id])
            if state in (SampleState.UPLOADED, SampleState.FAILED):
                accepted = state is SampleState.UPLOADED
                store.end_upload([FileOutcome(one.id, accepted=accepted)], NOW_US)
        (pictures,) = folder.glob("pictures-*")
    aside = folder / "aside"
    pictures.rename(aside)
    for _ in range(2):
        with opened(folder) as store:
            found = states(store)
            gone = {state: found[name] for state, name in names.items()}
            assert gone == {
                SampleState.NEW: "failed",
                SampleState.APPROVED: "failed",
                SampleState.DISCARDED: "discarded",
                SampleState.UPLOADING: "failed",
                SampleState.UPLOADED: "uploaded",
                SampleState.FAILED: "failed",
            }
            one_of_them = store.get(names[SampleState.NEW])
            assert one_of_them is not None
            assert one_of_them.state_reason == GONE
            totals_are_true(folder)
    pictures.rmdir()
    aside.rename(pictures)
    with opened(folder) as store:
        found = states(store)
        back = {state: found[name] for state, name in names.items()}
        assert back == {
            **{state: state.value for state in SampleState},
            SampleState.UPLOADING: "approved",
        }


def test_a_picture_that_comes_again_takes_the_place_of_a_file_that_is_gone(folder: Path) -> None:
    with opened(folder) as store:
        one = kept(store, 1)
        store.picture(one).unlink()
    with opened(folder) as store:
        assert states(store) == {one.id: "failed"}
        assert store.add(sample(1)) is None
        assert states(store) == {one.id: "new"}
        assert files_of(folder) == {one.id: b"picture 1"}


def test_a_file_that_cannot_be_deleted_is_deleted_at_the_next_start(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder) as store:
        one = kept(store, 1)
        kept(store, 2)
        path = store.picture(one)
        path.unlink()
        path.mkdir()
        assert store.prune(ROOMY.model_copy(update={"keep_pictures": 1}), NOW_US).pictures == 1
        assert "is left on the disk" in caplog.text
        path.rmdir()
        path.write_bytes(b"left")
    with opened(folder) as store:
        assert store.usage().pictures == 1
        assert not path.exists()


# -- kills ----------------------------------------------------------------------------------------

KILLS = 60


@pytest.fixture(scope="module")
def processes() -> Iterator[Forks]:
    with forks() as running:
        yield running


def test_a_kill_at_any_moment_loses_and_doubles_nothing(folder: Path, processes: Forks) -> None:
    rng = random.Random(11)  # noqa: S311 - the same moments every time
    journal = Journal(folder.with_suffix(".journal"))
    pause = threading.Event()
    for seed in range(KILLS):
        before = len(journal.lines())
        pid = processes.start("work", folder, seed)
        enough = before + rng.randrange(1, 14)
        wait_for(partial(journal.longer_than, enough), 30, "the process works")
        pause.wait(rng.uniform(0.0, 0.02))
        os.kill(pid, signal.SIGKILL)
        assert processes.end_of(pid) == -signal.SIGKILL
        look_over(folder)
    noted = journal.read()
    assert len(noted["added"]) > KILLS
    assert len(noted["sent"]) > KILLS // 2
    with opened(folder) as store:
        assert store.usage().pictures < len(noted["added"])  # some were removed


@pytest.mark.parametrize("action", ["add", "send", "remove"])
def test_a_kill_before_any_line_loses_and_doubles_nothing(
    folder: Path, processes: Forks, action: str
) -> None:
    for killed in itertools.count():
        code = processes.end_of(processes.start("die_at", folder, action, killed + 1))
        look_over(folder)
        if code != -signal.SIGKILL:
            assert code == 0
            assert killed > 40
            break
