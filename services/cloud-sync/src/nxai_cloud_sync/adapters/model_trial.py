"""Has models tested by the inference service, over the bus."""

from collections.abc import Callable
from typing import Final

from pydantic import TypeAdapter, ValidationError

from nxai_cloud_sync.ports import TrialOutcome, TrialUnanswered
from nxai_common.bus.ports import Bus
from nxai_common.contracts.base import Value, explain
from nxai_common.contracts.commands import BUSY, TryModel
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import CATALOGUE, ModelManifest, PackageManifest
from nxai_common.errors import BrokerUnavailable, RejectedError

TIMEOUT_S: Final = 120.0
"""To convert, test and time a large model on a small board takes a minute; it may wait for another
one before."""


class _Trial(Value):
    """One of `details.trials` (JSON)."""

    engine: str
    ms: float | None = None


_TRIALS: Final = TypeAdapter(tuple[_Trial, ...])


class BusModelTrial:
    """Implements `ports.ModelTrial`."""

    def __init__(self, bus: Bus, running: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Prepare.

        Args:
            bus: Open.
            running: Whether the inference service said that it runs; else nobody is asked.
            timeout_s: How long an answer is waited for.
        """
        self._bus = bus
        self._running = running
        self._timeout_s = timeout_s

    def run(self, model: str, digest: str, manifest: PackageManifest) -> TrialOutcome:
        """Ask for a test; see `ports.ModelTrial`."""
        if not self._running():
            raise BrokerUnavailable(
                "the inference service does not run; models are tested when it does"
            )
        desired = DesiredModel(
            id=model,
            path=f"{CATALOGUE}{digest}",
            digest=digest,
            name=manifest.name or None,
            labels=manifest.labels,
            task=manifest.task,
            resize_mode=manifest.resize_mode,
            input_scaling=manifest.input_scaling,
            threshold=manifest.threshold,
            nms_iou=manifest.nms_iou,
        )
        try:
            reply = self._bus.request(TryModel(desired=desired), self._timeout_s)
        except BrokerUnavailable as error:
            if not (self._bus.connected and self._running()):
                raise
            raise TrialUnanswered(
                f"the inference service did not say within {self._timeout_s:.0f} s whether it can "
                "run the model"
            ) from error
        if reply.details.get(BUSY):
            raise BrokerUnavailable(reply.reason)
        if not reply.ok:
            raise RejectedError(reply.reason or "the inference service refused it without a reason")
        try:
            tested = ModelManifest.model_validate_json(bytes(reply.attachment))
            trials = _TRIALS.validate_json(str(reply.details.get("trials") or "[]"))
        except ValidationError as error:
            raise TrialUnanswered(
                f"the answer of the inference service cannot be read: {explain(error)}; see that "
                "both services are of one version"
            ) from error
        warnings = str(reply.details.get("warnings") or "")
        return TrialOutcome(
            tested,
            tuple((trial.engine, trial.ms) for trial in trials if trial.ms is not None),
            (warnings,) if warnings else (),
        )
