"""`make passwords` for a `make run`."""

import getpass
import subprocess
from pathlib import Path

import pytest

from support.shared import ROOT

OUTSIDE = ["viewer", "operator", "home-assistant", "processor", "pusher"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    script = str(ROOT / "deploy/mosquitto/prepare.sh")
    prepare = [script, str(tmp_path / "mosquitto"), "1 127.0.0.1"]
    subprocess.run([*prepare, getpass.getuser()], check=True, capture_output=True)
    return tmp_path


def passwords(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "NXAI_RUN_DIR": str(state),
        "DOCKER_HOST": f"unix://{state}/no-engine",
    }
    return subprocess.run(
        [ROOT / "tools/passwords.sh", *words],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first.startswith("make run (")
    return dict(line.split() for line in rest)


def test_they_are_those_of_the_files(state: Path) -> None:
    shown = listed(passwords(state))
    assert list(shown) == OUTSIDE
    for account, password in shown.items():
        file = state / "mosquitto/secrets" / account / "password"
        assert file.read_text().strip() == password


def test_one_gets_a_new_one_and_the_others_stay(state: Path) -> None:
    before = listed(passwords(state))
    after = listed(passwords(state, "pusher"))
    changed = {account for account in OUTSIDE if after[account] != before[account]}
    assert changed == {"pusher"}


def test_an_account_of_a_service_is_refused(state: Path) -> None:
    done = passwords(state, "manager")
    assert done.returncode != 0
    assert "is no account for programs outside" in done.stderr


def test_without_a_broker_it_says_where_accounts_come_from(tmp_path: Path) -> None:
    done = passwords(tmp_path)
    assert done.returncode == 1
    assert "docker compose up" in done.stderr
