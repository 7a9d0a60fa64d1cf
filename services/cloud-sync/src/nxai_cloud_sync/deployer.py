"""Keeps what is deployed: the desired state on the bus, trials, promotions, roll-backs."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from pydantic import TypeAdapter

from nxai_cloud_sync.core import deploying
from nxai_cloud_sync.core.catalogue import CatalogueVersion, VersionState
from nxai_cloud_sync.core.deploying import Deployed, Seen, candidate_name
from nxai_cloud_sync.core.shadow import ShadowComparison, verdict
from nxai_cloud_sync.ports import Catalogue, Remembered, StorageUnavailable
from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.collecting import RollbackOptions, ShadowOptions
from nxai_common.contracts.deployments import (
    DeployedModel,
    Deployment,
    Deployments,
    Phase,
    Version,
)
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.status import LinkState, ModelStatus, Problem, ServiceState, Status
from nxai_common.errors import RejectedError

log = logging.getLogger(__name__)

RATE_S: Final = 10.0
"""Frames are counted over at least so long: two heartbeats of inference."""
SAVE_EVERY_S: Final = 30.0
"""What a trial has seen is written to the disk so often; a crash repeats at most that much."""
RESULTS_BOUND: Final = 2000
"""Results waiting to be compared: seconds of four cameras and two models."""
REVISION_CHARACTERS: Final = 12

RECORDS: Final = TypeAdapter(tuple[Deployed, ...])
Records = tuple[Deployed, ...]


@dataclass(slots=True)
class _Rate:
    """Counts frames between two looks."""

    at: float
    processed: int
    value: float | None = None
    fresh: bool = False


class Deployer:
    """All deployed models. For the thread of the service's loop alone, but for `problems`."""

    def __init__(
        self,
        bus: Bus,
        state: Remembered[Records],
        catalogue: Catalogue,
        clock: Callable[[], float] = time.monotonic,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._bus = bus
        self._state = state
        self._catalogue = catalogue
        self._clock = clock
        self._now_us = now_us
        self._records: dict[str, Deployed] = {}
        self._statuses: dict[str, Status] = {}
        """Of each inference and capture process."""
        self._rates: dict[str, _Rate] = {}
        self._comparisons: dict[str, ShadowComparison] = {}
        self._results: Inbox | None = None
        self._results_of: frozenset[str] = frozenset()
        self._offers: dict[str, str] = {}
        self._published: Deployments | None = None
        self._told: dict[str, Deployment] = {}
        self._saved: Records = ()
        self._saved_at = float("-inf")
        self._looked_at = clock()
        self._disk = ""

    # -- life -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Take up what was deployed before this process began."""
        try:
            records = self._state.read() or ()
        except StorageUnavailable as error:
            self._disk = str(error)
            log.error("%s", error)  # noqa: TRY400 - the reason is in the text
            records = ()
        self._saved = records
        self._records = {record.model: record for record in records}
        self._tell()

    def close(self) -> None:
        """Keep what was seen of trials."""
        if self._results is not None:
            self._results.close()
        self._save(now=True)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What a person should know. May be asked for from another thread."""
        problems = [Problem(about="disk", reason=self._disk)] if self._disk else []
        problems += [
            Problem(about=f"model {record.model}", reason=record.reason)
            for record in list(self._records.values())
            if record.phase is Phase.FAILED
        ]
        return tuple(problems)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the deployed models. May be asked for from another thread."""
        return tuple(self._records)

    def told(self) -> tuple[Deployment, ...]:
        """Return what was last said of each deployed model."""
        return tuple(self._told.values())

    def in_use(self) -> dict[str, str]:
        """Return why versions must not be deleted, by digest."""
        why = {}
        for record in self._records.values():
            if record.previous is not None:
                why[record.previous] = f"a roll-back of {record.model!r} would need it"
            if record.trial is not None:
                why[record.trial.candidate] = f"it is tried beside {record.model!r}"
            why[record.digest] = f"model {record.model!r} runs it on {_named(record.cameras)}"
        return why

    def record(self, model: str) -> Deployed | None:
        """Return one."""
        return self._records.get(model)

    # -- what people ask for --------------------------------------------------------------------

    def deploy(
        self,
        model: str,
        digest: str | None,
        cameras: Iterable[str] | None,
        known_cameras: Iterable[str],
        *,
        threshold: float | None = None,
        at_once: bool = False,
        by_rule: bool = False,
    ) -> Deployed:
        """Let a version of a model run on cameras.

        Raises:
            RejectedError: no such model, version or camera; says which there are.
        """
        version = self._version(model, digest)
        known = tuple(known_cameras)
        wanted = None if cameras is None else tuple(dict.fromkeys(cameras))
        unknown = [camera for camera in wanted or () if camera not in known]
        if unknown:
            raise RejectedError(f"there is no camera {unknown[0]!r}; known: {_named(known)}")
        record = self._records.get(model)
        if record is None:
            if not wanted:
                raise RejectedError(f"say on which cameras; known: {_named(known)}")
            record = Deployed(
                model=model,
                name=version.title,
                cameras=wanted,
                digest=version.digest,
                since_us=self._now_us(),
                threshold=threshold,
            )
        else:
            record = replace(
                record,
                cameras=record.cameras if wanted is None else wanted,
                threshold=record.threshold if threshold is None else threshold,
            )
            record = deploying.deploy(
                record,
                version.digest,
                at_once=at_once,
                by_rule=by_rule,
                now_us=self._now_us(),
                rate=self._rate_of(model),
            )
        self._put(record)
        return record

    def undeploy(self, model: str, cameras: Iterable[str] | None) -> None:
        """Take a model from some cameras, or from all.

        Raises:
            RejectedError: it is not deployed.
        """
        record = self._known(model)
        left = () if cameras is None else tuple(c for c in record.cameras if c not in set(cameras))
        if left:
            self._put(replace(record, cameras=left))
            return
        del self._records[model]
        self._comparisons.pop(model, None)
        self._told.pop(model, None)
        self._bus.clear(Deployment, model=model)
        self._changed()

    def promote(self, model: str) -> Deployed:
        """Put the version that is or was tried in force.

        Raises:
            RejectedError: there is none.
        """
        record = self._known(model)
        if record.trial is None or record.trial.candidate == record.digest:
            raise RejectedError(f"no other version of model {model!r} was tried; deploy one first")
        record = deploying.promote(record, self._now_us(), self._rate_of(model))
        self._put(record)
        return record

    def end_shadow(self, model: str) -> None:
        """End a trial.

        Raises:
            RejectedError: there is none.
        """
        record = self._known(model)
        if record.trial is None:
            raise RejectedError(f"no version is tried beside model {model!r}")
        self._put(deploying.end_trial(record, "the trial was ended by hand"))

    def roll_back(self, model: str) -> Deployed:
        """Put the version before in force.

        Raises:
            RejectedError: there is none.
        """
        record = self._known(model)
        if record.previous is None:
            raise RejectedError(f"model {model!r} has no version before to go back to")
        record = deploying.roll_back(record, "rolled back by hand", self._now_us())
        self._put(record)
        return record

    def offer(self, model: str, version: str) -> None:
        """Note that the project has a newer version of a model; empty: it has not."""
        if self._offers.get(model, "") != version:
            self._offers[model] = version
            self._tell()

    # -- what is seen ---------------------------------------------------------------------------

    def see_status(self, status: Status) -> None:
        """Take what an inference or capture process says of itself."""
        if status.state in (ServiceState.OFFLINE, ServiceState.STOPPED):
            self._statuses.pop(status.service, None)
        else:
            self._statuses[status.service] = status
        if status.role != "inference":
            return
        for record in self._records.values():
            self._count(record.model)

    def look(self, shadow: ShadowOptions, rollback: RollbackOptions) -> None:
        """Go on with trials and probations; called about once a second."""
        now = self._clock()
        passed_s, self._looked_at = now - self._looked_at, now
        self._compare()
        for model, before in list(self._records.items()):
            candidate = (
                Seen()
                if before.shadow is None
                else self._seen(candidate_name(model, before.shadow), ())
            )
            record = deploying.watch(
                before,
                self._seen(model, before.cameras),
                candidate,
                passed_s=passed_s,
                now_us=self._now_us(),
                rollback=rollback,
            )
            comparison = self._comparisons.get(model)
            if record.trial is not None and comparison is not None:
                report = comparison.report(record.trial.rate_before)
                record = deploying.go_on_trial(
                    record,
                    report,
                    enough=all(comparison.frames_of(c) >= shadow.frames for c in record.cameras),
                    passed_s=passed_s,
                    options=shadow,
                    objection=verdict(
                        report,
                        min_agreement=shadow.min_agreement,
                        max_slowdown=shadow.max_slowdown,
                    ),
                    now_us=self._now_us(),
                )
            if record != before:
                self._records[model] = record
                if record.reason != before.reason and record.reason:
                    log.warning("model %s: %s", model, record.reason)
        self._changed(shadow)

    def _compare(self) -> None:
        """Follow the results of models under trial; read what came."""
        trials = {
            model: record for model, record in self._records.items() if record.shadow is not None
        }
        for model in self._comparisons.keys() - trials.keys():
            del self._comparisons[model]
        for model, record in trials.items():
            if model not in self._comparisons and record.trial is not None:
                self._comparisons[model] = ShadowComparison(
                    model,
                    candidate_name(model, record.trial.candidate),
                    record.trial.report,
                )
        cameras = frozenset(camera for record in trials.values() for camera in record.cameras)
        if cameras != self._results_of:
            if self._results is not None:
                self._results.close()
            self._results = self._listen(cameras) if cameras else None
            self._results_of = cameras
        if self._results is None:
            return
        for delivery in self._results.receive_many(RESULTS_BOUND, 0):
            if isinstance(delivery.message, InferenceResult):
                for comparison in self._comparisons.values():
                    comparison.see(delivery.message)

    def _listen(self, cameras: frozenset[str]) -> Inbox:
        wanted: list[Subscription[Message]] = [
            Subscription(InferenceResult, {"camera": camera}) for camera in sorted(cameras)
        ]
        return self._bus.subscribe(*wanted, volatile=True, bound=RESULTS_BOUND)

    def _seen(self, model: str, cameras: Iterable[str]) -> Seen:
        """Return what all inference processes say of a model."""
        found = self._model_statuses(model)
        rate = self._rates.get(model)
        fresh = None
        if rate is not None and rate.fresh:
            rate.fresh = False
            fresh = rate.value
        if not found:
            return Seen(rate=fresh)
        paths = {status.path for status in found}
        failed = next((status for status in found if status.failed), None)
        return Seen(
            wanted=found[0].wanted if failed is None else failed.wanted,
            failed="" if failed is None else failed.failed,
            path=paths.pop() if len(paths) == 1 else "",
            errors=sum(status.errors for status in found),
            rate=fresh,
            camera_rate=self._camera_rate(cameras),
        )

    def _model_statuses(self, model: str) -> list[ModelStatus]:
        return [
            status
            for process in self._statuses.values()
            for status in process.models
            if status.model == model
        ]

    def _camera_rate(self, cameras: Iterable[str]) -> float | None:
        wanted = set(cameras)
        rates = [
            camera.fps
            for process in self._statuses.values()
            for camera in process.cameras
            if camera.camera in wanted and camera.state is LinkState.RUNNING
        ]
        return sum(rates) if rates else None

    def _count(self, model: str) -> None:
        processed = sum(status.processed for status in self._model_statuses(model))
        now = self._clock()
        rate = self._rates.get(model)
        if rate is None or processed < rate.processed:  # a process was started again
            self._rates[model] = _Rate(now, processed)
        elif now - rate.at >= RATE_S:
            value = (processed - rate.processed) / (now - rate.at)
            self._rates[model] = _Rate(now, processed, value, fresh=True)

    def _rate_of(self, model: str) -> float | None:
        rate = self._rates.get(model)
        return None if rate is None else rate.value

    # -- what is told ---------------------------------------------------------------------------

    def _put(self, record: Deployed) -> None:
        self._records[record.model] = record
        self._changed()

    def _changed(self, shadow: ShadowOptions | None = None) -> None:
        self._save()
        self._tell(shadow)

    def _save(self, *, now: bool = False) -> None:
        """Write the records: what is desired at once, what a trial has seen now and then."""
        records = tuple(self._records.values())
        if records == self._saved:
            return
        due = self._clock() - self._saved_at >= SAVE_EVERY_S
        if not (now or due) and _gist(records) == _gist(self._saved):
            return
        self._saved_at = self._clock()
        try:
            self._state.write(records)
        except StorageUnavailable as error:
            if self._disk != str(error):
                log.warning("%s", error)
            self._disk = str(error)
        else:
            self._disk = ""
            self._saved = records

    def _tell(self, shadow: ShadowOptions | None = None) -> None:
        desired = desired_state(self._records)
        if self._published != desired:
            self._published = desired
            self._bus.publish(desired)
        for record in self._records.values():
            told = self._told.get(record.model)
            now = self._reported(record, shadow, told)
            if now != told:
                self._told[record.model] = now
                self._bus.publish(now)

    def _reported(
        self, record: Deployed, shadow: ShadowOptions | None, told: Deployment | None
    ) -> Deployment:
        versions = self._catalogue.versions()
        latest = next(
            (v for v in versions if v.model == record.model and v.state is VersionState.READY), None
        )
        trial = record.trial
        progress = 0.0 if told is None else told.progress
        if trial is None or trial.over:
            progress = 0.0 if trial is None else 1.0
        elif shadow is not None:
            counted = self._comparisons.get(record.model)
            share = (
                0.0
                if counted is None or not record.cameras
                else min(counted.frames_of(c) for c in record.cameras) / shadow.frames
            )
            progress = round(min(1.0, max(share, trial.elapsed_s / (shadow.minutes * 60))), 2)
        return Deployment(
            model=record.model,
            name=record.name,
            cameras=record.cameras,
            phase=Phase.SHADOW if record.shadow is not None else record.phase,
            reason=record.reason,
            since=datetime.fromtimestamp(record.since_us / 1e6, UTC),
            installed=_shown(record.digest, versions),
            latest=None if latest is None else _shown(latest.digest, versions),
            offered=self._offers.get(record.model, ""),
            candidate=None if trial is None else _shown(trial.candidate, versions),
            progress=progress,
            report=None if trial is None else trial.report,
            promotable=trial is not None
            and trial.candidate != record.digest
            and trial.report.frames > 0
            and not trial.objection,
        )

    def _version(self, model: str, digest: str | None) -> CatalogueVersion:
        versions = [version for version in self._catalogue.versions() if version.model == model]
        if not versions:
            known = sorted({version.model for version in self._catalogue.versions()})
            raise RejectedError(f"there is no model {model!r}; known: {_named(known)}")
        if digest is None:
            ready = [version for version in versions if version.state is VersionState.READY]
            if not ready:
                raise RejectedError(
                    f"no version of model {model!r} can be used: "
                    f"{versions[0].reason or 'it was not tested yet'}"
                )
            return ready[0]
        for version in versions:
            if version.digest == digest:
                if version.state is not VersionState.READY:
                    raise RejectedError(
                        f"version {digest[:12]} of model {model!r} cannot be used: "
                        f"{version.reason or 'it was not tested yet'}"
                    )
                return version
        raise RejectedError(
            f"model {model!r} has no version {digest[:12]}; it has "
            f"{_named(version.digest[:12] for version in versions)}"
        )

    def _known(self, model: str) -> Deployed:
        record = self._records.get(model)
        if record is None:
            raise RejectedError(
                f"model {model!r} is not deployed; deployed: {_named(self._records)}"
            )
        return record


def desired_state(records: Mapping[str, Deployed]) -> Deployments:
    """Return what shall run, with a revision that only the content decides."""
    models = tuple(
        DeployedModel(
            model=record.model,
            name=record.name,
            cameras=record.cameras,
            digest=record.digest,
            candidate=record.shadow,
            candidate_model=(
                None if record.shadow is None else candidate_name(record.model, record.shadow)
            ),
            threshold=record.threshold,
        )
        for record in records.values()
    )
    content = json.dumps([model.model_dump(mode="json") for model in models], sort_keys=True)
    revision = hashlib.sha256(content.encode()).hexdigest()[:REVISION_CHARACTERS]
    return Deployments(revision=revision, models=models)


def _gist(records: Records) -> list[tuple[object, ...]]:
    """Return what must be on the disk before it is told."""
    return [
        (r.model, r.cameras, r.digest, r.previous, r.shadow, r.phase, r.threshold, r.refused)
        for r in records
    ]


def _shown(digest: str, versions: Iterable[CatalogueVersion]) -> Version:
    for version in versions:
        if version.digest == digest:
            created = version.origin.created_at
            return Version(
                digest=digest,
                version=version.version,
                created_at=_time(created),
            )
    return Version(digest=digest)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
