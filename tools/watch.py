"""Print what the cameras see, one line a second and camera, until Ctrl-C.

12:00:01  demo  3 x bolt, 1 x nut   4.1 ms   15.0 a second
"""

import argparse
import os
import signal
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts.outputs import Detections
from nxai_common.errors import ConfigurationError
from nxai_common.settings import ServiceSettings, describe, load

EVERY_S = 1.0


@dataclass(slots=True)
class Seen:
    """Newest detections of a camera, and how many came since the last line."""

    newest: Detections
    frames: int = 0


class WatchSettings(ServiceSettings):
    """The broker and the account, from the same variables as the services'."""

    role: ClassVar[str] = "watch"


def main() -> int:
    """Connect and print."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog=describe(WatchSettings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lines", type=int, default=0, help="stop after so many (0: never)")
    parser.add_argument("--found", action="store_true", help="only lines with something found")
    arguments = parser.parse_args()
    try:
        settings = load(WatchSettings)
    except ConfigurationError as error:
        sys.exit(str(error))
    password = settings.broker_password
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bus = MqttBus(
        settings.device,
        settings.broker,
        client_id=f"watch-{os.getpid()}",
        username=settings.broker_username,
        password=None if password is None else password.get_secret_value(),
    )
    try:
        with bus, closing(bus.subscribe(Subscription(Detections), volatile=True)) as inbox:
            watch(inbox, arguments.lines, found_only=arguments.found)
    except KeyboardInterrupt:
        pass  # Ctrl-C is how one ends it
    return 0


def watch(inbox: Inbox, lines: int, *, found_only: bool) -> None:
    """Print lines until interrupted, or `lines` of them."""
    printed = 0
    seen: dict[str, Seen] = {}
    due = time.monotonic() + EVERY_S
    while not lines or printed < lines:
        delivery = inbox.receive(max(0.0, due - time.monotonic()))
        if delivery is not None and isinstance(delivery.message, Detections):
            message = delivery.message
            seen.setdefault(message.camera, Seen(message)).frames += 1
            seen[message.camera].newest = message
        if time.monotonic() >= due:
            for camera in sorted(seen):
                if found_only and not seen[camera].newest.count:
                    continue
                print(line(seen[camera]), flush=True)
                printed += 1
            seen.clear()
            due = time.monotonic() + EVERY_S


def line(seen: Seen) -> str:
    """Return one line about one camera."""
    message = seen.newest
    found = (f"{count} x {label}" for label, count in message.counts.items() if count)
    what = ", ".join(found) or "nothing"
    if message.scores:
        best = max(message.scores, key=lambda label: message.scores[label])
        what = f"{best} {message.scores[best]:.0%}"
    clock = message.timestamp.astimezone().strftime("%H:%M:%S")
    return (
        f"{clock}  {message.camera_name or message.camera}  {what:<32} "
        f"{message.latency_ms:5.1f} ms {seen.frames / EVERY_S:5.1f} a second"
    )


if __name__ == "__main__":
    sys.exit(main())
