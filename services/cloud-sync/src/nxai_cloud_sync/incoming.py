"""The folder in which people put files that are to be imported."""

import contextlib
import logging
import time
from pathlib import Path
from typing import Final

from nxai_common.errors import RejectedError

log = logging.getLogger(__name__)

LEFT_OVER_S: Final = 86_400.0
"""A file that was to be imported, and is so old when the service starts, belongs to no job."""


class Incoming:
    """Files that are imported from there, and removed then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Return where a file is.

        Raises:
            RejectedError: there is none of that name.
        """
        path = self._folder / name
        if "/" in name or name in ("", ".", "..") or not path.is_file():
            raise RejectedError(f"there is no file {name!r} in {self._folder}")
        return path

    def remove(self, path: Path) -> None:
        """Remove a file, if that can be done."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # a folder, or somebody else's
            log.warning("%s cannot be removed: %s", path, error.strerror)

    def sweep(self) -> None:
        """Remove files whose import a crash broke off."""
        now = time.time()
        with contextlib.suppress(OSError):  # there may be no such folder
            for path in self._folder.iterdir():
                if now - path.lstat().st_ctime > LEFT_OVER_S:
                    self.remove(path)
