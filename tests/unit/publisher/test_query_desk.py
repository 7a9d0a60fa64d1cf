import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nxai_common.contracts.base import Message
from nxai_common.contracts.commands import BUSY, Reply, ShowLogger
from nxai_publisher.adapters import query_desk
from nxai_publisher.adapters.query_desk import QueryDesk
from support.waiting import wait_for


class Asked:
    """A question in hand, with the answers it got."""

    owed = False

    def __init__(self, received_at: float = 0.0) -> None:
        self.received_at = received_at
        self.message: Message = ShowLogger()
        self.replies: list[Reply] = []

    def acknowledge(self) -> None:
        raise AssertionError("a question needs no acknowledgement")

    def reply(self, reply: Reply) -> None:
        self.replies.append(reply)


class Oracle:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Semaphore(0)
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, question: Message) -> Reply:
        assert isinstance(question, ShowLogger)
        with self._lock:
            self.asked += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.go_on.acquire()
        with self._lock:
            self.at_once -= 1
        return Reply(ok=True)


@contextmanager
def desk(oracle: Oracle, **options: int) -> Iterator[QueryDesk]:
    made = QueryDesk(oracle, clock=lambda: 0.0, **options)
    with made:
        try:
            yield made
        finally:
            oracle.go_on.release(1000)


def test_questions_are_answered_some_at_a_time() -> None:
    oracle = Oracle()
    questions = [Asked() for _ in range(6)]
    with desk(oracle, threads=2) as made:
        for question in questions:
            made.ask(question)
        wait_for(lambda: oracle.asked == 2)
        assert made.waiting == 6
        oracle.go_on.release(6)
        wait_for(lambda: all(question.replies for question in questions))
        wait_for(lambda: (made.waiting, made.answered, made.refused) == (0, 6, 0))
    assert oracle.most_at_once == 2
    assert [reply.ok for question in questions for reply in question.replies] == [True] * 6


def test_when_too_many_wait_the_next_is_told_to_ask_again() -> None:
    oracle = Oracle()
    questions = [Asked() for _ in range(4)]
    with desk(oracle, threads=1, bound=2) as made:
        for question in questions:
            made.ask(question)
        (busy,) = questions[3].replies
        assert (busy.ok, busy.details) == (False, {BUSY: True})
        assert "ask again" in busy.reason
        oracle.go_on.release(3)
        wait_for(lambda: all(question.replies for question in questions))
        wait_for(lambda: made.answered == 3)
        assert made.refused == 1
        late = Asked()
        made.ask(late)
        oracle.go_on.release()
        wait_for(lambda: late.replies)
        assert late.replies[0].ok


def test_what_waited_too_long_is_not_looked_into() -> None:
    oracle = Oracle()
    stale, fresh = Asked(received_at=-query_desk.PATIENCE_S - 0.1), Asked()
    with desk(oracle, threads=1) as made:
        made.ask(stale)
        made.ask(fresh)
        oracle.go_on.release()
        wait_for(lambda: fresh.replies)
        wait_for(lambda: (made.waiting, made.answered, made.refused) == (0, 1, 1))
    assert stale.replies[0].details == {BUSY: True}
    assert oracle.asked == 1


def release_when_closing(made: QueryDesk, oracle: Oracle) -> None:
    wait_for(lambda: made._closing)
    oracle.go_on.release()


def test_at_the_end_nothing_more_is_looked_into() -> None:
    oracle = Oracle()
    questions = [Asked() for _ in range(3)]
    with QueryDesk(oracle, clock=lambda: 0.0, threads=1) as made:
        for question in questions:
            made.ask(question)
        wait_for(lambda: oracle.asked == 1)
        # It ends while the first is looked into.
        ending = threading.Thread(target=release_when_closing, args=(made, oracle))
        ending.start()
    ending.join()
    assert [len(question.replies) for question in questions] == [1, 0, 0]
    assert oracle.asked == 1
