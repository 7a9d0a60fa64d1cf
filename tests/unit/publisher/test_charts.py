from decimal import Decimal
from typing import Any

import pytest

from nxai_publisher.core import charts
from nxai_publisher.core.charts import Span, certainty, confidence, counts, latency

SECOND_US = 1_000_000
DAY_S = 86_400


@pytest.mark.parametrize(
    ("seconds", "points", "step_s"),
    [
        (1, 300, 60),
        (3600, 300, 60),
        (5 * 3600, 300, 60),
        (5 * 3600 + 1, 300, 300),
        (DAY_S, 300, 300),
        (7 * DAY_S, 300, 3600),
        (30 * DAY_S, 300, 21_600),
        (30 * DAY_S, 2000, 3600),
        (300 * DAY_S, 300, DAY_S),
        (301 * DAY_S, 300, 2 * DAY_S),
        (365 * 8000 * DAY_S, 1, 365 * 8000 * DAY_S),
    ],
)
def test_steps_are_round_and_not_too_many(seconds: int, points: int, step_s: int) -> None:
    span = charts.span_of(0, seconds * SECOND_US, points)
    assert span.step_s == step_s
    assert span.steps <= points
    assert span.end_s >= seconds


def test_steps_begin_at_multiples_and_cover_the_ends() -> None:
    span = charts.span_of(3599 * SECOND_US + 1, 7201 * SECOND_US + 1, 13)
    assert span == Span(3300, 7500, 300)
    assert span.times[:2] == [3_300_000, 3_600_000]
    assert len(span.times) == span.steps == 14
    assert span.coarser() == Span(2700, 8100, 900)
    assert Span(0, DAY_S, DAY_S).coarser() == Span(0, 2 * DAY_S, 2 * DAY_S)


def test_a_whole_span_is_of_minutes_or_quarters() -> None:
    assert charts.whole_span(61 * SECOND_US, 3601 * SECOND_US) == Span(60, 3660, 3600)
    long = charts.whole_span(61 * SECOND_US, 7 * 3600 * SECOND_US)
    assert (long.start_s, long.end_s) == (0, 7 * 3600)


def result_sum(at_s: int, results: Any, **more: Any) -> dict[str, Any]:
    return {"at_s": at_s, "camera": "a", "model": "m", "results": results, **more}


def label_sum(at_s: int, label: str, objects: Any, most: int, **more: Any) -> dict[str, Any]:
    key = {"at_s": at_s, "camera": "a", "model": "m", "label": label}
    return {**key, "objects": objects, "max_objects": most, **more}


def test_counts_tell_nobody_looked_from_nothing_there() -> None:
    (nut, bolt) = counts(
        Span(0, 180, 60),
        [
            label_sum(0, "nut", Decimal(6), 3),
            label_sum(60, "bolt", 1, 1),
            label_sum(0, "bolt", 1, 1),
        ],
        [result_sum(0, Decimal(4)), result_sum(60, 3)],
    )
    assert nut == {
        "camera": "a",
        "model": "m",
        "label": "nut",
        "mean": [1.5, 0.0, None],
        "max": [3, 0, None],
        "objects": [6, 0, None],
    }
    assert (bolt["label"], bolt["mean"]) == ("bolt", [0.25, 0.333, None])


def test_counts_without_a_sum_of_results_have_no_mean() -> None:
    (nut,) = counts(Span(0, 60, 60), [label_sum(0, "nut", 2, 1)], [])
    assert (nut["mean"], nut["objects"]) == ([None], [2])


def test_many_series_end_in_the_sum_of_the_smallest() -> None:
    labels = [label_sum(60 * (n % 2), f"l{n:03}", 300 - n, n) for n in range(150)]
    labels.append(label_sum(0, "l149", 1, 200))
    found = counts(Span(0, 180, 60), labels, [result_sum(0, 100), result_sum(60, 100)])
    assert len(found) == 100
    assert [one["label"] for one in found[:2]] == ["l000", "l001"]
    other = found[-1]
    assert (other["camera"], other["model"], other["label"], other["other"]) == (
        None,
        None,
        None,
        51,
    )
    even = sum(300 - n for n in range(99, 150) if n % 2 == 0) + 1
    odd = sum(300 - n for n in range(99, 150) if n % 2)
    assert other["objects"] == [even, odd, None]
    assert other["mean"] == [even / 100, odd / 100, None]
    assert other["max"] == [200, 149, None]


def test_confidence_is_a_histogram_per_label() -> None:
    def row(label: str, objects: int, total: float, **bins: int) -> dict[str, Any]:
        none = {f"confidence_{n}": 0 for n in range(10)}
        return {"label": label, "objects": objects, "confidence_sum": total, **none, **bins}

    found = confidence(
        [
            row("bolt", 1, 0.5, confidence_5=Decimal(1)),  # type: ignore[arg-type] # as PostgreSQL sums
            row("nut", 4, 3.0, confidence_7=3, confidence_9=1),
            row("none", 0, 0.0),
        ]
    )
    assert found == [
        {"label": "nut", "bins": [0, 0, 0, 0, 0, 0, 0, 3, 0, 1], "mean": 0.75},
        {"label": "bolt", "bins": [0, 0, 0, 0, 0, 1, 0, 0, 0, 0], "mean": 0.5},
        {"label": "none", "bins": [0] * 10, "mean": None},
    ]


def latency_row(at_s: int, camera: str, results: int, total: float) -> dict[str, Any]:
    return {
        "at_s": at_s,
        "camera": camera,
        "results": results,
        "latency_ms_sum": total,
        "latency_ms_max": total / 2 + 0.001,
        "inference_ms_sum": 3.0,
    }


def test_latency_is_per_camera() -> None:
    front, back = latency(
        Span(0, 120, 60), [latency_row(60, "back", 2, 31.0), latency_row(0, "front", 3, 10.0)]
    )
    assert front == {
        "camera": "front",
        "mean_ms": [3.33, None],
        "max_ms": [5.0, None],
        "inference_ms": [1.0, None],
        "results": [3, None],
    }
    assert (back["camera"], back["mean_ms"], back["results"]) == ("back", [None, 15.5], [None, 2])


def test_several_sums_of_one_step_are_added_up() -> None:
    (front,) = latency(
        Span(0, 60, 60), [latency_row(0, "front", 2, 31.0), latency_row(0, "front", 3, 10.0)]
    )
    assert front == {
        "camera": "front",
        "mean_ms": [8.2],
        "max_ms": [15.5],
        "inference_ms": [1.2],
        "results": [5],
    }


def test_latency_of_many_cameras_ends_in_their_sum() -> None:
    rows = [latency_row(60 * (n % 2), f"c{n:03}", 200 - n, 200.0 - n) for n in range(103)]
    *_, other = latency(Span(0, 120, 60), rows)
    assert (other["camera"], other["other"]) == (None, 4)
    assert other["results"] == [99 + 101 - 2 + 0, 200 - 99 + 200 - 101]
    assert other["mean_ms"] == [1.0, 1.0]


def test_certainty_is_per_model_and_version() -> None:
    def row(at_s: int, version: str, results: int, uncertain: int) -> dict[str, Any]:
        return {
            "at_s": at_s,
            "model": "m",
            "model_version": version,
            "results": results,
            "uncertain": uncertain,
        }

    assert certainty(
        Span(0, 120, 60), [row(0, "3", 10, 4), row(60, "3", 1, 0), row(60, "4", 9, 1)]
    ) == [
        {"model": "m", "version": "3", "results": [10, 1], "uncertain": [4, 0]},
        {"model": "m", "version": "4", "results": [None, 9], "uncertain": [None, 1]},
    ]
