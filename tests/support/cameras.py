"""Opening cameras the way the service does."""

from collections.abc import Callable
from typing import Final

from pydantic import SecretStr

from nxai_capture.adapters.sources import Sources
from nxai_capture.core.picture import Picture
from nxai_capture.ports import Credentials, Source
from nxai_common.contracts.configuration import CameraSource, CaptureCamera, Watchdog

PASSWORDS: Final = (
    "plain",
    "a@b:c/d#e?f%g",
    "%41",
    "é'\"\\",
    " sp ace+&=;,$!*()",
    "日本",
    "[::1]",
    "user:pass@host",
)
"""With every kind of character that a careless URL breaks on."""

NO_WATCHDOG: Final = Watchdog(open_timeout_s=10, read_timeout_s=10)


def login(username: str, password: str) -> Credentials:
    return Credentials(username, SecretStr(password))


def opened(
    source: CameraSource,
    credentials: Credentials | None = None,
    *,
    sources: Sources | None = None,
    watchdog: Watchdog = NO_WATCHDOG,
) -> Source:
    """Return the source of a camera, not yet entered."""
    camera = CaptureCamera(id="camera-1", source=source, watchdog=watchdog)
    return (sources or Sources()).open(camera, credentials)


def read_until(source: Source, wanted: Callable[[Picture], bool], most: int = 500) -> Picture:
    """Return the first picture that fits, of so many at most."""
    for _ in range(most):
        picture = source.read()
        assert picture is not None, "the source ended"
        if wanted(picture):
            return picture
    raise AssertionError(f"none of {most} pictures fits")


def read_all(source: Source) -> list[Picture]:
    """Return the pictures to the end."""
    pictures = []
    while (picture := source.read()) is not None:
        pictures.append(picture)
    return pictures
