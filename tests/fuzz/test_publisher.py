"""Whatever passes the contract of a result, the publisher's core takes or refuses in words."""

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from sqlalchemy.engine import URL

from nxai_common.contracts.configuration import EventOptions, NxOutputOptions
from nxai_common.contracts.models import Task
from nxai_common.contracts.outputs import Detections, Output
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import InvalidPayload
from nxai_publisher.adapters.sql_archive import SqlArchive
from nxai_publisher.adapters.sql_database import database_url
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.core.detections import detections_of
from nxai_publisher.core.events import EventTracker
from nxai_publisher.core.export import Format, results_as_text
from nxai_publisher.core.nx_output import output_of
from nxai_publisher.core.observation import contradiction, observe
from nxai_publisher.core.rows import LoggedResult, logged
from support.results import START_US, result

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
