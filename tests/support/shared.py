"""Real models, clips and golden outputs that lie beside the project, not in it."""

import os
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SHARED: Final = ROOT.parent / "shared"


def shared(path: str) -> Path:
    """Return the file, or skip the test with a reason (fail where CI says it must be there)."""
    found = SHARED / path
    if not found.exists():
        if os.environ.get("NXAI_REQUIRE_SHARED") == "1":  # noqa: TID251 - test support, not a service
            pytest.fail(f"shared/{path} must be here (NXAI_REQUIRE_SHARED=1) but is not")
        pytest.skip(f"shared/{path} is not beside this checkout")
    return found
