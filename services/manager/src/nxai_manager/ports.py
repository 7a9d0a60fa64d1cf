"""What the service needs of the world."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from nxai_common.contracts.deployments import Deployments
from nxai_manager.core.accounts import Accounts
from nxai_manager.core.compile import Login
from nxai_manager.core.history import Author, Entry
from nxai_manager.core.sessions import Kept


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

    def glance(self) -> str | None:
        """Return the text as `read` does, from any thread; a change is still one afterwards.

        Raises:
            ConfigurationError: it is there but cannot be read.
        """
        ...

    def written_at(self) -> datetime | None:
        """Return when the text was written last, or None when there is none."""
        ...

    def replace(self, before: str | None, text: str) -> bool:
        """Write a text in the place of `before` (None: of none), from any thread.

        Returns:
            Whether `before` was there indeed; else nothing is written.

        Raises:
            ConfigurationError: what is there cannot be read.
            TransientError: the disk is full or read-only.
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

    def changed(self) -> bool:
        """Return whether the text may have changed since it was read."""
        ...

    def watch(self, notify: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `notify`, from any thread, when the text may have changed.

        Not every store can tell: `changed` is to be asked now and then as well.
        """
        ...


class DeploymentsStore(Protocol):
    """Where the newest deployments are kept. Implemented by `DeploymentsFile`."""

    def read(self) -> Deployments | None:
        """Return what was kept, or None when nothing was.

        Raises:
            ConfigurationError: it is there but cannot be used.
        """
        ...

    def keep(self, deployments: Deployments) -> None:
        """Keep them for the next start.

        Raises:
            TransientError: the disk is full or read-only.
        """
        ...


class HistoryStore(Protocol):
    """Where the settings of before are kept. Implemented by `HistoryFolder`."""

    def revision(self, text: str | None) -> str:
        """Return what tells a text apart from others, and nothing about it; '' for none."""
        ...

    def entries(self) -> tuple[Entry, ...]:
        """Return what is kept, newest first.

        Raises:
            TransientError: it cannot be read.
        """
        ...

    def read(self, name: str) -> tuple[Entry, str]:
        """Return an entry and its text.

        Raises:
            NoSuchEntry: there is none of this name.
        """
        ...

    def add(
        self,
        text: str,
        at: datetime,
        author: Author,
        *,
        used: bool,
        changes: tuple[str, ...],
        more_changes: int,
    ) -> Entry:
        """Keep a text, and let go of what has no room beside it.

        Raises:
            TransientError: the disk is full or read-only.
        """
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


class AccountsStore(Protocol):
    """Where users and tokens are kept. Implemented by `AccountsFile`."""

    @property
    def name(self) -> str:
        """For messages: the path of the file."""
        ...

    def read(self) -> Accounts | None:
        """Return what is kept, or None when nothing is.

        Raises:
            ConfigurationError: it is there but cannot be used.
        """
        ...

    def changed(self) -> bool:
        """Return whether it may have changed since it was read."""
        ...

    def update(self, change: Callable[[Accounts | None], Accounts]) -> Accounts:
        """Read, change and write as one step; return what is kept now.

        Raises:
            ConfigurationError: what is there cannot be used.
            TransientError: the disk is full or read-only.
        """
        ...


class SessionsStore(Protocol):
    """Where sessions outlive the process. Implemented by `SessionsFile`."""

    def read(self) -> Kept:
        """Return what was kept, or nothing."""
        ...

    def keep(self, kept: Kept) -> None:
        """Keep them for the next start.

        Raises:
            TransientError: the disk is full or read-only.
        """
        ...


class PasswordHasher(Protocol):
    """Makes and compares hashes of passwords. Implemented by `Argon2Hasher`."""

    async def make(self, password: str) -> str:
        """Return a new hash.

        Raises:
            TransientError: not now.
        """
        ...

    async def fits(self, hashed: str | None, password: str) -> bool:
        """Return whether this is the password; never for None, which is as much work.

        Raises:
            TransientError: not now.
        """
        ...

    def is_outdated(self, hashed: str) -> bool:
        """Return whether it is to be made anew when the password is known."""
        ...

    def mark(self) -> str:
        """Return what sets a password apart from every other of this user, or of a namesake."""
        ...
