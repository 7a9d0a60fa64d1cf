"""Camera URLs: where the login goes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from nxai_capture.adapters.camera_url import parse_camera_url
from nxai_capture.ports import Credentials
from nxai_common.logs import MASK, Redactor

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


@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
@example("p@ss!word")
@example("a$b c")
@example("x:y(1)")
@pytest.mark.parametrize("place", ["", "?pwd={password}"])
def test_a_password_in_a_url_is_starred_in_the_log(place: str, password: str) -> None:
    url = parse_camera_url(f"rtsp://camera/{place}", ("rtsp",))
    shown = url.with_credentials(Credentials("user", SecretStr(password)))
    before, after = ("/?pwd=", "") if place else ("user:", "@camera")
    encoded = shown.partition(before)[2].removesuffix(after + "/")
    assert Redactor([password]).redact(encoded) == MASK
