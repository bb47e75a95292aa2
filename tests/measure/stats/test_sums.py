"""Kappa, alpha and corpus scores hold the truth, where labels are rare and texts uneven too."""

import json

import numpy as np
import pytest

from groundup.core import DataError, Reason
from groundup.measure.stats.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from groundup.measure.stats.grouping import VarianceEstimate
from groundup.measure.stats.interval import Interval, _upper_share_bound, bootstrap
from groundup.measure.stats.sums import (
    _gradient,
    bayesian_bootstrap_sums,
    corpus_counts,
    corpus_interval,
    corpus_score,
    score_of_rows,
    studentised_sums,
)
from groundup.measure.text.edit import ErrorRate
from groundup.measure.text.ngram import Bleu, Chrf
from groundup.measure.text.ter import Ter


def test_slopes_by_hand():
    """Of a / b at 6 and 3: 1 / 3 and -2 / 3; of a sum of 0 upwards only."""
    assert _gradient(lambda s: s[0] / s[1], np.array([6.0, 3.0])) == pytest.approx([1 / 3, -2 / 3])
    assert _gradient(lambda s: s[0] / s[1], np.array([0.0, 2.0])) == pytest.approx([0.5, 0])


def test_random_weights_with_an_unseen_item_give_the_exact_bounds_of_a_share():
    """Clopper and Pearson's: of 3 of 20, by 20,000 draws."""
    rows = np.array([[1.0, 1]] * 3 + [[0, 1]] * 17)
    found = bayesian_bootstrap_sums(
        lambda s: float(s[0] / s[1]), rows, np.array([[0.0, 1], [1, 1]]), np.arange(20),
        confidence=0.95, repeats=20_000,
    )  # fmt: skip
    exact = 1 - _upper_share_bound(17 / 20, 20, 0.025), _upper_share_bound(3 / 20, 20, 0.025)
    assert found[1:3] == pytest.approx(exact, abs=0.01)


def test_studentised_bounds_of_uneven_groups_say_so():
    rows = np.stack([np.arange(12.0) % 3, np.ones(12)], axis=1)
    codes = np.array([0] * 6 + [1, 2, 3, 4, 5, 6])
    _, spread = studentised_sums(
        lambda s: float(s[0] / s[1]), rows, np.ones(12), codes, confidence=0.95, repeats=100, seed=0
    )
    assert isinstance(spread, VarianceEstimate) and spread.is_uneven
    assert spread.effective == pytest.approx(144 / 42)


def test_items_that_all_agree_do_not_show_that_raters_always_would():
    labels = ["no"] * 19 + ["yes"]
    pairs = [[label, label] for label in labels]
    for found in (cohen_kappa(labels, labels), fleiss_kappa(pairs), krippendorff_alpha(pairs)):
        assert found.estimate == found.high == 1 and found.low < 0.5
    many = cohen_kappa(labels * 100, labels * 100)
    assert many.low > 0.95


@pytest.mark.parametrize(("rare", "n"), [(0.05, 20), (0.1, 50), (0.3, 20)])
def test_kappa_of_rare_labels_holds_the_truth(rare, n):
    """150 draws; 32, 91 and 95 of 100 held."""
    random, found = np.random.default_rng(7), []
    for _ in range(150):
        truth, sides = random.random(n) < rare, []
        for _ in range(2):
            guess = random.random(n) < rare
            sides.append(np.where(random.random(n) < 0.6**0.5, truth, guess).tolist())
        found.append(cohen_kappa(*sides, repeats=200))
    held = [one.low <= 0.6 <= one.high for one in found if isinstance(one, Interval)]
    assert len(held) > 100 and np.mean(held) >= 0.93


def test_kappa_of_one_large_group_is_less_sure():
    random = np.random.default_rng(8)
    a = (random.random(400) < 0.4).astype(int)
    b = np.where(random.random(400) < 0.8, a, random.random(400) < 0.4).astype(int)
    sides = a.tolist(), b.tolist()
    alone, even = cohen_kappa(*sides), cohen_kappa(*sides, [i // 10 for i in range(400)])
    large = cohen_kappa(*sides, [max(0, i - 199) // 10 for i in range(400)])
    assert even.high - even.low == pytest.approx(alone.high - alone.low, rel=0.2)
    assert large.high - large.low > alone.high - alone.low


@pytest.mark.parametrize("n", [20, 50])
def test_corpus_error_rates_hold_the_truth(n):
    """150 draws of recordings with 10 % wrong words, most of them with few; 88 to 92 % held."""
    random, held = np.random.default_rng(9), 0
    for _ in range(150):
        words = np.maximum(1, np.round(random.lognormal(2.3, 0.8, n)))
        errors = random.binomial(words.astype(int), random.beta(0.5, 4.5, n))
        rows = np.stack([errors, 0 * errors, 0 * errors, words], axis=1)
        found = corpus_interval(ErrorRate(), rows, repeats=200)
        held += found.low <= 0.1 <= found.high
    assert held / 150 >= 0.93


def test_a_corpus_score_equals_the_bootstrap_of_its_ratio():
    """An error rate is a ratio of sums: its bounds are those of interval.py, room apart."""
    random = np.random.default_rng(10)
    words = random.integers(5, 15, 400)
    errors = random.binomial(words, 0.3)
    rows = np.stack([errors, 0 * errors, 0 * errors, words], axis=1)
    found = corpus_interval(ErrorRate(), rows)
    assert found[:3] == pytest.approx(bootstrap(errors, weights=words)[:3], rel=1e-3)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_ratings_of_which_none_can_be_compared_are_too_few(level):
    for ratings in ([], [[1, None]], [[1, None], [None, 2]], [[1, 2]]):
        assert krippendorff_alpha(ratings, level).code == "too_few_items"


MEASURES = [Bleu(), Chrf(), Chrf(word_order=2), ErrorRate(), Ter()]
ANSWERS = [
    "the cat sat on the mat today",
    "a dog ran off into the big wood",
    "",
    "it is so, is it?",
]
REFERENCES = [
    ["the cat sat on a mat today"],
    ["a dog ran into the wood", "the dog ran off into the wood"],
    ["nothing was said at all"],
    ["it is so, is it not?"],
]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.signature)
def test_kept_rows_give_the_score_again_in_any_order(measure):
    rows = corpus_counts(measure, ANSWERS, REFERENCES).rows
    kept = json.loads(json.dumps(rows.tolist()))
    whole = corpus_score(measure, ANSWERS, REFERENCES)
    assert score_of_rows(measure, kept[::-1]) == pytest.approx(whole)
    assert isinstance(whole, float) and whole > 0


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.signature)
def test_an_interval_holds_its_estimate_and_grows_with_groups_of_copies(measure):
    rows = corpus_counts(measure, ANSWERS * 10, REFERENCES * 10).rows
    rows = rows * np.random.default_rng(0).integers(1, 4, size=(len(rows), 1))
    found = corpus_interval(measure, rows, repeats=400)
    assert found.low <= found.estimate <= found.high and found.groups == 40
    doubled = corpus_interval(measure, np.repeat(rows, 2, axis=0), repeats=400)
    grouped = corpus_interval(
        measure, np.repeat(rows, 2, axis=0), [i // 2 for i in range(80)], repeats=400
    )
    assert grouped.high - grouped.low == pytest.approx(found.high - found.low, rel=0.3)
    assert doubled.high - doubled.low < 0.9 * (grouped.high - grouped.low)


def test_what_cannot_be_counted_is_told_by_its_place():
    found = corpus_counts(Bleu(), ["a", "b"], [[], ["b"]])
    assert found.indices == (1,) and found.undefined[0].code == "no_reference"
    assert corpus_score(Bleu(), [], []).code == "no_samples"
    assert corpus_score(ErrorRate(), ["a"], [[""]]).code == "empty_reference"


def test_mismatched_lengths_and_bare_texts_are_errors():
    with pytest.raises(DataError, match="2 answers need as many lists"):
        corpus_counts(Bleu(), ["a", "b"], [["a"]])
    with pytest.raises(DataError, match="list of references"):
        corpus_counts(Bleu(), ["a"], ["a"])
    with pytest.raises(DataError, match="as many groups"):
        corpus_interval(Bleu(), corpus_counts(Bleu(), ANSWERS, REFERENCES).rows, ["x"])


def test_no_interval_is_a_reason():
    row = corpus_counts(ErrorRate(), ["a"], [["b"]]).rows
    assert corpus_interval(ErrorRate(), row).code == "too_few_groups"
    # Half of the corpora drawn from an empty and a full reference have no reference at all.
    rows = corpus_counts(ErrorRate(), ["a", "a"], [[""], ["b"]]).rows
    found = corpus_interval(ErrorRate(), rows)
    assert isinstance(found, Reason) and "redrawn" in found.message
    assert corpus_interval(ErrorRate(), rows[:1]).code == "empty_reference"
