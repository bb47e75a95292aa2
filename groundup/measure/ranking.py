"""Ranking metrics: how close to the top are the relevant documents?

    recall(k)  precision(k)  hit(k)          shares of the first k
    mrr(k)  average_precision(k)  ndcg(k)    higher ranks count more
    r_precision()                            precision at the number of relevant documents

Each returns a measure that score_rankings applies to every query. The order of documents with
equal scores is arbitrary, and a metric that depends on it can be gamed (a model with constant
scores would get the file's order). So the tie policy is explicit: `stable` keeps the given order,
`trec` puts the larger document id first as trec_eval does, `average` is the exact mean over all
orders of the tied. The ideal list of nDCG is truncated at k too, as in trec_eval's ndcg_cut.
Source: Järvelin and Kekäläinen 2002 (nDCG); McSherry and Najork 2008,
doi:10.1007/978-3-540-78646-7_38 (ties in closed form).
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import comb, isfinite, log2
from numbers import Real
from typing import Any, Literal, NamedTuple, get_args

from groundup.core import ConfigError, DataError, Reason, check_choice

from .stats.interval import Interval, bootstrap

MAX_GRADE = 1000
"""Largest grade; exponential gains of larger ones overflow a float."""
Ties = Literal["stable", "average", "trec"]
Gain = Literal["linear", "exponential"]
RankedDocuments = Sequence[str] | Mapping[str, float]
"""Document ids, best first, or each document's score."""


class TiedDocuments(NamedTuple):
    """Grades of adjacent documents with tied scores."""

    before: int
    """Number of documents ranked higher."""
    grades: tuple[int, ...]
    relevant: int


class GradedRanking(NamedTuple):
    """One query's ranking as grades."""

    tie_groups: tuple[TiedDocuments, ...]
    ideal: tuple[int, ...]
    """All grades above 0 of the query, best first, retrieved or not."""
    relevant: int
    """Number of relevant documents, retrieved or not."""


@dataclass(frozen=True)
class RankingMeasure:
    """A ranking metric with its signature."""

    signature: str
    compute: Callable[[GradedRanking], float]


class RankingScores(NamedTuple):
    """One metric's values over many queries."""

    signature: str
    values: dict[str, float]
    """By query."""
    undefined: dict[str, Reason]
    """Queries without a value, and why."""

    @property
    def reasons(self) -> dict[str, int]:
        """How many queries are undefined, by code."""
        return dict(Counter(reason.code for reason in self.undefined.values()))

    def mean(
        self, groups: Mapping[str, Hashable] | None = None, *, confidence: float = 0.95
    ) -> Interval | Reason:
        """Mean over the queries that have a value; Reason `too_few_queries` below two.

        Raises DataError if a query with a value has no group.
        """
        if groups is not None and (without := self.values.keys() - groups.keys()):
            raise DataError(f"Query {min(without)} has no group; give one to each query.")
        names = [name if groups is None else groups[name] for name in self.values]
        if len(set(names)) < 2:
            why = f"A mean needs 2 queries that can be scored; got {len(names)}."
            return Reason("too_few_queries", why)
        return bootstrap(list(self.values.values()), names, confidence=confidence, limits=(0, 1))


def score_rankings(
    measure: RankingMeasure, rankings: Mapping[str, RankedDocuments],
    relevance: Mapping[str, Mapping[str, int]], *, ties: Ties = "stable", relevant_from: int = 1,
) -> RankingScores:  # fmt: skip
    """Score the ranking of every query.

    relevance  grade of each judged document by query; unjudged ones count as 0

    A judged query without a ranking scores 0. Queries without a relevant document are undefined
    (`no_relevant`), as are rankings of queries without judgements (`not_judged`). Raises DataError
    if a document occurs twice or a score is not finite.

    >>> scores = score_rankings(mrr(), {"q": ["a", "b"]}, {"q": {"b": 1}, "r": {"c": 0}})
    >>> scores.values, scores.reasons
    ({'q': 0.5}, {'no_relevant': 1})
    """
    values: dict[str, float] = {}
    undefined: dict[str, Reason] = {}
    for query, grades in relevance.items():
        judged = _grade_ranking(query, rankings.get(query, ()), grades, ties, relevant_from)
        if judged.relevant:
            values[query] = measure.compute(judged)
        else:
            undefined[query] = Reason("no_relevant", f"Query {query} has no relevant document.")
    for query in rankings.keys() - relevance.keys():
        undefined[query] = Reason("not_judged", f"Query {query} has no relevance judgements.")
    signature = f"{measure.signature}|ties:{ties}|relevant:>={relevant_from}"
    return RankingScores(signature, values, undefined)


def _grade_ranking(
    query: str, ranked: RankedDocuments, grades: Mapping[str, int], ties: Ties, relevant_from: int
) -> GradedRanking:
    check_choice("ties", ties, get_args(Ties))
    if not relevant_from >= 1:
        raise ConfigError(f"relevant_from={relevant_from} must be 1 or more.")
    for name, grade in grades.items():
        if not (_is_finite_number(grade) and grade <= MAX_GRADE):
            raise DataError(f"Query {query}: the grade of {name!r} is {grade!r}.")
    if isinstance(ranked, str):
        raise DataError(f"Query {query}: a ranking is a list of ids; got {ranked[:40]!r}.")
    names = list(ranked)
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise DataError(f"Query {query} ranks the document {twice!r} twice.")
    scores = ranked if isinstance(ranked, Mapping) else {n: -i for i, n in enumerate(names)}
    for name in names:
        if not _is_finite_number(scores[name]):
            raise DataError(f"Query {query}: the score of {name!r} is {scores[name]!r}.")
    if ties == "trec":
        names.sort(key=lambda name: name.encode(errors="surrogatepass"), reverse=True)
    names.sort(key=lambda name: -scores[name])
    tied = [(name,) for name in names]
    if ties == "average":
        tied = [tuple(run) for _, run in groupby(names, key=lambda name: scores[name])]
    runs, before = [], 0
    for run in tied:
        gains = tuple(grades.get(name, 0) for name in run)
        runs.append(TiedDocuments(before, gains, sum(grade >= relevant_from for grade in gains)))
        before += len(run)
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    return GradedRanking(tuple(runs), tuple(ideal), sum(grade >= relevant_from for grade in ideal))


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, Real) and isfinite(value)


def recall(k: int) -> RankingMeasure:
    """Share of the relevant documents that are among the first k."""
    name = _name_at_k("recall", k)
    return RankingMeasure(name, lambda query: _expected_relevant(query, k) / query.relevant)


def precision(k: int) -> RankingMeasure:
    """Share of the first k that is relevant; a shorter list is padded with irrelevant ones."""
    name = _name_at_k("precision", k)
    return RankingMeasure(name, lambda query: _expected_relevant(query, k) / k)


def r_precision() -> RankingMeasure:
    """Precision at the number of relevant documents."""
    return RankingMeasure(
        "r_precision", lambda query: _expected_relevant(query, query.relevant) / query.relevant
    )


def hit(k: int) -> RankingMeasure:
    """Whether any relevant document is among the first k."""

    def chance(query: GradedRanking) -> float:
        for run in query.tie_groups:
            room, size = k - run.before, len(run.grades)
            if run.relevant and room > 0:
                # Runs without a relevant document cannot hit, and the first with one decides.
                room = min(room, size)
                return 1 - comb(size - run.relevant, room) / comb(size, room)
        return 0.0

    return RankingMeasure(_name_at_k("hit", k), chance)


def mrr(k: int | None = None) -> RankingMeasure:
    """Reciprocal rank of the first relevant document; 0 if it is not among the first k."""

    def reciprocal(query: GradedRanking) -> float:
        run = next((run for run in query.tie_groups if run.relevant), None)
        if run is None:
            return 0.0
        size, ways = len(run.grades), comb(len(run.grades), run.relevant)
        ranks = range(1, min(size - run.relevant + 1, _rank_limit(k) - run.before) + 1)
        return sum(
            comb(size - rank, run.relevant - 1) / ways / (run.before + rank) for rank in ranks
        )

    return RankingMeasure(_name_at_k("mrr", k), reciprocal)


def average_precision(k: int | None = None) -> RankingMeasure:
    """Precision at each relevant document, averaged over all; its mean over queries is MAP.

    >>> judged = _grade_ranking("q", ["a", "b", "c"], {"a": 1, "c": 1}, "stable", 1)
    >>> round(average_precision().compute(judged), 4)                       # (1/1 + 2/3) / 2
    0.8333
    """

    def average(query: GradedRanking) -> float:
        total, above = 0.0, 0
        for run in query.tie_groups:
            size, others = len(run.grades), max(1, len(run.grades) - 1)
            for rank in range(1, min(size, _rank_limit(k) - run.before) + 1 if run.relevant else 1):
                # Expected number of relevant documents up to this rank, if it is relevant.
                expected = 1 + above + (rank - 1) * (run.relevant - 1) / others
                total += run.relevant / size * expected / (run.before + rank)
            above += run.relevant
        return total / query.relevant

    return RankingMeasure(_name_at_k("average_precision", k), average)


def ndcg(k: int | None = None, gain: Gain = "linear") -> RankingMeasure:
    """Gain of each document over log2(1 + rank), as a share of the ideal order's.

    `linear` gains are the grades (trec_eval), `exponential` ones 2^grade - 1 (Burges).

    >>> judged = _grade_ranking("q", ["a", "b"], {"a": 1, "b": 2}, "stable", 1)
    >>> round(ndcg().compute(judged), 4), round(ndcg(gain="exponential").compute(judged), 4)
    (0.8597, 0.7967)
    """
    check_choice("gain", gain, get_args(Gain))
    worth = float if gain == "linear" else lambda grade: 2.0**grade - 1

    def share(query: GradedRanking) -> float:
        ideal = enumerate(query.ideal[: _rank_limit(k)])
        best, total = sum(worth(grade) / log2(2 + i) for i, grade in ideal), 0.0
        for run in query.tie_groups:
            mean = sum(worth(grade) for grade in run.grades if grade > 0) / len(run.grades)
            last = min(run.before + len(run.grades), _rank_limit(k))
            if mean:
                total += mean * sum(1 / log2(2 + i) for i in range(run.before, last))
        return total / best

    return RankingMeasure(f"{_name_at_k('ndcg', k)}|gain:{gain}", share)


def _expected_relevant(query: GradedRanking, k: int) -> float:
    shares = ((run, (k - run.before) / len(run.grades)) for run in query.tie_groups)
    return sum(run.relevant * max(0, min(1, share)) for run, share in shares)


def _name_at_k(name: str, k: int | None) -> str:
    if k is not None and k < 1:
        raise ConfigError(f"{name}@{k} looks at nothing; give k >= 1.")
    return name if k is None else f"{name}@{k}"


def _rank_limit(k: int | None) -> int:
    return 10**9 if k is None else k
