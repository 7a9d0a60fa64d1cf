"""A model file on the disk: what it is, and which one."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nxai_cloud_sync.adapters.storage import storage
from nxai_cloud_sync.core.importing import HEAD_BYTES, Format, model_format

BLOCK_BYTES: Final = 1024 * 1024

Each = Callable[[], None]
"""Called now and then; may raise to stop."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that looks like a model."""

    path: Path
    digest: str
    """SHA-256, hex."""
    size: int
    format: Format


def identify(path: Path, what: str, each: Each) -> ModelFile:
    """Tell which model file this is; it gets the suffix of its format.

    Args:
        path: The file.
        what: Names it in messages.
        each: Called now and then.

    Raises:
        RejectedError: no model; says what it is instead.
        StorageUnavailable: it cannot be read.
    """
    with storage(path.parent):
        with path.open("rb") as file:
            kind = model_format(file.read(HEAD_BYTES), what)
        digest = sha256_of(path, each)
        named = path.with_suffix(f".{kind}")
        if named != path:
            shutil.move(path, named)
        return ModelFile(named, digest, named.stat().st_size, kind)


def sha256_of(path: Path, each: Each = lambda: None) -> str:
    """Return the SHA-256 of a file, hex.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    for block in blocks(path):
        digest.update(block)
        each()
    return digest.hexdigest()


def blocks(path: Path) -> Iterator[bytes]:
    """Read a file bit by bit.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
