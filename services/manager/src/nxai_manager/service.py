"""The loop of the manager: see a change, check it, keep the secrets, publish, remember."""

import logging
import random
import shlex
import threading
import time

from nxai_common import logs
from nxai_common.bus.ports import Bus
from nxai_common.contracts.status import Problem
from nxai_common.errors import ConfigurationError, TransientError
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Beat, Report, Stop
from nxai_manager.core.compile import Compiled, compile_settings, logins
from nxai_manager.core.document import DEFAULT_TEXT, Settings
from nxai_manager.core.problems import RefusedSettings, check_settings
from nxai_manager.ports import SecretStore, SettingsStore

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""Between two looks at a file that sends no notice; also how soon the service ends."""
DISK_RETRY = RetryPolicy(first_s=1, factor=2, longest_s=60)


class Configurator:
    """Publishes what settings.json asks for; a bad edit changes nothing but the status."""

    def __init__(
        self,
        store: SettingsStore,
        secrets: SecretStore,
        bus: Bus,
        beat: Beat,
        retry: RetryPolicy = DISK_RETRY,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._bus = bus
        self._beat = beat
        self._retry = retry
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._unfinished: tuple[str, Settings] | None = None
        """Good settings that are not wholly applied: the disk was full."""
        self._attempt = 0
        self._due = 0.0
        self._published: dict[str, str] = {}
        """Revision of each service's document."""
        self._lock = threading.Lock()
        """Guards what `report` reads: all below."""
        self._problems: dict[str, str] = {}
        self._applied = self._refused = self._documents = 0
        self._revision = ""

    def run(self, stop: Stop) -> None:
        """Apply the settings, and again whenever they change."""
        if not self._reload():
            self._fall_back()
        while not stop.is_set():
            self._beat()
            if self._store.wait_for_change(LOOK_EVERY_S):
                self._reload()
            elif self._unfinished is not None and time.monotonic() >= self._due:
                self._apply(*self._unfinished)

    def report(self) -> Report:
        """Return which settings are in force, and what is wrong with newer ones."""
        with self._lock:
            problems = dict(self._problems)
            if "settings" in problems and self._revision:
                problems["settings"] += "; the last good settings stay in force"
            return Report(
                problems=tuple(Problem(about=a, reason=r) for a, r in problems.items()),
                counters={
                    "settings_applied": self._applied,
                    "settings_refused": self._refused,
                    "documents_published": self._documents,
                },
                configuration_revision=self._revision,
            )

    def _reload(self) -> bool:
        """Apply the text that is there now; return False when it cannot be used."""
        try:
            text = self._store.read()
            if text is None:
                text = self._first_settings()
            settings = check_settings(text)
        except RefusedSettings as error:
            for problem in error.problems:
                log.error("%s: %s", self._store.name, problem)  # noqa: TRY400 - as below
            self._refuse(f"{self._store.name}: {error.summary}")
            return False
        except ConfigurationError as error:
            log.error("%s", error)  # noqa: TRY400 - a person's mistake needs no traceback
            self._refuse(str(error))
            return False
        if self._clear("settings"):
            log.info("%s can be used again", self._store.name)
        self._attempt = 0
        self._apply(text, settings)
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
        try:
            self._store.create(DEFAULT_TEXT)
            log.info("%s was missing: wrote one that runs the demo", name)
        except TransientError as error:
            log.warning("running the demo: %s", error)
        return DEFAULT_TEXT

    def _refuse(self, reason: str) -> None:
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
        self._apply(text, settings)

    def _apply(self, text: str, settings: Settings) -> None:
        """Keep the secrets, publish what changed, remember the text; again later if it fails."""
        self._unfinished = (text, settings)
        wanted = logins(settings)
        for login in wanted.values():
            logs.register_secret(login.password)
        try:
            # Secrets first: capture connects as soon as it reads of them.
            self._publish(compile_settings(settings, self._secrets.store(wanted)))
            self._store.keep_last_good(text)
        except TransientError as error:
            self._attempt += 1
            self._due = time.monotonic() + self._retry.delay(self._attempt, self._rng)
            if self._attempt == 1:
                log.warning("%s; trying again", error)
            with self._lock:
                self._problems["disk"] = str(error)
            return
        self._unfinished = None
        self._clear("disk")

    def _publish(self, compiled: Compiled) -> None:
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
                    "services": [part.service for part in changed],
                },
            )
        with self._lock:
            self._applied += bool(changed)
            self._documents += len(changed)
            self._revision = compiled.revision

    def _clear(self, about: str) -> bool:
        with self._lock:
            return self._problems.pop(about, None) is not None
