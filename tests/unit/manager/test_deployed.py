"""Which imported models fit beside settings.json."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_common.contracts.collecting import CollectPolicy
from nxai_common.contracts.configuration import DemoSource, DesiredModel, UncertainRule
from nxai_common.contracts.deployments import DeployedModel
from nxai_common.contracts.status import Problem
from nxai_manager.core.compile import compile_settings
from nxai_manager.core.deployed import Deployed, fit
from nxai_manager.core.document import Camera, ModelUse, Settings

SETTINGS = Settings(
    cameras=tuple(
        Camera(id=name, source=DemoSource(), models=(ModelUse(id="nut"),))
        for name in ("front", "back")
    ),
    models=(DesiredModel(id="nut", path="nut"),),
)
OLD, NEW = "a" * 64, "b" * 64


def deployed(model: str = "parts", **fields: Any) -> DeployedModel:
    return DeployedModel(**({"model": model, "cameras": ("front",), "digest": OLD} | fields))


def trying(name: str, model: str = "parts") -> DeployedModel:
    return deployed(model, candidate=NEW, candidate_model=name)


def test_what_fits_is_left_as_it_is() -> None:
    wanted = (deployed(threshold=0.4, name="Parts"), trying("bolts-new", model="bolts"))
    assert fit(SETTINGS, wanted) == Deployed(wanted)


@pytest.mark.parametrize("wanted", [deployed("nut"), trying("nut-new", model="nut")])
def test_model_of_the_settings_wins(wanted: DeployedModel) -> None:
    assert fit(SETTINGS, [wanted, deployed()]) == Deployed(
        (deployed(),),
        (
            Problem(
                about="model nut",
                reason="is in settings.json and imported from Edge Impulse as well; the one in "
                "settings.json runs. Remove it there or give it another id, and the imported one "
                "runs",
            ),
        ),
    )


def test_model_that_is_deployed_twice_runs_once() -> None:
    found = fit(SETTINGS, [deployed(), deployed(cameras=("back",))])
    assert found.models == (deployed(),)
    assert found.problems == (
        Problem(about="model parts", reason="is deployed twice; the first one runs"),
    )


def test_camera_that_is_not_there_is_left_out_and_told() -> None:
    found = fit(SETTINGS, [deployed(cameras=("side", "back", "yard", "back"))])
    assert found.models == (deployed(cameras=("back",)),)
    assert found.problems == (
        Problem(
            about="model parts",
            reason="is deployed on cameras that are not in settings.json: 'side', 'yard'. Add "
            "them there, or deploy the model on others",
        ),
    )


def test_model_without_a_camera_is_loaded_all_the_same() -> None:
    found = fit(SETTINGS, [deployed(cameras=())])
    assert found == Deployed((deployed(cameras=()),))


def test_many_cameras_that_are_not_there_make_one_line() -> None:
    [problem] = fit(SETTINGS, [deployed(cameras=tuple(f"c{n}" for n in range(7)))]).problems
    assert "'c0', 'c1', 'c2', 'c3', 'c4' and 2 more." in problem.reason


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ([trying("nut")], "nut"),
        ([trying("parts")], "parts"),
        ([trying("bolts"), deployed("bolts")], "bolts"),
        ([trying("new", model="bolts"), trying("new")], "new"),
    ],
)
def test_candidate_without_a_name_of_its_own_is_not_tried(
    wanted: list[DeployedModel], name: str
) -> None:
    found = fit(SETTINGS, wanted)
    parts = next(model for model in found.models if model.model == "parts")
    assert parts == deployed()
    assert found.problems == (
        Problem(
            about="model parts",
            reason=f"its new version cannot be tried: {name!r}, the name for it, is that of "
            "another model; give that one another id",
        ),
    )


names = st.sampled_from(["nut", "parts", "bolts", "new", "front"])
models = st.builds(
    lambda candidate_model, **rest: DeployedModel(
        candidate=None if candidate_model is None else NEW, candidate_model=candidate_model, **rest
    ),
    model=names,
    cameras=st.lists(st.sampled_from(["front", "back", "side"]), max_size=4).map(tuple),
    digest=st.just(OLD),
    candidate_model=st.none() | names,
    threshold=st.none() | st.floats(0, 1),
)


@given(wanted=st.lists(models, max_size=5))
def test_whatever_is_deployed_services_get_what_they_can_run(wanted: list[DeployedModel]) -> None:
    found = fit(SETTINGS, wanted)
    compiled = compile_settings(SETTINGS, {}, found)
    ids = [model.id for model in compiled.inference.models]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "nut"
    tried = {shadow.model: shadow.of for shadow in compiled.inference.shadows}
    assert {*tried, *tried.values()} <= set(ids)
    for camera in compiled.capture.cameras:
        assert camera.models[0] == "nut"
        assert len(set(camera.models)) == len(camera.models)
        assert set(camera.models) <= set(ids)
        assert all(of in camera.models for model, of in tried.items() if model in camera.models)
    assert set(ids) | {p.about.removeprefix("model ") for p in found.problems} >= {
        model.model for model in wanted
    }


NEVER = UncertainRule()
SOMETIMES = UncertainRule(threshold=0.3)


@pytest.mark.parametrize(
    ("own", "camera", "imported", "told"),
    [
        # rules of its own model and of the camera, cameras of an imported model, whether it is told
        (NEVER, None, (), True),
        (NEVER, None, ("back",), True),
        (NEVER, None, ("front",), False),  # it follows the camera: inference chooses
        (NEVER, SOMETIMES, (), True),
        (NEVER, SOMETIMES, ("front",), False),
        (SOMETIMES, NEVER, ("front",), False),
        (None, None, (), False),
    ],
)
def test_camera_that_shall_collect_what_its_models_never_give_is_told(
    own: UncertainRule | None,
    camera: UncertainRule | None,
    imported: tuple[str, ...],
    told: bool,
) -> None:
    front, back = SETTINGS.cameras
    settings = SETTINGS.model_copy(
        update={
            "cameras": (
                front.model_copy(
                    update={
                        "models": (ModelUse(id="nut", uncertain=own),),
                        "uncertain": camera,
                        "collect": CollectPolicy(enabled=True),
                    }
                ),
                back,
            )
        }
    )
    problem = Problem(
        about="camera front",
        reason='collects no uncertain pictures: the "uncertain" threshold of each of its models is '
        "0, which means never. Write another one, or leave it out, and one that fits is chosen",
    )
    found = fit(settings, (deployed(cameras=imported),))
    assert found.problems == ((problem,) if told else ())


def test_camera_without_models_may_wait_for_one() -> None:
    alone = Camera(id="front", source=DemoSource(), collect=CollectPolicy(enabled=True))
    assert fit(Settings(cameras=(alone,)), ()) == Deployed()
