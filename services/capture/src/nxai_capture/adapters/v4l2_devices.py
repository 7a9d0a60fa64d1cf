"""Which USB and built-in cameras there are, asked of the drivers (linux/videodev2.h)."""

import errno
import fcntl
import itertools
import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from nxai_capture.adapters.v4l2_source import DEVICES
from nxai_capture.ports import PictureFormat, UsbCamera

Ask = Callable[[int, int, bytes], bytes]
"""As `fcntl.ioctl`: descriptor, request, structure; gives the structure filled in."""

MOST_DEVICES: Final = 64
MOST_FORMATS: Final = 32
MOST_SIZES: Final = 64

_CAPABILITIES: Final = struct.Struct("=16s32s32sIII12x")
_FORMAT: Final = struct.Struct("=III32sII12x")
_SIZE: Final = struct.Struct("=III6I8x")
_QUERYCAP: Final = 0x80685600
_ENUM_FMT: Final = 0xC0405602
_ENUM_FRAMESIZES: Final = 0xC02C564A

_CAN_CAPTURE: Final = 0x1
_TELLS_OF_DEVICE: Final = 0x8000_0000
_PICTURES: Final = 1
_DISCRETE: Final = 1


class UsbSearch:
    """Finds cameras at this machine; implements `nxai_capture.ports.FindOnUsb`.

    Args:
        devices: Where device files are.
        ask: Asks a driver.
    """

    def __init__(self, devices: Path = DEVICES, ask: Ask = fcntl.ioctl) -> None:
        self._devices = devices
        self._ask = ask

    def __call__(self) -> tuple[list[UsbCamera], list[str]]:
        """Return the cameras, by the name that survives unplugging, and what is in the way.

        A camera has further devices, for what is no picture; they are left out.
        """
        stable = {
            link.resolve(): link for link in sorted((self._devices / "v4l" / "by-id").glob("*"))
        }
        found, problems = [], []
        nodes = sorted(self._devices.glob("video*"), key=_number)
        for node in nodes[:MOST_DEVICES]:
            device = str(stable.get(node.resolve(), node))
            try:
                camera = self._look_at(node, device)
            except PermissionError:
                problems.append(
                    f"{device!r} may not be used by this service: add its user to the group video"
                )
            except OSError as error:
                problems.append(f"{device!r} does not tell what it is: {error.strerror}")
            else:
                if camera is not None:
                    found.append(camera)
        return found, problems

    def _look_at(self, node: Path, device: str) -> UsbCamera | None:
        """Return what a device is; None when it gives no pictures."""
        opened = os.open(node, os.O_RDWR | os.O_NONBLOCK)
        try:
            answer = self._ask(opened, _QUERYCAP, bytes(_CAPABILITIES.size))
            _, card, _, _, of_all, of_device = _CAPABILITIES.unpack(answer)
            if not (of_device if of_all & _TELLS_OF_DEVICE else of_all) & _CAN_CAPTURE:
                return None
            return UsbCamera(device, _text(card), tuple(self._formats(opened)))
        finally:
            os.close(opened)

    def _formats(self, opened: int) -> Iterator[PictureFormat]:
        for index in range(MOST_FORMATS):
            asked = _FORMAT.pack(index, _PICTURES, 0, b"", 0, 0)
            answer = self._one_of(opened, _ENUM_FMT, asked)
            if answer is None:
                return
            code = _FORMAT.unpack(answer)[4]
            name = _text(code.to_bytes(4, "little"))
            yield PictureFormat(name, tuple(self._sizes(opened, code)))

    def _sizes(self, opened: int, code: int) -> Iterator[tuple[int, int]]:
        """Yield sizes; of a driver that has all between two, those two."""
        for index in range(MOST_SIZES):
            answer = self._one_of(
                opened, _ENUM_FRAMESIZES, _SIZE.pack(index, code, 0, *itertools.repeat(0, 6))
            )
            if answer is None:
                return
            _, _, kind, *numbers = _SIZE.unpack(answer)
            if kind == _DISCRETE:
                yield numbers[0], numbers[1]
                continue
            least_width, most_width, _, least_height, most_height, _ = numbers
            yield least_width, least_height
            yield most_width, most_height
            return

    def _one_of(self, opened: int, request: int, asked: bytes) -> bytes | None:
        """Return one of a list that a driver tells one by one; None after the last."""
        try:
            return self._ask(opened, request, asked)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return None
            raise


def _number(node: Path) -> tuple[int, str]:
    digits = re.search(r"\d+$", node.name)
    return (int(digits[0]) if digits else 0, node.name)


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode(errors="replace").strip()
