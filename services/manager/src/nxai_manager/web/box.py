"""What the handlers work with: the other services over the bus, and the parts of this one."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from nxai_common.bus.ports import Bus
from nxai_common.contracts.commands import Command, Reply
from nxai_common.contracts.status import ServiceState
from nxai_common.errors import BrokerUnavailable
from nxai_manager.adapters.key_handover import KeyHandover
from nxai_manager.adapters.output_secrets import OutputSecrets
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.settings import ManagerSettings
from nxai_manager.web.answer import Refused
from nxai_manager.web.hub import Hub

if TYPE_CHECKING:
    from nxai_manager.desk import SettingsDesk
    from nxai_manager.doorkeeper import Doorkeeper

P = ParamSpec("P")
R = TypeVar("R")

ANSWER_S: Final = 10.0
"""A service that is there answers in milliseconds; one that loads a model in seconds."""
ASKING: Final = 16
"""Questions to other services at once ..."""
AT_WORK: Final = frozenset({ServiceState.RUNNING, ServiceState.DEGRADED})
WAITING: Final = 64
"""... and those that wait for their turn; more are told to come again."""


@dataclass(slots=True)
class Box:
    """All that a handler may use. Made by the composition root."""

    bus: Bus
    hub: Hub
    desk: "SettingsDesk"
    gate: "Doorkeeper"
    settings: ManagerSettings
    version: str
    secrets: SecretsDirectory
    """Of the cameras."""
    output_secrets: OutputSecrets
    handover: KeyHandover | None
    """None: API keys are given on the command line alone."""
    pool: ThreadPoolExecutor
    """For what blocks: files, hashing, questions over the bus."""
    waiting: int = field(default=0)

    async def ask(self, command: Command, timeout_s: float = ANSWER_S) -> Reply:
        """Ask a service, and return its answer, which is yes.

        Raises:
            Refused: it said no (409, with its reason), or nothing (503).
        """
        reply = await self.ask_anyway(command, timeout_s)
        if not reply.ok:
            raise Refused(HTTPStatus.CONFLICT, reply.reason or f"{command.service} said no")
        return reply

    async def ask_anyway(self, command: Command, timeout_s: float = ANSWER_S) -> Reply:
        """Ask a service, and return its answer, which may be no.

        Raises:
            Refused: there was none (503).
        """
        if not self.bus.connected:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the MQTT broker is away: is the container or program `mosquitto` running?",
                headers={"Retry-After": "5"},
            )
        why_not = self._why_away(command.service)
        if why_not:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, why_not, headers={"Retry-After": "5"})
        try:
            return await self.in_turn(self.bus.request, command, timeout_s)
        except BrokerUnavailable:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{command.service} did not answer within {timeout_s:g} s: is it running? "
                "Settings > Health shows it",
                headers={"Retry-After": "5"},
            ) from None

    def _why_away(self, service: str) -> str:
        """Return why no process of this name or role would answer; '' when one has said it works.

        MQTT does not tell whether anybody hears a question: it would be waited for in vain.
        """
        states = {
            status.state
            for status in self.hub.statuses().values()
            if service in (status.service, status.role)
        }
        if states & AT_WORK:
            return ""
        if ServiceState.STARTING in states:
            return f"{service} is still starting; try again in a few seconds"
        return f"{service} is not running; Settings > Health shows why"

    async def ask_json(self, command: Command, timeout_s: float = ANSWER_S) -> Any:  # noqa: ANN401 - JSON
        """Ask a service, and return the JSON in its answer's attachment."""
        reply = await self.ask(command, timeout_s)
        return json.loads(bytes(reply.attachment))

    async def in_turn(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run what blocks for who only looks, and could ask for it without end.

        Raises:
            Refused: too many wait (503).
        """
        if self.waiting >= ASKING + WAITING:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too much is asked of the box at once; try again in a second",
                headers={"Retry-After": "1"},
            )
        self.waiting += 1
        try:
            return await self.in_thread(function, *args, **kwargs)
        finally:
            self.waiting -= 1

    async def in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run what blocks."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, lambda: function(*args, **kwargs))
