"""One process a state folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nxai_cloud_sync.adapters.storage import storage
from nxai_common.errors import ConfigurationError

LOCK: Final = ".lock"


@contextmanager
def state_lock(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder; the kernel lets go of it when this one ends.

    Raises:
        ConfigurationError: another process works there.
        StorageUnavailable: the folder cannot be used.
    """
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise ConfigurationError(
                f"another process{f' ({holder})' if holder else ''} works in {folder}; stop it, or "
                "give this one another NXAI_CLOUD_SYNC_STATE_DIR"
            ) from None
        with contextlib.suppress(OSError):  # a courtesy: on a full disk it is held all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
