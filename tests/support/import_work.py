"""What a test of importing has done by another process, to kill it there."""

import sys
from pathlib import Path
from typing import Any, Final

from nxai_cloud_sync.adapters.model_catalogue import ModelCatalogue
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.core.catalogue import CatalogueVersion
from nxai_cloud_sync.importer import Importer, Outcome
from nxai_cloud_sync.ports import Link, TrialOutcome
from nxai_common.contracts.commands import ImportModel
from nxai_common.contracts.models import PackageManifest
from support.killed import STEP
from support.models_for_import import Told, digest_of, model_manifest, noise, version

LABELS: Final = PackageManifest(labels=("beer", "can"), threshold=0.5)


def put(
    catalogue: ModelCatalogue,
    number: int = 1,
    manifest: PackageManifest = LABELS,
    *,
    suffix: str = ".tflite",
    size: int = 3000,
    **rest: Any,
) -> CatalogueVersion:
    """Store a version of a made-up model; the same number is the same file."""
    content = noise(number, size)
    made = version(digest_of(content), imported_at_us=number, size=len(content), **rest)
    with catalogue.incoming() as work:
        file = work / f"model{suffix}"
        file.write_bytes(content)
        catalogue.store(file, manifest, made)
        assert not file.exists()
    return made


def store_twice(folder: str, number: int) -> None:
    """Open, store a new version, store it again with another threshold, remove an old one."""
    catalogue = ModelCatalogue(Path(folder))
    catalogue.open()
    put(catalogue, number)
    put(catalogue, number, LABELS.model_copy(update={"threshold": 0.8}), title="again")
    catalogue.prune(1, ())


KEY: Final = "ei_0123456789abcdef0123456789abcdef"


def link(project: int, **rest: Any) -> Link:
    """Return the link to a project of the emulator."""
    about: dict[str, Any] = {
        "name": "Beers vs cans",
        "role": "admin",
        "impulse": 1,
        "learn_block": 3,
        "learn_block_type": "keras-object-detection",
        "learn_block_title": "Object detection",
        "impulse_name": "Impulse #1",
        "studio": "",
        "ingestion": "",
        **rest,
    }
    return Link(project=project, **about)


class AgreeingTrial:
    """Says of each model that it is what was said of it: no test of ours depends on more."""

    def run(self, model: str, digest: str, manifest: PackageManifest) -> TrialOutcome:
        sys.audit(STEP)
        told = model_manifest(digest, model=model, labels=manifest.labels)
        return TrialOutcome(told)


class Auditing(Told):
    """A job whose steps are places to be killed at."""

    def check(self) -> None:
        sys.audit(STEP)


def pull(folder: str, studio: str, project: int) -> Outcome:
    """Open the catalogue and pull; return what came of it."""
    catalogue = ModelCatalogue(Path(folder))
    catalogue.open()
    importer = Importer(catalogue, AgreeingTrial(), in_use=dict)
    api = StudioHttp(studio, KEY)
    try:
        return importer.pull(Auditing(), api, link(project), "float32").outcome
    finally:
        api.close()


def import_archive(folder: str, file: str) -> Outcome:
    """Open the catalogue and import a file; return what came of it."""
    catalogue = ModelCatalogue(Path(folder))
    catalogue.open()
    importer = Importer(catalogue, AgreeingTrial(), in_use=dict)
    path = Path(file)
    return importer.import_file(Auditing(), path, ImportModel(file=path.name)).outcome
