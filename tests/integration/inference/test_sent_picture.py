"""Pictures that come over the bus: read like files, and refused when they are meant badly."""

import contextlib
import io
import json
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.contracts.commands import DetectPicture, Reply
from nxai_common.contracts.configuration import DesiredModel
from nxai_common.contracts.models import InputSpec, PackageManifest, ResizeMode
from nxai_common.contracts.results import InferenceResult
from nxai_common.errors import RejectedError
from nxai_inference.__main__ import build, main
from nxai_inference.adapters.model_package import read_model_file, write_package
from nxai_inference.adapters.picture_file import MOST_PIXELS, MOST_SCANS, decode_picture
from nxai_inference.adapters.sent_picture import PillowReader
from nxai_inference.settings import InferenceSettings
from support.inference import nothing, running
from support.pictures import soft
from support.shared import shared

pytestmark = pytest.mark.integration

ROOMS = "models/ei_yolov5n_320x320x3_2cls_fp16w.tflite"
PHOTOGRAPH = Image.fromarray(soft(90, 60))


def written(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_is_what_its_sender_saved(kind: str) -> None:
    found = decode_picture(written(PHOTOGRAPH, kind, **({"quality": 95} if kind == "JPEG" else {})))
    assert found.mode == "RGB"
    assert np.abs(np.asarray(found).astype(int) - np.asarray(PHOTOGRAPH)).mean() < 2


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_every_kind_of_png_becomes_rgb(mode: str) -> None:
    gray = PHOTOGRAPH.convert("L")
    stored = (
        Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
        if mode == "I;16"
        else PHOTOGRAPH.convert(mode)
    )
    found = decode_picture(written(stored, "PNG"))
    assert (found.mode, found.size) == ("RGB", PHOTOGRAPH.size)
    wanted = gray if mode == "I;16" else stored.convert("RGB")
    assert (np.asarray(found) == np.asarray(wanted.convert("RGB"))).all()


def test_a_photograph_is_turned_as_its_camera_says() -> None:
    exif = PHOTOGRAPH.getexif()
    exif[0x0112] = 6  # orientation: a quarter turn
    content = written(PHOTOGRAPH, "JPEG", exif=exif)
    assert decode_picture(content).size == (60, 90)
    fitted = PillowReader().read(content, InputSpec(width=30, height=45, channels=1))
    assert (fitted.width, fitted.height, fitted.pixels.shape) == (60, 90, (45, 30, 1))
    assert fitted.transform.scale_x == 2


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_only_jpeg_and_png_are_taken(kind: str) -> None:
    """Each reader is one more that a stranger's bytes could break."""
    with pytest.raises(RejectedError, match="the picture is neither JPEG nor PNG"):
        decode_picture(written(PHOTOGRAPH, kind))


def png_of(width: int, height: int, rows: bytes, kind: int = 2) -> bytes:
    """Return a PNG whose header promises that size; its rows are stored as they are."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize(
    ("width", "height"), [(50_001, 1000), (10_000, 10_000), (60_000, 60_000), (2**31 - 1, 1)]
)
def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header(
    width: int, height: int
) -> None:
    assert width * height > MOST_PIXELS
    with pytest.raises(RejectedError) as refused:
        decode_picture(png_of(width, height, bytes(1000)))
    # Pillow's own limit comes first for the largest.
    assert str(refused.value) in [
        f"the picture has {size} pixels; at most 50 million are taken: make it smaller"
        for size in (f"{width}x{height}", "more")
    ]


def progressive(scans: int) -> bytes:
    """Return a progressive JPEG whose last scan comes so often that it has that many."""
    content = written(PHOTOGRAPH, "JPEG", progressive=True)
    first = [found.start() for found in re.finditer(b"\xff\xda", content)]
    last, end = content[first[-1] : -2], content[-2:]
    return content[:-2] + last * (scans - len(first)) + end


def test_a_jpeg_that_goes_over_the_picture_for_hours_is_refused() -> None:
    assert decode_picture(progressive(12)).size == PHOTOGRAPH.size
    assert decode_picture(progressive(MOST_SCANS)).size == PHOTOGRAPH.size
    with pytest.raises(RejectedError, match="a JPEG of more than 100 scans"):
        decode_picture(progressive(MOST_SCANS + 1))


def test_what_only_looks_like_scans_is_no_reason_to_refuse() -> None:
    """The film behind a telephone's picture, a comment, and any PNG may hold such bytes."""
    many = b"\xff\xda" * 2 * MOST_SCANS
    plain = written(PHOTOGRAPH, "JPEG")
    comment = b"\xff\xfe" + struct.pack(">H", len(many) + 2) + many
    rows = b"".join(b"\0" + many[:100] for _ in range(100))
    for content in (
        plain + many,
        plain[:2] + comment + plain[2:],
        png_of(100, 100, rows, kind=0),
    ):
        assert content.count(b"\xff\xda") > MOST_SCANS
        decode_picture(content)


def test_a_text_that_unfolds_to_gigabytes_is_refused() -> None:
    about = PngInfo()
    about.add_text("bomb", "x" * 80_000_000, zip=True)
    content = written(PHOTOGRAPH, "PNG", pnginfo=about)
    assert len(content) < 200_000
    with pytest.raises(RejectedError, match="the picture is broken"):
        decode_picture(content)


EXIF = PHOTOGRAPH.getexif()
EXIF[0x0112] = 3
SOUND = (
    written(PHOTOGRAPH, "JPEG", exif=EXIF),
    written(PHOTOGRAPH, "JPEG", progressive=True),
    written(PHOTOGRAPH, "PNG"),
    written(PHOTOGRAPH.convert("P"), "PNG"),
)


@settings(max_examples=400)
@given(
    st.sampled_from(SOUND),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=6)), max_size=4),
    st.integers(0, 5000),
)
def test_a_broken_picture_is_a_picture_or_refused(
    content: bytes, changes: list[tuple[int, bytes]], end: int
) -> None:
    for at, put in changes:
        content = content[:at] + put + content[at + len(put) :]
    with contextlib.suppress(RejectedError):
        assert decode_picture(content[: max(end, 10)]).mode == "RGB"


# -- with a real model ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ResizeMode)
def test_a_picture_on_the_bus_shows_what_the_command_line_shows(
    tmp_path: Path, mode: ResizeMode, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a picture of another size than the model's, with the model of the catalogue."""
    file = read_model_file(shared(ROOMS))
    about = json.loads(shared(ROOMS).with_suffix(".json").read_text())
    manifest = PackageManifest(labels=tuple(about["labels"]), resize_mode=mode, threshold=0.3)
    picture = tmp_path / "picture.png"
    with Image.open(shared("golden/ei_yolov5n_320x320x3_0.png")) as small:
        wide = Image.new("RGB", (360, 320), "gray")
        wide.paste(small.convert("RGB"), (20, 0))
        wide.save(picture)
    package = tmp_path / "catalogue" / "x"
    write_package(package, file, manifest)
    # One engine for both: the fastest is now this one and now that, and they differ by 1e-6.
    options = ("--json", "--engine", "litert", "--model", str(package))
    assert main(["detect", *options, str(picture)]) == 0
    wanted = json.loads(capfd.readouterr().out)["detections"]

    digest = json.loads((package / "manifest.json").read_text())["digest"]
    package.rename(package.with_name(digest))
    model = DesiredModel(id="rooms", path=f"catalogue:{digest}", engine="litert")
    folders = InferenceSettings(
        run_dir=tmp_path, models_dir=tmp_path, catalogue_dir=tmp_path / "catalogue"
    )
    with MemoryBus(MemoryBroker()) as bus, running(build(folders, bus, nothing)):
        reply = bus.request(
            DetectPicture(desired=model, attachment=picture.read_bytes()), timeout=60
        )
    assert found_in(reply) == wanted
    assert wanted, "nothing to compare"
    assert (reply.details["width"], reply.details["height"]) == (360, 320)


def found_in(reply: Reply) -> list[dict[str, Any]]:
    assert reply.ok, reply.reason
    result = InferenceResult.model_validate_json(bytes(reply.attachment))
    return [
        {
            "label": each.label,
            "confidence": each.confidence,
            "x": round(each.box.x, 3),
            "y": round(each.box.y, 3),
            "width": round(each.box.width, 3),
            "height": round(each.box.height, 3),
        }
        for each in result.detections
    ]


def test_a_service_that_is_sent_no_picture_does_not_carry_pillow() -> None:
    """In a process of its own, as this one has loaded it."""
    code = "import sys, nxai_inference.__main__; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
