"""Versions, projects and trials for tests of the catalogue and of importing."""

import hashlib
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nxai_cloud_sync.core.catalogue import CatalogueVersion, VersionState
from nxai_cloud_sync.core.project import (
    BlockKind,
    Impulse,
    LearnBlock,
    ProjectInfo,
    Selection,
    TrainedModel,
)
from nxai_cloud_sync.ports import TrialOutcome
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import (
    CATALOGUE,
    InputScaling,
    ModelManifest,
    PackageManifest,
    ResizeMode,
    Task,
)
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.adapters.engines import EngineOptions
from nxai_inference.adapters.model_folder import ModelFolder

BLOCK: Final = LearnBlock(3, BlockKind.OBJECT_DETECTION, "Object detection", "keras-obj")
IMPULSE: Final = Impulse(
    id=1,
    name="Impulse #1",
    width=96,
    height=96,
    resize_mode=ResizeMode.FIT_SHORT,
    crop_anchor="middle-center",
    learn_blocks=(BLOCK,),
    default=True,
)
SELECTION: Final = Selection(IMPULSE, BLOCK)
PROJECT: Final = ProjectInfo(id=89078, name="Beers vs cans")


def trained(**rest: Any) -> TrainedModel:
    """Return what a project says of its FOMO."""
    about: dict[str, Any] = {
        "created_at": "2026-11-28T14:02:31.000Z",
        "labels": ("beer", "can"),
        "task": Task.FOMO,
        "input_scaling": InputScaling.ZERO_TO_ONE,
        "threshold": 0.5,
        "available": ("float32", "int8"),
        **rest,
    }
    return TrainedModel(**about)


def digest_of(content: bytes) -> str:
    """Return a SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def version(digest: str = "a" * 64, **rest: Any) -> CatalogueVersion:
    """Return a version that is ready."""
    about: dict[str, Any] = {
        "model": "beers",
        "title": "Beers vs cans",
        "documentation": "",
        "version": "2026-11-28 14:02",
        "labels": ("beer", "can"),
        "task": "fomo",
        "width": 96,
        "height": 96,
        "channels": 1,
        "size": 48392,
        "state": VersionState.READY,
        **rest,
    }
    return CatalogueVersion(digest=digest, **about)


def model_manifest(digest: str = "a" * 64, **rest: Any) -> ModelManifest:
    """Return what the inference service says of a model that passed its test."""
    about: dict[str, Any] = {
        "model": "beers",
        "task": Task.FOMO,
        "labels": ("beer", "can"),
        "width": 96,
        "height": 96,
        "channels": 1,
        "engine": "litert",
        "engine_ms": 0.17,
        **rest,
    }
    return ModelManifest(digest=digest, **about)


@dataclass
class EngineTrial:
    """Tests models with the real engines, in this process: no bus between.

    What a test cannot cause for real it puts into `failures`: raised one after the other first.
    """

    catalogue: Path
    failures: list[Exception] = field(default_factory=list)
    asked: list[tuple[str, str, PackageManifest]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def run(self, model: str, digest: str, manifest: PackageManifest) -> TrialOutcome:
        self.asked.append((model, digest, manifest))
        self.before()
        if self.failures:
            raise self.failures.pop(0)
        clock = iter(range(10**9))
        options = EngineOptions(clock=lambda: float(next(clock)))  # two rounds of timing, not 1.2 s
        wanted = DesiredModel(
            id=model,
            path=f"{CATALOGUE}{digest}",
            labels=manifest.labels,
            task=manifest.task,
            resize_mode=manifest.resize_mode,
            input_scaling=manifest.input_scaling,
            threshold=manifest.threshold,
        )
        try:
            loaded = ModelFolder(Path(), options, self.catalogue).load(wanted)
        except ConfigurationError as error:
            raise RejectedError(str(error)) from error
        loaded.engine.close()
        return TrialOutcome(loaded.manifest, (("litert", 1.0),), loaded.warnings)


@dataclass
class Told:
    """A job of which only the steps are of interest; `stop_at` cancels it at a step."""

    steps: list[str] = field(default_factory=list)
    stop_at: str = ""
    checks: int = 0

    def step(self, text: str, _done: int = 0, _total: int | None = 0) -> None:
        self.steps.append(text)
        self.check()

    def check(self) -> None:
        self.checks += 1
        if self.stop_at and any(self.stop_at in step for step in self.steps):
            raise StoppedError(self.stop_at)


class StoppedError(Exception):
    """What a job raises that was cancelled."""


def left_over(catalogue: Path) -> Collection[str]:
    """Return what lies in a catalogue besides whole versions."""
    wrong = []
    for path in catalogue.iterdir():
        names = sorted(each.name for each in path.iterdir()) if path.is_dir() else []
        model = next((name for name in names if name.startswith("model-")), None)
        whole = model is not None and names == ["about.json", "manifest.json", model]
        if not whole or digest_of((path / str(model)).read_bytes()) != path.name:
            wrong.append(f"{path.name}: {names}")
    return wrong


def noise(seed: int, size: int = 3000) -> bytes:
    """Return a file that looks like TensorFlow Lite from afar."""
    return b"\x1c\0\0\0TFL3" + random.Random(seed).randbytes(size)  # noqa: S311 - no secret
