"""What is told of deployments."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nxai_cloud_sync.core.catalogue import Origin, VersionState
from nxai_cloud_sync.core.deploying import Deployed, Trial
from nxai_cloud_sync.core.reporting import (
    Around,
    desired_state,
    differ_in_figures_alone,
    report_of,
)
from nxai_common.contracts.deployments import Phase, ShadowReport, Version
from support.cloud_sync import version

pytestmark = pytest.mark.unit

OLD, NEW = "a" * 64, "b" * 64
SEEN = ShadowReport(frames=3, agreeing=2)


def running(**rest: Any) -> Deployed:
    about: dict[str, Any] = {"phase": Phase.RUNNING, **rest}
    return Deployed(
        model="nuts", name="Nuts", cameras=("front",), digest=OLD, since_us=1_500_000, **about
    )


AROUND = Around(versions=(version(NEW), version(OLD)))


def test_the_revision_depends_on_the_content_alone() -> None:
    one, other = running(), replace(running(), model="bolts")
    both = desired_state([one, other])
    assert desired_state([other, one]) == both
    assert desired_state([replace(one, phase=Phase.FAILED, reason="x", since_us=9), other]) == both
    assert desired_state([one]).revision != both.revision
    assert desired_state([replace(one, threshold=0.5), other]).revision != both.revision
    assert desired_state([]).models == ()


def test_a_model_that_runs() -> None:
    told = report_of(running(), AROUND)
    assert (told.model, told.name, told.cameras, told.phase) == (
        "nuts",
        "Nuts",
        ("front",),
        Phase.RUNNING,
    )
    assert told.since == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
    created = datetime(2026, 11, 28, 14, 2, tzinfo=UTC)
    assert told.installed == Version(digest=OLD, version="v-aa", created_at=created)
    assert told.latest == Version(digest=NEW, version="v-bb", created_at=created)
    assert (told.candidate, told.report, told.progress, told.promotable) == (None, None, 0, False)
    assert (told.reason, told.offered) == ("", "")


def test_installed_is_what_inference_runs() -> None:
    promoted = replace(running(), digest=NEW, phase=Phase.STARTING)
    assert report_of(promoted, replace(AROUND, runs=OLD)).installed.digest == OLD
    assert report_of(promoted, replace(AROUND, runs=NEW)).installed.digest == NEW
    assert report_of(promoted, AROUND).installed.digest == NEW
    # Of settings.json, and not of the catalogue.
    assert report_of(promoted, replace(AROUND, runs="c" * 64)).installed.digest == NEW


def test_the_latest_is_the_newest_that_works_of_this_model() -> None:
    versions = (
        version("1" * 64, model="bolts"),
        version("2" * 64, state=VersionState.REFUSED),
        version("3" * 64, state=VersionState.FETCHED),
        version(OLD),
        version(NEW),
    )
    told = report_of(running(), Around(versions))
    assert told.latest is not None
    assert told.latest.digest == OLD
    assert report_of(running(), Around()).latest is None


def test_a_version_that_is_gone_is_told_by_its_digest() -> None:
    assert report_of(running(), Around()).installed == Version(digest=OLD)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-28T16:02:00+02:00", datetime(2026, 11, 28, 14, 2, tzinfo=UTC)),
        ("2026-11-28T14:02:00", datetime(2026, 11, 28, 14, 2, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
    ],
)
def test_times_of_trainings(written: str, meant: datetime | None) -> None:
    around = Around((version(OLD, origin=Origin(created_at=written)),))
    assert report_of(running(), around).installed.created_at == meant


def test_a_trial_under_way() -> None:
    record = running(trial=Trial(NEW, report=SEEN))
    told = report_of(record, replace(AROUND, progress=0.25))
    assert (told.phase, told.progress, told.report) == (Phase.SHADOW, 0.25, SEEN)
    assert told.candidate is not None
    assert told.candidate.digest == NEW
    assert not told.promotable  # it has not seen enough


def test_a_trial_that_is_over() -> None:
    record = running(trial=Trial(NEW, report=SEEN, over=True))
    told = report_of(record, replace(AROUND, progress=0.25))
    assert (told.phase, told.progress, told.promotable) == (Phase.RUNNING, 1.0, True)
    objected = running(trial=Trial(NEW, report=SEEN, over=True, objection="slow"))
    assert not report_of(objected, AROUND).promotable
    promoted = replace(record, digest=NEW)
    assert not report_of(promoted, AROUND).promotable


def test_the_reason_of_the_record_is_better_than_a_remark() -> None:
    waiting = Around(remark="no inference service runs", offered="v9")
    assert report_of(running(), waiting).reason == "no inference service runs"
    assert report_of(running(reason="rolled back"), waiting).reason == "rolled back"
    assert report_of(running(), waiting).offered == "v9"


def test_figures_may_wait_and_nothing_else() -> None:
    told = report_of(running(trial=Trial(NEW, report=SEEN)), AROUND)
    more = told.model_copy(update={"report": ShadowReport(frames=9), "progress": 0.5})
    assert differ_in_figures_alone(more, told)
    assert not differ_in_figures_alone(more, None)
    assert not differ_in_figures_alone(more.model_copy(update={"reason": "x"}), told)
    assert not differ_in_figures_alone(more.model_copy(update={"report": None}), told)
    assert not differ_in_figures_alone(more, told.model_copy(update={"report": None}))
