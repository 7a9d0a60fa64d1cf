"""A publisher in this process, over a bus in memory, with what the world outside sees of it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Inbox, Subscription
from nxai_common.contracts.alarms import Alarm
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import PublisherCamera, PublisherConfiguration
from nxai_common.contracts.outputs import CameraState, Detections, Event, Output, Rehearsal
from nxai_common.contracts.processors import Work
from nxai_common.runtime import Report, Stop
from nxai_publisher.adapters.group_commit import GroupCommit
from nxai_publisher.adapters.outlets import outlets
from nxai_publisher.adapters.query_desk import QueryDesk
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.adapters.sql_archive import SqlArchive
from nxai_publisher.adapters.sql_database import database_url
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.adapters.sqlite_outbox import SqliteOutbox
from nxai_publisher.alarm_pictures import AlarmPictures
from nxai_publisher.answers import Answers
from nxai_publisher.despatch import Despatch
from nxai_publisher.sending import Senders
from nxai_publisher.service import Clock, Publisher
from nxai_publisher.settings import PublisherSettings
from support.waiting import wait_for

M = TypeVar("M", bound=Message)

CAMERAS = (
    PublisherCamera(id="back", name="Back yard", index=0),
    PublisherCamera(id="front", name="Front door", index=1),
)


def configuration(revision: str = "1", **changes: Any) -> PublisherConfiguration:
    """Return a configuration of two cameras with the data logger on."""
    return PublisherConfiguration(**{"revision": revision, "cameras": CAMERAS, **changes})


@dataclass
class World:
    """What one sees of the publisher from outside."""

    broker: MemoryBroker
    bus: MemoryBus
    inbox: Inbox
    service: Publisher
    database: Path
    folder: Path
    received: list[Message] = field(default_factory=list)

    def send(self, *messages: Message) -> None:
        """Publish, as inference or the manager."""
        for message in messages:
            self.bus.publish(message)

    def seen(self, kind: type[M]) -> list[M]:
        """Return what came of one class so far."""
        while (delivery := self.inbox.receive(0)) is not None:
            self.received.append(delivery.message)
            delivery.acknowledge()
        return [message for message in self.received if isinstance(message, kind)]

    def wait_for(self, kind: type[M], count: int = 1) -> list[M]:
        """Wait for so many of one class."""
        wait_for(lambda: len(self.seen(kind)) >= count, 15, f"{count} of {kind.__name__}")
        return self.seen(kind)

    def counter(self, name: str) -> float:
        """Return a counter of the service."""
        return self.service.report().counters[name]

    def report(self) -> Report:
        """Return the service's report."""
        return self.service.report()

    def has_stored(self, count: int) -> bool:
        """Tell whether the data logger has stored so many since the start."""
        return self.counter("log_stored") == count

    def stored(self) -> list[tuple[str, int]]:
        """Return camera and sequence of what the data logger holds."""
        if not self.database.exists():
            return []
        with (
            suppress(sqlite3.OperationalError),  # the tables are being made
            closing(sqlite3.connect(self.database)) as connection,
        ):
            return connection.execute("SELECT camera, sequence FROM results").fetchall()
        return []


@contextmanager
def publisher(
    folder: Path,
    broker: MemoryBroker | None = None,
    desired: PublisherConfiguration | None = None,
    clock: Clock | None = None,
    *,
    outbox: Path | None = None,
    hold: int = 10_000,
    **settings: Any,
) -> Iterator[World]:
    """Run a publisher; by default with the configuration of `configuration()`.

    Args:
        folder: For its files.
        broker: Its broker; None: one of its own.
        desired: Configuration to wait for.
        clock: Of the service.
        outbox: File of the outbox; None: beside the database.
        hold: Results held at most while the outbox takes none.
        settings: Of the service.
    """
    broker = broker or MemoryBroker()
    database = folder / "data" / "nxai.db"
    url = database_url(f"sqlite:///{database}")
    store, archive = SqlLogger(url), SqlArchive(url, readers=2, limit_s=10)
    stop = Stop()
    kept = SqliteOutbox(outbox or folder / "data" / "outbox.db", device="box")
    open_outlet = outlets(
        device="box",
        secrets=SecretsDirectory(folder / "secrets"),
        files=folder / "files",
        durability="process-crash",
    )
    subscribed = threading.Event()  # the first beat comes behind both subscriptions
    with (
        MemoryBus(broker) as outside,
        MemoryBus(broker) as bus,
        GroupCommit(store) as log,
        QueryDesk(Answers(archive, log).answer) as desk,
        archive,
        GroupCommit(kept, about="outbox", bound=hold, prune_every_s=0.05) as outbox_log,
        Senders(kept, open_outlet) as senders,
        AlarmPictures(bus, outbox_log.offer) as pictures,
        closing(
            outside.subscribe(
                *(
                    Subscription(kind)
                    for kind in (Output, Detections, CameraState, Event, Alarm, Rehearsal, Work)
                )
            )
        ) as inbox,
    ):
        if desired is not None:
            outside.publish(desired)
        service = Publisher(
            PublisherSettings(**settings),
            bus,
            subscribed.set,
            log,
            desk,
            clock or Clock(),
            despatch=Despatch(kept, outbox_log, senders, pictures),
        )
        thread = threading.Thread(target=service.run, args=(stop,))
        thread.start()
        world = World(broker, outside, inbox, service, database, folder)
        try:
            wait_for(subscribed.is_set, what="subscriptions")
            if desired is not None:
                wait_for(lambda: service.report().configuration_revision == desired.revision)
            yield world
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()
            world.seen(Message)
