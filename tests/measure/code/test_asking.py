"""The side of the tests: whom it asks, and that no answer can end or replace it."""

import json
import os

import pytest

from groundup.measure.code.asking import (
    CodeConnection,
    RemoteFunction,
    _rebuild_exception,
    _testable_names,
)


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
