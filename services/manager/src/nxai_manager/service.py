"""The loop of the manager: see a change, check it, keep the secrets, publish, remember.

Two things change: settings.json, and the deployments that cloud-sync publishes. Whichever does,
the newest good ones of both make the configurations. What came of a change of settings is told to
the desk, where the page and commands make theirs.
"""

import logging
import random
import shlex
import threading
import time
from contextlib import closing
from typing import Final

from nxai_common import logs
from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts.commands import AdjustCamera, Reply, RunCameras
from nxai_common.contracts.deployments import Deployments
from nxai_common.contracts.status import Problem
from nxai_common.errors import ConfigurationError, NxaiError, TransientError
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Beat, Report, Stop
from nxai_manager.core.compile import Compiled, compile_settings, logins
from nxai_manager.core.deployed import NOTHING, Deployed, fit
from nxai_manager.core.document import DEFAULT_TEXT, Settings
from nxai_manager.core.history import Author, How
from nxai_manager.core.problems import RefusedSettings, check_settings
from nxai_manager.desk import SettingsDesk
from nxai_manager.ports import DeploymentsStore, SecretStore

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""Between two looks at a file that sends no notice; also how soon the service ends."""
FIRST_WORD_S = 1.0
"""A broker that is there tells what it retains in milliseconds; a box without imported models may
wait so long for nothing, once."""
RUN: Final = {"service": "manager", "name": "run"}
ADJUST: Final = {"service": "manager", "name": "adjust"}
COMMAND: Final = Author(how=How.COMMAND)
DISK_RETRY = RetryPolicy(first_s=1, factor=2, longest_s=60)


class Configurator:
    """Publishes what settings.json and the deployments ask for.

    A bad edit changes nothing but the status. Deployments that vanish from the broker change
    nothing at all: cloud-sync takes models away by publishing newer ones without them, so that
    a removal is a broker that lost its store, or somebody who cleans up.
    """

    def __init__(
        self,
        desk: SettingsDesk,
        secrets: SecretStore,
        kept: DeploymentsStore,
        bus: Bus,
        beat: Beat,
        *,
        retry: RetryPolicy = DISK_RETRY,
        first_word_s: float = FIRST_WORD_S,
    ) -> None:
        self._desk = desk
        self._store = desk.store
        self._secrets = secrets
        self._kept = kept
        self._bus = bus
        self._beat = beat
        self._retry = retry
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._first_word_s = first_word_s
        self._settings: tuple[str, Settings] | None = None
        """The newest good ones: text and content."""
        self._deployments: Deployments | None = None
        """The newest by arrival, or those that were kept."""
        self._unfinished = False
        """Something good is not wholly applied: the disk was full."""
        self._attempt = 0
        self._due = 0.0
        self._published: dict[str, str] = {}
        """Revision of each service's document."""
        self._lock = threading.Lock()
        """Guards what `report` reads: all below."""
        self._problems: dict[str, str] = {}
        self._deployed = NOTHING
        self._received = self._applied = self._refused = self._documents = 0
        self._revision = ""

    def run(self, stop: Stop) -> None:
        """Apply settings and deployments, and again whenever they change."""
        wanted = (
            Subscription(Deployments),
            Subscription(RunCameras, RUN),
            Subscription(AdjustCamera, ADJUST),
        )
        with closing(self._bus.subscribe(*wanted)) as inbox:
            self._recall(inbox)
            with self._store.watch(inbox.wake):
                if not self._reload():
                    self._fall_back()
                while not stop.is_set():
                    self._beat()
                    self._receive(inbox, LOOK_EVERY_S)
                    if self._store.changed():
                        self._reload()
                    elif self._unfinished and time.monotonic() >= self._due:
                        self._apply()

    def report(self) -> Report:
        """Return which settings are in force, and what is wrong with newer ones."""
        with self._lock:
            problems = dict(self._problems)
            if "settings" in problems and self._revision:
                problems["settings"] += "; the last good settings stay in force"
            return Report(
                problems=(
                    *(Problem(about=a, reason=r) for a, r in problems.items()),
                    *self._deployed.problems,
                ),
                counters={
                    "deployments_received": self._received,
                    "settings_applied": self._applied,
                    "settings_refused": self._refused,
                    "documents_published": self._documents,
                },
                configuration_revision=self._revision,
            )

    # -- deployments ----------------------------------------------------------------------------

    def _recall(self, inbox: Inbox) -> None:
        """Begin with the deployments that the broker retains, or else those that were kept.

        Configurations with older ones, or none, would stop for a moment what runs.
        """
        try:
            self._deployments = self._kept.read()
        except ConfigurationError as error:
            log.warning("%s", error)
            with self._lock:
                self._problems["deployments"] = str(error)
        self._receive(inbox, self._first_word_s)

    def _receive(self, inbox: Inbox, timeout: float) -> None:
        """Wait for deployments or a command, or until something else is to be seen to."""
        delivery = inbox.receive(timeout)
        match delivery.message if delivery is not None else None:
            case Deployments() as deployments:
                if deployments != self._deployments:  # else the broker only told them again
                    self._deployments = deployments
                    self._attempt = 0
                    self._apply()
                with self._lock:
                    self._received += 1
            case RunCameras() | AdjustCamera() as command if delivery is not None:
                delivery.reply(self._change(command))

    def _change(self, command: RunCameras | AdjustCamera) -> Reply:
        """Change the settings as the command asks, and answer when they are in force."""
        try:
            if isinstance(command, AdjustCamera):
                self._desk.adjust(command, COMMAND)
            else:
                self._desk.run(
                    running=command.running, cameras=command.cameras, author=COMMAND, wait_s=0
                )
        except NxaiError as error:
            return Reply(ok=False, reason=str(error))
        if self._store.changed():
            self._reload()
        view = self._desk.current()
        if not view.in_force:
            return Reply(ok=False, reason=view.held_up or "the settings have mistakes")
        box_runs = self._settings is not None and self._settings[1].run
        return Reply(ok=True, details={"revision": view.revision, "box_runs": box_runs})

    # -- settings -------------------------------------------------------------------------------

    def _reload(self) -> bool:
        """Apply the text that is there now; return False when it cannot be used."""
        text = None
        try:
            text = self._store.read()
            if text is None:
                text = self._first_settings()
            settings = check_settings(text)
        except RefusedSettings as error:
            for problem in error.problems:
                log.error("%s: %s", self._store.name, problem)  # noqa: TRY400 - as below
            self._refuse(f"{self._store.name}: {error.summary}", text)
            return False
        except ConfigurationError as error:
            log.error("%s", error)  # noqa: TRY400 - a person's mistake needs no traceback
            self._refuse(str(error), text)
            return False
        if self._clear("settings"):
            log.info("%s can be used again", self._store.name)
        self._attempt = 0
        self._settings = (text, settings)
        self._apply()
        return True

    def _first_settings(self) -> str:
        name, kept = self._store.name, self._store.kept()
        if kept is not None:
            raise ConfigurationError(
                f"{name} is gone; put it back, or use the copy that was kept: "
                f"cp {shlex.quote(kept)} {shlex.quote(name)}"
            )
        if self._revision:
            raise ConfigurationError(f"{name} is gone; put it back")
        self._desk.expect(DEFAULT_TEXT, Author(how=How.FIRST_START))
        try:
            self._store.create(DEFAULT_TEXT)
            log.info("%s was missing: wrote one that runs the demo", name)
        except TransientError as error:
            log.warning("running the demo: %s", error)
        return DEFAULT_TEXT

    def _refuse(self, reason: str, text: str | None) -> None:
        self._desk.refused(text)
        with self._lock:
            self._refused += 1
            self._problems["settings"] = reason
        if self._revision:
            log.warning("the last good settings stay in force")

    def _fall_back(self) -> None:
        """Run the settings that were in force last: those of now cannot be used."""
        text = self._store.read_last_good()
        if text is None:
            return
        try:
            settings = check_settings(text)
        except RefusedSettings as error:  # kept by an older version
            log.warning("the last good settings cannot be used either: %s", error.summary)
            return
        log.warning("going on with the last good settings")
        self._settings = (text, settings)
        self._apply()

    # -- both -----------------------------------------------------------------------------------

    def _apply(self) -> None:
        """Keep the secrets, publish what changed, remember it; again later if it fails."""
        if self._settings is None:
            return  # nothing is known of the cameras yet
        text, settings = self._settings
        self._unfinished = True
        wanted = logins(settings)
        for login in wanted.values():
            logs.register_secret(login.password)
        try:
            # Secrets first: capture connects as soon as it reads of them.
            revisions = self._secrets.store(wanted)
            deployed = fit(settings, self._deployments.models if self._deployments else ())
            self._publish(compile_settings(settings, revisions, deployed), deployed)
            self._desk.in_force(text, settings)
            self._store.keep_last_good(text)
            self._desk.keep()
            if self._deployments is not None:
                self._kept.keep(self._deployments)
                self._clear("deployments")
        except TransientError as error:
            self._attempt += 1
            self._due = time.monotonic() + self._retry.delay(self._attempt, self._rng)
            if self._attempt == 1:
                log.warning("%s; trying again", error)
            with self._lock:
                self._problems["disk"] = str(error)
            self._desk.held_up(text, str(error))
            return
        self._unfinished = False
        self._clear("disk")

    def _publish(self, compiled: Compiled, deployed: Deployed) -> None:
        changed = [
            part for part in compiled.parts if self._published.get(part.service) != part.revision
        ]
        for part in changed:
            self._bus.publish(part)
            self._published[part.service] = part.revision
        if changed:
            log.info(
                "settings applied",
                extra={
                    "revision": compiled.revision,
                    "deployments": self._deployments.revision if self._deployments else "",
                    "services": [part.service for part in changed],
                },
            )
        for problem in deployed.problems:
            if problem not in self._deployed.problems:
                log.warning("%s %s", problem.about, problem.reason)
        with self._lock:
            self._deployed = deployed
            self._applied += bool(changed)
            self._documents += len(changed)
            self._revision = compiled.revision

    def _clear(self, about: str) -> bool:
        with self._lock:
            return self._problems.pop(about, None) is not None
