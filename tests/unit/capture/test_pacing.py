"""Inference limit, and previews."""

import pytest

from nxai_capture.core.pacing import Pacer, PreviewPacer


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


def shown_within(
    seconds: float, *, asked_fps: float, camera_fps: int, sent_every: float
) -> tuple[int, int, int]:
    """Play a camera; return how many were shown, how many of them sent, and how many were sent.

    Args:
        seconds: Of play.
        asked_fps: Of the viewer.
        camera_fps: Pictures a second.
        sent_every: Seconds from one that is sent to the next; 0: none is.
    """
    pacer, interval_s = PreviewPacer(), 1 / asked_fps
    shown = shown_sent = all_sent = 0
    due_to_send = 0.0
    for number in range(int(seconds * camera_fps)):
        now = 1000 + number / camera_fps
        sent = sent_every > 0 and now - 1000 >= due_to_send - 1e-9
        if sent:
            due_to_send += sent_every
            all_sent += 1
        if pacer.due(now, interval_s, sent=sent):
            pacer.shown(now, interval_s, sent=sent)
            shown += 1
            shown_sent += sent
    return shown, shown_sent, all_sent


@pytest.mark.parametrize("sent_every", [1 / 30, 1 / 15, 1 / 11, 1 / 9, 1 / 7, 0.19])
def test_where_frames_are_sent_half_as_often_as_somebody_looks_all_that_is_shown_was_sent(
    sent_every: float,
) -> None:
    shown, shown_sent, all_sent = shown_within(
        10, asked_fps=10, camera_fps=30, sent_every=sent_every
    )
    assert shown == shown_sent
    assert shown <= 101
    assert shown >= min(75, all_sent)


@pytest.mark.parametrize("sent_every", [0.25, 0.35, 0.5, 2.0])
def test_where_frames_are_sent_less_often_all_of_them_are_shown_and_others_between(
    sent_every: float,
) -> None:
    shown, shown_sent, all_sent = shown_within(
        20, asked_fps=10, camera_fps=30, sent_every=sent_every
    )
    assert shown_sent == all_sent
    assert 140 <= shown <= 201


@pytest.mark.parametrize("asked_fps", [1, 5, 10])
def test_a_viewer_of_a_paused_camera_gets_what_was_asked_for(asked_fps: float) -> None:
    shown, _, _ = shown_within(10, asked_fps=asked_fps, camera_fps=30, sent_every=0)
    assert shown == 10 * asked_fps


def test_a_viewer_in_a_hurry_does_not_wait_out_the_interval_of_another() -> None:
    pacer = PreviewPacer()
    pacer.shown(1000, 50, sent=False)
    assert not pacer.due(1000.05, 0.1, sent=False)
    assert pacer.due(1000.1, 0.1, sent=False)
