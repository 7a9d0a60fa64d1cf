"""What is told of deployments: what shall run, and how it goes."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nxai_cloud_sync.core.catalogue import CatalogueVersion, VersionState
from nxai_cloud_sync.core.deploying import Deployed, desired
from nxai_common.contracts.deployments import Deployment, Deployments, Phase, Version

REVISION_CHARACTERS: Final = 12


def desired_state(records: Iterable[Deployed]) -> Deployments:
    """Return what shall run, with a revision that only the content decides."""
    models = desired(records)
    content = json.dumps([model.model_dump(mode="json") for model in models], sort_keys=True)
    revision = hashlib.sha256(content.encode()).hexdigest()[:REVISION_CHARACTERS]
    return Deployments(revision=revision, models=models)


@dataclass(frozen=True, slots=True)
class Around:
    """What else is known where a model is reported."""

    versions: Sequence[CatalogueVersion] = ()
    """Of the catalogue, newest first."""
    runs: str = ""
    """Digest that inference says is in force; empty: it does not say."""
    offered: str = ""
    progress: float = 0.0
    """Of the trial under way."""
    remark: str = ""
    """What the model waits for, where there is no better reason."""


def report_of(record: Deployed, around: Around) -> Deployment:
    """Return how a model goes."""
    versions, trial = around.versions, record.trial
    known = {version.digest for version in versions}
    ready = (v for v in versions if v.model == record.model and v.state is VersionState.READY)
    latest = next(ready, None)
    return Deployment(
        model=record.model,
        name=record.name,
        cameras=record.cameras,
        phase=Phase.SHADOW if record.shadow is not None else record.phase,
        reason=record.reason or around.remark,
        since=datetime.fromtimestamp(record.since_us / 1e6, UTC),
        installed=_shown(around.runs if around.runs in known else record.digest, versions),
        latest=None if latest is None else _shown(latest.digest, versions),
        offered=around.offered,
        candidate=None if trial is None else _shown(trial.candidate, versions),
        progress=0.0 if trial is None else 1.0 if trial.over else around.progress,
        report=None if trial is None else trial.report,
        promotable=trial is not None
        and trial.over
        and trial.candidate != record.digest
        and not trial.objection,
    )


def differ_in_figures_alone(now: Deployment, told: Deployment | None) -> bool:
    """Tell whether nothing is new but how far a trial is and what it counted."""
    if told is None or (now.report is None) != (told.report is None):
        return False
    return now.model_copy(update={"report": told.report, "progress": told.progress}) == told


def _shown(digest: str, versions: Iterable[CatalogueVersion]) -> Version:
    for version in versions:
        if version.digest == digest:
            return Version(
                digest=digest,
                version=version.version,
                created_at=_time(version.origin.created_at),
            )
    return Version(digest=digest)


def _time(text: str) -> datetime | None:
    """Return a time that a server wrote; one without a zone is UTC."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)
