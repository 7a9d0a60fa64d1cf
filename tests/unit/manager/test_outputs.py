"""What a person is told about outputs that cannot work."""

import json
from typing import Any

import pytest

from nxai_manager.core.outputs import address_problem, template_problem
from nxai_manager.core.problems import RefusedSettings, check_settings

pytestmark = pytest.mark.unit

CAMERA = {"id": "front", "source": {"type": "demo"}}
HTTP: dict[str, Any] = {"id": "shop", "type": "http", "url": "https://shop.example/results"}
SOCKET: dict[str, Any] = {"id": "plc", "type": "socket", "path": "/sockets/plc.sock"}
FILE: dict[str, Any] = {"id": "disk", "type": "file", "path": "line1/results.jsonl"}
MQTT: dict[str, Any] = {"id": "hall", "type": "mqtt", "url": "mqtts://hall.example:8883"}
INFLUX: dict[str, Any] = {
    "id": "influx",
    "type": "influxdb",
    "url": "http://influx:8086",
    "bucket": "line",
}
ON_A_LINE = [[0, 0], [0.25, 0.25], [1, 1]]


def said(**outputs: Any) -> list[str]:
    """Return what is wrong with outputs, without the line that `json.dumps` made."""
    text = json.dumps({"cameras": [CAMERA], "outputs": outputs})
    try:
        check_settings(text)
    except RefusedSettings as error:
        return [str(p).removeprefix("line 1: outputs.") for p in error.problems]
    return []


def of(destination: dict[str, Any], **changes: Any) -> list[str]:
    """Return what is wrong with a destination."""
    found = said(destinations=[destination | changes])
    return [text.removeprefix(f"destinations.{destination['id']}.") for text in found]


def test_every_kind_of_destination_can_be_right() -> None:
    everything = [
        HTTP
        | {
            "what": ["events", "alarms"],
            "cameras": ["front"],
            "url": "https://shop.example/{{ camera }}?key={{ secret.shop }}",
            "headers": {"Authorization": "Bearer {{ secret.shop }}", "X-Id": "{{ id }}"},
            "body": '{"text": {{ label | tojson }}}',
            "username": "anna",
            "password_secret": "shop",
            "picture": True,
        },
        SOCKET,
        FILE,
        MQTT | {"root": "plant/7", "authority": "/secrets/ca.pem", "username": "box"},
        INFLUX,
    ]
    assert said(destinations=everything) == []
    assert (
        said(destinations=[HTTP | {"url": "http://shop/?k={{ secret.k }}", "gather": "loop"}]) == []
    )


@pytest.mark.parametrize(
    ("what", "parts"),
    [("destinations", [HTTP, FILE | {"id": "shop"}]), ("alarms", [{"id": "a"}, {"id": "a"}])],
)
def test_ids_are_unique(what: str, parts: list[dict[str, Any]]) -> None:
    name = parts[0]["id"]
    reason = f"{name!r} is the id of another of the {what} already"
    assert said(**{what: parts}) == [f"{what}.{name}.id: {reason}"]


@pytest.mark.parametrize(
    ("what", "part"),
    [("destinations", HTTP), ("alarms", {"id": "a"}), ("processors", {"id": "p"})],
)
def test_a_camera_that_is_none_is_told(what: str, part: dict[str, Any]) -> None:
    (text,) = said(**{what: [part | {"cameras": ["frnt"]}]})
    assert text.endswith("there is no camera 'frnt'; did you mean 'front'?")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"what": []}, 'what: is empty: nothing would be sent; write ["detections"], for one'),
        ({"what": ["events", "events"]}, "what.1: 'events' is listed twice; keep one"),
        ({"url": "shop.example"}, "url: must begin with http:// or https://"),
        ({"url": "ftp://shop"}, "url: unknown scheme 'ftp://'; it needs http:// or https://"),
        ({"gather": "batch", "url": "http://a/{{ camera }}"}, "url: holds a template of one"),
        ({"password_secret": "shop"}, 'password_secret: a password needs a "username"'),
        ({"username": "a:b"}, "username: a user name cannot hold a colon"),
        ({"picture": True}, 'picture: only alarms carry a picture; add "alarms" to "what"'),
        ({"headers": {"a b": "c"}}, "headers.a b: is not the name of a header"),
        ({"headers": {"Host": "c"}}, "headers.Host: is made by the request itself"),
        ({"headers": {"X": "a\nb"}}, "headers.X: cannot hold a line break"),
        ({"headers": {"X-Api-Key": "hunter2"}}, "headers.X-Api-Key: a secret here would be"),
        ({"headers": {"X": "{{ a"}}, "headers.X: line 1 of this template: "),
        ({"body": "{\n{{ a b }}"}, "body: line 2 of this template: "),
        ({"headers": {f"X-{n}": "1" for n in range(31)}}, "headers: may have at most 30 entries"),
        ({"body": "{% if a %}"}, "body: line 1 of this template: "),
        ({"body": "\u2022" * 8}, "body: \u2022"),
        ({"url": "http://a/{{a"}, "url: line 1 of this template: "),
    ],
)
def test_an_http_destination_that_cannot_work(changes: dict[str, Any], text: str) -> None:
    (found,) = of(HTTP, **changes)
    assert found.startswith(text)
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("off", "what", "key"),
    [
        ({"detections": False}, "detections", "detections"),
        ({"nx_output": {"enabled": False}}, "nx-output", "nx_output.enabled"),
        ({"events": {"enabled": False}}, "events", "events.enabled"),
    ],
)
def test_what_is_not_made_cannot_be_sent(off: dict[str, Any], what: str, key: str) -> None:
    (text,) = said(destinations=[HTTP | {"what": [what]}], **off)
    assert text == f'destinations.shop.what.0: there is none of it: "outputs.{key}" is false'
    assert said(destinations=[HTTP | {"what": ["alarms"]}], **off) == []


@pytest.mark.parametrize("path", ["plc.sock", "/" + "a" * 120])
def test_a_socket_needs_a_whole_path(path: str) -> None:
    (text,) = of(SOCKET, path=path)
    assert text.startswith("path: must be the whole path of a Unix socket")


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../b", "", ".", "folder/", "a "])
def test_a_file_lies_below_its_folder(path: str) -> None:
    (text,) = of(FILE, path=path)
    assert text.startswith("path: must be the name of a file below")


def test_two_destinations_do_not_share_a_file() -> None:
    (text,) = said(destinations=[FILE, FILE | {"id": "other"}])
    assert text.startswith("destinations.other.path: destination 'disk' writes to this file")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"url": "tcp://hall"}, "url: unknown scheme 'tcp://'; it needs mqtt:// or mqtts://"),
        ({"url": "mqtt://hall/topic"}, "url: ends behind the port: mqtt://HOST:PORT"),
        ({"password_secret": "hall"}, 'password_secret: a password needs a "username"'),
        ({"url": "mqtt://hall", "authority": "/ca.pem"}, "authority: only mqtts:// has"),
        ({"root": "a//b"}, "root: has an empty level"),
        ({"root": "a/"}, "root: has an empty level"),
    ],
)
def test_a_broker_that_cannot_be_reached(changes: dict[str, Any], text: str) -> None:
    (found,) = of(MQTT, **changes)
    assert found.startswith(text)


def test_influxdb_has_no_path() -> None:
    (text,) = of(INFLUX, url="http://influx:8086/api/v2/write")
    assert text == "url: ends behind the port: http://HOST:PORT"


@pytest.mark.parametrize(
    ("broker", "text"),
    [
        ({"url": "http://x"}, "url: unknown scheme"),
        ({"url": "mqtt://x", "password_secret": "a"}, "password_secret: a password needs"),
        ({"url": "mqtt://x", "authority": "/ca.pem"}, "authority: only mqtts:// has"),
    ],
)
def test_home_assistants_broker(broker: dict[str, Any], text: str) -> None:
    (found,) = said(home_assistant={"broker": broker})
    assert found.startswith(f"home_assistant.broker.{text}")


def test_home_assistants_link_to_the_page() -> None:
    assert said(home_assistant={"page": "http://box:8081", "broker": {"url": "mqtt://x"}}) == []
    (text,) = said(home_assistant={"page": "box:8081"})
    assert text == "home_assistant.page: must begin with http:// or https://"


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"count": 0}, "count: at least 0 is always true"),
        ({"area": ON_A_LINE}, "area: its corners lie on one line: no object is ever in it"),
        ({"again_every_s": 0.5}, "again_every_s: at least 1, or 0"),
    ],
)
def test_a_rule_that_makes_no_sense(rule: dict[str, Any], text: str) -> None:
    (found,) = said(alarms=[{"id": "a"} | rule])
    assert found.startswith(f"alarms.a.{text}")


def test_rules_that_make_sense() -> None:
    area = [[0, 0], [1, 0], [1, 1]]
    rules = [{"id": "a", "compare": "at-most", "count": 0, "area": area, "again_every_s": 60}]
    assert said(alarms=rules) == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://shop.example:8443/a?b=c", ""),
        ("http://[::1]:80/", ""),
        ("http://a/{{ camera }}/%40?x={{ secret.a }}#{% if a %}", ""),
        ("http://a?user@b", ""),
        ("http://anna:hunter2@shop/", "user and password do not belong in the address"),
        ("http://{{ host }}/", "the host and the port cannot be a template"),
        ("http://a:port/", "is not an address"),
        ("http://[::1/", "is not an address"),
        ("http:///a", "has no host, or a space in it"),
        ("http://a b/", "has no host, or a space in it"),
        ("http://a:0/", "has port 0"),
        ("http://a/?token=hunter2", "a secret in the address would be readable by others"),
        ("http://a/?x=1&api_key=hunter2#a", "a secret in the address would be readable by others"),
        ("http://a/?token=", ""),
        ("not a scheme://hunter2", "must begin with"),
        ("", "must begin with"),
    ],
)
def test_addresses(url: str, problem: str) -> None:
    found = address_problem(url, ("http", "https"))
    assert found.startswith(problem)
    assert bool(found) is bool(problem)
    assert "hunter2" not in found


def test_a_secret_written_where_its_name_belongs_is_not_repeated() -> None:
    (text,) = of(HTTP, username="anna", password_secret="Hunter 2!")
    assert text.startswith("password_secret: ")
    assert "Hunter" not in text


@pytest.mark.parametrize(
    ("destination", "key"), [(HTTP, "password"), (INFLUX, "token"), (MQTT, "password")]
)
def test_a_secret_itself_does_not_belong_here(destination: dict[str, Any], key: str) -> None:
    (text,) = of(destination, **{key: "hunter2"})
    assert text == (
        f'{key}: does not belong here; keep it as a secret, and name that in "{key}_secret"'
    )
    (text,) = of(HTTP, headers={"X-Token": 7})
    assert "7" not in text


@pytest.mark.parametrize("text", ["", "plain", "{{ label | tojson }}", "{# note #}"])
def test_templates_that_can_be_read(text: str) -> None:
    assert template_problem(text) == ""
