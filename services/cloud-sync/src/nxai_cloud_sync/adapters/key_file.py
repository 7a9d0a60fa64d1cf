"""The Edge Impulse API key in a file that only this user can read."""

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Final

from nxai_cloud_sync.adapters.storage import storage
from nxai_common.errors import ConfigurationError
from nxai_common.logs import register_secret

_KEY: Final = re.compile(r"ei_[\x21-\x7e]{1,500}", re.ASCII)
"""Printable ASCII: it travels as a header. (Keys have 67 characters today.)"""
LARGEST: Final = 4096
"""Bytes; a larger file is something else."""
_NO_KEY: Final = (
    "no API key of Edge Impulse: one begins with ei_ (Studio: Dashboard > Keys) and stands alone"
)


class KeyFile:
    """Keeps the key at `path`; with `read_only`, as a Docker secret, somebody else does."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        # Always of one name: what a crash leaves is found again.
        self._prepared = path.with_name(f".{path.name}.prepared")

    def read(self) -> str | None:
        """Return the key, or None when there is none.

        Raises:
            ConfigurationError: it is there but cannot be read or is no key, or a read-only file is
                missing; never shows it.
        """
        key = _read(self._path)
        if key is None and self._read_only:
            raise ConfigurationError(
                f"{self._path} (NXAI_CLOUD_SYNC_KEY_FILE) does not exist; put the API key there, "
                "or unset the variable and link with a key"
            )
        return key

    def prepared(self) -> str | None:
        """Return the key that lies beside the one in use, or None.

        Raises:
            ConfigurationError: it is there but cannot be read or is no key; never shows it.
        """
        return None if self._read_only else _read(self._prepared)

    def write(self, key: str) -> None:
        """Keep a key, readable by this user alone: on the disk when this returns.

        Raises:
            ConfigurationError: no key of Edge Impulse, a read-only file, or one that cannot be
                replaced; never shows the key.
        """
        self._put(self._path, key)

    def prepare(self, key: str) -> None:
        """Put a key beside the one in use: on the disk when this returns.

        Raises:
            ConfigurationError: as `write`.
        """
        self._put(self._prepared, key)

    def adopt(self) -> None:
        """Let the prepared key be the one in use: on the disk when this returns.

        Raises:
            StorageUnavailable: the file cannot be replaced; the key in use stays.
        """
        with storage(self._path.parent):
            self._prepared.replace(self._path)
            _sync_folder(self._path.parent)

    def drop(self) -> None:
        """Delete the prepared key, if there is one.

        Raises:
            StorageUnavailable: it cannot be deleted.
        """
        if not self._read_only:  # there never was one
            with storage(self._path.parent):
                self._prepared.unlink(missing_ok=True)

    def _put(self, path: Path, key: str) -> None:
        text = key.strip()
        register_secret(text)
        if not _KEY.fullmatch(text):
            raise ConfigurationError(f"this is {_NO_KEY}")
        if self._read_only:
            raise ConfigurationError(
                f"the API key is read from {self._path} (NXAI_CLOUD_SYNC_KEY_FILE): put it there, "
                "or unset the variable"
            )
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_private(fresh, f"{text}\n".encode())
            fresh.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise ConfigurationError(
                f"API key file {self._path} cannot be written: {error.strerror}; make room, or let "
                "this user write there"
            ) from None

    def forget(self) -> None:
        """Delete it, and one that was prepared. A read-only file stays: it is somebody else's.

        Raises:
            ConfigurationError: it cannot be deleted.
        """
        if self._read_only:
            return
        try:
            self._path.unlink(missing_ok=True)
            self._prepared.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"API key file {self._path} cannot be deleted: {error.strerror}; delete it by hand"
            ) from None


def _read(path: Path) -> str | None:
    """Return the key in a file, or None when there is no such file.

    Raises:
        ConfigurationError: it cannot be read or is no key; never shows it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"API key file {path} cannot be read: {error.strerror}; let this user read it"
        ) from None
    return key_in(content, str(path))


def key_in(content: bytes, where: str) -> str:
    """Return the key that a file holds; from now on no log shows it.

    Raises:
        ConfigurationError: it holds none; never shows what it holds.
    """
    # An editor may have added a newline, or a byte order mark.
    text = content.decode("utf-8-sig", errors="replace").strip()
    if not _KEY.fullmatch(text):
        raise ConfigurationError(f"{where} holds {_NO_KEY}")
    register_secret(text)
    return text


def _write_private(path: Path, content: bytes) -> None:
    # With these rights from the first moment on, whatever the umask.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
