"""The folder in which the publisher finds secrets of destinations: none travels over MQTT."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from nxai_common.contracts.destinations import SecretReference
from nxai_common.errors import TransientError
from nxai_manager.adapters.secrets_directory import FOLDER_MODE, write_private

_NAME = TypeAdapter(SecretReference)


class _File(BaseModel):
    value: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptSecret:
    """A secret that is kept, without itself."""

    name: str
    hosts: tuple[str, ...] | None
    """It goes to these alone; None: a file that somebody put there by hand goes to any."""
    changed_at: datetime


class OutputSecrets:
    """Writes ``NAME.json``: ``{"value", "hosts"}``, mode 0600. A plain ``NAME`` is a person's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def kept(self) -> list[KeptSecret]:
        """Return what is there, by name.

        Raises:
            TransientError: the folder cannot be read.
        """
        try:
            paths = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
            return sorted(self._found(paths), key=lambda secret: secret.name)
        except OSError as error:
            raise TransientError(
                f"secrets cannot be read in {self._folder}: {error.strerror}"
            ) from error

    def keep(self, name: str, value: str, hosts: Sequence[str]) -> None:
        """Keep a secret, instead of one of that name.

        Raises:
            TransientError: the disk is full or the folder cannot be written.
        """
        content = _File(value=value, hosts=tuple(hosts))
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_private(self._folder / f"{name}.json", content.model_dump_json())
        except OSError as error:
            raise TransientError(
                f"a secret cannot be written to {self._folder}: {error.strerror}; make room, or "
                "point NXAI_MANAGER_OUTPUT_SECRETS_DIR at a folder that this user may write"
            ) from error

    def forget(self, name: str) -> bool:
        """Remove a secret; False when there was none.

        Raises:
            TransientError: it cannot be removed.
        """
        there = False
        try:
            for path in (self._folder / f"{name}.json", self._folder / name):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    path.unlink()
                    there = True
        except OSError as error:
            raise TransientError(
                f"a secret cannot be removed from {self._folder}: {error.strerror}"
            ) from error
        return there

    def _found(self, paths: Sequence[Path]) -> Iterator[KeptSecret]:
        bound = {path.stem: path for path in paths if path.suffix == ".json"}
        plain = {path.name: path for path in paths if path.suffix != ".json"}
        # Where there are both, the publisher takes the one with hosts.
        for name, path in (plain | bound).items():
            if _is_name(name):
                changed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                yield KeptSecret(name, _hosts(path) if name in bound else None, changed_at)


def _is_name(text: str) -> bool:
    try:
        return bool(_NAME.validate_python(text))
    except ValidationError:
        return False


def _hosts(path: Path) -> tuple[str, ...]:
    try:
        return _File.model_validate_json(path.read_bytes()).hosts
    except ValidationError:  # its text quotes the value
        return ()
