"""User names and passwords, one JSON file a camera, in a folder only this service can read."""

from pathlib import Path

from pydantic import BaseModel, SecretStr, ValidationError

from nxai_capture.ports import Credentials
from nxai_common.errors import ConfigurationError
from nxai_common.logs import register_secret


class _CredentialsFile(BaseModel):
    username: str
    password: SecretStr


class SecretsDirectory:
    """Reads `<folder>/<name>.json`: `{"username": "...", "password": "..."}`.

    Args:
        folder: Need not exist before a camera asks for its credentials.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> Credentials:
        """Return the credentials of that name, as they are now.

        Raises:
            ConfigurationError: no such file, not readable, or not as it should be. The message
                never quotes what is in it.
        """
        if not name or name != Path(name).name or name.startswith("."):
            raise ConfigurationError(f"credentials name {name!r} must be a plain file name")
        path = self._folder / f"{name}.json"
        problem = ""
        try:
            found = _CredentialsFile.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            problem = "does not exist"
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        except ValidationError:  # its text quotes the values
            problem = 'must hold {"username": "...", "password": "..."}'
        else:
            register_secret(found.password.get_secret_value())
            return Credentials(found.username, found.password)
        raise ConfigurationError(f"credentials file {str(path)!r} {problem}")
