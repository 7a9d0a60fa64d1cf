"""Cameras as they shall be: added, changed, removed, run and stopped."""

from http import HTTPStatus
from typing import Any, Final

from pydantic import GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from nxai_common.contracts.topics import Level
from nxai_manager.core.accounts import Scope
from nxai_manager.core.document import Camera
from nxai_manager.core.history import Author, How
from nxai_manager.desk import View
from nxai_manager.web.answer import Answer, Refused
from nxai_manager.web.api.cameras import CameraName, models_on
from nxai_manager.web.api.settings import Revision, plainly
from nxai_manager.web.endpoint import Call, Endpoint, Form

TAG: Final = "cameras"
RUN_TAG: Final = "run"


class CameraForm(RootModel[dict[str, Any]]):
    """A camera as it stands in settings.json.

    Checked as a part of it. Eight bullets (U+2022) stand for the password that is kept, if the
    address of the source is the same.
    """

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema of a camera."""
        return handler(Camera.__pydantic_core_schema__)


class CameraPatch(RootModel[dict[str, Any]]):
    """A merge patch (RFC 7396) of a camera; null takes a key away."""


class OfRevision(Form):
    """Which settings are changed."""

    revision: Revision | None = None
    """Of the settings that were read; left out: whatever is there."""


class Changed(Answer):
    """What became of a change of the settings."""

    revision: str
    """Of the settings."""
    in_force: bool
    held_up: str = ""
    """Why it is not in force yet."""


class CameraChanged(Changed):
    """What became of a change of a camera."""

    camera: Level
    settings: dict[str, Any]
    """Of the camera, as it stands in settings.json."""


class CameraRemoved(Changed):
    """What became of what hung on a camera."""

    camera: Level
    models: tuple[Level, ...] = ()
    """Models that looked at it; they stay."""
    deployed: tuple[Level, ...] = ()
    """Those of them that were imported and are still deployed on it: undeploy them, or add a
    camera of this name again."""
    note: str
    """The same in words."""


class Run(Form):
    """Whether."""

    running: bool


class RunAnswer(Changed):
    """What runs."""

    running: bool
    """Whether inference runs on this box; false stops all cameras."""
    cameras: dict[Level, bool]
    """Whether each is to run while the box does."""


async def add_camera(call: Call) -> CameraChanged:
    """Add a camera."""
    camera: dict[str, Any] = call.body.root
    with plainly():
        view = await call.box.in_thread(
            call.box.desk.add_camera, camera, call.asker.name, expected=call.query.revision
        )
    return _changed(camera["id"], view)


async def replace_camera(call: Call) -> CameraChanged:
    """Put other settings in the place of those of a camera.

    Another `id` gives it another name: charts and retained messages of the old one stay behind.
    """
    camera: dict[str, Any] = call.body.root
    with plainly():
        view = await call.box.in_thread(
            call.box.desk.replace_camera,
            call.path.camera,
            camera,
            call.asker.name,
            expected=call.query.revision,
        )
    return _changed(camera["id"], view)


async def change_camera(call: Call) -> CameraChanged:
    """Change some settings of a camera."""
    patch: dict[str, Any] = call.body.root
    with plainly():
        view = await call.box.in_thread(
            call.box.desk.change_camera,
            call.path.camera,
            patch,
            call.asker.name,
            expected=call.query.revision,
        )
    return _changed(patch.get("id", call.path.camera), view)


async def remove_camera(call: Call) -> CameraRemoved:
    """Take a camera out. Models, collected pictures and the rows of the data logger are kept."""
    box, name = call.box, call.path.camera
    models = models_on(box, name)
    deployed = tuple(m for m, d in box.hub.deployments().items() if name in d.cameras)
    with plainly():
        view = await box.in_thread(
            box.desk.remove_camera, name, call.asker.name, expected=call.query.revision
        )
    return CameraRemoved(
        camera=name,
        revision=view.revision,
        in_force=view.in_force,
        held_up=view.held_up,
        models=models,
        deployed=deployed,
        note=_what_stays(models, deployed),
    )


def _what_stays(models: tuple[str, ...], deployed: tuple[str, ...]) -> str:
    words = ["The pictures collected from it and its rows in the data logger are kept."]
    if models:
        words.append(f"Models that looked at it stay: {', '.join(models)}.")
    if deployed:
        words.append(f"Still deployed on it, and to be undeployed: {', '.join(deployed)}.")
    return " ".join(words)


def _changed(camera: str, view: View) -> CameraChanged:
    return CameraChanged(
        camera=camera,
        settings=view.cameras.get(camera, {}),
        revision=view.revision,
        in_force=view.in_force,
        held_up=view.held_up,
    )


# -- run and stop ---------------------------------------------------------------------------------


async def show_run(call: Call) -> RunAnswer:
    """Return what runs."""
    return _runs(call, call.box.desk.current())


async def run(call: Call) -> RunAnswer:
    """Run or stop inference on this box. Cameras stay open, for their previews and tests."""
    return await _run(call, None)


async def run_camera(call: Call) -> RunAnswer:
    """Run or stop inference of one camera. It stays open, for its preview and tests."""
    return await _run(call, (call.path.camera,))


async def _run(call: Call, cameras: tuple[str, ...] | None) -> RunAnswer:
    with plainly():
        view = await call.box.in_thread(
            call.box.desk.run,
            running=call.body.running,
            cameras=cameras,
            author=Author(how=How.PAGE, who=call.asker.name),
        )
    return _runs(call, view)


def _runs(call: Call, view: View) -> RunAnswer:
    settings = call.box.desk.settings
    if settings is None:
        raise Refused(
            HTTPStatus.CONFLICT,
            "no settings are in force yet: GET /settings says why",
        )
    return RunAnswer(
        running=settings.run,
        cameras={camera.id: camera.run for camera in settings.cameras},
        revision=view.revision,
        in_force=view.in_force,
        held_up=view.held_up,
    )


ENDPOINTS: Final = (
    Endpoint(
        "POST",
        "/cameras",
        add_camera,
        Scope.CONFIGURE,
        CameraChanged,
        query=OfRevision,
        body=CameraForm,
        status=HTTPStatus.CREATED,
        errors=(HTTPStatus.CONFLICT,),
        tag=TAG,
    ),
    Endpoint(
        "PUT",
        "/cameras/{camera}",
        replace_camera,
        Scope.CONFIGURE,
        CameraChanged,
        query=OfRevision,
        path_model=CameraName,
        body=CameraForm,
        errors=(HTTPStatus.CONFLICT,),
        tag=TAG,
    ),
    Endpoint(
        "PATCH",
        "/cameras/{camera}",
        change_camera,
        Scope.CONFIGURE,
        CameraChanged,
        query=OfRevision,
        path_model=CameraName,
        body=CameraPatch,
        errors=(HTTPStatus.CONFLICT,),
        tag=TAG,
    ),
    Endpoint(
        "DELETE",
        "/cameras/{camera}",
        remove_camera,
        Scope.CONFIGURE,
        CameraRemoved,
        query=OfRevision,
        path_model=CameraName,
        errors=(HTTPStatus.CONFLICT,),
        tag=TAG,
    ),
    Endpoint(
        "PUT",
        "/cameras/{camera}/run",
        run_camera,
        Scope.OPERATE,
        RunAnswer,
        path_model=CameraName,
        body=Run,
        errors=(HTTPStatus.CONFLICT,),
        tag=RUN_TAG,
    ),
    Endpoint(
        "GET", "/run", show_run, Scope.READ, RunAnswer, errors=(HTTPStatus.CONFLICT,), tag=RUN_TAG
    ),
    Endpoint(
        "PUT",
        "/run",
        run,
        Scope.OPERATE,
        RunAnswer,
        body=Run,
        errors=(HTTPStatus.CONFLICT,),
        tag=RUN_TAG,
    ),
)
