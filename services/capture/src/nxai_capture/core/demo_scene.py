"""The demo camera's world: bolts, nuts and washers riding on a conveyor belt, drawn by code.

Everything is measured in picture heights and follows from the seed, so that any picture of the
endless belt can be drawn on its own, at any size, and its ground truth is known. The same seed
and size always give the same pictures; another size shows the same parts.

Expensive things are drawn once: the belt is one long picture that is cut out at a moving place,
a part is shaded when it comes into view and kept until it leaves. Belt and parts move by whole
pixels, so nothing is resampled. One 640x480 picture takes well under 3 ms.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Plane = NDArray[np.floating]

LABELS: Final = ("bolt", "nut", "washer")
"""In the order of the demo model's tensor."""

MIN_WIDTH, MIN_HEIGHT = 160, 120
"""Smaller, and a part is a blob that no model can name."""

STEP: Final = 60
"""The belt moves by 1/60 of the picture height a picture: at 15 fps a part needs about 5 s to
cross a 4:3 picture, long enough to read a label, short enough that something always happens."""

BELT_TOP, BELT_BOTTOM = 0.10, 0.90
LANES: Final = (0.31, 0.69)
LANE_JITTER: Final = 0.035
SLOT: Final = 0.74
"""Each slot of a lane holds at most one part. With `SLOT_JITTER` the centres of two parts of a
lane are at least 0.6 heights apart: 4 cells of FOMO's 12 x 12 when a 16:9 picture is squashed,
so that neighbours never melt into one detection. The lanes are 0.31 apart: 3.7 cells."""
SLOT_JITTER: Final = 0.07
FILLED: Final = 0.9
"""Share of slots that hold a part: a belt without gaps looks drawn by a machine."""

REACH: Final = 0.24
"""Half the side of a part's patch, shadow included: the longest bolt ends 0.165 from its centre."""
SEAM_EVERY: Final = 2.4
"""Length of the belt's picture before it comes again."""
MARK_EVERY, MARK_LENGTH, MARK_THICKNESS, MARK_INSET = 0.2, 0.05, 0.009, 0.036
NOISE_SPAN: Final = 64
"""The noise is one picture larger than needed by so many pixels, cut at a new place each time."""
BRIGHT: Final = 180
"""Value of the light map where it leaves a pixel as it is."""

_MASK_64: Final = 2**64 - 1

_TONES: Final = np.array(
    [
        (0.80, 0.82, 0.85),  # zinc-plated steel
        (0.70, 0.72, 0.76),  # plain steel
        (0.88, 0.74, 0.44),  # brass
        (0.80, 0.56, 0.42),  # copper
        (0.84, 0.80, 0.66),  # yellow-chromated
    ],
    dtype=np.float32,
)


@dataclass(frozen=True, slots=True)
class DemoPart:
    """Ground truth of one part: its label and what can be seen of it.

    The box encloses the visible pixels of the part (not of its shadow), in pixels of the
    picture, edges as coordinates, origin top left.
    """

    label: str
    x: int
    y: int
    width: int
    height: int
    visible: float
    """Share of the part's pixels inside the picture, above 0 up to 1."""


@dataclass(frozen=True, slots=True)
class _Sprite:
    """A part as it lies on the belt: ready to blend, and what its truth needs."""

    label: str
    left: int
    """Column of the patch's left edge, counted against the belt's movement (see `_place`)."""
    top: int
    ink: Pixels
    """(h, w, 3) colour already multiplied by coverage."""
    keep: Pixels
    """(h, w, 3) share of the belt that stays, 0..255: shadow and uncovered pixels."""
    mask: NDArray[np.bool_]
    """(h, w) pixels of the part itself."""


class DemoScene:
    """An endless belt of parts, seen from above, moving from left to right.

    Args:
        width: Pixels, 160 or more.
        height: Pixels, 120 or more.
        seed: Any integer: which parts, which belt, which noise.

    Raises:
        ValueError: smaller than 160x120.
    """

    def __init__(self, width: int, height: int, seed: int) -> None:
        if width < MIN_WIDTH or height < MIN_HEIGHT:
            raise ValueError(
                f"the demo scene cannot be {width}x{height}: use {MIN_WIDTH}x{MIN_HEIGHT} or larger"
            )
        self._width = width
        self._height = height
        self._seed = seed & _MASK_64
        random = np.random.default_rng([self._seed, 0])
        self._phase = float(random.uniform(0, 2 * math.pi))
        self._top = round(BELT_TOP * height)
        self._bottom = round(BELT_BOTTOM * height)
        self._belt = _draw_belt(width, height, self._bottom - self._top, random)
        self._period = self._belt.shape[1] - width
        self._frame = _draw_rails(width, height, self._top, self._bottom)
        self._light, self._glow = _draw_light(width, height, random)
        noise = random.normal(4, 1.6, (height + NOISE_SPAN, width + NOISE_SPAN, 1))
        noise = noise + random.normal(0, 0.9, (*noise.shape[:2], 3))
        self._noise: Pixels = np.clip(np.rint(noise), 0, 255).astype(np.uint8)
        self._sprites: dict[tuple[int, int], _Sprite | None] = {}

    def draw(self, frame_index: int) -> Pixels:
        """Return picture `frame_index` (any integer): (height, width, 3) RGB."""
        width, height = self._width, self._height
        travelled = frame_index * height // STEP
        start = -travelled % self._period
        picture = self._frame.copy()
        picture[self._top : self._bottom] = self._belt[:, start : start + width]
        for sprite in self._visible(travelled):
            left = travelled - sprite.left
            first, last = max(0, -left), min(sprite.ink.shape[1], width - left)
            patch = picture[
                sprite.top : sprite.top + sprite.ink.shape[0], left + first : left + last
            ]
            kept = cv2.multiply(patch, sprite.keep[:, first:last], scale=1 / 255)
            cv2.add(kept, sprite.ink[:, first:last], dst=kept)
            patch[:] = kept
        cv2.multiply(picture, self._light, dst=picture, scale=self._gain(frame_index) / BRIGHT)
        cv2.add(picture, self._glow, dst=picture)
        shake = np.random.SeedSequence([self._seed, frame_index & _MASK_64]).generate_state(2)
        down, right = (int(s) % NOISE_SPAN for s in shake)
        cv2.add(picture, self._noise[down : down + height, right : right + width], dst=picture)
        return picture

    def truth(self, frame_index: int) -> tuple[DemoPart, ...]:
        """Return the parts in picture `frame_index`, even those only peeping in, left to right."""
        travelled = frame_index * self._height // STEP
        parts = []
        for sprite in self._visible(travelled):
            left = travelled - sprite.left
            first, last = max(0, -left), min(sprite.mask.shape[1], self._width - left)
            seen = sprite.mask[:, first:last]
            count = int(np.count_nonzero(seen))
            if count == 0:  # only the shadow reaches into the picture
                continue
            columns = np.flatnonzero(seen.any(axis=0))
            rows = np.flatnonzero(seen.any(axis=1))
            parts.append(
                DemoPart(
                    label=sprite.label,
                    x=left + first + int(columns[0]),
                    y=sprite.top + int(rows[0]),
                    width=int(columns[-1] - columns[0]) + 1,
                    height=int(rows[-1] - rows[0]) + 1,
                    visible=count / int(np.count_nonzero(sprite.mask)),
                )
            )
        return tuple(sorted(parts, key=lambda part: (part.x, part.y)))

    def _gain(self, frame_index: int) -> float:
        """Slow drift of the brightness, as daylight through a window and a tired lamp make it."""
        slow = 0.05 * math.sin(frame_index / 70 + self._phase)
        return 1.0 + slow + 0.012 * math.sin(frame_index / 9.7 + 2 * self._phase)

    def _visible(self, travelled: int) -> list[_Sprite]:
        """Return the sprites whose patch touches the picture; forget those that left it."""
        slot = SLOT * self._height
        reach = REACH * self._height
        sprites: dict[tuple[int, int], _Sprite | None] = {}
        for lane in range(len(LANES)):
            first = math.floor((travelled - self._width - reach) / slot - lane / 2) - 1
            last = math.ceil((travelled + reach) / slot - lane / 2)
            for place in range(first, last + 1):
                key = (lane, place)
                sprites[key] = (
                    self._sprites[key] if key in self._sprites else self._place(lane, place)
                )
        self._sprites = sprites
        return [
            sprite
            for sprite in sprites.values()
            if sprite is not None
            and travelled - sprite.left < self._width
            and travelled - sprite.left + sprite.ink.shape[1] > 0
        ]

    def _place(self, lane: int, place: int) -> _Sprite | None:
        """Return what lies in one slot of a lane.

        Slots are counted against the movement: the part of slot `n` enters the picture from the
        left once the belt has travelled about n slots.
        """
        random = np.random.default_rng([self._seed, 1 + lane, place & _MASK_64])
        if random.random() >= FILLED:
            return None
        along = (place + 0.5 + lane / 2) * SLOT + random.uniform(-SLOT_JITTER, SLOT_JITTER)
        across = LANES[lane] + random.uniform(-LANE_JITTER, LANE_JITTER)
        label = LABELS[int(random.integers(len(LABELS)))]
        half = math.ceil(REACH * self._height)
        ink, keep, mask = _draw_part(label, half, self._height, random)
        return _Sprite(
            label=label,
            left=round(along * self._height) + half,
            top=round(across * self._height) - half,
            ink=ink,
            keep=keep,
            mask=mask,
        )


def _draw_part(
    label: str, half: int, height: int, random: np.random.Generator
) -> tuple[Pixels, Pixels, NDArray[np.bool_]]:
    """Shade one part on a patch of 2 x half pixels: ink, keep, mask (see `_Sprite`)."""
    fine = 2 if height < 400 else 1  # noqa: PLR2004 - below, threads are finer than pixels
    unit = height * fine
    axis = np.arange(-half * fine, half * fine, dtype=np.float32) + np.float32(0.5)
    right, down = np.meshgrid(axis, axis)
    angle = random.uniform(0, 2 * math.pi)
    size = float(random.uniform(0.9, 1.1)) * unit
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along, across = right * cos + down * sin, down * cos - right * sin
    shape = {"bolt": _bolt, "nut": _nut, "washer": _washer}[label]
    distance, relief, shade = shape(along, across, size)

    slope_down, slope_right = np.gradient(relief)
    length = np.sqrt(slope_right**2 + slope_down**2 + 1)
    # The lamp hangs above, to the upper left; the half vector is that of a camera straight above.
    diffuse = (0.42 * slope_right + 0.55 * slope_down + 0.72) / length
    mirror = (0.23 * slope_right + 0.30 * slope_down + 0.93) / length
    sheen = np.clip(mirror, 0, 1) ** 26
    tone = _TONES[int(random.integers(len(_TONES)))] * np.float32(random.uniform(0.88, 1.08))
    scratches = cv2.GaussianBlur(
        random.normal(0, 1, axis.shape * 2).astype(np.float32), (0, 0), 0.9 * fine
    )
    level = shade * (0.20 + 0.80 * np.clip(diffuse, 0, 1) + 0.06 * scratches)
    colour = level[..., None] * tone + (0.20 * shade * sheen)[..., None]

    cover = np.clip(0.5 - distance, 0, 1).astype(np.float32)
    shift = 0.011 * unit
    moved = cv2.warpAffine(
        cover,
        np.array([[1, 0, 0.8 * shift], [0, 1, shift]], dtype=np.float32),
        cover.shape[::-1],
    )
    contact = cv2.GaussianBlur(cover, (0, 0), 0.006 * unit)
    shadow = np.maximum(0.62 * cv2.GaussianBlur(moved, (0, 0), 0.009 * unit), 0.45 * contact)
    keep = (1 - cover) * (1 - shadow)
    ink = np.clip(colour, 0, 1) * cover[..., None]
    if fine > 1:
        side = (2 * half, 2 * half)
        ink, keep, cover = (
            cv2.resize(each, side, interpolation=cv2.INTER_AREA) for each in (ink, keep, cover)
        )
    keep_bytes = np.rint(keep * 255).astype(np.uint8)
    return (
        np.rint(ink * 255).astype(np.uint8),
        np.ascontiguousarray(np.repeat(keep_bytes[..., None], 3, axis=2)),
        cover > 0.5,  # noqa: PLR2004 - more part than belt
    )


def _washer(along: Plane, across: Plane, size: float) -> tuple[Plane, Plane, Plane]:
    """A flat ring: signed distance to its edge, relief and shade, per pixel."""
    outer, inner = 0.098 * size, 0.050 * size
    radius = np.hypot(along, across)
    distance = np.maximum(radius - outer, inner - radius)
    bevel = 0.010 * size
    relief = bevel * np.sin(np.clip(-distance / bevel, 0, 1) * (math.pi / 2))
    turned = np.cos(2 * np.arctan2(across, along))  # the cone of light of a turned face
    shade = 0.94 + 0.10 * turned + 0.02 * np.sin(radius * (2 * math.pi / max(3.0, 0.008 * size)))
    return distance, relief, shade


def _nut(along: Plane, across: Plane, size: float) -> tuple[Plane, Plane, Plane]:
    """A hexagon nut lying flat: signed distance to its edge, relief and shade."""
    flat, hole = 0.086 * size, 0.040 * size
    radius = np.hypot(along, across)
    half_root = np.float32(math.sqrt(3) / 2)
    hexagon = (
        np.maximum(
            np.abs(across),
            np.maximum(
                np.abs(half_root * along + 0.5 * across), np.abs(half_root * along - 0.5 * across)
            ),
        )
        - flat
    )
    distance = np.maximum(hexagon, hole - radius)
    rim = np.clip(radius - 0.93 * flat, 0, None)  # the corners are turned off to a cone
    mouth = np.clip(1.28 * hole - radius, 0, None)  # the countersink of the thread
    edge = 0.006 * size
    relief = edge * np.clip(-hexagon / edge, 0, 1) - 0.65 * rim - 1.1 * mouth
    thread = np.where(
        radius < 1.22 * hole, 0.72 + 0.22 * np.sin(radius * (2 * math.pi / (0.07 * hole + 2))), 1.0
    )
    return distance, relief, (thread * (0.97 + 0.04 * np.sign(rim) * -1)).astype(np.float32)


def _bolt(along: Plane, across: Plane, size: float) -> tuple[Plane, Plane, Plane]:
    """A hexagon bolt lying on its side: signed distance to its edge, relief and shade."""
    reach, head_end = 0.138 * size, -0.068 * size
    head, shank = 0.063 * size, 0.036 * size
    beside = np.abs(across)
    middle = (head_end - reach) / 2
    head_box = np.maximum(np.abs(along - middle) - (reach + head_end) / 2, beside - head)
    pitch = max(0.0125 * size, 3.2)
    threaded = along > head_end + 0.045 * size
    wave = np.sin((along + 0.28 * across) * (2 * math.pi / pitch))
    tip = np.clip(along - (reach - 0.016 * size), 0, None)  # the chamfer of the end
    width = shank - 0.7 * tip + np.where(threaded, 0.0022 * size * wave, 0)
    shank_box = np.maximum(np.maximum(along - reach, middle - along), beside - width)
    distance = np.minimum(head_box, shank_box)
    in_head = along < head_end
    facet = np.clip(beside - 0.5 * head, 0, None)  # the two faces that fall off sideways
    edge = 0.007 * size
    head_relief = head + edge * np.clip(-head_box / edge, 0, 1) - 0.75 * facet
    round_relief = np.sqrt(np.clip((1.08 * shank) ** 2 - across**2, 1, None))
    shank_relief = round_relief + np.where(threaded, 0.0028 * size * wave, 0)
    relief = np.where(in_head, head_relief, shank_relief)
    groove = np.where(threaded & ~in_head, 0.90 + 0.16 * wave, 1.0)
    neck = np.clip((along - head_end) / (0.02 * size), 0, 1)  # the head's shadow on the shank
    shade = np.where(in_head, 1.0, groove * (0.62 + 0.38 * neck))
    return distance, relief.astype(np.float32), shade.astype(np.float32)


def _draw_belt(width: int, height: int, rows: int, random: np.random.Generator) -> Pixels:
    """Return one turn of the belt, and again its beginning, so that any cut is one slice."""
    period = round(SEAM_EVERY * height)
    across = np.arange(rows, dtype=np.float32)[:, None] / height
    along = np.arange(period, dtype=np.float32)[None, :] / height
    fabric = random.normal(0, 1, (rows, period)).astype(np.float32)
    weave = cv2.GaussianBlur(fabric, (0, 0), 0.0016 * height, borderType=cv2.BORDER_REPLICATE)
    weave = weave / np.float32(weave.std())
    stains = _clouds(rows, period, random)
    worn = np.exp(-(((across - (BELT_BOTTOM - BELT_TOP) / 2) / 0.30) ** 2))
    level = 1 + 0.045 * weave + 0.07 * stains + 0.10 * worn
    streaks = cv2.GaussianBlur(
        random.normal(0, 1, (rows, 1)).astype(np.float32), (1, 0), 0, None, 0.004 * height
    )
    level = level + 0.03 * streaks / streaks.std()
    seam = np.abs(along - SEAM_EVERY / 2 - 0.35 * across)  # the oblique joint of the belt's ends
    level = level * (1 - 0.30 * np.exp(-((seam / 0.0035) ** 2)))
    level = level + 0.10 * np.exp(-(((seam - 0.007) / 0.003) ** 2))
    side = np.minimum(across, rows / height - across)
    level = level * (0.55 + 0.45 * np.clip(side / 0.045, 0, 1))  # the rails' shadow
    tint = np.array([58, 78, 84], np.float32) + random.uniform(-7, 7, 3).astype(np.float32)
    belt = level[..., None] * tint
    # Painted marks along both edges make the movement visible.
    dash = (along % MARK_EVERY) < MARK_LENGTH
    line = np.abs(side - MARK_INSET) < MARK_THICKNESS / 2
    paint = np.where(dash & line, 0.55, 0)[..., None].astype(np.float32)
    belt = belt * (1 - paint) + paint * np.array([214, 206, 170], np.float32) * level[..., None]
    turn = np.clip(np.rint(belt), 0, 255).astype(np.uint8)
    repeats = math.ceil((period + width) / period)
    return np.ascontiguousarray(np.tile(turn, (1, repeats, 1))[:, : period + width])


def _clouds(rows: int, columns: int, random: np.random.Generator) -> Plane:
    """Smooth stains of several sizes, about -1 to 1, that join at both ends."""
    total = np.zeros((rows, columns), np.float32)
    for count, weight in ((5, 0.5), (11, 0.3), (23, 0.2)):
        grid = random.normal(0, 1, (count, 3 * count)).astype(np.float32)
        closed = np.concatenate([grid[:, -2:], grid, grid[:, :2]], axis=1)
        step = columns / grid.shape[1]
        wide = cv2.resize(
            closed, (round(step * closed.shape[1]), rows), interpolation=cv2.INTER_CUBIC
        )
        skip = round(2 * step)
        total += weight * wide[:, skip : skip + columns]
    return total


def _draw_rails(width: int, height: int, top: int, bottom: int) -> Pixels:
    """Return the picture without its belt: two aluminium profiles with a groove and screws."""
    profile = np.zeros((height, 1), np.float32)
    for first, last, inner in ((0, top, 1.0), (bottom, height, -1.0)):
        rows = (np.arange(first, last, dtype=np.float32) - first + 0.5) / (last - first)
        near = rows if inner > 0 else 1 - rows  # 0 at the picture's edge, 1 at the belt
        level = 0.74 + 0.16 * np.sin(near * math.pi) + 0.05 * near
        level = level - 0.42 * np.exp(-(((near - 0.50) / 0.07) ** 2))  # the groove
        level = level + 0.16 * np.exp(-(((near - 0.62) / 0.03) ** 2))
        level = np.where(near > 0.93, 0.42, level)  # noqa: PLR2004 - the edge over the belt
        profile[first:last, 0] = level
    metal = np.array([176, 180, 186], np.float32)
    column_of_light = np.rint(np.clip(profile * metal, 0, 255)).astype(np.uint8)
    picture = np.repeat(column_of_light[:, None, :], width, axis=1)
    spacing = height / 2.2
    for column in np.arange(width / 2 % spacing, width, spacing):
        for row in (top * 0.24, height - (height - bottom) * 0.24):
            _draw_screw(picture, float(column), row, 0.011 * height)
    return picture


def _draw_screw(picture: Pixels, column: float, row: float, radius: float) -> None:
    """Draw a small dark countersunk screw, anti-aliased through sub-pixel coordinates."""
    centre = (round(column * 16), round(row * 16))
    cv2.circle(picture, centre, round(radius * 16), (96, 99, 104), -1, cv2.LINE_AA, 4)
    cv2.circle(picture, centre, round(radius * 9), (58, 60, 64), -1, cv2.LINE_AA, 4)


def _draw_light(width: int, height: int, random: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Return the lamp's light map (`BRIGHT` leaves a pixel as it is) and its reflection."""
    across = np.arange(height, dtype=np.float32)[:, None] / height - 0.5
    along = (np.arange(width, dtype=np.float32)[None, :] - width / 2) / height
    lamp = float(random.uniform(-0.25, 0.25)) * width / height
    spread = np.exp(-(((along - lamp) / (0.75 * width / height)) ** 2) - (across / 0.85) ** 2)
    light = BRIGHT * (0.80 + 0.36 * spread)
    tube = np.exp(-((np.clip(np.abs(along - lamp) - 0.16, 0, None) / 0.20) ** 2))
    tube = tube * np.exp(-(((across + 0.02 + 0.05 * (along - lamp)) / 0.10) ** 2))
    inside = np.clip((0.40 - np.abs(across)) / 0.06, 0, 1)  # the rails do not mirror it
    glow = 24 * tube * inside
    return _grey(light, height, width), _grey(glow, height, width)


def _grey(plane: Plane, height: int, width: int) -> Pixels:
    whole = np.clip(np.rint(np.broadcast_to(plane, (height, width))), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(whole[..., None], 3, axis=2))
