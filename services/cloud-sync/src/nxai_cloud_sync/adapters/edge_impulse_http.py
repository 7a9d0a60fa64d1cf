"""One server of Edge Impulse over HTTP: who gets the key, and what an answer means.

The key is a header that is added for the configured scheme, host and port, and for no other;
redirects are followed by hand, and only those of downloads.
"""

import functools
import json
import logging
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

import httpcore
import httpx

from nxai_cloud_sync.adapters.cloud_reasons import (
    network_reason,
    page_error,
    readable,
    status_error,
)
from nxai_cloud_sync.adapters.punctual_transport import DEADLINE, Deadline, PunctualTransport
from nxai_cloud_sync.core.keys import key_revision
from nxai_common import __version__
from nxai_common.errors import CloudRejected, CloudUnavailable, ConfigurationError, KeyRefused
from nxai_common.logs import Redactor, register_secret

MOST_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"http": 80, "https": 443}

for _name in ("httpx", "httpcore"):
    # They log whole URLs, and those of object storage are as good as a password for an hour.
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """How long, how slow and how large things may be."""

    connect_s: float = 10.0
    silence_s: float = 30.0
    """Nothing came, or nothing was taken, for so long."""
    answer_s: float = 90.0
    """A whole question and its answer; an upload and a download have more, by their size."""
    storing_s: float = 300.0
    """An upload that has arrived: all its files are stored before it is answered."""
    least_bytes_per_s: float = 4096.0
    """Of uploads and downloads, over all of one; slower is as good as hanging."""
    json_bytes: int = 20_000_000
    """Metadata of a large project holds all its predictions."""


def base_url(text: str, default_path: str = "") -> httpx.URL:
    """Return the base URL of an API.

    Args:
        text: As a person typed it.
        default_path: Appended to a bare host.

    Raises:
        ConfigurationError: it is none; shows no password that it may hold.
    """
    try:
        url = httpx.URL(text.strip().rstrip("/"))
        port = url.port
    except (httpx.InvalidURL, ValueError):
        url, port = httpx.URL(), None
    if url.userinfo:
        raise ConfigurationError("the address of an API must not hold a user name or password")
    named = url.host and "%" not in url.host  # what httpx makes of a name that is none
    usable = url.scheme in _PORTS and named and (port is None or 0 < port < 65536)  # noqa: PLR2004 - the last port
    if not usable or url.query or url.fragment:
        raise ConfigurationError(
            f"{text!r} is no address of an API; it looks like https://studio.edgeimpulse.com/v1"
        )
    return url.copy_with(path=url.path.rstrip("/") or default_path or "/")


@dataclass(slots=True)
class _Question:
    """One request and its answer, for messages."""

    text: str
    """`when asked for the list of downloads: GET /api/12/downloads`."""
    url: httpx.URL
    """Where it goes now; after a redirect somewhere else."""
    deadline: Deadline
    silence_s: float
    """How long the server may say nothing."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A download whose body is still to be read."""

    chunks: Iterator[bytes]
    """Decoded; raises as `EdgeImpulseServer.download` does."""
    response: httpx.Response
    total: int | None
    """Bytes on the way, if announced; with compression fewer than those of the file."""
    compressed: bool

    @property
    def done(self) -> int:
        """Bytes that came, as `total` counts them."""
        return self.response.num_bytes_downloaded


class EdgeImpulseServer:
    """One server, for one key. May be used by several threads.

    All methods raise CloudUnavailable, KeyRefused and CloudRejected as `Studio` says. Proxies and
    .netrc of the environment are not used.
    """

    def __init__(self, base: httpx.URL, key: str, limits: HttpLimits) -> None:
        register_secret(key)
        self._base = base
        self._key = key
        self._redactor = Redactor([key])
        self._limits = limits
        self._client = httpx.Client(
            transport=PunctualTransport(_tls()),
            timeout=httpx.Timeout(limits.silence_s, connect=limits.connect_s),
            headers={
                "User-Agent": f"nxai-edge/{__version__}",
                # Each thing that decodes is a thing to attack; this one is in the library.
                "Accept-Encoding": "gzip, deflate",
            },
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    # -- questions ----------------------------------------------------------------------------

    def get(self, path: str, what: str, query: Mapping[str, str | int] | None = None) -> Any:  # noqa: ANN401 - parsed JSON
        """Return the JSON object at a path. `what` says for a person what it is."""
        return self._ask("GET", path, what, query)

    def post(self, path: str, what: str, query: Mapping[str, str | int] | None = None) -> Any:  # noqa: ANN401 - parsed JSON
        """Do something that needs no more words than its path; return the JSON object."""
        return self._ask("POST", path, what, query)

    def upload(
        self, path: str, what: str, headers: Mapping[str, str], body: Iterable[bytes], size: int
    ) -> Any:  # noqa: ANN401 - parsed JSON
        """Send a body of `size` bytes as it is made; return the JSON object of the answer."""
        url = self._url(path)
        sized = {**headers, "Content-Length": str(size)}
        request = self._request("POST", url, own=True, headers=sized, body=body)
        silence_s = self._limits.storing_s
        request.extensions["timeout"]["read"] = silence_s
        deadline = Deadline(silence_s + size / self._limits.least_bytes_per_s)
        return self._answer(
            request, _Question(_asked(what, "POST", path), url, deadline, silence_s)
        )

    def _ask(
        self,
        method: Literal["GET", "POST"],
        path: str,
        what: str,
        query: Mapping[str, str | int] | None,
    ) -> Any:  # noqa: ANN401 - parsed JSON
        url = self._url(path)
        if query:
            url = url.copy_merge_params(dict(query))
        question = self._question(_asked(what, method, path), url)
        return self._answer(self._request(method, url, own=True), question)

    def _url(self, path: str) -> httpx.URL:
        return self._base.copy_with(path=self._base.path.rstrip("/") + path)

    def _question(self, text: str, url: httpx.URL) -> _Question:
        deadline = Deadline(self._limits.answer_s)
        return _Question(text, url, deadline, self._limits.silence_s)

    def _answer(self, request: httpx.Request, question: _Question) -> Any:  # noqa: ANN401 - parsed JSON
        with self._translated(question):
            response = self._sent(request, question)
            try:
                body = self._body(response, question.text)
            finally:
                response.close()
        return self._object(response, body, question.text)

    def _body(self, response: httpx.Response, asked: str) -> bytes:
        """Return the body, without the key that a server may have echoed."""
        read = bytearray()
        for chunk in response.iter_bytes():
            read += chunk
            if len(read) > self._limits.json_bytes:
                raise CloudRejected(
                    f"the answer is larger than {self._limits.json_bytes:,} bytes ({asked})"
                )
        return bytes(read).replace(self._key.encode(), b"***")

    def _object(self, response: httpx.Response, body: bytes, asked: str) -> Any:  # noqa: ANN401 - parsed JSON
        status = response.status_code
        if status in REDIRECTS:
            raise CloudUnavailable(
                f"{self._base.host} sends us on to {self._onward_host(response)} (HTTP {status}, "
                f"{asked}): is a captive portal in the way, or the address of another site set?"
            )
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        page = not isinstance(found, dict) and _is_page(response, body)
        if not response.is_success or (isinstance(found, dict) and found.get("success") is False):
            self._fail(response, found, asked, page=page)
        if page:
            raise page_error(status, asked)
        if not isinstance(found, dict):
            raise CloudUnavailable(
                f"{self._base.host} answered with something that is no JSON object ({asked}): is "
                "it Edge Impulse?"
            )
        return found

    def _onward_host(self, response: httpx.Response) -> str:
        onward = _joined(response.url, response.headers.get("location", ""))
        return "somewhere" if onward is None else self._redactor.redact(onward.host)

    def _fail(self, response: httpx.Response, found: object, asked: str, *, page: bool) -> NoReturn:
        words = found.get("error") if isinstance(found, dict) else None
        error = status_error(
            response.status_code,
            readable(self._redactor.redact(str(words))) if words else "",
            asked,
            page=page,
            retry_after=response.headers.get("retry-after"),
        )
        if isinstance(error, KeyRefused):
            error.revision = key_revision(self._key)
        raise error

    # -- downloads ----------------------------------------------------------------------------

    @contextmanager
    def download(self, link: str, what: str) -> Iterator[Transfer]:
        """Give what is at a link of the list of downloads, its body not read yet.

        Args:
            link: Relative to the host, or absolute on this very server.
            what: For messages.

        Raises:
            CloudRejected: the link leads to another server, or to a web page.
        """
        url = self._own_url(link, what)
        question = self._question(_asked(what, "GET", url.path), url)
        with self._translated(question):
            response, own = self._follow(question)
            try:
                chunks = self._file(response, question, own=own)
                length = response.headers.get("content-length", "")
                yield Transfer(
                    chunks,
                    response,
                    int(length) if length.isdecimal() else None,
                    "content-encoding" in response.headers,
                )
            finally:
                response.close()

    def _own_url(self, link: str, what: str) -> httpx.URL:
        url = _joined(self._base.copy_with(path="/"), link)
        if url is None or not self._is_own(url):
            raise CloudRejected(
                f"the link of {what} leads to {url.host if url else 'no server'!r}, not to "
                f"{self._base.host!r}: nothing is fetched from there"
            )
        return url

    def _follow(self, question: _Question) -> tuple[httpx.Response, bool]:
        """Return the answer behind all redirects, and whether it is our server's."""
        own = True
        for _ in range(MOST_REDIRECTS + 1):
            url = question.url
            # Once a foreign server led us, it chooses the paths: the key stays here.
            own = own and self._is_own(url)
            response = self._sent(self._request("GET", url, own=own), question)
            if response.status_code not in REDIRECTS:
                return response, own
            response.close()
            onward = _joined(url, response.headers.get("location", ""))
            if onward is None:
                raise CloudRejected(f"redirected to something that is not HTTP ({question.text})")
            if (url.scheme, onward.scheme) == ("https", "http"):
                raise CloudRejected(
                    f"redirected from https to http at {onward.host!r}, where anybody could change "
                    f"the file on its way ({question.text})"
                )
            question.url = onward
        raise CloudRejected(f"redirected more than {MOST_REDIRECTS} times ({question.text})")

    def _file(self, response: httpx.Response, question: _Question, *, own: bool) -> Iterator[bytes]:
        """Return the decoded body, once it is known to be a file."""
        asked = question.text
        kind = response.headers.get("content-type", "").lower()
        if response.status_code != httpx.codes.OK or "json" in kind:
            body = self._body(response, asked)
            if not own and not response.is_success:
                raise CloudUnavailable(
                    f"the storage at {response.url.host} does not give the file (HTTP "
                    f"{response.status_code}, {asked})"
                )
            self._object(response, body, asked)
            raise CloudRejected(f"data came instead of a file ({asked})")
        chunks = response.iter_bytes()
        first = next(chunks, b"")
        if _is_page(response, first):
            raise CloudRejected(f"a web page came instead of a file ({asked})")
        return self._punctual(first, chunks, response, question.deadline)

    def _punctual(
        self, first: bytes, chunks: Iterator[bytes], response: httpx.Response, deadline: Deadline
    ) -> Iterator[bytes]:
        yield first
        for chunk in chunks:
            came = response.num_bytes_downloaded
            deadline.allow(self._limits.answer_s + came / self._limits.least_bytes_per_s)
            yield chunk

    # -- parts --------------------------------------------------------------------------------

    def _request(
        self,
        method: str,
        url: httpx.URL,
        *,
        own: bool,
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] | None = None,
    ) -> httpx.Request:
        sent = dict(headers or {})
        if own:
            sent["x-api-key"] = self._key
        return self._client.build_request(method, url, headers=sent, content=body)

    def _sent(self, request: httpx.Request, question: _Question) -> httpx.Response:
        request.extensions[DEADLINE] = question.deadline
        return self._client.send(request, stream=True)

    def _is_own(self, url: httpx.URL) -> bool:
        return _origin(url) == _origin(self._base)

    @contextmanager
    def _translated(self, question: _Question) -> Iterator[None]:
        """Turn what httpcore and httpx raise into our errors."""
        try:
            yield
        except httpcore.TimeoutException as error:
            reason = self._late(error, question)
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            reason = network_reason(error, question.url.host, _port(question.url))
        except httpx.DecodingError:
            reason = "the answer is damaged"
        else:
            return
        raise CloudUnavailable(f"{reason} ({question.text})")

    def _late(self, error: Exception, question: _Question) -> str:
        place = f"{question.url.host}:{_port(question.url)}"
        if isinstance(error, (httpcore.ConnectTimeout, httpcore.PoolTimeout)):
            return f"{place} does not answer"
        if question.deadline.left <= 0:
            return f"{place} is too slow: it was given up"
        if isinstance(error, httpcore.WriteTimeout):
            return f"{place} took nothing for {self._limits.silence_s:g} s"
        return f"nothing came from {place} for {question.silence_s:g} s"


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return what is trusted: the authorities of certifi and those of this machine."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _asked(what: str, method: str, path: str) -> str:
    return f"when asked for {what}: {method} {path}"


def _joined(base: httpx.URL, link: str) -> httpx.URL | None:
    """Return where a link leads; None: to nothing that can be asked over HTTP."""
    try:
        url = base.join(link)
    except (httpx.InvalidURL, ValueError):
        return None
    usable = url.scheme in _PORTS and url.host and "%" not in url.host and not url.userinfo
    return url if usable else None


def _port(url: httpx.URL) -> int:
    return url.port or _PORTS.get(url.scheme, 0)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return (url.scheme, url.host, _port(url))


def _is_page(response: httpx.Response, start: bytes) -> bool:
    kind = response.headers.get("content-type", "").lower()
    head = start.lstrip()[:15].lower()
    return "text/html" in kind or head.startswith((b"<!doctype html", b"<html"))
