"""Calibration: when a model says 80 %, is it right 80 times in 100?

    reliability         the table: stated and observed share in each bin, with its interval
    calibration_error   mean distance of the two (ECE), and what chance alone would show
    brier               squared error of the probabilities, taken apart
    picture             the table as a chart for a page

Bins are of equal width, or of equal mass: as many predictions in each. A bin holds its upper edge.
An ECE is never 0 by chance, and the fewer predictions a bin has the larger it is: so it comes with
what a perfectly calibrated model would get on the same predictions.
Source: Guo et al. 2017, arXiv:1706.04599 (ECE); Kumar et al. 2019, arXiv:1909.10155 (debiased
squared error); Murphy 1973 and Stephenson et al. 2008, doi:10.1175/2007WAF2006116.1 (Brier).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from groundup.core import ConfigError, DataError, choice, page

from .grouping import Values, column
from .interval import Interval, wilson

Bins = Literal["width", "mass"]
DRAWS = 1000


class Bin(NamedTuple):
    """The predictions between two edges."""

    low: float
    high: float
    """Included."""
    n: int
    stated: float
    """Mean probability."""
    observed: Interval
    """Share that came true."""


class CalibrationError(NamedTuple):
    """How far stated and observed shares lie apart."""

    value: float
    """Mean over predictions of the distance of stated and observed share in their bin."""
    by_chance: float
    """Mean of the same for a perfectly calibrated model with these probabilities."""
    p: float
    """Probability that such a model shows this value or more."""
    debiased_square: float
    """Mean squared distance less what chance adds to it; may lie below 0."""
    signature: str

    def __str__(self) -> str:
        """The error beside what chance alone gives."""
        return f"{self.value:.4g}, {self.by_chance:.4g} by chance (p = {self.p:.2g})"


class Brier(NamedTuple):
    """The mean squared error of probabilities and its parts.

    score = reliability - resolution + uncertainty + within
    """

    score: float
    reliability: float
    """Squared distance of stated and observed share, by bin: 0 is calibrated."""
    resolution: float
    """Squared distance of the bins' shares from the overall share: more is better."""
    uncertainty: float
    """Variance of the outcomes, which no forecast changes."""
    within: float
    """What the bins' width hides; 0 where all probabilities of a bin are equal."""


def reliability(
    probabilities: Values, outcomes: Values, *, bins: int = 10, by: Bins = "width",
    confidence: float = 0.95,
) -> list[Bin]:  # fmt: skip
    """Stated and observed share in each bin that is not empty.

    >>> [(b.n, b.stated, b.observed.estimate) for b in reliability([0.2, 0.2, 0.9], [0, 1, 1])]
    [(2, 0.2, 0.5), (1, 0.9, 1.0)]
    """
    stated, came = forecasts(probabilities, outcomes)
    edges, places = cut(stated, bins, by)
    found = []
    for place in np.unique(places):
        inside = places == place
        n, ones = int(inside.sum()), float(came[inside].sum())
        low, high = float(edges[place]), float(edges[place + 1])
        mean = float(stated[inside].mean())
        found.append(Bin(low, high, n, mean, wilson(ones, n, confidence=confidence)))
    return found


def calibration_error(
    probabilities: Values, outcomes: Values, *, bins: int = 15, by: Bins = "width", seed: int = 0
) -> CalibrationError:
    """Expected calibration error, with what chance alone would show.

    For answers among several options give the probability of the chosen one, and whether it was
    right.

    >>> print(calibration_error([0.75] * 40, [1, 1, 0, 1] * 10).value)
    0.0
    """
    stated, came = forecasts(probabilities, outcomes)
    _, places = cut(stated, bins, by)
    value = float(distances(stated, came[None], places)[0])
    random = np.random.default_rng(seed)
    rows = max(1, 2**20 // len(stated))
    parts = [
        distances(stated, random.random((min(rows, DRAWS - start), len(stated))) < stated, places)
        for start in range(0, DRAWS, rows)
    ]
    drawn = np.concatenate(parts)
    p = float((1 + (drawn >= value - 1e-12).sum()) / (DRAWS + 1))
    signature = f"ece|bins:{bins}|by:{by}"
    square = debiased_square(stated, came, places)
    return CalibrationError(value, float(drawn.mean()), p, square, signature)


def brier(probabilities: Values, outcomes: Values, *, bins: int = 10, by: Bins = "width") -> Brier:
    """Brier score and its parts.

    >>> brier([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 1]).score
    0.25
    """
    stated, came = forecasts(probabilities, outcomes)
    _, places = cut(stated, bins, by)
    sizes, means, shares = by_bin(stated, came, places)
    score, base = float(((stated - came) ** 2).mean()), float(came.mean())
    n = len(stated)
    reliable = float((sizes * (means - shares) ** 2).sum() / n)
    resolved = float((sizes * (shares - base) ** 2).sum() / n)
    uncertain = base * (1 - base)
    within = score - (reliable - resolved + uncertain)
    return Brier(score, reliable, resolved, uncertain, within)


def picture(title: str, table: Sequence[Bin]) -> page.Html:
    """Observed over stated shares with their intervals, and the diagonal of a calibrated model."""
    stated = [one.stated for one in table]
    return page.line_chart(
        title,
        [
            page.Series(
                "observed",
                stated,
                [one.observed.estimate for one in table],
                [one.observed.low for one in table],
                [one.observed.high for one in table],
            ),
            page.Series("calibrated", [0.0, 1.0], [0.0, 1.0]),
        ],
        x_label="stated probability",
        y_label="share that came true",
    )


def forecasts(probabilities: Values, outcomes: Values) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 (N,), checked: probabilities from 0 to 1, outcomes 0 or 1, at least one."""
    stated = column("probabilities", probabilities, len(probabilities))
    came = column("outcomes", outcomes, len(stated))
    if not len(stated):
        raise DataError("Calibration needs predictions; got none.")
    if stated.min() < 0 or stated.max() > 1:
        raise DataError(
            "Probabilities must lie between 0 and 1; for logits take the sigmoid first."
        )
    if not np.isin(came, (0, 1)).all():
        raise DataError("Outcomes must be 0 or 1.")
    return stated, came


def cut(stated: np.ndarray, bins: int, by: Bins) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the bins (bins + 1,), and the bin of each probability."""
    if bins < 1:
        raise ConfigError(f"bins={bins} must be 1 or more.")
    edges = np.linspace(0, 1, bins + 1)
    if choice("by", by, get_args(Bins)) == "mass":
        edges = np.quantile(stated, edges)
    return edges, np.searchsorted(edges[1:-1], stated, side="left")


def by_bin(
    stated: np.ndarray, came: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, mean probabilities and observed shares of the bins that are not empty."""
    sizes = np.bincount(places).astype(np.float64)
    full = sizes > 0
    means = np.bincount(places, stated)[full] / sizes[full]
    return sizes[full], means, np.bincount(places, came)[full] / sizes[full]


def distances(stated: np.ndarray, came: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Calibration error of each row of outcomes (R, N): a bin counts |Σ (stated - came)| / N."""
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    gaps = np.add.reduceat((stated - came)[:, order], starts, axis=1)
    return np.abs(gaps).sum(axis=1) / len(stated)


def debiased_square(stated: np.ndarray, came: np.ndarray, places: np.ndarray) -> float:
    """Mean squared distance less what the outcomes' variance adds; bins of one are left out."""
    sizes, means, shares = by_bin(stated, came, places)
    several = sizes > 1
    sizes, means, shares = sizes[several], means[several], shares[several]
    bias = shares * (1 - shares) / np.maximum(sizes - 1, 1)
    return float((sizes * ((means - shares) ** 2 - bias)).sum() / len(stated))
