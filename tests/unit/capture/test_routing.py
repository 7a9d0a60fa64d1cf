"""From configuration and manifests to inputs."""

from typing import Literal

import pytest

from nxai_capture.core.routing import Route, Routes, route, same_connection
from nxai_common.contracts.configuration import CaptureCamera, ChangeTrigger, DemoSource, Watchdog
from nxai_common.contracts.models import InputSpec, ModelManifest, ResizeMode, ResizeQuality, Task


def manifest(
    model: str, side: int = 96, channels: Literal[1, 3] = 3, mode: ResizeMode = ResizeMode.SQUASH
) -> ModelManifest:
    return ModelManifest(
        model=model,
        task=Task.FOMO,
        labels=("nut",),
        width=side,
        height=side,
        channels=channels,
        resize_mode=mode,
        digest="0" * 64,
    )


def camera(**options: object) -> CaptureCamera:
    return CaptureCamera.model_validate({"id": "front", "source": {"type": "demo"}, **options})


def test_models_with_equal_inputs_share_frames() -> None:
    manifests = {m.model: m for m in (manifest("a"), manifest("b", 320), manifest("c"))}
    routes = route(camera(models=("a", "b", "c")), manifests)
    assert [(r.spec.width, r.models) for r in routes.inputs] == [(96, ("a", "c")), (320, ("b",))]
    assert routes.waiting_for == ()


def test_channels_and_modes_tell_inputs_apart_unless_the_camera_overrides_the_mode() -> None:
    manifests = {
        m.model: m
        for m in (manifest("a"), manifest("b", mode=ResizeMode.FIT_LONG), manifest("c", channels=1))
    }
    assert len(route(camera(models=("a", "b", "c")), manifests).inputs) == 3
    routes = route(
        camera(models=("a", "b"), resize_mode="fit-short", resize_quality="fast"), manifests
    )
    expected = InputSpec(
        width=96,
        height=96,
        channels=3,
        resize_mode=ResizeMode.FIT_SHORT,
        resize_quality=ResizeQuality.FAST,
    )
    assert routes == Routes((Route(expected, ("a", "b")),))


def test_models_not_offered_are_named() -> None:
    assert route(camera(models=("a",)), {}) == Routes((), ("a",))


def test_nobody_waits_for_a_model_that_is_only_tried() -> None:
    wanted = camera(models=("a", "next"), shadows=("next",))
    routes = route(wanted, {"a": manifest("a")})
    assert [r.models for r in routes.inputs] == [("a",)]
    assert routes.waiting_for == ()
    both = route(wanted, {"a": manifest("a"), "next": manifest("next")})
    assert [r.models for r in both.inputs] == [("a", "next")]


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"source": DemoSource(fps=3)},
        {"credentials": "front"},
        {"credentials_revision": "2"},
        {"watchdog": Watchdog(read_timeout_s=3)},
    ],
)
def test_what_needs_a_new_connection(change: dict[str, object]) -> None:
    assert not same_connection(camera(), camera().model_copy(update=change))


def test_what_does_not() -> None:
    changed = camera(
        name="Front",
        models=("a",),
        resize_mode="fit-long",
        inference_limit_ms=100,
        on_change=ChangeTrigger(enabled=True),
        masks=(((0, 0), (1, 0), (1, 1)),),
        samples=True,
        snapshots=False,
        credit_window=7,
    )
    assert same_connection(camera(), changed)
