"""Composition root of the capture service."""

import sys
from collections.abc import Sequence

from nxai_capture.adapters.jpeg_encoder import JpegEncoder
from nxai_capture.adapters.onvif_device import OnvifDevices
from nxai_capture.adapters.png_encoder import encode_png
from nxai_capture.adapters.secrets_directory import SecretsDirectory
from nxai_capture.adapters.sources import Sources
from nxai_capture.adapters.system_clock import SystemClock
from nxai_capture.adapters.thread_pools import one_thread_each
from nxai_capture.adapters.v4l2_devices import UsbSearch
from nxai_capture.adapters.ws_discovery import NetworkSearch
from nxai_capture.scouting import Scout
from nxai_capture.service import CaptureService
from nxai_capture.settings import CaptureSettings
from nxai_common.bus.ports import Bus
from nxai_common.runtime import Beat, run_service


def build(settings: CaptureSettings, bus: Bus, beat: Beat) -> CaptureService:
    """Put the service together."""
    one_thread_each()
    clock, sources = SystemClock(), Sources()
    read_credentials = SecretsDirectory(settings.secrets_dir).read
    encode = JpegEncoder(settings.jpeg_quality)
    scout = Scout(
        clock=clock,
        try_out=sources.try_out,
        read_credentials=read_credentials,
        encode=encode,
        find_on_network=NetworkSearch(),
        find_on_usb=UsbSearch(),
        ask_for_streams=OnvifDevices(clock),
    )
    return CaptureService(
        bus=bus,
        beat=beat,
        clock=clock,
        open_source=sources.open,
        read_credentials=read_credentials,
        encode=encode,
        encode_pixels=encode_png,
        scout=scout,
        push_picture=sources.push,
        forget_camera=sources.forget,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; return the exit code."""
    return run_service(CaptureSettings, build, argv)


if __name__ == "__main__":
    sys.exit(main())
