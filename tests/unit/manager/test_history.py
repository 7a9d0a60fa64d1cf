"""The settings of before: who changed what, which are kept, and how two differ."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nxai_manager.core import history
from nxai_manager.core.consistency import PLACEHOLDER
from nxai_manager.core.history import (
    MOST_BYTES,
    MOST_ENTRIES,
    MOST_OF_RUN,
    SHOWN_CHARACTERS,
    Author,
    Entry,
    How,
    differences,
    entry_id,
    is_of_run,
    line_difference,
    revision_of,
    superfluous,
)

KEY = b"k" * 32
CAMERA = {
    "id": "front",
    "source": {"type": "rtsp", "url": "rtsp://192.0.2.1/1"},
    "username": "joe",
    "password": "hunter2",
}


def said(before: Any, after: Any, **options: bool) -> list[str]:
    found = differences(json.dumps(before), json.dumps(after), **options)
    return [str(difference) for difference in found]


@pytest.mark.parametrize(
    ("author", "told"),
    [
        (Author(how=How.PAGE, who="anna"), "anna"),
        (Author(how=How.PAGE), "the page"),
        (Author(how=How.FILE), "the file, by hand"),
        (Author(how=How.COMMAND), "a command over MQTT"),
        (Author(how=How.IMPORT, who="anna"), "import by anna"),
        (Author(how=How.RESTORE, who="anna", of="7"), "restore of 7 by anna"),
        (Author(how=How.FIRST_START), "first start"),
    ],
)
def test_author_is_said_plainly(author: Author, told: str) -> None:
    assert str(author) == told


def test_revision_needs_the_key_of_the_box() -> None:
    assert revision_of(None, KEY) == ""
    assert revision_of("text", KEY) == revision_of("text", KEY)
    assert (
        len({revision_of("text", KEY), revision_of("text", b"other"), revision_of("x", KEY)}) == 3
    )


def test_entries_are_numbered_and_sorted_by_their_names() -> None:
    names = [entry_id(None, "0" * 12)]
    for _ in range(120):
        names.append(entry_id(names[-1], "f" * 12))
    assert names[0] == "000000001-000000000000"
    assert sorted(names) == names
    for name in names:
        Entry(
            id=name, at=datetime(2026, 1, 1, tzinfo=UTC), revision="", author=Author(how=How.FILE)
        )
    with pytest.raises(ValidationError):
        Entry(
            id="../secret",
            at=datetime(2026, 1, 1, tzinfo=UTC),
            revision="",
            author=Author(how=How.FILE),
        )


def test_what_has_no_room_is_let_go_of_oldest_first() -> None:
    sizes = [(str(number), 10) for number in range(MOST_ENTRIES + 2)]
    assert superfluous(sizes) == [str(MOST_ENTRIES), str(MOST_ENTRIES + 1)]
    assert superfluous(sizes[:MOST_ENTRIES]) == []
    large = [("a", MOST_BYTES - 10), ("b", 10), ("c", 1), ("d", 1)]
    assert superfluous(large) == ["c", "d"]
    assert superfluous([("a", MOST_BYTES + 1), ("b", 1)]) == ["b"]
    assert superfluous([]) == []


def test_who_only_runs_and_stops_pushes_nobody_out() -> None:
    sizes = [(str(number), 10) for number in range(MOST_ENTRIES + 2)]
    of_run = {str(number) for number in range(MOST_OF_RUN + 3)}
    gone = [str(MOST_OF_RUN + number) for number in range(3)]
    assert superfluous(sizes, of_run) == gone
    assert superfluous(sizes[: MOST_OF_RUN + 1], of_run) == gone[:1]


@pytest.mark.parametrize(
    ("changes", "more", "used", "is_one"),
    [
        (("run",), 0, True, True),
        (("cameras.front.run",), 0, True, True),
        (("run", "cameras.a-1_b.run"), 0, True, True),
        (("run", "device.name"), 0, True, False),
        (("cameras.front.url",), 0, True, False),
        (("cameras.front.areas.run",), 0, True, False),
        (("run",), 1, True, False),
        (("run",), 0, False, False),
        ((), 0, True, False),
    ],
)
def test_entry_of_run_changes_nothing_else(
    changes: tuple[str, ...], more: int, used: bool, is_one: bool
) -> None:
    entry = Entry(
        id="000000001-0123456789ab",
        at=datetime(2026, 11, 22, tzinfo=UTC),
        revision="0123456789ab",
        author=Author(how=How.PAGE, who="op"),
        used=used,
        changes=changes,
        more_changes=more,
    )
    assert is_of_run(entry) is is_one


def test_differences_are_told_with_ids_old_and_new() -> None:
    back = {"id": "back", "source": {"type": "demo"}}
    before = {"run": True, "cameras": [CAMERA, back], "models": [], "logger": {"keep_days": 3}}
    after = {
        "cameras": [
            back | {"enabled": False},
            CAMERA | {"password": "other", "source": {"type": "rtsp", "url": "rtsp://192.0.2.2/1"}},
            {"id": "side"},
        ],
        "models": [],
        "logger": {"keep_days": 4},
        "device": {"name": "Box"},
    }
    assert said(before, after) == [
        "cameras.back.enabled: false (new)",
        'cameras.front.source.url: "rtsp://192.0.2.1/1" -> "rtsp://192.0.2.2/1"',
        "cameras.front.password: changed",
        'cameras.side: {"id": "side"} (new)',
        'cameras (order): ["front", "back"] -> ["back", "front"]',
        "logger.keep_days: 3 -> 4",
        'device: {"name": "Box"} (new)',
        "run: removed",
    ]
    assert said(before, before) == []


def test_lists_without_ids_are_compared_whole() -> None:
    assert said({"a": [1]}, {"a": [1, 2]}) == ["a: [1] -> [1, 2]"]
    assert said({"a": [{"id": "x"}, {"id": "x"}]}, {"a": []}) == [
        'a: [{"id": "x"}, {"id": "x"}] -> []'
    ]
    assert said({"a": [{"id": "x"}]}, {"a": []}) == ["a.x: removed"]
    assert said({"a": [{"id": 1}]}, {"a": ["x"]}) == ['a: [{"id": 1}] -> ["x"]']


def test_true_is_not_one() -> None:
    assert said({"a": True, "b": None}, {"a": 1, "b": None}) == ["a: true -> 1"]


def test_no_secret_is_told_not_even_inside_a_new_part() -> None:
    for found in (
        said({"cameras": []}, {"cameras": [CAMERA]}),
        said({}, {"cameras": [CAMERA]}),
        said({"cameras": [CAMERA]}, {}),
        said({"cameras": [CAMERA]}, {"cameras": [CAMERA | {"password": "hunter3"}]}),
        said({"cameras": [{"id": "front"}]}, {"cameras": [CAMERA]}),
    ):
        assert found
        assert "hunter" not in str(found)
    new = said({"cameras": [{"id": "front"}]}, {"cameras": [CAMERA]})
    assert f'cameras.front.password: "{PLACEHOLDER}" (new)' in new


def test_user_names_are_told_when_they_may_be() -> None:
    before, after = {"cameras": [CAMERA]}, {"cameras": [CAMERA | {"username": "jim"}]}
    assert said(before, after) == ['cameras.front.username: "joe" -> "jim"']
    assert said(before, after, usernames=True) == ["cameras.front.username: changed"]


def test_long_value_is_cut() -> None:
    [told] = differences("{}", json.dumps({"a": "x" * 999}))
    assert told.after is not None
    assert len(told.after) == SHOWN_CHARACTERS
    assert told.after.endswith("...")


def test_as_much_of_a_broken_text_is_compared_as_can_be_read() -> None:
    text = json.dumps({"run": True, "cameras": [CAMERA]}, indent=1)
    broken = text.replace('"run": true,', '"run": false')
    assert [str(d) for d in differences(text, broken)] == ["run: true -> false"]
    assert differences(None, "[]") == ()
    assert [d.where for d in differences(None, '{"a": 1}')] == ["a"]


def test_lines_are_compared_without_secrets_and_without_regard_to_spaces() -> None:
    before = json.dumps({"run": True, "cameras": [CAMERA]})
    after = json.dumps({"run": False, "cameras": [CAMERA | {"password": "other"}]}, indent=8)
    assert line_difference(before, after).splitlines() == [
        "--- before",
        "+++ after",
        "@@ -1,5 +1,5 @@",
        " {",
        '-  "run": true,',
        '+  "run": false,',
        '   "cameras": [',
        "     {",
        '       "id": "front",',
    ]
    assert line_difference(before, json.dumps(json.loads(before), indent=3)) == ""


def test_lines_of_broken_texts_are_compared_as_they_are() -> None:
    before = json.dumps({"run": True, "cameras": [CAMERA]}, indent=1)
    lines = line_difference(before, before.replace("true,", "true")).splitlines()
    assert [line for line in lines[2:] if line[0] in "+-"] == ['- "run": true,', '+ "run": true']
    assert "hunter2" not in line_difference("", before + ",")
    assert f'"username": "{PLACEHOLDER}"' in line_difference("[]", before, usernames=True)


def test_texts_that_are_too_long_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_LINES", 5)
    assert (
        line_difference("{}", '{"a": {"b": {"c": []}}, "d": [1]}')
        == "more than 5 lines are not compared"
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "a", "b"]), inner, max_size=3)
    ),
    max_leaves=10,
)
documents = st.dictionaries(st.sampled_from(["a", "b", "cameras"]), values, max_size=3)


@given(before=documents, after=documents)
def test_whatever_differs_is_told(before: dict[str, Any], after: dict[str, Any]) -> None:
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (said(before, after) == []) == same
