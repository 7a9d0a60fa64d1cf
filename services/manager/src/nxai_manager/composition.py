"""Puts the manager together: the loop that publishes configurations, and the page beside it."""

import ipaddress
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from nxai_common.bus.ports import Bus
from nxai_common.contracts.status import Problem
from nxai_common.errors import ConfigurationError
from nxai_common.runtime import Beat, Report, Stop, version_of
from nxai_manager.adapters.accounts_file import AccountsFile
from nxai_manager.adapters.certificate import Certificate
from nxai_manager.adapters.deployments_file import DeploymentsFile
from nxai_manager.adapters.history_folder import HistoryFolder
from nxai_manager.adapters.key_handover import KeyHandover
from nxai_manager.adapters.output_secrets import OutputSecrets
from nxai_manager.adapters.password_hash import Argon2Hasher
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.adapters.sessions_file import SessionsFile
from nxai_manager.adapters.settings_file import SettingsFile
from nxai_manager.desk import SettingsDesk, View
from nxai_manager.doorkeeper import Doorkeeper
from nxai_manager.service import Configurator
from nxai_manager.settings import ManagerSettings
from nxai_manager.web.box import ASKING, Box
from nxai_manager.web.hub import Hub
from nxai_manager.web.security import networks
from nxai_manager.web.server import Door, WebServer


@dataclass(frozen=True, slots=True)
class WithPage:
    """The configurator, with what the page has to report besides."""

    configurator: Configurator
    web: WebServer
    doors: Doorkeeper
    certificate: Certificate

    def run(self, stop: Stop) -> None:
        """Publish configurations until `stop` is set."""
        self.configurator.run(stop)

    def report(self) -> Report:
        """Return how both fare."""
        own = self.configurator.report()
        return Report(
            problems=(
                *own.problems,
                *self.web.problems(),
                *self.doors.problems(),
                *(
                    [Problem(about="certificate", reason=why)]
                    if (why := self.certificate.problem)
                    else ()
                ),
            ),
            counters={**own.counters, **self.doors.counters()},
            gauges={**own.gauges, **self.web.gauges()},
            configuration_revision=own.configuration_revision,
        )


@contextmanager
def build(settings: ManagerSettings, bus: Bus, beat: Beat) -> Iterator[Configurator | WithPage]:
    """Put the service together.

    Raises:
        ConfigurationError: a start-up setting cannot be used.
    """
    check_settings(settings)
    state = settings.state_folder
    secrets = SecretsDirectory(settings.secrets_dir)
    secrets.sweep()
    desk = SettingsDesk(
        SettingsFile(settings.settings, settings.state_dir),
        HistoryFolder(settings.settings, settings.state_dir),
    )
    configurator = Configurator(
        desk, secrets, DeploymentsFile(settings.settings, settings.state_dir), bus, beat
    )
    if not settings.port and not settings.https_port:
        yield configurator
        return
    certificate = Certificate(state, settings.certificate, settings.certificate_key)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(ASKING, thread_name_prefix="page"))
        hasher = stack.enter_context(closing(Argon2Hasher()))
        doors = stack.enter_context(Doorkeeper(AccountsFile(state), SessionsFile(state), hasher))
        hub = stack.enter_context(Hub(bus))
        desk.listen(lambda view: hub.tell_settings(_news(view)))
        box = Box(
            bus=bus,
            hub=hub,
            desk=desk,
            gate=doors,
            settings=settings,
            version=version_of("manager"),
            secrets=secrets,
            output_secrets=OutputSecrets(settings.output_secrets_dir),
            handover=KeyHandover(settings.handover_dir) if settings.handover_dir else None,
            pool=pool,
        )
        web = stack.enter_context(WebServer(box, _doors(settings, certificate)))
        yield WithPage(configurator, web, doors, certificate)


def _news(view: View) -> str:
    """Return what viewers are told when the settings stand otherwise (JSON)."""
    return json.dumps(
        {
            "revision": view.revision,
            "in_force": view.in_force,
            "held_up": view.held_up,
            "problems": [
                {"line": problem.line, "where": problem.where, "reason": problem.reason}
                for problem in view.problems
            ],
        }
    )


def _doors(settings: ManagerSettings, certificate: Certificate) -> Iterator[Door]:
    if settings.port:
        yield Door(settings.host, settings.port)
    if settings.https_port:
        yield Door(settings.host, settings.https_port, certificate.context)


def check_settings(settings: ManagerSettings) -> None:
    """Raise ConfigurationError for start-up settings that contradict the world."""
    try:
        networks(settings.trusted_proxies)
    except ValueError as error:
        raise ConfigurationError(
            f"NXAI_MANAGER_TRUSTED_PROXIES: {error}; write addresses or networks such as "
            "192.0.2.7,10.0.0.0/8"
        ) from None
    try:
        ipaddress.ip_address(settings.host)
    except ValueError:
        if settings.host != "localhost":
            raise ConfigurationError(
                f"NXAI_MANAGER_HOST={settings.host}: not an address; write 0.0.0.0 for everybody, "
                "127.0.0.1 for this machine alone"
            ) from None
