"""The interface keeps what its OpenAPI document says, whatever it is sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from nxai_manager.web.server import listed
from support.page import PageBox, page_box

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

EXAMPLES: Final = 12
"""Of each operation: some sixty operations, a few milliseconds each."""
SLOW: Final = {"/cameras/probe", "/cameras/find", "/cameras/streams", "/diagnostics", "/test"}
"""They open sources, wait for the network or for frames: few examples."""
ENDS_THE_TEST: Final = {("DELETE", "/tokens/{token}"), ("DELETE", "/users/{user}")}
"""Drawn names would have to hit the only token to do harm, and one of them might."""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBox]:
    with page_box(tmp_path_factory.mktemp("box")) as running:
        yield running


@pytest.fixture(scope="module")
def document(box: PageBox) -> dict[str, Any]:
    described: dict[str, Any] = box.call("GET", "/openapi.json")
    return described


@pytest.fixture(scope="module")
def token(box: PageBox) -> str:
    made = box.call(
        "POST",
        "/tokens",
        json={"name": "fuzz", "scopes": ["read", "operate", "configure", "accounts"]},
    )
    return str(made["secret"])


def test_document_names_every_endpoint(document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert described == {(e.method, e.path) for e in listed()}
    assert document["openapi"].startswith("3.1")


def operations() -> list[tuple[str, str]]:
    return sorted({(e.method, e.path) for e in listed()} - ENDS_THE_TEST)


@pytest.mark.parametrize(("method", "path"), operations(), ids=str)
def test_nothing_breaks_and_answers_are_as_described(
    box: PageBox, document: dict[str, Any], token: str, method: str, path: str
) -> None:
    loaded = schemathesis.openapi.from_dict(document)
    operation = loaded[path][method]
    base = f"{box.url}/api/v1"
    headers = {"Authorization": f"Bearer {token}"}

    @settings(
        max_examples=3 if path in SLOW else EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        response = case.call(base_url=base, headers=headers, timeout=60)
        assert response.status_code < 500, f"{response.status_code}: {response.text[:500]}"
        case.validate_response(
            response,
            checks=[
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ],
        )

    check()


BAD: Final[list[tuple[str, str, dict[str, Any], int, str]]] = [
    ("GET", "/cameras/nobody/still", {}, 409, "nobody"),
    ("GET", "/cameras/No%20Body/still", {}, 404, "nothing of this name"),
    ("POST", "/cameras", {"json": {"id": "x"}}, 422, "source"),
    ("POST", "/cameras", {"json": {"id": "demo", "source": {"type": "demo"}}}, 409, "demo"),
    ("PUT", "/settings", {"json": {"text": "{", "revision": ""}}, 409, "changed"),
    ("POST", "/models/files?name=notes.txt", {"content": b"x"}, 422, ".tflite"),
    ("POST", "/models/files?name=empty.onnx", {"content": b""}, 400, "empty"),
    ("POST", "/models/detect?model=demo-parts", {"content": b"no picture"}, 409, "picture"),
    ("POST", "/models/detect?model=nobody", {"content": b"x"}, 409, "nobody"),
    ("POST", "/models/nobody/deploy", {"json": {"cameras": ["demo"]}}, 409, "nobody"),
    ("PUT", "/project", {"json": {"key": "abc"}}, 422, "ei_"),
    ("POST", "/project/pull", {"json": {}}, 409, "no Edge Impulse project is linked"),
    (
        "GET",
        "/data/results?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        {},
        422,
        "before",
    ),
    ("GET", "/data/charts/nothing?since=x&until=y", {}, 404, "nothing of this name"),
    ("POST", "/samples/review", {"json": {"samples": [], "decision": "approved"}}, 422, "samples"),
    (
        "POST",
        "/samples/review",
        {
            "content": b'{"samples":["a"],"decision":"approved","boxes":[{"label":"x","x":Infinity,'
            b'"y":0,"width":1,"height":1}]}',
            "headers": {"Content-Type": "application/json"},
        },
        422,
        "finite",
    ),
    ("POST", "/users", {"json": {"name": "Bad Name", "role": "viewer", "password": "x"}}, 422, ""),
    ("GET", "/services/nobody/log", {}, 404, "nobody"),
]


@pytest.mark.parametrize(("method", "path", "options", "status", "words"), BAD)
def test_bad_input_is_told_in_words_a_person_can_act_on(
    box: PageBox, method: str, path: str, options: dict[str, Any], status: int, words: str
) -> None:
    if "content" in options:
        options = {"headers": {"Content-Type": "application/octet-stream"}, **options}
    answer = box.client.request(method, f"{box.url}/api/v1{path}", **options)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    told = answer.json()
    assert words in told["detail"] + json.dumps(told["problems"])
    assert told["detail"]
    assert "Traceback" not in answer.text


def test_interface_is_described_to_who_has_not_logged_in(box: PageBox) -> None:
    answer = httpx.get(f"{box.url}/api/v1/openapi.json")
    assert answer.status_code == 200
    assert Path(answer.request.url.path).name == "openapi.json"
