"""Files that people import: real models in every wrapping, and files that were made to do harm."""

import io
import os
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nxai_cloud_sync.adapters.archive_file import MAX_ARCHIVE_BYTES, read_import
from nxai_cloud_sync.adapters.model_file import identify
from nxai_cloud_sync.core.archives import MAX_ENTRIES
from nxai_cloud_sync.core.importing import Stated
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_common.contracts.models import PackageManifest, ResizeMode, Task
from nxai_common.errors import RejectedError
from support.archives import Export, Form, c_array, openmv, zipped
from support.models_for_import import StoppedError, digest_of, noise
from support.samples import small_disk
from support.shared import shared

FLOAT32 = "models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite"
INT8 = "models/ei_fomo_mnv2_010_96x96x1_beer_can_i8.tflite"
LABELS = ("beer", "can")


def nothing() -> None:
    """Nobody wants to stop."""


def taken(path: Path, each: Callable[[], None] = nothing) -> tuple[bytes, Stated]:
    """Read a file; return the model in it and what is said of it."""
    target = path.parent / f"{path.name}.model"
    stated = read_import(path, target, each)
    return target.read_bytes(), stated


def archive(tmp_path: Path, files: dict[str, bytes], name: str = "export.zip") -> Path:
    path = tmp_path / name
    path.write_bytes(zipped(files))
    return path


# -- real models ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "datatype"), [(FLOAT32, "FLOAT32"), (INT8, "INT8")])
@pytest.mark.parametrize("form", ["file", "array"])
@pytest.mark.parametrize("folder", ["", "src/", "Beers_inferencing/src/"])
def test_libraries(tmp_path: Path, model: str, datatype: str, form: Form, folder: str) -> None:
    content = shared(model).read_bytes()
    export = Export(datatype=datatype)
    found, stated = taken(archive(tmp_path, export.library(content, form, folder)))
    assert found == content
    assert (stated.labels, stated.task, stated.threshold) == (LABELS, Task.FOMO, 0.55)
    assert (stated.width, stated.height, stated.resize_mode) == (96, 96, ResizeMode.FIT_SHORT)
    assert stated.origin.artefact == datatype.lower()
    assert stated.source.endswith("deployment 56, file export.zip")
    assert stated.notes == ()


def test_a_library_with_onnx(tmp_path: Path) -> None:
    content = b"\x08\x08" + noise(1)
    found, _ = taken(archive(tmp_path, Export().library(content, suffix=".onnx")))
    assert found == content


def test_a_compiled_library_says_what_to_build(tmp_path: Path) -> None:
    path = archive(tmp_path, Export().library(b"", "eon"))
    with pytest.raises(RejectedError, match=r"EON Compiler.*'TensorFlow Lite' \(not 'EON"):
        taken(path)


def test_a_library_whose_sources_hold_no_model(tmp_path: Path) -> None:
    files = Export().library(b"", "array")
    (source,) = (name for name in files if "tflite-model" in name)
    files[source] = b'INCBIN(incbin_x, "tflite-model/x.tflite");\n'
    with pytest.raises(
        RejectedError, match=rf"no TensorFlow Lite model in it \(looked into {source}\)"
    ):
        taken(archive(tmp_path, files))


def test_a_library_with_two_models(tmp_path: Path) -> None:
    files = Export().library(noise(1), "array")
    files["tflite-model/other.h"] = c_array("other", noise(2))
    with pytest.raises(RejectedError, match=r"2 model files .*other\.h"):
        taken(archive(tmp_path, files))


def test_openmv(tmp_path: Path) -> None:
    content = shared(INT8).read_bytes()
    found, stated = taken(archive(tmp_path, openmv(content, LABELS)))
    assert (found, stated.labels, stated.task) == (content, LABELS, None)
    assert "'background'" in stated.notes[0]
    assert (stated.title, stated.source) == ("", "file export.zip")
    _, stated = taken(archive(tmp_path, openmv(content, LABELS, detects=False), "classify.zip"))
    assert (stated.labels, stated.task) == (LABELS, Task.CLASSIFICATION)


def test_a_model_alone_in_an_archive(tmp_path: Path) -> None:
    found, stated = taken(archive(tmp_path, {"a/model.lite": noise(1)}))
    assert (found, stated.labels) == (noise(1), None)


def test_names_that_are_written_in_another_way(tmp_path: Path) -> None:
    files = {"./a//model.tflite": noise(1), "a/": b"", "x.tflite/": b""}
    assert taken(archive(tmp_path, files))[0] == noise(1)
    twice = {"a//model.tflite": noise(1), "a/model.tflite": noise(2)}
    with pytest.raises(RejectedError, match="twice"):
        taken(archive(tmp_path, twice, "twice.zip"))


def package(content: bytes, **rest: Any) -> dict[str, bytes]:
    manifest = PackageManifest(labels=LABELS, name="Dosen", nms_iou=0.3, **rest)
    text = manifest.model_dump_json(exclude_none=True).encode()
    return {"beers/manifest.json": text, "beers/model.tflite": content, "beers/notes.md": b"x"}


def test_a_package(tmp_path: Path) -> None:
    content = shared(FLOAT32).read_bytes()
    files = package(content, file="model.tflite", digest=digest_of(content).upper())
    found, stated = taken(archive(tmp_path, files))
    assert found == content
    assert (stated.labels, stated.title, stated.nms_iou) == (LABELS, "Dosen", 0.3)
    assert taken(archive(tmp_path, package(content), "b.zip"))[0] == content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file": "other.tflite"}, "'other.tflite', which is not beside it"),
        ({"digest": "0" * 64}, "says 0000.*damaged or was changed"),
    ],
)
def test_a_package_that_contradicts_itself(
    tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    with pytest.raises(RejectedError, match=reason):
        taken(archive(tmp_path, package(noise(1), **change)))


def test_a_package_with_a_damaged_manifest(tmp_path: Path) -> None:
    files = {**package(noise(1)), "beers/manifest.json": b'{"threshold": 7}'}
    with pytest.raises(RejectedError, match=r"manifest.json: threshold: .*\(got 7\)"):
        taken(archive(tmp_path, files))


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.tflite", "m.lite", "whatever"])
def test_a_model_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(noise(1))
    found, stated = taken(path)
    assert found == noise(1)
    assert path.read_bytes() == noise(1)
    assert (stated.labels, stated.source) == (None, f"file {name}")


def test_labels_beside_a_model_file(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(noise(1))
    (tmp_path / "labels.txt").write_text("background\nDose\nFlasche\n", encoding="utf-8")
    assert taken(path)[1].labels == ("Dose", "Flasche")
    (tmp_path / "m.tflite.model").unlink()
    (tmp_path / "m.labels.txt").write_bytes(b"\xef\xbb\xbfK\xc3\xb6nig\n")
    assert taken(path)[1].labels == ("König",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x7fELF" + bytes(100), r"an executable \(.eim\)"),
        (b"<html>", "web page"),
        (b"", "is empty"),
        (b"text", "neither TensorFlow Lite nor ONNX"),
        (b"PK\x03\x04", "the end of the archive is missing"),
        (b"PK\x05\x06" + bytes(18), "has no model file"),
    ],
)
def test_what_is_no_model(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(RejectedError, match=reason):
        taken(path)
    assert not (tmp_path / "file.model").exists()


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="Is a directory"):
        taken(tmp_path)
    with pytest.raises(StorageUnavailable, match="No such file"):
        taken(tmp_path / "none")
    with pytest.raises(RejectedError, match="zero is no file"):
        read_import(Path("/dev/zero"), tmp_path / "model", nothing)


def test_reading_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(noise(1, 3_000_000))

    def stop() -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        taken(path, stop)


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    path = archive(tmp_path, {"m.tflite": noise(1, 2_000_000)})
    with (
        small_disk(tmp_path / "small", "1m"),
        pytest.raises(StorageUnavailable, match="small is full"),
    ):
        read_import(path, tmp_path / "small" / "model", nothing)


def test_a_file_is_identified_and_gets_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "download"
    path.write_bytes(noise(1))
    file = identify(path, "what came", nothing)
    assert (file.path, file.digest, file.size, file.format) == (
        tmp_path / "download.tflite",
        digest_of(noise(1)),
        len(noise(1)),
        "tflite",
    )
    assert identify(file.path, "again", nothing) == file
    with pytest.raises(StorageUnavailable):
        identify(path, "gone", nothing)


# -- harm -----------------------------------------------------------------------------------------


def with_entry(name: str, content: bytes = b"x", **attributes: Any) -> bytes:
    """Return an archive of a model and one more entry."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        out.writestr("trained.tflite", noise(1))
        info = zipfile.ZipInfo(name)
        for each, value in attributes.items():
            setattr(info, each, value)
        out.writestr(info, content)
    return made.getvalue()


def encrypted() -> bytes:
    content = bytearray(with_entry("secret"))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.rfind(signature)
        content[at + place] |= 1
    return bytes(content)


def twice() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        out.writestr("trained.tflite", noise(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            out.writestr("trained.tflite", noise(2))
    return made.getvalue()


LINK = {"external_attr": (stat.S_IFLNK | 0o777) << 16}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (with_entry("../../etc/cron.d/x"), "outside of the archive"),
        (with_entry("a/../../x"), "outside of the archive"),
        (with_entry("/etc/passwd"), "outside of the archive"),
        (with_entry("C:\\windows\\x"), "outside of the archive"),
        (with_entry("..\\x"), "outside of the archive"),
        (with_entry("labels.txt", b"/etc/passwd", **LINK), "is a link to another file"),
        (with_entry("x", compress_type=zipfile.ZIP_LZMA), "packed in an unusual way"),
        (encrypted(), "is encrypted"),
        (twice(), "is in there twice"),
    ],
)
def test_archives_that_nobody_makes_by_accident(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    before = set(tmp_path.iterdir())
    with pytest.raises(RejectedError, match=rf"in bad\.zip .*{reason}.*no archive of Edge"):
        taken(path)
    assert set(tmp_path.iterdir()) == before


def test_thousands_of_files(tmp_path: Path) -> None:
    files = {f"{n}.txt": b"" for n in range(MAX_ENTRIES + 1)}
    with pytest.raises(RejectedError, match="20001 files; at most 20000"):
        taken(archive(tmp_path, files))


def test_a_list_of_files_without_end(tmp_path: Path) -> None:
    """300,000 entries of one name each: zipfile would make 200 MB of objects of them."""
    path = tmp_path / "huge.zip"
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"x"
    body = b"PK\x03\x04" + entry * 300_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(body) - 4, 4, 0)
    path.write_bytes(body + end)
    with pytest.raises(RejectedError, match=r"list of files in huge\.zip has 14100000 bytes"):
        taken(path)
    path.write_bytes(body + end[:-2] + b"\x04\x00note")
    with pytest.raises(RejectedError, match="list of files"):
        taken(path)


def test_an_archive_beyond_4_gb(tmp_path: Path) -> None:
    content = zipped({"trained.tflite": noise(1)})
    locator = b"PK\x06\x07" + bytes(16)
    path = tmp_path / "zip64.zip"
    path.write_bytes(content[:-22] + locator + content[-22:])
    with pytest.raises(RejectedError, match="ZIP64"):
        taken(path)


def test_an_archive_that_is_too_large(tmp_path: Path) -> None:
    path = archive(tmp_path, {"trained.tflite": noise(1)})
    os.truncate(path, MAX_ARCHIVE_BYTES + 1)  # sparse
    with pytest.raises(RejectedError, match="1073741825 bytes; an archive of at most"):
        taken(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("labels.txt", "labels.txt in bomb.zip has more than 4194304 bytes"),
        ("trained.tflite", "the model in bomb.zip is larger than 536870912 bytes"),
        ("tflite-model/a.h", "a.h in bomb.zip has more than 100663296 bytes"),
        ("beers/manifest.json", "manifest.json in bomb.zip has more than 4194304 bytes"),
        ("model-parameters/model_metadata.h", "metadata.h in bomb.zip has more than 4194304"),
    ],
)
def test_bombs_are_not_unpacked(tmp_path: Path, name: str, reason: str) -> None:
    """600 MB in 600 kB, of which no more is unpacked than may be there."""
    path = tmp_path / "bomb.zip"
    others = {
        "labels.txt": {"trained.tflite": noise(1)},
        "beers/manifest.json": {"beers/m.tflite": noise(1)},
        "tflite-model/a.h": {"model-parameters/model_variables.h": b""},
        "model-parameters/model_metadata.h": {"tflite-model/a.tflite": noise(1)},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for other, content in others.get(name, {}).items():
            out.writestr(other, content)
        with out.open(name, "w") as member:
            for _ in range(600):
                member.write(bytes(1024 * 1024))
    assert path.stat().st_size < 4_000_000
    began = time.monotonic()
    with pytest.raises(RejectedError, match=reason):
        taken(path)
    assert time.monotonic() - began < 60


def test_a_size_that_is_a_lie(tmp_path: Path) -> None:
    """The headers say 5 bytes, the stream has three million."""
    content = zipped({"trained.tflite": noise(1, 3_000_000)})
    size = struct.pack("<L", 3_000_008)
    assert content.count(size) == 2
    path = tmp_path / "lie.zip"
    path.write_bytes(content.replace(size, struct.pack("<L", 8)))
    with pytest.raises(RejectedError, match=r"lie.zip is damaged \(Bad CRC"):
        taken(path)


def test_damage_of_any_kind_is_called_so(tmp_path: Path) -> None:
    content = shared(INT8).read_bytes()
    good = zipped(Export().library(content))
    path = tmp_path / "bad.zip"
    for at in (good.index(b"tflite-model/tflite_learn_89078_5.tflite"), len(good) // 2):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        with pytest.raises(RejectedError, match=r"bad\.zip is damaged"):
            taken(path)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(RejectedError, match=r"bad\.zip is cut off"):
        taken(path)


def test_the_crc_is_checked(tmp_path: Path) -> None:
    files = {"trained.tflite": noise(1)}
    content = zipped(files).replace(struct.pack("<L", zlib.crc32(noise(1))), b"\1\2\3\4")
    path = tmp_path / "crc.zip"
    path.write_bytes(content)
    with pytest.raises(RejectedError, match=r"crc\.zip is damaged .*CRC"):
        taken(path)


def test_a_microphone_is_no_camera(tmp_path: Path) -> None:
    export = replace(Export(), sensor="MICROPHONE")
    with pytest.raises(RejectedError, match="another kind of sensor"):
        taken(archive(tmp_path, export.library(noise(1))))
