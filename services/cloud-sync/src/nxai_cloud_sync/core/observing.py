"""What inference and capture processes say of themselves, made into what is seen of a model.

Statuses come when they like: from several workers, late, twice, from one that was started anew
or is gone. So each counter is followed for each process on its own, and only its growth counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from nxai_cloud_sync.core.deploying import Seen
from nxai_common.contracts.models import CATALOGUE
from nxai_common.contracts.status import CameraStatus, ModelStatus, ServiceState, Status

RATE_S: Final = 10.0
"""Growth is measured over at least so long: two heartbeats."""

INFERENCE: Final = "inference"
CAPTURE: Final = "capture"
GONE: Final = (ServiceState.OFFLINE, ServiceState.STOPPED)


@dataclass(slots=True)
class _Meter:
    """How fast a counter of one process grows."""

    at: float
    count: int
    rate: float | None = None
    """A second, over the last window; None: the first one is under way."""
    fresh: bool = False
    """Measured since it was asked for last."""

    def read(self, count: int, now: float) -> None:
        """Take what the counter shows now."""
        if count < self.count:
            self.at, self.count, self.rate, self.fresh = now, count, None, False
        elif now - self.at >= RATE_S:
            self.rate = (count - self.count) / (now - self.at)
            self.at, self.count, self.fresh = now, count, True


@dataclass(slots=True)
class _Process:
    """One process, as it described itself last."""

    role: str
    started_at: datetime
    known_from_birth: bool
    """What its counters show happened since this object was made."""
    here: bool = True
    said_goodbye: bool = False
    models: dict[str, ModelStatus] = field(default_factory=dict)
    meters: dict[str, _Meter] = field(default_factory=dict)
    """Of its models or cameras, by name."""


class Observations:
    """All processes. Times are monotonic seconds of one clock."""

    def __init__(self) -> None:
        self._processes: dict[str, _Process] = {}
        self._errors: Counter[str] = Counter()
        """New ones of each model, not asked for yet."""
        self._crashes = 0
        self._rates: dict[str, float] = {}

    def see(self, status: Status, now: float) -> None:
        """Take what a process says of itself; those of other roles are left alone."""
        if status.role not in (INFERENCE, CAPTURE):
            return
        process = self._processes.get(status.service)
        if status.state in GONE:
            if process is not None:
                process.here = False
                process.said_goodbye = status.state is ServiceState.STOPPED
                process.meters.clear()
            return
        if process is None or process.started_at != status.started_at:
            if process is not None and process.role == INFERENCE and not process.said_goodbye:
                self._crashes += 1
            process = _Process(status.role, status.started_at, process is not None)
            self._processes[status.service] = process
        process.here, process.said_goodbye = True, False
        if process.role == INFERENCE:
            self._see_models(process, status.models, now)
        else:
            _see_cameras(process, status.cameras, now)
        process.known_from_birth = True

    def take_crashes(self) -> int:
        """Return how many inference processes ended without a goodbye, since the last call."""
        crashes, self._crashes = self._crashes, 0
        return crashes

    def seen(self, model: str, cameras: Iterable[str] = (), crashes: int = 0) -> Seen:
        """Return what is seen of a model; what is new since the last call is told once.

        Args:
            model: Its name.
            cameras: Those it runs on.
            crashes: What `take_crashes` said.
        """
        found = [process.models[model] for process in self._workers(model)]
        return Seen(
            digests=frozenset(status.digest for status in found),
            failures=tuple(
                (status.wanted.removeprefix(CATALOGUE), why)
                for status in found
                if (why := _why(status))
            ),
            errors=self._errors.pop(model, 0),
            crashes=crashes,
            rate=self._rate(model),
            camera_rate=self._camera_rate(model, frozenset(cameras)),
        )

    def rate_of(self, model: str) -> float | None:
        """Return the newest rate that was measured of a model; see `Seen.rate`."""
        return self._rates.get(model)

    def digest_of(self, model: str) -> str:
        """Return the version in force everywhere; empty: none, or not everywhere the same."""
        digests = {process.models[model].digest for process in self._workers(model)}
        return digests.pop() if len(digests) == 1 else ""

    def knows(self, model: str) -> bool:
        """Tell whether inference was told of a model."""
        return any(self._workers(model))

    def other_wish(self, model: str) -> str:
        """Return what else than a version of the catalogue inference was told to run by that name.

        Empty: nothing else. settings.json may have a model of its own of that name.
        """
        wanted = {process.models[model].wanted for process in self._workers(model)}
        return next(
            (path for path in sorted(wanted) if path and not path.startswith(CATALOGUE)), ""
        )

    def held(self) -> dict[str, str]:
        """Return which models run or shall run a version of the catalogue, by digest.

        As inference said last, also of processes that are not here: they come again.
        """
        return {
            path.removeprefix(CATALOGUE): model
            for process in self._of_role(INFERENCE)
            for model, status in process.models.items()
            for path in (status.wanted, status.path)
            if path.startswith(CATALOGUE)
        }

    @property
    def inference_runs(self) -> bool:
        """Whether any inference process is here."""
        return any(process.here for process in self._of_role(INFERENCE))

    def forget(self, model: str) -> None:
        """Begin anew with a model that is deployed no more."""
        self._rates.pop(model, None)
        self._errors.pop(model, None)

    def _of_role(self, role: str) -> Iterator[_Process]:
        return (process for process in self._processes.values() if process.role == role)

    def _workers(self, model: str) -> Iterator[_Process]:
        return (
            process
            for process in self._of_role(INFERENCE)
            if process.here and model in process.models
        )

    def _see_models(self, process: _Process, models: Iterable[ModelStatus], now: float) -> None:
        before, process.models = process.models, {status.model: status for status in models}
        _keep_meters(process, process.models.keys())
        for name, status in process.models.items():
            known = before.get(name)
            if known is not None and known.errors <= status.errors:
                self._errors[name] += status.errors - known.errors
            elif process.known_from_birth:  # or the model was taken away and given again
                self._errors[name] += status.errors
            process.meters.setdefault(name, _Meter(now, status.processed)).read(
                status.processed, now
            )

    def _rate(self, model: str) -> float | None:
        """Return frames a second of each worker, once all of them were measured."""
        meters = [process.meters[model] for process in self._workers(model)]
        if not meters or not all(meter.fresh for meter in meters):
            return None
        for meter in meters:
            meter.fresh = False
        rate = sum(meter.rate or 0.0 for meter in meters) / len(meters)
        self._rates[model] = rate
        return rate

    def _camera_rate(self, model: str, cameras: frozenset[str]) -> float:
        given = sum(
            meter.rate or 0.0
            for process in self._of_role(CAPTURE)
            for name, meter in process.meters.items()
            if name in cameras
        )
        return given / max(1, len(list(self._workers(model))))


def _see_cameras(process: _Process, cameras: Iterable[CameraStatus], now: float) -> None:
    # What was left out on purpose (a limit, an unchanged picture) is not waited for.
    due = {status.camera: status.decoded - status.skipped for status in cameras}
    _keep_meters(process, due.keys())
    for name, count in due.items():
        process.meters.setdefault(name, _Meter(now, count)).read(count, now)


def _keep_meters(process: _Process, names: Iterable[str]) -> None:
    kept = frozenset(names)
    process.meters = {name: meter for name, meter in process.meters.items() if name in kept}


def _why(status: ModelStatus) -> str:
    """Return why a model could not be loaded, also of a worker of a version that tells less."""
    return status.failed or (status.reason if status.state == "failed" else "")
