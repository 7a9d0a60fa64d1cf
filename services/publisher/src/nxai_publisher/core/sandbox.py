"""Jinja without what could go on for ever, grow without end, or reach out.

Loops, lists and filters spend steps of a budget; numbers and texts have a largest size; there are
no macros, no other files, and few methods. A slip, or a label that nobody thought of, costs one
result and not the service.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from itertools import islice
from operator import add, floordiv, mod, mul, sub, truediv
from typing import Any, Final

import orjson
from jinja2 import StrictUndefined, Template, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST: Final = 16 * 1024 * 1024
"""Characters of any text: as much as the bus carries."""
MOST_STEPS: Final = 200_000
"""Together: a thousand results of a hundred objects, twice; some 100 ms."""
LARGEST_NUMBER: Final = 2**63
FINEST: Final = 20
"""Digits that `round` may be asked for."""
CHARACTERS_A_STEP: Final = 1000
"""Texts are a thousand times quicker than loops."""
FILE: Final = "<template>"
"""Name of the code of a template in a traceback."""

_FILTERS: Final = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby"),
    *("int", "items", "last", "length", "list", "lower", "map", "max", "min", "reject"),
    *("rejectattr", "reverse", "select", "selectattr", "sort", "string", "sum", "title", "trim"),
    *("truncate", "unique", "upper", "urlencode", "wordcount"),
)
"""Jinja's own whose result is about as large as what they get."""
_METHODS: Final = frozenset(
    (
        *("items", "keys", "values", "get", "lower", "upper", "strip", "lstrip", "rstrip"),
        *("split", "startswith", "endswith", "title", "capitalize", "count", "index", "find"),
        *("removeprefix", "removesuffix"),
    )
)
_REFUSED: Final[dict[type[nodes.Node], str]] = {
    nodes.Macro: "macros",
    nodes.CallBlock: "call blocks",
    nodes.Include: "other files (include)",
    nodes.Import: "other files (import)",
    nodes.FromImport: "other files (import)",
    nodes.Extends: "other files (extends)",
    nodes.Block: "blocks",
    nodes.Pow: "powers (**)",
    nodes.NSRef: "namespaces",
}
_OPERATIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": add,
    "-": sub,
    "*": mul,
    "%": mod,
    "/": truediv,
    "//": floordiv,
}
_COUNTED: Final = "_counted"
_JOINED: Final = "_joined"
_WEIGHED: Final = "_weighed"


class LimitReached(SecurityError):  # noqa: N818 - named for what happened
    """A template was stopped; the message says by what."""


class Budget:
    """Steps that are left while one template is filled (context manager)."""

    def __init__(self) -> None:
        self._left = MOST_STEPS

    def spend(self, steps: int) -> None:
        """Take steps away.

        Raises:
            LimitReached: there are none left.
        """
        self._left -= steps
        if self._left < 0:
            raise LimitReached(f"takes more than {MOST_STEPS} steps")

    def __enter__(self) -> None:
        """Begin."""
        self._before = _budget.set(self)

    def __exit__(self, *_: object) -> None:
        """End."""
        _budget.reset(self._before)


_budget: ContextVar[Budget] = ContextVar("budget")


def compiled(text: str) -> Template:
    """Return a template that can be filled while a `Budget` is entered.

    Raises:
        TemplateSyntaxError: it cannot be read, or holds what is refused; with its line.
    """
    try:
        with Budget():
            tree = _SANDBOX.parse(text)
            for node in tree.find_all(nodes.Node):
                _check(node)
            _rewrite(tree)
            code = _SANDBOX.compile(tree, filename=FILE)
    except (MemoryError, OverflowError, RecursionError, SyntaxError, ValueError):
        raise TemplateSyntaxError("it is nested too deep, or a number is too long", 1) from None
    return Template.from_code(_SANDBOX, code, _SANDBOX.make_globals(None))


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(_OPERATIONS)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ANN401 - Jinja's
        if callable(value) and attr not in _METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401 - Jinja's
        # A field goes before a method: `values` may be a label.
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - Jinja's
        del context
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if not numbers and operator != "+":
            raise LimitReached(f"{operator!r} is for numbers")
        return _checked(_OPERATIONS[operator](left, right))


def _check(node: nodes.Node) -> None:
    refused = _REFUSED.get(type(node))
    match node:
        case nodes.For(recursive=True):
            refused = "recursive loops"
        case nodes.Filter(name=name) if name not in _SANDBOX.filters:
            raise TemplateSyntaxError(f"there is no filter {name!r} here", node.lineno)
        case nodes.Name(name=name) | nodes.Getattr(attr=name) | nodes.Filter(name=str(name)):
            refused = repr(name) if name.startswith("_") or name == "self" else refused
        case nodes.Call(node=called):
            known = isinstance(called, nodes.Name) and called.name == "range"
            method = isinstance(called, nodes.Getattr) and called.attr in _METHODS
            refused = None if known or method else "this call"
    if refused is not None:
        raise TemplateSyntaxError(f"{refused} cannot be used here", node.lineno)


def _rewrite(node: nodes.Node) -> None:
    """Put our own filters around what loops, joins and holds."""
    for name, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            setattr(node, name, _rewritten(value))
        elif isinstance(value, list):
            rewritten = [_rewritten(v) if isinstance(v, nodes.Node) else v for v in value]
            setattr(node, name, rewritten)
    if isinstance(node, nodes.For):
        node.iter = _through(_COUNTED, node.iter)


def _rewritten(node: nodes.Node) -> nodes.Node:
    _rewrite(node)
    match node:
        case nodes.Concat(nodes=parts):
            return _through(_JOINED, nodes.List(parts, lineno=node.lineno))
        case nodes.Tuple(ctx="load") | nodes.List() | nodes.Dict():
            return _through(_WEIGHED, node)
    return node


def _through(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


# -- what is counted ------------------------------------------------------------------------------


def _spend_for(value: object) -> None:
    if isinstance(value, str):
        _budget.get().spend(1 + len(value) // CHARACTERS_A_STEP)
    else:
        _budget.get().spend(1 + (len(value) if isinstance(value, list | tuple | dict) else 0))


def _checked(value: Any) -> Any:  # noqa: ANN401 - whatever an expression gives
    if isinstance(value, str) and len(value) > LARGEST:
        raise LimitReached(f"a text in it has more than {LARGEST} characters")
    if isinstance(value, int | float) and abs(value) >= LARGEST_NUMBER:
        raise LimitReached("a number in it is too large")
    _spend_for(value)
    return value


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    budget = _budget.get()
    for item in items:
        budget.spend(1)
        yield item


def _weighed(value: Any) -> Any:  # noqa: ANN401 - a list, a tuple, a dictionary
    """Spend a step for all that is in it: lists of the same list twice grow fast."""
    open_ = [value]
    while open_:
        found = open_.pop()
        _spend_for(found)
        if isinstance(found, dict):
            open_.extend(found.values())
        elif isinstance(found, list | tuple):
            open_.extend(found)
    return value


def _bounded(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Return one of Jinja's filters that spends steps for what it gets and gives."""

    @wraps(inner)  # what Jinja passes to it besides stands in its attributes
    def outer(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as Jinja calls filters
        for argument in arguments:
            _spend_for(argument)
        found = inner(*arguments, **named)
        if isinstance(found, Iterator):
            found = list(islice(_counted(found), MOST_STEPS + 1))
        return _checked(found)

    return outer


def _join(items: Iterable[Any], between: str = "") -> str:
    return _joined(items, str(between))


def _joined(items: Iterable[Any], between: str = "") -> str:
    parts: list[str] = []
    size = 0
    for item in _counted(items):
        part = str(item)
        size += len(part) + len(between)
        if size > LARGEST:
            raise LimitReached(f"a text in it has more than {LARGEST} characters")
        parts.append(part)
    return str(_checked(between.join(parts)))


def _replace(text: object, old: str, new: str) -> str:
    plain = str(text)
    if len(plain) + plain.count(old) * len(new) > LARGEST:
        raise LimitReached(f"a text in it has more than {LARGEST} characters")
    return str(_checked(plain.replace(old, new)))


def _round(number: float, digits: int = 0) -> float:
    if not -FINEST <= digits <= FINEST:
        raise LimitReached(f"numbers are rounded to {FINEST} digits at most")
    return round(number, digits)


def _tojson(value: object) -> str:
    return str(_checked(orjson.dumps(_weighed(value)).decode()))


def _range(*arguments: int) -> range:
    found = range(*arguments)
    _budget.get().spend(len(found))
    return found


def _sandbox() -> _Sandbox:
    sandbox = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=True, optimized=False)
    sandbox.filters = {name: _bounded(sandbox.filters[name]) for name in _FILTERS} | {
        "join": _join,
        "replace": _replace,
        "round": _round,
        "tojson": _tojson,
        _COUNTED: _counted,
        _JOINED: _joined,
        _WEIGHED: _weighed,
    }
    sandbox.globals = {"range": _range}
    return sandbox


_SANDBOX: Final = _sandbox()
