"""Inference limit."""

from nxai_capture.core.pacing import Pacer


def test_no_limit_lets_everything_pass() -> None:
    pacer = Pacer(0)
    pacer.sent(5.0)
    assert pacer.due(5.0)


def test_the_limit_keeps_frames_apart() -> None:
    pacer = Pacer(100)
    assert pacer.due(0.0), "the first one"
    pacer.sent(5.0)
    assert not pacer.due(5.09)
    assert pacer.due(5.0985), "cameras are not punctual"
    assert pacer.due(5.2)
