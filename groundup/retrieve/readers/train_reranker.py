"""Trains a reranker: a query and its passage, or one that ranks high by words and answers another.

Measured on held-out documents and articles: the area under the curve of the score, the share told
rightly of each kind, and what it makes of BM25's first passages.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from groundup.core import Artifact, DataError, Draft, record
from groundup.measure import auroc
from groundup.train import RunIdentity

from ..encoders.pairs import PairSplit, TextPair, make_pairs
from ..encoders.rankings import (
    HeldOutSearch,
    choose_negatives,
    collect_passages,
    held_out_search,
    rank_by_words,
    scores_table,
)
from .encoding import EncodedPair, LabelledPair
from .examples import read_articles
from .fitting import PairTrainingConfig, fit, produce_pair_model, read_documents, split_by_name
from .scoring import PairScorer

MEASURED_PAIRS, MEASURED_QUERIES, RERANKED = 2_000, 150, 10
"""Held-out pairs and queries that are measured, and passages of each that are reranked."""
Sides = tuple[list[LabelledPair], list[LabelledPair]]


class RerankerConfig(PairTrainingConfig):
    """How to train a reranker."""

    negatives: int = Field(default=3, ge=1)
    """Passages of each query that do not answer it."""
    margin: float = Field(default=0.95, gt=0)
    """Share of the own passage's BM25 score above which another is no negative."""


def train_reranker(
    config: RerankerConfig, source: Path, base: Path, out: Path, *,
    questions: list[Path] | None = None,
) -> Artifact:  # fmt: skip
    """Train a cross-encoder that orders passages for questions; a stopped run resumes.

    source     folder of documents, or a corpus, whose test documents are never read
    base       an encoder: BERT or RoBERTa, also a directory of Sentence Transformers
    out        directory of the reranker, which Transformers and Sentence Transformers open too
    questions  a file of questions in SQuAD's format; may be given again

    Raises DataError if there are too few pairs, ConfigError if the base is no encoder.
    """
    return produce_pair_model(
        config, source, base, out, stage="reranker", questions=questions, write=_write_reranker
    )


def _write_reranker(
    config: RerankerConfig, source: Path, base: Path, identity: RunIdentity, draft: Draft
) -> None:
    pairs = make_pairs(read_documents(config, source, identity.parents.get("corpus")))
    pairs += [
        TextPair("question", asked.text, asked.context, asked.context)
        for path in config.questions for article in read_articles(Path(path))
        for asked in article.questions if asked.answer
    ]  # fmt: skip
    split = PairSplit(*split_by_name(pairs, [pair.document for pair in pairs], config))
    sides = _with_negatives(split.train, config), _with_negatives(split.held_out, config)
    scorer = _fit(config, draft, sides, base, identity)
    scores = reranked_scores(scorer, held_out_search(split))
    draft.numbers["held_out"] |= scores
    record.log(scores_table(scores))


def _with_negatives(pairs: Sequence[TextPair], config: RerankerConfig) -> list[LabelledPair]:
    """Pairs, each with passages of other documents that rank high by words."""
    table = collect_passages(pairs)
    rankings = rank_by_words([pair.query for pair in pairs], table.texts) if pairs else []
    chosen = choose_negatives(table, rankings, config.negatives, config.margin, config.seed)
    return [
        LabelledPair(pair.kind, pair.query, table.texts[number], number == own)
        for pair, own, others in zip(pairs, table.own, chosen, strict=True)
        for number in dict.fromkeys([own, *others])
    ]


def _fit(
    config: RerankerConfig, draft: Draft, sides: Sides, base: Path, identity: RunIdentity
) -> PairScorer:
    if not all(len({pair.is_right for pair in side}) == 2 for side in sides):
        raise DataError(
            f"{len(sides[0])} pairs to train on and {len(sides[1])} to measure on are too few; "
            "give more documents, or files of questions: --questions squad.json"
        )
    scorer = PairScorer.new(base, config.seed)

    def encode(pairs: Sequence[LabelledPair]) -> list[EncodedPair]:
        return [
            scorer.encode(pair.first, pair.second)._replace(label=float(pair.is_right))
            for pair in pairs
        ]

    # Not every second one, which of pairs with one negative each are alike.
    count = min(MEASURED_PAIRS, len(sides[1]))
    measured = random.Random(config.seed).sample(sides[1], count)
    fit(config, draft, scorer, (encode(sides[0]), encode(measured)), (base, identity))
    scores = pair_scores(scorer, measured)
    draft.numbers |= {"pairs": len(sides[0]), "held_out": scores}
    kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in scores["kinds"].items())
    record.log(
        f"{len(measured)} held-out pairs: AUROC {scores['auroc']:.3f}; told rightly: {kinds}"
    )
    return scorer


def pair_scores(scorer: PairScorer, pairs: Sequence[LabelledPair]) -> dict[str, Any]:
    """AUROC, and the share of each kind whose score is on its side of even odds."""
    scores = [score or 0.0 for score in scorer.score([(pair.first, pair.second) for pair in pairs])]
    right = defaultdict[str, list[bool]](list)
    for pair, score in zip(pairs, scores, strict=True):
        right[f"{pair.kind}, {'right' if pair.is_right else 'wrong'}"].append(
            (score > 0) == pair.is_right
        )
    kinds = {kind: round(sum(hits) / len(hits), 4) for kind, hits in sorted(right.items())}
    return {"auroc": round(auroc(scores, [pair.is_right for pair in pairs]), 4), "kinds": kinds}


def reranked_scores(scorer: PairScorer, search: HeldOutSearch) -> dict[str, dict[str, float]]:
    """Measures of BM25, and of its first passages in the scorer's order."""
    search = search._replace(queries=search.queries[:MEASURED_QUERIES])
    search = search._replace(relevant=search.relevant[: len(search.queries)])
    words, reranked = rank_by_words(search.queries, search.texts), []
    for query, ranked in zip(search.queries, words, strict=True):
        scores = scorer.score([(query, search.texts[index]) for index, _ in ranked[:RERANKED]])
        best = zip((index for index, _ in ranked), scores, strict=False)
        reranked.append(sorted(((i, s or 0.0) for i, s in best), key=lambda pair: -pair[1]))
    return {"bm25": search.scores(words), "reranked": search.scores(reranked)}
