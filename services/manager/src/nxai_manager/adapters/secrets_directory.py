"""A folder of small files that hold what must not travel over MQTT."""

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from nxai_common.errors import TransientError
from nxai_manager.core.compile import Login

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
PATTERN: Final = "camera-*.json"
LENT: Final = "probe-"
"""How the name of a secret begins that is only tried."""
REVISION_BYTES: Final = 6
"""Random; two in a row are equal once in 281 million million changes."""


class _File(BaseModel):
    username: str
    password: str
    revision: str
    """Beside the secret in one file, so that both change in one rename."""


class SecretsDirectory:
    """Writes ``camera-<id>.json``: ``{"username", "password", "revision"}``, mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, logins: Mapping[str, Login]) -> dict[str, str]:
        """Keep exactly these secrets; return a revision of each.

        A file whose secret did not change is left alone, its revision too.

        Raises:
            TransientError: the disk is full or the folder cannot be written.
        """
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            revisions = {name: self._store_one(name, login) for name, login in logins.items()}
            for path in self._folder.glob(PATTERN):
                if path.stem not in logins:
                    path.unlink()
        except OSError as error:
            raise TransientError(
                f"passwords cannot be written to {self._folder}: {error.strerror}; make room, or "
                "point NXAI_MANAGER_SECRETS_DIR at a folder that this user may write"
            ) from error
        return revisions

    @contextlib.contextmanager
    def lend(self, login: Login) -> Iterator[str]:
        """Keep a secret for as long as somebody tries it; yield its name.

        Raises:
            TransientError: the disk is full or the folder cannot be written.
        """
        name = f"{LENT}{secrets.token_hex(8)}"
        path = self._folder / f"{name}.json"
        content = _File(username=login.username, password=login.password, revision=name)
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_private(path, content.model_dump_json())
        except OSError as error:
            raise TransientError(
                f"a password cannot be written to {self._folder}: {error.strerror}; make room"
            ) from error
        try:
            yield name
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what was lent when the process before ended."""
        with contextlib.suppress(OSError):  # there may be no folder yet
            for path in self._folder.glob(f"{LENT}*.json"):
                path.unlink(missing_ok=True)

    def _store_one(self, name: str, login: Login) -> str:
        path = self._folder / f"{name}.json"
        with contextlib.suppress(FileNotFoundError, ValidationError):
            old = _File.model_validate_json(path.read_bytes())
            if (old.username, old.password) == (login.username, login.password):
                path.chmod(FILE_MODE)  # somebody may have opened it up
                return old.revision
        new = _File(
            username=login.username,
            password=login.password,
            revision=secrets.token_hex(REVISION_BYTES),
        )
        write_private(path, new.model_dump_json())
        return new.revision


def write_private(path: Path, text: str, unless: Callable[[], bool] = lambda: False) -> bool:
    """Write a file that nobody else may read, whole or not at all.

    Args:
        path: Of the file.
        text: All that shall be in it.
        unless: Asked last, when the text is safe on the disk: whether to leave the file alone.

    Returns:
        Whether it was written.

    Raises:
        OSError: the old file is still there, untouched.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib cannot open with a mode
            os.fchmod(descriptor, FILE_MODE)  # the file may be left from a crash, with another mode
            file.write(text)
            file.flush()
            os.fsync(descriptor)  # else a power cut may leave an empty file behind the new name
        if unless():
            fresh.unlink()
            return False
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    return True
