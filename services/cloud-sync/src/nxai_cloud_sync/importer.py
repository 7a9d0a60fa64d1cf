"""Brings models into the catalogue and has them tested: from the linked project, from a file."""

import contextlib
import enum
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from nxai_cloud_sync.adapters.archive_file import read_import
from nxai_cloud_sync.adapters.model_file import ModelFile, identify
from nxai_cloud_sync.core.catalogue import CatalogueVersion, VersionState
from nxai_cloud_sync.core.importing import (
    MAX_MODEL_BYTES,
    Again,
    Changes,
    Stated,
    again,
    changes,
    check_against,
    choose_model,
    describe,
    manifest_of,
    over,
    passed,
    refused,
    said,
    stated_by,
    trained_or_refused,
    unanswered,
    version_of,
    with_the_persons_words,
    with_the_test_of,
)
from nxai_cloud_sync.core.project import KeyInfo, choose, choose_download
from nxai_cloud_sync.ports import Catalogue, Link, ModelTrial, Studio, TrialUnanswered
from nxai_common.contracts.commands import ImportModel
from nxai_common.contracts.models import PackageManifest
from nxai_common.errors import (
    BrokerUnavailable,
    ConfigurationError,
    KeyRefused,
    RejectedError,
)

KEEP_PER_MODEL: Final = 10
"""Versions of a model that stay on the disk, beside those in use: more than anybody goes back."""
_SHOWN: Final = 12


class Steps(Protocol):
    """Where it is told what happens; the place to be cancelled at. A `Job` is one."""

    def step(self, text: str, done: int = 0, total: int | None = 0) -> None:
        """Say what happens now; raises to stop."""
        ...

    def check(self) -> None:
        """Raise to stop."""
        ...


class Outcome(enum.StrEnum):
    """What an import changed."""

    NEW = "new"
    CHANGED = "changed"
    """The file was there already; what is said of it changed."""
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import."""

    version: CatalogueVersion
    outcome: Outcome
    changes: Changes
    """Against the version before."""
    text: str
    """For a person."""


class Importer:
    """Imports one model at a time (the caller sees to that); the rest from any thread."""

    def __init__(
        self,
        catalogue: Catalogue,
        trial: ModelTrial,
        *,
        names: Callable[[], Collection[str]] = tuple,
        in_use: Callable[[], Mapping[str, str]] | None = None,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """Prepare.

        Args:
            catalogue: Open.
            trial: Tests models.
            names: Gives the names of models that do not come from the catalogue.
            in_use: Gives the digests that must stay, and why; None: nothing is ever removed.
            now_us: Unix microseconds.
        """
        self._catalogue = catalogue
        self._trial = trial
        self._names = names
        self._in_use = in_use
        self._now_us = now_us
        self._records = threading.Lock()
        """Held while a record is read and written again."""

    def pull(
        self,
        job: Steps,
        studio: Studio,
        link: Link,
        artefact: str,
        model: str | None = None,
        *,
        to_try: bool = False,
    ) -> Imported:
        """Import the newest model of a project.

        Args:
            job: Told what happens.
            studio: Of the linked project.
            link: Which impulse and learn block.
            artefact: `float32` or `int8`.
            model: Name in topics; None: as before.
            to_try: A new version is to be tried by itself, also after a restart.

        Raises:
            RejectedError: there is no model, or what came is none.
            ConfigurationError: what is linked is there no more, or the name is taken.
            TransientError: no network, a full disk; the catalogue is as it was.
        """
        job.step("checking the key")
        _check_key(studio.key_info(), link)
        job.step("reading the project")
        project = studio.project(link.project)
        selection = choose(studio.impulses(link.project), link.impulse, link.learn_block)
        trained = trained_or_refused(
            studio.trained_model(link.project, selection.impulse.id, selection.block), selection
        )
        download = choose_download(
            studio.downloads(link.project, selection.impulse.id), artefact, selection.block.id
        )
        stated = describe(project, selection, trained, artefact)
        with self._catalogue.incoming() as work:
            target = work / "download"
            text = f"downloading {download.name or download.type}"
            job.step(text, 0, download.size)
            studio.fetch(
                download,
                target,
                MAX_MODEL_BYTES,
                lambda done, total: job.step(text, done, total or download.size),
            )
            file = identify(target, f"what came for {download.type!r}", job.check)
            return self._take(job, file, stated, model or link.model or None, to_try=to_try)

    def import_file(self, job: Steps, path: Path, command: ImportModel) -> Imported:
        """Import a model file or an archive; the file stays where it is.

        Raises:
            RejectedError: there is no model in it that can be used.
            ConfigurationError: the name is taken.
            TransientError: a full disk; the catalogue is as it was.
        """
        job.step(f"reading {path.name}")
        with self._catalogue.incoming() as work:
            target = work / "model"
            found = read_import(path, target, job.check)
            file = identify(target, path.name, job.check)
            known = self._catalogue.manifest(file.digest)
            if known is not None:  # what was said of it before need not be said again
                found = over(stated_by(known), found)
            stated = over(found, said(command))
            title = stated.title or path.stem
            done = self._take(job, file, replace(stated, title=title), command.model)
            if command.title and done.version.title != command.title:
                self.rename(file.digest, title=command.title, documentation=None)
                done = replace(done, version=self._known(file.digest))
            return done

    def test_pending(self, job: Steps) -> dict[str, str | int | float | bool | None]:
        """Test what could not be tested when it came; return what came of it.

        Raises:
            TransientError: the inference service does not answer; the rest waits.
        """
        tested = ready = 0
        for version in self._catalogue.versions():
            if version.state is not VersionState.FETCHED:
                continue
            job.step(f"testing version {version.version} of {version.model} on this box")
            self._test(version)
            tested += 1
            now = self._catalogue.get(version.digest)
            ready += now is not None and now.state is VersionState.READY
        self._prune()
        return {"tested": tested, "ready": ready}

    def rename(self, digest: str, *, title: str | None, documentation: str | None) -> None:
        """Change what people read of a version.

        Raises:
            RejectedError: it is not there.
            StorageUnavailable: it cannot be written.
        """
        self._change(
            digest,
            lambda version: replace(
                version,
                title=version.title if title is None else title,
                documentation=version.documentation if documentation is None else documentation,
            ),
        )

    def delete(self, digest: str) -> None:
        """Remove a version; the caller knows that it is not in use.

        Raises:
            RejectedError: it is not there.
            StorageUnavailable: it cannot be removed.
        """
        self._known(digest)
        self._catalogue.delete(digest)

    def note_tried(self, digest: str) -> None:
        """Remember that the trial of a version began, or is not wanted.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        with contextlib.suppress(RejectedError):  # deleted meanwhile
            self._change(digest, lambda version: replace(version, to_try=False))

    # -- into the catalogue ---------------------------------------------------------------------

    def _take(
        self,
        job: Steps,
        file: ModelFile,
        stated: Stated,
        wanted: str | None,
        *,
        to_try: bool = False,
    ) -> Imported:
        versions = self._catalogue.versions()
        existing = self._catalogue.get(file.digest)
        if existing is not None and _is_left_over(existing, wanted):
            existing = None
        model = self._name(existing, versions, stated, wanted, file)
        before = next(
            (
                version
                for version in versions
                if version.model == model
                and version.digest != file.digest
                and version.state is VersionState.READY
            ),
            None,
        )
        # The clock may have been in the future when the others came; this one is the newest.
        newest_us = max((version.imported_at_us for version in versions), default=0)
        made = version_of(
            stated,
            model=model,
            digest=file.digest,
            size=file.size,
            now_us=max(self._now_us(), newest_us + 1),
        )
        made = replace(made, to_try=to_try)
        version = with_the_persons_words(made, existing or before, self._given(existing or before))
        manifest = manifest_of(stated)
        if existing is not None and existing.state is VersionState.READY:
            return self._take_again(job, file, existing, version, manifest)
        job.check()
        self._catalogue.store(file.path, manifest, version)
        job.step(f"testing {stated.title} on this box")
        waits = ""
        try:
            self._test(version)
        except (BrokerUnavailable, TrialUnanswered) as error:
            waits = str(error)
        self._prune()
        now = self._known(file.digest)
        return Imported(now, Outcome.NEW, changes(before, now), _told(now, before, waits))

    def _take_again(
        self,
        job: Steps,
        file: ModelFile,
        existing: CatalogueVersion,
        version: CatalogueVersion,
        manifest: PackageManifest,
    ) -> Imported:
        """Import a file that is there, tested, and may be in force.

        What is said anew is tested before it is taken over.
        """
        known = self._catalogue.manifest(existing.digest) or PackageManifest()
        needed = again((existing, known), (version, manifest))
        if needed is Again.NOTHING:
            text = f"nothing new: version {existing.version} is here already"
            return Imported(existing, Outcome.UNCHANGED, Changes("", compatible=True), text)
        self._must_not_run(existing, version)
        now = with_the_test_of(version, existing)
        if needed is Again.TEST:
            job.step(f"testing what is said anew of version {existing.version}")
            try:
                now = self._judge(version, manifest)
            except RejectedError as error:
                raise RejectedError(
                    f"what is said of version {existing.version} changed and does not fit the "
                    f"model: {error}; the version stays as it was"
                ) from error
        with self._records:
            self._catalogue.store(file.path, manifest, now)
        changed = changes(existing, now)
        text = f"version {now.version}: {changed.text or 'its description changed'}"
        return Imported(now, Outcome.CHANGED, changed, text)

    def _must_not_run(self, existing: CatalogueVersion, version: CatalogueVersion) -> None:
        """See to it that what runs keeps its labels: who listens would hear other names at once.

        Raises:
            RejectedError: it runs.
        """
        in_use = {} if self._in_use is None else self._in_use()
        why = in_use.get(existing.digest)
        if why and version.labels and version.labels != existing.labels:
            raise RejectedError(
                f"this very file is here as version {existing.version}, with the labels "
                f"{_listed(existing.labels)}, and {why}: other labels ({_listed(version.labels)}) "
                f"would count from now on; take model {existing.model!r} from its cameras first"
            )

    def _name(
        self,
        existing: CatalogueVersion | None,
        versions: Collection[CatalogueVersion],
        stated: Stated,
        wanted: str | None,
        file: ModelFile,
    ) -> str:
        if existing is None:
            return choose_model(wanted, stated, tuple(versions), self._names(), file.digest[:8])
        if wanted in (None, existing.model):
            return existing.model
        raise ConfigurationError(
            f"this very file is in the catalogue already, as version {existing.version} of model "
            f"{existing.model!r}; import it under that name, or delete that version first"
        )

    def _given(self, version: CatalogueVersion | None) -> str:
        """Return the title that a version got when it was imported."""
        manifest = None if version is None else self._catalogue.manifest(version.digest)
        return "" if manifest is None else manifest.name

    # -- tests ----------------------------------------------------------------------------------

    def _test(self, version: CatalogueVersion) -> None:
        """Test a version of the catalogue and keep the outcome.

        Raises:
            TransientError: there was no answer; it stays to be tested.
        """
        manifest = self._catalogue.manifest(version.digest)
        if manifest is None:
            return  # deleted meanwhile
        try:
            judged = self._judge(version, manifest)
        except RejectedError as error:
            reason = _without_path(str(error), version.digest)
            self._change(version.digest, lambda now: refused(now, reason))
        except TrialUnanswered:
            self._change(version.digest, unanswered)
            raise
        else:
            self._change(
                version.digest,
                lambda now: replace(judged, title=now.title, documentation=now.documentation),
            )

    def _judge(self, version: CatalogueVersion, manifest: PackageManifest) -> CatalogueVersion:
        outcome = self._trial.run(version.model, version.digest, manifest)
        check_against(version, outcome.manifest)
        return passed(version, outcome.manifest, outcome.trials, outcome.warnings)

    # -- records --------------------------------------------------------------------------------

    def _known(self, digest: str) -> CatalogueVersion:
        version = self._catalogue.get(digest)
        if version is None:
            raise RejectedError(f"there is no version {digest[:_SHOWN]} in the catalogue")
        return version

    def _change(self, digest: str, change: Callable[[CatalogueVersion], CatalogueVersion]) -> None:
        with self._records:
            self._catalogue.update(change(self._known(digest)))

    def _prune(self) -> None:
        if self._in_use is not None:
            self._catalogue.prune(KEEP_PER_MODEL, self._in_use())


def _check_key(key: KeyInfo, link: Link) -> None:
    if key.project != link.project:
        raise KeyRefused(
            f"the API key belongs to project {key.project}, but project {link.project} is linked; "
            "link again with a key of the project that is meant"
        )
    if not key.role.reads_models:
        raise KeyRefused(
            f"a key with role {key.role.value!r} cannot read models; use one with role 'admin' or "
            "'readonly' (Dashboard > Keys)"
        )


def _is_left_over(version: CatalogueVersion, wanted: str | None) -> bool:
    """Tell whether a version is none that a new one of the same file must agree with.

    Its record is damaged, or it was refused under another name.
    """
    if not version.model:
        return True
    return version.state is VersionState.REFUSED and wanted not in (None, version.model)


def _without_path(reason: str, digest: str) -> str:
    """Return a reason without the path in the catalogue that inference puts before it."""
    path, _, rest = reason.partition(": ")
    return rest if digest in path and rest else reason


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(map(repr, labels)) or "none"


def _told(version: CatalogueVersion, before: CatalogueVersion | None, waits: str) -> str:
    name = f"version {version.version} of model {version.model}"
    if version.state is VersionState.FETCHED:
        return f"{name} is here and waits for its test: {waits}"
    if version.state is VersionState.REFUSED:
        return f"{name} was refused: {version.reason}"
    speed = "" if version.engine_ms is None else f", {version.engine_ms:.3g} ms a run"
    told = (changes(before, version).text, *version.notes, *version.warnings)
    ready = f"{name} is ready ({version.engine}{speed})"
    return "; ".join((ready, *(text for text in told if text)))
