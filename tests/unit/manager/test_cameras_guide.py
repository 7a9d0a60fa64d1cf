"""The guide's examples are settings that the manager takes."""

import json
import re
from typing import Any, get_args

import pytest

from nxai_common.contracts.configuration import CameraSource
from nxai_manager.core.problems import check_settings
from support.shared import ROOT

pytestmark = pytest.mark.unit

GUIDE = (ROOT / "docs" / "guides" / "cameras.md").read_text()
EXAMPLES: list[dict[str, Any]] = [
    json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize("camera", EXAMPLES, ids=lambda camera: camera["id"])
def test_an_example_is_taken(camera: dict[str, Any]) -> None:
    models = [{"id": name, "path": name} for name in camera["models"]]
    settings = check_settings(json.dumps({"cameras": [camera], "models": models}))
    assert settings.cameras[0].id == camera["id"]


def test_every_source_has_an_example() -> None:
    sources = get_args(get_args(CameraSource)[0])
    known = {source.model_fields["type"].default for source in sources}
    assert {camera["source"]["type"] for camera in EXAMPLES} == known


def test_every_option_of_every_source_is_named() -> None:
    for source in get_args(get_args(CameraSource)[0]):
        for name in source.model_fields:
            assert f'"{name}"' in GUIDE, (source.__name__, name)
