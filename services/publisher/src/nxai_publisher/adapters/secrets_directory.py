"""Secrets of destinations, one file each, in a folder that only this service can read.

`NAME` holds the text. `NAME.json` holds ``{"value": "...", "hosts": ["shop.example"]}``: such a
one is sent to these hosts alone, so that a changed address does not take it elsewhere. Where
there are both, that one counts. A file that changed is read anew.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, SecretStr, ValidationError

from nxai_common.logs import register_secret
from nxai_publisher.ports import SecretUnavailable

LARGEST: Final = 64 * 1024
"""A client certificate's key has 3,000 bytes; what is larger was meant otherwise."""

_Stamp = tuple[str, int, int, int]


class _File(BaseModel):
    value: SecretStr
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Secret:
    text: str
    hosts: tuple[str, ...] | None
    """None: any."""


class SecretsDirectory:
    """Reads secrets; used by several threads."""

    def __init__(self, folder: Path) -> None:
        """Prepare; the folder need not exist before a destination asks for a secret."""
        self._folder = folder
        self._known: dict[str, tuple[_Stamp, _Secret]] = {}

    def read(self, name: str, host: str) -> str:
        """Return a secret as it is now, to be sent to a host.

        Raises:
            SecretUnavailable: there is none, it cannot be read, or it is not for this host. The
                message never quotes it.
        """
        found = self._found(name)
        if found.hosts is not None and host.lower() not in map(_plain, found.hosts):
            raise SecretUnavailable(
                f"secret {name!r} is not for {host!r}: give it again for this host, or set the "
                "address back"
            )
        return found.text

    def _found(self, name: str) -> _Secret:
        if not name.isidentifier() or not name.isascii():
            raise SecretUnavailable(f"secret {name[:64]!r} is no name of one")
        path = self._folder / f"{name}.json"
        try:
            stamp = _stamp(path)
            if stamp is None:
                path = self._folder / name
                stamp = _stamp(path)
            if stamp is None:
                raise SecretUnavailable(
                    f"there is no secret {name!r}: give it on the page, or put a file of that "
                    f"name into {self._folder}"
                )
            known = self._known.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            found = _secret(path)
        except OSError as error:
            raise SecretUnavailable(
                f"secret file {path} cannot be read: {error.strerror}; check owner and rights"
            ) from error
        register_secret(found.text)
        self._known[name] = (stamp, found)
        return found


def _stamp(path: Path) -> _Stamp | None:
    """Return what changes when a file does; None: there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return path.name, found.st_ino, found.st_mtime_ns, found.st_size


def _secret(path: Path) -> _Secret:
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise SecretUnavailable(f"secret file {path} has more than {LARGEST} bytes")
    if path.suffix == ".json":
        try:
            read = _File.model_validate_json(content)
        except ValidationError:  # its text quotes the value
            raise SecretUnavailable(
                f'secret file {path} must hold {{"value": "...", "hosts": ["..."]}}'
            ) from None
        return _Secret(read.value.get_secret_value(), read.hosts)
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretUnavailable(f"secret file {path} is not UTF-8 text") from None
    if not text:
        raise SecretUnavailable(f"secret file {path} is empty")
    return _Secret(text, None)


def _plain(host: str) -> str:
    return host.lower().strip("[]")
