"""Another broker: the same topics below another root."""

import time
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from nxai_common.bus.cloud_events import attributes_by_name
from nxai_common.bus.outside import OutsideBroker, Receipt
from nxai_common.contracts.destinations import MqttDestination
from nxai_common.contracts.topics import ROOT
from nxai_common.errors import BrokerUnavailable, RejectedError
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.core.drafts import KINDS
from nxai_publisher.core.entries import Entry, Refused
from nxai_publisher.core.groups import Grouping
from nxai_publisher.ports import DestinationUnavailable

TOGETHER: Final = 100
"""On their way before the first is acknowledged."""
PATIENCE_S: Final = 10.0
"""For a connection, and for the acknowledgements of what is on its way."""
LOOK_EVERY_S: Final = 0.2
"""Whether the service stops meanwhile."""


class MqttOutlet:
    """Implements the port `Outlet`."""

    def __init__(self, options: MqttDestination, device: str, secrets: SecretsDirectory) -> None:
        """Connect in the background.

        Args:
            options: Which broker, and how.
            device: Name of the box in the topics.
            secrets: Of the password.

        Raises:
            ConfigurationError: its address or its authority cannot be used.
            SecretUnavailable: not now.
        """
        host = urlsplit(options.url).hostname or ""
        secret = options.password_secret
        self._options = options
        self._device = device
        self._qos: Literal[0, 1] = 1 if options.qos else 0
        self._broker = OutsideBroker(
            options.url,
            f"nxai-{device}-{options.id}",
            options.username,
            secrets.read(secret, host) if secret else "",
            certificate=options.certificate,
            authority=options.authority,
        )
        self._interrupted = False
        self._broker.__enter__()
        self.grouping = Grouping("batch", TOGETHER)

    def send(self, entries: Sequence[Entry], /) -> Sequence[Refused]:
        """Publish, and wait for the acknowledgements."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._broker.wait_connected(LOOK_EVERY_S):
            if self._interrupted or time.monotonic() > deadline:
                raise DestinationUnavailable(self._broker.problem)
        sent = [(entry, self._publish(entry)) for entry in entries]
        deadline = time.monotonic() + PATIENCE_S
        refused: list[Refused] = []
        for entry, receipt in sent:
            try:
                receipt.wait(max(0.0, deadline - time.monotonic()))
            except BrokerUnavailable as error:
                raise DestinationUnavailable(str(error)) from error
            except RejectedError as error:
                refused.append(Refused(entry, str(error)))
        return refused

    def interrupt(self) -> None:
        """Let a `send` that is under way end soon."""
        self._interrupted = True
        self._broker.close()

    def close(self) -> None:
        """Say goodbye."""
        self._broker.close()

    def _publish(self, entry: Entry) -> Receipt:
        kind = KINDS[entry.content]
        topic = kind.template.build(self._device, camera=entry.camera)
        return self._broker.publish(
            f"{self._options.root}{topic.removeprefix(ROOT)}",
            entry.payload,
            qos=self._qos,
            retain=kind.policy.retained,
            properties=_attributes(entry, topic),
        )


def _attributes(entry: Entry, topic: str) -> list[tuple[str, str]]:
    """Return what the message has at the broker of this box (CloudEvents)."""
    kind = KINDS[entry.content]
    message = kind.decode(topic, entry.payload)
    return list((attributes_by_name(message, topic, entry.payload) | {"id": entry.id}).items())
