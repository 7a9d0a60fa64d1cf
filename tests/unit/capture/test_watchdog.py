"""When a silent camera counts as stuck."""

import pytest

from nxai_capture.core.watchdog import GRACE_S, FrozenPicture, fingerprint, patience_with
from nxai_common.contracts.configuration import (
    CameraSource,
    CaptureCamera,
    DemoSource,
    FileSource,
    FolderSource,
    RtspSource,
    StillSource,
)
from support.pictures import flat, in_layout, soft


@pytest.mark.parametrize(
    ("source", "fps", "to_open", "to_read"),
    [
        (RtspSource(url="rtsp://camera/"), None, 20 + 20, 20),
        (RtspSource(url="rtsp://camera/", transport="tcp"), 25.0, 10 + 20, 20),
        (StillSource(url="http://camera/", interval_ms=60_000), None, 30, 20 + 60),
        (FolderSource(path="/p", interval_ms=3_600_000), None, 30, 20 + 3600),
        (FileSource(path="/f"), 0.1, 30, 20 + 10),
        (FileSource(path="/f"), None, 30, 20),
        (DemoSource(), 15.0, 30, 20),
    ],
)
def test_patience_is_the_sources_own_time_outs_and_pauses(
    source: CameraSource, fps: float | None, to_open: float, to_read: float
) -> None:
    patience = patience_with(CaptureCamera(id="front", source=source), fps)
    assert patience.to_open_s == pytest.approx(to_open + GRACE_S)
    assert patience.to_read_s == pytest.approx(to_read + GRACE_S)


def test_fingerprints_tell_pictures_apart() -> None:
    assert fingerprint(flat()) == fingerprint(flat())
    assert fingerprint(flat()) != fingerprint(flat(luma=101))
    assert fingerprint(in_layout(soft(64, 48), "rgb")) != fingerprint(
        in_layout(soft(64, 48), "bgr")
    )


def test_the_very_same_picture_for_too_long_is_frozen() -> None:
    frozen = FrozenPicture(10)
    assert not frozen.frozen(flat(), 0.0)
    assert not frozen.frozen(flat(), 9.9)
    assert frozen.frozen(flat(), 10.0)
    assert not frozen.frozen(flat(luma=3), 10.1)
    assert not frozen.frozen(flat(luma=3), 20.0)


def test_zero_means_never() -> None:
    frozen = FrozenPicture(0)
    assert not frozen.frozen(flat(), 0.0)
    assert not frozen.frozen(flat(), 1e9)
