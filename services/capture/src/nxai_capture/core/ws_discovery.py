"""WS-Discovery as ONVIF cameras speak it: the question, and what the answers say.

Sources: ONVIF Core Specification, chapter 7; WS-Discovery of April 2005.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

from nxai_capture.core.xml_message import parse_xml, text_at

GROUP: Final = "239.255.255.250"
PORT: Final = 3702
CAMERA_TYPE: Final = "NetworkVideoTransmitter"
SCOPES: Final = "onvif://www.onvif.org/"
LONGEST_TEXT: Final = 200
LONGEST_ADDRESS: Final = 500

_PROBE: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
    ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl">'
    "<e:Header>"
    "<w:MessageID>urn:uuid:{message}</w:MessageID>"
    '<w:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>'
    '<w:Action e:mustUnderstand="true">'
    "http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action>"
    "</e:Header>"
    "<e:Body><d:Probe>{types}</d:Probe></e:Body>"
    "</e:Envelope>"
)


@dataclass(frozen=True, slots=True)
class NetworkCamera:
    """One that answered, as it says of itself."""

    address: str
    """Of its ONVIF device service."""
    host: str
    name: str
    hardware: str
    location: str


def probe(message: str, *, only_cameras: bool) -> bytes:
    """Return the question.

    Some cameras answer only when asked for their type, some only when no type is asked for.

    Args:
        message: A UUID, another one for each question.
        only_cameras: Else whatever speaks WS-Discovery answers, printers too.
    """
    types = f"<d:Types>dn:{CAMERA_TYPE}</d:Types>" if only_cameras else ""
    return _PROBE.format(message=message, types=types).encode()


def cameras_in(answer: bytes, sender: str) -> list[NetworkCamera]:
    """Return the cameras that an answer tells of; whatever else speaks WS-Discovery is left out.

    Args:
        answer: One datagram, from anybody.
        sender: Its IP address; of several addresses of a camera, this one is known to be reached.

    Raises:
        InvalidPayload: it is no XML.
    """
    found = (_camera(match, sender) for match in parse_xml(answer).iter("ProbeMatch"))
    return [camera for camera in found if camera is not None]


def _camera(match: Element, sender: str) -> NetworkCamera | None:
    scopes = text_at(match, "Scopes").split()
    if CAMERA_TYPE not in text_at(match, "Types") and not any(
        scope.startswith(SCOPES) for scope in scopes
    ):
        return None
    address = _best(text_at(match, "XAddrs").split(), sender)
    if address is None:
        return None
    return NetworkCamera(
        address=address,
        host=urlsplit(address).hostname or "",
        name=_scope(scopes, "name"),
        hardware=_scope(scopes, "hardware"),
        location=_scope(scopes, "location"),
    )


def _best(addresses: Iterable[str], sender: str) -> str | None:
    """Return the address that is most likely reached; None when there is none of HTTP."""
    hosts = {address: host for address in addresses if (host := _host(address)) is not None}
    return min(hosts, key=lambda a: (hosts[a] != sender, ":" in hosts[a]), default=None)


def _host(address: str) -> str | None:
    if len(address) > LONGEST_ADDRESS or "@" in address:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None


def _scope(scopes: Iterable[str], kind: str) -> str:
    """Return all that is said of one kind, such as `garden, north` of two locations."""
    start = f"{SCOPES}{kind}/"
    said = [unquote(scope[len(start) :]) for scope in scopes if scope.startswith(start)]
    return ", ".join(said)[:LONGEST_TEXT]
