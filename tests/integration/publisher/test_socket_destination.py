"""Results to a real program on a Unix socket."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nxai_common.contracts.destinations import SocketDestination
from nxai_publisher.adapters import socket_destination
from nxai_publisher.adapters.socket_destination import SocketOutlet
from nxai_publisher.core.entries import Entry
from nxai_publisher.ports import DestinationUnavailable, EntriesRefused
from support.socket_receiver import SocketReceiver, socket_receiver
from support.waiting import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def program(tmp_path: Path) -> Iterator[SocketReceiver]:
    with socket_receiver(tmp_path / "s.sock") as running:
        yield running


def outlet(path: Path, **fields: Any) -> SocketOutlet:
    return SocketOutlet(SocketDestination(id="s", path=str(path), **{"timeout_s": 5, **fields}))


def entry(number: int, payload: bytes | None = None) -> Entry:
    written = b'{"n":%d}' % number if payload is None else payload
    return Entry(number, "detections", "front", "m5", 0, f"d{number}", written, len(written))


def test_length_and_json(program: SocketReceiver) -> None:
    way = outlet(program.path)
    for number in range(100):
        assert way.send([entry(number)]) == ()
        assert len(program.messages) >= number  # it was read before the next one
    wait_for(lambda: len(program.messages) == 100)
    way.close()
    assert program.messages == [b'{"n":%d}' % n for n in range(100)]
    assert program.connections == 1


def test_several_together(program: SocketReceiver) -> None:
    way = outlet(program.path, gather="batch", batch_size=7)
    assert way.grouping.size == 7
    way.send([entry(1), entry(2)])
    way.close()
    wait_for(lambda: program.messages)
    assert program.messages == [b'[{"n":1},{"n":2}]']
    assert outlet(program.path, gather="loop").grouping.size == 1000


def test_a_program_that_hangs_up_after_each(program: SocketReceiver) -> None:
    program.one_each = True
    way = outlet(program.path)
    for number in range(50):
        way.send([entry(number)])
    way.close()
    wait_for(lambda: len(program.messages) == 50)
    assert program.messages == [b'{"n":%d}' % n for n in range(50)]


def test_what_it_says_is_passed_over(program: SocketReceiver) -> None:
    program.says = b"ok\n" * 10_000
    way = outlet(program.path)
    for number in range(20):
        way.send([entry(number)])
    way.close()
    wait_for(lambda: len(program.messages) == 20)


def test_a_large_one_arrives(program: SocketReceiver) -> None:
    payload = b'"' + b"x" * 5_000_000 + b'"'
    way = outlet(program.path)
    way.send([entry(1, payload)])
    way.close()
    wait_for(lambda: program.messages == [payload])


def test_large_ones_follow_each_other(program: SocketReceiver) -> None:
    payload = b'"' + b"x" * 5_000_000 + b'"'
    way = outlet(program.path)
    for number in range(3):
        way.send([entry(number, payload)])
    way.close()
    wait_for(lambda: program.messages == [payload] * 3)
    assert program.connections == 1


def test_what_is_not_read_is_not_sent(program: SocketReceiver) -> None:
    program.hold.clear()
    way = outlet(program.path, timeout_s=0.3)
    with pytest.raises(DestinationUnavailable, match="does not read"):
        way.send([entry(1)])


def test_a_program_that_dies_with_something_unread(program: SocketReceiver) -> None:
    program.hold.clear()
    way = outlet(program.path)
    failures: list[str] = []

    def send() -> None:
        try:
            way.send([entry(1)])
        except DestinationUnavailable as error:
            failures.append(str(error))

    thread = threading.Thread(target=send)
    thread.start()
    wait_for(lambda: program.connections)
    wait_for(lambda: way._socket is not None and _unread(way))
    program.hang_up.set()
    thread.join(10)
    assert failures == [
        f"socket {program.path}: the other program hung up before it read everything"
    ]


def _unread(way: SocketOutlet) -> int:
    connection = way._socket
    return 0 if connection is None else socket_destination._unread(connection)


def test_a_send_can_be_interrupted(program: SocketReceiver) -> None:
    program.hold.clear()
    way = outlet(program.path, timeout_s=60)
    ended = threading.Event()

    def send() -> None:
        with suppress(DestinationUnavailable):
            way.send([entry(1, b"x" * 10_000_000)])
        ended.set()

    thread = threading.Thread(target=send)
    thread.start()
    wait_for(lambda: way._socket is not None and _unread(way))
    way.interrupt()
    assert ended.wait(10)
    thread.join()
    outlet(program.path).interrupt()  # of nothing


def has(program: SocketReceiver, number: int) -> bool:
    return program.messages == [b'{"n":%d}' % number]


def test_a_program_that_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    way = outlet(path)
    with pytest.raises(DestinationUnavailable, match="nobody listens there"):
        way.send([entry(0)])
    for number in range(2):
        with socket_receiver(path) as program:
            way.send([entry(number)])
            wait_for(partial(has, program, number))
    with pytest.raises(DestinationUnavailable, match="nobody listens there"):
        way.send([entry(0)])
    path.write_text("a file")
    with pytest.raises(DestinationUnavailable, match="nobody listens there"):
        way.send([entry(0)])


def test_one_whose_line_is_full(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(str(path))
        with pytest.raises(DestinationUnavailable):
            outlet(path, timeout_s=0.2).send([entry(0)])
        for one in waiting:
            one.close()


def test_other_failures_are_told(tmp_path: Path) -> None:
    with pytest.raises(DestinationUnavailable, match="path too long"):
        outlet(tmp_path / ("x" * 200)).send([entry(0)])


def test_more_than_a_length_can_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_destination, "LARGEST", 10)
    with pytest.raises(EntriesRefused, match="12 bytes are more than its length can say"):
        outlet(tmp_path / "s").send([entry(0, b"x" * 12)])
