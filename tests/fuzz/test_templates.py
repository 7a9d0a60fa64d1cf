"""Templates of anything, filled with anything: they end soon, stay small, and change nothing."""

import time
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nxai_publisher.core.sandbox import LARGEST
from nxai_publisher.core.templates import BadTemplate, Filled, Filling
from nxai_publisher.ports import SecretUnavailable

pytestmark = pytest.mark.fuzz

LONGEST_S = 20.0
"""A hundred times what it takes here: machines that run tests are slow, endless is longer."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5)
    ),
    max_leaves=20,
)
messages = st.dictionaries(
    st.sampled_from(["camera", "label", "count", "counts", "objects", "message", "items", "x"]),
    json_values,
    max_size=8,
)
words = st.sampled_from(
    (
        *("camera", "label", "count", "counts", "objects", "message", "secret", "secret.shop"),
        *("x", "items", "self", "loop", "range(9)", "range(99999)", "'text'", "7", "1.5", "none"),
        *("[x, x]", "{'a': x}", "(x, x)", "x ~ x", "x + x", "x * 9", "x / 0", "x.items()"),
        *("x|tojson", "x|join('--')", "x|list", "x|map('upper')|list", "x|sort", "x|replace"),
        *("x|length", "x|round(9)", "x|groupby('x')", "x|sum", "x|unique|list", "x|dictsort"),
        *("x is defined", "x if x else label", "x[0]", "x['__class__']", "x.__class__", "not x"),
    )
)
pieces = st.one_of(
    words.map(lambda word: "{{ %s }}" % word),  # noqa: UP031 - braces
    words.map(lambda word: "{%% set x = %s %%}" % word),  # noqa: UP031 - braces
    words.map(lambda word: "{%% for y in %s %%}" % word),  # noqa: UP031 - braces
    words.map(lambda word: "{%% if %s %%}" % word),  # noqa: UP031 - braces
    st.sampled_from(["{% endfor %}", "{% endif %}", "{% else %}", "{% macro m() %}", "{#", "#}"]),
    st.sampled_from(["{% set x = [x, x] %}", "{% set x = x ~ x %}"]).map(lambda text: text * 25),
    st.text(max_size=10),
)


def secret(name: str) -> str:
    if name != "shop":
        raise SecretUnavailable(name)
    return "S3CRET"


def fill(text: str, message: dict[str, Any]) -> tuple[Filled, str]:
    """Return what became of a template, and why nothing did."""
    try:
        return Filling(text, "the body").fill(message, secret), ""
    except (BadTemplate, SecretUnavailable) as error:
        return Filled("", frozenset()), str(error)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(pieces, max_size=12).map("".join), messages)
@example("{% for y in range(99999) %}" * 3 + "{% endfor %}" * 3, {})
@example(
    "{% set x = label %}" + "{% set x = x ~ x %}" * 60 + "{{ x|tojson|tojson }}", {"label": "a"}
)
def test_whatever_is_written_ends(text: str, message: dict[str, Any]) -> None:
    before = repr(message)
    began = time.monotonic()
    filled, reason = fill(text, message)
    assert len(filled.text) <= LARGEST
    assert ("S3CRET" in filled.text) <= bool(filled.secrets)
    assert "S3CRET" not in reason
    assert "\n" not in reason
    assert time.monotonic() - began < LONGEST_S
    assert repr(message) == before


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="{}%#-+~|.,()[]'\"\\ abcxif01\n", max_size=60))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    filled, reason = fill(text, {"x": [1, {"a": "b"}]})
    assert not (filled.text and reason)


@settings(max_examples=200, deadline=None)
@given(json_values)
def test_what_a_result_holds_comes_out_as_json(value: Any) -> None:
    filled = Filling('{"x": {{ x|tojson }}}', "the body").fill({"x": value}, secret)
    assert orjson.loads(filled.text) == {"x": orjson.loads(orjson.dumps(value))}
