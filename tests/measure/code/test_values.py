"""Values come back as they went, plain types alone, and nothing else equals anything."""

import json
import math
from collections import Counter, OrderedDict, deque, namedtuple
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.measure.code.values import MAX_ITEMS, ForeignValue, decode_value, encode_value

Point = namedtuple("Point", "x y")
HASHABLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
HASHABLE |= st.binary() | st.complex_numbers(allow_nan=False) | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(HASHABLE, inner)
        | st.sets(HASHABLE)
        | st.frozensets(HASHABLE)
    ),
    max_leaves=12,
)


def across(value: Any) -> Any:
    return decode_value(json.loads(json.dumps(encode_value(value))))


def same_types(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return all(map(same_types, a, b))
    return not isinstance(a, dict) or all(map(same_types, a.values(), b.values()))


@given(VALUES)
def test_plain_values_come_back_equal_and_of_their_types(value: Any):
    assert across(value) == value and same_types(across(value), value)


def test_numbers_that_are_no_numbers_survive():
    assert math.isnan(across(math.nan)) and across([math.inf, -math.inf]) == [math.inf, -math.inf]


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(x=1), {"x": 1}),
        (Point(1, 2), (1, 2)),
        (Colour.RED, 1),
        (Fraction(1, 2), 0.5),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (bytearray(b"x"), b"x"),
    ],
)
def test_relatives_become_the_plain_type(value: Any, plain: Any):
    assert across(value) == plain and type(across(value)) is type(plain)


def test_iterables_give_their_items_and_equal_nothing():
    for value in (range(3), iter([0, 1, 2]), (i for i in range(3)), deque([0, 1, 2]),
                  {0: 0, 1: 0, 2: 0}.keys(), np.arange(3)):  # fmt: skip
        found = across(value)
        assert list(found) == [0, 1, 2] and found != [0, 1, 2] and isinstance(found, ForeignValue)


def test_endless_iterables_end():
    def forever():
        while True:
            yield 1

    assert len(list(across(forever()))) == MAX_ITEMS


def test_what_equals_everything_equals_nothing_on_the_other_side():
    class Liar:
        def __eq__(self, other: object) -> bool:
            return True

    class LyingNumber(int):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    assert across(Liar()) != 1 and repr(across(Liar())) == "<Liar>"
    assert across(LyingNumber(3)) == 3 and across(LyingNumber(3)) != 4
    with pytest.raises(TypeError, match="'Liar' object is not iterable"):
        list(across(Liar()))
