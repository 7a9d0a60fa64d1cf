"""What is no API key is not handed over."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nxai_common import logs
from nxai_manager.adapters.key_handover import KeyHandover
from nxai_manager.web.answer import Refused
from nxai_manager.web.api.project import LinkProject, link_project
from nxai_manager.web.endpoint import Call

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("key", ["e", "ei_", "ei_a b", "ei_a\nei_b", "ei_\u00e4", "key"])
def test_what_is_no_key_is_refused_and_left_nowhere(tmp_path: Path, key: str) -> None:
    box = cast("Any", SimpleNamespace(handover=KeyHandover(tmp_path)))
    body = LinkProject.model_validate({"key": key})
    with pytest.raises(Refused, match="that is no API key") as refusal:
        asyncio.run(link_project(Call(request=cast("Any", None), box=box, who=None, body=body)))
    assert refusal.value.status == 422
    assert [problem.where for problem in refusal.value.problems] == ["key"]
    assert list(tmp_path.iterdir()) == []
    assert logs.redact(key) == key
