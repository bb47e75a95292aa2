"""Does a reranker put the right passage first? Questions by authors who had not seen the tool.

    python -m benchmarks.retrieve.rerank --reranker DIR [--encoder DIR] [--reader DIR]

Of each folder in benchmarks/data/ask that has its documents, some questions that one passage
answers are asked, drawn by a seed. A passage is right if it is of a listed file and has the
decisive words. BM25's first passages are put in the order of the reranker, of it fused with BM25 by
reciprocal ranks, of a reader's log-odds, and of an encoder's cosines. The share of right passages
at first place and among the first three; "reachable" are those among the passages reordered. Pairs
per second are of the reranker with its tokenizer.
Results: results/rerank.json.
"""

import argparse
import json
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from benchmarks.retrieve.strangers import DATA, Shown, _holds
from groundup.core import Hit
from groundup.measure import wilson_interval
from groundup.model import load_encoder
from groundup.retrieve import OpenIndex, PairScorer, index, open_index
from groundup.retrieve.encoders.rankings import fuse_rankings
from groundup.retrieve.encoders.vectors import unit_rows
from groundup.retrieve.readers.judge import below_titles
from groundup.retrieve.readers.spans import SpanReader

SEED, NOWHERE = 20261201, 10**9


def main() -> None:
    """Print and keep the shares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--reranker", type=Path, required=True)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--reader", type=Path)
    parser.add_argument("--depth", type=int, default=10, help="passages that are reordered")
    parser.add_argument("--questions", type=int, default=12, help="of each folder")
    given = parser.parse_args()
    models: dict[str, Any] = {"reranker": PairScorer.open(given.reranker)}
    models |= {"reader": SpanReader.open(given.reader)} if given.reader else {}
    models |= {"encoder": load_encoder(given.encoder)} if given.encoder else {}
    ranks, clock = defaultdict[str, list[int]](list), defaultdict[str, float](float)
    for folder in sorted(path.parent for path in DATA.glob("*/documents")):
        with tempfile.TemporaryDirectory() as out:
            index(folder / "documents", Path(out) / "index")
            opened = open_index(Path(out) / "index")
            lines = (folder / "questions.jsonl").read_text().splitlines()
            asked = [q for q in map(json.loads, lines) if q["class"] != "near" and q.get("answers")]
            drawn = random.Random(SEED).sample(asked, min(given.questions, len(asked)))
            for question in drawn:
                for name, place in places(opened, question, models, given.depth, clock).items():
                    ranks[name].append(place)
        print(folder.name, {name: sum(each == 0 for each in own) for name, own in ranks.items()},
              flush=True)  # fmt: skip
    found: dict[str, Any] = {"machine": table.machine_class(), "depth": given.depth}
    for name, own in ranks.items():
        found[name] = {"of": len(own)}
        for measure, most in (("first", 1), ("first three", 3)):
            right = sum(place < most for place in own)
            interval = wilson_interval(right, len(own))
            bounds = [round(interval.low, 3), round(interval.high, 3)]
            found[name] |= {measure: right, f"{measure} interval": bounds}
        print(name, found[name])
    found["pairs per second"] = round(clock["pairs"] / clock["seconds"], 1)
    print(f"{found['pairs per second']} pairs per second")
    table.keep_part("rerank", given.reranker.name, found)


def places(
    opened: OpenIndex, question: dict[str, Any], models: dict[str, Any], depth: int,
    clock: dict[str, float],
) -> dict[str, int]:  # fmt: skip
    """Place of the first right passage by each system, from 0."""
    asked = question["question"]
    hits = opened.lexical.search_terms(opened.parse(asked), max(depth, 100))
    pairs = [(asked, below_titles(hit.passage, hit.passage.text)) for hit in hits[:depth]]
    begun = time.perf_counter()
    scores = [score or 0.0 for score in models["reranker"].score(pairs)]
    clock["seconds"] += time.perf_counter() - begun
    clock["pairs"] += len(pairs)
    words = [(number, hit.score) for number, hit in enumerate(hits[:depth])]
    reranked = sorted(enumerate(scores), key=lambda pair: -pair[1])
    orders = {"BM25": words, "reranker": reranked, "fused": fuse_rankings(words, reranked)}
    if "reader" in models:
        readings = enumerate(each.score for each in models["reader"].read_pairs(pairs))
        orders["reader"] = sorted(readings, key=lambda pair: -pair[1])
    right = [is_right(opened, hit, question) for hit in hits]
    found = {name: first([right[number] for number, _ in ranked] + right[depth:])
             for name, ranked in orders.items()}  # fmt: skip
    found["reachable"] = 0 if any(right[:depth]) else NOWHERE
    if "encoder" in models:
        vectors = unit_rows(np.asarray(models["encoder"].embed([asked, *(t for _, t in pairs)])))
        order = np.argsort(-(vectors[1:] @ vectors[0]), kind="stable")
        found["encoder"] = first([right[number] for number in order] + right[depth:])
    return found


def is_right(opened: OpenIndex, hit: Hit, question: dict[str, Any]) -> bool:
    """Whether a passage, or its titles, has the decisive words of a listed file."""
    path = opened.entries[hit.passage.document].path
    return _holds(Shown(path, below_titles(hit.passage, hit.passage.text)), question["answers"])


def first(right: Sequence[bool]) -> int:
    """Index of the first right one; a large one if there is none."""
    return next((place for place, each in enumerate(right) if each), NOWHERE)


if __name__ == "__main__":
    main()
