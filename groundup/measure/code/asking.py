"""Runs in a sandbox of its own: the tests, which call functions that live in another process.

Its arguments are QUESTIONS ANSWERS ENTRY_POINT SEAL: two open pipes by number, the function under
test ("" for all that the code defines), and a word that nobody else knows, printed after the last
test. The working folder holds tests.py and context.py, the question's own functions.
"""

import builtins
import json
import sys
from typing import Any

from .values import from_json, to_json


class Line:
    """The connection to the code under test."""

    def __init__(self, questions: int, answers: int) -> None:
        """Take both ends."""
        self.questions, self.answers = open(questions, "w"), open(answers)
        self.calls = 0

    def heard(self) -> dict[str, Any]:
        """What was answered; the code's own exception is raised here, by its name."""
        if not (row := self.answers.readline()):
            raise ConnectionError("the code ended")
        found = json.loads(row)
        if "raised" in found:
            raise remade(found["raised"], found["message"])
        return found

    def call(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Ask for one call; lists, dicts and sets that it changes change here too."""
        self.calls += 1
        asked = {"arguments": list(map(to_json, arguments)),
                 "named": {key: to_json(value) for key, value in named.items()}}  # fmt: skip
        print(json.dumps({"name": name, **asked}), file=self.questions, flush=True)
        found = self.heard()
        for ours, theirs in zip(arguments, map(from_json, found["arguments"]), strict=True):
            if type(ours) is type(theirs) is list:
                ours[:] = theirs
            elif type(ours) is type(theirs) and isinstance(ours, dict | set):
                ours.clear()
                ours.update(theirs)
        return from_json(found["value"])


def remade(name: str, message: str) -> Exception:
    """The code's exception: of the same built-in type, or a RuntimeError that names its type."""
    kind = getattr(builtins, name, None)
    try:
        if isinstance(kind, type) and issubclass(kind, Exception):  # SystemExit would end the tests
            return kind(message)
    except TypeError:
        pass  # UnicodeDecodeError, for one, takes other arguments
    return RuntimeError(f"{name}: {message}")


def reachable(names: list[str], entry_point: str, context: dict[str, Any]) -> list[str]:
    """Functions of the code that the tests get; none may take the place of what tests rely on."""
    if not entry_point:
        return [name for name in names if name not in context and not hasattr(builtins, name)]
    if entry_point not in names:
        raise NameError(f"the code defines no {entry_point}")
    return [entry_point]


class Remote:
    """A function of the code under test."""

    def __init__(self, line: Line, name: str) -> None:
        """Take where it is and its name."""
        self.line, self.__name__ = line, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it there."""
        return self.line.call(self.__name__, arguments, named)


def main() -> None:
    """Give the tests their functions, run them, and seal that they ran to their end."""
    questions, answers, entry_point, seal = sys.argv[1:5]
    sys.set_int_max_str_digits(0)
    line = Line(int(questions), int(answers))
    names = line.heard()["names"]
    space: dict[str, Any] = {"__name__": "tests"}
    execute("context.py", space)
    space |= {name: Remote(line, name) for name in reachable(names, entry_point, space)}
    execute("tests.py", space)
    if entry_point and "check" in space:
        space["check"](space[entry_point])
    print(f"\n{seal} {line.calls}", flush=True)


def execute(path: str, space: dict[str, Any]) -> None:
    """Run a file's statements in a namespace."""
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), space)
