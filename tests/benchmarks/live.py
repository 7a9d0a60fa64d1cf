"""A publisher that runs, and results that come to it while something else is measured."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nxai_common.bus.mqtt import MqttBus
from support.broker import Broker
from support.results import detection, result

CAMERAS: Final = ("belt", "gate", "hall", "yard")
PER_S: Final = 60
"""Results a second, of all cameras."""


@contextmanager
def publisher_process(broker: Broker, run: Path, **environment: str) -> Iterator[None]:
    """Run a publisher; it stops at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nxai_publisher"],
        env={
            **os.environ,  # noqa: TID251 - a child process needs PATH and the like
            **broker.environment,
            "NXAI_RUN_DIR": str(run),
            "NXAI_HEARTBEAT_S": "0.5",
            "NXAI_LOG_LEVEL": "warning",
            **environment,
        },
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextmanager
def results_come(sender: MqttBus, first: int = 0) -> Iterator[list[int]]:
    """Send results of now, `PER_S`; yield the list of those that were sent.

    Args:
        sender: Connected.
        first: Sequence number of the first frame of each camera.
    """
    sent: list[int] = []
    ended = threading.Event()
    found = [detection("nut", 0.8), detection("bolt", 0.7)]

    def send() -> None:
        began = time.monotonic()
        while not ended.wait(max(0.0, began + len(sent) / PER_S - time.monotonic())):
            number = len(sent)
            sender.publish(
                result(
                    first + number // len(CAMERAS),
                    found[: number % 3],
                    camera=CAMERAS[number % len(CAMERAS)],
                    model="m5",
                    stream="live",
                    captured_at_us=time.time_ns() // 1000,
                )
            )
            sent.append(number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()
