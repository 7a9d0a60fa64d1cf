from collections.abc import Sequence
from typing import Any

import pytest

from nxai_common.contracts.alarms import AlarmPhase, AlarmRule
from nxai_common.contracts.models import Task
from nxai_common.contracts.results import Classification, Detection
from nxai_publisher.core.alarms import AlarmChange, AlarmWatch, sight_of
from nxai_publisher.core.detections import utc
from support.results import SECOND_US, START_US, detection, result

pytestmark = pytest.mark.unit

START, AGAIN, END = AlarmPhase.START, AlarmPhase.AGAIN, AlarmPhase.END
NUT = detection()
BOLT = detection("bolt")
RIGHT_HALF = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
LOWER_HALF = ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))


class Line:
    """One watch with one rule, and results of a camera at whatever second."""

    def __init__(self, **rule: Any) -> None:
        self.watch = AlarmWatch("front", "m5-nut")
        self.rules = [AlarmRule.model_validate({"id": "nuts"} | rule)]

    def see(
        self, second: float, *found: Detection, rules: Sequence[AlarmRule] | None = None
    ) -> list[AlarmChange]:
        at_us = START_US + round(second * SECOND_US)
        seen = result(0, found, captured_at_us=at_us)
        return self.watch.observe(seen, self.rules if rules is None else rules)


def phases(changes: list[AlarmChange]) -> list[AlarmPhase]:
    return [change.phase for change in changes]


def test_an_alarm_starts_at_once_and_keeps_its_id_to_the_end() -> None:
    line = Line(labels=["nut"])
    assert line.see(0) == []
    (start,) = line.see(1, NUT, BOLT)
    assert (start.phase, start.sight.counts, start.sight.detections) == (START, {"nut": 1}, (NUT,))
    assert start.id.startswith("nuts-front-m5-nut-")
    (held,) = line.watch.held
    assert (held.id, held.rule, held.rule_name, held.model) == (start.id, "nuts", "nuts", "m5-nut")
    assert held.started_at == utc(start.started_at_us)
    assert line.see(2, NUT) == []
    assert line.see(3.9) == []  # a break of less than two seconds
    (end,) = line.see(4)
    assert (end.phase, end.id, end.duration_s, end.sight.count) == (END, start.id, 1.0, 0)
    assert line.watch.held == ()


def test_it_must_hold_for_as_long_as_the_rule_says_and_short_breaks_do_not_count() -> None:
    line = Line(for_s=3, clear_after_s=1)
    assert line.see(0, NUT) == []
    assert line.see(0.5) == []  # missed once
    assert line.see(1, NUT) == []
    assert line.see(2.9, NUT) == []
    (start,) = line.see(3, NUT)
    assert start.duration_s == 3
    other = Line(for_s=3, clear_after_s=1)
    other.see(0, NUT)
    assert other.see(1.5) == []  # gone for longer than a break
    assert other.see(3, NUT) == []
    assert phases(other.see(6, NUT)) == [START]


def test_nothing_there_is_an_alarm_too() -> None:
    line = Line(labels=["nut"], compare="at-most", count=0, for_s=10)
    line.see(0, NUT)
    assert line.see(1) == []
    assert phases(line.see(11)) == [START]
    assert line.see(11.5, NUT) == []
    assert phases(line.see(13, NUT)) == [END]


def test_a_model_that_does_not_know_the_label_says_nothing_of_it() -> None:
    line = Line(labels=["person"], compare="at-most", count=0)
    assert line.see(0) == []
    assert line.see(5, NUT) == []


@pytest.mark.parametrize(
    ("rule", "raised"),
    [
        ({"count": 2}, True),
        ({"count": 3}, False),
        ({"labels": ["nut"], "count": 2}, False),
        ({"labels": ["nut", "bolt"], "count": 2}, True),
        ({"compare": "at-most", "count": 2}, True),
        ({"compare": "at-most", "count": 1}, False),
        ({"min_confidence": 0.75}, True),
        ({"min_confidence": 0.76}, False),
        ({"area": RIGHT_HALF}, False),
        ({"cameras": ["front"]}, True),
        ({"cameras": ["back"]}, False),
        ({"enabled": False}, False),
    ],
)
def test_what_a_rule_counts(rule: dict[str, Any], raised: bool) -> None:
    assert bool(Line(**rule).see(0, NUT, BOLT)) is raised


def test_an_object_is_where_it_stands() -> None:
    rule = AlarmRule(id="right", area=RIGHT_HALF)
    left = detection(box=(0.0, 0.0, 638.0, 100.0))  # the middle of its lower edge: x 319
    right = detection(box=(0.0, 0.0, 642.0, 100.0))
    assert sight_of(result(0, [left, right]), rule).detections == (right,)
    rule = AlarmRule(id="floor", area=LOWER_HALF)
    above = detection(box=(0.0, 0.0, 100.0, 239.0))
    below = detection(box=(0.0, 0.0, 100.0, 241.0))  # most of it is above, its foot is not
    assert sight_of(result(0, [above, below]), rule).detections == (below,)


@pytest.mark.parametrize(
    ("confidence", "rule", "counts"),
    [
        (0.9, {}, {"nut": 1}),
        (0.9, {"area": RIGHT_HALF}, {"nut": 1}),
        (0.45, {}, {}),
        (0.9, {"min_confidence": 0.95}, {}),
        (0.9, {"labels": ["bolt"]}, {}),
    ],
)
def test_a_classifier_shows_its_likeliest_label_once(
    confidence: float, rule: dict[str, Any], counts: dict[str, int]
) -> None:
    shown = result(
        0,
        [],
        task=Task.CLASSIFICATION,
        classifications=(
            Classification(label="nut", confidence=confidence),
            Classification(label="bolt", confidence=0.1),
        ),
    )
    assert sight_of(shown, AlarmRule.model_validate({"id": "any"} | rule)).counts == counts


def test_it_is_told_again_while_it_lasts_if_the_rule_says_so() -> None:
    line = Line(again_every_s=5)
    assert phases(line.see(0, NUT)) == [START]
    assert line.see(4.9, NUT) == []
    assert phases(line.see(5, NUT, NUT)) == [AGAIN]
    assert line.see(9, NUT) == []
    assert phases(line.see(10, NUT)) == [AGAIN]


def test_a_rule_that_is_changed_or_gone_ends_its_alarm() -> None:
    line = Line()
    line.see(0, NUT)
    changed = line.rules[0].model_copy(update={"name": "Nuts!"})
    assert phases(line.see(1, NUT, rules=[changed])) == [END, START]
    assert phases(line.see(2, NUT, rules=[])) == [END]
    on_probation = Line(for_s=5)
    on_probation.see(0, NUT)
    assert on_probation.see(1, NUT, rules=[]) == []


def test_silence_ends_what_is_under_way() -> None:
    line = Line()
    line.see(0, NUT)
    (end,) = line.watch.end_all(START_US + 20 * SECOND_US)
    assert (end.phase, end.duration_s, end.sight.count) == (END, 0, 0)
    assert line.watch.end_all(START_US) == []
    assert phases(line.see(30, NUT)) == [START]


def test_a_clock_that_was_set_back_delays_nothing_for_long() -> None:
    line = Line(again_every_s=5)
    line.see(3600, NUT)
    assert line.see(0, NUT) == []
    assert phases(line.see(5, NUT)) == [AGAIN]
    assert line.see(6) == []
    assert phases(line.see(8)) == [END]
    waiting = Line(for_s=3)
    waiting.see(3600, NUT)
    waiting.see(0, NUT)
    assert phases(waiting.see(3, NUT)) == [START]
    gone = Line()
    gone.see(3600, NUT)
    assert gone.see(0) == []
    assert phases(gone.see(2)) == [END]


def test_two_rules_do_not_disturb_one_another() -> None:
    line = Line()
    line.rules.append(AlarmRule(id="bolts", labels=("bolt",)))
    assert [change.rule.id for change in line.see(0, NUT)] == ["nuts"]
    assert [change.rule.id for change in line.see(1, BOLT)] == ["bolts"]
    assert [alarm.rule for alarm in line.watch.held] == ["nuts", "bolts"]
