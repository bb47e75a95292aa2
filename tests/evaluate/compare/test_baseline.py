"""Two systems are compared on the same items by the same rule, or not at all."""

import json
from math import log

import numpy as np
import pytest

from groundup.core import Answer, DataError, Reason, Sample
from groundup.evaluate import (
    DocumentScore,
    bits_per_byte,
    compare_likelihood,
    compare_scores,
    score_compressor,
)
from groundup.measure import Interval, above, check_requirement, natural_stop, score_all, similarity


def scores(bits: list[float], signature: str = "document|window:8", size: int = 10):
    return [
        DocumentScore(f"d{n}", value * log(2), size, 5, signature) for n, value in enumerate(bits)
    ]


def test_a_small_steady_gain_is_certain_in_pairs():
    hardness = np.random.default_rng(0).uniform(10, 60, 60)
    row = compare_likelihood("text", scores(list(hardness * 0.98)), scores(list(hardness)))
    assert isinstance(row.ours, Interval) and isinstance(row.baseline, Interval)
    assert row.ours.high > row.baseline.low
    assert row.improved is True
    assert row.ratio.estimate == pytest.approx(0.98)
    assert row.ratio.high < 0.99 and row.difference.high < 0
    assert row.difference.estimate == pytest.approx(row.ours.estimate - row.baseline.estimate)


def test_bits_per_byte_is_of_all_bytes_together():
    found = bits_per_byte([
        DocumentScore("a", 30 * log(2), 10, 5, ""), DocumentScore("b", 10 * log(2), 30, 5, ""),
    ])  # fmt: skip
    assert isinstance(found, Interval) and found.estimate == pytest.approx(1.0)


def test_improved_knows_three_answers():
    noisy = [10.0, 30.0, 20.0, 25.0]
    assert compare_likelihood("x", scores(noisy), scores(noisy[::-1])).improved is None
    worse = compare_likelihood("x", scores([value + 1 for value in noisy]), scores(noisy))
    assert worse.improved is False


def test_one_document_gives_a_reason_not_a_number():
    row = compare_likelihood("x", scores([1.0]), scores([2.0]))
    for part in (row.ours, row.baseline, row.difference, row.ratio, bits_per_byte([])):
        assert isinstance(part, Reason) and part.code == "too_few_groups"
    assert row.improved is None and row.cells()[1] == "undefined: too_few_groups"
    assert not check_requirement("x", row.difference, above(0)).passed


def test_different_documents_or_rules_do_not_compare():
    with pytest.raises(DataError, match="same documents.*number"):
        compare_likelihood("x", scores([1.0, 2.0]), scores([1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match="same documents.*'d0', 10"):
        compare_likelihood("x", scores([1.0, 2.0]), scores([1.0, 2.0], size=11))
    with pytest.raises(DataError, match="different signatures"):
        compare_likelihood("x", scores([1.0, 2.0]), scores([1.0, 2.0], "document|window:9"))


def test_a_compressor_is_a_baseline_for_any_model():
    texts = [("d0", "abc " * 200), ("d1", "ünïcode " * 150)]
    found = score_compressor(texts)
    assert [score.bytes for score in found] == [800, 1500]
    assert 0 < found[0].nats / log(2) / 8 < 40
    ours = [DocumentScore(s.name, s.nats / 2, s.bytes, 9, "document|window:8") for s in found]
    row = compare_likelihood("against xz", ours, found)
    assert row.ratio.estimate == pytest.approx(0.5)
    assert "compressor|xz" in row.signature and "window:8" in row.signature


def answers(texts: list[str]):
    samples = [
        Sample(str(n), (), references=("right answer",), group=f"g{n // 2}")
        for n in range(len(texts))
    ]
    return score_all(similarity(), samples, [Answer(text) for text in texts])


def test_scores_are_paired_by_sample():
    row = compare_scores(
        "edits", answers(["right answer"] * 6), answers(["right", "wrong", ""] * 2), unit="share"
    )
    assert (row.ours.estimate, row.ours.groups, row.left_out) == (1.0, 3, 0)
    assert row.improved is True and row.difference.low > 0
    assert isinstance(row.ratio, Reason) and row.ratio.code == "zero_baseline"
    json.dumps(row.plain(), allow_nan=False)
    assert row.cells()[0] == "edits" and row.cells()[-1] == "share"


def test_samples_without_a_number_are_left_out_and_counted():
    samples = [Sample(str(n), ()) for n in range(4)]
    told = [Answer("x", details={"finish_reason": "stop"})] * 4
    untold = [told[0], Answer("x"), told[0], told[0]]
    row = compare_scores("ended", score_all(natural_stop(), samples, told),
                         score_all(natural_stop(), samples, untold))  # fmt: skip
    assert (row.left_out, row.ours.n) == (1, 3)


def test_other_scorers_or_samples_do_not_compare():
    samples = [Sample(str(n), (), references=("a",)) for n in range(3)]
    given = [Answer("a")] * 3
    ours = score_all(similarity(), samples, given)
    with pytest.raises(DataError, match="different signatures"):
        compare_scores("x", ours, score_all(similarity("words"), samples, given))
    with pytest.raises(DataError, match="same samples"):
        compare_scores("x", ours, score_all(similarity(), samples[:2], given[:2]))
