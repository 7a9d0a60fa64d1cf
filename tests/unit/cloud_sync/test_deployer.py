"""Deployments on a bus in memory, with inference and capture that say what the test says."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from nxai_cloud_sync.core.catalogue import VersionState
from nxai_cloud_sync.core.deploying import (
    MOST_CRASHES,
    SETTLE_S,
    Deployed,
    candidate_name,
)
from nxai_cloud_sync.core.observing import RATE_S
from nxai_cloud_sync.deployer import (
    CATALOGUE_EVERY_S,
    DISK,
    FIRST_WORD_S,
    RECORDS,
    RESULTS_BOUND,
    SAVE_EVERY_S,
    TELL_EVERY_S,
    Deployer,
    Records,
)
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.collecting import RollbackOptions, ShadowOptions
from nxai_common.contracts.deployments import Deployment, Deployments, Phase
from nxai_common.contracts.status import ModelStatus, Problem, ServiceState
from nxai_common.errors import RejectedError
from support.cloud_sync import (
    FULL,
    Clock,
    Kept,
    Shelf,
    camera,
    capturing,
    drain,
    fails,
    model,
    result,
    retained,
    version,
    worker,
)

pytestmark = pytest.mark.unit

OLD, NEW, THIRD = "a" * 64, "b" * 64, "c" * 64
TRY = candidate_name("nuts", NEW)
FEW = ShadowOptions(frames=4, minutes=10)
RULES = RollbackOptions(minutes=1, errors=5)


class Box:
    """A deployer and everybody around it."""

    def __init__(
        self,
        broker: MemoryBroker | None = None,
        kept: Kept[Records] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.broker = broker or MemoryBroker()
        self.bus, self.outside = MemoryBus(self.broker), MemoryBus(self.broker)
        self.clock = clock or Clock()
        self.kept = kept or Kept(RECORDS)
        self.shelf = Shelf(version(NEW), version(OLD), version(THIRD, "bolts"))
        self.deployer = Deployer(
            self.bus, self.kept, self.shelf, self.clock, lambda: int(self.clock.now * 1e6)
        )
        self.options: ShadowOptions | None = FEW
        self.rules = RULES
        self.sequence = 0

    def look(self, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)
        self.deployer.look(self.options, self.rules)

    def says(self, *models: ModelStatus, **rest: Any) -> None:
        """Let an inference process speak."""
        self.deployer.see_status(worker(*models, **rest))

    def deploy(self, digest: str = OLD, *cameras: str, **rest: Any) -> Deployed:
        known = ("front", "back", "side")
        return self.deployer.deploy("nuts", digest, cameras or None, known, **rest)

    def runs(self, digest: str = OLD, *cameras: str) -> None:
        """Deploy a version that runs and was watched long enough."""
        self.deploy(digest, *(cameras or ("front",)))
        self.says(model("nuts", digest))
        self.look()
        self.look(100)

    def both_run(self) -> None:
        self.says(model("nuts", OLD), model(TRY, NEW))

    def frames(
        self, count: int, *cameras: str, before: tuple[str, ...] = (), after: tuple[str, ...] = ()
    ) -> None:
        """Let both versions look at frames of cameras, and find what they find."""
        for _ in range(count):
            self.sequence += 1
            for each in cameras or ("front",):
                for name, digest, labels in (("nuts", OLD, before), (TRY, NEW, after)):
                    self.outside.publish(
                        result(name, self.sequence, *labels, digest=digest, camera=each)
                    )

    def names(self) -> list[str]:
        """Names of the deployed models."""
        return list(self.deployer.models)

    @property
    def record(self) -> Deployed:
        found = self.deployer.record("nuts")
        assert found is not None
        return found

    @property
    def told(self) -> Deployment:
        return next(told for told in self.deployer.told() if told.model == "nuts")

    @property
    def latest(self) -> str:
        return "" if self.told.latest is None else self.told.latest.digest

    @property
    def wanted(self) -> Deployments:
        """What the manager reads."""
        (found,) = retained(self.outside, Deployments)
        return found

    @property
    def listens_to(self) -> list[str]:
        """Filters of the results that the deployer subscribes to."""
        return sorted(
            wanted.text for wanted in self.bus.router.filters() if wanted.text.endswith("/result")
        )

    def progress(self) -> float:
        self.look(TELL_EVERY_S)
        return self.told.progress


@contextmanager
def opened(box: Box) -> Iterator[Box]:
    with box.bus, box.outside:
        box.deployer.open()
        try:
            yield box
        finally:
            box.deployer.close()


@pytest.fixture
def box() -> Iterator[Box]:
    fresh = Box()
    fresh.kept.write(())
    with opened(fresh):
        yield fresh


@contextmanager
def again(box: Box, *, crashed: bool = False) -> Iterator[Box]:
    """Start anew with what is on the disk and on the broker."""
    if not crashed:
        box.deployer.close()
    with opened(Box(box.broker, box.kept, box.clock)) as next_box:
        yield next_box


def problems(box: Box) -> list[str]:
    return [f"{problem.about}: {problem.reason}" for problem in box.deployer.problems]


# -- what people ask for --------------------------------------------------------------------------


def test_a_model_is_deployed(box: Box) -> None:
    record = box.deploy(OLD, "front", "back", "front", threshold=0.25)
    assert (record.cameras, record.digest) == (("front", "back"), OLD)
    (wanted,) = box.wanted.models
    assert (wanted.model, wanted.name, wanted.cameras) == ("nuts", "Nuts", ("front", "back"))
    assert (wanted.digest, wanted.threshold, wanted.candidate) == (OLD, 0.25, None)
    (told,) = retained(box.outside, Deployment)
    assert told == box.told
    assert (told.phase, told.installed.digest) == (Phase.STARTING, OLD)
    box.says(model("nuts", OLD))
    box.look()
    assert box.told.phase is Phase.RUNNING
    assert box.names() == ["nuts"]


def test_without_a_digest_the_newest_version_that_works_is_deployed(box: Box) -> None:
    box.shelf.change(NEW, state=VersionState.REFUSED)
    assert box.deployer.deploy("nuts", None, ("front",), ("front",)).digest == OLD


@pytest.mark.parametrize(
    ("model_name", "digest", "cameras", "said"),
    [
        ("cars", None, ("front",), "there is no model 'cars'; known: bolts, nuts"),
        (
            "nuts",
            THIRD,
            ("front",),
            "model 'nuts' has no version cccccccccccc; it has aaaaaaaaaaaa,",
        ),
        ("nuts", OLD, ("front", "attic"), "there is no camera 'attic'; known: back, front"),
        ("nuts", OLD, None, "say on which cameras; known: back, front"),
        ("nuts", OLD, (), "say on which cameras; known: back, front"),
    ],
)
def test_what_there_is_not_is_not_deployed(
    box: Box, model_name: str, digest: str | None, cameras: tuple[str, ...] | None, said: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        box.deployer.deploy(model_name, digest, cameras, iter(("front", "back")))
    assert said in str(refused.value)
    assert box.names() == []


@pytest.mark.parametrize("digest", [OLD, None])
@pytest.mark.parametrize(
    ("reason", "said"), [("2 outputs", "2 outputs"), ("", "it was not tested yet")]
)
def test_a_version_that_does_not_work_is_not_deployed(
    box: Box, digest: str | None, reason: str, said: str
) -> None:
    for each in (OLD, NEW):
        box.shelf.change(each, state=VersionState.FETCHED, reason=reason)
    with pytest.raises(RejectedError, match=f"can be used: {said}|cannot be used: {said}"):
        box.deployer.deploy("nuts", digest, ("front",), ("front",))


def test_a_deployed_model_moves_to_other_cameras(box: Box) -> None:
    box.runs()
    box.deploy(OLD, "back", threshold=0.25)
    assert box.record.cameras == ("back",)
    box.deploy(OLD)
    assert (box.record.cameras, box.record.threshold) == (("back",), 0.25)
    assert box.record.phase is Phase.RUNNING


def test_a_model_is_taken_from_one_camera_and_from_all(box: Box) -> None:
    box.runs(OLD, "front", "back")
    box.deployer.undeploy("nuts", ("front",))
    assert box.wanted.models[0].cameras == ("back",)
    box.deployer.undeploy("nuts", None)
    assert box.wanted.models == ()
    assert retained(box.outside, Deployment) == []
    assert box.names() == []
    assert box.deployer.told() == ()
    with again(box) as later:
        assert later.names() == []


def test_a_model_leaves_with_its_last_camera(box: Box) -> None:
    box.runs()
    box.deployer.undeploy("nuts", ("front",))
    assert box.names() == []


def test_a_model_is_not_taken_from_where_it_is_not(box: Box) -> None:
    box.runs()
    with pytest.raises(RejectedError, match="does not run on camera 'back'; it runs on front"):
        box.deployer.undeploy("nuts", ("back", "front"))
    assert box.record.cameras == ("front",)


def test_what_is_not_deployed_cannot_be_changed(box: Box) -> None:
    box.runs()
    for ask in (
        lambda: box.deployer.undeploy("bolts", None),
        lambda: box.deployer.promote("bolts"),
        lambda: box.deployer.end_shadow("bolts"),
        lambda: box.deployer.roll_back("bolts"),
    ):
        with pytest.raises(RejectedError, match="'bolts' is not deployed; deployed: nuts"):
            ask()


def test_without_a_trial_there_is_none_to_promote_or_to_end(box: Box) -> None:
    box.runs()
    with pytest.raises(RejectedError, match="no other version of model 'nuts' was tried"):
        box.deployer.promote("nuts")
    with pytest.raises(RejectedError, match="no version is tried beside model 'nuts'"):
        box.deployer.end_shadow("nuts")


def test_a_tried_version_is_promoted_once(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    assert box.deployer.promote("nuts").digest == NEW
    assert box.wanted.models[0].digest == NEW
    with pytest.raises(RejectedError, match="no other version"):
        box.deployer.promote("nuts")
    with pytest.raises(RejectedError, match="no version is tried"):
        box.deployer.end_shadow("nuts")
    assert not box.told.promotable


def test_a_person_ends_a_trial(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    assert [wanted.candidate for wanted in box.wanted.models] == [NEW]
    box.deployer.end_shadow("nuts")
    assert [wanted.candidate for wanted in box.wanted.models] == [None]
    assert box.told.candidate is None
    assert box.told.reason == "the trial was ended by hand"
    assert box.record.refused == ()


def test_a_person_goes_back(box: Box) -> None:
    box.runs()
    with pytest.raises(RejectedError, match="no version before"):
        box.deployer.roll_back("nuts")
    box.deploy(NEW, at_once=True)
    assert box.deployer.roll_back("nuts").digest == OLD
    assert (box.wanted.models[0].digest, box.record.refused) == (OLD, (NEW,))
    assert box.told.reason == "rolled back by hand"


def test_nothing_is_put_in_force_that_somebody_deleted(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.shelf.lose(NEW)
    with pytest.raises(RejectedError, match="no version bbbbbbbbbbbb"):
        box.deployer.promote("nuts")
    box.shelf.held = (version(NEW), version(OLD))
    box.deployer.promote("nuts")
    box.shelf.lose(OLD)
    with pytest.raises(RejectedError, match="no version aaaaaaaaaaaa"):
        box.deployer.roll_back("nuts")
    assert box.record.digest == NEW


def test_a_model_that_comes_back_is_measured_anew(box: Box) -> None:
    promoted_at(box, 20)
    box.deployer.undeploy("nuts", None)
    box.runs()
    box.deploy(NEW, at_once=True)
    assert box.record.probation is not None
    assert box.record.probation.rate_before is None


def test_an_offer_is_told_and_taken_back(box: Box) -> None:
    box.deployer.offer("nuts", "2026-12-01")  # before it is deployed
    box.runs()
    assert box.told.offered == "2026-12-01"
    box.deployer.offer("nuts", "")
    assert box.told.offered == ""


def test_what_was_offered_is_the_latest_once_it_is_here(box: Box) -> None:
    both = box.shelf.held
    box.shelf.lose(NEW)
    box.runs()
    box.deployer.offer("nuts", "2026-12-01")
    assert box.latest == OLD
    box.shelf.held = both  # imported since the last look into the catalogue
    box.deployer.offer("nuts", "")
    assert (box.told.offered, box.latest) == ("", NEW)


def test_an_offer_is_told_of_a_catalogue_that_cannot_be_read(box: Box) -> None:
    box.runs()
    box.shelf.trouble = StorageUnavailable("the disk is gone")
    box.deployer.offer("nuts", "2026-12-01")
    assert box.told.offered == "2026-12-01"


# -- what must stay -------------------------------------------------------------------------------


def test_versions_in_use_say_what_for(box: Box) -> None:
    box.runs(OLD, "front", "back")
    box.deploy(NEW)
    assert box.deployer.in_use() == {
        OLD: "model 'nuts' runs it on back, front",
        NEW: "it is tried beside 'nuts'",
    }
    box.deployer.promote("nuts")
    assert box.deployer.in_use() == {
        OLD: "a roll-back of 'nuts' would need it",
        NEW: "model 'nuts' runs it on back, front",
    }


def test_a_version_whose_trial_is_over_may_still_be_promoted(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.frames(4)
    box.look()
    assert box.deployer.in_use()[NEW] == "it was tried beside 'nuts'"


def test_what_runs_is_told_before_what_it_is_kept_for(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.deployer.deploy("bolts", THIRD, ("back",), ("back",))
    box.shelf.held = (*box.shelf.held, version(NEW, "bolts"))
    box.deployer.deploy("bolts", NEW, None, ("back",), at_once=True)
    assert box.deployer.in_use()[NEW] == "model 'bolts' runs it on back"


def test_other_threads_may_ask_while_it_changes(box: Box) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.is_set():
                box.deployer.in_use()
                assert len(box.deployer.models) <= 2
                assert box.deployer.problems == ()
                assert box.deployer.counters == {"trial_results_dropped": 0}
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        box.deploy(OLD, "front")
        box.deployer.deploy("bolts", THIRD, ("back",), ("back",))
        box.look()
        box.deployer.undeploy("nuts", None)
        box.deployer.undeploy("bolts", None)
    done.set()
    for thread in threads:
        thread.join(10)
    assert failures == []


# -- trials ---------------------------------------------------------------------------------------


def test_a_trial_runs_beside_the_version_in_force_and_ends(box: Box) -> None:
    box.runs()
    record = box.deploy(NEW)
    assert (record.digest, record.shadow) == (OLD, NEW)
    assert set(box.deployer.names) == {"nuts", TRY}
    (wanted,) = box.wanted.models
    assert (wanted.digest, wanted.candidate, wanted.candidate_model) == (OLD, NEW, TRY)
    assert (box.told.phase, box.told.progress) == (Phase.SHADOW, 0)
    box.both_run()
    box.frames(3, before=("nut",), after=("nut",))
    assert box.progress() == 0.75
    assert (box.told.promotable, box.told.reason) == (False, "")
    box.frames(1, before=("nut",))
    box.look()
    assert box.wanted.models[0].candidate is None
    told = box.told
    assert (told.phase, told.progress, told.promotable) == (Phase.RUNNING, 1, True)
    assert told.report is not None
    assert (told.report.frames, told.report.agreeing, told.report.only_before) == (4, 3, 1)
    assert told.candidate is not None
    assert told.candidate.digest == NEW


def test_results_are_received_while_a_trial_runs_and_of_its_cameras_alone(box: Box) -> None:
    box.runs(OLD, "front", "back")
    assert box.listens_to == []
    box.deploy(NEW)
    topics = [f"nxai/v1/box/cameras/{name}/result" for name in ("back", "front")]
    assert box.listens_to == topics
    box.deployer.undeploy("nuts", ("back",))
    assert box.listens_to == topics[1:]
    box.deploy(NEW, "front", "back")
    assert box.listens_to == topics
    box.both_run()
    box.frames(4, "front", "back")
    box.look()
    assert box.record.shadow is None
    assert box.listens_to == []


@pytest.mark.parametrize("end", ["undeploy", "end_shadow", "promote", "close"])
def test_the_end_of_a_trial_is_the_end_of_its_results(box: Box, end: str) -> None:
    box.runs()
    box.deploy(NEW)
    assert box.listens_to
    ends = {
        "undeploy": lambda: box.deployer.undeploy("nuts", None),
        "end_shadow": lambda: box.deployer.end_shadow("nuts"),
        "promote": lambda: box.deployer.promote("nuts"),
        "close": box.deployer.close,
    }
    ends[end]()
    assert box.listens_to == []


def test_a_look_goes_on_with_what_is_received_and_waits_for_nobody(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    results = box.deployer._results
    began = time.monotonic()
    for _ in range(5):
        box.look()
    assert time.monotonic() - began < 4
    assert box.deployer._results is results
    box.deployer.end_shadow("nuts")
    assert box.deployer._results is None


def test_every_camera_must_give_its_frames(box: Box) -> None:
    box.runs(OLD, "front", "back")
    box.deploy(NEW)
    box.both_run()
    box.frames(100, "front")
    assert box.progress() < 0.1  # by time alone
    assert box.record.shadow == NEW
    box.frames(4, "back")
    box.look()
    assert box.record.shadow is None


def test_a_camera_that_gives_nothing_ends_no_trial_before_its_time(box: Box) -> None:
    box.runs(OLD, "front", "back")
    box.deploy(NEW)
    box.both_run()
    box.frames(9, "front")
    box.look(599)
    assert (box.record.shadow, box.told.progress) == (NEW, 1)
    box.look(1)
    assert box.record.shadow is None
    assert box.told.promotable


def test_a_trial_without_any_frame_goes_on_and_says_so(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.look(6000)
    assert box.record.shadow == NEW
    assert box.told.reason == "no frame was looked at by both versions yet"
    box.frames(1)
    box.look()
    assert box.told.reason == ""


def test_a_trial_takes_only_the_time_in_which_both_versions_run(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    for models in (
        (),
        (model("nuts", OLD),),
        (model("nuts", OLD), model(TRY)),
        (model("nuts", ""), model(TRY, NEW)),
    ):
        box.says(*models)
        box.look(600)
    assert box.record.trial is not None
    assert box.record.trial.elapsed_s == 0
    box.both_run()
    box.look(60)
    assert box.record.trial.elapsed_s == 60
    assert box.told.progress == 0.1


def test_results_of_two_input_sizes_meet_when_both_have_come(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    for sequence in range(40):  # the small one is quick, the large one looks at every tenth
        box.outside.publish(result("nuts", sequence, "nut", digest=OLD))
    box.look()
    for sequence in range(0, 40, 10):
        box.outside.publish(result(TRY, sequence, "nut", digest=NEW))
    box.look()
    assert box.told.report is not None
    assert (box.told.report.frames, box.told.report.agreeing) == (4, 4)


def test_frames_that_the_version_in_force_could_not_look_at_are_no_frames(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    for sequence in range(20):
        box.outside.publish(result("nuts", sequence, digest=OLD, error="no memory"))
        box.outside.publish(result(TRY, sequence, "nut", digest=NEW))
    box.says(model("nuts", OLD, errors=20), model(TRY, NEW))
    box.look()
    assert (box.record.digest, box.record.shadow) == (OLD, NEW)
    assert box.told.report is not None
    assert (box.told.report.frames, box.told.report.errors) == (0, 0)


def test_frames_that_the_new_version_could_not_look_at_forbid_its_promotion(box: Box) -> None:
    box.runs()
    box.deploy(NEW, by_rule=True)
    box.both_run()
    box.says(model("nuts", OLD), model(TRY, NEW, errors=2))
    box.frames(4)
    box.look()
    assert (box.record.digest, box.record.shadow, box.record.refused) == (OLD, None, (NEW,))
    assert box.told.reason == (
        "version bbbbbbbbbbbb was not put in force: the new version failed on 2 frames"
    )
    assert (box.told.promotable, box.told.report and box.told.report.errors) == (False, 2)


def test_a_new_version_that_looks_at_no_frame_is_not_tried_for_ever(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.says(model("nuts", OLD), model(TRY, NEW, errors=900))
    box.look(600)
    assert (box.record.shadow, box.told.phase) == (None, Phase.RUNNING)
    assert (box.told.promotable, box.told.reason) == (False, "")
    assert (box.told.report and box.told.report.errors) == 900


def test_by_rule_a_version_that_finds_the_same_takes_over(box: Box) -> None:
    box.runs()
    box.deploy(NEW, by_rule=True)
    box.both_run()
    box.frames(4, before=("nut",), after=("nut",))
    box.look()
    assert (box.record.digest, box.record.previous) == (NEW, OLD)
    assert box.wanted.models[0].digest == NEW
    assert (box.told.phase, box.told.installed.digest) == (Phase.STARTING, OLD)
    box.says(model("nuts", NEW))
    box.look()
    assert (box.told.phase, box.told.installed.digest) == (Phase.PROBATION, NEW)
    assert (box.told.report and box.told.report.frames) == 4  # of the last trial
    box.look(60)
    assert box.told.phase is Phase.RUNNING


def test_the_rules_of_the_settings_count_as_they_are_at_the_end(box: Box) -> None:
    box.runs()
    box.deploy(NEW, by_rule=True)
    box.both_run()
    box.frames(4, before=("nut",))
    box.options = ShadowOptions(frames=8, minutes=10, min_agreement=0.9)
    box.look()
    assert box.record.shadow == NEW
    assert (box.told.progress, box.record.trial and box.record.trial.objection[:25]) == (
        0.5,
        "both found the same in 0%",
    )
    box.options = ShadowOptions(frames=4, minutes=10, min_agreement=0)
    box.look()
    assert box.record.digest == NEW


def test_no_trial_ends_before_it_is_known_how_it_shall_end(box: Box) -> None:
    """After a start the configuration may come late."""
    box.runs()
    box.deploy(NEW, by_rule=True)
    box.both_run()
    box.frames(400)
    box.options = None
    box.look(100_000)
    assert (box.record.digest, box.record.shadow) == (OLD, NEW)
    box.options = ShadowOptions(frames=401, minutes=10)
    box.look()
    assert box.record.shadow == NEW
    box.frames(1)
    box.look()
    assert box.record.digest == NEW


def test_what_was_put_in_force_is_watched_without_any_settings(box: Box) -> None:
    box.runs()
    box.deploy(NEW, at_once=True)
    box.says(fails("nuts", NEW))
    box.options = None
    box.look()
    assert box.record.digest == OLD


def test_a_slower_version_is_judged_by_what_the_settings_allow(box: Box) -> None:
    box.runs()
    box.deploy(NEW, by_rule=True)
    box.both_run()
    for sequence in range(4):
        box.outside.publish(result("nuts", sequence, digest=OLD, ms=1))
        box.outside.publish(result(TRY, sequence, digest=NEW, ms=5))
    box.options = ShadowOptions(frames=4, max_slowdown=4)
    box.look()
    assert "5 ms instead of 1 ms, more than 4 times as long" in box.told.reason


def test_the_speed_before_the_trial_says_what_a_slower_version_means(box: Box) -> None:
    box.runs()
    box.says(model("nuts", OLD, processed=1000))
    box.clock.advance(RATE_S)
    box.says(model("nuts", OLD, processed=1200))
    box.look()
    box.deploy(NEW)
    assert (box.record.trial and box.record.trial.rate_before) == 20
    box.both_run()
    for sequence in range(4):
        box.outside.publish(result("nuts", sequence, digest=OLD, ms=1))
        box.outside.publish(result(TRY, sequence, digest=NEW, ms=5))
    box.look()
    assert box.told.report is not None
    assert (box.told.report.load_before, box.told.report.load_after) == (0.02, 0.1)


def test_the_trial_of_another_version_sees_nothing_of_the_one_before(box: Box) -> None:
    box.shelf.held = (*box.shelf.held, version(THIRD))
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.frames(3)
    box.look()
    box.deploy(THIRD, by_rule=True)
    assert (box.told.progress, box.told.report and box.told.report.frames) == (0, 0)
    box.says(model("nuts", OLD), model(candidate_name("nuts", THIRD), THIRD))
    box.frames(9)  # of the version before, on their way
    box.look()
    assert (box.record.digest, box.record.shadow) == (OLD, THIRD)
    assert (box.told.report and box.told.report.frames) == 0


def test_a_trial_that_is_asked_for_again_sees_everything_anew(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.frames(4)
    box.look()
    assert box.told.progress == 1
    box.deploy(NEW)
    assert (box.told.progress, box.told.phase) == (0, Phase.SHADOW)
    box.look()
    assert (box.record.shadow, box.told.report and box.told.report.frames) == (NEW, 0)


def test_a_trial_beside_a_version_that_took_over_meanwhile_is_another_one(box: Box) -> None:
    box.shelf.held = (*box.shelf.held, version(THIRD))
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.frames(3)
    box.look()
    box.deploy(THIRD, at_once=True)
    box.says(model("nuts", THIRD))
    box.look()
    box.deploy(NEW)
    box.look()
    assert (box.told.report and box.told.report.frames) == 0


def test_two_models_are_tried_at_the_same_time(box: Box) -> None:
    other = "d" * 64
    box.shelf.held = (*box.shelf.held, version(other, "bolts"))
    box.runs()
    box.deployer.deploy("bolts", THIRD, ("back",), ("back",))
    box.deploy(NEW)
    box.deployer.deploy("bolts", other, None, ("back",))
    beside = candidate_name("bolts", other)
    box.says(model("nuts", OLD), model(TRY, NEW), model("bolts", THIRD), model(beside, other))
    box.frames(4)
    box.look()
    assert box.record.shadow is None
    bolts = box.deployer.record("bolts")
    assert bolts is not None
    assert bolts.shadow == other
    assert bolts.trial is not None
    assert bolts.trial.report.frames == 0
    assert box.listens_to == ["nxai/v1/box/cameras/back/result"]


def test_a_candidate_that_cannot_be_loaded_ends_the_trial(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.says(model("nuts", OLD), fails(TRY, NEW, "no memory"))
    box.look()
    assert (box.record.digest, box.record.trial) == (OLD, None)
    assert box.told.reason == "the new version cannot be loaded: no memory"
    assert box.wanted.models[0].candidate is None


def test_results_that_are_too_many_are_counted(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    for sequence in range(RESULTS_BOUND + 7):
        box.outside.publish(result("other", sequence))
    assert box.deployer.counters == {"trial_results_dropped": 7}
    box.deployer.end_shadow("nuts")
    box.deploy(NEW)
    assert box.deployer.counters == {"trial_results_dropped": 7}


# -- after a promotion ----------------------------------------------------------------------------


def test_a_version_that_cannot_be_loaded_is_rolled_back(box: Box) -> None:
    box.runs()
    box.deploy(NEW, at_once=True)
    box.says(fails("nuts", NEW, "damaged", instead=OLD))
    box.look()
    assert box.wanted.models[0].digest == OLD
    assert box.told.reason == "rolled back: it cannot be loaded: damaged"
    assert box.told.installed.digest == OLD
    box.says(model("nuts", OLD))
    box.look()
    assert (box.told.phase, problems(box)) == (Phase.RUNNING, [])


def test_a_version_that_errs_is_rolled_back(box: Box) -> None:
    box.runs()
    box.deploy(NEW, at_once=True)
    box.says(model("nuts", NEW, errors=3))
    box.look()
    box.says(model("nuts", NEW, errors=7))
    box.look()
    assert box.record.digest == NEW
    box.says(model("nuts", NEW, errors=8))
    box.look()
    assert box.record.digest == OLD
    assert "could not look at 5 frames" in box.told.reason


def test_a_version_is_rolled_back_whatever_the_disk_does(box: Box) -> None:
    box.runs()
    box.deploy(NEW, at_once=True)
    box.kept.trouble = FULL
    box.shelf.trouble = StorageUnavailable("the catalogue cannot be read")
    box.says(fails("nuts", NEW))
    box.look(CATALOGUE_EVERY_S)
    assert box.wanted.models[0].digest == OLD
    assert problems(box) == [
        "disk: the disk is full; make room",
        "disk: the catalogue cannot be read",
    ]
    box.kept.trouble = box.shelf.trouble = None
    box.look(DISK.longest_s)
    assert problems(box) == []
    with again(box, crashed=True) as later:
        assert later.record.digest == OLD


def slow_at(box: Box, processed: int, decoded: int, **rest: Any) -> None:
    """Let a window of measurement go by."""
    for each in (
        worker(model("nuts", NEW, processed=processed)),
        capturing(camera("front", decoded, **rest)),
    ):
        box.deployer.see_status(each)
    box.look(RATE_S)


def promoted_at(box: Box, rate: float) -> None:
    """Put a version in force after one that got through `rate` frames a second."""
    box.runs()
    box.says(model("nuts", OLD))
    box.clock.advance(RATE_S)
    box.says(model("nuts", OLD, processed=int(rate * RATE_S)))
    box.look()
    box.rules = RollbackOptions(minutes=60)
    box.deploy(NEW, at_once=True)
    box.says(model("nuts", NEW, processed=int(rate * RATE_S)))
    box.look(SETTLE_S)
    assert box.told.phase is Phase.PROBATION


def test_a_version_that_is_too_slow_for_the_cameras_is_rolled_back(box: Box) -> None:
    promoted_at(box, 20)
    for number in range(4):
        slow_at(box, 200 + 50 * number, 300 * number)
    assert box.record.digest == OLD
    assert "too slow for the cameras: it gets through 5.0 frames a second" in box.told.reason


@pytest.mark.parametrize(
    ("processed", "decoded", "skipped"),
    [
        (0, 0, 0),  # the camera is away
        (10, 300, 290),  # nothing changes in its pictures, or a limit is set
        (100, 300, 0),  # half of what the version before got through is enough
    ],
)
def test_a_version_that_has_little_to_do_is_not_slow(
    box: Box, processed: int, decoded: int, skipped: int
) -> None:
    promoted_at(box, 20)
    for number in range(9):
        slow_at(box, 200 + processed * number, decoded * number, skipped=skipped * number)
    assert box.record.digest == NEW


def test_a_version_is_not_slow_while_capture_is_away(box: Box) -> None:
    promoted_at(box, 20)
    for _ in range(9):
        box.says(model("nuts", NEW, processed=200))
        box.look(RATE_S)
    assert box.record.digest == NEW


def test_a_version_under_which_inference_ends_is_rolled_back(box: Box) -> None:
    box.runs()
    box.deploy(NEW, at_once=True)
    for lives in range(2, 2 + MOST_CRASHES):
        box.says(state=ServiceState.OFFLINE, lives=lives - 1)
        box.look()
        assert box.record.digest == NEW
        box.says(lives=lives)
        box.look()
    assert box.record.digest == OLD
    assert "the inference service ended 2 times" in box.told.reason


def test_a_first_version_under_which_inference_ends_is_stopped(box: Box) -> None:
    box.says()
    box.deploy(OLD, "front")
    for lives in range(2, 2 + MOST_CRASHES):
        box.says(model("nuts", OLD), lives=lives)
        box.look()
    assert box.wanted.models == ()
    assert (box.told.phase, len(problems(box))) == (Phase.FAILED, 1)
    assert problems(box)[0].startswith("model nuts: stopped: the inference service ended 2 times")
    with again(box) as later:
        assert later.wanted.models == ()
        later.deploy(OLD)
        assert len(later.wanted.models) == 1


def test_a_trial_under_which_inference_ends_is_ended(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    for lives in range(2, 2 + MOST_CRASHES):
        box.says(lives=lives)
        box.look()
    assert (box.record.digest, box.record.trial) == (OLD, None)
    assert box.listens_to == []


def test_a_worker_that_was_told_to_stop_is_held_against_nobody(box: Box) -> None:
    box.runs()
    box.deploy(NEW, at_once=True)
    for lives in range(2, 9):
        box.says(state=ServiceState.STOPPED, lives=lives - 1)
        box.says(lives=lives)
        box.look()
    assert box.record.digest == NEW


def test_a_version_is_not_rolled_back_to_one_that_is_gone(box: Box) -> None:
    box.runs()
    box.deploy(NEW, at_once=True)
    box.shelf.lose(OLD)
    box.says(fails("nuts", NEW))
    box.look(CATALOGUE_EVERY_S)
    assert (box.record.digest, box.told.phase) == (NEW, Phase.FAILED)
    assert problems(box) == ["model nuts: damaged"]
    box.shelf.held = (version(NEW), version(OLD))
    box.look(CATALOGUE_EVERY_S)
    assert box.record.digest == OLD


def test_a_version_that_fails_after_its_probation_goes_back_too(box: Box) -> None:
    box.runs()
    box.deploy(NEW, at_once=True)
    box.says(model("nuts", NEW))
    box.look()
    box.look(60)
    assert (box.told.phase, box.record.previous) == (Phase.RUNNING, OLD)
    box.says(fails("nuts", NEW, "it is not there"), lives=2)
    box.look(30)
    assert (box.told.phase, box.record.digest) == (Phase.FAILED, NEW)
    assert problems(box) == ["model nuts: it is not there"]
    box.look(30)
    assert box.record.digest == OLD


# -- what a model waits for -----------------------------------------------------------------------


def test_a_model_says_what_it_waits_for(box: Box) -> None:
    box.deploy(OLD, "front")
    assert box.told.reason == "no inference service runs"
    box.says()
    box.look()
    assert box.told.reason == ("inference was not told of it yet; the manager's problems say why")
    box.says(model("nuts"))
    box.look()
    assert box.told.reason == "inference loads it"
    box.says(model("nuts", OLD))
    box.look()
    assert box.told.reason == ""
    box.deploy(NEW)
    box.look()
    assert box.told.reason == (
        "for the trial: inference was not told of it yet; the manager's problems say why"
    )
    box.deployer.promote("nuts")
    assert box.told.reason == ""  # the version before runs meanwhile


# -- what the disk does ---------------------------------------------------------------------------


def test_what_is_desired_is_on_the_disk_before_it_is_told(box: Box) -> None:
    box.runs()
    for change in (
        lambda: box.deploy(NEW),
        lambda: box.deployer.promote("nuts"),
        lambda: box.deployer.roll_back("nuts"),
        lambda: box.deploy(OLD, "back"),
        lambda: box.deploy(OLD, threshold=0.25),
        lambda: box.deployer.undeploy("nuts", None),
    ):
        change()
        with again(box, crashed=True) as later:
            assert later.wanted == box.wanted
            assert later.deployer.models == box.deployer.models


def test_a_crash_in_the_middle_of_taking_a_model_away_leaves_no_half(box: Box) -> None:
    """The disk comes first: the report that is left over is cleared by the service."""
    box.runs()
    told = box.told

    def cleared(kind: type[Deployment], **levels: str) -> None:
        raise KeyboardInterrupt(kind, levels)

    box.bus.clear = cleared  # type: ignore[assignment,method-assign] # the process ends here
    with pytest.raises(KeyboardInterrupt):
        box.deployer.undeploy("nuts", None)
    with again(box, crashed=True) as later:
        assert later.names() == []
        assert retained(later.outside, Deployment) == [told]


def test_a_trial_goes_on_after_a_crash(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.frames(3, before=("nut",), after=("nut",))
    box.look(SAVE_EVERY_S)
    with again(box, crashed=True) as later:
        assert later.record.shadow == NEW
        assert (later.told.report and later.told.report.frames) == 3
        assert later.listens_to == ["nxai/v1/box/cameras/front/result"]
        later.both_run()
        later.look()
        assert (later.record.trial and later.record.trial.elapsed_s) == SAVE_EVERY_S + 1
        later.sequence = 100
        later.frames(1)
        later.look()
        assert (later.record.trial and later.record.trial.report.frames) == 4


def test_at_the_end_all_that_a_trial_has_seen_is_kept(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.frames(3)
    box.look()
    with again(box) as later:
        assert later.record.trial == box.record.trial


def test_what_a_trial_sees_is_written_now_and_then(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.look(SAVE_EVERY_S)
    before = box.kept.writes
    for _ in range(int(SAVE_EVERY_S)):
        box.look()
    assert box.kept.writes == before + 1


def test_what_does_not_change_is_not_written(box: Box) -> None:
    box.runs()
    box.look(SAVE_EVERY_S)
    before = box.kept.writes
    for _ in range(5):
        box.look(SAVE_EVERY_S)
    with again(box) as later:
        later.look(SAVE_EVERY_S)
        assert box.kept.writes == before


def test_a_model_that_cannot_run_is_not_written_again_and_again(box: Box) -> None:
    box.deploy(OLD, "front")
    box.says(fails("nuts", OLD))
    for _ in range(5):
        box.look(SAVE_EVERY_S)
    before = box.kept.writes
    for _ in range(5):
        box.look(SAVE_EVERY_S)
    assert box.kept.writes == before


def test_a_full_disk_is_tried_again_with_more_and_more_patience(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    box.kept.trouble = FULL
    before = box.kept.writes
    box.deploy(OLD, "front")
    assert box.wanted.models  # in force all the same
    assert problems(box) == ["disk: the disk is full; make room"]
    for _ in range(600):
        box.look()
    assert 5 <= box.kept.writes - before <= 60
    assert caplog.text.count("the disk is full") == 1
    box.kept.trouble = None
    box.look(DISK.longest_s)
    assert problems(box) == []
    with again(box, crashed=True) as later:
        assert later.names() == ["nuts"]


def test_the_last_write_is_tried_whatever_was_before(box: Box) -> None:
    box.kept.trouble = FULL
    box.deploy(OLD, "front")
    box.kept.trouble = None
    with again(box) as later:
        assert later.names() == ["nuts"]


# -- a start without what was kept ----------------------------------------------------------------


def test_a_file_that_cannot_be_read_takes_no_model_away(box: Box) -> None:
    box.runs()
    wanted = box.wanted
    box.kept.trouble = StorageUnavailable("deployments.json cannot be read: Permission denied")
    later = Box(box.broker, box.kept)
    with later.bus, later.outside:
        with pytest.raises(StorageUnavailable, match="Permission denied"):
            later.deployer.open()
        assert box.wanted == wanted
        box.kept.trouble = None
        later.deployer.open()
        assert later.names() == ["nuts"]


def test_a_file_that_is_gone_takes_no_model_away(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    box.runs(OLD, "front", "back")
    box.deploy(OLD, threshold=0.25)
    wanted = box.wanted
    box.deployer.close()
    box.kept.content = None
    later = Box(box.broker, box.kept)
    with opened(later):
        assert later.wanted == wanted
        later.look()
        assert later.wanted == wanted
        assert list(later.bus.router.mailboxes()) == []
        assert (later.record.phase, later.record.threshold) == (Phase.STARTING, 0.25)
        assert "going on with what the broker kept" in caplog.text
        later.says(model("nuts", OLD))
        later.look()
        assert later.told.phase is Phase.RUNNING
    with opened(Box(box.broker, box.kept)) as third:
        assert third.names() == ["nuts"]


def test_at_the_very_first_start_nothing_is_deployed() -> None:
    with opened(Box()) as box:
        assert retained(box.outside, Deployments) == []
        box.look()
        assert retained(box.outside, Deployments) == []
        box.look(FIRST_WORD_S)
        assert box.wanted.models == ()
        box.deploy(OLD, "front")
        assert len(box.wanted.models) == 1


@pytest.mark.parametrize("before", [True, False])
def test_who_asks_for_something_need_not_wait_until_it_is_found_out(box: Box, before: bool) -> None:
    if before:
        box.deployer.deploy("bolts", THIRD, ("back",), ("back",))
    else:
        box.bus.clear(Deployments, service="cloud-sync")
    box.kept.content = None
    with opened(Box(box.broker, box.kept)) as later:
        later.deploy(OLD, "front")
        assert later.names() == (["bolts", "nuts"] if before else ["nuts"])
        assert len(later.wanted.models) == len(later.names())


def test_that_nothing_was_deployed_is_no_loss(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    box.kept.content = None
    with opened(Box(box.broker, box.kept)) as later:
        later.look()
        assert later.wanted.models == ()
        later.deploy(OLD, "front")
    assert caplog.text == ""


def test_what_the_broker_keeps_is_waited_for_until_it_is_there(box: Box) -> None:
    """After a power cut both are started again at once."""
    box.runs()
    wanted = box.wanted
    box.kept.content = None
    box.broker.stop()
    later = Box(box.broker, box.kept)
    with opened(later):
        for _ in range(100):
            later.look()
        assert later.names() == []
        for ask in (
            lambda: later.deploy(NEW, "front"),
            lambda: later.deployer.undeploy("nuts", None),
        ):
            with pytest.raises(RejectedError, match="still being found out what is deployed"):
                ask()
        later.deployer.offer("nuts", "v9")
        box.broker.start()
        later.look()
        assert later.names() == ["nuts"]
        assert later.wanted == wanted
        assert later.told.offered == "v9"


def test_a_broker_that_goes_again_is_waited_for_again() -> None:
    with opened(Box()) as box:
        box.look()
        box.broker.stop()
        box.look(10)
        box.broker.start()
        box.look(10)
        assert retained(box.outside, Deployments) == []
        box.look(FIRST_WORD_S)
        assert box.wanted.models == ()


def test_an_end_before_it_is_known_what_is_deployed_changes_nothing() -> None:
    with opened(Box()) as box:
        box.look()
        assert len(list(box.bus.router.mailboxes())) == 1
        box.deployer.close()
        assert list(box.bus.router.mailboxes()) == []
        assert box.kept.writes == 0


# -- what is told, and how often ------------------------------------------------------------------


def test_nothing_new_is_told_to_nobody(box: Box) -> None:
    box.runs()
    box.says(model("nuts", OLD, processed=5))
    box.look(100)
    inbox = box.outside.subscribe(Subscription(Deployment), Subscription(Deployments))
    assert len(inbox.receive_many(9, 0)) == 2
    for number in range(50):
        box.says(model("nuts", OLD, processed=10 * number))
        box.look()
    assert inbox.receive_many(9, 0) == []


def test_the_figures_of_a_trial_are_told_now_and_then(box: Box) -> None:
    box.runs()
    box.deploy(NEW)
    box.both_run()
    box.frames(1)
    box.look()
    inbox = box.outside.subscribe(Subscription(Deployment))
    drain(inbox, Deployment)
    box.options = ShadowOptions(frames=1000)
    told = 0
    for _ in range(20):
        box.frames(1)
        box.look()
        told += len(drain(inbox, Deployment))
    assert told == 20 / TELL_EVERY_S
    box.deployer.end_shadow("nuts")  # what is more than a figure is told at once
    assert drain(inbox, Deployment)


def test_the_catalogue_is_read_now_and_then(box: Box) -> None:
    box.runs()
    before = box.shelf.reads
    for _ in range(100):
        box.look()
    assert box.shelf.reads - before == 100 / CATALOGUE_EVERY_S
    box.shelf.trouble = StorageUnavailable("the catalogue cannot be read")
    for _ in range(100):
        box.look()
    assert box.shelf.reads - before == 200 / CATALOGUE_EVERY_S


def test_a_catalogue_that_cannot_be_read_is_as_it_was(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    box.runs()
    told = box.told
    box.shelf.trouble = StorageUnavailable("the catalogue cannot be read")
    for _ in range(20):
        box.look(CATALOGUE_EVERY_S)
    assert box.told == told
    assert problems(box) == ["disk: the catalogue cannot be read"]
    assert caplog.text.count("the catalogue cannot be read") == 1
    with pytest.raises(StorageUnavailable):
        box.deploy(NEW)
    with again(box) as later:
        later.shelf.trouble = box.shelf.trouble
        later.look(CATALOGUE_EVERY_S)
        assert later.told.installed.digest == OLD


def test_a_catalogue_that_could_never_be_read_accuses_no_version(box: Box) -> None:
    box.runs()
    later = Box(box.broker, box.kept, box.clock)
    later.shelf.trouble = StorageUnavailable("the catalogue cannot be read")
    with opened(later):
        later.look()
        assert problems(later) == ["disk: the catalogue cannot be read"]
        assert later.told.installed.version == ""


def test_a_deployed_version_that_somebody_deleted_is_told(box: Box) -> None:
    box.runs()
    box.shelf.lose(OLD)
    box.look(CATALOGUE_EVERY_S)
    assert box.deployer.problems == (
        Problem(
            about="model nuts",
            reason=(
                "version aaaaaaaaaaaa is deployed, and it is not in the catalogue any more; it "
                "runs until the inference service is started again: import it again, or deploy "
                "another version"
            ),
        ),
    )
    assert box.told.phase is Phase.RUNNING
    box.shelf.held = (version(OLD, state=VersionState.FETCHED, reason="not tested yet"),)
    box.look(CATALOGUE_EVERY_S)
    assert problems(box) == []
    box.shelf.change(OLD, state=VersionState.REFUSED, reason="manifest.json is missing")
    box.look(CATALOGUE_EVERY_S)
    assert "is deployed, and manifest.json is missing; it runs until" in problems(box)[0]


def test_versions_have_their_names_from_the_first_word_on(box: Box) -> None:
    box.runs()
    with again(box) as later:
        (told,) = retained(later.outside, Deployment)
        assert told.installed.version == "v-aa"


def test_the_latest_version_follows_the_catalogue(box: Box) -> None:
    box.runs()
    newest = replace(version(THIRD), version="v-new")
    box.shelf.held = (newest, *box.shelf.held)
    box.look(CATALOGUE_EVERY_S)
    assert box.told.latest is not None
    assert box.told.latest.version == "v-new"


def test_the_reason_of_a_change_is_logged_once(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    box.deploy(OLD, "front")
    box.says(fails("nuts", OLD, "2 labels"))
    for _ in range(5):
        box.look()
    box.says(model("nuts", OLD))
    box.look()
    assert box.told.reason == ""
    assert [record.getMessage() for record in caplog.records] == ["model nuts: 2 labels"]


# -- what settings.json runs ----------------------------------------------------------------------


def test_a_version_that_settings_json_runs_is_in_use(box: Box) -> None:
    """By `"path": "catalogue:DIGEST"`, under any name."""
    guard = ModelStatus(
        model="guard", state="ready", digest=NEW, wanted=f"catalogue:{NEW}", path=f"catalogue:{OLD}"
    )
    box.says(guard)
    assert box.deployer.in_use() == dict.fromkeys((OLD, NEW), "inference runs it as model 'guard'")
    box.says(state=ServiceState.STOPPED)  # it is started again, with the same settings
    assert set(box.deployer.in_use()) == {OLD, NEW}
    box.runs(OLD)
    assert "model 'nuts' runs it on front" in box.deployer.in_use()[OLD]


def test_a_model_of_settings_json_that_has_the_name_is_told(box: Box) -> None:
    box.runs(OLD)
    assert not box.deployer.problems
    box.says(ModelStatus(model="nuts", state="ready", digest="f" * 64, wanted="n.onnx", path="n"))
    box.look()
    (problem,) = box.deployer.problems
    assert problem.about == "model nuts"
    assert problem.reason.startswith("settings.json has a model of this name, and that one runs")
    box.says(model("nuts", OLD))
    box.look()
    assert not box.deployer.problems


def test_what_is_deployed_beside_a_model_of_settings_json_says_what_it_waits_for(box: Box) -> None:
    box.says(ModelStatus(model="nuts", state="ready", digest="f" * 64, wanted="n.onnx", path="n"))
    box.deploy(OLD, "front")
    box.look()
    assert box.told.phase is Phase.STARTING
    assert box.told.reason == "settings.json has a model of this name, and that one runs"
