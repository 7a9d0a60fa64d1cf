"""When a result counts as doubtful: which of the rules that may be set holds.

Where nobody set one, inference chooses: it alone knows the model.
"""

from collections.abc import Collection, Iterator

from nxai_common.contracts.configuration import DesiredModel, UncertainRule
from nxai_common.contracts.deployments import DeployedModel
from nxai_common.contracts.status import Problem
from nxai_manager.core.document import Camera, ModelUse, Settings

NEVER = UncertainRule()


def rule_of_use(camera: Camera, use: ModelUse, model: DesiredModel) -> UncertainRule | None:
    """Return the nearest rule that was set for a model of settings.json on a camera."""
    if use.uncertain is not None:
        return use.uncertain
    if "uncertain" in model.model_fields_set:
        return model.uncertain
    return camera.uncertain


def collects_uncertain(camera: Camera) -> bool:
    """Return whether doubtful results of the camera shall be collected."""
    policy = camera.collect
    return policy.enabled and any(s.strategy == "uncertain" for s in policy.strategies)


def never_doubtful(settings: Settings, imported: Collection[DeployedModel]) -> Iterator[Problem]:
    """Yield cameras that shall collect doubtful results, and whose models never give any."""
    own = {model.id: model for model in settings.models}
    for camera in filter(collects_uncertain, settings.cameras):
        rules = [rule_of_use(camera, use, own[use.id]) for use in camera.models]
        if any(camera.id in model.cameras for model in imported):
            rules.append(camera.uncertain)
        if rules and all(rule == NEVER for rule in rules):
            yield Problem(about=f"camera {camera.id}", reason=_NEVER)


_NEVER = (
    'collects no uncertain pictures: the "uncertain" threshold of each of its models is 0, which '
    "means never. Write another one, or leave it out, and one that fits is chosen"
)
