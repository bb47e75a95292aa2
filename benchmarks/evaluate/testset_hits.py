"""decontaminate.testsets on items of real test sets planted into real pages, and on clean pages.

    python -m benchmarks.evaluate.testset_hits SHARDS --gsm8k test.jsonl --factoid curated-test.tsv

GSM8K (github.com/openai/grade-school-math, 1,319 problems of some 45 words, MIT) and the test half
of factoid-curated (github.com/brmson/dataset-factoid-curated, 430 questions of TREC and of users,
mostly of four to ten words). Half of each set is planted, the other half is asked for as well and
stands in no page: its hits are false, and so is each hit beside a plant. SHARDS are what
`benchmarks/corpus/dedup.py prepare` writes; pages that a sample stands in by nature are told first
and judged by reading, then left out.
"""

import argparse
import json
import random
import re
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as parquet

from groundup.corpus.decontaminate.testsets import TestSets, TestSetsConfig
from groundup.documents import Record, SourceMap, StepResult
from groundup.measure import wilson_interval

WORD = re.compile(r"\w+")
Way = Callable[[str, random.Random], str]


def changed(text: str, every: int, chance: random.Random) -> str:
    """Another word in place of one in `every`."""
    words = text.split(" ")
    for at in range(chance.randrange(every), len(words), every):
        words[at] = "whatever"
    return " ".join(words)


WAYS: dict[str, tuple[Way, str]] = {
    "as it is, a paragraph": (lambda text, _: f"\n{text}\n", "all"),
    "inside a paragraph": (lambda text, _: f" {text} ", "long"),
    "after `Q:`, answer behind": (lambda text, _: f"\nQ: {text} A: see below\n", "all"),
    "upper case": (lambda text, _: f"\n{text.upper()}\n", "all"),
    "other marks": (
        lambda text, _: "\n" + re.sub(r"[^\w\s]+", " - ", text.rstrip("?. ")) + ".\n", "all"),
    "split over lines": (lambda text, _: f"\n{textwrap.fill(text, 24)}\n", "all"),
    "a cell of a table": (lambda text, _: f"\n| {text} | yes |\n", "all"),
    "JSON": (lambda text, _: f"\n{json.dumps({'question': text})}\n", "all"),
    "the second half of it": (
        lambda text, _: f" {' '.join(text.split()[len(text.split()) // 2 :])} ", "long"),
    "every 30th word another": (lambda text, chance: f"\n{changed(text, 30, chance)}\n", "long"),
    "every 8th word another": (lambda text, chance: f"\n{changed(text, 8, chance)}\n", "not"),
}  # fmt: skip
"""How a page has it, and what must be found: all from four words, long ones from 27, or nothing."""


def questions(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The questions of both sets."""
    lines = arguments.gsm8k.read_text(encoding="utf-8").splitlines()
    rows = arguments.factoid.read_text(encoding="utf-8").splitlines()
    return {
        "gsm8k": [json.loads(line)["question"] for line in lines],
        "factoid": [row.split("\t")[2] for row in rows if row.count("\t") >= 3],
    }


def step_of(asked: dict[str, list[str]], folder: Path) -> TestSets:
    """The step with its defaults over both sets."""
    paths = []
    for name, texts in asked.items():
        paths.append(folder / f"{name}.jsonl")
        lines = (
            json.dumps({"id": f"{name}-{n}", "question": text}) for n, text in enumerate(texts)
        )
        paths[-1].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return TestSets(TestSetsConfig(testsets=tuple(paths), index=str(folder)))


def page(text: str) -> Record:
    """A record of a page."""
    return Record("0" * 32, "s", "p", "text", text, SourceMap.identity(text))


def clean_pages(shards: Path, step: TestSets) -> list[str]:
    """Pages that no sample stands in; the others are printed."""
    clean, hit = [], Counter[str]()
    total = 0
    for path in sorted(shards.glob("*.parquet")):
        for row in parquet.read_table(path, columns=["path", "text"]).to_pylist():
            total += 1
            ruling = step(page(row["text"]))
            if ruling.reason:
                hit[f"{ruling.details}: {row['path']}"] += 1
            elif 200 < len(row["text"]) < 30_000:
                clean.append(row["text"])
    low, high = wilson_interval(sum(hit.values()), total)[1:3]
    print(f"{total} pages as they are: {sum(hit.values())} hit [{low:.5f}, {high:.5f}]")
    for text in hit:
        print(f"    {text}")
    return clean


def put(text: str, piece: str, chance: random.Random) -> str:
    """A page with a piece between two of its words."""
    at = chance.choice([match.start() for match in re.finditer(r"[ \n]", text)])
    return text[:at] + piece + text[at:]


def measure(step: TestSets, asked: dict[str, list[str]], clean: list[str], seed: int) -> None:
    """Plant every second sample in every way, a page each; print what is found, and what else."""
    chance = random.Random(seed)
    known = {f"{name}-{n}": text for name, texts in asked.items() for n, text in enumerate(texts)}
    false = tried = 0
    for name, texts in asked.items():
        for way, (make, wanted) in WAYS.items():
            found: Counter[str] = Counter()
            count: Counter[str] = Counter()
            for number in range(0, len(texts), 2):  # the odd half is planted nowhere
                size = len(WORD.findall(texts[number]))
                group = "1 to 3" if size < 4 else "4 to 7" if size < 8 else "8 to 26"
                group = group if size < 27 else "27 and more"
                if wanted == "long" and size < 27:
                    continue
                ruling = step(page(put(chance.choice(clean), make(texts[number], chance), chance)))
                names = samples(ruling)
                count[group] += 1
                found[group] += f"{name}-{number}" in names
                others = {other for other in names if known[other] != texts[number]}
                false, tried = false + bool(others), tried + 1
                if others:
                    print(f"    beside {texts[number]!r}: {[known[one] for one in others]}")
            told(f"{name}, {way}", found, count, wanted)
    low, high = wilson_interval(false, tried)[1:3]
    print(f"pages with another sample than the planted one: {false} of {tried} "
          f"[{low:.5f}, {high:.5f}]")  # fmt: skip


def samples(ruling: StepResult) -> set[str]:
    """The first samples that a ruling names."""
    return set(ruling.details.partition(": ")[2].split(", ")) if ruling.reason else set()


def told(name: str, found: Counter[str], count: Counter[str], wanted: str) -> None:
    """A line a way: found by words of the question."""
    shares = []
    for group in sorted(count, key=lambda one: int(one.split()[0])):
        low, high = wilson_interval(found[group], count[group])[1:3]
        shares.append(f"{group} words {found[group]}/{count[group]} [{low:.3f}, {high:.3f}]")
    print(f"{name}{' (a rewording: not promised)' * (wanted == 'not')}: {'; '.join(shares)}")


def main() -> None:
    """Measure both sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--gsm8k", type=Path, required=True)
    parser.add_argument("--factoid", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    asked = questions(arguments)
    with tempfile.TemporaryDirectory() as folder:
        step = step_of(asked, Path(folder))
        clean = clean_pages(arguments.shards, step)
        measure(step, asked, clean, arguments.seed)


if __name__ == "__main__":
    main()
