"""The answers to the questions of the page, as it gets them."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import (
    BUSY,
    ChartResults,
    Command,
    ExportResults,
    ListResults,
    Reply,
    ShowLogger,
)
from nxai_common.contracts.configuration import LoggerOptions
from nxai_common.contracts.results import InferenceResult
from nxai_publisher import answers
from nxai_publisher.__main__ import main
from nxai_publisher.adapters.group_commit import GroupCommit
from nxai_publisher.adapters.sql_archive import SqlArchive
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.answers import Answers
from nxai_publisher.core import charts
from nxai_publisher.core.observation import observe
from nxai_publisher.core.rows import logged
from support.publisher import World, configuration, publisher
from support.results import SECOND_US, START_US, classified, detection, result
from support.waiting import wait_for

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
RANGE: dict[str, Any] = {"since": START, "until": START + HOUR}
OFF = LoggerOptions(enabled=False)
KEEP = LoggerOptions(keep_days=36_500)


def items(count: int = 120) -> list[InferenceResult]:
    """Return results of two detectors and a classifier; two a second."""
    found = []
    for number in range(count):
        at_us = START_US + number * SECOND_US // 2
        changes: dict[str, Any] = {"captured_at_us": at_us, "uncertain": number % 10 == 0}
        if number % 3 == 2:
            one = classified(number, nut=0.7 - number % 2 / 2, bolt=0.3 + number % 2 / 2)
            found.append(one.model_copy(update={**changes, "camera": "side"}))
        else:
            labels = ["nut", "bolt", '=x"y'][: number % 4]
            found.append(
                result(
                    number,
                    [detection(label, 0.55 + number % 5 / 10) for label in labels],
                    camera=("front", "back")[number % 3],
                    model_version=str(3 + number // 60),
                    **changes,
                )
            )
    return found


@contextmanager
def asked(url: URL, results: list[InferenceResult] | None = None) -> Iterator[Answers]:
    """Answers about a data logger with these results; None: there is none."""
    store = SqlLogger(url)
    if results is not None:
        store.open()
        store.write([logged(item, observe(item), 4.0) for item in results])
    try:
        with SqlArchive(url, limit_s=20) as archive:
            # Time stands still: a page of a busy machine would have fewer results.
            yield Answers(archive, GroupCommit(store), clock=lambda: 0.0)
    finally:
        store.close()


def body(reply: Reply) -> Any:
    assert reply.ok, reply.reason
    return json.loads(bytes(reply.attachment))


def test_a_page_has_results_as_an_export_prints_them(url: URL) -> None:
    with asked(url, items()) as desk:
        newest = body(desk.answer(ListResults(**RANGE, limit=5)))
        export = desk.answer(ExportResults(**RANGE, format="jsonl"))
    lines = bytes(export.attachment).decode().splitlines()
    assert len(lines) == 120
    assert newest["results"] == [json.loads(line) for line in lines[::-1][:5]]
    assert newest["searched_to"] is None
    assert isinstance(newest["next"], str)


@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_lead_through_all_results(url: URL, newest_first: bool) -> None:
    sequences: list[int] = []
    after: str | None = ""
    with asked(url, items()) as desk:
        while after is not None:
            question = ListResults(**RANGE, newest_first=newest_first, limit=50, after=after)
            page = body(desk.answer(question))
            sequences += [one["sequence"] for one in page["results"]]
            after = page["next"]
    assert sequences == sorted(range(120), reverse=newest_first)


def test_filters_of_a_page(url: URL) -> None:
    def found(**only: Any) -> list[InferenceResult]:
        sequences = {
            one["sequence"]
            for one in body(desk.answer(ListResults(**RANGE, limit=1000, **only)))["results"]
        }
        return [item for item in items() if item.sequence in sequences]

    with asked(url, items()) as desk:
        assert {item.camera for item in found(camera="side")} == {"side"}
        assert {item.uncertain for item in found(uncertain=True)} == {True}
        assert len(found(uncertain=True)) == 12
        nuts = found(label="nut")
        assert {item.camera for item in nuts} == {"front", "back", "side"}
        assert all(observe(item).counts["nut"] for item in nuts)
        empty = found(with_objects=False)
        assert {observe(item).total for item in empty} == {0}
        assert len(empty) + len(found(with_objects=True)) == 120
        assert found(model="m6") == []
        assert len(found(model="m5-nut", camera="front", label='=x"y', uncertain=False)) == sum(
            item.camera == "front" and item.sequence % 4 == 3 and not item.uncertain
            for item in items()
        )


def test_a_page_that_takes_too_long_ends_early_and_says_how_far_it_looked(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PAGE_S", 0.0)
    late_us = START_US + 3000 * SECOND_US
    rare = [*items(), result(500, [detection("rare")], captured_at_us=late_us)]
    found: list[int] = []
    after: str | None = ""
    reached: list[str] = []
    with asked(url, rare) as desk:
        while after is not None:
            question = ListResults(**RANGE, uncertain=False, newest_first=False, after=after)
            page = body(desk.answer(question))
            found += [one["sequence"] for one in page["results"]]
            after = page["next"]
            reached += [page["searched_to"]] if after else []
    assert found == [n for n in range(120) if n % 10] + [500]
    assert reached == sorted(reached)
    assert len(reached) > 1
    assert reached[0] == "2026-11-22T10:00:55.500000Z"  # of the hundredth


def test_a_page_has_no_more_bytes_than_a_browser_shows(
    sqlite_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PAGE_BYTES", 2000)
    with asked(sqlite_url, items()) as desk:
        reply = desk.answer(ListResults(**RANGE, limit=1000))
        page = body(reply)
    assert 1 < len(page["results"]) < 10
    assert len(reply.attachment) < 2200
    assert page["next"]


# -- exports --------------------------------------------------------------------------------------


def joined(desk: Answers, **question: Any) -> tuple[str, int]:
    """Return an export from all its parts, and how many there were."""
    text, parts = "", 0
    after: str | None = ""
    while after is not None:
        reply = desk.answer(ExportResults(**RANGE, **question, after=after))
        assert reply.ok, reply.reason
        text += bytes(reply.attachment).decode()
        assert isinstance(reply.details["rows"], int)
        assert bytes(reply.attachment).count(b"\n") >= reply.details["rows"]
        parts += 1
        after = reply.details["next"]  # type: ignore[assignment] # text or None
    return text, parts


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("style", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "only", [{}, {"label": "nut"}, {"label": '=x"y', "camera": "back"}, {"label": "never"}]
)
def test_parts_of_an_export_joined_are_what_the_command_prints(
    url: URL,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    style: str,
    only: dict[str, str],
    late: bool,
) -> None:
    if late:
        monkeypatch.setattr(answers, "PART_S", 0.0)
    with asked(url, items()) as desk:
        text, parts = joined(desk, format=style, limit=17, **only)
        assert text == printed(capsys, "export", url, style, only)
    assert parts > 1 or only.get("label") == "never" or text.count("\n") < 20


@pytest.mark.parametrize("style", ["csv", "jsonl"])
@pytest.mark.parametrize("only", [{}, {"label": "nut"}, {"camera": "side"}])
def test_parts_of_counts_joined_are_what_the_command_prints(
    url: URL, capsys: pytest.CaptureFixture[str], style: str, only: dict[str, str]
) -> None:
    spread = [
        item.model_copy(update={"captured_at_us": START_US + item.sequence * 25 * SECOND_US})
        for item in items()
    ]
    with asked(url, spread) as desk:
        text, parts = joined(desk, what="counts", format=style, limit=7, **only)
        assert text == printed(capsys, "counts", url, style, only)
    assert parts > 2
    assert text.count("\n") > 15


def printed(
    capsys: pytest.CaptureFixture[str], command: str, url: URL, style: str, only: dict[str, str]
) -> str:
    options = [word for name, value in only.items() for word in (f"--{name}={value}",)]
    address = url.render_as_string(hide_password=False)
    times = ("--since", START.isoformat(), "--until", (START + HOUR).isoformat())
    assert main([command, *times, "--format", style, "--database", address, *options]) == 0
    return capsys.readouterr().out


# -- charts ---------------------------------------------------------------------------------------


def chart(desk: Answers, name: str, **more: Any) -> dict[str, Any]:
    question = {**RANGE, "chart": name, **more}
    found = body(desk.answer(ChartResults.model_validate(question)))
    assert isinstance(found, dict)
    return found


def test_a_chart_of_counts(url: URL) -> None:
    with asked(url, items()) as desk:
        found = chart(desk, "counts", camera="front", label="nut")
        assert found["step_s"] == 60
        assert found["times"] == [START_US // 1000 + 60_000 * n for n in range(60)]
        (series,) = found["series"]
        assert (series["camera"], series["model"], series["label"]) == ("front", "m5-nut", "nut")
        front = [item for item in items() if item.camera == "front"]
        nuts = sum(observe(item).counts["nut"] for item in front)
        assert series["objects"] == [nuts, *[None] * 59]
        assert series["mean"][0] == round(nuts / len(front), 3)
        assert series["max"][0] == 1
        whole = chart(desk, "counts", points=1)
        assert (whole["step_s"], len(whole["times"])) == (3600, 1)
        assert {(s["camera"], s["label"]) for s in whole["series"]} >= {("side", "bolt")}


def test_a_chart_of_confidence(url: URL) -> None:
    with asked(url, items()) as desk:
        found = chart(desk, "confidence", camera="back")
    assert found["times"] == []
    bins = {series["label"]: series["bins"] for series in found["series"]}
    back = [item for item in items() if item.camera == "back"]
    for label in ("nut", "bolt", '=x"y'):
        assert sum(bins[label]) == sum(observe(item).counts.get(label, 0) for item in back)
    assert all(0.5 < series["mean"] < 1 for series in found["series"])


def test_a_chart_of_latency_says_what_it_did_not_heed(url: URL) -> None:
    with asked(url, items()) as desk:
        found = chart(desk, "latency", label="nut")
    assert found["ignored"] == ["label"]
    assert [series["camera"] for series in found["series"]] == ["back", "front", "side"]
    for series in found["series"]:
        assert series["results"][0] == 40
        assert (series["mean_ms"][0], series["max_ms"][0]) == (4.0, 4.0)
        assert series["inference_ms"][:2] == [0.75, None]


def test_a_chart_of_certainty_tells_versions_apart(url: URL) -> None:
    with asked(url, items()) as desk:
        found = chart(desk, "certainty", camera="front")
    assert "ignored" not in found
    front = [item for item in items() if item.camera == "front"]
    sums = {series["version"]: series for series in found["series"]}
    for version in ("3", "4"):
        of = [item for item in front if item.model_version == version]
        assert sums[version]["results"][0] == len(of)
        assert sums[version]["uncertain"][0] == sum(item.uncertain for item in of)


def test_a_chart_with_too_many_numbers_gets_longer_steps(
    sqlite_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "MOST_VALUES", 300)
    with asked(sqlite_url, items()) as desk:
        found = chart(desk, "counts")
        assert found["step_s"] == 300
        assert len(found["series"]) * 3 * len(found["times"]) <= 300
        monkeypatch.setattr(charts, "MOST_VALUES", 1)
        assert chart(desk, "latency")["times"] == [START_US // 1000]


def test_a_chart_of_all_time_is_an_answer_too(sqlite_url: URL) -> None:
    with asked(sqlite_url, items()) as desk:
        found = chart(desk, "latency", since="0001-01-01", until="9999-12-31", points=2000)
    assert len(found["times"]) <= 2001
    assert sum(n or 0 for series in found["series"] for n in series["results"]) == 120


# -- overview, and why there is no answer ----------------------------------------------------------


def test_the_logger_tells_what_it_holds(url: URL) -> None:
    with asked(url, items()) as desk:
        reply = desk.answer(ShowLogger())
    found = body(reply)
    size = found.pop("size_mb")
    assert 0 < size < 50
    assert found == {
        "enabled": False,
        "database": url.get_backend_name(),
        "rows": 120,
        "oldest": "2026-11-22T10:00:00.000000Z",
        "newest": "2026-11-22T10:00:59.500000Z",
        "cameras": ["back", "front", "side"],
        "models": [{"model": "m5-nut", "versions": ["3", "4"]}],
        "labels": sorted(["nut", "bolt", '=x"y']),
        "estimated": ["rows"],
    }
    assert "s3cret" not in bytes(reply.attachment).decode()
    assert isinstance(reply.details["ms"], float)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (ListResults(since=START, until=START), "since 2026-11-22T10:00:00+00:00 is not before"),
        (ListResults(**RANGE, after="AAAA"), "`after` is not the `next` of an answer"),
        (ExportResults(**RANGE, after="AAAA"), "`after` is not the `next` of an answer"),
        (ExportResults(**RANGE, after="AAAA", what="counts"), "leave it empty to begin anew"),
        (ChartResults(since=START + HOUR, until=START, chart="counts"), "is not before until"),
    ],
)
def test_questions_that_make_no_sense_are_told_why(
    sqlite_url: URL, question: Command, reason: str
) -> None:
    with asked(sqlite_url, items()) as desk:
        reply = desk.answer(question)
    assert not reply.ok
    assert reason in reply.reason


def test_without_a_database_there_is_a_reason(sqlite_url: URL) -> None:
    with asked(sqlite_url) as desk:
        reply = desk.answer(ShowLogger())
    assert not reply.ok
    assert reply.reason.startswith("the data logger is switched off, and what it stored cannot be")


def test_a_database_that_is_gone_is_told(sqlite_url: URL) -> None:
    with SqlArchive(sqlite_url) as archive:
        log = GroupCommit(SqlLogger(sqlite_url))
        log.configure(KEEP)
        reply = Answers(archive, log).answer(ShowLogger())
    assert not reply.ok
    assert reply.reason.startswith("there is no data logger at ")


def test_a_fault_of_this_program_is_logged_and_told(
    sqlite_url: URL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(charts, "latency", lambda *_: 1 // 0)
    with asked(sqlite_url, items()) as desk:
        reply = desk.answer(ChartResults(**RANGE, chart="latency"))
    assert (reply.ok, reply.reason) == (
        False,
        "unexpected ZeroDivisionError; see the log of the publisher",
    )
    assert "no answer to ChartResults" in caplog.text


# -- over the bus ---------------------------------------------------------------------------------


def request(world: World, question: Command) -> Reply:
    """Ask; again when the machine was too busy, as the page does."""

    def looked_into() -> Reply | None:
        reply = world.bus.request(question, 30)
        return None if reply.details.get(BUSY) else reply

    found = wait_for(looked_into, 60)
    assert found is not None
    return found


def test_questions_over_the_bus(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=configuration(logger=KEEP)) as world:
        world.send(*(result(n) for n in range(20)))
        wait_for(lambda: world.has_stored(20))
        assert len(body(request(world, ListResults(**RANGE)))["results"]) == 20
        assert body(request(world, ShowLogger()))["enabled"] is True
        export = request(world, ExportResults(**RANGE))
        assert bytes(export.attachment).count(b"\r\n") == 21
        assert chart_of(world)["series"][0]["results"][0] == 20
        assert world.counter("questions") == 4
        gauges = world.report().gauges
        assert (gauges["results_held"], gauges["questions_waiting"]) == (0, 0)


def chart_of(world: World) -> dict[str, Any]:
    found = body(request(world, ChartResults(**RANGE, chart="latency")))
    assert isinstance(found, dict)
    return found


def test_the_report_tells_how_much_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nxai_publisher.adapters.group_commit.PRUNE_EVERY_S", 0.05)
    with publisher(tmp_path, desired=configuration(logger=KEEP)) as world:
        world.send(*(result(n) for n in range(20)))
        wait_for(lambda: world.report().gauges.get("log_rows") == 20)
        assert world.report().gauges["log_mb"] > 0


def test_what_is_stored_stays_readable_when_logging_is_switched_off(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=configuration(logger=KEEP)) as world:
        world.send(*(result(n) for n in range(5)))
        wait_for(lambda: world.has_stored(5))
    with publisher(tmp_path, desired=configuration(logger=OFF)) as world:
        assert len(body(request(world, ListResults(**RANGE)))["results"]) == 5
        found = body(request(world, ShowLogger()))
        assert (found["enabled"], found["rows"]) == (False, 5)


def test_before_the_configuration_questions_are_answered(tmp_path: Path) -> None:
    with publisher(tmp_path, configuration_wait_s=60) as world:
        reply = request(world, ShowLogger())
        assert "the data logger is switched off" in reply.reason


def test_a_database_in_trouble_is_told_as_in_the_status(tmp_path: Path) -> None:
    blocker = tmp_path / "data"
    blocker.write_text("a file where the folder should be")
    with publisher(tmp_path, desired=configuration(logger=KEEP)) as world:
        wait_for(lambda: world.report().problems)
        reply = request(world, ListResults(**RANGE))
        assert (reply.ok, reply.reason) == (False, world.report().problems[0].reason)


def test_a_damaged_database_is_told(sqlite_url: URL) -> None:
    with asked(sqlite_url, items()):
        pass
    path = Path(str(sqlite_url.database))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with asked(sqlite_url) as desk:
        reply = desk.answer(ListResults(**RANGE))
    assert not reply.ok
    assert "damaged" in reply.reason


def test_too_many_questions_are_told_to_ask_again(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=configuration(logger=KEEP)) as world:
        world.send(result(0))
        wait_for(lambda: world.has_stored(1))
        replies: list[Reply] = []
        for _ in range(200):
            world.service._desk.ask(_Asked(replies))
        wait_for(lambda: len(replies) == 200)
        refused = [reply for reply in replies if not reply.ok]
        assert refused
        assert all(reply.details == {BUSY: True} for reply in refused)
        assert world.counter("questions_refused") == len(refused)


class _Asked:
    owed = False

    def __init__(self, replies: list[Reply]) -> None:
        self.received_at = time.monotonic()
        self.message: Message = ShowLogger()
        self._replies = replies

    def acknowledge(self) -> None:
        pass

    def reply(self, reply: Reply) -> None:
        self._replies.append(reply)


def test_results_are_published_and_stored_while_questions_are_asked(tmp_path: Path) -> None:
    with publisher(tmp_path, desired=configuration(logger=KEEP)) as world:
        world.send(result(0))
        wait_for(lambda: world.has_stored(1))
        for first in range(0, 300, 30):
            world.send(*(result(n) for n in range(max(1, first), first + 30)))
            assert body(request(world, ListResults(**RANGE, label="nut")))["results"]
            assert chart_of(world)["series"]
        wait_for(lambda: world.has_stored(300))
        found = body(request(world, ListResults(**RANGE, limit=1000)))["results"]
        assert len(found) == 300
