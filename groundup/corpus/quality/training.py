"""Trains a linear text classifier and reports its accuracy on held-out documents.

    loss = 1/B Σ s_i ln(1 + exp(-y_i (w · x_i + b))) + λ/2 |w|²      s: weights of the classes

Texts are split by a hash of their group, so that no document is on both sides: most train w by
scikit-learn's L-BFGS (the loss is convex, so the result does not depend on the order), some
calibrate, and the rest give the report, with 95 % intervals. Knows nothing of steps.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, DataError, MissingExtra
from groundup.documents import Rejected, read_folder

from .classifier import (
    FeaturesConfig,
    SparseFeatures,
    TextClassifier,
    extract_features,
)

THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 0.9)


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
    classifier, report = _train_classifier(texts, config or ClassifierTrainingConfig())
    classifier.save(out, report)
    return report


def _train_classifier(
    texts: Sequence[LabelledText], config: ClassifierTrainingConfig
) -> tuple[TextClassifier, dict[str, Any]]:
    splits: dict[str, list[LabelledText]] = {"train": [], "calibrate": [], "test": []}
    for row in texts:
        splits[_split_of_group(row.group, config)].append(row)
    for name, rows in splits.items():
        if len({row.is_positive for row in rows}) < 2:
            raise DataError(
                f"The split `{name}` has no text of one class; give more groups than "
                f"{len({text.group for text in texts})}; texts are split by group."
            )
    features = {
        name: extract_features([row.text for row in rows], config.features)
        for name, rows in splits.items()
    }
    labels = {name: np.array([row.is_positive for row in rows]) for name, rows in splits.items()}
    classifier, raw = _fit(features, labels, config)
    scores, expected = classifier.predict_proba(features["test"]), labels["test"]
    return classifier, {
        "texts": {name: len(rows) for name, rows in splits.items()},
        "positives": {name: int(rows.sum()) for name, rows in labels.items()},
        "groups": {name: len({row.group for row in rows}) for name, rows in splits.items()},
        "auc": _auc(scores, expected),
        "calibration_error": round(_calibration_error(scores, expected), 4),
        "uncalibrated_error": round(
            _calibration_error(raw.predict_proba(features["test"]), expected), 4
        ),
        "thresholds": [_threshold_metrics(scores, expected, at) for at in THRESHOLDS],
    }


def _split_of_group(group: str, config: ClassifierTrainingConfig) -> str:
    digest = hashlib.blake2b(f"{config.seed}\0{group}".encode("utf-8", "replace"), digest_size=8)
    position = int.from_bytes(digest.digest(), "big") / 2**64
    if position < config.test:
        return "test"
    return "calibrate" if position < config.test + config.calibrate else "train"


def _fit(
    features: dict[str, SparseFeatures],
    labels: dict[str, np.ndarray],
    config: ClassifierTrainingConfig,
) -> tuple[TextClassifier, TextClassifier]:
    """The classifier fitted to `train` and calibrated on `calibrate`, and the same uncalibrated."""
    try:
        from scipy.sparse import csr_matrix
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.frozen import FrozenEstimator
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingExtra("scikit-learn", "corpus") from None

    def matrix(rows: SparseFeatures) -> Any:
        ends = np.concatenate([[0], np.cumsum(rows.row_sizes)])
        shape = (len(rows.row_sizes), 2**config.features.bits)
        return csr_matrix((rows.values.astype(np.float64), rows.columns, ends), shape)

    inverse = config.l2 * len(labels["train"])
    model = LogisticRegression(
        C=1 / inverse if inverse else np.inf, max_iter=config.iterations, tol=1e-6,
        class_weight="balanced" if config.balance else None,
    ).fit(matrix(features["train"]), labels["train"])  # fmt: skip
    weights, bias = model.coef_[0].astype(np.float32), float(model.intercept_[0])
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid")
    calibrated.fit(matrix(features["calibrate"]), labels["calibrate"])
    fitted: Any = calibrated.calibrated_classifiers_
    sigmoid = fitted[0].calibrators[0]  # 1 / (1 + exp(a x + b))
    parameters = -float(sigmoid.a_), -float(sigmoid.b_)
    return (
        TextClassifier(config.features, weights, bias, *parameters),
        TextClassifier(config.features, weights, bias),
    )


def _auc(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Probability that a positive scores above a negative, ties counting half, and its interval.

    The interval of Hanley and McNeil 1982 assumes independent texts, which passages of one document
    are not, so it is too narrow for large groups.
    """
    from groundup.measure import auroc  # not at the top: it would slow every worker

    m, n = int(labels.sum()), int((~labels).sum())
    area = auroc(scores, labels)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)
    half = 1.96 * max(variance, 0.0) ** 0.5
    values = {"estimate": area, "low": max(area - half, 0), "high": min(area + half, 1)}
    return {name: round(value, 5) for name, value in values.items()}


def _calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal size."""
    bins = [part for part in np.array_split(np.argsort(scores, kind="stable"), 10) if len(part)]
    gaps = [abs(scores[part].mean() - labels[part].mean()) * len(part) for part in bins]
    return float(sum(gaps) / len(scores))


def _threshold_metrics(scores: np.ndarray, labels: np.ndarray, at: float) -> dict[str, float]:
    from groundup.measure import wilson_interval  # not at the top: it would slow every worker

    kept = scores >= at
    right = int((kept & labels).sum())
    row = {"at": at}
    totals = {"precision": max(int(kept.sum()), 1), "recall": int(labels.sum())}
    for name, total in totals.items():
        rate = wilson_interval(right, total)
        row |= {name: rate.estimate, f"{name}_low": rate.low, f"{name}_high": rate.high}
    row["false_alarms"] = (kept & ~labels).sum() / (~labels).sum()
    return {name: round(float(value), 4) for name, value in row.items()}
