from dataclasses import astuple

import numpy as np
import pytest

from nxai_capture.core.demo_scene import (
    BELT_BOTTOM,
    BELT_TOP,
    LABELS,
    SLOT,
    SLOT_JITTER,
    STEP,
    DemoPart,
    DemoScene,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "size", [(160, 120), (640, 480), (641, 361), (480, 640), (1280, 720), (1920, 1080)]
)
def test_pictures_have_the_size_asked_for(size: tuple[int, int]) -> None:
    width, height = size
    picture = DemoScene(width, height, 1).draw(7)
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous


@pytest.mark.parametrize("size", [(159, 120), (160, 119), (0, 0)])
def test_a_size_too_small_is_refused_by_name(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}.*160x120"):
        DemoScene(*size, 1)


@pytest.mark.parametrize("seed", [0, -5, 2**70])
def test_any_seed_and_any_index_in_any_order_give_the_same_picture(seed: int) -> None:
    one, other = DemoScene(320, 240, seed), DemoScene(320, 240, seed)
    for _ in range(3):
        one.draw(0)
    for index in (10**9, 5, -40, 6):
        assert np.array_equal(one.draw(index), other.draw(index))
        assert one.truth(index) == other.truth(index)
    assert np.array_equal(one.draw(5), DemoScene(320, 240, seed).draw(5))


def test_a_picture_handed_out_is_not_drawn_over() -> None:
    scene = DemoScene(160, 120, 1)
    first = scene.draw(0)
    kept = first.copy()
    first_again = scene.draw(0)
    scene.draw(1)
    assert np.array_equal(first, kept)
    first_again[:] = 0
    assert np.array_equal(scene.draw(0), kept)


def test_seeds_give_other_parts_and_other_pictures() -> None:
    scenes = [DemoScene(320, 240, seed) for seed in range(4)]
    assert len({scene.truth(0) for scene in scenes}) == len(scenes)
    assert len({scene.draw(0).tobytes() for scene in scenes}) == len(scenes)


def test_neighbouring_pictures_differ_even_where_nothing_moves() -> None:
    scene = DemoScene(320, 240, 1)
    first, second = scene.draw(0), scene.draw(1)
    rail = slice(0, 15)
    assert not np.array_equal(first[rail], second[rail])  # the noise of a camera
    assert np.abs(first[rail].astype(int) - second[rail]).mean() < 4


def test_truth_lies_inside_the_picture_and_on_the_belt() -> None:
    width, height = 640, 480
    scene = DemoScene(width, height, 3)
    labels = set()
    for index in range(0, 600, 5):
        for part in scene.truth(index):
            labels.add(part.label)
            assert part.x >= 0
            assert part.x + part.width <= width
            assert part.width > 0
            assert BELT_TOP * height <= part.y
            assert part.y + part.height <= BELT_BOTTOM * height
            assert 0 < part.visible <= 1
    assert labels == set(LABELS)


def test_parts_are_visible_in_part_only_at_the_sides() -> None:
    scene = DemoScene(640, 480, 3)
    partly = 0
    for index in range(200):
        for part in scene.truth(index):
            if part.visible < 1:
                partly += 1
                assert part.x == 0 or part.x + part.width == 640
    assert partly > 50


def test_parts_move_to_the_right_by_one_step_a_picture() -> None:
    scene = DemoScene(640, 480, 1)
    step = 480 // STEP
    moved = 0
    for index in range(100):
        later = {(p.label, p.x, p.y) for p in scene.truth(index + 1)}
        for part in scene.truth(index):
            if part.x > 0 and part.x + part.width < 640 - step:
                assert (part.label, part.x + step, part.y) in later
                moved += 1
    assert moved > 100


def test_parts_never_overlap_and_keep_the_distance_that_a_fomo_needs() -> None:
    for seed in range(8):
        scene = DemoScene(320, 180, seed)
        for index in range(0, 1000, 111):
            whole = [part for part in scene.truth(index) if part.visible == 1]
            for n, one in enumerate(whole):
                for other in whole[n + 1 :]:
                    assert not _overlap(one, other)
                    far_along = abs(_middle(one)[0] - _middle(other)[0]) >= 3 * 320 / 12
                    far_across = abs(_middle(one)[1] - _middle(other)[1]) >= 3 * 180 / 12
                    assert far_along or far_across, (seed, index, one, other)
    assert SLOT - 2 * SLOT_JITTER >= 4 * (16 / 9) / 12


def _middle(part: DemoPart) -> tuple[float, float]:
    return part.x + part.width / 2, part.y + part.height / 2


def _overlap(one: DemoPart, other: DemoPart) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def test_another_size_shows_the_same_parts() -> None:
    small, large = DemoScene(320, 240, 9), DemoScene(640, 480, 9)
    for index in range(0, 120, 30):
        seen = [p for p in large.truth(index) if p.visible > 0.2]
        also = [p for p in small.truth(index) if p.visible > 0.2]
        assert [p.label for p in seen] == [p.label for p in also]
        for one, other in zip(seen, also, strict=True):
            there = np.array(astuple(one)[1:5]) / 2
            assert np.abs(there - np.array(astuple(other)[1:5])).max() <= 3


def test_parts_are_drawn_where_the_truth_says() -> None:
    """The belt is dark, metal is bright: bright pixels lie inside the boxes and nowhere else."""
    scene = DemoScene(640, 480, 4)
    labels = set()
    for index in range(0, 300, 50):
        grey = scene.draw(index).mean(axis=2)[80:400]  # without rails and painted marks
        bright = grey > 1.5 * np.median(grey)  # the lamp in the belt reaches 1.4
        elsewhere = bright.copy()
        for part in scene.truth(index):
            top = max(part.y - 80, 0)
            rows, columns = (
                slice(top, part.y - 80 + part.height),
                slice(part.x, part.x + part.width),
            )
            elsewhere[rows, columns] = False
            if part.visible == 1:
                labels.add(part.label)
                # A ring fills most of its box, a tilted bolt turned from the lamp shines little.
                assert bright[rows, columns].mean() > 0.03, (index, part)
        assert elsewhere.mean() < 0.002, index
    assert labels == set(LABELS)


def test_the_belt_moves_with_the_parts() -> None:
    scene = DemoScene(640, 480, 1)
    empty = slice(56, 76)  # rows of painted marks, which no part reaches
    now, later = (scene.draw(n)[empty].astype(int) for n in (10, 13))
    shift = 3 * (480 // STEP)
    moved = np.abs(later[:, shift:] - now[:, :-shift]).mean()
    still = np.abs(later - now).mean()
    assert moved < 0.7 * still


def test_an_endless_run_keeps_only_what_is_near_the_picture() -> None:
    scene = DemoScene(160, 120, 1)
    for index in range(0, 5000, 20):
        scene.truth(index)
    assert len(scene._sprites) < 20
