"""The serial number of the box, as it stands on its label where the maker wrote it there."""

import contextlib
import functools
import hashlib
import hmac
from pathlib import Path
from typing import Final

WRITTEN_BY_MAKERS: Final = (
    Path("/sys/firmware/devicetree/base/serial-number"),
    Path("/sys/class/dmi/id/product_serial"),
    Path("/sys/class/dmi/id/board_serial"),
)
MACHINE_ID: Final = Path("/etc/machine-id")
NO_NUMBERS: Final = frozenset(
    {"", "0", "none", "default string", "not specified", "to be filled by o.e.m.", "unknown"}
)
"""What makers write who write none."""


@functools.cache
def serial_number(
    written: tuple[Path, ...] = WRITTEN_BY_MAKERS, machine_id: Path = MACHINE_ID
) -> str:
    """Return the maker's number, or else one made of the installation's, or ''.

    The installation's own number (machine-id(5)) is to be told to nobody: a digest of it is.
    """
    for path in written:
        with contextlib.suppress(OSError, UnicodeDecodeError):  # none, or for root alone
            number = path.read_bytes()[:200].decode().strip("\0 \n")
            if number.lower().strip("0") and number.lower() not in NO_NUMBERS:
                return number
    with contextlib.suppress(OSError):
        content = machine_id.read_bytes()[:200].strip()
        if content:
            return hmac.new(content, b"nxai-edge", hashlib.sha256).hexdigest()[:16]
    return ""
