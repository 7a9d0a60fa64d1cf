"""Keeps what is deployed: the desired state on the bus, trials, promotions, roll-backs."""

import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from pydantic import TypeAdapter

from nxai_cloud_sync.core import deploying
from nxai_cloud_sync.core.catalogue import CatalogueVersion, VersionState
from nxai_cloud_sync.core.deploying import SHORT, Deployed, Look, Seen, candidate_name
from nxai_cloud_sync.core.observing import Observations
from nxai_cloud_sync.core.reporting import Around, desired_state, differ_in_figures_alone, report_of
from nxai_cloud_sync.core.shadow import ShadowComparison, verdict
from nxai_cloud_sync.ports import Remembered, StorageUnavailable
from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.collecting import RollbackOptions, ShadowOptions
from nxai_common.contracts.deployments import Deployment, Deployments, Phase
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.status import Problem, Status
from nxai_common.errors import RejectedError
from nxai_common.retry import RetryPolicy

log = logging.getLogger(__name__)

FIRST_WORD_S: Final = 1.0
"""A broker that is there tells what it retains in milliseconds; a box on which nothing was ever
deployed waits so long for nothing, once connected."""
SAVE_EVERY_S: Final = 30.0
"""What a trial has seen is written to the disk so often; a crash repeats at most that much."""
TELL_EVERY_S: Final = 5.0
"""The figures of a trial change with every frame; nobody reads them faster."""
CATALOGUE_EVERY_S: Final = 5.0
"""The catalogue is looked through so often: it reads folders."""
DISK: Final = RetryPolicy(first_s=1, factor=2, longest_s=60)
RESULTS_BOUND: Final = 2000
"""Results waiting to be compared: seconds of four cameras and two models."""

RECORDS: Final = TypeAdapter(tuple[Deployed, ...])
Records = tuple[Deployed, ...]


class Versions(Protocol):
    """What is needed of the catalogue."""

    def versions(self) -> tuple[CatalogueVersion, ...]:
        """Return all, newest first.

        Raises:
            StorageUnavailable: they cannot be read.
        """
        ...


@dataclass(slots=True)
class _UnderTrial:
    """The comparison of one trial. Another version that is tried is another trial."""

    candidate: str
    comparison: ShadowComparison

    def belongs_to(self, record: Deployed | None) -> bool:
        """Tell whether this is the trial of a record."""
        return record is not None and record.shadow == self.candidate


@dataclass(slots=True)
class _Shelf:
    """What is known of the catalogue."""

    versions: tuple[CatalogueVersion, ...] = ()
    known: bool = False
    """Whether it could be read since the start."""
    trouble: str = ""
    read_at: float = float("-inf")

    def missing(self, digest: str) -> str:
        """Return what is wrong with a version that was deployed; empty: nothing that is known."""
        if not self.known:
            return ""
        version = next((v for v in self.versions if v.digest == digest), None)
        if version is None:
            return "it is not in the catalogue any more"
        return version.reason if version.state is VersionState.REFUSED else ""


@dataclass(slots=True)
class _Saved:
    """What is on the disk."""

    records: Records = ()
    at: float = float("-inf")
    failures: int = 0
    again_at: float = float("-inf")
    trouble: str = ""


@dataclass(slots=True)
class _Recalling:
    """Nothing was kept: what the broker retains is waited for."""

    inbox: Inbox
    connected_at: float | None = None


@dataclass(slots=True)
class _Told:
    """What was published last."""

    desired: Deployments | None = None
    reports: dict[str, Deployment] = field(default_factory=dict)
    at: dict[str, float] = field(default_factory=dict)


class Deployer:
    """All deployed models.

    For the thread of the service's loop; but `problems`, `models`, `in_use` and `counters` may be
    asked for from any thread.
    """

    def __init__(
        self,
        bus: Bus,
        state: Remembered[Records],
        catalogue: Versions,
        clock: Callable[[], float] = time.monotonic,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._bus = bus
        self._state = state
        self._catalogue = catalogue
        self._clock = clock
        self._now_us = now_us
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._records: Mapping[str, Deployed] = {}
        """Never changed, only replaced: other threads read it."""
        self._observations = Observations()
        self._trials: dict[str, _UnderTrial] = {}
        self._results: Inbox | None = None
        self._results_of: frozenset[str] = frozenset()
        self._results_dropped = 0
        """Of inboxes that are closed."""
        self._offers: dict[str, str] = {}
        self._shadow = ShadowOptions()
        self._decides = False
        """Whether it is known how trials end."""
        self._held: Mapping[str, str] = {}
        """Which models inference runs, by digest, whoever told it to. Only replaced, as above."""
        self._promotes = False
        """Whether trials may end with a version in force."""
        self._shelf = _Shelf()
        self._saved = _Saved()
        self._told = _Told()
        self._recalling: _Recalling | None = None
        self._looked_at = 0.0
        self._problems: tuple[Problem, ...] = ()

    # -- life -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Take up what was deployed before this process began.

        Where nothing is kept of that (the file was damaged, the disk replaced), what the broker
        retains is taken up, once it is there: nobody asked to take those models away. Until then
        nothing is told.

        Raises:
            StorageUnavailable: it is there but cannot be read. Nothing was told: who ran on with no
                records would have the manager take all models away.
        """
        kept = self._state.read()
        self._looked_at = self._clock()
        if kept is None:
            self._recalling = _Recalling(self._bus.subscribe(Subscription(Deployments)))
            return
        self._saved.records = kept
        self._records = {record.model: record for record in kept}
        self._changed()

    def close(self) -> None:
        """Keep what was seen of trials."""
        self._listen(frozenset())
        if self._recalling is not None:
            self._recalling.inbox.close()
            return
        self._save(now=True)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What a person should know. From any thread."""
        return self._problems

    @property
    def counters(self) -> Mapping[str, int]:
        """Ever-growing counts. From any thread."""
        results = self._results
        dropped = self._results_dropped + (0 if results is None else results.dropped)
        return {"trial_results_dropped": dropped}

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the deployed models. From any thread."""
        return tuple(self._records)

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which their versions run, those that are tried too. From any thread."""
        records = self._records.values()
        tried = (candidate_name(r.model, r.trial.candidate) for r in records if r.trial is not None)
        return (*self.models, *tried)

    def told(self) -> tuple[Deployment, ...]:
        """Return what was last said of each deployed model."""
        return tuple(self._told.reports.values())

    def in_use(self) -> dict[str, str]:
        """Return why versions must not be deleted, by digest. From any thread."""
        why = {
            digest: f"inference runs it as model {model!r}" for digest, model in self._held.items()
        }
        records = self._records.values()
        for record in records:
            if record.trial is not None:
                tense = "was" if record.trial.over else "is"
                why[record.trial.candidate] = f"it {tense} tried beside {record.model!r}"
            if record.previous is not None:
                why[record.previous] = f"a roll-back of {record.model!r} would need it"
        for record in records:
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
            StorageUnavailable: the catalogue cannot be read.
        """
        self._must_know()
        version = self._version(model, digest)
        known = tuple(known_cameras)
        wanted = _cameras(cameras, known)
        record = self._records.get(model)
        if record is None:
            if wanted is None:
                raise RejectedError(f"say on which cameras; known: {_named(known)}")
            record = Deployed(
                model=model,
                name=version.title,
                cameras=wanted,
                digest=version.digest,
                since_us=self._now_us(),
                threshold=threshold,
                probation=deploying.Probation(),
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
                rate=self._observations.rate_of(model),
            )
        self._put(record)
        return record

    def undeploy(self, model: str, cameras: Iterable[str] | None) -> None:
        """Take a model from some cameras, or from all.

        Raises:
            RejectedError: it is not deployed, or not there.
        """
        record = self._known(model)
        going = record.cameras if cameras is None else tuple(cameras)
        for camera in going:
            if camera not in record.cameras:
                raise RejectedError(
                    f"model {model!r} does not run on camera {camera!r}; it runs on "
                    f"{_named(record.cameras)}"
                )
        left = tuple(camera for camera in record.cameras if camera not in going)
        if left:
            self._put(replace(record, cameras=left))
            return
        self._records = {name: kept for name, kept in self._records.items() if name != model}
        self._observations.forget(model)
        self._changed()  # the disk first: what is cleared and still kept would come again
        self._told.reports.pop(model, None)
        self._bus.clear(Deployment, model=model)

    def promote(self, model: str) -> Deployed:
        """Put the version that is or was tried in force.

        Raises:
            RejectedError: there is none, or it is gone.
            StorageUnavailable: the catalogue cannot be read.
        """
        record = self._known(model)
        if record.trial is None or record.trial.candidate == record.digest:
            raise RejectedError(
                f"no other version of model {model!r} was tried: fetch the newest of the "
                "project, and deploy it to begin its trial"
            )
        self._version(model, record.trial.candidate)
        record = deploying.promote(record, self._now_us(), self._observations.rate_of(model))
        self._put(record)
        return record

    def end_shadow(self, model: str) -> None:
        """End a trial, or forget one that is over.

        Raises:
            RejectedError: there is none.
        """
        record = self._known(model)
        if record.trial is None or record.trial.candidate == record.digest:
            raise RejectedError(f"no version is tried beside model {model!r}")
        self._put(deploying.end_trial(record, "the trial was ended by hand"))

    def roll_back(self, model: str) -> Deployed:
        """Put the version before in force.

        Raises:
            RejectedError: there is none, or it is gone.
            StorageUnavailable: the catalogue cannot be read.
        """
        record = self._known(model)
        if record.previous is None:
            raise RejectedError(f"model {model!r} has no version before to go back to")
        self._version(model, record.previous)
        record = deploying.roll_back(record, "rolled back by hand", self._now_us())
        self._put(record)
        return record

    def offer(self, model: str, version: str) -> None:
        """Note that the project has a newer version of a model; empty: it has not."""
        self._offers[model] = version
        # What is offered no longer was imported just now: whoever is told that alone, and the
        # latest version as of the last look into the catalogue, takes the old one for the latest.
        self._read_catalogue()
        if self._recalling is None:
            self._tell()

    # -- what is seen ---------------------------------------------------------------------------

    def see_status(self, status: Status) -> None:
        """Take what an inference or capture process says of itself."""
        self._observations.see(status, self._clock())
        self._held = self._observations.held()

    def look(
        self,
        shadow: ShadowOptions | None,
        rollback: RollbackOptions | None,
        *,
        promotes: bool = True,
    ) -> None:
        """Go on with trials and probations; called about once a second.

        Args:
            shadow: How long a trial takes, and what it must show; None: not known yet, no trial
                ends by itself.
            rollback: Rules of the time after a swap; None: not known yet.
            promotes: Versions may be put in force by rule.
        """
        self._promotes = promotes
        now = self._clock()
        passed_s, self._looked_at = now - self._looked_at, now
        self._decides = shadow is not None
        self._shadow = shadow or self._shadow
        if self._recalling is not None:
            self._recall(self._recalling)
            return
        self._look_at_catalogue()
        self._compare()
        crashes = self._observations.take_crashes()
        records = dict(self._records)
        for model, before in records.items():
            way_back = before.previous is None or not self._shelf.missing(before.previous)
            look = Look(passed_s, self._now_us(), rollback, way_back)
            seen = self._observations.seen(model, before.cameras, crashes)
            candidate = self._see_candidate(before)
            record = deploying.watch(before, seen, candidate, look)
            records[model] = self._go_on_trial(record, seen, candidate, look)
            reason = records[model].reason
            if reason and reason != before.reason:
                log.warning("model %s: %s", model, reason)
        self._records = records
        self._changed()

    def _see_candidate(self, record: Deployed) -> Seen:
        if record.shadow is None:
            return Seen()
        return self._observations.seen(candidate_name(record.model, record.shadow))

    def _go_on_trial(self, record: Deployed, seen: Seen, candidate: Seen, look: Look) -> Deployed:
        """Return a record after what its trial showed since the last look."""
        under = self._trials.get(record.model)
        if not self._decides or record.trial is None or under is None:
            return record
        under.comparison.fail(candidate.errors)
        report = under.comparison.report(record.trial.rate_before)
        both_run = seen.runs(record.digest) and candidate.runs(under.candidate)
        return deploying.go_on_trial(
            record,
            report,
            enough=under.comparison.share(record.cameras, self._shadow.frames) >= 1,
            passed_s=look.passed_s if both_run else 0.0,
            options=self._shadow,
            objection=verdict(
                report,
                min_agreement=self._shadow.min_agreement,
                max_slowdown=self._shadow.max_slowdown,
            ),
            now_us=look.now_us,
            promotes=self._promotes,
            rate=self._observations.rate_of(record.model),
        )

    def _compare(self) -> None:
        """Read the results that came for the trials."""
        if self._results is None:
            return
        for delivery in self._results.receive_many(RESULTS_BOUND, 0):
            if isinstance(delivery.message, InferenceResult):
                for under in self._trials.values():
                    under.comparison.see(delivery.message)

    def _arrange_trials(self) -> None:
        """Have a comparison for each trial under way, and the results of its cameras alone."""
        self._trials = {
            model: under
            for model, under in self._trials.items()
            if under.belongs_to(self._records.get(model))
        }
        cameras: set[str] = set()
        for model, record in self._records.items():
            if record.trial is None or record.shadow is None:
                continue
            cameras.update(record.cameras)
            if model not in self._trials:
                comparison = ShadowComparison(
                    model,
                    candidate_name(model, record.shadow),
                    record.trial.report,
                    (record.digest, record.shadow),
                )
                self._trials[model] = _UnderTrial(record.shadow, comparison)
        if cameras != self._results_of:
            self._listen(frozenset(cameras))

    def _listen(self, cameras: frozenset[str]) -> None:
        """Receive the results of some cameras, and of no others."""
        before, self._results = self._results, None
        if before is not None:
            self._results_dropped += before.dropped
            before.close()
        if cameras:
            wanted: list[Subscription[Message]] = [
                Subscription(InferenceResult, {"camera": camera}) for camera in sorted(cameras)
            ]
            self._results = self._bus.subscribe(*wanted, volatile=True, bound=RESULTS_BOUND)
        self._results_of = cameras

    def _look_at_catalogue(self) -> None:
        """Look through the catalogue now and then."""
        if self._clock() - self._shelf.read_at >= CATALOGUE_EVERY_S:
            self._read_catalogue()

    def _read_catalogue(self) -> None:
        """Look through the catalogue; one that cannot be read is as it was."""
        try:
            self._versions()
        except StorageUnavailable as error:
            if self._shelf.trouble != str(error):
                log.warning("%s", error)
            self._shelf.trouble = str(error)
            self._shelf.read_at = self._clock()

    def _versions(self) -> tuple[CatalogueVersion, ...]:
        """Return what is in the catalogue now.

        Raises:
            StorageUnavailable: it cannot be read.
        """
        self._shelf = _Shelf(self._catalogue.versions(), known=True, read_at=self._clock())
        return self._shelf.versions

    # -- what is kept and told ------------------------------------------------------------------

    def _put(self, record: Deployed) -> None:
        self._records = {**self._records, record.model: record}
        self._changed()

    def _changed(self) -> None:
        self._arrange_trials()
        self._save()
        self._look_at_catalogue()
        self._tell()
        self._problems = tuple(self._find_problems())

    def _find_problems(self) -> Iterable[Problem]:
        for trouble in (self._saved.trouble, self._shelf.trouble):
            if trouble:
                yield Problem(about="disk", reason=trouble)
        for record in self._records.values():
            about = f"model {record.model}"
            if record.phase is Phase.FAILED:
                yield Problem(about=about, reason=record.reason)
            other = self._observations.other_wish(record.model)
            if other:
                yield Problem(
                    about=about,
                    reason=(
                        f"settings.json has a model of this name, and that one runs ({other}): "
                        "give it another name there, or undeploy this one"
                    ),
                )
            missing = self._shelf.missing(record.digest)
            if missing:
                yield Problem(
                    about=about,
                    reason=(
                        f"version {record.digest[:SHORT]} is deployed, and {missing}; it runs until"
                        " the inference service is started again: import it again, or deploy "
                        "another version"
                    ),
                )

    def _recall(self, recalling: _Recalling, wait_s: float = 0.0) -> None:
        """Take up what the broker retains; nothing, once it had the time to tell.

        Args:
            recalling: What is waited for.
            wait_s: Longest wait here and now, where the broker is there.
        """
        delivery = recalling.inbox.receive(wait_s if self._bus.connected else 0.0)
        retained = None if delivery is None else delivery.message
        if not isinstance(retained, Deployments):
            if not self._bus.connected:
                recalling.connected_at = None
                return
            if recalling.connected_at is None:
                recalling.connected_at = self._clock()
            if self._clock() - recalling.connected_at + wait_s < FIRST_WORD_S:
                return
        recalling.inbox.close()
        self._recalling = None
        if isinstance(retained, Deployments) and retained.models:
            log.warning("nothing was kept of what is deployed; going on with what the broker kept")
            records = deploying.recalled(retained.models, self._now_us())
            self._records = {record.model: record for record in records}
        self._changed()

    def _save(self, *, now: bool = False) -> None:
        """Write the records: what is desired at once, what a trial has seen now and then.

        A disk that is full stops nothing: it is tried again, and told.
        """
        saved, at = self._saved, self._clock()
        records = tuple(self._records.values())
        if records == saved.records or (not now and at < saved.again_at):
            return
        due = now or at - saved.at >= SAVE_EVERY_S
        if not due and _gist(records) == _gist(saved.records):
            return
        try:
            self._state.write(records)
        except StorageUnavailable as error:
            if saved.trouble != str(error):
                log.warning("%s", error)
            saved.trouble = str(error)
            saved.failures += 1
            saved.again_at = at + DISK.delay(saved.failures, self._rng)
        else:
            self._saved = _Saved(records, at)

    def _tell(self) -> None:
        desired = desired_state(self._records.values())
        if self._told.desired != desired:
            self._told.desired = desired
            self._bus.publish(desired)
        at = self._clock()
        for model, record in self._records.items():
            told = self._told.reports.get(model)
            now = report_of(record, self._around(record))
            early = told is not None and at - self._told.at[model] < TELL_EVERY_S
            if now == told or (early and differ_in_figures_alone(now, told)):
                continue
            self._told.reports[model] = now
            self._told.at[model] = at
            self._bus.publish(now)

    def _around(self, record: Deployed) -> Around:
        return Around(
            self._shelf.versions,
            self._observations.digest_of(record.model),
            self._offers.get(record.model, ""),
            self._progress(record),
            self._remark(record),
        )

    def _progress(self, record: Deployed) -> float:
        under = self._trials.get(record.model)
        if record.trial is None or under is None:
            return 0.0
        by_frames = under.comparison.share(record.cameras, self._shadow.frames)
        by_time = record.trial.elapsed_s / (self._shadow.minutes * 60)
        return round(min(1.0, max(by_frames, by_time)), 2)

    def _remark(self, record: Deployed) -> str:
        """Say what a model waits for, when it does."""
        if record.phase is Phase.STARTING:
            return self._wait_for(record.model, "")
        if record.trial is None or record.shadow is None or record.trial.report.frames:
            return ""
        candidate = candidate_name(record.model, record.shadow)
        return (
            self._wait_for(candidate, "for the trial: ")
            or "no frame was looked at by both versions yet"
        )

    def _wait_for(self, model: str, what: str) -> str:
        if not self._observations.inference_runs:
            return f"{what}no inference service runs"
        if not self._observations.knows(model):
            return f"{what}inference was not told of it yet; the manager's problems say why"
        if self._observations.other_wish(model):
            return f"{what}settings.json has a model of this name, and that one runs"
        return "" if self._observations.digest_of(model) else f"{what}inference loads it"

    def _version(self, model: str, digest: str | None) -> CatalogueVersion:
        everything = self._versions()
        versions = [version for version in everything if version.model == model]
        if not versions:
            known = {version.model for version in everything if version.model}
            raise RejectedError(f"there is no model {model!r}; known: {_named(known)}")
        if digest is None:
            ready = [version for version in versions if version.state is VersionState.READY]
            if not ready:
                raise RejectedError(
                    f"no version of model {model!r} can be used: {_why_not(versions[0])}"
                )
            return ready[0]
        for version in versions:
            if version.digest == digest:
                if version.state is not VersionState.READY:
                    raise RejectedError(
                        f"version {digest[:SHORT]} of model {model!r} cannot be used: "
                        f"{_why_not(version)}"
                    )
                return version
        raise RejectedError(
            f"model {model!r} has no version {digest[:SHORT]}; it has "
            f"{_named(version.digest[:SHORT] for version in versions)}"
        )

    def _must_know(self) -> None:
        """Find out what is deployed, if that is not known yet."""
        if self._recalling is not None:
            self._recall(self._recalling, FIRST_WORD_S)
        if self._recalling is not None:
            raise RejectedError("it is still being found out what is deployed; ask again soon")

    def _known(self, model: str) -> Deployed:
        self._must_know()
        record = self._records.get(model)
        if record is None:
            raise RejectedError(
                f"model {model!r} is not deployed; deployed: {_named(self._records)}"
            )
        return record


def _gist(records: Records) -> list[tuple[object, ...]]:
    """Return what must be on the disk before it is told."""
    return [
        (
            (r.model, r.cameras, r.threshold),
            (r.digest, r.previous, r.phase, r.withdrawn, r.refused),
            r.trial and (r.trial.candidate, r.trial.over),
        )
        for r in records
    ]


def _cameras(wanted: Iterable[str] | None, known: Collection[str]) -> tuple[str, ...] | None:
    if wanted is None:
        return None
    cameras = tuple(dict.fromkeys(wanted))
    if not cameras:
        raise RejectedError(f"say on which cameras; known: {_named(known)}")
    for camera in cameras:
        if camera not in known:
            raise RejectedError(f"there is no camera {camera!r}; known: {_named(known)}")
    return cameras


def _why_not(version: CatalogueVersion) -> str:
    return version.reason or "it was not tested yet"


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
