"""A file that only takes room, so that there is some when the disk is full.

To delete records is to write to the database first: without room for that, a full disk could not
be emptied by lowering the limits.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 2_000_000
"""For the log of the removal of a small slice (some 20 pages each of 20 pictures)."""


class DiskReserve:
    """Room that is given up in need, and taken again afterwards."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> None:
        """Take the room, unless it is taken; where there is none, there is no reserve."""
        if self._path.exists():
            return
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            except OSError:
                self._path.unlink()
                raise
            finally:
                os.close(descriptor)

    def give_up(self) -> bool:
        """Give the room to others; False when there is none to give."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
