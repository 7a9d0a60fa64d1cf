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
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from nxai_cloud_sync.adapters.key_file import KeyFile
from nxai_cloud_sync.settings import CloudSyncSettings
from nxai_common.bus.mqtt import MqttBus
from nxai_common.bus.ports import Bus, Inbox, Subscription
from nxai_common.contracts import commands as c
from nxai_common.contracts.base import Message, explain
from nxai_common.contracts.models import InputScaling, ResizeMode, Task
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import ServiceState, Status
from nxai_common.errors import BrokerUnavailable, ConfigurationError, NxaiError
from nxai_common.runtime import EXIT_CONFIGURATION, EXIT_CRASHED, EXIT_OK
from nxai_common.settings import load

CONNECT_S: Final = 10.0
SERVICE_S: Final = 20.0
"""A box that was just switched on needs some seconds."""
ANSWER_S: Final = 15.0
"""A quick command waits at most for another quick one."""
SILENCE_S: Final = 900.0
"""A job that says nothing for so long is waited for no more; it goes on all the same."""
GONE_S: Final = 10.0
"""A service that loses the broker for a moment is called offline until it is back."""
RUNS: Final = (ServiceState.RUNNING, ServiceState.DEGRADED)
BARE: Final = (".tflite", ".lite", ".onnx")
SHORT: Final = 12
"""Digits of a digest that a person sees; any beginning that fits one version will do."""

Parser = argparse.ArgumentParser


class Refused(NxaiError):  # noqa: N818 - what happened
    """The service said no; the message says why."""


def main(argv: Sequence[str], commands: Mapping[str, str]) -> int:
    """Run one command.

    Args:
        argv: Without the program's name; the first word is one of `commands`.
        commands: One line of help for each command.

    Returns:
        The exit code.
    """
    options = _parser(commands).parse_args(argv)
    logging.getLogger("nxai_common").addHandler(logging.NullHandler())
    try:
        settings = load(CloudSyncSettings)
        with _asking(settings) as desk:
            options.run(desk, options)
            sys.stdout.flush()
    except (ConfigurationError, BrokerUnavailable) as error:
        return _fail(error, EXIT_CONFIGURATION)
    except ValidationError as error:
        return _fail(explain(error), EXIT_CONFIGURATION)
    except NxaiError as error:
        return _fail(error, EXIT_CRASHED)
    except KeyboardInterrupt:
        return _fail("interrupted", EXIT_CRASHED)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit complains
    return EXIT_OK


def _fail(reason: object, code: int) -> int:
    _note(f"nxai-cloud-sync: {reason}")
    return code


class Desk:
    """Asks the service."""

    def __init__(
        self, bus: Bus, settings: CloudSyncSettings, progress: Inbox, service: Status
    ) -> None:
        self._bus = bus
        self._progress = progress
        """Of jobs, and what the service says of itself."""
        self._service = service
        self.settings = settings

    def ask(self, command: c.CloudSyncCommand) -> c.Reply:
        """Return the answer.

        Raises:
            BrokerUnavailable: none came.
            Refused: it is no.
        """
        try:
            reply = self._bus.request(command, ANSWER_S)
        except BrokerUnavailable as error:
            raise BrokerUnavailable(f"{error}; does nxai-cloud-sync run?") from error
        if not reply.ok:
            raise Refused(reply.reason)
        return reply

    def ask_json(self, command: c.CloudSyncCommand) -> Any:  # noqa: ANN401 - whatever it holds
        """Return the JSON in the answer's attachment."""
        return json.loads(bytes(self.ask(command).attachment))

    def do(self, command: c.CloudSyncCommand) -> Progress:
        """Start a job, show how it goes on, return its end.

        Raises:
            Refused: it failed, or is not waited for any more.
        """
        job = str(self.ask(command).details["job"])
        try:
            return self._follow(job)
        except KeyboardInterrupt:
            raise Refused(
                f"interrupted; the job goes on, and `nxai-cloud-sync cancel {job}` ends it"
            ) from None

    def _follow(self, job: str) -> Progress:
        heard_at = time.monotonic()
        gone_at: float | None = None
        while time.monotonic() - heard_at < SILENCE_S:
            if gone_at is not None and time.monotonic() - gone_at >= GONE_S:
                raise Refused("the service ended meanwhile, and the job with it")
            delivery = self._progress.receive(1.0)
            if delivery is None:
                continue
            step = delivery.message
            delivery.acknowledge()
            if isinstance(step, Status):
                gone_at = self._gone(step, gone_at)
            if not isinstance(step, Progress) or step.job != job:
                continue
            heard_at = time.monotonic()
            if step.state is JobState.FAILED:
                raise Refused(step.text)
            _note(_progress_line(step))
            if step.state is JobState.DONE:
                return step
        raise Refused(f"job {job} has said nothing for {SILENCE_S:.0f} s; it may still go on")

    def _gone(self, status: Status, before: float | None) -> float | None:
        """Return since when the service that was asked is gone; None: it is there.

        Raises:
            Refused: another process took its place.
        """
        if status.state in RUNS:
            if status.started_at != self._service.started_at:
                raise Refused("the service was started anew meanwhile; the job ended with it")
            return None
        return time.monotonic() if before is None else before

    def digest(self, beginning: str) -> str:
        """Return the digest of the one version that begins so.

        Raises:
            Refused: none does, or several do.
        """
        known = [version["digest"] for version in self.ask_json(c.ListModels())["versions"]]
        found = [digest for digest in known if digest.startswith(beginning.lower())]
        if len(found) == 1:
            return str(found[0])
        shown = ", ".join(digest[:SHORT] for digest in (found or known)) or "none"
        what = "fits several" if found else "fits none"
        raise Refused(f"version {beginning!r} {what} of the versions here: {shown}")


@contextlib.contextmanager
def _asking(settings: CloudSyncSettings) -> Iterator[Desk]:
    password = settings.broker_password
    bus = MqttBus(
        settings.device,
        settings.broker,
        client_id=f"nxai-{settings.device}-cloud-sync-ask-{uuid.uuid4().hex[:8]}",
        username=settings.broker_username,
        password=None if password is None else password.get_secret_value(),
    )
    with bus:
        if not bus.wait_connected(CONNECT_S):
            raise BrokerUnavailable(
                f"the broker at {settings.broker} does not answer, or refuses this account; check "
                "NXAI_BROKER, NXAI_BROKER_USERNAME and NXAI_BROKER_PASSWORD_FILE"
            )
        service = _await_service(bus, settings.instance)
        wanted: list[Subscription[Message]] = [
            Subscription(kind, {"service": settings.instance}) for kind in (Progress, Status)
        ]
        progress = bus.subscribe(*wanted, volatile=True)
        with contextlib.closing(progress):
            yield Desk(bus, settings, progress, service)


def _await_service(bus: Bus, instance: str) -> Status:
    """Return what the service says of itself once it runs: it may just be starting.

    Raises:
        BrokerUnavailable: it does not.
    """
    state = "never heard of"
    until = time.monotonic() + SERVICE_S
    with contextlib.closing(bus.subscribe(Subscription(Status, {"service": instance}))) as inbox:
        while time.monotonic() < until:
            delivery = inbox.receive(until - time.monotonic())
            if delivery is None or not isinstance(delivery.message, Status):
                continue
            delivery.acknowledge()
            if delivery.message.state in RUNS:
                return delivery.message
            state = delivery.message.state.value
    raise BrokerUnavailable(f"the service {instance!r} does not run here ({state}); start it")


# -- link -----------------------------------------------------------------------------------------


def _link(desk: Desk, options: argparse.Namespace) -> None:
    command = c.LinkProject(
        project=options.project,
        impulse=options.impulse,
        learn_block=options.learn_block,
        studio=options.studio,
        ingestion=options.ingestion,
    )
    key = _key(options.key_file)
    with _new_key(desk.settings, key) if key is not None else contextlib.nullcontext():
        ended = desk.do(command)
    if ended.details.get("note"):
        _note(str(ended.details["note"]))
    _show_link(desk.ask_json(c.ShowLink()))


@contextlib.contextmanager
def _new_key(settings: CloudSyncSettings, key: str) -> Iterator[None]:
    """Replace the key; with one that cannot be linked, the key from before comes back."""
    file = KeyFile(settings.key_path, read_only=settings.key_file is not None)
    before = None
    with contextlib.suppress(ConfigurationError):  # what is no key is no loss
        before = file.read()
    file.write(key)
    try:
        yield
    except NxaiError as error:
        if before is None or before == key:
            raise
        file.write(before)
        raise Refused(f"{error}; the key from before stays") from None


def _key(path: str | None) -> str | None:
    """Return the key that a person typed or piped in; never an argument, which `ps` shows."""
    if path == "-":
        return sys.stdin.readline().strip()
    if path is not None:
        try:
            # An editor may have put a byte order mark there.
            return Path(path).read_text(encoding="utf-8-sig").strip()
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path} holds no text, and so no API key") from None
    if not sys.stdin.isatty():
        return None
    try:
        typed = getpass.getpass("API key (Dashboard > Keys; empty: keep the one that is there): ")
    except EOFError:
        raise Refused("nothing was linked") from None
    return typed.strip() or None


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


def _unlink(desk: Desk, _options: argparse.Namespace) -> None:
    desk.ask(c.UnlinkProject())
    _print("unlinked; the key is deleted, models and pictures stay")


# -- models ---------------------------------------------------------------------------------------


def _pull(desk: Desk, options: argparse.Namespace) -> None:
    desk.do(c.PullModel(artefact="int8" if options.int8 else None, model=options.model))


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
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        raise ConfigurationError(f"{source} cannot be handed to the service: {error}") from None
    try:
        desk.do(command)
    except NxaiError:
        with contextlib.suppress(OSError):  # the service removes it, too
            target.unlink(missing_ok=True)
        raise


def _models(desk: Desk, options: argparse.Namespace) -> None:
    found = desk.ask_json(c.ListModels())
    if options.json:
        _print(json.dumps(found, indent=2))
        return
    if not found["versions"]:
        _print("no model was imported yet: nxai-cloud-sync pull, or import FILE")
    for version in found["versions"]:
        _show_version(version, found["deployments"])
    for entry in found["deployments"]:
        _show_deployment(entry)


def _show_version(version: Mapping[str, Any], deployments: Sequence[Mapping[str, Any]]) -> None:
    where = ""
    for entry in deployments:
        if entry["model"] != version["model"]:
            continue
        if entry["installed"]["digest"] == version["digest"]:
            where = f"  {entry['phase']} on {', '.join(entry['cameras'])}"
        elif (entry["candidate"] or {}).get("digest") == version["digest"]:
            where = f"  tried, {entry['progress']:.0%}"
    speed = "" if version["engine_ms"] is None else f"{version['engine_ms']:.2f} ms"
    _print(
        f"{version['digest'][:SHORT]}  {version['model']:<24} {version['version']:<20} "
        f"{version['state']:<8} {version['width']}x{version['height']} {speed:>9}{where}"
    )
    if version["reason"]:
        _print(f"              {version['reason']}")


def _show_deployment(entry: Mapping[str, Any]) -> None:
    if entry["reason"]:
        _print(f"{entry['model']}: {entry['reason']}")
    if entry["offered"]:
        _print(f"{entry['model']}: the project has a newer version: {entry['offered']}")
    if entry["report"] is not None:
        _print(f"{entry['model']}: {_report_line(entry)}")


def _report_line(entry: Mapping[str, Any]) -> str:
    report = entry["report"]
    frames = report["frames"]
    if not frames:
        return "the trial has seen no frame yet"
    changed = ", ".join(
        f"{item['label']} {item['before']} -> {item['after']}" for item in report["labels"]
    )
    speed = f"{report['engine_ms_before']} -> {report['engine_ms_after']} ms"
    if (entry["candidate"] or {}).get("digest") == entry["installed"]["digest"]:
        outcome = "it was put in force"
    else:
        outcome = "it can be promoted" if entry["promotable"] else "not promoted by itself"
    return (
        f"the same in {report['agreeing'] / frames:.0%} of {frames} frames; {changed or 'nothing'};"
        f" confidence {report['confidence_shift']:+.3f}; {speed}; {outcome}"
    )


def _rename(desk: Desk, options: argparse.Namespace) -> None:
    if options.title is None and options.documentation is None:
        raise ConfigurationError("say what changes: --title, --documentation, or both")
    digest = desk.digest(options.version)
    desk.ask(c.EditModel(digest=digest, title=options.title, documentation=options.documentation))


def _delete(desk: Desk, options: argparse.Namespace) -> None:
    desk.ask(c.DeleteModel(digest=desk.digest(options.version)))


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
    _print(reply.reason)


def _on_model(command: Callable[..., c.CloudSyncCommand]) -> Callable[..., None]:
    def run(desk: Desk, options: argparse.Namespace) -> None:
        fields: dict[str, Any] = {"model": options.model}
        if "camera" in options:
            fields["cameras"] = tuple(options.camera) or None
        _print(desk.ask(command(**fields)).reason)

    return run


# -- samples --------------------------------------------------------------------------------------


def _samples(desk: Desk, options: argparse.Namespace) -> None:
    found = desk.ask_json(
        c.ListSamples(
            state=options.state,
            camera=options.camera,
            label=options.label,
            strategy=options.strategy,
            limit=options.limit,
            offset=options.offset,
            by_value=options.by_value,
        )
    )
    if options.json:
        _print(json.dumps(found, indent=2))
        return
    for sample in found["samples"]:
        labels = ",".join(sorted({box["label"] for box in sample["predictions"]})) or "-"
        remote = f"  #{sample['remote_id']}" if sample["remote_id"] is not None else ""
        reason = sample["state_reason"] or sample["reason"]
        _print(
            f"{sample['id']}  {sample['state']:<9} {sample['value']:.2f} {labels:<20} "
            f"{reason}{remote}"
        )
    _print(f"{len(found['samples'])} of {found['total']}")


def _review(decision: str) -> Callable[..., None]:
    def run(desk: Desk, options: argparse.Namespace) -> None:
        everything = getattr(options, "all", False)
        if not options.sample and not everything:
            raise ConfigurationError("say which pictures" + (", or --all" * ("all" in options)))
        names: list[str] = [*options.sample, *(_looked_at_by_nobody(desk) if everything else ())]
        names = list(dict.fromkeys(names))  # a new one moves the pages of the list
        changed = 0
        for begin in range(0, len(names), c.MAX_IDS):
            reply = desk.ask(
                c.ReviewSamples.model_validate(
                    {
                        "samples": names[begin : begin + c.MAX_IDS],
                        "decision": decision,
                        "confirm_predictions": getattr(options, "confirm", False),
                    }
                )
            )
            changed += int(reply.details["changed"] or 0)
            if reply.reason:
                _note(reply.reason)
        _print(f"{changed} pictures")

    return run


def _looked_at_by_nobody(desk: Desk) -> Iterator[str]:
    offset = 0
    while page := desk.ask_json(c.ListSamples(state="new", limit=c.MAX_PAGE, offset=offset))[
        "samples"
    ]:
        offset += len(page)
        yield from (sample["id"] for sample in page)


def _picture(desk: Desk, options: argparse.Namespace) -> None:
    data = bytes(desk.ask(c.ShowSample(sample=options.sample)).attachment)
    try:
        options.to.write_bytes(data)
    except OSError as error:
        raise ConfigurationError(f"{options.to} cannot be written: {error.strerror}") from None
    _print(f"{options.to}: {len(data)} bytes")


def _upload(desk: Desk, options: argparse.Namespace) -> None:
    desk.do(c.UploadSamples(samples=tuple(options.sample), include_new=options.new))


# -- training -------------------------------------------------------------------------------------


def _retrain(desk: Desk, options: argparse.Namespace) -> None:
    if not options.yes:
        _print(desk.ask(c.RetrainModel(confirm=False)).reason)
        if not sys.stdin.isatty():
            raise Refused("nothing was started; say --yes")
        if _typed("Start? [y/N] ") not in ("y", "yes"):
            raise Refused("nothing was started")
    desk.do(c.RetrainModel(confirm=True))


def _typed(question: str) -> str:
    try:
        return input(question).strip().lower()
    except EOFError:
        return ""


def _check(desk: Desk, _options: argparse.Namespace) -> None:
    desk.do(c.CheckUpdates())


def _cancel(desk: Desk, options: argparse.Namespace) -> None:
    _print(desk.ask(c.CancelJob(job=options.job)).reason or "cancelled")


# -- words ----------------------------------------------------------------------------------------


def _parser(texts: Mapping[str, str]) -> Parser:
    parser = Parser(
        prog="nxai-cloud-sync",
        description="Ask the running service. Without a command the service itself starts.",
        allow_abbrev=False,
    )
    words = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[..., None]) -> Parser:
        command = words.add_parser(
            name, help=texts[name], description=texts[name], allow_abbrev=False
        )
        command.set_defaults(run=run)
        return command

    _link_words(add("link", _link))
    _json_word(add("show", _status))
    add("unlink", _unlink)
    pull = add("pull", _pull)
    pull.add_argument("--int8", action="store_true", help="the quantised model")
    pull.add_argument("--model", metavar="ID", help="name in topics (default: as before)")
    _import_words(add("import", _import))
    _json_word(add("models", _models))
    rename = add("rename", _rename)
    rename.add_argument("version", help="digest, or its beginning")
    rename.add_argument("--title", help="name for people")
    rename.add_argument("--documentation", metavar="TEXT")
    add("delete", _delete).add_argument("version", help="digest, or its beginning")
    _deploy_words(add("deploy", _deploy))
    undeploy = add("undeploy", _on_model(c.UndeployModel))
    undeploy.add_argument("model")
    undeploy.add_argument("--camera", action="append", default=[], metavar="ID")
    for name, kind in (
        ("promote", c.PromoteModel),
        ("end-shadow", c.EndShadow),
        ("roll-back", c.RollBackModel),
    ):
        add(name, _on_model(kind)).add_argument("model")
    _samples_words(add("samples", _samples))
    for name, decision in (("approve", "approved"), ("discard", "discarded"), ("reopen", "new")):
        review = add(name, _review(decision))
        review.add_argument("sample", nargs="*")
        if decision != "new":
            review.add_argument("--all", action="store_true", help="all that nobody looked at yet")
        if name == "approve":
            review.add_argument(
                "--confirm", action="store_true", help="the boxes found are right: send as labels"
            )
    picture = add("picture", _picture)
    picture.add_argument("sample")
    picture.add_argument("to", type=Path, metavar="FILE.jpg")
    upload = add("upload", _upload)
    upload.add_argument("sample", nargs="*", help="default: all that were approved")
    upload.add_argument("--new", action="store_true", help="also what nobody looked at")
    add("retrain", _retrain).add_argument("--yes", action="store_true", help="do not ask")
    add("check", _check)
    add("cancel", _cancel).add_argument("job")
    return parser


def _link_words(link: Parser) -> None:
    link.add_argument(
        "--key-file", metavar="FILE", help="read the API key from it (-: from standard input)"
    )
    link.add_argument("--project", type=int, metavar="ID", help="default: the key's own")
    link.add_argument("--impulse", type=int, metavar="ID", help="default: the default impulse")
    link.add_argument(
        "--learn-block", type=int, metavar="ID", help="default: the first that detects objects"
    )
    link.add_argument("--studio", default="", metavar="URL", help="of the Studio API")
    link.add_argument("--ingestion", default="", metavar="URL", help="of the ingestion API")


def _import_words(command: Parser) -> None:
    command.add_argument("file", type=Path, help=".tflite, .onnx, or an archive of Edge Impulse")
    command.add_argument("--model", metavar="ID", help="name in topics")
    command.add_argument("--title", default="", help="name for people")
    command.add_argument("--labels", metavar="A,B", help="in tensor order")
    command.add_argument("--task", choices=[task.value for task in Task])
    command.add_argument("--resize-mode", choices=[mode.value for mode in ResizeMode])
    command.add_argument("--input-scaling", choices=[scaling.value for scaling in InputScaling])
    command.add_argument("--threshold", type=float, help="lowest confidence, 0..1")


def _deploy_words(command: Parser) -> None:
    command.add_argument("model")
    command.add_argument("--camera", action="append", default=[], metavar="ID")
    command.add_argument("--version", metavar="DIGEST", help="default: the newest that works")
    command.add_argument("--threshold", type=float, help="lowest confidence, 0..1")
    command.add_argument(
        "--at-once", action="store_true", help="without a trial beside the version in force"
    )


def _samples_words(command: Parser) -> None:
    for name in ("state", "camera", "label", "strategy"):
        command.add_argument(f"--{name}", default="")
    command.add_argument("--limit", type=int, default=50)
    command.add_argument("--offset", type=int, default=0)
    command.add_argument("--by-value", action="store_true", help="the most valuable first")
    _json_word(command)


def _json_word(command: Parser) -> None:
    command.add_argument("--json", action="store_true", help="as JSON")


def _progress_line(step: Progress) -> str:
    if step.state is JobState.DONE:
        return step.text or "done"
    share = f" ({step.done}/{step.total})" if step.total else ""
    return f"{step.text}{share}"


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")
