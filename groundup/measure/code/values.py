"""Python values as JSON and back, between two processes that do not trust each other.

Decoded values have only plain types, so an object with a malicious `__eq__` cannot cross.

    None, bool, int, float, str, bytes, complex, list, tuple, set, frozenset, dict   as they are
    their subclasses (Counter, namedtuple)     as the plain type
    other numbers (Fraction, numpy's)          int or float
    other iterables (generator, range, deque)  ForeignValue: iterates over the items, equals nothing
    all else                                   ForeignValue without items
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

MAX_ITEMS = 100_000
"""Limit for iterables, which may be infinite."""


class ForeignValue:
    """Stand-in for a value that is not of a plain type."""

    def __init__(self, kind: str, items: list[Any] | None) -> None:
        """`kind` is the name of its type; `items` is None if it is not iterable."""
        self.kind, self.items = kind, items

    def __iter__(self) -> Iterator[Any]:
        """Iterate over its items; TypeError if the original is not iterable."""
        if self.items is None:
            raise TypeError(f"'{self.kind}' object is not iterable")
        return iter(self.items)

    def __repr__(self) -> str:
        """Its type's name."""
        return f"<{self.kind}>"


def encode_value(value: Any) -> Any:
    """A value as JSON.

    >>> encode_value((1, {2: b"a"}))
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
        return {"dict": [[encode_value(key), encode_value(inner)] for key, inner in value.items()]}
    for plain in (list, tuple, set, frozenset):
        if isinstance(value, plain):
            return {plain.__name__: [encode_value(item) for item in value]}
    for name, plain in (("__index__", int), ("__float__", float)):
        if hasattr(value, name) and not hasattr(value, "__iter__"):
            return plain(value)
    items = None
    if isinstance(value, Iterable):
        items = [encode_value(item) for item in islice(value, MAX_ITEMS)]
    return {"foreign": [type(value).__name__, items]}


def decode_value(data: Any) -> Any:
    """Inverse of `encode_value`.

    >>> decode_value(encode_value({"a": [1.5, (None, {2, 3})]}))
    {'a': [1.5, (None, {2, 3})]}
    """
    if not isinstance(data, dict):
        return data
    ((kind, inner),) = data.items()
    if kind == "bytes":
        return bytes.fromhex(inner)
    if kind == "complex":
        return complex(*inner)
    if kind == "dict":
        return {decode_value(key): decode_value(value) for key, value in inner}
    if kind == "foreign":
        name, items = inner
        return ForeignValue(
            str(name), None if items is None else [decode_value(item) for item in items]
        )
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](
        decode_value(item) for item in inner
    )
