"""The messages by which a camera tells its streams."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from xml.etree.ElementTree import Element

import pytest

from nxai_capture.core.onvif import (
    MOST_PROFILES,
    Media,
    Profile,
    address_in,
    denies_access,
    envelope,
    fault_in,
    media_in,
    profiles_in,
    profiles_question,
    security_of,
    snapshot_question,
    stream_question,
    time_in,
)
from nxai_capture.core.xml_message import parse_xml, text_at


def body(text: str) -> Element:
    return parse_xml(f"<Envelope><Body>{text}</Body></Envelope>".encode())


def test_the_proof_of_a_password_is_that_of_the_profile() -> None:
    """The example of the ONVIF Application Programmer's Guide."""
    nonce = base64.b64decode("LKqI6G/AikKCQrN0zqZFlg==")
    now = datetime(2010, 9, 16, 9, 50, 45, tzinfo=timezone(timedelta(hours=2)))
    message = parse_xml(envelope("<x/>", security_of("a<b", "userpassword", nonce, now)))
    token = message.find("Header/Security/UsernameToken")
    assert token is not None
    assert text_at(token, "Username") == "a<b"
    assert text_at(token, "Created") == "2010-09-16T07:50:45Z"
    assert text_at(token, "Nonce") == "LKqI6G/AikKCQrN0zqZFlg=="
    assert text_at(token, "Password") == "tuOSpGlFlIXsozq4HFNeeGeFLEI="


def test_without_a_login_there_is_no_header() -> None:
    assert parse_xml(envelope("<x/>")).find("Header") is None


@pytest.mark.parametrize("media", Media)
def test_questions_name_the_profile_as_it_is(media: Media) -> None:
    token = 'a&b<"c">'
    for question in (stream_question(media, token), snapshot_question(media, token)):
        assert text_at(parse_xml(envelope(question)), ".//ProfileToken") == token
    assert ("VideoEncoder" in profiles_question(media)) == (media is Media.TWO)


TIME = (
    "<UTCDateTime><Time><Hour>{}</Hour><Minute>5</Minute><Second>{}</Second></Time>"
    "<Date><Year>{}</Year><Month>2</Month><Day>3</Day></Date></UTCDateTime>"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TIME.format(4, 6, 2019), datetime(2019, 2, 3, 4, 5, 6, tzinfo=UTC)),
        (TIME.format(4, 60, 2019), datetime(2019, 2, 3, 4, 5, 59, tzinfo=UTC)),
        (TIME.format(25, 6, 2019), None),
        (TIME.format(4, 6, 0), None),
        (TIME.format("", "x", 2019), None),
        ("", None),
    ],
)
def test_the_clock_of_a_camera(text: str, expected: datetime | None) -> None:
    assert time_in(body(text)) == expected


def test_the_media_service_is_found_in_both_kinds_of_answers() -> None:
    capabilities = "<Capabilities><Media><XAddr>http://c/media</XAddr></Media></Capabilities>"
    assert media_in(body(capabilities)) == (Media.ONE, "http://c/media")
    service = "<Service><Namespace>{}</Namespace><XAddr>{}</XAddr></Service>"
    two = service.format(Media.TWO.value, "http://c/2")
    assert media_in(body(two)) == (Media.TWO, "http://c/2")
    assert media_in(body(two + service.format(Media.ONE.value, "http://c/1"))) == (
        Media.ONE,
        "http://c/1",
    )
    assert media_in(body(service.format(Media.ONE.value, ""))) is None
    assert media_in(body("")) is None


def test_a_profile_may_tell_little_or_nonsense() -> None:
    encoder = (
        "<VideoEncoderConfiguration><Encoding>H264</Encoding><Resolution><Width>0</Width>"
        "<Height>tall</Height></Resolution><RateControl><FrameRateLimit>12.5</FrameRateLimit>"
        "</RateControl></VideoEncoderConfiguration>"
    )
    profiles = body(
        f'<Profiles token="t">{encoder}</Profiles><Profiles token="sound"/>'
        "<Profiles><Configurations><VideoEncoder/></Configurations></Profiles>"
    )
    assert profiles_in(profiles) == [
        Profile("t", "t", "H264", None, None, 12.5),
        Profile("", "", "", None, None, None),
    ]
    many = body(f"<Profiles>{encoder}</Profiles>" * (MOST_PROFILES + 1))
    assert len(profiles_in(many)) == MOST_PROFILES


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("rtsp://192.0.2.17:554/main?a=1&amp;b=2", "rtsp://192.0.2.17:554/main?a=1&b=2"),
        ("rtsps://192.0.2.17/main", "rtsps://192.0.2.17/main"),
        ("rtsp://0.0.0.0:554/main", "rtsp://camera:554/main"),
        ("rtsp://127.0.0.1/main", "rtsp://camera/main"),
        ("rtsp://[::]/main", "rtsp://camera/main"),
        ("rtsp:///main", "rtsp://camera/main"),
        ("rtsp://[2001:db8::1]:8554/main", "rtsp://[2001:db8::1]:8554/main"),
        ("rtsp://user:secret@192.0.2.17/main", "rtsp://192.0.2.17/main"),
        ("rtsp://us@er:se:cret@192.0.2.17:554/main", "rtsp://192.0.2.17:554/main"),
        (
            "rtsp://192.0.2.17/user=admin_password=tlJwpbo6_channel=1.sdp?real_stream",
            "rtsp://192.0.2.17/user={username}_password={password}_channel=1.sdp?real_stream",
        ),
        (
            "rtsp://192.0.2.17/live?Username=joe&amp;pwd=secret&amp;bypass=1",
            "rtsp://192.0.2.17/live?Username={username}&pwd={password}&bypass=1",
        ),
        ("rtsp://192.0.2.17/main#secret", "rtsp://192.0.2.17/main"),
        ("http://192.0.2.17/main", ""),
        ("rtsp://[broken/main", ""),
        ("rtsp://192.0.2.17:port/main", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_stream_tells_no_secret_and_leads_to_the_camera(
    told: str, expected: str
) -> None:
    assert address_in(body(f"<MediaUri><Uri>{told}</Uri></MediaUri>"), "rtsp", "camera") == expected


@pytest.mark.parametrize(
    ("fault", "reason", "denied"),
    [
        (
            "<Code><Subcode><Value>ter:NotAuthorized</Value></Subcode></Code><Reason><Text>No</Text></Reason>",
            "No",
            True,
        ),
        ("<faultcode>wsse:FailedAuthentication</faultcode>", "no reason", True),
        ("<faultcode>x</faultcode><faultstring>Not today</faultstring>", "Not today", False),
        ("<Code><Value>s:Receiver</Value></Code>", "s:Receiver", False),
        ("<Code><Value/></Code>", "no reason", False),
        (f"<faultstring>{'a' * 999}</faultstring>", "a" * 200, False),
    ],
)
def test_a_refusal_says_why(fault: str, reason: str, denied: bool) -> None:
    answer = body(f"<Fault>{fault}</Fault>")
    assert (fault_in(answer), denies_access(answer)) == (reason, denied)


def test_an_answer_is_no_refusal() -> None:
    assert (fault_in(body("<x/>")), denies_access(body("<x/>"))) == (None, False)
