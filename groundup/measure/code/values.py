"""Python values as JSON and back, so that they pass between two processes that do not trust.

What arrives is built of plain types alone, so a result that claims to equal everything does not.

    None, bool, int, float, str, bytes, complex, list, tuple, set, frozenset, dict   as they are
    their subclasses (Counter, namedtuple)     as the plain type
    other numbers (Fraction, numpy's)          int or float
    other iterables (generator, range, deque)  Foreign: iterates over what they gave, equals nothing
    all else                                   Foreign without items
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

MOST_ITEMS = 100_000
"""Taken from an iterable that may never end."""


class Foreign:
    """What stands for a value that is of no plain type."""

    def __init__(self, kind: str, items: list[Any] | None) -> None:
        """Name of its type, and its items if it has some."""
        self.kind, self.items = kind, items

    def __iter__(self) -> Iterator[Any]:
        """Its items; TypeError if it has none, as for what it stands for."""
        if self.items is None:
            raise TypeError(f"'{self.kind}' object is not iterable")
        return iter(self.items)

    def __repr__(self) -> str:
        """Its type's name."""
        return f"<{self.kind}>"


def to_json(value: Any) -> Any:
    """A value as JSON.

    >>> to_json((1, {2: b"a"}))
    {'tuple': [1, {'dict': [[2, {'bytes': '61'}]]}]}
    """
    if value is None or isinstance(value, bool):
        return value
    for plain in (int, float, str):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, bytes | bytearray):
        return {"bytes": value.hex()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, Mapping):
        return {"dict": [[to_json(key), to_json(inner)] for key, inner in value.items()]}
    for plain in (list, tuple, set, frozenset):
        if isinstance(value, plain):
            return {plain.__name__: [to_json(item) for item in value]}
    for name, plain in (("__index__", int), ("__float__", float)):
        if hasattr(value, name) and not hasattr(value, "__iter__"):
            return plain(value)
    items = None
    if isinstance(value, Iterable):
        items = [to_json(item) for item in islice(value, MOST_ITEMS)]
    return {"foreign": [type(value).__name__, items]}


def from_json(found: Any) -> Any:
    """The value that `to_json` was given.

    >>> from_json(to_json({"a": [1.5, (None, {2, 3})]}))
    {'a': [1.5, (None, {2, 3})]}
    """
    if not isinstance(found, dict):
        return found
    ((kind, inner),) = found.items()
    if kind == "bytes":
        return bytes.fromhex(inner)
    if kind == "complex":
        return complex(*inner)
    if kind == "dict":
        return {from_json(key): from_json(value) for key, value in inner}
    if kind == "foreign":
        name, items = inner
        return Foreign(str(name), None if items is None else [from_json(item) for item in items])
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](
        from_json(item) for item in inner
    )
