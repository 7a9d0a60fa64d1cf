"""Archives of any bytes: a model or a plain refusal, within bounds, never another exception.

Short by default; ``NXAI_FUZZ_EXAMPLES=100000 pytest tests/fuzz/test_archives.py`` goes on for
longer.
"""

import io
import os
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nxai_cloud_sync.adapters.archive_file import read_import
from nxai_cloud_sync.core.archives import (
    look_through,
    read_array,
    read_export,
    read_labels,
)
from nxai_cloud_sync.core.catalogue import from_json, to_json
from nxai_cloud_sync.core.importing import HEAD_BYTES, Stated, model_format
from nxai_common.contracts.models import PackageManifest
from nxai_common.errors import RejectedError
from support.archives import Export, c_array, openmv, zipped
from support.models_for_import import noise, version

EXAMPLES = int(os.environ.get("NXAI_FUZZ_EXAMPLES", "400"))  # noqa: TID251 - test support, not a service
pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(180 + EXAMPLES)]

T = TypeVar("T")

MODEL = noise(1, 200)
EXPORT = Export()
PACKAGE = {"m/manifest.json": b'{"labels": ["a"]}', "m/model.tflite": MODEL}
ARCHIVES = [
    zipped(files)
    for files in (
        EXPORT.library(MODEL),
        EXPORT.library(MODEL, "array", "src/"),
        EXPORT.library(MODEL, "eon"),
        openmv(MODEL, ["a", "b"]),
        PACKAGE,
    )
]
RECORD = to_json(version(), PackageManifest(labels=("a",)))

NAMES = st.sampled_from(
    [
        "tflite-model/a.tflite",
        "tflite-model/a.h",
        "tflite-model/a_compiled.cpp",
        "src/tflite-model/b.lite",
        "model-parameters/model_metadata.h",
        "model-parameters/model_variables.h",
        "src/model-parameters/model_variables.h",
        "labels.txt",
        "trained.tflite",
        "manifest.json",
        "m/manifest.json",
        "m/x.onnx",
        "ei_object_detection.py",
        "model.eim",
        "inner.zip",
        "folder/",
        "../up",
        "/root",
        "",
        ".",
        "a" * 300,
        "\x00",
        "Größe/检测.tflite",
    ]
)
CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            MODEL,
            c_array("a", MODEL),
            EXPORT.metadata().encode(),
            EXPORT.variables().encode(),
            b'{"labels": ["a"], "file": "x.onnx"}',
            b"a\nb\n",
            b"\x08\x08onnx",
            ARCHIVES[0],
        ]
    ),
)
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6)


def changed(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    made = bytearray(content)
    for place, value in changes:
        made[place % len(made)] = value
    return bytes(made)


def or_refused(read: Callable[[], T]) -> T | None:
    """Return what is read, or None where it was refused in plain words."""
    try:
        return read()
    except RejectedError as error:
        if not str(error):
            raise
        return None


def take_or_refuse(content: bytes) -> Stated | None:
    """Read a file; it leaves a model or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder, "file"), Path(folder, "model")
        path.write_bytes(content)
        stated = or_refused(lambda: read_import(path, target, lambda: None))
        left = {each.name for each in Path(folder).iterdir()}
        assert left == ({"file"} if stated is None else {"file", "model"})
        assert path.read_bytes() == content
        return stated


@pytest.mark.parametrize("number", [0, 1, 3, 4])
def test_the_undamaged_archives_have_a_model(number: int) -> None:
    assert take_or_refuse(ARCHIVES[number]) is not None


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ARCHIVES), CHANGES)
def test_changed_bytes(content: bytes, changes: list[tuple[int, int]]) -> None:
    take_or_refuse(changed(content, changes))


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(ARCHIVES), st.integers(0, 1 << 20), st.binary(max_size=40))
def test_truncated_and_prolonged(content: bytes, length: int, tail: bytes) -> None:
    take_or_refuse(content[: length % len(content)] + tail)


@settings(max_examples=EXAMPLES)
@given(
    st.sampled_from(ARCHIVES),
    st.lists(st.integers(0, 0xFFFFFFFF), min_size=3, max_size=3),
    st.integers(0, 3),
)
def test_lies_about_the_list_of_files(content: bytes, numbers: list[int], which: int) -> None:
    end = bytearray(content[-22:])
    fields = list(struct.unpack("<4s4H2LH", end))
    fields[5 if which & 1 else 6] = numbers[0]
    if which & 2:
        fields[3] = fields[4] = numbers[1] & 0xFFFF
    take_or_refuse(content[:-22] + struct.pack("<4s4H2LH", *fields))


@settings(max_examples=EXAMPLES)
@given(st.lists(st.tuples(NAMES, CONTENTS), max_size=8))
def test_any_files_in_an_archive(files: list[tuple[str, bytes]]) -> None:
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile tells of names that are there twice
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content)
    take_or_refuse(made.getvalue())


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=300))
def test_any_file(content: bytes) -> None:
    take_or_refuse(content)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.text(max_size=40), max_size=10))
def test_any_names(names: list[str]) -> None:
    or_refused(lambda: look_through(names))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(CHANGES, CHANGES, st.text(max_size=60))
def test_any_headers(
    metadata: list[tuple[int, int]], variables: list[tuple[int, int]], text: str
) -> None:
    texts = [
        changed(made.encode(), changes).decode(errors="replace") + text
        for made, changes in ((EXPORT.metadata(), metadata), (EXPORT.variables(), variables))
    ]
    stated = or_refused(lambda: read_export(texts[0], texts[1]))
    if stated is not None:
        assert stated.threshold is None or 0 <= stated.threshold <= 1
        assert stated.labels is None or all(isinstance(each, str) for each in stated.labels)


@settings(max_examples=EXAMPLES)
@given(CHANGES)
@example([(107, ord("}"))])  # within the first eight numbers
def test_any_array(changes: list[tuple[int, int]]) -> None:
    source = changed(c_array("a", MODEL), changes)
    model = or_refused(lambda: read_array(source, "x.h"))
    assert model is None or model[4:8] == b"TFL3"


@settings(max_examples=EXAMPLES)
@given(st.text(max_size=100), st.sampled_from([True, False, None]))
def test_any_labels(text: str, detects: bool | None) -> None:
    stated = or_refused(lambda: read_labels(text, detects=detects))
    assert stated is None or (stated.labels and all(stated.labels))


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=HEAD_BYTES))
def test_any_head(head: bytes) -> None:
    assert or_refused(lambda: model_format(head, "x")) in ("tflite", "onnx", None)


@settings(max_examples=EXAMPLES)
@given(CHANGES)
def test_any_record(changes: list[tuple[int, int]]) -> None:
    found = or_refused(lambda: from_json(changed(RECORD, changes)))
    assert found is None or from_json(to_json(*found)) == found
