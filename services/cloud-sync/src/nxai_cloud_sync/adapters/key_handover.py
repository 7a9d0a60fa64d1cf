"""The folder in which the manager leaves an API key that a person typed on its page.

No key travels over MQTT: it lies here for the moment until the link is asked for. Whatever becomes
of it then, it does not stay.
"""

import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nxai_cloud_sync.adapters.key_file import LARGEST, key_in
from nxai_cloud_sync.adapters.storage import storage
from nxai_common.errors import ConfigurationError

log = logging.getLogger(__name__)

NAME: Final = "edge-impulse-key"
LONGEST_S: Final = 300.0
"""Between the key and the command that it was left for lie seconds; what lies there longer was left
for another one, which never came."""


class KeyHandover:
    """Implements the port `HandedKey`."""

    def __init__(self, folder: Path, now_s: Callable[[], float] = time.time) -> None:
        """Prepare.

        Args:
            folder: Shared with the manager.
            now_s: Unix seconds.
        """
        self._path = folder / NAME
        self._now_s = now_s

    def open(self) -> None:
        """Make the folder; remove what nobody took in time.

        Raises:
            StorageUnavailable: it cannot be made or looked through.
        """
        with storage(self._path.parent):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.sweep()

    def take(self) -> str | None:
        """Return the key that was left lately, or None; it lies there no more."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._remove()
            raise ConfigurationError(
                f"the API key in {self._path} cannot be read: {error.strerror}; let this user "
                "read what the manager writes there"
            ) from None
        with contextlib.ExitStack() as closing:
            closing.callback(os.close, descriptor)
            about = os.fstat(descriptor)
            content = os.read(descriptor, LARGEST) if stat.S_ISREG(about.st_mode) else b""
        self._remove()
        if self._is_stale(about):
            log.warning("an API key that nobody took in time was removed from %s", self._path)
            return None
        return key_in(content, "what was handed over")

    def sweep(self) -> None:
        """Remove what nobody took in time, also what the manager did not finish to write.

        Raises:
            StorageUnavailable: the folder cannot be looked through.
        """
        with storage(self._path.parent):
            for path in self._path.parent.glob(f"*{NAME}*"):
                with contextlib.suppress(FileNotFoundError):  # it got its name just now
                    if self._is_stale(path.lstat()):
                        path.unlink()
                        log.warning("an API key that nobody took in time was removed: %s", path)

    def _is_stale(self, about: os.stat_result) -> bool:
        # The clock may have been set meanwhile, forward or back.
        return abs(self._now_s() - about.st_mtime) > LONGEST_S

    def _remove(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{self._path} cannot be deleted: {error.strerror}; delete it by hand, and let "
                "this user write in that folder"
            ) from None
