"""One program: the service, or a command on files."""

from pathlib import Path

import pytest

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.bus.ports import Subscription
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import ConfigurationError
from nxai_common.settings import load
from nxai_inference.__main__ import COMMANDS, build, main
from nxai_inference.settings import InferenceSettings
from support.inference import frame, nothing, running

pytestmark = pytest.mark.unit


def test_options_are_for_the_service(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NXAI_INFERENCE_MODELS_DIR", raising=False)
    assert main(["--check"]) == 0
    assert "NXAI_INFERENCE_MODELS_DIR=models" in capsys.readouterr().out


def test_the_first_word_names_a_command(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["convert", f"{tmp_path}/missing.tflite", f"{tmp_path}/out.onnx"]) == 2
    assert "missing.tflite" in capfd.readouterr().err


def test_every_command_is_one(capfd: pytest.CaptureFixture[str]) -> None:
    for command, text in COMMANDS.items():
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        out = capfd.readouterr().out
        assert out.startswith(f"usage: nxai-inference {command} ")
        assert text in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["detct", "x.png"], "there is no command 'detct'; did you mean 'detect'?"),
        (["frobnicate"], "there is no command 'frobnicate'; known: detect, inspect, convert, "),
        (["--check", "inspect"], "'inspect' is a command: it must be the first word"),
        (["--chekc"], "unrecognized arguments: --chekc"),
    ],
)
def test_a_word_that_is_no_command(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert f"nxai-inference: error: {said}" in capsys.readouterr().err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert "usage: nxai-inference [options]\n       nxai-inference COMMAND ...\n" in out
    assert "\n  detect   find objects in pictures\n  inspect  say what" in out
    assert "NXAI_INFERENCE_MODELS_DIR" in out


def test_the_settings_reach_the_service() -> None:
    settings = load(InferenceSettings, {"NXAI_INSTANCE": "inference-7"})
    with MemoryBus(MemoryBroker()) as bus, MemoryBus(bus._broker) as other:
        service = build(settings, bus, nothing)
        results = other.subscribe(Subscription(InferenceResult))
        with running(service):
            other.publish(frame())
            delivery = results.receive(10)
        assert delivery is not None
        assert isinstance(delivery.message, InferenceResult)
        assert delivery.message.worker == "inference-7"


def test_unknown_hardware_is_named_at_the_start() -> None:
    settings = load(InferenceSettings, {"NXAI_INFERENCE_PROVIDERS": "abacus"})
    with MemoryBus(MemoryBroker()) as bus, pytest.raises(ConfigurationError, match="'abacus'"):
        build(settings, bus, nothing)
