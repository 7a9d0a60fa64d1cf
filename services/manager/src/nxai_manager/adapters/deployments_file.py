"""The deployments of cloud-sync on disk, for a start without it."""

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from nxai_common.contracts.base import MAX_PAYLOAD_BYTES, explain
from nxai_common.contracts.deployments import Deployments
from nxai_common.errors import ConfigurationError
from nxai_manager.adapters.settings_file import beside, write

SUFFIX: Final = ".deployments"


class DeploymentsFile:
    """Keeps the newest `Deployments` beside the settings file, as they came over the bus."""

    def __init__(self, settings: Path, state_dir: Path | None = None) -> None:
        self._path = beside(settings, SUFFIX, state_dir)

    def read(self) -> Deployments | None:
        """Return what was kept, or None when nothing was.

        Raises:
            ConfigurationError: it is there but cannot be used.
        """
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_PAYLOAD_BYTES)  # no message is larger, so no file of ours
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ConfigurationError(
                f"{self._path} cannot be read: {error.strerror}; {_MEANWHILE}"
            ) from error
        try:
            return Deployments.model_validate_json(content)
        except ValidationError as error:
            raise ConfigurationError(
                f"{self._path} is damaged: {explain(error)}; {_MEANWHILE}"
            ) from None

    def keep(self, deployments: Deployments) -> None:
        """Keep them for the next start.

        Raises:
            TransientError: the disk is full or the folder cannot be written.
        """
        write(self._path, deployments.model_dump_json())


_MEANWHILE = "imported models run again once cloud-sync names them"
