"""The command line: asks the running service over MQTT, and shows how a job goes on.

Exit codes: 0 done; 1 it failed or was refused, with one line that says why; 2 nothing could be
asked (no broker, no service, a slip of the pen).
"""

import argparse
import contextlib
import getpass
import json
import logging
import os
import select
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from pydantic import TypeAdapter, ValidationError

from nxai_cloud_sync import cli_tables as tables
from nxai_cloud_sync import cli_words as words
from nxai_cloud_sync.adapters.key_file import KeyFile
from nxai_cloud_sync.cli_desk import Desk, Refused, Unsure, asking, note
from nxai_cloud_sync.cli_hints import with_hint
from nxai_cloud_sync.cli_tables import SHORT, counted
from nxai_cloud_sync.core.sample import LabelledBox
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_common.contracts import commands as c
from nxai_common.contracts.base import explain
from nxai_common.contracts.progress import Progress
from nxai_common.errors import BrokerUnavailable, ConfigurationError, NxaiError
from nxai_common.runtime import EXIT_CONFIGURATION, EXIT_CRASHED, EXIT_OK
from nxai_common.settings import load

PIPE_S: Final = 2.0
"""What fills a pipe was started together with this; one that stays empty belongs to a script."""
BARE: Final = (".tflite", ".lite", ".onnx")
REASONS: Final = 5
"""Of many; as many as the service tells at once."""
OTHER_FOLDER: Final = "NXAI_CLOUD_SYNC_STATE_DIR of this command is not the service's folder"
NO_KEY: Final = (
    "there is no API key yet (Studio: Dashboard > Keys): type it when `nxai-cloud-sync link` asks "
    "at a terminal, give a file with --key-file FILE, or pipe it in"
)
BOXES: Final = TypeAdapter(tuple[LabelledBox, ...])


class _OutputError(Exception):
    """Nobody can read what is written."""


def main(argv: Sequence[str], commands: Mapping[str, str]) -> int:
    """Run one command.

    Args:
        argv: Without the program's name; the first word is one of `commands`.
        commands: One line of help for each command.

    Returns:
        The exit code.
    """
    code = EXIT_OK
    try:
        try:
            code = _run(argv, commands)
        finally:  # also where the help ends the process
            with _writing():
                sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        _let_go()
    except _OutputError as error:
        _let_go()
        return _fail(error, EXIT_CRASHED)
    return code


def _run(argv: Sequence[str], commands: Mapping[str, str]) -> int:
    options = words.parse(list(argv), commands, COMMANDS)
    logging.getLogger("nxai_common").addHandler(logging.NullHandler())
    try:
        settings = load(CloudSyncSettings)
        with asking(settings) as desk:
            options.run(desk, options)
    except (ConfigurationError, BrokerUnavailable) as error:
        return _fail(error, EXIT_CONFIGURATION)
    except ValidationError as error:
        return _fail(explain(error), EXIT_CONFIGURATION)
    except NxaiError as error:
        return _fail(with_hint(str(error)), EXIT_CRASHED)
    except KeyboardInterrupt:
        return _fail("interrupted", EXIT_CRASHED)
    return EXIT_OK


def _fail(reason: object, code: int) -> int:
    with contextlib.suppress(BrokenPipeError):  # then the code alone says it
        note(f"nxai-cloud-sync: {reason}")
    return code


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Tell standard output that is full from one that nobody reads any more."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _OutputError(f"standard output cannot be written: {error.strerror}") from None


def _let_go() -> None:
    """Write nothing more to standard output; the end of the process would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_folder(settings: CloudSyncSettings) -> None:
    """See to it that what is put into the service's folder is not put into another one.

    Raises:
        ConfigurationError: there is none.
    """
    if not os.path.isdir(settings.state_dir):  # noqa: PTH112 - one that may not be seen is none
        raise ConfigurationError(
            f"there is no folder {settings.state_dir}: {OTHER_FOLDER}; set it to that, and run "
            "this where the service runs"
        )


def _say_end(ended: Progress) -> None:
    note(with_hint(ended.text) or "done")


# -- link -----------------------------------------------------------------------------------------


def _link(desk: Desk, options: argparse.Namespace) -> None:
    command = c.LinkProject(
        project=options.project,
        impulse=options.impulse,
        learn_block=options.learn_block,
        studio=options.studio,
        ingestion=options.ingestion,
    )
    settings = desk.settings
    file = KeyFile(settings.key_path, read_only=settings.key_file is not None)
    before = None
    with contextlib.suppress(ConfigurationError):  # what is no key is no loss
        before = file.read()
    key = _key(options.key_file)
    try:
        if key is None:
            ended = desk.do(command)
        else:
            if settings.key_file is None:
                _check_folder(settings)
            with _new_key(file, before, key):
                ended = desk.do(command)
    except Refused as error:
        if "no API key" in str(error) and before is None:
            raise Refused(NO_KEY if key is None else f"{error}; {OTHER_FOLDER}") from None
        raise
    _say_end(ended)
    if ended.details.get("note"):
        note(str(ended.details["note"]))
    _show_link(desk.ask_json(c.ShowLink()))


@contextlib.contextmanager
def _new_key(file: KeyFile, before: str | None, key: str) -> Iterator[None]:
    """Replace the key; with one that cannot be linked, all is as before.

    Where it is not known how it ends, the new one stays: the service may still link with it.
    """
    file.write(key)
    stays = "; the new key stays, as it may be linked still: `nxai-cloud-sync show` says it"
    try:
        yield
    except Refused as error:
        if before is None:
            file.forget()
            raise Refused(f"{error}; the key was not kept") from None
        if before == key:
            raise
        file.write(before)
        raise Refused(f"{error}; the key from before stays") from None
    except (Unsure, BrokerUnavailable) as error:
        raise type(error)(f"{error}{stays}") from None
    except KeyboardInterrupt:
        raise Unsure(f"interrupted{stays}") from None


def _key(path: str | None) -> str | None:
    """Return the key that a person typed or piped in; never an argument, which `ps` shows."""
    if path == "-":
        return _line_of(sys.stdin)
    if path is not None:
        try:
            # An editor may have put a byte order mark there.
            return Path(path).read_text(encoding="utf-8-sig").strip()
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path} holds no text, and so no API key") from None
    if sys.stdin is None or sys.stdin.closed:
        return None
    if not sys.stdin.isatty():
        return _piped_key(sys.stdin)
    try:
        typed = getpass.getpass("API key (Dashboard > Keys; empty: keep the one that is there): ")
    except EOFError:
        raise Refused("nothing was linked") from None
    return typed.strip() or None


def _piped_key(source: TextIO) -> str | None:
    """Return the key that came without a word of it; None: nothing came, as in most scripts."""
    try:
        ready = bool(select.select([source], [], [], PIPE_S)[0])
    except (OSError, ValueError):  # nothing that has to be waited for
        ready = True
    if not ready:
        note("standard input is open, and nothing came: going on with the key that is there")
        return None
    line = _line_of(source)
    if line and not line.startswith("ei_"):
        raise ConfigurationError(
            "standard input holds no API key of Edge Impulse: one begins with ei_ (Studio: "
            "Dashboard > Keys); with < /dev/null the key that is there is used"
        )
    return line or None


def _line_of(source: TextIO) -> str:
    try:
        return source.readline().strip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError("standard input holds no text, and so no API key") from None
    except OSError as error:
        raise ConfigurationError(f"standard input cannot be read: {error.strerror}") from None


def _status(desk: Desk, options: argparse.Namespace) -> None:
    found = desk.ask_json(c.ShowLink())
    if options.json:
        _print(json.dumps(found, indent=2))
    else:
        _show_link(found)


def _show_link(found: Mapping[str, Any]) -> None:
    link = found["link"]
    if link is None:
        _print("no project is linked")
        return
    _print(f"project {link['project']} ({link['name']}), key of role {link['role']}")
    if found["trouble"]:
        _print(f"trouble: {found['trouble']}")
    for impulse in found["impulses"]:
        for block in impulse["learn_blocks"]:
            here = (impulse["id"], block["id"]) == (link["impulse"], link["learn_block"])
            _print(
                f"{'*' if here else ' '} impulse {impulse['id']} ({impulse['name']}, "
                f"{impulse['width']}x{impulse['height']} {impulse['resize_mode']}), learn block "
                f"{block['id']} ({block['title']}, {block['kind']})"
            )


def _unlink(desk: Desk, options: argparse.Namespace) -> None:
    link = desk.ask_json(c.ShowLink())["link"]
    if link is not None and not options.yes and _at_a_terminal():
        what = f"Forget project {link['project']} ({link['name']}) and delete its API key?"
        if not _agreed(what):
            raise Refused("nothing was unlinked")
    desk.ask(c.UnlinkProject())  # without a link, too: a key may lie there all the same
    if link is None:
        _print("no project is linked")
    elif desk.settings.key_file is not None:
        _print(f"unlinked; models, pictures and the key in {desk.settings.key_file} stay")
    else:
        _print("unlinked; the key is deleted, models and pictures stay")


# -- models ---------------------------------------------------------------------------------------


def _pull(desk: Desk, options: argparse.Namespace) -> None:
    artefact: Any = "int8" if options.int8 else None
    _say_what_came(desk.do(c.PullModel(artefact=artefact, model=options.model)))


def _import(desk: Desk, options: argparse.Namespace) -> None:
    source: Path = options.file
    incoming = desk.settings.incoming_dir
    target = incoming / f"{uuid.uuid4().hex[:8]}-{source.name}"
    labels = options.labels
    # A bare file says no more of itself than its name; an archive names its project.
    bare = source.suffix.lower() in BARE
    command = c.ImportModel(
        file=target.name,
        model=options.model,
        title=options.title or (source.stem if bare else ""),
        labels=None if labels is None else tuple(label.strip() for label in labels.split(",")),
        task=options.task,
        resize_mode=options.resize_mode,
        input_scaling=options.input_scaling,
        threshold=options.threshold,
    )
    if not source.exists():
        raise ConfigurationError(f"there is no file {source}")
    _check_folder(desk.settings)
    try:
        incoming.mkdir(exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        _remove(target)
        raise ConfigurationError(f"{source} cannot be handed to the service: {error}") from None
    try:
        ended = desk.do(command)
    except Refused as error:
        _remove(target)
        # The name under which it was handed over is no name that a person knows.
        said = str(error)
        elsewhere = f"; {OTHER_FOLDER}" if said.startswith("there is no file") else ""
        raise Refused(f"{said.replace(target.name, source.name)}{elsewhere}") from None
    _say_what_came(ended)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # the service removes it, too
        path.unlink(missing_ok=True)


def _say_what_came(ended: Progress) -> None:
    """Say what came of an import.

    Raises:
        Refused: the model cannot be used.
    """
    if ended.details.get("state") == "refused":
        raise Refused(ended.text)
    _say_end(ended)


def _models(desk: Desk, options: argparse.Namespace) -> None:
    found = desk.ask_json(c.ListModels())
    if options.json:
        _print(json.dumps(found, indent=2))
        return
    if not found["versions"]:
        _print("no model was imported yet: nxai-cloud-sync pull, or import FILE")
    for line in tables.models_lines(found["versions"], found["deployments"], datetime.now(UTC)):
        _print(line)


def _rename(desk: Desk, options: argparse.Namespace) -> None:
    if options.title is None and options.documentation is None:
        raise ConfigurationError("say what changes: --title, --documentation, or both")
    digest = desk.digest(options.version)
    desk.ask(c.EditModel(digest=digest, title=options.title, documentation=options.documentation))
    changed = []
    if options.title is not None:
        changed.append(f"is called {options.title!r} now")
    if options.documentation is not None:
        changed.append("has another documentation")
    _print(f"version {digest[:SHORT]} {' and '.join(changed)}")


def _delete(desk: Desk, options: argparse.Namespace) -> None:
    digest = desk.digest(options.version)
    desk.ask(c.DeleteModel(digest=digest))
    _print(f"version {digest[:SHORT]} deleted")


def _deploy(desk: Desk, options: argparse.Namespace) -> None:
    reply = desk.ask(
        c.DeployModel(
            model=options.model,
            digest=None if options.version is None else desk.digest(options.version),
            cameras=tuple(options.camera) or None,
            threshold=options.threshold,
            how="at-once" if options.at_once else "shadow",
        )
    )
    _print(with_hint(reply.reason))


def _on_model(command: Callable[..., c.CloudSyncCommand]) -> words.Run:
    def run(desk: Desk, options: argparse.Namespace) -> None:
        fields: dict[str, Any] = {"model": options.model}
        if "camera" in options:
            fields["cameras"] = tuple(options.camera) or None
        _print(desk.ask(command(**fields)).reason)

    return run


# -- samples --------------------------------------------------------------------------------------


def _samples(desk: Desk, options: argparse.Namespace) -> None:
    filters = ("state", "camera", "label", "strategy")
    wanted: dict[str, Any] = {name: getattr(options, name) or "" for name in filters}
    found = desk.ask_json(
        c.ListSamples(
            **wanted, limit=options.limit, offset=options.offset, by_value=options.by_value
        )
    )
    if options.json:
        _print(json.dumps(found, indent=2))
        return
    for line in tables.samples_lines(
        found, limit=options.limit, offset=options.offset, filtered=any(wanted.values())
    ):
        _print(line)


def _review(decision: str, done: str) -> words.Run:
    def run(desk: Desk, options: argparse.Namespace) -> None:
        everything = getattr(options, "all", False)
        if not options.sample and not everything:
            raise ConfigurationError("say which pictures" + (", or --all" * ("all" in options)))
        names: list[str] = [*options.sample, *(_looked_at_by_nobody(desk) if everything else ())]
        names = list(dict.fromkeys(names))  # a new one moves the pages of the list
        changed, refused, reason, told = 0, 0, "", 0
        for begin in range(0, len(names), c.MAX_IDS):
            some = names[begin : begin + c.MAX_IDS]
            reply = desk.request(
                c.ReviewSamples.model_validate(
                    {
                        "samples": some,
                        "decision": decision,
                        "confirm_predictions": getattr(options, "confirm", False),
                    }
                )
            )
            if "changed" not in reply.details:
                raise Refused(reply.reason)
            done_here = int(reply.details["changed"] or 0)
            changed += done_here
            refused += len(some) - done_here
            if not reason:
                reason, told = reply.reason, min(REASONS, refused)
        _print(f"{counted(changed, 'picture')} {done}")
        if refused:
            raise Refused(reason + _and_more(refused - told))

    return run


def _and_more(count: int) -> str:
    return f"; and {count} more" if count > 0 else ""


def _looked_at_by_nobody(desk: Desk) -> Iterator[str]:
    offset = 0
    while page := desk.ask_json(c.ListSamples(state="new", limit=c.MAX_PAGE, offset=offset))[
        "samples"
    ]:
        offset += len(page)
        yield from (sample["id"] for sample in page)


def _picture(desk: Desk, options: argparse.Namespace) -> None:
    to_stdout = options.to == words.STDOUT
    if to_stdout and sys.stdout.isatty():
        raise ConfigurationError("a picture is nothing for a terminal: name a file, or pipe it on")
    data = bytes(desk.ask(c.ShowSample(sample=options.sample)).attachment)
    sample = None if options.plain else desk.sample(options.sample)
    shown = ""
    if sample is not None:
        data = _drawn(data, sample)
        shown = f", {tables.labels_of(sample)}"
    if to_stdout:
        with _writing():
            sys.stdout.buffer.write(data)
        return
    try:
        options.to.write_bytes(data)
    except OSError as error:
        raise ConfigurationError(f"{options.to} cannot be written: {error.strerror}") from None
    _print(f"{options.to}: {len(data)} bytes{shown}")


def _drawn(data: bytes, sample: Mapping[str, Any]) -> bytes:
    """Draw the boxes that go up as labels once they are confirmed, or were already."""
    from nxai_cloud_sync.adapters import picture_drawing  # noqa: PLC0415 - only this needs Pillow

    told = sample["predictions"] if sample["boxes"] is None else sample["boxes"]
    return picture_drawing.draw_boxes(data, BOXES.validate_python(told), sample["labels"])


def _upload(desk: Desk, options: argparse.Namespace) -> None:
    names = tuple(dict.fromkeys(options.sample))
    details = desk.do(c.UploadSamples(samples=names, include_new=options.new)).details
    note(tables.upload_line(details, named=bool(names)))
    failed = int(details.get("failed") or 0)
    if names and (failed or details.get("kept_back")):
        looked_at = (tables.why_kept(name, desk.sample(name)) for name in names)
        reasons = [why for why in looked_at if why]
        if reasons:
            raise Refused("; ".join(reasons[:REASONS]) + _and_more(len(reasons) - REASONS))
        note("what was not sent now was uploaded before")
    elif failed:
        raise Refused(
            f"{counted(failed, 'picture')} refused; `nxai-cloud-sync samples --state failed` says "
            "why"
        )
    elif not any(details.get(what) for what in ("uploaded", "kept_back", "left")):
        note(_why_nothing(desk))


def _why_nothing(desk: Desk) -> str:
    """Say why there was nothing to upload."""
    new = int(desk.ask_json(c.ListSamples(state="new", limit=1))["total"])
    if not new:
        return "no picture waits: all were uploaded or discarded, or none was collected"
    return (
        f"no picture is approved; {counted(new, 'picture')} that nobody looked at: `approve`, or "
        "`upload --new`"
    )


# -- training -------------------------------------------------------------------------------------


def _retrain(desk: Desk, options: argparse.Namespace) -> None:
    if not options.yes:
        _print(desk.ask(c.RetrainModel(confirm=False)).reason)
        if not _at_a_terminal():
            raise Refused("nothing was started; say --yes")
        if not _agreed("Start?"):
            raise Refused("nothing was started")
    _say_end(desk.do(c.RetrainModel(confirm=True)))


def _at_a_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _agreed(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _check(desk: Desk, _options: argparse.Namespace) -> None:
    _say_end(desk.do(c.CheckUpdates()))


def _cancel(desk: Desk, options: argparse.Namespace) -> None:
    _print(desk.ask(c.CancelJob(job=options.job)).reason or "cancelled")


COMMANDS: Final[Mapping[str, words.Run]] = {
    "link": _link,
    "show": _status,
    "unlink": _unlink,
    "pull": _pull,
    "import": _import,
    "models": _models,
    "rename": _rename,
    "delete": _delete,
    "deploy": _deploy,
    "undeploy": _on_model(c.UndeployModel),
    "promote": _on_model(c.PromoteModel),
    "end-shadow": _on_model(c.EndShadow),
    "roll-back": _on_model(c.RollBackModel),
    "samples": _samples,
    "approve": _review("approved", "approved"),
    "discard": _review("discarded", "discarded"),
    "reopen": _review("new", "reopened"),
    "picture": _picture,
    "upload": _upload,
    "retrain": _retrain,
    "check": _check,
    "cancel": _cancel,
}


def _print(text: str) -> None:
    with _writing():
        sys.stdout.write(text + "\n")
