"""Comments in JPEG files (ITU-T T.81, B.1.1.3 and B.2.4.5)."""

from typing import Final

START: Final = b"\xff\xd8"
JFIF: Final = b"\xff\xe0"
COMMENT: Final = b"\xff\xfe"
LENGTH_BYTES: Final = 2
LONGEST_COMMENT: Final = 0xFFFF - LENGTH_BYTES


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """Return the JPEG with a comment before all its other segments but that of JFIF.

    JFIF must be the first one, and some readers look for it there.

    Raises:
        ValueError: no JPEG, or a comment longer than one can be.
    """
    if not jpeg.startswith(START):
        raise ValueError(f"{len(jpeg)} bytes that are no JPEG")
    if len(comment) > LONGEST_COMMENT:
        raise ValueError(f"a comment of {len(comment)} bytes; {LONGEST_COMMENT} fit")
    at = len(START)
    if jpeg[at:].startswith(JFIF):
        length_at = at + len(JFIF)
        at = length_at + int.from_bytes(jpeg[length_at : length_at + LENGTH_BYTES], "big")
    length = (LENGTH_BYTES + len(comment)).to_bytes(LENGTH_BYTES, "big")
    return b"".join((jpeg[:at], COMMENT, length, comment, jpeg[at:]))
