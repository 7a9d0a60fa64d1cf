"""Which pictures are kept for retraining, how many, and what becomes of them."""

from typing import Annotated, Final, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from nxai_common.contracts.base import Value

Fraction = Annotated[float, Field(ge=0, le=1)]

LONGEST_S: Final = 86_400
"""Nothing here is waited for longer than a day."""
MOST_A_DAY: Final = 100_000
"""More than one a second; nobody looks through as many."""


class UncertainStrategy(Value):
    """Results that the documented rule calls uncertain (see `uncertain` of the model)."""

    strategy: Literal["uncertain"] = "uncertain"


class LeastConfidenceStrategy(Value):
    """The likeliest class of some place is not likely: 1 - p1 is above `above`."""

    strategy: Literal["least-confidence"] = "least-confidence"
    above: Fraction = 0.4


class MarginStrategy(Value):
    """The two likeliest classes of some place are close: p1 - p2 is below `below`."""

    strategy: Literal["margin"] = "margin"
    below: Fraction = 0.2


class EntropyStrategy(Value):
    """The classes of some place are evenly likely: entropy / log(classes) is above `above`."""

    strategy: Literal["entropy"] = "entropy"
    above: Fraction = 0.9
    """As sure as the other two at their defaults: the likelier one of two classes has 0.68."""


class BandStrategy(Value):
    """A candidate lies close to the model's threshold, on either side: it may be a missed one."""

    strategy: Literal["band"] = "band"
    width: float = Field(default=0.1, gt=0, le=0.5)
    """Half of the band: threshold - width to threshold + width."""


class FlickerStrategy(Value):
    """A label comes and goes within seconds, as no real object does."""

    strategy: Literal["flicker"] = "flicker"
    changes: int = Field(default=4, ge=2, le=1000)
    """How often the count of a label changes."""
    within_s: float = Field(default=2.0, gt=0, le=60)


class IntervalStrategy(Value):
    """A picture every so often, whatever is on it."""

    strategy: Literal["interval"] = "interval"
    every_s: float = Field(default=3600, gt=0, le=LONGEST_S)


class RandomStrategy(Value):
    """A random slice of all frames: what the model is sure of, and may be wrong about."""

    strategy: Literal["random"] = "random"
    fraction: float = Field(default=0.0002, gt=0, le=1)


class NothingFoundStrategy(Value):
    """A random slice of the frames in which nothing was found: objects may be missed there."""

    strategy: Literal["nothing-found"] = "nothing-found"
    fraction: float = Field(default=0.0002, gt=0, le=1)


CollectStrategy = Annotated[
    UncertainStrategy
    | LeastConfidenceStrategy
    | MarginStrategy
    | EntropyStrategy
    | BandStrategy
    | FlickerStrategy
    | IntervalStrategy
    | RandomStrategy
    | NothingFoundStrategy,
    Field(discriminator="strategy"),
]


class Quotas(Value):
    """How many pictures of one camera are kept at most; 0: no limit."""

    per_minute: NonNegativeInt = Field(default=4, le=MOST_A_DAY)
    per_hour: NonNegativeInt = Field(default=60, le=MOST_A_DAY)
    per_day: NonNegativeInt = Field(default=300, le=MOST_A_DAY)
    label_per_day: NonNegativeInt = Field(default=150, le=MOST_A_DAY)
    """Of pictures that show a label; a picture is kept while any label on it has room, so that
    rare labels are not crowded out. Pictures without any label count together as one."""


class CollectPolicy(Value):
    """Collecting pictures of one camera."""

    enabled: bool = False
    strategies: tuple[CollectStrategy, ...] = (UncertainStrategy(),)
    """Asked in this order; the first that wants a frame gives the reason."""
    min_gap_s: float = Field(default=5.0, ge=0, le=LONGEST_S)
    """At least so long between two doubtful pictures of the camera; `interval`, `random` and
    `nothing-found` are sparse by themselves and come besides."""
    quotas: Quotas = Quotas()
    near_duplicate_bits: NonNegativeInt = Field(default=3, le=32)
    """A picture whose 64-bit perceptual hash differs from a recent one of the camera in no more
    bits is left out. 0: only the same picture again. Noise moves 0 to 3 bits; 6 would take two of
    three pictures of a busy belt for the same."""
    upload: Literal["as-configured", "never"] = "as-configured"
    """never: what this camera sees does not leave the box, whatever else is set."""


class SampleLimits(Value):
    """How much is kept on the disk; the least valuable goes first, what was uploaded before it."""

    keep_mb: PositiveInt = Field(default=2000, le=100_000_000)
    keep_pictures: PositiveInt = Field(default=20_000, le=10_000_000)
    keep_days: float = Field(default=90, gt=0, le=36_500)


class UploadOptions(Value):
    """Pictures on their way to Edge Impulse."""

    mode: Literal["manual", "approved", "automatic"] = "manual"
    """manual: when a person says so. approved: what a person approved, by itself, within the
    window. automatic: new pictures too, without anybody's look."""
    window: str = Field(default="", pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    """Local time in which uploads by themselves may run, such as `22:00-06:00`; empty: always."""
    mb_per_day: NonNegativeInt = Field(default=500, le=10_000_000)
    """Of uploads by themselves; 0: no limit."""
    metered: bool = False
    """The link costs money: nothing is uploaded, no model fetched and nothing asked for by itself;
    what a person starts runs."""
    category: Literal["split", "training", "testing"] = "split"
    """split: Edge Impulse divides them by their content."""
    predictions: bool = True
    """What the model saw goes along in the metadata (as boxes it would become the labels)."""
    batch: PositiveInt = Field(default=20, le=1000)
    """Pictures of one request, where their metadata is the same."""


class UpdateOptions(Value):
    """What happens when the project has a new model."""

    policy: Literal["off", "offer", "import", "shadow", "promote"] = "offer"
    """off: nobody looks. offer: it is announced. import: fetched and tested. shadow: then tried
    beside the model in force. promote: then put in force, if the trial allows it."""
    poll_s: float = Field(default=300, ge=60, le=LONGEST_S)
    """About so long between two looks."""
    artefact: Literal["float32", "int8"] = "float32"
    """float32 is exact everywhere; int8 is smaller, and faster on boards without a large CPU."""


class ShadowOptions(Value):
    """Trying a new model beside the one in force, on the same live frames."""

    frames: PositiveInt = Field(default=300, le=1_000_000)
    """A trial ends after so many frames of each camera ..."""
    minutes: float = Field(default=30, gt=0, le=7 * 1440)
    """... or after so long; one without a single frame goes on."""
    min_agreement: Fraction = 0.7
    """Promoted by itself when at least so many frames show the same ..."""
    max_slowdown: float = Field(default=2.0, ge=1, le=100)
    """... and a run takes no more times as long, or the box keeps up all the same."""


class RollbackOptions(Value):
    """Watching a model that was just put in force."""

    minutes: float = Field(default=10, gt=0, le=7 * 1440)
    """For so long."""
    errors: PositiveInt = Field(default=5, le=1_000_000)
    """Rolled back after so many frames that it could not look at."""
    min_share_of_frames: Fraction = 0.5
    """Rolled back when it gets through less than this share of the frames that the one before
    got through: it is too slow for the cameras."""
