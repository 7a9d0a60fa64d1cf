"""The folder in which cloud-sync finds an API key: no key travels over MQTT."""

import contextlib
from pathlib import Path
from typing import Final

from nxai_common.errors import TransientError
from nxai_manager.adapters.secrets_directory import FOLDER_MODE, write_private

FILE: Final = "edge-impulse-key"
"""As cloud-sync looks for it."""


class KeyHandover:
    """Leaves a key for cloud-sync, which takes it away with the next link."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def leave_key(self, key: str) -> None:
        """Leave a key there, readable by this user alone.

        Raises:
            TransientError: the disk is full or the folder cannot be written.
        """
        try:
            self._path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_private(self._path, f"{key}\n")
        except OSError as error:
            raise TransientError(
                f"the key cannot be handed over in {self._path.parent}: {error.strerror}; make "
                "room, or point NXAI_MANAGER_HANDOVER_DIR at a folder that this user may write"
            ) from error

    def take_back(self) -> None:
        """Remove a key that nobody took."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
