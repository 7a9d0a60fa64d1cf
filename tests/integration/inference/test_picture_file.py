"""Pictures for the command line: fitted just where the cameras' resizer fits them, and read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nxai_capture.core.resizing import fit
from nxai_common.contracts.models import ResizeMode
from nxai_common.errors import RejectedError
from nxai_inference.adapters.picture_file import (
    Mark,
    draw,
    fit_picture,
    read_picture,
    save_picture,
)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("mode", ResizeMode)
@pytest.mark.parametrize("size", [(96, 96), (320, 240), (64, 96)])
@pytest.mark.parametrize("source", [(640, 480), (480, 641), (1281, 720), (50, 30), (7, 900)])
def test_same_geometry_as_a_camera(
    mode: ResizeMode, size: tuple[int, int], source: tuple[int, int]
) -> None:
    pixels, transform = fit_picture(Image.new("RGB", source, "white"), size, 3, mode)
    geometry = fit(mode, source, size)
    assert transform == geometry.transform
    assert pixels.shape == (size[1], size[0], 3)
    inner = np.zeros(pixels.shape[:2], bool)
    inner[
        geometry.target_top : geometry.target_top + geometry.target_height,
        geometry.target_left : geometry.target_left + geometry.target_width,
    ] = True
    assert (pixels[inner] == 255).all()
    assert (pixels[~inner] == 0).all()


def test_a_picture_of_the_models_size_is_not_touched() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for mode in ResizeMode:
        pixels, transform = fit_picture(Image.fromarray(noise), (32, 24), 3, mode)
        assert (pixels == noise).all()
        assert (transform.scale_x, transform.scale_y) == (1, 1)
        assert (transform.offset_x, transform.offset_y) == (0, 0)


def test_gray_has_the_weights_of_edge_impulse() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    pixels, _ = fit_picture(Image.fromarray(noise), (32, 24), 1, ResizeMode.SQUASH)
    wanted = noise @ np.array([0.299, 0.587, 0.114])
    assert pixels.shape == (24, 32, 1)
    assert np.abs(pixels[:, :, 0] - wanted).max() <= 1


GRAYS = np.linspace(0, 255, 48).round().astype(np.uint8).reshape(6, 8)
COLOURS = np.dstack((GRAYS, GRAYS[::-1], np.flip(GRAYS)))


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P", "CMYK"])
def test_every_kind_of_colour_picture_becomes_rgb(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("x.tif" if kind == "CMYK" else "x.png")
    picture = Image.fromarray(COLOURS)
    stored = picture.quantize(48) if kind == "P" else picture.convert(kind)
    stored.save(path)
    found = read_picture(path)
    assert found.mode == "RGB"
    apart = np.abs(np.asarray(found).astype(int) - np.asarray(stored.convert("RGB")))
    assert apart.max() == 0
    assert np.abs(np.asarray(found).astype(int) - COLOURS).mean() < 8, "not the picture stored"


@pytest.mark.parametrize("kind", ["L", "LA", "1"])
def test_every_kind_of_gray_picture_becomes_rgb(tmp_path: Path, kind: str) -> None:
    gray = np.where(GRAYS > 100, 255, 0).astype(np.uint8) if kind == "1" else GRAYS
    path = tmp_path / "x.png"
    Image.fromarray(gray).convert(kind).save(path)
    assert (np.asarray(read_picture(path)) == gray[:, :, np.newaxis]).all()


@pytest.mark.parametrize(("kind", "name"), [("I;16", "x.png"), ("I;16B", "x.tif"), ("I", "x.pgm")])
def test_gray_of_16_bits_keeps_its_brightness(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    deep = GRAYS.astype(np.uint16) * 257
    Image.fromarray(deep.astype(">u2") if kind == "I;16B" else deep).save(path)
    with Image.open(path) as stored:
        assert stored.mode == kind, "the file is not of the kind that this is about"
    assert (np.asarray(read_picture(path)) == GRAYS[:, :, np.newaxis]).all()


def test_gray_of_16_bits_is_rounded(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.array([[128, 129, 65_406, 65_407]], np.uint16)).save(path)
    assert np.asarray(read_picture(path))[0, :, 0].tolist() == [0, 1, 254, 255]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((4, 4), 0.5, np.float32), r"'F'.*; save it as PNG or JPEG with 8 bits a channel"),
        (np.full((4, 4), 70_000, np.int32), r"70000.*; save it as PNG or JPEG with 8 bits a chan"),
        (np.full((4, 4), -1, np.int32), r"-1.*; save it as PNG or JPEG with 8 bits a channel"),
    ],
)
def test_a_picture_without_a_known_white_is_refused(
    tmp_path: Path, values: NDArray[Any], reason: str
) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(RejectedError, match=r"x\.tif: .*" + reason):
        read_picture(path)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    picture = Image.new("RGB", (8, 6))
    exif = picture.getexif()
    exif[0x0112] = 6  # orientation: a quarter turn
    picture.save(path, exif=exif)
    assert read_picture(path).size == (6, 8)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(RejectedError, match=r"x\.png: not a picture that can be read") as caught:
        read_picture(path)
    assert str(caught.value).count("x.png") == 1
    with pytest.raises(RejectedError, match="no such file"):
        read_picture(tmp_path / "gone.png")


def test_what_the_system_does_not_give_is_refused_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(RejectedError) as caught:
        read_picture(tmp_path)
    assert str(caught.value) == f"{tmp_path}: this is a folder; name the pictures in it"
    below_a_file = tmp_path / "file" / "x.png"
    below_a_file.parent.write_text("in the way")
    with pytest.raises(RejectedError) as caught:
        read_picture(below_a_file)
    assert str(caught.value) == f"{below_a_file}: not a picture that can be read: Not a directory"


def test_an_absurdly_large_picture_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    Image.new("L", (100, 100)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(RejectedError, match=r"x\.png: not a picture"):
        read_picture(path)


def test_boxes_and_circles_are_drawn_on_a_copy() -> None:
    picture = Image.new("RGB", (200, 100), "white")
    box = Mark("nut", 0, 20, 30, 60, 40, is_centroid=False)
    circle = Mark("can", 1, 20, 30, 60, 40, is_centroid=True)
    for mark, outline, empty in ((box, (20, 50), (42, 42)), (circle, (42, 50), (20, 50))):
        drawn = draw(picture, [mark])
        assert drawn.getpixel(outline) != (255, 255, 255)
        assert drawn.getpixel(empty) == (255, 255, 255)
    assert picture.getcolors() == [(20_000, (255, 255, 255))]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RejectedError, match="cannot be written"):
        save_picture(Image.new("RGB", (4, 4)), Path("a.gif"), tmp_path / "file" / "x")


def test_formats_that_cannot_be_drawn_on_are_saved_as_png(tmp_path: Path) -> None:
    assert save_picture(Image.new("RGB", (4, 4)), Path("a.gif"), tmp_path).name == "a.png"
    assert save_picture(Image.new("RGB", (4, 4)), Path("a.JPG"), tmp_path).name == "a.jpg"
