"""Where results go besides MQTT: each destination is fed from one durable outbox.

No secret is in here. `*_secret` names one that the publisher alone can read, and a template
writes it as ``{{ secret.NAME }}``.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt

from nxai_common.contracts.base import Value
from nxai_common.contracts.topics import ROOT, Level

LONGEST_WAIT_S: Final = 3600
"""An hour of results gathered is what a database takes at once; more was meant otherwise."""
MOST_AT_ONCE: Final = 1000
"""Results in one request: half a megabyte of JSON, which any server takes."""
LONGEST_TEMPLATE: Final = 20_000
MOST_HEADERS: Final = 30

SecretReference = Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,63})?$")]
"""Name of a secret, as a template can write it; empty: none."""
Content = Literal["detections", "nx-output", "events", "alarms", "state"]
"""What is sent: the very JSON that travels over MQTT on the topics of these names."""
Certificate = Literal["verify", "any"]
"""Of the other side; any: do not check it."""


class DestinationOptions(Value):
    """What every destination has."""

    id: Level
    """Its place in the outbox hangs on it: another id begins with the newest results."""
    name: str = ""
    """For people; the id when left out."""
    enabled: bool = True
    """While it is not, nothing is kept for it."""
    what: tuple[Content, ...] = ("detections",)
    cameras: tuple[Level, ...] = ()
    """Only of these; empty: of all."""
    only_with_objects: bool = False
    """Of detections and Nx output: only frames that show something."""


class GatheringOptions(DestinationOptions):
    """One that can take several results at once."""

    gather: Literal["each", "batch", "loop", "interval"] = "each"
    """each: one request a result. batch: what waits, as a JSON array. loop: one result of each
    camera, as an array. interval: those of `interval_s`, as an array."""
    batch_size: PositiveInt = Field(default=100, le=MOST_AT_ONCE)
    """Of `batch` and `interval`: at most so many in one array."""
    interval_s: float = Field(default=10, gt=0, le=LONGEST_WAIT_S)


class HttpDestination(GatheringOptions):
    """An HTTP server: a web hook, Elasticsearch, Node-RED's `http in`."""

    type: Literal["http"] = "http"
    url: str
    """http:// or https://, without user and password; may hold ``{{ camera }}`` where each result
    is sent by itself."""
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, Annotated[str, Field(max_length=2000)]] = Field(
        default_factory=dict, max_length=MOST_HEADERS
    )
    """Values are templates: ``"Authorization": "Bearer {{ secret.shop }}"``."""
    body: Annotated[str, Field(max_length=LONGEST_TEMPLATE)] = ""
    """Template (Jinja) of the body; empty: the JSON as it is."""
    content_type: str = "application/json"
    username: str = ""
    """For basic authentication."""
    password_secret: SecretReference = ""
    timeout_s: float = Field(default=10, gt=0, le=300)
    certificate: Certificate = "verify"
    picture: bool = False
    """Alarms carry the frame as JPEG (base64) in `picture`."""


class SocketDestination(GatheringOptions):
    """A Unix socket that another program listens on: 4 bytes of length (little-endian), JSON."""

    type: Literal["socket"] = "socket"
    path: str
    timeout_s: float = Field(default=5, gt=0, le=300)


class FileDestination(DestinationOptions):
    """A file of JSON lines; full ones are put aside with a number."""

    type: Literal["file"] = "file"
    path: str
    """Below the publisher's folder of files, such as `results.jsonl`."""
    rotate_mb: float = Field(default=100, gt=0, le=100_000)
    keep_files: int = Field(default=10, ge=0, le=10_000)
    """Full ones kept; the oldest goes."""
    compress: bool = True
    """Full ones are packed (gzip)."""


class MqttDestination(DestinationOptions):
    """Another broker: the same topics below another root."""

    type: Literal["mqtt"] = "mqtt"
    url: str
    """mqtt://HOST:PORT or mqtts://HOST:PORT, without user and password."""
    username: str = ""
    password_secret: SecretReference = ""
    root: Annotated[str, Field(pattern=r"^[^\s+#/\x00][^\s+#\x00]{0,199}$")] = ROOT
    """What topics begin with there, instead of what they begin with here."""
    qos: int = Field(default=1, ge=0, le=1)
    certificate: Certificate = "verify"
    authority: str = ""
    """File with the certificate (PEM) of the authority that signed the broker's; empty: those
    that the system trusts."""


class InfluxDestination(DestinationOptions):
    """InfluxDB's line protocol over HTTP (2 and 3; 1.8 with `database/policy` as bucket)."""

    type: Literal["influxdb"] = "influxdb"
    url: str
    """http://HOST:8086, without a path."""
    bucket: Annotated[str, Field(min_length=1, max_length=200)]
    org: str = ""
    token_secret: SecretReference = ""
    batch_size: PositiveInt = Field(default=500, le=MOST_AT_ONCE)
    interval_s: float = Field(default=1, gt=0, le=LONGEST_WAIT_S)
    """A request at most so often, unless a batch is full."""
    timeout_s: float = Field(default=10, gt=0, le=300)
    certificate: Certificate = "verify"


Destination = Annotated[
    HttpDestination | SocketDestination | FileDestination | MqttDestination | InfluxDestination,
    Field(discriminator="type"),
]


class OutboxOptions(Value):
    """How much is kept for destinations that are away."""

    keep_days: float = Field(default=7, gt=0, le=3650)
    keep_mb: float = Field(default=2000, gt=0, le=1_000_000)
    """The oldest goes first; what goes unsent is counted."""
