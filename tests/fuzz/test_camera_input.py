"""Pictures and videos with bytes changed: a picture comes out, or one of our own errors."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nxai_capture.adapters.encoded_picture import decode_picture
from nxai_common.contracts.configuration import FileSource
from nxai_common.errors import CameraUnavailable, ConfigurationError, InvalidPayload
from support.cameras import opened
from support.clips import clip, encoded

PICTURES = {suffix: encoded(suffix, 5) for suffix in (".jpg", ".png", ".bmp", ".webp")}

changes = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12
)


def changed(data: bytes, where: list[tuple[float, int]], keep: float) -> bytes:
    """Return `data` with bytes replaced, and cut to a share of its length."""
    damaged = bytearray(data)
    for place, value in where:
        damaged[int(place * len(damaged))] = value
    return bytes(damaged[: int(len(damaged) * keep)])


@given(st.sampled_from(sorted(PICTURES)), changes, st.floats(0, 1))
def test_damaged_picture(suffix: str, where: list[tuple[float, int]], keep: float) -> None:
    try:
        picture = decode_picture(changed(PICTURES[suffix], where, keep), 0)
    except (InvalidPayload, CameraUnavailable):
        return
    assert picture.to_bgr().shape == (picture.height, picture.width, 3)


@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM", b"RIFF"]), st.binary(max_size=200))
def test_header_of_a_picture_and_nothing_real_behind_it(magic: bytes, rest: bytes) -> None:
    with pytest.raises((InvalidPayload, CameraUnavailable)):
        decode_picture(magic + rest, 0)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("fuzz") / "a.mp4", frames=6, width=64, height=48)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=changes, keep=st.floats(0.2, 1))
def test_damaged_video(
    video: Path, tmp_path: Path, where: list[tuple[float, int]], keep: float
) -> None:
    path = tmp_path / "damaged.mp4"
    path.write_bytes(changed(video.read_bytes(), where, keep))
    try:
        with opened(FileSource(path=str(path), pace="fast", loop=True)) as source:
            for _ in range(15):
                picture = source.read()
                assert picture is not None
                assert picture.to_rgb().shape == (picture.height, picture.width, 3)
    except (ConfigurationError, CameraUnavailable):
        return
