"""Agreement: do two raters, or a measure and the truth, say the same?

    cohen_kappa          two raters' labels, plain or weighted by distance
    fleiss_kappa         many raters, as many for each item
    krippendorff_alpha   many raters, some missing; nominal, ordinal or interval
    pearson, spearman, kendall    two columns of numbers

Kappa and alpha come with an interval that leaves room for an item that was not seen (sums.py): 20
items on which all agree do not show that raters always would. Correlations have a bootstrap
interval over items (or their groups), percentiles at Student's level. Where the number is
undefined, such as the correlation with a constant, it is a Reason. Kappa and alpha of rare labels
are low even where raters nearly always agree: report the share of agreement beside them.
Source: Cohen 1960 and 1968; Fleiss 1971, doi:10.1037/h0031619; Krippendorff 2011; Kendall 1945
(tau-b); Knight 1966, doi:10.1080/01621459.1966.10480879 (in n log n).
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Literal, get_args

import numpy as np

from groundup.core import DataError, Reason, choice

from .grouping import Groups, Values, column, group_codes
from .interval import Interval, check_draws, tail_share
from .sums import Of, weighed

REPEATS = 1000
SOME = 4
"""Labels from each end of their frequencies of which an unseen item is made."""
Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["none", "linear", "quadratic"]
Measured = Callable[[np.ndarray], float | None]


def pearson(
    a: Values, b: Values, groups: Groups = None, *, confidence: float = 0.95, repeats: int = REPEATS
) -> Interval | Reason:
    """Linear correlation.

    >>> pearson([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]).estimate
    1.0
    """
    left, right = columns(a, b)
    return measured(
        lambda rows: correlation(left[rows], right[rows]), len(left), groups, confidence, repeats
    )


def spearman(
    a: Values, b: Values, groups: Groups = None, *, confidence: float = 0.95, repeats: int = REPEATS
) -> Interval | Reason:
    """Correlation of the ranks; tied values share their mean rank.

    >>> spearman([1.0, 2.0, 3.0], [1.0, 10.0, 100.0]).estimate
    1.0
    """
    left, right = columns(a, b)

    def rho(rows: np.ndarray) -> float | None:
        return correlation(ranks(left[rows]), ranks(right[rows]))

    return measured(rho, len(left), groups, confidence, repeats)


def kendall(
    a: Values, b: Values, groups: Groups = None, *, confidence: float = 0.95, repeats: int = REPEATS
) -> Interval | Reason:
    """Kendall's tau-b: concordant less discordant pairs, over those not tied on either side.

    >>> kendall([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0]).estimate      # (5 - 1) / 6
    0.6666666666666666
    """
    left, right = columns(a, b)
    return measured(
        lambda rows: tau(left[rows], right[rows]), len(left), groups, confidence, repeats
    )


def cohen_kappa(
    a: Sequence[Hashable], b: Sequence[Hashable], groups: Groups = None, *,
    weights: Weights = "none", order: Sequence[Hashable] = (), confidence: float = 0.95,
    repeats: int = REPEATS,
) -> Interval | Reason:  # fmt: skip
    """Agreement of two raters beyond chance.

    `weights` count a disagreement by the labels' distance in `order`, which lists all labels;
    without it, the labels found are sorted.

    >>> cohen_kappa("yyyynnnn", "yyynnnny").estimate
    0.5
    """
    choice("weights", weights, get_args(Weights))
    if len(a) != len(b):
        raise DataError(f"{len(a)} labels need as many from the other rater; got {len(b)}.")
    labels = scale({*a, *b}, order, weights != "none")
    codes = {label: place for place, label in enumerate(labels)}
    sides = [np.eye(len(labels))[[codes[one] for one in side]] for side in (a, b)]
    apart = np.abs(np.arange(len(labels))[:, None] - np.arange(len(labels)))
    costs = {"none": apart > 0, "linear": apart, "quadratic": apart**2}[weights].astype(np.float64)

    def rows(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.column_stack([((left @ costs) * right).sum(axis=1), left, right])

    def kappa(sums: np.ndarray) -> float | None:
        left, right = sums[1 : 1 + len(labels)], sums[1 + len(labels) :]
        number = left.sum()
        chance = float(left @ costs @ right) / number**2
        return less_than_chance(float(sums[0]) / number, chance)

    first, second = label_pairs(sides[0].sum(axis=0) + sides[1].sum(axis=0)) if a else sides
    unseen = (rows(first, second) + rows(second, first)) / 2
    return agreed(kappa, rows(*sides), unseen, groups, confidence, repeats)


def fleiss_kappa(
    ratings: Sequence[Sequence[Hashable]], groups: Groups = None, *, confidence: float = 0.95,
    repeats: int = REPEATS,
) -> Interval | Reason:  # fmt: skip
    """Agreement of raters beyond chance; one row of labels an item, equally many in each.

    >>> fleiss_kappa(["aab", "bbb", "aaa", "bba"]).estimate
    0.33333333333333326
    """
    raters = len(ratings[0]) if ratings else 0
    if any(len(row) != raters for row in ratings):
        raise DataError(
            "Every item needs as many ratings; use krippendorff_alpha with some missing."
        )
    if ratings and raters < 2:
        return Reason("too_few_raters", f"Agreement needs 2 raters; got {raters}.")
    counts, _ = label_counts(ratings, is_sorted=False)

    def rows(counts: np.ndarray) -> np.ndarray:
        alike = (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))
        return np.column_stack([1 - alike, counts / raters])

    def kappa(sums: np.ndarray) -> float | None:
        number = sums[1:].sum()
        shares = sums[1:] / number
        return less_than_chance(float(sums[0]) / number, 1 - float((shares**2).sum()))

    first, second = label_pairs(counts.sum(axis=0)) if ratings else (counts, counts)
    unseen = rows(raters / 2 * (first + second))
    return agreed(kappa, rows(counts), unseen, groups, confidence, repeats)


def krippendorff_alpha(
    ratings: Sequence[Sequence[Hashable]], level: Level = "nominal", groups: Groups = None, *,
    order: Sequence[Hashable] = (), confidence: float = 0.95, repeats: int = REPEATS,
) -> Interval | Reason:  # fmt: skip
    """Agreement beyond chance of any number of raters; one row an item, None where one is missing.

    Items with fewer than two ratings say nothing and are left out. `order` lists the labels of an
    ordinal scale from first to last; without it they are sorted.

    >>> krippendorff_alpha([[1, 1], [2, 2], [3, None], [1, 2]], "interval").estimate
    0.4444444444444444
    """
    choice("level", level, get_args(Level))
    kept = [tuple(one for one in row if one is not None) for row in ratings]
    chosen = [place for place, row in enumerate(kept) if len(row) > 1]
    counts, labels = label_counts([kept[i] for i in chosen], level != "nominal", order)
    if level == "interval" and not all(isinstance(one, int | float) for one in labels):
        raise DataError(f"Ratings of an interval scale must be numbers; got {labels[-1]!r}.")
    values = np.array(labels if level == "interval" else range(len(labels)), dtype=np.float64)
    if groups is not None and len(groups) != len(ratings):
        raise DataError(f"{len(ratings)} items need as many groups; got {len(groups)}.")
    chosen_groups = None if groups is None else [groups[place] for place in chosen]

    size = len(labels)

    def rows(counts: np.ndarray) -> np.ndarray:
        weighted = counts / (counts.sum(axis=1, keepdims=True) - 1)
        if level == "ordinal":  # labels lie as far apart as ratings lie between: known from sums
            pairs = counts[:, :, None] * weighted[:, None] * (1 - np.eye(size))
            return np.column_stack([counts, pairs.reshape(len(counts), size**2)])
        apart = squared_distances(level, values, values)
        return np.column_stack([counts, ((counts @ apart) * weighted).sum(axis=1)])

    def alpha(sums: np.ndarray) -> float | None:
        totals, number = sums[:size], sums[:size].sum()
        costs = squared_distances(level, values, totals)
        chance = float(totals @ costs @ totals) / (number - 1)
        seen = sums[size:] @ costs.ravel() if level == "ordinal" else sums[size]
        return less_than_chance(float(seen), chance)

    usual = counts.sum() / max(1, len(counts))
    first, second = label_pairs(counts.sum(axis=0)) if chosen else (counts, counts)
    unseen = rows(first + second) * usual / 2
    return agreed(alpha, rows(counts), unseen, chosen_groups, confidence, repeats)


def label_pairs(totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What two raters may say of an item that was not seen, each (pairs, labels).

    Pairs of the labels at both ends of the scale, and of the most common and the rarest ones.
    """
    ranked = np.argsort(-totals, kind="stable")
    ends = {0, len(totals) - 1}
    some = sorted({*ends, *ranked[:SOME].tolist(), *ranked[-SOME:].tolist()})
    pairs = np.array([(x, y) for x in some for y in some if x <= y])
    return np.eye(len(totals))[pairs[:, 0]], np.eye(len(totals))[pairs[:, 1]]


def squared_distances(level: Level, values: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """How much each pair of labels differs, (labels, labels); ordinal counts the labels between."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "ordinal":
        values = totals.cumsum() - totals / 2
    return (values[:, None] - values) ** 2


def less_than_chance(disagreement: float, by_chance: float) -> float | None:
    """1 - disagreement / what chance would give; None where chance gives none."""
    return float(1 - disagreement / by_chance) if by_chance > 0 else None


def label_counts(
    ratings: Sequence[Sequence[Hashable]], is_sorted: bool, order: Sequence[Hashable] = ()
) -> tuple[np.ndarray, list[Hashable]]:
    """How often each item got each label (items, labels), and the labels."""
    found = {one for row in ratings for one in row}
    labels = scale(found, order, is_sorted)
    codes = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(ratings), len(labels)))
    for item, row in enumerate(ratings):
        for one in row:
            counts[item, codes[one]] += 1
    return counts, labels


def scale(found: set, order: Sequence[Hashable], is_sorted: bool) -> list[Hashable]:
    """All labels from first to last: those of `order`, or those found in their own order."""
    if None in found or any(isinstance(one, float) and one != one for one in found):
        raise DataError("A rating is missing (None or NaN); use krippendorff_alpha, with None.")
    if order:
        if found - set(order) or len(set(order)) < len(order):
            strange = sorted(map(repr, found - set(order))) or ["a label twice"]
            raise DataError(f"order={list(order)} must hold every label once; got {strange[0]}.")
        return list(order)
    try:
        return sorted(found)
    except TypeError:
        if is_sorted:
            raise DataError("Labels of several types have no order; name it by order=.") from None
        return sorted(found, key=repr)


def columns(a: Values, b: Values) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 (N,), checked."""
    left = column("a", a, len(a))
    return left, column("b", b, len(left))


def agreed(
    of: Of, rows: np.ndarray, unseen: np.ndarray, groups: Groups, confidence: float, repeats: int
) -> Interval | Reason:
    """A function of the items' sums with an interval that leaves room for one more of `unseen`."""
    check_draws(repeats)
    if missing := too_few(len(rows), groups):
        return missing
    codes = group_codes(groups, len(rows), "items")
    found = weighed(of, rows, unseen, codes, confidence=confidence, repeats=repeats)
    return found or Reason(*CONSTANT)


CONSTANT = "constant", "All ratings of a side are equal: agreement is undefined."


def too_few(n: int, groups: Groups) -> Reason | None:
    """Why there is no interval of so many items; None if there is one."""
    if n < 2:
        return Reason("too_few_items", f"Agreement needs at least 2 items; got {n}.")
    number = int(group_codes(groups, n, "items").max()) + 1
    if number < 2:
        return Reason("too_few_groups", f"An interval needs at least 2 groups; got {number}.")
    return None


def measured(
    statistic: Measured, n: int, groups: Groups, confidence: float, repeats: int
) -> Interval | Reason:
    """A statistic of the chosen items with its bootstrap interval; None is undefined."""
    check_draws(repeats)
    if n < 2:
        return Reason("too_few_items", f"Agreement needs at least 2 items; got {n}.")
    codes, estimate = group_codes(groups, n, "items"), statistic(np.arange(n))
    if estimate is None:
        return Reason(*CONSTANT)
    if missing := too_few(n, groups):
        return missing
    sizes = np.bincount(codes)
    rows, number = np.split(np.argsort(codes, kind="stable"), sizes.cumsum()[:-1]), len(sizes)
    random, found = np.random.default_rng(0), []
    for _ in range(repeats):
        drawn = random.integers(number, size=number)
        value = statistic(drawn if groups is None else np.concatenate([rows[i] for i in drawn]))
        if value is not None:
            found.append(value)
    tail = tail_share(confidence, max(2.0, n**2 / float((sizes**2).sum())))
    low, high = np.quantile(found or [estimate], [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), confidence, n, number)


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's r; None if a side is constant."""
    if (a == a[0]).all() or (b == b[0]).all():
        return None
    left, right = a - a.mean(), b - b.mean()
    left, right = left / np.abs(left).max(), right / np.abs(right).max()
    found = float(left @ right / np.sqrt((left @ left) * (right @ right)))
    return max(-1.0, min(1.0, found))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; tied values share their mean rank.

    >>> ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[codes]


def tau(a: np.ndarray, b: np.ndarray) -> float | None:
    """Kendall's tau-b; None if a side is constant."""
    left, right = (np.unique(side, return_inverse=True)[1] for side in (a, b))
    n, width = len(a), int(right.max()) + 1
    joint = left * width + right
    ties_left, ties_right, ties_both = (tied_pairs(side) for side in (left, right, joint))
    pairs = n * (n - 1) // 2
    if ties_left == pairs or ties_right == pairs:
        return None
    discordant = inversions(right[np.argsort(joint, kind="stable")])
    score = pairs - ties_left - ties_right + ties_both - 2 * discordant
    return score / float(np.sqrt(float(pairs - ties_left) * float(pairs - ties_right)))


def tied_pairs(codes: np.ndarray) -> int:
    """Number of pairs with equal codes."""
    counts = np.unique(codes, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


def inversions(codes: np.ndarray) -> int:
    """Number of pairs in falling order, by merging runs of doubled length; codes from 0.

    Runs are kept apart by an offset, so that one search finds, for every element of the second
    run of each pair, how many of the first are larger.

    >>> inversions(np.array([2, 0, 1, 0]))
    4
    """
    width, length, total = int(codes.max()) + 1, 1, 0
    places, codes = np.arange(len(codes)), codes.astype(np.int64)
    while length < len(codes):
        run = places // (2 * length)
        is_second = places // length % 2 == 1
        keys = codes + run * width
        first, second = keys[~is_second], keys[is_second]
        ends = np.searchsorted(first, (run[is_second] + 1) * width - 1, side="right")
        total += int((ends - np.searchsorted(first, second, side="right")).sum())
        codes = np.sort(keys) - run * width
        length *= 2
    return total
