"""The file of the API key: who may read it, what is in it, what it says when it is not."""

import logging
import os
import stat
import threading
from pathlib import Path

import pytest

from nxai_cloud_sync.adapters.key_file import KeyFile
from nxai_cloud_sync.ports import KeyStore, StorageUnavailable
from nxai_common import logs
from nxai_common.errors import ConfigurationError

KEY = "ei_" + "0123456789abcdef" * 4
OTHER = "ei_" + "fedcba9876543210" * 4


def test_a_prepared_key_takes_the_place_of_the_one_in_use(tmp_path: Path) -> None:
    path = tmp_path / "state" / "key"
    file = KeyFile(path)
    assert file.prepared() is None
    file.drop()
    file.write(KEY)
    file.prepare(f" {OTHER}\n")
    assert (file.read(), file.prepared()) == (KEY, OTHER)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {0o600}
    assert KeyFile(path).prepared() == OTHER, "after a crash"
    file.adopt()
    assert (file.read(), file.prepared()) == (OTHER, None)
    assert [each.name for each in path.parent.iterdir()] == ["key"]
    with pytest.raises(StorageUnavailable, match="No such file"):
        file.adopt()
    assert file.read() == OTHER


def test_a_prepared_key_is_dropped_and_forgotten(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "key")
    file.write(KEY)
    file.prepare(OTHER)
    file.drop()
    assert (file.read(), file.prepared()) == (KEY, None)
    file.prepare(OTHER)
    file.forget()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="this is no API key"):
        file.prepare("my password")
    (tmp_path / ".key.prepared").mkdir()
    with pytest.raises(StorageUnavailable, match="cannot be used"):
        file.drop()


def test_beside_a_read_only_file_no_key_is_prepared(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    file = KeyFile(path, read_only=True)
    with pytest.raises(ConfigurationError) as caught:
        file.prepare(OTHER)
    assert str(caught.value) == (
        f"the API key is read from {path} (NXAI_CLOUD_SYNC_KEY_FILE): put it there, or unset the "
        "variable"
    )
    (tmp_path / ".key.prepared").write_text(OTHER)  # of somebody else
    assert file.prepared() is None
    file.drop()
    assert (tmp_path / ".key.prepared").read_text() == OTHER


def test_is_a_key_store(tmp_path: Path) -> None:
    store: KeyStore = KeyFile(tmp_path / "key")
    assert store.read() is None


def test_keeps_a_key_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "key"
    before = os.umask(0)
    try:
        KeyFile(path).write(KEY)
    finally:
        os.umask(before)
    assert KeyFile(path).read() == KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_a_key_is_replaced_with_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(OTHER)
    path.chmod(0o644)
    KeyFile(path).write(f"  {KEY}\n")
    assert KeyFile(path).read() == KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", " \n\n"])
def test_what_an_editor_adds_is_no_part_of_the_key(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xef\xbb\xbf" + (KEY + ending).encode())
    assert KeyFile(path, read_only=True).read() == KEY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"0123456789abcdef",
        b"ei_",
        b"EI_0123456789abcdef",
        f"{KEY} {OTHER}".encode(),
        f"{KEY}\n{OTHER}\n".encode(),
        "ei_schlüssel".encode(),
        b"ei_\xff\xfe",
        b"\x00" * 100,
        b"ei_" + b"0" * 100_000,
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="begins with ei_") as caught:
        KeyFile(path).read()
    assert str(path) in str(caught.value)
    words = content.decode(errors="ignore").split()
    assert not any(word in str(caught.value) for word in words if word != "ei_")


@pytest.mark.parametrize("typed", ["", "my password", "ei_", "ei_with space", "ei_with\nline"])
def test_nothing_but_a_key_is_kept(tmp_path: Path, typed: str) -> None:
    path = tmp_path / "key"
    with pytest.raises(ConfigurationError, match="begins with ei_") as caught:
        KeyFile(path).write(typed)
    assert not typed or typed == "ei_" or typed not in str(caught.value)
    assert not path.exists()


def test_a_secret_of_the_container_is_read_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(KEY)
    store = KeyFile(path, read_only=True)
    with pytest.raises(ConfigurationError, match="NXAI_CLOUD_SYNC_KEY_FILE") as caught:
        store.write(OTHER)
    assert OTHER not in str(caught.value)
    store.forget()
    assert store.read() == KEY


def test_a_secret_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"NXAI_CLOUD_SYNC_KEY_FILE.*does not exist"):
        KeyFile(tmp_path / "secret", read_only=True).read()


def test_a_key_is_forgotten(tmp_path: Path) -> None:
    store = KeyFile(tmp_path / "key")
    store.forget()
    store.write(KEY)
    store.forget()
    assert store.read() is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_its_place_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.mkdir()
    (path / "something").touch()
    store = KeyFile(path)
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        store.read()
    with pytest.raises(ConfigurationError, match="cannot be written") as caught:
        store.write(KEY)
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigurationError, match="cannot be deleted"):
        store.forget()
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("how", ["read", "write"])
def test_no_log_shows_a_key_that_was_read_or_kept(tmp_path: Path, how: str) -> None:
    path = tmp_path / "key"
    if how == "read":
        path.write_text(KEY)
        KeyFile(path).read()
    else:
        KeyFile(path).write(KEY)
    record = logging.makeLogRecord({"msg": "asked with %s", "args": (KEY,), "name": "x"})
    assert "asked with ***" in logs.TextFormatter(logs._process).format(record)


def test_a_reader_never_sees_half_a_key(tmp_path: Path) -> None:
    store = KeyFile(tmp_path / "key")
    store.write(KEY)
    ended = threading.Event()
    seen: set[str | None] = set()

    def read() -> None:
        while not ended.is_set():
            seen.add(KeyFile(tmp_path / "key").read())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(50):
            store.write(OTHER)
            store.write(KEY)
    finally:
        ended.set()
        reader.join()
    assert seen <= {KEY, OTHER}
