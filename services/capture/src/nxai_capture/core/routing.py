"""Which inputs a camera's pictures are resized to, and for which models."""

from collections.abc import Mapping
from dataclasses import dataclass

from nxai_common.contracts.configuration import CaptureCamera
from nxai_common.contracts.models import InputSpec, ModelManifest


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of input and the models that share its frames."""

    spec: InputSpec
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Routes:
    """All inputs of a camera."""

    inputs: tuple[Route, ...] = ()
    waiting_for: tuple[str, ...] = ()
    """Models that inference does not offer (yet), without those that are only tried."""


def route(camera: CaptureCamera, manifests: Mapping[str, ModelManifest]) -> Routes:
    """Return the distinct inputs of a camera's models, in the order of the models."""
    shared: dict[InputSpec, list[str]] = {}
    missing = []
    for model in camera.models:
        manifest = manifests.get(model)
        if manifest is None:
            if model not in camera.shadows:
                missing.append(model)
            continue
        spec = InputSpec(
            width=manifest.width,
            height=manifest.height,
            channels=manifest.channels,
            resize_mode=camera.resize_mode or manifest.resize_mode,
            resize_quality=camera.resize_quality,
        )
        shared.setdefault(spec, []).append(model)
    return Routes(
        tuple(Route(spec, tuple(models)) for spec, models in shared.items()), tuple(missing)
    )


def same_connection(before: CaptureCamera, after: CaptureCamera) -> bool:
    """Return whether a camera can go on with the connection it has."""
    return (
        before.enabled == after.enabled
        and before.source == after.source
        and before.credentials == after.credentials
        and before.credentials_revision == after.credentials_revision
        and before.watchdog == after.watchdog
    )
