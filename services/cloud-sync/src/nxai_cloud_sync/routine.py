"""What goes on by itself: trials, trainings, looks for new models, uploads; and their jobs.

Each part is due on its own, and one that fails leaves the others alone.
"""

import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from nxai_cloud_sync.core.catalogue import CatalogueVersion, VersionState
from nxai_cloud_sync.core.job_record import Details
from nxai_cloud_sync.core.upload_window import allowance, day_start_us
from nxai_cloud_sync.core.uploading import UploadSummary
from nxai_cloud_sync.jobs import Cancelled, Job, Jobs, Started
from nxai_cloud_sync.linked_project import Purpose
from nxai_cloud_sync.parts import Parts
from nxai_cloud_sync.ports import Link, StorageUnavailable
from nxai_cloud_sync.uploader import Destination, UploadOrder
from nxai_common.bus.ports import Bus
from nxai_common.contracts import commands as c
from nxai_common.contracts.deployments import Deployment, Phase
from nxai_common.contracts.status import Problem
from nxai_common.errors import KeyRefused, NxaiError, RejectedError
from nxai_common.retry import RetryPolicy

log = logging.getLogger(__name__)

UPLOAD_EVERY_S: Final = 30.0
"""Pictures that may go up by themselves are collected for so long: one connection for them all."""
AGAIN: Final = RetryPolicy(first_s=30, factor=2, longest_s=3600)
"""What goes on by itself and failed is tried again, at last once an hour."""
CALLED_OFF_S: Final = 3600.0
"""An upload that a person cancelled does not begin again by itself for so long."""
ONLINE: Final = frozenset({"link", "pull", "check-updates", "retrain", "upload"})
"""Jobs that ask Edge Impulse for something."""
EDGE_IMPULSE: Final = "edge impulse"
"""What most problems of jobs are about."""
TAKING: Final = frozenset({"import", "shadow", "promote"})
"""Policies by which a new model is fetched."""


@dataclass(slots=True)
class Due:
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


class Routine:
    """What is due, and what follows from it. Its methods are called by the loop alone."""

    def __init__(
        self,
        bus: Bus,
        parts: Parts,
        jobs: Jobs,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._bus = bus
        self._parts = parts
        self._jobs = jobs
        self._clock = clock
        self._rng = rng
        self._next_upload = Due()
        self._next_test = Due()
        self._next_check = Due()
        self._took_up_training = False
        self._may_have_to_try = True
        """Whether the catalogue may hold versions that came by themselves and are to be tried."""
        self._reported: set[str] = set()
        """Models of which the broker keeps a report; looked through with each tick."""
        # What other threads read is replaced as a whole.
        self._stuck: Mapping[str, Problem] = {}
        """Why something that goes on by itself does not, by the name of its jobs."""

    # -- what the loop and people say ---------------------------------------------------------

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why something that goes on by itself does not. Read from any thread."""
        return tuple(self._stuck.values())

    def configured(self) -> None:
        """Begin anew: what did not go may not be wanted any more."""
        self._stuck = {}
        self.upload_soon()

    def reported(self, model: str) -> None:
        """Take note that the broker keeps a report of a model."""
        self._reported.add(model)

    def linked(self, before: Link | None, jobs: Iterable[Job]) -> None:
        """Begin with a project that was just linked.

        Args:
            before: What was linked when a person asked for it.
            jobs: What asked Edge Impulse for something then. For another project it ends.
        """
        link = self._parts.project.link
        if link is None:  # unlinked meanwhile
            return
        if before is not None and before.project != link.project:
            for job in jobs:
                job.cancel(left="another project was linked")
            if before.model:
                self._parts.deployer.offer(before.model, "")
        self._stuck = {}
        self._took_up_training = False
        self.upload_soon()
        self.hurry()

    def unlinked(self, before: Link | None) -> None:
        """Stop what needs the project that was linked."""
        for job in self._jobs.under_way(ONLINE):
            job.cancel()
        self._stuck = {}
        with contextlib.suppress(StorageUnavailable):  # then they are tried, if the policy says so
            for version in self._parts.catalogue.versions():
                if version.to_try:
                    self._parts.importer.note_tried(version.digest)
        if before is not None and before.model:
            self._parts.deployer.offer(before.model, "")

    def hurry(self) -> None:
        """Look for a new model soon, and closely."""
        self._parts.updates.hurry()
        self._next_check.at_once()

    def upload_soon(self) -> None:
        """Look soon whether there is something to upload."""
        self._next_upload.at_once()

    # -- what is due --------------------------------------------------------------------------

    def due(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield each part with its name; those that have nothing to do now do nothing."""
        yield "deployments", self._look_at_deployments
        yield "tests of models", self._test_pending
        yield "trials of new versions", self._try_versions
        online = self._parts.project.link is not None and not self._parts.project.trouble
        yield "trainings", self._take_up_training if online else _nothing
        by_itself = online and self._parts.wanted.known
        yield "updates", self._check_by_itself if by_itself else _nothing
        yield "uploads", self._upload_by_itself if by_itself else _nothing

    def _look_at_deployments(self) -> None:
        wanted = self._parts.wanted.configuration
        if self._parts.wanted.known:
            promotes = wanted.updates.policy == "promote"
            self._parts.deployer.look(wanted.shadow, wanted.rollback, promotes=promotes)
        else:
            self._parts.deployer.look(None, None)
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
        try:
            self._jobs.start(
                self._jobs.trainings,
                "retrain",
                lambda job: self._parts.trainer.go_on(job, studio, left),
                self.trained,
                what=(link.project, link.impulse),
                about=link.name,
            )
        except RejectedError:
            self._took_up_training = False

    def _test_pending(self) -> None:
        """Test imported models that inference could not be asked about when they came."""
        if self._clock() < self._next_test.at:
            return
        if not self._parts.inference.any() or not self._jobs.models.idle:
            return
        self._next_test.at = self._clock() + AGAIN.first_s
        if any(v.state is VersionState.FETCHED for v in self._parts.catalogue.versions()):
            self._jobs.start(
                self._jobs.models, "test", self._parts.importer.test_pending, self._tested
            )

    def _tested(self, _job: Job, failure: NxaiError | None) -> None:
        if failure is None:
            self._next_test.failures = 0
        else:
            self._next_test.put_off(self._clock(), AGAIN, self._rng)

    def _check_by_itself(self) -> None:
        """Look for a new model when it is time to."""
        wanted = self._parts.wanted.configuration
        if not self._may("check-updates", "import", wanted=wanted.updates.policy in TAKING):
            return
        if self._clock() < self._next_check.at or not self._jobs.models.idle:
            return
        if self._parts.updates.due(wanted.updates, metered=wanted.upload.metered):
            self.start_check(by_itself=True)

    def start_check(self, *, by_itself: bool) -> Started:
        """Look whether the project has a new model.

        Raises:
            RejectedError: too many jobs wait already.
        """
        return self._jobs.start(
            self._jobs.models,
            "check-updates",
            partial(self._look_for_update, by_itself=by_itself),
            partial(self._looked, by_itself=by_itself),
        )

    def _look_for_update(self, job: Job, *, by_itself: bool) -> Details:
        link = self._parts.project.require("import")
        job.about = link.name
        job.step("looking for a new model")
        studio = self._parts.project.studio()
        try:
            found = self._parts.updates.look(studio, link, self._parts.wanted.artefact)
        finally:
            studio.close()
        job.text = found.text
        # There are hundreds a day.
        job.passing = by_itself and not found.offered
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
        offered = str(job.details.get("offered") or "")
        if link.model:
            self._parts.deployer.offer(link.model, offered)
        if not offered:
            self._unstick("pull")
        wanted = self._parts.wanted.configuration
        takes = wanted.updates.policy in TAKING and not wanted.upload.metered
        if job.details.get("take") and takes:
            self.start_pull(c.PullModel(), by_itself=True)

    def _pulled(self, job: Job, failure: NxaiError | None, *, by_itself: bool) -> None:
        self._note(job, failure, by_itself=by_itself)
        if failure is not None:
            return
        if job.details["state"] == VersionState.READY.value:
            self._parts.deployer.offer(str(job.details["model"]), "")
        self._may_have_to_try = True

    def _try_versions(self) -> None:
        """Begin the trials of what came by itself and has passed its test."""
        if not self._may_have_to_try or not self._parts.wanted.known:
            return
        models: set[str] = set()
        to_try = [version for version in self._parts.catalogue.versions() if version.to_try]
        for version in to_try:  # newest first; of each model that one alone
            if version.model not in models:
                models.add(version.model)
                if self._must_wait(version):
                    continue
                self._try(version)
            self._parts.importer.note_tried(version.digest)
        self._may_have_to_try = bool(to_try)

    def _must_wait(self, version: CatalogueVersion) -> bool:
        """Tell whether it is too early for a trial."""
        if version.state is VersionState.FETCHED:
            return True
        # Beside what cannot run there is no trial, and what was not tried is put in force by
        # people alone.
        record = self._parts.deployer.record(version.model)
        return self._tries and record is not None and record.phase is Phase.FAILED

    @property
    def _tries(self) -> bool:
        return self._parts.wanted.configuration.updates.policy in ("shadow", "promote")

    def _try(self, version: CatalogueVersion) -> None:
        """Begin a trial, if it is wanted and makes sense."""
        model, digest = version.model, version.digest
        record = self._parts.deployer.record(model)
        if (
            not self._tries
            or version.state is not VersionState.READY
            or record is None
            or record.digest == digest
            or digest in record.refused
            or (record.trial is not None and record.trial.candidate == digest)
        ):
            return
        by_rule = self._parts.wanted.configuration.updates.policy == "promote"
        try:
            self._parts.deployer.deploy(
                model, digest, None, self._parts.wanted.cameras, by_rule=by_rule
            )
        except RejectedError as error:
            log.warning("version %s of model %s is not tried: %s", digest[:12], model, error)

    def _upload_by_itself(self) -> None:
        """Send what may go up by itself now."""
        wanted = self._parts.wanted.configuration.upload.mode != "manual"
        if not self._may("upload", "upload", wanted=wanted) or not wanted:
            return
        if self._clock() < self._next_upload.at or not self._jobs.uploads.idle:
            return
        self._next_upload.at = self._clock() + UPLOAD_EVERY_S
        if self._something_to_upload():
            self.start_upload(UploadOrder(by_itself=True))

    def _something_to_upload(self) -> bool:
        """Tell whether pictures wait that may go up by themselves now."""
        wanted, uploader = self._parts.wanted.configuration, self._parts.uploader
        now_us = uploader.wall_us()
        if allowance(wanted.upload, now_us, uploader.zone, 0).reason:
            return False  # whatever was sent
        sent = self._parts.samples.uploaded_bytes_since(day_start_us(now_us, uploader.zone))
        if allowance(wanted.upload, now_us, uploader.zone, sent).reason:
            return False
        include_new = wanted.upload.mode == "automatic"
        cameras = [camera.id for camera in wanted.cameras if camera.collect.upload != "never"]
        return bool(self._parts.samples.to_upload(cameras, 1, include_new=include_new))

    def start_upload(self, order: UploadOrder) -> Started:
        """Send pictures.

        Raises:
            RejectedError: too many jobs wait already.
        """
        return self._jobs.start(
            self._jobs.uploads,
            "upload",
            lambda job: self._send(job, order),
            partial(self._uploaded, by_itself=order.by_itself),
            what=order,
            about=_about(order),
        )

    def _uploaded(self, job: Job, failure: NxaiError | None, *, by_itself: bool) -> None:
        self._note(job, failure, by_itself=by_itself)
        if isinstance(failure, Cancelled):
            if not job.left:
                self._next_upload.at = self._clock() + CALLED_OFF_S
        elif failure is not None or (by_itself and not job.details.get("uploaded")):
            # What came to nothing does so again, as when the next picture is too large for today.
            self._next_upload.put_off(self._clock(), AGAIN, self._rng)
        else:
            self._next_upload.failures = 0

    def _send(self, job: Job, order: UploadOrder) -> Details:
        project = self._parts.project
        link = project.require("upload")
        with contextlib.ExitStack() as closing:
            ingestion = closing.enter_context(contextlib.closing(project.ingestion()))
            studio = None
            if project.may("import"):  # finds the ids of pictures that were there before
                studio = closing.enter_context(contextlib.closing(project.studio()))
            summary = self._parts.uploader.run(
                order,
                job,
                Destination(ingestion, studio, link.project),
                # Told as it goes: an upload that fails has sent pictures all the same.
                lambda so_far: job.so_far(_came_of(so_far)),
            )
        job.text = _said(summary)
        job.passing = order.by_itself and not (summary.uploaded or summary.failed)
        return _came_of(summary)

    def trained(self, job: Job, failure: NxaiError | None) -> None:
        """Go on after a training: look for the model that came of it."""
        self._note(job, failure, by_itself=False)
        if isinstance(failure, KeyRefused):
            self._took_up_training = False  # with another key it goes on
        if failure is None and self._parts.project.may("import"):
            self._parts.updates.hurry()
            self.start_check(by_itself=True)

    def start_pull(self, command: c.PullModel, *, by_itself: bool) -> Started:
        """Fetch the project's model.

        Raises:
            RejectedError: no project is linked, or its key does not let it; too many jobs wait.
        """
        about = self._parts.project.require("import").name
        artefact = command.artefact or self._parts.wanted.artefact

        def work(job: Job) -> Details:
            link = self._parts.project.require("import")  # another one may be linked by now
            studio = self._parts.project.studio()
            try:
                pulled = self._parts.importer.pull(
                    job, studio, link, artefact, command.model, to_try=by_itself
                )
            finally:
                studio.close()
            self._parts.project.name_models(pulled.version.model)
            return what_came(job, pulled.version, pulled.text)

        return self._jobs.start(
            self._jobs.models,
            "pull",
            work,
            partial(self._pulled, by_itself=by_itself),
            what=(artefact, command.model),
            about=about,
        )

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
            self._parts.project.note_success()
        elif not isinstance(failure, Cancelled) and self._parts.project.link is not None:
            self._parts.project.note_failure(failure)
            if by_itself:
                self._stuck = {**self._stuck, job.command: _problem(failure)}

    def _unstick(self, *names: str) -> None:
        self._stuck = {name: why for name, why in self._stuck.items() if name not in names}


def what_came(job: Job, version: CatalogueVersion, text: str) -> Details:
    """Return what is told of a version that was imported."""
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


def _problem(failure: NxaiError) -> Problem:
    about = "disk" if isinstance(failure, StorageUnavailable) else EDGE_IMPULSE
    return Problem(about=about, reason=str(failure))


def _nothing() -> None:
    """Have nothing to do."""


def _about(order: UploadOrder) -> str:
    """Say which pictures an upload is about."""
    if order.samples:
        return f"{len(order.samples)} chosen pictures" if len(order.samples) > 1 else "1 picture"
    which = "approved and new pictures" if order.include_new else "approved pictures"
    return f"{which}, by itself" if order.by_itself else which


def _came_of(summary: UploadSummary) -> Details:
    return {
        "models": ", ".join(summary.models),
        "uploaded": summary.uploaded,
        "duplicates": summary.duplicates,
        "failed": summary.failed,
        "kept_back": summary.kept_back,
        "bytes": summary.bytes,
        "left": summary.left,
    }


def _said(summary: UploadSummary) -> str:
    """Say what an upload did."""
    parts = [f"{summary.uploaded} pictures uploaded ({summary.bytes / 1e6:.1f} MB)"]
    if summary.duplicates:
        parts.append(f"{summary.duplicates} of them were there already")
    if summary.failed:
        parts.append(f"{summary.failed} were refused: the list of pictures says why")
    if summary.kept_back:
        parts.append(
            f"{summary.kept_back} stay here: not approved, or of a camera that never sends"
        )
    if summary.left:
        parts.append(f"the others wait: {summary.left}")
    return "; ".join(parts)
