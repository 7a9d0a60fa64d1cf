"""The command line of the manager; `composition` puts the service together."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nxai_common.errors import ConfigurationError
from nxai_common.runtime import run_service
from nxai_manager.adapters.settings_file import SettingsFile
from nxai_manager.cli_accounts import reset_password
from nxai_manager.composition import build
from nxai_manager.core.problems import check_settings
from nxai_manager.core.schema import settings_schema
from nxai_manager.settings import ManagerSettings

COMMANDS: Final = {
    "check": "say what is wrong with a settings file",
    "schema": "print the JSON Schema of settings.json",
    "reset-password": "give a user of the page another password",
}
EXIT_OK = 0
EXIT_WRONG = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service, or the command that the first word names."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["check"]:
        return _check(words[1:])
    if words[:1] == ["schema"]:
        return _schema(words[1:])
    if words[:1] == ["reset-password"]:
        return reset_password(words[1:])
    return run_service(ManagerSettings, build, words, commands=COMMANDS)


def _check(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="nxai-manager check", description="Say what is wrong with a settings file."
    )
    parser.add_argument("file", type=Path, nargs="?", default=Path("settings.json"))
    path: Path = parser.parse_args(words).file
    try:
        text = SettingsFile(path).read()
    except ConfigurationError as error:  # it names the path
        sys.stderr.write(f"{error}\n")
        return EXIT_WRONG
    try:
        settings = None if text is None else check_settings(text)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"{path}: {line}\n")
        return EXIT_WRONG
    if settings is None:
        sys.stderr.write(f"{path}: there is no such file\n")
        return EXIT_WRONG
    sys.stdout.write(
        f"{path}: good ({len(settings.cameras)} cameras, {len(settings.models)} models)\n"
    )
    return EXIT_OK


def _schema(words: list[str]) -> int:
    argparse.ArgumentParser(
        prog="nxai-manager schema", description="Print the JSON Schema of settings.json."
    ).parse_args(words)
    sys.stdout.write(json.dumps(settings_schema(), indent=2) + "\n")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
