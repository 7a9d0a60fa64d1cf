"""The command line without a broker: what it makes of answers, of standard input, of Ctrl-C."""

import io
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nxai_cloud_sync import cli, cli_desk
from nxai_cloud_sync.__main__ import COMMANDS, main
from nxai_cloud_sync.adapters.key_file import KeyFile
from nxai_cloud_sync.cli_desk import Desk, Refused, Unsure
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.base import Message
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import ServiceState, Status
from nxai_common.errors import BrokerUnavailable, ConfigurationError

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 28, 14, 2, tzinfo=UTC)
OLD_KEY, NEW_KEY = "ei_old", "ei_new"


def status(state: ServiceState = ServiceState.RUNNING, started_at: datetime = NOW) -> Status:
    return Status(
        service="cloud-sync", role="cloud-sync", state=state, at=NOW, started_at=started_at
    )


def step(job: JobState, text: str = "", **details: Any) -> Progress:
    return Progress(
        service="cloud-sync", job="job-1", command="x", state=job, text=text, at=NOW,
        details=details,
    )  # fmt: skip


class Answering(MemoryBus):
    """A bus on which a service answers every command, and then says what a test wants."""

    def __init__(self, *says: Message, reason: str = "") -> None:
        super().__init__(MemoryBroker(), "box")
        self.says = says
        self.reason = reason

    def request(self, command: c.Command, timeout: float = 5.0) -> c.Reply:
        del command, timeout
        for message in self.says:
            self.publish(message)
        return c.Reply(ok=True, reason=self.reason, details={"job": "job-1"})


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Progress]:
    """Do a command with a service that says some things, and then nothing more."""
    monkeypatch.setattr(cli_desk, "GONE_S", 0.05)
    monkeypatch.setattr(cli_desk, "SILENCE_S", 3.0)

    def run(command: c.CloudSyncCommand, *says: Message, reason: str = "") -> Progress:
        with Answering(*says, reason=reason) as bus:
            wanted: list[Subscription[Message]] = [Subscription(Progress), Subscription(Status)]
            inbox = bus.subscribe(*wanted)
            desk = Desk(bus, CloudSyncSettings(state_dir=tmp_path), inbox, status())
            return desk.do(command)

    return run


# -- following a job ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "what"),
    [
        (status(ServiceState.OFFLINE), "the service ended meanwhile"),
        (status(started_at=NOW.replace(minute=3)), "the service was started anew meanwhile"),
    ],
)
def test_a_service_that_goes_away(ask: Callable[..., Progress], later: Status, what: str) -> None:
    with pytest.raises(Unsure) as ended:
        ask(c.PullModel(), later)
    assert str(ended.value) == f"{what}, and the job ended with it"
    with pytest.raises(Unsure) as ended:
        ask(c.RetrainModel(confirm=True), later)
    assert str(ended.value) == (
        f"{what}; a training that was started goes on at Edge Impulse, and the service follows it "
        "again when it is back"
    )


def test_a_service_that_falls_silent(ask: Callable[..., Progress]) -> None:
    with pytest.raises(Unsure, match="has said nothing for 3 s; it may still go on"):
        ask(c.PullModel(), step(JobState.RUNNING, "downloading"))


def test_a_job_that_fails(ask: Callable[..., Progress]) -> None:
    with pytest.raises(Refused, match="no network"):
        ask(c.PullModel(), step(JobState.FAILED, "no network"))


def test_a_job_that_others_began_is_said_to_be_under_way(
    ask: Callable[..., Progress], capsys: pytest.CaptureFixture[str]
) -> None:
    waits = step(JobState.WAITING, "waits until pull is done")
    ended = ask(c.PullModel(), waits, step(JobState.DONE, "x"), reason="under way already")
    assert ended.state is JobState.DONE
    assert capsys.readouterr().err == "under way already\nwaits until pull is done\n"


# -- the key --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "failure", "kept", "says"),
    [
        (None, Refused("no"), None, "no; the key was not kept"),
        (OLD_KEY, Refused("no"), OLD_KEY, "no; the key from before stays"),
        (NEW_KEY, Refused("no"), NEW_KEY, "no"),
        (None, Unsure("who knows"), NEW_KEY, "who knows; the new key stays, as it may be linked"),
        (OLD_KEY, Unsure("who knows"), NEW_KEY, "who knows; the new key stays"),
        (OLD_KEY, BrokerUnavailable("gone"), NEW_KEY, "gone; the new key stays"),
        (OLD_KEY, KeyboardInterrupt(), NEW_KEY, "interrupted; the new key stays"),
    ],
)
def test_which_key_stays(
    tmp_path: Path, before: str | None, failure: BaseException, kept: str | None, says: str
) -> None:
    file = KeyFile(tmp_path / "key")
    if before is not None:
        file.write(before)

    def linking() -> None:
        with cli._new_key(file, before, NEW_KEY):
            assert file.read() == NEW_KEY, "the service reads it"
            raise failure

    with pytest.raises((Refused, Unsure, BrokerUnavailable)) as ended:
        linking()
    assert file.read() == kept
    assert str(ended.value).startswith(says)
    if isinstance(failure, BrokerUnavailable):
        assert isinstance(ended.value, BrokerUnavailable), "the exit code is another one"


def test_standard_input_that_holds_no_text() -> None:
    for binary, words in ((b"ei_\xff\n", "holds no text"), (b"hello\n", "no API key of Edge")):
        with pytest.raises(ConfigurationError, match=words):
            cli._piped_key(io.TextIOWrapper(io.BytesIO(binary), encoding="utf-8"))


# -- what came of an import -----------------------------------------------------------------------


def test_a_refused_model_is_a_failure() -> None:
    said = "version 3 of model nuts was refused: 3 labels are given"
    with pytest.raises(Refused, match=said):
        cli._say_what_came(step(JobState.DONE, said, state="refused"))


def test_a_model_that_waits_for_its_test_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    cli._say_what_came(step(JobState.DONE, "is here and waits", state="fetched"))
    assert capsys.readouterr().err == "is here and waits\n"


# -- pictures -------------------------------------------------------------------------------------


class Asked(Desk):
    """Remembers what it was asked for; has one picture."""

    def __init__(self) -> None:
        self.asked: list[c.CloudSyncCommand] = []

    def ask_json(self, command: c.CloudSyncCommand) -> Any:
        self.asked.append(command)
        return {"samples": [{"id": "front-20261128t140200123-0000abcd"}]}


@pytest.mark.parametrize(
    "name", ["nope", "-5", "front-20261399t140200123-0000abcd", "front-20261128t140200123-abc"]
)
def test_what_is_no_id_of_a_picture_is_asked_for_nowhere(name: str) -> None:
    desk = Asked()
    assert desk.sample(name) is None
    assert desk.asked == []


def test_a_picture_is_looked_up_by_its_time() -> None:
    desk = Asked()
    assert desk.sample("front-20261128t140200123-0000abcd") is not None
    assert desk.sample("back-20261128t140200123-0000abce") is None
    (command, _) = desk.asked
    assert isinstance(command, c.ListSamples)
    assert command.since == datetime(2026, 11, 28, 14, 2, 0, 123_000, UTC)
    assert command.until == datetime(2026, 11, 28, 14, 2, 0, 124_000, UTC)


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (
            1,
            "no picture is approved; 1 picture that nobody looked at: `approve`, or `upload --new`",
        ),
        (0, "no picture waits: all were uploaded or discarded, or none was collected"),
    ],
)
def test_why_nothing_was_uploaded(new: int, says: str) -> None:
    class Counting(Asked):
        def ask_json(self, command: c.CloudSyncCommand) -> Any:
            assert isinstance(command, c.ListSamples)
            assert command.state == "new"
            return {"total": new}

    assert cli._why_nothing(Counting()) == says


@pytest.mark.parametrize(
    ("details", "failure"),
    [
        ({"uploaded": 3, "failed": 1}, "1 picture refused; `nxai-cloud-sync samples --state fai"),
        ({"uploaded": 0, "failed": 2}, "2 pictures refused"),
        ({"uploaded": 3, "bytes": 1_200_000}, ""),
        ({"uploaded": 0, "left": "500 MB of today are used"}, ""),
        ({"uploaded": 0, "kept_back": 4}, ""),
    ],
)
def test_what_came_of_an_upload(
    details: dict[str, Any], failure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class Uploading(Asked):
        def do(self, command: c.CloudSyncCommand) -> Progress:
            del command
            return step(JobState.DONE, "x", **details)

    options = Namespace(sample=[], new=False)
    if failure:
        with pytest.raises(Refused) as ended:
            cli._upload(Uploading(), options)
        assert str(ended.value).startswith(failure)
    else:
        cli._upload(Uploading(), options)
    said = capsys.readouterr().err
    assert said.startswith(f"{details['uploaded']} pictures uploaded")
    assert details.get("left", "") in said


# -- Ctrl-C ---------------------------------------------------------------------------------------


def test_an_interrupted_command_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupt)
    assert main(["models"]) == 130
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("nxai_cloud_sync.cli", ["models"]),
        ("nxai_cloud_sync.settings", ["models"]),
        ("nxai_common.runtime", []),
        ("nxai_cloud_sync.composition", []),
    ],
)
def test_imports_that_are_interrupted_end_quietly(module: str, words: list[str]) -> None:
    program = f"""
import sys
class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Impatient())
from nxai_cloud_sync.__main__ import main
sys.exit(main({words!r}))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")


def test_every_command_does_something() -> None:
    assert list(cli.COMMANDS) == list(COMMANDS)
