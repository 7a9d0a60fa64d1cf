"""Asking a camera over HTTP, with httpx: passwords, redirects, time-outs, plain reasons."""

import logging
import re
import socket
import ssl
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import Final, Literal, Self

import httpx

from nxai_capture.adapters.camera_url import CameraUrl, parse_camera_url
from nxai_capture.adapters.reasons import os_error, status_error
from nxai_capture.ports import Credentials
from nxai_common.errors import CameraUnavailable, ConfigurationError, NxaiError

_PARTS: Final = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*"?)+')
"""Between the commas of a header, but not those in quotes."""
_PARAMETER: Final = re.compile(r'\s*[^\s="]+\s*=')
MOST_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

for _name in ("httpx", "httpcore"):
    # They log whole URLs at INFO and DEBUG, and many cameras take passwords in the query.
    logging.getLogger(_name).setLevel(logging.WARNING)


class CameraAuth(httpx.Auth):
    """Answers what the camera asks for: Digest when it offers that, else Basic.

    The first request goes without a password, so that Basic is never sent to a camera that
    can do better.

    Args:
        credentials: User and password.
        basic: Whether to send the password itself when nothing better is offered.
    """

    def __init__(self, credentials: Credentials, *, basic: bool = True) -> None:
        self._credentials = credentials
        self._basic = basic
        self._chosen: httpx.Auth | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send, and send again with a password when asked."""
        response: httpx.Response | None = None
        if self._chosen is None:
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
            self._chosen = self._choose(response)
            if self._chosen is None:
                return
        flow = self._chosen.auth_flow(request)
        answer = next(flow)
        with suppress(StopIteration):
            if response is not None and "authorization" not in answer.headers:
                answer = flow.send(_with_digest_alone(response))  # it wants to be asked; it was
            while True:
                answer = flow.send(_with_digest_alone((yield answer)))

    def _choose(self, refusal: httpx.Response) -> httpx.Auth | None:
        user = self._credentials.username
        password = self._credentials.password.get_secret_value()
        if _offered_digest(refusal.headers) is not None:
            return httpx.DigestAuth(user, password)
        return httpx.BasicAuth(user, password) if self._basic else None


def _with_digest_alone(response: httpx.Response) -> httpx.Response:
    """Return a refusal as httpx understands it: with one offer, and that one Digest."""
    digest = _offered_digest(response.headers)
    if digest is not None:
        response.headers["www-authenticate"] = digest
    return response


def _offered_digest(headers: httpx.Headers) -> str | None:
    """Return the first Digest that is offered, wherever it stands among other offers."""
    offer: list[str] = []
    for part in _PARTS.findall(", ".join(headers.get_list("www-authenticate"))):
        if _PARAMETER.match(part):
            offer += [part.strip()] if offer else []
        elif offer and part.strip():
            break  # the next offer begins
        elif part.lower().split()[:1] == ["digest"]:
            offer.append(part.strip())
    return ", ".join(offer) or None


class HttpCamera:
    """One camera's HTTP connection.

    Proxies and .netrc of the environment are not used: a camera is near, and its password is
    for nobody else.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        *,
        open_timeout_s: float,
        read_timeout_s: float,
        certificate: Literal["verify", "any"],
    ) -> None:
        self._url = parse_camera_url(url, ("http", "https"))
        self._credentials = credentials
        self._auth = None if credentials is None else CameraAuth(credentials)
        self._read_timeout_s = read_timeout_s
        self._response: httpx.Response | None = None
        context = ssl.create_default_context()
        if certificate == "any":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._client = httpx.Client(
            verify=context,
            trust_env=False,
            timeout=httpx.Timeout(read_timeout_s, connect=open_timeout_s),
            headers={"Accept-Encoding": "identity", "User-Agent": "nxai-edge"},
        )

    @property
    def place(self) -> str:
        """host:port."""
        return self._url.place

    def __enter__(self) -> Self:
        """Connect nothing yet."""
        self._client.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        self._client.close()

    def hang_up(self) -> None:
        """From another thread: end the answer that is being read.

        Many cameras serve one viewer at a time; without this, the next attempt would find the
        last one still there until its read time-out.
        """
        stream = None if self._response is None else self._response.extensions["network_stream"]
        if stream is not None:
            with suppress(OSError):  # closed just now
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    @contextmanager
    def get(self, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Response]:
        """Give the answer, 200 or 304, its body not read yet.

        Redirects are followed; user and password go to the camera's own host only.

        Raises:
            CameraUnavailable: worth trying again.
            ConfigurationError: only a person can mend it.
        """
        with self.translated():
            response = self._response = self._send(headers or {})
            try:
                if response.status_code not in (200, 304):
                    raise status_error(
                        response.status_code, with_credentials=self._auth is not None
                    )
                yield response
            finally:
                self._response = None
                response.close()

    def _send(self, headers: Mapping[str, str]) -> httpx.Response:
        url = httpx.URL(self._url.filled(self._credentials))
        for _ in range(MOST_REDIRECTS + 1):
            # At another host the password would be given away; over http after https, shown.
            own = url.host == self._url.host and (url.scheme, self._url.scheme) != ("http", "https")
            request = self._client.build_request("GET", url, headers=headers)
            request.headers.encoding = "utf-8"  # user names of Digest; httpx would take ASCII only
            response = self._client.send(
                request, auth=self._auth if own else None, stream=True, follow_redirects=False
            )
            location = response.headers.get("location")
            if response.status_code not in REDIRECTS or location is None:
                return response
            response.close()
            url = url.join(location)
        raise CameraUnavailable(f"{self.place} redirects in circles: check the path of the URL")

    def translated(self) -> AbstractContextManager[None]:
        """Turn what httpx raises into our errors, without its text: it quotes URLs."""
        return translated(self._url, self._read_timeout_s)


@contextmanager
def translated(url: CameraUrl, read_timeout_s: float) -> Iterator[None]:
    """Turn what httpx raises into our errors, without its text: it quotes URLs."""
    failure: NxaiError
    try:
        yield
    except httpx.TimeoutException as error:
        failure = (
            CameraUnavailable(f"timed out: {url.place} does not answer")
            if isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout))
            else CameraUnavailable(f"the camera sent nothing for {read_timeout_s:g} s")
        )
    except (httpx.UnsupportedProtocol, httpx.InvalidURL):
        failure = ConfigurationError(
            f"{url.place} redirects to something that is not HTTP: check the path of the URL"
        )
    except httpx.HTTPError as error:
        failure = _explain(error, url)
    else:
        return
    raise failure


def _explain(error: httpx.HTTPError, url: CameraUrl) -> NxaiError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ConnectionResetError, BrokenPipeError)):
            break  # a hang-up before all was read is a reset: one fault, one message
        if isinstance(cause, OSError):
            return os_error(cause, url.host, url.port)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)):
        return CameraUnavailable(f"{url.place} broke off in the middle of its answer")
    return CameraUnavailable(f"{url.place} does not speak HTTP as it should: check the port")
