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
from nxai_common.logs import MASK, JsonFormatter, Redactor, TextFormatter

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
