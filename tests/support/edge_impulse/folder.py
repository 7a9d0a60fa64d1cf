"""A project from a folder, for showing what our own programs do with it.

    parcels/
      project.json        {"name": "Parcels", "key": "ei_...", "labels": ["box", "bag"]}
      float32.tflite      any of these
      int8.tflite
      model.onnx
      next/               what the first retrain brings: the same again, labels if they change

Further names in project.json: `id`, `owner`, `last_layer`, `width`, `height`, `channels` and
`resize_mode`.
"""

import json
from pathlib import Path
from typing import Any

from support.edge_impulse.project import (
    Artefact,
    Emulator,
    Project,
    Training,
    detector,
    downloads,
)


def add_folder(emulator: Emulator, folder: Path) -> Project:
    """Add the project of a folder."""
    about: dict[str, Any] = json.loads((folder / "project.json").read_text())
    project = emulator.add_project(
        about["name"],
        key=about["key"],
        owner=about.get("owner", "demo"),
        number=about.get("id"),
    )
    project.add_impulse(
        detector(
            tuple(about["labels"]),
            last_layer=about.get("last_layer", "fomo"),
            size=(about.get("width", 96), about.get("height", 96)),
            channels=about.get("channels", "Grayscale"),
            resize_mode=about.get("resize_mode", "fit-short"),
        )
    )
    project.impulses[0].learn[0].artefacts = _models(folder)
    later = folder / "next"
    if later.is_dir():
        described = later / "project.json"
        labels = json.loads(described.read_text())["labels"] if described.is_file() else None
        project.next_training = Training(_models(later), None if labels is None else tuple(labels))
    return project


def _models(folder: Path) -> tuple[Artefact, ...]:
    files = (folder / "float32.tflite", folder / "int8.tflite", folder / "model.onnx")
    return downloads(*(path.read_bytes() if path.is_file() else None for path in files))
