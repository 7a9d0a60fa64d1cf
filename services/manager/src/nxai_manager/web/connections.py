"""Who connects to the page and asks nothing, or nothing that is HTTP: closed, and not logged."""

import logging
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Middleware

from nxai_manager.web.security import Handler

QUIET_S: Final = 20.0
"""Who connects and asks nothing for so long is shown out ..."""
MANY: Final = 400
"""... and at the next look where so many are connected: each one is an open file of the manager."""
ASKED: Final = float("inf")


class Quiet:
    """Connections over which nobody has asked anything yet. Used in the event loop alone."""

    def __init__(self) -> None:
        self._since: dict[web.RequestHandler, float] = {}
        """When each was seen first, or `ASKED`."""

    def middleware(self) -> Middleware:
        """Return what sees who asks."""

        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._since[request.protocol] = ASKED
            return await handler(request)

        return note

    def end(self, connections: Sequence[web.RequestHandler], now: float) -> None:
        """Close those that have been quiet for long, or all of them where there are many.

        Args:
            connections: All that are open.
            now: Monotonic seconds.
        """
        self._since = {each: self._since.get(each, now) for each in connections}
        longest_s = QUIET_S if len(connections) <= MANY else 0.0
        for connection, since in self._since.items():
            if now - since >= longest_s:
                connection.force_close()


class _OfVisitors(logging.Filter):
    """Leaves out what is wrong with a request: anybody could fill the log with tracebacks of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(
            error, HttpProcessingError | ConnectionError | web.RequestPayloadError
        )


def http_log() -> logging.Logger:
    """Return where the HTTP library says what it could not do."""
    logger = logging.getLogger(f"{__name__}.http")
    if not logger.filters:
        logger.addFilter(_OfVisitors())
    return logger
