"""Start-up settings of the publisher."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, SecretStr

from nxai_common.settings import ServiceSettings


class PublisherSettings(ServiceSettings):
    """Turns results into MQTT outputs, states and events, logs them, and feeds destinations.

    `nxai-publisher export` and `nxai-publisher counts` read the data logger, `nxai-publisher
    rejected` what destinations refused.
    """

    role: ClassVar[str] = "publisher"

    database_url: SecretStr | None = None
    """Data logger: sqlite:////path/nxai.db or postgresql://USER:PASSWORD@HOST/DATABASE; unset:
    data/nxai.db in the run folder."""
    database_password_file: Path | None = None
    """File that holds the database password (a Docker secret), instead of it being in the URL."""
    durability: Literal["process-crash", "power-loss"] = "process-crash"
    """What an acknowledged result survives in SQLite, and in files of destinations: a crash or
    kill of the service, or also a power cut (an fsync for each commit)."""
    hold_results: Annotated[int, Field(ge=100)] = 10_000
    """Results held unacknowledged at most while the database, or the outbox, takes none."""
    outbox: Path | None = None
    """File of what waits for destinations; unset: data/outbox.db in the run folder."""
    files_dir: Path | None = None
    """Folder below which destinations of type `file` write; unset: data/files in the run
    folder."""
    secrets_dir: Path = Path(".run/output-secrets")
    """Folder of the secrets of destinations: NAME holds the text, or NAME.json holds
    {"value": "...", "hosts": ["..."]}: it goes to these hosts alone."""
    silence_s: PositiveFloat = 10.0
    """A camera without results for so long (or three times its own rhythm) has fallen silent:
    its events end and its counts become zero."""
    configuration_wait_s: Annotated[float, Field(ge=0)] = 5.0
    """Results wait so long for the first configuration after the start; then each camera goes by
    its id."""
