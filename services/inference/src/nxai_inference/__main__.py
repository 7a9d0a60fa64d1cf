"""Composition root: the service, or one of the commands of the same name."""

import sys
from collections.abc import Sequence
from typing import Final

from nxai_common.bus.ports import Bus
from nxai_common.runtime import Beat, run_service
from nxai_inference.adapters.engines import EngineOptions
from nxai_inference.adapters.model_folder import ModelFolder
from nxai_inference.adapters.onnx_engine import execution_providers
from nxai_inference.adapters.sent_picture import PillowReader
from nxai_inference.service import InferenceService
from nxai_inference.settings import InferenceSettings

COMMANDS: Final = {
    "detect": "find objects in pictures",
    "inspect": "say what a model is, test it, time it",
    "convert": "convert a .tflite file to .onnx",
    "package": "pack a model file with its labels",
}
"""Here and not in `cli`, which the service need not import."""


def build(settings: InferenceSettings, bus: Bus, beat: Beat) -> InferenceService:
    """Put the service together."""
    options = EngineOptions(execution_providers(settings.providers), settings.threads)
    return InferenceService(
        bus,
        ModelFolder(settings.models_dir, options, settings.catalogue_dir),
        beat,
        worker=settings.instance,
        pictures=PillowReader(),
        share=settings.share,
        folder=settings.models_dir,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service, or the command that the first word names; return the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments and arguments[0] in COMMANDS:
        # The commands draw and print; the service need not carry what they import.
        from nxai_inference import cli  # noqa: PLC0415 - as above

        return cli.main(arguments, COMMANDS)
    return run_service(InferenceSettings, build, arguments, commands=COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
