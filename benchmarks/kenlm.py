"""The n-gram model beside KenLM: every word's probability, perplexity, time.

    git clone https://github.com/kpu/kenlm at 4cb443e; cmake and make lmplz and query into BIN
    python benchmarks/kenlm.py BIN FOLDER              # FOLDER as for quality_models.py
    python benchmarks/kenlm.py BIN --fixture FILE      # what tests/corpus/quality reads

Counted on the Debian reference and GNOME's help, asked about the Debian handbook; words are what is
left of letters a to z, so that both see the same ones, and a passage is a line. The fixture is
counted on the paragraphs of our own documentation.
"""

import argparse
import json
import math
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from groundup.corpus.quality.counting import NgramConfig, train_ngrams
from groundup.corpus.quality.hashing import words
from quality_models import passages

DOCS = Path(__file__).resolve().parents[1] / "docs"
SETTINGS = ((3, (0,)), (5, (0, 0, 1)), (5, (0, 1, 1, 2)))
"""Orders, and runs with at most so many counts that both leave out, by order."""


class Asked(NamedTuple):
    """What KenLM says of lines: log10 of the probability of each word and of the line's end."""

    logs: list[list[float]]
    build_seconds: float
    query_seconds: float


def plain(text: str) -> str:
    """Words of a to z alone, small."""
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def kenlm(binaries: Path, train: list[str], asked: list[str], order: int, prune: tuple) -> Asked:
    """Count with lmplz, ask with query."""
    with tempfile.TemporaryDirectory() as folder:
        arpa = Path(folder) / "model.arpa"
        command = [binaries / "lmplz", "-o", str(order), "-S", "500M", "-T", folder,
                   "--discount_fallback", "--prune", *map(str, prune[:order])]  # fmt: skip
        begun = time.perf_counter()
        done = subprocess.run(command, input="\n".join(train).encode(), capture_output=True)
        if done.returncode:
            raise SystemExit(done.stderr.decode()[-500:])
        arpa.write_bytes(done.stdout)
        built = time.perf_counter() - begun
        begun = time.perf_counter()
        told = subprocess.run([binaries / "query", "-v", "word", arpa],
                              input="\n".join(asked).encode() + b"\n", capture_output=True,
                              check=True).stdout.decode()  # fmt: skip
        spent = time.perf_counter() - begun
    rows = re.findall(r"[^/]*</s>=\d+ \d+ \S+", told)  # all lines stand in one
    logs = [[float(value) for value in re.findall(r"=\d+ \d+ (\S+)", row)] for row in rows]
    return Asked(logs, built, spent)


def compare(
    binaries: Path, train: list[str], asked: list[str], order: int, prune: tuple[int, ...]
) -> Asked:
    """Print how far apart the two are."""
    begun = time.perf_counter()
    model = train_ngrams(train, NgramConfig(order=order, prune=prune))
    built = time.perf_counter() - begun
    theirs = kenlm(binaries, train, asked, order, prune)
    begun = time.perf_counter()
    ours = [model.probabilities(words(line).hashes) for line in asked]
    spent = time.perf_counter() - begun
    pairs = [
        (math.log10(p), log)
        for row, logs in zip(ours, theirs.logs, strict=True)
        for p, log in zip(row, logs, strict=True)
    ]
    apart = sorted(abs(a - b) for a, b in pairs)
    one, other = (10 ** -(sum(pair[at] for pair in pairs) / len(pairs)) for at in (0, 1))
    near = apart[int(0.99 * len(apart))]
    print(f"order {order}, prune {prune}: {len(pairs):,} words of {len(asked):,} lines; "
          f"log10 apart at most {apart[-1]:.6f}, 99 of 100 below {near:.6f}; "
          f"perplexity {one:.4f} and KenLM's {other:.4f}; counting {built:.1f} s and "
          f"{theirs.build_seconds:.1f} s, asking {spent:.2f} s and "
          f"{theirs.query_seconds:.2f} s")  # fmt: skip
    return theirs


def documentation() -> tuple[list[str], list[str]]:
    """Paragraphs of our own pages: those that are counted, and every tenth that is asked."""
    lines = [
        plain(paragraph)[:240].rpartition(" ")[0]
        for page in sorted(DOCS.glob("corpus-*.md"))
        for paragraph in page.read_text(encoding="utf-8").split("\n\n")
        if not paragraph.startswith(("|", "```", "#", "    ")) and len(plain(paragraph)) > 120
    ]
    return [line for at, line in enumerate(lines) if at % 10], lines[::10]


def main() -> None:
    """Compare on manuals, or write the fixture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binaries", type=Path)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--fixture", type=Path)
    given = parser.parse_args()
    if given.fixture:
        train, asked = documentation()
        cases = [
            {"order": order, "prune": prune,
             "log10": compare(given.binaries, train, asked, order, prune).logs}
            for order, prune in SETTINGS
        ]  # fmt: skip
        written = {"source": "KenLM 4cb443e, lmplz and query -v word", "train": train,
                   "asked": asked, "cases": cases}  # fmt: skip
        given.fixture.write_text(json.dumps(written, separators=(",", ":")) + "\n")
        return
    train = [plain(text) for name in ("reference", "gnome")
             for _, text in passages(given.folder, name, 500)]  # fmt: skip
    asked = [plain(text) for _, text in passages(given.folder, "handbook", 500)]
    for order, prune in SETTINGS:
        compare(given.binaries, train, asked, order, prune)


if __name__ == "__main__":
    main()
