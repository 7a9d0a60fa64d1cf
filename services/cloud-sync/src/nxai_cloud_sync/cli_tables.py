"""What the command line shows of models and pictures, as lines of text."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nxai_common.contracts.commands import MAX_PAGE

SHORT: Final = 12
"""Digits of a digest that a person sees; any beginning that fits one version will do."""
SOON: Final = timedelta(seconds=5)
"""Within so long the manager and inference have taken up what is deployed: they need not be
asked before."""
_NOT_TOLD: Final = "inference was not told of it yet"
"""How the reason begins that is alarming only when it lasts."""
_MODEL_COLUMNS: Final = ("digest", "model", "version", "state", "input", "speed", "use")
_SAMPLE_COLUMNS: Final = ("id", "when (UTC)", "camera", "state", "value 0..1", "labels", "why")
_PHASES: Final = {
    "starting": "starting on {}",
    "probation": "in force on {}, watched",
    "failed": "failed on {}",
}

Entry = Mapping[str, Any]


def counted(number: int, what: str) -> str:
    """Return a number and its noun: `1 picture`, `2 pictures`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def counted_labels(labels: Iterable[str]) -> str:
    """Return how often each label is there: `bolt, 2 x nut`."""
    counts = sorted(Counter(labels).items())
    return ", ".join(label if count == 1 else f"{count} x {label}" for label, count in counts)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()
) -> list[str]:
    """Return a header and rows as lines, without blanks at their ends.

    Args:
        columns: Their names.
        rows: As many cells each.
        right: Numbers of the columns that end at the same place.
    """
    to_the_right = frozenset(right)
    lines = [columns, *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column in to_the_right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


# -- models ---------------------------------------------------------------------------------------


def models_lines(
    versions: Sequence[Entry], deployments: Sequence[Entry], now: datetime
) -> list[str]:
    """Return the table of all versions, and below it what there is to say of deployed models."""
    lines: list[str] = []
    if versions:
        rows = [_version_row(version, deployments) for version in versions]
        header, *shown = table(_MODEL_COLUMNS, rows, right=(5,))
        lines.append(header)
        for version, line in zip(versions, shown, strict=True):
            lines.append(line)
            if version["reason"]:
                lines.append(f"  {version['reason']}")
    for entry in deployments:
        lines += [f"{entry['model']}: {text}" for text in _told_of(entry, now)]
    return lines


def _version_row(version: Entry, deployments: Iterable[Entry]) -> tuple[str, ...]:
    digest, text = version["digest"], version["version"]
    size = f"{version['width']}x{version['height']}" if version["width"] else ""
    return (
        digest[:SHORT],
        version["model"] or "-",
        # Who named none sees the digest once.
        text if text and not digest.startswith(text) else "-",
        version["state"],
        size,
        "" if version["engine_ms"] is None else f"{version['engine_ms']:.2f} ms",
        _use_of(version, deployments),
    )


def _use_of(version: Entry, deployments: Iterable[Entry]) -> str:
    for entry in deployments:
        if entry["model"] != version["model"]:
            continue
        candidate = (entry["candidate"] or {}).get("digest", "")
        on_trial = entry["phase"] == "shadow"
        if entry["installed"]["digest"] == version["digest"]:
            where = ", ".join(entry["cameras"])
            used = _PHASES.get(entry["phase"], "in force on {}").format(where)
            return f"{used}, shadowed by {candidate[:SHORT]}" if on_trial else used
        if candidate == version["digest"]:
            return f"on trial, {entry['progress']:.0%}" if on_trial else "its trial is over"
    return ""


def _told_of(entry: Entry, now: datetime) -> list[str]:
    said = []
    if entry["reason"]:
        said.append(_reason_of(entry, now))
    if entry["offered"]:
        said.append(f"the project has a newer version: {entry['offered']}")
    if entry["report"] is not None:
        said.append(_report_line(entry))
    return said


def _reason_of(entry: Entry, now: datetime) -> str:
    reason = str(entry["reason"])
    # How long a trial goes on is not told: of that one it cannot be said that it has just begun.
    if reason.startswith(_NOT_TOLD) and now - datetime.fromisoformat(entry["since"]) < SOON:
        return "waiting for inference"
    return reason


def _report_line(entry: Entry) -> str:
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


# -- pictures -------------------------------------------------------------------------------------


def samples_lines(found: Entry, *, limit: int, offset: int, filtered: bool) -> list[str]:
    """Return the table of a page of pictures, and how much of all that is."""
    samples, total = found["samples"], found["total"]
    if not total:
        return ["no picture fits" if filtered else "no picture was collected yet"]
    lines = []
    if samples:
        lines = table(_SAMPLE_COLUMNS, [_sample_row(sample) for sample in samples], right=(4,))
    return [*lines, _share_line(len(samples), total, limit, offset)]


def _share_line(shown: int, total: int, limit: int, offset: int) -> str:
    if not shown:
        return f"showing 0 of {total}; --offset {offset} is beyond the last one"
    after = offset + shown
    which = str(shown) if not offset else f"{offset + 1} to {after}"
    if after >= total:
        return f"showing {which} of {total}"
    more = "--limit shows more" if limit < MAX_PAGE else f"--offset {after} shows the next ones"
    return f"showing {which} of {total}; {more}"


def _sample_row(sample: Entry) -> tuple[str, ...]:
    remote = "" if sample["remote_id"] is None else f"  #{sample['remote_id']}"
    when = datetime.fromtimestamp(sample["captured_at_us"] // 1_000_000, UTC)
    return (
        sample["id"],
        f"{when:%Y-%m-%d %H:%M:%S}",
        sample["camera"],
        sample["state"],
        f"{sample['value']:.2f}",
        labels_of(sample),
        f"{sample['state_reason'] or sample['reason']}{remote}",
    )


def labels_of(sample: Entry) -> str:
    """Return what is on a picture, as a person confirmed it or else as the model saw it."""
    if sample["boxes"] is not None:
        return f"{counted_labels(box['label'] for box in sample['boxes']) or 'nothing'} (confirmed)"
    if sample["scores"]:
        return str(max(sample["scores"], key=lambda score: score[1])[0])
    return counted_labels(box["label"] for box in sample["predictions"]) or "-"


# -- uploads --------------------------------------------------------------------------------------


def upload_line(details: Entry, *, named: bool) -> str:
    """Say what an upload sent; of named pictures `why_kept` says why they were not."""
    uploaded = int(details.get("uploaded") or 0)
    parts = [f"{counted(uploaded, 'picture')} uploaded"]
    if uploaded:
        parts[0] += f" ({int(details.get('bytes') or 0) / 1e6:.1f} MB)"
    if details.get("duplicates"):
        parts.append(f"{details['duplicates']} of them were there already")
    if details.get("kept_back") and not named:
        kept = counted(int(details["kept_back"]), "approved picture")
        parts.append(f"{kept} kept here: of cameras that are not configured, or never send any")
    if details.get("left"):
        parts.append(f"the others wait: {details['left']}")
    return "; ".join(parts)


def why_kept(name: str, sample: Entry | None) -> str:
    """Say why a picture that was named was not sent; empty: it was, now or before."""
    if sample is None:
        return f"there is no picture {name!r}"
    why = {
        "uploaded": "",
        "new": "nobody approved it: `approve` it, or say --new",
        "discarded": "it was discarded; `approve` lets it go up",
        "failed": f"it was refused: {sample['state_reason']}",
        "approved": f"its camera {sample['camera']!r} is not configured, or never sends pictures",
    }.get(sample["state"], f"it is {sample['state']}")
    return f"{name}: {why}" if why else ""
