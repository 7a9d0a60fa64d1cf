"""One harness for both buses, so that one promise suite can run over them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.mqtt import MqttBus
from nxai_common.contracts.base import Policy
from support.broker import Broker
from support.waiting import wait_for

DEVICE = "box"


class World(Protocol):
    """A broker that can be away, and buses on it."""

    name: str

    def bus(self, name: str) -> MqttBus | MemoryBus:
        """Return a connected bus; closed with the world."""
        ...

    def go_away(self) -> None:
        """Take the broker away; every bus has noticed when this returns."""
        ...

    def come_back(self, *, empty: bool = False) -> None:
        """Bring the broker back; every bus is connected when this returns."""
        ...

    def send_raw(self, topic: str, payload: bytes, *, qos: int = 0) -> None:
        """Send bytes that no contract made."""
        ...


class MemoryWorld:
    """`MemoryBus` over `MemoryBroker`."""

    name = "memory"

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._broker = MemoryBroker()

    def bus(self, name: str) -> MemoryBus:
        del name
        return self._stack.enter_context(MemoryBus(self._broker, DEVICE))

    def go_away(self) -> None:
        self._broker.stop()

    def come_back(self, *, empty: bool = False) -> None:
        self._broker.start(empty=empty)

    def send_raw(self, topic: str, payload: bytes, *, qos: int = 0) -> None:
        policy = Policy.RELIABLE if qos else Policy.STREAM
        self._broker.send_raw(topic, payload, policy)


class MqttWorld:
    """`MqttBus` over a real Mosquitto."""

    name = "mqtt"

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.broker = stack.enter_context(Broker(folder))
        self._buses: list[MqttBus] = []

    def bus(self, name: str) -> MqttBus:
        bus = self._stack.enter_context(self.broker.bus(name, DEVICE))
        wait_for(lambda: bus.connected, 10, f"{name} connects")
        self._buses.append(bus)
        return bus

    def go_away(self) -> None:
        self.broker.stop()
        wait_for(lambda: not any(bus.connected for bus in self._buses), 10, "all have noticed")

    def come_back(self, *, empty: bool = False) -> None:
        if empty:
            for store in self.broker.folder.glob("*.db"):
                store.unlink()
        self.broker.start()
        wait_for(lambda: all(bus.connected for bus in self._buses), 20, "all are back")

    def send_raw(self, topic: str, payload: bytes, *, qos: int = 0) -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.username_pw_set(self.broker.username, self.broker.password)
        client.connect(self.broker.host, self.broker.port)
        client.loop_start()
        client.publish(topic, payload, qos=qos).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()


@contextmanager
def open_world(kind: str, folder: Path) -> Iterator[MemoryWorld | MqttWorld]:
    """Open the world of that name."""
    with ExitStack() as stack:
        yield MemoryWorld(stack) if kind == "memory" else MqttWorld(stack, folder)
