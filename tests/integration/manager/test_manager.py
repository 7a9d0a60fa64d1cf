"""The manager with real files: what it publishes, keeps and says."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import (
    CaptureConfiguration,
    InferenceConfiguration,
    PublisherConfiguration,
)
from nxai_common.contracts.status import ServiceState, Status
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Stop
from nxai_manager.__main__ import main
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.adapters.settings_file import SettingsFile
from nxai_manager.core.document import DEFAULT_TEXT
from nxai_manager.service import Configurator
from support.broker import Broker
from support.waiting import wait_for

FRONT: dict[str, Any] = {
    "id": "front",
    "source": {"type": "rtsp", "url": "rtsp://192.0.2.17/1"},
    "username": "joe",
    "password": "hunter2",
    "models": ["m5-nut"],
}
GOOD: dict[str, Any] = {"cameras": [FRONT], "models": [{"id": "m5-nut", "path": "m5_nut.tflite"}]}
KINDS: tuple[type[Message], ...] = (
    CaptureConfiguration,
    InferenceConfiguration,
    PublisherConfiguration,
)


@dataclass
class Box:
    """A running manager, and what came out of it."""

    folder: Path
    service: Configurator
    inbox: Inbox
    received: list[Message] = field(default_factory=list)

    def write(self, settings: dict[str, Any] | str) -> None:
        text = settings if isinstance(settings, str) else json.dumps(settings, indent=1)
        fresh = self.folder / "settings.json~"
        fresh.write_text(text)
        fresh.replace(self.folder / "settings.json")

    def settle(self, applied: int, refused: int = 0) -> None:
        """Wait until so many settings were applied and refused."""
        wait_for(
            lambda: (
                (self.counter("settings_applied"), self.counter("settings_refused"))
                >= (applied, refused)
            ),
            what=f"{applied} applied and {refused} refused, not {self.service.report()}",
        )

    def counter(self, name: str) -> float:
        return self.service.report().counters[name]

    def problems(self) -> dict[str, str]:
        return {problem.about: problem.reason for problem in self.service.report().problems}

    def take(self) -> dict[str, Message]:
        """Return what was published since the last call, by service."""
        found: dict[str, Message] = {}
        while (delivery := self.inbox.receive(0.2)) is not None:
            found[delivery.message.service] = delivery.message  # type: ignore[attr-defined]  # all three have it
        return found


@contextlib.contextmanager
def manager(folder: Path, bus: Bus | None = None) -> Iterator[Box]:
    with contextlib.ExitStack() as stack:
        if bus is None:
            bus = stack.enter_context(MemoryBus(MemoryBroker()))
        inbox = bus.subscribe(
            *(
                Subscription(kind, {"service": kind.model_fields["service"].default})
                for kind in KINDS
            )
        )
        store = stack.enter_context(SettingsFile(folder / "settings.json"))
        service = Configurator(
            store,
            SecretsDirectory(folder / "secrets"),
            bus,
            lambda: None,
            RetryPolicy(first_s=0.1, longest_s=0.1),
        )
        stop = Stop()
        thread = threading.Thread(target=service.run, args=(stop,))
        thread.start()
        try:
            yield Box(folder, service, inbox)
        finally:
            stop.set()
            thread.join(30)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "settings.json").write_text(json.dumps(GOOD, indent=1))
    return tmp_path


def test_missing_file_is_written_and_runs_the_demo(tmp_path: Path) -> None:
    with manager(tmp_path) as box:
        box.settle(applied=1)
        published = box.take()
    assert (tmp_path / "settings.json").read_text() == DEFAULT_TEXT
    capture = cast("CaptureConfiguration", published["capture"])
    assert capture.cameras[0].source.type == "demo"
    assert capture.cameras[0].models == ("demo-parts",)
    assert set(published) == {"capture", "inference", "publisher"}


def test_missing_file_in_a_folder_that_cannot_be_written_still_runs_the_demo(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    with manager(tmp_path / "link") as box:
        # The folder of secrets lies there too, so nothing can be applied, but all is said.
        wait_for(lambda: "disk" in box.problems())
        assert "cannot be written" in box.problems()["disk"]
    assert "running the demo" in caplog.text


def test_change_republishes_only_what_it_changes(good: Path) -> None:
    with manager(good) as box:
        box.settle(applied=1)
        before = box.take()
        assert set(before) == {"capture", "inference", "publisher"}
        box.write(GOOD | {"cameras": [FRONT | {"inference_limit_ms": 100}]})
        box.settle(applied=2)
        assert set(box.take()) == {"capture"}
        box.write(GOOD | {"cameras": [FRONT | {"inference_limit_ms": 100}], "logger": {}})
        box.write(GOOD | {"logger": {"keep_days": 1}})
        box.settle(applied=3)
        assert set(box.take()) == {"capture", "publisher"}
        assert box.counter("documents_published") == 6


def test_bad_edit_changes_nothing_but_the_status(good: Path) -> None:
    with manager(good) as box:
        box.settle(applied=1)
        box.take()
        revision = box.service.report().configuration_revision
        box.write(json.dumps(GOOD, indent=1).replace('"rtsp"', '"rtps"'))
        box.settle(applied=1, refused=1)
        assert box.take() == {}
        assert box.problems() == {
            "settings": f"{good / 'settings.json'}: line 5: cameras.front.source: unknown type "
            "\"rtps\"; did you mean 'rtsp'?; the last good settings stay in force"
        }
        assert box.service.report().configuration_revision == revision
        (good / "settings.json").unlink()
        wait_for(lambda: "is gone" in box.problems()["settings"])
        box.write(GOOD)
        wait_for(lambda: not box.problems())
        assert box.take() == {}
        assert not {"hunter2"} & set(str(box.service.report()).split('"'))


def test_last_good_settings_are_used_when_the_file_is_bad_at_the_start(good: Path) -> None:
    with manager(good) as box:
        box.settle(applied=1)
        before = box.take()
    (good / "settings.json").write_text('{"cameras": [')
    with manager(good) as box:
        box.settle(applied=1)
        assert box.take() == before
        assert "line 1: the text ends" in box.problems()["settings"]
        box.write(GOOD | {"logger": {"keep_days": 1}})
        box.settle(applied=2)
        assert box.problems() == {}


@pytest.mark.parametrize("kept", [None, '{"from an older version": 1}'])
def test_nothing_is_published_when_there_are_no_good_settings(
    tmp_path: Path, kept: str | None
) -> None:
    (tmp_path / "settings.json").write_text("{")
    if kept is not None:
        (tmp_path / "settings.json.last-good").write_text(kept)
    with manager(tmp_path) as box:
        box.settle(applied=0, refused=1)
        assert box.take() == {}
        assert "stay in force" not in box.problems()["settings"]


def test_missing_file_at_the_start_leaves_the_last_good_settings_and_the_secrets(
    good: Path,
) -> None:
    path, kept, secret = (
        good / name
        for name in ("settings.json", "settings.json.last-good", "secrets/camera-front.json")
    )
    with manager(good) as box:
        box.settle(applied=1)
        before = box.take()
    contents = (kept.read_text(), secret.read_text())
    path.unlink()
    with manager(good) as box:
        box.settle(applied=1)
        assert box.take() == before
        assert box.problems() == {
            "settings": f"{path} is gone; put it back, or use the copy that was kept: cp {kept} "
            f"{path}; the last good settings stay in force"
        }
        assert not path.exists()
        shutil.copy(kept, path)
        wait_for(lambda: not box.problems())
    assert (kept.read_text(), secret.read_text()) == contents


def test_missing_file_is_not_replaced_while_it_is_in_force(good: Path) -> None:
    path, kept = good / "settings.json", good / "settings.json.last-good"
    with manager(good) as box:
        wait_for(kept.exists)
        kept.unlink()
        path.unlink()
        wait_for(box.problems)
    assert box.problems() == {
        "settings": f"{path} is gone; put it back; the last good settings stay in force"
    }
    assert not path.exists()


@pytest.mark.parametrize("readable", [True, False])
def test_missing_file_is_not_replaced_when_the_last_good_settings_cannot_be_used(
    tmp_path: Path, readable: bool
) -> None:
    kept, secret = tmp_path / "settings.json.last-good", tmp_path / "secrets/camera-front.json"
    secret.parent.mkdir()
    secret.write_text("kept")
    if readable:
        kept.write_text('{"from an older version": 1}')
    else:
        kept.mkdir()
    with manager(tmp_path) as box:
        wait_for(lambda: "is gone" in box.problems().get("settings", ""))
    assert box.counter("documents_published") == 0
    assert "stay in force" not in box.problems()["settings"]
    assert not (tmp_path / "settings.json").exists()
    assert secret.read_text() == "kept"


def test_password_goes_to_its_file_and_nowhere_else(
    good: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with manager(good) as box, caplog.at_level("DEBUG"):
        box.settle(applied=1)
        first = cast("CaptureConfiguration", box.take()["capture"])
        box.write(GOOD | {"cameras": [FRONT | {"password": "correct horse"}]})
        box.settle(applied=2)
        published = box.take()
        second = cast("CaptureConfiguration", published["capture"])
        assert set(published) == {"capture"}
        box.write(GOOD | {"cameras": [{**FRONT, "username": "", "password": ""}]})
        box.settle(applied=3)
        third = cast("CaptureConfiguration", box.take()["capture"])
        assert list((good / "secrets").iterdir()) == []
    assert first.cameras[0].credentials == second.cameras[0].credentials == "camera-front"
    assert first.cameras[0].credentials_revision != second.cameras[0].credentials_revision
    assert third.cameras[0].credentials is None
    for text in (first.encode(), second.encode(), caplog.text.encode()):
        assert b"hunter2" not in text
        assert b"correct horse" not in text


def test_disk_that_is_full_is_a_problem_until_it_is_not(good: Path) -> None:
    (good / "secrets").write_text("a file where the folder should be")
    with manager(good) as box:
        wait_for(lambda: "disk" in box.problems())
        assert "NXAI_MANAGER_SECRETS_DIR" in box.problems()["disk"]
        assert box.take() == {}
        (good / "secrets").unlink()
        wait_for(lambda: not box.problems(), 30)
        box.settle(applied=1)
        assert set(box.take()) == {"capture", "inference", "publisher"}


def test_last_good_that_cannot_be_kept_does_not_stop_the_publishing(good: Path) -> None:
    (good / "settings.json.last-good").mkdir()
    with manager(good) as box:
        box.settle(applied=1)
        assert set(box.take()) == {"capture", "inference", "publisher"}
        wait_for(lambda: "disk" in box.problems())
        (good / "settings.json.last-good").rmdir()
        wait_for(lambda: not box.problems(), 30)
        assert box.counter("settings_applied") == 1
    assert (good / "settings.json.last-good").is_file()


def test_process_publishes_to_a_real_broker_and_restores_it_after_its_death(
    good: Path, broker: Broker
) -> None:
    environment = {
        "PATH": os.defpath,
        "NXAI_RUN_DIR": str(good / "run"),
        "NXAI_HEARTBEAT_S": "0.5",
        "NXAI_MANAGER_SETTINGS": str(good / "settings.json"),
        "NXAI_MANAGER_SECRETS_DIR": str(good / "secrets"),
    } | broker.environment
    log = (good / "log").open("wb")
    process = subprocess.Popen([sys.executable, "-m", "nxai_manager"], env=environment, stderr=log)
    with log, process:
        try:
            for _ in range(2):
                with broker.bus("outside") as bus:
                    inbox = bus.subscribe(
                        Subscription(CaptureConfiguration, {"service": "capture"})
                    )
                    delivery = inbox.receive(30)
                    assert delivery is not None
                    capture = delivery.message
                    assert isinstance(capture, CaptureConfiguration)
                    assert [camera.id for camera in capture.cameras] == ["front"]
                    states = bus.subscribe(Subscription(Status, {"service": "manager"}))
                    wait_for(lambda: state(states) is ServiceState.RUNNING, 30)  # noqa: B023 - called at once
                broker.kill()  # what was retained is lost
                for stored in broker.folder.glob("*.db"):
                    stored.unlink()
                broker.start()
        finally:
            process.terminate()
            process.wait(30)
    assert process.returncode == 0
    assert "hunter2" not in (good / "log").read_text()


def state(inbox: Inbox) -> ServiceState | None:
    delivery = inbox.receive(1)
    return delivery.message.state if delivery and isinstance(delivery.message, Status) else None


def test_check_says_what_is_wrong(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = good / "settings.json"
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: good (1 cameras, 1 models)\n"
    path.write_text('{"cameras": [],\n "modls": [],\n "a": 1}')
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"{path}: line 2: modls: unknown key; did you mean 'models'?\n"
        f"{path}: line 3: a: unknown key; known: $schema, cameras, logger, models, outputs, "
        "version\n"
    )
    path.write_bytes('{"cameras": [],\n "é": 1}'.encode("latin-1"))
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err == f"{path}: line 2: not UTF-8 text; save it as UTF-8\n"
    path.write_text("")
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"{path}: line 1: the file is empty; README.md has")
    assert main(["check", str(good)]) == 2
    assert capsys.readouterr().err == f"{good} cannot be read: Is a directory\n"
    assert main(["check", str(good / "other.json")]) == 2
    assert "there is no such file" in capsys.readouterr().err


def test_commands_are_listed_and_the_nearest_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert "\n  check   say what is wrong with a settings file\n  schema  print the JSON" in out
    with pytest.raises(SystemExit) as ended:
        main(["chek", "settings.json"])
    assert ended.value.code == 2
    assert "there is no command 'chek'; did you mean 'check'?" in capsys.readouterr().err


def test_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Settings"


def test_without_a_word_it_is_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("NXAI_")]:  # noqa: TID251 - a test cleans it
        monkeypatch.delenv(name)
    assert main(["--check"]) == 0
    assert "NXAI_MANAGER_SETTINGS=settings.json" in capsys.readouterr().out
