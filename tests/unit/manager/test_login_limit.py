"""How often a password may be guessed, and that nobody else has to wait for it."""

import pytest

from nxai_manager.core.login_limit import (
    FORGOTTEN_AFTER_S,
    FREE_ATTEMPTS,
    FREE_OF_A_NAME,
    LONGEST_WAIT_S,
    MOST_NAMES,
    MOST_NEIGHBOURS,
    MOST_PLACES,
    LoginLimit,
    place_of,
    wait_after,
)

EVE = "10.0.0.66"
HOME = "10.0.0.5"


def waits(limit: LoginLimit, address: str, name: str, now: float, attempts: int) -> list[float]:
    """Guess wrong as soon as one may, so many times; return the waits before each."""
    found = []
    for _ in range(attempts):
        wait = limit.admit(address, name, now)
        found.append(wait)
        now += wait
        if wait:
            assert limit.admit(address, name, now) == 0.0
    return found


def hammer(limit: LoginLimit, address: str, name: str, now: float) -> float:
    """Guess wrong until one must wait the longest; return when the last guess was."""
    wait = 0.0
    while wait < LONGEST_WAIT_S:
        now += wait
        wait = limit.admit(address, name, now)
    return now


def test_five_attempts_are_free_and_then_the_wait_doubles() -> None:
    assert waits(LoginLimit(), EVE, "anna", 0.0, 14) == [
        *[0.0] * FREE_ATTEMPTS,
        *[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0],
    ]


def test_attempt_that_must_wait_counts_as_none() -> None:
    limit = LoginLimit()
    waits(limit, EVE, "anna", 0.0, FREE_ATTEMPTS)
    for now in (0.0, 0.1, 0.5, 0.9):
        assert limit.admit(EVE, "anna", now) == pytest.approx(1.0 - now)
    assert limit.admit(EVE, "anna", 1.0) == 0.0
    assert limit.admit(EVE, "anna", 1.0) == 2.0


def test_many_attempts_at_once_are_no_more_than_one_after_the_other() -> None:
    limit = LoginLimit()
    admitted = [limit.admit(EVE, f"name{n}", 0.0) == 0.0 for n in range(100)]
    assert sum(admitted) == FREE_ATTEMPTS


def test_right_password_costs_nothing() -> None:
    limit = LoginLimit()
    for now in range(100):
        assert limit.admit(HOME, "anna", float(now)) == 0.0
        limit.succeeded(HOME, "anna")
    limit.succeeded("10.0.0.7", "nobody")  # of what is not known, nothing is taken back


def test_own_password_wins_no_attempts_at_those_of_others() -> None:
    limit = LoginLimit()
    waits(limit, EVE, "anna", 0.0, FREE_ATTEMPTS)
    assert limit.admit(EVE, "eve", 1.0) == 0.0
    limit.succeeded(EVE, "eve")
    assert limit.admit(EVE, "anna", 1.5) == 0.5


def test_hammering_does_not_lock_the_user_out_elsewhere() -> None:
    limit = LoginLimit()
    now = hammer(limit, EVE, "anna", 0.0)
    for n in range(FREE_OF_A_NAME):
        limit.admit(f"10.0.1.{n}", "anna", now)
    assert limit.admit(HOME, "anna", now) == 0.0
    # Who mistypes while the name is under fire waits, but from the own last attempt on.
    wait = limit.admit(HOME, "anna", now)
    assert 0.0 < wait <= LONGEST_WAIT_S
    for later in range(60):
        limit.admit(EVE, "anna", now + later)
    assert limit.admit(HOME, "anna", now + wait) == 0.0


def test_known_browser_has_its_turn_at_the_address_of_somebody_who_hammers() -> None:
    limit = LoginLimit()
    now = hammer(limit, EVE, "anna", 0.0)
    assert limit.admit(EVE, "anna", now) == LONGEST_WAIT_S
    assert limit.admit("browser anna", "anna", now) == 0.0


def test_name_that_many_addresses_guess_has_no_free_attempts_but_the_first() -> None:
    limit = LoginLimit()
    for n in range(FREE_OF_A_NAME):
        assert limit.admit(f"10.0.1.{n}", "anna", 0.0) == 0.0
    assert limit.admit("10.0.2.1", "anna", 0.0) == 0.0  # the first of an address
    assert limit.admit("10.0.2.1", "anna", 0.0) == 2.0
    assert limit.admit("10.0.2.1", "ben", 0.0) == 0.0  # another name is not under fire
    for n in range(100):
        assert limit.admit(f"10.0.3.{n}", "anna", 1.0) == 0.0
        assert limit.admit(f"10.0.3.{n}", "anna", 1.0) > 0.0
    assert limit.admit("10.0.3.1", "anna", 1.0) == LONGEST_WAIT_S
    assert limit.admit(HOME, "anna", 2.0) == 0.0


def test_quiet_address_is_forgotten() -> None:
    limit = LoginLimit()
    now = hammer(limit, EVE, "anna", 0.0) + FORGOTTEN_AFTER_S
    assert waits(limit, EVE, "anna", now, 6) == [*[0.0] * FREE_ATTEMPTS, 1.0]


def test_waiting_pays_no_better_than_guessing_on() -> None:
    assert FORGOTTEN_AFTER_S / LONGEST_WAIT_S > FREE_ATTEMPTS


def test_memory_is_bounded_and_who_was_quiet_longest_is_forgotten() -> None:
    limit = LoginLimit()
    now = hammer(limit, EVE, "anna", 0.0)
    for n in range(2 * MOST_PLACES):
        limit.admit(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", f"name{n}", now)
    assert len(limit._places) == MOST_PLACES
    assert len(limit._names) == MOST_NAMES
    assert limit.admit(EVE, "anna", now) == 0.0


def test_address_that_goes_on_is_not_forgotten_for_new_ones() -> None:
    limit = LoginLimit()
    waits(limit, EVE, "anna", 0.0, FREE_ATTEMPTS)
    for n in range(MOST_PLACES - 1):
        limit.admit(f"10.0.{n >> 8}.{n & 255}:x", "ben", 0.5)
    assert limit.admit(EVE, "anna", 1.0) == 0.0
    for n in range(MOST_PLACES - 1):
        limit.admit(f"10.1.{n >> 8}.{n & 255}:x", "ben", 1.0)
    assert limit.admit(EVE, "anna", 1.0) == 2.0


def test_wait_has_an_end() -> None:
    assert wait_after(-1) == 0.0
    assert wait_after(0) == 1.0
    assert wait_after(10_000) == LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.0.0.5", ("10.0.0.5", "")),
        ("::ffff:10.0.0.5", ("10.0.0.5", "")),
        ("2001:DB8:1:2:3::0006", ("2001:db8:1:2:3::6", "2001:db8:1:2::/64")),
        ("fe80::1%eth0", ("fe80::1", "fe80::/64")),
        ("", ("", "")),
        ("browser anna", ("browser anna", "")),
    ],
)
def test_place_has_one_spelling(address: str, counted: tuple[str, str]) -> None:
    assert place_of(address) == counted


def test_house_with_one_ipv6_network_is_many_places() -> None:
    limit = LoginLimit()
    now = hammer(limit, "fd00::66", "anna", 0.0)
    assert limit.admit("fd00::66", "anna", now) == LONGEST_WAIT_S
    assert limit.admit("fd00::5", "anna", now) == 0.0
    limit.succeeded("fd00:0::5", "anna")
    assert waits(limit, "fd00::5", "ben", now, FREE_ATTEMPTS) == [0.0] * FREE_ATTEMPTS


def test_who_has_a_whole_ipv6_network_has_no_more_places_than_a_house() -> None:
    limit = LoginLimit()
    admitted = [
        limit.admit(f"fd00::{n:x}:{round_:x}", f"name{n}", 0.0) == 0.0
        for n in range(100)
        for round_ in range(10)
    ]
    assert sum(admitted) == MOST_NEIGHBOURS + FREE_ATTEMPTS
    assert limit.admit("fd00::9999", "ben", 0.0) > 0.0
    assert limit.admit("fd00:0:0:1::9999", "ben", 0.0) == 0.0  # of another network
    assert limit.admit("fd00::9999", "ben", FORGOTTEN_AFTER_S) == 0.0
    limit.succeeded("fd00::9998", "ben")  # of the place that the rest share, as of others
    assert limit.admit("fd00::9999", "ben", FORGOTTEN_AFTER_S) == 0.0
