"""What the service needs of the world."""

from collections.abc import Mapping
from typing import Protocol

from nxai_manager.core.compile import Login


class SettingsStore(Protocol):
    """Where the settings come from. Implemented by `SettingsFile`."""

    @property
    def name(self) -> str:
        """For messages: the path of the file."""
        ...

    def read(self) -> str | None:
        """Return the text, or None when there is none.

        Raises:
            ConfigurationError: it is there but cannot be read.
        """
        ...

    def create(self, text: str) -> None:
        """Write settings where there are none.

        Raises:
            TransientError: the disk is full or read-only.
        """
        ...

    def kept(self) -> str | None:
        """Return where the last good text lies, readable or not, or None when none is kept."""
        ...

    def read_last_good(self) -> str | None:
        """Return the text that was in force last, or None when none is kept or readable."""
        ...

    def keep_last_good(self, text: str) -> None:
        """Keep the text for the next start.

        Raises:
            TransientError: the disk is full or read-only.
        """
        ...

    def wait_for_change(self, timeout: float) -> bool:
        """Return True when the text may have changed, or False after `timeout` seconds."""
        ...


class SecretStore(Protocol):
    """Where the cameras' passwords go. Implemented by `SecretsDirectory`."""

    def store(self, logins: Mapping[str, Login]) -> dict[str, str]:
        """Keep exactly these secrets, by name; return a revision of each.

        A revision changes when its secret does and tells nothing about it.

        Raises:
            TransientError: the disk is full or read-only.
        """
        ...
