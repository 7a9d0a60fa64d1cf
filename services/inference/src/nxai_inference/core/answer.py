"""From a decoded output to the message that says it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from nxai_common.contracts.collecting import UncertainStrategy
from nxai_common.contracts.configuration import Assignment, DesiredModel, UncertainRule
from nxai_common.contracts.frames import Frame
from nxai_common.contracts.models import ModelManifest, Task, TensorInfo
from nxai_common.contracts.results import (
    Box,
    Classification,
    Detection,
    InferenceResult,
    InputImage,
    Tensor,
    Timing,
)
from nxai_inference.core.areas import Limit
from nxai_inference.core.collecting import Collector, Look
from nxai_inference.core.decoding import Decoded
from nxai_inference.core.geometry import to_original
from nxai_inference.core.tensors import RawOutput
from nxai_inference.core.uncertainty import UncertaintyRule, fitting_rule, rule_for

SMALL_TENSORS: Final = 4096
"""Values up to which ``tensors: auto`` sends raw outputs: a FOMO map of 30 x 30 x 4 has 3,600 and
makes 14 kB, YOLOv5 at 320 pixels has 44,100 and would make each result larger than its frame."""

FLOAT32_BYTES: Final = 4

TASK_OF_NO_MODEL: Final = Task.CLASSIFICATION
"""The contract wants a task where no model is known; readers look at `error` first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Writes the results of one model for one camera.

    What does not change from frame to frame (thresholds, labels, names, where tensors lie) is
    worked out once, because it costs more than running a small model.
    """

    threshold: float
    """Lowest confidence of a detection, for the decoder."""
    rule: UncertaintyRule
    template: InferenceResult
    tensors: tuple[Tensor, ...]
    """Descriptors of the raw outputs to send; empty: they are not sent."""
    tensor_bytes: int
    uncertain_image: bool
    collector: Collector | None = None
    """Says whether the full-size picture is worth keeping; None: nobody asks."""
    limit: Limit | None = None
    """Where objects count; None: everywhere."""

    @classmethod
    def build(
        cls,
        manifest: ModelManifest,
        desired: DesiredModel,
        assignment: Assignment | None,
        outputs: Sequence[TensorInfo],
        worker: str,
        frame: Frame,
    ) -> Self:
        """Return the writer for a model and the camera (and stream) of a frame.

        Args:
            manifest: Of the version that looks at the frame, its threshold already the model's.
            desired: What the configuration says about the model.
            assignment: What it says about this model on this camera, if anything.
            outputs: The engine's output tensors.
            worker: This process.
            frame: Any frame of the camera.
        """
        threshold = manifest.threshold
        if assignment is not None and assignment.threshold is not None:
            threshold = assignment.threshold
        tensors = _describe(outputs) if _wanted(desired, outputs) else ()
        return cls(
            threshold=threshold,
            rule=rule_for(_doubt(manifest.task, threshold, desired, assignment)),
            template=blank_result(frame, manifest, worker),
            tensors=tensors,
            tensor_bytes=sum(tensor.length for tensor in tensors),
            uncertain_image=desired.uncertain_image,
        )

    def collecting(self, collector: Collector) -> Self:
        """Return the same for a camera whose pictures are collected."""
        return replace(self, collector=collector)

    def within(self, limit: Limit | None) -> Self:
        """Return the same for a camera whose objects count in some places only."""
        return self if limit is None else replace(self, limit=limit)

    def beside(self, model: str) -> Self:
        """Return the same for a model that is tried beside another: its results are compared.

        They ask for no picture and carry none.
        """
        template = self.template.model_copy(update={"shadow_of": model})
        return replace(self, template=template, uncertain_image=False, collector=None)

    def result(
        self,
        frame: Frame,
        outputs: Sequence[RawOutput],
        decoded: Decoded,
        *,
        spent: Timing,
        returns_credit: bool,
    ) -> InferenceResult:
        """Return what the model says about a frame.

        Of the frame of a test no picture is collected, and no strategy hears of it.
        """
        ground = None
        if self.limit is not None:
            ground = self.limit.ground(frame)
            decoded = ground.limit(decoded)
        reason = self.rule.judge(decoded)
        changes: dict[str, object] = {
            "input": frame.input,
            "stream": frame.stream,
            "sequence": frame.sequence,
            "captured_at_us": frame.captured_at_us,
            "source_width": frame.source_width,
            "source_height": frame.source_height,
            "transform": frame.transform,
            "detections": self._detections(frame, decoded),
            "classifications": self._classifications(decoded),
            "uncertain": reason != "",
            "uncertain_reason": reason,
            "test": frame.test,
            "timing": spent,
            "returns_credit": returns_credit,
        }
        if self.collector is not None and not frame.test:
            look = Look(outputs, decoded, reason, frame.captured_at_us, frame.stream, ground)
            changes["collect"] = self.collector.judge(look)
        parts: list[bytes | bytearray | memoryview] = []
        if self.tensors:
            changes["tensors"] = self.tensors
            parts.extend(_float32_bytes(output, decoded) for output in outputs)
        if reason and self.uncertain_image:
            changes["image"] = InputImage(
                width=frame.width,
                height=frame.height,
                channels=frame.channels,
                offset=self.tensor_bytes,
                length=len(frame.attachment),
            )
            parts.append(frame.attachment)
        if parts:
            changes["attachment"] = parts[0] if len(parts) == 1 else b"".join(parts)
        return self.template.model_copy(update=changes)

    def _detections(self, frame: Frame, decoded: Decoded) -> tuple[Detection, ...]:
        if decoded.boxes is None or len(decoded) == 0:
            return ()
        names = self.template.labels
        found = []
        for label, confidence, box in zip(
            decoded.labels.tolist(), decoded.scores.tolist(), decoded.boxes.tolist(), strict=True
        ):
            x, y, width, height = to_original(
                box, frame.transform, frame.source_width, frame.source_height
            )
            found.append(
                Detection(
                    label=names[label],
                    confidence=confidence,
                    box=Box(x=x, y=y, width=width, height=height),
                    model_box=tuple(box),
                )
            )
        return tuple(found)

    def _classifications(self, decoded: Decoded) -> tuple[Classification, ...]:
        if decoded.boxes is not None:
            return ()
        names = self.template.labels
        return tuple(
            Classification(label=names[label], confidence=confidence)
            for label, confidence in zip(
                decoded.labels.tolist(), decoded.scores.tolist(), strict=True
            )
        )


def blank_result(frame: Frame, manifest: ModelManifest, worker: str) -> InferenceResult:
    """Return a result that says nothing yet about a frame."""
    return InferenceResult(
        camera=frame.camera,
        input=frame.input,
        model=manifest.model,
        model_name=manifest.name,
        model_version=manifest.version,
        model_digest=manifest.digest,
        task=manifest.task,
        worker=worker,
        stream=frame.stream,
        sequence=frame.sequence,
        captured_at_us=frame.captured_at_us,
        width=frame.width,
        height=frame.height,
        channels=frame.channels,
        source_width=frame.source_width,
        source_height=frame.source_height,
        transform=frame.transform,
        labels=manifest.labels,
    )


def refusal(
    frame: Frame, model: str, worker: str, reason: str, *, returns_credit: bool
) -> InferenceResult:
    """Return the result of a frame that a model did not look at: it says why."""
    return InferenceResult(
        camera=frame.camera,
        input=frame.input,
        model=model,
        task=TASK_OF_NO_MODEL,
        worker=worker,
        stream=frame.stream,
        sequence=frame.sequence,
        captured_at_us=frame.captured_at_us,
        width=frame.width,
        height=frame.height,
        channels=frame.channels,
        source_width=frame.source_width,
        source_height=frame.source_height,
        transform=frame.transform,
        labels=(),
        test=frame.test,
        error=reason,
        returns_credit=returns_credit,
    )


def timing(queue_ms: float, engine_ms: float, decode_ms: float) -> Timing:
    """Return the time spent, without digits that mean nothing."""
    return Timing(
        queue_ms=round(queue_ms, 3), engine_ms=round(engine_ms, 3), decode_ms=round(decode_ms, 3)
    )


def _doubt(
    task: Task, threshold: float, desired: DesiredModel, assignment: Assignment | None
) -> UncertainRule:
    if assignment is None:
        return desired.uncertain
    if assignment.uncertain is not None:
        return assignment.uncertain
    asked = any(isinstance(strategy, UncertainStrategy) for strategy in assignment.collect)
    if asked and desired.uncertain.threshold == 0:
        return fitting_rule(task, threshold)
    return desired.uncertain


def _wanted(desired: DesiredModel, outputs: Sequence[TensorInfo]) -> bool:
    if desired.tensors == "auto":
        return sum(_count(info) for info in outputs) <= SMALL_TENSORS
    return desired.tensors == "always"


def _count(info: TensorInfo) -> int:
    return int(np.prod(info.shape, dtype=np.int64))


def _describe(outputs: Sequence[TensorInfo]) -> tuple[Tensor, ...]:
    described, offset = [], 0
    for info in outputs:
        length = _count(info) * FLOAT32_BYTES
        described.append(Tensor(name=info.name, shape=info.shape, offset=offset, length=length))
        offset += length
    return tuple(described)


def _float32_bytes(output: RawOutput, decoded: Decoded) -> bytes:
    # FOMO's only output has been dequantised already.
    values = output.float32 if decoded.cells is None else decoded.cells
    return values.astype("<f4", copy=False).tobytes()
