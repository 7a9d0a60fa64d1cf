"""Users, roles, tokens, and the rules for passwords."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from nxai_manager.core.accounts import (
    COMMON_PASSWORDS,
    LONGEST_PASSWORD,
    MOST_TOKENS,
    MOST_USERS,
    SHORTEST_PASSWORD,
    TOKEN_PREFIX,
    AccountRefused,
    Accounts,
    NewPassword,
    NoSuchAccount,
    NotAllowed,
    Role,
    Scope,
    Token,
    TokenName,
    User,
    UserName,
    check_password,
    digest_of,
    fold_name,
    is_worth_keeping,
    normal_password,
    scopes_of,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"
ANNA = User(name="anna", role=Role.ADMIN, password=HASH, created_at=NOW, generation="1")
BEN = ANNA.model_copy(update={"name": "ben", "role": Role.OPERATOR})
CARA = ANNA.model_copy(update={"name": "cara", "role": Role.VIEWER})
ALL = Accounts(users=(ANNA, BEN, CARA))


def token(of: User = ANNA, number: int = 1, **changes: object) -> Token:
    made = Token(
        id=f"{number:012x}",
        name=f"token {number}",
        scopes=(Scope.READ,),
        digest=digest_of(f"secret {number}"),
        created_by=of.name,
        created_at=NOW,
    )
    return made.model_copy(update=changes)


class Typed(BaseModel):
    name: UserName = "somebody"
    password: NewPassword = SecretStr("")
    token: TokenName = "a token"


def refusal(**typed: str) -> str:
    with pytest.raises(ValidationError) as caught:
        Typed.model_validate(typed)
    [error] = caught.value.errors()
    return error["msg"]


# -- roles ----------------------------------------------------------------------------------------


def test_each_role_may_what_the_one_below_may_and_more() -> None:
    assert Role.VIEWER.scopes == {Scope.READ}
    assert Role.OPERATOR.scopes == {Scope.READ, Scope.OPERATE}
    assert Role.ADMIN.scopes == set(Scope)


# -- passwords ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        'a@b:c/d#e?f%g"h',
        "correct horse battery staple",
        "🔑🚪🏠🐕🐈🦊🌳🌻🍎🍐",
        " spaces at both ends ",
        "tab\tand\nnewline",
        "0" * 150 + "x" * 48 + "yz",
        "пароль-из-слов",
        "annas house is red",
    ],
)
def test_good_passwords_of_any_characters_are_taken(password: str) -> None:
    check_password(password, "anna")
    assert Typed(password=SecretStr(password)).password.get_secret_value() == password


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "the password has 0 characters; take at least 10"),
        ("tooshort1", "the password has 9 characters; take at least 10"),
        ("🔑🚪🏠🐕🐈🦊🌳🌻🍎", "the password has 9 characters; take at least 10"),
        ("abcd" * 50 + "e", "the password has 201 characters; take at most 200"),
        ("aaaaaaaaaaaa", "is made of 1 different characters; take at least 4"),
        ("aAaAaAaAaAbB", "is made of 2 different characters"),
        ("password123", "among the first that an attacker tries"),
        ("PassWord123", "among the first that an attacker tries"),
        ("anna-maria.x", "the password is the user's name"),
        ("Anna-Maria.X", "the password is the user's name"),
        ("anna-maria.xanna-maria.x", "the password is the user's name"),
    ],
)
def test_bad_password_is_refused_with_the_reason_and_not_shown(password: str, said: str) -> None:
    with pytest.raises(AccountRefused) as caught:
        check_password(password, "anna-maria.x")
    assert said in str(caught.value)
    assert not password or password not in str(caught.value)


def test_typed_password_is_refused_with_the_same_reason() -> None:
    assert refusal(password="short{}") == "the password has 7 characters; take at least 10"
    assert refusal(password="passwordpassword").startswith("the password is among the first")
    schema = Typed.model_json_schema()["properties"]["password"]
    assert schema["minLength"] == SHORTEST_PASSWORD
    assert schema["maxLength"] == LONGEST_PASSWORD


def test_list_of_bad_passwords_holds_none_that_is_refused_for_its_length() -> None:
    assert {p for p in COMMON_PASSWORDS if len(p) < SHORTEST_PASSWORD} == set()
    assert {p.casefold() for p in COMMON_PASSWORDS} == COMMON_PASSWORDS


def test_accents_are_one_password_however_they_are_typed() -> None:
    assert normal_password("Ko\u0308nigsweg 12") == "Königsweg 12"
    check_password("ko\u0308nigswege", "")  # ten letters, eleven code points
    with pytest.raises(AccountRefused, match="has 9 characters"):
        check_password("ko\u0308nigsweg", "")


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "7", "anna", "anna.b_c-d", "x" * 32])
def test_good_names_are_taken(name: str) -> None:
    assert Typed(name=name).name == name


@pytest.mark.parametrize("typed", ["Anna", " anna ", "ANNA\n"])
def test_name_is_folded_as_a_phone_types_it(typed: str) -> None:
    assert Typed(name=typed).name == fold_name(typed) == "anna"


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 33, "änna", "an na", ".", "..", "-rf", "_", "a/b", "a\nb", "a\x00", "¹"]
)
def test_bad_names_are_refused(name: str) -> None:
    assert refusal(name=name).startswith("a user's name has 1 to 32 of a-z, 0-9,")


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\nb", "a\x7f"])
def test_bad_names_of_tokens_are_refused(name: str) -> None:
    assert refusal(token=name)


def test_name_of_a_token_is_stripped() -> None:
    assert Typed(token=" Grafana, küche ").token == "Grafana, küche"


# -- users ----------------------------------------------------------------------------------------


def test_first_user_is_first_once() -> None:
    one = Accounts().begin(ANNA)
    assert one.users == (ANNA,)
    assert one.has_admin
    with pytest.raises(AccountRefused, match="set up already; log in"):
        one.begin(BEN)


def test_users_are_added_and_found() -> None:
    both = Accounts().add(ANNA).add(BEN)
    assert both.user("ben") == BEN
    assert both.find("eve") is None
    with pytest.raises(NoSuchAccount, match=r"no user 'eve'; known: anna, ben"):
        both.user("eve")
    with pytest.raises(NoSuchAccount, match="known: nobody"):
        Accounts().user("eve")
    with pytest.raises(AccountRefused, match="a user 'ben' already"):
        both.add(BEN)


def test_users_are_limited() -> None:
    many = Accounts(
        users=tuple(BEN.model_copy(update={"name": f"u{n}"}) for n in range(MOST_USERS))
    )
    with pytest.raises(AccountRefused, match=f"there are {MOST_USERS} users; delete one"):
        many.add(ANNA)
    fewer = Accounts(users=(*many.users[1:], ANNA)).remove("u1")
    assert fewer.add(CARA).find("cara") == CARA


def test_deleted_user_takes_the_tokens_along() -> None:
    accounts = ALL.add_token(token(BEN)).add_token(token(ANNA, 2)).remove("ben")
    assert [user.name for user in accounts.users] == ["anna", "cara"]
    assert [t.created_by for t in accounts.tokens] == ["anna"]
    with pytest.raises(NoSuchAccount):
        accounts.remove("ben")


def test_last_admin_stays() -> None:
    with pytest.raises(AccountRefused, match="anna is the only admin; make somebody else one"):
        ALL.remove("anna")
    with pytest.raises(AccountRefused, match="anna is the only admin; make somebody else one"):
        ALL.set_role("anna", Role.OPERATOR)
    two = ALL.set_role("cara", Role.ADMIN)
    assert two.set_role("anna", Role.VIEWER).user("anna").role is Role.VIEWER
    assert two.remove("anna").find("anna") is None
    assert ALL.set_role("anna", Role.ADMIN) == ALL
    with pytest.raises(NoSuchAccount):
        ALL.set_role("eve", Role.ADMIN)


def test_new_password_is_of_another_generation() -> None:
    changed = ALL.set_password("ben", HASH + "x", "2")
    assert changed.user("ben") == BEN.model_copy(update={"password": HASH + "x", "generation": "2"})
    assert changed.user("anna") == ANNA
    with pytest.raises(NoSuchAccount):
        ALL.set_password("eve", HASH, "2")


def test_new_hash_of_an_old_password_does_not_replace_a_new_password() -> None:
    assert ALL.rehash(BEN, HASH + "x").user("ben").password == HASH + "x"
    assert ALL.rehash(BEN, HASH + "x").user("ben").generation == BEN.generation
    changed = ALL.set_password("ben", HASH + "y", "2")
    assert changed.rehash(BEN, HASH + "x") == changed
    gone = ALL.remove("ben")
    assert gone.rehash(BEN, HASH + "x") == gone


# -- tokens ---------------------------------------------------------------------------------------


def test_token_opens_what_its_owner_may_now() -> None:
    both = token(BEN, scopes=(Scope.READ, Scope.OPERATE))
    accounts = ALL.add_token(both)
    held = accounts.holder(digest_of("secret 1"), NOW)
    assert held == (both, BEN)
    assert scopes_of(*held) == {Scope.READ, Scope.OPERATE}
    demoted = accounts.set_role("ben", Role.VIEWER).holder(digest_of("secret 1"), NOW)
    assert demoted is not None
    assert scopes_of(*demoted) == {Scope.READ}
    assert accounts.holder(digest_of("secret 2"), NOW) is None
    orphan = Accounts(users=(ANNA,), tokens=(both,))  # of a file that somebody edited
    assert orphan.holder(both.digest, NOW) is None


def test_token_ends_when_it_was_to_end() -> None:
    short = token(expires_at=NOW + timedelta(days=1))
    accounts = ALL.add_token(short)
    last = NOW + timedelta(days=1) - timedelta(seconds=1)
    assert accounts.holder(short.digest, last) == (short, ANNA)
    assert accounts.holder(short.digest, NOW + timedelta(days=1)) is None
    assert not token().has_expired(datetime.max.replace(tzinfo=UTC))


def test_token_may_not_more_than_its_owner() -> None:
    with pytest.raises(NotAllowed, match=r"ben \(operator\) may not configure, accounts, and so"):
        ALL.add_token(token(BEN, scopes=tuple(Scope)))
    with pytest.raises(AccountRefused, match="may do nothing; give it at least"):
        ALL.add_token(token(scopes=()))
    with pytest.raises(NoSuchAccount):
        ALL.remove("ben").add_token(token(BEN))


def test_tokens_of_a_user_have_different_names() -> None:
    accounts = ALL.add_token(token()).add_token(token(BEN, 2, name="token 1"))
    with pytest.raises(AccountRefused, match="a token 'token 1' already; take another name"):
        accounts.add_token(token(number=3, name="token 1"))


def test_tokens_are_limited() -> None:
    many = Accounts(users=(ANNA,), tokens=tuple(token(number=n) for n in range(MOST_TOKENS)))
    with pytest.raises(AccountRefused, match=f"there are {MOST_TOKENS} tokens; delete one"):
        many.add_token(token(number=MOST_TOKENS))


def test_tokens_are_deleted_by_their_owner_or_whoever_may() -> None:
    accounts = ALL.add_token(token()).add_token(token(BEN, 2))
    assert accounts.tokens_of("ben") == (token(BEN, 2),)
    assert len(accounts.tokens_of(None)) == 2
    assert accounts.remove_token(token(BEN, 2).id, "ben").tokens == (token(),)
    assert accounts.remove_token(token(BEN, 2).id, None).tokens == (token(),)
    for identity in (token().id, "f" * 12):
        with pytest.raises(NoSuchAccount, match="there is no such token"):
            accounts.remove_token(identity, "ben")


def test_use_of_a_token_is_kept_to_the_hour() -> None:
    assert is_worth_keeping(None, NOW)
    assert not is_worth_keeping(NOW, NOW + timedelta(minutes=59))
    assert is_worth_keeping(NOW, NOW + timedelta(hours=1))
    assert is_worth_keeping(NOW, NOW - timedelta(hours=1))  # the clock was put right
    accounts = ALL.add_token(token()).add_token(token(number=2))
    used = accounts.used({token().id: NOW, "f" * 12: NOW})
    assert [t.last_used_at for t in used.tokens] == [NOW, None]


# -- what is kept ---------------------------------------------------------------------------------


def test_accounts_survive_json() -> None:
    accounts = ALL.add_token(token(expires_at=NOW, last_used_at=NOW))
    assert Accounts.model_validate_json(accounts.model_dump_json()) == accounts


def test_no_secret_shows_where_values_are_printed() -> None:
    accounts = ALL.add_token(token())
    assert HASH not in repr(accounts)
    assert token().digest not in repr(accounts)


def test_digest_is_sha_256() -> None:
    assert TOKEN_PREFIX == "nxai_"
    assert digest_of("abc").startswith("ba7816bf8f01cfea414140de5dae2223")
    assert digest_of("\udcff") != digest_of("?")  # a header that is no UTF-8
