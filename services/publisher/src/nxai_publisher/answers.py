"""What the data logger answers to the questions of the page."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Final

import orjson

from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import (
    ChartResults,
    ExportResults,
    ListResults,
    LogQuery,
    Reply,
    ShowLogger,
)
from nxai_common.errors import RejectedError
from nxai_publisher.core import charts
from nxai_publisher.core.charts import Series, Span
from nxai_publisher.core.export import (
    Format,
    count_as_text,
    counts_header,
    iso,
    result_as_json,
    result_as_text,
    results_header,
)
from nxai_publisher.core.places import Place, Walk
from nxai_publisher.core.questions import (
    Filled,
    ResultQuery,
    fill,
    fill_minutes,
    in_microseconds,
)
from nxai_publisher.core.rows import Row
from nxai_publisher.ports import Archive, ResultLog, StorageUnavailable

log = logging.getLogger(__name__)

QUESTIONS: Final[tuple[type[Message], ...]] = (
    ListResults,
    ExportResults,
    ChartResults,
    ShowLogger,
)
PAGE_BYTES: Final = 900_000
"""Of a page of results: a browser shows no more, and the broker serves live results too."""
PART_BYTES: Final = 4_000_000
"""Of a part of an export."""
PAGE_S: Final = 0.15
"""For a page. Where little of much is wanted, an answer comes after so long with what was found,
and leads on."""
PART_S: Final = 0.25
"""For a part of an export: some 20,000 lines."""


class Answers:
    """Looks up what is asked for. Used by several threads."""

    def __init__(
        self,
        archive: Archive,
        result_log: ResultLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._archive = archive
        self._log = result_log
        self._clock = clock
        self._charts: Mapping[str, Callable[[ChartResults, Span], list[Series]]] = {
            "counts": self._counts,
            "latency": self._latency,
            "certainty": self._certainty,
        }

    def answer(self, question: Message) -> Reply:
        """Return the answer: with what was found, or why not."""
        began_at = self._clock()
        try:
            reply = self._look_up(question)
        except StorageUnavailable as error:
            return Reply(ok=False, reason=self._why_not(error))
        except RejectedError as error:
            return Reply(ok=False, reason=str(error))
        except Exception as error:
            log.exception("no answer to %r", question)
            reason = f"unexpected {type(error).__name__}; see the log of the publisher"
            return Reply(ok=False, reason=reason)
        took = {"ms": round((self._clock() - began_at) * 1000, 1)}
        return reply.model_copy(update={"details": reply.details | took})

    def _look_up(self, question: Message) -> Reply:
        match question:
            case ListResults():
                return self._list(question)
            case ExportResults(what="results"):
                return self._export_results(question)
            case ExportResults():
                return self._export_counts(question)
            case ChartResults():
                return self._chart(question)
            case _:
                return self._show()

    # -- results --------------------------------------------------------------------------------

    def _list(self, question: ListResults) -> Reply:
        walk = Walk.NEWEST_FIRST if question.newest_first else Walk.OLDEST_FIRST
        query = ResultQuery(
            *_times(question),
            camera=question.camera,
            model=question.model,
            label=question.label,
            uncertain=question.uncertain,
            with_objects=question.with_objects,
            newest_first=question.newest_first,
            after=Place.read(question.after, walk),
            limit=question.limit,
        )
        page = self._fill(query, result_as_json, question.limit, PAGE_BYTES, PAGE_S)
        to_us = page.searched_to_us
        end = {
            "next": _text(page.next, walk),
            "searched_to": None if to_us is None else iso(max(to_us, query.since_us)),
        }
        body = b'{"results":[' + b",".join(page.pieces) + b"]," + orjson.dumps(end)[1:]
        return Reply(ok=True, attachment=body)

    def _export_results(self, question: ExportResults) -> Reply:
        style = Format(question.format)
        query = ResultQuery(
            *_times(question),
            camera=question.camera,
            model=question.model,
            label=question.label,
            scores_too=True,
            after=Place.read(question.after, Walk.EXPORT),
            limit=question.limit,
        )

        def render(row: Row) -> bytes:
            return result_as_text(row, style, question.label).encode()

        part = self._fill(query, render, question.limit, PART_BYTES, PART_S)
        return _part(question, results_header(style), part, Walk.EXPORT)

    def _export_counts(self, question: ExportResults) -> Reply:
        style = Format(question.format)
        since_us, until_us = _times(question)
        after = Place.read(question.after, Walk.COUNTS)
        if after is not None:
            since_us = max(since_us, after.at_us)
        counts = self._archive.counts(
            since_us, until_us, question.camera, question.label, question.model
        )
        with closing(counts) as rows:
            part = fill_minutes(
                rows,
                lambda row: count_as_text(row, style).encode(),
                limit=question.limit,
                room=PART_BYTES,
            )
        return _part(question, counts_header(style), part, Walk.COUNTS)

    def _fill(
        self,
        query: ResultQuery,
        render: Callable[[Row], bytes],
        limit: int,
        room: int,
        seconds: float,
    ) -> Filled:
        ends_at = self._clock() + seconds
        with closing(self._archive.walk(query)) as steps:
            return fill(
                steps, render, limit=limit, room=room, late=lambda: self._clock() >= ends_at
            )

    # -- charts ---------------------------------------------------------------------------------

    def _chart(self, question: ChartResults) -> Reply:
        since_us, until_us = _times(question)
        if question.chart == "confidence":
            span = charts.whole_span(since_us, until_us)
            rows = self._archive.confidence_sums(
                span, question.camera, question.model, question.label
            )
            return _json({"step_s": span.step_s, "times": [], "series": charts.confidence(rows)})
        span = charts.span_of(since_us, until_us, question.points)
        series = self._charts[question.chart](question, span)
        while _values(series) > charts.MOST_VALUES and span.steps > 1:
            span = span.coarser()
            series = self._charts[question.chart](question, span)
        body: dict[str, Any] = {"step_s": span.step_s, "times": span.times, "series": series}
        if question.label is not None and question.chart != "counts":
            body["ignored"] = ["label"]
        return _json(body)

    def _counts(self, question: ChartResults, span: Span) -> list[Series]:
        only = (question.camera, question.model)
        return charts.counts(
            span,
            self._archive.label_sums(span, *only, question.label),
            self._archive.result_sums(span, ("camera", "model"), *only),
        )

    def _latency(self, question: ChartResults, span: Span) -> list[Series]:
        only = (question.camera, question.model)
        return charts.latency(span, self._archive.result_sums(span, ("camera",), *only))

    def _certainty(self, question: ChartResults, span: Span) -> list[Series]:
        only = (question.camera, question.model)
        by = ("model", "model_version")
        return charts.certainty(span, self._archive.result_sums(span, by, *only))

    # -- overview -------------------------------------------------------------------------------

    def _show(self) -> Reply:
        found = self._archive.overview()
        versions: dict[str, list[str]] = {}
        for model, version in found.versions:
            versions.setdefault(model, []).append(version)
        return _json(
            {
                "enabled": self._log.enabled,
                "database": found.database,
                "rows": found.rows,
                "oldest": None if found.oldest_us is None else iso(found.oldest_us),
                "newest": None if found.newest_us is None else iso(found.newest_us),
                "size_mb": round(found.size_mb, 1),
                "cameras": found.cameras,
                "models": [{"model": name, "versions": of} for name, of in versions.items()],
                "labels": found.labels,
                "estimated": ["rows"],
            }
        )

    def _why_not(self, error: StorageUnavailable) -> str:
        problem = self._log.problem
        if problem is not None:
            return problem.reason
        if not self._log.enabled:
            return f"the data logger is switched off, and what it stored cannot be read: {error}"
        return str(error)


def _times(question: LogQuery) -> tuple[int, int]:
    since_us, until_us = in_microseconds(question.since), in_microseconds(question.until)
    if since_us >= until_us:
        raise RejectedError(
            f"since {question.since.isoformat()} is not before until {question.until.isoformat()}"
        )
    return since_us, until_us


def _text(place: Place | None, walk: Walk) -> str | None:
    return None if place is None else place.text(walk)


def _part(question: ExportResults, header: str, part: Filled, walk: Walk) -> Reply:
    first = b"" if question.after else header.encode()
    return Reply(
        ok=True,
        details={"next": _text(part.next, walk), "rows": len(part.pieces)},
        attachment=first + b"".join(part.pieces),
    )


def _values(series: list[Series]) -> int:
    """Return how many numbers a chart has."""
    return sum(len(value) for one in series for value in one.values() if isinstance(value, list))


def _json(body: object) -> Reply:
    return Reply(ok=True, attachment=orjson.dumps(body))
