"""Collected pictures for tests of cloud-sync: messages, JPEGs, and what is known of them."""

import io
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.core.sample import LabelledBox, NewSample, StoredSample
from nxai_common.contracts.models import Task
from nxai_common.contracts.samples import Sample
from support.results import SECOND_US, START_US, detection

WIDTH, HEIGHT = 64, 48


@lru_cache(maxsize=4096)
def jpeg(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return a picture that differs for each seed, also to the eye of a perceptual hash."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 9), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST).save(
        file, "JPEG", quality=90
    )
    return file.getvalue()


def message(sequence: int = 0, *labels: str, **changes: Any) -> Sample:
    """Return what capture sends of a frame that shows some labels, a second after the last."""
    fields: dict[str, Any] = {
        "camera": "front",
        "stream": "run-1",
        "sequence": sequence,
        "captured_at_us": START_US + sequence * SECOND_US,
        "width": WIDTH,
        "height": HEIGHT,
        "model": "m5-nut",
        "model_version": "3",
        "model_digest": "ab" * 32,
        "task": Task.FOMO,
        "labels": ("nut", "bolt"),
        "reason": "nut 0.41 is below 0.5",
        "value": 0.5,
        "detections": tuple(detection(label, 0.41, (8, 8, 16, 12)) for label in labels),
        "attachment": jpeg(sequence),
        **changes,
    }
    return Sample(**fields)


def sample(sequence: int = 0, *labels: str, **changes: Any) -> NewSample:
    """Return a picture to be kept that shows some labels, captured a second after the last."""
    fields: dict[str, Any] = {
        "camera": "front",
        "stream": "run-1",
        "sequence": sequence,
        "captured_at_us": START_US + sequence * SECOND_US,
        "stored_at_us": START_US + sequence * SECOND_US + 1000,
        "width": WIDTH,
        "height": HEIGHT,
        "model": "m5-nut",
        "model_version": "3",
        "model_digest": "ab" * 32,
        "labels": ("nut", "bolt"),
        "strategy": "uncertain",
        "reason": "nut 0.41 is below 0.5",
        "value": 0.5,
        "predictions": tuple(LabelledBox(label, 8, 8, 16, 12, 0.41) for label in labels),
        "scores": (),
        "hash": sequence,
        "jpeg": b"picture %d" % sequence,
        **changes,
    }
    return NewSample(**fields)


@dataclass(frozen=True)
class SmallDisk:
    """A file system in memory, of the size that a test wants."""

    path: Path

    def resize(self, size: str) -> None:
        """Make it larger or smaller: `1m`, `64m` ..."""
        self._remount(f"size={size}")

    @property
    def free(self) -> int:
        """Bytes that are left."""
        return shutil.disk_usage(self.path).free

    def read_only(self) -> None:
        """Let nothing be written any more."""
        self._remount("ro")

    def _remount(self, option: str) -> None:
        command = ["mount", "-o", f"remount,{option}", str(self.path)]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[SmallDisk]:
    """Mount a file system of a few MB; skip the test where that is not allowed."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system needs the right to mount one")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", str(path)], check=True)


def kept(store: SqlSamples, number: int, *labels: str, **changes: Any) -> StoredSample:
    """Keep the picture of a number; return its record."""
    one = store.add(sample(number, *labels, **changes))
    assert one is not None, f"picture {number} was kept before"
    return one


def files_of(folder: Path) -> dict[str, bytes]:
    """Return all that lies in the picture folders of a store: name without ending, content."""
    return {
        path.stem if path.suffix == ".jpg" else path.name: path.read_bytes()
        for path in folder.glob("pictures-*/*/*")
    }


def totals_are_true(folder: Path) -> None:
    """Check what triggers keep in step against the rows themselves."""
    with closing(sqlite3.connect(folder / "samples.db")) as connection:
        totals = connection.execute(
            "SELECT state, pictures, bytes FROM totals WHERE pictures > 0 ORDER BY state"
        ).fetchall()
        assert (
            totals
            == connection.execute(
                "SELECT state, count(*), sum(bytes) FROM samples GROUP BY state ORDER BY state"
            ).fetchall()
        )
        held = "SELECT camera, strategy, {} FROM {} ORDER BY 1, 2"
        assert (
            connection.execute(held.format("pictures", "held")).fetchall()
            == connection.execute(
                held.format("count(*)", "samples GROUP BY camera, strategy")
            ).fetchall()
        )
        labels = connection.execute(
            "SELECT label, number, captured_at_us, value, camera, state, strategy"
            " FROM sample_labels ORDER BY 1, 2"
        ).fetchall()
        assert (
            labels
            == connection.execute(
                "SELECT j.value, number, captured_at_us, samples.value, camera, state, strategy"
                " FROM samples, json_each(shown) AS j ORDER BY 1, 2"
            ).fetchall()
        )
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
