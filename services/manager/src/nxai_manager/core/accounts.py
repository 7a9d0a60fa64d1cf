"""Who may do what: users, tokens for scripts, and the rules for passwords.

`Accounts` is a value: each change returns new ones, or says why not. Times are in UTC.
"""

import enum
import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from nxai_common.contracts.base import Value
from nxai_common.errors import RejectedError

T = TypeVar("T")

MOST_USERS: Final = 100
MOST_TOKENS: Final = 100
"""Of the whole box. The file of the accounts stays small enough to be written at each change."""
SHORTEST_PASSWORD: Final = 10
LONGEST_PASSWORD: Final = 200
FEWEST_CHARACTERS: Final = 4
"""Different ones in a password."""
TOKEN_PREFIX: Final = "nxai_"  # noqa: S105 - what all of them begin with
"""Of a token's secret: programs that look for leaked secrets, and people, know what it is."""
SET_UP: Final = "this box is set up already; log in"
USED_EVERY: Final = timedelta(hours=1)
"""How exact `last_used_at` is. Each step is a write to the disk, in many boxes an SD card."""

COMMON_PASSWORDS: Final = frozenset(
    """
    0123456789 1234567890 0987654321 9876543210 12345678910 123456789a 1234567891 1q2w3e4r5t
    1q2w3e4r5t6y 1qaz2wsx3edc a123456789 abcdefghij abcdefghijk abc1234567 adminadmin
    administrator admin12345 admin123456 asdfghjkl1 changeme123 changemenow computer12
    edgeimpulse football12 iloveyou12 iloveyou123 letmein123 nxai-edge1 nxaimanager nxwitness1
    p@ssw0rd12 p@ssw0rd123 passw0rd12 passw0rd123 password00 password01 password1! password10
    password11 password12 password123 password1234 password12345 passwordpassword
    q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedcrfv qwerty1234 qwerty12345 qwerty123456 qwertyuiop
    qwertyuiop123 qwertzuiop raspberrypi sunshine12 superman12 unknown123 welcome123 welcome1234
    zaq12wsxcde3
    """.split()  # noqa: SIM905 - seventy quoted words are hard to read
)
"""The worst of those that are long enough."""


class Scope(enum.StrEnum):
    """What somebody may be allowed."""

    READ = "read"
    """See everything but secrets."""
    OPERATE = "operate"
    """Run and stop, test, review and upload pictures, promote and roll back, cancel jobs."""
    CONFIGURE = "configure"
    """Settings, cameras, models, the linked project, logs, diagnostics."""
    ACCOUNTS = "accounts"
    """Users, and the tokens of others."""


class Role(enum.StrEnum):
    """What a user is to this box."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def scopes(self) -> frozenset[Scope]:
        """What users of this role may do."""
        return _SCOPES[self]


_SCOPES: Final = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.OPERATE}),
    Role.ADMIN: frozenset(Scope),
}


class AccountRefused(RejectedError):  # noqa: N818 - named for the thing refused
    """The change cannot be made as the accounts are."""


class PasswordRefused(AccountRefused):
    """A password that will not do."""


class NoSuchAccount(AccountRefused):
    """There is no user or token of this name."""


class NotAllowed(AccountRefused):
    """Who asks may not do this."""


# -- what a person types --------------------------------------------------------------------------

USER_NAME_PATTERN: Final = "^[a-z0-9][a-z0-9._-]{0,31}$"


def fold_name(text: str) -> str:
    """Return a user's name as it is kept.

    Phones begin a line with a capital letter and end it with a space.
    """
    return text.strip().lower()


def _user_name(text: str) -> str:
    name = fold_name(text)
    plain = set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    if not plain or not 1 <= len(name) <= 32 or name[0] in "._-":  # noqa: PLR2004 - as the reason says
        raise PydanticCustomError(
            "user_name",
            "a user's name has 1 to 32 of a-z, 0-9, '.', '_' and '-', and begins with a letter or "
            "a digit",
        )
    return name


UserName = Annotated[
    str,
    AfterValidator(_user_name),
    WithJsonSchema({"type": "string", "pattern": USER_NAME_PATTERN}),
]


def normal_password(password: str) -> str:
    """Return a password as it is hashed: a letter with an accent is typed in two ways."""
    return unicodedata.normalize("NFC", password)


def check_password(password: str, name: str) -> None:
    """See whether a password will do for the user `name`.

    Raises:
        PasswordRefused: it will not; the reason says why and never shows it.
    """
    text = normal_password(password)
    if len(text) < SHORTEST_PASSWORD:
        raise PasswordRefused(
            f"the password has {len(text)} characters; take at least {SHORTEST_PASSWORD}"
        )
    if len(text) > LONGEST_PASSWORD:
        raise PasswordRefused(
            f"the password has {len(text)} characters; take at most {LONGEST_PASSWORD}"
        )
    folded = text.casefold()
    if len(set(folded)) < FEWEST_CHARACTERS:
        raise PasswordRefused(
            f"the password is made of {len(set(folded))} different characters; take at least "
            f"{FEWEST_CHARACTERS}"
        )
    if name and not folded.replace(name, ""):
        raise PasswordRefused("the password is the user's name; take another one")
    if folded in COMMON_PASSWORDS:
        raise PasswordRefused(
            "the password is among the first that an attacker tries; three or four words that do "
            "not belong together are good"
        )


def _new_password(secret: SecretStr) -> SecretStr:
    try:
        check_password(secret.get_secret_value(), "")
    except PasswordRefused as error:
        raise PydanticCustomError("password", "{reason}", {"reason": str(error)}) from None
    return secret


NewPassword = Annotated[
    SecretStr,
    AfterValidator(_new_password),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "writeOnly": True,
            "minLength": SHORTEST_PASSWORD,
            "maxLength": LONGEST_PASSWORD,
        }
    ),
]
"""Any characters. What depends on the user's name is looked at by `check_password`."""
TokenName = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
]


def digest_of(secret: str) -> str:
    """Return what is kept of a random secret. It has 256 bits: a slow hash would add nothing."""
    return hashlib.sha256(encoded(secret)).hexdigest()


def encoded(text: str) -> bytes:
    """Return a text from a header as bytes; one that is no Unicode comes with halves of pairs."""
    return text.encode("utf-8", "surrogatepass")


# -- what is kept ---------------------------------------------------------------------------------

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class User(Value):
    """Somebody who may log in."""

    name: UserName
    role: Role
    password: Annotated[str, StringConstraints(pattern=r"^\$argon2id\$[ -~]+$")] = Field(repr=False)
    """Its hash, with the parameters it was made with."""
    created_at: datetime
    generation: Annotated[str, StringConstraints(min_length=1)]
    """Random, and new with each password: sessions of another one have ended."""


class Token(Value):
    """What a script shows in place of a password."""

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
    """Random; names it in URLs."""
    name: TokenName
    """For people."""
    scopes: tuple[Scope, ...]
    """At most those of its owner; of these, it has what its owner has at the moment."""
    digest: Digest = Field(repr=False)
    """SHA-256 of its secret, which is kept nowhere."""
    created_by: UserName
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the hour."""

    def has_expired(self, now: datetime) -> bool:
        """Return whether it is over."""
        return self.expires_at is not None and now >= self.expires_at


class Accounts(Value):
    """All users and tokens of a box."""

    version: Literal[1] = 1
    """Of this format."""
    users: tuple[User, ...] = ()
    tokens: tuple[Token, ...] = ()

    def find(self, name: str) -> User | None:
        """Return the user of this name."""
        return next((user for user in self.users if user.name == name), None)

    def user(self, name: str) -> User:
        """Return the user of this name.

        Raises:
            NoSuchAccount: there is none.
        """
        user = self.find(name)
        if user is None:
            raise NoSuchAccount(f"there is no user {name!r}; known: {_listed(self.users)}")
        return user

    @property
    def has_admin(self) -> bool:
        """Whether anybody may do everything."""
        return any(user.role is Role.ADMIN for user in self.users)

    # -- users ------------------------------------------------------------------------------------

    def begin(self, user: User) -> "Accounts":
        """Add the first user.

        Raises:
            AccountRefused: somebody was first.
        """
        if self.users:
            raise AccountRefused(SET_UP)
        return self.add(user)

    def add(self, user: User) -> "Accounts":
        """Add a user.

        Raises:
            AccountRefused: the name is taken, or there are too many.
        """
        if self.find(user.name) is not None:
            raise AccountRefused(f"there is a user {user.name!r} already; take another name")
        if len(self.users) >= MOST_USERS:
            raise AccountRefused(f"there are {MOST_USERS} users; delete one first")
        return self._with(users=(*self.users, user))

    def remove(self, name: str) -> "Accounts":
        """Take a user away, with the tokens that the user made.

        Raises:
            AccountRefused: there would be no admin left.
            NoSuchAccount: there is none.
        """
        left = Accounts(
            users=_without(self.users, self.user(name)),
            tokens=tuple(t for t in self.tokens if t.created_by != name),
        )
        if not left.has_admin:
            raise AccountRefused(
                f"{name} is the only admin; make somebody else one before deleting {name}"
            )
        return left

    def set_role(self, name: str, role: Role) -> "Accounts":
        """Give a user another role.

        Raises:
            AccountRefused: there would be no admin left.
            NoSuchAccount: there is none.
        """
        changed = self._replace(self.user(name).model_copy(update={"role": role}))
        if not changed.has_admin:
            raise AccountRefused(f"{name} is the only admin; make somebody else one first")
        return changed

    def set_password(self, name: str, password: str, generation: str) -> "Accounts":
        """Give a user another password, of which this is the hash. Older sessions end.

        Raises:
            NoSuchAccount: there is none.
        """
        user = self.user(name)
        return self._replace(
            user.model_copy(update={"password": password, "generation": generation})
        )

    def rehash(self, old: User, password: str) -> "Accounts":
        """Keep another hash of the same password, unless the password was changed meanwhile."""
        user = self.find(old.name)
        if user is None or user.password != old.password:
            return self
        return self._replace(user.model_copy(update={"password": password}))

    # -- tokens -----------------------------------------------------------------------------------

    def add_token(self, token: Token) -> "Accounts":
        """Add a token of a user.

        Raises:
            AccountRefused: no scopes, another token of this user has the name, or there are too
                many.
            NotAllowed: it shall have a scope that the user has not.
            NoSuchAccount: there is no such user.
        """
        owner = self.user(token.created_by)
        if not token.scopes:
            raise AccountRefused("the token may do nothing; give it at least the scope 'read'")
        more = [scope.value for scope in Scope if scope in set(token.scopes) - owner.role.scopes]
        if more:
            raise NotAllowed(
                f"{owner.name} ({owner.role.value}) may not {', '.join(more)}, and so no token of "
                f"{owner.name} may"
            )
        if any(t.created_by == owner.name and t.name == token.name for t in self.tokens):
            raise AccountRefused(f"there is a token {token.name!r} already; take another name")
        if len(self.tokens) >= MOST_TOKENS:
            raise AccountRefused(f"there are {MOST_TOKENS} tokens; delete one first")
        return self._with(tokens=(*self.tokens, token))

    def remove_token(self, identity: str, of: str | None) -> "Accounts":
        """Take a token away.

        Args:
            identity: Its `id`.
            of: Only one of this user; None: anybody's.

        Raises:
            NoSuchAccount: there is none.
        """
        token = next((t for t in self.tokens if t.id == identity), None)
        if token is None or of not in (None, token.created_by):
            raise NoSuchAccount("there is no such token; it may have been deleted already")
        return self._with(tokens=_without(self.tokens, token))

    def tokens_of(self, name: str | None) -> tuple[Token, ...]:
        """Return the tokens of a user; None: all."""
        return tuple(t for t in self.tokens if name in (None, t.created_by))

    def holder(self, digest: str, now: datetime) -> tuple[Token, User] | None:
        """Return the token with this digest and its owner, or None when it opens nothing."""
        for token in self.tokens:
            if token.digest == digest and not token.has_expired(now):
                owner = self.find(token.created_by)
                return None if owner is None else (token, owner)
        return None

    def used(self, at: Mapping[str, datetime]) -> "Accounts":
        """Keep when tokens, by id, were used last."""
        return self._with(
            tokens=tuple(
                t.model_copy(update={"last_used_at": at[t.id]}) if t.id in at else t
                for t in self.tokens
            )
        )

    # -- both -------------------------------------------------------------------------------------

    def _replace(self, changed: User) -> "Accounts":
        return self._with(
            users=tuple(changed if user.name == changed.name else user for user in self.users)
        )

    def _with(self, **changes: tuple[User, ...] | tuple[Token, ...]) -> "Accounts":
        return self.model_copy(update=changes)


def _listed(users: Iterable[User]) -> str:
    return ", ".join(sorted(user.name for user in users)) or "nobody"


def _without(things: Iterable[T], one: T) -> tuple[T, ...]:
    return tuple(thing for thing in things if thing is not one)


def scopes_of(token: Token, owner: User) -> frozenset[Scope]:
    """Return what a token may do now: its owner may have lost a role since."""
    return frozenset(token.scopes) & owner.role.scopes


def is_worth_keeping(last: datetime | None, now: datetime) -> bool:
    """Return whether a use of a token is to be written down."""
    return last is None or abs(now - last) >= USED_EVERY


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks."""

    name: str
    role: Role
    scopes: frozenset[Scope]
    how: Literal["session", "token"]
    key: str = ""
    """Of the session or token, to end it; not its secret."""
    csrf: str = field(default="", repr=False)
    """What state changes of this session must carry."""
