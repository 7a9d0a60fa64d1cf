"""Start-up settings: what a process must know before it can talk to anybody.

They come from the environment, and only this module reads it. Everything that may change
while a service runs is configuration instead (`nxai_common.contracts.configuration`).

A field ``foo`` of `ServiceSettings` is read from ``NXAI_FOO``; a field ``foo`` that the class
of role ``capture`` adds is read from ``NXAI_CAPTURE_FOO``. An empty variable counts as unset,
because ``NXAI_FOO=${NXAI_FOO:-}`` in a compose file is how one passes a setting through. A
variable that nobody knows is refused with the name of the nearest one: pydantic-settings with
``extra="forbid"`` does not notice a misspelt one.
"""

import difflib
import os
import re
import socket
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nxai_common.contracts.topics import Level, check_level
from nxai_common.errors import ConfigurationError

PREFIX: Final = "NXAI_"

ROLES: Final = ("capture", "inference", "publisher", "manager", "cloud-sync")
"""Variables of another role (``NXAI_PUBLISHER_...`` seen by capture) are not a mistake: one
environment file may serve the whole box."""

FOREIGN_PREFIXES: Final = ("NXAI_TEST_", "NXAI_REQUIRE_")
"""Variables of the test suite, inherited by the services that it starts."""

MASK: Final = "***"


class ServiceSettings(BaseModel):
    """Settings that every service has; a service adds its own in a subclass."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    role: ClassVar[str]
    session_expiry_s: ClassVar[int] = 3600
    """How long the broker keeps what a process of this role has not acknowledged. 0 for roles that
    share a subscription: the broker would go on giving a dead process its share."""

    receive_maximum: ClassVar[int] = 1000
    """RELIABLE messages that the broker hands out before the first is acknowledged. Few for a role
    whose messages are large: all of them may be in memory."""

    device: Level = "box"
    """Name of this box, the third level of every topic."""
    instance: Level = ""
    """Name of this process in its status topic; unset: the role; `auto`: role and host name, for
    several containers of one service."""
    broker: str = "mqtt://127.0.0.1:1883"
    """MQTT broker: mqtt://host:port, or mqtts://host:port for TLS."""
    broker_username: str | None = None
    """User name at the broker."""
    broker_password: SecretStr | None = None
    """Password at the broker."""
    broker_password_file: Path | None = None
    """File that holds the password (a Docker secret), instead of the password itself."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important messages that are logged."""
    log_format: Literal["text", "json"] = "text"
    """text for people, json (one object a line) for log collectors."""
    run_dir: Path = Path(".run")
    """Folder for the heartbeat file that `--healthy` reads; best in memory (/run)."""
    heartbeat_s: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    """Seconds between two status messages."""
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Port of `/metrics` for Prometheus; 0: none. Each service on one machine, and each of several
    workers, needs one of its own."""
    metrics_address: str = "127.0.0.1"
    """Address of this machine at which `/metrics` answers, without a password: 0.0.0.0 (all) only
    where a firewall or a container's network keeps strangers out."""
    otel_endpoint: str = ""
    """Where traces of frames go: http://HOST:4318 of an OpenTelemetry collector (OTLP over HTTP);
    empty: nowhere."""
    otel_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the frames that are followed from capture to publisher; capture decides."""

    @model_validator(mode="before")
    @classmethod
    def _name_instance(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic hands over anything
        if isinstance(values, dict) and not values.get("instance"):
            return {**values, "instance": cls.role}
        return values

    @field_validator("device", "instance", mode="before")
    @classmethod
    def _check_level(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - as above
        return check_level(value, str(info.field_name)) if isinstance(value, str) else value


S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable of a service."""

    name: str
    field: str
    default: str
    """As one would write it; empty when unset."""
    doc: str
    secret: bool


def variables(settings_class: type[ServiceSettings]) -> tuple[Variable, ...]:
    """Return the variables that `settings_class` reads, its own ones last."""
    own = PREFIX + settings_class.role.replace("-", "_").upper() + "_"
    found = []
    for name, info in settings_class.model_fields.items():
        prefix = PREFIX if name in ServiceSettings.model_fields else own
        default = info.get_default(call_default_factory=True, validated_data={})
        found.append(
            Variable(
                name=prefix + name.upper(),
                field=name,
                default=_show(default),
                doc=" ".join((info.description or "").split()),
                secret=_mentions(info.annotation, SecretStr),
            )
        )
    return tuple(found)


def load(settings_class: type[S], environ: Mapping[str, str] | None = None) -> S:
    """Return the settings of one service.

    Args:
        settings_class: The service's settings.
        environ: Variables to read; None: those of this process.

    Raises:
        ConfigurationError: a variable is unknown (the nearest known one is named) or has a
            value that does not do; every such variable is named, never a secret.
    """
    given = os.environ if environ is None else environ
    known = {variable.name: variable for variable in variables(settings_class)}
    wrong = list(_misspelt(given, known, settings_class.role))
    values: dict[str, Any] = {}
    for name, variable in known.items():
        text = given.get(name, "")
        if text:
            annotation = settings_class.model_fields[variable.field].annotation
            values[variable.field] = _split(text, annotation)
    if values.get("instance") == "auto":
        values["instance"] = instance_of_host(settings_class.role, socket.gethostname())
    try:
        settings = settings_class.model_validate(values)
    except ValidationError as error:
        wrong.extend(_explain(error, known, given))
        raise ConfigurationError("\n".join(wrong)) from None  # its text may show a secret
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return _with_password_from_file(settings)


def effective(settings: ServiceSettings) -> str:
    """Return the settings in force as lines of `NAME=value`, secrets masked."""
    lines = []
    for variable in variables(type(settings)):
        value = getattr(settings, variable.field)
        shown = (MASK if value else "") if variable.secret else _show(value)
        lines.append(f"{variable.name}={shown}")
    return "\n".join(lines)


def describe(settings_class: type[ServiceSettings]) -> str:
    """Return the help text of the settings: name, default and meaning of each variable."""
    lines = []
    for variable in variables(settings_class):
        default = f" (default {variable.default})" if variable.default else ""
        lines.append(f"  {variable.name}{default}\n      {variable.doc}")
    return "\n".join(lines)


def secrets_of(settings: ServiceSettings) -> Iterator[str]:
    """Yield every secret in the settings, for the log's redaction."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()


def instance_of_host(role: str, host: str) -> str:
    """Return a name for the one process of `role` on `host`, valid as a topic level."""
    return f"{role}-{re.sub('[^a-z0-9_-]+', '-', host.lower())}"[:64]


def _show(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple | list | frozenset | set):
        return ",".join(str(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _mentions(annotation: object, wanted: type) -> bool:
    return annotation is wanted or any(
        _mentions(part, wanted) for part in typing.get_args(annotation)
    )


def _split(text: str, annotation: object) -> str | list[str]:
    """Return a comma-separated list for a field that is a collection, else the text."""
    kinds = (annotation, *typing.get_args(annotation))
    if any(typing.get_origin(kind) in (tuple, list, frozenset, set) for kind in kinds):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _misspelt(given: Mapping[str, str], known: Mapping[str, Variable], role: str) -> Iterator[str]:
    foreign = [PREFIX + r.replace("-", "_").upper() + "_" for r in ROLES if r != role]
    for name in sorted(given):
        if not name.startswith(PREFIX) or name in known:
            continue
        if name.startswith((*foreign, *FOREIGN_PREFIXES)):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"`nxai-{role} --help` lists the settings"
        yield f"{name}: no such setting; {hint}"


def _explain(
    error: ValidationError, known: Mapping[str, Variable], given: Mapping[str, str]
) -> Iterator[str]:
    by_field = {variable.field: variable for variable in known.values()}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        message = item["msg"].removeprefix("Value error, ")
        variable = by_field.get(str(item["loc"][0])) if item["loc"] else None
        if variable is None:
            yield message
            continue
        value = given.get(variable.name, "")
        # A URL may hold a password that should not be there: never show what is before an @.
        hidden = variable.secret or "@" in value
        yield f"{variable.name}={MASK if hidden else value}: {message}"


def _with_password_from_file(settings: S) -> S:
    path = settings.broker_password_file
    if path is None:
        return settings
    if settings.broker_password is not None:
        raise ConfigurationError(
            "NXAI_BROKER_PASSWORD and NXAI_BROKER_PASSWORD_FILE are both set; keep one of them"
        )
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(
            f"NXAI_BROKER_PASSWORD_FILE={path}: cannot be read: {reason}"
        ) from None  # a decoding error would show the bytes
    # Editors end a file with a newline; a password may well end with a space.
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise ConfigurationError(f"NXAI_BROKER_PASSWORD_FILE={path}: the file is empty")
    return settings.model_copy(update={"broker_password": SecretStr(password)})
