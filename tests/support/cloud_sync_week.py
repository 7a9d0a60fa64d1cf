"""A week of cloud-sync in a minute, in a process of its own so that its memory can be measured.

`python -m support.cloud_sync_week FOLDER STUDIO INGESTION` drives the real parts with a clock that
runs ahead: a picture a minute, a look at the project about every five, another model every 100,
uploads by night. It says `train N` when it wants another model (and waits for a line), and one line
of JSON at the end of each day.
"""

import gc
import json
import sys
import threading
from pathlib import Path
from typing import Any, Final

import psutil

from nxai_common.bus.memory import MemoryBroker, _Packet
from nxai_common.contracts import commands as c
from support.cloud_sync import model
from support.cloud_sync_service import Box, Eavesdropper
from support.edge_impulse import Emulator, Urls
from support.samples import jpeg, message

MINUTES_A_DAY: Final = 24 * 60
TRAIN_EVERY: Final = 100
"""Minutes: 101 models in a week."""
STEP: Final = 5
"""Minutes of one turn of the loop."""
KEEP: Final = 2000
MODEL: Final = "beers-vs-cans"


class Forgetful(Eavesdropper):
    """A broker that notes nothing."""

    def send(self, packet: _Packet) -> None:
        MemoryBroker.send(self, packet)


def main() -> None:
    folder, studio, ingestion = sys.argv[1:]
    emulator = Emulator()  # not started: the real one is the test's
    project = emulator.add_project()
    box = Box(Path(folder), emulator, project, Urls(studio, ingestion, ""), broker=Forgetful())
    with box:
        live(box)


def live(box: Box) -> None:
    box.start()
    box.configure(
        updates={"policy": "import", "poll_s": 300},
        upload={"mode": "automatic", "window": "22:00-23:00", "mb_per_day": 0, "batch": 50},
        limits={"keep_pictures": KEEP, "keep_days": 5},
    )
    box.turn(times=4)
    box.link()
    box.inference.runs()
    in_force = ""
    for minute in range(0, 7 * MINUTES_A_DAY, STEP):
        if minute % TRAIN_EVERY == 0:
            say(f"train {minute // TRAIN_EVERY}")
            sys.stdin.readline()
        for number in range(minute, minute + STEP):
            picture = jpeg.__wrapped__(number)
            seen_us = box.now_us() + (number - minute) * 60_000_000
            box.outside.publish(message(number, "nut", attachment=picture, captured_at_us=seen_us))
        box.passes(60 * STEP, 60 * STEP)
        box.until(lambda: not box.service.report().gauges["samples_held"], step_s=0)
        if minute % TRAIN_EVERY == 4 * STEP:
            in_force = swapped(box, in_force)
        box.heard()
        box.steps.clear()
        if minute % MINUTES_A_DAY == MINUTES_A_DAY - STEP:
            say(json.dumps(measured(box)))


def swapped(box: Box, before: str) -> str:
    """Put the newest version in force; return it."""
    version = box.json(c.ListModels())["versions"][0]
    digest = str(version["digest"])
    assert digest != before, "no new version came"
    assert version["state"] == "ready"
    box.yes(c.DeployModel(model=MODEL, digest=digest, cameras=("front",), how="at-once"))
    box.inference.runs(model(MODEL, digest))
    return digest


def measured(box: Box) -> dict[str, Any]:
    gc.collect()
    process = psutil.Process()
    state = box.settings.state_dir
    pictures = sum(1 for _ in state.glob("pictures-*/*/*"))
    versions = sum(1 for _ in box.settings.catalogue_dir.iterdir())
    others = sum(path.is_file() for path in state.rglob("*")) - pictures
    return {
        "rss": process.memory_info().rss,
        "threads": threading.active_count(),
        "descriptors": process.num_fds(),
        "pictures": pictures,
        "versions": versions,
        "other_files": others,
        "database": sum(path.stat().st_size for path in state.glob("samples.db*")),
        "problems": box.told(),
        "counters": box.service.report().counters,
    }


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
