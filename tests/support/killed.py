"""Work that is killed (kill -9) at its n-th change of a file: every place a power cut may hit.

One process imports what is needed and forks a child for each try; the child counts what Python's
audit events tell of changes to files, and ends itself at the one that was asked for, before it
happens.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from support.shared import ROOT

CHANGES: Final = frozenset(
    {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "os.truncate", "support.step"}
)
WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
STEP: Final = "support.step"
"""Audit event of a test's own: a place to be killed at where no file changes."""


@dataclass
class KilledWork:
    """Runs a function of a module, given as `module:function`, and kills it."""

    function: str

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-m", "support.killed", self.function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT / "tests",
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        assert kind or self._process.returncode == 0

    def run(self, at: int, **arguments: Any) -> bool:
        """Do the work; return whether it came as far as the change and was killed there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"at": at, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return True
        assert os.waitstatus_to_exitcode(status) == 0, "the work failed by itself; see above"
        return False


def _serve(function: str) -> None:
    module, _, name = function.partition(":")
    work = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            _count_down(wanted["at"])
            work(**wanted["arguments"])
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


def _count_down(left: int) -> None:
    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if opened or event in CHANGES:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


if __name__ == "__main__":
    _serve(sys.argv[1])
