"""Secrets of destinations: kept in files, told by name alone."""

import json
import stat
from pathlib import Path

import pytest

from nxai_common.errors import TransientError
from nxai_manager.adapters.output_secrets import OutputSecrets
from nxai_manager.web.api.secrets import users_of


def told(secrets: OutputSecrets) -> list[tuple[str, tuple[str, ...] | None]]:
    return [(secret.name, secret.hosts) for secret in secrets.kept()]


def test_a_secret_is_kept_for_its_hosts_and_readable_by_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    secrets = OutputSecrets(folder)
    assert told(secrets) == []
    secrets.keep("shop", "hunter2", ["shop.example"])
    assert json.loads((folder / "shop.json").read_text()) == {
        "value": "hunter2",
        "hosts": ["shop.example"],
    }
    assert stat.S_IMODE((folder / "shop.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "hunter2" not in repr(secrets.kept())
    secrets.keep("shop", "new", ["shop.example", "other"])
    assert told(secrets) == [("shop", ("shop.example", "other"))]


def test_files_that_a_person_put_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    (tmp_path / "Not A Name").write_text("abc")
    (tmp_path / "broken.json").write_text('{"value": "hunter2"')
    (tmp_path / "both").write_text("abc")
    secrets = OutputSecrets(tmp_path)
    secrets.keep("both", "x", ["a"])
    assert told(secrets) == [("both", ("a",)), ("broken", ()), ("token", None)]
    assert secrets.forget("both")
    assert secrets.forget("token")
    assert not secrets.forget("token")
    assert told(secrets) == [("broken", ())]


def test_a_folder_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    secrets = OutputSecrets(tmp_path / "file")
    with pytest.raises(TransientError, match="NXAI_MANAGER_OUTPUT_SECRETS_DIR"):
        secrets.keep("shop", "hunter2", ["a"])
    assert secrets.kept() == []
    assert not secrets.forget("shop")
    (tmp_path / "shop.json").mkdir()
    with pytest.raises(TransientError, match="cannot be removed"):
        OutputSecrets(tmp_path).forget("shop")


def test_who_uses_a_secret() -> None:
    outputs = {
        "destinations": [
            {"id": "a", "password_secret": "shop"},
            {"id": "b", "headers": {"X": "Bearer {{ secret.shop }}"}},
            {"id": "c", "body": "{{secret.shop|tojson}}", "url": "http://shop"},
            {"id": "d", "body": "{{ secret.shopping }}", "name": "shop"},
            "no destination",
        ],
        "home_assistant": {"broker": {"password_secret": "shop"}},
    }
    assert users_of("shop", outputs) == ["a", "b", "c", "home-assistant"]
    assert users_of("shop", None) == []
