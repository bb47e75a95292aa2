"""Runs in a sandbox of its own: the code under test, which answers calls from another process.

Its arguments are QUESTIONS ANSWERS, two open pipes by number; the code is answer.py in the working
folder. What it prints is dropped. It may do here what it wants: plain values alone get across.
"""

import json
import os
import sys
import types
from typing import Any

from .values import from_json, to_json

ANSWER = "answer"


def told(error: BaseException) -> dict[str, Any]:
    """An exception by its type's name and its words."""
    return {"raised": type(error).__name__, "message": str(error)[:500]}


def load(path: str) -> tuple[types.ModuleType, dict[str, Any]]:
    """Run the code as a module; with it, the names that can be called, or what it raised."""
    module = types.ModuleType(ANSWER)
    sys.modules[ANSWER] = module
    try:
        with open(path, encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), module.__dict__)
    except BaseException as error:
        return module, told(error)
    return module, {"names": [name for name, value in vars(module).items() if callable(value)]}


def answer(module: types.ModuleType, question: dict[str, Any]) -> dict[str, Any]:
    """Call what is asked for; the arguments come back too, as the code may have changed them."""
    arguments = [from_json(value) for value in question["arguments"]]
    named = {name: from_json(value) for name, value in question["named"].items()}
    try:
        value = to_json(vars(module)[question["name"]](*arguments, **named))
        return {"value": value, "arguments": [to_json(argument) for argument in arguments]}
    except BaseException as error:
        return told(error)


def main() -> None:
    """Tell what the code defines, then answer until nobody asks."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.set_int_max_str_digits(0)
    with open(int(sys.argv[1])) as questions, open(int(sys.argv[2]), "w") as answers:
        module, start = load(f"{ANSWER}.py")
        print(json.dumps(start), file=answers, flush=True)
        for question in questions:
            print(json.dumps(answer(module, json.loads(question))), file=answers, flush=True)
    os._exit(0)  # whatever the code left running or registered
