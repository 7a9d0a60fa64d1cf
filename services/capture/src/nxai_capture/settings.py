"""Start-up settings of capture."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from nxai_common.settings import ServiceSettings


class CaptureSettings(ServiceSettings):
    """Settings of capture."""

    role: ClassVar[str] = "capture"

    secrets_dir: Path = Path(".run/secrets")
    """Folder with a file of user and password for each camera that needs one."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 90
    """Of samples, snapshots and previews; 90 cannot be told from the original when labelling."""
