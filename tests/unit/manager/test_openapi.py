"""The description of the interface says what the endpoints are."""

from typing import Annotated

import pytest
from pydantic import Field, SecretStr

from nxai_common.contracts.topics import Level
from nxai_manager.core.accounts import Scope
from nxai_manager.web.answer import Answer
from nxai_manager.web.endpoint import Call, Endpoint, Form
from nxai_manager.web.openapi import openapi, operation_id

pytestmark = pytest.mark.unit


class Name(Form):
    """Which."""

    camera: Level
    """Of which camera."""


class Size(Form):
    """How large."""

    width: Annotated[int, Field(ge=16)] | None = None
    """In pixels."""


class Order(Form):
    """What to do."""

    password: SecretStr
    size: Size = Size()


class Told(Answer):
    """What came of it."""

    count: int


async def act(_call: Call) -> None:
    """Do it.

    In two lines.
    """


GET = Endpoint(
    "GET",
    "/cameras/{camera:[a-z]+}/still",
    act,
    Scope.READ,
    query=Size,
    path_model=Name,
    raw_answer="image/jpeg",
    errors=(409,),
    tag="cameras",
)
POST = Endpoint("POST", "/orders", act, None, Told, body=Order, status=201, tag="orders")
EMPTY = Endpoint("DELETE", "/orders", act, Scope.CONFIGURE, tag="orders")


def test_operation_is_named_and_described() -> None:
    document = openapi([GET, POST, EMPTY], "1.2.3")
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == "1.2.3"
    assert document["tags"] == [{"name": "cameras"}, {"name": "orders"}]
    assert set(document["paths"]) == {"/cameras/{camera}/still", "/orders"}
    operation = document["paths"]["/cameras/{camera}/still"]["get"]
    assert operation["summary"] == "Do it"
    assert operation["description"] == "In two lines."
    assert operation["operationId"] == operation_id(GET) == "get_cameras_camera_still"
    assert operation["x-scope"] == "read"
    assert operation["security"] == [{"session": []}, {"token": []}]


def test_parameters_have_no_references_and_no_null() -> None:
    operation = openapi([GET], "")["paths"]["/cameras/{camera}/still"]["get"]
    path, query = operation["parameters"]
    assert (path["name"], path["in"], path["required"]) == ("camera", "path", True)
    assert path["description"] == "Of which camera."
    assert path["schema"]["pattern"].startswith("^[a-z0-9]")
    assert query == {
        "name": "width",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 16},
        "description": "In pixels.",
    }


def test_answers_are_told_with_their_codes() -> None:
    paths = openapi([GET, POST, EMPTY], "")["paths"]
    still = paths["/cameras/{camera}/still"]["get"]["responses"]
    assert "image/jpeg" in still["200"]["content"]
    assert {"401", "403", "404", "409", "503"} <= set(still)
    made = paths["/orders"]["post"]
    assert "$ref" in made["responses"]["201"]["content"]["application/json"]["schema"]
    assert made["responses"]["201"]["description"] == "What came of it."
    assert {"413", "415", "422"} <= set(made["responses"])
    assert "401" not in made["responses"]
    assert made["security"] == []
    assert paths["/orders"]["delete"]["responses"]["204"] == {"description": "Done."}


def test_every_reference_leads_somewhere() -> None:
    document = openapi([GET, POST, EMPTY], "")
    schemas = document["components"]["schemas"]

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(part) for part in value.values()))
        if isinstance(value, list):
            return set().union(*(references(part) for part in value))
        return set()

    found = references(document)
    assert found
    assert {f"#/components/schemas/{name}" for name in schemas} >= found
