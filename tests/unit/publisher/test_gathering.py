import numpy as np
import pytest

from nxai_common.contracts.configuration import NxOutputOptions
from nxai_common.contracts.outputs import NxOutput, Output
from nxai_publisher.core import gathering
from nxai_publisher.core.gathering import Gathered
from nxai_publisher.core.nx_output import output_of
from support.results import result, with_image, with_tensors


def entry(number: int, *, ordered: bool = False) -> NxOutput:
    options = NxOutputOptions(format="orderedArray" if ordered else "namedObject")
    found = output_of(result(number), options, device="box", camera_index=0, camera_name="")
    return found.entries[0]


def test_what_is_gathered_leaves_in_order_and_once() -> None:
    gathered = Gathered()
    entries = tuple(entry(n) for n in range(3))
    for one in entries:
        assert gathered.fits(one)
        gathered.add(one, 0.0)
    assert gathered.take() == entries
    assert gathered.take() == ()


def test_it_is_due_so_long_after_the_first() -> None:
    gathered = Gathered()
    assert not gathered.due(1000.0, 5.0)
    gathered.add(entry(0), 1000.0)
    gathered.add(entry(1), 1004.0)
    assert not gathered.due(1004.9, 5.0)
    assert gathered.due(1005.0, 5.0)
    gathered.take()
    gathered.add(entry(2), 1006.0)
    assert not gathered.due(1010.9, 5.0)


def test_what_left_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_BYTES", 10_000)
    gathered = Gathered()
    left = 0
    while gathered.fits(entry(left)):
        gathered.add(entry(left), 0.0)
        left += 1
    gathered.take()
    gathered.add(entry(left), 0.0)
    assert gathered.fits(entry(left + 1))


def test_no_more_entries_fit_than_one_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_ENTRIES", 2)
    gathered = Gathered()
    for number in range(2):
        assert gathered.fits(entry(number))
        gathered.add(entry(number), 0.0)
    assert not gathered.fits(entry(2))


@pytest.mark.parametrize("ordered", [False, True])
def test_the_size_of_an_array_is_known_before_it_is_written(
    monkeypatch: pytest.MonkeyPatch, *, ordered: bool
) -> None:
    values = np.linspace(0, 1, 5000, dtype=np.float32) / 7
    large = with_image(with_tensors(result(0), scores=values), np.zeros((120, 120, 3), np.uint8))
    options = NxOutputOptions(format="orderedArray" if ordered else "namedObject")
    found = output_of(large, options, device="box", camera_index=0, camera_name="Front door")
    size = len(found.encode())
    gathered = Gathered()
    gathered.add(found.entries[0], 0.0)
    for room, fits in ((2 * size, True), (size, False)):
        monkeypatch.setattr(gathering, "MOST_BYTES", room * 1.2)
        assert gathered.fits(found.entries[0]) == fits
    both = Output(camera="front", entries=(*gathered.take(), found.entries[0]))
    assert 1.8 * size < len(both.encode()) <= 2.2 * size


def test_one_that_is_larger_than_all_room_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_BYTES", 10)
    gathered = Gathered()
    assert gathered.fits(entry(0))
    gathered.add(entry(0), 0.0)
    assert not gathered.fits(entry(1))
