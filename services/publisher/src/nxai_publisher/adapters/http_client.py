"""HTTP requests over one connection that stays open, each over in its time.

http.client and not httpx: a request costs 110 us of the processor there, 360 us with httpx, and
one destination may take thousands a second. Its time-outs are for one read each; here the clock
runs for the whole request, so that a server that answers byte by byte holds nobody up.
"""

import contextlib
import errno
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from nxai_common.errors import ConfigurationError
from nxai_publisher.core.http_answers import retry_after_s
from nxai_publisher.ports import DestinationUnavailable

LARGEST_ANSWER: Final = 64 * 1024
"""Read of an answer; a longer one ends the connection instead of being read."""
IDLE_S: Final = 20.0
"""A connection that was not used for so long is opened anew: servers and routers on the way drop
such ones without a word."""
AGENT: Final = "nxai-edge"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server said."""

    status: int
    body: bytes
    """Its beginning."""
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes."""

    tls: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Read a URL.

        Raises:
            ConfigurationError: it is none; the message shows nothing of it, for it may hold a
                secret.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ConfigurationError("its address cannot be read: host or port") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("its address must begin with http://HOST or https://HOST")
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError("user and password do not belong in its address")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not path.isascii() or any(ord(c) <= ord(" ") or c == "\x7f" for c in path):
            raise ConfigurationError(
                "its address holds a space or a letter that must be written with %; in a template "
                "use the filter urlencode"
            )
        tls = parts.scheme == "https"
        return cls(tls, parts.hostname, port or (443 if tls else 80), path)

    @property
    def shown(self) -> str:
        """As one may show it: what is behind the port may hold a secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


class HttpClient:
    """One connection at a time. Used by one thread, but for `interrupt`."""

    def __init__(self, timeout_s: float, certificate: Literal["verify", "any"]) -> None:
        """Prepare.

        Args:
            timeout_s: For a whole request, connecting included.
            certificate: any: do not check the server's.
        """
        self._timeout_s = timeout_s
        self._certificate = certificate
        self._context: ssl.SSLContext | None = None
        self._connection: _Connection | None = None
        self._to: tuple[bool, str, int] | None = None
        self._used_at = 0.0
        self._interrupted = False

    def request(
        self, method: str, target: Target, body: bytes, headers: Mapping[str, str]
    ) -> HttpAnswer:
        """Send a request and return the answer.

        Raises:
            DestinationUnavailable: there was none; nobody knows whether it arrived.
        """
        for name, value in headers.items():
            if not value.isprintable():  # of a secret: all else was looked at before
                raise DestinationUnavailable(
                    f"{target.shown}: header {name} cannot hold a line break; check its secret"
                )
        deadline = time.monotonic() + self._timeout_s
        kept = self._reusable(target)
        connection = self._connect(target, deadline)
        try:
            return self._ask(connection, method, target, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if not kept or self._interrupted:
                raise DestinationUnavailable(f"{target.shown}: {_reason(error)}") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise DestinationUnavailable(f"{target.shown}: {_reason(error)}") from error
        # The server had closed a connection that was idle: no fault of anybody's.
        connection = self._connect(target, deadline)
        try:
            return self._ask(connection, method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise DestinationUnavailable(f"{target.shown}: {_reason(error)}") from error

    def interrupt(self) -> None:
        """Let a request that is under way fail soon, from another thread."""
        self._interrupted = True
        connection = self._connection
        plain = None if connection is None else connection.plain
        if plain is not None:
            with contextlib.suppress(OSError):
                plain.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ask(
        self,
        connection: "_Connection",
        method: str,
        target: Target,
        body: bytes,
        headers: Mapping[str, str],
    ) -> HttpAnswer:
        written = {name: value.encode() for name, value in headers.items()}
        connection.request(method, target.path, body, written)
        with connection.getresponse() as response:
            said = b""
            # The status has come: a server that hangs up behind it has said what matters.
            with contextlib.suppress(OSError, http.client.HTTPException):
                said = response.read(LARGEST_ANSWER)
            self._used_at = time.monotonic()
            if response.will_close or not response.isclosed():
                self.close()
        after = retry_after_s(response.getheader("Retry-After"), datetime.now(UTC))
        return HttpAnswer(response.status, said, after)

    def _reusable(self, target: Target) -> bool:
        if self._connection is None:
            return False
        same = self._to == (target.tls, target.host, target.port)
        if not same or time.monotonic() - self._used_at > IDLE_S:
            self.close()
            return False
        return True

    def _connect(self, target: Target, deadline: float) -> "_Connection":
        if self._connection is not None:
            self._connection.deadline = deadline
            return self._connection
        connection = _Connection(target, deadline, self._tls() if target.tls else None)
        self._connection = connection
        self._to = (target.tls, target.host, target.port)
        try:
            connection.connect()
        except (OSError, ValueError) as error:
            self.close()
            raise DestinationUnavailable(f"{target.shown}: {_reason(error)}") from error
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            if self._certificate == "any":
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE
        return self._context


class _Connection(http.client.HTTPConnection):
    def __init__(self, target: Target, deadline: float, context: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port)
        if target.tls:
            self.default_port = 443  # leaves the port out of the header Host
        self.deadline = deadline
        self.plain: socket.socket | None = None
        self._context = context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.left())
        self.plain = plain
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                plain.settimeout(self.left())
                self.plain = plain = self._context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        self.sock: Any = _Punctual(plain, self)

    def left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Punctual:
    """A socket as http.client needs one, whose every read and write ends with the request.

    As of a real one, what `makefile` gave can still be read from after `close`. Head and body of a
    request leave together, when its answer is asked for.
    """

    def __init__(self, plain: socket.socket, connection: _Connection) -> None:
        self._plain = plain
        self._connection = connection
        self._users = 1
        self._unsent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self._unsent.append(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._users += 1
        return io.BufferedReader(_Reader(self))

    def recv_into(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        view = memoryview(b"".join(self._unsent))
        self._unsent.clear()
        while view:
            self._plain.settimeout(self._connection.left())
            view = view[self._plain.send(view) :]
        self._plain.settimeout(self._connection.left())
        return self._plain.recv_into(buffer)

    def close(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._plain.close()


class _Reader(io.RawIOBase):
    def __init__(self, punctual: _Punctual) -> None:
        self._punctual = punctual

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        return self._punctual.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            self._punctual.close()
        super().close()


_REASONS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]] = (
    (ssl.SSLError, "TLS failed; is it https:// there, or http://?"),
    (TimeoutError, "no answer in time; is it running, is a firewall in the way?"),
    (ConnectionRefusedError, "nothing listens there; check host and port"),
    (socket.gaierror, "its name is not known; check the host and the name server"),
    (
        (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError),
        "it hung up before it answered",
    ),
    ((http.client.HTTPException, ValueError), "it does not speak HTTP as it should"),
)
"""The first that fits."""


def _reason(error: Exception) -> str:
    """Say in one line what is wrong and what to do; nothing of an address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f'its certificate is not trusted ({error.verify_message}); "certificate": "any" takes '
            "it all the same"
        )
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError) and error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "no way there; check address and network"
    words = error.strerror if isinstance(error, OSError) else None
    return words or "the connection failed"
