"""The Edge Impulse project that this box is linked to, and the way there."""

import threading
from dataclasses import replace
from typing import Protocol

from pydantic import TypeAdapter

from nxai_cloud_sync.core.project import BlockKind, Impulse, LearnBlock, Role, choose
from nxai_cloud_sync.jobs import Details, Job
from nxai_cloud_sync.ports import Ingestion, KeyStore, Link, Remembered, Studio
from nxai_common.contracts.commands import LinkProject
from nxai_common.errors import KeyRefused, NxaiError, RejectedError

LINK = TypeAdapter(Link)

NOT_LINKED = (
    "no Edge Impulse project is linked; run `nxai-cloud-sync link` with a key of the project"
)


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
        self._default_studio = studio
        self._default_ingestion = ingestion
        self._lock = threading.Lock()
        self._link: Link | None = None
        self.impulses: tuple[Impulse, ...] = ()
        """Of the project, when it was linked or looked at last."""
        self.compute_ms_left: int | None = None
        """Compute time of the account when the project was looked at last; None: not known."""
        self.trouble = ""
        """Why the key does not do; nothing is asked for by itself until a person acts."""

    def open(self) -> None:
        """Take up what was linked before.

        Raises:
            StorageUnavailable: it cannot be read.
        """
        self._link = self._state.read()

    @property
    def link(self) -> Link | None:
        """What is linked."""
        with self._lock:
            return self._link

    def require(self) -> Link:
        """Return what is linked.

        Raises:
            RejectedError: nothing is.
        """
        link = self.link
        if link is None:
            raise RejectedError(NOT_LINKED)
        return link

    def block(self, link: Link) -> LearnBlock:
        """Return the learn block of a link."""
        return LearnBlock(
            id=link.learn_block,
            kind=BlockKind.OBJECT_DETECTION,
            title=link.learn_block_title,
            type=link.learn_block_type,
        )

    def studio(self) -> Studio:
        """Open the Studio API of the linked project; the caller closes it.

        Raises:
            RejectedError: nothing is linked.
            KeyRefused: there is no key.
        """
        return self._connect.studio(self.require().studio, self._key())

    def ingestion(self) -> Ingestion:
        """Open the ingestion API of the linked project; the caller closes it.

        Raises:
            RejectedError: nothing is linked.
            KeyRefused: there is no key.
        """
        return self._connect.ingestion(self.require().ingestion, self._key())

    def connect(self, command: LinkProject, job: Job) -> Details:
        """Check key and project, choose impulse and learn block, remember them.

        Raises:
            NxaiError: it cannot be linked; what was linked before stays.
        """
        before = self.link
        studio_url = command.studio or (before.studio if before else self._default_studio)
        ingestion_url = command.ingestion or (
            before.ingestion if before else self._default_ingestion
        )
        studio = self._connect.studio(studio_url, self._key())
        try:
            job.step("checking the key")
            info = studio.key_info()
            if command.project is not None and info.project != command.project:
                raise KeyRefused(
                    f"the key belongs to project {info.project}, not to {command.project}; use a "
                    "key of that project (Dashboard > Keys)"
                )
            link = Link(
                project=info.project,
                name=f"project {info.project}",
                role=info.role.value,
                impulse=0,
                learn_block=0,
                learn_block_type="",
                learn_block_title="",
                impulse_name="",
                studio=studio_url,
                ingestion=ingestion_url,
                model=before.model if before and before.project == info.project else "",
            )
            impulses: tuple[Impulse, ...] = ()
            if info.role.reads_models:
                job.step("reading the project")
                project = studio.project(info.project)
                self.compute_ms_left = project.compute_ms_left
                link = replace(link, name=project.name)
                impulses = studio.impulses(info.project)
                chosen = choose(impulses, command.impulse, command.learn_block)
                link = replace(
                    link,
                    impulse=chosen.impulse.id,
                    impulse_name=chosen.impulse.name,
                    learn_block=chosen.block.id,
                    learn_block_type=chosen.block.type,
                    learn_block_title=chosen.block.title,
                )
        finally:
            studio.close()
        self._remember(link)
        self.impulses = impulses
        self.trouble = ""
        job.text = f"linked project {link.project} ({link.name})"
        return {
            "project": link.project,
            "name": link.name,
            "role": link.role,
            "impulse": link.impulse,
            "learn_block": link.learn_block,
            "note": _note(info.role),
        }

    def name_models(self, model: str) -> None:
        """Remember under which name the project's models are known.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        link = self.require()
        if link.model != model:
            self._remember(replace(link, model=model))

    def forget(self) -> None:
        """Forget project and key.

        Raises:
            NxaiError: a file cannot be removed.
        """
        self._keys.forget()
        self._state.forget()
        with self._lock:
            self._link = None
        self.impulses = ()
        self.trouble = ""

    def note_failure(self, error: NxaiError) -> None:
        """Remember that the key was refused: nothing more is asked for by itself."""
        if isinstance(error, KeyRefused):
            self.trouble = str(error)

    def _key(self) -> str:
        key = self._keys.read()
        if key is None:
            raise KeyRefused(
                "there is no API key; run `nxai-cloud-sync link`, or give the service one with "
                "NXAI_CLOUD_SYNC_KEY_FILE"
            )
        return key

    def _remember(self, link: Link) -> None:
        self._state.write(link)
        with self._lock:
            self._link = link


def _note(role: Role) -> str:
    """Say what a key cannot do."""
    if not role.reads_models:
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
