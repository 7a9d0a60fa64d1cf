"""The models of the configuration: wanted, loading, ready, failed.

Everything but loading happens on the thread of the service's loop, so that a model is swapped
between two frames and never under one.
"""

import difflib
import enum
import itertools
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Final, Self

import numpy as np

from nxai_common.contracts.commands import BUSY, Reply
from nxai_common.contracts.configuration import DesiredModel, UncertainRule
from nxai_common.contracts.frames import Frame
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.status import ModelStatus
from nxai_common.errors import ConfigurationError, NxaiError
from nxai_common.retry import RetryPolicy
from nxai_inference.core.answer import Answer
from nxai_inference.core.collecting import Collector
from nxai_inference.core.decoding import Decoder, decoder_for
from nxai_inference.core.engine_trial import EngineTrial, tried
from nxai_inference.ports import Engine, ModelSource

log = logging.getLogger(__name__)

LINGER_S: Final = 5.0
"""A version whose input size is no longer wanted stays for so long after its last frame: capture
changes over within one retained manifest, and two credit windows of a slow model fit in it."""

GOODBYE_S: Final = 5.0
"""A load that is under way at the end is waited for so long; the process then ends without it."""

LOOK_S: Final = 2.0
"""Between two looks at the files of models: soon for a person, nothing for a disk."""
LOAD_RETRY: Final = RetryPolicy(first_s=5, factor=2, longest_s=60)
"""A file that is still being copied is whole in seconds; one that stays broken costs the processor
a load a minute."""

MOST_TRIALS: Final = 4
"""Models and pictures that may wait to be tried: each takes up to seconds, and who asks waits no
longer."""

Size = tuple[int, int, int]
"""Width, height, channels of an input."""

NOT_IN_THE_FILE: Final = {
    "threshold": None,
    "tensors": "auto",
    "uncertain": UncertainRule(),
    "uncertain_image": True,
}
"""Fields of `DesiredModel` that take effect without loading anything again."""


@dataclass(slots=True)
class Version:
    """A model file in memory."""

    manifest: ModelManifest
    """With the threshold of the package, whatever the configuration says."""
    engine: Engine
    decoder: Decoder
    warnings: tuple[str, ...]
    loaded_from: DesiredModel
    """The order that it was loaded for."""
    stamp: Hashable
    """Of its files, before they were read."""
    last_used: float = 0.0
    answers: dict[str, Answer] = field(default_factory=dict)
    """What is known about each camera; emptied when the configuration changes."""

    @property
    def size(self) -> Size:
        """Return the size of its input."""
        return (self.manifest.width, self.manifest.height, self.manifest.channels)


@dataclass(frozen=True, slots=True)
class Failure:
    """A load that failed."""

    wanted: DesiredModel
    """The order: it says nothing of any other."""
    reason: str
    stamp: Hashable
    """Of the files, before they were read."""


class Model:
    """One model of the configuration and those of its versions that are in memory."""

    def __init__(self, desired: DesiredModel) -> None:
        self.desired = desired
        self.current: Version | None = None
        self.loading: DesiredModel | None = None
        self.failure: Failure | None = None
        """The last load, if it failed."""
        self.failures = 0
        """Loads of what is wanted that failed in a row."""
        self.retry_at = 0.0
        self.trouble = ""
        """Why the last frame could not be looked at; empty when it could."""
        self.traced: dict[type[Exception], float] = {}
        """When an error of each kind was logged last."""
        self.processed = 0
        self.errors = 0
        self.uncertain = 0
        self.collectors: dict[str, Collector] = {}
        """Of cameras whose pictures are collected; outlive a configuration and a version."""
        self._versions: dict[Size, Version] = {}

    @property
    def order(self) -> DesiredModel:
        """Return what is wanted of the file."""
        return _order_of(self.desired)

    @property
    def reason(self) -> str:
        """Return why what is wanted could not be loaded; empty when it was not tried yet."""
        ended = self.ended(self.order)
        return ended.reason if isinstance(ended, Failure) else ""

    def ended(self, order: DesiredModel) -> Version | Failure | None:
        """Return how the last load for an order ended; None: none is known that has."""
        return _ended(order, self.current, self.failure)

    def was_replaced(self, order: DesiredModel, stamp: Hashable) -> bool:
        """Tell whether the files of an order are others than those that were read for it.

        Args:
            order: Nothing is replaced when it is not wanted any more.
            stamp: Of the files as they are now; None: there are none.
        """
        ended = self.ended(order)
        return ended is not None and self.order == order and stamp not in (None, ended.stamp)

    def version_for(self, frame: Frame) -> Version | None:
        """Return the version that reads frames of this size."""
        return self._versions.get((frame.width, frame.height, frame.channels))

    def manifest(self) -> ModelManifest | None:
        """Return what is offered now: the current version under the configured threshold."""
        return None if self.current is None else self.configured(self.current.manifest)

    def configured(self, manifest: ModelManifest) -> ModelManifest:
        """Return a manifest with the threshold that the configuration sets, if it does."""
        threshold = self.desired.threshold
        if threshold is None:
            return manifest
        return manifest.model_copy(update={"threshold": threshold})

    def accept(self, version: Version, now: float) -> None:
        """Put a version in force. One of another input size stays for frames on their way."""
        if self.current is not None:
            self.current.last_used = now
        replaced = self._versions.get(version.size)
        self._versions[version.size] = version
        self.succeed()
        self.current = version
        if replaced is not None:
            replaced.engine.close()

    def succeed(self) -> None:
        """Note that what is wanted is in force."""
        self.failure = None
        self.failures = 0

    def fail(self, failure: Failure, now: float, rng: random.Random) -> None:
        """Note why a load failed, and when to try again."""
        known, self.failure = self.failure, failure
        self.failures += 1
        self.retry_at = now + LOAD_RETRY.delay(self.failures, rng)
        again = self.failures > 1 and known is not None and known.reason == failure.reason
        level = logging.DEBUG if again else logging.WARNING
        log.log(level, "model %s: %s", self.desired.id, failure.reason)

    def retire(self, now: float) -> None:
        """Close versions whose frames have stopped coming."""
        for size, version in list(self._versions.items()):
            if version is not self.current and now - version.last_used >= LINGER_S:
                del self._versions[size]
                version.engine.close()

    def forget_answers(self) -> None:
        """Let thresholds and rules be read from the configuration again."""
        for version in self._versions.values():
            version.answers.clear()

    def close(self) -> None:
        """Free every version."""
        for version in self._versions.values():
            version.engine.close()
        self._versions.clear()
        self.current = None

    def status(self) -> ModelStatus:
        """Return how it stands. May be called from another thread.

        What it reads changes meanwhile, one after the other. Even so no version is said to have
        failed that did not: a failure knows whose it is, and is cleared before another version is
        in force.
        """
        loading = self.loading  # read first, as it is cleared last
        desired, current, failure = self.desired, self.current, self.failure
        ended = _ended(_order_of(desired), current, failure)
        reason = ended.reason if isinstance(ended, Failure) else ""
        failed = "" if loading is not None else reason
        if loading is not None or ended is None:
            state = "loading"
        elif current is None:
            state = "failed"
        else:
            state = "ready"
            reason = f"the version before stays in force: {reason}" if reason else self.trouble
        return ModelStatus(
            model=self.desired.id,
            state=state,
            reason=reason,
            wanted=desired.path,
            failed=failed,
            digest="" if current is None else current.manifest.digest,
            path="" if current is None else current.loaded_from.path,
            engine="" if current is None else current.manifest.engine,
            engine_ms=None if current is None else current.manifest.engine_ms,
            processed=self.processed,
            errors=self.errors,
            uncertain=self.uncertain,
        )


@dataclass(frozen=True, slots=True)
class _Loaded:
    """How a load ended."""

    wanted: DesiredModel
    result: Version | Failure
    trials: tuple[EngineTrial, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What somebody asked for, and who waits for the answer."""

    what: str
    """For the log."""
    work: Callable[[], Reply | None]
    """None: it is answered elsewhere."""
    answer: Callable[[Reply], None]


class _Rank(enum.IntEnum):
    """What is done first."""

    STOP = 0
    LOAD = 1
    TRY = 2


@dataclass(frozen=True, slots=True, order=True)
class _Order:
    """What the loading thread shall do; of equal rank in the order in which it came."""

    rank: _Rank
    number: int
    work: DesiredModel | _Asked | None = field(compare=False)


class Models:
    """All models, and the one thread that loads them."""

    def __init__(
        self,
        source: ModelSource,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._source = source
        self._wake = wake
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._models: dict[str, Model] = {}
        self._orders: queue.PriorityQueue[_Order] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._places = threading.BoundedSemaphore(MOST_TRIALS)
        self._loaded: queue.SimpleQueue[_Loaded] = queue.SimpleQueue()
        self._replaced: dict[str, tuple[DesiredModel, Hashable]] = {}
        """Models whose files were replaced, with the order and the stamp of the new ones."""
        self._thread = threading.Thread(target=self._load_all, name="models", daemon=True)

    def __enter__(self) -> Self:
        """Start the loading thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop loading and free every model."""
        models, self._models = self._models, {}  # what is still ordered is not wanted any more
        self._put(_Rank.STOP, None)
        self._thread.join(GOODBYE_S)
        self._refuse_trials()
        for model in models.values():
            model.close()
        while not self._loaded.empty():
            _discard(self._loaded.get().result)

    def get(self, name: str) -> Model | None:
        """Return a model of the configuration."""
        return self._models.get(name)

    def __contains__(self, name: str) -> bool:
        """Tell whether a model is in the configuration."""
        return name in self._models

    def all(self) -> list[Model]:
        """Return the models. May be called from another thread."""
        return list(self._models.values())

    @property
    def settled(self) -> bool:
        """Whether every load has ended, well or not."""
        return not self.loading()

    def loading(self) -> set[str]:
        """Return the names of the models whose load has not ended."""
        return {name for name, model in self._models.items() if model.loading is not None}

    def configure(self, wanted: Iterable[DesiredModel]) -> list[str]:
        """Make the models what the configuration says; loads go on in the background.

        A model whose last load failed is tried again at once: the file may be there now.

        Returns:
            Names of the models that are no longer offered.
        """
        desired = {model.id: model for model in wanted}
        removed = [name for name in self._models if name not in desired]
        for name in removed:
            self._models.pop(name).close()
        for name, wish in desired.items():
            model = self._models.setdefault(name, Model(wish))
            model.desired = wish
            model.forget_answers()
            if model.loading == model.order:
                continue
            if isinstance(model.ended(model.order), Version):
                model.succeed()  # a change that was taken back
                model.loading = None
            else:
                model.failures = 0
                self._order(model)
        return removed

    def try_again(self) -> None:
        """Order again what could not be loaded, each when its time has come, and what changed."""
        for name in list(self._replaced):
            order, stamp = self._replaced.pop(name)
            changed = self._models.get(name)
            if changed is None or changed.loading is not None:
                continue
            if changed.was_replaced(order, stamp):
                log.info("the files of model %s changed: loading them", name)
                self._order(changed)
        now = self._clock()
        for model in self._models.values():
            if model.failures and model.loading is None and model.retry_at <= now:
                self._order(model)

    def _order(self, model: Model) -> None:
        model.loading = model.order
        self._put(_Rank.LOAD, model.loading)

    def _put(self, rank: _Rank, work: DesiredModel | _Asked | None) -> None:
        self._orders.put(_Order(rank, next(self._numbers), work))

    def try_out(self, desired: DesiredModel, answer: Callable[[Reply], None]) -> None:
        """Load, test and time a model that is not to be offered; answer how that went.

        As for `ask`.
        """
        self.ask(f"model {desired.id}", partial(self._try, desired), answer)

    def ask(
        self, what: str, work: Callable[[], Reply | None], answer: Callable[[Reply], None]
    ) -> None:
        """Do what takes a while on the loading thread, behind the loads of the configuration.

        Args:
            what: In words, for the log.
            work: What it returns is the answer; None: the answer comes from elsewhere.
            answer: Called on the loading thread, or at once when too many wait.
        """
        if self._places.acquire(blocking=False):
            self._put(_Rank.TRY, _Asked(what, work, answer))
        else:
            reason = (
                f"{MOST_TRIALS} models and pictures wait to be tried already: "
                "ask again in some seconds"
            )
            answer(Reply(ok=False, reason=reason, details={BUSY: True}))

    @contextmanager
    def alone(self, desired: DesiredModel) -> Iterator[Version]:
        """Load a model for as long as this is open. On the loading thread.

        Raises:
            ConfigurationError: it cannot be loaded; says why.
        """
        result = self._load(desired).result
        if isinstance(result, Failure):
            raise ConfigurationError(result.reason)
        with result.engine:
            yield result

    def missing(self, name: str) -> str:
        """Return why no frame can be looked at with a model; empty when one can."""
        model = self._models.get(name)
        if model is None:
            near = difflib.get_close_matches(name, self._models, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = ", ".join(sorted(self._models)) or "none"
            return f"no model {name!r} here; {hint}the configuration has: {known}"
        if model.current is None:
            reason = model.reason if model.loading is None else "it is loading"
            return f"model {name!r} cannot be used: {reason}"
        return ""

    def collect(self) -> list[Model]:
        """Put loads that have ended in force; return the models they were for."""
        ended = []
        while not self._loaded.empty():
            loaded = self._loaded.get()
            model = self._models.get(loaded.wanted.id)
            if model is None or model.loading != loaded.wanted:
                _discard(loaded.result)  # no longer wanted
                continue
            result = loaded.result
            if isinstance(result, Failure):
                model.fail(result, self._clock(), self._rng)
            else:
                model.accept(result, self._clock())
                log.info(
                    "model %s is ready on %s",
                    loaded.wanted.id,
                    result.manifest.engine,
                    extra={"digest": result.manifest.digest},
                )
            model.loading = None
            ended.append(model)
        return ended

    def retire(self) -> None:
        """Free versions of an input size that nobody sends any more."""
        now = self._clock()
        for model in self._models.values():
            model.retire(now)

    # -- on the loading thread ------------------------------------------------------------------

    def _load_all(self) -> None:
        seen: dict[DesiredModel, Hashable] = {}
        while True:
            try:
                work = self._orders.get(timeout=LOOK_S).work
            except queue.Empty:
                seen = self._look_at_files(seen)
                continue
            if work is None:
                return
            if isinstance(work, _Asked):
                self._places.release()
                reply = attempt(work.what, work.work)
                if reply is not None:
                    self._answer(work, reply)
                continue
            model = self._models.get(work.id)
            if model is not None and model.loading == work:
                self._loaded.put(self._load(work))
                self._wake()

    def _try(self, desired: DesiredModel) -> Reply:
        loaded = self._load(desired, anew=True)
        result = loaded.result
        if isinstance(result, Failure):
            return Reply(ok=False, reason=result.reason)
        result.engine.close()
        return tried(result.manifest, loaded.trials, result.warnings)

    def _answer(self, asked: _Asked, reply: Reply) -> None:
        try:
            asked.answer(reply)
        except Exception:  # the models after this one must still be loaded
            log.exception("the answer about %s could not be sent", asked.what)

    def _refuse_trials(self) -> None:
        """Answer those who still wait at the end."""
        while not self._orders.empty():
            work = self._orders.get_nowait().work
            if isinstance(work, _Asked):
                self._answer(work, Reply(ok=False, reason="the inference service stops"))

    def _look_at_files(self, before: dict[DesiredModel, Hashable]) -> dict[DesiredModel, Hashable]:
        """Note whose files were replaced, once they stay as they are: copying takes a while.

        Args:
            before: Stamps of the last look, by the order that they belong to.
        """
        seen: dict[DesiredModel, Hashable] = {}
        for model in self.all():
            if model.current is None or model.loading is not None:
                continue
            order = model.order
            stamp = seen[order] = self._source.stamp(order)
            if before.get(order) == stamp and model.was_replaced(order, stamp):
                self._replaced[order.id] = (order, stamp)
        return seen

    def _load(self, wanted: DesiredModel, *, anew: bool = False) -> _Loaded:
        stamp = self._source.stamp(wanted)  # first: what is replaced meanwhile has another one

        def failed(reason: str) -> _Loaded:
            return _Loaded(wanted, Failure(wanted, reason, stamp))

        try:
            loaded = self._source.load(wanted, anew=anew)
        except NxaiError as error:
            return failed(str(error))
        except Exception as error:  # the models after this one must still be loaded
            log.exception("loading model %s", wanted.id)
            return failed(f"{type(error).__name__}: {error}")
        manifest, engine = loaded.manifest, loaded.engine
        try:
            decoder = decoder_for(manifest, engine.outputs)
            # Now, not on the first real frame: an output may not have the shape it promises.
            blank = np.zeros((manifest.height, manifest.width, manifest.channels), np.uint8)
            decoder.decode(engine.run(blank), manifest.threshold)
        except NxaiError as error:
            engine.close()
            return failed(str(error))
        except Exception as error:  # as above
            engine.close()
            log.exception("running model %s for the first time", wanted.id)
            return failed(f"{type(error).__name__}: {error}")
        version = Version(manifest, engine, decoder, loaded.warnings, wanted, stamp)
        return _Loaded(wanted, version, loaded.trials)


def attempt(what: str, work: Callable[[], Reply | None]) -> Reply | None:
    """Do what somebody asked for; what goes wrong is the answer, and ends nothing else."""
    try:
        return work()
    except NxaiError as error:
        return Reply(ok=False, reason=str(error))
    except Exception as error:  # logged and told: a model or a picture may be anybody's
        log.exception("%s", what)
        return Reply(ok=False, reason=f"{type(error).__name__}: {error}")


def _order_of(desired: DesiredModel) -> DesiredModel:
    return desired.model_copy(update=NOT_IN_THE_FILE)


def _ended(
    order: DesiredModel, current: Version | None, failure: Failure | None
) -> Version | Failure | None:
    if failure is not None and failure.wanted == order:
        return failure
    return current if current is not None and current.loaded_from == order else None


def _discard(result: Version | Failure) -> None:
    if isinstance(result, Version):
        result.engine.close()
