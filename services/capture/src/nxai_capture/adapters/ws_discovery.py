"""Calling ONVIF cameras by multicast, on every interface of this machine.

Own code and not the package WSDiscovery: that one reads answers with an XML parser that has no
bounds, and listens to the port of discovery for other services.
"""

import fcntl
import logging
import selectors
import socket
import struct
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from nxai_capture.core.ws_discovery import GROUP, PORT, NetworkCamera, cameras_in, probe
from nxai_common.errors import InvalidPayload

log = logging.getLogger(__name__)

ASK_AT_S: Final = (0.0, 0.3, 1.5)
"""Datagrams get lost, and some cameras answer only when they were woken by the first."""
HOPS: Final = 4
"""Of the questions: across the switches and access points of a site, not beyond."""
LARGEST_DATAGRAM: Final = 65_535
MOST_ANSWERS: Final = 4_000
"""Some hundred cameras, each answering six times."""
MOST_CAMERAS: Final = 500

_SIOCGIFADDR: Final = 0x8915
_NAME_BYTES: Final = 15


class NetworkSearch:
    """Finds cameras on the network; implements `nxai_capture.ports.FindOnNetwork`.

    Args:
        interfaces: Their names; None: all that have an IPv4 address, but the loopback.
    """

    def __init__(self, interfaces: Sequence[str] | None = None) -> None:
        self._interfaces = interfaces

    def __call__(self, seconds: float) -> tuple[list[NetworkCamera], list[str]]:
        """Return who answered within so many seconds, and what a person should know."""
        began = time.monotonic()
        problems: list[str] = []
        found: dict[str, NetworkCamera] = {}
        with ExitStack() as stack, selectors.DefaultSelector() as selector:
            asked = []
            for name, address in self._addresses():
                try:
                    opened = stack.enter_context(_opened(address))
                except OSError as error:
                    problems.append(f"{name} ({address}) cannot be searched: {error.strerror}")
                    continue
                asked.append((name, address, opened))
                selector.register(opened, selectors.EVENT_READ, opened)
            for answer, sender in self._answers(selector, asked, began, seconds, problems):
                try:
                    cameras = cameras_in(answer, sender)
                except InvalidPayload as error:
                    log.info("an answer from %s is not used: %s", sender, error)
                    continue
                for camera in cameras:
                    if len(found) < MOST_CAMERAS:
                        found.setdefault(camera.address, camera)
        if not found:
            where = ", ".join(f"{name} ({address})" for name, address, _ in asked) or "no interface"
            problems.append(
                f"no camera answered on {where}: ONVIF may be switched off in the camera, the "
                "camera be in another network, or this service in a container that multicast does "
                "not leave (network_mode: host lets it). Type the camera's address instead"
            )
        return sorted(found.values(), key=lambda camera: camera.address), problems

    def _answers(
        self,
        selector: selectors.BaseSelector,
        asked: list[tuple[str, str, socket.socket]],
        began: float,
        seconds: float,
        problems: list[str],
    ) -> Iterator[tuple[bytes, str]]:
        """Ask, ask again, and yield what comes and from whom."""
        ask_at = list(ASK_AT_S)
        for _ in range(MOST_ANSWERS):
            events: list[tuple[selectors.SelectorKey, int]] = []
            while not events:
                passed = time.monotonic() - began
                if passed >= seconds:
                    return
                if ask_at and passed >= ask_at[0]:
                    ask_at.pop(0)
                    for name, address, opened in asked:
                        _ask(opened, name, address, problems)
                events = selector.select(min([seconds, *ask_at[:1]]) - passed)
            for key, _ in events:
                answered: socket.socket = key.data
                try:
                    data, sender = answered.recvfrom(LARGEST_DATAGRAM)
                except OSError:  # an answer that somebody could not deliver
                    continue
                yield data, sender[0]

    def _addresses(self) -> list[tuple[str, str]]:
        """Return the interfaces to search, with their address."""
        names = [name for _, name in socket.if_nameindex()]
        wanted = [n for n in names if n != "lo"] if self._interfaces is None else self._interfaces
        addresses = ((name, _address_of(name)) for name in wanted)
        return [(name, address) for name, address in addresses if address is not None]


@contextmanager
def _opened(address: str) -> Iterator[socket.socket]:
    """Give a socket that sends multicast from this address, and hears what answers it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setblocking(False)
        opened.bind((address, 0))
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
        yield opened


def _ask(opened: socket.socket, name: str, address: str, problems: list[str]) -> None:
    try:
        for only_cameras in (True, False):
            question = probe(str(uuid.uuid4()), only_cameras=only_cameras)
            opened.sendto(question, (GROUP, PORT))
    except OSError as error:
        problem = f"{name} ({address}) cannot be searched: {error.strerror}"
        if problem not in problems:
            problems.append(problem)


def _address_of(interface: str) -> str | None:
    """Return the first IPv4 address of an interface."""
    request = struct.pack("256s", interface.encode()[:_NAME_BYTES])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = fcntl.ioctl(asked, _SIOCGIFADDR, request)
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])
