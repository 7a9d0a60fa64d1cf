"""Starts an RTSP camera (`rtsp_server.py`) for a test."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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
