"""How the command line asks the running service, and follows a job to its end."""

import contextlib
import json
import re
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from nxai_cloud_sync.cli_tables import SHORT
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.base import Message
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import ServiceState, Status
from nxai_common.errors import BrokerUnavailable, NxaiError

CONNECT_S: Final = 10.0
SERVICE_S: Final = 20.0
"""A box that was just switched on needs some seconds."""
UNHEARD_S: Final = 5.0
"""A service of which the broker knows nothing may start right now, or was never here."""
ANSWER_S: Final = 15.0
"""A quick command waits at most for another quick one."""
SILENCE_S: Final = 900.0
"""A job that says nothing for so long is waited for no more; it goes on all the same."""
GONE_S: Final = 10.0
"""A service that loses the broker for a moment is called offline until it is back."""
RUNS: Final = (ServiceState.RUNNING, ServiceState.DEGRADED)
HOW_TO_START: Final = "start it: `docker compose up -d cloud-sync`, or `make run`"
_UNHEARD: Final = "never heard of"
_ID_TIME: Final = re.compile(r"-(\d{8}t\d{6})(\d{3})-[0-9a-f]{8}$")
"""When a picture was captured, as its id says it."""


class Refused(NxaiError):  # noqa: N818 - what happened
    """The service said no, or it failed; the message says why."""


class Unsure(NxaiError):  # noqa: N818 - what happened
    """It is not known how it ends, and is not waited for any more."""


class Desk:
    """Asks the service."""

    def __init__(
        self, bus: Bus, settings: CloudSyncSettings, progress: Inbox, service: Status
    ) -> None:
        self._bus = bus
        self._progress = progress
        """Of jobs, and what the service says of itself."""
        self._service = service
        self.settings = settings

    def ask(self, command: c.CloudSyncCommand) -> c.Reply:
        """Return the answer.

        Raises:
            BrokerUnavailable: none came.
            Refused: it is no.
        """
        reply = self.request(command)
        if not reply.ok:
            raise Refused(reply.reason)
        return reply

    def request(self, command: c.CloudSyncCommand) -> c.Reply:
        """Return the answer, whatever it is.

        Raises:
            BrokerUnavailable: none came.
        """
        try:
            return self._bus.request(command, ANSWER_S)
        except BrokerUnavailable:
            raise BrokerUnavailable(
                f"the service did not answer within {ANSWER_S:g} s; does nxai-cloud-sync run?"
            ) from None

    def ask_json(self, command: c.CloudSyncCommand) -> Any:  # noqa: ANN401 - whatever it holds
        """Return the JSON in the answer's attachment."""
        return json.loads(bytes(self.ask(command).attachment))

    def do(self, command: c.CloudSyncCommand) -> Progress:
        """Start a job, show how it goes on, return its end.

        Raises:
            Refused: it failed.
            Unsure: it is not waited for any more.
        """
        reply = self.ask(command)
        job = str(reply.details["job"])
        if reply.reason:
            note(reply.reason)
        try:
            return self._follow(job, trains=isinstance(command, c.RetrainModel))
        except KeyboardInterrupt:
            raise Unsure(
                f"interrupted; the job goes on, and `nxai-cloud-sync cancel {job}` ends it"
            ) from None

    def _follow(self, job: str, *, trains: bool) -> Progress:
        heard_at = time.monotonic()
        gone_at: float | None = None
        while time.monotonic() - heard_at < SILENCE_S:
            if gone_at is not None and time.monotonic() - gone_at >= GONE_S:
                raise Unsure(_gone_text("the service ended meanwhile", trains=trains))
            delivery = self._progress.receive(1.0)
            if delivery is None:
                continue
            step = delivery.message
            delivery.acknowledge()
            if isinstance(step, Status):
                gone_at = self._gone(step, gone_at, trains=trains)
            if not isinstance(step, Progress) or step.job != job:
                continue
            heard_at = time.monotonic()
            if step.state is JobState.FAILED:
                raise Refused(step.text)
            if step.state is JobState.DONE:
                return step
            share = f" ({step.done}/{step.total})" if step.total else ""
            note(f"{step.text}{share}")
        raise Unsure(f"job {job} has said nothing for {SILENCE_S:.0f} s; it may still go on")

    def _gone(self, status: Status, before: float | None, *, trains: bool) -> float | None:
        """Return since when the service that was asked is gone; None: it is there.

        Raises:
            Unsure: another process took its place.
        """
        if status.state in RUNS:
            if status.started_at != self._service.started_at:
                raise Unsure(_gone_text("the service was started anew meanwhile", trains=trains))
            return None
        return time.monotonic() if before is None else before

    def sample(self, name: str) -> Any:  # noqa: ANN401 - whatever is told of it
        """Return what is known of a picture; None: there is none."""
        found = _ID_TIME.search(name)
        if found is None:
            return None
        since = _time_of(found)
        if since is None:
            return None
        page = c.ListSamples(since=since, until=since + timedelta(milliseconds=1), limit=c.MAX_PAGE)
        for sample in self.ask_json(page)["samples"]:
            if sample["id"] == name:
                return sample
        return None

    def digest(self, beginning: str) -> str:
        """Return the digest of the one version that begins so.

        Raises:
            Refused: none does, or several do.
        """
        known = [version["digest"] for version in self.ask_json(c.ListModels())["versions"]]
        found = [digest for digest in known if digest.startswith(beginning.lower())]
        if len(found) == 1:
            return str(found[0])
        shown = ", ".join(digest[:SHORT] for digest in (found or known)) or "none"
        what = "fits several" if found else "fits none"
        raise Refused(f"version {beginning!r} {what} of the versions here: {shown}")


def _gone_text(what: str, *, trains: bool) -> str:
    """Say what becomes of a job whose service is not there any more."""
    if trains:
        return (
            f"{what}; a training that was started goes on at Edge Impulse, and the service follows "
            "it again when it is back"
        )
    return f"{what}, and the job ended with it"


def _time_of(found: re.Match[str]) -> datetime | None:
    try:
        second = datetime.strptime(f"{found[1]}+0000", "%Y%m%dt%H%M%S%z")
    except ValueError:
        return None
    return second + timedelta(milliseconds=int(found[2]))


@contextlib.contextmanager
def asking(settings: CloudSyncSettings) -> Iterator[Desk]:
    """Open the way to the service, once it runs.

    Raises:
        BrokerUnavailable: the broker does not answer, or the service does not run.
    """
    password = settings.broker_password
    bus = MqttBus(
        settings.device,
        settings.broker,
        client_id=f"nxai-{settings.device}-cloud-sync-ask-{uuid.uuid4().hex[:8]}",
        username=settings.broker_username,
        password=None if password is None else password.get_secret_value(),
    )
    with bus:
        if not bus.wait_connected(CONNECT_S):
            raise BrokerUnavailable(
                f"the broker at {settings.broker} does not answer, or refuses this account; check "
                "NXAI_BROKER, NXAI_BROKER_USERNAME and NXAI_BROKER_PASSWORD_FILE"
            )
        service = _await_service(bus, settings.instance)
        wanted: list[Subscription[Message]] = [
            Subscription(kind, {"service": settings.instance}) for kind in (Progress, Status)
        ]
        progress = bus.subscribe(*wanted, volatile=True)
        with contextlib.closing(progress):
            yield Desk(bus, settings, progress, service)


def _await_service(bus: Bus, instance: str) -> Status:
    """Return what the service says of itself once it runs: it may just be starting.

    Raises:
        BrokerUnavailable: it does not.
    """
    state = _UNHEARD
    until = time.monotonic() + UNHEARD_S
    with contextlib.closing(bus.subscribe(Subscription(Status, {"service": instance}))) as inbox:
        while (left := until - time.monotonic()) > 0:
            delivery = inbox.receive(left)
            if delivery is None or not isinstance(delivery.message, Status):
                continue
            delivery.acknowledge()
            if delivery.message.state in RUNS:
                return delivery.message
            if state == _UNHEARD:
                until = time.monotonic() + SERVICE_S
            state = delivery.message.state.value
            if delivery.message.state is ServiceState.STOPPED:  # on purpose: by itself it stays so
                break
    raise BrokerUnavailable(f"the service {instance!r} does not run here ({state}); {HOW_TO_START}")


def note(text: str) -> None:
    """Say how it goes, beside what was asked for."""
    sys.stderr.write(text + "\n")
