"""The loop: receive, decide, emit, acknowledge; what takes long is a job on another thread.

Its parts are done apart from one another: what fails is told and tried again, and the pictures go
on coming.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from nxai_cloud_sync.answers import COMMANDS, Answers
from nxai_cloud_sync.incoming import Incoming
from nxai_cloud_sync.job_log import JobLog
from nxai_cloud_sync.jobs import Jobs
from nxai_cloud_sync.parts import Parts
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_cloud_sync.routine import EDGE_IMPULSE, Due, Routine
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_common.bus.ports import Bus, Delivery, Inbox, Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import Problem, Status
from nxai_common.errors import NxaiError
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Beat, Report, Stop

log = logging.getLogger(__name__)

POLL_S: Final = 0.5
"""Longest wait for a message: how late a stop or a heartbeat may be seen."""
TICK_S: Final = 1.0
"""Between two looks at trials, windows and polls."""
SWEEP_EVERY_S: Final = 60.0
"""Between two looks for keys and files that somebody left and forgot."""
OPEN_AGAIN: Final = RetryPolicy(first_s=1, factor=2, longest_s=30)
"""A disk that could not be read at the start may be there at any moment."""
COMPLAIN_EVERY_S: Final = 60.0
"""A fault that comes with every message must not fill the disk with log lines."""


class CloudSync:
    """Implements the runtime's `Service`."""

    def __init__(
        self,
        settings: CloudSyncSettings,
        bus: Bus,
        beat: Beat,
        parts: Parts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._beat = beat
        self._parts = parts
        self._clock = clock
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._inbox: Inbox = self._subscribe()
        self._settings = settings
        self._jobs = Jobs(bus, settings.instance, self._inbox.wake, JobLog(parts.history, clock))
        self._routine = Routine(bus, parts, self._jobs, clock, self._rng)
        self._incoming = Incoming(settings.incoming_dir)
        self._answers = Answers(parts, self._jobs, self._routine, self._incoming)
        self._opened = False
        self._opening = Due()
        self._tick_at = clock()
        self._sweep_at = clock()
        # What other threads read is replaced as a whole.
        self._disk_problem = ""
        self._faults: Mapping[str, Problem] = {}
        """Parts of the loop that failed."""
        self._complained_at: dict[str, float] = {}

    def run(self, stop: Stop) -> None:
        """Receive, decide, emit, acknowledge; until stopped.

        Raises:
            ConfigurationError: another process works in the state folder.
        """
        try:
            with _together(*self.threads):
                while not stop.is_set():
                    self.turn(POLL_S)
        finally:
            self._parts.deployer.close()
            self._inbox.close()

    @property
    def threads(self) -> tuple[AbstractContextManager[object], ...]:
        """What works beside the loop, each on threads of its own."""
        return (self._parts.collector, *self._jobs.lanes, *self._answers.errands)

    def turn(self, timeout: float) -> None:
        """Handle one message, or what else is due when none comes within `timeout` seconds."""
        self._beat()
        self._open()
        delivery = self._inbox.receive(timeout)
        while not self._jobs.left.empty():
            self._attempt("what follows a job", self._jobs.left.get())
        if self._clock() >= self._tick_at:
            self._tick_at = self._clock() + TICK_S
            self._tick()
        if delivery is not None:
            self._attempt("messages", partial(self._handle, delivery))

    def report(self) -> Report:
        """Return how it goes."""
        parts = self._parts
        problems = [*parts.collector.problems, *parts.deployer.problems]
        if self._disk_problem:
            problems.append(Problem(about="disk", reason=self._disk_problem))
        problems += self._faults.values()
        trouble = parts.project.trouble
        if trouble:
            problems.append(Problem(about=EDGE_IMPULSE, reason=trouble))
        problems += (p for p in self._routine.problems if not (trouble and p.about == EDGE_IMPULSE))
        # What is wrong with the disk, several parts find out.
        told = {problem.reason: problem for problem in reversed(problems)}
        return Report(
            problems=tuple(reversed(told.values())),
            counters={
                **parts.collector.counters,
                **parts.deployer.counters,
                "jobs_done": self._jobs.done,
                "jobs_failed": self._jobs.failed,
            },
            gauges={**parts.collector.gauges, "deployed": len(parts.deployer.models)},
            folder=self._settings.state_dir,
            configuration_revision=parts.wanted.configuration.revision,
        )

    def _subscribe(self) -> Inbox:
        wanted: list[Subscription[Message]] = [
            Subscription(CloudSyncConfiguration),
            Subscription(Status),
            Subscription(Sample),
            # Our own, from before a start: to clear those of models that are deployed no more.
            Subscription(Deployment),
        ]
        wanted += [
            Subscription(kind, {"service": "cloud-sync", "name": _name_of(kind)})
            for kind in COMMANDS
        ]
        return self._bus.subscribe(*wanted)

    def _handle(self, delivery: Delivery[Message]) -> None:
        match delivery.message:
            case Sample():
                self._parts.collector.offer(delivery)  # acknowledges it when it is safe
            case CloudSyncConfiguration() as configuration:
                self._configure(configuration)
            case Status() as status:
                self._parts.inference.see(status)
                self._parts.deployer.see_status(status)
            case Deployment(model=model):
                self._routine.reported(model)
            case c.CloudSyncCommand() as command:
                self._answer(command, delivery.reply)
            case _:
                log.error("no handler for %s", type(delivery.message).__name__)

    def _configure(self, configuration: CloudSyncConfiguration) -> None:
        self._parts.wanted.configuration = configuration
        self._parts.collector.configure(configuration)
        self._routine.configured()

    def _answer(self, command: c.CloudSyncCommand, reply: Callable[[c.Reply], None]) -> None:
        if self._opened:
            self._answers.answer(command, reply)
        else:
            if isinstance(command, c.LinkProject):
                with contextlib.suppress(NxaiError):  # it goes, whatever it was
                    self._parts.handed_key.take()
            reason = self._disk_problem or "the service has just started; ask again"
            reply(c.Reply(ok=False, reason=reason))

    def _attempt(self, what: str, work: Callable[[], None]) -> None:
        """Do one part of the work; what it fails of is told, and does not end the loop."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - logged, told in the status, and tried again
            self._fail(what, error)
        else:
            if what in self._faults:
                self._faults = {name: of for name, of in self._faults.items() if name != what}

    def _fail(self, what: str, error: Exception) -> None:
        about, reason, expected = "cloud-sync", str(error), isinstance(error, NxaiError)
        if isinstance(error, StorageUnavailable):
            about = "disk"
        elif not expected:
            reason = f"unexpected {type(error).__name__} in {what}; see the log"
        problem = Problem(about=about, reason=reason)
        now = self._clock()
        if now - self._complained_at.get(what, float("-inf")) >= COMPLAIN_EVERY_S:
            self._complained_at[what] = now
            log.error("%s: %s", what, reason, exc_info=None if expected else error)
        self._faults = {**self._faults, what: problem}

    def _open(self) -> None:
        """Take up what was kept; later again where it cannot be read now.

        Until then nothing is told of deployments, and nothing is done that asks for them.

        Raises:
            ConfigurationError: another process works in the state folder.
        """
        if self._opened or self._clock() < self._opening.at:
            return
        try:
            self._parts.claim()
            self._parts.catalogue.open()
            self._parts.project.open()
            self._parts.deployer.open()
        except StorageUnavailable as error:
            if self._disk_problem != str(error):
                log.error("%s", error)  # noqa: TRY400 - the reason is in the text
            self._disk_problem = str(error)
            self._opening.put_off(self._clock(), OPEN_AGAIN, self._rng)
            return
        self._disk_problem = ""
        self._opened = True
        self._attempt("left-over keys", self._parts.handed_key.open)
        self._attempt("left-over files", self._incoming.sweep)

    def _tick(self) -> None:
        if self._clock() >= self._sweep_at:
            self._sweep_at = self._clock() + SWEEP_EVERY_S
            self._attempt("left-over keys", self._parts.handed_key.sweep)
            self._attempt("left-over files", self._incoming.sweep)
        if self._opened:
            for name, part in self._routine.due():
                self._attempt(name, part)


@contextlib.contextmanager
def _together(*parts: AbstractContextManager[object]) -> Iterator[None]:
    """Open parts, and close them all at the same time: each may need seconds to say goodbye."""
    goodbyes: list[threading.Thread] = []
    try:
        for part in parts:
            opened = contextlib.ExitStack()
            opened.enter_context(part)
            goodbyes.append(threading.Thread(target=opened.close, name="goodbye"))
        yield
    finally:
        for goodbye in goodbyes:
            goodbye.start()
        for goodbye in goodbyes:
            goodbye.join()


def _name_of(kind: type[c.CloudSyncCommand]) -> str:
    return str(kind.model_fields["name"].default)
