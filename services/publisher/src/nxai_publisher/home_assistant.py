"""Shows the box in Home Assistant, and does what is asked for there.

A thread of its own, that reads the bus as any other program could: results never wait for it.
"""

import logging
import queue
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from nxai_common.bus.outside import Received
from nxai_common.bus.ports import Bus, Cleared, Inbox, Subscription
from nxai_common.contracts import topics
from nxai_common.contracts.alarms import Alarm
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import AdjustCamera, Command
from nxai_common.contracts.configuration import (
    CaptureConfiguration,
    CloudSyncConfiguration,
    HomeAssistantOptions,
    InferenceConfiguration,
    PublisherConfiguration,
)
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.models import ModelManifest
from nxai_common.contracts.outputs import CameraState, Event, Snapshot
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import Problem, Status
from nxai_common.errors import ConfigurationError, NxaiError, RejectedError
from nxai_common.retry import RetryPolicy
from nxai_publisher.adapters.home_link import READ_BACK_S, HomeBroker, HomeLink
from nxai_publisher.core.home_assistant.discovery import NOTHING, Wanted, announcements
from nxai_publisher.core.home_assistant.known import Answer, Box, Installation
from nxai_publisher.core.home_assistant.orders import Order, install_fetched, order_of
from nxai_publisher.core.home_assistant.states import (
    OFFLINE,
    ONLINE,
    Shown,
    alarm_told,
    event_told,
    states_of,
)
from nxai_publisher.core.home_assistant.things import origin_of, page_problem, things_of
from nxai_publisher.ports import SecretUnavailable
from nxai_publisher.settings import PublisherSettings

log = logging.getLogger(__name__)

ABOUT: Final = "Home Assistant"
TICK_S: Final = 0.2
"""A person does not see it; ten looks a second would wake an idle box for nothing."""
BATCH: Final = 64
BOUND: Final = 1000
"""Events, alarms and steps of jobs that wait at most."""
ANSWER_S: Final = 15.0
"""The manager answers once the settings are in force."""
ASKED: Final = 8
"""Orders that wait for an answer at most."""
ENDED: Final = 50
"""Jobs that are remembered: one may end before it is known that it was started for us."""
LEAVE_S: Final = 30.0
"""For tidying up on a broker that is used no longer: it may be the reason for the change."""
TRY_AGAIN_S: Final = 10.0
"""What a person must put right is looked at so often."""
PATIENCE_S: Final = 5.0
"""A connection comes within a second; each start would be a problem for a moment."""
GOODBYE_S: Final = 1.0
"""For an answer that is waited for; nobody reads it any more."""
AGAIN: Final = RetryPolicy(first_s=1.0, longest_s=60.0)
"""After a fault of this program."""

Secret = Callable[[str, str], str]
"""Returns the secret of a name, for a host; raises SecretUnavailable when it must not or cannot."""


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of an order."""

    order: Order
    ok: bool
    reason: str
    details: dict[str, str | int | float | bool | None] = field(default_factory=dict)


class HomeAssistant:
    """Works from entering to leaving (context manager)."""

    def __init__(
        self,
        settings: PublisherSettings,
        bus: Bus,
        secret: Secret,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare.

        Args:
            settings: As the service was started.
            bus: Open.
            secret: Reads the password of another broker.
            clock: Monotonic seconds.
            rng: For delays that are different on each box.
        """
        self._settings = settings
        self._bus = bus
        self._secret = secret
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._stopping = threading.Event()
        self._inbox: Inbox | None = None
        self._counters: Counter[str] = Counter()
        self._problems: tuple[Problem, ...] = ()
        self._thread = threading.Thread(target=self._run, name="home-assistant", daemon=True)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why Home Assistant does not see all of the box, if so."""
        return self._problems

    @property
    def counters(self) -> dict[str, int]:
        """Ever-growing counts."""
        names = ("published", "events", "dropped", "commands", "refused")
        return {f"ha_{name}": self._counters[name] for name in names}

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say goodbye."""
        self._stopping.set()
        inbox = self._inbox
        if inbox is not None:
            inbox.wake()
        self._thread.join()

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            try:
                self._work()
            except Exception:
                attempt += 1
                log.exception("the part for Home Assistant stopped")
                reason = "stopped by a fault of this program and tried again; see its log"
                self._problems = (Problem(about=ABOUT, reason=reason),)
                self._stopping.wait(AGAIN.delay(attempt, self._rng))

    def _work(self) -> None:
        with (
            closing(_open_inbox(self._bus)) as inbox,
            closing(_Errands(self._bus)) as errands,
            closing(self._presence()) as presence,
        ):
            self._inbox = inbox
            floor = self._clock()
            while not self._stopping.is_set():
                for delivery in inbox.receive_many(BATCH, TICK_S):
                    presence.learn(delivery.message, self._clock())
                now = self._clock()
                if now - floor < TICK_S:
                    continue  # much to be read; it is told together
                floor = now
                presence.turn(now, errands)
                self._problems = presence.problems

    def _presence(self) -> "_Presence":
        return _Presence(
            self._settings, self._bus, self._secret, self._clock, self._rng, self._counters
        )


def _open_inbox(bus: Bus) -> Inbox:
    return bus.subscribe(
        Subscription(PublisherConfiguration),
        Subscription(CaptureConfiguration),
        Subscription(InferenceConfiguration),
        Subscription(CloudSyncConfiguration),
        Subscription(ModelManifest),
        Subscription(Deployment, cleared=True),
        Subscription(Status, cleared=True),
        Subscription(CameraState),
        Subscription(Snapshot),
        Subscription(Event),
        Subscription(Alarm),
        Subscription(Progress),
        # Our own come back to us on this very connection, in order; none is lost on the way.
        volatile=True,
        bound=BOUND,
        aside=True,
    )


class _Presence:
    """What the box shows, and on which connection."""

    def __init__(
        self,
        settings: PublisherSettings,
        bus: Bus,
        secret: Secret,
        clock: Callable[[], float],
        rng: random.Random,
        counters: Counter[str],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._bus = bus
        self._secret = secret
        self._rng = rng
        self._counters = counters
        self._box = Box(settings.device)
        self._configured_at: float | None = None
        self._link: HomeLink | None = None
        self._leaving: list[tuple[HomeLink, float]] = []
        self._cleared = False
        """Mode off: nothing is left to be taken back."""
        self._broken: tuple[object, float] = (None, float("-inf"))
        """A broker that cannot be used as it is set, and when to try again."""
        self._lost_at: float | None = None
        self._trouble = ""
        self._happened: deque[tuple[str, bytes]] = deque()
        self._ended: dict[str, Progress] = {}
        self._gist: tuple[object, ...] = ()
        self._wanted = NOTHING

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong."""
        options = self._box.options
        found = [self._trouble, page_problem(options.page)]
        if self._link is not None and options.mode != "off" and self._is_trouble(self._link):
            found.append(self._link.problem)
        return tuple(Problem(about=ABOUT, reason=reason) for reason in found if reason)

    def _is_trouble(self, link: HomeLink) -> bool:
        if link.connected:
            self._lost_at = None
            return True
        now = self._clock()
        self._lost_at = self._lost_at or now
        return now - self._lost_at >= PATIENCE_S

    def learn(self, message: Message, now: float) -> None:
        """Take note of what came over the bus."""
        if isinstance(message, Cleared):
            self._box.forget(message.kind, message.levels)
            return
        self._box.learn(message, now)
        told = None
        match message:
            case PublisherConfiguration() if self._configured_at is None:
                self._configured_at = now
            case Event():
                told = event_told(self._box, message)
            case Alarm():
                told = alarm_told(self._box, message)
            case Progress() if message.state.ended:
                self._ended[message.job] = message
                if len(self._ended) > ENDED:
                    del self._ended[next(iter(self._ended))]
            case _:
                pass
        if told is not None:
            self._happened.append(told)

    def turn(self, now: float, errands: "_Errands") -> None:
        """Do what is due."""
        if self._configured_at is None:
            return  # whether, and to whom, is not known yet
        options = self._box.options
        self._choose(now, options)
        self._leave(now)
        link = self._link
        if link is None:
            self._happened.clear()
            return
        if options.mode == "off":
            link.turn(now, options.prefix, NOTHING, {})
            self._counted(link)
            if link.tidy:
                link.close(goodbye=False)
                self._link, self._cleared = None, True
            return
        known = now - self._configured_at >= READ_BACK_S
        link.turn(
            now, options.prefix, self._announced(options) if known else None, self._states(now)
        )
        self._tell(link)
        for received in link.orders():
            self._take(received, errands)
        for result in errands.results():
            self._answer(result)
        self._install(errands)
        self._counted(link)

    def close(self) -> None:
        """Say goodbye."""
        for link, _ in self._leaving:
            link.close(goodbye=False)
        if self._link is not None:
            self._link.close(goodbye=self._box.options.mode != "off")

    # -- the connection -------------------------------------------------------------------------

    def _choose(self, now: float, options: HomeAssistantOptions) -> None:
        """Have the connection that is wanted."""
        if options.mode == "off" and (self._cleared or self._link is not None):
            self._trouble = ""
            return
        wanted, until = self._broken
        if wanted == options.broker and now < until:
            return
        try:
            broker = self._broker(options)
            if self._link is not None and self._link.broker != broker:
                self._leaving.append((self._link, now + LEAVE_S))
                self._link = None
            if self._link is None:
                self._cleared = False
                self._link = HomeLink(self._settings.device, broker, options.prefix, self._rng)
        except (ConfigurationError, SecretUnavailable) as error:
            self._trouble = f"outputs.home_assistant.broker: {error}"
            self._broken = (options.broker, now + TRY_AGAIN_S)
            return
        self._trouble = ""

    def _broker(self, options: HomeAssistantOptions) -> HomeBroker:
        """Return the broker that is wanted.

        Raises:
            SecretUnavailable: its password cannot be had.
        """
        other = options.broker
        if other is None:
            own = self._settings
            password = own.broker_password
            return HomeBroker(
                own.broker,
                own.broker_username or "",
                "" if password is None else password.get_secret_value(),
            )
        secret = other.password_secret
        text = self._secret(secret, _host(other.url)) if secret else ""
        return HomeBroker(other.url, other.username, text, other.certificate, other.authority)

    def _leave(self, now: float) -> None:
        """Tidy up on brokers that are used no longer."""
        for link, until in list(self._leaving):
            link.turn(now, link.prefix, NOTHING, {})
            self._counted(link)
            if link.tidy or now >= until:
                link.close(goodbye=False)
                self._leaving.remove((link, until))

    def _counted(self, link: HomeLink) -> None:
        self._counters["published"] += link.published
        self._counters["dropped"] += link.dropped
        link.published = link.dropped = 0

    # -- telling --------------------------------------------------------------------------------

    def _announced(self, options: HomeAssistantOptions) -> Wanted:
        """Return what is to be announced; made anew only when something of it changed."""
        box = self._box
        gist = (
            box.publisher,
            box.services,
            box.version,
            tuple(box.labels_of(camera.id) for camera in box.cameras),
            tuple((name, told.name) for name, told in box.deployments.items()),
        )
        if gist != self._gist and options.mode != "off":
            self._gist = gist
            self._wanted = announcements(
                things_of(box),
                origin_of(box),
                mode=options.mode,
                prefix=options.prefix,
                device=box.device,
            )
        return self._wanted

    def _states(self, now: float) -> dict[str, Shown]:
        online = topics.HOME_BOX_AVAILABILITY.build(self._box.device)
        # Without our own broker nobody knows how the box is.
        here = Shown(ONLINE if self._bus.connected else OFFLINE)
        return {online: here} | states_of(self._box, now)

    def _tell(self, link: HomeLink) -> None:
        while self._happened:
            told = link.tell(*self._happened.popleft())
            self._counters["events" if told else "dropped"] += 1

    # -- orders ---------------------------------------------------------------------------------

    def _take(self, received: Received, errands: "_Errands") -> None:
        self._counters["commands"] += 1
        try:
            order = order_of(self._box, received.topic, received.payload)
        except RejectedError as error:
            self._conclude("Refused", ok=False, reason=str(error))
            return
        self._send(order, errands)

    def _send(self, order: Order, errands: "_Errands") -> None:
        if not errands.take(order):
            self._box.installations.pop(order.installs, None)
            reason = "too much is asked for at once; try again in a moment"
            self._conclude(order.what, ok=False, reason=reason)
        elif order.fetches:
            # Its answer and how it goes come by different ways, the answer not always first.
            self._box.installations[order.fetches] = Installation("", order.version)

    def _answer(self, result: _Result) -> None:
        order, job = result.order, result.details.get("job")
        if result.ok and order.fetches and isinstance(job, str):
            self._box.installations[order.fetches] = Installation(job, order.version)
        else:
            self._box.installations.pop(order.fetches, None)
        self._box.installations.pop(order.installs, None)
        self._conclude(order.what, ok=result.ok, reason=result.reason)

    def _install(self, errands: "_Errands") -> None:
        """Put in force what was fetched for that."""
        for job, step in list(self._ended.items()):
            model = self._box.installed_by(step)
            if not model:
                continue
            del self._ended[job]
            if step.state is JobState.DONE:
                digest = step.details.get("digest")
                fetched = digest if isinstance(digest, str) else None
                self._send(install_fetched(model, fetched), errands)
            else:
                self._conclude(f"Install {model}", ok=False, reason=step.text)

    def _conclude(self, what: str, *, ok: bool, reason: str) -> None:
        if not ok:
            self._counters["refused"] += 1
        log.info("Home Assistant asked: %s: %s", what, reason or ("done" if ok else "refused"))
        self._box.answer = Answer(what, ok, reason, datetime.now(UTC))


class _Errands:
    """Asks the services, one after the other, from a thread of its own."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._orders: queue.Queue[Order | None] = queue.Queue()
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="home-assistant-asks", daemon=True)
        self._thread.start()

    def take(self, order: Order) -> bool:
        """Let an order be done; False: too many wait."""
        if self._orders.qsize() >= ASKED:
            return False
        self._orders.put(order)
        return True

    def results(self) -> list[_Result]:
        """Return what was done since the last call."""
        found = []
        while not self._results.empty():
            found.append(self._results.get())
        return found

    def close(self) -> None:
        """Do what is under way, and nothing more."""
        while not self._orders.empty():
            self._orders.get()
        self._orders.put(None)
        self._thread.join(GOODBYE_S)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            self._results.put(self._ask(order))

    def _ask(self, order: Order) -> _Result:
        reason, details = "", {}
        for command in order.commands:
            try:
                reply = self._bus.request(command, ANSWER_S)
            except NxaiError as error:
                return _Result(order, ok=False, reason=str(error))
            reason, details = reply.reason, reply.details
            if not reply.ok:
                return _Result(order, ok=False, reason=reason)
        return _Result(
            order, ok=True, reason=reason or _note(order.commands, details), details=details
        )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""  # said when the connection is opened


def _note(
    commands: tuple[Command, ...], details: dict[str, str | int | float | bool | None]
) -> str:
    """Return what a person may wonder about, though it was done."""
    switched_on = any(isinstance(c, AdjustCamera) and c.run for c in commands)
    if switched_on and details.get("box_runs") is False:
        return "done, but detection of the whole box is off"
    return ""
