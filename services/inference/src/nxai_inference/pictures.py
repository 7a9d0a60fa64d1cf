"""Pictures that somebody sends: looked at with a model, as a frame of a camera would be.

A picture is read on the loading thread, behind the loads of the configuration, because it may be
large and takes its time. A model in force then looks at it between two frames; one that is not
offered is loaded for it, on the loading thread, too.
"""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from nxai_common.contracts.commands import DetectPicture, Reply
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.frames import Frame
from nxai_common.contracts.models import InputSpec, ModelManifest
from nxai_inference.core.answer import Answer, timing
from nxai_inference.models import Models, Version, attempt
from nxai_inference.ports import FittedPicture, PictureReader

PICTURE: Final = "picture"
"""Camera and stream of the result."""

STOPS: Final = "the inference service stops"


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A picture that waits for its model, and who waits for the answer."""

    command: DetectPicture
    model: str
    wanted: InputSpec
    picture: FittedPicture
    answer: Callable[[Reply], None]


class Pictures:
    """Answers the command `detect`."""

    def __init__(
        self,
        models: Models,
        reader: PictureReader,
        wake: Callable[[], None],
        *,
        worker: str,
        now_us: Callable[[], int],
    ) -> None:
        self._models = models
        self._reader = reader
        self._wake = wake
        self._worker = worker
        self._now_us = now_us
        self._fitted: queue.SimpleQueue[_Fitted] = queue.SimpleQueue()

    def ask(self, command: DetectPicture, answer: Callable[[Reply], None]) -> None:
        """Take a picture; the answer comes later, from this thread or the loading one."""
        name, desired = command.model, command.desired
        if desired is not None and name is None:
            what = f"a picture for model {desired.id}"
            self._models.ask(what, partial(self._look_with, desired, command), answer)
        elif name is not None and desired is None:
            self._ask_offered(name, command, answer)
        else:
            reason = "give either the name of a model that is offered (`model`), or one to load"
            answer(Reply(ok=False, reason=f"{reason} for this alone (`desired`)"))

    def look(self) -> None:
        """Look at the pictures that are ready. Call it on the thread that runs the models."""
        while not self._fitted.empty():
            fitted = self._fitted.get()
            reply = attempt(f"a picture for model {fitted.model}", partial(self._look_at, fitted))
            if reply is not None:
                fitted.answer(reply)

    def close(self) -> None:
        """Answer those who still wait for a model in force. The loading thread has ended."""
        while not self._fitted.empty():
            self._fitted.get().answer(Reply(ok=False, reason=STOPS))

    def _ask_offered(
        self, name: str, command: DetectPicture, answer: Callable[[Reply], None]
    ) -> None:
        model = self._models.get(name)
        if model is None or model.current is None:
            answer(Reply(ok=False, reason=self._models.missing(name)))
            return
        wanted = input_of(model.current.manifest)
        work = partial(self._fit, command, name, wanted, answer)
        self._models.ask(f"a picture for model {name}", work, answer)

    def _look_at(self, fitted: _Fitted) -> Reply:
        model = self._models.get(fitted.model)
        version = None if model is None else model.current
        if model is None or version is None or input_of(version.manifest) != fitted.wanted:
            reason = f"model {fitted.model!r} changed while the picture was read: send it again"
            return Reply(ok=False, reason=reason)
        return self._seen(version, model.desired, fitted.command, fitted.picture)

    # -- on the loading thread ------------------------------------------------------------------

    def _fit(
        self,
        command: DetectPicture,
        model: str,
        wanted: InputSpec,
        answer: Callable[[Reply], None],
    ) -> None:
        picture = self._reader.read(bytes(command.attachment), wanted)
        self._fitted.put(_Fitted(command, model, wanted, picture, answer))
        self._wake()

    def _look_with(self, desired: DesiredModel, command: DetectPicture) -> Reply:
        with self._models.alone(desired) as version:
            picture = self._reader.read(bytes(command.attachment), input_of(version.manifest))
            return self._seen(version, desired, command, picture)

    # -- on either ------------------------------------------------------------------------------

    def _seen(
        self,
        version: Version,
        desired: DesiredModel,
        command: DetectPicture,
        picture: FittedPicture,
    ) -> Reply:
        """Return what a model says of a picture."""
        manifest = version.manifest
        wanted = (command.threshold, desired.threshold, manifest.threshold)
        threshold = next(value for value in wanted if value is not None)
        frame = self._frame(manifest, picture)
        answer = Answer.build(
            manifest.model_copy(update={"threshold": threshold}),
            desired.model_copy(update={"tensors": "never", "uncertain_image": False}),
            None,
            version.engine.outputs,
            self._worker,
            frame,
        )
        began = time.perf_counter()
        outputs = version.engine.run(picture.pixels)
        inferred = time.perf_counter()
        decoded = version.decoder.decode(outputs, threshold)
        done = time.perf_counter()
        spent = timing(0, (inferred - began) * 1000, (done - inferred) * 1000)
        result = answer.result(frame, outputs, decoded, spent=spent, returns_credit=False)
        return Reply(
            ok=True,
            details={
                "width": picture.width,
                "height": picture.height,
                "model": manifest.model,
                "engine_ms": spent.engine_ms,
            },
            attachment=result.model_dump_json(exclude={"attachment"}).encode(),
        )

    def _frame(self, manifest: ModelManifest, picture: FittedPicture) -> Frame:
        """Return a frame that stands for the picture; its pixels travel apart."""
        return Frame(
            camera=PICTURE,
            input=input_of(manifest).id,
            models=(manifest.model,),
            stream=PICTURE,
            sequence=0,
            captured_at_us=self._now_us(),
            width=manifest.width,
            height=manifest.height,
            channels=manifest.channels,
            source_width=picture.width,
            source_height=picture.height,
            transform=picture.transform,
        )


def input_of(manifest: ModelManifest) -> InputSpec:
    """Return the input of a model."""
    return InputSpec(
        width=manifest.width,
        height=manifest.height,
        channels=manifest.channels,
        resize_mode=manifest.resize_mode,
    )
