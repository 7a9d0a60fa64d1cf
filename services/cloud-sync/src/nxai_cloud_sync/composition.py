"""Puts the service together; apart from `__main__`, so that a command need not load all of it.

The database and the HTTP client alone take a small board seconds to load.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nxai_cloud_sync.adapters.ingestion_http import IngestionHttp
from nxai_cloud_sync.adapters.key_file import KeyFile
from nxai_cloud_sync.adapters.key_handover import KeyHandover
from nxai_cloud_sync.adapters.model_catalogue import ModelCatalogue
from nxai_cloud_sync.adapters.model_trial import BusModelTrial
from nxai_cloud_sync.adapters.picture_hash import JpegHasher
from nxai_cloud_sync.adapters.sql_jobs import SqlJobs
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.adapters.state_file import StateFile
from nxai_cloud_sync.adapters.state_lock import state_lock
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.adapters.thumbnails import PillowThumbnails
from nxai_cloud_sync.collector import Collector
from nxai_cloud_sync.deployer import RECORDS, Deployer
from nxai_cloud_sync.importer import Importer
from nxai_cloud_sync.linked_project import LINK, LinkedProject
from nxai_cloud_sync.parts import Parts, Presence, Wanted
from nxai_cloud_sync.ports import Ingestion, StorageUnavailable, Studio
from nxai_cloud_sync.service import CloudSync
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_cloud_sync.trainer import TRAINING, Trainer
from nxai_cloud_sync.updates import UpdateWatch
from nxai_cloud_sync.uploader import Uploader
from nxai_common.bus.ports import Bus
from nxai_common.runtime import Beat, Service


class Connection:
    """Opens the two APIs over HTTP; implements `linked_project.Connect`."""

    def studio(self, base: str, key: str) -> Studio:
        """Return the Studio API."""
        return StudioHttp(base, key)

    def ingestion(self, base: str, key: str) -> Ingestion:
        """Return the ingestion API."""
        return IngestionHttp(base, key)


class Claim:
    """Keeps other processes out of a folder: to the end, once it could be done."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        self._folder = folder
        self._held = held
        self._taken = False

    def __call__(self) -> None:
        """Take it, unless it is taken.

        Raises:
            ConfigurationError: another process works there.
            StorageUnavailable: the folder cannot be used now.
        """
        if not self._taken:
            self._held.enter_context(state_lock(self._folder))
            self._taken = True


@contextmanager
def build(settings: CloudSyncSettings, bus: Bus, beat: Beat) -> Iterator[Service]:
    """Put the service together."""
    state = settings.state_dir
    with ExitStack() as held:
        claim = Claim(state, held)
        with suppress(StorageUnavailable):  # the service tries again, and tells
            claim()
        samples = held.enter_context(SqlSamples(state))
        catalogue = ModelCatalogue(settings.catalogue_dir)
        inference = Presence(settings.inference)
        wanted = Wanted()
        deployer = Deployer(bus, StateFile(state / "deployments.json", RECORDS), catalogue)
        yield CloudSync(
            settings,
            bus,
            beat,
            Parts(
                project=LinkedProject(
                    StateFile(state / "link.json", LINK),
                    KeyFile(settings.key_path, read_only=settings.key_file is not None),
                    Connection(),
                    studio=settings.studio,
                    ingestion=settings.ingestion,
                ),
                catalogue=catalogue,
                samples=samples,
                thumbnails=PillowThumbnails(),
                history=SqlJobs(samples.database),
                handed_key=KeyHandover(settings.handover_path),
                collector=Collector(samples, JpegHasher()),
                deployer=deployer,
                importer=Importer(
                    catalogue,
                    BusModelTrial(bus, inference.any),
                    # What runs and was not deployed from here is a model of settings.json.
                    names=lambda: inference.models() - set(deployer.names),
                    in_use=deployer.in_use,
                ),
                uploader=Uploader(samples, lambda: wanted.configuration, device=settings.device),
                trainer=Trainer(StateFile(state / "training.json", TRAINING)),
                updates=UpdateWatch(catalogue),
                inference=inference,
                wanted=wanted,
                claim=claim,
            ),
        )
