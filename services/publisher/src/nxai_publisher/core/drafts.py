"""Messages on their way into the outbox."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from nxai_common.contracts.alarms import Alarm
from nxai_common.contracts.base import Message
from nxai_common.contracts.configuration import PublisherCamera, PublisherConfiguration
from nxai_common.contracts.destinations import Content
from nxai_common.contracts.outputs import CameraState, Detections, Event, Output
from nxai_common.contracts.results import InferenceResult
from nxai_publisher.core.frame_outputs import frame_detections, frame_output
from nxai_publisher.core.observation import Observation

KINDS: Final[dict[Content, type[Message]]] = {
    "detections": Detections,
    "nx-output": Output,
    "events": Event,
    "alarms": Alarm,
    "state": CameraState,
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that at least one destination wants."""

    content: Content
    message: Message
    camera: str
    model: str
    """Empty: of all models."""
    objects: bool
    """Whether it shows something."""
    at_us: int
    """When it was said, in Unix microseconds."""
    frame: str = ""
    """Of an Nx output: which frame and model it is of (it does not say)."""
    picture: bytes = b""
    """Of an alarm: JPEG of its frame."""


@dataclass(frozen=True, slots=True)
class Posted:
    """Drafts that become safe together, and the result that they are of."""

    key: tuple[object, ...]
    drafts: tuple[Draft, ...]


class Wants(Protocol):
    """Tells whether any destination wants something."""

    def __call__(self, content: Content, camera: str, *, objects: bool) -> bool:
        """Tell whether any wants this, of a camera; of a frame that shows something or not."""
        ...


def occasional(message: Message, at_us: int, wants: Wants) -> Draft | None:
    """Return what is said of events, alarms and states; None: nobody wants it."""
    match message:
        case Event(camera=camera, model=model):
            draft = Draft("events", message, camera, model, objects=True, at_us=at_us)
        case Alarm(camera=camera, model=model):
            draft = Draft("alarms", message, camera, model, objects=True, at_us=at_us)
        case CameraState(camera=camera):
            draft = Draft("state", message, camera, "", objects=True, at_us=at_us)
        case _:
            return None
    return draft if wants(draft.content, draft.camera, objects=True) else None


def of_frame(
    result: InferenceResult,
    seen: Observation,
    wanted: PublisherConfiguration,
    camera: PublisherCamera,
    wants: Wants,
    *,
    device: str,
    now_us: int,
) -> Iterator[Draft]:
    """Yield what a result gives by itself: also when it came before, of one that is not kept yet.

    Its Nx output is never gathered here; who wants that gathers what is in the outbox.
    """
    shows = seen.total > 0
    if wants("detections", camera.id, objects=shows):
        found = frame_detections(result, seen, wanted, camera, device=device, now_us=now_us)
        if found is not None:
            yield Draft("detections", found, camera.id, result.model, shows, now_us)
    if wants("nx-output", camera.id, objects=shows):
        output = frame_output(result, wanted, camera, device=device)
        if output is not None:
            frame = f"{result.stream}-{result.sequence}-{result.model}"
            yield Draft("nx-output", output, camera.id, result.model, shows, now_us, frame)
