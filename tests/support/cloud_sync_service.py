"""The service of cloud-sync in this process: on a bus in memory, with a clock of the test's, real
files and database, and an Edge Impulse on real sockets. Inference says what the test says."""

import json
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from nxai_cloud_sync.adapters.edge_impulse_http import HttpLimits
from nxai_cloud_sync.adapters.ingestion_http import IngestionHttp
from nxai_cloud_sync.adapters.key_file import KeyFile
from nxai_cloud_sync.adapters.key_handover import KeyHandover
from nxai_cloud_sync.adapters.model_catalogue import ModelCatalogue
from nxai_cloud_sync.adapters.model_trial import BusModelTrial
from nxai_cloud_sync.adapters.picture_hash import JpegHasher
from nxai_cloud_sync.adapters.sql_jobs import SqlJobs
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.adapters.state_file import StateFile
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.adapters.thumbnails import PillowThumbnails
from nxai_cloud_sync.collector import Clock as CollectorClock
from nxai_cloud_sync.collector import Collector
from nxai_cloud_sync.composition import Claim
from nxai_cloud_sync.deployer import RECORDS, Deployer
from nxai_cloud_sync.importer import Importer
from nxai_cloud_sync.linked_project import LINK, LinkedProject
from nxai_cloud_sync.parts import Parts, Presence, Wanted
from nxai_cloud_sync.service import CloudSync
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_cloud_sync.trainer import TRAINING, Trainer
from nxai_cloud_sync.updates import UpdateWatch
from nxai_cloud_sync.uploader import Uploader
from nxai_common.bus.memory import MemoryBroker, MemoryBus, _Packet
from nxai_common.bus.ports import Bus, Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import ModelStatus, ServiceState, Status
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Stop
from support.cloud_sync import Clock, worker
from support.edge_impulse import Emulator, Project, Training, Urls, downloads, fomo, running
from support.models_for_import import model_manifest, noise

T = TypeVar("T")

KEY = "ei_0123456789abcdef0123456789abcdef"
LABELS = ("beer", "can")
NOON_US = 1_795_867_200_000_000  # 2026-11-28T12:00Z
SOON = RetryPolicy(first_s=0.01, factor=2, longest_s=0.05, floor_s=0.001)
LIMITS = HttpLimits(connect_s=5, silence_s=5, answer_s=10, storing_s=10)
KEEP_ALL = {
    "enabled": True,
    "min_gap_s": 0,
    "near_duplicate_bits": 0,
    "quotas": {"per_minute": 0, "per_hour": 0, "per_day": 0, "label_per_day": 0},
}


class Counted(queue.SimpleQueue[Callable[[], None]]):
    """What jobs leave for the loop to do, and how many of them did: one each, at their end."""

    def __init__(self) -> None:
        self.count = 0

    def put(
        self, item: Callable[[], None], block: bool = True, timeout: float | None = None
    ) -> None:
        super().put(item, block, timeout)
        self.count += 1


class Eavesdropper(MemoryBroker):
    """A broker that notes what anybody sends."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, bytes]] = []

    def send(self, packet: _Packet) -> None:
        self.heard.append((packet.topic, bytes(packet.payload)))
        super().send(packet)

    def published(self, part: str) -> int:
        """Return how often something was sent to topics that hold `part`."""
        return sum(part in topic for topic, _ in self.heard)


class Connection:
    """Opens the two APIs, with less patience than the real thing."""

    def studio(self, base: str, key: str) -> StudioHttp:
        return StudioHttp(base, key, LIMITS)

    def ingestion(self, base: str, key: str) -> IngestionHttp:
        return IngestionHttp(base, key, LIMITS)


class Inference:
    """Says of each model that it is what was said of it, unless the test knows better."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.refuse = ""
        """Why models fail their test; empty: they do not."""
        self.tested: list[str] = []

    def __enter__(self) -> Self:
        self._bus.__enter__()
        self._inbox = self._bus.subscribe(Subscription(c.TryModel))
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bus.close()
        self._thread.join()

    def runs(self, *models: ModelStatus) -> None:
        """Say that it runs, and what."""
        self._bus.publish(worker(*models))

    def goes(self) -> None:
        """Say goodbye."""
        self._bus.publish(worker(state=ServiceState.STOPPED))

    def _answer(self) -> None:
        while (delivery := self._inbox.receive()) is not None:
            command = delivery.message
            assert isinstance(command, c.TryModel)
            desired = command.desired
            digest = desired.path.removeprefix("catalogue:")
            self.tested.append(digest)
            if self.refuse:
                delivery.reply(c.Reply(ok=False, reason=self.refuse))
                continue
            told = model_manifest(digest, model=desired.id, labels=desired.labels or LABELS)
            delivery.reply(c.Reply(ok=True, attachment=told.model_dump_json().encode()))


@dataclass
class Box:
    """A box of which only cloud-sync is real, and a person in front of it."""

    folder: Path
    emulator: Emulator
    project: Project
    urls: Urls
    clock: Clock = field(default_factory=Clock)
    broker: Eavesdropper = field(default_factory=Eavesdropper)
    wall_offset_us: int = 0
    zone: Any = UTC
    steps: list[Progress] = field(default_factory=list)
    beats: int = 0

    def __post_init__(self) -> None:
        self.settings = CloudSyncSettings(
            instance="cloud-sync",
            state_dir=self.folder / "state",
            catalogue_dir=self.folder / "catalogue",
            studio=self.urls.studio,
            ingestion=self.urls.ingestion,
        )
        self.outside = MemoryBus(self.broker)
        self.inference = Inference(MemoryBus(self.broker))
        self._running: ExitStack | None = None
        self.service: CloudSync

    # -- life -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.outside)
            self.progress = self.outside.subscribe(Subscription(Progress))
            stack.enter_context(self.inference)
            self._asking = stack.enter_context(ThreadPoolExecutor(8))
            stack.callback(self.stop)
            self._closing = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def now_us(self) -> int:
        """Return the wall clock: what the test's clock says, and how wrong it is."""
        return NOON_US + int((self.clock.now - 1000) * 1e6) + self.wall_offset_us

    def start(self) -> Self:
        """Start the service; its loop turns when the test says so."""
        with ExitStack() as stack:
            self._put_together(stack)
            stack.callback(self.service._inbox.close)
            stack.callback(self.deployer.close)
            for part in self.service.threads:
                stack.enter_context(part)
            self._running = stack.pop_all()
        return self

    @contextmanager
    def running(self) -> Iterator[tuple[Stop, Future[None]]]:
        """Start the service with its loop in a thread of its own; yield what ends it, and the end.

        It is ended with the block, if it was not before.
        """
        stop = Stop()
        with ExitStack() as stack:
            self._put_together(stack)
            end = self._asking.submit(self.service.run, stop)
            try:
                yield stop, end
            finally:
                stop.set()
                end.result(30)

    def _put_together(self, stack: ExitStack) -> None:
        """Do what the composition root does."""
        state, settings = self.settings.state_dir, self.settings
        self.bus = stack.enter_context(MemoryBus(self.broker))
        held = stack.enter_context(ExitStack())
        self.samples = stack.enter_context(SqlSamples(state, wall_us=self.now_us))
        self.catalogue = ModelCatalogue(settings.catalogue_dir)
        inference, wanted = Presence(settings.inference), Wanted()
        self.deployer = Deployer(
            self.bus,
            StateFile(state / "deployments.json", RECORDS),
            self.catalogue,
            self.clock,
            self.now_us,
        )
        rng = random.Random(1)  # noqa: S311 - reproducible
        self.parts = Parts(
            project=LinkedProject(
                StateFile(state / "link.json", LINK),
                KeyFile(settings.key_path),
                Connection(),
                studio=settings.studio,
                ingestion=settings.ingestion,
            ),
            catalogue=self.catalogue,
            samples=self.samples,
            thumbnails=PillowThumbnails(),
            history=SqlJobs(self.samples.database),
            handed_key=KeyHandover(settings.handover_path),
            collector=Collector(
                self.samples,
                JpegHasher(),
                rng=rng,
                clock=CollectorClock(self.clock, self.now_us),
            ),
            deployer=self.deployer,
            importer=Importer(
                self.catalogue,
                BusModelTrial(self.bus, inference.any, 10),
                names=lambda: inference.models() - set(self.deployer.names),
                in_use=self.deployer.in_use,
                now_us=self.now_us,
            ),
            uploader=Uploader(
                self.samples,
                lambda: wanted.configuration,
                device="box",
                wall_us=self.now_us,
                zone=self.zone,
                retry=SOON,
            ),
            trainer=Trainer(StateFile(state / "training.json", TRAINING), poll_s=0.01, retry=SOON),
            updates=UpdateWatch(self.catalogue, self.clock, rng),
            inference=inference,
            wanted=wanted,
            claim=Claim(state, held),
        )
        self.service = CloudSync(settings, self.bus, self._beat, self.parts, self.clock)
        self._left_by_jobs = self.service._jobs.left = Counted()
        self._ended_before = len([step for step in self.heard() if step.state.ended])

    def stop(self) -> None:
        """End the service."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def _beat(self) -> None:
        self.beats += 1

    # -- time -----------------------------------------------------------------------------------

    def until(
        self, true: Callable[[], T], what: str = "", *, step_s: float = 1.0, deadline: float = 20
    ) -> T:
        """Let the loop turn until something is true; each turn is `step_s` on the clock."""
        end = time.monotonic() + deadline
        while not (found := true()):
            assert time.monotonic() < end, what or f"not within {deadline} s; {self.told()}"
            self.turn(step_s)
        return found

    def turn(self, step_s: float = 1.0, times: int = 1) -> None:
        """Let the loop turn."""
        for _ in range(times):
            self.clock.advance(step_s)
            self.service.turn(0.005)

    def passes(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass; what is started meanwhile is done before it goes on."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.advance(step_s)
            self.service.turn(0)
            self.until(lambda: self.idle, step_s=0)

    @property
    def idle(self) -> bool:
        """Whether no job waits or runs, and nothing is left to be done after one."""
        service = self.service
        return all(lane.idle for lane in service._jobs.lanes) and service._jobs.left.empty()

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, command: c.CloudSyncCommand, *, step_s: float = 0.0) -> c.Reply:
        """Return the answer."""
        future = self._asking.submit(self.outside.request, command, 20)
        reply = self.until(lambda: future.done() and future.result(), step_s=step_s)
        assert isinstance(reply, c.Reply)
        answer = reply.model_dump_json(exclude={"attachment"}).encode() + bytes(reply.attachment)
        self.broker.heard.append(("reply", answer))
        return reply

    def yes(self, command: c.CloudSyncCommand) -> c.Reply:
        """Return the answer, which is yes."""
        reply = self.ask(command)
        assert reply.ok, reply.reason
        return reply

    def no(self, command: c.CloudSyncCommand) -> str:
        """Return the reason of the answer, which is no."""
        reply = self.ask(command)
        assert not reply.ok, reply
        return reply.reason

    def json(self, command: c.CloudSyncCommand) -> Any:
        """Return the JSON of the answer."""
        return json.loads(bytes(self.yes(command).attachment))

    def started(self, command: c.CloudSyncCommand) -> str:
        """Start a job; return its name."""
        return str(self.yes(command).details["job"])

    def do(self, command: c.CloudSyncCommand) -> Progress:
        """Do a job; return its last step, which is success."""
        step = self.end_of(self.started(command))
        assert step.state is JobState.DONE, step.text
        return step

    def fails(self, command: c.CloudSyncCommand) -> str:
        """Do a job; return why it failed."""
        step = self.end_of(self.started(command))
        assert step.state is JobState.FAILED, step
        return step.text

    def end_of(self, job: str) -> Progress:
        """Wait for the end of a job, and for what follows it; return its last step."""
        last = self.until(
            lambda: next((s for s in self.heard() if s.job == job and s.state.ended), None),
            step_s=0,
        )
        assert last is not None
        # It is told before it leaves something to be done.
        ended = len([step for step in self.heard() if step.state.ended]) - self._ended_before
        self.until(lambda: self._left_by_jobs.count >= ended, step_s=0)
        self.until(self.service._jobs.left.empty, step_s=0)
        return last

    def heard(self) -> list[Progress]:
        """Return what jobs said so far."""
        while (delivery := self.progress.receive(0)) is not None:
            delivery.acknowledge()
            assert isinstance(delivery.message, Progress)
            self.steps.append(delivery.message)
        return self.steps

    def ended(self, command: str) -> list[Progress]:
        """Return the last steps of the jobs of a command."""
        return [step for step in self.heard() if step.command == command and step.state.ended]

    def told(self) -> list[str]:
        """Return the problems in the status."""
        return [f"{p.about}: {p.reason}" for p in self.service.report().problems]

    # -- Edge Impulse ---------------------------------------------------------------------------

    def key(self, key: str = KEY) -> None:
        """Give the box an API key."""
        KeyFile(self.settings.key_path).write(key)

    def hand_over(self, content: str | bytes = KEY) -> Path:
        """Leave an API key for the service, as the manager does; return where."""
        return hand_over(self.settings.handover_path, content)

    def link(self, key: str = KEY, **command: Any) -> Progress:
        """Link the project."""
        self.key(key)
        return self.do(c.LinkProject(**command))

    def configure(self, **options: Any) -> None:
        """Say what is wanted, as the manager does."""
        cameras = options.pop("cameras", {"front": KEEP_ALL, "back": KEEP_ALL})
        self.outside.publish(
            CloudSyncConfiguration.model_validate(
                {
                    "revision": f"r{self.clock.now}",
                    "cameras": [{"id": name, "collect": of} for name, of in cameras.items()],
                    **options,
                }
            )
        )
        self.turn(0)

    def train(self, number: int, **rest: Any) -> None:
        """Let somebody train in Studio."""
        created = datetime(2026, 12, number, 8, 30, tzinfo=UTC)
        self.project.train(Training(artefacts=downloads(noise(number)), created=created, **rest))

    def asked(self, part: str = "") -> int:
        """Return how often Edge Impulse was asked."""
        return len(self.emulator.asked(part))


@contextmanager
def box(folder: Path) -> Iterator[Box]:
    """Run an Edge Impulse with a trained project, and a box that is not started yet."""
    emulator = Emulator()
    project = emulator.add_project("Beers vs cans", key=KEY)
    project.add_impulse(fomo(LABELS, float32=noise(1), int8=noise(2)))
    with running(emulator) as urls, Box(folder, emulator, project, urls) as made:
        yield made
    everything = b"".join(payload for _, payload in made.broker.heard)
    assert b"ei_0123" not in everything, "an API key is on the bus"


def hand_over(folder: Path, content: str | bytes) -> Path:
    """Leave an API key in a folder that is shared with the service; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "edge-impulse-key"
    path.touch(0o600)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parts_of(name: str, content: bytes, size: int) -> Iterator[c.ReceiveFile]:
    """Yield the commands that send a file."""
    for offset in range(0, max(1, len(content)), size):
        part = content[offset : offset + size]
        yield c.ReceiveFile(file=name, offset=offset, attachment=part)


def status(role: str, state: ServiceState) -> Status:
    """Return what a process says of itself."""
    return worker(state=state).model_copy(update={"role": role, "service": role})
