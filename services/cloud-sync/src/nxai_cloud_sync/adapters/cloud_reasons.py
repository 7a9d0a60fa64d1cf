"""What goes wrong on the way to Edge Impulse, as a person reads it.

Texts of httpx never get through (they quote URLs, and those of object storage hold signatures);
texts of the server do, without the key.
"""

import errno
import re
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpcore

from nxai_common.errors import CloudRejected, CloudUnavailable, KeyRefused

LONGEST_RETRY_AFTER_S: Final = 86_400.0
"""What a server asks for beyond a day was meant otherwise."""

_MAY_PASS: Final = frozenset(
    {
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Below 500; every status from there on may pass, too."""

_ABOUT_THE_KEY: Final = re.compile(
    r"\b(invalid|expired|unknown|missing|no|wrong)\s+(api\s*)?key\b|\bunauthori[sz]ed\b"
    r"|\bnot (authori[sz]ed|authenticated)\b|\b(no|not have|insufficient) permissions?\b",
    re.IGNORECASE,
)
"""Refusals of the key that come as HTTP 200 or 400."""

_LONGEST_WORDS: Final = 300
"""Of what a server says: more is no message for a person."""

_CAPTIVE: Final = (
    "a web page came instead of data: is a captive portal or a proxy in the way, or the address "
    "of another site set?"
)


def status_error(
    status: int, words: str, asked: str, *, page: bool, retry_after: str | None
) -> CloudRejected | CloudUnavailable:
    """Return the error for an answer that is no success, to be raised.

    Args:
        status: HTTP status; 200 for `success: false`.
        words: What the server says.
        asked: What was asked for.
        page: Whether it answered with a web page; Edge Impulse never does.
        retry_after: The header of this name.
    """
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _MAY_PASS:
        reason = "too many requests" if status == HTTPStatus.TOO_MANY_REQUESTS else "not now"
        unavailable = CloudUnavailable(
            f"Edge Impulse says {words or reason} (HTTP {status}, {asked})"
        )
        unavailable.retry_after_s = retry_after_s(retry_after, datetime.now(UTC))
        return unavailable
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        if page:  # of a proxy, a firewall or a portal: it knows nothing of keys
            return CloudUnavailable(f"{_CAPTIVE} (HTTP {status}, {asked})")
        return _refused(words or HTTPStatus(status).phrase, f"HTTP {status}, {asked}")
    if status == HTTPStatus.NOT_FOUND:
        return CloudRejected(
            f"Edge Impulse does not have it: {words or 'not found'} (HTTP 404, {asked}); is the "
            "project there, and the address of the API right?"
        )
    if _ABOUT_THE_KEY.search(words):
        return _refused(words, f"HTTP {status}, {asked}")
    return CloudRejected(
        f"Edge Impulse refused: {words or 'no reason given'} (HTTP {status}, {asked})"
    )


def _refused(words: str, where: str) -> KeyRefused:
    return KeyRefused(
        f"Edge Impulse refused the API key: {words} ({where}); check the key, its role and its "
        "project (Studio: Dashboard > Keys)"
    )


def page_error(status: int, asked: str) -> CloudUnavailable:
    """Return the error for a web page where data was expected."""
    return CloudUnavailable(f"{_CAPTIVE} (HTTP {status}, {asked})")


def readable(words: object) -> str:
    """Return what a server says in one line that is not too long."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())
    return text if len(text) <= _LONGEST_WORDS else f"{text[: _LONGEST_WORDS - 3]}..."


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, which names seconds or a date."""
    if not text:
        return None
    seconds: float
    try:
        seconds = float(text) if re.fullmatch(r"\s*\d+(\.\d+)?\s*", text) else _until(text, now)
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _until(text: str, now: datetime) -> float:
    at = parsedate_to_datetime(text)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()


def network_reason(error: Exception, host: str, port: int) -> str:
    """Return why a server could not be reached, or why the connection broke."""
    place = f"{host}:{port}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return _os_reason(cause, host, place)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, (httpcore.RemoteProtocolError, httpcore.NetworkError)):
        return f"{place} broke off in the middle"
    return f"{place} does not speak HTTP as it should: check scheme and port of the address"


def _os_reason(error: OSError, host: str, place: str) -> str:
    for kind, reason in _OS_REASONS:
        if isinstance(error, kind):
            detail = getattr(error, "verify_message", "")
            return reason.format(host=host, place=place, detail=detail)
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN):
        return f"no route to {host}: is this machine online?"
    return f"connection to {place} failed (error {error.errno})"


_OS_REASONS: Final[tuple[tuple[type[OSError], str], ...]] = (
    (
        socket.gaierror,
        (
            "name {host!r} not found: is this machine online, its DNS server set, and the address "
            "right?"
        ),
    ),
    (
        ssl.SSLCertVerificationError,
        (
            "the certificate of {place} is not trusted ({detail}): is the clock right? A server of "
            "your own may need its issuer among this machine's certificates"
        ),
    ),
    (
        ssl.SSLError,
        "{place} does not speak TLS as it should: check scheme and port of the address",
    ),
    (TimeoutError, "{place} does not answer"),
    (ConnectionRefusedError, "nothing listens at {place}: check the address"),
    (ConnectionError, "{place} closed the connection"),
)
"""The first one that fits."""
