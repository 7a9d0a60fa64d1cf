"""Ring of full-size pictures."""

from nxai_capture.core.credits import FrameKey
from nxai_capture.core.ring import PictureRing
from support.pictures import flat


def test_the_oldest_go_first_by_count() -> None:
    ring = PictureRing(2, lambda _: False)
    assert ring.newest is None
    pictures = [flat() for _ in range(3)]
    for sequence, picture in enumerate(pictures):
        ring.put(FrameKey("a", sequence), picture)
    assert ring.get(FrameKey("a", 0)) is None
    assert ring.get(FrameKey("a", 1)) is pictures[1]
    assert ring.newest is pictures[2]


def test_bytes_are_bounded_but_the_newest_stays() -> None:
    ring = PictureRing(10, lambda _: False, most_bytes=2 * flat().nbytes)
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
    ring = PictureRing(2, lambda _: False)
    picture = flat()
    ring.put(FrameKey("a", 0), picture)
    ring.put(FrameKey("a", 0), picture)
    ring.put(FrameKey("a", 1), flat())
    assert ring.get(FrameKey("a", 0)) is picture


def test_nothing_is_kept_after_clearing_and_its_bytes_count_no_more() -> None:
    ring = PictureRing(10, lambda _: False, most_bytes=2 * flat().nbytes)
    for sequence in range(2):
        ring.put(FrameKey("a", sequence), flat())
    ring.clear()
    assert ring.newest is None
    for sequence in range(2, 4):
        ring.put(FrameKey("a", sequence), flat())
    assert ring.get(FrameKey("a", 1)) is None
    assert ring.get(FrameKey("a", 2)) is not None


def test_a_picture_whose_frame_is_in_flight_stays_whatever_comes_after() -> None:
    flying = {FrameKey("a", 0), FrameKey("a", 2)}
    ring = PictureRing(2, flying.__contains__)
    for sequence in range(7):
        ring.put(FrameKey("a", sequence), flat())
    assert [n for n in range(7) if ring.get(FrameKey("a", n))] == [0, 2, 5, 6]
    flying.clear()
    ring.put(FrameKey("a", 7), flat())
    assert [n for n in range(8) if ring.get(FrameKey("a", n))] == [6, 7]


def test_for_want_of_bytes_those_in_flight_go_last_and_the_newest_never() -> None:
    flying = {FrameKey("a", n) for n in (0, 2, 3, 4)}
    ring = PictureRing(10, flying.__contains__, most_bytes=2 * flat().nbytes)
    for sequence in range(3):
        ring.put(FrameKey("a", sequence), flat())
    assert [n for n in range(3) if ring.get(FrameKey("a", n))] == [0, 2]
    ring.put(FrameKey("a", 3), flat())
    assert [n for n in range(4) if ring.get(FrameKey("a", n))] == [2, 3]
    ring.put(FrameKey("a", 4), flat(640, 480))
    assert [n for n in range(5) if ring.get(FrameKey("a", n))] == [4]


def test_there_is_room_while_none_in_flight_has_to_go() -> None:
    flying = {FrameKey("a", 1), FrameKey("a", 2)}
    ring = PictureRing(10, flying.__contains__, most_bytes=2 * flat().nbytes)
    large = flat(640, 480)
    assert ring.has_room(FrameKey("a", 9), large), "alone it is always kept"
    ring.put(FrameKey("a", 0), flat())
    ring.put(FrameKey("a", 1), flat())
    assert ring.has_room(FrameKey("a", 9), flat())
    assert not ring.has_room(FrameKey("a", 9), large)
    ring.put(FrameKey("a", 2), flat())
    assert not ring.has_room(FrameKey("a", 9), flat())
    assert ring.has_room(FrameKey("a", 2), flat()), "it is kept already"
    flying.clear()
    assert ring.has_room(FrameKey("a", 9), flat())
