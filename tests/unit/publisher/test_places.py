import re

import pytest

from nxai_common.contracts.commands import ListResults
from nxai_common.errors import RejectedError
from nxai_publisher.core.observation import LARGEST_INTEGER, LATEST_CAPTURE_US
from nxai_publisher.core.places import Place, Walk
from nxai_publisher.core.rows import LONGEST_STREAM
from support.results import START_US

PLACE = Place(START_US, "front", "m5-nut", "0f3a9c1d", 17)
LONGEST = Place(
    LATEST_CAPTURE_US - 1, "c" * 64, "m" * 64, "\U0001f529" * LONGEST_STREAM, LARGEST_INTEGER
)


@pytest.mark.parametrize("walk", Walk)
@pytest.mark.parametrize("place", [PLACE, LONGEST, Place(0), Place(START_US, stream="=\n~")])
def test_a_place_comes_back_as_it_was(place: Place, walk: Walk) -> None:
    text = place.text(walk)
    question = ListResults.model_validate(
        {"since": "2026-11-22", "until": "2026-11-23", "after": text}
    )
    assert Place.read(question.after, walk) == place


def test_it_is_behind_a_row() -> None:
    row = {"captured_at_us": 5, "camera": "a", "model": "m", "stream": "s", "sequence": 2}
    assert Place.behind(row) == Place(5, "a", "m", "s", 2)


def test_nothing_is_the_beginning() -> None:
    assert Place.read("", Walk.EXPORT) is None


def test_it_cannot_be_read_by_a_person() -> None:
    assert re.fullmatch("[A-Za-z0-9_-]+", PLACE.text(Walk.EXPORT))


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "====",
        "AAAA",
        "_" * 600,
        PLACE.text(Walk.OLDEST_FIRST),
        PLACE.text(Walk.NEWEST_FIRST)[:20],
        Place(-1).text(Walk.NEWEST_FIRST),
        Place(2**63).text(Walk.NEWEST_FIRST),
        Place(1, sequence=-1).text(Walk.NEWEST_FIRST),
        Place(1, sequence=2**63).text(Walk.NEWEST_FIRST),
        Place(1, stream="a\0b").text(Walk.NEWEST_FIRST),
    ],
)
def test_what_was_not_given_out_is_refused(text: str) -> None:
    with pytest.raises(RejectedError, match="leave it empty to begin anew"):
        Place.read(text, Walk.NEWEST_FIRST)
