"""settings.json on disk: read, watched, and the last good one kept."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import watchfiles

from nxai_common.errors import ConfigurationError, TransientError
from nxai_manager.adapters.secrets_directory import write_private
from nxai_manager.core.json_text import MAX_CHARACTERS

log = logging.getLogger(__name__)

LAST_GOOD_SUFFIX: Final = ".last-good"
SETTLE_MS: Final = 50
"""An editor truncates, writes and renames in a few milliseconds: look at the end of it once."""
MAX_BYTES: Final = 4 * MAX_CHARACTERS
"""UTF-8 needs at most four bytes a character."""


class SettingsFile:
    """Watches the folder and not the file: most editors write a new file and rename it.

    The file's signature is compared at every look as well: a single file mounted into a
    container, and some network disks, send no notice.
    """

    def __init__(self, path: Path, state_dir: Path | None = None) -> None:
        self._path = path.absolute()
        self._last_good = beside(path, LAST_GOOD_SUFFIX, state_dir)
        self._signature: tuple[int, ...] | None = None
        self._noticed = threading.Event()
        self._notify: Callable[[], None] = _nobody

    @property
    def name(self) -> str:
        """The path, for messages."""
        return str(self._path)

    def read(self) -> str | None:
        """Return the text, or None when there is no file.

        Raises:
            ConfigurationError: it is there but cannot be read.
        """
        self._signature = self._look()
        return _read(self._path)

    def glance(self) -> str | None:
        """Return the text as `read` does, from any thread; a change is still one afterwards.

        Raises:
            ConfigurationError: it is there but cannot be read.
        """
        return _read(self._path)

    def written_at(self) -> datetime | None:
        """Return when the file was written last, or None when there is none."""
        try:
            return datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        except OSError:
            return None

    def create(self, text: str) -> None:
        """Write the file, readable by its owner alone: passwords will stand in it.

        Raises:
            TransientError: the disk is full or the folder cannot be written.
        """
        write(self._path, text)

    def replace(self, before: str | None, text: str) -> bool:
        """Write a text in the place of the one that is there, from any thread.

        Args:
            before: What is believed to be there; None: no file.
            text: The new one.

        Returns:
            Whether `before` was there indeed; else nothing is written. (Somebody else who writes
            within the microseconds between the look and the renaming is overtaken.)

        Raises:
            ConfigurationError: what is there cannot be read.
            TransientError: the disk is full or the folder cannot be written.
        """
        target = self._path.resolve()  # where a link leads to, the link stays
        if not write(target, text, unless=lambda: _read(target) != before):
            return False
        self._noticed.set()
        self._notify()
        return True

    def kept(self) -> str | None:
        """Return where the last good text lies, readable or not, or None when none is kept."""
        try:
            self._last_good.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # a folder that cannot be entered may well hold one
            pass
        return str(self._last_good.absolute())

    def read_last_good(self) -> str | None:
        """Return the text that was in force last, or None when none is kept or readable."""
        try:
            return _read(self._last_good)
        except ConfigurationError as error:
            log.warning("%s", error)
            return None

    def keep_last_good(self, text: str) -> None:
        """Keep the text for the next start.

        Raises:
            TransientError: the disk is full or the folder cannot be written.
        """
        write(self._last_good, text)

    def changed(self) -> bool:
        """Return whether the file may have changed since it was read."""
        noticed = self._noticed.is_set()
        self._noticed.clear()
        return noticed or self._look() != self._signature

    @contextlib.contextmanager
    def watch(self, notify: Callable[[], None]) -> Iterator[None]:
        """Call `notify`, on a thread of its own, whenever the file may have changed."""
        with contextlib.suppress(OSError):  # reported by whoever writes the first file there
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._notify = notify
        stop = threading.Event()
        thread = threading.Thread(
            target=self._watch, args=(notify, stop), name="settings-watch", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            self._notify = _nobody
            stop.set()
            thread.join()

    def _watch(self, notify: Callable[[], None], stop: threading.Event) -> None:
        try:
            for _ in watchfiles.watch(
                self._path.parent,
                watch_filter=lambda _change, path: path == str(self._path),
                step=SETTLE_MS,
                debounce=4 * SETTLE_MS,
                stop_event=stop,
                rust_timeout=500,
                recursive=False,
            ):
                self._noticed.set()
                notify()
        except (OSError, RuntimeError) as error:  # no more inotify watches; the folder is gone
            log.warning("no notice of changes of %s (%s); looking every second", self.name, error)

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        # The last one moves when rights are put right, and nothing else does then.
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def beside(settings: Path, suffix: str, state_dir: Path | None) -> Path:
    """Return where something that belongs to a settings file is kept."""
    folder = settings.absolute().parent if state_dir is None else state_dir
    return folder / (settings.name + suffix)


def write(path: Path, text: str, unless: Callable[[], bool] = lambda: False) -> bool:
    """Write a file for its owner alone, whole or not at all.

    Args:
        path: Of the file.
        text: All that shall be in it.
        unless: Asked last, when the text is safe on the disk: whether to leave the file alone.

    Returns:
        Whether it was written.

    Raises:
        TransientError: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_private(path, text, unless)
    except OSError as error:
        raise TransientError(
            f"{path} cannot be written: {error.strerror}; make room, or give this user the "
            "right to write there"
        ) from error


def _nobody() -> None:
    """Nobody watches."""


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{path} has more than {MAX_BYTES} bytes; is it another file?")
    try:
        return content.decode("utf-8-sig")  # Windows editors begin a file with a mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}: line {line}: not UTF-8 text; save it as UTF-8") from None
