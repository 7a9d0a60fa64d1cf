"""A file that a person wants to import: a model, or one of Edge Impulse's archives.

Nothing is executed, and nothing is unpacked under a name that the archive chose: the few members
that matter are read within bounds, and the model is written to a file of our own.
"""

import errno
import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from pydantic import ValidationError

from nxai_cloud_sync.adapters.model_file import BLOCK_BYTES, Each
from nxai_cloud_sync.adapters.storage import storage
from nxai_cloud_sync.core.archives import (
    MAX_ENTRIES,
    MAX_SOURCE_BYTES,
    MAX_TEXT_BYTES,
    NOT_EON,
    Contents,
    look_through,
    only,
    read_array,
    read_export,
    read_labels,
)
from nxai_cloud_sync.core.importing import (
    HEAD_BYTES,
    MAX_MODEL_BYTES,
    Stated,
    model_format,
    stated_by,
)
from nxai_common.contracts.base import explain
from nxai_common.contracts.models import PackageManifest, Task
from nxai_common.errors import RejectedError

MAX_ARCHIVE_BYTES: Final = 1024 * 1024 * 1024
"""Twice the largest model; a C++ library of Edge Impulse has some 20 MB."""
MAX_DIRECTORY_BYTES: Final = 8 * 1024 * 1024
"""Of the list of files at an archive's end, which is read whole: 400 bytes for each of the most."""

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_END: Final = struct.Struct("<4s4H2LH")
_END_MAGIC: Final = b"PK\x05\x06"
_ZIP64_LOCATOR: Final = b"PK\x06\x07"
_LOCATOR_BYTES: Final = 20
_LONGEST_COMMENT: Final = 65535
_UNIX_MODE_BITS: Final = 16
_ENCRYPTED: Final = 0x1
_TRAINED: Final = "trained.tflite"
"""What OpenMV's export calls its model."""


def read_import(path: Path, target: Path, each: Each) -> Stated:
    """Find the model in a file; write it to another one, and say what is said of it.

    Args:
        path: A model, or an archive.
        target: Is made; holds the model afterwards. Not there when this fails.
        each: Called now and then.

    Raises:
        RejectedError: there is no model in it that can be used; says why and what to do.
        StorageUnavailable: a file cannot be read or written.
    """
    with storage(path.parent), path.open("rb") as file:
        at = path.stat()
        if not stat.S_ISREG(at.st_mode):
            raise RejectedError(f"{path.name} is no file")
        head = file.read(HEAD_BYTES)
        file.seek(0)
        if head.startswith(_ZIP):
            if at.st_size > MAX_ARCHIVE_BYTES:
                raise RejectedError(
                    f"{path.name} has {at.st_size} bytes; an archive of at most "
                    f"{MAX_ARCHIVE_BYTES} can be imported"
                )
            return _from_archive(file, at.st_size, path.name, target, each)
        model_format(head, path.name)
        _write(target, _bounded(_read(file), path.name), each)
        return replace(_labels_beside(path), source=f"file {path.name}")


def _labels_beside(path: Path) -> Stated:
    for name in (f"{path.stem}.labels.txt", "labels.txt"):
        beside = path.with_name(name)
        if beside.is_file():
            with beside.open("rb") as file:
                return read_labels(_text(file.read(MAX_TEXT_BYTES)), detects=None)
    return Stated()


def _from_archive(file: BinaryIO, size: int, name: str, target: Path, each: Each) -> Stated:
    _check_directory(file, size, name)
    with _reading(name), zipfile.ZipFile(file) as archive:
        members = _members(archive, name)
        contents = look_through(list(members))
        reader = _Reader(archive, members, name)
        if contents.manifest:
            stated, model = _package(reader, contents)
        elif contents.metadata or contents.variables:
            stated, model = _library(reader, contents)
        else:
            stated, model = _files(reader, contents)
        content = reader.parts(model) if isinstance(model, str) else [model]
        digest = _write(target, _bounded(content, name), each)
    if contents.manifest:
        _check_digest(reader, contents, digest)
    return replace(
        stated, source=f"{stated.source}, file {name}" if stated.source else f"file {name}"
    )


class _Reader:
    """Reads members of an archive, within bounds."""

    def __init__(
        self, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str
    ) -> None:
        self._archive = archive
        self._members = members
        self._name = name
        self.manifest = PackageManifest()

    def bytes_of(self, member: str, limit: int) -> bytes:
        """Return the content of a member.

        Raises:
            RejectedError: it is larger than `limit`.
        """
        with self._archive.open(self._members[member]) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise RejectedError(
                f"{member} in {self._name} has more than {limit} bytes, which is none that Edge "
                "Impulse writes"
            )
        return content

    def text(self, member: str) -> str:
        """Return the text of a member; empty when there is none of that name."""
        return _text(self.bytes_of(member, MAX_TEXT_BYTES)) if member else ""

    def parts(self, member: str) -> Iterator[bytes]:
        """Read a member bit by bit."""
        with _reading(self._name), self._archive.open(self._members[member]) as file:
            while part := file.read(BLOCK_BYTES):
                yield part


def _package(reader: _Reader, contents: Contents) -> tuple[Stated, str | bytes]:
    content = reader.bytes_of(contents.manifest, MAX_TEXT_BYTES)
    try:
        reader.manifest = PackageManifest.model_validate_json(content)
    except ValidationError as error:
        raise RejectedError(f"{contents.manifest}: {explain(error)}") from error
    named = reader.manifest.file
    wanted = [each for each in contents.models if PurePosixPath(each).name == named]
    if named and not wanted:
        raise RejectedError(f"{contents.manifest} names the file {named!r}, which is not beside it")
    return stated_by(reader.manifest), only(wanted or contents.models)


def _check_digest(reader: _Reader, contents: Contents, digest: str) -> None:
    stated = reader.manifest.digest
    if stated is not None and stated.lower() != digest:
        raise RejectedError(
            f"the model has SHA-256 {digest}, but {contents.manifest} says {stated}; the package "
            "is damaged or was changed"
        )


def _library(reader: _Reader, contents: Contents) -> tuple[Stated, str | bytes]:
    stated = read_export(reader.text(contents.metadata), reader.text(contents.variables))
    if contents.models:
        return stated, only(contents.models)
    found = {
        source: model
        for source in contents.sources
        if (model := read_array(reader.bytes_of(source, MAX_SOURCE_BYTES), source)) is not None
    }
    if not found:
        raise RejectedError(
            f"the library has no TensorFlow Lite model in it (looked into "
            f"{', '.join(contents.sources)}); {NOT_EON}"
        )
    return stated, found[only(list(found))]


def _files(reader: _Reader, contents: Contents) -> tuple[Stated, str | bytes]:
    model = only(contents.models, prefer=_TRAINED)
    if not contents.labels:
        return Stated(), model
    stated = read_labels(reader.text(contents.labels), detects=contents.detects)
    task = Task.CLASSIFICATION if contents.detects is False else None
    return replace(stated, task=task), model


def _check_directory(file: BinaryIO, size: int, name: str) -> None:
    """See that the list of files, which zipfile reads whole, is one of a sane size.

    Raises:
        RejectedError: it is not.
    """
    length = min(size, _END.size + _LONGEST_COMMENT + _LOCATOR_BYTES)
    file.seek(size - length)
    tail = file.read(length)
    file.seek(0)
    place = len(tail) - _END.size
    if not tail[place:].startswith(_END_MAGIC) or tail[-2:] != b"\0\0":
        place = tail.rfind(_END_MAGIC)
    if place < 0 or len(tail) - place < _END.size:
        raise RejectedError(f"{name} is cut off: the end of the archive is missing; get it again")
    if tail[max(0, place - _LOCATOR_BYTES) : place].startswith(_ZIP64_LOCATOR):
        raise RejectedError(
            f"{name} is written in the form for archives beyond 4 GB (ZIP64); pack it again"
        )
    directory = _END.unpack_from(tail, place)[5]
    if directory > MAX_DIRECTORY_BYTES:
        raise RejectedError(
            f"the list of files in {name} has {directory} bytes; at most {MAX_DIRECTORY_BYTES} are "
            "read, Edge Impulse writes no more than 500,000"
        )


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by name.

    Raises:
        RejectedError: it has one that no archive of Edge Impulse has.
    """
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise RejectedError(
            f"{name} has {len(infos)} files; at most {MAX_ENTRIES} are looked through"
        )
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        reason = _unwanted(info)
        plain = str(PurePosixPath(info.filename))  # "a//b" and "./a/b" are the same file as "a/b"
        if not reason and plain in members:
            reason = "is in there twice"
        if reason:
            raise RejectedError(
                f"{info.filename!r} in {name} {reason}; that is no archive of Edge Impulse"
            )
        if not info.is_dir():
            members[plain] = info
    return members


def _unwanted(info: zipfile.ZipInfo) -> str:
    parts = info.filename.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
        return "would lie outside of the archive"
    if stat.S_ISLNK(info.external_attr >> _UNIX_MODE_BITS):
        return "is a link to another file"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted: pack the archive without a password"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in an unusual way: pack the archive again as an ordinary zip"
    return ""


_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    ValueError,
    RuntimeError,
)
"""What zipfile raises over headers that contradict each other."""


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise RejectedError(f"{name} is damaged (a place before its beginning)") from error
    except _DAMAGED as error:
        raise RejectedError(f"{name} is damaged ({error}); get it again") from error


def _read(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _bounded(parts: Iterable[bytes], name: str) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > MAX_MODEL_BYTES:
            raise RejectedError(
                f"the model in {name} is larger than {MAX_MODEL_BYTES} bytes, too large for a box"
            )
        yield part


def _write(target: Path, parts: Iterable[bytes], each: Each) -> str:
    """Write a file, whole or not at all; return its SHA-256."""
    digest = hashlib.sha256()
    with storage(target.parent), target.open("xb") as file:
        try:
            for part in parts:
                digest.update(part)
                file.write(part)
                each()
        except BaseException:
            target.unlink()
            raise
    return digest.hexdigest()


def _text(content: bytes) -> str:
    return content.decode("utf-8-sig", errors="replace")
