"""What training an encoder on a folder's own pairs gains: the held-out table, before and after.

    python -m benchmarks.retrieve.encoders FOLDER --base MODEL [--files 200] [KEY=VALUE...]

KEY=VALUE are settings of `groundup encoder`, such as negatives=2. Takes FILES files of the folder,
evenly by path, trains on nine tenths of them, and prints recall@1, recall@10 and nDCG@10 on pairs
of the rest, searched among the passages of all, and the differences in
nDCG@10 to the base and to BM25 with 95 % intervals (bootstrap over documents, paired).
Prints only: nothing is kept, as nothing here has a peer to be compared with.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from groundup.core import load_config
from groundup.measure import bootstrap, ranking
from groundup.retrieve.encoders import train
from groundup.retrieve.encoders.rankings import HeldOutSearch, Ranking

SYSTEMS = ("base", "bm25", "trained", "trained+bm25")


def main() -> None:
    """Train in a temporary folder and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("settings", nargs="*")
    given = parser.parse_intermixed_args()
    config = load_config(train.EncoderConfig, None, given.settings)
    searches, measure = [], HeldOutSearch.scores

    def scores(search: HeldOutSearch, rankings: Sequence[Ranking]) -> dict[str, float]:
        searches.append((search, rankings))
        return measure(search, rankings)

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder) / "documents"
        copy_files(given.folder, chosen, given.files)
        with patch.object(HeldOutSearch, "scores", scores):
            made = train.train_encoder(config, chosen, given.base, Path(folder) / "encoder")
        documents = documents_of_queries(config, chosen, searches[0][0])
    print(f"{time.perf_counter() - started:.0f} s, {made.numbers}")
    values = [ndcg_by_query(*each) for each in searches]
    for index in (2, 3):
        for other in (0, 1):
            gains = [a - b for a, b in zip(values[index], values[other], strict=True)]
            gain = bootstrap(gains, documents)
            print(f"nDCG@10 {SYSTEMS[index]} - {SYSTEMS[other]}: {gain}")


def copy_files(folder: Path, out: Path, count: int) -> None:
    """Copy files of documents, evenly by path."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".html", ".md", ".rst", ".py"))
    for i in range(min(count, len(files))):
        path = files[i * len(files) // min(count, len(files))]
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def documents_of_queries(config: train.EncoderConfig, folder: Path, search: HeldOutSearch) -> list:
    """The document of each held-out query: the cluster of the bootstrap."""
    pairs = train._read_pairs(config.pairs, folder, None).held_out
    documents = {pair.query: pair.document for pair in pairs}
    return [documents[query] for query in search.queries]


def ndcg_by_query(search: HeldOutSearch, rankings: Sequence[Ranking]) -> list[float]:
    """nDCG@10 of each query."""
    ranked = {str(i): [str(p) for p, _ in one] for i, one in enumerate(rankings)}
    grades = {str(i): {str(p): 1 for p in one} for i, one in enumerate(search.relevant)}
    return list(ranking.score_rankings(ranking.ndcg(10), ranked, grades).values.values())


if __name__ == "__main__":
    main()
