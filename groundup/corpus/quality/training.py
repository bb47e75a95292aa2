"""Trains a linear text classifier and reports its accuracy on held-out documents.

    loss = 1/B Σ s_i ln(1 + exp(-y_i (w · x_i + b))) + λ/2 |w|²      s: weights of the classes

Texts are split by a hash of their group, so that no document is on both sides: most train w by
L-BFGS (the loss is convex, so the result does not depend on the order), some calibrate, and the
rest give the report, with 95 % intervals. Knows nothing of steps.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, DataError
from groundup.documents import Rejected, read_folder

from .classifier import (
    FeaturesConfig,
    SparseFeatures,
    TextClassifier,
    decision_values,
    extract_features,
)

TrainingSplit = Literal["train", "calibrate", "test"]


class ClassifierTrainingConfig(Config):
    """How a classifier is trained."""

    features: FeaturesConfig = FeaturesConfig()
    """Features of a text."""
    l2: float = Field(default=1e-5, ge=0)
    """λ. Own choice, by benchmarks/corpus/quality_models.py."""
    balance: bool = True
    """Whether both classes have the same total weight, whatever their sizes."""
    iterations: int = Field(default=100, ge=1)
    """Maximum number of L-BFGS steps."""
    calibrate: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of groups used for calibration."""
    test: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of groups held out for the report."""
    seed: int = 0
    """Seed of the split into groups."""


class LabelledText(NamedTuple):
    """A text with its label."""

    text: str
    is_positive: bool
    group: str
    """Never divided by the split: the document that the text is from."""


class ThresholdMetrics(NamedTuple):
    """Metrics at one probability threshold on held-out texts, with 95 % intervals."""

    at: float
    precision: float
    precision_low: float
    precision_high: float
    recall: float
    recall_low: float
    recall_high: float
    false_alarms: float
    """Share of negatives scored above the threshold."""


class TrainedClassifier(NamedTuple):
    """A classifier and its report."""

    classifier: TextClassifier
    report: dict[str, Any]


def _train_classifier(
    texts: Sequence[LabelledText], config: ClassifierTrainingConfig | None = None
) -> TrainedClassifier:
    """Train, calibrate and test a classifier.

    Raises DataError if a split lacks one of the classes.
    """
    config = config or ClassifierTrainingConfig()
    splits = [_split_of_group(row.group, config) for row in texts]
    by_split = {
        name: _texts_of_split(texts, splits, name) for name in ("train", "calibrate", "test")
    }
    features = {name: extract_features([row.text for row in rows], config.features)
            for name, rows in by_split.items()}  # fmt: skip
    labels = {name: np.array([row.is_positive for row in rows]) for name, rows in by_split.items()}
    weights, bias = _fit_lbfgs(features["train"], labels["train"], config)
    uncalibrated = TextClassifier(config.features, weights, bias)
    held_out = decision_values(features["calibrate"], weights, bias)
    classifier = TextClassifier(
        config.features, weights, bias, *_platt_scaling(held_out, labels["calibrate"])
    )
    scores = classifier.predict_proba(features["test"])
    report = {
        "texts": {name: len(rows) for name, rows in by_split.items()},
        "positives": {name: int(labels[name].sum()) for name in labels},
        "groups": {name: len({row.group for row in rows}) for name, rows in by_split.items()},
        "auc": _auc(scores, labels["test"])._asdict(),
        "calibration_error": round(_calibration_error(scores, labels["test"]), 4),
        "uncalibrated_error": round(
            _calibration_error(uncalibrated.predict_proba(features["test"]), labels["test"]), 4
        ),
        "thresholds": [row._asdict() for row in _threshold_metrics(scores, labels["test"])],
    }
    return TrainedClassifier(classifier, report)


def _split_of_group(group: str, config: ClassifierTrainingConfig) -> TrainingSplit:
    """The split of a group: a function of its name and the seed."""
    digest = hashlib.blake2b(f"{config.seed}\0{group}".encode("utf-8", "replace"), digest_size=8)
    position = int.from_bytes(digest.digest(), "big") / 2**64
    if position < config.test:
        return "test"
    return "calibrate" if position < config.test + config.calibrate else "train"


def _texts_of_split(
    texts: Sequence[LabelledText], parts: Sequence[str], split: str
) -> list[LabelledText]:
    """The texts of one split; DataError if one of the classes is missing."""
    selected = [text for text, own in zip(texts, parts, strict=True) if own == split]
    for kind in (True, False):
        if not any(text.is_positive is kind for text in selected):
            raise DataError(
                f"The split `{split}` has no {'positive' if kind else 'negative'} text; give more "
                f"groups than {len({text.group for text in texts})}; texts are split by group."
            )
    return selected


def _fit_lbfgs(
    rows: SparseFeatures, labels: np.ndarray, config: ClassifierTrainingConfig
) -> tuple[np.ndarray, float]:
    """Fit w and b by L-BFGS; only the weights of features that occur are optimised."""
    import torch

    occurring, columns = np.unique(rows.columns, return_inverse=True)
    row_of = torch.from_numpy(np.repeat(np.arange(len(labels)), rows.row_sizes))
    columns, values = torch.from_numpy(columns), torch.from_numpy(rows.values).double()
    signs = torch.from_numpy(np.where(labels, 1.0, -1.0))
    share = labels.mean()
    class_weights = np.where(labels, 0.5 / share, 0.5 / (1 - share)) if config.balance else 1.0
    sample_weights = torch.from_numpy(np.broadcast_to(class_weights, len(labels)) / len(labels))
    parameters = torch.zeros(len(occurring) + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [parameters], max_iter=config.iterations, history_size=20, tolerance_grad=1e-7,
        tolerance_change=1e-10, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        """The loss, with its gradient written by hand: it needs only two scatter-adds."""
        with torch.no_grad():
            w, b = parameters[:-1], parameters[-1]
            products = torch.zeros(len(labels), dtype=torch.float64)
            products.index_add_(0, row_of, values * w[columns])
            margins_by_label = signs * (products + b)
            slopes = -sample_weights * signs * torch.sigmoid(-margins_by_label)
            gradient = torch.zeros_like(parameters)
            gradient[:-1].index_add_(0, columns, values * slopes[row_of])
            gradient[:-1] += config.l2 * w
            gradient[-1] = slopes.sum()
            parameters.grad = gradient
            losses = torch.nn.functional.softplus(-margins_by_label)
            return (sample_weights * losses).sum() + config.l2 / 2 * (w @ w)

    optimizer.step(closure)
    solution = parameters.detach().numpy()
    weights = np.zeros(2**config.features.bits, np.float32)
    weights[occurring] = solution[:-1]
    return weights, float(solution[-1])


def _platt_scaling(margin: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the margins' logits by Newton's method, with Platt's soft labels."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    soft = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    columns = np.stack([margin, np.ones(len(margin))])
    parameters = np.array([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(parameters @ columns, -500, 500)))
        gradient = columns @ (p - soft)
        curvature = (columns * (p * (1 - p))) @ columns.T + 1e-9 * np.eye(2)
        update = np.linalg.solve(curvature, gradient)
        parameters = parameters - update * min(1.0, 5.0 / max(float(np.abs(update).max()), 1e-12))
        if np.abs(update).max() < 1e-8:
            break
    return float(parameters[0]), float(parameters[1])


class AucInterval(NamedTuple):
    """Area under the ROC curve with its 95 % interval."""

    estimate: float
    low: float
    high: float


def _auc(scores: np.ndarray, labels: np.ndarray) -> AucInterval:
    """Probability that a positive scores above a negative, ties counting half.

    The interval of Hanley and McNeil 1982 assumes independent texts, which passages of one document
    are not, so it is too narrow for large groups.
    """
    _, ranks, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    middle = (last - (sizes - 1) / 2)[ranks]
    m, n = int(labels.sum()), int((~labels).sum())
    area = float((middle[labels].sum() - m * (m + 1) / 2) / (m * n))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)
    half = 1.96 * max(variance, 0.0) ** 0.5
    return AucInterval(round(area, 5), round(max(area - half, 0), 5), round(min(area + half, 1), 5))


def _calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal size."""
    order = np.argsort(scores, kind="stable")
    bins = [part for part in np.array_split(order, 10) if len(part)]
    gaps = [abs(scores[part].mean() - labels[part].mean()) * len(part) for part in bins]
    return float(sum(gaps) / len(scores))


def _threshold_metrics(
    scores: np.ndarray, labels: np.ndarray, cuts: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9)
) -> list[ThresholdMetrics]:
    """Metrics at each threshold."""
    from groundup.measure import (
        wilson_interval,  # not at the top: it would slow the start of every worker
    )

    results = []
    for at in cuts:
        kept = scores >= at
        right, positives = int((kept & labels).sum()), int(labels.sum())
        precision = wilson_interval(right, max(int(kept.sum()), 1))
        recall = wilson_interval(right, positives)
        false_alarms = float((kept & ~labels).sum() / (~labels).sum())
        numbers = (precision.estimate, precision.low, precision.high,
                   recall.estimate, recall.low, recall.high, false_alarms)  # fmt: skip
        results.append(ThresholdMetrics(at, *(round(float(number), 4) for number in numbers)))
    return results


def train_classifier_folders(
    *, positive: Path, negative: Path, out: Path, config: ClassifierTrainingConfig | None = None
) -> dict[str, Any]:
    """Train a classifier on two folders of files, save it and return the report.

    positive  folder of texts to keep, such as good pages; any file type that a reader knows
    negative  folder of texts to drop
    out       output folder of the classifier and its report; the `model` of `quality.classifier`

    Each file is a group. Raises DataError if a folder has too few files.
    """
    texts = [
        LabelledText(document.text, is_positive, f"{is_positive}/{document.path}")
        for folder, is_positive in ((positive, True), (negative, False))
        for document in read_folder(folder)
        if not isinstance(document, Rejected)
    ]
    trained = _train_classifier(texts, config)
    trained.classifier.save(out, trained.report)
    return trained.report
