"""Draws the demo camera's pictures and trains the demo model from them, on one CPU core.

PyTorch is no dependency of the project; a throw-away environment is enough:

    python3 -m venv /tmp/demo-model
    /tmp/demo-model/bin/pip install torch==2.13.0 onnx onnxruntime \
        -e libs/nxai_common -e services/capture -e services/inference
    /tmp/demo-model/bin/python tools/demo_model/train.py

(On x86 `--index-url https://download.pytorch.org/whl/cpu` for torch saves the CUDA libraries.)

Writes models/demo-parts: model.onnx, manifest.json, README.md with the measured F1. The model is
of FOMO's shape: 96 x 96 RGB in 0..1, NHWC, to 12 x 12 cells of background, bolt, nut, washer,
softmax inside the graph. The cell that holds the centre of a part carries its label.
"""

import argparse
import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from nxai_capture.core.demo_scene import LABELS, DemoScene
from nxai_capture.core.picture import Picture, Rgb
from nxai_capture.core.resizing import Resizer
from nxai_common.contracts.frames import Transform
from nxai_common.contracts.models import InputSpec, ModelManifest, ResizeMode, ResizeQuality, Task

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # one way to measure F1, for this script and the tests

from support.demo_evaluation import Score, evaluate  # noqa: E402 - needs the line above

VERSION: Final = "1.0.0"
SIDE: Final = 96
CELLS: Final = 12
CELL: Final = SIDE // CELLS

TRAIN_SEED: Final = 100_000
"""Scenes from here on are for training; small seeds, that people choose, are for measuring."""
HELD_OUT: Final = range(12)
MEASURED_FRAMES: Final = tuple(range(0, 960, 31))
"""A part is seen at three or four places on its way through the picture."""
SIZES: Final = (
    (640, 480), (640, 480), (1280, 720), (1280, 720), (320, 240),
    (640, 360), (480, 360), (800, 600), (960, 540), (160, 120),
)  # fmt: skip
PICTURES_PER_SCENE: Final = 24
VISIBLE: Final = 0.4
"""Parts less visible than this are neither object nor background."""
OBJECT_WEIGHT: Final = 6.0
"""About 140 of 144 cells are background; 1 would let a part between two cells vanish, 20 would
let every part fire in all cells around it."""
FIT_SHORT_SHARE: Final = 0.25
"""Squash is the model's mode; a camera set to fit-short should not find it useless."""
COMPRESSED_SHARE: Final = 0.35
"""Pictures that come as if through a cheap network camera."""
NEAR: Final = 0.22
"""A cell whose border is so near (in cells) to a part's centre may fire or not: merging takes
care of both, and insisting would teach the model to doubt."""


# --- pictures ------------------------------------------------------------------------------


def draw_pictures(scenes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Return (n, 96, 96, 3) pictures, (n, 12, 12) classes and (n, 12, 12) weights."""
    pictures, classes, weights = [], [], []
    dice = random.Random(1)  # noqa: S311 - no secret
    for number in range(scenes):
        width, height = SIZES[number % len(SIZES)]
        scene = DemoScene(width, height, TRAIN_SEED + number)
        mode = ResizeMode.FIT_SHORT if dice.random() < FIT_SHORT_SHARE else ResizeMode.SQUASH
        resizers = [
            Resizer(
                InputSpec(
                    width=SIDE, height=SIDE, channels=3, resize_mode=mode, resize_quality=quality
                ),
                width,
                height,
            )
            for quality in ResizeQuality
        ]
        frame = dice.randrange(100_000)
        for _ in range(PICTURES_PER_SCENE):
            frame += dice.randrange(3, 12)
            pixels = scene.draw(frame)
            if dice.random() < COMPRESSED_SHARE:
                pixels = compress(pixels, dice.randrange(35, 96))
            resizer = dice.choice(resizers)
            pictures.append(resizer(Picture(Rgb(pixels), width, height, captured_at_us=0)))
            wanted, weight = label_cells(scene, frame, resizer.transform)
            classes.append(wanted)
            weights.append(weight)
    return np.stack(pictures), np.stack(classes), np.stack(weights)


def compress(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return the picture after JPEG, chroma at half size."""
    _, coded = cv2.imencode(".jpg", pixels[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def label_cells(
    scene: DemoScene, frame: int, transform: Transform
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the class and the weight of each cell of one picture."""
    classes = np.zeros((CELLS, CELLS), np.int64)
    weights = np.ones((CELLS, CELLS), np.float32)
    cells = np.arange(CELLS)
    objects = []
    for part in scene.truth(frame):
        full_left = (part.x - transform.offset_x) / transform.scale_x / CELL
        full_right = (part.x + part.width - transform.offset_x) / transform.scale_x / CELL
        top = (part.y - transform.offset_y) / transform.scale_y / CELL
        bottom = (part.y + part.height - transform.offset_y) / transform.scale_y / CELL
        left, right = max(full_left, 0.0), min(full_right, float(CELLS))
        if right <= left:
            continue  # outside of what fit-short keeps
        visible = part.visible * (right - left) / (full_right - full_left)
        x, y = (left + right) / 2, (top + bottom) / 2
        if visible < VISIBLE:
            columns = (cells + 1.3 > left) & (cells - 0.3 < right)
            rows = (cells + 1.3 > top) & (cells - 0.3 < bottom)
            weights[np.ix_(rows, columns)] = 0
            continue
        beside_x = np.maximum(np.maximum(cells - x, x - cells - 1), 0)
        beside_y = np.maximum(np.maximum(cells - y, y - cells - 1), 0)
        weights[np.hypot(beside_y[:, None], beside_x[None, :]) < NEAR] = 0
        objects.append((int(y), int(x), 1 + LABELS.index(part.label)))
    for row, column, wanted in objects:
        classes[row, column] = wanted
        weights[row, column] = OBJECT_WEIGHT
    return classes, weights


# --- network -------------------------------------------------------------------------------


class Layer(nn.Module):
    """Convolution, batch normalisation and, unless linear, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1,
        relu: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.convolution = nn.Conv2d(
            inputs, outputs, size, stride, size // 2, groups=groups, bias=False
        )
        self.normalise = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs, h / stride, w / stride)."""
        x = self.normalise(self.convolution(x))
        return torch.relu(x) if self.relu else x


class Block(nn.Module):
    """MobileNetV2's inverted residual: widen, look around, narrow."""

    def __init__(self, inputs: int, outputs: int, stride: int, widen: int = 3) -> None:
        super().__init__()
        wide = inputs * widen
        self.layers = nn.Sequential(
            Layer(inputs, wide, 1),
            Layer(wide, wide, 3, stride=stride, groups=wide),
            Layer(wide, outputs, 1, relu=False),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs, h / stride, w / stride)."""
        return x + self.layers(x) if self.residual else self.layers(x)


def build_network() -> nn.Sequential:
    """Return the network without its softmax: (n, 3, 96, 96) to (n, 4, 12, 12)."""
    return nn.Sequential(
        Layer(3, 16, 3, stride=2),
        Block(16, 24, 2, widen=1),  # at 48 x 48 cells width is what costs
        Block(24, 24, 1),
        Block(24, 32, 2),
        Block(32, 32, 1),
        Block(32, 32, 1),
        Block(32, 32, 1),
        Layer(32, 48, 1),
        nn.Conv2d(48, 1 + len(LABELS), 1),
    )


def train(
    pictures: NDArray[np.uint8],
    classes: NDArray[np.int64],
    weights: NDArray[np.float32],
    epochs: int,
) -> nn.Sequential:
    """Return the trained network, ready to run (weights averaged over the last steps)."""
    network = build_network().to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    batch = 64
    steps = len(pictures) // batch
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps * epochs)
    everything = torch.from_numpy(pictures).permute(0, 3, 1, 2)  # stays NHWC in memory
    all_classes, all_weights = torch.from_numpy(classes), torch.from_numpy(weights)
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(pictures))
        network.train()
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            wanted, weight = all_classes[chosen], all_weights[chosen]
            inputs, wanted, weight = vary(everything[chosen].float() / 255, wanted, weight)
            loss = nn.functional.cross_entropy(network(inputs), wanted, reduction="none") * weight
            mean = loss.sum() / weight.sum()
            optimiser.zero_grad()
            mean.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(network)
            total += float(mean.detach())
        print(f"epoch {epoch + 1} of {epochs}: loss {total / steps:.5f}", flush=True)
    trained = average.module
    trained.eval()
    return trained


def vary(
    inputs: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a batch mirrored, and with other brightness, contrast, colour balance and noise."""
    for axis in (-1, -2):
        if torch.randint(2, ()):
            inputs, classes, weights = (each.flip(axis) for each in (inputs, classes, weights))
    count = len(inputs)
    gain = 0.75 + 0.5 * torch.rand(count, 1, 1, 1)
    balance = 0.94 + 0.12 * torch.rand(count, 3, 1, 1)
    lift = 0.08 * torch.rand(count, 1, 1, 1) - 0.04
    noise = torch.randn_like(inputs) * (0.02 * torch.rand(count, 1, 1, 1))
    return (inputs * gain * balance + lift + noise).clamp(0, 1), classes, weights


# --- export --------------------------------------------------------------------------------


class Graph:
    """Collects the nodes of an ONNX graph; each method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        """Add a node."""
        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: torch.Tensor) -> str:
        """Add weights."""
        name = f"weights_{len(self.constants)}"
        array = value.detach().numpy().astype(np.float32)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def convolve(self, x: str, convolution: nn.Conv2d, normalise: nn.BatchNorm2d | None) -> str:
        """Add a convolution with its batch normalisation folded in."""
        weight, bias = convolution.weight, convolution.bias
        if normalise is not None:
            scale = normalise.weight / torch.sqrt(normalise.running_var + normalise.eps)
            weight = weight * scale[:, None, None, None]
            bias = normalise.bias - normalise.running_mean * scale
        assert bias is not None  # noqa: S101 - the last convolution has one
        return self.node(
            "Conv", x, self.constant(weight), self.constant(bias),
            kernel_shape=list(convolution.kernel_size), strides=list(convolution.stride),
            pads=list(convolution.padding) * 2, group=convolution.groups,
        )  # fmt: skip

    def layer(self, x: str, layer: Layer) -> str:
        """Add a `Layer`."""
        x = self.convolve(x, layer.convolution, layer.normalise)
        return self.node("Relu", x) if layer.relu else x


def export(network: nn.Sequential, path: Path) -> None:
    """Write the network as ONNX, NHWC on both sides as a converted Edge Impulse model is."""
    graph = Graph()
    x = graph.node("Transpose", "serving_default_x:0", perm=[0, 3, 1, 2])
    for part in network:
        if isinstance(part, Block):
            before = x
            for layer in part.layers:
                x = graph.layer(x, layer)
            x = graph.node("Add", before, x) if part.residual else x
        elif isinstance(part, Layer):
            x = graph.layer(x, part)
        else:
            x = graph.convolve(x, part, None)
    x = graph.node("Transpose", x, perm=[0, 2, 3, 1])
    graph.node("Softmax", x, axis=-1, output="StatefulPartitionedCall:0")
    shape = [1, CELLS, CELLS, 1 + len(LABELS)]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "demo-parts",
            [helper.make_tensor_value_info(
                "serving_default_x:0", TensorProto.FLOAT, [1, SIDE, SIDE, 3])],
            [helper.make_tensor_value_info("StatefulPartitionedCall:0", TensorProto.FLOAT, shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
        producer_name="nxai-edge tools/demo_model/train.py",
    )  # fmt: skip
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def check_export(network: nn.Sequential, path: Path) -> float:
    """Return the largest difference between PyTorch and ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415 - only here

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = np.random.default_rng(0).random((1, SIDE, SIDE, 3), np.float32)
    (got,) = session.run(None, {"serving_default_x:0": inputs})
    with torch.no_grad():
        wanted = network(torch.from_numpy(inputs).permute(0, 3, 1, 2)).softmax(1)
    return float(np.abs(wanted.permute(0, 2, 3, 1).numpy() - got).max())


# --- the package ---------------------------------------------------------------------------


def measure(path: Path) -> list[tuple[str, str, Score]]:
    """Return picture size, resize quality and score, on scenes that training never saw."""
    rows = []
    for size in ((640, 480), (1280, 720), (320, 240)):
        for quality in ResizeQuality:
            score = evaluate(path, size, HELD_OUT, MEASURED_FRAMES, quality=quality)
            rows.append((f"{size[0]}x{size[1]}", str(quality), score))
            print(f"{size[0]}x{size[1]} {quality}: F1 {score.f1:.4f} {score}", flush=True)
    return rows


def write_package(
    folder: Path, rows: list[tuple[str, str, Score]], scenes: int, seconds: dict[str, float]
) -> None:
    """Write manifest.json and README.md beside model.onnx."""
    model = folder / "model.onnx"
    manifest = ModelManifest(
        model="demo-parts",
        name="Demo parts",
        task=Task.FOMO,
        labels=LABELS,
        width=SIDE,
        height=SIDE,
        channels=3,
        resize_mode=ResizeMode.SQUASH,
        threshold=0.5,
        version=VERSION,
        source="drawn and trained by tools/demo_model/train.py",
        digest=hashlib.sha256(model.read_bytes()).hexdigest(),
    )
    wanted = {
        "schema_version", "model", "name", "task", "labels", "width", "height", "channels",
        "resize_mode", "input_scaling", "threshold", "version", "source", "digest",
    }  # fmt: skip
    (folder / "manifest.json").write_text(
        json.dumps(manifest.model_dump(mode="json", include=wanted), indent=2) + "\n"
    )
    table = "\n".join(
        f"| {size} | {quality} | {score.pictures} | {score.found + score.missed} | "
        f"{score.missed} | {score.false} | {score.f1:.4f} |"
        for size, quality, score in rows
    )
    (folder / "README.md").write_text(
        f"""# demo-parts

The model of the demo camera: finds `bolt`, `nut` and `washer` on the synthetic belt
(`services/capture/src/nxai_capture/core/demo_scene.py`). FOMO's shape: 96 x 96 RGB, 12 x 12
cells, resize mode squash, {model.stat().st_size // 1000} kB. It knows the drawn
belt only: on anything else, a blank picture included, it may see parts.

Drawn and trained by one command, on one CPU core, from fixed seeds:

    python tools/demo_model/train.py

(its first lines say how to get PyTorch). {scenes * PICTURES_PER_SCENE} pictures drawn in
{seconds["draw"]:.0f} s of processor time, trained in {seconds["train"]:.0f} s.

F1 on {len(HELD_OUT)} scenes that training never saw, threshold 0.5, through capture's resizing and
inference's FOMO decoder. Every part at least 60 % visible must be found once, under its label,
with the detection's centre inside its box grown by 12 pixels of 640x480; a part melted with
another counts as missed, a second detection as false.

| picture | resizing | pictures | parts | missed | false | F1 |
|---|---|---|---|---|---|---|
{table}

Licence: Apache-2.0, as the project.
"""
    )


def main() -> None:
    """Draw, train, export, measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=ROOT / "models" / "demo-parts")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    torch.use_deterministic_algorithms(mode=True)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    data = draw_pictures(arguments.scenes)
    drawn = time.process_time()
    print(f"{len(data[0])} pictures in {drawn - start:.0f} s", flush=True)
    network = train(*data, arguments.epochs)
    seconds = {"draw": drawn - start, "train": time.process_time() - drawn}
    print(f"trained in {seconds['train']:.0f} s")
    model = arguments.folder / "model.onnx"
    export(network, model)
    print(f"{model.stat().st_size} bytes, PyTorch less ONNX Runtime {check_export(network, model)}")
    write_package(arguments.folder, measure(model), arguments.scenes, seconds)


if __name__ == "__main__":
    main()
