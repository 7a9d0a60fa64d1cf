"""Composition root of the publisher, and its command line.

`nxai-publisher` runs the service; `nxai-publisher export` and `nxai-publisher counts` read the
data logger, `nxai-publisher rejected` the outbox.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy.engine import URL

from nxai_common.bus.ports import Bus
from nxai_common.errors import ConfigurationError
from nxai_common.runtime import (
    EXIT_CONFIGURATION,
    EXIT_CRASHED,
    EXIT_OK,
    Beat,
    Service,
    run_service,
)
from nxai_common.settings import load
from nxai_publisher.adapters.group_commit import GroupCommit
from nxai_publisher.adapters.outlets import outlets
from nxai_publisher.adapters.query_desk import THREADS, QueryDesk
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.adapters.sql_archive import SqlArchive
from nxai_publisher.adapters.sql_database import database_url, is_sqlite
from nxai_publisher.adapters.sql_logger import SqlLogger
from nxai_publisher.adapters.sqlite_outbox import SqliteOutbox, refused_in
from nxai_publisher.alarm_pictures import AlarmPictures
from nxai_publisher.answers import Answers
from nxai_publisher.core.export import Format, counts_as_text, results_as_text
from nxai_publisher.despatch import Despatch
from nxai_publisher.home_assistant import HomeAssistant
from nxai_publisher.ports import StorageUnavailable
from nxai_publisher.sending import Senders
from nxai_publisher.service import Publisher
from nxai_publisher.settings import PublisherSettings

COMMANDS: Final = {
    "export": "print the stored results, in the order of time",
    "counts": "print the stored counts per minute, camera, model and label",
    "rejected": "print what destinations refused for good, and why, as lines of JSON",
}
OUTBOX_PRUNE_EVERY_S: Final = 1.0
"""What all destinations have got goes, and how far they are is written down: a kill costs as much
sent twice."""
QUESTION_LIMIT_S: Final = 4.0
"""The page waits five seconds for an answer; one that says what to ask instead shall be in time."""
END_OF_TIME_US: Final = 253_402_300_800_000_000
"""The year 10000, as in `core.observation`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service or a command; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] == "rejected":
        return read_rejected(arguments)
    if arguments and arguments[0] in COMMANDS:
        return read_log(arguments)
    return run_service(PublisherSettings, build, arguments, commands=COMMANDS)


@contextmanager
def build(settings: PublisherSettings, bus: Bus, beat: Beat) -> Iterator[Service]:
    """Put the parts together."""
    database = database_of(settings)
    store = SqlLogger(database, durability=settings.durability)
    archive = SqlArchive(database, readers=THREADS, limit_s=QUESTION_LIMIT_S)
    outbox = SqliteOutbox(outbox_of(settings), device=bus.device, durability=settings.durability)
    secrets = SecretsDirectory(settings.secrets_dir)
    open_outlet = outlets(
        device=bus.device,
        secrets=secrets,
        files=settings.files_dir or settings.run_dir / "data" / "files",
        durability=settings.durability,
    )
    with (
        GroupCommit(store, bound=settings.hold_results) as result_log,
        QueryDesk(Answers(archive, result_log).answer) as desk,
        archive,  # closed first: questions under way end, and the desk need not wait for them
        GroupCommit(
            outbox,
            about="outbox",
            bound=settings.hold_results,
            prune_every_s=OUTBOX_PRUNE_EVERY_S,
        ) as outbox_log,
        Senders(outbox, open_outlet) as senders,
        AlarmPictures(bus, outbox_log.offer) as pictures,
        HomeAssistant(settings, bus, secrets.read) as home_assistant,
    ):
        yield Publisher(
            settings,
            bus,
            beat,
            result_log,
            desk,
            despatch=Despatch(outbox, outbox_log, senders, pictures),
            folder=folder_of(database),
            besides=(home_assistant,),
        )


def database_of(settings: PublisherSettings) -> URL:
    """Return the address of the data logger.

    Raises:
        ConfigurationError: it cannot be used; no password is shown.
    """
    if settings.database_url is None:
        file = (settings.run_dir / "data" / "nxai.db").resolve()
        return database_url(f"sqlite:///{file}")
    url = database_url(settings.database_url.get_secret_value())
    path = settings.database_password_file
    if path is None:
        return url
    if url.password is not None:
        raise ConfigurationError(
            "a password is in NXAI_PUBLISHER_DATABASE_URL and in "
            "NXAI_PUBLISHER_DATABASE_PASSWORD_FILE; keep one of them"
        )
    try:
        password = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(
            f"NXAI_PUBLISHER_DATABASE_PASSWORD_FILE={path}: cannot be read: {reason}"
        ) from None  # a decoding error would show the bytes
    return url.set(password=password)


def outbox_of(settings: PublisherSettings) -> Path:
    """Return where the file of the outbox lies."""
    return (settings.outbox or settings.run_dir / "data" / "outbox.db").resolve()


def folder_of(database: URL) -> Path | None:
    """Return where the data logger's file lies; None: it is on a server."""
    return Path(database.database or "").parent if is_sqlite(database) else None


def read_log(argv: Sequence[str]) -> int:
    """Run `export` or `counts`; return the exit code."""
    options = _parser().parse_args(argv)
    try:
        url = (
            database_url(options.database)
            if options.database
            else database_of(load(PublisherSettings))
        )
        with SqlArchive(url) as archive:
            _print(options, archive)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's answer
        return EXIT_CONFIGURATION
    except StorageUnavailable as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's answer
        return EXIT_CRASHED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit complains
    return EXIT_OK


def read_rejected(argv: Sequence[str]) -> int:
    """Run `rejected`; return the exit code."""
    parser = argparse.ArgumentParser(prog="nxai-publisher rejected", allow_abbrev=False)
    parser.add_argument("--destination", help="only of this one")
    parser.add_argument(
        "--outbox", type=Path, metavar="FILE", help="default: as NXAI_PUBLISHER_OUTBOX says"
    )
    options = parser.parse_args(argv[1:])
    try:
        for one in refused_in(options.outbox or outbox_of(load(PublisherSettings))):
            if options.destination in (None, one["destination"]):
                sys.stdout.write(f"{orjson.dumps(one).decode()}\n")
        sys.stdout.flush()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's answer
        return EXIT_CONFIGURATION
    except StorageUnavailable as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's answer
        return EXIT_CRASHED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit complains
    return EXIT_OK


def _print(options: argparse.Namespace, archive: SqlArchive) -> None:
    style = Format(options.format)
    query = (options.since, options.until, options.camera, options.label)
    exports = options.command == "export"
    stored = archive.results(*query) if exports else archive.counts(*query)
    # The first row opens the database: one that cannot be read gets no header, which in a file
    # would look like an empty log.
    rows = chain(list(islice(stored, 1)), stored)
    lines = results_as_text(rows, style, options.label) if exports else counts_as_text(rows, style)
    for line in lines:
        sys.stdout.write(line)
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nxai-publisher", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        if name == "rejected":
            continue  # it has a parser of its own
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument(
            "--since",
            type=_time,
            required=True,
            metavar="TIME",
            help="first moment, such as 2026-11-22T10:00 (UTC, unless it has an offset: +01:00)",
        )
        command.add_argument(
            "--until",
            type=_time,
            default=END_OF_TIME_US,
            metavar="TIME",
            help="first moment after (default: all)",
        )
        command.add_argument("--camera", help="only this camera")
        command.add_argument("--label", help="only objects with this label")
        command.add_argument(
            "--format",
            choices=[style.value for style in Format],
            default=Format.CSV.value,
            help="lines for a spreadsheet or of JSON (default csv)",
        )
        command.add_argument(
            "--database",
            metavar="URL",
            help="data logger (default: as NXAI_PUBLISHER_DATABASE_URL and NXAI_RUN_DIR say)",
        )
    return parser


def _time(text: str) -> int:
    """Return Unix microseconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; write 2026-11-22, 2026-11-22T10:00 or 2026-11-22T10:00+01:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)


if __name__ == "__main__":
    sys.exit(main())
