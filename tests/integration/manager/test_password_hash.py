"""Passwords, with the real argon2id."""

import asyncio
import threading
from collections.abc import Iterator

import argon2
import pytest
from argon2.exceptions import HashingError, VerificationError

from nxai_common.errors import TransientError
from nxai_manager.adapters.password_hash import (
    AT_ONCE,
    MEMORY_KIB,
    MOST_WAITING,
    PASSES,
    Argon2Hasher,
    TooManyAtOnceError,
)

STRANGE = 'a@b:c/d#e?f%g"h 🔑 \x00 ü'


@pytest.fixture
def hasher() -> Iterator[Argon2Hasher]:
    made = Argon2Hasher(memory_kib=64, passes=1)
    yield made
    made.close()


@pytest.fixture
def real() -> Iterator[Argon2Hasher]:
    made = Argon2Hasher()
    yield made
    made.close()


def test_password_of_any_characters_fits_its_hash_and_no_other(hasher: Argon2Hasher) -> None:
    async def scenario() -> None:
        hashed = await hasher.make(STRANGE)
        assert STRANGE not in hashed
        assert await hasher.fits(hashed, STRANGE)
        for other in (STRANGE[:-1], STRANGE + " ", STRANGE.replace("\x00", ""), ""):
            assert not await hasher.fits(hashed, other)
        assert await hasher.make(STRANGE) != hashed  # salted

    asyncio.run(scenario())


def test_accent_is_the_same_however_it_is_typed(hasher: Argon2Hasher) -> None:
    assert hasher.fits_here(hasher.make_here("K\u00f6nigsweg 12"), "Ko\u0308nigsweg 12")


def test_half_a_character_is_no_crash(hasher: Argon2Hasher) -> None:
    assert not hasher.fits_here(hasher.make_here("one password"), "\udcff")


def test_parameters_are_those_that_are_stated(real: Argon2Hasher) -> None:
    hashed = real.make_here("correct horse battery staple")
    assert hashed.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1$")
    # OWASP Password Storage Cheat Sheet: at least m=19456 with t=2.
    assert MEMORY_KIB >= 19456
    assert PASSES >= 2
    assert AT_ONCE * MEMORY_KIB <= 64 * 1024


def test_nobody_has_a_password_and_it_is_as_much_work(
    real: Argon2Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []
    verify = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, hashed: str, password: bytes) -> bool:
        verified.append(argon2.extract_parameters(hashed))
        return verify(self, hashed, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    assert real.fits_here(real.make_here("a password"), "a password")
    assert not real.fits_here(None, "a password")
    assert not real.fits_here(None, "")
    assert len(verified) == 3
    assert verified[0] == verified[1] == verified[2]


def test_hash_of_other_parameters_is_outdated(hasher: Argon2Hasher, real: Argon2Hasher) -> None:
    hashed = hasher.make_here("a password")
    assert not hasher.is_outdated(hashed)
    assert real.is_outdated(hashed)
    assert real.fits_here(hashed, "a password")


@pytest.mark.parametrize("damaged", ["$argon2id$v=19$m=64,t=1,p=1$c2FsdA", "$argon2id$x", "plain"])
def test_damaged_hash_opens_nothing(
    hasher: Argon2Hasher, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not hasher.fits_here(damaged, "a password")
    assert "a password hash of accounts.json is damaged" in caplog.text


def test_no_memory_is_a_reason_to_try_again(
    hasher: Argon2Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = hasher.make_here("a password")

    def fails(error: Exception) -> object:
        def fail(*_args: object) -> None:
            raise error

        return fail

    reason = "Memory allocation error"
    monkeypatch.setattr(argon2.PasswordHasher, "verify", fails(VerificationError(reason)))
    monkeypatch.setattr(argon2.PasswordHasher, "hash", fails(HashingError(reason)))
    with pytest.raises(TransientError, match="cannot be checked now: Memory allocation error"):
        hasher.fits_here(hashed, "a password")
    with pytest.raises(TransientError, match="cannot be hashed now: Memory allocation error"):
        hasher.make_here("a password")


def test_two_are_hashed_at_once_some_wait_and_the_rest_is_told_to_come_again(
    hasher: Argon2Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, lock = threading.Event(), threading.Lock()
    now, most = 0, 0

    def slow(self: argon2.PasswordHasher, hashed: str, password: bytes) -> bool:  # noqa: ARG001 - as it is called
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        go.wait(30)
        with lock:
            now -= 1
        return True

    monkeypatch.setattr(argon2.PasswordHasher, "verify", slow)

    async def scenario() -> None:
        room = AT_ONCE + MOST_WAITING
        waiting = [asyncio.create_task(hasher.fits("x", "a password")) for _ in range(room)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyAtOnceError, match="too many log in at this moment"):
            await hasher.fits("x", "a password")
        waiting[-1].cancel()  # its browser is gone
        await asyncio.gather(waiting[-1], return_exceptions=True)
        waiting[-1] = asyncio.create_task(hasher.fits("x", "a password"))
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(*waiting) == [True] * room
        assert await hasher.fits("x", "a password")

    asyncio.run(scenario())
    assert most == AT_ONCE


def test_hashing_leaves_the_event_loop_free(real: Argon2Hasher) -> None:
    async def scenario() -> int:
        turns, hashing = 0, asyncio.create_task(real.make("correct horse battery staple"))
        while not hashing.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(scenario()) > 10  # it would be one or two


def test_marks_differ(hasher: Argon2Hasher) -> None:
    assert len({hasher.mark() for _ in range(100)}) == 100
