from datetime import UTC, datetime

import pytest

from nxai_publisher.core.http_answers import (
    LONGEST_RETRY_AFTER_S,
    LONGEST_WORDS,
    Verdict,
    readable,
    reason,
    retry_after_s,
    verdict,
)

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((200, 201, 202, 204, 299), Verdict.TAKEN),
        ((500, 502, 503, 504, 599, 408, 425, 429), Verdict.LATER),
        ((401, 403, 404, 405, 407), Verdict.LATER),
        ((301, 302, 307, 304, 100), Verdict.LATER),
        ((400, 406, 409, 410, 411, 413, 414, 415, 422, 431), Verdict.REFUSED),
    ],
)
def test_what_a_status_means(statuses: tuple[int, ...], expected: Verdict) -> None:
    assert {verdict(status) for status in statuses} == {expected}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, b"", "HTTP 401 Unauthorized; check user, password and secret"),
        (404, b"<html>", "HTTP 404 Not Found; check the address"),
        (422, b'{"detail": "no count"}', 'HTTP 422 Unprocessable Entity; {"detail": "no count"}'),
        (302, b"", "HTTP 302 Found; it sends us on to another address; set that one"),
        (599, b"busy\n\x1b[2J", "HTTP 599 unknown status; busy [2J"),
    ],
)
def test_what_a_person_reads(status: int, body: bytes, expected: str) -> None:
    assert reason(status, body).replace("Content", "Entity") == expected


def test_words_are_one_line_and_not_too_long() -> None:
    assert readable(b"a\n b\t\xffc") == "a b \ufffdc"
    assert readable(b" <!doctype html><p>Log in") == ""
    long = readable(b"word " * 1000)
    assert len(long) == LONGEST_WORDS
    assert long.endswith("...")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("999999999", LONGEST_RETRY_AFTER_S),
        ("Sun, 22 Nov 2026 10:01:40 GMT", 100.0),
        ("Sun, 22 Nov 2026 10:01:40", 100.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("Sun, 99 Nov 99999999 10:01:40 GMT", None),
    ],
)
def test_when_to_come_again(text: str | None, expected: float | None) -> None:
    assert retry_after_s(text, NOW) == expected
