"""How many frames of a real clip the strategies want: few, and the doubtful ones."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from nxai_common.contracts.collecting import (
    CollectStrategy,
    EntropyStrategy,
    LeastConfidenceStrategy,
    MarginStrategy,
    UncertainStrategy,
)
from nxai_common.contracts.configuration import DesiredModel, UncertainRule
from nxai_common.contracts.models import ResizeMode
from nxai_inference.adapters.engines import EngineOptions
from nxai_inference.adapters.model_folder import open_model
from nxai_inference.adapters.picture_file import fit_picture, read_picture
from nxai_inference.core.collecting import Collector, Look, Subject
from nxai_inference.core.decoding import decoder_for
from nxai_inference.core.uncertainty import rule_for
from support.shared import shared

pytestmark = pytest.mark.integration

WANTED: dict[str, CollectStrategy] = {
    "uncertain": UncertainStrategy(),
    "least-confidence": LeastConfidenceStrategy(),
    "margin": MarginStrategy(),
    "entropy": EntropyStrategy(),
}
EVERY = 5
"""Of 600 frames."""


def looks(folder: Path) -> Iterator[tuple[Look, Subject]]:
    """Yield what the quantised nut model says of the conveyor clip."""
    opened = open_model(
        Path(),
        DesiredModel(
            id="m5-nut",
            path=str(shared("models/ei_fomo_mnv2_035_96x96x3_m5_nut_i8.tflite")),
            labels=("m5_nut",),
            resize_mode=ResizeMode.FIT_SHORT,
        ),
        EngineOptions(),
    )
    manifest, engine = opened.loaded.manifest, opened.loaded.engine
    rule = rule_for(UncertainRule(threshold=0.6))
    with engine:
        decoder = decoder_for(manifest, engine.outputs)
        subject = Subject(decoder, manifest.labels, manifest.threshold, random.Random(1))  # noqa: S311 - a slice
        clip = cv2.VideoCapture(str(shared("media/conveyor.mp4")))
        number, picture = 0, folder / "frame.png"
        while (read := clip.read())[0]:
            number += 1
            if number % EVERY:
                continue
            cv2.imwrite(str(picture), read[1])
            pixels, _ = fit_picture(
                read_picture(picture),
                (manifest.width, manifest.height),
                manifest.channels,
                manifest.resize_mode,
            )
            outputs = engine.run(pixels)
            decoded = decoder.decode(outputs, manifest.threshold)
            yield Look(outputs, decoded, rule.judge(decoded), number, "clip"), subject
        clip.release()


def test_few_frames_of_a_clip_that_the_model_knows_are_doubtful(tmp_path: Path) -> None:
    wanted: Counter[str] = Counter()
    collectors: dict[str, Collector] = {}
    frames = 0
    for look, subject in looks(tmp_path):
        frames += 1
        for name, strategy in WANTED.items():
            collector = collectors.setdefault(name, Collector([strategy], subject))
            if (reason := collector.judge(look)) is not None:
                wanted[name] += 1
                if name != "uncertain":
                    assert reason.reason.startswith("a cell: ")
    assert frames == 600 // EVERY
    share = {name: wanted[name] / frames for name in WANTED}
    # The rule of the closed system looks at the rims of objects as well.
    assert 0.15 < share.pop("uncertain") < 0.35
    assert all(each <= 0.05 for each in share.values()), share
    assert any(share.values()), "nothing at all is doubtful: the test is blind"
