"""Plain values cross as they went; no answer can end, replace or fool the tests."""

import json
import math
import os
import sys
from collections import Counter, OrderedDict, deque, namedtuple
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.measure.code.apart import (
    ANSWER,
    MAX_ITEMS,
    CodeConnection,
    ForeignValue,
    RemoteFunction,
    _answer_call,
    _load_answer,
    _rebuild_exception,
    _testable_names,
    decode_value,
    encode_value,
)

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


def line(*answers: dict) -> tuple[CodeConnection, int]:
    read_questions, write_questions = os.pipe()
    read_answers, write_answers = os.pipe()
    with open(write_answers, "w") as file:
        file.writelines(json.dumps(each) + "\n" for each in answers)
    return CodeConnection(write_questions, read_answers), read_questions


def ended(line: CodeConnection, questions: int) -> str:
    line.questions.close()
    line.answers.close()
    with open(questions) as file:
        return file.read()


def test_a_remote_function_asks_and_its_lists_change():
    connection, questions = line({"value": {"tuple": [1]}, "arguments": [{"list": [3]}, 2]})
    changed = [1, 2]
    assert RemoteFunction(connection, "f")(changed, 2, key="v") == (1,)
    assert changed == [3] and connection.calls == 1
    asked = json.loads(ended(connection, questions))
    assert asked == {"name": "f", "arguments": [{"list": [1, 2]}, 2], "named": {"key": "v"}}


def test_the_codes_exception_is_raised_here_and_its_end_is_an_error():
    connection, questions = line({"raised": "KeyError", "message": "k"})
    with pytest.raises(KeyError, match="k"):
        RemoteFunction(connection, "f")()
    with pytest.raises(ConnectionError):
        RemoteFunction(connection, "f")()
    ended(connection, questions)


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "print", "Own", "open",
                                  "UnicodeDecodeError", "__import__"])  # fmt: skip
def test_what_would_end_the_tests_or_is_no_exception_becomes_a_plain_error(name: str):
    error = _rebuild_exception(name, "m")
    assert type(error) is RuntimeError and str(error) == f"{name}: m"


def test_code_cannot_take_the_place_of_what_tests_rely_on():
    names = ["abs", "isinstance", "given", "f", "__import__"]
    assert _testable_names(names, "", {"given": 1}) == ["f"]
    assert _testable_names(names, "given", {"given": 1}) == ["given"]
    with pytest.raises(NameError, match="defines no g"):
        _testable_names(names, "g", {"g": 1})


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, ANSWER, sys)


def loaded(tmp_path: Path, code: str):
    (tmp_path / "answer.py").write_text(code)
    return _load_answer(str(tmp_path / "answer.py"))


def test_functions_and_classes_can_be_called_by_name(tmp_path: Path):
    module, start = loaded(tmp_path, "x = 1\ndef f(a, b=2): return a + b\nclass C: pass")
    assert start == {"names": ["f", "C"]}
    asked = {"name": "f", "arguments": [1], "named": {"b": 5}}
    assert _answer_call(module, asked) == {"value": 6, "arguments": [1]}


def test_changed_arguments_come_back(tmp_path: Path):
    module, _ = loaded(tmp_path, "def f(a): a.append(9)")
    found = _answer_call(module, {"name": "f", "arguments": [{"list": [1]}], "named": {}})
    assert found == {"value": None, "arguments": [{"list": [1, 9]}]}


@pytest.mark.parametrize(
    ("code", "kind"),
    [("x = ", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("raise SystemExit", "SystemExit"),
     ("import no_such_module", "ModuleNotFoundError"), ("x = '\0'", "SyntaxError")],
)  # fmt: skip
def test_code_that_cannot_be_run_is_told(tmp_path: Path, code: str, kind: str):
    start = loaded(tmp_path, code)[1]
    assert start["raised"] in (kind, "ValueError")


@pytest.mark.parametrize("how", ["raise KeyError('k')", "exit(0)", "raise KeyboardInterrupt"])
def test_what_a_call_raises_is_told_and_the_next_call_works(tmp_path: Path, how: str):
    module, _ = loaded(tmp_path, f"def f(): {how}\ndef g(): return 1")
    assert "raised" in _answer_call(module, {"name": "f", "arguments": [], "named": {}})
    assert _answer_call(module, {"name": "g", "arguments": [], "named": {}})["value"] == 1
