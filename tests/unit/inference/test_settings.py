"""Start-up settings of inference."""

from pathlib import Path

import pytest

from nxai_common.errors import ConfigurationError
from nxai_common.settings import load
from nxai_inference.settings import InferenceSettings

pytestmark = pytest.mark.unit


def test_defaults() -> None:
    settings = load(InferenceSettings, {})
    assert settings.models_dir == Path("models")
    assert settings.share == ""
    assert settings.threads == 1
    assert settings.providers == ()


def test_from_the_environment() -> None:
    settings = load(
        InferenceSettings,
        {
            "NXAI_INSTANCE": "inference-2",
            "NXAI_INFERENCE_SHARE": "workers",
            "NXAI_INFERENCE_PROVIDERS": "cuda, cpu",
            "NXAI_INFERENCE_THREADS": "2",
        },
    )
    assert (settings.instance, settings.share) == ("inference-2", "workers")
    assert settings.providers == ("cuda", "cpu")
    assert settings.threads == 2


def test_the_broker_keeps_no_session_of_a_worker() -> None:
    """Or it would go on giving a dead worker its share of the frames."""
    assert InferenceSettings.session_expiry_s == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("NXAI_INFERENCE_SHARE", "a/b"), ("NXAI_INFERENCE_THREADS", "0")],
)
def test_what_does_not_do_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}={value}"):
        load(InferenceSettings, {name: value})
