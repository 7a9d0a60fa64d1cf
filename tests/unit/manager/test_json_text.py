"""JSON with the places of its parts."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nxai_manager.core.json_text import MAX_CHARACTERS, MAX_DEPTH, BadJson, read_json

TEXT = """\
{
  "cameras": [
    {"id": "a",
     "masks": [[0.5, -1e3], []]},
    {
      "id": "b"
    }
  ],

  "on": true, "off": false,
  "nothing":
    null
}
"""


def test_value_is_what_the_standard_library_reads() -> None:
    assert read_json(TEXT).value == json.loads(TEXT)


def test_every_part_has_the_line_of_its_key() -> None:
    lines = read_json(TEXT).lines
    assert lines[()] == 1
    assert lines["cameras",] == 2
    assert lines["cameras", 0] == 3
    assert lines["cameras", 0, "masks", 0, 1] == 4
    assert lines["cameras", 1] == 5
    assert lines["cameras", 1, "id"] == 6
    assert lines["off",] == 10
    assert lines["nothing",] == 11


def test_part_that_is_not_there_has_the_line_of_what_is_around_it() -> None:
    document = read_json(TEXT)
    assert document.line(("cameras", 1, "source", "url")) == 5
    assert document.line(("elsewhere",)) == 1


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(value=json_values, indent=st.sampled_from([None, 0, 2, "\t"]), ascii_only=st.booleans())
def test_all_json_is_read_as_the_standard_library_does(
    value: Any, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read_json(text).value == value
    assert read_json(f"\r\n\t {text} ").value == value


@given(text=st.text(st.sampled_from('{}[]:,"\\ntrufalse01.eE+- \n/u'), max_size=30))
@example("[01]")
@example("[1.]")
@example('["\\x"]')
@example('{"a" 1}')
def test_what_is_refused_is_what_the_standard_library_refuses(text: str) -> None:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        with pytest.raises(BadJson):
            read_json(text)
        return
    try:
        found = read_json(text).value
    except BadJson as error:  # we refuse more: a key that stands twice, numbers beyond a float
        found = value if re.search("twice|too large|half a character", error.reason) else error
    assert found == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the file is empty; README.md has an example"),
        ("\n \n", "line 1: the file is empty; README.md has an example"),
        ("[", "line 1: the text ends where a value should be; is a closing bracket missing?"),
        ('{\n"a": 1,\n\n}', "line 2: there is a comma before the closing }; remove it"),
        ("[1,\n2,]", "line 2: there is a comma before the closing ]; remove it"),
        ('{"a": 1\n"b": 2}', "line 2: a comma or the closing } is missing before '\"'"),
        ("[1 2]", "line 1: a comma or the closing ] is missing before '2'"),
        ('{"a": 1', "line 1: the text ends before the closing }"),
        ('{\n// front door\n"a": 1}', "line 2: comments are not allowed in JSON"),
        ('{"a": 1 # one\n}', "line 1: comments are not allowed in JSON"),
        ("{'a': 1}", 'line 1: text and keys stand in straight double quotes: "..."'),
        ("[\u201ca\u201d]", 'line 1: text and keys stand in straight double quotes: "..."'),
        ("{a: 1}", "line 1: a key in double quotes should be here, not 'a'"),
        ('{"a"\n1}', 'line 2: a colon is missing after the key "a"'),
        ("[True]", "line 1: write true in small letters"),
        ("[nul]", "line 1: a value should be here, not 'n'"),
        ("[NaN]", "line 1: a value should be here, not 'N'"),
        ("[+1]", "line 1: a value should be here, not '+'"),
        ("{} {}", "line 1: there is more text after the end of the document"),
        ('{"a": 1,\n "a": 2}', 'line 2: "a" stands twice in one object; keep one'),
        (f'{{"{"k" * 99}" 1}}', f'line 1: a colon is missing after the key "{"k" * 57}..."'),
        ("[1e999]", "line 1: this number is too large"),
        ("1" * 401, "line 1: this number is too large"),
        ('["C:\\dir"]', "line 1: this text has no closing quote on its line, or a wrong backsl"),
        ('{"a\n": 1}', "line 1: this key has no closing quote on its line"),
        ('["\\ud800"]', "line 1: this text has half a character"),
        ("[" * (MAX_DEPTH + 2), f"line 1: nested more than {MAX_DEPTH} deep"),
        (" " * (MAX_CHARACTERS + 1), "line 1: 4194305 characters are too many"),
    ],
)  # fmt: skip
def test_slip_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadJson) as caught:
        read_json(text)
    assert str(caught.value).startswith(said)


def test_pair_of_surrogates_is_one_character() -> None:
    assert read_json('"\\ud83d\\ude00"').value == "\U0001f600"
