"""The JSON Schema of settings.json, for editors and for finding the keys one may have meant."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from nxai_manager.core.document import Settings

Schema = dict[str, Any]

TAGS: Final = {"type": "rtsp", "strategy": "uncertain"}
"""Keys that say which member of a union an object is, each with an example."""


@cache
def settings_schema() -> Schema:
    """Return the schema (JSON Schema 2020-12). Unknown keys are errors, as in `check_settings`."""
    schema = Settings.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for part in (schema, *schema["$defs"].values()):
        if "properties" in part:
            part["additionalProperties"] = False
    # The short forms, which validators take before pydantic looks.
    parts = schema["$defs"]
    camera = parts["Camera"]["properties"]
    uses, collect = camera["models"], camera["collect"]
    uses["items"] = {"anyOf": [{"type": "string"}, uses["items"]]}
    collect["anyOf"] = [{"type": "boolean"}, {"$ref": collect.pop("$ref")}]
    strategies = parts["CollectPolicy"]["properties"]["strategies"]
    names = sorted(strategies["items"]["discriminator"]["mapping"])
    strategies["items"] = {"anyOf": [{"enum": names}, strategies["items"]]}
    return schema


def keys_at(location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that an object may have.

    Args:
        location: Of the object, as pydantic gives it: a member of a union is a step of its own.
    """
    schema = settings_schema()
    parts = [schema]
    for step in location:
        parts = [
            below
            for part in parts
            for whole in _alternatives(schema, part)
            for below in _step(whole, step)
        ]
    return sorted(
        {key for part in parts for whole in _alternatives(schema, part) for key in _keys(whole)}
    )


def _keys(part: Schema) -> list[str]:
    return list(part.get("properties", {}))


def _step(part: Schema, step: str | int) -> Iterator[Schema]:
    """Yield what lies one step below."""
    if isinstance(step, int):
        yield from [part["items"]] if "items" in part else part.get("prefixItems", [])
    elif step in part.get("properties", {}):
        yield part["properties"][step]
    elif any(part.get("properties", {}).get(tag, {}).get("const") == step for tag in TAGS):
        yield part  # the name of a union's member


def _alternatives(schema: Schema, part: Schema) -> Iterator[Schema]:
    """Yield the schemas without references and unions that `part` stands for."""
    if "$ref" in part:
        yield from _alternatives(schema, schema["$defs"][part["$ref"].rpartition("/")[2]])
    elif "oneOf" in part or "anyOf" in part:
        for member in part.get("oneOf") or part["anyOf"]:
            yield from _alternatives(schema, member)
    else:
        yield part
