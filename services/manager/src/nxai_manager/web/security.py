"""Safety of every request: headers, who asks, and no state change that a foreign page started."""

import hmac
import ipaddress
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from nxai_common.errors import NxaiError, TransientError
from nxai_manager.core.accounts import encoded
from nxai_manager.web.answer import Refused
from nxai_manager.web.endpoint import API, ASKER
from nxai_manager.web.gate import Gate

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CSRF_HEADER: Final = "X-CSRF-Token"
COOKIE_PREFIX: Final = "nxai_session_"
"""The device's name follows: two boxes behind one host name do not log each other out."""
SECURE_SUFFIX: Final = "_https"
"""Of cookies that HTTPS alone may carry. A browser that has one refuses a cookie of the same name
over HTTP, and nobody could log in there any more."""
LOCAL_NAMES: Final = (".local", ".lan", ".home.arpa", ".internal", ".localhost")
"""Ends of names that hold in one network, and that nobody can register."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

POLICY: Final = (
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' ws: wss:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
"""No inline script or style, nothing from elsewhere. `ws:` because 'self' does not cover a
WebSocket in older browsers. Frames of the same host: Home Assistant shows the page in one."""

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}
"""Of every answer."""
OF_DOCUMENTS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
"""Of what a browser may show as a page. Scripts and styles are under the policy of their page; on
each of sixty of them, these would be a fifth of the first view."""
PARTS_OF_A_PAGE: Final = frozenset({"text/javascript", "text/css"})


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on an answer (signal `on_response_prepare`)."""
    document = response.content_type not in PARTS_OF_A_PAGE
    for name, value in (HEADERS | OF_DOCUMENTS if document else HEADERS).items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "nxai-edge"  # aiohttp would tell versions
    if request.path.startswith(API):
        response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever went wrong into an answer that says so."""
    try:
        return await handler(request)
    except ConnectionError:
        raise  # the viewer is gone
    except Exception as error:
        if isinstance(error, web.HTTPException) and error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _refusal(request, error).response()


def _refusal(request: web.Request, error: Exception) -> Refused:
    match error:
        case Refused():
            return error
        case web.HTTPException():
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return Refused(error.status, _plain(request, error), headers=allowed)
        case TransientError():
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        case NxaiError():
            return Refused(HTTPStatus.CONFLICT, str(error))
        case web.RequestPayloadError():
            return Refused(HTTPStatus.BAD_REQUEST, "the body does not come as HTTP asks")
    number = secrets.token_hex(4)
    log.error("%s %s failed (%s)", request.method, request.path, number, exc_info=error)
    return Refused(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"a mistake of nxai-edge; the log of the manager has it under {number}",
    )


def _plain(request: web.Request, error: web.HTTPException) -> str:
    match error.status:
        case HTTPStatus.NOT_FOUND:
            return f"there is nothing at {request.path[:200]}"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return f"{request.method} is not possible here"
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return "that is more than may be sent here"
    return error.text or error.reason


def session_cookie(device: str) -> str:
    """Return the name of the session cookie of a box."""
    return COOKIE_PREFIX + device


def identifier(gate: Gate, cookie: str) -> Middleware:
    """Return the middleware that finds out who asks.

    Args:
        gate: Knows sessions and tokens.
        cookie: Name of the session cookie; over HTTPS, `SECURE_SUFFIX` follows.
    """

    @web.middleware
    async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            who = gate.by_token(token.strip())
            if who is None:
                raise Refused(
                    HTTPStatus.UNAUTHORIZED,
                    "this token is not known, or has expired; make one in Settings > Accounts",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            request[ASKER] = who
            return await handler(request)
        who = None
        for name in (cookie + SECURE_SUFFIX, cookie):
            secret = request.cookies.get(name, "")
            if secret and who is None:
                who = gate.by_session(secret)
        if who is not None:
            request[ASKER] = who
            if request.method not in SAFE_METHODS and not _same(
                request.headers.get(CSRF_HEADER, ""), who.csrf
            ):
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    f"the header {CSRF_HEADER} is missing or not that of this session; load the "
                    "page again",
                )
        elif request.method not in SAFE_METHODS:
            refuse_foreign(request)
        return await handler(request)

    return identify


def refuse_foreign(request: web.Request) -> None:
    """Refuse what a page of somebody else's makes a browser send.

    Where there is no session there is no CSRF token; the browser itself then tells where from.

    Raises:
        Refused: from another origin.
    """
    origin = request.headers.get("Origin", "")
    if not origin:
        return  # no browser, or an old one within the same page
    _, _, host = origin.partition("://")
    ours = (request.headers.get("Host"), request.headers.get("X-Forwarded-Host"))
    if not host or host not in ours:  # `Origin: null` has none
        raise Refused(
            HTTPStatus.FORBIDDEN,
            f"this came from a page of {readable(origin)}, not of this box; a reverse proxy must "
            "pass on the header Host, or set X-Forwarded-Host",
        )


def refuse_public_name(request: web.Request) -> None:
    """Refuse who asks a box that nobody has set up, by a name that anybody may own.

    A page of somebody else's can have its own name mean this box from one moment to the next (DNS
    rebinding). The browser then takes the box for a part of that page, and lets it choose the
    first password. Nobody owns an address, nor a name that holds in one network alone.

    Raises:
        Refused: by such a name.
    """
    host = request.headers.get("Host", "")
    name = host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
    name = name.lower().rstrip(".")
    if _is_address(name) or "." not in name or name.endswith(LOCAL_NAMES):
        return
    if name != socket.gethostname().lower():
        raise Refused(
            HTTPStatus.FORBIDDEN,
            f"set the box up at its address, such as http://192.0.2.7:8081, or at http://localhost "
            f"through a tunnel: {readable(name)} is a name that a page of somebody else's may have "
            "led here. Once it has a user, every name will do",
        )


def readable(text: str) -> str:
    """Return a text from a header, cut, fit for an answer: it may hold bytes that are no text."""
    return text[:200].encode("utf-8", "replace").decode()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(encoded(given), encoded(wanted))


def networks(names: tuple[str, ...]) -> tuple[Network, ...]:
    """Return the networks of trusted proxies.

    Raises:
        ValueError: one is no address or network; the message names it.
    """
    return tuple(ipaddress.ip_network(name, strict=False) for name in names)


def address_of(request: web.Request, trusted: tuple[Network, ...]) -> str:
    """Return the viewer's address: the connection's, or what a trusted proxy says it is.

    Proxies append to X-Forwarded-For; read from its end, the first address that is none of
    theirs is the viewer's.
    """
    address = request.remote or ""
    listed = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    while listed and _within(address, trusted):
        last = listed.pop()
        if not _is_address(last):
            break
        address = last
    return address


def is_secure(request: web.Request, trusted: tuple[Network, ...]) -> bool:
    """Tell whether the viewer came by HTTPS, here or to a trusted proxy."""
    if request.transport is not None and request.transport.get_extra_info("ssl_object"):
        return True
    said = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip()
    return said == "https" and _within(request.remote or "", trusted)


def _within(address: str, trusted: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in net for net in trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
