"""What leaves the box besides MQTT: kept once in the outbox, sent to each destination."""

import itertools
from collections.abc import Sequence

from nxai_common.bus.ports import Delivery
from nxai_common.contracts.base import Message
from nxai_common.contracts.destinations import Content, Destination, OutboxOptions
from nxai_common.contracts.status import Problem
from nxai_publisher.alarm_pictures import AlarmPictures
from nxai_publisher.core.drafts import Draft, Posted
from nxai_publisher.core.entries import Keeping, Wanted, pictured_by, wanted_by
from nxai_publisher.joint import Nobody, parts_of
from nxai_publisher.ports import Outbox, OutboxLog
from nxai_publisher.sending import Senders


class Despatch:
    """The outbox and those that send from it, as one."""

    def __init__(
        self, outbox: Outbox, log: OutboxLog, senders: Senders, pictures: AlarmPictures
    ) -> None:
        """Prepare; nothing is kept before `configure`.

        Args:
            outbox: What waits.
            log: Puts into the outbox.
            senders: Take out of it.
            pictures: Gives alarms theirs, and hands them to `log`.
        """
        self._outbox = outbox
        self._log = log
        self._senders = senders
        self._pictures = pictures
        self._wanted: tuple[Wanted, ...] = ()
        self._pictured: tuple[Wanted, ...] = ()
        self._numbers = itertools.count()
        self._lost = 0

    def configure(self, destinations: Sequence[Destination], options: OutboxOptions) -> None:
        """Send to these from now on."""
        self._wanted = wanted_by(destinations)
        self._pictured = pictured_by(destinations)
        self._outbox.choose(self._wanted)
        # A file that is there is opened even for nobody: what destinations of before had waiting
        # must not come to them later, as if nothing had been left out in between.
        enabled = bool(self._wanted) or self._outbox.exists
        self._log.configure(Keeping(enabled, options.keep_days, options.keep_mb))
        self._senders.configure(destinations)

    def wants(self, content: Content, camera: str, *, objects: bool = True) -> bool:
        """Tell whether any destination wants this."""
        return any(one.wants(content, camera, objects=objects) for one in self._wanted)

    @property
    def active(self) -> bool:
        """Whether there is any destination."""
        return bool(self._wanted)

    def post(
        self, drafts: Sequence[Draft], key: tuple[object, ...], delivery: Delivery[Message]
    ) -> None:
        """Keep what came of a delivery, if anything; it is acknowledged once that is safe.

        Also where nothing did: it may come again, while what came of it before is not safe yet.
        """
        pictured = [draft for draft in drafts if self._has_picture(draft)]
        if not pictured and not self._pictures.holds((*key, "alarms")):
            self._log.offer(Posted(key, tuple(drafts)), delivery)
            return
        rest, alarms = parts_of(delivery, 2)
        self._log.offer(Posted(key, tuple(d for d in drafts if not self._has_picture(d))), rest)
        self._pictures.put(pictured, (*key, "alarms"), alarms)

    def post_loose(self, drafts: Sequence[Draft]) -> None:
        """Keep what came of no delivery in hand: nobody says it again."""
        for draft in drafts:
            key = ("loose", next(self._numbers))
            nobody = Nobody(draft.message)
            if self._has_picture(draft):  # the end of an alarm must not overtake its start
                self._pictures.put((draft,), key, nobody)
            else:
                self._lost += not self._log.offer(Posted(key, (draft,)), nobody)

    def _has_picture(self, draft: Draft) -> bool:
        return draft.content == "alarms" and any(
            one.wants("alarms", draft.camera, objects=True) for one in self._pictured
        )

    @property
    def stuck(self) -> bool:
        """Whether nothing can be kept now."""
        return self._log.problem is not None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What a person should know."""
        problem = self._log.problem
        return (*(() if problem is None else (problem,)), *self._senders.problems)

    @property
    def counters(self) -> dict[str, int | float]:
        """Counts since the start."""
        stored = self._log.statistics
        return {
            "outbox_stored": stored.stored,
            "outbox_duplicates": stored.duplicates,
            "outbox_left_out": stored.left_out,
            "outbox_lost": self._lost + self._pictures.lost,
            "outbox_failures": stored.failures,
            "alarm_pictures_missed": self._pictures.missed,
            **self._senders.counters,
        }

    @property
    def gauges(self) -> dict[str, int | float]:
        """What is now."""
        gauges: dict[str, int | float] = {"outbox_held": self._log.held}
        holding = self._log.holding
        if holding is not None:
            gauges["outbox_entries"] = holding.rows
            gauges["outbox_mb"] = round(holding.size_mb, 1)
        return gauges | self._senders.gauges
