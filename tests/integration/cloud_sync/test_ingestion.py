"""The ingestion API over real sockets: what arrives, and everything that gets in the way."""

import json
import re
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nxai_cloud_sync.adapters.edge_impulse_http import HttpLimits
from nxai_cloud_sync.adapters.ingestion_http import IngestionHttp
from nxai_cloud_sync.core.sample import LabelledBox, SampleState, StoredSample
from nxai_cloud_sync.core.uploading import UploadBatch, batches
from nxai_cloud_sync.ports import Ingestion
from nxai_common.errors import CloudRejected, CloudUnavailable, ConfigurationError, KeyRefused
from support import edge_impulse as ei
from support.raw_server import raw_server
from support.samples import jpeg

KEY = "ei_" + "0123456789abcdef" * 4
QUICK = HttpLimits(
    connect_s=2.0, silence_s=1.0, answer_s=1.5, storing_s=1.0, least_bytes_per_s=1_000_000
)


@pytest.fixture
def emulator() -> ei.Emulator:
    return ei.Emulator()


@pytest.fixture
def project(emulator: ei.Emulator) -> ei.Project:
    return emulator.add_project("Parcels", key=KEY)


@pytest.fixture
def urls(emulator: ei.Emulator, project: ei.Project) -> Iterator[ei.Urls]:
    del project  # made before anybody asks for it
    with ei.running(emulator) as found:
        yield found


Connect = Callable[..., IngestionHttp]


@pytest.fixture
def connect(urls: ei.Urls) -> Iterator[Connect]:
    with ExitStack() as stack:

        def to(key: str = KEY, limits: HttpLimits = QUICK) -> IngestionHttp:
            made = IngestionHttp(urls.ingestion, key, limits)
            stack.callback(made.close)
            return made

        yield to


@pytest.fixture
def ingestion(connect: Connect) -> IngestionHttp:
    return connect()


class Pictures:
    """Records and files of pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, number: int, content: bytes | None = None, **changes: Any) -> StoredSample:
        data = jpeg(number) if content is None else content
        fields: dict[str, Any] = {
            "id": f"front-{number:03}",
            "camera": "front",
            "captured_at_us": number,
            "stored_at_us": number,
            "width": 64,
            "height": 48,
            "bytes": len(data),
            "model": "m5-nut",
            "model_version": "3",
            "model_digest": "ab" * 32,
            "labels": ("nut", "bolt"),
            "strategy": "uncertain",
            "reason": "nut 0.41 is below 0.5",
            "value": 0.5,
            "predictions": (),
            "scores": (),
            "state": SampleState.APPROVED,
            **changes,
        }
        sample = StoredSample(**fields)
        self.path(sample).write_bytes(data)
        return sample

    def path(self, sample: StoredSample) -> Path:
        return self.folder / sample.file_name


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path)


def batch(*samples: StoredSample, predictions: bool = False, **changes: Any) -> UploadBatch:
    (made,) = batches(samples, device="box", category="split", size=1000, predictions=predictions)
    return replace(made, **changes)


# -- what arrives ---------------------------------------------------------------------------------


def test_pictures_arrive_as_they_are(
    ingestion: IngestionHttp, project: ei.Project, pictures: Pictures, emulator: ei.Emulator
) -> None:
    port: Ingestion = ingestion
    samples = [pictures.add(number) for number in range(5)]
    outcomes = port.send(batch(*samples), pictures.path)
    assert [(each.sample, each.accepted, each.duplicate) for each in outcomes] == [
        (sample.id, True, False) for sample in samples
    ]
    for sample, outcome in zip(samples, outcomes, strict=True):
        assert outcome.remote_id is not None
        stored = project.samples[outcome.remote_id]
        assert stored.filename == sample.file_name
        assert stored.data == pictures.path(sample).read_bytes()
        assert stored.label == ""
        assert stored.boxes == ()
        assert stored.category in ("training", "testing")
        assert stored.metadata == {
            "device": "box",
            "camera": "front",
            "model": "m5-nut",
            "model_version": "3",
            "model_digest": "ab" * 32,
            "strategy": "uncertain",
        }
        assert stored.source == "NXAI_EDGE"
    (request,) = emulator.asked("/api/split/files")
    assert request.headers["x-api-key"] == KEY
    assert request.headers["x-no-label"] == "1"
    assert request.headers["x-disallow-duplicates"] == "1"
    assert request.headers["x-device-type"] == "NXAI_EDGE"
    assert "x-label" not in request.headers
    assert "transfer-encoding" not in request.headers
    assert int(request.headers["content-length"]) == request.size
    assert re.fullmatch(r"nxai-edge/\d+\.\d+.*", request.headers["user-agent"])


@pytest.mark.parametrize("category", ["training", "testing"])
def test_pictures_go_where_they_are_wanted(
    ingestion: IngestionHttp, project: ei.Project, pictures: Pictures, category: str
) -> None:
    ingestion.send(batch(pictures.add(1), category=category), pictures.path)
    assert [sample.category for sample in project.samples.values()] == [category]


def test_what_the_model_saw_goes_along_as_metadata_and_not_as_labels(
    ingestion: IngestionHttp, project: ei.Project, pictures: Pictures
) -> None:
    seen = (LabelledBox("größe \N{NUT AND BOLT}\r\n\x00", 1, 2, 3, 4, 0.5),)
    sample = pictures.add(1, predictions=seen, reason="nüt 0.41 < 0.5")
    ingestion.send(batch(sample, predictions=True), pictures.path)
    (stored,) = project.samples.values()
    assert stored.boxes == ()
    assert stored.metadata["reason"] == "nüt 0.41 < 0.5"
    assert json.loads(stored.metadata["predictions"])[0]["label"] == seen[0].label


def test_confirmed_boxes_arrive_as_labels(
    ingestion: IngestionHttp,
    project: ei.Project,
    pictures: Pictures,
    emulator: ei.Emulator,
) -> None:
    boxes = (LabelledBox("nut", 1.4, 2.6, 10, 10.2), LabelledBox("bölt", 30, 20, 100, 100))
    first, second = pictures.add(1, boxes=boxes), pictures.add(2, boxes=boxes[:1])
    outcomes = ingestion.send(batch(first, second), pictures.path)
    assert all(outcome.accepted for outcome in outcomes)
    stored = {sample.filename: sample.boxes for sample in project.samples.values()}
    assert stored == {
        first.file_name: (ei.Box("nut", 1, 3, 10, 10), ei.Box("bölt", 30, 20, 34, 28)),
        second.file_name: (ei.Box("nut", 1, 3, 10, 10),),
    }
    (request,) = emulator.asked("/files")
    assert "x-no-label" not in request.headers


def test_a_class_that_a_person_chose_arrives_as_the_label(
    ingestion: IngestionHttp, project: ei.Project, pictures: Pictures, emulator: ei.Emulator
) -> None:
    label = "größe/2 %"
    whole = (LabelledBox(label, 0, 0, 64, 48),)
    ingestion.send(batch(pictures.add(1, boxes=whole, scores=(("ok", 0.9),))), pictures.path)
    (stored,) = project.samples.values()
    assert (stored.label, stored.boxes) == (label, ())
    (request,) = emulator.asked("/files")
    assert "x-no-label" not in request.headers


def test_a_picture_that_was_confirmed_to_be_empty_is_no_unlabelled_one(
    ingestion: IngestionHttp, project: ei.Project, pictures: Pictures, emulator: ei.Emulator
) -> None:
    ingestion.send(batch(pictures.add(1, boxes=())), pictures.path)
    (stored,) = project.samples.values()
    assert stored.boxes == ()
    assert stored.metadata["review"] == "nothing is on it"
    (request,) = emulator.asked("/files")
    assert "x-no-label" not in request.headers


def test_a_large_picture_is_more_than_one_chunk(
    ingestion: IngestionHttp, project: ei.Project, pictures: Pictures
) -> None:
    large = jpeg(1)[:-2] + bytes(3_000_000) + b"\xff\xd9"
    ingestion.send(batch(pictures.add(1, large)), pictures.path)
    (stored,) = project.samples.values()
    assert stored.data == large


def test_pictures_are_never_all_in_memory(
    emulator: ei.Emulator, connect: Connect, pictures: Pictures
) -> None:
    emulator.keep_bytes = False
    # The emulator in this process holds a request's pictures; so let it refuse the request, which
    # it does after taking it in.
    samples = [pictures.add(number, bytes(1_000_000), id=f"x-{number}") for number in range(40)]
    ingestion = connect("ei_unknown", HttpLimits())
    tracemalloc.start()
    try:
        with pytest.raises(KeyRefused):
            ingestion.send(UploadBatch(tuple(samples), (), "split", labelled=False), pictures.path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (request,) = emulator.asked("/files")
    assert request.size > 40_000_000
    assert peak < 8_000_000


# -- what does not --------------------------------------------------------------------------------


def test_a_broken_picture_does_not_keep_the_good_ones(
    ingestion: IngestionHttp, project: ei.Project, pictures: Pictures
) -> None:
    samples = [pictures.add(1), pictures.add(2, jpeg(2)[:-30]), pictures.add(3)]
    outcomes = ingestion.send(batch(*samples), pictures.path)
    assert [each.accepted for each in outcomes] == [True, False, True]
    assert "Could not read image" in outcomes[1].reason
    assert len(project.samples) == 2


def test_a_picture_that_is_gone_from_the_disk_does_not_keep_the_others(
    ingestion: IngestionHttp, project: ei.Project, pictures: Pictures
) -> None:
    samples = [pictures.add(1), pictures.add(2), pictures.add(3)]
    pictures.path(samples[1]).unlink()
    outcomes = ingestion.send(batch(*samples), pictures.path)
    assert [each.accepted for each in outcomes] == [True, False, True]
    assert outcomes[1].reason == "its file cannot be read: No such file or directory"
    assert len(project.samples) == 2


def test_without_any_picture_nothing_is_asked(
    ingestion: IngestionHttp, pictures: Pictures, emulator: ei.Emulator
) -> None:
    sample = pictures.add(1)
    pictures.path(sample).unlink()
    (outcome,) = ingestion.send(batch(sample), pictures.path)
    assert not outcome.accepted
    assert list(emulator.requests) == []


def test_a_picture_that_becomes_shorter_meanwhile_breaks_the_request_off(
    connect: Connect, project: ei.Project, pictures: Pictures
) -> None:
    samples = [pictures.add(1), pictures.add(2)]
    ingestion = connect()
    with pytest.raises(CloudUnavailable, match=r"front-002\.jpg became shorter"):
        ingestion.send(batch(*samples), changing(pictures, samples[1], "shorter"))
    assert project.samples == {}
    assert all(each.accepted for each in ingestion.send(batch(*samples), pictures.path))


def test_a_picture_that_cannot_be_read_after_all_is_refused_and_the_others_go_up(
    connect: Connect, project: ei.Project, pictures: Pictures
) -> None:
    samples = [pictures.add(1), pictures.add(2), pictures.add(3)]
    outcomes = connect().send(batch(*samples), changing(pictures, samples[1], "gone"))
    assert [each.accepted for each in outcomes] == [True, False, True]
    assert outcomes[1].reason == "its file cannot be read: No such file or directory"
    there = sorted(each.filename for each in project.samples.values())
    assert there == ["front-001.jpg", "front-003.jpg"]


def changing(
    pictures: "Pictures", which: StoredSample, change: str
) -> Callable[[StoredSample], Path]:
    """Return where pictures are; one of them changes once its size was asked for."""

    def path(sample: StoredSample) -> Path:
        found = pictures.path(sample)
        if sample is which:
            # `send` looks at the sizes of all before it reads the first.
            first = found.with_suffix(".once")
            first.write_bytes(found.read_bytes())
            found = Once(first, change)  # type: ignore[assignment] # as much of a path as is used
        return found

    return path


class Once:
    """A file that changes once its size was asked for."""

    def __init__(self, path: Path, change: str) -> None:
        self._path = path
        self._change = change

    def stat(self) -> Any:
        found = self._path.stat()
        if self._change == "gone":
            self._path.unlink()
        else:
            self._path.write_bytes(b"short")
        return found

    def open(self, mode: str, **options: Any) -> Any:
        return self._path.open(mode, **options)


def test_what_was_there_before_counts_as_done(
    ingestion: IngestionHttp, project: ei.Project, pictures: Pictures
) -> None:
    old, new = pictures.add(1), pictures.add(2)
    (first,) = ingestion.send(batch(old), pictures.path)
    outcomes = ingestion.send(batch(old, new), pictures.path)
    assert [(each.accepted, each.duplicate) for each in outcomes] == [(True, True), (True, False)]
    assert outcomes[0].remote_id == first.remote_id
    assert len(project.samples) == 2


@pytest.mark.parametrize("role", ["admin", "ingestiononly", "ingestion_deployment"])
def test_keys_that_may_upload(
    connect: Connect, project: ei.Project, pictures: Pictures, role: Any
) -> None:
    project.add_key("ei_other", role)
    (outcome,) = connect("ei_other").send(batch(pictures.add(1)), pictures.path)
    assert outcome.accepted


def test_a_key_that_only_reads_cannot_upload(
    connect: Connect, project: ei.Project, pictures: Pictures
) -> None:
    project.add_key("ei_reads", "readonly")
    with pytest.raises(KeyRefused, match=r"'readonly'.*a picture: POST /api/split/files"):
        connect("ei_reads").send(batch(pictures.add(1)), pictures.path)
    assert project.samples == {}


def test_a_wrong_key_is_refused_and_not_shown(connect: Connect, pictures: Pictures) -> None:
    with pytest.raises(KeyRefused, match="Invalid API key") as caught:
        connect("ei_wrong").send(batch(pictures.add(1)), pictures.path)
    assert "ei_wrong" not in str(caught.value)


def test_an_answer_is_heard_that_comes_before_all_pictures_were_taken_in(
    pictures: Pictures,
) -> None:
    body = b'{"success":false,"error":"Invalid API key"}'

    def talk(connection: socket.socket, over: threading.Event) -> None:
        del over
        connection.recv(1 << 16)
        head = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass

    large = [pictures.add(n, bytes(2_000_000)) for n in range(5)]
    with raw_server(talk) as (host, port):
        ingestion = IngestionHttp(f"http://{host}:{port}", KEY, QUICK)
        with pytest.raises(KeyRefused, match="Invalid API key"):
            ingestion.send(batch(*large), pictures.path)
        ingestion.close()


FAULTS: list[tuple[Any, type[Exception], str]] = [
    (ei.refusal(400, "Invalid category"), CloudRejected, "Invalid category"),
    (ei.unsuccessful("Storage is full"), CloudRejected, "Storage is full"),
    (ei.refusal(413, "Too large"), CloudRejected, "HTTP 413"),
    (ei.refusal(421, "Misdirected"), CloudRejected, "HTTP 421"),
    (ei.too_many("9"), CloudUnavailable, "Too many"),
    (ei.Reply(500, "oops"), CloudUnavailable, "HTTP 500"),
    (ei.captive_portal(), CloudUnavailable, "captive portal"),
    (ei.Reply(200, "OK", "text/plain"), CloudUnavailable, "no JSON object"),
    (ei.Reply(200, '{"success":true,"files":[]}'), CloudUnavailable, "of 0 pictures"),
    (ei.Redirect("http://127.0.0.2/"), CloudUnavailable, "sends us on"),
    (ei.ResetWhileReceiving(), CloudUnavailable, "closed the connection|broke off"),
    (ei.ResetWhileReceiving(200_000), CloudUnavailable, "closed the connection|broke off"),
    (ei.LoseAnswer(), CloudUnavailable, "closed the connection|broke off"),
    (ei.CutShort(10), CloudUnavailable, "broke off"),
    (ei.Hang(), CloudUnavailable, "nothing came|too slow"),
]


@pytest.mark.parametrize(("does", "kind", "says"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_told_and_the_next_try_goes_well(
    emulator: ei.Emulator,
    ingestion: IngestionHttp,
    project: ei.Project,
    pictures: Pictures,
    does: Any,
    kind: type[Exception],
    says: str,
) -> None:
    emulator.faults.add(ei.Fault("POST /api/*/files", does))
    samples = [pictures.add(n, jpeg(n)[:-2] + bytes(300_000) + b"\xff\xd9") for n in range(3)]
    with pytest.raises(kind, match=says):
        ingestion.send(batch(*samples), pictures.path)
    assert all(each.accepted for each in ingestion.send(batch(*samples), pictures.path))
    assert sorted(each.filename for each in project.samples.values()) == [
        sample.file_name for sample in samples
    ]


def test_an_answer_that_was_lost_after_a_part_was_stored(
    emulator: ei.Emulator, ingestion: IngestionHttp, project: ei.Project, pictures: Pictures
) -> None:
    emulator.faults.add(ei.Fault("POST /api/*/files", ei.LoseAnswer(after_files=2)))
    samples = [pictures.add(number) for number in range(5)]
    with pytest.raises(CloudUnavailable):
        ingestion.send(batch(*samples), pictures.path)
    assert len(project.samples) == 2
    outcomes = ingestion.send(batch(*samples), pictures.path)
    assert [each.duplicate for each in outcomes] == [True, True, False, False, False]
    assert sorted(each.filename for each in project.samples.values()) == [
        sample.file_name for sample in samples
    ]
    by_name = {sample.filename: sample.id for sample in project.samples.values()}
    assert [each.remote_id for each in outcomes] == [by_name[s.file_name] for s in samples]


def test_a_server_that_takes_in_nothing_is_given_up(pictures: Pictures) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        del connection
        over.wait(20)

    large = [pictures.add(n, bytes(4_000_000)) for n in range(5)]
    with raw_server(talk) as (host, port):
        ingestion = IngestionHttp(f"http://{host}:{port}", KEY, QUICK)
        with pytest.raises(CloudUnavailable, match="took nothing for 1 s"):
            ingestion.send(batch(*large), pictures.path)
        ingestion.close()


def test_a_server_that_takes_in_a_little_now_and_then_is_given_up(pictures: Pictures) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        while connection.recv(1 << 16) and not over.wait(0.2):
            pass

    large = [pictures.add(n, bytes(4_000_000)) for n in range(5)]
    slow = HttpLimits(silence_s=30, storing_s=1.0, least_bytes_per_s=20_000_000)
    with raw_server(talk) as (host, port):
        ingestion = IngestionHttp(f"http://{host}:{port}", KEY, slow)
        with pytest.raises(CloudUnavailable, match="too slow"):
            ingestion.send(batch(*large), pictures.path)
        ingestion.close()


def test_addresses_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="no address"):
        IngestionHttp("ingestion.edgeimpulse.com", KEY)
    IngestionHttp("https://ingestion.edgeimpulse.com", KEY).close()
