"""What becomes of a deployed model: put in force, tried, promoted, watched, rolled back.

Each function takes a record and returns the next one; nothing here waits or writes. Times are
sums of seconds that passed while the service ran, so that neither a restart nor a wrong clock
ends a trial or a probation.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from nxai_common.contracts.collecting import RollbackOptions, ShadowOptions
from nxai_common.contracts.deployments import Phase, ShadowReport
from nxai_common.contracts.models import CATALOGUE

REFUSED_KEPT: Final = 20
"""Versions of a model that are not tried again by themselves; older ones are long pruned."""
SETTLE_S: Final = 15.0
"""After a swap the rate of frames is measured from here on: three heartbeats of inference."""
SLOW_LOOKS: Final = 2
"""Measurements in a row that must be too slow: one may be a hiccup of the box."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A shadow run."""

    candidate: str
    """Digest of the version that is tried."""
    by_rule: bool = False
    """Promoted by itself when the outcome allows it."""
    elapsed_s: float = 0.0
    over: bool = False
    """Seen enough; the candidate does not run any more and can be promoted."""
    rate_before: float | None = None
    """Frames a second that the model in force got through when it began."""
    report: ShadowReport = field(default_factory=ShadowReport)
    objection: str = ""
    """Why it is not promoted by itself."""


@dataclass(frozen=True, slots=True)
class Probation:
    """The time after a promotion."""

    elapsed_s: float = 0.0
    errors_before: int | None = None
    """Of the model's counter when it was put in force."""
    rate_before: float | None = None
    slow: int = 0
    """Measurements in a row that were too slow."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """One deployed model."""

    model: str
    name: str
    cameras: tuple[str, ...]
    digest: str
    """The version that shall be in force."""
    since_us: int
    phase: Phase = Phase.STARTING
    reason: str = ""
    threshold: float | None = None
    previous: str | None = None
    """The last version that was good: where a roll-back leads."""
    trial: Trial | None = None
    probation: Probation | None = None
    refused: tuple[str, ...] = ()
    """Digests that failed here; never taken up again by themselves."""

    @property
    def shadow(self) -> str | None:
        """Digest of the version that runs beside it now."""
        return None if self.trial is None or self.trial.over else self.trial.candidate


@dataclass(frozen=True, slots=True)
class Seen:
    """What inference reports of a model, over all workers."""

    wanted: str = ""
    failed: str = ""
    path: str = ""
    errors: int = 0
    rate: float | None = None
    """Frames a second since the measurement before; None: nothing new was measured."""
    camera_rate: float | None = None
    """Pictures a second that its cameras give."""

    def runs(self, digest: str) -> bool:
        """Tell whether a version is in force."""
        return self.path == CATALOGUE + digest

    def failed_at(self, digest: str) -> str:
        """Return why a version could not be loaded; empty: it was not tried or did not fail."""
        return self.failed if self.wanted == CATALOGUE + digest else ""


def candidate_name(model: str, digest: str) -> str:
    """Return the name under which a candidate runs: another level beside the model's own."""
    return f"{model[:48]}-try-{digest[:8]}"


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
        return replace(record, trial=None, reason="")
    if at_once or record.phase is Phase.FAILED:  # nothing runs that could be compared with
        return _put_in_force(record, digest, now_us, rate)
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
    )


def watch(
    record: Deployed,
    seen: Seen,
    candidate: Seen,
    *,
    passed_s: float,
    now_us: int,
    rollback: RollbackOptions,
) -> Deployed:
    """Return the record after a look at what inference reports.

    Args:
        record: As it was.
        seen: Of the model.
        candidate: Of the version that is tried, if any.
        passed_s: Seconds since the last look.
        now_us: Wall clock, Unix microseconds.
        rollback: Rules of the probation.
    """
    failure = seen.failed_at(record.digest)
    if failure and record.phase is not Phase.FAILED:
        if record.previous is not None:
            return roll_back(record, f"rolled back: it cannot be loaded: {failure}", now_us)
        if not seen.runs(record.digest):
            return replace(record, phase=Phase.FAILED, reason=failure)
    if seen.runs(record.digest) and record.phase in (Phase.STARTING, Phase.FAILED):
        record = replace(
            record,
            phase=Phase.RUNNING if record.probation is None else Phase.PROBATION,
            reason="" if record.phase is Phase.FAILED else record.reason,
        )
    if record.phase is Phase.PROBATION:
        record = _on_probation(record, seen, passed_s, now_us, rollback)
    failure = "" if record.shadow is None else candidate.failed_at(record.shadow)
    if failure:
        record = end_trial(record, f"the new version cannot be loaded: {failure}", refuse=True)
    return record


def go_on_trial(
    record: Deployed,
    report: ShadowReport,
    *,
    enough: bool,
    passed_s: float,
    options: ShadowOptions,
    objection: str,
    now_us: int,
) -> Deployed:
    """Return the record after some more of a trial.

    Args:
        record: With a trial under way.
        report: Of the trial so far.
        enough: Every camera has given as many frames as wanted.
        passed_s: Seconds since the last look.
        options: How long a trial takes.
        objection: Why this report forbids promoting by itself; empty: it does not.
        now_us: Wall clock, Unix microseconds.
    """
    trial = record.trial
    if trial is None or trial.over:
        return record
    trial = replace(trial, report=report, objection=objection, elapsed_s=trial.elapsed_s + passed_s)
    record = replace(record, trial=trial)
    late = trial.elapsed_s >= options.minutes * 60 and report.frames > 0
    if not (enough or late):
        return record
    if trial.by_rule and not objection:
        return promote(record, now_us)
    if trial.by_rule:
        reason = f"version {trial.candidate[:12]} was not put in force: {objection}"
        return replace(
            record,
            trial=replace(trial, over=True),
            reason=reason,
            refused=_refuse(record, trial.candidate),
        )
    return replace(record, trial=replace(trial, over=True))


def _put_in_force(record: Deployed, digest: str, now_us: int, rate: float | None) -> Deployed:
    good = record.previous if record.phase is Phase.FAILED else record.digest
    return replace(
        record,
        digest=digest,
        previous=good,
        phase=Phase.STARTING,
        since_us=now_us,
        reason="",
        trial=None,
        probation=Probation(rate_before=rate),
    )


def _on_probation(
    record: Deployed, seen: Seen, passed_s: float, now_us: int, rollback: RollbackOptions
) -> Deployed:
    probation = record.probation or Probation()
    errors_before = seen.errors if probation.errors_before is None else probation.errors_before
    probation = replace(
        probation,
        elapsed_s=probation.elapsed_s + passed_s,
        # A worker that was started again counts from zero.
        errors_before=min(errors_before, seen.errors),
    )
    errors = seen.errors - min(errors_before, seen.errors)
    if errors >= rollback.errors:
        return roll_back(record, f"rolled back: it could not look at {errors} frames", now_us)
    if probation.elapsed_s >= SETTLE_S and seen.rate is not None:
        slow = probation.slow + 1 if _slow(probation, seen, rollback) else 0
        probation = replace(probation, slow=slow)
        if slow >= SLOW_LOOKS:
            return roll_back(
                record,
                f"rolled back: too slow for the cameras: it gets through {seen.rate:.1f} frames a "
                f"second, the version before got through {probation.rate_before:.1f}",
                now_us,
            )
    if probation.elapsed_s >= rollback.minutes * 60:
        return replace(record, phase=Phase.RUNNING, probation=None)
    return replace(record, probation=probation)


def _slow(probation: Probation, seen: Seen, rollback: RollbackOptions) -> bool:
    if probation.rate_before is None or seen.rate is None:
        return False
    expected = probation.rate_before
    if seen.camera_rate is not None:  # a camera that gives less is not the model's fault
        expected = min(expected, seen.camera_rate)
    return seen.rate < expected * rollback.min_share_of_frames


def _refuse(record: Deployed, digest: str) -> tuple[str, ...]:
    kept = tuple(known for known in record.refused if known != digest)
    return (*kept, digest)[-REFUSED_KEPT:]
