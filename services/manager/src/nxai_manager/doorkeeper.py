"""Who comes in: logins, sessions, tokens, and the changes of accounts.

Asked on every request, so that it answers from memory. What it keeps on the disk is written in
threads, and read again when somebody else changed it (`nxai-manager reset-password`).
"""

import asyncio
import contextlib
import hmac
import logging
import math
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from nxai_common.contracts.status import Problem
from nxai_common.errors import ConfigurationError, NxaiError, RejectedError, TransientError
from nxai_common.retry import RetryPolicy
from nxai_manager.core.accounts import (
    SET_UP,
    TOKEN_PREFIX,
    AccountRefused,
    Accounts,
    NotAllowed,
    PasswordRefused,
    Role,
    Scope,
    Token,
    User,
    Who,
    check_password,
    digest_of,
    encoded,
    fold_name,
    is_worth_keeping,
    scopes_of,
)
from nxai_manager.core.login_limit import LoginLimit
from nxai_manager.core.sessions import KEEP_EVERY_S, Kept, Session, Sessions, csrf_of, mark_of
from nxai_manager.ports import AccountsStore, PasswordHasher, SessionsStore

log = logging.getLogger(__name__)

SECRET_BYTES: Final = 32
"""Of sessions and tokens: nobody guesses 256 bits."""
LOOK_EVERY_S: Final = 1.0
"""How soon a changed file is seen, and a session or a use of a token written down."""
DISK_RETRY: Final = RetryPolicy(first_s=1, factor=2, longest_s=60)


class MustWaitError(TransientError):
    """There were too many attempts from there."""

    def __init__(self, seconds: float) -> None:
        self.seconds = math.ceil(seconds)
        super().__init__(f"too many attempts; try again in {self.seconds} s")


class WrongPasswordError(RejectedError):
    """There is no such user, or this is not the password: nobody learns which."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session."""

    who: Who
    secret: str = field(repr=False)
    """Of the session; the browser alone keeps it."""
    mark: str = field(repr=False)
    """By which the browser is known at its next login."""


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A new token, and the only time that its secret is seen."""

    token: Token
    secret: str = field(repr=False)


class Doorkeeper:
    """Knows users, sessions and tokens; open while its context is."""

    def __init__(
        self,
        store: AccountsStore,
        sessions: SessionsStore,
        hasher: PasswordHasher,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sessions_store = sessions
        self._hasher = hasher
        self._now = now
        self._monotonic = monotonic
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._writing = threading.Lock()
        """Held while the file is changed or read, so that memory and file change in one order."""
        self._lock = threading.Lock()
        """Guards all below; never held while something waits."""
        self._accounts = Accounts()
        self._closed = ""
        """Why nobody can be let in: nothing good was ever read."""
        self._problems: dict[str, str] = {}
        self._key = b""
        self._sessions = Sessions()
        self._limit = LoginLimit()
        self._used: dict[str, datetime] = {}
        """When tokens, by id, were used last, as far as it is not written down."""
        self._counters = {"logins": 0, "logins_refused": 0}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_tending, name="accounts", daemon=True)

    def __enter__(self) -> Self:
        """Read what is kept, and follow it."""
        kept = self._sessions_store.read()
        self._key, self._sessions = kept.key, Sessions(kept.sessions)
        self._reload()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write down who is logged in."""
        self._ended.set()
        self._thread.join()
        self._tend(last=True)

    def problems(self) -> tuple[Problem, ...]:
        """Return what a person should know."""
        with self._lock:
            return tuple(
                Problem(about=about, reason=text) for about, text in self._problems.items()
            )

    def counters(self) -> Mapping[str, int]:
        """Return ever-growing counts."""
        with self._lock:
            return dict(self._counters)

    # -- the gate -------------------------------------------------------------------------------

    def by_session(self, secret: str) -> Who | None:
        """Return whose session this is, and count it as used; None: nobody's."""
        digest = digest_of(secret)
        with self._lock:
            session = self._sessions.see(digest, self._now().timestamp())
            user = self._of(session)
            return None if user is None else _who(user, digest, csrf_of(secret))

    def by_token(self, secret: str) -> Who | None:
        """Return whose token this is, and note that it was used; None: nobody's."""
        now = self._now()
        with self._lock:
            held = self._accounts.holder(digest_of(secret), now)
            if held is None:
                return None
            token, owner = held
            if is_worth_keeping(self._used.get(token.id, token.last_used_at), now):
                self._used[token.id] = now
            return Who(owner.name, owner.role, scopes_of(token, owner), "token", token.id)

    def holds(self, who: Who) -> bool:
        """Tell whether a session or token is still good.

        Asked for a page that is open and looks: a wall display asks for nothing else in months,
        and that counts as use of its session.
        """
        now = self._now()
        with self._lock:
            if who.how == "session":
                return self._of(self._sessions.see(who.key, now.timestamp())) is not None
            return any(t.id == who.key and not t.has_expired(now) for t in self._accounts.tokens)

    def is_set_up(self) -> bool:
        """Return whether there is anybody who could log in.

        Raises:
            ConfigurationError: nobody knows: what is kept cannot be used.
        """
        return bool(self._known().users)

    # -- in and out -----------------------------------------------------------------------------

    async def set_up(self, name: str, password: str) -> Opened:
        """Make the first user, an admin, and log in.

        Raises:
            AccountRefused: somebody was first, or the password does not do.
            ConfigurationError: what is kept cannot be used.
            TransientError: not now.
        """
        if self.is_set_up():
            raise AccountRefused(SET_UP)
        check_password(password, name)
        user = await self._make_user(name, Role.ADMIN, password)
        await self._change(lambda accounts: accounts.begin(user))
        log.info("set up", extra={"user": name})
        return await self._let_in(user)

    async def log_in(self, name: str, password: str, address: str, mark: str = "") -> Opened:
        """Begin a session.

        Args:
            name: Of the user, as typed.
            password: As typed.
            address: Where it comes from.
            mark: What the browser kept of an earlier login.

        Raises:
            MustWaitError: too many attempts.
            WrongPasswordError: no such user, or not the password.
            ConfigurationError: what is kept cannot be used.
            TransientError: not now.
        """
        name = fold_name(name)
        await asyncio.to_thread(self.refresh)
        user = self._known().find(name)
        place = f"browser of {name}" if user is not None and self._knows(mark, user) else address
        if not await self._fits(user, password, place, name):
            with self._lock:
                self._counters["logins_refused"] += 1
            # A name that is none may be a password in the wrong field.
            who = "nobody known" if user is None else user.name
            log.warning("wrong password", extra={"user": who, "address": address})
            raise WrongPasswordError("the name or the password is not right")
        assert user is not None  # noqa: S101 - nothing fits nobody
        if self._hasher.is_outdated(user.password):
            with contextlib.suppress(NxaiError):  # the next time will do
                await self._rehash(user, password)
        with self._lock:
            self._counters["logins"] += 1
        log.info("logged in", extra={"user": name, "address": address})
        return await self._let_in(user)

    async def log_out(self, who: Who) -> None:
        """End the session of who asks.

        Raises:
            NotAllowed: a token asks.
        """
        _refuse_token(who, "a token has no session; delete the token instead")
        with self._lock:
            self._sessions.end(who.key)
        await asyncio.to_thread(self._tend)

    async def change_password(self, who: Who, present: str, new: str) -> Opened:
        """Give who asks another password; the user's sessions end, and a new one begins.

        Raises:
            MustWaitError: too many attempts.
            WrongPasswordError: this is not the present password.
            PasswordRefused: the new one does not do.
            NotAllowed: a token asks.
            TransientError: not now.
        """
        _refuse_token(who, "a token cannot change a password; log in")
        user = self._known().user(who.name)
        check_password(new, user.name)
        # Whoever sits at a browser that was left open may guess no faster than at the door.
        if not await self._fits(user, present, f"session {who.key}", user.name):
            raise WrongPasswordError("this is not the present password")
        if new == present:
            raise PasswordRefused("the new password is the present one")
        changed = await self.set_password(who, user.name, new)
        return await self._let_in(changed)

    # -- users ----------------------------------------------------------------------------------

    def users(self) -> tuple[User, ...]:
        """Return all."""
        return self._known().users

    async def add_user(self, who: Who, name: str, role: Role, password: str) -> User:
        """Add one.

        Raises:
            AccountRefused: the name is taken, the password does not do, or there are too many.
            NotAllowed: the role may more than who asks.
            TransientError: not now.
        """
        _refuse_more(who, role)
        check_password(password, name)
        user = await self._make_user(name, role, password)
        await self._change(lambda accounts: accounts.add(user))
        log.info("user added", extra={"user": name, "role": role.value, "by": who.name})
        return user

    async def set_role(self, who: Who, name: str, role: Role) -> User:
        """Give a user another role, from the next request on.

        Raises:
            AccountRefused: there would be no admin left.
            NoSuchAccount: there is no such user.
            NotAllowed: the role may more than who asks.
            TransientError: not now.
        """
        _refuse_more(who, role)
        changed = await self._change(lambda accounts: accounts.set_role(name, role))
        log.info("role changed", extra={"user": name, "role": role.value, "by": who.name})
        return changed.user(name)

    async def set_password(self, who: Who, name: str, password: str) -> User:
        """Give a user another password; the user's sessions end.

        Raises:
            PasswordRefused: it does not do.
            NoSuchAccount: there is no such user.
            NotAllowed: the user may more than who asks.
            TransientError: not now.
        """
        _refuse_more(who, self._known().user(name).role)
        check_password(password, name)
        hashed = await self._hasher.make(password)
        generation = self._hasher.mark()
        changed = await self._change(lambda a: a.set_password(name, hashed, generation))
        log.info("password changed", extra={"user": name, "by": who.name})
        return changed.user(name)

    async def remove_user(self, who: Who, name: str) -> None:
        """Take a user away, with sessions and tokens.

        Raises:
            AccountRefused: there would be no admin left.
            NoSuchAccount: there is no such user.
            TransientError: not now.
        """
        await self._change(lambda accounts: accounts.remove(name))
        log.info("user deleted", extra={"user": name, "by": who.name})

    # -- tokens ---------------------------------------------------------------------------------

    def tokens(self, who: Who) -> tuple[Token, ...]:
        """Return those of who asks; of all, for who may see them."""
        tokens = self._known().tokens_of(_whose(who))
        with self._lock:
            return tuple(
                token.model_copy(
                    update={"last_used_at": self._used.get(token.id, token.last_used_at)}
                )
                for token in tokens
            )

    async def add_token(
        self, who: Who, name: str, scopes: tuple[Scope, ...], lasts: timedelta | None
    ) -> MadeToken:
        """Make a token of who asks.

        Args:
            who: Logged in: a token that leaked must not make others.
            name: For people.
            scopes: At most those of who asks.
            lasts: None: until it is deleted.

        Raises:
            AccountRefused: the name is taken, or there are too many.
            NotAllowed: it shall have more than who asks, or a token asks.
            TransientError: not now.
        """
        _refuse_token(who, "a token cannot make tokens; log in")
        secret = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        now = self._now().replace(microsecond=0)
        token = Token(
            id=secrets.token_hex(6),
            name=name,
            scopes=tuple(scope for scope in Scope if scope in scopes),
            digest=digest_of(secret),
            created_by=who.name,
            created_at=now,
            expires_at=None if lasts is None else now + lasts,
        )
        await self._change(lambda accounts: accounts.add_token(token))
        log.info("token made", extra={"token": token.id, "by": who.name})
        return MadeToken(token, secret)

    async def remove_token(self, who: Who, identity: str) -> None:
        """Take a token away.

        Raises:
            NoSuchAccount: there is none, or it is another user's and who asks may not.
            TransientError: not now.
        """
        await self._change(lambda accounts: accounts.remove_token(identity, _whose(who)))
        log.info("token deleted", extra={"token": identity, "by": who.name})

    # -- memory ---------------------------------------------------------------------------------

    def _known(self) -> Accounts:
        with self._lock:
            if self._closed:
                raise ConfigurationError(self._closed)
            return self._accounts

    def _of(self, session: Session | None) -> User | None:
        """Return the user of a session that is still good. Called with the lock."""
        user = None if session is None else self._accounts.find(session.user)
        if session is None or user is None or user.generation != session.generation:
            return None
        return user

    def _knows(self, mark: str, user: User) -> bool:
        wanted = mark_of(self._key, user.name, user.generation)
        return hmac.compare_digest(encoded(mark), encoded(wanted))

    async def _fits(self, user: User | None, password: str, place: str, name: str) -> bool:
        """Return whether this is the user's password, if it may be asked at all."""
        with self._lock:
            wait = self._limit.admit(place, name, self._monotonic())
        if wait:
            raise MustWaitError(wait)
        fits = None
        try:
            fits = await self._hasher.fits(None if user is None else user.password, password)
        finally:
            if fits is not False:  # right, or never looked at
                with self._lock:
                    self._limit.succeeded(place, name)
        return fits

    async def _make_user(self, name: str, role: Role, password: str) -> User:
        return User(
            name=name,
            role=role,
            password=await self._hasher.make(password),
            created_at=self._now().replace(microsecond=0),
            generation=self._hasher.mark(),
        )

    async def _rehash(self, user: User, password: str) -> None:
        hashed = await self._hasher.make(password)
        await self._change(lambda accounts: accounts.rehash(user, hashed))

    async def _let_in(self, user: User) -> Opened:
        secret = secrets.token_urlsafe(SECRET_BYTES)
        digest = digest_of(secret)
        with self._lock:
            self._sessions.open(digest, user.name, user.generation, self._now().timestamp())
        await asyncio.to_thread(self._tend)
        return Opened(
            _who(user, digest, csrf_of(secret)),
            secret,
            mark_of(self._key, user.name, user.generation),
        )

    # -- disk -----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the file again if somebody changed it."""
        if self._store.changed():
            self._reload()

    def _reload(self) -> None:
        with self._writing:
            try:
                found = self._store.read()
            except ConfigurationError as error:
                self._refuse(str(error))
                return
            if found is not None:
                self._take(found)
            elif self._accounts.users:
                self._refuse(_gone(self._store.name))
            else:
                self._take(Accounts())

    def _refuse(self, reason: str) -> None:
        """Go on with what was read before; with nothing, let nobody in."""
        with self._lock:
            if self._accounts.users:
                reason += "; the accounts from before stay in force"
            else:
                self._closed = reason
            self._problems["accounts"] = reason
        log.error("%s", reason)

    def _take(self, accounts: Accounts) -> None:
        with self._lock:
            self._accounts, self._closed = accounts, ""
            self._problems.pop("accounts", None)
            self._sessions.keep_only(lambda session: self._of(session) is not None)

    async def _change(self, change: Callable[[Accounts], Accounts]) -> Accounts:
        return await asyncio.to_thread(self._change_here, change)

    def _change_here(self, change: Callable[[Accounts], Accounts]) -> Accounts:
        def guarded(before: Accounts | None) -> Accounts:
            if before is None and self._accounts.users:
                raise AccountRefused(_gone(self._store.name))
            return change(before or Accounts())

        with self._writing:
            after = self._store.update(guarded)
            self._take(after)
        return after

    def _keep_tending(self) -> None:
        attempt, due = 0, 0.0
        while not self._ended.wait(LOOK_EVERY_S):
            self.refresh()
            if self._monotonic() < due:
                continue
            attempt = 0 if self._tend() else attempt + 1
            due = self._monotonic() + DISK_RETRY.delay(attempt, self._rng) if attempt else 0.0

    def _tend(self, *, last: bool = False) -> bool:
        """Write down what changed; return whether the disk took it."""
        try:
            self._write_sessions(0 if last else KEEP_EVERY_S)
            self._write_uses()
        except (TransientError, ConfigurationError) as error:
            with self._lock:
                if "sessions" not in self._problems:
                    log.warning("%s", error)
                self._problems["sessions"] = str(error)
            return False
        with self._lock:
            self._problems.pop("sessions", None)
        return True

    def _write_sessions(self, every_s: float) -> None:
        with self._writing:
            with self._lock:
                sessions = self._sessions.to_keep(self._now().timestamp(), every_s)
            if sessions is None:
                return
            self._sessions_store.keep(Kept(self._key, sessions))
            with self._lock:
                self._sessions.kept(sessions)

    def _write_uses(self) -> None:
        with self._lock:
            used = dict(self._used)
        if not used:
            return
        with contextlib.suppress(AccountRefused):  # the file is gone, which is told already
            self._change_here(lambda accounts: accounts.used(used))
        with self._lock:
            self._used = {key: at for key, at in self._used.items() if used.get(key) != at}


def _who(user: User, digest: str, csrf: str) -> Who:
    return Who(user.name, user.role, user.role.scopes, "session", digest, csrf)


def _whose(who: Who) -> str | None:
    return None if Scope.ACCOUNTS in who.scopes else who.name


def _refuse_token(who: Who, reason: str) -> None:
    if who.how == "token":
        raise NotAllowed(reason)


def _refuse_more(who: Who, role: Role) -> None:
    """Keep a token with few scopes from making itself a login with more."""
    more = [scope.value for scope in Scope if scope in role.scopes - who.scopes]
    if more:
        raise NotAllowed(
            f"this token may not {', '.join(more)}, and so it cannot give anybody a login that "
            "may; log in"
        )


def _gone(name: str) -> str:
    return f"{name} is gone; put it back, or restart the manager to begin again without accounts"
