"""Rankings of passages: by words and by vectors, for hard negatives and for the held-out measure.

A hard negative ranks high for a query and is of another document. One that scores above a share of
the query's own passage may be an answer that no pair names, so it is left out; a query whose own
passage is not among the first gets random negatives.
Source: Karpukhin et al. 2020, arXiv:2004.04906 (BM25's negatives); Xiong et al. 2020,
arXiv:2007.00808 (the encoder's own); de Souza Moreira et al. 2024, arXiv:2407.15831 (the share);
Cormack et al. 2009, doi:10.1145/1571941.1572114 (reciprocal rank fusion, k = 60).
"""

import random
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from groundup.core import Passage, record
from groundup.measure import ranking

from ..lexical import LexicalIndex
from ..wording.language import language_of
from .pairs import PairSplit, TextPair

CANDIDATES = 50
"""Passages ranked for each query, and passages drawn where too few of those are negatives."""
LANGUAGE_SAMPLE, BLOCK, FUSION_CONSTANT = 200, 1024, 60
MEASURES = {
    "recall@1": ranking.recall(1), "recall@10": ranking.recall(10), "ndcg@10": ranking.ndcg(10)
}  # fmt: skip

Ranking = Sequence[tuple[int, float]]
"""Index and score of passages, best first."""


class PassageTable(NamedTuple):
    """The different passages of pairs, in the order of their first pair."""

    texts: list[str]
    documents: list[str]
    own: list[int]
    """Index of each pair's passage."""


def collect_passages(pairs: Sequence[TextPair]) -> PassageTable:
    """The different passages of pairs."""
    documents = {pair.passage: pair.document for pair in pairs}
    places = {text: index for index, text in enumerate(documents)}
    own = [places[pair.passage] for pair in pairs]
    return PassageTable(list(documents), list(documents.values()), own)


def rank_by_words(queries: Sequence[str], texts: Sequence[str]) -> list[Ranking]:
    """The best texts for each query by BM25, which sees no titles and no paths here."""
    rankings = []
    with (
        tempfile.TemporaryDirectory(prefix="groundup-") as folder,
        record.progress("search", total=len(queries), unit="queries") as bar,
    ):
        index = LexicalIndex(Path(folder))
        language = language_of(" ".join(texts[:LANGUAGE_SAMPLE]))
        index.add((Passage(str(i), "", "", 0, len(t), t) for i, t in enumerate(texts)), language)
        index.commit()
        for query in queries:
            hits = index.search(query, CANDIDATES)
            rankings.append([(int(hit.passage.id), hit.score) for hit in hits])
            bar.advance(1)
    return rankings


def rank_by_vectors(queries: np.ndarray, passages: np.ndarray) -> list[Ranking]:
    """The best passages (P, D) for each query (Q, D) by inner product; ties by index."""
    rankings = list[Ranking]()
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ passages.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :CANDIDATES]
        for row, order in zip(scores, best, strict=True):
            rankings.append([(int(i), float(row[i])) for i in order])
    return rankings


def choose_negatives(
    table: PassageTable, rankings: Sequence[Ranking], count: int, margin: float, seed: int
) -> list[list[int]]:
    """`count` negatives of each pair, as indices of passages: the hardest, then random ones.

    margin  share of the own passage's score above which a candidate may be an answer
    """
    chosen = []
    for number, (own, ranked) in enumerate(zip(table.own, rankings, strict=True)):
        limit = next((margin * score for index, score in ranked if index == own), -np.inf)
        size = len(table.texts)
        drawn = random.Random(f"{seed} {number}").sample(range(size), min(size, CANDIDATES))
        near = [index for index, score in ranked if score <= limit]
        others = dict.fromkeys(
            index for index in near + drawn if table.documents[index] != table.documents[own]
        )
        # A small collection may have too few: the loss leaves out what is no negative.
        chosen.append([*others, *drawn * count][:count])
    return chosen


class HeldOutSearch(NamedTuple):
    """Queries, and the texts in which they are searched."""

    queries: list[str]
    texts: list[str]
    relevant: list[set[int]]
    """Indices of the relevant texts of each query."""

    def scores(self, rankings: Sequence[Ranking]) -> dict[str, float]:
        """A system's MEASURES, means over queries."""
        ranked = {str(i): [str(p) for p, _ in one] for i, one in enumerate(rankings)}
        grades = {str(i): {str(p): 1 for p in one} for i, one in enumerate(self.relevant)}
        scores = {}
        for name, measure in MEASURES.items():
            values = ranking.score_rankings(measure, ranked, grades).values
            scores[name] = round(sum(values.values()) / len(values), 4)
        return scores


def held_out_search(pairs: PairSplit) -> HeldOutSearch:
    """The search of held-out pairs, among the passages of all pairs."""
    table, others = collect_passages(pairs.held_out), collect_passages(pairs.train)
    relevant = defaultdict[str, set[int]](set)
    for pair, own in zip(pairs.held_out, table.own, strict=True):
        relevant[pair.query].add(own)
    return HeldOutSearch(list(relevant), table.texts + others.texts, list(relevant.values()))


def fuse_rankings(*rankings: Ranking) -> Ranking:
    """Reciprocal rank fusion of rankings of one query: score = sum of 1 / (60 + rank)."""
    scores = defaultdict[int, float](float)
    for ranked in rankings:
        for rank, (index, _) in enumerate(ranked, start=1):
            scores[index] += 1 / (FUSION_CONSTANT + rank)
    return sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))


def scores_table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """Lines of text, one a system."""
    lines = [f"{'system':<14}" + "".join(f"{name:>12}" for name in MEASURES)]
    for system, values in scores.items():
        lines.append(f"{system:<14}" + "".join(f"{values[name]:>12.3f}" for name in MEASURES))
    return "\n".join(lines)
