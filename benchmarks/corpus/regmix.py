"""The mixture of the lowest expected loss, by a regression on small runs; see corpus_matters.py.

Source: Liu et al. 2024, arXiv:2407.01492. Departs: square roots in place of boosted trees. It was
part of the package until its measurement (docs/reference/corpus.md) showed no gain over natural
shares.
"""

from typing import NamedTuple

import numpy as np

SIMULATED, BEST = 100_000, 128
"""Mixtures that the regression scores, and the best of them, whose mean is taken. RegMix scores
1,000,000 and takes 128."""


class Regression(NamedTuple):
    """A mixture found by proxies, and how far the regression is to be believed."""

    weights: np.ndarray
    predicted: float
    """Loss that it expects of them."""
    rank_correlation: float
    """Spearman's, between losses and what is predicted of each from the others: below about 0.5 the
    weights are a guess."""


def weights_from_losses(
    mixtures: np.ndarray,
    losses: np.ndarray | list[float],
    shares: np.ndarray | list[float],
    *,
    seed: int = 0,
) -> Regression:
    """The mixture of the lowest expected loss, by a regression on small runs (RegMix).

    mixtures  (runs, sources) shares that the proxies read, rows summing to 1
    losses    what each reached on the text that counts
    shares    the natural mixture, around which mixtures are drawn

    Ridge regression on r and √r (a source's first percent helps more than its last), as strong as
    has the least error on runs left out. Of 100,000 mixtures drawn about the natural one,
    the mean of the best 128 is taken, since the single best is mostly luck.
    Source: Liu et al. 2024, arXiv:2407.01492. Departs: √r in place of boosted trees.
    """
    mixtures, target = np.asarray(mixtures, float), np.asarray(losses, float)
    if mixtures.ndim != 2 or mixtures.shape != (len(target), len(shares)) or len(target) < 4:
        raise ValueError(
            f"mixtures of shape {mixtures.shape} do not fit {len(target)} losses and {len(shares)} "
            "shares; give one row of shares a run, and four runs at least."
        )
    if not (np.isfinite(mixtures).all() and np.isfinite(target).all() and mixtures.min() >= 0):
        raise ValueError("mixtures and losses must be finite, and shares 0 or more.")
    features = np.concatenate([mixtures, np.sqrt(mixtures)], axis=1)
    centre, mean = features.mean(0), target.mean()
    left_out, solution = min(
        (
            ridge(features - centre, target - mean, strength)
            for strength in 10.0 ** np.arange(-6, 2)
        ),
        key=lambda fit: float(np.square(fit[0] - (target - mean)).sum()),
    )
    natural = np.asarray(shares, float) / np.sum(shares)
    random = np.random.default_rng(seed)
    spread = random.uniform(1, 30, (SIMULATED, 1)) * natural + 1e-3
    drawn = random.standard_gamma(spread) + 1e-12
    drawn /= drawn.sum(1, keepdims=True)
    expected = (np.concatenate([drawn, np.sqrt(drawn)], 1) - centre) @ solution + mean
    best = np.argpartition(expected, BEST)[:BEST]
    agreement = np.corrcoef(ranks(left_out), ranks(target))[0, 1] if np.ptp(target) > 0 else 0.0
    return Regression(drawn[best].mean(0), float(expected[best].mean()), float(agreement))


def ridge(
    features: np.ndarray, target: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """What is predicted of each row from the others, and the coefficients from all."""
    gram = features.T @ features + strength * np.eye(features.shape[1])
    inverse = np.linalg.solve(gram, features.T)
    hat = np.einsum("ij,ji->i", features, inverse) + 1 / len(target)
    fitted = features @ (inverse @ target)
    return target - (target - fitted) / np.maximum(1 - hat, 1e-6), inverse @ target


def ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value in their order."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)
