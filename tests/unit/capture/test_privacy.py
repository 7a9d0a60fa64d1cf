"""What may still be shown after the options of a camera changed."""

from typing import Any

import pytest

from nxai_capture.core.privacy import before_this_run, may_show
from nxai_common.contracts.configuration import CaptureCamera

MASKS = (((0, 0), (1, 0), (0, 1)),)


def camera(**options: Any) -> CaptureCamera:
    return CaptureCamera.model_validate({"id": "a", "source": {"type": "demo"}, **options})


@pytest.mark.parametrize(
    ("then", "now", "shown"),
    [
        ({}, {"name": "other", "models": ["m"]}, True),
        ({"masks": MASKS}, {"masks": MASKS}, True),
        ({"snapshots": False}, {"snapshots": False}, True),
        ({"snapshots": False}, {"snapshots": True}, True),
        ({}, {"masks": MASKS}, False),
        ({"masks": MASKS}, {}, False),
        ({}, {"snapshots": False}, False),
        ({}, {"enabled": False}, False),
    ],
)
def test_only_what_the_options_still_allow_is_shown(
    then: dict[str, Any], now: dict[str, Any], shown: bool
) -> None:
    assert may_show(camera(**then), camera(**now)) is shown


def test_nothing_is_shown_of_a_removed_camera() -> None:
    assert not may_show(camera(), None)


@pytest.mark.parametrize(
    ("options", "shown"), [({}, True), ({"masks": MASKS}, False), ({"snapshots": False}, False)]
)
def test_of_an_earlier_run_nothing_is_known(options: dict[str, Any], shown: bool) -> None:
    found = camera(**options)
    assert may_show(before_this_run(found), found) is shown
