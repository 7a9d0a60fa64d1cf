#!/usr/bin/env python3
"""An external processor: boxes of one label that are close together become one, small ones go.

    pip install paho-mqtt
    NXAI_MQTT_HOST=box NXAI_MQTT_PASSWORD_FILE=password python merge_close.py

docs/guides/external-processors.md explains it line by line.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

ENV = os.environ  # noqa: TID251 - it has no settings.py
NAME = ENV.get("NXAI_PROCESSOR", "merge-close")
BASE = f"nxai/v1/{ENV.get('NXAI_DEVICE', 'box')}/processors/{NAME}"
MANIFEST = {
    "schema_version": 1,
    "processor": NAME,
    "name": "Merge close boxes",
    "version": "1",
    "description": "Boxes of a label closer than `distance` become one; below `smallest` they go.",
    # In 0..1 of the picture's width and height. settings.json may say otherwise.
    "settings": {"distance": 0.02, "smallest": 0.01},
}

Found = dict[str, Any]
"""An object of `Work`: label, confidence, and x, y, width, height in 0..1."""


def close(a: Found, b: Found, distance: float) -> bool:
    """Tell whether two boxes of one label overlap once the gap between them is forgiven."""
    return bool(
        a["label"] == b["label"]
        and a["x"] - distance <= b["x"] + b["width"]
        and b["x"] - distance <= a["x"] + a["width"]
        and a["y"] - distance <= b["y"] + b["height"]
        and b["y"] - distance <= a["y"] + a["height"]
    )


def around(a: Found, b: Found) -> Found:
    """Return the box around two, as sure as the surer one."""
    x, y = min(a["x"], b["x"]), min(a["y"], b["y"])
    right = max(a["x"] + a["width"], b["x"] + b["width"])
    bottom = max(a["y"] + a["height"], b["y"] + b["height"])
    sure = max(a["confidence"], b["confidence"])
    size = {"width": min(1.0, right) - x, "height": min(1.0, bottom) - y}
    return {"label": a["label"], "confidence": sure, "x": x, "y": y, **size}


def process(objects: list[Found], distance: float, smallest: float) -> list[Found]:
    """Return all that shall count. The longer side decides what is small."""
    merged: list[Found] = []
    for found in objects:
        whole = {key: found[key] for key in ("label", "confidence", "x", "y", "width", "height")}
        while near := [other for other in merged if close(whole, other, distance)]:
            for other in near:
                merged.remove(other)
                whole = around(whole, other)
        merged.append(whole)
    return [found for found in merged if max(found["width"], found["height"]) >= smallest]


def connected(
    client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
) -> None:
    """Say who we are and ask for work; again after every reconnect."""
    if reason.is_failure:
        sys.stderr.write(f"the broker does not let us in: {reason}\n")
        return
    client.subscribe(f"{BASE}/work")
    client.publish(f"{BASE}/manifest", json.dumps(MANIFEST), qos=1, retain=True)


def asked(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
    """Answer one `Work`. Whatever goes wrong, the result goes out as it was."""
    work = json.loads(message.payload)
    done: dict[str, Any] = {"schema_version": 1, "processor": NAME, "id": work["id"]}
    try:
        done["objects"] = process(work["objects"], **MANIFEST["settings"] | work["settings"])
    except (KeyError, TypeError) as error:
        sys.stderr.write(f"work {work['id']} is left as it is: {error!r}\n")
    client.publish(f"{BASE}/done", json.dumps(done))


def main() -> None:
    """Work until told to stop (SIGTERM, Ctrl-C)."""
    secret = ENV.get("NXAI_MQTT_PASSWORD_FILE")
    password = Path(secret).read_text().strip() if secret else ENV.get("NXAI_MQTT_PASSWORD", "")
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(ENV.get("NXAI_MQTT_USER", "processor"), password)
    client.will_set(f"{BASE}/manifest", b"", qos=1, retain=True)  # if we die, nobody waits for us
    client.on_connect, client.on_message = connected, asked
    host, port = ENV.get("NXAI_MQTT_HOST", "localhost"), int(ENV.get("NXAI_MQTT_PORT", "1883"))
    client.connect_async(host, port)  # tried again and again until somebody is there
    client.loop_start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    if client.is_connected():
        client.publish(f"{BASE}/manifest", b"", qos=1, retain=True).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    # Before any thread starts, so that `sigwait` is the one who gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
