"""An ONVIF camera: SOAP over HTTP that checks passwords as cameras do, and answers to discovery.

It reads what it gets with the standard library's parser, not with that of the product.
"""

import base64
import hashlib
import socket
import struct
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from support import http_cameras

SOAP = "http://www.w3.org/2003/05/soap-envelope"
DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
MEDIA2 = "http://www.onvif.org/ver20/media/wsdl"
SCHEMA = "http://www.onvif.org/ver10/schema"
TOLERANCE = timedelta(seconds=5)
"""By which a proof may be older than the camera's clock."""


@dataclass
class Onvif:
    """What the camera does. Change it while it runs."""

    user: str | None = None
    password: str = ""
    proof: Literal["token", "digest", "basic"] = "token"
    """What it wants: WS-UsernameToken in the message, or Digest or Basic of HTTP."""
    denies_with: tuple[int, str] = (400, "ter:NotAuthorized")
    """HTTP status and code of the fault when the token is wrong."""
    ahead: timedelta = timedelta()
    """Its clock."""
    tells_time: bool = True
    version: Literal[1, 2] = 1
    """Of the media service. 2: the device knows GetServices alone."""
    own_address: str | None = None
    """Host that it believes to have; None: the one it is reached at."""
    streams: dict[str, str] = field(
        default_factory=lambda: {
            "main & sub": "rtsp://{host}:554/main?profile=1",
            "low": "rtsp://{host}:554/low",
        }
    )
    """Address by token of the profile; empty: GetStreamUri is refused."""
    snapshot: str = "http://{host}/snapshot.jpg"
    instead: Callable[[str], tuple[int, str, bytes] | None] = lambda _: None
    """Status, content type and body of the answer to a question, instead of the right one."""
    address: str = ""
    asked: list[str] = field(default_factory=list)
    """Names of the questions so far."""
    sent: list[bytes] = field(default_factory=list)
    """All that was sent to it, headers too."""
    nonces: set[str] = field(default_factory=set)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def proves(self, envelope: ET.Element) -> bool:
        """Return whether the message proves the password, freshly."""
        texts = {e.tag.rpartition("}")[2]: e.text or "" for e in envelope.iter()}
        if self.user is None:
            return True
        if texts.get("Username") != self.user or texts["Nonce"] in self.nonces:
            return False
        self.nonces.add(texts["Nonce"])
        created = datetime.fromisoformat(texts["Created"])
        nonce = base64.b64decode(texts["Nonce"])
        proof = hashlib.sha1(
            nonce + texts["Created"].encode() + self.password.encode(), usedforsecurity=False
        ).digest()
        fresh = abs(self.now() - created) <= TOLERANCE
        return fresh and texts["Password"] == base64.b64encode(proof).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    camera: Onvif
    login: http_cameras.Camera

    def do_POST(self) -> None:
        camera = self.camera
        body = self.rfile.read(int(self.headers["Content-Length"]))
        camera.sent.append(bytes(self.headers) + body)
        envelope = ET.fromstring(body)  # noqa: S314 - of the test itself
        question = envelope.find(f"{{{SOAP}}}Body/*")
        assert question is not None
        namespace, _, name = question.tag[1:].partition("}")
        camera.asked.append(name)
        instead = camera.instead(name)
        if instead is not None:
            self._send(*instead)
            return
        if name == "GetSystemDateAndTime" and camera.tells_time:
            self._answer(name, DEVICE, _time(camera.now()))
            return
        if camera.user is not None and camera.proof != "token":
            self.login.user, self.login.password = camera.user, camera.password
            self.login.auth = camera.proof
            if not self.login.allows("POST", self.path, self.headers.get("Authorization")):
                challenge = f'{camera.proof.title()} realm="{http_cameras.REALM}"'
                if camera.proof == "digest":
                    challenge += f', nonce="{self.login.nonce}", qop="auth"'
                self._send(401, "text/html", b"<h1>no</h1>", {"WWW-Authenticate": challenge})
                return
        elif not camera.proves(envelope):
            status, code = camera.denies_with
            self._send(status, "application/soap+xml", _fault(code, "Sender not authorized"))
            return
        answers = {
            "GetCapabilities": self._capabilities,
            "GetServices": self._services,
            "GetProfiles": self._profiles,
            "GetStreamUri": self._stream,
            "GetSnapshotUri": self._snapshot,
        }
        answers.get(name, self._unknown)(namespace, question)

    def _capabilities(self, _namespace: str, _question: ET.Element) -> None:
        if self.camera.version != 1:
            self._unknown("", _question)
            return
        media = f"<tt:Media><tt:XAddr>{self._at('/onvif/Media')}</tt:XAddr></tt:Media>"
        self._answer("GetCapabilities", DEVICE, f"<tds:Capabilities>{media}</tds:Capabilities>")

    def _services(self, _namespace: str, _question: ET.Element) -> None:
        services = "".join(
            f"<tds:Service><tds:Namespace>{namespace}</tds:Namespace>"
            f"<tds:XAddr>{self._at(path)}</tds:XAddr></tds:Service>"
            for namespace, path in ((DEVICE, "/onvif/device_service"), (MEDIA2, "/onvif/Media2"))
        )
        self._answer("GetServices", DEVICE, services)

    def _profiles(self, namespace: str, question: ET.Element) -> None:
        self._check(namespace)
        if self.camera.version == 2:
            assert question.findtext(f"{{{MEDIA2}}}Type") == "VideoEncoder"
        body = ""
        for number, token in enumerate(self.camera.streams):
            quoted = token.replace("&", "&amp;")
            encoder = (
                f"<tt:Encoding>H26{4 + number % 2}</tt:Encoding><tt:Resolution>"
                f"<tt:Width>{1920 >> number}</tt:Width><tt:Height>{1080 >> number}</tt:Height>"
                f"</tt:Resolution><tt:RateControl><tt:FrameRateLimit>25</tt:FrameRateLimit>"
                f"</tt:RateControl>"
            )
            within = {
                1: "<tt:VideoEncoderConfiguration>{}</tt:VideoEncoderConfiguration>",
                2: "<m:Configurations><m:VideoEncoder>{}</m:VideoEncoder></m:Configurations>",
            }[self.camera.version]
            name = f"<tt:Name>Stream {number}</tt:Name>"
            encoder = within.format(encoder)
            body += f'<m:Profiles token="{quoted}">{name}{encoder}</m:Profiles>'
        sound = '<m:Profiles token="sound"><tt:Name>Sound</tt:Name></m:Profiles>'
        self._answer("GetProfiles", namespace, body + sound)

    def _stream(self, namespace: str, question: ET.Element) -> None:
        self._check(namespace)
        address = self.camera.streams[self._token(namespace, question)]
        transport = question.findtext(".//{*}Protocol")
        assert transport == "RTSP"
        if address:
            self._address("GetStreamUri", namespace, address)
        else:
            self._unknown(namespace, question)

    def _snapshot(self, namespace: str, question: ET.Element) -> None:
        self._check(namespace)
        assert self._token(namespace, question) in self.camera.streams
        if self.camera.snapshot:
            self._address("GetSnapshotUri", namespace, self.camera.snapshot)
        else:
            self._unknown(namespace, question)

    def _unknown(self, _namespace: str, _question: ET.Element) -> None:
        fault = _fault("ter:ActionNotSupported", "Optional Action Not Implemented")
        self._send(500, "application/soap+xml", fault)

    def _check(self, namespace: str) -> None:
        wanted = {1: (MEDIA, "/onvif/Media"), 2: (MEDIA2, "/onvif/Media2")}[self.camera.version]
        assert (namespace, self.path) == wanted

    def _token(self, namespace: str, question: ET.Element) -> str:
        return question.findtext(f"{{{namespace}}}ProfileToken") or ""

    def _at(self, path: str) -> str:
        port = self.camera.address.rpartition(":")[2].partition("/")[0]
        return f"http://{self.camera.own_address or '127.0.0.1'}:{port}{path}"

    def _address(self, name: str, namespace: str, address: str) -> None:
        host = self.camera.own_address or "127.0.0.1"
        uri = address.replace("{host}", host).replace("&", "&amp;")
        if self.camera.version == 1:
            uri = f"<m:MediaUri><tt:Uri>{uri}</tt:Uri></m:MediaUri>"
        else:
            uri = f"<m:Uri>{uri}</m:Uri>"
        self._answer(name, namespace, uri)

    def _answer(self, name: str, namespace: str, body: str) -> None:
        text = (
            f'<?xml version="1.0"?><env:Envelope xmlns:env="{SOAP}" xmlns:tt="{SCHEMA}"'
            f' xmlns:tds="{DEVICE}" xmlns:m="{namespace}"><env:Header/><env:Body>'
            f"<m:{name}Response>{body}</m:{name}Response></env:Body></env:Envelope>"
        )
        self._send(200, "application/soap+xml", text.encode())

    def _send(
        self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients of these tests hang up in the middle on purpose."""


def _time(now: datetime) -> str:
    return (
        "<tds:SystemDateAndTime><tt:UTCDateTime>"
        f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute>"
        f"<tt:Second>{now.second}</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year>"
        f"<tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date>"
        "</tt:UTCDateTime></tds:SystemDateAndTime>"
    )


def _fault(code: str, reason: str) -> bytes:
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:ter="http://www.onvif.org/ver10/error"><s:Body>'
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>{code}</s:Value>"
        f'</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">{reason}</s:Text></s:Reason>'
        "</s:Fault></s:Body></s:Envelope>"
    ).encode()


@contextmanager
def onvif_camera() -> Iterator[Onvif]:
    """Run a camera on a free port; `address` is that of its device service."""
    camera = Onvif()
    members = {"camera": camera, "login": http_cameras.Camera()}
    handler = type("_BoundHandler", (_Handler,), members)
    with _Server(("127.0.0.1", 0), handler) as server:
        camera.address = f"http://127.0.0.1:{server.server_address[1]}/onvif/device_service"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield camera
        finally:
            server.shutdown()
            thread.join()


# -- discovery ------------------------------------------------------------------------------------

GROUP, PORT = "239.255.255.250", 3702


def probe_match(
    address: str,
    *,
    relates_to: str = "",
    types: str = "dn:NetworkVideoTransmitter",
    scopes: Sequence[str] = (
        "onvif://www.onvif.org/type/video_encoder",
        "onvif://www.onvif.org/name/Front%20door",
        "onvif://www.onvif.org/hardware/C-17",
        "onvif://www.onvif.org/location/garden",
    ),
) -> bytes:
    """Return what a camera at this address answers."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="{SOAP}"'
        ' xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
        ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><SOAP-ENV:Header>'
        f"<wsa:RelatesTo>{relates_to}</wsa:RelatesTo></SOAP-ENV:Header><SOAP-ENV:Body>"
        "<d:ProbeMatches><d:ProbeMatch><wsa:EndpointReference><wsa:Address>"
        "urn:uuid:8b5d1fd8-0000-1000-8000-00408c7d1a2b</wsa:Address></wsa:EndpointReference>"
        f"<d:Types>{types}</d:Types><d:Scopes>{' '.join(scopes)}</d:Scopes>"
        f"<d:XAddrs>{address}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>"
        "</d:ProbeMatch></d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    ).encode()


@contextmanager
def discoverable(
    answer: Callable[[ET.Element], Sequence[bytes]], interface: str = "127.0.0.1"
) -> Iterator[None]:
    """Answer to discovery on the interface of an address: `answer` gives the datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.bind((GROUP, PORT))
        here = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(interface))
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, here)
        heard.settimeout(0.02)
        over = threading.Event()

        def serve() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answering:
                answering.bind((interface, 0))
                while not over.is_set():
                    try:
                        data, sender = heard.recvfrom(65_535)
                    except TimeoutError:
                        continue
                    for datagram in answer(ET.fromstring(data)):  # noqa: S314 - as above
                        answering.sendto(datagram, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
