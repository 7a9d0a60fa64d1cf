"""Passwords hashed with argon2id, at most two at once."""

import asyncio
import base64
import logging
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import argon2
from argon2.exceptions import (
    HashingError,
    InvalidHashError,
    VerificationError,
    VerifyMismatchError,
)

from nxai_common.errors import TransientError
from nxai_manager.core.accounts import encoded, normal_password

log = logging.getLogger(__name__)

R = TypeVar("R")

MEMORY_KIB: Final = 19 * 1024
"""OWASP's least for argon2id with two passes (Password Storage Cheat Sheet); with more memory a
box of 512 MB would feel a login."""
PASSES: Final = 5
"""Some 45 ms on a core of a server, 150 ms on a small box: two and a half times OWASP's least."""
AT_ONCE: Final = 2
"""38 MiB and two cores, however many log in."""
MOST_WAITING: Final = 20
"""Half a second to three seconds of work; who comes later is told to come again."""
NO_MEMORY: Final = "Memory allocation"
"""In the text of an error, which has no code."""
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_MARK_BYTES: Final = 8


class TooManyAtOnceError(TransientError):
    """More want to log in at this moment than the box can hash passwords."""


class Argon2Hasher:
    """Makes and compares hashes, in threads of its own."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._argon2 = argon2.PasswordHasher(
            time_cost=passes,
            memory_cost=memory_kib,
            parallelism=1,
            hash_len=_HASH_BYTES,
            salt_len=_SALT_BYTES,
        )
        # Of no password: comparing with it is as much work as with that of a user.
        self._nobody = (
            f"$argon2id$v=19$m={memory_kib},t={passes},p=1"
            f"${_base64(secrets.token_bytes(_SALT_BYTES))}${_base64(secrets.token_bytes(_HASH_BYTES))}"
        )
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
        self._lock = threading.Lock()
        self._under_way = 0

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    async def make(self, password: str) -> str:
        """Return a new hash.

        Raises:
            TooManyAtOnceError: too many wait.
            TransientError: the memory does not suffice now.
        """
        return await self._in_turn(lambda: self.make_here(password))

    async def fits(self, hashed: str | None, password: str) -> bool:
        """Return whether this is the password; for None (there is no such user) after as much work.

        Raises:
            TooManyAtOnceError: too many wait.
            TransientError: the memory does not suffice now.
        """
        return await self._in_turn(lambda: self.fits_here(hashed, password))

    def is_outdated(self, hashed: str) -> bool:
        """Return whether it was made with other parameters than hashes are now."""
        return self._argon2.check_needs_rehash(hashed)

    def mark(self) -> str:
        """Return what sets a password apart from every other of this user, or of a namesake."""
        return secrets.token_hex(_MARK_BYTES)

    def make_here(self, password: str) -> str:
        """As `make`, in the caller's thread."""
        try:
            return self._argon2.hash(_bytes(password))
        except HashingError as error:
            raise TransientError(f"the password cannot be hashed now: {error}") from None

    def fits_here(self, hashed: str | None, password: str) -> bool:
        """As `fits`, in the caller's thread."""
        try:
            self._argon2.verify(hashed or self._nobody, _bytes(password))
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError) as error:
            if NO_MEMORY in str(error):
                raise TransientError(f"the password cannot be checked now: {error}") from None
            log.error("a password hash of accounts.json is damaged: %s", error)  # noqa: TRY400 - there is no more to say
            return False
        return True

    async def _in_turn(self, work: Callable[[], R]) -> R:
        with self._lock:
            if self._under_way >= AT_ONCE + MOST_WAITING:
                raise TooManyAtOnceError(
                    "too many log in at this moment; try again in some seconds"
                )
            self._under_way += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._done)  # also of one that nobody waits for any more
        return await asyncio.wrap_future(future)

    def _done(self, _future: Future[R]) -> None:
        with self._lock:
            self._under_way -= 1


def _bytes(password: str) -> bytes:
    return encoded(normal_password(password))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).rstrip(b"=").decode()
