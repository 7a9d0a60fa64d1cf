"""Secrets of destinations: given here, named in the settings, read by the publisher alone."""

import re
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import Field, SecretStr, StringConstraints

from nxai_common import logs
from nxai_common.errors import TransientError
from nxai_manager.core.accounts import Scope
from nxai_manager.core.json_text import BadJson, read_json
from nxai_manager.web.answer import Answer, Refused
from nxai_manager.web.endpoint import Call, Endpoint, Form

TAG: Final = "secrets"
LONGEST_SECRET: Final = 8000
"""A client certificate's key has 3,000 characters."""
MOST_HOSTS: Final = 20

REFERENCES: Final = frozenset({"password_secret", "token_secret"})
IN_TEMPLATE: Final = re.compile(r"\bsecret\.([a-z][a-z0-9_]*)")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Host = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z0-9_.:\[\]-]{1,253}$")]


class SecretName(Form):
    """Which secret."""

    name: Name


class NewSecret(Form):
    """A secret, and to whom it may go."""

    value: SecretStr = Field(min_length=1, max_length=LONGEST_SECRET)
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=MOST_HOSTS)]
    """Names or addresses as in the destination's own, without a port: it is sent to these alone,
    so that a changed address of a destination does not take it elsewhere."""


class SecretAnswer(Answer):
    """A secret that is kept. Itself it never leaves the box but for its hosts."""

    name: str
    hosts: tuple[str, ...] | None
    """It goes to these alone; null: a file that was put there by hand goes to any."""
    changed_at: datetime
    used_by: tuple[str, ...]
    """Ids of the destinations that name it; `home-assistant` for its broker."""


class SecretList(Answer):
    """All that are kept, by name."""

    secrets: tuple[SecretAnswer, ...]


async def list_secrets(call: Call) -> SecretList:
    """Return which secrets are kept, and who uses them."""
    kept = await _try(call, call.box.output_secrets.kept)
    outputs = _outputs(call)
    return SecretList(
        secrets=tuple(
            SecretAnswer(
                name=secret.name,
                hosts=secret.hosts,
                changed_at=secret.changed_at,
                used_by=tuple(users_of(secret.name, outputs)),
            )
            for secret in kept
        )
    )


async def keep_secret(call: Call) -> None:
    """Keep a secret under a name, instead of one that is kept under it."""
    order: NewSecret = call.body
    value = order.value.get_secret_value()
    logs.register_secret(value)
    await _try(call, call.box.output_secrets.keep, call.path.name, value, order.hosts)


async def forget_secret(call: Call) -> None:
    """Forget a secret."""
    if not await _try(call, call.box.output_secrets.forget, call.path.name):
        raise Refused(HTTPStatus.NOT_FOUND, f"no secret {call.path.name!r} is kept")


def users_of(name: str, outputs: Any) -> list[str]:  # noqa: ANN401 - any JSON
    """Return the ids of the destinations that name a secret."""
    whole = outputs if isinstance(outputs, dict) else {}
    destinations = whole.get("destinations")
    parts: list[tuple[Any, Any]] = [
        (d.get("id"), d) for d in destinations or () if isinstance(d, dict)
    ]
    parts.append(("home-assistant", whole.get("home_assistant")))
    return [str(user) for user, part in parts if name in _named(part)]


def _named(value: Any, key: str = "") -> frozenset[str]:  # noqa: ANN401 - any JSON
    """Return the secrets that a part of the settings names."""
    if isinstance(value, dict):
        return frozenset().union(*(_named(below, name) for name, below in value.items()))
    if not isinstance(value, str):
        return frozenset()
    return frozenset({value} if key in REFERENCES else IN_TEMPLATE.findall(value))


def _outputs(call: Call) -> Any:  # noqa: ANN401 - any JSON
    try:
        document = read_json(call.box.desk.current().text).value
    except BadJson:
        return None
    return document.get("outputs") if isinstance(document, dict) else None


async def _try(call: Call, function: Any, *arguments: Any) -> Any:  # noqa: ANN401 - passed on
    try:
        return await call.box.in_thread(function, *arguments)
    except TransientError as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error


ENDPOINTS: Final = (
    Endpoint("GET", "/secrets", list_secrets, Scope.CONFIGURE, SecretList, tag=TAG),
    Endpoint(
        "PUT",
        "/secrets/{name}",
        keep_secret,
        Scope.CONFIGURE,
        body=NewSecret,
        path_model=SecretName,
        tag=TAG,
    ),
    Endpoint(
        "DELETE",
        "/secrets/{name}",
        forget_secret,
        Scope.CONFIGURE,
        path_model=SecretName,
        errors=(HTTPStatus.NOT_FOUND,),
        tag=TAG,
    ),
)
