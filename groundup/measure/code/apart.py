"""Both sandboxed sides of a code test, alone in their processes: the tests call, the code answers.

Between two processes that do not trust each other only JSON crosses, and decoded values have only
plain types, so an object with a malicious `__eq__` cannot:

    None, bool, int, float, str, bytes, complex, list, tuple, set, frozenset, dict   as they are
    their subclasses (Counter, namedtuple)     as the plain type
    other numbers (Fraction, numpy's)          int or float
    other iterables (generator, range, deque)  ForeignValue: iterates over the items, equals nothing
    all else                                   ForeignValue without items

`serve_code` serves the code, answer.py in its working folder, which may do anything in there; its
stdout is discarded. `run_tests` runs tests.py after context.py, the question's own functions.
"""

import builtins
import json
import os
import sys
import types
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


ANSWER = "answer"


def _exception_to_json(error: BaseException) -> dict[str, Any]:
    return {"raised": type(error).__name__, "message": str(error)[:500]}


def _load_answer(path: str) -> tuple[types.ModuleType, dict[str, Any]]:
    """Run the code as a module; return it with the callable names, or with the exception."""
    module = types.ModuleType(ANSWER)
    sys.modules[ANSWER] = module
    try:
        with open(path, encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), module.__dict__)
    except BaseException as error:
        return module, _exception_to_json(error)
    return module, {"names": [name for name, value in vars(module).items() if callable(value)]}


def _answer_call(module: types.ModuleType, question: dict[str, Any]) -> dict[str, Any]:
    """Call the requested function; arguments are returned too, as the code may mutate them."""
    arguments = [decode_value(value) for value in question["arguments"]]
    named = {name: decode_value(value) for name, value in question["named"].items()}
    try:
        value = encode_value(vars(module)[question["name"]](*arguments, **named))
        return {"value": value, "arguments": [encode_value(argument) for argument in arguments]}
    except BaseException as error:
        return _exception_to_json(error)


def serve_code() -> None:
    """Send what the code defines, then answer calls until the pipe closes.

    Arguments: QUESTIONS ANSWERS, two pipe file descriptors.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.set_int_max_str_digits(0)
    with open(int(sys.argv[1])) as questions, open(int(sys.argv[2]), "w") as answers:
        module, start = _load_answer(f"{ANSWER}.py")
        print(json.dumps(start), file=answers, flush=True)
        for question in questions:
            print(json.dumps(_answer_call(module, json.loads(question))), file=answers, flush=True)
    os._exit(0)  # skips threads and atexit functions of the code


class CodeConnection:
    """The connection to the code under test."""

    def __init__(self, questions: int, answers: int) -> None:
        """Open both pipes."""
        self.questions, self.answers = open(questions, "w"), open(answers)
        self.calls = 0

    def receive(self) -> dict[str, Any]:
        """Read one reply; an exception of the code is raised here."""
        if not (line := self.answers.readline()):
            raise ConnectionError("the code ended")
        reply = json.loads(line)
        if "raised" in reply:
            raise _rebuild_exception(reply["raised"], reply["message"])
        return reply

    def call(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a function of the code; its mutations of lists, dicts and sets are copied back."""
        self.calls += 1
        request = {"name": name, "arguments": list(map(encode_value, arguments)),
                   "named": {key: encode_value(value) for key, value in named.items()}}  # fmt: skip
        print(json.dumps(request), file=self.questions, flush=True)
        reply = self.receive()
        for local, remote in zip(arguments, map(decode_value, reply["arguments"]), strict=True):
            if type(local) is type(remote) is list:
                local[:] = remote
            elif type(local) is type(remote) and isinstance(local, dict | set):
                local.clear()
                local.update(remote)
        return decode_value(reply["value"])


def _rebuild_exception(name: str, message: str) -> Exception:
    """The code's exception as the same built-in type, or a RuntimeError naming its type."""
    kind = getattr(builtins, name, None)
    try:
        if isinstance(kind, type) and issubclass(kind, Exception):  # SystemExit would end the tests
            return kind(message)
    except TypeError:
        pass  # UnicodeDecodeError, for one, takes other arguments
    return RuntimeError(f"{name}: {message}")


def _testable_names(names: list[str], entry_point: str, context: dict[str, Any]) -> list[str]:
    """Functions of the code that the tests get; none may shadow the context or builtins."""
    if not entry_point:
        return [name for name in names if name not in context and not hasattr(builtins, name)]
    if entry_point not in names:
        raise NameError(f"the code defines no {entry_point}")
    return [entry_point]


class RemoteFunction:
    """A function of the code under test."""

    def __init__(self, line: CodeConnection, name: str) -> None:
        """Bind a function name to a connection."""
        self.line, self.__name__ = line, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it in the other process."""
        return self.line.call(self.__name__, arguments, named)


def run_tests() -> None:
    """Provide the functions, run the tests, and print the seal if they ran to completion.

    Arguments: QUESTIONS ANSWERS ENTRY_POINT SEAL: two pipe file descriptors, the function under
    test ("" for all that the code defines), and a secret printed after the last test.
    """
    questions, answers, entry_point, seal = sys.argv[1:5]
    sys.set_int_max_str_digits(0)
    line = CodeConnection(int(questions), int(answers))
    names = line.receive()["names"]
    space: dict[str, Any] = {"__name__": "tests"}
    _execute_file("context.py", space)
    space |= {
        name: RemoteFunction(line, name) for name in _testable_names(names, entry_point, space)
    }
    _execute_file("tests.py", space)
    if entry_point and "check" in space:
        space["check"](space[entry_point])
    print(f"\n{seal} {line.calls}", flush=True)


def _execute_file(path: str, space: dict[str, Any]) -> None:
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), space)
