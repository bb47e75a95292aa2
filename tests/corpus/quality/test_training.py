"""Training finds the minimum, keeps groups together, and reports what others would compute."""

import json

import numpy as np
import pytest

from groundup.core import DataError
from groundup.corpus.quality.classifier import (
    FeaturesConfig,
    SparseFeatures,
    TextClassifier,
    decision_values,
    extract_features,
)
from groundup.corpus.quality.training import (
    ClassifierTrainingConfig,
    LabelledText,
    _auc,
    _calibration_error,
    _fit,
    _split_of_group,
    _threshold_metrics,
    _train_classifier,
    train_classifier_folders,
)

GOOD = ["file", "window", "menu", "setting", "page", "server", "user", "button"]
BAD = ["win", "cash", "offer", "click", "free", "bonus", "prize", "deal"]
CONFIG = ClassifierTrainingConfig(features=FeaturesConfig(bits=12), l2=1e-3)


def texts(number: int, noise: float = 0.3, seed: int = 0) -> list[LabelledText]:
    rng = np.random.default_rng(seed)
    made = []
    for at in range(number):
        good = bool(at % 2)
        own, other = (GOOD, BAD) if good else (BAD, GOOD)
        words = [rng.choice(other if rng.random() < noise else own) for _ in range(12)]
        made.append(LabelledText(" ".join(words), good, f"document {at // 4}"))
    return made


def test_the_gradient_is_zero_where_training_ends():
    some = texts(60)
    labels = np.array([one.is_positive for one in some])
    rows = extract_features([one.text for one in some], CONFIG.features)
    split = {"train": rows, "calibrate": rows}
    raw = _fit(split, {"train": labels, "calibrate": labels}, CONFIG)[1]
    weights, bias = raw.weights, raw.bias

    def loss(w: np.ndarray, b: float) -> float:
        signs = np.where(labels, 1, -1)
        return np.logaddexp(0, -signs * decision_values(rows, w, b)).mean() + 5e-4 * float(w @ w)

    at = weights.astype(np.float64)
    least = loss(at, bias)
    rng = np.random.default_rng(0)
    for _ in range(20):
        moved = at + 1e-2 * rng.normal(size=len(at))
        assert loss(moved, bias + 1e-2 * rng.normal()) > least


def test_groups_are_never_divided_and_the_report_is_of_unseen_ones(tmp_path):
    some = texts(800)
    classifier, report = _train_classifier(some, CONFIG)
    assert sum(report["texts"].values()) == 800
    assert sum(report["groups"].values()) == 200
    assert report["auc"]["estimate"] > 0.97
    assert report["auc"]["low"] < report["auc"]["estimate"]
    assert report["calibration_error"] < 0.1
    again = _train_classifier(some, CONFIG)[0]
    np.testing.assert_array_equal(again.weights, classifier.weights)
    assert _split_of_group("document 1", CONFIG) == _split_of_group("document 1", CONFIG)


def test_labels_without_meaning_are_reported_as_that():
    rng = np.random.default_rng(1)
    some = [one._replace(is_positive=bool(rng.integers(2))) for one in texts(800, noise=0.5)]
    area = _train_classifier(some, CONFIG)[1]["auc"]
    assert area["low"] < 0.5 < area["high"] or abs(area["estimate"] - 0.5) < 0.1


def test_area_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 60) / 6, rng.random(60) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels] for b in scores[~labels]]
    assert _auc(scores, labels)["estimate"] == pytest.approx(np.mean(pairs), abs=1e-5)


def test_thresholds_count_what_is_kept():
    scores = np.array([0.9, 0.8, 0.7, 0.2])
    row = _threshold_metrics(scores, np.array([True, False, True, True]), 0.5)
    assert (row["precision"], row["recall"], row["false_alarms"]) == (0.6667, 0.6667, 1.0)
    assert row["precision_low"] < row["precision"] < row["precision_high"]


def test_calibration_recovers_known_odds():
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000).astype(np.float32)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-(3 * values - 1)))
    rows = SparseFeatures(np.zeros(20_000, np.int64), values, np.ones(20_000, np.int64))
    # Trained on half the slope, so that calibration has to double it.
    features = {"train": rows._replace(values=2 * values), "calibrate": rows}
    fitted, raw = _fit(features, {"train": labels, "calibrate": labels}, CONFIG)
    assert fitted.scale * raw.weights[0] == pytest.approx(3, abs=0.15)
    assert _calibration_error(fitted.predict_proba(rows), labels) < 0.02
    assert _calibration_error(raw.predict_proba(rows), labels) > 0.05


def test_folders_become_a_classifier_with_its_report(tmp_path):
    for at, one in enumerate(texts(300)):
        folder = tmp_path / ("good" if one.is_positive else "bad")
        folder.mkdir(exist_ok=True)
        (folder / f"{at}.txt").write_text(one.text)
    report = train_classifier_folders(
        positive=tmp_path / "good", negative=tmp_path / "bad", out=tmp_path / "out", config=CONFIG
    )
    facts = json.loads((tmp_path / "out" / "classifier.json").read_text())
    assert facts["report"] == json.loads(json.dumps(report))
    assert TextClassifier.load(tmp_path / "out").predict_texts(["menu window file page"])[0] > 0.5


def test_too_few_groups_are_refused():
    with pytest.raises(DataError, match="give more groups"):
        _train_classifier(texts(4), CONFIG)
