"""What becomes of a deployed model: put in force, tried, promoted, watched, rolled back.

Each function takes a record and returns the next one; nothing here waits or writes. Times are
sums of seconds that passed while the service ran, so that neither a restart nor a wrong clock
ends a trial or a probation.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from nxai_common.contracts.collecting import Fraction, RollbackOptions, ShadowOptions
from nxai_common.contracts.deployments import DeployedModel, Phase, ShadowReport
from nxai_common.contracts.models import Digest
from nxai_common.contracts.topics import Level

REFUSED_KEPT: Final = 20
"""Versions of a model that are not tried again by themselves; older ones are long pruned."""
SETTLE_S: Final = 15.0
"""After a swap the rate of frames is measured from here on: three heartbeats of inference."""
SLOW_LOOKS: Final = 2
"""Measurements in a row that must be too slow: one may be a hiccup of the box."""
MOST_CRASHES: Final = 2
"""Inference processes that may end under a new version: once may be by chance."""
PATIENCE_S: Final = 60.0
"""A version that ran well and cannot be loaded when inference starts again has so long before it
is given up: a disk may be mounted late."""
SHORT: Final = 12
"""Digits of a digest that a person sees."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A shadow run."""

    candidate: Digest
    """The version that is tried."""
    by_rule: bool = False
    """Promoted by itself when the outcome allows it."""
    elapsed_s: float = 0.0
    """For so long both versions ran."""
    over: bool = False
    """Seen enough; the candidate does not run any more and can be promoted."""
    rate_before: float | None = None
    """Frames a second (see `Seen.rate`) of the model in force when it began."""
    report: ShadowReport = field(default_factory=ShadowReport)
    objection: str = ""
    """Why it is not promoted by itself."""
    crashes: int = 0
    """Inference processes that ended without a goodbye meanwhile."""


@dataclass(frozen=True, slots=True)
class Probation:
    """The time after a version was put in force."""

    elapsed_s: float = 0.0
    """For so long it ran."""
    errors: int = 0
    """Frames that it could not look at."""
    rate_before: float | None = None
    """Frames a second (see `Seen.rate`) of the version before."""
    slow: int = 0
    """Measurements in a row that were too slow."""
    crashes: int = 0
    """Inference processes that ended without a goodbye meanwhile."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """One deployed model."""

    model: Level
    name: str
    cameras: tuple[Level, ...]
    digest: Digest
    """The version that shall be in force."""
    since_us: int
    phase: Phase = Phase.STARTING
    reason: str = ""
    threshold: Fraction | None = None
    previous: Digest | None = None
    """The last version that was good: where a roll-back leads."""
    trial: Trial | None = None
    probation: Probation | None = None
    """Under watch; with phase RUNNING where there is no version to go back to."""
    refused: tuple[Digest, ...] = ()
    """Versions that failed here; never taken up again by themselves."""
    failing_s: float = 0.0
    """For so long inference could not load it."""
    withdrawn: bool = False
    """It ended the inference service again and again: it is not told to run any more."""

    @property
    def shadow(self) -> str | None:
        """Digest of the version that runs beside it now."""
        return None if self.trial is None or self.trial.over else self.trial.candidate


@dataclass(frozen=True, slots=True)
class Seen:
    """What inference reports of a model, over all workers, since the last look."""

    digests: frozenset[str] = frozenset()
    """Versions in force; empty text: none yet; no element: nobody knows the model."""
    failures: tuple[tuple[str, str], ...] = ()
    """Versions that could not be loaded and why; empty digest: an older worker does not tell."""
    errors: int = 0
    """New frames that it could not look at."""
    crashes: int = 0
    """Inference processes that ended without a goodbye."""
    rate: float | None = None
    """Frames a second that each worker got through; None: nothing new was measured."""
    camera_rate: float = 0.0
    """Frames a second that its cameras had for each worker."""

    def runs(self, digest: str) -> bool:
        """Tell whether a version, and no other, is in force."""
        return self.digests == {digest}

    def failed_at(self, digest: str) -> str:
        """Return why a version could not be loaded; empty: it was not tried or did not fail."""
        return next((why for failed, why in self.failures if failed in (digest, "")), "")


def candidate_name(model: str, digest: str) -> str:
    """Return the name under which a candidate runs: another level beside the model's own."""
    return f"{model[:48]}-try-{digest[:8]}"


def desired(records: Iterable[Deployed]) -> tuple[DeployedModel, ...]:
    """Return what shall run, in an order that does not depend on what was deployed first."""
    return tuple(
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
        for record in sorted(records, key=lambda record: record.model)
        if not record.withdrawn
    )


def recalled(told: Iterable[DeployedModel], now_us: int) -> tuple[Deployed, ...]:
    """Return records of what was desired, where nothing else was kept of it."""
    return tuple(
        Deployed(
            model=model.model,
            name=model.name,
            cameras=model.cameras,
            digest=model.digest,
            since_us=now_us,
            threshold=model.threshold,
        )
        for model in told
    )


def deploy(
    record: Deployed,
    digest: str,
    *,
    at_once: bool,
    by_rule: bool,
    now_us: int,
    rate: float | None = None,
) -> Deployed:
    """Let another version take over, or begin its trial."""
    if digest == record.digest:
        record = replace(record, trial=None, reason="")
        if record.phase is not Phase.FAILED:
            return record
        probation = replace(record.probation or Probation(), crashes=0)
        return replace(record, phase=Phase.STARTING, withdrawn=False, probation=probation)
    if at_once or record.phase is Phase.FAILED:  # nothing runs that could be compared with
        return _put_in_force(record, digest, now_us, rate)
    if record.trial is not None and record.shadow == digest:
        # A person who deploys it, too, wants to decide.
        return replace(
            record, trial=replace(record.trial, by_rule=record.trial.by_rule and by_rule)
        )
    trial = Trial(digest, by_rule=by_rule, rate_before=rate)
    return replace(record, trial=trial, reason="")


def promote(record: Deployed, now_us: int, rate: float | None = None) -> Deployed:
    """Put the version of the trial in force."""
    if record.trial is None:
        return record
    before = record.trial.rate_before
    promoted = _put_in_force(
        record, record.trial.candidate, now_us, rate if before is None else before
    )
    return replace(promoted, trial=replace(record.trial, over=True))


def end_trial(record: Deployed, reason: str, *, refuse: bool = False) -> Deployed:
    """End a trial; the model in force stays."""
    if record.trial is None:
        return record
    refused = _refuse(record, record.trial.candidate) if refuse else record.refused
    return replace(record, trial=None, reason=reason, refused=refused)


def roll_back(record: Deployed, reason: str, now_us: int) -> Deployed:
    """Put the version before in force again."""
    if record.previous is None:
        return replace(record, reason=reason)
    return replace(
        record,
        digest=record.previous,
        previous=None,
        phase=Phase.STARTING,
        since_us=now_us,
        reason=reason,
        probation=None,
        trial=None,
        refused=_refuse(record, record.digest),
        failing_s=0.0,
        withdrawn=False,
    )


@dataclass(frozen=True, slots=True)
class Look:
    """When and how it is looked at what inference reports."""

    passed_s: float
    """Seconds since the last one."""
    now_us: int
    """Wall clock, Unix microseconds."""
    rollback: RollbackOptions | None
    """None: not known yet; what happens is counted, and judged later."""
    way_back: bool = True
    """The version before is still in the catalogue."""


def watch(record: Deployed, seen: Seen, candidate: Seen, look: Look) -> Deployed:
    """Return the record after a look at what inference reports.

    Args:
        record: As it was.
        seen: Of the model.
        candidate: Of the version that is tried, if any.
        look: When and how.
    """
    if record.withdrawn:
        return record
    # A trial beside a version that is taken back goes with it.
    return _watch_trial(_watch_version(record, seen, look), candidate, seen.crashes)


def go_on_trial(  # noqa: PLR0913 - what was seen, and the rules, named by keyword
    record: Deployed,
    report: ShadowReport,
    *,
    enough: bool,
    passed_s: float,
    options: ShadowOptions,
    objection: str,
    now_us: int,
    promotes: bool = True,
    rate: float | None = None,
) -> Deployed:
    """Return the record after some more of a trial.

    Args:
        record: With a trial under way.
        report: Of the trial so far.
        enough: Every camera has given as many frames as wanted.
        passed_s: Seconds since the last look in which both versions ran.
        options: How long a trial takes.
        objection: Why this report forbids promoting by itself; empty: it does not.
        now_us: Wall clock, Unix microseconds.
        promotes: Versions may still be put in force by rule: a person may have changed that since.
        rate: Frames a second of the model in force. One that was measured beside the candidate
            counts where none was known when it began, as just after a start.
    """
    trial = record.trial
    if trial is None or trial.over:
        return record
    trial = replace(
        trial,
        report=report,
        objection=objection,
        elapsed_s=trial.elapsed_s + passed_s,
        rate_before=rate if trial.rate_before is None else trial.rate_before,
    )
    record = replace(record, trial=trial)
    late = trial.elapsed_s >= options.minutes * 60 and (report.frames > 0 or report.errors > 0)
    if not (enough or late):
        return record
    by_rule = trial.by_rule and promotes
    if by_rule and not objection:
        return promote(record, now_us)
    if by_rule:
        reason = f"version {trial.candidate[:SHORT]} was not put in force: {objection}"
        return replace(
            record,
            trial=replace(trial, over=True),
            reason=reason,
            refused=_refuse(record, trial.candidate),
        )
    return replace(record, trial=replace(trial, over=True))


def _put_in_force(record: Deployed, digest: str, now_us: int, rate: float | None) -> Deployed:
    good = _good_version(record)
    return replace(
        record,
        digest=digest,
        previous=None if good == digest else good,
        phase=Phase.STARTING,
        since_us=now_us,
        reason="",
        trial=None,
        probation=Probation(rate_before=rate),
        refused=tuple(known for known in record.refused if known != digest),
        failing_s=0.0,
        withdrawn=False,
    )


def _good_version(record: Deployed) -> str | None:
    """Return the version that is known to work: one that is still watched is only the second best.

    What fails is none.
    """
    if record.phase is Phase.FAILED or (record.probation is not None and record.previous):
        return record.previous
    return record.digest


def _watch_version(record: Deployed, seen: Seen, look: Look) -> Deployed:
    if record.probation is not None and seen.crashes:
        probation = replace(record.probation, crashes=record.probation.crashes + seen.crashes)
        record = replace(record, probation=probation)
        if probation.crashes >= MOST_CRASHES:
            why = f"the inference service ended {probation.crashes} times since it was put in force"
            return _take_back(record, why, look, stop=True)
    if seen.runs(record.digest):
        return _go_on(record, seen, look)
    failure = seen.failed_at(record.digest)
    return _fail(record, failure, look) if failure else record


def _go_on(record: Deployed, seen: Seen, look: Look) -> Deployed:
    record = replace(record, failing_s=0.0)
    if record.phase in (Phase.STARTING, Phase.FAILED):
        watched = record.probation is not None and record.previous is not None
        return replace(  # what happened until now was the version before
            record,
            phase=Phase.PROBATION if watched else Phase.RUNNING,
            reason="" if record.phase is Phase.FAILED else record.reason,
        )
    if record.probation is None:
        return record
    return _on_probation(record, record.probation, seen, look)


def _fail(record: Deployed, failure: str, look: Look) -> Deployed:
    """Return the record of a version that cannot be loaded."""
    failing_s = min(PATIENCE_S, record.failing_s + look.passed_s)
    ran_well = record.probation is None
    if record.previous is not None and look.way_back and not (ran_well and failing_s < PATIENCE_S):
        return roll_back(record, f"rolled back: it cannot be loaded: {failure}", look.now_us)
    return replace(record, phase=Phase.FAILED, reason=failure, failing_s=failing_s)


def _on_probation(record: Deployed, probation: Probation, seen: Seen, look: Look) -> Deployed:
    probation = replace(
        probation,
        elapsed_s=probation.elapsed_s + look.passed_s,
        errors=probation.errors + seen.errors,
    )
    rules = look.rollback
    if rules is None:
        return replace(record, probation=probation)
    if probation.errors >= rules.errors:
        return _take_back(record, f"it could not look at {probation.errors} frames", look)
    if probation.elapsed_s >= SETTLE_S and seen.rate is not None:
        slow = probation.slow + 1 if _slow(probation, seen, rules) else 0
        probation = replace(probation, slow=slow)
        if slow >= SLOW_LOOKS:
            why = (
                f"too slow for the cameras: it gets through {seen.rate:.1f} frames a second, the "
                f"version before got through {probation.rate_before:.1f}"
            )
            return _take_back(record, why, look)
    if probation.elapsed_s >= rules.minutes * 60:
        return replace(record, phase=Phase.RUNNING, probation=None)
    return replace(record, probation=probation)


def _slow(probation: Probation, seen: Seen, rollback: RollbackOptions) -> bool:
    if probation.rate_before is None or seen.rate is None:
        return False
    # A camera that gives less is not the model's fault.
    expected = min(probation.rate_before, seen.camera_rate)
    return seen.rate < expected * rollback.min_share_of_frames


def _take_back(record: Deployed, why: str, look: Look, *, stop: bool = False) -> Deployed:
    """Roll back; without a version to go back to, let it run on or `stop` it."""
    if record.previous is not None and look.way_back:
        return roll_back(record, f"rolled back: {why}", look.now_us)
    if stop:
        return replace(
            record,
            phase=Phase.FAILED,
            reason=f"stopped: {why}; deploy it again to try once more, or another version",
            probation=None,
            trial=None,
            withdrawn=True,
        )
    reason = f"{why}, and there is no version to go back to"
    return replace(record, phase=Phase.RUNNING, reason=reason, probation=None)


def _watch_trial(record: Deployed, candidate: Seen, crashes: int) -> Deployed:
    trial = record.trial
    if trial is None or trial.over:
        return record
    failure = candidate.failed_at(trial.candidate)
    if failure:
        return end_trial(record, f"the new version cannot be loaded: {failure}", refuse=True)
    trial = replace(trial, crashes=trial.crashes + crashes)
    if trial.crashes >= MOST_CRASHES:
        reason = f"the trial was ended: the inference service ended {trial.crashes} times meanwhile"
        return end_trial(record, reason, refuse=True)
    return replace(record, trial=trial)


def _refuse(record: Deployed, digest: str) -> tuple[str, ...]:
    kept = tuple(known for known in record.refused if known != digest)
    return (*kept, digest)[-REFUSED_KEPT:]
