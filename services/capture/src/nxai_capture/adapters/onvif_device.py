"""Asking a camera by ONVIF for the addresses of its streams, with httpx."""

import os
import ssl
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import httpx

from nxai_capture.adapters.camera_url import parse_camera_url
from nxai_capture.adapters.http_camera import CameraAuth, translated
from nxai_capture.adapters.reasons import status_error
from nxai_capture.core import onvif
from nxai_capture.core.onvif import Media, Profile, Stream
from nxai_capture.core.xml_message import MOST_BYTES, parse_xml
from nxai_capture.ports import Clock, Credentials
from nxai_common.errors import CameraUnavailable, ConfigurationError, InvalidPayload

SERVICE_PATH: Final = "/onvif/device_service"
"""Where the device service is, as the specification says; for an address without a path."""
ANSWER_S: Final = 5.0
"""For one answer to begin, and between two parts of it: cheap cameras take 2 s."""
ALL_S: Final = 20.0
"""For all questions together: a recorder with 16 streams is asked 34 times."""
OWN_USERS: Final = (
    "many cameras keep users of their own for ONVIF, and have it switched off until it is allowed"
)


class _Refusal(CameraUnavailable):
    """The camera answered, and does not grant this very question."""


class OnvifDevice:
    """One camera's ONVIF services; a context manager.

    The password itself is never sent, only a proof of it, and whatever an address the camera
    names: questions go to the host that was asked first. So a certificate that a camera signed
    itself is accepted.

    Args:
        address: Of its device service.
        credentials: None: as nobody, which most cameras refuse.
        clock: For the proof of the password.
    """

    def __init__(self, address: str, credentials: Credentials | None, clock: Clock) -> None:
        self._url = parse_camera_url(address, ("http", "https"))
        self._credentials = credentials
        self._auth = None if credentials is None else CameraAuth(credentials, basic=False)
        self._clock = clock
        self._ahead = timedelta()
        self._until = time.monotonic() + ALL_S
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._client = httpx.Client(
            verify=context,
            trust_env=False,
            timeout=ANSWER_S,
            headers={
                "Accept-Encoding": "identity",
                "Content-Type": "application/soap+xml; charset=utf-8",
                "User-Agent": "nxai-edge",
            },
        )

    def streams(self) -> list[Stream]:
        """Return the streams that the camera offers.

        Raises:
            CameraUnavailable: worth trying again.
            ConfigurationError: only a person can mend it: wrong password, no ONVIF.
        """
        with self._client:
            parts = urlsplit(self._url.text)
            device = parts.path if parts.path.strip("/") else SERVICE_PATH
            self._set_clock(device)
            media, path = self._media(device)
            profiles = onvif.profiles_in(self._ask(path, onvif.profiles_question(media)))
            found, refusal = [], ""
            for profile in profiles:
                try:
                    found.append(self._stream(media, path, profile))
                except _Refusal as error:
                    refusal = refusal or str(error)
            found = [stream for stream in found if stream.url]
            if not found:
                raise CameraUnavailable(
                    f"{self._url.place} names no stream of pictures: "
                    f"{refusal or 'look for them on its own web page'}"
                )
            return found

    def _set_clock(self, device: str) -> None:
        """Take the camera's time: its clock is often years behind, and the proof is dated."""
        try:
            told = onvif.time_in(self._ask(device, onvif.TIME, proved=False))
        except (ConfigurationError, _Refusal):
            return  # it tells its time to friends alone; perhaps it is right
        if told is not None:
            self._ahead = told - datetime.fromtimestamp(self._clock.unix(), UTC)

    def _media(self, device: str) -> tuple[Media, str]:
        """Return which media service the camera has, and its path."""
        found = None
        for question in (onvif.CAPABILITIES, onvif.SERVICES):
            try:
                found = onvif.media_in(self._ask(device, question))
            except _Refusal:
                if question is onvif.SERVICES:
                    raise
            if found is not None:
                media, address = found
                return media, urlsplit(address).path or "/"
        raise CameraUnavailable(
            f"{self._url.place} has no ONVIF media service: it may be no camera, or its firmware "
            "too old"
        )

    def _stream(self, media: Media, path: str, profile: Profile) -> Stream:
        host = self._url.host
        answer = self._ask(path, onvif.stream_question(media, profile.token))
        url = onvif.address_in(answer, "rtsp", host)
        try:
            answer = self._ask(path, onvif.snapshot_question(media, profile.token))
            snapshot = onvif.address_in(answer, "http", host)
        except (ConfigurationError, _Refusal):
            snapshot = ""  # many cameras have none, or have it for other users
        return Stream(profile, url, snapshot)

    def _ask(self, path: str, question: str, *, proved: bool = True) -> Element:
        """Return the answer to a question.

        Raises:
            CameraUnavailable: none came, or the camera refuses.
            ConfigurationError: it refuses for want of the right password.
        """
        security = ""
        if proved and self._credentials is not None:
            security = onvif.security_of(
                self._credentials.username,
                self._credentials.password.get_secret_value(),
                os.urandom(16),
                datetime.fromtimestamp(self._clock.unix(), UTC) + self._ahead,
            )
        url = httpx.URL(self._url.text).copy_with(path=path, query=None)
        request = self._client.build_request(
            "POST", url, content=onvif.envelope(question, security)
        )
        request.headers.encoding = "utf-8"  # user names of Digest; httpx would take ASCII only
        auth = self._auth if proved else None
        with translated(self._url, ANSWER_S):
            response = self._client.send(request, auth=auth, stream=True, follow_redirects=False)
            with closing(response):
                data = self._read(response)
        try:
            answer = parse_xml(data)
        except InvalidPayload:
            if response.status_code == httpx.codes.UNAUTHORIZED:
                raise self._denied() from None
            if response.is_success:
                raise ConfigurationError(
                    f"{self._url.place} does not answer as an ONVIF camera should: check the "
                    "address, and that ONVIF is switched on in the camera"
                ) from None
            raise status_error(
                response.status_code, with_credentials=self._credentials is not None
            ) from None
        if response.status_code == httpx.codes.UNAUTHORIZED or onvif.denies_access(answer):
            raise self._denied()
        fault = onvif.fault_in(answer)
        if fault is not None:
            raise _Refusal(f"{self._url.place} refuses: {fault}")
        return answer

    def _read(self, response: httpx.Response) -> bytes:
        data = bytearray()
        for chunk in response.iter_raw():
            data += chunk
            if len(data) > MOST_BYTES:
                raise CameraUnavailable(
                    f"{self._url.place} answers with more than {MOST_BYTES // 1000} kB: it is no "
                    "ONVIF camera"
                )
            if time.monotonic() > self._until:
                raise CameraUnavailable(
                    f"timed out: {self._url.place} did not answer all within {ALL_S:g} s"
                )
        return bytes(data)

    def _denied(self) -> ConfigurationError:
        error = status_error(
            httpx.codes.UNAUTHORIZED, with_credentials=self._credentials is not None
        )
        return ConfigurationError(f"{error} ({OWN_USERS})")


class OnvifDevices:
    """Asks cameras; implements `nxai_capture.ports.AskForStreams`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, address: str, credentials: Credentials | None) -> list[Stream]:
        """Return the streams of the camera at this address."""
        return OnvifDevice(address, credentials, self._clock).streams()
