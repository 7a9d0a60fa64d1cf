"""Start-up settings of the inference service."""

from pathlib import Path
from typing import ClassVar

from pydantic import PositiveInt

from nxai_common.contracts.topics import Level
from nxai_common.settings import ServiceSettings


class InferenceSettings(ServiceSettings):
    """Runs models on frames and publishes what they find."""

    role: ClassVar[str] = "inference"
    session_expiry_s: ClassVar[int] = 0

    models_dir: Path = Path("models")
    """Folder that relative model paths of the configuration start from."""
    catalogue_dir: Path = Path("catalogue")
    """Folder of the imported models, which cloud-sync fills: `catalogue:DIGEST` in a path is the
    package folder DIGEST in there."""
    share: Level = ""
    """Name of the group of inference processes that share the frames (MQTT 5 shared
    subscription); empty: this process gets every frame. Give each process an instance name."""
    threads: PositiveInt = 1
    """Threads of one engine. More than one pays for large models on many cores only."""
    providers: tuple[str, ...] = ()
    """Hardware for ONNX Runtime, best first: cuda, tensorrt, openvino, cpu or ONNX Runtime's own
    names; what is not there falls back to the CPU with a warning."""
