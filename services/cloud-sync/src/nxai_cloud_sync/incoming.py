"""The folder of files that are to be imported: put there by people, or received part by part.

What is received lies in a hidden folder of its own until an import names it, so that nobody takes
half a file for a whole one; from then on in another one, so that a file that is being imported is
not overwritten. Both belong to this process: what is left there is of no use to anybody.
"""

import contextlib
import logging
import math
import os
import shutil
import stat
import threading
import time
from collections.abc import Hashable
from pathlib import Path
from typing import Final

from nxai_cloud_sync.adapters.storage import storage
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_common.contracts.commands import MAX_INCOMING_BYTES
from nxai_common.errors import RejectedError

log = logging.getLogger(__name__)

LEFT_OVER_S: Final = 86_400.0
"""A file that a person put there to be imported, and that is so old, belongs to no job."""
GIVEN_UP_S: Final = 3600.0
"""A file of which no part came for so long has no sender any more."""
MOST_FILES: Final = 16
"""That are being received; more people do not send models to a box at once."""
MOST_PART_BYTES: Final = 4 * 1024 * 1024
"""Of one part: they wait in memory."""
STAYS_FREE_BYTES: Final = 64_000_000
"""Of the disk, whatever is received: pictures are collected there, and models are unpacked."""
_RECEIVED: Final = ".received"
_IMPORTED: Final = ".importing"


class GapError(RejectedError):
    """A part does not begin where the file ends."""

    def __init__(self, name: str, size: int, offset: int) -> None:
        super().__init__(
            f"the part of {name!r} at {offset} leaves a gap: {size} bytes are here; go on there"
        )
        self.size = size
        """What the file has."""


class Incoming:
    """Files that are imported from there, and removed then. Safe from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._received = folder / _RECEIVED
        self._imported = folder / _IMPORTED
        self._lock = threading.Lock()
        """Guards what follows, and names in the folders; not held while the disk writes."""
        self._held: dict[Path, Hashable] = {}
        """Files that are being imported, and by what."""

    # -- receiving ----------------------------------------------------------------------------

    def receive(self, name: str, offset: int, part: bytes) -> int:
        """Add bytes to a file; return what it has now. They are on the disk when this returns.

        A part that was sent before does no harm; one at 0 begins anew.

        Args:
            name: Of the file: a plain name that does not begin with a dot.
            offset: Where the part belongs, in bytes.
            part: The bytes.

        Raises:
            GapError: the part does not begin where the file ends, or before.
            RejectedError: too large, too many files, or the file is being imported.
            StorageUnavailable: the disk is full, or cannot be written.
        """
        if offset + len(part) > MAX_INCOMING_BYTES:
            raise RejectedError(
                f"{name!r} has more than {MAX_INCOMING_BYTES // 1024**2} MiB, which no model has"
            )
        path = self._received / name
        with storage(self._folder), contextlib.ExitStack() as closing:
            with self._lock:
                if self._imported / name in self._held:
                    raise RejectedError(
                        f"{name!r} is being imported; wait for its end, or use another name"
                    )
                size = path.lstat().st_size if offset and _is_file(path) else 0
                if offset > size:
                    raise GapError(name, size, offset)
                self._make_room_for(path, len(part))
                descriptor = _open(path)
                closing.callback(os.close, descriptor)
                _write(descriptor, part, offset, size)
                size = os.fstat(descriptor).st_size
            os.fsync(descriptor)
        return size

    def discard(self, name: str) -> None:
        """Forget what was received of a file; one that is being imported stays."""
        with self._lock:
            self._remove(self._received / name)

    # -- importing ----------------------------------------------------------------------------

    def take(self, name: str, by: Hashable) -> Path:
        """Return where a file is that is to be imported; `release` ends that.

        Args:
            name: As it was received, or put into the folder by a person.
            by: Tells one import from another: who asks for the same again gets the same file.

        Raises:
            RejectedError: there is none of that name, or another import has it.
            StorageUnavailable: the disk does not do.
        """
        with self._lock, storage(self._folder):
            path = self._find(name)
            if self._held.setdefault(path, by) != by:
                raise RejectedError(f"{name!r} is being imported already; wait for its end")
            return path

    def release(self, path: Path) -> None:
        """Remove a file whose import has ended."""
        with self._lock:
            self._held.pop(path, None)
            self._remove(path)

    def put_back(self, path: Path) -> None:
        """Have a file as it was: its import did not begin."""
        with self._lock, storage(self._folder):
            self._held.pop(path, None)
            if path.parent == self._imported:
                path.replace(self._received / path.name)

    def sweep(self) -> None:
        """Remove what was given up: by a sender, a person, or a process that crashed."""
        now = time.time()
        with self._lock:
            given_up = [
                path
                for folder, longest_s in (
                    (self._received, GIVEN_UP_S),
                    (self._imported, -math.inf),
                    (self._folder, LEFT_OVER_S),
                )
                for path, since in _files(folder).items()
                if path not in self._held and now - since > longest_s
            ]
            for path in given_up:
                self._remove(path)

    def _find(self, name: str) -> Path:
        """Return where a file lies; what was received is put where it is not overwritten."""
        if "/" in name or name in ("", ".", ".."):
            raise RejectedError(f"there is no file {name!r} in {self._folder}")
        received, imported = self._received / name, self._imported / name
        if imported in self._held:
            return imported
        if _is_file(received):
            self._imported.mkdir(mode=0o700, exist_ok=True)
            received.replace(imported)
            return imported
        if _is_file(self._folder / name):
            return self._folder / name
        raise RejectedError(f"there is no file {name!r} in {self._folder}")

    def _make_room_for(self, path: Path, more: int) -> None:
        """See to it that a part may be written.

        Raises:
            RejectedError: too many files are being received.
            StorageUnavailable: the disk is almost full.
            OSError: the folder cannot be made.
        """
        self._received.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_file(path) and len(_files(self._received)) >= MOST_FILES:
            raise RejectedError(
                f"{MOST_FILES} files are being received already; import or discard some of them"
            )
        free = shutil.disk_usage(self._received).free
        if free - more < STAYS_FREE_BYTES:
            raise StorageUnavailable(
                f"the disk of {self._folder} has {free // 1_000_000} MB left, and "
                f"{STAYS_FREE_BYTES // 1_000_000} MB stay free for what the box does: make room, "
                "or delete models that are not used"
            )

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # a folder, or somebody else's
            log.warning("%s cannot be removed: %s", path, error.strerror)


def _open(path: Path) -> int:
    """Open a file for writing, made where there is none: for this user alone, and no link."""
    new = not _is_file(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if new:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return descriptor


def _write(descriptor: int, part: bytes, offset: int, size: int) -> None:
    """Write a part; at 0 the file begins anew. Where it fails, `size` bytes stay as they were."""
    left = memoryview(part)
    try:
        if not offset:
            os.ftruncate(descriptor, 0)
        while left:
            written = os.pwrite(descriptor, left, offset)
            left, offset = left[written:], offset + written
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _is_file(path: Path) -> bool:
    """Tell whether there is a file of this name, and no link to one elsewhere."""
    with contextlib.suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _files(folder: Path) -> dict[Path, float]:
    """Return all that lies in a folder but folders, and when each was changed (Unix seconds)."""
    found: dict[Path, float] = {}
    with contextlib.suppress(OSError):  # there may be no such folder
        for path in folder.iterdir():
            with contextlib.suppress(OSError):  # a person may have removed it just now
                about = path.lstat()
                if not stat.S_ISDIR(about.st_mode):
                    found[path] = about.st_ctime
    return found
