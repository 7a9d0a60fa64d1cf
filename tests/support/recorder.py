"""Everything that a program outside hears, in order and with nothing left out.

`MqttBus` skips to the newest of what is state; a plain subscriber gets every one.
"""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from nxai_common.contracts.base import Message
from nxai_common.contracts.topics import ROOT

TIMEOUT_S = 10.0


class Recorder:
    """A plain MQTT 5 client that keeps all messages of some kinds."""

    def __init__(
        self, port: int, username: str, password: str, kinds: Sequence[type[Message]]
    ) -> None:
        self._port = port
        self._kinds = kinds
        self._refused: list[str] = []
        self._messages: list[Message] = []
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._paho = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._paho.username_pw_set(username, password)
        self._paho.on_message = lambda _c, _u, message: self._take(
            message.topic, bytes(message.payload)
        )
        self._paho.on_subscribe = lambda _c, _u, _mid, reasons, _p: self._subscribed(reasons)

    def __enter__(self) -> Self:
        self._paho.connect("127.0.0.1", self._port)
        self._paho.loop_start()
        filters = [f"{ROOT}/+/{kind.filter('box').split('/', 3)[3]}" for kind in self._kinds]
        self._paho.subscribe([(text, SubscribeOptions(qos=1)) for text in filters])
        assert self._ready.wait(TIMEOUT_S), "the broker does not answer"
        assert not self._refused, self._refused
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()

    def messages(self) -> list[Message]:
        """Return all so far."""
        with self._lock:
            return list(self._messages)

    def up_to_now(self) -> list[Message]:
        """Return all that the broker has given to anybody by now.

        Its answer to a question comes behind what it gave before.
        """
        answered = threading.Event()
        self._paho.on_unsubscribe = lambda *_: answered.set()
        self._paho.unsubscribe("nothing/like/this")
        assert answered.wait(TIMEOUT_S), "the broker does not answer"
        return self.messages()

    def _subscribed(self, reasons: Sequence[ReasonCode]) -> None:
        self._refused = [str(reason) for reason in reasons if reason.is_failure]
        self._ready.set()

    def _take(self, topic: str, payload: bytes) -> None:
        kind = next(kind for kind in self._kinds if kind.template.parse(topic) is not None)
        if not payload:  # what was retained is cleared
            return
        message = kind.decode(topic, payload)
        with self._lock:
            self._messages.append(message)
