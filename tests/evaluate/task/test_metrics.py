"""Numbers of one sample: worked by hand, and undefined where there is none."""

import math

import numpy as np
import pytest

from groundup.core import Likelihood, Reason
from groundup.evaluate.task.metrics import (
    ScoredOptions,
    _is_equal,
    _strip_for_match,
    convert_value,
    correct_options,
    score_generated,
    score_likelihood,
    score_options,
    score_rolling,
)


def asked(*logs: float) -> list[Likelihood]:
    return [Likelihood(log, place == 0, 1) for place, log in enumerate(logs)]


def test_characters_and_bytes_are_different_lengths():
    texts = ["ü" * 4, "u" * 5]  # 4 characters in 8 bytes; 5 in 5
    found = score_options(
        ["acc", "acc_norm", "acc_bytes"], ScoredOptions(texts, asked(-4.0, -4.5), 1)
    )
    assert found == {"acc": 0.0, "acc_norm": 1.0, "acc_bytes": 0.0}


def test_mutual_information_takes_the_answers_own_likelihood_off():
    options = ScoredOptions(["a", "b"], asked(-1.0, -2.0, -0.5, -9.0), 1)
    found = score_options(["acc", "acc_mutual_info"], options)
    assert found == {"acc": 0.0, "acc_mutual_info": 1.0}


def test_of_equal_options_the_first_is_chosen():
    assert score_options(["acc"], ScoredOptions(["a", "b"], asked(-1.0, -1.0), 0)) == {"acc": 1.0}


def test_brier_of_even_chances():
    found = score_options(["brier_score"], ScoredOptions(["a", "b"], asked(-5.0, -5.0), 0))
    assert found["brier_score"] == pytest.approx(0.5)


def test_several_right_options():
    options = ScoredOptions(["a", "b", "c"], asked(-3.0, -1.0, -2.0), (1, 2))
    found = score_options(["acc", "exact_match", "mcc"], options)
    assert found == {"acc": 1.0, "exact_match": 0.0, "mcc": [1, 1]}


def test_an_option_without_characters_has_no_length_to_divide_by():
    found = score_options(["acc", "acc_norm"], ScoredOptions(["", "b"], asked(-1.0, -2.0), 0))
    assert found["acc"] == 1.0 and found["acc_norm"].code == "empty_option"


@pytest.mark.parametrize("gold", [2, -1, "maybe", None, [0, 5]])
def test_what_is_no_option_is_no_target(gold):
    found = correct_options(gold, ["yes", "no"])
    assert isinstance(found, Reason) and found.code == "target_out_of_range"


def test_one_continuation():
    found = score_likelihood(["acc", "perplexity"], Likelihood(-2.5, True, 3))
    assert found == {"acc": 1.0, "perplexity": [2.5, 1]}


def test_a_whole_text_in_words_and_bytes():
    names = ["word_perplexity", "byte_perplexity", "bits_per_byte"]
    found = score_rolling(names, Likelihood(-7.0, False, 4), "ça va\n bien")
    assert found == {
        "word_perplexity": [7.0, 3],
        "byte_perplexity": [7.0, 12],
        "bits_per_byte": [7.0, 12],
    }
    assert score_rolling(names, Likelihood(0.0, False, 0), "")["bits_per_byte"].code == "empty_text"


def test_what_is_ignored_is_gone_in_lm_evals_order():
    options = {"regexes_to_ignore": ["(?s).*#### ", ","], "ignore_case": True}
    assert _strip_for_match("So\n#### 1,250 KM", options) == "1250 km"
    assert _is_equal(
        "A1!", "a", {"ignore_case": True, "ignore_punctuation": True, "ignore_numbers": 1}
    )
    assert not _is_equal("a b", "ab", {"ignore_punctuation": True})


def test_answers_that_are_no_texts_are_compared_as_they_are():
    assert _is_equal(4, 4, {"ignore_case": True}) and not _is_equal(None, "none", {})


def test_several_answers_of_which_no_filter_chose_give_their_share():
    assert score_generated("exact_match", ["4", "5"], "4", {}) == 0.5
    assert score_generated("exact_match", ["4", "5"], ["5", "6"], {}) == 1.0
    assert score_generated("exact_match", "4", [], {}).code == "no_reference"
    assert score_generated("bleu", "a b", "a c", {}) == ["a c", "a b"]


def test_numbers_of_own_code_are_plain_and_finite():
    assert convert_value(np.float64(0.5), "mean") == 0.5
    assert convert_value((-6.0, 2), "perplexity") == [6.0, 2.0]
    assert convert_value(-6.0, "ratio") == [6.0, 1.0]
    assert convert_value(math.nan, "mean").code == "not_finite"
    assert convert_value([1], "mean").code == "no_number"
    assert convert_value((np.int64(1), "x"), "mine") == [1, "x"]
