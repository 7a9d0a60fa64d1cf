"""Composition root: the service, or one of the commands that ask it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from nxai_cloud_sync.adapters.ingestion_http import IngestionHttp
from nxai_cloud_sync.adapters.key_file import KeyFile
from nxai_cloud_sync.adapters.model_catalogue import ModelCatalogue
from nxai_cloud_sync.adapters.model_trial import BusModelTrial
from nxai_cloud_sync.adapters.picture_hash import JpegHasher
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.adapters.state_file import StateFile
from nxai_cloud_sync.adapters.state_lock import state_lock
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.collector import Collector
from nxai_cloud_sync.deployer import RECORDS, Deployer
from nxai_cloud_sync.importer import Importer
from nxai_cloud_sync.linked_project import LINK, LinkedProject
from nxai_cloud_sync.ports import Ingestion, Studio
from nxai_cloud_sync.service import CloudSync, Parts, Presence, Wanted
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_cloud_sync.trainer import TRAINING, Trainer
from nxai_cloud_sync.updates import UpdateWatch
from nxai_cloud_sync.uploader import Uploader
from nxai_common.bus.ports import Bus
from nxai_common.runtime import Beat, Service, run_service

COMMANDS: Final = {
    "link": "link an Edge Impulse project with an API key",
    "show": "say what is linked",
    "unlink": "forget the project and its key; models and pictures stay",
    "pull": "import the newest model of the project",
    "import": "import a model file, or an archive that Edge Impulse built",
    "models": "list the imported versions, and what runs where",
    "rename": "change name or documentation of a version",
    "delete": "delete a version that is not in use",
    "deploy": "let a model run on cameras; a newer version is tried beside the old one first",
    "undeploy": "take a model from cameras",
    "promote": "put the version that was tried in force",
    "end-shadow": "end the trial of a version",
    "roll-back": "put the version before in force again",
    "samples": "list the collected pictures",
    "approve": "let pictures go up",
    "discard": "keep pictures from going up",
    "reopen": "take a decision back",
    "picture": "save a collected picture to look at",
    "upload": "send what was approved to Edge Impulse",
    "retrain": "train the project again (uses compute minutes)",
    "check": "look whether the project has a new model",
    "cancel": "stop a job",
}


class Connection:
    """Opens the two APIs over HTTP; implements `linked_project.Connect`."""

    def studio(self, base: str, key: str) -> Studio:
        """Return the Studio API."""
        return StudioHttp(base, key)

    def ingestion(self, base: str, key: str) -> Ingestion:
        """Return the ingestion API."""
        return IngestionHttp(base, key)


@contextmanager
def build(settings: CloudSyncSettings, bus: Bus, beat: Beat) -> Iterator[Service]:
    """Put the service together."""
    state = settings.state_dir
    with state_lock(state), SqlSamples(state) as samples:
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
                collector=Collector(samples, JpegHasher()),
                deployer=deployer,
                importer=Importer(
                    catalogue, BusModelTrial(bus, inference.any), in_use=deployer.in_use
                ),
                uploader=Uploader(samples, lambda: wanted.configuration, device=settings.device),
                trainer=Trainer(StateFile(state / "training.json", TRAINING)),
                updates=UpdateWatch(catalogue),
                inference=inference,
                wanted=wanted,
            ),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service, or the command that the first word names; return the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments and arguments[0] in COMMANDS:
        from nxai_cloud_sync import cli  # noqa: PLC0415 - the service need not carry it

        return cli.main(arguments, COMMANDS)
    return run_service(CloudSyncSettings, build, arguments, commands=COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
