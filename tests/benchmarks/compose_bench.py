"""The box in containers: how soon it shows something, and what each container takes.

Needs a Docker engine and the images: `tools/docker/engine.sh sh -c 'tools/docker/images.sh && make
bench ARGS="--only compose"'`.
"""

import json
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from nxai_common.contracts.outputs import Detections
from support.compose_box import ComposeBox, docker

CAMERAS: Final = ("north", "east", "south", "west")
FPS: Final = 10
SAMPLES: Final = 8
UNITS: Final = {"B": 1e-6, "KiB": 1024e-6, "MiB": 1.048576, "GiB": 1073.741824}


@dataclass
class Found:
    """What was measured."""

    start_s: float
    """From the command to the first detection outside, with images built and no volume there."""
    results_per_s: float
    memory_mb: dict[str, float] = field(default_factory=dict)
    """Of each container; what the kernel would give back at once is not in it."""
    cpu_percent: dict[str, float] = field(default_factory=dict)
    """Of one core."""


def measure(seconds: float) -> Found:
    """Start a box, give it four cameras, and look at its containers for a while."""
    with ComposeBox("nxai-bench") as box:
        began = time.monotonic()
        box.up()
        box.wait_detections(1)
        start_s = time.monotonic() - began
        write_settings(box)
        with box.outside(Detections) as reader:
            waited_for = set(CAMERAS)
            while waited_for:
                waited_for.discard(reader.next(lambda _: True, Detections).camera)
        memory, cpu = sample(box, seconds)
        with box.outside(Detections) as reader:
            rate = count(reader, seconds) / seconds
    return Found(start_s, rate, memory, cpu)


def write_settings(box: ComposeBox) -> None:
    """Replace the demo's settings."""
    settings = {
        "version": 1,
        "cameras": [
            {
                "id": name,
                "source": {"type": "demo", "seed": number, "fps": FPS},
                "models": ["demo-parts"],
            }
            for number, name in enumerate(CAMERAS, 1)
        ],
        "models": [{"id": "demo-parts", "path": "demo-parts"}],
    }
    container = box.container("manager")["Id"]
    command = ("exec", "-i", container, "sh", "-c", "cat > /var/lib/nxai/settings.json")
    docker(*command, given=json.dumps(settings).encode())


def sample(box: ComposeBox, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Return memory and CPU of each service, the middle of some looks; each takes a second."""
    looks: dict[str, list[tuple[float, float]]] = defaultdict(list)
    ids = {
        each["Id"]: each["Config"]["Labels"]["com.docker.compose.service"]
        for each in box.containers()
    }
    for _ in range(max(SAMPLES, int(seconds))):
        told = docker("stats", "--no-stream", "--no-trunc", "--format", "{{json .}}", *ids)
        for line in told.splitlines():
            stats: dict[str, Any] = json.loads(line)
            cpu = float(stats["CPUPerc"].rstrip("%"))
            looks[ids[stats["ID"]]].append((megabytes(stats["MemUsage"].split("/")[0]), cpu))
    middle = {
        name: [sorted(v)[len(v) // 2] for v in zip(*all_, strict=True)]
        for name, all_ in looks.items()
    }
    return (
        {name: values[0] for name, values in middle.items()},
        {name: values[1] for name, values in middle.items()},
    )


def megabytes(text: str) -> float:
    """Return a size as Docker writes it, such as `63.01MiB`, in MB."""
    found = re.fullmatch(r"([\d.]+)([A-Za-z]+)", text.strip())
    assert found is not None, text
    return float(found[1]) * UNITS[found[2]]


def count(reader: Any, seconds: float) -> int:
    """Return how many detections come within so many seconds."""
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        reader.next(lambda _: True, Detections)
        number += 1
    return number
