import threading
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from nxai_capture.adapters.file_source import VideoFileSource
from nxai_capture.adapters.pyav_decoding import VideoDecoder
from nxai_capture.adapters.pyav_picture import FrameConverter
from nxai_capture.adapters.sources import Sources
from nxai_capture.adapters.system_clock import SystemClock
from nxai_capture.core.picture import Gray, Rgb, Yuv420
from nxai_common.contracts.configuration import FileSource
from nxai_common.errors import CameraUnavailable, ConfigurationError
from support.cameras import opened, read_all
from support.clips import (
    clip,
    draw,
    lying_avi,
    number_of,
    resolution_change,
    truncated,
    write_video,
)
from support.clocks import FakeClock
from support.shared import shared


def fast(path: Path, *, loop: bool = False) -> FileSource:
    return FileSource(path=str(path), pace="fast", loop=loop)


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (322, 242), (161, 121)])
def test_fast_reading_gives_every_picture_once_and_in_order(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    width, height = size
    even = width % 2 == 0
    path = clip(
        tmp_path / "a.mkv",
        frames=45,
        width=width,
        height=height,
        codec="libx264" if even else "mjpeg",
        pixel_format="yuv420p" if even else "yuvj420p",
    )
    with opened(fast(path)) as source:
        pictures = read_all(source)
        assert source.info.lossless
        assert source.info.codec == ("h264" if even else "mjpeg")
        assert source.info.nominal_fps == pytest.approx(30)
    assert [number_of(p) for p in pictures] == list(range(45))
    for picture in pictures:
        assert isinstance(picture.planes, Yuv420)
        assert picture.planes.y.shape == (height, width)
        assert picture.planes.u.shape == ((height + 1) // 2, (width + 1) // 2)
        assert not picture.corrupt


def test_pictures_stay_as_they_are_while_the_decoder_goes_on(tmp_path: Path) -> None:
    """The planes are the decoder's own memory; it must not reuse it while somebody looks."""
    with opened(fast(clip(tmp_path / "a.mp4", frames=60))) as source:
        pictures = read_all(source)
    assert [number_of(p) for p in pictures] == list(range(60))


def test_real_clip_decodes_to_what_opencv_shows() -> None:
    path = shared("media/conveyor.mp4")
    reference = cv2.VideoCapture(str(path))
    with opened(fast(path)) as source:
        for _ in range(5):
            picture = source.read()
            assert picture is not None
            done, bgr = reference.read()
            assert done
            assert (picture.height, picture.width) == bgr.shape[:2]
            difference = np.abs(picture.to_bgr().astype(int) - bgr)
            assert difference.mean() < 2  # OpenCV smooths chroma when it doubles its size
    reference.release()


@pytest.mark.parametrize(
    ("codec", "pixel_format", "kind"),
    [
        ("mjpeg", "yuvj420p", Yuv420),
        ("mjpeg", "yuvj422p", Yuv420),
        ("mjpeg", "yuvj444p", Yuv420),
        ("libx264", "yuv422p", Yuv420),
        ("libx264", "yuv420p10le", Yuv420),
        ("libx264", "nv12", Yuv420),
        ("png", "gray", Gray),
        ("rawvideo", "yuyv422", Yuv420),
        ("png", "rgb24", Rgb),
        ("png", "rgba", Rgb),
        ("rawvideo", "bgr24", Rgb),
    ],
)
def test_every_pixel_format_keeps_its_colours(
    tmp_path: Path, codec: str, pixel_format: str, kind: type
) -> None:
    path = clip(tmp_path / "a.nut", frames=3, codec=codec, pixel_format=pixel_format)
    with opened(fast(path)) as source:
        picture = read_all(source)[-1]
    assert isinstance(picture.planes, kind)
    assert number_of(picture) == 2
    expected = draw(2, 640, 480).astype(int)
    if pixel_format == "gray":
        expected = cv2.cvtColor(draw(2, 640, 480), cv2.COLOR_RGB2GRAY)[:, :, None].astype(int)
    assert np.abs(picture.to_rgb() - expected).mean() < 3


def test_gray_of_video_range_is_spread() -> None:
    frame = av.VideoFrame.from_ndarray(np.full((48, 64), 235, np.uint8), format="gray")
    frame.color_range = 1
    picture = FrameConverter().picture(frame, 0, corrupt=False)
    assert np.all(picture.to_rgb() == 255)


def test_bottom_up_rows_are_turned(tmp_path: Path) -> None:
    """Raw RGB in AVI is stored bottom up: FFmpeg hands it out with a negative line size."""
    path = clip(tmp_path / "a.avi", frames=2, codec="rawvideo", pixel_format="bgr24")
    with opened(fast(path)) as source:
        picture = read_all(source)[1]
    assert np.array_equal(picture.to_rgb(), draw(1, 640, 480))


def test_colour_tags_choose_the_matrix(tmp_path: Path) -> None:
    found = {}
    for tag in ("bt709", "smpte170m"):
        path = tmp_path / f"{tag}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            stream.codec_context.options = {"x264-params": f"colormatrix={tag}"}
            frame = av.VideoFrame.from_ndarray(draw(1, 320, 240), format="rgb24")
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with opened(fast(path)) as source:
            planes = read_all(source)[0].planes
            assert isinstance(planes, Yuv420)
            found[tag] = planes.matrix
    assert found == {"bt709": "bt709", "smpte170m": "bt601"}


def test_loop_goes_on_for_ever_with_time_going_on(tmp_path: Path) -> None:
    clock = FakeClock()
    source = FileSource(path=str(clip(tmp_path / "a.mp4", frames=10, fps=10)), loop=True)
    with VideoFileSource(source, clock, 10) as opened_source:
        numbers, times = [], []
        for _ in range(35):
            picture = opened_source.read()
            assert picture is not None
            numbers.append(number_of(picture))
            times.append(clock.now)
    assert numbers == [*range(10)] * 3 + [*range(5)]
    assert np.allclose(np.diff(times), 0.1, atol=1e-3)


def test_loop_of_a_file_that_cannot_seek_opens_it_again(tmp_path: Path) -> None:
    with opened(fast(clip(tmp_path / "a.h264", frames=10), loop=True)) as source:
        numbers = [number_of(p) for _ in range(25) if (p := source.read()) is not None]
    assert numbers == [*range(10), *range(10), *range(5)]


def test_realtime_waits_for_each_picture_by_its_own_time(tmp_path: Path) -> None:
    clock = FakeClock()
    source = FileSource(path=str(clip(tmp_path / "a.mp4", frames=20, fps=5)), loop=False)
    with VideoFileSource(source, clock, 10) as opened_source:
        assert not opened_source.info.lossless
        began = clock.now
        stamps = [p.captured_at_us for p in read_all(opened_source)]
    assert clock.now - began == pytest.approx(19 / 5, abs=0.01)
    assert np.allclose(np.diff(stamps), 200_000, atol=2)


def test_realtime_after_a_pause_does_not_race_to_catch_up(tmp_path: Path) -> None:
    clock = FakeClock()
    source = FileSource(path=str(clip(tmp_path / "a.mp4", frames=20, fps=5)), loop=False)
    with VideoFileSource(source, clock, 10) as opened_source:
        opened_source.read()
        clock.now += 3600  # the machine slept
        opened_source.read()
        before = clock.now
        opened_source.read()
        assert clock.now - before == pytest.approx(0.2, abs=0.01)


def test_time_that_jumps_in_a_joined_recording_costs_one_step(tmp_path: Path) -> None:
    late = clip(tmp_path / "late.ts", frames=10, first_pts=3600 * 30)
    early = clip(tmp_path / "early.ts", frames=10)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(early.read_bytes() + late.read_bytes() + early.read_bytes())
    clock = FakeClock()
    with VideoFileSource(FileSource(path=str(joined), loop=False), clock, 10) as source:
        began = clock.now
        assert len(read_all(source)) == 30
        assert clock.now - began == pytest.approx(29 / 30, abs=0.1)


def test_title_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", frames=3, metadata={"title": "Gate camera"})
    path.write_bytes(path.read_bytes().replace(b"Gate", b"\xff\xfe\xad\xc0"))
    with opened(fast(path)) as source:
        assert len(read_all(source)) == 3


class SetBack(SystemClock):
    """The real one, set back by what a test says."""

    by_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() - self.by_s


def test_interrupt_wakes_a_reader_that_waits_for_its_time(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=3, fps=1)
    source, clock = FileSource(path=str(path), loop=False), SetBack()
    with VideoFileSource(source, clock, 10) as opened_source:
        opened_source.read()
        clock.by_s = 3600.0  # the next picture is due in an hour
        threading.Timer(0.05, opened_source.interrupt).start()
        with pytest.raises(CameraUnavailable, match="interrupted"):
            opened_source.read()


def test_resolution_change_in_the_middle_is_followed(tmp_path: Path) -> None:
    with opened(fast(resolution_change(tmp_path))) as source:
        pictures = read_all(source)
    assert [(p.width, p.height) for p in pictures] == [(320, 240)] * 10 + [(640, 480)] * 10
    assert [number_of(p) for p in pictures] == list(range(20))


def test_turned_video_of_a_phone_is_upright(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=2)
    data = bytearray(path.read_bytes())
    identity = b"".join(n.to_bytes(4, "big") for n in (1 << 16, 0, 0, 0, 1 << 16))
    at = data.index(identity, data.index(b"tkhd"))
    quarter = (0, 1 << 16, 0, (-1 << 16) & 0xFFFFFFFF, 0)
    data[at : at + 20] = b"".join(n.to_bytes(4, "big") for n in quarter)
    path.write_bytes(data)
    reference = cv2.VideoCapture(str(path))
    done, bgr = reference.read()
    reference.release()
    assert done
    with opened(fast(path)) as source:
        picture = source.read()
    assert picture is not None
    assert (picture.width, picture.height) == (480, 640)
    assert np.abs(picture.to_bgr().astype(int) - bgr).mean() < 3


def test_truncated_video_plays_what_is_there_and_is_counted(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=90, container_options={"movflags": "faststart"})
    truncated(path, 0.4)
    with VideoFileSource(fast(path), SystemClock(), 10) as source:
        pictures = read_all(source)
        assert 10 < len(pictures) < 60
        assert source.losses.damaged >= 1
    whole = [p for p in pictures if not p.corrupt]
    assert [number_of(p) for p in whole] == list(range(len(whole)))


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_what_follows_a_damaged_picture_is_corrupt_up_to_the_next_key_frame(
    tmp_path: Path, keep: float
) -> None:
    path = clip(tmp_path / "a.mp4", frames=30, gop=10)
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][14]
    assert packet.pos is not None
    data = bytearray(path.read_bytes())
    kept = int(packet.size * keep)
    data[packet.pos + kept : packet.pos + packet.size] = bytes(packet.size - kept)
    path.write_bytes(data)
    with opened(fast(path)) as source:
        pictures = read_all(source)
    whole = [number_of(p) for p in pictures if not p.corrupt]
    assert whole == [*range(14), *range(20, 30)]
    assert len(pictures) > len(whole)


def damage_packet(path: Path, number: int, damage: Callable[[bytes], bytes]) -> None:
    """Replace a packet of a video by a shorter one; zeros fill it up."""
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][number]
    assert packet.pos is not None
    data = bytearray(path.read_bytes())
    start = data.index(bytes(packet), packet.pos)
    data[start : start + packet.size] = damage(bytes(packet)).ljust(packet.size, b"\0")
    path.write_bytes(data)


def hole(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[len(data) * 3 // 4 :]


def test_a_jpeg_of_a_video_that_is_damaged_inside_is_corrupt_and_shown(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.avi", frames=8, codec="mjpeg", pixel_format="yuvj420p")
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    damage_packet(path, 2, hole)
    damage_packet(path, 3, hole)
    damage_packet(path, 5, lambda _: b"\xff\xd8 no JPEG \xff\xd9")
    with av.open(str(path)) as container:
        decoder = VideoDecoder(container, live=True)
        shown = [(times.index(frame.time), damaged) for frame, damaged in decoder.frames()]
        assert decoder.broken == 1
    assert shown == [(n, n in (2, 3)) for n in range(8) if n != 5]


def test_truncated_video_loops_what_is_there(tmp_path: Path) -> None:
    path = truncated(
        clip(tmp_path / "a.mp4", frames=90, container_options={"movflags": "faststart"}), 0.4
    )
    with VideoFileSource(fast(path, loop=True), SystemClock(), 10) as source:
        numbers = [number_of(p) for _ in range(150) if (p := source.read()) is not None]
        assert len(numbers) == 150
        assert source.losses.damaged >= 2
    assert numbers.count(0) >= 2


def test_header_that_lies_about_the_number_of_pictures_is_not_believed(tmp_path: Path) -> None:
    for claimed in (3, 3000):
        with opened(fast(lying_avi(tmp_path, 12, claimed))) as source:
            assert [number_of(p) for p in read_all(source)] == list(range(12))


def test_8k_video_is_read(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        [np.full((4320, 7680, 3), 90, np.uint8)],
        codec="mjpeg",
        pixel_format="yuvj420p",
        fps=1,
        gop=1,
        container_options={},
    )
    with opened(fast(path)) as source:
        picture = source.read()
    assert picture is not None
    assert (picture.width, picture.height) == (7680, 4320)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"I am no video\n" * 100, "is not a video"),
        ("noise.mp4", bytes(range(256)) * 40, "is not a video"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "is not a video"),
    ],
)
def test_what_is_no_video_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason) as refused, opened(fast(path)):
        pass
    assert name in str(refused.value)


def test_video_whose_index_is_cut_off_is_refused_by_name(tmp_path: Path) -> None:
    path = truncated(clip(tmp_path / "a.mp4", frames=30), 0.5)
    with pytest.raises(ConfigurationError, match=r"a\.mp4.*truncated"), opened(fast(path)):
        pass


@pytest.mark.parametrize(("name", "reason"), [("nowhere.mp4", "does not exist"), ("", "folder")])
def test_missing_file_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason), opened(fast(tmp_path / name)):
        pass


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ConfigurationError, match=r"a\.mka"), opened(fast(path)):
        pass


def test_file_that_vanishes_while_looping_says_so(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.h264", frames=5)
    with opened(fast(path, loop=True), sources=Sources()) as source:
        source.read()
        path.unlink()
        with pytest.raises(ConfigurationError, match="does not exist"):
            read_all(source)
