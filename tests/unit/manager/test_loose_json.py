"""What can be read of a text that may not be JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_manager.core.json_text import MAX_DEPTH, read_json
from nxai_manager.core.loose_json import Leaf, read_loosely

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


def leaves_of(text: str) -> list[tuple[str, Any, bool]]:
    """Return path, value and sureness of each value, with the path as a word."""
    return [
        (".".join(map(str, leaf.path)), leaf.value, leaf.sure)
        for leaf in read_loosely(text).leaves
        if not leaf.is_key
    ]


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@given(value=values, indent=st.sampled_from([None, 0, 2, "\t"]), ascii_only=st.booleans())
def test_json_is_read_exactly(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    loose = read_loosely(f"\r\n {text}\n")
    assert loose.value == value
    assert loose.gaps == ()
    assert all(leaf.sure for leaf in loose.leaves)
    for leaf in loose.leaves:
        if leaf.is_key:
            assert leaf.path[-1] == leaf.value
        else:
            assert at(value, leaf.path) == leaf.value
    scalars = [
        path for path in read_json(text).lines if not isinstance(at(value, path), dict | list)
    ]
    assert [leaf.path for leaf in loose.leaves if not leaf.is_key] == scalars


@given(text=st.text(st.sampled_from('{}[]:,"\\nul1.e- \n/ap'), max_size=40))
def test_nothing_fails_and_leaves_stand_where_they_say(text: str) -> None:
    loose = read_loosely(text)
    ends = [0]
    for start, end in sorted([(leaf.start, leaf.end) for leaf in loose.leaves] + [*loose.gaps]):
        assert ends[-1] <= start < end <= len(text)
        ends.append(end)
    for leaf in loose.leaves:
        assert json.loads(text[leaf.start : leaf.end]) == leaf.value


def test_comma_that_is_missing_leaves_the_rest_in_its_place() -> None:
    text = '{"a": 1\n"b": {"c": [1 2], "d": 3} "e": 4,, "f": 5,}'
    assert read_loosely(text).value == {"a": 1, "b": {"c": [1, 2], "d": 3}, "e": 4, "f": 5}
    assert leaves_of(text) == [
        ("a", 1, True),
        ("b.c.0", 1, True),
        ("b.c.1", 2, False),  # no comma before it
        ("b.d", 3, True),
        ("e", 4, True),
        ("f", 5, True),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, "b": 2}', {"a": [1], "b": 2}),
        ('{"a": {"x": 1, "b": [2}', {"a": {"x": 1, "b": [2]}}),
        ('"a": 1, "b": 2', {"a": 1, "b": 2}),
        ('}{"a": 1}}', {"a": 1}),
        ('["a", "b": 1]', ["a"]),
        ('{"a": 1}\n{"b": 2}', {"a": 1}),
        ('{"a": 1,\n// one\n"b": 2}', {"a": 1, "b": 2}),
        ("", None),
        ("hello", None),
    ],
)  # fmt: skip
def test_what_is_between_brackets_that_do_not_fit_is_found(text: str, value: Any) -> None:
    assert read_loosely(text).value == value


def test_line_that_makes_no_sense_is_a_gap_and_what_follows_it_is_not_sure_until_a_key() -> None:
    text = '{"a": 1,\n "b: 2,\n [3], {"c": [4, "d"]}]'
    loose = read_loosely(text)
    assert [text[start:end] for start, end in loose.gaps] == [' "b: 2,']
    assert leaves_of(text) == [
        ("a", 1, True),
        ("0", 3, False),
        ("c.0", 4, False),
        ("c.1", "d", False),
    ]


def test_comment_before_an_object_puts_nothing_in_it_in_doubt() -> None:
    text = '{"cameras": [\n// the door\n{"id": "a", "n": [1]},\n// end\n2]}'
    assert leaves_of(text) == [
        ("cameras.0.id", "a", True),
        ("cameras.0.n.0", 1, True),
        ("cameras.1", 2, False),
    ]


def test_nothing_of_a_line_with_a_wrong_end_is_kept() -> None:
    assert leaves_of('{"a": 1, "b": "2,\n"c": 3}') == [("c", 3, True)]


def test_what_stands_behind_a_value_is_not_sure() -> None:
    assert leaves_of('{"a": "b" "c" 4, "d": 5} 6') == [
        ("a", "b", True),
        ("", "c", False),
        ("", 4, False),
        ("d", 5, True),
        ("", 6, False),
    ]


def test_what_is_in_a_bracket_out_of_place_is_not_sure() -> None:
    [_, a, inside] = read_loosely('{"x" {"a": 1}}').leaves
    assert (a.value, a.is_key, a.sure) == ("a", True, False)
    assert (inside.value, inside.sure) == (1, False)


def test_deeper_than_any_settings_is_not_read() -> None:
    text = "[" * (MAX_DEPTH + 2)
    loose = read_loosely(text)
    assert (loose.value, loose.leaves, loose.gaps) == (None, (), ((0, len(text)),))
    assert read_loosely("[" * MAX_DEPTH + "7").leaves[0].value == 7


def test_number_that_is_too_long_has_no_value() -> None:
    [leaf] = read_loosely("9" * 5000).leaves
    assert (leaf.value, leaf.end) == (None, 5000)


def test_nothing_shows_a_value_by_accident() -> None:
    loose = read_loosely('{"password": "hunter2"}')
    assert "hunter2" not in repr(loose)
    assert "hunter2" not in repr(Leaf(0, 1, "hunter2", ()))


def test_key_with_a_stray_text_before_it_may_be_half_of_one() -> None:
    assert leaves_of('{"pass""word": "x", "b": "y" "c": "z"}') == [
        ("", "pass", False),
        ("word", "x", False),
        ("b", "y", True),
        ("c", "z", True),  # only a comma is missing
    ]


def test_what_a_colon_without_a_key_leads_to_is_not_sure() -> None:
    assert leaves_of('["a",: "b", {"c": 1}]') == [
        ("0", "a", True),
        ("1", "b", False),
        ("2.c", 1, True),
    ]
