"""Which names say that what stands under them is a secret."""

import difflib
import re
from functools import lru_cache
from typing import Final

LONGEST_KEY: Final = 40
"""No name of a secret has more characters."""

_SECRET_NAME = re.compile(
    r"pas|pwd|psw|kennwort|secret|token|auth|credential|signature|^sig$|(^|[_-])(api)?_?key$",
    re.IGNORECASE,
)
_LIKE_PASSWORD: Final = 0.7
"""Share of letters in common that makes a key a slip of "password"."""


def secret_name(key: str) -> bool:
    """Return whether what stands under a key is a secret; slips of "password" are meant as well."""
    return _SECRET_NAME.search(key) is not None or (len(key) <= LONGEST_KEY and _slip(key.lower()))


@lru_cache(maxsize=4096)  # the same few keys, for every value of a large file
def _slip(key: str) -> bool:
    return difflib.SequenceMatcher(None, key, "password").ratio() >= _LIKE_PASSWORD
