"""How the engines did on a model, and the answer to who asked for the trial."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from nxai_common.contracts.commands import Reply
from nxai_common.contracts.models import ModelManifest


@dataclass(frozen=True, slots=True)
class EngineTrial:
    """How one engine did."""

    engine: str
    milliseconds: float | None = None
    """Median of one run; None when it could not be built or was left out."""
    reason: str = ""
    """Why it is not used, in plain words; empty for the chosen one and the merely slower one."""


def tried(manifest: ModelManifest, trials: Sequence[EngineTrial], warnings: Sequence[str]) -> Reply:
    """Return the answer about a model that passed: the manifest is attached as JSON.

    `details.trials` is a JSON array of objects with `engine`, `ms` (null: not timed) and `reason`.
    """
    told = [
        {
            "engine": trial.engine,
            "ms": None if trial.milliseconds is None else round(trial.milliseconds, 3),
            "reason": trial.reason,
        }
        for trial in trials
    ]
    return Reply(
        ok=True,
        details={
            "digest": manifest.digest,
            "engine": manifest.engine,
            "engine_ms": manifest.engine_ms,
            "trials": json.dumps(told),
            "warnings": "; ".join(warnings),
        },
        attachment=manifest.model_dump_json().encode(),
    )
