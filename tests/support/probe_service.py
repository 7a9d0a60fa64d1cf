"""A service that does nothing but live and die on request: ``python -m support.probe_service``."""

import os
import signal
import sys
from typing import ClassVar, Literal

from nxai_common.bus.ports import Bus
from nxai_common.errors import ConfigurationError
from nxai_common.runtime import Beat, Report, Stop, run_service
from nxai_common.settings import ServiceSettings


class ProbeSettings(ServiceSettings):
    """A service for tests of the runtime."""

    role: ClassVar[str] = "capture"

    fate: Literal["live", "crash", "misconfigured", "hang"] = "live"
    """How it ends."""


class Probe:
    """Turns its loop until stopped, or meets its fate."""

    def __init__(self, settings: ProbeSettings, beat: Beat) -> None:
        self._settings = settings
        self._beat = beat

    def run(self, stop: Stop) -> None:
        match self._settings.fate:
            case "crash":
                raise RuntimeError("password hunter2 is wrong")
            case "misconfigured":
                raise ConfigurationError("model 'x' has no labels; set them")
            case "hang":
                self._beat()
                stop.wait()
                os.kill(os.getppid(), signal.SIGUSR1)
                while True:
                    signal.pause()
        while not stop.wait(0.05):
            self._beat()

    def report(self) -> Report:
        return Report(counters={"turns": 1}, configuration_revision="r1")


def build(settings: ProbeSettings, _bus: Bus, beat: Beat) -> Probe:
    return Probe(settings, beat)


if __name__ == "__main__":
    sys.exit(run_service(ProbeSettings, build))
