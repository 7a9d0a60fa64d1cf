"""What becomes of a deployed model."""

from dataclasses import replace
from typing import Any

import pytest

from nxai_cloud_sync.core.deploying import (
    REFUSED_KEPT,
    SETTLE_S,
    Deployed,
    Probation,
    Seen,
    Trial,
    candidate_name,
    deploy,
    end_trial,
    go_on_trial,
    promote,
    roll_back,
    watch,
)
from nxai_common.contracts.collecting import RollbackOptions, ShadowOptions
from nxai_common.contracts.deployments import Phase, ShadowReport
from nxai_common.contracts.topics import check_level

pytestmark = pytest.mark.unit

OLD, NEW, THIRD = "a" * 64, "b" * 64, "c" * 64
NOW = 1_000_000
NOTHING = Seen()
RULES = RollbackOptions(minutes=1, errors=5, min_share_of_frames=0.5)
OPTIONS = ShadowOptions(frames=100, minutes=10)
REPORT = ShadowReport(frames=100, agreeing=90)


def running(**rest: Any) -> Deployed:
    about: dict[str, Any] = {"phase": Phase.RUNNING, **rest}
    return Deployed(model="nuts", name="Nuts", cameras=("front",), digest=OLD, since_us=1, **about)


def runs(digest: str, **rest: Any) -> Seen:
    return Seen(wanted=f"catalogue:{digest}", path=f"catalogue:{digest}", **rest)


def cannot_load(digest: str, reason: str = "damaged", instead: str = "") -> Seen:
    path = f"catalogue:{instead}" if instead else ""
    return Seen(wanted=f"catalogue:{digest}", failed=reason, path=path)


def look(record: Deployed, seen: Seen, candidate: Seen = NOTHING, passed_s: float = 1) -> Deployed:
    return watch(record, seen, candidate, passed_s=passed_s, now_us=NOW, rollback=RULES)


def on_probation(**rest: Any) -> Deployed:
    return running(
        phase=Phase.PROBATION,
        previous=THIRD,
        probation=Probation(elapsed_s=SETTLE_S, errors_before=0, rate_before=30, **rest),
    )


# -- taking over ----------------------------------------------------------------------------------


def test_another_version_is_tried_first() -> None:
    record = deploy(running(), NEW, at_once=False, by_rule=True, now_us=NOW, rate=15)
    assert (record.digest, record.shadow, record.phase) == (OLD, NEW, Phase.RUNNING)
    assert record.trial == Trial(NEW, by_rule=True, rate_before=15)


def test_another_version_goes_in_force_at_once_when_told_to() -> None:
    record = deploy(running(), NEW, at_once=True, by_rule=False, now_us=NOW, rate=15)
    assert (record.digest, record.previous, record.shadow) == (NEW, OLD, None)
    assert (record.phase, record.since_us) == (Phase.STARTING, NOW)
    assert record.probation == Probation(rate_before=15)


def test_nothing_is_tried_beside_a_model_that_does_not_run() -> None:
    broken = running(phase=Phase.FAILED, previous=THIRD)
    record = deploy(broken, NEW, at_once=False, by_rule=False, now_us=NOW)
    assert (record.digest, record.shadow) == (NEW, None)
    assert record.previous == THIRD  # the last good one, not the broken one


def test_the_version_in_force_deployed_again_ends_a_trial() -> None:
    record = deploy(running(), NEW, at_once=False, by_rule=False, now_us=NOW)
    assert deploy(record, OLD, at_once=False, by_rule=False, now_us=NOW) == running()


def test_promoting_puts_the_tried_version_in_force_and_keeps_the_way_back() -> None:
    tried = deploy(running(), NEW, at_once=False, by_rule=False, now_us=1, rate=15)
    record = promote(tried, NOW, rate=12)
    assert (record.digest, record.previous, record.phase) == (NEW, OLD, Phase.STARTING)
    assert record.shadow is None
    assert record.trial is not None
    assert record.trial.over
    # The rate before the trial counts: during it two models shared the box.
    assert record.probation == Probation(rate_before=15)


def test_promoting_takes_the_rate_of_now_when_none_was_known_before() -> None:
    tried = deploy(running(), NEW, at_once=False, by_rule=False, now_us=1)
    assert promote(tried, NOW, rate=12).probation == Probation(rate_before=12)


def test_promoting_without_a_trial_changes_nothing() -> None:
    assert promote(running(), NOW) == running()


def test_ending_a_trial_leaves_the_model_in_force() -> None:
    tried = deploy(running(), NEW, at_once=False, by_rule=False, now_us=1)
    record = end_trial(tried, "by hand")
    assert (record.digest, record.trial, record.reason) == (OLD, None, "by hand")
    assert record.refused == ()
    assert end_trial(tried, "bad", refuse=True).refused == (NEW,)
    assert end_trial(running(), "by hand") == running()


def test_rolling_back() -> None:
    promoted = deploy(running(), NEW, at_once=True, by_rule=False, now_us=1)
    record = roll_back(promoted, "too slow", NOW)
    assert (record.digest, record.previous, record.phase) == (OLD, None, Phase.STARTING)
    assert (record.reason, record.refused, record.probation) == ("too slow", (NEW,), None)
    assert record.since_us == NOW


def test_without_a_version_before_only_the_reason_is_kept() -> None:
    assert roll_back(running(), "too slow", NOW) == running(reason="too slow")


def test_refused_versions_are_kept_once_and_not_for_ever() -> None:
    many = tuple(f"{number:064x}" for number in range(REFUSED_KEPT))
    record = running(refused=many, previous=THIRD)
    refused = roll_back(record, "", NOW).refused
    assert len(refused) == REFUSED_KEPT
    assert refused[-1] == OLD
    again = roll_back(running(refused=(OLD, NEW), previous=THIRD), "", NOW)
    assert again.refused == (NEW, OLD)


def test_a_candidate_has_a_level_of_its_own() -> None:
    assert candidate_name("nuts", NEW) == "nuts-try-bbbbbbbb"
    check_level(candidate_name("n" * 64, NEW), "model")


# -- watching -------------------------------------------------------------------------------------


def test_a_model_runs_once_inference_says_so() -> None:
    starting = running(phase=Phase.STARTING)
    assert look(starting, Seen()) == starting
    assert look(starting, runs(NEW)) == starting
    assert look(starting, runs(OLD)) == running()


def test_a_promoted_model_is_on_probation_once_it_runs() -> None:
    promoted = deploy(running(), NEW, at_once=True, by_rule=False, now_us=1)
    record = look(promoted, runs(OLD))
    assert record.phase is Phase.STARTING
    assert look(record, runs(NEW)).phase is Phase.PROBATION


def test_a_promoted_model_that_cannot_be_loaded_is_rolled_back() -> None:
    promoted = deploy(running(), NEW, at_once=True, by_rule=False, now_us=1)
    record = look(promoted, cannot_load(NEW, instead=OLD))
    assert (record.digest, record.refused) == (OLD, (NEW,))
    assert record.reason == "rolled back: it cannot be loaded: damaged"


def test_the_failure_of_another_version_is_not_held_against_it() -> None:
    promoted = deploy(running(), NEW, at_once=True, by_rule=False, now_us=1)
    assert look(promoted, cannot_load(OLD)) == promoted


def test_a_model_without_a_way_back_fails_and_may_recover() -> None:
    starting = running(phase=Phase.STARTING)
    failed = look(starting, cannot_load(OLD))
    assert (failed.phase, failed.reason) == (Phase.FAILED, "damaged")
    assert look(failed, cannot_load(OLD)) == failed
    assert look(failed, runs(OLD)) == running()


def test_a_model_that_still_runs_in_memory_does_not_fail() -> None:
    seen = cannot_load(OLD, instead=OLD)
    assert look(running(), seen) == running()


def test_a_candidate_that_cannot_be_loaded_ends_the_trial() -> None:
    tried = deploy(running(), NEW, at_once=False, by_rule=False, now_us=1)
    assert look(tried, runs(OLD), cannot_load(OLD)) == tried
    record = look(tried, runs(OLD), cannot_load(NEW, "2 labels"))
    assert (record.trial, record.refused) == (None, (NEW,))
    assert record.reason == "the new version cannot be loaded: 2 labels"


def test_a_trial_that_is_over_needs_no_candidate() -> None:
    over = running(trial=Trial(NEW, over=True))
    assert look(over, runs(OLD), cannot_load(NEW)) == over


# -- probation ------------------------------------------------------------------------------------


def test_a_probation_ends_well_after_its_time() -> None:
    record = on_probation()
    record = look(record, runs(OLD), passed_s=44)
    assert record.phase is Phase.PROBATION
    record = look(record, runs(OLD), passed_s=1)
    assert (record.phase, record.probation, record.previous) == (Phase.RUNNING, None, THIRD)


def test_too_many_errors_roll_back() -> None:
    record = look(on_probation(), runs(OLD, errors=4))
    assert record.phase is Phase.PROBATION
    record = look(record, runs(OLD, errors=5))
    assert (record.digest, record.reason) == (
        THIRD,
        "rolled back: it could not look at 5 frames",
    )


def test_errors_from_before_the_swap_do_not_count() -> None:
    record = running(phase=Phase.PROBATION, previous=THIRD)  # nothing is known of it yet
    record = look(record, runs(OLD, errors=100))
    assert record.phase is Phase.PROBATION
    record = look(record, runs(OLD, errors=104))
    assert record.phase is Phase.PROBATION
    assert look(record, runs(OLD, errors=105)).digest == THIRD


def test_a_worker_that_was_started_again_counts_from_zero() -> None:
    record = look(on_probation(), runs(OLD, errors=0))
    record = replace(record, probation=Probation(elapsed_s=SETTLE_S, errors_before=100))
    record = look(record, runs(OLD, errors=2))
    assert record.phase is Phase.PROBATION
    assert look(record, runs(OLD, errors=7)).digest == THIRD


def test_a_slow_model_is_rolled_back_after_two_measurements() -> None:
    record = look(on_probation(), runs(OLD, rate=14.0, camera_rate=30.0))
    assert record.phase is Phase.PROBATION
    record = look(record, runs(OLD))  # nothing new was measured: nothing is forgiven
    record = look(record, runs(OLD, rate=14.0, camera_rate=30.0))
    assert record.digest == THIRD
    assert record.reason == (
        "rolled back: too slow for the cameras: it gets through 14.0 frames a second, the version "
        "before got through 30.0"
    )


def test_one_hiccup_is_forgiven() -> None:
    record = look(on_probation(), runs(OLD, rate=1.0, camera_rate=30.0))
    record = look(record, runs(OLD, rate=29.0, camera_rate=30.0))
    record = look(record, runs(OLD, rate=1.0, camera_rate=30.0))
    assert record.phase is Phase.PROBATION


@pytest.mark.parametrize(
    "seen",
    [
        runs(OLD, rate=2.0, camera_rate=3.0),  # the camera gives less
        runs(OLD, rate=0.0, camera_rate=0.0),
        runs(OLD, rate=15.0, camera_rate=30.0),  # half is enough
        runs(OLD, rate=15.0),
    ],
)
def test_what_is_not_the_models_fault_is_not_slow(seen: Seen) -> None:
    record = on_probation()
    for _ in range(5):
        record = look(record, seen)
    assert record.phase is Phase.PROBATION


def test_speed_is_not_judged_before_it_has_settled_nor_without_a_measure() -> None:
    early = replace(on_probation(), probation=Probation(rate_before=30))
    slow = runs(OLD, rate=1.0, camera_rate=30.0)
    record = look(look(early, slow), slow)
    assert record.phase is Phase.PROBATION
    unknown = replace(on_probation(), probation=Probation(elapsed_s=SETTLE_S))
    assert look(look(unknown, slow), slow).phase is Phase.PROBATION


# -- trials ---------------------------------------------------------------------------------------


def try_on(
    record: Deployed,
    report: ShadowReport = REPORT,
    *,
    enough: bool = False,
    passed_s: float = 1,
    objection: str = "",
) -> Deployed:
    return go_on_trial(
        record,
        report,
        enough=enough,
        passed_s=passed_s,
        options=OPTIONS,
        objection=objection,
        now_us=NOW,
    )


def tried(*, by_rule: bool = False) -> Deployed:
    return deploy(running(), NEW, at_once=False, by_rule=by_rule, now_us=1, rate=30)


def test_a_trial_goes_on_until_it_has_seen_enough() -> None:
    record = try_on(tried())
    assert record.trial is not None
    assert (record.trial.report, record.trial.elapsed_s, record.shadow) == (REPORT, 1, NEW)
    record = try_on(record, enough=True)
    assert record.trial is not None
    assert (record.trial.over, record.trial.elapsed_s) == (True, 2)
    assert (record.digest, record.shadow) == (OLD, None)
    assert try_on(record, ShadowReport(), enough=True) == record  # over is over


def test_a_trial_ends_after_its_time_if_it_saw_anything() -> None:
    record = try_on(tried(), ShadowReport(), passed_s=6000)
    assert record.shadow == NEW
    record = try_on(record)
    assert record.shadow is None


def test_by_rule_a_good_version_is_promoted() -> None:
    record = try_on(tried(by_rule=True), enough=True)
    assert (record.digest, record.previous) == (NEW, OLD)
    assert record.probation == Probation(rate_before=30)


def test_by_rule_a_bad_version_is_not_and_the_reason_is_kept() -> None:
    record = try_on(tried(by_rule=True), enough=True, objection="it is slow")
    assert (record.digest, record.shadow, record.refused) == (OLD, None, (NEW,))
    assert record.reason == f"version {NEW[:12]} was not put in force: it is slow"
    assert record.trial is not None
    assert (record.trial.report, record.trial.objection) == (REPORT, "it is slow")
    # A person may think otherwise.
    assert promote(record, NOW).digest == NEW


def test_no_trial_nothing_to_go_on_with() -> None:
    assert try_on(running(), enough=True) == running()
