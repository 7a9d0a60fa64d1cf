"""Backup, restore, upgrade; volumes of a version whose broker began as root."""

import io
import json
import re
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from support.compose_box import PATIENCE_S, ComposeBox, docker, tool
from support.shared import ROOT
from support.waiting import wait_for

BACKUP = ROOT / "tools/backup.py"
UPGRADE = ROOT / "tools/upgrade.py"


@pytest.fixture
def apart(well: ComposeBox) -> ComposeBox:
    """The box after a while: a user, and results."""
    with well.browser():
        pass
    wait_for(lambda: well.stored() > 20, PATIENCE_S, "some results")
    return well


def kept_by(done: subprocess.CompletedProcess[str]) -> list[Path]:
    """Return the backups that a command said it made."""
    return [Path(found) for found in re.findall(r"^(/\S+\.tar\.gz): ", done.stderr, re.MULTILINE)]


def test_a_destroyed_box_is_what_it_was(apart: ComposeBox, tmp_path: Path) -> None:
    file = tmp_path / "box.tar.gz"
    done = tool(apart, BACKUP, "backup", file)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "with every password" in done.stderr
    at_backup = apart.stored()
    password = apart.password("viewer")
    settings = apart.exec("manager", "cat", "settings.json")

    apart.destroy()
    done = tool(apart, BACKUP, "restore", file)
    assert done.returncode == 0, done.stderr
    assert kept_by(done) == []  # there was nothing to be kept

    assert apart.password("viewer") == password
    assert apart.exec("manager", "cat", "settings.json") == settings
    assert apart.stored() >= at_backup - 100  # what came between the copy and the count
    apart.wait_detections(1)
    with apart.browser() as page:  # the password of the page is the one of before
        assert page.get("/api/v1/session").json()["state"] == "in"


@pytest.fixture(scope="module")
def file(box: ComposeBox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the box."""
    file = tmp_path_factory.mktemp("backup") / "box.tar.gz"
    done = tool(box, BACKUP, "backup", file)
    assert done.returncode == 0, done.stderr
    return file


def test_restoring_keeps_what_is_there_now(apart: ComposeBox, file: Path) -> None:
    apart.exec("manager", "sh", "-c", "echo later > /var/lib/nxai/note")
    done = tool(apart, BACKUP, "restore", file)
    assert done.returncode == 0, done.stderr
    assert "note" not in apart.exec("manager", "ls", "/var/lib/nxai").split()
    (kept,) = kept_by(done)
    with tarfile.open(kept) as archive:
        assert archive.getmember("volumes/manager/note").size == len("later\n")
    kept.unlink()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "99.0.0"}, "Upgrade first"),
        ({"kind": "folder"}, "other kind"),
        (None, "damaged"),
    ],
)
def test_a_backup_that_does_not_fit_changes_nothing(
    apart: ComposeBox, file: Path, tmp_path: Path, change: dict[str, str] | None, told: str
) -> None:
    other = tmp_path / "other.tar.gz"
    if change is None:
        other.write_bytes(file.read_bytes()[:-2000])
    else:
        with tarfile.open(file) as archive, tarfile.open(other, "w:gz") as changed:
            for member in archive:
                data = archive.extractfile(member)
                if member.name == "backup.json":
                    assert data is not None
                    about = json.dumps(json.loads(data.read()) | change).encode()
                    member.size, data = len(about), io.BytesIO(about)
                changed.addfile(member, data)
    running = {each["Id"]: each["State"]["StartedAt"] for each in apart.containers()}
    done = tool(apart, BACKUP, "restore", other)
    assert done.returncode == 1
    assert told in done.stderr
    assert {each["Id"]: each["State"]["StartedAt"] for each in apart.containers()} == running


def test_an_upgrade_that_does_not_start_is_taken_back(apart: ComposeBox) -> None:
    image = docker("image", "inspect", "--format", "{{.Id}}", "nxai-publisher")
    stored = apart.stored()
    recipe = 'FROM nxai-publisher\\nENTRYPOINT [\\"false\\"]'
    build = f'printf "{recipe}" | DOCKER_BUILDKIT=0 docker build --quiet -t nxai-publisher -'
    done = tool(apart, UPGRADE, "--patience", "25", "--build", build)
    assert done.returncode == 1, done.stderr
    assert re.search(r"nxai-test.publisher.1 \(restarting", done.stderr)
    assert "runs as before" in done.stderr
    assert docker("image", "inspect", "--format", "{{.Id}}", "nxai-publisher") == image
    apart.wait_detections(1)
    assert apart.stored() >= stored
    for file in kept_by(done):
        file.unlink()


def test_an_upgrade_from_volumes_of_root(apart: ComposeBox) -> None:
    stored, password = apart.stored(), apart.password("viewer")
    apart.compose("down", "--timeout", "20")
    as_before(apart)
    done = tool(apart, UPGRADE, "--patience", "60", "--build", "true")
    assert done.returncode == 0, done.stderr
    assert apart.password("viewer") == password
    apart.wait_detections(1)
    assert apart.stored() > stored
    for file in kept_by(done):
        file.unlink()


def test_without_the_upgrade_the_broker_says_the_command_that_mends(apart: ComposeBox) -> None:
    apart.compose("down", "--timeout", "20")
    as_before(apart)
    apart.compose("up", "--detach", "--no-build", check=False)
    wait_for(lambda: "chown" in apart.logs("mosquitto"), PATIENCE_S, "what to do")
    log = apart.logs("mosquitto")
    assert "/mosquitto belongs to another user than the broker's (10001)" in log
    commands = log[log.rindex("docker run --rm --user 0") : log.rindex("docker compose up")]
    subprocess.run(["sh", "-ec", commands], check=True, capture_output=True)
    apart.up()
    apart.wait_healthy()
    apart.wait_detections(1)


def as_before(box: ComposeBox) -> None:
    """Make the broker's volume what 0.1 left: the folder is of the user `mosquitto`."""
    volume = f"{box.project}_broker:/mosquitto"
    script = "chown mosquitto /mosquitto /mosquitto/data /mosquitto/acl /mosquitto/passwords"
    docker(
        *("run", "--rm", "--user", "0", "--volume", volume, "--entrypoint", "sh"),
        *("nxai-mosquitto", "-c", script),
    )
