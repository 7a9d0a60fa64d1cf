"""JPEG files in a folder, whole or not at all, in 256 folders below it."""

import contextlib
import os
from pathlib import Path
from typing import Final

from nxai_cloud_sync.adapters.sql_database import translated

SUFFIX: Final = ".jpg"
UNFINISHED: Final = ".part"
"""Of a file that is being written; one that is left over is of no use to anybody."""
SHARD_LETTERS: Final = 2
"""The last ones of an id are random hex digits: 100,000 pictures are 400 in each folder."""


class PictureFolder:
    """Pictures by id; safe from several threads, for different ids."""

    def __init__(self, root: Path) -> None:
        self.root: Final = root

    def make(self) -> None:
        """Make the folder, for this user alone, unless it is there.

        Raises:
            StorageUnavailable: it cannot be.
        """
        with translated(self.root):
            if not self.root.is_dir():
                self.root.mkdir(mode=0o700)
                _sync_folder(self.root.parent)

    def path(self, sample: str) -> Path:
        """Return where a picture lies."""
        return self.root / shard_of(sample) / f"{sample}{SUFFIX}"

    def put(self, sample: str, jpeg: bytes) -> None:
        """Write a picture: on the disk, with its name, when this returns.

        Raises:
            StorageUnavailable: the disk is full ...; nothing is left behind.
        """
        path = self.path(sample)
        unfinished = path.with_suffix(UNFINISHED)
        with translated(self.root):
            if not path.parent.is_dir():
                path.parent.mkdir(exist_ok=True)
                _sync_folder(self.root)
            try:
                with unfinished.open("wb") as file:
                    file.write(jpeg)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
                _sync_folder(path.parent)
            except BaseException:
                for left in (unfinished, path):
                    with contextlib.suppress(OSError):
                        left.unlink()
                raise

    def remove(self, sample: str) -> None:
        """Delete a picture; one that is not there is fine.

        Raises:
            StorageUnavailable: it cannot be.
        """
        with translated(self.root):
            self.path(sample).unlink(missing_ok=True)

    def shards(self) -> frozenset[str]:
        """Return the names of the folders that hold pictures."""
        with translated(self.root):
            return frozenset(path.name for path in self.root.iterdir() if path.is_dir())

    def in_shard(self, shard: str) -> frozenset[str]:
        """Return the ids of the pictures in one of them; what was left unfinished is deleted."""
        folder = self.root / shard
        with translated(self.root):
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        for name in names:
            if name.endswith(UNFINISHED):
                with contextlib.suppress(OSError):  # it is found again the next time
                    (folder / name).unlink()
        return frozenset(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))


def shard_of(sample: str) -> str:
    """Return the name of the folder that a picture lies in."""
    return sample[-SHARD_LETTERS:]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
