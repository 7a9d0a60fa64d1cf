"""sessions.json: who is logged in, kept so that an update of the manager logs nobody out."""

import logging
import secrets
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from nxai_manager.adapters.settings_file import write
from nxai_manager.core.sessions import MOST_SESSIONS, Kept, Session

log = logging.getLogger(__name__)

NAME: Final = "sessions.json"
MAX_BYTES: Final = 256 * 1024
KEY_BYTES: Final = 32


class _Session(BaseModel):
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    user: str
    generation: str
    created_at: float
    seen_at: float


class _File(BaseModel):
    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    sessions: Annotated[tuple[_Session, ...], Field(max_length=MOST_SESSIONS)]


class SessionsFile:
    """Keeps digests alone: nobody can log in with what stands here."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def read(self) -> Kept:
        """Return what was kept; where that cannot be used, everybody logs in again."""
        try:
            with self._path.open("rb") as file:
                found = _File.model_validate_json(file.read(MAX_BYTES))
        except FileNotFoundError:
            return Kept(secrets.token_bytes(KEY_BYTES))
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is damaged"
            log.warning("%s cannot be used (%s): everybody must log in again", self._path, reason)
            return Kept(secrets.token_bytes(KEY_BYTES))
        return Kept(
            bytes.fromhex(found.key), tuple(Session(**dict(each)) for each in found.sessions)
        )

    def keep(self, kept: Kept) -> None:
        """Keep them for the next start.

        Raises:
            TransientError: the disk is full or the folder cannot be written.
        """
        sessions = tuple(
            _Session(
                digest=each.digest,
                user=each.user,
                generation=each.generation,
                created_at=each.created_at,
                seen_at=each.seen_at,
            )
            for each in kept.sessions
        )
        write(self._path, _File(key=kept.key.hex(), sessions=sessions).model_dump_json())
