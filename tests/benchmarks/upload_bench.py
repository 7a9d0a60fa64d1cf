"""The upload of pictures: by the `Uploader`, by `IngestionHttp` alone (nothing is noted in the
store), and by curl with the same requests.

All send to the emulator in a process of its own, alternately, each round to a project without
samples. `python -m benchmarks.upload_bench`, in the folder of the tests, prints JSON.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from nxai_cloud_sync.adapters.ingestion_http import IngestionHttp
from nxai_cloud_sync.adapters.sql_database import SAMPLES
from nxai_cloud_sync.adapters.sql_samples import SqlSamples
from nxai_cloud_sync.core.sample import SampleState, StoredSample
from nxai_cloud_sync.core.uploading import UploadBatch, batches, metadata_header
from nxai_cloud_sync.uploader import Destination, Uploader, UploadOrder
from nxai_common.contracts.collecting import UploadOptions
from nxai_common.contracts.configuration import CloudSyncCamera, CloudSyncConfiguration
from support.samples import jpeg, sample

TESTS: Final = Path(__file__).resolve().parent.parent
PICTURES: Final = 1000
BYTES: Final = 200_000
BATCH: Final = 20
ROUNDS: Final = 3
WHO: Final = ("uploader", "http", "curl")
MB = 1_000_000

_SERVER: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from support.edge_impulse import Emulator, running
emulator = Emulator(keep_bytes=False)
for name in sys.argv[2:]:
    emulator.add_project(name, key=f"ei_{name}")
with running(emulator) as urls:
    print(urls.ingestion, flush=True)
    for asked in sys.stdin:
        (project,) = (each for each in emulator.projects.values() if each.name == asked.strip())
        print(len(project.samples), flush=True)
"""
"""Serves a project of each name; says how many samples one has when it is asked."""


def measure(
    folder: Path | None = None,
    pictures: int = PICTURES,
    size: int = BYTES,
    batch: int = BATCH,
    rounds: int = ROUNDS,
) -> dict[str, float]:
    """Return megabytes a second of both, and the ratio."""
    names = [f"{who}-{number}" for number in range(rounds) for who in WHO]
    seconds: dict[str, list[float]] = {who: [] for who in WHO}
    with tempfile.TemporaryDirectory(dir=folder) as made, _emulator(names) as server:
        store = SqlSamples(Path(made))
        with store:
            _fill(store, pictures, size)
            options = UploadOptions(batch=batch, predictions=False, category="training")
            for name in names:
                who = name.partition("-")[0]
                _approve(store)
                samples = store.to_upload(("front",), pictures)
                started = time.perf_counter()
                if who == "uploader":
                    _upload(store, options, server.ingestion, f"ei_{name}")
                elif who == "http":
                    _send(store, _requests(samples, options), server.ingestion, f"ei_{name}")
                else:
                    _curl(Path(made), store, _requests(samples, options), server.ingestion, name)
                seconds[who].append(time.perf_counter() - started)
                arrived = server.count(name)
                if arrived != pictures:
                    raise AssertionError(f"{arrived} of {pictures} pictures arrived at {name}")
    middle = {who: statistics.median(seconds[who]) for who in WHO}
    curl = middle["curl"]
    return {
        "pictures": pictures,
        "bytes_each": size,
        "pictures_per_request": batch,
        "rounds": rounds,
        **{f"{who}_s": middle[who] for who in WHO},
        **{f"{who}_mb_per_s": pictures * size / MB / middle[who] for who in WHO},
        "ratio": curl / middle["uploader"],
        "ratio_http": curl / middle["http"],
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class _Server:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.ingestion = self._line()

    def count(self, project: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{project}\n")
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def _emulator(projects: Sequence[str]) -> Iterator[_Server]:
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(TESTS), *projects],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield _Server(process)
        assert process.stdin is not None
        process.stdin.close()


def _fill(store: SqlSamples, pictures: int, size: int) -> None:
    """Keep pictures of a size; they differ in their last bytes."""
    start = jpeg(1, 640, 480)
    for number in range(pictures):
        filler = bytes(size - len(start) - 10) + number.to_bytes(8, "big")
        store.add(
            sample(number, hash=number, jpeg=b"".join((start[:-2], filler, b"\xff\xd9", b"")))
        )


def _approve(store: SqlSamples) -> None:
    """Make all pictures such as they were before the first upload."""
    open_store = store._opened()
    with open_store.database.writing() as connection:
        connection.execute(sa.update(SAMPLES).values(state=SampleState.APPROVED.value))


class _Quiet:
    def step(self, text: str, done: int = 0, total: int | None = 0) -> None:
        del text, done, total

    def wait(self, seconds: float) -> None:
        raise AssertionError(f"it does not go well: told to wait {seconds} s")


def _upload(store: SqlSamples, options: UploadOptions, ingestion: str, key: str) -> None:
    configuration = CloudSyncConfiguration(
        revision="1", cameras=(CloudSyncCamera(id="front"),), upload=options
    )
    uploader = Uploader(store, lambda: configuration, device="box")
    server = IngestionHttp(ingestion, key)
    try:
        uploader.run(UploadOrder(), _Quiet(), Destination(server))
    finally:
        server.close()


def _requests(samples: Sequence[StoredSample], options: UploadOptions) -> tuple[UploadBatch, ...]:
    return batches(
        samples, device="box", category=options.category, size=options.batch, predictions=False
    )


def _send(store: SqlSamples, requests: Sequence[UploadBatch], ingestion: str, key: str) -> None:
    """Send the same requests, and tell the store nothing."""
    server = IngestionHttp(ingestion, key)
    try:
        for request in requests:
            outcomes = server.send(request, store.picture)
            assert all(outcome.accepted for outcome in outcomes)
    finally:
        server.close()


def _curl(
    folder: Path, store: SqlSamples, requests: Sequence[UploadBatch], ingestion: str, name: str
) -> None:
    """Send the same requests with one curl, over one connection."""
    sections = []
    for request in requests:
        lines = [
            f'url = "{ingestion}/api/{request.category}/files"',
            f'header = "x-api-key: ei_{name}"',
        ]
        header = metadata_header(request.metadata).replace("\\", "\\\\").replace('"', '\\"')
        lines += [
            'header = "x-no-label: 1"',
            'header = "x-disallow-duplicates: 1"',
            f'header = "x-metadata: {header}"',
            'header = "Expect:"',  # else it waits to be told to go on
            f'output = "{folder}/answer"',
        ]
        lines += [
            f'form = "data=@{store.picture(each)};type=image/jpeg"' for each in request.samples
        ]
        sections.append("\n".join(lines))
    config = folder / "curl.config"
    config.write_text("\nnext\n".join(sections))
    subprocess.run(["curl", "--silent", "--show-error", "--fail", "-K", config], check=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--bytes", type=int, default=BYTES)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    print(json.dumps(measure(None, options.pictures, options.bytes, options.batch, options.rounds)))


def test_upload_measures() -> None:
    """The same code with a few pictures: the figures come from `main`."""
    figures = measure(pictures=20, size=20_000, batch=5, rounds=1)
    assert figures["ratio"] > 0


if __name__ == "__main__":
    main()
