import tracemalloc
from typing import Any

import orjson
import pytest

from nxai_common.errors import NxaiError
from nxai_publisher.core import sandbox
from nxai_publisher.core.templates import BadTemplate, Filling
from nxai_publisher.ports import SecretUnavailable

pytestmark = pytest.mark.unit

OBJECTS = [{"label": "nut", "confidence": 0.75}, {"label": 'a "bolt"', "confidence": 0.5}]
VARIABLES: dict[str, Any] = {
    "camera": "front",
    "count": 2,
    "counts": {"nut": 1, "values": 3},
    "objects": OBJECTS,
    "message": {"camera": "front", "objects": OBJECTS},
    "messages": [{"count": 1}, {"count": 5}],
    "text": "x" * 1000,
}


def secret(name: str) -> str:
    if name != "shop":
        raise SecretUnavailable(f"there is no secret {name!r}")
    return "S3CRET"


def fill(text: str) -> str:
    return Filling(text, "the body").fill(VARIABLES, secret).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{ not one }\n", "{ not one }\n"),
        ("{{ camera }}: {{ count }}\n", "front: 2\n"),
        ('{"text": {{ (camera ~ " sees " ~ count)|tojson }}}', '{"text": "front sees 2"}'),
        ("{{ objects[1].label|tojson }}", '"a \\"bolt\\""'),
        (
            ("{% for o in objects %}{{ loop.index }}{{ o.label }}{{ ',' if not loop.last }}"
            "{% endfor %}"),
            '1nut,2a "bolt"',
        ),
        ("{{ objects|map(attribute='label')|join(', ') }}", 'nut, a "bolt"'),
        ("{{ objects|selectattr('confidence', 'gt', 0.6)|list|length }}", "1"),
        ("{{ messages|sum(attribute='count') }}", "6"),
        ("{{ counts.values }}{% for k, v in counts.items() %};{{ k }}={{ v }}{% endfor %}",
         "3;nut=1;values=3"),
        ("{{ counts|dictsort|first }}", "('nut', 1)"),
        ("{{ {'n': count, 'l': [camera, 1]}|tojson }}", '{"n":2,"l":["front",1]}'),
        ("{{ 'yes' if count > 1 else 'no' }}{{ nothing|default('-') }}", "yes-"),
        ("{{ 7 // 2 }} {{ 7 % 4 }} {{ 7 / 2 }} {{ 3 * 2 - 1 }}", "3 3 3.5 5"),
        ("{{ 'a' + 'b' }}{{ [1] + [2] }}", "ab[1, 2]"),
        ("{{ 0.123456|round(2) }}{{ 2.5|round }}", "0.122.0"),
        ("{{ 'a-b'|replace('-', '+')|upper }}", "A+B"),
        ("{{ 'a b/c'|urlencode }}", "a%20b/c"),
        ("{{ camera.upper() }}{{ 'x,y'.split(',')|last }}", "FRONTy"),
        ("{% set a, b = 1, 2 %}{{ a + b }}{{ (1, 2)|length }}", "32"),
        ("{{ range(3)|list }}", "[0, 1, 2]"),
        ("{% filter upper %}a{% endfilter %}{% raw %}{{ x }}{% endraw %}", "A{{ x }}"),
        ("{{ objects|groupby('label')|length }}", "2"),
        ("{{ 'ä<&>' }}", "ä<&>"),
        ("{{ objects|tojson }}", orjson.dumps(OBJECTS).decode()),
    ],
)  # fmt: skip
def test_what_a_template_can_do(text: str, expected: str) -> None:
    assert fill(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\nb\n{{ nothing }}", "line 3: 'nothing' is undefined"),
        ("{{ objects[7].label }}", "list object has no element 7"),
        ("{{ message.nothing }}", "'dict object' has no attribute 'nothing'"),
        ("{{ count.upper() }}", "no attribute 'upper'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ count|join }}", "'int' object is not iterable"),
        ("{{ 'a' if }}", "line 1: unexpected 'end of print statement'"),
        ("\n{% for a in objects %}", "Unexpected end of template"),
        ("{{ ''.__class__ }}", "'__class__' cannot be used here"),
        ("{{ objects[0]['__class__'] }}", "unsafe"),
        ("{{ _x }}", "'_x' cannot be used here"),
        ("{{ self }}", "'self' cannot be used here"),
        ("{{ 'a'|attr('upper') }}", "there is no filter 'attr' here"),
        ("{{ 'a'|nope }}", "there is no filter 'nope' here"),
        ("{{ lipsum() }}", "this call cannot be used here"),
        ("{{ 'a'.format(1) }}", "this call cannot be used here"),
        ("{{ message.get('objects').append(1) }}", "this call cannot be used here"),
        ("{{ camera.encode }}", "unsafe"),
        ("{% macro m() %}{% endmacro %}", "macros cannot be used here"),
        ("{% include 'x' %}", "other files (include) cannot be used here"),
        ("{% import 'x' as y %}", "other files (import) cannot be used here"),
        ("{% from 'x' import y %}", "other files (import) cannot be used here"),
        ("{% extends 'x' %}", "other files (extends) cannot be used here"),
        ("{% block b %}{% endblock %}", "blocks cannot be used here"),
        ("{% call range(1) %}{% endcall %}", "call blocks cannot be used here"),
        ("{% for o in objects recursive %}{% endfor %}", "recursive loops cannot be used here"),
        ("{% set count.x = 1 %}", "namespaces cannot be used here"),
        ("{{ 2 ** 9 }}", "powers (**) cannot be used here"),
        ("{{ 'a' * 9 }}", "'*' is for numbers"),
        ("{{ '%9d' % 1 }}", "'%' is for numbers"),
        ("{{ 1.5|round(99) }}", "numbers are rounded to 20 digits at most"),
        ("{{ 1|round(-99) }}", "numbers are rounded to 20 digits at most"),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "nested too deep"),
        ("{{ " + "-" * 9000 + "1 }}", "nested too deep"),
        ("{{ " + "9" * 6000 + " }}", "a number is too long"),
    ],
)
def test_what_it_cannot_do_is_told_with_the_line(text: str, reason: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        fill(text)
    assert str(caught.value).startswith("the body, line ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{% for a in range(9000) %}{% for b in range(9000) %}{% endfor %}{% endfor %}", "steps"),
        ("{% for a in text %}{% for b in text %}{% endfor %}{% endfor %}", "steps"),
        ("{{ range(1000000000)|list }}", "steps"),
        ("{% set a = [1] %}" + "{% set a = [a, a] %}" * 300 + "{{ a }}", "steps"),
        ("{% set a = {'x': 1} %}" + "{% set a = {'x': a, 'y': a} %}" * 300, "steps"),
        ("{% set a = [1] %}" + "{% set a = a + a %}" * 300, "steps"),
        ("{% set a = text %}" + "{% set a = a ~ a %}" * 60, "characters"),
        ("{% set a = text %}" + "{% set a = a + a %}" * 60, "characters"),
        ("{% set a = text|replace('x', text)|replace('x', text) %}", "characters"),
        ("{{ range(90000)|join(text) }}", "characters"),
        ("{% set a = text|replace('x', text) %}" + "{{ a }}" * 20, "characters"),
        ("{% set a = 9 %}" + "{% set a = a * a %}" * 30, "a number in it is too large"),
        ("{% set a = 9.5 %}" + "{% set a = a * a %}" * 30, "a number in it is too large"),
        ("{% for m in messages %}{{ text|map('upper')|list }}{% endfor %}" * 90, "steps"),
        ("{{ ('\"' ~ text)" + "|tojson" * 60 + " }}", "characters"),
    ],
)  # fmt: skip
def test_it_ends_and_stays_small(text: str, reason: str) -> None:
    with pytest.raises(BadTemplate, match=reason):
        fill(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ range(90000)|join(text) }}",
        "{% set a = text|replace('x', text) %}{{ a|replace('x', '" + "y" * 100 + "') }}",
    ],
)
def test_it_is_stopped_before_the_memory_is_taken(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadTemplate, match="characters"):
            fill(text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * sandbox.LARGEST


def test_a_filter_that_gives_without_end_is_cut() -> None:
    with pytest.raises(BadTemplate, match="steps"):
        fill("{{ " + "range(100000)|map('string')|list|length + " * 5 + "1 }}")


def test_secrets_are_read_one_by_one_and_told() -> None:
    filled = Filling("Bearer {{ secret.shop }}", "header X").fill({}, secret)
    assert (filled.text, filled.secrets) == ("Bearer S3CRET", frozenset({"shop"}))
    assert Filling("{{ secret['shop'] }}", "x").fill({}, secret).text == "S3CRET"
    assert Filling("none", "x").fill({}, secret).secrets == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "{{ secret }}", "{{ secret|tojson }}", "{{ secret|list }}", "{{ secret|length }}",
        "{{ secret[0] }}", "{% for s in secret %}{% endfor %}", "{{ secret == counts }}",
    ],
)  # fmt: skip
def test_they_cannot_be_listed(text: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        fill(text)
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("name", ["other", "items", "used", "trouble", "get"])
def test_a_secret_that_is_not_there_is_no_fault_of_the_result(name: str) -> None:
    with pytest.raises(SecretUnavailable, match=f"there is no secret '{name}'"):
        fill("{{ secret.%s }}" % name)  # noqa: UP031 - braces


def test_a_secret_is_asked_for_only_when_it_is_needed() -> None:
    def refuse(name: str) -> str:
        raise NxaiError(name)

    text = "{% if count > 9 %}{{ secret.shop }}{% endif %}ok"
    assert Filling(text, "x").fill(VARIABLES, refuse).text == "ok"


def test_no_message_is_long() -> None:
    with pytest.raises(BadTemplate) as caught:
        fill("{{ counts[text] }}")
    assert len(str(caught.value)) < 300


def test_nothing_of_a_result_is_changed() -> None:
    before = orjson.dumps(VARIABLES)
    for text in ("{% set x = objects.pop() %}", "{{ counts.clear() }}", "{{ objects.append }}"):
        with pytest.raises(BadTemplate):
            fill(text)
    assert orjson.dumps(VARIABLES) == before


def test_what_is_used_by_itself_is_counted_too() -> None:
    budget = sandbox.Budget()
    budget.spend(sandbox.MOST_STEPS)
    with pytest.raises(sandbox.LimitReached):
        budget.spend(1)
