"""A status as Prometheus's metrics, and the server of them (the one user of prometheus_client).

Nothing is asked of the service for a scrape: it shows the status that was looked at last (each
second), and says how old that is.

Names and units are Prometheus's: ``nxai_`` in front, ``_total`` behind what only grows, seconds and
bytes. Each value has the labels `device`, `service` (the instance) and `role`.
"""

import math
import platform
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nxai_common.contracts.status import CameraStatus, LinkState, ModelStatus, ServiceState
from nxai_common.scrapes import Seen
from nxai_common.vitals import MIB

PATH: Final = "/metrics"
CLIENT_S: Final = 10.0
"""Who sends or reads nothing for so long is gone; Prometheus itself gives up after ten seconds."""

UNITS: Final = {"_mb": ("_bytes", MIB), "_ms": ("_seconds", 0.001), "_s": ("_seconds", 1)}
"""Ending of a name in a status; its ending here, and by what the value is multiplied."""

PUBLISHER: Final = "publisher"
DESTINATION_COUNTS: Final = {
    "sent_": "Sent.",
    "rejected_": "Refused by the destination for good, and left out.",
    "dropped_": "Dropped for want of room in the outbox.",
    "failed_": "Tries that failed; what they carried waits.",
}
DESTINATION_GAUGES: Final = {
    "queued_kb_": ("nxai_destination_queued_bytes", "What waits.", 1000),
    "queued_": ("nxai_destination_queued", "Messages that wait.", 1),
    "oldest_s_": ("nxai_destination_oldest_seconds", "Age of the oldest that waits.", 1),
}
"""Beginning of a name in the status of the publisher, behind it that of a destination; here that
one is a label. The longer beginning first."""

LABELS: Final = ("device", "service", "role")

MODEL_STATES: Final = ("loading", "ready", "failed")

CAMERA_COUNTS: Final = {
    "decoded": "Pictures that came to be looked at.",
    "damaged": "What gave no picture: broken packets, files and payloads.",
    "replaced": "Pictures that a newer one replaced before they were looked at.",
    "sent": "Frames sent to inference.",
    "dropped": "Pictures not sent: newest wins, no credit left, or the broker away.",
    "skipped": "Pictures not sent on purpose: inference limit, or nothing changed.",
    "credits_lost": "Frames whose result never came.",
    "reconnects": "Connections that were made again.",
    "stalls": "Times that no picture came although the connection held.",
}
MODEL_COUNTS: Final = {
    "processed": "Frames that the model looked at.",
    "errors": "Frames that the model could not look at.",
    "uncertain": "Results that the model was unsure of.",
}


class MetricsServer(ThreadingHTTPServer):
    """Answers `GET /metrics`."""

    daemon_threads = True

    def __init__(self, address: str, port: int, look: Callable[[], Seen], *, device: str) -> None:
        """Listen.

        Raises:
            OSError: the port is taken, or the address is none of this machine.
        """
        self.registry: Final = CollectorRegistry()
        self.registry.register(StatusCollector(look, device))
        ProcessCollector(registry=self.registry)
        family, _, _, _, where = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self.address_family = family
        super().__init__((str(where[0]), port), _Handler)

    def server_bind(self) -> None:
        """Bind, and do not ask a name server who we are, as http.server does: it may be away."""
        TCPServer.server_bind(self)


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = CLIENT_S

    def do_GET(self) -> None:
        """Answer."""
        if urlsplit(self.path).path != PATH:
            self._answer(404, "text/plain; charset=utf-8", f"{PATH} is all there is\n".encode())
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        self._answer(200, content_type, encode(self.server.registry))

    def _answer(self, code: int, content_type: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Return what the answer says of the server: no versions for strangers."""
        return "nxai"

    def log_message(self, *_args: object) -> None:
        """Say nothing: a scrape every few seconds is no news."""


class StatusCollector(Collector):
    """Makes metrics of what is known at a scrape."""

    def __init__(self, look: Callable[[], Seen], device: str) -> None:
        self._look = look
        self._device = device

    def describe(self) -> Iterable[Metric]:
        """Return nothing: which metrics there are follows from the status."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        return _Writer(self._look(), self._device).metrics()


def metric_name(name: str) -> tuple[str, float]:
    """Return how a value of a status is called here, and by what it is multiplied."""
    clean = re.sub(r"[^a-z0-9_]", "_", name.lower())
    for ending, (unit, factor) in UNITS.items():
        if clean.endswith(ending):
            return f"nxai_{clean.removesuffix(ending)}{unit}", factor
    return f"nxai_{clean}", 1


class _Writer:
    """Gathers the metrics of one scrape, each under its name once."""

    def __init__(self, seen: Seen, device: str) -> None:
        self._seen = seen
        self._common = (device, seen.status.service, seen.status.role)
        self._found: dict[str, Metric] = {}

    def metrics(self) -> Iterator[Metric]:
        self._service()
        status = self._seen.status
        for name, value in status.gauges.items():
            if not self._destination_gauge(name, value):
                told, factor = metric_name(name)
                self._gauge(told, f"`{name}` of the status.", value * factor)
        for name, value in status.counters.items():
            if not self._destination_count(name, value):
                told, factor = metric_name(name)
                self._counter(told, f"`{name}` of the status.", value * factor)
        for camera in status.cameras:
            self._camera(camera)
        for model in status.models:
            self._model(model)
        return iter(self._found.values())

    def _service(self) -> None:
        seen, status = self._seen, self._seen.status
        self._gauge(
            "nxai_build_info",
            "What runs here.",
            1,
            version=status.version,
            python=platform.python_version(),
        )
        self._states("nxai_service_state", "State of the service.", status.state, ServiceState)
        self._gauge("nxai_problems", "What a person should know of.", len(status.problems))
        for about in dict.fromkeys(problem.about for problem in status.problems):
            self._gauge("nxai_problem", "1: there is one.", 1, about=about)
        self._gauge(
            "nxai_configuration_info", "In force.", 1, revision=status.configuration_revision
        )
        self._gauge("nxai_broker_connected", "1: the broker answers.", int(seen.connected))
        self._moment("nxai_start_time_seconds", "When the service started.", status.started_at)
        if math.isfinite(seen.heartbeat_age_s):
            self._gauge(
                "nxai_heartbeat_age_seconds",
                "Since the service's loop last turned.",
                seen.heartbeat_age_s,
            )
        self._gauge("nxai_status_age_seconds", "Since all this was looked at.", seen.age_s)

    def _destination_gauge(self, name: str, value: float) -> bool:
        """Tell a gauge of a destination; False: it is none."""
        if self._seen.status.role != PUBLISHER:
            return False
        for beginning, (told, text, factor) in DESTINATION_GAUGES.items():
            if name.startswith(beginning):
                destination = name.removeprefix(beginning)
                self._gauge(told, text, value * factor, destination=destination)
                return True
        return False

    def _destination_count(self, name: str, value: float) -> bool:
        """Tell a count of a destination; False: it is none."""
        if self._seen.status.role != PUBLISHER:
            return False
        for beginning, text in DESTINATION_COUNTS.items():
            if name.startswith(beginning):
                told = f"nxai_destination_{beginning.removesuffix('_')}"
                self._counter(told, text, value, destination=name.removeprefix(beginning))
                return True
        return False

    def _camera(self, camera: CameraStatus) -> None:
        name = camera.camera
        self._states(
            "nxai_camera_state", "State of the connection.", camera.state, LinkState, camera=name
        )
        for field, text in CAMERA_COUNTS.items():
            self._counter(f"nxai_camera_{field}", text, getattr(camera, field), camera=name)
        self._gauge("nxai_camera_frames_per_second", "Decoded pictures.", camera.fps, camera=name)
        self._moment(
            "nxai_camera_state_since_timestamp_seconds",
            "Since when it is in its state.",
            camera.since,
            camera=name,
        )
        if camera.last_picture_at is not None:
            self._moment(
                "nxai_camera_last_picture_timestamp_seconds",
                "When the last picture was decoded.",
                camera.last_picture_at,
                camera=name,
            )
        for field, pixels in (("width", camera.width), ("height", camera.height)):
            if pixels is not None:
                text = f"{field.capitalize()} of its pictures."
                self._gauge(f"nxai_camera_{field}_pixels", text, pixels, camera=name)

    def _model(self, model: ModelStatus) -> None:
        name = model.model
        self._states(
            "nxai_model_state", "State of the model.", model.state, MODEL_STATES, model=name
        )
        for field, text in MODEL_COUNTS.items():
            self._counter(f"nxai_model_{field}", text, getattr(model, field), model=name)
        if model.engine_ms is not None:
            self._gauge(
                "nxai_model_engine_seconds", "Median of a run.", model.engine_ms / 1000, model=name
            )
        self._gauge(
            "nxai_model_info", "In force.", 1, model=name, digest=model.digest, engine=model.engine
        )

    def _states(
        self, name: str, text: str, state: str, known: Iterable[str], **labels: str
    ) -> None:
        for one in dict.fromkeys((*known, state)):
            self._gauge(name, f"{text} 1: this one.", int(one == state), **labels, state=str(one))

    def _moment(self, name: str, text: str, at: datetime, **labels: str) -> None:
        self._gauge(name, f"{text} Unix time.", at.timestamp(), **labels)

    def _counter(self, name: str, text: str, value: float, **labels: str) -> None:
        family = self._found.get(name)
        if family is None:
            family = CounterMetricFamily(name, text, labels=(*LABELS, *labels))
            self._found[name] = family
        if isinstance(family, CounterMetricFamily):
            family.add_metric((*self._common, *labels.values()), value)

    def _gauge(self, name: str, text: str, value: float, **labels: str) -> None:
        family = self._found.get(name)
        if family is None:
            family = GaugeMetricFamily(name, text, labels=(*LABELS, *labels))
            self._found[name] = family
        if isinstance(family, GaugeMetricFamily):
            family.add_metric((*self._common, *labels.values()), value)
