"""Charts over what is stored: steps of time, and one series a camera, label or model version.

A step without any result is None in every series: nobody looked. A step with results that show
nothing is 0.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import Any, Final, TypeVar

from nxai_publisher.core.rows import CONFIDENCE_BINS, MINUTE_S, QUARTER_S, Row

STEPS_S: Final = (MINUTE_S, 300, QUARTER_S, 3600, 21_600, 86_400)
"""Round numbers, each a multiple of the one before. Beyond: whole days."""
MOST_SERIES: Final = 100
"""More lines than anybody can tell apart; the smallest are summed as "other"."""
MOST_VALUES: Final = 120_000
"""Numbers in an answer: some 800 kB of JSON."""
FINE_S: Final = 6 * 3600
"""A histogram over no more than this is summed from minutes, a longer one from quarters."""

Series = dict[str, Any]
Joins = Mapping[str, Callable[[Any, Any], Any]]
"""Columns, and how the numbers of two series become one."""
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Span:
    """Steps of time, in Unix seconds. They begin at multiples of their length, in UTC."""

    start_s: int
    end_s: int
    step_s: int

    @property
    def steps(self) -> int:
        """How many."""
        return (self.end_s - self.start_s) // self.step_s

    @property
    def times(self) -> list[int]:
        """Unix milliseconds at which each begins."""
        return [at_s * 1000 for at_s in range(self.start_s, self.end_s, self.step_s)]

    def coarser(self) -> "Span":
        """Return fewer and longer steps over at least the same time."""
        longer = [step for step in STEPS_S if step > self.step_s]
        return _aligned(self.start_s, self.end_s, longer[0] if longer else self.step_s * 2)


def span_of(since_us: int, until_us: int, points: int) -> Span:
    """Return the shortest round steps of which at most `points` cover a time.

    The steps that the two ends lie in are counted whole.
    """
    since_s, until_s = since_us // 1_000_000, -(-until_us // 1_000_000)
    seconds = max(until_s - since_s, 1)
    for step_s in STEPS_S:
        if seconds <= points * step_s:
            return _aligned(since_s, until_s, step_s)
    day_s = STEPS_S[-1]
    return _aligned(since_s, until_s, day_s * -(-seconds // (points * day_s)))


def whole_span(since_us: int, until_us: int) -> Span:
    """Return a time as one step, widened to whole minutes, or quarters when it is long."""
    since_s, until_s = since_us // 1_000_000, -(-until_us // 1_000_000)
    fine_s = MINUTE_S if until_s - since_s <= FINE_S else QUARTER_S
    wide = _aligned(since_s, until_s, fine_s)
    return Span(wide.start_s, wide.end_s, wide.end_s - wide.start_s)


def counts(span: Span, labels: Iterable[Row], results: Iterable[Row]) -> list[Series]:
    """Return objects over time, per camera, model and label; the most frequent first.

    Args:
        span: The steps.
        labels: Sums per step, camera, model and label: objects, max_objects.
        results: Sums per step, camera and model: results.

    Returns:
        Of each: `objects` in all, `mean` of a result (of all results of that camera and model,
        not only those that show the label), `max` of a result.
    """
    looked = _by(span, results, lambda row: (row["camera"], row["model"]), {"results": add})
    found = _by(
        span,
        labels,
        lambda row: (row["camera"], row["model"], row["label"]),
        {"objects": add, "max_objects": max},
    )
    nobody: list[Any] = [None] * span.steps
    made = []
    for keys in _ranked(found, "objects"):
        sums = _total([found[key] for key in keys], {"objects": add, "max_objects": max})
        pairs = {key[:2] for key in keys}
        seen = _total([looked[pair] for pair in pairs if pair in looked], {"results": add})
        of = seen.get("results", nobody)
        made.append(
            _named(("camera", "model", "label"), keys)
            | {
                "mean": [_ratio(n, m, 3) for n, m in zip(sums["objects"], of, strict=True)],
                "max": [_zero(n, m) for n, m in zip(sums["max_objects"], of, strict=True)],
                "objects": [_zero(n, m) for n, m in zip(sums["objects"], of, strict=True)],
            }
        )
    return made


def confidence(rows: Iterable[Row]) -> list[Series]:
    """Return a histogram of ten bins, and the mean confidence, per label; most objects first.

    Args:
        rows: Sums per label: objects, confidence_sum, confidence_0 to confidence_9.
    """
    bins = [f"confidence_{n}" for n in range(CONFIDENCE_BINS)]
    names = ("objects", "confidence_sum", *bins)
    found = {(row["label"],): {name: [row[name]] for name in names} for row in rows}
    made = []
    for keys in _ranked(found, "objects"):
        sums = _total([found[key] for key in keys], dict.fromkeys(names, add))
        made.append(
            _named(("label",), keys)
            | {
                "bins": [int(sums[name][0]) for name in bins],
                "mean": _ratio(sums["confidence_sum"][0], sums["objects"][0], 4),
            }
        )
    return made


def latency(span: Span, rows: Iterable[Row]) -> list[Series]:
    """Return milliseconds over time per camera; the one with the most results first.

    Args:
        span: The steps.
        rows: Sums per step and camera: results, latency_ms_sum, latency_ms_max,
            inference_ms_sum.
    """
    names: Joins = {
        "results": add,
        "latency_ms_sum": add,
        "latency_ms_max": max,
        "inference_ms_sum": add,
    }
    found = _by(span, rows, lambda row: (row["camera"],), names)
    made = []
    for keys in _ranked(found, "results"):
        sums = _total([found[key] for key in keys], names)
        of = sums["results"]
        spent, inferring = sums["latency_ms_sum"], sums["inference_ms_sum"]
        made.append(
            _named(("camera",), keys)
            | {
                "mean_ms": [_ratio(n, m, 2) for n, m in zip(spent, of, strict=True)],
                "max_ms": [None if n is None else round(n, 2) for n in sums["latency_ms_max"]],
                "inference_ms": [_ratio(n, m, 2) for n, m in zip(inferring, of, strict=True)],
                "results": of,
            }
        )
    return made


def certainty(span: Span, rows: Iterable[Row]) -> list[Series]:
    """Return results and doubtful ones over time per model and version; most results first.

    Args:
        span: The steps.
        rows: Sums per step, model and model_version: results, uncertain.
    """
    names: Joins = {"results": add, "uncertain": add}
    found = _by(span, rows, lambda row: (row["model"], row["model_version"]), names)
    return [
        _named(("model", "version"), keys) | _total([found[key] for key in keys], names)
        for keys in _ranked(found, "results")
    ]


_Columns = dict[str, list[Any]]
"""Numbers of each step by name; None: no result."""


def _aligned(since_s: int, until_s: int, step_s: int) -> Span:
    start_s = since_s // step_s * step_s
    return Span(start_s, max(-(-until_s // step_s) * step_s, start_s + step_s), step_s)


def _by(
    span: Span,
    rows: Iterable[Row],
    key_of: Callable[[Row], K],
    names: Joins,
) -> dict[K, _Columns]:
    """Sort sums into the steps of their series; there may be several of one step."""
    found: dict[K, _Columns] = {}
    for row in rows:
        key = key_of(row)
        columns = found.get(key)
        if columns is None:
            columns = found[key] = {name: [None] * span.steps for name in names}
        step = (row["at_s"] - span.start_s) // span.step_s
        for name, join in names.items():
            value = row[name]
            value = value if isinstance(value, float) else int(value)
            column = columns[name]
            before = column[step]
            column[step] = value if before is None else join(before, value)
    return found


def _total(parts: Sequence[_Columns], names: Joins) -> _Columns:
    if len(parts) == 1:
        return parts[0]
    total: _Columns = {}
    for part in parts:
        for name, join in names.items():
            before = total.get(name)
            total[name] = (
                list(part[name])
                if before is None
                else [
                    b if a is None else a if b is None else join(a, b)
                    for a, b in zip(before, part[name], strict=True)
                ]
            )
    return total


def _ranked(found: Mapping[K, _Columns], weight: str) -> list[list[K]]:
    """Return the keys of each series: one, the heaviest first, and all of the rest as the last."""
    ranked = sorted(
        found, key=lambda key: (-sum(n for n in found[key][weight] if n is not None), str(key))
    )
    if len(ranked) <= MOST_SERIES:
        return [[key] for key in ranked]
    return [*([key] for key in ranked[: MOST_SERIES - 1]), ranked[MOST_SERIES - 1 :]]


def _named(names: tuple[str, ...], keys: Sequence[tuple[str, ...]]) -> Series:
    if len(keys) == 1:
        return dict(zip(names, keys[0], strict=True))
    return {**dict.fromkeys(names), "other": len(keys)}


def _ratio(value: Any, of: Any, digits: int) -> float | None:  # noqa: ANN401 - numbers of any kind that a database sums to
    if not of:
        return None
    return round(float(value or 0) / int(of), digits)


def _zero(value: int | None, of: int | None) -> int | None:
    """Return 0 where there were results and none with the label."""
    return 0 if value is None and of is not None else value
