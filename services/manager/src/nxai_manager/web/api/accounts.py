"""Logging in and out, the first user, and who may do what."""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Final, Literal, Self, TypeVar

from aiohttp import web
from pydantic import ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from nxai_common.errors import ConfigurationError, NxaiError, TransientError
from nxai_manager.adapters.serial_number import serial_number
from nxai_manager.core.accounts import (
    AccountRefused,
    NewPassword,
    NoSuchAccount,
    NotAllowed,
    PasswordRefused,
    Role,
    Scope,
    Token,
    TokenName,
    User,
    UserName,
    Who,
)
from nxai_manager.core.sessions import LONGEST_S
from nxai_manager.doorkeeper import MustWaitError, Opened, WrongPasswordError
from nxai_manager.web import security
from nxai_manager.web.answer import Answer, FieldProblem, Refused
from nxai_manager.web.endpoint import Call, Endpoint, Form

T = TypeVar("T")

TAG: Final = "accounts"
MARK_S: Final = 365 * 24 * 3600
"""A browser that was away for a year is a new one."""
FIRST_SETTINGS_S: Final = 3.0
"""The page is there a second before the first settings are written."""
COME_AGAIN: Final = {"Retry-After": "2"}

# -- what comes in and goes out -------------------------------------------------------------------


class DeviceAnswer(Answer):
    """This box."""

    id: str
    """In topics."""
    name: str
    """For people; empty: nobody named it."""
    serial: str
    """Of its maker, or of its installation. Empty until somebody has logged in."""


class SessionAnswer(Answer):
    """Who asks, as far as this is known."""

    state: Literal["setup", "login", "in"]
    """`setup`: nobody has an account yet. `login`: nobody is logged in. `in`: `user` is."""
    user: str = ""
    role: Role | None = None
    scopes: tuple[Scope, ...] = ()
    csrf: str = ""
    """Header `X-CSRF-Token` of every state change of this session."""
    device: DeviceAnswer
    version: str = ""
    """Of this program. Empty until somebody has logged in."""
    notes: tuple[str, ...] = ()
    """What did not work beside the rest."""


class LogIn(Form):
    """Who wants to come in."""

    username: Annotated[str, StringConstraints(max_length=200)]
    password: Annotated[SecretStr, Field(max_length=1000)]


class ChangePassword(Form):
    """From the present password to the next."""

    old: Annotated[SecretStr, Field(max_length=1000)]
    new: NewPassword


class SetUp(Form):
    """The first user, who may do everything, and what the box is called."""

    username: UserName
    password: NewPassword
    device_name: Annotated[str, StringConstraints(max_length=100, strip_whitespace=True)] = ""
    """For people; left out: as it is."""


class UserPath(Form):
    """Which user."""

    user: UserName


class UserAnswer(Answer):
    """Somebody who may log in."""

    name: str
    role: Role
    created_at: datetime
    you: bool
    """Whether it is who asks."""


class UserList(Answer):
    """All users, in the order in which they came."""

    users: tuple[UserAnswer, ...]


class NewUser(Form):
    """Somebody who shall be able to log in."""

    name: UserName
    role: Role
    password: NewPassword


class UserChange(Form):
    """What becomes different; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    role: Role | None = None
    password: NewPassword | None = None
    """The user's sessions end. One's own is changed with `PUT /session/password`."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.role is None and self.password is None:
            raise PydanticCustomError("nothing", "give a role, a password, or both")
        return self


class TokenPath(Form):
    """Which token."""

    token: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]


class TokenAnswer(Answer):
    """What a script shows in place of a password."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    """As it was made; it never has more than its owner has now."""
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    """Null: never."""
    expired: bool
    last_used_at: datetime | None
    """To the hour; null: never."""


class TokenList(Answer):
    """One's own tokens; for admins, those of all."""

    tokens: tuple[TokenAnswer, ...]


class NewToken(Form):
    """What a script shall be able to do."""

    name: TokenName
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(Scope))]
    """At most one's own."""
    days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """How long it lasts; left out: until it is deleted."""


class TokenMade(Answer):
    """A new token."""

    token: TokenAnswer
    secret: str
    """For `Authorization: Bearer ...`. Shown here and never again."""


# -- session --------------------------------------------------------------------------------------


async def show_session(call: Call) -> SessionAnswer:
    """Say who is logged in, and what there is to do first.

    Needs no login. Without one it tells nothing but what the box is called.
    """
    if call.who is not None:
        return _inside(call, call.who)
    with _plainly():
        state: Literal["setup", "login"] = "login" if call.box.gate.is_set_up() else "setup"
    return SessionAnswer(state=state, device=_device(call))


async def log_in(call: Call) -> web.Response:
    """Log in, and get a session cookie.

    After five wrong passwords from one address the next ones take time: `Retry-After` says how
    much.
    """
    form: LogIn = call.body
    opened = await _done(
        call.box.gate.log_in(
            form.username,
            form.password.get_secret_value(),
            security.address_of(call.request, security.networks(call.box.settings.trusted_proxies)),
            _cookie(call, _mark_name(call)),
        )
    )
    if call.who is not None and call.who.how == "session":
        await call.box.gate.log_out(call.who)
    return _welcome(call, opened)


async def log_out(call: Call) -> web.Response:
    """Log out: the session ends."""
    gate = call.box.gate
    await _done(gate.log_out(call.asker))
    response = web.Response(status=HTTPStatus.NO_CONTENT)
    name = security.session_cookie(call.box.settings.device)
    for each in (name, name + security.SECURE_SUFFIX):
        other = gate.by_session(call.request.cookies.get(each, ""))
        if other is not None:  # of HTTP, while this is HTTPS
            await _done(gate.log_out(other))
        response.del_cookie(each, path="/", httponly=True, samesite="Strict")
    return response


async def change_password(call: Call) -> web.Response:
    """Change one's own password.

    All sessions of the user end but this one, which goes on under another cookie and CSRF token:
    both are in the answer. Tokens stay.
    """
    form: ChangePassword = call.body
    opened = await _done(
        call.box.gate.change_password(
            call.asker, form.old.get_secret_value(), form.new.get_secret_value()
        ),
        field="new",
    )
    return _welcome(call, opened)


async def set_up(call: Call) -> web.Response:
    """Make the first user, name the box, and log in.

    Works once: as soon as somebody has an account, others are made by an admin. And not by a name
    of the box that anybody may own, such as `box.example.com`.
    """
    form: SetUp = call.body
    security.refuse_public_name(call.request)
    opened = await _done(
        call.box.gate.set_up(form.username, form.password.get_secret_value()),
    )
    return _welcome(call, opened, HTTPStatus.CREATED, await _name_box(call, form))


async def _name_box(call: Call, form: SetUp) -> tuple[str, ...]:
    """Give the box its name; return why that did not work, if so."""
    if not form.device_name:
        return ()
    desk, end = call.box.desk, time.monotonic() + FIRST_SETTINGS_S
    while desk.settings is None and time.monotonic() < end:  # noqa: ASYNC110 - once in a box's life
        await asyncio.sleep(0.05)
    try:
        await call.box.in_thread(
            desk.change, {"device": {"name": form.device_name}}, by=form.username
        )
    except NxaiError as error:
        return (f"the name of the box was not kept: {error}",)
    return ()


# -- users ----------------------------------------------------------------------------------------


async def list_users(call: Call) -> UserList:
    """Return all users."""
    with _plainly():
        users = call.box.gate.users()
    return UserList(users=tuple(_user(call, user) for user in users))


async def add_user(call: Call) -> UserAnswer:
    """Let somebody else log in."""
    form: NewUser = call.body
    made = call.box.gate.add_user(
        call.asker, form.name, form.role, form.password.get_secret_value()
    )
    return _user(call, await _done(made))


async def change_user(call: Call) -> UserAnswer:
    """Give a user another role or password.

    A role holds from the next request on. The last admin stays one.
    """
    name, form = call.path.user, call.body
    gate, who = call.box.gate, call.asker
    if form.password is not None and name == who.name:
        raise _refused(
            HTTPStatus.CONFLICT,
            "change your own password with the old one (PUT /session/password)",
            "password",
        )
    user = None
    if form.role is not None:
        user = await _done(gate.set_role(who, name, form.role))
    if form.password is not None:
        user = await _done(gate.set_password(who, name, form.password.get_secret_value()))
    assert user is not None  # noqa: S101 - the form has one of both
    return _user(call, user)


async def remove_user(call: Call) -> None:
    """Delete a user; sessions and tokens of this user end. The last admin stays."""
    await _done(call.box.gate.remove_user(call.asker, call.path.user))


# -- tokens ---------------------------------------------------------------------------------------


async def list_tokens(call: Call) -> TokenList:
    """Return one's own tokens; for admins, those of all."""
    with _plainly():
        tokens = call.box.gate.tokens(call.asker)
    return TokenList(tokens=tuple(_token(token) for token in tokens))


async def add_token(call: Call) -> TokenMade:
    """Make a token for a script, with at most one's own rights.

    Its secret is in this answer and nowhere else.
    """
    form: NewToken = call.body
    lasts = None if form.days is None else timedelta(days=form.days)
    made = await _done(call.box.gate.add_token(call.asker, form.name, form.scopes, lasts))
    return TokenMade(token=_token(made.token), secret=made.secret)


async def remove_token(call: Call) -> None:
    """Delete a token: it opens nothing from now on."""
    await _done(call.box.gate.remove_token(call.asker, call.path.token))


# -- answers --------------------------------------------------------------------------------------


def _device(call: Call, serial: str = "") -> DeviceAnswer:
    settings = call.box.desk.settings
    return DeviceAnswer(
        id=call.box.settings.device,
        name=settings.device.name if settings is not None else "",
        serial=serial,
    )


def _inside(call: Call, who: Who, notes: tuple[str, ...] = ()) -> SessionAnswer:
    return SessionAnswer(
        state="in",
        user=who.name,
        role=who.role,
        scopes=tuple(scope for scope in Scope if scope in who.scopes),
        csrf=who.csrf,
        device=_device(call, serial_number()),
        version=call.box.version,
        notes=notes,
    )


def _welcome(
    call: Call, opened: Opened, status: int = HTTPStatus.OK, notes: tuple[str, ...] = ()
) -> web.Response:
    """Return who is logged in now, with the cookies of it."""
    response = web.Response(
        status=status,
        body=_inside(call, opened.who, notes).model_dump_json().encode(),
        content_type="application/json",
    )
    trusted = security.networks(call.box.settings.trusted_proxies)
    secure = security.is_secure(call.request, trusted)
    suffix = security.SECURE_SUFFIX if secure else ""
    session = security.session_cookie(call.box.settings.device)
    for name, value, lasts in (
        (session, opened.secret, int(LONGEST_S)),
        (_mark_name(call), opened.mark, MARK_S),
    ):
        response.set_cookie(
            name + suffix,
            value,
            max_age=lasts,
            path="/",
            secure=secure,
            httponly=True,
            samesite="Strict",
        )
    return response


def _mark_name(call: Call) -> str:
    return f"nxai_known_{call.box.settings.device}"


def _cookie(call: Call, name: str) -> str:
    cookies = call.request.cookies
    return cookies.get(name + security.SECURE_SUFFIX, "") or cookies.get(name, "")


def _user(call: Call, user: User) -> UserAnswer:
    return UserAnswer(
        name=user.name,
        role=user.role,
        created_at=user.created_at,
        you=user.name == call.asker.name,
    )


def _token(token: Token) -> TokenAnswer:
    return TokenAnswer(
        id=token.id,
        name=token.name,
        scopes=token.scopes,
        created_by=token.created_by,
        created_at=token.created_at,
        expires_at=token.expires_at,
        expired=token.has_expired(datetime.now(UTC)),
        last_used_at=token.last_used_at,
    )


# -- why not --------------------------------------------------------------------------------------


@contextmanager
def _plainly(field: str = "password") -> Iterator[None]:
    """Turn why it was refused into an answer.

    Args:
        field: Of the form: the one that holds a new password.
    """
    try:
        yield
    except PasswordRefused as error:
        raise _refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), field) from None
    except NoSuchAccount as error:
        raise Refused(HTTPStatus.NOT_FOUND, str(error)) from None
    except NotAllowed as error:
        raise Refused(HTTPStatus.FORBIDDEN, str(error)) from None
    except AccountRefused as error:
        raise Refused(HTTPStatus.CONFLICT, str(error)) from None
    except WrongPasswordError as error:
        if field == "new":
            raise _refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "old") from None
        raise Refused(HTTPStatus.UNAUTHORIZED, str(error)) from None
    except MustWaitError as error:
        raise Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            str(error),
            headers={"Retry-After": str(error.seconds)},
        ) from None
    except (TransientError, ConfigurationError) as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers=COME_AGAIN) from None


async def _done(doing: Awaitable[T], field: str = "password") -> T:
    with _plainly(field):
        return await doing


def _refused(status: int, reason: str, where: str) -> Refused:
    return Refused(status, reason, (FieldProblem(where=where, reason=reason),))


ENDPOINTS: Final = (
    Endpoint("GET", "/session", show_session, None, SessionAnswer, tag=TAG),
    Endpoint(
        "POST",
        "/session",
        log_in,
        None,
        SessionAnswer,
        body=LogIn,
        errors=(HTTPStatus.UNAUTHORIZED,),
        tag=TAG,
    ),
    Endpoint("DELETE", "/session", log_out, Scope.READ, tag=TAG),
    Endpoint(
        "PUT",
        "/session/password",
        change_password,
        Scope.READ,
        SessionAnswer,
        body=ChangePassword,
        tag=TAG,
    ),
    Endpoint(
        "POST",
        "/setup",
        set_up,
        None,
        SessionAnswer,
        body=SetUp,
        status=HTTPStatus.CREATED,
        tag=TAG,
    ),
    Endpoint("GET", "/users", list_users, Scope.ACCOUNTS, UserList, tag=TAG),
    Endpoint(
        "POST",
        "/users",
        add_user,
        Scope.ACCOUNTS,
        UserAnswer,
        body=NewUser,
        status=HTTPStatus.CREATED,
        tag=TAG,
    ),
    Endpoint(
        "PATCH",
        "/users/{user}",
        change_user,
        Scope.ACCOUNTS,
        UserAnswer,
        path_model=UserPath,
        body=UserChange,
        tag=TAG,
    ),
    Endpoint(
        "DELETE",
        "/users/{user}",
        remove_user,
        Scope.ACCOUNTS,
        path_model=UserPath,
        tag=TAG,
    ),
    Endpoint("GET", "/tokens", list_tokens, Scope.READ, TokenList, tag=TAG),
    Endpoint(
        "POST",
        "/tokens",
        add_token,
        Scope.OPERATE,
        TokenMade,
        body=NewToken,
        status=HTTPStatus.CREATED,
        tag=TAG,
    ),
    Endpoint(
        "DELETE",
        "/tokens/{token}",
        remove_token,
        Scope.OPERATE,
        path_model=TokenPath,
        tag=TAG,
    ),
)
