"""Whatever stands in a settings.json: a document or reasons of one line each, never a traceback."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nxai_common.contracts.deployments import DeployedModel
from nxai_manager.core.compile import compile_settings, logins
from nxai_manager.core.deployed import fit
from nxai_manager.core.document import Settings
from nxai_manager.core.problems import RefusedSettings, check_settings
from nxai_manager.core.schema import settings_schema

SCHEMA = settings_schema()
WORDS = sorted(
    {key for part in (SCHEMA, *SCHEMA["$defs"].values()) for key in part.get("properties", {})}
    | {"rtsp", "demo", "push", "still", "fit-short", "exact", "front", "m5-nut", "rtsp://h/1"}
    | {"rtsp://u:p@h", "namedObject", "auto", "", "uncertain", "margin", "random", "22:00-06:00"}
)
IMPORTED = [
    DeployedModel(
        model=name,
        cameras=("front", "a"),
        digest="a" * 64,
        candidate="b" * 64,
        candidate_model="new",
    )
    for name in ("m", "parts")
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=30,
)


def check(text: str) -> Settings | None:
    try:
        settings = check_settings(text)
    except RefusedSettings as refused:
        problems = refused.problems
    else:
        deployed = fit(settings, IMPORTED)
        compile_settings(settings, dict.fromkeys(logins(settings), "r"), deployed)
        return settings
    assert problems
    for problem in problems:
        assert len(str(problem).splitlines()) == 1
        assert 1 <= problem.line <= text.count("\n") + 1
        assert len(str(problem)) < 1000
    return None


@given(text=st.text())
def test_any_text(text: str) -> None:
    check(text)


@given(value=values, indent=st.sampled_from([None, 1]))
def test_any_json(value: Any, indent: int | None) -> None:
    check(json.dumps(value, indent=indent))


@given(data=st.data())
def test_good_settings_with_one_part_replaced(data: st.DataObject) -> None:
    document: dict[str, Any] = {
        "cameras": [
            {
                "id": "front",
                "source": {"type": "rtsp", "url": "rtsp://h/1"},
                "username": "u",
                "password": "p",
                "models": ["m", {"id": "n", "uncertain": {"threshold": 0.5}}],
                "masks": [[[0, 0], [1, 0], [1, 1]]],
                "watchdog": {"open_timeout_s": 3},
                "uncertain": {"threshold": 0.5},
                "collect": {
                    "enabled": True,
                    "strategies": ["uncertain", {"strategy": "margin", "below": 0.1}],
                    "quotas": {"per_minute": 1, "per_hour": 2},
                },
            }
        ],
        "models": [{"id": "m", "path": "m"}, {"id": "n", "path": "n"}],
        "outputs": {"events": {"start_after": 1}},
        "logger": {"keep_days": 1},
        "edge_impulse": {"upload": {"window": "22:00-06:00"}, "updates": {"poll_s": 60}},
    }
    assert check(json.dumps(document)) is not None
    part: Any = document
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = data.draw(st.sampled_from(keys))
        deeper = isinstance(part[key], dict | list) and part[key] and data.draw(st.booleans())
        if not deeper:
            break
        part = part[key]
    part[key] = data.draw(values)
    check(json.dumps(document, indent=1))


@given(data=st.data())
def test_good_text_with_characters_lost_or_added(data: st.DataObject) -> None:
    text = '{"cameras": [{"id": "a", "source": {"type": "demo"}, "masks": []}],\n "models": []}'
    at = data.draw(st.integers(0, len(text)))
    lost = data.draw(st.integers(0, 4))
    check(text[:at] + data.draw(st.text(max_size=3)) + text[at + lost :])
