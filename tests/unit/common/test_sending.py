"""What a broker cannot time for test_mqtt_bus.py: a socket that is lost within a flush."""

from types import SimpleNamespace
from typing import cast

import pytest

from nxai_common.bus.lean_paho import LeanClient
from nxai_common.bus.sending import Outgoing, SendQueue
from nxai_common.contracts.base import Policy

pytestmark = pytest.mark.unit


class DyingClient:
    """Loses its socket while it writes the first message, and says so within, as paho does."""

    def __init__(self) -> None:
        self.queue: SendQueue | None = None
        self.written = 0

    def socket(self) -> object:
        return None if self.written else self

    def want_write(self) -> bool:
        return False

    def publish(self, *_args: object, **_options: object) -> SimpleNamespace:
        self.written += 1
        assert self.queue is not None
        self.queue.interrupted()
        return SimpleNamespace(mid=self.written)


def test_a_socket_that_is_lost_within_a_flush_leaves_the_rest_waiting() -> None:
    """Given to paho without a connection, they would wait in its unbounded queue instead."""
    client = DyingClient()
    client.queue = queue = SendQueue(cast(LeanClient, client))
    for number in range(5):
        queue.keep(Outgoing("nxai/v1/box/cameras/front/sample", b"%d" % number, Policy.RELIABLE))
    queue.flush()
    assert client.written == 1
    assert queue.waiting == 4
