"""Start-up settings of cloud-sync."""

from pathlib import Path
from typing import ClassVar

from nxai_common.settings import ServiceSettings


class CloudSyncSettings(ServiceSettings):
    """Brings models from Edge Impulse, keeps doubtful pictures and sends them there."""

    role: ClassVar[str] = "cloud-sync"
    receive_maximum: ClassVar[int] = 16
    """Pictures of 1 MB each that wait for the disk; the broker keeps the others."""

    state_dir: Path = Path(".run/cloud-sync")
    """Folder of the database, the collected pictures and the files that are to be imported."""
    catalogue_dir: Path = Path("catalogue")
    """Folder of the imported models; the inference service reads it, too
    (`NXAI_INFERENCE_CATALOGUE_DIR`)."""
    key_file: Path | None = None
    """File that holds the Edge Impulse API key (a Docker secret); unset: `edge-impulse-key` in the
    state folder, which `nxai-cloud-sync link` writes."""
    handover_dir: Path | None = None
    """Folder that is shared with the manager, which leaves an API key there that was typed on its
    page (mode 0600); it is taken when a project is linked. Unset: `handover` in the state
    folder."""
    studio: str = "https://studio.edgeimpulse.com/v1"
    """Base URL of the Studio API, for projects linked without another one."""
    ingestion: str = "https://ingestion.edgeimpulse.com"
    """Base URL of the ingestion API, for projects linked without another one."""
    inference: str = "inference"
    """Role of the service that tests models: its status and its `try` command."""

    @property
    def key_path(self) -> Path:
        """Where the API key lies."""
        return self.key_file or self.state_dir / "edge-impulse-key"

    @property
    def handover_path(self) -> Path:
        """Folder in which the manager leaves an API key."""
        return self.handover_dir or self.state_dir / "handover"

    @property
    def incoming_dir(self) -> Path:
        """Where files to be imported are put."""
        return self.state_dir / "incoming"
