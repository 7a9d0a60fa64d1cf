"""What the service is made of, and what several of these parts look at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from nxai_cloud_sync.collector import Collector
from nxai_cloud_sync.deployer import Deployer
from nxai_cloud_sync.importer import Importer
from nxai_cloud_sync.linked_project import LinkedProject
from nxai_cloud_sync.ports import Catalogue, HandedKey, JobHistory, SampleStore, Thumbnails
from nxai_cloud_sync.trainer import Trainer
from nxai_cloud_sync.updates import UpdateWatch
from nxai_cloud_sync.uploader import Uploader
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.contracts.status import ServiceState, Status

NOT_CONFIGURED: Final = CloudSyncConfiguration(revision="")
"""Nothing is collected, and nothing goes on by itself."""


class Presence:
    """Which processes of a role run now. Read from any thread."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._here: Mapping[str, frozenset[str]] = {}
        """Its models, by process. Never changed, only replaced: other threads read it."""

    def see(self, status: Status) -> None:
        """Take what a process says of itself."""
        if status.role != self._role:
            return
        others = {name: models for name, models in self._here.items() if name != status.service}
        if status.state in (ServiceState.RUNNING, ServiceState.DEGRADED):
            others[status.service] = frozenset(model.model for model in status.models)
        self._here = others

    def any(self) -> bool:
        """Tell whether one does."""
        return bool(self._here)

    def models(self) -> frozenset[str]:
        """Return the names of all models that they run."""
        return frozenset().union(*self._here.values())


@dataclass(slots=True)
class Wanted:
    """The configuration in force. Replaced as a whole; read from any thread."""

    configuration: CloudSyncConfiguration = NOT_CONFIGURED

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of all cameras."""
        return tuple(camera.id for camera in self.configuration.cameras)

    @property
    def artefact(self) -> str:
        """Which of a model's files is fetched."""
        return self.configuration.updates.artefact

    @property
    def known(self) -> bool:
        """Whether there is a configuration: what may run by itself is not known before."""
        return bool(self.configuration.revision)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of."""

    project: LinkedProject
    catalogue: Catalogue
    samples: SampleStore
    thumbnails: Thumbnails
    history: JobHistory
    handed_key: HandedKey
    collector: Collector
    deployer: Deployer
    importer: Importer
    uploader: Uploader
    trainer: Trainer
    updates: UpdateWatch
    inference: Presence
    wanted: Wanted
    claim: Callable[[], None]
    """Keeps other processes out of the state folder, once and for all.

    Raises ConfigurationError where another one is in there, StorageUnavailable where the disk
    does not do: it is asked again then.
    """
