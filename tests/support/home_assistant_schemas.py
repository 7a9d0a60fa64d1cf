"""Runs in Home Assistant's own Python: says what its schemas have against discovery messages.

Reads ``{"devices": [message], "entities": [[platform, message]], "updates": [state]}``, prints a
JSON list of complaints.
"""

# mypy: ignore-errors

import asyncio
import importlib
import json
import sys
from typing import Any

import voluptuous as vol
from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA
from homeassistant.components.mqtt.update import MQTT_JSON_UPDATE_SCHEMA
from homeassistant.core import HomeAssistant


def complaint(schema: Any, value: Any, what: str) -> list[str]:
    try:
        schema(value)
    except vol.Invalid as error:
        return [f"{what}: {error}"]
    return []


def entity_complaints(platform: str, message: dict[str, Any]) -> list[str]:
    module = importlib.import_module(f"homeassistant.components.mqtt.{platform}")
    what = f"{platform} {message['unique_id']}"
    # That for files refuses what it does not know; that for discovery leaves it out.
    return [
        *complaint(module.PLATFORM_SCHEMA_MODERN, message, what),
        *complaint(module.DISCOVERY_SCHEMA, message, what),
    ]


async def complaints(found: dict[str, Any]) -> list[str]:
    HomeAssistant("/tmp")  # templates are checked with the one that is there
    said = []
    for message in found["devices"]:
        said += complaint(DEVICE_DISCOVERY_SCHEMA, message, message["device"]["name"])
        for part in message["components"].values():
            said += entity_complaints(part.pop("platform"), part)
    for platform, message in found["entities"]:
        said += entity_complaints(platform, message)
    for state in found["updates"]:
        said += complaint(MQTT_JSON_UPDATE_SCHEMA, state, state["title"])
    return said


print(json.dumps(asyncio.run(complaints(json.load(sys.stdin)))))  # noqa: T201 - the answer
