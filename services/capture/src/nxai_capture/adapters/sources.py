"""The one place that knows which adapter reads which kind of camera."""

import threading
from dataclasses import dataclass, field
from typing import assert_never

from nxai_capture.adapters import push_source
from nxai_capture.adapters.demo_source import DemoCamera
from nxai_capture.adapters.file_source import VideoFileSource
from nxai_capture.adapters.folder_source import PictureFolderSource
from nxai_capture.adapters.live_source import Connection, LiveSource
from nxai_capture.adapters.mjpeg_source import MjpegConnection
from nxai_capture.adapters.push_source import NewestPushed
from nxai_capture.adapters.rtsp_source import RtspConnection, TransportMemory
from nxai_capture.adapters.still_source import StillConnection
from nxai_capture.adapters.system_clock import SystemClock, WaitingClock
from nxai_capture.adapters.v4l2_source import V4l2Connection
from nxai_capture.ports import Credentials, Source
from nxai_capture.stuck import StuckThreads
from nxai_common.contracts.configuration import (
    CaptureCamera,
    DemoSource,
    FileSource,
    FolderSource,
    MjpegSource,
    PushSource,
    RtspSource,
    StillSource,
    V4l2Source,
)


@dataclass(slots=True)
class _Memory:
    """What is remembered of a camera over reconnects."""

    address: str
    stuck: StuckThreads = field(default_factory=StuckThreads)
    transports: TransportMemory = field(default_factory=TransportMemory)
    pushed: NewestPushed = field(default_factory=NewestPushed)


class Sources:
    """Opens cameras; `open` and `try_out` are `OpenSource`. One object for the process."""

    def __init__(self, clock: WaitingClock | None = None) -> None:
        self._clock: WaitingClock = clock or SystemClock()
        self._memories: dict[str, _Memory] = {}
        self._stuck = StuckThreads()  # of all that were only tried
        self._lock = threading.Lock()  # cameras are opened on their own threads

    def push(self, camera_id: str, data: bytes) -> None:
        """Hand over a picture that came from the bus for a camera of type `push`."""
        with self._lock:
            memory = self._memories.get(camera_id)
        if memory is not None:
            memory.pushed.put(data)

    def forget(self, camera_id: str) -> None:
        """Drop what is remembered of a camera that was removed."""
        with self._lock:
            self._memories.pop(camera_id, None)

    def open(self, camera: CaptureCamera, credentials: Credentials | None) -> Source:
        """Return the source of a camera, not yet entered: touches nothing outside.

        Raises:
            ConfigurationError: an address that cannot be right.
        """
        return self._open(camera, credentials, self._memory(camera))

    def try_out(self, camera: CaptureCamera, credentials: Credentials | None) -> Source:
        """Return a source as `open` does, of a camera that is not remembered."""
        return self._open(camera, credentials, _Memory("", self._stuck))

    def _open(  # noqa: PLR0911 - one return for each kind of camera
        self, camera: CaptureCamera, credentials: Credentials | None, memory: _Memory
    ) -> Source:
        source, watchdog, clock = camera.source, camera.watchdog, self._clock
        open_timeout_s, read_timeout_s = watchdog.open_timeout_s, watchdog.read_timeout_s

        def live(connection: Connection, pause_s: float = 0) -> LiveSource:
            return LiveSource(
                connection,
                open_timeout_s=open_timeout_s,
                read_timeout_s=read_timeout_s + pause_s,
                picture_timeout_s=watchdog.picture_timeout_s + pause_s,
                stuck=memory.stuck,
            )

        match source:
            case RtspSource():
                return live(
                    RtspConnection(
                        source,
                        credentials,
                        open_timeout_s=open_timeout_s,
                        read_timeout_s=read_timeout_s,
                        transports=memory.transports,
                        clock=clock,
                    )
                )
            case MjpegSource():
                return live(
                    MjpegConnection(
                        source,
                        credentials,
                        open_timeout_s=open_timeout_s,
                        read_timeout_s=read_timeout_s,
                        clock=clock,
                    )
                )
            case StillSource():
                return live(
                    StillConnection(
                        source,
                        credentials,
                        open_timeout_s=open_timeout_s,
                        read_timeout_s=read_timeout_s,
                        clock=clock,
                    ),
                    pause_s=source.interval_ms / 1000,
                )
            case V4l2Source():
                return live(
                    V4l2Connection(
                        source,
                        open_timeout_s=open_timeout_s,
                        read_timeout_s=read_timeout_s,
                        clock=clock,
                    )
                )
            case FileSource():
                return VideoFileSource(source, clock, read_timeout_s)
            case FolderSource():
                return PictureFolderSource(source, clock)
            case PushSource():
                return push_source.PushSource(memory.pushed, clock, read_timeout_s)
            case DemoSource():
                return DemoCamera(source, clock)
            case _ as never:
                assert_never(never)

    def _memory(self, camera: CaptureCamera) -> _Memory:
        """Return the memory of this camera at this address; a new address is a new camera."""
        address = camera.source.model_dump_json()
        with self._lock:
            memory = self._memories.get(camera.id)
            if memory is None or memory.address != address:
                memory = self._memories[camera.id] = _Memory(address)
            return memory
