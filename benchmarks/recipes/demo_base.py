"""The demo's base by an earlier version and by this one, in the same time.

    git worktree add --detach /tmp/before COMMIT
    python -m benchmarks.recipes.demo_base /tmp/before [--rounds 2]

Both trees run under this interpreter, in turns, each with its own corpus, tokenizer, tokens, its
own settings of `groundup run tiny`, and a compile cache that is warm. The earlier one trains what
it trains in its demo. This one trains what the demo trains now, which may be more; held-out loss
is told against the seconds that steps took, and, where both end, at the shorter of the two times.
Results: benchmarks/results/demo_base.json; the curve: runs/demo-base/curve.html.
"""

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.table import machine_class
from groundup.core import record, write_json, write_text
from groundup.core.page import HtmlPage, Series, line_chart

ROOT = Path(__file__).resolve().parents[2]
RESULTS, FOLDER = ROOT / "benchmarks" / "results" / "demo_base.json", ROOT / "runs" / "demo-base"
PREPARE = """
import sys
from functools import partial
from pathlib import Path
from groundup.recipes.library import library_corpus
from groundup.recipes.tiny import CORPUS
from groundup.tokenizer import TokenizerConfig, TokensConfig, tokens, train_tokenizer
out = Path(sys.argv[1])
corpus = library_corpus(CORPUS, out / "corpus")
tokenizer = train_tokenizer(TokenizerConfig(), corpus, out / "tokenizer")
tokens(TokensConfig(), corpus, tokenizer, out / "tokens")
recipe = vars(sys.modules["groundup.recipes.tiny"])
steps = recipe["STEPS"][0]._asdict() if "STEPS" in recipe else {}
known = {"tokens": recipe.get("TOKENS"), "depth": recipe.get("DEPTH")} | steps
print(*(f"{name}={known[name]}" for name in ("tokens", "depth") if known[name] is not None))
"""
"""What `groundup run tiny` does before its base, in the words that both versions have; the base is
made by the command line, which sets up threads and allocator. Held-out text is scored more often,
outside the steps' time."""
WARM = 8 * 2048
"""Tokens of a run that fills the compile cache."""


class Curve(NamedTuple):
    """A run's held-out loss along its time."""

    seconds: list[float]
    bits_per_byte: list[float]
    tokens: int
    tokens_per_second: float

    def at(self, second: float) -> float:
        """Loss at a time, on the line between the scores around it."""
        for i in range(1, len(self.seconds)):
            if self.seconds[i] >= second:
                share = (second - self.seconds[i - 1]) / (self.seconds[i] - self.seconds[i - 1])
                before, after = self.bits_per_byte[i - 1 : i + 1]
                return before + share * (after - before)
        return self.bits_per_byte[-1]


def trained(tree: Path, out: Path, name: str, amount: int = 0) -> Curve:
    """Train with a tree's code; what is there already is not trained again."""
    run = partial(subprocess.run, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, check=True)
    made = run([sys.executable, "-c", PREPARE, out], stdout=subprocess.PIPE, text=True)
    settings = [*made.stdout.splitlines()[-1].split(), "validations=16"]
    if amount:
        settings.append(f"tokens={amount}")
    command = [sys.executable, "-m", "groundup", "pretrain", "--tokens", out / "tokens",
               "--tokenizer", out / "tokenizer", "--out", out / name]  # fmt: skip
    run([*command, *(word for setting in settings for word in ("--set", setting))])
    rows = record.read_metrics(out / name / "log" / "metrics.jsonl")
    seconds, spent, tokens = [], 0.0, 0
    losses, speeds = [], []
    for row in rows:
        if "tokens_per_second" in row:
            speeds.append(row["tokens_per_second"])
            spent, tokens = spent + row["tokens"] / speeds[-1], tokens + row["tokens"]
        elif "validation bits per byte" in row:
            seconds.append(round(spent, 2))
            losses.append(row["validation bits per byte"])
    return Curve(seconds, losses, tokens, median(speeds))


def compared(before: list[Curve], now: list[Curve]) -> dict[str, Any]:
    """Both versions at the time at which the shorter one is done, round by round."""
    rounds = []
    for old, new in zip(before, now, strict=True):
        time = min(old.seconds[-1], new.seconds[-1])
        losses = {"before": round(old.at(time), 4), "now": round(new.at(time), 4)}
        speed = new.tokens_per_second / old.tokens_per_second
        rounds.append({"seconds": time, **losses, "speed": round(speed, 3)})
    return {
        "machine": machine_class(), "rounds": rounds,
        "before": [each._asdict() for each in before], "now": [each._asdict() for each in now],
    }  # fmt: skip


def picture(before: Curve, now: Curve) -> HtmlPage:
    """The curves of the last round as a page."""
    lines = [Series(name, each.seconds, each.bits_per_byte)
             for name, each in (("before", before), ("now", now))]  # fmt: skip
    page = HtmlPage("The demo's base", "Held-out bits a byte against the time that training took.")
    page.add(line_chart("Loss", lines, x_label="seconds of steps", y_label="bits a byte"))
    return page


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", type=Path, help="a checkout of the earlier version")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    asked = parser.parse_args()
    sides = {"before": asked.before.resolve(), "now": ROOT}
    curves: dict[str, list[Curve]] = {"before": [], "now": []}
    for side, tree in sides.items():
        trained(tree, asked.folder.resolve() / side, "warm", WARM)
    for number in range(asked.rounds):
        for side, tree in sides.items():
            curves[side].append(trained(tree, asked.folder.resolve() / side, f"base-{number}"))
    found = compared(curves["before"], curves["now"])
    write_json(RESULTS, found)
    write_text(
        asked.folder / "curve.html", picture(curves["before"][-1], curves["now"][-1]).render()
    )
    print(json.dumps(found["rounds"], indent=1))


if __name__ == "__main__":
    main()
