"""Frames that wait for a model: bounded, in order, not for ever."""

import pytest

from nxai_inference.core.parking import LIMIT, PLACES, Debt, ParkedFrame, Parking
from support.inference import frame

pytestmark = pytest.mark.unit


def parked(
    sequence: int, *, model: str = "m", camera: str = "front", until: float = 5
) -> ParkedFrame:
    return ParkedFrame(frame(sequence, camera=camera), model, until, None)


def test_a_full_row_lets_the_oldest_go() -> None:
    parking = Parking()
    for number in range(PLACES):
        assert parking.park(parked(number)) is None
    displaced = parking.park(parked(PLACES))
    assert displaced is not None
    assert displaced.frame.sequence == 0
    assert [p.frame.sequence for p in parking.release("m")] == list(range(1, PLACES + 1))
    assert parking.release("m") == []


def test_rows_do_not_mix() -> None:
    parking = Parking()
    for model, camera in (("m", "front"), ("m", "back"), ("n", "front")):
        parking.park(parked(1, model=model, camera=camera))
    assert {p.frame.camera for p in parking.release("m")} == {"front", "back"}
    assert [p.model for p in parking.release("n")] == ["n"]


def test_frames_whose_time_is_over_leave() -> None:
    parking = Parking()
    early, late = parked(1, until=5), parked(2, until=6)
    parking.park(early)
    parking.park(late)
    assert parking.expired(4.9) == []
    assert parking.expired(5) == [early]
    assert parking.expired(7) == [late]
    assert parking.expired(8) == []
    assert len(parking) == 0


def test_a_flood_of_cameras_does_not_fill_the_memory() -> None:
    parking = Parking()
    for number in range(LIMIT):
        assert parking.park(parked(number, camera=f"c{number}")) is None
    refused = parked(0, camera="one-more")
    assert parking.park(refused) is refused
    assert len(parking) == LIMIT


def test_the_last_answer_settles_a_debt() -> None:
    debt = Debt(3)
    assert [debt.settle() for _ in range(3)] == [False, False, True]
