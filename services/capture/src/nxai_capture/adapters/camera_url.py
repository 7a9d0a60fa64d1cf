"""URLs of cameras: checked, shown without anything secret, joined with a password at the end."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from nxai_capture.ports import Credentials
from nxai_common.errors import ConfigurationError

DEFAULT_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}

USERNAME_PLACE: Final = "{username}"
PASSWORD_PLACE: Final = "{password}"  # noqa: S105 - where one goes, not one itself
"""Some cheap cameras want the login in the query of the URL. The URL goes over the bus, so it only
says where; the login itself comes from the secret file and is filled in when the camera opens."""

SAFE_IN_USERINFO: Final = "!$&'()*+,;=-._~"
"""What RFC 3986 section 3.2.1 allows unquoted beside letters and digits; `:` is not here because
it ends the user name."""


@dataclass(frozen=True, slots=True)
class CameraUrl:
    """A URL without user and password. Its text is not for logs: paths and queries hold tokens."""

    text: str
    scheme: str
    host: str
    port: int

    @property
    def place(self) -> str:
        """host:port, the part that may be shown."""
        return f"{self.host}:{self.port}"

    @property
    def has_places(self) -> bool:
        """Whether the URL says itself where user and password go (`?user={username}&...`)."""
        return any(place in self.text for place in (USERNAME_PLACE, PASSWORD_PLACE))

    def filled(self, credentials: Credentials | None) -> str:
        """Return the URL with `{username}` and `{password}` replaced. Never log it."""
        if credentials is None:
            return self.text
        username = quote(credentials.username, safe="")
        password = quote(credentials.password.get_secret_value(), safe="")
        return self.text.replace(USERNAME_PLACE, username).replace(PASSWORD_PLACE, password)

    def with_credentials(self, credentials: Credentials | None) -> str:
        """Return the URL with user and password in it, each percent-encoded. Never log it."""
        if credentials is None or self.has_places:
            return self.filled(credentials)
        userinfo = ":".join(
            quote(part, safe=SAFE_IN_USERINFO)
            for part in (credentials.username, credentials.password.get_secret_value())
        )
        scheme, _, rest = self.text.partition("://")
        return f"{scheme}://{userinfo}@{rest}"


def parse_camera_url(text: str, schemes: Collection[str]) -> CameraUrl:
    """Return the parts of a camera's URL.

    Raises:
        ConfigurationError: another scheme, no host, a port that is none, or a user in it.
    """
    text = text.strip()
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    if "@" in text.partition("://")[2].partition("/")[0]:
        # Looked for first and by hand: a raw password may make the URL unreadable.
        raise ConfigurationError(
            "the URL holds a user or password: put them into the camera's credentials"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigurationError("the URL cannot be read: check host and port") from None
    if parts.scheme not in schemes:
        raise ConfigurationError(
            f"unknown scheme {parts.scheme!r}: the URL must start with {wanted}"
        )
    if not parts.hostname:
        raise ConfigurationError(f"the URL names no host: it must be {wanted}host/path")
    return CameraUrl(text, parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme])
