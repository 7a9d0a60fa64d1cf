"""The Edge Impulse project that this box is linked to, and the way there."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal, Protocol

from pydantic import TypeAdapter

from nxai_cloud_sync.core.job_record import Details
from nxai_cloud_sync.core.keys import key_revision
from nxai_cloud_sync.core.project import Impulse, KeyInfo, ProjectInfo, Role, Selection, choose
from nxai_cloud_sync.core.updates import OfferKey
from nxai_cloud_sync.jobs import Job
from nxai_cloud_sync.ports import (
    Ingestion,
    KeyStore,
    Link,
    Remembered,
    StorageUnavailable,
    Studio,
)
from nxai_common.contracts.commands import LinkProject
from nxai_common.errors import ConfigurationError, KeyRefused, NxaiError, RejectedError

LINK: Final = TypeAdapter(Link)
MOST_DELETED: Final = 100
"""The project offers its newest models alone."""

NOT_LINKED: Final = "no Edge Impulse project is linked; link one with a key of the project"

Purpose = Literal["import", "upload", "train"]
"""What a project is used for; not every key lets do everything."""


class Connect(Protocol):
    """Opens the two APIs for a key. Implemented by the composition root."""

    def studio(self, base: str, key: str) -> Studio:
        """Return the Studio API."""
        ...

    def ingestion(self, base: str, key: str) -> Ingestion:
        """Return the ingestion API."""
        ...


class LinkedProject:
    """Knows what is linked. May be used from several threads."""

    def __init__(
        self,
        state: Remembered[Link],
        keys: KeyStore,
        connect: Connect,
        *,
        studio: str,
        ingestion: str,
    ) -> None:
        self._state = state
        self._keys = keys
        self._connect = connect
        self._default_studio = studio.rstrip("/")
        self._default_ingestion = ingestion.rstrip("/")
        self._lock = threading.Lock()
        """Guards what is read; held for moments."""
        self._writing = threading.Lock()
        """Held while the file is written, which may take its time."""
        self._link: Link | None = None
        self._unlinked = 0
        """How often; a job that began before does not bring the link back."""
        self.compute_ms_left: int | None = None
        """Compute time of the account when the project was looked at last; None: not known."""
        self._trouble = ""
        self._refused = ""
        """Revision of the key that was refused."""

    def open(self) -> None:
        """Take up what was linked before; finish or undo what a crash broke off.

        Raises:
            StorageUnavailable: it cannot be read, or not be finished.
        """
        link = self._state.read()
        prepared = None
        with contextlib.suppress(ConfigurationError):  # damaged: it goes
            prepared = self._keys.prepared()
        known = "" if link is None else link.key_revision
        if prepared is not None and key_revision(prepared) == known:
            self._keys.adopt()
        self._keys.drop()
        with self._lock:
            self._link = link

    @property
    def link(self) -> Link | None:
        """What is linked."""
        with self._lock:
            return self._link

    @property
    def impulses(self) -> tuple[Impulse, ...]:
        """Of the linked project, when it was linked."""
        link = self.link
        return () if link is None else link.impulses

    def require(self, to: Purpose | None = None) -> Link:
        """Return what is linked.

        Raises:
            RejectedError: nothing is, or not with a key that lets do this.
        """
        link = self.link
        if link is None:
            raise RejectedError(NOT_LINKED)
        if to is not None and not _lets(link, to):
            raise RejectedError(_note(_role(link), reads=bool(link.learn_block)))
        return link

    def may(self, to: Purpose) -> bool:
        """Tell whether a project is linked, with a key that lets do this."""
        link = self.link
        return link is not None and _lets(link, to)

    def studio(self) -> Studio:
        """Open the Studio API of the linked project; the caller closes it.

        Raises:
            RejectedError: nothing is linked.
            KeyRefused: there is no key.
        """
        link, key = self._link_and_key()
        return self._connect.studio(link.studio, key)

    def ingestion(self) -> Ingestion:
        """Open the ingestion API of the linked project; the caller closes it.

        Raises:
            RejectedError: nothing is linked.
            KeyRefused: there is no key.
        """
        link, key = self._link_and_key()
        return self._connect.ingestion(link.ingestion, key)

    def connect(self, command: LinkProject, job: Job, handed: str | None = None) -> Details:
        """Check key and project, choose impulse and learn block, remember them.

        Args:
            command: What to link.
            job: Told what happens.
            handed: A new key; it takes the place of the one before once it is linked. None: the
                key that is there.

        Raises:
            NxaiError: it cannot be linked; what was linked before stays, and its key.
        """
        if handed is None:
            return self._link_with(self._key(), command, job)
        try:
            self._keys.prepare(handed)
            return self._link_with(handed, command, job, adopts=True)
        except BaseException:
            with contextlib.suppress(StorageUnavailable):  # else at the next start
                self._keys.drop()
            raise

    def _link_with(
        self, key: str, command: LinkProject, job: Job, *, adopts: bool = False
    ) -> Details:
        with self._lock:
            before, unlinked = self._link, self._unlinked
        usual = (
            (before.studio, before.ingestion)
            if before
            else (self._default_studio, self._default_ingestion)
        )
        studio_url = (command.studio or usual[0]).rstrip("/")
        ingestion_url = (command.ingestion or usual[1]).rstrip("/")
        if studio_url != usual[0] and not command.ingestion:
            raise RejectedError(
                f"say where pictures go to, too: a project of {studio_url} is not served by "
                f"{ingestion_url}"
            )
        if before is not None:
            _check_hosts(before, (studio_url, ingestion_url), key)
        studio = self._connect.studio(studio_url, key)
        try:
            job.step("checking the key")
            info = studio.key_info()
            if command.project is not None and info.project != command.project:
                raise KeyRefused(
                    f"the key belongs to project {info.project}, not to {command.project}; use a "
                    "key of that project (Dashboard > Keys)"
                )
            job.step("reading the project")
            project, impulses = _read(studio, info)
            job.about = project.name
            chosen = None
            if impulses is not None:
                chosen = choose(impulses, command.impulse, command.learn_block)
        finally:
            studio.close()
        same = before is not None and before.project == info.project
        link = replace(
            _link_of(project, info.role, chosen, studio_url, ingestion_url),
            key_revision=key_revision(key),
            impulses=impulses or (),
        )
        if before is not None and same:
            link = replace(link, model=before.model, deleted=before.deleted)
        self._remember(link, unlinked, adopts=adopts)
        self.compute_ms_left = project.compute_ms_left
        self._trouble = ""
        job.text = f"linked project {link.project} ({link.name})"
        return {
            "project": link.project,
            "name": link.name,
            "role": link.role,
            "impulse": link.impulse,
            "learn_block": link.learn_block,
            "note": _note(info.role, reads=chosen is not None),
        }

    def name_models(self, model: str) -> None:
        """Remember under which name the project's models are known, while it is linked.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        self._amend(lambda link: replace(link, model=model))

    def note_deleted(self, key: OfferKey) -> None:
        """Remember that a person does not want a model of the project on the box.

        Raises:
            StorageUnavailable: it cannot be written.
        """

        def add(link: Link) -> Link:
            if key.project != link.project or key in link.deleted:
                return link
            return replace(link, deleted=(*link.deleted, key)[-MOST_DELETED:])

        self._amend(add)

    def forget(self) -> None:
        """Forget project and key. Whatever the disk does, nothing more is sent from now on.

        Raises:
            NxaiError: a file cannot be removed.
        """
        with self._lock:
            self._link = None
            self._unlinked += 1
        self.compute_ms_left = None
        self._trouble = ""
        try:
            with self._writing:
                self._state.forget()
        finally:
            self._keys.forget()

    @property
    def trouble(self) -> str:
        """Why the key does not do; nothing is asked for by itself until a person acts.

        Empty again once there is another key.
        """
        if self._trouble and self._refused != self._revision():
            self._trouble = ""
        return self._trouble

    def note_failure(self, error: NxaiError) -> None:
        """Remember that the key was refused: nothing more is asked for by itself.

        That of a job which began before the key was replaced says nothing of the new one.
        """
        if isinstance(error, KeyRefused):
            known = self._revision()
            if error.revision in ("", known):
                self._refused, self._trouble = known, str(error)

    def note_success(self) -> None:
        """Take note that the key does: what was refused may have been one thing alone."""
        self._trouble = ""

    def _revision(self) -> str:
        """Return the revision of the key; empty without one."""
        with contextlib.suppress(ConfigurationError):
            key = self._keys.read()
            return "" if key is None else key_revision(key)
        return ""

    def _key(self) -> str:
        key = self._keys.read()
        if key is None:
            raise KeyRefused(
                "there is no API key; link with one, or give the service one with "
                "NXAI_CLOUD_SYNC_KEY_FILE"
            )
        return key

    def _link_and_key(self) -> tuple[Link, str]:
        """Return what is linked and its key: those of one moment, as a key goes to its hosts alone.

        Raises:
            RejectedError: nothing is linked.
            KeyRefused: there is no key.
        """
        with self._lock:
            if self._link is None:
                raise RejectedError(NOT_LINKED)
            return self._link, self._key()

    def _remember(self, link: Link, unlinked: int, *, adopts: bool) -> None:
        """Keep a link, and with `adopts` the key that was prepared for it.

        Raises:
            RejectedError: a person unlinked since `unlinked` was read.
            StorageUnavailable: it cannot be written.
        """
        with self._writing:
            self._write(link, unlinked, adopts=adopts)

    def _amend(self, change: Callable[[Link], Link]) -> None:
        """Change what is kept of the link, while there is one.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        with self._writing:
            with self._lock:
                link, unlinked = self._link, self._unlinked
            after = None if link is None else change(link)
            if after is not None and after != link:
                with contextlib.suppress(RejectedError):
                    self._write(after, unlinked)

    def _write(self, link: Link, unlinked: int, *, adopts: bool = False) -> None:
        before = self.link
        if self._unlinked == unlinked:
            self._state.write(link)
        with self._lock:
            if self._unlinked != unlinked:  # who did waits to remove the file
                raise RejectedError("the project was unlinked meanwhile")
            try:
                if adopts:  # a crash before that: `open` does it
                    self._keys.adopt()
            except StorageUnavailable:
                self._put_back(before)
                raise
            self._link = link

    def _put_back(self, before: Link | None) -> None:
        """Have the file say again what it said: the key of the new link is not in force."""
        with contextlib.suppress(StorageUnavailable):
            if before is None:
                self._state.forget()
            else:
                self._state.write(before)


def _check_hosts(before: Link, wanted: tuple[str, str], key: str) -> None:
    """See to it that a key goes to the hosts alone for which it was given.

    Whoever may send a command could have it sent to a machine of his own otherwise.

    Raises:
        RejectedError: it was given for others.
    """
    if key_revision(key) != before.key_revision:
        return  # a person gave another one since
    for host in wanted:
        if host not in (before.studio, before.ingestion):
            raise RejectedError(
                f"the API key was given for {before.studio} and goes to no other host such as "
                f"{host}: give the key of the project there as well, or unlink first"
            )


def _read(studio: Studio, info: KeyInfo) -> tuple[ProjectInfo, tuple[Impulse, ...] | None]:
    """Return a project and its impulses; None: the key does not show them."""
    if not info.role.reads_models:
        return ProjectInfo(info.project, f"project {info.project}"), None
    project = studio.project(info.project)
    try:
        return project, studio.impulses(info.project)
    except KeyRefused:
        if info.role in (Role.ADMIN, Role.READ_ONLY):
            raise
        return project, None  # it is not documented what such keys may do


def _link_of(
    project: ProjectInfo, role: Role, chosen: Selection | None, studio: str, ingestion: str
) -> Link:
    """Return a link; without a selection one for uploads alone."""
    return Link(
        project=project.id,
        name=project.name,
        role=role.value,
        impulse=chosen.impulse.id if chosen else 0,
        learn_block=chosen.block.id if chosen else 0,
        learn_block_type=chosen.block.type if chosen else "",
        learn_block_title=chosen.block.title if chosen else "",
        impulse_name=chosen.impulse.name if chosen else "",
        studio=studio,
        ingestion=ingestion,
    )


def _lets(link: Link, to: Purpose) -> bool:
    if to == "import":
        return bool(link.learn_block)
    return _role(link).uploads if to == "upload" else _role(link).trains


def _role(link: Link) -> Role:
    """Return the role of a link, which a later version of the program may have written."""
    return Role(link.role) if link.role in set(Role) else Role.UNKNOWN


def _note(role: Role, *, reads: bool) -> str:
    """Say what a key cannot do."""
    if not reads:
        return (
            f"a key with role {role.value!r} can only upload pictures; to import models use one "
            "with role 'admin' or 'readonly'"
        )
    if not role.uploads:
        return (
            f"a key with role {role.value!r} cannot upload pictures or retrain; use one with role "
            "'admin' for that"
        )
    if not role.trains:
        return f"a key with role {role.value!r} cannot retrain; use one with role 'admin' for that"
    return ""
