"""What Studio knows: projects with their keys, impulses, models, samples and jobs.

A test changes all of it while the servers run. The servers read and write under `Emulator.lock`;
a test that reads something made of several parts takes it too.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Literal, TypeAlias

from support.edge_impulse.faults import Faults
from support.edge_impulse.pictures import BrokenPictureError, size_of

Role: TypeAlias = Literal["admin", "readonly", "ingestiononly", "ingestion_deployment"]
Category: TypeAlias = Literal["training", "testing", "validation", "post-processing"]
Progress: TypeAlias = Literal["polls", "clock", "manual"]

FLOAT32: Final = "TensorFlow Lite (float32)"
INT8: Final = "TensorFlow Lite (int8 quantized)"
ONNX: Final = "ONNX"

REQUESTS_KEPT = 100_000
"""More than any test sends; a bound all the same."""

COMMUNITY_BLOCK = 7
"""Any number: networks of others, such as YOLOv5, have one."""

BORN = datetime(2026, 1, 5, 8, 30, tzinfo=UTC)
"""When the projects of tests were made, unless they say otherwise."""


class RefusedError(Exception):
    """Studio's way to say no, mostly HTTP 200 with `success: false`."""

    def __init__(self, error: str, status: int = 200) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


@dataclass(frozen=True)
class ApiKey:
    """A key of one project."""

    key: str
    role: Role = "admin"
    id: int = 1


@dataclass(frozen=True)
class InputBlock:
    """What the pictures are resized to."""

    id: int = 1
    width: int = 96
    height: int = 96
    resize_mode: str = "fit-short"
    resize_method: str = "lanczos3"
    crop_anchor: str = "middle-center"


@dataclass(frozen=True)
class DspBlock:
    """The image block: colours or gray."""

    id: int = 2
    channels: Literal["RGB", "Grayscale"] = "Grayscale"
    input: int = 1


@dataclass(frozen=True)
class Artefact:
    """One line of the list of downloads; `data` may be replaced by what a test needs."""

    id: str
    type: str
    data: bytes
    name: str = "Object detection model"
    ending: str = "lite"
    """Of the file name."""


@dataclass(frozen=True)
class Metrics:
    """How one variant did in validation."""

    variant: Literal["float32", "int8"]
    f1: float = 0.91
    loss: float = 0.12


@dataclass(frozen=True)
class Threshold:
    """A number of a learn block that a user may move."""

    key: str = "min_score"
    value: float = 0.5
    description: str = "Score threshold"


@dataclass
class LearnBlock:
    """One trained network."""

    id: int = 3
    dsp: tuple[int, ...] = (2,)
    type: str = "keras-object-detection"
    title: str = "Object detection"
    name: str = "Object detection"
    mode: str = "object-detection"
    last_layer: str | None = "fomo"
    labels: tuple[str, ...] = ()
    """The names of the outputs in the order of the tensor (`classNames`)."""
    scaling: str = "0..1"
    visual_layers: tuple[str, ...] = ("fomo_mobilenet_v2_a35",)
    organization_model_id: int | None = None
    """Of a community block, with the visual layer `transfer_organization`."""
    thresholds: tuple[Threshold, ...] = (Threshold(),)
    metrics: tuple[Metrics, ...] = (Metrics("float32"), Metrics("int8", 0.89, 0.15))
    artefacts: tuple[Artefact, ...] = ()
    """Empty: never trained, or trained and not built."""
    created: datetime = BORN
    """The day of the training."""
    model_types: tuple[str, ...] | None = None
    """Overrides `availableModelTypes`, such as ("requiresRetrain",) after an edit."""

    @property
    def trained(self) -> bool:
        return bool(self.artefacts) or self.model_types is not None

    @property
    def available_model_types(self) -> tuple[str, ...]:
        if self.model_types is not None:
            return self.model_types
        offered = {artefact.type for artefact in self.artefacts}
        known = (("float32", FLOAT32), ("int8", INT8))
        return tuple(name for name, text in known if text in offered)


@dataclass
class Impulse:
    """Input, features, networks."""

    id: int = 1
    name: str = "Impulse #1"
    inputs: tuple[InputBlock, ...] = (InputBlock(),)
    dsp: tuple[DspBlock, ...] = (DspBlock(),)
    learn: list[LearnBlock] = field(default_factory=lambda: [LearnBlock()])


@dataclass(frozen=True)
class Box:
    """A label in a picture, in its pixels."""

    label: str
    x: int
    y: int
    width: int
    height: int


@dataclass
class Sample:
    """A file that was uploaded."""

    id: int
    filename: str
    sha256: str
    size: int
    category: Category
    label: str
    added: datetime
    data: bytes | None = None
    """None with `Emulator.keep_bytes` off."""
    metadata: dict[str, str] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
    structured_labels: tuple[dict[str, object], ...] = ()
    width: int | None = None
    """Of a picture."""
    height: int | None = None
    source: str = ""
    """The header x-upload-source."""
    enabled: bool = True


@dataclass(frozen=True)
class Training:
    """What the next retraining brings. What is None stays as it was."""

    artefacts: tuple[Artefact, ...] | None = None
    labels: tuple[str, ...] | None = None
    input_size: tuple[int, int] | None = None
    metrics: tuple[Metrics, ...] | None = None
    created: datetime | None = None
    """None: the moment it finishes."""
    log: tuple[str, ...] = (
        "Creating job... OK",
        "Training model...",
        "Epoch 1/1 - loss: 0.1200",
        "Job completed (success)",
    )
    succeeds: bool = True
    built: bool = True
    """Off: trained, but nothing to download; `availableModelTypes` says requiresRetrain."""


@dataclass
class Job:
    """Something that takes its time: queued, one line of the log after another, finished.

    Its step 0 is queued, steps 1 to n each say a line, step n + 1 is the end.
    """

    id: int
    key: str
    category: str
    created: datetime
    lines: tuple[str, ...]
    succeeds: bool = True
    done: Callable[[], None] = lambda: None
    """Called once when it succeeds."""
    impulse_id: int = 1
    step: int = 0
    polls: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    successful: bool | None = None
    """None until it finished."""
    said: list[tuple[datetime, str]] = field(default_factory=list)

    @property
    def active(self) -> bool:
        return self.successful is None


@dataclass(frozen=True)
class Deployment:
    """An archive that was built."""

    version: int
    format: str
    engine: str
    data: bytes
    created: datetime = BORN
    model_type: str | None = "int8"
    impulse_id: int = 1


@dataclass
class Request:
    """What a client sent."""

    server: Literal["studio", "ingestion", "elsewhere"]
    method: str
    path: str
    """With the query."""
    headers: Mapping[str, str]
    """Lower-case names."""
    size: int = 0
    """Bytes of the body that arrived; set at the end."""


class Project:
    """One project; see `Emulator.add_project` for the way to make one."""

    def __init__(self, emulator: "Emulator", number: int, name: str, owner: str) -> None:
        self.emulator = emulator
        self.id = number
        self.name = name
        self.owner = owner
        self.description = ""
        self.created = BORN
        self.last_modified = BORN
        self.last_version: datetime | None = None
        self.labeling_method: str = "object_detection"
        self.keys: list[ApiKey] = []
        self.impulses: list[Impulse] = []
        self.default_impulse_id: int | None = None
        self.samples: dict[int, Sample] = {}
        self.jobs: list[Job] = []
        self.deployments: list[Deployment] = []
        self.next_training: Training | None = None
        """Used up by the next retrain; None: the same model, with a new date."""
        self.compute_time_left_ms = 1_200_000
        self.explicit_validation = False
        """Whether the category "validation" may be uploaded to."""
        self.has_new_training_data = False
        self._by_hash: dict[str, list[int]] = {}

    # -- What a test does ---------------------------------------------------------------------

    def touch(self) -> None:
        """Note that something changed: `last-modification` moves on, by a millisecond at least."""
        with self.emulator.lock:
            least = self.last_modified + timedelta(milliseconds=1)
            self.last_modified = max(self.emulator.clock(), least)

    def add_key(self, key: str, role: Role = "admin") -> ApiKey:
        """Let another key in."""
        with self.emulator.lock:
            made = ApiKey(key, role, id=self.id * 100 + len(self.keys) + 1)
            self.keys.append(made)
            return made

    def revoke(self, key: str) -> None:
        """Let a key in no more."""
        with self.emulator.lock:
            self.keys = [known for known in self.keys if known.key != key]

    def add_impulse(self, impulse: Impulse) -> Impulse:
        """Add an impulse; the first one becomes the default."""
        with self.emulator.lock:
            self.impulses.append(impulse)
            if self.default_impulse_id is None:
                self.default_impulse_id = impulse.id
            self.touch()
            return impulse

    def train(
        self, training: Training, impulse_id: int | None = None, learn_id: int | None = None
    ) -> None:
        """Have a new model now, without a job: somebody trained in Studio."""
        with self.emulator.lock:
            self._apply(training, self.impulse(impulse_id), learn_id)

    def edit(self, impulse_id: int | None = None) -> None:
        """Have somebody edit the impulse after its training: it needs a retrain."""
        with self.emulator.lock:
            for block in self.impulse(impulse_id).learn:
                block.model_types = ("requiresRetrain",)
            self.touch()

    def uploaded(self) -> list[Sample]:
        """Return all samples, the oldest first; safe while clients upload."""
        with self.emulator.lock:
            return list(self.samples.values())

    # -- What the servers do ------------------------------------------------------------------

    def impulse(self, number: int | None = None) -> Impulse:
        """Return an impulse, the default one without a number."""
        number = self.default_impulse_id if number is None else number
        for impulse in self.impulses:
            if impulse.id == number:
                return impulse
        raise RefusedError(f"No impulse found with ID {number}")

    def learn_block(self, number: int) -> tuple[Impulse, LearnBlock]:
        """Return a learn block and its impulse."""
        for impulse in self.impulses:
            for block in impulse.learn:
                if block.id == number:
                    return impulse, block
        raise RefusedError(f"No learn block found with ID {number}")

    def sample(self, number: int) -> Sample:
        """Return a sample."""
        try:
            return self.samples[number]
        except KeyError:
            raise RefusedError(f"No sample found with ID {number}") from None

    def with_hash(self, sha256: str) -> list[int]:
        """Return the ids of the samples with the same bytes."""
        return self._by_hash.get(sha256, [])

    def add_sample(
        self,
        filename: str,
        data: bytes,
        category: Category = "training",
        *,
        label: str = "",
        metadata: Mapping[str, str] | None = None,
        boxes: Iterable[Box] = (),
    ) -> Sample:
        """Have a file in the project, without an upload."""
        width = height = None
        with suppress(BrokenPictureError):
            width, height = size_of(data)
        with self.emulator.lock:
            sample = Sample(
                id=self.emulator.number(),
                filename=filename,
                sha256=hashlib.sha256(data).hexdigest(),
                size=len(data),
                category=category,
                label=label,
                added=self.emulator.clock(),
                data=data if self.emulator.keep_bytes else None,
                metadata=dict(metadata or {}),
                boxes=tuple(boxes),
                width=width,
                height=height,
            )
            self.keep(sample)
            return sample

    def keep(self, sample: Sample) -> None:
        """Take a sample in."""
        self.samples[sample.id] = sample
        self._by_hash.setdefault(sample.sha256, []).append(sample.id)
        self.has_new_training_data = True
        self.touch()

    def remove(self, sample: Sample) -> None:
        """Delete a sample."""
        del self.samples[sample.id]
        self._by_hash[sample.sha256].remove(sample.id)
        self.touch()

    def start(
        self,
        key: str,
        category: str,
        lines: tuple[str, ...],
        *,
        succeeds: bool = True,
        done: Callable[[], None] = lambda: None,
        impulse_id: int = 1,
    ) -> Job:
        """Queue a job, unless one is at work or no compute time is left."""
        with self.emulator.lock:
            self.advance_by_clock()
            if any(job.active for job in self.jobs):
                raise RefusedError("Another job is already running for this project")
            if self.compute_time_left_ms <= 0:
                raise RefusedError("You have exceeded the compute time limit of this project")
            number = self.emulator.number()
            created = self.emulator.clock()
            job = Job(number, key, category, created, lines, succeeds, done, impulse_id)
            self.jobs.append(job)
            return job

    def retrain(self, impulse_id: int | None = None, learn_id: int | None = None) -> Job:
        """Queue the next training, of the first learn block unless told which."""
        impulse = self.impulse(impulse_id)
        training = self.next_training or Training()
        job = self.start(
            "retrain",
            "Retraining model",
            training.log,
            succeeds=training.succeeds,
            done=lambda: self._apply(training, impulse, learn_id),
            impulse_id=impulse.id,
        )
        self.next_training = None
        return job

    def job(self, number: int) -> Job:
        """Return a job."""
        for job in self.jobs:
            if job.id == number:
                return job
        raise RefusedError(f"Unknown job ID {number}")

    def advance(self, job: Job, steps: int = 1) -> None:
        """Bring a job on by some steps."""
        with self.emulator.lock:
            for _ in range(steps):
                if not job.active:
                    return
                job.step += 1
                now = self.emulator.clock()
                job.started = job.started or now
                if job.step <= len(job.lines):
                    job.said.append((now, job.lines[job.step - 1] + "\n"))
                else:
                    self._end(job, successful=job.succeeds)

    def finish(self, job: Job) -> None:
        """Bring a job to its end."""
        self.advance(job, len(job.lines) + 1)

    def cancel(self, job: Job) -> None:
        """End a job without a result."""
        with self.emulator.lock:
            if job.active:
                job.said.append((self.emulator.clock(), "Job was canceled\n"))
                self._end(job, successful=False)

    def polled(self, job: Job) -> None:
        """Note that somebody asked: the first one is told "queued", each other brings it on."""
        if self.emulator.progress == "polls" and job.polls:
            self.advance(job)
        job.polls += 1
        self.advance_by_clock()

    def advance_by_clock(self) -> None:
        """Bring all jobs to where the clock says they are."""
        if self.emulator.progress != "clock":
            return
        for job in self.jobs:
            passed = (self.emulator.clock() - job.created).total_seconds()
            self.advance(job, int(passed / self.emulator.step_s) - job.step)

    def _end(self, job: Job, *, successful: bool) -> None:
        job.finished = self.emulator.clock()
        job.started = job.started or job.finished
        job.successful = successful
        if successful:
            job.done()
        self.touch()

    def _apply(self, training: Training, impulse: Impulse, learn_id: int | None) -> None:
        if training.input_size is not None:
            width, height = training.input_size
            impulse.inputs = tuple(
                replace(each, width=width, height=height) for each in impulse.inputs
            )
        block = next(each for each in impulse.learn if learn_id in (None, each.id))
        block.created = training.created or self.emulator.clock()
        block.labels = block.labels if training.labels is None else training.labels
        block.metrics = block.metrics if training.metrics is None else training.metrics
        block.model_types = None if training.built else ("requiresRetrain",)
        if not training.built:
            block.artefacts = ()
        elif training.artefacts is not None:
            block.artefacts = training.artefacts
        self.has_new_training_data = False
        self.touch()


class Emulator:
    """All projects, what clients asked for, and what shall go wrong."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        progress: Progress = "polls",
        step_s: float = 1.0,
        keep_bytes: bool = True,
    ) -> None:
        """Set how jobs advance: by questions for their status, a clock, or a test's `advance`.

        Args:
            clock: The time of all dates in answers.
            progress: What brings jobs on.
            step_s: With "clock": how long a job stays queued, and at each line of its log.
            keep_bytes: Whether uploads are kept; else only their hash and size.
        """
        self.lock = threading.RLock()
        self.clock = clock
        self.progress: Progress = progress
        self.step_s = step_s
        self.keep_bytes = keep_bytes
        self.projects: dict[int, Project] = {}
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        self.faults = Faults()
        self._number = 1000

    def number(self) -> int:
        """Return an id that nothing else has."""
        with self.lock:
            self._number += 1
            return self._number

    def add_project(
        self, name: str = "Box", *, key: str = "", owner: str = "tester", number: int | None = None
    ) -> Project:
        """Add an empty project; `key` is its administrator's."""
        with self.lock:
            project = Project(self, number or self.number(), name, owner)
            self.projects[project.id] = project
            if key:
                project.add_key(key)
            return project

    def who(self, key: str) -> tuple[Project, ApiKey] | None:
        """Return whose key this is."""
        for project in self.projects.values():
            for known in project.keys:
                if known.key == key:
                    return project, known
        return None

    def asked(self, part: str) -> list[Request]:
        """Return the requests so far whose path contains `part`."""
        with self.lock:
            return [request for request in self.requests if part in request.path]


def tflite_like(number: int = 0) -> bytes:
    """Return bytes with the mark of a TFLite file, and nothing that would run."""
    return b"\x1c\x00\x00\x00TFL3" + number.to_bytes(4, "little") * 64


def downloads(
    float32: bytes | None = None, int8: bytes | None = None, onnx: bytes | None = None
) -> tuple[Artefact, ...]:
    """Return what Studio lists for a trained network: the models between other files."""
    noise = b"PK\x03\x04 not a model a runtime could load"
    made = []
    if float32 is not None:
        made.append(Artefact("tflite-float", FLOAT32, float32))
    if int8 is not None:
        made.append(Artefact("tflite-int8", INT8, int8))
    made.append(Artefact("saved-model", "TensorFlow SavedModel", noise, ending="zip"))
    made.append(Artefact("keras-h5", "Keras h5 model", noise, ending="h5.zip"))
    if onnx is not None:
        made.append(Artefact("onnx", ONNX, onnx, ending="onnx"))
    made.append(
        Artefact("evaluation", "JSON file", b"{}", "Model evaluation metrics", ending="json")
    )
    return tuple(made)


def detector(  # noqa: PLR0913 - what a detector consists of
    labels: tuple[str, ...],
    *,
    last_layer: str = "fomo",
    float32: bytes | None = None,
    int8: bytes | None = None,
    onnx: bytes | None = None,
    size: tuple[int, int] = (96, 96),
    channels: Literal["RGB", "Grayscale"] = "Grayscale",
    resize_mode: str = "fit-short",
    number: int = 1,
) -> Impulse:
    """Return an impulse with a trained network; the blocks of impulse 1 are 1, 2 and 3."""
    width, height = size
    first = 3 * number - 2
    block = LearnBlock(
        first + 2,
        (first + 1,),
        last_layer=last_layer,
        labels=labels,
        artefacts=downloads(float32, int8, onnx),
    )
    if last_layer != "fomo":
        block.visual_layers = ("transfer_organization",)
        block.organization_model_id = COMMUNITY_BLOCK
    return Impulse(
        number,
        f"Impulse #{number}",
        (InputBlock(first, width, height, resize_mode),),
        (DspBlock(first + 1, channels, first),),
        [block],
    )


fomo = partial(detector, last_layer="fomo")
yolov5 = partial(detector, last_layer="yolov5")
