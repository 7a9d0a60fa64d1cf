"""A program that listens on a Unix socket, as those that Nx users write."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class SocketReceiver:
    """What came, and how it behaves."""

    path: Path
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: list[socket.socket] = field(default_factory=list)
    one_each: bool = False
    """It hangs up after each message, as the simplest programs do."""
    says: bytes = b""
    """What it says after each message."""
    hold: threading.Event = field(default_factory=threading.Event)
    """While it is clear, nothing is read."""
    hang_up: threading.Event = field(default_factory=threading.Event)
    """Once it is set, it hangs up with whatever is unread."""


def _serve(connection: socket.socket, receiver: SocketReceiver) -> None:
    receiver.connections += 1
    with connection, suppress(OSError):
        while True:
            while not receiver.hold.wait(0.01):
                if receiver.hang_up.is_set():
                    return
            head = _exactly(connection, 4)
            if not head:
                return
            (size,) = struct.unpack("<I", head)
            receiver.messages.append(_exactly(connection, size))
            if receiver.says:
                connection.sendall(receiver.says)
            if receiver.one_each:
                return


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := connection.recv(size - len(data))):
        data += part
    return data


@contextmanager
def socket_receiver(path: Path) -> Iterator[SocketReceiver]:
    """Listen at a path."""
    receiver = SocketReceiver(path)
    receiver.hold.set()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        threads: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    receiver.open.append(connection)
                    thread = threading.Thread(target=_serve, args=(connection, receiver))
                    thread.start()
                    threads.append(thread)

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield receiver
        finally:
            receiver.hang_up.set()
            receiver.hold.set()
            for connection in receiver.open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            listening.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join()
            path.unlink(missing_ok=True)
