"""The service, or one of the commands that ask it."""

import sys
from collections.abc import Sequence
from typing import Final

INTERRUPTED: Final = 130
"""What a shell makes of a program that Ctrl-C ended."""
COMMANDS: Final = {
    "link": "link an Edge Impulse project with an API key",
    "show": "say what is linked",
    "unlink": "forget the project and its key; models and pictures stay",
    "pull": "import the newest model of the project",
    "import": "import a model file, or an archive that Edge Impulse built",
    "models": "list the imported versions, and what runs where",
    "rename": "change name or documentation of a version",
    "delete": "delete a version that is not in use",
    "deploy": "let a model run on cameras; a newer version is tried beside the old one first",
    "undeploy": "take a model from cameras",
    "promote": "put the version that was tried in force",
    "end-shadow": "end the trial of a version",
    "roll-back": "put the version before in force again",
    "samples": "list the collected pictures",
    "approve": "let pictures go up",
    "discard": "keep pictures from going up",
    "reopen": "take a decision back",
    "picture": "save a collected picture to look at",
    "upload": "send what was approved to Edge Impulse",
    "retrain": "train the project again (uses compute minutes)",
    "check": "look whether the project has a new model",
    "cancel": "stop a job",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service, or the command that the first word names; return the exit code."""
    try:
        return _start(sys.argv[1:] if argv is None else list(argv))
    except KeyboardInterrupt:  # the imports alone take a second in which a person may press it
        return INTERRUPTED


def _start(arguments: list[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        from nxai_cloud_sync import cli  # noqa: PLC0415 - the service need not carry it

        return cli.main(arguments, COMMANDS)
    from nxai_cloud_sync.composition import build  # noqa: PLC0415 - a command need not carry it
    from nxai_cloud_sync.settings import CloudSyncSettings  # noqa: PLC0415 - see `main`
    from nxai_common.runtime import run_service  # noqa: PLC0415 - see `main`

    return run_service(CloudSyncSettings, build, arguments, commands=COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
