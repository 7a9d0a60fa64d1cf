"""Names that stay: keys of labels, ids of entities and devices, and texts for people."""

import re
import unicodedata
from hashlib import blake2b
from typing import Final

LONGEST_STATE: Final = 255
"""Home Assistant shows a longer state as unknown."""
LONGEST_TEXT: Final = 1000
"""Of a reason among the attributes: they are not recorded beyond 16 kB together."""

_PLAIN = re.compile(r"[a-z0-9_]{1,32}")
_OTHER = re.compile(r"[^a-z0-9]+")
_SLUG_LENGTH: Final = 24
_ELLIPSIS: Final = "…"


def label_key(label: str) -> str:
    """Return a name for a label, of `a-z`, `0-9`, `_` and `-`; no other label has the same.

    It hangs on the label alone, so it stays the same whatever other labels come and go.
    """
    if _PLAIN.fullmatch(label):
        return label
    # No plain label holds a hyphen.
    return f"{slug(label)[:_SLUG_LENGTH] or 'label'}-{_digest(label)}"


def label_slugs(labels: tuple[str, ...]) -> dict[str, str]:
    """Return for each label what stands for it in ids that people read; no two have the same."""
    found = {label: slug(label) or "label" for label in labels}
    often = list(found.values())
    return {
        label: name if often.count(name) == 1 else f"{name}_{_digest(label)}"
        for label, name in found.items()
    }


def slug(text: str) -> str:
    """Return the text in `a-z`, `0-9` and `_`; it may be empty."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore")
    return _OTHER.sub("_", plain.decode().lower()).strip("_")


def shown(text: str) -> str:
    """Return the text for people: in one line, without characters that nobody can see."""
    parts = (" " if unicodedata.category(letter) in _UNSEEN else letter for letter in text)
    return " ".join("".join(parts).split()) or "?"


_UNSEEN: Final = ("Cc", "Cs", "Co", "Cn")


def cut(text: str, longest: int = LONGEST_STATE) -> str:
    """Return the text, shortened where it is too long."""
    return text if len(text) <= longest else text[: longest - 1] + _ELLIPSIS


def named(device: str, name: str, otherwise: str) -> str:
    """Return the name of an entity: one that does not begin as its device does.

    Home Assistant puts the device's name in front, and takes it away from one that has it.
    """
    return otherwise if name.casefold().startswith(device.casefold()) else name


def _digest(text: str) -> str:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=5).hexdigest()
