"""Statistics and ranking measures of ours on the inputs that peers were given.

`ours(name, case)` computes one measure on one input of tests/fixtures/measures/stats.json.xz, which
tests/oracles/measures_stats.py wrote; `rows()` are the lines of docs/benchmarks/agreement.md.
"""

import json
import lzma
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Reason
from groundup.measure import (
    agreement,
    calibration,
    difference_of_rates,
    power,
    ranking,
    significance,
    wilson_interval,
)
from groundup.measure.stats import distribution

FIXTURE = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "measures" / "stats.json.xz"
LEVELS = ("nominal", "ordinal", "interval")


class Row(NamedTuple):
    """How far one measure lies from its peer's."""

    measure: str
    peer: str
    cases: int
    """Inputs on which both give a number."""
    neither: int
    """Inputs on which neither does."""
    only_ours: int
    only_peer: int
    largest: float
    """Largest absolute difference."""
    note: str
    """Why one gives a number where the other gives none."""


ONE_ITEM = "one item rated twice: the peer says 0, ours that one item shows no agreement"
ONE_DOCUMENT = "the peer refuses a ranking of one document"
NOTES = {
    **{f"krippendorff_alpha|{level}": ONE_ITEM for level in LEVELS},
    "ndcg|average": ONE_DOCUMENT,
    "ndcg@5|average|exponential": ONE_DOCUMENT,
}


@cache
def fixture() -> dict[str, Any]:
    """Inputs and peers' numbers."""
    return json.loads(lzma.decompress(FIXTURE.read_bytes()))


def parity(case: list[list[int]]) -> list[list[int]]:
    """Two columns of 0 and 1."""
    return [[one % 2 for one in side] for side in case]


def of_significance(found: significance.Significance | Reason) -> float:
    """The p-value; 1 where nothing can be tested, as peers say."""
    return 1.0 if isinstance(found, Reason) else found.p


def adjusted(method: Any) -> Callable[[Any], list[float]]:
    """Adjusted p-values."""
    return lambda case: significance.adjust_p_values(case, method)


def newcombe(case: list[int]) -> Any:
    """Interval of the difference of two shares."""
    a, n, b, m = case
    return difference_of_rates([1] * a + [0] * (n - a), [1] * b + [0] * (m - b))


def gaps(rows: list[str]) -> list[list[int | None]]:
    """Ratings, None where one is missing."""
    return [[None if one == "-" else int(one) for one in row] for row in rows]


def curve(by: Any, field: str) -> Callable[[Any], list[float]]:
    """Observed or stated shares of the reliability table."""

    def shares(case: list[list[float]]) -> list[float]:
        table = calibration.reliability(*case, bins=5, by=by)
        return [bin.predicted if field == "stated" else bin.observed.estimate for bin in table]

    return shares


def ranked(
    measure: ranking.RankingMeasure, ties: ranking.Ties = "trec", *, found_only: bool = False
) -> Callable[[dict[str, str]], float | Reason]:
    """One measure of one query; `found_only` drops the grades of documents not found."""

    def score(case: dict[str, str]) -> float | Reason:
        names = [f"d{int(place):02d}" for place in case["order"].split()]
        number = len(case["scores"])
        grades = {n: int(g) for n, g in zip(names, case["grades"], strict=True)}
        if found_only:
            grades = {name: grades[name] for name in names[:number]}
        scores = {n: float(s) for n, s in zip(names, case["scores"], strict=False)}
        found = ranking.score_rankings(measure, {"q": scores}, {"q": grades}, ties=ties)
        return found.values.get("q", found.undefined.get("q", 0.0))

    return score


OURS: dict[str, Callable[[Any], Any]] = {
    "pearson": lambda c: agreement._pearson_r(*map(np.array, c)),
    "spearman": lambda c: agreement._pearson_r(*(agreement._mean_ranks(np.array(s)) for s in c)),
    "kendall": lambda c: agreement._kendall_tau_b(*map(np.array, c)),
    "sign_flip": lambda c: of_significance(significance.sign_flip_test(*c)),
    "sign_flip|greater": lambda c: of_significance(
        significance.sign_flip_test(*c, alternative="greater")
    ),
    "permutation": lambda c: of_significance(significance.permutation_test(*c)),
    "permutation|less": lambda c: of_significance(
        significance.permutation_test(*c, alternative="less")
    ),
    "mcnemar|exact": lambda c: of_significance(
        significance.mcnemar_test(*parity(c), method="exact")
    ),
    "binomial_below": lambda c: distribution.binomial_below(c[0], c[1], 0.3),
    "wilson|low": lambda c: wilson_interval(c[0], c[1]).low,
    "wilson|high": lambda c: wilson_interval(c[0], c[1]).high,
    "newcombe|low": lambda c: newcombe(c).low,
    "newcombe|high": lambda c: newcombe(c).high,
    "bonferroni": adjusted("bonferroni"),
    "holm": adjusted("holm"),
    "benjamini-hochberg": adjusted("benjamini-hochberg"),
    "power_of_mean": lambda c: power.power_of_mean(c[0], c[1], c[2]),
    "power_of_rates": lambda c: power.power_of_rates(c[0], c[3], c[4]),
    "student_quantile": lambda c: distribution.student_quantile(c[4] ** 8 / 2, c[0]),
    "chi_square_tail": lambda c: distribution.chi_square_tail(40 * c[4], c[0] % 60 + 1),
    "cohen_kappa": lambda c: agreement.cohen_kappa(*c, repeats=1),
    "cohen_kappa|linear": lambda c: agreement.cohen_kappa(*c, weights="linear", repeats=1),
    "cohen_kappa|quadratic": lambda c: agreement.cohen_kappa(*c, weights="quadratic", repeats=1),
    "fleiss_kappa": lambda c: agreement.fleiss_kappa(c, repeats=1),
    **{
        f"krippendorff_alpha|{level}": lambda c, at=level: agreement.krippendorff_alpha(
            gaps(c), at, repeats=1
        )
        for level in LEVELS
    },
    "brier": lambda c: calibration.brier_score(*c).score,
    **{
        f"reliability|{by}|{field}": curve(by, field)
        for by in ("width", "mass")
        for field in ("stated", "observed")
    },
    "recall@5": ranked(ranking.recall(5)),
    "precision@5": ranked(ranking.precision(5)),
    "hit@5": ranked(ranking.hit(5)),
    "mrr": ranked(ranking.mrr()),
    "average_precision": ranked(ranking.average_precision()),
    "average_precision@5": ranked(ranking.average_precision(5)),
    "ndcg": ranked(ranking.ndcg()),
    "ndcg@5": ranked(ranking.ndcg(5)),
    "r_precision": ranked(ranking.r_precision()),
    "ndcg|average": ranked(ranking.ndcg(), "average", found_only=True),
    "ndcg@5|average|exponential": ranked(
        ranking.ndcg(5, "exponential"), "average", found_only=True
    ),
}


def ours(name: str, case: Any) -> Any:
    """Our number, or list of numbers, for one input; None where it is undefined."""
    found = OURS[name](case)
    if isinstance(found, Reason):
        return None
    return getattr(found, "estimate", found)


def compared(name: str) -> Row:
    """One measure on all its inputs."""
    expected = fixture()["expected"][name]
    inputs = fixture()["inputs"][expected["input"]]
    pairs = [
        (ours(name, case), peer) for case, peer in zip(inputs, expected["values"], strict=True)
    ]
    numbers = [pair for pair in pairs if None not in pair]
    apart = [float(np.abs(np.subtract(*pair)).max(initial=0.0)) for pair in numbers]
    return Row(
        measure=name,
        peer=f"{expected['peer']} {fixture()['peers'][expected['peer']]}",
        cases=len(numbers),
        neither=sum(one is None and other is None for one, other in pairs),
        only_ours=sum(one is not None and other is None for one, other in pairs),
        only_peer=sum(one is None and other is not None for one, other in pairs),
        largest=max(apart),
        note=NOTES.get(name, ""),
    )


def rows() -> list[Row]:
    """Every measure beside its peer."""
    return [compared(name) for name in OURS]
