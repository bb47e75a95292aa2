"""Right code passes, no trick makes wrong code pass; pass@k is the share of sets of k."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import (
    Answer,
    ConfigError,
    DataError,
    Reason,
    Sample,
    Sandbox,
    SandboxLimits,
    Score,
)
from groundup.measure.code.passes import (
    _make_runnable,
    assemble_program,
    pass_at_k,
    pass_rate,
    passes_tests,
    run_code_tests,
)

LIMITS = SandboxLimits(seconds=30.0, cpu_seconds=2, memory_bytes=2**29, output_bytes=100_000)
PROMPT = 'def add(a, b):\n    """The sum."""\n'
TESTS = """
METADATA = {}
def check(candidate):
    assert candidate(1, 2) == 3
    assert candidate([1], [2]) == [1, 2]
    assert abs(candidate(0.5, 0.25) - 0.75) < 1e-6
"""


@pytest.fixture(scope="module")
def box() -> Sandbox:
    try:
        return Sandbox.open()
    except ConfigError as error:
        pytest.skip(str(error))


RIGHT = {
    "a completion": "    return a + b\n",
    "a block": "Here it is:\n```python\ndef add(a, b):\n    return a + b\n```\nIt adds.",
    "a block that never ends": "```py\ndef add(a, b):\n    return a + b",
    "imports and parts of its own": "    return plus(a, b)\n\ndef plus(a, b):\n    return a + b\n",
    "prints a lot": "    print('x' * 10_000_000)\n    return a + b\n",
    "reads nothing": "    import sys\n    sys.stdin.read()\n    return a + b\n",
    "leaves a thread": (
        "    import threading, time\n    threading.Thread(target=time.sleep, args=[99]).start()\n"
        "    return a + b\n"
    ),
}


@pytest.mark.parametrize("answer", RIGHT.values(), ids=RIGHT)
def test_right_code_passes(box: Sandbox, answer: str):
    found = run_code_tests(
        box, assemble_program(PROMPT, answer, "add"), TESTS, "add", PROMPT, LIMITS
    )
    assert found.passed and found.status == "passed" and found.calls == 3, found


def test_what_wrong_code_writes_reaches_no_terminal(box: Sandbox):
    escape = r"\x1b[2J\x1b]0;owned\x07"
    for code in (
        f"    raise ValueError('{escape}')\n",
        f"    raise type('{escape}', (Exception,), {{}})\n",
    ):
        found = run_code_tests(
            box, assemble_program(PROMPT, code, "add"), TESTS, "add", PROMPT, LIMITS
        )
        assert not found.passed and found.message.isprintable() and "owned" in found.message


LIAR = """    return Liar()
class Liar(int):
    def yes(self, *_): return True
    __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __bool__ = yes
    def same(self, *_): return self
    __sub__ = __rsub__ = __add__ = __abs__ = same
    __hash__ = int.__hash__
"""
FORGED = """    import os, sys, json, glob
    for number in range(3, 64):
        for words in ("passed 3\\\\n", '{"value": true, "arguments": []}\\\\n', "{}\\\\n" * 9):
            try: os.write(number, words.encode())
            except OSError: pass
    os._exit(0)
"""
TRICKS = {
    "is wrong": ("    return a - b\n", "wrong"),
    "is empty": ("", "wrong"),
    "is no code": ("I cannot help with that.", "wrong"),
    "does not exist": ("    pass\ndel add\n", "wrong"),
    "exits with 0": ("    import os; os._exit(0)\n", "wrong"),
    "exits before the tests": ("    pass\nimport sys; sys.exit(0)\n", "wrong"),
    "exits in a call": ("    raise SystemExit(0)\n", "wrong"),
    "exits at the end": ("    pass\nimport atexit, os; atexit.register(os._exit, 0)\n", "wrong"),
    "equals everything": (LIAR, "wrong"),
    "prints a verdict": ("    print('passed 3'); import os; os._exit(0)\n", "wrong"),
    "forges answers": (FORGED, "wrong"),
    "replaces the checker": (
        "    pass\ndef check(candidate): pass\nabs = len = isinstance = check\n"
        "import builtins; builtins.AssertionError = KeyError\n", "wrong"),
    "patches the other side's modules": (
        "    pass\nimport sys, json\njson.loads = lambda *a: {'value': 3}\n"
        "open('tests.py', 'w').write('def check_code(c): pass')\n"
        "sys.modules['apart.values'].to_json = lambda v: 3\n", "wrong"),
    "looks for the tests": (
        "    import glob, gc\n    text = ' '.join(glob.glob('/*/tests.py'))\n"
        "    return 3 if 'tests' in text or [o for o in gc.get_objects() if 'METADATA' in str(o)]"
        " else None\n", "wrong"),
    "ends the tests by an exception": (
        "    class SystemExit2(SystemExit): pass\n    raise GeneratorExit\n", "wrong"),
    "loops": ("    while True: pass\n", "timeout"),
    "eats memory": ("    return [0] * 10**9\n", "wrong"),
    "eats memory and dies": ("    import os; os.kill(os.getpid(), 9)\n", "killed"),
    "answers without end": ("    import itertools\n    return 'x' * (2**28)\n", "wrong or timeout"),
    "nests without end": ("    x = []\n    x.append(x)\n    return x\n", "wrong"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "status"), TRICKS.values(), ids=TRICKS)
def test_wrong_code_does_not_pass_whatever_it_tries(box: Sandbox, answer: str, status: str):
    found = run_code_tests(
        box, assemble_program(PROMPT, answer, "add"), TESTS, "add", PROMPT, LIMITS
    )
    assert not found.passed and found.message, found
    assert found.status in (*status.split(" or "), "memory"), found


def test_tests_that_end_early_prove_nothing(box: Sandbox):
    for tests in ("import sys; sys.exit(0)", "add(1, 2); raise SystemExit(0)"):
        found = run_code_tests(box, PROMPT + "    return 3\n", tests, limits=LIMITS)
        assert not found.passed, tests


def test_tests_without_a_check_name_the_functions_themselves(box: Sandbox):
    code = "def double(x): return 2 * x\ndef fill(x): x.append(1)\ndef len(x): return 7"
    tests = "x = []\nfill(x)\nassert x == [1] and double(2) == 4 and len('ab') == 2"
    assert run_code_tests(box, code, tests, limits=LIMITS).passed
    raises = "try: double(None)\nexcept TypeError: pass\nelse: assert False"
    assert run_code_tests(box, code, raises, limits=LIMITS).passed


def test_functions_of_the_question_can_be_used_by_the_tests(box: Sandbox):
    context = "def poly(x): return x * x - 4\n\ndef root(a):\n"
    tests = "def check(candidate): assert abs(poly(candidate(1))) < 1e-9"
    found = run_code_tests(box, context + "    return 2.0\n", tests, "root", context, LIMITS)
    assert found.passed, found


def test_unfinished_code_is_finished_to_be_run():
    assert _make_runnable("def f():\n    'text'\n") == "def f():\n    'text'\n"
    assert _make_runnable("def f():") == "def f():\n    pass\n"
    assert _make_runnable("a b c") == ""


def test_an_answer_becomes_a_program():
    prompt, fenced = "import math\ndef f(x):\n", "So:\n```python\ndef f(x):\n    return 1\n```"
    assert assemble_program(prompt, "    return x\n", "f") == prompt + "    return x\n"
    block = assemble_program(prompt, fenced, "f")
    scope: dict = {}
    exec(block, scope)
    assert scope["f"](0) == 1 and "math" in scope


def test_the_scorer_gives_one_nought_or_a_reason(box: Sandbox):
    score = passes_tests(limits=LIMITS, box=box)
    metadata = {"tests": TESTS, "entry_point": "add", "context": PROMPT}
    sample = Sample("1", (), metadata=metadata)
    assert score(sample, Answer("    return a + b\n")) == Score(1.0, score.signature)
    assert score(sample, Answer("    return 0\n")) == Score(0.0, score.signature)
    assert score(sample, Answer("")) == Score(0.0, score.signature)
    untested = score(Sample("2", ()), Answer("    return 0\n"))
    assert isinstance(untested, Reason) and untested.code == "no_tests"
    idle = passes_tests("assert True", limits=LIMITS, box=box)(Sample("3", ()), Answer("x = 1"))
    assert isinstance(idle, Reason) and idle.code == "no_call"


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_it_is_the_share_of_sets(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    sets = list(combinations(answers, k))
    expected = sum(any(one) for one in sets) / len(sets)
    assert pass_at_k(len(answers), sum(answers), k) == pytest.approx(expected)


def test_it_stays_exact_for_many_answers():
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)
    assert pass_at_k(10_000, 9_950, 100) == 1.0


def test_more_than_there_are_is_undefined():
    found = pass_at_k(5, 5, 10)
    assert isinstance(found, Reason) and found.code == "too_few_answers"
    found = pass_rate([10, 5], [1, 1], 10)
    assert isinstance(found, Reason) and found.message.startswith("Problem 1: pass@10 needs 10")


def test_the_rate_stays_a_rate_and_needs_two_problems():
    found = pass_rate([10] * 5, [10, 10, 10, 10, 5], 5)
    assert found.estimate == pytest.approx(0.9992063, abs=1e-6) and found.high == 1.0
    assert pass_rate([10], [5], 1).code == "too_few_groups"
    assert pass_rate([10, 10], [5, 6], 1, ["a", "a"]).code == "too_few_groups"
    assert pass_rate([], [], 1).code == "too_few_groups"


@pytest.mark.parametrize(("answers", "right", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 0), (-1, 0, 1)])
def test_impossible_counts_are_refused(answers, right, k):
    with pytest.raises(DataError, match="right answers; got"):
        pass_at_k(answers, right, k)


def test_mismatched_lengths_are_refused():
    with pytest.raises(DataError, match="2 problems need as many counts; got 1"):
        pass_rate([5, 5], [1], 1)
