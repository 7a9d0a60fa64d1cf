"""An upload in a process of its own, to be killed: ``python -m support.upload_work FOLDER URL``."""

import sys
from pathlib import Path

from nxai_cloud_sync.adapters.ingestion_http import IngestionHttp
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.uploader import Destination, Uploader, UploadOrder
from nxai_common.contracts.collecting import UploadOptions
from nxai_common.contracts.configuration import CloudSyncCamera, CloudSyncConfiguration
from nxai_common.retry import RetryPolicy

KEY = "ei_" + "0123456789abcdef" * 4
PICTURES_OF_A_REQUEST = 3


class Unstoppable:
    """A job that nobody asks to stop."""

    def step(self, text: str, done: int = 0, total: int | None = 0) -> None:
        del text, done, total

    def wait(self, seconds: float) -> None:
        raise AssertionError(f"it does not go well: told to wait {seconds} s")


def main() -> None:
    """Upload what waits in a folder's store."""
    folder, url = Path(sys.argv[1]), sys.argv[2]
    configuration = CloudSyncConfiguration(
        revision="1",
        cameras=(CloudSyncCamera(id="front"),),
        upload=UploadOptions(batch=PICTURES_OF_A_REQUEST, predictions=False),
    )
    ingestion = IngestionHttp(url, KEY)
    with SqlSamples(folder) as store:
        uploader = Uploader(
            store, lambda: configuration, device="box", retry=RetryPolicy(0.01, 2, 0.1, 0.01)
        )
        uploader.run(UploadOrder(), Unstoppable(), Destination(ingestion))
    ingestion.close()


if __name__ == "__main__":
    main()
