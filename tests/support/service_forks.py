"""The service of cloud-sync as a process that starts in no time: a fork of one that has loaded it.

What is killed a dozen times need not load its libraries a dozen times (`python -m
support.service_forks` forks as asked by lines of JSON). A fork runs `main`, as always.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.shared import ROOT

STOP_S = 15


@dataclass
class ForkedService:
    """Starts one service again and again."""

    server: "subprocess.Popen[str]"
    environment: Mapping[str, str]
    log: Path
    pid: int = field(default=0, init=False)

    def start(self) -> None:
        """Start it; it must not run."""
        assert not self.pid
        self.pid = int(self._ask("start", dict(self.environment), str(self.log)))

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; return its exit code, negative: the signal."""
        pid, self.pid = self.pid, 0
        return int(self._ask("wait", pid))

    def text(self) -> str:
        """Return what it logged so far."""
        return self.log.read_text(errors="replace")

    def _ask(self, *words: object) -> str:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(words) + "\n")
        self.server.stdin.flush()
        return self.server.stdout.readline()


@contextmanager
def forked_service(environment: Mapping[str, str], log: Path) -> Iterator[ForkedService]:
    """Load the service; it is not started yet. One that runs at the end is killed."""
    with subprocess.Popen(
        [sys.executable, "-B", "-m", "support.service_forks"],
        cwd=ROOT / "tests",
        # Threads of a library would not be there in a fork.
        env={**environment, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        service = ForkedService(server, environment, log)
        try:
            yield service
        finally:
            if service.pid:
                service.kill()


def serve() -> None:
    """Fork as asked, until there are no more lines."""
    from nxai_cloud_sync import composition  # noqa: PLC0415 - loaded here alone
    from nxai_cloud_sync.__main__ import main  # noqa: PLC0415 - as above

    del composition
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(arguments[0], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _become_service(*arguments)
                code = 1
                try:
                    code = main([])
                finally:
                    os._exit(code)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _become_service(environment: Mapping[str, str], log: str) -> None:
    os.environ.clear()  # noqa: TID251 - what a new process would have
    os.environ.update(environment)  # noqa: TID251 - as above
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


if __name__ == "__main__":
    serve()
