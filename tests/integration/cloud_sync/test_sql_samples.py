import itertools
import json
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from nxai_cloud_sync.adapters import sql_database, sql_samples
from nxai_cloud_sync.adapters.sql_database import JOBS, METADATA, SAMPLES, Database
from nxai_cloud_sync.adapters.sql_samples import GONE, SqlSamples
from nxai_cloud_sync.core.collecting import HASHES, KeptPicture
from nxai_cloud_sync.core.sample import (
    LabelledBox,
    SampleFilter,
    SampleState,
    StoredSample,
    Usage,
)
from nxai_cloud_sync.core.uploading import FileOutcome
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_common.contracts.collecting import SampleLimits
from support.results import SECOND_US, START_US
from support.samples import files_of, kept, sample, totals_are_true

DAY_US = 86_400 * SECOND_US
NOW_US = START_US + DAY_US
ROOMY = SampleLimits(keep_mb=1_000_000, keep_pictures=1_000_000, keep_days=36_500)
ALL = SampleFilter()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "samples"


@pytest.fixture
def store(folder: Path) -> Iterator[SqlSamples]:
    with SqlSamples(folder, wall_us=lambda: NOW_US) as opened:
        yield opened
        if (folder / "samples.db").exists():
            totals_are_true(folder)


def again(folder: Path) -> SqlSamples:
    return SqlSamples(folder, wall_us=lambda: NOW_US)


def sequences(store: SqlSamples, wanted: SampleFilter = ALL, **options: Any) -> list[int]:
    page = store.page(wanted, 1000, 0, **options)
    assert page.total == len(page.samples)
    return [(one.captured_at_us - START_US) // SECOND_US for one in page.samples]


def with_states(store: SqlSamples, states: Sequence[SampleState]) -> list[StoredSample]:
    """Keep one picture for each state, the first one captured first."""
    found = [kept(store, n, "nut") for n in range(len(states))]
    for one, state in zip(found, states, strict=True):
        bring_to(store, one, state)
    return found


def bring_to(store: SqlSamples, one: StoredSample, state: SampleState) -> None:
    if state in (SampleState.APPROVED, SampleState.DISCARDED):
        assert store.review([one.id], state) == {}
    elif state is not SampleState.NEW:
        assert store.begin_upload([one.id]) == {one.id}
    if state in (SampleState.UPLOADED, SampleState.FAILED):
        accepted = state is SampleState.UPLOADED
        store.end_upload([FileOutcome(one.id, accepted=accepted, reason="no")], START_US)


# -- keeping ----------------------------------------------------------------------------------


def test_a_picture_comes_back_as_it_was(store: SqlSamples, folder: Path) -> None:
    new = sample(7, "nut", "bolt", scores=(("ok", 0.25),), reason="螺母 0.41")
    added = store.add(new)
    assert added is not None
    again = store.get(added.id)
    assert again == added
    assert again == StoredSample(
        id=added.id,
        camera="front",
        captured_at_us=START_US + 7 * SECOND_US,
        stored_at_us=new.stored_at_us,
        width=64,
        height=48,
        bytes=len(new.jpeg),
        model="m5-nut",
        model_version="3",
        model_digest="ab" * 32,
        labels=("nut", "bolt"),
        strategy="uncertain",
        reason="螺母 0.41",
        value=0.5,
        predictions=new.predictions,
        scores=(("ok", 0.25),),
        state=SampleState.NEW,
    )
    assert added.id.startswith("front-20261122t100007000-")
    assert store.picture(added).read_bytes() == new.jpeg
    assert store.picture(added).name == added.file_name
    assert files_of(folder) == {added.id: new.jpeg}
    assert store.get("front-nothing") is None


def test_what_comes_again_is_kept_once(store: SqlSamples, folder: Path) -> None:
    assert not store.holds("front", "run-1", 3, "m5-nut")
    assert store.add(sample(3)) is not None
    assert store.holds("front", "run-1", 3, "m5-nut")
    assert store.add(sample(3, jpeg=b"another")) is None
    others = (
        sample(3, camera="back"),
        sample(3, stream="run-2"),
        sample(4),
        sample(3, model="other"),
    )
    assert all(store.add(other) is not None for other in others)
    assert sorted(files_of(folder).values()) == [b"picture 3"] * 4 + [b"picture 4"]
    assert len(store.kept_lately("front", 100)) == 4


def together(*works: Callable[[], object]) -> None:
    """Run all at once; show the first that fails."""
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


@pytest.fixture
def _never_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads take turns of their own accord: none waits for SQLite to try again."""
    monkeypatch.setattr(sql_database, "BUSY_TIMEOUT_S", 0.0)


@pytest.mark.usefixtures("_never_wait")
def test_many_threads_keep_each_picture_once(store: SqlSamples, folder: Path) -> None:
    added: list[int] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - an order
        numbers = list(range(40))
        rng.shuffle(numbers)
        for number in numbers:
            if store.add(sample(number)) is not None:
                added.append(number)
            store.page(SampleFilter(camera="front"), 5, 0)

    together(*(partial(work, seed) for seed in range(6)))
    assert sorted(added) == list(range(40))
    assert sequences(store) == list(range(39, -1, -1))
    assert sorted(files_of(folder).values()) == sorted(sample(n).jpeg for n in range(40))


@pytest.mark.usefixtures("_never_wait")
def test_all_at_once(store: SqlSamples, folder: Path) -> None:
    keeping = threading.Event()
    left = [3]

    def keep(first: int) -> None:
        for number in range(first, first + 40):
            kept(store, number, "nut")
        left[0] -= 1
        if left[0] == 0:
            keeping.set()

    def until_all_are_kept(work: Callable[[], object]) -> None:
        while not keeping.is_set():
            work()

    def send() -> None:
        found = store.to_upload(["front"], 3, include_new=True)
        begun = store.begin_upload([one.id for one in found])
        store.end_upload([FileOutcome(name, accepted=True) for name in begun], START_US)

    def decide() -> None:
        names = [one.id for one in store.page(ALL, 5, 0).samples]
        store.review(names, SampleState.APPROVED, confirm_predictions=True)

    def remove() -> None:
        store.prune(ROOMY.model_copy(update={"keep_pictures": 20}), None)

    together(
        *(partial(keep, first) for first in (0, 1000, 2000)),
        *(partial(until_all_are_kept, work) for work in (send, decide, remove, store.usage)),
    )
    usage = store.usage()
    assert {one.id for one in store.page(ALL, 1000, 0).samples} == set(files_of(folder))
    assert len(store.kept_lately("front", 1000)) == 120
    assert usage.pictures < 120


def test_who_changes_something_has_the_database_for_itself(store: SqlSamples, folder: Path) -> None:
    with (
        store._opened().database.writing(),
        closing(sqlite3.connect(folder / "samples.db", timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("BEGIN IMMEDIATE")


def test_it_is_all_there_after_a_start(store: SqlSamples, folder: Path) -> None:
    first = kept(store, 1, "nut")
    store.close()
    with again(folder) as other:
        assert other.get(first.id) == first
        assert other.picture(first).read_bytes() == b"picture 1"
        assert other.add(sample(1)) is None


def test_a_store_that_has_ended_is_not_opened_again(folder: Path) -> None:
    with again(folder) as store:
        kept(store, 1)
        store.close()
        assert store.usage().pictures == 1
    with pytest.raises(StorageUnavailable, match="closed"):
        store.usage()


def test_a_restart_in_between_does_not_move_the_pictures(folder: Path) -> None:
    with again(folder) as first:
        one = kept(first, 1)
        path = first.picture(one)
    with again(folder) as second:
        assert second.picture(one) == path


# -- what was kept lately ---------------------------------------------------------------------


def test_what_was_kept_lately_comes_oldest_first(store: SqlSamples) -> None:
    for number, hash_ in enumerate((0, 1, 2**63, 2**64 - 1)):
        store.add(sample(number, "nut", hash=hash_))
    store.add(sample(9, camera="back"))
    assert store.kept_lately("front", 3) == tuple(
        KeptPicture(START_US + number * SECOND_US, ("nut",), hash_)
        for number, hash_ in ((1, 1), (2, 2**63), (3, 2**64 - 1))
    )
    assert store.kept_lately("side", 3) == ()


def test_what_was_removed_counts_all_the_same(store: SqlSamples, folder: Path) -> None:
    for number in range(5):
        store.add(sample(number, "nut"))
    assert store.prune(ROOMY.model_copy(update={"keep_pictures": 1}), NOW_US).pictures == 4
    store.close()
    with again(folder) as other:
        assert [kept.labels for kept in other.kept_lately("front", 10)] == [("nut",)] * 5


def test_what_was_kept_long_ago_is_forgotten_but_for_the_last_of_each_camera(
    store: SqlSamples,
) -> None:
    for camera, count in (("front", HASHES + 10), ("back", 3)):
        for number in range(count):
            store.add(sample(number, camera=camera))
    store.prune(ROOMY, START_US + DAY_US)
    assert len(store.kept_lately("front", 1000)) == HASHES + 10
    store.prune(ROOMY, None)
    assert len(store.kept_lately("front", 1000)) == HASHES + 10
    store.prune(ROOMY, START_US + 3 * DAY_US)
    lately = store.kept_lately("front", 1000)
    assert len(lately) == HASHES
    assert lately[-1].captured_at_us == START_US + (HASHES + 9) * SECOND_US
    assert len(store.kept_lately("back", 1000)) == 3


def test_what_was_kept_in_the_future_is_forgotten_by_count(
    store: SqlSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_samples, "MOST_A_DAY", 20)
    for number in range(30):
        store.add(sample(number, stored_at_us=START_US + 10_000 * DAY_US))
    store.prune(ROOMY, NOW_US)
    assert len(store.kept_lately("front", 1000)) == 20


# -- lists ------------------------------------------------------------------------------------


@pytest.fixture
def listed(store: SqlSamples) -> SqlSamples:
    """Sixty pictures of two cameras, in all states, of different value."""
    states = list(SampleState)
    for number in range(60):
        labels = [("nut",), ("bolt", "nut"), ()][number % 3]
        one = store.add(
            sample(
                number,
                *labels,
                camera=("front", "back")[number % 2],
                strategy=("margin", "band")[number // 2 % 2],
                value=number * 7 % 60 / 60,
            )
        )
        assert one is not None
        bring_to(store, one, states[number % len(states)])
    return store


EVERY_FILTER = list(
    itertools.product(
        (False, True),
        ("", *SampleState),
        ("", "front", "side"),
        ("", "nut", "bolt"),
        ("", "band"),
    )
)


def test_every_filter_finds_what_it_says(listed: SqlSamples) -> None:
    since, until = 10, 55
    for by_value, state, camera, label, strategy in EVERY_FILTER:
        expected = [
            number
            for number in range(since, until)
            if (not state or state == list(SampleState)[number % len(SampleState)])
            and (not camera or camera == ("front", "back")[number % 2])
            and (not label or label in [("nut",), ("bolt", "nut"), ()][number % 3])
            and (not strategy or strategy == ("margin", "band")[number // 2 % 2])
        ]
        expected.reverse()
        if by_value:
            expected.sort(key=lambda n: n * 7 % 60, reverse=True)
        wanted = SampleFilter(
            state,
            camera,
            label,
            strategy,
            since=datetime.fromtimestamp(START_US / 1e6 + since, UTC),
            until=datetime.fromtimestamp(START_US / 1e6 + until, timezone(timedelta(hours=5))),
        )
        assert sequences(listed, wanted, by_value=by_value) == expected, wanted


def test_pages_follow_one_another(listed: SqlSamples) -> None:
    pages = [listed.page(ALL, 7, offset) for offset in range(0, 70, 7)]
    assert {page.total for page in pages} == {60}
    found = [one.id for page in pages for one in page.samples]
    assert found == [one.id for one in listed.page(ALL, 100, 0).samples]
    assert len(found) == 60


def test_pictures_of_one_moment_keep_their_order_over_pages(store: SqlSamples) -> None:
    for number in range(20):
        store.add(sample(number, captured_at_us=START_US))
    for by_value in (False, True):
        found = [store.page(ALL, 1, n, by_value=by_value).samples[0].id for n in range(20)]
        assert len(set(found)) == 20


def test_a_moment_without_an_offset_is_utc(store: SqlSamples) -> None:
    kept(store, 0)
    moment = datetime.fromtimestamp(START_US / 1e6, UTC).replace(tzinfo=None)
    assert sequences(store, SampleFilter(since=moment)) == [0]
    assert sequences(store, SampleFilter(until=moment)) == []


def test_a_label_finds_what_a_person_confirmed_too(store: SqlSamples) -> None:
    one = kept(store, 0, "nut")
    bolt = LabelledBox("bolt", 1, 1, 5, 5)
    store.review([one.id], SampleState.APPROVED, (bolt,))
    assert sequences(store, SampleFilter(label="bolt")) == [0]
    assert sequences(store, SampleFilter(label="nut")) == [0]
    store.review([one.id], SampleState.NEW)
    assert sequences(store, SampleFilter(label="bolt")) == []


@pytest.mark.parametrize("label", ['a"b', "100%", "a_b", "螺母", "a\tb", "null", "1"])
def test_labels_of_any_letters(store: SqlSamples, label: str) -> None:
    kept(store, 0, label)
    kept(store, 1, "other")
    assert sequences(store, SampleFilter(label=label)) == [0]
    assert store.page(ALL, 9, 0).samples[1].predictions[0].label == label


def test_usage_adds_up(listed: SqlSamples) -> None:
    assert listed.usage() == Usage(
        pictures=60,
        bytes=sum(len(b"picture %d" % n) for n in range(60)),
        by_state=dict.fromkeys(SampleState, 10),
        dropped=0,
    )


def test_an_empty_store_is_empty(store: SqlSamples) -> None:
    assert store.usage() == Usage(0, 0, {}, 0)
    assert store.page(ALL, 10, 0).samples == ()
    assert store.to_upload(["front"], 10) == ()
    assert store.uploaded_bytes_since(0) == 0
    assert store.prune(ROOMY, NOW_US).pictures == 0


# -- a person's decision ------------------------------------------------------------------------


def test_a_decision_stays(store: SqlSamples, folder: Path) -> None:
    one, two = kept(store, 1, "nut"), kept(store, 2, "nut")
    assert store.review([one.id, two.id, two.id], SampleState.APPROVED) == {}
    assert store.review([two.id], SampleState.DISCARDED) == {}
    store.close()
    with again(folder) as other:
        assert other.get(one.id) == replace(one, state=SampleState.APPROVED)
        discarded = replace(two, state=SampleState.DISCARDED, state_reason="by a person")
        assert other.get(two.id) == discarded


def test_boxes_stay(store: SqlSamples) -> None:
    one, two = kept(store, 1, "nut"), kept(store, 2, "nut")
    box = LabelledBox("bolt", -5, 40, 10, 20)
    assert store.review([one.id], SampleState.APPROVED, (box,)) == {}
    assert store.review([two.id], SampleState.APPROVED, confirm_predictions=True) == {}
    boxes = [store.get(name).boxes for name in (one.id, two.id)]  # type: ignore[union-attr] # there
    assert boxes == [
        (LabelledBox("bolt", 0, 40, 5, 8),),
        (LabelledBox("nut", 8, 8, 16, 12),),
    ]


def test_what_cannot_be_is_told_and_the_rest_is_done(store: SqlSamples) -> None:
    new, uploading, uploaded, failed = with_states(
        store,
        [SampleState.NEW, SampleState.UPLOADING, SampleState.UPLOADED, SampleState.FAILED],
    )
    lost = kept(store, 9)
    store.picture(lost).unlink()
    names = [one.id for one in (new, uploading, uploaded, failed, lost)]
    assert store.review([*names, "no-such"], SampleState.APPROVED) == {
        uploading.id: "it is being uploaded; try again when that has ended",
        uploaded.id: "it was uploaded; change it at Edge Impulse",
        lost.id: GONE,
        "no-such": "there is no such picture",
    }
    assert sequences(store, SampleFilter(state="approved")) == [3, 0]
    assert store.review([lost.id], SampleState.DISCARDED) == {}


def test_boxes_are_those_of_one_picture(store: SqlSamples) -> None:
    one, two = kept(store, 1), kept(store, 2)
    refused = store.review([one.id, two.id], SampleState.APPROVED, ())
    assert set(refused) == {one.id, two.id}
    assert sequences(store, SampleFilter(state="approved")) == []


def test_a_thousand_decisions_at_once(store: SqlSamples) -> None:
    with store._opened().database.writing() as connection:
        rows = [sql_samples._row_of(sample(number, "nut")) for number in range(1000)]
        connection.execute(sa.insert(SAMPLES), rows)
    names = [row["id"] for row in rows]
    assert store.review(names, SampleState.DISCARDED) == {}
    assert store.usage().by_state == {"discarded": 1000}


# -- uploading ----------------------------------------------------------------------------------


def test_the_most_valuable_go_up_first(listed: SqlSamples) -> None:
    def values(*states: SampleState, cameras: Sequence[str], limit: int = 100) -> list[float]:
        found = listed.to_upload(cameras, limit, include_new=SampleState.NEW in states)
        assert {one.state for one in found} <= set(states)
        assert {one.camera for one in found} <= set(cameras)
        return [one.value for one in found]

    approved = values(SampleState.APPROVED, cameras=["front", "back"])
    assert len(approved) == 10
    assert approved == sorted(approved, reverse=True)
    both = values(SampleState.APPROVED, SampleState.NEW, cameras=["front", "back"])
    assert len(both) == 20
    assert both == sorted(both, reverse=True)
    of_back = values(SampleState.APPROVED, SampleState.NEW, cameras=["back"])
    four = values(SampleState.APPROVED, SampleState.NEW, cameras=["back"], limit=4)
    assert four == of_back[:4]
    assert values(SampleState.APPROVED, cameras=[]) == []
    many = [f"camera-{number}" for number in range(50_000)]
    assert values(SampleState.APPROVED, cameras=[*many, "front", "back"]) == approved


def test_an_upload_runs_its_course(store: SqlSamples) -> None:
    one, two, three = (kept(store, number) for number in range(3))
    store.review([one.id, two.id], SampleState.APPROVED)
    names = [one.id, two.id, three.id]
    assert store.begin_upload([*names, "no-such"]) == set(names)
    assert store.begin_upload(names) == frozenset()
    assert store.usage().by_state == {"uploading": 3}
    store.end_upload(
        [
            FileOutcome(one.id, accepted=True, remote_id=71),
            FileOutcome(two.id, accepted=True, duplicate=True),
            FileOutcome(three.id, accepted=False, reason="too dark"),
            FileOutcome("no-such", accepted=True),
        ],
        START_US + 5,
    )
    done = replace(one, state=SampleState.UPLOADED, attempts=1, uploaded_at_us=START_US + 5)
    assert store.get(one.id) == replace(done, remote_id=71)
    assert store.get(two.id) == replace(
        two, state=SampleState.UPLOADED, attempts=1, uploaded_at_us=START_US + 5, duplicate=True
    )
    assert store.get(three.id) == replace(
        three, state=SampleState.FAILED, state_reason="too dark", attempts=1
    )
    assert store.begin_upload(names) == {three.id}


def test_what_a_person_discarded_is_not_sent(store: SqlSamples) -> None:
    (one,) = with_states(store, [SampleState.DISCARDED])
    assert store.begin_upload([one.id]) == frozenset()
    assert store.usage().by_state == {"discarded": 1}


def test_a_request_that_came_to_nothing_leaves_them_as_they_were(
    store: SqlSamples, folder: Path
) -> None:
    states = [SampleState.NEW, SampleState.APPROVED, SampleState.FAILED, SampleState.UPLOADED]
    found = with_states(store, states)
    assert len(store.begin_upload([one.id for one in found])) == 3
    assert store.release_uploads() == 3
    assert store.release_uploads() == 0
    store.begin_upload([one.id for one in found])
    store.close()  # as after a kill
    with again(folder) as other:
        assert [other.get(one.id).state for one in found] == states  # type: ignore[union-attr] # there


def test_an_answer_that_comes_late_still_says_what_is_up(store: SqlSamples) -> None:
    one, two = kept(store, 0), kept(store, 1)
    store.begin_upload([one.id, two.id])
    store.release_uploads()
    store.end_upload(
        [FileOutcome(one.id, accepted=True), FileOutcome(two.id, accepted=False, reason="no")],
        START_US,
    )
    assert store.usage().by_state == {"uploaded": 1, "new": 1}


def test_the_bytes_of_a_day_count_what_was_removed_and_not_the_future(store: SqlSamples) -> None:
    size = 0
    for number, at_us in enumerate(
        (NOW_US - 2 * DAY_US, NOW_US - 1000, NOW_US, NOW_US + 3 * DAY_US)
    ):
        one = kept(store, number)
        size = one.bytes
        store.begin_upload([one.id])
        store.end_upload([FileOutcome(one.id, accepted=number != 2, reason="no")], at_us)
    store.prune(ROOMY.model_copy(update={"keep_pictures": 1}), None)
    assert store.usage().pictures == 1
    assert store.uploaded_bytes_since(NOW_US - DAY_US) == 2 * size
    assert store.uploaded_bytes_since(NOW_US) == size
    assert store.uploaded_bytes_since(NOW_US - 3 * DAY_US) == 3 * size


def test_what_was_sent_long_ago_is_forgotten(
    store: SqlSamples, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sent() -> int:
        with closing(sqlite3.connect(folder / "samples.db")) as connection:
            return int(connection.execute("SELECT count(*) FROM sent").fetchone()[0])

    for number in range(5):
        one = kept(store, number)
        store.begin_upload([one.id])
        store.end_upload([FileOutcome(one.id, accepted=True)], START_US + number * 4 * DAY_US)
    assert sent() == 3
    monkeypatch.setattr(sql_samples, "MOST_SENT", 2)
    one = kept(store, 9)
    store.begin_upload([one.id])
    store.end_upload([FileOutcome(one.id, accepted=True)], START_US + 17 * DAY_US)
    assert sent() == 2


# -- retention ----------------------------------------------------------------------------------


def test_what_is_worth_least_goes_first(store: SqlSamples, folder: Path) -> None:
    states = [
        SampleState.APPROVED,
        SampleState.NEW,
        SampleState.FAILED,
        SampleState.DISCARDED,
        SampleState.UPLOADED,
        SampleState.UPLOADING,
    ]
    values = (0.5, 0.1, 0.1)  # of the three of each state, the oldest first
    expected: list[tuple[SampleState, int]] = []
    number = 0
    for state in states:
        for value in values:
            one = store.add(sample(number, "nut", value=value))
            assert one is not None
            bring_to(store, one, state)
            number += 1
    order = {SampleState.UPLOADED: (0, 1, 2), SampleState.DISCARDED: (0, 1, 2)}
    for state in (*states[4:2:-1], *states[2::-1]):
        first = states.index(state) * 3
        expected += [(state, first + n) for n in order.get(state, (1, 2, 0))]
    left = set(range(18))
    for state, number in expected:
        limits = ROOMY.model_copy(update={"keep_pictures": len(left) - 1})
        assert store.prune(limits, NOW_US).pictures == 1, (state, number)
        left.discard(number)
        assert set(sequences(store)) == left, (state, number)
    assert store.prune(ROOMY.model_copy(update={"keep_pictures": 1}), NOW_US).pictures == 0
    assert store.usage() == Usage(3, 3 * len(b"picture 15"), {"uploading": 3}, dropped=12)
    assert len(files_of(folder)) == 3


def test_pictures_that_are_too_large_together_go(store: SqlSamples, folder: Path) -> None:
    for number in range(10):
        store.add(sample(number, value=number / 10, jpeg=bytes(400_000)))
    pruned = store.prune(ROOMY.model_copy(update={"keep_mb": 2}), NOW_US)
    assert (pruned.pictures, pruned.more) == (5, False)
    assert sequences(store) == [9, 8, 7, 6, 5]
    assert len(files_of(folder)) == 5


def test_what_is_too_old_goes_whatever_it_is_worth(store: SqlSamples) -> None:
    with_states(store, list(SampleState))
    young = kept(store, 86_400)
    limits = ROOMY.model_copy(update={"keep_days": 2.0})
    assert store.prune(limits, START_US + 2 * DAY_US).pictures == 0
    now_us = START_US + 2 * DAY_US + 10 * SECOND_US
    assert store.prune(limits, None).pictures == 0  # the time is not known
    assert store.prune(limits, now_us).pictures == 5
    assert store.usage().by_state == {"uploading": 1, "new": 1}
    assert store.get(young.id) is not None
    assert store.usage().dropped == 4


def test_a_time_that_cannot_be_is_not_too_old(store: SqlSamples) -> None:
    store.add(sample(0, captured_at_us=60 * SECOND_US))  # 1970: captured without a clock
    store.add(sample(1, captured_at_us=START_US + 10_000 * DAY_US))
    assert store.prune(ROOMY.model_copy(update={"keep_days": 1.0}), NOW_US).pictures == 0
    assert store.prune(ROOMY.model_copy(update={"keep_pictures": 1}), NOW_US).pictures == 1


def test_one_call_removes_a_slice(
    store: SqlSamples, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_samples, "SLICE", 4)
    for number in range(11):
        store.add(sample(number))
    limits = ROOMY.model_copy(update={"keep_pictures": 1})
    slices = [store.prune(limits, NOW_US) for _ in range(4)]
    assert [(one.pictures, one.more) for one in slices] == [
        (4, True),
        (4, True),
        (2, False),
        (0, False),
    ]
    assert sequences(store) == [10]
    assert len(files_of(folder)) == 1


def test_dropped_survives_a_start(store: SqlSamples, folder: Path) -> None:
    for number in range(4):
        store.add(sample(number))
    store.prune(ROOMY.model_copy(update={"keep_pictures": 1}), NOW_US)
    store.close()
    with again(folder) as other:
        assert other.usage().dropped == 3


# -- counts -------------------------------------------------------------------------------------


def test_what_is_held_is_counted_by_camera_and_strategy(store: SqlSamples) -> None:
    nothing = store.counts(0, 0, NOW_US)
    assert (nothing.by_camera, nothing.by_strategy, nothing.today) == ({}, {}, {})
    for number in range(6):
        kept(
            store,
            number,
            camera="front" if number % 3 else "back",
            strategy="random" if number == 1 else "uncertain",
        )
    counts = store.counts(0, 0, NOW_US)
    assert counts.by_camera == {"front": 4, "back": 2}
    assert counts.by_strategy == {"random": 1, "uncertain": 5}
    # The two oldest go: one of each camera, and the only random one.
    store.prune(SampleLimits(keep_mb=1000, keep_pictures=4, keep_days=36_500), NOW_US)
    counts = store.counts(0, 0, NOW_US)
    assert counts.by_camera == {"front": 3, "back": 1}
    assert counts.by_strategy == {"uncertain": 4}
    assert counts.last_day == {"front": 4, "back": 2}, "quotas count what was removed, too"


def test_days_are_counted_from_when_they_began(store: SqlSamples) -> None:
    for number in range(10):
        kept(store, number, stored_at_us=number)
    counts = store.counts(2, 6, 8)
    assert (counts.last_day, counts.today) == ({"front": 7}, {"front": 3})
    longer = store.counts(6, 2, 8)  # the day on which clocks are put back has 25 hours
    assert (longer.last_day, longer.today) == ({"front": 3}, {"front": 7})
    tomorrow = store.counts(2, 8, 8)
    assert (tomorrow.last_day, tomorrow.today) == ({"front": 7}, {"front": 1})
    assert store.counts(20, 20, 30).last_day == {}


def test_counting_reads_no_picture(store: SqlSamples, folder: Path) -> None:
    """With 100,000 of them it takes as long as with none."""
    kept(store, 0)
    statements: list[tuple[str, Any]] = []
    engine = store.database()._engine
    sa.event.listen(
        engine,
        "before_cursor_execute",
        lambda _1, _2, statement, parameters, *_: statements.append((statement, parameters)),
    )
    store.counts(0, 0, NOW_US)
    store.usage()
    asked = [pair for pair in statements if pair[0].startswith("SELECT")]
    assert len(asked) == 4
    with closing(sqlite3.connect(folder / "samples.db")) as raw:
        plans = [
            row[3]
            for statement, parameters in asked
            for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
        ]
    assert any("COVERING INDEX kept_by_time (stored_at_us>" in plan for plan in plans), plans
    assert not any("samples" in plan for plan in plans), plans


# -- the tables ---------------------------------------------------------------------------------


def test_migrations_lead_to_the_tables_of_the_code_and_back(tmp_path: Path) -> None:
    path = tmp_path / "samples.db"
    with closing(Database(path)) as database:
        engine = sa.create_engine(f"sqlite:///{path}")
        inspector = sa.inspect(engine)
        assert set(inspector.get_table_names()) == {*METADATA.tables, "alembic_version"}
        for table in METADATA.sorted_tables:
            columns = {c["name"]: c for c in inspector.get_columns(table.name)}
            assert list(columns) == [c.name for c in table.columns]
            key = inspector.get_pk_constraint(table.name)["constrained_columns"]
            assert key == [c.name for c in table.primary_key.columns]
            nullable = {name for name, column in columns.items() if column["nullable"]}
            expected = {
                SAMPLES: {"boxes", "remote_id", "uploaded_at_us"},
                JOBS: {"ended_at_us"},
            }
            assert nullable == expected.get(table, set())
        database.migrate("base")
        assert sa.inspect(engine).get_table_names() == ["alembic_version"]
        database.migrate("head")
        engine.dispose()


def test_each_commit_is_on_the_disk(store: SqlSamples) -> None:
    with store._opened().database.reading() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous")
        ]
    assert pragmas == ["wal", 2]


def test_lists_are_read_from_an_index_alone(listed: SqlSamples) -> None:
    """What is not would need 100,000 looks into the table for a deep page."""
    plans: list[str] = []

    def explain(_1: object, _2: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.lstrip().startswith("SELECT") and "json_each" not in statement:
            plans.extend(
                row[3]
                for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            )

    database = listed._opened().database
    with closing(sqlite3.connect(database._path)) as raw:
        sa.event.listen(database._engine, "before_cursor_execute", explain)
        moment = datetime.fromtimestamp(START_US / 1e6, UTC)
        for state in ("", "new"):
            for camera in ("", "front"):
                for since in (None, moment):
                    for label in ("", "nut"):
                        for by_value in (False, True):
                            wanted = SampleFilter(state, camera, label, since=since)
                            listed.page(wanted, 10, 5, by_value=by_value)
    assert len(plans) >= 64
    of_samples = [plan for plan in plans if " samples " in plan]
    assert of_samples
    assert all("COVERING INDEX" in plan for plan in of_samples), of_samples


def test_rows_are_json_that_anybody_can_query(store: SqlSamples, folder: Path) -> None:
    kept(store, 0, "nut", "bolt")
    with closing(sqlite3.connect(folder / "samples.db")) as plain:
        labels = plain.execute(
            "SELECT json_extract(p.value, '$[0]') FROM samples, json_each(predictions) AS p"
        ).fetchall()
        (text,) = plain.execute("SELECT labels FROM samples").fetchone()
    assert labels == [("nut",), ("bolt",)]
    assert json.loads(text) == ["nut", "bolt"]
