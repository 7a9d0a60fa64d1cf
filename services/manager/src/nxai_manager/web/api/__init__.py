"""The REST interface, one module a noun; each lists its `ENDPOINTS`."""

from nxai_manager.web import live
from nxai_manager.web.api import (
    accounts,
    camera_settings,
    cameras,
    data,
    health,
    models,
    project,
    samples,
    secrets,
    settings,
)
from nxai_manager.web.endpoint import Endpoint


def every_endpoint() -> tuple[Endpoint, ...]:
    """Return all endpoints of the interface."""
    return (
        *accounts.ENDPOINTS,
        *cameras.ENDPOINTS,
        *camera_settings.ENDPOINTS,
        *models.ENDPOINTS,
        *project.ENDPOINTS,
        *samples.ENDPOINTS,
        *data.ENDPOINTS,
        *secrets.ENDPOINTS,
        *settings.ENDPOINTS,
        *health.ENDPOINTS,
        *live.ENDPOINTS,
    )
