"""A pytest plugin that holds threads up at random, so that tests which rely on luck fail.

`make shake` loads it (`-p support.shaking`). A test may wait for one outcome and then look at a
second that usually is there by then: on a busy machine it is not. Here that machine is made on
purpose. SHAKE says whom it holds up:

services: every thread but the test's own, at lines of the product. Finds tests that look too early.
test: the test's own thread, at lines of the tests. Finds tests that look too late, for what passes.

SHAKE_SEED gives other pauses. The same seed need not fail twice: threads do not repeat themselves.
"""

import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_WHOM = os.environ.get("SHAKE", "services")  # noqa: TID251 - not a service
_RANDOM = random.Random(int(os.environ.get("SHAKE_SEED", "1")))  # noqa: S311, TID251 - no secret
_FILES = {
    "services": tuple(f"{path}/" for path in _ROOT.glob("*/*/src")),
    "test": (f"{_ROOT / 'tests'}/",),
}[_WHOM]
_PURE = ("/core/", "/contracts/")
"""What is computed there depends on nobody; a pause would only take time."""
_PAUSE_S = 0.03
"""At most: longer than steps that follow one another by luck, short against any deadline."""
_SELDOM = 6
"""The nth pass over a line is held up once in n + 6: all lines in turn, yet no loop for ever."""

_passes: Counter[tuple[str, int]] = Counter()


def _at_line(frame: FrameType, event: str, _argument: Any) -> Any:
    if event == "line":
        place = (frame.f_code.co_filename, frame.f_lineno)
        _passes[place] += 1
        if _RANDOM.random() * (_passes[place] + _SELDOM) < 1:
            time.sleep(_RANDOM.random() * _PAUSE_S)
    return _at_line


def _at_call(frame: FrameType, _event: str, _argument: Any) -> Any:
    name = frame.f_code.co_filename
    if name.startswith(_FILES) and not any(part in name for part in _PURE):
        return _at_line
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Shake while a test runs; its preparations are left alone."""
    _passes.clear()
    if _WHOM == "test":
        sys.settrace(_at_call)
    try:
        yield
    finally:
        sys.settrace(None)


if _WHOM == "services":
    threading.settrace(_at_call)
