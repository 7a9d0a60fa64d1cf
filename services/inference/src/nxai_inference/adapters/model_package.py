"""Model packages on disk: a folder with `manifest.json` and the model file, or a bare file.

A package is written so that a reader finds either the old or the new one, whole: the model file
gets a name of its own (with its digest), then `manifest.json` is replaced in one step, then
model files of an earlier package are removed.
"""

import contextlib
import difflib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from nxai_common.contracts.base import explain
from nxai_common.contracts.models import ModelManifest, PackageManifest
from nxai_common.errors import ConfigurationError
from nxai_inference.adapters.engines import ModelFile
from nxai_inference.core.conversion.reader import MAGIC

MANIFEST: Final = "manifest.json"
MAX_MODEL_BYTES: Final = 512 * 1024 * 1024
"""No model for an edge box is larger; a wrong path (a video, a disk image) should not fill the
memory before it is refused."""
MAX_MANIFEST_BYTES: Final = 1024 * 1024

_TFLITE_SUFFIXES: Final = (".tflite", ".lite")
"""Edge Impulse's download is called .lite."""
_SUFFIXES: Final = (*_TFLITE_SUFFIXES, ".onnx")
_NAME_DIGITS: Final = 12
_OWN_NAME: Final = re.compile(rf"model-[0-9a-f]{{{_NAME_DIGITS}}}\.(?:tflite|onnx)")
"""What `write_package` calls a model file; whatever else lies in the folder belongs to somebody."""
_KEYS: Final = sorted(PackageManifest.model_fields)
_KNOWN: Final = PackageManifest.model_fields.keys() | ModelManifest.model_fields.keys()
"""A published manifest may be kept as a package; some of its keys mean nothing there."""
_REMARKS: Final = ("_", "$")
"""How keys begin that are for people and their tools: `_comment`, `$schema`."""
_SHOWN_CHARACTERS: Final = 60
"""Of an unknown key: enough to find it."""
_ATTEMPTS: Final = 3
"""A package that is being replaced is seen half-way at most once or twice in a row."""


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model file and what its maker says of it."""

    file: ModelFile
    manifest: PackageManifest
    warnings: tuple[str, ...] = ()
    """Keys of the manifest that nobody knows: slips, or of a later version."""


def read_package(path: Path) -> ModelPackage:
    """Read a package folder, or a bare .tflite, .lite or .onnx file.

    Raises:
        ConfigurationError: missing, unreadable, not a model; names the path and what to do.
    """
    if not path.is_dir():
        return ModelPackage(read_model_file(path), PackageManifest(file=path.name))
    for attempt in range(1, _ATTEMPTS + 1):
        manifest, warnings = _read_manifest(path / MANIFEST)
        model = _model_of(path, manifest)
        if model.exists() or attempt == _ATTEMPTS:
            return ModelPackage(read_model_file(model), manifest, warnings)
    raise AssertionError("the last attempt returns or raises")


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that `read_package` reads. They need not be there.

    Raises:
        OSError: the folder cannot be read.
    """
    if not path.is_dir():
        return (path,)
    manifest = path / MANIFEST
    try:
        return manifest, _model_of(path, _read_manifest(manifest)[0])
    except ConfigurationError:
        return (manifest,)  # who reads the package is told what is wrong with it


def _model_of(folder: Path, manifest: PackageManifest) -> Path:
    model = folder / (manifest.file or _only_model(folder))
    if model.parent != folder or ".." in manifest.file:
        raise ConfigurationError(
            f"{folder / MANIFEST}: file {manifest.file!r} must be a plain file name in the same "
            "folder"
        )
    return model


def _only_model(folder: Path) -> str:
    found = sorted(n.name for n in folder.iterdir() if n.suffix.lower() in _SUFFIXES)
    if len(found) != 1:
        raise ConfigurationError(
            f"{folder}: has {len(found)} model files ({', '.join(found) or 'none'}); say in "
            f"{MANIFEST} which 'file' is meant"
        )
    return found[0]


def _read_manifest(path: Path) -> tuple[PackageManifest, tuple[str, ...]]:
    content = _read(path, MAX_MANIFEST_BYTES, "a model package needs it beside the model file")
    try:
        manifest = PackageManifest.model_validate_json(content)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {explain(error)}") from error
    given: dict[str, object] = json.loads(content)  # an object, or it would not be valid
    unknown = [key for key in given if key not in _KNOWN and not key.startswith(_REMARKS)]
    return manifest, tuple(f"{path}: {_unknown_key(key)}" for key in unknown)


def _unknown_key(key: str) -> str:
    near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(_KEYS)}"
    return f"unknown key {key[:_SHOWN_CHARACTERS]!r} is ignored; {hint}"


def read_model_file(path: Path) -> ModelFile:
    """Read a model file whole and see that it is one.

    Raises:
        ConfigurationError: missing, unreadable, empty, or neither .tflite nor .onnx.
    """
    content = _read(path, MAX_MODEL_BYTES, "check the path of the model")
    suffix = path.suffix.lower()
    if content[4:8] == MAGIC:
        return ModelFile(str(path), content, "tflite")
    if suffix in _TFLITE_SUFFIXES:
        raise ConfigurationError(
            f"{path}: not a TensorFlow Lite model: its bytes 4 to 8 are {content[4:8]!r} instead "
            f"of {MAGIC!r} ({len(content)} bytes); download it again"
        )
    if suffix == ".onnx":
        return ModelFile(str(path), content, "onnx")
    raise ConfigurationError(
        f"{path}: not a model that can be used: the file is neither TensorFlow Lite (.tflite, "
        ".lite) nor ONNX (.onnx)"
    )


def _read(path: Path, limit: int, hint: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}; {hint}") from error
    if not content:
        raise ConfigurationError(f"{path}: the file is empty; {hint}")
    if len(content) > limit:
        raise ConfigurationError(f"{path}: larger than {limit} bytes; {hint}")
    return content


def write_package(folder: Path, file: ModelFile, manifest: PackageManifest) -> Path:
    """Write or replace a package.

    Args:
        folder: The package's own folder; made when it is not there.
        file: The model.
        manifest: Its `file` and `digest` are set here.

    Returns:
        The path of the manifest.

    Raises:
        ConfigurationError: the folder cannot be written, with the reason.
    """
    suffix = ".onnx" if file.format == "onnx" else ".tflite"
    named = manifest.model_copy(
        update={"file": f"model-{file.digest[:_NAME_DIGITS]}{suffix}", "digest": file.digest}
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / named.file, file.content)
        path = folder / MANIFEST
        replace_file(path, (named.model_dump_json(indent=2, exclude_none=True) + "\n").encode())
        for old in folder.iterdir():
            if _OWN_NAME.fullmatch(old.name) and old.name != named.file and old.is_file():
                old.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: the package cannot be written: {error.strerror or error}"
        ) from error
    return path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: whole and on the disk before it has its name.

    Raises:
        OSError: the folder is missing, not writable or full; nothing is left behind.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would hide it from other services
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
