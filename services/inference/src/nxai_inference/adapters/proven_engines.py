"""What is known of models that were converted, compared and timed here before.

A model that a person tried is put in force a minute later, and one that is put back comes again.
Converting and timing it anew would take a second of a core that the frames need.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Literal

from nxai_inference.core.engine_trial import EngineTrial

MOST_MODELS: Final = 16
"""The models of a box, and the versions before and after them."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of conversions that are kept: eight YOLOv5n. What does not fit is converted again."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The engine that was the fastest of those that agree."""

    kind: Literal["litert", "onnx"]
    engine: str
    """Its name, with the hardware that it ran on."""
    milliseconds: float
    trials: tuple[EngineTrial, ...]
    warnings: tuple[str, ...]
    content: bytes | None = field(repr=False)
    """The converted model; None: the file is run as it is."""


class ProvenEngines:
    """The newest proofs. Used by one thread."""

    def __init__(self, most_models: int = MOST_MODELS, most_bytes: int = MOST_BYTES) -> None:
        self._most_models = most_models
        self._most_bytes = most_bytes
        self._proofs: OrderedDict[Hashable, Proof] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self._proofs)

    def get(self, key: Hashable) -> Proof | None:
        """Return what is known of a model under some options."""
        proof = self._proofs.get(key)
        if proof is not None:
            self._proofs.move_to_end(key)
        return proof

    def put(self, key: Hashable, proof: Proof) -> None:
        """Remember a proof that is not too large; those not asked for the longest go."""
        self.forget(key)
        if len(proof.content or b"") > self._most_bytes:
            return
        self._proofs[key] = proof
        while len(self._proofs) > self._most_models or self._bytes() > self._most_bytes:
            self._proofs.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """Forget a proof that does not hold any more."""
        self._proofs.pop(key, None)

    def _bytes(self) -> int:
        return sum(len(proof.content or b"") for proof in self._proofs.values())
