import logging
from pathlib import Path

import orjson
import pytest

from nxai_common.logs import redact
from nxai_publisher.adapters import secrets_directory
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.ports import SecretUnavailable

pytestmark = pytest.mark.integration


def test_a_file_is_a_secret(tmp_path: Path) -> None:
    (tmp_path / "shop").write_bytes(b" with spaces \r\n")
    (tmp_path / "two").write_bytes(b"a\nb\n\n")
    secrets = SecretsDirectory(tmp_path)
    assert secrets.read("shop", "any.example") == " with spaces "
    assert secrets.read("two", "any.example") == "a\nb\n"


def test_one_with_hosts_goes_to_these_alone_and_counts_first(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("plain")
    (tmp_path / "shop.json").write_bytes(
        orjson.dumps({"value": "bound", "hosts": ["Shop.Example", "[::1]", "10.0.0.1"]})
    )
    secrets = SecretsDirectory(tmp_path)
    for host in ("shop.example", "SHOP.example", "::1", "10.0.0.1"):
        assert secrets.read("shop", host) == "bound"
    for host in ("evil.example", "", "shop.example.evil"):
        with pytest.raises(SecretUnavailable, match=r"'shop' is not for .*give it again"):
            secrets.read("shop", host)


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "shop"
    path.write_text("first")
    secrets = SecretsDirectory(tmp_path)
    assert secrets.read("shop", "h") == "first"
    path.write_text("second, longer")
    assert secrets.read("shop", "h") == "second, longer"
    path.unlink()
    with pytest.raises(SecretUnavailable, match="there is no secret 'shop'"):
        secrets.read("shop", "h")
    (tmp_path / "shop.json").write_bytes(orjson.dumps({"value": "third", "hosts": ["h"]}))
    assert secrets.read("shop", "h") == "third"


def test_it_never_reaches_a_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "shop").write_text("hunter2-secret")
    SecretsDirectory(tmp_path).read("shop", "h")
    logging.getLogger("nxai_publisher").warning("%s", redact("x hunter2-secret y"))
    assert "hunter2-secret" not in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("shop", b"", "is empty"),
        ("shop", b"\xff\xfe", "is not UTF-8"),
        ("shop", b"x" * 70_000, "has more than"),
        ("shop.json", b"hunter2", 'must hold {"value"'),
        ("shop.json", b'{"value": "hunter2"}', 'must hold {"value"'),
        ("shop.json", b'{"value": "hunter2", "hosts": "x"}', 'must hold {"value"'),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SecretUnavailable) as caught:
        SecretsDirectory(tmp_path).read("shop", "h")
    assert reason in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b", "x.json", "ä"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path.parent / "x").write_text("outside")
    with pytest.raises(SecretUnavailable, match="is no name of one"):
        SecretsDirectory(tmp_path).read(name, "h")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    with pytest.raises(SecretUnavailable, match=r"cannot be read: .*; check owner and rights"):
        SecretsDirectory(tmp_path).read("shop", "h")


def test_it_is_read_once_while_it_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").write_text("one")
    secrets = SecretsDirectory(tmp_path)
    secrets.read("shop", "h")
    monkeypatch.setattr(secrets_directory, "_secret", pytest.fail)
    assert secrets.read("shop", "h") == "one"
