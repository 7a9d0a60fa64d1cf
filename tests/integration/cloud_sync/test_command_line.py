"""The command line as a person uses it: real services, a real broker, an Edge Impulse of our own.

Most commands run in this process, which spares the imports; what depends on a terminal, a pipe or
a signal runs in one of its own.
"""

import io
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nxai_cloud_sync import cli_desk
from nxai_cloud_sync.__main__ import COMMANDS, main
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_common.contracts import commands as c
from nxai_common.contracts.models import Task
from nxai_common.contracts.progress import JobState
from nxai_common.contracts.status import ServiceState
from support.archives import openmv, zipped
from support.broker import Broker, free_port
from support.edge_impulse import Fault, Hang, Reply, Training, Trickle, downloads, fomo
from support.loop import KEY, Loop, loop
from support.retrained import retrained
from support.samples import jpeg, sample
from support.shared import shared
from support.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FLOAT32 = "models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite"
LABELS = ("beer", "can")
MODEL = "conveyor-nuts"
MANY = 1005
"""Pictures that nobody looked at, before the first test: more than one page, and one command."""
A_MODEL = "*/learn-data/*"
QUIET: dict[str, Any] = {
    "cameras": {"front": {}, "back": {}},
    "updates": {"policy": "off"},
}
"""Nothing goes on by itself."""


@dataclass
class Ran:
    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert KEY not in self.out + self.err


class Shell:
    """A person who types."""

    def __init__(
        self, walk: Loop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.walk = walk
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        for name in tuple(os.environ):  # noqa: TID251 - a shell without anybody's settings
            if name.startswith("NXAI_"):
                monkeypatch.delenv(name)
        for name, value in walk.environment.items():
            if name.startswith("NXAI_"):
                monkeypatch.setenv(name, value)

    def run(self, *words: str, text: str = "") -> Ran:
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        self._capfd.readouterr()
        try:
            code = main(list(words))
        except SystemExit as error:
            code = int(str(error.code))
        out, err = self._capfd.readouterr()
        return Ran(code, out, err)

    def does(self, *words: str, text: str = "") -> str:
        """Return what it printed when all went well."""
        ran = self.run(*words, text=text)
        assert ran.code == 0, f"{words}: {ran}"
        return ran.out + ran.err

    def fails(self, *words: str, code: int = 1, text: str = "") -> str:
        """Return the one line that says why."""
        ran = self.run(*words, text=text)
        assert ran.code == code, f"{words}: {ran}"
        assert ran.err.endswith("\n")
        last = ran.err.splitlines()[-1]
        assert last.startswith("nxai-cloud-sync: "), ran
        return last.removeprefix("nxai-cloud-sync: ")

    def slips(self, *words: str) -> str:
        """Return what argparse or the contract says of a slip of the pen."""
        ran = self.run(*words)
        assert ran.code == 2, f"{words}: {ran}"
        assert ran.out == ""
        return ran.err

    def json(self, *words: str) -> Any:
        return json.loads(self.does(*words, "--json"))

    @contextmanager
    def process(self, *words: str, **how: Any) -> Iterator["subprocess.Popen[Any]"]:
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
        with subprocess.Popen(
            [sys.executable, "-m", "nxai_cloud_sync", *words], env=self.walk.environment, **how
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def float32(number: int = 0) -> bytes:
    content = shared(FLOAT32).read_bytes()
    return retrained(content, number) if number else content


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """Cloud-sync and inference, with pictures of earlier days."""
    folder = tmp_path_factory.mktemp("box") / "box"
    collected_before(folder / "cloud-sync")
    impulse = fomo(LABELS, float32=float32(), int8=float32(99))
    with loop(folder, impulse, services=("inference", "cloud-sync")) as made:
        made.configure(**QUIET)
        yield made


def collected_before(folder: Path) -> None:
    """Keep pictures as an earlier process did; in memory first, where a commit takes no time."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        with SqlSamples(Path(made)) as store:
            for number in range(MANY):
                store.add(sample(number, *(("nut",) if number % 2 else ()), jpeg=jpeg(number % 7)))
        shutil.copytree(made, folder)


@pytest.fixture
def shell(
    walk: Loop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    yield Shell(walk, monkeypatch, capfd)
    walk.emulator.faults.clear()


@pytest.fixture
def linked(shell: Shell) -> Shell:
    link(shell)
    return shell


def link(shell: Shell, key: str = KEY, *words: str) -> str:
    urls = shell.walk.urls
    return shell.does(
        "link", "--key-file", "-", "--studio", urls.studio, "--ingestion", urls.ingestion, *words,
        text=f"{key}\n",
    )  # fmt: skip


@pytest.fixture
def pulled(linked: Shell) -> Shell:
    """A box with the first version of the model."""
    linked.walk.project.train(Training(downloads(float32(), float32(99)), labels=LABELS))
    linked.does("pull", "--model", MODEL)
    return linked


def versions(shell: Shell) -> dict[str, dict[str, Any]]:
    return {version["digest"]: version for version in shell.json("models")["versions"]}


def newest(shell: Shell) -> str:
    return str(shell.json("models")["versions"][0]["digest"])


def another(shell: Shell, number: int) -> str:
    """Train and pull another version; return its digest."""
    shell.walk.project.train(Training(downloads(float32(number)), labels=LABELS))
    shell.does("pull")
    return newest(shell)


# -- words ----------------------------------------------------------------------------------------


def test_help_names_every_command(shell: Shell) -> None:
    everything = shell.does("--help")
    assert [name for name in COMMANDS if f"\n  {name} " not in everything] == []
    for name, text in COMMANDS.items():
        shown = shell.does(name, "--help")
        assert shown.startswith(f"usage: nxai-cloud-sync {name}")
        assert " ".join(text.split()) in " ".join(shown.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("modles",), "did you mean 'models'?"),
        (("pull", "--int4"), "unrecognized arguments: --int4"),
        (("deploy",), "the following arguments are required: model"),
        (("import", "x.tflite", "--task", "magic"), "invalid choice: 'magic'"),
        (("samples", "--limit", "0"), "--limit: must be a whole number, from 1 to 1000; not 0"),
        (("samples", "--limit", "1001"), "must be a whole number, from 1 to 1000; not 1001"),
        (("samples", "--offset", "x"), "--offset: must be a whole number, 0 or more; not x"),
        (("samples", "--state", "apprved"), "invalid choice: 'apprved' (choose from 'new', "),
        (("samples", "--strategy", "maybe"), "'uncertain', 'least-confidence', 'margin', "),
        (("link", "--project", "0"), "--project: must be a whole number, 1 or more; not 0"),
        (("approve",), "say which pictures, or --all"),
        (("reopen",), "nxai-cloud-sync: say which pictures\n"),
        (("approve", "Some/../Thing"), "'Some/../Thing' is no id of a picture; `nxai-cloud-sync"),
        (("picture", "one", "look.png"), "name the file .jpg, or - for standard output; not 'lo"),
        (("pull", "--model", "Bad Name"), "--model: a name in topics: lower-case letters, digits"),
        (("pull", "--model", "Bad Name"), "e.g. front-door; not 'Bad Name'"),
        (("picture", "no", "such.jpg", "words"), "unrecognized arguments: words"),
        (("rename", "abc"), "say what changes: --title, --documentation, or both"),
        (("deploy", "a/b"), "argument model: a name in topics: "),
        (("deploy", MODEL, "--threshold", "7"), "--threshold: must be from 0 to 1, not 7"),
        (("deploy", MODEL, "--threshold", "-1"), "--threshold: must be from 0 to 1, not -1"),
        (("import", "x.onnx", "--threshold", "half"), "must be from 0 to 1, not half"),
        (
            ("deploy", MODEL, "--camera", "front,back"),
            "--camera: name one camera each time: --camera front --camera back; not 'front,back'",
        ),
        (("deploy", MODEL, "front"), "a camera is named with --camera front"),
        (("deploy", MODEL, "front"), "usage: nxai-cloud-sync deploy "),
        (("link", "ei_given_as_a_word"), "unrecognized arguments"),
    ],
)
def test_slips_of_the_pen(shell: Shell, words: tuple[str, ...], says: str) -> None:
    assert says in shell.slips(*words)


def test_a_setting_that_nobody_knows(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NXAI_CLOUD_SYNC_STATE_DRI", "/tmp")
    assert "NXAI_CLOUD_SYNC_STATE_DRI" in shell.fails("show", code=2)


# -- nobody there ---------------------------------------------------------------------------------


def test_without_a_broker(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_desk, "CONNECT_S", 0.5)
    monkeypatch.setenv("NXAI_BROKER", f"mqtt://127.0.0.1:{free_port()}")
    said = shell.fails("models", code=2)
    assert said.startswith("the broker at mqtt://127.0.0.1:")
    assert "does not answer, or refuses this account; check NXAI_BROKER" in said
    monkeypatch.setenv("NXAI_BROKER", shell.walk.stack.broker.url)
    monkeypatch.setenv("NXAI_BROKER_PASSWORD", "wrong")
    assert "refuses this account" in shell.fails("models", code=2)


def test_without_a_service(broker: Broker, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_desk, "UNHEARD_S", 0.5)
    monkeypatch.setattr(cli_desk, "SERVICE_S", 30.0)
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    assert shell.fails("models", code=2) == (
        "the service 'cloud-sync' does not run here (never heard of); start it: "
        "`docker compose up -d cloud-sync`, or `make run`"
    )
    status = shell.walk.stack.status("cloud-sync")
    with broker.bus("cloud-sync") as bus:
        bus.publish(status.model_copy(update={"state": ServiceState.STOPPED}))
        began = time.monotonic()
        assert "does not run here (stopped); start it: " in shell.fails("models", code=2)
        assert time.monotonic() - began < 10, "who was stopped on purpose is not waited for"
        monkeypatch.setattr(cli_desk, "SERVICE_S", 0.5)
        bus.publish(status.model_copy(update={"state": ServiceState.OFFLINE}))
        assert "does not run here (offline); start it: " in shell.fails("models", code=2)
        monkeypatch.setattr(cli_desk, "ANSWER_S", 0.5)
        bus.publish(status)  # it says so, and does not answer
        assert shell.fails("models", code=2) == (
            "the service did not answer within 0.5 s; does nxai-cloud-sync run?"
        )


# -- the key --------------------------------------------------------------------------------------


def key_of(shell: Shell) -> str:
    return (shell.walk.stack.folder / "cloud-sync/edge-impulse-key").read_text().strip()


def test_a_key_from_a_file_and_from_a_pipe(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"\ufeff{KEY}\r\n", encoding="utf-8")
    urls = shell.walk.urls
    where = ("--studio", urls.studio, "--ingestion", urls.ingestion)
    said = shell.does("link", "--key-file", str(file), *where)
    assert f"linked project {shell.walk.project.id} (Conveyor nuts)" in said
    assert f"project {shell.walk.project.id} (Conveyor nuts), key of role admin" in said
    assert "* impulse 1 (Impulse #1, 96x96 fit-short), learn block 3 (Object detection" in said
    assert key_of(shell) == KEY
    link(shell)
    shell.does("link")  # without a terminal and without a word: the key that is there
    shown = shell.json("show")
    assert (shown["link"]["project"], shown["trouble"]) == (shell.walk.project.id, "")
    assert said.startswith(shell.does("show"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello", "this is no API key of Edge Impulse: one begins with ei_"),
        (b"", "this is no API key"),
        (b"ei_\xff\xfe\x00", "holds no text, and so no API key"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_key(shell: Shell, tmp_path: Path, content: bytes | None, says: str) -> None:
    link(shell)
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    assert says in shell.fails("link", "--key-file", str(file), code=2)
    assert key_of(shell) == KEY


def test_a_key_that_is_refused_does_not_take_the_place_of_a_good_one(shell: Shell) -> None:
    unknown = "ei_" + "7" * 64
    key = shell.walk.stack.folder / "cloud-sync/edge-impulse-key"
    link(shell)
    shell.does("unlink")
    assert not key.exists()
    where = ("--studio", shell.walk.urls.studio, "--ingestion", shell.walk.urls.ingestion)
    said = shell.fails("link", "--key-file", "-", *where, text=unknown)
    assert said.startswith("Edge Impulse refused the API key: Invalid API key (HTTP 401")
    assert said.endswith("; the key was not kept")
    assert unknown not in said
    assert not key.exists()
    assert shell.does("show") == "no project is linked\n"
    assert shell.does("unlink") == "no project is linked\n"
    said = shell.fails("link", *where)
    assert said.startswith("there is no API key yet (Studio: Dashboard > Keys): type it when ")
    assert said.endswith("give a file with --key-file FILE, or pipe it in")
    link(shell)
    said = shell.fails("link", "--key-file", "-", text=unknown)
    assert said.endswith("; the key from before stays")
    assert key_of(shell) == KEY
    shell.does("check")
    assert shell.json("show")["trouble"] == ""


def test_a_key_says_what_it_cannot_do(shell: Shell) -> None:
    reader = "ei_0123456789abcdef_reader"
    shell.walk.project.add_key(reader, "readonly")
    assert "a key with role 'readonly' cannot upload pictures or retrain" in link(shell, reader)
    assert "cannot upload pictures" in shell.fails("upload")
    link(shell)


def test_a_key_that_somebody_else_keeps(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(KEY)
    monkeypatch.setenv("NXAI_CLOUD_SYNC_KEY_FILE", str(tmp_path / "secret"))
    said = shell.fails("link", "--key-file", "-", code=2, text=KEY)
    assert said.startswith("the API key is read from")
    assert said.endswith("put it there, or unset the variable")


def test_a_key_that_is_piped_in_without_a_word_is_taken(shell: Shell) -> None:
    link(shell)
    shell.does("unlink")
    where = ("--studio", shell.walk.urls.studio, "--ingestion", shell.walk.urls.ingestion)
    assert "key of role admin" in shell.does("link", *where, text=f"\ufeff{KEY}\r\n")
    assert key_of(shell) == KEY
    said = shell.fails("link", code=2, text="front,back\n")
    assert said.startswith("standard input holds no API key of Edge Impulse: one begins with ei_")
    assert said.endswith("with < /dev/null the key that is there is used")
    assert "project " in shell.does("link", text="\n")


@pytest.mark.parametrize("redirect", ["<&-", "< /dev/null", "9<>fifo <&9"])
def test_a_script_without_a_key_goes_on_with_the_one_that_is_there(
    linked: Shell, tmp_path: Path, redirect: str
) -> None:
    os.mkfifo(tmp_path / "fifo")  # a pipe into which nobody writes, and that nobody closes
    run = subprocess.run(
        ["bash", "-c", f"exec {sys.executable} -m nxai_cloud_sync link {redirect}"],
        env=linked.walk.environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run
    assert "key of role admin" in run.stdout
    assert ("standard input is open, and nothing came" in run.stderr) == ("fifo" in redirect)
    assert key_of(linked) == KEY


@pytest.mark.parametrize("words", [("--key-file", "-"), ()])
def test_a_pipe_that_holds_no_text(linked: Shell, words: tuple[str, ...]) -> None:
    with linked.process("link", *words, stdin=subprocess.PIPE, text=False) as process:
        _, err = process.communicate(b"\xff\xfe\x00\n", timeout=30)
    assert process.returncode == 2
    assert b"API key" in err
    assert err.count(b"\n") == 1


def test_a_new_key_stays_where_it_is_not_known_how_linking_ended(linked: Shell) -> None:
    walk = linked.walk
    new = "ei_fedcba9876543210_another"
    walk.project.add_key(new)
    hanging = Hang()
    walk.emulator.faults.add(Fault("*", hanging))
    began = datetime.now(UTC)
    with linked.process("link", "--key-file", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(f"{new}\n")
        process.stdin.close()
        process.stdin = None
        job = job_of(walk, "link", began)
        assert process.stderr.readline() == "checking the key\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.splitlines()[-1].endswith(
        "; the new key stays, as it may be linked still: `nxai-cloud-sync show` says it"
    )
    assert key_of(linked) == new
    hanging.until.set()
    assert walk.job_ended(lambda step: step.job == job).state is JobState.DONE
    assert linked.json("show")["trouble"] == ""
    link(linked)


def test_unlinking_is_asked_about_at_a_terminal(linked: Shell) -> None:
    name = f"project {linked.walk.project.id} (Conveyor nuts)"
    terminal = Terminal(linked, "unlink")
    terminal.sees(f"Forget {name} and delete its API key? [y/N] ")
    terminal.types("n\n")
    assert terminal.ends() == 1
    assert "nothing was unlinked" in terminal.said
    assert key_of(linked) == KEY
    for words, answer in ((("unlink", "--yes"), ""), (("unlink",), "y\n")):
        link(linked)
        terminal = Terminal(linked, *words)
        if answer:
            terminal.sees("[y/N] ")
            terminal.types(answer)
        terminal.sees("unlinked; the key is deleted, models and pictures stay")
        assert terminal.ends() == 0
    terminal = Terminal(linked, "unlink")  # there is nothing to ask about
    terminal.sees("no project is linked")
    assert terminal.ends() == 0


class Terminal:
    """A terminal with a person before it."""

    def __init__(self, shell: Shell, *words: str) -> None:
        self.said = ""
        self._pid, self._end = pty.fork()
        if self._pid == 0:
            os.execve(  # noqa: S606 - in the child of a terminal
                sys.executable,
                [sys.executable, "-m", "nxai_cloud_sync", *words],
                shell.walk.environment,
            )

    def sees(self, text: str, deadline: float = 30) -> None:
        """Wait until something is shown."""
        wait_for(lambda: self._read() or text in self.said, deadline, f"{text!r} is shown")

    def types(self, text: str) -> None:
        os.write(self._end, text.encode())

    def ends(self) -> int:
        """Return the exit code."""
        wait_for(self._read, 30, "the end of a command")
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        os.close(self._end)
        assert KEY not in self.said
        return code

    def _read(self) -> bool:
        """Read what is there; return whether it has ended."""
        ready, _, _ = select.select([self._end], [], [], 0.1)
        if not ready:
            return False
        try:
            self.said += os.read(self._end, 65536).decode()
        except OSError:  # the other end is closed
            return True
        return False


def test_a_key_that_is_typed_is_not_shown(linked: Shell) -> None:
    terminal = Terminal(linked, "link")
    terminal.sees("API key (Dashboard > Keys; empty: keep the one that is there): ")
    command = Path(f"/proc/{terminal._pid}/cmdline").read_bytes()
    terminal.types(f"{KEY}\n")
    terminal.sees("key of role admin")
    assert terminal.ends() == 0
    assert KEY.encode() not in command
    terminal = Terminal(linked, "link")
    terminal.sees("API key")
    terminal.types("\x04")  # Ctrl-D
    assert terminal.ends() == 1
    assert "nothing was linked" in terminal.said
    assert "Traceback" not in terminal.said
    assert key_of(linked) == KEY


# -- models ---------------------------------------------------------------------------------------


def test_models_come_and_are_listed(pulled: Shell) -> None:
    digest = newest(pulled)
    listed = pulled.does("models").splitlines()
    assert listed[0].split() == ["digest", "model", "version", "state", "input", "speed", "use"]
    line = next(line for line in listed if line.startswith(digest[:12]))
    assert MODEL in line
    assert " ready  96x96  " in line
    assert line.endswith(" ms")
    assert "nothing new: version" in pulled.does("pull")
    said = pulled.does("pull", "--int8")
    assert f"of model {MODEL} is ready" in said
    assert len(versions(pulled)) >= 2


def test_a_model_file_is_imported(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "my model.tflite"
    file.write_bytes(float32(20))
    said = shell.does(
        "import", str(file), "--labels", "bottle, tin", "--model", "from-a-file", "--title",
        "Mine", "--task", "fomo", "--resize-mode", "squash", "--input-scaling", "0..1",
        "--threshold", "0.4",
    )  # fmt: skip
    assert "of model from-a-file is ready" in said
    found = versions(shell)[newest(shell)]
    assert (found["labels"], found["title"]) == (["bottle", "tin"], "Mine")
    assert (found["task"], found["threshold"]) == (Task.FOMO.value, 0.4)
    assert list((shell.walk.stack.folder / "cloud-sync/incoming").iterdir()) == []
    assert file.exists()


def test_a_file_without_more_words_is_known_by_its_own_name(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "Beer Cans.tflite"
    file.write_bytes(float32(77))
    assert "of model beer-cans is ready" in shell.does("import", str(file), "--labels", "a,b")


def test_an_archive_of_edge_impulse_is_imported(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "openmv.zip"
    file.write_bytes(zipped(openmv(float32(21), LABELS)))
    assert "is ready" in shell.does("import", str(file), "--model", "openmv")
    assert versions(shell)[newest(shell)]["labels"] == list(LABELS)


def test_what_cannot_be_imported(shell: Shell, tmp_path: Path) -> None:
    incoming = shell.walk.stack.folder / "cloud-sync/incoming"
    missing = tmp_path / "none.tflite"
    assert shell.fails("import", str(missing), code=2) == f"there is no file {missing}"
    assert "cannot be handed to the service" in shell.fails("import", str(tmp_path), code=2)
    file = tmp_path / "readme.txt"
    file.write_text("read me")
    said = shell.fails("import", str(file))
    assert said.startswith("readme.txt is neither TensorFlow Lite nor ONNX")
    file = tmp_path / "three.tflite"
    file.write_bytes(float32(22))
    said = shell.fails("import", str(file), "--labels", "one,two,three", "--model", "three")
    assert " of model three was refused: 3 labels are given (one, two, three), but " in said
    assert "  three " in shell.does("models")
    assert list(incoming.iterdir()) == []


def test_a_pulled_model_that_is_refused(linked: Shell) -> None:
    linked.walk.project.train(
        Training(downloads(float32(23)), labels=("one", "two", "three")),
    )
    said = linked.fails("pull", "--model", "three-pulled")
    assert " of model three-pulled was refused: " in said
    linked.walk.project.train(Training(downloads(float32(), float32(99)), labels=LABELS))


def test_a_command_with_another_state_folder(
    linked: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my.tflite"
    file.write_bytes(float32(24))
    other = tmp_path / "other"
    monkeypatch.setenv("NXAI_CLOUD_SYNC_STATE_DIR", str(other))
    for words in (("import", str(file)), ("link", "--key-file", "-")):
        said = linked.fails(*words, code=2, text=KEY)
        assert said.startswith(f"there is no folder {other}: NXAI_CLOUD_SYNC_STATE_DIR of this")
    assert not other.exists()
    other.mkdir()
    said = linked.fails("import", str(file))
    assert said.startswith("there is no file 'my.tflite' in ")
    assert said.endswith("; NXAI_CLOUD_SYNC_STATE_DIR of this command is not the service's folder")
    assert list((other / "incoming").iterdir()) == []


def test_versions_are_named_by_their_beginning(pulled: Shell) -> None:
    other = another(pulled, 30)
    said = pulled.does(
        "rename", other[:8].upper(), "--title", "Nuts", "--documentation", "By hand."
    )
    assert said == f"version {other[:12]} is called 'Nuts' now and has another documentation\n"
    assert versions(pulled)[other]["title"] == "Nuts"
    assert "'' fits several of the versions here: " in pulled.fails("delete", "")
    said = pulled.fails("rename", "zz", "--title", "x")
    assert said.startswith("version 'zz' fits none of the versions here: ")
    assert pulled.does("delete", other[:12]) == f"version {other[:12]} deleted\n"
    assert other not in versions(pulled)
    assert "fits none" in pulled.fails("delete", other)


def use_of(shell: Shell, digest: str) -> str:
    """Return what `models` says of the use of a version: its last column."""
    listed = shell.does("models").splitlines()
    line = next(line for line in listed if line.startswith(digest[:12]))
    return line[listed[0].index("use") :]


def test_a_model_is_deployed_tried_promoted_and_taken_away(pulled: Shell) -> None:
    walk = pulled.walk
    walk.configure(**QUIET)
    first = newest(pulled)
    assert "say on which cameras; known: back, front" in pulled.fails("deploy", MODEL)
    said = pulled.does("deploy", MODEL, "--camera", "front", "--camera", "back", "--at-once",
                       "--threshold", "0.3")  # fmt: skip
    assert "goes in force on front, back" in said
    assert f"model '{MODEL}' runs it on back, front" in pulled.fails("delete", first[:12])
    assert "is not deployed" in pulled.fails("undeploy", "nuts")
    pulled.does("undeploy", MODEL, "--camera", "back")
    assert use_of(pulled, first).endswith(" on front")
    other = another(pulled, 31)
    assert "is tried beside" in pulled.does("deploy", MODEL, "--version", other[:10])
    assert use_of(pulled, first) == f"in force on front, shadowed by {other[:12]}"
    assert use_of(pulled, other) == "on trial, 0%"
    assert pulled.does("end-shadow", MODEL) == "the trial is over\n"
    pulled.does("deploy", MODEL, "--version", other[:10])
    assert pulled.does("promote", MODEL).startswith(f"version {other[:12]} goes in force")
    assert pulled.does("roll-back", MODEL) == f"version {first[:12]} goes in force again\n"
    assert "no version before" in pulled.fails("roll-back", MODEL)
    pulled.does("undeploy", MODEL)
    assert pulled.json("models")["deployments"] == []


# -- pictures -------------------------------------------------------------------------------------


def test_pictures_are_listed(shell: Shell) -> None:
    listed = shell.does("samples", "--limit", "3").splitlines()
    assert len(listed) == 5
    columns = ("id", "when (UTC)", "camera", "state", "value 0..1", "labels", "why")
    assert tuple(re.split("  +", listed[0])) == columns
    found = shell.json("samples", "--limit", "3")["samples"]
    assert tuple(re.split("  +", listed[1])) == (
        found[0]["id"], "2026-11-22 10:16:44", "front", "new", "0.50", "-", "nut 0.41 is below 0.5",
    )  # fmt: skip
    assert "  nut  " in listed[2]
    assert listed[-1] == f"showing 3 of {MANY}; --limit shows more"
    found = shell.json("samples", "--label", "nut", "--limit", "5", "--offset", "2")
    assert found["total"] == MANY // 2
    assert len(found["samples"]) == 5
    assert shell.does("samples", "--camera", "nobody") == "no picture fits\n"
    assert shell.does("samples", "--state", "uploaded", "--by-value") == "no picture fits\n"


def test_a_picture_is_saved_with_its_boxes(shell: Shell, tmp_path: Path) -> None:
    empty, found = shell.json("samples", "--limit", "2")["samples"]
    assert [box["label"] for box in found["predictions"]] == ["nut"]
    target = tmp_path / "picture.jpg"
    said = shell.does("picture", found["id"], str(target))
    assert said == f"{target}: {target.stat().st_size} bytes, nut\n"
    kept = jpeg((MANY - 2) % 7)
    assert target.read_bytes() != kept
    assert differ(target.read_bytes(), kept, 8, 8), "the frame is drawn"
    assert not differ(target.read_bytes(), kept, 50, 40), "the rest is as it was"
    said = shell.does("picture", "--plain", found["id"], str(target))
    assert said == f"{target}: {found['bytes']} bytes\n"
    assert target.read_bytes() == kept
    shell.does("picture", empty["id"], str(target))
    assert target.read_bytes() == jpeg((MANY - 1) % 7), "without a box nothing is drawn"
    assert "cannot be written: No such file" in shell.fails(
        "picture", found["id"], str(tmp_path / "no/where.jpg"), code=2
    )
    assert shell.fails("picture", "nobody", str(target)) == "there is no picture 'nobody'"


def differ(one: bytes, other: bytes, x: int, y: int) -> bool:
    """Tell whether a pixel has quite another colour in two pictures."""
    with Image.open(io.BytesIO(one)) as first, Image.open(io.BytesIO(other)) as second:
        a, b = first.convert("RGB").getpixel((x, y)), second.convert("RGB").getpixel((x, y))
    assert isinstance(a, tuple)
    assert isinstance(b, tuple)
    return max(abs(p - q) for p, q in zip(a, b, strict=True)) > 40


def test_the_boxes_that_a_person_gave_are_drawn(shell: Shell, tmp_path: Path) -> None:
    one = shell.json("samples", "--limit", "4")["samples"][3]["id"]
    boxes = (c.LabelledBox(label="bolt", x=40, y=30, width=10, height=10),)
    shell.walk.ask(c.ReviewSamples(samples=(one,), decision="approved", boxes=boxes))
    target = tmp_path / "picture.jpeg"
    assert shell.does("picture", one, str(target)).endswith(" bytes, bolt (confirmed)\n")
    kept = jpeg((MANY - 4) % 7)
    assert differ(target.read_bytes(), kept, 40, 30)
    assert not differ(target.read_bytes(), kept, 8, 24), "what the model saw is not drawn"
    shell.does("reopen", one)


def test_a_picture_goes_to_standard_output(shell: Shell) -> None:
    (found,) = shell.json("samples", "--limit", "1")["samples"]
    with shell.process("picture", found["id"], "-", text=False) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, jpeg((MANY - 1) % 7), b"")
    terminal = Terminal(shell, "picture", found["id"], "-")
    assert terminal.ends() == 2
    assert "nothing for a terminal: name a file, or pipe it on" in terminal.said


def test_decisions_on_some_and_on_more_than_a_thousand(linked: Shell) -> None:
    nothing = f"no picture is approved; {MANY} pictures that nobody looked at: `approve`, or `up"
    assert nothing in linked.does("upload")
    one, two, three = (s["id"] for s in linked.json("samples", "--limit", "3")["samples"])
    assert linked.does("approve", one, two, "--confirm") == "2 pictures approved\n"
    assert linked.does("discard", three) == "1 picture discarded\n"
    some = linked.run("approve", one, "nobody")
    assert (some.code, some.out) == (1, "1 picture approved\n")
    assert some.err == "nxai-cloud-sync: nobody: there is no such picture\n"
    assert linked.fails("approve", "nobody") == "nobody: there is no such picture"
    none = linked.run("discard", *(f"nobody-{number}" for number in range(9)))
    assert none.out == "0 pictures discarded\n"
    assert none.err.endswith("nobody-4: there is no such picture; and 4 more\n")
    assert linked.fails("upload", "nope", "-5") == (
        "there is no picture 'nope'; there is no picture '-5'"
    )
    assert linked.fails("upload", three) == f"{three}: it was discarded; `approve` lets it go up"
    assert "1 picture uploaded (0.0 MB)" in linked.does("upload", one)
    again = linked.does("upload", one)
    assert again.endswith("0 pictures uploaded\nwhat was not sent now was uploaded before\n")
    assert linked.does("approve", "--all") == f"{MANY - 3} pictures approved\n"
    assert linked.json("samples", "--state", "new")["total"] == 0
    assert linked.json("samples", "--state", "approved")["total"] == MANY - 2
    assert linked.does("approve", "--all") == "0 pictures approved\n"
    approved = [s["id"] for s in linked.json("samples", "--state", "approved")["samples"][:5]]
    assert linked.does("reopen", *approved) == "5 pictures reopened\n"
    assert linked.fails("upload", approved[0]) == (
        f"{approved[0]}: nobody approved it: `approve` it, or say --new"
    )
    assert "1 picture uploaded" in linked.does("upload", approved[0], "--new")
    (first, second) = linked.walk.project.uploaded()[-2:]
    assert {first.filename, second.filename} == {f"{one}.jpg", f"{approved[0]}.jpg"}


def test_pictures_of_a_camera_that_never_sends_are_kept(linked: Shell) -> None:
    approved = linked.json("samples", "--state", "approved")["samples"]
    linked.walk.configure(**QUIET | {"cameras": {"front": {"upload": "never"}}})
    said = linked.does("upload")
    assert f"{linked.json('samples', '--state', 'approved')['total']} approved pictures" in said
    assert "kept here: of cameras that are not configured, or never send any" in said
    assert linked.fails("upload", approved[0]["id"]).endswith(
        "its camera 'front' is not configured, or never sends pictures"
    )
    linked.walk.configure(**QUIET)


def test_a_picture_that_is_refused(linked: Shell) -> None:
    (one, *_) = linked.json("samples", "--state", "approved")["samples"]
    answer = {"success": True, "files": [{"fileName": f"{one['id']}.jpg", "success": False,
                                          "error": "too dark"}]}  # fmt: skip
    linked.walk.emulator.faults.add(Fault("*/files", Reply(200, json.dumps(answer))))
    assert linked.fails("upload", one["id"]) == f"{one['id']}: it was refused: too dark"
    assert "  too dark" in linked.does("samples", "--state", "failed")


def test_an_upload_that_waits_says_so(linked: Shell) -> None:
    hanging = Hang()
    linked.walk.emulator.faults.add(Fault("*/files", hanging, count=None))
    one, two = (s["id"] for s in linked.json("samples", "--state", "approved")["samples"][:2])
    began = datetime.now(UTC)
    with linked.process("upload", one) as first:
        job_of(linked.walk, "upload", began)
        with linked.process("upload", two) as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "waits until upload is done\n"
            with linked.process("upload", two) as third:  # the very same: one job for both
                assert third.stderr is not None
                assert third.stderr.readline() == "under way already\n"
                hanging.until.set()
                for process in (first, second, third):
                    _, err = process.communicate(timeout=30)
                    assert process.returncode == 0
                    assert err.splitlines()[-1].startswith("1 picture uploaded")


# -- jobs -----------------------------------------------------------------------------------------


def test_a_training_costs_and_is_not_started_without_a_word(linked: Shell) -> None:
    walk = linked.walk
    said = linked.run("retrain")
    assert said.code == 1
    assert "uses compute minutes of its Edge Impulse account (20 minutes are left)" in said.out
    assert said.err == "nxai-cloud-sync: nothing was started; say --yes\n"
    walk.project.next_training = Training(log=(), labels=LABELS)
    for answer, code in (("n\n", 1), ("\x04", 1), ("y\n", 0)):
        before = len(walk.project.jobs)
        terminal = Terminal(linked, "retrain")
        terminal.sees("Start? [y/N] ")
        terminal.types(answer)
        assert terminal.ends() == code, terminal.said
        assert ("nothing was started" in terminal.said) == bool(code)
        assert "Traceback" not in terminal.said
        assert ("is done" in terminal.said) == (not code)
        assert len(walk.project.jobs) - before == (0 if code else 1)
    walk.project.next_training = Training(log=("No memory left",), succeeds=False)
    assert linked.fails("retrain", "--yes") == "the training failed: No memory left"


def test_looking_for_a_new_model(pulled: Shell) -> None:
    assert "is here" in pulled.does("check")
    pulled.walk.project.train(Training(downloads(float32(40)), labels=LABELS))
    assert "which is new" in pulled.does("check")


def job_of(walk: Loop, command: str, since: datetime) -> str:
    """Return the job of a command that began since; the end of one before may not be heard yet."""

    def look() -> str | None:
        while (delivery := walk.progress.receive(0)) is not None:
            delivery.acknowledge()
            walk.steps.append(delivery.message)  # type: ignore[arg-type]  # it gets nothing else
        ended = {step.job for step in walk.steps if step.state.ended}
        jobs = [
            step.job
            for step in walk.steps
            if step.command == command and step.at >= since and step.job not in ended
        ]
        return jobs[-1] if jobs else None

    job = wait_for(look, 30, f"a job {command}")
    assert job is not None
    return job


def test_a_job_is_cancelled_by_another_command(linked: Shell) -> None:
    walk = linked.walk
    walk.emulator.faults.add(Fault(A_MODEL, Trickle(0.01)))
    walk.project.train(Training(downloads(float32(50)), labels=LABELS))
    assert linked.fails("cancel", "pull-1") == "there is no job 'pull-1'"
    began = datetime.now(UTC)
    with linked.process("pull") as process:
        job = job_of(walk, "pull", began)
        wait_for(lambda: walk.emulator.asked("/learn-data/"), 30)
        linked.does("cancel", job)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out == ""
    assert err.endswith("\nnxai-cloud-sync: cancelled\n")
    assert linked.fails("cancel", job) == f"job '{job}' is over: cancelled"


def test_an_interrupted_command_leaves_its_job_alone(linked: Shell) -> None:
    walk = linked.walk
    hanging = Hang()
    walk.emulator.faults.add(Fault("*/downloads", hanging))
    walk.project.train(Training(downloads(float32(51)), labels=LABELS))
    began = datetime.now(UTC)
    with linked.process("pull") as process:
        job = job_of(walk, "pull", began)
        assert process.stderr is not None
        assert process.stderr.readline() == "checking the key\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.splitlines()[-1] == (
        f"nxai-cloud-sync: interrupted; the job goes on, and `nxai-cloud-sync cancel {job}` ends it"
    )
    assert "Traceback" not in err
    hanging.until.set()
    step = walk.job_ended(lambda step: step.job == job)
    assert step.details["state"] == "ready"


def test_a_reader_that_has_seen_enough(shell: Shell) -> None:
    for command in ("samples --limit 1000 --json", "samples --limit 1", "models", "pull --help"):
        line = f"{sys.executable} -m nxai_cloud_sync {command} | head -c 1; echo ${{PIPESTATUS[0]}}"
        run = subprocess.run(
            ["bash", "-c", line],
            env=shell.walk.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert run.stderr == "", command
        assert run.stdout[-2:] == "0\n", command
    with shell.process("samples", "--limit", "1") as process:
        assert process.stdout is not None
        process.stdout.close()  # before there is anything to read
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("words", [("models",), ("samples", "--limit", "1000", "--json")])
def test_an_output_that_is_full(shell: Shell, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full, shell.process(*words, stdout=full) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == ("nxai-cloud-sync: standard output cannot be written: No space left on device\n")


@pytest.mark.parametrize("again", [True, False])
def test_a_service_that_ends_under_a_job_is_noticed(
    linked: Shell, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    if not again:
        monkeypatch.setattr(cli_desk, "GONE_S", 1.0)
    walk = linked.walk
    walk.emulator.faults.add(Fault("*", Hang(), count=None))
    asked = len(walk.emulator.requests)

    def end_it() -> None:
        wait_for(lambda: len(walk.emulator.requests) > asked, 30)
        walk.stack.processes["cloud-sync"].kill()
        if again:
            walk.stack.start("cloud-sync", "cloud-sync")

    with ThreadPoolExecutor(1) as other:
        ending = other.submit(end_it)
        said = linked.fails("pull")
        ending.result()
    if again:
        assert said == "the service was started anew meanwhile, and the job ended with it"
    else:
        assert said == "the service ended meanwhile, and the job ended with it"
        walk.stack.start("cloud-sync", "cloud-sync")
    walk.emulator.faults.clear()
    linked.does("check")
