"""From raw output tensors to detections, exactly as Edge Impulse's SDK v1.93 decodes them."""

from collections.abc import Callable, Sequence
from typing import Final

from nxai_common.contracts.models import ModelManifest, Task, TensorInfo
from nxai_inference.core.decoding.classification import ClassificationDecoder
from nxai_inference.core.decoding.decoded import Decoded, Decoder
from nxai_inference.core.decoding.fomo import FomoDecoder
from nxai_inference.core.decoding.mobilenet_ssd import MobileNetSsdDecoder
from nxai_inference.core.decoding.yolov5 import YoloV5Decoder

__all__ = [
    "ClassificationDecoder",
    "Decoded",
    "Decoder",
    "FomoDecoder",
    "MobileNetSsdDecoder",
    "YoloV5Decoder",
    "decoder_for",
]


def decoder_for(manifest: ModelManifest, outputs: Sequence[TensorInfo]) -> Decoder:
    """Return the decoder of a model.

    Args:
        manifest: Task, labels and input size of the model.
        outputs: Its output tensors, with the shapes that a run really gives.

    Raises:
        ConfigurationError: the outputs do not fit the task or the labels; says what to change.
    """
    return _DECODERS[manifest.task](manifest, outputs)


def _fomo(manifest: ModelManifest, outputs: Sequence[TensorInfo]) -> Decoder:
    return FomoDecoder.build(outputs, labels=len(manifest.labels), width=manifest.width)


def _yolov5(manifest: ModelManifest, outputs: Sequence[TensorInfo]) -> Decoder:
    return YoloV5Decoder.build(
        outputs,
        labels=len(manifest.labels),
        width=manifest.width,
        height=manifest.height,
        pixels=manifest.task is Task.YOLOV5_V5,
        iou=manifest.nms_iou,
    )


def _mobilenet_ssd(manifest: ModelManifest, outputs: Sequence[TensorInfo]) -> Decoder:
    return MobileNetSsdDecoder.build(
        outputs, labels=len(manifest.labels), width=manifest.width, height=manifest.height
    )


def _classification(manifest: ModelManifest, outputs: Sequence[TensorInfo]) -> Decoder:
    return ClassificationDecoder.build(outputs, labels=len(manifest.labels))


_DECODERS: Final[dict[Task, Callable[[ModelManifest, Sequence[TensorInfo]], Decoder]]] = {
    Task.FOMO: _fomo,
    Task.YOLOV5: _yolov5,
    Task.YOLOV5_V5: _yolov5,
    Task.MOBILENET_SSD: _mobilenet_ssd,
    Task.CLASSIFICATION: _classification,
}
