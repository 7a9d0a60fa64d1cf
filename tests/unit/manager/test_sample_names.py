"""Names of pictures tell when they were captured, and some of them nothing."""

import pytest
from pydantic import TypeAdapter

from nxai_manager.web.api.samples import A_MOMENT, SampleKey, _captured_at

pytestmark = pytest.mark.unit


def test_name_tells_the_millisecond() -> None:
    at = _captured_at("front-20260314t150926535-0a1b")
    assert at is not None
    assert (at + A_MOMENT).isoformat(timespec="milliseconds") == "2026-03-14T15:09:26.536+00:00"


@pytest.mark.parametrize(
    "name",
    ["front", "front-20261399t000000000-ab", "front-00000101t000000000-ab"],
)
def test_other_names_tell_nothing(name: str) -> None:
    assert _captured_at(TypeAdapter(SampleKey).validate_python(name)) is None


def test_behind_the_last_moment_there_is_none() -> None:
    assert _captured_at("front-99991231t235959999-ab") is None
    assert _captured_at("front-99991231t235959998-ab") is not None
