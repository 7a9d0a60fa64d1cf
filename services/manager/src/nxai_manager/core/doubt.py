"""When a result counts as doubtful: which of the rules that may be set holds."""

from typing import Final

from nxai_common.contracts.configuration import DesiredModel, UncertainRule
from nxai_manager.core.document import Camera, ModelUse

UNSURE: Final = 0.6
"""Where nobody set a threshold. The model's best answer is hardly likelier than all others
together; the closed system's 0.8 fires on nearly every edge of an object, its 0.4 lies below what
detectors keep."""
MARGIN: Final = 0.1
"""Above the lowest confidence of a detection: a detector keeps nothing below that, and no
detection would ever be doubtful."""


def rule_of_use(camera: Camera, use: ModelUse, model: DesiredModel) -> UncertainRule:
    """Return the rule for a model of settings.json on a camera: the nearest one that was set."""
    if use.uncertain is not None:
        return use.uncertain
    if "uncertain" in model.model_fields_set:
        return model.uncertain
    return rule_of_camera(camera, model.threshold if use.threshold is None else use.threshold)


def rule_of_camera(camera: Camera, threshold: float | None) -> UncertainRule:
    """Return the rule for a model that has none of its own.

    Args:
        camera: Which it looks at.
        threshold: Lowest confidence of a detection, where it is known.
    """
    if camera.uncertain is not None:
        return camera.uncertain
    if not collects_uncertain(camera):
        return UncertainRule()
    least = 0.0 if threshold is None else round(min(threshold + MARGIN, 1.0), 3)
    return UncertainRule(threshold=max(UNSURE, least))


def collects_uncertain(camera: Camera) -> bool:
    """Return whether doubtful results of the camera shall be collected."""
    policy = camera.collect
    return policy.enabled and any(s.strategy == "uncertain" for s in policy.strategies)
