"""The running product: a real Mosquitto and the real services as processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import (
    Assignment,
    CaptureCamera,
    CaptureConfiguration,
    DesiredModel,
    InferenceConfiguration,
    PublisherCamera,
    PublisherConfiguration,
)
from nxai_common.contracts.status import ServiceState, Status
from support.broker import Broker
from support.shared import ROOT
from support.waiting import wait_for

DEVICE = "box"
SERVICES = ("capture", "inference", "publisher")
STOP_S = 15.0
RUNS = (ServiceState.RUNNING, ServiceState.DEGRADED)


@dataclass
class ServiceProcess:
    """One service as a process, with its log in a file."""

    service: str
    instance: str
    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """Return what it logged so far."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """End it as the kernel would for want of memory."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.instance} did not stop:\n{self.text()[-4000:]}") from None


@dataclass
class Stack:
    """Mosquitto, capture, inference and publisher, configured from here.

    `tests/e2e/test_make_run.py` runs all of it as a user does; here a test holds every string.
    """

    folder: Path
    services: Sequence[str] = SERVICES
    workers: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, ServiceProcess] = field(default_factory=dict)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            (self.folder / "broker").mkdir(parents=True)
            self.broker = stack.enter_context(self.new_broker(self.folder / "broker"))
            stack.callback(self._stop_all)
            self.bus: MqttBus = stack.enter_context(self.broker.bus("test"))
            assert self.bus.wait_connected(10)
            for service in self.services:
                for number in range(self.workers if service == "inference" else 1):
                    self.start(service, service if number == 0 else f"{service}-{number + 1}")
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def new_broker(self, folder: Path) -> Broker:
        """Return the broker to run, in a folder of its own."""
        return Broker(folder)

    def account_of(self, service: str) -> dict[str, str]:  # noqa: ARG002 - here all have one
        """Return the settings with which a service comes in at the broker."""
        return self.broker.environment

    def start(self, service: str, instance: str) -> ServiceProcess:
        """Start one service process."""
        log = self.folder / f"{instance}.log"
        environment = {
            # A child needs PATH and the like, but no settings of the person who runs this.
            **{k: v for k, v in os.environ.items() if not k.startswith("NXAI_")},  # noqa: TID251
            **self.account_of(service),
            "NXAI_DEVICE": DEVICE,
            "NXAI_INSTANCE": instance,
            "NXAI_RUN_DIR": str(self.folder),
            "NXAI_HEARTBEAT_S": "1",
            "NXAI_INFERENCE_MODELS_DIR": str(ROOT / "models"),
            "NXAI_INFERENCE_CATALOGUE_DIR": str(self.folder / "catalogue"),
            "NXAI_CLOUD_SYNC_CATALOGUE_DIR": str(self.folder / "catalogue"),
            "NXAI_CLOUD_SYNC_STATE_DIR": str(self.folder / "cloud-sync"),
            "NXAI_MANAGER_SETTINGS": str(self.folder / "settings.json"),
            "NXAI_MANAGER_SECRETS_DIR": str(self.folder / "secrets"),
            "NXAI_MANAGER_OUTPUT_SECRETS_DIR": str(self.folder / "output-secrets"),
            "NXAI_MANAGER_STATE_DIR": str(self.folder),
            "NXAI_MANAGER_PORT": "0",
            "NXAI_MANAGER_MQTT_PORT": str(self.broker.port),
            "NXAI_MANAGER_HANDOVER_DIR": str(self.folder / "handover"),
            "NXAI_CLOUD_SYNC_HANDOVER_DIR": str(self.folder / "handover"),
            "NXAI_CAPTURE_SECRETS_DIR": str(self.folder / "secrets"),
            "NXAI_PUBLISHER_DATABASE_URL": f"sqlite:///{self.folder}/log.db",
            **self.environment,
        }
        if self.workers > 1:
            environment["NXAI_INFERENCE_SHARE"] = "workers"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"nxai_{service.replace('-', '_')}"],
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self.folder,
            )
        running = ServiceProcess(service, instance, process, log)
        self.processes[instance] = running
        return running

    def configure(
        self,
        cameras: Sequence[CaptureCamera],
        models: Sequence[DesiredModel],
        *,
        assignments: Sequence[Assignment] = (),
        publisher: Mapping[str, object] | None = None,
        revision: str = "1",
    ) -> None:
        """Tell the services what to run, as the manager does."""
        self.bus.publish(
            InferenceConfiguration(
                revision=revision, models=tuple(models), assignments=tuple(assignments)
            )
        )
        self.bus.publish(CaptureConfiguration(revision=revision, cameras=tuple(cameras)))
        self.bus.publish(
            PublisherConfiguration.model_validate(
                {
                    "revision": revision,
                    "cameras": [
                        PublisherCamera(id=camera.id, name=camera.name, index=index)
                        for index, camera in enumerate(cameras)
                    ],
                    **(publisher or {}),
                }
            )
        )

    def wait_running(self, deadline: float = 60) -> None:
        """Wait until every process says that it runs."""
        inbox = self.bus.subscribe(Subscription(Status))
        missing = set(self.processes)

        def all_run() -> bool:
            self.check_alive()
            delivery = inbox.receive(0.2)
            message = None if delivery is None else delivery.message
            if isinstance(message, Status) and message.state in RUNS:
                missing.discard(message.service)
            return not missing

        try:
            wait_for(all_run, deadline, f"all services run; missing: {missing}")
        finally:
            inbox.close()

    def status(self, service: str, deadline: float = 15) -> Status:
        """Return the next status of a service."""
        inbox = self.bus.subscribe(Subscription(Status, {"service": service}))
        try:
            delivery = wait_for(lambda: inbox.receive(0.2), deadline, f"status of {service}")
        finally:
            inbox.close()
        assert delivery is not None
        assert isinstance(delivery.message, Status)
        return delivery.message

    def check_alive(self) -> None:
        """Fail with the log of a process that ended by itself."""
        for running in self.processes.values():
            code = running.process.poll()
            assert code is None, f"{running.instance} ended with {code}:\n{running.text()[-4000:]}"

    def _stop_all(self) -> None:
        for running in self.processes.values():
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for running in self.processes.values():
            try:
                running.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()


@contextmanager
def listening(stack: Stack, *kinds: type[Message]) -> Iterator["Listener"]:
    """Listen on a connection of its own, as an outside subscriber does."""
    with stack.broker.bus(f"listener-{time.monotonic_ns()}") as bus:
        assert bus.wait_connected(10)
        yield Listener(bus, kinds)


class Listener:
    """An outside subscriber."""

    def __init__(self, bus: MqttBus, kinds: Sequence[type[Message]]) -> None:
        self._inbox = bus.subscribe(*(Subscription(kind) for kind in kinds), volatile=True)

    def next(self, timeout: float = 10) -> Message:
        """Return the next message, or fail."""
        delivery = self._inbox.receive(timeout)
        assert delivery is not None, "nothing came"
        return delivery.message

    def try_next(self, timeout: float = 0.2) -> Message | None:
        """Return the next message, or None."""
        delivery = self._inbox.receive(timeout)
        return None if delivery is None else delivery.message

    def find(self, fits: Callable[[Message], bool], deadline: float, what: str) -> Message:
        """Return the first message that fits, read as fast as they come.

        `wait_for` looks a hundred times a second; of a stream that is faster it falls behind.
        """
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            message = self.try_next()
            if message is not None and fits(message):
                return message
        raise AssertionError(f"{what} did not come in {deadline} s")
