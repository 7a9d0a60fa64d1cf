"""From topics to mailboxes."""

import pytest

from nxai_common.bus import routing
from nxai_common.bus.mailbox import Mailbox
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.bus.routing import Filter, Router, filter_of, matches
from nxai_common.contracts.commands import TakeSnapshot
from nxai_common.contracts.configuration import CaptureConfiguration
from nxai_common.contracts.frames import Frame
from nxai_common.contracts.results import InferenceResult
from nxai_common.contracts.status import Status


@pytest.mark.parametrize(
    ("text", "topic", "matching"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("a/+", "a/b/c", False),  # as deep as the filter, no deeper
        ("$share/group/a/+", "a/b", True),
        ("$share/group/a/+", "b/b", False),
    ],
)
def test_a_filter_matches(text: str, topic: str, *, matching: bool) -> None:
    assert matches(text, topic) is matching


def test_a_filter_knows_the_service_of_its_message() -> None:
    wanted = filter_of(Subscription(CaptureConfiguration), "box", volatile=False)
    assert wanted == Filter("nxai/v1/box/services/capture/configuration", 0)
    wanted = filter_of(Subscription(TakeSnapshot), "box", volatile=False)
    assert wanted == Filter("nxai/v1/box/services/capture/command/snapshot", 0)
    wanted = filter_of(Subscription(Status), "box", volatile=False)
    assert wanted == Filter("nxai/v1/box/services/+/status", 0)


def test_a_filter_has_the_levels_and_the_group_that_were_asked_for() -> None:
    wanted = filter_of(
        Subscription(Frame, {"camera": "front"}, share="workers"), "box", volatile=False
    )
    assert wanted == Filter("$share/workers/nxai/v1/box/cameras/front/frame/+", 0)


def test_volatile_readers_ask_for_less() -> None:
    assert filter_of(Subscription(InferenceResult), "box", volatile=True).qos == 0
    assert filter_of(Subscription(InferenceResult), "box", volatile=False).qos == 1


def mailbox(*kinds: type[InferenceResult | Status], volatile: bool = False) -> Mailbox:
    bus = MemoryBus(MemoryBroker())
    return Mailbox(tuple(Subscription(kind) for kind in kinds), bus, volatile=volatile, bound=10)


def test_each_filter_is_asked_for_once_at_the_highest_quality() -> None:
    router = Router("box")
    router.add(mailbox(InferenceResult, volatile=True))
    router.add(mailbox(InferenceResult))
    router.add(mailbox(InferenceResult, volatile=True))
    assert router.filters() == [Filter("nxai/v1/box/cameras/+/result", 1)]


def test_only_what_nobody_wants_any_more_is_given_up() -> None:
    router = Router("box")
    one, two = mailbox(InferenceResult, Status), mailbox(InferenceResult)
    router.add(one)
    router.add(two)
    assert router.remove(one) == [Filter("nxai/v1/box/services/+/status", 0)]
    assert list(router.mailboxes()) == [two]


def test_a_flood_of_topics_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "CACHED_TOPICS", 10)
    router = Router("box")
    box = mailbox(InferenceResult)
    router.add(box)
    for number in range(100):
        assert router.route(f"nxai/v1/box/cameras/c{number}/result") == ((box, InferenceResult),)
        assert router.route(f"nxai/v1/box/cameras/c{number}/nonsense") == ()
    assert len(router._routes) <= 10
