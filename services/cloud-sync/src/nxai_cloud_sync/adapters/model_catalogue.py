"""The catalogue: plain files, one folder a version, that the inference service reads, too.

    DIGEST/manifest.json      the package's manifest, as every package of the models folder has it
    DIGEST/model-....tflite   the model file
    DIGEST/about.json         what is said of the version (for this service alone)
    .incoming-XXXX/           work under way; swept when the service starts

A version appears and goes by the renaming of its folder, so that a reader finds all of it or
nothing. What is said of it is replaced a file at a time; `about.json` comes first and holds the
manifest, too, so that `open` can finish what a crash broke off.
"""

import contextlib
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from nxai_cloud_sync.adapters.model_file import sha256_of
from nxai_cloud_sync.adapters.storage import storage
from nxai_cloud_sync.core.catalogue import (
    CatalogueVersion,
    VersionState,
    damaged,
    from_json,
    newest_first,
    superfluous,
    to_json,
)
from nxai_common.contracts.models import DIGEST_PATTERN, PackageManifest
from nxai_common.errors import InvalidPayload, RejectedError

log = logging.getLogger(__name__)

MANIFEST: Final = "manifest.json"
ABOUT: Final = "about.json"
INCOMING: Final = ".incoming-"
NAME_DIGITS: Final = 12
"""Of the digest, in the name of the model file: as packages of the models folder have it."""
MAX_ABOUT_BYTES: Final = 1024 * 1024
"""Two hundred times a large one."""
FOLDER_MODE: Final = 0o755
FILE_MODE: Final = 0o644
"""Another user runs the inference service."""

_DIGEST: Final = re.compile(DIGEST_PATTERN)

Signature = tuple[int, int, int]
"""Inode, size and time of a file: differs once it was replaced."""


class ModelCatalogue:
    """Implements `ports.Catalogue`. Safe from several threads of one process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._read: dict[str, tuple[Signature, CatalogueVersion]] = {}

    def open(self) -> None:
        """Make the folder, remove what a crash left, finish what it broke off.

        Raises:
            StorageUnavailable: the folder cannot be used.
        """
        with self._lock, storage(self._folder):
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True)
                self._folder.chmod(FOLDER_MODE)
            for left in self._folder.glob(f"{INCOMING}*"):
                log.info("removing %s, which was left by a crash", left.name)
                shutil.rmtree(left, ignore_errors=True)
            for digest in self._digests():
                with contextlib.suppress(OSError, InvalidPayload):  # listed as damaged
                    self._mend(self._folder / digest)

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """Make a folder for files on their way into the catalogue; see `ports.Catalogue`."""
        with storage(self._folder):
            work = Path(tempfile.mkdtemp(prefix=INCOMING, dir=self._folder))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def store(self, file: Path, manifest: PackageManifest, version: CatalogueVersion) -> None:
        """Keep a version; see `ports.Catalogue`."""
        with self._lock, storage(self._folder), self.incoming() as work:
            named = manifest.model_copy(
                update={"file": _model_name(file, version.digest), "digest": version.digest}
            )
            target = self._folder / version.digest
            if _holds(target / named.file, version.digest):
                _replace(target / ABOUT, to_json(version, named))
                _replace(target / MANIFEST, _manifest_json(named))
                file.unlink()
                return
            fresh = work / version.digest
            fresh.mkdir()
            shutil.move(file, fresh / named.file)
            (fresh / named.file).chmod(FILE_MODE)
            _flush(fresh / named.file)
            _write(fresh / MANIFEST, _manifest_json(named))
            _write(fresh / ABOUT, to_json(version, named))
            fresh.chmod(FOLDER_MODE)
            _flush(fresh)
            if target.exists():  # damaged
                target.rename(work / "damaged")
            fresh.rename(target)
            _flush(self._folder)

    def versions(self) -> tuple[CatalogueVersion, ...]:
        """Return all, newest first; see `ports.Catalogue`."""
        with self._lock, storage(self._folder):
            found = [self._look(digest) for digest in self._digests()]
            for gone in self._read.keys() - {version.digest for version in found}:
                del self._read[gone]
            return newest_first(found)

    def get(self, digest: str) -> CatalogueVersion | None:
        """Return one; see `ports.Catalogue`."""
        with self._lock, storage(self._folder):
            if not _DIGEST.fullmatch(digest) or not (self._folder / digest).is_dir():
                return None
            return self._look(digest)

    def manifest(self, digest: str) -> PackageManifest | None:
        """Return the manifest of its package; see `ports.Catalogue`."""
        with self._lock, storage(self._folder):
            if not _DIGEST.fullmatch(digest):
                return None
            try:
                return _read_about(self._folder / digest / ABOUT)[1]
            except (FileNotFoundError, InvalidPayload):
                return None

    def update(self, version: CatalogueVersion) -> None:
        """Change what is said of one; see `ports.Catalogue`."""
        with self._lock, storage(self._folder):
            about = self._folder / version.digest / ABOUT
            try:
                _, manifest = _read_about(about)
            except FileNotFoundError:
                raise RejectedError(
                    f"there is no version {version.digest[:NAME_DIGITS]} in the catalogue"
                ) from None
            except InvalidPayload as error:
                raise RejectedError(f"version {version.digest[:NAME_DIGITS]}: {error}") from error
            _replace(about, to_json(version, manifest))

    def delete(self, digest: str) -> None:
        """Remove one and its files; see `ports.Catalogue`."""
        with self._lock, storage(self._folder), self.incoming() as work:
            if _DIGEST.fullmatch(digest):
                with contextlib.suppress(FileNotFoundError):
                    (self._folder / digest).rename(work / digest)

    def prune(self, keep_per_model: int, in_use: Collection[str]) -> tuple[CatalogueVersion, ...]:
        """Remove old versions; see `ports.Catalogue`."""
        with self._lock:
            going = superfluous(self.versions(), keep_per_model, in_use)
            for version in going:
                log.info("removing version %s of model %s", version.version, version.model)
                self.delete(version.digest)
            return going

    def _digests(self) -> list[str]:
        return sorted(
            path.name
            for path in self._folder.iterdir()
            if _DIGEST.fullmatch(path.name) and path.is_dir()
        )

    def _look(self, digest: str) -> CatalogueVersion:
        """Return a version, read again only when its record was replaced."""
        folder = self._folder / digest
        try:
            at = (folder / ABOUT).stat()
            signature = (at.st_ino, at.st_size, at.st_mtime_ns)
            known = self._read.get(digest)
            if known is None or known[0] != signature:
                known = (signature, _read_about(folder / ABOUT)[0])
                self._read[digest] = known
            version = known[1]
            if version.digest != digest:
                return damaged(digest, f"{folder / ABOUT} is that of another version")
            return _with_files(folder, version)
        except InvalidPayload as error:
            return damaged(digest, str(error))
        except OSError as error:
            return damaged(digest, f"{folder / ABOUT} cannot be read: {error.strerror}")

    def _mend(self, folder: Path) -> None:
        """Bring a manifest up to what `about.json` says, if a crash came in between."""
        version, manifest = _read_about(folder / ABOUT)
        wanted = _manifest_json(manifest)
        if version.digest == folder.name and (folder / MANIFEST).read_bytes() != wanted:
            log.info("finishing the change of version %s", version.version)
            _replace(folder / MANIFEST, wanted)
        for left in folder.glob(".*.new"):
            left.unlink()


def _with_files(folder: Path, version: CatalogueVersion) -> CatalogueVersion:
    """Return the version, refused when its files are not there."""
    model = next(folder.glob("model-*"), None)
    if model is not None and (folder / MANIFEST).is_file():
        return version
    missing = MANIFEST if model is not None else "the model file"
    return replace(
        version,
        state=VersionState.REFUSED,
        reason=f"{missing} is missing in {folder}; import the version again, or delete it",
    )


def _model_name(file: Path, digest: str) -> str:
    return f"model-{digest[:NAME_DIGITS]}{file.suffix.lower()}"


def _manifest_json(manifest: PackageManifest) -> bytes:
    return (manifest.model_dump_json(indent=2, exclude_none=True) + "\n").encode()


def _read_about(path: Path) -> tuple[CatalogueVersion, PackageManifest]:
    try:
        with path.open("rb") as file:
            return from_json(file.read(MAX_ABOUT_BYTES))
    except InvalidPayload as error:
        raise InvalidPayload(
            f"{path} is damaged: {error}; import the version again, or delete it"
        ) from error


def _holds(path: Path, digest: str) -> bool:
    try:
        return sha256_of(path) == digest
    except OSError:
        return False


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), FILE_MODE)
        os.fsync(file.fileno())


def _replace(path: Path, content: bytes) -> None:
    """Replace a file in one step; the old one stays when that fails."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        _write(fresh, content)
        fresh.replace(path)
        _flush(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """Bring a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
