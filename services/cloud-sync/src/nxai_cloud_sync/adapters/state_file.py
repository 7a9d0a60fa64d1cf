"""One JSON file that remembers something over restarts, replaced whole or not at all."""

import contextlib
import logging
import os
from pathlib import Path
from typing import Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from nxai_cloud_sync.ports import StorageUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

DAMAGED: Final = ".damaged"
"""Appended to the name of a file that cannot be read: kept for a person, out of the way."""


class StateFile(Generic[T]):
    """Keeps one value. For one process and one thread at a time."""

    def __init__(self, path: Path, kind: TypeAdapter[T]) -> None:
        self._path = path
        self._kind = kind

    def read(self) -> T | None:
        """Return what was kept, or None.

        A file that is damaged (somebody edited it) is moved aside and logged: the service goes on
        without it.

        Raises:
            StorageUnavailable: it is there but cannot be read.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageUnavailable(
                f"{self._path} cannot be read: {error.strerror}; give this user the right to"
            ) from error
        try:
            return self._kind.validate_json(content)
        except ValidationError:
            self._set_aside()
            return None

    def write(self, value: T) -> None:
        """Keep a value: on the disk when this returns.

        Raises:
            StorageUnavailable: disk full or read-only; the old value is still there.
        """
        # Always the same name: what a crash leaves is overwritten, and does not pile up.
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as file:
                file.write(self._kind.dump_json(value, indent=1))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            self._flush_folder()
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise StorageUnavailable(
                f"{self._path} cannot be written: {error.strerror}; make room, or give this user "
                "the right to write there"
            ) from error

    def forget(self) -> None:
        """Remove the file.

        Raises:
            StorageUnavailable: it cannot be removed.
        """
        try:
            self._path.unlink()
            self._flush_folder()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageUnavailable(f"{self._path} cannot be removed: {error.strerror}") from error

    def _set_aside(self) -> None:
        aside = self._path.with_name(self._path.name + DAMAGED)
        try:
            self._path.replace(aside)
        except OSError as error:
            log.error("%s is damaged, and stays where it is: %s", self._path, error.strerror)  # noqa: TRY400 - the traceback would show what it holds
        else:
            log.error("%s is damaged; moved to %s, going on without it", self._path, aside)

    def _flush_folder(self) -> None:
        """Bring the change of a name to the disk."""
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
