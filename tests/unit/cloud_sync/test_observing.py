"""What processes say of themselves, made into what is seen of a model."""

import pytest

from nxai_cloud_sync.core.deploying import Seen
from nxai_cloud_sync.core.observing import RATE_S, Observations
from nxai_common.contracts.status import ModelStatus, ServiceState
from support.cloud_sync import camera, capturing, fails, model, worker

pytestmark = pytest.mark.unit

OLD, NEW = "a" * 64, "b" * 64
OFFLINE, STOPPED = ServiceState.OFFLINE, ServiceState.STOPPED


def errors(observed: Observations) -> int:
    return observed.seen("nuts").errors


# -- versions -------------------------------------------------------------------------------------


def test_without_any_process_nothing_is_seen() -> None:
    observed = Observations()
    assert observed.seen("nuts", ("front",)) == Seen()
    assert (observed.digest_of("nuts"), observed.knows("nuts")) == ("", False)
    assert (observed.inference_runs, observed.rate_of("nuts")) == (False, None)


def test_the_version_in_force_is_that_of_all_workers() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD), model("bolts", NEW)), 0)
    assert observed.seen("nuts").runs(OLD)
    assert observed.digest_of("nuts") == OLD
    observed.see(worker(model("nuts", NEW), name="inference-2"), 0)
    assert observed.seen("nuts").digests == {OLD, NEW}
    assert observed.digest_of("nuts") == ""
    observed.see(worker(model("nuts", NEW)), 0)
    assert observed.seen("nuts").runs(NEW)


def test_a_worker_that_is_still_loading_runs_nothing() -> None:
    observed = Observations()
    observed.see(worker(model("nuts")), 0)
    assert observed.seen("nuts").digests == {""}
    assert observed.knows("nuts")
    assert not observed.knows("bolts")


@pytest.mark.parametrize("state", [OFFLINE, STOPPED])
def test_a_worker_that_is_gone_says_nothing_any_more(state: ServiceState) -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD), name="inference-2"), 0)
    observed.see(worker(model("nuts", NEW)), 0)
    observed.see(worker(name="inference-2", state=state), 0)
    assert observed.seen("nuts").runs(NEW)
    observed.see(worker(state=state), 0)
    assert observed.seen("nuts") == Seen()
    assert not observed.inference_runs


def test_a_worker_whose_connection_broke_is_back_with_its_next_word() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD)), 0)
    observed.see(worker(state=OFFLINE), 0)
    observed.see(worker(model("nuts", OLD)), 0)
    assert observed.seen("nuts").runs(OLD)
    assert observed.inference_runs
    assert observed.take_crashes() == 0


def test_the_last_word_of_a_process_that_nobody_knew_is_no_news() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD), state=OFFLINE), 0)
    assert observed.seen("nuts") == Seen()
    observed.see(worker(model("nuts", OLD), lives=2), 0)
    assert observed.take_crashes() == 0


def test_other_services_are_left_alone() -> None:
    observed = Observations()
    for at, count in ((0, 0), (RATE_S, 300)):
        status = worker(model("nuts", OLD), cameras=(camera("front", count),))
        observed.see(status.model_copy(update={"role": "publisher"}), at)
    assert observed.seen("nuts", ("front",)) == Seen()


def test_failures_are_told_by_version_of_all_workers() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD)), 0)
    observed.see(worker(fails("nuts", NEW, "no memory", instead=OLD), name="inference-2"), 0)
    seen = observed.seen("nuts")
    assert seen.failures == ((NEW, "no memory"),)
    assert (seen.failed_at(NEW), seen.failed_at(OLD)) == ("no memory", "")


def test_a_worker_of_an_older_version_fails_at_what_is_wanted() -> None:
    """It knows neither `wanted` nor `failed` nor `path`."""
    observed = Observations()
    observed.see(worker(ModelStatus(model="nuts", state="failed", reason="no such file")), 0)
    assert observed.seen("nuts").failed_at(NEW) == "no such file"
    observed.see(worker(ModelStatus(model="nuts", state="ready", reason="slow", digest=OLD)), 0)
    seen = observed.seen("nuts")
    assert (seen.failures, seen.runs(OLD)) == ((), True)


# -- errors ---------------------------------------------------------------------------------------


def test_errors_are_told_once() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD, errors=3)), 0)
    assert errors(observed) == 0  # nobody knows when they happened
    observed.see(worker(model("nuts", OLD, errors=5)), 1)
    observed.see(worker(model("nuts", OLD, errors=6)), 2)
    assert errors(observed) == 3
    assert errors(observed) == 0


def test_a_status_that_comes_twice_counts_once() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD)), 0)
    for _ in range(3):
        observed.see(worker(model("nuts", OLD, errors=2)), 1)
    assert errors(observed) == 2


def test_errors_of_all_workers_add_up() -> None:
    observed = Observations()
    for number in (0, 1, 2):
        observed.see(worker(model("nuts", OLD, errors=number)), 0)
        observed.see(worker(model("nuts", OLD, errors=10 * number), name="inference-2"), 0)
    assert errors(observed) == 22


def test_a_worker_that_comes_back_brings_its_old_errors_and_they_are_old() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD, errors=1)), 0)
    observed.see(worker(model("nuts", OLD, errors=500), name="inference-2"), 0)
    observed.see(worker(name="inference-2", state=OFFLINE), 1)
    observed.see(worker(model("nuts", OLD, errors=1)), 1)
    observed.see(worker(model("nuts", OLD, errors=500), name="inference-2"), 2)
    assert errors(observed) == 0


def test_a_worker_that_was_started_again_counts_from_zero() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD, errors=2)), 0)
    observed.see(worker(lives=2), 1)
    observed.see(worker(model("nuts", OLD, errors=3), lives=2), 2)
    assert errors(observed) == 3


def test_a_model_that_is_new_to_a_known_worker_counts_from_zero() -> None:
    observed = Observations()
    observed.see(worker(), 0)
    observed.see(worker(model("nuts", OLD, errors=4)), 1)
    assert errors(observed) == 4
    observed.see(worker(model("nuts", OLD, errors=1)), 2)  # taken away and given again
    assert errors(observed) == 1


# -- ends without a goodbye -----------------------------------------------------------------------


def test_a_worker_that_starts_again_without_a_goodbye_has_crashed() -> None:
    observed = Observations()
    observed.see(worker(), 0)
    observed.see(worker(state=OFFLINE), 1)
    assert observed.take_crashes() == 0  # it may only be the network
    observed.see(worker(lives=2), 2)
    observed.see(worker(lives=3), 3)  # its will did not come
    assert observed.take_crashes() == 2
    assert observed.take_crashes() == 0


def test_a_worker_that_was_stopped_has_not_crashed() -> None:
    observed = Observations()
    observed.see(worker(), 0)
    observed.see(worker(state=STOPPED), 1)
    observed.see(worker(lives=2), 2)
    assert observed.take_crashes() == 0
    observed.see(worker(lives=3), 3)
    assert observed.take_crashes() == 1


def test_the_end_of_capture_is_not_that_of_inference() -> None:
    observed = Observations()
    observed.see(capturing(), 0)
    observed.see(capturing(lives=2), 1)
    assert observed.take_crashes() == 0


def test_what_was_seen_of_crashes_is_passed_on() -> None:
    assert Observations().seen("nuts", (), 2).crashes == 2


# -- frames a second ------------------------------------------------------------------------------


def test_frames_a_second_are_measured_over_a_while_and_told_once() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD, processed=1000)), 0)
    observed.see(worker(model("nuts", OLD, processed=1100)), RATE_S - 0.1)
    assert observed.seen("nuts").rate is None
    observed.see(worker(model("nuts", OLD, processed=1200)), RATE_S)
    assert observed.seen("nuts").rate == 20
    assert observed.seen("nuts").rate is None
    assert observed.rate_of("nuts") == 20
    observed.see(worker(model("nuts", OLD, processed=1300)), 3 * RATE_S)
    assert observed.seen("nuts").rate == 5


def test_frames_a_second_are_those_of_each_worker() -> None:
    observed = Observations()
    for at, first, second in ((0, 0, 1_000_000), (RATE_S, 100, 1_000_300)):
        observed.see(worker(model("nuts", OLD, processed=first)), at)
        observed.see(worker(model("nuts", OLD, processed=second), name="inference-2"), at)
    assert observed.seen("nuts").rate == 20


def test_one_hiccup_of_two_workers_is_told_once() -> None:
    observed = Observations()
    for at in (0, RATE_S):
        observed.see(worker(model("nuts", OLD, processed=100)), at)
        observed.see(worker(model("nuts", OLD, processed=100), name="inference-2"), at + 1)
        assert observed.seen("nuts").rate == (None if at == 0 else 0)
    observed.see(worker(model("nuts", OLD, processed=300)), 2 * RATE_S)
    assert observed.seen("nuts").rate is None  # until the other was measured again, too


@pytest.mark.parametrize("lives", [1, 2])
def test_a_worker_that_was_away_is_measured_anew(lives: int) -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD, processed=0)), 0)
    observed.see(worker(model("nuts", OLD, processed=100)), RATE_S)
    observed.see(worker(state=OFFLINE), RATE_S)
    observed.see(worker(model("nuts", OLD, processed=50), lives=lives), 100 * RATE_S)
    assert observed.seen("nuts").rate is None
    observed.see(worker(model("nuts", OLD, processed=150), lives=lives), 101 * RATE_S)
    assert observed.seen("nuts").rate == 10


def test_a_counter_that_went_back_is_measured_anew() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD, processed=1000)), 0)
    observed.see(worker(model("nuts", OLD, processed=2000)), RATE_S)
    observed.see(worker(model("nuts", OLD, processed=10)), RATE_S + 1)
    assert observed.seen("nuts").rate is None
    observed.see(worker(model("nuts", OLD, processed=110)), 2 * RATE_S + 1)
    assert observed.seen("nuts").rate == 10


def test_a_model_that_was_taken_away_is_measured_anew() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD, processed=0)), 0)
    observed.see(worker(), RATE_S / 2)
    observed.see(worker(model("nuts", OLD, processed=500)), RATE_S)
    assert observed.seen("nuts").rate is None


def test_what_is_forgotten_begins_anew() -> None:
    observed = Observations()
    observed.see(worker(model("nuts", OLD)), 0)
    observed.see(worker(model("nuts", OLD, processed=100, errors=2)), RATE_S)
    observed.seen("nuts")
    observed.see(worker(model("nuts", OLD, processed=100, errors=4)), RATE_S)
    observed.forget("nuts")
    observed.forget("bolts")
    assert observed.rate_of("nuts") is None
    assert observed.seen("nuts").errors == 0


# -- what cameras give ----------------------------------------------------------------------------


def given(observed: Observations, *cameras: str) -> float:
    return observed.seen("nuts", cameras).camera_rate


def test_cameras_give_what_is_not_left_out_on_purpose() -> None:
    observed = Observations()
    observed.see(capturing(camera("front"), camera("back"), camera("side")), 0)
    assert given(observed, "front") == 0  # not measured yet: nothing is held against anybody
    observed.see(
        capturing(
            camera("front", 300, sent=100, dropped=100, skipped=100),
            camera("back", 100),
            camera("side", 1000),
        ),
        RATE_S,
    )
    assert given(observed, "front", "back") == 30
    assert given(observed, "front") == 20
    assert given(observed, "nowhere") == 0


def test_workers_share_what_cameras_give() -> None:
    observed = Observations()
    observed.see(capturing(camera("front")), 0)
    observed.see(capturing(camera("front", 300)), RATE_S)
    for name in ("inference", "inference-2"):
        observed.see(worker(model("nuts", OLD), name=name), 0)
    assert given(observed, "front") == 15


@pytest.mark.parametrize("gone", [OFFLINE, STOPPED])
def test_capture_that_is_gone_gives_nothing(gone: ServiceState) -> None:
    observed = Observations()
    observed.see(capturing(camera("front")), 0)
    observed.see(capturing(camera("front", 300)), RATE_S)
    observed.see(capturing(state=gone), RATE_S)
    assert given(observed, "front") == 0


def test_a_camera_that_was_removed_gives_nothing() -> None:
    observed = Observations()
    observed.see(capturing(camera("front")), 0)
    observed.see(capturing(camera("front", 300)), RATE_S)
    observed.see(capturing(), RATE_S)
    assert given(observed, "front") == 0
