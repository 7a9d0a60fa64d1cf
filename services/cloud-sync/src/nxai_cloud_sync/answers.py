"""Answers what people ask for: one method a command. What takes long becomes a job."""

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pydantic import TypeAdapter

from nxai_cloud_sync.core.catalogue import CatalogueVersion
from nxai_cloud_sync.core.collecting import DAY_S, MICROSECONDS
from nxai_cloud_sync.core.job_record import Details, told
from nxai_cloud_sync.core.keys import key_revision
from nxai_cloud_sync.core.listing import listed
from nxai_cloud_sync.core.sample import LabelledBox, SampleFilter, SampleState
from nxai_cloud_sync.core.updates import key_of
from nxai_cloud_sync.core.upload_window import day_start_us
from nxai_cloud_sync.errands import Errands
from nxai_cloud_sync.incoming import MOST_PART_BYTES, GapError, Incoming
from nxai_cloud_sync.jobs import Job, Jobs, Started
from nxai_cloud_sync.linked_project import LINK
from nxai_cloud_sync.parts import Parts
from nxai_cloud_sync.routine import ONLINE, Routine, what_came
from nxai_cloud_sync.uploader import UploadOrder
from nxai_common.contracts import commands as c
from nxai_common.contracts.base import Message
from nxai_common.errors import NxaiError, RejectedError

log = logging.getLogger(__name__)

COMMANDS: Final[tuple[type[c.CloudSyncCommand], ...]] = tuple(
    sorted(c.CloudSyncCommand.__subclasses__(), key=lambda kind: kind.__name__)
)
VERSIONS: Final = TypeAdapter(tuple[CatalogueVersion, ...])
OWN_MATTER: Final = {"impulses", "deleted", "key_revision"}
"""What is kept of a link and tells nobody anything."""
PICTURES_AT_ONCE: Final = 2
"""Threads that scale pictures: a gallery of sixty takes a third of a second on two cores."""
PICTURES_WAITING: Final = 256
"""Some pages of a gallery, for some people."""
PARTS_WAITING: Final = 8
"""Of files; who sends one waits for the answer before the next part."""


class Answers:
    """Has an answer to every command. Called by the loop alone.

    What needs the disk or the processor for longer is answered by `errands`.
    """

    def __init__(self, parts: Parts, jobs: Jobs, routine: Routine, incoming: Incoming) -> None:
        self._parts = parts
        self._jobs = jobs
        self._routine = routine
        self._incoming = incoming
        pictures = Errands("pictures", PICTURES_AT_ONCE, PICTURES_WAITING)
        files = Errands("files", 1, PARTS_WAITING)
        self.errands = (pictures, files)
        self._aside: Mapping[type[Message], Errands] = {
            c.ShowSample: pictures,
            c.ReceiveFile: files,
            c.DiscardFile: files,
        }
        self._handlers: Mapping[type[Message], Callable[[Any], c.Reply]] = {
            c.LinkProject: self._link,
            c.UnlinkProject: self._unlink,
            c.ShowLink: self._show_link,
            c.PullModel: self._pull,
            c.ImportModel: self._import,
            c.ReceiveFile: self._receive,
            c.DiscardFile: self._discard,
            c.ListModels: self._list_models,
            c.EditModel: self._edit_model,
            c.DeleteModel: self._delete_model,
            c.DeployModel: self._deploy,
            c.UndeployModel: self._undeploy,
            c.PromoteModel: self._promote,
            c.EndShadow: self._end_shadow,
            c.RollBackModel: self._roll_back,
            c.ListSamples: self._list_samples,
            c.CountSamples: self._count_samples,
            c.ShowSample: self._show_sample,
            c.ReviewSamples: self._review,
            c.UploadSamples: self._upload_samples,
            c.RetrainModel: self._retrain,
            c.CheckUpdates: self._check_updates,
            c.ListJobs: self._list_jobs,
            c.CancelJob: self._cancel,
        }

    def answer(self, command: c.CloudSyncCommand, reply: Callable[[c.Reply], None]) -> None:
        """Do what is asked for, or begin with it; say how it went, or why not.

        Args:
            command: What is asked for.
            reply: Called once, now or later, from this or another thread.
        """
        errands = self._aside.get(type(command))
        if errands is None:
            reply(self._answer(command))
        elif not errands.give(partial(self._answer, command), reply):
            reply(c.Reply(ok=False, reason="too much is asked for at once; ask again"))

    def _answer(self, command: c.CloudSyncCommand) -> c.Reply:
        try:
            return self._handlers[type(command)](command)
        except GapError as error:
            return c.Reply(ok=False, reason=str(error), details={"size": error.size})
        except NxaiError as error:
            return c.Reply(ok=False, reason=str(error))
        except Exception as error:  # one command must not end collecting
            log.exception("command %s", command.name)
            return c.Reply(ok=False, reason=f"unexpected {type(error).__name__}; see the log")

    # -- the link -----------------------------------------------------------------------------

    def _link(self, command: c.LinkProject) -> c.Reply:
        # First of all: whatever becomes of the command, the key does not stay there.
        key = self._parts.handed_key.take()
        before, jobs = self._parts.project.link, self._jobs.under_way(ONLINE - {"link"})

        def ended(_job: Job, failure: NxaiError | None) -> None:
            if failure is None:
                self._routine.linked(before, jobs)

        return _started(
            self._jobs.start(
                self._jobs.models,
                "link",
                lambda job: self._parts.project.connect(command, job, key),
                ended,
                # With another key it is another link.
                what=(command, None if key is None else key_revision(key)),
                about="" if command.project is None else f"project {command.project}",
            )
        )

    def _unlink(self, _command: c.UnlinkProject) -> c.Reply:
        link = self._parts.project.link
        try:
            self._parts.project.forget()
        finally:
            self._routine.unlinked(link)
        return c.Reply(ok=True)

    def _show_link(self, _command: c.ShowLink) -> c.Reply:
        link = self._parts.project.link
        shown = None if link is None else LINK.dump_python(link, mode="json", exclude=OWN_MATTER)
        return _json_reply(
            {
                "link": shown,
                "impulses": [_plain(impulse) for impulse in self._parts.project.impulses],
                "trouble": self._parts.project.trouble,
            }
        )

    # -- models --------------------------------------------------------------------------------

    def _pull(self, command: c.PullModel) -> c.Reply:
        return _started(self._routine.start_pull(command, by_itself=False))

    def _import(self, command: c.ImportModel) -> c.Reply:
        path = self._incoming.take(command.file, command)

        def work(job: Job) -> Details:
            imported = self._parts.importer.import_file(job, path, command)
            return what_came(job, imported.version, imported.text)

        def ended(_job: Job, _failure: NxaiError | None) -> None:
            self._incoming.release(path)

        try:
            started = self._jobs.start(
                self._jobs.models, "import", work, ended, what=command, about=command.file
            )
        except RejectedError:
            self._incoming.put_back(path)
            raise
        return _started(started)

    def _receive(self, command: c.ReceiveFile) -> c.Reply:
        part = bytes(command.attachment)
        if len(part) > MOST_PART_BYTES:
            raise RejectedError(
                f"a part of {len(part)} bytes; send at most {MOST_PART_BYTES} at once"
            )
        size = self._incoming.receive(command.file, command.offset, part)
        return c.Reply(ok=True, details={"size": size})

    def _discard(self, command: c.DiscardFile) -> c.Reply:
        self._incoming.discard(command.file)
        return c.Reply(ok=True)

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
        version = self._parts.catalogue.get(command.digest)
        if version is not None:
            self._parts.project.note_deleted(key_of(version))
        self._parts.importer.delete(command.digest)
        return c.Reply(ok=True)

    def _deploy(self, command: c.DeployModel) -> c.Reply:
        before = self._parts.deployer.record(command.model)
        record = self._parts.deployer.deploy(
            command.model,
            command.digest,
            command.cameras,
            self._parts.wanted.cameras,
            threshold=command.threshold,
            at_once=command.how == "at-once",
        )
        where = f"on {', '.join(record.cameras)}"
        if record.shadow is not None:
            said = f"version {record.shadow[:12]} is tried beside {record.digest[:12]} {where}"
        elif before is not None and before.digest == record.digest:
            said = f"model {record.model} {where}"
        else:
            said = f"version {record.digest[:12]} of model {record.model} goes in force {where}"
        return c.Reply(ok=True, reason=said)

    def _undeploy(self, command: c.UndeployModel) -> c.Reply:
        self._parts.deployer.undeploy(command.model, command.cameras)
        return c.Reply(ok=True, reason=f"model {command.model} was taken away")

    def _promote(self, command: c.PromoteModel) -> c.Reply:
        before = self._parts.deployer.record(command.model)
        record = self._parts.deployer.promote(command.model)
        said = f"version {record.digest[:12]} goes in force"
        if before is not None and before.trial is not None and not before.trial.over:
            said += f"; its trial was not over, and had seen {before.trial.report.frames} frames"
        return c.Reply(ok=True, reason=said)

    def _end_shadow(self, command: c.EndShadow) -> c.Reply:
        self._parts.deployer.end_shadow(command.model)
        return c.Reply(ok=True, reason="the trial is over")

    def _roll_back(self, command: c.RollBackModel) -> c.Reply:
        record = self._parts.deployer.roll_back(command.model)
        return c.Reply(ok=True, reason=f"version {record.digest[:12]} goes in force again")

    # -- samples -------------------------------------------------------------------------------

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
        return _json_reply({"samples": listed(page.samples), "total": page.total})

    def _count_samples(self, _command: c.CountSamples) -> c.Reply:
        configuration, uploader = self._parts.wanted.configuration, self._parts.uploader
        now_us = uploader.wall_us()
        usage = self._parts.samples.usage()
        counts = self._parts.samples.counts(
            now_us - int(DAY_S) * MICROSECONDS, day_start_us(now_us, uploader.zone), now_us
        )
        return _json_reply(
            {
                "by_state": {state.value: usage.by_state.get(state, 0) for state in SampleState},
                "pictures": usage.pictures,
                "bytes": usage.bytes,
                "dropped": usage.dropped,
                "by_camera": counts.by_camera,
                "by_strategy": counts.by_strategy,
                "today": counts.today,
                "last_day": counts.last_day,
                "limits": {
                    **configuration.limits.model_dump(mode="json"),
                    "per_day": {
                        camera.id: camera.collect.quotas.per_day
                        for camera in configuration.cameras
                        if camera.enabled and camera.collect.enabled
                    },
                },
            }
        )

    def _show_sample(self, command: c.ShowSample) -> c.Reply:
        sample = self._parts.samples.get(command.sample)
        if sample is None:
            raise RejectedError(f"there is no picture {command.sample!r}")
        path = self._parts.samples.picture(sample)
        if command.max_width is not None:
            data = self._parts.thumbnails.of(path, command.max_width)
        else:
            try:
                data = path.read_bytes()
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
        self._routine.upload_soon()
        reason = "; ".join(f"{name}: {why}" for name, why in list(refused.items())[:5])
        return c.Reply(
            ok=len(refused) < len(command.samples) or not command.samples,
            reason=reason,
            details={"changed": len(command.samples) - len(refused)},
        )

    def _upload_samples(self, command: c.UploadSamples) -> c.Reply:
        self._parts.project.require("upload")
        order = UploadOrder(samples=command.samples, include_new=command.include_new)
        return _started(self._routine.start_upload(order))

    # -- training, and jobs --------------------------------------------------------------------

    def _retrain(self, command: c.RetrainModel) -> c.Reply:
        link = self._parts.project.require("train")
        if not command.confirm:
            return self._ask_about_training(link.name)
        studio = self._parts.project.studio
        return _started(
            self._jobs.start(
                self._jobs.trainings,
                "retrain",
                lambda job: self._parts.trainer.run(job, studio, link.project, link.impulse),
                self._routine.trained,
                what=(link.project, link.impulse),
                about=link.name,
            )
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
        self._routine.hurry()
        return _started(self._routine.start_check(by_itself=False))

    def _list_jobs(self, command: c.ListJobs) -> c.Reply:
        found = self._jobs.newest(command.command, command.limit)
        return _json_reply(
            {"jobs": [told(record) for record in found.jobs], "incomplete": found.incomplete}
        )

    def _cancel(self, command: c.CancelJob) -> c.Reply:
        job = self._jobs.cancel(command.job)
        if job.state.ended:
            return c.Reply(ok=True)
        return c.Reply(ok=True, reason="it ends once the request that is under way is over")


def _started(started: Started) -> c.Reply:
    job, again = started
    return c.Reply(ok=True, reason="under way already" if again else "", details={"job": job.id})


def _json_reply(content: object) -> c.Reply:
    return c.Reply(ok=True, attachment=json.dumps(content, separators=(",", ":")).encode())


def _plain(value: object) -> object:
    return None if value is None else TypeAdapter(type(value)).dump_python(value, mode="json")
