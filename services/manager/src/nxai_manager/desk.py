"""Where settings are read, changed and brought back: by the page, and by commands.

The file is the truth. The desk writes it as a person would, the `Configurator` takes it up as it
takes up every edit, and tells the desk what came of it. Between the two stands a lock, so that no
change is made to a text that somebody else has changed meanwhile.

What leaves here for a page has no passwords in it (`core/hidden.py`).
"""

import json
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from nxai_common.contracts.commands import AdjustCamera
from nxai_common.contracts.configuration import CameraSource
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_manager.core import editing
from nxai_manager.core.consistency import PLACEHOLDER
from nxai_manager.core.document import Settings
from nxai_manager.core.editing import Document
from nxai_manager.core.hidden import hide, hide_value, reveal
from nxai_manager.core.history import (
    SHOWN_CHANGES,
    Author,
    Difference,
    Entry,
    How,
    differences,
    entry_id,
    line_difference,
)
from nxai_manager.core.json_text import BadJson, read_json
from nxai_manager.core.loose_json import read_loosely
from nxai_manager.core.nx_settings import Row, is_nx_settings, translate
from nxai_manager.core.problems import Problem, RefusedSettings, check_settings
from nxai_manager.ports import HistoryStore, SettingsStore

log = logging.getLogger(__name__)

TAKEN_S: Final = 5.0
"""A change is in force within a tenth of a second; a disk that is busy may need longer."""
MOST_AUTHORS: Final = 32
"""Texts that were written and are not in force yet; all but the newest are about to be replaced."""
MOST_IMPORTS: Final = 8
IMPORT_S: Final = 3600.0
"""So long the passwords of an imported file are remembered, until its text is saved."""
GOOD: Final = "good"
"""Stands for the text in force in the place of an entry's name."""


class SettingsChanged(RejectedError):  # noqa: N818 - named for what happened
    """Somebody else has changed the settings since they were read."""


class SettingsBroken(RejectedError):  # noqa: N818 - named for their state
    """The file has mistakes, so that no part of it can be changed by itself."""

    def __init__(self, reason: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(reason)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Good:
    """What is in force."""

    revision: str
    at: datetime
    author: Author


@dataclass(frozen=True, slots=True)
class View:
    """How the settings stand. Without passwords."""

    text: str
    """Of the file."""
    revision: str
    """Of the text in the file; '' while there is no file."""
    problems: tuple[Problem, ...] = ()
    """Why the text cannot be used. Line 0: of the file as a whole."""
    in_force: bool = False
    """Whether the text in the file is what runs."""
    held_up: str = ""
    """Why a good text is not in force yet."""
    good: Good | None = None
    """What is in force; None: nothing yet."""
    cameras: Mapping[str, Document] = field(default_factory=dict)
    """Those in force by their ids, as they stand in the text."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file that was brought along became. Nothing of it is in force."""

    kind: Literal["nxai-edge", "nx-ai-manager"]
    text: str
    """Settings for the editor."""
    token: str
    """To be given with the text when it is saved: its passwords are remembered by it."""
    problems: tuple[Problem, ...]
    """What is to be put right before the text can be saved."""
    rows: tuple[Row, ...] = ()
    """What became of each key of the closed manager's file."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry of the history with its text, without passwords."""

    entry: Entry
    text: str
    differences: tuple[Difference, ...]
    lines: str
    """The same as a unified diff."""


@dataclass(slots=True)
class _File:
    """The file as it was seen last."""

    text: str | None = None
    shown: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Running:
    """What is in force, with passwords."""

    text: str | None = None
    settings: Settings | None = None
    document: Document = field(default_factory=dict)
    cameras: Mapping[str, Document] = field(default_factory=dict)
    """By their ids, without passwords."""
    good: Good | None = None
    before: str | None = None
    """What was in force before it."""
    kept: bool = False
    """Whether it is in the history."""


class SettingsDesk:
    """Reads and changes settings.json for whoever asks, one after the other. Thread-safe."""

    def __init__(
        self,
        store: SettingsStore,
        history: HistoryStore,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store = store
        self._history = history
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())
        """Guards all below; notified when the configurator has told something."""
        self._file = _File()
        self._running = _Running()
        self._held_up = ("", "")
        """Revision of a good text that cannot be put in force for now, and why."""
        self._told = ""
        """Revision of the text that the configurator told of last."""
        self._authors: OrderedDict[str, Author] = OrderedDict()
        """Of texts that were written and not told of yet, by revision."""
        self._imports: OrderedDict[str, tuple[float, Document]] = OrderedDict()
        """Documents with their passwords, by token, and until when they are remembered."""
        self._view = View("", "")
        self._listeners: list[Callable[[View], None]] = []

    # -- what the configurator tells ------------------------------------------------------------

    def expect(self, text: str, author: Author) -> None:
        """Remember who writes this text, until it is told of."""
        with self._changed:
            self._authors[self._history.revision(text)] = author
            while len(self._authors) > MOST_AUTHORS:
                self._authors.popitem(last=False)

    def in_force(self, text: str, settings: Settings) -> None:
        """Note that a text is in force from now on; `keep` follows."""
        with self._changed:
            revision = self._history.revision(text)
            author = self._authors.pop(revision, None) or Author(how=How.FILE)
            if text != self._running.text:
                document: Document = read_json(text).value
                self._running = _Running(
                    text=text,
                    settings=settings,
                    document=document,
                    cameras={c["id"]: hide_value(c) for c in document.get("cameras", ())},
                    good=Good(revision, self._clock(), author),
                    before=self._running.text,
                )
            self._look()
        self._announce()

    def keep(self) -> None:
        """Keep the text that is in force in the history, unless it is there.

        Raises:
            TransientError: the disk is full; `held_up` follows. Ask again later.
        """
        with self._changed:
            running = self._running
            if running.text is None or running.good is None:
                return
            if not running.kept:
                self._keep(running, running.text, running.good)
            running.kept = True
            self._tell(running.good.revision)
        self._announce()

    def _keep(self, running: _Running, text: str, good: Good) -> None:
        newest = next((entry for entry in self._history.entries() if entry.used), None)
        if newest is not None and newest.revision == good.revision:  # of an earlier process
            running.good = Good(newest.revision, newest.at, newest.author)
            return
        before = running.before
        if before is None and newest is not None:
            before = self._history.read(newest.id)[1]
        self._add(text, before, good.author, good.at, used=True)

    def refused(self, text: str | None) -> None:
        """Note that what is in the file now cannot be used (None: it cannot even be read)."""
        with self._changed:
            self._tell(self._history.revision(text))
        self._announce()

    def held_up(self, text: str, reason: str) -> None:
        """Note that a good text cannot be put in force for now."""
        with self._changed:
            revision = self._history.revision(text)
            self._held_up = (revision, reason)
            self._tell(revision)
        self._announce()

    def _tell(self, revision: str) -> None:
        self._look()
        self._told = revision
        self._changed.notify_all()

    def _add(
        self, text: str, before: str | None, author: Author, at: datetime, *, used: bool
    ) -> None:
        found = [] if before is None else [d.where for d in differences(before, text)]
        self._history.add(
            text,
            at,
            author,
            used=used,
            changes=tuple(found[:SHOWN_CHANGES]),
            more_changes=len(found[SHOWN_CHANGES:]),
        )

    # -- how the settings stand -----------------------------------------------------------------

    @property
    def settings(self) -> Settings | None:
        """The settings in force; None: none are yet. Quick: waits for no disk and no lock."""
        return self._running.settings

    def current(self) -> View:
        """Return how the settings stand as far as is known: quick, without a look at the file."""
        return self._view

    def look(self) -> View:
        """Look at the file, and return how the settings stand."""
        with self._changed:
            self._look()
            return self._view

    def listen(self, hear: Callable[[View], None]) -> None:
        """Call `hear`, from any thread, now and whenever something may have changed."""
        with self._changed:
            self._listeners.append(hear)
        hear(self._view)

    def _announce(self) -> None:
        with self._changed:
            view, listeners = self._view, tuple(self._listeners)
        for hear in listeners:
            hear(view)

    def _look(self) -> str | None:
        """Read the file; return its text, None when there is none or it cannot be read."""
        try:
            text = self.store.glance()
        except ConfigurationError as error:
            self._file = _File(problems=(Problem(0, "", str(error)),))
        else:
            if text is None:
                self._file = _File(problems=(Problem(0, "", f"{self.store.name} is gone"),))
            elif text != self._file.text:
                self._file = _File(text, self._hidden(text), _problems(text))
        self._refresh()
        return self._file.text

    def _hidden(self, text: str, *, usernames: bool = False) -> str:
        cameras = self._running.settings.cameras if self._running.settings is not None else ()
        known = [camera.password.get_secret_value() for camera in cameras]
        return hide(text, usernames=usernames, known=known)

    def _refresh(self) -> None:
        file, running = self._file, self._running
        revision = self._history.revision(file.text)
        in_force = file.text is not None and file.text == running.text
        self._view = View(
            text=file.shown,
            revision=revision,
            problems=file.problems,
            in_force=in_force,
            held_up=self._held_up[1] if self._held_up[0] == revision and not in_force else "",
            good=running.good,
            cameras=running.cameras,
        )

    # -- changing the text ----------------------------------------------------------------------

    def check(self, text: str, imported: str = "") -> tuple[Problem, ...]:
        """Return what is wrong with a text that came from a page.

        Args:
            text: With dots for the passwords that are kept.
            imported: Token of the import that the text came from.
        """
        with self._changed:
            now = self._look()
            return self._revealed(text, now, imported)[1]

    def write(
        self,
        text: str,
        expected: str | None,
        by: str,
        *,
        imported: str = "",
        wait_s: float = TAKEN_S,
    ) -> View:
        """Write a text that came from a page, and return how the settings stand then.

        Args:
            text: With dots for the passwords that are kept.
            expected: Revision that was read before; None: whatever is there.
            by: Who does it.
            imported: Token of the import that the text came from.
            wait_s: How long to wait until it is in force.

        Raises:
            RefusedSettings: it has mistakes; nothing was written.
            SettingsChanged: somebody else wrote meanwhile; nothing was written.
            TransientError: the disk is full or the folder cannot be written.
        """
        author = Author(how=How.IMPORT if imported else How.PAGE, who=by)
        with self._changed:
            now = self._expected(expected)
            whole, problems = self._revealed(text, now, imported)
            if problems:
                raise RefusedSettings(problems)
            self._replace(now, whole, author)
            self._imports.pop(imported, None)
        return self._settled(wait_s)

    def change(self, patch: Mapping[str, Any], by: str, *, expected: str | None = None) -> View:
        """Apply a merge patch to the parts at the top; as `write`, and as all below.

        Raises:
            SettingsBroken: the file has mistakes.
        """
        return self._edit(lambda d: editing.changed(d, patch), _page(by), expected)

    def add_camera(self, camera: Document, by: str, *, expected: str | None = None) -> View:
        """Add a camera.

        Raises:
            CameraExists: there is one of its id.
        """
        return self._edit(lambda d: editing.with_camera(d, camera), _page(by), expected)

    def replace_camera(
        self, name: str, camera: Document, by: str, *, expected: str | None = None
    ) -> View:
        """Put another camera in the place of one.

        Raises:
            NoSuchCamera: there is none of this name.
        """
        return self._edit(
            lambda d: editing.with_camera_replaced(d, name, camera), _page(by), expected
        )

    def change_camera(
        self, name: str, patch: Mapping[str, Any], by: str, *, expected: str | None = None
    ) -> View:
        """Apply a merge patch to a camera.

        Raises:
            NoSuchCamera: there is none of this name.
        """
        return self._edit(
            lambda d: editing.with_camera_changed(d, name, patch), _page(by), expected
        )

    def remove_camera(self, name: str, by: str, *, expected: str | None = None) -> View:
        """Take a camera out.

        Raises:
            NoSuchCamera: there is none of this name.
        """
        return self._edit(lambda d: editing.without_camera(d, name), _page(by), expected)

    def run(
        self,
        *,
        running: bool,
        cameras: Collection[str] | None,
        author: Author,
        wait_s: float = TAKEN_S,
    ) -> View:
        """Run or stop inference of the box (None) or of some cameras.

        Raises:
            NoSuchCamera: there is none of a name.
        """
        return self._edit(
            lambda d: editing.with_run(d, running=running, cameras=cameras), author, None, wait_s
        )

    def adjust(self, command: AdjustCamera, author: Author) -> View:
        """Change what people change often of a camera.

        Raises:
            NoSuchCamera: there is none of this id.
        """
        wanted = command.model_dump(include={"enabled", "run", "collect", "threshold", "uncertain"})
        return self._edit(
            lambda d: editing.with_camera_adjusted(d, command.camera, **wanted), author, None, 0
        )

    def password_meant(self, camera: str, source: CameraSource, password: str) -> str:
        """Return the password for a source that is tried while a camera is edited.

        Args:
            camera: Its id.
            source: As it is in the form.
            password: As typed, or dots for the one that is kept.

        Raises:
            RejectedError: none is kept, or it is kept for another address.
        """
        tried = {"id": camera, "source": source.model_dump(mode="json"), "password": password}
        with self._changed:
            kept = self._passwords(self._file.text)
        text, problems = reveal(json.dumps({"cameras": [tried]}), kept)
        for problem in problems:
            raise RejectedError(problem.reason)
        meant: str = json.loads(text)["cameras"][0]["password"]
        return meant

    def _expected(self, revision: str | None) -> str | None:
        """Return the text that is there, if it is the one that a change was made to."""
        now = self._look()
        if revision is not None and revision != self._view.revision:
            raise SettingsChanged(self._who_changed(self._view.revision))
        return now

    def _who_changed(self, revision: str) -> str:
        """Say who wrote the text that is there, and when."""
        good = self._running.good
        if good is not None and good.revision == revision:
            who, at = str(good.author), good.at
        else:
            author = self._authors.get(revision, Author(how=How.FILE))
            who, at = str(author), self.store.written_at() or self._clock()
        return (
            f"the settings were changed meanwhile ({who}, {at:%Y-%m-%d %H:%M:%S} UTC); load them "
            "again, and make your change to those"
        )

    def _passwords(self, now: str | None, imported: str = "") -> list[Any]:
        """Return documents whose passwords a placeholder may stand for, the likeliest first."""
        until, document = self._imports.get(imported, (0.0, {}))
        found: list[Any] = [document] if time.monotonic() < until else []
        if now is not None:
            found.append(read_loosely(now).value)
        return [*found, self._running.document]

    def _revealed(
        self, text: str, now: str | None, imported: str
    ) -> tuple[str, tuple[Problem, ...]]:
        """Return a text with its passwords, and what is wrong with it."""
        whole, problems = reveal(text, self._passwords(now, imported))
        told = {(problem.line, problem.where) for problem in problems}
        others = (p for p in _problems(whole) if (p.line, p.where) not in told)
        return whole, RefusedSettings((*problems, *others)).problems

    def _edit(
        self,
        change: Callable[[Document], Document],
        author: Author,
        expected: str | None,
        wait_s: float = TAKEN_S,
    ) -> View:
        with self._changed:
            now = self._expected(expected)
            if now is None or self._file.problems:
                first = self._file.problems[0]
                raise SettingsBroken(
                    f"{self.store.name} has a mistake, so that no part of it can be changed by "
                    f"itself: {first if first.line else first.reason}. Put it right, or restore "
                    "the last good settings",
                    self._file.problems,
                )
            document = hide_value(read_json(now).value)
            try:
                changed = change(document)
                text = editing.written(changed)
            except RecursionError:
                raise RefusedSettings([Problem(0, "", "nested too deeply")]) from None
            if json.dumps(changed) == json.dumps(document):
                return self._view
            whole, problems = self._revealed(text, now, "")
            if problems:  # the lines are of a text that nobody has seen
                raise RefusedSettings(replace(problem, line=0) for problem in problems)
            self._replace(now, whole, author)
        return self._settled(wait_s)

    def _replace(self, now: str | None, text: str, author: Author) -> None:
        """Write a good text in the place of the one that is there."""
        if text == now:
            return
        if now is not None and now != self._running.text:
            self._put_aside(now)
        self.expect(text, author)
        if not self.store.replace(now, text):
            self._look()
            raise SettingsChanged(self._who_changed(self._view.revision))
        log.info("settings written", extra={"by": str(author)})
        self._look()

    def _put_aside(self, text: str) -> None:
        """Keep a text that was never in force and is about to be replaced."""
        revision = self._history.revision(text)
        entries = self._history.entries()
        if not entries or entries[0].revision != revision:
            author = self._authors.get(revision, Author(how=How.FILE))
            self._add(text, self._running.text, author, self._clock(), used=False)

    def _settled(self, wait_s: float) -> View:
        """Wait until the configurator has told of the text in the file; return how it stands."""
        with self._changed:
            written = self._view.revision
            self._changed.wait_for(
                lambda: self._told == written or self._view.revision != written, wait_s
            )
            return self._view

    # -- the settings of before -----------------------------------------------------------------

    def history(self) -> tuple[Entry, ...]:
        """Return the texts that are kept, newest first.

        Raises:
            TransientError: the folder cannot be read.
        """
        with self._changed:
            return self._history.entries()

    def entry(self, name: str, *, against_now: bool, usernames: bool = False) -> Kept:
        """Return a text that is kept, and how it differs.

        Args:
            name: Of the entry, or `GOOD`.
            against_now: Compare it with the text in the file, and not with the entry before it.
            usernames: Hide the user names at the cameras, too.

        Raises:
            NoSuchEntry: there is none of this name.
        """
        with self._changed:
            entry, text = self._kept(name)
            before: str | None
            if against_now:
                before = self._look()
            else:
                older = (e for e in self._history.entries() if e.used and e.id < entry.id)
                earlier = next(older, None)
                before = None if earlier is None else self._history.read(earlier.id)[1]
        shown = [self._hidden(t, usernames=usernames) for t in (before or "", text)]
        if PLACEHOLDER in shown:  # nothing can be told of one of them
            return Kept(entry, shown[1], (), "")
        return Kept(
            entry,
            shown[1],
            differences(before, text, usernames=usernames),
            line_difference(before or "", text, usernames=usernames),
        )

    def restore(
        self, name: str, by: str, *, expected: str | None = None, wait_s: float = TAKEN_S
    ) -> View:
        """Write a text of before, with the passwords that it had.

        Raises:
            NoSuchEntry: there is none of this name.
            RefusedSettings: this version does not take it any more.
            SettingsChanged: somebody else wrote meanwhile; nothing was written.
            TransientError: the disk is full or the folder cannot be written.
        """
        with self._changed:
            entry, text = self._kept(name)
            problems = _problems(text)
            if problems:
                raise RefusedSettings(problems)
            now = self._expected(expected)
            self._replace(now, text, Author(how=How.RESTORE, who=by, of=entry.id))
        return self._settled(wait_s)

    def _kept(self, name: str) -> tuple[Entry, str]:
        running = self._running
        if name != GOOD or running.text is None or running.good is None:
            return self._history.read(name)
        good = running.good
        for entry in self._history.entries():
            if entry.used and entry.revision == good.revision:
                return entry, running.text
        return (  # the disk was full
            Entry(
                id=entry_id(None, good.revision),
                at=good.at,
                revision=good.revision,
                author=good.author,
            ),
            running.text,
        )

    # -- files that are brought along and taken away ---------------------------------------------

    def export(self) -> str:
        """Return the text in the file, or where that has mistakes, the one in force."""
        with self._changed:
            self._look()
            if self._file.problems and self._running.text is not None:
                return hide(self._running.text)
            return self._file.shown

    def take_in(self, text: str) -> Imported:
        """Read a settings file of this program or of the closed manager; changes nothing.

        Raises:
            RefusedSettings: it is neither.
        """
        text = text.removeprefix("\ufeff")  # Windows editors begin a file with a mark
        value = _value(text)
        rows: tuple[Row, ...] = ()
        kind: Literal["nxai-edge", "nx-ai-manager"] = "nxai-edge"
        with self._changed:
            now = self._look()
            if is_nx_settings(value):
                kind = "nx-ai-manager"
                translated = translate(value, self._running.document)
                text, rows = editing.written(translated.document), translated.rows
                value = translated.document
            elif not _SETTINGS_KEYS & value.keys():
                raise RefusedSettings([Problem(1, "", _NEITHER)])
            token = secrets.token_urlsafe(12)
            self._imports[token] = (time.monotonic() + IMPORT_S, value)
            while len(self._imports) > MOST_IMPORTS:
                self._imports.popitem(last=False)
            shown = hide(text)
            return Imported(kind, shown, token, self._revealed(shown, now, token)[1], rows)


_SETTINGS_KEYS: Final = frozenset(Settings.model_fields)
_NEITHER: Final = (
    'these are neither settings of nxai-edge (with "cameras" and so on) nor of the Nx AI Manager '
    '(with "settings" and "module")'
)


def _value(text: str) -> Document:
    try:
        value = read_json(text).value
    except BadJson as error:
        raise RefusedSettings([Problem(error.line, "", error.reason)]) from None
    if not isinstance(value, dict):
        raise RefusedSettings([Problem(1, "", _NEITHER)])
    return value


def _problems(text: str) -> tuple[Problem, ...]:
    try:
        check_settings(text)
    except RefusedSettings as error:
        return error.problems
    return ()


def _page(by: str) -> Author:
    return Author(how=How.PAGE, who=by)
