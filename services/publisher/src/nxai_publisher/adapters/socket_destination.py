"""A Unix socket that another program listens on: 4 bytes of length (little-endian), then JSON.

Nothing comes back over it. That a message arrived is seen by what the kernel says: all bytes were
read, and the other side did not hang up with any unread.
"""

import contextlib
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Sequence
from typing import Final

from nxai_common.contracts.destinations import MOST_AT_ONCE, SocketDestination
from nxai_publisher.core.entries import Entry, Refused
from nxai_publisher.core.groups import Grouping
from nxai_publisher.ports import DestinationUnavailable, EntriesRefused

LARGEST: Final = 2**32 - 1
"""What four bytes can say."""
FIRST_LOOK_S: Final = 0.00005
LONGEST_LOOK_S: Final = 0.01
"""Between two looks whether the other program has read it."""


class SocketOutlet:
    """Implements the port `Outlet`."""

    def __init__(self, options: SocketDestination) -> None:
        """Prepare; it connects with the first `send`."""
        self._options = options
        self._socket: socket.socket | None = None
        size = 1 if options.gather == "each" else options.batch_size
        if options.gather == "loop":
            size = MOST_AT_ONCE
        patience_s = options.interval_s if options.gather in ("loop", "interval") else 0.0
        self.grouping = Grouping(options.gather, size, patience_s)

    def send(self, entries: Sequence[Entry], /) -> Sequence[Refused]:
        """Send one message, and wait until it was read."""
        if self.grouping.kind == "each":
            message = entries[0].payload
        else:
            message = b"[" + b",".join(entry.payload for entry in entries) + b"]"
        if len(message) > LARGEST:
            raise EntriesRefused(f"{len(message)} bytes are more than its length can say")
        deadline = time.monotonic() + self._options.timeout_s
        frame = struct.pack("<I", len(message)) + message
        kept = self._socket is not None
        try:
            self._hand_over(frame, deadline)
        except OSError as error:
            self.close()
            if not kept or not isinstance(error, BrokenPipeError | ConnectionResetError):
                raise self._unavailable(error) from error
            # It hung up behind the last message, and has not read this one: that is its right.
            try:
                self._hand_over(frame, deadline)
            except OSError as again:
                self.close()
                raise self._unavailable(again) from again
        return ()

    def interrupt(self) -> None:
        """Let a `send` that is under way end soon."""
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _hand_over(self, frame: bytes, deadline: float) -> None:
        connection = self._connected(deadline)
        rest = memoryview(frame)
        while rest:
            connection.settimeout(_left(deadline))
            rest = rest[connection.send(rest) :]
        pause_s = FIRST_LOOK_S
        while _unread(connection):
            time.sleep(min(pause_s, _left(deadline)))
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)
        if _hung_up(connection):
            self.close()

    def _connected(self, deadline: float) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(_left(deadline))
            self._socket.connect(self._options.path)
        return self._socket

    def _unavailable(self, error: OSError) -> DestinationUnavailable:
        return DestinationUnavailable(f"socket {self._options.path}: {_reason(error)}")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _unread(connection: socket.socket) -> int:
    """Return how much the other side has not read yet (in the kernel's own measure)."""
    (size,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
    return int(size)


def _hung_up(connection: socket.socket) -> bool:
    """Tell whether the other side is gone after it read all; what it says is passed over.

    Raises:
        ConnectionResetError: it is gone, and left something unread.
    """
    connection.setblocking(False)
    try:
        while said := connection.recv(4096):
            del said
    except BlockingIOError:
        return False
    return True


def _reason(error: OSError) -> str:
    match error:
        case TimeoutError():
            return "the other program does not read; is it busy, or does it hang?"
        case FileNotFoundError() | ConnectionRefusedError():
            return "nobody listens there; start the other program, check the path"
        case PermissionError():
            return "it may not be used; check its owner and rights"
        case BrokenPipeError() | ConnectionResetError():
            return "the other program hung up before it read everything"
        case _:
            return error.strerror or str(error)
