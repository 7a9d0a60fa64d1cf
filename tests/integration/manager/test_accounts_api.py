"""Logging in, accounts and tokens as a browser and a script meet them, over real HTTP(S)."""

import asyncio
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any, cast

import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.errors import ConfigurationError
from nxai_manager.adapters.accounts_file import AccountsFile
from nxai_manager.adapters.certificate import Certificate
from nxai_manager.adapters.output_secrets import OutputSecrets
from nxai_manager.adapters.password_hash import TooManyAtOnceError
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.adapters.sessions_file import SessionsFile
from nxai_manager.core.accounts import Role, Scope
from nxai_manager.core.document import Device, Settings
from nxai_manager.core.login_limit import FREE_ATTEMPTS, LONGEST_WAIT_S
from nxai_manager.core.sessions import IDLE_S
from nxai_manager.doorkeeper import Doorkeeper
from nxai_manager.settings import ManagerSettings
from nxai_manager.web import hub
from nxai_manager.web.box import Box
from nxai_manager.web.endpoint import API, Endpoint
from nxai_manager.web.hub import Hub
from nxai_manager.web.server import Door, WebServer, listed
from support.accounts import BoxTime, CountedHasher
from support.broker import Broker
from support.waiting import wait_for

PASSWORD = 'a@b:c/d#e?f%g"h 🔑'
OTHER = "correct horse battery staple"
SESSION, SESSION_HTTPS, MARK = "nxai_session_box", "nxai_session_box_https", "nxai_known_box"
HTTP, HTTPS = "http://127.0.0.1:0", "https://127.0.0.1:0"


@dataclass
class Answered:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def cookies(self) -> dict[str, Morsel[str]]:
        found = SimpleCookie()
        for line in self.headers.get_all("Set-Cookie", []):
            found.load(line)
        return dict(found)

    def reasons(self) -> dict[str, str]:
        return {problem["where"]: problem["reason"] for problem in self.json["problems"]}


class Browser:
    """Sends what a browser sends, keeps cookies, and minds their flag `Secure`."""

    def __init__(
        self, site: "Site | Elsewhere", headers: Mapping[str, str], *, https: bool = False
    ) -> None:
        self.site, self.https, self.headers = site, https, headers
        self.cookies: dict[str, Morsel[str]] = {}
        self.csrf = ""

    def ask(
        self, method: str, path: str, body: object = None, **headers: str | bytes | None
    ) -> Answered:
        sent: dict[str, Any] = {"X-CSRF-Token": self.csrf, **self.headers}
        held = [m for m in self.cookies.values() if self.https or not m["secure"]]
        if held:
            sent["Cookie"] = "; ".join(f"{morsel.key}={morsel.value}" for morsel in held)
        content = None
        if body is not None:
            content, sent["Content-Type"] = json.dumps(body), "application/json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(self.site.connection(self.https)) as connection:
            shown = {name: value for name, value in sent.items() if value is not None}
            connection.request(method, API + path, content, shown)
            response = connection.getresponse()
            answer = Answered(response.status, response.headers, response.read())
        self._keep(answer.cookies)
        if answer.status < 300 and answer.body and "csrf" in answer.json:
            self.csrf = answer.json["csrf"]
        return answer

    def _keep(self, cookies: Mapping[str, Morsel[str]]) -> None:
        for name, morsel in cookies.items():
            taken = self.cookies.get(name)
            if taken is not None and taken["secure"] and not self.https:
                continue  # "leave secure cookies alone" (RFC 6265bis, section 5.7)
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel

    def set_up(self) -> Answered:
        return self.ask("POST", "/setup", {"username": "anna", "password": PASSWORD})

    def log_in(self, name: str = "anna", password: str = PASSWORD) -> Answered:
        return self.ask("POST", "/session", {"username": name, "password": password})

    @property
    def state(self) -> str:
        return str(self.ask("GET", "/session").json["state"])


class Desk:
    """Settings that are a value: what the accounts ask of the desk, and no more."""

    def __init__(self) -> None:
        self.settings: Settings | None = Settings(device=Device(name="Hall 2"))
        self.wrong = ""

    def change(self, changes: Mapping[str, Any], by: str) -> None:
        assert by
        if self.wrong:
            raise ConfigurationError(self.wrong)
        self.settings = Settings.model_validate(changes)


@dataclass
class Site:
    """A manager that serves its page, without the rest."""

    server: WebServer
    keeper: Doorkeeper
    hasher: CountedHasher
    time: BoxTime
    folder: Path
    desk: Desk

    def connection(self, https: bool) -> http.client.HTTPConnection:
        if not https:
            return http.client.HTTPConnection("127.0.0.1", self.server.ports[HTTP], timeout=30)
        context = ssl.create_default_context(cafile=str(self.folder / "https.pem"))
        return http.client.HTTPSConnection(
            "127.0.0.1", self.server.ports[HTTPS], timeout=30, context=context
        )

    def browser(self, *, https: bool = False, **headers: str) -> Browser:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Browser(self, named, https=https)

    def of(self, role: Role) -> Browser:
        """Return a browser in which somebody of this role is logged in."""
        admin = self.browser()
        if admin.state == "setup":
            admin.set_up()
        else:
            admin.log_in()
        if role is Role.ADMIN:
            return admin
        name = role.value
        admin.ask("POST", "/users", {"name": name, "role": role, "password": PASSWORD})
        browser = self.browser()
        assert browser.log_in(name).json["role"] == role
        return browser

    def token(self, *scopes: Scope) -> Browser:
        """Return a script that has a token with these scopes."""
        made = self.of(Role.ADMIN).ask("POST", "/tokens", {"name": "script", "scopes": scopes})
        return self.browser(Authorization=f"Bearer {made.json['secret']}")


@contextmanager
def served(folder: Path, *, https: bool = False, trusted: tuple[str, ...] = ()) -> Iterator[Site]:
    time, hasher, desk = BoxTime(), CountedHasher(), Desk()
    keeper = Doorkeeper(
        AccountsFile(folder),
        SessionsFile(folder),
        hasher,
        now=time.now,
        monotonic=time.monotonic,
    )
    doors = [Door("127.0.0.1", 0)]
    if https:
        doors.append(Door("127.0.0.1", 0, Certificate(folder).context))
    with (
        closing(hasher),
        MemoryBus(MemoryBroker()) as bus,
        Hub(bus) as heard,
        keeper,
        ThreadPoolExecutor(4) as pool,
    ):
        box = Box(
            bus=bus,
            hub=heard,
            desk=cast("Any", desk),
            gate=keeper,
            settings=ManagerSettings(state_dir=folder, trusted_proxies=trusted),
            version="1.2.3",
            secrets=SecretsDirectory(folder / "secrets"),
            output_secrets=OutputSecrets(folder / "secrets" / "output-secrets"),
            handover=None,
            pool=pool,
        )
        with WebServer(box, doors) as server:
            yield Site(server, keeper, hasher, time, folder, desk)


@pytest.fixture(autouse=True)
def _quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "RECEIVE_S", 0.02)  # the hub ends no sooner than its wait does


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path) as made:
        yield made


@pytest.fixture
def admin(site: Site) -> Browser:
    return site.of(Role.ADMIN)


# -- the first look -------------------------------------------------------------------------------


def test_fresh_box_asks_for_a_password_and_does_nothing_else(site: Site) -> None:
    fresh = site.browser()
    told = fresh.ask("GET", "/session").json
    assert told["state"] == "setup"
    assert told["device"]["name"] == "Hall 2"
    for method, path in (("GET", "/users"), ("GET", "/tokens"), ("DELETE", "/session")):
        assert fresh.ask(method, path).status == 401
    assert fresh.log_in().status == 401


def test_first_user_names_the_box_and_is_in(site: Site) -> None:
    fresh = site.browser()
    answer = fresh.ask(
        "POST",
        "/setup",
        {"username": " Anna ", "password": PASSWORD, "device_name": " Küche "},
    )
    assert answer.status == 201
    told = answer.json
    assert (told["state"], told["user"], told["role"]) == ("in", "anna", "admin")
    assert told["scopes"] == [scope.value for scope in Scope]
    assert told["device"] | {"serial": ""} == {"id": "box", "name": "Küche", "serial": ""}
    assert (told["version"], told["notes"]) == ("1.2.3", [])
    assert fresh.ask("GET", "/session").json == told
    assert fresh.ask("GET", "/users").json["users"][0]["you"] is True


def test_set_up_works_once(site: Site) -> None:
    assert site.browser().set_up().status == 201
    second = site.browser().set_up()
    assert (second.status, second.json["detail"]) == (409, "this box is set up already; log in")
    assert second.cookies == {}
    assert site.browser().state == "login"


def test_of_two_who_set_up_at_once_one_wins(site: Site) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _n: site.browser().set_up(), range(4)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]
    assert len(site.keeper.users()) == 1


def test_page_that_leads_its_own_name_here_sets_nothing_up(site: Site) -> None:
    there = "evil.example:8081"
    answer = site.browser(Host=there, Origin=f"http://{there}").set_up()
    assert answer.status == 403
    assert "set the box up at its address" in answer.json["detail"]
    assert site.browser().state == "setup"
    assert site.browser(Host="box.local:8081").set_up().status == 201
    assert site.browser(Host=there).log_in().status == 200  # a proxy may have that name


@pytest.mark.parametrize(
    ("form", "where", "said"),
    [
        ({"username": "Änna"}, "username", "a user's name has 1 to 32 of a-z, 0-9"),
        ({"username": ""}, "username", "a user's name has 1 to 32"),
        ({"password": "short"}, "password", "the password has 5 characters; take at least 10"),
        ({"password": "password123"}, "password", "among the first that an attacker tries"),
        ({"username": "long-long-name", "password": "Long-Long-Name"}, "password", "user's name"),
        ({"device_name": "x" * 101}, "device_name", "at most 100 characters"),
        ({"admin": True}, "admin", "is not known"),
    ],
)
def test_wrong_set_up_says_where_and_why(
    site: Site, form: dict[str, Any], where: str, said: str
) -> None:
    answer = site.browser().ask("POST", "/setup", {"username": "anna", "password": PASSWORD} | form)
    assert answer.status == 422
    assert said in answer.reasons()[where]
    assert form.get("password", PASSWORD) not in answer.body.decode()
    assert site.browser().state == "setup"


def test_box_that_cannot_be_named_is_set_up_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.desk.wrong = "settings.json has mistakes"
    site.desk.settings = None
    monkeypatch.setattr("nxai_manager.web.api.accounts.FIRST_SETTINGS_S", 0.1)
    answer = site.browser().ask(
        "POST", "/setup", {"username": "anna", "password": PASSWORD, "device_name": "Küche"}
    )
    assert answer.status == 201
    assert answer.json["notes"] == ["the name of the box was not kept: settings.json has mistakes"]


def test_who_is_not_in_learns_nothing_of_the_box(site: Site, admin: Browser) -> None:
    assert admin.state == "in"
    told = site.browser().ask("GET", "/session").json
    assert told == {
        "state": "login",
        "user": "",
        "role": None,
        "scopes": [],
        "csrf": "",
        "device": {"id": "box", "name": "Hall 2", "serial": ""},
        "version": "",
        "notes": [],
    }
    site.desk.settings = None  # settings.json was never good
    assert site.browser().ask("GET", "/session").json["device"]["name"] == ""


# -- logging in and out ---------------------------------------------------------------------------


def test_login_and_logout(site: Site, admin: Browser) -> None:
    browser = site.browser()
    told = browser.log_in(" Anna ").json
    assert (told["state"], told["user"]) == ("in", "anna")
    kept = dict(browser.cookies)
    assert browser.ask("DELETE", "/session").status == 204
    assert SESSION not in browser.cookies
    assert browser.state == "login"
    browser.cookies = kept  # somebody kept them
    assert browser.state == "login"
    assert browser.ask("GET", "/users").status == 401
    assert admin.state == "in"


def test_wrong_login_does_not_tell_what_was_wrong(site: Site, admin: Browser) -> None:
    assert admin.state == "in"
    one = site.browser().log_in("anna", "not the password")
    two = site.browser().log_in("nobody", "not the password")
    assert one.status == two.status == 401
    assert one.json == two.json
    assert one.json["detail"] == "the name or the password is not right"
    assert one.cookies == {}
    assert site.hasher.looked_at[-2:] == [True, False]  # as much work for both


def test_login_over_a_session_ends_that_one(admin: Browser) -> None:
    before = dict(admin.cookies)
    assert admin.log_in().status == 200
    assert admin.state == "in"
    admin.cookies = before
    assert admin.state == "login"


def test_session_that_somebody_else_chose_is_not_taken(site: Site, admin: Browser) -> None:
    assert admin.state == "in"
    victim, chosen = site.browser(), Morsel[str]()
    chosen.set(SESSION, "chosen-by-an-attacker", "chosen-by-an-attacker")
    victim.cookies[SESSION] = chosen
    victim.log_in()
    assert victim.cookies[SESSION].value != "chosen-by-an-attacker"
    attacker = site.browser()
    attacker.cookies[SESSION] = chosen
    assert attacker.state == "login"


def test_cookies_are_for_this_page_alone(site: Site, admin: Browser) -> None:
    assert admin.state == "in"
    cookies = site.browser().log_in().cookies
    assert set(cookies) == {SESSION, MARK}
    for morsel in cookies.values():
        assert morsel["httponly"] is True
        assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("Strict", "/", "")
        assert not morsel["secure"]  # this was HTTP
        assert int(morsel["max-age"]) > 0


def test_cookies_of_https_are_for_https_alone(tmp_path: Path) -> None:
    with served(tmp_path, https=True) as site:
        browser = site.browser(https=True)
        cookies = browser.set_up().cookies
        assert set(cookies) == {SESSION_HTTPS, f"{MARK}_https"}
        assert all(morsel["secure"] and morsel["httponly"] for morsel in cookies.values())
        assert browser.state == "in"
        browser.https = False  # the same browser, at the other port
        assert browser.state == "login"
        assert browser.log_in().status == 200
        assert browser.state == "in"
        browser.https = True
        assert browser.state == "in"
        kept = dict(browser.cookies)
        assert browser.ask("DELETE", "/session").status == 204
        browser.cookies = kept
        assert browser.state == "login"  # both have ended: a browser sends both to HTTPS
        browser.https = False
        assert browser.state == "login"


def test_session_ends_when_it_is_not_used(site: Site, admin: Browser) -> None:
    site.time.pass_by(IDLE_S - 1)
    assert admin.ask("GET", "/users").status == 200
    site.time.pass_by(IDLE_S)
    assert admin.ask("GET", "/users").status == 401
    assert admin.state == "login"


def test_header_that_is_no_text_is_no_crash(site: Site, admin: Browser) -> None:
    assert site.browser().ask("GET", "/users", Cookie=f"{SESSION}=\xff\xfe").status == 401
    assert site.browser().ask("GET", "/users", Authorization="Bearer \xff").status == 401
    assert admin.ask("DELETE", "/session", X_CSRF_Token="\xff").status == 403
    assert site.browser().ask("POST", "/session", Cookie=f"{MARK}=\xff").status == 415
    assert admin.state == "in"


# -- guessing -------------------------------------------------------------------------------------


def test_guessing_is_slowed_down(site: Site, admin: Browser) -> None:
    assert admin.state == "in"
    for _ in range(FREE_ATTEMPTS):
        assert site.browser().log_in(password="not the password").status == 401
    work = len(site.hasher.looked_at)
    for _ in range(10):
        answer = site.browser().log_in()
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert answer.json["detail"] == "too many attempts; try again in 1 s"
    assert len(site.hasher.looked_at) == work  # and costs the box nothing
    assert admin.ask("GET", "/users").status == 200
    site.time.pass_by(1)
    assert site.browser().log_in().status == 200


def test_many_guesses_at_once_are_no_more(site: Site, admin: Browser) -> None:
    assert admin.state == "in"
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda _n: site.browser().log_in(password="not the password"), range(40))
        )
    assert [answer.status for answer in answers].count(401) == FREE_ATTEMPTS
    assert len(answers) == FREE_ATTEMPTS + [answer.status for answer in answers].count(429)


def test_who_hammers_locks_out_nobody_who_comes_from_elsewhere(tmp_path: Path) -> None:
    with served(tmp_path, trusted=("127.0.0.1",)) as site:
        admin = site.browser(X_Forwarded_For="10.0.0.5")
        admin.set_up()
        eve, wait = site.browser(X_Forwarded_For="10.0.0.66"), 0
        while wait < LONGEST_WAIT_S:
            answer = eve.log_in(password="not the password")
            wait = int(answer.headers.get("Retry-After", "0"))
            site.time.pass_by(wait if wait < LONGEST_WAIT_S else 0)
        assert eve.log_in().status == 429
        assert admin.ask("GET", "/users").status == 200
        assert site.browser(X_Forwarded_For="10.0.0.5").log_in().status == 200
        # What it says of itself stands before what the proxy says of it.
        assert site.browser(X_Forwarded_For="10.9.9.9, 10.0.0.66").log_in().status == 429


def test_browser_that_was_in_before_is_not_kept_out_by_its_neighbour(
    site: Site, admin: Browser
) -> None:
    admin.ask("DELETE", "/session")
    wait = 0
    while wait < LONGEST_WAIT_S:
        answer = site.browser().log_in(password="not the password")
        wait = int(answer.headers.get("Retry-After", "0"))
        site.time.pass_by(wait if wait < LONGEST_WAIT_S else 0)
    assert site.browser().log_in().status == 429
    assert admin.log_in().status == 200


def test_flood_of_logins_is_told_to_come_again(site: Site, admin: Browser) -> None:
    assert admin.state == "in"
    site.hasher.fail = TooManyAtOnceError("too many log in at this moment; try again")
    answer = site.browser().log_in()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert admin.ask("GET", "/users").status == 200


# -- requests that another page made --------------------------------------------------------------


def test_state_changes_need_the_csrf_token_of_the_session(site: Site, admin: Browser) -> None:
    other = site.browser()
    foreign = other.log_in().json["csrf"]
    body = {"name": "eve", "role": "admin", "password": PASSWORD}
    for token in (None, "", foreign, admin.csrf[:-1], admin.csrf.upper()):
        answer = admin.ask("POST", "/users", body, X_CSRF_Token=token)
        assert answer.status == 403
        assert "X-CSRF-Token" in answer.json["detail"]
    assert admin.ask("DELETE", "/session", X_CSRF_Token=None).status == 403
    assert admin.state == "in"
    assert admin.ask("POST", "/users", body).status == 201


def test_other_pages_cannot_set_up_or_log_in(site: Site) -> None:
    fresh = site.browser()
    evil = "http://evil.example"
    assert site.browser(Origin=evil).set_up().status == 403
    assert fresh.state == "setup"
    text = fresh.ask("POST", "/setup", Content_Type="text/plain")
    assert text.status == 415
    host = f"http://127.0.0.1:{site.server.ports[HTTP]}"
    assert site.browser(Origin=host).set_up().status == 201
    assert site.browser(Origin=evil).log_in().status == 403


# -- roles ----------------------------------------------------------------------------------------

EVERY = [endpoint for endpoint in listed() if endpoint.scope is not None]
OWN = {("DELETE", "/session"), ("PUT", "/session/password")}
"""What a viewer may change: nothing of the box, only the own session and password."""


def path_of(endpoint: Endpoint) -> str:
    return re.sub(r"\{[^}]+\}", "x", endpoint.path)


@pytest.mark.parametrize("role", [*Role, None], ids=lambda role: role.value if role else "nobody")
def test_every_endpoint_refuses_who_may_not(site: Site, role: Role | None) -> None:
    browser = site.browser() if role is None else site.of(role)
    scopes = role.scopes if role else frozenset()
    wanted = 403 if role else 401
    refused = [e for e in EVERY if e.scope not in scopes]
    assert role is Role.ADMIN or refused
    found = {
        f"{endpoint.method} {endpoint.path}": browser.ask(endpoint.method, path_of(endpoint)).status
        for endpoint in refused
    }
    assert found == dict.fromkeys(found, wanted)
    assert role is None or browser.state == "in"


def test_viewer_changes_nothing_but_the_own_session() -> None:
    may = {(e.method, e.path) for e in EVERY if e.changes and e.scope in Role.VIEWER.scopes}
    assert may == OWN


def test_what_needs_no_login_is_the_door_alone() -> None:
    assert {(e.method, e.path) for e in listed() if e.scope is None} == {
        ("GET", "/session"),
        ("POST", "/session"),
        ("POST", "/setup"),
        ("GET", "/openapi.json"),
    }


def test_refusal_says_who_may(site: Site) -> None:
    answer = site.of(Role.VIEWER).ask("GET", "/users")
    assert (
        "viewer (viewer) may not do this: it needs the right to accounts" in answer.json["detail"]
    )


def test_new_role_holds_at_once(site: Site, admin: Browser) -> None:
    viewer = site.of(Role.VIEWER)
    assert viewer.ask("GET", "/users").status == 403
    changed = admin.ask("PATCH", "/users/viewer", {"role": "admin"})
    assert changed.json["role"] == "admin"
    assert viewer.ask("GET", "/users").status == 200
    admin.ask("PATCH", "/users/viewer", {"role": "viewer"})
    assert viewer.ask("GET", "/users").status == 403


def test_token_for_accounts_alone_makes_no_login_that_may_more(site: Site, admin: Browser) -> None:
    site.of(Role.VIEWER)
    script = site.token(Scope.READ, Scope.ACCOUNTS)
    new = {"name": "eve", "role": "admin", "password": OTHER}
    for method, path, body in (
        ("POST", "/users", new),
        ("POST", "/users", new | {"role": "operator"}),
        ("PATCH", "/users/viewer", {"role": "admin"}),
        ("PATCH", "/users/viewer", {"role": "operator", "password": OTHER}),
    ):
        answer = script.ask(method, path, body)
        assert answer.status == 403
        assert "this token may not operate" in answer.json["detail"]
    assert admin.ask("POST", "/users", new).status == 201
    assert script.ask("PATCH", "/users/eve", {"password": PASSWORD}).status == 403
    assert script.ask("PATCH", "/users/eve", {"role": "viewer"}).status == 200
    assert script.ask("POST", "/users", new | {"name": "ben", "role": "viewer"}).status == 201


# -- users ----------------------------------------------------------------------------------------


def test_users_come_change_and_go(site: Site, admin: Browser) -> None:
    made = admin.ask("POST", "/users", {"name": "Ben", "role": "operator", "password": PASSWORD})
    assert made.status == 201
    assert made.json["name"] == "ben"
    assert made.json["you"] is False
    ben = site.browser()
    assert ben.log_in("ben").status == 200
    assert [user["name"] for user in admin.ask("GET", "/users").json["users"]] == ["anna", "ben"]
    changed = admin.ask("PATCH", "/users/ben", {"role": "viewer", "password": OTHER})
    assert changed.json["role"] == "viewer"
    assert ben.state == "login"
    assert ben.log_in("ben", OTHER).json["role"] == "viewer"
    assert admin.ask("DELETE", "/users/ben").status == 204
    assert ben.state == "login"
    assert ben.log_in("ben", OTHER).status == 401
    assert admin.ask("DELETE", "/users/ben").status == 404


def test_no_answer_shows_a_hash(site: Site, admin: Browser) -> None:
    assert site.keeper.users()[0].password.startswith("$argon2id$")
    for path in ("/users", "/tokens", "/session"):
        assert b"argon2" not in admin.ask("GET", path).body


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("DELETE", "/users/anna", None, 409, "anna is the only admin; make somebody else one"),
        ("PATCH", "/users/anna", {"role": "viewer"}, 409, "anna is the only admin"),
        ("PATCH", "/users/anna", {"password": OTHER}, 409, "change your own password with the old"),
        ("PATCH", "/users/eve", {"role": "viewer"}, 404, "there is no user 'eve'; known: anna"),
        ("PATCH", "/users/eve", {"password": OTHER}, 404, "there is no user 'eve'"),
        ("PATCH", "/users/eve", {}, 422, "give a role, a password, or both"),
        ("PATCH", "/users/eve", {"role": "king"}, 422, "role: must be 'viewer', 'operator' or"),
        ("DELETE", "/users/%C3%A4", None, 404, "there is nothing of this name"),
        ("POST", "/users", {"name": "anna"}, 422, "role: is missing"),
        (
            "POST",
            "/users",
            {"name": "anna", "role": "admin", "password": OTHER},
            409,
            "there is a user 'anna' already",
        ),
        (
            "POST",
            "/users",
            {"name": "a-long-name", "role": "admin", "password": "A-Long-Name"},
            422,
            "the password is the user's name",
        ),
        ("DELETE", "/tokens/000000000000", None, 404, "there is no such token"),
        ("DELETE", "/tokens/x", None, 404, "there is nothing of this name"),
        ("POST", "/tokens", {"name": "x", "scopes": []}, 422, "scopes"),
        ("POST", "/tokens", {"name": "", "scopes": ["read"]}, 422, "name"),
        ("POST", "/tokens", {"name": "x", "scopes": ["read"], "days": 0}, 422, "days"),
    ],
)
def test_what_cannot_be_says_why(
    admin: Browser, method: str, path: str, body: Any, status: int, said: str
) -> None:
    answer = admin.ask(method, path, body)
    assert answer.status == status
    assert said in answer.json["detail"]
    assert [user["name"] for user in admin.ask("GET", "/users").json["users"]] == ["anna"]


# -- the own password -----------------------------------------------------------------------------


def test_own_password_is_changed_with_the_old_one(site: Site, admin: Browser) -> None:
    other, before = site.browser(), dict(admin.cookies)
    other.log_in()
    wrong = admin.ask("PUT", "/session/password", {"old": OTHER, "new": OTHER})
    assert (wrong.status, wrong.reasons()) == (422, {"old": "this is not the present password"})
    short = admin.ask("PUT", "/session/password", {"old": PASSWORD, "new": "short"})
    assert (short.status, set(short.reasons())) == (422, {"new"})
    same = admin.ask("PUT", "/session/password", {"old": PASSWORD, "new": PASSWORD})
    assert same.reasons() == {"new": "the new password is the present one"}
    csrf = admin.csrf
    done = admin.ask("PUT", "/session/password", {"old": PASSWORD, "new": OTHER})
    assert done.status == 200
    assert done.json["csrf"] != csrf
    assert admin.ask("PUT", "/session/password", {"old": OTHER, "new": PASSWORD}).status == 200
    assert other.state == "login"
    admin.cookies = before
    assert admin.state == "login"


# -- tokens ---------------------------------------------------------------------------------------


def test_secret_of_a_token_is_shown_once(site: Site, admin: Browser) -> None:
    body = {"name": "Grafana", "scopes": ["operate", "read"], "days": 30}
    made = admin.ask("POST", "/tokens", body)
    assert made.status == 201
    secret, told = made.json["secret"], made.json["token"]
    assert re.fullmatch(r"nxai_[A-Za-z0-9_-]{43}", secret)
    assert told["scopes"] == ["read", "operate"]
    assert told["expires_at"].startswith("2026-12-22T12:00:00")
    assert admin.ask("GET", "/tokens").json["tokens"] == [told | {"expired": told["expired"]}]
    assert secret not in admin.ask("GET", "/tokens").body.decode()
    kept = "".join(path.read_text() for path in site.folder.glob("*.json"))
    assert secret not in kept
    script = site.browser(Authorization=f"Bearer {secret}")
    assert script.ask("GET", "/tokens").json["tokens"][0]["last_used_at"] is not None


def test_token_needs_no_csrf_and_does_what_it_may(site: Site) -> None:
    script = site.token(Scope.READ, Scope.ACCOUNTS)
    body = {"name": "ben", "role": "viewer", "password": PASSWORD}
    assert script.ask("POST", "/users", body).status == 201
    assert script.ask("GET", "/session").json["state"] == "in"
    more = script.ask("POST", "/tokens", {"name": "more", "scopes": ["read"]})
    assert more.status == 403
    for method, path, sent in (
        ("PUT", "/session/password", {"old": PASSWORD, "new": OTHER}),
        ("DELETE", "/session", None),
    ):
        answer = script.ask(method, path, sent)
        assert answer.status == 403
        assert "a token" in answer.json["detail"]


def test_token_that_may_operate_makes_no_other(site: Site) -> None:
    answer = site.token(*Scope).ask("POST", "/tokens", {"name": "more", "scopes": ["read"]})
    assert (answer.status, answer.json["detail"]) == (403, "a token cannot make tokens; log in")


def test_token_with_too_few_scopes_is_refused(site: Site) -> None:
    script = site.token(Scope.READ)
    refused = [e for e in EVERY if e.scope is not Scope.READ]
    found = {script.ask(e.method, path_of(e)).status for e in refused}
    assert found == {403}


def test_token_that_is_not_good_is_refused_whatever_the_cookie(admin: Browser) -> None:
    for token in ("nxai_", "nxai_" + "x" * 43, "", admin.cookies[SESSION].value):
        answer = admin.ask("GET", "/users", Authorization=f"Bearer {token}")
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_token_ends_and_is_deleted(site: Site, admin: Browser) -> None:
    made = admin.ask("POST", "/tokens", {"name": "short", "scopes": ["read"], "days": 1}).json
    script = site.browser(Authorization=f"Bearer {made['secret']}")
    assert script.ask("GET", "/tokens").status == 200
    site.time.pass_by(24 * 3600)
    assert script.ask("GET", "/tokens").status == 401
    admin.log_in()
    lasting = admin.ask("POST", "/tokens", {"name": "long", "scopes": ["read"]}).json
    script = site.browser(Authorization=f"Bearer {lasting['secret']}")
    assert script.ask("GET", "/tokens").status == 200
    assert admin.ask("DELETE", f"/tokens/{lasting['token']['id']}").status == 204
    assert script.ask("GET", "/tokens").status == 401


def test_operator_has_own_tokens_and_no_more_than_own_rights(site: Site, admin: Browser) -> None:
    operator = site.of(Role.OPERATOR)
    mine = admin.ask("POST", "/tokens", {"name": "x", "scopes": ["read"]}).json["token"]
    more = operator.ask("POST", "/tokens", {"name": "x", "scopes": ["read", "configure"]})
    assert more.status == 403
    assert "operator (operator) may not configure" in more.json["detail"]
    own = operator.ask("POST", "/tokens", {"name": "x", "scopes": ["operate"]})
    assert own.status == 201
    listed_ = operator.ask("GET", "/tokens").json["tokens"]
    assert [token["id"] for token in listed_] == [own.json["token"]["id"]]
    assert len(admin.ask("GET", "/tokens").json["tokens"]) == 2
    assert operator.ask("DELETE", f"/tokens/{mine['id']}").status == 404


# -- what goes wrong ------------------------------------------------------------------------------


def test_damaged_accounts_open_nothing_and_say_what_to_do(tmp_path: Path) -> None:
    with served(tmp_path) as site:
        site.browser().set_up()
    (tmp_path / "accounts.json").write_text('{"users": [')
    with served(tmp_path) as site:
        for answer in (
            site.browser().ask("GET", "/session"),
            site.browser().set_up(),
            site.browser().log_in(),
        ):
            assert answer.status == 503
            assert "accounts.json is damaged: " in answer.json["detail"]
            assert "or delete it to begin again" in answer.json["detail"]
            assert answer.headers["Retry-After"]
        assert site.browser().ask("GET", "/users").status == 401


def test_disk_that_is_full_is_told(
    site: Site, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nxai_manager.adapters.accounts_file.write_private", full)
    answer = admin.ask("POST", "/tokens", {"name": "x", "scopes": ["read"]})
    assert answer.status == 503
    assert "No space left on device; make room" in answer.json["detail"]
    assert site.keeper.tokens(site.keeper.by_session(admin.cookies[SESSION].value)) == ()  # type: ignore[arg-type] # somebody's


def test_no_secret_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    admin = site.of(Role.ADMIN)
    admin.ask("POST", "/users", {"name": "ben", "role": "admin", "password": OTHER})
    admin.ask("POST", "/users", {"name": "cara", "role": "admin", "password": "short" + "%" * 3})
    site.browser().log_in("ben", "a wrong password")
    site.browser().log_in("a name that is a password", "x")
    made = admin.ask("POST", "/tokens", {"name": "script", "scopes": ["read"]})
    site.browser(Authorization="Bearer nxai_wrong_token").ask("GET", "/users")
    changed = admin.ask("PUT", "/session/password", {"old": PASSWORD, "new": OTHER + "%"})
    assert changed.status == 200
    said = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert "logged in" in said or "set up" in said
    for secret in (
        PASSWORD,
        OTHER,
        "short%",
        "a wrong password",
        "a name that is",
        "nxai_wrong",
        made.json["secret"],
        admin.csrf,
        *(morsel.value for morsel in admin.cookies.values()),
    ):
        assert secret not in said


def test_server_ends_while_logins_are_under_way(tmp_path: Path) -> None:
    with served(tmp_path) as site:
        site.browser().set_up()
        loop = site.server._loop
        assert loop is not None
        future = asyncio.run_coroutine_threadsafe(
            site.keeper.log_in("anna", PASSWORD, "10.0.0.5"), loop
        )
        assert future.result(30).who.name == "anna"


# -- the process ----------------------------------------------------------------------------------


class Elsewhere:
    """A manager in a process of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connection(self, https: bool) -> http.client.HTTPConnection:
        assert not https
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)


def test_process_keeps_sessions_over_a_restart_and_takes_a_reset_password(
    tmp_path: Path, broker: Broker
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": os.defpath,
        "NXAI_RUN_DIR": str(tmp_path / "run"),
        "NXAI_MANAGER_SETTINGS": str(tmp_path / "settings.json"),
        "NXAI_MANAGER_SECRETS_DIR": str(tmp_path / "secrets"),
        "NXAI_MANAGER_STATE_DIR": str(tmp_path / "state"),
        "NXAI_MANAGER_HOST": "127.0.0.1",
        "NXAI_MANAGER_PORT": str(port),
    } | broker.environment
    command = [sys.executable, "-m", "nxai_manager"]
    log = (tmp_path / "log").open("ab")

    @contextmanager
    def running() -> Iterator[None]:
        with subprocess.Popen(command, env=environment, stderr=log) as process:
            try:
                wait_for(lambda: answers(Browser(Elsewhere(port), {})), 60)
                yield
            finally:
                process.terminate()
                assert process.wait(60) == 0

    browser = Browser(Elsewhere(port), {})
    with log:
        with running():
            assert browser.state == "setup"
            form = {"username": "anna", "password": PASSWORD, "device_name": "Küche"}
            done = browser.ask("POST", "/setup", form).json
            assert (done["notes"], done["device"]["name"]) == ([], "Küche")
            assert json.loads((tmp_path / "settings.json").read_text())["device"]["name"] == "Küche"
        with running():
            assert browser.state == "in"
            reset = subprocess.run(
                [*command, "reset-password"],
                env=environment,
                input=OTHER.encode(),
                capture_output=True,
                check=False,
            )
            assert (reset.returncode, reset.stderr) == (0, b"")
            wait_for(lambda: browser.state == "login")
            assert browser.log_in().status == 401
            assert browser.log_in(password=OTHER).status == 200
            assert browser.ask("DELETE", "/session").status == 204
    said = (tmp_path / "log").read_text()
    for secret in (PASSWORD, OTHER, browser.csrf):
        assert secret not in said


def answers(browser: Browser) -> bool:
    try:
        return browser.ask("GET", "/session").status == 200
    except OSError:
        return False
