"""Builds every engine that can run a model, compares and times them, keeps the best.

Neither engine wins everywhere: a FOMO takes LiteRT half of ONNX Runtime's time, a YOLOv5n the
other way round (docs/decisions/engines.md). So the machine at hand decides, once per model.
"""

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.models import InputScaling
from nxai_common.errors import ConfigurationError, NxaiError, RejectedError
from nxai_inference.adapters.litert_engine import LitertEngine
from nxai_inference.adapters.onnx_engine import CPU, OnnxEngine
from nxai_inference.core.conversion import convert
from nxai_inference.core.model_facts import input_geometry
from nxai_inference.core.self_test import compare, trial_pictures
from nxai_inference.ports import Engine

EngineChoice = Literal["auto", "onnx", "litert"]

WARM_UP_RUNS: Final = 3
"""The first run allocates, the second still fills caches."""
MAX_TIMED_RUNS: Final = 50
"""A median of 50 is steady to a few percent on a busy box; more would only take longer."""
TIMING_BUDGET_S: Final = 1.2
"""For both engines together: a model change must not feel slow. A 300 ms model still gets two
timed runs each."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file, read whole: models for an edge box are a few megabytes."""

    name: str
    """For messages and manifests; the path as the user gave it."""
    content: bytes = field(repr=False)
    format: Literal["tflite", "onnx"]

    @property
    def digest(self) -> str:
        """SHA-256, hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Trial:
    """How one engine did."""

    engine: str
    milliseconds: float | None = None
    """Median of one run; None when it could not be built or was left out."""
    reason: str = ""
    """Why it is not used, in plain words; empty for the chosen one and the merely slower one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine to use, and how that came about."""

    engine: Engine
    milliseconds: float
    trials: tuple[Trial, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the settings of the service say."""

    providers: tuple[str, ...] = (CPU,)
    """From `onnx_engine.execution_providers`."""
    threads: int = 1
    clock: Callable[[], float] = time.perf_counter


def choose_engine(
    file: ModelFile, scaling: InputScaling, choice: EngineChoice, options: EngineOptions
) -> Choice:
    """Return a running engine for a model; the caller closes it.

    Args:
        file: The model.
        scaling: What it expects of a pixel.
        choice: ``auto``, or the one engine to use.
        options: Hardware and threads.

    Raises:
        ConfigurationError: the file is broken, or the chosen engine cannot run it.
    """
    engines: list[Engine] = []
    failures: list[tuple[str, NxaiError]] = []
    warnings: list[str] = []
    try:
        for name in _candidates(file, choice):
            try:
                engine = _build(name, file, scaling, options)
            except NxaiError as error:
                failures.append((name, error))
                continue
            engines.append(engine)
            if isinstance(engine, OnnxEngine):
                warnings += engine.warnings
        if options.providers[0] != CPU:
            warnings += [f"{options.providers[0]} is not used: {error}" for _, error in failures]
        trials = [Trial(name, reason=str(error)) for name, error in failures]
        if engines:
            return _fastest(engines, trials, warnings, options.clock)
    except BaseException:
        for engine in engines:
            engine.close()
        raise
    _, first = failures[0]
    raise ConfigurationError(f"{file.name}: {first}") from first


def _candidates(file: ModelFile, choice: EngineChoice) -> tuple[Literal["litert", "onnx"], ...]:
    if file.format == "onnx":
        if choice == "litert":
            raise ConfigurationError(
                f"{file.name}: LiteRT cannot run .onnx files; set the engine to auto or onnx"
            )
        return ("onnx",)
    return ("litert", "onnx") if choice == "auto" else (choice,)


def _build(
    name: Literal["litert", "onnx"],
    file: ModelFile,
    scaling: InputScaling,
    options: EngineOptions,
) -> Engine:
    if name == "litert":
        return LitertEngine(file.content, scaling=scaling, threads=options.threads)
    content = file.content
    if file.format == "tflite":
        try:
            content = convert(content)
        except RejectedError as error:
            raise ConfigurationError(f"ONNX Runtime cannot run it: {error}") from error
    return OnnxEngine(
        content,
        scaling=scaling,
        providers=options.providers,
        threads=options.threads,
    )


def _fastest(
    engines: Sequence[Engine],
    trials: Sequence[Trial],
    warnings: Sequence[str],
    clock: Callable[[], float],
) -> Choice:
    """Compare the outputs with the first engine's, time those that agree, close the others."""
    notes = list(warnings)
    done = list(trials)
    pictures = trial_pictures(input_geometry(engines[0].inputs))
    agreeing = [engines[0]]
    for engine in engines[1:]:
        difference = _difference(engines[0], engine, pictures)
        if difference is None:
            agreeing.append(engine)
            continue
        reason = f"{engine.name} disagrees with {engines[0].name}: {difference}"
        notes.append(f"{reason}; {engines[0].name} is used")
        done.append(Trial(engine.name, reason=reason))
        engine.close()
    medians = _time(agreeing, pictures[1], clock)
    best = min(range(len(agreeing)), key=medians.__getitem__)
    for index, engine in enumerate(agreeing):
        if index != best:
            engine.close()
    measured = [Trial(e.name, milliseconds=m) for e, m in zip(agreeing, medians, strict=True)]
    return Choice(agreeing[best], medians[best], (*measured, *done), tuple(notes))


def _difference(
    reference: Engine, other: Engine, pictures: Sequence[NDArray[np.uint8]]
) -> str | None:
    for picture in pictures:
        difference = compare(reference.run(picture), other.run(picture))
        if difference is not None:
            return difference
    return None


def _time(
    engines: Sequence[Engine], picture: NDArray[np.uint8], clock: Callable[[], float]
) -> list[float]:
    """Return each engine's median milliseconds; they take turns, so that noise hits both."""
    start = clock()
    taken: list[list[float]] = [[] for _ in engines]
    for turn in range(WARM_UP_RUNS + MAX_TIMED_RUNS):
        for engine, times in zip(engines, taken, strict=True):
            before = clock()
            engine.run(picture)
            times.append((clock() - before) * 1000)
        if clock() - start > TIMING_BUDGET_S and turn > 0:
            break
    return [statistics.median(times[min(WARM_UP_RUNS, len(times) - 1) :]) for times in taken]
