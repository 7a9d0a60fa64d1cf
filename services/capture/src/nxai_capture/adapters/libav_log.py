"""What libav says to itself: the only place where it keeps the status that a camera answered."""

import logging
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import av.logging

_REFUSED: Final = re.compile(r"method (\w+) failed: (\d{3})")
"""libavformat/rtsp.c says so of each status above 400, and makes one error of all it has no name
for."""

av.logging.set_level(av.logging.ERROR)
# Else the second camera that gets the same answer would hear nothing.
av.logging.set_skip_repeated(False)
# What nobody listens for goes nowhere: it quotes URLs, and those hold passwords.
logging.getLogger("libav").setLevel(logging.CRITICAL + 1)


class Refusal(NamedTuple):
    """A request of RTSP that the camera did not grant."""

    method: str
    status: int


def listen() -> av.logging.Capture:
    """Return a context that gives the list of what libav says on this thread, and to it alone."""
    return av.logging.Capture()


def last_refusal(said: Sequence[tuple[int, str, str]]) -> Refusal | None:
    """Return the last refusal among what libav said."""
    for _level, _part, text in reversed(said):
        if found := _REFUSED.search(text):
            return Refusal(found[1], int(found[2]))
    return None
