"""Whatever passes the contract of a result, the publisher's core takes or refuses in words."""

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy.engine import URL

from nxai_common.contracts.commands import ChartResults, ExportResults, ListResults, LogQuery
from nxai_common.contracts.configuration import EventOptions, NxOutputOptions
from nxai_common.contracts.models import Task
from nxai_common.contracts.outputs import Detections, Output
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import InvalidPayload, RejectedError
from nxai_publisher.adapters.group_commit import GroupCommit
from nxai_publisher.adapters.sql_archive import SqlArchive
from nxai_publisher.adapters.sql_database import database_url
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.answers import Answers
from nxai_publisher.core.detections import detections_of
from nxai_publisher.core.events import EventTracker
from nxai_publisher.core.export import Format, results_as_text
from nxai_publisher.core.nx_output import output_of
from nxai_publisher.core.observation import contradiction, observe
from nxai_publisher.core.places import Place, Walk
from nxai_publisher.core.rows import LoggedResult, logged
from support.results import START_US, detection, result

numbers = st.floats() | st.floats(-1000, 1000)
sizes = numbers.filter(lambda x: not x < 0)  # NaN stays
text = st.text(max_size=20)
counts = st.integers(0, 2**70) | st.integers(0, 100)
boxes = st.fixed_dictionaries({"x": numbers, "y": numbers, "width": sizes, "height": sizes})
found = st.fixed_dictionaries(
    {
        "label": text | st.sampled_from(["nut", "bolt"]),
        "confidence": numbers,
        "box": boxes,
        "model_box": st.just([0, 0, 8, 8]),
    }
)
described = st.fixed_dictionaries(
    {
        "name": text,
        "shape": st.lists(st.integers(0, 4), max_size=4),
        "offset": st.integers(0, 40),
        "length": st.integers(0, 64),
    }
)
images = st.fixed_dictionaries(
    {
        "width": st.integers(1, 5),
        "height": st.integers(1, 5),
        "channels": st.sampled_from([1, 3]),
        "offset": st.integers(0, 10),
        "length": st.integers(0, 80),
    }
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "captured_at_us": st.integers(START_US, START_US + 10**9) | st.integers(-(2**70), 2**70),
        "sequence": counts,
        "stream": text,
        "model_version": text,
        "source_width": counts.map(lambda n: n + 1),
        "source_height": counts.map(lambda n: n + 1),
        "labels": st.lists(text, max_size=4),
        "task": st.sampled_from([task.value for task in Task]),
        "detections": st.lists(found, max_size=4),
        "classifications": st.lists(
            st.fixed_dictionaries({"label": text, "confidence": numbers}), max_size=4
        ),
        "tensors": st.lists(described, max_size=3),
        "image": images | st.none(),
        "timing": st.fixed_dictionaries({"engine_ms": numbers, "decode_ms": numbers}),
    },
)


def received(changed: dict[str, Any], body: bytes) -> InferenceResult | None:
    """Return the result as it comes from the bus, or None when its contract refuses it."""
    base = result(0)
    payload = base.model_dump(mode="json", exclude={"attachment"}) | changed
    head = json.dumps(payload).encode()  # NaN and Infinity included, as some writers send them
    try:
        return InferenceResult.decode(base.topic("box"), head + b"\n" + body)
    except InvalidPayload:
        return None


@given(changed=changes, body=st.binary(max_size=120), ordered=st.booleans())
@settings(max_examples=300)
def test_any_result_is_published_or_refused(
    changed: dict[str, Any], body: bytes, ordered: bool
) -> None:
    item = received(changed, body)
    if item is None or contradiction(item):
        return
    seen = observe(item)
    flat = detections_of(item, seen, device="box", camera_name="", now_us=START_US)
    assert Detections.decode(flat.topic("box"), flat.encode()).count == seen.total
    options = NxOutputOptions(format="orderedArray" if ordered else "namedObject")
    output = output_of(item, options, device="box", camera_index=0, camera_name="")
    (entry,) = Output.decode(output.topic("box"), output.encode()).entries
    assert len(entry.outputDims) == len(entry.outputDataTypes) == len(entry.output)
    row = logged(item, seen, 1.0)
    for style in Format:
        assert "".join(results_as_text([row.row], style)).endswith("\n")


@given(data=st.data())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_row_is_stored_and_read_back(data: st.DataObject, tmp_path_factory: Any) -> None:
    folder: Path = tmp_path_factory.mktemp("rows")
    url: URL = database_url(f"sqlite:///{folder}/nxai.db")
    rows: dict[tuple[object, ...], LoggedResult] = {}
    for changed in data.draw(st.lists(changes, max_size=20)):
        item = received(changed, b"")
        if item is not None and not contradiction(item):
            row = logged(item, observe(item), 1.0)
            rows.setdefault(row.key, row)
    store = SqlLogger(url)
    store.open()
    try:
        assert store.write(list(rows.values())).stored == len(rows)
        assert store.write(list(rows.values())).stored == 0
    finally:
        store.close()
    with SqlArchive(url) as archive:
        assert len(list(archive.results(0, 2**62))) == len(rows)


@given(
    steps=st.lists(
        st.tuples(st.integers(-5_000_000, 5_000_000), st.integers(0, 3), st.integers(0, 2)),
        max_size=60,
    ),
    start_after=st.integers(1, 4),
)
@settings(max_examples=300)
def test_every_event_has_one_start_and_then_one_end(
    steps: list[tuple[int, int, int]], start_after: int
) -> None:
    tracker = EventTracker("front", "m")
    options = EventOptions(start_after=start_after)
    at_us = START_US
    lives: dict[str, list[str]] = {}
    for gap_us, nuts, bolts in steps:
        at_us += gap_us
        for change in tracker.observe(at_us, {"nut": nuts, "bolt": bolts}, {}, options):
            lives.setdefault(change.id, []).append(change.phase)
            assert change.max_count >= change.count
            assert change.duration_s >= 0
    for change in tracker.end_all(at_us):
        lives.setdefault(change.id, []).append(change.phase)
    assert tracker.present == frozenset()
    for phases in lives.values():
        assert phases[0] == "start"
        assert phases[-1] == "end"
        assert set(phases[1:-1]) <= {"update"}


# -- questions to the data logger -----------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=64)
places = st.builds(
    Place,
    at_us=st.integers(0, 2**62),
    camera=texts,
    model=texts,
    stream=texts,
    sequence=st.integers(0, 2**63 - 1),
)
cursors = (
    st.builds(Place.text, places, st.sampled_from(Walk))
    | st.text("ABCdef012_-=", max_size=600)
    | st.builds(lambda raw: base64.urlsafe_b64encode(raw).decode(), st.binary(max_size=400))
)
some_time = datetime(2026, 11, 22, 10)  # noqa: DTZ001 - Hypothesis adds the zone
moments = st.datetimes(
    some_time - timedelta(minutes=1), some_time + timedelta(minutes=30), timezones=st.just(UTC)
) | st.datetimes(timezones=st.none() | st.just(UTC))
queries = {
    "since": moments,
    "until": moments,
    "camera": st.none() | st.sampled_from(["front", "back", "nowhere"]),
    "model": st.none() | st.sampled_from(["m5-nut", "m6"]),
    "label": st.none() | st.sampled_from(["nut", "bolt", "%"]) | st.text(min_size=1, max_size=200),
    "after": st.just("") | cursors,
    "limit": st.integers(1, 1000),
}
questions = (
    st.fixed_dictionaries(
        {
            "name": st.just("results"),
            "uncertain": st.none() | st.booleans(),
            "with_objects": st.none() | st.booleans(),
            "newest_first": st.booleans(),
            **queries,
        }
    )
    | st.fixed_dictionaries(
        {
            "name": st.just("export"),
            "what": st.sampled_from(["results", "counts"]),
            "format": st.sampled_from(["csv", "jsonl"]),
            **queries,
        }
    )
    | st.fixed_dictionaries(
        {
            "name": st.just("chart"),
            "chart": st.sampled_from(["counts", "confidence", "latency", "certainty"]),
            "points": st.integers(1, 2000),
            **queries,
        }
    )
)
KINDS: dict[str, type[LogQuery]] = {
    "results": ListResults,
    "export": ExportResults,
    "chart": ChartResults,
}


@given(place=places, walk=st.sampled_from(Walk))
def test_every_place_comes_back(place: Place, walk: Walk) -> None:
    text = place.text(walk)
    assert Place.read(text, walk) == place


@given(text=cursors, walk=st.sampled_from(Walk))
@settings(max_examples=500)
def test_any_cursor_is_a_place_or_refused(text: str, walk: Walk) -> None:
    with suppress(RejectedError):
        place = Place.read(text, walk)
        assert (place is None) == (text == "")
        if place is not None:
            assert Place.read(place.text(walk), walk) == place


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    url = database_url(f"sqlite:///{tmp_path_factory.mktemp('log')}/nxai.db")
    items = [
        result(
            n,
            [detection(label) for label in ("nut", "bolt", "%")[: n % 4]],
            camera=("front", "back")[n % 2],
            uncertain=n % 7 == 0,
            captured_at_us=START_US + n * 9_000_001,
        )
        for n in range(120)
    ]
    store = SqlLogger(url)
    store.open()
    store.write([logged(item, observe(item), 1.0) for item in items])
    try:
        with SqlArchive(url, limit_s=30) as archive:
            yield Answers(archive, GroupCommit(store), clock=lambda: 0.0)
    finally:
        store.close()


@given(asked=questions)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_question_has_an_answer_or_a_reason(answers: Answers, asked: dict[str, Any]) -> None:
    kind = KINDS[asked["name"]]
    payload = {"service": "publisher", **asked}
    payload["since"], payload["until"] = (payload[name].isoformat() for name in ("since", "until"))
    topic = kind.filter("box", service="publisher", name=asked["name"])
    reply = answers.answer(kind.decode(topic, json.dumps(payload).encode()))
    if not reply.ok:
        assert "is not before until" in reply.reason or "leave it empty" in reply.reason
        return
    body = bytes(reply.attachment)
    assert len(body) < 1_000_000
    if asked["name"] != "export":
        json.loads(body)
    if asked["name"] == "results":
        found = json.loads(body)["results"]
        assert len(found) <= asked["limit"]
        times = [one["timestamp"] for one in found]
        assert times == sorted(times, reverse=asked["newest_first"])
