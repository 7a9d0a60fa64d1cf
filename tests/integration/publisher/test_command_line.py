import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nxai_common.settings import load
from nxai_publisher.__main__ import database_of, folder_of, main
from nxai_publisher.adapters.sql_database import database_url
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.core.observation import observe
from nxai_publisher.core.rows import logged
from nxai_publisher.settings import PublisherSettings
from support.postgres import Postgres
from support.results import SECOND_US, START_US, detection, result


def fill(url: str, count: int = 100) -> None:
    store = SqlLogger(database_url(url))
    store.open()
    for camera in ("front", "back"):
        items = [
            result(
                n,
                [detection("nut" if n % 2 else "bolt")],
                camera=camera,
                captured_at_us=START_US + n * SECOND_US,
            )
            for n in range(count)
        ]
        store.write([logged(item, observe(item), 1.0) for item in items])
    store.close()


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/nxai.db"
    fill(url)
    return url


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_commands_are_listed_and_the_nearest_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "\n  export    print the stored results, in the order of" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["exprt"])
    assert ended.value.code == 2
    assert "there is no command 'exprt'; did you mean 'export'?" in capsys.readouterr().err


def test_formats_are_listed_when_one_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "--since", "2026-11-22", "--format", "xls"])
    said = capsys.readouterr().err.replace("'", "")
    assert "argument --format: invalid choice: xls (choose from csv, jsonl)" in said


def test_export_as_csv(capsys: pytest.CaptureFixture[str], database: str) -> None:
    out = run(capsys, "export", "--since", "2026-11-22T10:00", "--database", database)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 200
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times)


def test_export_of_a_part_as_json_lines(capsys: pytest.CaptureFixture[str], database: str) -> None:
    out = run(
        capsys,
        *("export", "--since", "2026-11-22T11:00:11+01:00", "--until", "2026-11-22T10:00:21"),
        *("--camera", "front", "--label", "nut", "--format", "jsonl", "--database", database),
    )
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["sequence"] for row in rows] == [11, 13, 15, 17, 19]
    assert {row["objects"][0]["label"] for row in rows} == {"nut"}


def test_counts(capsys: pytest.CaptureFixture[str], database: str) -> None:
    out = run(capsys, "counts", "--since", "2026-11-22", "--camera", "back", "--database", database)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["minute"][11:16], row["label"], row["results"]) for row in rows] == [
        ("10:00", "bolt", "30"),
        ("10:00", "nut", "30"),
        ("10:01", "bolt", "20"),
        ("10:01", "nut", "20"),
    ]


def test_counts_of_a_part(capsys: pytest.CaptureFixture[str], database: str) -> None:
    out = run(
        capsys,
        *("counts", "--since", "2026-11-22T10:00:59", "--until", "2026-11-22T10:01"),
        *("--label", "nut", "--format", "jsonl", "--database", database),
    )
    rows = [json.loads(line) for line in out.splitlines()]
    # The minute that a time lies in is counted whole.
    assert [
        (row["minute"][11:16], row["camera"], row["label"], row["results"]) for row in rows
    ] == [
        ("10:00", "back", "nut", 30),
        ("10:00", "front", "nut", 30),
    ]


def test_times_without_an_offset_are_utc_wherever_the_box_is(database: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nxai_publisher", "counts", "--since", "2026-11-22T10:01"),
            *("--camera", "front", "--label", "nut", "--database", database),
        ],
        env={"TZ": "Asia/Tokyo"},
        check=True,
        capture_output=True,
        text=True,
    )
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["minute"] == "2026-11-22T10:01:00.000000Z"


def test_export_from_postgresql(capsys: pytest.CaptureFixture[str], postgres: Postgres) -> None:
    url = postgres.create_database()
    fill(url, 1500)
    out = run(capsys, "export", "--since", "2026-11-22", "--format", "jsonl", "--database", url)
    times = [json.loads(line)["timestamp"] for line in out.splitlines()]
    assert len(times) == 3000
    assert times == sorted(times)


def test_the_default_is_the_database_of_the_service(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(f"sqlite:///{tmp_path}/data/nxai.db", 3)
    monkeypatch.setenv("NXAI_RUN_DIR", str(tmp_path))
    assert len(run(capsys, "export", "--since", "2026-11-22").splitlines()) == 7


def test_the_disk_that_matters_is_that_of_the_file(tmp_path: Path) -> None:
    assert folder_of(database_url(f"sqlite:///{tmp_path}/data/nxai.db")) == tmp_path / "data"
    assert folder_of(database_url("postgresql://nxai@db/nxai")) is None


def test_the_password_may_lie_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("p@ss/w:rd\n")
    variables = {
        "NXAI_PUBLISHER_DATABASE_URL": "postgresql://nxai@db/nxai",
        "NXAI_PUBLISHER_DATABASE_PASSWORD_FILE": str(secret),
    }
    assert database_of(load(PublisherSettings, variables)).password == "p@ss/w:rd"


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["export"], 2, "--since"),
        (["export", "--since", "yesterday"], 2, "'yesterday' is not a time"),
        (["counts", "--since", "2026-11-22", "--database", "x:/y"], 2, "not supported|cannot be"),
        (
            ["export", "--since", "2026-11-22", "--database", "sqlite:////nowhere/x.db"],
            1,
            "there is no data logger at /nowhere/x.db",
        ),
    ],
)
def test_mistakes_are_explained(arguments: list[str], code: int, reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nxai_publisher", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == code
    assert any(part in done.stderr for part in reason.split("|")), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("both", [True, False])
def test_password_files_that_do_not_do_are_explained(
    both: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    password = ":s3cret" if both else ""
    monkeypatch.setenv("NXAI_PUBLISHER_DATABASE_URL", f"postgresql://nxai{password}@db/nxai")
    monkeypatch.setenv("NXAI_PUBLISHER_DATABASE_PASSWORD_FILE", "/nowhere/secret")
    assert main(["export", "--since", "2026-11-22"]) == 2
    said = capsys.readouterr().err
    assert ("keep one of them" if both else "/nowhere/secret: cannot be read") in said
    assert "s3cret" not in said


@pytest.mark.parametrize("command", ["export", "counts"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is a folder; name the database file in it"),
        (b"no database " * 100, "this is not an SQLite database"),
        (b"", "no such table"),
    ],
)
def test_nothing_is_printed_of_a_database_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
    content: bytes | None,
    reason: str,
) -> None:
    path = tmp_path / "nxai.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    assert main([command, "--since", "2026-11-22", "--database", f"sqlite:///{path}"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert str(path) in err
    assert reason in err


@pytest.mark.parametrize("command", ["export", "counts"])
def test_an_empty_log_still_has_a_header(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    url = f"sqlite:///{tmp_path}/nxai.db"
    fill(url, 0)
    out = run(capsys, command, "--since", "2026-11-22", "--database", url)
    assert out.startswith(("timestamp,camera,", "minute,camera,"))
    assert out.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(database: str) -> None:
    command = [sys.executable, "-m", "nxai_publisher", "export", "--since", "2026-11-22"]
    with subprocess.Popen(
        [*command, "--database", database], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as export:
        assert export.stdout is not None
        assert export.stderr is not None
        export.stdout.close()
        assert export.stderr.read() == b""
        assert export.wait(20) == 0
