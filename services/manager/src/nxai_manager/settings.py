"""Start-up settings of the manager."""

from pathlib import Path
from typing import ClassVar

from nxai_common.settings import ServiceSettings


class ManagerSettings(ServiceSettings):
    """Reads settings.json, says what is wrong with it, and publishes it to the services."""

    role: ClassVar[str] = "manager"

    settings: Path = Path("settings.json")
    """The settings file. At the first start, one that runs the demo is written."""
    secrets_dir: Path = Path(".run/secrets")
    """Folder of the cameras' passwords; the same as NXAI_CAPTURE_SECRETS_DIR."""
    state_dir: Path | None = None
    """Folder for the last good settings and deployments; unset: beside the settings file."""
