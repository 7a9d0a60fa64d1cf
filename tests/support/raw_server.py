"""A TCP server that says what a test wants, also what no HTTP server would."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

Talk = Callable[[socket.socket, threading.Event], None]
"""Gets each connection, and an event that is set when the test is over."""


@contextlib.contextmanager
def raw_server(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, int]]:
    """Serve until the end of the block; yield host and port."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if tls is not None:
                connection = stack.enter_context(tls.wrap_socket(connection, server_side=True))
            talk(connection, over)

    def accept(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not over.is_set():
                connection, _ = listening.accept()
                connection.settimeout(30)
                thread = threading.Thread(target=serve, args=(connection,))
                thread.start()
                threads.append(thread)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        acceptor = threading.Thread(target=accept, args=(listening,))
        acceptor.start()
        try:
            yield host, port
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join()


def say(text: bytes, *, every_s: float = 0.0, at_once: int = 1 << 20) -> Talk:
    """Read some of the request, then say this, a few bytes at a time; then close."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(1 << 16)
        for at in range(0, len(text), at_once):
            connection.sendall(text[at : at + at_once])
            if every_s and over.wait(every_s):
                return

    return talk


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return what a server of 127.0.0.1 needs for TLS, and its certificate that nobody trusts."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
