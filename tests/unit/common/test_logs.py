"""The log: fields come out, secrets do not."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nxai_common import logs
from nxai_common.logs import (
    LONGEST_LINE,
    LONGEST_TEXT,
    MASK,
    MOST_CHARACTERS,
    MOST_LINES,
    JsonFormatter,
    RecentLines,
    Redactor,
    TextFormatter,
)

FORMATTERS = [TextFormatter, JsonFormatter]


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("nxai_capture.service", logging.INFO, "x.py", 1, message, args, None)
    made.created = 1_773_480_413.589
    made.__dict__.update(extra)
    return made


def with_exception(made: logging.LogRecord, error: BaseException) -> logging.LogRecord:
    try:
        raise error
    except type(error):
        made.exc_info = sys.exc_info()
    return made


def test_text_line_for_people() -> None:
    line = TextFormatter(Redactor()).format(
        record(
            "camera %s",
            "runs",
            camera="front",
            fps=14.9,
            why="a b",
            models=["x", "y"],
            odd=[1, {}],
        )
    )
    assert line == (
        "2026-03-14T09:26:53.589Z INFO    capture.service camera runs "
        'camera=front fps=14.9 why="a b" models=x,y odd="[1, {}]"'
    )


def test_json_line_for_machines() -> None:
    line = JsonFormatter(Redactor()).format(
        record("camera %s", "runs", camera="front", fps=14.9, level=7, odd={"a": {1}, "b": True})
    )
    assert json.loads(line) == {
        "at": "2026-03-14T09:26:53.589Z",
        "level": "info",
        "logger": "nxai_capture.service",
        "message": "camera runs",
        "camera": "front",
        "fps": 14.9,
        "level_": 7,
        "odd": {"a": [1], "b": True},
    }


def test_json_line_is_json_even_for_numbers_that_json_lacks() -> None:
    line = JsonFormatter(Redactor()).format(record("x", fps=float("nan"), age=float("inf")))
    found = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (found["fps"], found["age"]) == ("nan", "inf")


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_message_cannot_forge_a_line(formatter: type[logging.Formatter]) -> None:
    line = formatter(Redactor()).format(  # type: ignore[arg-type]  # both take a Redactor
        record("one\n2026 ERROR two\x1b[31m", camera="a\nb\u2028c")
    )
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_traceback_and_stack_are_there(formatter: type[logging.Formatter]) -> None:
    made = with_exception(record("failed"), ValueError("why"))
    made.stack_info = "Stack (most recent call last): here"
    line = formatter(Redactor()).format(made)  # type: ignore[arg-type]  # both take a Redactor
    assert "ValueError: why" in line
    assert "Stack (most recent call last): here" in line


secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(secret=secrets)
@example('p"w\\d')
@example("p'w\n")
@example("ä%41 +/:@")
@example("\x00\x1b")
@example("7")
def test_secret_with_any_characters_never_appears(secret: str) -> None:
    assume(secret not in MASK)
    redactor = Redactor([secret])
    made = record(
        "url rtsp://u:%s@host %s %r",
        secret,
        f"<{secret}>",
        secret,
        value=secret,
        nested={"key": [secret, {secret: f"<{secret}>"}]},
        dumped=json.dumps(secret),
    )
    # Everything that came from outside lies in these fields; time and level are our own.
    found = json.loads(JsonFormatter(redactor).format(made))
    parts = [found[name] for name in ("message", "value", "nested", "dumped")]
    for text in texts(parts):
        rest = text.replace(MASK, "")
        assert secret not in rest or set(secret) <= set("url rtsp://:@host {}[]'\"<>key")
    assert MASK in found["message"]
    assert found["value"] == MASK


@given(secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40))
@example("correct horse ' battery\\staple")
def test_long_secret_appears_nowhere_in_a_line(secret: str) -> None:
    assume(len(set(secret)) > 2)  # '00000000' may be part of anything
    for formatter in (TextFormatter(Redactor([secret])), JsonFormatter(Redactor([secret]))):
        made = record("a %s b %r", secret, secret, password=secret, both=[secret, {"k": secret}])
        line = formatter.format(with_exception(made, OSError(f"cannot open {secret!r} {secret}")))
        for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]):
            assert form not in line


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    else:
        yield str(value)


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_arguments_that_do_not_fit_are_shown_and_redacted(
    formatter: type[logging.Formatter],
) -> None:
    line = formatter(Redactor(["hunter2"])).format(  # type: ignore[arg-type]  # both take a Redactor
        record("password %d of %s", "hunter2")
    )
    assert f"password %d of %s ('{MASK}',)" in line


def test_percent_encoded_secret_is_starred() -> None:
    redactor = Redactor(["p@ss w/rd"])
    assert redactor.redact("rtsp://u:p%40ss%20w%2Frd@h and p%40ss+w%2Frd") == (
        f"rtsp://u:{MASK}@h and {MASK}"
    )


def test_secret_as_a_library_quotes_it_is_starred() -> None:
    secret = 'grün"weg\\'
    redactor = Redactor([secret])
    for quoted in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)):
        assert redactor.redact(f"got {quoted}") == f"got {quoted[0]}{MASK}{quoted[-1]}"
    assert redactor.redact(ascii(secret)) == f"'{MASK}'"


def test_secret_that_holds_another_is_starred_whole() -> None:
    redactor = Redactor(["pass", "password"])
    assert redactor.redact("my password") == f"my {MASK}"


def test_number_that_is_a_secret_is_starred() -> None:
    redactor = Redactor(["4711"])
    assert redactor.redact_value({"pin": 4711, "other": 12}) == {"pin": MASK, "other": 12}


def test_empty_secret_stars_nothing() -> None:
    assert Redactor([""]).redact("text") == "text"


@pytest.fixture
def clean_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    yield
    root.handlers[:], sys.excepthook, threading.excepthook = before[0], before[2], before[3]
    root.setLevel(before[1])
    logging.captureWarnings(capture=False)
    for name in ("nxai_common", "nxai_probe"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("clean_logging")
def test_own_packages_speak_at_the_level_and_libraries_warn() -> None:
    out = io.StringIO()
    logs.set_up(level="debug", style="text", packages=["nxai_probe"], stream=out)
    logging.getLogger("nxai_probe.x").debug("ours")
    logging.getLogger("httpx").info("GET a URL")
    logging.getLogger("httpx").warning("theirs")
    assert [line.split()[3] for line in out.getvalue().splitlines()] == ["ours", "theirs"]


@pytest.mark.usefixtures("clean_logging")
def test_uncaught_exceptions_and_warnings_go_through_the_redaction() -> None:
    out = io.StringIO()
    logs.set_up(level="error", style="json", packages=["nxai_common"], stream=out)
    logs.register_secret("hunter2")

    def fail() -> None:
        raise ValueError("password hunter2")

    thread = threading.Thread(target=fail, name="decoder")
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    [in_thread, in_main] = map(json.loads, out.getvalue().splitlines())
    assert (in_thread["in_thread"], in_main["in_thread"]) == ("decoder", "MainThread")
    assert "ValueError: password ***" in in_thread["trace"]
    assert "hunter2" not in out.getvalue()
    logs.set_up(level="info", style="text", packages=["nxai_common"], stream=out)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("hunter2 is weak", stacklevel=1)
    assert "*** is weak" in out.getvalue()


# -- what was logged lately ----------------------------------------------------------------------


def at_level(level: int, message: str = "x") -> logging.LogRecord:
    made = record(message)
    made.levelno, made.levelname = level, logging.getLevelName(level)
    return made


def test_recent_lines_say_what_the_log_says() -> None:
    recent = RecentLines(Redactor(["hunter2"]), first=7)
    recent.handle(
        with_exception(
            record("user %s", "hunter2", camera="front", url="rtsp://joe:hunter2@h", pins=[1, "a"]),
            ValueError("not hunter2"),
        )
    )
    read = recent.read()
    [line] = read.lines
    trace = line.pop("trace")
    assert line == {
        "number": 7,
        "at": "2026-03-14T09:26:53.589Z",
        "level": "info",
        "logger": "nxai_capture.service",
        "message": "user ***",
        "fields": {"camera": "front", "url": "rtsp://joe:***@h", "pins": [1, "a"]},
    }
    assert trace.startswith("Traceback (most recent call last)")
    assert trace.endswith("ValueError: not ***")
    assert read.next == 7
    assert json.loads(json.dumps(read.lines)) == read.lines


def test_a_reader_goes_on_where_it_stopped_and_takes_the_newest() -> None:
    recent = RecentLines(Redactor(), first=1)
    assert recent.read() == logs.Recent([], 0)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        recent.handle(at_level(level))

    def numbers(**wanted: Any) -> list[int]:
        return [line["number"] for line in recent.read(**wanted).lines]

    assert numbers() == [1, 2, 3, 4, 5]
    assert numbers(after=3) == [4, 5]
    assert numbers(after=5) == []
    assert numbers(limit=2) == [4, 5]
    assert numbers(level="info") == [2, 3, 4, 5]
    assert numbers(level="warning", limit=1) == [5]
    assert numbers(level="error") == [4, 5]
    assert recent.read(level="error", limit=1).next == 5, "what was left out is not asked again"
    assert numbers(after=900) == [1, 2, 3, 4, 5], "of another process, before a restart"


def test_numbers_of_a_later_process_are_higher() -> None:
    earlier = RecentLines(Redactor())
    assert earlier.read().next > 1_700_000_000_000
    earlier.handle(record("x"))
    assert earlier.read().next <= RecentLines(Redactor()).read().next + 1


def test_recent_lines_are_bounded_in_number() -> None:
    recent = RecentLines(Redactor(), first=1)
    for number in range(MOST_LINES + 3):
        recent.handle(record("line %d", number))
    lines = recent.read().lines
    assert [line["message"] for line in (lines[0], lines[-1])] == ["line 3", f"line {number}"]
    assert len(lines) == MOST_LINES


@pytest.mark.parametrize("text", ["x", "\x00"])
def test_recent_lines_are_bounded_in_size(text: str) -> None:
    recent = RecentLines(Redactor(), first=1)
    each = len(json.dumps(text)) - 2
    for _ in range(200):
        recent.handle(record(text * (30_000 // each)))
    lines = recent.read().lines
    size = len(json.dumps(lines))
    # Brackets, commas and numbers come on top.
    assert MOST_CHARACTERS - LONGEST_LINE < size < MOST_CHARACTERS + 40 * len(lines)
    assert lines[-1]["number"] == 200


def test_a_line_of_any_length_is_cut_where_no_secret_is_halved() -> None:
    secret = "0123456789"
    recent = RecentLines(Redactor([secret]), first=1)
    recent.handle(
        with_exception(
            record(
                "a" * (LONGEST_TEXT // 2 - 5) + secret + "b" * LONGEST_LINE + "c" * 100,
                rows=list(range(10_000)),
            ),
            ValueError("the end"),
        )
    )
    [line] = recent.read().lines
    assert "01234" not in line["message"]
    assert line["message"].startswith("aaa")
    assert line["message"].endswith("\n[...]\n" + "b" * (LONGEST_TEXT // 2 - 100) + "c" * 100)
    assert line["fields"] == {}
    assert line["trace"].endswith("ValueError: the end")


def test_a_secret_that_becomes_known_later_is_starred_when_it_is_read() -> None:
    redactor = Redactor()
    recent = RecentLines(redactor, first=1)
    recent.handle(
        with_exception(record("x hunter2", deep=[{"hunter2": "hunter2"}]), ValueError("hunter2"))
    )
    assert "hunter2" in json.dumps(recent.read().lines)
    redactor.register("hunter2")
    [line] = recent.read().lines
    assert "hunter2" not in json.dumps(line)
    assert line["fields"] == {"deep": [{MASK: MASK}]}


def test_a_field_that_cannot_be_written_costs_its_line_alone() -> None:
    class Shy:
        def __str__(self) -> str:
            raise RuntimeError("no")

    recent = RecentLines(Redactor(), first=1)
    recent.handle(record("x", who=Shy()))
    recent.handle(record("y"))
    assert [line["message"] for line in recent.read().lines] == ["y"]


@pytest.mark.usefixtures("clean_logging")
def test_recent_lines_hold_what_the_level_lets_through() -> None:
    out, recent = io.StringIO(), RecentLines(first=1)
    logs.set_up(level="info", style="text", packages=["nxai_probe"], stream=out, recent=recent)
    logs.register_secret("hunter2")
    logging.getLogger("nxai_probe.x").debug("too little")
    logging.getLogger("nxai_probe.x").info("ours hunter2")
    logging.getLogger("httpx").info("theirs")
    assert [line["message"] for line in recent.read(level="debug").lines] == ["ours ***"]
    assert "ours ***" in out.getvalue()


def test_what_is_registered_with_each_request_is_made_ready_once() -> None:
    redactor = logs.Redactor(["s3cret"])
    before = redactor._forms
    redactor.register("s3cret")
    assert redactor._forms is before
    redactor.register("other")
    assert redactor.redact("s3cret other") == "*** ***"
