"""HTTP cameras with all their quirks, on threads of the test process.

Made with the standard library's server, because well-behaved servers refuse to send what some
cameras do: no Content-Type, parts without Content-Length, answers that stop half way.
"""

import base64
import hashlib
import ssl
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.request import parse_http_list, parse_keqv_list

REALM = "camera"


Style: TypeAlias = Literal["plain", "no-length", "dashes", "no-type", "no-headers", "wrong-length"]


@dataclass
class Camera:
    """What the camera does. Change it while it runs."""

    pictures: tuple[bytes, ...] = ()
    """JPEGs, each sent once; then the stream goes on without any (or ends, see `ends`)."""
    user: str | None = None
    password: str = ""
    auth: Literal["basic", "digest", "both", "one line"] = "basic"
    """What it offers; one line: Digest between others in the same header."""
    style: Literal["plain", "no-length", "dashes", "no-type", "no-headers", "wrong-length"] = (
        "plain"
    )
    """How the MJPEG bends the rules."""
    ends: bool = False
    """The stream ends after the last picture, instead of falling silent."""
    nonce: str = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    """Of Digest; an answer to an earlier one is refused."""
    etag: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers (lower-case names) of all requests so far."""
    url: str = ""

    def allows(self, method: str, path: str, authorization: str | None) -> bool:
        """Return whether user and password are right."""
        if self.user is None:
            return True
        scheme, _, rest = (authorization or "").partition(" ")
        if scheme == "Basic" and self.auth != "digest":
            return base64.b64decode(rest) == f"{self.user}:{self.password}".encode()
        if scheme == "Digest" and self.auth != "basic":
            sent = parse_keqv_list(parse_http_list(rest))
            first = _md5(f"{self.user}:{REALM}:{self.password}")
            second = _md5(f"{method}:{path}")
            middle = f"{self.nonce}:{sent['nc']}:{sent['cnonce']}:auth"
            expected = _md5(f"{first}:{middle}:{second}")
            return sent["response"] == expected and sent["uri"] == path
        return False


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    camera: Camera

    def do_GET(self) -> None:
        camera = self.camera
        camera.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        if not camera.allows("GET", self.path, self.headers.get("Authorization")):
            self.send_response(401)
            digest = f'Digest realm="{REALM}", nonce="{camera.nonce}", qop="auth"'
            basic = f'Basic realm="{REALM}"'
            offers = {
                "basic": [basic],
                "digest": [digest],
                "both": [digest, basic],
                "one line": [f'Basic realm="a, Digest realm=b", {digest}, , Negotiate, {basic}'],
            }[camera.auth]
            for offer in offers:
                self.send_header("WWW-Authenticate", offer)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        name, _, argument = self.path.partition("?")[0].lstrip("/").partition("/")
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            getattr(self, f"_{name}")(argument)

    def _mjpeg(self, _argument: str) -> None:
        style = self.camera.style
        self.send_response(200)
        if style != "no-type":
            boundary = "--frame" if style == "dashes" else "frame"
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={boundary}")
        self.end_headers()
        for picture in self.camera.pictures:
            length = len(picture) - 10 if style == "wrong-length" else len(picture)
            head = b"Content-Type: image/jpeg\r\n"
            if style in ("plain", "dashes", "no-type", "wrong-length"):
                head += b"Content-Length: %d\r\n" % length
            if style == "no-headers":
                head = b""
            self.wfile.write(b"--frame\r\n" + head + b"\r\n" + picture + b"\r\n")
        self.wfile.write(b"--frame\r\n")
        self.wfile.flush()
        if not self.camera.ends:
            self.camera.stop.wait(30)

    def _still(self, _argument: str) -> None:
        etag = self.camera.etag
        if etag is not None and self.headers.get("If-None-Match") == etag:
            self.send_response(304)
            self.end_headers()
            return
        number = sum(path == self.path for path, _ in self.camera.requests) - 1
        picture = self.camera.pictures[min(number, len(self.camera.pictures) - 1)]
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(picture)))
        if etag is not None:
            self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(picture)

    def _stall(self, _argument: str) -> None:
        """Send half of the last picture, then nothing."""
        picture = self.camera.pictures[-1]
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for whole in self.camera.pictures[:-1]:
            self.wfile.write(
                b"--frame\r\nContent-Length: %d\r\n\r\n" % len(whole) + whole + b"\r\n"
            )
        self.wfile.write(b"--frame\r\nContent-Length: %d\r\n\r\n" % len(picture))
        self.wfile.write(picture[: len(picture) // 2])
        self.wfile.flush()
        self.camera.stop.wait(30)

    def _endless(self, _argument: str) -> None:
        """Something that never ends and is no multipart."""
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        while not self.camera.stop.is_set():
            self.wfile.write(b"\x47" + b"\x00" * 65535)

    def _html(self, _argument: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><p>Log in, please</p>\n" * 2000)

    def _status(self, argument: str) -> None:
        self.send_response(int(argument))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _loop(self, _argument: str) -> None:
        self._redirect("/loop")

    def _redirect(self, argument: str) -> None:
        self.send_response(302)
        self.send_header("Location", argument)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients of these tests hang up in the middle on purpose."""


@contextmanager
def http_camera(
    pictures: Iterable[bytes] = (), *, certificate: tuple[Path, Path] | None = None
) -> Iterator[Camera]:
    """Run a camera on a free port; `camera.url` has no path, such as http://127.0.0.1:1234."""
    camera = Camera(tuple(pictures))
    handler = type("_BoundHandler", (_Handler,), {"camera": camera})
    with _Server(("127.0.0.1", 0), handler) as server:
        scheme = "http"
        if certificate is not None:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        camera.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield camera
        finally:
            camera.stop.set()
            server.shutdown()
            thread.join()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Return certificate and key of 127.0.0.1, signed by nobody, as cameras have them."""
    certificate, key = folder / "camera.pem", folder / "camera.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=camera", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
