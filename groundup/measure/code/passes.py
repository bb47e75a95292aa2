"""Whether code passes its tests, robust against code that cheats; and pass@k of many answers.

The code under test and the tests run in two sandboxes. The tests call functions in the other one;
only plain values cross (apart.py). So the code reaches neither the tests nor the checker: exiting
early, patching `assert`, printing a verdict or returning an object that equals everything fails.
The tests cannot inspect the code's classes.

    run_code_tests(box, "def add(a, b): return a + b", "assert add(1, 2) == 3").passed      True

A problem with c right answers of n has pass@k = 1 - C(n - c, k) / C(n, k), the share of sets of k
answers that contain a right one. 1 - (1 - c / n)^k would be biased downwards.
Source: Chen et al. 2021, arXiv:2107.03374, §2.1 (pass@k).
"""

import contextlib
import os
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from groundup.core import (
    Answer,
    ConfigError,
    DataError,
    Reason,
    Sample,
    Sandbox,
    SandboxLimits,
    SandboxResult,
    Score,
)

from ..stats.grouping import Groups
from ..stats.interval import Interval, bootstrap

APART = Path(__file__).with_name("apart.py")
SIGNATURE = "passes|tests:apart|values:plain|code:fenced_or_raw"


class CodeTestResult(NamedTuple):
    """Result of running tests against code."""

    passed: bool
    status: str
    """`passed`, `wrong` (a test failed), `no_call`, or what ended it as in SandboxResult."""
    message: str
    """Why it did not pass, in one line."""
    calls: int
    """Number of calls from the tests to the code."""
    seconds: float


def run_code_tests(
    box: Sandbox, code: str, tests: str, entry_point: str = "", context: str = "",
    limits: SandboxLimits | None = None,
) -> CodeTestResult:  # fmt: skip
    """Run tests against code.

    tests         statements that raise if the code is wrong; with `entry_point` they may define
                  `check(candidate)`, as HumanEval's do, which is then called
    entry_point   the function under test; "" gives the tests every function of the code
    context       code of the question, for functions that the tests use
    """
    seal = secrets.token_hex(16)
    (read_questions, write_questions), (read_answers, write_answers) = os.pipe(), os.pipe()
    results: list[SandboxResult] = []

    def answer() -> None:
        ends, files = (read_questions, write_answers), {"answer.py": code}
        results.append(_run_side(box, "import serve_code", ends, (), files, limits))

    answering = threading.Thread(target=answer)
    answering.start()
    ends, files = (write_questions, read_answers), {"context.py": _make_runnable(context)}
    files["tests.py"] = tests
    try:
        asked = _run_side(box, "import run_tests", ends, (entry_point, seal), files, limits)
    finally:
        answering.join()
    if not results:
        raise ConfigError("The sandbox of the tests could be set up, but not that of the code.")
    return _combine_outcomes(asked, results[0], seal)


def _run_side(
    box: Sandbox, side: str, pass_fds: tuple[int, int], words: tuple[str, ...],
    files: dict[str, str], limits: SandboxLimits | None,
) -> SandboxResult:  # fmt: skip
    """Run the function that apart.py has for this side, and close its ends of the pipes."""
    try:
        return box.run_python(
            f"from apart {side} as run\nrun()", [*map(str, pass_fds), *words], pass_fds=pass_fds,
            files={"apart.py": APART.read_text(), **files}, limits=limits,
        )  # fmt: skip
    finally:
        for end in pass_fds:
            os.close(end)  # so that the other side sees end of file


def _combine_outcomes(asked: SandboxResult, answered: SandboxResult, seal: str) -> CodeTestResult:
    """Combine both outcomes; only tests that ran to completion print the seal."""
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
    return CodeTestResult(
        status == "passed", status, message, calls, max(asked.seconds, answered.seconds)
    )


def _make_runnable(context: str) -> str:
    """A question's code made runnable: an unfinished last function gets `pass`, else empty."""
    with contextlib.suppress(SyntaxError, ValueError):
        compile(context, "context.py", "exec")
        return context
    with contextlib.suppress(SyntaxError, ValueError):
        compile(f"{context.rstrip()}\n    pass\n", "context.py", "exec")
        return f"{context.rstrip()}\n    pass\n"
    return ""


def assemble_program(context: str, text: str, entry_point: str = "") -> str:
    r"""Assemble a program from the question's code and the answer's.

    Of an answer with fenced blocks, the first block is used. If it defines the function itself,
    that definition replaces the question's unfinished one.

    >>> assemble_program("def f(x):\n", "    return x\n", "f")
    'def f(x):\n    return x\n'
    """
    fenced = re.search(r"^```[\w+-]*[ \t]*\n(.*?)(?:^```|\Z)", text, re.MULTILINE | re.DOTALL)
    code = fenced[1] if fenced else text
    if entry_point and re.search(rf"^(async )?def {re.escape(entry_point)}\b", code, re.MULTILINE):
        return f"{_make_runnable(context)}\n{code}"
    return context + code


@dataclass(frozen=True)
class CodeTestScorer:
    """Scores an answer by running it: 1 if it passes its tests, else 0."""

    box: Sandbox
    tests: str = ""
    limits: SandboxLimits | None = None
    signature: str = SIGNATURE

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """Score one answer; Reason `no_tests`, or `no_call` if the tests never call it."""
        options = {key: str(sample.metadata.get(key, "")) for key in ("entry_point", "context")}
        tests = str(sample.metadata.get("tests", self.tests))
        if not tests.strip():
            return Reason("no_tests", f"Sample {sample.id} has no tests in its metadata.")
        code = assemble_program(options["context"], answer.text, options["entry_point"])
        result = run_code_tests(self.box, code, tests, **options, limits=self.limits)
        if result.status == "no_call":
            return Reason("no_call", f"Sample {sample.id}: {result.message}.")
        return Score(float(result.passed), self.signature)


def passes_tests(
    tests: str = "", *, limits: SandboxLimits | None = None, box: Sandbox | None = None
) -> CodeTestScorer:
    """Scorer: 1 if code passes its tests, else 0.

    tests   for every sample; or each has its own in `metadata["tests"]`, with `entry_point` and
            `context` where its tests need them
    box     an open sandbox

    Raises ConfigError if the machine cannot isolate untrusted code.
    """
    return CodeTestScorer(box or Sandbox.open(), tests, limits)


def pass_at_k(answers: int, right: int, k: int) -> float | Reason:
    """One problem's pass@k; Reason `too_few_answers` if there are fewer than k.

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 4)
    (0.25, 1.0)
    """
    if k < 1 or not 0 <= right <= answers:
        raise DataError(f"pass@{k} needs k >= 1 and 0 to {answers} right answers; got {right}.")
    if answers < k:
        return Reason("too_few_answers", f"pass@{k} needs {k} answers or more; got {answers}.")
    missed = 1.0
    for number in range(answers - right + 1, answers + 1):
        missed *= max(0.0, 1 - k / number)
    return 1 - missed


def pass_rate(
    answers: Sequence[int], right: Sequence[int], k: int, groups: Groups = None, *,
    confidence: float = 0.95,
) -> Interval | Reason:  # fmt: skip
    """Mean pass@k over problems, resampled by problem or by groups of problems.

    The sampling noise of the answers is included, as it varies between problems. Reason
    `too_few_answers` names the first problem with fewer than k, `too_few_groups` if there is only
    one; skipping such problems would change what the mean is about.

    >>> print(pass_rate([10] * 6, [0, 1, 2, 5, 9, 10], 1))
    0.45 [0.07457, 1]
    """
    if len(answers) != len(right):
        raise DataError(f"{len(answers)} problems need as many counts; got {len(right)}.")
    results = [pass_at_k(n, c, k) for n, c in zip(answers, right, strict=True)]
    for index, value in enumerate(results):
        if isinstance(value, Reason):
            return value._replace(message=f"Problem {index}: {value.message}")
    if len(results if groups is None else set(groups)) < 2:
        return Reason("too_few_groups", f"An interval needs 2 problems; got {len(results)}.")
    values = [value for value in results if isinstance(value, float)]
    return bootstrap(values, groups, confidence=confidence, limits=(0, 1))
