"""Camera URLs: where the login goes."""

import pytest
from pydantic import SecretStr

from nxai_capture.adapters.camera_url import parse_camera_url
from nxai_capture.ports import Credentials

LOGIN = Credentials("us:er", SecretStr("p@ss/&w?rd"))


def test_a_login_goes_before_the_host() -> None:
    url = parse_camera_url("rtsp://camera/stream", ("rtsp",))
    assert not url.has_places
    assert url.with_credentials(LOGIN) == "rtsp://us%3Aer:p%40ss%2F&w%3Frd@camera/stream"
    assert url.with_credentials(None) == "rtsp://camera/stream"


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_or_where_the_url_says(scheme: str) -> None:
    text = f"{scheme}://camera/stream?user={{username}}&password={{password}}"
    url = parse_camera_url(text, (scheme,))
    assert url.has_places
    filled = f"{scheme}://camera/stream?user=us%3Aer&password=p%40ss%2F%26w%3Frd"
    assert url.with_credentials(LOGIN) == filled
    assert url.filled(LOGIN) == filled
    assert url.filled(None) == text
