"""Raw outputs and manifests for decoder tests."""

from typing import Any

from numpy.typing import NDArray

from nxai_common.contracts.models import ModelManifest, Task, TensorInfo
from nxai_inference.core.decoding import Decoded, Decoder, decoder_for
from nxai_inference.core.tensors import RawOutput


def raw(values: NDArray[Any], *, scale: float = 0.0, zero_point: int = 0) -> RawOutput:
    """Wrap an array as an engine would."""
    info = TensorInfo(
        name="output",
        shape=values.shape,
        dtype=values.dtype.name,
        scale=scale,
        zero_point=zero_point,
    )
    return RawOutput(info, values)


def manifest(task: Task, labels: int, width: int, height: int, iou: float = 0.2) -> ModelManifest:
    """Return the manifest of a made-up model with labels L0, L1 ..."""
    return ModelManifest(
        model="made-up",
        task=task,
        labels=tuple(f"L{index}" for index in range(labels)),
        width=width,
        height=height,
        channels=3,
        nms_iou=iou,
        digest="",
    )


def decoder(about: ModelManifest, *outputs: RawOutput) -> Decoder:
    """Return the decoder for outputs like these."""
    return decoder_for(about, [output.info for output in outputs])


def rows(decoded: Decoded) -> list[tuple[int, int, int, int, int, float]]:
    """Return label, x, y, width, height, score a row."""
    assert decoded.boxes is not None
    return [
        (label, *box, score)
        for label, box, score in zip(
            decoded.labels.tolist(), decoded.boxes.tolist(), decoded.scores.tolist(), strict=True
        )
    ]
