"""A camera that does what a test says, when it says so."""

import queue
import threading
from types import TracebackType
from typing import Self

from nxai_capture.core.picture import Picture
from nxai_capture.ports import Credentials, Losses, SourceInfo
from nxai_common.contracts.configuration import CaptureCamera
from nxai_common.errors import CameraUnavailable

Step = Picture | Exception | None
"""What one `read` gives, raises, or the end."""


class ScriptedSource:
    """Gives what is put into `steps`; waits while there is nothing."""

    def __init__(self, camera: CaptureCamera, *, lossless: bool, deaf: bool) -> None:
        self.camera = camera
        self.info = SourceInfo(codec="scripted", lossless=lossless)
        self.losses = Losses()
        self.steps: queue.Queue[Step] = queue.Queue()
        self.entered = threading.Event()
        self.closed = threading.Event()
        self.interrupted = 0
        self._deaf = deaf

    def read(self) -> Picture | None:
        step = self.steps.get()
        if isinstance(step, Exception):
            raise step
        return step

    def interrupt(self) -> None:
        self.interrupted += 1
        if not self._deaf:
            self.steps.put(CameraUnavailable("interrupted"))

    def __enter__(self) -> Self:
        self.entered.set()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closed.set()


class ScriptedCameras:
    """Opens scripted sources and remembers them; `open` is the service's `OpenSource`."""

    def __init__(self) -> None:
        self.opened: list[ScriptedSource] = []
        self.lossless = False
        self.deaf = False
        self.refuse: Exception | None = None
        self.credentials: list[Credentials | None] = []
        self.pushed: list[tuple[str, bytes]] = []
        self.forgotten: list[str] = []

    def open(self, camera: CaptureCamera, credentials: Credentials | None) -> ScriptedSource:
        self.credentials.append(credentials)
        if self.refuse is not None:
            raise self.refuse
        source = ScriptedSource(camera, lossless=self.lossless, deaf=self.deaf)
        self.opened.append(source)
        return source

    def push(self, camera_id: str, data: bytes) -> None:
        self.pushed.append((camera_id, data))

    def forget(self, camera_id: str) -> None:
        self.forgotten.append(camera_id)

    def release_all(self) -> None:
        """Let every thread that still reads go."""
        for source in self.opened:
            source.steps.put(CameraUnavailable("released"))
