"""Results in real files: whole lines, full files, crashes, full disks, and no way out."""

import gzip
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from nxai_common.contracts.destinations import FileDestination
from nxai_common.errors import ConfigurationError
from nxai_publisher.adapters.file_destination import FileOutlet
from nxai_publisher.core.entries import Entry
from nxai_publisher.ports import DestinationUnavailable
from support.samples import small_disk

pytestmark = pytest.mark.integration


def outlet(folder: Path, path: str = "results.jsonl", **fields: Any) -> FileOutlet:
    durability = fields.pop("durability", "process-crash")
    return FileOutlet(FileDestination(id="disk", path=path, **fields), folder, durability)


def once(folder: Path, number: int, path: str = "results.jsonl", **fields: Any) -> None:
    """Write one line, as after a start."""
    way = outlet(folder, path, **fields)
    try:
        way.send([entry(number)])
    finally:
        way.close()


def entry(number: int, size: int = 0) -> Entry:
    written = orjson.dumps({"n": number, "x": "y" * size})
    return Entry(number, "detections", "front", "m5", 0, f"d{number}", written, len(written))


def numbers(path: Path) -> list[int]:
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    assert data.endswith(b"\n")
    return [orjson.loads(line)["n"] for line in data.splitlines()]


def test_a_line_for_each(tmp_path: Path) -> None:
    way = outlet(tmp_path / "files", "line 1/results.jsonl")
    assert way.send([entry(n) for n in range(3)]) == ()
    way.send([entry(3)])
    way.interrupt()
    way.close()
    assert numbers(tmp_path / "files/line 1/results.jsonl") == [0, 1, 2, 3]
    once(tmp_path / "files", 4, "line 1/results.jsonl")
    assert numbers(tmp_path / "files/line 1/results.jsonl") == [0, 1, 2, 3, 4]
    assert (
        tmp_path / "files/line 1/results.jsonl"
    ).stat().st_mode & 0o027 == 0  # nothing of others


@pytest.mark.parametrize(
    "path",
    ["../x.jsonl", "/etc/x.jsonl", "a/../../x.jsonl", "", ".", "a/", "out/x.jsonl", "link.jsonl"],
)
def test_nothing_is_written_elsewhere(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a").mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "link.jsonl").symlink_to(tmp_path / "x.jsonl")
    with pytest.raises(ConfigurationError, match="must name a file below"):
        outlet(folder, path)
    assert not (tmp_path / "x.jsonl").exists()


def test_a_link_that_comes_later_leads_nowhere_either(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    way = outlet(folder, "a/x.jsonl")
    (folder).mkdir()
    (folder / "a").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="must name a file below"):
        way.send([entry(0)])
    (folder / "a").unlink()
    (folder / "a").mkdir()
    (folder / "a/x.jsonl").symlink_to(tmp_path / "x.jsonl")
    with pytest.raises((ConfigurationError, DestinationUnavailable)):
        way.send([entry(0)])
    assert not (tmp_path / "x.jsonl").exists()


def test_full_files_are_put_aside_packed_and_the_oldest_go(tmp_path: Path) -> None:
    way = outlet(tmp_path, rotate_mb=0.001, keep_files=3)
    for number in range(20):
        way.send([entry(number, 500)])
    way.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        *(f"results.{n:06d}.jsonl.gz" for n in (7, 8, 9)),
        "results.jsonl",
    ]
    kept = [n for name in names for n in numbers(tmp_path / name)]
    assert kept == list(range(12, 20))


def test_full_files_may_stay_as_they_are_or_go_at_once(tmp_path: Path) -> None:
    plain = outlet(tmp_path, "plain.jsonl", rotate_mb=0.001, compress=False)
    gone = outlet(tmp_path, "gone.jsonl", rotate_mb=0.001, keep_files=0, durability="power-loss")
    for number in range(5):
        plain.send([entry(number, 1000)])
        gone.send([entry(number, 1000)])
    assert sorted(path.name for path in tmp_path.glob("plain*")) == [
        *(f"plain.{n:06d}.jsonl" for n in (1, 2, 3, 4)),
        "plain.jsonl",
    ]
    assert [path.name for path in tmp_path.glob("gone*")] == ["gone.jsonl"]


def test_a_file_that_was_full_before_the_start_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(b'{"n":0}\n' * 200)
    once(tmp_path, 1, rotate_mb=0.001)
    assert numbers(tmp_path / "results.000001.jsonl.gz") == [0] * 200
    assert numbers(tmp_path / "results.jsonl") == [1]


def test_the_oldest_go_also_after_a_million(tmp_path: Path) -> None:
    for number in (999_999, 1_000_000):
        (tmp_path / f"results.{number}.jsonl").write_bytes(b'{"n":%d}\n' % number)
    once(tmp_path, 1, keep_files=1)
    assert numbers(tmp_path / "results.1000000.jsonl.gz") == [1_000_000]
    assert not list(tmp_path.glob("results.999999*"))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Note name and size of what is written to the disk."""
    found: list[tuple[str, int]] = []
    sync = os.fsync

    def note(file: int) -> None:
        sync(file)
        path = Path(f"/proc/self/fd/{file}").readlink()
        found.append((path.name, 0 if path.is_dir() else path.stat().st_size))

    monkeypatch.setattr(os, "fsync", note)
    return found


def test_what_a_power_cut_must_not_take_is_on_the_disk_before_it_counts(
    tmp_path: Path, synced: list[tuple[str, int]]
) -> None:
    way = outlet(tmp_path, "line 1/results.jsonl", durability="power-loss", rotate_mb=0.001)
    size = len(entry(0, 1000).payload) + 1
    way.send([entry(0, 1000)])
    assert synced == [("line 1", 0), (tmp_path.name, 0), ("results.jsonl", size)]
    synced.clear()
    way.send([entry(1, 1000)])  # the file is full
    packed = (tmp_path / "line 1/results.000001.jsonl.gz").stat().st_size
    assert synced[0] == ("results.000001.jsonl.gz.part", packed)
    assert ("line 1", 0) in synced
    assert synced[-1] == ("results.jsonl", size)
    way.close()


def test_where_only_a_crash_is_to_be_survived_nothing_waits_for_the_disk(
    tmp_path: Path, synced: list[tuple[str, int]]
) -> None:
    once(tmp_path, 0)
    once(tmp_path, 1)
    assert synced == []


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    others = ["results.1.jsonl", "results.000001.json", "my.results.000001.jsonl", "x.gz.part"]
    for name in others:
        (tmp_path / name).write_text("mine")
    way = outlet(tmp_path, rotate_mb=0.001, keep_files=0)
    for number in range(4):
        way.send([entry(number, 1000)])
    assert all((tmp_path / name).read_text() == "mine" for name in others)


@pytest.mark.parametrize("torn", [b'{"n":', b"x" * 200_000, b"\n\n{"])
def test_half_a_line_that_a_crash_left_goes(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"n":0}\n' + torn)
    once(tmp_path, 1)
    lines = path.read_bytes().split(b"\n")
    assert lines[0] == b'{"n":0}'
    assert orjson.loads(lines[-2])["n"] == 1


def test_a_file_that_is_half_a_line_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(b"x" * 100_000)
    once(tmp_path, 1)
    assert numbers(tmp_path / "results.jsonl") == [1]


def test_packing_that_a_crash_broke_off_is_finished(tmp_path: Path) -> None:
    full, packed = tmp_path / "results.000001.jsonl", tmp_path / "results.000001.jsonl.gz"
    full.write_bytes(b'{"n":7}\n')
    (tmp_path / "results.000001.jsonl.gz.part").write_bytes(b"half")
    (tmp_path / "results.000002.jsonl.gz.part").write_bytes(b"of a file that went since")
    once(tmp_path, 1)
    assert not (tmp_path / "results.000002.jsonl.gz.part").exists()
    assert numbers(packed) == [7]
    assert not full.exists()
    assert not (tmp_path / "results.000001.jsonl.gz.part").exists()
    full.write_bytes(b'{"n":7}\n')  # only the deletion was missing
    once(tmp_path, 2)
    assert not full.exists()
    assert numbers(packed) == [7]


def test_a_file_that_somebody_moved_is_made_anew(tmp_path: Path) -> None:
    way = outlet(tmp_path)
    way.send([entry(0)])
    (tmp_path / "results.jsonl").rename(tmp_path / "mine.jsonl")
    way.send([entry(1)])
    assert numbers(tmp_path / "mine.jsonl") == [0]
    assert numbers(tmp_path / "results.jsonl") == [1]


def test_two_cannot_write_one_file(tmp_path: Path) -> None:
    first = outlet(tmp_path)
    first.send([entry(0)])
    with pytest.raises(DestinationUnavailable, match="another destination or program writes"):
        once(tmp_path, 1)
    first.close()
    once(tmp_path, 1)


def test_a_full_disk_leaves_whole_lines_and_is_left_behind(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m") as disk:
        way = outlet(disk.path, durability="power-loss")
        written = 0
        reasons: list[str] = []
        while not reasons:
            try:
                way.send([entry(n, 3000) for n in range(written, written + 7)])
                written += 7
            except DestinationUnavailable as error:
                reasons.append(str(error))
        assert "No space left on device; make room there" in reasons[0]
        assert numbers(disk.path / "results.jsonl") == list(range(written))
        disk.resize("8m")
        way.send([entry(n, 3000) for n in range(written, written + 7)])
        assert numbers(disk.path / "results.jsonl") == list(range(written + 7))
        way.close()


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(DestinationUnavailable, match="check its owner and rights"):
        once(tmp_path / "files", 0)


WRITER = """
import sys
from pathlib import Path
from nxai_common.contracts.destinations import FileDestination
from nxai_publisher.adapters.file_destination import FileOutlet
from nxai_publisher.core.entries import Entry
options = FileDestination(id="disk", path="results.jsonl", rotate_mb=0.02, keep_files=1000)
way = FileOutlet(options, Path(sys.argv[1]), "process-crash")
text = b'{"n":%d,"x":"' + b"y" * 300 + b'"}'
for number, _ in enumerate(sys.stdin):
    lines = [text % (20 * number + n) for n in range(20)]
    way.send([Entry(0, "events", "a", "", 0, "", line, 0) for line in lines])
    print(number, flush=True)
"""


def test_killed_at_any_moment_whole_lines_are_left(tmp_path: Path) -> None:
    rng = random.Random(3)  # noqa: S311 - a test
    folder = tmp_path / "files"
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n" * 60)
        process.stdin.flush()
        for _ in range(rng.randrange(1, 55)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        once(folder, 10**9, rotate_mb=1000, keep_files=1000)
        for path in folder.iterdir():
            assert path.suffix in (".gz", ".jsonl")
            assert numbers(path)
