"""What an HTTP server's answer means for what was sent to it."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from typing import Final

LONGEST_RETRY_AFTER_S: Final = 3600.0
"""A server that asks for more is asked once an hour: it may be well again."""
LONGEST_WORDS: Final = 300
"""Of what a server says: more is no message for a person."""

_MAY_PASS: Final = frozenset(
    {
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
_HINTS: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "check user, password and secret",
    HTTPStatus.FORBIDDEN: "check the rights of this user or secret there",
    HTTPStatus.NOT_FOUND: "check the address",
    HTTPStatus.METHOD_NOT_ALLOWED: "check the address and the method",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "a proxy in the way wants a password",
    HTTPStatus.TOO_MANY_REQUESTS: "it wants fewer requests; gather several results in one",
}
_FOR_A_PERSON: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
    }
)
"""Somebody must change something here or there, and meanwhile nothing is lost."""


class Verdict(Enum):
    """What to do."""

    TAKEN = "taken"
    LATER = "later"
    """Try again."""
    REFUSED = "refused"
    """It will never take this."""


def verdict(status: int) -> Verdict:
    """Return what a status means."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Verdict.TAKEN
    refused = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if refused and status not in _MAY_PASS | _FOR_A_PERSON:
        return Verdict.REFUSED
    return Verdict.LATER


def reason(status: int, body: bytes) -> str:
    """Return in one line what a server said, and what to do about it."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "unknown status"
    words = readable(body)
    hint = _HINTS.get(status, "")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        hint = "it sends us on to another address; set that one"
    return "; ".join(part for part in (f"HTTP {status} {phrase}", hint, words) if part)


def readable(body: bytes) -> str:
    """Return what a server says in one line that is not too long; a web page says nothing."""
    text = body.decode("utf-8", "replace")
    if text.lstrip()[:1] == "<":
        return ""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words if len(words) <= LONGEST_WORDS else f"{words[: LONGEST_WORDS - 3]}..."


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, which names seconds or a date."""
    if not text:
        return None
    try:
        seconds = float(text) if re.fullmatch(r"\s*\d{1,9}\s*", text) else _until(text, now)
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _until(text: str, now: datetime) -> float:
    at = parsedate_to_datetime(text)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
