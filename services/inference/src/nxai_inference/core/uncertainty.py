"""When a result counts as doubtful, so that its picture is worth a person's look."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from nxai_common.contracts.configuration import UncertainRule
from nxai_common.contracts.models import Task
from nxai_inference.core.decoding.decoded import Decoded

UNSURE: Final = 0.6
"""Where nobody set a threshold. The model's best answer is hardly likelier than all others
together; the closed system's 0.8 fires on nearly every edge of an object, its 0.4 lies below what
detectors keep."""
MARGIN: Final = 0.1
"""Above the lowest confidence of a detection: a detector keeps nothing below that, and no
detection would ever be doubtful."""
ALL_IS_JUDGED: Final = frozenset({Task.FOMO, Task.CLASSIFICATION})
"""Where the rule sees what is no detection, too."""

_ANY: Final = np.float32(np.inf)


class UncertaintyRule(Protocol):
    """Judges one decoded result. Further rules take their place beside `ProbabilityThreshold`."""

    def judge(self, decoded: Decoded) -> str:
        """Return why the result is doubtful, in plain words; empty when it is not."""
        ...


@dataclass(frozen=True, slots=True)
class Never:
    """The rule that is switched off."""

    def judge(self, decoded: Decoded) -> str:  # noqa: ARG002 - part of the port
        """Return that nothing is doubtful."""
        return ""


@dataclass(frozen=True, slots=True)
class ProbabilityThreshold:
    """Doubtful when the model's best answer somewhere is below a threshold (strictly).

    FOMO: any cell, background included, whose highest probability is below it. Classification:
    the best label. Other detectors: any detection that was kept.
    """

    threshold: float

    def judge(self, decoded: Decoded) -> str:
        """Return why the result is doubtful, or an empty text."""
        limit = np.float32(self.threshold)
        lowest = least_sure(decoded, limit)
        if lowest is None or not lowest < limit:
            return ""
        if decoded.cells is not None:
            what = "highest probability of a cell"
        elif decoded.boxes is None:
            what = "best label's probability"
        else:
            what = "confidence of a detection"
        return f"{what} {lowest:.3f} < {self.threshold:g}"


def least_sure(decoded: Decoded, limit: np.float32 = _ANY) -> np.float32 | None:
    """Return the lowest of the model's best answers, over all places.

    Args:
        decoded: What it found.
        limit: What is not below it need not be told.

    Returns:
        None when there is none, or none below the limit that could be told at once.
    """
    if decoded.cells is not None:
        # Background is the best answer of nearly all cells: one comparison passes them over.
        below = decoded.cells[:, 0] < limit
        if decoded.counted is not None:
            below &= decoded.counted
        places = below.nonzero()[0]
        lowest = decoded.cells[places].max(axis=1).min() if places.size else None
    elif len(decoded) == 0:
        lowest = None
    elif decoded.boxes is None:
        lowest = decoded.scores.max()
    else:
        lowest = decoded.scores.min()
    return lowest


def fitting_rule(task: Task, threshold: float) -> UncertainRule:
    """Return the rule for a model of which nobody said what is doubtful, and somebody asks.

    Args:
        task: What the model does.
        threshold: Lowest confidence of a detection.
    """
    if task in ALL_IS_JUDGED:
        return UncertainRule(threshold=UNSURE)
    return UncertainRule(threshold=max(UNSURE, round(min(threshold + MARGIN, 1.0), 3)))


def rule_for(wanted: UncertainRule) -> UncertaintyRule:
    """Return the rule that a configuration asks for."""
    return ProbabilityThreshold(wanted.threshold) if wanted.threshold > 0 else Never()
