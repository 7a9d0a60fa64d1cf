"""The command line: look at pictures and models without a camera or a broker.

Exit codes: 0 done; 1 some pictures could not be read (the others were); 2 nothing can be done,
with one line that says why.
"""

import argparse
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import (
    InputScaling,
    ModelManifest,
    PackageManifest,
    ResizeMode,
    Task,
    TensorInfo,
)
from nxai_common.contracts.topics import check_level
from nxai_common.errors import ConfigurationError, NxaiError, RejectedError
from nxai_inference.adapters.engines import EngineOptions
from nxai_inference.adapters.model_folder import OpenedModel, model_id, open_model
from nxai_inference.adapters.model_package import (
    read_model_file,
    read_package,
    replace_file,
    write_package,
)
from nxai_inference.adapters.onnx_engine import execution_providers
from nxai_inference.adapters.picture_file import (
    Mark,
    draw,
    fit_picture,
    read_picture,
    save_picture,
)
from nxai_inference.core.conversion import convert
from nxai_inference.core.decoding import Decoder, decoder_for
from nxai_inference.core.geometry import to_original

_DONE: Final = 0
_SOME_FAILED: Final = 1
_REFUSED: Final = 2


def main(argv: Sequence[str], commands: Mapping[str, str]) -> int:
    """Run one command.

    Args:
        argv: Without the program's name; the first word is one of `commands`.
        commands: One line of help for each command.

    Returns:
        The exit code.
    """
    arguments = _parser(commands).parse_args(argv)
    with _quiet_libraries() as complaints:
        try:
            code: int = arguments.run(arguments, complaints)
        except NxaiError as error:
            print(f"nxai-inference: {_one_line(str(error))}", file=complaints)
            return _REFUSED
        except BrokenPipeError:  # `nxai-inference detect ... | head`
            return _DONE
    return code


def _parser(texts: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nxai-inference",
        description="Run Edge Impulse models on pictures, look into them, convert and pack them. "
        "Without a command the service itself starts.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=texts[name], description=texts[name])

    detect = add("detect")
    detect.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    _add_model_options(detect)
    detect.add_argument("--json", action="store_true", help="one JSON line for each picture")
    detect.add_argument("--save", type=Path, metavar="DIR", help="save the pictures, drawn on")
    detect.set_defaults(run=_detect)

    inspect = add("inspect")
    _add_model_options(inspect)
    inspect.add_argument("--json", action="store_true", help="one JSON object")
    inspect.set_defaults(run=_inspect)

    conversion = add("convert")
    conversion.add_argument("source", type=Path, metavar="FILE.tflite")
    conversion.add_argument("target", type=Path, metavar="FILE.onnx")
    conversion.set_defaults(run=_convert)

    package = add("package")
    package.add_argument("model", type=Path, metavar="FILE")
    package.add_argument("--id", required=True, help="name of the model: a-z, 0-9, '_' and '-'")
    package.add_argument("--to", required=True, type=Path, metavar="DIR", help="models folder")
    package.add_argument("--name", default="", help="name for a person")
    package.add_argument("--version", default="", help="version for a person")
    package.add_argument("--source", default="", help="where the model comes from")
    _add_facts(package)
    package.set_defaults(run=_package)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, type=Path, metavar="FILE", help=".tflite, .onnx or a package"
    )
    _add_facts(parser)
    parser.add_argument(
        "--engine",
        choices=("auto", "onnx", "litert"),
        default="auto",
        help="what runs the model (default auto: the fastest here)",
    )
    parser.add_argument(
        "--provider",
        action="append",
        default=[],
        metavar="NAME",
        help="hardware for ONNX Runtime: cpu, cuda, tensorrt, openvino; may be given again",
    )


def _add_facts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--labels", type=_labels, metavar="A,B", help="in tensor order")
    parser.add_argument("--threshold", type=_fraction, help="lowest confidence, 0..1")
    # Choices are texts, and not members, so that a refusal lists what one can type.
    parser.add_argument(
        "--resize-mode",
        choices=[mode.value for mode in ResizeMode],
        help="how a picture is fitted to the model's input, as it was trained: both sides scaled, "
        "the middle cut out, or black bars added",
    )
    parser.add_argument(
        "--input-scaling",
        choices=[scaling.value for scaling in InputScaling],
        help="what the model expects of a pixel; with = before a minus: --input-scaling=-1..1",
    )
    parser.add_argument(
        "--task",
        choices=[task.value for task in Task],
        help="what the model is; needed only where its outputs do not tell (yolov5v5-drpai)",
    )


def _labels(text: str) -> tuple[str, ...]:
    return tuple(label.strip() for label in text.split(","))


def _fraction(text: str) -> float:
    with contextlib.suppress(ValueError):
        value = float(text)
        if 0 <= value <= 1:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[TextIO]:
    """Keep native libraries from writing to stderr; yields a stream that still gets there.

    LiteRT announces its XNNPACK delegate there for every model, and offers no switch.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    try:
        with os.fdopen(os.dup(kept), "w", buffering=1) as stream:
            yield stream
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).strip()


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command line's voice


def _desired(arguments: argparse.Namespace) -> DesiredModel:
    return DesiredModel(
        id=model_id(arguments.model),
        path=str(arguments.model),
        labels=arguments.labels,
        task=arguments.task,
        resize_mode=arguments.resize_mode,
        input_scaling=arguments.input_scaling,
        threshold=arguments.threshold,
        engine=arguments.engine,
    )


def _open(arguments: argparse.Namespace, *, number_labels: bool) -> OpenedModel:
    options = EngineOptions(providers=execution_providers(arguments.provider))
    return open_model(Path(), _desired(arguments), options, number_labels=number_labels)


# --- detect ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a model found in one picture."""

    detections: list[dict[str, Any]]
    classifications: list[dict[str, Any]]
    marks: list[Mark]
    milliseconds: float


def _detect(arguments: argparse.Namespace, complaints: TextIO) -> int:
    if arguments.save is not None and arguments.save.exists() and not arguments.save.is_dir():
        raise ConfigurationError(
            f"{arguments.save}: this is a file; --save needs a folder for the drawn pictures"
        )
    opened = _open(arguments, number_labels=False)
    code = _DONE
    with opened.loaded.engine:
        manifest = opened.loaded.manifest
        for warning in opened.loaded.warnings:
            print(f"nxai-inference: warning: {_one_line(warning)}", file=complaints)
        decoder = decoder_for(manifest, opened.loaded.engine.outputs)
        for path in arguments.pictures:
            try:
                _detect_one(arguments, opened, decoder, path)
            except RejectedError as error:
                print(f"nxai-inference: {_one_line(str(error))}", file=complaints)
                code = _SOME_FAILED
    return code


def _detect_one(
    arguments: argparse.Namespace, opened: OpenedModel, decoder: Decoder, path: Path
) -> None:
    manifest = opened.loaded.manifest
    picture = read_picture(path)
    pixels, transform = fit_picture(
        picture, (manifest.width, manifest.height), manifest.channels, manifest.resize_mode
    )
    began = time.perf_counter()
    decoded = decoder.decode(opened.loaded.engine.run(pixels), manifest.threshold)
    milliseconds = (time.perf_counter() - began) * 1000
    names = [manifest.labels[index] for index in decoded.labels.tolist()]
    scores = decoded.scores.tolist()
    seen = _Seen([], [], [], milliseconds)
    if decoded.boxes is None:
        seen.classifications.extend(
            {"label": name, "confidence": score} for name, score in zip(names, scores, strict=True)
        )
    else:
        for index, name, score, box in zip(
            decoded.labels.tolist(), names, scores, decoded.boxes.tolist(), strict=True
        ):
            x, y, width, height = (round(n, 3) for n in to_original(box, transform, *picture.size))
            seen.detections.append(
                {
                    "label": name,
                    "confidence": score,
                    "x": x,
                    "y": y,
                    "width": width,
                    "height": height,
                }
            )
            is_centroid = manifest.task is Task.FOMO
            seen.marks.append(Mark(name, index, x, y, width, height, is_centroid))
    _say(_as_json(arguments, path, seen) if arguments.json else _as_table(path, picture.size, seen))
    if arguments.save is not None:
        save_picture(draw(picture, seen.marks), path, arguments.save)


def _as_json(arguments: argparse.Namespace, path: Path, seen: _Seen) -> str:
    line: dict[str, Any] = {
        "image": str(path),
        "model": str(arguments.model),
        "detections": seen.detections,
        "timing_ms": round(seen.milliseconds, 3),
    }
    if seen.classifications:
        line["classifications"] = seen.classifications
    return json.dumps(line, ensure_ascii=False)


def _as_table(path: Path, size: tuple[int, int], seen: _Seen) -> str:
    what = f"{len(seen.detections)} detection{'s'[: len(seen.detections) != 1]}"
    if seen.classifications:
        what = f"most likely {max(seen.classifications, key=_confidence)['label']}"
    lines = [f"{path}  {size[0]}x{size[1]}  {what}  {seen.milliseconds:.2f} ms"]
    rows = [*seen.detections, *sorted(seen.classifications, key=_confidence, reverse=True)]
    if rows:
        columns = list(rows[0])
        cells = [[_cell(row[column], column) for column in columns] for row in rows]
        lines += _aligned([columns, *cells])
    return "\n".join(lines)


def _confidence(row: dict[str, Any]) -> float:
    return float(row["confidence"])


def _cell(value: str | float, column: str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.3f}" if column == "confidence" else f"{value:.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: the first column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


# --- inspect --------------------------------------------------------------------------------


def _inspect(arguments: argparse.Namespace, complaints: TextIO) -> int:
    del complaints  # all that is wrong with a model is part of the answer or a refusal
    opened = _open(arguments, number_labels=True)
    with opened.loaded.engine:
        manifest = opened.loaded.manifest
        described = _described(arguments, opened, manifest)
    _say(json.dumps(described, ensure_ascii=False) if arguments.json else _as_text(described))
    return _DONE


def _described(
    arguments: argparse.Namespace, opened: OpenedModel, manifest: ModelManifest
) -> dict[str, Any]:
    file = read_package(arguments.model).file
    has_labels = opened.labels_are_named or opened.label_count is not None
    return {
        "file": file.name,
        "format": file.format,
        "bytes": len(file.content),
        "sha256": manifest.digest,
        "task": manifest.task.value,
        "labels": list(manifest.labels) if has_labels else [],
        "labels_are_named": opened.labels_are_named,
        "input": f"{manifest.width}x{manifest.height}x{manifest.channels}",
        "input_scaling": manifest.input_scaling.value,
        "resize_mode": manifest.resize_mode.value,
        "threshold": manifest.threshold,
        "assumed": list(opened.assumed),
        "inputs": [tensor.model_dump() for tensor in manifest.inputs],
        "outputs": [tensor.model_dump() for tensor in manifest.outputs],
        "self_test": "passed",
        "engine": manifest.engine,
        "engines": [
            {"engine": trial.engine, "ms": _rounded(trial.milliseconds), "reason": trial.reason}
            for trial in opened.loaded.trials
        ],
        "warnings": list(opened.loaded.warnings),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _as_text(described: dict[str, Any]) -> str:
    labels = ", ".join(described["labels"])
    if not labels:
        labels = "unknown  (the file does not say how many; give --labels)"
    elif not described["labels_are_named"]:
        labels += "  (numbered: the file has no names; give --labels)"
    rows = [
        ["file", f"{described['file']}  ({described['format']}, {described['bytes']} bytes)"],
        ["sha256", described["sha256"]],
        ["task", described["task"]],
        ["labels", labels],
        ["input", described["input"]],
        *(
            [setting.replace("_", " "), _or_assumed(described, setting, option)]
            for setting, option in (
                ("input_scaling", "--input-scaling"),
                ("resize_mode", "--resize-mode"),
                ("threshold", "--threshold"),
            )
        ),
        *(["input tensor", _tensor(TensorInfo(**n))] for n in described["inputs"]),
        *(["output tensor", _tensor(TensorInfo(**n))] for n in described["outputs"]),
        ["self-test", described["self_test"]],
    ]
    for trial in described["engines"]:
        used = "  (used)" if trial["engine"] == described["engine"] else ""
        shown = f"{trial['engine']}: {trial['ms']:g} ms{used}" if trial["ms"] is not None else ""
        rows.append(["engine", shown or f"{trial['engine']}: {trial['reason']}"])
    rows += [["warning", warning] for warning in described["warnings"]]
    return "\n".join(f"{name + ':':<15}{_one_line(value)}" for name, value in rows)


def _or_assumed(described: dict[str, Any], setting: str, option: str) -> str:
    value = described[setting]
    shown = f"{value:g}" if isinstance(value, float) else value
    if setting in described["assumed"]:
        shown += f"  (assumed: the file does not say; set {setting}, here {option})"
    return shown


def _tensor(tensor: TensorInfo) -> str:
    text = f"{tensor.name}  {tensor.dtype} {list(tensor.shape)}"
    if tensor.scale:
        text += f"  scale {tensor.scale:g}, zero point {tensor.zero_point}"
    return text


# --- convert, package -------------------------------------------------------------------------


def _convert(arguments: argparse.Namespace, complaints: TextIO) -> int:
    del complaints
    _check_target(arguments.source, arguments.target)
    file = read_model_file(arguments.source)
    if file.format != "tflite":
        raise ConfigurationError(f"{file.name}: only .tflite files can be converted")
    try:
        converted = convert(file.content)
    except RejectedError as error:
        raise RejectedError(f"{file.name}: {error}") from error
    try:
        replace_file(arguments.target, converted)
    except OSError as error:
        raise ConfigurationError(
            f"{arguments.target}: cannot be written: {error.strerror or error}"
        ) from error
    _say(f"{arguments.target}: {len(converted)} bytes of ONNX")
    return _DONE


def _check_target(source: Path, target: Path) -> None:
    """Refuse to write over the model, or under a name by which no model is found."""
    if target.suffix.lower() != ".onnx":
        raise ConfigurationError(
            f"{target}: the converted model is an ONNX file; give it a name that ends in .onnx, "
            f"such as {source.stem}.onnx"
        )
    is_same = False
    with contextlib.suppress(OSError):  # mostly: there is no such target yet
        is_same = source.samefile(target)  # a link, too, leads to the only copy of the model
    if is_same:
        raise ConfigurationError(
            f"{target}: this is the model itself ({source}); give another name for the ONNX file"
        )


def _package(arguments: argparse.Namespace, complaints: TextIO) -> int:
    del complaints
    try:
        check_level(arguments.id, "model id")
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    source = read_package(arguments.model)
    desired = DesiredModel(
        id=arguments.id,
        path=str(arguments.model),
        labels=arguments.labels,
        task=arguments.task,
        resize_mode=arguments.resize_mode,
        input_scaling=arguments.input_scaling,
        threshold=arguments.threshold,
    )
    opened = open_model(Path(), desired, EngineOptions())  # refuses what would not run later
    with opened.loaded.engine:
        manifest = opened.loaded.manifest
    path = write_package(
        arguments.to / arguments.id,
        source.file,
        PackageManifest(
            file="",
            name=arguments.name or source.manifest.name,
            labels=manifest.labels,
            task=manifest.task,
            resize_mode=manifest.resize_mode,
            input_scaling=manifest.input_scaling,
            threshold=manifest.threshold,
            nms_iou=manifest.nms_iou,
            version=arguments.version or source.manifest.version,
            source=arguments.source or source.manifest.source or arguments.model.name,
        ),
    )
    _say(f"{path}: {manifest.task.value}, {len(manifest.labels)} labels, {manifest.digest[:12]}")
    return _DONE
