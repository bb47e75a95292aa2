"""Train a linear classifier of texts, and say honestly how good it is.

    loss = 1/B Σ s_i ln(1 + exp(-y_i (w · x_i + b))) + λ/2 |w|²      s: weights of the classes

Documents are divided by a hash of their group, so that no passage of one is on both sides: most
train w by L-BFGS (the loss is convex: the result does not depend on an order), a part calibrates,
and a part that neither saw gives the report, with 95 % intervals. Knows nothing of steps.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, DataError
from groundup.documents import Rejected, read_folder

from .classifier import Classifier, Features, FeaturesConfig, features_of, margins

Part = Literal["train", "calibrate", "test"]


class TrainingConfig(Config):
    """How a classifier is trained."""

    features: FeaturesConfig = FeaturesConfig()
    """What of a text it sees."""
    l2: float = Field(default=1e-5, ge=0)
    """λ. Own choice, by benchmarks/quality_models.py."""
    balance: bool = True
    """Whether both kinds weigh the same, however many there are of each."""
    iterations: int = Field(default=100, ge=1)
    """Steps of L-BFGS at most."""
    calibrate: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of groups that calibrate."""
    test: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of groups that are held out for the report."""
    seed: int = 0
    """Of the division of groups."""


class Labelled(NamedTuple):
    """A text and what it is."""

    text: str
    is_positive: bool
    group: str
    """What is kept together in the division: the document that the text is from."""


class Threshold(NamedTuple):
    """What a cut at one probability keeps, on held-out texts, with 95 % intervals."""

    at: float
    precision: float
    precision_low: float
    precision_high: float
    recall: float
    recall_low: float
    recall_high: float
    false_alarms: float
    """Share of negatives that are kept."""


class Trained(NamedTuple):
    """A classifier and what it is worth."""

    classifier: Classifier
    report: dict[str, Any]


def train_classifier(texts: Sequence[Labelled], config: TrainingConfig | None = None) -> Trained:
    """Train, calibrate and test a classifier.

    Raises DataError if a part of the division lacks one of the kinds.
    """
    config = config or TrainingConfig()
    parts = [part_of(one.group, config) for one in texts]
    chosen = {name: divided(texts, parts, name) for name in ("train", "calibrate", "test")}
    rows = {name: features_of([one.text for one in some], config.features)
            for name, some in chosen.items()}  # fmt: skip
    labels = {name: np.array([one.is_positive for one in some]) for name, some in chosen.items()}
    weights, bias = fitted(rows["train"], labels["train"], config)
    plain = Classifier(config.features, weights, bias)
    held = margins(rows["calibrate"], weights, bias)
    classifier = Classifier(config.features, weights, bias, *platt(held, labels["calibrate"]))
    scores = classifier.probabilities(rows["test"])
    report = {
        "texts": {name: len(some) for name, some in chosen.items()},
        "positives": {name: int(labels[name].sum()) for name in labels},
        "groups": {name: len({one.group for one in some}) for name, some in chosen.items()},
        "auc": auc(scores, labels["test"])._asdict(),
        "calibration_error": round(expected_error(scores, labels["test"]), 4),
        "uncalibrated_error": round(
            expected_error(plain.probabilities(rows["test"]), labels["test"]), 4
        ),
        "thresholds": [one._asdict() for one in thresholds(scores, labels["test"])],
    }
    return Trained(classifier, report)


def part_of(group: str, config: TrainingConfig) -> Part:
    """The part of the division in which a group is: a function of its name and the seed."""
    digest = hashlib.blake2b(f"{config.seed}\0{group}".encode("utf-8", "replace"), digest_size=8)
    place = int.from_bytes(digest.digest(), "big") / 2**64
    if place < config.test:
        return "test"
    return "calibrate" if place < config.test + config.calibrate else "train"


def divided(texts: Sequence[Labelled], parts: Sequence[str], part: str) -> list[Labelled]:
    """The texts of one part; DataError if it has not both kinds."""
    some = [one for one, its in zip(texts, parts, strict=True) if its == part]
    for kind in (True, False):
        if not any(one.is_positive is kind for one in some):
            raise DataError(
                f"The part `{part}` has no {'positive' if kind else 'negative'} text: it is cut "
                f"by group, and there are {len({one.group for one in texts})}; give more groups."
            )
    return some


def fitted(rows: Features, labels: np.ndarray, config: TrainingConfig) -> tuple[np.ndarray, float]:
    """w and b by L-BFGS; only weights of features that occur are moved."""
    import torch

    used, columns = np.unique(rows.columns, return_inverse=True)
    owner = torch.from_numpy(np.repeat(np.arange(len(labels)), rows.sizes))
    columns, values = torch.from_numpy(columns), torch.from_numpy(rows.values).double()
    signs = torch.from_numpy(np.where(labels, 1.0, -1.0))
    share = labels.mean()
    weigh = np.where(labels, 0.5 / share, 0.5 / (1 - share)) if config.balance else 1.0
    sample = torch.from_numpy(np.broadcast_to(weigh, len(labels)) / len(labels))
    moved = torch.zeros(len(used) + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [moved], max_iter=config.iterations, history_size=20, tolerance_grad=1e-7,
        tolerance_change=1e-10, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        """The loss, and its gradient by hand: two scattered sums are all it takes."""
        with torch.no_grad():
            w, b = moved[:-1], moved[-1]
            sums = torch.zeros(len(labels), dtype=torch.float64)
            sums.index_add_(0, owner, values * w[columns])
            agreed = signs * (sums + b)
            pull = -sample * signs * torch.sigmoid(-agreed)
            gradient = torch.zeros_like(moved)
            gradient[:-1].index_add_(0, columns, values * pull[owner])
            gradient[:-1] += config.l2 * w
            gradient[-1] = pull.sum()
            moved.grad = gradient
            losses = torch.nn.functional.softplus(-agreed)
            return (sample * losses).sum() + config.l2 / 2 * (w @ w)

    optimizer.step(closure)
    found = moved.detach().numpy()
    weights = np.zeros(2**config.features.bits, np.float32)
    weights[used] = found[:-1]
    return weights, float(found[-1])


def platt(margin: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the margins' logits by Newton's method, with Platt's soft labels."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    soft = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    columns = np.stack([margin, np.ones(len(margin))])
    found = np.array([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(found @ columns, -500, 500)))
        gradient = columns @ (p - soft)
        curvature = (columns * (p * (1 - p))) @ columns.T + 1e-9 * np.eye(2)
        change = np.linalg.solve(curvature, gradient)
        found = found - change * min(1.0, 5.0 / max(float(np.abs(change).max()), 1e-12))
        if np.abs(change).max() < 1e-8:
            break
    return float(found[0]), float(found[1])


class Area(NamedTuple):
    """Area under the ROC curve with its 95 % interval."""

    estimate: float
    low: float
    high: float


def auc(scores: np.ndarray, labels: np.ndarray) -> Area:
    """Chance that a positive scores above a negative, ties counted half.

    Interval of Hanley and McNeil 1982, which takes texts for independent: passages of one document
    are not, so it is too narrow where groups are large.
    """
    _, ranks, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    middle = (last - (sizes - 1) / 2)[ranks]
    m, n = int(labels.sum()), int((~labels).sum())
    area = float((middle[labels].sum() - m * (m + 1) / 2) / (m * n))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)
    half = 1.96 * max(variance, 0.0) ** 0.5
    return Area(round(area, 5), round(max(area - half, 0), 5), round(min(area + half, 1), 5))


def expected_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean distance of stated and true shares over ten bins of equal size."""
    order = np.argsort(scores, kind="stable")
    bins = [part for part in np.array_split(order, 10) if len(part)]
    gaps = [abs(scores[part].mean() - labels[part].mean()) * len(part) for part in bins]
    return float(sum(gaps) / len(scores))


def thresholds(
    scores: np.ndarray, labels: np.ndarray, cuts: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9)
) -> list[Threshold]:
    """What each cut keeps."""
    from groundup.measure import wilson  # not at the top: every worker would wait for it

    rows = []
    for at in cuts:
        kept = scores >= at
        right, positives = int((kept & labels).sum()), int(labels.sum())
        precision = wilson(right, max(int(kept.sum()), 1))
        recall = wilson(right, positives)
        alarms = float((kept & ~labels).sum() / (~labels).sum())
        numbers = (precision.estimate, precision.low, precision.high,
                   recall.estimate, recall.low, recall.high, alarms)  # fmt: skip
        rows.append(Threshold(at, *(round(float(number), 4) for number in numbers)))
    return rows


def train_classifier_folders(
    *, positive: Path, negative: Path, out: Path, config: TrainingConfig | None = None
) -> dict[str, Any]:
    """Train a classifier of two folders of files and save it; returns the report.

    positive  folder of texts to keep, such as good pages; any kind that a reader knows
    negative  folder of texts to drop
    out       where the classifier and its report go; `quality.classifier` names it by `model`

    A file is a group of its own. Raises DataError if a folder has too few files.
    """
    texts = [
        Labelled(document.text, is_positive, f"{is_positive}/{document.path}")
        for folder, is_positive in ((positive, True), (negative, False))
        for document in read_folder(folder)
        if not isinstance(document, Rejected)
    ]
    trained = train_classifier(texts, config)
    trained.classifier.save(out, trained.report)
    return trained.report
