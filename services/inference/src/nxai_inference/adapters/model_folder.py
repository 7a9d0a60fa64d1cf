"""The models folder: turns a desired model into a running, tested one."""

import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import (
    CATALOGUE,
    DIGEST_PATTERN,
    InputScaling,
    ModelManifest,
    PackageManifest,
    ResizeMode,
)
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.adapters.engines import (
    Choice,
    EngineOptions,
    ModelFile,
    choose_engine,
    proven_engine,
)
from nxai_inference.adapters.model_package import ModelPackage, files_of, read_package
from nxai_inference.adapters.proven_engines import ProvenEngines
from nxai_inference.core.conversion.reader import read
from nxai_inference.core.model_facts import (
    ModelFacts,
    check_labels,
    find_facts,
    input_geometry,
    numbered_labels,
)
from nxai_inference.core.self_test import check_outputs, trial_pictures
from nxai_inference.ports import LoadedModel

_DEFAULT_THRESHOLD: Final = 0.5
_DEFAULT_NMS_IOU: Final = 0.2
_SHOWN_DIGITS: Final = 12
_DIGEST: Final = re.compile(DIGEST_PATTERN.replace("$", r"\Z"))


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A loaded model and what was found out about its file, for `inspect`."""

    loaded: LoadedModel
    labels_are_named: bool
    """False: the labels are numbers, because nobody named them."""
    label_count: int | None
    """How many labels the model has; None: the file does not say."""
    assumed: tuple[str, ...]
    """Settings that neither a person nor the package gave, so that a default stands for them."""


class ModelFolder:
    """Loads models below one folder, or of the catalogue. Implements `ports.ModelSource`."""

    def __init__(
        self, folder: Path, options: EngineOptions, catalogue: Path = Path("catalogue")
    ) -> None:
        """Prepare to load.

        Args:
            folder: Where relative paths start.
            options: For the engines.
            catalogue: Folder of the imported models, each in a package folder of its digest.
        """
        self._folder = folder
        self._options = options
        self._catalogue = catalogue
        self._proven = ProvenEngines()

    def load(self, desired: DesiredModel, *, anew: bool = False) -> LoadedModel:
        """Load a model; see `ports.ModelSource.load`."""
        path, digest = self._located(desired)
        wanted = desired.model_copy(update={"path": str(path), "digest": digest})
        return open_model(Path(), wanted, self._options, proven=self._proven, anew=anew).loaded

    def stamp(self, desired: DesiredModel) -> Hashable:
        """Look at the files of a model; see `ports.ModelSource.stamp`."""
        try:
            path, _ = self._located(desired)
            # Not all that lies there: notes beside a model make no other model of it.
            found = [(file.name, file.stat()) for file in files_of(path) if file.exists()]
        except (OSError, ValueError, ConfigurationError):  # ValueError: no path has such characters
            return None  # loading it says why
        return tuple((name, at.st_ino, at.st_size, at.st_mtime_ns) for name, at in found) or None

    def _located(self, desired: DesiredModel) -> tuple[Path, str | None]:
        """Return where a model lies and the digest that it must have."""
        if not desired.path.startswith(CATALOGUE):
            return self._folder / desired.path, desired.digest
        digest = desired.path.removeprefix(CATALOGUE)
        if _DIGEST.match(digest) is None:
            raise ConfigurationError(
                f"{desired.path!r} names no model of the catalogue: behind {CATALOGUE!r} comes "
                "the SHA-256 of its file, 64 of 0-9 and a-f"
            )
        if desired.digest not in (None, digest):
            raise ConfigurationError(
                f"{desired.path}: the configuration also wants SHA-256 {desired.digest}; leave "
                "that out"
            )
        path = self._catalogue / digest
        if not path.is_dir():
            raise ConfigurationError(
                f"{desired.path}: no such model in the catalogue {self._catalogue}; import it again"
            )
        return path, digest


def open_model(
    folder: Path,
    desired: DesiredModel,
    options: EngineOptions,
    *,
    number_labels: bool = False,
    proven: ProvenEngines | None = None,
    anew: bool = False,
) -> OpenedModel:
    """Read, cross-check, build the engine, self-test and time a model.

    Args:
        folder: Where relative paths start.
        desired: The model; what it sets overrides the package.
        options: For the engines.
        number_labels: Whether a detector without labels gets numbers instead of a refusal.
        proven: What is known of engines; what is found out is put there.
        anew: Find it out even when it is known.

    Raises:
        ConfigurationError: names the file, the value and what to do.
    """
    package = read_package(folder / desired.path)
    file, stated = package.file, package.manifest
    _check_digest(file, desired, stated)
    class_count = _class_count(file)
    scaling = desired.input_scaling or stated.input_scaling or InputScaling.ZERO_TO_ONE
    known = None
    if proven is not None and not anew:
        known = proven_engine(file, scaling, desired.engine, options, proven)
    choice = known or choose_engine(file, scaling, desired.engine, options, proven)
    try:
        facts = find_facts(choice.engine.inputs, choice.engine.outputs, desired.task or stated.task)
        if facts.label_count is None:
            facts = replace(facts, label_count=class_count)
        labels = desired.labels or stated.labels
        if labels is None and number_labels:
            labels = numbered_labels(facts) or ("class 0",)
        manifest = _manifest(desired, package, choice, facts, check_labels(facts, labels))
        _self_test(choice, facts)
    except ConfigurationError as error:
        choice.engine.close()
        raise ConfigurationError(f"{file.name}: {error}") from error
    except BaseException:
        choice.engine.close()
        raise
    return OpenedModel(
        LoadedModel(
            manifest,
            choice.engine,
            (*package.warnings, *choice.warnings),
            trials=choice.trials,
        ),
        labels_are_named=bool(desired.labels or stated.labels),
        label_count=facts.label_count,
        assumed=tuple(
            name
            for name in ("resize_mode", "input_scaling", "threshold")
            if getattr(desired, name) is None and getattr(stated, name) is None
        ),
    )


def model_id(path: Path) -> str:
    """Return an identifier made of a file's name: ``Beer & Can.tflite`` gives ``beer-can``."""
    name = path.resolve().name if path.is_dir() else path.stem
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-_")[:64] or "model"


def _check_digest(file: ModelFile, desired: DesiredModel, stated: PackageManifest) -> None:
    for wanted, where in ((desired.digest, "the configuration"), (stated.digest, "manifest.json")):
        if wanted is not None and wanted.lower() != file.digest:
            raise ConfigurationError(
                f"{file.name}: SHA-256 is {file.digest}, but {where} wants {wanted}; the file was "
                "changed or is damaged"
            )


def _class_count(file: ModelFile) -> int | None:
    """Return how many classes a detector's file states, None when it does not.

    Raises:
        ConfigurationError: a damaged .tflite, with a place and a reason, before an engine sees it.
    """
    if file.format != "tflite":
        return None
    try:
        return read(file.content).class_count
    except RejectedError as error:
        raise ConfigurationError(f"{file.name}: {error}") from error


def _self_test(choice: Choice, facts: ModelFacts) -> None:
    try:
        for picture in trial_pictures(facts.geometry)[:2]:  # black and noise
            check_outputs(facts.task, choice.engine.run(picture))
    except RejectedError as error:
        raise ConfigurationError(f"self-test failed on {choice.engine.name}: {error}") from error


def _manifest(
    desired: DesiredModel,
    package: ModelPackage,
    choice: Choice,
    facts: ModelFacts,
    labels: tuple[str, ...],
) -> ModelManifest:
    stated, file = package.manifest, package.file
    geometry = input_geometry(choice.engine.inputs)
    threshold = _first(desired.threshold, stated.threshold, _DEFAULT_THRESHOLD)
    nms_iou = _first(desired.nms_iou, stated.nms_iou, _DEFAULT_NMS_IOU)
    return ModelManifest(
        model=desired.id,
        name=desired.name or stated.name or desired.id,
        task=facts.task,
        labels=labels,
        width=geometry.width,
        height=geometry.height,
        channels=geometry.channels,
        resize_mode=desired.resize_mode or stated.resize_mode or ResizeMode.SQUASH,
        input_scaling=desired.input_scaling or stated.input_scaling or InputScaling.ZERO_TO_ONE,
        threshold=threshold,
        nms_iou=nms_iou,
        version=stated.version or file.digest[:_SHOWN_DIGITS],
        source=stated.source or Path(file.name).name,
        digest=file.digest,
        engine=choice.engine.name,
        engine_ms=round(choice.milliseconds, 3),
        inputs=choice.engine.inputs,
        outputs=choice.engine.outputs,
    )


def _first(*values: float | None) -> float:
    """Return the first value that is set; 0 is a value."""
    return next(value for value in values if value is not None)
