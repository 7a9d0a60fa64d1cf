"""Sessions: idle and absolute end, how many, and what is kept of them."""

import dataclasses

from nxai_manager.core.accounts import digest_of
from nxai_manager.core.sessions import (
    IDLE_S,
    KEEP_EVERY_S,
    LONGEST_S,
    MOST_OF_A_USER,
    MOST_SESSIONS,
    Session,
    Sessions,
    csrf_of,
    mark_of,
)

NOW = 1_800_000_000.0


def opened(*digests: str, user: str = "anna") -> Sessions:
    sessions = Sessions()
    for digest in digests:
        sessions.open(digest, user, "g1", NOW)
    return sessions


def test_session_is_found_by_its_digest() -> None:
    sessions = opened("d1", "d2")
    found = sessions.see("d1", NOW + 1)
    assert found == Session("d1", "anna", "g1", created_at=NOW, seen_at=NOW + 1)
    assert sessions.see("d3", NOW) is None
    assert len(sessions) == 2


def test_session_ends_when_it_is_not_used() -> None:
    sessions = opened("d1", "d2")
    assert sessions.see("d1", NOW + IDLE_S - 1) is not None
    assert sessions.see("d2", NOW + IDLE_S) is None
    assert sessions.see("d1", NOW + 2 * IDLE_S - 2) is not None  # each use begins the time anew
    assert len(sessions) == 1
    assert sessions.see("d2", NOW) is None  # the clock was put back: it does not come back


def test_session_ends_at_last_however_much_it_is_used() -> None:
    sessions = opened("d1")
    now = NOW
    while now + IDLE_S / 2 < NOW + LONGEST_S:
        now += IDLE_S / 2
        assert sessions.see("d1", now) is not None
    assert sessions.see("d1", NOW + LONGEST_S) is None


def test_clock_that_is_put_back_does_not_end_sessions() -> None:
    sessions = opened("d1")
    early = sessions.see("d1", NOW - 100 * LONGEST_S)
    assert early is not None
    assert early.seen_at == NOW
    assert sessions.see("d1", NOW + 1) is not None


def test_session_can_be_ended() -> None:
    sessions = opened("d1", "d2")
    sessions.end("d1")
    sessions.end("d1")
    assert sessions.see("d1", NOW) is None
    sessions.keep_only(lambda session: session.digest != "d2")
    assert len(sessions) == 0


def test_sessions_of_a_user_are_limited_and_do_not_push_those_of_others_out() -> None:
    sessions = opened("admin")
    for n in range(MOST_SESSIONS):
        sessions.open(f"v{n}", "viewer", "g1", NOW + 1 + n)
    assert len(sessions) == MOST_OF_A_USER + 1
    assert sessions.see("admin", NOW + 1) is not None
    assert sessions.see(f"v{MOST_SESSIONS - MOST_OF_A_USER}", NOW + 1) is not None
    assert sessions.see(f"v{MOST_SESSIONS - MOST_OF_A_USER - 1}", NOW + 1) is None


def test_sessions_are_limited_and_the_one_not_used_longest_goes() -> None:
    sessions = Sessions()
    for n in range(MOST_SESSIONS):
        sessions.open(f"d{n}", f"user{n}", "g1", NOW + n)
    sessions.see("d0", NOW + MOST_SESSIONS)
    sessions.open("new", "anna", "g1", NOW + MOST_SESSIONS + 1)
    assert len(sessions) == MOST_SESSIONS
    assert sessions.see("d0", NOW + MOST_SESSIONS + 1) is not None
    assert sessions.see("d1", NOW + MOST_SESSIONS + 1) is None
    assert sessions.see("d2", NOW + MOST_SESSIONS + 1) is not None


def test_sessions_are_written_down_when_one_begins_or_ends_and_else_seldom() -> None:
    sessions = Sessions()
    assert sessions.to_keep(NOW) is None
    sessions.open("d1", "anna", "g1", NOW)
    kept = sessions.to_keep(NOW)
    assert kept is not None
    assert sessions.to_keep(NOW) == kept  # until it was
    sessions.kept(kept)
    assert sessions.to_keep(NOW) is None
    assert sessions.to_keep(NOW, every_s=0) is None
    sessions.see("d1", NOW + KEEP_EVERY_S)
    assert sessions.to_keep(NOW + KEEP_EVERY_S) is None
    assert sessions.to_keep(NOW + KEEP_EVERY_S, every_s=0) is not None
    sessions.see("d1", NOW + KEEP_EVERY_S + 1)
    kept = sessions.to_keep(NOW + KEEP_EVERY_S + 1)
    assert kept is not None
    sessions.kept(kept)
    assert sessions.to_keep(NOW + KEEP_EVERY_S + 1 + IDLE_S) == ()  # it has ended by itself


def test_sessions_go_on_after_a_restart() -> None:
    before = opened("d1", "d2")
    kept = before.to_keep(NOW)
    assert kept is not None
    after = Sessions(kept)
    assert after.to_keep(NOW) is None
    assert after.see("d1", NOW + 1) is not None
    assert after.see("d2", NOW + IDLE_S) is None


def test_csrf_belongs_to_the_session_and_does_not_tell_its_secret() -> None:
    assert csrf_of("secret") == csrf_of("secret")
    assert len({csrf_of("secret"), csrf_of("other"), digest_of("secret")}) == 3


def test_mark_of_a_browser_is_of_one_box_user_and_password() -> None:
    marks = {
        mark_of(key, user, generation)
        for key in (b"k1", b"k2")
        for user in ("anna", "ben")
        for generation in ("g1", "g2")
    }
    assert len(marks) == 8
    assert mark_of(b"k1", "anna", "g1") in marks


def test_session_cannot_be_changed_in_passing() -> None:
    session = Session("d", "anna", "g", NOW, NOW)
    assert dataclasses.replace(session, seen_at=NOW + 1) != session
