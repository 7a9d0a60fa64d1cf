"""Imported models beside those of settings.json: which can run as cloud-sync asks for it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from nxai_common.contracts.deployments import DeployedModel
from nxai_common.contracts.status import Problem
from nxai_manager.core.document import Settings
from nxai_manager.core.doubt import never_doubtful

SHOWN_CAMERAS: Final = 5
"""Of those that there are not: a line for a person, not a list."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What of the deployments is put in force."""

    models: tuple[DeployedModel, ...] = ()
    """Each with a name of its own, on cameras that there are; without a candidate that has no
    name of its own."""
    problems: tuple[Problem, ...] = ()


NOTHING: Final = Deployed()


def fit(settings: Settings, wanted: Iterable[DeployedModel]) -> Deployed:
    """Return which imported models can run beside the settings, and what a person should know."""
    problems: list[Problem] = []
    models: dict[str, DeployedModel] = {}
    own = {model.id for model in settings.models}
    for deployed in wanted:
        name = deployed.model
        if name in own:
            problems.append(_problem(deployed, _IN_SETTINGS))
        elif name in models:
            problems.append(_problem(deployed, _TWICE))
        else:
            models[name] = deployed
    taken = own | models.keys()
    cameras = {camera.id for camera in settings.cameras}
    for name, deployed in models.items():
        fitted = _without_strangers(deployed, cameras, problems)
        candidate = fitted.candidate_model
        if candidate in taken:
            fitted = fitted.model_copy(update={"candidate": None, "candidate_model": None})
            problems.append(_problem(deployed, _CANDIDATE.format(candidate)))
        elif candidate is not None:
            taken.add(candidate)
        models[name] = fitted
    problems.extend(never_doubtful(settings, models.values()))
    return Deployed(tuple(models.values()), tuple(problems))


def _without_strangers(
    deployed: DeployedModel, cameras: Collection[str], problems: list[Problem]
) -> DeployedModel:
    """Return the model on those of its cameras that there are, each once."""
    strangers = [repr(camera) for camera in deployed.cameras if camera not in cameras]
    if strangers:
        more = len(strangers) - SHOWN_CAMERAS
        shown = ", ".join(strangers[:SHOWN_CAMERAS]) + (f" and {more} more" if more > 0 else "")
        problems.append(_problem(deployed, _STRANGERS.format(shown)))
    known = tuple(dict.fromkeys(camera for camera in deployed.cameras if camera in cameras))
    return deployed.model_copy(update={"cameras": known})


def _problem(deployed: DeployedModel, reason: str) -> Problem:
    return Problem(about=f"model {deployed.model}", reason=reason)


_IN_SETTINGS = (
    "is in settings.json and imported from Edge Impulse as well; the one in settings.json runs. "
    "Remove it there or give it another id, and the imported one runs"
)
_TWICE = "is deployed twice; the first one runs"
_STRANGERS = (
    "is deployed on cameras that are not in settings.json: {}. Add them there, or deploy the "
    "model on others"
)
_CANDIDATE = (
    "its new version cannot be tried: {!r}, the name for it, is that of another model; give that "
    "one another id"
)
