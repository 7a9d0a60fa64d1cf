"""A collector at a broker, until it is killed: ``python -m support.collecting_process``."""

import sys
from pathlib import Path

from nxai_cloud_sync.adapters.picture_hash import JpegHasher
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.collector import Collector
from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.collecting import CollectPolicy, Quotas, SampleLimits
from nxai_common.contracts.configuration import CloudSyncCamera, CloudSyncConfiguration
from nxai_common.contracts.samples import Sample

KEEP_ALL = CollectPolicy(
    enabled=True,
    min_gap_s=0,
    quotas=Quotas(per_minute=0, per_hour=0, per_day=0, label_per_day=0),
    near_duplicate_bits=0,
)
WINDOW = 16
"""As `CloudSyncSettings.receive_maximum`."""


def main(folder: str, url: str, username: str, password: str) -> None:
    """Collect all that comes."""
    bus = MqttBus("box", url, "collector", username, password, receive_maximum=WINDOW)
    with bus, SqlSamples(Path(folder)) as store, Collector(store, JpegHasher()) as collector:
        collector.configure(
            CloudSyncConfiguration(
                revision="1",
                cameras=(CloudSyncCamera(id="front", collect=KEEP_ALL),),
                limits=SampleLimits(keep_days=36_500),
            )
        )
        inbox = bus.subscribe(Subscription(Sample))
        sys.stdout.write("collecting\n")
        sys.stdout.flush()
        while True:
            delivery = inbox.receive()
            if delivery is not None:
                collector.offer(delivery)


if __name__ == "__main__":
    main(*sys.argv[1:])
