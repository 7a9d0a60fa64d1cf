"""Results to a real HTTP server: what is sent, and what its answers mean."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from nxai_common.contracts.destinations import HttpDestination
from nxai_common.errors import ConfigurationError
from nxai_publisher.adapters import http_client, http_destination
from nxai_publisher.adapters.http_client import Target
from nxai_publisher.adapters.http_destination import HttpOutlet
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.core.entries import Entry
from nxai_publisher.core.templates import BadTemplate
from nxai_publisher.ports import DestinationUnavailable, EntriesRefused, SecretUnavailable
from support.raw_server import raw_server, say, self_signed
from support.receiver import Receiver, Say, receiver
from support.waiting import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    return folder


def entry(number: int = 1, payload: Any = None, **fields: Any) -> Entry:
    body = {"camera": "front", "count": number, "label": 'big "nut"'}
    written = orjson.dumps(body if payload is None else payload)
    values = {
        "number": number, "content": "detections", "camera": "front", "model": "m5",
        "at_us": 0, "id": f"detections-{number}", "payload": written, "size": len(written),
    }  # fmt: skip
    return Entry(**{**values, **fields})


def outlet(url: str, folder: Path, **fields: Any) -> HttpOutlet:
    options = HttpDestination(id="shop", url=url, **{"timeout_s": 5, **fields})
    return HttpOutlet(options, "box", SecretsDirectory(folder))


def send(url: str, folder: Path, entries: Sequence[Entry] = (), **fields: Any) -> None:
    way = outlet(url, folder, **fields)
    try:
        assert way.send(entries or [entry()]) == ()
    finally:
        way.close()


def test_a_result_by_itself(server: Receiver, secrets: Path) -> None:
    send(f"{server.url}/results?x=1", secrets)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/results?x=1")
    assert request.json == {"camera": "front", "count": 1, "label": 'big "nut"'}
    wanted = {
        "content-type": "application/json",
        "user-agent": "nxai-edge",
        "idempotency-key": "box-front-detections-1",
        "x-nxai-content": "detections",
        "x-nxai-camera": "front",
    }
    assert wanted.items() <= request.headers.items()


def test_several_together_are_an_array(server: Receiver, secrets: Path) -> None:
    entries = [entry(n) for n in range(3)]
    for _ in range(2):
        send(server.url, secrets, entries, gather="batch")
    send(server.url, secrets, entries[:2], gather="batch")
    assert [[one["count"] for one in sent] for sent in server.messages] == [
        *([0, 1, 2], [0, 1, 2]),
        [0, 1],
    ]
    first, again, other = (request.key for request in server.requests)
    assert first == again != other
    assert "x-nxai-content" not in server.requests[0].headers


def test_gathered_nx_output_is_a_list_of_lists(server: Receiver, secrets: Path) -> None:
    entries = [entry(n, [{"modelId": "m", "n": n}], content="nx-output") for n in range(2)]
    send(server.url, secrets, entries, gather="interval")
    send(server.url, secrets, entries[:1])
    assert server.messages == [
        [[{"modelId": "m", "n": 0}], [{"modelId": "m", "n": 1}]],
        [{"modelId": "m", "n": 0}],
    ]


def test_everything_that_can_be_set(server: Receiver, secrets: Path) -> None:
    (secrets / "shop").write_text("pa ss:wörd\n")
    send(
        f"{server.url}/put",
        secrets,
        method="PUT",
        username="me",
        password_secret="shop",
        content_type="text/plain",
        headers={"X-Token": "Token {{ secret.shop|urlencode }}", "X-Fixed": "yes"},
        body="{{ camera }} {{ count }}",
    )
    (request,) = server.requests
    assert (request.method, request.body) == ("PUT", b"front 1")
    assert request.headers["authorization"] == "Basic bWU6cGEgc3M6d8O2cmQ="
    assert request.headers["content-type"] == "text/plain"
    assert request.headers["x-token"] == "Token pa%20ss%3Aw%C3%B6rd"
    assert request.headers["x-fixed"] == "yes"


def test_a_user_without_a_password(server: Receiver, secrets: Path) -> None:
    send(server.url, secrets, username="me")
    assert server.requests[0].headers["authorization"] == "Basic bWU6"


def test_templates_of_one_result(server: Receiver, secrets: Path) -> None:
    send(
        server.url + "/{{ device }}/{{ camera }}/{{ content }}/{{ id }}",
        secrets,
        body='{"text": {{ (label ~ " x" ~ count)|tojson }}, "all": {{ message|tojson }},'
        ' "n": {{ messages|length }}, "ids": {{ ids|tojson }}}',
    )
    (request,) = server.requests
    assert request.path == "/box/front/detections/box-front-detections-1"
    assert request.json == {
        "text": 'big "nut" x1',
        "all": {"camera": "front", "count": 1, "label": 'big "nut"'},
        "n": 1,
        "ids": ["box-front-detections-1"],
    }


def test_templates_of_an_nx_output(server: Receiver, secrets: Path) -> None:
    one = entry(1, [{"modelId": "m5", "timestamp": 7}], content="nx-output")
    send(server.url, secrets, [one], body="{{ modelId }} {{ message[0].timestamp }} {{ camera }}")
    assert server.requests[0].body == b"m5 7 front"


def test_templates_of_several_results(server: Receiver, secrets: Path) -> None:
    lines = (
        "{% for m in messages %}"
        '{"index":{"_id":{{ ids[loop.index0]|tojson }}}}\n{{ m|tojson }}\n'
        "{% endfor %}"
    )
    send(server.url, secrets, [entry(1), entry(2)], gather="batch", body=lines)
    read = [orjson.loads(line) for line in server.requests[0].body.splitlines()]
    assert read[0] == {"index": {"_id": "box-front-detections-1"}}
    assert [line.get("count") for line in read] == [None, 1, None, 2]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"body": "\n{{ nothing }}"}, "the body, line 2: 'nothing' is undefined"),
        ({"headers": {"X-A": "{{ label }}\r\nX-B: 1"}}, "header X-A: cannot hold a line break"),
        ({"headers": {"X-A": "{{ nothing }}"}}, "header X-A, line 1: 'nothing' is undefined"),
        ({"path": "/{{ label }}"}, "use the filter urlencode"),
        ({"path": "/{{ nothing }}"}, "the url, line 1: 'nothing' is undefined"),
        ({"body": "{{ camera }}", "gather": "batch"}, "the body, line 1: 'camera' is undefined"),
    ],
)
def test_a_template_that_does_not_fit_refuses_the_result(
    server: Receiver, secrets: Path, fields: dict[str, Any], reason: str
) -> None:
    path = fields.pop("path", "")
    with pytest.raises(EntriesRefused) as caught:
        send(server.url + path, secrets, **fields)
    assert reason in str(caught.value)
    assert server.requests == []


def test_a_template_that_is_none_is_told_at_once(server: Receiver, secrets: Path) -> None:
    with pytest.raises(BadTemplate, match="the body, line 1"):
        outlet(server.url, secrets, body="{{ camera")


def test_a_large_array_comes_in_halves(
    server: Receiver, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_destination, "LARGEST_TOGETHER", 100)
    with pytest.raises(EntriesRefused, match="larger than one request may be"):
        send(server.url, secrets, [entry(n) for n in range(5)], gather="batch")
    send(server.url, secrets, [entry(1, {"x": "y" * 1000})], gather="batch")
    alarms = [entry(n, {}, content="alarms", picture=b"x" * 60) for n in range(2)]
    with pytest.raises(EntriesRefused, match="larger than one request may be"):
        send(server.url, secrets, alarms, gather="batch", picture=True)


@pytest.mark.parametrize(
    ("gather", "size", "patience_s"),
    [("each", 1, 0), ("batch", 7, 0), ("loop", 1000, 60), ("interval", 7, 60)],
)
def test_how_many_leave_together_and_what_they_wait_for(
    secrets: Path, gather: str, size: int, patience_s: float
) -> None:
    grouping = outlet("http://x", secrets, gather=gather, batch_size=7, interval_s=60).grouping
    assert (grouping.size, grouping.patience_s) == (size, patience_s)


def test_a_large_result_arrives_whole(server: Receiver, secrets: Path) -> None:
    big = {"x": "y" * 20_000_000}
    send(server.url, secrets, [entry(1, big)])
    assert server.messages == [big]


# -- secrets ----------------------------------------------------------------------------------


def test_a_secret_goes_to_its_hosts_alone(server: Receiver, secrets: Path) -> None:
    mine = {"value": "S3CRET", "hosts": ["127.0.0.1", "shop.example"]}
    (secrets / "shop.json").write_bytes(orjson.dumps(mine))
    headers = {"Authorization": "Bearer {{ secret.shop }}"}
    send(server.url, secrets, headers=headers)
    assert server.requests[0].headers["authorization"] == "Bearer S3CRET"
    (secrets / "shop.json").write_bytes(orjson.dumps(mine | {"hosts": ["shop.example"]}))
    with pytest.raises(SecretUnavailable, match=r"'shop' is not for '127\.0\.0\.1'") as caught:
        send(server.url, secrets, headers=headers)
    assert "S3CRET" not in str(caught.value)
    with pytest.raises(SecretUnavailable, match="is not for"):
        send(server.url, secrets, username="me", password_secret="shop")
    assert len(server.requests) == 1


def test_a_secret_in_the_address_is_in_no_message(server: Receiver, secrets: Path) -> None:
    (secrets / "bot").write_text("123:abcDEF")
    server.answer = lambda _: Say(400, body=b"chat not found")
    with pytest.raises(EntriesRefused) as caught:
        send(server.url + "/bot{{ secret.bot }}/sendMessage", secrets)
    assert server.requests[0].path == "/bot123:abcDEF/sendMessage"
    assert str(caught.value) == f"{server.url}: HTTP 400 Bad Request; chat not found"
    server.stop()
    with pytest.raises(DestinationUnavailable) as gone:
        send(server.url + "/bot{{ secret.bot }}/sendMessage", secrets)
    assert "abcDEF" not in str(gone.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1{{ camera }}/x",
        "http://127.0.0.1{{ camera }}:80/{{ secret.shop }}",
        "http://{{ camera }}/{{ secret.shop }}",
        "{{ camera }}",
    ],
)
def test_a_host_is_no_template(secrets: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="its host cannot be a template"):
        outlet(url, secrets)


def test_a_label_cannot_lead_a_secret_elsewhere(server: Receiver, secrets: Path) -> None:
    (secrets / "shop").write_text("S3CRET")
    url = server.url + "/{{ camera }}/{{ secret.shop }}"
    send(url, secrets, [entry(1, camera="@evil.example:80/..//x")])
    assert server.requests[0].path == "/@evil.example:80/..//x/S3CRET"


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("two\nlines", {"headers": {"X-Key": "{{ secret.shop }}"}}),
        ("with space", {"path": "/{{ secret.shop }}"}),
    ],
)
def test_a_secret_that_does_not_fit_costs_no_result(
    server: Receiver, secrets: Path, value: str, fields: dict[str, Any]
) -> None:
    (secrets / "shop").write_text(value)
    with pytest.raises(SecretUnavailable) as caught:
        send(server.url + fields.pop("path", ""), secrets, **fields)
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"X Key": "x"}},
        {"headers": {"X-Key\r\nY": "x"}},
        {"content_type": "a\nb"},
        {"url": "http://"},
    ],
)
def test_what_cannot_be_sent_at_all_refuses_no_result(
    server: Receiver, secrets: Path, fields: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        outlet(fields.pop("url", server.url), secrets, **fields)


def test_headers_of_any_alphabet_and_in_place_of_ours(server: Receiver, secrets: Path) -> None:
    headers = {"X-Name": "Tür", "content-type": "text/csv", "IDEMPOTENCY-KEY": "mine-{{ id }}"}
    send(server.url, secrets, headers=headers)
    (request,) = server.requests
    assert request.headers["x-name"].encode("utf-8", "surrogateescape") == "Tür".encode()
    assert request.headers["content-type"] == "text/csv"
    assert request.key == "mine-box-front-detections-1"


# -- answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 413, 415, 422, 409])
def test_what_is_refused_for_good(server: Receiver, secrets: Path, status: int) -> None:
    server.answer = lambda _: Say(status, body=b'{"error": "no"}')
    with pytest.raises(EntriesRefused, match=rf'HTTP {status} .*; {{"error": "no"}}$'):
        send(server.url, secrets)


@pytest.mark.parametrize("status", [500, 503, 408, 425, 429, 401, 403, 404, 405, 301])
def test_what_may_pass(server: Receiver, secrets: Path, status: int) -> None:
    server.answer = lambda _: Say(status)
    with pytest.raises(DestinationUnavailable, match=f"HTTP {status}") as caught:
        send(server.url, secrets)
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_when_to_come_again(server: Receiver, secrets: Path, form: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=90)
    text = "90" if form == "seconds" else format_datetime(at, usegmt=True)
    server.answer = lambda _: Say(503, {"Retry-After": text})
    with pytest.raises(DestinationUnavailable) as caught:
        send(server.url, secrets)
    assert caught.value.retry_after_s == pytest.approx(90, abs=15)


# -- connections ------------------------------------------------------------------------------


def test_one_connection_serves_many_requests(secrets: Path) -> None:
    connections: list[int] = []

    def talk(connection: socket.socket, over: threading.Event) -> None:
        del over
        connections.append(0)
        while data := connection.recv(1 << 16):
            while not data.endswith(b"}"):
                data += connection.recv(1 << 16)
            connections[-1] += 1
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with raw_server(talk) as (host, port):
        way = outlet(f"http://{host}:{port}", secrets)
        for number in range(50):
            way.send([entry(number)])
        way.close()
    assert connections == [50]


def test_each_request_of_a_connection_has_its_own_time(server: Receiver, secrets: Path) -> None:
    way = outlet(server.url, secrets)
    way.send([entry(1)])
    connection = way._client._connection
    assert connection is not None
    connection.deadline = 0.0  # of the first request: long ago
    way.send([entry(2)])
    assert way._client._connection is connection
    way.close()


def test_a_late_answer_is_not_taken_for_the_next_ones(server: Receiver, secrets: Path) -> None:
    server.hold.clear()
    way = outlet(server.url, secrets, timeout_s=0.3)
    with pytest.raises(DestinationUnavailable, match="no answer in time"):
        way.send([entry(1)])
    assert way._client._connection is None
    way.close()


def test_a_connection_that_was_closed_while_idle_is_no_failure(
    server: Receiver, secrets: Path
) -> None:
    way = outlet(server.url, secrets)
    way.send([entry(1)])
    server.stop()
    server.start()
    way.send([entry(2)])
    way.close()
    assert [one["count"] for one in server.messages] == [1, 2]


def test_one_that_was_idle_for_long_is_opened_anew(
    server: Receiver, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "IDLE_S", -1.0)
    way = outlet(server.url, secrets)
    way.send([entry(1)])
    way.send([entry(2)])
    way.close()
    assert len(server.requests) == 2


def test_a_server_that_dies_while_it_is_asked_again(secrets: Path) -> None:
    answers = [b"HTTP/1.1 204 No Content\r\n\r\n"]

    def talk(connection: socket.socket, over: threading.Event) -> None:
        del over
        connection.recv(1 << 16)
        if answers:
            connection.sendall(answers.pop())
            connection.recv(1)  # the next request: hang up without an answer

    with raw_server(talk) as (host, port):
        way = outlet(f"http://{host}:{port}", secrets)
        way.send([entry(1)])
        with pytest.raises(DestinationUnavailable, match="hung up before it answered"):
            way.send([entry(2)])
        way.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "hung up before it answered"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
    ],
)
def test_a_server_that_answers_oddly(secrets: Path, said: bytes, reason: str) -> None:
    with (
        raw_server(say(said)) as (host, port),
        pytest.raises(DestinationUnavailable, match=reason),
    ):
        send(f"http://{host}:{port}", secrets)


def test_an_answer_that_is_cut_short_counts_by_its_status(secrets: Path) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort"
    with raw_server(say(said)) as (host, port):
        way = outlet(f"http://{host}:{port}", secrets)
        way.send([entry()])
        assert way._client._connection is None
        way.close()


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"],
)
def test_a_server_that_hangs_up_after_each(secrets: Path, head: bytes) -> None:
    with raw_server(say(head + b"thank you")) as (host, port):
        way = outlet(f"http://{host}:{port}", secrets)
        for number in range(3):
            way.send([entry(number)])
            assert way._client._connection is None
        way.close()
    refusal = head.replace(b"200 OK", b"400 No") + b"bad count"
    with (
        raw_server(say(refusal)) as (host, port),
        pytest.raises(EntriesRefused, match="HTTP 400 Bad Request; bad count"),
    ):
        send(f"http://{host}:{port}", secrets)


def test_a_server_that_answers_byte_by_byte_is_left_in_time(secrets: Path) -> None:
    head = b"HTTP/1.1 204 No Content\r\nX-Long: " + b"x" * 1000
    with raw_server(say(head, every_s=0.05, at_once=1)) as (host, port):
        began = time.monotonic()
        with pytest.raises(DestinationUnavailable, match="no answer in time"):
            send(f"http://{host}:{port}", secrets, timeout_s=0.5)
        assert time.monotonic() - began < 5


def test_a_server_that_keeps_silent_in_place_of_tls_is_left_in_time(secrets: Path) -> None:
    def talk(_connection: socket.socket, over: threading.Event) -> None:
        over.wait(30)

    with (
        raw_server(talk) as (host, port),
        pytest.raises(DestinationUnavailable, match="no answer in time"),
    ):
        send(f"https://{host}:{port}", secrets, timeout_s=0.5)


def test_a_server_whose_line_is_full_is_left_in_time(secrets: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        host, port = listening.getsockname()
        waiting = [socket.socket() for _ in range(2)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect((host, port))
        with pytest.raises(DestinationUnavailable, match="no answer in time"):
            send(f"http://{host}:{port}", secrets, timeout_s=0.3)
        for one in waiting:
            one.close()


def test_a_server_that_takes_nothing_is_left_in_time(secrets: Path) -> None:
    def talk(_connection: socket.socket, over: threading.Event) -> None:
        over.wait(30)

    big = entry(1, {"x": "y" * 20_000_000})
    with (
        raw_server(talk) as (host, port),
        pytest.raises(DestinationUnavailable, match="no answer in time"),
    ):
        send(f"http://{host}:{port}", secrets, [big], timeout_s=0.5)


def test_a_request_can_be_interrupted(server: Receiver, secrets: Path) -> None:
    server.hold.clear()
    way = outlet(server.url, secrets, timeout_s=60)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            way.send([entry()])
        except DestinationUnavailable as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: way._client._connection is not None and way._client._connection.plain)
    way.interrupt()
    thread.join(10)
    assert not thread.is_alive()
    assert failures
    server.hold.set()


def test_nobody_there(secrets: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DestinationUnavailable, match="nothing listens there; check host and port"):
        send(f"http://127.0.0.1:{port}", secrets)
    with pytest.raises(DestinationUnavailable, match="its name is not known"):
        send("http://no-such-host.invalid/", secrets)


def test_a_long_answer_is_not_read(server: Receiver, secrets: Path) -> None:
    server.answer = lambda _: Say(200, body=b"x" * 10_000_000)
    way = outlet(server.url, secrets)
    way.send([entry(1)])
    assert way._client._connection is None
    way.send([entry(2)])
    way.close()


def test_tls(tmp_path: Path, secrets: Path) -> None:
    context, _ = self_signed(tmp_path)
    with receiver(context) as server:
        with pytest.raises(DestinationUnavailable, match=r'not trusted .*"certificate": "any"'):
            send(server.url, secrets)
        send(server.url, secrets, certificate="any")
        assert len(server.requests) == 1
    with receiver() as plain, pytest.raises(DestinationUnavailable, match="TLS failed"):
        send(plain.url.replace("http:", "https:"), secrets, certificate="any")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://x", "must begin with http://HOST"),
        ("http://", "must begin with http://HOST"),
        ("http://x:99999", "cannot be read"),
        ("http://me:pw@x", "do not belong"),
        ("http://x/a b", "urlencode"),
        ("http://x/ä", "urlencode"),
    ],
)
def test_addresses_that_are_none(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Target.parse(url)


def test_addresses() -> None:
    assert Target.parse("https://x") == Target(tls=True, host="x", port=443, path="/")
    six = Target.parse("http://[::1]:81/a?b=1")
    assert (six.host, six.path, six.shown) == ("::1", "/a?b=1", "http://[::1]:81")


def test_gzip_is_not_asked_for(server: Receiver, secrets: Path) -> None:
    server.answer = lambda _: Say(400, {"Content-Encoding": "gzip"}, gzip.compress(b"secret"))
    with pytest.raises(EntriesRefused) as caught:
        send(server.url, secrets)
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert len(str(caught.value)) < 400
