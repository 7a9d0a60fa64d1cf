import errno
import socket
import ssl
from urllib.parse import unquote

import pytest

from nxai_capture.adapters.camera_url import parse_camera_url
from nxai_capture.adapters.reasons import os_error, status_error
from nxai_common.errors import CameraUnavailable, ConfigurationError
from support.cameras import PASSWORDS, login


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "s3cret"), "nothing listens at gate:554"),
        (TimeoutError(errno.ETIMEDOUT, "s3cret"), "timed out: gate:554 does not answer"),
        (OSError(errno.EHOSTUNREACH, "s3cret"), "no route to gate"),
        (OSError(errno.ENETUNREACH, "s3cret"), "no route to gate"),
        (ConnectionResetError(errno.ECONNRESET, "s3cret"), "gate:554 closed the connection"),
        (socket.gaierror(socket.EAI_NONAME, "s3cret"), "name 'gate' not found"),
        (ssl.SSLCertVerificationError(1, "s3cret"), "certificate of gate:554 is not trusted"),
        (ssl.SSLError(1, "s3cret"), "gate:554 does not speak TLS"),
        (OSError(errno.EIO, "s3cret"), "connection to gate:554 failed"),
    ],
)
def test_connection_errors_have_a_plain_reason_without_foreign_text(
    error: OSError, reason: str
) -> None:
    found = str(os_error(error, "gate", 554))
    assert reason in found
    assert "s3cret" not in found


def test_wrong_password_is_for_a_person_to_mend_and_a_busy_camera_is_not() -> None:
    for status in (401, 403):
        assert isinstance(status_error(status, with_credentials=True), ConfigurationError)
    for status in (404, 453, 500, 503, 599):
        assert isinstance(status_error(status, with_credentials=True), CameraUnavailable)


@pytest.mark.parametrize("password", PASSWORDS)
def test_url_with_credentials_can_be_taken_apart_again(password: str) -> None:
    url = parse_camera_url("rtsp://gate:8554/a/b?c=d", ("rtsp",))
    whole = url.with_credentials(login("us:er", password))
    userinfo, _, rest = whole.removeprefix("rtsp://").rpartition("@")
    assert rest == "gate:8554/a/b?c=d"
    assert not set(userinfo) & set('/?#@[] "\\')
    user, _, secret = userinfo.partition(":")
    assert (unquote(user), unquote(secret)) == ("us:er", password)


def test_url_parts_and_what_may_be_shown() -> None:
    url = parse_camera_url(" rtsp://gate/token?s3cret ", ("rtsp", "rtsps"))
    assert (url.host, url.port, url.place) == ("gate", 554, "gate:554")
    assert parse_camera_url("https://[::1]/", ("https",)).host == "::1"
    assert url.with_credentials(None) == "rtsp://gate/token?s3cret"
