"""One example of every message, and the golden files that pin how it looks on the wire.

``cd tests && python -m support.golden`` writes the files anew after a wanted change; the diff
is what readers out there will see.
"""

import importlib
import json
import pkgutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from nxai_common import contracts
from nxai_common.contracts import (
    alarms,
    collecting,
    commands,
    configuration,
    deployments,
    destinations,
    frames,
    models,
    outputs,
    processors,
    progress,
    results,
    samples,
    status,
)
from nxai_common.contracts.base import AttachedMessage, Message, RawMessage

GOLDEN: Final = Path(__file__).resolve().parents[1] / "contract" / "golden"
DEVICE: Final = "box"

BASES: Final = frozenset(
    {Message, AttachedMessage, RawMessage, commands.Command}
    | {commands.CloudSyncCommand, commands.LogQuery}
)
"""Classes that are never sent themselves."""

REPLY_TOPIC: Final = "nxai-replies/somebody"
"""A reply travels on whatever topic its request named."""

AT: Final = datetime(2026, 3, 14, 9, 26, 53, 589_793, UTC)
AT_MS: Final = 1_773_480_413_589
AT_US: Final = 1_773_480_413_589_793
TRANSFORM: Final = frames.Transform(scale_x=5.0, scale_y=5.0, offset_x=80.0)
DETECTION: Final = results.Detection(
    label="nut",
    confidence=0.97265625,
    box=results.Box(x=320.0, y=200.0, width=40.0, height=40.0),
    model_box=(48, 40, 8, 8),
)
DIGEST: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
OTHER_DIGEST: Final = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
JPEG: Final = bytes.fromhex("ffd8ffe000104a46494600ffd9")

EXAMPLES: Final[tuple[Message, ...]] = (
    configuration.CaptureConfiguration(
        revision="5c1b7f0e2d9a",
        cameras=(
            configuration.CaptureCamera(
                id="front",
                name="Front door",
                source=configuration.RtspSource(url="rtsp://192.0.2.17:554/stream1"),
                credentials="camera-front",
                credentials_revision="b3f1",
                models=("m5-nut",),
                resize_mode=models.ResizeMode.FIT_SHORT,
                inference_limit_ms=100,
                masks=(((0.0, 0.0), (0.25, 0.0), (0.25, 0.5)),),
                region=configuration.RegionOfInterest(x=0.25, width=0.75),
                samples=True,
            ),
            configuration.CaptureCamera(id="demo", source=configuration.DemoSource()),
        ),
    ),
    configuration.InferenceConfiguration(
        revision="0a77e94bd111",
        models=(
            configuration.DesiredModel(
                id="m5-nut",
                path="m5_nut.tflite",
                labels=("nut",),
                threshold=0.5,
                uncertain=configuration.UncertainRule(threshold=0.3),
            ),
            configuration.DesiredModel(id="m5-nut-next", path=f"catalogue:{DIGEST}"),
        ),
        assignments=(
            configuration.Assignment(
                camera="front",
                model="m5-nut",
                threshold=0.75,
                collect=(collecting.UncertainStrategy(), collecting.BandStrategy(width=0.1)),
            ),
        ),
        cameras=(
            configuration.InferenceCamera(
                id="front",
                areas=configuration.DetectionAreas(exclude=(((0.0, 0.0), (1.0, 0.0), (1.0, 0.2)),)),
            ),
        ),
        shadows=(configuration.Shadow(model="m5-nut-next", of="m5-nut"),),
    ),
    configuration.CloudSyncConfiguration(
        revision="77b0c2f19e04",
        cameras=(
            configuration.CloudSyncCamera(
                id="front",
                name="Front door",
                collect=collecting.CollectPolicy(enabled=True, min_gap_s=10),
            ),
        ),
        upload=collecting.UploadOptions(mode="approved", window="22:00-06:00"),
        updates=collecting.UpdateOptions(policy="shadow"),
    ),
    deployments.Deployments(
        revision="3f20a9d1c7b5",
        models=(
            deployments.DeployedModel(
                model="m5-nut",
                name="M5 nuts",
                cameras=("front",),
                digest=DIGEST,
                candidate=OTHER_DIGEST,
                candidate_model="m5-nut-next",
            ),
        ),
    ),
    deployments.Deployment(
        model="m5-nut",
        name="M5 nuts",
        cameras=("front",),
        phase=deployments.Phase.SHADOW,
        since=AT,
        installed=deployments.Version(digest=DIGEST, version="3", created_at=AT),
        latest=deployments.Version(digest=OTHER_DIGEST, version="4", created_at=AT),
        candidate=deployments.Version(digest=OTHER_DIGEST, version="4", created_at=AT),
        progress=0.5,
        report=deployments.ShadowReport(
            frames=150,
            agreeing=141,
            labels=(deployments.LabelCounts(label="nut", before=300, after=308),),
            matched=297,
            only_before=3,
            only_after=11,
            confidence_shift=0.02,
            engine_ms_before=0.4,
            engine_ms_after=0.4,
            load_before=0.01,
            load_after=0.01,
        ),
    ),
    progress.Progress(
        service="cloud-sync",
        job="pull-7",
        command="pull",
        state=progress.JobState.RUNNING,
        text="fetching TensorFlow Lite (float32)",
        done=40_960,
        total=83_312,
        at=AT,
    ),
    commands.TryModel(
        desired=configuration.DesiredModel(id="m5-nut", path=f"catalogue:{DIGEST}"),
    ),
    commands.LinkProject(project=12345),
    commands.UnlinkProject(),
    commands.ShowLink(),
    commands.PullModel(artefact="float32"),
    commands.ImportModel(file="nuts.tflite", model="m5-nut", labels=("nut",)),
    commands.ListModels(),
    commands.EditModel(digest=DIGEST, title="M5 nuts, evening light"),
    commands.DeleteModel(digest=DIGEST),
    commands.DeployModel(model="m5-nut", cameras=("front",)),
    commands.UndeployModel(model="m5-nut"),
    commands.PromoteModel(model="m5-nut"),
    commands.EndShadow(model="m5-nut"),
    commands.RollBackModel(model="m5-nut"),
    commands.ListSamples(state="new", camera="front", limit=20),
    commands.ShowSample(sample="front-20260314t092653589793z-1207"),
    commands.ReviewSamples(
        samples=("front-20260314t092653589793z-1207",),
        decision="approved",
        boxes=(commands.LabelledBox(label="nut", x=320.0, y=200.0, width=40.0, height=40.0),),
    ),
    commands.UploadSamples(),
    commands.RetrainModel(confirm=True),
    commands.CheckUpdates(),
    commands.CancelJob(job="retrain-8"),
    configuration.PublisherConfiguration(
        revision="9d2e40c8aa53",
        cameras=(configuration.PublisherCamera(id="front", name="Front door", index=0),),
        device_name="Line 3",
        alarms=(alarms.AlarmRule(id="no-nut", labels=("nut",), compare="at-most", count=0),),
        processors=(processors.ProcessorOptions(id="plates", settings={"country": "NL"}),),
        destinations=(
            destinations.HttpDestination(
                id="shop",
                url="https://shop.example/results",
                headers={"Authorization": "Bearer {{ secret.shop }}"},
                gather="batch",
            ),
            destinations.MqttDestination(
                id="hall", url="mqtts://hall.example:8883", root="plant/7", what=("events",)
            ),
            destinations.FileDestination(id="disk", path="results.jsonl"),
            destinations.SocketDestination(id="plc", path="/sockets/plc.sock", what=("nx-output",)),
            destinations.InfluxDestination(id="influx", url="http://influx:8086", bucket="line"),
        ),
    ),
    commands.ReadLog(service="capture", after=120, level="warning"),
    commands.DetectPicture(model="m5-nut", attachment=JPEG),
    commands.ListResults(since=AT, until=AT + timedelta(hours=1), camera="front", limit=20),
    commands.ExportResults(since=AT, until=AT + timedelta(hours=1), format="jsonl"),
    commands.ChartResults(since=AT, until=AT + timedelta(days=1), chart="counts"),
    commands.ShowLogger(),
    commands.RunCameras(running=False, cameras=("front",)),
    commands.AdjustCamera(camera="front", collect=True, threshold=0.6),
    commands.RestartService(service="capture"),
    commands.ReceiveFile(file="nuts.tflite", offset=0, attachment=JPEG),
    commands.DiscardFile(file="nuts.tflite"),
    commands.ListJobs(command="upload", limit=20),
    commands.CountSamples(),
    commands.ProbeSource(
        source=configuration.RtspSource(url="rtsp://192.0.2.17:554/stream1"), credentials="probe-1"
    ),
    commands.FindCameras(),
    commands.ListStreams(address="http://192.0.2.17/onvif/device_service", credentials="probe-1"),
    commands.WatchCamera(camera="front", seconds=30),
    commands.TakeSnapshot(camera="front", stream="k3j9", sequence=1207, publish=True),
    commands.TriggerCamera(camera="front"),
    commands.Reply(ok=True, details={"width": 640, "height": 480}, attachment=JPEG),
    frames.Frame(
        camera="front",
        input="4x2x3_fit-short_exact",
        models=("m5-nut", "m5-washer"),
        stream="k3j9",
        sequence=1207,
        captured_at_us=AT_US,
        width=4,
        height=2,
        channels=3,
        source_width=640,
        source_height=480,
        transform=TRANSFORM,
        attachment=bytes(range(0, 240, 10)),  # holds 0x0a: the reader must split at the first only
    ),
    frames.Preview(camera="front", attachment=JPEG),
    frames.Picture(camera="front", attachment=JPEG),
    models.ModelManifest(
        model="m5-nut",
        name="M5 nuts",
        task=models.Task.FOMO,
        labels=("nut",),
        width=96,
        height=96,
        channels=3,
        resize_mode=models.ResizeMode.FIT_SHORT,
        version="3",
        source="m5_nut.tflite",
        digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        engine="litert",
        engine_ms=0.17,
        inputs=(
            models.TensorInfo(
                name="input", shape=(1, 96, 96, 3), dtype="int8", scale=0.00392157, zero_point=-128
            ),
        ),
        outputs=(
            models.TensorInfo(
                name="output", shape=(1, 12, 12, 2), dtype="int8", scale=0.00390625, zero_point=-128
            ),
        ),
    ),
    outputs.Detections(
        timestamp=AT,
        timestamp_ms=AT_MS,
        device=DEVICE,
        camera="front",
        camera_name="Front door",
        model="m5-nut",
        model_name="M5 nuts",
        model_version="3",
        stream="k3j9",
        sequence=1207,
        picture_width=640,
        picture_height=480,
        count=1,
        counts={"nut": 1, "washer": 0},
        objects=(
            outputs.ObjectFound(
                label="nut",
                confidence=0.97265625,
                x=0.5,
                y=0.4166,
                width=0.0625,
                height=0.0833,
                x_px=320,
                y_px=200,
                width_px=40,
                height_px=40,
            ),
        ),
        latency_ms=4.2,
        inference_ms=0.17,
    ),
    outputs.CameraState(
        timestamp=AT,
        timestamp_ms=AT_MS,
        device=DEVICE,
        camera="front",
        camera_name="Front door",
        count=1,
        counts={"nut": 1, "washer": 0},
        present={"nut": True, "washer": False},
        alarms=(
            outputs.HeldAlarm(
                id="busy-front-m5-nut-mr5d1a2b",
                rule="busy",
                rule_name="Too many nuts",
                model="m5-nut",
                started_at=AT,
            ),
        ),
        last_detection=AT,
        fps=15.0,
        latency_ms=4.2,
        latency_p50_ms=4.1,
        latency_p95_ms=7.9,
    ),
    outputs.Rehearsal(
        camera="front",
        test="t1",
        model="m5-nut",
        stream="k3j9",
        sequence=1207,
        picture_width=640,
        picture_height=480,
        latency_ms=4.2,
        inference_ms=0.17,
        messages=(
            outputs.Outgoing(topic="nxai/v1/box/cameras/front/detections", payload='{"count":1}'),
        ),
    ),
    alarms.Alarm(
        alarm=alarms.AlarmPhase.START,
        id="no-nut-front-1773480413589",
        rule="no-nut",
        rule_name="No nut on the belt",
        device=DEVICE,
        camera="front",
        camera_name="Front door",
        model="m5-nut",
        timestamp=AT,
        timestamp_ms=AT_MS,
        started_at=AT,
        duration_s=0.0,
        count=0,
        stream="a1b2c3d4",
        sequence=1042,
        picture=True,
    ),
    processors.ProcessorManifest(
        processor="plates",
        name="Number plates",
        version="1.2.0",
        labels=("plate",),
        settings={"country": "DE"},
    ),
    processors.Work(
        processor="plates",
        id="front-a1b2c3d4-1042-m5-nut",
        camera="front",
        camera_name="Front door",
        model="m5-nut",
        stream="a1b2c3d4",
        sequence=1042,
        timestamp_ms=AT_MS,
        picture_width=640,
        picture_height=480,
        settings={"country": "NL"},
    ),
    processors.Done(
        processor="plates",
        id="front-a1b2c3d4-1042-m5-nut",
        objects=(
            processors.ProcessedObject(
                label="plate", confidence=0.75, x=0.5, y=0.5, width=0.125, height=0.0625
            ),
        ),
    ),
    outputs.Event(
        event=outputs.EventPhase.END,
        id="front-m5-nut-nut-1773480413589",
        device=DEVICE,
        camera="front",
        camera_name="Front door",
        model="m5-nut",
        label="nut",
        timestamp=AT,
        timestamp_ms=AT_MS,
        started_at=datetime(2026, 3, 14, 9, 26, 50, 0, UTC),
        duration_s=3.59,
        count=0,
        max_count=2,
        confidence=0.97265625,
    ),
    outputs.Snapshot(camera="front", attachment=JPEG),
    outputs.Output(
        camera="front",
        entries=(
            outputs.NxOutput(
                deviceId="box",
                modelId="m5-nut",
                sourceId="input-0",
                sourceName="Front door",
                outputDims=[[1, 1, 2, 2]],
                outputDataTypes=[1],
                output={"output": [0.25, 0.75, 0.0, 1.0]},
                timestamp=AT_MS,
                sourceDate="2026-03-14T09:26:53.589Z",
                uncertain=1,
                baseRGB="AAEC",
                h=1,
                w=1,
                c=3,
            ),
        ),
    ),
    results.InferenceResult(
        camera="front",
        input="4x2x3_fit-short_exact",
        model="m5-nut",
        model_name="M5 nuts",
        model_version="3",
        model_digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        task=models.Task.FOMO,
        worker="inference",
        stream="k3j9",
        sequence=1207,
        captured_at_us=AT_US,
        width=4,
        height=2,
        channels=3,
        source_width=640,
        source_height=480,
        transform=TRANSFORM,
        labels=("nut",),
        detections=(DETECTION,),
        uncertain=True,
        uncertain_reason="nut 0.41 is below 0.5",
        collect=results.CollectReason(
            strategy="uncertain", reason="nut 0.41 is below 0.5", value=0.59
        ),
        timing=results.Timing(queue_ms=1.5, engine_ms=0.17, decode_ms=0.05),
        tensors=(results.Tensor(name="output", shape=(1, 1, 1, 2), offset=0, length=8),),
        image=results.InputImage(width=4, height=2, channels=3, offset=8, length=24),
        attachment=bytes(range(32)),
    ),
    samples.Sample(
        camera="front",
        stream="k3j9",
        sequence=1207,
        captured_at_us=AT_US,
        width=640,
        height=480,
        model="m5-nut",
        model_version="3",
        task=models.Task.FOMO,
        labels=("nut",),
        reason="nut 0.41 is below 0.5",
        value=0.59,
        detections=(DETECTION,),
        attachment=JPEG,
    ),
    status.Status(
        service="capture",
        role="capture",
        state=status.ServiceState.DEGRADED,
        version="0.1.0",
        at=AT,
        started_at=datetime(2026, 3, 14, 9, 0, 0, 0, UTC),
        pid=4711,
        host="line-3",
        configuration_revision="5c1b7f0e2d9a",
        problems=(status.Problem(about="camera front", reason="401: check user and password"),),
        counters={"bus_published": 24_013},
        gauges={"memory_mb": 81, "disk_free_mb": 15_210},
        cameras=(
            status.CameraStatus(
                camera="front",
                state=status.LinkState.WAITING,
                reason="401: check user and password",
                since=AT,
                models=("m5-nut",),
            ),
        ),
    ),
)


def message_classes() -> tuple[type[Message], ...]:
    """Return every class that travels on the bus, in order of its name."""
    for module in pkgutil.iter_modules(contracts.__path__, contracts.__name__ + "."):
        importlib.import_module(module.name)
    found: set[type[Message]] = set()
    waiting: list[type[Message]] = [Message]
    home = contracts.__name__
    while waiting:
        children = [c for c in waiting.pop().__subclasses__() if c.__module__.startswith(home)]
        found.update(children)
        waiting.extend(children)
    return tuple(sorted(found - BASES, key=lambda kind: kind.__name__))


def example(kind: type[Message]) -> Message:
    """Return the example of a class."""
    return next(message for message in EXAMPLES if type(message) is kind)


def topic(message: Message) -> str:
    """Return where the example is published."""
    return REPLY_TOPIC if isinstance(message, commands.Reply) else message.topic(DEVICE)


def file_of(kind: type[Message]) -> Path:
    """Return the golden file of a class: text where it is text, else bytes."""
    binary = issubclass(kind, AttachedMessage | RawMessage)
    return GOLDEN / f"{kind.__name__}.{'bin' if binary else 'json'}"


def write() -> None:
    """Write all golden files anew."""
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.iterdir():
        old.unlink()
    for message in EXAMPLES:
        file_of(type(message)).write_bytes(message.encode())
    topics = {type(m).__name__: topic(m) for m in EXAMPLES}
    (GOLDEN / "topics.json").write_text(json.dumps(topics, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    write()
    sys.stdout.write(f"wrote {len(EXAMPLES)} golden files to {GOLDEN}\n")
