"""accounts.json and sessions.json on a real disk."""

import fcntl
import os
import shutil
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nxai_common.errors import ConfigurationError, TransientError
from nxai_manager.adapters import accounts_file
from nxai_manager.adapters.accounts_file import AccountsFile
from nxai_manager.adapters.serial_number import serial_number
from nxai_manager.adapters.sessions_file import SessionsFile
from nxai_manager.core.accounts import AccountRefused, Accounts, Role, Scope, Token, User, digest_of
from nxai_manager.core.sessions import Kept, Session

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"
ANNA = User(name="anna", role=Role.ADMIN, password=HASH, created_at=NOW, generation="1")
BEN = ANNA.model_copy(update={"name": "ben", "role": Role.VIEWER})
TOKEN = Token(
    id="0" * 12,
    name="Küche",
    scopes=(Scope.READ,),
    digest=digest_of("secret"),
    created_by="anna",
    created_at=NOW,
    expires_at=NOW,
)
ONE = Accounts(users=(ANNA,))


def begun(folder: Path) -> AccountsFile:
    file = AccountsFile(folder)
    file.update(lambda _nothing: ONE)
    return file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- accounts.json --------------------------------------------------------------------------------


def test_what_was_kept_is_read_by_the_next_process(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "state"
    assert AccountsFile(folder).read() is None
    everything = ONE.add(BEN).add_token(TOKEN)
    before = AccountsFile(folder).update(lambda found: everything if found is None else ONE)
    assert before == everything
    assert AccountsFile(folder).read() == everything
    [path] = folder.iterdir()
    assert (path.name, mode(path)) == ("accounts.json", 0o600)


def test_change_sees_what_is_there_and_changes_it_or_nothing(tmp_path: Path) -> None:
    file = begun(tmp_path)
    assert file.update(lambda found: (found or Accounts()).add(BEN)) == ONE.add(BEN)

    def refuse(_found: Accounts | None) -> Accounts:
        raise AccountRefused("no")

    with pytest.raises(AccountRefused):
        file.update(refuse)
    assert file.read() == ONE.add(BEN)


def test_change_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    file = begun(tmp_path)
    before = (tmp_path / "accounts.json").stat()
    file.update(lambda found: found or Accounts())
    after = (tmp_path / "accounts.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged: the file: Invalid JSON"),
        (b'{"users": [', "is damaged: the file: Invalid JSON"),
        (b"\xff", "is damaged: the file: Invalid JSON"),
        (b"[]", "is damaged: the file: Input should be an object"),
        (b'{"version": 2, "users": []}', "is damaged: version: Input should be 1"),
        (b'{"users": []}', "is damaged: none of its users is an admin"),
        (b"{}", "is damaged: none of its users is an admin"),
        (b" " * 1024 * 1025, "is damaged: it is too large"),
        (
            Accounts(users=(BEN,)).model_dump_json().encode(),
            "is damaged: none of its users is an admin",
        ),
        (
            ONE.model_dump_json().replace("$argon2id", "plain-secret").encode(),
            "is damaged: users.0.password: String should match pattern",
        ),
    ],
)
def test_damaged_file_is_never_taken_for_none(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "accounts.json"
    path.write_bytes(content)
    for ask in (AccountsFile(tmp_path).read, lambda: AccountsFile(tmp_path).update(lambda _a: ONE)):
        with pytest.raises(ConfigurationError) as caught:
            ask()
        assert str(caught.value).startswith(f"{path} {said}")
        assert str(caught.value).endswith("(whoever opens the page first then sets the password)")
        assert "plain-secret" not in str(caught.value)
    assert path.read_bytes() == content


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "accounts.json").mkdir()
    with pytest.raises(ConfigurationError, match=r"accounts.json cannot be read: Is a directory"):
        AccountsFile(tmp_path).read()


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TransientError, match=r"accounts.json cannot be written: File exists; make"):
        AccountsFile(tmp_path / "file").update(lambda _nothing: ONE)


def test_full_disk_leaves_the_old_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = begun(tmp_path)

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(accounts_file, "write_private", full)
    with pytest.raises(TransientError, match="No space left on device; make room"):
        file.update(lambda found: (found or Accounts()).add(BEN))
    assert file.read() == ONE


def test_change_of_another_process_is_noticed(tmp_path: Path) -> None:
    file = AccountsFile(tmp_path)
    assert file.read() is None
    assert not file.changed()
    begun(tmp_path)
    assert file.changed()
    assert file.read() == ONE
    assert not file.changed()
    file.update(lambda found: (found or Accounts()).add(BEN))
    assert not file.changed()  # one's own is known already
    (tmp_path / "accounts.json").unlink()
    assert file.changed()


def test_file_that_was_open_to_others_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = begun(tmp_path)
    (tmp_path / "accounts.json").chmod(0o644)
    assert file.read() == ONE
    assert mode(tmp_path / "accounts.json") == 0o600
    assert "was open to others; now it is not" in caplog.text


def test_changes_of_many_at_once_are_all_kept(tmp_path: Path) -> None:
    begun(tmp_path)
    start = threading.Barrier(8)

    def add(number: int) -> None:
        user = BEN.model_copy(update={"name": f"u{number}"})
        start.wait(30)
        AccountsFile(tmp_path).update(lambda found: (found or Accounts()).add(user))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    kept = AccountsFile(tmp_path).read()
    assert kept is not None
    assert {user.name for user in kept.users} == {"anna", *(f"u{n}" for n in range(8))}


def test_change_waits_for_another_process_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = begun(tmp_path)
    monkeypatch.setattr(accounts_file, "LOCK_S", 0.05)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(TransientError, match="is being changed by another program; try again"):
            file.update(lambda _found: ONE.add(BEN))
    finally:
        os.close(descriptor)
    assert file.update(lambda _found: ONE.add(BEN)) == ONE.add(BEN)


def test_administrator_who_changes_it_does_not_lock_the_service_out(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root may give a file to somebody else")
    file = begun(tmp_path)
    os.chown(tmp_path / "accounts.json", 65534, 65534)
    file.update(lambda found: (found or Accounts()).add(BEN))
    found = (tmp_path / "accounts.json").stat()
    assert (found.st_uid, found.st_gid, mode(tmp_path / "accounts.json")) == (65534, 65534, 0o600)


def test_process_that_dies_while_it_writes_leaves_whole_accounts(tmp_path: Path) -> None:
    begun(tmp_path)
    script = (
        "import sys, os\n"
        "from pathlib import Path\n"
        "from nxai_manager.adapters import accounts_file\n"
        "from nxai_manager.core.accounts import Accounts\n"
        "real = Path.replace\n"
        "Path.replace = lambda self, target: os._exit(9)\n"
        "file = accounts_file.AccountsFile(Path(sys.argv[1]))\n"
        "file.update(lambda a: a.set_password('anna', '$argon2id$other', '2'))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert ended.returncode == 9
    file = AccountsFile(tmp_path)
    assert file.read() == ONE
    assert file.update(lambda found: (found or Accounts()).add(BEN)) == ONE.add(BEN)


# -- sessions.json --------------------------------------------------------------------------------

SESSION = Session("a" * 64, "anna", "1", created_at=1_800_000_000.5, seen_at=1_800_000_001.5)


def test_sessions_go_on_after_a_restart(tmp_path: Path) -> None:
    file = SessionsFile(tmp_path)
    first = file.read()
    assert first.sessions == ()
    assert len(first.key) == 32
    assert file.read().key != first.key
    kept = Kept(first.key, (SESSION,))
    file.keep(kept)
    assert SessionsFile(tmp_path).read() == kept
    assert mode(tmp_path / "sessions.json") == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"{}", b'{"key": "00", "sessions": []}', b'{"key": null}']
)
def test_damaged_sessions_are_none(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sessions.json").write_bytes(content)
    assert SessionsFile(tmp_path).read().sessions == ()
    assert (
        "sessions.json cannot be used (it is damaged): everybody must log in again" in caplog.text
    )


def test_sessions_that_cannot_be_read_or_written_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sessions.json").mkdir()
    assert SessionsFile(tmp_path).read().sessions == ()
    assert "cannot be used (Is a directory)" in caplog.text
    with pytest.raises(TransientError, match=r"sessions.json cannot be written: Is a directory"):
        SessionsFile(tmp_path).keep(Kept(b"k" * 32, (SESSION,)))


# -- the number of the box ------------------------------------------------------------------------


def test_serial_number_is_the_makers(tmp_path: Path) -> None:
    tree, board, machine = (tmp_path / name for name in ("tree", "board", "machine"))
    written = (tree, board)
    assert serial_number(written, machine) == ""
    machine.write_text("0123456789abcdef0123456789abcdef\n")
    machine2 = tmp_path / "machine2"
    machine2.write_text("0123456789abcdef0123456789abcdef\n")
    made = serial_number(written, machine2)
    assert len(made) == 16
    assert made not in machine.read_text()
    board.write_text("To Be Filled By O.E.M.\n")
    tree.write_bytes(b"0000000000000000\0")
    assert serial_number((*written, tree), machine2) == made
    tree.write_bytes(b"10000000a1b2c3d4\0")
    assert serial_number(written, machine2) == made  # asked once: nobody changes it
    assert serial_number((board, tree), machine2) == "10000000a1b2c3d4"
