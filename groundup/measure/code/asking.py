"""Sandboxed runner of the tests, which call functions in the process of the code under test.

Arguments: QUESTIONS ANSWERS ENTRY_POINT SEAL: two pipe file descriptors, the function under test
("" for all that the code defines), and a secret printed after the last test. The working folder has
tests.py and context.py, the question's own functions.
"""

import builtins
import json
import sys
from typing import Any

from .values import decode_value, encode_value


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


def main() -> None:
    """Provide the functions, run the tests, and print the seal if they ran to completion."""
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
    """Run a file's statements in a namespace."""
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), space)
