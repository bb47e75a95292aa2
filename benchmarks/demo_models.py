"""The demo's base and chat model, evaluated alike and compared: the README's second table.

    python benchmarks/demo_models.py [--run runs/tiny] [--out runs/tiny/evaluations]

Runs `groundup evaluate` on held-out text, on the sealed test set and on generated tasks, through
the chat format where there is one, then `groundup compare`; reports that are complete are kept.
Results: benchmarks/results/demo_models.json.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from groundup.core import Artifact, device, write_json
from groundup.evaluate import EvaluateConfig, evaluate
from groundup.evaluate.compare.verb import compare

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "demo_models.json"
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- demo's models -->\n).*?(<!-- end of demo's models -->)", re.DOTALL)
TASKS = "comparison.2,boolean_expressions.2,syllogisms.1"
LIMIT = 400
"""Samples of a generated task, and of the test set: enough to tell 7 points apart."""
MODELS = ("base", "chat")


def main() -> None:
    """Evaluate, compare, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "tiny")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    out = given.out or given.run / "evaluations"
    device.use_cores()
    config = EvaluateConfig(dtype="bfloat16")
    test, tokens = Artifact.open(given.run / "testset"), Artifact.open(given.run / "tokens")
    for name in MODELS:
        evaluate(
            str(given.run / name), config=config, tasks=TASKS, test=test, tokens=tokens,
            limit=LIMIT, chat_template=True, out=out / name,
        )  # fmt: skip
    found = compare([out / name for name in MODELS], out=out / "compared")
    kept = json.loads((out / "compared" / "compare.json").read_text("utf-8"))
    write_json(RESULTS, {"rows": [], "tasks": kept["tasks"]})
    README.write_text(with_models(README.read_text("utf-8"), kept["tasks"]), "utf-8")
    print(found)


def with_models(readme: str, tasks: list[dict[str, Any]]) -> str:
    """The README's text with its table of the demo's models renewed."""
    return BLOCK.sub(lambda old: old[1] + table(tasks) + old[2], readme)


def table(tasks: list[dict[str, Any]]) -> str:
    """Markdown: a line a measure, the two models and their difference in pairs."""
    lines = [
        "| task | measure | n | base | chat | chat - base | verdict |",
        "|---|---|" + "---|" * 5,
    ]
    for task in tasks:
        for measure in task["measures"]:
            versus = measure["versus"][0]
            cells = [shown(cell) for cell in (*measure["cells"], versus)]
            name = f"{measure['key']}, {measure['better']} is better"
            row = (task["name"], name, f"{task['samples']:,}", *cells, versus["verdict"])
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def shown(measured: dict[str, Any]) -> str:
    """An interval, or why there is none."""
    found = (measured.get("difference") or measured).get("interval")
    if not found:
        return f"undefined: {measured['undefined']['code']}"
    return f"{found['estimate']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


if __name__ == "__main__":
    main()
