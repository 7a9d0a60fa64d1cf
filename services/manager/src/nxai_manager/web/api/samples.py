"""Pictures that were collected for retraining: looked through, corrected, sent."""

import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from nxai_common.contracts import commands as c
from nxai_common.contracts.results import Box as Rectangle
from nxai_manager.core.accounts import Scope
from nxai_manager.web.answer import Answer, Refused
from nxai_manager.web.api.models import JobStarted
from nxai_manager.web.endpoint import Call, Endpoint, Form

TAG: Final = "samples"
State = Literal["", "new", "approved", "discarded", "uploading", "uploaded", "failed"]
Word = Annotated[str, StringConstraints(max_length=200)]
SampleKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-z-]{1,64}$")]
Width = Annotated[int, Field(ge=16, le=8192)]
TIME_IN_NAME: Final = re.compile(r"-(\d{8}t\d{6})(\d{3})-[0-9a-f]+$")
"""When a picture was captured, to the millisecond: cloud-sync names pictures by it."""
A_MOMENT: Final = timedelta(milliseconds=1)
LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC) - A_MOMENT
"""Behind which there is none."""
MOST_A_MOMENT: Final = 200
"""Pictures captured within one millisecond: a box has fewer cameras."""


class SampleFilter(Form):
    """Which pictures; what is left out fits all."""

    state: State = ""
    camera: Word = ""
    label: Word = ""
    strategy: Word = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    by_value: bool = False
    """The most valuable first, instead of the newest."""
    limit: Annotated[int, Field(ge=1, le=200)] = 60
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0


class SampleList(Answer):
    """A page of pictures."""

    samples: tuple[dict[str, Any], ...]
    total: int


class SampleAnswer(Answer):
    """One picture."""

    sample: dict[str, Any]
    """With all its boxes, scores and labels; a list leaves some out where there are very many."""


class SampleCounts(Answer, extra="allow"):
    """How many pictures there are in which state, and the room they take."""

    by_state: dict[str, int]


class SampleName(Form):
    """Which picture."""

    sample: SampleKey


class PictureSize(Form):
    """How large."""

    width: Width | None = None
    """Scaled down to it; left out: as it was captured."""


class Label(Rectangle):
    """A rectangle that a person confirmed, in pixels of the picture."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    label: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Review(Form):
    """What shall become of pictures."""

    samples: Annotated[tuple[SampleKey, ...], Field(min_length=1, max_length=c.MAX_IDS)]
    decision: Literal["approved", "discarded", "new"]
    boxes: Annotated[tuple[Label, ...], Field(max_length=1000)] | None = None
    """Of one picture: they go up as its labels. Empty: nothing is on it."""
    confirm_predictions: bool = False
    """What the model found is right, and goes up as the labels."""


class Reviewed(Answer):
    """What was changed."""

    changed: int
    reason: str = ""
    """Why some were not."""


class Upload(Form):
    """What shall be sent to Edge Impulse."""

    samples: Annotated[tuple[SampleKey, ...], Field(max_length=c.MAX_IDS)] = ()
    """Empty: all that were approved."""
    include_new: bool = False
    """Also those that nobody has looked at."""


async def list_samples(call: Call) -> SampleList:
    """Return a page of the collected pictures: why each was kept, where it stands."""
    wanted: SampleFilter = call.query
    told = await call.box.ask_json(
        c.ListSamples(
            state=wanted.state,
            camera=wanted.camera,
            label=wanted.label,
            strategy=wanted.strategy,
            since=wanted.since,
            until=wanted.until,
            limit=wanted.limit,
            offset=wanted.offset,
            by_value=wanted.by_value,
        )
    )
    return SampleList(samples=tuple(told["samples"]), total=told["total"])


async def show_sample(call: Call) -> SampleAnswer:
    """Return what is known of one picture."""
    name = call.path.sample
    since = _captured_at(name)
    if since is not None:
        until = since + A_MOMENT
        told = await call.box.ask_json(c.ListSamples(since=since, until=until, limit=MOST_A_MOMENT))
        for sample in told["samples"]:
            if sample["id"] == name:
                return SampleAnswer(sample=sample)
    raise Refused(HTTPStatus.NOT_FOUND, f"there is no picture {name!r}")


def _captured_at(name: str) -> datetime | None:
    """Return the millisecond in which a picture was captured; None: nothing is called so."""
    found = TIME_IN_NAME.search(name)
    try:
        at = found and datetime.strptime(f"{found[1]}{found[2]}+0000", "%Y%m%dt%H%M%S%f%z")
    except ValueError:
        return None
    return at and (at if at <= LAST_MOMENT else None)


async def count_samples(call: Call) -> SampleCounts:
    """Return how many pictures there are in which state, per camera and reason, and their room."""
    return SampleCounts(**await call.box.ask_json(c.CountSamples()))


async def show_picture(call: Call) -> web.Response:
    """Return a picture (JPEG); masks are burned in."""
    reply = await call.box.ask(c.ShowSample(sample=call.path.sample, max_width=call.query.width))
    return web.Response(
        body=bytes(reply.attachment),
        content_type="image/jpeg",
        # A picture never changes; a browser of somebody who has logged out must not show it.
        headers={"Cache-Control": "private, max-age=3600", "Vary": "Cookie, Authorization"},
    )


async def review(call: Call) -> Reviewed:
    """Approve, discard or put back pictures; correct the boxes of one."""
    order: Review = call.body
    boxes = order.boxes
    reply = await call.box.ask(
        c.ReviewSamples(
            samples=order.samples,
            decision=order.decision,
            boxes=None
            if boxes is None
            else tuple(c.LabelledBox(**box.model_dump()) for box in boxes),
            confirm_predictions=order.confirm_predictions,
        )
    )
    return Reviewed(changed=int(reply.details.get("changed") or 0), reason=reply.reason)


async def upload(call: Call) -> JobStarted:
    """Send approved pictures to the linked project (a job)."""
    order: Upload = call.body
    reply = await call.box.ask(
        c.UploadSamples(samples=order.samples, include_new=order.include_new)
    )
    return JobStarted(job=str(reply.details.get("job", "")), reason=reply.reason)


ENDPOINTS: Final = (
    Endpoint("GET", "/samples", list_samples, Scope.READ, SampleList, query=SampleFilter, tag=TAG),
    Endpoint("GET", "/samples/counts", count_samples, Scope.READ, SampleCounts, tag=TAG),
    Endpoint(
        "GET",
        "/samples/{sample}",
        show_sample,
        Scope.READ,
        SampleAnswer,
        path_model=SampleName,
        errors=(404, 409),
        tag=TAG,
    ),
    Endpoint(
        "GET",
        "/samples/{sample}/picture",
        show_picture,
        Scope.READ,
        query=PictureSize,
        path_model=SampleName,
        raw_answer="image/jpeg",
        errors=(409,),
        tag=TAG,
    ),
    Endpoint("POST", "/samples/review", review, Scope.OPERATE, Reviewed, body=Review, tag=TAG),
    Endpoint("POST", "/samples/upload", upload, Scope.OPERATE, JobStarted, body=Upload, tag=TAG),
)
