"""From a result to the messages that every processed frame gives, or would give."""

from collections.abc import Iterable

from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import PublisherCamera, PublisherConfiguration
from nxai_common.contracts.outputs import Detections, Outgoing, Output, Rehearsal
from nxai_common.contracts.results import InferenceResult
from nxai_publisher.core.detections import detections_of, inference_ms, latency_ms
from nxai_publisher.core.nx_output import output_of
from nxai_publisher.core.observation import Observation


def frame_detections(
    result: InferenceResult,
    seen: Observation,
    wanted: PublisherConfiguration,
    camera: PublisherCamera,
    *,
    device: str,
    now_us: int,
) -> Detections | None:
    """Return the message for topic `detections`, when there shall be one."""
    if not wanted.detections:
        return None
    return detections_of(result, seen, device=device, camera_name=camera.name, now_us=now_us)


def frame_output(
    result: InferenceResult,
    wanted: PublisherConfiguration,
    camera: PublisherCamera,
    *,
    device: str,
) -> Output | None:
    """Return the message for topic `output`, when there shall be one; of this result alone."""
    if not wanted.nx_output.enabled:
        return None
    return output_of(
        result,
        wanted.nx_output,
        device=device,
        camera_index=camera.index,
        camera_name=camera.name,
    )


def rehearsal_of(
    result: InferenceResult,
    messages: Iterable[Message],
    *,
    device: str,
    now_us: int,
    error: str = "",
) -> Rehearsal:
    """Return what is told of the frame of a test, instead of sending anything.

    Args:
        result: Of a model on that frame.
        messages: What would be sent. Neither an event nor a state is among them: they tell of
            what goes on before a camera, and one frame out of line says nothing of that.
        device: Name of the box in the topics.
        now_us: Unix microseconds.
        error: Why there is nothing to send; empty: as the result says.
    """
    return Rehearsal(
        camera=result.camera,
        test=result.test,
        model=result.model,
        stream=result.stream,
        sequence=result.sequence,
        picture_width=result.source_width,
        picture_height=result.source_height,
        latency_ms=latency_ms(result.captured_at_us, now_us),
        inference_ms=inference_ms(result),
        error=error or result.error,
        messages=tuple(
            Outgoing(topic=message.topic(device), payload=message.encode().decode())
            for message in messages
        ),
    )
