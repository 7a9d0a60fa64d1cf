"""An outbox with what tests put into it."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from nxai_common.contracts.configuration import PublisherCamera, PublisherConfiguration
from nxai_common.contracts.destinations import Content, Destination
from nxai_common.contracts.results import Detection
from nxai_publisher.adapters.group_commit import GroupCommit
from nxai_publisher.adapters.sqlite_outbox import SqliteOutbox
from nxai_publisher.core.drafts import Posted, of_frame
from nxai_publisher.core.entries import Entry, Keeping, wanted_by
from nxai_publisher.core.observation import observe
from nxai_publisher.sending import Open, Senders
from support.results import result

KEEP = Keeping(enabled=True, keep_days=36_500, keep_mb=1000)


def destination(name: str = "shop", **fields: Any) -> Destination:
    """Return the options of a destination; by default an HTTP one that nobody answers for."""
    adapter: TypeAdapter[Destination] = TypeAdapter(Destination)
    defaults = {"type": "http", "id": name}
    if fields.get("type", "http") == "http":
        defaults["url"] = "http://127.0.0.1:9/"
    return adapter.validate_python({**defaults, **fields})


def posted(
    number: int,
    detections: Iterable[Detection] | None = None,
    *,
    what: tuple[Content, ...] = ("detections",),
    at_us: int | None = None,
    **changes: Any,
) -> Posted:
    """Return what comes of a result, as it is put into the outbox."""
    one = result(number, None if detections is None else tuple(detections), **changes)
    drafts = of_frame(
        one,
        observe(one),
        PublisherConfiguration(revision="1"),
        PublisherCamera(id=one.camera, index=0),
        lambda content, _camera, *, objects: content in what or objects is None,
        device="box",
        now_us=time.time_ns() // 1000 if at_us is None else at_us,
    )
    return Posted((one.camera, one.model, one.stream, one.sequence), tuple(drafts))


@contextmanager
def opened(path: Path, *destinations: Destination, **options: Any) -> Iterator[SqliteOutbox]:
    """Open an outbox for some destinations."""
    outbox = SqliteOutbox(path, device="box", **options)
    outbox.choose(wanted_by(destinations))
    outbox.open()
    try:
        yield outbox
    finally:
        outbox.close()


def taken(outbox: SqliteOutbox, name: str = "shop", limit: int = 1000) -> list[Entry]:
    """Take all that waits for a destination, as if it were sent."""
    found: list[Entry] = []
    while part := outbox.fetch(name, limit, holding=False):
        found += part
        outbox.done(name, part, holding=False)
    return found


@contextmanager
def fed(
    path: Path, open_outlet: Open, *destinations: Destination, keep: Keeping = KEEP
) -> Iterator[tuple[GroupCommit[Posted, Keeping], Senders, SqliteOutbox]]:
    """Run an outbox with its thread and its senders."""
    outbox = SqliteOutbox(path, device="box")
    outbox.choose(wanted_by(destinations))
    with (
        GroupCommit(outbox, about="outbox", prune_every_s=0.05) as log,
        Senders(outbox, open_outlet) as senders,
    ):
        log.configure(keep)
        senders.configure(destinations)
        yield log, senders, outbox
