"""Where the next page or part begins: the key of the last result, as an opaque text."""

import base64
import binascii
import enum
from dataclasses import dataclass
from typing import Final, Self

from nxai_common.errors import RejectedError
from nxai_publisher.core.rows import Row

LARGEST: Final = 2**62
"""Of a time or sequence: what a database column holds, and one more of it too."""
LONGEST_TEXT: Final = 600
"""As in `contracts.commands.Cursor`; the longest that is given out has 567."""


class Walk(enum.StrEnum):
    """What a place belongs to; in another order it means nothing."""

    NEWEST_FIRST = "n"
    OLDEST_FIRST = "o"
    EXPORT = "e"
    COUNTS = "c"


@dataclass(frozen=True, slots=True)
class Place:
    """Between two results. Results are in order of time, camera, model, stream and sequence.

    A place that is not right behind a result but at a moment has no camera: it comes before all
    results of that microsecond, in whichever direction one walks.
    """

    at_us: int
    camera: str = ""
    model: str = ""
    stream: str = ""
    sequence: int = 0

    @classmethod
    def behind(cls, row: Row) -> Self:
        """Return the place right behind a stored result."""
        return cls(
            row["captured_at_us"], row["camera"], row["model"], row["stream"], row["sequence"]
        )

    def text(self, walk: Walk) -> str:
        """Return it as letters, digits, ``-`` and ``_``."""
        fields = (walk, self.at_us, self.sequence, self.camera, self.model, self.stream)
        # No field has a NUL: PostgreSQL would take none.
        plain = "\0".join(map(str, fields)).encode()
        return base64.urlsafe_b64encode(plain).decode("ascii").rstrip("=")

    @classmethod
    def read(cls, text: str, walk: Walk) -> Self | None:
        """Return the place in `text`; None when it is empty: at the beginning.

        Raises:
            RejectedError: it was not made here, or for another order.
        """
        if not text:
            return None
        try:
            plain = base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
            of, at_us, sequence, camera, model, stream = plain.decode().split("\0")
            place = cls(int(at_us), camera, model, stream, int(sequence))
        except (binascii.Error, ValueError):
            raise RejectedError(_NOT_OURS) from None
        if of != walk or not 0 <= place.at_us <= LARGEST or not 0 <= place.sequence < 2 * LARGEST:
            raise RejectedError(_NOT_OURS)
        return place


_NOT_OURS: Final = (
    "`after` is not the `next` of an answer to this question; leave it empty to begin anew"
)
