"""`nxai-manager reset-password`: for who forgot a password and can reach the box itself.

Works while the service runs, which sees the changed file within a second, and while it does not.
Exit codes: 0 done; 2 nothing was changed, with one line that says why.
"""

import argparse
import contextlib
import getpass
import sys
from collections.abc import Sequence
from typing import Final

from nxai_common.errors import ConfigurationError, NxaiError
from nxai_common.runtime import EXIT_CONFIGURATION, EXIT_OK
from nxai_common.settings import load
from nxai_manager.adapters.accounts_file import AccountsFile
from nxai_manager.adapters.password_hash import Argon2Hasher
from nxai_manager.core.accounts import Accounts, Role, check_password, fold_name
from nxai_manager.settings import ManagerSettings

NAME: Final = "nxai-manager reset-password"


def reset_password(words: Sequence[str]) -> int:
    """Give a user another password, typed at the terminal or read from standard input."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Give a user of the page another password. It is asked for, or read as one "
        "line from standard input. The user's sessions end.",
    )
    parser.add_argument("user", nargs="?", help="left out: the admin, where there is one only")
    user: str | None = parser.parse_args(words).user
    try:
        name = _reset(user)
    except NxaiError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, EOFError):
        return _fail("interrupted; the password is as it was")
    sys.stdout.write(f"{name} has another password, and must log in again everywhere\n")
    return EXIT_OK


def _reset(user: str | None) -> str:
    file = AccountsFile(load(ManagerSettings).state_folder)
    accounts = file.read()
    if accounts is None:
        raise ConfigurationError(_none(file.name))
    name = _whom(accounts, user)
    password = _ask(name)
    check_password(password, name)
    with contextlib.closing(Argon2Hasher()) as hasher:
        hashed, generation = hasher.make_here(password), hasher.mark()

    def change(now: Accounts | None) -> Accounts:
        if now is None:
            raise ConfigurationError(_none(file.name))
        return now.set_password(name, hashed, generation)

    file.update(change)
    return name


def _none(path: str) -> str:
    return (
        f"there are no accounts yet in {path}: open the page and set a password there (in another "
        "folder? then set NXAI_MANAGER_STATE_DIR as the service has it)"
    )


def _whom(accounts: Accounts, user: str | None) -> str:
    if user is not None:
        return accounts.user(fold_name(user)).name
    admins = [each.name for each in accounts.users if each.role is Role.ADMIN]
    if len(admins) != 1:
        raise ConfigurationError(f"say whose password: {NAME} {{{'|'.join(sorted(admins))}}}")
    return admins[0]


def _ask(name: str) -> str:
    """Return what a person typed twice, or a program wrote; never an argument, which `ps` shows."""
    if sys.stdin is None:  # closed
        return ""
    if not sys.stdin.isatty():
        try:
            return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ConfigurationError("standard input is no text; send UTF-8") from None
    password = getpass.getpass(f"New password of {name}: ")
    if getpass.getpass("Once more: ") != password:
        raise ConfigurationError("the two are not the same; the password is as it was")
    return password


def _fail(reason: str) -> int:
    sys.stderr.write(f"{NAME}: {reason}\n")
    return EXIT_CONFIGURATION
