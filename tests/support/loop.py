"""The whole loop as a person walks it: link, import, run, collect, upload, retrain, swap."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.configuration import CloudSyncConfiguration
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.outputs import Detections
from nxai_common.contracts.progress import JobState, Progress
from support.edge_impulse import Emulator, Impulse, Project, running
from support.edge_impulse.server import Urls
from support.samples import message
from support.stack import Stack
from support.waiting import wait_for

KEY = "ei_0123456789abcdef0123456789abcdef"
SERVICES = ("capture", "inference", "publisher", "manager", "cloud-sync")
JOB_S = 120.0
KEEP_ALL = {
    "enabled": True,
    "min_gap_s": 0,
    "near_duplicate_bits": 0,
    "quotas": {"per_minute": 0, "per_hour": 0, "per_day": 0, "label_per_day": 0},
}
"""Of what is sent everything is kept, but for what was kept before."""


@dataclass
class Loop:
    """The box, the cloud, and a person between them."""

    stack: Stack
    emulator: Emulator
    project: Project
    urls: Urls
    progress: Inbox
    deployments: Inbox
    steps: list[Progress] = field(default_factory=list)
    said: dict[str, Deployment] = field(default_factory=dict)
    """What cloud-sync said last of each deployed model."""

    @property
    def bus(self) -> MqttBus:
        return self.stack.bus

    def settings(self, cameras: Sequence[Mapping[str, Any]], **edge_impulse: Any) -> None:
        """Write settings.json; return once cloud-sync goes by it."""
        document = {"version": 1, "cameras": list(cameras), "edge_impulse": edge_impulse}
        (self.stack.folder / "settings.json").write_text(json.dumps(document))
        names = [camera["name"] for camera in cameras]
        with closing(self.bus.subscribe(Subscription(CloudSyncConfiguration))) as inbox:
            wanted = ""
            while not wanted:
                delivery = inbox.receive(30)
                assert delivery is not None, "the manager does not take the settings up"
                assert isinstance(delivery.message, CloudSyncConfiguration)
                said = delivery.message.model_dump(mode="json")
                if [camera["name"] for camera in said["cameras"]] == names and all(
                    said[name][key] == value
                    for name, values in edge_impulse.items()
                    for key, value in values.items()
                ):
                    wanted = delivery.message.revision
        wait_for(
            lambda: self.stack.status("cloud-sync").configuration_revision == wanted,
            30,
            "the settings are in force",
        )

    def configure(self, **options: Any) -> None:
        """Tell cloud-sync what is wanted, in the place of a manager that does not run."""
        cameras = options.pop("cameras", {"front": KEEP_ALL})
        about = {"cameras": [{"id": name, "collect": of} for name, of in cameras.items()]}
        revision = f"r{time.monotonic_ns()}"
        self.bus.publish(
            CloudSyncConfiguration.model_validate({"revision": revision, **about, **options})
        )
        wait_for(
            lambda: self.stack.status("cloud-sync").configuration_revision == revision,
            what="the configuration is in force",
        )

    def collect(self, count: int, first: int = 0, **changes: Any) -> None:
        """Send pictures as capture does; return once they are kept."""
        before = self.ask_json(c.ListSamples(limit=1))["total"]
        for number in range(first, first + count):
            self.bus.publish(message(number, **changes))
        wait_for(
            lambda: self.ask_json(c.ListSamples(limit=1))["total"] >= before + count,
            60,
            f"{count} pictures are kept",
        )

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the command line, and of a person's shell what is no setting."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("NXAI_")},  # noqa: TID251
            **self.stack.broker.environment,
            "NXAI_CLOUD_SYNC_STATE_DIR": str(self.stack.folder / "cloud-sync"),
            "NXAI_CLOUD_SYNC_CATALOGUE_DIR": str(self.stack.folder / "catalogue"),
        }

    def cli(self, *words: str, text: str = "", code: int = 0) -> str:
        """Run `nxai-cloud-sync WORDS` as a person does; return what it printed."""
        run = subprocess.run(
            [sys.executable, "-m", "nxai_cloud_sync", *words],
            input=text,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=JOB_S,
            check=False,
        )
        assert run.returncode == code, f"{words}: {run.returncode}\n{run.stdout}{run.stderr}"
        assert KEY not in run.stdout + run.stderr
        return run.stdout + run.stderr

    def link(self) -> None:
        """Link the project as the guide says."""
        self.cli(
            "link",
            "--key-file",
            "-",
            "--studio",
            self.urls.studio,
            "--ingestion",
            self.urls.ingestion,
            text=f"{KEY}\n",
        )

    def ask(self, command: c.CloudSyncCommand) -> c.Reply:
        """Return the answer, which is yes."""
        reply = self.bus.request(command, 20)
        assert reply.ok, f"{command.name}: {reply.reason}"
        return reply

    def ask_json(self, command: c.CloudSyncCommand) -> Any:
        return json.loads(bytes(self.ask(command).attachment))

    def do(self, command: c.CloudSyncCommand) -> Progress:
        """Do a job; return its last step, which is success."""
        job = str(self.ask(command).details["job"])
        step = self.job_ended(lambda step: step.job == job)
        assert step.state is JobState.DONE, step.text
        return step

    def job_ended(self, fits: Callable[[Progress], bool], deadline: float = JOB_S) -> Progress:
        """Return the last step of a job, waiting for it."""

        def look() -> Progress | None:
            self.stack.check_alive()
            while (delivery := self.progress.receive(0.05)) is not None:
                delivery.acknowledge()
                assert isinstance(delivery.message, Progress)
                self.steps.append(delivery.message)
            return next((s for s in self.steps if s.state.ended and fits(s)), None)

        step = wait_for(look, deadline, f"the end of a job; heard: {self.steps[-3:]}")
        assert step is not None
        return step

    def deployment(
        self, model: str, fits: Callable[[Deployment], bool], deadline: float = JOB_S
    ) -> Deployment:
        """Return what is said of a deployed model once it fits."""

        def look() -> bool:
            self.stack.check_alive()
            while (delivery := self.deployments.receive(0.05)) is not None:
                assert isinstance(delivery.message, Deployment)
                self.said[delivery.message.model] = delivery.message
            return model in self.said and fits(self.said[model])

        try:
            wait_for(look, deadline)
        except AssertionError:
            raise AssertionError(f"last said of {model}: {self.said.get(model)}") from None
        return self.said[model]

    def samples(self, **wanted: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask_json(c.ListSamples(**wanted))["samples"]
        return found


@contextmanager
def loop(folder: Path, impulse: Impulse, *, services: Sequence[str] = SERVICES) -> Iterator[Loop]:
    """Run all services and an Edge Impulse with one project."""
    emulator = Emulator()
    project = emulator.add_project("Conveyor nuts", key=KEY)
    project.add_impulse(impulse)
    with (
        running(emulator) as urls,
        Stack(folder, services=services) as stack,
        closing(stack.bus.subscribe(Subscription(Progress))) as progress,
        closing(stack.bus.subscribe(Subscription(Deployment))) as deployments,
    ):
        stack.wait_running()
        yield Loop(stack, emulator, project, urls, progress, deployments)
    everything = "".join(process.text() for process in stack.processes.values())
    assert KEY not in everything, "the API key is in a log"


@contextmanager
def seen_by_a_subscriber(loop: Loop) -> Iterator[Inbox]:
    """Listen to the detections that the publisher sends."""
    with (
        loop.stack.broker.bus("subscriber") as bus,
        closing(bus.subscribe(Subscription(Detections), bound=100_000)) as inbox,
    ):
        assert bus.wait_connected(10)
        yield inbox
