"""Answers that other threads than the loop's work out."""

import threading
from collections.abc import Callable

import pytest

from nxai_cloud_sync import errands
from nxai_cloud_sync.errands import ENDS, Errands
from nxai_common.contracts.commands import Reply
from support.waiting import wait_for

pytestmark = pytest.mark.unit


def says(text: str) -> Callable[[], Reply]:
    return lambda: Reply(ok=True, reason=text)


class Gate:
    """Work that goes on when it is let."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> Reply:
        self.entered.set()
        assert self.open.wait(20)
        return Reply(ok=True, reason="gate")


def test_each_is_answered_by_another_thread_in_its_order() -> None:
    heard: list[tuple[str, str]] = []

    def note(reply: Reply) -> None:
        heard.append((reply.reason, threading.current_thread().name))

    with Errands("files", 1, 10) as here:
        for number in range(5):
            assert here.give(says(str(number)), note)
        wait_for(lambda: len(heard) == 5)
    assert heard == [(str(number), "files-0") for number in range(5)]


def test_several_are_worked_out_at_once() -> None:
    gates = [Gate(), Gate()]
    heard: list[Reply] = []
    with Errands("pictures", 2, 10) as here:
        for gate in gates:
            assert here.give(gate, heard.append)
        for gate in gates:
            assert gate.entered.wait(10)
        for gate in gates:
            gate.open.set()
        wait_for(lambda: len(heard) == 2)


def test_what_waits_is_bounded() -> None:
    gate = Gate()
    heard: list[Reply] = []
    with Errands("files", 1, 2) as here:
        assert here.give(gate, heard.append)
        assert gate.entered.wait(10)
        assert here.give(says("a"), heard.append)
        assert here.give(says("b"), heard.append)
        assert not here.give(says("one too many"), heard.append)
        gate.open.set()
        wait_for(lambda: len(heard) == 3)
        assert here.give(says("c"), heard.append)
        wait_for(lambda: len(heard) == 4)
    assert [reply.reason for reply in heard] == ["gate", "a", "b", "c"]


def test_who_cannot_be_answered_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Reply] = []

    def stumble() -> Reply:
        raise LookupError("a mistake")

    with Errands("files", 1, 10) as here:
        assert here.give(stumble, heard.append)
        assert here.give(says("next"), heard.append)
        wait_for(lambda: heard)
    assert [reply.reason for reply in heard] == ["next"]
    assert "a mistake" in caplog.text


def test_at_the_end_who_waits_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "GOODBYE_S", 0.05)  # the gate is not opened in time
    gate = Gate()
    heard: list[Reply] = []
    with Errands("files", 1, 10) as here:
        assert here.give(gate, heard.append)
        assert gate.entered.wait(10)
        assert here.give(says("late"), heard.append)
    assert heard == [ENDS]
    assert not here.give(says("too late"), heard.append)
    gate.open.set()
    wait_for(lambda: len(heard) == 2)
    assert heard[1].reason == "gate"
