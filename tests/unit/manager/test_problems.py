"""What a person is told about a wrong settings.json."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_common.contracts.collecting import (
    BandStrategy,
    CollectPolicy,
    Quotas,
    RandomStrategy,
    UncertainStrategy,
)
from nxai_common.contracts.configuration import UncertainRule
from nxai_manager.core.consistency import url_problem
from nxai_manager.core.document import DEFAULT, DEFAULT_TEXT, Camera, Settings
from nxai_manager.core.problems import RefusedSettings, check_settings
from nxai_manager.core.schema import keys_at, settings_schema

ON_A_LINE = [[0, 0], [0.25, 0.25], [1, 1]]
RTSP = {"type": "rtsp", "url": "rtsp://192.0.2.17:554/stream1"}


def problems(text: str) -> list[str]:
    with pytest.raises(RefusedSettings) as caught:
        check_settings(text)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return [str(problem) for problem in caught.value.problems]


def camera(**fields: Any) -> dict[str, Any]:
    return {"id": "front", "source": RTSP} | fields


def of_camera(**fields: Any) -> list[str]:
    """Return what is said about one camera, without the line that `json.dumps` made."""
    text = json.dumps({"cameras": [camera(**fields)], "models": [{"id": "m5-nut", "path": "x"}]})
    return [problem.removeprefix("line 1: cameras.") for problem in problems(text)]


def test_default_text_means_the_default() -> None:
    assert check_settings(DEFAULT_TEXT) == DEFAULT


def test_everything_that_may_be_said_is_understood() -> None:
    settings = check_settings(
        json.dumps(
            {
                "$schema": "settings.schema.json",
                "version": 1,
                "cameras": [
                    camera(
                        name="Front door",
                        enabled=False,
                        username="admin",
                        password="a b:c@d/e",
                        models=["m5-nut", {"id": "m5-washer", "threshold": 0.75}],
                        resize_mode="fit-short",
                        resize_quality="fast",
                        inference_limit_ms=100,
                        on_change={"enabled": True},
                        masks=[[[0, 0], [0.5, 0], [0.5, 1]]],
                        uncertain={"threshold": 0.7},
                        collect={
                            "enabled": True,
                            "strategies": ["uncertain", {"strategy": "band", "width": 0.2}],
                            "min_gap_s": 2,
                            "quotas": {"per_day": 50, "label_per_day": 0},
                            "near_duplicate_bits": 0,
                            "upload": "never",
                        },
                        snapshots=False,
                        credit_window=3,
                        watchdog={"open_timeout_s": 3},
                    )
                ],
                "models": [
                    {"id": "m5-nut", "path": "a.tflite", "uncertain": {"threshold": 0.3}},
                    {"id": "m5-washer", "path": "b.onnx", "labels": ["washer"], "engine": "onnx"},
                ],
                "outputs": {"detections": False, "nx_output": {"format": "orderedArray"}},
                "logger": {"keep_days": 3},
                "edge_impulse": {
                    "limits": {"keep_mb": 100, "keep_pictures": 10, "keep_days": 1},
                    "upload": {"mode": "approved", "window": "22:00-06:00", "metered": True},
                    "updates": {"policy": "promote", "poll_s": 60, "artefact": "int8"},
                    "shadow": {"frames": 10},
                    "rollback": {"errors": 1},
                },
            }
        )
    )
    [front] = settings.cameras
    assert (front.username, front.password.get_secret_value()) == ("admin", "a b:c@d/e")
    assert [(use.id, use.threshold) for use in front.models] == [
        ("m5-nut", None),
        ("m5-washer", 0.75),
    ]
    assert settings.models[0].uncertain.threshold == 0.3
    assert front.uncertain == UncertainRule(threshold=0.7)
    assert front.collect.strategies == (UncertainStrategy(), BandStrategy(width=0.2))
    assert front.collect.quotas == Quotas(per_day=50, label_per_day=0)
    assert settings.edge_impulse.upload.window == "22:00-06:00"
    assert settings.edge_impulse.updates.policy == "promote"
    assert "a b:c@d/e" not in repr(settings)


def test_problem_has_the_line_and_the_names_of_what_it_is_about() -> None:
    text = """{
  "cameras": [
    {
      "id": "front",
      "source": {
        "type": "rtsp",
        "url": "rtps://192.0.2.17/stream1"
      },
      "models": ["m5-nut",
                 "m5-wascher"]
    }
  ],
  "models": [{"id": "m5-nut", "path": "x"}, {"id": "m5-washer", "path": "y"}]
}"""
    assert problems(text) == [
        (
            "line 7: cameras.front.source.url: unknown scheme 'rtps://'; this type of source "
            "needs rtsp:// or rtsps://"
        ),
        (
            "line 10: cameras.front.models.1: there is no model 'm5-wascher'; did you mean "
            "'m5-washer'?"
        ),
    ]


def test_text_that_is_not_json_has_a_line_and_no_path() -> None:
    assert problems('{\n"cameras": [],\n}') == [
        "line 2: there is a comma before the closing }; remove it"
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"modles": []}, "front.modles: unknown key; did you mean 'models'?"),
        ({"a\nb\x85": 1}, "front.a\\nb\\x85: unknown key; known: "),
        ({"k" * 99: 1}, f"front.{'k' * 57}...: unknown key; known: "),
        ({"zzz": 1}, "front.zzz: unknown key; known: areas, collect, credit_window, enabled, id, "),
        ({"samples": True}, 'front.samples: is no more; write "collect": true'),
        (
            {"source": RTSP | {"trnsport": "tcp"}},
            "front.source.trnsport: unknown key; did you mean 'transport'?",
        ),
        (
            {"models": [{"id": "m5-nut", "treshold": 1}]},
            "front.models.m5-nut.treshold: unknown key; did you mean 'threshold'?",
        ),
        (
            {"models": [{"id": "m5-nut", "uncertain": {"treshold": 1}}]},
            "front.models.m5-nut.uncertain.treshold: unknown key; did you mean 'threshold'?",
        ),
        (
            {"watchdog": {"open_timeout": 1}},
            "front.watchdog.open_timeout: unknown key; did you mean 'open_timeout_s'?",
        ),
        ({"source": {"type": "rtsp"}}, "front.source.url: is missing"),
        ({"source": {"url": "x"}}, 'front.source: needs a "type", such as "rtsp"'),
        (
            {"source": {"type": "rtps", "url": "x"}},
            "front.source: unknown type \"rtps\"; did you mean 'rtsp'?",
        ),
        (
            {"source": {"type": "gigabit", "url": "x"}},
            'front.source: unknown type "gigabit"; known: demo, file, folder, mjpeg, push, rtsp, ',
        ),
        ({"source": 3}, "front.source: "),
        (
            {"id": "Front Door"},
            "Front Door.id: must be 1 to 64 of a-z, 0-9, '_' and '-', starting with a letter",
        ),
        ({"id": ""}, "0.id: must be 1 to 64 of"),
        ({"models": ["M 5"]}, "front.models.0: must be 1 to 64 of"),
        ({"models": [7]}, "front.models.0: must be an object {...}, not 7"),
        ({"models": "m5-nut"}, 'front.models: must be a list [...], not "m5-nut"'),
        ({"enabled": "yes"}, 'front.enabled: must be true or false, not "yes"'),
        ({"credit_window": 1.5}, "front.credit_window: must be a whole number, not 1.5"),
        ({"credit_window": "3"}, 'front.credit_window: must be a whole number, not "3"'),
        ({"credit_window": 0}, "front.credit_window: must be greater than 0, not 0"),
        ({"inference_limit_ms": "x"}, 'front.inference_limit_ms: must be a number, not "x"'),
        ({"name": ["a"]}, "front.name: must be a text, not a list"),
        ({"name": {"a": 1}}, "front.name: must be a text, not an object"),
        ({"resize_mode": "crop"}, "front.resize_mode: must be 'squash', 'fit-short' or 'fit-long'"),
        ({"masks": [[[0, 1.5]]]}, "front.masks.0.0.1: must be less than or equal to 1, not 1.5"),
        ({"masks": [[[0, 1, 1]]]}, "front.masks.0.0: a point is two numbers [x, y]"),
        ({"masks": [[[0]]]}, "front.masks.0.0: a point is two numbers [x, y]"),
        ({"masks": [[[]]]}, "front.masks.0.0: a point is two numbers [x, y]"),
        ({"masks": [[[0, 0], [1, 1]]]}, "front.masks.0: a polygon needs at least 3 corners"),
        ({"masks": [ON_A_LINE]}, "front.masks.0: its corners lie on one line: nothing would be"),
        ({"areas": {"include": [[[0, 0], [1, 1]]]}}, "front.areas.include.0: a polygon needs at l"),
        ({"areas": {"include": [[[0, 0], [1], [0, 1]]]}}, "front.areas.include.0.1: a point is"),
        ({"areas": {"exclude": [ON_A_LINE]}}, "front.areas.exclude.0: its corners lie on one line"),
        ({"areas": {"exclude": [[[0, 0]] * 201]}}, "front.areas.exclude.0: a polygon may have at"),
        ({"areas": {"exclude": [7]}}, "front.areas.exclude.0: must be a list [...], not 7"),
        ({"areas": {"exlude": []}}, "front.areas.exlude: unknown key; did you mean 'exclude'?"),
        ({"region": {"x": 0.5, "width": 0.6}}, "front.region: must lie within the picture: x + wi"),
        ({"region": {"width": 0}}, "front.region.width: must be greater than 0, not 0"),
        ({"models": ["m5-nut", "m5-nut"]}, "front.models.1: model 'm5-nut' is listed twice"),
        ({"enabled": "x" * 99}, f'front.enabled: must be true or false, not "{"x" * 56}...'),
    ],
)  # fmt: skip
def test_wrong_camera(fields: dict[str, Any], said: str) -> None:
    [problem] = of_camera(**fields)
    assert problem.startswith(said)


def test_wrong_root() -> None:
    assert problems("[]") == ["line 1: must be an object {...}, not a list"]
    assert problems('{"camera": []}') == ["line 1: camera: unknown key; did you mean 'cameras'?"]
    assert problems('{"version": 2}') == ["line 1: version: must be 1, not 2"]
    assert problems('{"cameras": ["x"]}') == ['line 1: cameras.0: must be an object {...}, not "x"']


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"logger": {"keep_days": 999_999_999}},
            "logger.keep_days: must be less than or equal to 36500, not 999999999",
        ),
        (
            {"outputs": {"events": {"end_after_s": 1.8e302}}},
            "outputs.events.end_after_s: must be less than or equal to 86400, not 1.8e+302",
        ),
        (
            {"outputs": {"state_every_s": 1e9}},
            "outputs.state_every_s: must be less than or equal to 86400, not 1000000000.0",
        ),
        (
            {"cameras": [{"id": "a", "source": {"type": "demo", "width": 100_000}}]},
            "cameras.a.source.width: must be less than or equal to 3840, not 100000",
        ),
        (
            {"cameras": [{"id": "a", "source": {"type": "demo", "height": 119}}]},
            "cameras.a.source.height: must be greater than or equal to 120, not 119",
        ),
        (
            {"cameras": [{"id": "a", "source": {"type": "demo", "fps": 1e-320}}]},
            "cameras.a.source.fps: must be greater than or equal to 0.001, not 1e-320",
        ),
    ],
)
def test_numbers_that_no_service_can_use(settings: dict[str, Any], said: str) -> None:
    assert problems(json.dumps(settings)) == [f"line 1: {said}"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"type": "file", "path": ""}, "path: is empty; write the path of a video file"),
        ({"type": "folder", "path": " "}, "path: is empty; write the path of a folder of pictures"),
        ({"type": "v4l2", "device": "0"}, "device: must be the path of a camera, such as /dev/v4l"),
        ({"type": "v4l2", "device": ""}, "device: must be the path of a camera, such as /dev/v4l"),
        (
            {"type": "v4l2", "device": "/dev/video0", "width": 640},
            "width: is of no use alone; add 'height', or remove it",
        ),
        (
            {"type": "v4l2", "device": "/dev/video0", "height": 480},
            "height: is of no use alone; add 'width', or remove it",
        ),
    ],
)
def test_local_source_that_cannot_work(source: dict[str, Any], said: str) -> None:
    [problem] = of_camera(source=source)
    assert problem.startswith(f"front.source.{said}")


@pytest.mark.parametrize(
    "source",
    [
        {"type": "file", "path": "a.mp4"},
        {"type": "folder", "path": "pictures"},
        {"type": "v4l2", "device": "/dev/v4l/by-id/usb-1"},
        {"type": "v4l2", "device": "/dev/video0", "width": 640, "height": 480},
    ],
)
def test_local_source_that_works(source: dict[str, Any]) -> None:
    text = json.dumps({"cameras": [{"id": "a", "source": source}]})
    assert check_settings(text).cameras[0].source.type == source["type"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"path": " "},
            ["path: is empty; write the name of a model file or package in the models"],
        ),
        ({"labels": ["a", "b", "a"]}, ["labels.2: 'a' stands twice; give each class a name"]),
        (
            {"labels": ["a", "", " "]},
            ["labels.1: is empty; each class", "labels.2: is empty; each"],
        ),
    ],
)
def test_model_that_cannot_work(fields: dict[str, Any], said: list[str]) -> None:
    found = problems(json.dumps({"models": [{"id": "m", "path": "x"} | fields]}))
    assert len(found) == len(said)
    for problem, begin in zip(found, said, strict=True):
        assert problem.startswith(f"line 1: models.m.{begin}")


def test_ids_that_meet() -> None:
    text = json.dumps(
        {
            "cameras": [camera(), camera()],
            "models": [
                {"id": "m", "path": "a"},
                {"id": "n", "path": "a"},
                {"id": "m", "path": "b"},
            ],
        }
    )
    assert problems(text) == [
        "line 1: cameras.front.id: 'front' is the id of another of the cameras already",
        "line 1: models.m.id: 'm' is the id of another of the models already",
    ]


def test_model_that_is_not_there_when_there_is_none() -> None:
    assert problems(json.dumps({"cameras": [camera(models=["m"])]})) == [
        "line 1: cameras.front.models.0: there is no model 'm'; none is known"
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"password": "hunter2"}, ['front.password: a password needs a "username"']),
        (
            {"username": "a:b", "password": "hunter2"},
            ["front.username: a user name cannot hold a colon"],
        ),
        (
            {"source": {"type": "demo"}, "username": "joe", "password": "hunter2"},
            ['front.username: a source of type "demo" has no user and password; remove them'],
        ),
        (
            {"source": {"type": "push"}, "password": "hunter2"},
            ['front.password: a source of type "push" has no user and password; remove them'],
        ),
        ({"password": 12345}, ["front.password: must be a text"]),
        ({"username": ["hunter2"]}, ["front.username: must be a text"]),
        ({"pasword": "hunter2"}, ["front.pasword: unknown key; did you mean 'password'?"]),
    ],
)
def test_wrong_login_is_told_without_the_password(fields: dict[str, Any], said: list[str]) -> None:
    assert of_camera(**fields) == said
    assert "hunter2" not in str(said)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://joe:hunter2@host/1",
        "rtsp://hunter2@host/1",
        "rtsp://joe:hun/ter2@host/1",
        "rtsp://joe:hunter2#@host/1",
        "rtsp://joe:hunter2@host:port/1",
        "rtsp://joe:hunter2@",
    ],
)
def test_url_with_a_password_is_refused_with_the_way_out(url: str) -> None:
    [problem] = of_camera(source={"type": "rtsp", "url": url})
    assert problem == (
        "front.source.url: user and password do not belong in the URL; put them into "
        '"username" and "password" beside "source" (an @ elsewhere is written %40)'
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("192.0.2.17/stream", "must begin with rtsp:// or rtsps://"),
        ("http://192.0.2.17", "unknown scheme 'http://'; this type of source needs rtsp:// or"),
        ("joe:hunter2://host", "unknown scheme; this type of source needs"),
        ("rtsp://", "has no host; write rtsp://HOST/..."),
        ("rtsp:///stream", "has no host"),
        ("rtsp://host:port/", "is not a URL: the host or the port is malformed"),
        ("rtsp://host:99999/", "is not a URL: the host or the port is malformed"),
        ("rtsp://[::1/", "is not a URL: the host or the port is malformed"),
        ("rtsp://host:0/", "has port 0"),
    ],
)
def test_url_that_cannot_work(url: str, said: str) -> None:
    assert url_problem(url, ("rtsp", "rtsps")).startswith(said)


@pytest.mark.parametrize(
    "url", ["rtsp://host", "RTSPS://[2001:db8::1]:322/a?user=@", "rtsp://host:554/a@b?c"]
)
def test_url_that_works_or_nearly(url: str) -> None:
    said = url_problem(url, ("rtsp", "rtsps"))
    assert (said == "") == ("a@b" not in url)  # an @ before the query cannot be told from a login


@pytest.mark.parametrize("url", [" rtsp://host", "\trtsp://joe:hunter2@host"])
def test_url_behind_a_space_is_told_of_the_space(url: str) -> None:
    assert of_camera(source=RTSP | {"url": url}) == [
        "front.source.url: begins with a space; remove it"
    ]


@pytest.mark.parametrize("kind", ["mjpeg", "still"])
def test_http_source_needs_http(kind: str) -> None:
    [problem] = of_camera(source={"type": kind, "url": "rtsp://host"})
    assert problem.endswith("this type of source needs http:// or https://")


def test_value_that_may_hold_a_password_is_not_shown() -> None:
    for value in ("rtsp://joe:hunter2@host", "joe:hunter2@host"):
        [problem] = of_camera(enabled=value)
        assert problem == "front.enabled: must be true or false, not this text"


@pytest.mark.parametrize(
    "polygon", [[[0, 0], [1, 1], [1, 0], [0, 1]], [[0, 0], [0, 0], [0, 1], [1, 1]]]
)
def test_polygon_that_crosses_itself_or_repeats_a_corner_has_an_inside(
    polygon: list[list[float]],
) -> None:
    areas = {"include": [polygon], "exclude": [polygon]}
    check_settings(json.dumps({"cameras": [camera(masks=[polygon], areas=areas)]}))


def test_summary_is_one_line() -> None:
    with pytest.raises(RefusedSettings) as caught:
        check_settings('{"a": 1,\n"b": 2}')
    assert caught.value.summary == (
        "line 1: a: unknown key; known: $schema, cameras, device, edge_impulse, logger, models, "
        "outputs, run, version (and 1 more)"
    )
    with pytest.raises(RefusedSettings) as caught:
        check_settings("")
    assert "more)" not in caught.value.summary


def test_keys_of_a_place_that_cannot_be_are_none() -> None:
    assert keys_at(("cameras", 0, "nothing")) == []
    assert keys_at(("cameras", 0, "masks", 0, 0, 1)) == []
    assert keys_at(("cameras", 0, "masks", 0, 0, "x")) == []


@given(password=st.text("\u00c4\u00df\u221a@:/\\\"'%#\n\x00", min_size=6))
def test_no_password_is_ever_repeated(password: str) -> None:
    """However the file is wrong elsewhere: the password stands in the right place."""
    login = {"username": "joe", "password": password}
    for cameras in (
        [camera(**login, modles=1)],
        [camera(**login), camera(**login)],
        [camera(**login, source={"type": "demo"})],
        [login],
        login,
    ):
        said = "\n".join(problems(json.dumps({"cameras": cameras}, ensure_ascii=False)))
        for form in (password, repr(password)[1:-1], json.dumps(password)[1:-1]):
            assert form not in said


COLLECTING: list[tuple[Any, str]] = [
    ("on", 'collect: must be true, false or an object {...}, not "on"'),
    (None, "collect: must be true, false or an object {...}, not null"),
    ([], "collect: must be true, false or an object {...}, not a list"),
    ({}, 'collect: does not say whether to collect; add "enabled": true, or false'),
    ({"min_gap_s": 1}, 'collect: does not say whether to collect; add "enabled": true, or false'),
    ({"enabld": True}, "collect.enabld: unknown key; did you mean 'enabled'?"),
    ({"enabled": "yes"}, 'collect.enabled: must be true or false, not "yes"'),
    ({"min_gap_s": "5"}, 'collect.min_gap_s: must be a number, not "5"'),
    ({"upload": "no"}, "collect.upload: must be 'as-configured' or 'never', not \"no\""),
]
"""What is wrong with `collect` of camera `front`."""
STRATEGIES: list[tuple[Any, str]] = [
    ([], ': is empty: nothing would ever be collected; write ["uncertain"], or leave it out'),
    ("margin", ': must be a list [...], not "margin"'),
    (["margn"], ".0: unknown strategy \"margn\"; did you mean 'margin'?"),
    ([{"strategy": "margn"}], ".0: unknown strategy \"margn\"; did you mean 'margin'?"),
    ([{"below": 0.1}], '.0: needs a "strategy", such as "uncertain"; docs/settings.md lists them'),
    ([7], ".0: must be an object {...}, not 7"),
    (
        ["random", {"strategy": "band", "widht": 1}],
        ".1.widht: unknown key; did you mean 'width'?",
    ),
    (
        [{"strategy": "band", "width": 1}],
        ".0.width: must be less than or equal to 0.5, not 1",
    ),
    (["margin", "band", {"strategy": "margin"}], ".2: 'margin' is listed twice; keep one"),
]
QUOTAS: list[tuple[dict[str, Any], str]] = [
    (
        {"per_minute": 9, "per_hour": 5},
        "per_minute: 9 are never reached: 'per_hour' allows 5; make that larger or this smaller",
    ),
    ({"per_minute": 61}, "per_minute: 61 are never reached: 'per_hour' allows 60; make"),
    (
        {"per_minute": 301, "per_hour": 0},
        "per_minute: 301 are never reached: 'per_day' allows 300; make",
    ),
    ({"per_hour": 301}, "per_hour: 301 are never reached: 'per_day' allows 300; make"),
    (
        {"label_per_day": 60, "per_day": 59},
        "label_per_day: 60 are never reached: 'per_day' allows 59; make",
    ),
    ({"per_minute": -1}, "per_minute: must be greater than or equal to 0, not -1"),
]


@pytest.mark.parametrize(
    ("collect", "said"),
    [
        *COLLECTING,
        *(({"enabled": True, "strategies": s}, f"collect.strategies{t}") for s, t in STRATEGIES),
        *(({"enabled": True, "quotas": q}, f"collect.quotas.{t}") for q, t in QUOTAS),
    ],
)  # fmt: skip
def test_wrong_collecting(collect: Any, said: str) -> None:
    [problem] = of_camera(collect=collect)
    assert problem.startswith(f"front.{said}")


def collecting(value: Any, **fields: Any) -> CollectPolicy:
    """Return what is understood by `collect` of a camera."""
    return (
        check_settings(json.dumps({"cameras": [camera(collect=value, **fields)]}))
        .cameras[0]
        .collect
    )


def test_short_forms_of_collecting() -> None:
    assert collecting(value=True) == CollectPolicy(enabled=True)
    assert collecting(value=False) == CollectPolicy()
    named = collecting({"enabled": True, "strategies": ["random", {"strategy": "uncertain"}]})
    assert named.strategies == (RandomStrategy(), UncertainStrategy())


def test_collecting_may_be_set_up_and_switched_off() -> None:
    assert not collecting({"enabled": False, "strategies": []}).enabled


@pytest.mark.parametrize(
    "quotas",
    [
        {"per_minute": 0},
        {"per_minute": 0, "per_hour": 0, "per_day": 0, "label_per_day": 0},
        {"per_minute": 9, "per_hour": 0, "per_day": 9, "label_per_day": 9},
        {"per_hour": 1},  # less than a minute's default: the person wants less
        {"per_day": 1},
    ],
)
def test_quotas_that_fit_together(quotas: dict[str, int]) -> None:
    assert collecting({"enabled": True, "quotas": quotas}).quotas == Quotas(**quotas)


NEVER = {"threshold": 0}
RULES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({"uncertain": NEVER}, {}, True),  # an imported model may come, as below
    ({"uncertain": NEVER}, {"uncertain": NEVER}, False),
    ({"uncertain": {}}, {"uncertain": NEVER}, False),
    ({"uncertain": {"threshold": 0.3}}, {}, True),
    ({"uncertain": NEVER}, {"models": [{"id": "m", "uncertain": {"threshold": 0.3}}]}, True),
    (
        {"uncertain": {"threshold": 0.3}},
        {"uncertain": NEVER, "models": [{"id": "m", "uncertain": NEVER}]},
        False,
    ),
    ({"uncertain": {"threshold": 0.3}}, {"uncertain": NEVER}, True),
    ({}, {"uncertain": NEVER}, False),
    ({}, {"uncertain": NEVER, "models": []}, False),
    ({}, {"models": []}, True),
    ({"uncertain": NEVER}, {"uncertain": {"threshold": 0.3}}, True),  # imported ones follow it
    ({"uncertain": NEVER}, {"collect": {"enabled": True, "strategies": ["random"]}}, True),
    ({"uncertain": NEVER}, {"collect": False}, True),
    ({"uncertain": NEVER}, {"models": ["m", "n"]}, True),
]
"""Fields of model `m`, fields of the camera, and whether anything can ever be collected."""


@pytest.mark.parametrize(("model", "fields", "good"), RULES)
def test_collecting_what_never_is_uncertain_is_refused(
    model: dict[str, Any], fields: dict[str, Any], good: bool
) -> None:
    text = json.dumps(
        {
            "cameras": [camera(**({"models": ["m"], "collect": True} | fields))],
            "models": [{"id": "m", "path": "m"} | model, {"id": "n", "path": "n"}],
        }
    )
    if good:
        check_settings(text)
        return
    [problem] = problems(text)
    assert problem == (
        'line 1: cameras.front.collect: strategy "uncertain" would never collect anything: the '
        '"uncertain" threshold of this camera and of every model of it is 0, which means never; '
        "write another one, or leave it out, and one that fits is chosen"
    )


def test_collecting_with_a_model_that_is_not_there_is_told_once() -> None:
    [problem] = of_camera(collect=True, models=["gone"])
    assert "there is no model 'gone'" in problem


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lmits": {}}, "lmits: unknown key; did you mean 'limits'?"),
        (
            {"api_key": "ei_0123456789abcdef"},
            "api_key: does not belong here; nxai-cloud-sync link takes the project and its key",
        ),
        (
            {"project": 4},
            "project: does not belong here; nxai-cloud-sync link takes the project and its key",
        ),
        (
            {"upload": {"window": "22-6"}},
            'upload.window: must be two local times, such as "22:00-06:00", or empty for always',
        ),
        ({"upload": {"window": 22}}, "upload.window: must be a text, not 22"),
        (
            {"upload": {"window": "06:00-06:00"}},
            "upload.window: ends when it begins; write another time, or leave it empty for always",
        ),
        (
            {"upload": {"mode": "auto"}},
            "upload.mode: must be 'manual', 'approved' or 'automatic', not \"auto\"",
        ),
        (
            {"updates": {"poll_s": 1}},
            "updates.poll_s: must be greater than or equal to 60, not 1",
        ),
    ],
)
def test_wrong_exchange_with_edge_impulse(fields: dict[str, Any], said: str) -> None:
    [problem] = problems(json.dumps({"edge_impulse": fields}))
    assert problem.startswith(f"line 1: edge_impulse.{said}")
    assert "0123456789abcdef" not in problem


def test_schema_knows_the_short_forms() -> None:
    parts = settings_schema()["$defs"]
    whole, long = parts["Camera"]["properties"]["collect"]["anyOf"]
    assert (whole, long) == ({"type": "boolean"}, {"$ref": "#/$defs/CollectPolicy"})
    name, strategy = parts["CollectPolicy"]["properties"]["strategies"]["items"]["anyOf"]
    assert set(name["enum"]) == {
        parts[member["$ref"].rpartition("/")[2]]["properties"]["strategy"]["const"]
        for member in strategy["oneOf"]
    }
    collecting({"enabled": True, "strategies": name["enum"]})


def test_document_holds_what_capture_needs() -> None:
    assert set(Camera.model_fields) >= {"id", "source", "username", "password", "models"}
    assert Settings.model_config["frozen"]


@pytest.mark.parametrize(
    "query",
    [
        "user=admin&password=%231secret",  # encoded, a separator belongs to the password
        "password=%26x1",
        "password=%2Fabc",
        "password=%3Fsecret",
        "%70assword=secret",
        "pwd=;abc",
        "password=,abc",
        "password=/abc",
        "password=_a=b",
        "password={password}extra",
        "user={username}&x=1_password=abc",
    ],
)
def test_a_password_of_any_characters_in_the_query_is_refused(query: str) -> None:
    assert "a password in the URL" in url_problem(f"http://cam/snap.jpg?{query}", ("http",))


def test_places_and_empty_passwords_in_the_query_are_none() -> None:
    for query in (
        "user={username}&password={password}",
        "password=",
        "password=&channel=1",
        "password={password}#now",
        "user={username}_password={password}_channel=1",
        "no_pass=1&bypass=2",
    ):
        assert url_problem(f"http://cam/snap.jpg?{query}", ("http",)) == ""


@pytest.mark.parametrize("key", ["password", "PWD", "pass", "loginpas"])
def test_a_password_in_the_query_is_refused_with_the_way_out(key: str) -> None:
    url = f"http://192.0.2.17/video?user=me&{key}=s3cret"
    [problem] = of_camera(source={"type": "mjpeg", "url": url})
    assert f"write {key}={{password}} there" in problem
    assert "s3cret" not in problem
    allowed = url.replace("s3cret", "{password}")
    assert url_problem(allowed, ("http", "https")) == ""


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://192.0.2.17/user=admin&password=s3cret&channel=1&stream=0.sdp?real_stream",
        "rtsp://192.0.2.17:554/user=admin_password=s3cret_channel=1_stream=0.sdp?real_stream",
        "rtsp://192.0.2.17/user=the_admin_password=_s3cret_channel=1",
        "rtsp://192.0.2.17/user={username}_password=s3cret",
        "rtsp://192.0.2.17/live/PWD=s3cret/1",
        "rtsp://192.0.2.17/live;p%61ss=s3cret",
        "rtsp://192.0.2.17/password={password}&passwd=s3cret",
        "rtsp://192.0.2.17/1?user=admin_password=s3cret",
        "rtsp://192.0.2.17/1#loginpas=s3cret",
    ],
)
def test_a_password_in_the_path_is_refused_with_the_way_out(url: str) -> None:
    [problem] = of_camera(source={"type": "rtsp", "url": url})
    assert "={password} there, {username} for the user, and both into" in problem
    assert "s3cret" not in problem
    assert "admin" not in problem
    assert url_problem(re.sub("_?s3cret", "{password}", url), ("rtsp",)) == ""


@pytest.mark.parametrize(
    "path",
    [
        "live/passage=1",
        "bypass=1",
        "no_pass=1&no-pass=1&no.pass=1",
        "password/pass",
        "user=admin&password=&channel=1",
        "user=admin_password=_channel=1_stream=0.sdp",
        "user=admin&password=",
        "password={password}.sdp",
    ],
)
def test_a_path_without_a_password_is_none(path: str) -> None:
    assert url_problem(f"rtsp://192.0.2.17/{path}", ("rtsp",)) == ""
