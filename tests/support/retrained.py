"""The same network after another training, as far as a box can tell."""

from typing import Final

DESCRIPTION: Final = b"MLIR Converted."
"""What the converter writes into the file for people; no runtime reads it."""


def retrained(model: bytes, number: int = 1) -> bytes:
    """Return a model file with another digest that finds the very same."""
    assert model.count(DESCRIPTION) == 1
    return model.replace(DESCRIPTION, f"Training {number:06}"[: len(DESCRIPTION)].encode())
