"""What surrounds the parts of cloud-sync, as small as it may be: each keeps to its port."""

from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from nxai_cloud_sync.adapters.state_file import StateFile
from nxai_cloud_sync.core.catalogue import CatalogueVersion, Origin, VersionState
from nxai_cloud_sync.core.job_record import Details, JobRecord
from nxai_cloud_sync.core.project import (
    BlockKind,
    Download,
    Impulse,
    KeyInfo,
    LearnBlock,
    LogLine,
    ProjectInfo,
    Role,
    TrainedModel,
    TrainingJob,
    TrainingState,
)
from nxai_cloud_sync.jobs import Job
from nxai_cloud_sync.ports import (
    JobHistory,
    KeyStore,
    OnBytes,
    Remembered,
    StorageUnavailable,
    Studio,
)
from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import CATALOGUE, ResizeMode, Task
from nxai_common.contracts.progress import JobState
from nxai_common.contracts.results import Box, Detection, InferenceResult, Timing
from nxai_common.contracts.status import (
    CameraStatus,
    LinkState,
    ModelStatus,
    ServiceState,
    Status,
)

T = TypeVar("T")
M = TypeVar("M", bound=Message)

BORN = datetime(2026, 11, 1, 8, tzinfo=UTC)
TEXT = TypeAdapter(str)
FULL = StorageUnavailable("the disk is full; make room")


class Clock:
    """Monotonic seconds that move when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def keep_text(path: str, text: str) -> None:
    """Replace what a file keeps: work that may be killed."""
    StateFile(Path(path), TEXT).write(text)


class Kept(Generic[T]):
    """A disk for one value; keeps the bytes, so that only what can be kept is."""

    def __init__(self, kind: TypeAdapter[T]) -> None:
        self._kind = kind
        self.content: bytes | None = None
        self.trouble: StorageUnavailable | None = None
        self.writes = 0
        self.at_write: Callable[[], None] = lambda: None
        """Called while a write is under way."""

    def read(self) -> T | None:
        self._check()
        return None if self.content is None else self._kind.validate_json(self.content)

    def write(self, value: T) -> None:
        self.writes += 1
        self._check()
        self.at_write()
        self.content = self._kind.dump_json(value)

    def forget(self) -> None:
        self._check()
        self.content = None

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


def version(digest: str, model: str = "nuts", **rest: Any) -> CatalogueVersion:
    """Return a version that passed its test."""
    about: dict[str, Any] = {
        "title": "Nuts",
        "documentation": "",
        "version": f"v-{digest[:2]}",
        "labels": ("nut", "bolt"),
        "task": "fomo",
        "width": 96,
        "height": 96,
        "channels": 3,
        "size": 1000,
        "state": VersionState.READY,
        "origin": Origin(created_at="2026-11-28T14:02:00Z"),
        **rest,
    }
    return CatalogueVersion(digest=digest, model=model, **about)


class Shelf:
    """A catalogue, the newest version first."""

    def __init__(self, *versions: CatalogueVersion) -> None:
        self.held = versions
        self.trouble: StorageUnavailable | None = None
        self.reads = 0

    def versions(self) -> tuple[CatalogueVersion, ...]:
        self.reads += 1
        if self.trouble is not None:
            raise self.trouble
        return self.held

    def change(self, digest: str, **change: Any) -> None:
        self.held = tuple(
            replace(each, **change) if each.digest == digest else each for each in self.held
        )

    def lose(self, digest: str) -> None:
        self.held = tuple(each for each in self.held if each.digest != digest)


# -- inference and capture ------------------------------------------------------------------------


def model(name: str, digest: str = "", **rest: Any) -> ModelStatus:
    """Return a model that inference runs, as it was asked to."""
    about: dict[str, Any] = {
        "state": "ready" if digest else "loading",
        "wanted": f"{CATALOGUE}{digest}",
        "digest": digest,
        "path": f"{CATALOGUE}{digest}" if digest else "",
        **rest,
    }
    return ModelStatus(model=name, **about)


def fails(name: str, wanted: str, why: str = "damaged", instead: str = "") -> ModelStatus:
    """Return a model that inference could not load; `instead`: what runs meanwhile."""
    state = "ready" if instead else "failed"
    return model(name, instead, wanted=f"{CATALOGUE}{wanted}", failed=why, state=state)


def worker(*models: ModelStatus, name: str = "inference", lives: int = 1, **rest: Any) -> Status:
    """Return what an inference process says; `lives`: how often it was started."""
    return _status(name, "inference", lives, models=models, **rest)


def capturing(*cameras: CameraStatus, lives: int = 1, **rest: Any) -> Status:
    """Return what the capture process says."""
    return _status("capture", "capture", lives, cameras=cameras, **rest)


def camera(name: str = "front", decoded: int = 0, **rest: Any) -> CameraStatus:
    return CameraStatus(camera=name, state=LinkState.RUNNING, since=BORN, decoded=decoded, **rest)


def _status(name: str, role: str, lives: int, **rest: Any) -> Status:
    about: dict[str, Any] = {"state": ServiceState.RUNNING, **rest}
    started = BORN + timedelta(hours=lives)
    return Status(service=name, role=role, at=started, started_at=started, **about)


def result(
    name: str,
    sequence: int,
    *labels: str,
    digest: str = "",
    error: str = "",
    ms: float = 1.0,
    camera: str = "front",
) -> InferenceResult:
    """Return what a model found in a frame: objects side by side."""
    return InferenceResult(
        camera=camera,
        input="96x96x3",
        model=name,
        model_digest=digest,
        task=Task.FOMO,
        worker="inference",
        stream="s",
        sequence=sequence,
        captured_at_us=sequence,
        width=96,
        height=96,
        channels=3,
        source_width=96,
        source_height=96,
        transform=Transform(scale_x=1, scale_y=1),
        labels=("nut", "bolt"),
        detections=tuple(
            Detection(
                label=label,
                confidence=0.75,
                box=Box(x=20 * place, y=0, width=8, height=8),
                model_box=(20 * place, 0, 8, 8),
            )
            for place, label in enumerate(labels)
        ),
        error=error,
        timing=Timing(engine_ms=ms),
    )


# -- the bus --------------------------------------------------------------------------------------


def drain(inbox: Inbox, kind: type[M]) -> list[M]:
    """Return the messages of one class that wait."""
    found = []
    for delivery in inbox.receive_many(10_000, 0):
        delivery.acknowledge()
        if isinstance(delivery.message, kind):
            found.append(delivery.message)
    return found


def retained(bus: Bus, kind: type[M]) -> list[M]:
    """Return what somebody who comes now is told."""
    with closing(bus.subscribe(Subscription(kind))) as inbox:
        return drain(inbox, kind)


# -- Edge Impulse ---------------------------------------------------------------------------------

IMPULSE = Impulse(
    id=1,
    name="Impulse #1",
    width=96,
    height=96,
    resize_mode=ResizeMode.SQUASH,
    crop_anchor="middle-center",
    learn_blocks=(
        LearnBlock(3, BlockKind.OBJECT_DETECTION, "Object detection", "keras-object-detection"),
    ),
    default=True,
)


class ScriptedStudio:
    """Edge Impulse's Studio API, saying what the test says; a failure instead of an answer, too."""

    def __init__(self, project: int = 7, role: Role = Role.ADMIN) -> None:
        self.info = KeyInfo(project, role)
        self.about = ProjectInfo(project, "Parcels", compute_ms_left=600_000)
        self.offers: tuple[Impulse, ...] = (IMPULSE,)
        self.active: list[TrainingJob | Exception | None] = [None]
        """Answers to the question for a training that runs; the last one stays."""
        self.starts: list[int | Exception] = [42]
        self.states: list[TrainingState | Exception] = [TrainingState.SUCCEEDED]
        """Answers to how the job stands, one a question; the last one stays."""
        self.logs: list[tuple[LogLine, ...] | Exception] = [()]
        self.cancels: list[Exception | None] = [None]
        self.refused: dict[str, Exception] = {}
        """Failures of other questions, by method."""
        self.asked: deque[str] = deque(maxlen=10_000)
        self.before: dict[str, Callable[[], None]] = {}
        """Called with a question, by method, before it is answered."""
        self.closed = 0

    def _answer(self, question: str, answers: list[Any]) -> Any:
        self._ask(question)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _ask(self, question: str) -> None:
        assert not self.closed, "a closed connection was used"
        self.asked.append(question)
        self.before.get(question, lambda: None)()
        if question in self.refused:
            raise self.refused[question]

    def key_info(self) -> KeyInfo:
        self._ask("key_info")
        return self.info

    def project(self, project: int) -> ProjectInfo:
        self._ask("project")
        assert project == self.info.project
        return self.about

    def impulses(self, project: int) -> tuple[Impulse, ...]:
        self._ask("impulses")
        assert project == self.info.project
        return self.offers

    def trained_model(self, project: int, impulse: int, block: LearnBlock) -> TrainedModel | None:
        raise NotImplementedError

    def downloads(self, project: int, impulse: int) -> tuple[Download, ...]:
        raise NotImplementedError

    def fetch(self, download: Download, target: Path, limit: int, on_bytes: OnBytes) -> None:
        raise NotImplementedError

    def last_modification(self, project: int) -> str:
        raise NotImplementedError

    def start_training(self, project: int, impulse: int) -> int:
        assert (project, impulse) == (self.info.project, 1)
        number: int = self._answer("start_training", self.starts)
        return number

    def active_training(self, project: int) -> TrainingJob | None:
        assert project == self.info.project
        found: TrainingJob | None = self._answer("active_training", self.active)
        return found

    def training(self, project: int, job: int) -> TrainingJob:
        assert project == self.info.project
        return TrainingJob(job, self._answer("training", self.states))

    def training_log(self, project: int, job: int) -> tuple[LogLine, ...]:
        assert project == self.info.project
        assert job
        found: tuple[LogLine, ...] = self._answer("training_log", self.logs)
        return found

    def cancel_training(self, project: int, job: int) -> None:
        assert project == self.info.project
        self._answer(f"cancel_training {job}", self.cancels)

    def find_sample(self, project: int, file_name: str) -> int | None:
        raise NotImplementedError

    def close(self) -> None:
        self.closed += 1


def lines(*texts: str, start: int = 0) -> tuple[LogLine, ...]:
    """Return lines of a log, one a second."""
    return tuple(
        LogLine(BORN + timedelta(seconds=start + number), text) for number, text in enumerate(texts)
    )


class Keys:
    """Where the API key lies."""

    def __init__(self, key: str | None = "ei_admin") -> None:
        self.key = key
        self.beside: str | None = None
        """The one that is prepared."""
        self.trouble: Exception | None = None
        self.full: StorageUnavailable | None = None
        """Why the prepared one can neither be adopted nor dropped."""

    def read(self) -> str | None:
        if self.trouble is not None:
            raise self.trouble
        return self.key

    def write(self, key: str) -> None:
        self.key = key

    def forget(self) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.key = self.beside = None

    @property
    def held(self) -> tuple[str | None, str | None]:
        """The key in use, and the one that is prepared."""
        return self.key, self.beside

    def prepare(self, key: str) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.beside = key

    def prepared(self) -> str | None:
        return self.beside

    def adopt(self) -> None:
        if self.full is not None:
            raise self.full
        assert self.beside is not None
        self.key, self.beside = self.beside, None

    def drop(self) -> None:
        if self.full is not None:
            raise self.full
        self.beside = None


class Remembering:
    """Keeps jobs in memory; implements `JobHistory`."""

    def __init__(self) -> None:
        self.records: dict[str, JobRecord] = {}
        self.trouble: StorageUnavailable | None = None

    def keep(self, record: JobRecord) -> None:
        self._check()
        self.records[record.job] = record

    def forget(self, job: str) -> None:
        self._check()
        self.records.pop(job, None)

    def newest(self, command: str, limit: int) -> tuple[JobRecord, ...]:
        self._check()
        found = reversed(self.records.values())
        return tuple(one for one in found if command in ("", one.command))[:limit]

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class Heard:
    """Takes what a job says."""

    def __init__(self) -> None:
        self.steps: list[tuple[JobState, str]] = []
        self.job = Job("job-1", "job", self._tell)

    def _tell(
        self, _job: Job, state: JobState, text: str, _done: int, _total: int, _details: Details
    ) -> None:
        self.steps.append((state, text))

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.steps]


def _holds_to_the_ports(
    kept: Kept[int], keys: Keys, studio: ScriptedStudio, history: Remembering
) -> tuple[Remembered[int], KeyStore, Studio, JobHistory]:
    """Let the type checker look."""
    return kept, keys, studio, history
