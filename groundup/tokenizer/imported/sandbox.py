"""A sandbox for foreign chat templates: jinja's, with additional limits on time and memory.

jinja's sandbox protects the machine but limits only `range`: neither nested loops, nor a text that
is doubled forty times, nor `'%999999999d' | format`. Here every iteration of a loop or macro checks
the time, and results of filters, calls and operators are measured: in advance where they could be
far larger than their inputs, and afterwards. Values that are compared or written are measured, too:
a list that contains a list twice, forty levels deep, is small in memory and endless as text.
"""

import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import BuiltinMethodType
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from groundup.core import ConfigError

MOST_SECONDS = 5.0
MAX_OUTPUT = 2**24
"""Maximum characters and items that a rendering produces in total and in one step."""
OUTPUT_PER_INPUT = 256
"""Additional allowance per input character."""
MAX_COUNT = 10_000
"""Larger numbers are not a plausible width, indent or count."""
WIDE_FORMAT = re.compile(r"\d{5,}|\{[^{}]*\{")
"""In a format string: a width of five digits, or one given by a variable."""
FORMATS = {"format", "format_map", "%"}
MULTIPLYING = {
    "replace", "regex_replace", "join", "indent", "wordwrap", "expandtabs", "format", "format_map",
    "translate", "%", "sum", "tojson",
}  # fmt: skip
"""Filters and methods whose result may be as long as the product of two texts."""
SLOW_FILTERS = {"title", "wordwrap", "urlize", "pprint", "tojson", "sort", "unique", "groupby"}
SLOW_FACTOR = 16
"""Operations that take this many times longer per character and do not check the time."""
COPY_FACTOR = 32
"""Characters copied in the time of producing one."""
MAX_ITEMS, ENDLESS = 2**20, 2**62
UNMEASURED = {"", "default", "d"}
"""Tests and filters whose result is not measured."""
MAX_BITS = 65_536
GIANT = "The {} makes a number of thousands of digits."
FAILURES = (
    TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError,
    RuntimeError, MemoryError,
)  # fmt: skip
"""Exceptions from a template's own errors; RecursionError is a RuntimeError."""


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """The environment of one template; thread-safe."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, extensions: Sequence[Any], kind: str = "chat template") -> None:
        """`extensions` are jinja's; `kind` names the template in messages."""
        self.kind = kind
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=extensions, finalize=self.check_written
        )
        self.spent = threading.local()
        self.filters = {name: self.wrap_filter(name, one) for name, one in self.filters.items()}
        self.tests = {name: self.wrap_filter("", one) for name, one in self.tests.items()}
        del self.globals["lipsum"]  # random words, as many as are asked for

    def from_string(
        self, source: Any, globals: Any = None, template_class: type[Template] | None = None
    ) -> Template:
        """Compile a template; ConfigError if it is invalid."""
        try:
            return super().from_string(source, globals, template_class)
        except TemplateSyntaxError as error:
            why = f"{error}, line {error.lineno}"
        except (RecursionError, MemoryError, SyntaxError) as error:
            why = f"it is nested too deeply ({type(error).__name__})"
        raise ConfigError(f"The {self.kind} is invalid: {why}.")

    def handle_exception(self, source: str | None = None) -> NoReturn:
        """Re-raise jinja's exception: an error of a running template is a ConfigError."""
        error = sys.exception()
        if isinstance(error, ConfigError | TemplateSyntaxError) or not isinstance(error, FAILURES):
            super().handle_exception(source)
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise ConfigError(f"The {self.kind} fails: {what}.") from None

    def render(self, template: Template, values: Mapping[str, Any]) -> str:
        """Render the template with these variables and fresh limits."""
        self.start_counting(_value_size(values))
        return template.render(values)

    def start_counting(self, input_size: int) -> None:
        """Start counting for a rendering in this thread; `input_size` is the input size."""
        self.spent.left = MAX_OUTPUT + OUTPUT_PER_INPUT * input_size
        self.spent.until = time.monotonic() + MOST_SECONDS

    def tick(self, size: int = 0) -> str:
        """Count one loop iteration that writes `size` characters."""
        self.spent.left = getattr(self.spent, "left", MAX_OUTPUT) - size - 1
        if self.spent.left < 0:
            what = f"The {self.kind} makes more than {MAX_OUTPUT:,} characters and items of a small"
            raise ConfigError(f"{what} input.")
        if time.monotonic() > getattr(self.spent, "until", float("inf")):
            limit = f"{MOST_SECONDS:g} seconds for one input"
            raise ConfigError(f"The {self.kind} takes more than {limit}.")
        return ""

    def check_size(self, value: Any) -> Any:
        """Check that a value is small enough to be compared or written."""
        if not isinstance(value, (str, int)):
            self.tick(_value_size(value))
        return value

    def check_written(self, value: Any) -> Any:
        """Check a value that is written."""
        self.tick(_value_size(value))
        return value

    def concatenate(self, *values: Any) -> str:
        """The result of `~`."""
        self.tick(sum(map(_value_size, values)))
        return "".join(map(str, values))

    def wrap_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a filter to be measured, or a test (no name, no result)."""

        @wraps(function)  # with jinja's mark of whether it takes the environment first
        def weighed(*values: Any, **named: Any) -> Any:
            self.check_cost(name, [*values, *named.values()])
            return self.count_result(function(*values, **named))

        return weighed

    def count_result(self, value: Any) -> Any:
        """Count the result of a step."""
        self.tick(_value_size(value))
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise ConfigError(GIANT.format(self.kind))
        return value

    def check_cost(self, name: str, values: Sequence[Any]) -> None:
        """Refuse a step whose result would be far larger than its inputs."""
        sizes = [_value_size(value) for value in values]
        counts = values[1:] if name not in UNMEASURED else []
        if any(isinstance(value, int) and abs(value) > MAX_COUNT for value in counts):
            raise ConfigError(f"The {self.kind} asks `{name}` for more than {MAX_COUNT:,}.")
        is_text = name in FORMATS and isinstance(values[0], str)
        if is_text and WIDE_FORMAT.search(values[0]):
            raise ConfigError(f"The {self.kind} asks `{name}` for a width without bounds.")
        if name in MULTIPLYING:
            sizes += [abs(value) for value in values if isinstance(value, int)]
            first, second = (sorted(sizes, reverse=True) + [1, 1])[:2]
            sizes.append(first * max(1, second))
        if name in SLOW_FILTERS:
            sizes.append(max(sizes) * SLOW_FACTOR)
        if name == "wordwrap":
            sizes.append(_wordwrap_cost(*values))
        if max(sizes, default=0) > self.remaining():
            raise ConfigError(f"The {self.kind} produces too much text by `{name}`.")

    def remaining(self) -> int:
        """Remaining allowance of a rendering."""
        return max(0, getattr(self.spent, "left", MAX_OUTPUT))

    def call(self, context: Context, function: Any, *values: Any, **named: Any) -> Any:  # type: ignore[override]
        """Call a function from a template."""
        if getattr(function, "__self__", None) is self:  # what `_parse` put in
            return function(*values)
        inner = getattr(function, "__wrapped__", function)  # jinja wraps `str.format`
        if isinstance(inner, BuiltinMethodType):
            self.check_cost(inner.__name__, [inner.__self__, *values, *named.values()])
        elif max(map(_value_size, [*values, *named.values()]), default=0) > self.remaining():
            raise ConfigError(f"The {self.kind} passes too much to a function.")
        return self.count_result(super().call(context, function, *values, **named))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up `obj.attribute`, also for each item of a filter."""
        self.tick()
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look up `obj[argument]`, which hashes the argument."""
        self.tick()
        return super().getitem(obj, self.check_size(argument))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Evaluate `left operator right`."""
        if operator == "%" and isinstance(left, str):
            self.check_cost("%", [left, *(right if isinstance(right, tuple) else [right])])
        elif isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else 0
            bits = left.bit_length() + right.bit_length() if operator == "*" else bits
            if bits > MAX_BITS:
                raise ConfigError(GIANT.format(self.kind))
        elif operator == "*":
            text, count = (right, left) if isinstance(left, int) else (left, right)
            if isinstance(count, int) and _value_size(text) * count > self.remaining():
                raise ConfigError(f"The {self.kind} repeats a text too often.")
        elif operator == "+":
            self.tick(_value_size(left) + _value_size(right))
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Parse a template and insert the counters."""
        tree = super()._parse(source, name, filename)
        for node in [*tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock))]:
            own = sum(len(text.data) for text in node.find_all(nodes.TemplateData))
            turn = _environment_call("tick", [nodes.Const(own)])
            node.body = [nodes.ExprStmt(turn), *node.body]
        for node in [*tree.find_all(nodes.Compare)]:
            node.expr = _environment_call("check_size", [node.expr])
            for operand in node.ops:
                operand.expr = _environment_call("check_size", [operand.expr])
        for node in [*tree.find_all(nodes.Pair)]:
            node.key = _environment_call("check_size", [node.key])
        return _instrument(tree).set_environment(self)


def _environment_call(name: str, values: list[nodes.Expr]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), values, [], None, None)


def _instrument(node: Any) -> Any:
    """Replace `~` by calls and measure list, tuple and dict literals."""
    for name in node.fields:
        value = getattr(node, name)
        if isinstance(value, list):
            new = [_instrument(each) if isinstance(each, nodes.Node) else each for each in value]
            setattr(node, name, new)
        elif isinstance(value, nodes.Node):
            setattr(node, name, _instrument(value))
    if isinstance(node, nodes.Concat):
        return _environment_call("concatenate", node.nodes)
    is_made = isinstance(node, (nodes.List, nodes.Dict)) or (
        isinstance(node, nodes.Tuple) and node.ctx == "load"
    )
    return _environment_call("count_result", [node]) if is_made else node


def _wordwrap_cost(text: Any, *options: Any) -> int:
    """Cost of `wordwrap`: a long word is copied once per line.

    >>> _wordwrap_cost("a" * 1_000_000, 1) > MAX_OUTPUT + OUTPUT_PER_INPUT * 1_000_000
    True
    """
    widths = [value for value in options if isinstance(value, int) and value is not True]
    longest = max(map(len, text.split()), default=0) if isinstance(text, str) else 0
    return longest * longest // max(1, min(widths, default=79)) // COPY_FACTOR


def _value_size(value: Any) -> int:
    """Characters and items in a value, repeated ones included.

    >>> _value_size(["ab", {"c": [1, 2]}])
    8

    A value of more than MAX_ITEMS items is endless.
    """
    if isinstance(value, (str, bytes)):
        return len(value)
    found, items, todo = 0, 0, [value]
    while todo:
        one, items = todo.pop(), items + 1
        if items > MAX_ITEMS:
            return ENDLESS
        if isinstance(one, (str, bytes)):
            found += len(one)
        else:
            found += 1
            if isinstance(one, Mapping):
                todo += [*one.keys(), *one.values()]
            elif isinstance(one, (list, tuple, set, frozenset)):
                todo += one
    return found
