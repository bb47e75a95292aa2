"""Metrics of one sample, worked by hand, and a task's list of them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.core import ConfigError, Likelihood, Reason
from groundup.evaluate.task.metrics import (
    ScoredOptions,
    TaskMetric,
    _is_equal,
    _strip_for_match,
    convert_value,
    correct_options,
    read_metric_list,
    score_generated,
    score_likelihood,
    score_options,
    score_rolling,
)
from groundup.evaluate.task.scoring import read_filters
from groundup.evaluate.task.settings import TaskSettings
from groundup.evaluate.task.task import RequestKind
from groundup.evaluate.task.yaml_files import TaskCode


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


FILE = Path("t.yaml")
OWN = TaskCode("own.results", "0", lambda doc, results: {})


def read(
    *entries: dict[str, Any], kind: RequestKind = "generate_until", own: Any = None
) -> list[TaskMetric]:
    settings = TaskSettings(
        task="t", output_type=kind, metric_list=list(entries) or None, process_results=own
    )
    return list(read_metric_list(settings, FILE))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("loglikelihood", ["perplexity", "acc"]),
        ("loglikelihood_rolling", ["word_perplexity", "byte_perplexity", "bits_per_byte"]),
        ("multiple_choice", ["acc", "acc_norm"]),
        ("generate_until", ["exact_match"]),
    ],
)
def test_what_is_measured_without_a_list(kind, names):
    assert [one.name for one in read(kind=kind)] == names


def test_what_is_left_out_is_known_by_the_name():
    bits = read({"metric": "bits_per_byte"}, kind="loglikelihood_rolling")[0]
    assert (bits.aggregation, bits.better, bits.unit) == ("ratio", "lower", "bits per byte")
    acc = read({"metric": "acc", "weight_by_size": True}, kind="multiple_choice")[0]
    assert (acc.aggregation, acc.better, acc.unit) == ("mean", "higher", "share")


def test_bypass_measures_nothing():
    assert read({"metric": "bypass"}) == []


def test_own_numbers_need_all_that_is_not_known():
    found = read(
        {"metric": "mine", "aggregation": "bits_per_byte", "higher_is_better": False}, own=OWN
    )[0]
    assert (found.aggregation, found.unit, found.better) == ("ratio", "bits per byte", "lower")
    with pytest.raises(ConfigError, match="mine needs an `aggregation`"):
        read({"metric": "mine"}, own=OWN)
    with pytest.raises(ConfigError, match="mine needs `higher_is_better"):
        read({"metric": "mine", "aggregation": "mean"}, own=OWN)


def test_own_metrics_and_aggregations():
    def pass_rate(references: list[str], predictions: list[str]) -> float:
        return 0.0

    metric, added = TaskCode("own.pass_rate", "1", pass_rate), TaskCode("own.add", "2", sum)
    entry = {"metric": metric, "aggregation": added, "higher_is_better": True, "k": 3}
    found = read(entry)[0]
    assert (found.name, found.aggregation, found.aggregation_code) == (
        "pass_rate",
        "own.add@2",
        added,
    )
    assert found.measure("none", "").signature == "own.pass_rate@1|k:3|aggregation:own.add@2"


def test_options_and_filters_are_in_the_signature():
    entry = {"metric": "exact_match", "ignore_case": True, "regexes_to_ignore": [","]}
    pipeline = read_filters([{"name": "f", "filter": [{"function": "take_first"}]}], FILE)[0]
    measure = read(entry)[0].measure(pipeline.name, pipeline.signature)
    assert measure.key == "exact_match,f"
    assert measure.signature == (
        "exact_match|ignore_case:True|regexes_to_ignore:[',']|aggregation:mean|"
        + pipeline.signature
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "acc"}, "needs `metric`"),
        ({"metric": "acc"}, "generate_until does not support the metric acc; use exact_match"),
        ({"metric": "exact_mach"}, "no metric `exact_mach` here; did you mean `exact_match`"),
        ({"metric": "rouge"}, "no metric `rouge`.*none are downloaded"),
        ({"metric": "exact_match", "ignore_cases": 1}, "no key `ignore_cases`"),
        ({"metric": "exact_match", "aggregation": "mode"}, "got 'mode', use mean"),
    ],
)
def test_wrong_entries_are_told(entry, said):
    with pytest.raises(ConfigError, match=said):
        read(entry)


def test_a_name_twice_is_told():
    with pytest.raises(ConfigError, match="'bleu' twice"):
        read({"metric": "bleu"}, {"metric": "bleu"})
