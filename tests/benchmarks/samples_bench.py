"""The store of collected pictures: lists of 100,000 of them, against SQL written by hand.

`PYTHONPATH=tests python -m benchmarks.samples_bench` prints the figures as JSON.
"""

import argparse
import io
import json
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import sqlalchemy as sa
from PIL import Image

from nxai_cloud_sync.adapters.picture_folder import PictureFolder
from nxai_cloud_sync.adapters.picture_hash import JpegHasher
from nxai_cloud_sync.adapters.sql_database import SAMPLES
from nxai_cloud_sync.adapters.sql_samples import SLICE, SqlSamples, _row_of
from nxai_cloud_sync.core.sample import NewSample, SampleFilter, SampleState
from nxai_common.contracts.collecting import SampleLimits
from support.results import SECOND_US, START_US
from support.samples import sample

ROWS = 100_000
CAMERAS = 4
LABELS = ("nut", "bolt", "washer", "screw")
STRATEGIES = ("uncertain", "margin", "band", "random")
STATES = (
    *(SampleState.NEW,) * 60,
    *(SampleState.UPLOADED,) * 20,
    *(SampleState.APPROVED,) * 10,
    *(SampleState.DISCARDED,) * 8,
    *(SampleState.FAILED,) * 2,
)
PAGE = 100
REPEATS = 25
ADDED = 300
SIZES = ((1280, 720), (1920, 1080))
MB = 1_000_000


def filters(rows: int) -> dict[str, SampleFilter]:
    """Return questions by name."""
    middle = datetime.fromtimestamp(START_US / 1e6 + rows / 2, UTC)
    return {
        "all": SampleFilter(),
        "state": SampleFilter(state="new"),
        "rare_state": SampleFilter(state="failed"),
        "camera": SampleFilter(camera="camera-1"),
        "label": SampleFilter(label="nut"),
        "strategy": SampleFilter(strategy="band"),
        "half_the_time": SampleFilter(since=middle),
        "state_camera_label": SampleFilter(state="new", camera="camera-2", label="nut"),
        "nothing": SampleFilter(camera="nobody"),
    }


def by_hand(wanted: SampleFilter, *, by_value: bool) -> tuple[str, str, list[object]]:
    """Return the count, the page and their values as one would write them for `sqlite3`."""
    parts, values = ["1"], list[object]()
    for name in ("state", "camera", "strategy"):
        if value := getattr(wanted, name):
            parts.append(f"{name} = ?")
            values.append(value)
    if wanted.label:
        parts.append("EXISTS (SELECT 1 FROM json_each(shown) WHERE value = ?)")
        values.append(wanted.label)
    if wanted.since is not None:
        parts.append("captured_at_us >= ?")
        values.append(int(wanted.since.timestamp() * SECOND_US))
    where = " AND ".join(parts)
    order = "value DESC, captured_at_us DESC" if by_value else "captured_at_us DESC"
    return (
        f"SELECT count(*) FROM samples WHERE {where}",  # noqa: S608 - constants
        f"SELECT * FROM samples WHERE {where} ORDER BY {order} LIMIT {PAGE} OFFSET ?",  # noqa: S608 - constants
        values,
    )


def measure(rows: int = ROWS, folder: Path | None = None) -> dict[str, float]:
    """Return milliseconds of lists, of opening, keeping and removing; and the memory it takes."""
    figures: dict[str, float] = {"rows": rows}
    with tempfile.TemporaryDirectory(dir=folder) as made:
        store = SqlSamples(Path(made))
        _fill(store, rows)
        store.close()
        store = SqlSamples(Path(made))
        os.sync()  # else the first commits wait for the disk to take what the filling left
        figures["open_ms"] = _ms(store.usage)
        before = psutil.Process().memory_info().rss
        with closing(sqlite3.connect(Path(made) / "samples.db")) as bare:
            figures |= _lists(store, bare, rows)
        after = psutil.Process().memory_info().rss
        figures["rss_mb"] = after / MB
        figures["rss_growth_of_lists_mb"] = (after - before) / MB
        figures["database_mb"] = (Path(made) / "samples.db").stat().st_size / MB
        figures["usage_ms"] = _median(store.usage)
        cameras = [f"camera-{n}" for n in range(CAMERAS)]
        figures["to_upload_ms"] = _median(lambda: store.to_upload(cameras, PAGE, include_new=True))
        figures |= _keeping(store, rows)
        store.close()
    for width, height in SIZES:
        data = _jpeg(width, height)
        figures[f"hash_{height}p_ms"] = _median(partial(JpegHasher().hash_of, data, width, height))
    return figures


def _lists(store: SqlSamples, bare: sqlite3.Connection, rows: int) -> dict[str, float]:
    """Ask each question at the beginning, the middle and the end of its list, in both orders."""
    figures: dict[str, float] = {}
    worst: list[float] = []
    ratios: list[float] = []
    for name, wanted in filters(rows).items():
        for by_value in (False, True):
            total = store.page(wanted, 1, 0).total
            count, page, values = by_hand(wanted, by_value=by_value)
            ours: list[float] = []
            theirs: list[float] = []
            for offset in (0, total // 2, max(0, total - PAGE)):
                ask = partial(store.page, wanted, PAGE, offset, by_value=by_value)
                ask_bare = partial(_ask_bare, bare, count, page, values, offset)
                for _ in range(REPEATS):  # in turns, as other programs come and go
                    ours.append(_ms(ask))
                    theirs.append(_ms(ask_bare))
            key = f"list_{name}{'_by_value' if by_value else ''}"
            figures[f"{key}_p50_ms"] = statistics.median(ours)
            figures[f"{key}_p95_ms"] = _p95(ours)
            figures[f"{key}_ratio"] = statistics.median(ours) / statistics.median(theirs)
            worst.append(_p95(ours))
            ratios.append(figures[f"{key}_ratio"])
    figures["list_worst_p95_ms"] = max(worst)
    figures["list_median_ratio"] = statistics.median(ratios)
    figures["list_worst_ratio"] = max(ratios)
    return figures


def _ask_bare(
    bare: sqlite3.Connection, count: str, page: str, values: list[object], offset: int
) -> object:
    bare.execute(count, values).fetchone()
    return bare.execute(page, [*values, offset]).fetchall()


def _keeping(store: SqlSamples, rows: int) -> dict[str, float]:
    """Keep pictures of 200 kB one by one, as the collector does; then remove slices."""
    jpeg = bytes(200_000)
    times = [
        _ms(partial(store.add, sample(rows + number, "nut", jpeg=jpeg))) for number in range(ADDED)
    ]
    limits = SampleLimits(keep_pictures=rows // 2)
    slices = [_ms(lambda: store.prune(limits, None)) for _ in range(REPEATS)]
    return {
        "keep_p50_ms": statistics.median(times),
        "keep_p95_ms": _p95(times),
        "keep_per_s": 1000 * ADDED / sum(times),
        f"remove_{SLICE}_p50_ms": statistics.median(slices),
        f"remove_{SLICE}_p95_ms": _p95(slices),
    }


def _fill(store: SqlSamples, rows: int) -> None:
    """Write records and small files quickly: nothing is synchronised one by one."""
    rng = random.Random(1)  # noqa: S311 - the same pictures every time
    opened = store._opened()
    for first in range(0, rows, 5000):
        some = [_row(rng, one) for one in _some(rng, first, min(rows, first + 5000))]
        with opened.database.writing() as connection:
            connection.execute(sa.insert(SAMPLES), some)
        for row in some:
            _write(opened.pictures, str(row["id"]))


def _some(rng: random.Random, first: int, end: int) -> Iterator[NewSample]:
    for number in range(first, end):
        yield sample(
            number,
            *rng.sample(LABELS, rng.choice((0, 1, 1, 2))),
            camera=f"camera-{rng.randrange(CAMERAS)}",
            strategy=rng.choice(STRATEGIES),
            value=round(rng.random(), 3),
        )


def _row(rng: random.Random, one: NewSample) -> dict[str, object]:
    state = rng.choice(STATES)
    uploaded = START_US if state is SampleState.UPLOADED else None
    return {**_row_of(one), "state": state.value, "uploaded_at_us": uploaded}


def _write(pictures: PictureFolder, name: str) -> None:
    path = pictures.path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"jpeg")


def _jpeg(width: int, height: int) -> bytes:
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 40, width // 40, 3), np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noisy = (pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=90)
    return file.getvalue()


def _ms(question: Callable[[], object]) -> float:
    started = time.perf_counter()
    question()
    return (time.perf_counter() - started) * 1000


def _median(question: Callable[[], object]) -> float:
    return statistics.median(_ms(question) for _ in range(REPEATS))


def _p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description="Measure the store of collected pictures.")
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    print(json.dumps({name: round(value, 3) for name, value in measure(options.rows).items()}))


def test_samples_measures() -> None:
    """The same code on a small store: the figures come from `make bench`."""
    figures = measure(rows=2000)
    assert figures["rows"] == 2000
    assert figures["list_worst_p95_ms"] > 0


if __name__ == "__main__":
    main()
