"""Results to a server that speaks InfluxDB's write interface (2 and 3)."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from nxai_common.contracts.destinations import InfluxDestination
from nxai_publisher.adapters.influx_destination import InfluxOutlet
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.core.entries import Entry
from nxai_publisher.ports import DestinationUnavailable, EntriesRefused, SecretUnavailable
from support.outbox import destination, opened, posted
from support.receiver import Receiver, Request, Say, receiver
from support.results import detection

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "influx").write_text("T0KEN")
    return tmp_path


def outlet(server: Receiver, folder: Path, **fields: Any) -> InfluxOutlet:
    values = {
        "id": "influx", "url": server.url, "bucket": "my bucket", "org": "plant",
        "token_secret": "influx", **fields,
    }  # fmt: skip
    return InfluxOutlet(InfluxDestination(**values), "box", SecretsDirectory(folder / "secrets"))


def send(server: Receiver, folder: Path, sent: Sequence[Entry], **fields: Any) -> Any:
    with closing(outlet(server, folder, **fields)) as way:
        return way.send(sent)


def entries(folder: Path, count: int) -> list[Entry]:
    with opened(folder / "outbox.db", destination("influx")) as outbox:
        outbox.write([posted(n, [detection()]) for n in range(count)])
        return outbox.fetch("influx", 1000, holding=False)


def lines(request: Request) -> list[str]:
    """Return what came; the server has unpacked it already."""
    return request.body.decode().split("\n")


def test_lines_of_several_results(server: Receiver, folder: Path) -> None:
    way = outlet(server, folder, batch_size=2, interval_s=3)
    assert (way.grouping.size, way.grouping.patience_s) == (2, 3)
    assert list(way.send(entries(folder, 2))) == []
    way.close()
    (request,) = server.requests
    assert request.path == "/api/v2/write?bucket=my+bucket&org=plant&precision=us"
    assert request.headers["authorization"] == "Token T0KEN"
    assert request.headers["content-encoding"] == "gzip"
    found = lines(request)
    assert len(found) == 6
    assert found[0].startswith("detections,device=box,camera=front,model=m5-nut count=1i,")
    assert found[1].startswith("objects,device=box,camera=front,model=m5-nut,label=nut ")


def test_without_a_token(server: Receiver, folder: Path) -> None:
    send(server, folder, entries(folder, 1), token_secret="")
    assert "authorization" not in server.requests[0].headers


def test_a_token_that_is_not_there(server: Receiver, folder: Path) -> None:
    with pytest.raises(SecretUnavailable):
        send(server, folder, entries(folder, 1), token_secret="other")


def test_a_token_of_two_lines_costs_no_result(server: Receiver, folder: Path) -> None:
    (folder / "secrets" / "influx").write_text("T0KEN\nX-Other: 1")
    with pytest.raises(DestinationUnavailable, match="Authorization cannot hold a line break"):
        send(server, folder, entries(folder, 1))
    assert server.requests == []


def test_lines_that_are_refused_by_their_numbers(server: Receiver, folder: Path) -> None:
    said = {
        "error": "partial write of line protocol occurred",
        "data": [
            {"line_number": 4, "error_message": "invalid\ncolumn type", "original_line": "x"},
            {"line_number": 5, "error_message": "again"},
            {"line_number": 99, "error_message": "none of ours"},
            {"line_number": "x"},
            "nonsense",
        ],
    }
    server.answer = lambda _: Say(400, body=orjson.dumps(said))
    sent = entries(folder, 3)
    (refused,) = send(server, folder, sent)
    assert (refused.entry, refused.reason) == (sent[1], "line 4: invalid column type")


@pytest.mark.parametrize(
    "said",
    [
        b'{"code":"invalid","message":"unable to parse"}',
        b"not json",
        b"[]",
        b'{"data": 7}',
        b"",
    ],
)
def test_a_refusal_without_numbers_is_of_all(server: Receiver, folder: Path, said: bytes) -> None:
    server.answer = lambda _: Say(400, body=said)
    with pytest.raises(EntriesRefused, match="HTTP 400"):
        send(server, folder, entries(folder, 2))


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_what_may_pass(server: Receiver, folder: Path, status: int) -> None:
    server.answer = lambda _: Say(status, body=b'{"data": [{"line_number": 1}]}')
    with pytest.raises(DestinationUnavailable, match=f"HTTP {status}"):
        send(server, folder, entries(folder, 1))


def test_what_gives_no_line_is_not_sent(server: Receiver, folder: Path) -> None:
    nothing = Entry(1, "nx-output", "front", "m5", 0, "o1", b"[]", 2)
    way = outlet(server, folder)
    assert way.send([nothing]) == ()
    way.interrupt()
    assert server.requests == []
