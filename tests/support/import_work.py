"""What a test of importing has done by another process, to kill it there."""

from pathlib import Path
from typing import Any, Final

from nxai_cloud_sync.adapters.model_catalogue import ModelCatalogue
from nxai_cloud_sync.core.catalogue import CatalogueVersion
from nxai_common.contracts.models import PackageManifest
from support.models_for_import import digest_of, noise, version

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
