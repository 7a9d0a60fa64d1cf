"""Processes that work with a store of pictures until they are killed, and what they leave.

They note in a journal what they are about to do and what was done, so that the test knows what
must be there. They are forks of one process (`python -m support.sample_killing`), as importing
takes a second.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from nxai_cloud_sync.adapters import disk_reserve, picture_folder, sql_database, sql_samples
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.core.sample import SampleFilter, SampleState
from nxai_cloud_sync.core.uploading import FileOutcome
from nxai_common.contracts.collecting import SampleLimits
from support.results import START_US
from support.samples import files_of, kept, sample, totals_are_true

TESTS = Path(__file__).resolve().parents[1]
OURS = {module.__file__ for module in (sql_samples, picture_folder, sql_database, disk_reserve)}
IN_MEMORY = {"_stored", "_row_of", "_kept_row", "_boxes", "_boxes_text", "_text"}
"""Functions in which nothing is written."""
ALL = SampleFilter()


class Journal:
    """Lines that survive the kill of who wrote them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, word: str, *numbers: int) -> None:
        """Append a line."""
        line = " ".join((word, *map(str, numbers)))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)

    def read(self) -> dict[str, set[int]]:
        """Return the numbers noted with each word."""
        found: dict[str, set[int]] = defaultdict(set)
        for line in self.lines():
            word, *numbers = line.split()
            found[word].update(map(int, numbers))
        return found

    def lines(self) -> list[str]:
        """Return what was noted."""
        return self._path.read_text().splitlines() if self._path.exists() else []

    def longer_than(self, count: int) -> bool:
        """Tell whether something was noted since there were so many lines."""
        return len(self.lines()) > count


def picture_of(number: int) -> bytes:
    """Return the content of a picture."""
    return number.to_bytes(4, "big") * (200 + number * 37 % 3000)


def work(folder: Path, seed: int) -> None:
    """Keep, upload and remove pictures until killed, in an order that the seed says."""
    rng = random.Random(seed)  # noqa: S311 - an order
    journal = Journal(folder.with_suffix(".journal"))
    number = max(journal.read()["added"], default=-1) + 1
    with SqlSamples(folder) as store:
        store.release_uploads()
        journal.note("started")
        while True:
            action = rng.choice(("add", "add", "add", "review", "upload", "prune"))
            if action == "add":
                store.add(sample(number, "nut", "bolt", jpeg=picture_of(number)))
                journal.note("added", number)
                number += 1
            elif action == "review":
                _review(store, rng)
            elif action == "upload":
                _upload(store, rng, journal)
            else:
                usage = store.usage()
                uploaded = usage.by_state.get(SampleState.UPLOADED, 0)
                keep = max(1, usage.pictures - uploaded // 2)  # none but uploaded ones go
                store.prune(_limits(keep), None)


def _limits(keep: int) -> SampleLimits:
    return SampleLimits(keep_pictures=keep, keep_mb=1000, keep_days=36_500)


def _review(store: SqlSamples, rng: random.Random) -> None:
    wanted = SampleFilter(state=rng.choice(["new", "approved"]))
    page = store.page(wanted, 5, rng.randrange(20))
    decision = rng.choice([SampleState.APPROVED, SampleState.NEW])
    confirm = decision is SampleState.APPROVED and rng.random() < 0.5
    store.review([one.id for one in page.samples], decision, confirm_predictions=confirm)


def _upload(store: SqlSamples, rng: random.Random, journal: Journal) -> None:
    found = store.to_upload(["front"], rng.randrange(1, 6), include_new=True)
    begun = store.begin_upload([one.id for one in found])
    numbers = [number_of(one.captured_at_us) for one in found if one.id in begun]
    journal.note("sending", *numbers)
    store.end_upload([FileOutcome(name, accepted=True, remote_id=7) for name in begun], START_US)
    journal.note("sent", *numbers)


def number_of(captured_at_us: int) -> int:
    """Return the number of the picture that was captured at a moment."""
    return (captured_at_us - START_US) // 1_000_000


def look_over(folder: Path) -> None:
    """Check that nothing is lost, doubled or half there."""
    journal = Journal(folder.with_suffix(".journal")).read()
    with SqlSamples(folder) as store:
        store.release_uploads()
        usage = store.usage()
        samples = store.page(ALL, max(1, usage.pictures), 0).samples
        kept_lately = [kept.hash for kept in store.kept_lately("front", 1_000_000)]
    numbers = [number_of(one.captured_at_us) for one in samples]
    assert len(set(numbers)) == len(numbers), "a picture is there twice"
    files = files_of(folder)
    assert {one.id for one in samples} == set(files)
    for one in samples:
        assert files[one.id] == picture_of(number_of(one.captured_at_us))
        assert one.bytes == len(files[one.id])
    gone = journal["added"] - set(numbers)
    assert gone <= journal["sending"], "a picture was lost that was not uploaded"
    assert len(set(kept_lately)) == len(kept_lately), "a picture was counted twice"
    assert journal["added"] <= set(kept_lately)
    # One more at most: kept, and killed before it could be noted here.
    assert len(kept_lately) - len(journal["added"]) in (0, 1)
    assert set(numbers) <= set(kept_lately)
    states = {number_of(one.captured_at_us): one.state for one in samples}
    assert {states.get(n, SampleState.UPLOADED) for n in journal["sent"]} <= {SampleState.UPLOADED}
    assert {n for n, state in states.items() if state is SampleState.UPLOADED} <= journal["sending"]
    assert SampleState.UPLOADING not in states.values()
    assert SampleState.FAILED not in states.values()
    assert usage.dropped == 0
    totals_are_true(folder)


# -- killed at one line after the other ---------------------------------------------------------


def adding(store: SqlSamples, journal: Journal, number: int) -> Callable[[], object]:
    """Be about to keep a picture."""
    del journal
    new = sample(number, "nut", jpeg=picture_of(number))
    return lambda: store.add(new)


def sending(store: SqlSamples, journal: Journal, number: int) -> Callable[[], object]:
    """Be about to upload a picture."""
    one = kept(store, number, "nut", jpeg=picture_of(number))
    journal.note("sending", number)

    def send() -> None:
        store.begin_upload([one.id])
        store.end_upload([FileOutcome(one.id, accepted=True)], START_US)

    return send


def removing(store: SqlSamples, journal: Journal, number: int) -> Callable[[], object]:
    """Be about to remove a picture that was uploaded."""
    sending(store, journal, number)()
    limits = _limits(max(1, store.usage().pictures - 1))
    return lambda: store.prune(limits, None)


ACTIONS = {"add": adding, "send": sending, "remove": removing}


def die_at(folder: Path, action: str, line: int) -> None:
    """Do one thing, and be killed before the n-th line of the store's code."""
    journal = Journal(folder.with_suffix(".journal"))
    number = max(journal.read()["added"], default=-1) + 1
    with SqlSamples(folder) as store:
        store.release_uploads()
        act = ACTIONS[action](store, journal, number)
        if action != "add":
            journal.note("added", number)
        left = line

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            del argument
            code = frame.f_code
            if code.co_filename not in OURS or code.co_name in IN_MEMORY:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        act()
        sys.settrace(None)
        journal.note("added", number)


# -- forks ----------------------------------------------------------------------------------------


class Forks:
    """Starts processes that do one of the things above."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self._server = server

    def start(self, what: str, folder: Path, *arguments: object) -> int:
        """Start `work` or `die_at`; return its process id."""
        return int(self._ask(what, str(folder), *arguments))

    def end_of(self, pid: int) -> int:
        """Wait for the end of a process; return its exit code, negative: the signal."""
        return int(self._ask("wait", pid))

    def _ask(self, *words: object) -> str:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(words) + "\n")
        self._server.stdin.flush()
        return self._server.stdout.readline()


@contextmanager
def forks() -> Iterator[Forks]:
    """Run the process that forks."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "support.sample_killing"],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield Forks(server)


_WORKS: dict[str, Callable[..., None]] = {"work": work, "die_at": die_at}


def serve() -> None:
    """Fork as asked by lines of JSON, until there are no more."""
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(arguments[0], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                code = 1
                try:
                    _WORKS[what](Path(arguments[0]), *arguments[1:])
                    code = 0
                finally:
                    os._exit(code)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
