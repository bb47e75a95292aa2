"""Statistics and ranking measures of peers on 1,300 varied inputs each, as one small file.

    tests/fixtures/measures/stats.json.xz
        {"peers": {name: version}, "inputs": {kind: [...]}, "expected": {measure: {...}}}

An expected row names its peer, the kind of its inputs, and one number (or list) for each input;
null where the peer gives none (nan). Read by benchmarks/measure/agreement_stats.py.
"""

import json
import lzma
import math
import warnings
from importlib import metadata
from pathlib import Path

import krippendorff
import numpy as np
import pytrec_eval
import scipy.stats
import sklearn.calibration
import sklearn.metrics
import statsmodels.stats.contingency_tables as tables
import statsmodels.stats.inter_rater as raters
import statsmodels.stats.multitest as multitest
import statsmodels.stats.power as power
import statsmodels.stats.proportion as proportion

OUT = Path(__file__).resolve().parents[1] / "fixtures" / "measures" / "stats.json.xz"
PACKAGES = (
    "krippendorff", "numpy", "pytrec-eval-terrier", "scikit-learn", "scipy", "statsmodels",
)  # fmt: skip
CASES = 1300
random = np.random.default_rng(20260)


def ints(high: int, size: int, low: int = 0) -> list[int]:
    """Whole numbers from low to high - 1."""
    return random.integers(low, high, size).tolist()


def column_pair() -> list[list[int]]:
    """Two columns of 2 to 24 numbers, from many ties to none, sometimes constant."""
    n, spread = int(random.integers(2, 25)), int(random.choice([2, 4, 10, 1000]))
    left, noise = ints(spread, n), ints(spread, n)
    kind = random.choice(["alike", "opposed", "unrelated", "constant"], p=[0.4, 0.3, 0.25, 0.05])
    if kind == "constant":
        return [left, [spread] * n]
    sign = {"alike": 1, "opposed": -1, "unrelated": 0}[kind]
    return [left, [sign * one + other for one, other in zip(left, noise, strict=True)]]


def two_sets() -> list[list[int]]:
    """Two sets of 2 to 5 numbers."""
    spread = int(random.choice([3, 10, 100]))
    return [ints(spread, int(random.integers(2, 6))) for _ in range(2)]


def matched() -> list[list[int]]:
    """Two columns of 2 to 9 numbers."""
    n, spread = int(random.integers(2, 10)), int(random.choice([2, 3, 10, 100]))
    return [ints(spread, n), ints(spread, n)]


def table_pair() -> list[str]:
    """Labels 0 to 3 of two raters for 5 to 29 items, as strings of digits."""
    n, labels, same = int(random.integers(5, 30)), int(random.integers(2, 5)), random.random()
    left = ints(labels, n)
    right = [a if random.random() < same else int(random.integers(labels)) for a in left]
    return ["".join(map(str, side)) for side in (left, right)]


def rated() -> list[str]:
    """Labels of 2 to 5 raters for 3 to 12 items, one string an item."""
    many, labels, same = int(random.integers(2, 6)), int(random.integers(2, 5)), random.random()
    truths = ints(labels, int(random.integers(3, 13)))

    def rating(truth: int) -> str:
        return str(truth if random.random() < same else int(random.integers(labels)))

    return ["".join(rating(truth) for _ in range(many)) for truth in truths]


def gaps() -> list[str]:
    """As `rated`, with some ratings missing (`-`)."""
    holes = random.random() * 0.5
    return ["".join("-" if random.random() < holes else one for one in row) for row in rated()]


def forecasts() -> list[list[float]]:
    """Probabilities of two decimals and outcomes, 5 to 60 of them."""
    n = int(random.integers(5, 61))
    stated = (random.random(n) ** random.choice([0.5, 1, 2])).round(2)
    return [stated.tolist(), (random.random(n) < stated).astype(int).tolist()]


def p_values() -> list[float]:
    """1 to 15 p-values, some equal."""
    return (random.random(int(random.integers(1, 16))) ** 3).round(3).tolist()


def counts() -> list[int]:
    """Successes of n, twice: [a, n, b, m]."""
    n, m = ints(300, 2, 2)
    return [int(random.integers(0, n + 1)), n, int(random.integers(0, m + 1)), m]


def plan() -> list[float]:
    """[n, difference, deviation, a, b]."""
    a, b = random.uniform(0.05, 0.95, 2).round(3).tolist()
    n, difference = int(random.integers(5, 2000)), round(float(random.normal(0, 0.1)), 4)
    return [n, difference, round(float(random.uniform(0.1, 1)), 3), a, b]


def ranking() -> dict[str, str]:
    """Scores 0 to 9 of 1 to 30 documents, the grades of those and of some that were not found."""
    n, spread = int(random.integers(1, 31)), int(random.choice([2, 4, 10]))
    more, top = int(random.integers(0, 6)), int(random.integers(2, 5))
    rare = random.choice([0.1, 0.3, 0.8])
    grades = [g if random.random() < rare else 0 for g in ints(top, n + more)]
    return {
        "scores": "".join(map(str, ints(spread, n))),
        "grades": "".join(map(str, grades)),
        "order": " ".join(map(str, random.permutation(n + more).tolist())),
    }


KINDS = {
    "columns": column_pair, "sets": two_sets, "matched": matched, "labels": table_pair,
    "rated": rated, "gaps": gaps, "forecasts": forecasts, "p_values": p_values, "counts": counts,
    "plan": plan, "ranking": ranking,
}  # fmt: skip


def mean_difference(a, b, axis=-1):
    return np.mean(a, axis=axis) - np.mean(b, axis=axis)


def kappa(pair: list[str], weights: str | None) -> float:
    """statsmodels' kappa of a table over the labels found."""
    labels = sorted({*pair[0], *pair[1]})
    table = np.zeros((len(labels), len(labels)))
    for one, other in zip(*pair, strict=True):
        table[labels.index(one), labels.index(other)] += 1
    return raters.cohens_kappa(table, wt=weights, return_results=False)


def fleiss(rows: list[str]) -> float:
    return raters.fleiss_kappa(raters.aggregate_raters([list(map(int, row)) for row in rows])[0])


def alpha(rows: list[str], level: str) -> float | None:
    data = [[math.nan if one == "-" else int(one) for one in row] for row in rows]
    try:
        return krippendorff.alpha(np.array(data).T, level_of_measurement=level)
    except ValueError:  # a single label, or nothing rated twice
        return None


def mcnemar(case: list[list[int]]) -> float:
    """The exact test on the two columns' parities."""
    a, b = (np.array(side) % 2 for side in case)
    table = [[int(((a == x) & (b == y)).sum()) for y in (1, 0)] for x in (1, 0)]
    return tables.mcnemar(table, exact=True).pvalue


def curve(case: list[list[float]], strategy: str, side: int) -> list[float]:
    """Observed or stated shares of scikit-learn's reliability curve."""
    stated, came = case
    observed, mean = sklearn.calibration.calibration_curve(
        came, stated, n_bins=5, strategy=strategy
    )
    return (mean, observed)[side].tolist()


def trec(case: dict[str, str], name: str) -> float | None:
    """One measure of trec_eval; None without a relevant document."""
    names = [f"d{int(place):02d}" for place in case["order"].split()]
    grades = {name: int(g) for name, g in zip(names, case["grades"], strict=True)}
    scores = {n: float(s) for n, s in zip(names, case["scores"], strict=False)}
    if not any(grades.values()):
        return None
    return pytrec_eval.RelevanceEvaluator({"q": grades}, {name}).evaluate({"q": scores})["q"][
        name.replace(".", "_")
    ]


def tied_ndcg(case: dict[str, str], exponential: bool, k: int | None) -> float | None:
    """scikit-learn's nDCG, which averages over ties, on the documents found."""
    n = len(case["scores"])
    grades = np.array([[int(g) for g in case["grades"][:n]]], dtype=float)
    if n < 2 or not grades.any():
        return None
    gains = 2.0**grades - 1 if exponential else grades
    return sklearn.metrics.ndcg_score(gains, [[int(s) for s in case["scores"]]], k=k)


def permuted(pair: list[list[int]], kind: str, alternative: str) -> float:
    return scipy.stats.permutation_test(
        pair, mean_difference, permutation_type=kind, n_resamples=np.inf, alternative=alternative
    ).pvalue  # fmt: skip


def corrected(method: str):
    """Adjusted p-values."""
    return lambda values: multitest.multipletests(values, method=method)[1].tolist()


def newcombe(case: list[int], side: int) -> float:
    a, n, b, m = case
    return proportion.confint_proportions_2indep(a, n, b, m, compare="diff", method="newcomb")[side]


def wilson(case: list[int], side: int) -> float:
    return proportion.proportion_confint(case[0], case[1], method="wilson")[side]


def two_rates(case: list[float]) -> float:
    n, *_, a, b = case
    return proportion.power_proportions_2indep(a - b, b, n, return_results=False)


TREC = {
    "recall@5": "recall.5", "precision@5": "P.5", "hit@5": "success.5", "mrr": "recip_rank",
    "average_precision": "map", "average_precision@5": "map_cut.5", "ndcg": "ndcg",
    "ndcg@5": "ndcg_cut.5", "r_precision": "Rprec",
}  # fmt: skip

MEASURES = {
    "pearson": ("scipy", "columns", lambda c: scipy.stats.pearsonr(*c).statistic),
    "spearman": ("scipy", "columns", lambda c: scipy.stats.spearmanr(*c).statistic),
    "kendall": ("scipy", "columns", lambda c: scipy.stats.kendalltau(*c).statistic),
    "sign_flip": ("scipy", "matched", lambda c: permuted(c, "samples", "two-sided")),
    "sign_flip|greater": ("scipy", "matched", lambda c: permuted(c, "samples", "greater")),
    "permutation": ("scipy", "sets", lambda c: permuted(c, "independent", "two-sided")),
    "permutation|less": ("scipy", "sets", lambda c: permuted(c, "independent", "less")),
    "mcnemar|exact": ("statsmodels", "columns", mcnemar),
    "binomial_below": ("scipy", "counts", lambda c: scipy.stats.binom.cdf(c[0], c[1], 0.3)),
    "wilson|low": ("statsmodels", "counts", lambda c: wilson(c, 0)),
    "wilson|high": ("statsmodels", "counts", lambda c: wilson(c, 1)),
    "newcombe|low": ("statsmodels", "counts", lambda c: newcombe(c, 0)),
    "newcombe|high": ("statsmodels", "counts", lambda c: newcombe(c, 1)),
    "bonferroni": ("statsmodels", "p_values", corrected("bonferroni")),
    "holm": ("statsmodels", "p_values", corrected("holm")),
    "benjamini-hochberg": ("statsmodels", "p_values", corrected("fdr_bh")),
    "power_of_mean": (
        "statsmodels", "plan", lambda c: power.normal_power(abs(c[1]) / c[2], c[0], 0.05),
    ),
    "power_of_rates": ("statsmodels", "plan", two_rates),
    "student_quantile": ("scipy", "plan", lambda c: scipy.stats.t.isf(c[4] ** 8 / 2, c[0])),
    "chi_square_tail": ("scipy", "plan", lambda c: scipy.stats.chi2.sf(40 * c[4], c[0] % 60 + 1)),
    "cohen_kappa": ("statsmodels", "labels", lambda c: kappa(c, None)),
    "cohen_kappa|linear": ("statsmodels", "labels", lambda c: kappa(c, "linear")),
    "cohen_kappa|quadratic": ("statsmodels", "labels", lambda c: kappa(c, "quadratic")),
    "fleiss_kappa": ("statsmodels", "rated", fleiss),
    **{
        f"krippendorff_alpha|{level}": ("krippendorff", "gaps", lambda c, at=level: alpha(c, at))
        for level in ("nominal", "ordinal", "interval")
    },
    "brier": ("scikit-learn", "forecasts", lambda c: sklearn.metrics.brier_score_loss(c[1], c[0])),
    **{
        f"reliability|{by}|{name}": (
            "scikit-learn", "forecasts", lambda c, s=strategy, i=side: curve(c, s, i),
        )
        for by, strategy in (("width", "uniform"), ("mass", "quantile"))
        for side, name in enumerate(("stated", "observed"))
    },
    **{
        name: ("pytrec-eval-terrier", "ranking", lambda c, at=peer: trec(c, at))
        for name, peer in TREC.items()
    },
    "ndcg|average": ("scikit-learn", "ranking", lambda c: tied_ndcg(c, False, None)),
    "ndcg@5|average|exponential": ("scikit-learn", "ranking", lambda c: tied_ndcg(c, True, 5)),
}  # fmt: skip


def plain(value):
    """Numbers in 14 digits; None where the peer gives none."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if value is None or not math.isfinite(value) else float(f"{value:.14g}")


def main() -> None:
    """Write the fixture."""
    warnings.simplefilter("ignore")  # peers warn where they give nan
    inputs = {kind: [make() for _ in range(CASES)] for kind, make in KINDS.items()}
    expected = {
        name: {"peer": peer, "input": kind, "values": [plain(of(case)) for case in inputs[kind]]}
        for name, (peer, kind, of) in MEASURES.items()
    }
    peers = {name: metadata.version(name) for name in PACKAGES}
    told = json.dumps({"peers": peers, "inputs": inputs, "expected": expected})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(lzma.compress(told.encode(), preset=9))
    print(f"{OUT.name}: {len(expected)} measures of {CASES} cases, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
