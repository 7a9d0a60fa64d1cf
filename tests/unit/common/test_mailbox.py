"""The mailbox's own corners; its promises are in tests/contract."""

import logging

import pytest

from nxai_common.bus import mailbox as module
from nxai_common.bus.mailbox import Letter, Mailbox, Parcel, nothing
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply, TakeSnapshot
from nxai_common.contracts.frames import Picture
from nxai_common.contracts.samples import Sample


class NoNetwork:
    """A pump that never brings anything."""

    def wait_for_mail(self, mailbox: Mailbox, timeout: float | None) -> None:
        raise AssertionError(f"{mailbox} has mail, no need to wait {timeout}")

    def rouse(self) -> None:
        pass

    def forget(self, mailbox: Mailbox) -> None:
        """Nothing to unsubscribe."""


def picture(number: int) -> Parcel:
    return Parcel("nxai/v1/box/cameras/a/picture", b"%d" % number, Picture, 0.0)


def sample(number: int) -> Parcel:
    message = Sample(
        camera="a",
        stream="s",
        sequence=number,
        captured_at_us=0,
        width=1,
        height=1,
        model="m",
        reason="r",
    )
    return Parcel(message.topic("box"), message.encode(), Sample, 0.0)


def command() -> Parcel:
    message = TakeSnapshot(camera="a")
    return Parcel(message.topic("box"), message.encode(), TakeSnapshot, 0.0)


def make(*kinds: type[Message], bound: int = 3) -> Mailbox:
    subscriptions = tuple(Subscription(kind) for kind in kinds)
    return Mailbox(subscriptions, NoNetwork(), volatile=False, bound=bound)


def test_a_closed_mailbox_takes_nothing() -> None:
    box = make(Picture)
    box.close()
    box.put(picture(1))
    assert box.receive(0) is None
    assert not box.receive_many(5, 0)


def test_commands_are_bounded() -> None:
    box = make(TakeSnapshot, bound=2)
    for _ in range(5):
        box.put(command())
    assert box.dropped == 3


def test_a_stream_loses_its_oldest_and_never_a_reliable_message() -> None:
    box = make(Picture, Sample, bound=2)
    box.put(sample(0))
    for number in range(3):
        box.put(picture(number))
        box.put(sample(number + 1))
    got = [box.receive(0) for _ in range(6)]
    kinds = [
        delivery.message.sequence
        if isinstance(delivery.message, Sample)
        else bytes(delivery.message.attachment)
        for delivery in got
        if delivery is not None and isinstance(delivery.message, Sample | Picture)
    ]
    assert kinds == [0, 1, b"1", 2, b"2", 3]
    assert box.dropped == 1


def test_broken_mail_is_skipped_in_a_batch_and_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_REJECTED_EVERY_S", 1000.0)
    settled: list[str] = []
    box = make(Sample)
    box.put(sample(1))
    for _ in range(3):
        broken = Parcel(
            sample(1).topic, b"{", Sample, 0.0, acknowledge=lambda: settled.append("it")
        )
        box.put(broken)
    box.put(sample(2))
    with caplog.at_level(logging.WARNING):
        assert len(box.receive_many(10, 0)) == 2
    assert box.rejected == 3
    assert settled == ["it"] * 3, "it would be just as broken the next time"
    assert len(caplog.records) == 1


def test_a_letter_without_sender_takes_no_reply() -> None:
    letter = Letter(TakeSnapshot(camera="a"), 0.0, nothing, None)
    letter.reply(Reply(ok=True))
    letter.acknowledge()
    assert not letter.owed


def test_waiting_ends_at_once_when_there_is_mail() -> None:
    bus = MemoryBus(MemoryBroker())
    box = Mailbox((Subscription(Picture),), bus, volatile=False, bound=1)
    box.put(picture(1))
    bus.wait_for_mail(box, None)
