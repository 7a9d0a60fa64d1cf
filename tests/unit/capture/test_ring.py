"""Ring of full-size pictures."""

from nxai_capture.core.credits import FrameKey
from nxai_capture.core.ring import PictureRing
from support.pictures import flat


def test_the_oldest_go_first_by_count() -> None:
    ring = PictureRing(2)
    assert ring.newest is None
    pictures = [flat() for _ in range(3)]
    for sequence, picture in enumerate(pictures):
        ring.put(FrameKey("a", sequence), picture)
    assert ring.get(FrameKey("a", 0)) is None
    assert ring.get(FrameKey("a", 1)) is pictures[1]
    assert ring.newest is pictures[2]


def test_bytes_are_bounded_but_the_newest_stays() -> None:
    ring = PictureRing(10, most_bytes=2 * flat().nbytes)
    for sequence in range(4):
        ring.put(FrameKey("a", sequence), flat())
    assert [ring.get(FrameKey("a", n)) is None for n in range(4)] == [True, True, False, False]
    large = flat(640, 480)
    ring.put(FrameKey("a", 4), large)
    assert ring.newest is large
    assert ring.get(FrameKey("a", 3)) is None
    ring.put(FrameKey("a", 5), flat())
    assert ring.get(FrameKey("a", 4)) is None


def test_one_picture_for_several_inputs_is_kept_once() -> None:
    ring = PictureRing(2)
    picture = flat()
    ring.put(FrameKey("a", 0), picture)
    ring.put(FrameKey("a", 0), picture)
    ring.put(FrameKey("a", 1), flat())
    assert ring.get(FrameKey("a", 0)) is picture


def test_nothing_is_kept_after_clearing_and_its_bytes_count_no_more() -> None:
    ring = PictureRing(10, most_bytes=2 * flat().nbytes)
    for sequence in range(2):
        ring.put(FrameKey("a", sequence), flat())
    ring.clear()
    assert ring.newest is None
    for sequence in range(2, 4):
        ring.put(FrameKey("a", sequence), flat())
    assert ring.get(FrameKey("a", 1)) is None
    assert ring.get(FrameKey("a", 2)) is not None
