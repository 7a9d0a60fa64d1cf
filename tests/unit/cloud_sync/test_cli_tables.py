"""What the command line shows of models and pictures."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nxai_cloud_sync import cli_tables as tables

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 28, 14, 2, tzinfo=UTC)
FIRST, SECOND = "1a" * 32, "2b" * 32


def version(digest: str = FIRST, **changes: Any) -> dict[str, Any]:
    return {
        "digest": digest,
        "model": "nuts",
        "version": "2026-11-28 14:02",
        "state": "ready",
        "width": 96,
        "height": 96,
        "engine_ms": 0.424,
        "reason": "",
        **changes,
    }


def deployment(**changes: Any) -> dict[str, Any]:
    return {
        "model": "nuts",
        "cameras": ["front", "back"],
        "phase": "running",
        "reason": "",
        "since": NOW.isoformat(),
        "installed": {"digest": FIRST},
        "candidate": None,
        "progress": 0.0,
        "offered": "",
        "report": None,
        "promotable": False,
        **changes,
    }


def sample(**changes: Any) -> dict[str, Any]:
    return {
        "id": "front-20261128t140200000-0000abcd",
        "captured_at_us": int(NOW.timestamp() * 1e6) + 999_999,
        "camera": "front",
        "state": "new",
        "value": 0.5,
        "predictions": [],
        "boxes": None,
        "scores": [],
        "state_reason": "",
        "reason": "nut 0.41 is below 0.5",
        "remote_id": None,
        **changes,
    }


def boxes(*labels: str) -> list[dict[str, str]]:
    return [{"label": label} for label in labels]


def test_numbers_and_their_nouns() -> None:
    shown = [tables.counted(number, "picture") for number in (0, 1, 2)]
    assert shown == ["0 pictures", "1 picture", "2 pictures"]
    assert tables.counted_labels(["nut", "bolt", "nut"]) == "bolt, 2 x nut"
    assert tables.counted_labels([]) == ""


def test_columns_hold_what_is_long_and_end_without_blanks() -> None:
    lines = tables.table(("a", "number", "c"), [("x" * 30, "1", ""), ("y", "1000000", "z")], (1,))
    assert lines == [
        f"a{' ' * 29}   number  c",
        f"{'x' * 30}        1",
        f"y{' ' * 29}  1000000  z",
    ]


def test_models_are_a_table() -> None:
    long = "a-model-with-a-name-of-48-letters-as-they-may-be"
    shown = tables.models_lines(
        [
            version(model=long),
            version(SECOND, version=SECOND[:12], width=0, height=0, engine_ms=None,
                    state="refused", reason="it is odd"),
            version("3c" * 32, version="", model=""),
        ],
        [],
        NOW,
    )  # fmt: skip
    gap = " " * (len(long) - 4)
    assert shown == [
        f"digest        {'model':<48}  version           state    input    speed  use",
        f"1a1a1a1a1a1a  {long}  2026-11-28 14:02  ready    96x96  0.42 ms",
        f"2b2b2b2b2b2b  nuts{gap}  -                 refused",
        "  it is odd",
        f"3c3c3c3c3c3c  -{' ' * 47}  -                 ready    96x96  0.42 ms",
    ]


@pytest.mark.parametrize(
    ("changes", "first", "second"),
    [
        ({}, "in force on front, back", ""),
        ({"phase": "starting"}, "starting on front, back", ""),
        ({"phase": "failed"}, "failed on front, back", ""),
        ({"phase": "probation"}, "in force on front, back, watched", ""),
        (
            {"phase": "shadow", "candidate": {"digest": SECOND}, "progress": 0.4},
            "in force on front, back, shadowed by 2b2b2b2b2b2b",
            "on trial, 40%",
        ),
        (
            {"candidate": {"digest": SECOND}, "progress": 1.0},
            "in force on front, back",
            "its trial is over",
        ),
        ({"model": "bolts"}, "", ""),
    ],
)
def test_what_versions_are_used_for(changes: dict[str, Any], first: str, second: str) -> None:
    entries = [deployment(**changes)]
    header, one, two, *_ = tables.models_lines([version(), version(SECOND)], entries, NOW)
    begin = header.index("use")
    assert (one[begin:], two[begin:]) == (first, second)


def test_what_is_said_of_deployed_models() -> None:
    told = "inference was not told of it yet; the manager's problems say why"
    entry = deployment(phase="starting", reason=told, offered="2026-11-29 08:00")
    soon, late = NOW + timedelta(seconds=1), NOW + timedelta(seconds=30)
    offered = "nuts: the project has a newer version: 2026-11-29 08:00"
    assert tables.models_lines([], [entry], soon) == ["nuts: waiting for inference", offered]
    assert tables.models_lines([], [entry], late) == [f"nuts: {told}", offered]


def test_pictures_are_a_table() -> None:
    found = {
        "samples": [
            sample(predictions=boxes("nut", "bolt", "nut"), reason="sure"),
            sample(state="failed", state_reason="too dark", value=1.0, camera="loading-dock"),
            sample(
                state="uploaded",
                boxes=boxes("nut"),
                predictions=boxes("bolt"),
                remote_id=7,
                reason="sure",
            ),
        ],
        "total": 3,
    }
    header, *rows, share = tables.samples_lines(found, limit=50, offset=0, filtered=False)
    begin = header.index("when")
    assert header == f"{'id':<{begin}}{header[begin:]}"
    assert [line[begin:] for line in (header, *rows)] == [
        "when (UTC)           camera        state     value 0..1  labels           why",
        "2026-11-28 14:02:00  front         new             0.50  bolt, 2 x nut    sure",
        "2026-11-28 14:02:00  loading-dock  failed          1.00  -                too dark",
        "2026-11-28 14:02:00  front         uploaded        0.50  nut (confirmed)  sure  #7",
    ]
    assert {line[:begin] for line in rows} == {"front-20261128t140200000-0000abcd  "}
    assert share == "showing 3 of 3"


@pytest.mark.parametrize(
    ("about", "labels"),
    [
        ({"predictions": boxes("nut")}, "nut"),
        ({"boxes": [], "predictions": boxes("nut")}, "nothing (confirmed)"),
        ({"scores": [["nut", 0.3], ["bolt", 0.7]]}, "bolt"),
        ({}, "-"),
    ],
)
def test_the_labels_of_a_picture(about: dict[str, Any], labels: str) -> None:
    assert tables.labels_of(sample(**about)) == labels


@pytest.mark.parametrize(
    ("shown", "total", "limit", "offset", "says"),
    [
        (50, 120, 50, 0, "showing 50 of 120; --limit shows more"),
        (50, 120, 50, 50, "showing 51 to 100 of 120; --limit shows more"),
        (1000, 1005, 1000, 0, "showing 1000 of 1005; --offset 1000 shows the next ones"),
        (5, 1005, 1000, 1000, "showing 1001 to 1005 of 1005"),
        (0, 120, 50, 200, "showing 0 of 120; --offset 200 is beyond the last one"),
        (0, 0, 50, 0, "no picture was collected yet"),
    ],
)
def test_how_much_of_a_list_is_shown(
    shown: int, total: int, limit: int, offset: int, says: str
) -> None:
    found = {"samples": [sample()] * shown, "total": total}
    assert tables.samples_lines(found, limit=limit, offset=offset, filtered=False)[-1] == says


@pytest.mark.parametrize(
    ("about", "why"),
    [
        (None, "there is no picture 'x'"),
        (sample(), "x: nobody approved it: `approve` it, or say --new"),
        (sample(state="discarded"), "x: it was discarded; `approve` lets it go up"),
        (sample(state="failed", state_reason="too dark"), "x: it was refused: too dark"),
        (
            sample(state="approved"),
            "x: its camera 'front' is not configured, or never sends pictures",
        ),
        (sample(state="uploading"), "x: it is uploading"),
        (sample(state="uploaded"), ""),
    ],
)
def test_why_a_picture_was_not_sent(about: dict[str, Any] | None, why: str) -> None:
    assert tables.why_kept("x", about) == why


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ({"uploaded": 1, "bytes": 1_240_000}, "1 picture uploaded (1.2 MB)"),
        ({"uploaded": 0, "bytes": 0}, "0 pictures uploaded"),
        (
            {"uploaded": 2, "bytes": 0, "duplicates": 1, "left": "day"},
            "2 pictures uploaded (0.0 MB); 1 of them were there already; the others wait: day",
        ),
    ],
)
def test_what_an_upload_sent(details: dict[str, Any], says: str) -> None:
    assert tables.upload_line(details, named=False) == says


def test_what_an_upload_kept_back() -> None:
    details = {"uploaded": 0, "kept_back": 4}
    assert tables.upload_line(details, named=True) == "0 pictures uploaded"
    assert tables.upload_line(details, named=False) == (
        "0 pictures uploaded; 4 approved pictures kept here: of cameras that are not configured, "
        "or never send any"
    )
