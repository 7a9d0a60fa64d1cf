"""A local Edge Impulse: Studio, ingestion and jobs, on real sockets.

How a test uses it::

    from support.edge_impulse import Emulator, Fault, Reply, Training, downloads, fomo, running

    emulator = Emulator()
    project = emulator.add_project("Parcels", key="ei_admin")
    project.add_key("ei_reader", "readonly")
    project.add_impulse(fomo(("box", "bag"), float32=model, int8=small, size=(96, 96)))
    with running(emulator) as urls:  # urls.studio ends with /v1; urls.ingestion; urls.elsewhere
        ...  # the client under test

        project.next_training = Training(artefacts=downloads(better), labels=("box", "bag", "can"))
        ...  # POST jobs/retrain; each poll of its status brings it on by one line of its log
        project.train(Training(...))  # or somebody trains in Studio, without a job of ours
        project.edit()  # or edits the impulse: `availableModelTypes` says requiresRetrain

        emulator.faults.add(Fault("*/downloads", Reply(503), count=3))
        emulator.faults.add(Fault("POST /api/*/files", LoseAnswer(after_files=2)))

        assert [sample.filename for sample in project.uploaded()] == ["a.jpg"]
        assert emulator.asked("/downloads")[0].headers["x-api-key"] == "ei_admin"

Everything may be changed while it runs. By hand: ``python -m support.edge_impulse --help``.
"""

from support.edge_impulse.faults import (
    CutShort,
    Delay,
    Endless,
    Fault,
    Hang,
    LoseAnswer,
    Redirect,
    Reply,
    ResetWhileReceiving,
    Trickle,
    captive_portal,
    refusal,
    too_many,
    unsuccessful,
)
from support.edge_impulse.project import (
    FLOAT32,
    INT8,
    ONNX,
    Artefact,
    Box,
    Deployment,
    DspBlock,
    Emulator,
    Impulse,
    InputBlock,
    Job,
    LearnBlock,
    Metrics,
    Project,
    Request,
    Sample,
    Threshold,
    Training,
    detector,
    downloads,
    fomo,
    tflite_like,
    yolov5,
)
from support.edge_impulse.server import Urls, running

__all__ = [
    "FLOAT32",
    "INT8",
    "ONNX",
    "Artefact",
    "Box",
    "CutShort",
    "Delay",
    "Deployment",
    "DspBlock",
    "Emulator",
    "Endless",
    "Fault",
    "Hang",
    "Impulse",
    "InputBlock",
    "Job",
    "LearnBlock",
    "LoseAnswer",
    "Metrics",
    "Project",
    "Redirect",
    "Reply",
    "Request",
    "ResetWhileReceiving",
    "Sample",
    "Threshold",
    "Training",
    "Trickle",
    "Urls",
    "captive_portal",
    "detector",
    "downloads",
    "fomo",
    "refusal",
    "running",
    "tflite_like",
    "too_many",
    "unsuccessful",
    "yolov5",
]
