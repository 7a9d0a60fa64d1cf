import base64
import json
import re
from typing import Any

import numpy as np
import pytest

from nxai_common.contracts.configuration import NxOutputOptions
from nxai_common.contracts.outputs import Output
from nxai_common.contracts.results import InferenceResult, Tensor
from nxai_publisher.core.nx_output import iso_ms, output_of
from support.results import START_US, classified, detection, result, with_image, with_tensors
from support.shared import shared

NX_DOCUMENT = "reference/000_139f358bf377c82a.txt"


def printed(item: InferenceResult, **options: Any) -> dict[str, Any]:
    message = output_of(
        item,
        NxOutputOptions(**options),
        device="box",
        camera_index=2,
        camera_name="Front door",
    )
    (entry,) = json.loads(message.encode())
    assert isinstance(entry, dict)
    return entry


GRID = np.zeros((1, 12, 12, 3), np.float32)


def test_fields_and_values_are_those_of_the_nx_document() -> None:
    """The sample of the Nx documentation is a beginning of what we print, character for
    character, once the names in it are put in place."""
    text = shared(NX_DOCUMENT).read_text()
    block = re.search(r"// Example JSON output \(top\):\n\n(.*?)\n```", text, re.DOTALL)
    assert block is not None
    sample = re.sub(r"\s+", "", block.group(1))
    grid = GRID.copy()
    values = [float(v) for v in re.findall(r"0\.\d{7}", sample)]
    assert len(values) == 8
    grid.ravel()[:8] = values
    item = with_tensors(result(0, [], model="m"), **{"StatefulPartitionedCall:0": grid}).model_copy(
        update={"model": "31107bd7-b3d2-4f4e-9598-fb46b8e5e4b5"}
    )
    options = NxOutputOptions(device_id="0ec6b6913d844ac1bd1621ddaaf726a0-2")
    message = output_of(item, options, device="box", camera_index=0, camera_name="")
    assert message.encode().decode().startswith(sample)


def test_fields_come_in_the_order_of_nx() -> None:
    assert list(printed(with_tensors(result(0), out=GRID))) == [
        "deviceId",
        "modelId",
        "sourceId",
        "sourceName",
        "outputType",
        "outputFormat",
        "outputDims",
        "outputDataTypes",
        "output",
        "timestamp",
        "sourceDate",
        "uncertain",
        "baseRGB",
        "h",
        "w",
        "c",
    ]


def test_who_and_when() -> None:
    entry = printed(result(7))
    assert (entry["deviceId"], entry["modelId"]) == ("box", "m5-nut")
    assert (entry["sourceId"], entry["sourceName"]) == ("input-2", "Front door")
    assert entry["timestamp"] == START_US // 1000 + 700
    assert entry["sourceDate"] == "2026-11-22T10:00:00.700Z"
    assert iso_ms(0) == "1970-01-01T00:00:00.000Z"
    assert printed(result(0), device_id="serial-1")["deviceId"] == "serial-1"


def test_tensors_are_flat_and_exact_float32() -> None:
    values = np.random.default_rng(3).random((1, 4, 4, 3), np.float32)
    entry = printed(with_tensors(result(0), a=values, b=np.array([[1, 2]], np.float32)))
    assert entry["outputDims"] == [[1, 4, 4, 3], [1, 2]]
    assert entry["outputDataTypes"] == [1, 1]
    assert np.array_equal(np.array(entry["output"]["a"], np.float32), values.ravel())
    assert entry["output"]["b"] == [1.0, 2.0]


def test_ordered_array_has_the_values_in_graph_order() -> None:
    entry = printed(with_tensors(result(0), b=[[1]], a=[[2]]), format="orderedArray")
    assert entry["outputFormat"] == "orderedArray"
    assert entry["output"] == [[1.0], [2.0]]


def test_outputs_of_one_name_both_stay() -> None:
    item = with_tensors(result(0), a=[1], b=[2])
    same = tuple(t.model_copy(update={"name": "out"}) for t in item.tensors)
    entry = printed(item.model_copy(update={"tensors": same}))
    assert entry["output"] == {"out": [1.0], "out'": [2.0]}


def test_a_tensor_at_an_odd_byte_and_an_empty_one() -> None:
    raw = np.array([1.5, -2.25], np.float32).tobytes()
    item = result(0).model_copy(
        update={
            "attachment": b"x" + raw,
            "tensors": (
                Tensor(name="odd", shape=(2,), offset=1, length=8),
                Tensor(name="none", shape=(0, 6), offset=9, length=0),
            ),
        }
    )
    entry = printed(item)
    assert entry["output"] == {"odd": [1.5, -2.25], "none": []}
    assert entry["outputDims"] == [[2], [0, 6]]


def test_not_a_number_is_null() -> None:
    assert printed(with_tensors(result(0), a=[np.nan, 1]))["output"]["a"] == [None, 1.0]


def test_without_tensors_the_detections_are_boxes_in_original_pixels() -> None:
    found = [detection("bolt", 0.5, (10, 20, 30, 40)), detection("nut", 0.1, (0, 0, 5, 6))]
    entry = printed(result(0, found))
    assert entry["outputDims"] == [[2, 6]]
    assert entry["outputDataTypes"] == [1]
    assert entry["output"] == {
        "bboxes-format:xyxysc;0:nut;1:bolt": [
            *(10.0, 20.0, 40.0, 60.0, 0.5, 1.0),
            *(0.0, 0.0, 5.0, 6.0, 0.1, 0.0),
        ]
    }


def test_nothing_found_is_an_empty_list_of_boxes() -> None:
    entry = printed(result(0, []))
    assert entry["outputDims"] == [[0, 6]]
    assert list(entry["output"].values()) == [[]]


def test_labels_unknown_to_the_model_get_numbers_after_its_own() -> None:
    entry = printed(result(0, [detection("a;b"), detection("a;b"), detection("nut")]))
    ((name, values),) = entry["output"].items()
    assert name == "bboxes-format:xyxysc;0:nut;1:bolt;2:a,b"
    assert values[5::6] == [2.0, 2.0, 0.0]


def test_a_classifier_without_tensors_has_scores() -> None:
    entry = printed(classified(cat=0.75, dog=0.25))
    assert entry["output"] == {"scores-0:cat;1:dog": [0.75, 0.25]}
    assert entry["outputDims"] == [[1, 2]]
    partly = classified(cat=0.75).model_copy(update={"labels": ("dog",)})
    assert printed(partly)["output"] == {"scores-0:dog;1:cat": [None, 0.75]}


@pytest.mark.parametrize("channels", [1, 3])
def test_an_uncertain_result_carries_the_pixels_of_the_model_input(channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, channels), np.uint8)
    item = with_image(with_tensors(result(0, uncertain=True), a=[1]), pixels)
    entry = printed(item)
    assert entry["uncertain"] == 1
    assert base64.b64decode(entry["baseRGB"]) == pixels.tobytes()
    assert (entry["h"], entry["w"], entry["c"]) == (4, 6, channels)


def test_a_certain_result_carries_none() -> None:
    entry = printed(result(0))
    assert (entry["uncertain"], entry["baseRGB"]) == (0, "")
    assert (entry["h"], entry["w"], entry["c"]) == (96, 96, 3)


def test_payload_decodes_to_the_same_object() -> None:
    message = output_of(
        with_tensors(result(0), a=[0.5]),
        NxOutputOptions(),
        device="box",
        camera_index=0,
        camera_name="",
    )
    decoded = Output.decode(message.topic("box"), message.encode())
    assert decoded.encode() == message.encode()
