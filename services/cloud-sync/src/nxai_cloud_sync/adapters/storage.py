"""What a disk that does not do means for a person."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nxai_cloud_sync.ports import StorageUnavailable

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def storage(folder: Path) -> Iterator[None]:
    """Say in plain words why a folder cannot be used.

    Raises:
        StorageUnavailable: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageUnavailable(
                f"the disk of {folder} is full; make room, or delete models that are not used"
            ) from error
        raise StorageUnavailable(
            f"{folder} cannot be used: {error.strerror or error} ({error.filename}); see that this "
            "user may read and write there"
        ) from error
