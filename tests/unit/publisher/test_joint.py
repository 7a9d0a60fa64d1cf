import threading

import pytest

from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import Reply
from nxai_publisher.joint import Nobody, parts_of
from support.results import result

pytestmark = pytest.mark.unit


class Delivered:
    received_at = 7.0
    owed = True

    def __init__(self) -> None:
        self.message: Message = result(1)
        self.acknowledged = 0
        self.replies: list[Reply] = []

    def acknowledge(self) -> None:
        self.acknowledged += 1

    def reply(self, reply: Reply) -> None:
        self.replies.append(reply)


def test_nobody_wants_it() -> None:
    delivery = Delivered()
    assert list(parts_of(delivery, 0)) == []
    assert delivery.acknowledged == 1


def test_one_has_it_alone() -> None:
    delivery = Delivered()
    (part,) = parts_of(delivery, 1)
    assert part is delivery


def test_it_is_acknowledged_once_both_have_it() -> None:
    delivery = Delivered()
    first, second = parts_of(delivery, 2)
    first.acknowledge()
    first.acknowledge()  # said twice, it counts once
    assert delivery.acknowledged == 0
    second.acknowledge()
    assert delivery.acknowledged == 1


def test_a_part_is_as_the_whole() -> None:
    delivery = Delivered()
    part, _ = parts_of(delivery, 2)
    assert (part.message, part.received_at, part.owed) == (delivery.message, 7.0, True)
    part.reply(Reply(ok=True))
    assert delivery.replies == [Reply(ok=True)]


def test_of_many_threads_the_last_one_settles() -> None:
    for _ in range(200):
        delivery = Delivered()
        parts = list(parts_of(delivery, 4))
        threads = [threading.Thread(target=part.acknowledge) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert delivery.acknowledged == 1


def test_nobody_waits_for_what_nobody_sent() -> None:
    nobody = Nobody(result(1))
    nobody.acknowledge()
    nobody.reply(Reply(ok=True))
    assert not nobody.owed
