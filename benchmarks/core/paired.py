"""Headline ratios of two commits, in turns: this tree beside an older one on the same machine.

    python -m benchmarks.core.paired OLD_COMMIT [--only NAME...] [--rounds 15] [--model FOLDER]
                                [--lines FILE]

Each tree's own workers run in turns on the same inputs, with one interpreter and one new cache, so
that both go by what either tried out. A ratio is new/old within a round, above 1 is faster; its
median has a 95 % bootstrap interval. Texts are the old commit's sources and pages, or FILE; FOLDER
is a base model that both trees can read, its corpus beside it, as `make demo` leaves them. The
dtype is what the package chooses here. Results: results/paired.json, by headline and machine.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks import table
from benchmarks.embeddings.word2vec import write_lines
from benchmarks.evaluate.lm_eval import write_tasks
from benchmarks.measure.measures_speed import FIXTURE
from benchmarks.train.train import LENGTH, SIZES
from groundup.core import device

ROOT = Path(__file__).resolve().parents[2]
WORDS, SAMPLES, STEPS, THREADS = 500_000, 200, 4, len(os.sched_getaffinity(0))
SECONDS = 1.5  # for which a round asks a worker at least; its answers' median counts
DRAWS, SEED = 10_000, 0
ROUGE = ["measure.measures_speed", "--role", "ours"]

# Workers of what has none in the trees. They know the names on both sides of a renaming.
ATTENTION = """
import json, sys, time, torch
from groundup import kernels
from groundup.core import device
batch, length, window, dtype = json.loads(sys.argv[1])
(getattr(device, "set_num_threads", None) or device.use_cores)()
shape = (3, batch, 8, length, 64)
q, k, v = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(getattr(torch, dtype))
Pattern = getattr(kernels, "AttentionPattern", None) or kernels.Pattern
mask = {"mask": kernels.Mask(pattern=Pattern("window", window=window))} if window else {}
with torch.inference_mode():
    for line in sys.stdin:
        start = time.perf_counter()
        kernels.attention(q, k, v, **mask)
        print(batch * length / (time.perf_counter() - start), flush=True)
"""
TOKENIZER = """
import os, sys, time
from groundup.tokenizer import FastTokenizer, compiled
text = open(sys.argv[1], encoding="utf-8").read(25_000_000)
texts = [text[at : at + 20_000] for at in range(0, len(text), 20_000)]
size = len(text.encode()) / 1e6
def train():
    return compiled.learn_merges(texts, 16_384, "qwen2", os.cpu_count() or 1)
Encoder = getattr(compiled, "CompiledEncoder", None) or compiled.Encoder
encoder = Encoder(FastTokenizer(train(), specials=()).reference, "qwen2")
for line in sys.stdin:
    start = time.perf_counter()
    train() if line == "training\\n" else encoder.encode(texts, 1)
    print(size / (time.perf_counter() - start), flush=True)
"""


class Headline(NamedTuple):
    """One work, done by a worker of either tree."""

    work: str
    unit: str
    worker: list[str]  # module of a benchmark below the package, or `-c` and code; arguments
    line: str  # what it is asked
    speed: Callable[[Any], float] = float  # units a second, of what it answers
    environment: Mapping[str, str] = {}


class Side:
    """The worker of one tree."""

    def __init__(self, tree: Path, cache: Path, headline: Headline) -> None:
        self.headline, self.log = headline, tempfile.TemporaryFile("w+")
        first, *rest = headline.worker
        flat = tree / "benchmarks" / f"{first.rpartition('.')[2]}.py"  # before there were rooms
        start = [first] if first == "-c" else ["-m", f"benchmarks.{first}"]
        self.process = subprocess.Popen(
            [sys.executable, *([str(flat)] if flat.is_file() else start), *rest], cwd=tree,
            env={**os.environ, **headline.environment, "PYTHONPATH": str(tree),
                 "XDG_CACHE_HOME": str(cache)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip

    def __call__(self) -> float:
        """Units a second of one round."""
        started, speeds = time.perf_counter(), []
        while not speeds or time.perf_counter() - started < SECONDS:
            speeds.append(self.headline.speed(self.ask()))
        return median(speeds)

    def ask(self) -> Any:
        """The worker's answer to its line."""
        assert self.process.stdin and self.process.stdout
        print(self.headline.line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if answer == "ready\n":  # before any answer
            answer = self.process.stdout.readline()
        if not answer:
            self.log.seek(0)
            raise SystemExit(f"paired.py: a worker ended early.\n{self.log.read()[-4000:]}")
        return json.loads(answer)


def attention(batch: int, length: int, window: int, dtype: str) -> Headline:
    """Attention of 8 heads of 64; without a window, to all tokens before."""
    size = f"window {window} of {length:,} tokens" if window else f"{batch} x {length} tokens"
    worker = ["-c", ATTENTION, json.dumps([batch, length, window, dtype])]
    return Headline(f"attention, {size}, {dtype}", "tokens/s", worker, "")


def tokenizer(folder: Path, kind: str) -> Headline:
    """A vocabulary of 16,384 on 25 MB of text, or what there is."""
    text = folder / "text.txt"
    work = f"vocabulary of 16,384, {min(25, text.stat().st_size / 1e6):.0f} MB of text: {kind}"
    return Headline(work, "MB/s", ["-c", TOKENIZER, str(text)], kind)


def word2vec(folder: Path) -> Headline:
    """Skip-gram with negatives on one thread."""
    words = write_lines(folder / "text.txt", folder / "part.txt", WORDS)
    work = {"lines": str(folder / "part.txt"), "model": "skip_gram", "output": "negatives",
            "seed": 1, "out": "", "epochs": 1, "threads": 1}  # fmt: skip
    return Headline(
        f"word2vec, skip-gram, negatives, 1 thread, {words / 1e6:.1f}M words", "words/s",
        ["embeddings.word2vec", "--worker"], json.dumps(work), float,
        {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip


def train(dtype: str) -> Headline:
    """Steps of the 13.8 M model, compiled and with the allocator tuned."""
    rows, work = SIZES["14M"]["rows"], json.dumps({**SIZES["14M"], "dtype": dtype})
    return Headline(
        f"training 13.8 M, {rows} x {LENGTH}, {dtype}", "tokens/s",
        ["train.train", "--worker", "ours", "1", work], str(STEPS),
        lambda answer: rows * LENGTH * STEPS / answer[0], {"GLIBC_TUNABLES": device.ALLOCATOR},
    )  # fmt: skip


def lm_eval(folder: Path, model: Path) -> Headline:
    """lm_eval's multiple choice, from prompts to the durable log."""
    write_tasks(model.parent / "corpus", folder, SAMPLES)
    work = {"model": str(model), "folder": str(folder), "dtype": "float32", "threads": THREADS}
    return Headline(
        "evaluation: choice, float32", "samples/s",
        ["evaluate.lm_eval", "--worker", "ours", json.dumps(work)], json.dumps(["choice", 8, None]),
        lambda answer: answer[1] / answer[0], {"OMP_NUM_THREADS": str(THREADS)},
    )  # fmt: skip


HEADLINES: dict[str, Callable[[Path, Path, str], Headline]] = {
    "attention_window": lambda folder, model, dtype: attention(1, 8192, 256, "float32"),
    "attention_batch": lambda folder, model, dtype: attention(8, 512, 0, dtype),
    "tokenizer_training": lambda folder, model, dtype: tokenizer(folder, "training"),
    "tokenizer_encoding": lambda folder, model, dtype: tokenizer(folder, "encoding, one core"),
    "word2vec": lambda folder, model, dtype: word2vec(folder),
    "train": lambda folder, model, dtype: train(dtype),
    "rouge": lambda folder, model, dtype: Headline("ROUGE-L", "pairs/s", ROUGE, "ROUGE-L"),
    "lm_eval": lambda folder, model, dtype: lm_eval(folder, model.resolve()),
}


def race(headline: Headline, old: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Speeds of both trees in turns; the first round, in which they compile, does not count."""
    sides: dict[str, Side] = {}
    try:
        for name, tree in {"old": old, "new": ROOT}.items():
            sides[name] = Side(tree, folder / "cache", headline)
        speeds = table.alternate(sides, rounds)
    finally:
        for side in sides.values():
            side.process.communicate()  # ends as its input does
    ratios = np.divide(speeds["new"], speeds["old"])
    draws = np.median(np.random.default_rng(SEED).choice(ratios, (DRAWS, rounds)), axis=1)
    return {
        "unit": headline.unit, "old": median(speeds["old"]), "new": median(speeds["new"]),
        "ratio": round(float(np.median(ratios)), 3),
        "interval": np.quantile(draws, (0.025, 0.975)).round(3).tolist(), "rounds": rounds,
    }  # fmt: skip


def git(*words: str) -> str:
    """What git says in this repository."""
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@contextmanager
def worktree(commit: str) -> Iterator[tuple[Path, Path]]:
    """A temporary folder and a commit's tree in it; both end with the context."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tree = Path(folder) / "tree"
        try:
            git("worktree", "add", "--quiet", "--detach", str(tree), commit)
            yield Path(folder), tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def main() -> None:
    """Run the headlines one after the other; print and keep each at its end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("commit", metavar="OLD_COMMIT")
    parser.add_argument("--only", nargs="+", choices=HEADLINES, default=list(HEADLINES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model", type=Path, help="a base model, its corpus beside it")
    parser.add_argument("--lines", type=Path, help="text for the tokenizer and word2vec")
    given = parser.parse_args()
    commits = {"old_commit": git("rev-parse", "--short", given.commit),
               "new_commit": git("describe", "--always", "--dirty", "--exclude=*")}  # fmt: skip
    with worktree(commits["old_commit"]) as (folder, tree):
        shutil.copy(FIXTURE, tree / FIXTURE.relative_to(ROOT))  # ROUGE's pairs, for both the same
        tracked = git("-C", str(tree), "ls-files", "-z", "*.md", "*.py", "*.txt").split("\0")
        texts = [given.lines] if given.lines else [tree / path for path in tracked if path]
        (folder / "text.txt").write_text("\n".join(each.read_text("utf-8") for each in texts))
        dtype = str(device.compute_dtype()).removeprefix("torch.")
        for key in given.only:
            if key == "lm_eval" and not given.model:
                print("lm_eval: skipped; give --model FOLDER")
                continue
            headline = HEADLINES[key](folder, given.model, dtype)
            row = race(headline, tree, folder, given.rounds)
            old, new = table.figure(row["old"]), table.figure(row["new"])
            print(f"{headline.work}: old {old}, new {new} {row['unit']}, new/old {row['ratio']} "
                  f"{row['interval']}, {given.rounds} rounds", flush=True)  # fmt: skip
            dated = {"date": datetime.date.today().isoformat(), **commits, **row}
            table.keep_part("paired", f"{headline.work}; {table.machine_class()}", dated)


if __name__ == "__main__":
    main()
