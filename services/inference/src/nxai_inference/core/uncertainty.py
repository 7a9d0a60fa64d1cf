"""When a result counts as doubtful, so that its picture is worth a person's look."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nxai_common.contracts.configuration import UncertainRule
from nxai_inference.core.decoding.decoded import Decoded


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
        if decoded.cells is not None:
            lowest = decoded.cells.max(axis=1).min()
            what = "highest probability of a cell"
        elif len(decoded) == 0:
            return ""
        elif decoded.boxes is None:
            lowest = decoded.scores.max()
            what = "best label's probability"
        else:
            lowest = decoded.scores.min()
            what = "confidence of a detection"
        if lowest < np.float32(self.threshold):
            return f"{what} {lowest:.3f} < {self.threshold:g}"
        return ""


def rule_for(wanted: UncertainRule) -> UncertaintyRule:
    """Return the rule that a configuration asks for."""
    return ProbabilityThreshold(wanted.threshold) if wanted.threshold > 0 else Never()
