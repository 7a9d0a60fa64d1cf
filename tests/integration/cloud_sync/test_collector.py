import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nxai_cloud_sync import collector as collector_module
from nxai_cloud_sync.adapters import sql_database, sql_samples
from nxai_cloud_sync.adapters.picture_hash import JpegHasher
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.collector import ABOUT, Clock, Collector
from nxai_cloud_sync.core.collecting import DAY_S, TRUST_AFTER_S, LeftOut
from nxai_cloud_sync.core.sample import SampleFilter
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_common.contracts.base import Message
from nxai_common.contracts.collecting import CollectPolicy, Quotas, SampleLimits
from nxai_common.contracts.commands import Reply
from nxai_common.contracts.configuration import CloudSyncCamera, CloudSyncConfiguration
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import Problem
from nxai_common.retry import RetryPolicy
from support.results import SECOND_US, START_US
from support.samples import files_of, jpeg, message
from support.waiting import wait_for

ALL = SampleFilter()
KEEP_ALL = CollectPolicy(
    enabled=True,
    min_gap_s=0,
    quotas=Quotas(per_minute=0, per_hour=0, per_day=0, label_per_day=0),
    near_duplicate_bits=0,
)


def wanted(*cameras: CloudSyncCamera, **changes: Any) -> CloudSyncConfiguration:
    """Return a configuration; by default camera `front` keeps all."""
    return CloudSyncConfiguration(
        revision="1",
        cameras=cameras or (CloudSyncCamera(id="front", collect=KEEP_ALL),),
        limits=changes.pop("limits", SampleLimits(keep_days=36_500)),
        **changes,
    )


def front(**changes: Any) -> CloudSyncConfiguration:
    """Return a configuration in which camera `front` keeps all, but for ..."""
    return wanted(CloudSyncCamera(id="front", collect=KEEP_ALL.model_copy(update=changes)))


class Delivered:
    """A picture in hand; remembers what was stored when it was acknowledged."""

    received_at = 0.0

    def __init__(
        self,
        sample: Message,
        look: Callable[[], object] = lambda: None,
        *,
        owed: bool = True,
    ) -> None:
        self.owed = owed
        self.message = sample
        self.seen_at_acknowledgement: list[object] = []
        self._look = look

    @property
    def acknowledged(self) -> bool:
        return bool(self.seen_at_acknowledgement)

    def acknowledge(self) -> None:
        self.seen_at_acknowledgement.append(self._look())

    def reply(self, reply: Reply) -> None:
        del reply


@dataclass
class Hands:
    """The hands of both clocks, turned by the test."""

    monotonic_s: float = 1000.0
    wall_us: int = START_US

    def pass_by(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.wall_us += int(seconds * SECOND_US)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.monotonic_s, lambda: self.wall_us)


@dataclass
class World:
    """A collector over a real store."""

    collector: Collector
    store: SqlSamples
    folder: Path
    hands: Hands
    deliveries: list[Delivered] = field(default_factory=list)

    def send(self, *samples: Sample) -> list[Delivered]:
        new = [Delivered(sample) for sample in samples]
        for delivery in new:
            self.collector.offer(delivery)
        self.deliveries += new
        return new

    def done(self) -> None:
        wait_for(lambda: all(d.acknowledged for d in self.deliveries), what="acknowledgements")
        wait_for(lambda: self.count("held") == 0)

    def count(self, name: str) -> int:
        told = self.collector.counters | self.collector.gauges
        return told[f"samples_{name}"]

    def kept(self) -> list[int]:
        page = self.store.page(ALL, 1000, 0)
        return sorted((one.captured_at_us - START_US) // SECOND_US for one in page.samples)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    retry = RetryPolicy(first_s=0.02, longest_s=0.1, floor_s=0.01)
    monkeypatch.setattr(collector_module, "RETRY", retry)
    monkeypatch.setattr(sql_database, "BUSY_TIMEOUT_S", 0.02)


@contextmanager
def running(
    folder: Path, configuration: CloudSyncConfiguration | None = None, hands: Hands | None = None
) -> Iterator[World]:
    hands = hands or Hands()
    with SqlSamples(folder, wall_us=lambda: hands.wall_us) as store:
        rng = random.Random(1)  # noqa: S311 - jitter
        with Collector(store, JpegHasher(), rng=rng, clock=hands.clock) as collector:
            if configuration is not None:
                collector.configure(configuration)
            yield World(collector, store, folder, hands)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "samples"


def trouble(world: World) -> Problem:
    (problem,) = wait_for(lambda: world.collector.problems, what="a problem")
    assert problem.about == ABOUT
    return problem


@contextmanager
def blocked(folder: Path) -> Iterator[Callable[[], None]]:
    """Put a file in the folder's place, so that it cannot be made; yields what takes it away."""
    folder.parent.mkdir()
    folder.write_text("in the way")
    yield folder.unlink


# -- keeping ------------------------------------------------------------------------------------


def test_a_picture_is_stored_before_it_is_acknowledged(folder: Path) -> None:
    with running(folder, wanted()) as world:
        deliveries = [Delivered(message(n, "nut"), world.kept) for n in range(20)]
        for delivery in deliveries:
            world.collector.offer(delivery)
        wait_for(lambda: all(delivery.acknowledged for delivery in deliveries))
        for number, delivery in enumerate(deliveries):
            (kept,) = delivery.seen_at_acknowledgement
            assert number in kept  # type: ignore[operator] # a list of numbers
        assert world.count("stored") == 20
    assert sorted(files_of(folder).values()) == sorted(jpeg(n) for n in range(20))


def test_what_is_kept_says_when_it_was_stored_and_what_it_shows(folder: Path) -> None:
    with running(folder, wanted()) as world:
        world.hands.wall_us += 77
        world.send(message(1, "nut", "bolt"))
        world.done()
        (one,) = world.store.page(ALL, 10, 0).samples
        assert one.stored_at_us == START_US + 77
        assert {box.label for box in one.predictions} == {"nut", "bolt"}
        assert world.store.kept_lately("front", 1)[0].labels == ("bolt", "nut")


def test_before_the_first_configuration_nothing_is_decided(folder: Path) -> None:
    with running(folder) as world:
        first = world.send(message(1), message(2, camera="unknown"))
        with pytest.raises(AssertionError):
            wait_for(lambda: any(d.acknowledged for d in first), deadline=0.3)
        assert world.count("held") == 2
        assert not folder.exists()
        world.collector.configure(wanted())
        world.done()
        assert world.kept() == [1]
        assert world.count("left_out_unknown_camera") == 1


@pytest.mark.parametrize(
    ("configuration", "second", "why"),
    [
        (front(min_gap_s=5), message(4), LeftOut.TOO_SOON),
        (front(quotas=Quotas(per_minute=1)), message(50), LeftOut.PER_MINUTE),
        (front(quotas=Quotas(per_hour=1)), message(3500), LeftOut.PER_HOUR),
        (front(quotas=Quotas(per_day=1)), message(86_000), LeftOut.PER_DAY),
        (front(quotas=Quotas(label_per_day=1)), message(86_000, "nut"), LeftOut.LABEL_PER_DAY),
        (front(near_duplicate_bits=3), message(90_000, attachment=jpeg(0)), LeftOut.NEAR_DUPLICATE),
        (front(enabled=False), message(9), LeftOut.SWITCHED_OFF),
        (wanted(CloudSyncCamera(id="front", enabled=False)), message(9), LeftOut.SWITCHED_OFF),
        (wanted(CloudSyncCamera(id="back")), message(9), LeftOut.UNKNOWN_CAMERA),
    ],
)
def test_what_is_left_out_is_acknowledged_and_counted(
    folder: Path, configuration: CloudSyncConfiguration, second: Sample, why: LeftOut
) -> None:
    with running(folder, wanted()) as world:
        world.send(message(0, "nut"))
        world.done()
        world.collector.configure(configuration)
        world.send(second)
        world.done()
        assert world.kept() == [0]
        left_out = {
            reason: world.count(f"left_out_{reason.value.replace('-', '_')}") for reason in LeftOut
        }
        assert left_out == {reason: int(reason is why) for reason in LeftOut}


def test_what_was_kept_before_a_start_is_remembered(folder: Path) -> None:
    with running(folder, wanted()) as world:
        world.send(message(0, "nut"), message(100, "nut"))
        world.done()
    # A day that is full, and a picture that looks like one of the last run.
    with running(folder, front(quotas=Quotas(per_day=2, per_minute=0))) as world:
        world.send(message(1000))
        world.done()
        assert world.count("left_out_per_day") == 1
    with running(folder, wanted()) as world:
        world.send(message(90_000, attachment=jpeg(100)), message(90_001))
        world.done()
        assert world.count("left_out_near_duplicate") == 1
        assert world.kept() == [0, 100, 90_001]


def test_what_was_removed_still_counts_for_the_quota(folder: Path) -> None:
    limits = SampleLimits(keep_pictures=1, keep_days=36_500)
    with running(folder, wanted(limits=limits)) as world:
        world.send(message(0), message(100))
        world.done()
        world.collector.configure(wanted(limits=limits))
        wait_for(lambda: world.count("removed") == 1)
        assert world.count("dropped") == 1
    with running(folder, front(quotas=Quotas(per_day=2, per_minute=0))) as world:
        world.send(message(1000))
        world.done()
        assert world.count("left_out_per_day") == 1


# -- what comes twice, and what is broken ---------------------------------------------------------


def test_what_is_delivered_again_is_stored_once(folder: Path) -> None:
    with running(folder, front(min_gap_s=5)) as world:
        world.send(message(1))
        world.done()
        world.send(message(1))
        world.done()
        assert world.count("duplicates") == 1
        assert world.count("left_out_too_soon") == 0
    with running(folder, front(min_gap_s=5)) as world:
        world.send(message(1))
        world.done()
        assert world.count("duplicates") == 1
        assert world.kept() == [1]


def test_what_is_delivered_again_while_it_waits_is_acknowledged_as_the_broker_knows_it(
    folder: Path,
) -> None:
    with blocked(folder) as unblock, running(folder, wanted()) as world:
        (first,) = world.send(message(1))
        trouble(world)
        (second,) = world.send(message(1))
        copy = Delivered(message(1), owed=False)
        world.collector.offer(copy)
        assert world.count("held") == 1
        assert first.acknowledged  # the broker waits for the newer one
        assert not second.acknowledged
        unblock()
        world.done()
        assert not copy.acknowledged
        assert world.kept() == [1]
        assert world.count("stored") == 1


@pytest.mark.parametrize(
    "broken",
    [
        message(1, attachment=jpeg(1)[:-20]),
        message(1, attachment=b""),
        message(1, width=63),
        message(1, width=10**9, height=10**9),
        message(1, captured_at_us=-5),
        message(1, captured_at_us=START_US).model_copy(update={"sequence": 2**63}),
    ],
)
def test_a_broken_picture_is_refused_and_the_next_is_kept(
    folder: Path, broken: Sample, caplog: pytest.LogCaptureFixture
) -> None:
    with running(folder, wanted()) as world:
        world.send(broken, message(2))
        world.done()
        assert world.count("refused") == 1
        assert world.kept() == [2]
    assert f"refused picture {broken.sequence} of camera front: " in caplog.text


def test_many_broken_pictures_are_one_line_of_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(folder, wanted()) as world:
        world.send(*(message(n, attachment=b"") for n in range(30)))
        world.done()
        assert world.count("refused") == 30
    assert caplog.text.count("refused picture") == 1


def test_only_pictures_are_taken(folder: Path) -> None:
    with running(folder, wanted()) as world, pytest.raises(TypeError, match="Message is no"):
        world.collector.offer(Delivered(Message()))


# -- a store that does not do ---------------------------------------------------------------------


def test_pictures_are_held_while_the_store_takes_none(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with blocked(folder) as unblock, running(folder, wanted()) as world:
        deliveries = world.send(*(message(n) for n in range(5)))
        assert str(folder) in trouble(world).reason
        wait_for(lambda: world.count("failures") > 3)
        assert not any(delivery.acknowledged for delivery in deliveries)
        assert world.count("held") == 5
        unblock()
        world.done()
        wait_for(lambda: world.collector.problems == ())
        assert world.kept() == [0, 1, 2, 3, 4]
    assert caplog.text.count("no picture is stored") == 1
    assert "pictures are stored again" in caplog.text


def test_when_too_many_are_held_those_that_are_worth_least_are_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "MOST_HELD", 4)
    monkeypatch.setattr(collector_module, "WAIT_FOR_ROOM_S", 1e6)  # not waited for: it is no use
    with blocked(folder) as unblock, running(folder, wanted()) as world:
        (first,) = world.send(message(0, value=0.0))
        trouble(world)
        values = [0.5, 0.2, 0.9, 0.2, 0.1, 0.7]
        deliveries = world.send(*(message(n, value=v) for n, v in enumerate(values, 1)))
        assert world.count("held") == 4
        assert world.count("left_out_no_room") == 3
        left_out = [delivery.acknowledged for delivery in deliveries]
        # The first is in hand, whatever it is worth; of two that are worth the same the older goes.
        assert left_out == [False, True, False, True, True, False]
        assert not first.acknowledged
        unblock()
        world.done()
        assert world.kept() == [0, 1, 3, 6]


def test_large_pictures_are_bounded_by_their_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "MOST_HELD_BYTES", 2 * len(jpeg(0)) + 100)
    with running(folder) as world:
        (large,) = world.send(message(9, value=0.1, attachment=bytes(10_000)))
        assert world.count("held") == 1  # one of any size
        same_size = [message(n, attachment=jpeg(0)) for n in range(3)]
        world.send(*same_size)
        assert large.acknowledged
        assert world.count("held") == 2
        world.send(same_size[2])  # waits already
        assert world.count("left_out_no_room") == 2


def test_while_the_store_works_who_offers_waits_for_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "MOST_HELD", 2)
    monkeypatch.setattr(collector_module, "WAIT_FOR_ROOM_S", 60)
    with running(folder, wanted()) as world:
        world.send(*(message(n) for n in range(40)))
        world.done()
        assert world.count("left_out_no_room") == 0
        assert world.kept() == list(range(40))


def test_who_offers_does_not_wait_for_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "MOST_HELD", 2)
    monkeypatch.setattr(collector_module, "WAIT_FOR_ROOM_S", 0.01)
    look = threading.Event()
    monkeypatch.setattr(JpegHasher, "hash_of", lambda *_: int(look.wait(30)))
    with running(folder, wanted()) as world:
        world.send(*(message(n) for n in range(5)))
        assert world.count("left_out_no_room") == 3
        look.set()
        world.done()


def test_who_is_switched_off_waits_for_no_store(folder: Path) -> None:
    with blocked(folder), running(folder, wanted()) as world:
        world.send(message(1))
        trouble(world)
        world.collector.configure(front(enabled=False))
        world.done()
        assert world.count("left_out_switched_off") == 1
        # Nothing was stored, so nothing is known to be well.
        assert world.collector.problems != ()


def test_a_full_disk_is_emptied_before_anything_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(folder, wanted()) as world:
        world.send(*(message(n) for n in range(6)))
        world.done()
        store = world.store
        add = store.add
        room = threading.Event()

        def add_with_room(sample: Any) -> Any:
            if not room.is_set() and store.usage().pictures > 3:
                raise StorageUnavailable("the disk is full; make room there")
            return add(sample)

        # A disk that is full for pictures and not for the database would need a quota of both.
        monkeypatch.setattr(store, "add", add_with_room)
        world.send(message(7))
        assert trouble(world).reason == "the disk is full; make room there"
        world.collector.configure(wanted(limits=SampleLimits(keep_pictures=3, keep_days=36_500)))
        world.done()
        wait_for(lambda: world.collector.problems == ())
        assert len(world.kept()) == 4


def test_a_fault_of_the_program_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    died = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: died.set())

    def broken(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(JpegHasher, "hash_of", broken)
    with running(folder, wanted()) as world:
        (delivery,) = world.send(message(1))
        wait_for(died.is_set)
        assert "a fault of this program" in trouble(world).reason
        assert not delivery.acknowledged
    assert "the collector stopped" in caplog.text


# -- the configuration changes ------------------------------------------------------------------


def test_the_configuration_can_change_at_any_moment(folder: Path) -> None:
    rng = random.Random(3)  # noqa: S311 - an order
    configurations = [
        wanted(),
        front(enabled=False),
        front(min_gap_s=3),
        wanted(CloudSyncCamera(id="back", collect=KEEP_ALL)),
    ]
    with running(folder, wanted()) as world:
        for number in range(60):
            world.collector.configure(rng.choice(configurations))
            world.send(message(number, camera=rng.choice(["front", "back"])))
        world.done()
        counters = world.collector.counters
        left_out = sum(v for name, v in counters.items() if name.startswith("samples_left_out"))
        assert counters["samples_stored"] + left_out == 60
        assert counters["samples_stored"] == len(world.kept()) > 0


def test_a_camera_that_was_switched_off_for_a_while_is_remembered(folder: Path) -> None:
    limited = front(quotas=Quotas(per_day=1, per_minute=0))
    with running(folder, limited) as world:
        world.send(message(0))
        world.done()
        for configuration in (front(enabled=False), limited):
            world.collector.configure(configuration)
            world.send(message(100))
            world.done()
        assert world.count("left_out_per_day") == 1


# -- retention ------------------------------------------------------------------------------------


def test_lower_limits_are_kept_at_once_slice_by_slice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_samples, "SLICE", 3)
    with running(folder, wanted()) as world:
        world.send(*(message(n, value=n / 20) for n in range(20)))
        world.done()
        world.collector.configure(wanted(limits=SampleLimits(keep_pictures=5, keep_days=36_500)))
        wait_for(lambda: world.count("removed") == 15)
        wait_for(lambda: world.count("pictures") == 5)
        assert world.kept() == [15, 16, 17, 18, 19]
        assert world.count("dropped") == 15
        assert world.count("bytes") == sum(len(jpeg(n)) for n in range(15, 20))


def test_it_prunes_now_and_then(folder: Path) -> None:
    limits = SampleLimits(keep_pictures=2, keep_days=36_500)
    with running(folder, wanted(limits=limits)) as world:
        for number in range(6):
            world.hands.pass_by(collector_module.PRUNE_EVERY_S)
            world.send(message(number))
            world.done()
        assert world.count("removed") >= 3


def test_nothing_goes_for_its_age_by_a_clock_that_was_just_set(folder: Path) -> None:
    limits = SampleLimits(keep_days=1)
    hands = Hands()

    def minutes(world: World, count: int) -> None:
        for _ in range(count):
            hands.pass_by(60)
            rounds = world.count("left_out_switched_off")
            world.send(message(rounds, camera="off"))  # wakes it: a fake clock does not
            world.done()
            wait_for(lambda: world.collector._prune_at > hands.monotonic_s, what="a look")

    off = CloudSyncCamera(id="off")
    on = CloudSyncCamera(id="front", collect=KEEP_ALL)
    with running(folder, wanted(on, off, limits=limits), hands) as world:
        world.send(message(0))
        world.done()
        hands.wall_us += int(12 * 365 * DAY_S) * SECOND_US  # a clock that is wrong at the start
        minutes(world, 50)
        hands.wall_us -= int(12 * 365 * DAY_S) * SECOND_US  # put right
        minutes(world, int(TRUST_AFTER_S / 60) + 5)
        assert world.kept() == [0]
        hands.pass_by(2 * DAY_S)
        minutes(world, 1)
        assert world.count("removed") == 1
        assert world.kept() == []


# -- the end --------------------------------------------------------------------------------------


def test_what_waits_is_stored_at_the_end(folder: Path) -> None:
    with running(folder, wanted()) as world:
        deliveries = world.send(*(message(n) for n in range(30)))
    assert all(delivery.acknowledged for delivery in deliveries)
    with SqlSamples(folder) as store:
        assert store.usage().pictures == 30


def test_what_cannot_be_stored_at_the_end_is_not_acknowledged(folder: Path) -> None:
    with blocked(folder), running(folder, wanted()) as world:
        deliveries = world.send(message(1), message(2))
        trouble(world)
    assert not any(delivery.acknowledged for delivery in deliveries)


def test_without_a_configuration_the_end_decides_nothing(folder: Path) -> None:
    with running(folder) as world:
        deliveries = world.send(message(1))
    assert not deliveries[0].acknowledged


def test_the_end_does_not_take_forever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "GOODBYE_S", 0.2)
    slow = threading.Event()

    def look(*_: object) -> int:
        slow.wait(0.05)
        return random.getrandbits(64)

    monkeypatch.setattr(JpegHasher, "hash_of", look)
    with running(folder, wanted()) as world:
        deliveries = world.send(*(message(n) for n in range(60)))
    acknowledged = [delivery.acknowledged for delivery in deliveries]
    assert acknowledged == sorted(acknowledged, reverse=True)
    assert not acknowledged[-1]
    with SqlSamples(folder) as store:
        assert store.usage().pictures == sum(acknowledged)
