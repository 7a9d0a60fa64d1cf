"""Cloud-sync alone as a process, started and killed at will; the test plays inference."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.contracts.deployments import Deployments
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import Status
from nxai_common.errors import BrokerUnavailable
from support.broker import Broker
from support.cloud_sync import drain
from support.cloud_sync_service import KEEP_ALL, KEY, LABELS, Inference
from support.edge_impulse import Emulator, Project, Urls, fomo, running
from support.models_for_import import noise
from support.results import SECOND_US, START_US
from support.service_forks import ForkedService, forked_service
from support.waiting import wait_for


@dataclass
class Bench:
    """The service, and everybody around it."""

    bus: MqttBus
    inference: Inference
    emulator: Emulator
    project: Project
    urls: Urls
    service: ForkedService
    statuses: Inbox
    progress: Inbox
    deployments: Inbox
    state: Path
    catalogue: Path
    heard: list[Progress] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    desired: Deployments = field(default_factory=lambda: Deployments(revision=""))
    on_the_bus: Path = Path()
    """All that anybody sent, byte for byte."""

    def start(self) -> None:
        """Start it; return once it answers."""
        self.service.start()
        wait_for(self._answers, 30, "it answers")

    def _answers(self) -> bool:
        try:
            self.bus.request(c.ShowLink(), 0.5)
        except BrokerUnavailable:
            return False
        return True

    def ask(self, command: c.CloudSyncCommand) -> c.Reply:
        """Return the answer, which is yes."""
        reply = self.bus.request(command, 20)
        assert reply.ok, reply.reason
        return reply

    def json(self, command: c.CloudSyncCommand) -> Any:
        return json.loads(bytes(self.ask(command).attachment))

    def do(self, command: c.CloudSyncCommand) -> Progress:
        """Do a job; return its last step, which is success."""
        job = str(self.ask(command).details["job"])
        step = wait_for(lambda: self.end_of(job), 60, f"the end of {job}")
        assert step is not None
        assert step.state is JobState.DONE, step.text
        return step

    def end_of(self, job: str) -> Progress | None:
        """Return the last step of a job, if it came."""
        self.heard += drain(self.progress, Progress)
        return next((step for step in self.heard if step.job == job and step.state.ended), None)

    def link(self) -> None:
        """Link the project."""
        (self.state / "edge-impulse-key").write_text(KEY)
        self.do(c.LinkProject())

    def configure(self, **options: Any) -> None:
        """Say what is wanted; each new process hears of it."""
        about = {
            "revision": "1",
            "cameras": [{"id": "front", "collect": KEEP_ALL}],
            "updates": {"policy": "off"},
        }
        self.bus.publish(CloudSyncConfiguration.model_validate({**about, **options}))

    def problems(self) -> list[str]:
        """Return what the newest status says."""
        for status in drain(self.statuses, Status):
            self.told = [f"{problem.about}: {problem.reason}" for problem in status.problems]
        return self.told

    def states(self) -> dict[int, str]:
        """Return the state of each picture by its number."""
        samples = self.json(c.ListSamples(limit=c.MAX_PAGE))["samples"]
        found = {
            (sample["captured_at_us"] - START_US) // SECOND_US: str(sample["state"])
            for sample in samples
        }
        assert len(found) == len(samples), "a picture is there twice"
        return found

    def in_force(self) -> str:
        """Return the version that shall run, as it was told last."""
        for told in drain(self.deployments, Deployments):
            self.desired = told
        (deployed,) = self.desired.models
        return deployed.digest


@contextmanager
def bench(folder: Path, state: Path, settings: Mapping[str, str] | None = None) -> Iterator[Bench]:
    """Have everything but the service run.

    Args:
        folder: For catalogue, logs and broker.
        state: The service's state folder.
        settings: More environment of the service.
    """
    emulator = Emulator()
    project = emulator.add_project("Beers vs cans", key=KEY)
    project.add_impulse(fomo(LABELS, float32=noise(1)))
    (folder / "broker").mkdir(parents=True)
    with ExitStack() as stack:
        urls = stack.enter_context(running(emulator))
        broker = stack.enter_context(Broker(folder / "broker"))
        bus = stack.enter_context(broker.bus("test"))
        inference = stack.enter_context(Inference(broker.bus("inference")))
        assert bus.wait_connected(10)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("NXAI_")},  # noqa: TID251
            **broker.environment,
            "NXAI_RUN_DIR": str(folder),
            "NXAI_HEARTBEAT_S": "1",
            "NXAI_CLOUD_SYNC_STATE_DIR": str(state),
            "NXAI_CLOUD_SYNC_CATALOGUE_DIR": str(folder / "catalogue"),
            "NXAI_CLOUD_SYNC_STUDIO": urls.studio,
            "NXAI_CLOUD_SYNC_INGESTION": urls.ingestion,
            **(settings or {}),
        }
        log = folder / "service.log"
        on_the_bus = folder / "on-the-bus"
        stack.enter_context(_overheard(broker, on_the_bus))
        service = stack.enter_context(forked_service(environment, log))
        yield Bench(
            bus,
            inference,
            emulator,
            project,
            urls,
            service,
            bus.subscribe(Subscription(Status, {"service": "cloud-sync"})),
            bus.subscribe(Subscription(Progress)),
            bus.subscribe(Subscription(Deployments)),
            state,
            folder / "catalogue",
            on_the_bus=on_the_bus,
        )
    assert KEY not in log.read_text()
    assert KEY.encode() not in on_the_bus.read_bytes()


@contextmanager
def _overheard(broker: Broker, heard: Path) -> Iterator[None]:
    """Write down all that anybody sends, answers too."""
    words = ["-h", broker.host, "-p", str(broker.port), "-u", broker.username]
    words += ["-P", broker.password, "-t", "#", "-F", "%t %p"]
    with heard.open("wb") as file, subprocess.Popen(["mosquitto_sub", *words], stdout=file) as one:
        try:
            yield
        finally:
            one.terminate()
