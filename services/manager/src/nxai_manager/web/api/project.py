"""The linked Edge Impulse project, and jobs: pull, check, train."""

import re
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PositiveInt, SecretStr, StringConstraints

from nxai_common import logs
from nxai_common.contracts import commands as c
from nxai_common.contracts.topics import Level
from nxai_common.errors import TransientError
from nxai_manager.core.accounts import Scope
from nxai_manager.web.answer import Answer, FieldProblem, Refused
from nxai_manager.web.api.models import Done, JobStarted
from nxai_manager.web.endpoint import Call, Endpoint, Form

TAG: Final = "Edge Impulse"
KEY: Final = r"ei_[\x21-\x7e]{1,500}"
"""As cloud-sync takes them."""


class LinkProject(Form):
    """Which project, with which key."""

    key: SecretStr | None = None
    """API key of the project (Studio: Dashboard > Keys); left out: the one that is there."""
    project: PositiveInt | None = None
    """Left out: the one the key belongs to."""
    impulse: int | None = None
    learn_block: int | None = None
    studio: Annotated[str, StringConstraints(pattern=r"^$|^https?://[^\s@]{1,500}$")] = ""
    """Base URL of another Studio API; empty: Edge Impulse's own."""
    ingestion: Annotated[str, StringConstraints(pattern=r"^$|^https?://[^\s@]{1,500}$")] = ""


class ProjectAnswer(Answer):
    """What is linked."""

    link: dict[str, Any] | None
    """Project, name, role of the key, impulse; null: nothing is."""
    impulses: tuple[dict[str, Any], ...] = ()
    trouble: str = ""
    """Why the key does not do any more."""
    can_link: bool
    """Whether a key may be given here; else by `nxai-cloud-sync link` on the box."""


class PullModel(Form):
    """Which file of the newest model."""

    artefact: Literal["float32", "int8"] | None = None
    """Left out: as the settings say."""
    model: Level | None = None
    """Name in topics; left out: the one it had before, or made of the project's name."""


class Retrain(Form):
    """Whether it shall really begin."""

    confirm: bool = False
    """Without it, the answer says what it would use."""


class JobName(Form):
    """Which job."""

    job: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")]


class JobFilter(Form):
    """Which jobs."""

    command: Annotated[str, StringConstraints(pattern=r"^[a-z-]{0,40}$")] = ""
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class JobList(Answer):
    """Jobs under way and ended, newest first."""

    jobs: tuple[dict[str, Any], ...]
    incomplete: str = ""
    """Why those of before the last start are not in it; empty: they are."""


async def show_project(call: Call) -> ProjectAnswer:
    """Return which project is linked. The key never leaves the box's disk."""
    told = await call.box.ask_json(c.ShowLink())
    return ProjectAnswer(**told, can_link=call.box.handover is not None)


async def link_project(call: Call) -> JobStarted:
    """Link a project (a job): its key is checked, and its impulses are read."""
    order: LinkProject = call.body
    handover = call.box.handover
    if order.key is not None:
        key = order.key.get_secret_value().strip()
        if handover is None:
            raise Refused(
                HTTPStatus.CONFLICT,
                "keys cannot be handed to cloud-sync here: set NXAI_MANAGER_HANDOVER_DIR and "
                "NXAI_CLOUD_SYNC_HANDOVER_DIR to one folder, or use `nxai-cloud-sync link`",
            )
        if not re.fullmatch(KEY, key):
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "that is no API key of Edge Impulse: one begins with ei_, and has no spaces in it "
                "(Dashboard > Keys)",
                (FieldProblem(where="key", reason="must begin with ei_"),),
            )
        logs.register_secret(key)
        try:
            await call.box.in_thread(handover.leave_key, key)
        except TransientError as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
    command = c.LinkProject(
        project=order.project,
        impulse=order.impulse,
        learn_block=order.learn_block,
        studio=order.studio,
        ingestion=order.ingestion,
    )
    try:
        reply = await call.box.ask(command, 30)
    except Refused:
        if order.key is not None and handover is not None:
            await call.box.in_thread(handover.take_back)
        raise
    return JobStarted(job=str(reply.details.get("job", "")), reason=reply.reason)


async def unlink_project(call: Call) -> None:
    """Forget the project and its key; models and pictures stay."""
    await call.box.ask(c.UnlinkProject())


async def pull(call: Call) -> JobStarted:
    """Import the newest model of the project (a job)."""
    order: PullModel = call.body
    return _started(await call.box.ask(c.PullModel(artefact=order.artefact, model=order.model)))


async def check_updates(call: Call) -> JobStarted:
    """Look now whether the project has a new model (a job)."""
    return _started(await call.box.ask(c.CheckUpdates()))


async def retrain(call: Call) -> JobStarted:
    """Train the project again (a job). It uses compute minutes of the account.

    Without `confirm` nothing begins; `reason` then says what it would use.
    """
    return _started(await call.box.ask(c.RetrainModel(confirm=call.body.confirm), 30))


async def list_jobs(call: Call) -> JobList:
    """Return jobs under way, and those that ended lately."""
    told = await call.box.ask_json(c.ListJobs(command=call.query.command, limit=call.query.limit))
    return JobList(jobs=tuple(told["jobs"]), incomplete=told.get("incomplete", ""))


async def cancel_job(call: Call) -> Done:
    """Stop a job."""
    reply = await call.box.ask(c.CancelJob(job=call.path.job))
    return Done(reason=reply.reason)


def _started(reply: c.Reply) -> JobStarted:
    return JobStarted(job=str(reply.details.get("job", "")), reason=reply.reason)


ENDPOINTS: Final = (
    Endpoint("GET", "/project", show_project, Scope.READ, ProjectAnswer, tag=TAG),
    Endpoint(
        "PUT", "/project", link_project, Scope.CONFIGURE, JobStarted, body=LinkProject, tag=TAG
    ),
    Endpoint("DELETE", "/project", unlink_project, Scope.CONFIGURE, tag=TAG),
    Endpoint("POST", "/project/pull", pull, Scope.CONFIGURE, JobStarted, body=PullModel, tag=TAG),
    Endpoint("POST", "/project/check-updates", check_updates, Scope.OPERATE, JobStarted, tag=TAG),
    Endpoint(
        "POST", "/project/retrain", retrain, Scope.CONFIGURE, JobStarted, body=Retrain, tag=TAG
    ),
    Endpoint("GET", "/jobs", list_jobs, Scope.READ, JobList, query=JobFilter, tag=TAG),
    Endpoint("DELETE", "/jobs/{job}", cancel_job, Scope.OPERATE, Done, path_model=JobName, tag=TAG),
)
