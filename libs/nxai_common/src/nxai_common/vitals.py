"""What the machine knows of this process: memory, threads, open files, room on a disk."""

import os
import shutil
import threading
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024


def vitals(folder: Path, process: Path = Path("/proc/self")) -> dict[str, int | float]:
    """Return gauges of this process and of the disk that it depends on.

    Args:
        folder: On the disk in question; its nearest folder that exists is asked.
        process: Where Linux tells of this process.

    Returns:
        `memory_mb` (resident set), `open_files` (0 each where there is no Linux to ask), `threads`,
        `disk_free_mb` (for this user) and `disk_size_mb` (0 each where nobody knows), in MiB.
    """
    free, size = _room(folder)
    return {
        "memory_mb": _resident_mb(process),
        "threads": _entries(process / "task") or threading.active_count(),
        "open_files": max(0, _entries(process / "fd") - 1),  # one is the listing itself
        "disk_free_mb": free,
        "disk_size_mb": size,
    }


def _resident_mb(process: Path) -> float:
    try:
        pages = int((process / "statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / MIB, 1)


def _entries(folder: Path) -> int:
    try:
        return len(os.listdir(folder))  # noqa: PTH208 - each second: no need to make paths of them
    except OSError:
        return 0


def _room(folder: Path) -> tuple[int, int]:
    absolute = folder.absolute()
    for place in (absolute, *absolute.parents):
        try:
            usage = shutil.disk_usage(place)
        except FileNotFoundError:
            continue  # not made yet
        except OSError:
            break
        return usage.free // MIB, usage.total // MIB
    return 0, 0
