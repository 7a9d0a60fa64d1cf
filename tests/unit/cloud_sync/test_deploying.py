"""What becomes of a deployed model."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nxai_cloud_sync.core.deploying import (
    MOST_CRASHES,
    PATIENCE_S,
    REFUSED_KEPT,
    SETTLE_S,
    SHORT,
    Deployed,
    Look,
    Probation,
    Seen,
    Trial,
    candidate_name,
    deploy,
    desired,
    end_trial,
    go_on_trial,
    promote,
    recalled,
    roll_back,
    watch,
)
from nxai_common.contracts.collecting import RollbackOptions, ShadowOptions
from nxai_common.contracts.deployments import DeployedModel, Phase, ShadowReport
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
    return Seen(digests=frozenset({digest}), **rest)


def cannot_load(digest: str, reason: str = "damaged", instead: str = "") -> Seen:
    return Seen(digests=frozenset({instead}), failures=((digest, reason),))


def look(
    record: Deployed,
    seen: Seen,
    candidate: Seen = NOTHING,
    passed_s: float = 1,
    *,
    way_back: bool = True,
) -> Deployed:
    return watch(record, seen, candidate, Look(passed_s, NOW, RULES, way_back))


def on_probation(**rest: Any) -> Deployed:
    about: dict[str, Any] = {"previous": THIRD, "phase": Phase.PROBATION, **rest}
    return running(probation=Probation(elapsed_s=SETTLE_S, rate_before=30), **about)


def errors_of(record: Deployed) -> int:
    assert record.probation is not None
    return record.probation.errors


def at_once(record: Deployed, digest: str = NEW, rate: float | None = None) -> Deployed:
    return deploy(record, digest, at_once=True, by_rule=False, now_us=NOW, rate=rate)


def tried(*, by_rule: bool = False) -> Deployed:
    return deploy(running(), NEW, at_once=False, by_rule=by_rule, now_us=1, rate=30)


# -- taking over ----------------------------------------------------------------------------------


def test_another_version_is_tried_first() -> None:
    before = running(reason="rolled back")
    record = deploy(before, NEW, at_once=False, by_rule=True, now_us=NOW, rate=15)
    assert (record.digest, record.shadow, record.phase) == (OLD, NEW, Phase.RUNNING)
    assert record.reason == ""
    assert record.trial == Trial(NEW, by_rule=True, rate_before=15)


def test_another_version_goes_in_force_at_once_when_told_to() -> None:
    record = at_once(running(reason="it was slow", failing_s=3, trial=Trial(THIRD)), rate=15)
    assert (record.digest, record.previous, record.shadow) == (NEW, OLD, None)
    assert (record.phase, record.since_us, record.reason) == (Phase.STARTING, NOW, "")
    assert record.probation == Probation(rate_before=15)
    assert (record.trial, record.failing_s) == (None, 0)


def test_nothing_is_tried_beside_a_model_that_does_not_run() -> None:
    broken = running(phase=Phase.FAILED, previous=THIRD, withdrawn=True)
    record = deploy(broken, NEW, at_once=False, by_rule=False, now_us=NOW)
    assert (record.digest, record.shadow, record.withdrawn) == (NEW, None, False)
    assert record.previous == THIRD  # the last good one, not the broken one


def test_the_way_back_is_the_version_that_ran_well_last() -> None:
    assert at_once(running(previous=THIRD)).previous == OLD


def test_a_version_that_is_watched_still_is_no_way_back_where_a_better_one_is_known() -> None:
    assert at_once(on_probation()).previous == THIRD
    assert at_once(on_probation(phase=Phase.STARTING)).previous == THIRD
    first = on_probation(previous=None, phase=Phase.RUNNING)
    assert at_once(first).previous == OLD


def test_nothing_is_its_own_way_back() -> None:
    assert at_once(on_probation(), THIRD).previous is None


def test_what_a_person_puts_in_force_is_refused_no_more() -> None:
    record = at_once(running(refused=(NEW, THIRD)))
    assert record.refused == (THIRD,)


def test_the_version_in_force_deployed_again_ends_a_trial() -> None:
    record = deploy(running(), NEW, at_once=False, by_rule=False, now_us=NOW)
    assert deploy(record, OLD, at_once=False, by_rule=False, now_us=NOW) == running()


@pytest.mark.parametrize("probation", [None, Probation(crashes=2, rate_before=30)])
def test_a_version_that_failed_is_given_another_chance_when_it_is_deployed_again(
    probation: Probation | None,
) -> None:
    failed = running(
        phase=Phase.FAILED, reason="damaged", withdrawn=True, probation=probation, previous=THIRD
    )
    record = at_once(failed, OLD)
    assert (record.phase, record.reason, record.withdrawn) == (Phase.STARTING, "", False)
    assert (record.digest, record.previous) == (OLD, THIRD)
    assert record.probation == (
        Probation() if probation is None else Probation(crashes=0, rate_before=30)
    )


def test_a_trial_that_is_asked_for_again_goes_on() -> None:
    record = try_on(tried(by_rule=True))
    again = deploy(record, NEW, at_once=False, by_rule=True, now_us=NOW)
    assert again == record


def test_a_person_who_asks_for_the_same_trial_decides_how_it_ends() -> None:
    record = deploy(tried(by_rule=True), NEW, at_once=False, by_rule=False, now_us=NOW)
    assert record.trial is not None
    assert not record.trial.by_rule
    record = deploy(record, NEW, at_once=False, by_rule=True, now_us=NOW)
    assert record.trial is not None
    assert not record.trial.by_rule


def test_the_trial_of_another_version_begins_anew() -> None:
    record = deploy(try_on(tried()), THIRD, at_once=False, by_rule=False, now_us=NOW, rate=9)
    assert record.trial == Trial(THIRD, rate_before=9)


def test_a_trial_that_is_over_begins_anew_when_it_is_asked_for_again() -> None:
    record = try_on(tried(), enough=True)
    again = deploy(record, NEW, at_once=False, by_rule=False, now_us=NOW, rate=9)
    assert again.trial == Trial(NEW, rate_before=9)


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
    promoted = replace(at_once(running()), failing_s=5.0, withdrawn=True, trial=Trial(THIRD))
    record = roll_back(promoted, "too slow", NOW + 1)
    assert (record.digest, record.previous, record.phase) == (OLD, None, Phase.STARTING)
    assert (record.reason, record.refused, record.probation) == ("too slow", (NEW,), None)
    assert (record.since_us, record.failing_s, record.withdrawn) == (NOW + 1, 0, False)
    assert record.trial is None


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


# -- what is desired, and kept --------------------------------------------------------------------


def test_what_shall_run() -> None:
    bolts = replace(running(), model="bolts", threshold=0.25)
    withdrawn = replace(running(), model="away", withdrawn=True)
    over = replace(try_on(tried(), enough=True), model="screws")
    wanted = desired([tried(), bolts, withdrawn, over])
    common: dict[str, Any] = {"name": "Nuts", "cameras": ("front",), "digest": OLD}
    assert wanted == (
        DeployedModel(model="bolts", threshold=0.25, **common),
        DeployedModel(model="nuts", candidate=NEW, candidate_model="nuts-try-bbbbbbbb", **common),
        DeployedModel(model="screws", **common),
    )
    assert desired([over, tried(), bolts]) == wanted  # whatever came first


def test_what_was_desired_is_taken_up_again() -> None:
    records = recalled(desired([replace(tried(), threshold=0.25)]), NOW)
    assert records == (
        Deployed(
            model="nuts",
            name="Nuts",
            cameras=("front",),
            digest=OLD,
            since_us=NOW,
            threshold=0.25,
        ),
    )
    assert desired(records) == desired([running(threshold=0.25)])


KEPT = TypeAdapter(tuple[Deployed, ...])


def test_everything_of_a_record_outlives_the_process() -> None:
    record = replace(
        try_on(tried()),
        previous=THIRD,
        probation=Probation(errors=1, crashes=1),
        refused=(THIRD,),
        threshold=0.5,
        failing_s=2.0,
    )
    assert KEPT.validate_json(KEPT.dump_json((record,))) == (record,)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "../../etc"},
        {"model": "Nuts!"},
        {"cameras": ("a/b",)},
        {"threshold": 2.0},
        {"trial": Trial("x")},
        {"previous": "x"},
        {"refused": ("x",)},
    ],
)
def test_a_record_that_somebody_spoiled_is_refused_as_a_whole(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KEPT.validate_json(KEPT.dump_json((replace(running(), **change),)))


# -- watching -------------------------------------------------------------------------------------


def test_a_model_runs_once_inference_says_so() -> None:
    starting = running(phase=Phase.STARTING)
    assert look(starting, Seen()) == starting
    assert look(starting, runs(NEW)) == starting
    assert look(starting, runs("")) == starting
    assert look(starting, runs(OLD)) == running()


def test_a_model_runs_once_all_workers_say_so() -> None:
    starting = running(phase=Phase.STARTING)
    assert look(starting, Seen(digests=frozenset({OLD, NEW}))) == starting
    assert look(starting, Seen(digests=frozenset({OLD, ""}))) == starting


def test_a_promoted_model_is_on_probation_once_it_runs() -> None:
    promoted = at_once(running())
    record = look(promoted, runs(OLD))
    assert record.phase is Phase.STARTING
    assert look(record, runs(NEW)).phase is Phase.PROBATION


def test_a_first_version_is_watched_quietly() -> None:
    first = running(phase=Phase.STARTING, probation=Probation())
    record = look(first, runs(OLD))
    assert (record.phase, record.probation) == (Phase.RUNNING, Probation())
    record = look(record, runs(OLD), passed_s=60)
    assert (record.phase, record.probation) == (Phase.RUNNING, None)


def test_why_it_was_rolled_back_is_still_said_when_the_version_before_runs() -> None:
    rolled = roll_back(at_once(running()), "rolled back: too slow", NOW)
    record = look(rolled, runs(OLD))
    assert (record.phase, record.reason) == (Phase.RUNNING, "rolled back: too slow")


def test_a_promoted_model_that_cannot_be_loaded_is_rolled_back() -> None:
    record = look(at_once(running()), cannot_load(NEW, instead=OLD))
    assert (record.digest, record.refused) == (OLD, (NEW,))
    assert record.reason == "rolled back: it cannot be loaded: damaged"


def test_one_worker_that_cannot_load_it_is_enough() -> None:
    seen = Seen(digests=frozenset({OLD, NEW}), failures=((NEW, "no memory"),))
    assert look(at_once(running()), seen).digest == OLD


def test_the_failure_of_another_version_is_not_held_against_it() -> None:
    promoted = at_once(running())
    assert look(promoted, cannot_load(OLD)) == promoted


def test_a_late_failure_of_another_version_hides_none() -> None:
    seen = Seen(digests=frozenset({""}), failures=((OLD, "late"), (NEW, "damaged")))
    record = look(at_once(running()), seen)
    assert record.reason == "rolled back: it cannot be loaded: damaged"


def test_a_worker_that_does_not_say_what_failed_means_what_is_wanted() -> None:
    record = look(running(phase=Phase.STARTING), cannot_load("", "no such file"))
    assert (record.phase, record.reason) == (Phase.FAILED, "no such file")


def test_a_model_without_a_way_back_fails_and_may_recover() -> None:
    starting = running(phase=Phase.STARTING)
    failed = look(starting, cannot_load(OLD))
    assert (failed.phase, failed.reason) == (Phase.FAILED, "damaged")
    assert look(failed, Seen()) == failed
    again = look(failed, cannot_load(OLD, "2 labels"), passed_s=1000)
    assert (again.phase, again.reason) == (Phase.FAILED, "2 labels")
    # What changes each second for ever would be written to the disk for ever.
    assert look(again, cannot_load(OLD, "2 labels")) == again
    assert look(again, runs(OLD)) == running()


def test_a_version_that_failed_and_loads_after_all_is_watched() -> None:
    failed = on_probation(phase=Phase.FAILED, reason="damaged")
    record = look(failed, runs(OLD))
    assert (record.phase, record.reason) == (Phase.PROBATION, "")


def test_a_model_that_still_runs_in_memory_does_not_fail() -> None:
    seen = cannot_load(OLD, instead=OLD)
    assert look(running(previous=THIRD), seen, passed_s=1000) == running(previous=THIRD)


def test_a_version_that_ran_well_is_given_time_before_it_is_given_up() -> None:
    """After a start of the box its disk may be there late."""
    record = look(running(previous=THIRD), cannot_load(OLD), passed_s=PATIENCE_S - 1)
    assert (record.phase, record.digest, record.reason) == (Phase.FAILED, OLD, "damaged")
    assert look(record, runs(OLD)) == running(previous=THIRD)
    record = look(record, Seen())  # it tries again: that is no success
    record = look(record, cannot_load(OLD), passed_s=1)
    assert (record.digest, record.refused) == (THIRD, (OLD,))
    assert record.reason == "rolled back: it cannot be loaded: damaged"


@pytest.mark.parametrize("record", [running(previous=THIRD), on_probation()])
def test_nothing_is_rolled_back_to_a_version_that_is_gone(record: Deployed) -> None:
    failed = look(record, cannot_load(OLD), passed_s=2 * PATIENCE_S, way_back=False)
    assert (failed.phase, failed.digest, failed.previous) == (Phase.FAILED, OLD, THIRD)
    assert look(failed, cannot_load(OLD)).digest == THIRD  # it is there again


def test_a_candidate_that_cannot_be_loaded_ends_the_trial() -> None:
    assert look(tried(), runs(OLD), cannot_load(OLD)) == tried()
    record = look(tried(), runs(OLD), cannot_load(NEW, "2 labels"))
    assert (record.trial, record.refused) == (None, (NEW,))
    assert record.reason == "the new version cannot be loaded: 2 labels"


def test_a_candidate_may_fail_while_the_model_in_force_does() -> None:
    record = look(tried(), cannot_load(OLD, "gone"), cannot_load(NEW, "2 labels"))
    assert (record.phase, record.trial, record.refused) == (Phase.FAILED, None, (NEW,))


def test_a_trial_that_is_over_needs_no_candidate() -> None:
    over = running(trial=Trial(NEW, over=True))
    assert look(over, runs(OLD, crashes=9), cannot_load(NEW)) == over


# -- probation ------------------------------------------------------------------------------------


def test_a_probation_ends_well_after_its_time() -> None:
    record = on_probation()
    record = look(record, runs(OLD), passed_s=44)
    assert record.phase is Phase.PROBATION
    record = look(record, runs(OLD), passed_s=1)
    assert (record.phase, record.probation, record.previous) == (Phase.RUNNING, None, THIRD)


def test_a_probation_lasts_while_the_version_does_not_run() -> None:
    assert look(on_probation(), Seen(), passed_s=1000) == on_probation()
    assert look(on_probation(), runs(""), passed_s=1000) == on_probation()


def test_too_many_errors_roll_back() -> None:
    record = look(on_probation(), runs(OLD, errors=3))
    record = look(record, runs(OLD, errors=1))
    assert (record.phase, errors_of(record)) == (Phase.PROBATION, 4)
    record = look(record, runs(OLD, errors=1))
    assert (record.digest, record.reason) == (
        THIRD,
        "rolled back: it could not look at 5 frames",
    )


def test_errors_of_the_version_before_do_not_count() -> None:
    record = look(on_probation(phase=Phase.STARTING), runs(THIRD, errors=4))
    record = look(record, runs(OLD, errors=4))  # one status tells of the swap and of both
    assert (record.phase, errors_of(record)) == (Phase.PROBATION, 0)


@pytest.mark.parametrize(
    ("previous", "phase", "way_back"),
    [(None, Phase.RUNNING, True), (THIRD, Phase.PROBATION, False)],
)
def test_a_version_that_errs_runs_on_where_there_is_none_to_go_back_to(
    previous: str | None, phase: Phase, way_back: bool
) -> None:
    record = on_probation(previous=previous, phase=phase)
    record = look(record, runs(OLD, errors=7), way_back=way_back)
    assert (record.phase, record.digest, record.probation) == (Phase.RUNNING, OLD, None)
    assert record.reason == ("it could not look at 7 frames, and there is no version to go back to")
    assert look(record, runs(OLD, errors=7), way_back=way_back) == record  # said once


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
        runs(OLD, rate=0.0),  # nobody says what the cameras give
        runs(OLD, rate=15.0, camera_rate=30.0),  # half is enough
        runs(OLD, rate=15.0, camera_rate=90.0),  # the version before got through no more
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


# -- a version that ends the inference service ----------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.PROBATION])
def test_a_version_under_which_inference_ends_again_and_again_is_rolled_back(
    phase: Phase,
) -> None:
    record = on_probation(phase=phase)
    for _ in range(MOST_CRASHES - 1):
        record = look(record, Seen(crashes=1))
        assert (record.digest, record.phase) == (OLD, phase)
    record = look(record, Seen(crashes=1))
    assert (record.digest, record.refused, record.withdrawn) == (THIRD, (OLD,), False)
    assert record.reason == (
        "rolled back: the inference service ended 2 times since it was put in force"
    )


@pytest.mark.parametrize("crashes", [0, MOST_CRASHES])
def test_what_ran_well_before_is_not_to_blame_for_the_end_of_inference(crashes: int) -> None:
    record = running(previous=THIRD)
    assert look(record, runs(OLD, crashes=crashes)) == record


@pytest.mark.parametrize(("previous", "way_back"), [(None, True), (THIRD, False)])
def test_a_version_that_ends_inference_is_stopped_where_there_is_none_to_go_back_to(
    previous: str | None, way_back: bool
) -> None:
    """The other models of the box need inference, too."""
    record = on_probation(previous=previous, phase=Phase.RUNNING, trial=Trial(NEW))
    record = look(record, Seen(crashes=MOST_CRASHES), way_back=way_back)
    assert (record.phase, record.withdrawn, record.trial) == (Phase.FAILED, True, None)
    assert record.probation is None
    assert record.reason == (
        "stopped: the inference service ended 2 times since it was put in force; deploy it again "
        "to try once more, or another version"
    )
    assert desired([record]) == ()
    assert look(record, runs(OLD, crashes=MOST_CRASHES)) == record


def test_a_trial_under_which_inference_ends_again_and_again_is_ended() -> None:
    record = look(tried(), runs(OLD, crashes=1))
    assert record.shadow == NEW
    record = look(record, runs(OLD, crashes=1))
    assert (record.digest, record.trial, record.refused) == (OLD, None, (NEW,))
    assert record.reason == "the trial was ended: the inference service ended 2 times meanwhile"


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


def test_a_trial_goes_on_until_it_has_seen_enough() -> None:
    record = try_on(tried())
    assert record.trial is not None
    assert (record.trial.report, record.trial.elapsed_s, record.shadow) == (REPORT, 1, NEW)
    record = try_on(record, enough=True)
    assert record.trial is not None
    assert (record.trial.over, record.trial.elapsed_s) == (True, 2)
    assert (record.digest, record.shadow) == (OLD, None)
    assert (record.reason, record.refused) == ("", ())  # a person decides
    assert try_on(record, ShadowReport(), enough=True) == record  # over is over


@pytest.mark.parametrize("report", [ShadowReport(frames=1), ShadowReport(errors=1)])
def test_a_trial_ends_after_its_time_if_it_saw_anything(report: ShadowReport) -> None:
    record = try_on(tried(), ShadowReport(), passed_s=599)
    assert try_on(record, report, passed_s=0.5).shadow == NEW
    assert try_on(record, report, passed_s=1).shadow is None
    record = try_on(record, ShadowReport(), passed_s=6000)
    assert record.shadow == NEW
    record = try_on(record, report)
    assert record.shadow is None


def test_by_rule_a_good_version_is_promoted() -> None:
    record = try_on(tried(by_rule=True), enough=True)
    assert (record.digest, record.previous) == (NEW, OLD)
    assert record.probation == Probation(rate_before=30)


def test_by_rule_a_bad_version_is_not_and_the_reason_is_kept() -> None:
    record = try_on(tried(by_rule=True), enough=True, objection="it is slow")
    assert (record.digest, record.shadow, record.refused) == (OLD, None, (NEW,))
    assert record.reason == f"version {NEW[:SHORT]} was not put in force: it is slow"
    assert record.trial is not None
    assert (record.trial.report, record.trial.objection) == (REPORT, "it is slow")
    # A person may think otherwise.
    assert promote(record, NOW).digest == NEW


def test_no_trial_nothing_to_go_on_with() -> None:
    assert try_on(running(), enough=True) == running()


# -- whatever happens -----------------------------------------------------------------------------

sights = st.builds(
    Seen,
    digests=st.frozensets(st.sampled_from(["", OLD, NEW, THIRD]), max_size=2),
    failures=st.lists(
        st.tuples(st.sampled_from(["", OLD, NEW, THIRD]), st.just("damaged")), max_size=2
    ).map(tuple),
    errors=st.integers(0, 9),
    crashes=st.integers(0, 2),
    rate=st.none() | st.floats(0, 60),
    camera_rate=st.floats(0, 60),
)


@given(st.lists(st.tuples(sights, sights, st.booleans(), st.booleans()), max_size=12))
def test_it_comes_to_rest_on_a_version_that_was_deployed(
    looks: list[tuple[Seen, Seen, bool, bool]],
) -> None:
    record = at_once(deploy(running(), THIRD, at_once=True, by_rule=False, now_us=1))
    was = {OLD, THIRD, NEW}
    for seen, candidate, way_back, another in looks:
        before = record
        record = look(record, seen, candidate, way_back=way_back)
        assert record.digest in was
        assert record.digest != record.previous
        if record.digest != before.digest:
            assert record.digest == before.previous  # back, and never to and fro
            assert before.digest in record.refused
        if record.phase is Phase.PROBATION:
            assert record.probation is not None
        if another:
            record = deploy(record, NEW, at_once=False, by_rule=True, now_us=NOW)
            record = try_on(record, enough=True)
