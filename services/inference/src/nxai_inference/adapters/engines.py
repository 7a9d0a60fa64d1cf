"""Builds every engine that can run a model, compares and times them, keeps the best.

Neither engine wins everywhere: a FOMO takes LiteRT half of ONNX Runtime's time, a YOLOv5n the
other way round (docs/decisions/engines.md). So the machine at hand decides, once per model.
"""

import hashlib
import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nxai_common.contracts.models import InputScaling
from nxai_common.errors import ConfigurationError, NxaiError, RejectedError
from nxai_inference.adapters.litert_engine import LitertEngine
from nxai_inference.adapters.onnx_engine import CPU, OnnxEngine
from nxai_inference.adapters.proven_engines import Proof, ProvenEngines
from nxai_inference.core.conversion import convert
from nxai_inference.core.engine_trial import EngineTrial
from nxai_inference.core.model_facts import input_geometry
from nxai_inference.core.self_test import compare, trial_pictures
from nxai_inference.ports import Engine

EngineKind = Literal["litert", "onnx"]
EngineChoice = Literal["auto", "onnx", "litert"]

WARM_UP_RUNS: Final = 3
"""The first run allocates, the second still fills caches."""
MAX_TIMED_RUNS: Final = 50
"""A median of 50 is steady to a few percent on a busy box; more would only take longer."""
TIMING_BUDGET_S: Final = 1.2
"""For both engines together: a model change must not feel slow. A 300 ms model still gets two
timed runs each."""


@dataclass(frozen=True)
class ModelFile:
    """A model file, read whole: models for an edge box are a few megabytes."""

    name: str
    """For messages and manifests; the path as the user gave it."""
    content: bytes = field(repr=False)
    format: Literal["tflite", "onnx"]

    @cached_property
    def digest(self) -> str:
        """SHA-256, hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine to use, and how that came about."""

    engine: Engine
    milliseconds: float
    trials: tuple[EngineTrial, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the settings of the service say."""

    providers: tuple[str, ...] = (CPU,)
    """From `onnx_engine.execution_providers`."""
    threads: int = 1
    clock: Callable[[], float] = time.perf_counter


def choose_engine(
    file: ModelFile,
    scaling: InputScaling,
    choice: EngineChoice,
    options: EngineOptions,
    proven: ProvenEngines | None = None,
) -> Choice:
    """Return a running engine for a model; the caller closes it.

    Args:
        file: The model.
        scaling: What it expects of a pixel.
        choice: ``auto``, or the one engine to use.
        options: Hardware and threads.
        proven: Where to remember what was found out.

    Raises:
        ConfigurationError: the file is broken, or the chosen engine cannot run it.
    """
    built: list[_Built] = []
    failures: list[tuple[str, NxaiError]] = []
    warnings: list[str] = []
    try:
        for name in _candidates(file, choice):
            try:
                found = _build(name, file, scaling, options)
            except NxaiError as error:
                failures.append((name, error))
                continue
            built.append(found)
            if isinstance(found.engine, OnnxEngine):
                warnings += found.engine.warnings
        if options.providers[0] != CPU:
            warnings += [f"{options.providers[0]} is not used: {error}" for _, error in failures]
        trials = [EngineTrial(name, reason=str(error)) for name, error in failures]
        if built:
            chosen = _fastest([found.engine for found in built], trials, warnings, options.clock)
            if proven is not None:
                used = next(found for found in built if found.engine is chosen.engine)
                proven.put(_key(file, scaling, choice, options), _proof(used, chosen))
            return chosen
    except BaseException:
        for found in built:
            found.engine.close()
        raise
    _, first = failures[0]
    raise ConfigurationError(f"{file.name}: {first}") from first


def proven_engine(
    file: ModelFile,
    scaling: InputScaling,
    choice: EngineChoice,
    options: EngineOptions,
    proven: ProvenEngines,
) -> Choice | None:
    """Return a running engine for a model that was tried before, without trying it again.

    None when nothing is known, or when the engine does not start as it did. Arguments as those of
    `choose_engine`.
    """
    key = _key(file, scaling, choice, options)
    proof = proven.get(key)
    if proof is None:
        return None
    try:
        engine = _start(proof.kind, proof.content or file.content, scaling, options)
    except NxaiError:
        proven.forget(key)
        return None
    if engine.name != proof.engine:  # other hardware: it may be slower than its rival now
        engine.close()
        proven.forget(key)
        return None
    return Choice(engine, proof.milliseconds, proof.trials, proof.warnings)


@dataclass(frozen=True, slots=True)
class _Built:
    kind: EngineKind
    engine: Engine
    converted: bytes | None


def _key(
    file: ModelFile, scaling: InputScaling, choice: EngineChoice, options: EngineOptions
) -> Hashable:
    return (file.digest, scaling, choice, options.providers, options.threads)


def _proof(used: _Built, chosen: Choice) -> Proof:
    return Proof(
        used.kind,
        used.engine.name,
        chosen.milliseconds,
        chosen.trials,
        chosen.warnings,
        used.converted,
    )


def _candidates(file: ModelFile, choice: EngineChoice) -> tuple[EngineKind, ...]:
    if file.format == "onnx":
        if choice == "litert":
            raise ConfigurationError(
                f"{file.name}: LiteRT cannot run .onnx files; set the engine to auto or onnx"
            )
        return ("onnx",)
    return ("litert", "onnx") if choice == "auto" else (choice,)


def _build(
    kind: EngineKind, file: ModelFile, scaling: InputScaling, options: EngineOptions
) -> _Built:
    converted = None
    if kind == "onnx" and file.format == "tflite":
        try:
            converted = convert(file.content)
        except RejectedError as error:
            raise ConfigurationError(f"ONNX Runtime cannot run it: {error}") from error
    return _Built(kind, _start(kind, converted or file.content, scaling, options), converted)


def _start(
    kind: EngineKind, content: bytes, scaling: InputScaling, options: EngineOptions
) -> Engine:
    if kind == "litert":
        return LitertEngine(content, scaling=scaling, threads=options.threads)
    return OnnxEngine(
        content, scaling=scaling, providers=options.providers, threads=options.threads
    )


def _fastest(
    engines: Sequence[Engine],
    trials: Sequence[EngineTrial],
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
        done.append(EngineTrial(engine.name, reason=reason))
        engine.close()
    medians = _time(agreeing, pictures[1], clock)
    best = min(range(len(agreeing)), key=medians.__getitem__)
    for index, engine in enumerate(agreeing):
        if index != best:
            engine.close()
    measured = [EngineTrial(e.name, milliseconds=m) for e, m in zip(agreeing, medians, strict=True)]
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
