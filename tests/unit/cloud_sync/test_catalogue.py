"""What is kept of imported versions, and which of them may go."""

import dataclasses
import json

import pytest

from nxai_cloud_sync.core.catalogue import (
    CatalogueVersion,
    Origin,
    VersionState,
    damaged,
    from_json,
    newest_first,
    superfluous,
    to_json,
)
from nxai_common.contracts.models import PackageManifest, Task
from nxai_common.errors import InvalidPayload
from support.models_for_import import version

FULL = version(
    documentation="Counts on the belt",
    reason="",
    engine="litert",
    engine_ms=0.17,
    origin=Origin(89078, "Beers vs cans", 1, 3, "2026-11-28T14:02:31.000Z", "float32"),
    metrics=(("f1", 0.91),),
    variant="FOMO 0.1",
    imported_at_us=5,
    threshold=0.5,
    resize_mode="fit-short",
    trials=(("litert", 0.17), ("onnx:CPUExecutionProvider", 0.31)),
    notes=("cropped",),
    warnings=("disagree",),
    unanswered=1,
    to_try=True,
)
MANIFEST = PackageManifest(file="model-a.tflite", labels=("beer", "can"), task=Task.FOMO)


def test_a_record_is_read_as_it_was_written() -> None:
    assert from_json(to_json(FULL, MANIFEST)) == (FULL, MANIFEST)
    left_out = [each.name for each in dataclasses.fields(FULL) if is_default(each)]
    assert left_out == ["reason"]


def is_default(field: dataclasses.Field[object]) -> bool:
    value = getattr(FULL, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return bool(value == field.default)


def test_a_record_of_an_earlier_version_of_the_program_is_read() -> None:
    content = json.loads(to_json(FULL, MANIFEST))
    for name in ("trials", "notes", "warnings", "unanswered", "threshold", "manifest"):
        del content[name]
    content["of_a_later_version"] = 1
    found, manifest = from_json(json.dumps(content).encode())
    assert found == dataclasses.replace(
        FULL, trials=(), notes=(), warnings=(), unanswered=0, threshold=None
    )
    assert manifest == PackageManifest()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "JSON"),
        (b'{"digest": "a"}', "model"),
        (b"[]", "payload"),
        (b"\xff\xfe", "JSON"),
        (to_json(FULL, MANIFEST)[:200], "JSON"),
        (to_json(FULL, MANIFEST).replace(b'"width": 96', b'"width": "wide"'), "width"),
        (to_json(FULL, MANIFEST).replace(b'  "task": "fomo"', b'  "task": "none"'), "task"),
    ],
)
def test_a_damaged_record_is_refused_with_the_field(content: bytes, named: str) -> None:
    with pytest.raises(InvalidPayload, match=named):
        from_json(content)


def test_a_damaged_version_is_listed_as_refused() -> None:
    listed = damaged("b" * 64, "about.json is damaged")
    assert (listed.state, listed.reason, listed.model) == (
        VersionState.REFUSED,
        "about.json is damaged",
        "",
    )


def numbered(number: int, **rest: object) -> CatalogueVersion:
    return version(f"{number:064x}", imported_at_us=number, **rest)


def test_versions_are_listed_newest_first_and_damaged_ones_last() -> None:
    listed = newest_first([numbered(1), damaged("f" * 64, ""), numbered(3), numbered(2)])
    assert [each.imported_at_us for each in listed] == [3, 2, 1, 0]


def test_the_newest_of_each_model_stay() -> None:
    beers = [numbered(n) for n in range(1, 101)]
    nuts = [numbered(1000 + n, model="nuts") for n in range(3)]
    going = superfluous([*beers, *nuts], 10, ())
    assert [each.imported_at_us for each in going] == list(range(90, 0, -1))


def test_what_is_in_use_stays_however_old() -> None:
    versions = [numbered(n) for n in range(1, 21)]
    going = superfluous(versions, 2, {versions[0].digest, versions[4].digest})
    assert {1, 5}.isdisjoint(each.imported_at_us for each in going)
    assert len(going) == 16


def test_failures_do_not_push_out_what_works() -> None:
    good = [numbered(n) for n in (1, 2)]
    bad = [numbered(10 + n, state=VersionState.REFUSED) for n in range(20)]
    going = superfluous([*good, *bad], 3, ())
    assert all(each.state is VersionState.REFUSED for each in going)
    assert len(going) == 17


def test_damaged_records_wait_for_a_person() -> None:
    lost = [damaged(f"{n:064x}", "damaged") for n in range(50)]
    assert superfluous(lost, 1, ()) == ()
