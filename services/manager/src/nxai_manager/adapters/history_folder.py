"""The settings of before on disk: one file each, for their owner alone, with the passwords."""

import contextlib
import logging
import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from nxai_common.errors import TransientError
from nxai_manager.adapters.secrets_directory import FOLDER_MODE, write_private
from nxai_manager.adapters.settings_file import beside
from nxai_manager.core.history import (
    ENTRY_PATTERN,
    Author,
    Entry,
    NoSuchEntry,
    entry_id,
    is_of_run,
    revision_of,
    superfluous,
)

log = logging.getLogger(__name__)

SUFFIX: Final = ".history"
ENTRY_SUFFIX: Final = ".entry"
KEY_NAME: Final = "revision.key"
KEY_BYTES: Final = 32
MAX_HEAD_BYTES: Final = 64 * 1024
_NAME = re.compile(ENTRY_PATTERN)


class HistoryFolder:
    """Writes ``{id}.entry``: a line of JSON that describes the entry, and the text below it."""

    def __init__(self, settings: Path, state_dir: Path | None = None) -> None:
        self._folder = beside(settings, SUFFIX, state_dir)
        self._key: bytes | None = None

    def revision(self, text: str | None) -> str:
        """Return what tells a text apart from others, and nothing about it."""
        if self._key is None:
            self._key = self._read_key()
        return revision_of(text, self._key)

    def entries(self) -> tuple[Entry, ...]:
        """Return what is kept, newest first; damaged files are left out.

        Raises:
            TransientError: the folder cannot be read.
        """
        found = []
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):  # just pruned
                entry = self._head(path)
                if entry is not None:
                    found.append(entry)
        return tuple(found)

    def read(self, name: str) -> tuple[Entry, str]:
        """Return an entry and its text.

        Raises:
            NoSuchEntry: there is none of this name, or it is damaged.
        """
        if _NAME.fullmatch(name):
            path = self._path(name)
            with contextlib.suppress(OSError, UnicodeDecodeError):
                entry = self._head(path)
                if entry is not None:
                    return entry, path.read_bytes().partition(b"\n")[
                        2
                    ].decode()  # as it is: \r, too
        raise NoSuchEntry(f"the history has no entry {name!r}; the oldest ones are let go of")

    def add(
        self,
        text: str,
        at: datetime,
        author: Author,
        *,
        used: bool,
        changes: tuple[str, ...],
        more_changes: int,
    ) -> Entry:
        """Keep a text, and let go of what has no room beside it.

        Raises:
            TransientError: the disk is full or the folder cannot be written.
        """
        paths = self._paths()
        revision = self.revision(text)
        entry = Entry(
            id=entry_id(paths[0].stem if paths else None, revision),
            at=at,
            revision=revision,
            author=author,
            used=used,
            changes=changes,
            more_changes=more_changes,
        )
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_private(self._path(entry.id), f"{entry.model_dump_json()}\n{text}")
            self._prune()
        except OSError as error:
            raise TransientError(
                f"the history of the settings cannot be written to {self._folder}: "
                f"{error.strerror}; make room, or give this user the right to write there"
            ) from error
        return entry

    def _prune(self) -> None:
        sizes = [(path.stem, path.stat().st_size) for path in self._paths()]
        of_run = {entry.id for entry in self.entries() if is_of_run(entry)}
        for name in superfluous(sizes, of_run):
            self._path(name).unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        """Return the files of the entries, newest first."""
        try:
            found = [path for path in self._folder.iterdir() if path.suffix == ENTRY_SUFFIX]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TransientError(
                f"the history of the settings in {self._folder} cannot be read: {error.strerror}"
            ) from error
        return sorted((path for path in found if _NAME.fullmatch(path.stem)), reverse=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{ENTRY_SUFFIX}"

    def _head(self, path: Path) -> Entry | None:
        with path.open("rb") as file:
            line = file.readline(MAX_HEAD_BYTES)
        try:
            return Entry.model_validate_json(line)
        except ValidationError:
            log.warning("%s is damaged, and left out of the history", path)
            return None

    def _read_key(self) -> bytes:
        """Return the key of the revisions; a new one where there is none."""
        path = self._folder / KEY_NAME
        with contextlib.suppress(OSError, ValueError):
            key = bytes.fromhex(path.read_text(encoding="ascii"))
            if len(key) == KEY_BYTES:
                return key
        key = secrets.token_bytes(KEY_BYTES)
        with contextlib.suppress(OSError):  # else pages that are open have to load again later
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_private(path, key.hex())
        return key
