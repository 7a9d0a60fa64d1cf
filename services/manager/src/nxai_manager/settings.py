"""Start-up settings of the manager."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from nxai_common.settings import ServiceSettings

Port = Annotated[int, Field(ge=0, le=65535)]


class ManagerSettings(ServiceSettings):
    """Serves the page, checks settings.json, and publishes it to the services."""

    role: ClassVar[str] = "manager"

    settings: Path = Path("settings.json")
    """The settings file. At the first start, one that runs the demo is written."""
    secrets_dir: Path = Path(".run/secrets")
    """Folder of the cameras' passwords; the same as NXAI_CAPTURE_SECRETS_DIR."""
    output_secrets_dir: Path = Path(".run/output-secrets")
    """Folder of the secrets of outputs; the same as NXAI_PUBLISHER_SECRETS_DIR."""
    state_dir: Path | None = None
    """Folder for accounts, history, the last good settings and deployments; unset: beside the
    settings file."""
    handover_dir: Path | None = None
    """Folder in which cloud-sync finds an API key that was typed into the page; the same as
    NXAI_CLOUD_SYNC_HANDOVER_DIR. Unset: projects are linked by `nxai-cloud-sync link` alone."""
    host: str = "0.0.0.0"  # noqa: S104 - the page is for the whole house; there is no default password
    """Address that the page is served on; 127.0.0.1 for this machine alone."""
    port: Port = 8081
    """Port of the page (HTTP); 0: none."""
    https_port: Port = 0
    """Port of the page over HTTPS, such as 8443; 0: none."""
    mqtt_port: Port = 1883
    """Port at which programs outside find the broker: for the page to name, where it says how."""
    certificate: Path | None = None
    """Certificate chain (PEM) for HTTPS; unset: one is made, which browsers warn of."""
    certificate_key: Path | None = None
    """Private key (PEM) of the certificate."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks (10.0.0.0/8) of reverse proxies that are believed what they say of
    the viewer's address and of HTTPS."""

    @property
    def state_folder(self) -> Path:
        """Where accounts, history and the like are kept."""
        return self.settings.absolute().parent if self.state_dir is None else self.state_dir
