"""A week of polling, 10,000 pictures and 100 models, by a clock that runs ahead."""

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.cloud_sync_service import KEY, LABELS
from support.cloud_sync_week import KEEP, MINUTES_A_DAY, STEP, TRAIN_EVERY
from support.edge_impulse import Emulator, Training, downloads, fomo, running
from support.models_for_import import noise
from support.shared import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

MB = 1_000_000
DAYS = 7


def test_a_week_leaves_memory_files_and_database_bounded() -> None:
    emulator = Emulator(keep_bytes=False)
    project = emulator.add_project("Beers vs cans", key=KEY)
    project.add_impulse(fomo(LABELS, float32=noise(1)))
    memory = Path("/dev/shm")  # where a commit takes no time
    days: list[dict[str, Any]] = []
    trained = 0
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        running(emulator) as urls,
    ):
        state = Path(folder, "state")
        state.mkdir()
        (state / "edge-impulse-key").write_text(KEY)
        with subprocess.Popen(
            [sys.executable, "-m", "support.cloud_sync_week", folder, urls.studio, urls.ingestion],
            cwd=ROOT / "tests",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as week:
            assert week.stdin is not None
            assert week.stdout is not None
            for line in week.stdout:
                if line.startswith("train "):
                    trained += 1
                    created = datetime(2026, 12, 1, tzinfo=UTC) + timedelta(hours=trained)
                    artefacts = downloads(noise(1000 + trained))
                    project.train(Training(artefacts, labels=LABELS, created=created))
                    week.stdin.write("done\n")
                    week.stdin.flush()
                else:
                    days.append(json.loads(line))
        assert week.returncode == 0
    assert len(days) == DAYS
    early, late = days[2], days[-1]
    assert late["counters"]["samples_stored"] == DAYS * MINUTES_A_DAY >= 10_000
    assert trained == -(-DAYS * MINUTES_A_DAY // TRAIN_EVERY) > 100
    assert [day["problems"] for day in days] == [[]] * DAYS
    # Every picture went up, once; what was removed here had gone up before.
    assert late["counters"]["samples_dropped"] == 0
    assert len({sample.sha256 for sample in project.uploaded()}) == len(project.uploaded())
    assert len(project.uploaded()) >= (DAYS - 1) * MINUTES_A_DAY
    # Files.
    assert all(KEEP <= day["pictures"] <= KEEP + STEP for day in days[2:])
    assert all(day["versions"] <= 12 for day in days)
    assert len({day["other_files"] for day in days[1:]}) == 1
    # The database, and memory.
    assert late["database"] < 1.3 * early["database"] < 30 * MB
    assert late["rss"] - early["rss"] < 12 * MB
    assert late["threads"] == early["threads"]
    assert late["descriptors"] <= early["descriptors"] + 2
