"""Whether code passes its tests, in a way that code cannot talk itself out of.

The code under test and the tests run in two sandboxes. The tests call functions that live in the
other one; plain values alone cross (values.py). So the code reaches neither the tests nor the
checker: exiting early, patching `assert`, printing a verdict or returning an object that equals
everything is a failure, as it should be. What the tests cannot do is look at the code's classes.

    check_code(box, "def add(a, b): return a + b", "assert add(1, 2) == 3").passed          True
"""

import contextlib
import os
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from groundup.core import Answer, ConfigError, Limits, Outcome, Reason, Sample, Sandbox, Score

HERE = Path(__file__).parent
SIGNATURE = "passes|tests:apart|values:plain|code:fenced_or_raw"


class CheckedCode(NamedTuple):
    """What tests say about code."""

    passed: bool
    status: str
    """`passed`, `wrong` (a test failed), `no_call`, or what ended it as in Outcome."""
    message: str
    """Why it did not pass, in a line."""
    calls: int
    """How often the tests called the code."""
    seconds: float


def check_code(
    box: Sandbox, code: str, tests: str, entry_point: str = "", context: str = "",
    limits: Limits | None = None,
) -> CheckedCode:  # fmt: skip
    """Run tests against code.

    tests         statements that raise if the code is wrong; with `entry_point` they may define
                  `check(candidate)`, as HumanEval's do, which is then called
    entry_point   the function under test; "" gives the tests every function of the code
    context       code of the question, for functions that the tests use
    """
    seal = secrets.token_hex(16)
    ends = Ends(*os.pipe(), *os.pipe())
    told: list[Outcome] = []

    def answer() -> None:
        passed = (ends.read_questions, ends.write_answers)
        try:
            told.append(run(box, "answering", passed, (), {"answer.py": code}, limits))
        finally:
            close(passed)  # the tests see the code's end

    answering = threading.Thread(target=answer)
    answering.start()
    passed = (ends.write_questions, ends.read_answers)
    files = {"context.py": stub(context), "tests.py": tests}
    try:
        asked = run(box, "asking", passed, (entry_point, seal), files, limits)
    finally:
        close(passed)  # the code sees that nobody asks
        answering.join()
    if not told:
        raise ConfigError("The sandbox of the tests could be set up, but not that of the code.")
    return verdict(asked, told[0], seal)


def run(
    box: Sandbox, side: str, passed: tuple[int, int], words: tuple[str, ...],
    files: dict[str, str], limits: Limits | None,
) -> Outcome:  # fmt: skip
    """Run one side in a sandbox; the package `apart` in there is this folder's programs."""
    ours = {f"apart/{name}.py": (HERE / f"{name}.py").read_text() for name in ("values", side)}
    return box.python(
        f"from apart.{side} import main\nmain()",
        [*map(str, passed), *words],
        files={**ours, **files},
        passed=passed,
        limits=limits,
    )


class Ends(NamedTuple):
    """Both ends of both pipes."""

    read_questions: int
    write_questions: int
    read_answers: int
    write_answers: int


def close(numbers: tuple[int, ...]) -> None:
    """Close files by number."""
    for number in numbers:
        os.close(number)


def verdict(asked: Outcome, answered: Outcome, seal: str) -> CheckedCode:
    """Read how the tests and the code ended; only tests that ran to their end know the seal."""
    sealed = re.search(rf"^{seal} (\d+)\n\Z", asked.stdout, re.MULTILINE)
    calls = int(sealed[1]) if sealed else 0
    broken = [side for side in (answered, asked) if side.status not in ("ok", "failed")]
    if sealed and asked.status == "ok":
        status = "passed" if calls else "no_call"
        message = "" if calls else "the tests never called the code"
    elif broken:
        status, message = broken[0].status, broken[0].message
    else:
        status, message = "wrong", asked.message or "the tests stopped before their end"
    return CheckedCode(
        status == "passed", status, message, calls, max(asked.seconds, answered.seconds)
    )


def stub(context: str) -> str:
    """A question's code as far as it can run by itself: an unfinished last function is left out."""
    with contextlib.suppress(SyntaxError, ValueError):
        compile(context, "context.py", "exec")
        return context
    with contextlib.suppress(SyntaxError, ValueError):
        compile(f"{context.rstrip()}\n    pass\n", "context.py", "exec")
        return f"{context.rstrip()}\n    pass\n"
    return ""


def whole_program(context: str, text: str, entry_point: str = "") -> str:
    r"""An answer as a whole program: the question's code, then the answer's.

    Of an answer with a fenced block, the first block counts. If it defines the function itself,
    that definition comes after the question's unfinished one and replaces it.

    >>> whole_program("def f(x):\n", "    return x\n", "f")
    'def f(x):\n    return x\n'
    """
    fenced = re.search(r"^```[\w+-]*[ \t]*\n(.*?)(?:^```|\Z)", text, re.MULTILINE | re.DOTALL)
    code = fenced[1] if fenced else text
    if entry_point and re.search(rf"^(async )?def {re.escape(entry_point)}\b", code, re.MULTILINE):
        return f"{stub(context)}\n{code}"
    return context + code


@dataclass(frozen=True)
class Passes:
    """Scores an answer by running it: 1 if it passes its tests, else 0."""

    box: Sandbox
    tests: str = ""
    limits: Limits | None = None
    signature: str = SIGNATURE

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """Score one answer; Reason `no_tests`, or `no_call` if the tests never call it."""
        given = {key: str(sample.metadata.get(key, "")) for key in ("entry_point", "context")}
        tests = str(sample.metadata.get("tests", self.tests))
        if not tests.strip():
            return Reason("no_tests", f"Sample {sample.id} has no tests in its metadata.")
        code = whole_program(given["context"], answer.text, given["entry_point"])
        found = check_code(self.box, code, tests, **given, limits=self.limits)
        if found.status == "no_call":
            return Reason("no_call", f"Sample {sample.id}: {found.message}.")
        return Score(float(found.passed), self.signature)


def passes(tests: str = "", *, limits: Limits | None = None, box: Sandbox | None = None) -> Passes:
    """Scorer: 1 if code passes its tests, else 0.

    tests   for every sample; or each has its own in `metadata["tests"]`, with `entry_point` and
            `context` where its tests need them
    box     a sandbox that is open already

    Raises ConfigError where the machine cannot contain foreign code.
    """
    return Passes(box or Sandbox.open(), tests, limits)
