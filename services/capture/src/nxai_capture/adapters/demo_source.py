"""The built-in camera: parts on a belt, drawn by code, so that everything works without one."""

import threading
from types import TracebackType
from typing import Final, Self

from nxai_capture.adapters.system_clock import WaitingClock
from nxai_capture.core.demo_scene import DemoScene
from nxai_capture.core.picture import Picture, Rgb
from nxai_capture.ports import Losses, SourceInfo
from nxai_common.contracts.configuration import DemoSource
from nxai_common.errors import CameraUnavailable

LATE_S: Final = 1.0
"""Behind by more: this machine cannot draw so fast. Time starts again from here."""


class DemoCamera:
    """Draws the demo scene at its frame rate; implements `nxai_capture.ports.Source`."""

    def __init__(self, source: DemoSource, clock: WaitingClock) -> None:
        self._source = source
        self._clock = clock
        self._interrupted = threading.Event()
        self._scene: DemoScene | None = None
        self._index = 0
        self._due: float | None = None

    @property
    def info(self) -> SourceInfo:
        """Drawn, at the wished rate."""
        return SourceInfo(codec="drawn", nominal_fps=self._source.fps)

    @property
    def losses(self) -> Losses:
        """None, ever."""
        return Losses()

    def __enter__(self) -> Self:
        """Set the scene."""
        self._scene = DemoScene(self._source.width, self._source.height, self._source.seed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Forget the scene."""
        self._scene = None

    def read(self) -> Picture | None:
        """Return the next picture when its time has come; never None.

        Raises:
            CameraUnavailable: interrupted.
        """
        if self._scene is None:
            raise RuntimeError("read() before entering")
        now = self._clock.monotonic()
        due = now if self._due is None else self._due + 1 / self._source.fps
        self._due = now if now - due > LATE_S else due
        if self._clock.wait(self._interrupted, self._due - now):
            raise CameraUnavailable("interrupted")
        pixels = self._scene.draw(self._index)
        self._index += 1
        height, width = pixels.shape[:2]
        return Picture(Rgb(pixels), width, height, int(self._clock.unix() * 1e6))

    def interrupt(self) -> None:
        """From another thread: make a waiting `read` return soon, with an error."""
        self._interrupted.set()
