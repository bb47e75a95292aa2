"""Differences are taken in pairs, and are nought where there is none."""

from math import erfc, exp, log, sqrt

import numpy as np
import pytest

from groundup.core import Reason
from groundup.evaluate.compare.difference import (
    PairedDifference,
    ScoreColumn,
    _samples_needed,
    compare_columns,
)
from groundup.evaluate.harness.report import MeasureReport
from groundup.measure import Interval, paired_difference


def measure(aggregation: str, unit: str = "share") -> MeasureReport:
    none = Reason("none", "not asked here")
    return MeasureReport("m", "none", "higher", unit, aggregation, "m", none, 0, 0, {}, 0)


def column(aggregation: str, scores) -> ScoreColumn:
    made = ScoreColumn(aggregation)
    for score in scores:
        made.append(score)
    return made


def apart(aggregation: str, a, b, groups=None, unit: str = "share") -> PairedDifference | Reason:
    codes = np.arange(len(a)) if groups is None else np.array(groups)
    return compare_columns(
        measure(aggregation, unit), column(aggregation, a), column(aggregation, b), codes
    )


def test_means_are_paired_over_what_both_have():
    random = np.random.default_rng(1)
    hard = random.normal(size=300)
    a, b = list(hard), list(hard + 0.1 + 0.05 * random.normal(size=300))
    a[7], b[9] = None, None
    kept = [n for n in range(300) if n not in (7, 9)]
    found = apart("mean", a, b, unit="bits")
    expected = paired_difference([b[n] for n in kept], [a[n] for n in kept])
    assert isinstance(found, PairedDifference) and found.interval == expected
    assert found.p < 0.001 and found.method.startswith("sign_flip")
    assert found.interval.n == 298


def test_rights_and_wrongs_are_tested_by_mcnemar_unless_they_come_in_groups():
    a, b = [0.0] * 30 + [1.0] * 70, [1.0] * 20 + [0.0] * 10 + [1.0] * 70
    alone, grouped = apart("mean", a, b), apart("mean", a, b, [n // 10 for n in range(100)])
    assert (
        isinstance(alone, PairedDifference) and alone.method == "mcnemar|mid-p" and alone.p < 1e-4
    )
    assert isinstance(grouped, PairedDifference) and grouped.method == "sign_flip|exact"
    assert grouped.p == 0.5 and grouped.interval.groups == 10


def test_many_groups_are_tested_as_normal_and_agree_with_flipped_signs():
    random = np.random.default_rng(0)
    a = random.normal(size=2500)
    b = a + random.normal(0.04, 1, size=2500)
    found = apart("mean", a.tolist(), b.tolist(), unit="bits")
    few = apart("mean", a[:2000].tolist(), b[:2000].tolist(), unit="bits")
    assert isinstance(found, PairedDifference) and found.method == "sign_flip|normal"
    assert isinstance(few, PairedDifference) and few.method == "sign_flip|10000 draws"
    z = few.interval.estimate / ((few.interval.high - few.interval.low) / 2 / 1.96)
    assert few.p == pytest.approx(erfc(abs(z) / sqrt(2)), abs=0.02)


def test_bits_per_byte_are_a_ratio_in_bits():
    nats = [[log(2) * 8 * n, 8.0 * n] for n in range(1, 40)]
    half = [[total / 2, weight] for total, weight in nats]
    found = apart("ratio", nats, half, unit="bits per byte")
    assert isinstance(found, PairedDifference)
    assert found.interval.estimate == pytest.approx(-0.5)
    assert found.interval.low == pytest.approx(-0.5) == found.interval.high


def test_a_perplexity_is_compared_as_one():
    random = np.random.default_rng(0)
    nats = random.uniform(1, 3, size=100)
    a = [[value, 1.0] for value in nats]
    b = [[value - 0.2, 1.0] for value in nats]
    found = apart("perplexity", a, b)
    assert isinstance(found, PairedDifference) and found.p < 0.01
    assert found.interval.estimate == pytest.approx(exp(nats.mean()) * (exp(-0.2) - 1))
    assert found.interval.low < found.interval.estimate < found.interval.high < 0


def test_functions_of_the_corpus_are_redrawn_and_swapped():
    texts = [f"the lamp number {n} stands in the hall at night" for n in range(60)]
    good = [[text, text if n % 2 else text.replace("hall", "hut")] for n, text in enumerate(texts)]
    poor = [[text, text.replace("the", "a")] for text in texts]
    found = apart("bleu", poor, good)
    assert isinstance(found, PairedDifference)
    assert found.interval.low > 0 and found.p == pytest.approx(1 / 1001)
    same = apart("chrf", good, good)
    assert isinstance(same, PairedDifference)
    assert same.interval[:3] == (0.0, 0.0, 0.0) and same.p == 1.0 and same.needed is None


def test_labels_are_compared_by_their_correlation():
    right = ["a", "b", "c"] * 20
    a = [[label, "a"] for label in right]
    b = [[label, label] for label in right]
    found = apart("mcc", a, b)
    assert isinstance(found, PairedDifference) and found.interval.estimate == pytest.approx(1.0)
    binary = [[int(n % 3 == 0), int(n % 2 == 0)] for n in range(60)]
    better = [[right, right] for right, _ in binary]
    f1 = apart("f1", binary, better)
    assert isinstance(f1, PairedDifference) and f1.interval.low > 0


@pytest.mark.parametrize(
    ("aggregation", "a", "b", "code"),
    [
        ("mean", [1.0, None], [None, 1.0], "nothing_shared"),
        ("mean", [1.0], [0.0], "too_few_groups"),
        ("median", [[1.0, 1.0]] * 3, [[2.0, 1.0]] * 3, "no_difference_of"),
        ("bleu", [["a", "a"]], [["a", "b"]], "too_few_groups"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_has_a_reason(aggregation, a, b, code):
    found = apart(aggregation, a, b)
    assert isinstance(found, Reason) and found.code == code


def test_a_column_takes_the_width_of_its_first_score():
    made = column("bleu", [None, None, ["a b", "a b"]])
    assert made.table().shape == (3, made.width) and made.width > 2
    assert made.present().tolist() == [False, False, True]
    assert not made.table()[:2].any()


def test_100_000_scores_take_megabytes():
    made = column("mean", (float(n % 2) for n in range(100_000)))
    assert made.numbers.itemsize * len(made.numbers) == 1_600_000


def test_samples_that_would_tell():
    assert _samples_needed(Interval(0.1, 0.1, 0.1, 0.95, 9, 9)) is None
    few = _samples_needed(Interval(0.1, -0.01, 0.21, 0.95, 100, 100))
    many = _samples_needed(Interval(0.01, -0.1, 0.12, 0.95, 100, 100))
    assert few is not None and many is not None and 150 < few < 300 and many > 90 * few
