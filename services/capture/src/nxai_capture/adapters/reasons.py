"""The one table from what goes wrong with a camera to what a person reads and does.

Texts of libraries never get through: libav and httpx quote URLs, and URLs hold passwords.
"""

import errno
import socket
import ssl
from http import HTTPStatus
from typing import Final

from nxai_common.errors import CameraUnavailable, ConfigurationError, NxaiError

STATUS_REASONS: Final = {
    400: "the camera does not understand the request: check the path of the URL",
    401: "check user and password",
    403: "this user may not view this stream: change its rights on the camera",
    404: "path not found on the camera: check the path of the URL",
    405: "the camera does not offer this: check the path of the URL",
    407: "a proxy asks for a password: connect to the camera without it",
    408: "the camera gave up waiting",
    410: "this stream is no longer on the camera: check the path of the URL",
    429: "too many requests: ask less often or close other viewers",
    453: "the camera has no bandwidth left: close other viewers or use its sub-stream",
    454: "the camera forgot the session",
    461: "the camera refuses this transport: set transport to auto",
    500: "the camera has an internal error: restart it if this stays",
    501: "the camera does not offer this: check the URL",
    503: "the camera is busy: close other viewers or use its sub-stream",
}
"""RTSP (RFC 7826 section 17) took its status codes from HTTP (RFC 9110 section 15)."""

NEEDS_A_PERSON: Final = frozenset({401, 403})
"""Trying again with the same password does not help, and locks accounts on some cameras. (404 is
not here: recorders and restreamers answer it while a camera behind them starts.)"""


def status_error(status: int, *, with_credentials: bool) -> NxaiError:
    """Return the error for a status code of HTTP or RTSP, to be raised.

    Args:
        status: Anything but success.
        with_credentials: Whether user and password were sent.
    """
    reason = STATUS_REASONS.get(status, "unexpected answer of the camera")
    if status == HTTPStatus.UNAUTHORIZED and not with_credentials:
        reason = "the camera asks for user and password: set its credentials"
    if status in NEEDS_A_PERSON:
        return ConfigurationError(f"{status}: {reason}")
    return CameraUnavailable(f"{status}: {reason}")


def os_error(error: OSError, host: str, port: int) -> CameraUnavailable:
    """Return the error for a connection that could not be made or broke, to be raised."""
    place = f"{host}:{port}"
    reason = f"connection to {place} failed (error {error.errno})"
    if isinstance(error, socket.gaierror):
        reason = f"name {host!r} not found: check the address, or the DNS server of this machine"
    elif isinstance(error, ssl.SSLCertVerificationError):
        reason = (
            f"the certificate of {place} is not trusted: add its issuer to the certificates of "
            "this machine, or set certificate to any"
        )
    elif isinstance(error, ssl.SSLError):
        reason = f"{place} does not speak TLS as it should: check the scheme and port of the URL"
    elif isinstance(error, TimeoutError):  # ETIMEDOUT too
        reason = f"timed out: {place} does not answer"
    elif isinstance(error, ConnectionRefusedError):
        reason = f"nothing listens at {place}: is the camera on, and the port right?"
    elif isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        reason = f"{place} closed the connection"
    elif error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN):
        reason = f"no route to {host}: is it switched on and in a network this machine reaches?"
    return CameraUnavailable(reason)


def connection_error(host: str, port: int, timeout_s: float) -> CameraUnavailable | None:
    """Return why nothing answers at `host`, or None when something does.

    libav says "Input/output error" for a dozen reasons; this looks again and names one.
    """
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        return os_error(error, host, port)
    return None
