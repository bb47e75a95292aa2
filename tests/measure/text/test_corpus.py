"""Corpus scores come from sums: order and splitting do not matter, intervals follow the groups."""

import json

import numpy as np
import pytest

from groundup.core import DataError, Reason
from groundup.measure.text.bleu import Bleu
from groundup.measure.text.chrf import Chrf
from groundup.measure.text.corpus import (
    corpus_counts,
    corpus_interval,
    corpus_score,
    score_of_rows,
)
from groundup.measure.text.error_rate import ErrorRate
from groundup.measure.text.ter import Ter

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
