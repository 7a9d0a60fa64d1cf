"""The box gets better by itself: the whole loop through the real services and Mosquitto."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nxai_common.bus.ports import Inbox
from nxai_common.contracts import commands as c
from nxai_common.contracts.deployments import Deployment, Phase
from nxai_common.contracts.outputs import Detections
from nxai_common.contracts.progress import JobState
from nxai_common.contracts.results import InferenceResult
from support.edge_impulse import Impulse, Training, downloads, fomo, yolov5
from support.loop import Loop, loop, seen_by_a_subscriber
from support.retrained import retrained
from support.shared import shared
from support.stack import Listener, listening
from support.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

MODELS = {
    "fomo": "models/ei_fomo_mnv2_035_96x96x3_m5_nut_i8.tflite",
    "yolov5": "models/ei_yolov5n_320x320x3_2cls_fp16w.tflite",
}


def artefact(kind: str, number: int = 0) -> dict[str, Any]:
    content = shared(MODELS[kind]).read_bytes()
    name = "int8" if kind == "fomo" else "float32"
    return {name: retrained(content, number) if number else content}


def impulse(kind: str) -> Impulse:
    if kind == "fomo":
        return fomo(("m5_nut",), size=(96, 96), channels="RGB", **artefact(kind))
    return yolov5(
        ("coffee", "lamp"),
        size=(320, 320),
        channels="RGB",
        resize_mode="squash",
        **artefact(kind),
    )


def camera(**collect: Any) -> dict[str, Any]:
    return {
        "id": "belt",
        "name": "Belt",
        "source": {"type": "file", "path": str(shared("media/conveyor.mp4"))},
        "collect": {
            "enabled": True,
            "strategies": [{"strategy": "interval", "every_s": 0.3}],
            "min_gap_s": 0.2,
            "quotas": {"per_minute": 0, "per_hour": 0, "per_day": 0, "label_per_day": 0},
            "near_duplicate_bits": 0,
            **collect,
        },
    }


def options(kind: str, **rest: Any) -> dict[str, Any]:
    return {
        "updates": {"policy": "promote", "artefact": "int8" if kind == "fomo" else "float32"},
        "shadow": {"frames": 30, "minutes": 5},
        "rollback": {"minutes": 0.1},
        **rest,
    }


@pytest.fixture(params=["fomo", "yolov5"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def walked(tmp_path: Path, kind: str) -> Iterator[Loop]:
    """A loop in which the first version of the model runs on the camera."""
    with loop(tmp_path / "box", impulse(kind)) as walk:
        walk.settings([camera()], **options(kind))
        walk.link()
        pulled = walk.do(c.PullModel())
        assert pulled.details["state"] == "ready", pulled
        model = str(pulled.details["model"])
        walk.ask(c.DeployModel(model=model, cameras=("belt",)))
        walk.deployment(model, lambda told: told.phase is Phase.RUNNING)
        yield walk


def next_detections(inbox: Inbox) -> Detections:
    delivery = inbox.receive(30)
    assert delivery is not None, "no detections"
    delivery.acknowledge()
    assert isinstance(delivery.message, Detections)
    return delivery.message


def in_force(walk: Loop) -> tuple[str, Deployment]:
    (model,) = walk.said
    return model, walk.said[model]


def test_collect_review_upload_retrain_shadow_promote(walked: Loop, kind: str) -> None:
    model, before = in_force(walked)
    with seen_by_a_subscriber(walked) as outside:
        assert next_detections(outside).model == model

        # Collected, and looked through by a person: three are right, one is of no use.
        wait_for(lambda: len(walked.samples(state="new")) >= 4, 60, "four pictures")
        four = [sample["id"] for sample in walked.samples(state="new")][-4:]
        walked.ask(
            c.ReviewSamples(
                samples=(four[0],),
                decision="approved",
                boxes=(c.LabelledBox(label="m5_nut", x=10, y=20, width=30, height=40),),
            )
        )
        walked.ask(c.ReviewSamples(samples=(four[1], four[2]), decision="approved"))
        walked.ask(c.ReviewSamples(samples=(four[3],), decision="discarded"))

        # Sent, and there: the corrected one with its box as the label, the others without.
        walked.do(c.UploadSamples())
        arrived = {sample.filename: sample for sample in walked.project.samples.values()}
        assert sorted(arrived) == sorted(f"{name}.jpg" for name in four[:3])
        (box,) = arrived[f"{four[0]}.jpg"].boxes
        assert (box.label, box.x, box.y, box.width, box.height) == ("m5_nut", 10, 20, 30, 40)
        assert arrived[f"{four[1]}.jpg"].boxes == ()
        assert arrived[f"{four[1]}.jpg"].metadata["camera"] == "belt"
        picture = bytes(walked.ask(c.ShowSample(sample=four[1])).attachment)
        assert arrived[f"{four[1]}.jpg"].data == picture
        uploaded = walked.samples(state="uploaded")
        assert {s["remote_id"] for s in uploaded} == {s.id for s in arrived.values()}

        # Trained again; the rest happens by itself.
        walked.project.next_training = Training(
            downloads(**artefact(kind, 1)), log=("Epoch 1/2", "Epoch 2/2")
        )
        asked = walked.ask(c.RetrainModel())
        assert "compute minutes" in asked.reason
        assert not walked.project.jobs
        walked.do(c.RetrainModel(confirm=True))
        assert [s.text for s in walked.steps if s.text.startswith("Epoch")] == [
            "Epoch 1/2",
            "Epoch 2/2",
        ]
        walked.job_ended(lambda step: step.command == "pull" and bool(walked.project.jobs))
        trial = walked.deployment(model, lambda told: told.phase is Phase.SHADOW)
        assert trial.installed == before.installed
        assert trial.candidate is not None
        after = walked.deployment(
            model,
            lambda told: told.installed == trial.candidate and told.phase is Phase.RUNNING,
        )
        assert after.report is not None
        assert after.report.frames >= 30
        assert after.report.agreement == 1  # the same network, trained to the same
        assert after.report.errors == 0
        assert after.offered == ""

        # Outside nobody noticed: one model all the time, and the new version in the end.
        assert after.installed.digest is not None
        wait_for(
            lambda: next_detections(outside).model_version == after.installed.version,
            30,
            "detections of the new version",
        )
    assert {step.state for step in walked.steps if step.state.ended} == {JobState.DONE}


def test_a_version_that_cannot_be_loaded_after_promotion_is_rolled_back(
    walked: Loop, kind: str
) -> None:
    model, before = in_force(walked)
    walked.project.train(Training(downloads(**artefact(kind, 1))))
    pulled = walked.do(c.PullModel())
    digest = str(pulled.details["digest"])
    for file in (walked.stack.folder / "catalogue" / digest).glob("*.tflite"):
        file.write_bytes(b"\0" * 100)  # the disk lost it between its test and its use
    walked.ask(c.DeployModel(model=model, digest=digest, how="at-once"))
    after = walked.deployment(model, lambda told: "rolled back" in told.reason)
    assert "cannot be loaded" in after.reason
    after = walked.deployment(
        model, lambda told: told.installed == before.installed and told.phase is Phase.RUNNING
    )
    with listening(walked.stack, InferenceResult) as listener:
        assert digest_of(listener) == before.installed.digest


def test_a_person_goes_back_to_the_version_before(walked: Loop, kind: str) -> None:
    model, before = in_force(walked)
    walked.project.train(Training(downloads(**artefact(kind, 1))))
    pulled = walked.do(c.PullModel())
    digest = str(pulled.details["digest"])
    walked.ask(c.DeployModel(model=model, digest=digest, how="at-once"))
    walked.deployment(
        model,
        lambda told: told.installed.digest == digest and told.phase is not Phase.STARTING,
    )
    walked.ask(c.RollBackModel(model=model))
    walked.deployment(
        model, lambda told: told.installed == before.installed and told.phase is Phase.RUNNING
    )
    with listening(walked.stack, InferenceResult) as listener:
        wait_for(lambda: digest_of(listener) == before.installed.digest, 30)


@pytest.mark.parametrize("pace", ["fast", "realtime"])
def test_no_frame_is_lost_when_a_version_takes_over(tmp_path: Path, pace: str) -> None:
    """At 30 pictures a second, and as fast as this machine can."""
    lossless = pace == "fast"
    with loop(tmp_path / "box", impulse("fomo")) as walk:
        belt = camera(enabled=False)
        belt["source"] |= {"pace": pace, "loop": lossless}
        walk.settings([], **options("fomo", updates={"policy": "off", "artefact": "int8"}))
        walk.link()
        first = walk.do(c.PullModel()).details
        walk.project.train(Training(downloads(**artefact("fomo", 1))))
        second = walk.do(c.PullModel()).details
        model = str(first["model"])
        with listening(walk.stack, InferenceResult) as listener:
            # The camera comes last, so that its first picture finds the model in force.
            walk.settings([belt], **options("fomo", updates={"policy": "off"}))
            deploy(walk, model, str(first["digest"]))
            found = [next_result(listener)]
            while len(found) < 120:
                found.append(next_result(listener))
            walk.ask(c.DeployModel(model=model, digest=str(second["digest"]), how="at-once"))
            while sum(r.model_digest == second["digest"] for r in found) < 120:
                found.append(next_result(listener))
        assert [r.error for r in found if r.error] == []
        numbers = [r.sequence for r in found]
        assert numbers == sorted(set(numbers))
        digests = [r.model_digest for r in found]
        swap = digests.index(str(second["digest"]))
        assert set(digests[:swap]) == {first["digest"]}
        assert set(digests[swap:]) == {second["digest"]}
        heard_at = datetime.now(UTC)
        belt_status = wait_for(
            lambda: next(
                (s.cameras[0] for s in [walk.stack.status("capture")] if s.at > heard_at), None
            ),
            30,
            "capture tells how it went",
        )
        assert belt_status is not None
        assert belt_status.credits_lost == 0
        left_out = numbers[-1] - numbers[0] + 1 - len(numbers)
        # Live, capture may leave a picture out for a newer one; those it counts, and only those
        # may be missing. A lossless source leaves none out.
        assert left_out <= (0 if lossless else belt_status.dropped)


def deploy(walk: Loop, model: str, digest: str) -> None:
    """Deploy once cloud-sync knows the camera."""

    def done() -> bool:
        command = c.DeployModel(model=model, digest=digest, cameras=("belt",))
        return walk.bus.request(command, 20).ok

    wait_for(done, 20, "the camera is known")


def next_result(listener: Listener) -> InferenceResult:
    message = listener.next(30)
    assert isinstance(message, InferenceResult)
    return message


def digest_of(listener: Listener) -> str:
    return next_result(listener).model_digest
