"""word2vec beside gensim: words a second at equal settings, and agreement with people.

    groundup run examples/vectors/vectors.py:vectors --folder DIR    # runs/vectors/prose.txt
    python -m benchmarks.embeddings.word2vec --text runs/vectors/prose.txt --tests DIR

Both read the same file of sentences, cut and thinned out by our vocabulary, and learn one epoch of
its first words; gensim by its fastest way, `corpus_file`, in the virtual environment of `make
oracles`. Each side lives in a process of its own, which waits while the other computes. Then both
learn five epochs of all words with three seeds and one thread (with two, gensim's `corpus_file`
does not learn the same: on 0.9M words SimLex-999 went from 0.155 to 0.172), and one code holds
either's vectors against WordSim-353, SimLex-999 and Google's analogies, where `--tests` names a
folder that has them. With `--rounds 0`, or without `--tests`, what an earlier run kept of that half
stays.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "word2vec.json"
WAYS = {
    "skip-gram, negatives": ("skip_gram", "negatives"),
    "CBOW, negatives": ("cbow", "negatives"),
    "skip-gram, hierarchical": ("skip_gram", "hierarchical"),
}
TESTS = ("wordsim353.tsv", "simlex999.txt", "questions-words.txt")

# Runs in the peer's environment, which has no groundup.
PEER = """
import json, sys, time
from gensim.models import Word2Vec
for line in sys.stdin:
    work = json.loads(line)
    hierarchical = work["output"] == "hierarchical"
    model = Word2Vec(
        vector_size=100, window=5, sample=1e-3, min_count=1, seed=work["seed"],
        sg=int(work["model"] == "skip_gram"), hs=int(hierarchical),
        negative=0 if hierarchical else 5, workers=work["threads"], epochs=work["epochs"],
    )
    model.build_vocab(corpus_file=work["lines"])
    started = time.perf_counter()
    model.train(
        corpus_file=work["lines"], total_examples=model.corpus_count,
        total_words=model.corpus_total_words, epochs=work["epochs"],
    )
    seconds = time.perf_counter() - started
    if work["out"]:
        model.wv.save_word2vec_format(work["out"], binary=True)
    print(json.dumps(model.corpus_total_words * work["epochs"] / seconds), flush=True)
"""


def ours() -> None:
    """The worker of our side: learn what each line asks and tell the words a second."""
    from groundup.embeddings import (
        TextConfig,
        Vectors,
        Word2VecConfig,
        assign_ids,
        renumber_by_frequency,
        tokenized_sentences,
        word2vec,
        write_word2vec,
    )

    known = {}
    for line in sys.stdin:
        work = json.loads(line)
        if work["lines"] not in known:
            folder = Path(tempfile.mkdtemp(dir=Path(work["lines"]).parent))
            (folder / "kept").mkdir()
            with open(work["lines"], encoding="utf-8") as file:
                cut = TextConfig(words="spaces", lower=False)
                text, vocabulary = assign_ids(tokenized_sentences(file, cut), folder)
            known[work["lines"]] = renumber_by_frequency(text, vocabulary, 1, folder / "kept")
        text, vocabulary = known[work["lines"]]
        config = Word2VecConfig(
            model=work["model"], output=work["output"], epochs=work["epochs"]
        )  # fmt: skip
        started = time.perf_counter()
        found = word2vec(
            text, vocabulary.counts, config, seed=work["seed"], threads=work["threads"]
        )
        seconds = time.perf_counter() - started
        if work["out"]:
            write_word2vec(Vectors(vocabulary.words, found), Path(work["out"]))
        print(json.dumps(len(text.ids) * work["epochs"] / seconds), flush=True)


class Side:
    """A process that learns when it is asked to."""

    def __init__(self, command: list[str]) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def __call__(self, **work: str | int) -> float:
        """Words a second."""
        self.process.stdin.write(json.dumps({"seed": 1, "out": "", "epochs": 1} | work) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"A side ended with code {self.process.wait()}.")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def write_lines(text: Path, out: Path, most: int | None, min_count: int = 5) -> int:
    """Write a text's words as lines, rare ones left out; return their number."""
    from groundup.embeddings import (
        TextConfig,
        assign_ids,
        renumber_by_frequency,
        tokenized_sentences,
    )

    folder = out.parent / f"{out.stem}-ids"
    (folder / "kept").mkdir(parents=True, exist_ok=True)
    with open(text, encoding="utf-8") as file:
        pieces = iter(lambda: file.read(1 << 20), "")
        found, vocabulary = assign_ids(tokenized_sentences(pieces, TextConfig()), folder)
    found, vocabulary = renumber_by_frequency(found, vocabulary, min_count, folder / "kept")
    start = 0
    with open(out, "w", encoding="utf-8") as file:
        for end in found.ends.tolist():
            if most and end > most:
                break
            file.write(" ".join(vocabulary.words[id] for id in found.ids[start:end]) + "\n")
            start = end
    return start


def speeds(sides: dict[str, Side], arguments: argparse.Namespace, folder: Path) -> list:
    """Rows of words a second for each way and number of threads."""
    from benchmarks.table import Peer, alternate, compare

    words = write_lines(arguments.text, folder / "part.txt", arguments.words)
    rows = []
    for threads in arguments.threads:
        for name, (model, output) in WAYS.items():
            work = {"lines": str(folder / "part.txt"), "model": model, "output": output}
            calls = {
                side: lambda side=side, work=work, threads=threads: sides[side](
                    threads=threads, **work
                )
                for side in sides
            }
            found = alternate(calls, arguments.rounds)
            threads_word = "thread" if threads == 1 else "threads"
            work_name = f"word2vec, {name}, {threads} {threads_word}, {words / 1e6:.1f}M words"
            peer = Peer("gensim", peer_version(arguments.peer))
            rows.append(compare(work_name, "words/s", found["ours"], found["peer"], peer))
    return rows


def agreement(sides: dict[str, Side], arguments: argparse.Namespace, folder: Path) -> dict:
    """Mean and spread over seeds of each test's score, by side."""
    from groundup.embeddings import (
        answer_analogies,
        load_vectors,
        rating_correlation,
        read_analogies,
        read_ratings,
    )

    write_lines(arguments.text, folder / "all.txt", None)
    paths = {p.name: p for p in arguments.tests.rglob("*") if p.name in TESTS}
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in sorted(paths)}
    for seed in range(1, arguments.seeds + 1):
        work = {"lines": str(folder / "all.txt"), "model": "skip_gram", "output": "negatives",
                "seed": seed, "threads": 1, "epochs": 5}  # fmt: skip
        with ThreadPoolExecutor() as pool:  # each side has a process and a core
            waits = [pool.submit(side, out=str(folder / f"{name}.bin"), **work)
                     for name, side in sides.items()]  # fmt: skip
            for wait in waits:
                wait.result()
        for name in sides:
            vectors = load_vectors(folder / f"{name}.bin")
            for test in scores:
                if test == "questions-words.txt":
                    score = answer_analogies(vectors, read_analogies(paths[test])).accuracy
                else:
                    score = rating_correlation(vectors, read_ratings(paths[test])).spearman.estimate
                scores[test].setdefault(name, []).append(score)
                print(f"seed {seed}, {test}, {name}: {score:.4f}", flush=True)
    return {
        f"{test}, {name}": f"{mean(values):.4f} ± {stdev(values) if len(values) > 1 else 0:.4f}"
        f" over {len(values)} seeds"
        for test, found in scores.items()
        for name, values in found.items()
    }


def kept(part: str) -> Any:
    """What an earlier run kept: rows of speeds, or notes of agreement."""
    if not RESULTS.is_file():
        return [] if part == "rows" else {}
    from benchmarks.table import Row

    found = json.loads(RESULTS.read_text("utf-8"))[part]
    return [Row(**row) for row in found] if part == "rows" else found


def peer_version(python: Path) -> str:
    """The peer's version."""
    code = "import gensim; print(gensim.__version__)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Measure, print and keep."""
    from benchmarks.table import report

    arguments = parse()
    if not arguments.peer.is_file():
        raise SystemExit(f"There is no {arguments.peer}; run `make oracles` or give --peer.")
    sides = {
        "ours": Side([sys.executable, "-m", "benchmarks.embeddings.word2vec", "--worker"]),
        "peer": Side([str(arguments.peer), "-c", PEER]),
    }
    with tempfile.TemporaryDirectory() as name:
        rows = speeds(sides, arguments, Path(name)) if arguments.rounds else kept("rows")
        notes = agreement(sides, arguments, Path(name)) if arguments.tests else kept("notes")
        for side in sides.values():
            side.close()
    if arguments.keep:
        report("word2vec", rows, notes)
        return
    for row in rows:
        print(f"{row.work}: {row.ours:,.0f} against {row.peer:,.0f}, {row.ratio:.2f}x "
              f"({row.low:.2f} to {row.high:.2f})")  # fmt: skip
    for key, value in notes.items():
        print(f"{key}: {value}")


def parse() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="prose to learn from")
    parser.add_argument("--tests", type=Path, help="folder with gensim's test data")
    default = Path(os.environ.get("ORACLES", ROOT / ".oracles")) / "gensim" / "bin" / "python"
    parser.add_argument("--peer", type=Path, default=default, help="python that has gensim")
    parser.add_argument("--words", type=int, default=4_000_000, help="words of a round")
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often the sides alternate; 0: no speeds"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs for agreement")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--keep", action="store_true", help="write results/word2vec.json")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        ours()
    else:
        main()
