"""The words of the command line: what may be typed, and what is said of a slip of the pen."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from nxai_cloud_sync.core.sample import SampleState
from nxai_common.contracts.collecting import CollectStrategy
from nxai_common.contracts.commands import MAX_PAGE
from nxai_common.contracts.models import InputScaling, ResizeMode, Task
from nxai_common.contracts.topics import check_level

Parser = argparse.ArgumentParser
Run = Callable[..., None]

STATES: Final = tuple(state.value for state in SampleState)
STRATEGIES: Final = tuple(
    str(kind.model_fields["strategy"].default) for kind in get_args(get_args(CollectStrategy)[0])
)
STDOUT: Final = Path("-")
_JPEG: Final = (".jpg", ".jpeg")
_ID_LETTERS: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyz-")
_ID_LENGTH: Final = 64
_NAME: Final = "a name in topics: lower-case letters, digits, - and _, e.g. front-door"


def parse(argv: list[str], texts: Mapping[str, str], runs: Mapping[str, Run]) -> argparse.Namespace:
    """Return what was typed; ends the process at a slip of the pen, with the usage of the command.

    Args:
        argv: Without the program's name.
        texts: One line of help for each command.
        runs: What each command does; comes back as `run`.
    """
    options, rest = _parser(texts, runs).parse_known_args(argv)
    if rest:
        command: Parser = options.parser
        hint = ""
        if "camera" in options and isinstance(options.camera, list) and rest[0][:1] != "-":
            hint = f"; a camera is named with --camera {rest[0]}"
        command.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    return options


# -- what one word may be -------------------------------------------------------------------------


def name(text: str) -> str:
    """Return a name that may stand in a topic."""
    try:
        return check_level(text, "name")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{_NAME}; not {text!r}") from None


def camera(text: str) -> str:
    """Return the id of one camera."""
    if "," in text:
        each = " ".join(f"--camera {part.strip()}" for part in text.split(",") if part.strip())
        raise argparse.ArgumentTypeError(f"name one camera each time: {each}; not {text!r}")
    return name(text)


def fraction(text: str) -> float:
    """Return a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value <= 1:
        return value
    raise argparse.ArgumentTypeError(f"must be from 0 to 1, not {text}")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what reads a whole number within bounds."""
    bounds = f"{least} or more" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"must be a whole number, {bounds}; not {text}")
        return value

    return read


def sample(text: str) -> str:
    """Return the id of a picture."""
    if 0 < len(text) <= _ID_LENGTH and _ID_LETTERS.issuperset(text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is no id of a picture; `nxai-cloud-sync samples` lists them"
    )


def jpeg(text: str) -> Path:
    """Return where a picture shall be written."""
    path = Path(text)
    if path != STDOUT and path.suffix.lower() not in _JPEG:
        raise argparse.ArgumentTypeError(
            f"a picture is written as JPEG: name the file .jpg, or - for standard output; not "
            f"{text!r}"
        )
    return path


# -- the commands ---------------------------------------------------------------------------------


def _parser(texts: Mapping[str, str], runs: Mapping[str, Run]) -> Parser:
    parser = Parser(
        prog="nxai-cloud-sync",
        description="Ask the running service. Without a command the service itself starts.",
        allow_abbrev=False,
    )
    words = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command: str) -> Parser:
        made = words.add_parser(
            command, help=texts[command], description=texts[command], allow_abbrev=False
        )
        made.set_defaults(run=runs[command], parser=made)
        return made

    _link_words(add("link"))
    _json_word(add("show"))
    add("unlink").add_argument("--yes", action="store_true", help="do not ask")
    pull = add("pull")
    pull.add_argument("--int8", action="store_true", help="the quantised model")
    pull.add_argument(
        "--model", type=name, metavar="ID", help="name in topics (default: as before)"
    )
    _import_words(add("import"))
    _json_word(add("models"))
    rename = add("rename")
    rename.add_argument("version", help="digest, or its beginning")
    rename.add_argument("--title", help="name for people")
    rename.add_argument("--documentation", metavar="TEXT")
    add("delete").add_argument("version", help="digest, or its beginning")
    _deploy_words(add("deploy"))
    undeploy = add("undeploy")
    undeploy.add_argument("model", type=name)
    _camera_word(undeploy, "take it from this one alone; may be given again")
    for command in ("promote", "end-shadow", "roll-back"):
        add(command).add_argument("model", type=name)
    _samples_words(add("samples"))
    _review_words(add)
    picture = add("picture")
    picture.add_argument("sample", type=sample)
    picture.add_argument("to", type=jpeg, metavar="FILE.jpg", help="-: to standard output")
    picture.add_argument(
        "--plain", action="store_true", help="as it is kept, without the boxes drawn on it"
    )
    upload = add("upload")
    upload.add_argument("sample", nargs="*", type=sample, help="default: all that were approved")
    upload.add_argument("--new", action="store_true", help="also what nobody looked at")
    add("retrain").add_argument("--yes", action="store_true", help="do not ask")
    add("check")
    add("cancel").add_argument("job")
    return parser


def _link_words(link: Parser) -> None:
    link.add_argument(
        "--key-file", metavar="FILE", help="read the API key from it (-: from standard input)"
    )
    link.add_argument("--project", type=whole(1), metavar="ID", help="default: the key's own")
    link.add_argument("--impulse", type=int, metavar="ID", help="default: the default impulse")
    link.add_argument(
        "--learn-block", type=int, metavar="ID", help="default: the first that detects objects"
    )
    link.add_argument("--studio", default="", metavar="URL", help="of the Studio API")
    link.add_argument("--ingestion", default="", metavar="URL", help="of the ingestion API")


def _import_words(command: Parser) -> None:
    command.add_argument("file", type=Path, help=".tflite, .onnx, or an archive of Edge Impulse")
    command.add_argument("--model", type=name, metavar="ID", help="name in topics")
    command.add_argument("--title", default="", help="name for people")
    command.add_argument("--labels", metavar="A,B", help="in tensor order")
    command.add_argument("--task", choices=[task.value for task in Task])
    command.add_argument("--resize-mode", choices=[mode.value for mode in ResizeMode])
    command.add_argument("--input-scaling", choices=[scaling.value for scaling in InputScaling])
    command.add_argument("--threshold", type=fraction, help="lowest confidence, 0..1")


def _deploy_words(command: Parser) -> None:
    command.add_argument("model", type=name)
    _camera_word(command, "let it run on this one; may be given again")
    command.add_argument("--version", metavar="DIGEST", help="default: the newest that works")
    command.add_argument("--threshold", type=fraction, help="lowest confidence, 0..1")
    command.add_argument(
        "--at-once", action="store_true", help="without a trial beside the version in force"
    )


def _samples_words(command: Parser) -> None:
    for word, known in (("state", STATES), ("strategy", STRATEGIES)):
        command.add_argument(
            f"--{word}", choices=known, default="", metavar=word.upper(), help=", ".join(known)
        )
    command.add_argument("--camera", type=name, metavar="ID")
    command.add_argument("--label", default="", help="found by the model, or confirmed")
    command.add_argument(
        "--limit", type=whole(1, MAX_PAGE), default=50, help=f"default 50, at most {MAX_PAGE}"
    )
    command.add_argument("--offset", type=whole(0), default=0, help="leave out so many")
    command.add_argument("--by-value", action="store_true", help="the most valuable first")
    _json_word(command)


def _review_words(add: Callable[[str], Parser]) -> None:
    for command in ("approve", "discard", "reopen"):
        review = add(command)
        review.add_argument("sample", nargs="*", type=sample)
        if command != "reopen":
            review.add_argument("--all", action="store_true", help="all that nobody looked at yet")
        if command == "approve":
            review.add_argument(
                "--confirm", action="store_true", help="the boxes found are right: send as labels"
            )


def _camera_word(command: Parser, text: str) -> None:
    argument: dict[str, Any] = {"action": "append", "default": [], "metavar": "ID"}
    command.add_argument("--camera", type=camera, help=text, **argument)


def _json_word(command: Parser) -> None:
    command.add_argument("--json", action="store_true", help="as JSON")
