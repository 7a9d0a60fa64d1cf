"""A box on which a project is linked and its model runs, and what people do with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nxai_cloud_sync.core.deploying import candidate_name
from nxai_common.contracts import commands as c
from nxai_common.contracts.deployments import Deployment
from support.cloud_sync import model, result, retained
from support.cloud_sync_service import Box, box
from support.edge_impulse import Training, downloads
from support.models_for_import import digest_of, noise
from support.samples import message

MODEL = "beers-vs-cans"
OLD, NEW = digest_of(noise(1)), digest_of(noise(3))
TRY = candidate_name(MODEL, NEW)
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


@contextmanager
def linked_box(folder: Path) -> Iterator[Box]:
    """Run a linked box on which the first model runs, and inference beside it."""
    with box(folder) as made:
        made.start()
        made.configure(updates={"policy": "off"})
        made.turn(times=4)
        made.link()
        made.inference.runs()
        made.do(c.PullModel())
        made.yes(c.DeployModel(model=MODEL, cameras=("front",)))
        made.inference.runs(model(MODEL, OLD))
        made.turn(times=3)
        yield made


def report(box: Box) -> Deployment:
    """Return what is told of the model."""
    (told,) = retained(box.outside, Deployment)
    return told


def known(box: Box) -> dict[str, str]:
    """Return the versions in the catalogue, and their states."""
    return {v["digest"]: v["state"] for v in box.json(c.ListModels())["versions"]}


def kept(box: Box, count: int, **changes: Any) -> list[str]:
    """Collect pictures; return their ids, the newest first."""
    for number in range(count):
        box.outside.publish(message(number, **changes))
    box.until(lambda: box.service.report().counters["samples_stored"] >= count, step_s=0.1)
    return [sample["id"] for sample in box.json(c.ListSamples())["samples"]]


def kept_more(box: Box, count: int, **changes: Any) -> list[str]:
    """Collect more pictures; return their ids."""
    before = {sample["id"] for sample in box.json(c.ListSamples())["samples"]}
    stored = box.service.report().counters["samples_stored"]
    for number in range(count):
        box.outside.publish(message(1000 + number, **changes))
    box.until(lambda: box.service.report().counters["samples_stored"] >= stored + count, step_s=0.1)
    return [
        sample["id"]
        for sample in box.json(c.ListSamples())["samples"]
        if sample["id"] not in before
    ]


def approve(box: Box, *samples: str) -> None:
    """Approve pictures."""
    box.yes(c.ReviewSamples(samples=samples, decision="approved"))


def sent(box: Box) -> set[str]:
    """Return the ids of the pictures at Edge Impulse."""
    return {sample.filename.removesuffix(".jpg") for sample in box.project.uploaded()}


def frames(box: Box, count: int, after: tuple[str, ...] = ("nut",)) -> None:
    """Let both versions look at frames."""
    box.inference.runs(model(MODEL, OLD), model(TRY, NEW))
    box.turn()
    for number in range(count):
        box.outside.publish(result(MODEL, number, "nut", digest=OLD))
        box.outside.publish(result(TRY, number, *after, digest=NEW))
    box.turn()


def trains(box: Box, number: int = 3, *, succeeds: bool = True) -> None:
    """Say what the next training makes."""
    box.project.next_training = Training(
        artefacts=downloads(noise(number)), log=("Epoch 1",), succeeds=succeeds
    )


def everything_by_itself(box: Box) -> None:
    """Let the box do all it can without being asked."""
    box.configure(upload={"mode": "automatic"}, updates={"policy": "promote", "poll_s": 60})
