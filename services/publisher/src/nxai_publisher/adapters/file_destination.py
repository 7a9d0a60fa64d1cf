"""A file of JSON lines. Full ones are put aside with a number, and packed.

A line is there as a whole or not at all: what a crash left of one goes at the start, and what a
full disk left of one goes at once; both come again from the outbox.
"""

import contextlib
import fcntl
import gzip
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from nxai_common.contracts.destinations import FileDestination
from nxai_common.errors import ConfigurationError
from nxai_publisher.core.entries import Entry, Refused
from nxai_publisher.core.groups import Grouping
from nxai_publisher.ports import DestinationUnavailable

TOGETHER: Final = 200
"""Lines written at once."""
MEGABYTE: Final = 1_000_000
LOOKED_BACK: Final = 64 * 1024
"""Bytes read at a time for the end of the last whole line."""
PACKING_LEVEL: Final = 6
_PART: Final = ".part"


class FileOutlet:
    """Implements the port `Outlet`."""

    def __init__(
        self,
        options: FileDestination,
        folder: Path,
        durability: Literal["process-crash", "power-loss"],
    ) -> None:
        """Prepare; the file is opened by the first `send`.

        Args:
            options: Which file.
            folder: It lies below this one, and nothing else is ever written.
            durability: What a line must survive.

        Raises:
            ConfigurationError: its path leads out of the folder.
        """
        self._options = options
        self._folder = folder.resolve()
        self._path = _inside(self._folder, options.path)
        self._sync = durability == "power-loss"
        self._file: int | None = None
        self._size = 0
        self.grouping = Grouping("batch", TOGETHER)

    def send(self, entries: Sequence[Entry], /) -> Sequence[Refused]:
        """Append lines."""
        try:
            file = self._opened()
            if self._size >= self._options.rotate_mb * MEGABYTE:
                file = self._rotate()
            self._append(file, b"".join(entry.payload + b"\n" for entry in entries))
        except OSError as error:
            self.close()
            raise DestinationUnavailable(
                f"{self._path}: {error.strerror}; make room there, check its owner and rights"
            ) from error
        return ()

    def interrupt(self) -> None:
        """Nothing hangs here."""

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                os.close(file)

    def _opened(self) -> int:
        """Return the open file; it is made anew where somebody moved or deleted it."""
        if self._file is not None:
            there = os.fstat(self._file)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(self._path.lstat(), there):
                    return self._file
            self.close()
        _inside(self._folder, self._options.path)  # a folder may have become a link meanwhile
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o640)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise DestinationUnavailable(
                f"{self._path}: another destination or program writes to it; choose another path"
            ) from None
        self._file = file
        self._size = _repair(file)
        self._finish_packing()
        if self._sync:
            self._sync_folders()
        return file

    def _append(self, file: int, lines: bytes) -> None:
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
            if self._sync:
                os.fsync(file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)  # half a line is worse than none
            raise
        self._size += len(lines)

    # -- full ones --------------------------------------------------------------------------------

    def _rotate(self) -> int:
        number = max((number for number, _ in self._aside()), default=0) + 1
        full = self._path.with_name(f"{self._path.stem}.{number:06d}{self._path.suffix}")
        self._path.rename(full)
        self.close()
        self._finish_packing()
        return self._opened()

    def _finish_packing(self) -> None:
        """Pack what is full, also where a crash broke it off; delete what is too many."""
        for part in self._path.parent.glob(f"*{_PART}"):
            if _is_of(part.name.removesuffix(_PART), self._path):
                part.unlink(missing_ok=True)
        keep = self._options.keep_files
        aside = sorted(self._aside())
        for _, path in aside[: max(0, len(aside) - keep)]:
            path.unlink(missing_ok=True)
        for _, path in aside[max(0, len(aside) - keep) :]:
            if self._options.compress and path.suffix != ".gz":
                self._pack(path)

    def _pack(self, path: Path) -> None:
        packed = path.with_name(f"{path.name}.gz")
        part = path.with_name(f"{path.name}.gz{_PART}")
        if not packed.exists():  # else only the deletion was broken off
            with path.open("rb") as source, part.open("wb") as target:
                with gzip.GzipFile(path.name, "wb", PACKING_LEVEL, target, mtime=0) as packer:
                    shutil.copyfileobj(source, packer, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
            part.rename(packed)
        path.unlink()

    def _aside(self) -> list[tuple[int, Path]]:
        """Return number and path of the full ones, in any order."""
        found = []
        for path in self._path.parent.iterdir():
            number = _is_of(path.name, self._path)
            if number:
                found.append((number, path))
        return found

    def _sync_folders(self) -> None:
        """Let a power cut leave the names of what is new, too."""
        for path in self._path.parents:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            if path == self._folder:
                return


def _inside(folder: Path, text: str) -> Path:
    """Return the path below a folder.

    Raises:
        ConfigurationError: it is none, or leads elsewhere.
    """
    path = folder / text
    outside = not path.parent.resolve().is_relative_to(folder) or path.is_symlink()
    if not text or text.endswith("/") or Path(text).is_absolute() or outside or path.is_dir():
        raise ConfigurationError(
            f"path {text!r} must name a file below {folder}, such as results.jsonl"
        )
    return path.parent.resolve() / path.name


def _is_of(name: str, path: Path) -> int:
    """Return the number of a full file of this one; 0: it is none."""
    pattern = rf"{re.escape(path.stem)}\.(\d{{6,}}){re.escape(path.suffix)}(\.gz)?"
    match = re.fullmatch(pattern, name)
    return int(match[1]) if match else 0


def _repair(file: int) -> int:
    """Cut off what is no whole line; return the size."""
    size = end = os.fstat(file).st_size
    while end > 0:
        begin = max(0, end - LOOKED_BACK)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end < size:
        os.ftruncate(file, end)
    return end
