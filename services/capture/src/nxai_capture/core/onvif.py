"""The few messages of ONVIF by which a camera tells the addresses of its streams.

Sources: ONVIF Core, Media (version 1) and Media 2 Service Specifications; OASIS Web Services
Security UsernameToken Profile 1.0.
"""

import base64
import enum
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import SplitResult, urlsplit
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from nxai_capture.core.xml_message import text_at

MOST_PROFILES: Final = 32
LONGEST_TEXT: Final = 200

DEVICE: Final = "http://www.onvif.org/ver10/device/wsdl"
_SCHEMA: Final = "http://www.onvif.org/ver10/schema"
_SECURITY: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"

TIME: Final = f'<GetSystemDateAndTime xmlns="{DEVICE}"/>'
CAPABILITIES: Final = (
    f'<GetCapabilities xmlns="{DEVICE}"><Category>Media</Category></GetCapabilities>'
)
SERVICES: Final = (
    f'<GetServices xmlns="{DEVICE}"><IncludeCapability>false</IncludeCapability></GetServices>'
)

_DENIED: Final = ("NotAuthorized", "FailedAuthentication", "InvalidSecurity", "OperationProhibited")
_NOWHERE: Final = re.compile(r"0\.0\.0\.0|127\.\d+\.\d+\.\d+|localhost|::1?", re.IGNORECASE)
_LOGIN_IN_URL: Final = re.compile(
    r"(?<![a-z])(?P<key>user(?:name)?|password|passwd|pass|pwd)=(?P<value>[^&_/?#]*)", re.IGNORECASE
)
"""Where cheap cameras put user and password, or a hash of it that is as good:
`/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp`."""


class Media(enum.Enum):
    """The two versions of the service that knows the streams; the value is the namespace."""

    ONE = "http://www.onvif.org/ver10/media/wsdl"
    TWO = "http://www.onvif.org/ver20/media/wsdl"


@dataclass(frozen=True, slots=True)
class Profile:
    """One stream that a camera offers."""

    token: str
    name: str
    encoding: str
    width: int | None
    height: int | None
    fps: float | None


@dataclass(frozen=True, slots=True)
class Stream:
    """A profile and where to get it."""

    profile: Profile
    url: str
    snapshot: str
    """Address of a single picture; empty: none."""


def envelope(body: str, security: str = "") -> bytes:
    """Return a message of SOAP 1.2."""
    header = f"<s:Header>{security}</s:Header>" if security else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">'
        f"{header}<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def security_of(username: str, password: str, nonce: bytes, now: datetime) -> str:
    """Return the header that proves a password without telling it.

    Args:
        username: As it is.
        password: As it is.
        nonce: Random bytes, others for each message.
        now: By the clock of the camera, which refuses what is older than some seconds.
    """
    created = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    proof = hashlib.sha1(  # noqa: S324 - the profile says so
        nonce + created.encode() + password.encode()
    ).digest()
    return (
        f'<Security s:mustUnderstand="1" xmlns="{_SECURITY}wssecurity-secext-1.0.xsd">'
        f"<UsernameToken><Username>{escape(username)}</Username>"
        f'<Password Type="{_SECURITY}username-token-profile-1.0#PasswordDigest">'
        f"{base64.b64encode(proof).decode()}</Password>"
        f'<Nonce EncodingType="{_SECURITY}soap-message-security-1.0#Base64Binary">'
        f"{base64.b64encode(nonce).decode()}</Nonce>"
        f'<Created xmlns="{_SECURITY}wssecurity-utility-1.0.xsd">{created}</Created>'
        "</UsernameToken></Security>"
    )


def profiles_question(media: Media) -> str:
    """Return the question for all streams."""
    wanted = "<Type>VideoEncoder</Type>" if media is Media.TWO else ""
    return f'<GetProfiles xmlns="{media.value}">{wanted}</GetProfiles>'


def stream_question(media: Media, token: str) -> str:
    """Return the question for the address of one stream."""
    profile = f"<ProfileToken>{escape(token)}</ProfileToken>"
    how = (
        "<Protocol>RTSP</Protocol>"
        if media is Media.TWO
        else f'<StreamSetup><Stream xmlns="{_SCHEMA}">RTP-Unicast</Stream>'
        f'<Transport xmlns="{_SCHEMA}"><Protocol>RTSP</Protocol></Transport></StreamSetup>'
    )
    return f'<GetStreamUri xmlns="{media.value}">{how}{profile}</GetStreamUri>'


def snapshot_question(media: Media, token: str) -> str:
    """Return the question for the address of a single picture."""
    profile = f"<ProfileToken>{escape(token)}</ProfileToken>"
    return f'<GetSnapshotUri xmlns="{media.value}">{profile}</GetSnapshotUri>'


def time_in(answer: Element) -> datetime | None:
    """Return what the camera's clock says; None when it does not tell."""
    utc = answer.find(".//UTCDateTime")
    if utc is None:
        return None
    try:
        year, month, day, hour, minute, second = (
            int(text_at(utc, path))
            for path in (
                "Date/Year",
                "Date/Month",
                "Date/Day",
                "Time/Hour",
                "Time/Minute",
                "Time/Second",
            )
        )
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None


def media_in(answer: Element) -> tuple[Media, str] | None:
    """Return which media service the camera has, and its address; None when it names none.

    Args:
        answer: To `CAPABILITIES` or to `SERVICES`.
    """
    address = text_at(answer, ".//Capabilities/Media/XAddr")
    if address:
        return Media.ONE, address
    services = {
        text_at(service, "Namespace"): text_at(service, "XAddr")
        for service in answer.iter("Service")
    }
    for media in Media:
        if services.get(media.value):
            return media, services[media.value]
    return None


def profiles_in(answer: Element) -> list[Profile]:
    """Return the streams of pictures; those of sound alone are left out."""
    found = []
    for profile in answer.iter("Profiles"):
        encoder = profile.find("VideoEncoderConfiguration")
        if encoder is None:
            encoder = profile.find("Configurations/VideoEncoder")
        if encoder is None:
            continue
        token = profile.get("token", "")
        found.append(
            Profile(
                token=token,
                name=(text_at(profile, "Name") or token)[:LONGEST_TEXT],
                encoding=text_at(encoder, "Encoding")[:LONGEST_TEXT],
                width=_whole(text_at(encoder, "Resolution/Width")),
                height=_whole(text_at(encoder, "Resolution/Height")),
                fps=_number(text_at(encoder, "RateControl/FrameRateLimit")),
            )
        )
    return found[:MOST_PROFILES]


def address_in(answer: Element, scheme: str, host: str) -> str:
    """Return the address that a camera gives of a stream or a picture; empty: none to be used.

    A login in it is taken out: its place is in the credentials, and addresses are shown. Where
    cameras have it in path or query, `{username}` and `{password}` say where it goes.

    Args:
        answer: To a question for a stream or a picture.
        scheme: That it must have (`rtsp` or `http`), with or without an `s` behind.
        host: At which the camera was reached, for those that do not know their own address.
    """
    try:
        parts = urlsplit(text_at(answer, ".//Uri"))
        named, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.scheme not in (scheme, f"{scheme}s"):
        return ""
    reached = host if not named or _NOWHERE.fullmatch(named) else named
    place = f"[{reached}]" if ":" in reached else reached
    place = place if port is None else f"{place}:{port}"
    return SplitResult(
        parts.scheme, place, _without_login(parts.path), _without_login(parts.query), ""
    ).geturl()


def fault_in(answer: Element) -> str | None:
    """Return what a refusal says, its reason or else its code; None: it is none."""
    fault = answer.find(".//Fault")
    if fault is None:
        return None
    texts = [text_at(fault, path) for path in ("Reason/Text", "faultstring", "Code/Value")]
    return (next((text for text in texts if text), "") or "no reason")[:LONGEST_TEXT]


def denies_access(answer: Element) -> bool:
    """Return whether an answer is a refusal for want of the right user and password."""
    fault = answer.find(".//Fault")
    if fault is None:
        return False
    codes = [value.text or "" for value in fault.iter("Value")] + [text_at(fault, "faultcode")]
    return any(denied in code for code in codes for denied in _DENIED)


def _without_login(text: str) -> str:
    return _LOGIN_IN_URL.sub(
        lambda found: (
            f"{found['key']}="
            + ("{username}" if found["key"].lower().startswith("user") else "{password}")
        ),
        text,
    )


def _whole(text: str) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


def _number(text: str) -> float | None:
    """Return a number above 0 that a camera may have meant."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < 1e6 else None  # noqa: PLR2004 - beyond is a broken answer
