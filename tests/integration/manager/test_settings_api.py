"""Settings and cameras over REST, as the page and scripts ask for them."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nxai_common.contracts.deployments import Deployment, Phase, Version
from nxai_manager.adapters.accounts_file import AccountsFile
from nxai_manager.adapters.output_secrets import OutputSecrets
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.adapters.sessions_file import SessionsFile
from nxai_manager.core.consistency import PLACEHOLDER
from nxai_manager.core.hidden import TYPE_AGAIN
from nxai_manager.doorkeeper import Doorkeeper
from nxai_manager.settings import ManagerSettings
from nxai_manager.web import hub
from nxai_manager.web.api import camera_settings, settings
from nxai_manager.web.box import Box
from nxai_manager.web.endpoint import API
from nxai_manager.web.hub import Hub
from nxai_manager.web.server import Door, WebServer
from support.accounts import CountedHasher
from support.settings_desk import FRONT, GOOD, PASSWORD, DeskBox, running_desk
from support.waiting import wait_for

DOOR = "http://127.0.0.1:0"
SHOWN = FRONT | {"password": PLACEHOLDER}
DEMO = {"id": "x", "source": {"type": "demo"}}
MOVED = ("cameras.front.password", TYPE_AGAIN)
ELSEWHERE = {"type": "rtsp", "url": "rtsp://192.0.2.66/1"}


@dataclass
class Answered:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problems(self) -> list[tuple[str, str]]:
        return [(p["where"], p["reason"]) for p in self.json["problems"]]


@dataclass
class Api:
    """A box whose settings are asked for with tokens."""

    desk_box: DeskBox
    server: WebServer
    tokens: dict[str, str]
    answers: list[str]
    """All that was ever answered."""

    def ask(
        self, method: str, path: str, body: object = None, *, by: str = "admin", raw: str = ""
    ) -> Answered:
        headers = {"Authorization": f"Bearer {self.tokens[by]}"} if by in self.tokens else {}
        content = raw or (None if body is None else json.dumps(body))
        if content is not None:
            headers["Content-Type"] = "application/json"
        port = self.server.ports[DOOR]
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            encoded = None if content is None else content.encode()
            connection.request(method, API + path, encoded, headers)
            response = connection.getresponse()
            answer = Answered(response.status, response.headers, response.read().decode())
        self.answers.append(answer.text)
        return answer

    def give_tokens(self) -> None:
        """Set up the first user, and make a token for each role."""
        entered = self.ask(
            "POST", "/setup", {"username": "anna", "password": "correct horse battery"}
        )
        assert entered.status == 201, entered.text
        cookie = entered.headers["Set-Cookie"].partition(";")[0]
        csrf = entered.json["csrf"]
        for role, scopes in (
            ("viewer", ["read"]),
            ("operator", ["read", "operate"]),
            ("admin", ["read", "operate", "configure"]),
        ):
            port = self.server.ports[DOOR]
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                headers = {
                    "Cookie": cookie,
                    "X-CSRF-Token": csrf,
                    "Content-Type": "application/json",
                }
                form = json.dumps({"name": role, "scopes": scopes})
                connection.request("POST", f"{API}/tokens", form, headers)
                response = connection.getresponse()
                told = json.loads(response.read())
            self.tokens[role] = told["secret"]


@contextmanager
def served(folder: Path, document: dict[str, Any] | str | None = GOOD) -> Iterator[Api]:
    with (
        running_desk(folder, document) as desk_box,
        closing(CountedHasher()) as hasher,
        Hub(desk_box.bus) as heard,
        Doorkeeper(AccountsFile(folder), SessionsFile(folder), hasher) as keeper,
        ThreadPoolExecutor(4) as pool,
    ):
        box = Box(
            bus=desk_box.bus,
            hub=heard,
            desk=desk_box.desk,
            gate=keeper,
            settings=ManagerSettings(state_dir=folder),
            version="1.2.3",
            secrets=SecretsDirectory(folder / "secrets"),
            output_secrets=OutputSecrets(folder / "secrets" / "output-secrets"),
            handover=None,
            pool=pool,
        )
        with WebServer(box, [Door("127.0.0.1", 0)]) as server:
            api = Api(desk_box, server, {}, [])
            api.give_tokens()
            yield api


@pytest.fixture(autouse=True)
def _quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "RECEIVE_S", 0.02)  # the hub ends no sooner than its wait does


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path / "box") as made:
        wait_for(lambda: made.desk_box.desk.current().in_force)
        yield made
        found = [text for text in made.answers if json.dumps(PASSWORD)[1:-1] in text]
        assert found == []
        assert not [t for t in made.answers if json.dumps(PASSWORD, ensure_ascii=False)[1:-1] in t]


# -- reading and changing -------------------------------------------------------------------------


def test_settings_are_shown_with_what_is_in_force(api: Api) -> None:
    told = api.ask("GET", "/settings").json
    assert json.loads(told["text"]) == GOOD | {"cameras": [SHOWN]}
    assert (told["problems"], told["in_force"], told["held_up"]) == ([], True, "")
    assert told["good"]["revision"] == told["revision"]
    assert (told["good"]["how"], told["good"]["who"]) == ("file", "")
    seen = api.ask("GET", "/settings", by="viewer").json
    assert json.loads(seen["text"])["cameras"][0]["username"] == PLACEHOLDER
    assert seen["revision"] == told["revision"]


def test_whole_text_is_written_and_in_force_when_the_answer_comes(api: Api) -> None:
    told = api.ask("GET", "/settings").json
    text = told["text"].replace('"cameras"', '"run": false,\n  "cameras"')
    answer = api.ask("PUT", "/settings", {"text": text, "revision": told["revision"]})
    assert answer.status == 200
    assert (answer.json["in_force"], answer.json["text"]) == (True, text)
    assert answer.json["good"]["who"] == "anna"
    assert api.desk_box.document() == {"run": False, **GOOD}
    late = api.ask("PUT", "/settings", {"text": text, "revision": told["revision"]})
    assert late.status == 409
    assert "changed meanwhile (anna, " in late.json["detail"]


def test_mistake_is_refused_with_its_line(api: Api) -> None:
    told = api.ask("GET", "/settings").json
    text = told["text"].replace('"rtsp"', '"rtps"')
    line = text[: text.index("rtps")].count("\n")  # that of the source, which begins above
    for answer in (
        api.ask("PUT", "/settings", {"text": text, "revision": told["revision"]}),
        api.ask("POST", "/settings/check", {"text": text}),
    ):
        [problem] = answer.json["problems"]
        assert problem == {
            "line": line,
            "where": "cameras.front.source",
            "reason": "unknown type \"rtps\"; did you mean 'rtsp'?",
        }
    answer = api.ask("PUT", "/settings", {"text": text, "revision": told["revision"]})
    assert answer.status == 422
    assert answer.json["detail"].startswith(f"line {line}: cameras.front.source: unknown type")
    assert api.desk_box.document() == GOOD
    assert api.ask("POST", "/settings/check", {"text": told["text"]}).json == {"problems": []}
    assert api.ask("PUT", "/settings", {"text": "{}"}).problems == [("revision", "is missing")]


def test_parts_are_patched(api: Api) -> None:
    changes = {"logger": {"keep_days": 3}, "device": {"name": "Line 3"}, "run": False}
    answer = api.ask("PATCH", "/settings", {"changes": changes})
    assert (answer.status, answer.json["in_force"]) == (200, True)
    assert api.desk_box.document() == GOOD | changes
    revision = answer.json["revision"]
    answer = api.ask("PATCH", "/settings", {"changes": {"logger": None}, "revision": revision})
    assert "logger" not in api.desk_box.document()
    assert api.ask("PATCH", "/settings", {"changes": {}, "revision": revision}).status == 409
    answer = api.ask("PATCH", "/settings", {"changes": {"logger": {"keep_day": 3}}})
    assert answer.problems == [("logger.keep_day", "unknown key; did you mean 'keep_days'?")]
    assert answer.json["problems"][0]["line"] is None
    answer = api.ask("PATCH", "/settings", {"changes": {"cameras": []}})
    assert answer.problems == [("changes.cameras", "is not known")]


def test_broken_file_is_shown_told_of_and_restored_by_one_request(api: Api) -> None:
    api.desk_box.take_up(json.dumps(GOOD, indent=2).replace('"joe",', '"joe"'))
    told = api.ask("GET", "/settings").json
    assert not told["in_force"]
    [problem] = told["problems"]
    assert (problem["line"], problem["reason"]) == (
        10,
        "a comma or the closing } is missing before '\"'",
    )
    assert told["good"]["revision"] != told["revision"]
    answer = api.ask("PATCH", "/settings", {"changes": {"run": False}})
    assert answer.status == 409
    assert answer.json["problems"] == told["problems"]
    answer = api.ask("POST", "/settings/history/good/restore", {"revision": told["revision"]})
    assert (answer.status, answer.json["in_force"], answer.json["problems"]) == (200, True, [])
    assert api.desk_box.document() == GOOD


def test_schema_is_that_of_the_file(api: Api) -> None:
    schema = api.ask("GET", "/settings/schema", by="viewer").json
    assert schema["title"] == "Settings"
    assert "cameras" in schema["properties"]


# -- history --------------------------------------------------------------------------------------


def test_history_tells_who_changed_what_and_brings_it_back(api: Api) -> None:
    api.ask("PATCH", "/cameras/front", {"password": "new", "inference_limit_ms": 100})
    entries = api.ask("GET", "/settings/history", by="viewer").json["entries"]
    assert [(e["how"], e["who"], e["in_force"], e["used"]) for e in entries] == [
        ("page", "anna", True, True),
        ("file", "", False, True),
    ]
    assert sorted(entries[0]["changes"]) == [
        "cameras.front.inference_limit_ms",
        "cameras.front.password",
    ]
    kept = api.ask("GET", f"/settings/history/{entries[0]['id']}").json
    assert sorted(kept["differences"], key=lambda d: d["where"]) == [
        {"where": "cameras.front.inference_limit_ms", "before": None, "after": "100"},
        {
            "where": "cameras.front.password",
            "before": f'"{PLACEHOLDER}"',
            "after": f'"{PLACEHOLDER}"',
        },
    ]
    assert '+      "inference_limit_ms": 100' in kept["lines"]
    assert kept["entry"] == entries[0]
    first = f"/settings/history/{entries[1]['id']}"
    now = api.ask("GET", f"{first}?against=now", by="viewer").json
    assert len(now["differences"]) == 2
    assert "joe" not in json.dumps(now)
    answer = api.ask("POST", f"{first}/restore", {})
    assert answer.json["in_force"]
    assert api.desk_box.document() == GOOD
    assert api.ask("GET", "/settings/history").json["entries"][0]["restored"] == entries[1]["id"]
    for name in ("000000099-000000000000", "nonsense", "..%2Fsettings"):
        assert api.ask("GET", f"/settings/history/{name}").status == 404
        assert api.ask("POST", f"/settings/history/{name}/restore", {}).status == 404
    assert api.ask("GET", f"{first}?against=x").status == 422


# -- files ----------------------------------------------------------------------------------------


def test_export_is_a_file_without_passwords_and_comes_in_again(api: Api) -> None:
    answer = api.ask("GET", "/settings/export")
    today = datetime.now(UTC)
    assert answer.headers["Content-Disposition"] == (
        f'attachment; filename="nxai-settings-box-{today:%Y-%m-%d}.json"'
    )
    assert json.loads(answer.text) == GOOD | {"cameras": [SHOWN]}
    assert "joe" not in api.ask("GET", "/settings/export", by="viewer").text
    told = api.ask("POST", "/settings/import", {"text": answer.text}).json
    assert (told["kind"], told["problems"], told["keys"]) == ("nxai-edge", [], [])


def test_import_returns_a_text_for_the_editor_and_the_fate_of_each_key(api: Api) -> None:
    module = {"InputCamera1Location": "rtsp://192.0.2.5/1", "InputCamera1Pass": PASSWORD}
    module |= {"InputCamera1Username": "joe", "OutputLocation": "x"}
    file = json.dumps({"settings": {}, "module": module})
    told = api.ask("POST", "/settings/import", {"text": file}).json
    assert told["kind"] == "nx-ai-manager"
    assert {key["key"]: key["outcome"] for key in told["keys"]} == {
        "module.InputCamera1Location": "translated",
        "module.InputCamera1Pass": "translated",
        "module.InputCamera1Username": "translated",
        "module.OutputLocation": "unknown",
    }
    assert api.desk_box.document() == GOOD
    check = {"text": told["text"], "imported": told["token"]}
    assert api.ask("POST", "/settings/check", check).json == {"problems": []}
    revision = api.ask("GET", "/settings").json["revision"]
    answer = api.ask("PUT", "/settings", check | {"revision": revision})
    assert (answer.status, answer.json["good"]["how"]) == (200, "import")
    assert api.desk_box.secret("camera-1") == PASSWORD
    answer = api.ask("POST", "/settings/import", {"text": "[1]"})
    assert answer.status == 422
    assert "neither settings of nxai-edge" in answer.json["detail"]


# -- cameras --------------------------------------------------------------------------------------


def test_camera_is_added_changed_and_replaced(api: Api) -> None:
    back = {"id": "back", "source": ELSEWHERE, "username": "jim", "password": "x"}
    answer = api.ask("POST", "/cameras", back)
    assert answer.status == 201
    assert answer.json["settings"] == back | {"password": PLACEHOLDER}
    assert answer.json["in_force"]
    again = api.ask("POST", "/cameras", back)
    assert (again.status, again.json["detail"]) == (
        409,
        "there is a camera 'back' already; give the new one another id",
    )
    answer = api.ask("PATCH", "/cameras/back", {"name": "Yard", "username": None, "password": None})
    assert answer.json["settings"] == {"id": "back", "name": "Yard", "source": ELSEWHERE}
    answer = api.ask("PUT", "/cameras/front", SHOWN | {"id": "door"})
    assert (answer.json["camera"], api.desk_box.secret("door")) == ("door", PASSWORD)
    answer = api.ask("PATCH", "/cameras/door", {"id": "front"})
    assert answer.json["settings"] == SHOWN
    answer = api.ask("PATCH", "/cameras/front?revision=old", {"name": "x"})
    assert answer.status == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "problem"),
    [
        ("PATCH", "/cameras/front", {"source": ELSEWHERE}, 422, MOVED),
        ("PUT", "/cameras/front", SHOWN | {"source": ELSEWHERE}, 422, MOVED),
        ("PATCH", "/cameras/front", {"id": None}, 422, ("cameras.0.id", "is missing")),
        ("PATCH", "/cameras/front", {"run": 1}, 422, ("cameras.front.run", "must be true")),
        ("POST", "/cameras", {}, 422, ("cameras.1.id", "is missing")),
        ("POST", "/cameras", DEMO | {"areas": {"include": [[]]}}, 422,
         ("cameras.x.areas.include.0", "a polygon needs at least 3 corners")),
        ("PATCH", "/cameras/frnt", {}, 404, None),
        ("PUT", "/cameras/FRONT", {}, 404, ("camera", "string should match pattern '^[a-z0-9]")),
        ("DELETE", "/cameras/frnt", None, 404, None),
        ("PUT", "/cameras/frnt/run", {"running": True}, 404, None),
        ("PUT", "/run", {"running": "x"}, 422, ("running", "must be a valid boolean")),
        ("POST", "/cameras", [1], 422, ("", "must be a valid dictionary")),
    ],
)  # fmt: skip
def test_bad_request_for_a_camera_says_what_is_wrong(
    api: Api, method: str, path: str, body: Any, status: int, problem: tuple[str, str] | None
) -> None:
    answer = api.ask(method, path, body)
    assert answer.status == status, answer.text
    assert answer.json["detail"]
    if problem is not None:
        where, reason = answer.problems[0]
        assert (where, reason[: len(problem[1])]) == problem
    assert api.desk_box.document() == GOOD


@pytest.mark.parametrize(
    "body", ['{"name": NaN}', '{"name": "\\ud800"}', '{"a":' * 600 + "1" + "}" * 600, "{", '""']
)
def test_odd_json_for_a_camera_is_refused(api: Api, body: str) -> None:
    answer = api.ask("PATCH", "/cameras/front", raw=body)
    assert answer.status in (400, 422)
    assert answer.json["detail"]


def test_removing_a_camera_says_what_stays(api: Api) -> None:
    api.desk_box.bus.publish(
        Deployment(
            model="parts",
            cameras=("front",),
            phase=Phase.RUNNING,
            since=datetime.now(UTC),
            installed=Version(digest="a" * 64),
        )
    )
    wait_for(lambda: "parts" in api.ask("GET", "/cameras").json["cameras"][0]["models"])
    told = api.ask("DELETE", "/cameras/front").json
    assert (told["models"], told["deployed"]) == (["m5-nut", "parts"], ["parts"])
    assert told["note"] == (
        "The pictures collected from it and its rows in the data logger are kept. Models that "
        "looked at it stay: m5-nut, parts. Still deployed on it, and to be undeployed: parts."
    )
    assert api.desk_box.document() == GOOD | {"cameras": []}
    api.ask("POST", "/cameras", DEMO)
    told = api.ask("DELETE", "/cameras/x").json
    assert told["note"].endswith("are kept.")


def test_run_and_stop_all_and_one(api: Api) -> None:
    assert api.ask("GET", "/run", by="viewer").json == {
        "running": True,
        "cameras": {"front": True},
        "revision": api.desk_box.desk.current().revision,
        "in_force": True,
        "held_up": "",
    }
    told = api.ask("PUT", "/run", {"running": False}, by="operator").json
    assert (told["running"], told["cameras"], told["in_force"]) == (False, {"front": True}, True)
    told = api.ask("PUT", "/cameras/front/run", {"running": False}, by="operator").json
    assert (told["running"], told["cameras"]) == (False, {"front": False})
    assert api.desk_box.document() == {"run": False, **GOOD, "cameras": [FRONT | {"run": False}]}


def test_box_without_good_settings_says_so(tmp_path: Path) -> None:
    with served(tmp_path / "box", "{") as api:
        assert api.ask("GET", "/settings").json["good"] is None
        answer = api.ask("GET", "/run")
        assert (answer.status, answer.json["detail"]) == (
            409,
            "no settings are in force yet: GET /settings says why",
        )


# -- who may --------------------------------------------------------------------------------------


def test_nobody_does_more_than_he_may(api: Api) -> None:
    for endpoint in (*settings.ENDPOINTS, *camera_settings.ENDPOINTS):
        path = endpoint.path.replace("{camera}", "front").replace("{entry}", "good")
        scope = endpoint.scope.value if endpoint.scope is not None else ""
        assert scope == (
            "read"
            if endpoint.method == "GET"
            else "operate"
            if path.endswith("/run")
            else "configure"
        )
        assert api.ask(endpoint.method, path, {}, by="nobody").status == 401
        allowed = {"viewer": {"read"}, "operator": {"read", "operate"}}
        for by, scopes in allowed.items():
            forbidden = api.ask(endpoint.method, path, {}, by=by).status == 403
            assert forbidden == (scope not in scopes)
    assert api.desk_box.document() == GOOD
