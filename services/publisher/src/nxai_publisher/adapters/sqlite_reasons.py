"""What is wrong with an SQLite file, as a person reads it."""

from typing import Final

_REASONS: Final = {
    "SQLITE_FULL": "the disk is full; make room there",
    "SQLITE_BUSY": "another program holds it locked; close that program",
    "SQLITE_LOCKED": "another program holds it locked; close that program",
    "SQLITE_CORRUPT": "it is damaged; move it away (a new one is made) or restore a backup",
    "SQLITE_NOTADB": "this is not an SQLite database; move it away or set another path",
    "SQLITE_READONLY": "it may not be written; check the owner and rights of file and folder",
    "SQLITE_CANTOPEN": "it cannot be opened; check the folder and its rights",
    "SQLITE_IOERR": "reading or writing the disk failed; check the disk",
}


def sqlite_reason(error: object) -> str:
    """Say in one line what is wrong and what to do; empty for what is no error of SQLite's."""
    code = getattr(error, "sqlite_errorname", "")
    return next((reason for known, reason in _REASONS.items() if code.startswith(known)), "")
