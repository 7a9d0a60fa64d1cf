"""Starts an RTSP camera (`rtsp_server.py`) for a test, or plays one that only talks."""

import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
"""The one that Debian's python3-gi belongs to; the project's own cannot import it."""

NEEDS = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); "
    "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
    "assert all(map(Gst.ElementFactory.find, ('qtdemux', 'h264parse', 'rtph264pay')))"
)


@contextmanager
def rtsp_camera(
    video: Path, *options: str, user: str | None = None, password: str = ""
) -> Iterator[str]:
    """Serve `video` and give its URL; skip the test where GStreamer's RTSP server is missing."""
    if subprocess.run([SYSTEM_PYTHON, "-c", NEEDS], capture_output=True, check=False).returncode:
        pytest.skip("needs python3-gi, gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-good")
    login = [] if user is None else ["--user", user]
    script = Path(__file__).with_name("rtsp_server.py")
    with subprocess.Popen(
        [SYSTEM_PYTHON, str(script), str(video), *options, *login],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            if user is not None:
                server.stdin.write(password + "\n")
                server.stdin.flush()
            port = server.stdout.readline().strip()
            assert port, "the RTSP server did not start"
            yield f"rtsp://127.0.0.1:{port}/camera"
        finally:
            server.stdin.close()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()


SILENT_H264 = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track\r\n"
)


@contextmanager
def scripted_rtsp_camera(refusals: Mapping[str, int] | None = None) -> Iterator[str]:
    """Give the URL of a camera that agrees to everything and never sends a picture.

    Args:
        refusals: Status by method ("DESCRIBE", "SETUP", "SETUP TCP" ...) of what it refuses.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, refusals or {}))
        thread.start()
        try:
            yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/camera"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _answer(server: socket.socket, refusals: Mapping[str, int]) -> None:
    with suppress(OSError):  # the end of the test
        while True:
            connection, _ = server.accept()
            with suppress(OSError), connection:  # a camera goes on when a viewer hangs up
                _talk(connection, refusals)


def _talk(connection: socket.socket, refusals: Mapping[str, int]) -> None:
    stream = connection.makefile("r", newline="")
    while request := stream.readline():
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.partition(": ")
            headers[name] = value
        method, body, more = request.partition(" ")[0], "", ""
        way = method + (" TCP" if "TCP" in headers.get("Transport", "") else " UDP")
        status = refusals.get(method) or refusals.get(way) or 200
        if status == 200 and method == "DESCRIBE":
            body = SILENT_H264
            more = "Content-Type: application/sdp\r\n"
        if status == 200 and method == "SETUP":
            port = "" if way == "SETUP TCP" else ";server_port=9-10"
            more = f"Transport: {headers['Transport']}{port}\r\n"
        answer = (
            f"RTSP/1.0 {status} Said\r\nCSeq: {headers.get('CSeq')}\r\nSession: 1\r\n"
            f"{more}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        connection.sendall(answer.encode())
