"""The life of a service process: settings, logs, signals, bus, heartbeat, status, exit code.

A service's composition root is one call::

    def main(argv: Sequence[str] | None = None) -> int:
        return run_service(CaptureSettings, build, argv)

where `build(settings, bus, beat)` puts the parts together and returns the service, or a
context manager that yields it and closes what it opened.
"""

import argparse
import contextlib
import difflib
import importlib.metadata
import logging
import math
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Final, Protocol, TypeVar

from nxai_common import logs, tracing
from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Bus
from nxai_common.contracts.status import (
    CameraStatus,
    ModelStatus,
    Problem,
    ServiceState,
    Status,
)
from nxai_common.errors import ConfigurationError
from nxai_common.log_answers import log_answered
from nxai_common.metrics import metrics_served
from nxai_common.restarts import restart_answered
from nxai_common.scrapes import Seen
from nxai_common.settings import (
    ServiceSettings,
    describe,
    effective,
    load,
    secrets_of,
)
from nxai_common.vitals import vitals

log = logging.getLogger(__name__)

EXIT_OK: Final = 0
EXIT_CRASHED: Final = 1
EXIT_CONFIGURATION: Final = 2
"""A supervisor need not restart a process that ends with this: a person must act first."""

EXIT_RESTART: Final = 3
"""Somebody asked for a restart. Not 0: supervisors leave alone what ended well."""

BEAT_INTERVAL_S: Final = 1.0
"""A loop may turn a thousand times a second; the file needs to be young, not exact."""

LOOK_INTERVAL_S: Final = 1.0
"""How soon a change of state is told. Less would wake an idle box for nobody's benefit."""

BEATS_MISSED: Final = 3
"""One late beat is a busy disk, two a long model load; three is a service that hangs."""

LAST_WORDS_S: Final = 3.0
"""A broker that is there answers in less; a supervisor must not wait long for the restart."""

Beat = Callable[[], None]
"""Called by a service's loop at least every few seconds: it is alive."""


class Stop:
    """Says when to end. Set by SIGTERM and SIGINT, or by anybody.

    Not a `threading.Event`: its lock is taken inside `wait`, and a signal handler that calls
    `set` on the same thread at that moment would wait for itself. `SimpleQueue` is reentrant.
    """

    def __init__(self) -> None:
        self._flag = False
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """End. May be called from a signal handler and more than once."""
        self._flag = True
        self._tokens.put(None)

    def is_set(self) -> bool:
        """Return whether it is time to end."""
        return self._flag

    def wait(self, timeout: float | None = None) -> bool:
        """Return True once set, or False after `timeout` seconds."""
        if self._flag:
            return True
        try:
            self._tokens.get(timeout=timeout)
        except queue.Empty:
            return self._flag
        self._tokens.put(None)  # for the next thread that waits
        return True


@dataclass(frozen=True, slots=True)
class Report:
    """What a service says about itself; the runtime makes it a `Status`."""

    problems: tuple[Problem, ...] = ()
    """What a person should know; any makes the state `degraded`."""
    counters: Mapping[str, int | float] = field(default_factory=dict)
    """Ever-growing counts."""
    gauges: Mapping[str, int | float] = field(default_factory=dict)
    """What is now. A name that the runtime has too (`nxai_common.vitals`) replaces its value."""
    cameras: tuple[CameraStatus, ...] = ()
    models: tuple[ModelStatus, ...] = ()
    configuration_revision: str = ""
    """Of the configuration in force."""
    folder: Path | None = None
    """Where the service keeps what it must not lose: the gauges of the disk are about this one.
    None: the run folder."""


class Service(Protocol):
    """What the runtime runs."""

    def run(self, stop: Stop) -> None:
        """Work until `stop` is set, and return soon after.

        Calls `beat()` from its loop at least every few seconds.

        Raises:
            ConfigurationError: nothing can be done until a person changes something.
        """
        ...

    def report(self) -> Report:
        """Return how it goes. Called from another thread, about once a second; quick."""
        ...


Settings = TypeVar("Settings", bound=ServiceSettings)
Build = Callable[[Settings, Bus, Beat], AbstractContextManager[Service] | Service]


class HeartbeatFile:
    """A file that is young while the service's loop turns.

    It holds `time.monotonic()` and not just a modification time: a box without a battery clock
    jumps by years when it first hears the time, and a beat from before a reboot lies in the
    future of the new monotonic clock.
    """

    def __init__(
        self, settings: ServiceSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = heartbeat_path(settings)
        self._clock = clock
        self._lock = threading.Lock()
        self._written_at = float("-inf")
        self._problem: Problem | None = None

    @property
    def problem(self) -> Problem | None:
        """Why the file cannot be written, if so."""
        return self._problem

    @property
    def age_s(self) -> float:
        """Seconds since the last beat that was written; infinite before the first."""
        return self._clock() - self._written_at

    def beat(self) -> None:
        """Say that the loop turns; writes at most once a second and never raises OSError."""
        now = self._clock()
        if now - self._written_at < BEAT_INTERVAL_S or not self._lock.acquire(blocking=False):
            return
        try:
            self._written_at = now
            self._write(now)
        finally:
            self._lock.release()

    def remove(self) -> None:
        """Take the file away: a service that said goodbye is not alive."""
        with contextlib.suppress(OSError):  # it may never have been written
            self._path.unlink(missing_ok=True)

    def _write(self, now: float) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Rounded down: a beat in the future would be one of before this machine started.
            told = math.floor(now * 1000) / 1000
            fresh.write_text(f"{told:.3f} {os.getpid()}\n", encoding="ascii")
            fresh.replace(self._path)  # a reader never sees half a file
        except OSError as error:
            reason = (
                f"heartbeat file {self._path} cannot be written: {error.strerror}; "
                "make room or point NXAI_RUN_DIR at a folder this user may write"
            )
            if self._problem is None or self._problem.reason != reason:
                log.warning("%s", reason)
            self._problem = Problem(about="disk", reason=reason)
        else:
            if self._problem is not None:
                log.info("heartbeat file %s can be written again", self._path)
            self._problem = None


def heartbeat_path(settings: ServiceSettings) -> Path:
    """Return where the heartbeat file of these settings lies."""
    return settings.run_dir / f"{settings.instance}.heartbeat"


def healthy(settings: ServiceSettings) -> str:
    """Return why the service of these settings does not look alive, or '' when it does."""
    path = heartbeat_path(settings)
    try:
        written_at = float(path.read_text(encoding="ascii").split()[0])
    except OSError as error:
        return f"no heartbeat: {path}: {error.strerror}"
    except (ValueError, IndexError):
        return f"no heartbeat: {path} is not a heartbeat file"
    age = time.monotonic() - written_at
    limit = BEATS_MISSED * max(settings.heartbeat_s, BEAT_INTERVAL_S)
    if age < 0:
        return f"no heartbeat since this machine started: {path}"
    return "" if age < limit else f"last heartbeat {age:.0f} s ago (limit {limit:.0f} s): {path}"


class StatusReporter:
    """Publishes `Status`: at the start, on change, as a heartbeat, at goodbye.

    Trouble with the broker is not in it: whoever reads a status sees that the broker is well.
    The bus logs it, once per change.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        bus: Bus,
        heartbeat: HeartbeatFile,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._heartbeat = heartbeat
        self._blank = blank_status(settings)
        self._service: Service | None = None
        self._last: Status | None = None
        self._last_at = float("-inf")
        self._newest = self._blank, time.monotonic()
        self._untold = False
        self._lock = threading.Lock()

    def attend(self, service: Service) -> None:
        """Report of `service` from now on: it runs."""
        self._service = service

    def seen(self) -> Seen:
        """Return what was seen at the last look; asks nobody and waits for nobody."""
        status, at = self._newest
        return Seen(
            status, time.monotonic() - at, self._heartbeat.age_s, connected=self._bus.connected
        )

    def look(self) -> None:
        """Publish when something changed or the heartbeat is due."""
        with self._lock:
            status = self._status()
            self._newest = status, time.monotonic()
            due = time.monotonic() - self._last_at >= self._settings.heartbeat_s
            if due or self._last is None or _gist(status) != _gist(self._last):
                self._publish(status)

    def goodbye(self, state: ServiceState, problems: tuple[Problem, ...] = ()) -> None:
        """Publish the last status of this process."""
        with self._lock:
            status = self._status()
            self._publish(
                status.model_copy(
                    update={"state": state, "problems": (*problems, *status.problems)}
                )
            )

    def _publish(self, status: Status) -> None:
        self._bus.publish(status)
        self._last, self._last_at = status, time.monotonic()

    def _report(self) -> Report:
        if self._service is None:
            return Report()
        try:
            report = self._service.report()
        except Exception as error:
            # A mistake in the telling must not end the doing, nor go unseen.
            if not self._untold:
                log.exception("%s cannot report", self._settings.instance)
            self._untold = True
            reason = f"no report: {type(error).__name__}; see the log of {self._settings.instance}"
            return Report(problems=(Problem(about="status", reason=reason),))
        self._untold = False
        return report

    def _status(self) -> Status:
        report = self._report()
        problems = list(report.problems)
        if self._heartbeat.problem is not None:
            problems.append(self._heartbeat.problem)
        state = ServiceState.STARTING
        if self._service is not None:
            state = ServiceState.DEGRADED if problems else ServiceState.RUNNING
        bus = self._bus.statistics
        return self._blank.model_copy(
            update={
                "state": state,
                "at": datetime.now(UTC),
                "configuration_revision": report.configuration_revision,
                "problems": tuple(problems),
                "counters": {
                    **report.counters,
                    **tracing.counters(),
                    "bus_published": bus.published,
                    "bus_dropped": bus.dropped,
                    "bus_received": bus.received,
                    "bus_rejected": bus.rejected,
                    "bus_reconnects": bus.reconnects,
                },
                "gauges": {
                    **vitals(report.folder or self._settings.run_dir),
                    "bus_waiting": bus.waiting,
                    **report.gauges,
                },
                "cameras": report.cameras,
                "models": report.models,
            }
        )


def _gist(status: Status) -> tuple[object, ...]:
    """Return what makes a status worth telling before the heartbeat is due."""
    return (
        status.state,
        status.problems,
        status.configuration_revision,
        tuple((camera.camera, camera.state, camera.reason) for camera in status.cameras),
        tuple((model.model, model.state, model.reason) for model in status.models),
    )


def blank_status(settings: ServiceSettings) -> Status:
    """Return the status of a service that has not started yet."""
    now = datetime.now(UTC)
    return Status(
        service=settings.instance,
        role=settings.role,
        state=ServiceState.STARTING,
        version=version_of(settings.role),
        at=now,
        started_at=now,
        pid=os.getpid(),
        host=socket.gethostname(),
    )


def version_of(role: str) -> str:
    """Return the version of the installed package of a service, or '' when it is not one."""
    try:
        return importlib.metadata.version(f"nxai-{role}")
    except importlib.metadata.PackageNotFoundError:
        return ""


def serve(
    settings: Settings,
    bus: Bus,
    build: Build[Settings],
    stop: Stop,
) -> None:
    """Run one service on a bus that is open, until `stop` is set.

    Args:
        settings: Of the service.
        bus: Open; closed by the caller.
        build: As for `run_service`.
        stop: When to end.

    Raises:
        ConfigurationError: from the service; everything is closed and told before.
    """
    heartbeat = HeartbeatFile(settings)
    reporter = StatusReporter(settings, bus, heartbeat)
    reporter.look()
    heartbeat.beat()
    try:
        with (
            metrics_served(settings, reporter.seen),
            tracing.traced(settings),
            _as_context(build(settings, bus, heartbeat.beat)) as service,
            _attended(reporter, service),
        ):
            service.run(stop)
    except ConfigurationError as error:
        reporter.goodbye(ServiceState.STOPPED, (Problem(about="configuration", reason=str(error)),))
        raise
    except BaseException as error:
        # `offline` like the will: it did not mean to go. The text stays in the log, where
        # secrets are starred.
        reason = f"crashed: {type(error).__name__}; see the log of {settings.instance}"
        reporter.goodbye(ServiceState.OFFLINE, (Problem(about="service", reason=reason),))
        raise
    else:
        reporter.goodbye(ServiceState.STOPPED)
    finally:
        heartbeat.remove()


@contextlib.contextmanager
def _as_context(built: AbstractContextManager[Service] | Service) -> Iterator[Service]:
    if isinstance(built, AbstractContextManager):
        with built as service:
            yield service
    else:
        yield built


@contextlib.contextmanager
def _attended(reporter: StatusReporter, service: Service) -> Iterator[None]:
    """Keep the status thread of `service` while it runs."""
    reporter.attend(service)
    ended = threading.Event()

    def keep_looking() -> None:
        while True:
            reporter.look()
            if ended.wait(LOOK_INTERVAL_S):
                return

    thread = threading.Thread(target=keep_looking, name="status", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def signals_set(stop: Stop) -> Iterator[None]:
    """Let SIGTERM and SIGINT set `stop`; a second one ends the process at once."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os.write(2, b"second signal: ending at once\n")
            os._exit(128 + number)
        stop.set()

    before = {s: signal.signal(s, handle) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_service(
    settings_class: type[Settings],
    build: Build[Settings],
    argv: Sequence[str] | None = None,
    *,
    commands: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Run a service from its environment; return the exit code of the process.

    Args:
        settings_class: What the service reads from the environment.
        build: Puts the parts together; what it opens is closed when its context manager ends.
        argv: Command line without the program's name; None: that of this process.
        commands: First words for which the caller does something else, each with one line of
            help: `--help` lists them, and a word that is none is told the nearest.
    """
    role = settings_class.role
    arguments = _parse(settings_class, argv, commands)
    try:
        settings = load(settings_class)
        if arguments.healthy:
            return _say_healthy(settings)
        bus = _mqtt(settings)
    except ConfigurationError as error:
        print(f"nxai-{role}: {error}", file=sys.stderr)  # noqa: T201 - before there is a log
        return EXIT_CONFIGURATION
    if arguments.check:
        bus.close()
        print(effective(settings))  # noqa: T201 - the answer to --check
        return EXIT_OK
    package = f"nxai_{role.replace('-', '_')}"
    recent = logs.RecentLines()
    logs.set_up(
        level=settings.log_level,
        style=settings.log_format,
        packages=("nxai_common", package),
        recent=recent,
    )
    for secret in secrets_of(settings):
        logs.register_secret(secret)
    stop = Stop()
    log.info("%s starts", settings.instance, extra={"device": settings.device})
    try:
        with (
            signals_set(stop),
            bus,
            log_answered(bus, settings.instance, recent),
            restart_answered(bus, settings.instance, stop.set) as restart,
        ):
            try:
                serve(settings, bus, build, stop)
            except Exception:
                # It may have failed before the broker answered; the reason shall still be told.
                bus.wait_connected(LAST_WORDS_S)
                raise
    except ConfigurationError as error:
        log.error("%s", error)  # noqa: TRY400 - a person's mistake needs no traceback
        return EXIT_CONFIGURATION
    except Exception:
        log.exception("%s crashed", settings.instance)
        return EXIT_CRASHED
    log.info("%s stopped", settings.instance)
    return EXIT_RESTART if restart.is_set() else EXIT_OK


def _mqtt(settings: ServiceSettings) -> MqttBus:
    password = settings.broker_password
    return MqttBus(
        device=settings.device,
        url=settings.broker,
        client_id=f"nxai-{settings.device}-{settings.instance}",
        username=settings.broker_username,
        password=None if password is None else password.get_secret_value(),
        will=blank_status(settings).model_copy(update={"state": ServiceState.OFFLINE}),
        session_expiry_s=settings.session_expiry_s,
        receive_maximum=settings.receive_maximum,
    )


def _say_healthy(settings: ServiceSettings) -> int:
    reason = healthy(settings)
    if reason:
        print(reason, file=sys.stderr)  # noqa: T201 - the answer to --healthy
        return EXIT_CRASHED
    return EXIT_OK


def _parse(
    settings_class: type[ServiceSettings],
    argv: Sequence[str] | None,
    commands: Mapping[str, str],
) -> argparse.Namespace:
    role = settings_class.role
    width = max(map(len, commands), default=0)
    listed = [f"  {name:<{width}}  {text}\n" for name, text in commands.items()]
    parser = argparse.ArgumentParser(
        prog=f"nxai-{role}",
        usage="%(prog)s [options]\n       %(prog)s COMMAND ..." if commands else None,
        description=" ".join((settings_class.__doc__ or "").split()),
        epilog="".join(("commands, instead of the service:\n", *listed, "\n") if listed else ())
        + "settings, read from the environment:\n"
        + describe(settings_class),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check", action="store_true", help="check the settings, print them and exit"
    )
    parser.add_argument(
        "--healthy",
        action="store_true",
        help="exit 0 when the service with these settings is alive (for a health check)",
    )
    parser.add_argument("--version", action="version", version=version_of(role) or "unknown")
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        word = next((word for word in rest if not word.startswith("-")), None)
        parser.error(
            _not_a_command(word, commands)
            if word is not None and commands
            else f"unrecognized arguments: {' '.join(rest)}"
        )
    return arguments


def _not_a_command(word: str, commands: Mapping[str, str]) -> str:
    if word in commands:
        return f"{word!r} is a command: it must be the first word"
    near = difflib.get_close_matches(word, commands, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(commands)}"
    return f"there is no command {word!r}; {hint}"
