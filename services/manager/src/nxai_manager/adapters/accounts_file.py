"""accounts.json: users and tokens on disk, readable by the manager's user alone."""

import contextlib
import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from nxai_common.errors import ConfigurationError, TransientError
from nxai_manager.adapters.secrets_directory import FILE_MODE, write_private
from nxai_manager.core.accounts import Accounts

log = logging.getLogger(__name__)

NAME: Final = "accounts.json"
MAX_BYTES: Final = 1024 * 1024
"""A hundred users and as many tokens need 60 kB."""
LOCK_S: Final = 5.0
"""A change takes milliseconds."""
LOOK_S: Final = 0.02
BEGIN_AGAIN: Final = (
    "restore it from a backup, or delete it to begin again (whoever opens the page first then sets "
    "the password)"
)


class AccountsFile:
    """Keeps `Accounts` in a folder. Several processes may change them: each change is one step."""

    def __init__(self, folder: Path) -> None:
        self._path = folder.absolute() / NAME
        self._signature: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The path, for messages."""
        return str(self._path)

    def read(self) -> Accounts | None:
        """Return what is kept, or None when nothing is.

        Raises:
            ConfigurationError: it is there but cannot be used. Nobody may take it for nothing.
        """
        self._signature = self._look()
        try:
            with self._path.open("rb") as file:
                self._close_to_others(file.fileno())
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(
                f"{self._path} cannot be read: {error.strerror}; let the manager's user read it"
            ) from None
        if len(content) > MAX_BYTES:
            raise ConfigurationError(f"{self._path} is damaged: it is too large; {BEGIN_AGAIN}")
        try:
            accounts = Accounts.model_validate_json(content)
        except ValidationError as error:
            raise ConfigurationError(
                f"{self._path} is damaged: {_places(error)}; {BEGIN_AGAIN}"
            ) from None  # its text may show a hash
        if not accounts.has_admin:
            raise ConfigurationError(
                f"{self._path} is damaged: none of its users is an admin; {BEGIN_AGAIN}"
            )
        return accounts

    def changed(self) -> bool:
        """Return whether the file may have changed since it was read."""
        return self._look() != self._signature

    def update(self, change: Callable[[Accounts | None], Accounts]) -> Accounts:
        """Read, change and write as one step; return what is kept now.

        Args:
            change: Returns the new accounts, or raises, and all is as it was.

        Raises:
            ConfigurationError: what is there cannot be used.
            TransientError: the disk is full or the folder cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                before = self.read()
                after = change(before)
                if after != before:
                    self._write(after)
                self._signature = self._look()
        except OSError as error:
            raise TransientError(
                f"{self._path} cannot be written: {error.strerror}; make room, or give this user "
                "the right to write there"
            ) from error
        return after

    def _write(self, accounts: Accounts) -> None:
        try:
            owner = self._path.stat()
        except FileNotFoundError:
            owner = self._path.parent.stat()
        write_private(self._path, accounts.model_dump_json(indent=2) + "\n")
        if os.geteuid() == 0:  # an administrator at work for a service that is not root
            os.chown(self._path, owner.st_uid, owner.st_gid)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other threads and processes from changing the file.

        The folder is locked: it needs no further file, which could belong to the wrong user.
        """
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            end = time.monotonic() + LOCK_S
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise TransientError(
                            f"{self._path} is being changed by another program; try again"
                        ) from None
                    time.sleep(LOOK_S)
            yield
        finally:
            os.close(descriptor)

    def _close_to_others(self, descriptor: int) -> None:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & ~FILE_MODE:
            with contextlib.suppress(OSError):  # another user's
                os.fchmod(descriptor, FILE_MODE)
                log.warning("%s was open to others; now it is not", self._path)

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_uid, found.st_mode)


def _places(error: ValidationError) -> str:
    """Say what is wrong without showing what is there."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    parts = [
        f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg']}" for item in found[:3]
    ]
    return "; ".join(parts)
