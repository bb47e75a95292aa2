"""Agreement between raters, or correlation of a metric with the truth.

    cohen_kappa          two raters' labels, unweighted or weighted by distance
    fleiss_kappa         many raters, the same number for each item
    krippendorff_alpha   many raters, some missing; nominal, ordinal or interval
    pearson, spearman, kendall    two columns of numbers

Intervals of kappa and alpha allow for one unseen item (sums.py): 20 items on which all agree do
not show that raters always agree. Correlations have a bootstrap interval over items (or groups),
with percentiles corrected for few groups. An undefined result, such as the correlation with a
constant, is a Reason. For rare labels kappa and alpha are low even if raters nearly always agree:
report the share of agreement too.
Source: Cohen 1960 and 1968; Fleiss 1971, doi:10.1037/h0031619; Krippendorff 2011; Kendall 1945
(tau-b); Knight 1966, doi:10.1080/01621459.1966.10480879 (in n log n).
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Literal, get_args

import numpy as np

from groundup.core import DataError, Reason, check_choice

from .grouping import Groups, Values, as_float_column, group_codes
from .interval import Interval, check_resampling, expanded_tail
from .sums import SumFunction, bayesian_bootstrap_sums

REPEATS = 1000
EXTREME_LABELS = 4
"""Number of most and of least frequent labels from which an unseen item is built."""
MeasurementLevel = Literal["nominal", "ordinal", "interval"]
KappaWeights = Literal["none", "linear", "quadratic"]
PairStatistic = Callable[[np.ndarray, np.ndarray], float | None]


def pearson(
    a: Values, b: Values, groups: Groups = None, *, confidence: float = 0.95, repeats: int = REPEATS
) -> Interval | Reason:
    """Linear correlation.

    >>> pearson([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]).estimate
    1.0
    """
    return _bootstrap_statistic(_pearson_r, a, b, groups, confidence, repeats)


def spearman(
    a: Values, b: Values, groups: Groups = None, *, confidence: float = 0.95, repeats: int = REPEATS
) -> Interval | Reason:
    """Correlation of the ranks; tied values share their mean rank.

    >>> spearman([1.0, 2.0, 3.0], [1.0, 10.0, 100.0]).estimate
    1.0
    """
    return _bootstrap_statistic(
        lambda left, right: _pearson_r(_mean_ranks(left), _mean_ranks(right)),
        a, b, groups, confidence, repeats,
    )  # fmt: skip


def kendall(
    a: Values, b: Values, groups: Groups = None, *, confidence: float = 0.95, repeats: int = REPEATS
) -> Interval | Reason:
    """Kendall's tau-b: concordant minus discordant pairs, relative to those without ties.

    >>> kendall([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0]).estimate      # (5 - 1) / 6
    0.6666666666666666
    """
    return _bootstrap_statistic(_kendall_tau_b, a, b, groups, confidence, repeats)


def cohen_kappa(
    a: Sequence[Hashable], b: Sequence[Hashable], groups: Groups = None, *,
    weights: KappaWeights = "none", order: Sequence[Hashable] = (), confidence: float = 0.95,
    repeats: int = REPEATS,
) -> Interval | Reason:  # fmt: skip
    """Agreement of two raters beyond chance.

    `weights` scale a disagreement by the labels' distance in `order`, which lists all labels;
    by default the labels that occur are sorted.

    >>> cohen_kappa("yyyynnnn", "yyynnnny").estimate
    0.5
    """
    check_choice("weights", weights, get_args(KappaWeights))
    if len(a) != len(b):
        raise DataError(f"{len(a)} labels need as many from the other rater; got {len(b)}.")
    labels = _label_scale({*a, *b}, order, weights != "none")
    codes = {label: code for code, label in enumerate(labels)}
    sides = [np.eye(len(labels))[[codes[label] for label in side]] for side in (a, b)]
    apart = np.abs(np.arange(len(labels))[:, None] - np.arange(len(labels)))
    costs = {"none": apart > 0, "linear": apart, "quadratic": apart**2}[weights].astype(np.float64)

    def rows(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.column_stack([((left @ costs) * right).sum(axis=1), left, right])

    def kappa(sums: np.ndarray) -> float | None:
        left, right = sums[1 : 1 + len(labels)], sums[1 + len(labels) :]
        number = left.sum()
        chance = float(left @ costs @ right) / number**2
        return _chance_corrected(float(sums[0]) / number, chance)

    first, second = _label_pairs(sides[0].sum(axis=0) + sides[1].sum(axis=0)) if a else sides
    unseen = (rows(first, second) + rows(second, first)) / 2
    return _interval_with_unseen(kappa, rows(*sides), unseen, groups, confidence, repeats)


def fleiss_kappa(
    ratings: Sequence[Sequence[Hashable]], groups: Groups = None, *, confidence: float = 0.95,
    repeats: int = REPEATS,
) -> Interval | Reason:  # fmt: skip
    """Agreement of raters beyond chance; one row of labels per item, all of equal length.

    >>> fleiss_kappa(["aab", "bbb", "aaa", "bba"]).estimate
    0.33333333333333326
    """
    raters = len(ratings[0]) if ratings else 0
    if any(len(row) != raters for row in ratings):
        raise DataError("Items differ in their number of ratings; use krippendorff_alpha.")
    if ratings and raters < 2:
        return Reason("too_few_raters", f"Agreement needs 2 raters; got {raters}.")
    counts, _ = _label_counts(ratings, is_sorted=False)

    def rows(counts: np.ndarray) -> np.ndarray:
        alike = (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))
        return np.column_stack([1 - alike, counts / raters])

    def kappa(sums: np.ndarray) -> float | None:
        number = sums[1:].sum()
        shares = sums[1:] / number
        return _chance_corrected(float(sums[0]) / number, 1 - float((shares**2).sum()))

    first, second = _label_pairs(counts.sum(axis=0)) if ratings else (counts, counts)
    unseen = rows(raters / 2 * (first + second))
    return _interval_with_unseen(kappa, rows(counts), unseen, groups, confidence, repeats)


def krippendorff_alpha(
    ratings: Sequence[Sequence[Hashable]], level: MeasurementLevel = "nominal",
    groups: Groups = None, *, order: Sequence[Hashable] = (), confidence: float = 0.95,
    repeats: int = REPEATS,
) -> Interval | Reason:  # fmt: skip
    """Agreement beyond chance of any number of raters; one row per item, None if missing.

    Items with fewer than two ratings are ignored. `order` lists the labels of an ordinal scale from
    first to last; by default they are sorted.

    >>> krippendorff_alpha([[1, 1], [2, 2], [3, None], [1, 2]], "interval").estimate
    0.4444444444444444
    """
    check_choice("level", level, get_args(MeasurementLevel))
    present = [tuple(label for label in row if label is not None) for row in ratings]
    chosen = [index for index, row in enumerate(present) if len(row) > 1]
    counts, labels = _label_counts([present[i] for i in chosen], level != "nominal", order)
    if level == "interval" and not all(isinstance(label, int | float) for label in labels):
        raise DataError(f"Ratings of an interval scale must be numbers; got {labels[-1]!r}.")
    values = np.array(labels if level == "interval" else range(len(labels)), dtype=np.float64)
    if groups is not None and len(groups) != len(ratings):
        raise DataError(f"{len(ratings)} items need as many groups; got {len(groups)}.")
    chosen_groups = None if groups is None else [groups[index] for index in chosen]
    size = len(labels)

    def rows(counts: np.ndarray) -> np.ndarray:
        weighted = counts / (counts.sum(axis=1, keepdims=True) - 1)
        if level == "ordinal":  # ordinal distances depend on the totals, known only from the sums
            pairs = counts[:, :, None] * weighted[:, None] * (1 - np.eye(size))
            return np.column_stack([counts, pairs.reshape(len(counts), size**2)])
        apart = _squared_distances(level, values, values)
        return np.column_stack([counts, ((counts @ apart) * weighted).sum(axis=1)])

    def alpha(sums: np.ndarray) -> float | None:
        totals, number = sums[:size], sums[:size].sum()
        costs = _squared_distances(level, values, totals)
        chance = float(totals @ costs @ totals) / (number - 1)
        seen = sums[size:] @ costs.ravel() if level == "ordinal" else sums[size]
        return _chance_corrected(float(seen), chance)

    usual = counts.sum() / max(1, len(counts))
    first, second = _label_pairs(counts.sum(axis=0)) if chosen else (counts, counts)
    unseen = rows(first + second) * usual / 2
    return _interval_with_unseen(alpha, rows(counts), unseen, chosen_groups, confidence, repeats)


def _label_pairs(totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Candidate label pairs of two raters for an unseen item, each one-hot (pairs, labels).

    Combines the labels at both ends of the scale and the most and least frequent ones.
    """
    ranked = np.argsort(-totals, kind="stable")
    ends = {0, len(totals) - 1}
    some = sorted({*ends, *ranked[:EXTREME_LABELS].tolist(), *ranked[-EXTREME_LABELS:].tolist()})
    pairs = np.array([(x, y) for x in some for y in some if x <= y])
    return np.eye(len(totals))[pairs[:, 0]], np.eye(len(totals))[pairs[:, 1]]


def _squared_distances(
    level: MeasurementLevel, values: np.ndarray, totals: np.ndarray
) -> np.ndarray:
    """Squared distance of each pair of labels (labels, labels); ordinal uses mean ranks."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "ordinal":
        values = totals.cumsum() - totals / 2
    return (values[:, None] - values) ** 2


def _chance_corrected(disagreement: float, by_chance: float) -> float | None:
    """1 - disagreement / expected disagreement; None if the latter is 0."""
    return float(1 - disagreement / by_chance) if by_chance > 0 else None


def _label_counts(
    ratings: Sequence[Sequence[Hashable]], is_sorted: bool, order: Sequence[Hashable] = ()
) -> tuple[np.ndarray, list[Hashable]]:
    """How often each item got each label (items, labels), and the labels."""
    labels = _label_scale({label for row in ratings for label in row}, order, is_sorted)
    codes = {label: code for code, label in enumerate(labels)}
    counts = np.zeros((len(ratings), len(labels)))
    for item, row in enumerate(ratings):
        for label in row:
            counts[item, codes[label]] += 1
    return counts, labels


def _label_scale(labels: set, order: Sequence[Hashable], is_sorted: bool) -> list[Hashable]:
    """All labels from first to last: those of `order`, or those that occur, sorted."""
    if None in labels or any(isinstance(label, float) and label != label for label in labels):
        raise DataError("A rating is missing (None or NaN); use krippendorff_alpha, with None.")
    if order:
        if labels - set(order) or len(set(order)) < len(order):
            wrong = sorted(map(repr, labels - set(order))) or ["a label twice"]
            raise DataError(f"order={list(order)} must hold every label once; got {wrong[0]}.")
        return list(order)
    try:
        return sorted(labels)
    except TypeError:
        if is_sorted:
            raise DataError("Labels of several types have no order; name it by order=.") from None
        return sorted(labels, key=repr)


def _interval_with_unseen(
    of: SumFunction, rows: np.ndarray, unseen: np.ndarray, groups: Groups, confidence: float,
    repeats: int,
) -> Interval | Reason:  # fmt: skip
    """A function of the items' sums with an interval that allows for one `unseen` item."""
    check_resampling(repeats)
    if missing := _too_few_reason(len(rows), groups):
        return missing
    codes, how = group_codes(groups, len(rows), "items"), (confidence, repeats)
    return bayesian_bootstrap_sums(of, rows, unseen, codes, *how) or Reason(*CONSTANT)


CONSTANT = "constant", "All ratings of a side are equal, so agreement is undefined."


def _too_few_reason(n: int, groups: Groups) -> Reason | None:
    if n < 2:
        return Reason("too_few_items", f"Agreement needs at least 2 items; got {n}.")
    number = int(group_codes(groups, n, "items").max()) + 1
    what = f"An interval needs at least 2 groups; got {number}."
    return Reason("too_few_groups", what) if number < 2 else None


def _bootstrap_statistic(
    statistic: PairStatistic, a: Values, b: Values, groups: Groups, confidence: float, repeats: int
) -> Interval | Reason:
    """A statistic of two columns with its bootstrap interval; the statistic may return None."""
    left, right = as_float_column("a", a, len(a)), as_float_column("b", b, len(a))
    check_resampling(repeats)
    n = len(left)
    if n < 2 and (missing := _too_few_reason(n, groups)):
        return missing
    codes, estimate = group_codes(groups, n, "items"), statistic(left, right)
    if estimate is None:
        return Reason(*CONSTANT)
    if missing := _too_few_reason(n, groups):
        return missing
    sizes = np.bincount(codes)
    rows, number = np.split(np.argsort(codes, kind="stable"), sizes.cumsum()[:-1]), len(sizes)
    random, estimates = np.random.default_rng(0), []
    for _ in range(repeats):
        drawn = random.integers(number, size=number)
        drawn = drawn if groups is None else np.concatenate([rows[i] for i in drawn])
        value = statistic(left[drawn], right[drawn])
        if value is not None:
            estimates.append(value)
    tail = expanded_tail(confidence, max(2.0, n**2 / float((sizes**2).sum())))
    low, high = np.quantile(estimates or [estimate], [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), confidence, n, number)


def _pearson_r(a: np.ndarray, b: np.ndarray) -> float | None:
    if (a == a[0]).all() or (b == b[0]).all():
        return None
    left, right = a - a.mean(), b - b.mean()
    left, right = left / np.abs(left).max(), right / np.abs(right).max()
    r = float(left @ right / np.sqrt((left @ left) * (right @ right)))
    return max(-1.0, min(1.0, r))


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; tied values share their mean rank.

    >>> _mean_ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[codes]


def _kendall_tau_b(a: np.ndarray, b: np.ndarray) -> float | None:
    """Kendall's tau-b; None if a side is constant."""
    left, right = (np.unique(side, return_inverse=True)[1] for side in (a, b))
    n, width = len(a), int(right.max()) + 1
    joint = left * width + right
    counts = (np.unique(codes, return_counts=True)[1] for codes in (left, right, joint))
    ties_left, ties_right, ties_both = (int((each * (each - 1) // 2).sum()) for each in counts)
    pairs = n * (n - 1) // 2
    if ties_left == pairs or ties_right == pairs:
        return None
    discordant = _count_inversions(right[np.argsort(joint, kind="stable")])
    score = pairs - ties_left - ties_right + ties_both - 2 * discordant
    return score / float(np.sqrt(float(pairs - ties_left) * float(pairs - ties_right)))


def _count_inversions(codes: np.ndarray) -> int:
    """Number of inversions, by a bottom-up merge sort; codes from 0.

    An offset separates the runs, so that one search counts, for every element of the second run of
    each pair, how many of the first are larger.

    >>> _count_inversions(np.array([2, 0, 1, 0]))
    4
    """
    width, length, total = int(codes.max()) + 1, 1, 0
    indices, codes = np.arange(len(codes)), codes.astype(np.int64)
    while length < len(codes):
        run = indices // (2 * length)
        is_second = indices // length % 2 == 1
        keys = codes + run * width
        first, second = keys[~is_second], keys[is_second]
        ends = np.searchsorted(first, (run[is_second] + 1) * width - 1, side="right")
        total += int((ends - np.searchsorted(first, second, side="right")).sum())
        codes = np.sort(keys) - run * width
        length *= 2
    return total
