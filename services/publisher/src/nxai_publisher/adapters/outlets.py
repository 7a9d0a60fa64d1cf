"""The way to a destination, by its type."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from nxai_common.contracts.destinations import (
    Destination,
    FileDestination,
    HttpDestination,
    InfluxDestination,
    MqttDestination,
    SocketDestination,
)
from nxai_publisher.adapters.file_destination import FileOutlet
from nxai_publisher.adapters.http_destination import HttpOutlet
from nxai_publisher.adapters.influx_destination import InfluxOutlet
from nxai_publisher.adapters.mqtt_destination import MqttOutlet
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.adapters.socket_destination import SocketOutlet
from nxai_publisher.ports import Outlet


def outlets(
    *,
    device: str,
    secrets: SecretsDirectory,
    files: Path,
    durability: Literal["process-crash", "power-loss"],
) -> Callable[[Destination], Outlet]:
    """Return what opens the way to a destination.

    Args:
        device: Name of the box in the topics.
        secrets: Of passwords and templates.
        files: Folder below which destinations of type `file` write.
        durability: What a file must survive.
    """

    def open_outlet(options: Destination) -> Outlet:
        match options:
            case HttpDestination():
                return HttpOutlet(options, device, secrets)
            case SocketDestination():
                return SocketOutlet(options)
            case FileDestination():
                return FileOutlet(options, files, durability)
            case MqttDestination():
                return MqttOutlet(options, device, secrets)
            case InfluxDestination():
                return InfluxOutlet(options, device, secrets)

    return open_outlet
