"""The loop: receive, decide, emit, acknowledge; what takes long is a job on another thread.

Its parts are done apart from one another: what fails is told and tried again, and the pictures go
on coming.
"""

import contextlib
import json
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from nxai_cloud_sync.collector import Collector
from nxai_cloud_sync.core.catalogue import CatalogueVersion, VersionState
from nxai_cloud_sync.core.sample import LabelledBox, SampleFilter, SampleState, StoredSample
from nxai_cloud_sync.core.upload_window import allowance, day_start_us
from nxai_cloud_sync.core.uploading import UploadSummary
from nxai_cloud_sync.deployer import Deployer
from nxai_cloud_sync.importer import Importer
from nxai_cloud_sync.jobs import Cancelled, Details, Ended, Job, Lane, Work
from nxai_cloud_sync.linked_project import LinkedProject, Purpose
from nxai_cloud_sync.ports import Catalogue, SampleStore, StorageUnavailable
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_cloud_sync.trainer import Trainer
from nxai_cloud_sync.updates import UpdateWatch
from nxai_cloud_sync.uploader import Destination, Uploader, UploadOrder
from nxai_common.bus.ports import Bus, Delivery, Inbox, Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import Problem, ServiceState, Status
from nxai_common.errors import KeyRefused, NxaiError, RejectedError
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Beat, Report, Stop

log = logging.getLogger(__name__)

POLL_S: Final = 0.5
"""Longest wait for a message: how late a stop or a heartbeat may be seen."""
TICK_S: Final = 1.0
"""Between two looks at trials, windows and polls."""
UPLOAD_EVERY_S: Final = 30.0
"""Pictures that may go up by themselves are collected for so long: one connection for them all."""
AGAIN: Final = RetryPolicy(first_s=30, factor=2, longest_s=3600)
"""What goes on by itself and failed is tried again, at last once an hour."""
OPEN_AGAIN: Final = RetryPolicy(first_s=1, factor=2, longest_s=30)
"""A disk that could not be read at the start may be there at any moment."""
CALLED_OFF_S: Final = 3600.0
"""An upload that a person cancelled does not begin again by itself for so long."""
COMPLAIN_EVERY_S: Final = 60.0
"""A fault that comes with every message must not fill the disk with log lines."""
LEFT_OVER_S: Final = 86_400.0
"""A file that was to be imported, and is so old when the service starts, belongs to no job."""
ONLINE: Final = frozenset({"link", "pull", "check-updates", "retrain", "upload"})
"""Jobs that ask Edge Impulse for something."""
EDGE_IMPULSE: Final = "edge impulse"
"""What most problems of jobs are about."""
TAKING: Final = frozenset({"import", "shadow", "promote"})
"""Policies by which a new model is fetched."""

NOT_CONFIGURED: Final = CloudSyncConfiguration(revision="")
"""Nothing is collected, and nothing goes on by itself."""

VERSIONS: Final = TypeAdapter(tuple[CatalogueVersion, ...])
SAMPLES: Final = TypeAdapter(tuple[StoredSample, ...])


class Presence:
    """Which processes of a role run now. Read from any thread."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._here: Mapping[str, frozenset[str]] = {}
        """Its models, by process. Never changed, only replaced: other threads read it."""

    def see(self, status: Status) -> None:
        """Take what a process says of itself."""
        if status.role != self._role:
            return
        others = {name: models for name, models in self._here.items() if name != status.service}
        if status.state in (ServiceState.RUNNING, ServiceState.DEGRADED):
            others[status.service] = frozenset(model.model for model in status.models)
        self._here = others

    def any(self) -> bool:
        """Tell whether one does."""
        return bool(self._here)

    def models(self) -> frozenset[str]:
        """Return the names of all models that they run."""
        return frozenset().union(*self._here.values())


@dataclass(slots=True)
class Wanted:
    """The configuration in force. Replaced as a whole; read from any thread."""

    configuration: CloudSyncConfiguration = NOT_CONFIGURED


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of."""

    project: LinkedProject
    catalogue: Catalogue
    samples: SampleStore
    collector: Collector
    deployer: Deployer
    importer: Importer
    uploader: Uploader
    trainer: Trainer
    updates: UpdateWatch
    inference: Presence
    wanted: Wanted
    claim: Callable[[], None]
    """Keeps other processes out of the state folder, once and for all.

    Raises ConfigurationError where another one is in there, StorageUnavailable where the disk
    does not do: it is asked again then.
    """


@dataclass(slots=True)
class _Due:
    """When something is tried the next time, and how often it failed since it went well."""

    at: float = float("-inf")
    failures: int = 0

    def put_off(self, now: float, policy: RetryPolicy, rng: random.Random) -> None:
        """Wait longer each time."""
        self.failures += 1
        self.at = now + policy.delay(self.failures, rng)

    def at_once(self) -> None:
        """Try it now, and begin anew with the waiting."""
        self.at, self.failures = float("-inf"), 0


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
        self._settings = settings
        self._bus = bus
        self._beat = beat
        self._parts = parts
        self._clock = clock
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._revision = ""
        self._ended: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """What jobs leave for the loop to do; at most one a job."""
        self._inbox: Inbox = self._subscribe()
        self._models = Lane("models", bus, settings.instance, self._inbox.wake)
        self._uploads = Lane("uploads", bus, settings.instance, self._inbox.wake)
        # A training is followed for hours: nothing waits behind it.
        self._trainings = Lane("trainings", bus, settings.instance, self._inbox.wake)
        self._lanes = (self._models, self._uploads, self._trainings)
        self._jobs: tuple[Job, ...] = ()
        """Those that wait or run, and some that have just ended."""
        self._newest: dict[str, tuple[Job, Hashable]] = {}
        """The newest job of each name, and what was wanted of it."""
        self._opened = False
        self._opening = _Due()
        self._tick_at = clock()
        self._next_upload = _Due()
        self._next_test = _Due()
        self._next_check = _Due()
        self._took_up_training = False
        self._to_try: dict[str, str] = {}
        """Versions that came by themselves and are to be tried, by model."""
        self._reported: set[str] = set()
        """Models of which the broker keeps a report; looked through with each tick."""
        # What other threads read is replaced as a whole.
        self._disk_problem = ""
        self._stuck: Mapping[str, Problem] = {}
        """Why something that goes on by itself does not, by the name of its jobs."""
        self._faults: Mapping[str, Problem] = {}
        """Parts of the loop that failed."""
        self._complained_at: dict[str, float] = {}
        self._handlers: Mapping[type[Message], Callable[[Any], c.Reply]] = {
            c.LinkProject: self._link,
            c.UnlinkProject: self._unlink,
            c.ShowLink: self._show_link,
            c.PullModel: self._pull,
            c.ImportModel: self._import,
            c.ListModels: self._list_models,
            c.EditModel: self._edit_model,
            c.DeleteModel: self._delete_model,
            c.DeployModel: self._deploy,
            c.UndeployModel: self._undeploy,
            c.PromoteModel: self._promote,
            c.EndShadow: self._end_shadow,
            c.RollBackModel: self._roll_back,
            c.ListSamples: self._list_samples,
            c.ShowSample: self._show_sample,
            c.ReviewSamples: self._review,
            c.UploadSamples: self._upload_samples,
            c.RetrainModel: self._retrain,
            c.CheckUpdates: self._check_updates,
            c.CancelJob: self._cancel,
        }

    # -- the loop -----------------------------------------------------------------------------

    def run(self, stop: Stop) -> None:
        """Receive, decide, emit, acknowledge; until stopped.

        Raises:
            ConfigurationError: another process works in the state folder.
        """
        try:
            with _together(self._parts.collector, *self._lanes):
                while not stop.is_set():
                    self.turn(POLL_S)
        finally:
            self._parts.deployer.close()
            self._inbox.close()

    def turn(self, timeout: float) -> None:
        """Handle one message, or what else is due when none comes within `timeout` seconds."""
        self._beat()
        self._open()
        delivery = self._inbox.receive(timeout)
        while not self._ended.empty():
            self._attempt("what follows a job", self._ended.get())
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
        problems += (p for p in self._stuck.values() if not (trouble and p.about == EDGE_IMPULSE))
        # What is wrong with the disk, several parts find out.
        told = {problem.reason: problem for problem in reversed(problems)}
        return Report(
            problems=tuple(reversed(told.values())),
            counters={
                **parts.collector.counters,
                **parts.deployer.counters,
                "jobs_done": sum(lane.done for lane in self._lanes),
                "jobs_failed": sum(lane.failed for lane in self._lanes),
                "deployed": len(parts.deployer.models),
            },
            configuration_revision=self._revision,
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
                self._reported.add(model)
            case c.CloudSyncCommand() as command:
                delivery.reply(self._answer(command))
            case _:
                log.error("no handler for %s", type(delivery.message).__name__)

    def _configure(self, configuration: CloudSyncConfiguration) -> None:
        self._parts.wanted.configuration = configuration
        self._parts.collector.configure(configuration)
        self._revision = configuration.revision
        self._stuck = {}  # it may not be wanted any more
        self._next_upload.at_once()

    def _answer(self, command: c.CloudSyncCommand) -> c.Reply:
        if not self._opened:
            reason = self._disk_problem or "the service has just started; ask again"
            return c.Reply(ok=False, reason=reason)
        try:
            return self._handlers[type(command)](command)
        except NxaiError as error:
            return c.Reply(ok=False, reason=str(error))
        except Exception as error:  # one command must not end collecting
            log.exception("command %s", command.name)
            return c.Reply(ok=False, reason=f"unexpected {type(error).__name__}; see the log")

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

    # -- what goes on by itself ---------------------------------------------------------------

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
        self._attempt("left-over files", self._sweep_incoming)

    def _sweep_incoming(self) -> None:
        """Remove files whose import a crash broke off."""
        now = time.time()
        with contextlib.suppress(OSError):  # there may be no such folder
            for path in self._settings.incoming_dir.iterdir():
                if now - path.lstat().st_ctime > LEFT_OVER_S:
                    _remove(path)

    def _tick(self) -> None:
        if not self._opened:
            return
        self._attempt("deployments", self._look_at_deployments)
        self._attempt("tests of models", self._test_pending)
        self._attempt("trials of new versions", self._try_versions)
        online = self._parts.project.link is not None and not self._parts.project.trouble
        self._attempt("trainings", self._take_up_training if online else _nothing)
        # What may run by itself is not known before there is a configuration.
        by_itself = online and bool(self._revision)
        self._attempt("updates", self._check_by_itself if by_itself else _nothing)
        self._attempt("uploads", self._upload_by_itself if by_itself else _nothing)

    def _look_at_deployments(self) -> None:
        wanted = self._configuration
        self._parts.deployer.look(wanted.shadow if self._revision else None, wanted.rollback)
        for model in self._reported.difference(self._parts.deployer.models):
            self._bus.clear(Deployment, model=model)
        self._reported.clear()

    def _take_up_training(self) -> None:
        """Follow the training that was under way when the service ended, or the key was refused."""
        if self._took_up_training:
            return
        left = self._parts.trainer.left_over()
        link = self._parts.project.link
        self._took_up_training = True
        if left is None or link is None or left.project != link.project:
            return
        studio = self._parts.project.studio
        reply = self._start(
            self._trainings,
            "retrain",
            lambda job: self._parts.trainer.go_on(job, studio, left),
            self._trained,
        )
        self._took_up_training = reply.ok

    def _test_pending(self) -> None:
        """Test imported models that inference could not be asked about when they came."""
        if self._clock() < self._next_test.at:
            return
        if not self._parts.inference.any() or not self._models.idle:
            return
        self._next_test.at = self._clock() + AGAIN.first_s
        if any(v.state is VersionState.FETCHED for v in self._parts.catalogue.versions()):
            self._start(self._models, "test", self._parts.importer.test_pending, self._tested)

    def _tested(self, _job: Job, failure: NxaiError | None) -> None:
        if failure is None:
            self._next_test.failures = 0
        else:
            self._next_test.put_off(self._clock(), AGAIN, self._rng)

    def _check_by_itself(self) -> None:
        """Look for a new model when it is time to."""
        wanted = self._configuration
        if not self._may("check-updates", "import", wanted=wanted.updates.policy in TAKING):
            return
        if self._clock() < self._next_check.at or not self._models.idle:
            return
        if self._parts.updates.due(wanted.updates, metered=wanted.upload.metered):
            self._start_check(by_itself=True)

    def _start_check(self, *, by_itself: bool) -> c.Reply:
        return self._start(
            self._models,
            "check-updates",
            self._look_for_update,
            partial(self._looked, by_itself=by_itself),
        )

    def _look_for_update(self, job: Job) -> Details:
        link = self._parts.project.require("import")
        job.step("looking for a new model")
        studio = self._parts.project.studio()
        try:
            found = self._parts.updates.look(studio, link, self._artefact())
        finally:
            studio.close()
        job.text = found.text
        return {"offered": found.offered, "model": link.model, "take": found.take}

    def _looked(self, job: Job, failure: NxaiError | None, *, by_itself: bool) -> None:
        self._note(job, failure, by_itself=by_itself)
        if failure is not None:
            # It may not have come as far as the part that has a pace of its own.
            self._next_check.put_off(self._clock(), AGAIN, self._rng)
            return
        self._next_check.at_once()
        link = self._parts.project.link
        if link is None:
            return
        if link.model:
            self._parts.deployer.offer(link.model, str(job.details.get("offered") or ""))
        if job.details.get("take") and self._configuration.updates.policy in TAKING:
            self._start_pull(c.PullModel(), by_itself=True)

    def _pulled(self, job: Job, failure: NxaiError | None, *, by_itself: bool) -> None:
        self._note(job, failure, by_itself=by_itself)
        if failure is not None:
            return
        model, digest = str(job.details["model"]), str(job.details["digest"])
        if job.details["state"] == VersionState.READY.value:
            self._parts.deployer.offer(model, "")
        if by_itself:
            self._to_try[model] = digest

    def _try_versions(self) -> None:
        """Begin the trial of what came by itself, once it has passed its test."""
        if not self._to_try:
            return
        policy = self._configuration.updates.policy
        versions = {version.digest: version for version in self._parts.catalogue.versions()}
        for model, digest in tuple(self._to_try.items()):
            version = versions.get(digest)
            if version is not None and version.state is VersionState.FETCHED:
                continue
            record = self._parts.deployer.record(model)
            if (
                policy in ("shadow", "promote")
                and version is not None
                and version.state is VersionState.READY
                and record is not None
                and record.digest != digest
                and digest not in record.refused
            ):
                try:
                    self._parts.deployer.deploy(
                        model, digest, None, self._cameras(), by_rule=policy == "promote"
                    )
                except RejectedError as error:
                    log.warning(
                        "version %s of model %s is not tried: %s", digest[:12], model, error
                    )
            del self._to_try[model]

    def _upload_by_itself(self) -> None:
        """Send what may go up by itself now."""
        wanted = self._configuration.upload.mode != "manual"
        if not self._may("upload", "upload", wanted=wanted) or not wanted:
            return
        if self._clock() < self._next_upload.at or not self._uploads.idle:
            return
        self._next_upload.at = self._clock() + UPLOAD_EVERY_S
        if self._something_to_upload():
            self._start_upload(UploadOrder(by_itself=True))

    def _something_to_upload(self) -> bool:
        """Tell whether pictures wait that may go up by themselves now."""
        wanted, uploader = self._configuration, self._parts.uploader
        now_us = uploader.wall_us()
        if allowance(wanted.upload, now_us, uploader.zone, 0).reason:
            return False  # whatever was sent
        sent = self._parts.samples.uploaded_bytes_since(day_start_us(now_us, uploader.zone))
        if allowance(wanted.upload, now_us, uploader.zone, sent).reason:
            return False
        include_new = wanted.upload.mode == "automatic"
        cameras = [camera.id for camera in wanted.cameras if camera.collect.upload != "never"]
        return bool(self._parts.samples.to_upload(cameras, 1, include_new=include_new))

    def _start_upload(self, order: UploadOrder) -> c.Reply:
        return self._start(
            self._uploads,
            "upload",
            lambda job: self._send(job, order),
            partial(self._uploaded, by_itself=order.by_itself),
            what=order,
        )

    def _uploaded(self, job: Job, failure: NxaiError | None, *, by_itself: bool) -> None:
        self._note(job, failure, by_itself=by_itself)
        if isinstance(failure, Cancelled):
            self._next_upload.at = self._clock() + CALLED_OFF_S
        elif failure is not None or (by_itself and not job.details.get("uploaded")):
            # What came to nothing does so again, as when the next picture is too large for today.
            self._next_upload.put_off(self._clock(), AGAIN, self._rng)
        else:
            self._next_upload.failures = 0

    def _trained(self, job: Job, failure: NxaiError | None) -> None:
        self._note(job, failure, by_itself=False)
        if isinstance(failure, KeyRefused):
            self._took_up_training = False  # with another key it goes on
        if failure is None and self._parts.project.may("import"):
            self._parts.updates.hurry()
            self._start_check(by_itself=True)

    def _may(self, name: str, to: Purpose, *, wanted: bool) -> bool:
        """Tell whether the key lets do something; where it is `wanted`, the status says why not."""
        try:
            self._parts.project.require(to)
        except RejectedError as error:
            if wanted:
                self._stuck = {**self._stuck, name: _problem(error)}
            return False
        return True

    def _note(self, job: Job, failure: NxaiError | None, *, by_itself: bool) -> None:
        """Remember why what goes on by itself does not, and forget it when it does.

        Who asks for a job is told how it ended; that is no trouble of the box.
        """
        if failure is None:
            self._unstick(job.command)
        elif not isinstance(failure, Cancelled) and self._parts.project.link is not None:
            self._parts.project.note_failure(failure)
            if by_itself:
                self._stuck = {**self._stuck, job.command: _problem(failure)}

    def _unstick(self, *names: str) -> None:
        self._stuck = {name: why for name, why in self._stuck.items() if name not in names}

    # -- jobs ---------------------------------------------------------------------------------

    def _start(
        self,
        lane: Lane,
        name: str,
        work: Work,
        ended: Ended | None = None,
        *,
        what: Hashable = None,
    ) -> c.Reply:
        """Queue a job; say its name, or why not.

        Who asks for the very same that was asked for last and is under way gets that job.
        """
        newest = self._newest.get(name)
        if newest is not None and newest[1] == what and not newest[0].state.ended:
            return c.Reply(ok=True, reason="under way already", details={"job": newest[0].id})

        def leave(job: Job, failure: NxaiError | None) -> None:
            if ended is not None:
                self._ended.put(lambda: ended(job, failure))

        def done(job: Job) -> Details:
            try:
                return work(job)
            except Cancelled:
                raise
            except NxaiError:
                job.check()  # whatever it failed of since: it was cancelled
                raise

        job = lane.submit(name, done, leave)
        if job is None:
            return c.Reply(ok=False, reason="too many jobs wait already; ask again later")
        self._newest[name] = (job, what)
        self._jobs = (*(other for other in self._jobs if not other.state.ended), job)
        return c.Reply(ok=True, details={"job": job.id})

    def _start_pull(self, command: c.PullModel, *, by_itself: bool) -> c.Reply:
        link = self._parts.project.require("import")
        artefact = command.artefact or self._artefact()

        def work(job: Job) -> Details:
            studio = self._parts.project.studio()
            try:
                pulled = self._parts.importer.pull(job, studio, link, artefact, command.model)
            finally:
                studio.close()
            self._parts.project.name_models(pulled.version.model)
            return _what_came(job, pulled.version, pulled.text)

        return self._start(
            self._models,
            "pull",
            work,
            partial(self._pulled, by_itself=by_itself),
            what=(artefact, command.model),
        )

    def _send(self, job: Job, order: UploadOrder) -> Details:
        project = self._parts.project
        link = project.require("upload")
        with contextlib.ExitStack() as closing:
            ingestion = closing.enter_context(contextlib.closing(project.ingestion()))
            studio = None
            if project.may("import"):  # finds the ids of pictures that were there before
                studio = closing.enter_context(contextlib.closing(project.studio()))
            summary = self._parts.uploader.run(
                order, job, Destination(ingestion, studio, link.project)
            )
        job.text = _said(summary)
        return {
            "uploaded": summary.uploaded,
            "duplicates": summary.duplicates,
            "failed": summary.failed,
            "kept_back": summary.kept_back,
            "bytes": summary.bytes,
            "left": summary.left,
        }

    # -- commands: the link -------------------------------------------------------------------

    def _link(self, command: c.LinkProject) -> c.Reply:
        before = self._parts.project.link

        def ended(_job: Job, failure: NxaiError | None) -> None:
            link = self._parts.project.link
            if failure is not None or link is None:
                return
            if before is not None and before.model and before.project != link.project:
                self._parts.deployer.offer(before.model, "")
            self._stuck = {}
            self._took_up_training = False
            self._next_upload.at_once()
            self._hurry()

        return self._start(
            self._models,
            "link",
            lambda job: self._parts.project.connect(command, job),
            ended,
            what=command,
        )

    def _hurry(self) -> None:
        """Look for a new model soon, and closely."""
        self._parts.updates.hurry()
        self._next_check.at_once()

    def _unlink(self, _command: c.UnlinkProject) -> c.Reply:
        link = self._parts.project.link
        try:
            self._parts.project.forget()
        finally:
            for job in self._jobs:
                if job.command in ONLINE:
                    job.cancel()
            self._stuck = {}
            self._to_try.clear()
            if link is not None and link.model:
                self._parts.deployer.offer(link.model, "")
        return c.Reply(ok=True)

    def _show_link(self, _command: c.ShowLink) -> c.Reply:
        return _json_reply(
            {
                "link": _plain(self._parts.project.link),
                "impulses": [_plain(impulse) for impulse in self._parts.project.impulses],
                "trouble": self._parts.project.trouble,
            }
        )

    # -- commands: models ---------------------------------------------------------------------

    def _pull(self, command: c.PullModel) -> c.Reply:
        return self._start_pull(command, by_itself=False)

    def _import(self, command: c.ImportModel) -> c.Reply:
        name = command.file
        path = self._settings.incoming_dir / name
        if "/" in name or name in ("", ".", "..") or not path.is_file():
            raise RejectedError(f"there is no file {name!r} in {self._settings.incoming_dir}")

        def work(job: Job) -> Details:
            imported = self._parts.importer.import_file(job, path, command)
            return _what_came(job, imported.version, imported.text)

        def ended(_job: Job, _failure: NxaiError | None) -> None:
            _remove(path)

        return self._start(self._models, "import", work, ended, what=command)

    def _list_models(self, _command: c.ListModels) -> c.Reply:
        return _json_reply(
            {
                "versions": VERSIONS.dump_python(self._parts.catalogue.versions(), mode="json"),
                "deployments": [
                    told.model_dump(mode="json") for told in self._parts.deployer.told()
                ],
            }
        )

    def _edit_model(self, command: c.EditModel) -> c.Reply:
        self._parts.importer.rename(
            command.digest, title=command.title, documentation=command.documentation
        )
        return c.Reply(ok=True)

    def _delete_model(self, command: c.DeleteModel) -> c.Reply:
        reason = self._parts.deployer.in_use().get(command.digest)
        if reason is not None:
            raise RejectedError(f"version {command.digest[:12]} is in use: {reason}")
        self._parts.importer.delete(command.digest)
        return c.Reply(ok=True)

    def _deploy(self, command: c.DeployModel) -> c.Reply:
        before = self._parts.deployer.record(command.model)
        record = self._parts.deployer.deploy(
            command.model,
            command.digest,
            command.cameras,
            self._cameras(),
            threshold=command.threshold,
            at_once=command.how == "at-once",
        )
        where = f"on {', '.join(record.cameras)}"
        if record.shadow is not None:
            said = (
                f"version {record.shadow[:12]} is tried beside {record.digest[:12]} {where}; "
                f"`nxai-cloud-sync models` shows how it goes"
            )
        elif before is not None and before.digest == record.digest:
            said = f"model {record.model} {where}"
        else:
            said = f"version {record.digest[:12]} of model {record.model} goes in force {where}"
        return c.Reply(ok=True, reason=said)

    def _undeploy(self, command: c.UndeployModel) -> c.Reply:
        self._parts.deployer.undeploy(command.model, command.cameras)
        return c.Reply(ok=True, reason=f"model {command.model} was taken away")

    def _promote(self, command: c.PromoteModel) -> c.Reply:
        record = self._parts.deployer.promote(command.model)
        return c.Reply(ok=True, reason=f"version {record.digest[:12]} goes in force")

    def _end_shadow(self, command: c.EndShadow) -> c.Reply:
        self._parts.deployer.end_shadow(command.model)
        return c.Reply(ok=True, reason="the trial is over")

    def _roll_back(self, command: c.RollBackModel) -> c.Reply:
        record = self._parts.deployer.roll_back(command.model)
        return c.Reply(ok=True, reason=f"version {record.digest[:12]} goes in force again")

    # -- commands: samples --------------------------------------------------------------------

    def _list_samples(self, command: c.ListSamples) -> c.Reply:
        wanted = SampleFilter(
            state=command.state,
            camera=command.camera,
            label=command.label,
            strategy=command.strategy,
            since=command.since,
            until=command.until,
        )
        page = self._parts.samples.page(
            wanted, command.limit, command.offset, by_value=command.by_value
        )
        return _json_reply(
            {"samples": SAMPLES.dump_python(page.samples, mode="json"), "total": page.total}
        )

    def _show_sample(self, command: c.ShowSample) -> c.Reply:
        sample = self._parts.samples.get(command.sample)
        if sample is None:
            raise RejectedError(f"there is no picture {command.sample!r}")
        try:
            data = self._parts.samples.picture(sample).read_bytes()
        except OSError as error:
            raise RejectedError(f"the picture cannot be read: {error.strerror}") from error
        return c.Reply(
            ok=True, details={"width": sample.width, "height": sample.height}, attachment=data
        )

    def _review(self, command: c.ReviewSamples) -> c.Reply:
        if command.boxes is not None and len(command.samples) != 1:
            raise RejectedError("boxes belong to one picture; name one")
        boxes = None
        if command.boxes is not None:
            boxes = tuple(
                LabelledBox(box.label, box.x, box.y, box.width, box.height) for box in command.boxes
            )
        refused = self._parts.samples.review(
            command.samples,
            SampleState(command.decision),
            boxes,
            confirm_predictions=command.confirm_predictions,
        )
        self._next_upload.at_once()
        reason = "; ".join(f"{name}: {why}" for name, why in list(refused.items())[:5])
        return c.Reply(
            ok=len(refused) < len(command.samples) or not command.samples,
            reason=reason,
            details={"changed": len(command.samples) - len(refused)},
        )

    def _upload_samples(self, command: c.UploadSamples) -> c.Reply:
        self._parts.project.require("upload")
        return self._start_upload(
            UploadOrder(samples=command.samples, include_new=command.include_new)
        )

    # -- commands: training -------------------------------------------------------------------

    def _retrain(self, command: c.RetrainModel) -> c.Reply:
        link = self._parts.project.require("train")
        if not command.confirm:
            return self._ask_about_training(link.name)
        studio = self._parts.project.studio
        return self._start(
            self._trainings,
            "retrain",
            lambda job: self._parts.trainer.run(job, studio, link.project, link.impulse),
            self._trained,
        )

    def _ask_about_training(self, name: str) -> c.Reply:
        left = self._parts.project.compute_ms_left
        known = "" if left is None else f" ({left / 60_000:.0f} minutes are left)"
        return c.Reply(
            ok=True,
            reason=(
                f"training project {name!r} again uses compute minutes of its Edge Impulse "
                f"account{known}; nothing is started without a confirmation"
            ),
        )

    def _check_updates(self, _command: c.CheckUpdates) -> c.Reply:
        self._parts.project.require("import")
        self._hurry()
        return self._start_check(by_itself=False)

    def _cancel(self, command: c.CancelJob) -> c.Reply:
        for lane in self._lanes:
            job = lane.get(command.job)
            if job is not None and job.state.ended:
                raise RejectedError(f"job {command.job!r} is over: {job.text or job.state.value}")
            if job is not None:
                job.cancel()
                if job.state.ended:
                    return c.Reply(ok=True)
                return c.Reply(ok=True, reason="it ends once the request that is under way is over")
        raise RejectedError(f"there is no job {command.job!r}")

    @property
    def _configuration(self) -> CloudSyncConfiguration:
        return self._parts.wanted.configuration

    def _cameras(self) -> tuple[str, ...]:
        return tuple(camera.id for camera in self._configuration.cameras)

    def _artefact(self) -> str:
        return self._configuration.updates.artefact


COMMANDS: Final[tuple[type[c.CloudSyncCommand], ...]] = tuple(
    sorted(c.CloudSyncCommand.__subclasses__(), key=lambda kind: kind.__name__)
)


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


def _problem(failure: NxaiError) -> Problem:
    about = "disk" if isinstance(failure, StorageUnavailable) else EDGE_IMPULSE
    return Problem(about=about, reason=str(failure))


def _nothing() -> None:
    """Have nothing to do."""


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # a folder, or somebody else's
        log.warning("%s cannot be removed: %s", path, error.strerror)


def _name_of(kind: type[c.CloudSyncCommand]) -> str:
    return str(kind.model_fields["name"].default)


def _what_came(job: Job, version: CatalogueVersion, text: str) -> Details:
    job.text = text
    return {
        "model": version.model,
        "digest": version.digest,
        "version": version.version,
        "state": version.state.value,
        "reason": version.reason,
        "engine": version.engine,
        "engine_ms": version.engine_ms,
    }


def _said(summary: UploadSummary) -> str:
    """Say what an upload did."""
    parts = [f"{summary.uploaded} pictures uploaded ({summary.bytes / 1e6:.1f} MB)"]
    if summary.duplicates:
        parts.append(f"{summary.duplicates} of them were there already")
    if summary.failed:
        parts.append(f"{summary.failed} were refused: `samples --state failed` says why")
    if summary.kept_back:
        parts.append(
            f"{summary.kept_back} stay here: not approved, or of a camera that never sends"
        )
    if summary.left:
        parts.append(f"the others wait: {summary.left}")
    return "; ".join(parts)


def _json_reply(content: object) -> c.Reply:
    return c.Reply(ok=True, attachment=json.dumps(content).encode())


def _plain(value: object) -> object:
    return None if value is None else TypeAdapter(type(value)).dump_python(value, mode="json")
