"""Damaged model files: a clean refusal or a model, never a crash, a hang or another exception.

Short by default; ``NXAI_FUZZ_EXAMPLES=100000 pytest tests/fuzz/test_model_bytes.py`` goes on
for longer (about 300 damaged files a second).
"""

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nxai_common.errors import RejectedError
from nxai_inference.core.conversion import convert
from nxai_inference.core.conversion.reader import read
from support.shared import shared
from support.tiny_tflite import Operator, Tensor, build, constant

EXAMPLES = int(os.environ.get("NXAI_FUZZ_EXAMPLES", "400"))  # noqa: TID251 - test support, not a service
pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(180 + EXAMPLES)]

SHAPE = (1, 4, 4, 2)
TINY = build(
    [
        Tensor(SHAPE, "int8", scale=0.1, zero_point=1),
        constant([[[[1, 2]]], [[[3, 4]]]], "int8", scale=[0.1, 0.2], zero_point=[0, 0]),
        constant([1, 2], "int32", scale=[0.01, 0.02], zero_point=[0, 0]),
        Tensor(SHAPE, "int8", scale=0.2, zero_point=0),
        Tensor(SHAPE, "int8", scale=1 / 256, zero_point=-128),
        constant([[0, 0], [1, 1], [0, 0], [0, 0]], "int32"),
        Tensor((1, 6, 4, 2), "int8", scale=1 / 256, zero_point=-128),
    ],
    [
        Operator("CONV_2D", [0, 1, 2], [3], {"kind": "Conv2DOptions", "strideH": 1, "strideW": 1}),
        Operator("SOFTMAX", [3], [4], {"kind": "SoftmaxOptions", "beta": 1.0}),
        Operator("PAD", [4, 5], [6]),
    ],
    [0],
    [6],
)
"""Small, so that a random change hits structure more often than weights."""

Change = tuple[int, int]
changes = st.lists(
    st.tuples(st.integers(0, len(TINY) - 1), st.integers(0, 255)), min_size=1, max_size=4
)


def damaged(content: bytes, where: list[Change]) -> bytes:
    made = bytearray(content)
    for place, value in where:
        made[place % len(made)] = value
    return bytes(made)


def convert_or_refuse(content: bytes) -> None:
    try:
        converted = convert(content)
    except RejectedError:
        return
    # What was converted must also load: the checker knows less than the runtime.
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    onnxruntime.InferenceSession(converted, options, providers=["CPUExecutionProvider"])


def test_the_undamaged_file_converts() -> None:
    assert convert(TINY)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(changes)
def test_changed_bytes(where: list[Change]) -> None:
    convert_or_refuse(damaged(TINY, where))


@settings(max_examples=EXAMPLES // 4)
@given(st.integers(0, len(TINY) - 1))
def test_truncated(length: int) -> None:
    convert_or_refuse(TINY[:length])


@settings(max_examples=EXAMPLES // 4)
@given(st.binary(max_size=300))
def test_random_bytes_behind_the_magic(tail: bytes) -> None:
    with pytest.raises(RejectedError):
        read(b"\x1c\0\0\0TFL3" + tail)


@settings(max_examples=EXAMPLES // 8, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_of_a_real_model(where: list[Change]) -> None:
    convert_or_refuse(
        damaged(shared("models/ei_fomo_mnv2_010_96x96x1_beer_can_i8.tflite").read_bytes(), where)
    )


ENGINE_TRIALS = """
import os, random, sys
from pathlib import Path
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.errors import ConfigurationError
from nxai_inference.adapters.engines import EngineOptions
from nxai_inference.adapters.model_folder import ModelFolder

source, folder, count = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3])
turn = random.Random(1)
clock = iter(range(10**9))
options = EngineOptions(clock=lambda: float(next(clock)))  # a second a look: two rounds of timing
for number in range(count):
    content = bytearray(source)
    for _ in range(turn.choice([1, 1, 3])):
        place = turn.choice([turn.randrange(400), -1 - turn.randrange(12000)])
        content[place] = turn.randrange(256)
    (folder / "m.tflite").write_bytes(content)
    print(number, flush=True)
    wanted = DesiredModel(id="m", path="m.tflite", labels=("beer", "can"))
    try:
        ModelFolder(folder, options).load(wanted).engine.close()
    except ConfigurationError as error:
        assert "m.tflite" in str(error)
"""


def test_damaged_models_do_not_take_the_process_along(tmp_path: Path) -> None:
    """The engines are native code: only another process can show that they survive."""
    model = shared("models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite")
    count = EXAMPLES // 4
    done = subprocess.run(
        [sys.executable, "-c", ENGINE_TRIALS, str(model), str(tmp_path), str(count)],
        capture_output=True,
        text=True,
        timeout=150 + EXAMPLES,
        check=False,
    )
    assert done.returncode == 0, f"model {done.stdout.split()[-1:]}: {done.stderr[-2000:]}"
    assert len(done.stdout.split()) == count
