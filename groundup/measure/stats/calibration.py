"""Calibration: when a model says 80 %, is it right 80 times in 100?

    reliability         predicted and observed frequency per bin, with its interval
    calibration_error   mean distance of the two (ECE), and its value for a calibrated model
    brier_score         Brier score and its decomposition
    reliability_diagram for a page
    auroc               how well scores tell positives from negatives

Bins have equal width, or equal mass (the same number of predictions), and include their upper edge.
A finite sample's ECE is never 0, and larger with fewer predictions per bin: so it comes with the
ECE of a perfectly calibrated model on the same predictions.
Source: Guo et al. 2017, arXiv:1706.04599 (ECE); Kumar et al. 2019, arXiv:1909.10155 (debiased
squared error); Murphy 1973 and Stephenson et al. 2008, doi:10.1175/2007WAF2006116.1 (Brier).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from groundup.core import ConfigError, DataError, check_choice, page

from .grouping import Values, as_float_column
from .interval import Interval, wilson_interval

BinEdges = Literal["width", "mass"]
DRAWS = 1000


class CalibrationBin(NamedTuple):
    """The predictions in one bin."""

    low: float
    high: float
    """Inclusive."""
    n: int
    predicted: float
    """Mean predicted probability."""
    observed: Interval
    """Observed frequency."""


class CalibrationError(NamedTuple):
    """Expected calibration error (ECE), with its distribution for a calibrated model."""

    value: float
    """Distance of predicted and observed frequency per bin, averaged over predictions."""
    by_chance: float
    """Its mean for a perfectly calibrated model with these probabilities."""
    p: float
    """Probability that such a model has this value or more."""
    debiased_square: float
    """Debiased mean squared distance; may be below 0."""
    signature: str

    def __str__(self) -> str:
        """The error, its expected value by chance, and the p-value."""
        return f"{self.value:.4g}, {self.by_chance:.4g} by chance (p = {self.p:.2g})"


class BrierScore(NamedTuple):
    """Brier score (mean squared error of probabilities) and its decomposition.

    score = reliability - resolution + uncertainty + within
    """

    score: float
    reliability: float
    """Squared distance of predicted and observed frequency per bin: 0 is calibrated."""
    resolution: float
    """Squared distance of the bins' frequencies from the overall one: higher is better."""
    uncertainty: float
    """Variance of the outcomes, independent of the forecast."""
    within: float
    """Within-bin remainder; 0 if all probabilities of a bin are equal."""


def reliability(
    probabilities: Values, outcomes: Values, *, bins: int = 10, by: BinEdges = "width",
    confidence: float = 0.95,
) -> list[CalibrationBin]:  # fmt: skip
    """Predicted and observed frequency of each non-empty bin.

    >>> [(b.n, b.predicted, b.observed.estimate) for b in reliability([0.2, 0.2, 0.9], [0, 1, 1])]
    [(2, 0.2, 0.5), (1, 0.9, 1.0)]
    """
    predicted, observed = _validate_predictions(probabilities, outcomes)
    edges, indices = _assign_bins(predicted, bins, by)
    table = []
    for index in np.unique(indices):
        inside = indices == index
        n, ones = int(inside.sum()), float(observed[inside].sum())
        low, high = float(edges[index]), float(edges[index + 1])
        seen = wilson_interval(ones, n, confidence=confidence)
        table.append(CalibrationBin(low, high, n, float(predicted[inside].mean()), seen))
    return table


def calibration_error(
    probabilities: Values, outcomes: Values, *, bins: int = 15, by: BinEdges = "width",
    seed: int = 0,
) -> CalibrationError:  # fmt: skip
    """Expected calibration error, and its value for a perfectly calibrated model.

    For multiple choice, give the probability of the chosen option and whether it was right.

    >>> print(calibration_error([0.75] * 40, [1, 1, 0, 1] * 10).value)
    0.0
    """
    predicted, observed = _validate_predictions(probabilities, outcomes)
    _, indices = _assign_bins(predicted, bins, by)
    value = float(_calibration_errors(predicted, observed[None], indices)[0])
    random, n = np.random.default_rng(seed), len(predicted)
    size = max(1, 2**20 // n)
    shapes = [(min(size, DRAWS - start), n) for start in range(0, DRAWS, size)]
    null = np.concatenate(
        [_calibration_errors(predicted, random.random(s) < predicted, indices) for s in shapes]
    )
    p = float((1 + (null >= value - 1e-12).sum()) / (DRAWS + 1))
    signature = f"ece|bins:{bins}|by:{by}"
    square = _debiased_square(predicted, observed, indices)
    return CalibrationError(value, float(null.mean()), p, square, signature)


def brier_score(
    probabilities: Values, outcomes: Values, *, bins: int = 10, by: BinEdges = "width"
) -> BrierScore:
    """Brier score and its decomposition.

    >>> brier_score([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 1]).score
    0.25
    """
    predicted, observed = _validate_predictions(probabilities, outcomes)
    _, indices = _assign_bins(predicted, bins, by)
    sizes, means, shares = _bin_means(predicted, observed, indices)
    score, base = float(((predicted - observed) ** 2).mean()), float(observed.mean())
    n = len(predicted)
    reliable = float((sizes * (means - shares) ** 2).sum() / n)
    resolved = float((sizes * (shares - base) ** 2).sum() / n)
    uncertain = base * (1 - base)
    within = score - (reliable - resolved + uncertain)
    return BrierScore(score, reliable, resolved, uncertain, within)


def reliability_diagram(title: str, table: Sequence[CalibrationBin]) -> page.Html:
    """Reliability diagram: observed over predicted frequency, with intervals and the diagonal."""
    stated, shares = [bin.predicted for bin in table], [list(bin.observed[:3]) for bin in table]
    columns = [list(column) for column in zip(*shares, strict=True)] or [[], [], []]
    lines = [
        page.Series("observed", stated, *columns),
        page.Series("calibrated", [0.0, 1.0], [0.0, 1.0]),
    ]
    return page.line_chart(
        title, lines, x_label="stated probability", y_label="share that came true"
    )


def _validate_predictions(probabilities: Values, outcomes: Values) -> tuple[np.ndarray, np.ndarray]:
    """Validate non-empty probabilities (0 to 1) and outcomes (0 or 1); return float64 (N,)."""
    predicted = as_float_column("probabilities", probabilities, len(probabilities))
    observed = as_float_column("outcomes", outcomes, len(predicted))
    if not len(predicted):
        raise DataError("Calibration needs predictions; got none.")
    if predicted.min() < 0 or predicted.max() > 1:
        raise DataError("Probabilities must lie between 0 and 1; take the sigmoid of logits.")
    if not np.isin(observed, (0, 1)).all():
        raise DataError("Outcomes must be 0 or 1.")
    return predicted, observed


def _assign_bins(predicted: np.ndarray, bins: int, by: BinEdges) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the bins (bins + 1,), and the bin index of each probability (N,)."""
    if bins < 1:
        raise ConfigError(f"bins={bins} must be 1 or more.")
    edges = np.linspace(0, 1, bins + 1)
    if check_choice("by", by, get_args(BinEdges)) == "mass":
        edges = np.quantile(predicted, edges)
    return edges, np.searchsorted(edges[1:-1], predicted, side="left")


def _bin_means(
    predicted: np.ndarray, observed: np.ndarray, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, mean probabilities and observed frequencies of the non-empty bins."""
    sizes = np.bincount(indices).astype(np.float64)
    full = sizes > 0
    means = np.bincount(indices, predicted)[full] / sizes[full]
    return sizes[full], means, np.bincount(indices, observed)[full] / sizes[full]


def _calibration_errors(
    predicted: np.ndarray, observed: np.ndarray, indices: np.ndarray
) -> np.ndarray:
    """ECE of each row of outcomes (R, N): a bin counts |Σ (predicted - observed)| / N."""
    order = np.argsort(indices, kind="stable")
    starts = np.flatnonzero(np.diff(indices[order], prepend=-1))
    gaps = np.add.reduceat((predicted - observed)[:, order], starts, axis=1)
    return np.abs(gaps).sum(axis=1) / len(predicted)


def _debiased_square(predicted: np.ndarray, observed: np.ndarray, indices: np.ndarray) -> float:
    """Mean squared distance minus the bias from the outcomes' variance; skips bins of one."""
    sizes, means, shares = _bin_means(predicted, observed, indices)
    several = sizes > 1
    sizes, means, shares = sizes[several], means[several], shares[several]
    bias = shares * (1 - shares) / np.maximum(sizes - 1, 1)
    return float((sizes * ((means - shares) ** 2 - bias)).sum() / len(predicted))


def auroc(scores: Values, labels: Values) -> float:
    """The probability that a positive scores above a negative, ties counting half.

    Raises DataError unless there are both.

    >>> auroc([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
    0.875
    """
    scored = as_float_column("scores", scores, len(labels))
    positive = as_float_column("labels", labels, len(labels)) > 0
    if not 0 < positive.sum() < len(positive):
        raise DataError("An area under the curve needs positives and negatives, one score each.")
    order, counts = np.unique(scored, return_inverse=True, return_counts=True)[1:]
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[order]  # from 1, ties share the mean
    m, n = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - m * (m + 1) / 2) / (m * n))
