"""Looks at cameras that are not in use yet: finds them, asks for their streams, tries a source."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from nxai_capture.core.masks import Masks
from nxai_capture.core.onvif import Stream
from nxai_capture.core.picture import check_size
from nxai_capture.errands import Errand, Errands
from nxai_capture.ports import (
    Answer,
    AskForStreams,
    Clock,
    EncodePicture,
    FindOnNetwork,
    FindOnUsb,
    OpenSource,
    ReadCredentials,
)
from nxai_common.contracts.commands import FindCameras, ListStreams, ProbeSource, Reply
from nxai_common.contracts.configuration import CaptureCamera, PushSource, V4l2Source
from nxai_common.errors import CameraUnavailable, ConfigurationError

MOST_PROBES: Final = 2
"""At once; each decodes a picture, beside the cameras that run."""
LONGEST_PROBE_S: Final = 30.0
"""Somebody is waiting for it."""
MOST_SEARCHES: Final = 2
SEARCH_GRACE_S: Final = 10.0
"""For USB devices to tell what they are."""
LONGEST_QUESTIONS_S: Final = 30.0
"""A little more than the asking adapter gives itself."""


class Scout:
    """Answers the commands `probe`, `find` and `streams`, on threads beside the line.

    Args:
        clock: Time.
        try_out: Builds a source that is not remembered.
        read_credentials: Looks up user and password.
        encode: Makes the JPEG of a picture.
        find_on_network: Searches the network.
        find_on_usb: Searches this machine.
        ask_for_streams: Asks a camera.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        try_out: OpenSource,
        read_credentials: ReadCredentials,
        encode: EncodePicture,
        find_on_network: FindOnNetwork,
        find_on_usb: FindOnUsb,
        ask_for_streams: AskForStreams,
    ) -> None:
        self._clock = clock
        self._try_out = try_out
        self._read_credentials = read_credentials
        self._encode = encode
        self._find_on_network = find_on_network
        self._find_on_usb = find_on_usb
        self._ask_for_streams = ask_for_streams
        self._probes = Errands("sources are being tried", MOST_PROBES, clock)
        self._searches = Errands("searches are under way", MOST_SEARCHES, clock)

    def begin(
        self,
        command: ProbeSource | FindCameras | ListStreams,
        answer: Answer,
        in_use: Iterable[CaptureCamera],
    ) -> None:
        """Begin to work at a command; returns at once.

        Args:
            command: What is wanted.
            answer: Takes the answer, from another thread.
            in_use: The cameras that run.
        """
        match command:
            case ProbeSource():
                self._probe(command, answer, in_use)
            case FindCameras():
                self._searches.start(
                    lambda _: self._find(command),
                    answer=answer,
                    patience_s=command.seconds + SEARCH_GRACE_S,
                    too_long="the search takes too long",
                )
            case ListStreams():
                self._searches.start(
                    lambda _: self._list(command),
                    answer=answer,
                    patience_s=LONGEST_QUESTIONS_S,
                    too_long="timed out: the camera takes too long to answer",
                )

    def _probe(self, command: ProbeSource, answer: Answer, in_use: Iterable[CaptureCamera]) -> None:
        watchdog = command.watchdog
        patience_s = min(LONGEST_PROBE_S, watchdog.open_timeout_s + watchdog.picture_timeout_s)
        self._probes.start(
            lambda errand: self._try(command, errand, in_use),
            answer=answer,
            patience_s=patience_s,
            too_long=f"timed out: no picture within {patience_s:g} s",
        )

    @property
    def running(self) -> int:
        """How many commands are being worked at."""
        return self._probes.running + self._searches.running

    def supervise(self) -> None:
        """Answer for what hangs."""
        self._probes.supervise()
        self._searches.supervise()

    def close(self) -> None:
        """Ask all to end; returns at once."""
        self._probes.close()
        self._searches.close()

    def join(self, deadline: float) -> None:
        """Wait for all to end, until `time.monotonic()` is `deadline`."""
        self._probes.join(deadline)
        self._searches.join(deadline)

    # -- on their own threads ---------------------------------------------------------------

    def _try(self, command: ProbeSource, errand: Errand, in_use: Iterable[CaptureCamera]) -> Reply:
        began = self._clock.monotonic()
        _refuse_what_cannot_be_tried(command, in_use)
        camera = CaptureCamera(
            id="probe", source=command.source, masks=command.masks, watchdog=command.watchdog
        )
        name = command.credentials
        opened = self._try_out(camera, None if name is None else self._read_credentials(name))
        errand.on_interrupt(opened.interrupt)
        with opened as source:
            picture = source.read()
            info = source.info
        if picture is None:
            raise CameraUnavailable("it came to its end without a picture")
        check_size(picture.width, picture.height)
        if command.masks:
            picture = Masks(command.masks, picture.width, picture.height)(picture)
        return Reply(
            ok=True,
            details={
                "width": picture.width,
                "height": picture.height,
                "codec": info.codec,
                "fps": info.nominal_fps,
                "transport": info.transport,
                "seconds": round(self._clock.monotonic() - began, 2),
            },
            attachment=self._encode(picture),
        )

    def _find(self, command: FindCameras) -> Reply:
        usb, problems_of_usb = self._find_on_usb()
        network, problems = self._find_on_network(command.seconds)
        return _answered(
            {
                "network": [asdict(camera) for camera in network],
                "usb": [asdict(camera) for camera in usb],
                "problems": problems + problems_of_usb,
            }
        )

    def _list(self, command: ListStreams) -> Reply:
        name = command.credentials
        credentials = None if name is None else self._read_credentials(name)
        streams = self._ask_for_streams(command.address, credentials)
        return _answered({"streams": [_told(stream) for stream in streams]})


def _refuse_what_cannot_be_tried(command: ProbeSource, in_use: Iterable[CaptureCamera]) -> None:
    """Raise ConfigurationError for a source that nobody can open beside another."""
    source = command.source
    if isinstance(source, PushSource):
        raise ConfigurationError(
            "pictures that are pushed cannot be tried: they come when another program publishes "
            "them on the camera's topic `picture`; add the camera, then look at its preview"
        )
    if not isinstance(source, V4l2Source):
        return
    device = Path(source.device).resolve()
    for camera in in_use:
        other = camera.source
        if isinstance(other, V4l2Source) and Path(other.device).resolve() == device:
            raise ConfigurationError(
                f"{source.device!r} is in use by camera {camera.id!r}: look at its preview, or "
                "switch that camera off first"
            )


def _told(stream: Stream) -> dict[str, Any]:
    profile = stream.profile
    return {
        "name": profile.name,
        "url": stream.url,
        "snapshot": stream.snapshot,
        "width": profile.width,
        "height": profile.height,
        "encoding": profile.encoding,
        "fps": profile.fps,
    }


def _answered(content: dict[str, Any]) -> Reply:
    return Reply(ok=True, attachment=json.dumps(content).encode())
