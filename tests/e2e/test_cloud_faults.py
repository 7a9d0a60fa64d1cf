"""What may change or break around a model that runs, on live frames through all services."""

import hashlib
import random
import threading
from collections.abc import Iterator
from functools import partial

import onnx
import pytest

from nxai_common.contracts import commands as c
from nxai_common.contracts.deployments import Deployment, Phase
from nxai_common.contracts.outputs import Detections
from nxai_common.errors import BrokerUnavailable
from support.edge_impulse import Fault, LoseAnswer, Training, downloads, fomo
from support.loop import Loop, loop, seen_by_a_subscriber
from support.samples import totals_are_true
from support.shared import ROOT
from support.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PARTS = ROOT / "models/demo-parts/model.onnx"
LABELS = ("bolt", "nut", "washer")
CELL = 8
"""Pixels of the input for one cell of the output, across and down."""
ALIVE = (Phase.RUNNING, Phase.PROBATION)


def network(size: int = 96, number: int = 0) -> bytes:
    """Return the demo's network for another input size; it slides over whatever it gets."""
    model = onnx.load(PARTS)
    for value, side in ((model.graph.input[0], size), (model.graph.output[0], size // CELL)):
        for dimension in (1, 2):
            value.type.tensor_type.shape.dim[dimension].dim_value = side
    model.doc_string = f"training {number}"
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """All services; the first version of the model runs on the demo camera."""
    impulse = fomo(LABELS, onnx=network(), size=(96, 96), channels="RGB", resize_mode="squash")
    folder = tmp_path_factory.mktemp("box") / "box"
    with loop(folder, impulse) as made:
        policy(made, "off")
        made.link()
        pulled = made.do(c.PullModel())
        assert pulled.details["state"] == "ready", pulled
        made.ask(c.DeployModel(model=str(pulled.details["model"]), cameras=("belt",)))
        yield made
    totals_are_true(folder / "cloud-sync")


@pytest.fixture
def walk(box: Loop) -> Iterator[Loop]:
    """The box, with the first version in force and nothing tried."""
    model, first = name_of(box), first_version(box)
    policy(box, "off")
    box.ask(c.DeployModel(model=model, digest=first, how="at-once"))
    box.deployment(model, lambda told: told.installed.digest == first and told.phase in ALIVE)
    yield box
    box.emulator.faults.clear()


def policy(walk: Loop, updates: str, **shadow: float) -> None:
    """Write settings.json; return once cloud-sync goes by it."""
    name = f"Belt {random.random()}"  # noqa: S311 - so that something changes
    walk.settings(
        [
            {
                "id": "belt",
                "name": name,
                "source": {"type": "demo"},
                "collect": {
                    "enabled": True,
                    "strategies": [{"strategy": "interval", "every_s": 0.5}],
                    "min_gap_s": 0.2,
                    "quotas": {"per_minute": 0, "per_hour": 0, "per_day": 0, "label_per_day": 0},
                    "near_duplicate_bits": 0,
                },
            }
        ],
        updates={"policy": updates},
        shadow={"frames": 40, "minutes": 5, "max_slowdown": 100, **shadow},
        rollback={"minutes": 0.1},
    )


def name_of(walk: Loop) -> str:
    return str(walk.ask_json(c.ListModels())["versions"][0]["model"])


def first_version(walk: Loop) -> str:
    return str(walk.ask_json(c.ListModels())["versions"][-1]["digest"])


def trained(walk: Loop, content: bytes, **rest: object) -> str:
    """Let somebody train in Studio; return which version that is."""
    walk.project.train(Training(downloads(onnx=content), **rest))  # type: ignore[arg-type]  # its fields
    return hashlib.sha256(content).hexdigest()


def taken_up(walk: Loop, digest: str) -> Deployment:
    """Let the box look for it; return how it stands once the version is tried."""
    walk.do(c.CheckUpdates())
    return walk.deployment(
        name_of(walk),
        lambda told: told.candidate is not None and told.candidate.digest == digest,
    )


def detections(walk: Loop, count: int) -> list[Detections]:
    """Return the next detections that somebody outside receives."""
    with seen_by_a_subscriber(walk) as outside:
        found: list[Detections] = []
        while len(found) < count:
            delivery = outside.receive(30)
            assert delivery is not None, "no detections"
            delivery.acknowledge()
            assert isinstance(delivery.message, Detections)
            found.append(delivery.message)
    return found


def test_another_input_size_is_tried_on_the_same_frames_and_takes_over(walk: Loop) -> None:
    policy(walk, "promote", min_agreement=0)
    digest = trained(walk, network(128, 1), labels=LABELS, input_size=(128, 128))
    taken_up(walk, digest)
    told = walk.deployment(
        name_of(walk), lambda told: told.installed.digest == digest and told.phase in ALIVE
    )
    assert told.report is not None
    assert told.report.frames >= 40
    assert told.report.errors == 0
    assert told.report.matched > 0, "the two never found the same"
    assert (told.report.labels_added, told.report.labels_removed) == ((), ())
    version = next(v for v in walk.ask_json(c.ListModels())["versions"] if v["digest"] == digest)
    assert (version["width"], version["height"]) == (128, 128)
    assert {seen.model_version for seen in detections(walk, 5)} == {version["version"]}
    shown = walk.cli("models")
    assert " 128x128 " in shown
    assert f"{name_of(walk)}: the same in " in shown
    assert "it was put in force" in shown


def test_other_labels_are_told_and_left_to_a_person(walk: Loop) -> None:
    policy(walk, "promote")
    model, first = name_of(walk), first_version(walk)
    digest = trained(walk, network(96, 2), labels=("bolt", "nut", "screw"), input_size=(96, 96))
    taken_up(walk, digest)
    told = walk.deployment(model, lambda told: "was not put in force" in told.reason)
    assert told.reason.startswith(
        f"version {digest[:12]} was not put in force: it no longer knows washer"
    )
    assert told.installed.digest == first
    assert not told.promotable
    assert told.report is not None
    assert (told.report.labels_added, told.report.labels_removed) == (("screw",), ("washer",))
    shown = walk.cli("models")
    assert (
        f"{model}: version {digest[:12]} was not put in force: it no longer knows washer" in shown
    )
    assert "not promoted by itself" in shown
    # By itself it is not taken up again; a person may.
    walk.do(c.CheckUpdates())
    assert walk.said[model].candidate is not None
    assert walk.said[model].phase is not Phase.SHADOW
    walk.ask(c.PromoteModel(model=model))
    walk.deployment(model, lambda told: told.installed.digest == digest and told.phase in ALIVE)
    walk.ask(c.RollBackModel(model=model))
    walk.deployment(model, lambda told: told.installed.digest == first and told.phase in ALIVE)


def kill(walk: Loop) -> None:
    walk.stack.processes["cloud-sync"].kill()


def start_again(walk: Loop) -> None:
    walk.stack.start("cloud-sync", "cloud-sync")
    walk.stack.wait_running()
    wait_for(lambda: walk.bus.request(c.ListModels(), 20).ok, 30)


def test_without_cloud_sync_the_models_go_on_and_so_does_a_trial_after_it(walk: Loop) -> None:
    policy(walk, "shadow", frames=100_000, minutes=60)
    model = name_of(walk)
    digest = trained(walk, network(96, 3), labels=LABELS, input_size=(96, 96))
    taken_up(walk, digest)
    walk.deployment(model, lambda told: told.report is not None and told.report.frames > 20)
    kill(walk)
    seen = detections(walk, 30)  # nobody outside notices
    assert {found.model for found in seen} == {model}
    start_again(walk)
    told = walk.deployment(model, lambda told: told.phase is Phase.SHADOW)
    frames = 0 if told.report is None else told.report.frames
    told = walk.deployment(
        model, lambda told: told.report is not None and told.report.frames > frames + 20
    )
    assert told.candidate is not None
    assert told.candidate.digest == digest
    walk.ask(c.EndShadow(model=model))


def test_killed_while_a_version_takes_over_one_of_the_two_runs(walk: Loop) -> None:
    model, first = name_of(walk), first_version(walk)
    second = trained(walk, network(96, 4), labels=LABELS, input_size=(96, 96))
    walk.do(c.PullModel())
    for seed in range(4):
        wanted = second if seed % 2 == 0 else first
        moment = random.Random(seed).random() * 0.03  # noqa: S311 - reproducible
        killed = threading.Timer(moment, kill, (walk,))
        killed.start()
        confirmed = False
        try:
            command = c.DeployModel(model=model, digest=wanted, how="at-once")
            confirmed = walk.bus.request(command, 1).ok
        except BrokerUnavailable:
            pass
        killed.join()
        start_again(walk)
        told = walk.deployment(
            model,
            lambda told: told.phase in ALIVE and told.installed.digest in (first, second),
        )
        assert not confirmed or told.installed.digest == wanted
        assert told.installed.version
        wait_for(partial(shows, walk, told.installed.version), 30, "it is what looks at frames")


def shows(walk: Loop, version: str) -> bool:
    return detections(walk, 1)[0].model_version == version


def test_live_pictures_go_up_once_whatever_happens_on_the_way(walk: Loop) -> None:
    wait_for(lambda: len(walk.samples(state="new")) >= 20, 60, "pictures of the live camera")
    names = tuple(str(sample["id"]) for sample in walk.samples(state="new"))
    walk.ask(c.ReviewSamples(samples=names, decision="approved"))
    walk.emulator.faults.add(Fault("POST /api/*/files", LoseAnswer(after_files=3), count=2))
    walk.ask(c.UploadSamples())
    wait_for(lambda: len(walk.project.uploaded()) >= 3, 30)
    kill(walk)
    start_again(walk)
    assert set(names) == {
        str(sample["id"])
        for state in ("approved", "uploading", "uploaded")
        for sample in walk.samples(state=state, limit=1000)
    }
    walk.emulator.faults.clear()
    walk.do(c.UploadSamples())
    uploaded = walk.project.uploaded()
    assert sorted(sample.filename for sample in uploaded) == sorted(f"{name}.jpg" for name in names)
    folder = walk.stack.folder / "cloud-sync"
    files = {path.name: path.read_bytes() for path in folder.glob("pictures-*/*/*.jpg")}
    assert all(files[sample.filename] == sample.data for sample in uploaded)
    assert len(walk.samples(state="uploaded", limit=1000)) == len(names)
