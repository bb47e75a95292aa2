"""The command line: finds the verb, calls its function, prints the result or the error.

verbs.py has the table of verbs, flags.py turns signatures into flags and prints results.
Rooms are imported only when their verb is called, so `groundup --help` is fast.
"""

import gc
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from .verbs import VERBS, Verb, contents


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags = {flag for flag in ("--json", "--trace") if flag in words}
    words = [word for word in words if word not in flags]
    if words[:1] == ["verify"]:  # a lone dash, which is standard input, reads as an option else
        words = ["--answer=-" if word == "-" else word for word in words]
    typed = sys.argv[1:] if arguments is None else None
    if typed is not None:  # child processes import nothing from this folder; plugins are foreign
        gc.disable()  # until the verb runs: imports and flags leave no garbage
        os.environ |= {"PYTHONSAFEPATH": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:  # closed: the next file would be given its number
                setattr(sys, name, open(os.open(os.devnull, os.O_RDWR), mode))
        for stream in (sys.stdout, sys.stderr):  # a terminal of ASCII is no defect
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
    try:
        if (page := contents(words)) is not None:
            print(page)
            code = 0
        else:
            code = _dispatch(words, as_json="--json" in flags, typed=typed)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    except (Exception, KeyboardInterrupt) as error:
        code = _report_error(error, flags)
    if typed is not None:
        gc.freeze()  # the interpreter would search everything for garbage before it ends
    sys.exit(code)


def _report_error(error: BaseException, flags: set[str]) -> int:
    from groundup.core import GroundupError, ProcessLost, record

    message, code = _error_message(error)
    is_own = isinstance(error, GroundupError) and not isinstance(error, ProcessLost)
    if is_own and os.environ.get("RANK", "0") != "0":
        _wait_for_rank_zero(code)
    if "--trace" in flags:
        import traceback

        traceback.print_exception(error)
    if "--json" in flags:
        record.log_event("error", message=message, exit_code=code)
    else:
        for note in getattr(error, "__notes__", ()):  # a failed gate's table is a result
            print(record.escape_controls(note), flush=True)
        print(f"groundup: {record.escape_controls(message)}", file=sys.stderr)
    return code


def _error_message(error: BaseException) -> tuple[str, int]:
    from groundup.core import GroundupError, find_extra

    if isinstance(error, ModuleNotFoundError):
        error = find_extra(error) or error
    if isinstance(error, GroundupError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "Stopped.", 130
    if isinstance(error, OSError):
        path = f" ({error.filename})" if error.filename else ""
        return f"The system said: {error.strerror or error}{path}.", 1
    message = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return f"{message} (a defect; --trace shows where)", 1


RANK_ZERO_SECONDS = 10.0
"""Time for rank 0 to report an error that all ranks have."""


def _wait_for_rank_zero(code: int) -> None:
    """Wait for torchrun to end this process, as it does after rank 0 has reported the error.

    Returns if it does not: then only this rank failed and must report the error itself.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
    time.sleep(RANK_ZERO_SECONDS)
    signal.signal(signal.SIGTERM, before)


def _dispatch(words: list[str], as_json: bool, typed: list[str] | None = None) -> int:
    """Find the verb, call it and print its result.

    `typed` is the process's own command line if it may be restarted with another allocator.
    """
    from groundup.core import device, record

    from .flags import emit, import_target, parse_command

    record.set_output_mode(record.choose_output_mode(as_json))
    verb, rest = _find_verb(words)
    if verb.computes and typed is not None and "--help" not in rest and "-h" not in rest:
        device.restart_with_allocator()
    function, name, example = import_target(verb.target), verb.name, verb.example
    if verb.name == "run":
        if not rest or rest[0].startswith("-"):
            function()  # prints the recipes
            return 0
        function, example = _load_recipe(function, rest[0])
        name, rest = f"run {rest[0]}", rest[1:]
    call = parse_command(name, function, rest, example)
    if call is None:
        return 0
    if verb.computes:
        device.set_num_threads()
    gc.enable()
    result = call()
    if os.environ.get("RANK", "0") == "0":  # under torchrun only rank 0 prints
        emit(result, as_json)
    return getattr(result, "exit_code", 0)  # of a check, such as `groundup verify`


def _find_verb(words: list[str]) -> tuple[Verb, list[str]]:
    """Match the longest verb; ConfigError naming the closest one."""
    for count in (2, 1):
        for verb in VERBS:
            if verb.name == " ".join(words[:count]):
                return verb, words[count:]
    import difflib

    from groundup.core import ConfigError

    names = [verb.name for verb in VERBS]
    inside = [name for name in names if name.startswith(words[0] + " ")]
    near = inside or difflib.get_close_matches(" ".join(words[:1]), names, n=1, cutoff=0.5)
    hint = f"did you mean `groundup {'` or `groundup '.join(near)}`?" if near else "see `--help`."
    raise ConfigError(f"There is no command `{words[0]}`; {hint}")


def _load_recipe(run: Callable[..., Any], name: str) -> tuple[Callable[..., Any], str]:
    from groundup.core import ConfigError
    from groundup.recipes import RECIPES

    file, _, function = name.rpartition(":")
    if not file.endswith(".py"):
        return run(name), RECIPES[name].example
    spec = spec_from_file_location("recipe", file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise ConfigError(f"There is no recipe file {file}; expected FILE.py:function.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, function):
        raise ConfigError(f"{file} has no function `{function}`.")
    return getattr(module, function), ""
