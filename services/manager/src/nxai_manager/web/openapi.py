"""The OpenAPI 3.1 document of the REST interface, made of its endpoints."""

import inspect
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from nxai_manager.web.answer import PROBLEM_TYPE, ProblemAnswer
from nxai_manager.web.endpoint import API, Endpoint

Schema = dict[str, Any]
Key = tuple[Any, JsonSchemaMode]
"""A model, as pydantic types it."""

DESCRIPTION: Final = """\
Everything the page does. Log in with a session cookie (`POST /session`; state changes then carry
the header `X-CSRF-Token`), or send a token: `Authorization: Bearer nxai_...` (Settings > Accounts).
Errors are `application/problem+json` with a reason a person can act on. Live data: the WebSocket
`/live`."""

COMMON_ERRORS: Final = {
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests; `Retry-After` says when to try again.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The service that knows does not answer now.",
}
REASONS: Final = {
    HTTPStatus.BAD_REQUEST: "Not what HTTP or JSON ask for.",
    HTTPStatus.UNAUTHORIZED: "Nobody is logged in, or the token is not known.",
    HTTPStatus.FORBIDDEN: "Who asks may not do this, or the CSRF token is missing.",
    HTTPStatus.NOT_FOUND: "There is nothing of this name.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come.",
    HTTPStatus.CONFLICT: "It cannot be done as things are; the reason says why.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "More than may be sent.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Not the media type that is taken.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Understood, but wrong; `problems` says where.",
}


def openapi(endpoints: Iterable[Endpoint], version: str) -> Schema:
    """Return the document."""
    listed = tuple(endpoints)
    keys = sorted(set(_models(listed)), key=lambda key: (key[0].__name__, key[1]))
    references, definitions = models_json_schema(
        keys, by_alias=True, ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Schema] = {}
    for endpoint in listed:
        operation = _operation(endpoint, references)
        paths.setdefault(_template(endpoint.path), {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "nxai-edge",
            "version": version or "0",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": f"..{API}", "description": "This box, below whatever prefix"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(e.tag for e in listed)],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "nxai_session"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _models(endpoints: Iterable[Endpoint]) -> Iterator[Key]:
    yield ProblemAnswer, "serialization"
    for endpoint in endpoints:
        if endpoint.answer is not None:
            yield endpoint.answer, "serialization"
        for model in (endpoint.body, endpoint.query, endpoint.path_model):
            if model is not None:
                yield model, "validation"


def _operation(endpoint: Endpoint, references: dict[Key, Schema]) -> Schema:
    words = inspect.getdoc(endpoint.handler) or ""
    summary, _, description = words.partition("\n")
    operation: Schema = {
        "operationId": operation_id(endpoint),
        "summary": summary.rstrip("."),
        "tags": [endpoint.tag],
        "responses": _responses(endpoint, references),
        "x-scope": None if endpoint.scope is None else endpoint.scope.value,
    }
    if description.strip():
        operation["description"] = description.strip()
    parameters = [
        *_parameters(endpoint.path_model, "path"),
        *_parameters(endpoint.query, "query"),
    ]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        schema = references[endpoint.body, "validation"]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    if endpoint.raw_body:
        operation["requestBody"] = {
            "required": True,
            "content": {endpoint.raw_body: {"schema": {"type": "string", "format": "binary"}}},
        }
    operation["security"] = [] if endpoint.scope is None else [{"session": []}, {"token": []}]
    return operation


def operation_id(endpoint: Endpoint) -> str:
    """Return a name for programs: `get_cameras_camera_still`."""
    words = re.sub(r"[^a-z0-9]+", "_", _template(endpoint.path).lower()).strip("_")
    return f"{endpoint.method.lower()}_{words}"


def _parameters(model: type[BaseModel] | None, where: str) -> Iterator[Schema]:
    if model is None:
        return
    schema = model.model_json_schema()
    parts = schema.get("$defs", {})
    for name, found in schema.get("properties", {}).items():
        shape = _inlined(found, parts)
        parameter: Schema = {
            "name": name,
            "in": where,
            "required": where == "path" or name in schema.get("required", ()),
            "schema": {k: v for k, v in shape.items() if k not in ("description", "title")},
        }
        if "description" in shape:
            parameter["description"] = shape["description"]
        yield parameter


def _inlined(shape: Schema, parts: Schema) -> Schema:
    """Return a parameter's schema without references and without null: a URL has neither."""
    if "$ref" in shape:
        found = _inlined(parts[shape["$ref"].rpartition("/")[2]], parts)
        return {**found, **{k: v for k, v in shape.items() if k != "$ref"}}
    members = [m for m in shape.get("anyOf", ()) if m != {"type": "null"}]
    if len(members) == 1:
        rest = {k: v for k, v in shape.items() if k not in ("anyOf", "default")}
        return {**_inlined(members[0], parts), **rest}
    return shape


def _responses(endpoint: Endpoint, references: dict[Key, Schema]) -> Schema:
    problem = {
        "content": {PROBLEM_TYPE: {"schema": references[ProblemAnswer, "serialization"]}},
    }
    codes = {HTTPStatus(code) for code in endpoint.errors} | set(COMMON_ERRORS)
    codes |= {HTTPStatus.BAD_REQUEST}
    if endpoint.scope is not None:
        codes |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    if endpoint.changes:
        codes |= {HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT}
    if endpoint.path_model is not None:
        codes |= {HTTPStatus.NOT_FOUND}
    if endpoint.body is not None or endpoint.raw_body:
        codes |= {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
        codes |= {HTTPStatus.REQUEST_TIMEOUT}
    codes |= {HTTPStatus.UNPROCESSABLE_ENTITY}  # an unknown parameter is one
    answers: Schema = {}
    if endpoint.raw_answer:
        answers[str(int(endpoint.status))] = {
            "description": "The file.",
            "content": {endpoint.raw_answer: {"schema": _whole(endpoint.raw_answer)}},
        }
    elif endpoint.answer is not None:
        answers[str(int(endpoint.status))] = {
            "description": _first_line(endpoint.answer),
            "content": {
                "application/json": {"schema": references[endpoint.answer, "serialization"]}
            },
        }
    else:
        answers["204"] = {"description": "Done."}
    for code in sorted(codes):
        text = COMMON_ERRORS.get(code) or REASONS.get(code) or code.phrase
        answers[str(int(code))] = {"description": text, **problem}
    return answers


def _whole(media_type: str) -> Schema:
    """Return the schema of a file: of JSON no more is said than that it is some."""
    return {} if media_type == "application/json" else {"type": "string", "format": "binary"}


def _first_line(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").partition("\n")[0]


def _template(path: str) -> str:
    """Return the path without aiohttp's patterns: `{name:.+}` is `{name}`."""
    return re.sub(r"\{(\w+):[^}]+\}", r"{\1}", path)
