import json

from nxai_common.contracts.results import InferenceResult
from nxai_publisher.core.observation import observe
from nxai_publisher.core.rows import LoggedResult, labels_shown, logged, roll_up
from support.results import START_US, classified, detection, result

MINUTE_S = START_US // 1_000_000


def kept(item: InferenceResult, latency_ms: float = 12.345) -> LoggedResult:
    return logged(item, observe(item), latency_ms)


def test_a_row_holds_what_was_found() -> None:
    row = kept(result(7, [detection(confidence=0.123456, box=(1.26, 2, 3, 4))])).row
    assert json.loads(row.pop("detections")) == [["nut", 0.1235, 1.3, 2.0, 3.0, 4.0]]
    assert row == {
        "camera": "front",
        "captured_at_us": START_US + 700_000,
        "model": "m5-nut",
        "stream": "run-1",
        "sequence": 7,
        "model_version": "3",
        "picture_width": 640,
        "picture_height": 480,
        "objects": 1,
        "uncertain": 0,
        "latency_ms": 12.35,
        "inference_ms": 0.75,
        "scores": None,
    }


def test_a_row_of_a_classifier_holds_its_scores() -> None:
    item = kept(classified(cat=0.75, dog=0.25))
    assert json.loads(item.row["scores"]) == {"cat": 0.75, "dog": 0.25}
    assert (item.row["detections"], item.row["objects"]) == ("[]", 0)
    assert item.confidences == {"cat": (0.75,)}


def test_text_that_postgresql_refuses_is_replaced() -> None:
    item = kept(result(0, [detection("n\0t")], stream="a\0b", model_version="\0"))
    assert (item.row["stream"], item.row["model_version"]) == ("a�b", "�")
    assert "\0" not in item.row["detections"]
    assert [label for *_, label in roll_up([item]).labels] == ["n�t"]


def test_names_too_long_for_a_key_are_cut_and_stay_apart() -> None:
    longest, longer, other = "n" * 200, "n" * 201, "n" * 200 + "t"
    items = [
        kept(result(0, [detection(name, 0.5)], stream=name)) for name in (longest, longer, other)
    ]
    streams = [item.row["stream"] for item in items]
    assert [len(stream) for stream in streams] == [64, 64, 64]
    labels = [str(label) for *_, label in roll_up(items).labels]
    assert labels[0] == longest
    assert [len(label) for label in labels] == [200, 200, 200]
    assert len(set(streams)) == len(set(labels)) == 3
    assert json.loads(items[1].row["detections"])[0][0] == longer  # there it is no key


def test_the_key_tells_results_apart() -> None:
    items = [
        kept(result(0)),
        kept(result(1)),
        kept(result(0, model="other")),
        kept(result(0, stream="run-2")),
        kept(result(0, camera="back")),
    ]
    assert len({item.key for item in items}) == 5
    assert kept(result(0)).key == items[0].key


def test_roll_up_adds_per_minute() -> None:
    found = [detection("nut", 0.55), detection("nut", 0.95), detection("bolt", 1.0)]
    sums = roll_up(
        [
            kept(result(0, found, uncertain=True), 10),
            kept(result(1), 30),
            kept(result(2, []), 20),
            kept(result(600), 5),
        ]
    )
    first, second = sums.minutes.values()
    assert first == {
        "minute_s": MINUTE_S,
        "camera": "front",
        "model": "m5-nut",
        "model_version": "3",
        "results": 3,
        "objects": 4,
        "shown": 2,
        "uncertain": 1,
        "latency_ms_sum": 60.0,
        "latency_ms_max": 30.0,
        "inference_ms_sum": 2.25,
    }
    assert (second["minute_s"], second["results"]) == (MINUTE_S + 60, 1)
    nut = sums.labels[MINUTE_S, "front", "m5-nut", "nut"]
    assert (nut["results"], nut["objects"], nut["max_objects"]) == (2, 3, 2)
    assert nut["confidence_sum"] == 0.55 + 0.95 + 0.75
    assert [nut[f"confidence_{n}"] for n in range(10)] == [0, 0, 0, 0, 0, 1, 0, 1, 0, 1]
    bolt = sums.labels[MINUTE_S, "front", "m5-nut", "bolt"]
    assert bolt["confidence_9"] == 1  # 1.0 belongs to the last tenth
    assert (MINUTE_S + 60, "front", "m5-nut", "nut") in sums.labels


def test_a_confidence_below_zero_goes_to_the_first_tenth() -> None:
    (total,) = roll_up([kept(result(0, [detection(confidence=-0.2)]))]).labels.values()
    assert total["confidence_0"] == 1


def test_quarters_are_sums_of_their_minutes() -> None:
    items = [
        kept(result(600 * minute, [detection("nut", 0.5)] * (minute % 3)), latency_ms=minute)
        for minute in range(31)
    ]
    sums = roll_up(items)
    assert len(sums.minutes) == 31
    first, second, third = sums.quarters()
    assert [row["quarter_s"] - MINUTE_S for row in (first, second, third)] == [0, 900, 1800]
    assert [row["results"] for row in (first, second, third)] == [15, 15, 1]
    assert first["latency_ms_sum"] == sum(range(15))
    assert (first["latency_ms_max"], second["latency_ms_max"]) == (14, 29)
    assert (first["objects"], first["shown"], first["uncertain"]) == (15, 10, 0)
    assert {name for name in first if name.endswith("_s")} == {"quarter_s"}
    nut = sums.label_quarters()[0]
    assert (nut["label"], nut["results"], nut["objects"], nut["max_objects"]) == ("nut", 10, 15, 2)
    assert (nut["confidence_sum"], nut["confidence_5"]) == (7.5, 15)


def test_versions_of_a_model_are_summed_apart() -> None:
    sums = roll_up([kept(result(0)), kept(result(1, model_version="4")), kept(result(2))])
    assert [(row["model_version"], row["results"]) for row in sums.quarters()] == [
        ("3", 2),
        ("4", 1),
    ]
    assert [row["results"] for row in sums.label_quarters()] == [3]


def test_labels_shown_are_those_that_are_counted() -> None:
    for item in (
        result(0),
        result(0, [detection("nut"), detection("bolt")]),
        result(0, []),
        classified(cat=0.5, dog=0.5),
        classified(cat=0.25, dog=0.75),
        classified(cat=0.4, dog=0.3, cow=0.3),
    ):
        row = kept(item)
        assert labels_shown(row.row) == set(row.confidences)
