"""What the data logger holds: tables, charts, downloads. The publisher alone reads the database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import AwareDatetime, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from nxai_common.contracts import commands as c
from nxai_common.contracts.topics import Level
from nxai_manager.core.accounts import Scope
from nxai_manager.web.answer import Answer, Refused
from nxai_manager.web.endpoint import Call, Endpoint, Form

TAG: Final = "data"
QUERY_S: Final = 30.0
CursorText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_=-]{0,600}$")]


class Span(Form):
    """Which results; what is left out fits all."""

    since: AwareDatetime
    until: AwareDatetime
    camera: Level | None = None
    model: Level | None = None
    label: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _check_order(self) -> "Span":
        if self.since >= self.until:
            raise PydanticCustomError("span", "`since` must lie before `until`")
        return self

    def question(self) -> dict[str, Any]:
        """Return the fields of a `LogQuery`."""
        return {name: getattr(self, name) for name in Span.model_fields}


class ResultQuery(Span):
    """A page of results."""

    uncertain: bool | None = None
    with_objects: bool | None = None
    newest_first: bool = True
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: CursorText = ""


class ResultPage(Answer):
    """A page of results."""

    results: tuple[dict[str, Any], ...]
    next: str | None
    """`after` of the next page; null: this is the last."""
    searched_to: datetime | None = None
    """Where little fits, a page comes before it is full: up to this moment all was looked at."""


class ChartQuery(Span):
    """How fine a chart shall be."""

    points: Annotated[int, Field(ge=10, le=2000)] = 300


class ChartName(Form):
    """Which chart."""

    chart: Literal["counts", "confidence", "latency", "certainty"]


class ChartAnswer(Answer, extra="allow"):
    """Sums over time: `times` (Unix milliseconds) and a list of numbers as long for each series."""

    series: tuple[dict[str, Any], ...]


class ExportQuery(Span):
    """What to download."""

    what: Literal["results", "counts"] = "results"
    format: Literal["csv", "jsonl"] = "csv"


class LoggerAnswer(Answer, extra="allow"):
    """What the data logger holds."""

    enabled: bool


async def show_logger(call: Call) -> LoggerAnswer:
    """Return what the data logger holds: rows, first and last, cameras, models, labels."""
    return LoggerAnswer(**await call.box.ask_json(c.ShowLogger(), QUERY_S))


async def list_results(call: Call) -> ResultPage:
    """Return a page of stored results."""
    wanted: ResultQuery = call.query
    told = await call.box.ask_json(
        c.ListResults(
            **wanted.question(),
            uncertain=wanted.uncertain,
            with_objects=wanted.with_objects,
            newest_first=wanted.newest_first,
            limit=wanted.limit,
            after=wanted.after,
        ),
        QUERY_S,
    )
    return ResultPage(
        results=tuple(told["results"]), next=told["next"], searched_to=told.get("searched_to")
    )


async def show_chart(call: Call) -> ChartAnswer:
    """Return sums over time for a chart.

    counts: objects per camera and label; confidence: histogram per label; latency: per camera;
    certainty: share of doubtful results per model version.
    """
    wanted: ChartQuery = call.query
    told = await call.box.ask_json(
        c.ChartResults(**wanted.question(), chart=call.path.chart, points=wanted.points), QUERY_S
    )
    return ChartAnswer(**told)


async def export(call: Call) -> web.StreamResponse:
    """Download results or counts as CSV or JSON lines, however many there are.

    A break in the middle ends the connection, so that half a file is not taken for a whole one.
    """
    wanted: ExportQuery = call.query
    parts = _parts(call, wanted)
    first = await anext(parts)  # what can be refused is refused before a header is sent
    kind = "text/csv" if wanted.format == "csv" else "application/x-ndjson"
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    name = f"{call.box.bus.device}-{wanted.what}-{stamp}.{wanted.format}"
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
    )
    if "gzip" in call.request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    await response.prepare(call.request)
    await response.write(first)
    async for part in parts:
        await response.write(part)
    await response.write_eof()
    return response


async def _parts(call: Call, wanted: ExportQuery) -> AsyncIterator[bytes]:
    after: str | None = ""
    while after is not None:
        reply = await call.box.ask(
            c.ExportResults(
                **wanted.question(), what=wanted.what, format=wanted.format, after=after
            ),
            QUERY_S,
        )
        yield bytes(reply.attachment)
        told = reply.details.get("next")
        if told == after:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the export does not get on")
        after = None if told is None else str(told)


ENDPOINTS: Final = (
    Endpoint("GET", "/data/logger", show_logger, Scope.READ, LoggerAnswer, errors=(409,), tag=TAG),
    Endpoint(
        "GET",
        "/data/results",
        list_results,
        Scope.READ,
        ResultPage,
        query=ResultQuery,
        errors=(409,),
        tag=TAG,
    ),
    Endpoint(
        "GET",
        "/data/charts/{chart}",
        show_chart,
        Scope.READ,
        ChartAnswer,
        query=ChartQuery,
        path_model=ChartName,
        errors=(409,),
        tag=TAG,
    ),
    Endpoint(
        "GET",
        "/data/export",
        export,
        Scope.READ,
        query=ExportQuery,
        raw_answer="text/csv",
        errors=(409,),
        tag=TAG,
    ),
)
