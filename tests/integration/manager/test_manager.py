"""The manager with real files: what it publishes, keeps and says."""

import contextlib
import json
import os
import re
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
    CloudSyncConfiguration,
    InferenceConfiguration,
    PublisherConfiguration,
)
from nxai_common.contracts.deployments import DeployedModel, Deployments
from nxai_common.contracts.status import ServiceState, Status
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Stop
from nxai_manager import service as manager_service
from nxai_manager.__main__ import main
from nxai_manager.adapters.deployments_file import DeploymentsFile
from nxai_manager.adapters.history_folder import HistoryFolder
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.adapters.settings_file import SettingsFile
from nxai_manager.core.document import DEFAULT_TEXT
from nxai_manager.desk import SettingsDesk
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
    CloudSyncConfiguration,
)
ALL = {"capture", "inference", "publisher", "cloud-sync"}
OLD, NEW = "a" * 64, "b" * 64
PARTS = DeployedModel(model="parts", name="Parts", cameras=("front",), digest=OLD)


def deployments(*models: DeployedModel, revision: str = "r1") -> Deployments:
    return Deployments(revision=revision, models=models)


@dataclass
class Box:
    """A running manager, and what came out of it."""

    folder: Path
    service: Configurator
    desk: SettingsDesk
    bus: Bus
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

    def deploy(self, wanted: Deployments) -> None:
        """Publish as cloud-sync does, and wait until the manager has seen to it."""
        before = self.counter("deployments_received")
        self.bus.publish(wanted)
        wait_for(lambda: self.counter("deployments_received") > before)

    def counter(self, name: str) -> float:
        return self.service.report().counters[name]

    def problems(self) -> dict[str, str]:
        return {problem.about: problem.reason for problem in self.service.report().problems}

    def take(self) -> dict[str, Message]:
        """Return what was published since the last call, by service."""
        found: dict[str, Message] = {}
        while (delivery := self.inbox.receive(0.2)) is not None:
            found[delivery.message.service] = delivery.message  # type: ignore[attr-defined]  # all have it
        return found


def capture_of(published: dict[str, Message]) -> CaptureConfiguration:
    return cast("CaptureConfiguration", published["capture"])


def inference_of(published: dict[str, Message]) -> InferenceConfiguration:
    return cast("InferenceConfiguration", published["inference"])


@contextlib.contextmanager
def manager(folder: Path, broker: MemoryBroker | None = None) -> Iterator[Box]:
    with contextlib.ExitStack() as stack:
        bus = stack.enter_context(MemoryBus(broker or MemoryBroker()))
        inbox = bus.subscribe(
            *(
                Subscription(kind, {"service": kind.model_fields["service"].default})
                for kind in KINDS
            )
        )
        desk = SettingsDesk(
            SettingsFile(folder / "settings.json"), HistoryFolder(folder / "settings.json")
        )
        service = Configurator(
            desk,
            SecretsDirectory(folder / "secrets"),
            DeploymentsFile(folder / "settings.json"),
            bus,
            lambda: None,
            retry=RetryPolicy(first_s=0.1, longest_s=0.1),
            first_word_s=0,  # in memory, what is retained is there at once
        )
        stop = Stop()
        thread = threading.Thread(target=service.run, args=(stop,))
        thread.start()
        try:
            yield Box(folder, service, desk, bus, inbox)
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
    assert set(published) == ALL


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
        assert set(before) == ALL
        box.write(GOOD | {"cameras": [FRONT | {"inference_limit_ms": 100}]})
        box.settle(applied=2)
        assert set(box.take()) == {"capture"}
        box.write(GOOD | {"cameras": [FRONT | {"inference_limit_ms": 100}], "logger": {}})
        box.write(GOOD | {"logger": {"keep_days": 1}})
        box.settle(applied=3)
        assert set(box.take()) == {"capture", "publisher"}
        assert box.counter("documents_published") == 7
        box.write(GOOD | {"logger": {"keep_days": 1}, "edge_impulse": {"limits": {"keep_mb": 5}}})
        box.settle(applied=4)
        assert set(box.take()) == {"cloud-sync"}


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
        assert set(box.take()) == ALL


def test_last_good_that_cannot_be_kept_does_not_stop_the_publishing(good: Path) -> None:
    (good / "settings.json.last-good").mkdir()
    with manager(good) as box:
        box.settle(applied=1)
        assert set(box.take()) == ALL
        wait_for(lambda: "disk" in box.problems())
        (good / "settings.json.last-good").rmdir()
        wait_for(lambda: not box.problems(), 30)
        assert box.counter("settings_applied") == 1
    assert (good / "settings.json.last-good").is_file()


# -- deployments ------------------------------------------------------------------------------


def test_imported_model_joins_those_of_the_settings(good: Path) -> None:
    with manager(good) as box:
        box.settle(applied=1)
        box.take()
        box.deploy(deployments(PARTS))
        published = box.take()
        assert set(published) == {"capture", "inference"}
        [front] = capture_of(published).cameras
        assert front.models == ("m5-nut", "parts")
        nut, parts = inference_of(published).models
        assert (nut.id, parts.id, parts.path) == ("m5-nut", "parts", f"catalogue:{OLD}")
        trying = PARTS.model_copy(update={"candidate": NEW, "candidate_model": "parts-new"})
        box.deploy(deployments(trying, revision="r2"))
        published = box.take()
        assert [shadow.model for shadow in inference_of(published).shadows] == ["parts-new"]
        box.deploy(deployments(revision="r3"))
        published = box.take()
        assert [model.id for model in inference_of(published).models] == ["m5-nut"]
        assert capture_of(published).cameras[0].models == ("m5-nut",)
        assert box.problems() == {}


def test_deployments_that_are_told_again_publish_nothing(good: Path) -> None:
    kept = good / "settings.json.deployments"
    with manager(good) as box:
        box.settle(applied=1)
        box.deploy(deployments(PARTS))
        box.take()
        published, written = box.counter("documents_published"), kept.stat().st_ino
        box.deploy(deployments(PARTS))
        assert kept.stat().st_ino == written
        box.deploy(deployments(PARTS, revision="r2"))  # new only by its name
        assert box.counter("documents_published") == published
        assert box.take() == {}


@pytest.mark.parametrize("change", ["settings", "deployments"])
def test_a_change_wakes_the_loop(good: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_service, "LOOK_EVERY_S", 30.0)
    with manager(good) as box:
        try:
            box.settle(applied=1)
            if change == "deployments":
                box.bus.publish(deployments(PARTS))
            else:  # again and again: the watch may not have begun yet
                wait_for(lambda: save_until_applied(box))
            box.settle(applied=2)
        finally:
            box.bus.close()  # ends the wait, so that the test need not


def save_until_applied(box: Box) -> bool:
    box.write(GOOD | {"logger": {"keep_days": 1}})
    with contextlib.suppress(AssertionError):
        wait_for(lambda: box.counter("settings_applied") == 2, 0.5)
    return box.counter("settings_applied") == 2


def test_kept_deployments_run_before_cloud_sync_does(good: Path) -> None:
    with manager(good) as box:
        box.settle(applied=1)
        box.deploy(deployments(PARTS))
        before = box.take()
    with manager(good) as box:  # at a broker that retains nothing
        box.settle(applied=1)
        assert box.take() == before
        assert box.counter("documents_published") == len(ALL)  # never without the imported model
        box.deploy(deployments(PARTS.model_copy(update={"digest": NEW}), revision="r2"))
        assert inference_of(box.take()).models[1].path == f"catalogue:{NEW}"
    with manager(good) as box:
        box.settle(applied=1)
        assert inference_of(box.take()).models[1].path == f"catalogue:{NEW}"


@pytest.mark.parametrize("kept", [None, deployments(revision="r0")])
def test_what_the_broker_retains_is_in_the_first_configuration(
    good: Path, kept: Deployments | None
) -> None:
    if kept is not None:
        DeploymentsFile(good / "settings.json").keep(kept)
    broker = MemoryBroker()
    with MemoryBus(broker) as cloud_sync:
        cloud_sync.publish(deployments(PARTS))
    with manager(good, broker) as box:
        box.settle(applied=1)
        assert inference_of(box.take()).models[1].id == "parts"
        assert box.counter("documents_published") == len(ALL)
        wait_for(lambda: DeploymentsFile(good / "settings.json").read() == deployments(PARTS))


def test_deployments_that_vanish_from_the_broker_stay_in_force(good: Path) -> None:
    with manager(good) as box:
        box.settle(applied=1)
        box.deploy(deployments(PARTS))
        box.bus.clear(Deployments, service="cloud-sync")
        box.take()
        box.write(GOOD | {"models": [{"id": "m5-nut", "path": "other.tflite"}]})
        box.settle(applied=3)
        assert [model.id for model in inference_of(box.take()).models] == ["m5-nut", "parts"]


def test_damaged_deployments_are_told_and_replaced(
    good: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = good / "settings.json.deployments"
    kept.write_text('{"revision": ')
    with manager(good) as box:
        box.settle(applied=1)
        assert set(box.take()) == ALL
        assert box.problems()["deployments"].startswith(f"{kept} is damaged: ")
        assert f"{kept} is damaged" in caplog.text
        box.deploy(deployments(PARTS))
        assert box.problems() == {}
    assert DeploymentsFile(good / "settings.json").read() == deployments(PARTS)


def test_deployments_that_cannot_be_kept_are_put_in_force_all_the_same(good: Path) -> None:
    kept = good / "settings.json.deployments"
    with manager(good) as box:
        box.settle(applied=1)
        box.take()
        kept.mkdir()
        box.deploy(deployments(PARTS))
        assert set(box.take()) == {"capture", "inference"}
        assert f"{kept} cannot be written" in box.problems()["disk"]
        kept.rmdir()
        wait_for(lambda: not box.problems())
    assert DeploymentsFile(good / "settings.json").read() == deployments(PARTS)


def test_deployments_wait_for_good_settings(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{")
    with manager(tmp_path) as box:
        box.settle(applied=0, refused=1)
        box.deploy(deployments(PARTS))
        assert box.take() == {}
        box.write(GOOD)
        box.settle(applied=1)
        assert capture_of(box.take()).cameras[0].models == ("m5-nut", "parts")


def test_bad_edit_does_not_stop_deployments(good: Path) -> None:
    with manager(good) as box:
        box.settle(applied=1)
        box.take()
        box.write("{")
        box.settle(applied=1, refused=1)
        box.deploy(deployments(PARTS))
        assert capture_of(box.take()).cameras[0].models == ("m5-nut", "parts")
        assert "stay in force" in box.problems()["settings"]


def test_what_does_not_fit_the_settings_is_a_problem_until_it_does(
    good: Path, caplog: pytest.LogCaptureFixture
) -> None:
    back = FRONT | {"id": "back"}
    with manager(good) as box:
        box.settle(applied=1)
        box.deploy(
            deployments(
                PARTS.model_copy(update={"cameras": ("front", "back")}),
                PARTS.model_copy(update={"model": "m5-nut"}),
            )
        )
        assert "not in settings.json: 'back'" in box.problems()["model parts"]
        assert "the one in settings.json runs" in box.problems()["model m5-nut"]
        nut, parts = inference_of(box.take()).models
        assert (nut.path, parts.id) == ("m5_nut.tflite", "parts")
        box.write({"cameras": [FRONT, back | {"models": []}], "models": GOOD["models"]})
        box.settle(applied=3)
        assert set(box.problems()) == {"model m5-nut"}
        assert capture_of(box.take()).cameras[1].models == ("parts",)
        settings = {"cameras": [FRONT | {"models": []}, back | {"models": []}]}
        box.write(settings)
        box.settle(applied=4)
        assert box.problems() == {}
        assert capture_of(box.take()).cameras[0].models == ("parts", "m5-nut")
    assert caplog.text.count("the one in settings.json runs") == 1


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


def test_process_starts_with_what_cloud_sync_deployed_and_keeps_it(
    good: Path, broker: Broker
) -> None:
    environment = {
        "PATH": os.defpath,
        "NXAI_RUN_DIR": str(good / "run"),
        "NXAI_MANAGER_SETTINGS": str(good / "settings.json"),
        "NXAI_MANAGER_SECRETS_DIR": str(good / "secrets"),
        "NXAI_MANAGER_STATE_DIR": str(good / "state"),
    } | broker.environment
    with broker.bus("cloud-sync") as bus:
        bus.publish(deployments(PARTS))
        told = bus.subscribe(Subscription(Deployments))
        assert told.receive(30) is not None
    for _ in range(2):
        with broker.bus("outside") as bus:
            inbox = bus.subscribe(Subscription(InferenceConfiguration))
            with subprocess.Popen(
                [sys.executable, "-m", "nxai_manager"], env=environment
            ) as process:
                try:
                    delivery = inbox.receive(30)
                    wait_for((good / "state/settings.json.deployments").is_file, 30)
                finally:
                    process.terminate()
                    process.wait(30)
        assert delivery is not None
        assert isinstance(delivery.message, InferenceConfiguration)
        assert [model.id for model in delivery.message.models] == ["m5-nut", "parts"]
        broker.kill()  # the second time, nothing is retained any more
        for stored in broker.folder.glob("*.db"):
            stored.unlink()
        broker.start()


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
        f"{path}: line 3: a: unknown key; known: $schema, cameras, device, edge_impulse, logger, "
        "models, outputs, run, version\n"
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
    assert re.search(r"\n  check +say what is wrong with a settings file\n  schema +print the", out)
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
