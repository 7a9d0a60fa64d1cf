"""What the guide says of the closed manager's keys is what becomes of them."""

import json
import re

import pytest

from nxai_manager.core.nx_settings import Outcome, translate
from support.shared import ROOT

pytestmark = pytest.mark.unit

GUIDE = (ROOT / "docs" / "guides" / "moving-from-nx.md").read_text()
VALUES: dict[str, object] = {
    "InputCamera1Location": "rtsp://joe:hunter2@192.0.2.1/1",
    "InputCamera1Name": "Front",
    "InputCamera1Username": "joe",
    "InputCamera1Pass": "hunter2",
    "InputCamera1AspectRatio": 1,
    "InputCamera1Mask": '{"masks": [[0, 0, 9, 0, 9, 9]]}',
    "InputCamera1AssignedModels": [0],
    "AssignedModels": [{"AssignedInputW": 9, "AssignedInputH": 9, "AssignedModelName": "a"}],
    "GeneralFrameRate": 100,
    "ExternalTrigger": 1,
    "AlwaysOffline": 1,
    "DeviceName": "Box",
    "DeviceSerial": "7",
    **dict.fromkeys((f"InputCamera1Roi{side}" for side in "XY"), 0),
    **dict.fromkeys((f"InputCamera1Roi{side}" for side in "WH"), 0.5),
}
TABLE = [
    (re.findall(r"`([A-Za-z0-9]+)`", key), re.findall(r"`([a-z_.]+)(?:`|:)", becomes))
    for key, becomes in re.findall(r"^\| (`.*?) \| (.*?) \|", GUIDE, re.MULTILINE)
]


def test_every_key_of_the_table_becomes_what_it_says() -> None:
    translated = translate(VALUES, {})
    rows = {row.key.partition("[")[0]: row for row in translated.rows}
    assert len(TABLE) > 10
    for keys, becomes in TABLE:
        for key in (key for key in keys if key in rows):
            where = rows[key].where.rpartition("front.")[2].removeprefix("cameras.*.")
            assert not becomes or any(where.startswith(path) for path in becomes), (key, where)
    told = {key for keys, _ in TABLE for key in keys}
    assert set(VALUES) <= told
    needs = {key for key, row in rows.items() if row.outcome is Outcome.NEEDS_YOU}
    assert needs == {"AssignedModels", "InputCamera1AssignedModels", "InputCamera1Mask"}
    assert not [row for row in translated.rows if row.outcome is Outcome.UNKNOWN]


def test_request_of_the_guide_is_one() -> None:
    for path in ("settings/import", "settings"):
        assert f"/api/v1/{path} {{" in GUIDE
    assert json.dumps("imported") in GUIDE
