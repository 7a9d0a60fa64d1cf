"""httpx on sockets that know when a whole request must be over.

httpx's own time-outs are for one read or write each. A server that sends one byte of a header
every few seconds keeps within them for ever.
"""

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpcore
import httpx

DEADLINE: Final = "deadline"
"""Name of the extension of a request that holds its `Deadline`."""

MOST_CONNECTIONS: Final = 8
"""A download, an upload, a job's log and a look for news at the same time, and some to spare."""

_PIECE: Final = 1 << 18
"""Bytes between two looks at the clock while a large chunk is sent."""


class Deadline:
    """When a request must be over. May be moved while it runs."""

    def __init__(self, seconds: float) -> None:
        self._started = time.monotonic()
        self._at = self._started + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; negative when it is over."""
        return self._at - time.monotonic()

    def allow(self, seconds: float) -> None:
        """Let the request have so many seconds in all, from its beginning."""
        self._at = self._started + seconds


class _Current(threading.local):
    """The deadline of what this thread does now."""

    deadline: Deadline

    def cut(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
        """Return how long one read or write may take."""
        left = self.deadline.left
        if left <= 0:
            raise late
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, current: _Current) -> None:
        self._stream = stream
        self._current = current

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._current.cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # httpcore cuts off what was sent, which copies the rest of bytes.
        view = memoryview(buffer)
        for at in range(0, len(view), _PIECE):
            left = self._current.cut(timeout, httpcore.WriteTimeout)
            self._stream.write(view[at : at + _PIECE], left)  # type: ignore[arg-type] # any buffer

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._current.cut(timeout, httpcore.ConnectTimeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, left)
        return _Stream(stream, self._current)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore says so
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def __init__(self, current: _Current) -> None:
        self._current = current

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._current.cut(timeout, httpcore.ConnectTimeout)
        stream = super().connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._current)


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response, current: _Current, deadline: Deadline) -> None:
        self._answer = answer
        self._current = current
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        parts = self._answer.iter_stream()
        while True:
            # Between two parts this thread may have made another request.
            self._current.deadline = self._deadline
            part = next(parts, None)
            if part is None:
                return
            yield part

    def close(self) -> None:
        self._answer.close()


class PunctualTransport(httpx.BaseTransport):
    """Keeps connections open between requests, and keeps the deadline of each request.

    Raises httpcore's exceptions, not httpx's.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._current = _Current()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=MOST_CONNECTIONS,
            keepalive_expiry=20.0,  # less than servers and routers on the way keep them for
            network_backend=_Backend(self._current),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, its body not read yet."""
        deadline: Deadline = request.extensions[DEADLINE]
        self._current.deadline = deadline
        answer = self._pool.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, self._current, deadline),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()
