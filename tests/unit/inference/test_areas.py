"""Detection areas: which points, boxes and cells count."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nxai_common.contracts.configuration import DetectionAreas
from nxai_common.contracts.frames import Transform
from nxai_common.contracts.geometry import holds
from nxai_common.contracts.models import Task
from nxai_inference.core.areas import Areas, Ground, Limit
from nxai_inference.core.decoding import Decoded, Decoder, FomoDecoder, decoder_for
from support.decoding import manifest, raw
from support.inference import frame

pytestmark = pytest.mark.unit

Corners = tuple[tuple[float, float], ...]

SQUARE: Corners = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
LEFT: Corners = ((0, 0), (0.5, 0), (0.5, 1), (0, 1))
ARROW: Corners = ((0, 0), (1, 0), (0.5, 0.5), (1, 1), (0, 1))
"""Its right side is cut in."""
STAR: Corners = ((0.5, 0), (0.8, 1), (0, 0.4), (1, 0.4), (0.2, 1))
"""Its lines go twice round the middle."""

steps = st.integers(0, 8).map(lambda step: step / 8)
"""Few and exact, so that edges and corners are met all the time."""
points = st.tuples(steps, steps)
polygons = st.lists(points, min_size=3, max_size=8).map(tuple)
anywhere = st.floats(0, 1)


@pytest.mark.parametrize(
    ("corners", "point", "inside"),
    [
        (SQUARE, (0.5, 0.5), True),
        (SQUARE, (0.2, 0.5), False),
        (SQUARE, (0.8, 0.5), False),
        (SQUARE, (0.5, 0.2), False),
        (SQUARE, (0.5, 0.8), False),
        *((SQUARE, corner, True) for corner in SQUARE),
        (SQUARE, (0.25, 0.4), True),  # each edge
        (SQUARE, (0.75, 0.4), True),
        (SQUARE, (0.4, 0.25), True),
        (SQUARE, (0.4, 0.75), True),
        (SQUARE, (0.1, 0.25), False),  # on the line of an edge, beside it
        (SQUARE, (0.9, 0.75), False),
        (ARROW, (0.25, 0.5), True),
        (ARROW, (0.6, 0.5), False),
        (ARROW, (0.5, 0.5), True),
        (ARROW, (0.75, 0.25), True),  # on the slant
        (ARROW, (0.9, 0.05), True),
        (STAR, (0.5, 0.2), True),
        (STAR, (0.5, 0.5), False),
        (((0.5, 0.5),) * 3, (0.5, 0.5), True),  # no area at all: its one point
        (((0.5, 0.5),) * 3, (0.5, 0.6), False),
        (((0, 0), (1, 1), (0.5, 0.5)), (0.75, 0.75), True),  # folded flat
        (((0, 0), (1, 1), (0.5, 0.5)), (0.75, 0.7), False),
    ],
)
def test_points(corners: Corners, point: tuple[float, float], inside: bool) -> None:
    assert holds(corners, *point) is inside


def exactly_holds(corners: Corners, point: tuple[float, float]) -> bool:
    """Work it out with fractions and by angles' quadrants: an odd winding number is inside."""
    x, y = map(Fraction, point)
    quarters = 0
    for (ax, ay), (bx, by) in zip(corners, (*corners[1:], corners[0]), strict=True):
        ux, uy = Fraction(ax) - x, Fraction(ay) - y
        vx, vy = Fraction(bx) - x, Fraction(by) - y
        cross, dot = ux * vy - uy * vx, ux * vx + uy * vy
        if cross == 0 and dot <= 0:
            return True  # on the edge
        turn = (_quadrant(vx, vy) - _quadrant(ux, uy)) % 4
        quarters += {0: 0, 1: 1, 3: -1, 2: 2 if cross > 0 else -2}[turn]
    return quarters // 4 % 2 == 1


def _quadrant(x: Fraction, y: Fraction) -> int:
    if x > 0 and y >= 0:
        return 0
    if x <= 0 and y > 0:
        return 1
    return 2 if x < 0 else 3


@given(polygons, points)
@example(((0, 0), (0.5, 0), (1, 0), (1, 1)), (0.5, 0))
def test_as_exact_numbers_say(corners: Corners, point: tuple[float, float]) -> None:
    assert holds(corners, *point) == exactly_holds(corners, point)


@given(polygons, st.tuples(anywhere, anywhere), st.integers(0, 7), st.booleans())
def test_it_does_not_matter_where_the_corners_begin_and_which_way_they_go(
    corners: Corners,
    point: tuple[float, float],
    start: int,
    backwards: bool,
) -> None:
    start %= len(corners)
    turned = corners[start:] + corners[:start]
    assert holds(turned[::-1] if backwards else turned, *point) == holds(corners, *point)


@given(polygons, anywhere, st.integers(0, 7))
def test_a_point_on_an_edge_is_inside_however_it_was_rounded(
    corners: Corners, share: float, number: int
) -> None:
    (ax, ay), (bx, by) = corners[number % len(corners)], corners[(number + 1) % len(corners)]
    assert holds(corners, ax + (bx - ax) * share, ay + (by - ay) * share)


@given(st.lists(points, min_size=2, max_size=2), st.tuples(anywhere, anywhere))
def test_a_rectangle_is_what_its_sides_say(
    ends: list[tuple[float, float]], point: tuple[float, float]
) -> None:
    (left, right), (top, bottom) = (sorted(pair) for pair in zip(*ends, strict=True))
    x, y = point
    assume(min(abs(x - left), abs(x - right), abs(y - top), abs(y - bottom)) > 1e-6)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    assert holds(corners, x, y) == (left < x < right and top < y < bottom)


def test_areas_of_nothing_are_none() -> None:
    assert Areas.of(DetectionAreas()) is None
    assert Areas.of(DetectionAreas(include=(SQUARE,))) is not None
    assert Areas.of(DetectionAreas(exclude=(SQUARE,))) is not None


@given(st.lists(polygons, max_size=3), st.lists(polygons, max_size=3), points)
def test_an_object_counts_in_any_included_area_and_in_no_excluded_one(
    include: list[Corners], exclude: list[Corners], point: tuple[float, float]
) -> None:
    areas = Areas(tuple(include), tuple(exclude))
    wanted = not include or any(exactly_holds(corners, point) for corners in include)
    refused = any(exactly_holds(corners, point) for corners in exclude)
    assert areas.hold(*point) == (wanted and not refused)


# -- under the pixels of a model -------------------------------------------------------------------


def fomo(side: int = 32, cells: int = 4) -> Decoder:
    about = manifest(Task.FOMO, 2, side, side)
    return decoder_for(about, [raw(np.zeros((1, cells, cells, 3), np.float32)).info])


def yolo() -> Decoder:
    about = manifest(Task.YOLOV5, 2, 32, 32)
    return decoder_for(about, [raw(np.zeros((1, 5, 7), np.float32)).info])


def ground(areas: Areas, decoder: Decoder | None = None, **rest: Any) -> Ground:
    return Ground.build(areas, decoder or yolo(), frame(**rest))


@pytest.mark.parametrize(
    ("box", "counts"),
    [
        ((0, 0, 10, 10), True),
        ((22, 0, 10, 10), False),
        ((11, 0, 10, 10), True),  # its middle lies on the edge
        ((12, 0, 10, 10), False),
        ((6, 0, 10, 10), True),
        ((16, 0, 16, 31), False),
    ],
)
def test_an_object_is_where_the_middle_of_its_lower_edge_is(
    box: tuple[int, ...],
    counts: bool,
) -> None:
    assert ground(Areas((LEFT,), ())).counts(box) == counts
    assert ground(Areas((), (LEFT,))).counts(box) != counts


def test_the_lower_edge_and_not_the_middle() -> None:
    lower = ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))
    on = ground(Areas((lower,), ()))
    assert [on.counts((4, y, 4, 12)) for y in (3, 4, 20)] == [False, True, True]


def test_areas_are_of_the_original_picture() -> None:
    """The model sees the middle of it, and black bars."""
    transform = Transform(scale_x=1, scale_y=2, offset_x=16, offset_y=-8)
    on = ground(Areas((LEFT,), ()), transform=transform)  # the picture has 64 x 64 pixels
    # x: 16 is the middle of the model's columns 0 .. 32, as 16 + 16 = 32 = 64 / 2
    assert [on.counts((x, 0, 2, 10)) for x in (0, 15, 16, 30)] == [True, True, False, False]
    # In the bars a box is moved to the picture's edge, as it is in the result.
    top = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.1), (0.0, 0.1))
    assert ground(Areas((top,), ()), transform=transform).counts((0, 0, 2, 2))


@given(
    hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2).map(lambda s: (s[0], 4)),
               elements=st.integers(0, 40)),
    st.lists(polygons, max_size=2),
    st.lists(polygons, max_size=2),
)  # fmt: skip
def test_what_a_detector_found_is_limited_row_by_row(
    boxes: NDArray[np.int32], include: list[Corners], exclude: list[Corners]
) -> None:
    on = ground(Areas(tuple(include), tuple(exclude)))
    count = len(boxes)
    decoded = Decoded(
        np.arange(count), np.linspace(0, 1, count).astype(np.float32), boxes, counted=None
    )
    limited = on.limit(decoded)
    kept = [n for n, box in enumerate(boxes.tolist()) if on.counts(box)]
    assert limited.labels.tolist() == kept
    assert limited.boxes is not None
    assert limited.boxes.tolist() == boxes[kept].tolist()
    assert limited.scores.tolist() == decoded.scores[kept].tolist()
    assert on.inside(boxes).tolist() == [n in kept for n in range(count)]


def test_nothing_found_stays_nothing() -> None:
    decoder = fomo()
    decoded = decoder.decode([raw(np.zeros((1, 4, 4, 3), np.float32))], 0.5)
    limited = ground(Areas((LEFT,), ()), decoder).limit(decoded)
    assert len(limited) == 0
    assert limited.cells is decoded.cells


@given(st.lists(polygons, max_size=2), st.lists(polygons, max_size=2))
def test_a_cell_counts_where_an_object_of_that_cell_would(
    include: list[Corners], exclude: list[Corners]
) -> None:
    decoder = fomo()
    assert isinstance(decoder, FomoDecoder)
    on = ground(Areas(tuple(include), tuple(exclude)), decoder)
    for cell in range(16):
        values = np.zeros((1, 4, 4, 3), np.float32)
        values[..., 0] = 1
        values[0, cell // 4, cell % 4] = (0, 1, 0)
        decoded = on.limit(decoder.decode([raw(values)], 0.5))
        assert decoded.counted is not None
        assert bool(decoded.counted[cell]) == (len(decoded) == 1)


def test_the_ground_is_found_once_for_pictures_of_one_size() -> None:
    limit = Limit.of(DetectionAreas(include=(LEFT,)), fomo())
    assert limit is not None
    first = limit.ground(frame(1))
    assert limit.ground(frame(2)) is first
    moved = Transform(scale_x=2, scale_y=2, offset_x=1)
    for other in (
        frame(3, transform=moved),
        frame(4).model_copy(update={"source_width": 65}),
        frame(5).model_copy(update={"source_height": 65}),
    ):
        found = limit.ground(other)
        assert found is not first
        assert found.lies_under(other)
        assert limit.ground(other) is found


def test_no_areas_and_no_objects_are_no_limit() -> None:
    about = manifest(Task.CLASSIFICATION, 2, 32, 32)
    classifier = decoder_for(about, [raw(np.zeros((1, 2), np.float32)).info])
    assert Limit.of(DetectionAreas(exclude=(LEFT,)), classifier) is None
    assert Limit.of(DetectionAreas(), fomo()) is None
