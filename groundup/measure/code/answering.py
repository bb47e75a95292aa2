"""Sandboxed server for the code under test, which answers calls from the tests' process.

Arguments: QUESTIONS ANSWERS, two pipe file descriptors; the code is answer.py in the working
folder. Its stdout is discarded. It may do anything in here: only plain values cross the pipes.
"""

import json
import os
import sys
import types
from typing import Any

from .values import decode_value, encode_value

ANSWER = "answer"


def _exception_to_json(error: BaseException) -> dict[str, Any]:
    """An exception as its type's name and message."""
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


def main() -> None:
    """Send what the code defines, then answer calls until the pipe closes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.set_int_max_str_digits(0)
    with open(int(sys.argv[1])) as questions, open(int(sys.argv[2]), "w") as answers:
        module, start = _load_answer(f"{ANSWER}.py")
        print(json.dumps(start), file=answers, flush=True)
        for question in questions:
            print(json.dumps(_answer_call(module, json.loads(question))), file=answers, flush=True)
    os._exit(0)  # skips threads and atexit functions of the code
