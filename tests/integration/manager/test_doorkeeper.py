"""Who comes in, with real files and real hashes: what no single request shows."""

import asyncio
import io
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from nxai_common.contracts.status import Problem
from nxai_common.errors import ConfigurationError, TransientError
from nxai_manager.__main__ import main
from nxai_manager.adapters import accounts_file
from nxai_manager.adapters.accounts_file import AccountsFile
from nxai_manager.adapters.password_hash import TooManyAtOnceError
from nxai_manager.adapters.sessions_file import SessionsFile
from nxai_manager.core.accounts import (
    AccountRefused,
    Accounts,
    NoSuchAccount,
    NotAllowed,
    PasswordRefused,
    Role,
    Scope,
)
from nxai_manager.core.login_limit import FREE_ATTEMPTS, LONGEST_WAIT_S
from nxai_manager.core.sessions import IDLE_S, LONGEST_S
from nxai_manager.doorkeeper import Doorkeeper, MustWaitError, Opened, WrongPasswordError
from support.accounts import BoxTime, CountedHasher
from support.waiting import wait_for

T = TypeVar("T")

PASSWORD = 'a@b:c/d#e?f%g"h 🔑'
OTHER = "correct horse battery staple"
HOME, EVE = "10.0.0.5", "10.0.0.66"


class Door:
    """A doorkeeper whose asynchronous methods are waited for."""

    def __init__(
        self, keeper: Doorkeeper, hasher: CountedHasher, time: BoxTime, folder: Path
    ) -> None:
        self.keeper, self.hasher, self.time, self.folder = keeper, hasher, time, folder

    def do(self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(doing)

    def set_up(self) -> Opened:
        return self.do(self.keeper.set_up("anna", PASSWORD))

    def log_in(
        self, name: str = "anna", password: str = PASSWORD, address: str = HOME, mark: str = ""
    ) -> Opened:
        return self.do(self.keeper.log_in(name, password, address, mark))

    def wrong(self, name: str = "anna", address: str = EVE, mark: str = "") -> None:
        with pytest.raises(WrongPasswordError):
            self.log_in(name, "not the password", address, mark)

    def hammer(self, address: str = EVE, name: str = "anna") -> None:
        """Guess from an address until it must wait the longest."""
        while True:
            try:
                self.wrong(name, address)
            except MustWaitError as wait:
                if wait.seconds >= LONGEST_WAIT_S:
                    return
                self.time.pass_by(wait.seconds)

    @property
    def problems(self) -> dict[str, str]:
        return {problem.about: problem.reason for problem in self.keeper.problems()}


Make = Callable[..., Any]


@contextmanager
def opened(folder: Path, time: BoxTime | None = None, passes: int = 1) -> Iterator[Door]:
    time, hasher = time or BoxTime(), CountedHasher(passes=passes)
    keeper = Doorkeeper(
        AccountsFile(folder),
        SessionsFile(folder),
        hasher,
        now=time.now,
        monotonic=time.monotonic,
    )
    with keeper:
        yield Door(keeper, hasher, time, folder)
    hasher.close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture
def home(door: Door) -> Door:
    door.set_up()
    return door


# -- the first user -------------------------------------------------------------------------------


def test_first_user_is_an_admin_and_logged_in(door: Door) -> None:
    assert not door.keeper.is_set_up()
    first = door.set_up()
    assert (first.who.name, first.who.role, first.who.how) == ("anna", Role.ADMIN, "session")
    assert first.who.scopes == set(Scope)
    assert door.keeper.is_set_up()
    assert door.keeper.by_session(first.secret) == first.who
    assert first.secret not in repr(first)
    with pytest.raises(AccountRefused, match="set up already; log in"):
        door.set_up()


def test_of_two_who_are_first_one_is(door: Door) -> None:
    async def race() -> list[Opened | BaseException]:
        both = (door.keeper.set_up(name, PASSWORD) for name in ("anna", "ben"))
        return await asyncio.gather(*both, return_exceptions=True)

    [won] = [each for each in door.do(race()) if isinstance(each, Opened)]
    assert [user.name for user in door.keeper.users()] == [won.who.name]


def test_first_password_must_do(door: Door) -> None:
    for password in ("short", "password123", "Anna-Anna-"):
        with pytest.raises(PasswordRefused):
            door.do(door.keeper.set_up("anna-", password))
    assert not door.keeper.is_set_up()
    assert not (door.folder / "accounts.json").exists()


def test_nobody_logs_in_before_there_are_accounts(door: Door) -> None:
    door.wrong()
    assert door.keeper.by_session("") is None
    assert door.keeper.by_token("nxai_") is None


# -- logging in -----------------------------------------------------------------------------------


def test_login_opens_a_session_of_its_own(home: Door) -> None:
    one, two = home.log_in(), home.log_in("  Anna ")
    assert len({one.secret, two.secret, one.who.csrf, two.who.csrf}) == 4
    assert home.keeper.by_session(one.secret) == one.who
    home.do(home.keeper.log_out(one.who))
    assert home.keeper.by_session(one.secret) is None
    assert home.keeper.by_session(two.secret) == two.who


def test_unknown_name_is_as_much_work_as_a_wrong_password(home: Door) -> None:
    home.wrong("anna")
    home.wrong("nobody")
    home.wrong("no such name at all/../")
    assert home.hasher.looked_at == [True, False, False]


def test_wrong_name_and_wrong_password_are_told_alike(home: Door) -> None:
    reasons = set()
    for name in ("anna", "nobody"):
        with pytest.raises(WrongPasswordError) as caught:
            home.log_in(name, "not the password")
        reasons.add(str(caught.value))
    assert reasons == {"the name or the password is not right"}


def test_log_names_no_name_that_may_be_a_password(
    home: Door, caplog: pytest.LogCaptureFixture
) -> None:
    home.wrong("my secret 12")
    home.wrong("anna")
    told = [(r.__dict__.get("user"), r.__dict__.get("address")) for r in caplog.records]
    assert told[-2:] == [("nobody known", EVE), ("anna", EVE)]
    assert "my secret 12" not in caplog.text
    assert home.keeper.counters()["logins_refused"] == 2


def test_guessing_takes_time_and_no_hashing(home: Door) -> None:
    for _ in range(FREE_ATTEMPTS):
        home.wrong()
    work = len(home.hasher.looked_at)
    for _ in range(10):
        with pytest.raises(MustWaitError, match="too many attempts; try again in 1 s") as caught:
            home.log_in(address=EVE)  # even the right one
        assert caught.value.seconds == 1
    assert len(home.hasher.looked_at) == work
    home.time.pass_by(1)
    assert home.log_in(address=EVE).who.name == "anna"


def test_hammering_locks_nobody_out(home: Door) -> None:
    before = home.log_in()
    home.hammer()
    assert home.keeper.by_session(before.secret) is not None
    assert home.log_in(address=HOME).who.name == "anna"
    with pytest.raises(MustWaitError):
        home.log_in(address=EVE)
    # At the same address, as behind a proxy, a browser is known by its earlier login.
    assert home.log_in(address=EVE, mark=before.mark).who.name == "anna"
    for mark in (before.mark[:-1], before.mark + "x", "\udcff", "x"):
        with pytest.raises(MustWaitError):
            home.log_in(address=EVE, mark=mark)


def test_mark_is_good_for_one_user_and_password_and_guesses_no_faster(home: Door) -> None:
    first = home.log_in()
    home.do(home.keeper.add_user(first.who, "ben", Role.VIEWER, PASSWORD))
    home.hammer(name="ben")
    with pytest.raises(MustWaitError):
        home.log_in("ben", address=EVE, mark=first.mark)
    for _ in range(FREE_ATTEMPTS):
        home.wrong("anna", EVE, first.mark)
    with pytest.raises(MustWaitError):
        home.log_in("anna", address=EVE, mark=first.mark)
    home.time.pass_by(LONGEST_WAIT_S)
    home.do(home.keeper.change_password(first.who, PASSWORD, OTHER))
    home.hammer()
    with pytest.raises(MustWaitError):
        home.log_in("anna", OTHER, address=EVE, mark=first.mark)


def test_attempt_that_was_never_looked_at_does_not_count(home: Door) -> None:
    home.hasher.fail = TooManyAtOnceError("too many")
    for _ in range(2 * FREE_ATTEMPTS):
        with pytest.raises(TooManyAtOnceError):
            home.log_in()
    home.hasher.fail = None
    assert home.log_in().who.name == "anna"


def test_hash_is_made_anew_when_its_parameters_changed(tmp_path: Path) -> None:
    with opened(tmp_path) as door:
        door.set_up()
        before = door.log_in()
    old = (tmp_path / "accounts.json").read_text()
    assert ",t=1," in old
    with opened(tmp_path, passes=2) as door:
        door.log_in()
        new = (tmp_path / "accounts.json").read_text()
        assert ",t=2," in new
        assert door.keeper.by_session(before.secret) is not None  # it is the same password
        door.log_in()
        assert (tmp_path / "accounts.json").read_text() == new


def test_full_disk_keeps_nobody_out(home: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(accounts_file, "write_private", full)
    monkeypatch.setattr("nxai_manager.adapters.settings_file.write_private", full)
    monkeypatch.setattr(home.hasher, "is_outdated", lambda _hashed: True)
    session = home.log_in()
    assert home.keeper.by_session(session.secret) is not None
    assert "No space left on device" in home.problems["sessions"]
    with pytest.raises(TransientError, match="No space left on device; make room"):
        home.do(home.keeper.add_user(session.who, "ben", Role.VIEWER, PASSWORD))
    monkeypatch.undo()
    home.time.pass_by(60)
    wait_for(lambda: not home.problems)
    assert len(json.loads((home.folder / "sessions.json").read_text())["sessions"]) == 2


# -- sessions -------------------------------------------------------------------------------------


def test_session_ends_unused_and_at_last(home: Door) -> None:
    session = home.log_in()
    home.time.pass_by(IDLE_S - 1)
    assert home.keeper.holds(session.who)  # a wall that only looks stays
    home.time.pass_by(IDLE_S - 1)
    assert home.keeper.holds(session.who)
    home.time.pass_by(IDLE_S)
    assert not home.keeper.holds(session.who)
    assert home.keeper.by_session(session.secret) is None
    session, begin = home.log_in(), home.time.monotonic()
    while home.time.monotonic() - begin < LONGEST_S - IDLE_S:
        home.time.pass_by(IDLE_S - 1)
        assert home.keeper.by_session(session.secret) is not None
    home.time.pass_by(IDLE_S - 1)
    assert home.keeper.by_session(session.secret) is None


def test_sessions_outlive_the_process_and_their_secrets_are_not_kept(tmp_path: Path) -> None:
    time = BoxTime()
    with opened(tmp_path, time) as door:
        door.set_up()
        used, idle, ended = door.log_in(), door.log_in(), door.log_in()
        time.pass_by(IDLE_S - 10)
        assert door.keeper.by_session(used.secret) is not None
        door.do(door.keeper.log_out(ended.who))
    kept = (tmp_path / "sessions.json").read_text() + (tmp_path / "accounts.json").read_text()
    for session in (used, idle, ended):
        assert session.secret not in kept
        assert session.who.csrf not in kept
        assert session.mark not in kept
    time.pass_by(11)
    with opened(tmp_path, time) as door:
        assert door.keeper.by_session(used.secret) == used.who
        assert door.keeper.by_session(idle.secret) is None
        assert door.keeper.by_session(ended.secret) is None
        door.hammer()
        assert door.log_in(address=EVE, mark=used.mark).who.name == "anna"


def test_new_password_ends_all_other_sessions(home: Door) -> None:
    one, other = home.log_in(), home.log_in()
    changed = home.do(home.keeper.change_password(one.who, PASSWORD, OTHER))
    assert home.keeper.by_session(changed.secret) == changed.who
    assert changed.who.csrf != one.who.csrf
    for ended in (one, other):
        assert home.keeper.by_session(ended.secret) is None
        assert not home.keeper.holds(ended.who)
    home.wrong("anna", HOME)
    with pytest.raises(WrongPasswordError):
        home.log_in(password=PASSWORD)
    assert home.log_in(password=OTHER).who.name == "anna"


def test_new_password_needs_the_present_one_and_may_not_be_guessed(home: Door) -> None:
    session = home.log_in()
    with pytest.raises(PasswordRefused, match="the new password is the present one"):
        home.do(home.keeper.change_password(session.who, PASSWORD, PASSWORD))
    with pytest.raises(PasswordRefused, match="has 5 characters"):
        home.do(home.keeper.change_password(session.who, PASSWORD, "short"))
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(WrongPasswordError, match="this is not the present password"):
            home.do(home.keeper.change_password(session.who, "guess", OTHER))
    with pytest.raises(MustWaitError):
        home.do(home.keeper.change_password(session.who, PASSWORD, OTHER))
    assert home.log_in().who.name == "anna"  # who hammers there locks nobody out at the door


# -- users ----------------------------------------------------------------------------------------


def test_user_comes_changes_and_goes(home: Door) -> None:
    admin = home.log_in().who
    home.do(home.keeper.add_user(admin, "ben", Role.OPERATOR, PASSWORD))
    session = home.log_in("ben")
    token = home.do(home.keeper.add_token(session.who, "script", (Scope.OPERATE,), None))
    assert session.who.scopes == {Scope.READ, Scope.OPERATE}
    home.do(home.keeper.set_role(admin, "ben", Role.VIEWER))
    seen = home.keeper.by_session(session.secret)
    assert seen is not None
    assert seen.role is Role.VIEWER  # from the next request on
    assert seen.scopes == {Scope.READ}
    held = home.keeper.by_token(token.secret)
    assert held is not None
    assert held.scopes == set()
    home.do(home.keeper.remove_user(admin, "ben"))
    for key in (session, token):
        assert home.keeper.by_session(key.secret) is None
        assert home.keeper.by_token(key.secret) is None
    assert not home.keeper.holds(session.who)
    assert not home.keeper.holds(held)
    home.do(home.keeper.add_user(admin, "ben", Role.ADMIN, PASSWORD))  # a namesake
    assert home.keeper.by_session(session.secret) is None


def test_deleted_user_does_not_come_back_with_the_sessions_of_before(tmp_path: Path) -> None:
    with opened(tmp_path) as door:
        session = door.set_up()
    (tmp_path / "accounts.json").unlink()
    with opened(tmp_path) as door:
        assert not door.keeper.is_set_up()
        assert door.keeper.by_session(session.secret) is None
        door.set_up()
        assert door.keeper.by_session(session.secret) is None


def test_password_of_another_user_is_set_by_an_admin(home: Door) -> None:
    admin = home.log_in().who
    home.do(home.keeper.add_user(admin, "ben", Role.VIEWER, PASSWORD))
    session = home.log_in("ben")
    home.do(home.keeper.set_password(admin, "ben", OTHER))
    assert home.keeper.by_session(session.secret) is None
    assert home.log_in("ben", OTHER).who.name == "ben"
    with pytest.raises(PasswordRefused):
        home.do(home.keeper.set_password(admin, "ben", "short"))
    with pytest.raises(NoSuchAccount):
        home.do(home.keeper.set_password(admin, "eve", OTHER))
    with pytest.raises(PasswordRefused, match="is the user's name"):
        home.do(home.keeper.add_user(admin, "long-name-of-one", Role.VIEWER, "Long-Name-Of-One"))


# -- tokens ---------------------------------------------------------------------------------------


def test_token_opens_what_it_may_until_its_end(home: Door) -> None:
    admin = home.log_in().who
    made = home.do(home.keeper.add_token(admin, "script", (Scope.READ,), timedelta(days=1)))
    assert made.secret.startswith("nxai_")
    assert made.secret not in repr(made)
    assert made.secret not in (home.folder / "accounts.json").read_text()
    who = home.keeper.by_token(made.secret)
    assert who is not None
    assert (who.name, who.how) == ("anna", "token")
    assert who.scopes == {Scope.READ}
    assert home.keeper.holds(who)
    for other in (made.secret[:-1], made.secret.upper(), "", "\udcff", made.token.digest):
        assert home.keeper.by_token(other) is None
        assert home.keeper.by_session(other) is None
    home.time.pass_by(24 * 3600)
    assert home.keeper.by_token(made.secret) is None
    assert not home.keeper.holds(who)


def test_token_is_deleted(home: Door) -> None:
    admin = home.log_in().who
    made = home.do(home.keeper.add_token(admin, "script", tuple(Scope), None))
    who = home.keeper.by_token(made.secret)
    assert who is not None
    assert who.scopes == set(Scope)
    home.do(home.keeper.remove_token(admin, made.token.id))
    assert home.keeper.by_token(made.secret) is None
    assert not home.keeper.holds(who)


def test_token_makes_no_tokens_and_changes_no_password(home: Door) -> None:
    admin = home.log_in().who
    made = home.do(home.keeper.add_token(admin, "script", tuple(Scope), None))
    who = home.keeper.by_token(made.secret)
    assert who is not None
    for doing in (
        home.keeper.add_token(who, "more", (Scope.READ,), None),
        home.keeper.change_password(who, PASSWORD, OTHER),
        home.keeper.log_out(who),
    ):
        with pytest.raises(NotAllowed):
            home.do(doing)


def test_tokens_are_seen_by_their_owner_and_by_admins(home: Door) -> None:
    admin = home.log_in().who
    home.do(home.keeper.add_user(admin, "ben", Role.OPERATOR, PASSWORD))
    ben = home.log_in("ben").who
    mine = home.do(home.keeper.add_token(admin, "of anna", (Scope.READ,), None)).token
    his = home.do(home.keeper.add_token(ben, "of ben", (Scope.READ,), None)).token
    assert home.keeper.tokens(admin) == (mine, his)
    assert home.keeper.tokens(ben) == (his,)
    with pytest.raises(NoSuchAccount, match="no such token"):
        home.do(home.keeper.remove_token(ben, mine.id))
    home.do(home.keeper.remove_token(admin, his.id))
    assert home.keeper.tokens(admin) == (mine,)


def test_use_of_a_token_is_told_and_kept_to_the_hour(home: Door) -> None:
    admin = home.log_in().who
    made = home.do(home.keeper.add_token(admin, "script", (Scope.READ,), None))
    first = home.time.now()
    home.keeper.by_token(made.secret)
    assert home.keeper.tokens(admin)[0].last_used_at == first

    def kept() -> Any:
        found = json.loads((home.folder / "accounts.json").read_text())
        return found["tokens"][0]["last_used_at"]

    wait_for(kept)
    written = (home.folder / "accounts.json").stat().st_mtime_ns
    home.time.pass_by(3599)
    home.keeper.by_token(made.secret)
    home.keeper._tend()
    assert (home.folder / "accounts.json").stat().st_mtime_ns == written
    home.time.pass_by(1)
    home.keeper.by_token(made.secret)
    home.keeper._tend()
    assert datetime.fromisoformat(kept()) == home.time.now()


# -- the file -------------------------------------------------------------------------------------


def test_damaged_file_keeps_everybody_out_and_does_not_begin_again(tmp_path: Path) -> None:
    with opened(tmp_path) as door:
        session = door.set_up()
    good = (tmp_path / "accounts.json").read_text()
    (tmp_path / "accounts.json").write_text(good[:-40])
    with opened(tmp_path) as door:
        assert "accounts.json is damaged: " in door.problems["accounts"]
        assert "restore it from a backup, or delete it to begin again" in door.problems["accounts"]
        assert door.keeper.by_session(session.secret) is None
        for doing in (door.keeper.is_set_up, door.set_up, door.log_in, door.keeper.users):
            with pytest.raises(ConfigurationError, match=r"accounts.json is damaged"):
                doing()
        assert (tmp_path / "accounts.json").read_text() == good[:-40]
        (tmp_path / "accounts.json").write_text(good)
        wait_for(lambda: not door.problems)
        assert door.log_in().who.name == "anna"


def test_damaged_file_that_is_deleted_begins_again(tmp_path: Path) -> None:
    (tmp_path / "accounts.json").write_text("{")
    with opened(tmp_path) as door:
        with pytest.raises(ConfigurationError):
            door.keeper.is_set_up()
        (tmp_path / "accounts.json").unlink()
        wait_for(lambda: not door.problems)
        assert not door.keeper.is_set_up()
        assert door.set_up().who.name == "anna"


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_file_that_is_lost_meanwhile_opens_nothing(home: Door, how: str) -> None:
    session = home.log_in()
    path = home.folder / "accounts.json"
    good = path.read_text()
    if how == "gone":
        path.unlink()
    else:
        path.write_text("{")
    wait_for(lambda: home.problems)
    assert home.problems["accounts"].endswith("; the accounts from before stay in force")
    assert f"accounts.json is {how}" in home.problems["accounts"]
    assert home.keeper.by_session(session.secret) is not None
    assert home.keeper.is_set_up()
    home.log_in()
    for doing in (
        home.keeper.set_up("eve", PASSWORD),
        home.keeper.add_user(session.who, "ben", Role.ADMIN, PASSWORD),
        home.keeper.set_role(session.who, "anna", Role.ADMIN),
    ):
        with pytest.raises((AccountRefused, ConfigurationError)):
            home.do(doing)
    assert (path.read_text() if path.exists() else "") == ("{" if how == "damaged" else "")
    path.write_text(good)
    wait_for(lambda: not home.problems)
    home.do(home.keeper.add_user(session.who, "ben", Role.ADMIN, PASSWORD))


def test_use_of_a_token_is_no_reason_to_make_a_file_that_is_gone(home: Door) -> None:
    made = home.do(home.keeper.add_token(home.log_in().who, "script", (Scope.READ,), None))
    (home.folder / "accounts.json").unlink()
    wait_for(lambda: home.problems)
    assert home.keeper.by_token(made.secret) is not None
    assert home.keeper._tend()
    assert not (home.folder / "accounts.json").exists()


def test_report_is_of_problems(home: Door) -> None:
    assert home.keeper.problems() == ()
    (home.folder / "accounts.json").write_text("")
    wait_for(home.keeper.problems)
    [problem] = home.keeper.problems()
    assert isinstance(problem, Problem)
    assert home.keeper.counters()["logins"] == 0


# -- reset-password -------------------------------------------------------------------------------


class Terminal:
    """Standard input of a command."""

    def __init__(self, text: str, *, tty: bool = False) -> None:
        self.lines, self.tty = text.splitlines(keepends=True), tty

    def isatty(self) -> bool:
        return self.tty

    def readline(self) -> str:
        return self.lines.pop(0) if self.lines else ""


@pytest.fixture
def reset(
    home: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setenv("NXAI_MANAGER_STATE_DIR", str(home.folder))

    def run(text: str | None, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", None if text is None else Terminal(text))
        code = main(["reset-password", *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_forgotten_password_is_set_while_the_service_runs(home: Door, reset: Make) -> None:
    session = home.log_in()
    assert reset(f"{OTHER}\n") == (
        0,
        "anna has another password, and must log in again everywhere\n",
        "",
    )
    assert home.log_in(password=OTHER).who.name == "anna"  # at once
    assert home.keeper.by_session(session.secret) is None
    with pytest.raises(WrongPasswordError):
        home.log_in()


def test_service_sees_the_new_password_without_a_login(home: Door, reset: Make) -> None:
    session = home.log_in()
    assert reset(f"{PASSWORD} \r\n", " ANNA ")[0] == 0
    wait_for(lambda: home.keeper.by_session(session.secret) is None)
    assert home.log_in(password=f"{PASSWORD} ").who.name == "anna"


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("short\n", (), "the password has 5 characters; take at least 10"),
        ("", (), "the password has 0 characters"),
        (None, (), "the password has 0 characters"),
        (f"{OTHER}\n", ("eve",), "there is no user 'eve'; known: anna"),
    ],
)
def test_password_that_does_not_do_changes_nothing(
    home: Door, reset: Make, text: str | None, words: tuple[str, ...], said: str
) -> None:
    code, out, err = reset(text, *words)
    assert (code, out) == (2, "")
    assert err.startswith("nxai-manager reset-password: ")
    assert said in err
    assert home.log_in().who.name == "anna"


def test_standard_input_that_is_no_text_changes_nothing(
    home: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NXAI_MANAGER_STATE_DIR", str(home.folder))
    content = io.BytesIO(b"a password in latin-1: \xe4\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(content, encoding="utf-8"))
    assert main(["reset-password"]) == 2
    assert "standard input is no text; send UTF-8" in capsys.readouterr().err
    assert home.log_in().who.name == "anna"


def test_several_admins_must_be_told_apart(home: Door, reset: Make) -> None:
    home.do(home.keeper.add_user(home.log_in().who, "ben", Role.ADMIN, PASSWORD))
    assert "say whose password: nxai-manager reset-password {anna|ben}" in reset(OTHER)[2]
    assert reset(OTHER, "ben")[0] == 0


def test_command_says_when_there_is_nothing_to_reset(
    home: Door, reset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.folder / "accounts.json").write_text("{")
    code, _, err = reset(OTHER)
    assert code == 2
    assert "accounts.json is damaged" in err
    monkeypatch.setenv("NXAI_MANAGER_STATE_DIR", str(home.folder / "elsewhere"))
    assert "there are no accounts yet in" in reset(OTHER)[2]
    monkeypatch.setenv("NXAI_MANAGER_STATE_DIRR", "x")
    assert "did you mean NXAI_MANAGER_STATE_DIR?" in reset(OTHER)[2]


def test_password_is_typed_twice_at_a_terminal(
    home: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NXAI_MANAGER_STATE_DIR", str(home.folder))
    monkeypatch.setattr("sys.stdin", Terminal("", tty=True))
    typed = [OTHER, PASSWORD, OTHER, OTHER]
    asked = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        if not typed:
            raise EOFError
        return typed.pop(0)

    monkeypatch.setattr("getpass.getpass", ask)
    assert main(["reset-password"]) == 2
    assert "the two are not the same; the password is as it was" in capsys.readouterr().err
    assert main(["reset-password"]) == 0
    assert asked[:2] == ["New password of anna: ", "Once more: "]
    assert home.log_in(password=OTHER).who.name == "anna"
    assert main(["reset-password"]) == 2
    assert "interrupted; the password is as it was" in capsys.readouterr().err


def test_file_that_goes_while_the_command_asks_stays_away(
    home: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NXAI_MANAGER_STATE_DIR", str(home.folder))
    path = home.folder / "accounts.json"

    class Slow(Terminal):
        def readline(self) -> str:
            path.unlink()
            return OTHER

    monkeypatch.setattr("sys.stdin", Slow(""))
    assert main(["reset-password"]) == 2
    assert "there are no accounts yet" in capsys.readouterr().err
    assert not path.exists()


def test_threads_end_with_the_doorkeeper(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with opened(tmp_path) as door:
        door.set_up()
        names = {thread.name for thread in set(threading.enumerate()) - before}
        assert names == {"accounts", "password_0"}
    assert set(threading.enumerate()) <= before
    assert Accounts.model_validate_json((tmp_path / "accounts.json").read_bytes()).has_admin
